"""The exact bits of arrays, tensors and numbers, whichever library made them.

Everything that is fingerprinted, compared or written down goes through `Bits` first, so that NumPy and PyTorch,
CPU and GPU, and dtypes which NumPy does not have (bfloat16, float8) meet in one form.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seedbed.errors import ExperimentError

SEPARATOR = "/"
"""Joins the names of nested mappings into one key: ``{"model": {"weight": w}}`` is ``model/weight``."""

_NUMPY_KINDS = "biufc"  # booleans, integers, floats, complex: what has bits that mean a number
_NUMBERS = (bool, int, float, complex)


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
    """Take the exact bits of a NumPy array or scalar, a torch tensor on any device, or a Python number.

    A Python int must fit in int64; float is float64, complex is complex128, bool is bool.

    Raises:
        ExperimentError: for anything else (text, objects, sparse or quantized tensors, extended precision).
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _bits_of_tensor(value)
    if isinstance(value, _NUMBERS | np.ndarray | np.generic) and not isinstance(value, np.ma.MaskedArray):
        return _bits_of_array(np.asarray(value), value)
    raise ExperimentError(
        f"a result must be a NumPy array, a torch tensor or a number, not {type(value).__name__}: {_short(value)}"
    )


def flatten(tree: object, prefix: str = "") -> dict[str, Bits]:
    """Take the bits of a nested mapping, one key a leaf: ``{"a": {"b": x}}`` gives ``{"a/b": bits(x)}``.

    A list or tuple of numbers is one array; of anything else, its elements are named by their position.

    Raises:
        ExperimentError: naming the key, where a leaf is no array, tensor or number, or two leaves share a key.
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
            yield from _walk(branch, f"{prefix}{SEPARATOR}{name}" if prefix else str(name))
    elif isinstance(tree, list | tuple) and not all(isinstance(leaf, _NUMBERS) for leaf in tree):
        for position, branch in enumerate(tree):
            yield from _walk(branch, f"{prefix}{SEPARATOR}{position}" if prefix else str(position))
    else:
        yield prefix, np.asarray(tree) if isinstance(tree, list | tuple) else tree


def _bits_of_array(array: np.ndarray[Any, np.dtype[Any]], value: object) -> Bits:
    if array.dtype.kind not in _NUMPY_KINDS or array.dtype.itemsize // (2 if array.dtype.kind == "c" else 1) > 8:
        raise ExperimentError(
            f"dtype {array.dtype} has no portable bits: {_short(value)}; give booleans, integers up to 64 bits, "
            "floats up to float64 or complex up to complex128"
        )
    return Bits(array.dtype.name, np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape))


def _bits_of_tensor(tensor: Any) -> Bits:
    import torch

    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise ExperimentError(f"a {tensor.layout} tensor has no one form: give its to_dense() or dequantize()")
    name = str(tensor.dtype).removeprefix("torch.")
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    if hasattr(np, name) and name != "complex32":
        return Bits(name, plain.numpy())
    unsigned = {1: torch.uint8, 2: torch.uint16}.get(plain.element_size())
    if unsigned is None:
        raise ExperimentError(
            f"dtype {name} is neither NumPy's nor one or two bytes wide: convert it before returning it"
        )
    return Bits(name, plain.view(unsigned).numpy())


def _short(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
