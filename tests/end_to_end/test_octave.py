"""Octave itself: it prints the golden values, and a million draws of each distribution are the same bits both ways.

``python -m tests.end_to_end.test_octave`` writes tests/golden/octave_vectors.json with the Octave that is there.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seedbed.matlab.exchange import load_mat, save_mat
from seedbed.matlab.octave import DISTRIBUTIONS, OctaveRandom, matlab_seeding, octave_code
from tests.end_to_end.octave import needs_octave, run_octave
from tests.test_matlab_octave import DRAWS, GOLDEN, SEEDS, seed_code

MATLAB = Path(__file__).parents[1] / "golden" / "matlab_vectors.json"
MILLION = 1_000_000


pytestmark = needs_octave


def values_of(folder: Path, code: str) -> NDArray[np.float64]:
    """Give the ``x`` of Octave code, column first."""
    write = 'f = fopen ("x.bin", "w"); fwrite (f, x, "double"); fclose (f);'
    run_octave(folder, f"{code}\n{write}\n")
    return np.fromfile(folder / "x.bin")


def printed_by_octave(folder: Path) -> dict[str, str]:
    """Run each code of the golden values, in one session, and give the bits of its ``x``."""
    codes = [*DRAWS, *map(seed_code, SEEDS)]
    show = 'printf ("%s\\n", strjoin (cellstr (num2hex (x(:))), " "));'
    printed = run_octave(folder, "".join(f"{octave_code(42)}{code}\n{show}\n" for code in codes))
    return dict(zip(codes, printed.splitlines(), strict=True))


def assert_same(actual: Any, expected: NDArray[np.float64]) -> None:
    """Compare the bits of numbers, which are taken column first."""
    ours = np.asarray(actual, np.float64).ravel(order="F").view(np.uint64)
    assert len(ours) == len(expected) > 0
    different = np.flatnonzero(ours != expected.view(np.uint64))
    assert not len(different), f"{len(different)} of {len(expected)} differ, the first at {different[0]}"


def all_states(octave: OctaveRandom) -> NDArray[np.float64]:
    return np.concatenate([octave.state(name).ravel() for name in DISTRIBUTIONS]).astype(np.float64)


STATES = 'x = double ([rand("twister"); randn("twister"); rande("twister")]);'
A_MILLION: dict[str, Callable[[OctaveRandom], Any]] = {
    "rand (1, 1e6)": lambda octave: octave.rand(1, MILLION),
    "randn (1, 1e6)": lambda octave: octave.randn(1, MILLION),
    "rande (1e6, 1)": lambda octave: octave.rande(MILLION, 1),
    "randi (6, 1000)": lambda octave: octave.randi(6, 1000),
    "randi ([-7, 2^52], 1000)": lambda octave: octave.randi((-7, 2**52), 1000),
    "randperm (1e6)": lambda octave: octave.randperm(MILLION),
    "randperm (1e7, 1e6)": lambda octave: octave.randperm(10 * MILLION, MILLION),
    'double (rand (1, 1e6, "single"))': lambda octave: octave.rand(1, MILLION, single=True),
}


def test_octave_prints_the_golden_values(tmp_path: Path) -> None:
    assert printed_by_octave(tmp_path) == json.loads(GOLDEN.read_text(encoding="utf-8"))["printed"]


@pytest.mark.parametrize("code", A_MILLION)
def test_a_million_draws_and_the_states_after_them_are_octaves(code: str, tmp_path: Path) -> None:
    octave = OctaveRandom(1337)
    script = f"{octave_code(1337)} y = {code}; {STATES} x = [y(:); x];"
    drawn = A_MILLION[code](octave).ravel(order="F")
    assert len(drawn) == MILLION
    assert_same(np.append(drawn, all_states(octave)), values_of(tmp_path, script))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_state_of_ours_continues_in_octave(name: Any, tmp_path: Path) -> None:
    octave = OctaveRandom([3, 1, 4])
    getattr(octave, name)(12_345, 1)
    save_mat(tmp_path / "state.mat", {"v": octave.state(name)})
    code = f'load state.mat; {name} ("twister", v); x = {name} (1e6, 1);'
    assert_same(getattr(octave, name)(MILLION, 1), values_of(tmp_path, code))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_state_of_octaves_continues_here(name: Any, tmp_path: Path) -> None:
    code = f'{name} ("twister", [2, 7]); {name} (999, 1); v = {name} ("twister"); save -v7 state.mat v\n'
    expected = values_of(tmp_path, f"{code}x = {name} (1e6, 1);")
    octave = OctaveRandom()
    octave.set_state(load_mat(tmp_path / "state.mat")["v"], name)
    assert_same(getattr(octave, name)(MILLION, 1), expected)


def test_any_mixture_of_calls_is_octaves(tmp_path: Path) -> None:
    random, octave = Random(7), OctaveRandom(7)  # which calls; what they draw
    codes, drawn = [octave_code(7), "x = [];"], []
    for _ in range(500):
        code, values = random.choice([small_draw, small_integers, small_permutation])(random, octave)
        codes.append(f"y = {code}; x = [x; y(:)];")
        drawn.append(np.asarray(values, np.float64).ravel(order="F"))
    assert_same(np.concatenate(drawn), values_of(tmp_path, "\n".join(codes)))


def small_draw(random: Random, octave: OctaveRandom) -> tuple[str, Any]:
    name, m, n = random.choice(DISTRIBUTIONS), random.randrange(40), random.randrange(40)
    if name == "rand" and random.random() < 0.5:
        return f'double (rand ({m}, {n}, "single"))', octave.rand(m, n, single=True)
    return f"{name} ({m}, {n})", getattr(octave, name)(m, n)


def small_integers(random: Random, octave: OctaveRandom) -> tuple[str, Any]:
    low = random.randrange(-(2 ** random.randrange(1, 50)), 100)
    high, n = low + random.randrange(2 ** random.randrange(1, 53)), random.randrange(20)
    return f"randi ([{low}, {high}], {n})", octave.randi((low, high), n)


def small_permutation(random: Random, octave: OctaveRandom) -> tuple[str, Any]:
    n = random.randrange(200)
    m = random.randint(0, n)
    return f"randperm ({n}, {m})", octave.randperm(n, m)


@pytest.mark.parametrize("seed", [0, 1, 5489, 1337, 2**31, 2**32 - 1])
def test_octave_follows_matlabs_stream(seed: int, tmp_path: Path) -> None:
    expected = np.random.RandomState(seed or 5489).random_sample(MILLION)  # as values that MATLAB published confirm
    assert_same(expected, values_of(tmp_path, f"{matlab_seeding(seed)}x = rand (1, 1e6);"))


def test_octave_gives_the_values_that_matlab_published(tmp_path: Path) -> None:
    vectors = json.loads(MATLAB.read_text(encoding="utf-8"))["vectors"]
    chosen = [each for each in vectors if is_first_rand(each)]
    assert len(chosen) > 5
    for vector in chosen:
        call = vector["calls"][0]
        code = f"{matlab_seeding(vector['seed'])}x = rand ({', '.join(map(str, call['args']))});"
        expected = np.array(call["expect"], np.float64)  # NaN where nothing was published
        known = ~np.isnan(expected)
        assert known.any()
        np.testing.assert_allclose(values_of(tmp_path, code)[known], expected[known], rtol=0, atol=vector["tol"])


def is_first_rand(vector: dict[str, Any]) -> bool:
    first = vector["calls"][0]
    return first["fn"] == "rand" and first["expect"] is not None


def test_the_code_that_follows_matlab_leaves_no_variable_but_ans_and_can_be_evaluated(tmp_path: Path) -> None:
    (tmp_path / "seeding.m").write_text(matlab_seeding(1), encoding="utf-8")
    code = 'eval (fileread ("seeding.m")); names = who; x = [rand; strcmp(names, "ans")];'
    assert_same([np.random.RandomState(1).random_sample(), 1], values_of(tmp_path, code))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        version = run_octave(Path(folder), "printf ('%s, %s', version (), computer ());")
        printed = printed_by_octave(Path(folder))
    about = (
        "Bits that Octave printed with num2hex, column first, of x after the code, which came after rand, randn and "
        'rande ("twister", 42). Written by: python -m tests.end_to_end.test_octave'
    )
    content = {"about": about, "octave": version, "printed": printed}
    GOLDEN.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
