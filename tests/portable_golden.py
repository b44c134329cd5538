"""Writes down the bits of this machine, to be compared with on others: ``python -m tests.portable_golden``.

Only what is the same under all settings here is written. On another machine, this says what is not the same there; all
of it runs in one process, so that an emulator of a processor will do, too::

    PYTHONHASHSEED=0 python -m tests.portable_golden --compare
"""

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import portable_sweep
from tests.portable_runs import GOLDEN, ROOT, answer, answers, golden
from tests.portable_sweep import differences, read
from tests.unmeasured import unmeasured

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
    "tests.test_portable_suite:every_experiment",
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
    complete = unmeasured(PYTHONHASHSEED="0", **environ)
    done = subprocess.run(command, cwd=ROOT, env=complete, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def compare() -> bool:
    """Compare this process with both files, say what differs, and whether nothing does."""
    differing = []
    for name, expected in golden().items():
        found = answer(name)
        assert not isinstance(found, str), found
        other = [key for key, bits in expected.items() if found.get(key) != bits]
        print(f"{name}: {len(expected) - len(other)} of {len(expected)} the same", *other, sep="\n  ", flush=True)
        differing += other
    with tempfile.TemporaryDirectory() as folder:
        lines = f"{folder}/lines.jsonl"
        portable_sweep.main([lines, "--limit=3", "--bits-alone"])
        samples, shared = differences(str(SAMPLES), lines)
    apart = len(read(str(SAMPLES))) - shared
    same = f"{shared - len(samples)} of {shared} the same, {apart} drawn otherwise"
    print(f"PyTorch's samples: {same}", *samples, sep="\n  ")
    return not differing + samples


def write() -> None:
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


def main(argv: list[str]) -> int:
    """Write both files, or compare with them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--compare", action="store_true", help="say where this machine has other bits; exit 1 then")
    if parser.parse_args(argv).compare:
        return 0 if compare() else 1
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
