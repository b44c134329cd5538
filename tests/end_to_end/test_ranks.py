"""Real process groups: what must be the same on all ranks is, what must differ does, whatever their number."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def launch(folder: Path, processes: int) -> list[dict[str, Any]]:
    folder.mkdir()
    options = ["--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, "-m", "torch.distributed.run", *options, "-m", "tests.end_to_end.ranks", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """What each rank drew among two and among four."""
    folder = tmp_path_factory.mktemp("ranks")
    return {processes: launch(folder / str(processes), processes) for processes in (2, 4)}


def different(values: list[Any]) -> bool:
    return len({json.dumps(value) for value in values}) == len(values)


def test_each_process_knows_its_rank(worlds: dict[int, list[dict[str, Any]]]) -> None:
    for processes, ranks in worlds.items():
        assert [each["launched"] for each in ranks] == [[rank, processes, "RANK"] for rank in range(processes)]
        assert [each["here"] for each in ranks] == [[rank, processes, "torch.distributed"] for rank in range(processes)]


def test_initial_weights_are_the_same_on_every_rank_of_every_world(worlds: dict[int, list[dict[str, Any]]]) -> None:
    weights = [each["initial"] for ranks in worlds.values() for each in ranks]
    assert all(each == weights[0] for each in weights)


def test_dropout_differs_from_rank_to_rank_and_not_with_their_number(worlds: dict[int, list[dict[str, Any]]]) -> None:
    two, four = ([each["mask"] for each in worlds[processes]] for processes in (2, 4))
    assert different(four)
    assert two == four[:2]


def test_samples_are_shared_out_and_their_noise_differs(worlds: dict[int, list[dict[str, Any]]]) -> None:
    for ranks in worlds.values():
        samples = [sample for each in ranks for sample in each["samples"]]
        assert sorted(index for index, _ in samples) == list(range(16))
        assert different([noise for _, noise in samples])
    for rank in (0, 1):
        noise = {processes: [noise for _, noise in worlds[processes][rank]["samples"]] for processes in (2, 4)}
        assert noise[2][:4] == noise[4]


def test_the_gradient_is_the_same_on_all_ranks_of_one_world(worlds: dict[int, list[dict[str, Any]]]) -> None:
    for ranks in worlds.values():
        assert all(each["gradient"] == ranks[0]["gradient"] is not None for each in ranks)
