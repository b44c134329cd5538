"""Worker processes, several side by side: started, watched, limited, and never left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from seedbed.condition import level_environ
from seedbed.errors import RecordError
from seedbed.rerun.messages import Finished, Message, Started, decode, encode
from seedbed.rerun.plan import Job

OUTPUT_LINES = 20
_REASON_LENGTH = 300
_OUTPUT_BYTES = 8192
_POLL_SECONDS = 0.25
_EXIT_SECONDS = 5.0
"""How long a process that has said everything may take to end by itself."""


class Event(NamedTuple):
    """The end of one experiment in one job, and the message of it as it came, with its arrays."""

    job: Job
    message: Finished
    data: bytes


def _worker(job: Job, channel: int, lifeline: int) -> list[str]:
    label = f"{job.level} {job.variant.device} {job.variant.label}"
    return [sys.executable, "-m", "seedbed.rerun.worker", str(channel), str(lifeline), label]


@dataclass(frozen=True, slots=True)
class Program:
    """What a worker process runs, given its job and the file descriptors of its channel and its lifeline; and where.

    `time_limit` is what the user calls the limit of its time, `output_lines` how many of its last lines are kept.
    """

    command: Callable[[Job, int, int], list[str]] = _worker
    folder: Path | None = None
    time_limit: str = "--time-limit"
    output_lines: int = OUTPUT_LINES


class Pool:
    """Runs jobs in worker processes, `slots` at a time, and kills what is left of them when the block is left.

    `time_limit`, in seconds, is how long one run of one experiment (or the import of its module) may take. An
    experiment that ends its process, or that the limit ends, is `failed`; another process goes on with the rest.
    """

    def __init__(
        self, slots: int, time_limit: float, environ: Mapping[str, str], program: Program | None = None
    ) -> None:
        self.slots = slots
        self.time_limit = time_limit
        self.environ = environ
        self.program = program or Program()
        self._workers: list[_Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        """Run the jobs, in order as slots come free, and yield what happens as it happens."""
        queue = deque(jobs)
        while queue or self._workers:
            while queue and len(self._workers) < self.slots:
                self._workers.append(_Process(queue.popleft(), self.environ, self.time_limit, self.program))
            wait([source for worker in self._workers for source in worker.sources], _POLL_SECONDS)
            for worker in tuple(self._workers):
                yield from worker.events()
                if worker.over:
                    self._workers.remove(worker)
                    worker.kill()
                    yield from self._after(worker, queue)

    def _after(self, worker: "_Process", queue: deque[Job]) -> Iterator[Event]:
        if not worker.remaining:
            return
        culprit = worker.current or worker.remaining[0]
        yield worker.finished(Finished(experiment=culprit, status="failed", reason=worker.cause()))
        if rest := tuple(name for name in worker.remaining if name != culprit):
            queue.appendleft(msgspec.structs.replace(worker.job, experiments=rest))


class _Process:
    """One worker process."""

    def __init__(self, job: Job, environ: Mapping[str, str], time_limit: float, program: Program) -> None:
        self.job = job
        self.remaining = list(job.experiments)
        self.current: str | None = None
        self.over = False
        self._time_limit = time_limit
        self._program = program
        self._timed_out = False
        self._killed = False
        self._output = bytearray()
        self._deadline = time.monotonic() + time_limit
        self._channel, channel = Pipe()
        lifeline, self._lifeline = os.pipe()
        try:
            self._popen = subprocess.Popen(
                program.command(job, channel.fileno(), lifeline),
                cwd=program.folder,
                env={**environ, **level_environ(job.level, job.seed), **job.variant.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal is for the parent alone; and one group to kill
                pass_fds=(channel.fileno(), lifeline),
            )
        finally:
            channel.close()
            os.close(lifeline)
        with contextlib.suppress(OSError):  # it died at once: seen on the first round
            self._channel.send_bytes(msgspec.json.encode(job))
        self._stdout = self._popen.stdout.fileno() if self._popen.stdout else -1
        os.set_blocking(self._stdout, False)
        self._sources: list[Connection | int] = [self._channel, self._stdout]

    @property
    def sources(self) -> list[Connection | int]:
        """What to wait for: whatever of the channel and the output is still open."""
        return self._sources

    def events(self) -> Iterator[Event]:
        """Read what there is to read, and see whether the process is over or out of time."""
        ended = self._popen.poll() is not None  # asked first: what it said before its end is then still read below
        self._read_output()
        while self._channel in self._sources and self._channel.poll():
            try:
                data = self._channel.recv_bytes()
                message, _ = decode(data, "worker")
            except (EOFError, OSError, RecordError):  # it is over, was killed while it sent, or sent what is no message
                self._sources.remove(self._channel)
                self._deadline = time.monotonic() + _EXIT_SECONDS
            else:
                self._read_output()
                yield from self._event(message, data)
        late = time.monotonic() > self._deadline
        self._timed_out = late and not ended and self._channel in self._sources
        self.over = ended or late or not self._sources

    def _event(self, message: Message, data: bytes) -> Iterator[Event]:
        self._deadline = time.monotonic() + self._time_limit
        if isinstance(message, Started):
            self.current = message.experiment
        elif message.experiment in self.remaining:
            self.current = None
            yield self.finished(message, data)
            self._output.clear()
            with contextlib.suppress(OSError):  # killed meanwhile: seen on the next round
                self._channel.send_bytes(b"")

    def finished(self, message: Finished, data: bytes | None = None) -> Event:
        """The event that an experiment is over; one that failed is given the last lines that it printed."""
        self.remaining.remove(message.experiment)
        if message.status == "failed":
            reason, output = _publishable(message.reason), _publishable(self._last_lines())
            message = msgspec.structs.replace(message, reason=_one_line(reason), output=output)
            data = None
        return Event(self.job, message, data or encode(message))

    def cause(self) -> str:
        """Why the process ended before its job was done."""
        if self._timed_out:
            return f"stopped: it took longer than the time limit of {self._time_limit:g} s ({self._program.time_limit})"
        if self._killed:
            return "stopped: it closed or wrote to the channel between its process and Seedbed"
        status = self._popen.wait()
        if status >= 0:
            return f"its process ended with exit status {status}"
        names = {number.value: number.name for number in signal.Signals}
        name = names.get(-status, f"signal {-status}")
        return f"its process was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")

    def kill(self) -> None:
        """End the process, and whatever it started: what is left of its group dies with the lifeline."""
        if not self._sources:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_EXIT_SECONDS)
        if self._popen.poll() is None:
            self._killed = True
            os.killpg(self._popen.pid, signal.SIGKILL)
        os.close(self._lifeline)
        self._popen.wait()
        self._channel.close()
        if self._popen.stdout is not None:
            self._popen.stdout.close()

    def _read_output(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._stdout in self._sources:
                if not (data := os.read(self._stdout, 65536)):
                    self._sources.remove(self._stdout)
                self._output += data
                del self._output[:-_OUTPUT_BYTES]

    def _last_lines(self) -> str:
        lines = self._output.decode(errors="replace").splitlines()
        return "\n".join(lines[-self._program.output_lines :])


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 4] + " ..."


def _publishable(text: str) -> str:
    """The text without control characters, and without the folders of its author: records are made to be published."""
    places = {str(Path.cwd()): ".", sys.prefix: "PYTHON", sys.base_prefix: "PYTHON", str(Path.home()): "~"}
    for place in sorted(places, key=len, reverse=True):
        if len(place) > 1:
            text = text.replace(place, places[place])
    return "".join(character for character in text if character.isprintable() or character in "\n\t")
