"""Adding and writing to elements whose indices are data: scatter, index_add, index_put, embeddings and their bags."""

import itertools
import math
from fractions import Fraction
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from seedbed.errors import NotPortableError
from seedbed.portable.fixed_point import bits_for
from seedbed.portable.sums.accumulate import add_rows, groups, sum_rows
from tests.portable_native import WIDE, agree, errors, native, numbers, portable, same

DIMS = (0, 1, 2, -1)


def integers(high: int, *shape: int, seed: int = 0) -> Tensor:
    """Random indices."""
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))


def shuffled(size: int, seed: int = 0) -> Tensor:
    """A random order."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", WIDE)
def test_the_order_of_rows_changes_nothing(dtype: torch.dtype) -> None:
    """What native addition cannot: see the last line."""
    x, index = numbers(7, 9, dtype=dtype), integers(7, 300)
    source = numbers(300, 9, dtype=dtype, sizes=20, seed=1)
    order = shuffled(300)
    same(add_rows(x, index[order], source[order]), add_rows(x, index, source))
    assert not torch.equal(x.index_add(0, index[order], source[order]), x.index_add(0, index, source))


NEARLY_NOTHING_IS_LEFT = [1.797693134862237e308, 2.974033506739667e284, -1.7976931348622369e308]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(width=64, allow_nan=False, allow_infinity=False), min_size=1, max_size=20), st.randoms())
@example(NEARLY_NOTHING_IS_LEFT, Random(0))
def test_any_float64_in_any_order(values: list[float], random: Any) -> None:
    index = torch.zeros(len(values), dtype=torch.int64)
    other = random.sample(values, len(values))
    one, two = (torch.tensor(each, dtype=torch.float64).unsqueeze(1) for each in (values, other))
    same(sum_rows(index, one, 1), sum_rows(index, two, 1))
    exact = sum(map(Fraction, values), Fraction())
    largest = max(map(abs, values))
    if abs(exact) < 2**1020:
        error = abs(Fraction(sum_rows(index, one, 1).item()) - exact)
        left_over = Fraction(2) ** (2 * max(bits_for(len(values)), 2) - 106)  # by two grids, of each number
        assert error <= abs(exact) / 2**52 + len(values) * Fraction(largest) * left_over


@pytest.mark.parametrize(("dtype", "bits"), [(torch.float32, 0.51), (torch.float64, 1.01)])
def test_the_error_is_that_of_rounding(dtype: torch.dtype, bits: float) -> None:
    index, source = integers(20, 2000), numbers(2000, 1, dtype=dtype, sizes=6)
    exact = [math.fsum(source[index == row].to(torch.float64).flatten().tolist()) for row in range(20)]
    wanted = torch.tensor(exact, dtype=torch.float64)
    assert errors(sum_rows(index, source, 20).squeeze(1), wanted)[0] <= bits
    assert errors(torch.zeros(20, 1, dtype=dtype).index_add(0, index, source).squeeze(1), wanted)[0] > bits


@pytest.mark.parametrize("dtype", WIDE)
def test_infinities_nan_subnormal_and_huge_numbers(dtype: torch.dtype) -> None:
    limits = torch.finfo(dtype)
    values = [
        math.inf,
        1.0,
        math.inf,
        -math.inf,
        math.nan,
        2.0,
        limits.tiny / 4,
        limits.tiny / 2,
        limits.max,
        -limits.max,
    ]
    source = torch.tensor([*values, limits.max / 2, -0.0], dtype=dtype)
    agree(
        "index_add", torch.full((7,), -0.0, dtype=dtype), 0, torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5]), source
    )
    found = portable("index_add", torch.full((2,), -0.0, dtype=dtype), 0, torch.tensor([0]), source[1:2])
    assert found.signbit().tolist() == [False, True]
    overflow = torch.full((2,), limits.max, dtype=dtype)
    assert sum_rows(torch.tensor([0, 0]), overflow.unsqueeze(1), 1).item() == math.inf


def test_the_smallest_numbers_in_any_order() -> None:
    """Their sums have more than 53 bits, though each has fewer; and so are rounded natively, one by one."""
    odd = 2 * integers(2**50, 40, 1) + 2**51 + 1
    source = (odd.to(torch.float64) * 2.0**-52) * 2.0**-1022
    assert (source < torch.finfo(torch.float64).tiny).all()
    index = torch.zeros(40, dtype=torch.int64)
    for seed in range(5):
        assert sum_rows(index, source[shuffled(40, seed)], 1).item() == math.fsum(source.flatten().tolist())


def test_rows_that_are_not_hit_cost_nothing_and_change_nothing() -> None:
    """Where the result has many more rows than are added, those that are hit are summed up on their own."""
    index, source = integers(9, 60), numbers(60, 16, sizes=9)
    few, many = numbers(9, 16), numbers(900, 16)
    many[:9] = few
    found = add_rows(many, index, source)
    same(found[:9], add_rows(few, index, source))
    same(found[9:], many[9:])
    same(sum_rows(index, source, 900)[:9], sum_rows(index, source, 9))
    assert groups(torch.tensor([7, 3, 7, 9])).tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("dim", DIMS)
def test_scatter_is_pytorchs_own(dtype: torch.dtype, dim: int) -> None:
    x, source = numbers(7, 5, 6, dtype=dtype), numbers(6, 5, 6, dtype=dtype, seed=1)
    index = integers(x.shape[dim], 5, 4, 6)
    agree("scatter_add", x, dim, index, source)
    agree("scatter", x, dim, index, source)
    agree("scatter", x, dim, index, 2.5)
    for reduce in ("sum", "mean", "amax", "amin"):
        agree("scatter_reduce", x, dim, index, source, reduce, include_self=True)
        agree("scatter_reduce", x, dim, index, source, reduce, include_self=False)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("dim", DIMS)
def test_index_add_is_pytorchs_own_and_what_scatter_add_gives(dtype: torch.dtype, dim: int) -> None:
    x, index = numbers(7, 5, 6, dtype=dtype), integers((7, 5, 6)[dim], 9)
    source = numbers(*(9 if number == dim % 3 else size for number, size in enumerate(x.shape)), dtype=dtype, seed=1)
    agree("index_add", x, dim, index, source)
    agree("index_add", x, dim, index, source, alpha=0.3)
    agree("index_copy", x, dim, index, source)
    whole = index.view([-1 if number == dim % 3 else 1 for number in range(3)]).expand(source.shape)
    added = portable("index_add", x, dim, index, source)
    same(portable("scatter_add", x, dim, whole, source), added)
    same(portable("scatter_add", x, dim, whole.contiguous(), source), added)


@pytest.mark.parametrize("dtype", [*WIDE, torch.int64])
def test_index_put_is_pytorchs_own(dtype: torch.dtype) -> None:
    x = (numbers(7, 5, 6) * 99).to(dtype)
    rows, columns, last = integers(14, 3, 4) - 7, integers(5, 4), integers(6, 3, 1)
    mask, several = integers(2, 7, 5).bool(), integers(2, 7).bool()
    for indices in (
        [rows], [rows, columns], [None, columns], [None, columns, last], [rows, None, last], [mask],
        [mask, torch.tensor(1)], [None, None, last], [several], [integers(7, 0)],
    ):  # fmt: skip
        shape = x[tuple(slice(None) if index is None else index for index in indices)].shape
        for values in (numbers(*shape, seed=2), numbers(*shape[-1:], seed=3), torch.tensor(1.5)):
            for accumulate in (False, True):
                agree("index_put", x, indices, (values * 9).to(dtype), accumulate)
    agree("put", x, rows, (numbers(3, 4) * 9).to(dtype), True)
    agree("put", x, rows, (numbers(3, 4) * 9).to(dtype), False)


def test_the_last_of_several_is_written() -> None:
    index = torch.zeros(1000, dtype=torch.int64)
    values = torch.arange(1000.0)
    for found in (
        portable("scatter", torch.zeros(2), 0, index, values),
        portable("index_put", torch.zeros(2), [index], values),
        portable("index_copy", torch.zeros(2), 0, index, values),
    ):
        assert found.tolist() == [999.0, 0.0]


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_are_pytorchs(dtype: torch.dtype, include_self: bool) -> None:
    x, source = numbers(3, 4, dtype=dtype), numbers(5, 4, dtype=dtype, seed=1)
    before, index = x.clone(), torch.tensor([[0, 0, 2, 0]] * 3 + [[1, 0, 2, 2]] * 2)
    agree("scatter_reduce", x, 0, index, source, "prod", include_self=include_self)
    agree("index_reduce", x, 0, index[:, 0], source, "prod", include_self=include_self)
    assert torch.equal(x, before)


def test_a_histogram_is_pytorchs() -> None:
    x = torch.tensor([0.0, 1.0, 2.0, 2.0, 5.0, -1.0, 0.1, torch.nan])
    agree("histc", x, 4, 0.0, 2.0)
    agree("histc", x[:-1], 3)
    agree("histc", torch.ones(3), 5)
    with pytest.raises(RuntimeError, match="not finite"):
        portable("histc", x, 3)


def test_what_has_no_order_is_refused() -> None:
    x, index = numbers(3), torch.tensor([0, 0])
    with pytest.raises(NotPortableError, match="multiplies"):
        portable("scatter", x, 0, index, x[:2], reduce="multiply")
    with pytest.raises(NotPortableError, match="sparse=False"):
        portable("_embedding_bag_backward", x, index, index, index, index, index, 3, False, 0, True, None)


def test_an_index_out_of_range_is_an_error() -> None:
    for name, index in (("scatter_add", torch.tensor([3])), ("index_add", torch.tensor([-1]))):
        with pytest.raises((IndexError, RuntimeError), match="out of"):
            portable(name, numbers(3), 0, index, numbers(1))
    with pytest.raises((IndexError, RuntimeError), match="out of"):
        portable("index_put", numbers(3, 3), [torch.tensor([1, 3]), torch.tensor([0, 0])], numbers(2))


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("padding", [-1, 3])
@pytest.mark.parametrize("by_count", [False, True])
def test_the_gradient_of_an_embedding_is_pytorchs_own(dtype: torch.dtype, padding: int, by_count: bool) -> None:
    for shape in ((4, 5), (40, 5)):
        agree("embedding_dense_backward", numbers(*shape, 8, dtype=dtype), integers(50, *shape), 50, padding, by_count)
    agree("embedding_dense_backward", numbers(0, 8, dtype=dtype), integers(50, 0), 50, padding, by_count)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("padding", [-1, 5])
@pytest.mark.parametrize("include_last", [False, True])
def test_bags_of_embeddings_are_pytorchs_own(dtype: torch.dtype, mode: int, padding: int, include_last: bool) -> None:
    weight, index, offsets = numbers(50, 8, dtype=dtype), integers(20, 30), torch.tensor([0, 3, 3, 10, 30])
    samples = numbers(30, dtype=dtype, seed=1) if mode == 0 else None
    forward = (weight, index, offsets, False, mode, False, samples, include_last, padding)
    found, wanted = portable("_embedding_bag", *forward), native("_embedding_bag", *forward)
    torch.testing.assert_close(found[0], wanted[0])
    grad = numbers(*found[0].shape, dtype=dtype, seed=2)
    tail = (50, False, mode, False, samples, padding)
    ends = offsets[:-1] if include_last else offsets
    gradient = native("_embedding_bag_backward", grad, index, ends, *wanted[1:], *tail)
    torch.testing.assert_close(portable("_embedding_bag_backward", grad, index, ends, *found[1:], *tail), gradient)
    if samples is not None:
        name, ends = "_embedding_bag_per_sample_weights_backward", offsets
        gradient = native(name, grad, weight, index, ends, wanted[1], mode, padding)
        torch.testing.assert_close(portable(name, grad, weight, index, ends, found[1], mode, padding), gradient)


@pytest.mark.parametrize("dtype", WIDE)
def test_other_uses_of_rows_are_pytorchs_own(dtype: torch.dtype) -> None:
    agree("embedding_renorm", numbers(10, 4, dtype=dtype), torch.tensor([1, 1, 3, 5]), 1.0, 2.0)
    index = integers(9, 50)
    agree("bincount", index)
    agree("bincount", index, numbers(50, dtype=dtype), 20)


def results() -> dict[str, Tensor]:
    """What must be the same under every setting."""
    index, source = integers(70, 4000), numbers(4000, 30, sizes=20)
    found = {f"add {dtype}": add_rows(numbers(70, 30, dtype=dtype), index, source.to(dtype)) for dtype in WIDE}
    found["scatter"] = portable(
        "scatter_add", numbers(70, 30), 0, index.unsqueeze(1).expand(-1, 30).contiguous(), source
    )
    found["put"] = portable("index_put", numbers(70, 30), [index], source, True)
    found["last"] = portable("index_put", numbers(70, 30), [index], source)
    found["embedding"] = portable("embedding_dense_backward", source, index, 9000, -1, False)
    return found


def test_what_goes_beside_infinity_cannot_overflow() -> None:
    """Added up first, two of -1.7e308 would be -inf, and with inf NaN: by their order on a GPU."""
    source = torch.tensor([-1.7e308, -1.7e308, torch.inf], dtype=torch.float64).unsqueeze(1)
    for order in itertools.permutations(range(3)):
        assert sum_rows(torch.zeros(3, dtype=torch.int64), source[list(order)], 1).item() == torch.inf
