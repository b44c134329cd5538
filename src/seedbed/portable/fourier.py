"""Fourier transforms: butterflies in a fixed order, in float64; rounded once.

A length is taken apart into its factors (J. W. Cooley, J. W. Tukey: An Algorithm for the Machine Calculation of Complex
Fourier Series. Mathematics of Computation 19 (1965), 297-301). A prime factor above 31 becomes a convolution whose
length is a power of two (L. I. Bluestein: A linear filtering approach to the computation of discrete Fourier transform.
IEEE Transactions on Audio and Electroacoustics 18 (1970), 451-455).
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from seedbed.errors import NotPortableError
from seedbed.portable.complex_numbers import Parts, joined, multiplied, parts
from seedbed.portable.elementary import cos, sin
from seedbed.portable.scratch import constant
from seedbed.portable.table import replaces

Change = Callable[[Tensor], Tensor]

_DIRECT = 31
"""The longest transform that is written out."""


@lru_cache(maxsize=64)
def _roots(n: int, device: torch.device) -> Parts:
    """Give ``exp(-2 pi i k / n)`` for each k below `n`, from angles up to an eighth of a turn; float64."""
    with _disable_current_modes(), torch.inference_mode(False):  # noqa: FBT003 - what is kept is no part of a mode
        k = 4 * torch.arange(n, device=device)
        quarter = k // n
        rest = k - quarter * n
        far = 2 * rest > n
        angle = torch.where(far, n - rest, rest).to(torch.float64) * (math.pi / 2) / constant(n, k)
        x, y = torch.where(far, sin(angle), cos(angle)), torch.where(far, cos(angle), sin(angle))
        real, imaginary = (torch.stack(each).gather(0, quarter[None])[0] for each in ((x, -y, -x, y), (y, x, -y, -x)))
        return real, -imaginary


@cache
def _root(place: int, n: int) -> tuple[float, float]:
    real, imaginary = _roots(n, torch.device("cpu"))
    return float(real[place]), float(imaginary[place])


@lru_cache(maxsize=64)
def _twiddles(p: int, m: int, device: torch.device) -> Parts:
    """Give ``exp(-2 pi i j k / (p m))``, ``(p, m)``."""
    with _disable_current_modes(), torch.inference_mode(False):  # noqa: FBT003
        places = torch.arange(p, device=device)[:, None] * torch.arange(m, device=device)
        real, imaginary = _roots(p * m, device)
        return real[places], imaginary[places]


def _factor(n: int) -> int:
    """Give 4, or the smallest prime factor."""
    if n % 4 == 0:
        return 4
    return next((p for p in range(2, math.isqrt(n) + 1) if n % p == 0), n)


def transformed(x: Parts) -> Parts:
    """Transform the last dimension, forward, unscaled; float64."""
    n = x[0].shape[-1]
    if n <= 1:
        return x
    p = _factor(n)
    m = n // p
    columns = _each(x, lambda part: part.reshape(*part.shape[:-1], m, p).transpose(-1, -2))
    if m > 1:
        columns = multiplied(transformed(columns), _twiddles(p, m, x[0].device))
    return _each(_across(columns, p), lambda part: part.reshape(*part.shape[:-2], n))


def _each(x: Parts, change: Change) -> Parts:
    return change(x[0]), change(x[1])


def _across(x: Parts, p: int) -> Parts:
    """Transform the dimension before the last, which is 4 or a prime."""
    if p > _DIRECT:
        return _each(_by_convolution(_each(x, _swapped)), _swapped)
    if p == 2:
        return _each(x, _two)
    if p == 4:
        return _four(x)
    real, imaginary = x
    rows: list[Parts] = []
    for k in range(p):
        one, other = real[..., 0, :], imaginary[..., 0, :]
        for j in range(1, p):
            (a, b), (c, d) = (real[..., j, :], imaginary[..., j, :]), _root(j * k % p, p)
            one, other = one + (a * c - b * d), other + (a * d + b * c)
        rows.append((one, other))
    return torch.stack([row[0] for row in rows], -2), torch.stack([row[1] for row in rows], -2)


def _swapped(x: Tensor) -> Tensor:
    return x.transpose(-1, -2)


def _two(x: Tensor) -> Tensor:
    a, b = x.unbind(-2)
    return torch.stack([a + b, a - b], -2)


def _four(x: Parts) -> Parts:
    (a, b, c, d), (e, f, g, h) = (part.unbind(-2) for part in x)
    real = [(a + c) + (b + d), (a - c) + (f - h), (a + c) - (b + d), (a - c) - (f - h)]
    imaginary = [(e + g) + (f + h), (e - g) - (b - d), (e + g) - (f + h), (e - g) + (b - d)]
    return torch.stack(real, -2), torch.stack(imaginary, -2)


def _by_convolution(x: Parts) -> Parts:
    """``j k = (j * j + k * k - (k - j)**2) / 2``: times a chirp, convolved with its conjugate, times it again."""
    n = x[0].shape[-1]
    size = 1 << (2 * n - 2).bit_length()
    squares = torch.arange(n, device=x[0].device) ** 2 % (2 * n)
    chirp = _each(_roots(2 * n, x[0].device), lambda part: part[squares])
    kernel = [torch.zeros(size, dtype=torch.float64, device=x[0].device) for _ in range(2)]
    for part, given in zip(kernel, (chirp[0], -chirp[1]), strict=True):
        part[:n] = given
        part[size - n + 1 :] = given[1:].flip(0)
    padded = _each(multiplied(x, chirp), lambda part: torch.nn.functional.pad(part, (0, size - n)))
    real, imaginary = multiplied(transformed(padded), transformed((kernel[0], kernel[1])))
    imaginary, real = transformed((imaginary, real))  # backward: with the parts exchanged
    return multiplied((real[..., :n] / size, imaginary[..., :n] / size), chirp)


def _over(x: Parts, dims: Sequence[int], *, forward: bool) -> Parts:
    """Transform `dims`, one after another; backward with the parts exchanged."""
    real, imaginary = x if forward else x[::-1]
    for dim in dims:
        done = transformed((real.movedim(dim, -1), imaginary.movedim(dim, -1)))
        real, imaginary = (part.movedim(-1, dim) for part in done)
    return (real, imaginary) if forward else (imaginary, real)


def _scaled(x: Parts, count: int, normalization: int) -> Parts:
    """Divide by nothing (0), by the root of the number of elements (1), or by it (2)."""
    if not normalization:
        return x
    divisor = constant(math.sqrt(count) if normalization == 1 else count, x[0])
    return x[0] / divisor, x[1] / divisor


_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
_REAL = {value: key for key, value in _COMPLEX.items()}


def _checked(x: Tensor, types: dict[torch.dtype, torch.dtype]) -> torch.dtype:
    if x.dtype not in types:
        raise NotPortableError(f"it transforms {' and '.join(map(str, types))}, not {x.dtype}")
    return types[x.dtype]


def _double(x: Tensor) -> Parts:
    if not x.is_complex():
        return x.to(torch.float64), torch.zeros(x.shape, dtype=torch.float64, device=x.device)
    return _each(parts(x), lambda part: part.to(torch.float64))


def _count(x: Tensor, dims: Sequence[int]) -> int:
    return math.prod(x.shape[dim] for dim in dims)


@replaces("_fft_c2c", as_given=True)
def fft_c2c(x: Tensor, dim: Sequence[int], normalization: int, forward: bool) -> Tensor:  # noqa: FBT001
    """Transform complex numbers along `dim`."""
    _checked(x, _REAL)
    return joined(*_scaled(_over(_double(x), dim, forward=forward), _count(x, dim), normalization), x.dtype)


@replaces("_fft_r2c", as_given=True)
def fft_r2c(x: Tensor, dim: Sequence[int], normalization: int, onesided: bool) -> Tensor:  # noqa: FBT001
    """Transform real numbers; if `onesided`, of the last of `dim` the first half and one."""
    dtype = _checked(x, _COMPLEX)
    last = dim[-1]
    found = _over(_double(x), [last], forward=True)
    if onesided:
        found = _each(found, lambda part: part.narrow(last, 0, x.shape[last] // 2 + 1))
    return joined(*_scaled(_over(found, dim[:-1], forward=True), _count(x, dim), normalization), dtype)


@replaces("_fft_c2r", as_given=True)
def fft_c2r(x: Tensor, dim: Sequence[int], normalization: int, last_dim_size: int) -> Tensor:
    """Transform back what is onesided along the last of `dim`, to `last_dim_size` real numbers."""
    dtype = _checked(x, _REAL)
    *others, last = dim
    half = _each(_over(_double(x), others, forward=False), lambda part: part.movedim(last, -1))
    full = _each(_whole(half, last_dim_size), lambda part: part.movedim(-1, last))
    count = _count(x, others) * last_dim_size
    return _scaled(_over(full, [last], forward=False), count, normalization)[0].to(dtype)


def _whole(half: Parts, n: int) -> Parts:
    """Give the second half, the conjugate of the first; elements that are their own conjugates are real."""
    real, imaginary = half[0][..., : n // 2 + 1], half[1][..., : n // 2 + 1].clone()
    imaginary[..., 0] = 0.0
    if n % 2 == 0:
        imaginary[..., n // 2] = 0.0
    second = slice(1, (n + 1) // 2)
    mirrored = real[..., second].flip(-1), -imaginary[..., second].flip(-1)
    return torch.cat([real, mirrored[0]], -1), torch.cat([imaginary, mirrored[1]], -1)
