"""Connectionist temporal classification against PyTorch's own."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from seedbed.portable import PortableMode
from tests.portable_native import WIDE, agree, numbers, portable

CASES = {
    "lengths of all kinds": (12, 6, [12, 12, 10, 7], [3, 2, 0, 3], 0),
    "a blank that is not the first": (30, 20, [30, 20, 25], [15, 15, 10], 5),
    "too short for its target": (5, 4, [5, 3], [4, 2], 3),
    "no labels": (6, 4, [6, 0], [0, 0], 3),
    "no steps": (6, 4, [6, 0], [1, 2], 0),
}
Lengths = list[int] | Tensor


def case(name: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, list[int], list[int], int]:
    """Give log probabilities, targets, how long both are, and the blank."""
    steps, classes, inputs, labels, blank = CASES[name]
    log_probs = numbers(steps, len(inputs), classes, dtype=dtype, sizes=2).log_softmax(2)
    targets = (numbers(len(inputs), max(*labels, 4), seed=2).abs() * (classes - 1)).long()
    return log_probs, targets + (targets >= blank), inputs, labels, blank


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_are_pytorchs(name: str, tensors: bool, flat: bool, dtype: torch.dtype) -> None:
    log_probs, targets, inputs, labels, blank = case(name, dtype)
    if flat:
        targets = torch.cat([row[:length] for row, length in zip(targets, labels, strict=True)])
    lengths: tuple[Lengths, Lengths] = (torch.tensor(inputs), torch.tensor(labels)) if tensors else (inputs, labels)
    loss, _ = _agree(log_probs, targets, *lengths, blank)
    _, alpha = portable("_ctc_loss", log_probs, targets, *lengths, blank)
    grad = numbers(len(inputs), dtype=dtype, seed=3)
    for infinite_is_zero in (False, True):
        given = (grad, log_probs, targets, *lengths, loss, alpha, blank, infinite_is_zero)
        agree("_ctc_loss_backward", *given, tolerance=2e-4 if dtype == torch.float32 else 1e-9)


def _agree(*args: object) -> Any:
    """Hold the losses to PyTorch's; what is beyond a sample's end, PyTorch leaves as it was."""
    found, wanted = portable("_ctc_loss", *args), torch.ops.aten._ctc_loss(*args)
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-5, atol=1e-5)
    assert found[1].shape == wanted[1].shape
    losses, paths = found
    return losses, paths


def test_the_loss_is_that_of_all_paths() -> None:
    log_probs = numbers(4, 1, 3, dtype=torch.float64, sizes=1).log_softmax(2)
    likelihood = sum(
        math.exp(sum(log_probs[step, 0, symbol].item() for step, symbol in enumerate(path)))
        for path in itertools.product(range(3), repeat=4)
        if [symbol for symbol, _ in itertools.groupby(path) if symbol] == [1, 2]
    )
    loss, _ = portable("_ctc_loss", log_probs, torch.tensor([[1, 2]]), [4], [2])
    assert loss.item() == pytest.approx(-math.log(likelihood), rel=1e-13)


def test_what_has_no_meaning_is_an_error() -> None:
    log_probs, targets = torch.zeros(3, 2, 4), torch.ones(2, 2, dtype=torch.int64)
    for inputs, labels, blank, message in (
        ([3, 3], [2, 2], 4, "0 to 3, and is 4"),
        ([3], [2, 2], 0, "2 samples have 1 input_lengths"),
        ([3, 4], [2, 2], 0, r"values of 0 to 3, but got \[3, 4\]"),
    ):
        with pytest.raises(RuntimeError, match=message):
            portable("_ctc_loss", log_probs, targets, inputs, labels, blank)


def test_cudnn_is_never_asked() -> None:
    given = (torch.zeros(3, 2, 4), torch.ones(2, 2, dtype=torch.int64), [3, 3], [2, 2], 0)
    with PortableMode():
        assert torch.ops.aten._use_cudnn_ctc_loss(*given) is False
