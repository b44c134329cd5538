"""MATLAB's linear algebra in SciPy: for each expression, the call that runs the same routines of BLAS and LAPACK.

Where library, CPU kernel and threads agree too, the bits are the same: shown with Octave on SciPy's own OpenBLAS
(``tests/end_to_end/test_octave_solvers.py``). Where they do not, which is the rule (MATLAB has Intel's MKL), no bit is
promised: two correct libraries differ by rounding, and `agrees` says whether by no more.

All take arrays of two dimensions, float64 or (but for `gram`) complex128, in either order of memory, and leave them as
they are. What SciPy warns of or refuses, it does here: ``scipy.linalg.LinAlgWarning`` or ``LinAlgError`` where a matrix
is singular or not positive definite, ``ValueError`` for shapes that do not fit and, where an equation is solved or a
matrix taken apart, for infinities and NaN. MATLAB only warns of a singular matrix.

All calls are SciPy's, none is NumPy's: the wheels of the two each bring an OpenBLAS of their own, of other versions.
Which routines Octave 7.3 runs was found by that comparison: of the calls that were tried, these gave its bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seedbed.errors import MatlabError
from seedbed.matlab.sizes import as_array

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = tuple[Array, ...]

BOUND = 10
"""How many times ``eps * cond(A)`` two solutions may differ, relative to the norm of one."""


def solve(a: Array, b: Array) -> Array:
    """``A \\ b``, A square and without structure: LU with pivoting (getrf, getrs).

    ``np.linalg.solve`` runs the same in NumPy's library. A triangular A is `solve_triangular`'s in MATLAB, one that is
    symmetric and positive definite `solve_positive_definite`'s: it looks at the matrix, here you say which.

    Raises
    ------
    MatlabError
        If A is not square.
    """
    from scipy.linalg import lu_factor, lu_solve

    if np.ndim(a) != 2 or a.shape[0] != a.shape[1]:
        raise MatlabError(f"A \\ b by LU needs a square A, not one of the shape {np.shape(a)}: lstsq takes a tall one")
    return np.asarray(lu_solve(lu_factor(a), b))


def solve_positive_definite(a: Array, b: Array) -> Array:
    """``P \\ b``, P symmetric and positive definite: Cholesky of the lower triangle (potrf, potrs)."""
    from scipy.linalg import cho_factor, cho_solve

    return np.asarray(cho_solve(cho_factor(a, lower=True), b))


def solve_triangular(a: Array, b: Array) -> Array:
    """``R \\ b``, R upper triangular: back substitution (trtrs)."""
    from scipy.linalg import solve_triangular as substitute

    return np.asarray(substitute(np.asfortranarray(a), b))  # of one in rows SciPy solves with the transposed one


def lstsq(a: Array, b: Array) -> Array:
    """``T \\ c`` in Octave, T with more rows than columns: the least squares of gelsd.

    MATLAB takes QR there: the same solution within rounding where T has full rank, another one where it has not.
    """
    from scipy.linalg import lstsq as least_squares

    return np.asarray(least_squares(a, b, lapack_driver="gelsd")[0])


def inv(a: Array) -> Array:
    """``inv(A)``: getrf, getri. ``np.linalg.inv`` solves for the columns of the identity instead."""
    from scipy.linalg import inv as inverse

    return np.asarray(inverse(a, assume_a="gen"))


def chol(a: Array) -> Array:
    """``chol(P)``: the upper factor, from the upper triangle (potrf)."""
    from scipy.linalg import cholesky

    return np.asarray(cholesky(a, lower=False))


def lu(a: Array) -> Arrays:
    """``[L, U, P] = lu(A)``, with ``P*A = L*U`` as in MATLAB (getrf); SciPy's own P is the transposed one."""
    from scipy.linalg import lu as factors

    p, lower, upper = factors(a)
    return lower, upper, p.T


def qr(a: Array) -> Arrays:
    """``[Q, R] = qr(T)``, Q square (geqrf, orgqr)."""
    from scipy.linalg import qr as factors

    q, r = factors(a)
    return q, r


def qr_economy(a: Array) -> Arrays:
    """``[Q, R] = qr(T, 0)``, of a T with more rows than columns as many columns in Q as in T."""
    from scipy.linalg import qr as factors

    q, r = factors(a, mode="economic")
    return q, r


