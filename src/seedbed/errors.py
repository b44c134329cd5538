"""The exceptions and warnings of Seedbed: one family, so that one ``except`` clause can take them all."""


class SeedbedError(Exception):
    """Anything that Seedbed refuses or cannot do. The message names the rule, the value, the place, the way out."""


class SeedError(SeedbedError, ValueError):
    """A seed that is no integer in 0..2**32-1."""


class ExperimentError(SeedbedError):
    """An experiment that cannot be loaded, or whose result is no mapping of names to arrays, tensors or numbers."""


class ConfigError(SeedbedError):
    """A setting (an option, a level, a condition, a promise, `pyproject.toml`) that means nothing."""


class RecordError(SeedbedError):
    """A record that cannot be read or written: the file, the place in it, and what was expected."""


class SeedbedWarning(UserWarning):
    """Something that Seedbed was asked to set and could not: said, never silent."""
