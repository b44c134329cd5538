"""How two results relate: to the bit, in ULPs and within a tolerance."""

import struct
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seedbed import comparison
from seedbed.comparison import (
    ULP_NAN,
    ArrayComparison,
    Comparison,
    Relation,
    compare,
    compare_arrays,
    describe,
    short,
    ulp_distance,
)
from seedbed.errors import ConfigError, ExperimentError, SeedbedError
from seedbed.fingerprint import fingerprint

Array = np.ndarray[Any, np.dtype[Any]]

PROPERTY = settings(deadline=None, derandomize=True)
IDENTICAL, EQUAL, CLOSE, DIFFERENT = Relation
INF, NAN = float("inf"), float("nan")
OTHER_NAN = float(np.array([0xFFF8_0000_0000_0001], np.uint64).view(np.float64)[0])
LARGEST, SMALLEST = sys.float_info.max, 5e-324


def patterns(width: int, count: int | st.SearchStrategy[int] = 3) -> st.SearchStrategy[Array]:
    """Arrays of any bits of one floating-point format, with those that are special often among them."""
    infinity = {16: 0x7C00, 32: 0x7F80_0000, 64: 0x7FF0_0000_0000_0000}[width]
    special = [
        magnitude + sign for magnitude in (0, 1, infinity - 1, infinity, infinity + 1) for sign in (0, 1 << width - 1)
    ]
    elements = st.sampled_from(special) | st.integers(0, 2**width - 1)
    return hnp.arrays(f"<u{width // 8}", count, elements=elements).map(lambda array: array.view(f"<f{width // 8}"))


def pairs(count: int | st.SearchStrategy[int] = 3) -> st.SearchStrategy[tuple[Array, Array]]:
    return st.sampled_from([16, 32, 64]).flatmap(lambda width: st.tuples(patterns(width, 3), patterns(width, 3)))


def ulps(actual: object, expected: object) -> int:
    return int(ulp_distance(actual, expected))


# The four relations


def test_relations_are_ordered_from_the_closest() -> None:
    assert IDENTICAL < EQUAL < CLOSE < DIFFERENT
    assert max([EQUAL, DIFFERENT, IDENTICAL]) is DIFFERENT
    assert CLOSE <= CLOSE
    assert not DIFFERENT <= CLOSE


@pytest.mark.parametrize(
    ("actual", "expected", "relation", "ulp"),
    [
        (1.0, 1.0, IDENTICAL, None),
        (NAN, NAN, IDENTICAL, None),
        (0.0, -0.0, EQUAL, 0),
        (NAN, OTHER_NAN, EQUAL, 0),
        (NAN, -NAN, EQUAL, 0),
        (1.0, 1.0 + 2**-52, CLOSE, 1),
        (SMALLEST, -SMALLEST, CLOSE, 2),
        (0.0, -SMALLEST, CLOSE, 1),
        (1.0, 1.001, DIFFERENT, 4503599627370),
        (NAN, 1.0, DIFFERENT, None),
        (INF, NAN, DIFFERENT, None),
        (INF, LARGEST, DIFFERENT, 1),
        (INF, -INF, DIFFERENT, 2 * 0x7FF0_0000_0000_0000),
        (complex(0.0, -0.0), complex(-0.0, 0.0), EQUAL, 0),
        (complex(NAN, 1), complex(OTHER_NAN, 1), EQUAL, 0),
        (complex(NAN, 1), complex(NAN, 2), DIFFERENT, 2**52),
        (complex(NAN, 1), complex(1, 1), DIFFERENT, None),
        (1 + 1j, 1 + 2**-52 + (1 + 2**-51) * 1j, CLOSE, 2),
        (np.float16(1), np.float16(1 + 2**-10), CLOSE, 1),
        (np.float32(1), np.float32(1 + 2**-23), CLOSE, 1),
        (np.complex64(1), np.complex64(1 + 2**-23), CLOSE, 1),
        (torch.tensor(1).bfloat16(), torch.tensor(1 + 2**-7).bfloat16(), CLOSE, 1),
        (torch.tensor(1.0).to(torch.float8_e5m2), torch.tensor(1.25).to(torch.float8_e5m2), DIFFERENT, 1),
        (3, 3, IDENTICAL, None),
        (3, 4, DIFFERENT, None),
        (True, False, DIFFERENT, None),
        (torch.tensor(1.0).to(torch.float8_e8m0fnu), torch.tensor(2.0).to(torch.float8_e8m0fnu), DIFFERENT, None),
        (torch.zeros(0, 3), torch.zeros(0, 3), IDENTICAL, None),
    ],
)
def test_the_relation_and_ulp_distance_of_two_numbers(
    actual: object, expected: object, relation: Relation, ulp: int | None
) -> None:
    found = compare_arrays(actual, expected)
    assert (found.relation, found.ulp) == (relation, ulp)
    turned = compare_arrays(expected, actual)
    assert (turned.relation, turned.ulp) == (relation, ulp)


