"""Steps of optimizers and the clipping of gradients: PyTorch's own, with the same bits everywhere."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seedbed.portable import PortableMode
from tests.portable_native import numbers
from tests.portable_runs import split_by_settings

SHAPES = ((30, 40), (40,), (3, 3, 3, 3), (300, 200))
OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "SGD": (torch.optim.SGD, {"lr": 0.1}),
    "SGD with momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.1}),
    "SGD of Nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "Adam": (torch.optim.Adam, {"weight_decay": 0.1}),
    "Adam with a tensor": (torch.optim.Adam, {"lr": torch.tensor(0.01)}),
    "AMSGrad": (torch.optim.Adam, {"amsgrad": True}),
    "AdamW": (torch.optim.AdamW, {}),
    "RMSprop": (torch.optim.RMSprop, {}),
    "RMSprop with momentum": (torch.optim.RMSprop, {"momentum": 0.9, "weight_decay": 0.1}),
    "Adagrad": (torch.optim.Adagrad, {"lr_decay": 0.1, "initial_accumulator_value": 0.1}),
    "NAdam": (torch.optim.NAdam, {}),
    "RAdam": (torch.optim.RAdam, {}),
    "Adamax": (torch.optim.Adamax, {}),
    "Adadelta": (torch.optim.Adadelta, {}),
    "Rprop": (torch.optim.Rprop, {}),
}
GRADIENTS = [[numbers(*shape, seed=10 * step + place) for place, shape in enumerate(SHAPES)] for step in range(3)]
"""Outside the mode, which has random numbers of its own."""


def stepped(name: str, **options: Any) -> list[Tensor]:
    """Give the parameters after three steps, with the gradients clipped before each."""
    device = torch.get_default_device()
    parameters = [nn.Parameter(each.to(device) * 2) for each in GRADIENTS[0]]
    kind, chosen = OPTIMIZERS[name]
    optimizer = kind(parameters, **chosen, **options)
    for gradients in GRADIENTS:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone().to(device)
        nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
    return [each.detach() for each in parameters]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_pytorchs(name: str) -> None:
    with PortableMode():
        found = stepped(name)
    for each, expected in zip(found, stepped(name, foreach=False), strict=True):
        torch.testing.assert_close(each, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if "SGD" in name or name in ("Adam", "AdamW", "Adagrad")])
def test_steps_of_lists_have_the_same_bits(name: str) -> None:
    with PortableMode():
        found, lists = stepped(name), stepped(name, foreach=True)
    assert all(torch.equal(each, other) for each, other in zip(found, lists, strict=True))


def every_step_of_pytorch() -> dict[str, Tensor]:
    return {f"{name} {place}": each for name in OPTIMIZERS for place, each in enumerate(stepped(name))}


def every_step() -> dict[str, Tensor]:
    with PortableMode():
        return every_step_of_pytorch()


def test_bits_are_the_same_with_every_instruction_set() -> None:
    alike, differing = split_by_settings(every_step)
    assert differing == set()
    assert len(alike) > 20


def test_plain_pytorch_has_other_bits_by_instruction_set() -> None:
    """The reason for all this; where it fails, PyTorch has changed, or this CPU has only one instruction set."""
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this CPU has no other instruction set")
    assert split_by_settings(every_step_of_pytorch)[1] != set()
