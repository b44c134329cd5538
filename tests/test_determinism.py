"""Flags: set, read back, restored; before == after, whatever happens in between."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from seedbed import determinism
from seedbed.determinism import Flags, deterministic, in_force, set_flags
from seedbed.errors import SeedbedWarning

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
INDUCTOR = "TORCHINDUCTOR_DETERMINISTIC"


@pytest.fixture(autouse=True)
def before() -> Iterator[Flags]:
    """What was in force before the test, with neither variable set; nothing may be left changed after it."""
    with pytest.MonkeyPatch.context() as clean:
        clean.delenv(CUBLAS, raising=False)
        clean.delenv(INDUCTOR, raising=False)
        clean.setattr(determinism, "_cublas_has_read", False)
        flags = in_force()
        yield flags
        assert in_force() == flags


@pytest.fixture
def frozen() -> Iterator[Callable[[], None]]:
    """Call `torch.backends.disable_global_flags`, which torch has no way to undo, for this test alone."""
    with pytest.MonkeyPatch.context() as patch:
        backends: Any = torch.backends
        patch.setattr(backends.m, "__allow_nonbracketed_mutation_flag", True)
        yield backends.disable_global_flags


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that says it has one CUDA GPU, not started yet."""
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    return monkeypatch


def fresh(program: str) -> object:
    """Run `program` in a new interpreter, and give the JSON that it prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    answer: object = json.loads(done.stdout)
    return answer


def legacy() -> tuple[bool, bool, str]:
    """Everything that the legacy API says of TF32; each of the three raises where it disagrees with the new one."""
    return (
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision(),
    )


def test_flags_are_json() -> None:
    assert Flags(**json.loads(json.dumps(asdict(deterministic())))) == deterministic()


def test_flags_are_a_value() -> None:
    assert deterministic() == deterministic()
    assert hash(deterministic()) == hash(deterministic())
    assert deterministic() != deterministic(fill=False)


def test_what_deterministic_means() -> None:
    assert asdict(deterministic()) == {
        "deterministic_algorithms": "error",
        "inductor_deterministic": True,
        "fill_uninitialized_memory": True,
        "cudnn_benchmark": False,
        "cudnn_deterministic": True,
        "cuda_matmul_fp32_precision": "ieee",
        "cudnn_conv_fp32_precision": "ieee",
        "cudnn_rnn_fp32_precision": "ieee",
        "mkldnn_matmul_fp32_precision": "ieee",
        "mkldnn_conv_fp32_precision": "ieee",
        "mkldnn_rnn_fp32_precision": "ieee",
        "cublas_workspace_config": ":4096:8",
    }


@pytest.mark.parametrize("fill", [True, False])
def test_a_block_sets_everything_and_restores_it(fill: bool, before: Flags) -> None:
    with set_flags(deterministic(fill=fill)) as switch:
        assert in_force() == switch.flags == deterministic(fill=fill)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
    assert in_force() == before


def test_a_call_stays_until_it_is_restored(before: Flags) -> None:
    switch = set_flags(deterministic())
    assert in_force() == deterministic()
    switch.restore()
    assert in_force() == before
    switch.restore()
    assert in_force() == before


def test_a_call_is_undone_with_what_was_in_force_before(before: Flags) -> None:
    set_flags(deterministic())
    set_flags(before)
    assert in_force() == before


def test_an_exception_restores(before: Flags) -> None:
    with pytest.raises(KeyError, match="mine"), set_flags(deterministic()):
        raise KeyError("mine")
    assert in_force() == before


def test_blocks_nest(before: Flags) -> None:
    inner = replace(deterministic(fill=False), deterministic_algorithms="warn", cudnn_benchmark=True)
    with set_flags(deterministic()):
        with set_flags(inner):
            assert in_force() == inner
            with set_flags(before):
                assert in_force() == before
            assert in_force() == inner
        assert in_force() == deterministic()
    assert in_force() == before


def test_one_object_is_entered_again_inside_itself_and_afterwards(before: Flags) -> None:
    switch = set_flags(deterministic())
    with switch:
        with switch:
            assert in_force() == deterministic()
        assert in_force() == deterministic()
    assert in_force() == before
    with switch:
        assert in_force() == deterministic()
    assert in_force() == before


def test_an_object_restored_before_it_is_entered_sets_again(before: Flags) -> None:
    switch = set_flags(deterministic())
    switch.restore()
    with switch:
        assert in_force() == deterministic()
    assert in_force() == before


def test_a_decorator_sets_during_each_call_only(before: Flags) -> None:
    @set_flags(deterministic())
    def flags_at(depth: int, *, name: str = "") -> list[Flags]:
        """Recurse, so that a call is entered within a call."""
        return [in_force(), *(flags_at(depth - 1) if depth else [])]

    assert in_force() == before
    assert flags_at(1, name="x") == [deterministic()] * 2
    assert in_force() == before
    assert flags_at(0) == [deterministic()]
    assert in_force() == before
    assert flags_at.__name__ == "flags_at"


def test_a_decorated_function_that_raises_restores(before: Flags) -> None:
    @set_flags(deterministic())
    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert in_force() == before


def test_a_generator_is_under_the_flags_only_while_it_runs(before: Flags) -> None:
    @set_flags(deterministic())
    def flags() -> Iterator[Flags]:
        yield in_force()
        yield in_force()

    seen = []
    for each in flags():
        seen.append(each)
        assert in_force() == before
    assert seen == [deterministic()] * 2
    assert in_force() == before


@pytest.mark.parametrize("mode", ["off", "warn", "error"])
def test_each_mode_is_torchs_own(mode: str, before: Flags) -> None:
    # Of all operations that have no deterministic form, `put_` without accumulation is one that runs on the CPU.
    def put() -> None:
        torch.zeros(2).put_(torch.tensor([0]), torch.tensor([1.0]))

    with set_flags(replace(before, deterministic_algorithms=mode)):  # type: ignore[arg-type]
        if mode == "off":
            put()
        elif mode == "warn":
            with pytest.warns(UserWarning, match="put_ does not have a deterministic implementation"):
                put()
        else:
            with pytest.raises(RuntimeError, match="put_ does not have a deterministic implementation"):
                put()


def test_a_mode_that_torch_does_not_know_changes_nothing(before: Flags) -> None:
    unknown = replace(deterministic(), deterministic_algorithms="maybe")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="invalid value of debug_mode"):
        set_flags(unknown)
    assert in_force() == before


def test_uninitialised_memory_is_filled() -> None:
    with set_flags(deterministic()):
        assert torch.isnan(torch.empty(1000)).all()


def test_lstsq_repeats_only_because_memory_is_filled() -> None:
    """Why filling is on by default: gelsy reads an uninitialised jpvt. without it 60 calls gave over 40 solutions."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(60, 40, generator=generator), torch.randn(60, 3, generator=generator)
    solutions = set()
    with set_flags(deterministic()):
        for repeat in range(20):
            torch.full((40,), repeat % 3, dtype=torch.int32)  # what the next allocation of that size finds
            solutions.add(torch.linalg.lstsq(a, b, driver="gelsy").solution.numpy().tobytes())
    assert len(solutions) == 1


