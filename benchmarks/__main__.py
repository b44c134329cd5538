"""The command ``python -m benchmarks``: Seedbed's speed beside its peers', and against the bars.

Exit status 0 whether or not a bar is met: these are figures and no test. What cannot run is an error as any other.
"""

import json
import os
import sys
from enum import StrEnum, auto
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.timing import Row, has_lightning
from seedbed.environment import read


class Subject(StrEnum):
    """The modules that measure."""

    STARTUP = auto()
    SEEDING = auto()
    FINGERPRINT = auto()
    COMPARISON = auto()
    MATLAB = auto()
    PORTABLE = auto()
    REPRO = auto()


def main(
    subjects: Annotated[list[Subject] | None, typer.Argument(help="All but repro, which takes minutes.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Of every benchmark but repro.")] = 7,
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
) -> None:
    """Measure Seedbed's speed beside its peers'."""
    before = os.getloadavg()[0]
    rows: list[Row] = []
    for subject in subjects or [each for each in Subject if each is not Subject.REPRO]:
        print(f"measuring {subject} ...", file=sys.stderr, flush=True)
        rows += import_module(f"benchmarks.{subject}").measure(rounds)
    where = machine() | {"load": f"{before:.1f} before and {os.getloadavg()[0]:.1f} after"}
    if json_:
        print(json.dumps({"machine": where, "rows": [row.as_dict() for row in rows]}, indent=1))
    else:
        Console(width=200).print(table(rows))
        print(", ".join(f"{name} {value}" for name, value in where.items()))


def machine() -> dict[str, str]:
    """Say what the figures depend on."""
    here = read()
    packages = ("numpy", "torch", "joblib", *(["lightning"] if has_lightning() else []))
    versions = {name: version(name) for name in packages}
    return {"CPU": here.cpu.model, "cores": str(here.cpu.usable), "Python": here.python.version, **versions}


def table(rows: list[Row]) -> Table:
    """Lay rows out in Markdown: medians, with the best round in brackets."""
    laid = Table("benchmark", "Seedbed", "peer", "its figure", "ratio", "bar", "met", box=box.MARKDOWN)
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        met = {True: "yes", False: "NO", None: ""}[row.met]
        laid.add_row(row.name, row.text(row.ours), row.peer, row.text(row.theirs), ratio, row.bar, met)
    return laid


if __name__ == "__main__":
    typer.run(main)
