"""MATLAB's and Octave's random streams and arrays, in NumPy: the same numbers from the same seed or state."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seedbed.matlab.exchange import from_octave as from_octave
    from seedbed.matlab.exchange import load_mat as load_mat
    from seedbed.matlab.exchange import load_state as load_state
    from seedbed.matlab.exchange import save_mat as save_mat
    from seedbed.matlab.exchange import save_state as save_state
    from seedbed.matlab.exchange import to_octave as to_octave
    from seedbed.matlab.octave import OctaveRandom as OctaveRandom
    from seedbed.matlab.octave import matlab_seeding as matlab_seeding
    from seedbed.matlab.octave import octave_code as octave_code
    from seedbed.matlab.stream import MatlabRandom as MatlabRandom

_HOME = {
    "MatlabRandom": "stream",
    "OctaveRandom": "octave",
    "from_octave": "exchange",
    "load_mat": "exchange",
    "load_state": "exchange",
    "matlab_seeding": "octave",
    "octave_code": "octave",
    "save_mat": "exchange",
    "save_state": "exchange",
    "to_octave": "exchange",
}

__all__ = [
    "MatlabRandom",
    "OctaveRandom",
    "from_octave",
    "load_mat",
    "load_state",
    "matlab_seeding",
    "octave_code",
    "save_mat",
    "save_state",
    "to_octave",
]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used: neither NumPy nor SciPy is loaded before."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
