"""Hyperbolic functions, their inverses, and the logistic function."""

import torch
from torch import Tensor

from seedbed.portable.blocks import WIDE, as_double, elementwise, memory
from seedbed.portable.elementary.exponential import (
    LN2_HIGH,
    LN2_LOW,
    STEP,
    exp_of_double,
    exp_pair,
    expm1_pair,
    narrow_exp,
    narrow_expm1,
    nearest,
    parts_of_exp,
    room,
    scaled,
)
from seedbed.portable.elementary.logarithm import log_pair, narrow_log1p
from seedbed.portable.elementary.pairs import Pair, add, divide, ordered_sum, two_product, two_sum
from seedbed.portable.elementary.roots import root_of_pair, wide_sqrt
from seedbed.portable.elementary.tables import EXACTLY, on_device, power_of_e
from seedbed.portable.table import replaces


@replaces("sigmoid")
def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``; float32 or float64 in, the same out. Error below 0.52 units in the last place."""
    return elementwise(narrow_sigmoid, x) if x.dtype == torch.float32 else elementwise(wide_sigmoid, x, size=WIDE)


@replaces("tanh")
def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent; float32 or float64 in, the same out. Error below 0.52 units in the last place."""
    return elementwise(narrow_tanh, x) if x.dtype == torch.float32 else elementwise(wide_tanh, x, size=WIDE)


@replaces("sinh")
def sinh(x: Tensor) -> Tensor:
    """Hyperbolic sine; float32 or float64 in, the same out."""
    return elementwise(_narrow_sinh, x) if x.dtype == torch.float32 else elementwise(_wide_sinh, x, size=WIDE)


@replaces("cosh")
def cosh(x: Tensor) -> Tensor:
    """Hyperbolic cosine; float32 or float64 in, the same out."""
    return elementwise(_narrow_cosh, x) if x.dtype == torch.float32 else elementwise(_wide_cosh, x, size=WIDE)


@replaces("asinh")
def asinh(x: Tensor) -> Tensor:
    """Inverse hyperbolic sine; float32 or float64 in, the same out."""
    return elementwise(_narrow_asinh if x.dtype == torch.float32 else _wide_asinh, x, size=WIDE)


@replaces("acosh")
def acosh(x: Tensor) -> Tensor:
    """Inverse hyperbolic cosine, NaN below 1; float32 or float64 in, the same out."""
    return elementwise(_narrow_acosh if x.dtype == torch.float32 else _wide_acosh, x, size=WIDE)


@replaces("atanh")
def atanh(x: Tensor) -> Tensor:
    """Inverse hyperbolic tangent, NaN beyond -1 and 1; float32 or float64 in, the same out."""
    return elementwise(_narrow_atanh if x.dtype == torch.float32 else _wide_atanh, x, size=WIDE)


def narrow_sigmoid(x: Tensor) -> Tensor:
    """Give the logistic function of a float32 piece, as float64 in `memory`; relative error below 2**-29."""
    return share(narrow_exp(x))


def share(power: Tensor) -> Tensor:
    """Give ``power / (power + 1)`` of a float64 piece, in place."""
    return power.div_(torch.add(power, 1.0, out=memory("sigmoid", power)))


def wide_sigmoid(x: Tensor) -> Tensor:
    """Give the logistic function of a float64 piece: with the power of -\\|x\\|, which is 1 at most."""
    parts = parts_of_exp(x.abs().neg_())
    high, low = (scaled(part, parts.exponent) for part in exp_pair(parts))
    negative, one = x < 0, torch.ones_like(x)
    numerator = torch.where(negative, high, one), torch.where(negative, low, 0.0)
    return divide(numerator, add((one, torch.zeros_like(x)), (high, low)))[0]


_ENDS = 10
"""Beyond, the hyperbolic tangent rounds to 1 in float32."""
_SIZE = 1 << 13
"""Of the table, whose point n is at place n modulo this."""


@on_device
def _tangents() -> list[list[float]]:
    """Give ``1 - 2 / (1 + e**(2 c))`` at the points; -0.0 at 0, which added to anything changes nothing."""
    parts = [power_of_e(part / STEP * 2) for part in range(STEP)]
    squares = [EXACTLY.multiply(power_of_e(whole * 2), part) for whole in range(_ENDS + 1) for part in parts]
    positive = [float(EXACTLY.divide(square - 1, square + 1)) for square in squares[1 : _ENDS * STEP + 1]]
    between = [0.0] * (_SIZE - 2 * len(positive) - 1)
    return [[-0.0, *positive, *between, *(-value for value in reversed(positive))]]


def narrow_tanh(x: Tensor) -> Tensor:
    """Give the hyperbolic tangent of a float32 piece, as float64 in `memory`; relative error below 2**-30.

    ``(t + u) / (1 + t u)`` with t at the nearest point, and u of what is left.
    """
    index, small = nearest(room(x), x, -_ENDS, _ENDS, _SIZE)
    r, result, u = as_double("tanh.r", small), *(memory(f"tanh.{use}", x) for use in ("result", "u"))
    torch.mul(r, r, out=u).mul_(-1 / 3).add_(1.0).mul_(r)
    t = torch.index_select(_tangents(x.device)[0], 0, index, out=r)
    torch.mul(t, u, out=result).add_(1.0)
    return torch.div(u.add_(t), result, out=result)


