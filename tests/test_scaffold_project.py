"""A new project: whole or not at all, and what is in it."""

import ast
import errno
import itertools
import json
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml
from copier.errors import CopierAnswersInterrupt

import seedbed
from seedbed.errors import AnswerError, ScaffoldError
from seedbed.scaffold import project
from seedbed.scaffold.git import git
from seedbed.scaffold.project import create, render
from tests.refused_answers import DEFAULTS, ORCID, REFUSED
from tests.scaffolding import ANSWERS, isolate, know, running, tree

DEVICES = ("cpu", "cuda")
EXAMPLES = ("digits", "simulation", "empty")
LICENSES = {
    "MIT": "MIT License\n\nCopyright (c) {author}\n",
    "BSD-3-Clause": "BSD 3-Clause License\n\nCopyright (c) {author}\n",
    "Apache-2.0": "\n                                 Apache License\n",
}
AUTHOR = "Zoë Łukasz 王, O'Neil & Søn: #1 <a@b.c>"
DESCRIPTION = "Über die Wellen: 50 % of {them}, 'quoted' $HOME `x` \N{SNOWMAN}"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


def is_untouched(folder: Path) -> bool:
    """Whether nothing is there but what isolates the tests."""
    return not list(folder.iterdir())


# Whole, or not at all


def test_a_project_is_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert create(Path("deep/in/waves"), ANSWERS, defaults=True) is None
    made = tmp_path / "deep/in/waves"
    assert [path.name for path in made.parent.iterdir()] == ["waves"]
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert (made / "vendor" / running().name).read_bytes() == running().content
    assert (made / "src/waves/experiment.py").is_file()
    assert git(made, "log", "--format=%an: %s") == f"Seedbed: Start from Seedbed {seedbed.__version__}"
    assert git(made, "status", "--porcelain") == ""
    assert sorted(tree(made)) == sorted(git(made, "ls-files").splitlines())


def test_what_is_not_answered_has_its_default_and_the_folders_name(tmp_path: Path) -> None:
    create(tmp_path / "My Waves", {}, defaults=True)
    answers = yaml.safe_load((tmp_path / "My Waves/.copier-answers.yml").read_text())
    assert answers == {
        "project_name": "My Waves",
        "package_name": "my_waves",
        "description": "A study that can be run again, to the last bit.",
        "author": "The My Waves authors",
        "orcid": "",
        "license": "MIT",
        "device": "cpu",
        "example": "digits",
    }


@pytest.mark.parametrize("name", ["Müller", "3d-study", "test", "numpy"])
def test_a_folders_name_that_is_no_packages_gives_one_that_is(tmp_path: Path, name: str) -> None:
    create(tmp_path / name, {"example": "empty"}, defaults=True)
    assert [path.name for path in (tmp_path / name / "src").iterdir()] == [DEFAULTS[name]]


def test_it_is_as_open_as_any_new_folder(tmp_path: Path) -> None:
    create(tmp_path / "waves", ANSWERS, defaults=True)
    (tmp_path / "any").mkdir()
    assert (tmp_path / "waves").stat().st_mode == (tmp_path / "any").stat().st_mode


