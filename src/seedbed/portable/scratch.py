"""Memory to work in, kept from call to call: on a CPU, to ask for a megabyte anew costs more than to compute on it.

What the system hands out is cleared page by page when first touched, and given back when freed.
"""

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

LARGEST = 1 << 23
"""Bytes that are kept for one use; more is asked for anew."""


class _Kept(threading.local):
    """Each thread's memory, by what it is used for."""

    def __init__(self) -> None:
        self.bytes: dict[str, Tensor] = {}


_kept = _Kept()


def scratch(use: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Give an uninitialised tensor, contiguous, that is valid until the next call for the same `use` in this thread.

    Nothing that is returned to a caller outside may be in it.
    """
    needed = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or needed > LARGEST:
        return torch.empty(shape, dtype=dtype, device=device)
    kept = _kept.bytes.get(use)
    if kept is None or kept.numel() < needed:
        kept = torch.empty(needed, dtype=torch.uint8)
        if type(kept) is Tensor:  # and not what some other mode makes instead
            _kept.bytes[use] = kept
    return kept[:needed].view(dtype).view(shape)


def wide(use: str, x: Tensor) -> Tensor:
    """Give a copy of `x` as float64, in the memory of `use`."""
    return scratch(use, x.shape, torch.float64, x.device).copy_(x)
