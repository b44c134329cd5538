"""Matrix products: PyTorch's values, and the same bits whatever computes them."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seedbed.portable import PortableMode, products, slices
from seedbed.portable.products import addbmm, addmm, addmv, addr, baddbmm, bmm, dot, mm, mv, trilinear
from seedbed.portable.slices import BLOCK
from seedbed.portable.table import OPERATIONS
from tests.portable_runs import split_by_settings

aten = torch.ops.aten
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def numbers(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 3) -> Tensor:
    """Numbers of about a normal distribution, from integers: `torch.randn` depends on the instruction set."""
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randint(-(2**40), 2**40, (4, *shape), generator=generator).sum(0)
    return (whole.to(torch.float64) * 2.0**-40).to(dtype)


def exact(left: Tensor, right: Tensor) -> np.ndarray[Any, np.dtype[np.longdouble]]:
    result: np.ndarray[Any, np.dtype[np.longdouble]] = left.numpy().astype(np.longdouble) @ right.numpy().astype(
        np.longdouble
    )
    return result


def error(found: Tensor, expected: np.ndarray[Any, np.dtype[np.longdouble]]) -> tuple[float, float]:
    apart = np.abs(found.numpy() - expected)
    return float(apart.max()), float(apart.mean())


def some() -> dict[str, Tensor]:
    """Products of each kind, and the plain one."""
    left, right, bias = numbers(70, 900), numbers(900, 130, seed=4), numbers(130, seed=5)
    batch, other = numbers(9, 40, 33), numbers(9, 33, 21, seed=6)
    return {
        "plain": left @ right,
        "mm": mm(left, right),
        "transposed": mm(right.T, left.T),
        "addmm": addmm(bias, left, right, beta=0.3, alpha=-1.7),
        "bmm": bmm(batch, other),
        "long": mm(numbers(3, 9000), numbers(9000, 5, seed=7)),
        "float64": mm(left.double(), right.double()),
        "mv": mv(left, right[:, 0]),
        "dot": dot(left.flatten()[:900], right[:, 1]),
    }


def test_bits_do_not_depend_on_the_instruction_set_nor_on_threads_while_plain_products_do() -> None:
    differing = split_by_settings(some)[1]
    assert differing == ({"plain"} if torch.backends.mkl.is_available() else set())


@DTYPES
@pytest.mark.parametrize("shape", [(50, 700, 60), (3, 10, 5), (200, 5000, 7), (1, 64, 1), (64, 1, 64)])
def test_errors_are_no_larger_than_pytorchs(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    m, k, n = shape
    left, right = numbers(m, k, dtype=dtype), numbers(k, n, dtype=dtype, seed=4)
    found, native = (error(each, exact(left, right)) for each in (mm(left, right), left @ right))
    assert found[0] <= native[0]
    assert found[1] <= native[1]


@DTYPES
def test_a_row_does_not_depend_on_the_others(dtype: torch.dtype) -> None:
    """Whether few rows are multiplied or many, whose matrices are cut and laid out in other ways."""
    left, right = numbers(900, 300, dtype=dtype), numbers(300, 150, dtype=dtype, seed=4)
    whole = mm(left, right)
    for rows in (1, 5, 60):
        assert torch.equal(mm(left[:rows], right), whole[:rows])
        assert torch.equal(mm(left[:rows], right[:, :3]), whole[:rows, :3])
    assert torch.equal(bmm(left[None].expand(2, -1, -1), right[None].expand(2, -1, -1))[1], whole)


@DTYPES
def test_nor_if_sums_are_longer_than_what_is_exact(dtype: torch.dtype) -> None:
    left, right = numbers(9, 9000, dtype=dtype), numbers(9000, 4, dtype=dtype, seed=4)
    assert torch.equal(mm(left[:1], right[:, :1]), mm(left, right)[:1, :1])
    places = torch.cat([torch.randperm(min(BLOCK, 9000 - start)) + start for start in range(0, 9000, BLOCK)])
    assert torch.equal(mm(left[:1, places], right[places, :1]), mm(left, right)[:1, :1])


def test_such_sums_are_never_taken_in_one_piece() -> None:
    """Of two small matrices, too: what such a sum loses, float32 shows once in 2**29 times."""
    assert products._are_small(torch.ones(1, BLOCK), torch.ones(BLOCK, 1))
    assert not products._are_small(torch.ones(1, BLOCK + 1), torch.ones(BLOCK + 1, 1))


def test_a_row_of_plain_products_does() -> None:
    left, right = numbers(900, 300), numbers(300, 150, seed=4)
    assert any(not torch.equal(left[:rows] @ right, (left @ right)[:rows]) for rows in (1, 5, 60))


@DTYPES
def test_the_order_of_what_is_summed_does_not_matter(dtype: torch.dtype) -> None:
    left, right, places = numbers(20, 400, dtype=dtype), numbers(400, 30, dtype=dtype), torch.randperm(400)
    assert torch.equal(mm(left[:, places], right[places]), mm(left, right))
    if dtype == torch.float32:
        assert not torch.equal(left[:, places] @ right[places], left @ right)


@DTYPES
@pytest.mark.parametrize("layout", ["left", "right", "both", "strided", "expanded"])
@pytest.mark.parametrize("rows", [20, 700])
def test_the_layout_in_memory_does_not_matter(layout: str, rows: int, dtype: torch.dtype) -> None:
    left, right = numbers(rows, 300, dtype=dtype), numbers(300, 120, dtype=dtype, seed=4)
    if layout == "expanded":
        left, right = left[:1].expand(rows, -1), right[:, :1].expand(-1, 120)
    expected = mm(left.clone(memory_format=torch.contiguous_format), right.clone(memory_format=torch.contiguous_format))
    if layout in ("left", "both"):
        left = left.T.contiguous().T
    if layout in ("right", "both"):
        right = right.T.contiguous().T
    if layout == "strided":
        left, right = torch.stack([left, left], 2)[:, :, 0], torch.stack([right, right], 2)[:, :, 0]
    assert torch.equal(mm(left, right), expected)
    assert mm(left, right).is_contiguous()


@DTYPES
@pytest.mark.parametrize("least", [1, 64])
@pytest.mark.parametrize("rows", [130, 190])
def test_pieces_do_not_matter(rows: int, least: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever matrix is the larger one, and cut into pieces."""
    shapes = (rows, 300), (300, 170), (rows, 170)
    left, right, bias = (numbers(*shape, dtype=dtype, seed=seed) for seed, shape in enumerate(shapes))
    expected = addmm(bias, left, right), bmm(left.view(10, -1, 300), right.expand(10, -1, -1))
    monkeypatch.setattr(products, "_SOME", 100)
    monkeypatch.setattr(products, "_MOST", 600)
    monkeypatch.setattr(products, "_LEAST", least)
    monkeypatch.setattr(slices, "_PIECE", 1000)
    assert torch.equal(addmm(bias, left, right), expected[0])
    assert torch.equal(bmm(left.view(10, -1, 300), right.expand(10, -1, -1)), expected[1])


