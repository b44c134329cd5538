"""Arrays and the state of a stream, to and from MATLAB's and Octave's ``.mat`` files, with their bits.

The format is version 5, which MATLAB writes with ``save -v7`` (its default) and ``-v6``, Octave with these options
(https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf). SciPy writes it, `seedbed.matlab.mat5` reads it
and says why; nothing in a file is ever executed or unpickled.
"""

import re
from collections.abc import Mapping
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seedbed.errors import MatlabError, RecordError, shown
from seedbed.matlab.mat5 import MAX_DIMENSIONS, Variable, variables
from seedbed.matlab.sizes import as_array
from seedbed.matlab.twister import COLUMN_WORDS, checked_column
from seedbed.seeding import check_seed
from seedbed.storage import write_whole

StrPath: TypeAlias = str | PathLike[str]

_DTYPES = {np.dtype(each) for each in ("f8", "f4", "c16", "c8", "?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")}
"""Those that MATLAB has a class for."""

_KEYWORDS = re.compile(
    "break|case|catch|classdef|continue|else|elseif|end|for|function|global|if|otherwise|parfor|persistent|return|spmd|"
    "switch|try|while"
)
"""What ``iskeyword`` lists (https://www.mathworks.com/help/matlab/ref/iskeyword.html)."""

_TEXT = b"MATLAB 5.0 MAT-file, written by Seedbed".ljust(116)
"""The first bytes of a header; what else is in them is for people, and SciPy writes the date there."""


class HasState(Protocol):
    """A stream whose `state` is MATLAB's: 625 x 1 uint32, 624 words of MT19937 and the position among them."""

    @property
    def state(self) -> NDArray[np.uint32]:
        """As ``s = rng; s.State``."""

    @state.setter
    def state(self, state: NDArray[np.uint32], /) -> None: ...


def save_mat(path: StrPath, arrays: Mapping[str, ArrayLike]) -> None:
    """Write arrays as variables of a ``.mat`` file that MATLAB and Octave ``load``; whole or not at all.

    The same arrays give the same bytes: no date and no platform is written, and nothing is compressed.

    Parameters
    ----------
    path
        The file; one that is there is replaced.
    arrays
        Names that MATLAB takes, and an array of each: float64 (``double``), float32 (``single``), integers of 8 to 64
        bits, with sign or without, bool (``logical``), complex128 and complex64; in either order of memory. One of two
        or more dimensions keeps its shape, element ``[i, j]`` is MATLAB's ``(i+1, j+1)``. A number becomes 1 x 1, an
        array of one dimension a row, as ``1:n`` and ``rand(1, n)`` are: for a column give ``x[:, None]``.

    Raises
    ------
    MatlabError
        If there is no array, a name is none that MATLAB takes, a dtype has no class there, an array has 2 GiB or more,
        more than 32 dimensions or one of 2**31 or more, or the file cannot be written.
    """
    if not arrays:
        raise MatlabError(f"{path}: no array to save; give at least one, as {{'x': array}}")
    _write(Path(path), {_checked_name(name): _checked_array(name, value) for name, value in arrays.items()})


def load_mat(path: StrPath, *names: str) -> dict[str, NDArray[Any]]:
    """Read arrays from a ``.mat`` file of MATLAB's or Octave's.

    Parameters
    ----------
    path
        A file that ``save`` wrote with ``-v7`` (MATLAB's default) or ``-v6``; Octave needs one of the two options.
    names
        The variables to read; without any, all, which then must all be arrays of numbers.

    Returns
    -------
    dict
        Each array in the class that it has in MATLAB (`save_mat` lists them), of two or more dimensions as everything
        there, in columns (Fortran order), in this machine's order of bytes.

    Raises
    ------
    MatlabError
        If the file cannot be read, is no ``.mat``, is of another version (4; 7.3, which is HDF5), is cut short or
        damaged, holds no variable, two of one name or not the one asked for, or one is no array of numbers: text, a
        cell, a struct, a sparse matrix, an object, a function handle. A file that is cut exactly between two variables
        looks whole: name the variables that must be there.
    """
    return {name: _numbers(variable) for name, variable in _read(path, names).items()}


def save_state(path: StrPath, stream: HasState, *, name: str = "s", seed: SupportsIndex | None = None) -> None:
    """Write a stream's state as ``s = rng; save state.mat s`` does: in MATLAB, ``load state.mat; rng(s)`` goes on.

    In Octave, which has no such struct::

        load state.mat; rand("twister", [double(s.State(1:624)); 625 - double(s.State(625))])

    Parameters
    ----------
    path
        The file; one that is there is replaced.
    stream
        What has MATLAB's `state`, as `MatlabRandom`. (`OctaveRandom` has three, each an array that `save_mat` takes.)
    name
        The variable.
    seed
        What ``s.Seed`` says, 0..2**32-1; if None, the stream's own `seed`, or 0. MATLAB shows it, and draws nothing
        from it: the state is `stream`'s. That MATLAB accepts a struct that it has not written is not confirmed by
        anything published; three lines settle it::

            load state.mat; rng(s)
            r = rng; isequal(r.State, s.State)  % 1
            rand                                % what the stream draws next

    Raises
    ------
    MatlabError
        If the state is none that `MatlabRandom.state` takes, the name is none that MATLAB takes, or the file cannot be
        written.
    SeedError
        If `seed` is no integer in 0..2**32-1.
    """
    words = checked_column(stream.state, f"the state of {shown(stream)}")
    number = check_seed(getattr(stream, "seed", 0) if seed is None else seed)
    struct = {"Type": "twister", "Seed": np.uint32(number), "State": words[:, None]}
    _write(Path(path), {_checked_name(name): struct})


