"""An older project, brought up to date."""

import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import copier
import pytest
import yaml
from copier.errors import CopierAnswersInterrupt

import seedbed
from seedbed.errors import ScaffoldError
from seedbed.scaffold import update as module
from seedbed.scaffold.git import first_commit, git
from seedbed.scaffold.project import render
from seedbed.scaffold.update import ANSWERS as ANSWERS_FILE
from seedbed.scaffold.update import OWN, update
from seedbed.scaffold.wheel import Wheel
from tests.scaffolding import ANSWERS, OLDER, ROOT, commit_all, isolate, know, of_version, running, template_file, tree

NOTHING: list[str] = []


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


@cache
def older() -> Wheel:
    """A Seedbed whose template had another title, a file more, one less, another experiment and another record."""
    experiment = "src/{{cookiecutter.package_name}}/experiment.py"
    readme = template_file("README.md")
    assert readme.count(b"## Run it again\n") == 1
    return of_version(
        OLDER,
        {
            "README.md": readme.replace(b"## Run it again\n", b"## Run it once more\n"),
            "obsolete.cfg": b"old\n",
            ".dockerignore": None,
            experiment: b"# older\n",
            "tests/test_experiment.py": b"# older\n",
            "records/README.md": b"older\n",
            ".gitignore": template_file(".gitignore") + b"*.old\n",
        },
    )


