"""Convolutions: PyTorch's values, forward and backward, and the same bits whatever computes them."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from seedbed.portable import PortableMode
from seedbed.portable import convolution as module
from seedbed.portable.convolution import convolution, convolution_backward
from seedbed.portable.sums import tree
from tests.portable_runs import split_by_settings
from tests.test_portable_products import numbers

aten = torch.ops.aten
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
ALL = [True, True, True]


@dataclass(frozen=True)
class Case:
    """Arguments of aten's."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    rest: tuple[Any, Any, Any, Any, Any, Any]

    def forward(self) -> Tensor:
        return convolution(self.x, self.weight, self.bias, *self.rest)

    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        sizes = None if self.bias is None else list(self.bias.shape)
        return convolution_backward(grad, self.x, self.weight, sizes, *self.rest, ALL)

    def native(self, dtype: torch.dtype) -> "Native":
        bias = None if self.bias is None else self.bias.to(dtype)
        return Native(self.x.to(dtype), self.weight.to(dtype), bias, self.rest)


class Native(Case):
    """PyTorch's own, to compare with."""

    def forward(self) -> Tensor:
        result: Tensor = aten.convolution(self.x, self.weight, self.bias, *self.rest)
        return result

    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        sizes = [self.weight.shape[1] * self.rest[5] if self.rest[3] else len(self.weight)]
        result: tuple[Tensor | None, ...] = aten.convolution_backward(grad, self.x, self.weight, sizes, *self.rest, ALL)
        return result


def case(
    x: tuple[int, ...],
    weight: tuple[int, ...],
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    transposed: bool = False,
    output_padding: int = 0,
    groups: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Case:
    dims = len(x) - 2
    rest = ([stride] * dims, [padding] * dims, [dilation] * dims, transposed, [output_padding] * dims, groups)
    bias = numbers(weight[1] * groups if transposed else weight[0], dtype=dtype, seed=5)
    return Case(numbers(*x, dtype=dtype), numbers(*weight, dtype=dtype, seed=4), bias, rest)


CASES = {
    "1d": case((3, 4, 20), (6, 4, 5), padding=2),
    "2d": case((3, 4, 9, 8), (6, 4, 3, 2), padding=1),
    "3d": case((2, 3, 5, 6, 4), (4, 3, 2, 3, 2), padding=1, stride=2),
    "strided": case((3, 4, 11, 11), (6, 4, 3, 3), stride=2, padding=1),
    "dilated": case((3, 4, 11, 11), (6, 4, 3, 3), dilation=2, padding=2, stride=3),
    "grouped": case((3, 6, 7, 7), (9, 2, 3, 3), groups=3),
    "depthwise": case((3, 6, 7, 7), (6, 1, 3, 3), groups=6, padding=1),
    "depthwise, 1d, dilated": case((3, 6, 20), (6, 1, 4), groups=6, padding=3, dilation=2),
    "depthwise, 3d": case((2, 4, 5, 6, 4), (4, 1, 2, 3, 2), groups=4, padding=1),
    "depthwise, strided": case((3, 6, 8, 9), (6, 1, 3, 2), groups=6, padding=1, stride=2, dilation=2),
    "depthwise, transposed": case((2, 4, 5, 6), (4, 1, 3, 3), transposed=True, stride=2, output_padding=1, groups=4),
    "depthwise, long steps": case((2, 4, 9, 9), (4, 1, 3, 3), groups=4, stride=3),
    "pointwise": case((3, 6, 5, 7), (4, 6, 1, 1)),
    "pointwise, strided": case((3, 6, 5, 7), (4, 6, 1, 1), stride=2),
    "pointwise, padded": case((3, 6, 5, 7), (4, 6, 1, 1), padding=1),
    "patches": case((2, 3, 16, 16), (8, 3, 4, 4), stride=4),
    "transposed": case((3, 4, 5, 5), (4, 6, 3, 3), transposed=True, stride=2, padding=1, output_padding=1),
    "transposed, grouped": case((2, 4, 5), (4, 3, 3), transposed=True, dilation=2, groups=2),
    "rows left over": case((2, 3, 10, 10), (4, 3, 3, 3), stride=4),
}


@DTYPES
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_pytorchs(name: str, dtype: torch.dtype) -> None:
    like = CASES[name]
    bias = None if like.bias is None else like.bias.to(dtype)
    given_case = Case(like.x.to(dtype), like.weight.to(dtype), bias, like.rest)
    expected = given_case.native(torch.float64)
    found = given_case.forward()
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected.forward().to(dtype))
    grad = numbers(*found.shape, dtype=dtype, seed=6)
    for ours, theirs in zip(given_case.backward(grad), expected.backward(grad.double()), strict=True):
        assert ours is not None
        assert theirs is not None
        torch.testing.assert_close(ours, theirs.to(dtype))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_geometry(data: st.DataObject) -> None:
    dims, groups, transposed = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)), data.draw(st.booleans())
    each, others, n = (data.draw(st.integers(1, 3)) for _ in range(3))
    sizes, kernel = ([data.draw(st.integers(1, most)) for _ in range(dims)] for most in (7, 3))
    stride, dilation = ([data.draw(st.integers(1, 3)) for _ in range(dims)] for _ in range(2))
    padding = [data.draw(st.integers(0, 2)) for _ in range(dims)]
    more = [
        data.draw(st.integers(0, max(s, d) - 1)) if transposed else 0 for s, d in zip(stride, dilation, strict=True)
    ]
    shape = (each * groups, others) if transposed else (others * groups, each)
    rest = (stride, padding, dilation, transposed, more, groups)
    drawn = Case(numbers(n, each * groups, *sizes), numbers(*shape, *kernel), numbers(others * groups), rest)
    try:
        expected = drawn.native(torch.float64).forward()
    except RuntimeError:
        assume(False)
    assert (drawn.forward() - expected).abs().max() <= 1e-5
    grad = numbers(*expected.shape, seed=6)
    for ours, theirs in zip(drawn.backward(grad), drawn.native(torch.float64).backward(grad.double()), strict=True):
        assert ours is not None
        assert theirs is not None
        assert (ours - theirs).abs().max() <= 1e-4


