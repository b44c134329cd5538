"""Environments and their differences as people read them."""

from collections.abc import Iterable, Iterator, Mapping
from textwrap import shorten

from seedbed.environment.libraries import Library, NumpyFeatures, TorchBuild
from seedbed.environment.machine import Cpu, Gpu
from seedbed.environment.software import Lock, Python, Source
from seedbed.environment.whole import Difference, Environment
from seedbed.image import Image

_GIB = 2**30
_WIDTH = 80


def lines(environment: Environment) -> Iterator[tuple[str, str]]:
    """Say what an environment is, in lines of a name and a text."""
    system, container = environment.system, environment.container
    yield "python", _python(environment.python)
    yield "system", _join([f"{system.name} {system.release}", system.libc, system.machine])
    yield "container", _join([container.kind, container.image_digest, _image(container.image)])
    yield "cpu", _cpu(environment.cpu)
    yield "memory", f"{environment.memory / _GIB:.1f} GiB"
    for gpu in environment.gpus:
        yield "gpu", _gpu(gpu)
    yield "lock", _lock(environment.lock)
    yield "packages", _join(f"{name} {version}" for name, version in environment.packages.items())
    for name, library in environment.libraries.items():
        yield name, _library(library)
    yield "numpy", _numpy(environment.numpy)
    yield "torch", _torch(environment.torch)
    yield "variables", _join(f"{name}={value}" for name, value in environment.variables.items())
    yield "source", _source(environment.source)


def describe(differences: Difference) -> list[str]:
    """Say each difference in one line: ``packages.numpy: 2.4.6 | 2.5.1``. Of lists, only what the other has not."""
    return [f"{path}: {_value(a, b)} | {_value(b, a)}" for path, (a, b) in differences.items()]


def _value(value: object, other: object) -> str:
    if isinstance(value, tuple | list):
        others = other if isinstance(other, tuple | list) else ()
        value = " ".join(str(item) for item in value if item not in others) or None
    if isinstance(value, Mapping):
        value = _join(f"{name} {item}" for name, item in value.items() if isinstance(item, str | int))
    return "none" if value is None else shorten(str(value), _WIDTH, placeholder=" ...")


def _join(parts: Iterable[str | None]) -> str:
    return ", ".join(part for part in parts if part) or "none"


def _image(image: Image | None) -> str | None:
    if image is None:
        return None
    base = f"{image.base}{f'@{image.base_digest}' if image.base_digest else ''}"
    commit, dirty, _ = (image.revision or "").partition("-dirty")
    revision = f"commit {commit[:12]}{dirty}" if image.revision else "no known commit"
    contents = image.contents.removeprefix("sha256:")[:12]
    return f"{image.variant} image of {revision} on {base}, contents {contents}"


def _python(python: Python) -> str:
    wrong = python.pinned not in (None, python.version)
    return _join(
        [
            f"{python.implementation} {python.version}",
            python.compiler,
            f".python-version asks for {python.pinned}" if wrong else None,
        ]
    )


def _cpu(cpu: Cpu) -> str:
    return _join(
        [
            cpu.model or "unknown",
            cpu.vendor,
            f"{cpu.usable} of {cpu.logical} logical cores usable",
            " ".join(cpu.features),
        ]
    )


def _gpu(gpu: Gpu) -> str:
    return _join(
        [
            gpu.name or "does not answer",
            None if gpu.memory is None else f"{gpu.memory / _GIB:.0f} GiB",
            gpu.compute_capability and f"compute capability {gpu.compute_capability}",
            gpu.driver and f"driver {gpu.driver}",
        ]
    )


def _lock(lock: Lock | None) -> str:
    if lock is None:
        return "none"
    broken = (f"{name} {locked} (installed: {found or 'none'})" for name, (locked, found) in lock.broken.items())
    state = f"not as installed: {_join(broken)}" if lock.broken else "as installed"
    return f"{lock.file} (sha256 {lock.sha256[:12]}), {state}"


def _library(library: Library) -> str:
    return _join([library.version, library.architecture, library.threading_layer, f"threads: {library.threads}"])


def _numpy(numpy: NumpyFeatures | None) -> str:
    return f"kernels: {' '.join(numpy.kernels)}" if numpy else "not loaded"


def _torch(torch: TorchBuild | None) -> str:
    if torch is None:
        return "not installed"
    parts = {"CUDA": torch.cuda, "ROCm": torch.rocm, "cuDNN": torch.cudnn, "MKL": torch.mkl, "oneDNN": torch.onednn}
    built_with = (f"{name} {version}" for name, version in parts.items() if version)
    return _join([torch.version, "a debug build" if torch.debug else None, *built_with])


def _source(source: Source | None) -> str:
    if source is None:
        return "none"
    return f"{source.commit}, {'clean' if source.clean else 'state unknown' if source.clean is None else 'not clean'}"
