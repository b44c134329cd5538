"""Sums over windows that slide along dimensions, and their transposes: one slice after another, in float64.

Sizes that have one number for each dimension belong to the last dimensions of the tensor, in order.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Window:
    """How a window slides along one dimension: `count` of them, the first `padding` before the first element."""

    size: int
    stride: int
    padding: int
    count: int
    dilation: int = 1

    @property
    def length(self) -> int:
        """How many elements the windows cover, padding included."""
        return (self.count - 1) * self.stride + (self.size - 1) * self.dilation + 1

    def elements(self, offset: int) -> slice:
        """Give which of those the windows' elements number `offset` are."""
        first = offset * self.dilation
        return slice(first, first + (self.count - 1) * self.stride + 1, self.stride)


def planes(x: Tensor, ndim: int) -> Tensor:
    """Look at `x` as ``(planes, ...)``, with its last `ndim` dimensions."""
    return x.reshape(math.prod(x.shape[: x.ndim - ndim]), *x.shape[x.ndim - ndim :])


def window_sums(x: Tensor, windows: Sequence[Window]) -> Tensor:
    """Add up float64 `x` over the windows along its last dimensions; beyond its edges there is 0."""
    for dim, window in _last_first(x, windows):
        padded = padded_to(x, dim, window.padding, window.length)
        x = padded[_along(dim, window.elements(0))].clone()
        for offset in range(1, window.size):
            x.add_(padded[_along(dim, window.elements(offset))])
    return x


def spread(x: Tensor, windows: Sequence[Window], sizes: Sequence[int]) -> Tensor:
    """Do the transpose of `window_sums`: add each element to all of its window's, of `sizes`; float64."""
    for (dim, window), size in zip(_last_first(x, windows), reversed(sizes), strict=True):
        covered = _covered(x, dim, window)
        for offset in range(window.size):
            covered[_along(dim, window.elements(offset))].add_(x)
        x = padded_to(covered, dim, -window.padding, size)
    return x


def _last_first(x: Tensor, windows: Sequence[Window]) -> Iterator[tuple[int, Window]]:
    return zip(range(x.ndim - 1, -1, -1), reversed(windows), strict=False)


def _covered(x: Tensor, dim: int, window: Window) -> Tensor:
    return x.new_zeros([window.length if number == dim else size for number, size in enumerate(x.shape)])


def _along(dim: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None) for _ in range(dim)), part)


def padded_to(x: Tensor, dim: int, before: int, length: int) -> Tensor:
    """Put `before` zeros before `x` along `dim`, and as many after it as make `length`; negative ones cut off."""
    after = length - before - x.shape[dim]
    return torch.constant_pad_nd(x, [0, 0] * (x.ndim - 1 - dim) + [before, after])


def offsets(windows: Sequence[Window]) -> Iterable[tuple[int, ...]]:
    """Go through the elements of a window over several dimensions, as their numbers along each."""
    return itertools.product(*(range(window.size) for window in windows))


def add_at(target: Tensor, windows: Sequence[Window], offset: Sequence[int], x: Tensor) -> None:
    """Add `x` to the elements number `offset` of the windows over the last dimensions of `target`, padding included."""
    for dim, (window, number) in enumerate(zip(windows, offset, strict=True), target.ndim - len(windows)):
        target = target[_along(dim, window.elements(number))]
    target.add_(x)
