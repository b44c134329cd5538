"""MATLAB's ``randperm``: which of its four ways is taken depends on how many of the numbers are asked for.

All give float64 of shape (k,), from 1 to n. The two that are marked so follow what was read of MATLAB's code; no value
that was published confirms them. Whoever has MATLAB can, with the three lines that are given.
"""

import numpy as np
from numpy.typing import NDArray

from seedbed.matlab.twister import uniforms

Numbers = NDArray[np.float64]


def permutation(generator: np.random.RandomState, n: int) -> Numbers:
    """Give ``randperm(n)``: the stable order that sorts ``rand(1, n)``, from 1."""
    return np.argsort(uniforms(generator, n), kind="stable").astype(np.float64) + 1


def some_of(generator: np.random.RandomState, n: int, k: int) -> Numbers:
    """Give ``randperm(n, k)`` for k in 0..n, by the way that MATLAB takes for so many."""
    if k == n:
        return _all(generator, n)
    return _few(generator, n, k) if 4 * k < n else _many(generator, n, k)


def _all(generator: np.random.RandomState, n: int) -> Numbers:
    """Shuffle all n, the next always put where one of those before it was: n uniforms.

    Not confirmed by a published value. In MATLAB, compare with what `MatlabRandom(0).randperm(8, 8)` gives::

        rng(0, 'twister')
        p = randperm(8, 8)
        next = rand
    """
    numbers: list[int] = []
    for number, uniform in enumerate(uniforms(generator, n).tolist(), 1):
        _insert(numbers, number, uniform)
    return np.array(numbers, dtype=np.float64)


def _few(generator: np.random.RandomState, n: int, k: int) -> Numbers:
    """Shuffle from the front as far as is asked for, and keep only what was moved: k uniforms, for k < n / 4.

    Not confirmed by a published value. In MATLAB, compare with what `MatlabRandom(0).randperm(100, 6)` gives::

        rng(0, 'twister')
        p = randperm(100, 6)
        next = rand
    """
    moved: dict[int, int] = {}
    numbers = np.empty(k)
    for place, uniform in enumerate(uniforms(generator, k).tolist()):
        other = place + int(uniform * (n - place))
        numbers[place] = moved.get(other, other) + 1
        moved[other] = moved.get(place, place)
    return numbers


def _many(generator: np.random.RandomState, n: int, k: int) -> Numbers:
    """Choose k of n in ascending order, and shuffle while choosing: 2k uniforms, for n / 4 <= k < n."""
    numbers: list[int] = []
    drawn = uniforms(generator, 2 * k).tolist()
    number = 0
    for left, uniform, place in zip(range(k, 0, -1), drawn[::2], drawn[1::2], strict=True):
        number += 1 + _skipped(uniform, left, n - number)
        _insert(numbers, number, place)
    return np.array(numbers, dtype=np.float64)


def _skipped(uniform: float, left: int, among: int) -> int:
    """Count how many are passed over before the next that is chosen, if `left` are to be of the `among` that remain."""
    skipped, chance = 0, left / among  # that it was chosen by now
    while uniform > chance:
        skipped += 1
        chance += (1 - chance) * left / (among - skipped)
    return skipped


def _insert(numbers: list[int], number: int, uniform: float) -> None:
    """Put a number where one of those before it was, or last, and that one last."""
    numbers.append(number)
    place = int(uniform * len(numbers))
    numbers[-1], numbers[place] = numbers[place], number
