"""Tables for people, from a record made by hand."""

from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console, RenderableType

from seedbed import environment, report
from seedbed.bits import bits
from seedbed.comparison import Comparison, compare
from seedbed.record import Cell, Match, Record
from tests.conftest import record_of

HERE = environment.read()


def compared(actual: object, expected: object) -> Comparison:
    return compare({"x": bits(actual)}, {"x": bits(expected)})


SAME = compared(1.0, 1.0)
CLOSE = compared(np.float32(1.0000001), np.float32(1.0))
DIFFERENT = compared(2.0, 1.0)


def cell(condition: str, setting: str = "", comparison: Comparison | None = None, **more: Any) -> Cell:
    base = {"experiment": "seedbed.suite.numerics:linalg", "level": "seeded", "device": "cpu", "status": "done"}
    return Cell(condition=condition, setting=setting, comparison=comparison, **(base | more))


def made(*cells: Cell) -> Record:
    return record_of(cells)


def text(renderable: RenderableType, width: int = 160) -> str:
    console = Console(width=width, color_system=None, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(renderable)
        return console.export_text()


RECORD = made(
    cell("baseline"),
    cell("rerun", "process", SAME),
    cell("threads", "1", SAME),
    cell("threads", "4", CLOSE),
    cell("isa", status="skipped", reason="this is aarch64"),
    cell("baseline", experiment="my_study:train"),
    cell("rerun", "process", DIFFERENT, experiment="my_study:train", promise="identical", kept=False),
    cell("threads", "1", experiment="my_study:train", status="failed", reason="ValueError: no", output="a\nb"),
    cell("threads", "4", experiment="my_study:train", status="failed", reason="ValueError: no", output="c"),
    cell("isa", experiment="my_study:train", status="skipped", reason="this is aarch64"),
)


def test_a_row_has_the_worst_of_each_conditions_settings() -> None:
    assert [column.title for column in report.columns(RECORD)] == ["rerun", "threads", "isa"]
    assert [(name, level, [entry.text for entry in entries]) for name, level, entries in report.rows(RECORD)] == [
        ("numerics:linalg", "seeded", ["same", "1 ulp", "-"]),
        ("my_study:train", "seeded", ["rel 1e+00 !", "failed", "-"]),
    ]


def test_the_headline_counts_the_same_bits() -> None:
    assert list(report.headline(RECORD)) == [("seeded", ["1 of 2", "0 of 2", "-"])]


def test_what_needs_words_has_them() -> None:
    broken, failed, *output, skipped = report.remarks(RECORD)
    assert broken.startswith(
        "broken promise: my_study:train at seeded, rerun=process on cpu: promised identical, found "
    )
    assert failed == "failed: my_study:train at seeded, threads=1 on cpu and 1 more: ValueError: no"
    assert output == ["    a", "    b"]
    assert skipped == "skipped: isa: this is aarch64 (2 cells)"


@pytest.mark.parametrize(
    ("cells", "failed"),
    [
        ([cell("rerun", "process", DIFFERENT)], False),
        ([cell("rerun", "process", SAME, promise="identical", kept=True)], False),
        ([cell("rerun", "process", DIFFERENT, promise="identical", kept=False)], True),
        ([cell("rerun", "process", status="failed", reason="no")], True),
    ],
)
def test_a_check_fails_by_a_broken_promise_or_a_failed_experiment(cells: list[Cell], failed: bool) -> None:
    assert report.failed(made(*cells)) is failed


def test_a_gpu_has_columns_of_its_own_but_not_for_the_cpus_conditions() -> None:
    record = made(
        cell("baseline"),
        cell("rerun", "process", SAME),
        cell("baseline", device="cuda"),
        cell("rerun", "process", SAME, device="cuda"),
        cell("threads", status="skipped", reason="threads is about the CPU", device="cuda"),
        cell("device", "cuda", CLOSE, device="cuda"),
    )
    assert [column.title for column in report.columns(record)] == ["rerun", "rerun (cuda)", "device"]


def test_the_whole_report_is_shown() -> None:
    shown = text(report.render(RECORD))
    assert "numerics:linalg" in shown
    assert "1 ulp" in shown
    assert "1 of 2" in shown


def test_markdown_has_the_same_entries() -> None:
    assert report.markdown(RECORD) == (
        "| level | rerun | threads | isa |\n| --- | --- | --- | --- |\n| seeded | 1 of 2 | 0 of 2 | - |\n"
    )
    assert "| numerics:linalg | seeded | same | 1 ulp | - |\n" in report.markdown(RECORD, detail=True)


def test_two_records_are_shown_by_what_differs() -> None:
    def match(experiment: str, comparison: Comparison, promise: str | None, kept: bool | None) -> Match:
        return Match(
            experiment=experiment,
            level="seeded",
            devices=("cpu", "cpu"),
            comparison=comparison,
            promise=promise,
            kept=kept,
        )

    matches = [
        match("a:same", SAME, "identical", True),
        match("a:close", CLOSE, "rtol 1e-4", True),
        match("a:broken", DIFFERENT, "identical", False),
        match("a:open", DIFFERENT, None, None),
        msgspec.structs.replace(match("a:gone", SAME, "identical", False), comparison=None, reason="not in theirs"),
    ]
    table = report.render_matches(matches, "mine", "[bold]theirs")
    assert table is not None
    shown = text(table)
    assert "mine against [bold]theirs" in shown
    assert "a:same" not in shown
    assert "rtol 1e-4: kept" in shown
    assert "identical: broken" in shown
    assert "not in theirs" in shown
    summary = report.summarise(matches, "mine", "theirs")
    assert summary == "mine against theirs, same bits: seeded 1 of 5; promises broken: 2"
    assert report.render_matches(matches[:1], "mine", "theirs") is None
    assert report.summarise([], "mine", "theirs") == "mine against theirs, same bits: nothing in common"


def test_an_environment_is_shown_fact_by_fact() -> None:
    gpu = environment.Gpu(name="H100", memory=85, compute_capability="9.0", driver="580")
    shown = text(report.render_environment(msgspec.structs.replace(HERE, gpus=(gpu,))))
    assert "python.version" in shown
    assert HERE.python.version in shown
    assert "gpus.0.name" in shown
