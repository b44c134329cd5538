# ruff: noqa: ARG005 - each trap is given two matrices, and takes what it needs
"""Another device has the same bits, and is asked for nothing that it may answer otherwise; plain PyTorch is."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from seedbed.portable import NotPortableError, PortableMode
from tests import (
    test_portable_losses,
    test_portable_modules,
    test_portable_optimizers,
    test_portable_random,
)
from tests.portable_native import numbers
from tests.portable_runs import ROOT
from tests.unmeasured import unmeasured

Program = Callable[[], Mapping[str, Tensor]]


def given(*shape: int, seed: int = 0) -> Tensor:
    """Numbers of many sizes, on the default device."""
    return numbers(*shape, seed=seed, sizes=20).to(torch.get_default_device())


def one(function: Callable[[Tensor, Tensor], Tensor]) -> Program:
    def run() -> dict[str, Tensor]:
        torch.manual_seed(3)
        return {"result": function(given(40, 30), given(40, 30, seed=1))}

    return run


def trained(optimizer: type[torch.optim.Optimizer], **options: object) -> Program:
    def train() -> dict[str, Tensor]:
        weight = nn.Parameter(given(40, 30))
        weight.grad = given(40, 30, seed=1)
        optimizer([weight], **options).step()  # type: ignore[arg-type]
        return {"weight": weight.detach()}

    return train


def laid_out(function: Callable[[Tensor], Tensor]) -> Program:
    """Multiply images whose channels are last; by the strides of `function`'s result PyTorch decides how."""

    def multiply() -> dict[str, Tensor]:
        weight = given(16, 16, seed=1).requires_grad_()
        x = given(1, 5, 6, 16).permute(0, 3, 1, 2).requires_grad_()
        found = function(x)[:, :16].flatten(2).transpose(1, 2)
        nn.functional.linear(found, weight, weight[0]).square().sum().backward()
        assert x.grad is not None
        assert weight.grad is not None
        return {"x": x.grad, "weight": weight.grad}

    return multiply


INDEX = torch.arange(40) % 7
TRAPS: dict[str, Program] = {
    "add with alpha": one(lambda x, y: x.add(y, alpha=0.3)),
    "sub with alpha": one(lambda x, y: x.sub(y, alpha=0.3)),
    "addcmul": one(lambda x, y: x.addcmul(x, y, value=0.3)),
    "addcdiv": one(lambda x, y: x.addcdiv(x, y, value=0.3)),
    "lerp": one(lambda x, y: x.lerp(y, 0.3)),
    "lists of addcdiv": one(lambda x, y: torch._foreach_addcdiv([x], [x], [y], 0.3)[0]),
    "division by a number": one(lambda x, y: x / 10),
    "division by a number on the CPU": one(lambda x, y: x / torch.tensor(10.0, device="cpu")),
    "reciprocal root": one(lambda x, y: x.abs().rsqrt()),
    "root": one(lambda x, y: x.abs().sqrt()),
    "extremes of zeros": one(lambda x, y: torch.maximum(x * 0, y * 0)),
    "order of equal elements": one(lambda x, y: x.sign().topk(3).indices),
    "range": one(lambda x, y: torch.arange(0.0, 1.0, 0.1)),
    "sum": one(lambda x, y: x.sum(1)),
    "mean": one(lambda x, y: x.mean()),
    "running sum": one(lambda x, y: x.cumsum(0)),
    "product": one(lambda x, y: x @ y.T),
    "product of float64": one(lambda x, y: x.double() @ y.double().T),
    "attention": one(lambda x, y: nn.functional.scaled_dot_product_attention(x[None], y[None], y[None])),
    "rows added by index": one(lambda x, y: x.index_add(0, INDEX.to(x.device), y)),
    "elements added by index": one(lambda x, y: x.scatter_add(0, INDEX.to(x.device)[:, None].expand(40, 30), y)),
    "elements put and added by index": one(lambda x, y: x.index_put((INDEX.to(x.device),), y, accumulate=True)),
    "exponential": one(lambda x, y: x.exp()),
    "softmax": one(lambda x, y: x.softmax(1)),
    "integers of what is none": one(lambda x, y: (x / 0).to(torch.int64)),
    "bfloat16 times a number of float32": one(lambda x, y: x.bfloat16() * y[0, 0]),
    "random numbers": one(lambda x, y: torch.randn(40, 30)),
    "dropout": one(lambda x, y: nn.functional.dropout(x, 0.3)),
    "AdamW": trained(torch.optim.AdamW, weight_decay=0.1),
    "AdamW of lists": trained(torch.optim.AdamW, foreach=True),
    "mirrored images": laid_out(lambda x: nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")),
    "replicated images": laid_out(lambda x: nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")),
    "rolled images": laid_out(lambda x: x.roll(1, 2)),
    "channels shuffled": laid_out(lambda x: nn.functional.channel_shuffle(x, 4)),
    "pixels unshuffled": laid_out(lambda x: nn.functional.pixel_unshuffle(x[:, :, :4], 2)),
    "largest of windows": laid_out(lambda x: nn.functional.max_pool2d(x, 2)),
    "fused AdamW": trained(torch.optim.AdamW, fused=True),
}


def whole_networks() -> dict[str, Tensor]:
    """All but autocast, whose operations PyTorch lists by device."""
    return {key: each for key, each in test_portable_modules.everything().items() if "bfloat16" not in key}


def in_portable_mode(trap: Program) -> Program:
    def run() -> Mapping[str, Tensor]:
        try:
            with PortableMode():
                return trap()
        except NotPortableError:
            return {}

    return run


PROGRAMS: dict[str, Program] = {
    "modules": whole_networks,
    "losses": test_portable_losses.every_loss,
    "optimizers": test_portable_optimizers.every_step,
    "random numbers": test_portable_random.everything,
    **{f"{name} in portable mode": in_portable_mode(trap) for name, trap in TRAPS.items()},
}


@cache
def findings(programs: str) -> dict[str, list[str]]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.portable_elsewhere", f"{__name__}:{programs}"]
    done = subprocess.run(command, cwd=ROOT, env=unmeasured(), capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_portable_mode_has_the_same_bits_and_asks_for_nothing_else(name: str) -> None:
    assert findings("PROGRAMS")[name] == []


@pytest.mark.parametrize("name", TRAPS)
def test_plain_pytorch_is_found_out(name: str) -> None:
    assert findings("TRAPS")[name] != []
