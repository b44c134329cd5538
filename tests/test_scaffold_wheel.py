"""Seedbed's own wheel: the same bytes again, from a clone and from what was installed of it."""

import base64
import csv
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import seedbed
from seedbed.errors import ScaffoldError
from seedbed.scaffold import wheel
from seedbed.scaffold.wheel import DIGEST, EPOCH, METADATA, VENDOR, Wheel, installed, pack
from tests.scaffolding import contents, running

INFO = {"METADATA": b"Metadata-Version: 2.1\nName: seedbed\nVersion: 1.2\n"}
FILES = {
    "__init__.py": b"",
    "scaffold/copier.yml": b"x",
    "scaffold/template/.gitignore": b"*.pyc\n",
    "scaffold/template/src/{{cookiecutter.package_name}}/a.py": b"a",
    "zz.py": b"z",
}
LEFT_OUT = (
    "__pycache__/a.cpython-311.pyc",
    "__pycache__/a.f-1.py311.nbi",
    "old.pyc",
    "scaffold/template/.ruff_cache/0.17.6/1",
    "scaffold/template/.mypy_cache/3.11/a.json",
    "scaffold/template/vendor/seedbed-1.1-py3-none-any.whl",
    "scaffold/template/vendor/sub/more",
    "scaffold/templates/seedbed.sha256",
)


def package(parent: Path, files: dict[str, bytes] = FILES) -> Path:
    """A package of `files`, made in their order."""
    for name, content in files.items():
        path = parent / "seedbed" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return parent / "seedbed"


def names(packed: Wheel) -> list[str]:
    return list(contents(packed))


def entries(packed: Wheel) -> list[zipfile.ZipInfo]:
    return zipfile.ZipFile(io.BytesIO(packed.content)).infolist()


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    one = pack("1.2", INFO, package(tmp_path / "one"))
    assert pack("1.2", INFO, package(tmp_path / "one")) == one
    assert one.name == "seedbed-1.2-py3-none-any.whl"
    assert one.sha256 == hashlib.sha256(one.content).hexdigest()


def test_another_byte_version_or_name_gives_others(tmp_path: Path) -> None:
    one = pack("1.2", INFO, package(tmp_path / "one")).sha256
    assert pack("1.2", INFO, package(tmp_path / "two", {**FILES, "zz.py": b"y"})).sha256 != one
    assert pack("1.3", INFO, package(tmp_path / "one")).sha256 != one
    assert pack("1.2", {"METADATA": b"other"}, package(tmp_path / "one")).sha256 != one


def test_neither_order_nor_dates_nor_modes_are_in_it(tmp_path: Path) -> None:
    one = pack("1.2", INFO, package(tmp_path / "one"))
    other = package(tmp_path / "other", dict(reversed(FILES.items())))
    for path in other.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1, 2))
    assert pack("1.2", dict(reversed(INFO.items())), other) == one


def test_the_umask_is_not_in_it(tmp_path: Path) -> None:
    one = pack("1.2", INFO, package(tmp_path / "one"))
    before = os.umask(0o077)
    try:
        assert pack("1.2", INFO, package(tmp_path / "two")) == one
    finally:
        os.umask(before)


def test_what_linked_files_are_is_in_it_under_the_names_of_the_links(tmp_path: Path) -> None:
    one = pack("1.2", INFO, package(tmp_path / "one"))
    linked = package(tmp_path / "two")
    shutil.move(linked / "scaffold/template", tmp_path / "{{cookiecutter.project_slug}}")
    (linked / "scaffold/template").symlink_to("../../../{{cookiecutter.project_slug}}")
    assert pack("1.2", INFO, linked) == one


def test_entries_are_stored_sorted_and_of_one_date_and_mode(tmp_path: Path) -> None:
    found = entries(pack("1.2", INFO, package(tmp_path)))
    assert {entry.compress_type for entry in found} == {zipfile.ZIP_STORED}
    assert {entry.date_time for entry in found} == {EPOCH}
    assert {entry.external_attr >> 16 for entry in found} == {0o100644}
    assert {entry.create_system for entry in found} == {3}
    assert [entry.filename for entry in found[:-1]] == sorted(entry.filename for entry in found[:-1])
    assert found[-1].filename == "seedbed-1.2.dist-info/RECORD"


def test_a_clone_has_files_that_no_wheel_has(tmp_path: Path) -> None:
    one = pack("1.2", INFO, package(tmp_path / "one"))
    two = pack("1.2", INFO, package(tmp_path / "two", {**FILES, **dict.fromkeys(LEFT_OUT, b"no")}))
    assert names(two) == names(one)
    assert two == one


@pytest.mark.parametrize("name", ["scaffold/template/cache/a", "scaffold/template/vendors", "scaffold/seedbed.sha256"])
def test_what_only_looks_like_those_is_in_it(tmp_path: Path, name: str) -> None:
    assert f"seedbed/{name}" in names(pack("1.2", INFO, package(tmp_path, {**FILES, name: b"yes"})))


