"""Losses and their gradients: single operations for each element, the reduction as a tree.

`reduction` is aten's: 0 for none, 1 for the mean, 2 for the sum. Means and sums are added up in float64 and rounded
once. What is not here, PyTorch composes of operations of the table.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seedbed.portable.activations import log_sigmoid
from seedbed.portable.blocks import WIDE, elementwise
from seedbed.portable.elementary import log, log1p, sigmoid
from seedbed.portable.scratch import constant
from seedbed.portable.sums.tree import total
from seedbed.portable.table import replaces

_NONE, _MEAN = 0, 1


def reduced(losses: Tensor, reduction: int, change: Callable[[Tensor], Any] | None = None) -> Tensor:
    """Average or add up `losses`; `change` is done to pieces of them before, as float64 and in place."""
    summed = total(losses, change=change)
    return (summed / constant(losses.numel(), losses) if reduction == _MEAN else summed).to(losses.dtype)


def _reduced(losses: Tensor, reduction: int) -> Tensor:
    return losses if reduction == _NONE else reduced(losses, reduction)


def _each(function: Callable[..., Tensor], x: Tensor, target: Tensor, *others: Tensor | None) -> Tensor:
    """Apply `function` to pieces that fit the cache; for others that are None, 1 is given."""
    given = [torch.ones((), dtype=x.dtype, device=x.device) if each is None else each for each in others]
    return elementwise(function, x, target, *given, size=WIDE, dtype=torch.result_type(x, target))


def _share(grad: Tensor, count: int, reduction: int) -> Tensor:
    """Give what reaches each of `count` losses of the gradient of their mean; of their sum, all of it does."""
    return (grad.to(torch.float64) / constant(count, grad)).to(grad.dtype) if reduction == _MEAN else grad


@replaces("mse_loss")
def mse_loss(x: Tensor, target: Tensor, reduction: int = 1) -> Tensor:
    """``(x - target)**2``."""
    difference = x - target
    if reduction == _NONE:
        return difference.mul_(difference)
    return reduced(difference, reduction, lambda piece: piece.mul_(piece))


@replaces("mse_loss_backward")
def mse_loss_backward(grad: Tensor, x: Tensor, target: Tensor, reduction: int) -> Tensor:
    """``2 * (x - target)``, times `grad`."""
    return (x - target) * (_share(grad, x.numel(), reduction) * 2.0)


@replaces("smooth_l1_loss")
def smooth_l1_loss(x: Tensor, target: Tensor, reduction: int = 1, beta: float = 1.0) -> Tensor:
    """``d**2 / 2 / beta`` where the distance ``d`` is below `beta`, else ``d - beta / 2``."""

    def piece(x: Tensor, target: Tensor) -> Tensor:
        distance = (x - target).abs_()
        square = distance * distance * 0.5 / constant(beta, distance, distance.dtype)
        return torch.where(distance < beta, square, distance - 0.5 * beta)

    return _reduced(_each(piece, x, target), reduction)


@replaces("smooth_l1_loss_backward")
def smooth_l1_loss_backward(grad: Tensor, x: Tensor, target: Tensor, reduction: int, beta: float) -> Tensor:
    """The sign of the difference, within `beta` the difference over `beta`, times `grad`."""

    def piece(x: Tensor, target: Tensor, share: Tensor) -> Tensor:
        difference = x - target
        slope = difference / constant(beta, difference, difference.dtype)
        return torch.where(difference.abs() >= beta, difference.sign(), slope).mul_(share)

    return _each(piece, x, target, _share(grad, x.numel(), reduction))


@replaces("huber_loss")
def huber_loss(x: Tensor, target: Tensor, reduction: int = 1, delta: float = 1.0) -> Tensor:
    """``d**2 / 2`` where the distance ``d`` is up to `delta`, else ``delta * (d - delta / 2)``."""

    def piece(x: Tensor, target: Tensor) -> Tensor:
        distance = (x - target).abs_()
        far = (distance - 0.5 * delta).mul_(delta)
        return torch.where(distance <= delta, distance * distance * 0.5, far)

    return _reduced(_each(piece, x, target), reduction)


@replaces("huber_loss_backward")
def huber_loss_backward(grad: Tensor, x: Tensor, target: Tensor, reduction: int, delta: float) -> Tensor:
    """The difference, cut off at `delta` on both sides, times `grad`."""

    def piece(x: Tensor, target: Tensor, share: Tensor) -> Tensor:
        difference = x - target
        far = difference.sign().mul_(delta)
        return torch.where(difference.abs() >= delta, far, difference).mul_(share)

    return _each(piece, x, target, _share(grad, x.numel(), reduction))


@replaces("soft_margin_loss")
def soft_margin_loss(x: Tensor, target: Tensor, reduction: int = 1) -> Tensor:
    """``log(1 + exp(-target * x))``; where PyTorch's overflows, this does not."""
    return _reduced(_each(lambda x, target: log_sigmoid(x * target)[0].neg_(), x, target), reduction)


@replaces("soft_margin_loss_backward")
def soft_margin_loss_backward(grad: Tensor, x: Tensor, target: Tensor, reduction: int) -> Tensor:
    """``-target / (1 + exp(target * x))``, times `grad`."""

    def piece(x: Tensor, target: Tensor, share: Tensor) -> Tensor:
        return sigmoid((x * target).neg_()).mul_(-target).mul_(share)

    return _each(piece, x, target, _share(grad, x.numel(), reduction))


_LEAST_LOG = -100.0
_LEAST_PRODUCT = 1e-12


@replaces("binary_cross_entropy")
def binary_cross_entropy(x: Tensor, target: Tensor, weight: Tensor | None = None, reduction: int = 1) -> Tensor:
    """``-target * log(x) - (1 - target) * log(1 - x)``, either logarithm at least -100; times `weight`.

    Raises
    ------
    RuntimeError
        If not all of `x` is between 0 and 1; as PyTorch, on a GPU when the result is asked for.
    """
    torch._assert_async(((x >= 0) & (x <= 1)).all(), "all elements of input should be between 0 and 1")

    def piece(x: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        wrong = (target - 1) * log1p(-x).clamp_(min=_LEAST_LOG)
        return wrong.sub_(target * log(x).clamp_(min=_LEAST_LOG)).mul_(weight)

    return _reduced(_each(piece, x, target, weight), reduction)


@replaces("binary_cross_entropy_backward")
def binary_cross_entropy_backward(
    grad: Tensor, x: Tensor, target: Tensor, weight: Tensor | None = None, reduction: int = 1
) -> Tensor:
    """``(x - target) / (x * (1 - x))``, the divisor at least 1e-12; times `grad` and `weight`."""

    def piece(x: Tensor, target: Tensor, share: Tensor, weight: Tensor) -> Tensor:
        product = (1 - x).mul_(x).clamp_(min=_LEAST_PRODUCT)
        return (x - target).div_(product).mul_(share).mul_(weight)

    return _each(piece, x, target, _share(grad, x.numel(), reduction), weight)


@replaces("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: int = 1,
) -> Tensor:
    """``(1 - target) * x + p * log(1 + exp(-x))``, with ``p = 1 + (pos_weight - 1) * target``; times `weight`."""

    def piece(x: Tensor, target: Tensor, weight: Tensor, pos_weight: Tensor) -> Tensor:
        loss = log_sigmoid(x)[0].neg_().mul_((pos_weight - 1).mul_(target).add_(1))
        return loss.add_((1 - target).mul_(x)).mul_(weight)

    return _reduced(_each(piece, x, target, weight, pos_weight), reduction)
