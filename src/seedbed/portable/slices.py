"""Numbers as sums of slices, integers of few bits times a power of two, whose products float64 adds up exactly.

Each row of the left matrix and each column of the right one is rounded to a grid that its largest element sets, and cut
into slices. Where ``bits(left) + bits(right) + ceil(log2 k) <= 53``, each partial sum of a float64 product of slices is
an integer that float64 has, so that neither order nor tiling nor fused multiply-add can change a bit. float32 takes two
such products (one slice of one matrix, two of the other), float64 six (three slices of each).

K. Ozaki, T. Ogita, S. Oishi, S. M. Rump: Error-free transformations of matrix multiplication by using fast routines of
matrix multiplication and its applications. Numerical Algorithms 59 (2012), 95-118.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from seedbed.portable.fixed_point import PRECISION, bits_for, exponent, power
from seedbed.portable.scratch import scratch

BLOCK = 4096
"""The longest sum that is one exact product; beyond, blocks are added in order."""

_PIECE = 1 << 17
"""Elements that are cut at a time on a CPU: they and their slices stay in its cache."""

_EXPONENT = 0x7FF << 52


@dataclass(frozen=True, slots=True)
class Operand:
    """A matrix, or whatever becomes one, as a sum of slices; float64.

    Attributes
    ----------
    slices
        The first has the highest bits; all have the shape of what was cut.
    exponent
        Of the power of two that the slices are to be multiplied by, in a shape that broadcasts with the product's; None
        for float32, all of whose numbers and products are far from float64's limits.
    joined
        The slices of a right matrix side by side, as one matrix: a product with it reads the left one once. None where
        they lie apart.
    """

    slices: tuple[Tensor, ...]
    exponent: Tensor | None = None
    joined: Tensor | None = None

    def __getitem__(self, piece: Any) -> "Operand":
        """Give a piece of each slice, which has all of the dimension that is summed."""
        exponent = None if self.exponent is None else self.exponent[piece]
        return Operand(tuple(each[piece] for each in self.slices), exponent)


def widths(k: int, dtype: torch.dtype) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give the bits of the slices of one operand and of the other, for sums of `k` products.

    A first slice of ``bits`` is an integer of at most ``2**bits`` units; what it leaves is at most half a unit, so that
    a further slice may have one bit more. Of float32 all is kept that is above 2**-28 of the largest element; of
    float64, above 2**-60.
    """
    budget = PRECISION - bits_for(min(k, BLOCK))
    if dtype == torch.float64:
        each = budget // 2
        return (each, each + 1, each + 1), (each, each + 1, each + 1)
    short = (budget - 1) // 3
    return (budget - short,), (short, short + 1)


def magnitude(x: Tensor, dims: int | tuple[int, ...]) -> Tensor:
    """Give the power of two below the largest absolute value along `dims`, which stay, with length 1; float64.

    0 for 0 and for a float64 that is subnormal; infinity where there is an infinity or NaN.
    """
    return power_below(x.amax(dims, keepdim=True), x.amin(dims, keepdim=True))


def power_below(most: Tensor, least: Tensor) -> Tensor:
    """Give the magnitude, from the largest and the least element."""
    return power_of(torch.maximum(most, least.neg_()))


def power_of(largest: Tensor) -> Tensor:
    """Give the magnitude, from the largest absolute value: its bits without the significand's."""
    return largest.to(torch.float64).view(torch.int64).bitwise_and(_EXPONENT).view(torch.float64)


def finite(powers: Tensor) -> bool:
    """Say whether all magnitudes are finite: the one look at values that a product takes, at a few numbers."""
    return math.isfinite(powers.max().item())


def cut(x: Tensor, powers: Tensor, bits: Sequence[int], use: str, *, join: bool = False) -> Operand:
    """Cut `x`, finite and of any shape, into slices of `bits`; `powers` is its magnitude along the summed dimensions.

    The slices are in the memory of `use`: valid until the next call for it in this thread. Those of a right matrix may
    be joined.
    """
    joined = _side_by_side(use, x, len(bits)) if join else None
    slices = _apart(use, x, len(bits)) if joined is None else joined.chunk(len(bits), -1)
    if x.dtype == torch.float64:
        scale = exponent(powers).clamp_(max=1022)
        factor, grid = power(-scale), torch.full_like(powers, 2.0 * grid_of(bits[0]))  # all is below 4 then
    else:
        scale, factor, grid = None, None, powers * grid_of(bits[0])
    for each, by, first, *parts in _in_pieces(x, grid if factor is None else factor, grid, *slices):
        rest = parts[-1].copy_(each) if factor is None else torch.mul(each, by, out=parts[-1])
        _cut(rest, parts[:-1], first, bits)
    return Operand(slices, scale, joined)


