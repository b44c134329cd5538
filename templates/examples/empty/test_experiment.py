from typing import Any

import pytest

from {{ cookiecutter.package_name }}.experiment import run


@pytest.mark.reproducible(vary=("rerun", "hashseed"))
def test_it_reproduces() -> dict[str, Any]:
    """What it returns must be the same bits in every process: the same seed, another process, another hash seed."""
    return run(seed=1337, device="cpu")


def test_another_seed_gives_another_result() -> None:
    assert run(seed=1, device="cpu")["mean"] != run(seed=2, device="cpu")["mean"]
