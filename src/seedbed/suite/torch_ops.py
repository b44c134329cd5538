# ruff: noqa: ARG001 - an experiment is handed its seed; those that draw globally leave it, as people do
"""PyTorch's operations, one an experiment, forward and backward; float32.

Those that are not about randomness have their inputs and weights from `seed`, by `uniform`.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name that everybody gives it)

from seedbed.suite.inputs import uniform


class _Inputs:
    """Draws the tensors that an experiment works on."""

    def __init__(self, seed: int, device: str) -> None:
        self.rng = np.random.default_rng(seed)
        self.device = device

    def tensor(self, *shape: int, grad: bool = True) -> Tensor:
        """A tensor of values in [-1, 1), a leaf that wants its gradient."""
        return torch.from_numpy(uniform(self.rng, *shape)).to(self.device).requires_grad_(grad)

    def indices(self, count: int, high: int) -> Tensor:
        """`count` integers below `high`."""
        return torch.from_numpy(self.rng.integers(high, size=count)).to(self.device)

    def backward(self, output: Tensor) -> None:
        """Send a gradient back that has no structure."""
        output.backward(self.tensor(*output.shape, grad=False))


def initialisation(*, seed: int, device: str) -> dict[str, Tensor]:
    """Initialise layers as their constructors do, and by `nn.init`; from torch's global generator, on the CPU."""
    weight = torch.empty(48, 32)
    parameters = {
        "linear": nn.Linear(32, 48).weight,
        "convolution": nn.Conv2d(8, 16, 3).weight,
        "embedding": nn.Embedding(48, 32).weight,
        "xavier_normal": nn.init.xavier_normal_(weight.clone()),
        "truncated_normal": nn.init.trunc_normal_(weight.clone(), std=0.02),
        "orthogonal": nn.init.orthogonal_(weight.clone()),
    }
    return {name: parameter.to(device) for name, parameter in parameters.items()}


def dropout(*, seed: int, device: str) -> dict[str, Tensor]:
    """Drop half of a tensor; the mask from the global generator of the device."""
    inputs = _Inputs(seed, device)
    x = inputs.tensor(64, 128)
    output = F.dropout(x)
    inputs.backward(output)
    return {"output": output, "gradient": _gradient(x)}


def matmul(*, seed: int, device: str) -> dict[str, Tensor]:
    """Multiply matrices, and a matrix with a vector; inputs from `seed`.

    The sizes are no multiples of a block: how MKL divides them among threads is then seen in the bits.
    """
    inputs = _Inputs(seed, device)
    a, b, vector = inputs.tensor(200, 300), inputs.tensor(300, 100), inputs.tensor(300)
    product = a @ b
    inputs.backward(product)
    return {
        "product": product[::8],
        "gradient_left": _gradient(a)[::8],
        "gradient_right": _gradient(b)[::8],
        "matrix_vector": a @ vector,
    }


def reductions(*, seed: int, device: str) -> dict[str, Tensor]:
    """Reduce 2**17 values: sum, mean, dot product, softmax, and layer norm with its gradients; inputs from `seed`."""
    inputs = _Inputs(seed, device)
    x, weight, bias = inputs.tensor(512, 256), inputs.tensor(256), inputs.tensor(256)
    normalised = F.layer_norm(x, (256,), weight, bias)
    inputs.backward(normalised)
    return {
        "sum": x.sum(),
        "mean": x.mean(dim=0),
        "std": x.std(),
        "dot": x.flatten() @ x.flatten(),
        "softmax": x.softmax(dim=1)[::32],
        "layer_norm": normalised[::32],
        "gradient_input": _gradient(x)[::32],
        "gradient_weight": _gradient(weight),
        "gradient_bias": _gradient(bias),
    }


