"""The locks: requirements.lock and requirements-cuda.lock, written from requirements.in, and read."""

import os
import re
import tempfile
import time
from pathlib import Path

import nox

from seedbed.sessions.packages import cpu_index, install_environ, pip_settings, wheel_at_hand
from seedbed.sessions.project import CPU_LOCK, CUDA_LOCK, group, pyproject, python_version

UV = "uv==0.13.9"  # what writes the locks, in a project with no group `lock` of its own
EXCLUDE_NEWER = re.compile(r"^# exclude-newer: (\S+)$", re.MULTILINE)
TORCH = re.compile(r"^torch==(\S+)", re.MULTILINE)
FIND_LINKS = re.compile(r"^(?:--find-links|-f)[ =]*(\S+)", re.MULTILINE)


def write_locks(session: nox.Session) -> None:
    """Write both locks from requirements.in; ``--check`` only says whether they are stale, ``--upgrade`` renews."""
    if unknown := set(session.posargs) - {"--check", "--upgrade"}:
        session.error(f"lock takes --check or --upgrade, not {' '.join(sorted(unknown))}")
    wanted = Path("requirements.in").read_text(encoding="utf-8")
    if "--upgrade" in session.posargs:
        wanted = renewed(wanted, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    if reason := unusable(wanted):
        session.error(reason)
    session.install(*tools())
    fresh = {name: compiled(session, wanted, name) for name in (CPU_LOCK, CUDA_LOCK)}
    if "--check" in session.posargs:
        if found := [f"{name} ({', '.join(changed)})" for name in fresh if (changed := stale(name, fresh[name]))]:
            session.error(f"stale: {'; '.join(found)}: `nox -s lock` writes them again")
        return
    for name, text in {"requirements.in": wanted, **fresh}.items():
        Path(name).write_text(text, encoding="utf-8")


def unusable(requirements: str) -> str | None:
    """Why no lock can be made from `requirements`, or None."""
    for line, pattern in {"# exclude-newer: 2026-11-23T00:00:00Z": EXCLUDE_NEWER, "torch==2.13.0": TORCH}.items():
        if (found := len(pattern.findall(requirements))) != 1:
            return f"requirements.in needs one line like `{line}`, and has {found}: the locks depend on it"
    return None


def tools() -> tuple[str, ...]:
    """What writes the locks: the project's dependency group `lock`, if it has one."""
    return group("lock") if "lock" in pyproject().get("dependency-groups", {}) else (UV,)


def renewed(requirements: str, date: str) -> str:
    """`requirements` that take no package newer than `date`, where it is now an older one."""
    return EXCLUDE_NEWER.sub(f"# exclude-newer: {date}", requirements)


def variant(requirements: str, lock: str) -> str:
    """`requirements` with the torch that belongs to a lock: ``2.13.0+cpu``, or exactly the ``2.13.0`` of PyPI."""
    return TORCH.sub(r"torch==\1+cpu" if lock == CPU_LOCK else r"torch===\1", requirements)


def folders(requirements: str) -> list[str]:
    """The folders of wheels that `requirements` name, ``--find-links vendor``: paths from the project's own."""
    return [place for place in FIND_LINKS.findall(requirements) if "://" not in place]


def compiled(session: nox.Session, requirements: str, lock: str) -> str:
    """The text of a lock, made from nothing but `requirements` and the releases up to the date in them."""
    torch = f"{TORCH.findall(requirements)[0]}+cpu"
    index = cpu_index(os.environ, at_hand=wheel_at_hand(torch)) if lock == CPU_LOCK else ""
    environ = install_environ(pip_settings(os.environ), index, os.environ)
    command = ["python", "-m", "uv", "pip", "compile", "--quiet", *compile_options(requirements), "--output-file", lock]
    places = {name: Path(name).absolute() for name in folders(requirements)}
    with tempfile.TemporaryDirectory() as folder, session.chdir(folder):  # so that no path gets into the lock
        Path("requirements.in").write_text(variant(requirements, lock), encoding="utf-8")
        for name, place in places.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).symlink_to(place)
        session.run(*command, "requirements.in", env=environ)
        # By hand, as uv's --emit-find-links would write the folders of this machine's own settings too.
        return "".join(f"--find-links {name}\n" for name in places) + Path(lock).read_text(encoding="utf-8")


def compile_options(requirements: str) -> list[str]:
    """The options of `uv pip compile` that decide what a lock holds."""
    # These have no dates: PyTorch's index gives none, and wheels in a folder never have one. The version of torch is
    # fixed anyway, and what lies in the project's own folders is what it wants.
    dateless = {
        "torch",
        *(wheel.name.split("-")[0] for name in folders(requirements) for wheel in Path(name).glob("*.whl")),
    }
    return [
        "--generate-hashes",
        "--only-binary=:all:",
        f"--python-version={python_version()}",
        "--python-platform=x86_64-manylinux_2_28",
        f"--exclude-newer={EXCLUDE_NEWER.findall(requirements)[0]}",
        *(f"--exclude-newer-package={name}=false" for name in sorted(dateless)),
        "--custom-compile-command=nox -s lock",
    ]


def pins(lock: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Each package of a lock's text: its version, and the hashes of its files. Options (``--find-links``) are none."""
    found = {}
    for line in lock.replace("\\\n", " ").splitlines():
        if line[:1].isalnum():
            requirement, *hashes = line.split()
            name, version = requirement.split("==")
            found[name] = version, frozenset(hashes)
    return found


def stale(lock: str, fresh: str) -> list[str]:
    """The packages in which a committed lock differs from `fresh`.

    Hashes differ where none is the same: another source of torch's CPU wheel lists it beside other platforms' wheels.
    """
    old = pins(Path(lock).read_text(encoding="utf-8")) if Path(lock).exists() else {}
    new = pins(fresh)
    return sorted(name for name in {*old, *new} if not agree(old.get(name), new.get(name)))


def agree(one: tuple[str, frozenset[str]] | None, other: tuple[str, frozenset[str]] | None) -> bool:
    """Whether two pins name the same version, and at least one file in common."""
    return bool(one and other and one[0] == other[0] and one[1] & other[1])
