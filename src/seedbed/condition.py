"""What may vary between two runs of an experiment, and the process environment that makes it so.

Every condition changes one thing against the baseline and runs in a fresh process, whose environment is complete before
the interpreter starts: after `import torch`, ATen, MKL and oneDNN still listen to their variables, but thread pools,
OpenBLAS and NumPy no longer do, which leaves a half-applied state, in silence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from seedbed.environment import InForce
from seedbed.errors import ConfigError

LEVELS = ("none", "seeded", "deterministic", "portable")
"""How much Seedbed controls while an experiment runs, each level more than the one before."""

CONDITIONS = ("rerun", "hashseed", "threads", "isa", "order", "device")
"""What may vary against the baseline."""

CPU_CONDITIONS = ("threads", "isa")
"""The conditions that are about the CPU: on a GPU they are skipped."""

WAIT_ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_THREAD_TIMEOUT": "4"}
"""Make threads that wait sleep instead of spin: it changes no bits, and processes that share cores need it."""

REPEATS = 40
"""Runs inside the one process that repeats: some operations vary only one time in forty."""


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to run: the baseline, or one condition at one setting.

    `environ` is set in the process before it starts. With `reverse`, the experiments run last to first. With `repeats`
    above 1, each is run again in the same process, up to so often while time allows.
    """

    condition: str
    setting: str = ""
    device: str = "cpu"
    environ: dict[str, str] = {}
    reverse: bool = False
    repeats: int = 1

    @property
    def label(self) -> str:
        """The variant in one word: ``threads=4``."""
        return f"{self.condition}={self.setting}" if self.setting else self.condition


@dataclass(frozen=True, slots=True)
class Skip:
    """A condition, or one setting of it, that this machine cannot make, and why."""

    condition: str
    setting: str
    device: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cpu:
    """What the conditions need to know of this machine's processor."""

    cores: int
    features: frozenset[str]
    numpy_features: tuple[str, ...]
    machine: str


def level_environ(level: str, seed: int) -> dict[str, str]:
    """The environment variables that belong to a level, because they are read before any call can set them."""
    environ: dict[str, str] = {}
    if level != "none":
        environ |= {"PYTHONHASHSEED": str(seed)}
    if level in ("deterministic", "portable"):
        environ |= {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "TORCHINDUCTOR_DETERMINISTIC": "1"}
    return environ


