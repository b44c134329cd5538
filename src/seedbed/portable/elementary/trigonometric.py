"""Sine, cosine and tangent: the nearest of 256 points around the circle from a table, the rest by Taylor's series."""

from decimal import Decimal
from fractions import Fraction

import torch
from torch import Tensor

from seedbed.portable.blocks import WIDE, as_double, elementwise, is_sure, memory
from seedbed.portable.elementary.pairs import Pair, divide, ordered_sum, two_product, two_sum
from seedbed.portable.elementary.reduction import LARGEST, PARTS, cut, is_small, reduced
from seedbed.portable.elementary.tables import decimal, high_and_low, on_device, pi
from seedbed.portable.table import replaces

_QUARTER = PARTS // 4


@replaces("sin")
def sin(x: Tensor) -> Tensor:
    """Sine of an angle in radians, of any size; float32 or float64 in, the same out. Error below 0.51 ulp."""
    return elementwise(_narrow_sin, x) if x.dtype == torch.float32 else elementwise(_wide_sin, x, size=WIDE)


@replaces("cos")
def cos(x: Tensor) -> Tensor:
    """Cosine of an angle in radians, of any size; float32 or float64 in, the same out. Error below 0.51 ulp."""
    return elementwise(_narrow_cos, x) if x.dtype == torch.float32 else elementwise(_wide_cos, x, size=WIDE)


@replaces("tan")
def tan(x: Tensor) -> Tensor:
    """Tangent of an angle in radians, of any size; float32 or float64 in, the same out. Error below 0.51 ulp."""
    return elementwise(_narrow_tan, x) if x.dtype == torch.float32 else elementwise(_wide_tan, x, size=WIDE)


@on_device
def _sines() -> tuple[list[float], list[float]]:
    """Give the sines around the circle, as pairs; those of the first eighth by Taylor's series, in fractions.

    That of 0 is -0.0, which added to the rest changes nothing, not even -0.0.
    """
    eighth = PARTS // 8
    first = [_series(part, 1) for part in range(eighth + 1)] + [_series(part, 0) for part in range(eighth - 1, -1, -1)]
    half = first + first[-2:0:-1]
    high, low = high_and_low(half + [-value for value in half])
    return [-0.0, *high[1:]], low


def _series(part: int, start: int) -> Decimal:
    """Give the sine (`start` 1) or cosine (0) of so many parts of the circle."""
    angle = Fraction(int(2 * pi() * part / PARTS * 2**240), 2**240)
    term, total, place = (angle if start else Fraction(1)), Fraction(0), start
    while place < 60:
        total += term
        term = -Fraction(int(term * angle * angle / ((place + 1) * (place + 2)) * 2**240), 2**240)
        place += 2
    return decimal(total)


def _narrow_sin(x: Tensor) -> Tensor:
    return _at(*_narrow_reduced(x))


def _narrow_cos(x: Tensor) -> Tensor:
    index, r, square = _narrow_reduced(x)
    return _at(index.add_(_QUARTER).bitwise_and_(PARTS - 1), r, square)


def _narrow_tan(x: Tensor) -> Tensor:
    index, r, square = _narrow_reduced(x)
    cosine = as_double("sin.cosine", _at((index + _QUARTER).bitwise_and_(PARTS - 1), r, square))
    return _at(index, r, square).div_(cosine)


_CUT_HIGH, _CUT_LOW = cut(32)
_PARTS_PER_RADIAN = float(PARTS / (2 * pi()))


def _narrow_reduced(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give n in 0 to 255, r, and the square of r."""
    r = as_double("sin.r", x)
    n, square = (memory(f"sin.{use}", x) for use in ("n", "square"))
    index = memory("sin.index", x, torch.int64)
    torch.mul(r, _PARTS_PER_RADIAN, out=n).add_(1.5 * 2.0**52)
    torch.bitwise_and(n.view(torch.int64), PARTS - 1, out=index)
    n.sub_(1.5 * 2.0**52)
    r.sub_(torch.mul(n, _CUT_HIGH, out=square)).sub_(n.mul_(_CUT_LOW))
    if not is_sure(is_small, x):
        small, (far, high, low) = x.abs() < LARGEST, reduced(x.to(torch.float64))
        index, r = torch.where(small, index, far & (PARTS - 1)), torch.where(small, r, high.add_(low))
    return index, r, torch.mul(r, r, out=square)


def _at(index: Tensor, r: Tensor, square: Tensor) -> Tensor:
    """Give ``sin(point) * cos(r) + cos(point) * sin(r)`` in `memory`."""
    sines = _sines(r.device)[0]
    result, factor, near = (memory(f"sin.{use}", r) for use in ("result", "factor", "near"))
    torch.index_select(sines, 0, (index + _QUARTER).bitwise_and_(PARTS - 1), out=result)
    result.mul_(torch.mul(square, -1 / 6, out=factor).add_(1.0)).mul_(r)
    torch.index_select(sines, 0, index, out=near)
    torch.mul(square, 1 / 24, out=factor).sub_(0.5).mul_(square).add_(1.0)
    return result.add_(near.mul_(factor))


def _pair_at(n: Tensor, r: Tensor, low: Tensor) -> Pair:
    """Give ``sin(2 pi n / 256 + r)`` as a pair."""
    sines, below = _sines(r.device)
    here, quarter = n & (PARTS - 1), (n + _QUARTER) & (PARTS - 1)
    square = r * r
    sine = (square * (-1 / 5040)).add_(1 / 120).mul_(square).sub_(1 / 6).mul_(square).mul_(r).add_(low)
    cosine = (square * (1 / 40320)).sub_(1 / 720).mul_(square).add_(1 / 24).mul_(square).sub_(0.5).mul_(square)
    cosine.sub_(r * low)
    product, error = two_product(sines[quarter], r)
    high, error2 = two_sum(sines[here], product)
    rest = cosine.mul_(sines[here]).add_(sine.mul_(sines[quarter])).add_(below[quarter] * r)
    return ordered_sum(high, rest.add_(below[here]).add_(error).add_(error2))


def _wide_sin(x: Tensor) -> Tensor:
    return torch.where(x == 0, x, _pair_at(*reduced(x))[0])


def _wide_cos(x: Tensor) -> Tensor:
    n, high, low = reduced(x)
    return _pair_at(n + _QUARTER, high, low)[0]


def _wide_tan(x: Tensor) -> Tensor:
    n, high, low = reduced(x)
    quotient = divide(_pair_at(n, high, low), _pair_at(n + _QUARTER, high, low))[0]
    return torch.where(x == 0, x, quotient)
