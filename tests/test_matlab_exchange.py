"""Files of MATLAB's, written and read: bits, shapes and classes kept, anything else refused with its place."""

import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from seedbed.errors import MatlabError, SeedError
from seedbed.matlab import MatlabRandom, OctaveRandom
from seedbed.matlab.exchange import from_octave, load_mat, load_state, save_mat, save_state, to_octave

PROPERTY = settings(deadline=None, derandomize=True)
DTYPES = ("f8", "f4", "c16", "c8", "?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1 / 3], "f8")
ODD_NAN = np.array([[0x7FF8DEADBEEF0001, 0xFFF0000000000001]], "u8").view("f8")


class Stream:
    """Any stream with MATLAB's state."""

    def __init__(self, state: Any) -> None:
        self.state = state


def fresh(seed: int) -> Any:
    """The state of MATLAB's generator, 624 words and the position."""
    state: Any = np.random.RandomState(seed).get_state(legacy=False)
    return np.append(state["state"]["key"], state["state"]["pos"]).astype(np.uint32)[:, None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "some.mat"


def same(actual: Any, expected: Any) -> bool:
    found, wanted = ((x.dtype, x.shape, x.tobytes()) for x in (actual, expected))
    return bool(found == wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 1), (2, 3, 4), (2, 1, 1, 3), (0, 0), (3, 0), (2, 3, 1)])
def test_every_class_comes_back(dtype: str, shape: tuple[int, ...], file: Path) -> None:
    rng = np.random.RandomState(1)
    x = rng.randint(0, 2, shape).astype(dtype) if dtype == "?" else (100 * rng.random_sample(shape)).astype(dtype)
    for array in (x, np.asfortranarray(x), x[::-1], x.astype(x.dtype.newbyteorder(">"))):
        save_mat(file, {"x": array})
        loaded = load_mat(file)["x"]
        assert same(loaded, array.astype(dtype))
        assert loaded.flags.f_contiguous
        assert loaded.flags.writeable


@pytest.mark.parametrize("dtype", [each for each in DTYPES if each not in ("?", "c16", "c8", "f8", "f4")])
def test_the_ends_of_every_integer(dtype: str, file: Path) -> None:
    ends = np.array([[np.iinfo(dtype).min, np.iinfo(dtype).max, 1]], dtype)
    save_mat(file, {"x": ends})
    assert same(load_mat(file)["x"], ends)


def test_infinities_nan_and_negative_zero_keep_their_bits(file: Path) -> None:
    both = (SPECIAL[:, None] + np.zeros((1, SPECIAL.size))).astype(complex)
    both.real, both.imag = SPECIAL[:, None], SPECIAL[None, :]
    save_mat(file, {"nan": ODD_NAN, "z": both, "single": both.astype("c8")})
    loaded = load_mat(file)
    assert same(loaded["nan"], ODD_NAN)
    assert same(loaded["z"], both)
    assert same(loaded["single"], both.astype("c8"))


def test_a_number_is_1_by_1_and_one_dimension_a_row(file: Path) -> None:
    save_mat(file, {"number": 2.5, "row": [1.0, 2.0], "none": np.zeros(0), "column": np.arange(3.0)[:, None]})
    shapes = {name: x.shape for name, x in load_mat(file).items()}
    assert shapes == {"number": (1, 1), "row": (1, 2), "none": (1, 0), "column": (3, 1)}


def test_element_i_j_stays_where_it_is(file: Path) -> None:
    save_mat(file, {"x": np.arange(6.0).reshape(2, 3), "cube": np.arange(24, dtype="i4").reshape(2, 3, 4)})
    assert np.array_equal(load_mat(file, "x")["x"], [[0, 1, 2], [3, 4, 5]])
    assert load_mat(file, "cube")["cube"][1, 2, 3] == 23


@PROPERTY
@given(npst.arrays(st.sampled_from(DTYPES), npst.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=4)))
def test_any_array_comes_back_and_scipy_reads_it(array: Any) -> None:
    from seedbed.matlab.mat5 import variables

    written: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seedbed.matlab.exchange.write_whole", lambda _, data: written.append(data))
        save_mat("x.mat", {"x": array})
    assert same(next(variables(written[0], "x.mat")).value(), array)
    theirs = scipy.io.loadmat(BytesIO(written[0]))["x"]
    assert np.array_equal(theirs.astype(array.dtype), array, equal_nan=array.dtype.kind in "fc")


