"""Reproducible research, checkable: every source of randomness set, every difference measured to the last bit."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from seedbed import matlab as matlab
    from seedbed import rng_state as rng_state
    from seedbed.estimator import seed_estimator as seed_estimator
    from seedbed.hashseed import ensure_hashseed as ensure_hashseed
    from seedbed.loader import loader_kwargs as loader_kwargs
    from seedbed.seeding import DEFAULT_SEED as DEFAULT_SEED
    from seedbed.seeding import seeded as seeded
    from seedbed.seeding import set_all_seeds as set_all_seeds
    from seedbed.seeding import set_numpy as set_numpy
    from seedbed.seeding import set_python as set_python
    from seedbed.seeding import set_torch as set_torch
    from seedbed.streams import Streams as Streams

_HOME = {
    "DEFAULT_SEED": "seeding",
    "Streams": "streams",
    "ensure_hashseed": "hashseed",
    "loader_kwargs": "loader",
    "matlab": "matlab",
    "rng_state": "rng_state",
    "seed_estimator": "estimator",
    "seeded": "seeding",
    "set_all_seeds": "seeding",
    "set_numpy": "seeding",
    "set_python": "seeding",
    "set_torch": "seeding",
}

__all__ = [
    "DEFAULT_SEED",
    "Streams",
    "__version__",
    "ensure_hashseed",
    "loader_kwargs",
    "matlab",
    "rng_state",
    "seed_estimator",
    "seeded",
    "set_all_seeds",
    "set_numpy",
    "set_python",
    "set_torch",
]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562), so that ``import seedbed`` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"{__name__}.{_HOME[name]}")
    return module if name == _HOME[name] else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
