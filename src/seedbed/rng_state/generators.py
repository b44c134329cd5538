"""The four kinds of generators, and how the state of each is read and written."""

import random
import sys
from typing import TYPE_CHECKING, Any, Literal

from seedbed.errors import RngStateError

if TYPE_CHECKING:
    import torch

Kind = Literal["random.Random", "numpy.RandomState", "numpy.Generator", "torch.Generator"]

BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
"""NumPy's own: of another's state nothing is known."""


def loaded(name: str) -> Any:
    """Give a library that has been imported, or None: also for what a test put in its place, without a ``__spec__``."""
    module = sys.modules.get(name)
    return module if getattr(module, "__spec__", None) is not None else None


def find_kind(generator: object) -> Kind | None:
    """Say which kind of generator this is; None where it is none of them."""
    numpy, torch = loaded("numpy"), loaded("torch")
    if isinstance(generator, random.Random) and not isinstance(generator, random.SystemRandom):
        return "random.Random"
    if numpy is not None and isinstance(generator, numpy.random.RandomState):
        return "numpy.RandomState"
    if numpy is not None and isinstance(generator, numpy.random.Generator):
        return "numpy.Generator"
    if torch is not None and isinstance(generator, torch.Generator):
        return "torch.Generator"
    return None


def read(generator: Any) -> Any:
    """Read the state of a generator, as its library gives it.

    Raises
    ------
    RngStateError
        If it is none of the four kinds, or draws from a bit generator that is not NumPy's own.
    """
    kind = find_kind(generator)
    if kind is None:
        raise RngStateError(
            f"{generator!r} ({type(generator).__name__}) has no state that could be kept: give a random.Random, "
            "np.random.Generator, np.random.RandomState or torch.Generator"
        )
    if kind == "random.Random":
        return generator.getstate()
    if kind == "torch.Generator":
        return generator.get_state()
    state = generator.get_state(legacy=False) if kind == "numpy.RandomState" else generator.bit_generator.state
    if state["bit_generator"] not in BIT_GENERATORS:
        raise RngStateError(f"bit generator {state['bit_generator']} is none of NumPy's: {', '.join(BIT_GENERATORS)}")
    return state


def write(generator: Any, state: Any) -> None:
    """Put a generator into a state that was read from one of its kind; it raises what its library raises."""
    kind = find_kind(generator)
    if kind == "random.Random":
        generator.setstate(state)
    elif kind == "numpy.Generator":
        generator.bit_generator.state = state
    else:
        generator.set_state(state)


def default_generators() -> "dict[str, torch.Generator]":
    """Give torch's default generators by device: the CPU's, and those of accelerators that have started."""
    import torch

    backends: Any = torch
    found = {"cpu": torch.default_generator}
    for name in ("cuda", "xpu"):
        backend = getattr(backends, name)
        if backend.is_initialized():
            found |= {f"{name}:{number}": each for number, each in enumerate(backend.default_generators)}
    if torch.backends.mps.is_available():  # it has no start of its own
        found["mps"] = backends.mps._get_default_mps_generator()
    return found


def start(device: str) -> None:
    """Start the accelerator that a default generator belongs to.

    Not `torch.cuda.set_rng_state`, which before the start would wait for it, and then be undone by any seed that waits
    too (torch 2.13: ``_lazy_init`` runs seeds last).

    Raises
    ------
    RngStateError
        If there is no such device here.
    """
    import torch

    name, _, number = device.partition(":")
    backend: Any = getattr(torch, name)
    if backend.device_count() <= int(number or 0):
        raise RngStateError(
            f"the state has a generator of {device}, and there is no such device here: restore it where there is one, "
            'or leave it out: dataclasses.replace(state, torch={"cpu": state.torch["cpu"]})'
        )
    if name != "mps":
        backend.init()