def test_the_wheel_of_what_runs_has_all_but_itself() -> None:
    found = names(running())
    assert not [name for name in found if name.startswith(VENDOR) or name == DIGEST or name.endswith(".pyc")]
    assert not [name for name in found if "_cache/" in name or "__pycache__" in name or "egg-info" in name]
    own = {f"seedbed/{path.name}" for path in Path(seedbed.__file__).parent.glob("*.py")}
    assert own < set(found)
    assert {
        "seedbed/py.typed",
        "seedbed/scaffold/copier.yml",
        "seedbed/scaffold/template/.copier-answers.yml",
        "seedbed/scaffold/template/src/{{cookiecutter.package_name}}/experiment.py",
        "seedbed/scaffold/templates/taken",
        *(f"seedbed-{seedbed.__version__}.dist-info/{name}" for name in (*METADATA, "WHEEL", "RECORD")),
    } < set(found)
    assert running() == installed()


def test_record_has_the_digest_and_size_of_every_file() -> None:
    files = contents(running())
    own = f"seedbed-{seedbed.__version__}.dist-info/RECORD"
    rows = list(csv.reader(io.StringIO(files[own].decode())))
    assert [row[0] for row in rows] == list(files)
    assert rows[-1] == [own, "", ""]
    for name, digest, size in rows[:-1]:
        expected = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).decode().rstrip("=")
        assert (digest, size) == (f"sha256={expected}", str(len(files[name])))


def test_a_name_with_a_comma_is_quoted_in_record(tmp_path: Path) -> None:
    packed = pack("1.2", INFO, package(tmp_path, {'a,"b".py': b""}))
    rows = list(csv.reader(io.StringIO(contents(packed)["seedbed-1.2.dist-info/RECORD"].decode())))
    assert rows[-2][0] == 'seedbed/a,"b".py'


def pip() -> list[str]:
    """The pip that CPython has in it, run from its wheel: it is there where neither pip nor a network is."""
    found = importlib.util.find_spec("ensurepip")
    wheels = sorted(Path(found.origin).parent.glob("_bundled/pip-*.whl")) if found and found.origin else []
    if not wheels:
        pytest.skip("this Python has no ensurepip")
    return [sys.executable, f"{wheels[-1]}/pip", "--isolated", "--disable-pip-version-check", "install", "--quiet"]


def uv() -> list[str]:
    """Uv, where it is on the PATH."""
    if not (found := shutil.which("uv")):
        pytest.skip("no uv is on the PATH")
    return [found, "pip", "install", "--quiet", "--no-cache", "--offline", f"--python={sys.executable}"]


PACK_AGAIN = """
import sys
sys.path.insert(0, sys.argv[1])
from seedbed.scaffold import wheel
assert wheel.__file__.startswith(sys.argv[1]), wheel.__file__
sys.stdout.buffer.write(wheel.installed().content)
"""


@pytest.mark.parametrize("installer", [pip, uv])
def test_what_was_installed_packs_the_wheel_that_it_was_installed_from(tmp_path: Path, installer: object) -> None:
    assert callable(installer)
    path, target = tmp_path / running().name, tmp_path / "target"
    path.write_bytes(running().content)
    # No coverage in there: what runs is the copy, which is gone when the report is made.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    options = ["--no-deps", "--no-index", f"--target={target}"]
    subprocess.run([*installer(), *options, str(path)], env=environ, check=True)
    (target / "seedbed/scaffold/template/.ruff_cache").mkdir()
    (target / "seedbed/scaffold/template/.ruff_cache/a").write_text("left behind")
    command = [sys.executable, "-c", PACK_AGAIN, str(target)]
    again = subprocess.run(command, env=environ, capture_output=True, check=True).stdout
    assert hashlib.sha256(again).hexdigest() == running().sha256
    assert again == running().content


def test_without_metadata_there_is_no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(wheel, "distribution", missing)
    with pytest.raises(ScaffoldError, match=r"not installed, so it has no wheel: `python -m pip install \.`"):
        installed()


def test_setuptools_packs_the_same_files(tmp_path: Path) -> None:
    """What `pip install .` installs: hidden files are not in `**/*` for setuptools, and a project needs them."""
    script = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    clone = tmp_path / "clone"
    root = Path(__file__).parents[1]
    names = (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "copier.yml",
        "templates",
        "{{cookiecutter.project_slug}}",
        "src",
    )
    clone.mkdir()
    for name in names:
        if (root / name).is_dir():
            shutil.copytree(
                root / name, clone / name, symlinks=True, ignore=shutil.ignore_patterns(".*_cache", "__pycache__")
            )
        else:
            shutil.copy(root / name, clone / name)
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=clone, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        built = {name for name in archive.namelist() if "scaffold/template" in name and "_cache" not in name}
    ours = {name for name, _ in wheel.package_files(root / "src/seedbed") if "scaffold/template" in name}
    assert built == ours
