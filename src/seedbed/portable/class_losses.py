"""Losses of class numbers: the negative log likelihood and the margins between a class and the others.

Scores are ``(n, c)``, ``(c,)`` or ``(n, c, ...)``; what is added up is added in float64, as a tree, and rounded once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seedbed.portable.scratch import constant
from seedbed.portable.sums.tree import total
from seedbed.portable.table import replaces

_NONE, _MEAN = 0, 1


@dataclass(frozen=True, slots=True)
class _Chosen:
    """For each target: its class, 0 for one to be ignored; its weight, float64; and the dimension of the classes."""

    classes: Tensor
    weights: Tensor
    dim: int

    @classmethod
    def of(cls, x: Tensor, target: Tensor, weight: Tensor | None, ignored: int) -> "_Chosen":
        target = target.to(torch.int64)
        counts = target != ignored
        dim = 0 if x.ndim == 1 else 1
        classes = torch.where(counts, target, 0)
        _check_classes(classes, x.shape[dim])
        weights = counts.to(torch.float64) if weight is None else weight.to(torch.float64)[classes] * counts
        return cls(classes, weights, dim)


def _check_classes(classes: Tensor, count: int) -> None:
    if classes.device.type == "cpu":  # a GPU stops where it looks up the class
        wrong = classes[(classes < 0) | (classes >= count)]
        if wrong.numel():
            raise IndexError(f"Target {wrong[0].item()} is out of bounds.")


@replaces("nll_loss_forward", "nll_loss2d_forward")
def nll_loss_forward(
    x: Tensor, target: Tensor, weight: Tensor | None, reduction: int, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Give ``-weight[target] * x[target]``, or its weighted mean or its sum, and the sum of the weights.

    Raises
    ------
    IndexError
        For a target that is no class; as PyTorch.
    """
    chosen = _Chosen.of(x, target, weight, ignore_index)
    scores = x.gather(chosen.dim, chosen.classes.unsqueeze(chosen.dim)).squeeze(chosen.dim).to(torch.float64)
    losses = torch.where(chosen.weights == 0, 0.0, -scores * chosen.weights)
    weights = total(chosen.weights)
    if reduction == _NONE:
        return losses.to(x.dtype), (weights if x.ndim == 1 else torch.zeros_like(weights)).to(x.dtype)
    summed = total(losses)
    return (summed / weights if reduction == _MEAN else summed).to(x.dtype), weights.to(x.dtype)


@replaces("nll_loss_backward", "nll_loss2d_backward")
def nll_loss_backward(
    grad: Tensor,
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: int,
    ignore_index: int,
    total_weight: Tensor,
) -> Tensor:
    """``-weight[target]`` where the target is, times `grad`, for the mean over `total_weight`; else 0."""
    chosen = _Chosen.of(x, target, weight, ignore_index)
    slope = -chosen.weights * grad.to(torch.float64)
    if reduction == _MEAN:
        slope = slope / total_weight.to(torch.float64)
    slope = torch.where(chosen.weights == 0, 0.0, slope).to(x.dtype)
    result = torch.zeros(x.shape, dtype=x.dtype, device=x.device)
    return result.scatter_(chosen.dim, chosen.classes.unsqueeze(chosen.dim), slope.unsqueeze(chosen.dim))


def _rows(x: Tensor) -> Tensor:
    """Look at ``(c,)`` or ``()`` as one row."""
    return x if x.ndim == 2 else x.reshape(1, -1)


def _mean_of(losses: Tensor, like: Tensor, reduction: int) -> Tensor:
    """Reduce the losses of rows, float64; a row that came without a dimension for rows gives none."""
    if reduction == _NONE:
        return (losses if like.ndim == 2 else losses.reshape(())).to(like.dtype)
    summed = total(losses)
    return (summed / constant(losses.numel(), losses) if reduction == _MEAN else summed).to(like.dtype)


def _of_rows(grad: Tensor, rows: Tensor, reduction: int) -> Tensor:
    """Give what reaches each row of `grad`, float64, ``(n, 1)`` or ``(1, 1)``: for means over the rows and classes."""
    count = rows.shape[1] * (rows.shape[0] if reduction == _MEAN else 1)
    return grad.to(torch.float64).reshape(-1, 1) / constant(count, grad)


