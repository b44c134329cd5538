"""Octave's `randn` and `rande`: the ziggurat of Marsaglia and Tsang, as liboctave/numeric/randmtzig.cc lays it out.

The method is that of https://www.jstatsoft.org/article/view/v005i08, with 256 layers of one area. Octave's own in it:

1. One try takes a pair of 32-bit words, read as one integer of 64 bits, the first word lowest. `randn` uses 54 bits of
   it, of which the lowest is the sign; `rande` uses 53. The lowest 8 bits of what remains are the layer, and all of it
   times the layer's width is the value. It is accepted at once if it is below the layer's limit: in 99 of 100 tries.
2. Otherwise the edge of the layer, or the tail, takes uniforms of 53 bits, each from a pair of words too, where 0 is
   drawn again. So words are drawn in pairs throughout, and each pair is known to be a try or a uniform by counting.

The tables come from ``exp`` and ``log`` of the C library, as in Octave: glibc's, from 2.28 on, are what the tests pin.
Correctly rounded ones would differ in 2 of 1018 places. Nor does Octave follow to the bit on a machine where its
compiler fuses a multiplication and an addition into one rounding; on x86-64 it does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import exp, log, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from seedbed.matlab.twister import words

LAYERS = 256
NORMAL_START, NORMAL_INVERSE, NORMAL_AREA = 3.6541528853610088, 0.27366123732975828, 0.00492867323399
EXPONENTIAL_START, EXPONENTIAL_AREA = 7.69711747013104972, 0.0039496598225815571993
"""Where the tail begins (for the normal one its inverse too), and the area of a layer."""

_BLOCK = 2**15
"""How many pairs are looked at together: few enough to stay in a processor's cache."""

Settle: TypeAlias = Callable[["Tables", float, int, "Uniforms"], float | None]
"""What decides a value that was not accepted at once: from its bits, its layer, and uniforms. None: try again."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The layers, from the tail's (0) and the top one (1) down to the lowest (255).

    ``limits`` are int64 of shape (256,): integers below are accepted; ``widths`` float64: what an integer is multiplied
    with; ``heights`` the density at a layer's end, as Python's floats.
    """

    limits: NDArray[np.int64]
    widths: NDArray[np.float64]
    heights: list[float]


@dataclass(slots=True)
class Uniforms:
    """Uniforms between 0 and 1, both excluded, one after another from pairs of words."""

    pairs: NDArray[np.uint64]
    place: int

    def next(self) -> float:
        """Give the next; an IndexError where the pairs are used up."""
        number = 0
        while number == 0:
            pair = int(self.pairs[self.place])
            number = (pair & 0xFFFFFFFF) >> 5 << 26 | pair >> 38
            self.place += 1
        return number * 2.0**-53


def normal(generator: np.random.RandomState, count: int) -> NDArray[np.float64]:
    """Draw as Octave's ``randn (count, 1)`` does: float64 of shape (count,)."""
    return _draw(generator, count, normal_tables(), _normal_tries, _settle_normal)


def exponential(generator: np.random.RandomState, count: int) -> NDArray[np.float64]:
    """Draw as Octave's ``rande (count, 1)`` does: float64 of shape (count,)."""
    return _draw(generator, count, exponential_tables(), _exponential_tries, _settle_exponential)


@cache
def normal_tables() -> Tables:
    """Make the layers below ``exp(-x*x/2)``."""
    return _tables(
        NORMAL_START, NORMAL_AREA, density=lambda x: exp(-0.5 * x * x), inverse=lambda y: sqrt(-2.0 * log(y))
    )


@cache
def exponential_tables() -> Tables:
    """Make the layers below ``exp(-x)``."""
    return _tables(EXPONENTIAL_START, EXPONENTIAL_AREA, density=lambda x: exp(-x), inverse=lambda y: -log(y))


