"""A container engine, and the builds of an image in it."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nox

from seedbed.sessions.packages import INDEX_VARIABLE, pip_settings
from seedbed.sessions.project import CPU_LOCK, CUDA_LOCK

VARIANT = re.compile(r"(--build-arg=)?VARIANT=.*")
"""An argument of a build that names a variant: in one word, or after `--build-arg`."""


def image(session: nox.Session, tag: str, kind: str) -> None:
    """Build a project's image of a variant with what `session.posargs` adds, and let the doctor look around in it."""
    engine, reason = find_engine(os.environ.get("DOCKER"))
    if reason:
        session.skip(reason)
    with tempfile.TemporaryDirectory() as folder:
        build(session, [*build_command(engine, kind, Path(folder), session.posargs), f"--tag={tag}", "."])
    session.run(engine, "run", "--rm", tag, "doctor", external=True)


def find_engine(named: str | None) -> tuple[str, str | None]:
    """The client of an engine that answers (`named`, or docker, or podman), and why there is none."""
    for engine in [named] if named else ["docker", "podman"]:
        if shutil.which(engine) and subprocess.run([engine, "info"], capture_output=True, check=False).returncode == 0:
            return engine, None
    tried = named or "docker and podman"
    return "", (
        f"no container engine answers ({tried}): install Docker (https://docs.docker.com/engine/install) or Podman and "
        "start it; DOCKER names another client"
    )


def build_command(engine: str, kind: str, folder: Path, arguments: list[str]) -> list[str]:
    """`docker build` with all that an image can know of itself, and what pip was told here as secrets (in `folder`)."""
    settings = pip_settings(os.environ)
    variant = named_variant(arguments) or kind
    lock = CUDA_LOCK if variant == "cuda" else CPU_LOCK
    values = {
        "VARIANT": variant,
        "REVISION": revision(),
        "SOURCE": public_address(git("config", "remote.origin.url")),
        "SOURCE_DATE_EPOCH": git("log", "-1", "--format=%ct"),
        "LOCK_SHA256": hashlib.sha256(Path(lock).read_bytes()).hexdigest(),
    }
    if address := os.environ.get(INDEX_VARIABLE):
        values["TORCH_INDEX"] = address
    pip = folder / "pip.conf"
    pip.write_text(pip_conf(settings), encoding="utf-8")
    secrets = {"pip": pip, **({"ca": settings["cert"]} if "cert" in settings else {})}
    return [
        *(engine, "build"),
        *(f"--build-arg={name}={value}" for name, value in values.items() if value),
        *(f"--secret=id={name},src={path}" for name, path in secrets.items()),
        *arguments,  # last, so that they win
    ]


def named_variant(arguments: list[str]) -> str:
    """The VARIANT that the arguments of a build end up with; empty where they name none."""
    named = [argument.partition("VARIANT=")[2] for argument in arguments if VARIANT.fullmatch(argument)]
    return named[-1] if named else ""


def pip_conf(settings: Mapping[str, str]) -> str:
    """pip's settings for inside a build: indexes, but no folder of this machine, which is not there."""
    kept = {
        name: " ".join(part for part in settings[name].split() if "://" in part and not part.startswith("file:"))
        for name in ("index-url", "extra-index-url")
        if name in settings
    }
    if "trusted-host" in settings:
        kept["trusted-host"] = settings["trusted-host"]
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in kept.items() if value), ""])


def git(*arguments: str) -> str:
    """What git says; nothing outside a repository."""
    command = ["git", *arguments]
    if not shutil.which("git"):
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def public_address(url: str) -> str:
    """A remote's address as the public may read it: without a password, and nothing where it is a folder."""
    found = re.fullmatch(r"(https?|ssh|git)://(?:[^/@]*@)?(\S+)", url)
    return f"{found[1]}://{found[2]}" if found else ""


def revision() -> str:
    """The commit that is built, and whether it is more than that commit."""
    commit = git("rev-parse", "--verify", "--quiet", "HEAD")
    return f"{commit}-dirty" if commit and git("status", "--porcelain") else commit


def build(session: nox.Session, command: list[str]) -> None:
    """Build; with BuildKit where the engine is an older Docker."""
    session.run_install(*command, external=True, env={"DOCKER_BUILDKIT": "1"})


def build_twice(session: nox.Session, engine: str, command: list[str], folder: Path, python: str) -> None:
    """Build twice without a cache, and compare file by file; `python` is one that has Seedbed."""
    tags, archives = [], []
    for number in ("one", "two"):
        tags.append(f"seedbed-twice:{number}")
        archives.append(str(folder / f"{number}.tar"))
        build(session, [*command, "--no-cache", f"--tag={tags[-1]}", "."])
        session.run(engine, "save", f"--output={archives[-1]}", tags[-1], external=True)
    session.run(python, "-m", "seedbed.image", "compare", *archives, external=True)
    session.run(engine, "rmi", *tags, external=True, silent=True)
