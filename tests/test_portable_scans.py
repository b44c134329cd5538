"""Running sums and products, and products."""

import math

import pytest
import torch
from torch import Tensor

from tests.portable_native import SPECIAL, WIDE, agree, errors, numbers, portable, same

SCANS = ("cumsum", "cumprod", "logcumsumexp")


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 300])
def test_running_ones_are_pytorchs_own(name: str, dtype: torch.dtype, size: int) -> None:
    x = numbers(2, size, 3, dtype=dtype, sizes=1)
    for dim in (0, 1, -1):
        agree(name, x, dim)


@pytest.mark.parametrize("size", [1, 16, 17, 256, 4097])
def test_every_element_is_added_once(size: int) -> None:
    x = torch.randint(-1000, 1000, (size,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(portable("cumsum", x.to(torch.float64), 0), x.cumsum(0).to(torch.float64))


@pytest.mark.parametrize("dtype", WIDE)
def test_products_are_pytorchs_own(dtype: torch.dtype) -> None:
    x = numbers(3, 7, 5, dtype=dtype, sizes=1)
    agree("prod", x)
    for dim in (0, 1, -1):
        agree("prod", x, dim)
        agree("prod", x, dim, True)
    for empty in (torch.empty(0, 3, dtype=dtype), torch.tensor(2.5, dtype=dtype)):
        agree("prod", empty)
        agree("prod", empty, 0)
        for name in SCANS:
            agree(name, empty, 0)
    agree("cumsum", torch.tensor([1, 2]), 0, dtype=torch.float32)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("values", SPECIAL)
def test_infinities_and_nan(dtype: torch.dtype, values: list[float]) -> None:
    x = torch.tensor([values, [0.5, 2.0]], dtype=dtype)
    for name in (*SCANS, "prod"):
        agree(name, x, 1)
        agree(name, x, 0)


def test_float32_is_rounded_once() -> None:
    x = numbers(2000, sizes=10)
    exact = torch.tensor([math.fsum(x[: end + 1].tolist()) for end in range(2000)], dtype=torch.float64)
    assert errors(portable("cumsum", x, 0), exact)[0] <= 0.5 + 1e-6


def test_layout_changes_nothing() -> None:
    x = numbers(40, 300, sizes=10)
    same(portable("cumsum", x.T.contiguous().T, 1), portable("cumsum", x, 1))
    same(portable("cumsum", x, 1)[3], portable("cumsum", x[3], 0))
    same(portable("prod", x.T.contiguous(), 0), portable("prod", x, 1))


def results() -> dict[str, Tensor]:
    """What must be the same under every setting."""
    x = numbers(40, 300, sizes=1)
    found = {f"{name} {dtype}": portable(name, x.to(dtype), 1) for name in (*SCANS, "prod") for dtype in WIDE}
    return found | {"native": x.logcumsumexp(1), "native product": x.prod(1)}