@pytest.mark.parametrize("compressed", [False, True])
def test_what_scipy_writes_is_read(compressed: bool, file: Path) -> None:
    x, z = np.arange(1000.0).reshape(10, 100), np.array([[1 + 2j, -3j]])
    scipy.io.savemat(file, {"x": x, "z": z, "b": np.array([[True]]), "text": "a"}, do_compression=compressed)
    loaded = load_mat(file, "x", "z", "b")
    assert same(loaded["x"], x)
    assert same(loaded["z"], z)
    assert loaded["b"].dtype == bool


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_mat(tmp_path / "a.mat", {"x": SPECIAL})
    monkeypatch.setattr("time.asctime", lambda: "another day")
    save_mat(tmp_path / "b.mat", {"x": SPECIAL})
    assert (tmp_path / "a.mat").read_bytes() == (tmp_path / "b.mat").read_bytes()
    assert b"posix" not in (tmp_path / "a.mat").read_bytes()


def element(code: int, data: bytes, order: str = "<") -> bytes:
    return np.array([code, len(data)], f"{order}u4").tobytes() + data + bytes(-len(data) % 8)


def mat(*bodies: bytes, order: str = "<") -> bytes:
    """A file of arrays, from what is in each after its tag."""
    header = bytes(124) + (b"\x00\x01IM" if order == "<" else b"\x01\x00MI")
    return header + b"".join(element(14, body, order) for body in bodies)


def body(flags: int, shape: tuple[int, ...], data: bytes, name: bytes = b"x", order: str = "<") -> bytes:
    head = element(6, np.array([flags, 0], f"{order}u4").tobytes(), order)
    return head + element(5, np.array(shape, f"{order}i4").tobytes(), order) + element(1, name, order) + data


def test_doubles_that_are_stored_as_small_integers_are_doubles(file: Path) -> None:
    """As MATLAB stores them: the format's compression of its own."""
    file.write_bytes(mat(body(6, (1, 3), element(2, bytes([1, 2, 255]))), body(12, (1, 1), element(1, b"\xff"), b"i")))
    assert same(load_mat(file)["x"], np.array([[1.0, 2.0, 255.0]]))
    assert same(load_mat(file)["i"], np.array([[-1]], "i4"))


def test_the_other_order_of_bytes(file: Path) -> None:
    numbers = np.array([1.5, -2.5]).astype(">f8").tobytes()
    file.write_bytes(mat(body(6, (1, 2), element(9, numbers, ">"), order=">"), order=">"))
    assert same(load_mat(file)["x"], np.array([[1.5, -2.5]]))


NAME = "a letter, then letters, digits and underscores"


@pytest.mark.parametrize("name", ["", "1a", "_a", "a b", "a-b", "é", "a" * 64, "end", "for", "a\n", 3, None])
def test_names_that_matlab_does_not_take(name: Any, file: Path) -> None:
    with pytest.raises(MatlabError, match=NAME):
        save_mat(file, {name: 1.0})
    assert not file.exists()
    save_mat(file, {"a" * 63: 1.0, "End": 2.0, "x_1": 3.0})
    assert list(load_mat(file)) == ["a" * 63, "End", "x_1"]


@pytest.mark.parametrize(
    "value", ["text", None, [None], [[1], [1, 2]], np.float16(1), {"a": 1}, np.datetime64("2020-01-01"), b"x"]
)
def test_arrays_that_matlab_has_no_class_for(value: Any, file: Path) -> None:
    with pytest.raises(MatlabError, match="x: MATLAB has no class for dtype"):
        save_mat(file, {"good": 1.0, "x": value})
    assert not file.exists()


