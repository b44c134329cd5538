"""Arithmetic, element by element."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seedbed.portable import PortableMode
from seedbed.portable.pointwise import fmod, number
from tests.portable_runs import split_by_settings

FLOATS = st.floats(width=32, allow_nan=False)
SPECIAL = torch.tensor([0.0, -0.0, 1.0, -1.0, 2.0, -3.5, math.inf, -math.inf, math.nan, 1e-40, -1e38, 0.1])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.nn.functional.softplus(x),
        lambda x: torch.nn.functional.hardsigmoid(x),
        lambda x: torch.nn.functional.smooth_l1_loss(x, x),
        lambda x: torch.hypot(x, x),
        lambda x: torch.logcumsumexp(x, 0),
        lambda x: torch.lerp(x, x, 0.5),
    ],
)
def test_integers_are_refused_where_pytorch_does(function: Callable[[Tensor], Tensor]) -> None:
    x = torch.arange(4)
    with pytest.raises(NotImplementedError):
        function(x)
    with PortableMode(), pytest.raises(NotImplementedError, match="not implemented for torch.int64"):
        function(x)


def any_bits(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Numbers of every magnitude, infinities and NaN among them."""
    generator = torch.Generator().manual_seed(11)
    integers = torch.int32 if dtype == torch.float32 else torch.int64
    limits = torch.iinfo(integers)
    drawn = torch.randint(limits.min, limits.max, (2, count), generator=generator, dtype=torch.int64)
    return drawn.to(integers).view(dtype)


def same(found: Tensor, expected: object) -> bool:
    return bool(np.array_equal(found.numpy(), np.asarray(expected), equal_nan=True))


