"""The logarithm of the gamma function and its derivatives: near the right values, and right at the special ones."""

from collections.abc import Callable

import mpmath  # type: ignore[import-untyped]
import pytest
import torch
from torch import Tensor

from seedbed.errors import NotPortableError
from seedbed.portable import PortableMode
from tests.portable_native import numbers, portable

EXACT: dict[str, tuple[tuple[int, ...], Callable[[mpmath.mpf], mpmath.mpf]]] = {
    "lgamma": ((), lambda x: mpmath.log(abs(mpmath.gamma(x)))),
    "digamma": ((), mpmath.digamma),
    "polygamma": ((1,), lambda x: mpmath.polygamma(1, x)),
}


def arguments(dtype: torch.dtype) -> Tensor:
    parts = [numbers(60).abs() * 3, numbers(60, seed=1).abs() * 20, numbers(40, seed=2) * 9, numbers(30, seed=3) * 1e6]
    near = [1 + numbers(20, seed=4) * 1e-4, 2 + numbers(20, seed=5) * 1e-4]
    return torch.cat([*parts[:3], parts[3].abs(), *near]).to(dtype)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 7e-8), (torch.float64, 2e-14)])
@pytest.mark.parametrize("name", EXACT)
def test_values_are_near_the_right_ones(name: str, dtype: torch.dtype, bound: float) -> None:
    first, function = EXACT[name]
    x = arguments(dtype)
    with mpmath.workdps(40):
        exact = [function(mpmath.mpf(each)) for each in x.tolist()]
        found = portable(name, *first, x).tolist()
        errors = [abs(mpmath.mpf(one) - other) / max(abs(other), 0.1) for one, other in zip(found, exact, strict=True)]
    assert max(errors) < bound


def test_special_values_are_right() -> None:
    x = torch.tensor([0.0, -0.0, -1.0, -2.0, torch.inf, -torch.inf, torch.nan, 1.0, 2.0])
    infinity, nan = torch.inf, torch.nan
    wanted = {
        "lgamma": [infinity, infinity, infinity, infinity, infinity, infinity, nan, 0.0, 0.0],
        "digamma": [-infinity, infinity, nan, nan, infinity, nan, nan, -0.57721567, 0.42278434],
    }
    for name, values in wanted.items():
        torch.testing.assert_close(portable(name, x), torch.tensor(values), equal_nan=True)
        torch.testing.assert_close(portable(name, x), getattr(torch, name)(x), equal_nan=True)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5])
def test_derivatives_are_pytorchs(n: int) -> None:
    x = numbers(50, dtype=torch.float64).abs() * 20
    torch.testing.assert_close(portable("polygamma", n, x), torch.polygamma(n, x), rtol=1e-8, atol=1e-12)


def test_the_second_derivative_of_negative_numbers_is_refused() -> None:
    with PortableMode(), pytest.raises(NotPortableError, match="not negative"):
        torch.polygamma(2, torch.tensor(-0.5))


def test_distributions_that_need_it_have_pytorchs_log_probabilities() -> None:
    a, b = (numbers(4, seed=seed).abs() + 0.5 for seed in range(2))
    distributions = torch.distributions

    def probabilities() -> Tensor:
        gamma, beta = distributions.Gamma(a, b), distributions.Beta(a, b)
        found = gamma.log_prob(b) + gamma.entropy() + beta.log_prob(a / 2) + beta.entropy()
        found = found + distributions.kl_divergence(gamma, distributions.Gamma(b, a))
        found = found + distributions.StudentT(a).log_prob(b) + distributions.Poisson(a).log_prob(torch.tensor(3.0))
        total: Tensor = found + distributions.Dirichlet(a).log_prob(b / b.sum()) + torch.mvlgamma(a + 2, 2)
        return total

    with PortableMode():
        found = probabilities()
    torch.testing.assert_close(found, probabilities(), rtol=1e-5, atol=1e-5)


def results() -> dict[str, Tensor]:
    return {
        f"{name} {dtype}": portable(name, *first, arguments(dtype))
        for name, (first, _) in EXACT.items()
        for dtype in (torch.float32, torch.float64)
    }
