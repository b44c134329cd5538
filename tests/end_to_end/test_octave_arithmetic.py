"""Arithmetic beside a real Octave: what IEEE 754 fixes is the same to the bit; the rest is counted (``pytest -s``)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.special

from seedbed.matlab.exchange import load_mat, save_mat
from seedbed.matlab.solvers import sum_columns
from tests.end_to_end.octave import needs_octave, run_octave

pytestmark = needs_octave

Call = tuple[Callable[..., Any], str]
"""A function, and which of x and y it takes."""


def half_away(x: Any) -> Any:
    """As docs/matlab.md writes it."""
    return np.copysign(np.floor(np.abs(x)) + (np.abs(x) % 1 >= 0.5), x)


SAME: dict[str, Call] = {
    "x + y": (np.add, "xy"),
    "x .* y": (np.multiply, "xy"),
    "x ./ y": (np.divide, "xy"),
    "sqrt(x)": (np.sqrt, "x"),
    "round(x)": (half_away, "x"),
    "sort(x)": (partial(np.sort, axis=0), "x"),
    "cumsum(x)": (partial(np.cumsum, axis=0), "x"),
    "sum(x)": (sum_columns, "x"),
    "sum(-0 * x(1:2))": (lambda x: sum_columns(-0.0 * x[:2]), "x"),
    "sum(zeros(0, 3))": (lambda: sum_columns(np.zeros((0, 3))), ""),
}
COUNTED: dict[str, Call] = {
    "sin(x)": (np.sin, "x"),
    "cos(x)": (np.cos, "x"),
    "exp(x)": (np.exp, "x"),
    "log(x)": (np.log, "x"),
    "tanh(x)": (np.tanh, "x"),
    "x .^ y": (np.power, "xy"),
    "erf(x)": (scipy.special.erf, "x"),
    "gamma(x)": (scipy.special.gamma, "x"),
    "mod(x, y)": (np.mod, "xy"),
    "linspace(0, 1, 1000)": (lambda: np.linspace(0, 1, 1000)[None, :], ""),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two columns of numbers, x and y, and what Octave makes of them."""
    folder = tmp_path_factory.mktemp("arithmetic")
    x, y = 10 * np.random.RandomState(0).random_sample((2, 1_000_000, 1))
    x[:4] = [[0.5], [2.5], [0.49999999999999994], [1.0]]
    save_mat(folder / "in.mat", {"x": x, "y": y})
    texts = (*SAME, *COUNTED)
    lines = [f"r{number} = {text};" for number, text in enumerate(texts)]
    run_octave(folder, "\n".join(["load in.mat", *lines, "save -v6 out.mat"]))
    found = load_mat(folder / "out.mat")
    return {"x": x, "y": y} | {text: found[f"r{number}"] for number, text in enumerate(texts)}


def called(call: Call, results: dict[str, Any]) -> Any:
    function, names = call
    return function(*(results[name] for name in names))


@pytest.mark.parametrize("text", SAME)
def test_what_is_the_same_to_the_bit(text: str, results: dict[str, Any]) -> None:
    assert called(SAME[text], results).tobytes() == results[text].tobytes()


@pytest.mark.parametrize("text", COUNTED)
def test_what_is_not_promised_is_close(text: str, results: dict[str, Any]) -> None:
    found, expected = called(COUNTED[text], results), results[text]
    print(f"\n| `{text}` | {np.count_nonzero(found == expected)} of {found.size} |")
    if text == "mod(x, y)":  # near a multiple of y it may be y instead of 0
        remainder = np.abs(found - expected) / results["y"]
        assert np.all(np.minimum(remainder, np.abs(1 - remainder)) <= 1e-14 * (1 + results["x"] / results["y"]))
    else:
        assert np.all(np.abs(found - expected) <= 1e-14 * np.abs(expected))
