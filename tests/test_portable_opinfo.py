"""PyTorch's own samples of its operations, in portable mode: the same bits with any instruction set and threads.

A CPU that may use AVX2 or AVX-512 fuses multiplications with additions, as a GPU does; one that may not, does not.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.portable_golden import SAMPLES, sweeps
from tests.portable_sweep import differences, read

RANDOM = """
    bernoulli cauchy dropout exponential fractional geometric log_normal multinomial normal rand rrelu uniform
""".split()  # noqa: SIM905 - names, not strings
"""Parts of the names of operations that draw, and so give other numbers than PyTorch's own."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return sweeps(tmp_path_factory.mktemp("float32"), "--limit=3")


@pytest.fixture(scope="module")
def best(both: tuple[Path, Path]) -> Path:
    """All instructions that this CPU has, two threads; with the accuracy."""
    return both[0]


@pytest.fixture(scope="module")
def plain(both: tuple[Path, Path]) -> Path:
    """No vector instructions beyond SSE, one thread."""
    return both[1]


def test_bits_depend_on_neither_instructions_nor_threads(best: Path, plain: Path) -> None:
    found, shared = differences(str(best), str(plain))
    assert found == []
    assert shared > 1700  # of those whose inputs could be drawn alike


def test_bits_are_those_of_another_machine(best: Path) -> None:
    """After a change that is meant to change them, ``python -m tests.portable_golden`` writes them again."""
    found, shared = differences(str(SAMPLES), str(best))
    assert found == []
    assert shared > 1500


def ran(path: Path) -> list[dict[str, Any]]:
    return [line for line in read(str(path)).values() if line["outcome"] == "ran"]


def test_what_runs_has_pytorchs_shapes_and_types_and_raises_where_it_raises(best: Path) -> None:
    assert [line for line in read(str(best)).values() if line["outcome"] == "error" or "shapes" in line] == []


def test_what_runs_is_as_accurate_as_pytorch(best: Path) -> None:
    drawn = [line for line in ran(best) if any(name in line["operation"] for name in RANDOM)]
    odd = ("attention", "masked.prod")  # dropout; the gradient of a product with NaN, whose formula the values choose
    others = [line for line in ran(best) if line not in drawn and not line["operation"].endswith(odd)]
    worse = [line for line in others if not line["error"] <= 4 * line["native_error"] + 3e-7]
    assert worse == []
    total = sum(min(line["error"], 1e-3) for line in others), sum(min(line["native_error"], 1e-3) for line in others)
    assert total[0] <= total[1]


def test_most_operations_run(best: Path) -> None:
    operations = {line["operation"] for line in read(str(best)).values()}
    assert len({line["operation"] for line in ran(best)}) > 0.7 * len(operations)


def test_bits_of_other_types_depend_on_neither_instructions_nor_threads(tmp_path: Path) -> None:
    best, plain = sweeps(tmp_path, "--bits-alone", "--limit=1", "--types=float64,bfloat16")
    found, shared = differences(str(best), str(plain))
    assert found == []
    assert shared > 900
    assert [line for line in read(str(best)).values() if line["outcome"] == "error"] == []