@DTYPES
@pytest.mark.parametrize("size", [4, 200])
def test_infinities_and_nan_are_where_pytorch_has_them(size: int, dtype: torch.dtype) -> None:
    left, right = numbers(size, size, dtype=dtype), numbers(size, size, dtype=dtype, seed=4)
    left[0, 1], left[1, 2], left[2, 0], left[2, 1] = math.inf, math.nan, math.inf, -math.inf
    right[0, 0], right[1, 1], right[3, 2] = 0.0, math.inf, -math.inf
    found, native = mm(left, right), left @ right
    torch.testing.assert_close(found, native, equal_nan=True, rtol=1e-3, atol=1e-3)
    left[:3], right[:, 1:3] = 0.0, 0.0
    assert torch.equal(found[3:, 3:], mm(left, right)[3:, 3:])  # the others are what they were


@pytest.mark.parametrize("rows", [130, 190])
@pytest.mark.parametrize("place", [0, 60, -1])
def test_whichever_piece_they_are_in(rows: int, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_SOME", 100)
    monkeypatch.setattr(products, "_MOST", 600)
    monkeypatch.setattr(products, "_LEAST", 50)
    left, right, bias = numbers(rows, 300), numbers(300, 170, seed=4), numbers(rows, 170)
    finite = addmm(bias, left, right)
    of_rows, of_columns = left.clone(), right.clone()
    of_rows[place, 5] = of_columns[5, place] = math.nan
    found, other = addmm(bias, of_rows, right), addmm(bias, left, of_columns)
    assert found[place].isnan().all()
    assert other[:, place].isnan().all()
    found[place], other[:, place] = finite[place], finite[:, place]
    assert torch.equal(found, finite)
    assert torch.equal(other, finite)


def test_what_overflows_float32_is_infinite_and_what_underflows_is_subnormal() -> None:
    large, small = torch.full((1, 2), 3e38), torch.full((1, 2), 1e-23)
    assert mm(large, large.T).item() == math.inf
    assert mm(small, small.T).item() == np.float32(np.float64(np.float32(1e-23)) ** 2 * 2)
    assert mm(large, torch.tensor([[1.0], [-1.0]])).item() == 0.0


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8),
    st.integers(-140, 120),
)
def test_a_number_times_a_power_of_two_is_exact_if_it_is_the_largest(values: list[float], by: int) -> None:
    x = torch.tensor(values)
    largest = x[x.abs().argmax()].reshape(1, 1)
    factor = torch.tensor([[2.0**by]])
    assert torch.equal(mm(largest, factor), largest * factor)


