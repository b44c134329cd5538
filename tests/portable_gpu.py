"""Holds portable mode on a GPU against the CPU of the same machine: ``python -m tests.portable_gpu records/NAME``.

It runs the check of the built-in experiments on both, PyTorch's samples of its operations (`tests.portable_sweep`) on
both, and the benchmarks on the GPU. What they gave is in the new folder: a record as `seedbed repro` makes it, with
``portable.json`` and ``README.md`` beside it. The exit status is 1 where a bit differs. Half an hour, or more.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from benchmarks import portable
from benchmarks.timing import Row

from seedbed.environment import read as environment
from tests import portable_sweep
from tests.unmeasured import unmeasured

LEVELS = "none,seeded,deterministic,portable"


def main(argv: Sequence[str]) -> int:
    """Make the record that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the record's folder, new")
    parser.add_argument("--device", default="cuda", help="what is held against the CPU")
    parser.add_argument("--only", default="", help="of the operations, those with this in their names")
    parser.add_argument("--experiments", nargs="*", default=[], help="in place of the built-in ones")
    parser.add_argument("--types", default="float32,float64,bfloat16", help="of the samples' numbers")
    parser.add_argument("--rounds", type=int, default=5, help="of each benchmark")
    options = parser.parse_args(argv)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA GPU here")
    if options.out.exists():
        parser.error(f"{options.out} is there already: give the name of a new folder")
    experiments(options.out, options.device, options.experiments)
    compared = samples(options.device, options.types, options.only)
    found = {
        "machine": machine(options.device),
        "samples": compared,
        "benchmarks": [row.as_dict() | {"text": text(row)} for row in portable.measure(options.rounds, options.device)],
    }
    (options.out / "portable.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (options.out / "README.md").write_text(page(found, options.out), encoding="utf-8")
    return 1 if compared["differing"] else 0


def experiments(out: Path, device: str, names: Sequence[str]) -> None:
    """Run the check at every level; on the GPU and on the CPU, if `device` is one."""
    chosen = "auto" if device == "cuda" else device
    done = python("-m", "seedbed", "repro", *names, "--level", LEVELS, "--device", chosen, "--out", str(out))
    if done.returncode not in (0, 1):  # 1: something differs that should not, and the record says what
        raise SystemExit(f"`seedbed repro` failed with status {done.returncode}")


def machine(device: str) -> dict[str, str]:
    """Say what was compared."""
    gpu = torch.cuda.get_device_name() if device == "cuda" else "none"
    return {"CPU": environment().cpu.model, "GPU": gpu, "torch": torch.__version__, "CUDA": str(torch.version.cuda)}


def samples(device: str, types: str, only: str) -> dict[str, Any]:
    """Run PyTorch's samples on the CPU and on `device`: how many there were, what became of them, what differs."""
    with tempfile.TemporaryDirectory() as folder:
        one, other = (str(Path(folder, f"{name}.jsonl")) for name in ("cpu", "device"))
        for out, where in ((one, "cpu"), (other, device)):
            command = ("-m", "tests.portable_sweep", out, "--device", where, "--types", types, "--only", only)
            python(*command, "--bits-alone", PYTHONHASHSEED="0").check_returncode()
        differing, shared = portable_sweep.differences(one, other)
        outcomes = Counter(line["outcome"] for line in portable_sweep.read(other).values())
    return {"shared": shared, "outcomes": outcomes, "differing": differing}


def python(*arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run this interpreter, its output shown."""
    return subprocess.run([sys.executable, *arguments], env=unmeasured(**environ), check=False)


def text(row: Row) -> str:
    """Say what a benchmark found, as a row of a table."""
    met = {True: "yes", False: "NO", None: ""}[row.met]
    return f"| {row.name} | {row.text(row.ours)} | {row.text(row.theirs)} | {row.ratio or 0:.2f} | {row.bar} | {met} |"


def page(found: dict[str, Any], record: Path) -> str:
    """Write it all for people."""
    command = [sys.executable, "-m", "seedbed", "show", str(record), "--markdown"]
    tables = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    where, drawn = found["machine"], found["samples"]
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(drawn["outcomes"].items()))
    return "\n".join(
        (
            f"# {where['GPU']} and {where['CPU']}",
            "",
            f"Made by `python -m tests.portable_gpu` with torch {where['torch']}, CUDA {where['CUDA']}.",
            "",
            "## Portable mode, PyTorch's samples of its operations",
            "",
            f"{len(drawn['differing'])} of {drawn['shared']} samples differ between CPU and GPU ({outcomes}).",
            *(f"\n    {line}" for line in drawn["differing"]),
            "",
            "## Portable mode, its cost on the GPU",
            "",
            "| benchmark | Seedbed | PyTorch, float32 | ratio | bar | met |",
            "|---|---|---|---|---|---|",
            *(row["text"] for row in found["benchmarks"]),
            "",
            "## The built-in experiments",
            "",
            tables,
        )
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
