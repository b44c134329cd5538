"""Arrays as safetensors bytes, and files that are whole or absent."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seedbed.bits import Bits, bits
from seedbed.errors import RecordError
from seedbed.storage import dumps, in_order, loads, write_whole

DTYPES = ["bool", "int8", "uint16", "int64", "float16", "float32", "float64", "complex64", "complex128"]


def same(a: Bits, b: Bits) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.array.tobytes() == b.array.tobytes()


@given(st.sampled_from(DTYPES).flatmap(lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, min_side=0))))
def test_an_array_comes_back_with_its_bits(array: np.ndarray) -> None:
    arrays, _ = loads(dumps({"a/b": bits(array)}), "here")
    assert same(arrays["a/b"], bits(array))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_dtype_that_numpy_lacks_comes_back(dtype: torch.dtype) -> None:
    expected = bits(torch.tensor([[1.5, -0.0], [float("nan"), 3.0]]).to(dtype))
    arrays, _ = loads(dumps({"x": expected}), "here")
    assert same(arrays["x"], expected)
    assert arrays["x"].dtype == str(dtype).removeprefix("torch.")


TEXTS = st.dictionaries(st.text(st.characters(codec="utf-8")).map("_".__add__), st.text(st.characters(codec="utf-8")))


@given(TEXTS)
def test_metadata_comes_back(metadata: dict[str, str]) -> None:
    arrays, found = loads(in_order(dumps({"x": bits(np.arange(3))}, metadata)), "here")
    assert found == metadata
    assert same(arrays["x"], bits(np.arange(3)))


def test_metadata_in_order_is_always_the_same_bytes() -> None:
    metadata = {name: name for name in "abcdefgh"}
    backwards = dict(reversed(metadata.items()))
    assert len({in_order(dumps({"x": bits(np.arange(3))}, each)) for each in (metadata, backwards) * 5}) == 1


@pytest.mark.parametrize("length", [0, 7, 40, -1])
def test_bytes_that_are_cut_short_are_refused(length: int) -> None:
    data = dumps({"x": bits(np.arange(4))})
    with pytest.raises(RecordError, match="^some/file: expected a whole safetensors file"):
        loads(data[:length], "some/file")


def test_a_safetensors_file_of_somebody_else_is_refused() -> None:
    import safetensors.numpy

    with pytest.raises(RecordError, match="expected a whole safetensors file of Seedbed's"):
        loads(safetensors.numpy.save({"x": np.arange(3)}), "some/file")


def test_a_file_is_written_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"one")
    write_whole(path, b"two", durable=False)
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_file_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match=r"cannot write .*file: No space left on device"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"cannot write .*: No such file or directory"):
        write_whole(tmp_path / "nowhere" / "file", b"")
