from typing import Any

import numpy as np
import pytest

from {{ cookiecutter.package_name }}.experiment import DIFFUSION, run


@pytest.mark.reproducible(vary=("rerun", "hashseed"))
def test_it_reproduces() -> dict[str, Any]:
    """What it returns must be the same bits in every process: the same seed, another process, another hash seed."""
    return run(seed=1337)


def test_another_seed_gives_another_result() -> None:
    assert run(seed=1)["diffusion"] != run(seed=2)["diffusion"]


def test_it_finds_what_it_was_made_with() -> None:
    result = run(seed=1337)
    estimate, error = result["diffusion"], result["standard_error"]
    assert 0 < error < 0.05
    assert abs(estimate - DIFFUSION) < 3 * error


def test_squared_distance_grows_steadily() -> None:
    distances = run(seed=1337)["mean_squared_distance"]
    assert np.corrcoef(np.arange(len(distances)), distances)[0, 1] > 0.99