@pytest.mark.parametrize(
    ("actual", "expected", "reason"),
    [
        (np.float32(1), np.float64(1), "dtype float32 against float64"),
        (torch.tensor(1.0).bfloat16(), np.uint16(0x3F80), "dtype bfloat16 against uint16"),
        (True, 1, "dtype bool against int64"),
        (np.ones(3), np.ones(4), "shape (3,) against (4,)"),
        (np.ones(1), 1.0, "shape (1,) against ()"),
        (np.ones((0, 3)), np.ones((3, 0)), "shape (0, 3) against (3, 0)"),
        (np.ones(2), 1, "dtype float64 against int64, shape (2,) against ()"),
    ],
)
def test_another_dtype_or_shape_is_different_and_says_so(actual: object, expected: object, reason: str) -> None:
    found = compare_arrays(actual, expected, rtol=1e9)
    assert (found.relation, found.reason) == (DIFFERENT, reason)
    assert (found.index, found.ulp, found.absolute) == (None, None, None)


@PROPERTY
@given(pairs())
def test_identical_is_the_same_fingerprint_and_equal_is_no_distance(pair: tuple[Array, Array]) -> None:
    found = compare_arrays(*pair)
    assert (found.relation is IDENTICAL) is (fingerprint(pair[0]) == fingerprint(pair[1]))
    assert (found.relation <= EQUAL) is bool(np.array_equal(*pair, equal_nan=True))
    assert compare_arrays(pair[0], pair[0].copy()).relation is IDENTICAL


@PROPERTY
@given(pairs())
def test_counts_and_distances_are_symmetric(pair: tuple[Array, Array]) -> None:
    one, other = compare_arrays(*pair), compare_arrays(*reversed(pair))
    assert (one.size, one.differing, one.nonfinite) == (other.size, other.differing, other.nonfinite)
    assert (one.ulp, one.absolute) == (other.ulp, other.absolute)
    assert one.differing == sum(a.tobytes() != b.tobytes() for a, b in zip(*pair, strict=True))


# ULP distance


@PROPERTY
@given(st.sampled_from([16, 32, 64]).flatmap(patterns), st.integers(0, 30))
def test_each_step_to_the_next_number_is_one_ulp(start: Array, steps: int) -> None:
    start = np.where(np.abs(start) < 1e4, start, start.dtype.type(1))
    end = start
    for _ in range(steps):
        end = np.nextafter(end, start.dtype.type(-INF))
    assert ulp_distance(start, end).tolist() == [steps] * 3


@PROPERTY
@given(patterns(32), patterns(32))
def test_float32_agrees_with_the_integers_that_struct_spells(one: Array, other: Array) -> None:
    def rank(number: np.float32) -> int:
        (spelt,) = struct.unpack("<i", number.tobytes())
        return int(spelt) if spelt >= 0 else -int(spelt) - 2**31

    for a, b, distance in zip(one, other, ulp_distance(one, other).tolist(), strict=True):
        if np.isnan(a) or np.isnan(b):
            assert distance == (0 if np.isnan(a) and np.isnan(b) else ULP_NAN)
        else:
            assert distance == abs(rank(a) - rank(b))


