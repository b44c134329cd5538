"""Arithmetic, element by element: one IEEE operation where aten's is one, and several where it is several.

Kernels for ``x + alpha * y``, `addcmul`, `addcdiv` and `lerp` are fused, or associated otherwise, on other devices;
here each step is an operation of its own. CUDA divides by a Python number by multiplying with its reciprocal, which
gives other bits in one case of five (``x * (1 / 10)`` and ``x / 10``): here a tensor is divided by.

What optimizers do in place is done in place, a piece that fits the cache at a time.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seedbed.portable.scratch import constant
from seedbed.portable.table import Function, Kind, replaces

_PIECE = 1 << 15
"""Elements that are worked on at a time on a CPU."""

Kernel = Callable[..., Tensor]
"""Takes what to write into, None for a new tensor, and the tensors."""


def also_in_place(
    name: str, *, kind: Kind = "replaced", integers: bool = False, as_given: bool = False
) -> Callable[[Function], Function]:
    """Enter a function that can write into its first argument, given as `out`, under `name` and under ``name_``."""

    def enter_both(function: Function) -> Function:
        def in_place(x: Tensor, *args: Any, **kwargs: Any) -> Any:
            return function(x, *args, out=x, **kwargs)

        replaces(name, kind=kind, integers=integers, as_given=as_given)(function)
        replaces(f"{name}_", kind=kind, integers=integers, as_given=as_given)(in_place)
        return function

    return enter_both


def _run(kernel: Kernel, out: Tensor | None, x: Any, *others: Any) -> Tensor:
    """Run `kernel` on pieces of tensors that are alike, or of no dimensions; on others as they are."""
    tensors = [each for each in (x, *others) if isinstance(each, Tensor)]
    if not isinstance(x, Tensor):
        x = number(x, tensors[0])
    if out is not None and any(each.shape != x.shape for each in tensors):
        _check_shape(out, tensors)
    if x.device.type != "cpu" or x.numel() <= _PIECE or not all(_alike(each, x) for each in tensors):
        return kernel(out, x, *others)
    if out is not None and any(_overlap(out, each) for each in tensors):
        return kernel(out, x, *others)  # a piece would be read after it had been written
    result = torch.empty_like(x) if out is None else out
    for start in range(0, x.numel(), _PIECE):
        piece = slice(start, start + _PIECE)
        kernel(*(each.view(-1)[piece] if _has_elements(each) else each for each in (result, x, *others)))
    return result


def _alike(each: Tensor, x: Tensor) -> bool:
    return each.ndim == 0 or (each.shape == x.shape and each.dtype == x.dtype and each.is_contiguous())


def _overlap(out: Tensor, each: Tensor) -> bool:
    """Whether both may be parts of the same memory, and not the same part."""
    same = each.data_ptr() == out.data_ptr() and each.shape == out.shape
    return not same and each.untyped_storage().data_ptr() == out.untyped_storage().data_ptr()


def _has_elements(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0


def _check_shape(out: Tensor, tensors: list[Tensor]) -> None:
    shape = torch.broadcast_shapes(*(each.shape for each in tensors))
    if shape != out.shape:
        raise RuntimeError(f"output with shape {list(out.shape)} doesn't match the broadcast shape {list(shape)}")


def number(value: Any, like: Tensor) -> Any:
    """Put a Python number on the device of `like`, as a tensor of no dimensions, which takes no part in promotion.

    So is a tensor of no dimensions on the CPU, by which CUDA would divide as by a number.
    """
    if isinstance(value, Tensor):
        moves = value.ndim == 0 and value.device.type == "cpu" and like.device.type != "cpu"
        return value.to(like.device) if moves else value
    if like.is_floating_point():
        return constant(value, like, like.dtype)
    return torch.tensor(value, device=like.device)


@also_in_place("add", integers=True)
def add(x: Tensor, other: Any, alpha: Any = 1, *, out: Tensor | None = None) -> Tensor:
    """``x + alpha * other``, rounded twice."""
    return _run(partial(_add, alpha=alpha), out, x, other)


def _add(out: Tensor | None, x: Tensor, other: Any, *, alpha: Any) -> Tensor:
    return torch.add(x, other if alpha == 1 else alpha * other, out=out)


@also_in_place("sub", integers=True)
def sub(x: Tensor, other: Any, alpha: Any = 1, *, out: Tensor | None = None) -> Tensor:
    """``x - alpha * other``, rounded twice."""
    return _run(partial(_sub, alpha=alpha), out, x, other)


def _sub(out: Tensor | None, x: Tensor, other: Any, *, alpha: Any) -> Tensor:
    return torch.sub(x, other if alpha == 1 else alpha * other, out=out)


@replaces("rsub", integers=True)
def rsub(x: Tensor, other: Any, alpha: Any = 1) -> Tensor:
    """``other - alpha * x``, rounded twice."""
    scaled = x if alpha == 1 else alpha * x
    return torch.sub(number(other, x), scaled)


@also_in_place("mul", kind="single", as_given=True)
def mul(x: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """``x * other``, rounded once.

    A factor of no dimensions that is wider than the float16 or bfloat16 result, kernels round before or not, by its
    place and device.
    """
    dtype = torch.result_type(x, other)
    if dtype in _HALF and any(each.dtype != dtype for each in (x, other) if isinstance(each, Tensor)):
        return torch.mul(*(each.float() if isinstance(each, Tensor) else each for each in (x, other))).to(dtype)
    return torch.mul(x, other) if out is None else out.mul_(other)


_HALF = (torch.float16, torch.bfloat16)


@replaces("allclose", kind="single", integers=True)
def allclose(x: Tensor, other: Tensor, *args: Any, **kwargs: Any) -> bool:
    """PyTorch's own, of real numbers: a subtraction, and a multiplication and an addition for the tolerance."""
    return torch.allclose(x, other, *args, **kwargs)


