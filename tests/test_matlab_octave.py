"""Octave's streams: what Octave 7.3 printed, wherever the tests run; tests/end_to_end/test_octave.py asks Octave again.

`DRAWS` and `SEEDS` hold Octave code and what answers to it here. The bits that Octave printed for each are in
tests/golden/octave_vectors.json, which ``python -m tests.end_to_end.test_octave`` writes with the Octave that is there.
"""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seedbed.errors import MatlabError, SeedError
from seedbed.matlab.octave import DISTRIBUTIONS, Distribution, OctaveRandom, matlab_seeding, octave_code
from seedbed.matlab.octave_draws import permuted
from seedbed.matlab.octave_ziggurat import exponential_tables, normal_tables

PROPERTY = settings(deadline=None, derandomize=True)
GOLDEN = Path(__file__).with_name("golden") / "octave_vectors.json"


def digest(values: NDArray[Any]) -> list[int]:
    """Give the SHA-256 of an array's bytes, in memory's order, as the codes of its hexadecimal digits."""
    return list(sha256(values.tobytes(order="A")).hexdigest().encode())


def row(*parts: Any) -> NDArray[np.float64]:
    return np.concatenate([np.ravel(part, order="F") for part in parts]).astype(np.float64)


def seeded(octave: OctaveRandom, seed: int) -> OctaveRandom:
    octave.seed(seed)
    return octave


def with_words(octave: OctaveRandom, name: Distribution, *words: int) -> OctaveRandom:
    """Set the next words of a distribution, beginning with the second of its state; Octave tempers them."""
    state = octave.state(name)
    state[1 : 1 + len(words), 0] = words
    state[624] = 624
    octave.set_state(state, name)
    return octave


DRAWS: dict[str, Callable[[OctaveRandom], Any]] = {
    "x = rand (2, 3);": lambda o: o.rand(2, 3),
    "x = randn (2, 3);": lambda o: o.randn(2, 3),
    "x = rande (2, 3);": lambda o: o.rande(2, 3),
    'x = double (rand (2, 3, "single"));': lambda o: o.rand(2, 3, single=True),
    "x = [randi(6, 1, 8), rand];": lambda o: row(o.randi(6, 1, 8), o.rand()),
    "x = [randi(8, 1, 8), rand];": lambda o: row(o.randi(8, 1, 8), o.rand()),
    "x = randi ([-3, 3], 3);": lambda o: o.randi((-3, 3), 3),
    "x = randi ([5, 5], 1, 2);": lambda o: o.randi((5, 5), 1, 2),
    "x = randi ([0, 2^53-2]);": lambda o: o.randi((0, 2**53 - 2)),
    "x = [randi([-5, 2^52], 1, 5), rand];": lambda o: row(o.randi((-5, 2**52), 1, 5), o.rand()),
    "x = [size(randi (6, 0, 3)), rand];": lambda o: row(o.randi(6, 0, 3).shape, o.rand()),
    "x = [randperm(9), rand];": lambda o: row(o.randperm(9), o.rand()),
    "x = randperm (20, 3);": lambda o: o.randperm(20, 3),
    "x = randperm (20, 4);": lambda o: o.randperm(20, 4),
    "x = [size(randperm (5, 0)), size(randperm (0)), rand];": lambda o: row(
        o.randperm(5, 0).shape, o.randperm(0).shape, o.rand()
    ),
    "x = [rand, randn, rande, randi(6), randperm(4), randn, rande, rand];": lambda o: row(
        o.rand(),
        o.randn(),
        o.rande(),
        o.randi(6),
        o.randperm(4),
        o.randn(),
        o.rande(),
        o.rand(),
    ),
    'rand (1, 3, "single"); x = rand (1, 3);': lambda o: row(o.rand(3, 1, single=True), o.rand(1, 3))[3:],
    "x = [size(rand (2, -1, 3)), size(rand (2, 3, 1, 1)), size(rand ([2, 1, 3])), size(rand (3))];": lambda o: row(
        *(o.rand(*size).shape for size in ((2, -1, 3), (2, 3, 1, 1), ([2, 1, 3],), (3,)))
    ),
    'rand (1, 3); x = double (rand ("twister")(615:625));': lambda o: row(o.rand(3, 1), o.state())[-11:],
    'randn (1, 99); x = double (randn ("twister")(615:625));': lambda o: row(o.randn(99, 1), o.state("randn"))[-11:],
    # The first 12 uniforms are rejected, all that were drawn for one integer, and it begins anew:
    'rand ("twister", 5865); x = [randi([0, 2^52]), rand];': lambda o: row(seeded(o, 5865).randi((0, 2**52)), o.rand()),
    # The first of all that are rejected, 2**53 - 2, as its words are all ones but one bit:
    's = rand ("twister"); s([2:3 625]) = [316513203, 2279697106, 624]; rand ("twister", s); x = randi(3);': lambda o: (
        with_words(o, "rand", 316513203, 2279697106).randi(3)
    ),
    # A value of the tail is among them, and then others:
    'randn ("twister", 0); x = randn (1, 1170)(1160:1170);': lambda o: seeded(o, 0).randn(1, 1170)[:, 1159:],
    'rande ("twister", 0); x = rande (1, 1460)(1150:1460);': lambda o: seeded(o, 0).rande(1, 1460)[:, 1149:],
    # A uniform 0 is drawn again; a try in the top layer takes a uniform:
    's = rand ("twister"); s(625) = 624; s(2:3) = 0; rand ("twister", s); x = rand (1, 3);': lambda o: with_words(
        o, "rand", 0, 0
    ).rand(1, 3),
    's = rand ("twister"); s(625) = 624; s(2) = 0; rand ("twister", s); x = double (rand (3, "single"));': lambda o: (
        with_words(o, "rand", 0).rand(3, single=True)
    ),
    's = randn ("twister"); s(625) = 624; s(2:5) = [2; 0; 0; 0]; randn ("twister", s); x = randn (3);': lambda o: (
        with_words(o, "randn", 2, 0, 0, 0).randn(3)
    ),
    's = rande ("twister"); s(625) = 624; s(2:5) = [270681289; 0; 0; 0]; rande ("twister", s); x = rande;': lambda o: (
        with_words(o, "rande", 270681289, 0, 0, 0).rande()
    ),
    # Many values, for every entry of the tables:
    'x = double (hash ("sha256", char (typecast (rand (1, 200000), "uint8"))));': (
        lambda o: digest(o.rand(1, 200_000))
    ),
    'x = double (hash ("sha256", char (typecast (randn (1, 200000), "uint8"))));': (
        lambda o: digest(o.randn(1, 200_000))
    ),
    'x = double (hash ("sha256", char (typecast (rande (1, 200000), "uint8"))));': (
        lambda o: digest(o.rande(1, 200_000))
    ),
}
"""Code after ``octave_code(42)``, and the same here of ``OctaveRandom(42)``."""