@PROPERTY
@given(st.sampled_from([16, 32, 64]).flatmap(lambda width: st.tuples(*[patterns(width)] * 3)))
def test_no_way_round_is_shorter(triple: tuple[Array, Array, Array]) -> None:
    x, y, z = triple
    direct, first, second = (ulp_distance(*ends).tolist() for ends in ((x, z), (x, y), (y, z)))
    assert all(whole <= one + other for whole, one, other in zip(direct, first, second, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_all_numbers_of_a_small_format_lie_one_apart(dtype: torch.dtype) -> None:
    integers = torch.uint8 if dtype.itemsize == 1 else torch.int16
    numbers = torch.arange(2 ** (8 * dtype.itemsize)).to(integers).view(dtype)
    numbers = numbers[~numbers.float().isnan()]
    ascending = numbers[numbers.float().argsort(stable=True)]
    zeros = (ascending.float() == 0).nonzero().flatten().tolist()
    expected = np.ones(len(ascending) - 1, np.uint64)
    expected[zeros[0]] = 0
    assert len(zeros) == 2
    assert np.array_equal(ulp_distance(ascending[1:].clone(), ascending[:-1].clone()), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_the_values_of_formats_that_numpy_lacks_are_torchs(dtype: torch.dtype) -> None:
    integers = torch.uint8 if dtype.itemsize == 1 else torch.int16
    numbers = torch.arange(2 ** (8 * dtype.itemsize)).to(integers).view(dtype)[:: 1 if dtype.itemsize == 1 else 61]
    for number, value in zip(numbers, numbers.double().tolist(), strict=True):
        found = compare_arrays(number.clone(), torch.tensor(1.0).to(dtype))
        difference = abs(value - 1)
        assert found.absolute == (difference if 0 < difference < INF else None)
        assert found.nonfinite == (not difference < INF)


def test_the_largest_distances_do_not_overflow() -> None:
    assert ulps(LARGEST, -LARGEST) == 2 * 0x7FEF_FFFF_FFFF_FFFF
    assert ulps(INF, -INF) == 2**64 - 2**53
    assert ulps(np.float16(INF), np.float16(-INF)) == 2 * 0x7C00


def test_nan_is_no_distance_from_nan_and_none_from_a_number() -> None:
    assert ulps(NAN, OTHER_NAN) == 0
    assert ulps(NAN, INF) == ULP_NAN
    assert ulps(complex(1, NAN), 1 + 1j) == ULP_NAN


def test_signalling_nans_and_overflow_raise_nothing() -> None:
    signalling = np.array([0x7F80_0001, 0x7F7F_FFFF], np.uint32).view(np.float32)
    with np.errstate(all="raise"):
        found = compare_arrays(signalling, np.ones(2, np.float32))
        assert (found.actual, found.nonfinite) == ("nan 0x7f800001", 1)
        assert compare_arrays(LARGEST, -LARGEST).absolute == LARGEST
        assert ulp_distance(signalling, -signalling).tolist() == [0, 2 * 0x7F7F_FFFF]


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this CPU cannot flush subnormal numbers")
def test_flushed_subnormals_are_told_from_zero() -> None:
    torch.set_flush_denormal(True)
    try:
        found = compare_arrays(SMALLEST, 0.0)
    finally:
        torch.set_flush_denormal(False)
    assert (found.relation, found.ulp) == (CLOSE, 1)


def test_the_distance_keeps_the_shape() -> None:
    assert ulp_distance(np.ones((2, 3), np.complex64), np.zeros((2, 3), np.complex64)).shape == (2, 3)
    assert ulp_distance(np.ones((0, 3)), np.ones((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (1, 2, r"an ULP distance needs a dtype among float16, .*, not int64"),
        (np.float32(1), 1.0, r"needs one dtype and one shape, not dtype float32 against float64"),
        ([1.0], 1.0, r"needs one dtype and one shape, not shape \(1,\) against \(\)"),
    ],
)
def test_what_has_no_ulp_distance_is_refused(actual: object, expected: object, message: str) -> None:
    with pytest.raises(SeedbedError, match=message):
        ulp_distance(actual, expected)


# Tolerances


# torch.testing.assert_close's, from its documentation
TOLERANCES = {
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
    torch.float32: (1.3e-6, 1e-5),
    torch.float64: (1e-7, 1e-7),
    torch.complex64: (1.3e-6, 1e-5),
    torch.complex128: (1e-7, 1e-7),
}


@pytest.mark.parametrize("factor", [0.4, 2.6])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_the_usual_tolerances_are_those_of_assert_close(dtype: torch.dtype, factor: float) -> None:
    rtol, atol = TOLERANCES[dtype]
    expected = torch.tensor(100.0 if rtol > 1e-6 else 1.0, dtype=torch.float64)
    actual = (expected + factor * (atol + rtol * expected)).to(dtype)
    close = compare_arrays(actual, expected.to(dtype)).relation is CLOSE
    assert close is (factor < 1)
    try:
        torch.testing.assert_close(actual, expected.to(dtype))
    except AssertionError:
        assert not close
    else:
        assert close


@pytest.mark.parametrize(
    ("rtol", "atol", "relation"),
    [
        (0.25, None, CLOSE),
        (0.125, None, DIFFERENT),
        (None, 1.0, CLOSE),
        (None, 0.5, DIFFERENT),
        (0.125, 0.5, CLOSE),
        (0.0, 0.0, DIFFERENT),
    ],
)
def test_given_tolerances_replace_both(rtol: float | None, atol: float | None, relation: Relation) -> None:
    assert compare_arrays(5.0, 4.0, rtol=rtol, atol=atol).relation is relation


def test_no_tolerance_is_needed_for_another_zero_or_nan() -> None:
    assert compare_arrays([0.0, NAN], [-0.0, OTHER_NAN], rtol=0, atol=0).relation is EQUAL


@pytest.mark.parametrize("tolerance", [-1e-9, INF, NAN])
@pytest.mark.parametrize("name", ["rtol", "atol"])
def test_a_tolerance_that_means_nothing_is_refused(name: str, tolerance: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a finite number that is not negative, not {tolerance!r}"):
        compare_arrays(1.0, 1.0, **{name: tolerance})


@pytest.mark.parametrize(("actual", "expected"), [(1.0, INF), (INF, 1.0), (-INF, INF), (NAN, 1.0), (1.0, NAN)])
def test_no_tolerance_covers_what_is_not_finite(actual: float, expected: float) -> None:
    found = compare_arrays(actual, expected, rtol=1e300, atol=1e300)
    assert (found.relation, found.nonfinite) == (DIFFERENT, 1)
    assert (found.absolute, found.relative) == (None, None)


@pytest.mark.parametrize("rtol", [0.5, 1.5, 1e300])
def test_a_difference_beyond_float64_is_given_as_its_largest_and_within_no_tolerance(rtol: float) -> None:
    found = compare_arrays(LARGEST, -LARGEST, rtol=rtol)
    assert (found.relation, found.absolute, found.relative, found.nonfinite) == (DIFFERENT, LARGEST, 1.0, 0)


def test_a_relative_difference_beyond_float64_is_given_as_its_largest() -> None:
    assert compare_arrays(1.0, SMALLEST).relative == LARGEST


def test_what_is_relative_to_zero_is_left_out() -> None:
    assert compare_arrays([1e-9, 2.0], [0.0, 1.0]).relative == 1.0
    assert compare_arrays(1e-9, 0.0).relative is None


EIGHTHS = st.integers(-(2**20), 2**20).map(lambda count: count / 8)
HALVINGS = st.sampled_from([0.0, 0.5, 0.25, 0.125])


@PROPERTY
@given(st.lists(st.tuples(EIGHTHS, EIGHTHS), min_size=1, max_size=4), HALVINGS, HALVINGS)
def test_differences_and_tolerances_agree_with_exact_arithmetic(
    numbers: list[tuple[float, float]], rtol: float, atol: float
) -> None:
    found = compare_arrays(*zip(*numbers, strict=True), rtol=rtol, atol=atol)
    exact = [(Fraction(a), Fraction(e)) for a, e in numbers]
    gaps = [abs(a - e) for a, e in exact]
    relative = [gap / abs(e) for gap, (_, e) in zip(gaps, exact, strict=True) if gap and e]
    within = all(gap <= Fraction(atol) + Fraction(rtol) * abs(e) for gap, (_, e) in zip(gaps, exact, strict=True))
    assert (found.relation <= CLOSE) is within
    assert found.absolute == (float(max(gaps)) if any(gaps) else None)
    assert found.relative == (float(max(relative)) if relative else None)
    if found.absolute:
        assert found.index == (gaps.index(max(gaps)),)


def test_complex_differences_are_the_modulus() -> None:
    found = compare_arrays([3 + 4j, 1j], [0j, 1j], atol=5.0)
    assert (found.relation, found.absolute, found.differing, found.size) == (CLOSE, 5.0, 1, 2)
    assert compare_arrays(3 + 4j, 0j, atol=4.9).relation is DIFFERENT


# Integers, booleans, and dtypes without values


@PROPERTY
@given(
    st.sampled_from(["int8", "uint8", "int32", "int64", "uint64"]).flatmap(
        lambda dtype: st.tuples(*[hnp.arrays(dtype, 3, elements=hnp.from_dtype(np.dtype(dtype)))] * 2)
    )
)
def test_integer_differences_are_exact_and_never_within_a_tolerance(pair: tuple[Array, Array]) -> None:
    found = compare_arrays(*pair, rtol=1.0, atol=1e30)
    gaps = [abs(a - e) for a, e in zip(*(array.tolist() for array in pair), strict=True)]
    assert found.relation is (DIFFERENT if any(gaps) else IDENTICAL)
    assert found.differing == sum(gap > 0 for gap in gaps)
    assert found.absolute == (float(max(gaps)) if any(gaps) else None)
    assert found.ulp is None


def test_the_largest_integers_do_not_overflow() -> None:
    assert compare_arrays(-(2**63), 2**63 - 1).absolute == 2.0**64
    assert compare_arrays(np.uint64(0), np.uint64(2**64 - 1)).absolute == 2.0**64
    assert compare_arrays(2**53, 2**53 + 1).absolute == 1.0


@pytest.mark.parametrize(
    ("actual", "expected", "texts"),
    [
        ([True, True, False], [True, False, True], ("True", "False")),
        (torch.tensor([1.0, 2, 4]).to(torch.float8_e8m0fnu), torch.ones(3).to(torch.float8_e8m0fnu), ("0x80", "0x7f")),
    ],
)
def test_what_has_no_difference_says_how_many_and_where(actual: object, expected: object, texts: object) -> None:
    found = compare_arrays(actual, expected)
    assert (found.relation, found.differing, found.index) == (DIFFERENT, 2, (1,))
    assert (found.ulp, found.absolute, found.relative) == (None, None, None)
    assert (found.actual, found.expected) == texts


# Where, and how many


def test_the_index_is_that_of_the_largest_absolute_difference() -> None:
    expected = np.zeros((2, 3, 4), np.float32)
    actual = expected.copy()
    actual[0, 1, 2], actual[1, 2, 3], actual[1, 0, 0] = 1, -2, 0.5
    found = compare_arrays(actual, expected)
    assert (found.index, found.actual, found.expected) == ((1, 2, 3), "-2.0", "0.0")
    assert (found.size, found.differing, found.absolute) == (24, 3, 2.0)


def test_or_of_the_first_that_is_not_finite() -> None:
    found = compare_arrays([9.0, 1.0, NAN, INF], [1.0, 1.0, 1.0, 1.0])
    assert (found.index, found.actual, found.nonfinite) == ((2,), "nan 0x7ff8000000000000", 2)
    assert (found.absolute, found.relative) == (8.0, 8.0)
    assert found.ulp == ulps(INF, 1.0)


def test_or_of_the_first_in_other_bits() -> None:
    found = compare_arrays([1.0, NAN, 0.0], [1.0, OTHER_NAN, -0.0])
    assert (found.relation, found.differing, found.index) == (EQUAL, 2, (1,))
    assert (found.actual, found.expected) == ("nan 0x7ff8000000000000", "nan 0xfff8000000000001")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.1), "0.1"),
        (torch.tensor(3.140625).bfloat16(), "3.140625"),
        (torch.tensor(448.0).to(torch.float8_e4m3fn), "448.0"),
        (-0.0, "-0.0"),
        (1 - 2j, "(1-2j)"),
        (np.complex64(complex(NAN, 1)), "(nan+1j) 0x7fc00000, 0x3f800000"),
    ],
)
def test_elements_are_shown_as_their_dtype_writes_them(value: object, text: str) -> None:
    zero = value.new_zeros(()) if isinstance(value, torch.Tensor) else np.zeros((), np.asarray(value).dtype)
    assert compare_arrays(value, zero).actual == text
    assert compare_arrays(zero, value).expected == text


@PROPERTY
@given(pairs(), st.integers(1, 4))
def test_the_size_of_the_blocks_does_not_show(pair: tuple[Array, Array], size: int) -> None:
    repeated = [np.concatenate([array, array[::-1]]) for array in pair]
    whole = compare_arrays(*repeated)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(comparison, "_BLOCK", size)
        assert compare_arrays(*repeated) == whole


def test_large_arrays_are_compared_whole() -> None:
    expected = np.ones((300, 1000), np.complex64)
    actual = expected.copy()
    actual[1, 1] += 1e-6
    actual[299, 999] += 2e-6j
    found = compare_arrays(actual, expected)
    assert (found.relation, found.differing, found.index) == (CLOSE, 2, (299, 999))


# Whole results


RESULTS: dict[str, Any] = {"loss": 0.5, "model": {"weight": np.ones(3), "predictions": np.array([0, 1, 2])}}


def changed(**model: object) -> dict[str, Any]:
    return {**RESULTS, "model": {**RESULTS["model"], **model}}


def test_the_same_results_are_identical() -> None:
    assert compare(RESULTS, changed(weight=torch.ones(3, dtype=torch.float64))) == Comparison(
        relation=IDENTICAL, compared=3, labels=3, flipped=0
    )
    assert compare({}, {}) == Comparison(relation=IDENTICAL, compared=0)


def test_the_worst_key_decides_and_only_those_that_differ_are_kept() -> None:
    found = compare({**changed(weight=np.ones(3) + 1e-9), "loss": 0.6}, RESULTS)
    assert found.relation is DIFFERENT
    assert {key: entry.relation for key, entry in found.arrays.items()} == {"loss": DIFFERENT, "model/weight": CLOSE}
    assert compare({**RESULTS, "loss": 0.6}, RESULTS, atol=0.2).relation is CLOSE
    assert compare({**RESULTS, "loss": 0.6}, RESULTS, rtol=0.1).relation is DIFFERENT


def test_a_key_on_one_side_only_is_different() -> None:
    more = {**RESULTS, "accuracy": np.ones((2, 2))}
    missing, added = compare(RESULTS, more), compare(more, RESULTS)
    assert (missing.relation, missing.compared, added.relation, added.compared) == (DIFFERENT, 4, DIFFERENT, 4)
    assert missing.arrays["accuracy"].reason == "missing from the actual results"
    assert added.arrays["accuracy"].reason == "missing from the expected results"
    assert missing.arrays["accuracy"].size == added.arrays["accuracy"].size == 4


@pytest.mark.parametrize(
    ("results", "labels"),
    [
        ({"predictions": [0, 1, 2]}, 3),
        ({"a": {"labels": [True, False]}, "b": {"predictions": np.ones(1, np.uint8)}}, 3),
        ({"predictions": [0.5, 1.0]}, None),
        ({"predictions": torch.ones(3).bfloat16()}, None),
        ({"labels_seen": [1, 2], "predictions": {"count": 3}}, None),
    ],
)
def test_labels_are_the_integers_under_keys_that_end_so(results: dict[str, object], labels: int | None) -> None:
    found = compare(results, results)
    assert (found.labels, found.flipped) == (labels, None if labels is None else 0)


def test_flipped_labels_are_counted() -> None:
    found = compare(changed(predictions=np.array([0, 2, 1])), RESULTS)
    assert (found.relation, found.labels, found.flipped) == (DIFFERENT, 3, 2)


@pytest.mark.parametrize("model", [{"predictions": np.arange(4)}, {"predictions": np.arange(3, dtype=np.int32)}])
def test_labels_that_cannot_be_compared_are_not_counted(model: dict[str, object]) -> None:
    found = compare(changed(**model), RESULTS)
    assert (found.relation, found.labels, found.flipped) == (DIFFERENT, None, None)


def test_labels_on_one_side_only_are_not_counted() -> None:
    assert compare({"labels": [1]}, {}).labels is None
    assert compare({}, {"labels": [1]}).labels is None


def test_what_cannot_be_compared_is_named() -> None:
    with pytest.raises(ExperimentError, match=r"'model/name': .* not str: 'mlp'"):
        compare(changed(name="mlp"), RESULTS)


@pytest.mark.parametrize(
    "found",
    [
        compare(RESULTS, RESULTS),
        compare(changed(weight=np.array([NAN, INF, LARGEST]), predictions=[1]), RESULTS),
        compare({"x": -LARGEST, "y": 0.0}, {"x": LARGEST, "z": 1}),
    ],
)
def test_a_comparison_survives_json(found: Comparison) -> None:
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found


# In words


def of(actual: object, expected: object, say: Callable[[ArrayComparison], str]) -> str:
    return say(compare_arrays(actual, expected))


@pytest.mark.parametrize(
    ("actual", "expected", "words", "few"),
    [
        (1.0, 1.0, "same bits", "same"),
        (
            [1.0, 0.0],
            [1.0, -0.0],
            "same values in other bits: 1 of 2 elements, the first at w[1] (0.0 for -0.0)",
            "equal",
        ),
        (
            np.array([[1, 1 + 2**-21]], np.float32),
            np.array([[1, 1]], np.float32),
            "close: 1 of 2 elements, at most 4 ulp, 4.8e-07 abs, 4.8e-07 rel, "
            "the largest at w[0, 1] (1.0000005 for 1.0)",
            "4 ulp",
        ),
        (
            1.0,
            1.25,
            "different: 1 of 1 elements, at most 1125899906842624 ulp, 0.25 abs, 0.2 rel, "
            "the largest at w (1.0 for 1.25)",
            "rel 2e-01",
        ),
        (
            1e-9,
            0.0,
            "close: 1 of 1 elements, at most 4472406533629990549 ulp, 1e-09 abs, the largest at w (1e-09 for 0.0)",
            "abs 1e-09",
        ),
        (
            [1.0, NAN],
            [1.0, 1.0],
            "different: 1 of 2 elements, 1 of them NaN or infinite, the first at w[1] (nan 0x7ff8000000000000 for 1.0)",
            "nan or inf",
        ),
        ([1, 2], [1, 4], "different: 1 of 2 elements, 2 abs, 0.5 rel, the largest at w[1] (2 for 4)", "1 differ"),
        (True, False, "different: 1 of 1 elements, the first at w (True for False)", "1 differ"),
        (1, 1.0, "different: dtype int64 against float64", "dtype"),
        ([1], 1, "different: shape (1,) against ()", "shape"),
    ],
)
def test_an_array_in_words_and_in_few(actual: object, expected: object, words: str, few: str) -> None:
    found = compare_arrays(actual, expected)
    assert describe(found, "w") == words
    assert short(found) == few


def test_without_a_name() -> None:
    assert describe(compare_arrays(2, 3)).endswith("the largest (2 for 3)")
    assert describe(compare_arrays([2], [3])).endswith("the largest at [0] (2 for 3)")


@pytest.mark.parametrize(
    ("actual", "words", "few"),
    [
        (RESULTS, "same bits in all 3 results", "same"),
        (
            changed(weight=np.array([1, 1, 1 + 2**-52])),
            "close: 0 of 3 labels flipped; 1 of 3 results, the worst model/weight: 1 of 3 elements, at most 1 ulp, "
            "2.2e-16 abs, 2.2e-16 rel, the largest at [2] (1.0000000000000002 for 1.0)",
            "1 ulp",
        ),
        (
            changed(predictions=np.array([0, 2, 2])),
            "different: 1 of 3 labels flipped; 1 of 3 results, the worst model/predictions: 1 of 3 elements, "
            "1 abs, 1 rel, the largest at [1] (2 for 1)",
            "1 flip",
        ),
        (
            {"loss": 0.75},
            "different: 3 of 3 results, the worst model/weight: missing from the actual results",
            "missing",
        ),
    ],
)
def test_a_whole_result_in_words_and_in_few(actual: dict[str, Any], words: str, few: str) -> None:
    found = compare(actual, RESULTS)
    assert describe(found) == words
    assert short(found) == few


def test_the_worst_is_what_is_missing_then_what_is_not_finite_then_the_largest() -> None:
    expected = {"a": 1.0, "b": 1.0, "c": 1.0}
    assert "worst b" in describe(compare({"a": 1.1, "b": 2.0, "c": 1.0}, expected))
    assert "worst a" in describe(compare({"a": NAN, "b": 2.0, "c": 1.0}, expected))
    assert "worst c" in describe(compare({"a": NAN, "b": 2.0}, expected))


@pytest.mark.parametrize(
    ("found", "few"),
    [
        (Comparison(relation=DIFFERENT, compared=1, labels=9, flipped=99_999), "99999 flips"),
        (Comparison(relation=DIFFERENT, compared=1, labels=9, flipped=123_456), "1e+05 flips"),
        (ArrayComparison(relation=DIFFERENT, differing=99_999), "99999 differ"),
        (ArrayComparison(relation=DIFFERENT, differing=10**12), "1e+12 differ"),
        (ArrayComparison(relation=CLOSE, ulp=9999, absolute=1.0), "9999 ulp"),
        (ArrayComparison(relation=CLOSE, ulp=10_000, relative=LARGEST), "rel 2e+308"),
    ],
)
def test_few_words_fit_into_a_cell(found: Comparison | ArrayComparison, few: str) -> None:
    assert short(found) == few
    assert len(few) <= 12
