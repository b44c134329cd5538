"""The state of every generator: captured, restored, and kept in a file, exactly and without pickle."""

from typing import TYPE_CHECKING

from seedbed.rng_state.state import Generators, RngState, capture, restore

if TYPE_CHECKING:
    from seedbed.rng_state.file import load as load
    from seedbed.rng_state.file import save as save

__all__ = ["Generators", "RngState", "capture", "load", "restore", "save"]


def __getattr__(name: str) -> object:
    """Load what reads and writes files when it is first used: it needs NumPy, and `seedbed.seeding` does not."""
    if name not in ("load", "save"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from seedbed.rng_state import file

    return getattr(file, name)
