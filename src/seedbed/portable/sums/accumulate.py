"""Adding rows to rows whose indices are data: no order is known, so the numbers are put on a grid that needs none.

For each element of the result, the largest of what is added to it sets the grid (`fixed_point`): multiples of
``2**(e + bits - 53)``, of which ``2**bits`` add up exactly in float64, in any order, atomically or not. One slice
holds more than float32's 24 bits; of float64, what one slice leaves over is put on a second grid, and of more than
``2**24`` numbers on a third. What the second leaves over of a number is below ``2**(2 * bits - 106)`` of the largest.

To round to the grid, ``1.5 * 2**(e + bits - 1)`` is added and subtracted: J. Demmel, H. D. Nguyen: Parallel
reproducible summation. IEEE Transactions on Computers 64 (2015), 2060-2070.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from seedbed.portable.fixed_point import bits_for
from seedbed.portable.scratch import scratch, wide
from seedbed.portable.sums.tree import in_pieces, pieces

_WIDE_ROW = 8
"""From so many elements on, it pays to work on the rows that are hit alone, where there are more than are added."""

_AT_A_TIME = 1 << 19
"""Elements of the result that are worked on at a time on a CPU: so many columns."""

_HUGE = 2.0**900
_SMALLER = 2.0**-128

_EXPONENT = {torch.float32: (torch.int32, 0x7F800000), torch.float64: (torch.int64, 0x7FF0000000000000)}


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows the sources go to: `index` among `count`; no more than ``2**bits`` go to one."""

    index: Tensor
    count: int
    bits: int


def add_rows(x: Tensor, index: Tensor, source: Tensor, most: int | None = None) -> Tensor:
    """Add each row of `source` ``(t, d)`` to the row of `x` ``(v, d)`` that `index` ``(t,)`` names; a new tensor.

    `index` is int64 and in range. `x` is float32 or float64; `source` is too, or float64 where `x` is float32. At most
    `most` (else t) go to one element. An element of the result is the exact sum of what its grid holds, rounded to
    float64, plus `x`, rounded again.
    """
    if not source.numel():
        return x.clone()
    few = x.shape[0] > index.shape[0] and x.shape[1] >= _WIDE_ROW
    result = x.clone(memory_format=torch.contiguous_format) if few else torch.empty_like(x).contiguous()
    for columns, sums, group in _column_sums(index, source, x.shape[0], most, few=few):
        if few:
            _copy_where_hit(result[:, columns], x[:, columns], index, sums, group)
        else:
            result[:, columns] = sums.add_(x[:, columns])
    return result


def sum_rows(index: Tensor, source: Tensor, count: int, most: int | None = None) -> Tensor:
    """Do what `add_rows` does, to `count` rows of zeros, of the dtype of `source`."""
    width = source.shape[1]
    few = count > index.shape[0] and width >= _WIDE_ROW
    make = torch.zeros if few or not source.numel() else torch.empty
    result = make(count, width, dtype=source.dtype, device=source.device)
    if not source.numel():
        return result
    for columns, sums, group in _column_sums(index, source, count, most, few=few):
        if few:
            _copy_where_hit(result[:, columns], None, index, sums, group)
        else:
            result[:, columns] = sums.add_(0.0)
    return result


