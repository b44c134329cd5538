"""Operations that move, compare and select: PyTorch's own, but for the zeros, ties and ranges that kernels decide."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seedbed.errors import NotPortableError
from seedbed.portable import PortableMode
from seedbed.portable.exact import OTHERWISE_LAID_OUT
from seedbed.portable.table import OPERATIONS, add
from tests.portable_native import same

ZEROS = torch.tensor([0.0, -0.0] * 17)


def negative(x: Tensor) -> list[bool]:
    flags: list[bool] = x.signbit().reshape(-1).tolist()
    return flags


def test_plain_pytorch_answers_which_zero_is_larger_by_the_number_of_elements() -> None:
    """The reason for everything about zeros here; where this fails, PyTorch has changed, and the cure may go."""
    assert negative(torch.maximum(ZEROS[:2], -ZEROS[:2])) != negative(torch.maximum(ZEROS[:16], -ZEROS[:16]))[:2]
    assert negative(torch.max(ZEROS[:2])) != negative(torch.max(ZEROS[:3]))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 17, 34])
@pytest.mark.parametrize(
    "extreme",
    [
        lambda x: torch.maximum(x, -x),
        lambda x: torch.minimum(x, -x),
        lambda x: torch.fmax(x, -x),
        lambda x: torch.fmin(x, -x),
        torch.amax,
        torch.amin,
        torch.max,
        torch.min,
        lambda x: torch.cat([each.reshape(1) for each in torch.aminmax(x)]),
        lambda x: torch.max(x, dim=0).values,
        lambda x: torch.min(x, dim=0).values,
        torch.relu,
        lambda x: torch.clamp(x, min=0.0),
        lambda x: torch.clamp_min(x, 0.0),
        lambda x: torch.clamp_max(x, 0.0),
        lambda x: torch.nn.functional.hardtanh(x, 0.0, 1.0),
    ],
)
def test_the_extreme_of_zeros_is_0(extreme: object, count: int) -> None:
    with PortableMode():
        result = extreme(ZEROS[:count].clone())  # type: ignore[operator]
    assert not any(negative(result))


def test_extremes_are_those_of_pytorch() -> None:
    x = torch.randn(7, 9, generator=torch.Generator().manual_seed(3))
    x[0, 0] = float("nan")
    with PortableMode():
        found = [*torch.max(x, dim=1), *torch.min(x, dim=0, keepdim=True), torch.clamp(x, -0.5, 0.5), torch.relu(x)]
    expected = [*torch.max(x, dim=1), *torch.min(x, dim=0, keepdim=True), torch.clamp(x, -0.5, 0.5), torch.relu(x)]
    for each, other in zip(found, expected, strict=True):
        torch.testing.assert_close(each, other, rtol=0, atol=0, equal_nan=True)


def test_a_sort_is_stable_and_the_largest_are_its_first() -> None:
    x = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0] * 40)
    with PortableMode():
        values, indices = torch.sort(x, descending=True)
        top = torch.topk(x, 4)
        least = torch.topk(x, 3, largest=False)
        third = torch.kthvalue(x, 3)
    assert indices[:120].tolist() == [index for index in range(200) if x[index] == 1.0]
    assert (top.values.tolist(), top.indices.tolist()) == ([1.0] * 4, [0, 2, 4, 5])
    assert least.indices.tolist() == [1, 3, 6]
    assert (third.values.item(), third.indices.item()) == (0.0, 6)
    assert values.shape == x.shape


def test_a_single_number_is_sorted_too() -> None:
    x = torch.tensor(2.0)
    with PortableMode():
        assert torch.topk(x, 1).values.item() == 2.0
        assert torch.kthvalue(x, 1).values.item() == 2.0
        assert torch.sort(x).indices.item() == 0


@pytest.mark.parametrize("arguments", [(5,), (2, 7), (0.0, 1.0, 0.1), (1, 0, -0.25), (3, 3)])
def test_a_range_has_the_numbers_of_pytorch(arguments: tuple[float, ...]) -> None:
    with PortableMode():
        found = torch.arange(*arguments)
        double = torch.arange(*arguments, dtype=torch.float64)
    torch.testing.assert_close(found, torch.arange(*arguments))
    torch.testing.assert_close(double, torch.arange(*arguments, dtype=torch.float64))


def test_a_range_is_one_multiplication_and_one_addition() -> None:
    with PortableMode():
        found = torch.arange(0.1, 100.0, 0.1, dtype=torch.float64)
    assert found.tolist() == [index * 0.1 + 0.1 for index in range(found.numel())]


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 8])
def test_linspace_has_both_ends(steps: int) -> None:
    with PortableMode():
        found = torch.linspace(-1.0, 3.0, steps)
    torch.testing.assert_close(found, torch.linspace(-1.0, 3.0, steps))
    assert steps < 2 or (found[0].item(), found[-1].item()) == (-1.0, 3.0)


def test_rounding_to_integers_is_exact_and_to_decimals_refused() -> None:
    x = torch.tensor([0.5, 1.5, -2.5, 3.2])
    with PortableMode():
        assert torch.round(x).tolist() == [0.0, 2.0, -2.0, 3.0]
        with pytest.raises(NotPortableError, match=r"aten.round.decimals .*with decimals"):
            torch.round(x, decimals=1)


def test_integers_are_left_to_pytorch() -> None:
    x = torch.tensor([3, -1, 2])
    with PortableMode():
        assert torch.relu(x).tolist() == [3, 0, 2]
        assert torch.clamp(x, min=0).dtype == torch.int64
        assert torch.amax(x).item() == 3


def test_every_name_in_the_table_is_one_of_atens() -> None:
    missing = [
        name for name in OPERATIONS if not hasattr(torch.ops.aten, name) and not hasattr(torch.ops.aten, f"{name}_")
    ]
    assert [name for name in missing if not name.endswith("_copy")] == []


def test_an_operation_is_entered_once() -> None:
    with pytest.raises(ValueError, match="'relu' is in the table already, as replaced"):
        add("relu", kind="exact")


@pytest.mark.parametrize("function", [torch.median, torch.nanmedian])
@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_medians_are_those_of_pytorch(function: Callable[..., Any], size: int) -> None:
    x = torch.randn(3, size, generator=torch.Generator().manual_seed(8))
    x[1, 0] = float("nan")
    if function is torch.median or size == 1:  # of NaN alone, the index that nanmedian gives is any
        x[2, :] = float("nan")
    with PortableMode():
        found = [function(x), *function(x, 1), *function(x[:2], 0, keepdim=True), function(torch.tensor(1.0), 0)[0]]
    expected = [function(x), *function(x, 1), *function(x[:2], 0, keepdim=True), torch.tensor(1.0)]
    for each, other in zip(found, expected, strict=True):
        torch.testing.assert_close(each, other, rtol=0, atol=0, equal_nan=True)


def test_the_median_of_nothing_is_nan() -> None:
    with PortableMode():
        assert torch.median(torch.empty(0)).isnan()


NAN, INF = torch.nan, torch.inf


def test_types_narrower_than_float16_are_refused() -> None:
    with PortableMode(), pytest.raises(NotPortableError, match="not for torch.float8_e4m3fn"):
        torch.ones(2).to(torch.float8_e4m3fn)


def test_the_sign_of_nan_is_not_seen() -> None:
    """It is the hardware's: NaN from 0 / 0 is negative on x86, and positive on a GPU."""
    nans = torch.tensor([0x7FC00000, -0x400000], dtype=torch.int32).view(torch.float32)
    assert nans.signbit().tolist() == [False, True]
    with PortableMode():
        assert torch.copysign(torch.ones(2), nans).tolist() == [1.0, 1.0]
        assert nans.signbit().tolist() == [False, False]
        assert torch.sort(torch.cat([nans, torch.ones(1)])).values.signbit().tolist() == [False] * 3


