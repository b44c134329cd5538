"""What a project says of itself, read from the current folder when it is asked: nox runs a noxfile where it lies."""

from pathlib import Path
from typing import Any

import nox

CPU_LOCK, CUDA_LOCK = "requirements.lock", "requirements-cuda.lock"

EACH_LOCK = nox.parametrize("lock", [nox.param(CPU_LOCK, id="cpu"), nox.param(CUDA_LOCK, id="cuda")])


def python_version() -> str:
    """The version of CPython that the locks are for, as pyenv reads it."""
    return Path(".python-version").read_text(encoding="utf-8").strip()


def pyproject() -> dict[str, Any]:
    """The tables of pyproject.toml."""
    return nox.project.load_toml("pyproject.toml")


def group(name: str) -> tuple[str, ...]:
    """The requirements of one of pyproject.toml's dependency groups."""
    return nox.project.dependency_groups(pyproject(), name)
