# ruff: noqa: FBT001, FBT002 - aten's arguments go by position
"""Softmax and its relatives: the largest element is subtracted, the exponentials are added up as a tree.

What native kernels compute, operation by operation, but for the sums, which are in float64; Blanchard, Higham and
Higham (2021), Accurately computing the log-sum-exp and softmax functions, have the error analysis.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seedbed.portable.elementary import exp, log
from seedbed.portable.elementary.exponential import narrow_exp, room
from seedbed.portable.elementary.logarithm import log_of_double
from seedbed.portable.scratch import constant, scratch, wide
from seedbed.portable.sums.tree import cut_up, dimensions, piece_sums, pieces, three_parts, total, without
from seedbed.portable.table import replaces


@replaces("_softmax")
def softmax(x: Tensor, dim: int, half_to_float: bool = False) -> Tensor:
    """``exp(x - max) / sum(exp(x - max))``; the shape and dtype of `x`."""
    del half_to_float  # who asked for it gets float32 in already
    return _along(_softmax, dim, x)


@replaces("_log_softmax")
def log_softmax(x: Tensor, dim: int, half_to_float: bool = False) -> Tensor:
    """``x - max - log(sum(exp(x - max)))``; the shape and dtype of `x`."""
    del half_to_float
    (dim,) = dimensions(x, dim) or [0]
    parts = three_parts(x, dim)
    result = torch.empty(parts.shape, dtype=x.dtype, device=x.device)
    if not result.numel():
        return result.view(x.shape)
    before, size, after = parts.shape
    largest = parts.amax(1, keepdim=True)
    sums = torch.empty(largest.shape, dtype=torch.float64, device=x.device)
    for rows, columns in pieces(x, before, after, size):
        sums[rows, :, columns] = piece_sums(_powers(parts[rows, :, columns], largest[rows, :, columns]))
    logarithms = log_of_double(sums.view(-1)).view(sums.shape) if x.dtype == torch.float32 else log(sums)
    largest = largest.to(torch.float64)
    for rows, columns in pieces(x, before, after, size):
        shifted = wide("softmax", parts[rows, :, columns]).sub_(largest[rows, :, columns])
        result[rows, :, columns] = shifted.sub_(logarithms[rows, :, columns])
    return result.view(x.shape)


@replaces("_softmax_backward_data")
def softmax_backward(grad: Tensor, output: Tensor, dim: int, input_dtype: torch.dtype | None = None) -> Tensor:
    """``(grad - sum(grad * output)) * output``; the shape of `grad`."""
    return _along(_softmax_backward, dim, grad, output).to(input_dtype or grad.dtype)


@replaces("_log_softmax_backward_data")
def log_softmax_backward(grad: Tensor, output: Tensor, dim: int, input_dtype: torch.dtype | None = None) -> Tensor:
    """``grad - exp(output) * sum(grad)``; the shape of `grad`."""
    return _along(_log_softmax_backward, dim, grad, output).to(input_dtype or grad.dtype)


@replaces("_safe_softmax")
def safe_softmax(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """Softmax, and 0 where all of a row is -inf: where attention is masked out altogether."""
    x = x.to(dtype or x.dtype)
    result = softmax(x, dim)
    if x.numel() == 0:
        return result
    masked = (x == -torch.inf).all(dim, keepdim=True)
    return result.masked_fill_(masked, 0.0)


@replaces("logsumexp")
def logsumexp(x: Tensor, dim: Sequence[int] | int, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(x - max))) + max``, with 0 for a `max` that is infinite; over all for an empty `dim`."""
    dims = dimensions(x, dim)
    if x.numel() == 0:
        empty = log(total(x, dims, keepdim=True))
        return (empty if keepdim else without(empty, dims)).to(x.dtype)
    largest = x.amax(dims, keepdim=True)
    largest = largest.masked_fill(largest.abs() == torch.inf, 0.0)
    summed = total(exp(x - largest), dims, keepdim=True)
    result = (log(summed) + largest.to(torch.float64)).to(x.dtype)
    return result if keepdim else without(result, dims)


def _along(function: Callable[..., None], dim: int, *tensors: Tensor) -> Tensor:
    """Run `function` on pieces that hold all of `dim`, as ``(a, n, c)``; the last it is given is where it writes."""
    x = tensors[0]
    (dim,) = dimensions(x, dim) or [0]
    parts = [three_parts(tensor, dim) for tensor in tensors]
    result = torch.empty(parts[0].shape, dtype=x.dtype, device=x.device)
    if result.numel():
        for pieces_of_each in cut_up(*parts, result):
            function(*pieces_of_each)
    return result.view(x.shape)


def _powers(x: Tensor, less: Tensor | None = None) -> Tensor:
    """Give the exponentials of ``x - less`` in float64, float32's unrounded; the next call may overwrite them."""
    if less is not None:  # into where `narrow_exp` begins, so that its first step is in place
        x = torch.sub(x, less, out=room(x).r) if x.dtype == torch.float32 else x - less
    return narrow_exp(x) if x.dtype == torch.float32 else exp(x)


def _softmax(x: Tensor, result: Tensor) -> None:
    powers = _powers(x, x.amax(1, keepdim=True))
    if x.dtype == torch.float32:
        result.copy_(powers.mul_(constant(1.0, x) / piece_sums(powers)))
    else:
        torch.div(powers, piece_sums(powers), out=result)


def _softmax_backward(grad: Tensor, output: Tensor, result: Tensor) -> None:
    products = torch.mul(grad, output, out=scratch("softmax", grad.shape, grad.dtype, grad.device))
    torch.sub(grad, piece_sums(products).to(grad.dtype), out=result).mul_(output)


def _log_softmax_backward(grad: Tensor, output: Tensor, result: Tensor) -> None:
    powers = _powers(output).mul_(piece_sums(grad))
    result.copy_(wide("softmax", grad).sub_(powers))
