"""What Octave makes of uniform numbers: integers (randi.m), permutations (rand.cc), those of class single."""

from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedbed.errors import MatlabError, shown
from seedbed.matlab.sizes import check_elements, whole_number
from seedbed.matlab.twister import uniforms, words

_FLINTMAX = 2**53


def single_uniforms(generator: np.random.RandomState, count: int) -> NDArray[np.float32]:
    """Draw the low 24 bits of a word each; a 0, one of 2**24, is drawn again, in its turn."""
    bits = np.empty(0, np.uint32)
    while len(bits) < count:
        low = words(generator, count - len(bits)) & np.uint32(2**24 - 1)
        bits = np.append(bits, low[low != 0])
    return bits.astype(np.float32) * np.float32(2.0**-24)


def checked_bounds(bounds: Any) -> tuple[int, int]:
    """Give the lowest and the highest integer of ``randi (bounds)``.

    Raises
    ------
    MatlabError
        If the bounds are not one integer or two in order, below 2**53 each and less than 2**53 - 1 apart.
    """
    pair = [1, bounds] if np.ndim(bounds) == 0 else list(bounds)
    if len(pair) != 2:
        raise MatlabError(f"randi's bounds are one integer or two, not {shown(bounds)}")
    low, high = (whole_number(each, "a bound of randi") for each in pair)
    if low > high or max(-low, high) >= _FLINTMAX or high - low >= _FLINTMAX - 1:
        raise MatlabError(
            "randi's bounds must be in order (one alone is the upper, of 1), below 2**53 each and less than 2**53 - 1 "
            f"apart, not {shown(low)} and {shown(high)}"
        )
    return low, high


def integers(generator: np.random.RandomState, low: int, high: int, count: int) -> NDArray[np.float64]:
    """Cut 53 bits into equal parts, and reject what is left over: each step in doubles, as in randi.m."""
    part = _FLINTMAX // (high - low + 1)
    end = part * (high - low + 1)
    expected = count / (end / _FLINTMAX)
    draws = ceil(expected + 10 * sqrt(expected - count))
    while True:
        bits = uniforms(generator, draws) * _FLINTMAX
        bits = bits[bits < end]
        if len(bits) >= count:  # nearly always; if not, all are drawn again
            return low + np.floor(bits[:count] / part)


def permuted(generator: np.random.RandomState, length: int, count: int) -> NDArray[np.float64]:
    """Exchange each of the first `count` places of ``1..length`` with one not before it, in turn, and give those."""
    is_sparse = count < length // 5  # as Octave: only what was moved is kept, and the result is the same
    check_elements(count if is_sparse else length, f"randperm({length}, {count})")
    places = np.arange(count)
    drawn = places + np.floor(uniforms(generator, count) * (length - places))
    targets = drawn.astype(np.int64).tolist()
    return np.array(_shuffled_sparsely(targets) if is_sparse else _shuffled(length, targets), np.float64) + 1


def _shuffled(length: int, targets: list[int]) -> list[int]:
    places = list(range(length))
    for place, target in enumerate(targets):
        places[place], places[target] = places[target], places[place]
    return places[: len(targets)]


def _shuffled_sparsely(targets: list[int]) -> list[int]:
    moved: dict[int, int] = {}
    result = []
    for place, target in enumerate(targets):
        result.append(moved.get(target, target))
        moved[target] = moved.get(place, place)
    return result
