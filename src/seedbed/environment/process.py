"""What took effect in this process: threads, instruction sets, hash seed, and the variables that were set for them."""

import os
import re
import sys
from fnmatch import fnmatchcase

import msgspec

from seedbed import hashseed
from seedbed.environment.libraries import Library, numpy_features, read_libraries

VARIABLES = (
    # Python
    "PYTHONHASHSEED",
    "PYTHONOPTIMIZE",
    # threads
    "OMP_*",
    "GOMP_*",
    "KMP_DETERMINISTIC_REDUCTION",
    "KMP_DYNAMIC_MODE",
    "KMP_FORCE_REDUCTION",
    "MKL_*",
    "OPENBLAS_*",
    "GOTO_*",
    "BLIS_*",
    "VECLIB_*",
    "NUMEXPR_*",
    "LOKY_MAX_CPU_COUNT",
    # instruction sets
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_*",
    "DNNL_*",
    "NPY_*",
    "GLIBC_TUNABLES",
    # torch
    "TORCH_*",
    "PYTORCH_*",
    "TORCHINDUCTOR_*",
    "TRITON_*",
    # CUDA
    "CUBLAS_WORKSPACE_CONFIG",
    "CUBLASLT_*",
    "CUDNN_*",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_TF32_OVERRIDE",
    "NCCL_ALGO",
    "NCCL_PROTO",
    # which library is found
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    # scikit-learn, SciPy
    "SCIPY_ARRAY_API",
    "SKLEARN_*",
)
"""The environment variables that can change bits, as patterns (``*``: anything).

Not all of KMP_*: threadpoolctl and scikit-learn set two of them when they are imported."""

A_PATH = "(a path)"
"""Stands for every value with a slash in it: a record is published, and says nothing of its author's folders."""

_MKL_THREADS = re.compile(r"mkl_get_max_threads\(\) : (\d+)")


class InForce(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What took effect in one process, not what was asked for. Only libraries that are loaded are in it.

    What oneDNN and glibc chose cannot be seen from Python, nor MKL's branch: their variables were set, and no more.
    """

    threads: dict[str, int]
    """The most threads, by pool: ``torch``, ``mkl`` (inside torch), ``numpy/openblas``, ``scikit_learn/openmp``."""
    isa: dict[str, str]
    """Instruction sets, by library: ``aten``, ``numpy`` (features enabled), ``numpy kernels``, ``numpy/openblas``."""
    hashseed: str = "random"
    """The seed of ``hash(str)``, as measured (`seedbed.hashseed.in_force`): a number, or ``random``."""


def read_variables() -> dict[str, str]:
    """Read the environment variables that can change bits (`VARIABLES`), only those that are set."""
    return {
        name: A_PATH if "/" in value else value
        for name, value in sorted(os.environ.items())
        if any(fnmatchcase(name, pattern) for pattern in VARIABLES)
    }


def in_force() -> InForce:
    """Read what took effect in this process, of the libraries that are loaded: it imports neither NumPy nor torch."""
    libraries = read_libraries()
    return InForce(threads=_threads(libraries), isa=_isa(libraries), hashseed=_hashseed())


def _threads(libraries: dict[str, Library]) -> dict[str, int]:
    threads = {name: library.threads for name, library in libraries.items()}
    if (torch := sys.modules.get("torch")) is not None:
        threads["torch"] = torch.get_num_threads()
        # threadpoolctl sees no MKL where it is linked into torch, as in torch's own wheels.
        if mkl := _MKL_THREADS.search(torch.__config__.parallel_info()):
            threads["mkl"] = int(mkl[1])
    return threads


def _isa(libraries: dict[str, Library]) -> dict[str, str]:
    isa = {name: library.architecture for name, library in libraries.items() if library.architecture is not None}
    if (torch := sys.modules.get("torch")) is not None:
        isa["aten"] = torch.backends.cpu.get_cpu_capability()
    if "numpy" in sys.modules:
        features = numpy_features()
        isa["numpy"] = " ".join(features.enabled)
        isa["numpy kernels"] = " ".join(features.kernels)
    return isa


def _hashseed() -> str:
    seed = hashseed.in_force()
    return "random" if seed is None else str(seed)
