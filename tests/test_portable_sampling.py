"""Sampling at the points of a grid: PyTorch's values, forward and backward."""

import itertools

import pytest
import torch
from torch import Tensor

from seedbed.portable import sampling as sampling
from tests.portable_native import WIDE, agree, native, numbers, portable, same

SHAPES = (((2, 3, 5, 7), (4, 6)), ((2, 3, 4, 5, 6), (3, 4, 2)), ((1, 2, 1, 4), (3, 3)))
MODES = tuple(itertools.product((0, 1, 2), (0, 1, 2), (False, True)))


def points(batch: int, *out: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Points inside, and outside on both sides."""
    return numbers(batch, *out, len(out), dtype=dtype, seed=5) * 1.5


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize(("shape", "out"), SHAPES)
@pytest.mark.parametrize(("interpolation", "padding", "align_corners"), MODES)
def test_forward_and_backward_are_pytorchs_own(
    dtype: torch.dtype,
    shape: tuple[int, ...],
    out: tuple[int, ...],
    interpolation: int,
    padding: int,
    align_corners: bool,
) -> None:
    if interpolation == 2 and len(out) == 3:
        return  # PyTorch has none
    name = f"grid_sampler_{len(out)}d"
    given = (numbers(*shape, dtype=dtype), points(shape[0], *out, dtype=dtype), interpolation, padding, align_corners)
    torch.testing.assert_close(sampling.grid_sampler(*given), native(name, *given), rtol=1e-4, atol=1e-4)
    grad = numbers(*shape[:2], *out, dtype=dtype, seed=1)
    for mask in ([True, True], [False, True]):
        agree(f"{name}_backward", grad, *given, mask, tolerance=2e-4)


def test_points_that_are_not_numbers_are_nowhere() -> None:
    grid = torch.full((1, 1, 1, 2), torch.nan)
    assert sampling.grid_sampler(torch.ones(1, 1, 3, 3), grid, 0, 0, False).item() == 0.0


def test_layout_changes_nothing() -> None:
    x, grid = numbers(2, 3, 9, 7, sizes=9), points(2, 4, 5)
    last = x.contiguous(memory_format=torch.channels_last)
    same(sampling.grid_sampler(last, grid, 0, 2, False), sampling.grid_sampler(x, grid, 0, 2, False))


def results() -> dict[str, Tensor]:
    """What must be the same under every setting."""
    x, grid, grad = numbers(2, 3, 30, 20, sizes=9), points(2, 40, 50), numbers(2, 3, 40, 50, seed=1, sizes=9)
    found = {}
    for mode in (0, 2):
        found[f"forward {mode}"] = sampling.grid_sampler(x, grid, mode, 2, False)
        gradients = portable("grid_sampler_2d_backward", grad, x, grid, mode, 2, False, [True, True])
        found |= {f"gradient {mode} {number}": each for number, each in enumerate(gradients)}
    return found
