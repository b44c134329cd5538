"""The container image, in a real engine: `nox -s image` builds it and runs these; elsewhere they skip."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from seedbed import environment
from seedbed.comparison import Relation
from seedbed.promise import settings
from seedbed.record import compare_records, read

IMAGE = os.environ.get("SEEDBED_IMAGE", "")
ENGINE = os.environ.get("DOCKER", "docker")
BUILD: list[str] = json.loads(os.environ.get("SEEDBED_BUILD", "[]"))
"""The command that built it, but for its tag and its folder."""
ROOT = Path(__file__).parents[2]
BARE = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
"""Nothing that can be written to but /tmp, and no rights."""

pytestmark = pytest.mark.skipif(not IMAGE, reason="SEEDBED_IMAGE names no image: `nox -s image` builds one")


def engine(*arguments: str, timeout: float = 1800) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ENGINE, *arguments], capture_output=True, text=True, check=False, timeout=timeout)


def build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Build what lies in `folder` as the image was built, but for `arguments`, which win."""
    command = [*BUILD, *arguments, str(folder)]
    environ = {**os.environ, "DOCKER_BUILDKIT": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800, env=environ)


def start(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the image without a network: nothing in it needs one."""
    return engine("run", "--rm", "--network=none", *options, IMAGE, *arguments)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A folder of the host's that anybody may write to, as the ids of the image need not be ours."""
    folder = tmp_path / "records"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def container() -> Iterator[str]:
    name = f"seedbed-test-{os.getpid()}"
    yield name
    engine("rm", "--force", name)


def only(folder: Path) -> Path:
    (path,) = folder.glob("**/record.json")
    return path.parent


def labels() -> dict[str, str]:
    found: dict[str, str] = json.loads(engine("image", "inspect", "--format={{json .Config.Labels}}", IMAGE).stdout)
    return found


def an_experiment() -> str:
    from seedbed import suite

    return suite.EXPERIMENTS[0]


def test_the_doctor_finds_nothing_to_do() -> None:
    done = start("doctor", "--json", options=BARE)
    findings = json.loads(done.stdout)
    known = set()
    if labels()["org.opencontainers.image.revision"].endswith("-dirty"):
        known.add("source")
    if labels()["seedbed.variant"] == "cuda":
        known.add("gpu")  # which is not handed in here: a note
    assert {finding["name"] for finding in findings if finding["status"] != "ok"} == known, done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("user", ["", "1000:1000", "0:0", "4321:8765"])
def test_a_record_lands_on_the_host_as_the_caller(records: Path, user: str) -> None:
    options = (*BARE, f"--volume={records}:/records", *([f"--user={user}"] if user else []))
    if user == "0:0":
        records.chmod(0o700)
        os.chown(records, 0, 0)
    done = start("repro", an_experiment(), "--level=deterministic", "--vary=rerun", options=options)
    assert done.returncode == 0, done.stderr
    folder = only(records)
    assert folder.parent == records / "local"
    uid, gid = (user or "1000:1000").split(":")
    assert {(path.stat().st_uid, path.stat().st_gid) for path in folder.iterdir()} == {(int(uid), int(gid))}


def test_what_a_record_says_of_the_image(records: Path) -> None:
    options = (f"--volume={records}:/records", "--env=SEEDBED_IMAGE_DIGEST=sha256:abc")
    done = start("repro", an_experiment(), "--level=deterministic", "--vary=rerun", options=options)
    assert done.returncode == 0, done.stderr
    here = read(only(records)).record.environment
    image = here.container.image
    assert image is not None
    assert here.lock is not None
    assert here.container.image_digest == "sha256:abc"
    assert (image.lock_sha256, here.lock.sha256) == (here.lock.sha256, labels()["seedbed.lock.sha256"])
    assert image.base == labels()["org.opencontainers.image.base.name"]
    assert image.base_digest or labels()["org.opencontainers.image.base.digest"] == ""
    assert image.revision == labels()["org.opencontainers.image.revision"]
    assert image.version == labels()["org.opencontainers.image.version"]
    assert here.variables["OMP_NUM_THREADS"] == "1"
    assert {run.in_force.threads["torch"] for run in read(only(records)).record.runs if run.in_force.threads} == {1}


def test_the_same_bits_inside_and_outside(records: Path, tmp_path: Path) -> None:
    """On one CPU the container changes nothing: same lock, same variables, same bits."""
    if environment.read(load=True).torch != _torch_inside():
        pytest.skip("the image has another build of torch than this environment")
    arguments = ("repro", "--level=deterministic", "--vary=rerun")
    done = start(*arguments, options=(f"--volume={records}:/records",))
    assert done.returncode == 0, done.stderr
    variables = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1337", "TORCHINDUCTOR_DETERMINISTIC": "1"}
    outside = tmp_path / "outside"
    command = [sys.executable, "-m", "seedbed", *arguments, "--out", str(outside)]
    subprocess.run(command, env={**os.environ, **variables}, cwd=ROOT, check=True, capture_output=True, timeout=1800)
    matches = compare_records(read(only(records)), read(outside), settings(ROOT / "pyproject.toml").promises)
    assert {match.comparison.relation if match.comparison else None for match in matches} == {Relation.IDENTICAL}


def _torch_inside() -> environment.TorchBuild | None:
    said = start("env", "--json").stdout
    return msgspec.json.decode(said, type=environment.Environment).torch


@pytest.mark.parametrize("layout", ["", "src/"])
def test_an_experiment_of_ones_own(tmp_path: Path, layout: str) -> None:
    package = tmp_path / f"{layout}my_study"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "experiment.py").write_text("def train(*, seed):\n    return {'x': float(seed)}\n")
    tmp_path.chmod(0o777)
    options = (*BARE, f"--volume={tmp_path}:/study")
    done = start("repro", "my_study.experiment:train", "--vary=rerun", options=options)
    assert done.returncode == 0, done.stderr
    assert only(tmp_path).parent == tmp_path / "records/local"


