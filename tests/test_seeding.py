"""Seeds: which are accepted, what each function seeds, and the numbers that follow."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier

import seedbed
from seedbed.determinism import FlagState, deterministic, in_force, set_flags
from seedbed.errors import SeedbedWarning, SeedError, shown
from seedbed.rng_state import capture
from seedbed.seeding import DEFAULT_SEED, check_seed, seeded, set_all_seeds, set_numpy, set_python, set_torch

SETTERS = [set_python, set_numpy, set_torch, set_all_seeds]
SEEDS = st.integers(0, 2**32 - 1)

# What seed 1337 gives, as seen with CPython 3.11 and 3.12, NumPy 2.4 and 2.5, torch 2.11 (CUDA build) and 2.13 (CPU
# build), each drawing with `draw_*` below. torch.rand of two elements does not depend on ATEN_CPU_CAPABILITY.
PYTHON = [0.6177528569514706, 0.5332655736050008]
NUMPY = [0.2620246750155817, 0.1586839721544656]
TORCH = [0.07831710577011108, 0.49561673402786255]


def draw_python() -> list[float]:
    return [random.random(), random.random()]


def draw_numpy() -> list[float]:
    drawn: list[float] = np.random.random_sample(2).tolist()
    return drawn


def draw_torch() -> list[float]:
    return torch.rand(2).tolist()


def draw() -> tuple[list[float], list[float], list[float]]:
    return draw_python(), draw_numpy(), draw_torch()


@pytest.fixture(autouse=True)
def generators() -> Iterator[None]:
    """Leave every generator as it was: other tests draw from them too."""
    python, numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(of_torch)


def test_default_seed() -> None:
    assert DEFAULT_SEED == 1337


def test_python_golden() -> None:
    set_python(1337)
    assert draw_python() == PYTHON


def test_numpy_golden() -> None:
    set_numpy(1337)
    assert draw_numpy() == NUMPY


def test_numpys_own_generator_golden() -> None:
    # Nothing of Seedbed is in this: it says that NumPy's stream, which the documentation shows, is still the same.
    assert np.random.default_rng(1337).random(2).tolist() == [0.8781019003471183, 0.18552796163759344]


def test_torch_golden() -> None:
    set_torch(1337)
    assert draw_torch() == TORCH
    assert torch.initial_seed() == 1337


def test_all_golden() -> None:
    set_all_seeds()
    assert draw() == (PYTHON, NUMPY, TORCH)


@pytest.mark.parametrize(
    ("setter", "seeded"), [(set_python, draw_python), (set_numpy, draw_numpy), (set_torch, draw_torch)]
)
def test_each_function_seeds_its_own_generator_only(
    setter: Callable[[int], None], seeded: Callable[[], list[float]]
) -> None:
    set_all_seeds(1)
    undisturbed = {function: function() for function in (draw_python, draw_numpy, draw_torch)}
    set_all_seeds(1)
    setter(2)
    changed = {function for function, drawn in undisturbed.items() if function() != drawn}
    assert changed == {seeded}


@given(seed=SEEDS)
def test_the_same_seed_gives_the_same_draws(seed: int) -> None:
    set_all_seeds(seed)
    first = draw()
    assert draw() != first
    set_all_seeds(seed)
    assert draw() == first


@given(seed=SEEDS, other=SEEDS)
def test_other_seeds_give_other_draws(seed: int, other: int) -> None:
    def drawn(number: int) -> list[list[float]]:
        set_all_seeds(number)
        return list(draw())

    if seed != other:
        assert all(a != b for a, b in zip(drawn(seed), drawn(other), strict=True))


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint16, np.uint64])
def test_numpy_integers_are_integers(kind: Callable[[int], Any]) -> None:
    assert type(check_seed(kind(1337))) is int
    set_all_seeds(kind(1337))
    assert draw() == (PYTHON, NUMPY, TORCH)
    for setter in (set_python, set_numpy, set_torch):
        setter(kind(1337))
    assert draw() == (PYTHON, NUMPY, TORCH)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_the_whole_range_is_taken(seed: int) -> None:
    assert check_seed(seed) == seed
    set_all_seeds(seed)
    assert torch.initial_seed() == seed


BAD = [
    True,
    False,
    np.True_,
    1.0,
    np.float64(1),
    float("nan"),
    "7",
    b"7",
    None,
    1j,
    Decimal(1),
    Fraction(1),
    [1],
    np.array(1),
    torch.tensor(1),
    -1,
    np.int64(-1),
    2**32,
    10**30,
    10**5000,
]


@pytest.mark.parametrize("setter", [*SETTERS, check_seed])
@pytest.mark.parametrize("seed", BAD, ids=lambda seed: f"{type(seed).__name__}-{shown(seed)}")
def test_anything_else_is_an_error_and_seeds_nothing(setter: Callable[[Any], object], seed: object) -> None:
    set_all_seeds(1)
    expected = draw()
    set_all_seeds(1)
    with pytest.raises(SeedError, match=r"a seed must be an integer in 0\.\.2\*\*32-1, not .+ \(\w+\)"):
        setter(seed)
    assert draw() == expected


@given(
    seed=st.integers(max_value=-1)
    | st.integers(min_value=2**32)
    | st.floats()
    | st.text("0123456789.-")
    | st.booleans()
)
def test_no_other_number_text_or_boolean_is_a_seed(seed: object) -> None:
    with pytest.raises(SeedError):
        check_seed(seed)


def test_the_error_shows_the_value_shortened() -> None:
    with pytest.raises(SeedError, match=r"not 'x{5,}\.\.\.x+' \(str\)"):
        check_seed("x" * 10_000)


def test_scikit_learn_draws_from_numpys_generator() -> None:
    x, y = load_iris(return_X_y=True)

    def coefficients() -> list[np.ndarray[Any, Any]]:
        model = MLPClassifier(solver="lbfgs", alpha=1e-5, hidden_layer_sizes=(5, 3), max_iter=5)
        with pytest.warns(UserWarning, match="lbfgs failed to converge"):  # five steps are enough here
            model.fit(x, y)
        return [*model.coefs_, *model.intercepts_]

    set_numpy(1337)
    first, unseeded = coefficients(), coefficients()
    set_all_seeds(1337)
    again = coefficients()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, unseeded, strict=True))


@pytest.mark.parametrize("setter", [set_torch, set_all_seeds])
def test_flags_are_left_alone_unless_asked_for(setter: Callable[[int], None]) -> None:
    before = in_force()
    setter(1337)
    assert in_force() == before
    with set_flags(deterministic()):
        setter(1337)
        assert in_force() == deterministic()


@pytest.mark.parametrize("setter", [set_torch, set_all_seeds])
def test_deterministic_stays_and_can_be_undone(setter: Callable[..., None]) -> None:
    before = in_force()
    setter(1337, deterministic=True)
    try:
        assert in_force() == deterministic()
        setter(1337, deterministic=True)
        assert draw_torch() == TORCH
    finally:
        set_flags(before)
    assert in_force() == before


def test_a_flag_that_could_not_be_set_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    before = in_force()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":8:8")
    with pytest.warns(SeedbedWarning, match="could not set cublas_workspace_config"):
        set_torch(1337, deterministic=True)
    monkeypatch.undo()
    set_flags(before)


def test_the_names_are_at_the_top() -> None:
    assert (seedbed.set_all_seeds, seedbed.DEFAULT_SEED) == (set_all_seeds, DEFAULT_SEED)
    with pytest.raises(AttributeError, match="set_everything"):
        seedbed.set_everything  # noqa: B018


def test_each_function_imports_only_what_it_seeds_and_starts_no_cuda() -> None:
    program = """