def some() -> dict[str, Tensor]:
    """The results of every case, and of a larger one, which is also computed plainly."""
    found: dict[str, Tensor] = {}
    large = case((4, 32, 24, 24), (40, 32, 3, 3), padding=1)
    for name, each in (CASES | {"large": large}).items():
        found[name] = each.forward()
        gradients = each.backward(numbers(*found[name].shape, seed=6))
        found |= {f"{name} {index}": grad for index, grad in enumerate(gradients) if grad is not None}
    plain = large.native(torch.float32)
    gradients = plain.backward(numbers(*found["large"].shape, seed=6))
    return found | {"plain": torch.cat([each.flatten() for each in (plain.forward(), *gradients) if each is not None])}


def test_bits_do_not_depend_on_the_instruction_set_nor_on_threads_while_plain_convolutions_do() -> None:
    assert split_by_settings(some)[1] == {"plain"}


def test_errors_are_no_larger_than_pytorchs() -> None:
    """For float32; of float64, there is no convolution of more precision to compare with: products are compared."""
    large = case((4, 32, 14, 14), (40, 32, 3, 3), padding=1)
    exact, plain = large.native(torch.float64), large.native(torch.float32)
    grad = numbers(*large.forward().shape, seed=6)
    results = zip(
        (large.forward(), *large.backward(grad)),
        (plain.forward(), *plain.backward(grad)),
        (exact.forward(), *exact.backward(grad.double())),
        strict=True,
    )
    for ours, theirs, expected in results:
        assert ours is not None
        assert theirs is not None
        assert expected is not None
        assert (ours - expected).abs().max() <= (theirs - expected).abs().max()
        assert (ours - expected).abs().mean() <= (theirs - expected).abs().mean()


@DTYPES
@pytest.mark.parametrize("name", ["2d", "strided", "grouped", "pointwise", "transposed"])
def test_a_sample_does_not_depend_on_the_others(name: str, dtype: torch.dtype) -> None:
    like = CASES[name]
    given_case = Case(like.x.to(dtype), like.weight.to(dtype), None, like.rest)
    one = Case(given_case.x[1:2], given_case.weight, None, like.rest)
    found = given_case.forward()
    grad = numbers(*found.shape, dtype=dtype)
    of_all, of_one = given_case.backward(grad)[0], one.backward(grad[1:2])[0]
    assert torch.equal(one.forward(), found[1:2])
    assert of_all is not None
    assert of_one is not None
    assert torch.equal(of_one, of_all[1:2])


@pytest.mark.parametrize("name", CASES)
def test_pieces_do_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = CASES[name].forward()
    gradients = CASES[name].backward(numbers(*found.shape, seed=6))
    monkeypatch.setattr(module, "_PIECE", 200)
    monkeypatch.setattr(tree, "BLOCK", 200)
    assert torch.equal(CASES[name].forward(), found)
    for ours, theirs in zip(CASES[name].backward(numbers(*found.shape, seed=6)), gradients, strict=True):
        assert ours is not None
        assert theirs is not None
        assert torch.equal(ours, theirs)


