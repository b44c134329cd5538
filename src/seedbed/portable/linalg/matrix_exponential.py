"""The exponential of a matrix: Taylor's polynomial of a matrix halved until it is small, squared as often."""

import torch
from torch import Tensor

from seedbed.portable.fixed_point import exponent, power
from seedbed.portable.linalg.shapes import check_square
from seedbed.portable.products import rounded
from seedbed.portable.table import replaces

_TERMS = 18
"""Of a matrix whose rows' sums are below 1, the next is below 2**-56."""


@replaces("linalg_matrix_exp")
def linalg_matrix_exp(a: Tensor) -> Tensor:
    """``exp(a)`` of each matrix ``(..., n, n)``, in float64; infinite or NaN where an element is."""
    check_square(a, "linalg.matrix_exp")
    if not a.numel():
        return a.clone()
    wide = a.to(torch.float64).reshape(-1, *a.shape[-2:])
    largest = wide.abs().amax((-2, -1), keepdim=True) * a.shape[-1]
    halvings = torch.where(largest.isfinite(), exponent(largest), 0).clamp(0, 1000)
    small = wide * power(-halvings)
    one = torch.eye(a.shape[-1], dtype=torch.float64, device=a.device).expand(small.shape)
    result = one + small * (1 / _TERMS)
    for term in range(_TERMS - 1, 0, -1):
        result = one + rounded(small, result) * (1 / term)
    for done in range(int(halvings.max())):
        result = torch.where(halvings > done, rounded(result, result), result)
    return result.reshape(a.shape).to(a.dtype)
