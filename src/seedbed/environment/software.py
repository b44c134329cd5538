"""What is installed: the interpreter, the packages, what the lock says of them, and the project's own commit."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import msgspec

LOCK = "requirements.lock"
CUDA_LOCK = "requirements-cuda.lock"
PYTHON_VERSION_FILE = ".python-version"

DEPENDENCIES = (
    "joblib",
    "msgspec",
    "numpy",
    "nvidia-ml-py",
    "psutil",
    "py-cpuinfo",
    "rich",
    "safetensors",
    "scikit-learn",
    "scipy",
    "threadpoolctl",
    "torch",
    "typer",
)
"""The packages whose versions are read where there is no lock: what Seedbed depends on."""

GIT_SECONDS = 10.0
"""How long git may take: on a network drive it can hang."""

# A line of a lock: `name==version \` or `name[extra]==version ; marker`. Hashes and comments are lines of their own.
_LOCKED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*==\s*([^\s;\\#]+)")


class Python(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The interpreter."""

    version: str
    """``3.11.7``."""
    implementation: str
    """``CPython``."""
    compiler: str
    """What it was built with."""
    pinned: str | None
    """What the project's ``.python-version`` asks for, whether or not that is what runs; None without such a file."""


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The project's lock file, held against what is installed."""

    file: str
    """Its name, without the folder."""
    sha256: str
    """Of its bytes."""
    broken: dict[str, tuple[str, str | None]]
    """What of it is not what is installed: a package's version as locked, and as installed (None: not at all)."""


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The git commit of the project."""

    commit: str
    """The whole SHA."""
    clean: bool | None
    """Whether the work tree has nothing changed and nothing untracked; None where git did not say in time."""


def read_python(pin: Path | None) -> Python:
    """Read what interpreter this is, and which one the file `pin` asks for."""
    return Python(
        version=platform.python_version(),
        implementation=platform.python_implementation(),
        compiler=platform.python_compiler(),
        pinned=_pinned(pin) if pin else None,
    )


def find_python(root: Path) -> Path | None:
    """Find the file by which the project in `root` pins its interpreter."""
    path = root / PYTHON_VERSION_FILE
    return path if path.is_file() else None


def _pinned(path: Path) -> str | None:
    lines = path.read_text(encoding="utf-8").split()
    return lines[0] if lines else None


def find_lock(root: Path, *, cuda: bool) -> Path | None:
    """Find the lock of the project in `root`: with `cuda`, the one for CUDA where there is one."""
    names = (CUDA_LOCK, LOCK) if cuda else (LOCK,)
    return next((root / name for name in names if (root / name).is_file()), None)


def parse_lock(text: str) -> dict[str, str]:
    """Read the versions that a lock pins, by normalised name. Markers are not evaluated: a lock is for one platform."""
    found = (_LOCKED.match(line) for line in text.splitlines())
    return {normalise(match[1]): match[2] for match in found if match}


def normalise(name: str) -> str:
    """Write a package's name as the index compares it (PEP 503): ``Ruamel.YAML`` is ``ruamel-yaml``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(names: Iterable[str]) -> dict[str, str]:
    """Read the installed versions of packages, by normalised name; without those that are not installed."""
    versions = {normalise(name): _installed(name) for name in names}
    return {name: version for name, version in sorted(versions.items()) if version is not None}


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def read_lock(path: Path) -> tuple[Lock, dict[str, str]]:
    """Read a lock, and the installed versions of its packages."""
    data = path.read_bytes()
    locked = parse_lock(data.decode("utf-8", errors="replace"))
    found = installed(locked)
    broken = {name: (version, found.get(name)) for name, version in locked.items() if found.get(name) != version}
    return Lock(file=path.name, sha256=sha256(data).hexdigest(), broken=broken), found


def read_source(root: Path) -> Source | None:
    """Read the commit that `root` is at; None outside a repository, before its first commit, or without git."""
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        return None
    changes = _git(root, "status", "--porcelain")
    return Source(commit=commit, clean=None if changes is None else not changes)


def _git(root: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(
            [git, "-C", str(root), *arguments],
            capture_output=True,
            check=True,
            encoding="utf-8",
            errors="replace",
            timeout=GIT_SECONDS,
            # Reading must not lock the index against whoever commits meanwhile.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