SEEDS: dict[str, Any] = {
    "0": 0,
    "1": 1,
    "-1": -1,
    "0.49999999999999994": 0.49999999999999994,
    "0.5": 0.5,
    "1.5": 1.5,
    "2.5": 2.5,
    "-0.5": -0.5,
    "NaN": np.nan,
    "Inf": np.inf,
    "-Inf": -np.inf,
    "2^32-1": 2**32 - 1,
    "2^32-1.5": 2**32 - 1.5,
    "2^32": 2**32,
    "1e300": 1e300,
    "[1, 2]": [1, 2],
    "[1; 2]": [[1], [2]],
    "[1, 2; 3, 4]": [[1, 2], [3, 4]],
    "[1, NaN, 0.5, -7]": (1, np.nan, 0.5, -7),
    "int8 (-3)": np.int8(-3),
    "1:624": range(1, 625),
    "1:625": range(1, 626),
    "1:626": range(1, 627),
    "1:700": np.arange(1, 701),
    "[1:624, 0]": [*range(1, 625), 0],
    "[1:624, 1]": [*range(1, 625), 1],
    "[1:624, 624.4]": [*range(1, 625), 624.4],
    "[1:624, 624.5]": [*range(1, 625), 624.5],
}
"""What Octave takes as a seed or as a state, and the same here."""


def seed_code(seed: str) -> str:
    return f'rand ("twister", {seed}); x = [rand, double(rand ("twister")(625))];'


def bits(values: Any) -> str:
    """Write numbers as Octave's `num2hex` does, column first."""
    numbers = np.asarray(values, np.float64).ravel(order="F").view(np.uint64)
    return " ".join(f"{number:016x}" for number in numbers.tolist())


@pytest.fixture(scope="module")
def golden() -> dict[str, str]:
    printed: dict[str, str] = json.loads(GOLDEN.read_text(encoding="utf-8"))["printed"]
    return printed


@pytest.mark.parametrize("code", DRAWS)
def test_draws_are_what_octave_printed(code: str, golden: dict[str, str]) -> None:
    assert bits(DRAWS[code](OctaveRandom(42))) == golden[code]


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds_are_taken_as_octave_takes_them(seed: str, golden: dict[str, str]) -> None:
    octave = OctaveRandom(SEEDS[seed])
    assert bits([octave.rand(), octave.state()[-1, 0]]) == golden[seed_code(seed)]


