"""The traps of docs/seeding.md: its blocks are run, and what is too late for a block is tried in processes."""

import contextlib
import importlib.util
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import torch

from seedbed.determinism import in_force, set_flags
from seedbed.seeding import seeded

PAGE = Path(__file__).parents[1] / "docs/seeding.md"

HEADER = """
import contextlib, os, random
from contextlib import contextmanager
import numpy as np, pytest, torch
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state
from torch.utils.data import DataLoader, Dataset
from seedbed import Streams, hashseed, loader_kwargs, rng_state, seed_estimator, seeded, set_all_seeds
from seedbed.determinism import deterministic, in_force, set_flags
from seedbed.errors import RngStateError, SeedError

X, Y = load_iris(return_X_y=True)

class Noise(Dataset):
    def __init__(self): self.rng = np.random.default_rng(0)
    def __len__(self): return 4
    def __getitem__(self, index): return self.rng.random()

"""


def blocks() -> list[tuple[str, str]]:
    """The page's blocks: a name, from the heading and what the block shows, and the code."""
    found, heading = [], ""
    pattern = re.compile(r"^#+ ([^\n]*)$|^```python (wrong|right)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for match in pattern.finditer(PAGE.read_text("utf-8")):
        heading = match[1] or heading
        if match[2]:
            found.append((f"{heading}: {match[2]}", match[3]))
    return found


BLOCKS = blocks()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The blocks as functions of a module."""
    path = tmp_path_factory.mktemp("page") / "blocks.py"
    functions = [f"def block_{number}(path):\n{indent(code, '    ')}\n" for number, (_, code) in enumerate(BLOCKS)]
    path.write_text(HEADER + "\n".join(functions), "utf-8")
    spec = importlib.util.spec_from_file_location("blocks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["blocks"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave generators, flags and the hash seed's variable as they were."""
    monkeypatch.setenv("PYTHONHASHSEED", os.environ.get("PYTHONHASHSEED", "random"))
    before = in_force()
    with seeded(1):
        yield
    set_flags(before)


def test_the_page_has_both_sides_of_its_traps() -> None:
    sides = [name.rpartition(": ")[2] for name, _ in BLOCKS]
    assert sides.count("wrong") >= 15
    assert sides.count("right") >= sides.count("wrong")


@pytest.mark.parametrize("number", range(len(BLOCKS)), ids=[name for name, _ in BLOCKS])
def test_a_block_does_what_the_page_says(page: Any, number: int, tmp_path: Path) -> None:
    getattr(page, f"block_{number}")(tmp_path / "state")


def run(program: str, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environ})


def test_the_hash_seeds_flag_does_not_say_which_seed_is_in_force() -> None:
    program = "import sys; print(sys.flags.hash_randomization, hash('a'))"
    outputs = [run(program, PYTHONHASHSEED=seed).stdout for seed in ("1", "2")]
    assert [output[:2] for output in outputs] == ["1 ", "1 "]
    assert outputs[0] != outputs[1]


def test_isolated_mode_ignores_the_hash_seed() -> None:
    assert run("print(hash('a'))", PYTHONHASHSEED="1").stdout == run("print(hash('a'))", PYTHONHASHSEED="1").stdout
    isolated = {run("print(hash('a'))", "-I", PYTHONHASHSEED="1").stdout for _ in range(2)}
    assert len(isolated) == 2


def test_a_hash_seed_of_more_than_32_bits_is_fatal() -> None:
    done = run("pass", PYTHONHASHSEED=str(2**32))
    assert done.returncode != 0
    assert "PYTHONHASHSEED must be" in done.stderr


CAPABILITY = torch.backends.cpu.get_cpu_capability()


@pytest.mark.skipif(CAPABILITY == "DEFAULT", reason="ATen has nothing better than its default on this CPU")
@pytest.mark.parametrize(
    ("draw", "same"),
    [
        ("torch.randn(15)", True),
        ("torch.randn(16)", False),
        ("torch.rand(64)", True),
        ("torch.empty(999).uniform_(1, 3)", True),
        ("torch.empty(999).uniform_(0.1, 0.8)", False),
    ],
)
def test_seeded_draws_of_torch_differ_between_instruction_sets(draw: str, same: bool) -> None:
    program = f"import torch; torch.manual_seed(1); print({draw}.view(torch.int32).tolist())"
    older, own = run(program, ATEN_CPU_CAPABILITY="default"), run(program, ATEN_CPU_CAPABILITY=CAPABILITY.lower())
    assert older.stdout.startswith("["), older.stderr
    assert (older.stdout == own.stdout) == same


def test_a_sum_depends_on_the_number_of_threads() -> None:
    x = torch.rand(10_000_000, generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    sums = set()
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_num_threads, before)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            sums.add(x.sum().item())
    assert len(sums) == 2


def test_operations_that_were_refused_once_are_no_longer() -> None:
    from seedbed.determinism import deterministic

    with set_flags(deterministic()):
        x = torch.ones(1, 1, 4, 4, requires_grad=True)
        torch.nn.functional.max_pool2d(x, 2).sum().backward()
        torch.zeros(3).index_add(0, torch.tensor([0, 0]), torch.ones(2))
        torch.zeros(3).scatter_reduce(0, torch.tensor([0, 0]), torch.ones(2), "sum")
        with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
            torch.nn.MaxUnpool2d(2)(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.int64))


def test_one_gpus_seed_is_not_every_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    from seedbed.seeding import set_torch

    generators = torch.Generator(), torch.Generator()
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    for module in (torch.cuda, torch.cuda.random):
        monkeypatch.setattr(module, "is_initialized", lambda: True)
        monkeypatch.setattr(module, "device_count", lambda: 2)
        monkeypatch.setattr(module, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "default_generators", generators)
    torch.cuda.manual_seed(7)
    assert [each.initial_seed() == 7 for each in generators] == [True, False]
    set_torch(7)
    assert [each.initial_seed() == 7 for each in generators] == [True, True]


def test_what_workers_draw_depends_on_how_many_there_are() -> None:
    from torch.utils.data import DataLoader

    from seedbed.loader import loader_kwargs
    from tests.test_loader import Draws

    drawn = [
        torch.cat(list(DataLoader(Draws(), num_workers=workers, multiprocessing_context="fork", **loader_kwargs(1))))
        for workers in (1, 2)
    ]
    assert torch.equal(drawn[0][:, 0], drawn[1][:, 0])
    assert not torch.equal(drawn[0][:, 1], drawn[1][:, 1])


def test_random_seeds_are_a_generator_of_the_system_and_have_no_state() -> None:
    with pytest.raises(NotImplementedError):
        random.SystemRandom().getstate()
