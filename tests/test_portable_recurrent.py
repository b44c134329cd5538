"""Recurrent layers: a GPU's way through them has the bits of PyTorch's own on the CPU, forward and backward."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from seedbed.portable import PortableMode
from seedbed.portable.recurrent import FUNCTIONS

LAYERS: dict[str, Callable[..., nn.Module]] = {
    "tanh": nn.RNN,
    "relu": partial(nn.RNN, nonlinearity="relu"),
    "LSTM": nn.LSTM,
    "LSTM with a projection": partial(nn.LSTM, proj_size=3),
    "GRU": nn.GRU,
}
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "without biases": {"bias": False},
    "both ways": {"bidirectional": True, "batch_first": True},
    "deep": {"num_layers": 3, "dropout": 0.3},
    "deep both ways": {"num_layers": 2, "bidirectional": True},
}


class Everywhere(TorchFunctionMode):
    """Goes a GPU's way on the CPU, and counts how often."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += func in FUNCTIONS
        return FUNCTIONS.get(func, func)(*args, **(kwargs or {}))


def results(make: Callable[[], nn.Module], *inputs: Any) -> list[Tensor]:
    """What a module gives, and the gradients of its parameters."""
    torch.manual_seed(1)
    module = make()
    outputs = [each for each in tree_leaves(module(*inputs)) if each.is_floating_point()]
    sum((each * torch.randn(each.shape)).sum() for each in outputs).backward()
    return outputs + [parameter.grad for parameter in module.parameters()]


def same_both_ways(make: Callable[[], nn.Module], *inputs: Any) -> None:
    with PortableMode():
        expected = results(make, *inputs)
        with Everywhere() as everywhere:
            found = results(make, *inputs)
    assert everywhere.count > 0
    assert all(map(torch.equal, found, expected))
    assert len(found) == len(expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layer", LAYERS)
def test_layers(layer: str, form: str) -> None:
    x = torch.randn(5, 3, 6, generator=torch.Generator().manual_seed(2))
    same_both_ways(partial(LAYERS[layer], 6, 7, **FORMS[form]), x)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layer", LAYERS)
def test_layers_of_packed_sequences(layer: str, form: str) -> None:
    x = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(2))
    with PortableMode():
        packed = pack_padded_sequence(x, torch.tensor([2, 5, 4]), batch_first=True, enforce_sorted=False)
    same_both_ways(partial(LAYERS[layer], 6, 7, **FORMS[form]), packed)


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell, partial(nn.RNNCell, nonlinearity="relu")])
@pytest.mark.parametrize("bias", [True, False])
def test_cells(cell: Callable[..., nn.Module], *, bias: bool) -> None:
    same_both_ways(partial(cell, 6, 7, bias=bias), torch.randn(3, 6, generator=torch.Generator().manual_seed(2)))


def test_step_by_step_the_gradients_would_be_others() -> None:
    """The reason: elsewhere than on a CPU, PyTorch multiplies the input by its weights step by step."""
    x = torch.randn(5, 3, 6, generator=torch.Generator().manual_seed(2))
    weight = torch.randn(7, 6, generator=torch.Generator().manual_seed(3))
    grads = []
    for at_once in (True, False):
        leaf = weight.clone().requires_grad_()
        with PortableMode():
            products = [nn.functional.linear(each, leaf) for each in ([x] if at_once else x)]
            torch.cat([each.reshape(-1, 7) for each in products]).square().sum().backward()
        grads.append(leaf.grad)
    assert not torch.equal(*grads)  # type: ignore[arg-type]


def test_portable_mode_goes_that_way_where_the_input_is_not_on_a_cpu() -> None:
    with PortableMode():
        output, (hidden, cell) = nn.LSTM(6, 7, device="meta")(torch.empty(5, 3, 6, device="meta"))
    assert (output.shape, hidden.shape, cell.shape) == ((5, 3, 7), (1, 3, 7), (1, 3, 7))


def test_another_thread_of_autograd_or_a_checkpoint_goes_that_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch takes a mode for functions away during ``backward``: what is run again there would go another way."""
    seen: list[str] = []
    run = FUNCTIONS[torch.gru]

    def gru(x: Tensor, *args: Any) -> Any:
        seen.append(x.device.type)
        return run(x, *args)

    monkeypatch.setitem(FUNCTIONS, torch.gru, gru)
    for device in ("cpu", "meta"):
        layer, x = nn.GRU(6, 7, device=device), torch.empty(5, 3, 6, device=device, requires_grad=True)
        layer(x)
        with PortableMode():
            checkpoint(layer, x, use_reentrant=False)[0].sum().backward()
            torch.autograd.grad(checkpoint(layer, x, use_reentrant=False)[0].sum(), x)
        layer(x)
    assert seen == ["meta"] * 4


def test_pytorchs_functions_are_put_back() -> None:
    before = torch.lstm, torch._VF.lstm
    with PortableMode():
        assert torch.lstm is not before[0]
    assert (torch.lstm, torch._VF.lstm) == before
    assert "lstm" not in vars(torch._VF)


def test_cells_take_their_arguments_by_name() -> None:
    given = {"input": torch.ones(2, 6), "hx": torch.ones(2, 7), "w_ih": torch.ones(21, 6), "w_hh": torch.ones(21, 7)}
    with PortableMode():
        output = torch.gru_cell(**given)
        elsewhere = torch.gru_cell(**{name: each.to("meta") for name, each in given.items()}, b_ih=None)
    assert output.shape == elsewhere.shape == (2, 7)