@pytest.mark.parametrize("name", [".", "../waves/../waves"])
def test_the_current_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The project would be put in its place, and the shell be left in a folder that is gone."""
    (tmp_path / "waves").mkdir()
    monkeypatch.chdir(tmp_path / "waves")
    with pytest.raises(ScaffoldError, match="is the current folder"):
        create(Path(name), {}, defaults=True)
    assert list((tmp_path / "waves").iterdir()) == []


@pytest.mark.parametrize("name", ["waves", "other/../waves"])
def test_an_empty_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "waves").mkdir()
    monkeypatch.chdir(tmp_path)
    assert create(Path(name), {}, defaults=True) is None
    assert yaml.safe_load((tmp_path / "waves/.copier-answers.yml").read_text())["project_name"] == "waves"
    assert [path.name for path in tmp_path.iterdir()] == ["waves"]


def test_what_is_in_a_folder_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/.hidden").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    before = sorted(tmp_path.iterdir())
    for name in ("full", "file", "dangling", "link", "new/../full"):
        with pytest.raises(ScaffoldError, match=f"{name} is there already, .*: name another folder"):
            create(tmp_path / name, ANSWERS, defaults=True)
    assert sorted(tmp_path.iterdir()) == before
    assert tree(tmp_path) == {"file": b"mine", "full/.hidden": b"mine"}
    assert not (tmp_path / "nowhere").exists()
    assert is_untouched(tmp_path / "empty")


@pytest.mark.parametrize(("question", "answer", "reason"), REFUSED)
def test_a_refused_answer_leaves_nothing_behind(tmp_path: Path, question: str, answer: str, reason: str) -> None:
    with pytest.raises(AnswerError) as refused:
        create(tmp_path / "deep/waves", {**ANSWERS, question: answer}, defaults=True)
    assert (refused.value.question, refused.value.reason) == (question, reason)
    assert str(refused.value) == f"{question}: {reason}"
    assert is_untouched(tmp_path)


@pytest.mark.parametrize(("question", "answer"), [("license", "GPL-3.0"), ("device", "tpu"), ("example", "Digits")])
def test_a_choice_that_is_none_is_refused(tmp_path: Path, question: str, answer: str) -> None:
    with pytest.raises(AnswerError, match=f"^{question}: '{answer}' is not in "):
        create(tmp_path / "waves", {**ANSWERS, question: answer}, defaults=True)
    assert is_untouched(tmp_path)


@pytest.mark.parametrize("orcid", ["", ORCID, "0000-0002-1694-233X"])
def test_an_orcid_with_the_right_last_digit_is_taken(tmp_path: Path, orcid: str) -> None:
    render(running(), tmp_path / "waves", {**ANSWERS, "orcid": orcid}, defaults=True)
    assert yaml.safe_load((tmp_path / "waves/.copier-answers.yml").read_text())["orcid"] == orcid


@pytest.fixture
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard input that nobody types into, as in CI."""
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield


@pytest.mark.usefixtures("_no_terminal")
def test_without_a_terminal_nothing_can_be_asked(tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match="there is no terminal to ask on: give `--defaults`, or the answer"):
        create(tmp_path / "waves", {}, defaults=False)
    assert is_untouched(tmp_path)


@pytest.mark.usefixtures("_no_terminal")
def test_without_a_terminal_all_answers_are_enough(tmp_path: Path) -> None:
    answers = {**ANSWERS, "description": "x", "orcid": "", "license": "MIT", "device": "cpu"}
    assert create(tmp_path / "waves", answers, defaults=False) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), CopierAnswersInterrupt(None, None, None)])  # type: ignore[arg-type]
def test_an_interrupt_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def interrupted(template: str, folder: Path, *arguments: object, **options: object) -> None:
        folder.mkdir()
        (folder / "half").write_text("done")
        raise error

    monkeypatch.setattr(copier, "run_copy", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        create(tmp_path / "deep/waves", ANSWERS, defaults=True)
    assert type(stopped.value) is KeyboardInterrupt
    assert is_untouched(tmp_path)


def test_an_interrupt_of_git_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path, message: str) -> None:
        assert (folder / "pyproject.toml").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(project, "first_commit", interrupted)
    (tmp_path / "waves").mkdir()
    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "waves", ANSWERS, defaults=True)
    assert is_untouched(tmp_path / "waves")
    assert [path.name for path in tmp_path.iterdir()] == ["waves"]


