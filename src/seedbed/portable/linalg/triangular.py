"""Triangular matrices: Cholesky's decomposition and the solution of triangular systems, column by column in float64.

LAPACK's and cuSOLVER's are blocked as each machine likes it. Here each column is taken from all that follow, element by
element: cost grows with n**3, and each column is a handful of operations.

G. H. Golub, C. F. Van Loan: Matrix Computations, 4th edition, algorithms 3.1.3 and 4.2.2.
"""

import torch
from torch import Tensor

from seedbed.portable.elementary import sqrt
from seedbed.portable.linalg.shapes import check_square, check_system
from seedbed.portable.table import replaces

aten = torch.ops.aten


def substituted(a: Tensor, b: Tensor, *, upper: bool, unit: bool = False) -> Tensor:
    """Solve ``a x = b`` with a triangular ``a``, ``(..., n, n)``, of which the other half is not looked at; float64."""
    size = a.shape[-1]
    a, b = _same_batch(a, b)
    x = b.clone()
    for column in reversed(range(size)) if upper else range(size):
        rest = slice(column) if upper else slice(column + 1, size)
        row = x[..., column : column + 1, :]
        if not unit:
            row.div_(a[..., column : column + 1, column, None])
        x[..., rest, :].sub_(a[..., rest, column, None] * row)
    return x


def _same_batch(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return a.expand(*batch, *a.shape[-2:]), b.expand(*batch, *b.shape[-2:])


@replaces("linalg_solve_triangular")
def linalg_solve_triangular(
    a: Tensor, b: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """Solve ``a x = b``, or with `left` False ``x a = b``; batches broadcast."""
    check_system(a, b, "linalg.solve_triangular", left=left)
    wide, given = a.to(torch.float64), b.to(torch.float64)
    if left:
        return substituted(wide, given, upper=upper, unit=unitriangular).to(a.dtype)
    return substituted(wide.mT, given.mT, upper=not upper, unit=unitriangular).mT.to(a.dtype)


@replaces("triangular_solve")
def triangular_solve(
    b: Tensor,
    a: Tensor,
    upper: bool = True,  # noqa: FBT001, FBT002 - aten's arguments go by position
    transpose: bool = False,  # noqa: FBT001, FBT002
    unitriangular: bool = False,  # noqa: FBT001, FBT002
) -> tuple[Tensor, Tensor]:
    """Solve ``a x = b``, or that with the transposed ``a``; gives a copy of ``a`` too."""
    check_system(a, b, "triangular_solve")
    used = a.mT if transpose else a
    solution = linalg_solve_triangular(used, b, upper=upper != transpose, unitriangular=unitriangular)
    return solution, _same_batch(a, b)[0].clone()


def _cholesky(a: Tensor) -> tuple[Tensor, Tensor]:
    """Give the lower triangular factor, and the number of the first column at which it failed, or 0."""
    rest = a.to(torch.float64).tril()
    info = torch.zeros(a.shape[:-2], dtype=torch.int32, device=a.device)
    for column in range(a.shape[-1]):
        pivot = rest[..., column, column]
        info = torch.where((info == 0) & ~(pivot > 0), column + 1, info)
        below = rest[..., column:, column]
        below.div_(sqrt(pivot).unsqueeze(-1))
        factors = below[..., 1:].clone()
        rest[..., column + 1 :, column + 1 :].sub_(factors.unsqueeze(-1) * factors.unsqueeze(-2))
    return rest.tril().to(a.dtype), info.to(torch.int32)


@replaces("linalg_cholesky_ex")
def linalg_cholesky_ex(a: Tensor, *, upper: bool = False, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    """Give the factor, lower or upper triangular, of a symmetric positive definite matrix, and where it failed."""
    check_square(a, "linalg.cholesky")
    factor, info = _cholesky(a.mT if upper else a)
    if check_errors:
        aten._linalg_check_errors(info, "linalg.cholesky_ex", is_matrix=a.ndim == 2)
    return factor.mT if upper else factor, info


@replaces("cholesky")
def cholesky(a: Tensor, upper: bool = False) -> Tensor:  # noqa: FBT001, FBT002
    """Give the factor alone.

    Raises
    ------
    torch.linalg.LinAlgError
        If the matrix is not positive definite; as PyTorch.
    """
    factor, info = linalg_cholesky_ex(a, upper=upper)
    aten._linalg_check_errors(info, "cholesky", is_matrix=a.ndim == 2)
    return factor


@replaces("cholesky_solve")
def cholesky_solve(b: Tensor, factor: Tensor, upper: bool = False) -> Tensor:  # noqa: FBT001, FBT002
    """Solve ``a x = b``, given the factor of ``a``."""
    check_system(factor, b, "cholesky_solve")
    lower = (factor.mT if upper else factor).to(torch.float64)
    half = substituted(lower, b.to(torch.float64), upper=False)
    return substituted(lower.mT, half, upper=True).to(b.dtype)


@replaces("cholesky_inverse")
def cholesky_inverse(factor: Tensor, upper: bool = False) -> Tensor:  # noqa: FBT001, FBT002
    """Invert a matrix, given its factor."""
    check_square(factor, "cholesky_inverse")
    one = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    return cholesky_solve(one, factor, upper)
