"""Weight norm: a direction and a length."""

import torch
from torch import Tensor

from seedbed.portable.elementary import sqrt
from seedbed.portable.sums.tree import total
from seedbed.portable.table import replaces


@replaces("_weight_norm_interface")
def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> tuple[Tensor, Tensor]:
    """``v * (g / norm(v))``, the norm over all dimensions but `dim`; and the norms, in the shape of `g`."""
    norms = sqrt(total(v, _others(v, dim), keepdim=True, change=lambda piece: piece.mul_(piece)))
    return (v.to(torch.float64) * (g.to(torch.float64) / norms)).to(v.dtype), norms.to(v.dtype)


def _others(v: Tensor, dim: int) -> list[int]:
    return [number for number in range(v.ndim) if number != dim % v.ndim]


@replaces("_weight_norm_interface_backward")
def weight_norm_backward(grad: Tensor, v: Tensor, g: Tensor, norms: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Give ``g / norm * (grad - v * s / norm)`` and ``s``, with ``s = sum(grad * v) / norm``."""
    grads, direction, lengths = grad.to(torch.float64), v.to(torch.float64), norms.to(torch.float64)
    slope = total(grads * direction, _others(v, dim), keepdim=True) / lengths
    across = grads - direction * (slope / lengths)
    return (across * (g.to(torch.float64) / lengths)).to(v.dtype), slope.to(g.dtype)
