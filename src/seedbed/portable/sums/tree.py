"""Sums whose order is a function of the shape alone: halves are added to each other, element by element, in float64.

``x[: n / 2] + x[n / 2 :]``, again and again: each step is one IEEE addition for each element, so threads, vectors and
devices change nothing; the error grows with log2(n) instead of n (pairwise summation: Higham, Accuracy and Stability of
Numerical Algorithms, 4.1), and infinities and NaN come out as they should. Of float32 numbers, float64 sums are
all but exact. A grid (`fixed_point`) is needed only where the order is not known: see `accumulate`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from seedbed.portable.scratch import scratch, wide

CHUNK = 4096
"""Elements of one tree; more are cut into pieces of so many, whose sums are added in a tree again."""

BLOCK = 1 << 18
"""Elements that are worked on at a time on a CPU: about as many float64 as its cache holds."""

_FEW = 16
"""Below so many numbers side by side, a row costs more than its elements: they are turned to columns."""

Piece = tuple[slice, slice]
Change = Callable[[Tensor], Any]


def pieces(x: Tensor, rows: int, columns: int, unit: int = 1) -> Iterator[Piece]:
    """Cut `rows` x `columns` into pieces that fit the cache, each element standing for `unit`; whole on other devices.

    What is computed from a piece must not depend on which others are in it.
    """
    step = max(rows, 1), max(columns, 1)
    if in_pieces(x):
        width = max(unit * columns, 1)
        step = (max(1, BLOCK // width), step[1]) if width <= BLOCK else (1, max(1, BLOCK // max(unit, 1)))
    for top in range(0, rows, step[0]):
        for left in range(0, columns, step[1]):
            yield slice(top, top + step[0]), slice(left, left + step[1])


def in_pieces(x: Tensor) -> bool:
    """Tell whether `x` is worked on piece by piece: on a CPU."""
    return x.device.type == "cpu"


def total(
    x: Tensor, dims: Sequence[int] | int | None = None, *, keepdim: bool = False, change: Change | None = None
) -> Tensor:
    """Add up `x` over `dims` (None, or an empty sequence: over all), in float64; any real dtype in, float64 out.

    `change` does something to each element first, in place; it is given float64, a piece at a time.
    """
    dims = dimensions(x, dims)
    summed = x if dims else x.reshape(1)
    for first, last in reversed(list(_runs(dims or [0]))):
        summed, change = _over_run(summed, first, last, change), None
    return summed.reshape(x.shape) if not dims else summed if keepdim else without(summed, dims)


def dimensions(x: Tensor, dims: Sequence[int] | int | None) -> list[int]:
    """Give the dimensions meant, counted from the front and in order.

    Raises
    ------
    IndexError
        For one that `x` does not have.
    RuntimeError
        For one that is named twice.
    """
    dims = [dims] if isinstance(dims, int) else list(dims or range(x.ndim))
    found = sorted(_dimension(x, dim) for dim in dims)
    if len(set(found)) != len(found):
        raise RuntimeError(f"a dimension appears more than once in dim={dims}")
    return found if x.ndim else []


def _dimension(x: Tensor, dim: int) -> int:
    size = max(x.ndim, 1)
    if not -size <= dim < size:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], but got {dim})")
    return dim % size


def without(x: Tensor, dims: Sequence[int]) -> Tensor:
    """Take away `dims`, each of size 1."""
    return x.reshape([size for index, size in enumerate(x.shape) if index not in dims])


def count(x: Tensor, dims: Sequence[int]) -> int:
    """Give how many elements `dims` hold together."""
    return math.prod(x.shape[dim] for dim in dims)


def constant(value: float, like: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Put a number on the device of `like`, as a tensor of no dimensions: CUDA divides by these, and not by numbers."""
    return torch.full((), value, dtype=dtype, device=like.device)


def three_parts(x: Tensor, first: int, last: int | None = None) -> Tensor:
    """Look at `x` as what is before dimension `first`, the dimensions from there to `last`, and what is after."""
    last = first if last is None else last
    shape = x.shape
    sizes = (math.prod(shape[:first]), math.prod(shape[first : last + 1]), math.prod(shape[last + 1 :]))
    return x.reshape(sizes)


