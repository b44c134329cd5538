"""Seedbed's own wheel: the same bytes from the same files, packed again from wherever Seedbed is installed.

A project has the wheel of the very Seedbed that made it in ``vendor/``, locked by hash like all that it has. What
would differ from one build to the next is fixed: the order, the dates and the modes of the files. They are stored as
they are, since what compression makes of them depends on the library that does it.
"""

import base64
import csv
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import msgspec

from seedbed.errors import ScaffoldError

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first date that a zip file can have."""

MODE = 0o100644 << 16

WHEEL = "Wheel-Version: 1.0\nGenerator: seedbed\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
"""What kind of wheel it is, and nothing of which setuptools it came by."""

METADATA = ("METADATA", "entry_points.txt", "licenses/LICENSE", "top_level.txt")
"""The files of ``seedbed-*.dist-info`` that a wheel has; an installer adds others of its own."""

CACHE = re.compile(r"\..*_cache")
"""The folders that ruff, mypy and pytest leave behind where they ran, as .gitignore has them."""

TEMPLATE = "seedbed/scaffold"
VENDOR = f"{TEMPLATE}/template/vendor/"
DIGEST = f"{TEMPLATE}/templates/seedbed.sha256"
"""The wheel and its digest, where a clone of Seedbed has them: a wheel cannot hold itself, or its own digest."""


class Wheel(msgspec.Struct, frozen=True):
    """A wheel: its name, and its bytes."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The digest by which a lock knows it."""
        return hashlib.sha256(self.content).hexdigest()


def installed() -> Wheel:
    """Pack the Seedbed that runs.

    Raises
    ------
    ScaffoldError
        If it runs from a folder, without being installed: then nobody has written its metadata.
    """
    try:
        found = distribution("seedbed")
    except PackageNotFoundError:
        raise ScaffoldError(
            "this Seedbed is not installed, so it has no wheel: `python -m pip install .` in it"
        ) from None
    parts = {
        f"licenses/{path.name}" if "licenses" in path.parts else path.name: path
        for path in found.files or ()
        if path.parts[0].endswith(".dist-info")
    }
    metadata = {name: Path(str(parts[name].locate())).read_bytes() for name in METADATA if name in parts}
    return pack(found.version, metadata)


def pack(version: str, metadata: Mapping[str, bytes], package: Path = Path(__file__).parents[1]) -> Wheel:
    """Pack a package's files, and what `metadata` has of its ``.dist-info``, by the files' names in there."""
    info = f"seedbed-{version}.dist-info"
    files = dict(package_files(package)) | {f"{info}/{name}": content for name, content in metadata.items()}
    files[f"{info}/WHEEL"] = WHEEL.encode()
    files = dict(sorted(files.items()))
    files[f"{info}/RECORD"] = record(files, f"{info}/RECORD")
    return Wheel(f"seedbed-{version}-py3-none-any.whl", zipped(files))


def package_files(package: Path) -> Iterator[tuple[str, bytes]]:
    """The files of the package by their names in a wheel: with the template, which is linked to in a clone."""
    for folder, folders, names in os.walk(package, followlinks=True):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not CACHE.fullmatch(name))
        for name in sorted(names):
            path = Path(folder, name)
            within = path.relative_to(package.parent).as_posix()
            if path.suffix != ".pyc" and within != DIGEST and not within.startswith(VENDOR):
                yield within, path.read_bytes()


def record(files: Mapping[str, bytes], own_name: str) -> bytes:
    """The list of a wheel's files with their digests, as the wheel format has it (PEP 427)."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow((name, f"sha256={digest}", len(content)))
    rows.writerow((own_name, "", ""))
    return text.getvalue().encode()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip file of files of one date and mode, uncompressed."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, MODE  # as Unix does it, wherever this is
            archive.writestr(entry, content)
    return whole.getvalue()
