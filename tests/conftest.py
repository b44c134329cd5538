"""What several test modules share."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

Write = Callable[[str], None]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the module `study` of experiments into an empty folder, which is the current one from then on."""
    monkeypatch.chdir(tmp_path)

    def write(source: str) -> None:
        (tmp_path / "study.py").write_text(dedent(source))

    return write
