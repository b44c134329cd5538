"""The logarithm of the gamma function, and its derivatives, in float64: series near 2, Stirling's beyond 10.

M. Abramowitz, I. A. Stegun: Handbook of Mathematical Functions, 6.1.33, 6.1.40, 6.3.18, 6.4.11; 23.2.9 for the zeta
function.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import torch
from torch import Tensor

from seedbed.errors import NotPortableError
from seedbed.portable.blocks import WIDE, elementwise, is_sure
from seedbed.portable.elementary.logarithm import log
from seedbed.portable.elementary.tables import EXACTLY, logarithm, pi
from seedbed.portable.elementary.trigonometric import cos, sin
from seedbed.portable.table import replaces


@replaces("lgamma")
def lgamma(x: Tensor) -> Tensor:
    """Logarithm of the gamma function's absolute value; float32 or float64 in, the same out."""
    return elementwise(_lgamma, x, size=WIDE)


@replaces("digamma")
def digamma(x: Tensor) -> Tensor:
    """Derivative of `lgamma`; float32 or float64 in, the same out."""
    return elementwise(_digamma, x, size=WIDE)


@replaces("polygamma")
def polygamma(n: int, x: Tensor) -> Tensor:
    """The `n`-th derivative of `digamma`; float32 or float64 in, the same out.

    Raises
    ------
    NotPortableError
        From the second derivative on, for negative numbers.
    """
    if n == 0:
        return digamma(x)
    if n == 1:
        return elementwise(_trigamma, x, size=WIDE)
    if bool((x < 0).any()):
        raise NotPortableError("from the second derivative on it is for numbers that are not negative")
    sign = math.factorial(n) * (-1.0) ** (n + 1)
    return elementwise(lambda piece: _zeta(piece.to(torch.float64), n + 1) * sign, x, size=WIDE)


@cache
def _bernoulli(count: int) -> list[Fraction]:
    """Give the Bernoulli numbers B(2), B(4), ..., `count` of them."""
    numbers = [Fraction(1)]
    for n in range(1, 2 * count + 1):
        rest = sum((math.comb(n + 1, k) * number for k, number in enumerate(numbers)), Fraction(0))
        numbers.append(-rest / (n + 1))
    return numbers[2::2]


def _rising(s: int, count: int) -> int:
    return math.prod(range(s, s + count))


def _zeta_less_1(s: int) -> Fraction:
    """Give the sum of ``m**-s`` from m = 2, by Euler's and Maclaurin's formula from 30 on."""
    n, terms = 30, _bernoulli(12)
    tail = Fraction(n) ** (1 - s) / (s - 1) + Fraction(n) ** -s / 2
    for k, number in enumerate(terms, 1):
        tail += number / math.factorial(2 * k) * _rising(s, 2 * k - 1) * Fraction(n) ** (1 - s - 2 * k)
    return sum((Fraction(1, m**s) for m in range(2, n)), tail)


def _euler() -> Fraction:
    """Give Euler's constant, by the same formula."""
    n, terms = 30, _bernoulli(12)
    rest = sum((number / (2 * k * n ** (2 * k)) for k, number in enumerate(terms, 1)), Fraction(0))
    return sum((Fraction(1, m) for m in range(1, n + 1)), -Fraction(logarithm(n)) - Fraction(1, 2 * n) + rest)


@cache
def _near_2() -> list[float]:
    """Give the coefficients of the series of ``lgamma(2 + z)``, from that of z on."""
    return [float(1 - _euler()), *(float((-1) ** k * _zeta_less_1(k) / k) for k in range(2, 28))]


@cache
def _stirling() -> list[float]:
    """Give those of Stirling's series, in odd powers of 1 / x."""
    return [float(number / (2 * k * (2 * k - 1))) for k, number in enumerate(_bernoulli(8), 1)]


_PI = math.pi
_HALF_LOG = float(EXACTLY.divide(EXACTLY.subtract(logarithm(2 * pi()), 1), 2))
"""``(log(2 pi) - 1) / 2``."""


