"""Layer, group, batch, root mean square and weight norm, forward and backward."""

from typing import Any

import pytest
import torch
from torch import Tensor

from seedbed.portable import PortableMode
from seedbed.portable.sums.tree import BLOCK
from tests.portable_native import WIDE, agree, errors, native, numbers, portable, same

SHAPES = ((4, 6), (4, 6, 5), (2, 6, 3, 4), (2, 3, 2, 2, 2), (40, 300), (3, 2, 300, 200))


def shifted(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Numbers that are not about 0."""
    return numbers(*shape, dtype=dtype, seed=seed) * 2 + 3


def parameters(*shape: int, dtype: torch.dtype = torch.float32) -> list[tuple[Tensor | None, Tensor | None]]:
    """A weight and a bias, and none of either."""
    return [(numbers(*shape, dtype=dtype, seed=1), numbers(*shape, dtype=dtype, seed=2)), (None, None)]


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize(
    ("shape", "count"), [((6, 10), 1), ((2, 3, 4, 5), 2), ((3, 5000), 1), ((5,), 1), ((300, 1000), 1)]
)
def test_layer_norm_is_pytorchs_own(dtype: torch.dtype, shape: tuple[int, ...], count: int) -> None:
    x, normalized = shifted(*shape, dtype=dtype), list(shape[len(shape) - count :])
    for weight, bias in parameters(*normalized, dtype=dtype):
        _, mean, rstd = agree("native_layer_norm", x, normalized, weight, bias, 1e-5)
        given = (numbers(*shape, dtype=dtype, seed=3), x, normalized, mean, rstd, weight, bias)
        for mask in ([True, weight is not None, bias is not None], [True, False, False]):
            found = portable("native_layer_norm_backward", *given, mask)
            wanted = native("native_layer_norm_backward", *given, mask)
            assert [each is not None for each in found] == mask
            for actual, expected in zip(found, wanted, strict=True):
                if actual is not None:
                    torch.testing.assert_close(actual, expected, rtol=2e-4, atol=2e-4)


def test_layer_norm_of_nothing() -> None:
    agree("native_layer_norm", torch.empty(0, 4), [4], None, None, 1e-5)
    found = portable(
        "native_layer_norm_backward",
        *[torch.empty(0, 4)] * 2,
        [4],
        *[torch.empty(0, 1)] * 2,
        torch.ones(4),
        None,
        [True, True, False],
    )
    assert found[1].tolist() == [0.0] * 4


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_is_pytorchs_own(dtype: torch.dtype, shape: tuple[int, ...], training: bool) -> None:
    x, channels = shifted(*shape, dtype=dtype), shape[1]
    for weight, bias in parameters(channels, dtype=dtype):
        running = [numbers(channels, dtype=dtype, seed=4), numbers(channels, dtype=dtype, seed=5).abs() + 0.5]
        moved, expected = [each.clone() for each in running], [each.clone() for each in running]
        found = portable("native_batch_norm", x, weight, bias, *moved, training, 0.1, 1e-5)
        wanted = native("native_batch_norm", x, weight, bias, *expected, training, 0.1, 1e-5)
        for actual, other in zip((*found, *moved), (*wanted, *expected), strict=True):
            torch.testing.assert_close(actual, other, rtol=1e-5, atol=1e-5)
        same(moved[0], running[0]) if not training else None
        given = (numbers(*shape, dtype=dtype, seed=3), x, weight, *running, *wanted[1:], training, 1e-5)
        agree("native_batch_norm_backward", *given, [True, weight is not None, weight is not None], tolerance=3e-3)


def test_batch_norms_other_names() -> None:
    x, (mean, var) = shifted(4, 6, 5), (numbers(6), numbers(6).abs() + 0.5)
    for weight, bias in parameters(6):
        agree("native_batch_norm", x, weight, bias, None, None, True, 0.1, 1e-5)
        agree("_native_batch_norm_legit_no_training", x, weight, bias, mean, var, 0.1, 1e-5)
        agree("_native_batch_norm_legit", x, weight, bias, True, 0.1, 1e-5)
        agree("_native_batch_norm_legit_functional", x, weight, bias, mean, var, True, 0.1, 1e-5)
    same(portable("_batch_norm_with_update", x, None, None, mean.clone(), var.clone(), 0.1, 1e-5)[0],
         portable("native_batch_norm", x, None, None, None, None, True, 0.1, 1e-5)[0])  # fmt: skip
    same(portable("_batch_norm_no_update", x, None, None, mean, var, 0.1, 1e-5)[0],
         portable("native_batch_norm", x, None, None, mean, var, False, 0.1, 1e-5)[0])  # fmt: skip


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("group", [1, 2, 6])
@pytest.mark.parametrize("shape", [(4, 6, 5), (2, 6, 3, 4)])
def test_group_norm_is_pytorchs_own(dtype: torch.dtype, group: int, shape: tuple[int, ...]) -> None:
    x = shifted(*shape, dtype=dtype)
    sizes = (shape[0], 6, x.numel() // shape[0] // 6)
    for weight, bias in parameters(6, dtype=dtype):
        _, mean, rstd = agree("native_group_norm", x, weight, bias, *sizes, group, 1e-5)
        given = (numbers(*shape, dtype=dtype, seed=3), x, mean, rstd, weight, *sizes, group)
        agree("native_group_norm_backward", *given, [True, weight is not None, weight is not None], tolerance=2e-4)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("dim", [0, 2])
def test_weight_norm_is_pytorchs_own(dtype: torch.dtype, dim: int) -> None:
    v, g = numbers(4, 3, 2, dtype=dtype), numbers(*((4, 1, 1) if dim == 0 else (1, 1, 2)), dtype=dtype, seed=1)
    _, norms = agree("_weight_norm_interface", v, g, dim)
    agree("_weight_norm_interface_backward", numbers(4, 3, 2, dtype=dtype, seed=2), v, g, norms, dim)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_gpus_one_kernel_for_rms_norm_does_what_a_cpu_does_in_steps(weighted: bool) -> None:
    """Bit by bit: on a CPU, PyTorch makes it of other operations, forward and backward."""
    x, grad = shifted(30, 7, 50), numbers(30, 7, 50, seed=1)
    weight = numbers(50, seed=2) if weighted else None
    leaves = [each.clone().requires_grad_() for each in (x, weight) if each is not None]
    with PortableMode():
        output = torch.nn.functional.rms_norm(leaves[0], (50,), leaves[1] if weighted else None)
        gradients = torch.autograd.grad(output, leaves, grad)
    fused, rstd = portable("_fused_rms_norm", x, [50], weight, None)
    same(output.detach(), fused)
    found = portable("_fused_rms_norm_backward", grad, x, [50], rstd, weight, [True, weighted])
    for actual, expected in zip(found, gradients, strict=False):
        same(actual, expected)


def test_layer_norm_is_more_accurate_than_native() -> None:
    x, (weight, bias) = shifted(300, 1000), parameters(1000)[0]
    given: list[Any] = [x, [1000], weight, bias, 1e-5]
    exact = native("native_layer_norm", *(each.double() if isinstance(each, Tensor) else each for each in given))[0]
    found, theirs = (errors(run("native_layer_norm", *given)[0], exact) for run in (portable, native))
    assert found[0] <= theirs[0]
    assert found[1] <= theirs[1]


def test_a_root_of_zero_and_one_of_more_than_float32_has() -> None:
    x = torch.stack([torch.full((100,), 3.0), numbers(100) * 1e30, numbers(100)])
    result, _, rstd = portable("native_layer_norm", x, [100], None, None, 0.0)
    assert rstd[:2].flatten().tolist() == [torch.inf, 0.0]
    assert result[0].isnan().all()
    assert (result[1] == 0).all()
    same(result[2:], portable("native_layer_norm", x[2:], [100], None, None, 0.0)[0])


def test_a_large_mean_costs_no_accuracy() -> None:
    x = numbers(64, 8, 100) + 4096.0
    wide = [each.to(torch.float64) for each in (x, torch.ones(8), torch.zeros(8))]
    exact = native("native_batch_norm", *wide, None, None, True, 0.1, 1e-5)[0]
    found = portable("native_batch_norm", x, torch.ones(8), torch.zeros(8), None, None, True, 0.1, 1e-5)[0]
    torch.testing.assert_close(found.to(torch.float64), exact, rtol=1e-6, atol=1e-6)


def test_layout_and_other_rows_change_nothing() -> None:
    x = shifted(2 * BLOCK // 1000 + 3, 1000)
    whole = portable("native_layer_norm", x, [1000], None, None, 1e-5)[0]
    same(portable("native_layer_norm", x[300:302], [1000], None, None, 1e-5)[0], whole[300:302])
    image = shifted(4, 6, 9, 7)
    last = image.contiguous(memory_format=torch.channels_last)
    for name, tail in (
        ("native_batch_norm", (None, None, None, None, True, 0.1, 1e-5)),
        ("native_group_norm", (None, None, 4, 6, 63, 3, 1e-5)),
    ):
        for one, other in zip(portable(name, image, *tail), portable(name, last, *tail), strict=True):
            same(one, other)


def results() -> dict[str, Tensor]:
    """What must be the same under every setting, and what PyTorch makes of it."""
    found = {f"{name} {dtype}": each for dtype in WIDE for name, each in _results(dtype).items()}
    return found | {"native": native("native_layer_norm", shifted(300, 1000), [1000], None, None, 1e-5)[0]}


def _results(dtype: torch.dtype) -> dict[str, Tensor]:
    x, grad, (weight, bias) = (
        shifted(300, 1000, dtype=dtype),
        numbers(300, 1000, dtype=dtype, seed=3),
        parameters(1000, dtype=dtype)[0],
    )
    output, mean, rstd = portable("native_layer_norm", x, [1000], weight, bias, 1e-5)
    found = {"layer": output, "mean": mean, "rstd": rstd}
    gradients = portable("native_layer_norm_backward", grad, x, [1000], mean, rstd, weight, bias, [True] * 3)
    found |= {f"layer gradient {number}": each for number, each in enumerate(gradients)}
    image, upper = shifted(80, 6, 30, 20, dtype=dtype), numbers(80, 6, 30, 20, dtype=dtype, seed=4)
    output, *kept = portable("native_batch_norm", image, None, None, None, None, True, 0.1, 1e-5)
    given = (upper, image, None, None, None, *kept, True, 1e-5, [True] * 3)
    gradients = portable("native_batch_norm_backward", *given)
    found |= {"batch": output} | {f"batch gradient {number}": each for number, each in enumerate(gradients)}
    output, mean, rstd = portable("native_group_norm", image, None, None, 80, 6, 600, 2, 1e-5)
    gradients = portable("native_group_norm_backward", upper, image, mean, rstd, None, 80, 6, 600, 2, [True] * 3)
    return found | {"group": output} | {f"group gradient {number}": each for number, each in enumerate(gradients)}
