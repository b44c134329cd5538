"""Functions of which C++ evaluates the parts in an order that each compiler chooses, in an order of their own.

PyTorch writes them as one expression, such as ``slice(x, 1) - slice(x, 0, -1)``. GCC calls the right part first on x86
and the left one on AArch64, and autograd adds up a tensor's gradients in the order of the calls: where there are three
or more, that decides bits. All of it is above autograd, where a dispatch mode sees nothing of it. Of `sinc` it is the
derivative that is such an expression, so that the second one differs.

The formulas are those of ``ReduceOps.cpp``, ``Integration.cpp`` and ``Loss.cpp`` in ``aten/src/ATen/native``. A form
that does not answer leaves its arguments to PyTorch's own, which says what is wrong with them.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.library import Library
from torch.utils._pytree import tree_map_only

from seedbed.portable.dispatcher import Form, put_before

_MEAN, _SUM = 1, 2
"""How PyTorch counts reductions."""
_HALVES = {torch.float16, torch.bfloat16}
"""Computed in float32, and rounded once."""


def _diff(x: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Any:
    if x.dtype is torch.bool or x.ndim == 0 or n <= 0:
        return NotImplemented
    parts = [each for each in (prepend, x, append) if each is not None]
    x = torch.cat(parts, dim) if len(parts) > 1 else x
    for _ in range(min(n, x.size(dim))):
        after = x.narrow(dim, 1, x.size(dim) - 1)
        x = after - x.narrow(dim, 0, x.size(dim) - 1)
    return x


def _gradient(x: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> list[Tensor]:
    """Stand for all seven forms of the arguments of `torch.gradient`, which looks at them first."""
    given = {"spacing": _to_meta(spacing), "dim": dim, "edge_order": edge_order}
    torch.gradient(_to_meta(x), **{name: value for name, value in given.items() if value is not None})
    dims = range(x.ndim) if dim is None else dim if isinstance(dim, Sequence) else [dim]
    spaces = spacing if isinstance(spacing, Sequence) else [1.0 if spacing is None else spacing] * len(dims)
    return [_gradient_along(x, dim, space, edge_order) for dim, space in zip(dims, spaces, strict=True)]


def _to_meta(values: Any) -> Any:
    return tree_map_only(Tensor, lambda tensor: tensor.detach().to("meta"), values)


def _gradient_along(x: Tensor, dim: int, spacing: Any, edge_order: int) -> Tensor:
    part = partial(torch.ops.aten.slice.Tensor, x, dim)
    if isinstance(spacing, Tensor):
        steps = torch.diff(spacing, 1, 0)
        parts = _uneven(part, steps, [-1 if each == dim % x.ndim else 1 for each in range(x.ndim)], edge_order)
    else:
        parts = _even(part, spacing, edge_order)
    return torch.cat(parts, dim)


def _even(part: Callable[..., Tensor], step: Any, edge_order: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first, middle and last parts of a gradient, of values that are a `step` apart."""
    center = (part(2) - part(0, -2)) / step
    if edge_order == 1:
        first = (part(1, 2) - part(0, 1)) / step
        last = (part(-1) - part(-2, -1)) / step
    else:
        first = (-1.5 * part(0, 1) + 2 * part(1, 2) - 0.5 * part(2, 3)) / step
        last = (0.5 * part(-3, -2) - 2 * part(-2, -1) + 1.5 * part(-1)) / step
    return first, center / 2, last