def test_nothing_to_save_too_much_and_nowhere(file: Path, tmp_path: Path) -> None:
    with pytest.raises(MatlabError, match="no array to save"):
        save_mat(file, {})
    with pytest.raises(MatlabError, match="x: a variable of a .mat file has less than 2 GiB, not 2,147,483,648 bytes"):
        save_mat(file, {"x": np.broadcast_to(np.int8(0), (2**31,))})
    save_mat(file, {"x": np.zeros((1,) * 32), "none": np.zeros((2**31 - 1, 0))})
    assert {name: x.shape for name, x in load_mat(file).items()} == {"x": (1,) * 32, "none": (2**31 - 1, 0)}
    file.unlink()
    for shape in ((1,) * 33, (2**31, 0)):
        with pytest.raises(MatlabError, match="x: an array of a .mat file has at most 32 dimensions here, each below"):
            save_mat(file, {"x": np.zeros(shape)})
    with pytest.raises(MatlabError, match="cannot write .*No such file or directory"):
        save_mat(tmp_path / "no" / "x.mat", {"x": 1.0})
    save_mat(file, {"x": 1.0})
    with pytest.raises(MatlabError):
        save_mat(file, {"x": "text"})
    assert load_mat(file)["x"] == 1
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "found another kind of file"),
        (b"# Created by Octave 7.3.0\n" * 10, "found another kind of file"),
        (bytes(200), "found another kind of file"),
        (
            b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384),
            r"found HDF5 \(-v7.3\); save it again with -v7",
        ),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "found HDF5"),
        (mat(), "found none: the file is empty, or cut after its header"),
        (mat() + element(9, bytes(8)), "expected an array before byte 144, found type 9"),
        (mat() + b"abc", "expected 8 bytes at byte 128, found 3"),
        (mat(body(6, (1, 1), b"")), "x: expected 8 bytes at byte 48, found 0"),
        (mat(body(6, (1, 5), np.array([5 << 16 | 2, 0], "<u4").tobytes())), "x: expected 5 bytes at byte 56, found 0"),
        (mat(body(6, (1, 2), element(9, bytes(8)))), "x: expected 2 numbers, found 8 bytes of type 9"),
        (mat(body(6, (1, 1), element(99, bytes(8)))), "x: expected 1 numbers, found 8 bytes of type 99"),
        (mat(body(6, (-1, -1), element(9, bytes(8)))), r"expected an array, found class 6 of shape \(-1, -1\)"),
        (mat(body(6, (1,), element(9, bytes(8)))), "found class 6 of shape"),
        (mat(body(6, (2**31 - 1, 2**31 - 1), element(9, bytes(8)))), "found class 6 of shape"),
        (mat(body(18, (1, 1), element(9, bytes(8)))), "found class 18"),  # one more than there are
        (mat(body(99, (1, 1), element(9, bytes(8)))), "found class 99"),
        (
            mat(body(8, (1, 1), element(9, np.array([300.5]).tobytes()))),
            r"numbers of class int8, found others \(float64\)",
        ),
        (mat(body(8, (1, 1), element(9, np.array([np.nan]).tobytes()))), "numbers of class int8, found others"),
        (mat(body(7, (1, 1), element(9, np.array([1e300]).tobytes()))), "numbers of class single, found others"),
        (mat(body(0x209, (1, 1), element(2, b"\x02"))), "numbers of class logical"),
        (
            mat(body(0x808, (1, 1), element(1, b"\x02"))),
            "x: NumPy has no complex int8; in MATLAB, convert it to double",
        ),
        (mat(element(9, bytes(8))), "expected an element of type 6, found type 9"),
        (mat(element(6, b"")), "expected numbers of 4 bytes, found 0 bytes"),
        (mat(*[body(6, (1, 1), element(9, bytes(8)))] * 2), "two variables of the name 'x'"),
        (mat(element(6, bytes([17, 0, 0, 0] * 2)) + element(1, b"x")), "expected an array of numbers, found object"),
        (mat(body(16, (1, 1), b"")), "expected an array of numbers, found function handle"),
        (mat() + element(15, b"abc"), "expected a compressed array, found damaged bytes"),
        (mat() + element(15, zlib.compress(bytes(80))[:-3]), "found it cut short"),
        (
            mat() + element(15, zlib.compress(mat(body(6, (1, 1), element(9, bytes(8))))[128:])[:-3]),
            "found it cut short",
        ),
        (mat() + element(15, zlib.compress(element(15, bytes(8)))), "or something else compressed"),
    ],
)
def test_files_that_are_none(data: bytes, message: str, file: Path) -> None:
    file.write_bytes(data)
    with pytest.raises(MatlabError, match=message) as caught:
        load_mat(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [("text", "char"), ({"a": 1}, "struct"), (np.array([[1, "a"]], object), "cell"), (scipy.sparse.eye(3), "sparse")],
)
def test_what_is_no_array_is_refused_unless_others_are_asked_for(value: Any, kind: str, file: Path) -> None:
    scipy.io.savemat(file, {"good": 1.0, "x": value}, do_compression=True)
    with pytest.raises(MatlabError, match=rf"some.mat: x: .*found {kind}; load_mat\(path, 'x'\) reads x only"):
        load_mat(file)
    assert load_mat(file, "good")["good"] == 1
    with pytest.raises(MatlabError, match="no variable 'y'; it holds good, x"):
        load_mat(file, "y")


