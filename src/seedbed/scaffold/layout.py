"""The template that a wheel of Seedbed brings along, laid out as copier wants it."""

import io
import zipfile
import zlib
from pathlib import Path

from seedbed.errors import ScaffoldError
from seedbed.scaffold.wheel import TEMPLATE, Wheel

TREE = "{{cookiecutter.project_slug}}"
"""The folder whose files, and their names, are filled in; as it is called in a clone."""

PARTS = {"copier.yml": "copier.yml", "templates": "templates", "template": TREE}
"""What a wheel has of it, and where copier looks for that."""

CORRUPT = (EOFError, RuntimeError, ValueError, zlib.error)
"""What `zipfile` raises at bytes that are no zip file's, beside its own BadZipFile."""


def lay_out(wheel: Wheel, folder: Path) -> None:
    """Write the template of `wheel` into the new `folder`, with the wheel itself where the project will have it.

    Raises
    ------
    ScaffoldError
        If `wheel` is no wheel of Seedbed's, or of one that had no template yet.
    """
    folder.mkdir()
    try:
        with zipfile.ZipFile(io.BytesIO(wheel.content)) as archive:
            names = [name for name in archive.namelist() if name.startswith(f"{TEMPLATE}/")]
            archive.extractall(folder, names)
    except (*CORRUPT, zipfile.BadZipFile) as error:
        raise ScaffoldError(f"{wheel.name} is no wheel: {error}") from None
    source = folder / TEMPLATE
    if not all((source / name).exists() for name in PARTS):
        raise ScaffoldError(f"{wheel.name} brings no template along")
    for name, target in PARTS.items():
        (source / name).rename(folder / target)
    (folder / TREE / "vendor").mkdir()
    (folder / TREE / "vendor" / wheel.name).write_bytes(wheel.content)
    (folder / "templates/seedbed.sha256").write_text(wheel.sha256, encoding="utf-8")
