"""Root mean square norm, in the steps that autograd takes where it is made of other operations.

A GPU has one kernel for it, forward and backward; a CPU has none, and goes through ``pow``, ``mean``, ``rsqrt`` and
``mul``, which portable mode replaces one by one. Here the same steps are taken in the same order.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seedbed.portable.scratch import constant
from seedbed.portable.sums.reductions import mean, sum_
from seedbed.portable.table import OPERATIONS, replaces


@replaces("_fused_rms_norm")
def rms_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, eps: float | None
) -> tuple[Tensor, Tensor]:
    """``x / sqrt(mean(x ** 2) + eps) * weight`` over the last dimensions, and ``1 / sqrt``."""
    squares = mean(_run("pow", x, 2), _last(x, normalized_shape), keepdim=True)
    inverse = _run("rsqrt", squares + (torch.finfo(x.dtype).eps if eps is None else eps))
    normalized = x * inverse
    return normalized if weight is None else normalized * weight, inverse


def _run(name: str, *args: Any) -> Tensor:
    run = OPERATIONS[name].run or getattr(torch.ops.aten, name)
    return run(*args)  # type: ignore[no-any-return]


def _last(x: Tensor, normalized_shape: Sequence[int]) -> list[int]:
    return list(range(x.ndim - len(normalized_shape), x.ndim))


@replaces("_fused_rms_norm_backward")
def rms_norm_backward(
    grad: Tensor,
    x: Tensor,
    normalized_shape: Sequence[int],
    rstd: Tensor,
    weight: Tensor | None,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Give the gradients of `x` and of `weight`, those that `output_mask` asks for."""
    dims = _last(x, normalized_shape)
    outer = list(range(dims[0])) if dims else []
    of_weight = grad * (x * rstd) if output_mask[1] else None
    if of_weight is not None and outer:
        of_weight = sum_(of_weight, outer)
    upper = grad if weight is None else grad * weight
    of_inverse = sum_(upper * x, dims, keepdim=True)
    of_squares = of_inverse * -0.5 * _run("pow", rstd, 3) / constant(x.shape[dims[0] :].numel(), x, x.dtype)
    return (upper * rstd + of_squares * (_run("pow", x, 1.0) * 2.0) if output_mask[0] else None), of_weight
