"""Neither the instruction set nor the number of threads changes a bit of sums and what is made of them."""

from types import ModuleType

import pytest
import torch
from torch import Tensor

from seedbed.portable.sums import accumulate, tree
from tests import (
    test_portable_accumulate,
    test_portable_complex,
    test_portable_fourier,
    test_portable_gamma,
    test_portable_normalization,
    test_portable_pooling,
    test_portable_resampling,
    test_portable_sampling,
    test_portable_scans,
    test_portable_softmax,
    test_portable_solving,
    test_portable_sums,
)
from tests.portable_runs import split_by_settings

MODULES: tuple[ModuleType, ...] = (
    test_portable_accumulate,
    test_portable_complex,
    test_portable_fourier,
    test_portable_gamma,
    test_portable_normalization,
    test_portable_pooling,
    test_portable_resampling,
    test_portable_sampling,
    test_portable_scans,
    test_portable_softmax,
    test_portable_solving,
    test_portable_sums,
)


def results() -> dict[str, Tensor]:
    """The results of all these modules; those named ``native`` are PyTorch's own, to see that settings matter."""
    return {f"{module.__name__}: {name}": value for module in MODULES for name, value in module.results().items()}


def test_no_instruction_set_or_number_of_threads_changes_a_bit() -> None:
    alike, differing = split_by_settings(results)
    assert {name for name in differing if "native" not in name} == set()
    assert {name.partition(": ")[0].removeprefix("tests.test_portable_") for name in differing} >= {
        "softmax",
        "sums",
        "normalization",
    }
    assert len(alike) > 50


def test_pieces_are_there_for_speed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other devices have whole tensors where a CPU has pieces that fit its cache."""
    wanted = results()
    monkeypatch.setattr(accumulate, "in_pieces", lambda _: False)
    monkeypatch.setattr(tree, "in_pieces", lambda _: False)
    for name, whole in results().items():
        assert torch.equal(whole, wanted[name]), name
