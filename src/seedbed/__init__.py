"""Reproducible research, checkable: every source of randomness set, every difference measured to the last bit."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from seedbed.seeding import DEFAULT_SEED as DEFAULT_SEED
    from seedbed.seeding import set_all_seeds as set_all_seeds
    from seedbed.seeding import set_numpy as set_numpy
    from seedbed.seeding import set_python as set_python
    from seedbed.seeding import set_torch as set_torch

_HOME = {
    "DEFAULT_SEED": "seeding",
    "set_all_seeds": "seeding",
    "set_numpy": "seeding",
    "set_python": "seeding",
    "set_torch": "seeding",
}

__all__ = ["DEFAULT_SEED", "__version__", "set_all_seeds", "set_numpy", "set_python", "set_torch"]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562), so that ``import seedbed`` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