def _uneven(
    part: Callable[..., Tensor], steps: Tensor, shape: list[int], edge_order: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The same, of values that are `steps` apart; of `shape` these broadcast against the values."""
    before, after = steps[:-1], steps[1:]
    a = (-after / (before * (before + after))).reshape(shape)
    b = ((after - before) / (before * after)).reshape(shape)
    c = (before / (after * (before + after))).reshape(shape)
    center = a * part(0, -2) + b * part(1, -1) + c * part(2)
    if edge_order == 1:
        return (part(1, 2) - part(0, 1)) / steps[0], center, (part(-1) - part(-2, -1)) / steps[-1]
    one, two = steps[0], steps[1]
    a, b, c = -(2.0 * one + two) / (one * (one + two)), (one + two) / (one * two), -one / (two * (one + two))
    first = a * part(0, 1) + b * part(1, 2) + c * part(2, 3)
    one, two = steps[-1], steps[-2]
    a, b, c = one / (two * (one + two)), -(one + two) / (one * two), (2 * one + two) / (one * (one + two))
    return first, center, a * part(-3, -2) + b * part(-2, -1) + c * part(-1)


def _trapezoid(y: Tensor, *, dx: Any = 1.0, dim: int = -1) -> Any:
    if y.ndim == 0 or not y.size(dim) or y.dtype is torch.bool or isinstance(dx, bool | complex):
        return NotImplemented
    total = y.sum(dim)
    return (total - (y.select(dim, 0) + y.select(dim, -1)) * 0.5) * dx


def _kl_div(x: Tensor, target: Tensor, reduction: int = _MEAN, *, log_target: bool = False) -> Any:
    if not (x.is_floating_point() and target.is_floating_point()):
        return NotImplemented
    if log_target:
        return _reduced(target.exp() * (target - x), reduction)
    return _reduced(torch.xlogy(target, target) - target * x, reduction)


def _poisson_nll_loss(
    x: Tensor,
    target: Tensor,
    log_input: bool,  # noqa: FBT001 - PyTorch's arguments
    full: bool,  # noqa: FBT001
    eps: float,
    reduction: int,
) -> Tensor:
    loss = x.exp() - target * x if log_input else x - target * torch.log(x + eps)
    if full:
        stirling = target * target.log() - target + 0.5 * torch.log(2 * math.pi * target)
        loss += stirling.masked_fill(target <= 1, 0)
    return _reduced(loss, reduction)


def _reduced(loss: Tensor, reduction: int) -> Tensor:
    return loss.mean() if reduction == _MEAN else loss.sum() if reduction == _SUM else loss


def _sinc(x: Tensor) -> Tensor:
    """Near 0, where it rounds to 1, take the beginning of the series, whose derivatives are those of the function."""
    wide = x.float() if x.dtype in _HALVES else x
    angle = math.pi * wide
    near = angle.abs() < math.sqrt(torch.finfo(angle.dtype).eps) / 2
    far = angle.masked_fill(near, 1)
    result = torch.where(near, 1 - angle * angle / 6, far.sin() / far)
    return result if wide is x else result.to(x.dtype)


def _sinc_in_place(x: Tensor) -> Any:
    result = _sinc(x.clone())
    return x.copy_(result) if result.dtype == x.dtype else NotImplemented


FORMS: dict[str, Form] = {
    "diff": _diff,
    "gradient.scalarint": _gradient,
    "gradient.scalararray": _gradient,
    "gradient.array": _gradient,
    "gradient.scalarrayint": _gradient,
    "gradient.scalarrayarray": _gradient,
    "gradient.tensorarrayint": _gradient,
    "gradient.tensorarray": _gradient,
    "trapezoid.dx": _trapezoid,
    "trapz.dx": _trapezoid,
    "kl_div": _kl_div,
    "poisson_nll_loss": _poisson_nll_loss,
}
"""What is run in portable mode instead of PyTorch's composite functions, by their names and overloads."""

SINC: dict[str, Form] = {"sinc": _sinc, "sinc_": _sinc_in_place}
"""What is run instead of PyTorch's `sinc`, which is not composite."""

_KEYS = "AutogradCPU", "AutogradCUDA"
_VMAP = "FuncTorchBatchedDecomposition"
"""Below `torch.vmap`, which takes composite functions apart before autograd sees them."""


@cache
def register() -> Library:
    """Hand `FORMS` to PyTorch's dispatcher, once; outside portable mode, PyTorch's own go on running."""
    library = Library("aten", "IMPL")
    for name, form in FORMS.items():
        for key in (*_KEYS, _VMAP):
            put_before(library, name, key, form)
    return library


class _Switch:
    """Hands `SINC` to PyTorch's dispatcher, and takes it back."""

    library: Library | None = None

    @property
    def on(self) -> bool:
        return self.library is not None

    def switch(self, on: bool) -> None:  # noqa: FBT001 - a switch
        if on and not self.on:
            self.library = Library("aten", "IMPL")
            for name, form in SINC.items():
                for key in _KEYS:
                    put_before(self.library, name, key, form)
        elif not on:
            self.library = None


sinc = _Switch()
