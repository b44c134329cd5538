"""Weighted sums along one dimension of elements at places that are known beforehand, one tap after another."""

from functools import cache

import torch
from torch import Tensor

Taps = tuple[tuple[tuple[int, float], ...], ...]
"""For each output the inputs it is made of, in order, each with its weight."""


@cache
def transposed(taps: Taps, inputs: int) -> Taps:
    """Give for each of `inputs` the outputs that it is part of, in order, each with its weight."""
    back: list[list[tuple[int, float]]] = [[] for _ in range(inputs)]
    for number, tap in enumerate(taps):
        for place, weight in tap:
            back[place].append((number, weight))
    return tuple(map(tuple, back))


def apply(x: Tensor, dim: int, taps: Taps) -> Tensor:
    """Give the weighted sums along `dim` of float64 `x`; a tap that is not there is a zero."""
    most = max(map(len, taps), default=0)
    if any(len(tap) < most for tap in taps) or not most:
        x = torch.constant_pad_nd(x, [0, 0] * (x.ndim - 1 - dim) + [0, 1])
    nothing = (x.shape[dim] - 1, 1.0)
    chosen = [[tap[number] if number < len(tap) else nothing for tap in taps] for number in range(max(most, 1))]
    summed = _weighted(x, dim, chosen[0])
    for each in chosen[1:]:
        summed.add_(_weighted(x, dim, each))
    return summed


def _weighted(x: Tensor, dim: int, chosen: list[tuple[int, float]]) -> Tensor:
    places, weights = zip(*chosen, strict=True) if chosen else ((), ())
    selected = x.index_select(dim, torch.tensor(places, dtype=torch.int64, device=x.device))
    if all(weight == 1.0 for weight in weights):
        return selected
    factors = torch.tensor(weights, dtype=torch.float64, device=x.device)
    return selected.mul_(factors.view([-1 if number == dim else 1 for number in range(x.ndim)]))
