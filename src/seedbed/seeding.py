"""Seeds for every generator that a program draws from without saying so: Python's, NumPy's and PyTorch's."""

import random
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
from numbers import Integral
from operator import index
from typing import Any, Self, SupportsIndex

from seedbed.determinism import FlagState, set_flags
from seedbed.determinism import deterministic as deterministic_flags
from seedbed.errors import SeedError, shown
from seedbed.rng_state import RngState, capture
from seedbed.scope import Scope

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
            f"a seed must be an integer in 0..2**32-1, not {shown(seed)} ({type(seed).__name__}): NumPy's legacy "
            "generator takes no other, and torch's CPU generator drops what is above"
        )
    return index(seed)  # random.seed refuses np.int64


def set_python(seed: SupportsIndex) -> None:
    """Seed `random`, Python's own generator.

    Hashes of text, and so the order of sets, are not drawn from it: ``PYTHONHASHSEED`` decides them, before the
    interpreter starts; see `seedbed.hashseed.ensure_hashseed`.

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
    _manual_seed(check_seed(seed))
    if deterministic:
        set_flags(deterministic_flags())


def _manual_seed(seed: int) -> None:
    """Do what `torch.manual_seed` does, for the one kind of accelerator that this build of torch has, if any.

    That one turns to CUDA, XPU and MTIA alike, and for each that has not started it notes the whole call stack: nearly
    all of its time, and more the deeper the call is.
    """
    import torch

    accelerator = torch.accelerator.current_accelerator()  # of the build, whether or not the device is here
    if accelerator is not None and accelerator.type not in ("cuda", "xpu"):
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if accelerator is not None and not (backend := getattr(torch, accelerator.type))._is_in_bad_fork():
        backend.manual_seed_all(seed)


def set_all_seeds(seed: SupportsIndex = DEFAULT_SEED, *, deterministic: bool = False) -> None:
    """Seed Python, NumPy's legacy generator and torch on every device, each with the same `seed`.

    What it cannot set: the hash seed of the running interpreter (`seedbed.hashseed.ensure_hashseed` does), generators
    that a program made for itself, libraries with generators of their own, and how many threads compute. What a seed
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
    set_python(number)
    set_numpy(number)
    set_torch(number, deterministic=deterministic)


class seeded(Scope):  # noqa: N801 - used like a function, as `set_flags`
    """Set all seeds, and put every generator and every flag back afterwards: a call, a ``with`` block, a decorator.

    ::

        switch = seeded(1337)     # a call: as set_all_seeds(1337), until switch.restore()

        with seeded(1337):        # until the end of the block, on an exception too
            model = Model()

        @seeded(1337)             # during each call, every one from the same seed; of a generator or async function,
        def train(): ...          # while it runs: whenever it is suspended, what was there before is put back

    Put back are the states of Python's, NumPy's legacy and torch's default generators, on the CPU and on every CUDA,
    XPU and MPS device that had started, and all of `seedbed.determinism.Flags`, whoever changed them. No device is
    started. One that starts within the block is seeded within it, and afterwards seeded as it would have been without.

    What it cannot put back: generators that a program made for itself, and draws made by other threads meanwhile;
    generators and flags belong to the process. What it cannot set is what `set_all_seeds` cannot.

    Blocks nest, and one object may be entered again: each time from the seed.

    Parameters
    ----------
    seed
        An integer in 0..2**32-1.
    deterministic
        Also set `seedbed.determinism.deterministic()`. Without it flags are left as they are at the start, and still
        put back at the end.

    Raises
    ------
    SeedError
        If `seed` is anything else; then nothing was changed.

    Warns
    -----
    SeedbedWarning
        If a flag of deterministic mode could not be set.
    """

    def __init__(self, seed: SupportsIndex = DEFAULT_SEED, *, deterministic: bool = False) -> None:
        self.seed = check_seed(seed)
        self.deterministic = deterministic
        super().__init__()

    def _now(self) -> "_Before":
        return _Before.now()

    def _renew(self) -> None:
        set_all_seeds(self.seed)

    def _change(self, before: "_Before") -> None:
        set_all_seeds(self.seed)
        if self.deterministic:
            before.flags.change(deterministic_flags())


@dataclass(frozen=True, slots=True)
class _Before:
    """What `seeded` puts back; `waiting` are the seeds that wait for accelerators which have not started."""

    rng: RngState
    flags: FlagState
    waiting: dict[str, Any]
    bit_generator: Any
    """What NumPy's legacy functions draw from: it can be exchanged."""

    @classmethod
    def now(cls) -> Self:
        import torch  # noqa: F401 - `capture` looks at what is loaded, and this will be seeded

        return cls(capture(), FlagState.now(), _waiting_seeds(), _numpy_random().get_bit_generator())

    def restore(self) -> None:
        with ExitStack() as each:  # the last first; and whatever one of them raises, the others too
            each.callback(_put_back_waiting, self.waiting)
            each.callback(self.rng.write, {})
            each.callback(self._restore_bit_generator)
            each.callback(self.flags.restore)

    def _restore_bit_generator(self) -> None:
        if _numpy_random().get_bit_generator() is not self.bit_generator:
            _numpy_random().set_bit_generator(self.bit_generator)


def _numpy_random() -> Any:
    """Give ``np.random``, whose annotations lack what exchanges its bit generator."""
    import numpy as np

    return np.random


def _waiting_seeds() -> dict[str, Any]:
    """Copy, by backend, what torch keeps of seeds until an accelerator starts; empty where torch is built for none.

    torch has no public way to ask for them: ``_lazy_seed_tracker`` in torch/cuda/__init__.py.
    """
    import torch

    if torch.accelerator.current_accelerator() is None:
        return {}
    backends = {name: getattr(torch, name) for name in ("cuda", "xpu")}
    return {name: copy(each._lazy_seed_tracker) for name, each in backends.items() if not each.is_initialized()}


def _put_back_waiting(waiting: dict[str, Any]) -> None:
    import torch

    for name, tracker in waiting.items():
        backend = getattr(torch, name)
        if not backend.is_initialized():
            vars(backend._lazy_seed_tracker).update(vars(tracker))
        elif calls := [call for call in tracker.get_calls() if call]:  # it started meanwhile
            for seed, _ in calls:
                seed()
        else:
            backend.seed_all()
