"""The environment of a lock: what is installed, and when again. Nothing here touches the network."""

import fcntl
import subprocess
import sys
import threading
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

import seedbed
from seedbed.sessions import CPU_LOCK, CUDA_LOCK, installation
from seedbed.sessions.packages import INDEX_VARIABLE, PYTORCH_CPU_INDEX
from tests.fake_nox import StoppedError, fake_session
from tests.unmeasured import unmeasured

PYPROJECT = '[build-system]\nrequires = ["setuptools"]\n[project]\nname = "toy"\nversion = "1"\n'
LOCK = "--find-links vendor\ntorch==2.13.0{} \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via seedbed\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with both locks, in the current folder, on a machine for which there are locks."""
    folder = tmp_path / "toy"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, text in {
        ".python-version": "3.11.7\n",
        "pyproject.toml": PYPROJECT,
        CPU_LOCK: LOCK.format("+cpu"),
        CUDA_LOCK: LOCK.format(""),
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr("platform.python_version", lambda: "3.11.7")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return folder


@pytest.fixture
def session() -> MagicMock:
    return fake_session()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """An installation that only counts its calls, into environments whose Python is the one that was asked for."""
    counted = MagicMock()
    monkeypatch.setattr(installation, "install", counted)
    monkeypatch.setattr(installation, "version_of", lambda _: "3.11.7")
    return counted


@pytest.fixture
def leftover(session: MagicMock, install: MagicMock, project: Path) -> Path:
    """A file in an environment that was made: gone where the environment is made anew."""
    installation.environment(session, CPU_LOCK)
    path = project / ".nox/cpu/leftover"
    path.touch()
    return path


# What is installed


@pytest.fixture
def without_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "find_uv", lambda: None)


@pytest.fixture
def told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose pip and uv have no settings of their own: a fresh user's."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "UV_INDEX", INDEX_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def indexes(call: Any) -> tuple[str | None, str | None]:
    """The index that pip, and that uv, was given beside its own."""
    environ = call.kwargs["env"]
    return environ.get("PIP_EXTRA_INDEX_URL"), environ.get("UV_INDEX")


@pytest.mark.usefixtures("told_nothing", "without_uv")
def test_a_fresh_user_gets_the_cpu_wheel_alone_from_pytorch(session: MagicMock) -> None:
    installation.install(session, CPU_LOCK, "/env/bin/python")
    torch, lock, project = session.run_install.call_args_list
    assert indexes(torch) == (PYTORCH_CPU_INDEX, PYTORCH_CPU_INDEX)
    assert indexes(lock) == indexes(project) == (None, None)
    assert {"--require-hashes", "--only-binary=:all:", "--no-deps"} <= set(torch.args) & set(lock.args)
    assert lock.args[-2:] == ("--requirement", CPU_LOCK)
    assert project.args[-4:] == ("--no-deps", "--no-build-isolation", "--editable", ".")


