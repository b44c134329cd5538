# ruff: noqa: FBT001 - aten's arguments go by position
"""Sampling at the points of a grid (`torch.nn.functional.grid_sample`), forward and backward.

Each output is a weighted sum of a few inputs around its point, taken one after another in float64; their places are
data, so that the gradient of the input is added up on a grid of numbers (`accumulate`). The formulas are those of
PyTorch's ``GridSampler.h``, in float64.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seedbed.portable.sums.accumulate import sum_rows
from seedbed.portable.sums.tree import total
from seedbed.portable.table import replaces

LINEAR, NEAREST, CUBIC = 0, 1, 2
ZEROS, BORDER, REFLECTION = 0, 1, 2
"""The modes of interpolation and of padding, as aten numbers them."""

_A = -0.75
_NOWHERE = -100.0


@dataclass(frozen=True, slots=True)
class Tap:
    """One input along one dimension, for each point: its place, its weight, and the derivative of the weight."""

    place: Tensor
    inside: Tensor
    weight: Tensor
    slope: Tensor


@dataclass(frozen=True, slots=True)
class Axis:
    """How points between -1 and 1 are places along a dimension of `size`."""

    size: int
    padding: int
    align_corners: bool

    def places(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Give the places, not yet padded, and their derivative by the point."""
        size = float(self.size)
        scale = (size - 1.0) / 2.0 if self.align_corners else size / 2.0
        places = (points + 1.0) * scale
        return places if self.align_corners else places - 0.5, torch.full_like(points, scale)

    def padded(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Bring places into the range where padding says so, and give the derivative of where they are brought."""
        slope = torch.ones_like(places)
        if self.padding == REFLECTION:
            places, slope = self._reflected(places)
        if self.padding != ZEROS:
            beyond = (places <= 0.0) | (places >= self.size - 1.0)
            places, slope = places.clamp(0.0, self.size - 1.0), slope.masked_fill(beyond, 0.0)
        return torch.where(places.abs() < 2.0**31, places, _NOWHERE), slope

    def _reflected(self, places: Tensor) -> tuple[Tensor, Tensor]:
        least, span = (0.0, self.size - 1.0) if self.align_corners else (-0.5, float(self.size))
        if span == 0.0:
            return torch.zeros_like(places), torch.zeros_like(places)
        distance = (places - least).abs()
        flips = (distance / torch.full_like(distance, span)).floor()
        extra, even = distance - flips * span, flips * 0.5 == (flips * 0.5).floor()
        slope = torch.where(places < least, -1.0, 1.0).to(places.dtype)
        return torch.where(even, extra, span - extra) + least, torch.where(even, slope, -slope)

    def tap(self, place: Tensor, weight: Tensor, slope: Tensor) -> Tap:
        """Make a tap of whole places, which count for nothing outside."""
        inside = (place >= 0.0) & (place <= self.size - 1.0)
        return Tap(torch.where(inside, place, 0.0).to(torch.int64), inside, weight, slope)


def _linear(axis: Axis, points: Tensor) -> list[Tap]:
    places, scale = axis.places(points)
    places, slope = axis.padded(places)
    first, slope = places.floor(), slope * scale
    weight = places - first
    return [axis.tap(first, 1.0 - weight, -slope), axis.tap(first + 1.0, weight, slope)]


def _nearest(axis: Axis, points: Tensor) -> list[Tap]:
    places, _ = axis.padded(axis.places(points)[0])
    return [axis.tap(places.round(), torch.ones_like(places), torch.zeros_like(places))]


def _cubic(axis: Axis, points: Tensor) -> list[Tap]:
    places, scale = axis.places(points)
    places = torch.where(places.abs() < 2.0**31, places, _NOWHERE)
    first = places.floor()
    t = places - first
    outer, inner = (t + 1.0, 2.0 - t), (t, 1.0 - t)
    weights = [_far(outer[0]), _near(inner[0]), _near(inner[1]), _far(outer[1])]
    slopes = [_far_slope(outer[0]), _near_slope(inner[0]), -_near_slope(inner[1]), -_far_slope(outer[1])]
    taps = zip(range(-1, 3), weights, slopes, strict=True)
    return [axis.tap(axis.padded(first + offset)[0].round(), weight, slope * scale) for offset, weight, slope in taps]


def _near(x: Tensor) -> Tensor:
    return ((x * (_A + 2.0)) - (_A + 3.0)) * x * x + 1.0


def _far(x: Tensor) -> Tensor:
    return ((x * _A - 5.0 * _A) * x + 8.0 * _A) * x - 4.0 * _A


def _near_slope(x: Tensor) -> Tensor:
    return (x * (3.0 * (_A + 2.0)) - 2.0 * (_A + 3.0)) * x


def _far_slope(x: Tensor) -> Tensor:
    return (x * (3.0 * _A) - 10.0 * _A) * x + 8.0 * _A


_TAPS: dict[int, Callable[[Axis, Tensor], list[Tap]]] = {LINEAR: _linear, NEAREST: _nearest, CUBIC: _cubic}


def _taps(x: Tensor, grid: Tensor, interpolation: int, padding: int, align_corners: bool) -> list[list[Tap]]:
    """Give the taps along each dimension of ``(n, c, ...)``, for ``(n, points)``; a grid has the last one first."""
    points = grid.flatten(1, -2).to(torch.float64)
    sizes = x.shape[2:]
    axes = [Axis(size, padding, align_corners) for size in sizes]
    return [_TAPS[interpolation](axis, points[..., len(sizes) - 1 - dim]) for dim, axis in enumerate(axes)]


def _corners(taps: Sequence[Sequence[Tap]], sizes: Sequence[int]) -> Iterator[tuple[Tensor, Tensor, tuple[Tap, ...]]]:
    """Go through the inputs around each point: where each is in a plane, whether it is in it, and its taps."""
    for corner in itertools.product(*taps):
        place, inside = corner[0].place, corner[0].inside
        for tap, size in zip(corner[1:], sizes[1:], strict=True):
            place, inside = place * size + tap.place, inside & tap.inside
        yield place, inside, corner


def _weight(corner: Sequence[Tap], inside: Tensor, sloped: int | None = None) -> Tensor:
    """Multiply the weights along all dimensions, or the slope along one of them; 0 outside."""
    weight = torch.ones_like(corner[0].weight)
    for dim, tap in enumerate(corner):
        weight = weight * (tap.slope if dim == sloped else tap.weight)
    return weight.masked_fill(~inside, 0.0)


def _values(x: Tensor, place: Tensor, inside: Tensor) -> Tensor:
    """Take ``(n, c, points)`` in float64 from ``(n, c, plane)``; 0 outside."""
    index = place.unsqueeze(1).expand(-1, x.shape[1], -1)
    return x.gather(2, index).to(torch.float64).masked_fill_(~inside.unsqueeze(1), 0.0)


@replaces("grid_sampler_3d")
def grid_sampler(x: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Tensor:
    """Take ``(n, c, ...)`` at the points of ``(n, *out, dims)``; ``(n, c, *out)``."""
    taps = _taps(x, grid, interpolation_mode, padding_mode, align_corners)
    result = torch.zeros(*x.shape[:2], math.prod(grid.shape[1:-1]), dtype=torch.float64, device=x.device)
    if result.numel():
        for place, inside, corner in _corners(taps, x.shape[2:]):
            result += _values(x.flatten(2), place, inside) * _weight(corner, inside).unsqueeze(1)
    return result.to(x.dtype).view(*x.shape[:2], *grid.shape[1:-1])


@replaces("grid_sampler_2d_backward", "grid_sampler_3d_backward")
def grid_sampler_backward(
    grad: Tensor,
    x: Tensor,
    grid: Tensor,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Give the gradients of `x` and of `grid`, those that `output_mask` asks for."""
    taps = _taps(x, grid, interpolation_mode, padding_mode, align_corners)
    upper = grad.flatten(2)
    of_x = _input_gradient(upper, x, taps) if output_mask[0] else None
    of_grid = _grid_gradient(upper, x, taps).to(grid.dtype).view(grid.shape) if output_mask[1] else None
    return of_x, of_grid


def _input_gradient(upper: Tensor, x: Tensor, taps: Sequence[Sequence[Tap]]) -> Tensor:
    batch, channels = x.shape[:2]
    plane = x.shape[2:].numel()
    wide = upper.to(torch.float64)
    starts = torch.arange(batch, device=x.device).unsqueeze(1) * plane
    rows, places = [], []
    for place, inside, corner in _corners(taps, x.shape[2:]):
        shares = wide * _weight(corner, inside).unsqueeze(1)
        rows.append(shares.to(x.dtype).transpose(1, 2).reshape(-1, channels))
        places.append((place + starts).reshape(-1))
    summed = sum_rows(torch.cat(places), torch.cat(rows), batch * plane, most=len(places) * upper.shape[2])
    return summed.view(batch, plane, channels).transpose(1, 2).reshape(x.shape)


def _grid_gradient(upper: Tensor, x: Tensor, taps: Sequence[Sequence[Tap]]) -> Tensor:
    """Give ``(n, points, dims)`` in float64."""
    dims = len(taps)
    result = torch.zeros(x.shape[0], upper.shape[2], dims, dtype=torch.float64, device=x.device)
    wide = upper.to(torch.float64)
    for place, inside, corner in _corners(taps, x.shape[2:]):
        products = total(_values(x.flatten(2), place, inside).mul_(wide), 1)
        for dim in range(dims):
            result[..., dims - 1 - dim] += products * _weight(corner, inside, dim)
    return result