def test_plain_pytorch_gives_other_remainders_by_instruction_set() -> None:
    """The reason for `fmod`; where this fails, PyTorch has changed, and the cure may go."""
    x, other = any_bits(4096)
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("the scalar kernel is exact")
    with np.errstate(all="ignore"):
        assert not same(torch.fmod(x, other), np.fmod(x.numpy(), other.numpy()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("function", "expected"),
    [(torch.fmod, np.fmod), (torch.remainder, np.remainder), (torch.floor_divide, np.floor_divide)],
)
def test_remainders_are_exact_whatever_the_quotient(function: object, expected: object, dtype: torch.dtype) -> None:
    x, other = any_bits(4096, dtype)
    grid = torch.meshgrid(SPECIAL.to(dtype), SPECIAL.to(dtype), indexing="ij")
    for one, two in ((x, other), grid):
        with PortableMode():
            found = function(one, two)  # type: ignore[operator]
        with np.errstate(all="ignore"):
            assert same(found, expected(one.numpy(), two.numpy()))  # type: ignore[operator]


@given(FLOATS, FLOATS)
def test_a_remainder_is_pythons(x: float, other: float) -> None:
    found = fmod(torch.tensor(x, dtype=torch.float64), other).item()
    expected = math.fmod(x, other) if other and math.isfinite(x) else math.nan
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_remainders_of_integers_and_by_numbers() -> None:
    x = torch.tensor([7, -7, 3])
    with PortableMode():
        assert torch.remainder(x, 4).tolist() == [3, 1, 3]
        assert torch.fmod(x, torch.tensor(4)).tolist() == [3, -3, 3]
        assert torch.fmod(x, 2.5).tolist() == [2.0, -2.0, 0.5]
        assert torch.remainder(5.0, torch.tensor([3.0])).tolist() == [2.0]
        assert torch.floor_divide(x, 2).tolist() == [3, -4, 1]


def test_a_number_is_divided_by_and_not_multiplied_with_its_reciprocal() -> None:
    x = torch.arange(1.0, 2000.0)
    assert not same(x * (1 / 10), x.numpy() / np.float32(10))
    with PortableMode():
        assert same(x / 10, x.numpy() / np.float32(10))
        assert same(x.clone().div_(10), x.numpy() / np.float32(10))
        assert same(torch.reciprocal(x), np.float32(1) / x.numpy())


def test_what_kernels_fuse_is_several_operations() -> None:
    x, y, z = torch.rand(3, 5000, generator=torch.Generator().manual_seed(2)).double()
    a, b, c = x.numpy(), y.numpy(), z.numpy()
    with PortableMode():
        found = {
            "add": torch.add(x, y, alpha=0.3),
            "sub": torch.sub(x, y, alpha=0.3),
            "rsub": torch.rsub(x, y, alpha=0.3),
            "addcmul": torch.addcmul(x, y, z, value=0.3),
            "addcdiv": torch.addcdiv(x, y, z, value=0.3),
            "lerp": torch.lerp(x, y, 0.3),
            "lerp from the end": torch.lerp(x, y, 0.7),
            "lerp by a tensor": torch.lerp(x, y, z),
            "rad2deg": torch.rad2deg(x),
            "deg2rad": torch.deg2rad(x),
        }
    assert same(found["add"], a + 0.3 * b)
    assert same(found["sub"], a - 0.3 * b)
    assert same(found["rsub"], b - 0.3 * a)
    assert same(found["addcmul"], a + (0.3 * b) * c)
    assert same(found["addcdiv"], a + (0.3 * b) / c)
    assert same(found["lerp"], a + 0.3 * (b - a))
    assert same(found["lerp from the end"], b - (b - a) * (1 - 0.7))
    assert same(found["lerp by a tensor"], np.where(c < 0.5, a + c * (b - a), b - (b - a) * (1 - c)))
    assert same(found["rad2deg"], a * (180 / math.pi))
    assert same(found["deg2rad"], a * (math.pi / 180))


def test_numbers_and_promotion_are_pytorchs() -> None:
    whole, real = torch.tensor([1, 2]), torch.tensor([1.5, 2.5])
    with PortableMode():
        assert (whole + 1).dtype == torch.int64
        assert (whole / 2).tolist() == [0.5, 1.0]
        assert (1 - real).tolist() == [-0.5, -1.5]
        assert (2 - whole).tolist() == [1, 0]
        assert (whole + real).tolist() == [2.5, 4.5]
        assert torch.sub(whole, whole, alpha=3).tolist() == [-2, -4]
        assert (real * torch.tensor(2.0, dtype=torch.float64)).dtype == torch.float32
        assert torch.div(real, 2, rounding_mode="trunc").tolist() == [0.0, 1.0]
        assert torch.div(-real, 2, rounding_mode="floor").tolist() == [-1.0, -2.0]
        with pytest.raises(RuntimeError, match="rounding_mode to be one of"):
            torch.div(real, 2, rounding_mode="up")


LONG = 70_000
"""More elements than are worked on at a time."""


@pytest.mark.parametrize(
    "operation",
    [
        lambda x, y, *_: x.add_(y, alpha=0.3),
        lambda x, y, *_: x.sub_(y, alpha=0.3),
        lambda x, y, z: x.addcmul_(y, z, value=0.3),
        lambda x, y, z: x.addcdiv_(y, z, value=0.3),
        lambda x, y, *_: x.lerp_(y, 0.1),
        lambda x, y, *_: x.lerp_(y, 0.9),
        lambda x, y, z: x.lerp_(y, z),
        lambda x, y, *_: x.div_(y),
        lambda x, *_: x.div_(0.7),
        lambda x, y, *_: x.div_(y, rounding_mode="floor"),
        lambda x, y, *_: x.remainder_(y),
    ],
)
def test_in_place_and_in_pieces_the_bits_are_the_same(operation: object) -> None:
    x, y, z = torch.rand(3, LONG, generator=torch.Generator().manual_seed(0)) + 0.1
    with PortableMode():
        parts = [operation(*(each[start : start + 100].clone() for each in (x, y, z))) for start in range(0, LONG, 100)]  # type: ignore[operator]
        columns = operation(*(each.view(7, -1).t().contiguous().t() for each in (x, y, z)))  # type: ignore[operator]
        whole = operation(x, y, z)  # type: ignore[operator]
    assert whole is x
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(whole, columns.reshape(-1))


def test_what_is_written_in_place_keeps_its_shape_and_type() -> None:
    x = torch.ones(3)
    half = torch.ones(3, dtype=torch.bfloat16)
    with PortableMode():
        assert half.add_(x, alpha=0.5) is half
        assert half.tolist() == [1.5] * 3
        with pytest.raises(RuntimeError, match="match the broadcast shape"):
            x.add_(torch.ones(2, 3), alpha=2)
        with pytest.raises(RuntimeError, match="can't be cast"):
            torch.tensor([1, 2]).div_(2)
    assert x.tolist() == [1.0] * 3


def test_memory_that_overlaps_is_read_before_it_is_written() -> None:
    x = torch.arange(float(LONG + 1))
    with PortableMode():
        x[1:].add_(x[:-1], alpha=2)
    assert torch.equal(x[1:], torch.arange(1.0, LONG + 1) + 2 * torch.arange(float(LONG)))
    with PortableMode(), pytest.raises(RuntimeError, match="refer to a single memory location"):
        x.div_(x[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_remainders_of_small_quotients_are_exact_without_a_detour(dtype: torch.dtype) -> None:
    x, other = any_bits(1 << 17, dtype)
    other = torch.where(other.isfinite() & (other.abs() > 1e-30), other, 1.0)
    x = torch.nan_to_num(x.remainder(2**19).nan_to_num() * other, posinf=0.0, neginf=0.0)
    assert bool(((x / other).abs() <= 2**20).all())
    assert same(fmod(x, other), np.fmod(x.numpy(), other.numpy()))


def everything() -> dict[str, Tensor]:
    x, other = any_bits(3000)
    x, other = torch.nan_to_num(x), torch.nan_to_num(other)
    with PortableMode():
        found = {"fmod": torch.fmod(x, other), "lerp": torch.lerp(x, other, 0.3), "div": x / 10}
    return {name: torch.nan_to_num(each) for name, each in found.items()}


def test_bits_are_the_same_with_every_instruction_set() -> None:
    assert split_by_settings(everything)[1] == set()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_factor_of_a_wider_type_is_not_rounded_wherever_it_stands(dtype: torch.dtype) -> None:
    x, factor = torch.randn(1000, generator=torch.Generator().manual_seed(2)).to(dtype), torch.tensor(0.1)
    expected = (x.float() * 0.1).to(dtype)
    with PortableMode():
        products = [x * 0.1, x * factor, factor * x, x * factor.double(), x.clone().mul_(factor)]
    assert all(torch.equal(each, expected) for each in products)
    assert not torch.equal(factor.to(dtype) * x, expected)


def test_a_product_in_place_keeps_its_shape_and_type() -> None:
    x, half = torch.ones(3), torch.ones(2, dtype=torch.float16)
    with PortableMode():
        with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
            x.mul_(torch.ones(2, 3))
        assert x.mul_(torch.full((3,), 0.5, dtype=torch.float64)) is x
        assert half.mul_(torch.tensor([0.5, 3.0])) is half
    assert (x.tolist(), half.tolist()) == ([0.5] * 3, [0.5, 3.0])


def test_a_divisor_on_the_cpu_goes_to_where_it_divides() -> None:
    """CUDA multiplies by the reciprocal of a CPU's number; the meta device stands for it."""
    divisor, far = torch.tensor(10.0), torch.empty(3, device="meta")
    assert number(divisor, far).device.type == "meta"
    assert number(divisor, torch.ones(3)) is divisor
    assert number(torch.empty((), device="meta"), torch.tensor(1.0)).device.type == "meta"
    assert number(torch.ones(3), far).device.type == "cpu"  # an error of PyTorch's own


def test_integers_are_multiplied_as_integers() -> None:
    x = torch.tensor([2**53 + 1, -3])
    with PortableMode():
        assert (x * 3).tolist() == [3 * (2**53 + 1), -9]
        assert (x * True).dtype == torch.int64
        assert (torch.tensor([True]) * torch.tensor([False])).dtype == torch.bool
        assert torch.equal(x * 0.5, torch.tensor([2.0**52, -1.5]))


@pytest.mark.parametrize("mode", ["trunc", "floor"])
def test_quotients_of_integers_that_are_rounded_are_exact(mode: str) -> None:
    x, other = torch.tensor([2**40 + 1, -(2**40) - 1, 2**62 - 1]), torch.tensor([3, 7, -5])
    expected = torch.div(x, other, rounding_mode=mode)
    with PortableMode():
        assert torch.equal(torch.div(x, other, rounding_mode=mode), expected)
        assert torch.div(x[:1], 3, rounding_mode=mode).item() == 2**40 // 3
        assert torch.equal(x.clone().div_(other, rounding_mode=mode), expected)
