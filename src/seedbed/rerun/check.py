"""A whole check: run what the plan says, keep it as it comes, compare it, and make the record."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import seedbed
from seedbed.bits import Bits
from seedbed.comparison import Relation
from seedbed.condition import WAIT_ASLEEP, Skip, shortfall
from seedbed.errors import ExperimentError, RecordError
from seedbed.progress import Tick
from seedbed.promise import Promises
from seedbed.record import SCHEMA_VERSION, Cell, Record, Run, array_key, compare_cell, write
from seedbed.rerun.messages import Finished
from seedbed.rerun.partial import Partial
from seedbed.rerun.plan import Job, Plan
from seedbed.rerun.pool import Event, Pool


def run(partial: Partial, *, slots: int, time_limit: float, tick: Callable[[Tick], None]) -> None:
    """Run what is missing of a check and keep what comes.

    `slots` is how many processes run side by side, `time_limit` the seconds that one run of an experiment may take.

    Raises:
        ExperimentError: where an experiment cannot even be loaded for its baseline: a name that was mistyped is no
            result.
        RecordError: where a result cannot be kept (a full disk).
    """
    plan = partial.header.plan
    missing = [job for job in map(partial.missing, plan.jobs) if job is not None]
    done = before = plan.cells - sum(len(job.experiments) for job in missing)
    with Pool(slots, time_limit, _environ()) as pool:
        for event in pool.run(missing):
            _refuse_unloadable(event)
            partial.save(event.job, event.message.experiment, event.data)
            done += 1
            last = f"{event.job.level} {event.job.variant.device} {event.job.variant.label} {event.message.experiment}"
            tick(Tick(done, plan.cells, before, last))


def _environ() -> dict[str, str]:
    # A hash seed of the user's own would make `none` blind to it, and the condition `hashseed` perhaps no change.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    return {**WAIT_ASLEEP, **own, "PYTHONUNBUFFERED": "1"}


def _refuse_unloadable(event: Event) -> None:
    message = event.message
    if not message.loaded and event.job.variant.condition == "baseline":
        raise ExperimentError(f"{message.reason}\n{message.output}" if message.output else message.reason)


def make_record(partial: Partial, out: Path, promises: Promises) -> Record:
    """Compare what was kept of a finished check, write the record to the folder `out`, and return it.

    Raises:
        RecordError: where it cannot be written.
    """
    header = partial.header
    assembly = _Assembly(partial, promises)
    cells = list(assembly.cells())
    record = Record(
        schema_version=SCHEMA_VERSION,
        seedbed_version=seedbed.__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=header.plan.seed,
        arrays_sha256="",
        environment=header.environment,
        runs=list(_runs(partial)),
        cells=cells,
    )
    record = write(out, record, assembly.arrays(cells))
    partial.remove()
    return record


def _runs(partial: Partial) -> Iterator[Run]:
    for job in partial.header.plan.jobs:
        messages = [found[0] for name in job.experiments if (found := partial.finished(job, name))]
        for message in reversed(messages):
            if message.in_force is not None:
                yield Run(
                    level=job.level,
                    variant=job.variant,
                    in_force=message.in_force,
                    flags=message.flags,
                    variables=message.variables,
                )
                break


class _Assembly:
    """Makes the cells of a record from what was kept of a check."""

    def __init__(self, partial: Partial, promises: Promises) -> None:
        self.partial = partial
        self.plan: Plan = partial.header.plan
        self.promises = promises
        self.baselines: dict[tuple[str, str], Job] = {
            (job.level, job.variant.device): job for job in self.plan.jobs if job.variant.condition == "baseline"
        }

    def cells(self) -> Iterator[Cell]:
        """Every cell: experiment by experiment, level by level."""
        for experiment, level in itertools.product(self.plan.experiments, self.plan.levels):
            for job in self.plan.jobs:
                if job.level == level:
                    yield self._cell(experiment, job)
            if {"cpu", "cuda"} <= set(self.plan.devices):
                yield self._across_devices(experiment, level)
            for skip in self.plan.skipped:
                yield _skipped(experiment, level, skip)

    def arrays(self, cells: Iterable[Cell]) -> dict[str, Bits]:
        """The results of the baselines among `cells`, by array key."""
        return {
            array_key(cell, key): bits
            for cell in cells
            if cell.condition == "baseline" and cell.status == "done"
            for key, bits in self._finished(self.baselines[cell.level, cell.device], cell.experiment)[1].items()
        }

    def _finished(self, job: Job, experiment: str) -> tuple[Finished, dict[str, Bits]]:
        if (finished := self.partial.finished(job, experiment)) is None:
            raise RecordError(f"{self.partial.folder}: {experiment} under {job.variant.label} is missing: use --resume")
        return finished

    def _cell(self, experiment: str, job: Job) -> Cell:
        variant = job.variant
        finished, results = self._finished(job, experiment)
        if finished.in_force and (reason := shortfall(variant, finished.in_force)):
            return _skipped(experiment, job.level, Skip(variant.condition, variant.setting, variant.device, reason))
        cell = Cell(
            experiment=experiment,
            level=job.level,
            device=variant.device,
            condition=variant.condition,
            setting=variant.setting,
            status=finished.status,
            reason=finished.reason,
            output=finished.output,
            seconds=finished.seconds,
            runs=finished.runs,
            varied=finished.varied,
            fingerprints=finished.fingerprints,
        )
        if variant.condition == "baseline":
            return cell
        return self._compared(cell, results, self.baselines[job.level, variant.device])

    def _across_devices(self, experiment: str, level: str) -> Cell:
        finished, results = self._finished(self.baselines[level, "cuda"], experiment)
        cell = Cell(
            experiment=experiment,
            level=level,
            device="cuda",
            condition="device",
            setting="cuda",
            status=finished.status,
            reason=finished.reason,
            fingerprints=finished.fingerprints,
        )
        return self._compared(cell, results, self.baselines[level, "cpu"])

    def _compared(self, cell: Cell, results: Mapping[str, Bits], against: Job) -> Cell:
        """The cell with its comparison, and whether that keeps the promise about it."""
        promise = self.promises.of(cell.experiment, cell.level, cell.condition)
        baseline, expected = self._finished(against, cell.experiment)
        comparison = None
        if cell.status == baseline.status == "done":
            comparison = compare_cell(results, expected, promise)
        same = comparison is not None and comparison.relation is Relation.IDENTICAL
        return msgspec.structs.replace(
            cell,
            fingerprints={} if same else cell.fingerprints,
            comparison=comparison,
            promise=promise.text if promise else None,
            kept=promise.kept(comparison) if promise and comparison else None,
        )


def _skipped(experiment: str, level: str, skip: Skip) -> Cell:
    return Cell(
        experiment=experiment,
        level=level,
        device=skip.device,
        condition=skip.condition,
        setting=skip.setting,
        status="skipped",
        reason=skip.reason,
    )
