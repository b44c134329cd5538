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

from seedbed.portable.scratch import Part, part

CHUNK = 4096
"""Elements of one tree; more are cut into pieces of so many, whose sums are added in a tree again."""

BLOCK = 1 << 16
"""Elements that are worked on at a time on a CPU: so few that its cache holds them several times over, as float64."""

_FEW = 16
"""Below so many numbers side by side, a row costs more than its elements."""
_MANY = 128
"""So many such rows are turned to columns."""

Piece = tuple[slice, slice]
Change = Callable[[Tensor], Any]


def pieces(x: Tensor, rows: int, columns: int, unit: int = 1) -> Iterator[Piece]:
    """Cut `rows` x `columns` into pieces that fit the cache, each element standing for `unit`; whole on other devices.

    What is computed from a piece must not depend on which others are in it.
    """
    down, across = _steps(x, rows, columns, unit)
    for top in range(0, rows, down):
        for left in range(0, columns, across):
            yield slice(top, top + down), slice(left, left + across)


def cut_up(*tensors: Tensor) -> Iterator[Sequence[Tensor]]:
    """Cut tensors of one shape, ``(a, n, c)``, into pieces that hold all of ``n``, as `pieces` does."""
    before, size, after = tensors[0].shape
    down, across = _steps(tensors[0], before, after, size)
    if down >= before and across >= after:
        yield tensors
        return
    for strip in zip(*(each.split(down) for each in tensors), strict=True):
        yield from zip(*(each.split(across, 2) for each in strip), strict=True)


def strips(*tensors: Tensor) -> Iterator[Sequence[Tensor]]:
    """Cut tensors of as many rows into strips of some; those of the first fit the cache, as in `pieces`."""
    rows = tensors[0].shape[0]
    step, _ = _steps(tensors[0], rows, 1, tensors[0].numel() // max(rows, 1))
    return zip(*(each.split(step) for each in tensors), strict=True)


def _steps(x: Tensor, rows: int, columns: int, unit: int) -> tuple[int, int]:
    rows, columns, width = max(rows, 1), max(columns, 1), max(unit * columns, 1)
    if not in_pieces(x):
        return rows, columns
    return (max(1, BLOCK // width), columns) if width <= BLOCK else (1, max(1, BLOCK // max(unit, 1)))


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
    short = after < _FEW and before * after > _MANY and size * after * _MANY < BLOCK
    return _short_rows(x, change) if short else _long_rows(x, change)


def partial_sums(x: Tensor, chunk: int, change: Change | None = None) -> Tensor:
    """Add up ``(a, n, c)`` over each `chunk` of ``n``; gives ``(a, ceil(n / chunk), c)`` in float64."""
    before, size, after = x.shape
    whole = size // chunk
    main = x.narrow(1, 0, whole * chunk).reshape(before * whole, chunk, after)
    sums = [middle(main, change).reshape(before, whole, after)]
    if size % chunk:
        sums.append(middle(x.narrow(1, whole * chunk, size % chunk), change).unsqueeze(1))
    return torch.cat(sums, 1) if len(sums) > 1 else sums[0]


def piece_sums(x: Tensor) -> Tensor:
    """Add up a piece ``(a, n, c)`` over ``n``, as `middle` does; ``(a, 1, c)``, valid until the next sum."""
    return _summed(x, None, 1) if 0 < x.shape[1] <= CHUNK else middle(x).unsqueeze(1)


def product_sums(x: Tensor, other: Tensor) -> Tensor:
    """Add up the products of a float64 piece ``(a, n, c)`` and another; ``(a, 1, c)``, valid until the next sum."""
    if not 0 < x.shape[1] <= CHUNK:
        return middle(x * other).unsqueeze(1)
    products = part("sums", x.shape, torch.float64, x.device)
    torch.mul(x, other, out=products.tensor)
    return _halve(products, 1)


def _long_rows(x: Tensor, change: Change | None) -> Tensor:
    before, size, after = x.shape
    sums = torch.empty(before, after, dtype=torch.float64, device=x.device)
    for rows, columns in pieces(x, before, after, size):
        sums[rows, columns] = _summed(x[rows, :, columns], change, 1)[:, 0]
    return sums


def _short_rows(x: Tensor, change: Change | None) -> Tensor:
    """Halve piece by piece until few are left, then those of all pieces at once, with the rows side by side."""
    before, size, after = x.shape
    left = halved(size, _FEW)
    sums = part("sums left", (1, left, before, after), torch.float64, x.device)
    for rows, _ in pieces(x, before, 1, size * after):
        sums.tensor[0, :, rows] = _summed(x[rows], change, left).transpose(0, 1)
    return _halve(sums, 1)[0, 0].clone()


def _summed(x: Tensor, change: Change | None, until: int) -> Tensor:
    """Halve ``(a, n, c)`` until `until` are left, in memory that the next call overwrites."""
    if change is None and x.dtype == torch.float64 and x.shape[1] > until:
        return _halve(_first_half(x), until)
    widened = part("sums", x.shape, torch.float64, x.device)
    widened.tensor.copy_(x)
    if change is not None:
        change(widened.tensor)
    return _halve(widened, until)


def _first_half(x: Tensor) -> Part:
    size = x.shape[1]
    half = (size + 1) // 2
    result = part("sums", (x.shape[0], half, x.shape[2]), x.dtype, x.device)
    first, second = torch.split_with_sizes(x, (half, size - half), 1)
    if size % 2:
        torch.add(first[:, :-1], second, out=result.tensor[:, :-1])
        result.tensor[:, -1:] = first[:, -1:]
    else:
        torch.add(first, second, out=result.tensor)
    return result


def halved(size: int, until: int) -> int:
    """Give what is left of `size` when it has been halved, rounding up, until it is at most `until`."""
    while size > until:
        size = (size + 1) // 2
    return size


def _halve(x: Part, until: int) -> Tensor:
    """Add the second half of dimension 1 to the first, in place, until `until` are left; an odd one stays."""
    steps, rest = x.views(_halving, until)
    for first, second in steps:
        first.add_(second)
    return rest


def _halving(x: Tensor, until: int) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Give the parts, the second of each pair to be added to the first, and what is left then."""
    steps, size = [], x.shape[1]
    while size > until:
        half = (size + 1) // 2
        x, second = torch.split_with_sizes(x, (half, size - half), 1)
        steps.append((x.narrow(1, 0, half - 1) if size % 2 else x, second))
        size = half
    return steps, x