def wide_tanh(x: Tensor) -> Tensor:
    """Give the hyperbolic tangent of a float64 piece, ``-p / (p + 2)`` with p = exp(-2 \\|x\\|) - 1."""
    high, low = expm1_pair(x.abs().mul_(-2.0))
    above, below = two_sum(torch.full_like(x, 2.0), high)
    quotient = divide((high.neg(), low.neg()), ordered_sum(above, below.add_(low)))[0]
    return torch.copysign(quotient, x)


def _narrow_sinh(x: Tensor) -> Tensor:
    p = narrow_expm1(x.abs())
    return torch.copysign((p / (p + 1.0)).add_(p).mul_(0.5), x.to(torch.float64))


def _narrow_cosh(x: Tensor) -> Tensor:
    power = exp_of_double(x.to(torch.float64).abs_())
    return (torch.ones_like(power) / power).add_(power).mul_(0.5)


_LARGE = 40.0
"""Beyond, one of the two powers that are added is nothing next to the other."""


def _wide_sinh(x: Tensor) -> Tensor:
    p = expm1_pair(x.abs().clamp_(max=_LARGE))
    one = torch.ones_like(x), torch.zeros_like(x)
    result = add(p, divide(p, add(one, p)))[0].mul_(0.5)
    return torch.copysign(torch.where(x.abs() < _LARGE, result, _half_of_power(x)), x)


def _wide_cosh(x: Tensor) -> Tensor:
    parts = parts_of_exp(x.abs().clamp_(max=_LARGE))
    high, low = (scaled(part, parts.exponent) for part in exp_pair(parts))
    one = torch.ones_like(x), torch.zeros_like(x)
    result = add((high, low), divide(one, (high, low)))[0].mul_(0.5)
    return torch.where(x.abs() < _LARGE, result, _half_of_power(x))


def _half_of_power(x: Tensor) -> Tensor:
    parts = parts_of_exp(x.abs())
    return scaled(exp_pair(parts)[0], parts.exponent - 1)


def _narrow_asinh(x: Tensor) -> Tensor:
    size = x.to(torch.float64).abs_()
    square = size * size
    root = wide_sqrt(square.clamp_(max=2.0**300) + 1.0)  # clamped, infinity is not divided by itself
    result = narrow_log1p(square.div_(root.add_(1.0)).add_(size))
    return torch.copysign(result, x.to(torch.float64))


def _narrow_acosh(x: Tensor) -> Tensor:
    x = x.to(torch.float64)
    less = torch.where(x >= 1, x, torch.nan).sub_(1.0)
    return narrow_log1p(wide_sqrt((less + 2.0).mul_(less)).add_(less))


def _narrow_atanh(x: Tensor) -> Tensor:
    size = x.to(torch.float64).abs_()
    result = narrow_log1p((size * 2.0).div_(size.neg().add_(1.0))).mul_(0.5)
    return torch.copysign(result, x.to(torch.float64))


def _log1p_pair(x: Pair) -> Pair:
    high, low = two_sum(torch.ones_like(x[0]), x[0])
    return log_pair(*ordered_sum(high, low.add_(x[1])))


def _doubled_log(x: Tensor) -> Tensor:
    """Give ``log(2 x)``, where x itself may be the largest number."""
    return add(log_pair(x), (torch.full_like(x, LN2_HIGH), torch.full_like(x, LN2_LOW)))[0]


_HUGE = 2.0**60
"""Beyond, x * x + 1 is x * x, for a pair too."""


def _wide_asinh(x: Tensor) -> Tensor:
    size = x.abs()
    bounded = size.clamp(2.0**-500, _HUGE)
    square = two_product(bounded, bounded)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    above = add((one, zero), root_of_pair(add((one, zero), square)))
    result = _log1p_pair(add((bounded, zero), divide(square, above)))[0]
    result = torch.where(size < _HUGE, result, _doubled_log(size))
    return torch.copysign(torch.where((size < 2.0**-40) | ~size.isfinite(), size, result), x)


def _wide_acosh(x: Tensor) -> Tensor:
    bounded = x.clamp(1.0, _HUGE)
    less = two_sum(bounded, torch.full_like(x, -1.0))
    result = _log1p_pair(add(less, root_of_pair(add(add(less, less), _square(less)))))[0]
    result = torch.where(x < _HUGE, result, _doubled_log(x.clamp(min=1.0)))
    return torch.where(x >= 1, torch.where(x == torch.inf, x, result), torch.nan)


def _square(x: Pair) -> Pair:
    high, low = two_product(x[0], x[0])
    return ordered_sum(high, low.add_(x[0] * x[1]).add_(x[0] * x[1]))


def _wide_atanh(x: Tensor) -> Tensor:
    size = x.abs()
    bounded = size.clamp(max=1.0 - 2.0**-53)
    zero = torch.zeros_like(x)
    ratio = divide((bounded * 2.0, zero), two_sum(torch.ones_like(x), -bounded))
    result = _log1p_pair(ratio)[0].mul_(0.5)
    result = torch.where(size < 2.0**-40, size, torch.where(size == 1, torch.inf, result))
    return torch.copysign(torch.where(size > 1, torch.nan, result), x)