def load_state(path: StrPath, stream: HasState, *, name: str = "s") -> None:
    """Set a stream's state to what ``s = rng; save state.mat s`` wrote in MATLAB, or `save_state` here.

    Parameters
    ----------
    path
        The file, as for `load_mat`.
    stream
        What takes MATLAB's `state`, as `MatlabRandom`. Its `seed` stays what it was made with.
    name
        The variable.

    Raises
    ------
    MatlabError
        As `load_mat`, and if the variable is no struct with ``Type`` (``'twister'``), ``Seed`` and ``State`` (what
        `MatlabRandom.state` takes). The stream is then as it was.
    """
    variable = _read(path, (name,))[name]
    fields = variable.value()
    if not isinstance(fields, dict) or set(fields) != {"Type", "Seed", "State"}:
        raise MatlabError(
            f"{variable.place}: expected a struct with the fields Type, Seed and State, as `s = rng` gives it, found "
            f"{variable.kind} of {variable.shape}"
        )
    if fields["Type"] != "twister":
        raise MatlabError(
            f"{variable.place}.Type: only 'twister' can go on here, found {shown(fields['Type'])}; in MATLAB, start "
            "with rng(0, 'twister')"
        )
    stream.state = checked_column(fields["State"], f"{variable.place}.State")[:, None]


def to_octave(state: ArrayLike) -> NDArray[np.float64]:
    """Give MATLAB's state as Octave's ``rand("twister", v)`` takes it: 625 x 1 double, the last is the words left.

    ::

        save_mat("state.mat", {"v": to_octave(stream.state)})  # in Octave: load state.mat; rand("twister", v)

    MATLAB's last number is the position, 1..624 words used; Octave's is ``625 - position``,
    as comparing with Octave 7.3 shows. Octave's `rand` then goes on with the same doubles; its
    `randn` and the rest have states of their own.

    Raises
    ------
    MatlabError
        If `state` is none that `MatlabRandom.state` takes: Octave would take some of those as seeds.
    """
    return _turned(state, "MATLAB's state").astype(np.float64)


def from_octave(vector: ArrayLike) -> NDArray[np.uint32]:
    """Give Octave's ``v = rand("twister")`` as MATLAB's state, 625 x 1 uint32, the last is the position.

    ::

        stream.state = from_octave(load_mat("state.mat")["v"])  # in Octave: v = rand("twister"); save -v7 state.mat v

    Raises
    ------
    MatlabError
        If `vector` is none that `OctaveRandom.set_state` takes.
    """
    return _turned(vector, "Octave's state")


def _turned(state: ArrayLike, what: str) -> NDArray[np.uint32]:
    """Count the last word from the other end."""
    words = checked_column(state, what)
    words[-1] = COLUMN_WORDS - words[-1]
    return words[:, None]


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", name) or _KEYWORDS.fullmatch(name):
        raise MatlabError(
            f"a variable's name in MATLAB is a letter, then letters, digits and underscores of ASCII, 63 at most, and "
            f"no keyword, not {shown(name)} ({type(name).__name__})"
        )
    return name


def _checked_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Check that MATLAB has a class for it, in this machine's order of bytes."""
    array = np.atleast_2d(as_array(value))
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in _DTYPES:
        raise MatlabError(
            f"{name}: MATLAB has no class for dtype {array.dtype}; convert it to float64, float32, an integer of 8 to "
            "64 bits, bool, complex128 or complex64"
        )
    if array.nbytes >= 2**31:
        raise MatlabError(
            f"{name}: a variable of a .mat file has less than 2 GiB, not {array.nbytes:,} bytes; save parts"
        )
    if array.ndim > MAX_DIMENSIONS or max(array.shape) >= 2**31:
        raise MatlabError(
            f"{name}: an array of a .mat file has at most {MAX_DIMENSIONS} dimensions here, each below 2**31, not the "
            f"shape {shown(array.shape)}"
        )
    return array


def _write(path: Path, variables: Mapping[str, object]) -> None:
    import scipy.io

    file = BytesIO()
    scipy.io.savemat(file, variables, format="5", oned_as="row", appendmat=False)
    try:
        write_whole(path, _TEXT + file.getvalue()[len(_TEXT) :])
    except RecordError as error:
        raise MatlabError(str(error)) from None


def _read(path: StrPath, names: tuple[str, ...]) -> dict[str, Variable]:
    """Find variables by name, or all; each once."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise MatlabError(f"cannot read {path}: {error.strerror}") from None
    found: dict[str, Variable] = {}
    for each in variables(data, str(path)):
        if each.name in found:
            raise MatlabError(f"{path}: two variables of the name {each.name!r}")
        found[each.name] = each
    if not found:
        raise MatlabError(f"{path}: expected variables, found none: the file is empty, or cut after its header")
    for name in names:
        if name not in found:
            raise MatlabError(f"{path}: no variable {shown(name)}; it holds {', '.join(found)}")
    return {name: found[name] for name in names or found}


def _numbers(variable: Variable) -> NDArray[Any]:
    value = variable.value() if variable.is_numeric else None
    if not isinstance(value, np.ndarray):
        raise MatlabError(
            f"{variable.place}: expected an array of numbers, found {variable.kind}; load_mat(path, 'x') reads x only"
        )
    return value
