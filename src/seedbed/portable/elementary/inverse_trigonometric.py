"""Angles of given tangents, sines and cosines: the nearest of 129 from a table, what is left by Taylor's series."""

from fractions import Fraction

import torch
from torch import Tensor

from seedbed.portable.blocks import WIDE, elementwise
from seedbed.portable.elementary.pairs import Pair, add, divide, multiply, ordered_sum, two_product, two_sum
from seedbed.portable.elementary.roots import root_of_pair, wide_sqrt
from seedbed.portable.elementary.tables import arctangent, decimal, high_and_low, on_device, pi
from seedbed.portable.fixed_point import power
from seedbed.portable.table import replaces

_STEP = 128
_ONE = 1 << 200


@replaces("atan")
def atan(x: Tensor) -> Tensor:
    """Arc tangent in radians; float32 or float64 in, the same out. Error below 0.51 ulp."""
    return elementwise(_narrow_atan if x.dtype == torch.float32 else _atan, x, size=WIDE)


@replaces("asin")
def asin(x: Tensor) -> Tensor:
    """Arc sine in radians, NaN beyond -1 and 1; float32 or float64 in, the same out. Error below 0.51 ulp."""
    return elementwise(_narrow_asin if x.dtype == torch.float32 else _asin, x, size=WIDE)


@replaces("acos")
def acos(x: Tensor) -> Tensor:
    """Arc cosine in radians, NaN beyond -1 and 1; float32 or float64 in, the same out. Error below 0.51 ulp."""
    return elementwise(_narrow_acos if x.dtype == torch.float32 else _acos, x, size=WIDE)


@replaces("atan2")
def atan2(y: Tensor, x: Tensor) -> Tensor:
    """Angle of the point (x, y), in radians; float32 or float64 in, the wider of them out."""
    dtype = torch.promote_types(x.dtype, y.dtype)
    return elementwise(_narrow_atan2 if dtype == torch.float32 else _atan2, y, x, size=WIDE, dtype=dtype)


@on_device
def _angles() -> tuple[list[float], list[float]]:
    """Give the arc tangents of 0, 1/128, ... 1, as pairs: each is the one before and that of the difference."""
    angles = [0]
    for place in range(_STEP):
        angles.append(angles[-1] + arctangent(_STEP, _STEP**2 + place * (place + 1), _ONE))
    return high_and_low(decimal(Fraction(angle, _ONE)) for angle in angles)


_HALF_TURN = [column[0] for column in high_and_low([decimal(pi())])]


def _angle(y: Pair, x: Pair) -> Pair:
    """Give the angle of a point with y and x not negative, and not both 0; the relative error is below 2**-62."""
    above = y[0] > x[0]
    numerator = torch.where(above, x[0], y[0]), torch.where(above, x[1], y[1])
    denominator = torch.where(above, y[0], x[0]), torch.where(above, y[1], x[1])
    angle = _small_angle(numerator, denominator)
    other = _from_multiple(0.5, angle)
    return torch.where(above, other[0], angle[0]), torch.where(above, other[1], angle[1])


def _from_multiple(multiple: float, angle: Pair) -> Pair:
    """Give a multiple of pi less an angle."""
    high, low = (torch.full_like(angle[0], multiple * part) for part in _HALF_TURN)
    return add((high, low), (angle[0].neg(), angle[1].neg()))


def _small_angle(y: Pair, x: Pair) -> Pair:
    """``atan(c) + atan(z)`` with z = (y - c x) / (x + c y), of the c in the table that is nearest to y / x."""
    count = (y[0] / x[0]).mul_(float(_STEP)).add_(1.5 * 2.0**52)
    index = (count.view(torch.int64) & 0xFF).clamp_(max=_STEP)
    c = count.sub_(1.5 * 2.0**52).mul_(1 / _STEP), torch.zeros_like(count)
    product, other = multiply(x, c), multiply(y, c)
    z, rest = divide(add(y, (product[0].neg(), product[1].neg())), add(x, other))
    square = z * z
    cubic = (square * (1 / 9)).sub_(1 / 7).mul_(square).add_(1 / 5).mul_(square).sub_(1 / 3).mul_(square).mul_(z)
    high, low = (column[index] for column in _angles(z.device))
    total, error = two_sum(high, z)
    return ordered_sum(total, cubic.add_(rest).add_(low).add_(error))


