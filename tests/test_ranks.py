"""Ranks: who says which process this is, and what is no rank."""

import sys
from types import SimpleNamespace

import pytest

from seedbed.errors import ConfigError
from seedbed.ranks import LAUNCHERS, Rank, current_rank


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No launcher's variables."""
    for name in (name for pair in LAUNCHERS for name in pair):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_one_process_is_alone() -> None:
    assert current_rank() == Rank(0, 1, "alone")


@pytest.mark.parametrize(("rank", "world_size"), LAUNCHERS)
def test_each_launcher_is_heard(alone: pytest.MonkeyPatch, rank: str, world_size: str) -> None:
    alone.setenv(rank, "3")
    alone.setenv(world_size, "4")
    assert current_rank() == Rank(3, 4, rank)


def test_torchrun_under_slurm_counts(alone: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "RANK": "1", "WORLD_SIZE": "2"}.items():
        alone.setenv(name, value)
    assert current_rank() == Rank(1, 2, "RANK")


def test_a_batch_script_of_slurm_alone_is_one_process(alone: pytest.MonkeyPatch) -> None:
    alone.setenv("SLURM_PROCID", "0")
    assert current_rank() == Rank(0, 1, "alone")


def test_a_world_size_alone_says_nothing(alone: pytest.MonkeyPatch) -> None:
    alone.setenv("WORLD_SIZE", "4")
    assert current_rank() == Rank(0, 1, "alone")


@pytest.mark.parametrize(
    ("rank", "world_size"), [("1", None), ("x", "2"), ("-1", "2"), ("2", "2"), ("", "2"), ("²", "3"), ("9" * 5000, "3")]
)
def test_what_contradicts_itself_is_refused(alone: pytest.MonkeyPatch, rank: str, world_size: str | None) -> None:
    alone.setenv("RANK", rank)
    if world_size is not None:
        alone.setenv("WORLD_SIZE", world_size)
    with pytest.raises(ConfigError, match=f"not RANK='{rank}', WORLD_SIZE={world_size!r}: unset RANK"):
        current_rank()


@pytest.mark.parametrize("initialised", [True, False])
def test_a_process_group_counts_for_more_once_it_is_there(alone: pytest.MonkeyPatch, initialised: bool) -> None:
    alone.setenv("RANK", "0")
    alone.setenv("WORLD_SIZE", "2")
    group = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: initialised,
        get_rank=lambda: 7,
        get_world_size=lambda: 8,
    )
    alone.setitem(sys.modules, "torch.distributed", group)
    assert current_rank() == (Rank(7, 8, "torch.distributed") if initialised else Rank(0, 2, "RANK"))
