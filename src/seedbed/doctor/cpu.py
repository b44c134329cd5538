"""The CPU: thread pools, BLAS, and instruction sets; what was asked for against what is in force."""

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from seedbed.doctor.finding import Finding, broken, note, ok
from seedbed.doctor.start import is_late
from seedbed.environment import Environment, InForce

_ASKED = {
    # Which variables a library asks for its number of threads, the first that has one counts.
    "openblas": ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
    "mkl": ("MKL_NUM_THREADS", "OMP_NUM_THREADS"),
    "blis": ("BLIS_NUM_THREADS", "OMP_NUM_THREADS"),
    "openmp": ("OMP_NUM_THREADS",),
}

_ISA_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "BLIS_ARCH_TYPE",
    "DNNL_MAX_CPU_ISA",
    "GLIBC_TUNABLES",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)
"""The variables that pin an instruction set."""


class _Pool(NamedTuple):
    """A thread pool: what it has, and the variable that it asks, where one is set."""

    name: str
    threads: int
    variable: str | None
    asked: int | None


def threads(here: Environment, now: InForce) -> Finding:
    """The numbers of threads in force against what the variables ask for."""
    pools = list(_pools(now))
    if not pools:
        return ok("threads", "no library with threads is loaded")
    if os.environ.get("OMP_DYNAMIC", "").lower() == "true":
        return broken("threads", "OMP_DYNAMIC=true lets OpenMP choose anew each time, by the load", "unset OMP_DYNAMIC")
    other = [pool for pool in pools if pool.asked not in (None, pool.threads)]
    if other:
        return _not_as_asked(here, other)
    if unasked := [pool for pool in pools if pool.asked is None]:
        most = max(pool.threads for pool in unasked)
        do = f"export OMP_NUM_THREADS={most}, here and on each machine that shall give the same bits"
        return note("threads", f"{_counts(unasked)}, which follows the cores: no variable says it", do)
    return ok("threads", f"{_counts(pools)}, as the variables ask")


def _pools(now: InForce) -> Iterator[_Pool]:
    for name, count in now.threads.items():
        if name != "torch/openmp":  # `torch` is the same pool
            variables = _ASKED.get(_kind(name, now), ())
            asked = next(((variable, number) for variable in variables if (number := _number(variable))), (None, None))
            yield _Pool(name, count, *asked)


def _kind(pool: str, now: InForce) -> str:
    if pool == "torch":
        return "mkl" if "mkl" in now.threads else "openmp"  # torch takes over the number of the MKL that is in it
    return pool.split("/")[-1].partition(" ")[0]


def _number(variable: str) -> int | None:
    """The number that a variable asks for, OpenMP's list with commas by its first; None where it asks for none."""
    first = os.environ.get(variable, "").partition(",")[0].strip()
    return int(first) or None if first.isdecimal() else None


def _not_as_asked(here: Environment, pools: list[_Pool]) -> Finding:
    asks = sorted({f"{pool.variable}={pool.asked}" for pool in pools})
    found = f"{', '.join(asks)}, but in force: {_counts(pools)}"
    late = {is_late(pool.variable) for pool in pools if pool.variable}
    if late & {None, True}:
        return broken("threads", f"{found}; it was set too late", f"export {' '.join(asks)} before Python starts")
    if all(_is_capped(here, pool) for pool in pools):
        more = "; torch alone takes more, with MKL_DYNAMIC=FALSE" if any(pool.name == "mkl" for pool in pools) else ""
        do = f"ask for {max(pool.threads for pool in pools)}{more}"
        return broken("threads", f"{found}; there are no more cores", do)
    return note("threads", f"{found}; the program chose it", "let one place say it: the program or the variable")


def _is_capped(here: Environment, pool: _Pool) -> bool:
    cores = (here.cpu.usable, here.cpu.physical)  # OpenBLAS starts no more than the first, MKL than the second
    return pool.asked is not None and pool.asked > pool.threads and pool.threads in cores


def _counts(pools: Iterable[_Pool]) -> str:
    """Say the numbers of threads, pools of one number together: ``2 (torch, mkl), 1 (numpy/openblas)``."""
    together: dict[int, list[str]] = {}
    for pool in pools:
        together.setdefault(pool.threads, []).append(pool.name)
    return ", ".join(f"{count} ({', '.join(names)})" for count, names in together.items())


def blas(here: Environment) -> Finding:
    """Which BLAS each library has. Another one gives other bits: it belongs to what a comparison looks at."""
    said = [
        f"{name} {library.version or ''} {library.architecture or ''}".strip()
        for name, library in here.libraries.items()
        if library.user_api == "blas"
    ]
    if here.torch is not None and here.torch.mkl is not None:
        said.append(f"torch/mkl {here.torch.mkl}")
    return ok("blas", ", ".join(said) or "none is loaded")


def isa(here: Environment, now: InForce) -> Finding:
    """The instruction sets in force against those that were asked for."""
    pins = {name: here.variables[name] for name in _ISA_VARIABLES if name in here.variables}
    if "hwcaps" not in pins.get("GLIBC_TUNABLES", "hwcaps"):
        del pins["GLIBC_TUNABLES"]  # it tunes something else
    used = ", ".join(f"{name} {value}" for name, value in now.isa.items() if name != "numpy" and value) or "none loaded"
    if refused := list(_refused(pins, here, now)):
        do = "export it before Python starts, with a value that the library knows"
        return broken("instruction sets", "; ".join(refused), do)
    if late := [name for name in pins if is_late(name)]:
        found = f"{', '.join(late)} came after the start, in time or not; in use: {used}"
        return note("instruction sets", found, "export it before Python starts")
    if pins:
        said = ", ".join(f"{name}={value}" for name, value in pins.items())
        do = "set the same wherever the same bits are wanted; unset it for the CPU's own speed"
        return note("instruction sets", f"pinned by {said}; in use: {used}", do)
    return ok("instruction sets", f"each library chose by this CPU: {used}")


def _refused(pins: dict[str, str], here: Environment, now: InForce) -> Iterator[str]:
    """What is certainly not in force.

    MKL and oneDNN say nothing, and OpenBLAS goes by other names than it is asked for (Katmai for Prescott). glibc reads
    its variable at the start only.
    """
    asked, aten = pins.get("ATEN_CPU_CAPABILITY"), now.isa.get("aten")
    if asked and aten and asked.upper() != aten:
        yield f"ATEN_CPU_CAPABILITY={asked}, but ATen uses {aten}"
    disabled = pins.get("NPY_DISABLE_CPU_FEATURES", "").replace(",", " ").split()
    if here.numpy and (has := [name for name in disabled if name in here.numpy.enabled]):
        yield f"NPY_DISABLE_CPU_FEATURES disables {' '.join(has)}, but NumPy uses it"
    if "GLIBC_TUNABLES" in pins and is_late("GLIBC_TUNABLES"):
        yield "GLIBC_TUNABLES came after the start, when glibc no longer reads it"