def test_the_exponent_of_what_has_none_is_0() -> None:
    with PortableMode():
        mantissa, exponent = torch.frexp(torch.tensor([INF, NAN, 12.0, 0.0]))
    assert exponent.tolist() == [0, 0, 4, 0]
    assert mantissa[2] == 0.75


@pytest.mark.parametrize("function", [torch.cummax, torch.cummin])
def test_the_largest_so_far_is_pytorchs_on_a_cpu(function: Callable[..., Any]) -> None:
    x = torch.tensor([[1.0, -2.0, 3.0, NAN, 5.0, NAN, 7.0], [0.0, -0.0, 0.0, 1.0, 1.0, INF, -INF]])
    with PortableMode():
        found, whole = function(x, 1), function(torch.tensor([3, 1, 3]), 0)
    for each, expected in zip(found, function(x, 1), strict=True):
        torch.testing.assert_close(each, expected, rtol=0, atol=0, equal_nan=True)
    assert not found.values.masked_fill(found.values.isnan(), 0.0).eq(0).logical_and(found.values.signbit()).any()
    assert whole.indices.tolist() == function(torch.tensor([3, 1, 3]), 0).indices.tolist()


def test_the_median_of_integers_has_the_index_of_a_stable_sort() -> None:
    x = torch.tensor([[2, 1, 2, 3, 2, 0, 2] * 30])
    with PortableMode():
        values, indices = torch.median(x, 1)
        least = torch.sort(x, dim=1, stable=True)
    assert (values.item(), indices.item()) == (2, least.indices[0, 104].item())


def test_distinct_numbers_have_one_zero_and_are_sorted() -> None:
    x = torch.tensor([3.0, -0.0, 1.0, 0.0, 3.0])
    with PortableMode():
        found, places, counts = torch.unique(x, sorted=False, return_inverse=True, return_counts=True)
        same(found, torch.tensor([0.0, 1.0, 3.0]))
        assert (places.tolist(), counts.tolist()) == ([2, 0, 1, 0, 2], [2, 1, 2])
        same(torch.unique_consecutive(torch.tensor([-0.0, 0.0, 1.0])), torch.tensor([0.0, 1.0]))
        same(torch.unique(torch.stack([x[1:2], x[3:4]]), dim=0), torch.tensor([[0.0]]))
        assert torch.unique(torch.tensor([3, 1, 3])).tolist() == [1, 3]
        for unique in (torch.unique, torch.unique_consecutive):
            with pytest.raises(NotPortableError, match="it is given NaN"):
                unique(torch.tensor([1.0, NAN]))


