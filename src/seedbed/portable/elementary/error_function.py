"""The error function, its complement and inverse, and the normal distribution that GELU is made of."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import factorial

import torch
from torch import Tensor

from seedbed.portable.blocks import WIDE, as_double, elementwise, memory
from seedbed.portable.elementary.exponential import scaled, wide_exp
from seedbed.portable.elementary.gaussian import Gaussian
from seedbed.portable.elementary.logarithm import log_pair, narrow_log
from seedbed.portable.elementary.pairs import Pair, add, multiply, ordered_sum, two_product, two_sum
from seedbed.portable.elementary.roots import wide_sqrt
from seedbed.portable.elementary.tables import EXACTLY, decimal, high_and_low, on_device, pi
from seedbed.portable.table import replaces


@replaces("erf")
def erf(x: Tensor) -> Tensor:
    """Error function; float32 or float64 in, the same out. Error below 0.52 units in the last place."""
    return elementwise(_narrow_erf, x) if x.dtype == torch.float32 else elementwise(wide_erf, x, size=WIDE)


@replaces("erfc")
def erfc(x: Tensor) -> Tensor:
    """``1 - erf(x)`` without cancellation; float32 or float64 in, the same out."""
    return elementwise(_wide_erfc, x, size=WIDE)


# float32: x = c + r with points c 1/256 apart. A table has the integral up to each point and the density there; the
# density's Taylor series needs four terms.

_STEP = 256
_GRID = 1.5 * 2.0**23 / _STEP
_GRID_BITS = 0x47400000
_ERROR = Gaussian(Fraction(1), _STEP)
_NORMAL = Gaussian(Fraction(1, 2), _STEP)


@dataclass(frozen=True, slots=True)
class _Near:
    """A float32 piece at the points next to it: all float64, in `memory`.

    Attributes
    ----------
    integral, density
        At the point.
    r, product
        What is left, and ``2 b c r``.
    squares
        ``2 b r * r``.
    """

    integral: Tensor
    density: Tensor
    r: Tensor
    product: Tensor
    squares: Tensor


@on_device
def _error_table() -> tuple[list[float], list[float]]:
    """Give erf at the points from -4 to 4, and its derivative; -0.0 at 0, which added to anything changes nothing."""
    count = 4 * _STEP + 1
    density = [EXACTLY.multiply(each, Decimal(2)) for each in _ERROR.densities(count)]
    rest = [EXACTLY.multiply(*pair) for pair in zip(density, _ERROR.ratios(count), strict=True)]
    values = [-0.0, *(float(EXACTLY.subtract(Decimal(1), each)) for each in rest[1:])]
    slopes = [float(each) for each in density]
    return [-value for value in values[:0:-1]] + values, slopes[:0:-1] + slopes


_LEAST, _LARGEST = -29 * _STEP // 2, 6 * _STEP
"""Below the first point, the normal distribution rounds to 0 in float32 even times x; beyond the last, to 1."""


@on_device
def _normal_table() -> tuple[list[float], list[float]]:
    """Give the normal distribution at the points from -14.5 to 6, and its density."""
    count = -_LEAST + 1
    density = _NORMAL.densities(count)
    tails = [EXACTLY.multiply(*pair) for pair in zip(density, _NORMAL.ratios(count), strict=True)]
    values = [*tails[::-1], *(EXACTLY.subtract(Decimal(1), each) for each in tails[1 : _LARGEST + 1])]
    slopes = [*density[::-1], *density[1 : _LARGEST + 1]]
    return [0.0, *map(float, values[1:-1]), 1.0], [0.0, *map(float, slopes[1:-1]), 0.0]


def _near(x: Tensor, table: tuple[Tensor, ...], first: int, last: int, twice_b: float) -> _Near:
    small, point, p = (memory(f"normal.{use}", x, torch.float32) for use in ("small", "point", "p"))
    integral, density, product = (memory(f"normal.{use}", x) for use in ("integral", "density", "product"))
    torch.clamp(x, first / _STEP, last / _STEP, out=small)
    torch.add(small, _GRID, out=point)
    small.sub_(torch.sub(point, _GRID, out=p))
    index = point.view(torch.int32).sub_(_GRID_BITS + first).clamp_(0, last - first)
    torch.index_select(table[0], 0, index, out=integral)
    torch.index_select(table[1], 0, index, out=density)
    r = as_double("normal.r", small)
    product.copy_(p).mul_(r)
    squares = torch.mul(r, r, out=memory("normal.squares", x))
    if twice_b != 1.0:
        product.mul_(twice_b)
        squares.mul_(twice_b)
    return _Near(integral, density, r, product, squares)


def _integral(near: _Near) -> Tensor:
    """Give the integral at x, by the first terms of the mean density, ``1 - p / 2 + (p * p - q) / 6``."""
    p, q = near.product, near.squares
    series, part = memory("normal.series", p), memory("normal.part", p)
    torch.mul(p, 1 / 6, out=series).sub_(0.5).mul_(p)
    series.sub_(torch.mul(q, 1 / 6, out=part)).add_(1.0)
    return series.mul_(near.r).mul_(near.density).add_(near.integral)


def narrow_normal(x: Tensor) -> Tensor:
    """Give the standard normal distribution of a float32 piece, as float64 in `memory`."""
    return _integral(_near(x, _normal_table(x.device), _LEAST, _LARGEST, 1.0))


def narrow_normal_and_density(x: Tensor) -> Pair:
    """Give the standard normal distribution of a float32 piece, and its density, as float64 in `memory`."""
    near = _near(x, _normal_table(x.device), _LEAST, _LARGEST, 1.0)
    integral = _integral(near)
    p, q = near.product, near.squares
    series, part = near.r, memory("normal.part", p)
    torch.mul(p, -1 / 6, out=series).add_(0.5).mul_(p).add_(torch.mul(q, 0.5, out=part)).sub_(1.0).mul_(p)
    series.sub_(part).add_(1.0)
    return integral, series.mul_(near.density)


def _narrow_erf(x: Tensor) -> Tensor:
    return _integral(_near(x, _error_table(x.device), -4 * _STEP, 4 * _STEP, 2.0))


# float64: erfc(c + h) = G(c) (M(c) - S(h)) with G(c) = 2 exp(-c * c) / sqrt(pi), Mills' ratio M, and the series S. The
# points are 1/128 apart; G is in a table as a pair and an exponent, M as a pair.

_WIDE_STEP = 128
_WIDE_COUNT = 28 * _WIDE_STEP + 1
_TERMS = 15


@on_device
def _wide_table() -> tuple[list[float], list[float], list[float], list[float], list[int]]:
    gaussian = Gaussian(Fraction(1), _WIDE_STEP)
    density = [EXACTLY.multiply(each, Decimal(2)) for each in gaussian.densities(_WIDE_COUNT)]
    exponents = [_exponent(each) for each in density]
    mantissas = [
        EXACTLY.multiply(each, EXACTLY.power(Decimal(2), -exponent))
        for each, exponent in zip(density, exponents, strict=True)
    ]
    return (*high_and_low(gaussian.ratios(_WIDE_COUNT)), *high_and_low(mantissas), exponents)


def _exponent(value: Decimal) -> int:
    fraction = Fraction(value)
    return fraction.numerator.bit_length() - fraction.denominator.bit_length()


def _erfc_pair(size: Tensor) -> tuple[Pair, Tensor]:
    """Give erfc of a float64 piece that is not negative as a pair and an exponent; relative error below 2**-58."""
    size = size.clamp(max=27.9)
    count = size * float(_WIDE_STEP) + 1.5 * 2.0**52
    point = (count - 1.5 * 2.0**52).mul_(1 / _WIDE_STEP)
    index = (count.view(torch.int64) & 0xFFFF).clamp_(0, _WIDE_COUNT - 1)
    ratio, ratio_low, density, density_low, exponent = (column[index] for column in _wide_table(size.device))
    h = size - point
    high, low = two_sum(ratio, -h)
    difference = ordered_sum(high, low.add_(ratio_low).sub_(_series(point.mul_(h), h)))
    return multiply(difference, (density, density_low)), exponent


def _series(product: Tensor, h: Tensor) -> Tensor:
    """Give the integral of ``exp(-2 c t - t * t)`` over t from 0 to h, without its first term h; `product` is c h."""
    square = h * h
    before, term = torch.ones_like(h), product * -2.0
    total = term * 0.5
    for place in range(2, _TERMS):
        before, term = term, (product * term).add_(square * before).mul_(-2.0 / place)
        total.add_(term * (1.0 / (place + 1)))
    return total.mul_(h)


def _wide_erfc(x: Tensor) -> Tensor:
    x = x.to(torch.float64)
    pair, exponent = _erfc_pair(x.abs())
    high, low = (scaled(part, exponent) for part in pair)
    other = add((torch.full_like(x, 2.0), torch.zeros_like(x)), (high.neg(), low.neg()))[0]
    result = torch.where(x < 0, other, scaled(pair[0], exponent))
    return torch.where(x > 27.9, 0.0, result)


def wide_erf(x: Tensor) -> Tensor:
    """Give the error function of a float64 piece."""
    return torch.copysign(_erf_pair(x.abs())[0], x)


def _erf_pair(size: Tensor) -> Pair:
    """Give erf of a float64 piece that is not negative: near 0 by its power series, else as ``1 - erfc``."""
    pair, exponent = _erfc_pair(size)
    high, low = (scaled(part, exponent).neg_() for part in pair)
    far = add((torch.ones_like(size), torch.zeros_like(size)), (high, low))
    near = _power_series(size)
    high, low = (torch.where(size < _SMALL, one, other) for one, other in zip(near, far, strict=True))
    return high, low


_SMALL = 0.0625
_TWICE_OVER_ROOT = EXACTLY.divide(Decimal(2), EXACTLY.sqrt(decimal(pi())))
_POWERS = [
    float(EXACTLY.multiply(_TWICE_OVER_ROOT, decimal(Fraction((-1) ** place, factorial(place) * (2 * place + 1)))))
    for place in range(7)
]
_LOW = float(EXACTLY.subtract(_TWICE_OVER_ROOT, Decimal(_POWERS[0])))


def _power_series(x: Tensor) -> Pair:
    square = x * x
    total = square * _POWERS[-1]
    for coefficient in _POWERS[-2:0:-1]:
        total.add_(coefficient).mul_(square)
    product, error = two_product(x, torch.full_like(x, _POWERS[0]))
    return ordered_sum(product, total.mul_(x).add_(x * _LOW).add_(error))


@replaces("erfinv")
def erfinv(x: Tensor) -> Tensor:
    """Inverse of the error function, NaN beyond -1 and 1; float32 or float64 in, the same out."""
    return elementwise(_narrow_erfinv if x.dtype == torch.float32 else _wide_erfinv, x, size=WIDE)


_CENTRAL = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
_TAIL = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)


def _narrow_erfinv(x: Tensor) -> Tensor:
    """Give the inverse of a float32 piece: M. Giles's approximation, and one step of Newton's method.

    M. Giles: Approximating the erfinv function. GPU Computing Gems, Jade edition (2011), chapter 10, table 5.
    """
    value = x.to(torch.float64)
    inside = torch.where(value.abs() < 1, value, 0.5)
    w = narrow_log((1.0 - inside).mul_(inside + 1.0)).neg().to(torch.float32)
    central, tail = w.to(torch.float64).sub_(2.5), memory("normal.root", x).copy_(w).sqrt_()
    tail = tail.to(torch.float32).to(torch.float64).sub_(3.0)
    factor = torch.where(w < 5, _horner(_CENTRAL, central), _horner(_TAIL, tail))
    y = factor.mul_(inside).to(torch.float32)
    near = _near(y, _error_table(x.device), -4 * _STEP, 4 * _STEP, 2.0)
    error = _integral(near).sub_(inside).div_(near.density)
    result = torch.where(
        value == 0, value, y.to(torch.float64).sub_(error.mul_((near.product + 1.0).add_(near.squares)))
    )
    limit = torch.where(value.abs() == 1, torch.copysign(torch.full_like(value, torch.inf), value), torch.nan)
    return torch.where(value.abs() < 1, result, limit)


def _horner(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    result = x * coefficients[0]
    for coefficient in coefficients[1:-1]:
        result.add_(coefficient).mul_(x)
    return result.add_(coefficients[-1])


def _wide_erfinv(x: Tensor) -> Tensor:
    """Give the inverse of a float64 piece: an approximation, and three steps of Halley's method as pairs.

    S. Winitzki: A handy approximation for the error function and its inverse (2008); a step triples its digits.
    """
    size = x.abs()
    inside = torch.where(size < 1, size, 0.5)
    y = _approximate_inverse(inside)
    for _ in range(3):
        y = _halley(y, inside)
    result = torch.where(size < 2.0**-60, size * (1 / _POWERS[0]), y)
    return torch.copysign(torch.where(size < 1, result, torch.where(size == 1, torch.inf, torch.nan)), x)


_A = 0.147
_B = 2 / (3.141592653589793 * _A)


def _approximate_inverse(x: Tensor) -> Tensor:
    logarithm = log_pair((1.0 - x).mul_(x + 1.0))[0]
    middle = (logarithm * 0.5).add_(_B)
    far = wide_sqrt(wide_sqrt((middle * middle).sub_(logarithm * (1 / _A))).sub_(middle).clamp_(min=2.0**-200))
    return torch.where(x < 0.1, (x * x).mul_(0.2617993877991494).add_(1.0).mul_(x).mul_(0.886226925452758), far)


def _halley(y: Tensor, x: Tensor) -> Tensor:
    """Give ``y - u / (1 + y u)`` with ``u = (erf(y) - x) / erf'(y)``; from 1/2 on, by what x and erf have left to 1."""
    pair, exponent = _erfc_pair(y)
    high, low = (scaled(part, exponent).neg_() for part in pair)
    far = add(two_sum(torch.ones_like(x), -x), (high, low))
    near = add(_erf_pair(y), (-x, torch.zeros_like(x)))
    difference = torch.where(x < 0.5, near[0], far[0])
    u = difference.mul_(wide_exp(y * y)).mul_(0.886226925452758)
    return y - u / (y * u).add_(1.0)