def _column_sums(
    index: Tensor, source: Tensor, count: int, most: int | None, *, few: bool
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Give the sums of some columns at a time, and which of their rows each source went to.

    With `few`, the sums of the rows that are hit alone. They are in memory that the next ones overwrite.
    """
    bits = max(bits_for(index.shape[0] if most is None else most), 2)
    rows = Rows(groups(index), index.shape[0], bits) if few else Rows(index, count, bits)
    width = source.shape[1]
    step = max(1, _AT_A_TIME // max(rows.count, 1)) if in_pieces(source) else width
    for left in range(0, width, step):
        columns = slice(left, left + step)
        yield columns, row_sums(rows, source[:, columns]), rows.index


def _copy_where_hit(result: Tensor, x: Tensor | None, index: Tensor, sums: Tensor, group: Tensor) -> None:
    """Copy the sums of the rows that were hit, plus `x`, to where they go; the same ones as often as they were hit."""
    for rows, _ in pieces(result, index.shape[0], 1, result.shape[1]):
        hit = index[rows]
        added = _select("values", sums, group[rows]).add_(0.0 if x is None else _select("grid", x, hit))
        result.index_copy_(0, hit, added.to(result.dtype))


def groups(index: Tensor) -> Tensor:
    """Number the different values of `index` from 0, in ascending order: without asking a device how many there are."""
    ordered, order = torch.sort(index, stable=True)
    first = torch.zeros_like(index)
    first[1:] = ordered[1:] != ordered[:-1]
    return torch.empty_like(index).scatter_(0, order, first.cumsum(0))


def _select(use: str, x: Tensor, index: Tensor) -> Tensor:
    """Select rows into the scratch memory of `use`."""
    memory = scratch(use, (index.shape[0], x.shape[1]), x.dtype, x.device)
    return torch.index_select(x, 0, index, out=memory)


def row_sums(rows: Rows, source: Tensor) -> Tensor:
    """Add up the rows of `source` ``(t, d)`` that go to the same row; ``(count, d)`` in float64, -0.0 where none do."""
    largest = _largest(rows, source)
    slices = 1 if source.dtype == torch.float32 and rows.bits <= 22 else 2 if rows.bits <= 24 else 3
    shape = (rows.count, source.shape[1])
    sums = [scratch(f"sums{place}", shape, torch.float64, source.device).fill_(-0.0) for place in range(slices)]
    for part, _ in pieces(source, source.shape[0], 1, source.shape[1]):
        index = rows.index[part]
        _add_piece(sums, index, source[part], _select("largest", largest, index), rows.bits)
    return _together(sums, largest)


def _largest(rows: Rows, source: Tensor) -> Tensor:
    """Give the power of two at or below the largest that goes to each element; 0 where it is infinite or NaN."""
    sizes = torch.abs(source, out=scratch("sizes", source.shape, source.dtype, source.device))
    largest = scratch("powers", (rows.count, source.shape[1]), source.dtype, source.device).zero_()
    largest.scatter_reduce_(0, rows.index.unsqueeze(1).expand(source.shape), sizes, "amax")
    integers, mask = _EXPONENT[source.dtype]
    largest.view(integers).bitwise_and_(mask)
    return largest.clamp_(min=torch.finfo(source.dtype).tiny).nan_to_num_(posinf=0.0)


def _add_piece(sums: list[Tensor], index: Tensor, source: Tensor, largest: Tensor, bits: int) -> None:
    values, grid = wide("values", source), wide("grid", largest)
    if source.dtype == torch.float64:
        values.masked_fill_((largest == 0) & values.isfinite(), 0.0)  # beside infinity; finite ones might overflow
        values.mul_(_scale(largest))
        grid.mul_(_scale(largest))
    grid.mul_(1.5 * 2.0**bits)
    for place, total in enumerate(sums):
        on_grid = torch.add(values, grid, out=scratch("on_grid", values.shape, torch.float64, values.device)).sub_(grid)
        total.index_add_(0, index, on_grid)
        if place + 1 < len(sums):
            values.sub_(on_grid)
            values.masked_fill_(values.isnan(), 0.0)  # of infinity and NaN nothing is left over
            _next(grid, bits)


def _next(grid: Tensor, bits: int) -> Tensor:
    """Give the constant of the next grid, for numbers that are at most half a step of this one; in place."""
    return grid.mul_(2.0 ** (bits - 53)).clamp_(min=1.5 * 2.0**-1022)


def _scale(largest: Tensor) -> Tensor:
    """Give what keeps the grid's constant and float64 sums from overflowing: a power of two."""
    return torch.ones_like(largest).masked_fill_(largest > _HUGE, _SMALLER)


def _together(sums: list[Tensor], largest: Tensor) -> Tensor:
    result = sums[-1]
    for larger in reversed(sums[:-1]):
        result.add_(larger)
    return result if largest.dtype == torch.float32 else result.div_(_scale(largest))
