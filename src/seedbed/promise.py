"""What a project promises of itself in ``pyproject.toml``, and whether a comparison keeps it.

[tool.seedbed]
experiments = ["my_study.experiment:train"]        # what `seedbed repro` runs when none is named

[tool.seedbed.promises]                            # at level deterministic and above
rerun = "identical"
threads = "rtol 1e-4"
machine = "rtol 1e-3 atol 1e-6"                    # against the record of another machine

[tool.seedbed.promises.seeded]                     # at another level
rerun = "identical"

[tool.seedbed.promises."my_study.experiment:train"]  # for one experiment, over the above
threads = "any"
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seedbed.comparison import Comparison, Relation
from seedbed.condition import CONDITIONS, LEVELS
from seedbed.errors import ConfigError

DEFAULT_LEVEL = "deterministic"
"""The lowest level that a promise outside any level's own table speaks of."""

_RELATIONS = {
    "identical": Relation.IDENTICAL,
    "equal": Relation.EQUAL,
    "close": Relation.CLOSE,
    "any": Relation.DIFFERENT,
}


@dataclass(frozen=True, slots=True)
class Promise:
    """The loosest relation that keeps the promise; for `close`, the tolerances, or None for each dtype's usual ones."""

    text: str
    relation: Relation
    rtol: float | None = None
    atol: float | None = None

    def kept(self, comparison: Comparison) -> bool:
        """Whether a comparison, made with this promise's tolerances, keeps it."""
        return comparison.relation <= self.relation


ANY = Promise("any", Relation.DIFFERENT)
IDENTICAL = Promise("identical", Relation.IDENTICAL)


def parse(text: object, place: str) -> Promise:
    """Read one promise: ``identical``, ``equal``, ``close``, ``any``, or ``rtol X``, ``atol Y``, or both.

    Raises:
        ConfigError: naming `place`, where it is none of these.
    """
    if isinstance(text, str):
        if text in _RELATIONS:
            return Promise(text, _RELATIONS[text])
        words = text.split()
        names, numbers = words[::2], words[1::2]
        if names in (["rtol"], ["atol"], ["rtol", "atol"]) and len(names) == len(numbers):
            tolerances = dict(zip(names, map(_number, numbers), strict=True))
            if None not in tolerances.values():
                return Promise(text, Relation.CLOSE, tolerances.get("rtol", 0.0), tolerances.get("atol", 0.0))
    raise ConfigError(
        f"{place} = {text!r} is no promise: write identical, equal, close, any, or tolerances such as 'rtol 1e-4' "
        "or 'rtol 1e-4 atol 1e-6'"
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


@dataclass(frozen=True, slots=True)
class Promises:
    """All promises of a project, by what they speak of."""

    general: Mapping[str, Promise] = field(default_factory=dict)
    by_level: Mapping[str, Mapping[str, Promise]] = field(default_factory=dict)
    by_experiment: Mapping[str, Mapping[str, Promise]] = field(default_factory=dict)

    def of(self, experiment: str, level: str, condition: str) -> Promise | None:
        """The promise about one cell, or None: the level's, else the general one; or what the experiment has instead.

        The general promises and an experiment's own speak of level `deterministic` and above; of a lower level, an
        experiment's own speaks only where that level promises something.
        """
        reaches = LEVELS.index(level) >= LEVELS.index(DEFAULT_LEVEL)
        promise = self.by_level.get(level, {}).get(condition) or (self.general.get(condition) if reaches else None)
        if promise is None and not reaches:
            return None
        return self.by_experiment.get(experiment, {}).get(condition) or promise


@dataclass(frozen=True, slots=True)
class Settings:
    """The table ``[tool.seedbed]`` of a project."""

    experiments: tuple[str, ...] = ()
    promises: Promises = Promises()


def settings(pyproject: Path) -> Settings:
    """Read ``[tool.seedbed]`` from `pyproject`; a file or a table that is not there says nothing.

    Raises:
        ConfigError: naming the file and the key, where the table says something that means nothing.
    """
    try:
        document = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{pyproject}: cannot be read as TOML: {error}") from None
    try:
        tool = document.get("tool", {})
        return _settings(tool.get("seedbed", {}) if isinstance(tool, dict) else {})
    except ConfigError as error:
        raise ConfigError(f"{pyproject}: {error}") from None


def _settings(table: Any) -> Settings:
    if not isinstance(table, dict):
        raise ConfigError(f"tool.seedbed = {table!r} is no table")
    unknown = sorted(set(table) - {"experiments", "promises"})
    if unknown:
        raise ConfigError(f"[tool.seedbed] has no key {unknown[0]!r}: it has experiments and promises")
    experiments = table.get("experiments", [])
    if not (isinstance(experiments, list) and all(isinstance(name, str) for name in experiments)):
        raise ConfigError(f"tool.seedbed.experiments = {experiments!r} is no list of names package.module:function")
    return Settings(tuple(experiments), _promises(table.get("promises", {})))


def _promises(table: object) -> Promises:
    if not isinstance(table, dict):
        raise ConfigError(f"tool.seedbed.promises = {table!r} is no table")
    nested = {name: inner for name, inner in table.items() if isinstance(inner, dict)}
    for name in nested:
        if name not in LEVELS and ":" not in name:
            raise ConfigError(
                f"[tool.seedbed.promises.{name}] is neither a level ({', '.join(LEVELS)}) nor an experiment"
            )
    read = {name: _table(inner, f"tool.seedbed.promises.{name}") for name, inner in nested.items()}
    return Promises(
        general=_table({name: text for name, text in table.items() if name not in nested}, "tool.seedbed.promises"),
        by_level={name: promises for name, promises in read.items() if name in LEVELS},
        by_experiment={name: promises for name, promises in read.items() if name not in LEVELS},
    )


def _table(table: Mapping[str, object], place: str) -> dict[str, Promise]:
    known = (*CONDITIONS, "machine")
    for condition in table:
        if condition not in known:
            raise ConfigError(f"{place}.{condition}: no such condition; there are {', '.join(known)}")
    return {condition: parse(text, f"{place}.{condition}") for condition, text in table.items()}