def _runs(dims: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give the first and the last of each run of dimensions that follow each other."""
    starts = [dim for dim in dims if dim - 1 not in dims]
    ends = [dim for dim in dims if dim + 1 not in dims]
    return zip(starts, ends, strict=True)


def _over_run(x: Tensor, first: int, last: int, change: Change | None) -> Tensor:
    shape = [1 if first <= index <= last else size for index, size in enumerate(x.shape)]
    return middle(three_parts(x, first, last), change).reshape(shape)


def middle(x: Tensor, change: Change | None = None) -> Tensor:
    """Add up ``(a, n, c)`` over ``n``; gives ``(a, c)`` in float64."""
    before, size, after = x.shape
    if size == 0:
        return torch.zeros(before, after, dtype=torch.float64, device=x.device)
    while x.shape[1] > CHUNK:
        x, change = partial_sums(x, CHUNK, change), None
    return _few_after(x, change) if after < _FEW else _many_after(x, change)


def partial_sums(x: Tensor, chunk: int, change: Change | None = None) -> Tensor:
    """Add up ``(a, n, c)`` over each `chunk` of ``n``; gives ``(a, ceil(n / chunk), c)`` in float64."""
    before, size, after = x.shape
    whole = size // chunk
    main = x.narrow(1, 0, whole * chunk).reshape(before * whole, chunk, after)
    sums = [middle(main, change).reshape(before, whole, after)]
    if size % chunk:
        sums.append(middle(x.narrow(1, whole * chunk, size % chunk), change).unsqueeze(1))
    return torch.cat(sums, 1) if len(sums) > 1 else sums[0]


def consume(x: Tensor) -> Tensor:
    """Add up float64 ``(a, n, c)`` over ``n``, as `middle` does, in the memory of `x`; gives ``(a, c)``."""
    return _halve(x, 1, 1)[:, 0] if 0 < x.shape[1] <= CHUNK else middle(x)


def _many_after(x: Tensor, change: Change | None) -> Tensor:
    before, size, after = x.shape
    sums = torch.empty(before, after, dtype=torch.float64, device=x.device)
    for rows, columns in pieces(x, before, after, size):
        sums[rows, columns] = _halve(_widened(x[rows, :, columns], change), 1, 1)[:, 0]
    return sums


def _few_after(x: Tensor, change: Change | None) -> Tensor:
    """Halve piece by piece until few are left, then those of all pieces at once, with the rows side by side."""
    before, size, after = x.shape
    left = halved(size, _FEW)
    sums = torch.empty(left, before, after, dtype=torch.float64, device=x.device)
    for rows, _ in pieces(x, before, 1, size * after):
        part = x[rows] if left == size and change is None else _halve(_widened(x[rows], change), 1, left)
        sums[:, rows] = part.transpose(0, 1)
    return _halve(sums, 0, 1)[0]


def _widened(x: Tensor, change: Change | None) -> Tensor:
    """Give ``(a, n, c)`` as float64 in memory that may be written to; float64 is halved on the way."""
    if change is None and x.dtype == torch.float64 and x.shape[1] > 1:
        return _first_half(x)
    widened = wide("sums", x)
    if change is not None:
        change(widened)
    return widened


def _first_half(x: Tensor) -> Tensor:
    size = x.shape[1]
    half = (size + 1) // 2
    result = scratch("sums", (x.shape[0], half, x.shape[2]), x.dtype, x.device)
    torch.add(x[:, : size - half], x[:, half:], out=result[:, : size - half])
    if size % 2:
        result[:, size - half :] = x[:, size - half : half]
    return result


def halved(size: int, until: int) -> int:
    """Give what is left of `size` when it has been halved, rounding up, until it is at most `until`."""
    while size > until:
        size = (size + 1) // 2
    return size


def _halve(x: Tensor, dim: int, until: int) -> Tensor:
    """Add the second half of `dim` to the first, in place, until `until` are left; an odd one stays."""
    size = x.shape[dim]
    while size > until:
        half = (size + 1) // 2
        x, second = torch.split_with_sizes(x, (half, size - half), dim)
        (x.narrow(dim, 0, half - 1) if size % 2 else x).add_(second)
        size = half
    return x
