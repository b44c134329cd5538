"""Powers of e and of 2."""

from dataclasses import dataclass
from decimal import Decimal, localcontext

import torch
from torch import Tensor

from seedbed.portable.blocks import WIDE, as_double, elementwise, memory
from seedbed.portable.elementary.pairs import Pair, ordered_sum, two_product, two_sum
from seedbed.portable.elementary.tables import (
    EXACTLY,
    high_and_low,
    leading,
    logarithm,
    on_device,
    power_of_e,
    single,
)
from seedbed.portable.fixed_point import power
from seedbed.portable.scratch import constant, part
from seedbed.portable.table import replaces

LN2 = logarithm(2)

_ROUND = 1.5 * 2.0**52
_ROUND_BITS = 0x4338000000000000
"""Added to a float64, it rounds it to an integer, and counts it in the last bits: these are the bits of 0."""


@replaces("exp")
def exp(x: Tensor) -> Tensor:
    """e to the power of each element; float32 or float64 in, the same out. Error below 0.52 units in the last place."""
    return elementwise(narrow_exp, x) if x.dtype == torch.float32 else elementwise(wide_exp, x, size=WIDE)


@replaces("exp2")
def exp2(x: Tensor) -> Tensor:
    """2 to the power of each element; float32 or float64 in, the same out. Error below 0.52 units in the last place."""
    return elementwise(_narrow_exp2, x) if x.dtype == torch.float32 else elementwise(_wide_exp2, x, size=WIDE)


@replaces("expm1")
def expm1(x: Tensor) -> Tensor:
    """``exp(x) - 1`` without cancellation; float32 or float64 in, the same out."""
    return elementwise(narrow_expm1, x) if x.dtype == torch.float32 else elementwise(wide_expm1, x, size=WIDE)


# float32: x = point + r. Points are 1/256 apart, and a table has their values; r is exact in float32, and so small that
# float32 holds exp(r) - 1 to 32 bits after the point.

STEP = 256
_GRID = 1.5 * 2.0**23 / STEP
"""Added to a float32, it rounds it to a multiple of 1/256, and counts it in the last 16 bits and more."""


@dataclass(frozen=True, slots=True)
class _Base:
    """From which to which power there are results other than 0 and infinity, and ``base**r`` in powers of r.

    It is ``factor * (constant + (linear + r) * r)``. The table has the powers times `factor`; its `size` is a power of
    two: the value at point n is at place n modulo `size`.
    """

    first: int
    last: int
    size: int
    linear: float
    constant: float
    factor: Decimal


_E = _Base(-104, 90, 1 << 16, 2 + 2.0**-20, 2.0, Decimal("0.5"))
with localcontext(EXACTLY):
    _SQUARE = LN2**2 / 2
    _TWO = _Base(-150, 128, 1 << 17, single((LN2 + LN2**3 / (3 << 20)) / _SQUARE), float(1 / _SQUARE), _SQUARE)
"""The linear term takes half of what the third power, left out, has at most."""


@on_device
def _powers_of_e() -> list[list[float]]:
    return [_values(_E, power_of_e(1))]


@on_device
def _powers_of_two() -> list[list[float]]:
    return [_values(_TWO, Decimal(2))]


def _values(base: _Base, number: Decimal) -> list[float]:
    """Give what is at the points: a whole power times one between 0 and 1, rounded three times in all."""
    parts = [float(EXACTLY.power(number, Decimal(part) / STEP) * base.factor) for part in range(STEP)]
    wholes = [float(EXACTLY.power(number, whole)) for whole in range(base.first, base.last + 1)]
    values = [whole * part for whole in wholes for part in parts][: (base.last - base.first) * STEP + 1]
    values[0] = 0.0  # it rounds to 0 in float32
    values += [0.0] * (base.size - len(values))
    return values[-base.first * STEP :] + values[: -base.first * STEP]


@dataclass(frozen=True, slots=True)
class Room:
    """Memory to work in, of the shape of a float32 piece; what the cache holds is little, so that it is used twice."""

    r: Tensor
    point: Tensor
    index: Tensor
    """`point` as integers."""
    flat_index: Tensor
    p: Tensor
    near: Tensor
    flat_near: Tensor
    result: Tensor
    """float64, in place of `r` and `point`."""


