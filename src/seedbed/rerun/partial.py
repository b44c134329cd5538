"""What is done so far of a check, on disk, so that a run that was killed can be taken up again."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from seedbed.bits import Bits
from seedbed.environment import Environment, difference
from seedbed.errors import RecordError
from seedbed.rerun.messages import Finished, Message, Ready, decode
from seedbed.rerun.plan import Job, Plan
from seedbed.storage import write_whole

_PLAN = "plan.json"
_SUFFIX = ".partial"


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check asks, and where: a partial check can only be taken up with the same."""

    plan: Plan
    environment: Environment


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
        for existing, advice in ((out, "choose another --out"), (folder, "finish it with --resume, or remove it")):
            if existing.exists():
                raise RecordError(f"{existing} exists already, and nothing is overwritten: {advice}")
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise RecordError(f"cannot write {folder}: {error.strerror}") from None
        write_whole(folder / _PLAN, msgspec.json.encode(header))
        return cls(folder, header)

    @classmethod
    def resume(cls, out: Path, header: Header) -> Self:
        """Take up the unfinished check for `out`.

        Raises:
            RecordError: where there is none, it cannot be read, or it asked something else or in another environment.
        """
        folder = _folder(out)
        path = folder / _PLAN
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
        return cls(folder, header)

    def save(self, job: Job, experiment: str | None, data: bytes) -> None:
        """Keep a message, whole or not at all; not forced to the disk: a kill loses nothing, only a power cut may."""
        write_whole(self._path(job, experiment), data, durable=False)

    def missing(self, job: Job) -> Job | None:
        """The part of a job that is not done yet, or None."""
        left = tuple(name for name in job.experiments if self._load(job, name) is None)
        return msgspec.structs.replace(job, experiments=left) if left else None

    def ready(self, job: Job) -> Ready | None:
        """What was in force in the job's process, or None where it never came so far."""
        loaded = self._load(job, None)
        return loaded[0] if loaded and isinstance(loaded[0], Ready) else None

    def finished(self, job: Job, experiment: str) -> tuple[Finished, dict[str, Bits]] | None:
        """What became of an experiment, with its results, or None where it is missing."""
        loaded = self._load(job, experiment)
        return (loaded[0], loaded[1]) if loaded and isinstance(loaded[0], Finished) else None

    def remove(self) -> None:
        """Remove the folder, once the record is written."""
        shutil.rmtree(self.folder)

    def _load(self, job: Job, experiment: str | None) -> tuple[Message, dict[str, Bits]] | None:
        path = self._path(job, experiment)
        try:
            return decode(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None

    def _path(self, job: Job, experiment: str | None) -> Path:
        name = f"{job.level}.{job.variant.device}.{job.variant.label}"
        return self.folder / f"{name}{os.extsep}{experiment.replace(':', '.') if experiment else 'run'}.safetensors"


def _folder(out: Path) -> Path:
    return out.with_name(out.name + _SUFFIX)


def latest(root: Path) -> Path:
    """The record that the newest unfinished check under `root` was to become.

    Raises:
        RecordError: where there is no unfinished check.
    """
    folders = sorted(root.glob(f"*{_SUFFIX}"), key=lambda folder: folder.stat().st_mtime)
    if not folders:
        raise RecordError(f"{root}: no unfinished check to resume")
    return folders[-1].with_name(folders[-1].name.removesuffix(_SUFFIX))