def test_the_golden_values_have_a_test_each(golden: dict[str, str]) -> None:
    assert set(golden) == {*DRAWS, *map(seed_code, SEEDS)}


def test_values_of_the_tail_are_among_the_golden_ones() -> None:
    assert np.abs(OctaveRandom(0).randn(1, 1170)[0, 1166]) > 3.6541528853610088
    assert (OctaveRandom(0).rande(1, 1460)[0, [1152, 1452]] > 7.69711747013104972).all()


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@PROPERTY
@given(parts=st.lists(st.integers(0, 400), max_size=6), seed=st.integers(0, 2**32 - 1))
def test_many_draws_are_those_of_several_fewer(name: str, parts: list[int], seed: int) -> None:
    one, several = OctaveRandom(seed), OctaveRandom(seed)
    whole = getattr(one, name)(sum(parts), 1)
    assert bits(whole) == bits(np.concatenate([getattr(several, name)(n, 1) for n in parts] or [np.empty((0, 1))]))
    assert all(np.array_equal(one.state(each), several.state(each)) for each in DISTRIBUTIONS)


@pytest.mark.parametrize("name", ["randn", "rande"])
def test_a_long_draw_is_those_of_several_shorter(name: str) -> None:
    """Beyond the block that is looked at together, and where a try begins with its last pair."""
    one, several = OctaveRandom(3), OctaveRandom(3)
    whole = getattr(one, name)(1, 200_000)
    parts = [getattr(several, name)(1, 40_000 + n) for n in range(-2, 3)]
    assert bits(whole) == bits(np.concatenate(parts, axis=1))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_state_continues_the_stream_and_moves_no_other(name: Any) -> None:
    octave, other = OctaveRandom(42), OctaveRandom(7)
    getattr(octave, name)(5, 5)
    before = {each: other.state(each) for each in DISTRIBUTIONS}
    other.set_state(octave.state(name), name)
    assert bits(getattr(other, name)(4, 50)) == bits(getattr(octave, name)(4, 50))
    assert [each for each in DISTRIBUTIONS if not np.array_equal(other.state(each), before[each])] == [name]


def test_a_state_is_a_copy_of_octaves_type_and_shape() -> None:
    octave = OctaveRandom(42)
    state = octave.state()
    assert (str(state.dtype), state.shape) == ("uint32", (625, 1))
    state[:] = 0
    assert octave.state().any()


@pytest.mark.parametrize("shape", [(625,), (625, 1), (1, 625)])
def test_a_state_is_taken_in_any_of_its_shapes(shape: tuple[int, ...]) -> None:
    octave, doubles, words = OctaveRandom(42), OctaveRandom(), OctaveRandom()
    doubles.set_state(octave.state().reshape(shape).astype(np.float64))
    words.set_state(octave.state().reshape(shape))
    assert octave.rand() == doubles.rand() == words.rand()


def test_one_distribution_alone_is_seeded() -> None:
    octave = OctaveRandom(42)
    octave.seed(7, "randn")
    for name, seed in {"rand": 42, "randn": 7, "rande": 42}.items():
        assert np.array_equal(octave.state(name), OctaveRandom(seed).state(name))  # type: ignore[arg-type]


def test_a_single_is_a_float32_in_arrays_and_a_double_is_a_float64() -> None:
    octave = OctaveRandom(42)
    arrays = [octave.rand(2, 2, single=True), octave.rand(2), octave.randn(2), octave.rande(2), octave.randi(6, 2)]
    assert [str(each.dtype) for each in arrays] == ["float32", *["float64"] * 4]
    assert all(each.flags.f_contiguous for each in arrays)
    numbers = [octave.rand(), octave.rand(single=True), octave.randn(), octave.rande(), octave.randi(6)]
    assert {type(each) for each in numbers} == {float}


def test_a_few_of_many_are_permuted_without_a_table_of_all() -> None:
    few = OctaveRandom(42).randperm(10**12, 100)
    assert few.shape == (1, 100)
    assert len(set(few.ravel().tolist())) == 100


@pytest.mark.parametrize(("length", "count"), [(499, 99), (500, 99)])
def test_both_shuffles_give_the_same(length: int, count: int) -> None:
    """Below a fifth only what was moved is kept, as in Octave."""
    first = permuted(np.random.RandomState(1), length, count)
    drawn, places = np.random.RandomState(1).random_sample(count), list(range(1, length + 1))
    for place, u in enumerate(drawn):
        target = place + int(u * (length - place))
        places[place], places[target] = places[target], places[place]
    assert first.tolist() == places[:count]


