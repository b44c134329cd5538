"""Element by element, a cache-sized piece at a time: what lies between two operations never leaves the cache.

An element's bits do not depend on which others are in its piece; so a piece may be of any size.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from seedbed.portable.scratch import scratch, wide

NARROW = 1 << 17
"""Elements in a piece where a function works in place, in memory that is kept (`memory`)."""

WIDE = 1 << 14
"""Elements in a piece where each operation makes a new tensor: so small that the system keeps the memory at hand."""

_ELSEWHERE = 1 << 22
"""Elements in a piece on a GPU: enough to keep it busy, few enough that what lies between takes little memory."""


def elementwise(
    function: Callable[..., Tensor], *tensors: Tensor, size: int = NARROW, dtype: torch.dtype | None = None
) -> Tensor:
    """Apply `function` to pieces of the tensors, broadcast to each other, and round what it gives to `dtype`.

    The pieces are of one dimension and `function` gives as many elements, of any type of floating point, in memory that
    it may overwrite when it is called again. `dtype` is that of the first tensor unless it is given. The result has the
    strides of the tensors where they agree and are dense, and else is contiguous.

    Raises
    ------
    NotImplementedError
        For integers, which nobody promoted to floating point; as PyTorch.
    """
    dtype = dtype or tensors[0].dtype
    if not dtype.is_floating_point:
        raise NotImplementedError(f"not implemented for {dtype}")
    shaped = _same_layout(tensors)
    result = torch.empty_like(shaped[0], dtype=dtype)
    flat, target = [_flat(each) for each in shaped], _flat(result)
    if target.shape[0] <= size:
        target.copy_(function(*flat))
        return result
    for piece in pieces(target, size):
        target[piece].copy_(function(*(each[piece] for each in flat)))
    return result


def pieces(flat: Tensor, size: int = NARROW) -> Iterator[slice]:
    """Cut the elements of a tensor of one dimension into pieces of `size`, and into larger ones on a GPU."""
    step = size if flat.device.type == "cpu" else _ELSEWHERE
    return (slice(start, start + step) for start in range(0, flat.shape[0], step))


def _same_layout(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Broadcast; make contiguous what is not dense in one and the same order of dimensions."""
    if any(each.shape != tensors[0].shape for each in tensors):
        tensors = torch.broadcast_tensors(*tensors)
    if all(each.is_contiguous() for each in tensors):
        return tensors
    strides = tensors[0].stride()
    if all(each.stride() == strides for each in tensors) and _is_dense(tensors[0]):
        return tensors
    return [each.contiguous() for each in tensors]


def _is_dense(x: Tensor) -> bool:
    """Tell whether the elements lie side by side, each in a place of its own, in whatever order of dimensions."""
    expected = 1
    for stride, length in sorted(zip(x.stride(), x.shape, strict=True)):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


def _flat(x: Tensor) -> Tensor:
    return x.as_strided((x.numel(),), (1,))


def memory(use: str, piece: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Give uninitialised memory for as many elements as `piece` has, valid until the next call for the same `use`."""
    return scratch(use, piece.shape, dtype, piece.device)


def as_double(use: str, piece: Tensor) -> Tensor:
    """Give a copy of a piece as float64, in the memory of `use`."""
    return wide(use, piece)


def is_sure(test: Callable[..., Any], *tensors: Tensor) -> bool:
    """Give ``bool(test(*tensors))`` on a CPU; False on a device that would have to be waited for.

    For leaving out a correction that would change nothing: bits do not depend on it.
    """
    return tensors[0].device.type == "cpu" and bool(test(*tensors))
