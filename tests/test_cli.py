"""The command: what it prints where, and its exit status."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from seedbed import cli, doctor, environment
from seedbed.environment import Container, Gpu, TorchBuild, whole
from seedbed.errors import SeedbedError
from seedbed.image import Image
from seedbed.rerun import partial
from tests.conftest import Write
from tests.unmeasured import unmeasured

FIXED = """
    import time

    def fixed(*, seed):
        return {"x": [0.5, seed]}

    def other(*, seed):
        return {"x": time.time_ns()}

    def fails(*, seed):
        raise ValueError("no")
"""
PROMISED = '[tool.seedbed]\nexperiments = ["study:fixed"]\n[tool.seedbed.promises.none]\nrerun = "identical"\n'
QUICK = ("--level", "none", "--vary", "rerun")


def seedbed(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


def record_of(study: Write, *arguments: str, out: str = "out") -> Result:
    study(FIXED)
    return seedbed("repro", *arguments, *QUICK, "--out", out)


def test_repro_prints_the_table_to_stdout_and_writes_the_record(study: Write) -> None:
    result = record_of(study, "study:fixed")
    assert result.exit_code == 0
    assert "study:fixed" in result.stdout
    assert "1 of 1" in result.stdout
    assert "record: out" in result.stderr
    assert sorted(path.name for path in Path("out").iterdir()) == ["arrays.safetensors", "record.json"]


def test_repro_prints_the_record_as_json(study: Write) -> None:
    result = record_of(study, "study:fixed", "--json")
    assert result.stdout == Path("out/record.json").read_text()
    assert result.exit_code == 0


def test_repro_runs_what_the_project_names_and_holds_its_promises(study: Write) -> None:
    Path("pyproject.toml").write_text(PROMISED)
    result = record_of(study)
    assert result.exit_code == 0
    assert "study:fixed" in result.stdout


def test_a_broken_promise_is_exit_status_1(study: Write) -> None:
    Path("pyproject.toml").write_text(PROMISED)
    result = record_of(study, "study:other")
    assert result.exit_code == cli.EXIT_BROKEN
    assert "broken promise: study:other at none, rerun=process" in result.stdout


def test_a_failed_experiment_is_exit_status_1(study: Write) -> None:
    result = record_of(study, "study:fails")
    assert result.exit_code == cli.EXIT_BROKEN
    assert "failed: study:fails at none" in result.stdout


def test_the_default_folder_is_new_and_local(study: Write) -> None:
    study(FIXED)
    assert seedbed("repro", "study:fixed", "--level", "none", "--vary", "").exit_code == 0
    assert len(list(Path("records/local").glob("*Z/record.json"))) == 1


def test_where_no_record_is_committed_it_says_how_to_make_one(study: Write) -> None:
    study(FIXED)
    hint = "seedbed: records has no record to compare with yet: the same with --out records/NAME "
    local = seedbed("repro", "study:fixed", *QUICK)
    assert local.stderr.count(hint) == 1
    first = record_of(study, "study:fixed", out="records/mine")
    assert hint not in first.stderr  # this is the one that can be committed
    later = seedbed("repro", "study:fixed", *QUICK, "--out", "records/local/later")
    assert hint not in later.stderr
    assert "later against mine, same bits" in later.stderr


def test_the_records_of_other_machines_are_compared_and_a_bad_one_passed_over(study: Write) -> None:
    assert record_of(study, "study:fixed", out="records/theirs").exit_code == 0
    Path("records/bad").mkdir()
    Path("records/bad/record.json").write_text("{}")
    result = record_of(study, "study:fixed", out="records/mine")
    assert "mine against theirs, same bits: none 1 of 1" in result.stderr
    assert "passed over: records/bad/record.json: Object missing required field" in result.stderr
    assert result.exit_code == 0


def test_a_broken_promise_about_another_machine_is_exit_status_1(study: Write) -> None:
    Path("pyproject.toml").write_text('[tool.seedbed.promises.none]\nmachine = "identical"\n')
    assert record_of(study, "study:other", out="records/theirs").exit_code == 0
    result = record_of(study, "study:other", out="records/mine")
    assert result.exit_code == cli.EXIT_BROKEN
    assert "mine against theirs, same bits: none 0 of 1; promises broken: 1" in result.stderr


def test_a_run_that_was_interrupted_says_how_to_go_on(study: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from seedbed.rerun import check

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(check, "run", interrupted)
        result = record_of(study, "study:fixed")
    assert result.exit_code == cli.EXIT_INTERRUPTED
    assert "interrupted; to go on, give the same again with --resume --out out" in result.stderr
    assert seedbed("repro", "study:fixed", *QUICK, "--out", "out", "--resume").exit_code == 0


def test_a_name_that_cannot_be_loaded_leaves_nothing_behind(study: Write) -> None:
    result = record_of(study, "study:fixes")
    assert "has no function 'fixes'; it has fails, fixed, other" in str(result.exception)
    assert not Path("out.partial").exists()


def test_resume_takes_up_the_newest(study: Write) -> None:
    study(FIXED)
    result = seedbed("repro", "study:fixed", "--resume")
    assert "records/local: no unfinished check to resume" in str(result.exception)


def test_compare_says_same_different_and_unreadable(study: Write) -> None:
    study(FIXED)
    for experiment, out in (("study:fixed", "a"), ("study:fixed", "b"), ("study:other", "c"), ("study:other", "d")):
        assert seedbed("repro", experiment, "--level", "seeded", "--vary", "", "--out", out).exit_code == 0
    same, differs = seedbed("compare", "a", "b"), seedbed("compare", "c", "d")
    assert (same.exit_code, differs.exit_code) == (0, cli.EXIT_BROKEN)
    assert same.stdout == "a against b, same bits: seeded 1 of 1\n"
    assert "study:other" in differs.stdout
    (match,) = json.loads(seedbed("compare", "c", "d", "--json").stdout)
    assert (match["experiment"], match["kept"]) == ("study:other", False)
    with pytest.raises(SeedbedError, match="nowhere/record.json: expected a record's file"):
        seedbed_raising("compare", "a", "nowhere")


def seedbed_raising(*arguments: str) -> None:
    result = seedbed(*arguments)
    assert result.exception is not None
    raise result.exception


def test_show_prints_a_record_again(study: Write) -> None:
    shown = record_of(study, "study:fixed").stdout
    assert seedbed("show", "out").stdout == shown
    assert seedbed("show", "out", "--json").stdout == Path("out/record.json").read_text()
    assert "| study:fixed | none | same |" in seedbed("show", "out", "--markdown").stdout


def test_env_prints_a_table_or_json() -> None:
    assert "python.version" in seedbed("env").stdout
    found = json.loads(seedbed("env", "--json").stdout)
    assert found["python"]["version"] == environment.read().python.version


@pytest.mark.usefixtures("study")
def test_doctor_prints_lines_or_json_in_a_folder_that_is_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "_IMAGE", tmp_path)  # these tests run in an image too
    lines = seedbed("doctor").stdout
    assert "no requirements.lock here" in lines
    assert "-> lock the requirements" in lines
    assert lines.splitlines()[-1].endswith(" ok")
    found = {finding["name"]: finding for finding in json.loads(seedbed("doctor", "--json").stdout)}
    assert found["lock"]["status"] == "note"
    assert found["flags"]["found"].startswith("all 11 can be in force here")


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("note", 0), ("broken", cli.EXIT_BROKEN)])
def test_doctor_exits_1_where_something_would_break_a_promise(
    monkeypatch: pytest.MonkeyPatch, status: doctor.Status, code: int
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda **_: [doctor.Finding(name="x", status=status, found="y")])
    assert seedbed("doctor").exit_code == seedbed("doctor", "--json").exit_code == code


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_doctor_of_a_stale_lock(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "requirements.lock").write_text("numpy==0.1\n")
    command = [sys.executable, "-m", "seedbed", "doctor", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == cli.EXIT_BROKEN
    assert "requirements.lock is not what is installed: numpy 0.1" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["repro", "nothing"], "an experiment is named package.module:function, not 'nothing'"),
        (["repro", "--level", "sown"], "there is no level 'sown': there are none, seeded, deterministic"),
        (["repro", "--vary", "moon"], "there is no condition 'moon': there are rerun"),
        (["repro", "--seed", "-1"], "seed must be an integer in 0..2**32-1"),
        (["repro", "--level", ""], "no level was asked for"),
        (["repro", "study:f", "--out", "/"], "/ is no name for a record's folder"),
        (["repro", "--device", "cuda"], "--device cuda: nothing to run on"),
        (["compare", "a", "b"], "a/record.json: expected a record's file, found: No such file or directory"),
    ],
)
def test_what_means_nothing_is_one_line_and_exit_status_2(
    study: Write,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(environment, "no_cuda", lambda: "nothing to run on")
    monkeypatch.setattr(sys, "argv", ["seedbed", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    error = capsys.readouterr().err
    assert stopped.value.code == cli.EXIT_UNREADABLE
    assert message in error
    assert error.count("\n") == 1


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Run the command as the program does, and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["seedbed", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


@pytest.mark.usefixtures("study")
def test_a_driver_that_is_too_old_is_one_line_and_exit_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build = TorchBuild(version="2.13.0", cuda="13.0", rocm=None, debug=False, commit=None)
    gpu = Gpu(name="NVIDIA H100", memory=None, compute_capability="9.0", driver="535.10")
    monkeypatch.setattr(whole, "read_torch", lambda: build)
    monkeypatch.setattr(whole, "read_gpus", lambda: (gpu,))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert main(monkeypatch, "repro", "--device", "cuda", "--out", "out") == cli.EXIT_UNREADABLE
    old = "driver 535.10, but torch 2.13.0 (CUDA 13.0) needs 580 or newer"
    assert capsys.readouterr().err == f"seedbed: --device cuda: {old}\n"
    assert not Path("out").exists()


# A folder that cannot be written, and one that does not last

IMAGE = Image(
    variant="cpu",
    base="python:3.11.7",
    base_digest=None,
    lock="requirements.lock",
    lock_sha256="ab",
    version="0.1.0",
    revision=None,
    contents="sha256:cd",
)
MOUNT = '-v "$PWD/records:/records" --user "$(id -u):$(id -g)"'


def is_in(monkeypatch: pytest.MonkeyPatch, container: Container) -> None:
    monkeypatch.setattr(environment, "read_container", lambda: container)


@pytest.mark.parametrize(
    ("kind", "do"),
    [
        ("none", "choose another --out"),
        ("docker", f"make the folder on the host first, and start the container with {MOUNT}"),
    ],
)
@pytest.mark.parametrize("refusal", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written_says_whose_it_is_and_what_to_do(
    study: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: environment.machine.ContainerKind,
    do: str,
    refusal: int,
) -> None:
    study(FIXED)

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(refusal, os.strerror(refusal), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(os, "access", lambda *_: False)
    is_in(monkeypatch, Container(kind=kind, image_digest=None))
    assert main(monkeypatch, "repro", "study:fixed", *QUICK, "--out", "records/local/x") == cli.EXIT_UNREADABLE
    whose = f"this is user {os.getuid()}, and {tmp_path} belongs to user {tmp_path.stat().st_uid}"
    said = f"cannot write records/local/x.partial: {os.strerror(refusal)}; {whose}: {do}"
    assert capsys.readouterr().err == f"seedbed: {said}\n"


def test_a_folder_that_cannot_be_made_for_another_reason_says_only_that(
    study: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study(FIXED)
    Path("file").touch()
    assert main(monkeypatch, "repro", "study:fixed", *QUICK, "--out", "file/x") == cli.EXIT_UNREADABLE
    assert capsys.readouterr().err == "seedbed: cannot write file/x.partial: Not a directory\n"


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that anybody finds, with `records` in it, which is ours alone to change."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "records").mkdir(mode=0o555)
        yield folder
        (folder / "records").chmod(0o755)


ROOT = os.geteuid() == 0


START = """
import os
from pathlib import Path
from seedbed.errors import RecordError
from seedbed.rerun.partial import Partial