def check_names(what: str, names: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return `names` in the order of `known`.

    Raises:
        ConfigError: for a name that is not among `known`.
    """
    asked = list(names)
    for name in asked:
        if name not in known:
            raise ConfigError(f"there is no {what} {name!r}: there are {', '.join(known)}")
    return tuple(name for name in known if name in asked)


def variants(conditions: Iterable[str], *, device: str, seed: int, cpu: Cpu) -> tuple[list[Variant], list[Skip]]:
    """Every way to run on `device` that `conditions` ask for, the baseline first, and what cannot be made here.

    The condition `device` is not made here: it is the comparison of two devices' baselines.
    """
    made: list[Variant] = [Variant(condition="baseline", device=device)]
    skipped: list[Skip] = []
    for condition in check_names("condition", conditions, CONDITIONS):
        if condition in CPU_CONDITIONS and device != "cpu":
            skipped.append(Skip(condition, "", device, f"{condition} is about the CPU"))
        elif condition in _MAKERS:
            variants_made, reasons = _MAKERS[condition](seed, cpu)
            made += [msgspec.structs.replace(variant, device=device) for variant in variants_made]
            skipped += [Skip(condition, setting, device, reason) for setting, reason in reasons.items()]
    return made, skipped


_Made = tuple[list[Variant], Mapping[str, str]]


def _rerun(_seed: int, _cpu: Cpu) -> _Made:
    return [
        Variant(condition="rerun", setting="process"),
        Variant(condition="rerun", setting="repeats", repeats=REPEATS),
    ], {}


def _hashseed(seed: int, _cpu: Cpu) -> _Made:
    other = str((seed + 1) % 2**32)
    return [Variant(condition="hashseed", setting=other, environ={"PYTHONHASHSEED": other})], {}


def _order(_seed: int, _cpu: Cpu) -> _Made:
    return [Variant(condition="order", setting="reversed", reverse=True)], {}


def _threads(_seed: int, cpu: Cpu) -> _Made:
    counts = sorted({1, cpu.cores, 2 * cpu.cores})
    return [Variant(condition="threads", setting=str(n), environ=_threads_environ(n)) for n in counts], {}


def _threads_environ(count: int) -> dict[str, str]:
    # OMP_NUM_THREADS alone leaves torch at the number of cores when more are asked for: MKL lowers it again.
    return {
        "OMP_NUM_THREADS": str(count),
        "MKL_NUM_THREADS": str(count),
        "MKL_DYNAMIC": "FALSE",
        "OPENBLAS_NUM_THREADS": str(count),
    }


_OLDER_CPUS: dict[str, dict[str, Any]] = {
    # Each library listens to a variable of its own; together they stand in for the older CPU.
    "sse4": {
        "needs": frozenset({"sse4_1"}),
        "aten": "DEFAULT",
        "environ": {
            "ATEN_CPU_CAPABILITY": "default",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "MKL_CBWR": "COMPATIBLE",
            "OPENBLAS_CORETYPE": "Prescott",
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX,-AVX512F,-AVX512VL",
        },
        "numpy_keeps": ("SSE", "SSSE3", "POPCNT", "X86_V2"),
    },
    "avx2": {
        "needs": frozenset({"avx2", "fma"}),
        "aten": "AVX2",
        "environ": {
            "ATEN_CPU_CAPABILITY": "avx2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_CBWR": "AVX2",
            "OPENBLAS_CORETYPE": "Haswell",
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL",
        },
        "numpy_keeps": ("SSE", "SSSE3", "POPCNT", "X86_V2", "AVX", "F16C", "FMA", "X86_V3"),
    },
}


def _isa(_seed: int, cpu: Cpu) -> _Made:
    if cpu.machine not in ("x86_64", "AMD64"):
        return [], {"": f"the switches between instruction sets are for x86-64; this is {cpu.machine}"}
    made, reasons = [], {}
    for setting, older in _OLDER_CPUS.items():
        if missing := sorted(older["needs"] - cpu.features):
            reasons[setting] = f"this CPU has no {', '.join(missing)}"
        else:
            made.append(Variant(condition="isa", setting=setting, environ=_isa_environ(older, cpu.numpy_features)))
    return made, reasons


def _isa_environ(older: Mapping[str, Any], numpy_features: Iterable[str]) -> dict[str, str]:
    disabled = [name for name in numpy_features if not _numpy_keeps(name, older["numpy_keeps"])]
    environ: dict[str, str] = dict(older["environ"])
    return environ | ({"NPY_DISABLE_CPU_FEATURES": " ".join(disabled)} if disabled else {})


def _numpy_keeps(feature: str, kept: Sequence[str]) -> bool:
    return not feature.startswith("AVX512") and any(feature.startswith(name) for name in kept)


_MAKERS = {"rerun": _rerun, "hashseed": _hashseed, "threads": _threads, "isa": _isa, "order": _order}


def shortfall(variant: Variant, in_force: InForce) -> str | None:
    """Why a variant did not take effect, by what torch and NumPy say is in force in the process, or None where it did.

    OpenBLAS is not asked, as it never starts more threads than there are cores; glibc, MKL and oneDNN say nothing.
    """
    if variant.condition == "threads" and (torch := in_force.threads.get("torch")) not in (None, int(variant.setting)):
        return f"asked for {variant.setting} threads, torch has {torch}"
    if variant.condition == "isa":
        older = _OLDER_CPUS[variant.setting]
        if (aten := in_force.isa.get("aten")) not in (None, older["aten"]):
            return f"asked for {variant.setting}, ATen uses {aten}"
        kernels = in_force.isa.get("numpy kernels", "").split()
        if newer := [name for name in kernels if not _numpy_keeps(name, (*older["numpy_keeps"], "baseline"))]:
            return f"asked for {variant.setting}, NumPy uses {' '.join(newer)}"
    return None