Make = Callable[[Wheel], Path]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Fill in the template of a wheel, once."""

    @cache
    def made(wheel: Wheel) -> Path:
        folder = tmp_path_factory.mktemp("rendered") / "waves"
        render(wheel, folder, ANSWERS, defaults=True)
        return folder

    return made


@pytest.fixture
def make(tmp_path: Path, rendered: Make) -> Make:
    """Make a project from the template of a wheel, committed."""

    def made(wheel: Wheel) -> Path:
        shutil.copytree(rendered(wheel), tmp_path / "waves")
        assert first_commit(tmp_path / "waves", "Start") is None
        return tmp_path / "waves"

    return made


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def lines(folder: Path, *arguments: str) -> list[str]:
    return git(folder, *arguments).splitlines()


# What changed is merged in


def test_what_changed_in_the_template_is_merged_in(make: Make) -> None:
    folder = make(older())
    assert "## Run it once more" in (folder / "README.md").read_text()
    head = git(folder, "rev-parse", "HEAD")
    assert update(folder) == NOTHING
    render(running(), folder.parent / "new/waves", ANSWERS, defaults=True)
    found, expected = tree(folder), tree(folder.parent / "new/waves")
    assert "obsolete.cfg" not in found
    own = tuple(f"{name}/" for name in OWN)
    assert {name: found[name] for name in found if not name.startswith(own)} == {
        name: expected[name] for name in expected if not name.startswith(own)
    }
    assert git(folder, "rev-parse", "HEAD") == head
    assert f"A  vendor/{running().name}" in "\n".join(lines(folder, "status", "--porcelain", "--no-renames"))


def test_the_vendored_wheel_and_what_names_it_are_the_new_ones(make: Make) -> None:
    folder = make(older())
    assert [path.name for path in (folder / "vendor").iterdir()] == [older().name]
    assert f"seedbed=={OLDER}\n" in (folder / "requirements.in").read_text()
    update(folder)
    assert tree(folder / "vendor") == {running().name: running().content}
    assert f"seedbed=={seedbed.__version__}\n" in (folder / "requirements.in").read_text()
    assert f"--hash=sha256:{running().sha256}\n" in (folder / "requirements.lock").read_text()


def test_what_the_researcher_wrote_is_kept(make: Make) -> None:
    folder = make(older())
    edit(folder / "README.md", "## Cite\n", "## Thanks\n\nTo Grace.\n\n## Cite\n")
    edit(folder / "pyproject.toml", 'version = "0.1.0"', 'version = "0.7.0"')
    (folder / "notes.txt").write_text("mine\n")
    (folder / "src/waves/experiment.py").write_text("# mine\n")
    (folder / "src/waves/more.py").write_text("# mine\n")
    (folder / "tests/test_experiment.py").unlink()
    commit_all(folder)
    mine = {name: content for name, content in tree(folder).items() if name.startswith(OWN) or name == "notes.txt"}
    assert update(folder) == NOTHING
    found = tree(folder)
    assert {name: content for name, content in found.items() if name.startswith(OWN) or name == "notes.txt"} == mine
    assert b"## Run it again\n" in found["README.md"]
    assert b"## Thanks\n\nTo Grace.\n" in found["README.md"]
    assert b'version = "0.7.0"' in found["pyproject.toml"]
    assert not lines(folder, "status", "--porcelain", "--", *OWN)


def test_where_both_changed_a_line_it_is_a_conflict_in_the_file(make: Make) -> None:
    folder = make(older())
    edit(folder / "README.md", "## Run it once more\n", "## Run it my way\n")
    commit_all(folder)
    assert update(folder) == ["README.md"]
    text = (folder / "README.md").read_text()
    assert "<<<<<<< HEAD\n## Run it my way\n=======\n## Run it again\n>>>>>>> " in text
    assert tree(folder / "vendor") == {running().name: running().content}  # all the rest is merged


def test_an_update_can_be_undone(make: Make) -> None:
    folder = make(older())
    edit(folder / "README.md", "## Run it once more\n", "## Run it my way\n")
    commit_all(folder)
    before = tree(folder)
    update(folder)
    assert tree(folder) != before
    git(folder, "reset", "--hard")
    git(folder, "clean", "-d", "--force")
    assert tree(folder) == before


def test_where_nothing_changed_nothing_is_done(make: Make) -> None:
    folder = make(running())
    (folder / "mine.txt").write_text("mine")
    commit_all(folder)
    before, head = tree(folder), git(folder, "rev-parse", "HEAD")
    assert update(folder) == NOTHING
    assert tree(folder) == before
    assert not module.is_changed(folder)
    assert git(folder, "rev-parse", "HEAD") == head
    assert [path.name for path in folder.parent.iterdir()] == ["waves"]


def test_an_update_that_is_committed_is_not_done_again(make: Make) -> None:
    folder = make(older())
    update(folder)
    assert module.is_changed(folder)
    commit_all(folder)
    assert update(folder) == NOTHING
    assert not module.is_changed(folder)


def test_the_same_version_of_other_bytes_is_merged_too(make: Make) -> None:
    folder = make(of_version(seedbed.__version__, {"obsolete.cfg": b"old\n"}))
    assert update(folder) == NOTHING
    assert not (folder / "obsolete.cfg").exists()
    assert tree(folder / "vendor") == {running().name: running().content}


def test_an_answer_that_is_not_there_has_its_default_in_both_templates(make: Make) -> None:
    folder = make(older())
    edit(folder / ANSWERS_FILE, 'project_name: "Waves"\n', "")
    commit_all(folder)
    title = (folder / "README.md").read_text().splitlines()[0]
    assert update(folder) == NOTHING
    assert (folder / "README.md").read_text().splitlines()[0] == title


def test_a_worktree_is_updated_too(make: Make) -> None:
    folder = make(older())
    git(folder, "worktree", "add", "--quiet", str(folder.parent / "other"))
    assert update(folder.parent / "other") == NOTHING
    assert (folder.parent / "other/vendor" / running().name).exists()
    assert not (folder / "vendor" / running().name).exists()


def test_the_current_folder_is_updated(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make(older()))
    assert update(Path()) == NOTHING
    assert (Path("vendor") / running().name).exists()


def test_what_the_user_ignores_everywhere_is_updated_too(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(older())
    (folder.parent / "ignored").write_text("*.whl\n")
    know(monkeypatch, folder.parent, f"[core]\n\texcludesFile = {folder.parent / 'ignored'}\n")
    assert update(folder) == NOTHING
    assert tree(folder / "vendor") == {running().name: running().content}


def test_a_failure_of_git_is_not_taken_for_an_update(make: Make) -> None:
    folder = make(older())
    (folder / ".git/index.lock").touch()
    with pytest.raises(ScaffoldError, match=r"git cherry-pick failed in .*waves: .*index\.lock"):
        update(folder)
    assert not (folder / "vendor" / running().name).exists()


def test_what_the_researcher_is_to_keep_is_what_copier_leaves_alone() -> None:
    skipped = yaml.safe_load((ROOT / "copier.yml").read_text())["_skip_if_exists"]
    assert skipped == [f"/{name}" for name in OWN]


# A folder in a larger repository

WHO = ("-c", "user.name=Grace", "-c", "user.email=grace@example.org")


@pytest.fixture
def within(tmp_path: Path, rendered: Make) -> Path:
    """An older project, a folder in a larger repository, which has a README of its own."""
    folder = tmp_path / "larger/Doku/größer/waves"
    shutil.copytree(rendered(older()), folder)
    git(tmp_path / "larger", "init", "--quiet")
    shutil.copy(folder / "README.md", tmp_path / "larger/README.md")
    commit_all(tmp_path / "larger")
    return folder


def test_a_project_in_a_larger_repository_is_updated(within: Path, make: Make) -> None:
    larger = within.parents[2]
    before = {name: content for name, content in tree(larger).items() if "/waves/" not in name}
    assert update(within) == NOTHING
    alone = make(older())
    update(alone)
    assert tree(within) == tree(alone)
    assert {name: content for name, content in tree(larger).items() if "/waves/" not in name} == before
    assert module.is_changed(within)


def test_a_conflict_in_a_larger_repository_is_named_from_the_project(within: Path) -> None:
    edit(within / "README.md", "## Run it once more\n", "## Run it my way\n")
    (within / "größe.txt").write_text("mine\n")
    commit_all(within)
    assert update(within) == ["README.md"]


def test_what_was_deleted_is_not_taken_for_its_like_elsewhere(within: Path) -> None:
    (within / "README.md").unlink()
    commit_all(within)
    before = (within.parents[2] / "README.md").read_bytes()
    assert update(within) == ["README.md"]
    assert (within.parents[2] / "README.md").read_bytes() == before


def test_nothing_to_do_in_a_larger_repository(tmp_path: Path, rendered: Make) -> None:
    shutil.copytree(rendered(running()), tmp_path / "larger/waves")
    git(tmp_path / "larger", "init", "--quiet")
    commit_all(tmp_path / "larger")
    assert update(tmp_path / "larger/waves") == NOTHING
    assert not module.is_changed(tmp_path / "larger")


# What cannot be updated


def refused(folder: Path, reason: str) -> None:
    """It is refused, and nothing in it changes."""
    before = tree(folder)
    with pytest.raises(ScaffoldError, match=reason):
        update(folder)
    assert tree(folder) == before


def test_a_folder_that_seedbed_did_not_make_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, rf"{tmp_path.name} is no project that Seedbed made: it has no \.copier-answers\.yml")


def test_a_project_without_a_repository_is_refused(tmp_path: Path) -> None:
    render(running(), tmp_path / "waves", ANSWERS, defaults=True)
    refused(tmp_path / "waves", "waves is in no git repository, .*: `git init` in it, and commit$")


def test_a_project_that_its_repository_ignores_is_in_none(within: Path) -> None:
    git(within, "rm", "-r", "--quiet", "--cached", ".")
    (within.parents[2] / ".gitignore").write_text("/Doku/\n")
    git(within.parents[2], "add", ".gitignore")
    git(within.parents[2], *WHO, "commit", "--quiet", "--message=Ignored")
    refused(within, "waves is in no git repository, .*: `git init` in it, and commit$")


def test_changes_anywhere_in_a_larger_repository_are_refused(within: Path) -> None:
    (within.parents[2] / "elsewhere.txt").write_text("mine")
    refused(within, "larger, where .*waves is, has changes that are not committed: commit them")


def test_without_git_nothing_is_updated(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(running())
    monkeypatch.setenv("PATH", str(folder))
    refused(folder, "git is not there")


@pytest.mark.parametrize("name", ["README.md", "new.txt"])
def test_changes_that_are_not_committed_are_refused(make: Make, name: str) -> None:
    folder = make(older())
    (folder / name).write_text("mine")
    refused(folder, "waves has changes that are not committed: commit them, so that the update can be undone")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], "none"),
        (
            ["seedbed-0.0.1-py3-none-any.whl", "seedbed-0.0.2-py3-none-any.whl"],
            r"seedbed-0\.0\.1-py3-none-any\.whl, seedbed-0\.0\.2-py3-none-any\.whl",
        ),
    ],
)
def test_it_takes_one_wheel_to_update_from(make: Make, names: list[str], found: str) -> None:
    folder = make(running())
    (folder / "vendor" / running().name).unlink()
    for name in names:
        (folder / "vendor" / name).write_bytes(running().content)
    commit_all(folder)
    refused(folder, f"vendor has to have one wheel of Seedbed, from which to update; found: {found}$")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("seedbed-0.0.1-py3-none-any.whl", b"no zip file", r"seedbed-0\.0\.1-py3-none-any\.whl is no wheel"),
        ("seedbed-old.whl", b"", r"vendor/seedbed-old\.whl is no wheel of Seedbed: Invalid wheel filename"),
        ("seedbed-x.y-py3-none-any.whl", b"", r"is no wheel of Seedbed: Invalid wheel filename"),
    ],
)
def test_a_broken_wheel_is_refused(make: Make, name: str, content: bytes, reason: str) -> None:
    folder = make(running())
    (folder / "vendor" / running().name).unlink()
    (folder / "vendor" / name).write_bytes(content)
    commit_all(folder)
    refused(folder, reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"project_name: [", r"copier-answers\.yml cannot be read: while parsing"),
        (b"project_name: \xff", r"copier-answers\.yml cannot be read: .*codec can't decode"),
        (b"- a\n- b\n", "has to be a list of questions and answers, all of them texts"),
        (b"project_name: 3\n", "has to be a list of questions and answers, all of them texts"),
        (b"", "has to be a list of questions and answers, all of them texts"),
        (b"!!python/object/apply:os.getcwd []", "cannot be read: could not determine a constructor"),
        (b'package_name: "numpy"\n', '"numpy" would hide the package'),
        (b'license: "GPL"\n', r"waves/\.copier-answers\.yml: license: 'GPL' is not in "),
    ],
)
def test_answers_that_are_none_are_refused(make: Make, content: bytes, reason: str) -> None:
    folder = make(running())
    (folder / ANSWERS_FILE).write_bytes(content)
    commit_all(folder)
    refused(folder, reason)


def test_a_project_of_a_newer_seedbed_is_refused(make: Make) -> None:
    folder = make(of_version("99.0"))
    refused(folder, r"the project is of seedbed-99\.0-.*, and this Seedbed is older: seedbed-.*; install a newer one")


@pytest.mark.parametrize("name", ["yaml", "copier"])
def test_without_copier_its_extra_is_named(make: Make, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = make(running())
    monkeypatch.setitem(sys.modules, name, None)
    refused(folder, r"copier is not installed, .*'seedbed\[new\]'")


# What copier made from a repository


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A project that copier made of the first of a template's two versions."""
    template = tmp_path / "template"
    template.mkdir()
    git(template, "init", "--quiet", "--initial-branch=main")
    (template / "copier.yml").write_text("name: {type: str, default: x}\n_skip_if_exists: [/src]\n")
    (template / "{{ _copier_conf.answers_file }}.jinja").write_text("{{ _copier_answers | to_nice_yaml }}")
    (template / "src").mkdir()
    for tag in ("v1", "v2"):
        (template / "a.txt.jinja").write_text(f"{{{{ name }}}} of {tag}\n\n\nend\n")
        (template / "src/own.txt").write_text(tag)
        commit_all(template)
        git(template, "tag", tag)
    folder = tmp_path / "waves"
    copier.run_copy(str(template), folder, {"name": "Waves"}, vcs_ref="v1", quiet=True, settings=copier.Settings())
    assert first_commit(folder, "Start") is None
    return folder


