"""Portable mode itself: each operation that runs inside is looked up in the table: run, replaced, taken apart, refused.

It works below autograd, so the backward pass and the optimizer's step go through the same table as the forward pass.
"""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch._C._dynamo import eval_frame
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from seedbed.errors import ConfigError, NotPortableError
from seedbed.portable.place import refused
from seedbed.portable.plan import Plan, plan
from seedbed.portable.settings import Settings
from seedbed.scope import Scope

_COMPILED = (
    "a function that torch.compile made calls it, which fuses and contracts: call the function itself, uncompiled"
)
_EMULATION = "CUBLAS_EMULATE_DOUBLE_PRECISION"


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
        If cuBLAS is told to emulate double precision, or if `torch.compile` is compiling this block.
    """

    @property
    def operations(self) -> int:
        """How many operations of PyTorch went through the mode since it began: none, and there was nothing to do."""
        return self._mode.operations

    def _now(self) -> "_Active":
        return _Active(Settings.in_force(), _modes())

    def _change(self, before: "_Active") -> None:
        _refuse_surroundings()
        Settings.portable().set()
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
        self.settings.set()


class _Mode(TorchDispatchMode):
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
        del types
        self.operations += 1
        if eval_frame.get_eval_frame_callback():  # PyTorch runs it uncompiled below a mode, but that is no promise
            raise _of_compiled(func)
        try:
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
    if os.environ.get(_EMULATION, "0") not in ("", "0"):
        raise ConfigError(
            f"{_EMULATION}={os.environ[_EMULATION]!r} lets cuBLAS emulate float64, whose products portable mode needs "
            "exact: unset it before Python starts"
        )