import json, sys
from seedbed.seeding import set_all_seeds, set_numpy, set_python
set_python(1)
nothing = sorted({"numpy", "torch"} & {*sys.modules})
set_numpy(1)
numpy = sorted({"numpy", "torch"} & {*sys.modules})
set_all_seeds(1, deterministic=True)
cuda = sys.modules["torch"].cuda.is_initialized()
print(json.dumps([nothing, numpy, cuda, "torch._inductor.config" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], ["numpy"], False, False]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_every_gpu_is_seeded() -> None:
    devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    drawn = []
    for seed in (1337, 1337, 1):
        set_torch(seed)
        drawn.append([torch.rand(4, device=device).cpu() for device in devices])
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))


# seeded


def everything() -> Any:
    """All that `seeded` puts back, in a form that can be compared."""
    state = capture()
    numpy: Any = state.numpy
    return (
        state.python,
        {**numpy, "state": {**numpy["state"], "key": numpy["state"]["key"].tolist()}},
        {name: each.tolist() for name, each in state.torch.items()},
        in_force(),
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
    )


def disturb() -> None:
    """Change everything that `seeded` puts back."""
    draw()
    random.gauss(0, 1)
    np.random.normal()
    torch.randn(1)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.deterministic = True
    backends: Any = torch
    backends.utils.deterministic.fill_uninitialized_memory = False
    torch.set_float32_matmul_precision("high")
    torch.use_deterministic_algorithms(True, warn_only=True)


