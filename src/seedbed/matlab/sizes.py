"""Sizes as MATLAB takes them: ``rand(3)`` is 3 x 3, ``rand(2, 3, 1)`` is 2 x 3, a negative size is 0."""

import os
from collections.abc import Sequence
from contextlib import suppress
from math import prod
from operator import index
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seedbed.errors import MatlabError, shown

Size: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | NDArray[np.integer[Any]]

MAX_ELEMENTS = 2**48 - 1
"""Of one array, in 64-bit MATLAB (its function ``computer``, second output)."""
_MAX_DIMENSIONS = 64
"""NumPy's; MATLAB has no such limit."""
_BYTES = np.dtype(np.float64).itemsize


def shape_of(sizes: Sequence[Size]) -> tuple[int, ...]:
    """Give the shape that MATLAB's ``rand(sizes...)`` has: at least two dimensions, none of 1 at the end beyond those.

    Parameters
    ----------
    sizes
        One integer (a square matrix), several, or one sequence of integers. A sequence of one integer is that integer,
        so ``rand(a.shape)`` of a one-dimensional NumPy array is a square matrix.

    Raises
    ------
    MatlabError
        If there is none, one is no integer, a sequence is not alone, or the array would have more than 2**48 - 1
        elements, more bytes than this machine has memory, or more dimensions than NumPy knows.
    """
    numbers = [max(0, whole_number(size, "a size")) for size in _listed(sizes)]
    if len(numbers) == 1:
        numbers *= 2
    while len(numbers) > 2 and numbers[-1] == 1:
        numbers.pop()
    _check_dimensions(numbers)
    return tuple(numbers)


def whole_number(value: object, what: str) -> int:
    """Give an integer as Python's own.

    Raises
    ------
    MatlabError
        If it is none (Python's, NumPy's, or any with ``__index__``): True, 3.0, "3", None.
    """
    if not isinstance(value, bool):
        with suppress(TypeError):
            return index(value)  # type: ignore[arg-type]
    raise MatlabError(
        f"{what} must be an integer, not {shown(value)} ({type(value).__name__}): where MATLAB takes the double 3.0, "
        "write 3 or int(...)"
    )


def numbers_in(value: Size) -> list[object] | None:
    """List what a sequence or a one-dimensional array holds; None if it is neither."""
    if isinstance(value, np.ndarray):
        return list(value) if value.ndim == 1 else None
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else None


def as_array(values: object) -> NDArray[Any]:
    """Give an array; of lists of unequal lengths, which make none, one of dtype object, that no check lets through."""
    try:
        return np.asarray(values)
    except ValueError:
        return np.empty((), object)


def check_elements(count: int, what: str) -> None:
    """Refuse what MATLAB refuses or memory cannot hold.

    Raises
    ------
    MatlabError
        If so many float64 are more than 2**48 - 1, or than the memory of this machine.
    """
    _check_limit(count, what)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if count * _BYTES > memory:  # before Linux grants it, and kills the process that writes to it
        raise MatlabError(
            f"{what} needs {count * _BYTES / 2**30:.1f} GiB, more than this machine's memory of {memory / 2**30:.1f} "
            "GiB: draw it in parts"
        )


def _listed(sizes: Sequence[Size]) -> Sequence[object]:
    inside = numbers_in(sizes[0]) if len(sizes) == 1 else sizes
    inside = sizes if inside is None else inside
    if not inside:
        raise MatlabError(
            "a size is missing: an empty sequence is none; write rand(0) for 0 x 0, rand() for one number"
        )
    return inside


def _check_dimensions(numbers: list[int]) -> None:
    what = f"an array of size {' x '.join(map(shown, numbers[:8]))}{' x ...' * (len(numbers) > 8)}"
    if len(numbers) > _MAX_DIMENSIONS:
        raise MatlabError(f"{what} has {len(numbers)} dimensions, more than the {_MAX_DIMENSIONS} that NumPy knows")
    _check_limit(prod(max(number, 1) for number in numbers), what)  # an empty array too: NumPy multiplies likewise
    check_elements(prod(numbers), what)


def _check_limit(count: int, what: str) -> None:
    if count > MAX_ELEMENTS:
        raise MatlabError(f"{what} is larger than any of MATLAB, which has at most 2**48 - 1 elements")
