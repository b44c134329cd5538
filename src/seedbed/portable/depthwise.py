"""Convolutions of each channel by itself, in float32: one element of the kernel after another.

The product of two float32 is exact in float64, so that it makes no difference whether it is fused with the addition:
the one place where `addcmul_` is safe. All channels are worked on as they lie in memory, padding and all, so that an
element of the kernel is a distance; what comes of the padding is left out in the end.
"""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from seedbed.portable.geometry import Geometry
from seedbed.portable.slices import room
from seedbed.portable.sums.tree import pieces

_MOST_STEPS = 4
"""So many results are computed for one that is wanted, where strides are longer than 1."""


def is_depthwise(weight: Tensor, geometry: Geometry) -> bool:
    """Tell whether there is one kernel for each channel, and the way of this module pays."""
    of_each = weight.shape[0] == geometry.groups and weight.shape[1] == 1
    return of_each and weight.dtype == torch.float32 and math.prod(geometry.stride) <= _MOST_STEPS


def correlate(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Give ``[n, c, *out]`` from ``[n, c, *size]`` and ``[c, 1, *kernel]``."""
    out = x.new_empty(*x.shape[:2], *geometry.out)
    kernels, places = _kernels(weight), list(_distances(geometry))
    for channels, samples in _pieces(x, geometry):
        part = x[samples, channels].transpose(0, 1)
        padded = room("padded", (*part.shape[:2], *geometry.padded), x.device).zero_()
        padded[:, :, *geometry.inside] = part
        length = padded[0].numel() - places[-1]
        sums = room("taps", padded.shape, x.device)
        _add_up(sums.flatten(1)[:, :length], padded.flatten(1), kernels[channels], places)
        out[samples, channels] = _plus(sums[:, :, *_reached(geometry)], bias, channels).transpose(0, 1)
    return out


def spread(y: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Give ``[n, c, *size]`` from ``[n, c, *out]`` and ``[c, 1, *kernel]``: what `correlate` does, transposed."""
    out = y.new_empty(*y.shape[:2], *geometry.size)
    kernels, places = _kernels(weight), list(_distances(geometry))
    backwards = [places[-1] - place for place in places]
    for channels, samples in _pieces(y, geometry):
        part = y[samples, channels].transpose(0, 1)
        length = part.shape[1] * math.prod(geometry.padded)
        apart = room("padded", (part.shape[0], places[-1] + length), y.device).zero_()
        apart[:, places[-1] :].view(*part.shape[:2], *geometry.padded)[:, :, *_reached(geometry)] = part
        sums = room("taps", (*part.shape[:2], *geometry.padded), y.device)
        _add_up(sums.flatten(1), apart, kernels[channels], backwards)
        out[samples, channels] = _plus(sums[:, :, *geometry.inside], bias, channels).transpose(0, 1)
    return out


def _kernels(weight: Tensor) -> Tensor:
    return weight.to(torch.float64).flatten(1)


def _distances(geometry: Geometry) -> Iterator[int]:
    """Give how far each element of the kernel is from the first, in elements of the padded input; they ascend."""
    steps = [math.prod(geometry.padded[dim + 1 :]) for dim in range(len(geometry.padded))]
    for place in itertools.product(*map(range, geometry.kernel)):
        yield sum(index * gap * step for index, gap, step in zip(place, geometry.dilation, steps, strict=True))


def _pieces(x: Tensor, geometry: Geometry) -> Iterator[tuple[slice, slice]]:
    return pieces(x, x.shape[1], x.shape[0], math.prod(geometry.padded))


def _add_up(sums: Tensor, x: Tensor, kernels: Tensor, places: list[int]) -> None:
    """Fill `sums` ``[c, length]`` with what is at each place from there on in `x`, times the kernel's element."""
    factors = kernels.T.unsqueeze(2).unbind()
    parts = (x.narrow(1, place, sums.shape[1]) for place in places)
    torch.mul(next(parts), factors[0], out=sums)
    for part, factor in zip(parts, factors[1:], strict=True):
        sums.addcmul_(part, factor)


def _reached(geometry: Geometry) -> Iterator[slice]:
    """Give where in the padded input the windows begin."""
    return (slice(0, (out - 1) * step + 1, step) for out, step in zip(geometry.out, geometry.stride, strict=True))


def _plus(sums: Tensor, bias: Tensor | None, channels: slice) -> Tensor:
    return sums if bias is None else sums.add_(bias[channels].to(torch.float64).view(-1, *(1,) * (sums.ndim - 1)))
