# ruff: noqa: FBT001, FBT003 - aten's arguments go by position
"""Batch norm: sums over the batch and the positions of each channel, as trees, in float64; instance norm is made of it.

In training the means and variances of the batch are used, and the running ones are moved towards them, in place.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seedbed.portable.normalization.parts import channels, inverse_root, scaled
from seedbed.portable.scratch import constant, wide
from seedbed.portable.sums.tree import middle, pieces, total
from seedbed.portable.table import replaces

Three = tuple[Tensor | None, Tensor | None, Tensor | None]


@replaces("native_batch_norm", "_native_batch_norm_legit_no_training")
def native_batch_norm(x: Tensor, *args: Any) -> tuple[Tensor, Tensor, Tensor]:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` for each channel; and the means, and ``1 / sqrt``.

    Of ``_native_batch_norm_legit_no_training`` the argument ``training`` is left out. Outside of training, what comes
    with the result is empty.
    """
    weight, bias, running_mean, running_var, training, momentum, eps = (
        args if len(args) == 7 else (*args[:4], False, *args[4:])
    )
    parts = _parts(x)
    if training:
        mean, variance = _statistics(parts)
        _move(running_mean, mean, momentum)
        count = parts.shape[0] * parts.shape[2]
        _move(running_var, variance * constant(count, x) / constant(count - 1, x), momentum)
    else:
        mean, variance = running_mean.to(torch.float64), running_var.to(torch.float64)
    inverse = inverse_root(variance, eps, x.dtype)
    result = _normalized(parts, mean, inverse, weight, bias).view(x.shape)
    kept = slice(None) if training else slice(0)
    return result, mean.to(x.dtype)[kept], inverse.to(x.dtype)[kept]


