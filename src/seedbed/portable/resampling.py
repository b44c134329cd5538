"""Resampling: upsampling, downsampling and adaptive averages, one dimension after another, forward and backward.

Along one dimension each output is a weighted sum of a few inputs (`taps`); the backward pass is the transpose. The
weights are Python's floats, float64 on every machine; the sums are taken one tap after another, in float64. Coordinates
and weights follow PyTorch's ``UpSample.h`` and ``UpSampleKernel.cpp``, which compute them in float32 for float32.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from seedbed.portable.sums.tree import pieces
from seedbed.portable.table import replaces
from seedbed.portable.taps import Taps, apply, transposed
from seedbed.portable.windows import planes

Sizes = Sequence[int]
Scales = Sequence[float | None]

Make = Callable[[int, int, float | None], Taps]
"""Makes the taps along one dimension, from the number of inputs, of outputs and the scale, if one was given."""


def _scale(inputs: int, outputs: int, scale: float | None, *, align_corners: bool) -> float:
    """Give the distance between outputs, in inputs."""
    if align_corners:
        return (inputs - 1) / (outputs - 1) if outputs > 1 else 0.0
    return 1.0 / scale if scale is not None and scale > 0 else inputs / outputs


@cache
def linear(inputs: int, outputs: int, scale: float | None, *, align_corners: bool) -> Taps:
    """Weigh the two nearest inputs; where there are as many outputs as inputs, each is its own, whatever the scale."""
    if inputs == outputs:
        return tuple(((number, 1.0),) for number in range(outputs))
    step = _scale(inputs, outputs, scale, align_corners=align_corners)
    taps = []
    for number in range(outputs):
        place = step * number if align_corners else max(step * (number + 0.5) - 0.5, 0.0)
        first = min(int(place), inputs - 1)
        weight = min(place - first, 1.0)
        taps.append(((first, 1.0 - weight), (min(first + 1, inputs - 1), weight)))
    return tuple(taps)


def _cubic(distance: float, a: float) -> float:
    """Keys' kernel: R. Keys, Cubic convolution interpolation for digital image processing (1981)."""
    x = abs(distance)
    if x <= 1.0:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    return ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a if x < 2.0 else 0.0


@cache
def cubic(inputs: int, outputs: int, scale: float | None, *, align_corners: bool) -> Taps:
    """Weigh the four nearest inputs by Keys' kernel with -0.75; beyond the edge is what is at it."""
    step = _scale(inputs, outputs, scale, align_corners=align_corners)
    taps = []
    for number in range(outputs):
        place = step * number if align_corners else step * (number + 0.5) - 0.5
        first = math.floor(place)
        near = range(first - 1, first + 3)
        taps.append(tuple((min(max(each, 0), inputs - 1), _cubic(place - each, -0.75)) for each in near))
    return tuple(taps)


def _triangle(distance: float) -> float:
    return max(1.0 - abs(distance), 0.0)


@cache
def smoothed(inputs: int, outputs: int, scale: float | None, *, align_corners: bool, is_cubic: bool) -> Taps:
    """Weigh all inputs under a kernel that is as wide as an output (``antialias=True``); the weights add up to 1."""
    step = _scale(inputs, outputs, scale, align_corners=align_corners)
    kernel = partial(_cubic, a=-0.5) if is_cubic else _triangle
    width = max(step, 1.0)
    support = (2.0 if is_cubic else 1.0) * width
    taps = []
    for number in range(outputs):
        center = step * (number + 0.5)
        first = max(int(center - support + 0.5), 0)
        last = min(int(center + support + 0.5), inputs)
        weights = [kernel((each - center + 0.5) / width) for each in range(first, last)]
        whole = sum(weights) or 1.0
        taps.append(tuple((first + offset, weight / whole) for offset, weight in enumerate(weights)))
    return tuple(taps)


@cache
def nearest(inputs: int, outputs: int, scale: float | None, *, exact: bool) -> Taps:
    """Take one input: the one at the output's corner, or with `exact` at its middle; in float32, as PyTorch does."""
    step = torch.tensor(1.0 / scale if scale is not None and scale > 0 else inputs, dtype=torch.float32)
    if scale is None or scale <= 0:
        step = step / torch.tensor(outputs, dtype=torch.float32)
    places = torch.arange(outputs).to(torch.float32) + (0.5 if exact else 0.0)
    return tuple(((min(place, inputs - 1), 1.0),) for place in (places * step).floor().to(torch.int64).tolist())


