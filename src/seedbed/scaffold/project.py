"""A new project."""

import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import seedbed
from seedbed.errors import AnswerError, ScaffoldError
from seedbed.scaffold.git import first_commit
from seedbed.scaffold.layout import lay_out
from seedbed.scaffold.wheel import Wheel, installed

NO_TERMINAL = "there is no terminal to ask on: give `--defaults`, or the answer to every question as an option"
REFUSED = re.compile(r"(?:Validation error for question|Invalid choice for) '(\w+)': (.*)", re.DOTALL)
"""How copier says that an answer is refused: the question, and why."""

MISSING = "copier is not installed, which makes projects: `python -m pip install 'seedbed[new]'`"


def create(folder: Path, answers: Mapping[str, str], *, defaults: bool) -> str | None:
    """Make a new project in `folder`, which is there whole afterwards, or not at all.

    Parameters
    ----------
    folder
        Where; it may be there already if nothing is in it.
    answers
        By the question's name. What they leave open is asked on the terminal.
    defaults
        Ask nothing: what `answers` leave open has its default.

    Returns
    -------
    str or None
        Why there is no first commit, where there is none.

    Raises
    ------
    AnswerError
        If an answer is refused.
    ScaffoldError
        If `folder` has something in it or cannot be written, or there is no terminal to ask on.
    """
    whole = folder.resolve()  # "." and ".." are no names for a project
    if folder.is_symlink() or (whole.exists() and not (whole.is_dir() and not any(whole.iterdir()))):
        raise ScaffoldError(f"{folder} is there already, and nothing in it would be overwritten: name another folder")
    if whole == Path.cwd():
        raise ScaffoldError(
            f"{folder} is the current folder, in whose place the project would be put: start it from outside"
        )
    parent = next(parent for parent in whole.parents if parent.exists())
    try:
        with scratch(parent) as work:
            render(installed(), work / whole.name, answers, defaults=defaults)
            reason = first_commit(work / whole.name, f"Start from Seedbed {seedbed.__version__}")
            whole.parent.mkdir(parents=True, exist_ok=True)
            (work / whole.name).rename(whole)
    except OSError as error:  # which names a file in the hidden folder, that nobody knows of and that is gone
        raise ScaffoldError(f"{folder} cannot be made in {parent}: {error.strerror or error}") from None
    return reason


@contextlib.contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A folder, hidden, that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=".seedbed-", dir=parent) as work:
        yield Path(work)


def render(wheel: Wheel, folder: Path, answers: Mapping[str, str], *, defaults: bool) -> None:
    """Fill in the template of `wheel`, in the new `folder`.

    Raises
    ------
    AnswerError
        If an answer is refused.
    ScaffoldError
        If copier is not there, or there is no terminal to ask on.
    """
    try:
        import copier
        from copier.errors import CopierError, InteractiveSessionError
    except ImportError:
        raise ScaffoldError(MISSING) from None
    with scratch() as work:
        lay_out(wheel, work / "template")
        template, settings = str(work / "template"), copier.Settings()  # not the user's own, which have defaults too
        try:
            copier.run_copy(template, folder, dict(answers), defaults=defaults, quiet=True, settings=settings)
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None  # copier's own is an error as well
        except InteractiveSessionError:
            raise ScaffoldError(NO_TERMINAL) from None
        except (ValueError, CopierError) as error:
            refused = REFUSED.fullmatch(str(error))
            raise (AnswerError(*refused.groups()) if refused else ScaffoldError(str(error))) from None
