"""Git, as far as a project start needs it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from seedbed.errors import ScaffoldError

LOCAL = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")
"""What names another repository than the one of the folder; git sets it for its own hooks."""

NOBODY = {"user.name": "Seedbed", "user.email": "seedbed@localhost"}
"""Who commits where git does not know its user."""


def first_commit(folder: Path, message: str) -> str | None:
    """Make `folder` a repository with all that is in it committed; return why not, where that is so."""
    if not shutil.which("git"):
        return "git is not there"
    if git(folder.parent, "rev-parse", "--is-inside-work-tree", check=False) == "true":
        return "it is in a repository already"
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all", "--force")  # also what the user's own excludes file names: *.whl, vendor
    git(folder, *identity(folder), "commit", "--quiet", "--no-verify", "--no-gpg-sign", f"--message={message}")
    return None


def identity(folder: Path) -> list[str]:
    """The options that name somebody who commits, where git knows nobody."""
    if git(folder, "var", "GIT_AUTHOR_IDENT", check=False) and git(folder, "config", "user.email", check=False):
        return []
    return [part for name, value in NOBODY.items() for part in ("-c", f"{name}={value}")]


def git(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None, check: bool = True) -> str:
    """Run git in `folder`, and return what it says.

    Raises
    ------
    ScaffoldError
        If there is no git, or it fails, with what it said; with ``check=False``, nothing is returned where it fails.
    """
    if not shutil.which("git"):
        raise ScaffoldError("git is not there, which keeps what a project was: install it")
    inherited = {name: value for name, value in os.environ.items() if name not in LOCAL}
    command, whole = ["git", *arguments], {**inherited, **(environ or {})}
    done = subprocess.run(command, cwd=folder, env=whole, capture_output=True, text=True, check=False)
    if done.returncode and check:
        raise ScaffoldError(f"git {arguments[0]} failed in {folder}: {(done.stderr or done.stdout).strip()}")
    return "" if done.returncode else done.stdout.strip()
