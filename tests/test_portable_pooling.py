"""Averages over windows, and the gradients of averages and of maxima."""

import itertools

import pytest
import torch
from torch import Tensor

from seedbed.portable import PortableMode
from tests.portable_native import WIDE, agree, numbers, portable, same

WINDOWS = (
    ((3, 2), (2, 2), (1, 1)),
    ((2, 2), (), (0, 0)),
    ((3, 3), (1, 2), (1, 0)),
    ((2,), (3,), (0,)),
    ((9, 7), (1, 1), (0, 0)),
)
WINDOWS_3D = (((3, 2, 2), (2, 2, 1), (1, 1, 1)), ((2,), (), (0,)))
Window = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("ceil", [False, True])
def test_averages_are_pytorchs_own(dtype: torch.dtype, window: Window, ceil: bool) -> None:
    for x, include, divisor in itertools.product(
        (numbers(2, 3, 9, 7, dtype=dtype), numbers(3, 9, 7, dtype=dtype)), (False, True), (None, 5)
    ):
        averages = agree("avg_pool2d", x, *window, ceil, include, divisor)
        grad = numbers(*averages.shape, dtype=dtype, seed=1)
        agree("avg_pool2d_backward", grad, x, *window, ceil, include, divisor)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("window", WINDOWS_3D)
@pytest.mark.parametrize("ceil", [False, True])
def test_three_dimensions(dtype: torch.dtype, window: Window, ceil: bool) -> None:
    x = numbers(2, 3, 5, 6, 4, dtype=dtype)
    averages = agree("avg_pool3d", x, *window, ceil, False)
    agree("avg_pool3d_backward", numbers(*averages.shape, dtype=dtype, seed=1), x, *window, ceil, False, None)
    largest, indices = torch.ops.aten.max_pool3d_with_indices(x, *window, (1,), ceil)
    grad = numbers(*largest.shape, dtype=dtype, seed=1)
    agree("max_pool3d_with_indices_backward", grad, x, *window, (1,), ceil, indices)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
def test_the_gradient_of_maxima_is_pytorchs_own(dtype: torch.dtype, window: Window, dilation: tuple[int, int]) -> None:
    for x in (numbers(2, 3, 19, 17, dtype=dtype), numbers(3, 19, 17, dtype=dtype)):
        largest, indices = torch.ops.aten.max_pool2d_with_indices(x, *window, dilation, False)
        grad = numbers(*largest.shape, dtype=dtype, seed=1)
        agree("max_pool2d_with_indices_backward", grad, x, *window, dilation, False, indices)


@pytest.mark.parametrize("dtype", WIDE)
def test_maxima_whose_windows_have_other_sizes(dtype: torch.dtype) -> None:
    x = numbers(2, 3, 9, 7, dtype=dtype)
    for image in (x, x[0]):
        largest, indices = torch.ops.aten.adaptive_max_pool2d(image, (4, 3))
        agree("adaptive_max_pool2d_backward", numbers(*largest.shape, dtype=dtype, seed=1), image, indices)
    volume = numbers(2, 3, 5, 6, 4, dtype=dtype)
    largest, indices = torch.ops.aten.adaptive_max_pool3d(volume, (4, 4, 3))
    agree("adaptive_max_pool3d_backward", numbers(*largest.shape, dtype=dtype, seed=1), volume, indices)


@pytest.mark.parametrize("dtype", WIDE)
def test_sliding_blocks_are_pytorchs_own(dtype: torch.dtype) -> None:
    x = numbers(2, 3, 9, 7, dtype=dtype)
    blocks = torch.nn.functional.unfold(x, (3, 2), (2, 1), (1, 1), (2, 1))
    for each in (blocks, blocks[0]):
        agree("col2im", each, (9, 7), (3, 2), (2, 1), (1, 1), (2, 1))
    for dim, size, step in ((2, 4, 2), (3, 3, 1), (3, 2, 3)):
        agree("unfold_backward", x.unfold(dim, size, step), x.shape, dim, size, step)


def test_nan_and_infinity_stay_in_their_windows() -> None:
    x = numbers(1, 2, 9, 7)
    x[0, 0, 0, 0], x[0, 0, 4, 4] = torch.nan, torch.inf
    agree("avg_pool2d", x, (3, 3), (2, 2), (1, 1))


def test_layout_changes_nothing() -> None:
    x = numbers(2, 3, 9, 7, sizes=9)
    last = x.contiguous(memory_format=torch.channels_last)
    same(portable("avg_pool2d", last, (3, 3), (2, 2), (1, 1)), portable("avg_pool2d", x, (3, 3), (2, 2), (1, 1)))
    same(portable("avg_pool2d", x[1:], (3, 3)), portable("avg_pool2d", x, (3, 3))[1:])


def results() -> dict[str, Tensor]:
    """What must be the same under every setting."""
    x = numbers(8, 6, 40, 30, sizes=9)
    window = ((3, 3), (2, 2), (1, 1))
    found = {"average": portable("avg_pool2d", x, *window)}
    grad = numbers(*found["average"].shape, seed=1, sizes=9)
    found["average gradient"] = portable("avg_pool2d_backward", grad, x, *window, False, True, None)
    _, indices = torch.ops.aten.max_pool2d_with_indices(x, *window)
    found["maximum gradient"] = portable("max_pool2d_with_indices_backward", grad, x, *window, (1, 1), False, indices)
    _, indices = torch.ops.aten.adaptive_max_pool2d(x, (7, 7))
    found["adaptive gradient"] = portable("adaptive_max_pool2d_backward", grad[..., :7, :7], x, indices)
    return found | {
        "blocks": portable("col2im", numbers(2, 54, 100, sizes=9), (10, 10), (3, 3), (1, 1), (1, 1), (1, 1))
    }


@pytest.mark.parametrize("ndim", [2, 3])
def test_of_several_that_are_unpooled_to_one_place_the_last_stays(ndim: int) -> None:
    pool, unpool = getattr(torch.nn.functional, f"max_pool{ndim}d"), getattr(torch.nn.functional, f"max_unpool{ndim}d")
    x = torch.randn(2, 3, *[6] * ndim, generator=torch.Generator().manual_seed(5))
    with PortableMode():
        values, indices = pool(x, 3, 1, return_indices=True)
        other = torch.arange(values.numel(), dtype=torch.float32).view(values.shape)
        found, one = unpool(other, indices, 3, 1), unpool(other[0], indices[0], 3, 1)
    planes, places, numbers = torch.zeros(6, 6**ndim), indices.flatten(2).flatten(0, 1), other.view(6, -1)
    for plane, place, value in zip(planes, places, numbers, strict=True):
        for each, number in zip(place.tolist(), value.tolist(), strict=True):
            plane[each] = number
    assert torch.equal(found, planes.view(x.shape))
    assert torch.equal(one, found[0])
