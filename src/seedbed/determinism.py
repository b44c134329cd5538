"""The flags that decide whether a rerun on one machine gives the same bits: one value, set, read back, restored.

A flag counts as set when it was read back in force; what could not be set is said in a `SeedbedWarning`.
Deterministic mode makes reruns agree, not machines, and not thread counts: a sum split in two parts and in four
still rounds differently.
"""

import contextlib
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, TypeVar

from seedbed.errors import warn
from seedbed.scope import Scope

R = TypeVar("R")

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_INDUCTOR = "TORCHINDUCTOR_DETERMINISTIC"
_DETERMINISTIC_WORKSPACES = (":4096:8", ":16:8")  # https://docs.nvidia.com/cuda/cublas/#results-reproducibility
_MODES: tuple[Literal["off", "warn", "error"], ...] = ("off", "warn", "error")  # torch's debug modes 0, 1, 2

_cublas_has_read = False
"""Whether CUDA started while a deterministic workspace was in the environment: cuBLAS keeps what it read."""


@dataclass(frozen=True, slots=True)
class Flags:
    """What is, or shall be, in force; every value is JSON as it stands.

    Attributes
    ----------
    deterministic_algorithms
        What torch does with an operation that has no deterministic form: run it, warn, or raise.
    inductor_deterministic
        `torch.compile` does no benchmarking that could change numerics.
    fill_uninitialized_memory
        While `deterministic_algorithms` is on, `torch.empty` and its like are filled with a known value.
    cudnn_benchmark, cudnn_deterministic
        cuDNN chooses its algorithms by timing them (which defeats the other), or among deterministic ones only.
    cuda_matmul_fp32_precision, cudnn_*_fp32_precision, mkldnn_*_fp32_precision
        How float32 is computed inside: ``ieee``, ``tf32``, ``bf16``, or ``none`` (the backend's default, which is
        float32). mkldnn is oneDNN, on the CPU.
    cublas_workspace_config
        The environment variable ``CUBLAS_WORKSPACE_CONFIG``, which cuBLAS reads once, when CUDA starts.
    """

    deterministic_algorithms: Literal["off", "warn", "error"]
    inductor_deterministic: bool
    fill_uninitialized_memory: bool
    cudnn_benchmark: bool
    cudnn_deterministic: bool
    cuda_matmul_fp32_precision: str
    cudnn_conv_fp32_precision: str
    cudnn_rnn_fp32_precision: str
    mkldnn_matmul_fp32_precision: str
    mkldnn_conv_fp32_precision: str
    mkldnn_rnn_fp32_precision: str
    cublas_workspace_config: str | None


def deterministic(*, fill: bool = True) -> Flags:
    """Give the flags under which a rerun on one machine gives the same bits.

    `fill` is torch's own default, and costs 12 to 15 % of a training step. It is part of the promise: with it off,
    `torch.linalg.lstsq` (gelsy) gives other bits from call to call, deterministic mode or not, because it reads
    memory that nobody wrote (https://github.com/pytorch/pytorch/issues/71222). Switch it off where you measured that
    it costs you too much and that your own program does not need it.

    A deterministic ``CUBLAS_WORKSPACE_CONFIG`` of your own (``:4096:8`` or ``:16:8``) is kept.
    """
    workspace = os.environ.get(_CUBLAS)
    return Flags(
        deterministic_algorithms="error",
        inductor_deterministic=True,
        fill_uninitialized_memory=fill,
        cudnn_benchmark=False,
        cudnn_deterministic=True,
        cuda_matmul_fp32_precision="ieee",
        cudnn_conv_fp32_precision="ieee",
        cudnn_rnn_fp32_precision="ieee",
        mkldnn_matmul_fp32_precision="ieee",
        mkldnn_conv_fp32_precision="ieee",
        mkldnn_rnn_fp32_precision="ieee",
        cublas_workspace_config=workspace if workspace in _DETERMINISTIC_WORKSPACES else _DETERMINISTIC_WORKSPACES[0],
    )


def in_force() -> Flags:
    """Read the flags that are in force. Starts neither CUDA nor inductor.

    Precision is read through torch's new API (``fp32_precision``) alone, which always answers: the legacy getters
    (``torch.backends.cudnn.allow_tf32``) raise once a program has used both.
    """
    import torch

    return Flags(
        deterministic_algorithms=_MODES[torch.get_deterministic_debug_mode()],
        inductor_deterministic=_read_inductor(),
        cublas_workspace_config=os.environ.get(_CUBLAS),
        **{name: getattr(owner, attribute) for name, (owner, attribute) in _attributes().items()},
    )