@also_in_place("addcmul")
def addcmul(x: Tensor, one: Tensor, two: Tensor, *, value: Any = 1, out: Tensor | None = None) -> Tensor:
    """``x + (value * one) * two``, each step rounded; of integers, as PyTorch does, `value` is one too."""
    if not any(each.is_floating_point() for each in (x, one, two)):
        return torch.addcmul(x, one, two, value=value)
    return _run(partial(_addcmul, value=value), out, x, one, two)


def _addcmul(out: Tensor | None, x: Tensor, one: Tensor, two: Tensor, *, value: Any) -> Tensor:
    return torch.add(x, (one if value == 1 else value * one) * two, out=out)


@also_in_place("addcdiv")
def addcdiv(x: Tensor, one: Tensor, two: Tensor, *, value: Any = 1, out: Tensor | None = None) -> Tensor:
    """``x + (value * one) / two``, each step rounded."""
    return _run(partial(_addcdiv, value=value), out, x, one, two)


def _addcdiv(out: Tensor | None, x: Tensor, one: Tensor, two: Tensor, *, value: Any) -> Tensor:
    return torch.add(x, (one if value == 1 else value * one) / number(two, x), out=out)


@also_in_place("lerp")
def lerp(start: Tensor, end: Tensor, weight: Any, *, out: Tensor | None = None) -> Tensor:
    """``start + weight * (end - start)``, from the end for weights of a half and more, as PyTorch does."""
    if not start.is_floating_point():
        raise NotImplementedError(f"lerp is not implemented for {start.dtype}")
    return _run(_lerp_by_tensor if isinstance(weight, Tensor) else _lerp, out, start, end, weight)


def _lerp(out: Tensor | None, start: Tensor, end: Tensor, weight: float) -> Tensor:
    difference = end - start
    if abs(weight) < 0.5:
        return torch.add(start, difference.mul_(weight), out=out)
    return torch.sub(end, difference.mul_(1 - weight), out=out)


def _lerp_by_tensor(out: Tensor | None, start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    difference = end - start
    near = weight.abs() < 0.5
    return torch.where(near, start + weight * difference, end - difference * (1 - weight), out=out)


@also_in_place("div")
def div(x: Tensor, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None) -> Tensor:
    """Divide; with `rounding_mode`, round the quotient down or towards zero as PyTorch does, integers exactly.

    Raises
    ------
    RuntimeError
        For a `rounding_mode` that is neither None, trunc nor floor; as PyTorch.
    """
    if rounding_mode is None:
        return _run(_div, out, x, number(other, x))
    if not torch.result_type(x, other).is_floating_point:
        return torch.div(x, other, rounding_mode=rounding_mode)
    if rounding_mode == "trunc":
        return torch.trunc(torch.true_divide(x, number(other, x)))
    if rounding_mode == "floor":
        return floor_divide(x, other)
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}")