def test_the_legacy_getters_read_within_and_after() -> None:
    was = legacy()
    with set_flags(deterministic()):
        assert legacy() == (False, False, "highest")
        with torch.backends.cudnn.flags(enabled=True):  # it reads the legacy getters too
            assert torch.backends.cudnn.enabled
    assert legacy() == was


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_legacy_tf32_of_the_program_comes_back(precision: str, before: Flags) -> None:
    was = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        users = in_force()
        assert users.cuda_matmul_fp32_precision == "tf32"
        with set_flags(deterministic()):
            assert legacy() == (False, False, "highest")
            with set_flags(users):
                assert (legacy(), in_force()) == ((True, True, precision), users)
            assert (legacy(), in_force()) == ((False, False, "highest"), deterministic())
        assert (legacy(), in_force()) == ((True, True, precision), users)
    finally:
        torch.set_float32_matmul_precision(was)
        set_flags(before)


def test_legacy_getters_that_the_program_broke_itself_stay_as_they_were() -> None:
    backends: Any = torch.backends
    backends.cuda.matmul.fp32_precision = "tf32"
    backends.cudnn.conv.fp32_precision = "ieee"
    mixed = in_force()
    with set_flags(deterministic()):
        assert in_force() == deterministic()
    assert in_force() == mixed
    with pytest.raises(RuntimeError, match="mix"):
        torch.get_float32_matmul_precision()
    with pytest.raises(RuntimeError, match="mix"):
        assert backends.cudnn.allow_tf32
    backends.cuda.matmul.fp32_precision = "none"
    backends.cudnn.conv.fp32_precision = "tf32"
    assert legacy() == (True, False, "highest")