def room(x: Tensor) -> Room:
    """Give memory for a float32 piece: on a CPU the same for the same shape in this thread, elsewhere anew."""
    return part("exp.room", (5, *x.shape), torch.float32, x.device).views(_room)


def _room(memory: Tensor) -> Room:
    r, point, *_, p = memory.unbind()
    index, near = point.view(torch.int32), memory[2:4].view(-1).view(torch.float64)
    result = memory[:2].view(-1).view(torch.float64).view(r.shape)
    return Room(r, point, index, index.view(-1), p, near.view(r.shape), near, result)


def nearest(memory: Room, x: Tensor, first: int, last: int, size: int) -> Pair:
    """Give the number of the point next to each element of a float32 piece, modulo `size`, and r; in the `memory`.

    What is below `first` or above `last` counts as these. For NaN, r is.
    """
    grid = constant(_GRID, x, torch.float32)
    r = torch.clamp(x, float(first), float(last), out=memory.r)
    r.sub_(torch.sub(torch.add(r, grid, out=memory.point), grid, out=memory.p))
    return memory.index.bitwise_and_(constant(size - 1, x, torch.int32)), r


def narrow_exp(x: Tensor) -> Tensor:
    """Give e to the power of each of a float32 piece, as float64 in its `room`; relative error below 2**-31."""
    return _narrow(x, _E, _powers_of_e(x.device)[0])


def _narrow_exp2(x: Tensor) -> Tensor:
    return _narrow(x, _TWO, _powers_of_two(x.device)[0])


def _narrow(x: Tensor, base: _Base, table: Tensor) -> Tensor:
    memory = room(x)
    _, r = nearest(memory, x, base.first, base.last, base.size)
    p = torch.add(r, constant(base.linear, x, torch.float32), out=memory.p).mul_(r)
    torch.index_select(table, 0, memory.flat_index, out=memory.flat_near)
    return memory.result.copy_(p).add_(constant(base.constant, x)).mul_(memory.near)


def _select(table: Tensor, index: Tensor, out: Tensor) -> Tensor:
    torch.index_select(table, 0, index.view(-1), out=out.view(-1))
    return out


def narrow_expm1(x: Tensor) -> Tensor:
    """Give ``exp(x) - 1`` of a float32 piece, as float64 in `memory`; relative error below 2**-38."""
    index, small = nearest(room(x), x, _E.first, _E.last, _E.size)
    r, result = as_double("exp.wide", small), memory("exp.result", x)
    torch.mul(r, 1 / 12, out=result)
    for coefficient in (1 / 3, 1.0, 2.0):
        result.add_(coefficient).mul_(r)
    half = _select(_powers_of_e(x.device)[0], index, r)
    return result.mul_(half).sub_(half.mul_(-2.0).add_(1.0))  # 1 - 1 is 0.0, and -0.0 less this stays -0.0


def exp_of_double(x: Tensor) -> Tensor:
    """Do what `narrow_exp` does for a float64 piece, between -104 and 90; relative error below 2**-38."""
    r, point, result = (memory(f"exp.{use}", x) for use in ("wide", "double", "result"))
    torch.clamp(x, float(_E.first), float(_E.last), out=r)
    torch.add(r, _ROUND / STEP, out=point)
    index = torch.bitwise_and(point.view(torch.int64), _E.size - 1, out=memory("exp.index", x, torch.int64))
    r.sub_(point.sub_(_ROUND / STEP))
    torch.mul(r, 1 / 3, out=result)
    for coefficient in (1.0, 2.0):
        result.add_(coefficient).mul_(r)
    return result.add_(2.0).mul_(_select(_powers_of_e(x.device)[0], index, point))


# float64: x = n ln(2) / 128 + r; a table has 2**(n / 128) for 128 n, as pairs.

_PARTS = 128
_LN2_PART = EXACTLY.divide(LN2, Decimal(_PARTS))
_LN2_1 = leading(_LN2_PART, 42)  # 35 bits: times n, which has 18, it is exact
_LN2_2 = leading(EXACTLY.subtract(_LN2_PART, Decimal(_LN2_1)), 77)
_LN2_3 = float(EXACTLY.subtract(EXACTLY.subtract(_LN2_PART, Decimal(_LN2_1)), Decimal(_LN2_2)))
LN2_HIGH, LN2_LOW = (column[0] for column in high_and_low([LN2]))


