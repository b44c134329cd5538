"""Portable mode as its user meets it: three uses, always restored; and what it refuses, with the place."""

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from seedbed.errors import ConfigError
from seedbed.portable import NotPortableError, PortableMode
from seedbed.portable.settings import Settings


def depth() -> int:
    return len(_get_current_dispatch_mode_stack())


def in_force() -> bool:
    return depth() > 0 and Settings.in_force() == Settings.portable()


@pytest.fixture(autouse=True)
def nothing_is_left_changed() -> Iterator[None]:
    before = Settings.in_force()
    yield
    assert (Settings.in_force(), depth()) == (before, 0)


def test_it_is_in_force_in_its_block_alone() -> None:
    with PortableMode():
        assert in_force()
    assert not in_force()


def test_blocks_nest_as_one() -> None:
    with PortableMode():
        with PortableMode():
            assert (in_force(), depth()) == (True, 1)
        assert (in_force(), depth()) == (True, 1)


def test_one_object_may_be_entered_again() -> None:
    mode = PortableMode()
    for _ in range(2):
        with mode:
            assert in_force()
        assert not in_force()


def test_a_call_stays_until_it_is_restored() -> None:
    switch = PortableMode()
    assert in_force()
    switch.restore()
    assert not in_force()


def test_it_ends_on_an_exception() -> None:
    with pytest.raises(KeyError), PortableMode():
        raise KeyError


def test_it_stays_in_a_thread_when_one_that_began_before_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    flag = "_is_in_torch_dispatch_mode"  # PyTorch's own, one for all threads: it would be left wrong
    monkeypatch.setattr(torch.utils._python_dispatch, flag, getattr(torch.utils._python_dispatch, flag))
    before = Settings.in_force()
    first, second = PortableMode(), threading.Event()
    entered = threading.Event()
    seen: list[bool] = []

    def other() -> None:
        with PortableMode():
            entered.set()
            assert second.wait(10)
            seen.append(in_force())

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(10)
    first.restore()
    assert depth() == 0
    second.set()
    thread.join()
    assert seen == [True]
    assert Settings.in_force() == before


def test_it_decorates_functions() -> None:
    @PortableMode()
    def function() -> bool:
        return in_force()

    assert not in_force()
    assert function()
    assert not in_force()


def test_it_decorates_generators_for_while_they_run() -> None:
    @PortableMode()
    def generate() -> Iterator[bool]:
        yield in_force()
        yield in_force()

    for inside in generate():
        assert inside
        assert not in_force()


def test_it_decorates_async_functions() -> None:
    @PortableMode()
    async def function() -> bool:
        await asyncio.sleep(0)
        return in_force()

    assert asyncio.run(function())


class Other(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return func(*args, **(kwargs or {}))


def test_other_modes_may_be_within() -> None:
    with PortableMode(), Other():  # type: ignore[no-untyped-call]
        assert torch.zeros(2).tolist() == [0.0, 0.0]


def test_it_may_end_before_a_mode_that_began_inside_it() -> None:
    switch = PortableMode()
    with Other() as other:  # type: ignore[no-untyped-call]
        switch.restore()
        assert _get_current_dispatch_mode_stack() == [other]
        assert torch.zeros(2).tolist() == [0.0, 0.0]
    assert not torch.utils._python_dispatch.is_in_torch_dispatch_mode()


def test_the_default_device_may_change_inside_it() -> None:
    switch = PortableMode()
    with torch.device("meta"):
        switch.restore()
        assert torch.zeros(2).device.type == "meta"
    assert torch.zeros(2).device.type == "cpu"


def test_an_operation_without_a_portable_form_is_refused_with_its_place() -> None:
    with PortableMode(), pytest.raises(NotPortableError) as caught:
        torch.linalg.eigvals(torch.eye(2))
    line = inspect.getsourcelines(test_an_operation_without_a_portable_form_is_refused_with_its_place)[1] + 2
    assert caught.value.operation == "aten.linalg_eig.default"
    assert f"{__file__}:{line}, in test_an_operation" in str(caught.value)


class Inner(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return torch.linalg.eigvals(x)


def test_the_module_is_named_by_its_path() -> None:
    model = nn.Sequential(nn.Identity(), nn.Sequential(Inner()))
    with PortableMode(), pytest.raises(NotPortableError, match=r"in the module 1\.0 \(Inner\) of Sequential"):
        model(torch.eye(2))


def test_a_module_alone_is_named_by_its_class() -> None:
    with PortableMode(), pytest.raises(NotPortableError, match=r"in the module Inner\."):
        Inner()(torch.eye(2))


def test_what_runs_outside_is_not_touched() -> None:
    PortableMode().restore()
    assert torch.linalg.eigvals(torch.eye(2)).real.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("variable", "effect"),
    [
        ("CUBLAS_EMULATE_DOUBLE_PRECISION", "lets cuBLAS emulate"),
        ("TORCH_LINEAR_FLATTEN_3D", "makes PyTorch round linear layers once"),
    ],
)
def test_variables_that_change_bits_are_refused(monkeypatch: pytest.MonkeyPatch, variable: str, effect: str) -> None:
    monkeypatch.setenv(variable, "1")
    before = Settings.in_force()
    with pytest.raises(ConfigError, match=f"{variable}='1' {effect}.* unset it before Python starts"):
        PortableMode()
    assert Settings.in_force() == before


def test_a_block_that_is_compiled_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: True)
    with pytest.raises(ConfigError, match=r"torch\.compile is compiling this block"):
        PortableMode()


