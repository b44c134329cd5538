"""Convolutions of any dimension, stride, padding, dilation and groups, forward, backward and transposed.

They are products of matrices (see `products`): the windows of the input are laid out as columns, and multiplied by the
kernels; the gradient of the input goes the other way, each column added back to its window in the order of the kernel's
elements. No native convolution is used: some go by Winograd's or Fourier's transform, whose sums are not exact.

K. Chellapilla, S. Puri, P. Simard: High performance convolutional neural networks for document processing (2006).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seedbed.portable import depthwise
from seedbed.portable.geometry import Geometry, columns_of, fold, grouped, of_convolution, of_transposed, pad
from seedbed.portable.slices import (
    BLOCK,
    Operand,
    cut,
    finite,
    finite_part,
    magnitude,
    multiply,
    signs,
    special,
    widths,
)
from seedbed.portable.sums.tree import total
from seedbed.portable.table import replaces

_PIECE = 2**20
"""Elements of columns that are laid out at a time on a CPU."""

Powers = tuple[Tensor, Tensor] | None
"""The magnitudes of both operands, each in a shape that broadcasts with it; None for operands that need no cutting."""


def _kernels(weight: Tensor, geometry: Geometry) -> Tensor:
    """Look at the weight as ``[groups, o / groups, c / groups * kernel]``."""
    return weight.reshape(geometry.groups, weight.shape[0] // geometry.groups, -1)


def _operand(x: Tensor, powers: Tensor | None, bits: Sequence[int], use: str) -> Operand:
    return Operand((x.to(torch.float64),)) if powers is None else cut(x, powers, bits, use)


def _batches(length: int, each: int, x: Tensor) -> Iterator[slice]:
    """Go through samples or rows whose columns have `each` elements; what is in a piece does not change its bits."""
    step = max((_PIECE if x.device.type == "cpu" else 32 * _PIECE) // max(each, 1), 1)
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def _added(bias: Tensor | None, out: Tensor) -> Tensor | None:
    """Give what is added to ``[n, c, *size]``, as float64."""
    return None if bias is None else bias.to(torch.float64).view(-1, *(1,) * (out.ndim - 2))


def _exactly(
    run: Callable[[Tensor, Tensor, Powers], Tensor],
    measure: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    left: Tensor,
    right: Tensor,
) -> Tensor:
    """Run on slices; where there are infinities or NaN, on what is finite and on the signs."""
    powers = measure(left, right)
    if finite(torch.cat([each.flatten() for each in powers])):
        return run(left, right, powers)
    parts = finite_part(left), finite_part(right)
    values, of_signs = run(*parts, measure(*parts)), run(signs(left), signs(right), None)
    return special(values, of_signs.to(values.dtype))


def correlate(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Give ``[n, o, *out]`` from ``[n, c, *size]`` and ``[o, c / groups, *kernel]``."""
    if depthwise.is_depthwise(weight, geometry):
        return depthwise.correlate(x, weight, bias, geometry)
    run = partial(_correlate, bias=bias, geometry=geometry)
    return _exactly(run, partial(_per_sample_and_output, geometry), x.transpose(0, 1), weight)


