"""Group norm: what layer norm is, over groups of channels and all positions; the weight is each channel's."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seedbed.portable.normalization.layer import input_gradient
from seedbed.portable.normalization.parts import centered, inverse_root, product, scaled
from seedbed.portable.scratch import wide
from seedbed.portable.sums.tree import middle, pieces
from seedbed.portable.table import replaces

Three = tuple[Tensor | None, Tensor | None, Tensor | None]


@replaces("native_group_norm")
def group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, c: int, hxw: int, group: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over groups of channels; and the means, and ``1 / sqrt``."""
    rows = _rows(x, n, c, hxw, group)
    result = torch.empty(rows.shape, dtype=x.dtype, device=x.device)
    mean, rstd = (torch.empty(n * group, 1, dtype=x.dtype, device=x.device) for _ in range(2))
    scale, shift = (_of_rows(each, n, group) for each in (weight, bias))
    for part, _ in pieces(x, n * group, 1, rows.shape[1] * hxw):
        piece = wide("normalized", rows[part])
        middle_, variance = centered(piece.flatten(1))
        inverse = inverse_root(variance, eps, x.dtype)
        mean[part], rstd[part] = middle_, inverse
        piece.mul_(inverse.unsqueeze(2))
        result[part] = scaled(piece, _part(scale, part), _part(shift, part))
    return result.view(x.shape), mean.view(n, group), rstd.view(n, group)


def _rows(x: Tensor, n: int, c: int, hxw: int, group: int) -> Tensor:
    """Look at `x` as ``(rows, channels of a group, positions)``; one row for each sample's each group."""
    return x.reshape(n * group, c // group, hxw)


def _of_rows(values: Tensor | None, n: int, group: int) -> Tensor | None:
    """Give each channel's value in the shape of the rows of its groups, float64."""
    if values is None:
        return None
    each = values.numel() // group
    return values.to(torch.float64).view(1, group, each).expand(n, -1, -1).reshape(n * group, each, 1)


def _part(values: Tensor | None, part: slice) -> Tensor | None:
    return None if values is None else values[part]


@replaces("native_group_norm_backward")
def group_norm_backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    n: int,
    c: int,
    hxw: int,
    group: int,
    output_mask: Sequence[bool],
) -> Three:
    """Give the gradients of `x`, `weight` and `bias`, those that `output_mask` asks for; see `layer_norm_backward`."""
    rows, grads = _rows(x, n, c, hxw, group), _rows(grad, n, c, hxw, group)
    means, inverses = (each.reshape(-1, 1, 1).to(torch.float64) for each in (mean, rstd))
    scale = _of_rows(weight, n, group)
    result = torch.empty(rows.shape, dtype=x.dtype, device=x.device)
    slopes, sums = (torch.zeros(n * group, c // group, dtype=torch.float64, device=x.device) for _ in range(2))
    for part, _ in pieces(x, n * group, 1, rows.shape[1] * hxw):
        normalized = wide("normalized", rows[part]).sub_(means[part]).mul_(inverses[part])
        upper = wide("upper", grads[part])
        if output_mask[1]:
            slopes[part] = _positions(product(upper, normalized))
        if output_mask[2]:
            sums[part] = _positions(upper)
        if output_mask[0]:
            upper = scaled(upper, _part(scale, part), None)
            gradient = input_gradient(upper.flatten(1), normalized.flatten(1), inverses[part, :, 0])
            result[part] = gradient.view(upper.shape)
    return (
        result.view(x.shape) if output_mask[0] else None,
        _over_batch(slopes, n, c).to(x.dtype) if output_mask[1] else None,
        _over_batch(sums, n, c).to(x.dtype) if output_mask[2] else None,
    )


def _positions(x: Tensor) -> Tensor:
    """Add up ``(a, c, s)`` over ``s``."""
    return middle(x.flatten(0, 1).unsqueeze(2)).view(x.shape[:2])


def _over_batch(x: Tensor, n: int, c: int) -> Tensor:
    return middle(x.view(1, n, c))[0]
