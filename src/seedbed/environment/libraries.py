"""The libraries that compute: BLAS and OpenMP, NumPy's kernels, and torch's build, as far as they are loaded."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from types import ModuleType
from typing import Any

import msgspec
from threadpoolctl import threadpool_info

_OWNER = re.compile(r"(?:site|dist)-packages/([^/.]+)")


class Library(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One loaded library with threads of its own, as threadpoolctl sees it."""

    user_api: str
    """``blas`` or ``openmp``."""
    internal_api: str
    """``openblas``, ``mkl``, ``blis``, ``flexiblas``, ``openmp``."""
    version: str | None
    architecture: str | None
    """The kernels that a BLAS chose for this CPU, ``SkylakeX``: not always the CPU's own name."""
    threading_layer: str | None
    """``pthreads``, ``openmp``; None where it does not say."""
    threads: int
    """The most threads that it will use."""


class NumpyFeatures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The CPU features that NumPy chooses its kernels by. Their names depend on NumPy's version: 2.4 renamed them."""

    baseline: tuple[str, ...]
    """Needed by this build: NumPy does not start where `NPY_DISABLE_CPU_FEATURES` names one of them."""
    dispatch: tuple[str, ...]
    """All that it can do without: what `NPY_DISABLE_CPU_FEATURES` may name, whether or not the CPU has it."""
    enabled: tuple[str, ...]
    """Those of `dispatch` that the CPU has and that are not disabled: no proof that a kernel uses them."""
    kernels: tuple[str, ...]
    """What NumPy's ufuncs really run, sorted: disabling one feature can drop several, or none, without a word."""


class TorchBuild(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the torch that is installed was built. Without torch loaded, all below `commit` is None."""

    version: str
    """With its build's tag: ``2.13.0+cpu``."""
    cuda: str | None
    """Version of CUDA that it was built with; None for a CPU build."""
    rocm: str | None
    """Version of ROCm that it was built with."""
    debug: bool
    commit: str | None
    """Of PyTorch's own repository."""
    compiler: str | None = None
    blas: str | None = None
    """Which BLAS and LAPACK it calls: ``mkl``."""
    mkl: str | None = None
    onednn: str | None = None
    cudnn: int | None = None
    """As cuDNN numbers itself: 91002 is 9.10.2. None too where torch refuses the one it finds."""


def read_libraries() -> dict[str, Library]:
    """Read the libraries with thread pools that are loaded, by whose they are: ``numpy/openblas``, ``torch/openmp``."""
    libraries: dict[str, Library] = {}
    for said in sorted(threadpool_info(), key=lambda said: str(said["filepath"])):
        owner = _OWNER.search(said["filepath"])
        name = f"{owner[1]}/{said['internal_api']}" if owner else said["internal_api"]
        if name in libraries:  # as a conda environment with both libgomp and libiomp5
            name = f"{name} ({said['prefix']})"
        libraries[name] = Library(
            user_api=said["user_api"],
            internal_api=said["internal_api"],
            version=said["version"],
            architecture=said.get("architecture"),
            threading_layer=said.get("threading_layer"),
            threads=said["num_threads"],
        )
    return libraries


def numpy_features() -> NumpyFeatures:
    """Read the CPU features that NumPy has and uses in this process. Imports NumPy."""
    import numpy as np
    from numpy.lib.introspect import opt_func_info

    simd = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[call-overload,index,unused-ignore]
    enabled = tuple(simd.get("found", ()))
    kernels = {kernel["current"] for signatures in opt_func_info().values() for kernel in signatures.values()}
    return NumpyFeatures(
        baseline=tuple(simd.get("baseline", ())),
        dispatch=(*enabled, *simd.get("not found", ())),
        enabled=enabled,
        kernels=tuple(sorted(name.partition("(")[0] for name in kernels)),
    )


def read_numpy() -> NumpyFeatures | None:
    """Read what NumPy uses, or None where it is not loaded."""
    return numpy_features() if "numpy" in sys.modules else None


def read_torch() -> TorchBuild | None:
    """Read how torch was built, without importing it: None where it is not installed. More where it is loaded."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    build = read_torch_version(Path(spec.origin).with_name("version.py"))
    torch = sys.modules.get("torch")
    return build if torch is None else _with_configuration(build, torch)


def read_torch_version(path: Path) -> TorchBuild:
    """Read the ``version.py`` that torch writes when it is built: it imports nothing of torch."""
    said = run_path(str(path))
    return TorchBuild(
        version=said["__version__"],
        cuda=said["cuda"],
        rocm=said["hip"],
        debug=said["debug"],
        commit=said["git_version"],
    )


def _with_configuration(build: TorchBuild, torch: ModuleType) -> TorchBuild:
    return msgspec.structs.replace(build, **parse_configuration(torch.__config__.show()), cudnn=_cudnn(torch))


def parse_configuration(text: str) -> dict[str, str | None]:
    """Read `torch.__config__.show()`: which compiler, BLAS, MKL and oneDNN."""

    def find(pattern: str) -> str | None:
        match = re.search(pattern, text)
        return match[1] if match else None

    return {
        "compiler": find(r"- ((?:GCC|clang|MSVC) \S+)"),
        "blas": find(r"BLAS_INFO=(\w+)"),
        "mkl": find(r"Math Kernel Library Version ([\d.]+)"),
        "onednn": find(r"MKL-DNN v([\d.]+)"),
    }


def _cudnn(torch: Any) -> int | None:
    try:
        version: int | None = torch.backends.cudnn.version()
    except RuntimeError:  # another cuDNN is found before torch's own, and is too old: whoever uses it will hear of it
        return None
    return version
