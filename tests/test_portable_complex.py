"""Complex numbers in portable mode: PyTorch's values, and bits that depend on no fused multiply-add."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seedbed.errors import NotPortableError
from seedbed.portable import PortableMode
from tests.portable_native import numbers

TYPES = (torch.complex64, torch.complex128)


def complex_numbers(*shape: int, dtype: torch.dtype = torch.complex64, seed: int = 0) -> Tensor:
    return torch.view_as_complex(numbers(*shape, 2, dtype=torch.float64, seed=seed)).to(dtype)


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mul": lambda z, w: z * w,
    "mul by real numbers": lambda z, w: z * w.real,
    "mul by a number": lambda z, w: (2 - 1j) * z * 3.0 * w,
    "mul in place": lambda z, w: z.clone().mul_(w),
    "add": lambda z, w: torch.add(z, w, alpha=2) + 1,
    "add in place": lambda z, w: z.clone().add_(w),
    "sub": lambda z, w: 1 - (z - w),
    "div": lambda z, w: z / w,
    "div by real numbers": lambda z, w: z / w.real,
    "div by a number": lambda z, w: z / 3 + 1 / w,
    "addcmul": lambda z, w: torch.addcmul(z, z, w, value=0.5),
    "addcdiv": lambda z, w: torch.addcdiv(z, z, w, value=0.5),
    "reciprocal": lambda z, w: (z * w).reciprocal(),
    "pow": lambda z, w: z**5 + w**-2 + z**0,
    "abs": lambda z, w: z.abs() + w.norm(),
    "angle": lambda z, w: z.angle() + w.real.angle(),
    "sgn": lambda z, w: z.sgn() + w,
    "exp": lambda z, w: z.exp() + w,
    "log": lambda z, w: z.log() + w,
    "mm": lambda z, w: z @ w.mT,
    "mm of the conjugate": lambda z, w: z.conj() @ w.mT + z @ w.mH,
    "bmm": lambda z, w: z.unsqueeze(0) @ w.mT.unsqueeze(0),
    "mv": lambda z, w: z @ w[0],
    "addmm": lambda z, w: torch.addmm(z[:, :1], z, w.mT, beta=2, alpha=0.5),
    "dot": lambda z, w: torch.dot(z[0], w[0]) + torch.vdot(z[0], w[0]),
    "sum": lambda z, w: z.sum(0) + w.mean(0) + z.cumsum(0)[0],
    "index_add": lambda z, w: z.index_add(0, torch.tensor([1, 1]), w[:2]),
    "index_put": lambda z, w: z.index_put((torch.tensor([1, 1]),), w[:2], accumulate=True),
    "polar": lambda z, w: torch.polar(z.abs(), w.real),
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_it_is_pytorchs(name: str, dtype: torch.dtype) -> None:
    z, w = (complex_numbers(4, 7, dtype=dtype, seed=seed) for seed in range(2))
    with PortableMode():
        found = OPERATIONS[name](z, w)
    torch.testing.assert_close(found, OPERATIONS[name](z, w))


@pytest.mark.parametrize("name", ["mul", "div", "pow", "abs", "sgn", "exp", "log", "mm", "sum", "index_put"])
def test_gradients_are_pytorchs(name: str) -> None:
    z, w = (complex_numbers(4, 7, dtype=torch.complex128, seed=seed).requires_grad_() for seed in range(2))

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(torch.view_as_real(OPERATIONS[name](z, w) + 0j).pow(2).sum(), [z, w])

    with PortableMode():
        found = gradients()
    torch.testing.assert_close(found, gradients())


@pytest.mark.parametrize("name", ["add", "sub", "rsub", "mul", "div"])
@pytest.mark.parametrize("given", [torch.float32, torch.float64, torch.int64])
def test_real_numbers_and_a_complex_number_are_pytorchs(name: str, given: torch.dtype) -> None:
    x, function = torch.tensor([1, -2, 3], dtype=given), getattr(torch, name)
    with PortableMode():
        found = function(x, 2 - 1j)
        squared = torch.pow(x, 2 + 0j)
    torch.testing.assert_close(found, function(x, 2 - 1j))
    torch.testing.assert_close(squared, torch.pow(x, 2 + 0j))


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_a_quotient_neither_overflows_nor_underflows(factor: float) -> None:
    z = complex_numbers(5, dtype=torch.complex128)
    with PortableMode():
        torch.testing.assert_close((z * factor) / (z * factor), torch.ones_like(z))


def test_random_complex_numbers_have_half_the_variance_in_each_part() -> None:
    with PortableMode():
        drawn = torch.randn(20000, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
        assert torch.rand(3, dtype=torch.complex64).imag.min() >= 0
    for part in (drawn.real, drawn.imag):
        assert abs(float(part.var()) - 0.5) < 0.02


def test_allclose_is_pytorchs() -> None:
    z = complex_numbers(3)
    with PortableMode():
        assert torch.allclose(z, z * (1 + 1e-6))
        assert not torch.allclose(z, z * (1 + 1e-4))
        assert not torch.allclose(z * torch.nan, z * torch.nan)
        assert torch.allclose(z * torch.nan, z * torch.nan, equal_nan=True)


def test_what_has_no_form_for_complex_numbers_is_refused() -> None:
    z = complex_numbers(3)
    with PortableMode():
        with pytest.raises(NotPortableError, match="not for torch.complex64"):
            z.tanh()
        with pytest.raises(NotPortableError, match="integers up to 1024 alone"):
            z.pow(0.5)
        with pytest.raises(NotPortableError, match="integers up to 1024 alone"):
            z.pow(float("nan"))
        with pytest.raises(NotPortableError, match="not for torch.complex32"):
            torch.ones(3, dtype=torch.float16) * 1j


def results() -> dict[str, Tensor]:
    given = {dtype: [complex_numbers(33, 37, dtype=dtype, seed=seed) for seed in range(2)] for dtype in TYPES}
    with PortableMode():
        return {
            f"{name} {dtype}": function(*given[dtype]) for name, function in OPERATIONS.items() for dtype in TYPES
        } | {"random": torch.randn(99, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))}
