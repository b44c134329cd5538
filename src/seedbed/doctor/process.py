"""The process: its hash seed, and the flags that decide whether a rerun gives the same bits."""

import os
import sys
import warnings
from collections.abc import Iterable
from dataclasses import fields
from multiprocessing import parent_process

from seedbed.determinism import Flags, deterministic, in_force, set_flags
from seedbed.doctor.finding import Finding, broken, note, ok
from seedbed.environment import InForce

_HASHSEED = "PYTHONHASHSEED"
_FLAGS = tuple(field.name for field in fields(Flags) if field.name != "cublas_workspace_config")  # has its own line
_SET = "seedbed.set_all_seeds(seed, deterministic=True)"


def hash_seed(now: InForce) -> Finding:
    """The hash seed in force against the one that was asked for."""
    asked, found = os.environ.get(_HASHSEED) or "random", now.hashseed
    if asked == found == "random":
        do = f"export {_HASHSEED}=0 before Python starts; seedbed repro sets it by itself"
        return note("hash seed", "random: the order of a set of strings changes from run to run", do)
    if asked == "random":
        do = f"leave {_HASHSEED}={found} in the environment: a process started from here has a random one"
        return note("hash seed", f"{found}, but {_HASHSEED} has gone since", do)
    if _number(asked) == _number(found):
        return ok("hash seed", f"{found}, as {_HASHSEED} asks")
    ignored = sys.flags.ignore_environment
    why = "Python was started with -E or -I" if ignored else "it was set after Python had started"
    do = "start Python without -E and -I" if ignored else f"export {_HASHSEED}={asked} before Python starts"
    return broken("hash seed", f"{_HASHSEED}={asked} asks for it, in force: {found} ({why})", do)


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def flags(no_cuda: str | None, *, attempt: bool) -> Finding:
    """Whether the flags of `deterministic()` are in force; with `attempt`, whether they can be."""
    if "torch" not in sys.modules:
        return ok("flags", "torch is not loaded: there is none to set")
    return _attempted() if attempt else _in_force(no_cuda)


def _attempted() -> Finding:
    before = _missing(in_force())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with set_flags(deterministic()):
            refused = _missing(in_force())
    if refused:
        found = "; ".join(str(warning.message) for warning in said) or f"not in force when set: {_names(refused)}"
        return broken("flags", found, "remove what holds them; without them a rerun may give other bits")
    now = f"; until then {_values(before)}" if before else " and are"
    return ok("flags", f"all {len(_FLAGS)} can be in force here{now}")


def _in_force(no_cuda: str | None) -> Finding:
    now = in_force()
    missing = _missing(now)
    if not missing:
        return ok("flags", f"all {len(_FLAGS)} are in force")
    child = " in this process too: a spawned one inherits none" if parent_process() else ""
    if now.deterministic_algorithms == "off":
        return note("flags", f"deterministic mode is off; {_values(missing)}", f"call {_SET}{child}")
    if defeating := sorted(missing.keys() & _defeating(no_cuda)):
        found = f"deterministic mode is on, and defeated by {_values({name: missing[name] for name in defeating})}"
        return broken("flags", found, f"call {_SET}, and set none of them afterwards")
    return note("flags", f"deterministic mode is on, but {_values(missing)}", f"call {_SET} to have them all")


def _defeating(no_cuda: str | None) -> set[str]:
    """The flags without which deterministic mode does not repeat itself, of those that matter in this program."""
    benchmark = set() if no_cuda else {"cudnn_benchmark"}  # it picks an algorithm by timing, deterministic ones too
    inductor = {"inductor_deterministic"} if "torch._inductor.config" in sys.modules else set()
    return benchmark | inductor


def _missing(now: Flags) -> dict[str, object]:
    """The flags that are not as `deterministic()` has them, and what they are."""
    wanted = deterministic()
    return {name: getattr(now, name) for name in _FLAGS if getattr(now, name) != getattr(wanted, name)}


def _values(values: dict[str, object]) -> str:
    """Say several flags, those of one value together: ``tf32: cudnn_conv_fp32_precision, cudnn_rnn...``."""
    together: dict[str, list[str]] = {}
    for name, value in values.items():
        together.setdefault(str(value), []).append(name)
    return "; ".join(f"{value}: {_names(names)}" for value, names in together.items())


def _names(names: Iterable[str]) -> str:
    return ", ".join(name.removesuffix("_fp32_precision") for name in names)
