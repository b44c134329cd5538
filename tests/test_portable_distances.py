"""Distances between rows, in portable mode: PyTorch's own, of float64, rounded."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seedbed.portable import PortableMode
from tests.portable_native import numbers

NORMS = (0.0, 1.0, 2.0, 2.5, math.inf)


def with_gradients(function: Callable[..., Tensor], *given: Tensor) -> list[Tensor]:
    leaves = [each.detach().requires_grad_() for each in given]
    result = function(*leaves)
    weights = torch.arange(result.numel(), dtype=result.dtype).remainder(7).reshape(result.shape) - 3
    return [result.detach(), *torch.autograd.grad(result, leaves, weights)]


def assert_rounded(function: Callable[..., Tensor], *given: Tensor) -> None:
    """Hold the results and gradients of float32 against those of float64."""
    with PortableMode():
        found = with_gradients(function, *given)
    for one, exact in zip(found, with_gradients(function, *(each.double() for each in given)), strict=True):
        assert one.dtype is torch.float32
        assert torch.allclose(one.double(), exact, rtol=2e-6, atol=2e-6 * float(exact.abs().max()))


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("batches", [((), ()), ((3,), ()), ((2, 1), (1, 3))])
def test_distances_of_two_sets(p: float, batches: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    first, second = numbers(*batches[0], 5, 4), numbers(*batches[1], 6, 4, seed=1)
    assert_rounded(lambda x, y: torch.cdist(x, y, p), first, second)


@pytest.mark.parametrize("p", NORMS)
def test_distances_within_a_set(p: float) -> None:
    assert_rounded(lambda x: torch.nn.functional.pdist(x, p), numbers(7, 4))


@pytest.mark.parametrize("p", NORMS)
def test_a_distance_of_zero_has_a_gradient_of_zero(p: float) -> None:
    x = numbers(3, 4)
    with PortableMode():
        result, *gradients = with_gradients(lambda x, y: torch.cdist(x, y, p).diagonal(), x, x.clone())
    assert result.tolist() == [0.0] * 3
    assert [gradient.abs().max() for gradient in gradients] == [0.0, 0.0]


def test_many_rows_lose_nothing_where_a_product_would() -> None:
    """From 26 rows on PyTorch subtracts products: near each other, of rows far from 0, distances are lost."""
    first = numbers(40, 4) + 1000
    second = first + 2.0**-10
    with PortableMode():
        found = torch.cdist(first, second).diagonal()
    exact = (first.double() - second.double()).norm(dim=1)
    assert torch.allclose(found.double(), exact, rtol=1e-6)
    assert not torch.allclose(torch.cdist(first, second).diagonal().double(), exact, rtol=1e-2)
