"""Writes down the bits of this machine, to be compared with on others: ``python -m tests.portable_golden``.

Only what is the same under all settings here is written.
"""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.portable_runs import GOLDEN, ROOT, answers
from tests.portable_sweep import read

FUNCTIONS = (
    "tests.test_portable_activations:everything",
    "tests.test_portable_convolution:some",
    "tests.test_portable_elementary:results_of_both",
    "tests.test_portable_invariance:results",
    "tests.test_portable_losses:every_loss",
    "tests.test_portable_modules:everything",
    "tests.test_portable_optimizers:every_step",
    "tests.test_portable_pointwise:everything",
    "tests.test_portable_products:some",
    "tests.test_portable_random:everything",
)
SAMPLES = ROOT / "tests/golden/portable_samples.jsonl"
"""The lines of a sweep of PyTorch's samples."""


BEST = {"OMP_NUM_THREADS": "2"}
PLAIN = {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
"""All instructions that this CPU has, and none beyond SSE."""


def sweeps(folder: Path, *arguments: str) -> tuple[Path, Path]:
    """Run PyTorch's samples in portable mode, `BEST` and `PLAIN` at the same time; give the files of lines."""
    best = folder / "best", BEST, ("--threads=2", *arguments)
    plain = folder / "plain", PLAIN, ("--bits-alone", *arguments)
    with ThreadPoolExecutor() as pool:
        one, other = pool.map(_sweep, *zip(best, plain, strict=True))
    return one, other


def _sweep(out: Path, environ: dict[str, str], arguments: tuple[str, ...]) -> Path:
    command = [sys.executable, "-m", "tests.portable_sweep", str(out), *arguments]
    complete = os.environ | {"PYTHONHASHSEED": "0"} | environ
    done = subprocess.run(command, cwd=ROOT, env=complete, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def main() -> None:
    """Write both files."""
    found = {}
    for name in FUNCTIONS:
        first, *others = answers(name)
        found[name] = {key: bits for key, bits in first.items() if all(each[key] == bits for each in others)}
    GOLDEN.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        lines = read(str(sweeps(Path(folder), "--limit=3")[1])).values()
    kept = [json.dumps(line) for line in lines if line["outcome"] == "ran"]
    SAMPLES.write_text("\n".join(kept) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
