"""Activation functions and their derivatives: accuracy, special values, and the same bits everywhere."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seedbed.portable import PortableMode
from seedbed.portable.table import OPERATIONS
from tests.portable_runs import split_by_settings

FLOATS = [torch.float32, torch.float64]

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "celu": lambda x: functional.celu(x, 1.5),
    "elu": functional.elu,
    "elu with alpha": lambda x: functional.elu(x, 0.7),
    "gelu": functional.gelu,
    "gelu by tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "hardshrink": functional.hardshrink,
    "hardsigmoid": functional.hardsigmoid,
    "hardswish": functional.hardswish,
    "leaky_relu": functional.leaky_relu,
    "logsigmoid": functional.logsigmoid,
    "mish": functional.mish,
    "prelu": lambda x: functional.prelu(x, torch.full((1,), 0.25, dtype=x.dtype)),
    "rrelu": functional.rrelu,
    "selu": functional.selu,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "softplus with beta": lambda x: functional.softplus(x, 2.5, 10),
    "softshrink": functional.softshrink,
    "softsign": functional.softsign,
    "tanh": torch.tanh,
    "tanhshrink": functional.tanhshrink,
}

SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 3.0, -3.0, 0.5, -0.5, 20.0, 20.5, 8.1, 45.0, -45.0, 1e10, -1e10]


def spread(low: float, high: float, count: int) -> Tensor:
    fractions = ((torch.arange(count) * 2654435761 % (1 << 32)) * 2 + 1).to(torch.float64) / 2.0**33
    return fractions * (high - low) + low


def both(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Give the function and its derivative."""
    leaf = x.detach().clone().requires_grad_()
    result = function(leaf)
    (derivative,) = torch.autograd.grad(result, leaf, torch.full_like(result, 1.25))
    return result.detach(), derivative


def portable(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    with PortableMode():
        return both(function, x)


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"hardsigmoid"}))
def test_float32_is_as_accurate_as_pytorch_or_more(name: str) -> None:
    x = spread(-9, 9, 30000).to(torch.float32)
    exact = both(FUNCTIONS[name], x.to(torch.float64))
    for ours, theirs, right in zip(portable(FUNCTIONS[name], x), both(FUNCTIONS[name], x), exact, strict=True):
        largest = (ours - right).abs().max()
        assert largest <= max((theirs - right).abs().max(), right.abs().max() * 2.0**-24)
        assert (ours - right).abs().mean() <= (theirs - right).abs().mean() * 1.01 + 1e-12


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"hardsigmoid"}))
def test_float64_is_pytorchs_to_a_few_units(name: str) -> None:
    x = spread(-9, 9, 3000)
    for ours, theirs in zip(portable(FUNCTIONS[name], x), both(FUNCTIONS[name], x), strict=True):
        assert (ours - theirs).abs().max() <= theirs.abs().max() * 2.0**-47  # PyTorch's derivative of GELU cancels


def test_a_wrong_derivative_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = OPERATIONS["silu_backward"].run
    assert wrong is not None
    x = spread(-9, 9, 100)
    assert not torch.allclose(wrong(torch.ones_like(x), x + 1e-3), both(torch.nn.functional.silu, x)[1] / 1.25, 1e-6)


def test_the_derivative_of_hardsigmoid_is_a_sixth() -> None:
    """PyTorch's float64 kernel multiplies by a sixth that was rounded to float32, so that it is no measure."""
    x = torch.tensor([-3.5, -1.0, 2.5, 4.0])
    for dtype in FLOATS:
        _, derivative = portable(functional.hardsigmoid, x.to(dtype))
        assert torch.equal(derivative, torch.tensor([0.0, 1.25 / 6, 1.25 / 6, 0.0], dtype=torch.float64).to(dtype))


# Where PyTorch's own kernels disagree with each other: what they give depends on the number of elements.
KNOWN = {
    *((name, math.nan) for name in ("celu", "elu", "elu with alpha", "selu")),
    ("gelu", math.inf),
    ("gelu", -math.inf),
    ("gelu by tanh", math.inf),
    ("gelu by tanh", -math.inf),
    ("hardswish", math.nan),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_special_values_are_pytorchs(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor([value for value in SPECIAL if not _known(name, value)], dtype=dtype)
    for ours, theirs in zip(portable(FUNCTIONS[name], x), both(FUNCTIONS[name], x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6, equal_nan=True)


def _known(name: str, value: float) -> bool:
    return any(
        name == each and (value == other or math.isnan(value) is math.isnan(other) is True) for each, other in KNOWN
    )


def test_gelu_keeps_digits_where_pytorchs_has_none() -> None:
    x = torch.tensor([-6.5, -9.0])
    exact = x.double() * 0.5 * torch.erfc(-x.double() * math.sqrt(0.5))
    with PortableMode():
        ours = functional.gelu(x)
    torch.testing.assert_close(ours.double(), exact, rtol=1e-6, atol=0)
    assert not torch.allclose(functional.gelu(x).double(), exact, rtol=0.1, atol=0)


def test_gelu_refuses_another_approximation() -> None:
    run = OPERATIONS["gelu"].run
    assert run is not None
    with pytest.raises(RuntimeError, match="approximate='none of them' is neither"):
        run(torch.ones(1), approximate="none of them")


def test_celu_refuses_to_divide_by_zero() -> None:
    with PortableMode(), pytest.raises(RuntimeError, match="alpha cannot be 0"):
        torch.celu(torch.ones(1), 0.0)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_layouts_give_the_same(name: str) -> None:
    x = spread(-9, 9, 600).to(torch.float32).reshape(20, 30)
    whole = portable(FUNCTIONS[name], x)
    layouts: list[Callable[[Tensor], Tensor]] = [
        lambda t: t.t(),
        lambda t: t[:, ::3],
        lambda t: t[:0],
        lambda t: t[3, 3],
    ]
    for layout in layouts:
        for ours, part in zip(portable(FUNCTIONS[name], layout(x)), whole, strict=True):
            assert torch.equal(ours, layout(part))


def everything() -> dict[str, Tensor]:
    found: dict[str, Any] = {}
    for name, function in FUNCTIONS.items():
        for dtype in (*FLOATS, torch.bfloat16):
            x = spread(-9, 9, 5000).to(dtype)
            found[f"{name} {dtype}"], found[f"{name} {dtype} derivative"] = portable(function, x)
    found["plain"] = torch.cat(both(functional.silu, spread(-9, 9, 5000).to(torch.float32)))
    return found


def test_bits_depend_on_no_instruction_set_and_no_threads_as_plain_pytorchs_do() -> None:
    assert split_by_settings(everything)[1] == {"plain"}
