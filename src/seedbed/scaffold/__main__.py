"""`python -m seedbed.scaffold`, in a clone: pack Seedbed's wheel, and put it where the template has it."""

import argparse
import sys
import tempfile
from pathlib import Path

from seedbed.errors import ScaffoldError
from seedbed.scaffold.layout import TREE
from seedbed.scaffold.wheel import METADATA, Wheel, pack

EXIT_STALE = 1


def main() -> int:
    """Write the wheel of the clone in the current folder, or (`--check`) say whether the one there is that one."""
    parser = argparse.ArgumentParser("python -m seedbed.scaffold", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if it is stale")
    arguments = parser.parse_args()
    wheel, root = from_source(), Path.cwd()
    vendor, digest = root / TREE / "vendor", root / "templates/seedbed.sha256"
    if arguments.check:
        return check(wheel, vendor, digest)
    for old in vendor.glob("*.whl"):
        old.unlink()
    vendor.mkdir(exist_ok=True)
    (vendor / wheel.name).write_bytes(wheel.content)
    digest.write_text(wheel.sha256, encoding="utf-8")
    print(f"{wheel.name}: sha256 {wheel.sha256}")
    return 0


def check(wheel: Wheel, vendor: Path, digest: Path) -> int:
    """Say whether the wheel in `vendor` is the one that the source gives."""
    found = {path.name: path.read_bytes() for path in vendor.glob("*.whl")}
    noted = digest.read_text(encoding="utf-8") if digest.exists() else ""
    if found == {wheel.name: wheel.content} and noted == wheel.sha256:
        return 0
    print(f"{vendor}: not the wheel of this source; `nox -s wheel` writes it anew", file=sys.stderr)
    return EXIT_STALE


def from_source() -> Wheel:
    """Pack the clone in the current folder, with the metadata that setuptools makes of pyproject.toml."""
    from setuptools import build_meta

    if not Path("src/seedbed").is_dir():
        raise ScaffoldError(f"{Path.cwd()} is no clone of Seedbed: it has no src/seedbed")
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder, build_meta.prepare_metadata_for_build_wheel(folder))
        metadata = {name: (info / name).read_bytes() for name in METADATA}
    version = info.name.removeprefix("seedbed-").removesuffix(".dist-info")
    return pack(version, metadata, Path("src/seedbed").resolve())


if __name__ == "__main__":
    sys.exit(main())