@on_device
def _parts_of_two() -> tuple[list[float], list[float]]:
    return high_and_low(EXACTLY.power(Decimal(2), Decimal(part) / _PARTS) for part in range(_PARTS))


@dataclass(frozen=True, slots=True)
class Parts:
    """A power: ``2**exponent * (high + low) * (1 + r + rest)``, where 1 + r + rest is exp of less than 0.003."""

    exponent: Tensor
    high: Tensor
    low: Tensor
    r: Tensor
    rest: Tensor


def parts_of_exp(x: Tensor, low: Tensor | None = None) -> Parts:
    """Take apart e to the power of each element of a float64 piece, or of a pair; relative error below 2**-68."""
    x = x.clamp(-760.0, 720.0)
    count = x * (_PARTS / float(LN2)) + _ROUND
    n = count - _ROUND
    second = n * _LN2_2
    first = x.sub_(n * _LN2_1)
    r = first - second
    tail = first.sub_(r).sub_(second).sub_(n * _LN2_3)
    if low is not None:
        r, tail = two_sum(r, tail.add_(low.clamp(-1e-9, 1e-9)))
    return _parts(count, r, tail)


def _parts_of_exp2(x: Tensor) -> Parts:
    x = x.clamp(-1090.0, 1030.0)
    count = x * float(_PARTS) + _ROUND
    x.sub_((count - _ROUND).mul_(1 / _PARTS))
    r, tail = two_product(x, torch.full_like(x, LN2_HIGH))
    return _parts(count, r, tail.add_(x.mul_(LN2_LOW)))


def _parts(count: Tensor, r: Tensor, tail: Tensor) -> Parts:
    n = count.view(torch.int64) - _ROUND_BITS
    high, low = (column[n & (_PARTS - 1)] for column in _parts_of_two(r.device))
    rest = r * (1 / 720)
    for coefficient in (1 / 120, 1 / 24, 1 / 6, 1 / 2):
        rest.add_(coefficient).mul_(r)
    return Parts(n >> 7, high, low, r, rest.mul_(r).add_(tail))


def scaled(value: Tensor, exponent: Tensor) -> Tensor:
    """Give ``value * 2**exponent``, in two steps: the first is exact, so that the second rounds once."""
    half = exponent >> 1
    return value * power(half) * power(exponent - half)


def wide_exp(x: Tensor) -> Tensor:
    return _rounded(parts_of_exp(x))


def _wide_exp2(x: Tensor) -> Tensor:
    return _rounded(_parts_of_exp2(x))


def _rounded(parts: Parts) -> Tensor:
    small = (parts.r + parts.rest).mul_(parts.high).add_(parts.low)
    return scaled(small.add_(parts.high), parts.exponent)


def exp_pair(parts: Parts) -> Pair:
    """Put together what `parts_of_exp` gave, without the factor ``2**exponent``; relative error below 2**-67."""
    product, error = two_product(parts.high, parts.r)
    low = (parts.high * parts.rest).add_(parts.low).add_(parts.low * parts.r).add_(error)
    high, rest = ordered_sum(parts.high, product)
    return ordered_sum(high, low.add_(rest))


def expm1_pair(x: Tensor, low: Tensor | None = None) -> Pair:
    """Give ``exp(x) - 1`` of a float64 piece, or of a pair, as a pair; for x up to 709. Relative error below 2**-60."""
    parts = parts_of_exp(x, low)
    factor = power(parts.exponent.clamp(-1022, 1023))
    at_point, below = parts.high * factor, parts.low * factor
    high, low1 = two_sum(at_point, torch.full_like(x, -1.0))
    product, low2 = two_product(at_point, parts.r)
    rest = (at_point * parts.rest).add_(below).add_(below * parts.r).add_(low2).add_(low1)
    high, low3 = two_sum(high, product)
    return ordered_sum(high, rest.add_(low3))


def wide_expm1(x: Tensor) -> Tensor:
    high, low = expm1_pair(x.clamp(max=700.0))
    small = torch.where(x == 0, x, high.add_(low))
    return torch.where(x > 700.0, wide_exp(x), small)
