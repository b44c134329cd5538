"""A record, or the comparison of two, as tables for people: on the terminal, and in Markdown for a README."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from seedbed.comparison import Relation, describe, short
from seedbed.condition import CONDITIONS, CPU_CONDITIONS
from seedbed.environment import Environment
from seedbed.record import Cell, Match, Record

BUILT_IN = "seedbed.suite."
"""Left out of the names of the built-in experiments, which are long enough without it."""

_STYLES = {
    Relation.IDENTICAL: "green",
    Relation.EQUAL: "green",
    Relation.CLOSE: "yellow",
    Relation.DIFFERENT: "red",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One condition on one device."""

    condition: str
    device: str

    @property
    def title(self) -> str:
        """The condition, and the device where that is not the CPU."""
        return self.condition if self.device == "cpu" or self.condition == "device" else f"{self.condition} (cuda)"


def columns(record: Record) -> list[Column]:
    """The columns of the table: the conditions that the record has, the CPU's first, `device` last."""
    there = {Column(cell.condition, cell.device) for cell in record.cells} - {Column("baseline", "cpu")}
    ordered = [Column(condition, device) for device in ("cpu", "cuda") for condition in CONDITIONS]
    return [
        column
        for column in ordered
        if column in there and not (column.device == "cuda" and column.condition in CPU_CONDITIONS)
    ]


def name_of(experiment: str) -> str:
    """The name to show: a built-in experiment's without its package."""
    return experiment.removeprefix(BUILT_IN)


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in one place of the table: the worst of a condition's settings."""

    text: str
    style: str
    relation: Relation | None


def _entry(cells: Sequence[Cell]) -> Entry:
    if any(cell.status == "failed" for cell in cells):
        return Entry("failed", "bold red", None)
    compared = [cell.comparison for cell in cells if cell.comparison is not None]
    if not compared:
        return Entry("-", "dim", None)
    worst = max(compared, key=lambda comparison: comparison.relation)
    broken = any(cell.kept is False for cell in cells)
    return Entry(short(worst) + (" !" if broken else ""), _STYLES[worst.relation], worst.relation)


def _grouped(record: Record) -> dict[tuple[str, str, Column], list[Cell]]:
    grouped: dict[tuple[str, str, Column], list[Cell]] = {}
    for cell in record.cells:
        grouped.setdefault((cell.experiment, cell.level, Column(cell.condition, cell.device)), []).append(cell)
    return grouped


def _axes(record: Record) -> tuple[list[str], list[str]]:
    experiments = list(dict.fromkeys(cell.experiment for cell in record.cells))
    return experiments, list(dict.fromkeys(cell.level for cell in record.cells))


def rows(record: Record) -> Iterator[tuple[str, str, list[Entry]]]:
    """Experiment, level and the entries across the columns: the table *experiment x level x condition*."""
    grouped, across = _grouped(record), columns(record)
    experiments, levels = _axes(record)
    for experiment in experiments:
        for level in levels:
            yield (
                name_of(experiment),
                level,
                [_entry(grouped.get((experiment, level, column), [])) for column in across],
            )


def headline(record: Record) -> Iterator[tuple[str, list[str]]]:
    """Level, and for each column how many experiments gave the same bits: the table *level x condition*."""
    across = columns(record)
    for level in _axes(record)[1]:
        entries = [entries for _, row_level, entries in rows(record) if row_level == level]
        yield level, [_count([entry[place] for entry in entries]) for place in range(len(across))]


def _count(entries: Sequence[Entry]) -> str:
    compared = [entry for entry in entries if entry.relation is not None or entry.text == "failed"]
    same = sum(entry.relation is Relation.IDENTICAL for entry in compared)
    return f"{same} of {len(compared)}" if compared else "-"


def render(record: Record) -> RenderableType:
    """The tables of a record for a terminal; `remarks` has what needs words."""
    titles = [column.title for column in columns(record)]
    detail = Table("experiment", "level", *titles, title="experiment x level x condition (the worst of its settings)")
    shown = ""
    for experiment, level, entries in rows(record):
        texts = [f"[{entry.style}]{escape(entry.text)}[/]" for entry in entries]
        detail.add_row("" if experiment == shown else escape(experiment), level, *texts)
        shown = experiment
    summary = Table("level", *titles, title="experiments that gave the same bits as the baseline")
    for level, counts in headline(record):
        summary.add_row(level, *counts)
    return Group(detail, summary)