def _in_pieces(x: Tensor, *others: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Cut `x`, and what has its size or 1, into pieces that stay in the cache, in the order of memory."""
    dim = 1 if x.ndim == 2 and is_transposed(x) else 0
    size, step = x.shape[dim], max(_PIECE * x.shape[dim] // x.numel(), 1)
    if step >= size or x.device.type != "cpu":
        return [(x, *others)]
    each = (other.split(step, dim) if other.shape[dim] > 1 else repeat(other) for other in others)
    return zip(x.split(step, dim), *each, strict=False)


def _cut(rest: Tensor, slices: Sequence[Tensor], grid: Tensor, bits: Sequence[int]) -> None:
    """Cut slices off `rest`, which becomes the last: ``(x + c) - c`` is x rounded to the last place of c."""
    for each, width in zip(slices, bits[1:], strict=True):
        torch.add(rest, grid, out=each).sub_(grid)
        rest.sub_(each)
        grid = grid * 2.0**-width
    rest.add_(grid).sub_(grid)


def grid_of(bits: int) -> float:
    """Give what makes, of the power of two below a number, the c that rounds it to `bits`."""
    return 1.5 * 2.0 ** (PRECISION - bits)


def _apart(use: str, like: Tensor, count: int) -> tuple[Tensor, ...]:
    """Give float64 memory for `count` of the shape of `like`, each contiguous, or transposed if that is."""
    if like.ndim > 1 and is_transposed(like):
        return tuple(each.mT for each in _apart(use, like.mT, count))
    return room(use, (count, *like.shape), like.device).unbind()


def _side_by_side(use: str, like: Tensor, count: int) -> Tensor:
    """Give float64 memory for `count` times the columns of `like`, contiguous, or transposed if that is."""
    *batch, k, n = like.shape
    if is_transposed(like):
        return room(use, (*batch, count * n, k), like.device).mT
    return room(use, (*batch, k, count * n), like.device)


def is_transposed(x: Tensor) -> bool:
    """Say whether a matrix, or each of a batch, lies in memory column by column."""
    return x.stride(-1) != 1 and x.stride(-2) == 1


def room(use: str, shape: Sequence[int], device: torch.device) -> Tensor:
    """Give float64 memory to work in, contiguous, valid until the next call for the same `use` in this thread."""
    return scratch(use, tuple(shape), torch.float64, device)


def multiply(left: Operand, right: Operand) -> Tensor:
    """Multiply matrices, or batches of them, that were cut for their inner dimension.

    float64, in memory that is valid until the next product in this thread.
    """
    result: Tensor | None = None
    for each in _products(left, right):
        result = each if result is None else result.add_(each)
    assert result is not None  # noqa: S101 - there is a slice of each
    result = one_zero(result)
    if left.exponent is None or right.exponent is None:
        return result
    return scaled(result, left.exponent + right.exponent)


def one_zero(result: Tensor) -> Tensor:
    """Make a zero 0.0, in place: a sum of nothing but -0.0 is either, by whether the kernel begins it with 0.0."""
    return result.add_(0.0)


def _products(left: Operand, right: Operand) -> Iterator[Tensor]:
    """Multiply the slices that matter, block by block of the inner dimension, in each the smallest products first."""
    counts, k = (len(left.slices), len(right.slices)), right.slices[0].shape[-2]
    if counts[0] == 1 and right.joined is not None:
        pairs, parts = [(left.slices[0], right.joined)], counts[1]
    else:
        pairs, parts = [(left.slices[i], right.slices[j]) for i, j in _pairs(*counts)], 1
    use = "product"
    for start in range(0, k, BLOCK):
        block = slice(start, start + BLOCK)
        for first, second in pairs:
            each = (first, second) if k <= BLOCK else (first[..., block], second[..., block, :])
            yield from reversed(_native(*each, use).chunk(parts, -1))
            use = "part"


def _native(left: Tensor, right: Tensor, use: str) -> Tensor:
    out = room(use, (*left.shape[:-1], right.shape[-1]), left.device)
    return torch.bmm(left, right, out=out) if left.ndim == 3 else torch.mm(left, right, out=out)


def _pairs(left: int, right: int) -> Iterator[tuple[int, int]]:
    """Go through the pairs of slices that matter, smallest first."""
    for place in reversed(range(max(left, right))):
        yield from ((i, place - i) for i in range(place + 1) if i < left and place - i < right)


def scaled(x: Tensor, by: Tensor) -> Tensor:
    """Multiply by ``2.0**by``, in place, in two steps, either of which is within float64's range."""
    half = by >> 1
    return x.mul_(power(half)).mul_(power(by - half))


def finite_part(x: Tensor) -> Tensor:
    """Put 0 where there is an infinity or NaN."""
    return torch.where(torch.isfinite(x), x, 0.0)


def signs(x: Tensor) -> Tensor:
    """Give -1, 0, 1, infinities and NaN, float64: what decides where a sum of products is infinite or NaN."""
    return torch.where(torch.isfinite(x), torch.sign(x), x).to(torch.float64)


def special(values: Tensor, of_signs: Tensor) -> Tensor:
    """Take the infinities and NaN from the product of signs, which has them in any order of its sums."""
    return torch.where(torch.isfinite(of_signs), values, of_signs)
