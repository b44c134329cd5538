"""Seeds for every generator that a program draws from without saying so: Python's, NumPy's and PyTorch's."""

import random
from numbers import Integral
from operator import index
from reprlib import repr as shortened
from typing import SupportsIndex

from seedbed.determinism import deterministic as deterministic_flags
from seedbed.determinism import set_flags
from seedbed.errors import SeedError

DEFAULT_SEED = 1337
"""The seed where none is given. Nothing speaks for it: a result that needs this seed is no result."""


def check_seed(seed: object) -> int:
    """Give `seed` as Python's own integer.

    Raises
    ------
    SeedError
        If it is no integer (Python's or NumPy's) in 0..2**32-1: True, 1.0, "1", None, -1, 2**32.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= index(seed) < 2**32:
        raise SeedError(
            f"a seed must be an integer in 0..2**32-1, not {shortened(seed)} ({type(seed).__name__}): NumPy's legacy "
            "generator takes no other, and torch's CPU generator drops what is above"
        )
    return index(seed)  # random.seed refuses np.int64


def set_python(seed: SupportsIndex) -> None:
    """Seed `random`, Python's own generator.

    Hashes of text, and so the order of sets, are not drawn from it: ``PYTHONHASHSEED`` decides them, before the
    interpreter starts.

    Raises
    ------
    SeedError
        If `seed` is no integer (Python's or NumPy's) in 0..2**32-1.
    """
    random.seed(check_seed(seed))


def set_numpy(seed: SupportsIndex) -> None:
    """Seed NumPy's legacy global generator, ``np.random.*``, which scikit-learn uses too if ``random_state=None``.

    Generators that a program makes for itself (``np.random.default_rng()``) are beyond it: seed those where they
    are made.

    Raises
    ------
    SeedError
        If `seed` is no integer (Python's or NumPy's) in 0..2**32-1.
    """
    number = check_seed(seed)
    import numpy as np

    np.random.seed(number)


def set_torch(seed: SupportsIndex, *, deterministic: bool = False) -> None:
    """Seed torch's default generators: the CPU's, and that of every CUDA, MPS and XPU device.

    CUDA is not started: if it has not been yet, its generators are seeded when it is.

    `deterministic` also sets `seedbed.determinism.deterministic()`, for good. For one block write ``with
    set_flags(deterministic()):`` instead; to undo it keep ``before = in_force()`` and call ``set_flags(before)``
    (all from `seedbed.determinism`). Without it flags stay as they are.

    Raises
    ------
    SeedError
        If `seed` is no integer (Python's or NumPy's) in 0..2**32-1.

    Warns
    -----
    SeedbedWarning
        If a flag of deterministic mode could not be set.
    """
    number = check_seed(seed)
    import torch

    torch.manual_seed(number)
    if deterministic:
        set_flags(deterministic_flags())


def set_all_seeds(seed: SupportsIndex = DEFAULT_SEED, *, deterministic: bool = False) -> None:
    """Seed Python, NumPy's legacy generator and torch on every device, each with the same `seed`.

    What it cannot set: the hash seed of the running interpreter (start it with ``PYTHONHASHSEED``), generators that
    a program made for itself, libraries with generators of their own, and how many threads compute. What a seed
    gives depends on the library's version and, from torch, for some draws on the CPU and on the device.

    Parameters
    ----------
    seed
        An integer in 0..2**32-1: as much as NumPy's legacy generator and torch's CPU generator can tell apart.
    deterministic
        See `set_torch`.

    Raises
    ------
    SeedError
        If `seed` is anything else; then nothing was seeded.
    """
    number = check_seed(seed)
    import torch

    set_python(number)
    set_numpy(number)
    # Not through set_torch: this formats the call stack three times over, and every function between costs 3 %.
    torch.manual_seed(number)
    if deterministic:
        set_flags(deterministic_flags())
