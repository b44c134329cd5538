# ruff: noqa: FBT001, FBT002 - aten's arguments go by position
"""Sums, means and variances over dimensions.

All take `dim` as aten does: None or an empty list is all of them. float32 and float64 in, the same out, or `dtype`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from seedbed.portable.conversion import into_integers, ready_for
from seedbed.portable.elementary import sqrt
from seedbed.portable.scratch import constant
from seedbed.portable.sums.tree import count, dimensions, total, without
from seedbed.portable.table import replaces

aten = torch.ops.aten

Dims = Sequence[int] | int | None


@replaces("sum", integers=True)
def sum_(x: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
    """Add up; as integers, where `dtype` is of these."""
    if into_integers(dtype):
        return aten.sum(ready_for(x, dtype), dim, keepdim, dtype=dtype)  # type: ignore[no-any-return]
    x = x.to(dtype or x.dtype)
    return total(x, dim, keepdim=keepdim).to(x.dtype)


@replaces("nansum", integers=True)
def nansum(x: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
    """Add up what is not NaN."""
    return sum_(x.masked_fill(x.isnan(), 0.0), dim, keepdim, dtype=dtype)


@replaces("mean")
def mean(x: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
    """Add up and divide by the count; rounded once."""
    if into_integers(dtype):
        raise RuntimeError(f"mean(): dtype must be either a floating point or complex dtype. Got: {dtype}")
    x = x.to(dtype or x.dtype)
    return _mean(x, dimensions(x, dim), keepdim=keepdim).to(x.dtype)


def _mean(x: Tensor, dims: Sequence[int], *, keepdim: bool) -> Tensor:
    return total(x, dims, keepdim=keepdim) / constant(count(x, dims), x)


@replaces("trace", integers=True)
def trace(x: Tensor) -> Tensor:
    """Add up the diagonal."""
    return sum_(x.diagonal())


@replaces("var_mean")
def var_mean(
    x: Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """Give the mean square distance from the mean, and the mean: in two passes; `correction` is 1 if not given."""
    squares, middle = _var_mean(x, dim, correction, keepdim=keepdim)
    return squares.to(x.dtype), middle.to(x.dtype)


@replaces("std_mean")
def std_mean(
    x: Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """Give the square root of the variance, and the mean; see `var_mean`."""
    squares, middle = _var_mean(x, dim, correction, keepdim=keepdim)
    return sqrt(squares).to(x.dtype), middle.to(x.dtype)


@replaces("var")
def var(x: Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> Tensor:
    """Give the variance; see `var_mean`."""
    return var_mean(x, dim, correction=correction, keepdim=keepdim)[0]


@replaces("std")
def std(x: Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> Tensor:
    """Give the standard deviation; see `std_mean`."""
    return std_mean(x, dim, correction=correction, keepdim=keepdim)[0]


def _var_mean(x: Tensor, dim: Dims, correction: float | None, *, keepdim: bool) -> tuple[Tensor, Tensor]:
    if not x.is_floating_point():
        raise RuntimeError("std and var only support floating point and complex dtypes")
    dims = dimensions(x, dim)
    middle = _mean(x, dims, keepdim=True)
    distances = x.to(torch.float64, copy=True).sub_(middle)
    freedom = max(count(x, dims) - (1 if correction is None else correction), 0)
    squares = total(distances.mul_(distances), dims, keepdim=True) / constant(freedom, x)
    return (squares, middle) if keepdim else (without(squares, dims), without(middle, dims))
