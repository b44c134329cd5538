"""How fast MATLAB's stream draws, against NumPy's legacy generator, which draws the same words."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.timing import Row, in_turns
from seedbed.matlab import MatlabRandom

NUMBERS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class AtMost(Row):
    """A row whose bar is so many times the peer's time."""

    times: float

    @property
    def met(self) -> bool | None:
        """Whether the ratio meets the bar."""
        return None if self.ratio is None else self.ratio <= self.times

    @property
    def bar(self) -> str:
        """The bar in words."""
        return f"{self.times:g} times"


def measure(rounds: int) -> Iterator[Row]:
    """Draw uniform and normal numbers, as many as fill 80 MB."""
    ours, theirs = MatlabRandom(1337), np.random.RandomState(1337)
    times = in_turns(
        {
            "rand": partial(ours.rand, NUMBERS, 1),
            "random_sample": partial(theirs.random_sample, NUMBERS),
            "randn": partial(ours.randn, NUMBERS, 1),
            "standard_normal": partial(theirs.standard_normal, NUMBERS),
        },
        rounds,
    )
    for name, peer, bar in (("rand", "random_sample", 1.5), ("randn", "standard_normal", 5)):
        what = f"MATLAB's {name}, {NUMBERS:,} numbers"
        yield AtMost(name=what, ours=times[name], peer=f"RandomState.{peer}", theirs=times[peer], times=bar)
