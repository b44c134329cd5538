"""What PyTorch's kernels may be asked for in portable mode, with any numbers of floating point: one call at a time.

What every device answers with the same bits: an exact operation, one IEEE operation for each element, and a sum whose
terms are so few and so short that float64 has each partial sum, in whatever order it is added up.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from seedbed.portable.plan import functional_name
from seedbed.portable.table import OPERATIONS

EXACT = {name for name, operation in OPERATIONS.items() if operation.kind == "exact"}
EXACT |= {"_to_copy", "abs", "copy", "copysign", "fmod", "hardshrink", "hardtanh_backward", "round", "sgn", "signbit"}
EXACT |= {"threshold", "threshold_backward"}
EXTREMES = {"amax", "amin", "aminmax", "clamp", "clamp_max", "clamp_min", "fmax", "fmin", "hardtanh", "max", "maximum"}
EXTREMES |= {"min", "minimum"}
"""Exact but for the sign of a zero."""

SINGLE = {"add", "sub", "rsub", "mul", "div"}
_ZERO = 10_000
_BITS = 53


def name_of(func: Any) -> str:
    """Give the name of an operation, the same for its forms that work in place."""
    return functional_name(func).removesuffix("_")


def objection(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Say what another device might answer otherwise; nothing if nothing."""
    name = name_of(func)
    types = {each.dtype for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor) and not _is_whole(each)}
    if name == "arange" and any(isinstance(each, float) for each in args):
        return "counts by multiplying and adding at once"
    if not types or name in EXACT or name in EXTREMES or _is_exact_form(func, args):
        return _of_conversion(name, args, kwargs)
    if name == "scatter":
        return _of_scatter(*args)
    if name == "sqrt":
        return "" if types == {torch.float64} else "is not correctly rounded everywhere"
    if name in SINGLE:
        return _of_single(name, types, args, kwargs)
    if name == "addcmul":
        exact = (
            types == {torch.float64}
            and len(args) == 3
            and kwargs.get("value", 1) == 1
            and all(map(_is_short, args[1:]))
        )
        return "" if exact else "rounds its product or does not, by the device"
    if name in SUMS:
        terms = SUMS[name](*args, **{key: value for key, value in kwargs.items() if key != "out"})
        return "" if types == {torch.float64} and terms else "rounds its sums in an order of its own"
    return "is on no list"


def _is_exact_form(func: Any, args: tuple[Any, ...]) -> bool:
    name = name_of(func)
    one_value = name == "index_put" and args[2].numel() == 1 and not any(args[3:])
    return func is torch.ops.aten.sort.stable or one_value or (name == "scatter_reduce" and args[-1] in EXTREMES)


def _is_short(each: Tensor) -> bool:
    """Whether all are numbers of float32, whose products float64 has exactly."""
    return bool(((each == each.to(torch.float32).to(torch.float64)) | each.isnan()).all())


def _is_whole(each: Tensor) -> bool:
    return not (each.is_floating_point() or each.is_complex())


def _of_conversion(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """NaN, infinity and what an integer cannot hold become whatever the device likes."""
    if name not in ("copy", "_to_copy"):
        return ""
    dtype = args[0].dtype if name == "copy" else kwargs.get("dtype")
    source: Tensor = args[1] if name == "copy" else args[0]
    if dtype is None or dtype.is_floating_point or dtype == torch.bool or not source.is_floating_point():
        return ""
    limits = torch.iinfo(dtype)
    fits = torch.logical_and(source >= limits.min, source <= limits.max)
    return "" if fits.all() else "makes an integer of what is none"


def _of_scatter(x: Tensor, dim: int, index: Tensor, source: Any) -> str:
    """Of several elements that go to one place, whichever comes last stays."""
    hits = torch.zeros(x.shape, dtype=torch.int64).scatter_add(dim, index, torch.ones_like(index))
    return "leaves open which element stays" if isinstance(source, Tensor) and (hits > 1).any() else ""


def _of_single(name: str, types: set[torch.dtype], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    if not types <= {torch.float32, torch.float64}:
        return f"computes in {types}"
    if kwargs.get("alpha", 1) != 1 or len(args) > 2:
        return "multiplies and adds at once"
    if kwargs.get("rounding_mode"):
        return "divides and rounds at once"
    if name == "div" and not isinstance(args[1], Tensor):
        return "multiplies by the reciprocal of a number"
    return ""


def _unit(x: Tensor) -> Tensor:
    """Give the exponent of the last bit that is set."""
    significand, exponent = torch.frexp(x.where(x.isfinite(), 0.0))
    whole = (significand * 2.0**_BITS).to(torch.int64)
    place = torch.frexp((whole & -whole).to(torch.float64))[1] - 1
    return (exponent - _BITS + place).where(whole != 0, _ZERO)


def _size(x: Tensor) -> Tensor:
    return x.where(x.isfinite(), 0.0).abs()


def _fits(sizes: Tensor, units: Tensor) -> bool:
    """Whether any sum of multiples of ``2**units`` is exact whose absolute values add up to `sizes`."""
    return bool((torch.log2(sizes) <= units + _BITS).all())


def _product(left: Tensor, right: Tensor) -> bool:
    units = _unit(left).amin(-1, keepdim=True) + _unit(right).amin(-2, keepdim=True)
    return not left.numel() or not right.numel() or _fits(_size(left) @ _size(right), units)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> bool:
    units = _unit(x).amin() + _unit(weight).amin()
    sizes = torch.ops.aten.convolution.default(_size(x), _size(weight), None, *geometry)
    return bias is None and _fits(sizes, units)


def _sum(x: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> bool:
    dims = dim if dim else list(range(x.ndim))
    return not x.numel() or _fits(_size(x).sum(dims), _unit(x).amin(dims))


def _index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, **_: Any) -> bool:
    shape = [-1 if place == dim % x.ndim else 1 for place in range(x.ndim)]
    return _scatter_add(x, dim, index.view(shape).expand(source.shape), source)


def _scatter_add(x: Tensor, dim: int, index: Tensor, source: Tensor, **_: Any) -> bool:
    units = _unit(x).scatter_reduce(dim, index, _unit(source), "amin")
    return _fits(_size(x).scatter_add(dim, index, _size(source)), units)


SUMS: dict[str, Callable[..., bool]] = {
    "mm": _product,
    "bmm": _product,
    "convolution": _convolution,
    "sum": _sum,
    "index_add": _index_add,
    "scatter_add": _scatter_add,
}