def test_the_tables_go_down_layer_by_layer() -> None:
    for tables in (normal_tables(), exponential_tables()):
        assert (np.diff(tables.widths[1:]) > 0).all()
        assert (np.diff(tables.heights) < 0).all()
        assert tables.limits[1] == 0
        assert (tables.limits < 2**53).all()


@pytest.mark.parametrize("seed", [True, None, "1", 1j, [], [[1], [2, 3]], [1, "a"], 10**400, {"a": 1}])
def test_no_number_is_no_seed(seed: Any) -> None:
    octave = OctaveRandom(42)
    for use in (OctaveRandom, octave.seed, octave_code):
        with pytest.raises(SeedError, match="a real number, or a vector of some, not "):
            use(seed)
    assert octave.rand() == OctaveRandom(42).rand()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state[:624], "625 integers"),
        (lambda state: state + 0.5, "625 integers"),
        (lambda state: state * np.inf, "625 integers"),
        (lambda state: state * 1j, "625 integers"),
        (lambda _: [[1], [2, 3]], "625 integers"),
        (lambda state: [*state[:624].ravel(), 0], "1..624, not 0"),
        (lambda state: [*state[:624].ravel(), 625], "1..624, not 625"),
        (lambda state: [-1, *state[1:].ravel()], "0..2\\*\\*32-1"),
        (lambda _: [2**31 - 1, *[0] * 623, 1], "all 0"),
        (lambda _: "rand", "625 integers"),
    ],
)
def test_what_is_no_state_is_an_error(change: Callable[[Any], Any], message: str) -> None:
    octave = OctaveRandom(42)
    with pytest.raises(MatlabError, match=message):
        octave.set_state(change(octave.state().astype(np.int64)))
    assert octave.rand() == OctaveRandom(42).rand()


def test_a_seed_that_is_a_state_of_nothing_but_0_is_an_error() -> None:
    with pytest.raises(MatlabError, match="all 0"):
        OctaveRandom([0] * 624 + [1])
    assert OctaveRandom([2**31] + [0] * 623 + [1]).rand() > 0


@pytest.mark.parametrize("name", ["randi", "uniform", "", None])
def test_what_is_no_distribution_is_an_error(name: Any) -> None:
    octave = OctaveRandom(42)
    for use in (octave.state, lambda name: octave.set_state(octave.state(), name), lambda name: octave.seed(1, name)):
        if name is None and use is not octave.state:
            continue
        with pytest.raises(MatlabError, match="one of rand, randn, rande, not "):
            use(name)


@pytest.mark.parametrize(
    "bounds", [0, -1, (3, 2), (1, 2, 3), (), 2.5, True, "6", 2**53, (-(2**53), 0), (-1, 2**53 - 2), (0, 2**53 - 1)]
)
def test_bounds_that_octave_does_not_take_are_an_error(bounds: Any) -> None:
    with pytest.raises(MatlabError, match="rand"):
        OctaveRandom().randi(bounds)


@pytest.mark.parametrize("arguments", [(-1,), (3, 4), (3, -1), (2.5,), (True,), (3, 1.0), (2**53,), (2**52, 2**50)])
def test_permutations_that_cannot_be_are_an_error(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(MatlabError, match="randperm"):
        OctaveRandom().randperm(*arguments)


@pytest.mark.parametrize("size", [(2.5,), ("3",), (2, [3]), (True,), (2**30, 2**30)])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_sizes_that_cannot_be_are_an_error(name: str, size: tuple[Any, ...]) -> None:
    octave = OctaveRandom()
    with pytest.raises(MatlabError, match="size"):
        getattr(octave, name)(*size)
    assert np.array_equal(octave.state(name), OctaveRandom().state(name))  # type: ignore[arg-type]


def test_the_code_seeds_each_distribution() -> None:
    assert octave_code(42) == 'rand ("twister", 42);\nrandn ("twister", 42);\nrande ("twister", 42);\n'
    assert octave_code([1, 2.5, -1]).splitlines()[2] == 'rande ("twister", [1, 3, 0]);'


def test_the_code_that_follows_matlab_ends_with_its_seed() -> None:
    assert matlab_seeding(0).endswith("\nseed_as_matlab (0);\n")
    assert matlab_seeding(2**32 - 1).endswith("\nseed_as_matlab (4294967295);\n")
    for seed in (-1, 2**32, 1.0, True, "1); exit (1"):
        with pytest.raises(SeedError, match="a seed must be an integer in 0..2\\*\\*32-1"):
            matlab_seeding(seed)  # type: ignore[arg-type]
