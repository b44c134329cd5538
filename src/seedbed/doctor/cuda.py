"""The GPU: its driver and compute capability against what torch's build needs, and cuBLAS. Nothing here starts CUDA."""

import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from seedbed.determinism import deterministic
from seedbed.doctor.finding import Finding, broken, note, ok
from seedbed.doctor.start import is_late
from seedbed.environment import Environment, Gpu, old_driver
from seedbed.environment.machine import DRIVERS, leading, needed_driver

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_TF32 = "NVIDIA_TF32_OVERRIDE"


def gpu(here: Environment, no_cuda: str | None) -> Finding:
    """Whether torch can use the GPUs that are here."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda._is_in_bad_fork():
        do = "start it by spawn (DataLoader: multiprocessing_context='spawn'), or start CUDA after the fork only"
        return broken("gpu", "this process was forked after CUDA had started, so CUDA cannot be used in it", do)
    if here.torch is None or here.torch.cuda is None:
        if not here.gpus:
            return ok("gpu", f"none, and {no_cuda}")
        return note("gpu", f"{_name(here.gpus[0])} is here, but {no_cuda}", "to use it, install a CUDA build of torch")
    build = f"torch {here.torch.version} (CUDA {here.torch.cuda})"
    if no_cuda and no_cuda != old_driver(here.torch, here.gpus):
        do = "unset CUDA_VISIBLE_DEVICES" if here.gpus else "make nvidia-smi list one (in a container: --gpus all)"
        return note("gpu", f"{build} could use one, but {no_cuda}", f"to use one, {do}")
    return _usable(here.gpus, here.torch.cuda, build, started=_has_started())


def _usable(gpus: tuple[Gpu, ...], cuda: str, build: str, *, started: bool) -> Finding:
    said = ", ".join(f"{_name(gpu)} ({gpu.compute_capability})" for gpu in gpus)
    driver = gpus[0].driver
    needed = DRIVERS.get(leading(cuda) or 0)
    if started:  # that is the proof, whatever the table says: a cuda-compat package serves an older driver too
        return ok("gpu", f"{said}, driver {driver}: CUDA has started")
    if leading(driver) is None or needed is None:
        do = "run a program on it: python -c 'import torch; torch.cuda.init()'"
        return note("gpu", f"{said}, driver {driver}: whether {build} runs on it is not known here", do)
    if needed_driver(cuda, driver):
        return broken(
            "gpu", f"driver {driver}, but {build} needs {needed} or newer", f"install driver {needed} or newer"
        )
    if without := [gpu for gpu in gpus if not _has_code(gpu)]:
        names = ", ".join(f"{_name(gpu)} ({gpu.compute_capability})" for gpu in without)
        do = "install a torch that is built for it, or hide it with CUDA_VISIBLE_DEVICES"
        return (broken if len(without) == len(gpus) else note)("gpu", f"{build} has no code for {names}", do)
    return ok("gpu", f"{said}, driver {driver}; {build} needs {needed} or newer")


def _name(gpu: Gpu) -> str:
    return gpu.name or "a GPU that does not answer"


def _has_code(gpu: Gpu) -> bool:
    """Whether torch has code for the GPU: none for one that does not answer; torch is trusted where it does not say."""
    if gpu.compute_capability is None:
        return False
    major, minor = (int(part) for part in gpu.compute_capability.split("."))
    architectures = list(_architectures())
    return not architectures or any(_runs(code, 10 * major + minor) for code in architectures)


def _architectures() -> Iterator[tuple[str, int, str]]:
    """What torch was compiled for: ``sm_90a`` is ``("sm", 90, "a")``.

    `torch.cuda.get_arch_list` asks `is_available` first in some versions, which starts CUDA.
    """
    torch: Any = sys.modules.get("torch")
    compiled = getattr(torch and torch._C, "_cuda_getArchFlags", lambda: None)()
    for kind, number, suffix in re.findall(r"(sm|compute)_(\d+)([a-z]?)", compiled or ""):
        yield kind, int(number), suffix


def _runs(code: tuple[str, int, str], device: int) -> bool:
    """Binary code (sm) runs within its major version, PTX (compute) on all that is newer, and ``a`` nowhere else.

    https://docs.nvidia.com/cuda/cuda-c-programming-guide/#binary-compatibility
    """
    kind, number, suffix = code
    if suffix == "a":
        return device == number
    return device >= number and (kind == "compute" or device // 10 == number // 10)


def cublas(no_cuda: str | None) -> Finding:
    """The workspace that cuBLAS has, or will have when CUDA starts."""
    if no_cuda:
        return ok("cublas", f"no matter: {no_cuda}")
    asked, wanted = os.environ.get(_CUBLAS), deterministic().cublas_workspace_config
    export = f"export {_CUBLAS}={wanted} before Python starts"
    if asked is None:
        late = "CUDA has started without it" if _has_started() else "the flags set it, if CUDA has not started by then"
        return note("cublas", f"{_CUBLAS} is not set; {late}", export)
    if asked != wanted:
        return broken("cublas", f"{_CUBLAS}={asked} is your own and is kept, but promises no same bits", export)
    if not _has_started():
        return ok("cublas", f"{_CUBLAS}={asked}, in time: CUDA has not started")
    return _workspace(asked, _workspace_size(), export)


def _workspace(asked: str, size: int | None, export: str) -> Finding:
    late = size != _bytes(asked) if size is not None else is_late(_CUBLAS)
    if late is False:
        return ok("cublas", f"{_CUBLAS}={asked}, in force")
    if size is None:
        return note(
            "cublas", f"{_CUBLAS}={asked}; whether it came before CUDA started, this torch does not say", export
        )
    return broken("cublas", f"{_CUBLAS}={asked} came too late: in force are {size} bytes, not {_bytes(asked)}", export)


def _has_started() -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()


def _workspace_size() -> int | None:
    """The bytes in force, once CUDA has started; None where torch cannot say.

    Never asked earlier: torch starts CUDA to answer, and keeps for good what the variable says at that moment
    (parseChosenWorkspaceSize in aten/src/ATen/cuda/CublasHandlePool.cpp).
    """
    torch: Any = sys.modules.get("torch")
    try:
        return int(torch.backends.cuda.cublas_workspace_size())
    except AttributeError:  # an older torch
        return None


def _bytes(config: str) -> int:
    """The size of a workspace that is written ``:KiB:count``."""
    return sum(1024 * int(size) * int(count) for size, count in re.findall(r":(\d+):(\d+)", config))


def tf32(no_cuda: str | None) -> list[Finding]:
    """What overrules the precision that every flag says: there is a line only where it is so."""
    if no_cuda or os.environ.get(_TF32) != "1":
        return []
    return [broken("tf32", f"{_TF32}=1 makes CUDA's libraries use TF32 whatever the flags say", f"unset {_TF32}")]
