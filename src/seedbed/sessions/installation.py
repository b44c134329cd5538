"""The environment of a lock: made once in `.nox`, exactly as the lock says, and shared by all sessions."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

from seedbed.sessions.locks import pins
from seedbed.sessions.packages import INDEX_VARIABLE, cpu_index, install_environ, pip_settings, wheel_at_hand
from seedbed.sessions.project import CPU_LOCK, CUDA_LOCK, pyproject, python_version

NAMES = {CPU_LOCK: "cpu", CUDA_LOCK: "cuda"}
STAMP = "seedbed-lock.sha256"  # in an environment: what was installed into it


def environment(session: nox.Session, lock: str, name: str | None = None) -> str:
    """Make `.nox/cpu` (or `cuda`, or `name`) what `lock` says, with the project in it, unless it is that already.

    Returns the path of its python. A session that needs something beside the lock (`add`) takes a `name` of its own.
    """
    if lock == CUDA_LOCK and (reason := no_gpu()):
        session.skip(reason)
    folder = Path(".nox", name or NAMES[lock]).absolute()
    python = str(folder / "bin" / "python")
    if not as_it_is(session):
        with alone(session, folder):
            make(session, lock, folder, python)
    elif not folder.exists():
        session.error(f"nox -R takes environments as they are, and there is no {folder} yet: once without -R makes it")
    elif stamp(folder) != digest(lock):
        session.warn(f"nox -R takes {folder} as it is, not as {lock} and this folder say: without -R it is made anew")
    return python


def add(session: nox.Session, python: str, *requirements: str) -> None:
    """Install what a session needs beside the lock, into an environment of its own."""
    if not as_it_is(session):
        pip_install(session, python, *requirements, environ=install_environ(pip_settings(os.environ), "", os.environ))


def as_it_is(session: nox.Session) -> bool:
    """Whether `nox -R` was given: its own `run_install` heeds that in its own environments only."""
    return bool(session._runner.global_config.no_install)  # nox has no public name for it


@contextmanager
def alone(session: nox.Session, folder: Path) -> Iterator[None]:
    """Keep out other processes that would make the same environment: they wait until it is there."""
    import fcntl  # not on Windows, where the other sessions should still run

    folder.parent.mkdir(exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            session.log(f"waiting for another nox, which is at work on {folder}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make(session: nox.Session, lock: str, folder: Path, python: str) -> None:
    """Make an environment anew where it is another Python's or lock's, or was cut short: it is never patched."""
    wanted = digest(lock)
    if stamp(folder) == wanted and version_of(python) == python_version():
        return
    if reason := refusal(platform.python_version(), platform.system(), platform.machine()):
        session.error(reason)
    if folder.exists():
        shutil.rmtree(folder)
    options = ["--without-pip"] if find_uv() else []
    session.run_install(sys.executable, "-m", "venv", *options, str(folder), external=True, silent=True)
    (folder / STAMP).write_text("unfinished", encoding="utf-8")
    install(session, lock, python)
    (folder / STAMP).write_text(wanted, encoding="utf-8")


def install(session: nox.Session, lock: str, python: str) -> None:
    """Install a lock, then the project: hashes checked, from wheels only, and no build environment of its own."""
    session.log(f"installing {lock}: a minute or two, once")
    settings = pip_settings(os.environ)
    version, hashes = pins(Path(lock).read_text(encoding="utf-8"))["torch"]
    index = cpu_index(os.environ, at_hand=wheel_at_hand(version)) if lock == CPU_LOCK else ""
    if index:
        session.log(f"looking for torch {version} in {index} too ({INDEX_VARIABLE} names another address, or none)")
    # A lock is the whole list. Asked for what its packages need, pip takes a newer release of what one of them wants
    # with an extra (`coverage[toml]`, while the lock has `coverage`), and fails for want of a hash.
    options = ["--require-hashes", "--only-binary=:all:", "--no-deps"]
    with tempfile.TemporaryDirectory() as folder:
        # Alone, so that no other package is looked for in that index; and `===`, because `torch==2.13.0` would let uv
        # take a 2.13.0+cpu that is at hand, whose hash then fails.
        torch = Path(folder, "torch.txt")
        torch.write_text(f"torch==={version} {' '.join(sorted(hashes))}\n", encoding="utf-8")
        environ = install_environ(settings, index, os.environ)
        pip_install(session, python, *options, "--requirement", str(torch), environ=environ)
    environ = install_environ(settings, "", os.environ)
    pip_install(session, python, *options, "--requirement", lock, environ=environ)
    pip_install(session, python, "--no-deps", "--no-build-isolation", "--editable", ".", environ=environ)


def pip_install(session: nox.Session, python: str, *arguments: str, environ: dict[str, str]) -> None:
    """`pip install` into the environment of a python, or uv's where it is at hand: seconds, for pip's minute."""
    uv = find_uv()
    if uv:
        command = [uv, "pip", "install", "--python", python]
    else:
        command = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    session.run_install(*command, *arguments, env=environ, external=True, silent=True)


def find_uv() -> str | None:
    """The program uv: on the PATH, or installed beside nox."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def version_of(python: str) -> str:
    """The version of a Python; empty where it does not start, as after `pyenv uninstall`."""
    command = [python, "-c", "import platform; print(platform.python_version())"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def refusal(python: str, system: str, machine: str) -> str | None:
    """Why a lock cannot be installed into this Python on this machine, or None.

    The patch release counts: the interpreter is the first thing that a record of the environment names, and the
    container image has the same one.
    """
    if python != (wanted := python_version()):
        return (
            f"the locks are for CPython {wanted} (.python-version) and this is {python}: "
            f"`pyenv install {wanted}`, then run that one's `python -m pip install nox && python -m nox`"
        )
    if (system, machine) != ("Linux", "x86_64"):
        return f"the locks are for Linux x86_64 and this is {system} {machine}: `python -m pip install .` takes no lock"
    return None


def no_gpu(devices: Path = Path("/dev")) -> str | None:
    """Why there is no NVIDIA GPU to be used here, or None: asked before gigabytes are installed for it."""
    if any(devices.glob("nvidia[0-9]*")):
        return None
    command = shutil.which("nvidia-smi")  # WSL has no such device files
    if command and subprocess.run([command, "-L"], capture_output=True, check=False).stdout.startswith(b"GPU "):
        return None
    return f"no NVIDIA GPU: no {devices}/nvidia0, and nvidia-smi {'lists none' if command else 'is not there'}"


def digest(lock: str) -> str:
    """What decides what an environment holds, in one number: the lock, how the project is installed, and from where."""
    tables = pyproject()
    project = [tables.get("build-system"), tables.get("project"), tables.get("tool", {}).get("setuptools")]
    folder = str(Path.cwd())  # in a copy of the project, the environment would still lead to the one that was copied
    return hashlib.sha256(Path(lock).read_bytes() + json.dumps([folder, *project]).encode()).hexdigest()


def stamp(folder: Path) -> str | None:
    """The digest of what an environment holds, or None where nothing was installed yet."""
    path = folder / STAMP
    return path.read_text(encoding="utf-8") if path.exists() else None
