"""MATLAB's ``randn``: the ziggurat of 256 strips of Marsaglia and Tsang (https://doi.org/10.18637/jss.v005.i08).

Every try takes a pair of words: 8 bits choose a strip, 53 a place across it. What lies in the strip's core is taken at
once, 98 or 99 of 100 tries. Beside it one uniform number, a pair more, decides; in the lowest strip, which has no end,
a loop does that takes two or more.
"""

import math
from collections.abc import Callable
from decimal import Context, Decimal
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from seedbed.matlab import twister

Uniform: TypeAlias = Callable[[], float]

CHUNK = 1 << 14
"""Tries at a time: what they need stays in the processor's cache."""

_STRIPS = 256
_TAIL = 3.65415288536101
"""Where the lowest strip's core ends and the tail begins, as MATLAB has it: with 15 digits."""
_TAIL_INVERSE = 0.273661237329758
_EXACT_TAIL = 3.6541528853610088
_FOOT = 0.001260285930498598
"""The density there, exp(-r*r/2) for the tail's begin r."""
_AREA = 0.004928673233974658
"""Of each strip: r * exp(-r*r/2) + sqrt(pi/2) * erfc(r / sqrt(2)), with the tail."""
_CONTEXT = Context(prec=40)
_TIES = (55, 140, 147, 150, 168, 171, 181, 223)
"""Widths whose 16th digit is a 5 and more noise, which MATLAB's table has rounded down."""


def normals(generator: np.random.RandomState, count: int) -> NDArray[np.float64]:
    """Draw standard normal numbers, as MATLAB's ``randn`` does from the same state.

    A number takes one try or more. As many tries as numbers are missing can therefore never be too many, and the
    generator is left exactly where MATLAB's is: nothing is drawn ahead.
    """
    values = np.empty(count)
    done = 0
    while done < count:
        some = _tries(generator, min(CHUNK, count - done))
        values[done : done + some.size] = some
        done += some.size
    return values


def _tries(generator: np.random.RandomState, count: int) -> NDArray[np.float64]:
    """Draw so many pairs, and what the last of them needs beyond, and give the numbers that they make."""
    words = twister.words(generator, 2 * count)
    values, strips, taken = _as_if_all_were_tries(words)
    beside = np.flatnonzero(~taken)
    if not beside.size:  # as when one number is asked for
        return values
    verdicts = _verdicts(values[beside], strips[beside], words, beside)
    uniforms = _Uniforms(words, generator)
    place = 0  # of the next pair that is a try: the one after a try that is taken at once always is
    for this, verdict in zip(beside.tolist(), verdicts, strict=True):
        if this < place:  # no try but a uniform number that one before it took
            continue
        if verdict is None:
            uniforms.place = this + 1
            value = _beside_the_core(values[this].item(), strips[this].item(), uniforms.draw)
            verdict, place = value is not None, uniforms.place
            values[this] = np.nan if value is None else value  # which is not taken
        else:
            place = this + 2
        taken[this] = verdict
        taken[this + 1 : place] = False
    return values[taken]


def _verdicts(
    values: NDArray[np.float64], strips: NDArray[np.uint8], words: NDArray[np.uint32], places: NDArray[np.intp]
) -> list[bool | None]:
    """Decide on the pairs outside their cores, as if each was a try: taken, not taken, or None where it is not so easy.

    That is in the tail, before a uniform number of 0, and at the end of the chunk.
    """
    after = np.minimum(places + 1, words.size // 2 - 1)
    uniform = ((words[2 * after] >> 5) * 2.0**26 + (words[2 * after + 1] >> 6)) * 2.0**-53
    _, heights = tables()
    low = heights[1:][strips]
    density = list(map(math.exp, (-0.5 * values * values).tolist()))
    verdicts: list[bool | None] = (low + uniform * (heights[strips] - low) < density).tolist()
    for place in np.flatnonzero((strips == _STRIPS - 1) | (uniform == 0) | (places != after - 1)).tolist():
        verdicts[place] = None
    return verdicts


def _as_if_all_were_tries(
    words: NDArray[np.uint32],
) -> tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.bool_]]:
    """Give each pair's place on the axis, its strip from 0, and whether it lies in the core."""
    first, second = words[::2], words[1::2]
    strips = (second >> 24).astype(np.uint8)
    values = (first >> 3).astype(np.float64)
    values *= 2.0**24
    values += second & 0xFFFFFF
    values *= 2.0**-52
    values -= 1
    widths, _ = tables()
    values *= widths[1:][strips]
    return values, strips, np.abs(values) <= widths[strips]


class _Uniforms:
    """Uniform numbers from the pairs of a chunk, from `place` on, and then from the generator that follows them."""

    __slots__ = ("_generator", "_words", "place")

    def __init__(self, words: NDArray[np.uint32], generator: np.random.RandomState) -> None:
        self._words = words
        self._generator = generator
        self.place = 0

    def draw(self) -> float:
        value = 0.0
        while value == 0:  # which is drawn again
            value = self._next()
        return value

    def _next(self) -> float:
        place = 2 * self.place
        if place >= self._words.size:
            return self._generator.random_sample()
        self.place += 1
        first, second = self._words[place : place + 2].tolist()
        return float((first >> 5 << 26) + (second >> 6)) * 2.0**-53


def _beside_the_core(value: float, strip: int, uniform: Uniform) -> float | None:
    """Decide on a try outside its strip's core: its number, or None if there has to be another try.

    The exponential function is the C library's, whose last bit decides once in 10**13 times.
    """
    if strip == _STRIPS - 1:
        return math.copysign(_beyond(uniform), value)
    _, heights = tables()
    height = heights[strip + 1] + uniform() * (heights[strip] - heights[strip + 1])
    return value if height < math.exp(-0.5 * value * value) else None


def _beyond(uniform: Uniform) -> float:
    """Draw from the tail, as Marsaglia does (https://doi.org/10.1080/00401706.1964.10490150)."""
    while True:
        step = math.log(uniform()) * _TAIL_INVERSE
        if -2 * math.log(uniform()) > step * step:
            return _TAIL - step


@cache
def tables() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute where the strips end, from 0 at the top outwards, and the density's heights there: shape (257,) each.

    All strips have the same area. The last entry is where the lowest would end if it were a rectangle. MATLAB's tables
    have 15 significant digits, and that shows in its numbers, each of which is a multiple of one of them. A golden
    digest in the tests pins the widths. Of the heights, those in C code that MATLAB generates differ from these in the
    15th digit for a quarter of the strips: that decides one try in 10**13 otherwise.
    """
    exact, height = [_AREA / _FOOT, _EXACT_TAIL], _FOOT
    while len(exact) < _STRIPS:
        height += _AREA / exact[-1]
        exact.append(math.sqrt(-2 * _log(height)))
    exact = [0.0, *exact[::-1]]
    widths = np.array([_rounded(width - 1e-14 * (place in _TIES)) for place, width in enumerate(exact)])
    heights = np.array([_rounded(_exp(-width * width / 2)) for width in exact])
    widths.flags.writeable = heights.flags.writeable = False  # they are shared
    return widths, heights


def _rounded(value: float) -> float:
    return float(f"{value:.15g}")


def _log(value: float) -> float:
    """Round the logarithm correctly, as not every C library does."""
    return float(_CONTEXT.ln(Decimal(value)))


def _exp(value: float) -> float:
    return float(_CONTEXT.exp(Decimal(value)))
