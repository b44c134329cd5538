"""Layer norm: the mean and the variance of each row are added up as a tree, in float64, and rounded once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seedbed.portable.normalization.parts import Sums, centered, inverse_root, product, row_products, row_total, scaled
from seedbed.portable.scratch import constant, wide
from seedbed.portable.sums.tree import pieces, strips
from seedbed.portable.table import replaces

Three = tuple[Tensor | None, Tensor | None, Tensor | None]


@replaces("native_layer_norm")
def layer_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last dimensions; and the means, and ``1 / sqrt``."""
    rows = _rows(x, normalized_shape)
    size = rows.shape[1]
    result = torch.empty(rows.shape, dtype=x.dtype, device=x.device)
    mean, rstd = (torch.empty(rows.shape[0], 1, dtype=x.dtype, device=x.device) for _ in range(2))
    scale, shift = (None if each is None else each.reshape(1, size).to(torch.float64) for each in (weight, bias))
    for some, of_result, of_mean, of_rstd in strips(rows, result, mean, rstd):
        piece = wide("normalized", some)
        middle, variance = centered(piece)
        inverse = inverse_root(variance, eps, x.dtype)
        of_mean.copy_(middle)
        of_rstd.copy_(inverse)
        of_result.copy_(scaled(piece.mul_(inverse), scale, shift))
    outer = [*x.shape[: x.ndim - len(normalized_shape)], *(1 for _ in normalized_shape)]
    return result.view(x.shape), mean.view(outer), rstd.view(outer)


def _rows(x: Tensor, normalized_shape: Sequence[int]) -> Tensor:
    outer = x.ndim - len(normalized_shape)
    return x.reshape(x.shape[:outer].numel(), x.shape[outer:].numel())


@replaces("native_layer_norm_backward")
def layer_norm_backward(
    grad: Tensor,
    x: Tensor,
    normalized_shape: Sequence[int],
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    output_mask: Sequence[bool],
) -> Three:
    """Give the gradients of `x`, `weight` and `bias`, those that `output_mask` asks for.

    With ``y`` normalized and ``g`` the gradient times the weight, that of `x` is
    ``rstd * (g - mean(g) - y * mean(g * y))``.
    """
    del bias
    rows, grads = _rows(x, normalized_shape), _rows(grad, normalized_shape)
    means, inverses = (each.reshape(-1, 1).to(torch.float64) for each in (mean, rstd))
    size = rows.shape[1]
    scale = None if weight is None else weight.reshape(1, size).to(torch.float64)
    result = torch.empty(rows.shape, dtype=x.dtype, device=x.device)
    of_weight, of_bias = Sums(size), Sums(size)
    for part, _ in pieces(x, rows.shape[0], 1, size):
        normalized = wide("normalized", rows[part]).sub_(means[part]).mul_(inverses[part])
        upper = wide("upper", grads[part])
        if output_mask[1]:
            of_weight.add(product(upper, normalized))
        if output_mask[2]:
            of_bias.add(upper)
        if output_mask[0]:
            result[part] = input_gradient(scaled(upper, scale, None), normalized, inverses[part])
    return (
        result.view(x.shape) if output_mask[0] else None,
        of_weight.total(x).view(normalized_shape) if output_mask[1] else None,
        of_bias.total(x).view(normalized_shape) if output_mask[2] else None,
    )


def input_gradient(upper: Tensor, normalized: Tensor, inverse: Tensor) -> Tensor:
    """``inverse * (g - mean(g) - y * mean(g * y))`` along the rows, in the memory of `upper`; `normalized` is lost."""
    count = constant(upper.shape[1], upper)
    middle = row_total(upper) / count
    slope = row_products(upper, normalized) / count
    return upper.sub_(middle).sub_(normalized.mul_(slope)).mul_(inverse)
