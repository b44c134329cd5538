"""Our own noxfile, locks and Dockerfile. What the sessions are made of has its tests in test_sessions_*.py."""

import re
from pathlib import Path
from unittest.mock import MagicMock

import noxfile
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import seedbed
from seedbed.sessions import CPU_LOCK, CUDA_LOCK, group
from seedbed.sessions.locks import EXCLUDE_NEWER, UV, pins
from seedbed.sessions.project import pyproject, python_version
from tests.fake_nox import StoppedError, fake_session

ROOT = Path(noxfile.__file__).parent
LOCKS = (CPU_LOCK, CUDA_LOCK)


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nox runs a noxfile where it lies."""
    monkeypatch.chdir(ROOT)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def wanted() -> set[str]:
    """The names in requirements.in."""
    return {
        canonicalize_name(Requirement(line).name) for line in read("requirements.in").splitlines() if line[:1].isalpha()
    }


def declared() -> list[Requirement]:
    """What pyproject.toml says that Seedbed needs: to run, with all extras, to be built, to be tested."""
    project = pyproject()
    texts = (
        project["project"]["dependencies"]
        + [text for extra in project["project"].get("optional-dependencies", {}).values() for text in extra]
        + project["build-system"]["requires"]
        + project["dependency-groups"]["test"]
        + project["dependency-groups"]["image"]
    )
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_hashes_everywhere(name: str) -> None:
    for package, (version, hashes) in pins(read(name)).items():
        assert hashes, f"{package}=={version} has no hash"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for digest in hashes), package


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_no_address_and_no_path(name: str) -> None:
    assert not re.search(r"://|index-url|find-links|trusted-host|(^|\s)/", read(name))


def test_locks_have_their_own_torch() -> None:
    cpu, cuda = (pins(read(name)) for name in LOCKS)
    assert cpu["torch"][0] == "2.13.0+cpu"
    assert cuda["torch"][0] == "2.13.0"
    assert not cpu["torch"][1] & cuda["torch"][1]


def test_locks_agree_but_for_torch_and_cuda() -> None:
    cpu, cuda = (pins(read(name)) for name in LOCKS)
    assert {name for name in cpu if cuda.get(name) != cpu[name]} == {"torch"}
    extra = {name for name in cuda if name not in cpu}
    assert {"triton", "nvidia-cublas"} <= extra
    assert all(name.startswith(("nvidia-", "cuda-", "triton")) for name in extra)


def test_requirements_in_has_what_pyproject_declares_and_no_more() -> None:
    assert wanted() == {canonicalize_name(requirement.name) for requirement in declared()}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_satisfies_pyproject(name: str) -> None:
    pinned = pins(read(name))
    for requirement in declared():
        version = pinned[canonicalize_name(requirement.name)][0]
        assert requirement.specifier.contains(version), f"{requirement} is not met by {version}"


def test_requirements_in_has_one_date_and_one_torch() -> None:
    assert len(EXCLUDE_NEWER.findall(read("requirements.in"))) == 1
    assert re.findall(r"^torch.*$", read("requirements.in"), re.MULTILINE) == ["torch==2.13.0"]


def test_projects_write_their_locks_as_we_do() -> None:
    assert group("lock") == (UV,)


@pytest.mark.parametrize("there", [True, False])
def test_without_an_engine_the_image_is_skipped(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.delenv("DOCKER", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: name if there else None)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: MagicMock(returncode=1))
    with pytest.raises(StoppedError, match=r"no container engine answers \(docker and podman\): install Docker"):
        noxfile.build_and_try(fake_session(), "cpu")


@pytest.mark.parametrize(
    ("user", "apt_get", "as_it_is"), [(0, True, False), (0, False, False), (1000, True, False), (0, True, True)]
)
def test_without_octave_root_installs_it_where_that_goes_and_else_its_tests_are_skipped(
    monkeypatch: pytest.MonkeyPatch, user: int, apt_get: bool, as_it_is: bool
) -> None:
    session = fake_session()
    session._runner.global_config.no_install = as_it_is  # nox -R
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr("shutil.which", lambda name: name if name == "apt-get" and apt_get else None)
    with pytest.raises(
        StoppedError, match="no octave-cli on the PATH: as root, `apt-get install octave gcc libc6-dev`"
    ):
        noxfile.octave(session)
    commands = [call.args[2] for call in session.run.call_args_list if call.args[0] == "apt-get"]
    assert commands == (["update", "install"] if user == 0 and apt_get and not as_it_is else [])


def test_with_octave_its_tests_are_run_and_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    session = fake_session()
    session.posargs.append("-x")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr(noxfile, "environment", lambda _, lock: f"python of {lock}")
    noxfile.octave(session)
    ((command, _),) = session.run.call_args_list
    assert command[:3] == (f"python of {CPU_LOCK}", "-m", "pytest")
    assert command[-1] == "-x"
    assert {Path(name).name for name in command[3:-1]} >= {"test_octave.py", "test_octave_solvers.py"}


def test_ci_installs_the_same_packages_for_octave() -> None:
    assert f"--no-install-recommends {' '.join(noxfile.OCTAVE_PACKAGES)};" in read(".ci/run")


def test_the_dockerfile_has_the_projects_own_versions() -> None:
    dockerfile = read("Dockerfile")
    (base,) = re.findall(r"^ARG BASE=(\S+)", dockerfile, re.MULTILINE)
    assert base == f"docker.io/library/python:{python_version()}-slim-bookworm"
    assert set(re.findall(r"^ARG VERSION=(\S+)", dockerfile, re.MULTILINE)) == {seedbed.__version__}
    (digest,) = re.findall(r"^ARG BASE_DIGEST=(\S+)", dockerfile, re.MULTILINE)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert f"PYTHONHASHSEED={seedbed.DEFAULT_SEED}" in dockerfile


# The locks of the project start


def test_a_projects_lock_takes_our_hashes_for_the_packages_that_we_have() -> None:
    ours = "numpy==2.4.6 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via scipy\n"
    fresh = (
        "numpy==2.4.6 \\\n    --hash=sha256:aa\n    # via -r requirements.in\ntabulate==0.9 \\\n    --hash=sha256:cc\n"
    )
    expected = fresh.replace("sha256:aa\n", "sha256:aa \\\n    --hash=sha256:bb\n")
    assert noxfile.aligned(fresh, ours) == expected
    assert noxfile.aligned(fresh, ours.replace("2.4.6", "2.4.5")) == fresh


def test_seedbeds_own_pin_is_left_to_be_filled_in() -> None:
    fresh = (
        "scipy==1.17 \\\n    --hash=sha256:aa\nseedbed==0.1.0 \\\n    --hash=sha256:0b\n    # via -r requirements.in\n"
    )
    blank = noxfile.blank(fresh)
    assert blank.startswith(
        "scipy==1.17 \\\n    --hash=sha256:aa\nseedbed=={{ cookiecutter.__seedbed }} \\\n    --hash=sha256:{%"
    )
    assert blank.endswith("%}\n    # via -r requirements.in\n")


def test_the_committed_locks_of_projects_are_ready_to_be_filled_in() -> None:
    for lock in LOCKS:
        text = Path(noxfile.TREE, lock).read_text(encoding="utf-8")
        assert f"seedbed=={noxfile.VERSION_MARK} \\\n    --hash=sha256:{noxfile.DIGEST_MARK}\n" in text
        assert text.startswith("--find-links vendor\n")
