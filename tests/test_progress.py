"""Progress: plain lines where there is no terminal, a bar where there is one."""

import contextlib
import io
import os
import pty
import time

import pytest

from seedbed.progress import Tick, progress


def test_plain_lines_say_how_many_are_done_and_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with progress(stream) as show:
        for done, at in ((3, 101.0), (4, 106.0), (5, 107.0), (6, 112.0)):
            now[0] = at
            show(Tick(done, 6, 2, f"cell {done}"))
    assert stream.getvalue().splitlines() == [
        "4 of 6 runs, about 6 s left: cell 4",
        "6 of 6 runs, about 0 s left: cell 6",
    ]


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal, progress(terminal) as show:
        show(Tick(1, 2, 0, "deterministic cpu baseline"))
    shown = _read_all(leader)
    assert "1/2" in shown
    assert "deterministic cpu baseline" in shown


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as show:
        show(Tick(1, 1, 0, "last"))
    assert capsys.readouterr() == ("", "1 of 1 runs, about 0 s left: last\n")


def _read_all(leader: int) -> str:
    data = b""
    with os.fdopen(leader, "rb", buffering=0) as reader, contextlib.suppress(OSError):  # Linux ends a pty with EIO
        while chunk := reader.read(65536):
            data += chunk
    return data.decode()
