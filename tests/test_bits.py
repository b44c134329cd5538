"""The exact bits of whatever an experiment may return."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
import pytest
import torch

from seedbed.bits import Bits, bits, flatten
from seedbed.errors import ExperimentError

Array = np.ndarray[Any, np.dtype[Any]]


class Digit(IntEnum):
    SEVEN = 7


def taken(value: object) -> tuple[str, tuple[int, ...], bytes]:
    """What makes two `Bits` the same: dtype, shape and bytes."""
    found = bits(value)
    return found.dtype, found.shape, found.array.tobytes()


@pytest.mark.parametrize(
    ("value", "dtype", "content"),
    [
        (True, "bool", b"\x01"),
        (7, "int64", b"\x07" + b"\x00" * 7),
        (Digit.SEVEN, "int64", b"\x07" + b"\x00" * 7),
        (-(2**63), "int64", b"\x00" * 7 + b"\x80"),
        (-0.0, "float64", b"\x00" * 7 + b"\x80"),
        (1j, "complex128", b"\x00" * 14 + b"\xf0\x3f"),
        (np.float16(1), "float16", b"\x00\x3c"),
        (np.bool(False), "bool", b"\x00"),
    ],
)
def test_a_number_has_the_bits_of_its_dtype(value: object, dtype: str, content: bytes) -> None:
    assert taken(value) == (dtype, (), content)


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [
        ([True, False], "bool"),
        ([True, 2], "int64"),
        ((1, 2), "int64"),
        ([1, 2.5], "float64"),
        ([2**53 - 1, 0.5], "float64"),
        ([1, 2j], "complex128"),
        ([np.float64(1), 2.0], "float64"),
        ([np.float32(1), np.float32(2)], "float32"),
        ([np.uint64(2**63), np.uint64(1)], "uint64"),
    ],
)
def test_a_list_of_numbers_is_one_array_that_keeps_them_exactly(numbers: list[Any], dtype: str) -> None:
    found = bits(numbers)
    assert (found.dtype, found.shape) == (dtype, (2,))
    assert list(found.array) == list(numbers)


def test_an_empty_list_is_an_empty_float64_array() -> None:
    assert taken([]) == ("float64", (0,), b"")


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**70, [2**20000], [2**63, 1], [2**63, -1], [1, 2**70]])
def test_an_int_beyond_int64_is_refused(value: object) -> None:
    with pytest.raises(ExperimentError, match=r"an int must lie within -2\*\*63\.\.2\*\*63-1 to be kept exactly"):
        bits(value)


@pytest.mark.parametrize("value", [[2**53 + 1, 0.5], [1j, -(2**60)]])
def test_an_int_that_floats_beside_it_would_round_is_refused(value: object) -> None:
    with pytest.raises(ExperimentError, match=r"an int beside floats must lie within -2\*\*53\.\.2\*\*53-1"):
        bits(value)


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[::-1],
        lambda array: array[:, ::2],
        lambda array: array.T,
        lambda array: array.astype(array.dtype.newbyteorder(">")),
        lambda array: np.broadcast_to(array[0], (3, 4)),
        lambda array: array[1, 2],
    ],
)
@pytest.mark.parametrize("dtype", ["bool", "int16", "uint64", "float32", "complex128"])
def test_neither_strides_nor_byte_order_show(view: Callable[[Array], Array], dtype: str) -> None:
    seen = view(np.arange(12).reshape(3, 4).astype(dtype))
    assert taken(seen) == taken(np.array(seen.tolist(), dtype))
    assert bits(seen).array.flags.c_contiguous
    assert bits(seen).dtype == dtype


def test_names_that_a_platform_gives_the_same_dtype_do_not_show() -> None:
    assert taken(np.ones(2, np.longlong)) == taken(np.ones(2, np.int64))


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0, 2)])
def test_empty_and_0d_arrays_keep_their_shape(shape: tuple[int, ...]) -> None:
    assert bits(np.ones(shape)).shape == shape
    assert bits(torch.ones(shape)).shape == shape


def test_what_is_laid_out_already_is_not_copied_and_later_changes_show() -> None:
    array, tensor = np.zeros((2, 3)), torch.zeros(2, 3)
    of_array, of_tensor = bits(array), bits(tensor)
    array[0, 0] = tensor[0, 0] = 1
    assert of_array.array[0, 0] == of_tensor.array[0, 0] == 1


def test_what_is_not_is_copied_and_later_changes_do_not_show() -> None:
    array, tensor = np.zeros((2, 3)), torch.zeros(2, 3)
    of_array, of_tensor = bits(array.T), bits(tensor.T)
    array[0, 0] = tensor[0, 0] = 1
    assert of_array.array[0, 0] == of_tensor.array[0, 0] == 0


def test_bits_are_returned_as_they_are() -> None:
    once = bits([1.0])
    assert bits(once) is once


@pytest.mark.parametrize(
    "name", ["bool", "uint8", "int16", "uint16", "uint32", "int64", "uint64", "float16", "float64"]
)
def test_numpy_and_torch_give_the_same_bits(name: str) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(name)
    assert taken(torch.tensor([[0, 1], [1, 0]], dtype=getattr(torch, name))) == taken(array)


@pytest.mark.parametrize(
    ("dtype", "content"),
    [
        (torch.bfloat16, b"\x80\x3f\x00\xc0"),
        (torch.float8_e4m3fn, b"\x38\xc0"),
        (torch.float8_e5m2, b"\x3c\xc0"),
    ],
)
def test_dtypes_that_numpy_lacks_are_carried_by_unsigned_integers(dtype: torch.dtype, content: bytes) -> None:
    found = bits(torch.tensor([1.0, -2.0]).to(dtype))
    assert (found.dtype, found.shape, found.array.tobytes()) == (str(dtype).removeprefix("torch."), (2,), content)
    assert found.array.dtype == f"uint{8 * dtype.itemsize}"


def test_a_view_that_torch_negates_or_conjugates_lazily_is_resolved() -> None:
    conjugate = torch.tensor([1 + 2j]).conj()
    assert conjugate.is_conj()
    assert taken(conjugate) == taken(np.array([1 - 2j], np.complex64))
    assert conjugate.imag.is_neg()
    assert taken(conjugate.imag) == taken(np.array([-2], np.float32))


def test_a_tensor_that_requires_grad_is_taken() -> None:
    assert taken(torch.nn.Parameter(torch.ones(2)) * 2) == taken(np.full(2, 2, np.float32))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_a_tensor_on_a_gpu_has_the_bits_it_has_on_the_cpu() -> None:
    tensor = torch.arange(6.0).reshape(2, 3).T
    assert taken(tensor.cuda()) == taken(tensor)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text", r"must be a NumPy array, a torch tensor or a number, not str: 'text'"),
        (None, r"not NoneType: None"),
        ({1, 2}, r"not set: \{1, 2\}"),
        (np.ma.masked_array([1, 2], [False, True]), r"not MaskedArray: masked_array\(data=\[1, --\], mask="),
        (np.ma.masked, r"not MaskedConstant: masked"),
        (np.array([2**70]), r"dtype object has no portable bits: array\(\[118059"),
        (np.array(["a"]), r"dtype str32 has no portable bits"),
        (np.datetime64("2020", "Y"), r"dtype datetime64\[Y\] has no portable bits"),
        (np.zeros(2, [("a", "<i4")]), r"dtype void32 has no portable bits"),
        ([*range(99), "x"], r"not list: \[0, 1, 2.*\.\.\.$"),
        (torch.eye(2).to_sparse(), r"a torch.sparse_coo tensor has more than one form: give its to_dense\(\)"),
        (torch.ones(2, device="meta"), r"a tensor on meta has no data"),
    ],
)
def test_what_has_no_portable_bits_is_refused(value: object, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        bits(value)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is float64 here")
@pytest.mark.parametrize("value", [np.longdouble(1), np.ones(2, np.clongdouble)])
def test_extended_precision_is_refused(value: object) -> None:
    with pytest.raises(
        ExperimentError, match=r"dtype (float|complex)\d+ has no portable bits: .* floats up to float64"
    ):
        bits(value)


def quantized() -> torch.Tensor:
    return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


def nested() -> torch.Tensor:
    return torch.nested.as_nested_tensor([torch.ones(2), torch.ones(3)])


def half_complex() -> torch.Tensor:
    return torch.zeros(2, dtype=torch.complex32)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch calls these kinds of tensor experimental or deprecated
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (quantized, "a torch.qint8 tensor is quantized: give its dequantize"),
        (nested, "a nested tensor has no one shape"),
        (half_complex, "dtype complex32 is neither NumPy's nor one or two bytes wide"),
    ],
)
def test_tensors_of_odd_kinds_are_refused(make: Callable[[], torch.Tensor], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        bits(make())


def test_nested_mappings_and_sequences_become_one_key_a_leaf() -> None:
    leaves = flatten(
        {"model": {"weight": np.ones(2), "layers": [np.ones(1), {"bias": 0.5}]}, "loss": (0.5, 0.25), 3: 1}
    )
    assert {key: leaf.shape for key, leaf in leaves.items()} == {
        "model/weight": (2,),
        "model/layers/0": (1,),
        "model/layers/1/bias": (),
        "loss": (2,),
        "3": (),
    }
    assert all(isinstance(leaf, Bits) for leaf in leaves.values())


def test_numbers_of_several_dtypes_keep_their_own() -> None:
    leaves = flatten([np.float32(1), 2.0])
    assert {key: leaf.dtype for key, leaf in leaves.items()} == {"0": "float32", "1": "float64"}


def test_a_prefix_and_a_tree_of_one_leaf() -> None:
    assert list(flatten({"a": 1}, "run")) == ["run/a"]
    assert list(flatten(1.0, "run")) == ["run"]
    assert flatten({"a": {}}) == {}


@pytest.mark.parametrize("tree", [{"a/b": 1, "a": {"b": 2}}, {"a": [np.ones(1), 2], "a/0": 1}, {1: 1, "1": 2}])
def test_two_leaves_under_one_key_are_refused(tree: object) -> None:
    with pytest.raises(ExperimentError, match=r"two results have the same key '(a/b|a/0|1)': rename one"):
        flatten(tree)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"model": {"name": "mlp"}}, r"'model/name': a result must be .* not str: 'mlp'"),
        ({"a": [np.ones(1), None]}, r"'a/1': a result must be .* not NoneType"),
        ({"losses": [0.5, 2**70]}, r"'losses': an int beside floats must lie within"),
        ({"m": {(1, 2): 1.0}}, r"a key must be text or a number, not tuple: \(1, 2\) under 'm'"),
    ],
)
def test_what_is_refused_is_named_by_its_key(tree: object, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        flatten(tree)
