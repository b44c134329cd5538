"""Octave's own random streams, bit for bit, and the Octave code that makes it follow MATLAB's.

What is here was found with Octave 7.3 on x86-64 and is compared with it in tests/end_to_end/test_octave.py:

1. ``rand``, ``randn`` and ``rande`` draw from a Mersenne Twister each. ``randi`` and ``randperm`` draw from that of
   ``rand``.
2. ``rand ("twister", v)`` rounds the numbers of `v`, takes what is outside of 0..2**32-1 to the nearest end and NaN and
   Inf to 0, and seeds with all of them (``init_by_array`` of mt19937ar.c), a scalar too.
3. A vector of 625 whose last is 1..624 is a state instead: the words, and 625 less NumPy's position, so that 1 means
   that none is left.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Literal, SupportsIndex, TypeAlias, get_args, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seedbed.errors import MatlabError, SeedError, shown
from seedbed.matlab.octave_draws import checked_bounds, integers, permuted, single_uniforms
from seedbed.matlab.octave_ziggurat import exponential, normal
from seedbed.matlab.sizes import Size, as_array, shape_of, whole_number
from seedbed.matlab.twister import COLUMN_WORDS, KEY_WORDS, checked_column, key_and_position, put, uniforms
from seedbed.seeding import check_seed

Distribution: TypeAlias = Literal["rand", "randn", "rande"]
Seed: TypeAlias = float | Sequence[float] | NDArray[Any]
Bounds: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | NDArray[np.integer[Any]]
Doubles: TypeAlias = NDArray[np.float64]

DISTRIBUTIONS: tuple[Distribution, ...] = get_args(Distribution)
_MAX_INTEGER = 2**53 - 1

_MATLAB_SEEDING = """\
1;
function seed_as_matlab (seed)
  if (seed == 0)
    seed = 5489;
  endif
  words = zeros (625, 1, "uint64");
  words(1) = seed;
  for i = 1:623
    mixed = bitxor (words(i), bitshift (words(i), -30));
    words(i+1) = mod (uint64 (1812433253) * mixed + i, uint64 (4294967296));
  endfor
  words(625) = 1;
  rand ("twister", double (words));
