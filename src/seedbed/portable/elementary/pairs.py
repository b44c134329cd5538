"""Sums and products of float64 without error, as pairs ``high + low``, from single IEEE operations.

T. J. Dekker: A floating-point technique for extending the available precision. Numerische Mathematik 18 (1971),
224-242; D. E. Knuth: The Art of Computer Programming 2, 4.2.2, theorem B. A fused multiply-add would be faster, and is
nowhere used: PyTorch has none that is the same on every device.
"""

from torch import Tensor

Pair = tuple[Tensor, Tensor]


def two_sum(a: Tensor, b: Tensor) -> Pair:
    """``a + b`` rounded, and its error."""
    high = a + b
    part = high - a
    return high, (a - (high - part)).add_(b - part)


def ordered_sum(a: Tensor, b: Tensor) -> Pair:
    """``a + b`` rounded, and its error, where `a` is 0 or not smaller than `b`."""
    high = a + b
    return high, b - (high - a)


def halves(a: Tensor) -> Pair:
    """Cut into 26 and 27 bits; `a` is below 2**996."""
    scaled = a * 134217729.0  # 2**27 + 1
    high = scaled - (scaled - a)
    return high, a - high


def two_product(a: Tensor, b: Tensor) -> Pair:
    """``a * b`` rounded, and its error; exact where the product is not below 2**-969."""
    product = a * b
    a1, a2 = halves(a)
    b1, b2 = halves(b)
    error = (a1 * b1).sub_(product).add_(a1 * b2).add_(a2 * b1).add_(a2 * b2)
    return product, error


def add(x: Pair, y: Pair) -> Pair:
    """Add pairs; the error is below 2**-104 of the larger."""
    high, low = two_sum(x[0], y[0])
    return ordered_sum(high, low.add_(x[1] + y[1]))


def multiply(x: Pair, y: Pair) -> Pair:
    """Multiply pairs; the relative error is below 2**-102."""
    high, low = two_product(x[0], y[0])
    return ordered_sum(high, low.add_((x[0] * y[1]).add_(x[1] * y[0])))


def divide(x: Pair, y: Pair) -> Pair:
    """Divide pairs; the relative error is below 2**-100."""
    quotient = x[0] / y[0]
    high, low = two_product(quotient, y[0])
    rest = (x[0] - high).sub_(low).add_(x[1]).sub_(quotient * y[1])
    return ordered_sum(quotient, rest.div_(y[0]))
