"""The LU decomposition with row exchanges, and what is made of it: solutions, inverses and determinants.

Column by column in float64, as `triangular`. The row that is exchanged is the first of the largest elements.

G. H. Golub, C. F. Van Loan: Matrix Computations, 4th edition, algorithm 3.4.1.
"""

import torch
from torch import Tensor

from seedbed.portable.elementary import log
from seedbed.portable.linalg.shapes import check_matrices, check_square, check_system
from seedbed.portable.linalg.triangular import substituted
from seedbed.portable.sums.scans import product
from seedbed.portable.sums.tree import total
from seedbed.portable.table import replaces

aten = torch.ops.aten


def _factored(a: Tensor, *, pivot: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Give both factors in one matrix, float64; the row that each was exchanged with, from 1; the first pivot of 0."""
    rows, columns = a.shape[-2:]
    steps = min(rows, columns)
    lu = a.to(torch.float64).clone(memory_format=torch.contiguous_format)
    info = torch.zeros(a.shape[:-2], dtype=torch.int32, device=a.device)
    exchanged = torch.arange(steps, device=a.device).expand(*a.shape[:-2], steps).clone()
    for column in range(steps):
        if pivot:
            largest = lu[..., column:, column].abs().argmax(-1) + column
            exchanged[..., column] = largest
            _exchange(lu, column, largest)
        first = lu[..., column : column + 1, column]
        info = torch.where((info == 0) & (first[..., 0] == 0), column + 1, info)
        factors = lu[..., column + 1 :, column]
        factors.div_(torch.where(first == 0, 1.0, first))
        lu[..., column + 1 :, column + 1 :].sub_(factors.unsqueeze(-1) * lu[..., column : column + 1, column + 1 :])
    return lu, (exchanged + 1).to(torch.int32), info.to(torch.int32)


def _exchange(x: Tensor, row: int, other: Tensor) -> None:
    """Exchange one row with another, which for each matrix of the batch is another one; in place."""
    index = other[..., None, None].expand(*other.shape, 1, x.shape[-1])
    here, there = x[..., row : row + 1, :].clone(), x.gather(-2, index)
    x.scatter_(-2, index, here)
    x[..., row : row + 1, :] = there


def _order(pivots: Tensor, rows: int) -> Tensor:
    """Give where each row comes from after all exchanges."""
    order = torch.arange(rows, device=pivots.device).expand(*pivots.shape[:-1], rows).unsqueeze(-1).clone()
    for row in range(pivots.shape[-1]):
        _exchange(order, row, pivots[..., row].to(torch.int64) - 1)
    return order.squeeze(-1)


def _solved(lu: Tensor, pivots: Tensor, b: Tensor, *, transposed: bool = False) -> Tensor:
    """Solve ``a x = b``, or that with the transposed ``a``, given the factors of ``a``; float64."""
    batch = torch.broadcast_shapes(lu.shape[:-2], b.shape[:-2])
    lu, b = lu.to(torch.float64), b.to(torch.float64).expand(*batch, *b.shape[-2:])
    order = _order(pivots, lu.shape[-1])
    if not transposed:
        b = b.gather(-2, order.unsqueeze(-1).expand(b.shape))
        return substituted(lu, substituted(lu, b, upper=False, unit=True), upper=True)
    x = substituted(lu.mT, substituted(lu.mT, b, upper=False), upper=True, unit=True)
    return x.gather(-2, order.argsort(-1).unsqueeze(-1).expand(b.shape))


@replaces("linalg_lu_factor_ex")
def linalg_lu_factor_ex(a: Tensor, *, pivot: bool = True, check_errors: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Give both factors in one matrix, the exchanges, and the first pivot that is 0."""
    check_matrices(a, "linalg.lu_factor")
    lu, pivots, info = _factored(a, pivot=pivot)
    if check_errors:
        aten._linalg_check_errors(info, "torch.linalg.lu_factor_ex", is_matrix=a.ndim == 2)
    return lu.to(a.dtype), pivots, info


@replaces("linalg_lu")
def linalg_lu(a: Tensor, *, pivot: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Give the permutation and both factors as matrices; without `pivot`, an empty permutation."""
    lu, pivots, _ = linalg_lu_factor_ex(a, pivot=pivot)
    return aten.lu_unpack(lu, pivots, True, pivot)  # type: ignore[no-any-return]  # noqa: FBT003


@replaces("linalg_lu_solve")
def linalg_lu_solve(lu: Tensor, pivots: Tensor, b: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """Solve ``a x = b``, or with `left` False ``x a = b``; with `adjoint` for the transposed ``a``."""
    check_system(lu, b, "linalg.lu_solve", left=left)
    if left:
        return _solved(lu, pivots, b, transposed=adjoint).to(b.dtype)
    return _solved(lu, pivots, b.mT, transposed=not adjoint).mT.to(b.dtype)


@replaces("_linalg_solve_ex")
def linalg_solve_ex(
    a: Tensor, b: Tensor, *, left: bool = True, check_errors: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Solve ``a x = b``, or with `left` False ``x a = b``; gives the factors too."""
    vector = b.ndim == 1 or (a.ndim - 1 == b.ndim and b.shape == a.shape[:-1])
    columns = b.unsqueeze(-1) if vector else b
    check_system(a, columns, "linalg.solve", left=left or vector)
    lu, pivots, info = _factored(a)
    if check_errors:
        aten._linalg_check_errors(info, "torch.linalg.solve_ex", is_matrix=a.ndim == 2)
    x = _solved(lu, pivots, columns) if left else _solved(lu, pivots, columns.mT, transposed=True).mT
    x = x.to(a.dtype)
    return x.squeeze(-1) if vector else x, lu.to(a.dtype), pivots, info


@replaces("linalg_inv_ex")
def linalg_inv_ex(a: Tensor, *, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    """Invert, and give the first pivot that is 0."""
    check_square(a, "linalg.inv")
    lu, pivots, info = _factored(a)
    if check_errors:
        aten._linalg_check_errors(info, "linalg.inv_ex", is_matrix=a.ndim == 2)
    one = torch.eye(a.shape[-1], dtype=torch.float64, device=a.device).expand(a.shape)
    return _solved(lu, pivots, one).to(a.dtype), info


def _of_gradient(a: Tensor) -> Tensor:
    """Transpose where PyTorch does, whose formula of the gradient expects the factors of that."""
    return a.mT if a.is_contiguous() else a


def _sign(lu: Tensor, pivots: Tensor) -> Tensor:
    """Give the sign of the exchanges: -1 for an odd number of them."""
    odd = (pivots != torch.arange(1, pivots.shape[-1] + 1, device=pivots.device)).sum(-1) % 2
    return 1.0 - 2.0 * odd.to(lu.dtype)


@replaces("_linalg_det")
def linalg_det(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Multiply the pivots."""
    check_square(a, "linalg.det")
    lu, pivots, _ = _factored(_of_gradient(a))
    diagonal = lu.diagonal(0, -2, -1)
    return (product(diagonal, -1) * _sign(lu, pivots)).to(a.dtype), lu.to(a.dtype), pivots


@replaces("_linalg_slogdet")
def linalg_slogdet(a: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give the sign of the determinant, and the logarithm of its absolute value as the sum of those of the pivots."""
    check_square(a, "linalg.slogdet")
    lu, pivots, _ = _factored(_of_gradient(a))
    diagonal = lu.diagonal(0, -2, -1)
    sign = product(diagonal.sign(), -1) * _sign(lu, pivots)
    logarithm = total(log(diagonal.abs()), -1)
    return sign.to(a.dtype), logarithm.to(a.dtype), lu.to(a.dtype), pivots
