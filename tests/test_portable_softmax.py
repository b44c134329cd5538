"""Softmax, its logarithm and their gradients: PyTorch's values, better accuracy, the same bits everywhere."""

import pytest
import torch
from torch import Tensor

from seedbed.portable import PortableMode
from tests.portable_native import SPECIAL, WIDE, agree, errors, native, numbers, portable, same

FORWARD = ("_softmax", "_log_softmax")


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_forward_and_backward_are_pytorchs_own(dtype: torch.dtype, dim: int) -> None:
    x, grad = numbers(3, 40, 5, dtype=dtype, sizes=2), numbers(3, 40, 5, dtype=dtype, seed=1)
    for name in FORWARD:
        output = agree(name, x, dim, False)
        agree(f"{name}_backward_data", grad, output, dim, dtype)
    agree("_safe_softmax", x, dim)
    agree("logsumexp", x, [dim], True)
    agree("logsumexp", x, [0, 1])


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("values", SPECIAL)
def test_infinities_and_nan(dtype: torch.dtype, values: list[float]) -> None:
    x = torch.tensor([values, [0.5, 2.0]], dtype=dtype)
    for name in (*FORWARD, "_safe_softmax"):
        agree(name, x, 1, *([False] if name in FORWARD else []))
    agree("logsumexp", x, [1])


@pytest.mark.parametrize("dtype", WIDE)
def test_tensors_without_dimensions_and_without_elements(dtype: torch.dtype) -> None:
    for name in FORWARD:
        agree(name, torch.tensor(2.5, dtype=dtype), 0, False)
        agree(name, torch.empty(0, 3, dtype=dtype), 0, False)
        agree(name, torch.empty(0, 3, dtype=dtype), 1, False)
    agree("logsumexp", torch.tensor(2.5, dtype=dtype), [0])
    agree("logsumexp", torch.empty(0, 3, dtype=dtype), [0])


def test_a_row_that_is_masked_out_is_zero_only_where_it_is_asked_for() -> None:
    x = torch.full((2, 3), -torch.inf)
    assert portable("_softmax", x, 1, False).isnan().all()
    assert (portable("_safe_softmax", x, 1) == 0).all()


@pytest.mark.parametrize("name", FORWARD)
def test_it_is_more_accurate_than_native(name: str) -> None:
    x = numbers(500, 300, sizes=3)
    exact = native(name, x.to(torch.float64), 1, False)
    largest, mean = errors(portable(name, x, 1, False), exact)
    native_largest, native_mean = errors(native(name, x, 1, False), exact)
    assert largest <= native_largest
    assert mean <= native_mean


@pytest.mark.parametrize("name", FORWARD)
def test_the_gradient_is_no_less_accurate_than_native(name: str) -> None:
    output, grad = native(name, numbers(500, 300, sizes=3), 1, False), numbers(500, 300, seed=1)
    wide = (grad.to(torch.float64), output.to(torch.float64), 1, torch.float64)
    exact = native(f"{name}_backward_data", *wide)
    found = (run(f"{name}_backward_data", grad, output, 1, torch.float32) for run in (portable, native))
    mine, theirs = ((each - exact).abs().mean() for each in found)
    assert mine <= theirs


def test_layout_and_other_rows_change_nothing() -> None:
    x = numbers(700, 1000, sizes=3)
    whole = portable("_softmax", x, 1, False)
    same(portable("_softmax", x[3:5], 1, False), whole[3:5])
    same(portable("_softmax", x.T.contiguous(), 0, False).T.contiguous(), whole)
    same(portable("_softmax", x.T.contiguous().T, 1, False), whole)


def results() -> dict[str, Tensor]:
    """What must be the same under every setting, and what PyTorch makes of it."""
    x, grad = numbers(300, 1000, sizes=3), numbers(300, 1000, seed=1)
    found = {}
    for name in FORWARD:
        for dtype in WIDE:
            found[f"{name} {dtype}"] = output = portable(name, x.to(dtype), 1, False)
            found[f"{name} {dtype} gradient"] = portable(f"{name}_backward_data", grad.to(dtype), output, 1, dtype)
    return found | {"logsumexp": portable("logsumexp", x, [1]), "native": x.softmax(1)}


@pytest.mark.parametrize("name", ["_softmax", "_log_softmax"])
def test_a_gpus_softmax_of_float16_into_float32_is_that_of_float32(name: str) -> None:
    forward, backward = getattr(torch.ops.aten, name), getattr(torch.ops.aten, f"{name}_backward_data")
    x, grad = torch.randn(2, 4, 50, generator=torch.Generator().manual_seed(3))
    x = x.half()
    with PortableMode():
        found, expected = forward(x, 1, True), forward(x.float(), 1, False)
        back = backward(grad, found, 1, torch.float16), backward(grad, expected, 1, torch.float32).half()
    assert torch.equal(found, expected)
    assert torch.equal(*back)
    assert back[0].dtype == torch.float16
