"""What matches MATLAB's linear algebra: shapes, conventions, and the bound; beside Octave itself in end_to_end."""

from typing import Any

import numpy as np
import pytest

from seedbed.errors import MatlabError
from seedbed.matlab.solvers import (
    TWINS,
    Twin,
    agrees,
    chol,
    eig_symmetric,
    gram,
    inv,
    lstsq,
    lu,
    matmul,
    qr,
    qr_economy,
    solution_bound,
    solve,
    solve_positive_definite,
    solve_triangular,
    sum_columns,
    svd,
)

EPS = np.finfo(float).eps
RNG = np.random.RandomState(1)
A, B = RNG.standard_normal((2, 6, 6))
P, S, R = A @ A.T + np.eye(6), A + A.T, np.triu(A) + 6 * np.eye(6)
T, C = RNG.standard_normal((9, 6)), RNG.standard_normal((9, 1))
b = RNG.standard_normal((6, 1))


def test_solutions_solve() -> None:
    assert agrees(A @ solve(A, b), b, A)
    assert agrees(P @ solve_positive_definite(P, b), b, P)
    assert agrees(R @ solve_triangular(R, b), b, R)
    assert agrees(T.T @ T @ lstsq(T, C), T.T @ C, T.T @ T)
    assert agrees(A @ inv(A), np.eye(6), A)
    for each in (solve, solve_positive_definite):
        assert each(P, b[:, 0]).shape == (6,)


def test_factors_are_matlabs() -> None:
    upper = chol(P)
    assert agrees(upper.T @ upper, P, P)
    assert np.array_equal(upper, np.triu(upper))
    lower, upper, p = lu(A)
    assert agrees(p @ A, lower @ upper, A)
    assert not agrees(p.T @ A, lower @ upper, A)
    q, r = qr(T)
    assert (q.shape, r.shape) == ((9, 9), (9, 6))
    assert agrees(q @ r, T, T)
    q, r = qr_economy(T)
    assert (q.shape, r.shape) == ((9, 6), (6, 6))
    assert agrees(q @ r, T, T)
    vectors, values = eig_symmetric(S)
    assert values.shape == (6, 1)
    assert agrees(S @ vectors, vectors * values.T, S)
    u, s, v = svd(A)
    assert s.shape == (6, 1)
    assert agrees(u * s.T @ v.T, A, A)


def test_products_and_sums() -> None:
    assert agrees(matmul(A, B), A @ B, A)
    assert agrees(matmul(A + 1j * B, B), (A + 1j * B) @ B, A)
    assert agrees(gram(T), T.T @ T, T)
    assert np.array_equal(gram(T), gram(T).T)
    assert sum_columns(T).shape == (1, 6)
    column = np.array([[1e16], *[[1.0]] * 30, [-1e16]])
    assert sum_columns(column) == [[0.0]]  # in order, in which each 1 is lost
    assert np.sum(column) != 0


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.matlab)
def test_the_table_says_what_its_functions_take_and_give(twin: Twin) -> None:
    given: dict[str, Any] = {"A": A, "B": B, "P": P, "S": S, "R": R, "T": T, "c": C, "b": b}
    found = twin.function(*(given[name] for name in twin.inputs))
    assert len(found if isinstance(found, tuple) else (found,)) == len(twin.outputs)
    assert all(name in twin.matlab for name in twin.inputs)
    assert twin.operand == twin.inputs[0] in "APSRT"
    assert twin.matlab.rstrip(";").split(" = ")[1].replace("\\", "\\\\") in repr(twin.function.__doc__)


def test_the_bound() -> None:
    assert solution_bound(np.eye(3)) == pytest.approx(10 * EPS)
    assert solution_bound(np.diag([1.0, 1e6])) == pytest.approx(1e7 * EPS)
    assert solution_bound(np.eye(3, dtype="f4")) == pytest.approx(10 * np.finfo("f4").eps)
    assert solution_bound([[2, 0], [0, 1]]) == pytest.approx(20 * EPS)
    assert solution_bound(np.ones((2, 2))) > 1
    for wrong in (np.ones(3), np.zeros((0, 0)), [[np.nan]], [[np.inf]]):
        with pytest.raises(MatlabError, match="a condition number needs a matrix of finite numbers"):
            solution_bound(wrong)


def test_results_that_agree_and_that_do_not() -> None:
    x = np.array([[3.0], [4.0]])
    assert agrees(x, x, np.eye(2))
    assert agrees(x * (1 + 8 * EPS), x, np.eye(2))
    assert not agrees(x * (1 + 12 * EPS), x, np.eye(2))
    assert agrees(x * (1 + 12 * EPS), x, np.diag([1.0, 2.0]))
    assert agrees(0 * x, 0 * x, np.eye(2))
    for wrong in (x * np.nan, x * np.inf):
        assert not agrees(wrong, x, np.eye(2))
        assert not agrees(wrong, wrong, np.eye(2))
    with pytest.raises(MatlabError, match=r"must have one shape to be compared, not \(2, 1\) and \(2,\)"):
        agrees(x, x[:, 0], np.eye(2))


def test_near_to_singular_nothing_agrees() -> None:
    """No number of digits is certain, so that the bound says nothing."""
    x = np.ones((2, 1))
    assert not agrees(x, x, np.ones((2, 2)))
    assert not agrees(x, x, np.diag([1.0, 1e-16]))
