"""The recipe: people and CI run these sessions (`nox -l` lists them); arguments after `--` go to the program."""

import sys
from pathlib import Path

import nox

sys.path[:0] = map(str, Path("vendor").glob("seedbed-*.whl"))  # what sessions have in common, straight from the wheel

from seedbed import sessions  # noqa: E402

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_venv = "yes"


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format (ruff); `-- --fix` mends what it can."""
    session.install(*sessions.group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if session.posargs else ["--check"]))


@nox.session
def types(session: nox.Session) -> None:
    """Types (mypy, strict), against the locked libraries."""
    python = sessions.environment(session, sessions.CPU_LOCK)
    session.install(*sessions.group("types"))
    # Not the script `mypy`, whose first line names the folder that the project was in when it was installed.
    session.run("python", "-m", "mypy", "--python-executable", python, *session.posargs)


@nox.session(venv_backend="none")
@sessions.EACH_LOCK
def tests(session: nox.Session, lock: str) -> None:
    """The tests; arguments go to pytest (`-- -k learns`)."""
    session.run(sessions.environment(session, lock), "-m", "pytest", *session.posargs, external=True)


@nox.session(venv_backend="none")
@sessions.EACH_LOCK
def repro(session: nox.Session, lock: str) -> None:
    """Whether the experiments reproduce themselves, and where not; arguments go to `seedbed repro` (`-- --help`)."""
    session.run(sessions.environment(session, lock), "-m", "seedbed", "repro", *session.posargs, external=True)


@nox.session(venv_backend="none")
def image(session: nox.Session) -> None:
    """Build the container image, and look into it; arguments go to the engine's `build`."""
    sessions.image(session, "{{ cookiecutter.project_slug }}", "{{ cookiecutter.device }}")


@nox.session
def lock(session: nox.Session) -> None:
    """Write both locks from requirements.in; `-- --check` only says whether they are stale, `-- --upgrade` renews."""
    sessions.write_locks(session)
