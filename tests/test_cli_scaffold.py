"""`seedbed new` and `seedbed update`: what they print where, and their exit status."""

import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from seedbed import cli
from seedbed.scaffold import project
from seedbed.scaffold.git import first_commit, git
from seedbed.scaffold.project import render
from tests.scaffolding import ANSWERS, OLDER, ROOT, commit_all, isolate, of_version, running, template_file

GIVEN = {
    "project_name": "Wellen",
    "package_name": "waves",
    "description": "About waves",
    "author": "Ada",
    "orcid": "0000-0002-1825-0097",
    "license": "BSD-3-Clause",
    "device": "cuda",
    "example": "simulation",
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)


def seedbed(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


def refused(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Run the command as the program does, and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["seedbed", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


# seedbed new


def test_help_lists_both() -> None:
    found = seedbed("--help").stdout
    assert "Start a project in which reproducibility already works" in found
    assert "Bring a project up to the newer template" in found


def test_new_makes_a_project_of_the_defaults() -> None:
    result = seedbed("new", "waves", "--defaults")
    assert result.exit_code == 0
    assert result.stdout == "waves is there. In it: python -m pip install nox && nox -s tests\n"
    assert result.stderr == ""
    assert Path("waves/src/waves/experiment.py").is_file()
    assert git(Path("waves"), "status", "--porcelain") == ""


def test_new_takes_every_answer_as_an_option() -> None:
    options = [part for name, answer in GIVEN.items() for part in (f"--{name.replace('_', '-')}", answer)]
    assert seedbed("new", "waves", *options).exit_code == 0  # nothing is left to ask
    assert yaml.safe_load(Path("waves/.copier-answers.yml").read_text()) == GIVEN


def test_an_empty_answer_is_an_answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(monkeypatch, "new", "waves", "--defaults", "--author", "") == cli.EXIT_UNREADABLE
    assert capsys.readouterr().err == "seedbed: --author: it is empty\n"


@pytest.mark.parametrize(("option", "answer"), [("license", "GPL-3.0"), ("device", "tpu"), ("example", "Digits")])
def test_a_choice_that_is_none_names_the_option_and_the_choices(option: str, answer: str) -> None:
    result = seedbed("new", "waves", "--defaults", f"--{option}", answer)
    assert result.exit_code == cli.EXIT_UNREADABLE
    assert f"Invalid value for '--{option}'" in result.stderr
    for choice in choices(option):
        assert f"'{choice}'" in result.stderr
    assert not Path("waves").exists()


def choices(question: str) -> list[str]:
    """What copier.yml lets one choose from."""
    found = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))[question]["choices"]
    return list(found.values() if isinstance(found, dict) else found)


def test_the_help_of_new_has_each_question_and_its_choices() -> None:
    found = " ".join(seedbed("new", "--help").stdout.split())
    questions = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    for name, question in questions.items():
        if "help" in question:
            assert f"--{name.replace('_', '-')} <" in found
        if "choices" in question:
            assert f"--{name} <{'|'.join(choices(name))}>" in found
    assert found.count("[default: ") == 7


def test_new_says_why_there_is_no_commit() -> None:
    git(Path(), "init", "--quiet")
    result = seedbed("new", "waves", "--defaults")
    assert result.exit_code == 0
    assert result.stderr == "seedbed: no first commit was made: it is in a repository already\n"
    assert Path("waves/pyproject.toml").is_file()


def test_what_new_refuses_is_one_line_and_exit_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("waves").mkdir()
    Path("waves/mine").touch()
    assert refused(monkeypatch, "new", "waves", "--defaults") == cli.EXIT_UNREADABLE
    error = capsys.readouterr().err
    assert error.startswith("seedbed: waves is there already")
    assert error.count("\n") == 1


def test_new_below_a_file_is_one_line_and_exit_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    assert refused(monkeypatch, "new", "file/waves", "--defaults") == cli.EXIT_UNREADABLE
    error = capsys.readouterr().err
    assert error.startswith("seedbed: ")
    assert error == "seedbed: file/waves cannot be made in " + str(Path("file").resolve()) + ": Not a directory\n"
    assert error.count("\n") == 1


def test_an_interrupted_new_is_exit_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(project, "render", interrupted)
    result = seedbed("new", "waves", "--defaults")
    assert result.exit_code == cli.EXIT_INTERRUPTED
    assert result.stderr == "seedbed: interrupted; nothing was made\n"
    assert list(Path().iterdir()) == []


# seedbed update


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A project of an older Seedbed, whose README had another title."""
    readme = template_file("README.md").replace(b"## Run it again\n", b"## Run it once more\n")
    render(of_version(OLDER, {"README.md": readme}), tmp_path / "waves", ANSWERS, defaults=True)
    assert first_commit(tmp_path / "waves", "Start") is None
    return tmp_path / "waves"


def test_update_says_what_comes_next(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(older)
    result = seedbed("update")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == "seedbed: see `git diff HEAD`; then `nox -s lock`, `nox -s tests`, and commit\n"
    assert "## Run it again\n" in Path("README.md").read_text()


def test_a_conflict_is_named_and_exit_status_1(older: Path) -> None:
    readme = older / "README.md"
    readme.write_text(readme.read_text().replace("## Run it once more", "## Run it my way"))
    commit_all(older)
    result = seedbed("update", "waves")
    assert result.exit_code == cli.EXIT_BROKEN
    assert result.stdout == "conflict: README.md\n"
    assert "see `git diff HEAD`" in result.stderr


def test_update_says_where_there_is_nothing_to_do(tmp_path: Path) -> None:
    render(running(), tmp_path / "waves", ANSWERS, defaults=True)
    first_commit(tmp_path / "waves", "Start")
    result = seedbed("update", "waves")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == "seedbed: it is up to date already; nothing was changed\n"


def test_what_update_refuses_is_one_line_and_exit_status_2(
    older: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (older / "new.txt").touch()
    assert refused(monkeypatch, "update", "waves") == cli.EXIT_UNREADABLE
    error = capsys.readouterr().err
    assert error.startswith("seedbed: waves has changes that are not committed")
    assert error.count("\n") == 1
