"""Distances between rows: differences in float64, whose powers are added up as a tree; forward and backward."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from seedbed.portable.elementary import pow as power
from seedbed.portable.sums.norms import vector_norm
from seedbed.portable.sums.tree import pieces, total
from seedbed.portable.table import replaces


@replaces("_cdist_forward")
def cdist(x1: Tensor, x2: Tensor, p: float, compute_mode: int | None = None) -> Tensor:
    """Give the `p` norm of each row of ``(..., n, d)`` less each of ``(..., m, d)``; ``(..., n, m)``."""
    del compute_mode
    first, second = _batches(x1, x2)
    result = torch.empty(*first.shape[:2], second.shape[1], dtype=x1.dtype, device=x1.device)
    for batch, rows, differences in _differences(first, second):
        result[batch, rows] = vector_norm(differences, p, [-1])
    return result.view(*torch.broadcast_shapes(x1.shape[:-2], x2.shape[:-2]), *result.shape[1:])


@replaces("_euclidean_dist")
def euclidean_dist(x1: Tensor, x2: Tensor) -> Tensor:
    """Give what `cdist` does for 2; PyTorch's own subtracts products, which loses most of what it computes."""
    return cdist(x1, x2, 2.0)


def _batches(x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
    """Give both as ``(batch, rows, d)``."""
    outer = torch.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    first, second = x1.expand(*outer, *x1.shape[-2:]), x2.expand(*outer, *x2.shape[-2:])
    return first.reshape(outer.numel(), *x1.shape[-2:]), second.reshape(outer.numel(), *x2.shape[-2:])


def _differences(first: Tensor, second: Tensor) -> Iterator[tuple[int, slice, Tensor]]:
    """Go through pieces of the differences, ``(rows, m, d)`` in float64."""
    for batch in range(first.shape[0]):
        wide = second[batch].to(torch.float64)
        for rows, _ in pieces(first, first.shape[1], 1, wide.numel()):
            yield batch, rows, first[batch, rows].to(torch.float64).unsqueeze(1) - wide


@replaces("_cdist_backward")
def cdist_backward(grad: Tensor, x1: Tensor, x2: Tensor, p: float, distances: Tensor) -> Tensor:
    """Give the gradient of `x1`, ``(..., n, d)``; 0 where a distance is 0."""
    first, second = _batches(x1, x2)
    grads, norms = (each.reshape(first.shape[0], first.shape[1], second.shape[1], 1) for each in (grad, distances))
    result = torch.empty(first.shape, dtype=x1.dtype, device=x1.device)
    for batch, rows, differences in _differences(first, second):
        upper, norm = grads[batch, rows].to(torch.float64), norms[batch, rows].to(torch.float64)
        result[batch, rows] = total(_slopes(differences, norm, p).mul_(upper), 1).to(x1.dtype)
    return result.view(torch.broadcast_shapes(x1.shape[:-2], x2.shape[:-2]) + x1.shape[-2:])


def _slopes(differences: Tensor, norm: Tensor, p: float) -> Tensor:
    """Give the derivatives of norms by the differences that they are made of."""
    if p == 0.0:
        return torch.zeros_like(differences)
    signs, sizes = differences.sign(), differences.abs()
    if p == 1.0:
        return signs
    if math.isinf(p):
        return signs.mul_(sizes == sizes.amax(-1, keepdim=True))
    ratio = sizes / norm
    slopes = signs.mul_(ratio if p == 2.0 else power(ratio, p - 1.0))
    return slopes.masked_fill_((norm == 0.0) | (sizes == 0.0), 0.0)


@replaces("_pdist_forward")
def pdist(x: Tensor, p: float = 2.0) -> Tensor:
    """Give the distances between the rows of ``(n, d)``, each pair's once; ``(n * (n - 1) / 2,)``."""
    rows, columns = _pairs(x)
    return cdist(x, x, p)[rows, columns]


def _pairs(x: Tensor) -> Tensor:
    return torch.triu_indices(x.shape[0], x.shape[0], 1, device=x.device)


@replaces("_pdist_backward")
def pdist_backward(grad: Tensor, x: Tensor, p: float, distances: Tensor) -> Tensor:
    """Give the gradient of `x`, ``(n, d)``; see `cdist_backward`."""
    size, (rows, columns) = x.shape[0], _pairs(x)
    upper, norms = (torch.zeros(size, size, dtype=x.dtype, device=x.device) for _ in range(2))
    for whole, each in ((upper, grad), (norms, distances)):
        whole[rows, columns] = each
        whole[columns, rows] = each
    return cdist_backward(upper, x, x, p, norms)
