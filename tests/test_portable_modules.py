"""The modules, losses and optimizers of torch.nn in portable mode: each trains, and to the same bits everywhere."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seedbed.portable import PortableMode
from tests.portable_runs import split_by_settings


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape)


def whole(high: int, *shape: int) -> Tensor:
    return torch.randint(high, shape)


ACTIVATIONS = """
    ReLU ReLU6 LeakyReLU PReLU ELU CELU SELU GELU SiLU Mish Softplus Softsign Tanh Sigmoid LogSigmoid Hardswish
    Hardsigmoid Hardtanh Hardshrink Softshrink Tanhshrink Dropout RReLU
""".split()  # noqa: SIM905 - names, not strings

IMAGES, LINES, CUBES, ROWS = (2, 4, 9, 9), (2, 4, 11), (2, 4, 5, 5, 5), (6, 12)
MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear": (lambda: nn.Linear(12, 5), ROWS),
    "Bilinear": (lambda: Twice(nn.Bilinear(12, 12, 3)), ROWS),
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3, padding=1), LINES),
    "Conv2d": (lambda: nn.Conv2d(4, 6, 3, stride=2), IMAGES),
    "Conv2d dilated, grouped": (lambda: nn.Conv2d(4, 6, 3, dilation=2, groups=2), IMAGES),
    "Conv2d depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4, padding="same"), IMAGES),
    "Conv3d": (lambda: nn.Conv3d(4, 3, 2), CUBES),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 3, 3, stride=2), LINES),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 3, 3, stride=2, output_padding=1), IMAGES),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(4, 2, 2), CUBES),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), LINES),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), IMAGES),
    "BatchNorm2d in evaluation": (lambda: nn.BatchNorm2d(4).eval(), IMAGES),
    "LayerNorm": (lambda: nn.LayerNorm(12), ROWS),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), IMAGES),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4, affine=True), IMAGES),
    "RMSNorm": (lambda: nn.RMSNorm(12), ROWS),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(2), IMAGES),
    "MaxPool1d": (lambda: nn.MaxPool1d(3, 2), LINES),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, 2, padding=1), IMAGES),
    "MaxPool3d": (lambda: nn.MaxPool3d(2), CUBES),
    "AvgPool1d": (lambda: nn.AvgPool1d(3, 2), LINES),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, 2, padding=1), IMAGES),
    "AvgPool3d": (lambda: nn.AvgPool3d(2), CUBES),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((3, 4)), IMAGES),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(3), LINES),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d((3, 4)), IMAGES),
    "LPPool2d": (lambda: nn.LPPool2d(2, 3), IMAGES),
    **{name: (getattr(nn, name), ROWS) for name in ACTIVATIONS},
    "GELU by tanh": (lambda: nn.GELU("tanh"), ROWS),
    "GLU": (lambda: nn.GLU(), ROWS),
    "Softmax": (lambda: nn.Softmax(1), ROWS),
    "LogSoftmax": (lambda: nn.LogSoftmax(1), ROWS),
    "Softmin": (lambda: nn.Softmin(1), ROWS),
    "Dropout2d": (lambda: nn.Dropout2d(0.4), IMAGES),
    "AlphaDropout": (lambda: nn.AlphaDropout(0.4), ROWS),
    "LSTM": (lambda: First(nn.LSTM(11, 7, num_layers=2, bidirectional=True)), LINES),
    "GRU": (lambda: First(nn.GRU(11, 7, batch_first=True)), LINES),
    "RNN": (lambda: First(nn.RNN(11, 7)), LINES),
    "LSTMCell": (lambda: First(nn.LSTMCell(12, 7)), ROWS),
    "MultiheadAttention": (lambda: Attention(), (2, 5, 12)),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(12, 3, 16, batch_first=True), (2, 5, 12)),
    "TransformerEncoderLayer in evaluation": (
        lambda: nn.TransformerEncoderLayer(12, 3, 16, batch_first=True).eval(),
        (2, 5, 12),
    ),
    "TransformerDecoderLayer": (lambda: Twice(nn.TransformerDecoderLayer(12, 3, 16, batch_first=True)), (2, 5, 12)),
    "Transformer": (lambda: Twice(nn.Transformer(12, 4, 1, 1, 16, batch_first=True)), (2, 5, 12)),
    "Upsample nearest": (lambda: nn.Upsample(scale_factor=2), IMAGES),
    "Upsample bilinear": (lambda: nn.Upsample(size=(7, 12), mode="bilinear"), IMAGES),
    "Upsample bicubic": (lambda: nn.Upsample(scale_factor=1.5, mode="bicubic"), IMAGES),
    "Upsample trilinear": (lambda: nn.Upsample(scale_factor=2, mode="trilinear"), CUBES),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), IMAGES),
    "ReflectionPad2d": (lambda: nn.ReflectionPad2d(2), IMAGES),
    "ReplicationPad2d": (lambda: nn.ReplicationPad2d(2), IMAGES),
    "ZeroPad2d": (lambda: nn.ZeroPad2d(2), IMAGES),
    "Unfold": (lambda: nn.Unfold(3), IMAGES),
    "Fold": (lambda: Folded(), IMAGES),
    "CosineSimilarity": (lambda: Twice(nn.CosineSimilarity()), ROWS),
    "PairwiseDistance": (lambda: Twice(nn.PairwiseDistance()), ROWS),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(12, 5)), ROWS),
}


class Twice(nn.Module):
    """Give a module its input twice."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        return self.inner(x, x * 0.5)


