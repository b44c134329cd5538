"""One moment's state of all generators: captured and restored."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from seedbed.errors import RngStateError
from seedbed.rng_state.generators import default_generators, loaded, read, start, write

if TYPE_CHECKING:
    import torch

Generators: TypeAlias = Mapping[str, Any]
"""Generators of a program's own, by name: ``random.Random``, NumPy's ``Generator`` and ``RandomState``,
``torch.Generator``."""


@dataclass(frozen=True, slots=True, eq=False)
class RngState:
    """The state of the generators at one moment, each as its library gives it.

    Attributes
    ----------
    python
        Of ``random``: version, 624 words and the place among them, and the second of two Gaussian draws, if cached.
    numpy
        Of ``np.random``; None where NumPy was not loaded.
    torch
        Of torch's default generators, by device, each uint8 of shape (n,): the CPU's, and those of the CUDA, XPU and
        MPS devices that had started. Empty where torch was not loaded.
    generators
        Of the generators that were given, by name.
    """

    python: tuple[Any, ...]
    numpy: dict[str, Any] | None = None
    torch: "dict[str, torch.Tensor]" = field(default_factory=dict)
    generators: dict[str, Any] = field(default_factory=dict)

    def write(self, generators: Generators) -> None:
        """Put the generators into this state one after the other; what does not fit raises half-way."""
        random.setstate(self.python)
        if self.numpy is not None:
            import numpy as np

            np.random.set_state(self.numpy)
        if self.torch:
            there = default_generators()
            for device, state in self.torch.items():
                there[device].set_state(state)
        for name, generator in generators.items():
            write(generator, self.generators[name])


def capture(generators: Generators | None = None) -> RngState:
    """Take the state of Python's, NumPy's legacy and torch's default generators, and of those given.

    Libraries that are not loaded are left out, and no device is started. Generators that a program made for itself,
    from `Streams` too, are found only if they are given.

    Raises
    ------
    RngStateError
        If one of those given is no generator whose state is known, or its name is no printable text.
    """
    names: Iterable[object] = generators or ()
    for name in names:
        if not isinstance(name, str) or not name.isprintable():
            raise RngStateError(f"a generator's name must be printable text, not {name!r}")
    numpy = loaded("numpy")
    return RngState(
        python=random.getstate(),
        numpy=numpy.random.get_state(legacy=False) if numpy else None,
        torch={name: each.get_state() for name, each in default_generators().items()} if loaded("torch") else {},
        generators={name: read(generator) for name, generator in (generators or {}).items()},
    )


def restore(state: RngState, generators: Generators | None = None) -> None:
    """Put every generator into its state: all of them, or, on an error, none.

    A device that the state has a generator of is started for it.

    Parameters
    ----------
    state
        What `capture` or `load` gave.
    generators
        The program's own, by the names under which they were captured; each is changed in place.

    Raises
    ------
    RngStateError
        If a generator of the state is not given, or one that is given is not in it; if one is of another kind than
        its state; or if a device of the state is not here.
    """
    given = dict(generators or {})
    if given.keys() != state.generators.keys():
        raise RngStateError(
            f"the state has generators {sorted(state.generators)}, and {sorted(given)} were given: give each by its "
            "name, restore(state, {name: generator})"
        )
    for device in state.torch.keys() - {"cpu"}:
        start(device)
    before = capture(given)
    try:
        state.write(given)
    except BaseException as error:
        before.write(given)
        if isinstance(error, Exception):
            raise RngStateError(f"a generator cannot take its state, and none was changed: {error}") from error
        raise
