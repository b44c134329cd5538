"""Numbers on a common grid: where every partial sum fits in float64's 53 bits, addition has no order.

A value below ``2**e`` that is rounded to a multiple of ``2**(e + bits - 53)`` is an integer of ``53 - bits`` bits; up
to ``2**bits`` of those add up exactly, in any order, on any device, fused or not.
"""

import torch
from torch import Tensor

PRECISION = 53
"""Bits of a float64's significand."""


def bits_for(count: int) -> int:
    """Give the bits that a sum of `count` equal numbers grows by: the ceiling of log2."""
    return max(count - 1, 0).bit_length()


def exponent(largest: Tensor) -> Tensor:
    """Give the least ``e`` with ``largest < 2**e``, from the exponent's bits; float64 in, int64 out.

    `largest` is at least 0. Zero and subnormal numbers give -1022 (an upper bound); infinity and NaN give 1025.
    """
    return (largest.view(torch.int64) >> 52) - 1022


def power(exponent: Tensor) -> Tensor:
    """Give ``2.0**exponent`` from its bits, for -1022 to 1023; int64 in, float64 out.

    ``torch.ldexp`` and ``torch.pow`` would go through a logarithm.
    """
    return ((exponent + 1023) << 52).view(torch.float64)
