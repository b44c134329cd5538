"""Autocast on a GPU, without a GPU: tensors of CUDA's types and shapes, without numbers, through PyTorch's own lists.

What is asked of portable mode, of which operations and types, is the same as on a CPU.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from seedbed.portable import NotPortableError, PortableMode, autocast
from seedbed.portable.dispatcher import find
from tests.portable_asked import answers, cuda

Make = Callable[..., Tensor]
"""Makes a tensor of a shape, on the device; of `low` precision, of the type that autocast casts to."""
Program = Callable[[Make], list[Any]]


def on_the_list_of_cuda_alone(make: Make) -> list[Any]:
    x = make(4, 4, low=True)
    return [
        x.exp(),
        x.pow(2),
        x.softmax(1),
        x.log_softmax(1),
        x.sum(),
        x.cumsum(0),
        x.norm(),
        x.reciprocal(),
        F.layer_norm(x, (4,)),
        F.group_norm(x, 2),
        F.softplus(x),
        F.cosine_similarity(x, x),
    ]


def on_the_list_of_a_cpu_alone(make: Make) -> list[Any]:
    x = make(1, 1, 4, 4, 4, low=True)
    return [
        x[0, 0, 0].trace(),
        x.quantile(0.5),
        torch.linalg.inv(x[0, 0, 0]),
        torch.fft.fft(x),
        torch.polar(x, x),
        F.avg_pool3d(x, 2),
        F.max_pool3d(x, 2),
        F.adaptive_avg_pool3d(x, 2),
        F.pad(x[0, 0], (1, 1), mode="reflect"),
        F.pad(x[0, 0], (1, 1), mode="replicate"),
    ]


def on_both_lists(make: Make) -> list[Any]:
    x, low = make(4, 4), make(4, 4, low=True)
    probability, grid = low.sigmoid(), make(1, 4, 4, 2, low=True)
    return [
        x @ x,
        x @ low,
        x.prod(),
        low.prod(),
        low.prod(0, dtype=low.dtype),
        F.prelu(x, x[0]),
        F.linear(low, x, x[0]),
        torch.cdist(low, low),
        torch.linalg.vecdot(x, x),
        F.mse_loss(low, low),
        F.cross_entropy(low, make(4).long()),
        F.binary_cross_entropy(probability, probability),  # CUDA's would refuse it
        F.binary_cross_entropy_with_logits(low, probability),
        F.grid_sample(low[None, None], grid, align_corners=False),
        F.scaled_dot_product_attention(x[None], x[None], x[None]),
    ]


def of_two_types(make: Make) -> list[Any]:
    x, low = make(4, 4), make(4, 4, low=True)
    return [
        torch.cat([x, low]),
        torch.stack([low, low]),
        torch.index_copy(x, 0, make(4).long(), low),
        torch.index_copy(low, 0, make(4).long(), x),
        torch.index_copy(low, 0, make(4).long(), low),
        torch.addcmul(x, low, low),
        torch.atan2(x, low),
        torch.mm(x.double(), x.double()),
    ]


def products_by_other_names(make: Make) -> list[Any]:
    x = make(4, 4)
    return [
        torch.einsum("ij,jk->ik", x, x),
        torch.tensordot(x, x, 1),
        torch.linalg.multi_dot([x, x, x]),
        x.mv(x[0]),
        x[0].addmv(x, x[0]),
        x.addr(x[0], x[0]),
        x[0].dot(x[0]),
        torch.bilinear(x, x, make(3, 4, 4), None),
        torch.convolution(x[None], make(2, 4, 3), None, [1], [1], [1], False, [0], 1),
    ]


def convolutions(make: Make) -> list[Any]:
    signal, image, volume = make(1, 2, 9), make(1, 2, 9, 9), make(1, 2, 5, 5, 5)
    return [
        F.conv1d(signal, make(3, 2, 3), make(3), padding=1),
        F.conv1d(signal, make(3, 2, 4), padding="same"),
        F.conv1d(signal, make(3, 2, 3), padding="same", dilation=2),
        F.conv2d(image, make(3, 2, 3, 2), make(3), padding="same", dilation=(1, 3)),
        F.conv2d(image, make(4, 1, 2, 2), padding="same", groups=2),
        F.conv2d(image, make(3, 2, 3, 3), stride=2, padding="valid"),
        F.conv3d(volume, make(3, 2, 2, 3, 4), padding="same"),
        F.conv3d(volume, make(3, 2, 2, 3, 4), padding="valid"),
        F.conv_transpose2d(image, make(2, 3, 3, 3)),
    ]


def networks(make: Make) -> list[Any]:
    device = make(1).device
    with device:
        recurrent = nn.LSTM(4, 5, 2), nn.GRU(4, 5, bidirectional=True), nn.RNN(4, 5)
        encoder, decoder = nn.TransformerEncoderLayer(8, 2, 16, 0.0), nn.TransformerDecoderLayer(8, 2, 16, 0.0)
        block = nn.Sequential(nn.Conv2d(2, 4, 3, padding="same"), nn.GroupNorm(2, 4), nn.ReLU(), nn.AvgPool2d(2))
    found: list[Any] = [layer.requires_grad_(False)(make(3, 2, 4)) for layer in recurrent]
    seen = encoder.requires_grad_(False)(make(3, 2, 8))
    found.append(decoder.requires_grad_(False)(make(4, 2, 8), seen))
    return [*found, block.requires_grad_(False)(make(2, 2, 6, 6))]


WRONG = [
    {"stride": 2, "padding": "same"},
    {"padding": "another"},
    {"stride": (1, 1, 1), "padding": "same"},
    {"dilation": (1, 1, 1), "padding": "same"},
    {"stride": (1, 1, 1), "padding": "valid"},
]
PROGRAMS = [
    on_the_list_of_cuda_alone,
    on_the_list_of_a_cpu_alone,
    on_both_lists,
    of_two_types,
    products_by_other_names,
    convolutions,
    networks,
]


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let portable mode do what it does where there is a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with cuda():
        yield


def asked_by(program: Program, device: str, dtype: torch.dtype) -> tuple[list[str], list[Any]]:
    """Run a program below autocast: give what it asks for, and the types and shapes of its results."""

    def make(*shape: int, low: bool = False) -> Tensor:
        return torch.empty(shape, device=device, dtype=dtype if low else None)

    return answers(lambda: program(make), device, dtype)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.filterwarnings("ignore:Using padding='same'", "ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.usefixtures("on_a_gpu")
def test_a_gpu_is_asked_for_what_a_cpu_is_asked_for(program: Program, dtype: torch.dtype) -> None:
    with PortableMode():
        found = asked_by(program, "cuda", dtype)
        assert found == asked_by(program, "cpu", dtype)
    if program is not networks:  # outside, oneDNN has an LSTM of its own, of another type
        assert asked_by(program, "cpu", dtype)[1] == found[1]


@pytest.mark.usefixtures("on_a_gpu")
def test_pytorchs_own_lists_are_others_and_come_back() -> None:
    before = asked_by(on_the_list_of_cuda_alone, "cuda", torch.bfloat16)
    with PortableMode():
        inside = asked_by(on_the_list_of_cuda_alone, "cuda", torch.bfloat16)
    assert before == asked_by(on_the_list_of_cuda_alone, "cuda", torch.bfloat16) != inside
    assert not autocast.lists.on
    with pytest.raises(RuntimeError, match="unsafe to autocast"):
        asked_by(on_both_lists, "cuda", torch.bfloat16)


@pytest.mark.usefixtures("on_a_gpu")
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_an_input_that_only_a_cpu_would_cast_once_is_refused() -> None:
    """Autograd adds up its gradient in the type after the cast, or before it."""

    def program(make: Make, *, pad: bool = False) -> list[Any]:
        x = make(1, 2, 9).requires_grad_()
        even, odd = make(2, 2, 4), make(2, 2, 3)
        F.conv1d(x * 2, even, padding="same")
        F.conv1d(x, odd, padding="same")
        return [F.conv1d(F.pad(x, (0, 1)), even, padding=1) if pad else F.conv1d(x, even, padding="same")]

    with PortableMode():
        asked_by(program, "cpu", torch.bfloat16)
        asked_by(partial(program, pad=True), "cuda", torch.bfloat16)
        with pytest.raises(NotPortableError, match=r"conv1d.*pad it by torch.nn.functional.pad.*called at"):
            asked_by(program, "cuda", torch.bfloat16)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("sizes", "dilation"), [((4,), 1), ((3,), 2), ((2, 3), (3, 1)), ((3, 2, 4), 1)])
def test_padding_by_numbers_is_padding_by_name(padding: str, sizes: tuple[int, ...], dilation: Any) -> None:
    x, weight, bias = (torch.randn(shape) for shape in ((2, 4, *(9,) * len(sizes)), (6, 2, *sizes), (6,)))
    name = f"conv{len(sizes)}d.padding"
    dilations = dilation if isinstance(dilation, tuple) else (dilation,)
    found = autocast._padded(find(name), autocast.PADDED[name], x, weight, bias, (1,), padding, dilations, 2)
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(sizes)]
    torch.testing.assert_close(found, convolve(x, weight, bias, 1, padding, dilation, 2))


@pytest.mark.usefixtures("on_a_gpu")
@pytest.mark.parametrize("options", WRONG)
def test_what_a_convolution_may_not_be_is_pytorchs_to_say(options: dict[str, Any]) -> None:
    with PortableMode():
        for device in ("cuda", "cpu"):
            with pytest.raises(RuntimeError, match="padding|stride|dilation"):
                asked_by(lambda make: [F.conv2d(make(1, 1, 5, 5), make(1, 1, 3, 3), **options)], device, torch.bfloat16)


@pytest.mark.usefixtures("on_a_gpu")
@pytest.mark.parametrize("key", ["AutocastCPU", "AutocastCUDA"])
def test_what_others_register_for_autocast_is_left_alone(key: str) -> None:
    with torch.library._scoped_library("seedbed_tests", "FRAGMENT") as library:
        library.define("others(Tensor x) -> Tensor")
        library.impl("others", lambda x: x, key)
        with PortableMode():
            assert autocast.lists.on
            assert torch._C._dispatch_has_kernel_for_dispatch_key("seedbed_tests::others", key)


@pytest.mark.usefixtures("on_a_gpu")
def test_the_other_type_of_low_precision_is_refused_where_a_cpu_refuses_it() -> None:
    def half(make: Make) -> list[Any]:
        return [torch.cat([make(4), make(4).half()]), torch.cat([make(4, low=True), make(4).half()])]

    with PortableMode():
        for device in ("cuda", "cpu"):
            assert asked_by(lambda make: half(make)[:1], device, torch.float16)[1] == [("torch.float32", (8,))]
            with pytest.raises(RuntimeError, match="autocast"):
                asked_by(half, device, torch.bfloat16)


def test_without_a_gpu_nothing_is_put_in_place() -> None:
    with PortableMode():
        assert not autocast.lists.on


def test_each_operation_is_on_pytorchs_list() -> None:
    """A list of ours that names what a newer PyTorch no longer has, or has another rule for, would be of no effect."""
    named = autocast.LOWER | autocast.REFUSED | autocast.WIDEST | set(autocast.PADDED)
    assert named <= autocast._names("AutocastCPU")
    assert autocast._names("AutocastCUDA") >= autocast.LOWER
