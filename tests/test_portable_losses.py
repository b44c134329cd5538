"""Losses against PyTorch's own: values, gradients, errors; and every loss of `torch.nn`, the same bits everywhere."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seedbed.portable import PortableMode
from tests.portable_native import WIDE, agree, errors, native, numbers, portable
from tests.portable_runs import split_by_settings

REDUCTIONS = (0, 1, 2)
SHAPES: tuple[tuple[int, ...], ...] = ((40_000,), (30, 40), (), (0,), (3, 0, 2))


def grad_of(shape: tuple[int, ...], reduction: int, dtype: torch.dtype) -> Tensor:
    return numbers(*(() if reduction else shape), dtype=dtype, seed=9)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses_of_numbers_are_pytorchs(reduction: int, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, target = (numbers(*shape, dtype=dtype, seed=seed, sizes=2) for seed in (1, 2))
    grad = grad_of(shape, reduction, dtype)
    agree("mse_loss", x, target, reduction)
    agree("mse_loss_backward", grad, x, target, reduction)
    for width in (1.0, 0.3):
        agree("smooth_l1_loss", x, target, reduction, width)
        agree("smooth_l1_loss_backward", grad, x, target, reduction, width)
        agree("huber_loss", x, target, reduction, width)
        agree("huber_loss_backward", grad, x, target, reduction, width)
    agree("smooth_l1_loss", x, target, reduction, 0.0)
    agree("soft_margin_loss", x, target.sign(), reduction)
    agree("soft_margin_loss_backward", grad, x, target.sign(), reduction)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses_of_probabilities_are_pytorchs(reduction: int, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, target, weight = (numbers(*shape, dtype=dtype, seed=seed).abs() for seed in (1, 2, 3))
    grad = grad_of(shape, reduction, dtype)
    for each in (None, weight):
        agree("binary_cross_entropy", x, target, each, reduction)
        agree("binary_cross_entropy_backward", grad, x, target, each, reduction)
        for positive in (None, weight):
            agree("binary_cross_entropy_with_logits", x * 9 - 4, target, each, positive, reduction)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("shape", [(50, 9), (9,), (0, 9), (4, 9, 5, 3)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_negative_log_likelihoods_are_pytorchs(reduction: int, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    name = "nll_loss2d" if len(shape) == 4 else "nll_loss"
    x = numbers(*shape, dtype=dtype)
    outer = (*shape[:1], *shape[2:]) if len(shape) > 1 else ()
    target = (numbers(*outer, seed=2).abs() * 9).long()
    grad = grad_of(outer, reduction, dtype)
    for weight in (None, numbers(9, dtype=dtype, seed=3).abs()):
        for ignored in (-100, 4):
            _, weights = agree(f"{name}_forward", x, target, weight, reduction, ignored)
            agree(f"{name}_backward", grad, x, target, weight, reduction, ignored, weights)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("shape", [(50, 9), (9,)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_margins_of_a_class_are_pytorchs(reduction: int, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = numbers(*shape, dtype=dtype)
    target = (numbers(*shape[:-1], seed=2).abs() * 9).long()
    grad = grad_of(shape[:-1], reduction, dtype)
    for p in (1, 2):
        for weight in (None, numbers(9, dtype=dtype, seed=3).abs()):
            agree("multi_margin_loss", x, target, p, 0.7, weight, reduction)
            agree("multi_margin_loss_backward", grad, x, target, p, 0.7, weight, reduction)


LABELS = [
    [[3, 0, -1, 1, 2], [1, -1, 0, 0, 0], [0, 1, 2, 3, 4], [-1, 0, 1, 2, 3], [2, 2, 3, -1, 0]],
    [3, 0, -1, 1, 2],
]


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_margins_of_several_labels_are_pytorchs(reduction: int, labels: list[Any], dtype: torch.dtype) -> None:
    target = torch.tensor(labels)
    x = numbers(*target.shape, dtype=dtype)
    _, members = agree("multilabel_margin_loss_forward", x, target, reduction)
    grad = grad_of(tuple(target.shape[:-1]), reduction, dtype)
    agree("multilabel_margin_loss_backward", grad, x, target, reduction, members)


def test_an_empty_batch_has_no_mean_where_pytorch_returns_what_was_in_memory() -> None:
    x, target = torch.empty(0, 9), torch.empty(0, dtype=torch.int64)
    assert portable("multi_margin_loss", x, target).isnan()
    assert portable("multi_margin_loss", x, target, reduction=2) == 0


def test_a_class_that_is_none_is_an_error() -> None:
    x, target = torch.zeros(2, 3), torch.tensor([1, 3])
    for name, args in (("nll_loss_forward", (None, 1, -100)), ("multi_margin_loss", ())):
        with pytest.raises(IndexError, match="Target 3 is out of bounds"):
            portable(name, x, target, *args)


def test_what_is_no_probability_is_an_error() -> None:
    for value in (-0.1, 1.1, math.nan):
        with pytest.raises(RuntimeError, match="between 0 and 1"):
            portable("binary_cross_entropy", torch.tensor([value]), torch.tensor([1.0]))


def test_a_power_that_is_neither_1_nor_2_is_an_error() -> None:
    for name, args in (("multi_margin_loss", ()), ("multi_margin_loss_backward", (1,))):
        given = (torch.ones(()),) if "backward" in name else ()
        with pytest.raises(RuntimeError, match="expected 1 or 2 but got 3"):
            portable(name, *given, torch.zeros(2, 3), torch.tensor([0, 1]), 3, *args)


def test_certain_answers_have_the_losses_that_pytorch_gives_them() -> None:
    x = torch.tensor([0.0, 1.0, 0.0, 1.0, 1e-45, 1 - 2**-24])
    target = torch.tensor([0.0, 1.0, 1.0, 0.0, 0.5, 0.5])
    agree("binary_cross_entropy", x, target, None, 0)
    agree("binary_cross_entropy_backward", torch.ones(6), x, target, None, 0)


def test_a_soft_margin_does_not_overflow() -> None:
    x, target = torch.tensor([-100.0, 100.0, math.nan]), torch.tensor([1.0, 1.0, 1.0])
    assert native("soft_margin_loss", x, target, 0)[0] == math.inf
    assert portable("soft_margin_loss", x, target, 0)[:2].tolist() == [100.0, pytest.approx(math.exp(-100))]
    assert portable("soft_margin_loss_backward", torch.ones(3), x, target, 0)[:2].tolist()[0] == -1.0
    assert portable("soft_margin_loss", x, target, 0)[2].isnan()


@pytest.mark.parametrize("name", ["mse_loss", "smooth_l1_loss", "huber_loss"])
def test_sums_are_no_less_accurate_than_pytorchs(name: str) -> None:
    x, target = (numbers(30_000, seed=seed, sizes=6) for seed in (1, 2))
    exact = native(name, x.double(), target.double(), 2)
    assert errors(portable(name, x, target, 2), exact)[0] <= max(errors(native(name, x, target, 2), exact)[0], 0.51)


def test_a_number_is_divided_by_and_not_multiplied_with_its_reciprocal() -> None:
    distance = torch.arange(1.0, 1000.0) / 5000
    found = portable("smooth_l1_loss", distance, torch.zeros(999), 0, 0.3)
    assert torch.equal(found, distance * distance * 0.5 / torch.tensor(0.3))
    assert not torch.equal(found, distance * distance * 0.5 * (1 / 0.3))


Loss = Callable[[Tensor, Tensor, str], Tensor]


def classes(x: Tensor, count: int = 7) -> Tensor:
    return (x.detach()[..., 0].abs() * count).long()


LOSSES: dict[str, Loss] = {
    "l1": lambda x, y, how: nn.L1Loss(reduction=how)(x, y),
    "mse": lambda x, y, how: nn.MSELoss(reduction=how)(x, y),
    "smooth l1": lambda x, y, how: nn.SmoothL1Loss(reduction=how, beta=0.3)(x, y),
    "huber": lambda x, y, how: nn.HuberLoss(reduction=how, delta=0.3)(x, y),
    "soft margin": lambda x, y, how: nn.SoftMarginLoss(reduction=how)(x, y.sign()),
    "cross entropy": lambda x, y, how: nn.CrossEntropyLoss(reduction=how)(x, classes(y)),
    "cross entropy, smoothed": lambda x, y, how: nn.CrossEntropyLoss(
        torch.arange(1.0, 8.0), reduction=how, label_smoothing=0.1
    )(x, classes(y)),
    "cross entropy of shares": lambda x, y, how: nn.CrossEntropyLoss(reduction=how)(x, y.abs()),
    "cross entropy of images": lambda x, y, how: nn.CrossEntropyLoss(reduction=how)(
        x.view(3, 7, 2, 4), classes(y.view(3, 7, 2, 4).movedim(1, 3))
    ),
    "nll": lambda x, y, how: nn.NLLLoss(reduction=how)(x, classes(y)),
    "poisson nll": lambda x, y, how: nn.PoissonNLLLoss(reduction=how, full=True)(x, y.abs() * 4),
    "gaussian nll": lambda x, y, how: nn.GaussianNLLLoss(reduction=how, full=True)(x, y, x.detach().abs()),
    "kl div": lambda x, y, how: nn.KLDivLoss(reduction=how)(x, y.abs()),
    "kl div of logarithms": lambda x, y, how: nn.KLDivLoss(reduction=how, log_target=True)(x, y),
    "bce": lambda x, y, how: nn.BCELoss(reduction=how)(x.abs(), y.abs()),
    "bce with logits": lambda x, y, how: nn.BCEWithLogitsLoss(reduction=how, pos_weight=torch.arange(7.0))(x, y.abs()),
    "multi-label soft margin": lambda x, y, how: nn.MultiLabelSoftMarginLoss(reduction=how)(x, (y > 0).float()),
    "multi margin": lambda x, y, how: nn.MultiMarginLoss(reduction=how)(x, classes(y)),
    "multi-label margin": lambda x, y, how: nn.MultiLabelMarginLoss(reduction=how)(
        x, torch.where(y[:, :1] > 0, torch.tensor([2, 5, -1, 0, 0, 0, 0]), -1)
    ),
    "margin ranking": lambda x, y, how: nn.MarginRankingLoss(0.1, reduction=how)(x, y, y.sign()),
    "hinge embedding": lambda x, y, how: nn.HingeEmbeddingLoss(reduction=how)(x, torch.where(y > 0, 1, -1)),
    "cosine embedding": lambda x, y, how: nn.CosineEmbeddingLoss(0.1, reduction=how)(x, y, y[:, 0].sign()),
    "triplet margin": lambda x, y, how: nn.TripletMarginLoss(swap=True, reduction=how)(x, y, y.flip(0)),
    "triplet margin with distance": lambda x, y, how: nn.TripletMarginWithDistanceLoss(reduction=how)(x, y, y.flip(0)),
    "ctc": lambda x, y, how: nn.CTCLoss(reduction=how)(
        x.view(12, 2, 7).log_softmax(2), classes(y.view(2, 12, 7), 6)[:, :4] + 1, (12, 10), (4, 3)
    ),
}


X, Y = numbers(24, 7, seed=1), numbers(24, 7, seed=2)  # outside the mode, which has random numbers of its own


def outcome(name: str, reduction: str) -> tuple[Tensor, Tensor]:
    """Give a loss and its gradient."""
    device = torch.get_default_device()
    x = X.clone().to(device).requires_grad_()
    loss = LOSSES[name](x, Y.to(device), reduction)
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    return loss.detach(), gradient


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
def test_every_loss_of_torch_runs_and_is_pytorchs(name: str, reduction: str) -> None:
    with PortableMode():
        found = outcome(name, reduction)
    for each, expected in zip(found, outcome(name, reduction), strict=True):
        torch.testing.assert_close(each, expected, rtol=2e-5, atol=2e-6)


def every_loss_of_pytorch() -> dict[str, Tensor]:
    return {f"{name} {index}": each for name in LOSSES for index, each in enumerate(outcome(name, "sum"))}


def every_loss() -> dict[str, Tensor]:
    with PortableMode():
        return every_loss_of_pytorch()


def test_bits_are_the_same_with_every_instruction_set() -> None:
    alike, differing = split_by_settings(every_loss)
    assert differing == set()
    assert len(alike) > 20


def test_plain_pytorch_has_other_bits_by_instruction_set() -> None:
    """The reason for all this; where it fails, PyTorch has changed, or this CPU has only one instruction set."""
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this CPU has no other instruction set")
    assert split_by_settings(every_loss_of_pytorch)[1] != set()
