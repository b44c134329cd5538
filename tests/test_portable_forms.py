"""Functions that C++ evaluates in an order that compilers choose: here in one, on x86 too, where GCC has the other."""

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seedbed.portable import PortableMode, forms

DIFF = torch.diff
"""As a program has it that imported the function before portable mode began."""


def gradient(x: Tensor) -> Tensor:
    center = x[2:] - x[:-2]
    return torch.cat([x[1:2] - x[:1], center / 2, x[-1:] - x[-2:-1]])


def trapezoid(x: Tensor) -> Tensor:
    total = x.sum(0)
    return (total - (x[0] + x[-1]) * 0.5) * 0.3


def poisson(x: Tensor) -> Tensor:
    loss = OTHER.exp() - x * OTHER
    stirling = x * x.log() - x + 0.5 * torch.log(2 * math.pi * x)
    return loss + stirling.masked_fill(x <= 1, 0)


def sinc(x: Tensor) -> Tensor:
    angle = math.pi * x
    return angle.sin() / angle


def slope(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The derivative; a gradient of it is a second one."""
    found: Tensor = torch.func.grad(lambda x: function(x).sum())(x)
    return found


OTHER = torch.rand(40, 50, generator=torch.Generator().manual_seed(1))
IN_ORDER: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "diff": (lambda x: DIFF(x, dim=0), lambda x: x[1:] - x[:-1]),
    "method": (lambda x: x.diff(dim=0), lambda x: x[1:] - x[:-1]),
    "gradient": (lambda x: torch.gradient(x, dim=0)[0], gradient),
    "trapezoid": (lambda x: torch.trapezoid(x, dx=0.3, dim=0), trapezoid),
    "trapz": (lambda x: torch.trapz(x, dx=0.3, dim=0), trapezoid),
    "kl_div": (lambda x: functional.kl_div(OTHER, x, reduction="none"), lambda x: torch.xlogy(x, x) - x * OTHER),
    "kl_div of logarithms": (
        lambda x: functional.kl_div(OTHER, x, reduction="none", log_target=True),
        lambda x: x.exp() * (x - OTHER),
    ),
    "poisson_nll_loss": (lambda x: functional.poisson_nll_loss(OTHER, x, full=True, reduction="none"), poisson),
    "sinc": (lambda x: slope(torch.sinc, x), lambda x: slope(sinc, x)),
    "sinc in place": (lambda x: slope(lambda x: (x * 1).sinc_(), x), lambda x: slope(lambda x: sinc(x * 1), x)),
}
"""A function, and Python's order of its parts: from left to right."""


def derived(function: Callable[[Tensor], Tensor], *, by_vmap: bool = False) -> Tensor:
    """The gradient of a tensor that is used elsewhere, too, so that the order of two more terms decides its bits."""
    draw = torch.Generator().manual_seed(2)
    x = (3 * torch.rand(40, 50, generator=draw)).requires_grad_()
    weights = torch.randn(function(x).shape, generator=draw)
    others = torch.randn(40, 50, generator=draw)

    def loss(x: Tensor) -> Tensor:
        return (function(x) * weights).sum() + (x * others).sum()

    (gradient,) = torch.autograd.grad(torch.func.vmap(loss)(x[None])[0] if by_vmap else loss(x), x)
    return gradient


@pytest.mark.parametrize("name", IN_ORDER)
def test_gradients_are_added_up_in_one_order(name: str) -> None:
    """Without the forms, each of these fails on x86; on AArch64 none does."""
    function, in_order = IN_ORDER[name]
    with PortableMode():
        assert torch.equal(derived(function), derived(in_order))


@pytest.mark.parametrize("name", IN_ORDER)
def test_gradients_through_vmap_are_added_up_in_one_order(name: str) -> None:
    """It takes these functions apart itself, before autograd sees them."""
    function, in_order = IN_ORDER[name]
    with PortableMode():
        assert torch.equal(derived(function, by_vmap=True), derived(in_order, by_vmap=True))


X = torch.randn(5, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
UNEVEN = [torch.tensor([0.0, 1, 3, 4, 9], dtype=torch.float64), torch.arange(6.0, dtype=torch.float64) ** 2]
CALLS: dict[str, Callable[[Tensor], Any]] = {
    "diff": lambda x: x.diff(),
    "diff of a higher order": lambda x: torch.diff(x, n=3, dim=0),
    "diff of a higher order than there are": lambda x: torch.diff(x, n=9),
    "diff of order 0": lambda x: torch.diff(x, n=0),
    "diff with more": lambda x: torch.diff(x, prepend=x[:, :1], append=x[:, :2]),
    "diff of truths": lambda x: torch.diff(x > 0),
    "gradient": torch.gradient,
    "gradient along one": lambda x: torch.gradient(x, spacing=0.5, dim=-1),
    "gradient along some": lambda x: torch.gradient(x, dim=[1, 0]),
    "gradient along some, spaced": lambda x: torch.gradient(x, spacing=0.5, dim=[1, 0], edge_order=2),
    "gradient, spaced": lambda x: torch.gradient(x, spacing=[0.5, 3], edge_order=2),
    "gradient along one, spaced": lambda x: torch.gradient(x, spacing=[3.0], dim=[0]),
    "gradient, unevenly spaced": lambda x: torch.gradient(x, spacing=UNEVEN),
    "gradient, unevenly spaced, edges": lambda x: torch.gradient(x, spacing=UNEVEN[1:], dim=[-1], edge_order=2),
    "gradient of integers": lambda x: torch.gradient((9 * x).long(), edge_order=2),
    "trapezoid": lambda x: torch.trapezoid(x),
    "trapezoid of coordinates": lambda x: torch.trapezoid(x, UNEVEN[1]),
    "trapezoid of nothing": lambda x: torch.trapezoid(x[:0], dim=0),
    "trapz": lambda x: torch.trapz(x, dx=0.1, dim=0),
    "kl_div": lambda x: functional.kl_div(x, x.abs(), reduction="batchmean"),
    "poisson_nll_loss": lambda x: functional.poisson_nll_loss(x, x.abs(), log_input=False, full=True, reduction="sum"),
    "poisson_nll_loss, mean": lambda x: functional.poisson_nll_loss(x, x.abs()),
    "sinc": torch.sinc,
    "sinc of halves": lambda x: torch.sinc(x.bfloat16()),
    "sinc of integers": lambda x: torch.special.sinc(x.long()),
    "sinc in place": lambda x: x.clone().sinc_(),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_they_give_is_what_pytorch_gives(name: str) -> None:
    outside = CALLS[name](X)
    with PortableMode():
        inside = CALLS[name](X)
    torch.testing.assert_close(inside, outside, equal_nan=True)
    torch.testing.assert_close(CALLS[name](X), outside, rtol=0, atol=0, equal_nan=True)


REFUSED: dict[str, Callable[[Tensor], Any]] = {
    "at least one-dimensional": lambda x: torch.diff(x[0, 0]),
    "order must be non-negative": lambda x: torch.diff(x, n=-1),
    "only supports edge_order": lambda x: torch.gradient(x, edge_order=3),
    "a list of length": lambda x: torch.gradient(x, spacing=[1.0, 2.0, 3.0]),
    "to be at least edge_order": lambda x: torch.gradient(x[:1]),
    "to have one dimension": lambda x: torch.gradient(x, spacing=[x, x]),
    "Dimension out of range": lambda x: torch.diff(x, dim=2),
    "out of range .expected": lambda x: torch.trapezoid(x, dim=-3),
    "only support dx as a real number": lambda x: torch.trapezoid(x, dx=True),
    "Integral inputs not supported": lambda x: torch.kl_div(x, x.long()),
    "cast": lambda x: x.long().sinc_(),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_pytorch_refuses_is_refused_in_its_words(what: str) -> None:
    with PortableMode(), pytest.raises((RuntimeError, IndexError), match=what):
        REFUSED[what](X)


@pytest.mark.parametrize("name", [name for name in CALLS if "sinc" in name])
def test_what_autograd_does_not_see_has_the_same_bits(name: str) -> None:
    """In inference mode the dispatch mode takes them apart."""
    with PortableMode():
        found = CALLS[name](X)
        with torch.inference_mode():
            assert torch.equal(CALLS[name](X.clone()), found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sinc_has_its_derivatives_near_zero(dtype: torch.dtype) -> None:
    """Where PyTorch's own second derivative is anything, and NaN at 0."""
    x = torch.tensor([0.0, 1e-40, -1e-20, 1e-10], dtype=dtype, requires_grad=True)
    with PortableMode():
        first = slope(torch.sinc, x)
        second = slope(lambda x: slope(torch.sinc, x), x)
    torch.testing.assert_close(first, x * (-(math.pi**2) / 3))
    torch.testing.assert_close(second, torch.full_like(x, -(math.pi**2) / 3))


def test_outside_portable_mode_sinc_is_pytorchs() -> None:
    """Also while another thread is inside; near 0 its derivative is 0."""
    x = torch.tensor([1e-6], requires_grad=True)
    inside, done = threading.Event(), threading.Event()

    def other() -> None:
        with PortableMode():
            inside.set()
            done.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(60)
    assert forms.sinc.on
    meanwhile = slope(torch.sinc, x)
    done.set()
    thread.join()
    assert not forms.sinc.on
    assert meanwhile.item() == slope(torch.sinc, x).item() == 0
    with PortableMode():
        assert slope(torch.sinc, x).item() < 0
