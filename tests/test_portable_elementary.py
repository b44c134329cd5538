"""Elementary functions: accuracy against numbers of 40 digits, special values, and the same bits everywhere."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seedbed.fingerprint import fingerprints
from seedbed.portable import elementary
from seedbed.portable.elementary import pairs
from seedbed.portable.elementary.tables import pi
from tests.portable_runs import ROOT, split_by_settings

FLOATS = [torch.float32, torch.float64]

# From where to where each is tried, evenly; and from which power of 2 to which, of either sign where both are allowed.
RANGES: dict[str, list[tuple[float, float]]] = {
    "acos": [(-1, 1)],
    "acosh": [(1, 2), (1, 1e4)],
    "asin": [(-1, 1), (-0.01, 0.01)],
    "asinh": [(-4, 4), (-1e4, 1e4)],
    "atan": [(-2, 2), (-100, 100)],
    "atanh": [(-1, 1), (-0.01, 0.01)],
    "cos": [(-10, 10), (-1e5, 1e5), (-1e15, 1e15)],
    "cosh": [(-80, 80)],
    "erf": [(-6, 6), (-0.3, 0.3)],
    "erfc": [(-5, 9)],
    "erfinv": [(-1, 1), (0.99, 1)],
    "exp": [(-87, 88), (-1, 1)],
    "exp2": [(-120, 120), (-1, 1)],
    "expm1": [(-20, 80), (-0.1, 0.1)],
    "log": [(0, 1e6), (0.5, 2)],
    "log1p": [(-1, 5), (-0.1, 0.1)],
    "log2": [(0, 1e6), (0.5, 2)],
    "log10": [(0, 1e6), (0.5, 2)],
    "rsqrt": [(0, 1e6)],
    "sigmoid": [(-80, 80), (-1, 1)],
    "sin": [(-10, 10), (-1e5, 1e5), (-1e15, 1e15)],
    "sinh": [(-80, 80), (-0.1, 0.1)],
    "sqrt": [(0, 1e6)],
    "tan": [(-10, 10), (-1e5, 1e5), (-1e15, 1e15)],
    "tanh": [(-10, 10), (-0.1, 0.1)],
}

EXACT: dict[str, Callable[[Any], Any]] = {
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "log2": lambda x: mpmath.log(x) / mpmath.log(2),
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
}

BOUNDS = {"rsqrt": {torch.float64: 1.5}, "erfc": {torch.float64: 0.53}, "exp": {torch.float32: 0.51}}
"""In units in the last place; 0.51 where nothing else is said. For rsqrt it is PyTorch's own formula."""


def spread(low: float, high: float, count: int) -> Tensor:
    """Numbers between `low` and `high` that are no multiples of anything; the same on every machine."""
    fractions = ((torch.arange(count) * 2654435761 % (1 << 32)) * 2 + 1).to(torch.float64) / 2.0**33
    return fractions * (high - low) + low


def arguments(name: str, dtype: torch.dtype, count: int = 700) -> Tensor:
    values = torch.cat([spread(low, high, count) for low, high in RANGES[name]]).to(dtype)
    low, high = RANGES[name][0]
    return values[(values > low) & (values < high)] if name in ("acosh", "erfinv", "atanh", "log1p") else values


def function(name: str) -> Callable[[Tensor], Tensor]:
    found: Callable[[Tensor], Tensor] = getattr(elementary, name)
    return found


@pytest.fixture(autouse=True)
def forty_digits() -> Iterator[None]:
    with mpmath.workdps(40):
        yield


def ulps(results: Tensor, exact: list[Any]) -> list[float]:
    """How far each result is from the exact value, in units in its last place."""
    units = np.spacing(np.abs(results.numpy())).tolist()
    return [
        float(abs(mpmath.mpf(each) - value) / mpmath.mpf(unit))
        for each, value, unit in zip(results.tolist(), exact, units, strict=True)
    ]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", sorted(RANGES))
def test_it_is_as_accurate_as_pytorch_or_more(name: str, dtype: torch.dtype) -> None:
    x = arguments(name, dtype)
    right = EXACT[name] if name in EXACT else getattr(mpmath, name)
    exact = [right(mpmath.mpf(value)) for value in x.tolist()]
    ours, theirs = ulps(function(name)(x), exact), ulps(getattr(torch, name)(x), exact)
    assert max(ours) <= BOUNDS.get(name, {}).get(dtype, 0.51)
    assert max(ours) <= max(0.51, max(theirs))
    assert sum(ours) <= sum(theirs) * 1.02


def test_an_accuracy_that_is_not_there_is_noticed() -> None:
    x = arguments("exp", torch.float32)
    exact = [mpmath.exp(mpmath.mpf(value)) for value in x.tolist()]
    assert max(ulps(torch.nextafter(function("exp")(x), torch.tensor(torch.inf)), exact)) > 0.51


SPECIAL = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-40, -1e-40, 0.5, 2.0, -2.0, 88.8, -103.95, -104.5]
SPECIAL += [128.0, -149.0, -150.0, 709.9, -745.1, 1e30, -1e30, 3e38, 10.05, 26.6, 28.0, -28.0, 1e-300, 5e-324, 1e308]


