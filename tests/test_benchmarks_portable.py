"""The benchmarks of portable mode run, in a size that says nothing of speed; no time is asserted."""

import pytest
import torch
from benchmarks import portable
from benchmarks.portable import Memory, Multiple
from torch import Tensor

from seedbed.portable import PortableMode


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make matrices of 64 rows, one process, and an experiment that trains nothing."""
    monkeypatch.setattr(portable, "SIZE", 64)
    monkeypatch.setattr(portable, "EXPERIMENTS", [experiment])
    monkeypatch.setattr(portable, "MEMORY", {"matmul": portable.MEMORY["matmul"]})


def experiment(*, seed: int, device: str) -> Tensor:
    return torch.rand(seed, device=device)


def test_every_bar_of_portable_mode_is_measured() -> None:
    before = torch.get_num_threads()
    rows = list(portable.measure(rounds=1))
    assert [row.bar for row in rows] == [f"{most} times" for most in (5, 8, 8, 10, 20, 6, 10, 4)]
    assert all(isinstance(row.met, bool) for row in rows)
    assert all(row.as_dict()["ratio"] > 0 for row in rows)
    assert rows[-1].text(rows[-1].ours).endswith(" MB")
    assert torch.get_num_threads() == before


def test_a_bar_is_met_by_the_best_calls() -> None:
    assert Multiple(name="", ours=[9.0, 4.0], peer="peer", theirs=[1.0, 5.0], most=4).met is True
    assert Multiple(name="", ours=[9.0, 4.1], peer="peer", theirs=[1.0, 5.0], most=4).met is False
    assert Multiple(name="", ours=[1.0], most=4).met is None


def test_memory_is_in_megabytes() -> None:
    row = Memory(name="", ours=[2.5e6], peer="peer", theirs=[1e6], most=4)
    assert (row.text(row.ours), row.text(None), row.ratio) == ("2.5 MB", "", 2.5)


def test_calls_are_made_in_portable_mode_or_outside() -> None:
    x, found = torch.full((40, 40), 0.1), list[Tensor]()
    for mode in (True, False):
        assert len(portable.times(lambda: found.append(x @ x), 2, portable=mode)) == 2
    assert len(found) == 4
    with PortableMode():
        assert torch.equal(found[0], x @ x)
    assert torch.equal(found[2], x @ x)


def test_the_first_round_is_not_counted() -> None:
    calls = list[str]()
    row = portable.compared("", 1, lambda: calls.append("ours"), lambda: calls.append("theirs"), rounds=2, calls=3)
    assert calls == 3 * (["ours"] * 3 + ["theirs"] * 3)
    assert row.theirs is not None
    assert len(row.ours) == len(row.theirs) == 6


@pytest.mark.parametrize("name", ["matmul", "conv2d"])
@pytest.mark.parametrize("mode", ["plain", "portable"])
def test_memory_counts_the_inputs_and_what_comes_beyond(
    name: str, mode: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(portable, "SIZE", 64)
    portable.main(name, mode, "cpu")
    inputs = {"matmul": 2 * 64 * 64, "conv2d": 2 * 4 * 32 * 32 + 4 * 4 * 9}[name] * 4
    assert float(capsys.readouterr().out) >= inputs
