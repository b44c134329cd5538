"""The whole of it: one environment, read at once, and the difference of two."""

import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from seedbed import image
from seedbed.environment.libraries import Library, NumpyFeatures, TorchBuild, read_libraries, read_numpy, read_torch
from seedbed.environment.machine import (
    Container,
    Cpu,
    Gpu,
    System,
    needed_driver,
    read_container,
    read_cpu,
    read_gpus,
    read_memory,
    read_system,
)
from seedbed.environment.process import read_variables
from seedbed.environment.software import (
    DEPENDENCIES,
    Lock,
    Python,
    Source,
    find_lock,
    find_python,
    installed,
    read_lock,
    read_python,
    read_source,
)

Difference = dict[str, tuple[object, object]]
"""A dotted path (``packages.numpy``), and the two values there; None where one has none."""

_IMAGE = Path("/") / image.FOLDER
"""Where a container's image has what it was made from: it serves where the project has none of its own."""

_LOADED = ("numpy", "scipy.linalg", "torch")


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can change the bits of a result, but for the program itself.

    It is made to be published: it holds no name of the machine or its user, and no path.
    """

    python: Python
    system: System
    container: Container
    cpu: Cpu
    memory: int
    """The machine's, in bytes."""
    gpus: tuple[Gpu, ...]
    packages: dict[str, str]
    """The installed versions of the lock's packages, or of Seedbed's dependencies where there is no lock."""
    lock: Lock | None
    libraries: dict[str, Library]
    """The BLAS and OpenMP libraries that are loaded, by whose they are."""
    numpy: NumpyFeatures | None
    """None where NumPy is not loaded."""
    torch: TorchBuild | None
    """None where torch is not installed."""
    variables: dict[str, str]
    """The environment variables that can change bits and are set; ``(a path)`` stands for a value that is one."""
    source: Source | None
    """None where the project is in no git repository."""


def read(root: Path | None = None, *, load: bool = False) -> Environment:
    """Read the environment of this process, and of the project in the folder `root` (the current one if None).

    A library says what BLAS it has and how it was built only once it is loaded. With `load`, NumPy, SciPy and torch are
    imported first (2 s); without, what is not loaded is left out (0.2 s).
    """
    root = root or Path.cwd()
    for name in _LOADED if load else ():
        import_module(name)
    torch = read_torch()
    cuda = torch is not None and torch.cuda is not None
    path = find_lock(root, cuda=cuda) or find_lock(_IMAGE, cuda=cuda)
    lock, packages = read_lock(path) if path else (None, installed(DEPENDENCIES))
    return Environment(
        python=read_python(find_python(root) or find_python(_IMAGE)),
        system=read_system(),
        container=read_container(),
        cpu=read_cpu(),
        memory=read_memory(),
        gpus=read_gpus(),
        packages=packages,
        lock=lock,
        libraries=read_libraries(),
        numpy=read_numpy(),
        torch=torch,
        variables=read_variables(),
        source=read_source(root),
    )


def no_cuda() -> str | None:
    """Say why nothing can run on a CUDA GPU here, or None where something can; without importing torch."""
    torch = read_torch()
    if torch is None or torch.cuda is None:
        return f"torch {torch.version} is built without CUDA" if torch else "torch is not installed"
    gpus = read_gpus()
    if not gpus:
        return "there is no NVIDIA GPU, or no driver for it"
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None and visible.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU"
    return None if _cuda_has_started() else old_driver(torch, gpus)


def old_driver(torch: TorchBuild, gpus: tuple[Gpu, ...]) -> str | None:
    """Say that the driver is too old for torch's version of CUDA; None where it will do, or nobody knows."""
    needed = needed_driver(torch.cuda, gpus[0].driver) if torch.cuda and gpus else None
    if needed is None:
        return None
    return f"driver {gpus[0].driver}, but torch {torch.version} (CUDA {torch.cuda}) needs {needed} or newer"


def _cuda_has_started() -> bool:
    # Which proves the driver, whatever the table says: the package cuda-compat lets an older one serve.
    torch: Any = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()


def difference(a: Environment, b: Environment) -> Difference:
    """Find what differs between two environments, down to the single package, variable or GPU."""
    return dict(_differing("", msgspec.to_builtins(a), msgspec.to_builtins(b)))


def _differing(path: str, a: object, b: object) -> Iterator[tuple[str, tuple[object, object]]]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in sorted({*a, *b}):
            yield from _differing(f"{path}.{name}" if path else name, a.get(name), b.get(name))
    elif path == "gpus":
        yield from _differing(path, _numbered(a), _numbered(b))
    elif a != b:
        yield path, (a, b)


def _numbered(values: Any) -> dict[str, object]:
    return {str(index): value for index, value in enumerate(values)}