@replaces("_native_batch_norm_legit")
def native_batch_norm_legit(x: Tensor, *args: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Do what `native_batch_norm` does; one overload has no running means and variances."""
    return native_batch_norm(x, *args) if len(args) == 7 else native_batch_norm(x, *args[:2], None, None, *args[2:])


@replaces("_native_batch_norm_legit_functional")
def native_batch_norm_functional(x: Tensor, *args: Any) -> tuple[Tensor, ...]:
    """Do what `native_batch_norm` does, and give the running means and variances instead of changing them."""
    weight, bias, running_mean, running_var, *rest = args
    moved = (running_mean.clone(), running_var.clone())
    return *native_batch_norm(x, weight, bias, *moved, *rest), *moved


@replaces("_batch_norm_with_update", "_batch_norm_with_update_functional")
def batch_norm_with_update(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Tensor, ...]:
    """Do what `native_batch_norm` does in training, with nothing in reserve for the backward pass."""
    results = native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
    return *results, x.new_empty(0, dtype=torch.uint8)


@replaces("_batch_norm_no_update")
def batch_norm_no_update(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Tensor, ...]:
    """Do what `native_batch_norm` does outside of training, with nothing in reserve for the backward pass."""
    results = native_batch_norm(x, weight, bias, running_mean, running_var, False, momentum, eps)
    return *results, x.new_empty(0, dtype=torch.uint8)


def _parts(x: Tensor) -> Tensor:
    """Look at ``(n, c, ...)`` as ``(n, c, s)``."""
    return x.reshape(x.shape[0], x.shape[1], x.shape[2:].numel())


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Give the mean and the variance of each channel of ``(n, c, s)``; ``(c,)``, float64."""
    count = constant(x.shape[0] * x.shape[2], x)
    mean = total(x, (0, 2)) / count
    middles = channels(mean)
    squares = torch.empty(x.shape[:2], dtype=torch.float64, device=x.device)
    for rows, columns in pieces(x, *x.shape):
        distances = wide("normalized", x[rows, columns]).sub_(middles[columns])
        squares[rows, columns] = _row_sums(distances.mul_(distances))
    return mean, _over_batch(squares) / count


def _row_sums(x: Tensor) -> Tensor:
    return middle(x.flatten(0, 1).unsqueeze(2)).view(x.shape[:2])


def _over_batch(x: Tensor) -> Tensor:
    return middle(x.unsqueeze(0))[0]


def _move(running: Tensor | None, to: Tensor, momentum: float) -> None:
    if running is not None:
        running.copy_(running.to(torch.float64) * (1.0 - momentum) + to * float(momentum))


def _normalized(x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    means, shift = channels(mean), None if bias is None else channels(bias)
    scale = channels(inverse) if weight is None else channels(inverse) * channels(weight)
    result = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for rows, columns in pieces(x, *x.shape):
        piece = wide("normalized", x[rows, columns]).sub_(means[columns])
        result[rows, columns] = scaled(piece, scale[columns], None if shift is None else shift[columns])
    return result


@replaces("native_batch_norm_backward")
def native_batch_norm_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    save_mean: Tensor | None,
    save_invstd: Tensor | None,
    train: bool,
    eps: float,
    output_mask: Sequence[bool],
) -> Three:
    """Give the gradients of `x`, `weight` and `bias`, those that `output_mask` asks for.

    With ``y`` normalized and ``g`` the gradient, that of `x` is ``weight * invstd * (g - mean(g) - y * mean(g * y))``
    in training, and else ``weight * invstd * g``.
    """
    used = (save_mean, save_invstd) if train else (running_mean, running_var)
    mean, inverse = (each.to(torch.float64) for each in used if each is not None)
    inverse = inverse if train else inverse_root(inverse, eps, x.dtype)
    parts, grads = _parts(x), _parts(grad)
    sums = _parameter_gradients(parts, grads, mean, inverse) if train or any(output_mask[1:]) else None
    result = None
    if output_mask[0]:
        scale = inverse if weight is None else inverse * weight.to(torch.float64)
        result = _input_gradient(parts, grads, mean, inverse, scale, sums if train else None).view(x.shape)
    return (
        result,
        sums[1].to(x.dtype) if sums is not None and output_mask[1] else None,
        sums[0].to(x.dtype) if sums is not None and output_mask[2] else None,
    )


@replaces("batch_norm_backward")
def batch_norm_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    save_mean: Tensor | None,
    save_var: Tensor | None,
    update: bool,
    eps: float,
    output_mask: Sequence[bool],
    reserve: Tensor,
) -> Three:
    """Do what `native_batch_norm_backward` does."""
    del reserve
    return native_batch_norm_backward(
        grad, x, weight, running_mean, running_var, save_mean, save_var, update, eps, output_mask
    )


def _parameter_gradients(x: Tensor, grad: Tensor, mean: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """Give ``sum(g)`` and ``sum(g * y)`` for each channel of ``(n, c, s)``; ``(c,)``, float64."""
    means, inverses = channels(mean), channels(inverse)
    sums, slopes = (torch.empty(x.shape[:2], dtype=torch.float64, device=x.device) for _ in range(2))
    for rows, columns in pieces(x, *x.shape):
        normalized = _normalize(x[rows, columns], means[columns], inverses[columns])
        upper = wide("upper", grad[rows, columns])
        sums[rows, columns] = _row_sums(upper)
        slopes[rows, columns] = _row_sums(upper.mul_(normalized))
    return _over_batch(sums), _over_batch(slopes)


def _normalize(x: Tensor, mean: Tensor, inverse: Tensor) -> Tensor:
    return wide("normalized", x).sub_(mean).mul_(inverse)


def _input_gradient(
    x: Tensor, grad: Tensor, mean: Tensor, inverse: Tensor, scale: Tensor, sums: tuple[Tensor, Tensor] | None
) -> Tensor:
    means, inverses, scales = channels(mean), channels(inverse), channels(scale)
    count = constant(x.shape[0] * x.shape[2], x)
    levels = None if sums is None else [channels(each / count) for each in sums]
    result = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for rows, columns in pieces(x, *x.shape):
        upper = wide("upper", grad[rows, columns])
        if levels is not None:
            normalized = _normalize(x[rows, columns], means[columns], inverses[columns])
            upper.sub_(levels[0][columns]).sub_(normalized.mul_(levels[1][columns]))
        result[rows, columns] = upper.mul_(scales[columns])
    return result