@pytest.mark.parametrize("at", ["mkdtemp", "rename"])
def test_where_nothing_can_be_written_no_hidden_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Refused by the system, at the first file or the last: by hand, as who runs the tests may be one who may all."""

    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / ".seedbed-x/waves"))

    monkeypatch.setattr(tempfile if at == "mkdtemp" else Path, at, refused)
    with pytest.raises(ScaffoldError) as said:
        project.create(tmp_path / "deep/waves", ANSWERS, defaults=True)
    assert str(said.value) == f"{tmp_path}/deep/waves cannot be made in {tmp_path}: Permission denied"


def test_without_copier_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "copier", None)
    with pytest.raises(ScaffoldError, match=r"copier is not installed, .*: `python -m pip install 'seedbed\[new\]'`"):
        create(tmp_path / "waves", ANSWERS, defaults=True)
    assert is_untouched(tmp_path)


def test_in_a_repository_a_project_has_none_of_its_own(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert create(tmp_path / "a/waves", ANSWERS, defaults=True) == "it is in a repository already"
    assert not (tmp_path / "a/waves/.git").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".git", "a"]


def test_without_git_a_project_is_made_without_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert create(tmp_path / "waves", ANSWERS, defaults=True) == "git is not there"
    assert (tmp_path / "waves/pyproject.toml").exists()
    assert not (tmp_path / "waves/.git").exists()


def test_a_letter_beyond_the_first_65536_is_a_letter(tmp_path: Path) -> None:
    render(running(), tmp_path / "waves", {**ANSWERS, "author": "\U00020bb7野家"}, defaults=True)
    for name in ("CITATION.cff", ".copier-answers.yml"):
        assert "\U00020bb7野家" in str(yaml.safe_load((tmp_path / "waves" / name).read_text())), name


@pytest.mark.parametrize("mark", ["\x80", "\x85"])
def test_a_mark_that_yaml_has_no_place_for_is_refused(tmp_path: Path, mark: str) -> None:
    with pytest.raises(ScaffoldError, match="^author: it has a quotation mark"):
        render(running(), tmp_path / "waves", {**ANSWERS, "author": f"a{mark}b"}, defaults=True)


# The same answers, the same bytes


def test_the_same_answers_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(tmp_path / "one", ANSWERS, defaults=True)
    know(monkeypatch, tmp_path)
    create(tmp_path / "two", ANSWERS, defaults=True)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert git(tmp_path / "one", "rev-parse", "HEAD^{tree}") == git(tmp_path / "two", "rev-parse", "HEAD^{tree}")


@pytest.mark.parametrize("where", ["variable", "home"])
def test_the_users_own_settings_of_copier_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    render(running(), tmp_path / "one/waves", {}, defaults=True)
    settings = tmp_path / ".config/copier/settings.yml"
    settings.parent.mkdir(parents=True)
    settings.write_text("defaults:\n  author: Mallory\n  license: Apache-2.0\n")
    if where == "variable":
        monkeypatch.setenv("COPIER_SETTINGS_PATH", str(settings))
    render(running(), tmp_path / "two/waves", {}, defaults=True)
    assert tree(tmp_path / "one/waves") == tree(tmp_path / "two/waves")


# What is in it


@pytest.fixture(
    scope="module",
    params=list(itertools.product(EXAMPLES, LICENSES, DEVICES)),
    ids=lambda combination: "-".join(combination),
)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A project of every combination, its texts full of what files could stumble over."""
    example, license_, device = request.param
    answers = {
        "project_name": "Wellen für alle",
        "package_name": "wellen",
        "description": DESCRIPTION,
        "author": AUTHOR,
        "orcid": ORCID if device == "cuda" else "",
        "license": license_,
        "device": device,
        "example": example,
    }
    folder = tmp_path_factory.mktemp("made") / "wellen"
    render(running(), folder, answers, defaults=True)
    return folder, answers


def texts(folder: Path) -> dict[str, str]:
    return {name: content.decode() for name, content in tree(folder).items() if not name.endswith(".whl")}


def parse(name: str, text: str) -> Any:
    """Read a file as what its name says that it is."""
    if name.endswith(".py"):
        return ast.parse(text)
    if name.endswith(".toml"):
        return tomllib.loads(text)
    if name.endswith((".yml", ".yaml", ".cff")):
        return yaml.safe_load(text)
    if name.endswith(".json"):
        return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    return None


def test_every_combination_is_filled_in_and_parses(made: tuple[Path, dict[str, str]]) -> None:
    found = texts(made[0])
    for name, text in found.items():
        assert "{{" not in text.replace("${{", ""), name
        assert "{%" not in text, name
        assert text.endswith("\n"), name
        assert "{" not in name
    parsed = {name: parse(name, text) for name, text in found.items()}
    assert sum(value is not None for value in parsed.values()) == 10
    assert parsed[".copier-answers.yml"] == made[1]
    assert parsed[".devcontainer/devcontainer.json"]["build"]["args"]["VARIANT"] == made[1]["device"]
    assert parsed[".github/workflows/ci.yml"]["jobs"]["all"]["steps"]