def test_the_layout_in_memory_does_not_matter() -> None:
    like = CASES["2d"]
    moved = Case(
        like.x.to(memory_format=torch.channels_last),
        like.weight.transpose(0, 1).contiguous().transpose(0, 1),
        like.bias,
        like.rest,
    )
    found = like.forward()
    assert torch.equal(moved.forward(), found)
    grad = numbers(*found.shape[1:]).expand(found.shape)
    for ours, theirs in zip(moved.backward(grad), like.backward(grad.contiguous()), strict=True):
        assert ours is not None
        assert theirs is not None
        assert torch.equal(ours, theirs)


@DTYPES
def test_the_gradient_of_a_large_output_is_summed_in_several_parts(dtype: torch.dtype) -> None:
    wide = case((2, 1, 90, 80), (2, 1, 3, 3), dtype=dtype)
    long = case((2, 1, 9000), (2, 1, 3), dtype=dtype)
    deep = case((3, 16, 40, 40), (64, 16, 3, 3), dtype=dtype)
    for each in (wide, long, deep):
        grad = numbers(*each.forward().shape, dtype=dtype)
        ours, theirs = each.backward(grad)[1], each.native(torch.float64).backward(grad.double())[1]
        assert ours is not None
        assert theirs is not None
        torch.testing.assert_close(ours, theirs.to(dtype), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
def test_infinities_and_nan_are_where_pytorch_has_them(transposed: bool, groups: int) -> None:
    given_case = case((2, 3, 6, 6), (3, 3 // groups, 3, 3), padding=1, transposed=transposed, groups=groups)
    given_case.x[0, 0, 2, 2], given_case.x[0, 1, 5, 5], given_case.x[1, 2, 0, 0] = math.inf, -math.inf, math.nan
    native = given_case.native(torch.float64)
    found = given_case.forward()
    torch.testing.assert_close(found, native.forward().float(), equal_nan=True)
    assert torch.isfinite(found).any()
    grad = numbers(*found.shape)
    grad[1, 1, 3, 3] = math.inf
    for ours, theirs in zip(given_case.backward(grad), native.backward(grad.double()), strict=True):
        assert ours is not None
        assert theirs is not None
        torch.testing.assert_close(ours, theirs.float(), equal_nan=True, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("transposed", [False, True])
def test_an_infinite_weight_of_a_channel_s_own_reaches_no_further_than_its_window(transposed: bool) -> None:
    given_case = case((2, 3, 6, 6), (3, 1, 3, 3), transposed=transposed, groups=3, padding=0 if transposed else 1)
    given_case.weight[1, 0, 0, 0] = math.inf
    native = given_case.native(torch.float64)
    torch.testing.assert_close(given_case.forward(), native.forward().float(), equal_nan=True)


@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (2, 0, 5, 5)])
@pytest.mark.parametrize("transposed", [False, True])
def test_empty_batches(shape: tuple[int, ...], transposed: bool) -> None:
    weight = (shape[1], 4, 3, 3) if transposed else (4, shape[1], 3, 3)
    given_case = case(shape, weight, transposed=transposed)
    found = given_case.forward()
    size = 7 if transposed else 3
    assert found.shape == (shape[0], 4, size, size)
    assert given_case.bias is not None
    assert torch.equal(found, given_case.bias.view(4, 1, 1).expand_as(found))
    of_x, of_weight, of_bias = given_case.backward(torch.ones_like(found))
    assert of_x is not None
    assert of_weight is not None
    assert of_bias is not None
    assert (of_x.shape, of_weight.shape) == (shape, weight)
    assert of_bias.tolist() == [found.numel() / 4] * 4


def test_only_what_is_asked_for_is_computed() -> None:
    like = CASES["2d"]
    grad = torch.ones_like(like.forward())
    for index in range(3):
        mask = [index == each for each in range(3)]
        found = convolution_backward(grad, like.x, like.weight, [6], *like.rest, mask)
        assert [each is not None for each in found] == mask


def test_the_switches_of_cudnn_change_nothing() -> None:
    like = CASES["2d"]
    with PortableMode():
        found = aten._convolution(like.x, like.weight, like.bias, *like.rest, True, True, True, True)
    assert torch.equal(found, like.forward())


@pytest.mark.parametrize(
    ("given_case", "message"),
    [
        (case((2, 3, 5, 5), (4, 2, 3, 3)), r"shape \(2, 3, 5, 5\) cannot be convolved with a weight of \(4, 2, 3, 3\)"),
        (case((2, 4, 5, 5), (3, 2, 3, 3), groups=2), "in 2 groups"),
        (case((2, 3, 2, 5), (4, 3, 3, 3)), r"the kernel \(3, 3\) leaves nothing of the size \(2, 5\)"),
        (Case(numbers(2, 3, 5), numbers(4, 3, 3).double(), None, CASES["1d"].rest), "should be the same"),
    ],
)
def test_what_does_not_fit_is_refused(given_case: Case, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        given_case.forward()