class First(nn.Module):
    """The first of what a module gives."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        return self.inner(x)[0]


class Attention(nn.Module):
    """Self-attention to the past, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(12, 3, dropout=0.2, batch_first=True)

    def forward(self, x: Tensor) -> Any:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.inner(x, x, x, attn_mask=mask)[0]


class Folded(nn.Module):
    """Take patches and add them up again."""

    def forward(self, x: Tensor) -> Any:
        return nn.functional.fold(nn.functional.unfold(x, 3), x.shape[2:], 3)


PROBABILITIES = (lambda: torch.rand(6, 5), lambda: torch.rand(6, 5))
LOSSES: dict[str, tuple[Callable[..., Tensor], Callable[[], Tensor], Callable[[], Tensor]]] = {
    "L1Loss": (nn.L1Loss(), partial(numbers, 6, 5), partial(numbers, 6, 5)),
    "MSELoss": (nn.MSELoss(), partial(numbers, 6, 5), partial(numbers, 6, 5)),
    "SmoothL1Loss": (nn.SmoothL1Loss(), partial(numbers, 6, 5), partial(numbers, 6, 5)),
    "HuberLoss": (nn.HuberLoss(), partial(numbers, 6, 5), partial(numbers, 6, 5)),
    "CrossEntropyLoss": (nn.CrossEntropyLoss(label_smoothing=0.1), partial(numbers, 6, 5), partial(whole, 5, 6)),
    "CrossEntropyLoss of images": (nn.CrossEntropyLoss(), partial(numbers, 2, 5, 3, 3), partial(whole, 5, 2, 3, 3)),
    "CrossEntropyLoss of probabilities": (
        nn.CrossEntropyLoss(),
        partial(numbers, 6, 5),
        lambda: torch.rand(6, 5).softmax(1),
    ),
    "NLLLoss": (nn.NLLLoss(), lambda: torch.rand(6, 5), partial(whole, 5, 6)),
    "PoissonNLLLoss": (nn.PoissonNLLLoss(full=True), partial(numbers, 6, 5), lambda: torch.rand(6, 5) * 5),
    "GaussianNLLLoss": (
        lambda x, y: nn.GaussianNLLLoss()(x, y, y.abs() + 1),
        partial(numbers, 6, 5),
        partial(numbers, 6, 5),
    ),
    "KLDivLoss": (nn.KLDivLoss(reduction="batchmean"), partial(numbers, 6, 5), lambda: torch.rand(6, 5)),
    "BCELoss": (nn.BCELoss(), *PROBABILITIES),
    "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss(), partial(numbers, 6, 5), lambda: torch.rand(6, 5)),
    "MarginRankingLoss": (
        lambda x, y: nn.MarginRankingLoss()(x, y, y.sign()),
        partial(numbers, 6),
        partial(numbers, 6),
    ),
    "HingeEmbeddingLoss": (nn.HingeEmbeddingLoss(), partial(numbers, 6), lambda: whole(2, 6) * 2 - 1),
    "MultiLabelMarginLoss": (nn.MultiLabelMarginLoss(), partial(numbers, 6, 5), partial(whole, 5, 6, 5)),
    "MultiLabelSoftMarginLoss": (nn.MultiLabelSoftMarginLoss(), partial(numbers, 6, 5), lambda: whole(2, 6, 5).float()),
    "SoftMarginLoss": (nn.SoftMarginLoss(), partial(numbers, 6, 5), lambda: whole(2, 6, 5) * 2.0 - 1),
    "MultiMarginLoss": (nn.MultiMarginLoss(), partial(numbers, 6, 5), partial(whole, 5, 6)),
    "CosineEmbeddingLoss": (
        lambda x, y: nn.CosineEmbeddingLoss()(x, y, torch.ones(6)),
        partial(numbers, 6, 5),
        partial(numbers, 6, 5),
    ),
    "TripletMarginLoss": (
        lambda x, y: nn.TripletMarginLoss()(x, y, y * 2),
        partial(numbers, 6, 5),
        partial(numbers, 6, 5),
    ),
    "CTCLoss": (
        lambda x, y: nn.CTCLoss()(x.log_softmax(2), y, torch.tensor([7, 7]), torch.tensor([3, 2])),
        partial(numbers, 7, 2, 5),
        lambda: whole(4, 2, 3) + 1,
    ),
}

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": partial(torch.optim.Adam, lr=0.01, amsgrad=True),
    "AdamW": partial(torch.optim.AdamW, lr=0.01),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.01, centered=True, momentum=0.5),
    "Adagrad": partial(torch.optim.Adagrad, lr=0.01),
}


