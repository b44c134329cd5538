"""Square roots, correctly rounded, and what is made of them."""

import torch
from torch import Tensor

from seedbed.portable.blocks import WIDE, as_double, elementwise, is_sure, memory
from seedbed.portable.elementary.pairs import Pair, add, ordered_sum, two_product
from seedbed.portable.fixed_point import power
from seedbed.portable.scratch import constant
from seedbed.portable.table import replaces


@replaces("sqrt")
def sqrt(x: Tensor) -> Tensor:
    """Square root, correctly rounded; float32 or float64 in, the same out.

    `torch.sqrt` is not, on a CPU: Intel's vector library is only within one unit in the last place. The root of a
    float32 is taken in float64, and rounded, which is right: let x be in [1, 4), a multiple of 2**-23. A number h
    halfway between two float32 in [1, 2) is an odd multiple of 2**-24, and its square an odd multiple of 2**-48, so
    that x differs from it by 2**-48 or more, and the root of x from h by ``|x - h * h| / (sqrt(x) + h) > 2**-50``: four
    units in the last place of a float64. An error of one does not take it across h.
    """
    return elementwise(_narrow_sqrt, x) if x.dtype == torch.float32 else elementwise(wide_sqrt, x, size=WIDE)


@replaces("rsqrt")
def rsqrt(x: Tensor) -> Tensor:
    """``1 / sqrt(x)``; float32 or float64 in, the same out."""
    if x.dtype == torch.float32:
        return elementwise(_narrow_rsqrt, x)
    return torch.ones_like(x).div_(sqrt(x))


@replaces("hypot")
def hypot(x: Tensor, y: Tensor) -> Tensor:
    """``sqrt(x * x + y * y)`` without overflow; float32 or float64 in, the wider of them out."""
    return elementwise(_hypot, x, y, size=WIDE, dtype=torch.promote_types(x.dtype, y.dtype))


def _narrow_sqrt(x: Tensor) -> Tensor:
    root = as_double("sqrt.root", x)
    return torch.sqrt(root, out=root)


def _narrow_rsqrt(x: Tensor) -> Tensor:
    """Correct the root that float32 rounds, by its error: the square of 24 bits is exact. Then divide."""
    value, root, square = (
        as_double("sqrt.value", x),
        _narrow_sqrt(x),
        memory("sqrt.square", x),
    )
    root.copy_(root.to(torch.float32))
    torch.mul(root, root, out=square)
    error = torch.sub(value, square, out=square).div_(torch.add(root, root, out=value))
    if not is_sure(_is_positive, x):
        error.nan_to_num_(-0.0, -0.0, -0.0)  # -0.0 changes nothing, not even a root that is -0.0
    return torch.div(constant(1.0, x), root.add_(error), out=root)


def _is_positive(x: Tensor) -> Tensor:
    least, largest = torch.aminmax(x) if x.numel() else (x.new_ones(()), x.new_ones(()))
    return (least > 0) & (largest < torch.inf)


def wide_sqrt(x: Tensor) -> Tensor:
    """Give the correctly rounded square root of a float64 piece.

    x is scaled to m in [1, 4); y, the root that torch gives, is within u = 2**-52 of the right one. That is y + u if
    ``(y + u / 2)**2 < m``, which is ``y * u + u * u / 4 < m - y * y``. As y is a multiple of u, and m, y * y and y * u
    are multiples of u * u, this is ``y * u < m - y * y``; and likewise below. With ``y * y = p + q``, m - p is exact by
    Sterbenz's lemma; q taken from it gives a multiple of u * u that is below 2**53 u * u, and so exact, or else
    rounded to what is still larger than y * u.
    """
    small = x < 2.0**-1000
    bits = (x * torch.where(small, 2.0**108, 1.0)).view(torch.int64)
    half = ((bits >> 52) - 1023) >> 1
    m = (bits - (half << 53)).view(torch.float64)
    y = m.sqrt()
    high, low = two_product(y, y)
    rest, step = (m - high).sub_(low), y * 2.0**-52
    steps = (rest > step).to(torch.float64).sub_((rest <= -step).to(torch.float64))
    root = y.add_(steps.mul_(2.0**-52)).mul_(power(half)).mul_(torch.where(small, 2.0**-54, 1.0))
    return root if is_sure(_is_positive, x) else torch.where((x > 0) & (x < torch.inf), root, x.sqrt())


def root_of_pair(x: Pair) -> Pair:
    """Give the square root of a pair whose `high` is 0 or not below 2**-900; relative error below 2**-100."""
    root = wide_sqrt(x[0])
    high, low = two_product(root, root)
    rest = (x[0] - high).sub_(low).add_(x[1])
    return ordered_sum(root, rest.div_((root * 2.0).clamp_(min=2.0**-1000)))


def _hypot(x: Tensor, y: Tensor) -> Tensor:
    """Scale the larger to [1, 2), and add the squares as pairs."""
    x, y = x.to(torch.float64).abs(), y.to(torch.float64).abs()
    larger, smaller = torch.maximum(x, y), torch.minimum(x, y)
    exponent = ((larger.view(torch.int64) >> 52) - 1023).clamp(-1021, 1021)
    scale = power(-exponent)
    larger, smaller = larger * scale, smaller * scale
    smaller = torch.where(smaller < 2.0**-200, 0.0, smaller)
    root = root_of_pair(add(two_product(larger, larger), two_product(smaller, smaller)))[0]
    infinite = torch.where((x == torch.inf) | (y == torch.inf), torch.inf, root.mul_(power(exponent)))
    return torch.where(x.maximum(y) == 0, 0.0, infinite)