def convolution(*, seed: int, device: str) -> dict[str, Tensor]:
    """Convolve images with 3 x 3 filters, forward and backward; inputs and weights from `seed`."""
    inputs = _Inputs(seed, device)
    images, weight, bias = inputs.tensor(8, 8, 24, 24), inputs.tensor(16, 8, 3, 3), inputs.tensor(16)
    output = F.conv2d(images, weight, bias, padding=1)
    inputs.backward(output)
    return {
        "output": output[0],
        "gradient_images": _gradient(images)[0],
        "gradient_weight": _gradient(weight),
        "gradient_bias": _gradient(bias),
    }


def lstm(*, seed: int, device: str) -> dict[str, Tensor]:
    """Run an LSTM over 16 steps, forward and backward; inputs and weights from `seed`."""
    inputs = _Inputs(seed, device)
    model = nn.LSTM(24, 32).to(device)
    for weight in model.parameters():
        weight.data = inputs.tensor(*weight.shape, grad=False) / 4
    sequences = inputs.tensor(16, 16, 24)
    output, _ = model(sequences)
    inputs.backward(output)
    gradients = {f"gradient_{name}": _gradient(weight) for name, weight in model.named_parameters()}
    return {"output": output[-1], "gradient_input": _gradient(sequences)[0], **gradients}


def max_pooling(*, seed: int, device: str) -> dict[str, Tensor]:
    """Pool overlapping windows, so that gradients meet, forward and backward; inputs from `seed`."""
    inputs = _Inputs(seed, device)
    images = inputs.tensor(4, 8, 32, 32)
    output = F.max_pool2d(images, kernel_size=3, stride=2)
    inputs.backward(output)
    return {"output": output[0], "gradient": _gradient(images)[0]}


def attention(*, seed: int, device: str) -> dict[str, Tensor]:
    """Attend with 4 heads to the past, forward and backward; inputs from `seed`."""
    inputs = _Inputs(seed, device)
    query, key, value = (inputs.tensor(4, 4, 64, 16) for _ in range(3))
    output = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    inputs.backward(output)
    return {
        "output": output[0],
        "gradient_query": _gradient(query)[0],
        "gradient_key": _gradient(key)[0],
        "gradient_value": _gradient(value)[0],
    }


def index_add(*, seed: int, device: str) -> dict[str, Tensor]:
    """Sum rows into bins by `index_add`, `scatter_add` and `scatter_reduce`; inputs from `seed`."""
    inputs = _Inputs(seed, device)
    rows, bins = inputs.tensor(4096, 16, grad=False), inputs.indices(4096, 32)
    zeros, wide = torch.zeros(32, 16, device=device), bins[:, None].expand(-1, 16)
    return {
        "index_add": zeros.index_add(0, bins, rows),
        "scatter_add": zeros.scatter_add(0, wide, rows),
        "scatter_mean": zeros.scatter_reduce(0, wide, rows, "mean", include_self=False),
    }


def index_put(*, seed: int, device: str) -> dict[str, Tensor]:
    """Add up values that meet in few places, and the gradient of ``x[index]``, which does the same; inputs from `seed`.

    Two threads add in no fixed order, so that the sums vary from run to run, unless torch is told to be deterministic.
    Now and then the second thread comes too late to meet the first: sixteen calls give it sixteen chances.
    """
    inputs = _Inputs(seed, device)
    values, index, x = inputs.tensor(40_000, grad=False), inputs.indices(40_000, 16), inputs.tensor(16)
    inputs.backward(x[index])
    sums = torch.zeros(16, device=device)
    for _ in range(16):
        sums.index_put_((index,), values, accumulate=True)
    return {"index_put": sums, "gradient": _gradient(x)}


def embedding(*, seed: int, device: str) -> dict[str, Tensor]:
    """Look up words that occur often, and the gradient of their vectors; inputs from `seed`."""
    inputs = _Inputs(seed, device)
    table, words = inputs.tensor(128, 32), inputs.indices(4096, 128)
    output = F.embedding(words, table)
    inputs.backward(output)
    return {"output": output[::64], "gradient": _gradient(table)}


def _gradient(leaf: Tensor) -> Tensor:
    if leaf.grad is None:
        raise ValueError(f"no gradient reached a tensor of shape {tuple(leaf.shape)}")
    return leaf.grad
