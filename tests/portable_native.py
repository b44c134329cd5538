"""Compares operations of portable mode with PyTorch's own, one call at a time."""

from typing import Any

import torch
from torch import Tensor

from seedbed.portable.fixed_point import exponent, power
from seedbed.portable.table import OPERATIONS

WIDE = (torch.float32, torch.float64)
SPECIAL = (
    [1, -torch.inf],
    [-torch.inf, -torch.inf],
    [torch.inf, 1],
    [torch.nan, 1],
    [torch.inf, -torch.inf],
    [0.0, -0.0],
)


def portable(name: str, *args: Any, **kwargs: Any) -> Any:
    """Give what the table's function gives."""
    run = OPERATIONS[name].run
    assert run is not None
    return run(*args, **kwargs)


def native(name: str, *args: Any, **kwargs: Any) -> Any:
    """Give what PyTorch's own kernel gives."""
    return getattr(torch.ops.aten, name)(*args, **kwargs)


def agree(name: str, *args: Any, tolerance: float = 1e-5, **kwargs: Any) -> Any:
    """Hold the table's function to PyTorch's kernel: shapes, types, NaN and infinities; values within `tolerance`."""
    found, wanted = portable(name, *args, **kwargs), native(name, *args, **kwargs)
    for actual, expected in zip(_each(found), _each(wanted), strict=True):
        assert (actual is None) == (expected is None), name
        if actual is not None:
            torch.testing.assert_close(
                actual, expected, rtol=tolerance, atol=tolerance, equal_nan=True, check_stride=False
            )
    return wanted


def _each(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def same(actual: Tensor, expected: Tensor) -> None:
    """Hold two tensors to the same bits."""
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=0.0, equal_nan=True)
    assert torch.equal(actual.signbit(), expected.signbit())


def errors(actual: Tensor, exact: Tensor) -> tuple[float, float]:
    """Give the largest and the mean error in units of the last place of `actual`'s type; `exact` is float64."""
    bits = 24 if actual.dtype == torch.float32 else 53
    units = power(exponent(exact.abs()).clamp(min=-125 if bits == 24 else -968) - bits)
    found = (actual.to(torch.float64) - exact).abs() / units
    return float(found.max()), float(found.mean())


def numbers(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0, sizes: int = 0) -> Tensor:
    """Give the same numbers on every machine, as `torch.randn` does not: within -1 and 1, times up to ``2**sizes``."""
    generator = torch.Generator().manual_seed(seed)
    integers = torch.randint(-(2**52), 2**52, shape, generator=generator).to(torch.float64)
    exponents = torch.randint(-sizes, sizes + 1, shape, generator=generator)
    return (integers * power(exponents - 52)).to(dtype)
