"""What is done so far of a check, on disk, so that a run that was killed can be taken up again."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from seedbed import environment
from seedbed.bits import Bits
from seedbed.environment import Environment, difference
from seedbed.errors import RecordError
from seedbed.rerun.messages import Finished, decode
from seedbed.rerun.plan import Job, Plan
from seedbed.storage import write_whole

_PLAN = "plan.json"
_SUFFIX = ".partial"


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check asks, and where: a partial check can only be taken up with the same."""

    plan: Plan
    environment: Environment
    sources: dict[str, str] = {}
    """The sha256 of each experiment's module, where it is a file."""


@dataclass(frozen=True, slots=True)
class Partial:
    """The folder ``<record>.partial``: one file for each message that is worth keeping."""

    folder: Path
    header: Header

    @classmethod
    def start(cls, out: Path, header: Header) -> Self:
        """Begin a check whose record will be `out`.

        Raises:
            RecordError: where `out` or an unfinished check for it exists, or the folder cannot be written.
        """
        folder = _folder(out)
        try:
            for existing, advice in ((out, "choose another --out"), (folder, "finish it with --resume, or remove it")):
                if existing.exists():
                    raise RecordError(f"{existing} exists already, and nothing is overwritten: {advice}")
            folder.mkdir(parents=True)
        except OSError as error:
            raise RecordError(f"cannot write {folder}: {error.strerror}{_cure(folder)}") from None
        partial = cls(folder, header)
        try:
            write_whole(folder / _PLAN, msgspec.json.encode(header))
        except RecordError:
            partial.remove()
            raise
        return partial

    @classmethod
    def resume(cls, out: Path, header: Header) -> Self:
        """Take up the unfinished check for `out`.

        Raises:
            RecordError: where there is none, it cannot be read, or it asked something else or in another environment.
        """
        folder = _folder(out)
        path = folder / _PLAN
        if out.exists():
            raise RecordError(f"{out} exists already: its check is finished; remove {folder} if it is there")
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Header)
        except FileNotFoundError:
            raise RecordError(f"{folder}: no unfinished check to resume") from None
        except (OSError, msgspec.DecodeError) as error:
            raise RecordError(f"{path}: expected the plan of an unfinished check, found: {error}") from None
        if found.plan != header.plan:
            raise RecordError(
                f"{path}: the unfinished check has other experiments, levels, conditions or seed: give the same"
            )
        # Whether git calls the tree clean may change because this very folder is in it.
        if changed := [what for what in difference(found.environment, header.environment) if what != "source.clean"]:
            raise RecordError(f"{path}: the environment has changed since ({', '.join(changed)}): start again")
        if found.sources != header.sources:
            changed = sorted(name for name, digest in header.sources.items() if found.sources.get(name) != digest)
            raise RecordError(f"{path}: the source of {', '.join(changed)} has changed since: start again")
        for left in out.parent.glob(f".{out.name}.*.part"):  # of a record that was being written when it was killed
            shutil.rmtree(left, ignore_errors=True)
        return cls(folder, header)

    def save(self, job: Job, experiment: str, data: bytes) -> None:
        """Keep a message, whole or not at all; not forced to the disk: a kill loses nothing, only a power cut may."""
        write_whole(self._path(job, experiment), data, durable=False)

    def missing(self, job: Job) -> Job | None:
        """The job, unless it is done: a part of it would be another job, without what runs before in its process."""
        return job if any(self.finished(job, name) is None for name in job.experiments) else None

    def finished(self, job: Job, experiment: str) -> tuple[Finished, dict[str, Bits]] | None:
        """What became of an experiment, with its results, or None where it is missing, or was cut short on the disk."""
        path = self._path(job, experiment)
        try:
            message, arrays = decode(path.read_bytes(), str(path))
        except (FileNotFoundError, RecordError):
            return None
        return (message, arrays) if isinstance(message, Finished) else None

    def remove(self) -> None:
        """Remove the folder, once the record is written."""
        shutil.rmtree(self.folder)

    def _path(self, job: Job, experiment: str) -> Path:
        # Numbers, since names may be longer than a file's name can be.
        jobs = self.header.plan.jobs
        whole = next(index for index, each in enumerate(jobs) if (each.level, each.variant) == (job.level, job.variant))
        number = jobs[whole].experiments.index(experiment)
        return self.folder / f"{whole:03}.{job.level}.{job.variant.device}.{job.variant.label}.{number:03}.safetensors"


def _folder(out: Path) -> Path:
    if not out.name:
        raise RecordError(f"{out} is no name for a record's folder: give --out the path of a new one")
    return out.with_name(out.name + _SUFFIX)


def _cure(folder: Path) -> str:
    """What to do about a folder that cannot be made: who may write where it should be, and how to become them."""
    # Unlike `Path.exists`, this is False too of what lies in a folder that may not be searched.
    there = next(parent for parent in folder.absolute().parents if os.path.exists(parent))  # noqa: PTH110
    if os.access(there, os.W_OK) or not hasattr(os, "getuid"):
        return ""
    said = f"; this is user {os.getuid()}, and {there} belongs to user {there.stat().st_uid}: "
    if environment.read_container().kind == "none":
        return f"{said}choose another --out"
    mount = '-v "$PWD/records:/records" --user "$(id -u):$(id -g)"'
    return f"{said}make the folder on the host first, and start the container with {mount}"


def is_lost(folder: Path) -> bool:
    """Whether a folder lies in a container's own file system, and so goes with the container."""
    return environment.read_container().image is not None and folder.stat().st_dev == Path("/").stat().st_dev


def unfinished(out: Path) -> bool:
    """Whether there is an unfinished check whose record was to be `out`."""
    return (_folder(out) / _PLAN).exists()


def latest(root: Path) -> Path:
    """The record that the newest unfinished check under `root` was to become.

    Raises:
        RecordError: where there is no unfinished check.
    """
    folders = sorted(
        (path.parent for path in root.glob(f"*{_SUFFIX}/{_PLAN}")), key=lambda folder: folder.stat().st_mtime
    )
    if not folders:
        raise RecordError(f"{root}: no unfinished check to resume")
    return folders[-1].with_name(folders[-1].name.removesuffix(_SUFFIX))
