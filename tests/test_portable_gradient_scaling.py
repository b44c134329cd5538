"""Gradient scaling: what `torch.amp.GradScaler` does in portable mode is what it does outside."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seedbed.portable import PortableMode


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [None, torch.inf, -torch.inf, torch.nan])
def test_gradients_are_scaled_back_and_looked_at(dtype: torch.dtype, bad: float | None) -> None:
    given = [numbers(3, 4).to(dtype), numbers(5).to(dtype), numbers(1)[0].to(dtype), torch.empty(0, dtype=dtype)]

    def run() -> tuple[list[Tensor], Tensor]:
        gradients, found = [each.clone() for each in given], torch.zeros(1)
        if bad is not None:
            gradients[1][2] = bad
        torch._amp_foreach_non_finite_check_and_unscale_(gradients, found, torch.tensor([1 / 3]))
        return gradients, found

    expected = run()
    with PortableMode():
        found = run()
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_of_low_precision_are_multiplied_as_float32(dtype: torch.dtype) -> None:
    gradient, found = numbers(300).to(dtype), torch.zeros(1)
    expected = (gradient.float() * torch.tensor(1 / 3)).to(dtype)
    with PortableMode():
        torch._amp_foreach_non_finite_check_and_unscale_([gradient], found, torch.tensor([1 / 3]))
    assert torch.equal(gradient, expected)
    assert found == 0


@pytest.mark.parametrize("found_inf", [0.0, 1.0])
@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("scale", [1.1, 3e38])
def test_the_scale_grows_after_some_steps_and_shrinks_at_once(found_inf: float, steps: int, scale: float) -> None:
    def run() -> tuple[Tensor, Tensor, Tensor]:
        given, tracker = torch.tensor([scale]), torch.tensor([steps], dtype=torch.int32)
        next_one = torch._amp_update_scale_(given, tracker, torch.tensor([found_inf]), 2.3, 0.7, 2)
        assert next_one is given
        return given, tracker, next_one

    expected = run()
    with PortableMode():
        assert run() == expected


def trained(*, overflow: bool) -> tuple[list[Tensor], dict[str, Any]]:
    torch.manual_seed(3)
    with PortableMode():
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
        for step in range(4):
            with torch.autocast("cpu", torch.float16):
                loss = model(numbers(9, 6)).float().square().mean()
            scaler.scale(loss * (torch.inf if overflow and step == 2 else 1.0)).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    return [each.detach() for each in model.parameters()], scaler.state_dict()


def test_a_network_trains_and_a_step_that_overflows_is_left_out() -> None:
    weights, state = trained(overflow=False)
    assert state["scale"] == 2.0**12
    others, after = trained(overflow=True)
    assert after["scale"] == 2.0**10
    assert all(each.isfinite().all() for each in others)
    assert not torch.equal(weights[0], others[0])
