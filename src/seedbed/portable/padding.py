"""The backward passes of padding by what is inside: each element gets the gradients of all its copies, in order."""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from seedbed.portable.sums.tree import pieces
from seedbed.portable.table import replaces
from seedbed.portable.taps import Taps, apply, transposed
from seedbed.portable.windows import planes

Make = Callable[[int, int, int], Taps]


@cache
def _reflected(size: int, before: int, after: int) -> Taps:
    places = (abs(place) for place in range(-before, size + after))
    return tuple(((min(place, 2 * (size - 1) - place), 1.0),) for place in places)


@cache
def _replicated(size: int, before: int, after: int) -> Taps:
    return tuple(((min(max(place, 0), size - 1), 1.0),) for place in range(-before, size + after))


def _backward(grad: Tensor, x: Tensor, padding: Sequence[int], make: Make) -> Tensor:
    """Give the gradient of `x`, whose last dimensions were padded; `padding` begins with the last, before and after."""
    ndim = len(padding) // 2
    sizes = x.shape[-ndim:]
    taps = [
        transposed(make(size, *padding[2 * place : 2 * place + 2]), size) for place, size in enumerate(reversed(sizes))
    ]
    parts = planes(grad, ndim)
    result = torch.empty(parts.shape[0], *sizes, dtype=x.dtype, device=x.device)
    for part, _ in pieces(parts, parts.shape[0], 1, parts.shape[1:].numel()):
        piece = parts[part].to(torch.float64)
        for place, each in enumerate(taps):
            piece = apply(piece, ndim - place, each)
        result[part] = piece
    return result.view(x.shape)


@replaces("reflection_pad1d_backward", "reflection_pad2d_backward", "reflection_pad3d_backward")
def reflection_pad_backward(grad: Tensor, x: Tensor, padding: Sequence[int]) -> Tensor:
    """Give the gradient of `x`, which was padded by its mirror image."""
    return _backward(grad, x, padding, _reflected)


@replaces("replication_pad1d_backward", "replication_pad2d_backward", "replication_pad3d_backward")
def replication_pad_backward(grad: Tensor, x: Tensor, padding: Sequence[int]) -> Tensor:
    """Give the gradient of `x`, which was padded by its first and last elements."""
    return _backward(grad, x, padding, _replicated)