def test_precision_that_comes_from_the_whole_backend_is_overruled(before: Flags) -> None:
    backends: Any = torch.backends
    backends.fp32_precision = "tf32"
    with set_flags(deterministic()):
        assert in_force() == deterministic()
    backends.fp32_precision = "none"
    set_flags(before)  # what was inherited came back as a value of its own


@pytest.mark.parametrize("backend", ["", "cudnn", "mkldnn"])
@pytest.mark.parametrize("precision", ["tf32", "ieee", "bf16"])
def test_precision_of_a_whole_backend_comes_back(backend: str, precision: str, before: Flags) -> None:
    backends: Any = torch.backends
    owner = getattr(backends, backend) if backend else backends
    with set_flags(before), contextlib.suppress(RuntimeError):  # cuDNN has no bf16
        owner.fp32_precision = precision
        assert owner.fp32_precision == precision
    assert in_force() == before
    assert legacy()[2] == "highest"


def test_a_flag_that_torch_refuses_is_reported(frozen: Callable[[], None]) -> None:
    frozen()
    with pytest.warns(SeedbedWarning) as caught:
        switch = set_flags(deterministic())
    assert in_force() == replace(deterministic(), cudnn_deterministic=False)
    switch.restore()
    assert [str(warning.message) for warning in caught] == [
        "could not set cudnn_deterministic: wanted True, in force False (not allowed to set torch.backends.cudnn "
        "flags after disable_global_flags; please use flags() context manager instead)"
    ]
    assert caught[0].filename == __file__


def test_a_flag_that_torch_will_not_restore_is_reported(frozen: Callable[[], None], before: Flags) -> None:
    switch = set_flags(replace(before, cudnn_benchmark=True))
    frozen()
    with pytest.warns(SeedbedWarning, match="could not restore cudnn_benchmark: wanted False, in force True"):
        switch.restore()
    torch._C._set_cudnn_benchmark(False)


def test_a_precision_that_is_none_is_reported(before: Flags) -> None:
    with pytest.warns(
        SeedbedWarning, match=r"could not set mkldnn_rnn_fp32_precision: wanted 'float128', in force '\w+' \(.+\)"
    ):
        switch = set_flags(replace(before, mkldnn_rnn_fp32_precision="float128"))
    switch.restore()


def test_a_report_turned_into_an_error_leaves_nothing_changed(before: Flags) -> None:
    # pyproject.toml makes warnings errors: this is what a user with -W error sees.
    with pytest.raises(SeedbedWarning, match="mkldnn_rnn_fp32_precision"):
        set_flags(replace(deterministic(), mkldnn_rnn_fp32_precision="float128"))
    assert in_force() == before


@pytest.mark.parametrize("own", [":4096:8", ":16:8"])
def test_a_deterministic_workspace_of_ones_own_is_kept(own: str, gpu: pytest.MonkeyPatch) -> None:
    gpu.setenv(CUBLAS, own)
    gpu.setattr(torch.cuda, "is_initialized", lambda: True)
    with set_flags(deterministic()):
        assert in_force().cublas_workspace_config == own
    assert in_force().cublas_workspace_config == own


def test_another_workspace_of_ones_own_is_kept_and_reported(gpu: pytest.MonkeyPatch) -> None:
    gpu.setenv(CUBLAS, ":8:8")
    with (
        pytest.warns(
            SeedbedWarning,
            match="cublas_workspace_config: wanted ':4096:8', in force ':8:8' .*your own.* export CUBLAS_WORKSPACE_C",
        ),
        set_flags(deterministic()),
    ):
        assert in_force().cublas_workspace_config == ":8:8"
    assert in_force().cublas_workspace_config == ":8:8"


