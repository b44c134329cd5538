"""What one process of a check does: ``python -m seedbed.rerun.worker CHANNEL LIFELINE LABEL``.

CHANNEL is the file descriptor that the job comes from, as JSON, and the messages go to; LIFELINE is one that the parent
holds open as long as it lives; LABEL is for whoever looks at the list of processes.
"""

import atexit
import contextlib
import gc
import os
import sys
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from seedbed.bits import Bits
from seedbed.determinism import in_force as flags_in_force
from seedbed.environment import in_force, read_variables
from seedbed.errors import ExperimentError
from seedbed.experiment import Experiment, load
from seedbed.fingerprint import fingerprints
from seedbed.rerun.lifeline import die_with_parent
from seedbed.rerun.messages import Finished, Message, Started, encode
from seedbed.rerun.plan import Job
from seedbed.seeding import set_all_seeds

REPEAT_SECONDS = 0.25
"""How long one experiment is repeated in one process, at least twice and at most `Variant.repeats` times."""


_CHANNEL = 250


class _NothingToDoError(Exception):
    """At level `portable`, an experiment with nothing in it that portable mode could make portable."""


class Worker:
    """Runs the experiments of one job and sends what they return."""

    def __init__(self, job: Job, connection: Connection) -> None:
        self.job = job
        self.connection = connection
        self.pid = os.getpid()

    def run(self) -> None:
        """Load all experiments, then run them one by one."""
        gc.disable()  # imports make no garbage to speak of, and a fifth of their time went into looking for it
        experiments = [experiment for name in self.job.experiments if (experiment := self._load(name))]
        gc.freeze()  # and what stays for good need not be looked at again
        gc.enable()
        for experiment in experiments:
            self._run(experiment)

    def _send(self, message: Message, arrays: dict[str, Bits] | None = None) -> None:
        if os.getpid() != self.pid:
            os._exit(1)  # an experiment forked, and its child came back here
        self.connection.send_bytes(encode(message, arrays))
        if isinstance(message, Finished):
            self.connection.recv_bytes()  # the parent has read what this experiment printed: the next one may print

    def _set_level(self) -> None:
        if self.job.level != "none":
            set_all_seeds(self.job.seed, deterministic=self.job.level in ("deterministic", "portable"))

    def _load(self, name: str) -> Experiment | None:
        self._send(Started(experiment=name))
        try:
            return load(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever a user's module raises is one failed cell)
            self._fail(name, error, loaded=False)
            return None

    def _run(self, experiment: Experiment) -> None:
        if self.job.variant.device != "cpu" and not experiment.takes_device:
            self._send(Finished(experiment=experiment.name, status="skipped", reason="takes no device: CPU only"))
            return
        try:
            finished, results = self._repeat(experiment)
        except _NothingToDoError:
            reason = "no operation of PyTorch ran: portable mode is about PyTorch alone"
            self._send(Finished(experiment=experiment.name, status="skipped", reason=reason))
        except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever an experiment raises is one failed cell)
            self._fail(experiment.name, error)
        else:
            self._send(finished, results)

    def _repeat(self, experiment: Experiment) -> tuple[Finished, dict[str, Bits]]:
        begin = time.perf_counter()
        first = results = self._once(experiment)
        end = time.perf_counter()
        digests = fingerprints(first)
        runs, varied = 1, 0
        while runs < self.job.variant.repeats and (runs < 2 or time.perf_counter() - end < REPEAT_SECONDS):
            again = self._once(experiment)
            runs += 1
            if fingerprints(again) != digests:
                varied += 1
                if varied == 1:
                    results = _copied(again)  # the experiment may use the same memory again
        finished = Finished(
            experiment=experiment.name,
            status="done",
            seconds=round(end - begin, 6),
            runs=runs,
            varied=varied,
            fingerprints=fingerprints(results),
            in_force=in_force(),
            flags=flags_in_force() if "torch" in sys.modules else None,
            variables=read_variables(),
        )
        return finished, results

    def _once(self, experiment: Experiment) -> dict[str, Bits]:
        self._send(Started(experiment=experiment.name))
        self._set_level()
        if self.job.level != "portable":
            return experiment.run(self.job.seed, self.job.variant.device)
        from seedbed.portable import PortableMode

        with PortableMode() as mode:
            results = experiment.run(self.job.seed, self.job.variant.device)
        if not mode.operations:
            raise _NothingToDoError
        return results

    def _fail(self, name: str, error: BaseException, *, loaded: bool = True) -> None:
        reason = str(error)
        if not isinstance(error, ExperimentError):
            traceback.print_exception(error)  # the parent keeps the last lines
            reason = traceback.format_exception_only(error)[0].strip()
        self._send(Finished(experiment=name, status="failed", reason=reason, loaded=loaded))


def _copied(results: dict[str, Bits]) -> dict[str, Bits]:
    return {key: Bits(bits.dtype, bits.array.copy()) for key, bits in results.items()}


def main(argv: list[str]) -> None:
    """Run the job that comes through the channel."""
    channel, lifeline = int(argv[0]), int(argv[1])
    die_with_parent(lifeline)
    # Out of the way of experiments that write to low descriptors, and closed in programs that they start.
    os.dup2(channel, _CHANNEL, inheritable=False)
    os.close(channel)
    with contextlib.suppress(OSError):  # where memory runs out, this process goes first, not the one that watches it
        Path("/proc/self/oom_score_adj").write_text("1000")
    with Connection(_CHANNEL) as connection:
        Worker(msgspec.json.decode(connection.recv_bytes(), type=Job), connection).run()
    leave()


def leave() -> None:
    """End this process without taking the interpreter apart, which takes a second once torch is loaded."""
    sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(0)  # pragma: no cover  (coverage has been written by then)


if __name__ == "__main__":
    main(sys.argv[1:])
