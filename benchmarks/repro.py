"""How long the whole check takes: `seedbed repro` as it is by default, on two cores, once."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, run
from tempfile import TemporaryDirectory
from timeit import Timer

from benchmarks.timing import Row

COMMAND = (sys.executable, "-m", "seedbed", "repro")
CORES = 2


def measure(_: int) -> Iterator[Row]:
    """Time the check, with its record in a temporary folder."""
    allowed = os.sched_getaffinity(0)
    cores = sorted(allowed)[:CORES]
    os.sched_setaffinity(0, cores)  # what is started from here inherits it
    try:
        with TemporaryDirectory() as folder:
            before = cpu_seconds()
            seconds = Timer(lambda: check(Path(folder, "record"))).timeit(1)
            used = cpu_seconds() - before
    finally:
        os.sched_setaffinity(0, allowed)
    yield Row(name=f"seedbed repro, {len(cores)} cores, {used:.0f} s of CPU time", ours=[seconds], under=120)


def check(record: Path) -> None:
    """Run it to its end. A broken promise, exit status 1, is an answer as any other."""
    done = run([*COMMAND, "--out", str(record)], stdout=DEVNULL, check=False)
    if done.returncode > 1:
        done.check_returncode()


def cpu_seconds() -> float:
    """Sum what all processes used that ended: unlike the time on the clock, it grows little when others are busy."""
    times = os.times()
    return times.children_user + times.children_system