def test_another_workspace_of_ones_own_is_no_matter_without_a_gpu(gpu: pytest.MonkeyPatch) -> None:
    gpu.setenv(CUBLAS, ":8:8")
    gpu.setattr(torch.cuda, "device_count", lambda: 0)
    with set_flags(deterministic()):
        assert in_force() == replace(deterministic(), cublas_workspace_config=":8:8")


def test_a_workspace_is_too_late_once_cuda_has_started(gpu: pytest.MonkeyPatch) -> None:
    gpu.setattr(torch.cuda, "is_initialized", lambda: True)
    with (
        pytest.warns(
            SeedbedWarning, match="cublas_workspace_config: wanted ':4096:8', in force None .CUDA had already started"
        ),
        set_flags(deterministic()),
    ):
        assert in_force() == replace(deterministic(), cublas_workspace_config=None)


def test_a_workspace_that_was_there_when_cuda_started_is_not_too_late(gpu: pytest.MonkeyPatch) -> None:
    with set_flags(deterministic()):
        gpu.setattr(torch.cuda, "is_initialized", lambda: True)
    with set_flags(deterministic()):
        assert in_force() == deterministic()


def test_variables_come_back_as_they_were(monkeypatch: pytest.MonkeyPatch, before: Flags) -> None:
    monkeypatch.setenv(INDUCTOR, "0")
    with set_flags(deterministic()):
        os.environ[CUBLAS] = ":8:8"  # by the block itself
    assert in_force() == before
    assert os.environ[INDUCTOR] == "0"


def test_inductor_is_told_by_the_environment_until_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch._inductor.config", raising=False)
    with set_flags(deterministic()):
        assert os.environ[INDUCTOR] == "1"
        with set_flags(replace(deterministic(), inductor_deterministic=False)):
            assert INDUCTOR not in os.environ
    assert INDUCTOR not in os.environ


def test_inductor_is_told_by_its_flag_once_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = SimpleNamespace(deterministic=False)
    monkeypatch.setitem(sys.modules, "torch._inductor.config", config)
    with set_flags(deterministic()):
        assert config.deterministic
        assert INDUCTOR not in os.environ
    assert not config.deterministic


def test_inductor_sees_the_flag_whether_it_is_imported_within_a_block_or_before_it() -> None:
    seen = fresh(
        """
import json, os, sys, torch
from seedbed.determinism import deterministic, in_force, set_flags

before = in_force()
with set_flags(deterministic()):
    untouched = "torch._inductor.config" not in sys.modules and not torch.cuda.is_initialized()
    import torch._inductor.config as config
    imported_within = config.deterministic, in_force() == deterministic()
after = config.deterministic, in_force() == before, "TORCHINDUCTOR_DETERMINISTIC" in os.environ
with set_flags(deterministic()):
    imported_before = config.deterministic, in_force() == deterministic()
after_again = config.deterministic, in_force() == before, "TORCHINDUCTOR_DETERMINISTIC" in os.environ
print(json.dumps([untouched, imported_within, after, imported_before, after_again]))
"""
    )
    assert seen == [True, [True, True], [False, True, False], [True, True], [False, True, False]]


def test_importing_the_module_loads_neither_numpy_nor_torch() -> None:
    program = (
        "import json, sys, seedbed.determinism; print(json.dumps({n: n in sys.modules for n in ['numpy','torch']}))"
    )
    assert fresh(program) == {"numpy": False, "torch": False}


def test_every_flag_is_one_that_in_force_reads() -> None:
    assert [field.name for field in fields(Flags)] == list(asdict(in_force()))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_matmul_on_the_gpu_repeats_and_is_not_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CUBLAS, ":4096:8")  # in time or not: then there is nothing to warn of
    x = torch.randn(512, 512, generator=torch.Generator("cuda").manual_seed(0), device="cuda")
    with set_flags(deterministic()):
        products = [x @ x for _ in range(20)]
    assert all(torch.equal(product, products[0]) for product in products)
    # float32's 24 bits keep the sum of 512 products within 1e-3; TF32's 11 bits of each factor do not.
    assert (products[0].double() - x.double() @ x.double()).abs().max() < 1e-3
