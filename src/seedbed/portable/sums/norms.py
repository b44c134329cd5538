# ruff: noqa: FBT001, FBT002 - aten's arguments go by position
"""Norms of vectors: powers are added up as a tree, in float64."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from seedbed.portable.elementary import pow as power
from seedbed.portable.elementary import sqrt
from seedbed.portable.sums.tree import count, dimensions, total, without
from seedbed.portable.table import replaces

Dims = Sequence[int] | int | None


@replaces("linalg_vector_norm")
def vector_norm(
    x: Tensor,
    ord: float = 2,  # noqa: A002
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``sum(abs(x) ** ord) ** (1 / ord)`` over `dim`; the extremes for an infinite `ord`, how many are not 0 for 0.

    Raises
    ------
    IndexError, RuntimeError
        As PyTorch does where an extreme of nothing is asked for.
    """
    x = x.to(dtype or x.dtype)
    dims = dimensions(x, dim)
    if count(x, dims) == 1 and ord != 0:
        norm = x.abs()
    else:
        norm = _extreme(x, ord, dims) if math.isinf(ord) else _summed(x, float(ord), dims).to(x.dtype)
    return norm if keepdim else without(norm, dims)


def _extreme(x: Tensor, ord: float, dims: Sequence[int]) -> Tensor:  # noqa: A002
    sizes = x.abs()
    return sizes.amax(list(dims), keepdim=True) if ord > 0 else sizes.amin(list(dims), keepdim=True)


def _summed(x: Tensor, ord: float, dims: Sequence[int]) -> Tensor:  # noqa: A002
    if ord == 2.0:
        return sqrt(total(x, dims, keepdim=True, change=lambda piece: piece.mul_(piece)))
    if ord == 1.0:
        return total(x, dims, keepdim=True, change=torch.Tensor.abs_)
    if ord == 0.0:
        return total(x != 0, dims, keepdim=True)
    powers = power(x.to(torch.float64).abs(), ord)
    return power(total(powers, dims, keepdim=True), 1.0 / ord)


@replaces("norm")
def norm(
    x: Tensor, p: float | None = 2, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Tensor:
    """The older name of `vector_norm`; `p` None is 2."""
    return vector_norm(x, 2 if p is None else p, dim, keepdim, dtype=dtype)


@replaces("dist")
def dist(x: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """Give the norm of the difference."""
    return vector_norm(x - other, p)