def _narrow_angle(y: Tensor, x: Tensor) -> Tensor:
    """Do what `_angle` does for float64 that need no low parts; relative error below 2**-45."""
    above = y > x
    numerator, denominator = torch.where(above, x, y), torch.where(above, y, x)
    count = (numerator / denominator).mul_(float(_STEP)).add_(1.5 * 2.0**52)
    index = (count.view(torch.int64) & 0xFF).clamp_(max=_STEP)
    c = count.sub_(1.5 * 2.0**52).mul_(1 / _STEP)
    z = (numerator - c * denominator).div_((c * numerator).add_(denominator))
    square = z * z
    angle = (square * (1 / 5)).sub_(1 / 3).mul_(square).add_(1.0).mul_(z).add_(_angles(z.device)[0][index])
    return torch.where(above, 0.5 * _HALF_TURN[0] - angle, angle)


def _narrow_atan(x: Tensor) -> Tensor:
    x = x.to(torch.float64)
    return torch.copysign(_narrow_angle(x.abs().clamp_(max=2.0**200), torch.ones_like(x)), x)


def _narrow_cathetus(x: Tensor) -> Tensor:
    """Give the square root of ``1 - x * x``, exact but for one rounding each: x has 24 bits. NaN beyond -1 and 1."""
    return wide_sqrt((1.0 - x).mul_(x + 1.0))


def _narrow_asin(x: Tensor) -> Tensor:
    x = x.to(torch.float64)
    return torch.copysign(_narrow_angle(x.abs(), _narrow_cathetus(x)), x)


def _narrow_acos(x: Tensor) -> Tensor:
    x = x.to(torch.float64)
    angle = _narrow_angle(_narrow_cathetus(x), x.abs())
    return torch.where(x < 0, _HALF_TURN[0] - angle, angle)


def _narrow_atan2(y: Tensor, x: Tensor) -> Tensor:
    y, x = y.to(torch.float64), x.to(torch.float64)
    height, width = _finite(y.abs(), x.abs())
    angle = _narrow_angle(height, torch.where((width == 0) & (height == 0), 1.0, width))
    result = torch.copysign(torch.where(x.signbit(), _HALF_TURN[0] - angle, angle), y)
    return torch.where(x.isnan() | y.isnan(), torch.nan, result)


def _atan(x: Tensor) -> Tensor:
    size, zero = x.abs().clamp_(max=2.0**200), torch.zeros_like(x)
    return torch.copysign(_angle((size, zero), (torch.ones_like(x), zero))[0], x)


def _cathetus(x: Tensor) -> Pair:
    """Give the square root of ``1 - x * x`` as a pair; NaN beyond -1 and 1."""
    high, low = two_product(x, x)
    high, low = add((torch.ones_like(x), torch.zeros_like(x)), (high.neg_(), low.neg_()))
    return root_of_pair((torch.where(x.abs() <= 1, high, torch.nan), low))


def _asin(x: Tensor) -> Tensor:
    size = x.abs()
    return torch.copysign(_angle((size, torch.zeros_like(x)), _cathetus(size))[0], x)


def _acos(x: Tensor) -> Tensor:
    size = x.abs()
    angle = _angle(_cathetus(size), (size, torch.zeros_like(x)))
    return torch.where(x < 0, _from_multiple(1.0, angle)[0], angle[0])


def _atan2(y: Tensor, x: Tensor) -> Tensor:
    y, x = y.to(torch.float64), x.to(torch.float64)
    height, width = _finite(y.abs(), x.abs())
    larger = torch.maximum(height, width)
    factor = power(1023 - (larger.view(torch.int64) >> 52).clamp(1, 2045))
    zero = torch.zeros_like(x)
    angle = _angle((height * factor, zero), (torch.where(larger == 0, 1.0, width * factor), zero))
    ratio = torch.where((width > 0) & (height < width * 2.0**-100), height / width, angle[0])
    result = torch.where(x.signbit(), _from_multiple(1.0, angle)[0], ratio)
    return torch.where(x.isnan() | y.isnan(), torch.nan, torch.copysign(result, y))


def _finite(y: Tensor, x: Tensor) -> Pair:
    """Put 1 for infinity, and 0 for what is finite beside it."""
    infinite = y.isinf() | x.isinf()
    return torch.where(infinite, y.isinf().to(y.dtype), y), torch.where(infinite, x.isinf().to(x.dtype), x)
