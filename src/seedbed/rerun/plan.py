"""Which processes a check needs: one for each level and variant, with all experiments in it."""

from collections.abc import Iterable, Sequence

import msgspec

from seedbed.condition import CONDITIONS, LEVELS, Cpu, Skip, Variant, check_names, variants
from seedbed.errors import ConfigError
from seedbed.experiment import check_name

BEFORE = ("seedbed.suite.numerics:linalg", "seedbed.suite.training:mlp")
"""What runs before a single experiment under the condition `order`, which needs others to run first."""


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One worker process: its level, its variant, and the experiments that it runs, in order."""

    level: str
    variant: Variant
    experiments: tuple[str, ...]
    seed: int


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole check. Two plans that are equal ask the same question, so that one can resume the other."""

    seed: int
    levels: tuple[str, ...]
    experiments: tuple[str, ...]
    devices: tuple[str, ...]
    jobs: tuple[Job, ...]
    skipped: tuple[Skip, ...]

    @property
    def cells(self) -> int:
        """How many runs of an experiment the plan has."""
        return sum(len(job.experiments) for job in self.jobs)


def make_plan(
    experiments: Iterable[str],
    *,
    levels: Iterable[str],
    conditions: Iterable[str],
    device: str,
    no_gpu: str | None,
    seed: int,
    cpu: Cpu,
) -> Plan:
    """Plan a check of `experiments`.

    On `device` cpu everything runs on the CPU. On cuda it runs on the GPU, and the CPU's baselines are made too if the
    condition `device` is asked for. On auto it runs on the CPU and, unless `no_gpu` says why there is none, on the GPU.

    Raises:
        ConfigError: for an unknown level or condition.
        ExperimentError: for a name that is not of the form package.module:function.
    """
    names = tuple(dict.fromkeys(experiments))
    for name in names:
        check_name(name)
    levels = check_names("level", levels, LEVELS)
    if not levels:
        raise ConfigError(f"no level was asked for: give one or more of {', '.join(LEVELS)}")
    asked = check_names("condition", conditions, CONDITIONS)
    made: list[Variant] = []
    skipped: list[Skip] = []
    for each in _devices(device, no_gpu, asked):
        here = () if each == "cpu" and device == "cuda" else asked
        more, reasons = variants(here, device=each, seed=seed, cpu=cpu)
        made += more
        skipped += reasons
    devices = tuple(dict.fromkeys(variant.device for variant in made))
    if "device" in asked and len(devices) == 1:
        skipped.append(Skip("device", "cuda", "cuda", no_gpu or "not asked for: --device cpu"))
    made.sort(key=lambda variant: variant.condition != "baseline")  # what the others are compared with comes first
    jobs = tuple(
        Job(level=level, variant=variant, experiments=_in_order(names, variant), seed=seed)
        for variant in made
        for level in levels
    )
    return Plan(seed=seed, levels=levels, experiments=names, devices=devices, jobs=jobs, skipped=tuple(skipped))


def _devices(device: str, no_gpu: str | None, conditions: Sequence[str]) -> tuple[str, ...]:
    if device == "auto":
        return ("cpu",) if no_gpu else ("cpu", "cuda")
    return ("cpu", "cuda") if device == "cuda" and "device" in conditions else (device,)


def _in_order(names: tuple[str, ...], variant: Variant) -> tuple[str, ...]:
    if not variant.reverse:
        return names
    others = BEFORE if len(names) == 1 else ()
    return (*(name for name in others if name not in names), *reversed(names))
