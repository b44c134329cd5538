from typing import Any

import numpy as np
import pytest

from {{ cookiecutter.package_name }}.experiment import run


@pytest.mark.reproducible(vary=("rerun", "hashseed"))
def test_it_reproduces() -> dict[str, Any]:
    """What it returns must be the same bits in every process: the same seed, another process, another hash seed."""
    return run(seed=1337, device="cpu")


def test_another_seed_gives_another_result() -> None:
    one, other = run(seed=1, device="cpu"), run(seed=2, device="cpu")
    assert not np.array_equal(one["losses"], other["losses"])


def test_it_learns() -> None:
    result = run(seed=1337, device="cpu")
    losses, accuracy = result["losses"], result["accuracy"]
    assert losses[-1] < 0.2 * losses[0]
    assert accuracy > 0.93
