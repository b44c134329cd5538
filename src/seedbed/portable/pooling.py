# ruff: noqa: FBT001 - aten's arguments go by position
"""Pooling: averages over windows, and the backward passes of averages and of maxima.

A window's elements are added up one after another, in float64; where windows overlap, so are the gradients.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from seedbed.portable.scratch import scratch
from seedbed.portable.sums.accumulate import sum_rows
from seedbed.portable.sums.scatter import scatter
from seedbed.portable.sums.tree import pieces
from seedbed.portable.table import replaces
from seedbed.portable.windows import Window, add_at, offsets, padded_to, planes, spread, window_sums

Sizes = Sequence[int]


@replaces("avg_pool2d")
def avg_pool2d(x: Tensor, kernel_size: Sizes, *args: Any, **kwargs: Any) -> Tensor:
    """Average over windows along the last two dimensions; arguments as `torch.nn.functional.avg_pool2d`."""
    return _avg_pool(x, 2, kernel_size, *args, **kwargs)


@replaces("avg_pool3d")
def avg_pool3d(x: Tensor, kernel_size: Sizes, *args: Any, **kwargs: Any) -> Tensor:
    """Average over windows along the last three dimensions; arguments as `torch.nn.functional.avg_pool3d`."""
    return _avg_pool(x, 3, kernel_size, *args, **kwargs)


def _avg_pool(
    x: Tensor,
    ndim: int,
    kernel_size: Sizes,
    stride: Sizes = (),
    padding: Sizes = (0,),
    ceil_mode: bool = False,  # noqa: FBT002
    count_include_pad: bool = True,  # noqa: FBT002
    divisor_override: int | None = None,
) -> Tensor:
    like = torch.empty(x.shape, device="meta")
    averaged = getattr(torch.ops.aten, f"avg_pool{ndim}d")(like, kernel_size, stride, padding, ceil_mode)
    windows = _windows(kernel_size, stride, padding, averaged.shape[-ndim:])
    divisor = _divisor(x, windows, divisor_override, include=count_include_pad)
    parts = planes(x, ndim)
    result = torch.empty(parts.shape[0], *averaged.shape[-ndim:], dtype=x.dtype, device=x.device)
    for part, _ in pieces(x, parts.shape[0], 1, parts.shape[1:].numel()):
        result[part] = window_sums(parts[part].to(torch.float64), windows).div_(divisor)
    return result.view(averaged.shape)


def _windows(kernel_size: Sizes, stride: Sizes, padding: Sizes, counts: Sizes, dilation: Sizes = (1,)) -> list[Window]:
    ndim = len(counts)
    sizes = [_each(values, ndim) for values in (kernel_size, stride or kernel_size, padding, counts, dilation)]
    return [Window(*numbers) for numbers in zip(*sizes, strict=True)]


def _each(values: Sizes | int, ndim: int) -> list[int]:
    given = [values] if isinstance(values, int) else list(values)
    return given * ndim if len(given) == 1 else given


def _divisor(x: Tensor, windows: Sequence[Window], override: int | None, *, include: bool) -> Tensor:
    """Give how many elements each window has, over all dimensions; float64."""
    divisor = torch.ones(*(1 for _ in windows), dtype=torch.float64, device=x.device)
    if override is not None:
        return divisor * float(override)
    for number, window in enumerate(windows):
        size = x.shape[x.ndim - len(windows) + number]
        counted = torch.tensor(_counts(window, size, include=include), dtype=torch.float64, device=x.device)
        divisor = divisor * counted.view([-1 if each == number else 1 for each in range(len(windows))])
    return divisor


def _counts(window: Window, size: int, *, include: bool) -> list[int]:
    """Count each window's elements: those in the padding too, if they are to be included, but none beyond it."""
    starts = [number * window.stride - window.padding for number in range(window.count)]
    edge = window.padding if include else 0
    return [min(start + window.size, size + edge) - max(start, -edge) for start in starts]


