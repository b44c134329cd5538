"""A nox session that runs nothing, for the tests of what our noxfile, and those of projects, are made of."""

import contextlib
from pathlib import Path
from unittest.mock import MagicMock, create_autospec

import nox


class StoppedError(Exception):
    """What `session.error` and `session.skip` raise: they never return."""


def stop(reason: str) -> None:
    raise StoppedError(reason)


def make_folder(*command: str, **_: object) -> None:
    """What `python -m venv` leaves: a folder, which must not be there yet."""
    if "venv" in command:
        Path(command[-1]).mkdir(parents=True)


def fake_session() -> MagicMock:
    """A session without arguments, to which every command is a success."""
    session: MagicMock = create_autospec(nox.Session, instance=True)
    session.configure_mock(posargs=[], _runner=MagicMock())
    session._runner.global_config.no_install = False
    session.error.side_effect = session.skip.side_effect = stop
    session.run_install.side_effect = make_folder
    session.chdir.side_effect = contextlib.chdir
    return session