def test_a_program_and_a_script_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import torch; print(torch.get_num_threads())")
    tmp_path.chmod(0o755)
    done = start("python", "script.py", options=(f"--volume={tmp_path}:/study:ro",))
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_a_terminal_gets_a_prompt() -> None:
    program = f"{ENGINE} run --rm -it --network=none {IMAGE} python"
    done = subprocess.run(
        [shutil.which("script") or "script", "--quiet", "--return", "--command", program, "/dev/null"],
        input="print(6 * 7)\nexit()\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    assert ">>> " in done.stdout
    assert "42" in done.stdout


@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_a_run_is_stopped_within_a_second_and_leaves_nothing(records: Path, container: str, signal: str) -> None:
    options = ("--detach", f"--name={container}", "--network=none", f"--volume={records}:/records")
    assert engine("run", *options, IMAGE, "repro").returncode == 0
    wait_for_work(records)
    began = time.monotonic()
    engine("kill", f"--signal={signal}", container)
    status = engine("wait", container).stdout.strip()
    assert time.monotonic() - began < 1 + 0.5  # the engine's own part
    assert status == "130"
    assert "--resume" in engine("logs", container).stderr


def wait_for_work(records: Path) -> None:
    deadline = time.monotonic() + 60
    while not any(path.is_file() for path in records.glob("local/*/**/*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(3)


def test_a_folder_that_cannot_be_written_is_one_line(records: Path) -> None:
    records.chmod(0o755)
    os.chown(records, 0, 0)
    done = start("repro", an_experiment(), options=(f"--volume={records}:/records", "--user=1000:1000"))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--user" in line


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("rpro",), 127, "no command 'rpro'"),
        (("repro", "--device=cuda"), 2, "--device cuda: "),
        (("repro", "--level=high"), 2, "high"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], status: int, said: str) -> None:
    done = start(*arguments, options=BARE)
    assert done.returncode == status, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("seedbed: ")
    assert said in line


def test_nothing_of_the_build_is_left() -> None:
    left = start("sh", "-c", "ls -A /var/cache/pip /build /tree /project /run/secrets /etc/pip.conf /tmp", options=BARE)
    assert left.stdout.split() == ["/tmp:"]  # noqa: S108
    config = json.loads(engine("image", "inspect", "--format={{json .Config}}", IMAGE).stdout)
    assert [variable for variable in config["Env"] if "PIP_" in variable or "://" in variable] == []
    assert "pip.conf" not in engine("history", "--no-trunc", "--format={{.CreatedBy}}", IMAGE).stdout


def test_the_image_is_not_root_and_small() -> None:
    image = json.loads(engine("image", "inspect", IMAGE).stdout)[0]
    assert image["Config"]["User"] == "1000:1000"
    if image["Config"]["Labels"]["seedbed.variant"] == "cpu":
        assert image["Size"] <= 950e6


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What git knows of this folder, and what is new in it, so that it can be changed."""
    done = subprocess.run(
        [shutil.which("git") or "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, done.stdout.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / "checkout" / name)
    return tmp_path / "checkout"


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The line that is Seedbed's own in what a build that failed wrote."""
    assert done.returncode != 0
    lines = {
        match for line in done.stderr.splitlines() for match in re.findall(r"^(?:#\d+ [\d.]+ )?(seedbed: .*)", line)
    }
    (line,) = lines
    return str(line)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("VARIANT=gpu", "seedbed: VARIANT is cpu or cuda, not 'gpu'"),
        ("LOCK_SHA256=0123", "not the LOCK_SHA256 that the build was given"),
    ],
)
def test_a_build_argument_that_means_nothing(checkout: Path, argument: str, expected: str) -> None:
    assert expected in said(build(checkout, "--progress=plain", f"--build-arg={argument}"))


