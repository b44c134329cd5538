"""What ``@pytest.mark.reproducible(...)`` asks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutinefunction
from unittest import TestCase

import pytest

from seedbed.bits import Bits, flatten
from seedbed.condition import CONDITIONS, LEVELS, check_names
from seedbed.errors import ConfigError, ExperimentError
from seedbed.promise import Promise, parse

MARK = "@pytest.mark.reproducible"


@dataclass(frozen=True, slots=True)
class Question:
    """Does a test return the same where these conditions vary, at this level, by this promise?"""

    vary: tuple[str, ...]
    level: str
    promise: Promise
    time_limit: float


def read(mark: pytest.Mark, item: pytest.Item) -> Question:
    """Read the mark of a test.

    Raises:
        ConfigError: where it asks what cannot be asked, or of a test that cannot be rerun.
    """
    try:
        question = reproducible(*mark.args, **mark.kwargs)
    except TypeError as error:
        arguments = "vary, level, rtol, atol and time_limit, each given by its name"
        raise ConfigError(f"{MARK}: {error}; its arguments are {arguments}") from None
    except ConfigError as error:
        raise ConfigError(f"{MARK}: {error}") from None
    if reason := _refusal(item, question):
        raise ConfigError(f"{MARK}: {reason}")
    return question


def reproducible(
    *,
    vary: str | Iterable[str] = ("rerun",),
    level: str = "deterministic",
    rtol: float | None = None,
    atol: float | None = None,
    time_limit: float = 600.0,
) -> Question:
    """Make the question of the mark's arguments.

    Raises:
        ConfigError: for an unknown condition or level, or a number that means nothing.
    """
    conditions = check_names("condition", [vary] if isinstance(vary, str) else vary, CONDITIONS)
    if "order" in conditions:
        raise ConfigError("'order' needs several experiments, and a test is one: pytest-randomly shuffles tests")
    check_names("level", [level], LEVELS)
    tolerances = [f"{name} {value}" for name, value in (("rtol", rtol), ("atol", atol)) if value is not None]
    if not time_limit > 0:
        raise ConfigError(f"time_limit must be a number of seconds above 0, not {time_limit!r}")
    promise = parse(" ".join(tolerances) or "identical", "what the results must be")
    return Question(conditions or ("rerun",), level, promise, time_limit)


def _refusal(item: pytest.Item, question: Question) -> str | None:
    if not isinstance(item, pytest.Function):
        return f"only a test function can be rerun, not a {type(item).__name__}"
    if item.cls is not None and issubclass(item.cls, TestCase):
        return "a method of unittest.TestCase cannot return what shall be compared: make it a function"
    if iscoroutinefunction(item.obj) or isasyncgenfunction(item.obj):
        return "an async function cannot be rerun: make it a function that runs its own event loop (asyncio.run)"
    if "device" in question.vary and "seedbed_device" not in item.fixturenames:
        return "'device' varies what the fixture seedbed_device gives: the test must take it and compute there"
    return None


def results_of(value: object) -> dict[str, Bits]:
    """Take the bits of what a test returned; what is no mapping is called ``result``.

    Raises:
        ExperimentError: where it returned nothing, or something that has no bits.
    """
    if value is None:
        raise ExperimentError("the test returned None: return what shall be compared (arrays, tensors, numbers)")
    results = flatten(value, "" if isinstance(value, Mapping) else "result")
    if not results:
        raise ExperimentError(f"the test returned nothing to compare: {value!r}")
    if "__metadata__" in results:
        raise ExperimentError("the key '__metadata__' is one that safetensors keeps to itself: rename the result")
    return results