@replaces("avg_pool2d_backward")
def avg_pool2d_backward(grad: Tensor, x: Tensor, *args: Any) -> Tensor:
    """Give the gradient of `x`: each element gets its share of the windows that it is in."""
    return _avg_pool_backward(grad, x, 2, *args)


@replaces("avg_pool3d_backward")
def avg_pool3d_backward(grad: Tensor, x: Tensor, *args: Any) -> Tensor:
    """Give the gradient of `x`: each element gets its share of the windows that it is in."""
    return _avg_pool_backward(grad, x, 3, *args)


def _avg_pool_backward(
    grad: Tensor,
    x: Tensor,
    ndim: int,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    del ceil_mode
    windows = _windows(kernel_size, stride, padding, grad.shape[-ndim:])
    divisor = _divisor(x, windows, divisor_override, include=count_include_pad)
    return _spread(grad, x, ndim, windows, divisor)


def _spread(grad: Tensor, x: Tensor, ndim: int, windows: Sequence[Window], divisor: Tensor) -> Tensor:
    grads = planes(grad, ndim)
    sizes = x.shape[-ndim:]
    result = torch.empty(grads.shape[0], *sizes, dtype=x.dtype, device=x.device)
    for part, _ in pieces(x, grads.shape[0], 1, sizes.numel()):
        result[part] = spread(grads[part].to(torch.float64) / divisor, windows, sizes)
    return result.view(x.shape)


@replaces("max_pool2d_with_indices_backward")
def max_pool2d_backward(grad: Tensor, x: Tensor, *args: Any) -> Tensor:
    """Give the gradient of `x`: each window's goes to its largest element."""
    return _max_pool_backward(grad, x, 2, *args)


@replaces("max_pool3d_with_indices_backward")
def max_pool3d_backward(grad: Tensor, x: Tensor, *args: Any) -> Tensor:
    """Give the gradient of `x`: each window's goes to its largest element."""
    return _max_pool_backward(grad, x, 3, *args)


def _max_pool_backward(
    grad: Tensor,
    x: Tensor,
    ndim: int,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    indices: Tensor,
) -> Tensor:
    del ceil_mode
    windows = _windows(kernel_size, stride, padding, grad.shape[-ndim:], dilation)
    grads, places = planes(grad, ndim), planes(indices, ndim)
    sizes = x.shape[-ndim:]
    result = torch.empty(grads.shape[0], *sizes, dtype=x.dtype, device=x.device)
    for part, _ in pieces(x, grads.shape[0], 1, sizes.numel()):
        result[part] = _to_largest(grads[part], places[part], windows, sizes)
    return result.view(x.shape)


def _to_largest(grad: Tensor, indices: Tensor, windows: Sequence[Window], sizes: torch.Size) -> Tensor:
    """Add the gradients of windows of which no two overlap, in whatever order, then of the next of those; float64."""
    summed = scratch("summed", (grad.shape[0], sizes.numel()), torch.float64, grad.device).zero_()
    for apart in _apart(windows):
        here = (slice(None), *apart)
        summed.scatter_add_(1, indices[here].flatten(1), grad[here].flatten(1).to(torch.float64))
    return summed.view(grad.shape[0], *sizes)


def _apart(windows: Sequence[Window]) -> Iterator[tuple[slice, ...]]:
    """Divide the windows into as few sets as it takes for no two in a set to overlap."""
    steps = [-(-((window.size - 1) * window.dilation + 1) // window.stride) for window in windows]
    for firsts in itertools.product(*map(range, steps)):
        yield tuple(slice(first, None, step) for first, step in zip(firsts, steps, strict=True))


@replaces("adaptive_max_pool2d_backward", "fractional_max_pool2d_backward")
def indexed_pool2d_backward(grad: Tensor, x: Tensor, *args: Any) -> Tensor:
    """Give the gradient of `x`: each element of `grad` goes where the indices, the last argument, say."""
    return _to_indices(grad, x, 2, args[-1])


@replaces("adaptive_max_pool3d_backward", "fractional_max_pool3d_backward")
def indexed_pool3d_backward(grad: Tensor, x: Tensor, *args: Any) -> Tensor:
    """Give the gradient of `x`: each element of `grad` goes where the indices, the last argument, say."""
    return _to_indices(grad, x, 3, args[-1])


def _to_indices(grad: Tensor, x: Tensor, ndim: int, indices: Tensor) -> Tensor:
    places = planes(indices, ndim).flatten(1)
    size = x.shape[-ndim:].numel()
    flat = places + torch.arange(places.shape[0], device=x.device).unsqueeze(1) * size
    summed = sum_rows(flat.reshape(-1), grad.reshape(-1, 1), x.numel(), most=places.shape[1])
    return summed.view(x.shape)


@replaces("col2im")
def col2im(x: Tensor, output_size: Sizes, kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> Tensor:
    """Add up blocks that slide over an image: ``(n, c * kernel, blocks)`` to ``(n, c, h, w)``."""
    batched = x if x.ndim == 3 else x.unsqueeze(0)
    counts = [
        (size + 2 * pad - gap * (kernel - 1) - 1) // step + 1
        for size, kernel, gap, pad, step in zip(output_size, kernel_size, dilation, padding, stride, strict=True)
    ]
    windows = _windows(kernel_size, stride, padding, counts, dilation)
    channels = batched.shape[1] // math.prod(kernel_size)
    blocks = batched.reshape(batched.shape[0] * channels, math.prod(kernel_size), *counts)
    result = torch.empty(blocks.shape[0], *output_size, dtype=x.dtype, device=x.device)
    for part, _ in pieces(x, blocks.shape[0], 1, blocks.shape[1:].numel()):
        result[part] = _overlapped(blocks[part], windows, output_size)
    shape = (batched.shape[0], channels, *output_size)
    return result.view(shape if x.ndim == 3 else shape[1:])


def _overlapped(blocks: Tensor, windows: Sequence[Window], sizes: Sizes) -> Tensor:
    lengths = [window.length for window in windows]
    covered = torch.zeros(blocks.shape[0], *lengths, dtype=torch.float64, device=blocks.device)
    for number, offset in enumerate(offsets(windows)):
        add_at(covered, windows, offset, blocks[:, number].to(torch.float64))
    for dim, (window, size) in enumerate(zip(windows, sizes, strict=True), 1):
        covered = padded_to(covered, dim, -window.padding, size)
    return covered


@replaces("unfold_backward")
def unfold_backward(grad: Tensor, input_sizes: Sizes, dim: int, size: int, step: int) -> Tensor:
    """Add up what `torch.Tensor.unfold` cut out of `dim`, the last dimension of `grad` holding each cut."""
    if not input_sizes:
        return grad.reshape(())
    dim = dim % len(input_sizes)
    covered = torch.zeros(tuple(input_sizes), dtype=torch.float64, device=grad.device)
    count = grad.shape[dim]
    for offset in range(size):
        part = slice(offset, offset + (count - 1) * step + 1, step)
        covered[(*(slice(None) for _ in range(dim)), part)].add_(grad.select(-1, offset).to(torch.float64))
    return covered.to(grad.dtype)


@replaces("max_unpool2d")
def max_unpool2d(x: Tensor, indices: Tensor, output_size: Sizes) -> Tensor:
    """Write each element of `x` to the index of its plane, the last where there are several; 0 elsewhere."""
    return _unpooled(x, indices, output_size)


@replaces("max_unpool3d")
def max_unpool3d(x: Tensor, indices: Tensor, output_size: Sizes, *_: Sizes) -> Tensor:
    """Write each element of `x` to the index of its plane, the last where there are several; 0 elsewhere."""
    return _unpooled(x, indices, output_size)


def _unpooled(x: Tensor, indices: Tensor, sizes: Sizes) -> Tensor:
    parts, places = planes(x, len(sizes)), planes(indices, len(sizes))
    nothing = torch.zeros(parts.shape[0], math.prod(sizes), dtype=x.dtype, device=x.device)
    written = scatter(nothing, 1, places.flatten(1), parts.flatten(1))
    return written.view(*x.shape[: x.ndim - len(sizes)], *sizes)