class set_flags(Scope):  # noqa: N801 - used like a function, as threadpoolctl.threadpool_limits and torch.set_grad_enabled
    """Set every flag and read back that it is in force: a call, a ``with`` block or a decorator.

    ::

        switch = set_flags(deterministic())   # a call: stays, until switch.restore()

        with set_flags(deterministic()):      # until the end of the block, on an exception too
            train()

        @set_flags(deterministic())           # during each call; of a generator or async function, while it runs
        def train(): ...

    Blocks nest, and one object may be entered again. Flags belong to the process, not to a thread (in torch 2.13
    inductor's does, once inductor was imported), and a spawned process inherits only the environment variables.

    The legacy TF32 getters (``torch.backends.cudnn.allow_tf32``) stay readable, meanwhile and afterwards: torch
    raises where they disagree with the new API, so both are written, unless the program had made them disagree
    before. What torch has no way to put back: a cuDNN precision that nobody ever set follows a later write to
    ``torch.backends.fp32_precision``. Afterwards it is TF32 in its own right, as it is after torch's own
    ``torch.backends.cudnn.flags()``.

    Until inductor is imported it is told by ``TORCHINDUCTOR_DETERMINISTIC``, which it reads then: importing it for
    one flag, as `torch.use_deterministic_algorithms` does, costs two seconds.

    Warns
    -----
    SeedbedWarning
        One for all the flags that could not be set or restored, each with what was wanted, what is in force, and
        the reason where it is known. A ``CUBLAS_WORKSPACE_CONFIG`` of your own is never overwritten, and once CUDA
        has started it is too late for one; both are said only where there is a CUDA GPU.
    """

    def __init__(self, flags: Flags) -> None:
        self.flags = flags
        super().__init__()

    def _now(self) -> "FlagState":
        return FlagState.now()

    def _change(self, before: "FlagState") -> None:
        before.change(self.flags)


@dataclass(frozen=True, slots=True)
class FlagState:
    """Everything that setting flags changes: the flags, and what must change or come back with them.

    `matmul` and `cudnn` are TF32 as the legacy API has it; None where it raises, which is then left as it is.
    """

    flags: Flags
    whole: tuple[str, ...]
    matmul: str | None
    cudnn: bool | None
    environment: dict[str, str | None]

    @classmethod
    def now(cls) -> Self:
        """Take it as it is."""
        import torch

        return cls(
            flags=in_force(),
            whole=tuple(each.fp32_precision for each in _whole_backends()),
            matmul=_legacy(torch.get_float32_matmul_precision),
            cudnn=_legacy(lambda: torch.backends.cudnn.allow_tf32),
            environment={name: os.environ.get(name) for name in (_CUBLAS, _INDUCTOR)},
        )

    def change(self, flags: Flags) -> None:
        """Set `flags`, from this state on, and warn of those that could not be set."""
        _report("set", flags, self._changed_to(flags)._write())

    def restore(self) -> None:
        """Put everything back as it was, and warn of what could not be."""
        if type(self).now() == self:
            return
        for name, value in self.environment.items():
            _put_variable(name, value)
        for backend, precision in zip(_whole_backends(), self.whole, strict=True):
            if backend.fp32_precision != precision:
                with contextlib.suppress(RuntimeError):  # refused: the report below says what came of it
                    backend.fp32_precision = precision
        _report("restore", self.flags, self._write())

    def _changed_to(self, flags: Flags) -> Self:
        tf32 = "medium" if flags.mkldnn_matmul_fp32_precision == "bf16" else "high"
        return replace(
            self,
            flags=flags,
            matmul=self.matmul and (tf32 if flags.cuda_matmul_fp32_precision == "tf32" else "highest"),
            cudnn=None if self.cudnn is None else flags.cudnn_conv_fp32_precision == "tf32",
        )

    def _write(self) -> dict[str, str]:
        """Write what differs, and give the reason for each flag that refused."""
        self._write_legacy()  # first: it overwrites precisions of the new API
        _write_mode(self.flags.deterministic_algorithms)
        _write_inductor(self.flags.inductor_deterministic)
        refused = _write_attributes(self.flags)
        if reason := _write_workspace(self.flags.cublas_workspace_config):
            refused["cublas_workspace_config"] = reason
        return refused

    def _write_legacy(self) -> None:
        import torch

        matmul, cudnn = self.matmul, self.cudnn
        if matmul is not None and matmul != _legacy(torch.get_float32_matmul_precision):
            _legacy(lambda: torch.set_float32_matmul_precision(matmul))
        if cudnn is not None and cudnn != _legacy(lambda: torch.backends.cudnn.allow_tf32):
            _legacy(lambda: setattr(torch.backends.cudnn, "allow_tf32", cudnn))


