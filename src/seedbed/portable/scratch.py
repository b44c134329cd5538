"""What is kept from call to call: memory to work in, and numbers as tensors.

On a CPU, to ask for a megabyte anew costs more than to compute on it: what the system hands out is cleared page by page
when first touched, and given back when freed.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

LARGEST = 1 << 24
"""Bytes that are kept for one use; more is asked for anew."""

_MOST_PARTS = 4096

_CPU = torch.device("cpu")

Shape = tuple[int, ...]
T = TypeVar("T")


@dataclass(slots=True)
class Part:
    """A tensor to work in, and what was made of it: views, which take longer to make than to look up."""

    tensor: Tensor
    made: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def views(self, make: Callable[..., T], *arguments: int) -> T:
        """Give ``make(tensor, *arguments)``, made once."""
        key = (make, *arguments)
        found: T | None = self.made.get(key)
        if found is None:
            with torch.inference_mode(False):  # noqa: FBT003 - as the tensor was made
                found = self.made[key] = make(self.tensor, *arguments)
        return found


class _Kept(threading.local):
    """Each thread's memory by what it is used for, and what was asked for in it."""

    def __init__(self) -> None:
        self.bytes: dict[str, Tensor] = {}
        self.parts: dict[tuple[str, Shape, torch.dtype], Part] = {}


_kept = _Kept()


def scratch(use: str, shape: Shape, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Give an uninitialised tensor, contiguous, that is valid until the next call for the same `use` in this thread.

    Nothing that is returned to a caller outside may be in it.
    """
    return part(use, shape, dtype, device).tensor


def part(use: str, shape: Shape, dtype: torch.dtype, device: torch.device) -> Part:
    """Give what `scratch` gives, and what was made of it before."""
    if device != _CPU:  # five times as fast as to ask for its type
        return Part(torch.empty(shape, dtype=dtype, device=device))
    key = (use, shape, dtype)
    return _kept.parts.get(key) or _new_part(key)


def _new_part(key: tuple[str, Shape, torch.dtype]) -> Part:
    use, shape, dtype = key
    needed = math.prod(shape) * dtype.itemsize
    if needed > LARGEST:
        return Part(torch.empty(shape, dtype=dtype))
    whole = _kept.bytes.get(use)
    with torch.inference_mode(False):  # noqa: FBT003 - what is made in inference could not be written to outside
        if whole is None or whole.numel() < needed:
            whole = torch.empty(needed, dtype=torch.uint8)
            _kept.parts = {key: part for key, part in _kept.parts.items() if key[0] != use}
        new = Part(whole[:needed].view(dtype).view(shape))
    if type(whole) is Tensor:  # and not what some other mode makes instead
        if len(_kept.parts) >= _MOST_PARTS:
            _kept.parts.clear()
        _kept.bytes[use], _kept.parts[key] = whole, new
    return new


def wide(use: str, x: Tensor) -> Tensor:
    """Give a copy of `x` as float64, in the memory of `use`."""
    return scratch(use, x.shape, torch.float64, x.device).copy_(x)


def constant(value: float, like: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Put a number on the device of `like`, as a tensor of no dimensions, which is not to be written to.

    CUDA divides by these, and by numbers multiplies with the reciprocal; and a CPU takes two microseconds to make a
    float32 of a number.
    """
    device = like.device
    return _kept_constant(value, dtype, device) if value else torch.full((), value, dtype=dtype, device=device)


@lru_cache(1024)  # which takes 0.0 for -0.0
def _kept_constant(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    with _disable_current_modes(), torch.inference_mode(False):  # noqa: FBT003 - what is kept is no part of a mode
        return torch.full((), value, dtype=dtype, device=device)
