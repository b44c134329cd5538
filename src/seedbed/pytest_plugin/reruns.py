"""A test rerun under every condition that its mark names, and what came of it."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from tempfile import TemporaryDirectory
from typing import Literal, TypeAlias

import pytest

from seedbed.bits import Bits
from seedbed.comparison import compare, describe
from seedbed.condition import WAIT_ASLEEP, Cpu, Skip, Variant, shortfall, variants
from seedbed.environment import no_cuda, numpy_features
from seedbed.environment.machine import read_cpu, read_system
from seedbed.pytest_plugin.mark import Question
from seedbed.rerun.messages import Finished, decode
from seedbed.rerun.plan import Job
from seedbed.rerun.pool import Pool, Program

_MOST_SLOTS = 4
"""Processes side by side: each needs the test's memory again."""

_OUTPUT_LINES = 20

_PYTEST = ("/_pytest/", "/pluggy/", "/pytest/", "/seedbed/pytest_plugin/", "<frozen runpy>")

_OURS = ("PYTHONHASHSEED", "COV_CORE_")
"""How the variables begin that a level sets, or by which pytest-cov 6 measures processes too."""

_Run: TypeAlias = tuple[Finished, dict[str, Bits]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one rerun, in one line; `output` is the last that a failed one printed."""

    condition: str
    label: str
    state: Literal["held", "broken", "skipped"]
    line: str
    output: str = ""

    def __str__(self) -> str:
        lines = [line for line in self.output.splitlines() if not _is_pytests_own(line)]
        return "\n".join([f"  {self.label}: {self.line}", *(f"      {line}" for line in lines[-_OUTPUT_LINES:])])


def check(item: pytest.Item, question: Question, node_id: str, root: int) -> None:
    """Rerun a test, and fail it where what it returns breaks the promise.

    It is skipped where none of the conditions that were asked for could be made.
    """
    made, skips = _variants(question, root)
    jobs = [Job(level=question.level, variant=each, experiments=(node_id,), seed=root) for each in made]
    with TemporaryDirectory(prefix="seedbed-", ignore_cleanup_errors=True) as folder:
        runs = _run(jobs, question.time_limit, _program(item, node_id, root, folder))
    outcomes = [*_outcomes(question, made, runs), *map(_left_out, skips)]
    if any(outcome.state == "broken" for outcome in outcomes):
        pytest.fail(_message(question, root, outcomes), pytrace=False)
    item.add_report_section("call", "seedbed", _lines(outcomes))
    if not any(outcome.state == "held" and outcome.condition in question.vary for outcome in outcomes):
        pytest.skip("; ".join(f"{outcome.label}: {outcome.line}" for outcome in outcomes if outcome.state == "skipped"))


def _variants(question: Question, root: int) -> tuple[list[Variant], list[Skip]]:
    """The baseline, a rerun that changes nothing, so that a difference has a known cause, and what was asked for.

    Not ``rerun=repeats``: what fixtures made is there once, and the first call may have changed it.
    """
    conditions = {"rerun", *question.vary} - {"device"}
    made, skips = variants(conditions, device="cpu", seed=root, cpu=_cpu())
    made = [variant for variant in made if variant.repeats == 1]
    if "device" in question.vary:
        if reason := no_cuda():
            skips.append(Skip("device", "cuda", "cuda", reason))
        else:
            made.append(Variant(condition="device", setting="cuda", device="cuda"))
    return made, skips


@cache
def _cpu() -> Cpu:
    cpu = read_cpu()
    return Cpu(
        cores=cpu.usable,
        features=frozenset(cpu.features),
        numpy_features=numpy_features().dispatch,
        machine=read_system().machine,
    )


def _program(item: pytest.Item, node_id: str, root: int, folder: str) -> Program:
    config = item.config
    target = "::".join([str(item.path), *node_id.split("::")[1:]])
    seed = getattr(config.option, "randomly_seed", None)  # what it drew, if it did
    options = {} if seed is None else {"randomly_seed": seed}

    def command(job: Job, channel: int, lifeline: int) -> list[str]:
        told = {"channel": channel, "lifeline": lifeline, "target": target, "options": options}
        place = f"{folder}/{job.variant.label}"
        ours = ["--basetemp", f"{place}-tmp", "-o", f"cache_dir={place}-cache"]
        ours += ["-n0"] if config.pluginmanager.hasplugin("xdist") else []
        ours += ["--no-cov"] if config.pluginmanager.hasplugin("pytest_cov") else []
        ours += [f"--seedbed-seed={root}", f"--seedbed-rerun={json.dumps(told)}"]
        return [sys.executable, "-m", "pytest", *_before_names(map(str, config.invocation_params.args), ours)]

    return Program(command, config.invocation_params.dir, "time_limit", output_lines=3 * _OUTPUT_LINES)


def _before_names(args: Iterable[str], ours: list[str]) -> list[str]:
    """Put our options behind those that were given, as the last one counts; what follows ``--`` is no option."""
    given = list(args)
    end = given.index("--") if "--" in given else len(given)
    return [*given[:end], *ours, *given[end:]]


def _run(jobs: Iterable[Job], time_limit: float, program: Program) -> dict[str, _Run]:
    runs: dict[str, _Run] = {}
    with Pool(_slots(), time_limit, _environ(), program) as pool:
        for event in pool.run(jobs):
            label, message = event.job.variant.label, event.message
            runs[label] = message, decode(event.data, label)[1]
            if label == "baseline" and message.status != "done":
                break  # the others have nothing to be compared with
    return runs


def _slots() -> int:
    return 1 if "PYTEST_XDIST_WORKER" in os.environ else min(_cpu().cores, _MOST_SLOTS)


def _environ() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**WAIT_ASLEEP, **own, "PYTHONUNBUFFERED": "1"}


def _outcomes(question: Question, made: Iterable[Variant], runs: Mapping[str, _Run]) -> list[Outcome]:
    baseline, expected = runs["baseline"]
    if baseline.status != "done":
        return [_unfinished("baseline", "baseline", baseline)]
    compared = [variant for variant in made if variant.condition != "baseline"]
    return [_outcome(question, variant, runs[variant.label], expected) for variant in compared]


def _outcome(question: Question, variant: Variant, run: _Run, expected: Mapping[str, Bits]) -> Outcome:
    finished, results = run
    if finished.status != "done":
        return _unfinished(variant.condition, variant.label, finished)
    if finished.in_force is not None and (reason := shortfall(variant, finished.in_force)):
        return Outcome(variant.condition, variant.label, "skipped", reason)
    promise = question.promise
    comparison = compare(results, expected, rtol=promise.rtol, atol=promise.atol)
    state: Literal["held", "broken"] = "held" if promise.kept(comparison) else "broken"
    return Outcome(variant.condition, variant.label, state, describe(comparison))


def _unfinished(condition: str, label: str, finished: Finished) -> Outcome:
    if finished.status == "skipped":
        return Outcome(condition, label, "skipped", finished.reason)
    return Outcome(condition, label, "broken", f"failed: {finished.reason}", finished.output)


def _left_out(skip: Skip) -> Outcome:
    label = f"{skip.condition}={skip.setting}" if skip.setting else skip.condition
    return Outcome(skip.condition, label, "skipped", skip.reason)


def _message(question: Question, root: int, outcomes: Iterable[Outcome]) -> str:
    promise = question.promise.text
    rule = "the same bits" if promise == "identical" else f"the same within {promise}"
    parts = [f"the test did not return {rule} (level {question.level}, --seedbed-seed={root}):"]
    for state, heading in (("broken", ""), ("held", "it did here:"), ("skipped", "not tried:")):
        if those := [outcome for outcome in outcomes if outcome.state == state]:
            parts += [heading, _lines(those)]
    return "\n".join(filter(None, parts))


def _is_pytests_own(line: str) -> bool:
    """Whether this is a frame in a crash's stack, of which there are thirty below every test."""
    return line.startswith('  File "') and any(place in line for place in _PYTEST)


def _lines(outcomes: Iterable[Outcome]) -> str:
    return "\n".join(map(str, outcomes))