def test_a_block_draws_from_the_seed_and_puts_everything_back() -> None:
    np.random.normal()
    random.gauss(0, 1)
    before = everything()
    with seeded(1337) as scope:
        assert draw() == (PYTHON, NUMPY, TORCH)
        assert scope.seed == 1337
        disturb()
        assert everything()[3:] != before[3:]
    assert everything() == before


def test_an_exception_puts_everything_back() -> None:
    before = everything()

    def fail() -> None:
        disturb()
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"), seeded(1, deterministic=True):
        fail()
    assert everything() == before


def test_blocks_nest_and_are_entered_again_each_from_the_seed() -> None:
    before = everything()
    outer = seeded(1337)
    with outer:
        first = draw()
        with seeded(1):
            assert draw() != first
        second = draw()
        with outer:
            assert draw() == first == (PYTHON, NUMPY, TORCH)
        third = draw()
    assert everything() == before
    with outer:
        assert [draw(), draw(), draw()] == [first, second, third]
    assert everything() == before


def test_a_block_starts_from_the_seed_though_its_object_was_made_earlier() -> None:
    before = everything()
    scope = seeded(1337)
    draw()
    with scope:
        assert draw() == (PYTHON, NUMPY, TORCH)
    assert everything() == before


def test_a_call_seeds_until_it_is_restored() -> None:
    before = everything()
    switch = seeded(1337, deterministic=True)
    assert draw() == (PYTHON, NUMPY, TORCH)
    assert in_force() == deterministic()
    switch.restore()
    assert everything() == before


def test_a_decorated_function_starts_from_the_seed_every_time() -> None:
    @seeded(1337)
    def drawn(depth: int = 0) -> list[Any]:
        return [draw(), *(drawn(depth - 1) if depth else [])]

    before = everything()
    assert drawn(1) == [(PYTHON, NUMPY, TORCH)] * 2
    assert drawn() == [(PYTHON, NUMPY, TORCH)]
    assert everything() == before


def test_a_decorated_generator_function_draws_on_while_others_draw() -> None:
    @seeded(1337)
    def numbers() -> Iterator[Any]:
        while True:
            yield draw()

    with seeded(1337):
        expected = [draw(), draw()]
    set_all_seeds(5)
    undisturbed = [draw(), draw()]
    set_all_seeds(5)
    seen, others = [], []
    for _, each in zip(range(2), numbers(), strict=False):
        seen.append(each)
        others.append(draw())
    assert (seen, others) == (expected, undisturbed)


def test_decorated_async_functions_take_turns() -> None:
    @seeded(1337)
    async def two() -> list[Any]:
        first = draw()
        await asyncio.sleep(0)
        return [first, draw()]

    async def main() -> list[list[Any]]:
        return list(await asyncio.gather(two(), two()))

    before = everything()
    with seeded(1337):
        expected = [draw(), draw()]
    assert asyncio.run(main()) == [expected, expected]
    assert everything() == before