def wheel(folder: Path, name: str, version: str, requires: str = "") -> str:
    """Write a wheel without contents; give its line in a lock."""
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: more\n{requires}"
    files = {"METADATA": metadata, "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, "RECORD": ""}.items():
            archive.writestr(f"{info}/{file}", text)
    return f"{name}=={version} --hash=sha256:{sha256(path.read_bytes()).hexdigest()}\n"


@pytest.mark.usefixtures("told_nothing", "without_uv")
def test_a_lock_is_installed_as_it_is_though_there_are_newer_releases(session: MagicMock, tmp_path: Path) -> None:
    pinned = wheel(tmp_path, "part", "1.0"), wheel(tmp_path, "whole", "1.0", "Requires-Dist: part[more]>=1\n")
    wheel(tmp_path, "part", "2.0")  # pip takes it, without --no-deps, because the lock pins `part` and not `part[more]`
    Path(CPU_LOCK).write_text("".join((wheel(tmp_path, "torch", "2.13.0"), *pinned)), encoding="utf-8")
    here = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    session.run_install.side_effect = lambda *words, env, **_: subprocess.run(words, env=env | here, check=True)
    subprocess.run([sys.executable, "-m", "venv", "env"], check=True)
    python = str(Path("env/bin/python").absolute())
    with pytest.raises(subprocess.CalledProcessError):  # the toy project, the last, finds nothing to be built with
        installation.install(session, CPU_LOCK, python)
    listed = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == ["part==1.0", "torch==2.13.0", "whole==1.0"]


@pytest.mark.usefixtures("told_nothing")
def test_the_cuda_lock_needs_no_other_index(session: MagicMock) -> None:
    installation.install(session, CUDA_LOCK, "/env/bin/python")
    assert [indexes(call) for call in session.run_install.call_args_list] == [(None, None)] * 3


@pytest.mark.usefixtures("told_nothing")
@pytest.mark.parametrize(("name", "version"), [(CPU_LOCK, "2.13.0+cpu"), (CUDA_LOCK, "2.13.0")])
def test_torch_is_exactly_the_one_of_the_lock(session: MagicMock, name: str, version: str) -> None:
    asked: list[str] = []
    session.run_install.side_effect = lambda *words, **_: asked.append(Path(words[-1]).read_text(encoding="utf-8"))
    with pytest.raises(IsADirectoryError):  # the last is the project's own folder
        installation.install(session, name, "/env/bin/python")
    assert asked == [f"torch==={version} --hash=sha256:aa --hash=sha256:bb\n", Path(name).read_text(encoding="utf-8")]


def test_uv_installs_where_it_is_there(session: MagicMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "find_uv", lambda: "/bin/uv")
    installation.pip_install(session, "/env/bin/python", "torch", environ={"A": "b"})
    command = ("/bin/uv", "pip", "install", "--python", "/env/bin/python", "torch")
    session.run_install.assert_called_once_with(*command, env={"A": "b"}, external=True, silent=True)


@pytest.mark.usefixtures("without_uv")
def test_pip_installs_where_uv_is_not_there(session: MagicMock) -> None:
    installation.pip_install(session, "/env/bin/python", "torch", environ={})
    command = ("/env/bin/python", "-m", "pip", "install", "--disable-pip-version-check", "torch")
    session.run_install.assert_called_once_with(*command, env={}, external=True, silent=True)


@pytest.mark.parametrize("where", ["path", "beside nox"])
def test_uv_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    folders = {name: tmp_path / name for name in ("path", "beside nox")}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setenv("PATH", str(folders["path"]))
    monkeypatch.setattr("sys.executable", str(folders["beside nox"] / "python"))
    assert installation.find_uv() is None
    uv = folders[where] / "uv"
    uv.touch(mode=0o755)
    assert installation.find_uv() == str(uv)


@pytest.mark.parametrize(("uv", "options"), [(None, ()), ("/bin/uv", ("--without-pip",))])
def test_the_environment_has_pip_where_pip_installs(
    session: MagicMock, install: MagicMock, monkeypatch: pytest.MonkeyPatch, uv: str | None, options: tuple[str, ...]
) -> None:
    monkeypatch.setattr(installation, "find_uv", lambda: uv)
    installation.environment(session, CPU_LOCK)
    made = session.run_install.call_args.args
    assert made == (sys.executable, "-m", "venv", *options, str(Path(".nox/cpu").absolute()))


def test_what_is_added_is_installed_beside_the_lock(session: MagicMock) -> None:
    installation.add(session, "/env/bin/python", "lightning==2.6.6")
    (installed,) = session.run_install.call_args_list
    assert installed.args[-1] == "lightning==2.6.6"
    assert installed.kwargs["env"]["UV_INDEX_STRATEGY"] == "unsafe-best-match"


# When it is installed


def test_an_environment_is_installed_once(session: MagicMock, install: MagicMock, project: Path) -> None:
    python = str(project / ".nox/cpu/bin/python")
    assert installation.environment(session, CPU_LOCK) == installation.environment(session, CPU_LOCK) == python
    install.assert_called_once_with(session, CPU_LOCK, python)


def test_an_environment_may_have_a_name_of_its_own(session: MagicMock, install: MagicMock, project: Path) -> None:
    installation.environment(session, CPU_LOCK)
    assert installation.environment(session, CPU_LOCK, "bench-cpu") == str(project / ".nox/bench-cpu/bin/python")
    assert install.call_count == 2


def test_a_changed_lock_makes_the_environment_anew(session: MagicMock, install: MagicMock, leftover: Path) -> None:
    Path(CPU_LOCK).write_text("torch==1.1 --hash=sha256:aa\n", encoding="utf-8")
    installation.environment(session, CPU_LOCK)
    assert install.call_count == 2
    assert not leftover.exists()


@pytest.mark.parametrize(
    ("table", "again"),
    [
        ('[project.scripts]\ntoy = "toy:main"\n', True),
        ('[tool.setuptools.packages.find]\nwhere = ["src"]\n', True),
        ('[tool.ruff]\nsrc = ["src"]\n', False),
    ],
)
def test_a_changed_project_makes_the_environment_anew(
    session: MagicMock, install: MagicMock, leftover: Path, table: str, *, again: bool
) -> None:
    Path("pyproject.toml").write_text(f"{PYPROJECT}{table}", encoding="utf-8")
    installation.environment(session, CPU_LOCK)
    assert install.call_count == 1 + again
    assert leftover.exists() is not again


def test_a_project_needs_none_of_the_tables(session: MagicMock, install: MagicMock, leftover: Path) -> None:
    Path("pyproject.toml").write_text("", encoding="utf-8")
    installation.environment(session, CPU_LOCK)
    assert install.call_count == 2


def test_a_copied_project_has_an_environment_of_its_own(
    session: MagicMock, install: MagicMock, leftover: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = project.rename(project.with_name("copy"))
    monkeypatch.chdir(copy)
    assert installation.environment(session, CPU_LOCK) == str(copy / ".nox/cpu/bin/python")
    assert install.call_count == 2
    assert not (copy / leftover.relative_to(project)).exists()


def test_another_python_makes_the_environment_anew(
    session: MagicMock, install: MagicMock, leftover: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "version_of", lambda _: "")
    installation.environment(session, CPU_LOCK)
    assert install.call_count == 2
    assert not leftover.exists()


def test_an_installation_cut_short_is_made_anew(session: MagicMock, install: MagicMock, project: Path) -> None:
    install.side_effect = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        installation.environment(session, CPU_LOCK)
    assert installation.stamp(project / ".nox/cpu") == "unfinished"
    leftover = project / ".nox/cpu/half"
    leftover.touch()
    install.side_effect = None
    installation.environment(session, CPU_LOCK)
    assert install.call_count == 2
    assert not leftover.exists()


def test_nothing_is_installed_where_nox_was_told_so(session: MagicMock, install: MagicMock, leftover: Path) -> None:
    session._runner.global_config.no_install = True
    Path(CPU_LOCK).write_text("torch==1.1 --hash=sha256:aa\n", encoding="utf-8")
    python = installation.environment(session, CPU_LOCK)
    installation.add(session, python, "lightning")
    assert install.call_count == 1
    assert session.run_install.call_count == 1  # the fixture's own
    assert leftover.exists()
    warned(session)


def warned(session: MagicMock) -> None:
    """That an environment is not what the lock and the folder say."""
    session.warn.assert_called_once()
    folder = Path(".nox/cpu").absolute()
    assert session.warn.call_args.args[0].startswith(f"nox -R takes {folder} as it is, not as {CPU_LOCK} and this ")


def test_an_environment_that_is_right_is_taken_as_it_is_without_a_word(session: MagicMock, leftover: Path) -> None:
    session._runner.global_config.no_install = True
    installation.environment(session, CPU_LOCK)
    session.warn.assert_not_called()


def test_one_that_was_made_in_another_folder_is_warned_of(
    session: MagicMock, leftover: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session._runner.global_config.no_install = True
    monkeypatch.chdir(project.rename(project.with_name("moved")))
    installation.environment(session, CPU_LOCK)
    warned(session)


def test_an_environment_that_is_not_there_is_not_taken_as_it_is(session: MagicMock, install: MagicMock) -> None:
    session._runner.global_config.no_install = True
    with pytest.raises(
        StoppedError, match=r"^nox -R takes .* there is no /.*/\.nox/cpu yet: once without -R makes it$"
    ):
        installation.environment(session, CPU_LOCK)
    assert not Path(".nox").exists()


def test_two_at_once_make_it_one_after_the_other(session: MagicMock, install: MagicMock, project: Path) -> None:
    (project / ".nox").mkdir()
    waiting = threading.Event()
    session.log.side_effect = lambda _: waiting.set()
    other = threading.Thread(target=installation.environment, args=(session, CPU_LOCK))
    with (project / ".nox/cpu.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        other.start()
        assert waiting.wait(10)
        other.join(0.2)  # far longer than it would take, if it did not wait
        install.assert_not_called()
    other.join(10)
    install.assert_called_once()
    session.log.assert_called_once_with(f"waiting for another nox, which is at work on {project / '.nox/cpu'}")


def test_another_python_is_refused_before_anything_is_made(
    session: MagicMock, install: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.python_version", lambda: "3.12.1")
    with pytest.raises(StoppedError, match=r"CPython 3\.11\.7 .* this is 3\.12\.1: `pyenv install 3\.11\.7`"):
        installation.environment(session, CPU_LOCK)
    install.assert_not_called()
    session.run_install.assert_not_called()


def test_the_version_of_a_python() -> None:
    found = ".".join(map(str, sys.version_info[:3]))
    assert installation.version_of(sys.executable) == found
    assert installation.version_of("/bin/false") == installation.version_of("/no/such/python") == ""


def test_refusal_says_what_the_locks_are_for() -> None:
    assert installation.refusal("3.11.7", "Linux", "x86_64") is None
    assert "3.11.9" in str(installation.refusal("3.11.9", "Linux", "x86_64"))
    assert "for Linux x86_64 and this is Darwin arm64" in str(installation.refusal("3.11.7", "Darwin", "arm64"))


def test_cuda_is_skipped_before_anything_is_installed(session: MagicMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "no_gpu", lambda: "no NVIDIA GPU")
    with pytest.raises(StoppedError, match="no NVIDIA GPU"):
        installation.environment(session, CUDA_LOCK)
    session.run_install.assert_not_called()


@pytest.mark.parametrize(
    ("lists", "reason"),
    [
        ("GPU 0: NVIDIA H100 (UUID: GPU-1)", None),
        ("No devices were found", "nvidia-smi lists none"),
        (None, "nvidia-smi is not there"),
    ],
)
def test_no_gpu_asks_nvidia_smi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lists: str | None, reason: str | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if lists is not None:
        (tmp_path / "nvidia-smi").write_text(f'#!/bin/sh\necho "{lists}"\n', encoding="utf-8")
        (tmp_path / "nvidia-smi").chmod(0o755)
    found = installation.no_gpu(tmp_path / "no-devices")
    assert found is None if reason is None else str(found).endswith(reason)


def test_no_gpu_believes_a_device_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "nvidiactl").touch()
    assert installation.no_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert installation.no_gpu(tmp_path) is None


# Where it is imported from


def test_a_noxfile_takes_it_straight_from_a_wheel(tmp_path: Path) -> None:
    source = Path(seedbed.__file__).parent
    with zipfile.ZipFile(tmp_path / "seedbed-0.1.0-py3-none-any.whl", "w") as wheel:
        for path in [source / "__init__.py", *(source / "sessions").glob("*.py")]:
            wheel.write(path, path.relative_to(source.parent))
    code = (
        "import sys; sys.path.insert(0, 'seedbed-0.1.0-py3-none-any.whl'); from seedbed import sessions\n"
        "print(sessions.locks.__file__, sessions.CPU_LOCK, sorted({'numpy', 'torch', 'msgspec'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=unmeasured()
    )
    assert done.stdout.split() == [
        "seedbed-0.1.0-py3-none-any.whl/seedbed/sessions/locks.py",
        "requirements.lock",
        "[]",
    ]
