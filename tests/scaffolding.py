"""What the tests of the project start share: git that knows nobody, trees as bytes, and older wheels."""

import io
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from seedbed.scaffold.git import git
from seedbed.scaffold.wheel import TEMPLATE, Wheel, installed, zipped

ROOT = Path(__file__).parents[1]
TREE = ROOT / "{{cookiecutter.project_slug}}"
ANSWERS = {"project_name": "Waves", "package_name": "waves", "author": "Ada", "example": "empty"}
OLDER = "0.0.9"


def isolate(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Keep out what git and copier would read of the user who runs the tests, and the repository that they run in."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("COPIER_SETTINGS_PATH", raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / ".config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))


def know(monkeypatch: pytest.MonkeyPatch, folder: Path, settings: str = "") -> None:
    """Let git know its user, as one who has used it does."""
    (folder / "gitconfig").write_text(f"[user]\n\tname = Grace\n\temail = grace@example.org\n{settings}")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(folder / "gitconfig"))


def tree(folder: Path) -> dict[str, bytes]:
    """All files below `folder`, but git's own."""
    files = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in sorted(names.items()) if not name.startswith(".git/")}


def commit_all(folder: Path, message: str = "Mine") -> None:
    """Commit as somebody."""
    git(folder, "add", "--all", "--force")
    git(folder, "-c", "user.name=Grace", "-c", "user.email=grace@example.org", "commit", "-q", "-m", message)


@cache
def running() -> Wheel:
    """The wheel of the Seedbed that is tested."""
    return installed()


def contents(wheel: Wheel) -> dict[str, bytes]:
    """The files in a wheel."""
    with zipfile.ZipFile(io.BytesIO(wheel.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def of_version(version: str, changes: Mapping[str, bytes | None] | None = None) -> Wheel:
    """The running Seedbed's wheel as another version, with other files in its template (None: without that file)."""
    files: dict[str, bytes] = {}
    for name, content in contents(running()).items():
        files[name.replace("seedbed-0.1.0", f"seedbed-{version}")] = content
    copier = f"{TEMPLATE}/copier.yml"
    files[copier] = files[copier].replace(b"'__seedbed': '0.1.0'", f"'__seedbed': '{version}'".encode())
    for name, changed in (changes or {}).items():
        path = f"{TEMPLATE}/template/{name}"
        if changed is None:
            del files[path]
        else:
            files[path] = changed
    return Wheel(f"seedbed-{version}-py3-none-any.whl", zipped(files))


def template_file(name: str) -> bytes:
    """A file of the running template, as it is before it is filled in."""
    return contents(running())[f"{TEMPLATE}/template/{name}"]