def _legacy(call: Callable[[], R]) -> R | None:
    """Call the legacy API: None where it refuses, and without torch 2.9's notice to the user that it is legacy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except RuntimeError:
            return None


def _whole_backends() -> tuple[Any, ...]:
    """Give what has a precision for all that is under it and has none of its own; the widest first."""
    import torch

    backends: Any = torch.backends
    return backends, backends.cudnn, backends.mkldnn


def _attributes() -> dict[str, tuple[Any, str]]:
    """Where torch keeps each flag that is an attribute: the object, and its name there."""
    import torch

    backends: Any = torch.backends  # torch's annotations lack the precisions
    return {
        "fill_uninitialized_memory": (torch.utils.deterministic, "fill_uninitialized_memory"),
        "cudnn_benchmark": (backends.cudnn, "benchmark"),
        "cudnn_deterministic": (backends.cudnn, "deterministic"),
        "cuda_matmul_fp32_precision": (backends.cuda.matmul, "fp32_precision"),
        "cudnn_conv_fp32_precision": (backends.cudnn.conv, "fp32_precision"),
        "cudnn_rnn_fp32_precision": (backends.cudnn.rnn, "fp32_precision"),
        "mkldnn_matmul_fp32_precision": (backends.mkldnn.matmul, "fp32_precision"),
        "mkldnn_conv_fp32_precision": (backends.mkldnn.conv, "fp32_precision"),
        "mkldnn_rnn_fp32_precision": (backends.mkldnn.rnn, "fp32_precision"),
    }


def _write_attributes(flags: Flags) -> dict[str, str]:
    refused = {}
    for name, (owner, attribute) in _attributes().items():
        wanted = getattr(flags, name)
        try:
            if getattr(owner, attribute) != wanted:
                setattr(owner, attribute, wanted)
        except RuntimeError as error:  # torch.backends.disable_global_flags() was called, or no such precision
            refused[name] = str(error)
    return refused


def _write_mode(mode: str) -> None:
    import torch

    torch.set_deterministic_debug_mode("default" if mode == "off" else mode)


def _read_inductor() -> bool:
    config = sys.modules.get("torch._inductor.config")
    return os.environ.get(_INDUCTOR) == "1" if config is None else bool(config.deterministic)


def _write_inductor(value: bool) -> None:  # noqa: FBT001 - the value of a flag
    if value == _read_inductor():
        return
    config: Any = sys.modules.get("torch._inductor.config")
    if config is None:
        _put_variable(_INDUCTOR, "1" if value else None)
    else:
        config.deterministic = value


def _write_workspace(value: str | None) -> str | None:
    """Set the variable where that is ours to do and early enough, or say why not."""
    import torch

    own = os.environ.get(_CUBLAS)
    if own == value:
        return None
    if own is not None and value is not None:
        return f"it is your own, and was kept; unset it, or export {_CUBLAS}={value}, before the program starts"
    if value is not None and torch.cuda.is_initialized() and not _cublas_has_read:
        return f"CUDA had already started; set it earlier, or export {_CUBLAS}={value} before the program starts"
    _put_variable(_CUBLAS, value)
    return None


def _put_variable(name: str, value: str | None) -> None:
    global _cublas_has_read
    import torch

    if os.environ.get(_CUBLAS) in _DETERMINISTIC_WORKSPACES and torch.cuda.is_initialized():
        _cublas_has_read = True
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _report(verb: str, wanted: Flags, refused: dict[str, str]) -> None:
    """Read back, and warn once of everything that is not as wanted."""
    found = in_force()
    lines = [
        f"{name}: wanted {getattr(wanted, name)!r}, in force {getattr(found, name)!r}"
        + (f" ({refused[name]})" if name in refused else "")
        for name in (field.name for field in fields(Flags))
        if getattr(wanted, name) != getattr(found, name) and (name != "cublas_workspace_config" or _has_cuda())
    ]
    if lines:
        warn(f"could not {verb} {'; '.join(lines)}")


def _has_cuda() -> bool:
    """Whether there is a CUDA GPU: counted through NVML, which starts nothing, so that a later fork still works."""
    import torch

    return torch.version.cuda is not None and torch.cuda.device_count() > 0
