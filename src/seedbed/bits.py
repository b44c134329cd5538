"""The exact bits of arrays, tensors and numbers, whichever library made them.

Everything that is fingerprinted, compared or written down goes through `Bits` first, so that NumPy and PyTorch,
CPU and GPU, and dtypes which NumPy does not have (bfloat16, float8) meet in one form.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seedbed.errors import ExperimentError

SEPARATOR = "/"
"""Joins the names of nested mappings into one key: ``{"model": {"weight": w}}`` is ``model/weight``."""

_NUMBERS = (bool, int, float, complex)

# What NumPy and PyTorch share, laid out alike on every platform: no extended precision, dates, text or objects.
_DTYPES = frozenset(
    {"bool", "float16", "float32", "float64", "complex64", "complex128"}
    | {f"{sign}int{width}" for sign in ("", "u") for width in (8, 16, 32, 64)}
)


@dataclass(frozen=True, slots=True, eq=False)
class Bits:
    """One array's exact bits.

    `dtype` is the name that NumPy and PyTorch share (``float32``, ``bfloat16``). `array` is C-contiguous and
    little-endian, of that dtype where NumPy has it, and otherwise of the unsigned integers of the same width.
    """

    dtype: str
    array: np.ndarray[Any, np.dtype[Any]]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array: for a dtype that NumPy lacks too, one integer stands for one element."""
        shape: tuple[int, ...] = self.array.shape
        return shape


def bits(value: object) -> Bits:
    """Take the exact bits of a NumPy array or scalar, a torch tensor on any device, or Python's numbers.

    bool is bool, int is int64, float is float64, complex is complex128; a list or tuple of them is one array of the
    widest, and of float64 where it is empty; of NumPy scalars, it is one array where they have one dtype.
    `Bits` are returned as they are.

    An array that is contiguous, little-endian and in main memory already is not copied: a later change to it, in
    place, changes its bits.

    Raises:
        ExperimentError: for anything else (text, objects, masked arrays, extended precision, sparse or quantized
            tensors), and for an int that int64, or among floats float64, does not hold exactly.
    """
    if isinstance(value, Bits):
        return value
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _bits_of_tensor(value)
    if isinstance(value, _NUMBERS):
        return _bits_of_array(_array_of_numbers([value]).reshape(()))
    if isinstance(value, list | tuple) and _is_one_array(value):
        return _bits_of_array(_array_of_numbers(value))
    if isinstance(value, np.ndarray | np.generic) and not isinstance(value, np.ma.MaskedArray):
        return _bits_of_array(np.asarray(value))
    raise ExperimentError(
        f"a result must be a NumPy array, a torch tensor or a number, not {type(value).__name__}: {_short(value)}"
    )


def flatten(tree: object, prefix: str = "") -> dict[str, Bits]:
    """Take the bits of a nested mapping, one key a leaf: ``{"a": {"b": x}}`` gives ``{"a/b": bits(x)}``.

    A list or tuple of numbers is one array; of anything else, its elements are named by their position.

    Raises:
        ExperimentError: naming the key, where a leaf is no array, tensor or number, two leaves share a key,
            or a key is neither text nor a number.
    """
    leaves: dict[str, Bits] = {}
    for key, leaf in _walk(tree, prefix):
        if key in leaves:
            raise ExperimentError(f"two results have the same key {key!r}: rename one")
        try:
            leaves[key] = bits(leaf)
        except ExperimentError as error:
            raise ExperimentError(f"{key!r}: {error}") from None
    return leaves


def _walk(tree: object, prefix: str) -> Iterator[tuple[str, object]]:
    if isinstance(tree, Mapping):
        for name, branch in tree.items():
            yield from _walk(branch, _join(prefix, name))
    elif isinstance(tree, list | tuple) and not _is_one_array(tree):
        for position, branch in enumerate(tree):
            yield from _walk(branch, _join(prefix, position))
    else:
        yield prefix, tree


def _join(prefix: str, name: object) -> str:
    # The text of any other object may hold its address, which is new in every process.
    if not isinstance(name, str | int | float | np.number):
        raise ExperimentError(f"a key must be text or a number, not {type(name).__name__}: {name!r} under {prefix!r}")
    return f"{prefix}{SEPARATOR}{name}" if prefix else str(name)


def _is_one_array(values: Sequence[Any]) -> bool:
    if all(isinstance(value, np.generic) for value in values):
        return len({value.dtype for value in values}) <= 1
    return all(isinstance(value, _NUMBERS) for value in values)


def _array_of_numbers(numbers: Sequence[Any]) -> np.ndarray[Any, np.dtype[Any]]:
    """Make one array, refusing what NumPy would round in silence: ``np.asarray([2**63, 1])`` is float64."""
    integers = [number for number in numbers if isinstance(number, int)]
    digits, place = (63, "") if len(integers) == len(numbers) else (53, " beside floats")
    for integer in integers:
        if not -(2**digits) <= integer < 2**digits:
            raise ExperimentError(
                f"an int{place} must lie within -2**{digits}..2**{digits}-1 to be kept exactly, not one of "
                f"{integer.bit_length()} bits: give it as a float or as several smaller ones"
            )
    return np.asarray(numbers)


def _bits_of_array(array: np.ndarray[Any, np.dtype[Any]]) -> Bits:
    name = array.dtype.name
    if name not in _DTYPES:
        raise ExperimentError(
            f"dtype {name} has no portable bits: {_short(array)}; give booleans, integers up to 64 bits, "
            "floats up to float64 or complex up to complex128"
        )
    little_endian = np.dtype(array.dtype.newbyteorder("<").str)
    return Bits(name, np.asarray(array, little_endian, order="C"))


def _bits_of_tensor(tensor: Any) -> Bits:
    import torch

    if refusal := _refusal(tensor):
        raise ExperimentError(refusal)
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    name = str(tensor.dtype).removeprefix("torch.")
    if name in _DTYPES:
        return _bits_of_array(plain.numpy())
    unsigned = {1: torch.uint8, 2: torch.uint16}.get(plain.element_size())
    if unsigned is None:
        raise ExperimentError(f"dtype {name} is neither NumPy's nor one or two bytes wide: convert it")
    return Bits(name, _bits_of_array(plain.view(unsigned).numpy()).array)


def _refusal(tensor: Any) -> str | None:
    """Say why a tensor has no one array of bits, where it has none."""
    if tensor.is_quantized:
        return f"a {tensor.dtype} tensor is quantized: give its dequantize() or int_repr()"
    if tensor.is_nested:
        return "a nested tensor has no one shape: give its unbind()"
    if str(tensor.layout) != "torch.strided":
        return f"a {tensor.layout} tensor has more than one form: give its to_dense()"
    return f"a tensor on {tensor.device} has no data: compute it first" if tensor.is_meta else None


def _short(value: object, limit: int = 60) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."
