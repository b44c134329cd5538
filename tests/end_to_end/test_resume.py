"""A training that is killed in the middle of an epoch and resumed gives the bits of one that was not."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unmeasured import unmeasured

ROOT = Path(__file__).parents[2]
STEPS = 30  # 300 samples in batches of 32, three epochs
KILL = 17  # in the second epoch, two steps after the checkpoint of step 15


def train(folder: Path, workers: int, amp: int, kill: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.end_to_end.training", str(folder), str(workers), str(amp), str(kill)]
    return subprocess.run(command, cwd=ROOT, env=unmeasured(), capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize(("workers", "amp"), [(0, 0), (2, 0), (2, 1)])
def test_killed_and_resumed_is_as_if_it_had_not_been(tmp_path: Path, workers: int, amp: int) -> None:
    whole = train(tmp_path / "whole", workers, amp)
    assert whole.stdout.startswith(f"{STEPS} "), whole.stderr
    killed = train(tmp_path / "killed", workers, amp, KILL)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "")
    resumed = train(tmp_path / "killed", workers, amp)
    assert resumed.stdout == whole.stdout, resumed.stderr


def test_without_the_generators_states_it_is_not(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 0, 0)
    train(tmp_path / "killed", 0, 0, KILL)
    (early, *_, last) = sorted((tmp_path / "killed").glob("[0-9]*"))
    for name in ("epoch.rng", "now.rng"):  # of another step
        (last / name).write_bytes((early / name).read_bytes())
    resumed = train(tmp_path / "killed", 0, 0)
    assert resumed.stdout.startswith(f"{STEPS} "), resumed.stderr
    assert resumed.stdout != whole.stdout
