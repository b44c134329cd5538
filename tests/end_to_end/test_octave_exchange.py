"""Files between Seedbed and a real Octave, to the bit: what it saves is read here; what we save goes through it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedbed.errors import MatlabError
from seedbed.matlab.exchange import from_octave, load_mat, load_state, save_mat, save_state, to_octave
from tests.end_to_end.octave import needs_octave, run_octave

pytestmark = needs_octave

SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1 / 3])
CREATED = """
x = reshape (1:6, 3, 2)'; cube = reshape (single (1:24) / 7, 2, 3, 4); small = [1 2 300]; none = zeros (0, 3);
yes = [true false; false true]; z = complex ([1 -0 NaN Inf 2], [Inf -0 -Inf NaN 0]); zs = single (z);
i8 = int8 ([-128 127]); u8 = uint8 ([0 255]); i16 = int16 ([-32768 32767]); u16 = uint16 ([0 65535]);
i32 = int32 ([-2147483648 2147483647]); u32 = uint32 ([0 4294967295]);
i64 = int64 ([-9223372036854775808 9223372036854775807]); u64 = uint64 ([0 18446744073709551615]); number = pi;
"""
"""One of each class."""


class Stream:
    """NumPy's Mersenne Twister with MATLAB's state, as `MatlabRandom` has it."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.RandomState(seed)

    @property
    def state(self) -> Any:
        state: Any = self.rng.get_state(legacy=False)["state"]
        return np.append(state["key"], state["pos"]).astype(np.uint32)[:, None]

    @state.setter
    def state(self, state: Any) -> None:
        self.rng.set_state(("MT19937", state[:624, 0], int(state[624, 0]), 0, 0.0))


def same(actual: Any, expected: Any) -> bool:
    found, wanted = ((x.dtype, x.shape, x.tobytes()) for x in (actual, expected))
    return bool(found == wanted)


@pytest.mark.parametrize("option", ["-v6", "-v7"])
def test_what_octave_saves_is_read(option: str, tmp_path: Path) -> None:
    run_octave(tmp_path, f"{CREATED}\nsave ('{option}', 'all.mat');")
    loaded = load_mat(tmp_path / "all.mat")
    assert same(loaded["x"], np.arange(1.0, 7).reshape(2, 3))
    assert same(loaded["cube"], np.arange(1, 25).astype("f4").reshape(2, 3, 4, order="F") / np.float32(7))
    assert same(loaded["small"], np.array([[1.0, 2.0, 300.0]]))
    assert same(loaded["none"], np.zeros((0, 3)))
    assert same(loaded["yes"], np.eye(2, dtype=bool))
    assert same(loaded["number"], np.array([[np.pi]]))
    real, imaginary = [1, -0.0, np.nan, np.inf, 2], [np.inf, -0.0, -np.inf, np.nan, 0]
    for name, dtype in (("z", "f8"), ("zs", "f4")):
        assert loaded[name].dtype == np.result_type(dtype, "c8")
        assert np.array_equal(loaded[name].real, np.array([real], dtype), equal_nan=True)
        assert np.array_equal(loaded[name].imag, np.array([imaginary], dtype), equal_nan=True)
        assert np.signbit([loaded[name].real[0, 1], loaded[name].imag[0, 1]]).all()
    for name in ("i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"):
        dtype = f"{name[0]}{int(name[1:]) // 8}"
        assert same(loaded[name], np.array([[np.iinfo(dtype).min, np.iinfo(dtype).max]], dtype))