def eig_symmetric(a: Array) -> Arrays:
    """``[V, D] = eig(S)``, S symmetric: V, and the diagonal of D as a column (syev, the upper triangle).

    ``np.linalg.eigh`` divides and conquers (syevd): other bits, and other signs of the vectors.
    """
    from scipy.linalg import eigh

    values, vectors = eigh(a, lower=False, driver="ev")
    return vectors, values[:, None]


def svd(a: Array) -> Arrays:
    """``[U, S, V] = svd(A)``: U, the diagonal of S as a column, and V, which SciPy gives transposed (gesvd).

    MATLAB does not say which routine it runs; ``np.linalg.svd`` runs gesdd.
    """
    from scipy.linalg import svd as factors

    u, s, vh = factors(a, lapack_driver="gesvd")
    return u, s[:, None], vh.T


def matmul(a: Array, b: Array) -> Array:
    """``A * B`` (gemm).

    Raises
    ------
    MatlabError
        If A has not as many columns as B has rows.
    """
    from scipy.linalg.blas import get_blas_funcs

    if np.ndim(a) != 2 or np.ndim(b) != 2 or a.shape[1] != b.shape[0]:
        raise MatlabError(
            f"A * B needs as many columns in A as B has rows, not the shapes {np.shape(a)}, {np.shape(b)}"
        )
    return np.asarray(get_blas_funcs("gemm", (a, b))(1.0, a, b))


def gram(a: Array) -> Array:
    """``A' * A``, A real: syrk, the upper triangle, and its mirror image.

    Raises
    ------
    MatlabError
        If A is complex: ``A'`` is conjugated, and syrk does not do that. ``matmul(a.conj().T, a)`` is the product.
    """
    from scipy.linalg.blas import get_blas_funcs

    if np.iscomplexobj(a):
        raise MatlabError("A' * A is had from syrk for a real A only; for a complex one write matmul(a.conj().T, a)")
    upper = np.triu(get_blas_funcs("syrk", (a,))(1.0, a, trans=1))
    return np.asarray(upper + np.triu(upper, 1).T)


def sum_columns(a: Array) -> Array:
    """``sum(A)`` in Octave: of each column, from the first number to the last, beginning with 0.0; shape (1, n).

    A row is n columns here, where MATLAB and Octave give its one sum: transpose it.

    ``np.sum`` adds in pairs what is adjacent in memory: the columns of an array in Fortran order, a vector. In what
    order MATLAB adds is not published.
    """
    return np.cumsum(np.concatenate([np.zeros_like(a, shape=(1, *a.shape[1:])), a]), axis=0)[-1:]


@dataclass(frozen=True, slots=True)
class Twin:
    """An expression of MATLAB's, and the call that runs the same routines."""

    matlab: str
    """As a statement: `A` is square, `P` symmetric positive definite, `S` symmetric, `R` upper triangular, `T` tall."""
    outputs: tuple[str, ...]
    """The variables that the statement sets, and of a factor on a diagonal its diagonal: what `function` returns."""
    python: str
    """The call, written out."""
    function: Callable[..., Array | Arrays]
    inputs: tuple[str, ...]
    other: str = ""
    """What looks alike and runs something else, or in another library."""

    @property
    def operand(self) -> str:
        """The matrix whose condition bounds the difference."""
        return self.inputs[0]


