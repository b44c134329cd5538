"""The machine: operating system, container, CPU and GPUs. No name of it, and none of its paths."""

import os
import platform
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import msgspec

from seedbed.image import Image, read_image

DRIVERS = {11: 450, 12: 525, 13: 580}
"""The oldest driver that runs a major version of CUDA, within which every minor version runs:
https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"""

ContainerKind = Literal["none", "docker", "podman", "apptainer", "other"]

IMAGE_DIGEST_VARIABLE = "SEEDBED_IMAGE_DIGEST"
"""Whoever starts a container says its image's digest here: from the inside it cannot be known."""

X86_FEATURES = ("sse", "ssse", "pni", "popcnt", "avx", "fma", "f16c", "bmi", "abm", "amx", "gfni", "vaes", "vpclmul")
ARM_FEATURES = ("asimd", "neon", "vfpv", "fphp", "fcma", "bf16", "i8mm", "sve", "smef", "sme2")
FEATURE_PREFIXES = X86_FEATURES + ARM_FEATURES
"""How the names begin of those CPU features that numerical libraries choose their kernels by."""

_MARKERS: dict[str, ContainerKind] = {
    ".dockerenv": "docker",
    "run/.containerenv": "podman",
    ".singularity.d": "apptainer",
}


class System(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The operating system."""

    name: str
    """``Linux``."""
    release: str
    """Of the kernel."""
    libc: str
    """Name and version, ``glibc 2.36``, whose mathematical functions Python and NumPy call; empty where unknown."""
    machine: str
    """The architecture: ``x86_64``."""


class Container(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The container that the process is in, if it is in one."""

    kind: ContainerKind
    image_digest: str | None
    """From the variable `SEEDBED_IMAGE_DIGEST`, or None where nobody said it."""
    image: Image | None = None
    """What the image says of itself; None in one that this project's Dockerfile has not made."""


class Cpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The processor, as the kernel describes the first one."""

    model: str
    """The maker's name for it, which a virtual machine may cut short (``AMD EPYC``); empty where unknown."""
    vendor: str
    """``GenuineIntel``, ``AuthenticAMD``; empty where unknown."""
    family: int | None
    """With `model_number` and `stepping`, what libraries recognise an x86 processor by."""
    model_number: int | None
    stepping: int | None
    features: tuple[str, ...]
    """The features that kernels are chosen by (`FEATURE_PREFIXES`), by the kernel's names, sorted."""
    logical: int
    """Cores, hyper-threads counted."""
    physical: int | None
    """Cores, hyper-threads not counted; None where unknown."""
    usable: int
    """Logical cores that this process may run on (its affinity)."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One NVIDIA GPU of the machine, whether or not CUDA_VISIBLE_DEVICES hides it. None: the driver did not say."""

    name: str | None
    memory: int | None
    """Bytes."""
    compute_capability: str | None
    """``9.0``."""
    driver: str | None
    """Version of the driver."""


def read_system() -> System:
    """Read what operating system this is."""
    return System(
        name=platform.system(),
        release=platform.release(),
        libc=" ".join(platform.libc_ver()).strip(),
        machine=platform.machine(),
    )


def read_container(root: Path = Path("/")) -> Container:
    """Read what container this is, by the marks that each kind leaves in the file system whose root is `root`."""
    image = read_image(root)
    kind = next((kind for mark, kind in _MARKERS.items() if (root / mark).exists()), None)
    if kind is None:
        # systemd-nspawn and LXC set `container`; Kubernetes names its service in every container that it starts; and
        # whoever unpacks an image and starts it by other means leaves no mark at all.
        known = image is not None or {"container", "KUBERNETES_SERVICE_HOST"} & os.environ.keys()
        kind = "other" if known else "none"
    return Container(kind=kind, image_digest=os.environ.get(IMAGE_DIGEST_VARIABLE) or None, image=image)


def read_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Cpu:
    """Read what processor this is, from the kernel's `cpuinfo`, or where that names none from py-cpuinfo (1 s)."""
    import psutil  # 0.08 s, which `in_force` in every worker need not pay

    said = parse_cpuinfo(cpuinfo) or _ask_py_cpuinfo()
    logical = os.cpu_count() or 1
    return Cpu(
        model=said.get("model name", ""),
        vendor=said.get("vendor_id", ""),
        family=_integer(said.get("cpu family")),
        model_number=_integer(said.get("model")),
        stepping=_integer(said.get("stepping")),
        features=tuple(sorted(flag for flag in said.get("flags", "").split() if flag.startswith(FEATURE_PREFIXES))),
        logical=logical,
        physical=psutil.cpu_count(logical=False),
        usable=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical,
    )


def parse_cpuinfo(path: Path) -> dict[str, str]:
    """Read what a Linux ``/proc/cpuinfo`` says of the first processor: nothing if it is missing or names no model."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            pairs = [line.partition(":") for line in takewhile(str.strip, file)]
    except OSError:
        return {}
    said = {key.strip(): value.strip() for key, _, value in pairs}
    return said if "model name" in said else {}


def read_memory() -> int:
    """Read the machine's memory, in bytes."""
    import psutil  # 0.08 s, which `in_force` in every worker need not pay

    return int(psutil.virtual_memory().total)


def read_gpus() -> tuple[Gpu, ...]:
    """Ask the NVIDIA driver what GPUs there are: none where there is no driver. CUDA is not initialised."""
    import pynvml  # 0.06 s, which `in_force` in every worker need not pay

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(_read_gpu(pynvml, index) for index in range(_ask(pynvml.nvmlDeviceGetCount) or 0))
    finally:
        pynvml.nvmlShutdown()


def needed_driver(cuda: str, driver: str | None) -> int | None:
    """The driver that a version of CUDA needs, where `driver` is older; None where it will do, or nobody knows."""
    found, needed = leading(driver), DRIVERS.get(leading(cuda) or 0)
    return needed if found is not None and needed is not None and found < needed else None


def leading(version: str | None) -> int | None:
    """The first number of a version; None where there is none."""
    number = (version or "").partition(".")[0]
    return int(number) if number.isdecimal() else None


def _read_gpu(nvml: Any, index: int) -> Gpu:
    gpu = _ask(nvml.nvmlDeviceGetHandleByIndex, index)
    memory = _ask(nvml.nvmlDeviceGetMemoryInfo, gpu)
    capability = _ask(nvml.nvmlDeviceGetCudaComputeCapability, gpu)
    return Gpu(
        name=_ask(nvml.nvmlDeviceGetName, gpu),
        memory=memory and memory.total,
        compute_capability=capability and "{}.{}".format(*capability),
        driver=_ask(nvml.nvmlSystemGetDriverVersion),
    )


def _ask(question: Callable[..., Any], *about: object) -> Any:
    """Ask the driver: None where it cannot say, as of a GPU that is lost, or of memory that GPU and CPU share."""
    import pynvml  # 0.06 s, which `in_force` in every worker need not pay

    try:
        return question(*about)
    except pynvml.NVMLError:
        return None


def _ask_py_cpuinfo() -> dict[str, str]:
    import cpuinfo

    said = cpuinfo.get_cpu_info()
    return {
        "model name": said.get("brand_raw", ""),
        "vendor_id": said.get("vendor_id_raw", ""),
        "cpu family": str(said.get("family", "")),
        "model": str(said.get("model", "")),
        "stepping": str(said.get("stepping", "")),
        "flags": " ".join(said.get("flags", ())),
    }


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