@pytest.mark.parametrize("option", ["-v6", "-v7"])
def test_what_is_saved_goes_through_octave_and_back(option: str, tmp_path: Path) -> None:
    rng = np.random.RandomState(1)
    both = np.empty((7, 7), complex)
    both.real, both.imag = SPECIAL[:, None], SPECIAL[None, :]
    arrays: dict[str, Any] = {"special": SPECIAL[None, :], "z": both, "zs": both.astype("c8"), "none": np.zeros((0, 3))}
    arrays |= {
        "yes": rng.random_sample((3, 2)) < 0.5,
        "cube": rng.random_sample((2, 3, 4)),
        "number": np.array([[2.5]]),
    }
    for name in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"):
        ends = np.array([[np.iinfo(name).min, np.iinfo(name).max, 1]], name)
        arrays |= {name: ends, f"{name}_cube": ends.reshape(1, 3, 1) + np.zeros((2, 1, 2), name)}
    save_mat(tmp_path / "there.mat", arrays)
    said = run_octave(
        tmp_path,
        f"""
        load there.mat
        printf ("%s ", class (special), class (z), class (zs), class (yes), class (i1), class (u8));
        printf ("%d ", iscomplex (z), size (cube), isequal (cube(2,3,4), {arrays["cube"][1, 2, 3].item()!r}));
        clear ans; save {option} back.mat
        """,
    )
    assert said == "double double single logical int8 uint64 1 2 3 4 1 "
    back = load_mat(tmp_path / "back.mat")
    assert set(back) == set(arrays)
    for name, expected in arrays.items():
        assert same(back[name], expected), name


@pytest.mark.parametrize("option", ["-v7", "-v6"])
def test_what_octave_saves_besides_numbers_is_refused_and_can_be_passed_over(option: str, tmp_path: Path) -> None:
    run_octave(
        tmp_path,
        f"x = 1:3; t = 'longer text'; c = {{1, 'a'}}; s = struct ('a', 1); p = sparse ([1 0; 0 2]);\n"
        f"save ('{option}', 'all.mat');",
    )
    with pytest.raises(MatlabError, match="expected an array of numbers, found (cell|sparse|struct|char)"):
        load_mat(tmp_path / "all.mat")
    assert same(load_mat(tmp_path / "all.mat", "x")["x"], np.array([[1.0, 2.0, 3.0]]))


@pytest.mark.parametrize(("option", "kind"), [("-text", "another kind of file"), ("-hdf5", "HDF5"), ("-v4", "another")])
def test_what_octave_saves_in_other_formats_is_named(option: str, kind: str, tmp_path: Path) -> None:
    run_octave(tmp_path, f"x = 1:3; save ('{option}', 'x.mat', 'x');")
    with pytest.raises(MatlabError, match=f"expected a .mat file of version 5, found {kind}"):
        load_mat(tmp_path / "x.mat")


@pytest.mark.parametrize("drawn", [0, 1, 311, 312, 500, 100_000])
def test_a_state_saved_here_goes_on_in_octave_and_back(drawn: int, tmp_path: Path) -> None:
    stream, reference = Stream(42), Stream(42)
    stream.rng.random_sample(drawn)
    save_mat(tmp_path / "v.mat", {"v": to_octave(stream.state)})
    run_octave(
        tmp_path,
        "load v.mat; rand ('twister', v); was = rand ('twister'); x = rand (1000, 1); v = rand ('twister');\n"
        "save -v7 back.mat x v was",
    )
    back = load_mat(tmp_path / "back.mat")
    expected = reference.rng.random_sample(drawn + 1000)
    assert same(back["x"], expected[drawn:, None])
    assert same(from_octave(back["was"]), stream.state)
    stream.state = from_octave(back["v"])
    assert same(stream.state, reference.state)
    assert stream.rng.random_sample() == reference.rng.random_sample()


@pytest.mark.parametrize("option", ["-v7", "-v6"])
def test_the_struct_of_rng_goes_through_octave(option: str, tmp_path: Path) -> None:
    stream = Stream(5489)
    stream.rng.random_sample(7)
    save_state(tmp_path / "state.mat", stream)
    line = 'load state.mat; rand("twister", [double(s.State(1:624)); 625 - double(s.State(625))])'
    assert line in str(save_state.__doc__)
    said = run_octave(
        tmp_path,
        f"{line}; x = rand (1, 5);\n"
        "printf ('%s %s %s %d %d', s.Type, class (s.Seed), class (s.State), size (s.State));\n"
        f"save {option} x.mat x; save {option} again.mat s",
    )
    assert said == "twister uint32 uint32 625 1"
    other = Stream(1)
    load_state(tmp_path / "again.mat", other)
    assert same(other.state, stream.state)
    assert same(load_mat(tmp_path / "x.mat")["x"], stream.rng.random_sample(5)[None, :])
