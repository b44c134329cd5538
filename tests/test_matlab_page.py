"""docs/matlab.md: its blocks are run and print what it says, its tables say what the library does."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import seedbed.matlab
from seedbed.matlab import MatlabRandom
from seedbed.matlab.solvers import TWINS, solution_bound

PAGE = (Path(__file__).parents[1] / "docs/matlab.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_block_has_its_output() -> None:
    assert len(BLOCKS) == PAGE.count("```python") >= 5


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_prints_what_the_page_says(number: int, tmp_path: Path) -> None:
    program, expected = BLOCKS[number]
    (tmp_path / "block.py").write_text(program, "utf-8")
    command = [sys.executable, "-W", "error", "block.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
    assert done.stderr == ""
    assert done.stdout == expected


def cells(start: str) -> list[str]:
    """The cells of the table's row that starts so."""
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in row.strip("|").split(" | ")]


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.matlab)
def test_the_table_of_solvers_is_the_librarys(twin: seedbed.matlab.solvers.Twin) -> None:
    found = cells(f"`{twin.matlab}`")
    assert found[1] == f"`{twin.python}`"
    assert found[3:4] == ([f"`{twin.other}`"] if twin.other else found[3:4])
    counts = [int(each) for each in re.findall(r"\d+", found[2])]
    assert counts[0] == counts[1] == 12 * len(twin.outputs)


def test_the_number_of_results_is_that_of_the_table() -> None:
    assert f"all {12 * sum(len(twin.outputs) for twin in TWINS)} results had the same bits" in PAGE


def test_what_is_not_confirmed_is_what_is_drawn() -> None:
    random = MatlabRandom(0)
    x = random.randn(20000, 1)[:, 0]
    place = int(np.flatnonzero(np.abs(x) > 3.6542)[0])
    assert cells("`randn` beyond 3.65")[-1] == f"{place + 1}, {x[place]:.17g}, {random.rand():.4f}"
    for row, n, k in (("`randperm(n, k)`, k < n/4", 100, 6), ("`randperm(n, n)`", 8, 8)):
        random = MatlabRandom(0)
        drawn = " ".join(f"{each:.0f}" for each in random.randperm(n, k)[0])
        assert cells(row)[-1] == f"{drawn}, {random.rand():.4f}"
    random = MatlabRandom(0)
    fresh, _, then = random.state[-1, 0], random.rand(), random.state[-1, 0]
    assert cells("the position of a fresh state")[-1] == f"{fresh}, then {then}"
    random, state = MatlabRandom(0), MatlabRandom(0).state
    state[2:4], state[624] = 0, 2
    random.state = state
    assert cells("an exact 0 of `rand`, drawn again")[-1] == f"{random.rand():.4f}"


def test_the_ports_normal_numbers_are_confirmed_ones_and_its_bound_is_what_the_page_says() -> None:
    random = MatlabRandom(0)
    design = np.hstack([np.ones((200, 1)), random.rand(200, 2)])
    assert np.abs(random.randn(200, 1)).max() < 3.65
    assert solution_bound(design) < 1e-13
    assert "within 1e-13 of MATLAB's" in PAGE


def test_the_names_that_the_page_gives_are_there() -> None:
    for module, names in (
        ("seedbed.matlab", " ".join(seedbed.matlab.__all__)),
        ("seedbed.matlab.solvers", "agrees solution_bound " + " ".join(twin.function.__name__ for twin in TWINS)),
    ):
        assert f"`{module}`" in PAGE
        for name in names.split():
            assert re.search(rf"`{name}\b|\b{name}\(", PAGE), name
            assert hasattr(__import__(module, fromlist=[name]), name)
