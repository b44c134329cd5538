"""The windows of signal processing that aten makes, from cosines in float64."""

import math
from typing import Any

import torch
from torch import Tensor

from seedbed.portable.draws import digits
from seedbed.portable.elementary import cos
from seedbed.portable.scratch import constant
from seedbed.portable.table import replaces


def _window(length: int, periodic: bool, weights: tuple[float, ...], options: dict[str, Any]) -> Tensor:  # noqa: FBT001
    """Add up ``weights[k] * cos(2 pi k x)`` for x from 0 to 1, without the last point if `periodic`."""
    dtype = options.get("dtype") or torch.get_default_dtype()
    if not dtype.is_floating_point:
        raise RuntimeError(f"windows are of floating point, not of {dtype}")
    digits(dtype)
    if length <= 1:
        return torch.ones(length, dtype=dtype, device=options.get("device"))
    x = torch.arange(length, dtype=torch.int64, device=options.get("device"))
    x = x.to(torch.float64) * (2 * math.pi) / constant(length if periodic else length - 1, x)
    window = torch.full_like(x, weights[0])
    for number, weight in enumerate(weights[1:], 1):
        window = window + cos(x * number) * weight
    return window.to(dtype)


@replaces("hann_window", as_given=True)
def hann_window(length: int, periodic: bool = True, **options: Any) -> Tensor:  # noqa: FBT001, FBT002
    """``0.5 - 0.5 cos(2 pi x)``."""
    return _window(length, periodic, (0.5, -0.5), options)


@replaces("hamming_window", as_given=True)
def hamming_window(
    length: int,
    periodic: bool = True,  # noqa: FBT001, FBT002
    alpha: float = 0.54,
    beta: float = 0.46,
    **options: Any,
) -> Tensor:
    """``alpha - beta cos(2 pi x)``."""
    return _window(length, periodic, (alpha, -beta), options)


@replaces("blackman_window", as_given=True)
def blackman_window(length: int, periodic: bool = True, **options: Any) -> Tensor:  # noqa: FBT001, FBT002
    """``0.42 - 0.5 cos(2 pi x) + 0.08 cos(4 pi x)``."""
    return _window(length, periodic, (0.42, -0.5, 0.08), options)
