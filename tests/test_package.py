"""The package itself: its names, and what importing it costs."""

import subprocess
import sys

import pytest

import seedbed


def test_every_public_name_is_there_and_listed() -> None:
    assert set(seedbed.__all__) <= set(dir(seedbed))
    assert all(getattr(seedbed, name) is not None for name in seedbed.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'seedbed' has no attribute 'sow'"):
        _ = seedbed.sow


def test_importing_the_package_loads_neither_numpy_nor_torch() -> None:
    program = "import sys, seedbed; print(sorted({'numpy', 'torch', 'msgspec', 'typer'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