TWINS = (
    Twin("x = A \\ b;", ("x",), "lu_solve(lu_factor(A), b)", solve, ("A", "b"), "np.linalg.solve(A, b)"),
    Twin(
        "x = P \\ b;",
        ("x",),
        "cho_solve(cho_factor(P, lower=True), b)",
        solve_positive_definite,
        ("P", "b"),
        "np.linalg.solve(P, b)",
    ),
    Twin(
        "x = R \\ b;",
        ("x",),
        "solve_triangular(np.asfortranarray(R), b)",
        solve_triangular,
        ("R", "b"),
        "np.linalg.solve(R, b)",
    ),
    Twin("x = T \\ c;", ("x",), "lstsq(T, c, lapack_driver='gelsd')[0]", lstsq, ("T", "c"), "np.linalg.lstsq(T, c)[0]"),
    Twin("X = inv(A);", ("X",), "inv(A, assume_a='gen')", inv, ("A",), "np.linalg.inv(A)"),
    Twin("U = chol(P);", ("U",), "cholesky(P, lower=False)", chol, ("P",), "np.linalg.cholesky(P).T"),
    Twin("[L, U, p] = lu(A);", ("L", "U", "p"), "p, L, U = lu(A); p = p.T", lu, ("A",)),
    Twin("[Q, R] = qr(T);", ("Q", "R"), "qr(T)", qr, ("T",), "np.linalg.qr(T, mode='complete')"),
    Twin("[Q, R] = qr(T, 0);", ("Q", "R"), "qr(T, mode='economic')", qr_economy, ("T",), "np.linalg.qr(T)"),
    Twin(
        "[V, D] = eig(S);",
        ("V", "diag(D)"),
        "eigh(S, lower=False, driver='ev')[::-1]",
        eig_symmetric,
        ("S",),
        "np.linalg.eigh(S)[::-1]",
    ),
    Twin(
        "[U, D, V] = svd(A);",
        ("U", "diag(D)", "V"),
        "U, d, Vh = svd(A, lapack_driver='gesvd'); V = Vh.T",
        svd,
        ("A",),
        "np.linalg.svd(A)",
    ),
    Twin("X = A * B;", ("X",), "scipy.linalg.blas.dgemm(1, A, B)", matmul, ("A", "B"), "A @ B"),
    Twin("X = A' * A;", ("X",), "scipy.linalg.blas.dsyrk(1, A, trans=1), mirrored", gram, ("A",), "A.T @ A"),
    Twin("x = sum(A);", ("x",), "np.cumsum(A, axis=0)[-1:]", sum_columns, ("A",), "np.sum(A, axis=0), A in columns"),
)
"""The table: the tests run it, docs/matlab.md prints it."""


def solution_bound(a: ArrayLike) -> float:
    """Give ``10 * eps * cond(A)``: how far two solutions with A may be apart, relative to the norm of one.

    Backward stable solvers differ from the true solution by a small multiple of ``eps * cond(A)`` (Higham, Accuracy and
    Stability of Numerical Algorithms), two of them from each other by twice that. The 10 is a rule of thumb, not a
    theorem: the multiple grows with the size of A, in practice hardly. `eps` is that of A's dtype, float64's for
    integers; the condition is that in the 2-norm, infinite or nearly so where A is singular.

    Raises
    ------
    MatlabError
        If `a` is no matrix, is empty, or holds infinities or NaN.
    """
    matrix = as_array(a)
    if matrix.dtype.kind not in "biufc" or matrix.ndim != 2 or matrix.size == 0 or not np.all(np.isfinite(matrix)):
        raise MatlabError(f"a condition number needs a matrix of finite numbers, not {matrix.dtype} of {matrix.shape}")
    eps = np.finfo(matrix.dtype if matrix.dtype.kind in "fc" else np.float64).eps
    double = matrix.astype(np.complex128 if matrix.dtype.kind == "c" else np.float64)
    return float(BOUND * eps * np.linalg.cond(double))


def agrees(actual: ArrayLike, expected: ArrayLike, a: ArrayLike) -> bool:
    """Whether two results differ by no more than rounding explains: ``||x1 - x2|| <= solution_bound(A) ||x2||``.

    In the 2-norm of a vector, the Frobenius norm of a matrix. For solutions, inverses and factors; eigenvectors and
    singular vectors hang on the gaps between the values, not on ``cond(A)``, and on a choice of sign.

    False, too, where the bound says nothing: A is so near to singular that it is 1 or more, or a result has NaN.

    Raises
    ------
    MatlabError
        If the results are no numbers, or have different shapes, or `a` has no condition number.
    """
    x1, x2 = as_array(actual), as_array(expected)
    if x1.shape != x2.shape or not {x1.dtype.kind, x2.dtype.kind} <= set("iufc"):
        raise MatlabError(
            "two results must be numbers, and have one shape, to be compared, not "
            f"{x1.dtype} of {x1.shape} and {x2.dtype} of {x2.shape}"
        )
    bound = solution_bound(a)
    with np.errstate(invalid="ignore"):  # infinities less infinities
        return bool(bound < 1 and np.linalg.norm(x1 - x2) <= bound * np.linalg.norm(x2))
