"""How two results relate: to the bit, in units in the last place, and within a tolerance.

Everything rests on the integers that the bits spell, as NumPy's and PyTorch's own testing tools cannot tell 0.0 from
-0.0, or one NaN from another.

| | the same bits | a number, another number | 0.0, -0.0 | NaN, another NaN | NaN or infinity, something else |
|---|---|---|---|---|---|
| relation | identical | close or different | equal | equal | different |
| ULPs | 0 | counted | 0 | 0 | counted for an infinity, none for NaN |

A complex number is identical, equal or finite where both its parts are; its ULPs are the larger of its parts', its
difference the modulus. Integers are identical or different, whatever the tolerance, and their difference is exact.
Booleans, and dtypes with no values known here (``float8_e8m0fnu``), are identical or different and have no difference.
Arrays of another dtype or shape are different; empty ones of the same are identical.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import total_ordering
from sys import float_info
from typing import Any, NamedTuple

import msgspec
import numpy as np

from seedbed.bits import SEPARATOR, Bits, bits, flatten
from seedbed.errors import ConfigError, SeedbedError

ULP_NAN = 2**64 - 1
"""Stands for the distance between NaN and a number, which is none; no two numbers are as far apart."""

_LABELS = ("predictions", "labels")
_BLOCK = 1 << 15  # elements compared at a time: what that takes stays in the CPU's cache, and memory bounded

_Array = np.ndarray[Any, np.dtype[Any]]


@total_ordering
class Relation(Enum):
    """How two results relate, the closest first: ``IDENTICAL < EQUAL < CLOSE < DIFFERENT``."""

    IDENTICAL = "identical"
    """The same bits, dtype and shape."""
    EQUAL = "equal"
    """The same values in other bits: 0.0 for -0.0, or one NaN for another."""
    CLOSE = "close"
    """Within the tolerance."""
    DIFFERENT = "different"
    """Beyond it; or of another dtype or shape; or missing."""

    def __lt__(self, other: "Relation") -> bool:
        order = list(Relation)
        return order.index(self) < order.index(other)


class ArrayComparison(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one array relates to the one expected of it.

    JSON has no infinity: a difference beyond float64 is given as the largest float64.
    """

    relation: Relation
    reason: str = ""
    """Why nothing could be compared: ``missing ...``, ``dtype ...`` or ``shape ...``."""
    size: int = 0
    """Number of elements."""
    differing: int = 0
    """How many have other bits."""
    nonfinite: int = 0
    """How many are NaN or infinite on one side and something else on the other."""
    ulp: int | None = None
    """The largest ULP distance; None where it means nothing, as for integers."""
    absolute: float | None = None
    """The largest absolute difference of finite numbers; None where there are none that differ."""
    relative: float | None = None
    """The largest difference relative to the number expected, where that is not 0; None where there is none."""
    index: tuple[int, ...] | None = None
    """Where the difference is largest: something non-finite first, then the absolute difference."""
    actual: str = ""
    """The element there, as text: a NaN and what has no value with its bits."""
    expected: str = ""


