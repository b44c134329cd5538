"""scikit-learn without the annoyance: every ``random_state`` of an estimator, however nested, from one seed."""

from collections.abc import Iterator
from typing import Any, SupportsIndex, TypeVar

from seedbed.errors import ConfigError
from seedbed.seeding import DEFAULT_SEED
from seedbed.streams import Streams, as_streams

E = TypeVar("E")

_PARAMETER = "random_state"


def seed_estimator(estimator: E, seed: SupportsIndex | Streams = DEFAULT_SEED) -> E:
    """Set every ``random_state`` of an estimator and of all inside it, in place, and return it.

    Each gets an integer from the stream of its own name (``clf__estimator__random_state``), so that fitting twice
    gives the same, no global seed needs resetting, and a step that is added or renamed changes no other. A splitter
    that an estimator holds (``GridSearchCV(cv=KFold(shuffle=True))``) is seeded too, if it shuffles.

    What it cannot set: an estimator that draws from something else than ``random_state`` (a score function such as
    ``mutual_info_classif``), one that a search only chooses from (in ``param_grid``: seed it there), and how many
    threads compute. An estimator that stands in two places has the stream of the last.
    scikit-learn says why integers: https://scikit-learn.org/stable/common_pitfalls.html#controlling-randomness

    Parameters
    ----------
    estimator
        Anything with scikit-learn's ``get_params`` and ``set_params``: an estimator, a pipeline, a search.
    seed
        The root seed, an integer in 0..2**32-1, or streams of your own.

    Raises
    ------
    ConfigError
        If `estimator` is none: also a class, where its instance was meant.
    SeedError
        If `seed` is anything else; then nothing was changed.
    """
    streams = as_streams(seed).child("estimator")
    if isinstance(estimator, type) or not (hasattr(estimator, "get_params") and hasattr(estimator, "set_params")):
        raise ConfigError(
            f"seed_estimator takes a scikit-learn estimator, with get_params and set_params, not {estimator!r:.80}"
        )
    parameters: dict[str, Any] = estimator.get_params(deep=True)
    estimator.set_params(**{name: streams.sklearn(name) for name in _names(parameters)})
    for name, splitter in _splitters(parameters):
        splitter.random_state = streams.sklearn(f"{name}__{_PARAMETER}")
    return estimator


def _names(parameters: dict[str, Any]) -> list[str]:
    return [name for name in parameters if name == _PARAMETER or name.endswith(f"__{_PARAMETER}")]


def _splitters(parameters: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Find what has a ``random_state`` and is no estimator; a ``KFold`` that does not shuffle takes none."""
    for name, value in parameters.items():
        has = not isinstance(value, type) and hasattr(value, "split") and hasattr(value, _PARAMETER)
        if has and not hasattr(value, "get_params") and getattr(value, "shuffle", True):
            yield name, value
