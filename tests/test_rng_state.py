"""States: what is captured comes back to the bit, from memory and from a file, all of it or nothing."""

import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedbed import rng_state
from seedbed.bits import bits
from seedbed.errors import RngStateError
from seedbed.rng_state import RngState, capture, file, load, restore, save
from seedbed.rng_state.generators import default_generators
from seedbed.storage import dumps, loads
from seedbed.streams import Streams

BIT_GENERATORS = [np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64]

DRAWS: dict[type, Callable[[Any], float]] = {
    random.Random: lambda each: each.gauss(0, 1),
    np.random.RandomState: lambda each: each.normal(),
    np.random.Generator: lambda each: each.integers(2**30, dtype=np.uint32) + each.normal(),
    torch.Generator: lambda each: torch.randn((), generator=each, dtype=torch.float64).item(),
}
"""Odd numbers of draws leave something cached: a second Gaussian, half of 64 bits."""


def make() -> dict[str, Any]:
    streams = Streams(5)
    return {
        "python": streams.python("a"),
        "torch": streams.torch("a"),
        **{f"generator {each.__name__}": np.random.Generator(each(3)) for each in BIT_GENERATORS},
        **{f"state {each.__name__}": np.random.RandomState(each(3)) for each in BIT_GENERATORS},
    }


def draw(generators: dict[str, Any]) -> list[float]:
    own = [DRAWS[type(each)](each) for each in generators.values()]
    return [random.gauss(0, 1), np.random.normal(), torch.randn((), dtype=torch.float64).item(), *own]


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """Leave the global generators as they were."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(before[0])
    np.random.set_state(before[1])
    torch.set_rng_state(before[2])


def test_a_state_comes_back_to_the_bit(tmp_path: Path) -> None:
    generators = make()
    draw(generators)
    state = capture(generators)
    save(tmp_path / "state", state)
    first = [draw(generators) for _ in range(3)]
    assert len({number for each in first for number in each}) == 3 * (3 + len(generators))
    restore(state, generators)
    assert [draw(generators) for _ in range(3)] == first
    restore(load(tmp_path / "state"), generators)
    assert [draw(generators) for _ in range(3)] == first


def test_other_generators_of_the_same_kinds_take_it(tmp_path: Path) -> None:
    ours, theirs = make(), {name: each for name, each in make().items() if draw({name: each})}
    save(tmp_path / "state", capture(ours))
    first = draw(ours)
    restore(load(tmp_path / "state"), theirs)
    assert draw(theirs) == first


def test_what_was_captured_does_not_move_with_the_generators() -> None:
    generators = make()
    state = capture(generators)
    first = draw(generators)
    draw(generators)
    restore(state, generators)
    assert draw(generators) == first


@given(seed=st.integers(0, 2**32 - 1), draws=st.integers(0, 7))
def test_the_second_gaussian_is_kept_in_float64(
    tmp_path_factory: pytest.TempPathFactory, seed: int, draws: int
) -> None:
    path = tmp_path_factory.mktemp("states") / "state"
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    for _ in range(draws):
        draw({})
    torch.randn(1)  # caches a float32 beside the float64
    save(path)
    first = [*draw({}), torch.randn(1).item()]
    restore(load(path))
    assert [*draw({}), torch.randn(1).item()] == first


def test_nothing_loaded_is_nothing_captured() -> None:
    program = """
