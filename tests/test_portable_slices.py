"""Slices: what is cut adds up to what was given, each product of them is exact."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seedbed.portable import slices
from seedbed.portable.slices import BLOCK, Operand, cut, magnitude, multiply, widths

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def numbers(*shape: int, dtype: torch.dtype = torch.float32, spread: int = 12) -> Tensor:
    """Numbers of both signs, over `spread` powers of two."""
    generator = torch.Generator().manual_seed(3)
    normal = torch.randn(*shape, generator=generator, dtype=torch.float64)
    powers = torch.randint(-spread, 1, shape, generator=generator)
    return (normal * 2.0**powers).to(dtype)


def sliced(x: Tensor, dims: int | tuple[int, ...], bits: tuple[int, ...]) -> Operand:
    return cut(x, magnitude(x, dims), bits, f"test {dims}")


@DTYPES
@pytest.mark.parametrize("k", [1, 2, 3, 64, 65, 1000, BLOCK, BLOCK + 1, 10**6])
def test_the_bits_of_two_slices_and_of_their_sum_fit_in_a_float64(k: int, dtype: torch.dtype) -> None:
    left, right = (max(each[0], *(bits - 1 for bits in each[1:]), 0) for each in widths(k, dtype))
    assert left + right + math.ceil(math.log2(min(k, BLOCK))) <= 53
    assert min(map(sum, widths(k, dtype))) >= (60 if dtype == torch.float64 else 26)


@DTYPES
def test_slices_are_integers_of_their_units_and_add_up(dtype: torch.dtype) -> None:
    x = numbers(50, 40, dtype=dtype)
    for bits in widths(40, dtype):
        operand = sliced(x, 1, bits)
        factor = 1.0 if operand.exponent is None else 2.0**operand.exponent
        kept = sum(operand.slices) * factor
        top = magnitude(x, 1) * 2
        lowest = top * 2.0 ** -(sum(bits) - (2 if dtype == torch.float64 else 0))
        assert ((kept - x).abs() <= lowest / 2).all()
        unit = (top / factor if dtype == torch.float32 else torch.full_like(top, 4.0)) * 2.0 ** -bits[0]
        for index, each in enumerate(operand.slices):
            units = each / unit
            assert torch.equal(units, units.round())
            assert units.abs().max() <= 2.0 ** bits[0]
            if index + 1 < len(bits):
                unit = unit * 2.0 ** -bits[index + 1]


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=9))
def test_a_product_is_that_of_what_was_kept_to_one_rounding_for_each_slice(pairs: list[tuple[float, float]]) -> None:
    x, y = torch.tensor(pairs, dtype=torch.float32).T
    one, other = widths(len(pairs), torch.float32)
    left, right = sliced(x[None], 1, one), sliced(y[:, None], 0, other)
    kept = [
        sum(map(Fraction, parts), Fraction())
        for parts in zip(*(each.flatten().tolist() for each in right.slices), strict=True)
    ]
    products = [Fraction(a) * b for a, b in zip(left.slices[0].flatten().tolist(), kept, strict=True)]
    found = multiply(left, right).item()
    expected = sum(products, Fraction())
    assert abs(Fraction(found) - expected) <= abs(expected) * Fraction(1, 2**52)


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_sums_have_no_order(order: str) -> None:
    x, y = numbers(7, 300), numbers(300, 5)
    places = torch.arange(300).flip(0) if order == "reversed" else torch.randperm(300)
    one, other = widths(300, torch.float32)
    found = multiply(sliced(x, 1, one), sliced(y, 0, other)).clone()
    moved = multiply(sliced(x[:, places], 1, one), sliced(y[places], 0, other))
    assert torch.equal(found, moved)


def test_a_few_bits_more_and_sums_have_an_order() -> None:
    """The bits that `widths` gives are not far from all that there are.

    An order at random: from the end to the beginning, MKL's sums may be the same with two threads.
    """
    x, y = (numbers(*shape, dtype=torch.float64).abs().frac() + 1.0 for shape in ((40, 1024), (1024, 40)))
    places = torch.randperm(1024, generator=torch.Generator().manual_seed(1))
    bits = widths(1024, torch.float64)[0][0]
    found = multiply(sliced(x, 1, (bits + 8,)), sliced(y, 0, (bits,))).clone()
    moved = multiply(sliced(x[:, places], 1, (bits + 8,)), sliced(y[places], 0, (bits,)))
    assert not torch.equal(found, moved)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("n", [1, 64])
def test_a_zero_has_no_sign(k: int, n: int) -> None:
    """MKL gives -0.0 for k = 1 and n = 64, and 0.0 for n = 1."""
    x, y = torch.zeros(n, k), -numbers(k, n).abs()
    one, other = widths(k, torch.float32)
    assert not multiply(sliced(x, 1, one), sliced(y, 0, other)).signbit().any()


def test_the_plain_kernel_gives_either_zero() -> None:
    """The reason for `one_zero`."""
    signs = [torch.mm(torch.zeros(n, 1), torch.full((1, n), -1.0)).signbit().any().item() for n in (1, 64)]
    if not any(signs):
        pytest.skip("this BLAS begins every sum with 0.0")
    assert signs == [False, True]


@pytest.mark.parametrize(
    ("of_x", "of_y"), [(-600, 600), (900, -1000), (1000, -900), (-520, -520), (505, 505), (800, 800), (-800, -800)]
)
def test_float64_of_any_magnitude_is_multiplied_alike(of_x: int, of_y: int) -> None:
    """Neither does the grid overflow nor a slice underflow; what does, is the result."""
    x, y = numbers(6, 300, dtype=torch.float64), numbers(300, 5, dtype=torch.float64)
    one, other = widths(300, torch.float64)
    expected = multiply(sliced(x, 1, one), sliced(y, 0, other)).clone()
    places = torch.arange(300).flip(0)
    found = multiply(sliced(x[:, places] * 2.0**of_x, 1, one), sliced(y[places] * 2.0**of_y, 0, other))
    half = (of_x + of_y) // 2
    assert torch.equal(found, expected * 2.0**half * 2.0 ** (of_x + of_y - half))


def test_subnormal_float64_are_multiplied_exactly() -> None:
    x = torch.tensor([[3.0 * 2.0**-1074, 2.0**-1060]], dtype=torch.float64)
    y = torch.tensor([[2.0**1000], [5.0 * 2.0**980]], dtype=torch.float64)
    one, other = widths(2, torch.float64)
    assert multiply(sliced(x, 1, one), sliced(y, 0, other)).item() == 3.0 * 2.0**-74 + 5.0 * 2.0**-80


@DTYPES
def test_a_magnitude_is_the_power_of_two_below(dtype: torch.dtype) -> None:
    x = torch.tensor([[1.0, -3.0], [0.5, 0.25], [0.0, -0.0], [math.inf, 1.0], [math.nan, 1.0]], dtype=dtype)
    assert magnitude(x, 1).flatten().tolist() == [2.0, 0.5, 0.0, math.inf, math.inf]


LAYOUTS = {
    "rows": lambda: numbers(30, 40),
    "columns": lambda: numbers(40, 30).T,
    "a batch": lambda: numbers(5, 30, 40),
    "a batch of columns": lambda: numbers(5, 40, 30).mT,
}


@DTYPES
@pytest.mark.parametrize("join", [False, True])
@pytest.mark.parametrize("dim", [-2, -1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_pieces_that_are_cut_at_a_time_do_not_matter(
    layout: str, dim: int, join: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = LAYOUTS[layout]().to(dtype)
    bits = widths(30, dtype)[1]
    expected = cut(x, magnitude(x, dim), bits, "test whole", join=join)
    monkeypatch.setattr(slices, "_PIECE", 100)
    found = cut(x, magnitude(x, dim), bits, "test pieces", join=join)
    assert all(map(torch.equal, found.slices, expected.slices))
    assert {each.stride() for each in found.slices} == {each.stride() for each in expected.slices}


@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("repeats", [1, 200])
def test_joined_slices_come_to_the_same_product(layout: str, repeats: int, dtype: torch.dtype) -> None:
    """Of 30 products, and of 6000, which are more than one block."""
    right = LAYOUTS[layout]().to(dtype)
    right = right.repeat(*(1,) * (right.ndim - 2), repeats, 1) if layout != "columns" else right.T.repeat(1, repeats).T
    left = numbers(*right.shape[:-2], 7, right.shape[-2], dtype=dtype)
    one, other = widths(right.shape[-2], dtype)
    first, powers = cut(left, magnitude(left, -1), one, "test left"), magnitude(right, -2)
    expected = multiply(first, cut(right, powers, other, "test right")).clone()
    joined = cut(right, powers, other, "test joined", join=True)
    assert joined.joined is not None
    assert torch.equal(joined.joined, torch.cat(joined.slices, -1))
    assert torch.equal(multiply(first, joined), expected)
    assert torch.equal(multiply(first, joined[..., 3:9]), expected[..., 3:9])
