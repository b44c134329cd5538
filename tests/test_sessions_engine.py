"""The engine of containers, and what a build in it is told. Nothing here starts one."""

import hashlib
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from seedbed.sessions import CPU_LOCK, CUDA_LOCK, engine
from seedbed.sessions.packages import INDEX_VARIABLE
from tests.fake_nox import StoppedError, fake_session


@pytest.fixture
def session() -> MagicMock:
    return fake_session()


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
    assert engine.find_engine(named) == (expected, None)


@pytest.mark.parametrize("there", [True, False])
def test_without_an_engine_a_projects_image_is_skipped(
    monkeypatch: pytest.MonkeyPatch, session: MagicMock, there: bool
) -> None:
    monkeypatch.setenv("DOCKER", "mine")
    monkeypatch.setattr("shutil.which", lambda name: name if there else None)
    monkeypatch.setattr("subprocess.run", answering("docker"))
    with pytest.raises(StoppedError, match=r"no container engine answers \(mine\): install Docker"):
        engine.image(session, "toy", "cpu")
    session.run_install.assert_not_called()


def test_a_projects_image_is_built_and_looked_into(monkeypatch: pytest.MonkeyPatch, session: MagicMock) -> None:
    session.posargs = ["--network=host"]
    monkeypatch.setattr(engine, "find_engine", lambda _: ("podman", None))
    monkeypatch.setattr(engine, "build_command", lambda name, kind, _, words: [name, "build", kind, *words])
    engine.image(session, "toy", "cuda")
    built = ("podman", "build", "cuda", "--network=host", "--tag=toy", ".")
    session.run_install.assert_called_once_with(*built, external=True, env={"DOCKER_BUILDKIT": "1"})
    session.run.assert_called_once_with("podman", "run", "--rm", "toy", "doctor", external=True)


@pytest.mark.parametrize(("status", "expected"), [("", "0123"), (" M noxfile.py", "0123-dirty")])
def test_a_revision_says_whether_it_is_all(monkeypatch: pytest.MonkeyPatch, status: str, expected: str) -> None:
    monkeypatch.setattr(engine, "git", lambda *words: "0123" if words[0] == "rev-parse" else status)
    assert engine.revision() == expected


def test_without_git_there_is_no_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert engine.revision() == ""


def test_git_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    run = MagicMock(return_value=MagicMock(stdout=" M noxfile.py\n"))
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("subprocess.run", run)
    assert engine.git("status") == "M noxfile.py"
    assert run.call_args.args == (["git", "status"],)


def test_pips_settings_in_a_build_are_addresses_only() -> None:
    settings = {
        "index-url": "https://mirror.example/simple",
        "extra-index-url": "file:///wheels https://other.example/simple",
        "find-links": "/wheels",
        "trusted-host": "mirror.example",
    }
    assert engine.pip_conf(settings).splitlines() == [
        "[global]",
        "index-url = https://mirror.example/simple",
        "extra-index-url = https://other.example/simple",
        "trusted-host = mirror.example",
    ]
    assert engine.pip_conf({"find-links": "/wheels"}) == "[global]\n"


def test_a_build_says_what_the_image_cannot_know_and_arguments_win(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(CUDA_LOCK).write_bytes(b"torch==2.13.0")
    monkeypatch.setattr(engine, "pip_settings", lambda _: {"cert": "ca.pem"})
    monkeypatch.setattr(engine, "revision", lambda: "0123-dirty")
    monkeypatch.setattr(engine, "git", lambda *words: "1795500000" if words[0] == "log" else "")
    monkeypatch.setenv(INDEX_VARIABLE, "https://mirror.example/torch")
    command = engine.build_command("podman", "cuda", tmp_path, ["--build-arg=REVISION=mine"])
    assert command[:2] == ["podman", "build"]
    assert command[-1] == "--build-arg=REVISION=mine"
    digest = hashlib.sha256(b"torch==2.13.0").hexdigest()
    assert set(command[2:-1]) == {
        "--build-arg=VARIANT=cuda",
        "--build-arg=REVISION=0123-dirty",
        "--build-arg=SOURCE_DATE_EPOCH=1795500000",
        f"--build-arg=LOCK_SHA256={digest}",
        "--build-arg=TORCH_INDEX=https://mirror.example/torch",
        f"--secret=id=pip,src={tmp_path / 'pip.conf'}",
        "--secret=id=ca,src=ca.pem",
    }


def test_a_build_of_the_cpu_image_has_the_cpu_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(INDEX_VARIABLE, raising=False)
    Path(CPU_LOCK).write_bytes(b"torch==2.13.0+cpu")
    command = engine.build_command("docker", "cpu", tmp_path, [])
    assert f"--build-arg=LOCK_SHA256={hashlib.sha256(b'torch==2.13.0+cpu').hexdigest()}" in command
    assert not any("TORCH_INDEX" in word for word in command)


@pytest.mark.parametrize("arguments", [["--build-arg=VARIANT=cpu"], ["--build-arg", "VARIANT=cpu"]])
def test_a_variant_among_the_arguments_has_its_own_lock(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    """The build holds the lock that it has against the digest that it was given."""
    monkeypatch.chdir(tmp_path)
    Path(CPU_LOCK).write_bytes(b"torch==2.13.0+cpu")
    Path(CUDA_LOCK).write_bytes(b"torch==2.13.0")
    digest = hashlib.sha256(b"torch==2.13.0+cpu").hexdigest()
    command = engine.build_command("docker", "cuda", tmp_path, ["--build-arg=VARIANT=cuda", *arguments])
    assert f"--build-arg=LOCK_SHA256={digest}" in command
    assert command[-len(arguments) :] == arguments
    command = engine.build_command("docker", "cpu", tmp_path, ["--build-arg=MY_VARIANT=cuda"])
    assert f"--build-arg=LOCK_SHA256={digest}" in command


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
    assert engine.public_address(url) == expected


def test_twice_is_two_builds_without_cache_and_a_comparison(session: MagicMock, tmp_path: Path) -> None:
    engine.build_twice(session, "docker", ["docker", "build"], tmp_path, "/env/bin/python")
    built = [each.args for each in session.run_install.call_args_list]
    assert built == [("docker", "build", "--no-cache", f"--tag=seedbed-twice:{name}", ".") for name in ("one", "two")]
    compared = (
        "/env/bin/python",
        "-m",
        "seedbed.image",
        "compare",
        str(tmp_path / "one.tar"),
        str(tmp_path / "two.tar"),
    )
    assert compared in [each.args for each in session.run.call_args_list]
