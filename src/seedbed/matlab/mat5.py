"""Reading version 5 of the ``.mat`` format: arrays of numbers, and structs of numbers and text.

The format is published (https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf): elements, each a type, a
number of bytes, and those bytes, filled up to eight. It is read here and not by ``scipy.io.loadmat``, because damaged
bytes end the process there (a segmentation fault, SciPy 1.17), because that hands out doubles and logical values as
``uint8`` where they are stored so, and because its remedy (``mat_dtype=True``) drops imaginary parts.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seedbed.errors import MatlabError

MAX_DIMENSIONS = 32
"""As many as SciPy reads; the format has no limit."""

Value: TypeAlias = "NDArray[Any] | str | dict[str, Any]"

_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_CLASSES = (
    *("", "cell", "struct", "object", "char", "sparse", "double", "single"),
    *_INTEGERS,
    *("function handle", "object"),
)
"""A class by its number, from 1."""
_OPAQUE = 17
"""An object of a newer kind: it has no shape."""
_DTYPES = {"double": "f8", "single": "f4", "logical": "?"} | {each: each for each in _INTEGERS}

_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_NAME, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_LOGICAL, _COMPLEX = 0x200, 0x800

_HEADER = 128
_ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
"""The last four bytes of a header of version 5: the version, and what shows the order of bytes."""
_HDF5 = {b"\x00\x02IM", b"\x02\x00MI"}


@dataclass(frozen=True, slots=True)
class Variable:
    """One array of a file, of which no more than the kind is known until its value is asked for."""

    place: str
    name: str
    kind: str
    """Its class in MATLAB: ``double``, ``logical``, ``struct``, ``cell``, ..."""
    is_complex: bool
    shape: tuple[int, ...]
    rest: "_Elements"

    @property
    def is_numeric(self) -> bool:
        """Whether its value is an array of numbers or of logical values."""
        return self.kind in _DTYPES

    def value(self) -> Value:
        """Decode the value: an array of two or more dimensions in columns, text, or the fields of a 1 x 1 struct.

        Raises
        ------
        MatlabError
            If it is of another class, or damaged.
        """
        if self.is_numeric:
            return self._array()
        if self.kind == "char":
            return self._text()
        if self.kind == "struct" and prod(self.shape) == 1:
            return self._fields()
        raise MatlabError(f"{self.place}: expected numbers, text or one struct, found {self.kind} of {self.shape}")

    def _array(self) -> NDArray[Any]:
        if not self.is_complex:
            return self._part(_DTYPES[self.kind])
        if self.kind not in ("double", "single"):
            raise MatlabError(f"{self.place}: NumPy has no complex {self.kind}; in MATLAB, convert it to double")
        real, imaginary = (self._part(_DTYPES[self.kind]) for _ in range(2))
        array = np.empty(self.shape, np.result_type(real, np.complex64), order="F")
        array.real, array.imag = real, imaginary  # not real + 1j * imaginary, which loses infinities and -0.0
        return array

    def _part(self, dtype: str) -> NDArray[Any]:
        """Give numbers in the dtype of their class: a file may store doubles as small integers."""
        count = prod(self.shape)
        if count == 0:
            return np.empty(self.shape, dtype, order="F")
        code, data = self.rest.take()
        if code not in _STORED or len(data) != count * int(_STORED[code][1]):
            raise MatlabError(f"{self.place}: expected {count} numbers, found {len(data)} bytes of type {code}")
        stored = np.frombuffer(data, self.rest.order + _STORED[code])
        with np.errstate(invalid="ignore", over="ignore"):  # NaN as an integer, a double beyond the singles
            array = stored.astype(dtype)
        if not (np.can_cast(stored.dtype, dtype) or np.array_equal(array, stored)):
            raise MatlabError(f"{self.place}: expected numbers of class {self.kind}, found others ({stored.dtype})")
        return array.reshape(self.shape, order="F")

    def _text(self) -> str:
        code, data = self.rest.take()
        try:
            encoding = _TEXT[code].replace("utf-16", "utf-16-le" if self.rest.order == "<" else "utf-16-be")
            return bytes(data).decode(encoding)
        except (KeyError, UnicodeDecodeError):
            raise MatlabError(f"{self.place}: expected text, found bytes that are none (type {code})") from None

    def _fields(self) -> dict[str, Any]:
        width = self.rest.numbers(_INT32)[0]
        names = bytes(self.rest.take(_NAME)[1])
        cut = [names[start : start + width] for start in range(0, len(names), width)] if width > 0 else []
        found: dict[str, Any] = {}
        for each in cut:
            name = each.split(b"\0")[0].decode("ascii", "replace")
            field = _variable(f"{self.place}.{name}", self.rest.take(_MATRIX)[1], self.rest.order)
            if field.kind == "struct":
                raise MatlabError(f"{field.place}: expected numbers or text in a struct, found another struct")
            found[name] = field.value()
        return found


@dataclass(slots=True)
class _Elements:
    """Elements one after another, and how far they have been read."""

    place: str
    data: memoryview
    order: str
    start: int = 0

    def take(self, expected: int | None = None) -> tuple[int, memoryview]:
        """Give the type and the bytes of the next element."""
        head = self._bytes(8)
        code, size = (int(each) for each in np.frombuffer(head, f"{self.order}u4"))
        if code >> 16:  # up to four bytes, within the head
            code, size, body = code & 0xFFFF, code >> 16, head[4:]
            body = body[:size] if size <= 4 else self._cut(size)
        else:
            body = self._bytes(size)
            self.start += -size % 8 if code != _COMPRESSED else 0
        if expected not in (None, code):
            raise MatlabError(f"{self.place}: expected an element of type {expected}, found type {code}")
        return code, body

    def numbers(self, code: int) -> list[int]:
        """Give the next element's numbers of 32 bits."""
        data = self.take(code)[1]
        if len(data) == 0 or len(data) % 4:
            raise MatlabError(f"{self.place}: expected numbers of 4 bytes, found {len(data)} bytes")
        values: list[int] = np.frombuffer(data, f"{self.order}{_STORED[code]}").tolist()
        return values

    def _bytes(self, count: int) -> memoryview:
        if count > len(self.data) - self.start:
            return self._cut(count)
        self.start += count
        return self.data[self.start - count : self.start]

    def _cut(self, count: int) -> memoryview:
        left = max(0, len(self.data) - self.start)
        raise MatlabError(f"{self.place}: expected {count} bytes at byte {self.start}, found {left}: cut or damaged")


