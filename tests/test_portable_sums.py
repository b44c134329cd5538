"""Sums as trees: what is made of them, their accuracy, and that nothing but the shape decides their order."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seedbed.portable.sums import norms, reductions
from seedbed.portable.sums.tree import BLOCK, CHUNK, dimensions, piece_sums, product_sums, total
from tests.portable_native import SPECIAL, WIDE, agree, errors, native, numbers, portable, same

DIMS: tuple[Any, ...] = (None, [0], [1, 2], [0, 2], [-1], [])
SUMS = ("sum", "mean", "linalg_vector_norm")


def spread(*shape: int, seed: int = 0) -> Tensor:
    """Numbers of all sizes, so that nearly every order of adding gives other bits."""
    return numbers(*shape, seed=seed, sizes=12)


def exactly(x: Tensor) -> float:
    """The sum, rounded once."""
    return math.fsum(x.to(torch.float64).flatten().tolist())


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("keepdim", [False, True])
def test_reductions_are_pytorchs_own(dtype: torch.dtype, dim: Any, keepdim: bool) -> None:
    x = numbers(3, 4, 5, dtype=dtype)
    agree("sum", x, dim, keepdim)
    agree("mean", x, dim, keepdim)
    for name in ("var", "std", "var_mean", "std_mean"):
        agree(name, x, dim, correction=1, keepdim=keepdim)
        agree(name, x, dim, correction=0, keepdim=keepdim)
    for order in (0, 1, 2, math.inf, -math.inf):
        agree("linalg_vector_norm", x, order, dim, keepdim)


@pytest.mark.parametrize("dtype", WIDE)
def test_tensors_without_dimensions_and_without_elements(dtype: torch.dtype) -> None:
    for x in (torch.tensor(2.5, dtype=dtype), torch.empty(0, 3, dtype=dtype)):
        for name in ("sum", "mean", "nansum"):
            agree(name, x)
            agree(name, x, [0])
    agree("sum", torch.empty(0, 3, dtype=dtype), [1])
    agree("linalg_vector_norm", torch.tensor(-2.5, dtype=dtype))
    agree("norm", numbers(3, 4, dtype=dtype), 2, [1], False)
    agree("dist", numbers(3, dtype=dtype), numbers(3, dtype=dtype, seed=1), 2.0)
    agree("trace", numbers(4, 3, dtype=dtype))


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("values", SPECIAL)
def test_infinities_and_nan(dtype: torch.dtype, values: list[float]) -> None:
    x = torch.tensor([values, [0.5, 2.0]], dtype=dtype)
    for name in ("sum", "mean", "nansum"):
        agree(name, x, [1])
        agree(name, x)
    agree("var", x, [1], correction=1)
    for order in (0, 1, 2, math.inf):
        agree("linalg_vector_norm", x, order, [1])


def test_a_dtype_is_taken_before_adding() -> None:
    agree("sum", torch.tensor([1, 2]), None, False, dtype=torch.float32)
    assert portable("sum", spread(100), dtype=torch.float64).dtype == torch.float64
    assert portable("mean", numbers(3).half(), dtype=torch.float32).dtype == torch.float32


def test_dimensions_are_checked() -> None:
    x = numbers(2, 3)
    assert dimensions(x, [-1, 0]) == [0, 1]
    with pytest.raises(IndexError, match="got 2"):
        dimensions(x, 2)
    with pytest.raises(RuntimeError, match="more than once"):
        dimensions(x, [0, -2])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 63, 64, 1000, CHUNK, CHUNK + 1, 2 * CHUNK + 5])
@pytest.mark.parametrize("after", [1, 3, 20])
def test_every_element_is_added_once(size: int, after: int) -> None:
    x = torch.randint(-1000, 1000, (2, size, after), generator=torch.Generator().manual_seed(0))
    assert torch.equal(total(x.to(torch.float32), 1), x.sum(1).to(torch.float64))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.data())
def test_any_dimensions_of_any_shape(shape: list[int], data: st.DataObject) -> None:
    dims = data.draw(st.lists(st.integers(0, len(shape) - 1), unique=True))
    x = torch.randint(-99, 99, shape, generator=torch.Generator().manual_seed(1))
    assert torch.equal(total(x, dims, keepdim=True), x.sum(dims, keepdim=True).to(torch.float64))


@pytest.mark.parametrize("size", [3, 10, 100, 1000, 20000])
def test_float32_is_rounded_once_and_so_is_better_than_native(size: int) -> None:
    x = spread(200, size) if size < 20000 else spread(4, size)
    exact = torch.tensor([exactly(row) for row in x], dtype=torch.float64)
    largest, mean = errors(portable("sum", x, [1]), exact)
    native_largest, native_mean = errors(native("sum", x, [1]), exact)
    assert largest <= 0.5 + 1e-6
    assert mean <= native_mean
    assert largest <= native_largest


@pytest.mark.parametrize("size", [10, 1000, 20000])
def test_float64_is_no_worse_than_native(size: int) -> None:
    x = numbers(200 if size < 20000 else 50, size, dtype=torch.float64).abs()
    exact = torch.tensor([exactly(row) for row in x], dtype=torch.float64)
    assert errors(portable("sum", x, [1]), exact)[1] <= errors(native("sum", x, [1]), exact)[1] + 0.05


def test_memory_layout_changes_nothing() -> None:
    x = spread(6, 50, 40)
    turned = x.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not turned.is_contiguous()
    for dims in ([0], [1], [2], [0, 1], [1, 2], [0, 2], None):
        same(total(turned, dims), total(x, dims))
    expanded = spread(7).unsqueeze(1).expand(7, 300)
    same(total(expanded, 1), total(expanded.contiguous(), 1))


def test_other_rows_change_nothing() -> None:
    """Not how many there are, nor in which piece they come to lie."""
    x = spread(2 * BLOCK // 1000 + 3, 1000)
    whole = total(x, 1)
    for part in (slice(0, 1), slice(5, 270), slice(-2, None)):
        same(total(x[part], 1), whole[part])
    same(total(x.T.contiguous(), 0), whole)


def test_what_is_summed_stays_as_it_is() -> None:
    for x in (spread(3, 100), spread(3, 100).to(torch.float64)):
        before = x.clone()
        total(x, 1, change=torch.Tensor.abs_)
        reductions.var(x, [1], correction=1)
        norms.vector_norm(x, 2)
        same(x, before)


@pytest.mark.parametrize("length", [0, 1, 7, CHUNK, CHUNK + 1])
def test_a_piece_is_summed_as_any_other_and_products_as_what_they_come_to(length: int) -> None:
    x, other = (spread(3, length, 2).to(torch.float64) + place for place in (0, 1))
    same(product_sums(x, other).clone(), total(x * other, 1, keepdim=True))
    same(piece_sums(x).clone(), total(x, 1, keepdim=True))


def test_it_works_in_inference_and_after() -> None:
    x = spread(300, 1000)
    with torch.inference_mode():
        inside = total(x, 1)
    same(total(x, 1), inside.clone())


def results() -> dict[str, Tensor]:
    """What must be the same under every setting, and what PyTorch makes of it."""
    x = spread(300, 1000)
    found = {"sum": portable("sum", x, [1]), "all": portable("sum", x), "columns": portable("mean", x, [0])}
    found |= {"var": portable("var", x, [1], correction=1), "norm": portable("linalg_vector_norm", x, 2, [1])}
    found["float64"] = portable("sum", x.to(torch.float64), [1])
    return found | {"native": x.sum()}
