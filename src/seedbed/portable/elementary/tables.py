"""Tables of function values, computed when first asked for, to the last bit alike everywhere.

`decimal` is integer arithmetic in software, and its logarithm and exponential are correctly rounded.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from functools import cache, wraps

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

EXACTLY = Context(prec=60, rounding=ROUND_HALF_EVEN, Emin=-9999, Emax=9999, traps=[])
"""Sixty digits: enough for a pair of float64, twice over. What the caller's context is changes nothing."""


def decimal(value: float | Fraction) -> Decimal:
    """Give the number to sixty digits."""
    value = Fraction(value)
    return EXACTLY.divide(Decimal(value.numerator), Decimal(value.denominator))


def power_of_e(value: float | Fraction) -> Decimal:
    """e to this power."""
    return EXACTLY.exp(decimal(value))


def logarithm(value: float | Fraction) -> Decimal:
    """Natural logarithm."""
    return EXACTLY.ln(decimal(value))


def high_and_low(values: Iterable[Decimal]) -> tuple[list[float], list[float]]:
    """Round each value to a float64, and the remainder to another."""
    values = list(values)
    high = [float(value) for value in values]
    return high, [float(EXACTLY.subtract(value, Decimal(each))) for value, each in zip(values, high, strict=True)]


def leading(value: Decimal, scale: int) -> float:
    """Cut after the bit of weight ``2**-scale``."""
    return float(Fraction(value) * 2**scale // 1) * 2.0**-scale


@cache
def pi() -> Fraction:
    """Give pi to 1300 bits, by J. Machin's formula of 1706, ``16 arctan(1/5) - 4 arctan(1/239)``."""
    one = 1 << 1400
    return Fraction(16 * arctangent(1, 5, one) - 4 * arctangent(1, 239, one), one)


def arctangent(numerator: int, denominator: int, one: int) -> int:
    """Give the arctangent of a fraction below 1 in units of ``1 / one``, by its power series."""
    total, power, odd = 0, one * numerator // denominator, 1
    while power:
        total += power // odd if odd % 4 == 1 else -(power // odd)
        power = power * numerator**2 // denominator**2
        odd += 2
    return total


def on_device(make: Callable[[], Sequence[Sequence[float]]]) -> Callable[[torch.device], tuple[Tensor, ...]]:
    """Turn a function that gives columns of numbers into one that gives them as tensors, made once for each device.

    Columns of integers become int64, others float64.
    """

    @cache
    @wraps(make)
    def made(device: torch.device) -> tuple[Tensor, ...]:
        inference = torch.inference_mode(False)  # noqa: FBT003 - what is kept is no part of a mode
        with _disable_current_modes(), inference, localcontext(EXACTLY):
            return tuple(_column(numbers).to(device) for numbers in make())

    return made


def _column(numbers: Sequence[float]) -> Tensor:
    integers = all(isinstance(number, int) for number in numbers)
    return torch.tensor(numbers, dtype=torch.int64 if integers else torch.float64)


def single(value: float | Decimal) -> float:
    """Round to float32: what an operation with a float32 tensor makes of a number, on every device."""
    (rounded,) = struct.unpack("f", struct.pack("f", float(value)))
    return float(rounded)