def test_subnormal_numbers_are_kept_inside_and_flushed_again_after() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush subnormal numbers")
    try:
        with PortableMode():
            assert (torch.tensor(2.0**-1060, dtype=torch.float64).abs() > 0).item()
            assert not Settings.in_force().flush
        assert Settings.in_force().flush
    finally:
        torch.set_flush_denormal(False)


FLUSHING = """
import torch
torch.set_num_threads(2)
torch.set_flush_denormal(True)
torch.ones(1 << 20) * 2  # starts the other thread
torch.set_flush_denormal(False)
from seedbed.errors import ConfigError
from seedbed.portable import PortableMode
try:
    PortableMode()
except ConfigError as error:
    print(error)
torch.set_num_threads(1)
with PortableMode():
    print((torch.full((1 << 20,), 1e-40) * 0.5 == 0).any().item())
"""


def test_threads_that_flush_subnormal_numbers_are_refused() -> None:
    done = subprocess.run([sys.executable, "-c", FLUSHING], capture_output=True, text=True, check=True)
    refusal, flushed = done.stdout.splitlines()
    assert refusal.startswith("1 of PyTorch's 2 threads flush subnormal numbers to zero")
    assert flushed == "False"


class Wrapper(Tensor):
    """A tensor in a tensor, which does something else whenever it is used."""

    wrapped: Tensor

    def __new__(cls, inner: Tensor) -> "Wrapper":
        made: Wrapper = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)
        made.wrapped = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def, override]
        torch.linalg.eigvals(torch.eye(2))
        return func(*(arg.wrapped if isinstance(arg, Wrapper) else arg for arg in args), **(kwargs or {}))


def test_what_a_subclass_of_tensor_does_inside_is_looked_up_too() -> None:
    wrapper = Wrapper(torch.ones(2))
    assert (wrapper * 2).tolist() == [2.0, 2.0]
    with PortableMode(), pytest.raises(NotPortableError, match="aten.linalg_eig.default has no portable form"):
        wrapper.mul(2)


def test_a_subclass_of_tensor_without_operations_of_its_own_is_a_tensor() -> None:
    class Plain(Tensor):
        pass

    with PortableMode():
        assert torch.ones(2).as_subclass(Plain).exp().tolist() == torch.ones(2).exp().tolist()
        nn.LSTM(3, 4, bidirectional=True)(torch.ones(2, 1, 3))[0].sum().backward()  # takes lists of parameters


@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_not_strided_are_refused_by_every_operation() -> None:
    sparse = torch.sparse_coo_tensor(torch.tensor([[0, 0, 1]]), torch.tensor([1.0, 2.0, 3.0]))
    quantized = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)
    nested = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(1, 3)])
    for tensor in (sparse, quantized, nested):
        for operation in (torch.neg, torch.clone, lambda x: torch.cat([x, x])):
            with PortableMode(), pytest.raises(NotPortableError, match="a sparse, quantized or nested tensor"):
                operation(tensor)


def test_shapes_alone_go_through() -> None:
    with PortableMode(), FakeTensorMode():
        x = torch.empty(2, 3)
        assert nn.Linear(3, 4)(x).softmax(1).shape == (2, 4)
    with PortableMode():
        assert (x.exp() @ x.T).shape == (2, 2)
    with PortableMode(), torch.device("meta"):
        assert nn.Linear(3, 4)(torch.empty(2, 3)).shape == (2, 4)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_anomalies_are_detected_inside() -> None:
    x = torch.zeros(2, requires_grad=True)
    with PortableMode(), torch.autograd.detect_anomaly():
        (x.exp() * 2).sum().backward()
        with pytest.raises(RuntimeError, match="returned nan values"):
            (x.sqrt() * 0).sum().backward()
    assert x.grad is not None


def test_einsum_takes_its_operands_from_left_to_right_whatever_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.opt_einsum, "enabled", True)
        with PortableMode():
            assert not torch.backends.opt_einsum.enabled
        assert torch.backends.opt_einsum.enabled


def test_what_chooses_other_kernels_on_other_devices_is_off() -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    optimizer = torch.optim.Adam([parameter])
    with PortableMode():
        optimizer.step()
        assert not torch._C._get_mkldnn_enabled()
        assert not torch.backends.cudnn.enabled
        assert not torch.backends.cuda.flash_sdp_enabled()
        assert not torch.backends.cuda.mem_efficient_sdp_enabled()
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        assert torch.backends.cuda.math_sdp_enabled()
        assert not torch.backends.mha.get_fastpath_enabled()
    assert optimizer.param_groups[0]["foreach"] is False


def test_tensors_of_bfloat16_are_compared() -> None:
    x = torch.ones(3, dtype=torch.bfloat16)
    with PortableMode():
        assert torch.allclose(x, x)
        assert not torch.allclose(x, x + 1)


def test_to_import_it_does_not_ask_for_cuda() -> None:
    """To ask starts CUDA: what a program puts into CUDA_VISIBLE_DEVICES afterwards would have no effect."""
    code = "import torch; torch.cuda.is_available = None; import seedbed.portable"
    subprocess.run([sys.executable, "-c", code], check=True)