def test_a_file_that_is_not_there(file: Path) -> None:
    with pytest.raises(MatlabError, match="cannot read .*some.mat: No such file or directory"):
        load_mat(file)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_cut_anywhere_is_an_error_or_holds_whole_variables(compressed: bool, file: Path) -> None:
    arrays = {"x": np.arange(6.0).reshape(2, 3), "z": np.array([[1 + 2j]]), "b": np.array([[True]])}
    scipy.io.savemat(file, arrays, do_compression=compressed)
    data, whole = file.read_bytes(), 0
    for length in range(len(data)):
        file.write_bytes(data[:length])
        try:
            loaded = load_mat(file)
        except MatlabError:
            continue
        whole += 1
        assert all(same(x, arrays[name]) for name, x in loaded.items())
        with pytest.raises(MatlabError, match="no variable 'b'"):
            load_mat(file, "b")
    assert whole == 2


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_bytes_never_raise_anything_else(compressed: bool, file: Path) -> None:
    """A byte of these makes ``scipy.io.loadmat`` end the process."""
    struct = {"Type": "twister", "Seed": np.uint32(0), "State": np.arange(9, dtype="u4")}
    scipy.io.savemat(file, {"x": np.arange(3.0), "s": struct, "t": "text"}, do_compression=compressed)
    data = bytearray(file.read_bytes())
    refused = 0
    for place in range(116, len(data)):
        for new in (0, 1, 0x7F, 0xFF):
            old, data[place] = data[place], new
            file.write_bytes(data)
            data[place] = old
            for read in (load_mat, _read_state):
                try:
                    read(file)
                except MatlabError:
                    refused += 1
    assert refused > 1000


def _read_state(path: Path) -> None:
    load_state(path, Stream(None))


def test_a_state_goes_on(file: Path) -> None:
    rng = np.random.RandomState(5489)
    rng.random_sample(500)
    state: Any = rng.get_state(legacy=False)["state"]
    stream = Stream(np.append(state["key"], state["pos"]).astype(np.uint32)[:, None])
    save_state(file, stream, seed=0)
    other = Stream(None)
    load_state(file, other)
    assert same(other.state, stream.state)
    again = np.random.RandomState()
    again.set_state(("MT19937", other.state[:624, 0], int(other.state[624, 0]), 0, 0.0))
    assert again.random_sample() == rng.random_sample()


def test_the_state_is_the_struct_of_rng(file: Path) -> None:
    save_state(file, Stream(fresh(7)), name="kept", seed=7)
    struct = scipy.io.loadmat(file)["kept"]
    assert struct.shape == (1, 1)
    assert struct.dtype.names == ("Type", "Seed", "State")
    kind, seed, state = struct[0, 0]
    assert kind == "twister"
    assert same(seed, np.array([[7]], "u4"))
    assert same(state, fresh(7))


STATE = np.arange(1, 626, dtype="u4")[:, None]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Type": "twister", "Seed": 0}, r"some.mat: s: expected a struct with the fields Type, Seed and State"),
        ({"Type": "twister", "Seed": 0, "State": STATE, "More": 1}, "expected a struct with the fields"),
        (1.0, r"found double of \(1, 1\)"),
        ("text", r"found char of \(1,"),
        ({"Type": "philox", "Seed": 0, "State": STATE}, r"s.Type: only 'twister' can go on here, found 'philox'"),
        ({"Type": 1.0, "Seed": 0, "State": STATE}, "s.Type: only 'twister'"),
        (
            {"Type": "twister", "Seed": 0, "State": STATE[1:]},
            r"s.State must be 625 integers, .*not uint32 of shape \(624,",
        ),
        ({"Type": "twister", "Seed": 0, "State": STATE + 0.5}, "s.State must be 625 integers, .*not float64"),
        ({"Type": "twister", "Seed": 0, "State": STATE - 2.0}, r"the words of .*s.State must be in 0..2\*\*32-1"),
        ({"Type": "twister", "Seed": 0, "State": STATE}, "the last word of .*s.State .*must be in 1..624, not 625"),
        ({"Type": "twister", "Seed": 0, "State": "text"}, "s.State must be 625 integers, .*not <U4"),
        ({"Type": "twister", "Seed": 0, "State": {"a": 1}}, "s.State: expected numbers or text in a struct"),
        ({"Type": "twister", "Seed": 0, "State": np.array([[1, "a"]], object)}, "s.State: expected numbers, text or"),
        (np.array([({"a": 1},)] * 2, dtype=[("a", "O")]), "s: expected numbers, text or one struct, found struct of"),
    ],
)
def test_states_that_are_none(value: Any, message: str, file: Path) -> None:
    scipy.io.savemat(file, {"s": value})
    stream = Stream("as it was")
    with pytest.raises(MatlabError, match=message):
        load_state(file, stream)
    assert stream.state == "as it was"


