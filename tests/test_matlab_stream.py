"""MATLAB's stream: the values that MATLAB printed, and a plain scalar implementation of the same rules."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seedbed.matlab
from seedbed.errors import MatlabError, SeedError, shown
from seedbed.matlab import MatlabRandom, ziggurat

PROPERTY = settings(deadline=None, derandomize=True)
VECTORS = json.loads((Path(__file__).parent / "golden" / "matlab_vectors.json").read_text())["vectors"]
"""What MATLAB printed, each with where it was published."""


def statistics(stream: MatlabRandom, scale: int, shift: int, count: int) -> list[float]:
    values = scale * stream.randn(count, 1) + shift
    return [values.mean(), values.std(ddof=1), values.var(ddof=1)]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_values_that_matlab_printed(vector: dict[str, Any]) -> None:
    stream = MatlabRandom(vector["seed"])
    for call in vector["calls"]:
        if call["fn"] == "stats":
            actual = np.array(statistics(stream, *call["args"]))
        else:
            actual = getattr(stream, call["fn"])(*call["args"]).ravel(order="F")
        if call["expect"] is not None:
            np.testing.assert_allclose(actual, call["expect"], rtol=0, atol=vector["tol"])


def widths_and_heights() -> tuple[list[float], list[float]]:
    """The tables, written from the top down instead of from the foot up, and rounded in decimal."""
    r = 3.6541528853610088
    f = math.exp(-r * r / 2)
    v = r * f + math.sqrt(math.pi / 2) * math.erfc(r / math.sqrt(2))
    strips, y = [r], f
    for _ in range(254):
        y += v / strips[0]
        strips.insert(0, math.sqrt(-2 * math.log(y)))
    x = [0.0, *strips, v / f]
    rounded = [float(f"{each:.14e}") for each in x]
    for i in (55, 140, 147, 150, 168, 171, 181, 223):
        rounded[i] = float(f"{rounded[i] - 1e-14:.14f}")
    return rounded, [float(f"{math.exp(-each * each / 2):.14e}") for each in x]


X, F = widths_and_heights()


class Reference:
    """MT19937 and what MATLAB makes of it, a number at a time."""

    def __init__(self, key: list[int], position: int) -> None:
        self.key, self.position = list(key), position

    @classmethod
    def seeded(cls, seed: int) -> Self:
        key = [seed or 5489]
        for i in range(1, 624):
            key.append((1812433253 * (key[-1] ^ key[-1] >> 30) + i) % 2**32)
        return cls(key, 624)

    @property
    def state(self) -> list[int]:
        return [*self.key, self.position]

    def word(self) -> int:
        if self.position == 624:
            key = self.key
            for i in range(624):
                y = key[i] & 0x80000000 | key[(i + 1) % 624] & 0x7FFFFFFF
                key[i] = key[(i + 397) % 624] ^ y >> 1 ^ (0x9908B0DF if y % 2 else 0)
            self.position = 0
        y = self.key[self.position]
        self.position += 1
        y ^= y >> 11
        y ^= y << 7 & 0x9D2C5680
        y ^= y << 15 & 0xEFC60000
        return y ^ y >> 18

    def rand(self) -> float:
        while True:
            a, b = self.word() >> 5, self.word() >> 6
            if a or b:
                return (a * 67108864 + b) / 9007199254740992

    def randn(self) -> float:
        while True:
            a, b = self.word(), self.word()
            i = (b >> 24) + 1
            x = (((a >> 3) * 2**24 + (b & 0xFFFFFF)) * 2**-52 - 1) * X[i]
            if abs(x) <= X[i - 1]:
                return x
            if i == 256:
                return self.tail(x)
            if F[i] + self.rand() * (F[i - 1] - F[i]) < math.exp(-x * x / 2):
                return x

    def tail(self, x: float) -> float:
        while True:
            t = math.log(self.rand()) * 0.273661237329758
            if -2 * math.log(self.rand()) > t * t:
                return 3.65415288536101 - t if x > 0 else t - 3.65415288536101

    def randi(self, low: int, high: int) -> float:
        return float(low + math.floor(self.rand() * (high - low + 1)))

    def randperm(self, n: int, k: int | None = None) -> list[float]:
        if k is None:
            drawn = [self.rand() for _ in range(n)]
            return [place + 1.0 for place in sorted(range(n), key=drawn.__getitem__)]
        if k == n:
            return self.inside_out(n)
        return self.sparse(n, k) if k < n / 4 else self.selection(n, k)

    def inside_out(self, n: int) -> list[float]:
        p = [0.0] * n
        for m in range(n):
            j = math.floor(self.rand() * (m + 1))
            p[m] = p[j]
            p[j] = m + 1
        return p

    def sparse(self, n: int, k: int) -> list[float]:
        p = [i + 1.0 for i in range(n)]
        for m in range(k):
            j = m + math.floor(self.rand() * (n - m))
            p[m], p[j] = p[j], p[m]
        return p[:k]

    def selection(self, n: int, k: int) -> list[float]:
        p, t = [0.0] * k, 0
        for m in range(k):
            left, den = k - m, n - t
            q, u = left / den, self.rand()
            while u > q:
                t += 1
                den -= 1
                q += (1 - q) * left / den
            t += 1
            j = math.floor(self.rand() * (m + 1))
            p[m] = p[j]
            p[j] = t
        return p


def key_word(drawn: int) -> int:
    """The word of a key that is drawn as this one: the last four steps of `Reference.word` undone."""
    y = drawn ^ drawn >> 18
    y ^= y << 15 & 0xEFC60000
    undone = y
    for _ in range(4):
        undone = y ^ undone << 7 & 0x9D2C5680
    y = undone
    for _ in range(2):
        undone = y ^ undone >> 11
    return undone


def try_of(strip: int, part: float) -> tuple[int, int]:
    """The pair of a try in a strip, counted from 1, at this part of its width."""
    place = int((1 + part) * 2**52)
    return place >> 24 << 3, strip - 1 << 24 | place & 0xFFFFFF


PAIRS = {
    "core": try_of(201, 0.5),
    "centre": try_of(1, 0.0),
    "edge": try_of(100, X[99] / X[100]),
    "taken wedge": try_of(201, X[200] / X[201] + 1e-6),
    "left taken wedge": try_of(77, -X[76] / X[77] - 1e-6),
    "wedge": try_of(201, -1.0),
    "cap": (2**32 - 1, 0xFFFFFF),
    "tail": try_of(256, -1.0),
    "right tail": (2**32 - 1, 2**32 - 1),
    "zero": (0, 0),
    "smallest": (0, 1 << 6),
}
"""Pairs of words that are rare, by what they are as a try; the last two are so as a uniform number."""

WORDS = st.integers(0, 2**32 - 1)
TRIES = st.lists(st.sampled_from(list(PAIRS.values())) | st.tuples(WORDS, WORDS), max_size=24)
SIZES = st.integers(0, 9)

CALLS = st.one_of(
    st.tuples(st.sampled_from(["rand", "randn"]), st.tuples(SIZES, SIZES)),
    st.tuples(st.just("randi"), st.tuples(st.tuples(st.integers(-9, 2), st.integers(2, 2**52)), SIZES, SIZES)),
    st.tuples(st.just("randperm"), st.tuples(SIZES)),
    st.tuples(
        st.just("randperm"), st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda nk: (max(nk), min(nk)))
    ),
)


def expected(reference: Reference, name: str, arguments: tuple[Any, ...]) -> np.ndarray[Any, Any]:
    if name == "randperm":
        return np.array([reference.randperm(*arguments)], dtype=np.float64)
    rows, columns = arguments[-2:]
    limits = arguments[0] if name == "randi" else ()
    values = [getattr(reference, name)(*limits) for _ in range(rows * columns)]
    return np.array(values, dtype=np.float64).reshape(columns, rows).T


def check(stream: MatlabRandom, reference: Reference, calls: list[tuple[str, tuple[Any, ...]]]) -> None:
    for name, arguments in calls:
        actual, other = getattr(stream, name)(*arguments), expected(reference, name, arguments)
        assert actual.dtype == np.float64
        assert actual.shape == other.shape
        assert actual.tobytes() == other.tobytes()
        assert stream.state.ravel().tolist() == reference.state


@PROPERTY
@given(seed=st.integers(0, 2**32 - 1), calls=st.lists(CALLS, max_size=12))
def test_any_mixture_of_calls(seed: int, calls: list[tuple[str, tuple[Any, ...]]]) -> None:
    check(MatlabRandom(seed), Reference.seeded(seed), calls)


@settings(PROPERTY, max_examples=400)
@given(
    tries=TRIES, position=st.integers(500, 624), chunk=st.integers(1, 9), calls=st.lists(CALLS, min_size=1, max_size=8)
)
def test_any_mixture_of_calls_from_a_state_with_what_is_rare(
    tries: list[tuple[int, int]], position: int, chunk: int, calls: list[tuple[str, tuple[Any, ...]]]
) -> None:
    reference = Reference.seeded(1)
    place = min(position, 624 - 2 * len(tries))
    reference.key[place : place + 2 * len(tries)] = [key_word(word) for pair in tries for word in pair]
    reference.position = max(place, 1)
    stream = MatlabRandom()
    stream.state = reference.state
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ziggurat, "CHUNK", chunk)
        check(stream, reference, [("randn", (2, 3)), *calls])


def with_pairs(*names: str, position: int = 4) -> tuple[MatlabRandom, Reference]:
    reference = Reference.seeded(0)
    words = [key_word(word) for each in names for word in PAIRS[each]][: 624 - position]
    reference.key[position : position + len(words)] = words
    reference.position = position
    stream = MatlabRandom()
    stream.state = reference.state
    return stream, reference


def test_the_pairs_are_what_they_are_named() -> None:
    for name, pair in PAIRS.items():
        reference = with_pairs(name)[1]
        assert (reference.word(), reference.word()) == pair


USED = {"core": 1, "centre": 1, "edge": 1, "taken wedge": 2, "left taken wedge": 2, "tail": 3, "right tail": 3}


@pytest.mark.parametrize("name", USED)
def test_a_number_takes_as_many_pairs_as_its_try_needs(name: str) -> None:
    stream, reference = with_pairs(name, "core", "core", "core")
    check(stream, reference, [("randn", (1, 1))])
    assert int(stream.state[-1, 0] - 4) // 2 == USED[name]


def test_a_try_that_is_not_taken_takes_a_uniform_number_too() -> None:
    for name in ("wedge", "cap"):
        stream, _ = with_pairs(name, "core", "core", "core")
        assert stream.randn() == with_pairs("core")[0].randn()
        assert stream.state[-1, 0] == 4 + 6


def test_the_tail_is_drawn_until_it_fits() -> None:
    stream, reference = with_pairs("tail", "smallest", "core", "core", "core", "core")
    check(stream, reference, [("randn", (1, 1))])
    assert stream.state[-1, 0] == 4 + 10
    near = with_pairs("tail", "core", "core")[0].randn(), with_pairs("right tail", "core", "core")[0].randn()
    assert near[1] == -near[0] == 3.65415288536101 - math.log(reference_uniform("core")) * 0.273661237329758


def reference_uniform(name: str) -> float:
    return with_pairs(name)[1].rand()


def test_an_exact_zero_is_drawn_again() -> None:
    for name in ("rand", "randi"):
        stream, reference = with_pairs("zero", "zero", "core", "zero", position=5)
        check(stream, reference, [(name, ((1, 6),) * (name == "randi") + (5, 1))])
    stream, reference = with_pairs("wedge", "zero", "zero", "tail", "zero", "core", "zero", "wedge", position=617)
    check(stream, reference, [("randn", (9, 9))])


def test_a_uniform_number_that_a_try_takes_may_look_like_a_try() -> None:
    for names in (["wedge"] * 7, ["wedge"] * 8, ["wedge", "tail"] * 4, ["tail"] * 9, ["wedge", "core"] * 4):
        stream, reference = with_pairs(*names)
        check(stream, reference, [("randn", (1, 3)), ("rand", (1, 1)), ("randn", (5, 5))])


def test_a_million_normal_numbers() -> None:
    stream, reference = MatlabRandom(5), Reference.seeded(5)
    check(stream, reference, [("randn", (1000, 1000)), ("rand", (1, 1))])


def test_one_number_is_a_float() -> None:
    stream, reference = MatlabRandom(3), Reference.seeded(3)
    drawn = [stream.rand(), stream.randn(), stream.randi(9), stream.randi([-5, 5])]
    assert drawn == [reference.rand(), reference.randn(), reference.randi(1, 9), reference.randi(-5, 5)]
    assert all(type(each) is float for each in drawn)


def test_arrays_are_filled_column_first() -> None:
    values = MatlabRandom(0).rand(2, 3, 4)
    assert values.flags.f_contiguous
    assert values.flags.writeable
    assert values.ravel(order="F").tolist() == MatlabRandom(0).rand(24, 1).ravel().tolist()
    assert values[1, 0, 0] == 0.9057919370756192


def test_a_size_makes_the_shape_of_all() -> None:
    stream = MatlabRandom()
    shapes = [
        stream.rand(2).shape,
        stream.randn([3, 0]).shape,
        stream.randi(5, 2, 3, 1).shape,
        stream.randi(5, 4).shape,
    ]
    assert shapes == [(2, 2), (3, 0), (2, 3), (4, 4)]
    assert stream.randperm(0).shape == stream.randperm(5, 0).shape == (1, 0)


@pytest.mark.parametrize("limits", [6, [1, 6], (1, 6), [6], np.array([1, 6]), np.int8(6)], ids=repr)
def test_limits_may_be_written_in_many_ways(limits: Any) -> None:
    values = MatlabRandom(0).randi(limits, 1, 1000)
    assert values.tolist() == MatlabRandom(0).randi([1, 6], 1, 1000).tolist()
    assert set(values.ravel()) == {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}


def test_the_widest_limits() -> None:
    most = 2**53 - 1
    largest = with_pairs("right tail")[0].randi(most)
    assert largest == most
    assert with_pairs("right tail")[0].randi([-most, -1]) == -1
    assert with_pairs("smallest")[0].randi([-most, -1]) == -most
    assert with_pairs("right tail")[0].randi([most, most]) == most


def test_equal_uniform_numbers_keep_their_order() -> None:
    stream, reference = with_pairs(*["core", "centre"] * 60)
    check(stream, reference, [("randperm", (120,))])


def test_a_uniform_number_that_equals_the_chance_chooses() -> None:
    assert with_pairs("centre")[1].rand() == 0.5
    stream, reference = with_pairs("centre", "core", "centre", "core")
    check(stream, reference, [("randperm", (4, 2))])
    assert with_pairs("centre", "core", "centre", "core")[0].randperm(4, 2).tolist() == [[1, 3]]


def test_what_no_published_value_confirms() -> None:
    """As first seen, from the rules as they were read. Whoever has MATLAB finds the lines to try in the docstrings."""
    stream = MatlabRandom(0)
    assert stream.state[624, 0] == 624
    assert stream.rand() == 0.8147236863931789
    assert stream.state[624, 0] == 2
    stream = MatlabRandom(0)
    assert stream.randperm(100, 6).tolist() == [[82, 91, 15, 92, 65, 3]]
    assert stream.randperm(8, 8).tolist() == [[5, 2, 3, 8, 1, 6, 7, 4]]
    assert stream.rand() == 0.8002804688888001
    stream = MatlabRandom(0)
    values = stream.randn(20000, 1).ravel()
    (beyond,) = np.nonzero(np.abs(values) > 3.6542)
    assert (beyond[0] + 1, values[beyond[0]]) == (4995, -3.742181900306294)
    assert stream.rand() == 0.8543316804992281


def test_a_few_of_very_many() -> None:
    few = MatlabRandom(0).randperm(2**53 - 1, 3)
    drawn = MatlabRandom(0).rand(3, 1).ravel().tolist()
    assert few.tolist() == [[m + 1 + int(u * (2**53 - 1 - m)) for m, u in enumerate(drawn)]]


@pytest.mark.parametrize(("n", "k"), [(100, 24), (100, 25), (100, 99), (100, 100), (1, 1), (0, 0)])
def test_chosen_numbers_are_different_and_of_the_range(n: int, k: int) -> None:
    stream = MatlabRandom(1)
    chosen = set(stream.randperm(n, k).ravel())
    assert len(chosen) == k
    assert chosen <= set(range(1, n + 1))
    uniforms = k if k == n or k < n / 4 else 2 * k
    after = MatlabRandom(1)
    after.rand(uniforms, 1)
    assert stream.state.tobytes() == after.state.tobytes()


def test_a_state_goes_on_where_it_was_taken() -> None:
    stream = MatlabRandom(7)
    assert stream.state.shape == (625, 1)
    assert stream.state.dtype == np.uint32
    assert stream.state[[0, 1, 624], 0].tolist() == [7, 1812433253 * 7 + 1 - 2 * 2**32, 624]
    stream.randn(3)
    state = stream.state
    drawn = stream.rand(5).tolist()
    state_after = stream.state
    for shape in ((625, 1), (625,), (1, 625)):
        other = MatlabRandom(1)
        other.state = state.reshape(shape).astype(np.int64 if len(shape) == 1 else np.float64)
        assert other.rand(5).tolist() == drawn
        assert other.state.tobytes() == state_after.tobytes()
        assert other.seed == 1


def test_a_state_is_a_copy() -> None:
    stream, twin = MatlabRandom(7), MatlabRandom(7)
    stream.state[:] = 1
    state = stream.state
    stream.state = state
    state[:] = 1
    assert stream.rand() == twin.rand()


def test_seeds() -> None:
    assert MatlabRandom().seed == 0
    assert MatlabRandom().state.tobytes() == MatlabRandom(5489).state.tobytes()
    assert MatlabRandom(np.uint32(2**32 - 1)).state[0, 0] == 2**32 - 1
    for seed in (-1, 2**32, 1.0, "7", None, True):
        with pytest.raises(SeedError, match=f"a seed must be an integer in 0..2\\*\\*32-1, not {seed!r}"):
            MatlabRandom(seed)  # type: ignore[arg-type]


def test_streams_are_their_own() -> None:
    state = np.random.get_state(legacy=False)["state"]["key"]
    a, b = MatlabRandom(1), MatlabRandom(1)
    a.rand(3)
    assert b.rand() == MatlabRandom(1).rand()
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], state)


REFUSED: list[tuple[Callable[[MatlabRandom], object], str]] = [
    (lambda s: s.rand(2.0), r"a size must be an integer, not 2.0 \(float\)"),  # type: ignore[call-overload]
    (lambda s: s.randn(2**24, 2**24), r"an array of size 16777216 x 16777216 is larger than any of MATLAB"),
    (lambda s: s.randi(0), r"\[smallest, largest\].*not 0"),
    (lambda s: s.randi([2, 1]), r"not \[2, 1\]"),
    (lambda s: s.randi([1, 2, 3]), r"not \[1, 2, 3\]"),
    (lambda s: s.randi([]), r"not \[\]"),
    (lambda s: s.randi(2**53), r"not 9007199254740992"),
    (lambda s: s.randi([-(2**53), 0]), r"within 2\*\*53 - 1 of 0"),
    (lambda s: s.randi([-(2**53), -5]), r"within 2\*\*53 - 1 of 0"),
    (lambda s: s.randi([5, 2**53]), r"within 2\*\*53 - 1 of 0"),
    (lambda s: s.randi([0, 2**53 - 1]), "less than that apart"),
    (lambda s: s.randi("9"), "a limit of randi must be an integer, not '9'"),  # type: ignore[arg-type]
    (lambda s: s.randi(True), "a limit of randi must be an integer, not True"),
    (lambda s: s.randi([1, 2.5]), "a limit of randi must be an integer, not 2.5"),  # type: ignore[list-item]
    (lambda s: s.randi(5, "a"), "a size must be an integer, not 'a'"),  # type: ignore[arg-type]
    (lambda s: s.randperm(-1), r"n of randperm must be in 0..9007199254740991, not -1"),
    (lambda s: s.randperm(3.0), "n of randperm must be an integer, not 3.0"),  # type: ignore[arg-type]
    (lambda s: s.randperm(3, 4), r"k of randperm must be in 0..3, not 4"),
    (lambda s: s.randperm(3, -1), r"k of randperm must be in 0..3, not -1"),
    (lambda s: s.randperm(3, True), "k of randperm must be an integer, not True"),
    (lambda s: s.randperm(2**50), r"randperm\(1125899906842624\) is larger"),
    (lambda s: s.randperm(2**47), r"randperm\(140737488355328\) needs 1048576.0 GiB, more than this machine's memory"),
    (lambda s: s.randperm(2**49, 2**48), r"randperm\(562949953421312, 281474976710656\) is larger"),
]


@pytest.mark.parametrize(("call", "refusal"), REFUSED, ids=[refusal for _, refusal in REFUSED])
def test_what_is_refused_draws_nothing(call: Callable[[MatlabRandom], object], refusal: str) -> None:
    stream = MatlabRandom(0)
    with pytest.raises(MatlabError, match=refusal):
        call(stream)
    assert stream.state.tobytes() == MatlabRandom(0).state.tobytes()


GOOD = MatlabRandom(0).state
NO_STATES: list[tuple[Any, str]] = [
    (GOOD[:624], r"a state must be 625 integers, of shape \(625, 1\).*not uint32 of shape \(624, 1\)"),
    (GOOD.reshape(25, 25), r"not uint32 of shape \(25, 25\)"),
    (GOOD + 0.5, r"not float64 of shape \(625, 1\)"),
    (GOOD * np.nan, r"not float64 of shape \(625, 1\)"),
    (GOOD.astype(bool), "not bool"),
    (None, "not object of shape"),
    ("twister", "not <U7"),
    ([[1, 2], [3]], r"a state must be 625 integers, .*not object of shape \(\)"),
    (GOOD * 1e20, r"must be in 0..2\*\*32-1, but word 0 "),
    ([*[1] * 3, -1, *[1] * 621], r"must be in 0..2\*\*32-1, but word 3 \(counted from 0\) is -1"),
    ([2**32, *[1] * 624], r"but word 0 \(counted from 0\) is 4294967296"),
    (np.array([2**64 - 1, *[1] * 624], np.uint64), r"but word 0 \(counted from 0\) is 18446744073709551615"),
    ([*[1] * 624, 0], "must be in 1..624, not 0"),
    ([*[1] * 624, 625], "must be in 1..624, not 625"),
    ([2**31 - 1, *[0] * 623, 1], "whose words are all 0"),
]


@pytest.mark.parametrize(("state", "refusal"), NO_STATES, ids=[refusal for _, refusal in NO_STATES])
def test_what_is_no_state_is_refused_and_changes_nothing(state: Any, refusal: str) -> None:
    stream = MatlabRandom(0)
    with pytest.raises(MatlabError, match=refusal):
        stream.state = state
    assert stream.state.tobytes() == GOOD.tobytes()


def test_the_smallest_state_that_is_one() -> None:
    stream = MatlabRandom(0)
    stream.state = [2**31, *[0] * 623, 1]
    reference = Reference([2**31, *[0] * 623], 1)
    check(stream, reference, [("randn", (3, 3)), ("rand", (9, 9)), ("randperm", (9,))])


def test_public_names_load_when_they_are_used() -> None:
    assert set(seedbed.matlab.__all__) <= set(dir(seedbed.matlab))
    assert all(getattr(seedbed.matlab, name) is not None for name in seedbed.matlab.__all__)
    with pytest.raises(AttributeError, match=r"module 'seedbed.matlab' has no attribute 'rng'"):
        _ = seedbed.matlab.rng


def test_importing_the_stream_loads_neither_torch_nor_scipy() -> None:
    program = "import sys, seedbed.matlab as m; print('numpy' in sys.modules); m.MatlabRandom; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "False"
    assert not {"torch", "scipy", "psutil"} & set(second.split())


def test_an_integer_of_thousands_of_digits_is_refused_in_words() -> None:
    with pytest.raises(MatlabError, match=f"an array of size {shown(10**5000)} x {shown(10**5000)} is larger"):
        MatlabRandom().rand(10**5000)
