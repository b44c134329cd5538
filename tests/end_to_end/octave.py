"""A real Octave, for the tests beside it; where none is, they are skipped and say so."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

needs_octave = pytest.mark.skipif(
    shutil.which("octave-cli") is None,
    reason="no octave-cli on the PATH: Debian's package `octave` has it, and root's `nox -s octave` installs that",
)


def run_octave(folder: Path, code: str, **environ: str) -> str:
    """Run a program of Octave's in a folder, and give what it printed; nobody's settings are read."""
    (folder / "program.m").write_text(f"1;\n{code}\n", encoding="utf-8")  # with 1; it is no file of one function
    command = ["octave-cli", "--norc", "--no-history", "--quiet", "program.m"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, timeout=300, env=os.environ | environ
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
