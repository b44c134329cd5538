"""The project: its interpreter, its lock, its commit, and the container around it."""

import os
import re
from pathlib import Path

from seedbed.doctor.finding import Finding, broken, note, ok
from seedbed.environment import Environment, Lock
from seedbed.environment.machine import IMAGE_DIGEST_VARIABLE
from seedbed.image import Image

_FEW = 4
"""So many packages are named; of the others, how many."""


def python(here: Environment) -> Finding:
    """The interpreter against ``.python-version``."""
    version, pinned = here.python.version, here.python.pinned
    this = f"{here.python.implementation} {version}"
    if pinned == version:
        return ok("python", f"{this}, as .python-version asks")
    write = f"write {version} into .python-version"
    if pinned is None:
        return note("python", f"{this}; no .python-version here pins it", write)
    if not re.fullmatch(r"\d+(\.\d+)*", pinned):  # the name of a pyenv-virtualenv, say
        return note("python", f"{this}; .python-version says {pinned!r}, which is no version", write)
    if version.startswith(f"{pinned}."):
        return note("python", f"{this}; .python-version leaves the release open: {pinned}", write)
    do = f"make the environment with {pinned} (pyenv install {pinned})"
    return broken("python", f"{this}, but .python-version asks for {pinned}", do)


def lock(here: Environment) -> Finding:
    """What is installed against the lock."""
    if here.lock is None:
        return note("lock", "no requirements.lock here", "lock the requirements: nothing says which versions ran")
    if here.lock.broken:
        do = f"make the environment again from it (nox does; or python -m pip install -r {here.lock.file})"
        return broken("lock", f"{here.lock.file} is not what is installed: {_packages(here.lock)}", do)
    if not here.packages:
        return note("lock", f"{here.lock.file} pins no package", "write it again, with name==version on each line")
    return ok("lock", f"all {len(here.packages)} packages are as {here.lock.file} says")


def _packages(lock: Lock) -> str:
    said = [f"{name} {locked} (installed: {found or 'none'})" for name, (locked, found) in lock.broken.items()]
    more = [f"and {len(said) - _FEW} more"] if len(said) > _FEW else []
    return ", ".join(said[:_FEW] + more)


def source(here: Environment) -> Finding:
    """The project's commit. A container's image is built from one, and seldom has git."""
    if here.source is None:
        if here.container.image is not None:
            return _mounted() if os.path.ismount(Path.cwd()) else _built(here.container.image)
        if here.container.kind != "none":
            return ok("source", "no git repository: the image says which code this is")
        return note("source", "no git repository here", "git init, and commit: nothing says which code ran")
    commit = here.source.commit[:12]
    if here.source.clean is None:
        return note("source", f"commit {commit}; git did not say in time what has changed", "run git status")
    if not here.source.clean:
        return note("source", f"commit {commit}, and changes that are in no commit", "commit them before a run counts")
    return ok("source", f"commit {commit}, nothing changed")


def _mounted() -> Finding:
    """A folder of the user's own in an image: the image's commit is not that folder's, and there is no git to ask."""
    do = "note its commit beside the record, which has the sha256 of each experiment's file"
    return note("source", "this folder is mounted from outside, and the image has no git to say its commit", do)


def _built(image: Image) -> Finding:
    """The commit that the image was built from, which is the code where no other is mounted."""
    if image.revision is None:
        do = 'build it with --build-arg REVISION="$(git rev-parse HEAD)"; `nox -s image` does'
        return note("source", "no git repository, and the image does not say of which commit it is", do)
    said = f"the image is of commit {image.revision.removesuffix('-dirty')[:12]}"
    if image.revision.endswith("-dirty"):
        do = "commit them, and build it again, before a run counts"
        return note("source", f"{said}, and changes that are in no commit", do)
    return ok("source", said)


def container(here: Environment) -> Finding:
    """The container, and whether it is known of which image."""
    kind, digest = here.container.kind, here.container.image_digest
    if kind == "none":
        return ok("container", f"none: {here.system.libc or 'the C library'} is this machine's own")
    if digest is None and here.container.image is not None:
        return ok("container", f"{kind}, image with contents {here.container.image.contents}")
    if digest is None:
        do = f"start it with -e {IMAGE_DIGEST_VARIABLE}=sha256:..., which cannot be known from the inside"
        return note("container", f"{kind}; of which image, nobody said", do)
    return ok("container", f"{kind}, image {digest}")