class Comparison(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the results of one run relate to those expected."""

    relation: Relation
    """The worst of all keys."""
    compared: int
    """How many keys there are, on either side."""
    arrays: dict[str, ArrayComparison] = {}
    """The keys that are not identical."""
    labels: int | None = None
    """How many labels a model predicted: the integers and booleans under keys that end in `predictions` or `labels`."""
    flipped: int | None = None
    """How many of them are others than expected."""


def compare(
    actual: Mapping[str, object],
    expected: Mapping[str, object],
    *,
    rtol: float | None = None,
    atol: float | None = None,
) -> Comparison:
    """Compare the results of one run with those expected, key by key; each may be flattened already or not.

    Raises:
        ConfigError: where a tolerance is negative or not finite.
        ExperimentError: where one of the results is no array, tensor or number; see `seedbed.bits.flatten`.
    """
    ours, theirs = flatten(actual), flatten(expected)
    found = {key: _compare_key(ours.get(key), theirs.get(key), rtol, atol) for key in theirs | ours}
    labels = [entry for key, entry in found.items() if not entry.reason and _are_labels(key, theirs[key])]
    return Comparison(
        relation=max((entry.relation for entry in found.values()), default=Relation.IDENTICAL),
        compared=len(found),
        arrays={key: entry for key, entry in found.items() if entry.relation is not Relation.IDENTICAL},
        labels=sum(entry.size for entry in labels) if labels else None,
        flipped=sum(entry.differing for entry in labels) if labels else None,
    )


@np.errstate(all="ignore")  # overflow and signalling NaNs are what is compared, nothing to warn of
def compare_arrays(
    actual: object, expected: object, *, rtol: float | None = None, atol: float | None = None
) -> ArrayComparison:
    """Compare two arrays, tensors or numbers, or their `Bits`.

    Finite numbers are close where ``abs(actual - expected) <= atol + rtol * abs(expected)``, computed in float64. Where
    only one of `rtol` and `atol` is given, the other is 0; where neither is, both are those of
    ``torch.testing.assert_close`` for the dtype, which for float8 is 0.

    Raises:
        ConfigError: where a tolerance is negative or not finite.
        ExperimentError: where one of the two has no exact bits; see `seedbed.bits.bits`.
    """
    ours, theirs = bits(actual), bits(expected)
    tolerance = _tolerance(theirs.dtype, rtol, atol)
    size = theirs.array.size
    if reason := _mismatch(ours, theirs):
        return ArrayComparison(relation=Relation.DIFFERENT, reason=reason, size=size)
    blocks = list(_blocks(ours, theirs, tolerance))
    if not blocks:
        return ArrayComparison(relation=Relation.IDENTICAL, size=size)
    place = max(blocks, key=lambda block: block.rank).place
    return ArrayComparison(
        relation=max(block.relation for block in blocks),
        size=size,
        differing=sum(block.differing for block in blocks),
        nonfinite=sum(block.nonfinite for block in blocks),
        ulp=max((block.ulp for block in blocks if block.ulp is not None), default=None),
        absolute=max((block.absolute for block in blocks if block.absolute is not None), default=None),
        relative=max((block.relative for block in blocks if block.relative is not None), default=None),
        index=tuple(int(axis) for axis in np.unravel_index(place, ours.shape)),
        actual=_text(ours, place),
        expected=_text(theirs, place),
    )


def ulp_distance(actual: object, expected: object) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Count, element by element, the steps from one floating-point number to another, each to the next number.

    0.0 and -0.0 are one number, the largest number is one step from infinity, all NaNs are 0 apart, and NaN is
    `ULP_NAN` from any number. The distance of complex numbers is the larger of their parts'.

    Raises:
        SeedbedError: where the two differ in dtype or shape, or the dtype is not one whose ULPs are known.
        ExperimentError: where one of the two has no exact bits; see `seedbed.bits.bits`.
    """
    ours, theirs = bits(actual), bits(expected)
    if reason := _mismatch(ours, theirs):
        raise SeedbedError(f"an ULP distance needs one dtype and one shape, not {reason}")
    if ours.dtype not in _FLOATS:
        raise SeedbedError(f"an ULP distance needs a dtype among {', '.join(_FLOATS)}, not {ours.dtype}")
    return _apart(ours.dtype, ours.array.reshape(-1), theirs.array.reshape(-1)).reshape(ours.shape)


def describe(found: Comparison | ArrayComparison, name: str = "") -> str:
    """Say in one line how two results relate; `name` is what an array is called."""
    words = _WORDS[found.relation]
    if isinstance(found, ArrayComparison):
        return f"{words}: {_details(found, name)}" if found.relation > Relation.IDENTICAL else words
    if found.relation is Relation.IDENTICAL:
        return f"{words} in all {found.compared} results"
    flips = "" if found.labels is None else f"{found.flipped} of {found.labels} labels flipped; "
    key, worst = _worst(found)
    return f"{words}: {flips}{len(found.arrays)} of {found.compared} results, the worst {key}: {_details(worst)}"


def short(found: Comparison | ArrayComparison) -> str:
    """Say in 12 characters at most how two results relate: ``same``, ``4 ulp``, ``rel 3e-05``, ``2 flips``."""
    if found.relation is Relation.IDENTICAL:
        return "same"
    if isinstance(found, Comparison):
        return _counted(found.flipped, "flip") if found.flipped else short(_worst(found)[1])
    if found.relation is Relation.EQUAL:
        return "equal"
    if found.reason:
        return found.reason.split()[0]
    if found.nonfinite:
        return "nan or inf"
    if found.ulp is None:
        return f"{_few(found.differing)} differ"
    if found.ulp < 10_000:
        return f"{found.ulp} ulp"
    return f"abs {found.absolute:.0e}" if found.relative is None else f"rel {found.relative:.0e}"


_WORDS = {
    Relation.IDENTICAL: "same bits",
    Relation.EQUAL: "same values in other bits",
    Relation.CLOSE: "close",
    Relation.DIFFERENT: "different",
}


class _Float(NamedTuple):
    """What one floating-point format's bits mean, and how close `torch.testing.assert_close` wants its numbers."""

    width: int
    infinity: int
    """The bits of its infinity, or its largest number where it has none: whatever lies above is NaN."""
    rtol: float
    atol: float


_FLOATS = {
    "float16": _Float(16, 0x7C00, 1e-3, 1e-5),
    "bfloat16": _Float(16, 0x7F80, 1.6e-2, 1e-5),
    "float32": _Float(32, 0x7F80_0000, 1.3e-6, 1e-5),
    "float64": _Float(64, 0x7FF0_0000_0000_0000, 1e-7, 1e-7),
    "complex64": _Float(32, 0x7F80_0000, 1.3e-6, 1e-5),
    "complex128": _Float(64, 0x7FF0_0000_0000_0000, 1e-7, 1e-7),
    "float8_e5m2": _Float(8, 0x7C, 0.0, 0.0),
    "float8_e4m3fn": _Float(8, 0x7E, 0.0, 0.0),
}


class _Block(NamedTuple):
    """What was found in one block of elements, where their bits differ."""

    relation: Relation
    differing: int
    place: int
    rank: float = 0.0
    """How large the difference at `place` is; infinite where something is not finite."""
    nonfinite: int = 0
    ulp: int | None = None
    absolute: float | None = None
    relative: float | None = None


def _blocks(ours: Bits, theirs: Bits, tolerance: tuple[float, float]) -> Iterator[_Block]:
    actual, expected = ours.array.reshape(-1), theirs.array.reshape(-1)
    for start in range(0, actual.size, _BLOCK):
        a, e = actual[start : start + _BLOCK], expected[start : start + _BLOCK]
        places = np.flatnonzero(_differ(a, e))
        if places.size:
            yield _measure(ours.dtype, a[places], e[places], start + places, tolerance)


def _measure(dtype: str, a: _Array, e: _Array, places: _Array, tolerance: tuple[float, float]) -> _Block:
    if dtype not in _FLOATS and not _is_integer(dtype, a):
        return _Block(Relation.DIFFERENT, places.size, int(places[0]))
    rtol, atol = tolerance
    x, y, apart = _values(dtype, a), _values(dtype, e), _apart(dtype, a, e)
    number = np.isfinite(x) & np.isfinite(y) & (apart > 0)
    strange = (apart > 0) & ~number
    gap, magnitude = np.abs(x - y) if dtype in _FLOATS else apart.astype(np.float64), np.abs(y)
    # No tolerance is infinite, so that a gap beyond float64 is within none.
    beyond = number & (gap > np.minimum(atol + rtol * magnitude, float_info.max))
    gap = np.where(number, np.minimum(gap, float_info.max), 0.0)
    relation = Relation.CLOSE if number.any() else Relation.EQUAL
    place = strange.argmax() if strange.any() else gap.argmax()
    return _Block(
        relation=Relation.DIFFERENT if strange.any() or beyond.any() else relation,
        differing=places.size,
        place=int(places[place]),
        rank=float("inf") if strange.any() else float(gap[place]),
        nonfinite=int(np.count_nonzero(strange)),
        ulp=_largest_ulp(apart) if dtype in _FLOATS else None,
        absolute=float(gap.max()) if number.any() else None,
        relative=_largest_relative(gap, magnitude),
    )


def _differ(a: _Array, e: _Array) -> _Array:
    differ: _Array = _raw(a) != _raw(e)
    return differ if differ.size == a.size else differ[::2] | differ[1::2]


def _apart(dtype: str, a: _Array, e: _Array) -> _Array:
    """The ULP distance of floating-point numbers, the exact difference of integers, as uint64."""
    if dtype not in _FLOATS:
        # The signed difference may overflow; the same bits read as unsigned are right.
        return _raw(np.maximum(a, e) - np.minimum(a, e)).astype(np.uint64)
    form, ours, theirs = _FLOATS[dtype], _raw(a), _raw(e)
    sign = 1 << (form.width - 1)
    # Without its sign, a number's bits count the steps from zero to it: those of two signs add up.
    m, n = ours & (sign - 1), theirs & (sign - 1)
    apart = np.where((ours ^ theirs) >= sign, m + n, np.maximum(m, n) - np.minimum(m, n)).astype(np.uint64)
    apart[(m > form.infinity) & (n > form.infinity)] = 0
    apart[(m > form.infinity) != (n > form.infinity)] = ULP_NAN
    return apart if apart.size == a.size else np.maximum(apart[::2], apart[1::2])


def _largest_ulp(apart: _Array) -> int | None:
    largest = int(apart.max())
    if largest == ULP_NAN:
        numbers = apart[apart != ULP_NAN]
        return int(numbers.max()) if numbers.size else None
    return largest


def _largest_relative(gap: _Array, magnitude: _Array) -> float | None:
    relative = np.divide(gap, magnitude, out=np.zeros_like(gap), where=magnitude > 0)
    # No two numbers are 0 apart: where all are, nothing was divided.
    return min(float(relative.max()), float_info.max) or None


def _raw(array: _Array) -> _Array:
    """The bits as unsigned integers: one for each number, two for a complex one."""
    width = array.itemsize // 2 if array.dtype.kind == "c" else array.itemsize
    return array.view(f"<u{width}")


def _values(dtype: str, array: _Array) -> _Array:
    """The numbers, as float64 or complex128, both of which hold those of every format exactly, integers excepted."""
    return _readable(dtype, array).astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _readable(dtype: str, array: _Array) -> _Array:
    """The numbers in a dtype that NumPy has; of a dtype with no values known here, the integers that carry it."""
    if dtype == "bfloat16":
        return (array.astype("<u4") << 16).view("<f4")
    if dtype == "float8_e5m2":
        return (array.astype("<u2") << 8).view("<f2")
    if dtype == "float8_e4m3fn":
        sign, magnitude = array.astype("<u2") & 0x80, array.astype("<u2") & 0x7F
        # Its exponent counts from 7, float16's from 15: 2**8 makes up for that.
        number = ((sign << 8) | (magnitude << 7)).view("<f2") * np.float16(256)
        return np.where(magnitude == 0x7F, np.float16(np.nan), number)
    return array


def _is_integer(dtype: str, array: _Array) -> bool:
    # The integers that carry a dtype which NumPy lacks are none of its own.
    return array.dtype.kind in "iu" and array.dtype.name == dtype


def _text(taken: Bits, place: int) -> str:
    element = taken.array.reshape(-1)[place : place + 1]
    known = taken.dtype in _FLOATS or taken.dtype == element.dtype.name
    text = str(_readable(taken.dtype, element)[0]) if known else ""
    if known and "nan" not in text:
        return text
    patterns = ", ".join(f"0x{part:0{2 * part.itemsize}x}" for part in _raw(element))
    return f"{text} {patterns}".lstrip()


def _tolerance(dtype: str, rtol: float | None, atol: float | None) -> tuple[float, float]:
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not 0 <= value < float("inf"):
            raise ConfigError(f"{name} must be a finite number that is not negative, not {value!r}")
    if dtype not in _FLOATS:
        return 0.0, 0.0
    if rtol is None and atol is None:
        return _FLOATS[dtype].rtol, _FLOATS[dtype].atol
    return rtol or 0.0, atol or 0.0


def _mismatch(ours: Bits, theirs: Bits) -> str:
    differences = []
    if ours.dtype != theirs.dtype:
        differences.append(f"dtype {ours.dtype} against {theirs.dtype}")
    if ours.shape != theirs.shape:
        differences.append(f"shape {ours.shape} against {theirs.shape}")
    return ", ".join(differences)


def _compare_key(ours: Bits | None, theirs: Bits | None, rtol: float | None, atol: float | None) -> ArrayComparison:
    if ours is not None and theirs is not None:
        return compare_arrays(ours, theirs, rtol=rtol, atol=atol)
    side, present = ("actual", theirs) if ours is None else ("expected", ours)
    return ArrayComparison(
        relation=Relation.DIFFERENT,
        reason=f"missing from the {side} results",
        size=present.array.size if present is not None else 0,
    )


def _are_labels(key: str, taken: Bits) -> bool:
    discrete = taken.dtype == "bool" or _is_integer(taken.dtype, taken.array)
    return discrete and key.split(SEPARATOR)[-1] in _LABELS


def _worst(found: Comparison) -> tuple[str, ArrayComparison]:
    def badness(item: tuple[str, ArrayComparison]) -> tuple[Relation, bool, bool, float]:
        entry = item[1]
        return entry.relation, bool(entry.reason), entry.nonfinite > 0, entry.relative or entry.absolute or 0.0

    return max(found.arrays.items(), key=badness)


def _details(found: ArrayComparison, name: str = "") -> str:
    if found.reason:
        return found.reason
    facts = [f"{found.differing} of {found.size} elements"]
    if found.nonfinite:
        facts.append(f"{found.nonfinite} of them NaN or infinite")
    if found.ulp:
        facts.append(f"at most {found.ulp} ulp")
    if found.absolute is not None:
        facts.append(f"{found.absolute:.2g} abs")
    if found.relative is not None:
        facts.append(f"{found.relative:.2g} rel")
    place = f"{name}{list(found.index) if found.index else ''}"
    where = f" at {place}" if place else ""
    return f"{', '.join(facts)}, {_which(found)}{where} ({found.actual} for {found.expected})"


def _which(found: ArrayComparison) -> str:
    return "the first" if found.absolute is None else "the largest"


def _counted(count: int, noun: str) -> str:
    return f"{_few(count)} {noun}" if count == 1 else f"{_few(count)} {noun}s"


def _few(count: int) -> str:
    """A count in 5 characters at most."""
    return str(count) if count < 100_000 else f"{count:.0e}"