def remarks(record: Record) -> Iterator[str]:
    """What needs words, a line each: promises that were broken, experiments that failed, what was skipped and why."""
    for cell in record.cells:
        if cell.kept is False and cell.comparison is not None:
            yield f"broken promise: {_where(cell)}: promised {cell.promise}, found {describe(cell.comparison)}"
    failures: dict[tuple[str, str], list[Cell]] = {}
    for cell in record.cells:
        if cell.status == "failed":
            failures.setdefault((cell.experiment, cell.reason), []).append(cell)
    for (_, reason), cells in failures.items():
        more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        yield f"failed: {_where(cells[0])}{more}: {reason}"
        yield from (f"    {line}" for line in cells[0].output.splitlines())
    for reason, count in Counter(_skip_reason(cell) for cell in record.cells if cell.status == "skipped").items():
        yield f"skipped: {reason} ({count} cells)"


def _where(cell: Cell) -> str:
    setting = f"={cell.setting}" if cell.setting else ""
    return f"{name_of(cell.experiment)} at {cell.level}, {cell.condition}{setting} on {cell.device}"


def _skip_reason(cell: Cell) -> str:
    return f"{cell.condition}{'=' if cell.setting else ''}{cell.setting}: {cell.reason}"


def failed(record: Record) -> bool:
    """Whether an experiment failed or a promise was broken: the exit status of a check."""
    return any(cell.status == "failed" or cell.kept is False for cell in record.cells)


def markdown(record: Record, *, detail: bool = False) -> str:
    """The headline table, or the table of every experiment, in Markdown."""
    titles = [column.title for column in columns(record)]
    if not detail:
        return _markdown(["level", *titles], ([level, *counts] for level, counts in headline(record)))
    lines = ([name, level, *(entry.text for entry in entries)] for name, level, entries in rows(record))
    return _markdown(["experiment", "level", *titles], lines)


def _markdown(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    table = [titles, ["---"] * len(titles), *lines]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in table)


def render_matches(matches: Sequence[Match], actual: str, expected: str) -> Table | None:
    """What is not the same in two records, for a terminal: a row for each experiment; None where all is."""
    title = escape(f"{actual} against {expected}")
    table = Table("experiment", "level", "devices", "comparison", "promise", title=title)
    for match in matches:
        if not _is_same(match):
            devices = " / ".join(dict.fromkeys(filter(None, match.devices)))
            text = match.reason or (describe(match.comparison) if match.comparison else "")
            style = "bold red" if match.kept is False else "yellow"
            table.add_row(
                escape(name_of(match.experiment)), match.level, devices, f"[{style}]{escape(text)}[/]", _promise(match)
            )
    return table if table.rows else None


def _is_same(match: Match) -> bool:
    return match.comparison is not None and match.comparison.relation is Relation.IDENTICAL


def _promise(match: Match) -> str:
    if match.promise is None:
        return ""
    return f"{match.promise}: {'kept' if match.kept else 'broken'}"


def summarise(matches: Sequence[Match], actual: str, expected: str) -> str:
    """The comparison of two records in one line, level by level."""
    levels = dict.fromkeys(match.level for match in matches)
    counts = []
    for level in levels:
        at_level = [_is_same(match) for match in matches if match.level == level]
        counts.append(f"{level} {sum(at_level)} of {len(at_level)}")
    broken = sum(match.kept is False for match in matches)
    promises = f"; promises broken: {broken}" if broken else ""
    return f"{actual} against {expected}, same bits: {', '.join(counts) or 'nothing in common'}{promises}"


def render_environment(environment: Environment) -> Table:
    """An environment for a terminal: one line a fact, named by its dotted path."""
    table = Table("what", "here", title="what can change the bits of a result")
    for path, text in _facts("", msgspec.to_builtins(environment)):
        table.add_row(path, escape(text))
    return table


def _facts(path: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _facts(f"{path}.{name}" if path else str(name), inner)
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        for position, inner in enumerate(value):
            yield from _facts(f"{path}.{position}", inner)
    else:
        yield path, " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
