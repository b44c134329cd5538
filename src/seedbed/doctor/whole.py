"""The whole examination."""

from pathlib import Path

from seedbed import environment
from seedbed.doctor import cpu, cuda, process, project
from seedbed.doctor.finding import Finding


def examine(root: Path | None = None, *, load: bool = False, try_flags: bool = False) -> list[Finding]:
    """Say what would break a rerun in this process, of the project in the folder `root` (the current one if None).

    A program that is running calls it as it is: it reads what is in force, and finds what was set too late. The
    command `seedbed doctor`, in a process of its own, uses both options. CUDA is never started.

    Parameters
    ----------
    load
        Import NumPy, SciPy and torch first: a library that is not loaded says nothing.
    try_flags
        Set every flag of `determinism.deterministic`, read it back and restore it, to say whether it can be in force,
        not whether it is.
    """
    here = environment.read(root, load=load)
    now, no_cuda = environment.in_force(), environment.no_cuda()
    return [
        project.python(here),
        project.lock(here),
        project.source(here),
        project.container(here),
        process.hash_seed(now),
        process.flags(no_cuda, attempt=try_flags),
        cpu.threads(here, now),
        cpu.blas(here),
        cpu.isa(here, now),
        cuda.gpu(here, no_cuda),
        cuda.cublas(no_cuda),
        *cuda.tf32(no_cuda),
    ]