@cache
def averaged(inputs: int, outputs: int, scale: float | None) -> Taps:
    """Weigh alike all inputs that an output of adaptive pooling covers, not yet divided by their number."""
    del scale
    ends = ((number * inputs // outputs, -(-(number + 1) * inputs // outputs)) for number in range(outputs))
    return tuple(tuple((each, 1.0) for each in range(first, last)) for first, last in ends)


def _resampled(x: Tensor, sizes: Sizes, scales: Scales, make: Make) -> Tensor:
    """Resample the last dimensions of `x` to `sizes`."""
    parts = planes(x, len(sizes))
    taps = [make(*numbers) for numbers in zip(parts.shape[1:], sizes, scales, strict=True)]
    return _each_plane(parts, taps, sizes).view(*x.shape[: x.ndim - len(sizes)], *sizes)


def _gradient(grad: Tensor, input_size: Sizes, scales: Scales, make: Make) -> Tensor:
    """Give the gradient of what was resampled to `grad`, of `input_size`."""
    ndim = len(scales)
    parts, sizes = planes(grad, ndim), list(input_size)[-ndim:]
    forward = [make(*numbers) for numbers in zip(sizes, parts.shape[1:], scales, strict=True)]
    taps = [transposed(each, size) for each, size in zip(forward, sizes, strict=True)]
    return _each_plane(parts, taps, sizes).view(*input_size)


def _each_plane(parts: Tensor, taps: Sequence[Taps], sizes: Sizes, divisor: Tensor | None = None) -> Tensor:
    result = torch.empty(parts.shape[0], *sizes, dtype=parts.dtype, device=parts.device)
    for part, _ in pieces(parts, parts.shape[0], 1, max(parts.shape[1:].numel(), math.prod(sizes))):
        piece = parts[part].to(torch.float64)
        for dim in range(len(sizes), 0, -1):
            piece = apply(piece, dim, taps[dim - 1])
        result[part] = piece if divisor is None else piece / divisor
    return result


def _enter(name: str, ndim: int, make: Callable[..., Taps], *, aligns: bool) -> None:
    """Enter an operation and its backward pass; where it `aligns`, ``align_corners`` comes before the scales."""

    def made(given: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Scales, Make]:
        flags = {"align_corners": bool(given[0])} if aligns else {}
        named = [kwargs[key] for key in ("scales", "scales_d", "scales_h", "scales_w") if key in kwargs]
        scales = [*given[len(flags) :], *named]
        return [*scales, *[None] * (ndim - len(scales))], partial(make, **flags)

    def forward(x: Tensor, output_size: Sizes, *given: Any, **kwargs: Any) -> Tensor:
        return _resampled(x, list(output_size), *made(given, kwargs))

    def backward(grad: Tensor, output_size: Sizes, input_size: Sizes, *given: Any, **kwargs: Any) -> Tensor:
        del output_size
        return _gradient(grad, input_size, *made(given, kwargs))

    replaces(name)(forward)
    replaces(f"{name}_backward")(backward)


for _ndim, _linear in enumerate(("linear1d", "bilinear2d", "trilinear3d"), 1):
    _enter(f"upsample_nearest{_ndim}d", _ndim, partial(nearest, exact=False), aligns=False)
    _enter(f"_upsample_nearest_exact{_ndim}d", _ndim, partial(nearest, exact=True), aligns=False)
    _enter(f"upsample_{_linear}", _ndim, linear, aligns=True)
_enter("upsample_bicubic2d", 2, cubic, aligns=True)
_enter("_upsample_bilinear2d_aa", 2, partial(smoothed, is_cubic=False), aligns=True)
_enter("_upsample_bicubic2d_aa", 2, partial(smoothed, is_cubic=True), aligns=True)


@replaces("_adaptive_avg_pool2d", "_adaptive_avg_pool3d")
def adaptive_avg_pool(x: Tensor, output_size: Sizes) -> Tensor:
    """Average over windows that divide the last dimensions as evenly as it goes into `output_size`."""
    sizes = list(output_size)
    parts = planes(x, len(sizes))
    taps = [averaged(inputs, outputs, None) for inputs, outputs in zip(parts.shape[1:], sizes, strict=True)]
    averages = _each_plane(parts, taps, sizes, _counts(taps, x))
    return averages.view(*x.shape[: x.ndim - len(sizes)], *sizes)


def _counts(taps: Sequence[Taps], like: Tensor) -> Tensor:
    counts = torch.ones((), dtype=torch.float64, device=like.device)
    for each in taps:
        counts = counts.unsqueeze(-1) * torch.tensor(
            [len(tap) for tap in each], dtype=torch.float64, device=like.device
        )
    return counts


@replaces("_adaptive_avg_pool2d_backward")
def adaptive_avg_pool2d_backward(grad: Tensor, x: Tensor) -> Tensor:
    """Give the gradient of `x`: each element gets its share of the averages that it is in."""
    return _adaptive_backward(grad, x, 2)


@replaces("_adaptive_avg_pool3d_backward")
def adaptive_avg_pool3d_backward(grad: Tensor, x: Tensor) -> Tensor:
    """Give the gradient of `x`: each element gets its share of the averages that it is in."""
    return _adaptive_backward(grad, x, 3)


def _adaptive_backward(grad: Tensor, x: Tensor, ndim: int) -> Tensor:
    parts, sizes = planes(grad, ndim), x.shape[-ndim:]
    taps = [averaged(inputs, outputs, None) for inputs, outputs in zip(sizes, parts.shape[1:], strict=True)]
    shares = parts.to(torch.float64) / _counts(taps, x)
    back = [transposed(each, size) for each, size in zip(taps, sizes, strict=True)]
    return _each_plane(shares, back, sizes).to(x.dtype).view(x.shape)
