"""An older project, brought up to the template of the Seedbed that runs."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from seedbed.errors import AnswerError, ScaffoldError
from seedbed.scaffold.git import git
from seedbed.scaffold.project import MISSING, render, scratch
from seedbed.scaffold.wheel import Wheel, installed

ANSWERS = ".copier-answers.yml"
OWN = ("src", "tests", "records")
"""The researcher's, whatever a newer template has there; `_skip_if_exists` in copier.yml says the same to copier."""

NO_RENAMES = ("--strategy=recursive", "--strategy-option=no-renames")
"""In a larger repository, what was deleted of the project would seem to be renamed to the like of it elsewhere.

The default strategy, ort, looks for renames in spite of the option: git 2.39 does.
"""


def update(folder: Path) -> list[str]:
    """Bring the project in `folder` up to date: what changed from its template to the newer one is merged into it.

    The older template is in the wheel that the project has in ``vendor/``, the newer one in the Seedbed that runs. A
    project that copier made from a repository is left to copier, which finds both there.

    Returns
    -------
    list of str
        The files with conflicts, which are shown in them as git does it.

    Raises
    ------
    ScaffoldError
        If the project is none of Seedbed's, is newer than this Seedbed, or has changes that are not committed.
    """
    answers = read_answers(folder / ANSWERS)
    if "_src_path" in answers:
        update_by_copier(folder)
    else:
        check_repository(folder)
        merge(folder, vendored(folder), installed(), answers)
    return conflicts(folder)


def conflicts(folder: Path) -> list[str]:
    """The files in `folder` that git could not merge."""
    names = git(folder, "diff", "--name-only", "-z", "--relative", "--diff-filter=U").split("\0")
    return [name for name in names if name]


def is_changed(folder: Path) -> bool:
    """Whether there is anything to commit in `folder`."""
    return bool(git(folder, "status", "--porcelain", "--", "."))


def check_repository(folder: Path) -> None:
    """Refuse a folder where git could not show, or undo, what an update does."""
    top = git(folder, "rev-parse", "--show-toplevel", check=False)
    if top and is_changed(Path(top)):
        where = folder if Path(top).samefile(folder) else f"{top}, where {folder} is,"
        raise ScaffoldError(
            f"{where} has changes that are not committed: commit them, so that the update can be undone"
        )
    if not git(folder, "ls-files", "--", ANSWERS, check=False):
        raise ScaffoldError(
            f"{folder} is in no git repository, by which an update can be seen and undone: `git init` in it, and commit"
        )


def read_answers(path: Path) -> dict[str, str]:
    """Read what a project was made from."""
    if not path.exists():
        raise ScaffoldError(f"{path.parent} is no project that Seedbed made: it has no {path.name}")
    try:
        import yaml
    except ImportError:
        raise ScaffoldError(MISSING) from None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScaffoldError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(part, str) for item in found.items() for part in item):
        raise ScaffoldError(f"{path} has to be a list of questions and answers, all of them texts")
    return found


def vendored(folder: Path) -> Wheel:
    """Read the wheel of the Seedbed that made the project, or last brought it up to date."""
    found = sorted(folder.glob("vendor/seedbed-*.whl"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ScaffoldError(
            f"{folder / 'vendor'} has to have one wheel of Seedbed, from which to update; found: {names}"
        )
    return Wheel(found[0].name, found[0].read_bytes())


def merge(folder: Path, old: Wheel, new: Wheel, answers: Mapping[str, str]) -> None:
    """Merge into the project what changed from the template of `old` to that of `new`."""
    if version(new) < version(old):
        raise ScaffoldError(f"the project is of {old.name}, and this Seedbed is older: {new.name}; install a newer one")
    repository = git(folder, "rev-parse", "--absolute-git-dir")
    within = git(folder, "rev-parse", "--show-prefix")  # a project may be a folder in a larger repository
    parent = ""
    with scratch() as work:
        for wheel, name in ((old, "old"), (new, "new")):
            top = work / name if within else work / name / folder.resolve().name
            rendered = top / within  # named as the project is: an answer that is missing has its default from that
            fill_in(wheel, rendered, answers, folder)
            parent = commit(repository, top, work / f"{name}.index", parent)
    try:
        git(folder, "cherry-pick", "--no-commit", *(NO_RENAMES if within else ()), parent)
    except ScaffoldError:
        if not conflicts(folder):  # where there are, they are the reason
            raise


def fill_in(wheel: Wheel, rendered: Path, answers: Mapping[str, str], folder: Path) -> None:
    """Fill in a template with the `answers` that `folder` has, without what is the researcher's."""
    try:
        render(wheel, rendered, answers, defaults=True)
    except AnswerError as error:
        raise ScaffoldError(f"{folder / ANSWERS}: {error}") from None
    for own in OWN:
        shutil.rmtree(rendered / own, ignore_errors=True)


def version(wheel: Wheel) -> tuple[int, ...]:
    """The version of a wheel."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        return parse_wheel_filename(wheel.name)[1].release
    except InvalidWheelFilename as error:
        raise ScaffoldError(f"vendor/{wheel.name} is no wheel of Seedbed: {error}") from None


def commit(repository: str, folder: Path, index: Path, parent: str) -> str:
    """Write what is in `folder` as a commit that is on no branch, and return its name."""
    environ = {"GIT_DIR": repository, "GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(index)}
    who = {f"GIT_{role}_{part}": "seedbed" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    git(folder, "add", "--all", "--force", environ=environ)
    tree = git(folder, "write-tree", environ=environ)
    parents = ["-p", parent] if parent else []
    return git(folder, "commit-tree", tree, *parents, "-m", "The template", environ={**environ, **who})


def update_by_copier(folder: Path) -> None:
    """Let copier update a project that it made from a repository."""
    try:
        import copier
        from copier.errors import CopierError
    except ImportError:
        raise ScaffoldError(MISSING) from None
    try:
        copier.run_update(folder, defaults=True, overwrite=True, quiet=True, settings=copier.Settings())
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None
    except (ValueError, CopierError) as error:
        raise ScaffoldError(f"{folder} is copier's, and `copier update` in it says: {error}") from None
