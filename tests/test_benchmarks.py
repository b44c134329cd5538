"""The benchmarks run, in a size that says nothing of speed; no time is asserted."""

import contextlib
import json
import os
import sys
from subprocess import CalledProcessError
from types import SimpleNamespace

import pytest
import typer
from benchmarks import comparison, fingerprint, matlab, repro, seeding, startup
from benchmarks.__main__ import Subject, main
from benchmarks.matlab import AtMost
from benchmarks.timing import Row, in_turns
from typer.testing import CliRunner


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make arrays of a megabyte, and no process that imports torch."""
    monkeypatch.setattr(fingerprint, "MEGABYTES", 1)
    monkeypatch.setattr(comparison, "MEGABYTES", 1)
    monkeypatch.setattr(matlab, "NUMBERS", 1000)
    monkeypatch.setattr(seeding, "CALLS", 1)
    monkeypatch.setattr(seeding, "process", lambda *arguments: lambda: arguments)


def test_calls_take_turns_and_the_first_round_is_not_counted() -> None:
    made: list[str] = []
    times = in_turns({"a": lambda: made.append("a"), "b": lambda: made.append("b")}, rounds=2, number=2)
    assert "".join(made) == "aabb" * 3
    assert {name: len(each) for name, each in times.items()} == {"a": 2, "b": 2}


def test_the_ratio_is_the_median_of_the_rounds_and_not_that_of_the_medians() -> None:
    assert Row(name="", ours=[1, 2, 9], peer="peer", theirs=[2, 1, 6]).ratio == 1.5


def test_a_bar_in_seconds_is_met_by_the_median() -> None:
    assert Row(name="", ours=[0.1, 0.2, 9.0], under=0.3).met is True
    assert Row(name="", ours=[0.1, 0.3, 0.3], under=0.3).met is False
    assert Row(name="", ours=[0.1, 0.2, 9.0], under=0.3, holds=False).met is False
    assert Row(name="", ours=[0.1]).met is None


def test_a_bar_that_is_the_peers_time_is_met_by_the_ratio() -> None:
    assert Row(name="", ours=[1.0], peer="peer", theirs=[1.0], no_slower=True).met is True
    assert Row(name="", ours=[1.1], peer="peer", theirs=[1.0], no_slower=True).met is False
    assert Row(name="", ours=[1.1], peer="peer", no_slower=True).met is None


def test_a_bar_of_so_many_times_the_peers_time_is_met_by_the_ratio() -> None:
    assert AtMost(name="", ours=[1.5], peer="peer", theirs=[1.0], times=1.5).met is True
    assert AtMost(name="", ours=[1.6], peer="peer", theirs=[1.0], times=1.5).met is False
    assert AtMost(name="", ours=[1.6], peer="peer", times=1.5).met is None


def test_a_figure_is_a_time_in_a_unit_that_fits_or_a_rate() -> None:
    assert Row(name="", ours=[]).text([1.5, 0.02]) == "760 ms (20 ms)"
    assert Row(name="", ours=[]).text([5e-5]) == "50 µs (50 µs)"
    assert Row(name="", ours=[], size=10**9).text([2.0]) == "0.50 GB/s (0.50 GB/s)"
    assert Row(name="", ours=[], size=10**9, under=1.0).bar == "above 1.00 GB/s"
    assert Row(name="", ours=[], under=120).bar == "under 120 s"


def test_neither_the_command_nor_the_import_loads_numpy_or_torch() -> None:
    rows = list(startup.measure(rounds=1))
    assert [row.name for row in rows] == [
        "seedbed --help, without numpy or torch",
        "import seedbed, without numpy or torch",
    ]
    assert all(row.holds for row in rows)


def test_what_loads_numpy_is_found_out() -> None:
    assert startup.loaded("-c", "import numpy.linalg") == ["numpy"]
    assert startup.words(["numpy"]) == "which loads numpy"


def test_seeding_is_measured_against_lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    peer = SimpleNamespace(seed_everything=lambda seed, **_: seeds.append(seed))
    monkeypatch.setitem(sys.modules, "lightning", peer)
    monkeypatch.setitem(
        sys.modules, "lightning.pytorch.utilities.seed", SimpleNamespace(isolate_rng=contextlib.nullcontext)
    )
    monkeypatch.setattr(seeding, "has_lightning", lambda: True)
    _, call, whole, scope, deterministic, *streams = seeding.measure(rounds=1)
    assert set(seeds) == {1337}
    assert [row.bar for row in (call, whole, scope, deterministic)] == ["no slower"] * 3 + [""]
    assert all(isinstance(row.met, bool) for row in (call, whole, scope))
    assert [row.bar for row in streams] == ["under 50 µs"] * len(seeding.STREAMS)


def test_without_lightning_its_rows_are_skipped_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding, "has_lightning", lambda: False)
    floor, *rows = seeding.measure(rounds=1)
    assert not floor.as_dict()["skipped"]
    for row in rows[: -len(seeding.STREAMS)]:
        assert row.text(row.theirs) == "skipped: not installed"
        assert row.as_dict()["skipped"]
        assert row.met is None


def test_every_fingerprint_of_a_large_array_has_a_bar() -> None:
    rows = list(fingerprint.measure(rounds=1))
    assert [row.bar for row in rows] == ["above 1.00 GB/s"] * 4 + [""]
    assert {row.size for row in rows} == {10**6}


def test_matlabs_stream_is_measured_against_numpys_legacy_generator() -> None:
    rows = list(matlab.measure(rounds=2))
    assert [(row.name, row.peer, row.bar) for row in rows] == [
        ("MATLAB's rand, 1,000 numbers", "RandomState.random_sample", "1.5 times"),
        ("MATLAB's randn, 1,000 numbers", "RandomState.standard_normal", "5 times"),
    ]
    assert all(len(row.ours) == len(row.theirs or []) == 2 for row in rows)


def test_the_whole_check_is_timed_on_two_cores_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.sched_getaffinity(0)
    source = "import os, sys; sys.exit(len(os.sched_getaffinity(0)) > 2)"
    monkeypatch.setattr(repro, "COMMAND", (sys.executable, "-c", source))
    (row,) = repro.measure(1)
    assert row.bar == "under 120 s"
    assert row.text(row.theirs) == ""
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("status", [0, 1])
def test_a_check_that_says_no_was_timed_all_the_same(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(repro, "COMMAND", (sys.executable, "-c", f"raise SystemExit({status})"))
    assert len(list(repro.measure(1))) == 1


def test_a_check_that_cannot_run_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repro, "COMMAND", (sys.executable, "-c", "raise SystemExit(2)"))
    with pytest.raises(CalledProcessError, match="exit status 2"):
        list(repro.measure(1))


def test_the_table_is_markdown_and_says_where_it_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    main([Subject.COMPARISON], rounds=1)
    lines = capsys.readouterr().out.split("\n")
    assert [line.split("|")[1].strip() for line in lines if "numpy.testing" in line] == [
        "compare, the same bits",
        "compare, 1 in 1000 off by 1 ULP",
        "compare, all off by 1 ULP",
    ]
    assert "Python 3." in lines[-2]
    assert "load " in lines[-2]


def test_json_has_every_round() -> None:
    app = typer.Typer()
    app.command()(main)
    done = CliRunner().invoke(app, ["fingerprint", "--rounds", "2", "--json"])
    assert done.exit_code == 0
    written = json.loads(done.stdout)
    assert {"CPU", "Python", "torch", "load"} <= written["machine"].keys()
    for row in written["rows"]:
        assert len(row["ours"]) == len(row["theirs"]) == 2
        assert row["ratio"] > 0
        assert not row["skipped"]