def _polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    """Give ``c[0] + c[1] x + ...``."""
    result = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = result * x + coefficient
    return result


def _of_positive(x: Tensor) -> Tensor:
    """Give lgamma for numbers that are not negative: the series brings all up to 10.5 to 1.5 to 2.5."""
    steps = torch.floor(x - 1.5).clamp(0, 8)
    z = torch.where(x < 0.5, x, torch.where(x < 1.5, x - 1, x - steps - 2)).clamp(-0.5, 0.5)
    factor = torch.where(x < 0.5, x * (x + 1), x)
    middle = torch.ones_like(x)
    for step in range(8):
        middle = torch.where(step < steps, middle * (x - steps + step), middle)
    logarithm_ = log(torch.where((x >= 1.5) & (x < 10.5), middle, factor))
    series = _polynomial(_near_2(), z) * z
    inverse = 1.0 / x.clamp(min=1.0)
    far = (x - 0.5) * (logarithm_ - 1.0) + _HALF_LOG + _polynomial(_stirling(), inverse * inverse) * inverse
    return torch.where(x < 1.5, series - logarithm_, torch.where(x < 10.5, series + logarithm_, far))


def _none(flags: Tensor) -> bool:
    return not bool(flags.any())


def _lgamma(x: Tensor) -> Tensor:
    x = x.to(torch.float64)
    negative = x < 0
    result = _of_positive(torch.where(negative, 1.0 - x, x))
    if not is_sure(_none, negative):
        reflected = log(_PI / sin((x - x.round()) * _PI).abs()) - result
        result = torch.where(negative, reflected, result)
    return torch.where(x.isinf(), torch.inf, result)


def _zeta(x: Tensor, s: int) -> Tensor:
    """Give the sum of ``(x + m)**-s`` from m = 0, for numbers that are not negative."""
    total = torch.zeros_like(x)
    least = 10 + s
    for _ in range(least):
        total = torch.where(x < least, total + _power(1.0 / x, s), total)
        x = torch.where(x < least, x + 1.0, x)
    inverse = 1.0 / x
    terms = [float(b / math.factorial(2 * k) * _rising(s, 2 * k - 1)) for k, b in enumerate(_bernoulli(10), 1)]
    series = _polynomial(terms, inverse * inverse) * inverse + 0.5
    return total + _power(inverse, s - 1) * (1.0 / torch.full_like(x, s - 1) + series * inverse)


def _power(x: Tensor, n: int) -> Tensor:
    result = x
    for _ in range(n - 1):
        result = result * x
    return result


def _trigamma(x: Tensor) -> Tensor:
    x = x.to(torch.float64)
    negative = x < 0
    result = _zeta(torch.where(negative, 1.0 - x, x), 2)
    sine = sin((x - x.round()) * _PI)
    return torch.where(negative, _PI * _PI / (sine * sine) - result, result)


def _digamma(x: Tensor) -> Tensor:
    x = x.to(torch.float64)
    negative = x < 0
    shifted, total = torch.where(negative, 1.0 - x, x), torch.zeros_like(x)
    for _ in range(10):
        total = torch.where(shifted < 10, total + 1.0 / shifted, total)
        shifted = torch.where(shifted < 10, shifted + 1.0, shifted)
    inverse = 1.0 / shifted
    terms = [-0.5, *(float(-b / (2 * k)) for k, b in enumerate(_bernoulli(9), 1))]
    square = inverse * inverse
    result = log(shifted) + terms[0] * inverse + _polynomial(terms[1:], square) * square - total
    angle = (x - x.round()) * _PI
    reflected = torch.where(angle == 0, torch.nan, result - _PI * cos(angle) / sin(angle))
    result = torch.where(negative, reflected, result)
    return torch.where(x == 0, torch.copysign(torch.full_like(x, torch.inf), -x), result)