def _per_sample_and_output(geometry: Geometry, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return magnitude(x, (0, *range(2, x.ndim))), magnitude(_kernels(weight, geometry), -1)


def _correlate(x: Tensor, weight: Tensor, powers: Powers, bias: Tensor | None, geometry: Geometry) -> Tensor:
    of_x, of_weight = powers or (None, None)
    kernels, n = _kernels(weight, geometry), x.shape[1]
    one, other = widths(kernels.shape[-1], x.dtype)
    first = _operand(kernels, of_weight, other, "kernels")
    out = x.new_empty(n, len(weight), *geometry.out)
    added = _added(bias, out)
    row = kernels.shape[-1] * geometry.groups * math.prod(geometry.out[1:])
    for samples in _batches(n, row * geometry.out[0], x):
        second = _operand(x[:, samples], None if of_x is None else of_x[:, samples], one, "input")
        padded = [pad(each, geometry, f"input {index}") for index, each in enumerate(second.slices)]
        for rows in _batches(geometry.out[0], row * (samples.stop - samples.start), x):
            columns = tuple(columns_of(each, geometry, rows, f"columns {index}") for index, each in enumerate(padded))
            piece = out[samples, :, rows]
            result = multiply(first, Operand(columns, _of_each_column(second.exponent, piece)))
            result = result.view(piece.transpose(0, 1).shape).transpose(0, 1)
            piece.copy_(result if added is None else result.add_(added))
    return out


def _of_each_column(exponent: Tensor | None, piece: Tensor) -> Tensor | None:
    """Repeat each sample's exponent for its columns: ``[1, 1, n * out]``."""
    if exponent is None:
        return None
    return exponent.view(1, 1, -1, 1).expand(-1, -1, -1, math.prod(piece.shape[2:])).flatten(2)


def spread(y: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Give ``[n, c, *size]`` from ``[n, o, *out]`` and ``[o, c / groups, *kernel]``: what `correlate` does, transposed.

    It is the gradient of the input, and the transposed convolution.
    """
    if depthwise.is_depthwise(weight, geometry) and bool(weight.isfinite().all()):
        return depthwise.spread(y, weight, bias, geometry)
    run = partial(_spread, bias=bias, geometry=geometry)
    return _exactly(run, partial(_per_place_and_input, geometry), y.transpose(0, 1), weight)


def _per_place_and_input(geometry: Geometry, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    by_group = y.unflatten(0, (geometry.groups, -1))
    return magnitude(by_group, 1).squeeze(1), magnitude(_kernels(weight, geometry).mT, -1)


def _spread(y: Tensor, weight: Tensor, powers: Powers, bias: Tensor | None, geometry: Geometry) -> Tensor:
    of_y, of_weight = powers or (None, None)
    kernels, n = _kernels(weight, geometry).mT, y.shape[1]
    one, other = widths(kernels.shape[-1], y.dtype)
    first = _operand(kernels, of_weight, other, "kernels")
    out = y.new_empty(n, weight.shape[1] * geometry.groups, *geometry.size)
    added = _added(bias, out)
    for samples in _batches(n, kernels.shape[:2].numel() * math.prod(geometry.out), y):
        of_piece = None if of_y is None else of_y[:, samples].reshape(geometry.groups, 1, -1)
        second = _operand(grouped(y[:, samples], geometry), of_piece, one, "output")
        result = fold(multiply(first, second), out[samples].transpose(0, 1).shape, geometry).transpose(0, 1)
        out[samples] = result if added is None else result.add_(added)
    return out


def weight_gradient(y: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
    """Give ``[o, c / groups, *kernel]`` from the output's gradient ``[n, o, *out]`` and the input ``[n, c, *size]``."""
    run = partial(_weight_gradient, geometry=geometry)
    return _exactly(run, _per_channel, y.transpose(0, 1), x.transpose(0, 1))


def _per_channel(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    return magnitude(y, tuple(range(1, y.ndim))), magnitude(x, tuple(range(1, x.ndim)))


def _weight_gradient(y: Tensor, x: Tensor, powers: Powers, geometry: Geometry) -> Tensor:
    of_y, of_x = powers or (None, None)
    of_y = None if of_y is None else of_y.view(geometry.groups, -1, 1)
    count, height = _one_sum(geometry, x.shape[0])
    one, other = widths(count * height * math.prod(geometry.out[1:]), x.dtype)
    result: Tensor | None = None
    for start in range(0, x.shape[1], count):
        samples = slice(start, start + count)
        second = _operand(x[:, samples], of_x, one, "input")
        padded = [pad(each, geometry, f"input {index}") for index, each in enumerate(second.slices)]
        for top in range(0, geometry.out[0], height):
            rows = slice(top, min(top + height, geometry.out[0]))
            first = _operand(grouped(y[:, samples, rows], geometry), of_y, other, "output")
            columns = tuple(
                columns_of(each, geometry, rows, f"columns {index}").mT for index, each in enumerate(padded)
            )
            each = multiply(first, Operand(columns, _of_each_element(second.exponent, geometry)))
            result = each.clone() if result is None else result.add_(each)
    assert result is not None  # noqa: S101 - nothing is empty here
    return result.view(y.shape[0], x.shape[0] // geometry.groups, *geometry.kernel).to(x.dtype)


def _one_sum(geometry: Geometry, channels: int) -> tuple[int, int]:
    """Give how many samples, and rows of each, make one exact sum, by the shapes alone: 1000 to 4000 products."""
    inner = math.prod(geometry.out[1:])
    length = min(max(2**20 // (channels * math.prod(geometry.kernel)), 1024), BLOCK)
    height = min(max(length // inner, 1), geometry.out[0])
    return max(length // (inner * geometry.out[0]), 1), height


def _of_each_element(exponent: Tensor | None, geometry: Geometry) -> Tensor | None:
    """Repeat each channel's exponent for the elements of the kernel: ``[groups, 1, c / groups * kernel]``."""
    if exponent is None:
        return None
    channels = exponent.view(geometry.groups, 1, -1, 1)
    return channels.expand(-1, -1, -1, math.prod(geometry.kernel)).flatten(2)


@replaces("convolution", "convolution_overrideable")
def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,  # noqa: FBT001 - aten's arguments
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """Convolve ``[n, c, *size]`` with ``[o, c / groups, *kernel]``, or transposed with ``[c, o / groups, *kernel]``.

    Raises
    ------
    RuntimeError
        Where the shapes do not fit.
    """
    _check(x, weight, groups, transposed=transposed)
    if transposed:
        geometry = of_transposed(x, weight, stride, padding, dilation, output_padding, groups)
        shape = (len(x), weight.shape[1] * groups, *geometry.size)
    else:
        geometry = of_convolution(x, weight, stride, padding, dilation, groups)
        shape = (len(x), len(weight), *geometry.out)
    if min(shape[2:], default=1) < 1:
        raise RuntimeError(f"the kernel {tuple(weight.shape[2:])} leaves nothing of the size {tuple(x.shape[2:])}")
    if not x.numel() or not weight.numel():
        zeros = x.new_zeros(shape)
        return zeros if bias is None else zeros + bias.view(-1, *(1,) * (x.ndim - 2))
    return (spread if transposed else correlate)(x, weight, bias, geometry)


@replaces("_convolution")
def convolution_with_switches(*args: Any, **switches: bool) -> Tensor:
    """Convolve; what follows the nine arguments of `convolution` are cuDNN's switches."""
    del switches
    return convolution(*args[:9])


def _check(x: Tensor, weight: Tensor, groups: int, *, transposed: bool) -> None:
    channels = weight.shape[0] if transposed else weight.shape[1] * groups
    if x.ndim != weight.ndim or x.shape[1] != channels or weight.shape[0] % groups:
        raise RuntimeError(
            f"an input of the shape {tuple(x.shape)} cannot be convolved with a weight of {tuple(weight.shape)} "
            f"in {groups} groups"
        )
    if x.dtype != weight.dtype:
        raise RuntimeError(f"Input type ({x.dtype}) and weight type ({weight.dtype}) should be the same")


@replaces("convolution_backward", "convolution_backward_overrideable")
def convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,  # noqa: FBT001 - aten's arguments
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Give the gradients of the input, the weight and the bias: those that `output_mask` asks for."""
    del bias_sizes
    of_x, of_weight, of_bias = output_mask
    geometry = (
        of_transposed(x, weight, stride, padding, dilation, output_padding, groups)
        if transposed
        else of_convolution(x, weight, stride, padding, dilation, groups)
    )
    empty = not grad.numel() or not x.numel() or not weight.numel()
    of_bias_ = total(grad, (0, *range(2, grad.ndim))).to(grad.dtype) if of_bias else None
    if empty:
        return torch.zeros_like(x) if of_x else None, torch.zeros_like(weight) if of_weight else None, of_bias_
    back = correlate if transposed else spread
    outer, inner = (x, grad) if transposed else (grad, x)
    return (
        back(grad, weight, None, geometry) if of_x else None,
        weight_gradient(outer, inner, geometry) if of_weight else None,
        of_bias_,
    )