@dataclass(frozen=True, slots=True)
class _Margins:
    """How far each score comes within the margin of its row's class, ``(n, c)``, 0 for that class itself; float64."""

    excess: Tensor
    classes: Tensor
    weights: Tensor

    @classmethod
    def of(cls, x: Tensor, target: Tensor, margin: float, weight: Tensor | None) -> "_Margins":
        rows, classes = _rows(x.to(torch.float64)), target.reshape(-1, 1)
        _check_classes(classes, rows.shape[1])
        excess = (rows + (margin - rows.gather(1, classes))).clamp_min_(0.0).scatter_(1, classes, 0.0)
        weights = torch.ones_like(classes) if weight is None else weight[classes]
        return cls(excess, classes, weights.to(torch.float64))


@replaces("multi_margin_loss")
def multi_margin_loss(
    x: Tensor,
    target: Tensor,
    p: float = 1,
    margin: float = 1,
    weight: Tensor | None = None,
    reduction: int = 1,
) -> Tensor:
    """The mean over classes of ``max(0, margin - x[target] + x)**p``, but for the target's own, times its weight.

    Raises
    ------
    RuntimeError
        For a `p` that is neither 1 nor 2; as PyTorch.
    """
    _check_power(p)
    margins = _Margins.of(x, target, margin, weight)
    powers = (margins.excess if p == 1 else margins.excess * margins.excess) * margins.weights
    return _mean_of(total(powers, 1) / constant(powers.shape[1], powers), x, reduction)


@replaces("multi_margin_loss_backward")
def multi_margin_loss_backward(
    grad: Tensor,
    x: Tensor,
    target: Tensor,
    p: float,
    margin: float,
    weight: Tensor | None = None,
    reduction: int = 1,
) -> Tensor:
    """The slope of each class that comes within the margin; the target's is the others' sum, negative."""
    _check_power(p)
    margins = _Margins.of(x, target, margin, weight)
    slope = (margins.excess > 0).to(torch.float64) if p == 1 else margins.excess * 2.0
    slope = slope * margins.weights * _of_rows(grad, margins.excess, reduction)
    return slope.scatter_(1, margins.classes, -total(slope, 1, keepdim=True)).to(x.dtype).reshape(x.shape)


def _check_power(p: float) -> None:
    if p not in (1, 2):
        raise RuntimeError(f"multi_margin_loss: Invalid p, expected 1 or 2 but got {p}")


@dataclass(frozen=True, slots=True)
class _Labels:
    """The rows' classes up to the first -1, ``(n, c)``; which of them count; and which classes are among them."""

    classes: Tensor
    counts: Tensor
    members: Tensor

    @classmethod
    def of(cls, target: Tensor) -> "_Labels":
        target = _rows(target)
        counts = (target < 0).cumsum(1) == 0
        classes = torch.where(counts, target, 0)
        _check_classes(classes, target.shape[1])
        members = torch.zeros(target.shape, dtype=torch.int64, device=target.device)
        return cls(classes, counts, members.scatter_add_(1, classes, counts.to(torch.int64)) > 0)

    def excess(self, x: Tensor, place: int) -> Tensor:
        """How far each class that is not among them comes within 1 of the `place`-th; float64 ``(n, c)``."""
        chosen = x.gather(1, self.classes[:, place : place + 1])
        within = (x + (1.0 - chosen)).clamp_min_(0.0)
        return within.masked_fill_(self.members | ~self.counts[:, place : place + 1], 0.0)


@replaces("multilabel_margin_loss_forward")
def multilabel_margin_loss_forward(x: Tensor, target: Tensor, reduction: int) -> tuple[Tensor, Tensor]:
    """The mean over classes of ``max(0, 1 - x[label] + x[other])``, over all labels and others; and what is a label."""
    labels, rows = _Labels.of(target), _rows(x.to(torch.float64))
    summed = torch.zeros_like(rows)
    for place in range(rows.shape[1]):
        summed.add_(labels.excess(rows, place))
    losses = total(summed, 1) / constant(rows.shape[1], rows)
    return _mean_of(losses, x, reduction), labels.members.to(x.dtype).reshape(x.shape)


@replaces("multilabel_margin_loss_backward")
def multilabel_margin_loss_backward(
    grad: Tensor, x: Tensor, target: Tensor, reduction: int, is_target: Tensor
) -> Tensor:
    """How many labels each other class comes within 1 of, and for a label, negative, how many do; times `grad`."""
    del is_target
    labels, rows = _Labels.of(target), _rows(x.to(torch.float64))
    counts = torch.zeros(rows.shape, dtype=torch.int64, device=x.device)
    for place in range(rows.shape[1]):
        within = (labels.excess(rows, place) > 0).to(torch.int64)
        counts.add_(within).scatter_add_(1, labels.classes[:, place : place + 1], -within.sum(1, keepdim=True))
    return (counts.to(torch.float64) * _of_rows(grad, rows, reduction)).to(x.dtype).reshape(x.shape)
