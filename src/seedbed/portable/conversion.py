"""Conversions. Between types of floating point, all round to nearest, ties to even, on every device.

Of floating point turned into integers, NaN, infinities and what is too large give the same integer everywhere. C++
leaves open what they give: a CPU's instruction gives the least integer, a GPU's the nearest that there is, and 0 for
NaN. Here it is what PyTorch gives on x86: the least of int64 or, for the smaller types, of int32.
"""

from typing import Any, TypeGuard

import torch
from torch import Tensor

from seedbed.errors import NotPortableError
from seedbed.portable.table import replaces

aten = torch.ops.aten

_LEAST = {
    torch.int64: -(2**63),
    torch.uint32: -(2**63),
    torch.int32: -(2**31),
    torch.int16: -(2**31),
    torch.uint16: -(2**31),
    torch.int8: -(2**31),
    torch.uint8: -(2**31),
}


@replaces("_to_copy", as_given=True)
def to_copy(x: Tensor, *, dtype: torch.dtype | None = None, **choices: Any) -> Any:
    """PyTorch's own; from floating point to integers by way of int64."""
    return aten._to_copy(ready_for(x, dtype or x.dtype), dtype=dtype, **choices)


@replaces("copy", as_given=True)
def copy(target: Tensor, source: Tensor, non_blocking: bool = False) -> Any:  # noqa: FBT001, FBT002 - aten's
    return aten.copy(target, ready_for(source, target.dtype), non_blocking)


@replaces("copy_", as_given=True)
def copy_into(target: Tensor, source: Tensor, non_blocking: bool = False) -> Any:  # noqa: FBT001, FBT002 - aten's
    return aten.copy_(target, ready_for(source, target.dtype), non_blocking)


def into_integers(dtype: torch.dtype | None) -> TypeGuard[torch.dtype]:
    """Tell whether `dtype` is given, and of integers."""
    return dtype is not None and not dtype.is_floating_point and not dtype.is_complex


def ready_for(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Give what can be converted to `dtype` on any device alike: `x`, or int64 where integers come of floating point.

    From int64 to smaller integers the lowest bits are kept, on every device.

    Raises
    ------
    NotPortableError
        For types of floating point below 16 bits, and for integers of complex numbers or of 64 bits without a sign.
    """
    if dtype.is_floating_point and dtype.itemsize < 2:
        raise NotPortableError(f"it is portable for float16, bfloat16, float32 and float64, not for {dtype}")
    if dtype.is_floating_point or dtype.is_complex or dtype == torch.bool:
        return x
    if x.is_complex() or (x.is_floating_point() and dtype not in _LEAST):
        raise NotPortableError(f"{x.dtype} that becomes {dtype} is undefined where that has no such number")
    if not x.is_floating_point():
        return x
    least = _LEAST[dtype]
    wide = x if x.dtype == torch.float64 else x.to(torch.float32)
    inside = (wide >= float(least)) & (wide < -float(least))
    return torch.where(inside, torch.where(inside, wide, 0.0).to(torch.int64), least)
