"""Powers of any base to any exponent."""

from typing import Any

import torch
from torch import Tensor

from seedbed.portable.blocks import WIDE, as_double, elementwise, is_sure
from seedbed.portable.elementary.exponential import exp_of_double, exp_pair, parts_of_exp, scaled
from seedbed.portable.elementary.logarithm import log_pair, narrow_log
from seedbed.portable.elementary.pairs import ordered_sum, two_product
from seedbed.portable.elementary.roots import rsqrt, sqrt
from seedbed.portable.table import replaces


@replaces("pow", integers=True)
def pow(x: Tensor | float, exponent: Tensor | float) -> Tensor:  # noqa: A001 - aten's name
    """``x ** exponent``, either of which may be a number; float32 or float64 in, the wider out.

    Small exponents that are numbers are what they are for PyTorch's kernels: 2 and 3 multiply, -1 divides, 1/2 takes
    the square root.
    """
    if isinstance(x, Tensor) and not isinstance(exponent, Tensor):
        return _to_number(x, exponent)
    like = x if isinstance(x, Tensor) else exponent
    dtype = torch.result_type(x, exponent)
    base, power = (torch.as_tensor(each, dtype=dtype, device=like.device) for each in (x, exponent))  # type: ignore[union-attr]
    return _elements(base, power)


def _elements(x: Tensor, y: Tensor) -> Tensor:
    if x.dtype == torch.float32:
        return elementwise(_narrow_power, x, y)
    return elementwise(_wide_power, x, y, size=WIDE)


def _to_number(x: Tensor, exponent: float) -> Tensor:
    special = _SPECIAL.get(float(exponent))
    if special is not None:
        result: Tensor = special(x)
        return result
    return _elements(x, torch.full((), exponent, dtype=x.dtype, device=x.device))


def _inverse(x: Tensor) -> Tensor:
    return torch.ones_like(x).div_(x)


_SPECIAL: dict[float, Any] = {
    0.0: torch.ones_like,
    1.0: torch.clone,
    2.0: lambda x: x * x,
    3.0: lambda x: (x * x).mul_(x),
    -1.0: _inverse,
    -2.0: lambda x: _inverse(x * x),
    0.5: sqrt,
    -0.5: rsqrt,
}


def _wide_power(x: Tensor, y: Tensor) -> Tensor:
    """Give ``exp(y * log(|x|))`` as pairs, with the sign and the special cases of C's pow, of float64 pieces."""
    high, low = log_pair(_ordinary(x, y, x.abs(), 1.0))
    bounded = _ordinary(x, y, y, 0.0).clamp_(-(2.0**80), 2.0**80)
    product, error = two_product(high, bounded)
    parts = parts_of_exp(*ordered_sum(product, error.add_(bounded.mul_(low))))
    return _finished(scaled(exp_pair(parts)[0], parts.exponent), x, y)


def _narrow_power(x: Tensor, y: Tensor) -> Tensor:
    """Do the same of float32 pieces, in float64."""
    if is_sure(_is_ordinary, x, y):
        product = narrow_log(as_double("pow.x", x), 6).mul_(as_double("pow.y", y))
        return exp_of_double(product)
    x, y = x.to(torch.float64), y.to(torch.float64)
    product = narrow_log(_ordinary(x, y, x.abs(), 1.0), 6).mul_(_ordinary(x, y, y, 0.0))
    return _finished(exp_of_double(product), x, y)


def _is_ordinary(x: Tensor, y: Tensor) -> Tensor:
    """Tell whether all of x is positive and finite, and all of y finite."""
    (least, largest), (lowest, highest) = (torch.aminmax(each) if each.numel() else (each, each) for each in (x, y))
    return ((least > 0) & (largest < torch.inf) & (lowest > -torch.inf) & (highest < torch.inf)).all()


def _ordinary(x: Tensor, y: Tensor, values: Tensor, otherwise: float) -> Tensor:
    """Give `values` where x is finite and not 0, and y finite."""
    size = x.abs()
    return torch.where((size > 0) & (size < torch.inf) & y.isfinite(), values, otherwise)


def _finished(result: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Put in what is not ordinary, and the sign."""
    size = x.abs()
    ordinary = (size > 0) & (size < torch.inf) & y.isfinite()
    result = torch.where(ordinary, result, _unusual(size, y))
    return _signed(torch.where((y == 0) | (x == 1), 1.0, result), x, y)


def _unusual(size: Tensor, y: Tensor) -> Tensor:
    """Give the powers of 0 and infinity, and to infinity: 0, 1, infinity or NaN."""
    grows = (size > 1) == (y > 0)
    result = torch.where(grows, torch.inf, 0.0)
    result = torch.where((size == 1) & y.isinf(), 1.0, result)
    return torch.where(size.isnan() | y.isnan(), torch.nan, result)


def _signed(result: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Negate odd powers of what is negative, and refuse to give those that are not whole."""
    odd = (y == y.floor()) & ((y * 0.5) != (y * 0.5).floor()) & y.isfinite()
    result = torch.where(odd & x.signbit(), -result, result)
    undefined = (x < 0) & (x > -torch.inf) & (y != y.floor()) & y.isfinite()
    return torch.where(undefined, torch.nan, result)
