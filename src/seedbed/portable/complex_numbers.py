"""Complex numbers: their operations, by real ones on the two parts.

PyTorch's kernels multiply complex numbers with a fused multiply-add on some devices and without on others. Here a
product of complex64 is computed in float64 and each part rounded once; one of complex128 is four products, a difference
and a sum. What is linear in both parts (a sum, a scatter) is done to one after the other.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from seedbed.errors import NotPortableError
from seedbed.portable.elementary import atan2, cos, exp, hypot, log, sin
from seedbed.portable.fixed_point import exponent, power
from seedbed.portable.products import rounded
from seedbed.portable.table import OPERATIONS, of_complex, replaces

Parts = tuple[Tensor, Tensor]

_REAL = {torch.complex64: torch.float32, torch.complex128: torch.float64}


def parts(x: Tensor) -> Parts:
    """Give the real and the imaginary parts of complex numbers."""
    real, imaginary = torch.view_as_real(x.resolve_conj().resolve_neg()).unbind(-1)
    return real, imaginary


def joined(real: Tensor, imaginary: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Make complex numbers of their parts: of `dtype`, to whose parts they are rounded, or of the parts' own type.

    Raises
    ------
    NotPortableError
        For complex numbers of float16.
    """
    if dtype is not None and dtype not in _REAL:
        raise NotPortableError(f"it is portable for complex64 and complex128, not for {dtype}")
    real, imaginary = torch.broadcast_tensors(real, imaginary)
    both = torch.stack([real, imaginary], -1)
    return torch.view_as_complex(both if dtype is None else both.to(_REAL[dtype]))


def _wide(x: Any, like: Tensor) -> Parts:
    """Give the parts of a tensor or number as float64."""
    if not isinstance(x, Tensor):
        x = torch.full((), complex(x), dtype=torch.complex128, device=like.device)
    if x.is_complex():
        real, imaginary = parts(x)
        return real.to(torch.float64), imaginary.to(torch.float64)
    real = x.to(torch.float64)
    return real, torch.zeros((), dtype=torch.float64, device=x.device)


def _operands(x: Any, other: Any) -> tuple[Parts, Parts, torch.dtype]:
    like = x if isinstance(x, Tensor) else other
    return _wide(x, like), _wide(other, like), torch.result_type(x, other)


def multiplied(x: Parts, y: Parts) -> Parts:
    """Multiply, each part by two products and a difference or a sum."""
    (a, b), (c, d) = x, y
    return a * c - b * d, a * d + b * c


@of_complex("mul", "mul_")
def mul(x: Any, other: Any) -> Tensor:
    one, two, dtype = _operands(x, other)
    if not isinstance(other, Tensor) or not isinstance(x, Tensor) or not (x.is_complex() and other.is_complex()):
        return _mul_by_real(x, other, one, two, dtype)
    return joined(*multiplied(one, two), dtype)


def _mul_by_real(x: Any, other: Any, one: Parts, two: Parts, dtype: torch.dtype) -> Tensor:
    """Multiply by a real number, which leaves the other's infinities and zeros alone."""
    if _is_real(other):
        return joined(one[0] * two[0], one[1] * two[0], dtype)
    if _is_real(x):
        return joined(one[0] * two[0], one[0] * two[1], dtype)
    return joined(*multiplied(one, two), dtype)


def _is_real(x: Any) -> bool:
    return not x.is_complex() if isinstance(x, Tensor) else not isinstance(x, complex)


@of_complex("add", "add_")
def add_(x: Tensor, other: Any, alpha: Any = 1) -> Tensor:
    (a, b), two, dtype = _operands(x, other)
    c, d = two if alpha == 1 else multiplied(two, _wide(alpha, x))
    return joined(a + c, b + d, dtype)


@of_complex("sub", "sub_")
def sub(x: Tensor, other: Any, alpha: Any = 1) -> Tensor:
    (a, b), two, dtype = _operands(x, other)
    c, d = two if alpha == 1 else multiplied(two, _wide(alpha, x))
    return joined(a - c, b - d, dtype)