endfunction
seed_as_matlab ({seed});
"""


class OctaveRandom:
    """The generators of one Octave session: ``rand``, ``randn``, ``rande``, ``randi`` and ``randperm``.

    ::

        octave = OctaveRandom(42)  # in Octave: rand ("twister", 42); randn ("twister", 42); rande ("twister", 42);
        octave.rand(2, 3)  # rand (2, 3)
        octave.randn(5, 1)  # randn (5, 1)
        octave.randi((1, 6), 100)  # randi ([1, 6], 100), of shape (100, 100)

    `octave_code` gives those lines for any seed. Octave keeps a generator for each of the three distributions, so that
    draws of one do not move the others; only ``randi`` and ``randperm`` share that of ``rand``. Octave's ``rng (42)``
    seeds ``rand`` and ``randn`` as here, and leaves ``rande`` alone.

    Sizes are as Octave takes them: ``rand()`` is one number, ``rand(3)`` an array of 3 by 3, ``rand(2, 3)`` and
    ``rand((2, 3))`` one of 2 by 3; arrays are float64, filled column first and stored so. A size below zero counts as
    zero (Octave fails on some), and dimensions of 1 at the end are dropped, beyond the second.

    Not here: ``randg`` and ``randp``, ``randn`` and ``rande`` of class single, and the old generators that ``rand
    ("seed", v)`` turns to.

    Parameters
    ----------
    seed
        What ``rand ("twister", seed)`` takes: a real number, or some, which Octave rounds and brings into 0..2**32-1;
        625 of them may be a state.

    Raises
    ------
    SeedError
        If `seed` is anything else.
    """

    def __init__(self, seed: Seed = 0) -> None:
        self._generators = {each: np.random.RandomState(0) for each in DISTRIBUTIONS}
        self.seed(seed)

    def seed(self, seed: Seed, distribution: Distribution | None = None) -> None:
        """Seed one distribution, or if None all: ``seed(42, "randn")`` is ``randn ("twister", 42)``.

        Raises
        ------
        SeedError
            If `seed` is no real number, and no vector of some; then nothing was seeded.
        MatlabError
            If `distribution` is none, or `seed` is a state that gives nothing but 0.
        """
        numbers = _seed_words(seed)
        chosen = DISTRIBUTIONS if distribution is None else (distribution,)
        for generator in map(self._generator, chosen):
            if _is_state(numbers):
                _write_state(generator, checked_column(numbers))
            else:
                generator.seed(numbers.tolist())  # a list: of an array of one word NumPy makes a scalar

    def state(self, distribution: Distribution = "rand") -> NDArray[np.uint32]:
        """Give the state of a distribution, as ``rand ("twister")`` does: uint32 of shape (625, 1).

        Raises
        ------
        MatlabError
            If `distribution` is none.
        """
        key, position = key_and_position(self._generator(distribution))
        return np.append(key, np.uint32(COLUMN_WORDS - position))[:, np.newaxis]

    def set_state(self, state: ArrayLike, distribution: Distribution = "rand") -> None:
        """Set the state of a distribution, as ``rand ("twister", state)`` does, to one that `state` or Octave gave.

        Octave makes a seed of what is no state. Here that is an error: `seed` does it, if it is meant.

        Raises
        ------
        MatlabError
            If `state` is not 625 integers (doubles of such values, too) in 0..2**32-1 with the last in 1..624, or one
            that Octave could draw nothing but 0 from, for ever; if `distribution` is none.
        """
        _write_state(self._generator(distribution), checked_column(state))

    @overload
    def rand(self, *, single: bool = False) -> float: ...

    @overload
    def rand(self, size: Size, /, *sizes: SupportsIndex, single: bool = False) -> NDArray[Any]: ...

    def rand(self, *size: Any, single: bool = False) -> float | NDArray[Any]:
        """Draw uniform numbers between 0 and 1, both excluded: float64, or with `single` float32 of 24 bits.

        Raises
        ------
        MatlabError
            If a size is no integer, or the array is larger than the memory.
        """
        return _filled(size, lambda count: (single_uniforms if single else uniforms)(self._generators["rand"], count))

    @overload
    def randn(self) -> float: ...

    @overload
    def randn(self, size: Size, /, *sizes: SupportsIndex) -> Doubles: ...

    def randn(self, *size: Any) -> float | Doubles:
        """Draw normal numbers of mean 0 and variance 1, float64; sizes and errors are those of `rand`."""
        return _filled(size, lambda count: normal(self._generators["randn"], count))

    @overload
    def rande(self) -> float: ...

    @overload
    def rande(self, size: Size, /, *sizes: SupportsIndex) -> Doubles: ...

    def rande(self, *size: Any) -> float | Doubles:
        """Draw exponential numbers of mean 1, float64; sizes and errors are those of `rand`."""
        return _filled(size, lambda count: exponential(self._generators["rande"], count))

    @overload
    def randi(self, bounds: Bounds, /) -> float: ...

    @overload
    def randi(self, bounds: Bounds, size: Size, /, *sizes: SupportsIndex) -> Doubles: ...

    def randi(self, bounds: Any, /, *size: Any) -> float | Doubles:
        """Draw integers: of ``1..bounds``, or for two bounds from the first to the second, both included; float64.

        As Octave (randi.m) it draws from `rand`'s generator, and more often than there are values: once more for most
        bounds, far more for bounds that are nearly 2**53 apart.

        Raises
        ------
        MatlabError
            If the bounds are no integers below 2**53, are in the wrong order, or 2**53 - 1 or more apart; if a size is
            none of `rand`.
        """
        low, high = checked_bounds(bounds)
        return _filled(size, lambda count: integers(self._generators["rand"], low, high, count))

    def randperm(self, n: SupportsIndex, m: SupportsIndex | None = None) -> Doubles:
        """Draw a permutation of ``1..n``, or its first `m` only: float64 of shape (1, n) or (1, m).

        As Octave it draws from `rand`'s generator, once for each place, which is exchanged with one not before it.

        Raises
        ------
        MatlabError
            If `n` and `m` are no integers with ``0 <= m <= n < 2**53``, or the memory does not hold them.
        """
        length = whole_number(n, "randperm's n")
        count = length if m is None else whole_number(m, "randperm's m")
        if not 0 <= count <= length <= _MAX_INTEGER:
            raise MatlabError(f"randperm(n, m) needs 0 <= m <= n < 2**53, not n = {shown(n)} and m = {shown(m)}")
        return permuted(self._generators["rand"], length, count)[np.newaxis]

    def _generator(self, distribution: str) -> np.random.RandomState:
        if distribution not in DISTRIBUTIONS:
            raise MatlabError(
                f"a distribution with a generator of its own is one of {', '.join(DISTRIBUTIONS)}, not "
                f"{shown(distribution)}; randi and randperm draw from rand's"
            )
        return self._generators[distribution]


def octave_code(seed: Seed) -> str:
    """Give the Octave code after which Octave draws what ``OctaveRandom(seed)`` does: three lines.

    Raises
    ------
    SeedError
        If `seed` is no real number, and no vector of some.
    """
    numbers = _seed_words(seed).tolist()
    value = str(numbers[0]) if len(numbers) == 1 else f"[{', '.join(map(str, numbers))}]"
    return "".join(f'{each} ("twister", {value});\n' for each in DISTRIBUTIONS)


def matlab_seeding(seed: SupportsIndex) -> str:
    """Give the Octave code after which Octave's `rand` draws what MATLAB's does after ``rng (seed, "twister")``.

    It is the text of a script, which defines a function and calls it: to be put before a script, or into ``eval``.
    Octave's `randn`, `randi` and `randperm` still go their own ways. MATLAB's ``randi ([a, b], m, n)`` is
    ``a + floor (rand (m, n) * (b - a + 1))`` in Octave then, and ``randperm (n)`` is the second result of
    ``sort (rand (1, n))``; there is no short one for `randn`.

    Raises
    ------
    SeedError
        If `seed` is no integer in 0..2**32-1.
    """
    return _MATLAB_SEEDING.format(seed=check_seed(seed))


def _seed_words(seed: object) -> NDArray[np.uint32]:
    """Round and clamp to uint32, halves away from zero, and take what is not finite as 0; columns of a matrix first."""
    numbers = as_array(seed)
    if numbers.dtype.kind not in "iuf" or not numbers.size:
        raise SeedError(
            f"Octave's streams take as a seed a real number, or a vector of some, not {shown(seed)} "
            f"({type(seed).__name__})"
        )
    finite = np.where(np.isfinite(numbers), numbers, 0).astype(np.float64).ravel(order="F")
    whole = np.trunc(finite)
    rounded: NDArray[np.float64] = np.clip(whole + (finite - whole >= 0.5), 0, 2**32 - 1)
    return rounded.astype(np.uint32)


def _is_state(numbers: NDArray[np.uint32]) -> bool:
    """Whether Octave takes these for a state, and not for a seed."""
    return numbers.size == COLUMN_WORDS and bool(1 <= numbers[-1] <= KEY_WORDS)


def _write_state(generator: np.random.RandomState, column: NDArray[np.uint32]) -> None:
    put(generator, column[:KEY_WORDS], COLUMN_WORDS - int(column[-1]))


def _filled(size: Sequence[Size], draw: Callable[[int], NDArray[Any]]) -> float | Doubles:
    """Draw an array column first; without a size, one number as Python has it."""
    if not size:
        return float(draw(1)[0])
    shape = shape_of(size)
    return draw(prod(shape)).reshape(shape, order="F")
