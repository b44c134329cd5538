"""Times taken in turns, and what they say beside a peer's and against a bar."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from statistics import median
from subprocess import DEVNULL, run
from timeit import Timer
from typing import Any

Call = Callable[[], object]
Times = Sequence[float]
"""Seconds of one call, one for each round."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One benchmark: Seedbed's times, those of one peer in the same rounds, and the bar."""

    name: str
    ours: Times
    peer: str = ""
    """Empty where there is none."""
    theirs: Times | None = None
    """None where the peer is not installed."""
    size: int = 0
    """Bytes worked on, if figures are to be rates."""
    under: float | None = None
    """The bar, in seconds."""
    no_slower: bool = False
    """The bar is the peer's time."""
    holds: bool = True
    """Whether that is so which the bar asks for beside the time."""

    @property
    def ratio(self) -> float | None:
        """Seedbed's time over the peer's, the median of the rounds': below 1, Seedbed is the faster."""
        return median(a / b for a, b in zip(self.ours, self.theirs, strict=True)) if self.theirs else None

    @property
    def met(self) -> bool | None:
        """Whether the medians meet the bar; None where there is none, or no peer to hold it against."""
        if self.no_slower:
            return None if self.ratio is None else self.ratio <= 1
        return None if self.under is None else self.holds and median(self.ours) < self.under

    @property
    def bar(self) -> str:
        """The bar in words; empty where there is none."""
        if self.no_slower:
            return "no slower"
        return "" if self.under is None else f"{'above' if self.size else 'under'} {self._figure(self.under)}"

    def text(self, times: Times | None) -> str:
        """Say the median, and the best in brackets."""
        if times is None:
            return "skipped: not installed" if self.peer else ""
        return f"{self._figure(median(times))} ({self._figure(min(times))})"

    def as_dict(self) -> dict[str, Any]:
        """Give everything for JSON, times in seconds."""
        skipped = bool(self.peer) and self.theirs is None
        return vars(self) | {"skipped": skipped, "ratio": self.ratio, "bar": self.bar, "met": self.met}

    def _figure(self, seconds: float) -> str:
        if self.size:
            return f"{self.size / seconds / 1e9:.2f} GB/s"
        scale, unit = (1, "s") if seconds >= 1 else (1e3, "ms") if seconds >= 1e-3 else (1e6, "µs")
        return f"{seconds * scale:.3g} {unit}"


def in_turns(calls: Mapping[str, Call], rounds: int, number: int = 1) -> dict[str, Times]:
    """Time calls in turns, A B A B, so that what else the machine does falls on all; the first round is not counted.

    Each turn makes `number` calls; a time is that of one.
    """
    timers = [Timer(call) for call in calls.values()]
    turns = [[timer.timeit(number) / number for timer in timers] for _ in range(rounds + 1)]
    return dict(zip(calls, zip(*turns[1:], strict=True), strict=True))


def process(*arguments: str) -> Call:
    """Make the call that runs this interpreter, from its start to its end."""
    return partial(run, [sys.executable, *arguments], stdout=DEVNULL, check=True)


def has_lightning() -> bool:
    """Whether the one peer is here that Seedbed does not itself need."""
    return find_spec("lightning") is not None