def test_text_that_is_none_and_an_empty_field(file: Path) -> None:
    for data, message in ((element(16, b"\xff"), "bytes that are none"), (element(9, bytes(8)), "type 9")):
        file.write_bytes(mat(body(4, (1, 1), data, b"s")))
        with pytest.raises(MatlabError, match=message):
            load_state(file, Stream(None))
    names = element(5, bytes([8, 0, 0, 0])) + element(1, b"Type\0\0\0\0Seed\0\0\0\0State\0\0\0")
    fields = element(14, body(4, (1, 7), element(16, b"twister"), b"")) + element(14, b"") * 2
    file.write_bytes(mat(body(2, (1, 1), names + fields, b"s")))
    with pytest.raises(MatlabError, match=r"s.State must be 625 integers, .*not float64 of shape \(0, 0\)"):
        load_state(file, Stream(None))
    names = element(5, bytes([8, 0, 0, 0] * 2)) + element(1, b"Type\0\0\0\0")  # two widths, which some would unpack
    file.write_bytes(mat(body(2, (1, 1), names + element(14, b""), b"s")))
    with pytest.raises(MatlabError, match="expected a struct with the fields Type, Seed and State"):
        load_state(file, Stream(None))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (np.zeros((624, 1), "u4"), "state.* must be 625 integers, .*not uint32 of shape"),
        (np.full((625, 1), 0.5), "must be 625 integers, .*not float64"),
        (np.full((625, 1), -1), r"the words of .*state.* must be in 0..2\*\*32-1"),
        (np.full((625, 1), np.nan), "must be 625 integers, .*not float64"),
        (np.zeros((625, 1), "u4"), "the last word of .*state.*must be in 1..624, not 0"),
        ([[1], [1, 2]], "must be 625 integers, .*not object"),
        ("text", "must be 625 integers"),
    ],
)
def test_bad_states_and_seeds_are_not_saved(state: Any, message: str, file: Path) -> None:
    for call in (lambda: save_state(file, Stream(state)), lambda: to_octave(state), lambda: from_octave(state)):
        with pytest.raises(MatlabError, match=message):
            call()
    with pytest.raises(SeedError):
        save_state(file, Stream(fresh(1)), seed=-1)
    with pytest.raises(MatlabError, match=NAME):
        save_state(file, Stream(fresh(1)), name="end")
    assert not file.exists()


@pytest.mark.parametrize("position", [1, 2, 300, 623, 624])
def test_words_left_and_position(position: int) -> None:
    state = fresh(3)
    state[624] = position
    vector = to_octave(state)
    assert vector.shape == (625, 1)
    assert vector.dtype == np.float64
    assert vector[624] == 625 - position
    assert same(from_octave(vector), state)
    assert state[624] == position


def test_the_streams_of_both_go_on_in_each_other() -> None:
    matlab, octave = MatlabRandom(7), OctaveRandom(42)
    octave.rand(5)
    matlab.state = from_octave(octave.state())
    assert matlab.rand() == octave.rand()
    matlab.rand(100)
    octave.set_state(to_octave(matlab.state))
    assert matlab.rand() == octave.rand()


@pytest.mark.parametrize("turn", [to_octave, from_octave])
@pytest.mark.parametrize("last", [0, 625])
def test_a_position_that_octave_would_take_for_a_seed(turn: Callable[[Any], Any], last: int) -> None:
    state = fresh(3)
    state[624] = last
    with pytest.raises(MatlabError, match=rf"the last word of .*'s state .*must be in 1..624, not {last}"):
        turn(state)


def test_neither_scipy_nor_torch_is_imported_before_it_is_needed() -> None:
    import subprocess

    program = (
        "import sys, seedbed.matlab.exchange, seedbed.matlab.solvers; print({'scipy', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
