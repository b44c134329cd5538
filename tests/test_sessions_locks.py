"""Writing the locks, and reading them. Nothing here touches the network."""

from pathlib import Path
from unittest.mock import MagicMock

import pytest

from seedbed.sessions import CPU_LOCK, CUDA_LOCK, locks
from tests.fake_nox import StoppedError, fake_session

LOCKS = (CPU_LOCK, CUDA_LOCK)
OLD = "numpy==2.4.6 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via scipy\n"


@pytest.fixture
def session() -> MagicMock:
    return fake_session()


def test_pins_reads_versions_and_hashes() -> None:
    assert locks.pins(f"# by uv\n{OLD}") == {"numpy": ("2.4.6", frozenset({"--hash=sha256:aa", "--hash=sha256:bb"}))}


def test_stale_names_nothing_where_one_file_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "old.lock"
    path.write_text(OLD, encoding="utf-8")
    assert locks.stale(str(path), "numpy==2.4.6 --hash=sha256:bb --hash=sha256:cc\n") == []


@pytest.mark.parametrize(
    ("fresh", "changed"),
    [
        ("numpy==2.4.7 --hash=sha256:aa\n", ["numpy"]),
        ("numpy==2.4.6 --hash=sha256:cc\n", ["numpy"]),
        ("rich==1 --hash=sha256:aa\n", ["numpy", "rich"]),
        (f"{OLD}rich==1 --hash=sha256:aa\n", ["rich"]),
        ("", ["numpy"]),
    ],
)
def test_stale_names_what_changed(tmp_path: Path, fresh: str, changed: list[str]) -> None:
    path = tmp_path / "old.lock"
    path.write_text(OLD, encoding="utf-8")
    assert locks.stale(str(path), fresh) == changed


def test_a_missing_lock_is_stale(tmp_path: Path) -> None:
    assert locks.stale(str(tmp_path / "none.lock"), OLD) == ["numpy"]


def test_an_option_is_no_pin() -> None:
    assert locks.pins(f"--find-links vendor\n{OLD}") == locks.pins(OLD)


def test_variant_fixes_the_torch_of_each_lock() -> None:
    assert locks.variant("rich\ntorch==2.13.0\n", CPU_LOCK) == "rich\ntorch==2.13.0+cpu\n"
    assert locks.variant("rich\ntorch==2.13.0\n", CUDA_LOCK) == "rich\ntorch===2.13.0\n"


def test_renewed_moves_the_date_alone() -> None:
    text = "# why\n# exclude-newer: 2026-01-01T00:00:00Z\nrich\n"
    assert locks.renewed(text, "2027-02-03T04:05:06Z") == "# why\n# exclude-newer: 2027-02-03T04:05:06Z\nrich\n"


@pytest.mark.parametrize("line", ["--find-links vendor", "--find-links=vendor", "-f vendor", "-fvendor"])
def test_folders_of_wheels_are_found(line: str) -> None:
    assert locks.folders(f"# why\n{line}\nnumpy\n--find-links https://wheels.example\n") == ["vendor"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("torch==2.13.0\n", "needs one line like `# exclude-newer: 2026-11-23T00:00:00Z`, and has 0"),
        ("# exclude-newer: 2026-01-01T00:00:00Z\ntorch>=2\n", "needs one line like `torch==2.13.0`, and has 0"),
        ("# exclude-newer: 2026-01-01T00:00:00Z\ntorch==1\ntorch==2\n", "one line like `torch==2.13.0`, and has 2"),
    ],
)
def test_requirements_of_which_no_lock_can_be_made(session: MagicMock, compiled: Path, text: str, reason: str) -> None:
    (compiled / "requirements.in").write_text(text, encoding="utf-8")
    with pytest.raises(StoppedError, match=f"^requirements.in .*{reason}"):
        locks.write_locks(session)
    session.install.assert_not_called()


