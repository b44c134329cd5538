"""Matrix products, by slices (see `slices`): an element's bits depend on its row and its column, and on nothing else.

Not on threads, tiles, vectors or device, nor on how many other rows and columns there are.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from seedbed.errors import NotPortableError
from seedbed.portable.slices import (
    BLOCK,
    Operand,
    cut,
    finite,
    finite_part,
    grid_of,
    magnitude,
    multiply,
    one_zero,
    power_of,
    signs,
    special,
    widths,
)
from seedbed.portable.sums.tree import total
from seedbed.portable.table import replaces

Piece = tuple[slice, ...]
Finish = Callable[[Tensor, Piece], Tensor]
"""What is done to a piece of a product, in float64, before it is rounded."""

_SOME, _MOST = 2**19, 2**20
"""Elements of the larger matrix, and of the product, that are worked on at a time on a CPU; at most, with `_LEAST`."""
_LEAST = 512
"""Rows or columns at a time, where there are so many: with fewer, the products themselves take longer."""
_TOGETHER = 2**15
"""Below so many elements of both matrices, the calls cost more than what they do: both are cut at once."""


def rounded(left: Tensor, right: Tensor, finish: Finish | None = None) -> Tensor:
    """Multiply ``[m, k]`` by ``[k, n]``, or ``[b, m, k]`` by ``[b, k, n]``, and round once to their type.

    Raises
    ------
    RuntimeError
        Where types or shapes do not fit, as PyTorch does.
    """
    _check(left, right)
    shape = (*left.shape[:-1], right.shape[-1])
    if not left.numel() or not right.numel():
        result = left.new_zeros(shape, dtype=torch.float64)
        return (result if finish is None else finish(result, (slice(None),) * 2)).to(left.dtype)
    if _are_small(left, right):
        small = _together(left, right)
        if small is not None:
            return (small if finish is None else finish(small, (slice(None),) * 2)).to(left.dtype)
    out = left.new_empty(shape)
    if _fill(out, left, right, finish):
        return out
    return _special(left, right, shape, finish)


def _are_small(left: Tensor, right: Tensor) -> bool:
    limit = _TOGETHER if left.device.type == "cpu" else 32 * _TOGETHER
    return left.dtype == torch.float32 and left.shape[-1] <= BLOCK and left.numel() + right.numel() < limit


def _together(left: Tensor, right: Tensor) -> Tensor | None:
    """Multiply small float32 matrices with fewer calls, by the same slices; None where they are not finite."""
    m, k = left.shape[-2:]
    (one,), (short, rest) = widths(k, left.dtype)
    both = torch.cat((left, right.mT), -2)
    powers = power_of(both.abs().amax(-1, keepdim=True))
    if not finite(powers):
        return None
    wide = both.to(torch.float64)
    first, low = wide[..., :m, :], wide[..., m:, :]
    of_rows, of_columns = powers[..., :m, :] * grid_of(one), powers[..., m:, :] * grid_of(short)
    first.add_(of_rows).sub_(of_rows)
    high = torch.add(low, of_columns).sub_(of_columns)
    low.sub_(high)
    of_columns.mul_(2.0**-rest)
    low.add_(of_columns).sub_(of_columns)
    return one_zero(torch.matmul(first, low.mT).add_(torch.matmul(first, high.mT)))


def _fill(out: Tensor, left: Tensor, right: Tensor, finish: Finish | None) -> bool:
    """Multiply into `out`: the smaller matrix is cut once, the larger one piece by piece. Say whether they are finite.

    Where they are not, what is in `out` is worth nothing.
    """
    *batch, m, k = left.shape
    n, all_of = right.shape[-1], slice(None)
    (one, other), by_rows, on_cpu = widths(k, left.dtype), m > n, left.device.type == "cpu"
    samples, step, across = _sizes(max(m, n), k, min(m, n), 1 if on_cpu else 64)
    largest: list[Tensor] = []

    def operand(matrix: Tensor, dim: int, bits: Sequence[int], use: str) -> Operand:
        powers = magnitude(matrix, dim)
        largest.append(powers.max())
        return cut(matrix, powers, bits, use, join=use == "right")

    for each in [(some,) for some in _pieces(batch[0], samples)] if batch else [()]:
        smaller = operand(right[each], -2, other, "right") if by_rows else operand(left[each], -1, one, "left")
        for part in _pieces(max(m, n), step):
            if by_rows:
                larger = operand(left[*each, part], -1, one, "left")
            else:
                larger = operand(right[*each, all_of, part], -2, other, "right")
            if on_cpu and not finite(torch.stack(largest)):
                return False
            for those in _pieces(min(m, n), across):
                rows, columns = (part, those) if by_rows else (those, part)
                some = smaller if across >= min(m, n) else smaller[..., those] if by_rows else smaller[..., those, :]
                first, second = (larger, some) if by_rows else (some, larger)
                result, piece = multiply(first, second), (*each, rows, columns)
                out[piece] = result if finish is None else finish(result, piece)
    return on_cpu or finite(torch.stack(largest))


def _sizes(long: int, k: int, short: int, times: int) -> tuple[int, int, int]:
    """Give how many samples, rows (or columns) of the longer side, and of the shorter one, are multiplied at a time."""
    some, most = times * _SOME, times * _MOST
    least = min(_LEAST, short, max(most // k, _LEAST // 4))
    step = max(some // max(k, short), least)
    return some // max((long + short) * k, long * short), step, most // step


def _pieces(length: int, step: int) -> Iterator[slice]:
    step = max(step, 1)
    return (slice(start, start + step) for start in range(0, length, step))


def _check(left: Tensor, right: Tensor) -> None:
    _same_dtype(left, right)
    fits = left.ndim == right.ndim and left.shape[-1] == right.shape[-2] and left.shape[:-2] == right.shape[:-2]
    if not fits:
        raise RuntimeError(f"matrices of the shapes {tuple(left.shape)} and {tuple(right.shape)} cannot be multiplied")


def _same_dtype(*tensors: Tensor) -> None:
    if any(tensor.dtype != tensors[0].dtype for tensor in tensors):
        dtypes = " != ".join(str(tensor.dtype).removeprefix("torch.") for tensor in tensors)
        raise RuntimeError(f"expected the matrices to have the same dtype, but got: {dtypes}")


def _special(left: Tensor, right: Tensor, shape: Sequence[int], finish: Finish | None) -> Tensor:
    """Multiply matrices that are not finite throughout."""
    out = left.new_empty(shape, dtype=torch.float64)
    _fill(out, finite_part(left), finite_part(right), None)
    result = special(out, torch.matmul(signs(left), signs(right)))
    return (result if finish is None else finish(result, (slice(None),) * 2)).to(left.dtype)


def _plus(addend: Tensor, shape: Sequence[int], beta: float, alpha: float) -> Finish:
    """Make what gives ``beta * addend + alpha * product``; with `beta` 0, `addend` is not looked at."""
    wide = addend.to(torch.float64)
    wide = (wide if beta == 1 else wide * float(beta)).expand(*shape)

    def finish(part: Tensor, piece: Piece) -> Tensor:
        multiple = part if alpha == 1 else part.mul_(float(alpha))
        return multiple if beta == 0 else multiple.add_(wide[piece])

    return finish


@replaces("mm", integers=True)
def mm(left: Tensor, right: Tensor, out_dtype: torch.dtype | None = None) -> Tensor:
    """Multiply ``[m, k]`` by ``[k, n]``."""
    return rounded(left, right).to(out_dtype or left.dtype)


@replaces("bmm", integers=True)
def bmm(left: Tensor, right: Tensor, out_dtype: torch.dtype | None = None) -> Tensor:
    """Multiply ``[b, m, k]`` by ``[b, k, n]``."""
    return rounded(left, right).to(out_dtype or left.dtype)


@replaces("addmm", integers=True)
def addmm(
    addend: Tensor,
    left: Tensor,
    right: Tensor,
    out_dtype: torch.dtype | None = None,
    *,
    beta: float = 1,
    alpha: float = 1,
) -> Tensor:
    """``beta * addend + alpha * (left @ right)``, rounded once; `addend` broadcasts to the product's shape."""
    _same_dtype(addend, left)
    finish = _plus(addend, (*left.shape[:-1], right.shape[-1]), beta, alpha)
    return rounded(left, right, finish).to(out_dtype or left.dtype)


