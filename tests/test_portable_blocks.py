"""Pieces: what is computed piece by piece is what is computed at once, whatever the layout."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seedbed.portable.blocks import elementwise, is_sure, pieces
from seedbed.portable.scratch import constant

X = (torch.arange(2 * 3 * 5 * 4) * 7919 % 1024).to(torch.float32).reshape(2, 3, 5, 4) / 64


def square(x: Tensor) -> Tensor:
    return x.to(torch.float64) * x


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_pieces_of_any_size_give_the_same(size: int) -> None:
    assert torch.equal(elementwise(square, X, size=size), X * X)


def test_pieces_cover_every_element_once() -> None:
    flat = torch.arange(10)
    assert [flat[piece].tolist() for piece in pieces(flat, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


LAYOUTS: list[Callable[[Tensor], Tensor]] = [
    lambda x: x,
    lambda x: x.transpose(0, 2),
    lambda x: x.to(memory_format=torch.channels_last),
    lambda x: x[:, ::2],
    lambda x: x[:, :, :1].expand(-1, -1, 5, -1),
    lambda x: x[:0],
    lambda x: x[0, 0, 0, 0],
    lambda x: x.flip(1)[..., 1:],
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_gives_the_same(layout: Callable[[Tensor], Tensor]) -> None:
    x = layout(X)
    result = elementwise(square, x, size=16)
    assert result.shape == x.shape
    assert torch.equal(result, x * x)


def test_dense_strides_are_kept() -> None:
    x = X.to(memory_format=torch.channels_last)
    assert elementwise(square, x).stride() == x.stride()


def test_others_become_contiguous() -> None:
    assert elementwise(square, X[:, ::2]).is_contiguous()


def test_tensors_are_broadcast() -> None:
    y = X[:1, :, :1]
    assert torch.equal(elementwise(torch.mul, X, y, size=8), X * y)


def test_different_strides_do_not_mix_elements_up() -> None:
    y = X.to(memory_format=torch.channels_last)
    assert torch.equal(elementwise(torch.sub, X, y), torch.zeros_like(X))


def test_the_result_is_rounded_once_to_the_type_asked_for() -> None:
    third = elementwise(lambda x: x.to(torch.float64).div(constant(3.0, x)), torch.ones(1), dtype=torch.float64)
    assert third.tolist() == [1 / 3]
    assert third.to(torch.float32).tolist() == elementwise(lambda x: x.to(torch.float64) / 3, torch.ones(1)).tolist()


def test_a_test_is_asked_on_a_cpu_and_never_elsewhere() -> None:
    assert is_sure(torch.all, torch.ones(2))
    assert not is_sure(torch.all, torch.zeros(2))
    assert not is_sure(lambda _: True, torch.ones(2, device="meta"))
