"""Angles brought into a small interval: ``x = n pi/128 + r``, with n modulo 256 and r as a pair."""

from fractions import Fraction

import torch
from torch import Tensor

from seedbed.portable.blocks import is_sure
from seedbed.portable.elementary.pairs import multiply, ordered_sum, two_sum
from seedbed.portable.elementary.tables import on_device, pi

PARTS = 256
"""Parts of a whole turn."""

_PI = pi()
_PART = 2 * _PI / PARTS
_ROUND = 1.5 * 2.0**52
_ROUND_BITS = 0x4338000000000000
LARGEST = 2.0**20
"""Up to here n has 26 bits, and the parts of pi/128 below 27, so that their products are exact."""


def cut(*scales: int) -> list[float]:
    """Cut pi/128 after the bits of these weights, ``2**-scale``, and give what is left as well."""
    rest, parts = _PART, []
    for scale in scales:
        parts.append(float(Fraction(int(rest * 2**scale), 2**scale)))
        rest -= Fraction(parts[-1])
    return [*parts, float(rest)]


_CUT = cut(32, 59, 86)
_PART_HIGH = float(_PART)
_PART_LOW = float(_PART - Fraction(_PART_HIGH))


def reduced(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give n (int64, to be taken modulo 256), and r as a pair, of a float64 piece.

    By W. J. Cody and W. Waite (Software manual for the elementary functions, 1980) up to 2**20; beyond, by M. Payne and
    R. Hanek (Radian reduction for trigonometric functions. SIGNUM Newsletter 18 (1983), 19-24). The relative error of r
    is below 2**-52 at its smallest values, and far below elsewhere. For infinity and NaN, r is NaN.
    """
    near = _of_small(x)
    if is_sure(is_small, x):
        return near
    small = x.abs() < LARGEST
    far = _of_large(torch.where(small | ~x.isfinite(), 2.0**30, x))
    n, high, low = (torch.where(small, one, other) for one, other in zip(near, far, strict=True))
    return n, torch.where(x.isfinite(), high, torch.nan), low


def is_small(x: Tensor) -> Tensor:
    return x.abs().max() < LARGEST if x.numel() else x.new_ones(())


def _of_small(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count = x * float(1 / _PART) + _ROUND
    n = count - _ROUND
    high, low = two_sum(x - n * _CUT[0], n * -_CUT[1])
    high, low2 = two_sum(high, n * -_CUT[2])
    high, low = ordered_sum(high, low2.add_(low).sub_(n * _CUT[3]))
    return count.view(torch.int64) - _ROUND_BITS, high, low


# Beyond, x = M 2**e with an integer M of 53 bits. A table has the turns 2**e / (2 pi) for each e, without their whole
# part, to 192 bits after the point, in digits of 24 bits. M is multiplied by these, in integers, modulo one turn.

_DIGITS = 8
_FIRST = -33


@on_device
def _turns() -> list[list[int]]:
    """Give column after column the digits, row after row the exponents e."""
    turns = [int(Fraction(2) ** exponent / (2 * _PI) * 2 ** (24 * _DIGITS)) for exponent in range(_FIRST, 972)]
    return [[turn >> (24 * place) & 0xFFFFFF for turn in turns] for place in range(_DIGITS)]


def _of_large(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    bits = x.abs().view(torch.int64)
    row = (bits >> 52) - (1023 + 52 + _FIRST)
    mantissa = (bits & ((1 << 52) - 1)) | (1 << 52)
    lower, upper = mantissa & 0xFFFFFF, mantissa >> 24
    digits, carry, above = [], torch.zeros_like(bits), torch.zeros_like(bits)
    for column in _turns(x.device):
        digit = column[row]
        sum_ = digit * lower + above + carry
        above = digit * upper
        digits.append(sum_ & 0xFFFFFF)
        carry = sum_ >> 24
    return _from_digits(digits, x)


def _from_digits(digits: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Take n from the first 8 bits after the point, rounding to nearest, and r from all others."""
    *_, sixth, fifth, fourth, third, second, first = digits
    leading = ((first & 0xFFFF) << 24) | second
    up = leading >> 39
    n = (first >> 16) + up
    parts = (leading - (up << 40), (third << 24) | fourth, (fifth << 24) | sixth)
    high, middle, low = (
        part.to(torch.float64).mul_(2.0**-scale) for part, scale in zip(parts, (40, 88, 136), strict=True)
    )
    high, rest = two_sum(high, middle)
    part = (torch.full_like(x, _PART_HIGH), torch.full_like(x, _PART_LOW))
    high, low = multiply(ordered_sum(high, rest.add_(low)), part)
    sign = torch.where(x < 0, -1.0, 1.0)
    return torch.where(x < 0, -n, n), high * sign, low * sign