@replaces("baddbmm", integers=True)
def baddbmm(
    addend: Tensor,
    left: Tensor,
    right: Tensor,
    out_dtype: torch.dtype | None = None,
    *,
    beta: float = 1,
    alpha: float = 1,
) -> Tensor:
    """``beta * addend + alpha * (left @ right)`` for each of a batch, rounded once."""
    return addmm(addend, left, right, out_dtype, beta=beta, alpha=alpha)


@replaces("addbmm", integers=True)
def addbmm(addend: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Add the products of a batch: one product, whose inner dimension is the batch's and the matrices' own."""
    flat_left, flat_right = left.transpose(0, 1).flatten(1), right.flatten(0, 1)
    return addmm(addend, flat_left, flat_right, beta=beta, alpha=alpha)


@replaces("_grouped_mm")
def grouped_mm(
    left: Tensor,
    right: Tensor,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """Multiply group by group, as mixtures of experts do; `offs` says where each group ends, and is read.

    Groups of the rows of `left`, each with a matrix of `right`, or of the columns of `right`, each with one of `left`:
    beyond the last one the product is 0. Or of the inner dimension: a matrix for each.
    """
    if bias is not None:
        raise NotPortableError("it is portable without a bias")
    if offs is None:
        return bmm(left, right, out_dtype)
    ends: list[int] = offs.tolist()
    groups = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    if left.ndim == right.ndim:
        product = torch.stack([rounded(left[:, group], right[group]) for group in groups])
    else:
        product = left.new_zeros(left.shape[-2], right.shape[-1])
        for number, group in enumerate(groups):
            if right.ndim == 3:
                product[group] = rounded(left[group], right[number])
            else:
                product[:, group] = rounded(left[number], right[:, group])
    return product.to(out_dtype or left.dtype)


@replaces("mv", integers=True)
def mv(matrix: Tensor, vector: Tensor) -> Tensor:
    """Multiply ``[m, k]`` by ``[k]``."""
    return rounded(matrix, vector.unsqueeze(1)).squeeze(1)


@replaces("addmv", integers=True)
def addmv(addend: Tensor, matrix: Tensor, vector: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * addend + alpha * (matrix @ vector)``, rounded once; `addend` broadcasts to ``[m]``."""
    column = addend.expand(matrix.shape[0]).unsqueeze(1)
    return addmm(column, matrix, vector.unsqueeze(1), beta=beta, alpha=alpha).squeeze(1)


@replaces("dot", "vdot", integers=True)
def dot(left: Tensor, right: Tensor) -> Tensor:
    """Multiply two vectors: element by element, in float64, added up as a tree."""
    _check(left.unsqueeze(0), right.unsqueeze(1))
    return total(left.to(torch.float64) * right.to(torch.float64)).to(left.dtype)


@replaces("addr", integers=True)
def addr(addend: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * addend + alpha * outer(left, right)``: element by element, in float64, rounded once."""
    outer = left.to(torch.float64).unsqueeze(1) * right.to(torch.float64)
    whole = slice(None)
    return _plus(addend, outer.shape, beta, alpha)(outer, (whole, whole)).to(left.dtype)


@replaces("_trilinear")
def trilinear(
    first: Tensor,
    second: Tensor,
    third: Tensor,
    expand_first: Sequence[int],
    expand_second: Sequence[int],
    expand_third: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
) -> Tensor:
    """Multiply three tensors, after inserting dimensions of 1, and add up over `sumdim`: for `nn.Bilinear`."""
    each = [
        _with_ones(tensor.to(torch.float64), dims)
        for tensor, dims in ((first, expand_first), (second, expand_second), (third, expand_third))
    ]
    shape = torch.broadcast_shapes(*(tensor.shape for tensor in each))
    parts = []
    for index in range(shape[unroll_dim]):
        one, two, three = (tensor.narrow(unroll_dim, min(index, tensor.shape[unroll_dim] - 1), 1) for tensor in each)
        each_product = one * two * three
        parts.append(total(each_product, sumdim, keepdim=True) if sumdim else each_product)
    result = torch.cat(parts, unroll_dim) if parts else first.new_zeros(shape, dtype=torch.float64)
    return (total(result, sumdim) if sumdim else result).to(first.dtype)


def _with_ones(x: Tensor, dims: Sequence[int]) -> Tensor:
    for dim in sorted(dims):
        x = x.unsqueeze(dim)
    return x
