"""Sizes as MATLAB takes them, and what it would not take."""

import os
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import MatlabError
from seedbed.matlab.sizes import check_elements, shape_of, whole_number

PROPERTY = settings(deadline=None, derandomize=True)


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ((3,), (3, 3)),
        ((0,), (0, 0)),
        ((1,), (1, 1)),
        ((2, 3), (2, 3)),
        ((2, 3, 4), (2, 3, 4)),
        ((2, 3, 1), (2, 3)),
        ((2, 1, 1, 1), (2, 1)),
        ((2, 3, 1, 4, 1), (2, 3, 1, 4)),
        ((-2, 3), (0, 3)),
        ((-1,), (0, 0)),
        ((2, 3, 0), (2, 3, 0)),
        (([2, 3],), (2, 3)),
        (((2, 3, 1),), (2, 3)),
        (([4],), (4, 4)),
        ((range(2, 4),), (2, 3)),
        ((np.array([2, 3]),), (2, 3)),
        ((np.array(3),), (3, 3)),
        ((np.int64(2), np.uint8(3)), (2, 3)),
        ((0, 2**47), (0, 2**47)),
        (([2, *[1] * 100],), (2, 1)),
    ],
)
def test_shapes(sizes: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    assert shape_of(sizes) == shape
    assert all(type(each) is int for each in shape_of(sizes))


@PROPERTY
@given(sizes=st.lists(st.integers(-3, 5), min_size=2, max_size=6))
def test_a_sequence_is_its_numbers_one_by_one(sizes: list[int]) -> None:
    shape = shape_of(sizes)
    assert shape == shape_of([sizes]) == shape_of([np.array(sizes)])
    assert len(shape) == 2 or shape[-1] != 1
    assert (*shape, *[1] * (len(sizes) - len(shape))) == tuple(max(0, size) for size in sizes)


REFUSED: list[tuple[tuple[Any, ...], str]] = [
    ((2.0,), "a size must be an integer, not 2.0 (float): where MATLAB takes the double 3.0, write 3 or int(...)"),
    ((2, np.float64(3)), "a size must be an integer, not np.float64(3.0) (float64)"),
    ((True, 2), "a size must be an integer, not True (bool)"),
    ((np.True_,), "a size must be an integer, not np.True_ (bool)"),
    (("23",), "a size must be an integer, not '23' (str)"),
    ((b"23",), "a size must be an integer, not b'23' (bytes)"),
    ((None,), "a size must be an integer, not None (NoneType)"),
    (({2, 3},), "a size must be an integer, not {2, 3} (set)"),
    (([2, 3], 4), "a size must be an integer, not [2, 3] (list)"),
    (([[2, 3]],), "a size must be an integer, not [2, 3] (list)"),
    ((np.array([[2, 3]]),), "a size must be an integer, not array([[2, 3]]) (ndarray)"),
    ((np.array([2.0, 3.0]),), "a size must be an integer, not np.float64(2.0) (float64)"),
    (([],), "a size is missing: an empty sequence is none; write rand(0) for 0 x 0"),
    ((np.array([], int),), "a size is missing"),
    ((), "a size is missing"),
    ((2**48, 1), "an array of size 281474976710656 x 1 is larger than any of MATLAB, which has at most 2**48 - 1"),
    ((0, 2**40, 2**40), "an array of size 0 x 1099511627776 x 1099511627776 is larger than any of MATLAB"),
    (
        ([1] * 64 + [2],),
        "an array of size 1 x 1 x 1 x 1 x 1 x 1 x 1 x 1 x ... has 65 dimensions, more than the 64 that NumPy knows",
    ),
    ((2**24, 2**23), "an array of size 16777216 x 8388608 needs 1048576.0 GiB, more than this machine's memory of "),
]


@pytest.mark.parametrize(("sizes", "refusal"), REFUSED)
def test_what_is_no_size_is_refused(sizes: tuple[Any, ...], refusal: str) -> None:
    with pytest.raises(MatlabError, match=re.escape(refusal)):
        shape_of(sizes)


def test_64_dimensions_are_not_too_many() -> None:
    shape = shape_of([1] * 63 + [2])
    assert np.empty(shape).shape == shape


def test_the_limits_are_these_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**20}.__getitem__)
    check_elements(2**29, "x")
    with pytest.raises(MatlabError, match=r"x needs 4.0 GiB, more than this machine's memory of 4.0 GiB: draw it in"):
        check_elements(2**29 + 1, "x")
    monkeypatch.setattr(os, "sysconf", lambda _: 2**40)
    check_elements(2**48 - 1, "x")
    with pytest.raises(MatlabError, match=r"x is larger than any of MATLAB"):
        check_elements(2**48, "x")


class Index:
    def __index__(self) -> int:
        return 7


def test_whatever_is_an_index_is_an_integer() -> None:
    assert whole_number(Index(), "") == 7
    with pytest.raises(MatlabError, match="the number must be an integer, not 'a'"):
        whole_number("a", "the number")
