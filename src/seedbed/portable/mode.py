"""Portable mode itself: each operation that runs inside is looked up in the table: run, replaced, taken apart, refused.

It works below autograd, so the backward pass and the optimizer's step go through the same table as the forward pass.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._C._dynamo import eval_frame
from torch._subclasses import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from seedbed.errors import ConfigError, NotPortableError
from seedbed.portable import forms
from seedbed.portable.dispatcher import Portable
from seedbed.portable.place import refused
from seedbed.portable.plan import Plan, plan
from seedbed.portable.settings import Settings, flushing_threads
from seedbed.scope import Scope

_COMPILED = (
    "a function that torch.compile made calls it, which fuses and contracts: call the function itself, uncompiled"
)
_KIND = "it is given a sparse, quantized or nested tensor, or one of another layout that is not strided"
_VARIABLES = {
    "CUBLAS_EMULATE_DOUBLE_PRECISION": "lets cuBLAS emulate float64, whose products portable mode needs exact",
    "TORCH_LINEAR_FLATTEN_3D": "makes PyTorch round linear layers once where it rounds twice elsewhere",
}
"""Variables of the environment that change bits, and how; unset, empty or 0 they do not."""


class PortableMode(Scope):
    """Give the same bits on any CPU and any GPU, or raise: a ``with`` block, a decorator or a call.

    ::

        with PortableMode():               # until the end of the block, on an exception too
            train(model)

        @PortableMode()                    # during each call; of a generator or async function, while it runs
        def train(): ...

        switch = PortableMode()            # a call: stays, until switch.restore()

    What runs inside is float16, bfloat16, float32 or float64; `docs/portable.md` lists the operations. Random numbers
    come from a counter (Philox) under keys drawn from torch's CPU generator, whatever the device: `torch.manual_seed`
    and saved states go on meaning what they mean, but the numbers are not those that PyTorch draws outside the mode.

    Raises
    ------
    NotPortableError
        Inside, for an operation that has no portable form: its name, the line and the module it was called from.
    ConfigError
        If a variable of the environment lets cuBLAS emulate double precision or PyTorch flatten its inputs, if
        `torch.compile` is compiling this block, or if threads of PyTorch flush subnormal numbers.
    """

    @property
    def operations(self) -> int:
        """How many operations of PyTorch went through the mode since it began: none, and there was nothing to do."""
        return self._mode.operations

    def _now(self) -> "_Active":
        return _Active(Settings.in_force(), _modes())

    def _change(self, before: "_Active") -> None:
        _refuse_surroundings()
        _threads.enter()
        _refuse_threads()
        self._mode = before.modes[0] if before.modes else _Mode()
        if not before.modes:
            self._mode.__enter__()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class _Active:
    settings: Settings
    modes: tuple["_Mode", ...]
    """The portable modes on PyTorch's stack of modes: none, or one."""

    def restore(self) -> None:
        now = _modes()
        if now and not self.modes:
            _leave(now[-1])
        elif self.modes and not now:
            self.modes[-1].__enter__()  # type: ignore[no-untyped-call]
        _threads.restore(self.settings, inside=bool(self.modes))


