"""Git, as far as a project start needs it."""

import subprocess
from pathlib import Path

import pytest

from seedbed.errors import ScaffoldError
from seedbed.scaffold.git import first_commit, git
from tests.scaffolding import isolate, know


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file that its own .gitignore does not name."""
    made = tmp_path / "study"
    (made / "vendor").mkdir(parents=True)
    (made / "vendor/a.whl").write_text("a")
    (made / ".gitignore").write_text("__pycache__/\n")
    return made


def author(folder: Path) -> str:
    return git(folder, "log", "--format=%an <%ae>, %cn: %s")


def test_all_is_committed_by_whom_git_knows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, folder.parent)
    assert first_commit(folder, "Start") is None
    assert author(folder) == "Grace <grace@example.org>, Grace: Start"
    assert git(folder, "ls-files").splitlines() == [".gitignore", "vendor/a.whl"]
    assert git(folder, "status", "--porcelain") == ""
    assert git(folder, "branch", "--show-current") == "main"


def test_where_git_knows_nobody_seedbed_commits(folder: Path) -> None:
    assert first_commit(folder, "Start") is None
    assert author(folder) == "Seedbed <seedbed@localhost>, Seedbed: Start"
    assert git(folder, "config", "--local", "--get-regexp", "user", check=False) == ""


def test_a_name_without_an_address_is_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "gitconfig").write_text("[user]\n\tname = Grace\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(folder.parent / "gitconfig"))
    assert first_commit(folder, "Start") is None
    assert author(folder) == "Seedbed <seedbed@localhost>, Seedbed: Start"


def test_what_the_user_ignores_everywhere_is_committed_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "ignored").write_text("*.whl\n")
    know(monkeypatch, folder.parent, f"[core]\n\texcludesFile = {folder.parent / 'ignored'}\n")
    assert first_commit(folder, "Start") is None
    assert "vendor/a.whl" in git(folder, "ls-files").splitlines()


def test_the_users_hooks_and_signatures_stay_out_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = folder.parent / "hooks/pre-commit"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    know(
        monkeypatch,
        folder.parent,
        f"[core]\n\thooksPath = {hook.parent}\n[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = false\n",
    )
    assert first_commit(folder, "Start") is None
    assert author(folder) == "Grace <grace@example.org>, Grace: Start"


def test_in_a_repository_there_is_no_second_one(folder: Path) -> None:
    git(folder.parent, "init", "--quiet")
    assert first_commit(folder, "Start") == "it is in a repository already"
    assert not (folder / ".git").exists()
    assert git(folder.parent, "ls-files") == ""


def test_without_git_nothing_is_committed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert first_commit(folder, "Start") == "git is not there"
    assert not (folder / ".git").exists()


def test_without_git_what_needs_it_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(ScaffoldError, match="git is not there, .*: install it"):
        git(folder, "status", check=False)


def test_the_repository_of_a_hook_is_not_the_one_of_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = folder.parent / "other"
    subprocess.run(["git", "init", "--quiet", str(other)], check=True)  # noqa: S607
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    assert first_commit(folder, "Start") is None
    assert (folder / ".git").is_dir()
    monkeypatch.delenv("GIT_DIR")
    assert git(other, "log", check=False) == ""
    assert not (other / ".git/index").exists()


def test_what_git_refuses_is_said(folder: Path) -> None:
    with pytest.raises(ScaffoldError, match=r"git log failed in .*study: fatal: not a git repository"):
        git(folder, "log")
    assert git(folder, "log", check=False) == ""


def test_what_git_is_told_beside_the_environment(folder: Path) -> None:
    git(folder, "init", "--quiet")
    found = git(folder.parent, "rev-parse", "--absolute-git-dir", environ={"GIT_DIR": str(folder / ".git")})
    assert Path(found).samefile(folder / ".git")