def agree(ours: Tensor, theirs: Tensor, *, ulps: int = 4) -> Tensor:
    """Where both are the same, zeros of one sign, NaN both, or next to each other."""
    same = (ours == theirs) & (ours.signbit() == theirs.signbit())
    near = (ours - theirs).abs() <= theirs.abs() * torch.finfo(ours.dtype).eps * ulps + torch.finfo(
        ours.dtype
    ).smallest_normal
    return same | (ours.isnan() & theirs.isnan()) | (near & (ours != 0) & (theirs != 0)) | (near & (ours != theirs))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", sorted(RANGES))
def test_special_values_are_pytorchs(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor(SPECIAL, dtype=torch.float64).to(dtype)
    ours, theirs = function(name)(x), getattr(torch, name)(x)
    differ = ~agree(ours, theirs)
    assert [*zip(x[differ].tolist(), ours[differ].tolist(), theirs[differ].tolist(), strict=True)] == []


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["pow", "atan2", "hypot", "xlogy", "logaddexp", "logaddexp2"])
def test_special_values_of_two_arguments_are_pytorchs(name: str, dtype: torch.dtype) -> None:
    values = torch.tensor([*SPECIAL, 3.0, -3.0, 1.5, -1.5, 2.0**52 + 1, 2.0**53 + 2], dtype=torch.float64).to(dtype)
    x, y = torch.cartesian_prod(values, values).unbind(1)
    ours, theirs = getattr(elementary, name)(x, y), getattr(torch, name)(x, y)
    differ = ~agree(ours, theirs, ulps=8) & ((ours - theirs).abs() > 1e-7).logical_or(ours.isnan() != theirs.isnan())
    assert [
        *zip(x[differ].tolist(), y[differ].tolist(), ours[differ].tolist(), theirs[differ].tolist(), strict=True)
    ] == []


@pytest.mark.parametrize("dtype", FLOATS)
def test_powers_are_accurate(dtype: torch.dtype) -> None:
    x, y = spread(0.01, 40, 1500).to(dtype), spread(-20, 20, 1500).flip(0).to(dtype)
    exact = [mpmath.mpf(one) ** mpmath.mpf(other) for one, other in zip(x.tolist(), y.tolist(), strict=True)]
    assert max(ulps(elementary.pow(x, y), exact)) <= 0.51


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_power_does_not_depend_on_its_neighbours(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = spread(0.01, 40, 1500).to(dtype), spread(-20, 20, 1500).flip(0).to(dtype)
    whole = elementary.pow(x, y)
    assert torch.equal(torch.cat([elementary.pow(x[:7], y[:7]), elementary.pow(x[7:], y[7:])]), whole)
    monkeypatch.setattr("seedbed.portable.elementary.power.is_sure", lambda *_: False)
    assert torch.equal(elementary.pow(x, y), whole)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.5, -3, 4, 0.1])
def test_powers_of_and_to_numbers(exponent: float) -> None:
    x = torch.tensor(SPECIAL[:16], dtype=torch.float64)
    assert agree(elementary.pow(x, exponent), torch.pow(x, exponent)).all()
    assert agree(elementary.pow(exponent, x), torch.pow(exponent, x)).all()


def test_the_type_of_a_power_follows_pytorchs_rules() -> None:
    narrow, wide = torch.ones(2), torch.ones((), dtype=torch.float64)
    assert elementary.pow(narrow, wide).dtype == torch.pow(narrow, wide).dtype
    assert elementary.pow(narrow, wide.expand(2)).dtype == torch.float64


def every_float32() -> Tensor:
    """Bits from all over, of numbers that are not negative."""
    return (torch.arange(1 << 20) * 2039).to(torch.int32).view(torch.float32)


def test_square_roots_of_float32_are_correctly_rounded() -> None:
    x = every_float32()
    assert np.array_equal(elementary.sqrt(x).numpy(), np.sqrt(x.numpy()))


def near_squares() -> Tensor:
    """Float64 next to squares of 53 bits and of 54, where a root lies close to a number or halfway between two."""
    roots = spread(1, 2, 1 << 15)
    halfway = roots + 2.0**-53
    squares = torch.cat([roots * roots, halfway * halfway, (roots + 2.0**-52) * roots])
    ends = torch.arange(1, 1000) * 2.0**-51
    values = torch.cat(
        [torch.nextafter(squares, torch.zeros(())), squares, squares * (1 + 2.0**-52), 4 - ends, 1 + ends]
    )
    return torch.cat([values, values * 2.0**-1060, values * 2.0**900, values * 2.0**-1001])


def test_square_roots_of_float64_are_correctly_rounded() -> None:
    x = near_squares()
    assert np.array_equal(elementary.sqrt(x).numpy(), np.sqrt(x.numpy()))


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="needs vectors")
def test_plain_pytorchs_are_not() -> None:
    """The reason for the two tests above; where it fails, PyTorch has changed."""
    x = every_float32()
    assert not np.array_equal(torch.sqrt(x).numpy(), np.sqrt(x.numpy()))


