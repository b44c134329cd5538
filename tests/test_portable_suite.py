"""The built-in experiments with PyTorch, in portable mode, against what another machine gave: networks that train."""

from typing import Any

from seedbed import seeded
from seedbed.experiment import load
from seedbed.portable import PortableMode
from seedbed.suite import EXPERIMENTS
from tests.portable_runs import answer, golden


def every_experiment() -> dict[str, Any]:
    """Run those of PyTorch; give all their results."""
    found: dict[str, Any] = {}
    for name in EXPERIMENTS:
        if name.startswith(("seedbed.suite.torch_ops:", "seedbed.suite.training:")):
            with seeded(1337), PortableMode():
                found |= {f"{name} {key}": each for key, each in load(name).run(1337, "cpu").items()}
    return found


def test_the_experiments_have_the_bits_that_another_machine_wrote() -> None:
    name = "tests.test_portable_suite:every_experiment"
    expected, found = golden()[name], answer(name)
    assert not isinstance(found, str), found
    assert expected, "run `python -m tests.portable_golden`"
    assert {key for key, bits in found.items() if expected.get(key) != bits} == set()