def test_a_base_with_another_python(checkout: Path) -> None:
    (checkout / ".python-version").write_text("3.11.8\n")
    expected = "seedbed: the base has Python 3.11.7, but .python-version asks for 3.11.8"
    assert expected in said(build(checkout, "--progress=plain"))


def test_a_lock_that_does_not_match(checkout: Path) -> None:
    lock = checkout / ("requirements.lock" if labels()["seedbed.variant"] == "cpu" else "requirements-cuda.lock")
    lock.write_text(f"typing-extensions==4.12.2 --hash=sha256:{64 * '0'}\n")
    assert f"seedbed: {lock.name} could not be installed exactly" in said(build(checkout, "--progress=plain"))


def test_a_change_of_source_leaves_the_dependencies_alone(checkout: Path) -> None:
    (checkout / "src/seedbed/__init__.py").write_text("# another\n" + (ROOT / "src/seedbed/__init__.py").read_text())
    tag = f"seedbed-test:{os.getpid()}"
    assert build(checkout, f"--tag={tag}").returncode == 0
    try:
        ours, theirs = (layers(name) for name in (IMAGE, tag))
    finally:
        engine("rmi", tag)
    differ = [one != other for one, other in zip(ours, theirs, strict=True)]
    assert differ == [False, False, True, False]  # the base, the dependencies, Seedbed, /study


def layers(image: str) -> list[str]:
    found: list[str] = json.loads(engine("image", "inspect", "--format={{json .RootFS.Layers}}", image).stdout)
    return found


SLOW = (
    *("end_to_end", "test_pytest_plugin.py", "test_rerun.py", "test_hashseed.py", "test_traps.py"),
    *("test_noxfile.py", "test_sessions_*.py", "test_scaffold_*.py", "test_cli_scaffold.py"),
    *("test_portable_asked.py", "test_portable_elsewhere.py", "test_portable_gpu.py", "test_portable_opinfo.py"),
    *("test_portable_derivatives.py", "test_portable_suite.py"),
)
"""Tests of processes, more than of what is installed: they take minutes, and need an engine, a network or git."""


def test_the_tests_pass_inside(checkout: Path) -> None:
    """All but the slow ones (`SLOW`), in two processes: the libraries that the image has do what they do outside."""
    subprocess.run([shutil.which("chmod") or "chmod", "-R", "a+rwX", str(checkout.parent)], check=True)
    checkout.parent.parent.chmod(0o755)
    options = (
        "-q",
        "-p",
        "xdist",
        "--numprocesses=2",
        "-p",
        "no:cacheprovider",
        *(f"--ignore-glob=tests/{name}" for name in SLOW),
    )
    done = start("python", "-m", "pytest", *options, options=(f"--volume={checkout}:/study", "--env=CI"))
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"\d{4} passed", done.stdout)