def test_a_project_may_say_which_uv_writes_its_locks(session: MagicMock, compiled: Path) -> None:
    locks.write_locks(session)
    session.install.assert_called_with(locks.UV)
    (compiled / "pyproject.toml").write_text('[dependency-groups]\nlock = ["uv==1"]\n', encoding="utf-8")
    locks.write_locks(session)
    session.install.assert_called_with("uv==1")


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a wheel of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(locks, "wheel_at_hand", lambda _: True)
    (tmp_path / ".python-version").write_text("3.11.7\n", encoding="utf-8")
    (tmp_path / "my/vendor").mkdir(parents=True)
    (tmp_path / "my/vendor/seedbed-0.1.0-py3-none-any.whl").touch()
    return tmp_path


@pytest.mark.parametrize(("name", "torch"), [(CPU_LOCK, "torch==2.13.0+cpu"), (CUDA_LOCK, "torch===2.13.0")])
def test_a_lock_is_made_in_an_empty_folder(session: MagicMock, vendor: Path, name: str, torch: str) -> None:
    seen = {}

    def uv(*_: str, env: dict[str, str]) -> None:
        seen.update({str(path): path.read_text(encoding="utf-8") for path in Path().rglob("*") if path.is_file()})
        seen.update({str(path): "" for path in Path("my/vendor").iterdir()})
        Path(name).write_text(OLD, encoding="utf-8")

    session.run.side_effect = uv
    requirements = "# exclude-newer: 2026-01-01T00:00:00Z\n--find-links my/vendor\nseedbed==0.1.0\ntorch==2.13.0\n"
    assert locks.compiled(session, requirements, name) == f"--find-links my/vendor\n{OLD}"
    assert seen == {
        "requirements.in": requirements.replace("torch==2.13.0", torch),
        "my/vendor/seedbed-0.1.0-py3-none-any.whl": "",
    }
    assert Path.cwd() == vendor


def test_the_projects_own_wheels_have_no_dates(vendor: Path) -> None:
    options = locks.compile_options("# exclude-newer: 2026-01-01T00:00:00Z\n--find-links my/vendor\n")
    assert "--exclude-newer=2026-01-01T00:00:00Z" in options
    assert "--python-version=3.11.7" in options
    dateless = [option for option in options if option.startswith("--exclude-newer-package")]
    assert dateless == ["--exclude-newer-package=seedbed=false", "--exclude-newer-package=torch=false"]


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one package and torch, which a recompilation finds at 2.4.6."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(locks, "compiled", lambda _session, _requirements, _name: OLD)
    Path("requirements.in").write_text(
        "# exclude-newer: 2026-01-01T00:00:00Z\nnumpy\ntorch==2.13.0\n", encoding="utf-8"
    )
    Path("pyproject.toml").write_text("", encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("compiled")
def test_lock_writes_both_and_then_finds_them_fresh(session: MagicMock) -> None:
    locks.write_locks(session)
    assert [Path(name).read_text(encoding="utf-8") for name in LOCKS] == [OLD, OLD]
    session.posargs = ["--check"]
    locks.write_locks(session)
    session.error.assert_not_called()


def test_lock_check_names_the_stale_ones_and_writes_nothing(session: MagicMock, compiled: Path) -> None:
    Path(CPU_LOCK).write_text(OLD, encoding="utf-8")
    Path(CUDA_LOCK).write_text(OLD.replace("2.4.6", "2.4.5"), encoding="utf-8")
    before = {path: path.read_bytes() for path in compiled.glob("requirements*")}
    session.posargs = ["--check"]
    with pytest.raises(
        StoppedError, match=r"^stale: requirements-cuda\.lock \(numpy\): `nox -s lock` writes them again$"
    ):
        locks.write_locks(session)
    assert {path: path.read_bytes() for path in compiled.glob("requirements*")} == before


@pytest.mark.usefixtures("compiled")
def test_lock_upgrade_moves_the_date(session: MagicMock) -> None:
    locks.write_locks(session)
    assert "2026-01-01" in Path("requirements.in").read_text(encoding="utf-8")
    session.posargs = ["--upgrade"]
    locks.write_locks(session)
    assert "2026-01-01" not in Path("requirements.in").read_text(encoding="utf-8")


def test_lock_refuses_other_arguments(session: MagicMock) -> None:
    session.posargs = ["--chekc"]
    with pytest.raises(StoppedError, match="lock takes --check or --upgrade, not --chekc"):
        locks.write_locks(session)
