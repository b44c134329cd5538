"""Runs a function of a test module in fresh processes, with other instruction sets and numbers of threads."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from seedbed.fingerprint import fingerprints

ROOT = Path(__file__).parents[1]
SETTINGS = (("default", "1"), ("avx2", "2"), ("", "1"), ("", "2"))
"""The instruction set that ATen may use (empty: all there are), and the threads."""


def runs(function: Callable[[], Mapping[str, torch.Tensor]]) -> list[dict[str, str]]:
    """Give the fingerprints of what `function` returns, under each of the settings."""
    return [_run(function, capability, threads) for capability, threads in SETTINGS]


def _run(function: Callable[[], Mapping[str, torch.Tensor]], capability: str, threads: str) -> dict[str, str]:
    environ = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    if capability:
        environ |= {"ATEN_CPU_CAPABILITY": capability}
    command = [sys.executable, "-m", "tests.portable_runs", f"{function.__module__}:{function.__name__}"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def main(name: str) -> None:
    """Print the fingerprints of what the function `name` (``tests.test_x:function``) returns."""
    from importlib import import_module

    module, _, function = name.partition(":")
    print(json.dumps(fingerprints(getattr(import_module(module), function)())))


if __name__ == "__main__":
    main(sys.argv[1])