def test_what_copier_made_is_left_to_copier(copied: Path) -> None:
    assert (copied / "a.txt").read_text() == "Waves of v1\n\n\nend\n"
    edit(copied / "a.txt", "end", "my end")
    (copied / "src/own.txt").write_text("mine")
    commit_all(copied)
    assert update(copied) == NOTHING
    assert (copied / "a.txt").read_text() == "Waves of v2\n\n\nmy end\n"
    assert (copied / "src/own.txt").read_text() == "mine"
    assert yaml.safe_load((copied / ANSWERS_FILE).read_text())["_commit"] == "v2"


def test_a_conflict_of_copiers_is_one_here_too(copied: Path) -> None:
    edit(copied / "a.txt", "Waves of v1", "Mine")
    commit_all(copied)
    assert update(copied) == ["a.txt"]
    assert "<<<<<<<" in (copied / "a.txt").read_text()
    assert "Waves of v2" in (copied / "a.txt").read_text()


def test_what_copier_refuses_is_said(copied: Path) -> None:
    edit(copied / ANSWERS_FILE, "_commit: v1\n", "")
    commit_all(copied)
    refused(copied, "waves is copier's, and `copier update` in it says: Cannot update")


def test_what_copier_made_without_a_repository_is_copiers_to_refuse(copied: Path) -> None:
    shutil.rmtree(copied / ".git")
    refused(copied, "`copier update` in it says: Updating is only supported in git-tracked subprojects")


def test_what_copier_made_in_a_larger_repository_is_updated(copied: Path) -> None:
    shutil.rmtree(copied / ".git")
    git(copied.parent, "init", "--quiet")
    git(copied.parent, "add", "waves")
    git(copied.parent, *WHO, "commit", "--quiet", "--message=Start")
    assert update(copied) == NOTHING
    assert (copied / "a.txt").read_text() == "Waves of v2\n\n\nend\n"
    assert module.is_changed(copied)


def test_without_copier_its_extra_is_named_here_too(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "copier", None)
    refused(copied, r"copier is not installed, .*'seedbed\[new\]'")


def test_an_interrupt_of_copiers_is_one(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path, **options: object) -> None:
        raise CopierAnswersInterrupt(None, None, None)  # type: ignore[arg-type]

    monkeypatch.setattr(copier, "run_update", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        update(copied)
    assert type(stopped.value) is KeyboardInterrupt