if os.getuid() == 0:  # only now, as another user need not be able to start this Python
    os.setgroups([])
    os.setgid(12345)
    os.setuid(12345)
try:
    Partial.start(Path("records/local/x"), None)
except RecordError as error:
    print(error)
"""


@pytest.mark.parametrize("mode", [0o555, pytest.param(0o700, marks=pytest.mark.skipif(not ROOT, reason="needs root"))])
def test_another_user_s_folder(closed: Path, mode: int) -> None:
    """For real: as a user who may not write to it, or not even look into it."""
    (closed / "records").chmod(mode)
    command = [sys.executable, "-c", START]
    done = subprocess.run(command, cwd=closed, env=unmeasured(), capture_output=True, text=True, check=True, timeout=60)
    whose = f"this is user {12345 if ROOT else os.getuid()}, and {closed / 'records'} belongs to user {os.getuid()}: "
    assert done.stdout.startswith(f"cannot write records/local/x.partial: Permission denied; {whose}")


LOST = 'that is in the container, and goes with it: start it with -v "$PWD/records:'


def on_device(monkeypatch: pytest.MonkeyPatch, root: int) -> None:
    """Let the container's own file system be that of the number `root`."""
    real = Path.stat

    def stat(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = real(self, follow_symlinks=follow_symlinks)
        return os.stat_result((*found[:2], root, *found[3:10])) if str(self) == "/" else found

    monkeypatch.setattr(Path, "stat", stat)


@pytest.mark.parametrize(("image", "same", "lost"), [(IMAGE, True, True), (IMAGE, False, False), (None, True, False)])
def test_a_record_that_goes_with_the_container_is_said(
    study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Image | None, same: bool, lost: bool
) -> None:
    device = tmp_path.stat().st_dev
    is_in(monkeypatch, Container(kind="docker", image_digest=None, image=image))
    on_device(monkeypatch, device if same else device + 1)
    result = record_of(study, "study:fixed")
    assert result.exit_code == 0
    assert (LOST in result.stderr) is lost
    assert "record: out\n" in result.stderr
    assert partial.is_lost(tmp_path) is lost


@pytest.mark.parametrize("command", [[sys.executable, "-m", "seedbed"], [str(Path(sys.executable).parent / "seedbed")]])
def test_the_command_and_the_module_are_one(command: list[str]) -> None:
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in ("repro", "compare", "show", "env", "doctor"))


def test_help_and_the_package_load_neither_numpy_nor_torch() -> None:
    program = "import sys, seedbed, seedbed.cli; print({'numpy', 'torch', 'msgspec', 'rich.table'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
