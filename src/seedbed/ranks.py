"""Which of several processes this one is: as torch.distributed says, or the variables that a launcher sets."""

import os
import re
import sys
from dataclasses import dataclass

from seedbed.errors import ConfigError

LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),  # torchrun: https://docs.pytorch.org/docs/stable/elastic/run.html
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI's mpirun
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),  # MVAPICH
    ("PMI_RANK", "PMI_SIZE"),  # MPICH's and Intel's mpiexec
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),  # srun: https://slurm.schedmd.com/srun.html
)
"""The variables that say a process's rank and how many there are, the first that is set wins."""


@dataclass(frozen=True, slots=True)
class Rank:
    """One process among `world_size`, numbered from 0, and who said so."""

    rank: int
    world_size: int
    source: str
    """``torch.distributed``, the launcher's variable, or ``alone``."""


def current_rank() -> Rank:
    """Read which process this is: 0 of 1 where nobody says otherwise.

    A process group of torch.distributed counts for more than a launcher's variables, once it is initialised. Neither
    is started or imported.

    Raises
    ------
    ConfigError
        If a launcher's variables contradict themselves: a rank without a world size, or one that is not below it.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return Rank(distributed.get_rank(), distributed.get_world_size(), "torch.distributed")
    for rank, world_size in LAUNCHERS:
        if rank in os.environ and (world_size in os.environ or rank != "SLURM_PROCID"):  # sbatch alone sets that one
            return _read(rank, world_size)
    return Rank(0, 1, "alone")


def _read(rank: str, world_size: str) -> Rank:
    given = {name: os.environ.get(name) for name in (rank, world_size)}
    numbers = [int(text) for text in given.values() if text and re.fullmatch("[0-9]{1,9}", text)]
    if len(numbers) < 2 or numbers[0] >= numbers[1]:
        found = ", ".join(f"{name}={text!r}" for name, text in given.items())
        raise ConfigError(
            f"a launcher's variables must be whole numbers, the rank below the world size, not {found}: unset {rank} "
            "where this is one process, or give the rank yourself"
        )
    return Rank(numbers[0], numbers[1], rank)
