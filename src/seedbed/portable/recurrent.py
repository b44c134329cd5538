"""Recurrent layers and cells on a GPU, in the steps that PyTorch takes on a CPU.

Elsewhere than on a CPU, PyTorch fuses the cells of LSTM and GRU, and multiplies the input by its weights step by step
instead of all at once, so that the weights' gradients are added up in another order. It does so above autograd, where
a dispatch mode sees nothing of it.

The order is that of ``aten/src/ATen/native/RNN.cpp``; of PyTorch's functions for layers the arguments go by position.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import dropout, linear

from seedbed.portable.dispatcher import inside

State = tuple[Tensor, ...]
"""The hidden state, and of an LSTM the cell's state."""


class Weights(NamedTuple):
    """The parameters of one layer in one direction, in PyTorch's order; the last is an LSTM's projection."""

    of_input: Tensor
    of_hidden: Tensor
    input_bias: Tensor | None = None
    hidden_bias: Tensor | None = None
    projection: Tensor | None = None

    def input_gates(self, x: Tensor) -> Tensor:
        return linear(x, self.of_input, self.input_bias)

    def hidden_gates(self, state: State) -> Tensor:
        return linear(state[0], self.of_hidden, self.hidden_bias)


Cell = Callable[[Tensor, State, Weights], State]
"""Takes what the input contributes to the gates, and the state; gives the next state."""


def _tanh_cell(gates: Tensor, state: State, weights: Weights) -> State:
    return (weights.hidden_gates(state).add_(gates).tanh(),)


def _relu_cell(gates: Tensor, state: State, weights: Weights) -> State:
    return (weights.hidden_gates(state).add_(gates).relu(),)


def _lstm_cell(gates: Tensor, state: State, weights: Weights) -> State:
    chunks = weights.hidden_gates(state).add_(gates).unsafe_chunk(4, 1)
    ingate, forgetgate = chunks[0].sigmoid_(), chunks[1].sigmoid_()
    cellgate, outgate = chunks[2].tanh_(), chunks[3].sigmoid_()
    cell = (forgetgate * state[1]).add_(ingate * cellgate)
    hidden = outgate * cell.tanh()
    return hidden if weights.projection is None else torch.matmul(hidden, weights.projection.t()), cell


def _gru_cell(gates: Tensor, state: State, weights: Weights) -> State:
    of_input = gates.unsafe_chunk(3, 1)
    of_hidden = weights.hidden_gates(state).unsafe_chunk(3, 1)
    reset = of_hidden[0].add_(of_input[0]).sigmoid_()
    update = of_hidden[1].add_(of_input[1]).sigmoid_()
    new = of_input[2].add(of_hidden[2].mul_(reset)).tanh_()
    return ((state[0] - new).mul_(update).add_(new),)


def _full(cell: Cell, x: Tensor, state: State, weights: Weights, *, back: bool) -> tuple[Tensor, State]:
    """Go through ``(steps, n, features)``, from the end if `back`."""
    steps, outputs = weights.input_gates(x).unbind(0), []
    for gates in reversed(steps) if back else steps:
        state = cell(gates, state, weights)
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if back else outputs, 0), state


def _packed(
    cell: Cell, x: Tensor, state: State, weights: Weights, *, back: bool, sizes: list[int]
) -> tuple[Tensor, State]:
    """Go through the data of a packed sequence, of whose steps `sizes` are the batches."""
    steps = weights.input_gates(x).split_with_sizes(sizes)
    return (_packed_back if back else _packed_forward)(cell, steps, state, weights)


def _packed_forward(cell: Cell, steps: Sequence[Tensor], state: State, weights: Weights) -> tuple[Tensor, State]:
    outputs, ended = [], []
    for gates in steps:
        size, before = len(gates), len(state[0])
        if size < before:
            ended.append(_narrow(state, size, before))
            state = _narrow(state, 0, size)
        state = cell(gates, state, weights)
        outputs.append(state[0])
    parts = zip(*reversed([*ended, state]), strict=True)
    return torch.cat(outputs, 0), tuple(torch.cat(part, 0) for part in parts)


def _packed_back(cell: Cell, steps: Sequence[Tensor], first: State, weights: Weights) -> tuple[Tensor, State]:
    state, outputs = _narrow(first, 0, len(steps[-1])), []
    for gates in reversed(steps):
        size, before = len(gates), len(state[0])
        if size > before:
            parts = zip(state, _narrow(first, before, size), strict=True)
            state = tuple(torch.cat(part, 0) for part in parts)
        state = cell(gates, state, weights)
        outputs.append(state[0])
    return torch.cat(outputs[::-1], 0), state


