"""Digests of exact bits."""

import hashlib
import json
import struct
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seedbed.bits import bits
from seedbed.errors import ExperimentError
from seedbed.fingerprint import combined, fingerprint, fingerprints

Array = np.ndarray[Any, np.dtype[Any]]

DTYPES = ["bool", "int8", "int64", "uint8", "uint32", "float16", "float32", "float64", "complex64", "complex128"]
PROPERTY = settings(deadline=None, derandomize=True)


def arrays() -> st.SearchStrategy[Array]:
    return st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0)))


# Each is the SHA-256 of the bytes in the comment, as `printf ... | sha256sum` gives it.
@pytest.mark.parametrize(
    ("value", "digest"),
    [
        # seedbed-1|float64|| 00 00 00 00 00 00 f0 3f
        (1.0, "f8ba6756d3a2444ef8a6c75509ddfa448034a8141febb41a7cd9a8fef40ef8b9"),
        # seedbed-1|float32|3| 00 00 80 3f 00 00 00 40 00 00 40 40
        (np.array([1, 2, 3], np.float32), "6f7a5b6fdd897558850d88f34d2d741f611994ceb53e199d283c4c1997812367"),
        (np.array([1, 2, 3], ">f4"), "6f7a5b6fdd897558850d88f34d2d741f611994ceb53e199d283c4c1997812367"),
        # seedbed-1|int64|2,2| 1, 2, 3, 4 in eight bytes each
        (np.array([[1, 2], [3, 4]], np.int64), "88aaae417afa73355e07fa54cb822fea47495eb53499cc49df6e7af3a2a5483a"),
        (np.array([[1, 3], [2, 4]], np.int64).T, "88aaae417afa73355e07fa54cb822fea47495eb53499cc49df6e7af3a2a5483a"),
        # seedbed-1|bool|2| 01 00
        ([True, False], "eebbdaa75dc061d03008985a207dd37ec18fddbaef5f397724ddd4f89cb733a1"),
        # seedbed-1|bfloat16|2| 80 3f 00 c0
        (
            torch.tensor([1, -2], dtype=torch.bfloat16),
            "cdb423ff6f03c388a9719165faf4fa7cd26eb5706c87ae0f2c16562fa1a92f1d",
        ),
        # seedbed-1|complex64|| 00 00 80 3f 00 00 00 c0
        (np.complex64(1 - 2j), "e2da20ee15e1074e2cd9f5d6d71b1ef1cf3eecf37c278abd0fc048f7d01eef8c"),
        # seedbed-1|float32|0,3|
        (torch.ones(0, 3), "ddd15aa6b3042025e840f78eaa6b3364e3b8f244618de5cef062743fba8eaaf9"),
    ],
)
def test_golden_values(value: object, digest: str) -> None:
    assert fingerprint(value) == f"sha256:{digest}"
    assert fingerprint(bits(value)) == f"sha256:{digest}"


@PROPERTY
@given(arrays())
def test_the_definition_can_be_recomputed_without_seedbed(array: Array) -> None:
    swapped = array.byteswap() if sys.byteorder == "big" else array
    text = f"seedbed-1|{array.dtype.name}|{','.join(str(length) for length in array.shape)}|"
    assert fingerprint(array) == f"sha256:{hashlib.sha256(text.encode() + swapped.tobytes()).hexdigest()}"


@PROPERTY
@given(arrays(), arrays())
def test_two_arrays_share_a_fingerprint_only_where_all_is_the_same(one: Array, other: Array) -> None:
    same = (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    assert (fingerprint(one) == fingerprint(other)) is same


@PROPERTY
@given(arrays())
def test_layout_and_library_do_not_show(array: Array) -> None:
    assert fingerprint(np.array(array, order="F")) == fingerprint(array)
    assert fingerprint(torch.from_numpy(array.copy())) == fingerprint(array)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.0, -0.0),
        (struct.unpack("<d", b"\0\0\0\0\0\0\xf8\x7f"), struct.unpack("<d", b"\1\0\0\0\0\0\xf8\x7f")),
        (np.float32(1), np.float64(1)),
        (np.ones((2, 3)), np.ones((3, 2))),
        (np.ones((0, 3)), np.ones((3, 0))),
        (np.float64(1), np.ones(1)),
        (np.uint8(1), True),
        (torch.tensor(1.0).to(torch.bfloat16), np.uint16(0x3F80)),
    ],
)
def test_zeros_payloads_dtypes_and_shapes_do(one: object, other: object) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_what_has_no_bits_has_no_fingerprint() -> None:
    with pytest.raises(ExperimentError, match="not str: 'text'"):
        fingerprint("text")


def test_every_leaf_of_a_tree_has_its_own() -> None:
    assert fingerprints({"a": {"b": 1.0}, "c": bits(2)}) == {"a/b": fingerprint(1.0), "c": fingerprint(2)}
    with pytest.raises(ExperimentError, match=r"'a/b': .* not NoneType"):
        fingerprints({"a": {"b": None}})


def test_all_together_in_any_order_have_one() -> None:
    tree = {"b": 1.0, "é": 2}
    text = json.dumps({"b": fingerprint(1.0), "é": fingerprint(2)}, separators=(",", ":"))
    expected = hashlib.sha256(b"seedbed-1|all|" + text.encode()).hexdigest()
    assert combined(fingerprints(tree)) == f"sha256:{expected}"
    assert combined(fingerprints(dict(reversed(tree.items())))) == f"sha256:{expected}"
    # sha256sum of: seedbed-1|all|{}
    assert combined({}) == "sha256:38102097dbb1f1bd61630f9c05ebc380a608c72050f39baf7b54054ee96865a0"


def test_another_value_another_key_and_a_key_less_change_it() -> None:
    trees = [{"a": 1.0, "b": 2.0}, {"a": 1.0, "b": -2.0}, {"a": 1.0, "c": 2.0}, {"a": 1.0}, {"a": 2.0, "b": 1.0}]
    assert len({combined(fingerprints(tree)) for tree in trees}) == len(trees)