def _div(out: Tensor | None, x: Tensor, other: Tensor) -> Tensor:
    return torch.true_divide(x, other, out=out)


@replaces("floor_divide", integers=True)
def floor_divide(x: Tensor, other: Any) -> Tensor:
    """Python's ``//``: exact remainder first, then a quotient that is a whole number but for rounding."""
    return _of_floats(_floor_divide, x, number(other, x))


def _of_floats(kernel: Kernel, x: Tensor, other: Tensor) -> Tensor:
    dtype = torch.result_type(x, other)
    x, other = x.to(dtype), other.to(dtype)
    return _run(kernel, None, *((x, other) if other.ndim == 0 else torch.broadcast_tensors(x, other)))


def _floor_divide(out: Tensor | None, x: Tensor, other: Tensor) -> Tensor:
    rest = _fmod(None, x, other)
    ratio = torch.true_divide(x, other)
    quotient = torch.true_divide(x - rest, other)
    quotient = torch.where((rest != 0) & ((other < 0) != (rest < 0)), quotient - 1, quotient)
    down = torch.floor(quotient)
    down = torch.where(quotient - down > 0.5, down + 1, down)
    zero = torch.copysign(torch.zeros_like(quotient), ratio)
    return torch.where(other == 0, ratio, torch.where(quotient == 0, zero, down), out=out)


@replaces("fmod", integers=True)
def fmod(x: Tensor, other: Any) -> Tensor:
    """C's remainder, which is exact, with the sign of `x`.

    The vectorised kernel gives NaN where the quotient is large (one in eight pairs of random float32 numbers), the
    scalar one and CUDA's do not. Where one is, no step here has a large quotient: the remainder by
    ``other * 2**(24 j)`` is taken for falling ``j``.
    """
    return _of_floats(_fmod, x, number(other, x))


def _fmod(out: Tensor | None, x: Tensor, other: Tensor) -> Tensor:
    if x.device.type != "cpu" or not x.numel() or bool((x / other).abs_().amax() <= _SMALL):
        return torch.fmod(x, other, out=out)
    rest, divisor = x, other.abs()
    for factors in _FACTORS[x.dtype]:
        rest = torch.fmod(rest, math.prod(factors, start=divisor))  # by infinity it is what it was
    return torch.where(other.isinf() & x.isfinite(), x, rest, out=out)


_SMALL = 2.0**20
"""Up to so large a quotient every kernel is exact."""


def _factors(largest: int, most: int) -> list[list[float]]:
    """Powers of two from `largest` down to 1 by steps of ``2**24``, each as factors of at most ``2**most``."""
    parts = [[most] * (exponent // most) + [exponent % most] for exponent in range(largest // 24 * 24, -1, -24)]
    return [[2.0**part for part in exponents] for exponents in parts]


_FACTORS = {torch.float32: _factors(277, 100), torch.float64: _factors(2098, 1000)}
"""By type: the range of exponents of a quotient."""


@replaces("remainder", integers=True)
def remainder(x: Any, other: Any) -> Tensor:
    """Python's ``%``: with the sign of `other`."""
    like = x if isinstance(x, Tensor) else other
    return _of_floats(_remainder, number(x, like), number(other, like))


def _remainder(out: Tensor | None, x: Tensor, other: Tensor) -> Tensor:
    rest = _fmod(None, x, other)
    return torch.where((rest != 0) & ((other < 0) != (rest < 0)), rest + other, rest, out=out)


@replaces("reciprocal")
def reciprocal(x: Tensor) -> Tensor:
    """``1 / x``: one division."""
    return torch.true_divide(torch.ones((), dtype=x.dtype, device=x.device), x)


@replaces("deg2rad")
def deg2rad(x: Tensor) -> Tensor:
    """``x * (pi / 180)``, the factor rounded once."""
    return x * (torch.pi / 180)


@replaces("rad2deg")
def rad2deg(x: Tensor) -> Tensor:
    """``x * (180 / pi)``, the factor rounded once."""
    return x * (180 / torch.pi)
