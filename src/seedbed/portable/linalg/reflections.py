"""The QR decomposition, which `nn.init.orthogonal_` needs, by Householder's reflections.

LAPACK's and cuSOLVER's are blocked as each machine likes it. Decompositions by iteration (svd, eigh, eig) are refused.
"""

import torch
from torch import Tensor

from seedbed.portable.elementary import sqrt
from seedbed.portable.linalg.shapes import check_matrices
from seedbed.portable.sums.tree import total
from seedbed.portable.table import replaces


@replaces("linalg_qr")
def linalg_qr(a: Tensor, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """Decompose ``(..., m, n)`` into an orthogonal ``q`` and an upper triangular ``r``, by Householder's reflections.

    Signs are LAPACK's: an element of r's diagonal has the sign opposite to that of the column it reflects. In float64
    throughout; cost grows with m n min(m, n), and each column is a dozen operations.

    Raises
    ------
    RuntimeError
        For a `mode` that is neither reduced, complete nor r; as PyTorch.

    References
    ----------
    G. H. Golub, C. F. Van Loan: Matrix Computations, 4th edition, algorithms 5.1.1 and 5.2.1.
    """
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode {mode!r}: it is one of 'reduced', 'complete' and 'r'")
    check_matrices(a, "linalg.qr")
    rows, columns = a.shape[-2:]
    width = min(rows, columns)
    r = a.to(torch.float64).clone()
    reflections = [_reflect(r, column) for column in range(min(rows - 1, columns))]
    height = rows if mode == "complete" else width
    upper = r[..., :height, :].triu().to(a.dtype)
    if mode == "r":
        return a.new_empty(0), upper
    q = torch.eye(rows, height, dtype=torch.float64, device=a.device).expand(*a.shape[:-2], rows, height).clone()
    for column, (vector, factor) in reversed(list(enumerate(reflections))):
        _apply(q[..., column:, :], vector, factor)
    return q.to(a.dtype), upper


def _reflect(r: Tensor, column: int) -> tuple[Tensor, Tensor]:
    """Zero what is below the diagonal of one column; gives the reflection's vector (first element 1) and its factor."""
    x = r[..., column:, column]
    first, rest = x[..., :1], x[..., 1:]
    scale = x.abs().amax(-1, keepdim=True)
    scale = torch.where((scale > 0) & scale.isfinite(), scale, 1.0)
    scaled = x / scale
    norm = sqrt(total(scaled * scaled, -1, keepdim=True)) * scale
    nothing = (rest == 0).all(-1, keepdim=True)
    diagonal = torch.where(nothing, first, -torch.copysign(norm, first))
    one = torch.ones_like(first)
    vector = torch.cat([one, rest / torch.where(nothing, one, first - diagonal)], -1)
    factor = torch.where(nothing, 0.0, (diagonal - first) / torch.where(nothing, one, diagonal))
    _apply(r[..., column:, column:], vector, factor)
    return vector, factor


def _apply(a: Tensor, vector: Tensor, factor: Tensor) -> None:
    """Reflect the columns of `a`, in place: ``a - factor * vector (vector' a)``."""
    products = total(vector.unsqueeze(-1) * a, -2, keepdim=True) * factor.unsqueeze(-1)
    a.sub_(vector.unsqueeze(-1) * products)


@replaces("geqrf")
def geqrf(a: Tensor) -> tuple[Tensor, Tensor]:
    """Give ``r`` with the reflections' vectors below its diagonal, and their factors; see `linalg_qr`."""
    check_matrices(a, "geqrf")
    rows, columns = a.shape[-2:]
    r = a.to(torch.float64).clone()
    factors = torch.zeros(*a.shape[:-2], min(rows, columns), dtype=torch.float64, device=a.device)
    for column in range(min(rows - 1, columns)):
        vector, factor = _reflect(r, column)
        r[..., column + 1 :, column] = vector[..., 1:]
        factors[..., column] = factor[..., 0]
    return r.to(a.dtype), factors.to(a.dtype)


@replaces("linalg_householder_product")
def linalg_householder_product(a: Tensor, tau: Tensor) -> Tensor:
    """Multiply the reflections whose vectors are below the diagonal of ``a``; as many columns as ``a`` has."""
    check_matrices(a, "linalg.householder_product")
    rows, columns = a.shape[-2:]
    if not rows >= columns >= tau.shape[-1]:
        raise RuntimeError(f"linalg.householder_product: {rows} rows, {columns} columns, {tau.shape[-1]} reflections")
    vectors, factors = a.to(torch.float64), tau.to(torch.float64)
    q = torch.eye(rows, columns, dtype=torch.float64, device=a.device).expand(a.shape).clone()
    for column in reversed(range(tau.shape[-1])):
        below = vectors[..., column + 1 :, column]
        vector = torch.cat([torch.ones_like(vectors[..., :1, 0]), below], -1)
        _apply(q[..., column:, :], vector, factors[..., column : column + 1])
    return q.to(a.dtype)
