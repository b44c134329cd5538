"""Arrays to and from the bytes of a safetensors file, and files that are written whole or not at all.

A dtype that safetensors has no name for in NumPy is stored under one of the same width: bfloat16 and float8 as unsigned
integers, complex128 as pairs of float64. The file's own metadata says which: ``{"dtypes": {"key": "bfloat16"}}``.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from seedbed.bits import Bits
from seedbed.errors import RecordError

_DTYPES = "dtypes"


def dumps(arrays: Mapping[str, Bits], metadata: Mapping[str, str] | None = None) -> bytes:
    """Encode arrays, and text metadata beside them, as the bytes of a safetensors file."""
    dtypes = {key: bits.dtype for key, bits in arrays.items()}
    tensors = {key: _storable(bits.array) for key, bits in arrays.items()}
    return safetensors.numpy.save(tensors, metadata={**(metadata or {}), _DTYPES: json.dumps(dtypes)})


def in_order(data: bytes) -> bytes:
    """Sort the keys of the metadata that `dumps` encoded, which safetensors writes in another order each time."""
    found = _header(data)
    header = json.loads(found)
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the arrays begin at a multiple of 8
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(data)[8 + len(found) :]))


def loads(data: bytes, place: str) -> tuple[dict[str, Bits], dict[str, str]]:
    """Decode the arrays and the metadata that `dumps` encoded.

    Raises:
        RecordError: naming `place`, where the bytes are cut short, damaged, or not Seedbed's.
    """
    try:
        tensors = safetensors.numpy.load(data)
        metadata: dict[str, str] = json.loads(_header(data))["__metadata__"]
        dtypes: dict[str, str] = json.loads(metadata.pop(_DTYPES))
        return {key: _restored(tensors[key], dtype) for key, dtype in dtypes.items()}, metadata
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{place}: expected a whole safetensors file of Seedbed's, found: {error!r}") from None


def _header(data: bytes) -> bytes:
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def _storable(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.complex128:
        return np.stack([array.real, array.imag], axis=-1)
    return array


def _restored(array: np.ndarray, dtype: str) -> Bits:
    if dtype == "complex128":
        return Bits(dtype, array.view(np.complex128).reshape(array.shape[:-1]))
    return Bits(dtype, array)


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file so that it is there whole or not at all, also after a kill; if `durable`, after a power cut too.

    Raises:
        RecordError: naming the path and the reason (a full disk, a folder that may not be written).
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise RecordError(f"cannot write {path}: {error.strerror}") from None
