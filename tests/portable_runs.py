"""Runs functions of the tests in other processes, with other instruction sets, numbers of threads and paths of BLAS.

There is one process for each setting, for all tests, as to import torch takes seconds. What another machine gave is in
`GOLDEN`; after a change that is meant to change bits, ``python -m tests.portable_golden`` writes it again.
"""

import atexit
import json
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from seedbed.fingerprint import fingerprints
from tests.unmeasured import unmeasured

ROOT = Path(__file__).parents[1]
SETTINGS = (
    {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
    {"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2"},
    {"OMP_NUM_THREADS": "1"},
    {"OMP_NUM_THREADS": "2"},
)
"""What is not named is as good as this CPU has it."""

DIGITS = 16
"""So many of a fingerprint are compared."""

GOLDEN = ROOT / "tests/golden/portable_bits.json"


def split_by_settings(function: Callable[[], Mapping[str, Tensor]]) -> tuple[set[str], set[str]]:
    """Run `function` under every setting; name what came out alike, in `GOLDEN` too, and what did not."""
    name = f"{function.__module__}:{function.__name__}"
    first, *others = answers(name)
    others.append(first | golden().get(name, {}))
    differing = {name for name in first if any(other[name] != first[name] for other in others)}
    return set(first) - differing, differing


def answers(name: str) -> list[dict[str, str]]:
    """Give the fingerprints of what the function `name` (``tests.test_x:function``) returns, under each setting."""
    for process in _processes():
        process.ask(name)
    return [process.answer() for process in _processes()]


@cache
def golden() -> dict[str, dict[str, str]]:
    """Read what another machine gave, by the name of a function and of a result."""
    found: dict[str, dict[str, str]] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return found


class _Process:
    """Answers the names of functions (``tests.test_x:function``) with the fingerprints of what they return."""

    def __init__(self, environ: dict[str, str]) -> None:
        command = [sys.executable, "-m", "tests.portable_runs"]
        self._popen = subprocess.Popen(
            command, cwd=ROOT, env=unmeasured(**environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        atexit.register(self._popen.communicate)

    def ask(self, name: str) -> None:
        print(name, file=self._popen.stdin, flush=True)

    def answer(self) -> dict[str, str]:
        assert self._popen.stdout is not None
        answer: Any = json.loads(self._popen.stdout.readline())
        assert isinstance(answer, dict), answer
        return answer


@cache
def _processes() -> list[_Process]:
    return [_Process(environ) for environ in SETTINGS]


def answer(name: str) -> dict[str, str] | str:
    """Give the fingerprints of what the function `name` returns in this process, or the traceback of what it raised."""
    module, _, function = name.strip().partition(":")
    try:
        made = fingerprints(getattr(import_module(module), function)())
        return {key: value[-DIGITS:] for key, value in made.items()}
    except Exception:  # noqa: BLE001 - the test that asked says so
        return traceback.format_exc()


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(line)), flush=True)