@of_complex("rsub")
def rsub(x: Tensor, other: Any, alpha: Any = 1) -> Tensor:
    one, (c, d), dtype = _operands(x, other)
    a, b = one if alpha == 1 else multiplied(one, _wide(alpha, x))
    return joined(c - a, d - b, dtype)


@of_complex("div", "div_")
def div(x: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """Divide by a real number, or multiply by the conjugate and divide by the square of the absolute value."""
    if rounding_mode is not None:
        raise NotPortableError("complex quotients are not rounded to integers")
    one, two, dtype = _operands(x, other)
    if _is_real(other):
        return joined(one[0] / two[0], one[1] / two[0], dtype)
    return joined(*_divided(one, two), dtype)


def _divided(x: Parts, y: Parts) -> Parts:
    """Divide, after scaling the divisor by a power of two to near 1."""
    largest = torch.maximum(y[0].abs(), y[1].abs())
    scale = power(-exponent(largest).clamp(-1021, 1021))
    c, d = y[0] * scale, y[1] * scale
    square = c * c + d * d
    real, imaginary = multiplied(x, (c, -d))
    return real / square * scale, imaginary / square * scale


@of_complex("reciprocal")
def reciprocal(x: Tensor) -> Tensor:
    one = torch.ones((), dtype=torch.float64, device=x.device), torch.zeros((), dtype=torch.float64, device=x.device)
    return joined(*_divided(one, _wide(x, x)), x.dtype)


@of_complex("pow")
def pow_(x: Any, other: Any) -> Tensor:
    """Raise to an integer by multiplications, from the highest bit of it down.

    Raises
    ------
    NotPortableError
        For other exponents than integers up to 1024.
    """
    possible = isinstance(x, Tensor) and not isinstance(other, Tensor) and abs(other) <= 1024
    if not possible or other != int(other.real):
        raise NotPortableError("complex numbers are raised to integers up to 1024 alone")
    count, dtype = int(other.real), torch.result_type(x, other)
    if count == 0:
        return torch.ones_like(x, dtype=dtype)
    one = result = _wide(x, x)
    for digit in bin(abs(count))[3:]:
        result = multiplied(result, result)
        if digit == "1":
            result = multiplied(result, one)
    if count < 0:
        unit = torch.ones_like(result[0]), torch.zeros_like(result[0])
        result = _divided(unit, result)
    return joined(*result, dtype)


@of_complex("abs")
def abs_(x: Tensor) -> Tensor:
    return hypot(*parts(x))


@replaces("angle")
def angle(x: Tensor) -> Tensor:
    """0 for a positive number, pi for a negative one."""
    return torch.where(x.isnan(), x, torch.where(x < 0, torch.full_like(x, torch.pi), 0.0))


@of_complex("angle")
def angle_of(x: Tensor) -> Tensor:
    real, imaginary = parts(x)
    return atan2(imaginary, real)


@of_complex("sgn")
def sgn(x: Tensor) -> Tensor:
    """``x / abs(x)``, and 0 for 0."""
    real, imaginary = _wide(x, x)
    length = hypot(real, imaginary)
    length = torch.where(length == 0, 1.0, length)
    return joined(real / length, imaginary / length, x.dtype)


@of_complex("exp")
def exp_(x: Tensor) -> Tensor:
    real, imaginary = _wide(x, x)
    size = exp(real)
    return joined(size * cos(imaginary), torch.where(imaginary == 0, imaginary, size * sin(imaginary)), x.dtype)


@of_complex("log")
def log_(x: Tensor) -> Tensor:
    real, imaginary = _wide(x, x)
    return joined(log(hypot(real, imaginary)), atan2(imaginary, real), x.dtype)


def _rows(x: Tensor) -> Tensor:
    """Look at ``(..., m, k)`` as ``(..., m, 2 k)`` real numbers."""
    return torch.view_as_real(x.resolve_conj().resolve_neg()).flatten(-2)


def _columns(x: Tensor) -> Tensor:
    """Make ``(..., 2 k, 2 n)`` real numbers of ``(..., k, n)``, so that the product with `_rows` is the complex one."""
    real, imaginary = parts(x)
    two_rows = torch.stack([joined(real, imaginary), joined(-imaginary, real)], -2)
    return torch.view_as_real(two_rows).flatten(-2).flatten(-3, -2)


@of_complex("mm", "bmm", "mv")
def product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply complex matrices as real ones of twice the size; each part is rounded once."""
    columns = right if right.ndim == left.ndim else right.unsqueeze(-1)
    both = rounded(_rows(left), _columns(columns))
    result = torch.view_as_complex(both.unflatten(-1, (-1, 2)))
    return result if columns is right else result.squeeze(-1)


@of_complex("addmm", "baddbmm", "addmv")
def product_plus(addend: Tensor, left: Tensor, right: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * addend + alpha * (left @ right)``; with `beta` 0, `addend` is not looked at."""
    result = mul(product(left, right), alpha)
    return result if beta == 0 else add_(result, mul(addend, beta))


@of_complex("dot")
def dot(left: Tensor, right: Tensor) -> Tensor:
    return product(left.unsqueeze(0), right.unsqueeze(1)).reshape(())


@of_complex("vdot")
def vdot(left: Tensor, right: Tensor) -> Tensor:
    return dot(left.conj(), right)


@of_complex("linalg_vector_norm")
def linalg_vector_norm(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return _run("linalg_vector_norm", abs_(x), *args, **kwargs)  # type: ignore[no-any-return]


@of_complex("addcmul", "addcmul_")
def addcmul(x: Tensor, one: Tensor, two: Tensor, *, value: Any = 1) -> Tensor:
    return add_(x, mul(mul(one, value), two))


@of_complex("addcdiv", "addcdiv_")
def addcdiv(x: Tensor, one: Tensor, two: Tensor, *, value: Any = 1) -> Tensor:
    return add_(x, div(mul(one, value), two))


@of_complex("allclose")
def allclose(x: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:  # noqa: FBT001, FBT002
    near = (x == other) | ((abs_(sub(x, other)) <= atol + rtol * abs_(other)) & other.isfinite())
    return bool((near | (x.isnan() & other.isnan()) if equal_nan else near).all())


LINEAR = """
    _index_put_impl _unsafe_index_put col2im cumsum embedding_dense_backward index_add index_copy index_put mean put
    reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward
    replication_pad2d_backward replication_pad3d_backward scatter_add sum trace unfold_backward
""".split()  # noqa: SIM905 - names, not strings


def _run(name: str, *args: Any, **kwargs: Any) -> Any:
    run = OPERATIONS[name].run
    assert run is not None  # noqa: S101 - the operation is a replaced one
    return run(*args, **kwargs)


def _real(value: Any) -> Any:
    """Give the real part of whatever has one."""
    if isinstance(value, torch.dtype):
        return _REAL.get(value, value)
    return parts(value)[0] if isinstance(value, Tensor) and value.is_complex() else value


def _imaginary(value: Any) -> Any:
    """Give the imaginary part of whatever has one, and 0 for a real tensor; what only steers stays what it is."""
    if isinstance(value, Tensor) and value.is_floating_point():
        return torch.zeros_like(value)
    return parts(value)[1] if isinstance(value, Tensor) and value.is_complex() else _real(value)


def _by_parts(name: str) -> Callable[..., Tensor]:
    """Make what does a linear operation to the real and to the imaginary parts."""

    def call(*args: Any, **kwargs: Any) -> Tensor:
        real, imaginary = (_run(name, *tree_map(part, args), **tree_map(part, kwargs)) for part in (_real, _imaginary))
        return joined(real, imaginary)

    return call


for each in LINEAR:
    of_complex(each)(_by_parts(each))