def test_deterministic_flags_are_set_within() -> None:
    with seeded(1, deterministic=True):
        assert in_force() == deterministic()
    with seeded(1):
        assert in_force() != deterministic()


@pytest.mark.parametrize("seed", [-1, 1.0, "1", True, None])
def test_a_seed_that_is_none_changes_nothing(seed: Any) -> None:
    before = everything()
    with pytest.raises(SeedError):
        seeded(seed)
    assert everything() == before


def test_entering_starts_no_device_and_no_inductor() -> None:
    program = """
import sys, torch
from seedbed import seeded
with seeded(1, deterministic=True):
    torch.rand(1)
print(torch.cuda.is_initialized(), torch.xpu.is_initialized(), "torch._inductor.config" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False False\n"


class Gpu:
    """A CUDA GPU that has not started, pretended on a build without CUDA; seeds wait for it as for a real one."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.started = False
        self.generator = torch.Generator()
        cuda: Any = torch.cuda
        tracker = type(cuda._lazy_seed_tracker)
        patch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
        patch.setattr(cuda, "_lazy_seed_tracker", tracker())
        patch.setattr(torch.xpu, "_lazy_seed_tracker", tracker())
        for module in (cuda, cuda.random):
            patch.setattr(module, "is_initialized", lambda: self.started)
            patch.setattr(module, "device_count", lambda: 1)
        patch.setattr(cuda, "default_generators", (self.generator,))

    def start(self) -> None:
        """Start, as torch does: what waits is run."""
        cuda: Any = torch.cuda
        self.started = True
        for call in cuda._lazy_seed_tracker.get_calls():
            if call:
                call[0]()

    def draw(self) -> float:
        return torch.rand(1, generator=self.generator).item()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def drawn_from(seed: int) -> float:
    return torch.rand(1, generator=torch.Generator().manual_seed(seed)).item()


def test_a_device_that_starts_after_a_block_has_the_seed_from_before_it(gpu: Gpu) -> None:
    torch.manual_seed(5)
    with seeded(1):
        pass
    gpu.start()
    assert gpu.draw() == drawn_from(5)


def test_a_device_that_starts_within_a_block_is_seeded_there_and_afterwards_as_without_it(gpu: Gpu) -> None:
    torch.manual_seed(5)
    with seeded(1):
        gpu.start()
        assert gpu.draw() == drawn_from(1)
        gpu.draw()
    assert gpu.draw() == drawn_from(5)


def test_a_device_that_nobody_had_seeded_is_not_left_with_the_blocks_seed(gpu: Gpu) -> None:
    with seeded(1):
        gpu.start()
        within = gpu.generator.initial_seed()
    assert (within, gpu.generator.initial_seed() == 1) == (1, False)


def test_a_device_that_had_started_comes_back(gpu: Gpu) -> None:
    gpu.start()
    gpu.generator.manual_seed(7)
    with seeded(1):
        assert gpu.draw() == drawn_from(1)
    assert gpu.draw() == drawn_from(7)


def test_what_waits_for_a_device_is_where_torch_keeps_it(gpu: Gpu) -> None:
    torch.manual_seed(5)
    assert any(torch.cuda._lazy_seed_tracker.get_calls())


def test_numpys_legacy_functions_come_back_to_their_own_bit_generator() -> None:
    before = everything()
    legacy: Any = np.random
    own = legacy.get_bit_generator()
    with seeded(1):
        legacy.set_bit_generator(np.random.PCG64(3))
    assert legacy.get_bit_generator() is own
    assert everything() == before


def test_what_cannot_be_put_back_does_not_keep_the_rest_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything()
    with pytest.raises(ZeroDivisionError), monkeypatch.context() as patch, seeded(1):
        patch.setattr(FlagState, "restore", lambda _: 1 / 0)
    assert everything() == before
