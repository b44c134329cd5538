"""Upsampling, downsampling, adaptive averages and padding: PyTorch's values, and transposes that are transposes."""

import pytest
import torch
from torch import Tensor

from seedbed.portable import padding as padding
from seedbed.portable import resampling as resampling
from seedbed.portable.taps import apply, transposed
from tests.portable_native import WIDE, agree, numbers, portable, same

CASES = (
    ((2, 3, 7), ([14], [5], [1], [7], [20], [3])),
    ((2, 3, 6, 8), ([12, 16], [5, 3], [1, 1], [6, 8], [13, 7], [3, 20])),
    ((1, 2, 4, 5, 6), ([8, 10, 12], [3, 4, 9])),
)
SMOOTH = (
    ("upsample_linear1d",),
    ("upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
    ("upsample_trilinear3d",),
)


def scales(inputs: tuple[int, ...], outputs: list[int]) -> list[list[float | None]]:
    """None given, those that follow from the sizes, and others, as ``interpolate`` passes them on."""
    ratios: list[float | None] = [out / size for size, out in zip(inputs, outputs, strict=True)]
    plain = all(out not in (size, 2 * size) for size, out in zip(inputs, outputs, strict=True))
    others: list[list[float | None]] = [[1.7] * len(outputs)] if plain else []
    return [[None] * len(outputs), ratios, *others]


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize(("shape", "sizes"), CASES)
def test_the_nearest_is_pytorchs_own(dtype: torch.dtype, shape: tuple[int, ...], sizes: tuple[list[int], ...]) -> None:
    """Where as many or twice as many are asked for with another scale, PyTorch's own kernels disagree: left out."""
    x, ndim = numbers(*shape, dtype=dtype), len(shape) - 2
    for outputs in sizes:
        grad = numbers(*shape[:2], *outputs, dtype=dtype, seed=1)
        for given in scales(shape[2:], outputs):
            for name in (f"upsample_nearest{ndim}d", f"_upsample_nearest_exact{ndim}d"):
                agree(name, x, outputs, *given)
                agree(f"{name}_backward", grad, outputs, list(shape), *given)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize(("shape", "sizes"), CASES)
@pytest.mark.parametrize("align_corners", [False, True])
def test_smooth_ones_are_pytorchs_own(
    dtype: torch.dtype, shape: tuple[int, ...], sizes: tuple[list[int], ...], align_corners: bool
) -> None:
    x, ndim = numbers(*shape, dtype=dtype), len(shape) - 2
    tolerance = 1e-4 if dtype == torch.float32 else 1e-7
    for outputs in sizes:
        grad = numbers(*shape[:2], *outputs, dtype=dtype, seed=1)
        for given in scales(shape[2:], outputs):
            for name in SMOOTH[ndim - 1]:
                agree(name, x, outputs, align_corners, *given, tolerance=tolerance)
                back = (grad, outputs, list(shape), align_corners, *given)
                agree(f"{name}_backward", *back, tolerance=tolerance)


def test_scales_may_be_given_by_name() -> None:
    x = numbers(1, 1, 4, 5)
    same(
        portable("upsample_bilinear2d", x, [6, 8], False, scales_h=1.6, scales_w=1.7),
        portable("upsample_bilinear2d", x, [6, 8], False, 1.6, 1.7),
    )


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize(("shape", "sizes"), CASES[1:])
def test_adaptive_averages_are_pytorchs_own(
    dtype: torch.dtype, shape: tuple[int, ...], sizes: tuple[list[int], ...]
) -> None:
    x, name = numbers(*shape, dtype=dtype), f"_adaptive_avg_pool{len(shape) - 2}d"
    for outputs in sizes:
        grad = numbers(*shape[:2], *outputs, dtype=dtype, seed=1)
        for image, upper in ((x, grad), (x[0], grad[0])):
            agree(name, image, outputs)
            agree(f"{name}_backward", upper, image)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("kind", ["reflection", "replication"])
@pytest.mark.parametrize("padding", [[2, 3], [1, 0], [0, 2], [-1, 2]])
def test_the_gradient_of_padding_is_pytorchs_own(dtype: torch.dtype, kind: str, padding: list[int]) -> None:
    for shape in ((2, 3, 7), (2, 3, 5, 7), (2, 3, 4, 5, 6)):
        ndim = len(shape) - 2
        sides = [*padding, *[1, 2] * (ndim - 1)]
        for x in (numbers(*shape, dtype=dtype), numbers(*shape[1:], dtype=dtype)):
            padded = getattr(torch.ops.aten, f"{kind}_pad{ndim}d")(x, sides)
            agree(f"{kind}_pad{ndim}d_backward", numbers(*padded.shape, dtype=dtype, seed=1), x, sides)


def test_taps_and_their_transpose() -> None:
    taps = (((0, 1.0), (1, 0.5)), ((2, -2.0),), ())
    forward = torch.stack([apply(row, 0, taps) for row in torch.eye(3, dtype=torch.float64)], 1)
    assert forward.tolist() == [[1.0, 0.5, 0.0], [0.0, 0.0, -2.0], [0.0, 0.0, 0.0]]
    back = torch.stack([apply(row, 0, transposed(taps, 3)) for row in torch.eye(3, dtype=torch.float64)], 1)
    assert torch.equal(back, forward.T)


def results() -> dict[str, Tensor]:
    """What must be the same under every setting."""
    x, grad = numbers(4, 6, 20, 30, sizes=9), numbers(4, 6, 33, 41, sizes=9, seed=1)
    found = {}
    for name in SMOOTH[1]:
        found[name] = portable(name, x, [33, 41], False, None, None)
        found[f"{name} gradient"] = portable(f"{name}_backward", grad, [33, 41], list(x.shape), False, None, None)
    found["nearest gradient"] = portable("upsample_nearest2d_backward", grad, [33, 41], list(x.shape), None, None)
    found["adaptive"] = portable("_adaptive_avg_pool2d", x, [7, 7])
    padded = numbers(4, 6, 26, 36, sizes=9, seed=2)
    return found | {"padding gradient": portable("reflection_pad2d_backward", padded, x, [3, 3, 3, 3])}
