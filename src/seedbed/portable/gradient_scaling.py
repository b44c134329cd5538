"""What `torch.amp.GradScaler` asks for: gradients scaled back, and the scale of the next step."""

import torch
from torch import Tensor

from seedbed.portable.table import replaces


@replaces("_amp_foreach_non_finite_check_and_unscale_", as_given=True)
def unscale(gradients: list[Tensor], found_inf: Tensor, inv_scale: Tensor) -> None:
    """Multiply each gradient in place, and set `found_inf` to 1 where one of them is infinite or NaN."""
    factor = inv_scale.reshape(())
    for each in gradients:
        found_inf.masked_fill_(~each.isfinite().all(), 1.0)
        wide = each.to(torch.promote_types(each.dtype, torch.float32))
        each.copy_(wide * factor.to(wide.dtype))


@replaces("_amp_update_scale_", as_given=True)
def update_scale(
    scale: Tensor, tracker: Tensor, found_inf: Tensor, growth: float, backoff: float, interval: int
) -> Tensor:
    """Give the next scale, and count in `tracker` (int32) the steps in a row that found nothing infinite."""
    found, steps, wide = found_inf != 0, tracker + 1, scale.to(torch.float64)
    grows = ~found & (steps == interval)
    tracker.copy_(steps.masked_fill(found | grows, 0))
    grown = (wide * growth).to(scale.dtype)
    grown = torch.where(grows & grown.isfinite(), grown, scale)
    return torch.where(found, (wide * backoff).to(scale.dtype), grown)
