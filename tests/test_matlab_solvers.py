"""What matches MATLAB's linear algebra: shapes, conventions, and the bound; beside Octave itself in end_to_end."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.linalg import LinAlgError, LinAlgWarning

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
GIVEN: dict[str, Any] = {"A": A, "B": B, "P": P, "S": S, "R": R, "T": T, "c": C, "b": b}


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
    assert sum_columns(np.zeros((0, 3))).tolist() == [[0.0] * 3]
    assert not np.signbit(sum_columns(np.array([[-0.0], [-0.0]])))
    assert sum_columns(np.ones((3, 2), "f4")).dtype == np.float32


def test_products_that_cannot_be() -> None:
    with pytest.raises(MatlabError, match="for a real A only; .* matmul"):
        gram(A + 1j * B)
    for wrong in (np.ones((5, 6)), b[:, 0]):
        with pytest.raises(MatlabError, match=r"as many columns in A as B has rows, not the shapes \(6, 6\), \("):
            matmul(A, wrong)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("twin", [each for each in TWINS if each.function is not gram], ids=lambda twin: twin.matlab)
def test_complex_numbers_are_taken_in_either_order_and_the_arrays_left_as_they_are(twin: Twin, order: Any) -> None:
    real = [np.asarray(GIVEN[name], order=order) for name in twin.inputs]
    turned = [array * 1j if name in "bcB" else array + 0j for name, array in zip(twin.inputs, real, strict=True)]
    before = [array.copy() for array in (*real, *turned)]
    for actual, expected in zip(results(twin, turned), results(twin, real), strict=True):
        np.testing.assert_allclose(np.abs(actual), np.abs(expected), atol=1e-12)
    assert all(map(np.array_equal, before, (*real, *turned)))


def results(twin: Twin, arrays: list[Any]) -> tuple[Any, ...]:
    found = twin.function(*arrays)
    return found if isinstance(found, tuple) else (found,)


def test_of_a_singular_matrix_scipy_warns() -> None:
    with pytest.warns(LinAlgWarning, match="[Ss]ingular"):
        solve(np.zeros((6, 6)), b)


@pytest.mark.parametrize("function", [inv, chol])
def test_what_cannot_be_taken_apart_is_scipys_error(function: Callable[[Any], Any]) -> None:
    with pytest.raises(LinAlgError, match="singular|not positive definite"):
        function(np.zeros((6, 6)))
    for wrong in (A[:, :5], A * np.nan):
        with pytest.raises(ValueError, match="square|infs or NaNs"):
            function(wrong)


@pytest.mark.parametrize("function", [solve, solve_positive_definite, solve_triangular])
def test_equations_that_do_not_fit_are_an_error(function: Callable[[Any, Any], Any]) -> None:
    for wrong in (P[:, :5], P[:5, :5], P * np.nan):
        with pytest.raises(ValueError, match="square|dimensions|[Ss]hape|infs or NaNs"):
            function(wrong, b)


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.matlab)
def test_the_table_says_what_its_functions_take_and_give(twin: Twin) -> None:
    assert len(results(twin, [GIVEN[name] for name in twin.inputs])) == len(twin.outputs)
    assert all(name in twin.matlab for name in twin.inputs)
    assert twin.operand == twin.inputs[0] in "APSRT"
    assert twin.matlab.rstrip(";").split(" = ")[1].replace("\\", "\\\\") in repr(twin.function.__doc__)


def test_the_bound() -> None:
    assert solution_bound(np.eye(3)) == pytest.approx(10 * EPS)
    assert solution_bound(np.diag([1.0, 1e6])) == pytest.approx(1e7 * EPS)
    assert solution_bound(np.eye(3, dtype="f4")) == pytest.approx(10 * np.finfo("f4").eps)
    assert solution_bound([[2, 0], [0, 1]]) == pytest.approx(20 * EPS)
    assert solution_bound(np.ones((2, 2))) > 1
    assert solution_bound(np.eye(3, dtype="f2")) == pytest.approx(10 * np.finfo("f2").eps)
    assert solution_bound(1j * np.eye(3)) == pytest.approx(10 * EPS)
    refused: list[Any] = [np.ones(3), np.zeros((0, 0)), [[np.nan]], [[np.inf]], "text", [[1], [1, 2]], [[None]]]
    for wrong in refused:
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
    with pytest.raises(MatlabError, match=r"one shape, to be compared, not float64 of \(2, 1\) and float64 of \(2,\)"):
        agrees(x, x[:, 0], np.eye(2))
    with pytest.raises(MatlabError, match=r"must be numbers, .*not <U1 of \(\) and <U1 of \(\)"):
        agrees("x", "x", np.eye(2))


def test_near_to_singular_nothing_agrees() -> None:
    """No number of digits is certain, so that the bound says nothing."""
    x = np.ones((2, 1))
    assert not agrees(x, x, np.ones((2, 2)))
    assert not agrees(x, x, np.diag([1.0, 1e-16]))