class _Threads:
    """Which threads are in portable mode: the settings are the process's, and go back when the last of them leaves."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside: set[int] = set()
        self.outside: Settings  # from `enter` on: to ask for them at import would start CUDA

    def enter(self) -> None:
        """Let this thread in."""
        with self.lock:
            forms.register()
            if not self.inside:
                self.outside = Settings.in_force()
            self.inside.add(threading.get_ident())
            Settings.portable().set()

    def restore(self, settings: Settings, *, inside: bool) -> None:
        """Let this thread go back to `settings`, `inside` or out of portable mode; nothing where it was refused."""
        thread = threading.get_ident()
        with self.lock:
            if inside:
                self.inside.add(thread)
            elif thread not in self.inside:
                return
            else:
                self.inside.remove(thread)
                whole = Settings.portable() if self.inside else self.outside
                settings = replace(whole, flush=settings.flush)  # which is each thread's own
            settings.set()


_threads = _Threads()


class _Mode(Portable):
    """Runs what aten is asked for by the table. PyTorch takes the mode away while an operation of its own runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.plans: dict[Any, Plan] = {}
        self.operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Tell PyTorch not to hide `torch.compile` from the mode: to hide it takes longer than a small operation."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if types and any(each.__torch_dispatch__ is not Tensor.__torch_dispatch__ for each in types):
            if any(issubclass(each, FakeTensor) for each in types):
                return func(*args, **(kwargs or {}))  # shapes alone
            return NotImplemented  # a subclass with a __torch_dispatch__ of its own: what it calls comes here again
        self.operations += 1
        if eval_frame.get_eval_frame_callback():  # PyTorch runs it uncompiled below a mode, but that is no promise
            raise _of_compiled(func)
        try:
            if _have_no_bits(args):
                return func(*args, **(kwargs or {}))
            run = self.plans.get(func)
            if run is None:
                run = self.plans[func] = plan(func, self)
            return run(*args, **(kwargs or {}))
        except NotPortableError as error:
            raise refused(func, error) from None


_SKIP = eval_frame._FrameExecStrategy(eval_frame._FrameAction.SKIP, eval_frame._FrameAction.DEFAULT)
eval_frame.set_code_exec_strategy(_Mode.__torch_dispatch__.__code__, _SKIP)  # `torch.compile` is not to look into it


@torch._disable_dynamo  # type: ignore[attr-defined]
def _of_compiled(func: Any) -> NotPortableError:
    return refused(func, NotPortableError(_COMPILED))


def _have_no_bits(values: Sequence[Any]) -> bool:
    """Tell whether there are tensors of the meta device among `values`.

    Raises
    ------
    NotPortableError
        For those whose own kernels any operation would reach, those of the table among them.
    """
    found = False
    for value in values:
        if isinstance(value, Tensor):
            if value.layout is not torch.strided or value.is_quantized or value.is_nested:
                raise NotPortableError(_KIND)
            found |= value.is_meta
        elif isinstance(value, list | tuple):
            found |= _have_no_bits(value)
    return found


def _modes() -> tuple[_Mode, ...]:
    return tuple(mode for mode in _get_current_dispatch_mode_stack() if isinstance(mode, _Mode))


def _leave(mode: _Mode) -> None:
    """Take `mode` off PyTorch's stack, also from below modes that began inside it and are still active."""
    above = []
    while (top := _get_current_dispatch_mode_stack()[-1]) is not mode:
        TorchDispatchMode.__exit__(top, None, None, None)
        above.append(top)
    mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
    for each in reversed(above):
        TorchDispatchMode.__enter__(each)


def _refuse_surroundings() -> None:
    if torch.compiler.is_compiling():
        raise ConfigError(
            "torch.compile is compiling this block of PortableMode, and would fuse and contract its operations: "
            "leave the function that enters the mode uncompiled"
        )
    for name, effect in _VARIABLES.items():
        if os.environ.get(name, "0") not in ("", "0"):
            raise ConfigError(f"{name}={os.environ[name]!r} {effect}: unset it before Python starts")


class _Looked(threading.local):
    """With how many of PyTorch's threads each thread was seen to keep subnormal numbers; they do not change."""

    threads = 0


_looked = _Looked()


def _refuse_threads() -> None:
    if torch.get_num_threads() <= _looked.threads:
        return
    flushing = flushing_threads()
    if flushing:
        raise ConfigError(
            f"{flushing} of PyTorch's {torch.get_num_threads()} threads flush subnormal numbers to zero, which depends "
            "on when they were started: do not call torch.set_flush_denormal(True) before portable mode"
        )
    _looked.threads = torch.get_num_threads()