@DTYPES
@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 3), (2, 3, 0), (0, 0, 0)])
def test_empty_matrices(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    m, k, n = shape
    left, right, addend = torch.ones(m, k, dtype=dtype), torch.ones(k, n, dtype=dtype), torch.ones(n, dtype=dtype)
    assert torch.equal(mm(left, right), left @ right)
    assert torch.equal(addmm(addend, left, right, beta=2), torch.addmm(addend, left, right, beta=2))
    assert torch.equal(bmm(left[None], right[None]), left[None] @ right[None])
    assert mm(left, right).dtype == dtype


CASES: list[tuple[Callable[..., Tensor], Any, tuple[Tensor, ...], dict[str, float]]] = [
    (mm, torch.mm, (numbers(5, 4), numbers(4, 6)), {}),
    (bmm, torch.bmm, (numbers(3, 5, 4), numbers(3, 4, 6)), {}),
    (addmm, torch.addmm, (numbers(6), numbers(5, 4), numbers(4, 6)), {"beta": 0.5, "alpha": 2}),
    (addmm, torch.addmm, (numbers(5, 1), numbers(5, 4), numbers(4, 6)), {}),
    (addmm, torch.addmm, (torch.full((6,), math.nan), numbers(5, 4), numbers(4, 6)), {"beta": 0}),
    (baddbmm, torch.baddbmm, (numbers(3, 5, 6), numbers(3, 5, 4), numbers(3, 4, 6)), {"beta": -1.5}),
    (baddbmm, torch.baddbmm, (numbers(6), numbers(3, 5, 4), numbers(3, 4, 6)), {"alpha": 0.1}),
    (addbmm, torch.addbmm, (numbers(5, 6), numbers(3, 5, 4), numbers(3, 4, 6)), {"beta": 2, "alpha": 0.1}),
    (mv, torch.mv, (numbers(5, 4), numbers(4)), {}),
    (addmv, torch.addmv, (numbers(5), numbers(5, 4), numbers(4)), {"beta": 2, "alpha": 0.1}),
    (addmv, torch.addmv, (torch.tensor(2.0), numbers(5, 4), numbers(4)), {}),
    (dot, torch.dot, (numbers(50), numbers(50, seed=4)), {}),
    (dot, torch.dot, (numbers(0), numbers(0)), {}),
    (addr, torch.addr, (numbers(5, 4), numbers(5), numbers(4)), {"beta": 2, "alpha": 0.1}),
    (addr, torch.addr, (torch.full((4,), math.nan), numbers(5), numbers(4)), {"beta": 0}),
]


@DTYPES
@pytest.mark.parametrize(("ours", "theirs", "args", "options"), CASES)
def test_values_are_pytorchs(
    ours: Callable[..., Tensor], theirs: Any, args: tuple[Tensor, ...], options: dict[str, float], dtype: torch.dtype
) -> None:
    args = tuple(each.to(dtype) for each in args)
    before = [each.clone() for each in args]
    found = ours(*args, **options)
    torch.testing.assert_close(found, theirs(*args, **options))
    torch.testing.assert_close(list(args), before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("sumdim", [[2, 3], [0], [1, 3], []])
@pytest.mark.parametrize("unroll", [1, 2])
def test_trilinear_products_are_pytorchs(sumdim: list[int], unroll: int) -> None:
    args = (numbers(5, 4), numbers(7, 4, 3), numbers(5, 3), [1, 3], [0], [1, 2], sumdim, unroll)
    torch.testing.assert_close(trilinear(*args), aten._trilinear(*args))


@pytest.mark.parametrize(
    ("function", "args", "message"),
    [
        (mm, (numbers(2, 3), numbers(2, 3)), r"shapes \(2, 3\) and \(2, 3\) cannot be multiplied"),
        (mm, (numbers(2, 3, 3), numbers(3, 2)), "cannot be multiplied"),
        (bmm, (numbers(2, 3, 3), numbers(3, 3, 3)), "cannot be multiplied"),
        (mm, (numbers(2, 3), numbers(3, 2).double()), "same dtype, but got: float32 != float64"),
        (addmm, (numbers(2).double(), numbers(2, 3), numbers(3, 2)), "same dtype"),
        (addmm, (numbers(3), numbers(2, 3), numbers(3, 2)), "expand"),
        (dot, (numbers(3), numbers(4)), "cannot be multiplied"),
        (dot, (numbers(3, 3), numbers(3, 3)), "cannot be multiplied"),
    ],
)
def test_what_does_not_fit_is_refused(function: Callable[..., Tensor], args: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        function(*args)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_grouped_products_are_pytorchs(dtype: torch.dtype) -> None:
    """The last of three groups, of which one is empty, ends before the rows do: what PyTorch leaves there is 0 here."""
    offs = torch.tensor([3, 3, 8], dtype=torch.int32)
    left = numbers(10, 8, seed=1).to(dtype).requires_grad_()
    right = numbers(3, 8, 16, seed=2).to(dtype).requires_grad_()
    cotangent = numbers(10, 16, seed=3).to(dtype)
    cotangent[8:] = 0.0
    with PortableMode():
        ours = torch._grouped_mm(left, right, offs=offs)
        gradients = torch.autograd.grad(ours, (left, right), cotangent)
        columns = aten._grouped_mm(right.mT, left.detach().mT, offs)
        alone = aten._grouped_mm(left.detach().unsqueeze(0), right.detach()[:1])
    groups = [slice(0, 3), slice(3, 3), slice(3, 8)]
    wanted = torch.cat([left[group] @ right[place] for place, group in enumerate(groups)])
    error = 1e-5 if dtype == torch.float32 else 2e-2
    close = partial(torch.testing.assert_close, rtol=error, atol=error)
    close(ours[:8], wanted)
    for each, other in zip(gradients, torch.autograd.grad(wanted, (left, right), cotangent[:8]), strict=True):
        close(each, other)
    assert ours.dtype == dtype
    assert not ours[8:].any()
    close(columns, ours.mT)
    close(alone[0], left @ right[0])


def test_every_product_of_aten_is_in_the_table() -> None:
    names = ["mm", "bmm", "addmm", "baddbmm", "addbmm", "mv", "addmv", "dot", "vdot", "addr", "_trilinear"]
    assert all(OPERATIONS[name].kind == "replaced" for name in names)