def test_bounds_are_not_rounded_to_narrow_types() -> None:
    """float16 has 0.3 as 0.30005, which is above it; kernels that round the bound call both the same."""
    x = torch.tensor([0.3], dtype=torch.float16)
    with PortableMode():
        assert torch.nn.functional.threshold(x, 0.3, 20.0).tolist() == x.tolist()
        assert torch.nn.functional.hardshrink(x, 0.3).tolist() == x.tolist()
        assert torch.ops.aten.threshold_backward(x, x, 0.3).tolist() == x.tolist()
        assert torch.ops.aten.hardtanh_backward(x, x, -1.0, 0.3).tolist() == [0.0]


def test_packed_sequences_are_pytorchs() -> None:
    x, lengths = torch.arange(24.0).reshape(2, 4, 3), torch.tensor([3, 4])
    with PortableMode():
        leaf = x.clone().requires_grad_()
        packed = torch.nn.utils.rnn.pack_padded_sequence(leaf, lengths, batch_first=True, enforce_sorted=False)
        padded, counts = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
        (grad,) = torch.autograd.grad(padded.sum(), leaf)
    assert torch.equal(padded[0, :3], x[0, :3])
    assert torch.equal(padded[1], x[1])
    assert counts.tolist() == [3, 4]
    assert grad[0, 3].tolist() == [0.0] * 3


def test_distributions_validate_their_arguments() -> None:
    with PortableMode():
        torch.distributions.Normal(torch.zeros(2), torch.ones(2)).log_prob(torch.zeros(2))
        with pytest.raises(ValueError, match="to satisfy the constraint"):
            torch.distributions.Normal(torch.zeros(2), -torch.ones(2))


IMAGES: dict[str, Callable[[Tensor], Any]] = {
    "adaptive_max_pool2d": lambda x: nn.functional.adaptive_max_pool2d(x[:, :, 0], 2),
    "adaptive_max_pool3d": lambda x: nn.functional.adaptive_max_pool3d(x, 2),
    "channel_shuffle": lambda x: torch.channel_shuffle(x[:, :, 0], 2),
    "native_channel_shuffle": lambda x: torch.native_channel_shuffle(x[:, :, 0], 2),
    "max_pool2d_with_indices": lambda x: nn.functional.max_pool2d(x[:, :, 0], 2, return_indices=True)[1],
    "max_pool3d_with_indices": lambda x: nn.functional.max_pool3d(x, 2),
    "nonzero": torch.nonzero,
    "nonzero_static": lambda x: torch.nonzero_static(x, size=9),
    "pixel_shuffle": lambda x: torch.pixel_shuffle(x[:, :, 0], 2),
    "pixel_unshuffle": lambda x: torch.pixel_unshuffle(x[:, :, 0], 2),
    "reflection_pad1d": lambda x: nn.functional.pad(x[:, :, 0, 0], (1, 1), mode="reflect"),
    "reflection_pad2d": lambda x: nn.functional.pad(x[:, :, 0], (1, 1, 1, 1), mode="reflect"),
    "reflection_pad3d": lambda x: nn.functional.pad(x, (1, 1, 1, 1, 1, 1), mode="reflect"),
    "replication_pad1d": lambda x: nn.functional.pad(x[:, :, 0, 0], (1, 1), mode="replicate"),
    "replication_pad2d": lambda x: nn.functional.pad(x[:, :, 0], (1, 1, 1, 1), mode="replicate"),
    "replication_pad3d": lambda x: nn.functional.pad(x, (1, 1, 1, 1, 1, 1), mode="replicate"),
    "roll": lambda x: x.roll(1, 0),
    "stack": lambda x: torch.stack([x[:, :, 0]] * 2, 2),
}


@pytest.mark.parametrize("name", OTHERWISE_LAID_OUT)
def test_strides_that_differ_by_device_are_those_of_a_contiguous_tensor(name: str) -> None:
    """Of images whose channels are last."""
    x = torch.randn(2, 4, 4, 4, 4).to(memory_format=torch.channels_last_3d)
    with PortableMode():
        found = IMAGES[name](x)
    assert found.stride() == torch.empty(found.shape).stride()
    assert torch.equal(found, IMAGES[name](x))


def test_strides_of_one_element_are_those_of_a_contiguous_tensor() -> None:
    """Which matter for how PyTorch computes a gradient: grey images whose channels are last."""
    x = torch.randn(2, 4, 4, 1).permute(0, 3, 1, 2)
    assert x.is_contiguous()
    with PortableMode():
        assert nn.functional.max_pool2d(x, 2).stride() == (4, 4, 2, 1) != nn.functional.relu(x).stride()
    assert nn.functional.max_pool2d(x, 2).stride() != (4, 4, 2, 1)
