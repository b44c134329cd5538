"""The environments: what is installed, from where, and when again. Nothing here touches the network."""

import hashlib
import re
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, call, create_autospec

import nox
import noxfile
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import seedbed

ROOT = Path(noxfile.__file__).parent
LOCKS = (noxfile.CPU_LOCK, noxfile.CUDA_LOCK)
OLD = "numpy==2.4.6 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via scipy\n"


class StoppedError(Exception):
    """What `session.error` and `session.skip` raise: they never return."""


def stop(reason: str) -> None:
    raise StoppedError(reason)


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nox runs a noxfile where it lies, and this is a machine for which there are locks."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


@pytest.fixture
def session(tmp_path: Path) -> MagicMock:
    """A session whose environment is an empty folder."""
    session: MagicMock = create_autospec(nox.Session, instance=True)
    session.configure_mock(posargs=[], venv_backend="virtualenv", virtualenv=MagicMock(location=str(tmp_path / "env")))
    session.virtualenv.create.side_effect = (tmp_path / "env").mkdir
    session.virtualenv.create()
    session.run_install.return_value = f"{noxfile.PYTHON}\n"
    session.error.side_effect = session.skip.side_effect = stop
    return session


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A lock of its own, whose installation only counts its calls."""
    monkeypatch.setattr(noxfile, "install", MagicMock())
    path = tmp_path / "some.lock"
    path.write_text("torch==1.0 --hash=sha256:aa\n", encoding="utf-8")
    return str(path)


def installations() -> int:
    assert isinstance(noxfile.install, MagicMock)
    return noxfile.install.call_count


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def wanted() -> set[str]:
    """The names in requirements.in."""
    return {
        canonicalize_name(Requirement(line).name) for line in read("requirements.in").splitlines() if line[:1].isalpha()
    }


def declared() -> list[Requirement]:
    """What pyproject.toml says that Seedbed needs: to run, to be built, to be tested."""
    project = noxfile.PYPROJECT
    texts = (
        project["project"]["dependencies"]
        + project["build-system"]["requires"]
        + project["dependency-groups"]["test"]
        + project["dependency-groups"]["image"]
    )
    return [Requirement(text) for text in texts]


# The locks themselves


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_hashes_everywhere(name: str) -> None:
    for package, (version, hashes) in noxfile.pins(read(name)).items():
        assert hashes, f"{package}=={version} has no hash"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for digest in hashes), package


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_no_address_and_no_path(name: str) -> None:
    assert not re.search(r"://|index-url|find-links|trusted-host|(^|\s)/", read(name))


def test_locks_have_their_own_torch() -> None:
    cpu, cuda = (noxfile.pins(read(name)) for name in LOCKS)
    assert cpu["torch"][0] == "2.13.0+cpu"
    assert cuda["torch"][0] == "2.13.0"
    assert not cpu["torch"][1] & cuda["torch"][1]


def test_locks_agree_but_for_torch_and_cuda() -> None:
    cpu, cuda = (noxfile.pins(read(name)) for name in LOCKS)
    assert {name for name in cpu if cuda.get(name) != cpu[name]} == {"torch"}
    extra = {name for name in cuda if name not in cpu}
    assert {"triton", "nvidia-cublas"} <= extra
    assert all(name.startswith(("nvidia-", "cuda-", "triton")) for name in extra)


def test_requirements_in_has_what_pyproject_declares_and_no_more() -> None:
    assert wanted() == {canonicalize_name(requirement.name) for requirement in declared()}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_satisfies_pyproject(name: str) -> None:
    pins = noxfile.pins(read(name))
    for requirement in declared():
        version = pins[canonicalize_name(requirement.name)][0]
        assert requirement.specifier.contains(version), f"{requirement} is not met by {version}"


# Writing them


def test_pins_reads_versions_and_hashes() -> None:
    assert noxfile.pins(f"# by uv\n{OLD}") == {"numpy": ("2.4.6", frozenset({"--hash=sha256:aa", "--hash=sha256:bb"}))}


def test_stale_names_nothing_where_one_file_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "old.lock"
    path.write_text(OLD, encoding="utf-8")
    assert noxfile.stale(str(path), "numpy==2.4.6 --hash=sha256:bb --hash=sha256:cc\n") == []


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
    assert noxfile.stale(str(path), fresh) == changed


def test_a_missing_lock_is_stale(tmp_path: Path) -> None:
    assert noxfile.stale(str(tmp_path / "none.lock"), OLD) == ["numpy"]


def test_variant_fixes_the_torch_of_each_lock() -> None:
    assert noxfile.variant("rich\ntorch==2.13.0\n", noxfile.CPU_LOCK) == "rich\ntorch==2.13.0+cpu\n"
    assert noxfile.variant("rich\ntorch==2.13.0\n", noxfile.CUDA_LOCK) == "rich\ntorch===2.13.0\n"


def test_requirements_in_has_one_date_and_one_torch() -> None:
    assert len(noxfile.EXCLUDE_NEWER.findall(read("requirements.in"))) == 1
    assert re.findall(r"^torch.*$", read("requirements.in"), re.MULTILINE) == ["torch==2.13.0"]


def test_renewed_moves_the_date_alone() -> None:
    text = "# why\n# exclude-newer: 2026-01-01T00:00:00Z\nrich\n"
    assert noxfile.renewed(text, "2027-02-03T04:05:06Z") == "# why\n# exclude-newer: 2027-02-03T04:05:06Z\nrich\n"


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one package, which a recompilation finds at 2.4.6."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(noxfile, "compiled", lambda _session, _requirements, _name: OLD)
    Path("requirements.in").write_text("# exclude-newer: 2026-01-01T00:00:00Z\nnumpy\n", encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("compiled")
def test_lock_writes_both_and_then_finds_them_fresh(session: MagicMock) -> None:
    noxfile.lock(session)
    assert [Path(name).read_text(encoding="utf-8") for name in LOCKS] == [OLD, OLD]
    session.posargs = ["--check"]
    noxfile.lock(session)
    session.error.assert_not_called()


def test_lock_check_names_the_stale_ones_and_writes_nothing(session: MagicMock, compiled: Path) -> None:
    Path(noxfile.CPU_LOCK).write_text(OLD, encoding="utf-8")
    Path(noxfile.CUDA_LOCK).write_text(OLD.replace("2.4.6", "2.4.5"), encoding="utf-8")
    before = {path: path.read_bytes() for path in compiled.glob("requirements*")}
    session.posargs = ["--check"]
    with pytest.raises(
        StoppedError, match=r"^stale: requirements-cuda\.lock \(numpy\): `nox -s lock` writes them again$"
    ):
        noxfile.lock(session)
    assert {path: path.read_bytes() for path in compiled.glob("requirements*")} == before


@pytest.mark.usefixtures("compiled")
def test_lock_upgrade_moves_the_date(session: MagicMock) -> None:
    noxfile.lock(session)
    assert "2026-01-01" in Path("requirements.in").read_text(encoding="utf-8")
    session.posargs = ["--upgrade"]
    noxfile.lock(session)
    assert "2026-01-01" not in Path("requirements.in").read_text(encoding="utf-8")


def test_lock_refuses_other_arguments(session: MagicMock) -> None:
    session.posargs = ["--chekc"]
    with pytest.raises(StoppedError, match="lock takes --check or --upgrade, not --chekc"):
        noxfile.lock(session)


# Where packages come from


def test_settings_of_files_and_variables() -> None:
    listed = (
        ":env:.find-links='/ignored: the variable itself is read'\n"
        "global.extra-index-url='\\nhttps://a/simple\\nhttps://b/simple'\n"
        "global.find-links='/global'\n"
        "global.timeout='60'\n"
        "install.find-links='/install'\n"
        "wheel.find-links='/other command'\n"
    )
    assert noxfile.settings_of(listed, {"PIP_CERT": "/ca.pem", "PIP_PROXY": ""}) == {
        "extra-index-url": "\nhttps://a/simple\nhttps://b/simple",
        "find-links": "/install",
        "cert": "/ca.pem",
    }
    assert noxfile.settings_of(listed, {"PIP_FIND_LINKS": "/variable"})["find-links"] == "/variable"
    assert noxfile.settings_of("", {}) == {}


def test_uv_is_handed_what_pip_is_set_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    settings = {"index-url": "https://mirror/simple", "extra-index-url": "https://a\nhttps://b", "find-links": "~/x /y"}
    assert noxfile.install_environ(settings, "", {}) == {
        "UV_DEFAULT_INDEX": "https://mirror/simple",
        "UV_EXTRA_INDEX_URL": "https://a https://b",
        "UV_FIND_LINKS": "/home/ada/x,/y",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_COMPILE_BYTECODE": "1",
    }


def test_uv_keeps_its_own_settings() -> None:
    handed = noxfile.install_environ({"find-links": "/pip", "cert": "/ca.pem"}, "", {"UV_FIND_LINKS": "/uv"})
    assert handed == {"SSL_CERT_FILE": "/ca.pem", "UV_INDEX_STRATEGY": "unsafe-best-match", "UV_COMPILE_BYTECODE": "1"}


def test_an_index_is_added_for_pip_and_uv_alike() -> None:
    handed = noxfile.install_environ({"extra-index-url": "https://a"}, "https://torch", {"UV_INDEX": "https://own"})
    assert handed["PIP_EXTRA_INDEX_URL"] == "https://a https://torch"
    assert handed["UV_INDEX"] == "https://own https://torch"


@pytest.mark.parametrize(
    ("environ", "at_hand", "index"),
    [
        ({}, False, "https://download.pytorch.org/whl/cpu"),
        ({}, True, ""),
        ({"SEEDBED_TORCH_INDEX": "https://mirror/torch"}, False, "https://mirror/torch"),
        ({"SEEDBED_TORCH_INDEX": "https://mirror/torch"}, True, "https://mirror/torch"),
        ({"SEEDBED_TORCH_INDEX": ""}, False, ""),
    ],
)
def test_cpu_index(environ: dict[str, str], *, at_hand: bool, index: str) -> None:
    assert noxfile.cpu_index(environ, at_hand=at_hand) == index


def test_pip_itself_says_whether_the_wheel_is_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pip", reason="an environment that uv made has no pip")
    with zipfile.ZipFile(tmp_path / "torch-1.0+cpu-py3-none-any.whl", "w") as wheel:
        info = "torch-1.0+cpu.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 1.0+cpu\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert noxfile.wheel_at_hand("1.0+cpu")
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert not noxfile.wheel_at_hand("1.0+cpu")


def test_pip_settings_are_read_without_pip_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert noxfile.pip_settings({"PIP_INDEX_URL": "https://mirror"}) == {"index-url": "https://mirror"}


# Installing


@pytest.fixture
def told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose pip and uv have no settings of their own: a fresh user's."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "UV_INDEX", noxfile.INDEX_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def indexes(installation: Any) -> tuple[str | None, str | None]:
    """The index that pip, and that uv, was given beside its own."""
    environ = installation.kwargs["env"]
    return environ.get("PIP_EXTRA_INDEX_URL"), environ.get("UV_INDEX")


@pytest.mark.usefixtures("told_nothing")
def test_a_fresh_user_gets_the_cpu_wheel_alone_from_pytorch(session: MagicMock) -> None:
    noxfile.install(session, noxfile.CPU_LOCK)
    torch, lock, project = session.install.call_args_list
    assert indexes(torch) == (noxfile.PYTORCH_CPU_INDEX, noxfile.PYTORCH_CPU_INDEX)
    assert indexes(lock) == indexes(project) == (None, None)
    assert {"--require-hashes", "--only-binary=:all:"} <= set(torch.args) & set(lock.args)
    assert lock.args[-2:] == ("--requirement", noxfile.CPU_LOCK)
    assert project.args == ("--no-deps", "--no-build-isolation", "--editable", ".")


@pytest.mark.usefixtures("told_nothing")
def test_the_cuda_lock_needs_no_other_index(session: MagicMock) -> None:
    noxfile.install(session, noxfile.CUDA_LOCK)
    assert [indexes(installation) for installation in session.install.call_args_list] == [(None, None)] * 3


@pytest.mark.usefixtures("told_nothing")
@pytest.mark.parametrize(("name", "version"), [(noxfile.CPU_LOCK, "2.13.0+cpu"), (noxfile.CUDA_LOCK, "2.13.0")])
def test_torch_is_exactly_the_one_of_the_lock(session: MagicMock, name: str, version: str) -> None:
    asked: list[str] = []
    session.install.side_effect = lambda *arguments, **_: asked.append(Path(arguments[-1]).read_text(encoding="utf-8"))
    with pytest.raises(IsADirectoryError):  # the last is Seedbed's own folder
        noxfile.install(session, name)
    assert asked[0].startswith(f"torch==={version} --hash=sha256:")
    assert asked[1] == read(name)


def test_an_environment_is_installed_once(session: MagicMock, lock: str) -> None:
    noxfile.locked(session, lock)
    noxfile.locked(session, lock)
    assert installations() == 1
    assert session.virtualenv.create.call_args_list == [call()]  # the fixture's own


def test_a_changed_lock_makes_the_environment_anew(session: MagicMock, lock: str) -> None:
    noxfile.locked(session, lock)
    leftover = Path(session.virtualenv.location) / "of-the-old-lock"
    leftover.touch()
    Path(lock).write_text("torch==1.1 --hash=sha256:aa\n", encoding="utf-8")
    noxfile.locked(session, lock)
    assert installations() == 2
    assert not leftover.exists()


def test_a_changed_project_makes_the_environment_anew(
    session: MagicMock, lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noxfile.locked(session, lock)
    changed = {**noxfile.PYPROJECT, "project": {**noxfile.PYPROJECT["project"], "scripts": {}}}
    monkeypatch.setattr(noxfile, "PYPROJECT", changed)
    noxfile.locked(session, lock)
    assert installations() == 2


def test_an_installation_cut_short_is_made_anew(session: MagicMock, lock: str) -> None:
    assert isinstance(noxfile.install, MagicMock)
    noxfile.install.side_effect = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        noxfile.locked(session, lock)
    leftover = Path(session.virtualenv.location) / "half"
    leftover.touch()
    noxfile.install.side_effect = None
    noxfile.locked(session, lock)
    assert installations() == 2
    assert not leftover.exists()


@pytest.mark.parametrize(("backend", "python"), [("virtualenv", None), ("none", "3.11.7\n")])
def test_nothing_is_installed_where_nox_was_told_so(
    session: MagicMock, lock: str, backend: str, python: str | None
) -> None:
    session.venv_backend, session.run_install.return_value = backend, python
    noxfile.locked(session, lock)
    assert installations() == 0
    assert noxfile.stamp(Path(session.virtualenv.location)) is None


def test_another_python_is_refused(session: MagicMock, lock: str) -> None:
    session.run_install.return_value = "3.12.1\n"
    with pytest.raises(StoppedError, match=r"CPython 3\.11\.7 .* this is 3\.12\.1: `pyenv install 3\.11\.7`"):
        noxfile.locked(session, lock)
    assert installations() == 0


def test_refusal_says_what_the_locks_are_for() -> None:
    assert noxfile.refusal("3.11.7", "Linux", "x86_64") is None
    assert "3.11.9" in str(noxfile.refusal("3.11.9", "Linux", "x86_64"))
    assert "for Linux x86_64 and this is Darwin arm64" in str(noxfile.refusal("3.11.7", "Darwin", "arm64"))


def test_cuda_is_skipped_before_anything_is_installed(session: MagicMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noxfile, "no_gpu", lambda: "no NVIDIA GPU")
    with pytest.raises(StoppedError, match="no NVIDIA GPU"):
        noxfile.locked(session, noxfile.CUDA_LOCK)
    session.install.assert_not_called()


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
    found = noxfile.no_gpu(tmp_path / "no-devices")
    assert found is None if reason is None else str(found).endswith(reason)


def test_no_gpu_believes_a_device_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "nvidiactl").touch()
    assert noxfile.no_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert noxfile.no_gpu(tmp_path) is None


# The image


def answering(*names: str) -> Any:
    """What `subprocess.run` is where only these engines answer."""

    def run(command: list[str], **_: Any) -> MagicMock:
        return MagicMock(returncode=0 if command[0] in names else 1, stdout="")

    return run


@pytest.mark.parametrize(
    ("named", "answer", "expected"),
    [(None, ["docker", "podman"], "docker"), (None, ["podman"], "podman"), ("mine", ["docker", "mine"], "mine")],
)
def test_the_engine_is_the_first_that_answers(
    monkeypatch: pytest.MonkeyPatch, named: str | None, answer: list[str], expected: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("subprocess.run", answering(*answer))
    assert noxfile.find_engine(named) == (expected, None)


@pytest.mark.parametrize("there", [True, False])
def test_without_an_engine_the_image_is_skipped(
    monkeypatch: pytest.MonkeyPatch, session: MagicMock, there: bool
) -> None:
    monkeypatch.delenv("DOCKER", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: name if there else None)
    monkeypatch.setattr("subprocess.run", answering())
    with pytest.raises(StoppedError, match=r"no container engine answers \(docker and podman\): install Docker"):
        noxfile.build_and_try(session, "cpu")


def test_pips_settings_in_a_build_are_addresses_only() -> None:
    settings = {
        "index-url": "https://mirror.example/simple",
        "extra-index-url": "file:///wheels https://other.example/simple",
        "find-links": "/wheels",
        "trusted-host": "mirror.example",
    }
    assert noxfile.pip_conf(settings).splitlines() == [
        "[global]",
        "index-url = https://mirror.example/simple",
        "extra-index-url = https://other.example/simple",
        "trusted-host = mirror.example",
    ]
    assert noxfile.pip_conf({"find-links": "/wheels"}) == "[global]\n"


def test_a_build_says_what_the_image_cannot_know_and_arguments_win(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(noxfile, "pip_settings", lambda _: {"cert": "ca.pem"})
    monkeypatch.setattr(noxfile, "revision", lambda: "0123-dirty")
    monkeypatch.setattr(noxfile, "git", lambda *words: "1795500000" if words[0] == "log" else "")
    monkeypatch.setenv(noxfile.INDEX_VARIABLE, "https://mirror.example/torch")
    command = noxfile.build_command("podman", "cuda", tmp_path, ["--build-arg=REVISION=mine"])
    assert command[:2] == ["podman", "build"]
    assert command[-1] == "--build-arg=REVISION=mine"
    digest = hashlib.sha256((ROOT / noxfile.CUDA_LOCK).read_bytes()).hexdigest()
    assert set(command[2:-1]) == {
        "--build-arg=VARIANT=cuda",
        "--build-arg=REVISION=0123-dirty",
        "--build-arg=SOURCE_DATE_EPOCH=1795500000",
        f"--build-arg=LOCK_SHA256={digest}",
        "--build-arg=TORCH_INDEX=https://mirror.example/torch",
        f"--secret=id=pip,src={tmp_path / 'pip.conf'}",
        "--secret=id=ca,src=ca.pem",
    }


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://forge.example/us/it.git", "https://forge.example/us/it.git"),
        ("https://me:secret@forge.example/us/it.git", "https://forge.example/us/it.git"),
        ("ssh://git@forge.example/us/it.git", "ssh://forge.example/us/it.git"),
        ("/home/me/it", ""),
        ("file:///home/me/it", ""),
        ("", ""),
    ],
)
def test_a_label_has_no_password_and_no_folder(url: str, expected: str) -> None:
    assert noxfile.public_address(url) == expected


def test_twice_is_two_builds_without_cache_and_a_comparison(session: MagicMock, tmp_path: Path) -> None:
    noxfile.build_twice(session, "docker", ["docker", "build"], tmp_path)
    built = [each.args for each in session.run_install.call_args_list]
    assert built == [("docker", "build", "--no-cache", f"--tag=seedbed-twice:{name}", ".") for name in ("one", "two")]
    compared = ("python", "-m", "seedbed.image", "compare", str(tmp_path / "one.tar"), str(tmp_path / "two.tar"))
    assert compared in [each.args for each in session.run.call_args_list]


def test_the_dockerfile_has_the_projects_own_versions() -> None:
    dockerfile = read("Dockerfile")
    (base,) = re.findall(r"^ARG BASE=(\S+)", dockerfile, re.MULTILINE)
    assert base == f"docker.io/library/python:{noxfile.PYTHON}-slim-bookworm"
    assert set(re.findall(r"^ARG VERSION=(\S+)", dockerfile, re.MULTILINE)) == {seedbed.__version__}
    (digest,) = re.findall(r"^ARG BASE_DIGEST=(\S+)", dockerfile, re.MULTILINE)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert f"PYTHONHASHSEED={seedbed.DEFAULT_SEED}" in dockerfile