import sys
from seedbed.rng_state import capture
state = capture()
print(state.numpy, state.torch, sorted({"numpy", "torch", "msgspec"} & {*sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "None {} []\n"


@pytest.mark.parametrize("fake", [None, ModuleType("torch"), SimpleNamespace()])
def test_what_stands_in_a_librarys_place_is_not_captured(monkeypatch: pytest.MonkeyPatch, fake: Any) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.setitem(sys.modules, "numpy", fake)
    state = capture({"a": random.Random(1)})
    assert (state.numpy, state.torch, list(state.generators)) == (None, {}, ["a"])


def test_a_state_without_a_library_leaves_that_library_alone() -> None:
    before = np.random.get_state(legacy=False)["state"]["pos"]
    restore(RngState(python=random.getstate()))
    assert np.random.get_state(legacy=False)["state"]["pos"] == before


def test_a_file_restores_in_a_process_that_had_loaded_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state"
    program = f"""
from seedbed import rng_state
from seedbed.bits import bits
rng_state.restore(rng_state.load({str(path)!r}))
import random, numpy, torch
print(random.random(), numpy.random.random(), torch.rand(1).item())
"""
    save(path)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{random.random()} {np.random.random()} {torch.rand(1).item()}\n"


def test_names_that_differ_are_refused_before_anything_changes() -> None:
    state = capture({"a": random.Random(1), "b": random.Random(2)})
    before = capture()
    random.random()
    with pytest.raises(RngStateError, match=r"has generators \['a', 'b'\], and \['a', 'c'\] were given: give each by"):
        restore(state, {"a": random.Random(), "c": random.Random()})
    assert random.getstate() != before.python


@pytest.mark.parametrize("kind", ["python", "torch", "generator PCG64", "state MT19937"])
def test_one_generator_of_another_kind_and_none_is_changed(kind: str) -> None:
    others = {name: each for name, each in make().items() if name != kind}
    wrong = make()["generator Philox" if kind != "generator PCG64" else "python"]
    state = capture({**others, kind: make()[kind]})
    draw(others)
    expected = capture(others)
    with pytest.raises(RngStateError, match="a generator cannot take its state, and none was changed: "):
        restore(state, {**others, kind: wrong})
    found = draw(others)
    restore(expected, others)
    assert draw(others) == found
    restore(state, {**others, kind: make()[kind]})
    assert draw(others) != found


@pytest.mark.parametrize("wrong", [3, random.SystemRandom(), np.random, None])
def test_what_is_no_generator_is_refused(wrong: object) -> None:
    with pytest.raises(RngStateError, match=r"has no state that could be kept: give a random\.Random"):
        capture({"a": wrong})


def test_a_bit_generator_that_is_not_numpys_is_refused() -> None:
    class Mine(np.random.PCG64):
        state: ClassVar[Any] = {"bit_generator": "Mine"}

    with pytest.raises(RngStateError, match="bit generator Mine is none of NumPy's: MT19937, PCG64"):
        capture({"a": np.random.Generator(Mine())})


# files


def test_a_file_is_plain_safetensors_and_json(tmp_path: Path) -> None:
    save(tmp_path / "state", capture({"a": np.random.default_rng(1)}))
    arrays, metadata = loads((tmp_path / "state").read_bytes(), "here")
    assert {key: (each.dtype, each.shape) for key, each in arrays.items()} == {
        "0": ("uint32", (624,)),
        "1": ("uint8", (5056,)),
    }
    document = json.loads(metadata["seedbed.rng_state"])
    assert document["schema_version"] == 1
    assert document["generators"]["a"] == np.random.default_rng(1).bit_generator.state


def test_a_state_is_always_the_same_file(tmp_path: Path) -> None:
    state = capture({"a": np.random.default_rng(1)})
    for name in range(10):
        save(tmp_path / str(name), state)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def damaged(path: Path, change: Callable[[dict[str, Any]], object], **arrays: Any) -> Path:
    """Write a state in which `change` has been made."""
    generators = {
        "python": random.Random(1),
        "PCG64": np.random.default_rng(1),
        "Philox": np.random.Generator(np.random.Philox(1)),
        "legacy": np.random.RandomState(1),
        "torch": torch.Generator(),
    }
    save(path, capture(generators))
    found, metadata = loads(path.read_bytes(), "here")
    document = json.loads(metadata["seedbed.rng_state"])
    change(document)
    found |= {name.removeprefix("array"): value for name, value in arrays.items()}
    text = json.dumps(document)
    path.write_bytes(dumps(found, {"seedbed.rng_state": text, "blake2b": file._digest(text, found)}))
    return path


def put(*place: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        for step in place[:-1]:
            document = document[step]
        document[place[-1]] = value

    return change


G = "generators"
DAMAGE: list[tuple[Callable[[Any], object], str]] = [
    (put("schema_version", value=2), "schema_version: expected 1 or older, found 2: upgrade Seedbed"),
    (put("schema_version", value="1"), r"Expected `int`, got `str` - at `\$.schema_version`"),
    (put("schema_version", value=0), "schema_version: expected 1 or older, found 0"),
    (
        put("torch", "cuda:x", value={"array": "1"}),
        "torch: expected devices as cpu, mps, cuda:0, xpu:0, found 'cuda:x'",
    ),
    (put(G, "a\nb", value={"array": "1"}), r"generators: expected names that are printable text, found 'a\\nb'"),
    (put(G, "torch", value={"array": []}), f"{G}/torch: |Expected"),
    (put(G, "legacy", "state", "key", value={"array": [1]}), f"{G}/legacy/state/key: expected an array uint32"),
    (put("python", 1, value=[0] * 624 + [1]), "python: expected 32-bit words that are not all 0"),
    (put("python", 1, 3, value=2**32), "python: expected 32-bit words that are not all 0"),
    (put("python", 2, value=float("inf")), "python: expected a finite second Gaussian, found inf"),
    (put(G, "PCG64", "state", "inc", value=2), f"{G}/PCG64/state/inc: expected an odd number, found 2"),
    (put("extra", value=1), "Object contains unknown field `extra`"),
    (lambda document: document.pop("python"), "missing required field `python`"),
    (put("python", value=[3, [1, 2], None]), "python: expected a state that a generator takes: state vector"),
    (put("python", 1, 624, value=625), "python: expected a state that a generator takes: invalid state"),
    (put("python", 1, 0, value=-1), "python: expected 32-bit words that are not all 0"),
    (put("python", 0, value=7), "python: expected a state that a generator takes: state with version 7"),
    (put("python", 2, value="x"), "python: Expected `float | null`, got `str`"),
    (put("numpy", "bit_generator", value="Mine"), "numpy/bit_generator: expected one of MT19937, .* found 'Mine'"),
    (put("numpy", "state", "pos", value=625), r"numpy/state/pos: expected an integer in 0\.\.624, found 625"),
    (put("numpy", "state", "pos", value=True), r"numpy/state/pos: expected an integer in 0\.\.624, found True"),
    (put("numpy", "state", "key", value={"array": "x"}), r"numpy/state/key: .* uint32 of shape \(624,\), found none"),
    (put("numpy", "state", "key", value={"array": "1"}), r"numpy/state/key: .* found uint8 of shape \(5056,\)"),
    (put("numpy", "state", "key", value=[1, 2]), "numpy/state/key: expected an array uint32 .* found none"),
    (put("numpy", "gauss", value=1), "numpy/gauss: expected a number with a fraction, found 1"),
    (put("numpy", "has_gauss", value=2), r"numpy/has_gauss: expected an integer in 0\.\.1, found 2"),
    (put("numpy", value={}), "numpy/bit_generator: expected one of"),
    (put(G, "PCG64", "state", value={"state": 1}), f"{G}/PCG64/state: expected an object with state, inc, found"),
    (put(G, "PCG64", "state", "inc", value=2**128), rf"{G}/PCG64/state/inc: expected an integer in 0\.\.3402"),
    (put(G, "PCG64", "state", "state", value=-1), f"{G}/PCG64/state/state: expected an integer in"),
    (put(G, "PCG64", "uinteger", value=2**32), f"{G}/PCG64/uinteger: expected an integer in"),
    (put(G, "Philox", "buffer_pos", value=5), rf"{G}/Philox/buffer_pos: expected an integer in 0\.\.4, found 5"),
    (
        put(G, "legacy", "bit_generator", value="PCG64"),
        f"{G}/legacy: expected an object with bit_generator, state, has_uint32",
    ),
    (put(G, "python", value="x"), "Expected `object | array`, got `str`"),
    (put(G, "torch", value={"array": "0"}), rf"{G}/torch: .* uint8 of shape \(n,\), found uint32"),
    (
        put("torch", "cpu", value={"array": "small"}),
        "torch/cpu: expected a state that a generator takes: .*5056 .* size to be 3",
    ),
]


@pytest.mark.parametrize(("change", "message"), DAMAGE)
def test_a_damaged_file_is_one_line_with_its_place(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = damaged(tmp_path / "state", change, small=bits(np.zeros(3, np.uint8)))
    before = random.getstate()
    with pytest.raises(RngStateError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert random.getstate() == before


def test_a_twister_of_zeros_would_draw_for_ever_and_is_refused(tmp_path: Path) -> None:
    path = damaged(tmp_path / "state", lambda _: None, array0=bits(np.zeros(624, np.uint32)))
    with pytest.raises(RngStateError, match="numpy/state/key: expected words that are not all 0"):
        load(path)


@pytest.mark.parametrize(("left", "following"), [(624, 624), (600, 600), (624, 0), (1, 2), (2, 0)])
@pytest.mark.parametrize("array", ["array1", "array6"])
def test_counters_beyond_torchs_array_are_refused(tmp_path: Path, left: int, following: int, array: str) -> None:
    state = torch.Generator().get_state().numpy()
    state[8:12].view(np.int32)[0], state[16:24].view(np.uint64)[0] = left, following
    path = damaged(tmp_path / "state", lambda _: None, **{array: bits(state)})
    with pytest.raises(RngStateError, match=f"found left {left} and next {following}"):
        load(path)


@given(draws=st.integers(0, 1300))
def test_every_state_that_torch_comes_to_is_taken(tmp_path_factory: Any, draws: int) -> None:
    path: Path = tmp_path_factory.mktemp("states") / "state"
    generator = torch.Generator().manual_seed(1)
    torch.randint(9, (draws,), generator=generator)
    save(path, capture({"a": generator}))
    assert torch.equal(load(path).generators["a"], generator.get_state())


def test_every_damaged_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save(path, capture(make()))
    whole = path.read_bytes()
    expected = load(path).python
    chosen, undetected = random.Random(1), 0
    for _ in range(300):
        place = chosen.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ chosen.randrange(1, 256)]) + whole[place + 1 :])
        with contextlib.suppress(RngStateError):
            assert load(path).python == expected  # white space, or the name of nothing
            undetected += 1
    assert undetected < 3


@pytest.mark.parametrize("name", [3, None, "a\nb", "\ud800"])
def test_a_name_that_is_no_printable_text_is_refused(name: Any) -> None:
    with pytest.raises(RngStateError, match="a generator's name must be printable text, not"):
        capture({name: random.Random()})


def test_names_that_look_like_places_are_kept_apart(tmp_path: Path) -> None:
    generators = {"a": np.random.RandomState(1), "a/state/key": torch.Generator()}
    save(tmp_path / "state", capture(generators))
    restore(load(tmp_path / "state"), generators)


class Own(random.Random):
    def getstate(self) -> Any:
        return "mine"


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(RngStateError, match="cannot write"):
        save(tmp_path / "state", capture({"a": Own()}))
    with pytest.raises(RngStateError, match="cannot write"):
        save(tmp_path / "state", RngState(python=(3, random.getstate()[1], float("nan"))))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["", "/", "a\0b", "x" * 300])
def test_a_path_that_is_none(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RngStateError, match="cannot write"):
        save(path)
    with pytest.raises(RngStateError, match="expected a saved state, found: "):
        load(path)


def test_a_restore_that_is_interrupted_leaves_nothing_changed() -> None:
    class Interrupted(random.Random):
        def setstate(self, state: Any) -> None:
            super().setstate(state)
            if state != before:
                raise KeyboardInterrupt

    first, second = random.Random(1), Interrupted(2)
    before = second.getstate()
    other = RngState(random.getstate(), generators={"a": random.Random(3).getstate(), "b": random.Random(4).getstate()})
    expected = first.getstate()
    with pytest.raises(KeyboardInterrupt):
        restore(other, {"a": first, "b": second})
    assert first.getstate() == expected
    assert second.getstate() == before


def test_a_torch_state_that_is_none_is_refused(tmp_path: Path) -> None:
    path = damaged(tmp_path / "state", lambda _: None, array1=bits(np.full(5056, 255, np.uint8)))
    with pytest.raises(RngStateError, match="torch/cpu: expected a state that a generator takes: "):
        load(path)


def test_the_same_file_undamaged_is_read(tmp_path: Path) -> None:
    assert load(damaged(tmp_path / "state", lambda _: None)).generators.keys() == {
        "python",
        "PCG64",
        "Philox",
        "legacy",
        "torch",
    }


@pytest.mark.parametrize("size", [0, 7, 100, 5000])
def test_a_file_cut_short(tmp_path: Path, size: int) -> None:
    path = tmp_path / "state"
    save(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(RngStateError, match="state: expected a whole safetensors file of Seedbed's"):
        load(path)


@pytest.mark.parametrize("text", ["no JSON", "[]", "null", "3", "[" * 100_000])
def test_a_file_of_something_else(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state"
    path.write_bytes(dumps({}, {"seedbed.rng_state": text}))
    with pytest.raises(RngStateError, match="state: expected the state of generators, found"):
        load(path)
    path.write_bytes(dumps({}, {"message": "x"}))
    with pytest.raises(RngStateError, match=r"state: expected the state of generators, found: KeyError"):
        load(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RngStateError, match="state': expected a saved state, found: No such file"):
        load(tmp_path / "state")
    with pytest.raises(RngStateError, match="cannot write .*: No such file or directory"):
        save(tmp_path / "no" / "state")


# devices, pretended: their generators are the CPU's kind


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Two CUDA GPUs that have started."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "default_generators", (torch.Generator(), torch.Generator()))
    return monkeypatch


def test_devices_that_have_started_are_captured(gpus: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert default_generators().keys() == {"cpu", "cuda:0", "cuda:1"}
    save(tmp_path / "state")
    first = [torch.rand(1, generator=each).item() for each in default_generators().values()]
    restore(load(tmp_path / "state"))
    assert [torch.rand(1, generator=each).item() for each in default_generators().values()] == first
    gpus.setattr(torch.cuda, "is_initialized", lambda: False)
    assert capture().torch.keys() == {"cpu"}


def test_a_device_is_started_for_its_state(gpus: pytest.MonkeyPatch) -> None:
    state = capture()
    started: list[int] = []
    gpus.setattr(torch.cuda, "is_initialized", lambda: bool(started))
    gpus.setattr(torch.cuda, "init", lambda: started.append(1))
    restore(state)
    assert started


def test_a_device_that_is_not_here_is_refused_before_anything_changes(gpus: pytest.MonkeyPatch) -> None:
    state = capture()
    random.random()
    before = random.getstate()
    gpus.undo()
    with pytest.raises(
        RngStateError, match=r"a generator of cuda:\d, and there is no such device here: .*replace\(state"
    ):
        restore(state)
    assert random.getstate() == before


def test_apples_device_has_one_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = torch.Generator()
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "device_count", lambda: 1)
    monkeypatch.setattr(torch.mps, "_get_default_mps_generator", lambda: mine)
    state = capture()
    first = torch.rand(1, generator=mine)
    restore(state)
    assert torch.equal(torch.rand(1, generator=mine), first)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_comes_back_to_the_bit(tmp_path: Path) -> None:
    torch.rand(1, device="cuda")
    save(tmp_path / "state")
    first = torch.rand(5, device="cuda").cpu()
    restore(load(tmp_path / "state"))
    assert torch.equal(torch.rand(5, device="cuda").cpu(), first)


def test_the_module_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'dump'"):
        rng_state.dump  # noqa: B018
