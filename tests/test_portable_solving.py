"""Cholesky's and the LU decomposition, triangular systems, inverses, determinants, the matrix exponential."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seedbed.portable import PortableMode
from tests.portable_native import numbers

Function = Callable[[Tensor, Tensor], Tensor]


def symmetric(x: Tensor) -> Tensor:
    return x @ x.mT + torch.eye(x.shape[-1], dtype=x.dtype)


FUNCTIONS: dict[str, Function] = {
    "cholesky": lambda a, _: torch.linalg.cholesky(symmetric(a)),
    "cholesky upper": lambda a, _: torch.linalg.cholesky(symmetric(a), upper=True),
    "cholesky_solve": lambda a, b: torch.cholesky_solve(b, a.tril()) + torch.cholesky_solve(b, a.triu(), upper=True),
    "cholesky_inverse": lambda a, _: torch.cholesky_inverse(a.tril()) + torch.cholesky_inverse(a.triu(), upper=True),
    "solve_triangular": lambda a, b: torch.linalg.solve_triangular(a.tril(), b, upper=False),
    "solve_triangular unit": lambda a, b: torch.linalg.solve_triangular(a.triu(), b, upper=True, unitriangular=True),
    "solve_triangular right": lambda a, b: torch.linalg.solve_triangular(a.triu(), b.mT, upper=True, left=False),
    "solve": lambda a, b: torch.linalg.solve(a, b) + torch.linalg.solve(a.mT, b),
    "solve right": lambda a, b: torch.linalg.solve(a, b.mT, left=False),
    "inv": lambda a, _: torch.linalg.inv(a),
    "det": lambda a, _: torch.linalg.det(a) + torch.linalg.det(a.mT),
    "slogdet": lambda a, _: torch.linalg.slogdet(a)[0] * torch.linalg.slogdet(a)[1],
    "lu": lambda a, b: torch.linalg.lu(a)[1] @ torch.linalg.lu(a)[2].mT + torch.linalg.lu(a)[0] + b.sum(),
    "lu_solve": lambda a, b: torch.linalg.lu_solve(*torch.linalg.lu_factor(a), b, adjoint=True),
    "matrix_exp": lambda a, _: torch.linalg.matrix_exp(a),
    "householder_product": lambda a, _: torch.linalg.householder_product(a.tril(-1), a[..., 0, :2]),
}


def given(*batch: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """A matrix far from singular, whose rows need exchanging, and right-hand sides."""
    a = numbers(*batch, 6, 6, dtype=dtype) + 2 * torch.eye(6, dtype=dtype).flip(0).roll(2, 0)
    return a + torch.eye(6, dtype=dtype), numbers(*batch, 6, 3, dtype=dtype, seed=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_pytorchs(name: str, batch: tuple[int, ...], dtype: torch.dtype) -> None:
    a, b = given(*batch, dtype=dtype)
    with PortableMode():
        found = FUNCTIONS[name](a, b)
    exact = FUNCTIONS[name](a.double(), b.double())
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    torch.testing.assert_close(found.double(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_pytorchs(name: str) -> None:
    a, b = (each.requires_grad_() for each in given(2))

    def gradients() -> tuple[Tensor | None, ...]:
        return torch.autograd.grad(FUNCTIONS[name](a, b).pow(2).sum(), [a, b], allow_unused=True)

    with PortableMode():
        found = gradients()
    torch.testing.assert_close(found, gradients(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("upper", [False, True])
def test_the_deprecated_operations_are_the_same(upper: bool) -> None:
    a, b = given(2)
    aten = torch.ops.aten
    with PortableMode():
        factor = torch.linalg.cholesky(symmetric(a), upper=upper)
        assert torch.equal(aten.cholesky(symmetric(a), upper), factor)
        solution, copy = aten.triangular_solve(b, a, upper)
        assert torch.equal(solution, torch.linalg.solve_triangular(a, b, upper=upper))
        assert torch.equal(copy, a)
        transposed = torch.linalg.solve_triangular(a.mT, b, upper=not upper)
        assert torch.equal(aten.triangular_solve(b, a, upper, True)[0], transposed)


def test_orthogonal_weights_train() -> None:
    maps = ("matrix_exp", "cayley", "householder")
    layers = [torch.nn.Linear(4, 4) for _ in maps]
    with PortableMode():
        for layer, name in zip(layers, maps, strict=True):
            torch.nn.utils.parametrizations.orthogonal(layer, orthogonal_map=name)
            layer(numbers(3, 4)).pow(2).sum().backward()
            torch.testing.assert_close(layer.weight @ layer.weight.mT, torch.eye(4))


def test_what_has_no_solution_raises_as_pytorch_does() -> None:
    one, singular = torch.eye(3), torch.ones(3, 3)
    with PortableMode():
        with pytest.raises(RuntimeError, match="not positive-definite"):
            torch.linalg.cholesky(one - 2 * singular)
        with pytest.raises(RuntimeError, match="singular"):
            torch.linalg.inv(singular)
        with pytest.raises(RuntimeError, match="singular"):
            torch.linalg.solve(singular, one)
        assert torch.linalg.cholesky_ex(torch.stack([one, -one])).info.tolist() == [0, 1]
        assert torch.linalg.det(singular) == 0
        assert torch.linalg.slogdet(singular).logabsdet == -torch.inf


@pytest.mark.parametrize(
    "function",
    [
        torch.linalg.det,
        torch.linalg.slogdet,
        torch.linalg.inv,
        torch.linalg.cholesky,
        torch.linalg.matrix_exp,
        lambda a: torch.linalg.solve(a, a),
        lambda a: torch.linalg.solve_triangular(a, a, upper=True),
    ],
)
def test_matrices_that_are_not_square_or_no_matrices_are_refused_as_pytorch_does(
    function: Callable[[Tensor], Tensor],
) -> None:
    for a, message in (
        (torch.ones(2, 3), "must be batches of square matrices"),
        (torch.ones(3), "at least 2 dimensions"),
    ):
        with PortableMode(), pytest.raises(RuntimeError, match=message):
            function(a)


def test_what_does_not_fit_is_refused_as_pytorch_does() -> None:
    a, b = torch.eye(2), torch.ones(3, 2)
    with PortableMode():
        for function in (
            lambda: torch.linalg.solve(a, b),
            lambda: torch.linalg.solve(a, b.mT, left=False),
            lambda: torch.linalg.solve_triangular(a, b, upper=True),
            lambda: torch.linalg.lu_solve(*torch.linalg.lu_factor(a), b),
            lambda: torch.cholesky_solve(b, a),
        ):
            with pytest.raises(RuntimeError, match="Incompatible shapes"):
                function()
        with pytest.raises(RuntimeError, match="2 rows, 3 columns"):
            torch.linalg.householder_product(b.mT, torch.ones(2))


def test_integers_are_refused_as_pytorch_does() -> None:
    a = torch.tensor([[1, 2], [3, 4]])
    with PortableMode():
        for function in (torch.linalg.lu, torch.linalg.qr, torch.linalg.lu_factor, torch.geqrf):
            with pytest.raises(RuntimeError, match="Expected a floating point or complex tensor"):
                function(a)


def test_empty_matrices_are_pytorchs() -> None:
    empty = torch.empty(0, 0)
    with PortableMode():
        assert torch.linalg.cholesky(empty).shape == (0, 0)
        assert torch.linalg.solve(empty, torch.empty(0, 2)).shape == (0, 2)
        assert torch.linalg.det(empty) == 1
        assert torch.linalg.matrix_exp(empty).shape == (0, 0)


def test_the_exponential_of_a_large_matrix_is_near() -> None:
    a = torch.diag(torch.tensor([30.0, -30.0, 0.0], dtype=torch.float64))
    with PortableMode():
        found = torch.linalg.matrix_exp(a)
        assert torch.linalg.matrix_exp(a * torch.inf).isnan().any()
    torch.testing.assert_close(found.diagonal(), a.diagonal().exp(), rtol=1e-12, atol=0)


def results() -> dict[str, Tensor]:
    a, b = numbers(2, 17, 17) + 8 * torch.eye(17), numbers(2, 17, 5)
    with PortableMode():
        return {name: function(a, b) for name, function in FUNCTIONS.items()}
