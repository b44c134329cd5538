"""A rerun of one test: pytest once more, in a fresh process, which says what the test returned."""

import json
import os
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import pytest

from seedbed.rerun.lifeline import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seedbed.bits import Bits
    from seedbed.rerun.messages import Finished

NO_REPORTS: dict[str, object] = {
    "usepdb": False,
    "trace": False,
    "lf": False,
    "pyargs": False,
    "xmlpath": None,
    "pastebin": None,
    "log_file": None,
    "verbose": -1,
}
"""Options of pytest's own that select tests, report or ask: the parent has done the first, and does the others."""


class Child:
    """The plugin that makes this process a rerun; `text` is what the parent says in ``--seedbed-rerun``."""

    def __init__(self, text: str) -> None:
        told = json.loads(text)
        die_with_parent(told["lifeline"])
        os.set_inheritable(told["channel"], False)  # noqa: FBT003 - it takes it so only
        self._connection = Connection(told["channel"])
        job = json.loads(self._connection.recv_bytes())
        (self._node_id,) = job["experiments"]
        self._target: str = told["target"]
        self._options: dict[str, object] = told["options"]
        self._said = False
        self.level: str = job["level"]
        self.device: str = job["variant"]["device"]

    def prepare(self, config: pytest.Config) -> None:
        """Have this test run, and nothing else; xdist makes its workers in the same way."""
        config.args = [self._target]
        for name, value in {**NO_REPORTS, **self._options}.items():
            if hasattr(config.option, name):
                setattr(config.option, name, value)
        if self.level == "none" and (randomly := config.pluginmanager.get_plugin("randomly")) is not None:
            config.pluginmanager.unregister(randomly)  # it seeds too

    def done(self, value: object) -> None:
        """Say what the test returned, and what was in force."""
        from seedbed.environment import in_force
        from seedbed.pytest_plugin.mark import results_of
        from seedbed.rerun.messages import Finished

        results = results_of(value)
        self._say(Finished(experiment=self._node_id, status="done", in_force=in_force()), results)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """End here where all is said: to take the interpreter apart takes a while once torch is loaded."""
        if self._said:
            from seedbed.rerun.worker import leave

            leave()

    @pytest.hookimpl(tryfirst=True)  # before the terminal prints its letter
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say that the test failed or was skipped, before or instead of returning."""
        self._report(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Say that its module could not be loaded."""
        self._report(report)

    def _report(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        from seedbed.rerun.messages import Finished

        if report.failed:
            parts = (report.capstdout, report.capstderr, report.longreprtext)
            print("\n".join(filter(None, parts)), flush=True)  # the parent keeps the last lines
            self._say(Finished(experiment=self._node_id, status="failed", reason=_reason(report.longrepr)))
        elif report.skipped:
            self._say(Finished(experiment=self._node_id, status="skipped", reason=_reason(report.longrepr)))

    def _say(self, message: "Finished", results: "Mapping[str, Bits] | None" = None) -> None:
        from seedbed.rerun.messages import encode

        if not self._said:
            self._said = True
            self._connection.send_bytes(encode(message, results))
            self._connection.recv_bytes()  # the parent has read what was printed so far


def _reason(longrepr: Any) -> str:
    """Say in a few words why a test failed or was skipped, whichever of its forms pytest gives that in."""
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(longrepr, "reprcrash", None)
    return str(crash.message if crash else longrepr).partition("\n")[0]
