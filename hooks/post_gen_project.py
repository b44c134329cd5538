"""Cookiecutter runs this in the new project: its first commit, where git is there."""

import sys
from pathlib import Path

here = Path.cwd()
sys.path[:0] = map(str, here.glob("vendor/seedbed-*.whl"))

from seedbed.scaffold.git import first_commit  # noqa: E402

if reason := first_commit(here, "Start from Seedbed {{ cookiecutter.__seedbed }}"):
    print(f"No first commit was made: {reason}")
print(f"{here} is there. In it: python -m pip install nox && nox -s tests")