HUGE = [6381956970095103.0 * 2.0**797, 1e22, 1.7e308, 2.0**1023, 2.0**20, 2.0**20 - 2.0**-33, -3e15]


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_huge_angles_are_reduced_exactly(name: str) -> None:
    """The first is the float64 closest to a multiple of pi / 2 (J.-M. Muller: Elementary functions, 10.2.2)."""
    x = torch.tensor(HUGE, dtype=torch.float64)
    with mpmath.workprec(1400):
        exact = [getattr(mpmath, name)(mpmath.mpf(value)) for value in HUGE]
    assert max(ulps(function(name)(x), exact)) <= 0.51


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_next_to_multiples_of_pi(name: str) -> None:
    x = torch.tensor([float(pi() * multiple / 2) for multiple in range(1, 4000, 7)], dtype=torch.float64)
    with mpmath.workprec(300):
        exact = [getattr(mpmath, name)(mpmath.mpf(value)) for value in x.tolist()]
    assert max(ulps(function(name)(x), exact)) <= 0.51


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", sorted(RANGES))
def test_an_element_does_not_depend_on_its_neighbours(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor on corrections that a CPU leaves out where it sees that they change nothing, and a GPU does not."""
    x = arguments(name, dtype)
    alone = torch.cat([function(name)(x[index : index + 1]) for index in range(0, 200, 9)])
    whole = function(name)(x)
    among = function(name)(torch.cat([x, torch.tensor(SPECIAL, dtype=torch.float64).to(dtype)]))[: len(x)]
    for module in ("logarithm", "roots", "trigonometric", "reduction"):
        monkeypatch.setattr(f"seedbed.portable.elementary.{module}.is_sure", lambda *_: False)
    assert torch.equal(alone, whole[:200:9])
    assert torch.equal(among, whole)
    assert torch.equal(function(name)(x), whole)


@pytest.mark.parametrize("name", sorted(RANGES))
def test_nothing_is_decided_by_looking_at_elements_on_other_devices(name: str) -> None:
    """A tensor without memory has none that could be looked at."""
    for dtype in FLOATS:
        x = torch.empty(3, 4, dtype=dtype, device="meta")
        assert (function(name)(x).shape, function(name)(x).dtype) == (x.shape, dtype)


@pytest.mark.parametrize("name", sorted(RANGES))
def test_any_layout_gives_the_same(name: str) -> None:
    x = arguments(name, torch.float32)[:600].reshape(20, 30)
    whole = function(name)(x)
    assert torch.equal(function(name)(x.t()), whole.t())
    assert torch.equal(function(name)(x[:, ::3]), whole[:, ::3])
    assert torch.equal(function(name)(x[:1].expand(5, 30)), whole[:1].expand(5, 30))
    assert function(name)(x[:0]).shape == (0, 30)
    assert torch.equal(function(name)(x[0, 0]), whole[0, 0])


def results(namespace: Any) -> dict[str, Tensor]:
    found = {
        f"{name} {dtype}": getattr(namespace, name)(arguments(name, dtype, 20000))
        for name in RANGES
        for dtype in FLOATS
    }
    pairs_of = spread(0.1, 9, 20000), spread(-9, 9, 20000).flip(0)
    return found | {name: getattr(namespace, name)(*pairs_of) for name in ("pow", "atan2", "hypot", "logaddexp")}


def results_of_both() -> dict[str, Tensor]:
    plain = {f"plain {dtype}": torch.sigmoid(arguments("sigmoid", dtype, 20000)) for dtype in FLOATS}
    return results(elementary) | plain


def test_bits_depend_on_no_instruction_set_and_no_threads_as_plain_pytorchs_do() -> None:
    differing = split_by_settings(results_of_both)[1]
    assert "plain torch.float32" in differing
    assert all("plain" in name for name in differing)


HOSTILE = """
import decimal, json
decimal.setcontext(decimal.Context(prec=5, rounding=decimal.ROUND_UP, traps=[decimal.Inexact]))
from seedbed.fingerprint import fingerprints
from seedbed.portable import elementary
from tests.test_portable_elementary import results
print(json.dumps(fingerprints(results(elementary))))
"""


def test_bits_do_not_depend_on_the_callers_decimal_context() -> None:
    done = subprocess.run([sys.executable, "-c", HOSTILE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == dict(fingerprints(results(elementary)))


FINITE = st.floats(-1e100, 1e100).filter(lambda value: value == 0 or abs(value) > 1e-100)


@given(FINITE, FINITE)
def test_sums_and_products_as_pairs_are_exact(a: float, b: float) -> None:
    x, y = torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64)
    for operation, exact in (
        (pairs.two_sum, Fraction(a) + Fraction(b)),
        (pairs.two_product, Fraction(a) * Fraction(b)),
    ):
        high, low = (part.item() for part in operation(x, y))
        assert Fraction(high) + Fraction(low) == exact
        assert high == float(exact)
