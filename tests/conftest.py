"""What several test modules share."""

from collections.abc import Callable, Iterable
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import settings

from seedbed import environment
from seedbed.record import SCHEMA_VERSION, Cell, Record

Write = Callable[[str], None]

settings.register_profile("untimed", settings.default, deadline=None)  # a busy machine is no finding
settings.load_profile("untimed")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the module `study` of experiments into an empty folder, which is the current one from then on."""
    monkeypatch.chdir(tmp_path)

    def write(source: str) -> None:
        (tmp_path / "study.py").write_text(dedent(source))

    return write


def record_of(cells: Iterable[Cell]) -> Record:
    """A record of these cells, as a check on this machine would have made it."""
    return Record(
        schema_version=SCHEMA_VERSION,
        seedbed_version="0.1.0",
        created="2026-11-23T19:00:00+00:00",
        seed=1337,
        arrays_sha256="",
        environment=environment.read(),
        runs=[],
        cells=list(cells),
    )
