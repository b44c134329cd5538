# ruff: noqa: FBT001 - aten's arguments go by position
"""Activation functions and their derivatives.

float32 is computed in float64, and rounded once; float64 by what native kernels compute, operation by operation, with
the elementary functions of this package. What is a choice and one multiplication (leaky ReLU, PReLU) is left to
PyTorch's own decompositions.
"""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor

from seedbed.portable.blocks import NARROW, WIDE, as_double, elementwise, memory
from seedbed.portable.elementary.error_function import narrow_normal, narrow_normal_and_density, wide_erf
from seedbed.portable.elementary.exponential import exp_of_double, narrow_exp, narrow_expm1, wide_exp, wide_expm1
from seedbed.portable.elementary.hyperbolic import narrow_sigmoid, share, wide_sigmoid, wide_tanh
from seedbed.portable.elementary.logarithm import narrow_log1p, wide_log1p
from seedbed.portable.scratch import constant
from seedbed.portable.table import replaces


def _by_type(narrow: Callable[..., Tensor], in_double: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Apply the function for float32, or that for float64, to pieces."""
    if tensors[0].dtype == torch.float32:
        return elementwise(narrow, *tensors, size=NARROW)
    return elementwise(in_double, *tensors, size=WIDE)


def _sigmoid(x: Tensor) -> Tensor:
    return narrow_sigmoid(x) if x.dtype == torch.float32 else wide_sigmoid(x)


def _expm1(x: Tensor) -> Tensor:
    return narrow_expm1(x) if x.dtype == torch.float32 else wide_expm1(x)


def _exp(x: Tensor) -> Tensor:
    return narrow_exp(x) if x.dtype == torch.float32 else wide_exp(x)


@replaces("silu")
def silu(x: Tensor) -> Tensor:
    """``x * sigmoid(x)``."""

    def piece(x: Tensor) -> Tensor:
        return _sigmoid(x).mul_(as_double("activation.x", x))

    return _by_type(piece, piece, x)


@replaces("silu_backward")
def silu_backward(grad: Tensor, x: Tensor) -> Tensor:
    """``grad * s * (1 + x * (1 - s))`` with s = sigmoid(x)."""

    def piece(grad: Tensor, x: Tensor) -> Tensor:
        s = _sigmoid(x)
        factor = as_double("activation.x", x).mul_(as_double("activation.one_less", s).neg_().add_(1.0)).add_(1.0)
        return s.mul_(factor).mul_(as_double("activation.grad", grad))

    return _by_type(piece, piece, grad, x)


@replaces("gelu")
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """``x * normal(x)`` with the normal distribution; or with ``approximate="tanh"`` its approximation by a sigmoid.

    Raises
    ------
    RuntimeError
        For another approximation.
    """
    if _by_tanh(approximate):
        return _by_type(_gelu_tanh, _gelu_tanh, x)
    return _by_type(_narrow_gelu, _wide_gelu, x)


def _by_tanh(approximate: str) -> bool:
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"approximate={approximate!r} is neither 'none' nor 'tanh'")
    return approximate == "tanh"


def _narrow_gelu(x: Tensor) -> Tensor:
    return narrow_normal(x).mul_(as_double("activation.x", x))


def _wide_gelu(x: Tensor) -> Tensor:
    return wide_erf(x * sqrt(0.5)).add_(1.0).mul_(x * 0.5)


_CUBIC = 0.044715
_SLOPE = 2 * sqrt(2 / 3.141592653589793)


def _tanh_argument(x: Tensor) -> Tensor:
    """Give that whose sigmoid is ``(1 + tanh(k (x + 0.044715 x**3))) / 2``, k = sqrt(2 / pi), in `memory`."""
    value = as_double("activation.x", x)
    square = torch.mul(value, value, out=memory("activation.argument", x))
    return square.mul_(_CUBIC).add_(1.0).mul_(value).mul_(_SLOPE)


def _sigmoid_of_double(argument: Tensor, *, narrow: bool) -> Tensor:
    return share(exp_of_double(argument)) if narrow else wide_sigmoid(argument)


def _gelu_tanh(x: Tensor) -> Tensor:
    share_ = _sigmoid_of_double(_tanh_argument(x), narrow=x.dtype == torch.float32)
    return share_.mul_(as_double("activation.x", x))


@replaces("gelu_backward")
def gelu_backward(grad: Tensor, x: Tensor, *, approximate: str = "none") -> Tensor:
    """``grad * (normal(x) + x * density(x))``, or the derivative of the approximation."""
    if _by_tanh(approximate):
        return _by_type(_gelu_tanh_backward, _gelu_tanh_backward, grad, x)
    return _by_type(_narrow_gelu_backward, _wide_gelu_backward, grad, x)


def _narrow_gelu_backward(grad: Tensor, x: Tensor) -> Tensor:
    normal, density = narrow_normal_and_density(x)
    return density.mul_(as_double("activation.x", x)).add_(normal).mul_(as_double("activation.grad", grad))


def _wide_gelu_backward(grad: Tensor, x: Tensor) -> Tensor:
    normal = wide_erf(x * sqrt(0.5)).add_(1.0).mul_(0.5)
    density = wide_exp((x * x).mul_(-0.5)).mul_(1 / sqrt(2 * 3.141592653589793))
    return density.mul_(x).add_(normal).mul_(grad)


def _gelu_tanh_backward(grad: Tensor, x: Tensor) -> Tensor:
    """``s + x s (1 - s) k (1 + 3 * 0.044715 x * x)``, k twice the slope."""
    narrow, argument = x.dtype == torch.float32, _tanh_argument(x)
    s = _sigmoid_of_double(argument, narrow=narrow)
    rest = torch.neg(s, out=memory("activation.rest", x)).add_(1.0) if narrow else wide_sigmoid(-argument)
    value = as_double("activation.x", x)
    slope = torch.mul(value, value, out=memory("activation.argument", x)).mul_(3 * _CUBIC).add_(1.0).mul_(_SLOPE)
    slope.mul_(value).mul_(s).mul_(rest)
    return s.add_(slope.nan_to_num_(torch.nan, 0.0, 0.0)).mul_(as_double("activation.grad", grad))


@replaces("mish")
def mish(x: Tensor) -> Tensor:
    """``x * tanh(log(1 + exp(x)))``."""

    def in_double(x: Tensor) -> Tensor:
        return _tanh_of_softplus(x).mul_(x)

    def narrow(x: Tensor) -> Tensor:
        return _ratio_of_mish(x).mul_(as_double("activation.x", x))

    return _by_type(narrow, in_double, x)


def _tanh_of_softplus(x: Tensor) -> Tensor:
    return wide_tanh(torch.where(x > _LINEAR, x, wide_log1p(wide_exp(x.clamp(max=_LINEAR)))))


def _ratio_of_mish(x: Tensor) -> Tensor:
    """``tanh(log(1 + e))`` is ``w / (w + 2)`` with w = e (e + 2) and e = exp(x)."""
    power = narrow_exp(x)
    w = power.mul_(torch.add(power, 2.0, out=memory("activation.w", x)))
    return w.div_(torch.add(w, 2.0, out=memory("activation.w", x)))


@replaces("mish_backward")
def mish_backward(grad: Tensor, x: Tensor) -> Tensor:
    """``grad * (t + x * s * (1 - t * t))`` with t = tanh(softplus(x)), s = sigmoid(x)."""

    def piece(grad: Tensor, x: Tensor) -> Tensor:
        t = _ratio_of_mish(x).clone() if x.dtype == torch.float32 else _tanh_of_softplus(x)
        slope = _sigmoid(x).mul_(as_double("activation.x", x)).mul_((t * t).neg_().add_(1.0))
        return t.add_(slope).mul_(as_double("activation.grad", grad))

    return _by_type(piece, piece, grad, x)


_LINEAR = 40.0
"""Beyond, log(1 + exp(x)) rounds to x."""


@replaces("softplus")
def softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``, and x itself where ``beta * x`` is above `threshold`."""

    def piece(x: Tensor) -> Tensor:
        value = as_double("activation.x", x)
        argument = torch.mul(value, float(beta), out=memory("activation.argument", x))
        linear = argument > min(float(threshold), _LINEAR)
        power = exp_of_double(argument) if x.dtype == torch.float32 else wide_exp(argument)
        result = (narrow_log1p if x.dtype == torch.float32 else wide_log1p)(power)
        return torch.where(linear, value, result if beta == 1 else result.div_(constant(beta, x)))

    return _by_type(piece, piece, x)


@replaces("softplus_backward")
def softplus_backward(grad: Tensor, x: Tensor, beta: float, threshold: float) -> Tensor:
    """``grad * sigmoid(beta * x)``, and `grad` itself where ``beta * x`` is above `threshold`."""

    def piece(grad: Tensor, x: Tensor) -> Tensor:
        argument = as_double("activation.argument", x).mul_(float(beta))
        linear = argument > float(threshold)
        share_ = _sigmoid_of_double(argument, narrow=x.dtype == torch.float32)
        return share_.masked_fill_(linear, 1.0).mul_(as_double("activation.grad", grad))

    return _by_type(piece, piece, grad, x)


@replaces("elu")
def elu(x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    """``scale * x`` where x is positive, else ``alpha * scale * (exp(input_scale * x) - 1)``."""

    def piece(x: Tensor) -> Tensor:
        negative = torch.clamp(x, max=0.0, out=memory("activation.negative", x, x.dtype))
        power = _expm1(negative if input_scale == 1 else negative.mul_(float(input_scale)))
        positive = as_double("activation.x", x).clamp_(min=0.0)  # one of the two is 0
        return power.mul_(float(alpha) * float(scale)).add_(positive.mul_(float(scale)))

    return _by_type(piece, piece, x)


@replaces("celu")
def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """``x`` where it is positive, else ``alpha * (exp(x / alpha) - 1)``.

    Raises
    ------
    RuntimeError
        For an `alpha` of 0.
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return elu(x, alpha, 1.0, 1.0 / alpha)


@replaces("elu_backward")
def elu_backward(grad: Tensor, alpha: float, scale: float, input_scale: float, is_result: bool, x: Tensor) -> Tensor:
    """Give the derivative of `elu`; with `is_result`, `x` is its result."""
    negative, slope = float(alpha) * float(scale), float(input_scale)

    def piece(grad: Tensor, x: Tensor) -> Tensor:
        if is_result:
            factor = as_double("activation.factor", x).add_(negative)
        else:
            factor = _exp(x if input_scale == 1 else x * slope).mul_(negative)
        factor.mul_(slope)
        return torch.where(x > 0, float(scale), factor).mul_(as_double("activation.grad", grad))

    return _by_type(piece, piece, grad, x)


@replaces("hardswish")
def hardswish(x: Tensor) -> Tensor:
    """``x * clamp(x + 3, 0, 6) / 6``."""

    def piece(x: Tensor) -> Tensor:
        value = as_double("activation.x", x)
        return torch.add(value, 3.0, out=memory("activation.factor", x)).clamp_(0.0, 6.0).mul_(value).div_(six(x))

    return _by_type(piece, piece, x)


def six(x: Tensor) -> Tensor:
    """Six, to divide by."""
    return constant(6.0, x)


@replaces("hardswish_backward")
def hardswish_backward(grad: Tensor, x: Tensor) -> Tensor:
    """`grad` times 0 below -3, 1 from 3 on, and ``x / 3 + 1 / 2`` between."""

    def piece(grad: Tensor, x: Tensor) -> Tensor:
        factor = as_double("activation.x", x).div_(constant(3.0, x)).add_(0.5)
        result = torch.where(x < 3, factor.mul_(as_double("activation.grad", grad)), grad.to(torch.float64))
        return torch.where(x <= -3, 0.0, result)

    return _by_type(piece, piece, grad, x)


@replaces("hardsigmoid")
def hardsigmoid(x: Tensor) -> Tensor:
    """``clamp(x + 3, 0, 6) / 6``."""

    def piece(x: Tensor) -> Tensor:
        return as_double("activation.x", x).add_(3.0).clamp_(0.0, 6.0).div_(six(x))

    return _by_type(piece, piece, x)


@replaces("hardsigmoid_backward")
def hardsigmoid_backward(grad: Tensor, x: Tensor) -> Tensor:
    """``grad / 6`` between -3 and 3, and 0 elsewhere."""
    sixth = grad / constant(6.0, grad).to(grad.dtype)
    return torch.where((x > -3) & (x < 3), sixth, 0.0)


@replaces("softshrink_backward", "hardshrink_backward")
def shrink_backward(grad: Tensor, x: Tensor, lambd: float) -> Tensor:
    """`grad` where x is beyond -`lambd` or `lambd`, 0 elsewhere."""
    return torch.where((x > lambd) | (x < -lambd), grad, 0.0)


@replaces("tanh_backward")
def tanh_backward(grad: Tensor, y: Tensor) -> Tensor:
    """``grad * (1 - y * y)``; in float64 as ``(1 - y) * (1 + y)``, which does not cancel."""

    def narrow(grad: Tensor, y: Tensor) -> Tensor:
        value = as_double("activation.x", y)
        return value.mul_(value).neg_().add_(1.0).mul_(as_double("activation.grad", grad))

    def in_double(grad: Tensor, y: Tensor) -> Tensor:
        return y.neg().add_(1.0).mul_(y + 1.0).mul_(grad)

    return _by_type(narrow, in_double, grad, y)


@replaces("sigmoid_backward")
def sigmoid_backward(grad: Tensor, y: Tensor) -> Tensor:
    """``grad * (1 - y) * y``."""

    def piece(grad: Tensor, y: Tensor) -> Tensor:
        value = as_double("activation.x", y)
        rest = torch.neg(value, out=memory("activation.argument", y)).add_(1.0)
        return rest.mul_(value).mul_(as_double("activation.grad", grad))

    return _by_type(piece, piece, grad, y)


@replaces("log_sigmoid_forward")
def log_sigmoid(x: Tensor) -> tuple[Tensor, Tensor]:
    """``min(x, 0) - log(1 + exp(-|x|))``, and an empty buffer: the derivative needs none."""

    def piece(x: Tensor) -> Tensor:
        size = x.abs().neg_()
        narrow = x.dtype == torch.float32
        result = narrow_log1p(narrow_exp(size)) if narrow else wide_log1p(wide_exp(size))
        return torch.sub(as_double("activation.x", x).clamp_(max=0.0), result, out=result)

    return _by_type(piece, piece, x), x.new_empty(0)


@replaces("log_sigmoid_backward")
def log_sigmoid_backward(grad: Tensor, x: Tensor, buffer: Tensor) -> Tensor:
    """``grad * sigmoid(-x)``."""
    del buffer

    def piece(grad: Tensor, x: Tensor) -> Tensor:
        return _sigmoid(x.neg()).mul_(as_double("activation.grad", grad))

    return _by_type(piece, piece, grad, x)