def _narrow(state: State, start: int, end: int) -> State:
    return tuple(each.narrow(0, start, end - start) for each in state)


def _run(cell: Cell, x: Tensor, *args: Any) -> tuple[Tensor, ...]:
    """Take the arguments of `torch.lstm`, `torch.gru`, `torch.rnn_tanh`, for whole or packed sequences."""
    if isinstance(args[2], list | tuple):
        sizes, *args_ = args
        output, states = _stacked(partial(_packed, cell, sizes=sizes.tolist()), x, *args_)
        return output, *states
    *args_, batch_first = args
    output, states = _stacked(partial(_full, cell), x.transpose(0, 1) if batch_first else x, *args_)
    return output.transpose(0, 1) if batch_first else output, *states


def _stacked(
    layer: Callable[..., tuple[Tensor, State]],
    x: Tensor,
    first: Tensor | Sequence[Tensor],
    parameters: Sequence[Tensor],
    has_biases: bool,  # noqa: FBT001 - PyTorch's arguments
    num_layers: int,
    p: float,
    train: bool,  # noqa: FBT001
    bidirectional: bool,  # noqa: FBT001
) -> tuple[Tensor, Iterator[Tensor]]:
    """Go through the layers; gives the output of the last, and the states of all."""
    parts = [first] if isinstance(first, Tensor) else first
    states = list(zip(*(part.unbind(0) for part in parts), strict=True))
    weights = list(_weights(parameters, len(states), has_biases=has_biases))
    ended: list[State] = []
    for number in range(num_layers):
        outputs = []
        for back in range(1 + bidirectional):
            place = number * (1 + bidirectional) + back
            output, state = layer(x, states[place], weights[place], back=bool(back))
            outputs.append(output)
            ended.append(state)
        x = torch.cat(outputs, -1) if bidirectional else outputs[0]
        if p and train and number < num_layers - 1:
            x = dropout(x, p)
    return x, (torch.stack(each, 0) for each in zip(*ended, strict=True))


def _weights(parameters: Sequence[Tensor], count: int, *, has_biases: bool) -> Iterator[Weights]:
    each = len(parameters) // count
    for start in range(0, len(parameters), each):
        own = parameters[start : start + each]
        yield Weights(*own) if has_biases else Weights(own[0], own[1], projection=own[2] if each == 3 else None)


def _step(
    cell: Cell,
    input: Tensor,  # noqa: A002 - PyTorch's names, by which these may be given
    hx: Tensor | Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Any:
    """Take the arguments of `torch.lstm_cell`, `torch.gru_cell`, `torch.rnn_tanh_cell`."""
    weights = Weights(w_ih, w_hh, b_ih, b_hh)
    if isinstance(hx, Tensor):
        return cell(weights.input_gates(input), (hx,), weights)[0]
    return cell(weights.input_gates(input), tuple(hx), weights)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    torch.rnn_tanh: partial(_run, _tanh_cell),
    torch.rnn_relu: partial(_run, _relu_cell),
    torch.lstm: partial(_run, _lstm_cell),
    torch.gru: partial(_run, _gru_cell),
    torch.rnn_tanh_cell: partial(_step, _tanh_cell),
    torch.rnn_relu_cell: partial(_step, _relu_cell),
    torch.lstm_cell: partial(_step, _lstm_cell),
    torch.gru_cell: partial(_step, _gru_cell),
}
"""PyTorch's functions, and what is run instead."""


class _Switch:
    """Puts `FUNCTIONS` where PyTorch's modules look for theirs, for tensors that are not on a CPU.

    Not by a mode for functions: PyTorch takes such a mode away during ``backward``, which may run modules again
    (checkpoints).
    """

    on = False

    def switch(self, on: bool) -> None:  # noqa: FBT001 - a switch
        for function in FUNCTIONS:
            name = function.__name__
            if on and not self.on:
                setattr(torch, name, _choosing(function))
                setattr(torch._VF, name, getattr(torch, name))
            elif not on and self.on:
                setattr(torch, name, function)
                delattr(torch._VF, name)
        self.on = on


def _choosing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that runs `function`, or in portable mode and for what is not on a CPU, the other."""

    def choose(*args: Any, **kwargs: Any) -> Any:
        x = args[0] if args else kwargs["input"]
        return (FUNCTIONS[function] if x.device.type != "cpu" and inside() else function)(*args, **kwargs)

    return choose


functions = _Switch()