def test_the_readme_tells_of_gpus_where_they_are_of_use(made: tuple[Path, dict[str, str]]) -> None:
    folder, answers = made
    text = (folder / "README.md").read_text()
    commands = [line for line in text.splitlines() if line.startswith("$ docker run ")]
    computes_there = answers["example"] == "digits"
    assert len(commands) == 2
    assert all(("--gpus all" in line) is (answers["device"] == "cuda" and computes_there) for line in commands)
    assert ("once an experiment uses it" in text) is not computes_there
    assert ("with NumPy, on the CPU" in text) is (answers["device"] == "cuda" and not computes_there)


def test_no_line_of_what_people_read_is_too_long(made: tuple[Path, dict[str, str]]) -> None:
    for name in ("README.md", "records/README.md", "Dockerfile", "noxfile.py", ".github/workflows/ci.yml"):
        long = [line for line in (made[0] / name).read_text().splitlines() if len(line) > 120]
        assert [line for line in long if AUTHOR not in line] == [], name


def test_the_dockerfiles_first_commands_are_complete(made: tuple[Path, dict[str, str]]) -> None:
    folder, answers = made
    header = (folder / "Dockerfile").read_text().split("\n\n")[0]
    commands = [line.removeprefix("#   ") for line in header.splitlines() if line.startswith("#   ")]
    assert commands == [f"docker build -t wellen --build-arg VARIANT={device} ." for device in DEVICES]
    assert f"Without --build-arg it is {answers['device']}." in header


def test_pyproject_says_what_was_answered(made: tuple[Path, dict[str, str]]) -> None:
    folder, answers = made
    found = tomllib.loads((folder / "pyproject.toml").read_text())
    assert found["project"]["name"] == "wellen"
    assert found["project"]["description"] == DESCRIPTION
    assert found["project"]["authors"] == [{"name": AUTHOR}]
    assert found["project"]["license"] == answers["license"]
    assert found["tool"]["seedbed"]["experiments"] == ["wellen.experiment:run"]


def test_the_license_is_the_one_that_was_chosen(made: tuple[Path, dict[str, str]]) -> None:
    folder, answers = made
    text = (folder / "LICENSE").read_text()
    assert text.startswith(LICENSES[answers["license"]].format(author=AUTHOR))
    assert f"Copyright {'' if answers['license'] == 'Apache-2.0' else '(c) '}{AUTHOR}\n" in text


def test_the_citation_has_an_orcid_only_where_one_was_given(made: tuple[Path, dict[str, str]]) -> None:
    folder, answers = made
    found = yaml.safe_load((folder / "CITATION.cff").read_text())
    author = {"name": AUTHOR, "orcid": f"https://orcid.org/{ORCID}"} if answers["orcid"] else {"name": AUTHOR}
    assert found["authors"] == [author]
    assert found["title"] == "Wellen für alle"
    assert found["abstract"] == DESCRIPTION
    assert found["license"] == answers["license"]
    assert ("orcid.org" in (folder / "README.md").read_text()) is bool(answers["orcid"])


def test_the_code_is_the_example_that_was_chosen(made: tuple[Path, dict[str, str]]) -> None:
    folder, answers = made
    code = (folder / "src/wellen/experiment.py").read_text()
    assert ("import torch" in code) is (answers["example"] == "digits")
    assert "from wellen.experiment import" in (folder / "tests/test_experiment.py").read_text()
    docstring = ast.get_docstring(ast.parse((folder / "src/wellen/__init__.py").read_text()))
    assert docstring == f"Wellen für alle: {DESCRIPTION}"


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-cuda.lock"])
def test_the_locks_have_the_hash_of_the_wheel_in_vendor(made: tuple[Path, dict[str, str]], lock: str) -> None:
    text = (made[0] / lock).read_text()
    found = re.findall(rf"^seedbed=={re.escape(seedbed.__version__)} \\\n    --hash=sha256:(\w+)$", text, re.MULTILINE)
    assert found == [running().sha256]
    assert f"seedbed=={seedbed.__version__}\n" in (made[0] / "requirements.in").read_text()
