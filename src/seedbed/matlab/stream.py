"""MATLAB's random stream: the same numbers, in the same order, as MATLAB draws from the same seed or state."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, SupportsIndex, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seedbed.errors import MatlabError, shown
from seedbed.matlab import permutation, twister
from seedbed.matlab.sizes import Size, check_elements, numbers_in, shape_of, whole_number
from seedbed.matlab.ziggurat import normals
from seedbed.seeding import check_seed

Doubles: TypeAlias = NDArray[np.float64]
Draw: TypeAlias = Callable[[np.random.RandomState, int], Doubles]
Limits: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | NDArray[np.integer[Any]]

MAX_INTEGER = 2**53 - 1
"""MATLAB's ``flintmax - 1``: up to it a double holds every integer."""


class MatlabRandom:
    """MATLAB's stream after ``rng(seed, 'twister')``: one generator under all of its functions.

    ::

        random = MatlabRandom(0)  # rng(0) or rng('default')
        x = random.rand(3, 2)  # x = rand(3, 2)
        p = random.randperm(10)  # p = randperm(10)

    Calls may be mixed as they are in MATLAB: each goes on where the one before it stopped. Arrays are float64 in
    Fortran order, as MATLAB's are, filled column first. Without a size the result is one ``float``. All that it draws
    is as MATLAB draws it, as far as values that were published confirm it; the docstrings say what none confirms.
    ``'single'`` and integer classes are not there: MATLAB draws other numbers for some of them.

    Parameters
    ----------
    seed
        An integer in 0..2**32-1; 0 and 5489 are the same stream, as in MATLAB.

    Raises
    ------
    SeedError
        If `seed` is anything else.
    """

    __slots__ = ("_generator", "_seed")

    def __init__(self, seed: SupportsIndex = 0) -> None:
        self._seed = check_seed(seed)
        self._generator = twister.seeded(self._seed)

    @property
    def seed(self) -> int:
        """What the stream was made with, whatever state it has been given since."""
        return self._seed

    @property
    def state(self) -> NDArray[np.uint32]:
        """The state, as ``s = rng; s.State`` gives it: 624 words and the position; shape (625, 1), uint32, a copy.

        Set it to go on from there. It takes 625 integers in 0..2**32-1 (doubles of such values, too) of shape (625, 1),
        (625,) or (1, 625), the last in 1..624, and raises `MatlabError` for anything else. Octave's state is another:
        its last word counts down.

        That the position is 624 when the stream is fresh is not confirmed by a published value. In MATLAB, compare the
        last word with ``624`` and then with ``2``::

            rng(0, 'twister'); s = rng; s.State(625)
            rand;
            s = rng; s.State(625)
        """
        key, position = twister.key_and_position(self._generator)
        return np.append(key, np.uint32(position)).reshape(-1, 1)

    @state.setter
    def state(self, state: ArrayLike) -> None:
        column = twister.checked_column(state)
        twister.put(self._generator, column[:-1], int(column[-1]))

    @overload
    def rand(self) -> float: ...

    @overload
    def rand(self, first: Size, /, *more: SupportsIndex) -> Doubles: ...

    def rand(self, *size: Any) -> float | Doubles:
        """Draw uniform numbers within 0..1, both ends excluded: ``rand()``, ``rand(n)``, ``rand(m, n, ...)``.

        They are those of NumPy's ``RandomState(seed).random_sample()``. That an exact 0, one draw in 2**53, is drawn
        again is not confirmed by a published value. In MATLAB, see that these do not give 0 but what `rand()` does
        here with the same `state`::

            rng(0, 'twister'); s = rng; s.State(3:4) = 0; s.State(625) = 2;
            rng(s)
            rand

        Parameters
        ----------
        size
            Nothing, for one number; an integer n, for n x n; several; or one sequence of integers. Below 0 means 0, and
            dimensions of 1 at the end are dropped beyond the second.

        Raises
        ------
        MatlabError
            If a size is no integer, or the array is larger than MATLAB or the memory allows.
        """
        return self._drawn(twister.uniforms, size)

    @overload
    def randn(self) -> float: ...

    @overload
    def randn(self, first: Size, /, *more: SupportsIndex) -> Doubles: ...

    def randn(self, *size: Any) -> float | Doubles:
        """Draw standard normal numbers: ``randn()``, ``randn(n)``, ``randn(m, n, ...)``; sizes are as for `rand`.

        The numbers beyond 3.65, one in 3900, are not confirmed by a published value: not the way they are drawn, nor
        that MATLAB's logarithm has the same last bit as the C library's. In MATLAB, compare with the first number of
        `randn(20000, 1)` that is beyond, its place from 1, and `rand()` after them::

            rng(0, 'twister'); x = randn(20000, 1);
            i = find(abs(x) > 3.6542, 1); fprintf('%d %.17g\\n', i, x(i))
            next = rand

        Raises
        ------
        MatlabError
            If a size is no integer, or the array is larger than MATLAB or the memory allows.
        """
        return self._drawn(normals, size)

    @overload
    def randi(self, limits: Limits, /) -> float: ...

    @overload
    def randi(self, limits: Limits, first: Size, /, *more: SupportsIndex) -> Doubles: ...

    def randi(self, limits: Limits, /, *size: Any) -> float | Doubles:
        """Draw integers, all as likely, one uniform number each: ``randi(imax, ...)``, ``randi([imin, imax], ...)``.

        They are float64, MATLAB's class for them.

        Parameters
        ----------
        limits
            The largest, from 1 on; or a sequence of the smallest and the largest.
        size
            As for `rand`.

        Raises
        ------
        MatlabError
            If a limit is no integer within 2**53 - 1 of 0, the limits are in the wrong order or 2**53 - 1 or more
            apart, a size is no integer, or the array is larger than MATLAB or the memory allows.
        """
        low, high = _limits(limits)

        def draw(generator: np.random.RandomState, count: int) -> Doubles:
            values = twister.uniforms(generator, count)
            values *= high - low + 1
            np.floor(values, out=values)
            values += low
            return values

        return self._drawn(draw, size)

    def randperm(self, n: SupportsIndex, k: SupportsIndex | None = None) -> Doubles:
        """Draw a permutation of 1..n, or k of those numbers in random order: float64 of shape (1, n) or (1, k).

        ``randperm(n, n)`` is not ``randperm(n)``: MATLAB draws them in two ways. Of its four, ``randperm(n, k)`` for
        k < n/4 and for k = n are not confirmed by a published value. In MATLAB, compare with the same calls here::

            rng(0, 'twister'); a = randperm(100, 6)
            b = randperm(8, 8)
            next = rand

        Raises
        ------
        MatlabError
            If `n` or `k` is no integer, is negative, or is larger than MATLAB or the memory allows, or `k` is above
            `n`.
        """
        among = _natural(n, "n", 2**53 - 1)
        if k is None:
            check_elements(among, f"randperm({among})")
            return permutation.permutation(self._generator, among).reshape(1, -1)
        wanted = _natural(k, "k", among)
        check_elements(wanted, f"randperm({among}, {wanted})")
        return permutation.some_of(self._generator, among, wanted).reshape(1, -1)

    def _drawn(self, draw: Draw, size: tuple[Any, ...]) -> float | Doubles:
        if not size:
            return float(draw(self._generator, 1)[0])
        shape = shape_of(size)
        return draw(self._generator, prod(shape)).reshape(shape, order="F")


def _limits(limits: Limits) -> tuple[int, int]:
    given = numbers_in(limits)
    given = [limits] if given is None else given
    numbers = [whole_number(each, "a limit of randi") for each in given]
    if len(numbers) == 1:
        numbers = [1, *numbers]
    if len(numbers) != 2 or max(map(abs, numbers)) > MAX_INTEGER or not 0 <= numbers[1] - numbers[0] < MAX_INTEGER:
        raise MatlabError(
            "the limits of randi must be the largest, from 1 on, or [smallest, largest], within 2**53 - 1 of 0 and "
            f"less than that apart, not {shown(limits)}"
        )
    return numbers[0], numbers[1]


def _natural(value: object, name: str, most: int) -> int:
    number = whole_number(value, f"{name} of randperm")
    if not 0 <= number <= most:
        raise MatlabError(f"{name} of randperm must be in 0..{most}, not {shown(number)}")
    return number
