"""Progress on stderr: a bar on a terminal, and now and then a plain line where there is none."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, TextIO

LINE_SECONDS = 5.0
"""The least time between two plain lines."""


class Tick(NamedTuple):
    """How many runs of an experiment are done, of how many, how many were there at the start, and what came last."""

    done: int
    total: int
    before: int
    last: str


@contextmanager
def progress(stream: TextIO | None = None) -> Iterator[Callable[[Tick], None]]:
    """Show ticks on `stream` (stderr if None) while the block lasts."""
    stream = stream or sys.stderr
    if stream.isatty():
        with _bar(stream) as show:
            yield show
    else:
        yield _Lines(stream)


class _Lines:
    """Plain lines, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begin = self._shown = time.monotonic()

    def __call__(self, tick: Tick) -> None:
        now = time.monotonic()
        if now - self._shown < LINE_SECONDS and tick.done < tick.total:
            return
        self._shown = now
        left = _seconds_left(tick, now - self._begin)
        with suppress(BrokenPipeError):  # whoever read it has left; the check goes on
            print(
                f"{tick.done} of {tick.total} runs, about {left:.0f} s left: {tick.last}", file=self._stream, flush=True
            )


def _seconds_left(tick: Tick, elapsed: float) -> float:
    return elapsed / max(tick.done - tick.before, 1) * (tick.total - tick.done)


@contextmanager
def _bar(stream: TextIO) -> Iterator[Callable[[Tick], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda tick: bar.update(task, completed=tick.done, total=tick.total, description=tick.last)
