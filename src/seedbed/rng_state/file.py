"""A state in a file: its arrays as safetensors, the rest as JSON in the metadata.

Python's JSON keeps integers of any size, and writes a float64 so that it is read back the same. A digest of both finds
damage; and what is read is checked value by value and tried on a generator of its kind, since NumPy itself takes any
state, and reads beyond its arrays or draws for ever.
"""

import json
import math
import random
import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from seedbed.bits import Bits, bits
from seedbed.errors import RecordError, RngStateError
from seedbed.rng_state.generators import BIT_GENERATORS
from seedbed.rng_state.state import RngState, capture
from seedbed.storage import dumps, in_order, loads, write_whole

SCHEMA_VERSION = 1

_METADATA, _DIGEST = "seedbed.rng_state", "blake2b"
_DEVICE = re.compile(r"cpu|mps|(cuda|xpu):(0|[1-9][0-9]{0,3})")
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
    """Write a state (the one of now, if None) to a file, whole or not at all: a state is always the same file.

    Raises
    ------
    RngStateError
        If it cannot be written: naming the path and the reason.
    """
    state = capture() if state is None else state
    arrays: dict[str, Bits] = {}
    parts = {name: getattr(state, name) for name in ("python", "numpy", "torch", "generators")}
    try:
        text = json.dumps({"schema_version": SCHEMA_VERSION, **_without_arrays(parts, arrays)}, allow_nan=False)
        _read(_document({_METADATA: text}), arrays)  # what could not be read again is not written
        write_whole(Path(path), in_order(dumps(arrays, {_METADATA: text, _DIGEST: _digest(text, arrays)})))
    except RecordError as error:
        raise RngStateError(str(error)) from None
    except (RngStateError, OSError, ValueError) as error:
        raise RngStateError(f"cannot write {str(path)!r}: {error}") from None


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
        document = _document(metadata)
        if metadata.get(_DIGEST) != _digest(metadata[_METADATA], arrays):
            raise RngStateError("expected what was saved, whole and unchanged, found another digest: it is damaged")
        return _read(document, arrays)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RngStateError(f"{str(path)!r}: expected a saved state, found: {reason}") from None
    except RecordError as error:
        raise RngStateError(str(error)) from None
    except RngStateError as error:
        raise RngStateError(f"{path}: {error}") from None


def _digest(text: str, arrays: Mapping[str, Bits]) -> str:
    digest = blake2b(text.encode(), digest_size=32)
    for key, each in sorted(arrays.items()):
        digest.update(f"{key} {each.dtype} {each.shape} ".encode())
        digest.update(each.array.tobytes())
    return digest.hexdigest()


def _without_arrays(tree: Any, arrays: dict[str, Bits]) -> Any:
    """Make JSON of a tree, its arrays and tensors put into `arrays`, numbered."""
    if isinstance(tree, Mapping):
        return {name: _without_arrays(branch, arrays) for name, branch in tree.items()}
    if tree is None or isinstance(tree, str | int | float | tuple):
        return tree
    arrays[key := str(len(arrays))] = bits(tree)
    return {_ARRAY: key}


def _document(metadata: Mapping[str, str]) -> _Document:
    try:
        document = json.loads(metadata[_METADATA])
        version = document["schema_version"]
        if isinstance(version, int) and not 1 <= version <= SCHEMA_VERSION:
            raise RngStateError(
                f"schema_version: expected {SCHEMA_VERSION} or older, found {version}: upgrade Seedbed to read it"
            )
        return _with_names(msgspec.convert(document, _Document))
    except msgspec.ValidationError as error:
        raise RngStateError(str(error)) from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise RngStateError(f"expected the state of generators, found: {error!r}") from None


def _with_names(document: _Document) -> _Document:
    for device in document.torch:
        if not _DEVICE.fullmatch(device):
            raise RngStateError(f"torch: expected devices as cpu, mps, cuda:0, xpu:0, found {device!r:.60}")
    for name in document.generators:
        if not name.isprintable():
            raise RngStateError(f"generators: expected names that are printable text, found {name!r:.60}")
    return document


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
    if not all(0 <= word < 2**32 for word in state[1]) or not any(state[1][:624]):
        raise RngStateError(f"{place}: expected 32-bit words that are not all 0")
    if state[2] is not None and not math.isfinite(state[2]):
        raise RngStateError(f"{place}: expected a finite second Gaussian, found {state[2]}")
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
    _refuse_stuck(state, place)
    return dict(state)


def _refuse_stuck(state: Mapping[str, Any], place: str) -> None:
    """Refuse states that no seed leads to, and that draw the same for ever or never end."""
    inner = state["state"]
    if "key" in inner and "pos" in inner and not inner["key"].any():
        raise RngStateError(f"{place}/state/key: expected words that are not all 0")
    if "inc" in inner and inner["inc"] % 2 == 0:
        raise RngStateError(f"{place}/state/inc: expected an odd number, found {inner['inc']}")


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
    key = tree[_ARRAY] if isinstance(tree, Mapping) and tree.keys() == {_ARRAY} else None
    found = arrays.get(key) if isinstance(key, str) else None
    if found is None or found.array.dtype.name != dtype or (shape and found.shape != shape):
        what = "none" if found is None else f"{found.dtype} of shape {found.shape}"
        raise RngStateError(f"{place}: expected an array {dtype} of shape {shape or '(n,)'}, found {what}")
    return found.array.copy()


def _tensor(tree: Mapping[str, Any], place: str, arrays: Mapping[str, Bits]) -> Any:
    import torch

    tensor = torch.from_numpy(_array(tree, place, arrays, "uint8", ()))
    if place == "torch/cpu" or tensor.numel() == _CPU_BYTES:  # of a device, only that device can say
        _try(torch.Generator().set_state, tensor, place)
        _refuse_beyond(tensor.numpy(), place)
    return tensor


def _refuse_beyond(state: Any, place: str) -> None:
    """Refuse a Mersenne Twister whose two counters do not fit together: torch looks at each by itself, and reads on.

    ``left`` and ``seeded`` are int32 and ``next`` is uint64, behind the seed (aten/src/ATen/CPUGeneratorImpl.cpp).
    """
    left, following = int(state[8:12].view(np.int32)[0]), int(state[16:24].view(np.uint64)[0])
    if left + following != 625 and (left, following) != (1, 0):
        raise RngStateError(f"{place}: expected counters that fit together, found left {left} and next {following}")


def _try(take: Callable[[Any], object], state: Any, place: str) -> None:
    try:
        take(state)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise RngStateError(f"{place}: expected a state that a generator takes: {error}") from None