def variables(data: bytes, place: str) -> Iterator[Variable]:
    """List the variables of a file's bytes.

    Raises
    ------
    MatlabError
        Naming `place`, if the bytes are no ``.mat`` of version 5, or what says where a variable ends is damaged.
    """
    elements = _Elements(place, memoryview(data), _order(data, place), _HEADER)
    while elements.start < len(data):
        code, body = elements.take()
        if code == _COMPRESSED:
            body = _inflated(place, body, elements.order)
        elif code != _MATRIX:
            raise MatlabError(f"{place}: expected an array before byte {elements.start}, found type {code}: damaged")
        yield _variable(place, body, elements.order)


def _inflated(place: str, data: memoryview, order: str) -> memoryview:
    """Give what a compressed array holds, up to its end: the size that Octave writes of a short text is too large."""
    inflate = zlib.decompressobj()
    try:
        body = inflate.decompress(data)
    except zlib.error as error:
        raise MatlabError(f"{place}: expected a compressed array, found damaged bytes: {error}") from None
    if not inflate.eof or body[:4] != np.array(_MATRIX, f"{order}u4").tobytes():
        raise MatlabError(f"{place}: expected a compressed array, found it cut short, or something else compressed")
    return memoryview(body)[8:]


def _variable(place: str, body: memoryview, order: str) -> Variable:
    """Read the head of an array."""
    rest = _Elements(place, body, order)
    if not body:  # how an empty field of a struct may be written
        return Variable(place, "", "double", is_complex=False, shape=(0, 0), rest=rest)
    flags = rest.numbers(_UINT32)[0]
    kind = _CLASSES[flags & 0xFF] if flags & 0xFF < len(_CLASSES) else ""
    shape = () if flags & 0xFF == _OPAQUE else tuple(rest.numbers(_INT32))
    name = bytes(rest.take(_NAME)[1]).decode("ascii", "replace")
    rest.place = f"{place}: {name}" if name else place
    if not kind or (shape and not _is_shape(shape)):
        raise MatlabError(f"{rest.place}: expected an array, found class {flags & 0xFF} of shape {shape}: damaged")
    kind = "logical" if flags & _LOGICAL else kind
    return Variable(rest.place, name, kind, bool(flags & _COMPLEX), shape, rest)


def _is_shape(shape: tuple[int, ...]) -> bool:
    return 2 <= len(shape) <= MAX_DIMENSIONS and min(shape) >= 0 and prod(max(each, 1) for each in shape) < 2**60


def _order(data: bytes, place: str) -> str:
    version = data[_HEADER - 4 : _HEADER]
    if version in _HDF5 or data.startswith(b"\x89HDF"):
        raise MatlabError(f"{place}: expected a .mat file of version 5, found HDF5 (-v7.3); save it again with -v7")
    if version not in _ORDERS:
        raise MatlabError(
            f"{place}: expected a .mat file of version 5, found another kind of file (Octave's own text format, a .mat "
            "of version 4, or none); save it with -v7"
        )
    return _ORDERS[version]