def _tables(
    start: float, area: float, *, density: Callable[[float], float], inverse: Callable[[float], float]
) -> Tables:
    """Go up from the tail: a layer's area over its length is its height, and the density there gives the next."""
    ends, heights = [start], [density(start)]
    for _ in range(LAYERS - 2):
        ends.append(inverse(area / ends[-1] + heights[-1]))
        heights.append(density(ends[-1]))
    tail = start * heights[0] / area, area / heights[0]
    inner = [above / below for below, above in pairwise(ends)]
    limits = [tail[0], 0.0, *reversed(inner)]  # the top layer has none: it is edge all over
    widths = [tail[1], *reversed(ends)]
    return Tables((np.array(limits) * 2**53).astype(np.int64), np.array(widths) * 2.0**-53, [1.0, *reversed(heights)])


def _draw(
    generator: np.random.RandomState,
    count: int,
    tables: Tables,
    tries: Callable[[NDArray[np.uint64]], tuple[NDArray[np.int64], NDArray[np.int64]]],
    settle: Settle,
) -> NDArray[np.float64]:
    """Draw as many pairs as values are missing, until none is.

    That never takes one too many, so that the generator ends where Octave's does: each value needs a pair, and a try
    that is left over for want of uniforms needs one at least.
    """
    result, have, pairs = np.empty(count), 0, np.empty(0, np.uint64)
    while have < count:
        pairs = np.concatenate([pairs, _drawn(generator, min(count - have, _BLOCK))])
        signs, numbers = tries(pairs)
        values, used = _accepted(pairs, signs, numbers, tables, settle)
        result[have : have + len(values)] = values
        have, pairs = have + len(values), pairs[used:]
    return result


def _drawn(generator: np.random.RandomState, count: int) -> NDArray[np.uint64]:
    return words(generator, 2 * count).astype("<u4", copy=False).view("<u8").astype(np.uint64, copy=False)


def _normal_tries(pairs: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split pairs into the sign, 1 or -1, and an integer of 53 bits."""
    bits = pairs.view(np.int64) & (2**54 - 1)
    return 1 - 2 * (bits & 1), bits >> 1


def _exponential_tries(pairs: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.ones(1, np.int64), pairs.view(np.int64) & (2**53 - 1)


def _accepted(
    pairs: NDArray[np.uint64],
    signs: NDArray[np.int64],
    numbers: NDArray[np.int64],
    tables: Tables,
    settle: Settle,
) -> tuple[NDArray[np.float64], int]:
    """Give the values of all tries that the pairs hold whole, and how many pairs those took."""
    layers = numbers & (LAYERS - 1)
    values = signs * numbers * tables.widths[layers]
    kept = numbers < tables.limits[layers]
    uniforms = Uniforms(pairs, 0)
    for place in np.flatnonzero(~kept).tolist():
        if place < uniforms.place:
            continue  # no try: an earlier one took this pair for a uniform
        uniforms.place = place + 1
        try:
            value = settle(tables, float(values[place]), int(numbers[place]), uniforms)
        except IndexError:
            return values[:place][kept[:place]], place
        kept[place : uniforms.place] = False
        if value is not None:
            values[place], kept[place] = value, True
    return values[kept], len(pairs)


def _settle_normal(tables: Tables, value: float, number: int, uniforms: Uniforms) -> float | None:
    layer = number & (LAYERS - 1)
    if layer:
        return value if _is_below(tables, layer, exp(-0.5 * value * value), uniforms) else None
    beyond, height = 1.0, 0.0
    while height + height <= beyond * beyond:
        beyond, height = -NORMAL_INVERSE * log(uniforms.next()), -log(uniforms.next())
    return -NORMAL_START - beyond if number & LAYERS else NORMAL_START + beyond


def _settle_exponential(tables: Tables, value: float, number: int, uniforms: Uniforms) -> float | None:
    layer = number & (LAYERS - 1)
    if layer:
        return value if _is_below(tables, layer, exp(-value), uniforms) else None
    return EXPONENTIAL_START - log(uniforms.next())


def _is_below(tables: Tables, layer: int, density: float, uniforms: Uniforms) -> bool:
    """Whether a uniform point in the layer's edge is below the density."""
    upper, lower = tables.heights[layer - 1], tables.heights[layer]
    return (upper - lower) * uniforms.next() + lower < density
