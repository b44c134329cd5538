"""`python -m seedbed.scaffold`: the wheel that a clone has of itself."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from seedbed.errors import ScaffoldError
from seedbed.scaffold import __main__
from seedbed.scaffold.__main__ import EXIT_STALE, from_source
from seedbed.scaffold.wheel import METADATA
from tests.scaffolding import ROOT, contents

PARTS = ("pyproject.toml", "README.md", "LICENSE", "copier.yml", "templates/checks", "src/seedbed/scaffold/__init__.py")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The least that a clone of Seedbed has, as the current folder."""
    for name in (*PARTS, "src/seedbed/__init__.py", "src/seedbed/scaffold/wheel.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    template = tmp_path / "{{cookiecutter.project_slug}}"
    template.mkdir()
    (template / "a").write_text("a")
    for name in ("copier.yml", "templates", "template"):
        (tmp_path / "src/seedbed/scaffold" / name).symlink_to((ROOT / "src/seedbed/scaffold" / name).readlink())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["scaffold"])
    return tmp_path


def check(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["scaffold", "--check"])
    return __main__.main()


def test_the_wheel_and_its_digest_are_written(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vendor = clone / "{{cookiecutter.project_slug}}/vendor"
    vendor.mkdir()
    (vendor / "seedbed-0.0.1-py3-none-any.whl").write_text("old")
    assert __main__.main() == 0
    (written,) = vendor.iterdir()
    wheel = from_source()
    assert (written.name, written.read_bytes()) == (wheel.name, wheel.content)
    assert (clone / "templates/seedbed.sha256").read_text() == wheel.sha256
    assert capsys.readouterr().out.splitlines()[-1] == f"{wheel.name}: sha256 {wheel.sha256}"


def test_a_check_says_whether_it_is_stale(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(monkeypatch) == EXIT_STALE  # there is none yet
    monkeypatch.setattr(sys, "argv", ["scaffold"])
    assert __main__.main() == 0
    assert check(monkeypatch) == 0
    (clone / "{{cookiecutter.project_slug}}/a").write_text("b")
    before = (clone / "templates/seedbed.sha256").read_text()
    capsys.readouterr()
    assert check(monkeypatch) == EXIT_STALE
    assert "vendor: not the wheel of this source; `nox -s wheel` writes it anew" in capsys.readouterr().err
    assert (clone / "templates/seedbed.sha256").read_text() == before


@pytest.mark.parametrize("digest", [None, "", "0" * 64])
def test_a_check_takes_the_digest_too(clone: Path, monkeypatch: pytest.MonkeyPatch, digest: str | None) -> None:
    assert __main__.main() == 0
    (clone / "templates/seedbed.sha256").unlink()
    if digest is not None:
        (clone / "templates/seedbed.sha256").write_text(digest)
    assert check(monkeypatch) == EXIT_STALE


def test_the_wheel_has_the_metadata_of_pyproject(clone: Path) -> None:
    version = re.findall('__version__ = "(.+)"', (clone / "src/seedbed/__init__.py").read_text())[0]
    wheel, info = from_source(), f"seedbed-{version}.dist-info"
    assert wheel.name == f"seedbed-{version}-py3-none-any.whl"
    found = contents(wheel)
    assert [name for name in found if name.startswith(info)] == [
        *sorted([*(f"{info}/{name}" for name in METADATA), f"{info}/WHEEL"]),
        f"{info}/RECORD",
    ]
    assert f"Name: seedbed\nVersion: {version}\n".encode() in found[f"{info}/METADATA"]
    assert b"seedbed = seedbed.cli:main" in found[f"{info}/entry_points.txt"]
    assert {"seedbed/scaffold/copier.yml", "seedbed/scaffold/template/a", "seedbed/scaffold/templates/checks"} < set(
        found
    )


def test_a_folder_that_is_no_clone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScaffoldError, match="is no clone of Seedbed: it has no src/seedbed"):
        from_source()
    assert list(tmp_path.iterdir()) == []
