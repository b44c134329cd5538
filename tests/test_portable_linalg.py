"""The QR decomposition of portable mode."""

import pytest
import torch

from seedbed.portable.linalg.reflections import linalg_qr


def matrix(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (1, 1), (2, 3, 6, 4), (0, 3), (3, 0), (2, 0, 0)])
@pytest.mark.parametrize("mode", ["reduced", "complete", "r"])
def test_it_is_pytorchs(shape: tuple[int, ...], mode: str, dtype: torch.dtype) -> None:
    a = matrix(*shape, dtype=dtype)
    for found, expected in zip(linalg_qr(a, mode), torch.linalg.qr(a, mode), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_neither_large_nor_small_numbers_are_lost(factor: float) -> None:
    a = matrix(6, 4, dtype=torch.float64)
    q, r = linalg_qr(a * factor)
    torch.testing.assert_close(q, linalg_qr(a)[0])
    torch.testing.assert_close(r, linalg_qr(a)[1] * factor)


def test_a_column_of_zeros_is_left_alone() -> None:
    q, r = linalg_qr(torch.tensor([[0.0, 1.0], [0.0, 2.0]]))
    torch.testing.assert_close(q @ r, torch.tensor([[0.0, 1.0], [0.0, 2.0]]))
    torch.testing.assert_close(q.T @ q, torch.eye(2))


def test_nan_stays_nan() -> None:
    assert linalg_qr(torch.full((2, 2), float("nan")))[1][0].isnan().all()


def test_columns_do_not_depend_on_those_after_them() -> None:
    a = matrix(9, 5)
    assert torch.equal(linalg_qr(a)[1][:3, :3], linalg_qr(a[:, :3])[1])


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(RuntimeError, match="unrecognized mode 'full'"):
        linalg_qr(matrix(2, 2), "full")
