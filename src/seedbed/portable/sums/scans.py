"""Running sums and products, in an order that is a function of the length alone.

Sixteen numbers at a time are added up one after another, for all sixteens side by side; then what each sixteen came to,
in the same way; then each sixteen gets what all before it came to.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from seedbed.portable.conversion import into_integers, ready_for
from seedbed.portable.elementary import exp, log
from seedbed.portable.sums.tree import dimensions, three_parts
from seedbed.portable.table import replaces

aten = torch.ops.aten

_STEPS = 16

Combine = Callable[[Tensor, Tensor], Tensor]
"""Combines two tensors, in the memory of the first."""


@replaces("cumsum", integers=True)
def cumsum(x: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """Add up what is before each element along `dim`, and itself, in float64; the dtype of `x`, or `dtype`."""
    if into_integers(dtype):
        return aten.cumsum(ready_for(x, dtype), dim, dtype=dtype)  # type: ignore[no-any-return]
    return _scanned(x.to(dtype or x.dtype), dim, torch.Tensor.add_)


@replaces("cumprod", integers=True)
def cumprod(x: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """Multiply up what is before each element along `dim`, and itself, in float64; the dtype of `x`, or `dtype`."""
    if into_integers(dtype):
        return aten.cumprod(ready_for(x, dtype), dim, dtype=dtype)  # type: ignore[no-any-return]
    return _scanned(x.to(dtype or x.dtype), dim, torch.Tensor.mul_)


@replaces("logcumsumexp")
def logcumsumexp(x: Tensor, dim: int) -> Tensor:
    """Give the logarithm of the running sum of exponentials, in float64; the dtype of `x`."""
    if not x.is_floating_point():
        raise NotImplementedError(f"logcumsumexp is not implemented for {x.dtype}")
    return _scanned(x, dim, _log_add_exp)


@replaces("prod", integers=True)
def prod(x: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:  # noqa: FBT001, FBT002
    """Multiply the elements along `dim`, or all; halves are multiplied with each other, in float64."""
    if into_integers(dtype):
        dims = () if dim is None else (dim, keepdim)
        return aten.prod(ready_for(x, dtype), *dims, dtype=dtype)  # type: ignore[no-any-return]
    x = x.to(dtype or x.dtype)
    parts = x.reshape(1, -1, 1) if dim is None else three_parts(x, *dimensions(x, dim) or [0])
    product = _product(parts.to(torch.float64, copy=True)).to(x.dtype)
    if dim is None or not x.ndim:
        return product.reshape(())
    sizes = [1 if index == dim % x.ndim else size for index, size in enumerate(x.shape)]
    return product.reshape(sizes) if keepdim else product.reshape(sizes).squeeze(dim)


def product(x: Tensor, dim: int) -> Tensor:
    """Multiply the elements along `dim`; float64."""
    dim %= x.ndim
    shape = [size for index, size in enumerate(x.shape) if index != dim]
    return _product(three_parts(x, dim).to(torch.float64, copy=True)).reshape(shape)


def _product(x: Tensor) -> Tensor:
    size = x.shape[1]
    if size == 0:
        return torch.ones(x.shape[0], x.shape[2], dtype=x.dtype, device=x.device)
    while size > 1:
        half = (size + 1) // 2
        x[:, : size - half].mul_(x[:, half:size])
        size = half
    return x[:, 0]


def _scanned(x: Tensor, dim: int, combine: Combine) -> Tensor:
    dims = dimensions(x, dim)
    wide = three_parts(x, *dims or [0]).to(torch.float64, copy=True)
    if wide.numel():
        _scan(wide, combine)
    return wide.to(x.dtype).reshape(x.shape)


def _scan(x: Tensor, combine: Combine) -> None:
    """Turn ``(a, n, c)`` into what it comes to up to each of ``n``, in place."""
    size = x.shape[1]
    whole = size // _STEPS * _STEPS
    if size <= _STEPS:
        _one_after_another(x, combine)
        return
    groups = x.narrow(1, 0, whole).unflatten(1, (-1, _STEPS))
    _one_after_another(groups.transpose(1, 2), combine)
    sums = groups[:, :, -1].clone()
    _scan(sums, combine)
    combine(groups[:, 1:], sums[:, :-1].unsqueeze(2))
    if whole < size:
        rest = x.narrow(1, whole, size - whole)
        _one_after_another(rest, combine)
        combine(rest, sums[:, -1:])


def _one_after_another(x: Tensor, combine: Combine) -> None:
    for index in range(1, x.shape[1]):
        combine(x[:, index], x[:, index - 1])


def _log_add_exp(x: Tensor, other: Tensor) -> Tensor:
    """``log(exp(x) + exp(other))``: the larger, and the logarithm of 1 and the exponential of what is between them."""
    larger = torch.maximum(x, other)
    between = torch.minimum(x, other) - larger
    summed = log(exp(between) + 1.0) + larger
    return x.copy_(torch.where(larger.abs() == torch.inf, larger, summed))
