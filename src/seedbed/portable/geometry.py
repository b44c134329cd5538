"""The windows of a convolution: what goes where, laid out as the columns of a matrix, and added back from there.

K. Chellapilla, S. Puri, P. Simard: High performance convolutional neural networks for document processing (2006).
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from seedbed.portable.slices import room

Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Geometry:
    """What goes where: of the input's spatial dimensions, `size`, the windows of the output's, `out`."""

    size: Sizes
    kernel: Sizes
    out: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    groups: int

    @property
    def padded(self) -> Sizes:
        """The input with its padding, and at least as large as the windows reach."""
        reach = zip(self.out, self.stride, self.kernel, self.dilation, strict=True)
        ends = [(out - 1) * stride + (kernel - 1) * dilation + 1 for out, stride, kernel, dilation in reach]
        return tuple(max(n + 2 * p, end) for n, p, end in zip(self.size, self.padding, ends, strict=True))

    @property
    def inside(self) -> tuple[slice, ...]:
        """Where the input is within its padding."""
        return tuple(slice(p, p + n) for n, p in zip(self.size, self.padding, strict=True))

    @property
    def pointwise(self) -> bool:
        """Whether every window is one element, and all are taken."""
        return math.prod(self.kernel) == 1 and self.size == self.padded == self.out


def windows(padded: Tensor, geometry: Geometry, rows: slice) -> Tensor:
    """Look at ``[c, n, *padded]`` as ``[groups, c / groups, *kernel, n, *out]``, of `rows` of the first of `out`."""
    channels, n = padded.shape[:2]
    of_channel, of_n, *of_size = padded.stride()
    each = channels // geometry.groups
    out = (rows.stop - rows.start, *geometry.out[1:])
    along = [step * stride for step, stride in zip(of_size, geometry.stride, strict=True)]
    within = [step * dilation for step, dilation in zip(of_size, geometry.dilation, strict=True)]
    shape = (geometry.groups, each, *geometry.kernel, n, *out)
    strides = (each * of_channel, of_channel, *within, of_n, *along)
    return padded.as_strided(shape, strides, padded.storage_offset() + rows.start * along[0])


def columns_of(padded: Tensor, geometry: Geometry, rows: slice, use: str) -> Tensor:
    """Lay windows out as ``[groups, c / groups * kernel, n * out]``."""
    if geometry.pointwise and rows.stop - rows.start == geometry.out[0]:
        return grouped(padded, geometry)
    view = windows(padded, geometry, rows)
    memory = room(use, view.shape, padded.device).copy_(view)
    return memory.view(geometry.groups, view.shape[1] * math.prod(geometry.kernel), -1)


def pad(x: Tensor, geometry: Geometry, use: str) -> Tensor:
    """Put zeros around ``[c, n, *size]``, in the memory of `use`: ``[c, n, *padded]``."""
    if geometry.padded == geometry.size:
        return x
    result = room(f"{use} padded", (*x.shape[:2], *geometry.padded), x.device).zero_()
    result[:, :, *geometry.inside] = x
    return result


def grouped(x: Tensor, geometry: Geometry) -> Tensor:
    """Look at ``[c, n, ...]`` as ``[groups, c / groups, n * ...]``."""
    return x.reshape(geometry.groups, x.shape[0] // geometry.groups, -1)


def fold(columns: Tensor, shape: Sequence[int], geometry: Geometry) -> Tensor:
    """Add ``[groups, c / groups * kernel, n * out]`` up to ``[c, n, *size]``, in the order of the kernel's elements."""
    if geometry.pointwise:
        return columns.view(shape)
    channels, n = shape[:2]
    view = columns.view(channels, -1, n, *geometry.out)
    padded = room("folded", (channels, n, *geometry.padded), columns.device).zero_()
    for index, place in enumerate(itertools.product(*map(range, geometry.kernel))):
        padded[:, :, *_reached(place, geometry)].add_(view[:, index])
    return padded[:, :, *geometry.inside]


def _reached(place: Sequence[int], geometry: Geometry) -> Iterator[slice]:
    """Give where the windows' element at `place` is, for all windows."""
    for index, out, stride, dilation in zip(place, geometry.out, geometry.stride, geometry.dilation, strict=True):
        yield slice(index * dilation, index * dilation + (out - 1) * stride + 1, stride)


def _spatial(values: Sequence[int], dims: int) -> Sizes:
    """Give one for each dimension: aten takes a list of one as well."""
    return tuple(values) * dims if len(values) == 1 else tuple(values)


def of_convolution(
    x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int
) -> Geometry:
    """Give that of a convolution of `x`."""
    dims = x.ndim - 2
    steps, borders, gaps = (_spatial(each, dims) for each in (stride, padding, dilation))
    size, kernel = tuple(x.shape[2:]), tuple(weight.shape[2:])
    each = zip(size, kernel, steps, borders, gaps, strict=True)
    out = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in each)
    return Geometry(size, kernel, out, steps, borders, gaps, groups)


def of_transposed(
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    output_padding: Sequence[int],
    groups: int,
) -> Geometry:
    """Give that of the convolution whose output has the shape of `x`."""
    dims = x.ndim - 2
    steps, borders, gaps, more = (_spatial(each, dims) for each in (stride, padding, dilation, output_padding))
    out, kernel = tuple(x.shape[2:]), tuple(weight.shape[2:])
    each = zip(out, kernel, steps, borders, gaps, more, strict=True)
    size = tuple((n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, k, s, p, d, o in each)
    return Geometry(size, kernel, out, steps, borders, gaps, groups)
