"""The exceptions and warnings of Seedbed: one family, so that one ``except`` clause can take them all."""

import sys
import warnings
from reprlib import repr as shortened


class SeedbedError(Exception):
    """Anything that Seedbed refuses or cannot do. The message names the rule, the value, the place, the way out."""


class SeedError(SeedbedError, ValueError):
    """A seed that is no integer in 0..2**32-1."""


class RngStateError(SeedbedError):
    """A generator's state that cannot be read, restored or written: the file, the place in it, what was expected."""


class HashSeedError(SeedbedError):
    """A hash seed that is not in force and cannot be made so from here; the message says how it can."""


class ExperimentError(SeedbedError):
    """An experiment that cannot be loaded, or whose result is no mapping of names to arrays, tensors or numbers."""


class ConfigError(SeedbedError):
    """A setting (an option, a level, a condition, a promise, `pyproject.toml`) that means nothing."""


class ScaffoldError(SeedbedError):
    """A project that cannot be made, or cannot be brought up to date."""


class AnswerError(ScaffoldError):
    """An answer that no project can be made of: to which question, and why."""

    def __init__(self, question: str, reason: str) -> None:
        super().__init__(f"{question}: {reason}")
        self.question = question
        self.reason = reason


class RecordError(SeedbedError):
    """A record that cannot be read or written: the file, the place in it, and what was expected."""


class NotPortableError(SeedbedError):
    """An operation that portable mode has no portable form of: its name, the module and the line it was called from.

    `operation` is aten's name of it; empty where the reason is not yet placed.
    """

    def __init__(self, message: str, operation: str = "") -> None:
        super().__init__(message)
        self.operation = operation


class MatlabError(SeedbedError, ValueError):
    """A seed, size, state or .mat file that MATLAB's or Octave's streams do not take."""


class SeedbedWarning(UserWarning):
    """Something that Seedbed was asked to set and could not: said, never silent."""


def warn(message: str) -> None:
    """Warn, and point to the line outside Seedbed that it comes from.

    Python 3.12's ``skip_file_prefixes`` does the same.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("seedbed."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, SeedbedWarning, stacklevel=level)


def shown(value: object) -> str:
    """Show a value in a message, shortened: also an integer of more digits than Python converts."""
    try:
        return shortened(value)
    except ValueError:
        return "an integer of thousands of digits"
