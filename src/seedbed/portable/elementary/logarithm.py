"""Logarithms, and what is made of them element by element."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from seedbed.portable.blocks import WIDE, as_double, elementwise, is_sure, memory
from seedbed.portable.elementary.exponential import LN2, exp, exp2
from seedbed.portable.elementary.pairs import Pair, multiply, ordered_sum, two_product, two_sum
from seedbed.portable.elementary.tables import EXACTLY, decimal, high_and_low, leading, logarithm, on_device
from seedbed.portable.table import replaces


@replaces("log")
def log(x: Tensor) -> Tensor:
    """Natural logarithm; float32 or float64 in, the same out. Error below 0.51 units in the last place."""
    return elementwise(_narrow_log, x) if x.dtype == torch.float32 else elementwise(_wide_log, x, size=WIDE)


@replaces("log2")
def log2(x: Tensor) -> Tensor:
    """Logarithm to base 2, exact for powers of 2; float32 or float64 in, the same out."""
    return _to_base(x, 2)


@replaces("log10")
def log10(x: Tensor) -> Tensor:
    """Logarithm to base 10, exact for powers of 10; float32 or float64 in, the same out."""
    return _to_base(x, 10)


def _to_base(x: Tensor, base: int) -> Tensor:
    factor = EXACTLY.divide(1, logarithm(base))
    if x.dtype == torch.float32:
        return elementwise(lambda piece: _narrow_log(piece).mul_(float(factor)), x)
    high, low = (column[0] for column in high_and_low([factor]))
    return elementwise(lambda piece: _wide_log(piece, (high, low)), x, size=WIDE)


@replaces("log1p")
def log1p(x: Tensor) -> Tensor:
    """``log(1 + x)`` without cancellation; float32 or float64 in, the same out."""
    return elementwise(_signed_log1p, x) if x.dtype == torch.float32 else elementwise(wide_log1p, x, size=WIDE)


# x = 2**k m with m in [0.6875, 1.375), which is cut into intervals; a table has 1 / c for each, with c in its middle:
# log(x) = k log(2) + log(c) + log(1 + r), r = m / c - 1. Both intervals that touch 1 have c = 1: nothing cancels there.

_OFFSET = 0x3FE6000000000000
_EXPONENT = -1 << 52


def _interval(index: int, bits: int) -> Fraction:
    """Give the middle of an interval, 2**bits of them there are."""
    ends = [Fraction(_from_bits(_OFFSET + (place << (52 - bits)))) for place in (index, index + 1)]
    return Fraction(1) if 1 in ends else sum(ends, Fraction(0)) / 2


def _from_bits(bits: int) -> Fraction:
    exponent, mantissa = (bits >> 52) - 1023, bits & ((1 << 52) - 1)
    return (1 + Fraction(mantissa, 1 << 52)) * Fraction(2) ** exponent


@on_device
def _narrow_table() -> tuple[list[float], list[float]]:
    inverses = [float(1 / _interval(index, 8)) for index in range(256)]
    return inverses, [-float(logarithm(inverse)) for inverse in inverses]


@on_device
def _wide_table() -> tuple[list[float], list[float], list[float]]:
    """Give inverses of ten bits, and logarithms in two parts, the first a multiple of 2**-42."""
    inverses = [round(512 / _interval(index, 7)) / 512 for index in range(128)]
    logarithms = [-logarithm(inverse) for inverse in inverses]
    first = [leading(value, 42) for value in logarithms]
    rest = [float(EXACTLY.subtract(value, decimal(part))) for value, part in zip(logarithms, first, strict=True)]
    return inverses, first, rest


def narrow_log(x: Tensor, terms: int = 4) -> Tensor:
    """Give the logarithm of a float64 piece, positive and normal, in `memory`.

    The relative error is below 2**-32, with six terms below 2**-46.
    """
    inverses, logarithms = _narrow_table(x.device)
    r, near, result = (memory(f"log.{use}", x) for use in ("r", "near", "result"))
    index, exponent, bits = (memory(f"log.{use}", x, torch.int64) for use in ("i", "exponent", "bits"))
    torch.sub(x.view(torch.int64), _OFFSET, out=exponent)
    torch.bitwise_right_shift(exponent, 44, out=index).bitwise_and_(255)
    torch.sub(x.view(torch.int64), exponent.bitwise_and_(_EXPONENT), out=bits)
    torch.mul(bits.view(torch.float64), torch.index_select(inverses, 0, index, out=near), out=r).sub_(1.0)
    torch.mul(r, -1 / terms, out=result)
    for place in range(terms - 1, 0, -1):
        result.add_((1 if place % 2 else -1) / place).mul_(r)
    result.add_(torch.index_select(logarithms, 0, index, out=near))
    return result.add_(near.copy_(exponent).mul_(float(LN2) * 2.0**-52))


def _narrow_log(x: Tensor) -> Tensor:
    return log_of_double(as_double("log.value", x))


def log_of_double(x: Tensor) -> Tensor:
    """Do what `narrow_log` does for a float64 piece of any numbers but subnormal ones."""
    result = narrow_log(x)
    return result if is_sure(_is_ordinary, x) else _special(x, result)


def _is_ordinary(x: Tensor) -> Tensor:
    least, largest = torch.aminmax(x) if x.numel() else (x.new_ones(()), x.new_ones(()))
    return (least > 0) & (largest < torch.inf)


def _special(x: Tensor, result: Tensor) -> Tensor:
    """Put in the logarithms of 0, infinity, NaN and negative numbers."""
    special = torch.where(x == 0, -torch.inf, torch.where(x < 0, torch.nan, x))
    return torch.where((x > 0) & (x < torch.inf), result, special)


def narrow_log1p(x: Tensor) -> Tensor:
    """Give ``log(1 + x)`` of a piece of either type, as float64 in `memory`; relative error below 2**-32."""
    value, added, rest = (memory(f"log1p.{use}", x) for use in ("value", "added", "rest"))
    value.copy_(x)
    torch.add(value, 1.0, out=added)
    value.sub_(torch.sub(added, 1.0, out=rest)).div_(added)
    result = narrow_log(added).add_(value)
    return result if is_sure(_is_ordinary, added) else result.copy_(_special(added, result))


def _signed_log1p(x: Tensor) -> Tensor:
    """Let -0.0 stay what it is."""
    result = narrow_log1p(x)
    return torch.copysign(result, as_double("log1p.value", x), out=result)


def log_pair(x: Tensor, low: Tensor | None = None) -> Pair:
    """Give the logarithm of a float64 piece, or of a pair, that is positive and finite; relative error below 2**-66."""
    subnormal = x < 2.0**-1022
    bits = (x * torch.where(subnormal, 2.0**54, 1.0)).view(torch.int64)
    shifted = bits - _OFFSET
    inverse, first, second = (column[(shifted >> 45) & 127] for column in _wide_table(x.device))
    m = (bits - (shifted & _EXPONENT)).view(torch.float64)
    k = (shifted >> 52).to(torch.float64).sub_(torch.where(subnormal, 54.0, 0.0))
    r, rest = _remainder(m, inverse)
    if low is not None:
        rest.add_((low * m).div_(x).mul_(inverse))
    high, error = two_sum(first.add_(k * _LN2_FIRST), r)
    square, square_rest = two_product(r, r)
    high, error2 = two_sum(high, square.mul_(-0.5))
    small = _cubic(r).sub_(square_rest.mul_(0.5)).sub_(r * rest).add_(rest)
    return ordered_sum(high, small.add_(second).add_(k.mul_(_LN2_SECOND)).add_(error).add_(error2))


_LN2_FIRST = leading(LN2, 42)
_LN2_SECOND = float(EXACTLY.subtract(LN2, decimal(_LN2_FIRST)))


def _remainder(m: Tensor, inverse: Tensor) -> Pair:
    """Give ``m * inverse - 1`` without error: `inverse` has 10 bits, each half of `m` 27 at most."""
    upper = (m.view(torch.int64) & (-1 << 27)).view(torch.float64)
    return two_sum((upper * inverse).sub_(1.0), (m - upper).mul_(inverse))


def _cubic(r: Tensor) -> Tensor:
    """Give ``log(1 + r) - r + r * r / 2`` for r below 1/128."""
    result = r * (-1 / 10)
    for power in range(9, 2, -1):
        result.add_((1 if power % 2 else -1) / power).mul_(r)
    return result.mul_(r).mul_(r)


def _wide_log(x: Tensor, factor: tuple[float, float] | None = None) -> Tensor:
    pair = log_pair(x)
    if factor is not None:
        pair = multiply(pair, (torch.full_like(x, factor[0]), torch.full_like(x, factor[1])))
    return pair[0] if is_sure(_is_ordinary, x) else _special(x, pair[0])


def wide_log1p(x: Tensor) -> Tensor:
    high, low = two_sum(torch.ones_like(x), x)
    result = log_pair(high, low)[0]
    return torch.where(x == 0, x, _special(high, result))


@replaces("xlogy")
def xlogy(x: Tensor | float, y: Tensor | float) -> Tensor:
    """``x * log(y)``, and 0 where x is 0, unless y is NaN; one of them may be a number."""
    return _times(log, x, y)


@replaces("special_xlog1py")
def xlog1py(x: Tensor | float, y: Tensor | float) -> Tensor:
    """``x * log1p(y)``, and 0 where x is 0, unless y is NaN; one of them may be a number."""
    return _times(log1p, x, y)


def _times(function: Callable[[Tensor], Tensor], x: Tensor | float, y: Tensor | float) -> Tensor:
    like = x if isinstance(x, Tensor) else y
    x, y = (each if isinstance(each, Tensor) else _number(each, like) for each in (x, y))
    return torch.where((x == 0) & ~y.isnan(), 0.0, x * function(y))


def _number(value: float, like: Any) -> Tensor:
    return torch.full((), value, dtype=like.dtype, device=like.device)


@replaces("logaddexp")
def logaddexp(x: Tensor, y: Tensor) -> Tensor:
    """``log(exp(x) + exp(y))`` without overflow."""
    return _add_powers(x, y, exp, log1p)


@replaces("logaddexp2")
def logaddexp2(x: Tensor, y: Tensor) -> Tensor:
    """``log2(2**x + 2**y)`` without overflow."""
    return _add_powers(x, y, exp2, lambda power: log1p(power).mul_(float(1 / LN2)))


def _add_powers(
    x: Tensor, y: Tensor, power: Callable[[Tensor], Tensor], logarithm: Callable[[Tensor], Tensor]
) -> Tensor:
    larger = torch.maximum(x, y)
    sum_ = logarithm(power((x - y).abs_().neg_())).add_(larger)
    return torch.where((x == y) & x.isinf(), larger, sum_)