def module(name: str) -> dict[str, Tensor]:
    """Initialise a module, and send numbers through it and back."""
    make, shape = MODULES[name]
    torch.manual_seed(3)
    with PortableMode():
        model, x = make(), numbers(*shape).requires_grad_()
        output = model(x)
        output.backward(numbers(*output.shape))
    gradients = {key: each.grad for key, each in model.named_parameters() if each.grad is not None}
    assert x.grad is not None
    return {"output": output.detach(), "input": x.grad, **gradients}


def loss(name: str) -> dict[str, Tensor]:
    """Compute a loss and its gradient."""
    function, given, wanted = LOSSES[name]
    torch.manual_seed(3)
    with PortableMode():
        x, target = given().requires_grad_(), wanted()
        value = function(x, target)
        value.backward()
    assert x.grad is not None
    return {"loss": value.detach(), "gradient": x.grad}


def training(name: str, *, half: bool = False) -> dict[str, Tensor]:
    """Train a small network for three steps, with its gradients clipped; `half`: in bfloat16 where autocast says so."""
    torch.manual_seed(3)
    with PortableMode():
        model = nn.Sequential(nn.Linear(12, 20), nn.LayerNorm(20), nn.GELU(), nn.Linear(20, 3))
        optimizer = OPTIMIZERS[name](model.parameters())
        x, target = numbers(30, 12), whole(3, 30)
        for _ in range(3):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                value = nn.functional.cross_entropy(model(x), target)
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
    return {key: each.detach() for key, each in model.named_parameters()}


def lookups() -> dict[str, Tensor]:
    """Embed, and average what is embedded."""
    torch.manual_seed(3)
    with PortableMode():
        table, bag = nn.Embedding(9, 5), nn.EmbeddingBag(9, 5, mode="mean")
        index = whole(9, 4, 6)
        table(index).backward(numbers(4, 6, 5))
        bag(index).backward(numbers(4, 5))
    assert table.weight.grad is not None
    assert bag.weight.grad is not None
    return {"embedding": table.weight.grad, "bag": bag.weight.grad}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_pytorchs_but_for_rounding(name: str) -> None:
    found = module(name)
    assert all(each.isfinite().all() for each in found.values())
    if any(part in name for part in ("Dropout", "RReLU", "Transformer", "Attention")) and "evaluation" not in name:
        return
    make, shape = MODULES[name]
    torch.manual_seed(3)
    with PortableMode():
        model, x = make(), numbers(*shape).requires_grad_()
        shape = tuple(model(x).shape)
        cotangent = numbers(*shape)
    output = model(x)
    if not name.startswith("BatchNorm"):  # it would go on from what it kept
        torch.testing.assert_close(found["output"], output.detach(), rtol=1e-4, atol=1e-5)
        output.backward(cotangent)
        torch.testing.assert_close(found["input"], x.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_pytorchs_but_for_rounding(name: str) -> None:
    function, given, wanted = LOSSES[name]
    found = loss(name)
    torch.manual_seed(3)
    with PortableMode():
        x, target = given().requires_grad_(), wanted()
    value = function(x, target)
    value.backward()
    torch.testing.assert_close(found, {"loss": value.detach(), "gradient": x.grad}, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_network_trains(name: str) -> None:
    assert all(each.isfinite().all() for each in training(name).values())
    assert all(each.isfinite().all() for each in training(name, half=True).values())


def everything() -> dict[str, Tensor]:
    found: dict[str, dict[str, Tensor]] = {name: module(name) for name in MODULES}
    found |= {name: loss(name) for name in LOSSES} | {"lookups": lookups()}
    found |= {name: training(name) for name in OPTIMIZERS} | {"bfloat16": training("AdamW", half=True)}
    return {f"{name} {key}": each for name, results in found.items() for key, each in results.items()}


def test_bits_are_the_same_with_every_instruction_set_and_number_of_threads() -> None:
    alike, differing = split_by_settings(everything)
    assert differing == set()
    assert len(alike) > 250
