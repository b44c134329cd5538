"""The benchmark of MATLAB's stream runs, in a size that says nothing of speed; no time is asserted."""

import pytest
from benchmarks import matlab
from benchmarks.matlab import AtMost


def test_it_is_measured_against_numpys_legacy_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "NUMBERS", 1000)
    rows = [row.as_dict() for row in matlab.measure(rounds=2)]
    assert [(row["name"], row["peer"], row["bar"]) for row in rows] == [
        ("MATLAB's rand, 1,000 numbers", "RandomState.random_sample", "1.5 times"),
        ("MATLAB's randn, 1,000 numbers", "RandomState.standard_normal", "5 times"),
    ]
    assert all(len(row["ours"]) == len(row["theirs"]) == 2 for row in rows)


def test_the_bar_is_met_by_the_ratio() -> None:
    assert AtMost(name="", ours=[1.5], peer="peer", theirs=[1.0], times=1.5).met is True
    assert AtMost(name="", ours=[1.6], peer="peer", theirs=[1.0], times=1.5).met is False
    assert AtMost(name="", ours=[1.6], peer="peer", times=1.5).met is None
