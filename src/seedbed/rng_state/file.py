"""A state in a file: its arrays as safetensors, the rest as JSON in the metadata.

Python's JSON keeps integers of any size, and writes a float64 so that it is read back the same. What is read is checked
value by value and tried on a generator of its kind: NumPy itself takes any, and reads beyond its arrays.
"""

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from seedbed.bits import Bits, bits
from seedbed.errors import RecordError, RngStateError
from seedbed.rng_state.generators import BIT_GENERATORS
from seedbed.rng_state.state import RngState, capture
from seedbed.storage import dumps, loads, write_whole

SCHEMA_VERSION = 1

_METADATA = "seedbed.rng_state"
_ARRAY = "array"  # {"array": KEY} stands in the JSON for an array of the file
_CPU_BYTES = 5056  # of a state of torch's CPU generator
_MOST = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "uinteger": 2**32 - 1, "has_gauss": 1}
"""The largest value of an integer in a state of NumPy's, by name; of all others 2**128 - 1."""


class _Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The JSON."""

    schema_version: int
    python: list[Any]
    numpy: dict[str, Any] | None
    torch: dict[str, dict[str, str]]
    generators: dict[str, list[Any] | dict[str, Any]]


def save(path: str | Path, state: RngState | None = None) -> None:
    """Write a state (the one of now, if None) to a file, whole or not at all.

    Raises
    ------
    RngStateError
        If it cannot be written: naming the path and the reason.
    """
    state = capture() if state is None else state
    arrays: dict[str, Bits] = {}
    parts = {name: getattr(state, name) for name in ("python", "numpy", "torch", "generators")}
    document = {"schema_version": SCHEMA_VERSION, **_without_arrays(parts, "", arrays)}
    try:
        write_whole(Path(path), dumps(arrays, {_METADATA: json.dumps(document, allow_nan=False)}))
    except RecordError as error:
        raise RngStateError(str(error)) from None


def load(path: str | Path) -> RngState:
    """Read a state that `save` wrote, and see that generators take it; none of the program's own is touched.

    Raises
    ------
    RngStateError
        If the file is missing, cut short, damaged, or none of a state, or a newer Seedbed wrote it: one line that
        names the file, the place in it, and what was expected.
    """
    try:
        arrays, metadata = loads(Path(path).read_bytes(), str(path))
        return _read(_document(metadata), arrays)
    except OSError as error:
        raise RngStateError(f"{path}: expected a saved state, found: {error.strerror}") from None
    except RecordError as error:
        raise RngStateError(str(error)) from None
    except RngStateError as error:
        raise RngStateError(f"{path}: {error}") from None


def _without_arrays(tree: Any, place: str, arrays: dict[str, Bits]) -> Any:
    """Make JSON of a tree, its arrays and tensors put into `arrays` by their place in it."""
    if isinstance(tree, Mapping):
        start = f"{place}/" if place else ""
        return {name: _without_arrays(branch, f"{start}{name}", arrays) for name, branch in tree.items()}
    if tree is None or isinstance(tree, str | int | float | tuple):
        return tree
    arrays[place] = bits(tree)
    return {_ARRAY: place}


def _document(metadata: Mapping[str, str]) -> _Document:
    try:
        document = json.loads(metadata[_METADATA])
        version = document["schema_version"]
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise RngStateError(
                f"schema_version: expected {SCHEMA_VERSION} or older, found {version}: upgrade Seedbed to read it"
            )
        return msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        raise RngStateError(str(error)) from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise RngStateError(f"expected the state of generators, found: {error!r}") from None


def _read(document: _Document, arrays: Mapping[str, Bits]) -> RngState:
    return RngState(
        python=_python(document.python, "python"),
        numpy=None if document.numpy is None else _numpy(document.numpy, "numpy", arrays),
        torch={name: _tensor(each, f"torch/{name}", arrays) for name, each in document.torch.items()},
        generators={name: _generator(each, f"generators/{name}", arrays) for name, each in document.generators.items()},
    )


def _generator(tree: Any, place: str, arrays: Mapping[str, Bits]) -> Any:
    if isinstance(tree, list):
        return _python(tree, place)
    return _tensor(tree, place, arrays) if tree.keys() == {_ARRAY} else _numpy(tree, place, arrays)


def _python(tree: list[Any], place: str) -> tuple[Any, ...]:
    try:
        state = msgspec.convert(tree, tuple[int, tuple[int, ...], float | None])
    except msgspec.ValidationError as error:
        raise RngStateError(f"{place}: {error}") from None
    _try(random.Random().setstate, state, place)
    return state


def _numpy(tree: Mapping[str, Any], place: str, arrays: Mapping[str, Bits]) -> dict[str, Any]:
    name = tree.get("bit_generator")
    if name not in BIT_GENERATORS:
        raise RngStateError(f"{place}/bit_generator: expected one of {', '.join(BIT_GENERATORS)}, found {name!r}")
    generator = getattr(np.random, name)(0)
    if "has_gauss" in tree:  # of a RandomState
        legacy = np.random.RandomState(generator)
        state = _like(legacy.get_state(legacy=False), tree, place, arrays)
        _try(legacy.set_state, state, place)
    else:
        state = _like(generator.state, tree, place, arrays)
        _try(lambda checked: setattr(generator, "state", checked), state, place)
    return dict(state)


def _like(model: Any, tree: Any, place: str, arrays: Mapping[str, Bits]) -> Any:
    """Read a state of NumPy's that has the form of `model`: the same names, and under each the same kind of value."""
    if isinstance(model, Mapping):
        if not isinstance(tree, Mapping) or tree.keys() != model.keys():
            raise RngStateError(f"{place}: expected an object with {', '.join(model)}, found {tree!r:.60}")
        return {name: _like(inner, tree[name], f"{place}/{name}", arrays) for name, inner in model.items()}
    if isinstance(model, np.ndarray):
        return _array(tree, place, arrays, model.dtype.name, model.shape)
    most = _MOST.get(place.rpartition("/")[2], 2**128 - 1)
    if isinstance(model, int) and not (type(tree) is int and 0 <= tree <= most):
        raise RngStateError(f"{place}: expected an integer in 0..{most}, found {tree!r:.60}")
    if isinstance(model, float) and type(tree) is not float:
        raise RngStateError(f"{place}: expected a number with a fraction, found {tree!r:.60}")
    return tree


def _array(tree: Any, place: str, arrays: Mapping[str, Bits], dtype: str, shape: tuple[int, ...]) -> Any:
    found = arrays.get(tree[_ARRAY]) if isinstance(tree, Mapping) and tree.keys() == {_ARRAY} else None
    if found is None or found.dtype != dtype or (shape and found.shape != shape):
        what = "none" if found is None else f"{found.dtype} of shape {found.shape}"
        raise RngStateError(f"{place}: expected an array {dtype} of shape {shape or '(n,)'}, found {what}")
    return found.array.copy()


def _tensor(tree: Mapping[str, Any], place: str, arrays: Mapping[str, Bits]) -> Any:
    import torch

    tensor = torch.from_numpy(_array(tree, place, arrays, "uint8", ()))
    if place == "torch/cpu" or tensor.numel() == _CPU_BYTES:  # of a device, only that device can say
        _try(torch.Generator().set_state, tensor, place)
    return tensor


def _try(take: Callable[[Any], object], state: Any, place: str) -> None:
    try:
        take(state)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise RngStateError(f"{place}: expected a state that a generator takes: {error}") from None
