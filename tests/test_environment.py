"""What the machine, the interpreter and the libraries are, what is in force, and how two differ."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from seedbed import environment
from seedbed.environment import (
    Container,
    Cpu,
    Environment,
    Gpu,
    InForce,
    Library,
    Lock,
    NumpyFeatures,
    Python,
    Source,
    System,
    TorchBuild,
    describe,
    difference,
    in_force,
    libraries,
    lines,
    machine,
    no_cuda,
    numpy_features,
    process,
    read,
    software,
    whole,
)
from seedbed.errors import ConfigError
from seedbed.image import FOLDER, NAME, Image

replace = msgspec.structs.replace

IMAGE = Image(
    variant="cuda",
    base="python:3.11.7-slim-bookworm",
    base_digest="sha256:89ab",
    lock="requirements-cuda.lock",
    lock_sha256="ab" * 32,
    version="0.1.0",
    revision="cd" * 20,
    contents=f"sha256:{'0123456789abcdef' * 4}",
)
HERE = Environment(
    python=Python(version="3.11.7", implementation="CPython", compiler="GCC 12.2.0", pinned="3.11.7"),
    system=System(name="Linux", release="6.1.0", libc="glibc 2.36", machine="x86_64"),
    container=Container(kind="docker", image_digest="sha256:0123"),
    cpu=Cpu(
        model="AMD EPYC",
        vendor="AuthenticAMD",
        family=25,
        model_number=17,
        stepping=1,
        features=("avx", "avx2", "avx512f"),
        logical=4,
        physical=2,
        usable=3,
    ),
    memory=8 * 2**30,
    gpus=(Gpu(name="NVIDIA H100", memory=80 * 2**30, compute_capability="9.0", driver="580.65"),),
    packages={"numpy": "2.4.6", "torch": "2.13.0"},
    lock=Lock(file="requirements-cuda.lock", sha256="ab" * 32, broken={}),
    libraries={
        "numpy/openblas": Library(
            user_api="blas",
            internal_api="openblas",
            version="0.3.31",
            architecture="SkylakeX",
            threading_layer="pthreads",
            threads=2,
        )
    },
    numpy=NumpyFeatures(
        baseline=("X86_V2",), dispatch=("X86_V3", "X86_V4"), enabled=("X86_V3",), kernels=("X86_V3", "baseline")
    ),
    torch=TorchBuild(version="2.13.0", cuda="13.0", rocm=None, debug=False, commit="cf30", mkl="2024.2", cudnn=91002),
    variables={"OMP_NUM_THREADS": "2"},
    source=Source(commit="cd" * 20, clean=True),
)


def python(code: str, *flags: str, **environ: str) -> str:
    """Run code in a fresh interpreter with no variable of `VARIABLES` set but `environ`, and return what it prints."""
    kept = {name: value for name, value in os.environ.items() if name not in process.read_variables()}
    done = subprocess.run(
        [sys.executable, *flags, "-c", dedent(code)],
        env=kept | environ,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# The whole


def test_an_environment_comes_back_from_json() -> None:
    for found in (HERE, read()):
        assert msgspec.json.decode(msgspec.json.encode(found), type=Environment) == found


def test_an_environment_from_before_images_were_described_comes_back() -> None:
    document = msgspec.to_builtins(HERE)
    assert document["container"].pop("image") is None
    assert msgspec.convert(document, Environment) == HERE


def test_an_environment_in_an_image_comes_back_from_json() -> None:
    there = replace(HERE, container=replace(HERE.container, image=IMAGE))
    assert msgspec.json.decode(msgspec.json.encode(there), type=Environment) == there


def test_json_with_a_field_that_nobody_knows_is_refused() -> None:
    document = msgspec.to_builtins(HERE) | {"hostname": "x"}
    with pytest.raises(msgspec.ValidationError, match="hostname"):
        msgspec.convert(document, Environment)


def test_the_schema_has_every_field() -> None:
    schema = msgspec.json.schema(Environment)
    assert set(schema["$defs"]["Environment"]["required"]) == set(Environment.__struct_fields__)


def test_nothing_of_the_machine_s_or_its_user_s_name_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(Path.home() / "torch"))
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{sys.prefix}/lib:{tmp_path}")
    (tmp_path / "requirements.lock").write_text("numpy==0.1\n")
    text = msgspec.json.encode(read(load=True)).decode()
    folders = [str(Path.home()), str(tmp_path), sys.prefix, sys.base_prefix, f"/{getpass.getuser()}"]
    assert [word for word in (*folders, socket.gethostname()) if word != "/" and word in text] == []
    assert str(Path(np.__file__).parent) not in text
    assert json.loads(text)["variables"]["TORCH_HOME"] == "(a path)"


def test_torch_is_imported_only_when_asked_and_loading_changes_nothing_else() -> None:
    printed = python(
        """
        import sys
        from seedbed.environment import difference, read
        before = read()
        assert not {"torch", "numpy"} & sys.modules.keys()
        after = read(load=True)
        assert sys.modules["torch"].cuda.is_initialized() is False
        print(*sorted({path.partition(".")[0] for path in difference(before, after)}))
        """
    )
    assert printed == "libraries numpy torch"


# The machine

CPUINFO = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 106
model name\t: Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz
stepping\t: 6
flags\t\t: fpu smep sse4_2 sse2 avx512f fma avx2 vmx

processor\t: 1
vendor_id\t: another
flags\t\t: avx512_fp16
"""


def test_the_first_processor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO)
    cpu = machine.read_cpu(path)
    assert (cpu.model, cpu.vendor) == ("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", "GenuineIntel")
    assert (cpu.family, cpu.model_number, cpu.stepping) == (6, 106, 6)
    assert cpu.features == ("avx2", "avx512f", "fma", "sse2", "sse4_2")
    assert 1 <= cpu.usable <= cpu.logical


@pytest.mark.parametrize("text", [None, "processor\t: 0\nCPU implementer\t: 0x41\nFeatures\t: fp asimd sve\n"])
def test_where_the_kernel_names_no_model_py_cpuinfo_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    said = {"brand_raw": "Neoverse-V1", "flags": ["fp", "sve", "asimd"]}
    monkeypatch.setitem(sys.modules, "cpuinfo", SimpleNamespace(get_cpu_info=lambda: said))
    cpu = machine.read_cpu(path)
    assert (cpu.model, cpu.vendor, cpu.features) == ("Neoverse-V1", "", ("asimd", "sve"))
    assert (cpu.family, cpu.model_number, cpu.stepping) == (None, None, None)


def test_the_usable_cores_are_the_affinity_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 3, 5}, raising=False)
    assert (machine.read_cpu().logical, machine.read_cpu().usable) == (8, 3)


def test_without_affinity_every_core_is_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert machine.read_cpu().usable == 8


def test_the_memory_is_in_bytes() -> None:
    assert machine.read_memory() > 2**28


@pytest.fixture
def no_container(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("container", "KUBERNETES_SERVICE_HOST", machine.IMAGE_DIGEST_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_container")
def test_outside_a_container(tmp_path: Path) -> None:
    assert machine.read_container(tmp_path) == Container(kind="none", image_digest=None)


@pytest.mark.usefixtures("no_container")
@pytest.mark.parametrize(
    ("mark", "kind"), [(".dockerenv", "docker"), ("run/.containerenv", "podman"), (".singularity.d", "apptainer")]
)
def test_a_container_is_known_by_its_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str, kind: machine.ContainerKind
) -> None:
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).touch()
    monkeypatch.setenv("SEEDBED_IMAGE_DIGEST", "sha256:0123")
    assert machine.read_container(tmp_path) == Container(kind=kind, image_digest="sha256:0123")


@pytest.mark.usefixtures("no_container")
@pytest.mark.parametrize("name", ["container", "KUBERNETES_SERVICE_HOST"])
def test_any_other_container_is_known_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "lxc")
    assert machine.read_container(tmp_path).kind == "other"


def say_image(root: Path, image: Image = IMAGE) -> None:
    """Make `root` the root of an image that says so of itself."""
    (root / FOLDER).mkdir(parents=True)
    (root / FOLDER / NAME).write_bytes(msgspec.json.encode(image))


@pytest.mark.usefixtures("no_container")
@pytest.mark.parametrize(("mark", "kind"), [(".dockerenv", "docker"), ("unknown", "other")])
def test_an_image_says_what_it_is_however_it_was_started(
    tmp_path: Path, mark: str, kind: machine.ContainerKind
) -> None:
    (tmp_path / mark).touch()
    say_image(tmp_path)
    assert machine.read_container(tmp_path) == Container(kind=kind, image_digest=None, image=IMAGE)


def test_an_image_that_was_damaged_is_refused(tmp_path: Path) -> None:
    say_image(tmp_path)
    (tmp_path / FOLDER / NAME).write_text("{")
    with pytest.raises(ConfigError, match=r"opt/seedbed/image\.json: expected what the build wrote, found: "):
        machine.read_container(tmp_path)


class FakeNvml:
    """The few functions of `pynvml` that are used, for a driver with these GPUs, or without a driver."""

    class NVMLError(Exception):
        """As pynvml's."""

    def __init__(self, *gpus: dict[str, Any], driver: bool = True, version: str = "580.65") -> None:
        self.gpus = gpus
        self.driver = driver
        self.version = version
        self.open = 0

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.driver:
            raise self.NVMLError
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return self.version

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:  # noqa: N802
        return self.gpus[index]

    def nvmlDeviceGetName(self, gpu: dict[str, Any]) -> Any:  # noqa: N802
        return self.say(gpu, "name")

    def nvmlDeviceGetMemoryInfo(self, gpu: dict[str, Any]) -> Any:  # noqa: N802
        return SimpleNamespace(total=self.say(gpu, "memory"))

    def nvmlDeviceGetCudaComputeCapability(self, gpu: dict[str, Any]) -> Any:  # noqa: N802
        return self.say(gpu, "capability")

    def say(self, gpu: dict[str, Any], what: str) -> Any:
        if what not in gpu:
            raise self.NVMLError
        return gpu[what]


H100 = {"name": "NVIDIA H100", "memory": 80 * 2**30, "capability": (9, 0)}


def test_the_gpus_are_those_that_the_driver_names(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml(H100, {"name": "NVIDIA GB10", "capability": (12, 1)})
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert machine.read_gpus() == (
        Gpu(name="NVIDIA H100", memory=80 * 2**30, compute_capability="9.0", driver="580.65"),
        Gpu(name="NVIDIA GB10", memory=None, compute_capability="12.1", driver="580.65"),
    )
    assert nvml.open == 0


def test_a_gpu_that_does_not_answer_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml({}))
    (gpu,) = machine.read_gpus()
    assert (gpu.name, gpu.memory, gpu.compute_capability) == (None, None, None)


@pytest.mark.parametrize("nvml", [FakeNvml(H100, driver=False), FakeNvml()], ids=["no driver", "no GPU"])
def test_without_a_driver_or_a_gpu_there_are_none(monkeypatch: pytest.MonkeyPatch, nvml: FakeNvml) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert machine.read_gpus() == ()


@pytest.mark.gpu
@pytest.mark.skipif(bool(no_cuda()), reason=str(no_cuda()))
def test_the_driver_and_torch_name_the_same_gpu() -> None:
    capability = "{}.{}".format(*torch.cuda.get_device_capability(0))
    assert (torch.cuda.get_device_name(0), capability) in [
        (gpu.name, gpu.compute_capability) for gpu in machine.read_gpus()
    ]


CPU_BUILD = TorchBuild(version="2.13.0+cpu", cuda=None, rocm=None, debug=False, commit=None)
CUDA_BUILD = replace(CPU_BUILD, version="2.13.0", cuda="13.0")


@pytest.mark.parametrize(
    ("build", "nvml", "visible", "reason"),
    [
        (None, FakeNvml(H100), None, "torch is not installed"),
        (CPU_BUILD, FakeNvml(H100), None, "torch 2.13.0+cpu is built without CUDA"),
        (CUDA_BUILD, FakeNvml(driver=False), None, "there is no NVIDIA GPU, or no driver for it"),
        (CUDA_BUILD, FakeNvml(H100), "", "CUDA_VISIBLE_DEVICES='' hides every GPU"),
        (CUDA_BUILD, FakeNvml(H100), "-1", "CUDA_VISIBLE_DEVICES='-1' hides every GPU"),
        (CUDA_BUILD, FakeNvml(H100), "0", None),
        (CUDA_BUILD, FakeNvml(H100), None, None),
        (
            CUDA_BUILD,
            FakeNvml(H100, version="535.183.01"),
            None,
            "driver 535.183.01, but torch 2.13.0 (CUDA 13.0) needs 580 or newer",
        ),
    ],
)
def test_it_says_why_nothing_can_run_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, build: TorchBuild | None, nvml: FakeNvml, visible: str | None, reason: str | None
) -> None:
    monkeypatch.setattr(whole, "read_torch", lambda: build)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert no_cuda() == reason


def test_a_driver_that_cuda_has_started_with_is_new_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "read_torch", lambda: CUDA_BUILD)
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(H100, version="535.183.01"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert str(no_cuda()).startswith("driver 535.183.01, but")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert no_cuda() is None


def test_why_a_gpu_cannot_be_used_is_said_before_torch_is_imported() -> None:
    printed = python(
        """
        import sys
        from types import SimpleNamespace
        from seedbed import environment
        from seedbed.environment import Gpu, TorchBuild, whole
        build = TorchBuild(version="2.13.0", cuda="13.0", rocm=None, debug=False, commit=None)
        whole.read_torch = lambda: build
        whole.read_gpus = lambda: (Gpu(name=None, memory=None, compute_capability=None, driver="535.10"),)
        print(environment.no_cuda(), "torch" in sys.modules)
        """
    )
    assert printed == "driver 535.10, but torch 2.13.0 (CUDA 13.0) needs 580 or newer False"


@pytest.mark.parametrize(
    ("gpus", "build"),
    [((), CUDA_BUILD), (HERE.gpus, CUDA_BUILD), (HERE.gpus, CPU_BUILD), (HERE.gpus, replace(CUDA_BUILD, cuda="14.0"))],
)
def test_a_driver_that_will_do_or_that_nobody_knows_is_not_called_old(gpus: tuple[Gpu, ...], build: TorchBuild) -> None:
    assert environment.old_driver(build, gpus) is None


# What is installed

LOCK = """\
# This file was autogenerated by uv
msgspec==0.0.1 \\
    --hash=sha256:0123
    # via seedbed
Not_There.yaml==1.2.3
numpy[extra]=={numpy} ; python_version >= "3.11"
"""


def test_a_lock_is_held_against_what_is_installed(tmp_path: Path) -> None:
    text = LOCK.format(numpy=np.__version__)
    (tmp_path / "requirements.lock").write_text(text)
    found = read(tmp_path)
    assert found.lock is not None
    assert (found.lock.file, found.lock.sha256) == ("requirements.lock", sha256(text.encode()).hexdigest())
    assert found.lock.broken == {"msgspec": ("0.0.1", msgspec.__version__), "not-there-yaml": ("1.2.3", None)}
    assert found.packages == {"msgspec": msgspec.__version__, "numpy": np.__version__}


def test_a_lock_that_is_installed_is_not_broken(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text(f"numpy=={np.__version__} \\\n")
    assert software.read_lock(tmp_path / "requirements.lock")[0].broken == {}


def test_without_a_lock_the_packages_are_those_that_seedbed_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "_IMAGE", tmp_path)  # these tests run in an image too
    found = read(tmp_path)
    assert found.lock is None
    assert found.packages["numpy"] == np.__version__
    assert set(found.packages) <= set(software.DEPENDENCIES)


def test_the_dependencies_are_those_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert list(software.DEPENDENCIES) == [name.partition(">=")[0] for name in project["dependencies"]]


@pytest.mark.parametrize(
    ("files", "cuda", "expected"),
    [
        (["requirements.lock", "requirements-cuda.lock"], False, "requirements.lock"),
        (["requirements.lock", "requirements-cuda.lock"], True, "requirements-cuda.lock"),
        (["requirements.lock"], True, "requirements.lock"),
        (["requirements-cuda.lock"], False, None),
    ],
)
def test_the_lock_is_that_of_the_torch_installed(
    tmp_path: Path,
    files: list[str],
    cuda: bool,
    expected: str | None,
) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert software.find_lock(tmp_path, cuda=cuda) == (expected and tmp_path / expected)


@pytest.mark.parametrize(("text", "pinned"), [("3.11.7\n", "3.11.7"), ("3.11.7\n3.12.1\n", "3.11.7"), ("\n", None)])
def test_the_pinned_interpreter_is_the_first_named(tmp_path: Path, text: str, pinned: str | None) -> None:
    (tmp_path / ".python-version").write_text(text)
    assert software.read_python(software.find_python(tmp_path)).pinned == pinned


def test_without_a_python_version_file_nothing_is_pinned(tmp_path: Path) -> None:
    found = software.read_python(software.find_python(tmp_path))
    assert (found.version, found.pinned) == ("{}.{}.{}".format(*sys.version_info), None)


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an image, with what it was made from; the project's own is `tmp_path` / "study"."""
    folder = tmp_path / "image"
    folder.mkdir()
    (tmp_path / "study").mkdir()
    (folder / ".python-version").write_text("3.11.7\n")
    (folder / "requirements.lock").write_text(f"numpy=={np.__version__}\nmsgspec==0.0.1\n")
    monkeypatch.setattr(whole, "_IMAGE", folder)
    return folder


def test_where_a_project_pins_nothing_its_image_does(image: Path, tmp_path: Path) -> None:
    found = read(tmp_path / "study")
    assert found.python.pinned == "3.11.7"
    assert found.lock is not None
    assert found.lock.file == "requirements.lock"
    assert found.lock.broken == {"msgspec": ("0.0.1", msgspec.__version__)}
    assert found.packages == {"msgspec": msgspec.__version__, "numpy": np.__version__}


def test_a_project_s_own_pins_come_before_its_image_s(image: Path, tmp_path: Path) -> None:
    (tmp_path / "study" / ".python-version").write_text("3.12.1\n")
    (tmp_path / "study" / "requirements.lock").write_text(f"msgspec=={msgspec.__version__}\n")
    found = read(tmp_path / "study")
    assert found.python.pinned == "3.12.1"
    assert found.lock is not None
    assert (found.lock.broken, found.packages) == ({}, {"msgspec": msgspec.__version__})


@pytest.mark.parametrize(
    ("cuda", "expected"), [("13.0", "requirements-cuda.lock"), (None, None)], ids=["CUDA build", "CPU build"]
)
def test_the_image_s_lock_is_that_of_the_torch_installed(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: str | None, expected: str | None
) -> None:
    (image / "requirements.lock").rename(image / "requirements-cuda.lock")
    monkeypatch.setattr(whole, "read_torch", lambda: replace(CUDA_BUILD, cuda=cuda))
    lock = read(tmp_path / "study").lock
    assert (lock and lock.file) == expected


def test_an_image_has_its_pins_where_it_has_its_description() -> None:
    assert Path("/opt/seedbed/image.json") == whole._IMAGE / NAME


# The commit

Git = Callable[..., None]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Run git in `tmp_path`, out of reach of any repository around it and of the user's settings."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # set where a git hook runs the tests
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    program = shutil.which("git") or pytest.skip("there is no git")

    def run(*arguments: str) -> None:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        subprocess.run([program, "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    return run


def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_commit_and_whether_the_tree_is_clean(tmp_path: Path, git: Git) -> None:
    git("init")
    (tmp_path / "a").touch()
    git("add", "a")
    git("commit", "-m", "first")
    clean = software.read_source(tmp_path)
    assert clean is not None
    assert (len(clean.commit), clean.clean) == (40, True)
    (tmp_path / "untracked").touch()
    assert software.read_source(tmp_path) == replace(clean, clean=False)


def test_before_the_first_commit_there_is_none(tmp_path: Path, git: Git) -> None:
    git("init")
    assert software.read_source(tmp_path) is None


@pytest.mark.usefixtures("git")
def test_outside_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    assert software.read_source(tmp_path) is None


def test_without_git_there_is_no_commit(tmp_path: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init")
    git("commit", "--allow-empty", "-m", "first")
    assert software.read_source(tmp_path) is not None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert software.read_source(tmp_path) is None


def test_a_git_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr(software, "GIT_SECONDS", 0.05)
    assert software.read_source(tmp_path) is None


def test_where_only_the_status_fails_the_commit_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git(tmp_path, monkeypatch, 'case "$*" in *porcelain*) exit 1;; *) echo 0123;; esac')
    assert software.read_source(tmp_path) == Source(commit="0123", clean=None)


# The libraries


def pool(filepath: str, internal_api: str = "openblas", **more: object) -> dict[str, object]:
    """One library as threadpoolctl tells of it."""
    said = {"user_api": "blas", "internal_api": internal_api, "prefix": Path(filepath).name.partition(".")[0]}
    return said | {"filepath": filepath, "version": "0.3.31", "num_threads": 2} | more


def test_libraries_are_named_by_whose_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        pool("/v/lib/python3.11/site-packages/torch/lib/libgomp.so.1", "openmp", version=None),
        pool("/v/lib/python3.11/site-packages/numpy.libs/libscipy_openblas64_-0.so", architecture="Zen"),
        pool("/usr/lib/libopenblas.so.0", threading_layer="pthreads"),
    ]
    monkeypatch.setattr(libraries, "threadpool_info", lambda: said)
    found = libraries.read_libraries()
    assert set(found) == {"torch/openmp", "numpy/openblas", "openblas"}
    assert (found["numpy/openblas"].architecture, found["numpy/openblas"].threading_layer) == ("Zen", None)
    assert (found["openblas"].architecture, found["openblas"].threading_layer) == (None, "pthreads")
    assert (found["torch/openmp"].version, found["torch/openmp"].threads) == (None, 2)


def test_two_libraries_of_one_owner_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [pool("/env/lib/libiomp5.so", "openmp"), pool("/env/lib/libgomp.so.1", "openmp")]
    monkeypatch.setattr(libraries, "threadpool_info", lambda: said)
    assert list(libraries.read_libraries()) == ["openmp", "openmp (libiomp5)"]


def test_numpy_s_features_are_those_of_its_configuration() -> None:
    found = numpy_features()
    assert set(found.enabled) <= set(found.dispatch)
    assert not set(found.baseline) & set(found.dispatch)
    assert found.kernels


def test_disabling_all_that_numpy_can_do_without_leaves_the_baseline() -> None:
    names = " ".join(numpy_features().dispatch)
    code = """
        import numpy
        from seedbed.environment import in_force, numpy_features
        found = numpy_features()
        print(found.enabled, found.kernels, in_force().isa["numpy kernels"])
    """
    # As an error: NumPy warns where a name means nothing to it.
    assert python(code, "-W", "error::ImportWarning", NPY_DISABLE_CPU_FEATURES=names) == "() ('baseline',) baseline"


def test_numpy_is_not_told_of_where_it_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert libraries.read_numpy() == numpy_features()
    monkeypatch.delitem(sys.modules, "numpy")
    assert libraries.read_numpy() is None


def test_the_build_of_the_torch_that_is_loaded() -> None:
    build = libraries.read_torch()
    assert build is not None
    assert (build.version, build.cuda) == (torch.__version__, torch.version.cuda)
    assert build.onednn is not None
    assert (build.cudnn is None) is (torch.version.cuda is None)


def test_torch_that_is_not_loaded_says_only_what_its_version_file_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('torch was imported')")
    (package / "version.py").write_text(
        "__version__ = '2.11.0'\ndebug = True\ncuda: str | None = '12.8'\ngit_version = '70d9'\nhip = None\n"
    )
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.syspath_prepend(tmp_path)
    assert libraries.read_torch() == TorchBuild(version="2.11.0", cuda="12.8", rocm=None, debug=True, commit="70d9")


@pytest.mark.parametrize("spec", [None, SimpleNamespace(origin=None)], ids=["absent", "a folder named torch"])
def test_without_torch_there_is_no_build(monkeypatch: pytest.MonkeyPatch, spec: object) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda _name: spec)
    assert libraries.read_torch() is None


def test_a_configuration_of_torch_is_read() -> None:
    # From `torch.__config__.show()` of torch 2.13.0+cpu, shortened.
    text = """\
PyTorch built with:
  - GCC 13.3
  - C++ Version: 202002
  - Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 20240605 for Intel(R) 64 architecture applications
  - Intel(R) MKL-DNN v3.12.0 (Git Hash 80afa71049cd69a3df32adcccb623b12cd7baa22)
  - Build settings: BLAS_INFO=mkl, BUILD_TYPE=Release, LAPACK_INFO=mkl
"""
    assert libraries.parse_configuration(text) == {
        "compiler": "GCC 13.3",
        "blas": "mkl",
        "mkl": "2024.2",
        "onednn": "3.12.0",
    }


def test_a_configuration_that_names_nothing_is_none() -> None:
    assert set(libraries.parse_configuration("PyTorch built with:\n").values()) == {None}


def test_a_cudnn_that_torch_refuses_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise RuntimeError("cuDNN version incompatibility")

    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    assert _cudnn_of_torch() == 91002
    monkeypatch.setattr(torch.backends.cudnn, "version", refuse)
    assert _cudnn_of_torch() is None


def _cudnn_of_torch() -> int | None:
    build = libraries.read_torch()
    assert build is not None
    return build.cudnn


# What is in force


def test_variables_that_change_bits_are_read_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("HOME_ADDRESS", "private")
    monkeypatch.delenv("MKL_CBWR", raising=False)
    found = process.read_variables()
    assert (found["OMP_NUM_THREADS"], found["ONEDNN_MAX_CPU_ISA"]) == ("3", "AVX2")
    assert not {"HOME_ADDRESS", "MKL_CBWR"} & found.keys()
    assert list(found) == sorted(found)


def test_neither_numpy_nor_torch_is_imported_to_say_what_is_in_force() -> None:
    printed = python(
        """
        import sys
        from seedbed.environment import in_force
        print(in_force(), {"torch", "numpy"} & sys.modules.keys())
        """
    )
    assert printed == "InForce(threads={}, isa={}, hashseed='random') set()"


@pytest.fixture
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_threads_are_those_that_took_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")  # too late: torch is loaded
    assert in_force().threads["torch"] == 1
    torch.set_num_threads(2)
    assert in_force().threads["torch"] == 2


def test_instruction_sets_are_those_that_took_effect() -> None:
    isa = in_force().isa
    assert isa["aten"] == torch.backends.cpu.get_cpu_capability()
    assert isa["numpy"].split() == list(numpy_features().enabled)
    assert isa["numpy kernels"].split() == list(numpy_features().kernels)


@pytest.mark.parametrize(
    ("parallel_info", "threads"),
    [("\tmkl_get_max_threads() : 4\n", {"torch": 8, "mkl": 4}), ("\tomp_get_max_threads() : 8\n", {"torch": 8})],
    ids=["MKL", "no MKL"],
)
def test_mkl_inside_torch_is_asked_through_torch(
    monkeypatch: pytest.MonkeyPatch, parallel_info: str, threads: dict[str, int]
) -> None:
    fake = SimpleNamespace(
        get_num_threads=lambda: 8,
        __config__=SimpleNamespace(parallel_info=lambda: parallel_info),
        backends=SimpleNamespace(cpu=SimpleNamespace(get_cpu_capability=lambda: "AVX2")),
    )
    blas = pool("/usr/lib/libopenblas.so.0", architecture="Haswell")
    with monkeypatch.context() as patch:  # only so long: pytest plugins seed the torch that they find
        patch.setitem(sys.modules, "torch", fake)
        patch.setattr(libraries, "threadpool_info", lambda: [blas])
        found = in_force()
    assert found.threads == {"openblas": 2} | threads
    assert (found.isa["openblas"], found.isa["aten"]) == ("Haswell", "AVX2")


@pytest.mark.parametrize(
    ("environ", "flags", "hashseed"),
    [
        ({}, (), "random"),
        ({"PYTHONHASHSEED": "0"}, (), "0"),
        ({"PYTHONHASHSEED": "42"}, (), "42"),
        ({"PYTHONHASHSEED": "random"}, (), "random"),
        ({"PYTHONHASHSEED": "42"}, ("-I",), "random"),
        ({"PYTHONHASHSEED": "42"}, ("-R",), "random"),
    ],
)
def test_the_hash_seed_is_the_one_in_force(environ: dict[str, str], flags: tuple[str, ...], hashseed: str) -> None:
    code = "from seedbed.environment import in_force; print(in_force().hashseed, hash('seedbed'))"
    (found, first), (_, second) = (python(code, *flags, **environ).split() for _ in range(2))
    assert found == hashseed
    assert (first != second) is (hashseed == "random")


@pytest.mark.parametrize("start", [None, "7"])
@pytest.mark.parametrize("late", ["0", "42"])
def test_a_hash_seed_set_after_the_start_is_void(start: str | None, late: str) -> None:
    code = f"""
        import os
        os.environ["PYTHONHASHSEED"] = "{late}"
        from seedbed.environment import in_force
        print(in_force().hashseed)
    """
    assert python(code, **{} if start is None else {"PYTHONHASHSEED": start}) == (start or "random")


def test_what_is_in_force_comes_back_from_json() -> None:
    found = in_force()
    assert msgspec.json.decode(msgspec.json.encode(found), type=InForce) == found


# The difference


def test_an_environment_does_not_differ_from_itself() -> None:
    assert difference(HERE, HERE) == {}
    assert difference(read(), read()) == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"packages": {"numpy": "2.5.1", "torch": "2.13.0"}}, {"packages.numpy": ("2.4.6", "2.5.1")}),
        ({"packages": {"numpy": "2.4.6"}}, {"packages.torch": ("2.13.0", None)}),
        (
            {"variables": {"MKL_CBWR": "AVX2"}},
            {"variables.MKL_CBWR": (None, "AVX2"), "variables.OMP_NUM_THREADS": ("2", None)},
        ),
        ({"cpu": replace(HERE.cpu, stepping=2)}, {"cpu.stepping": (1, 2)}),
        ({"gpus": (replace(HERE.gpus[0], driver="570"),)}, {"gpus.0.driver": ("580.65", "570")}),
        ({"gpus": ()}, {"gpus.0": (msgspec.to_builtins(HERE.gpus[0]), None)}),
        ({"lock": None}, {"lock": (msgspec.to_builtins(HERE.lock), None)}),
        (
            {"container": replace(HERE.container, image=IMAGE)},
            {"container.image": (None, msgspec.to_builtins(IMAGE))},
        ),
        (
            {"libraries": {"numpy/openblas": replace(HERE.libraries["numpy/openblas"], threads=1)}},
            {"libraries.numpy/openblas.threads": (2, 1)},
        ),
    ],
)
def test_only_what_differs_is_named(change: dict[str, Any], expected: dict[str, tuple[object, object]]) -> None:
    there = replace(HERE, **change)
    assert difference(HERE, there) == expected
    assert difference(there, HERE) == {path: (b, a) for path, (a, b) in expected.items()}


def test_of_two_images_only_what_differs_is_named() -> None:
    one = replace(HERE, container=replace(HERE.container, image=IMAGE))
    two = replace(HERE, container=replace(HERE.container, image=replace(IMAGE, revision=None, version="0.2.0")))
    assert describe(difference(one, two)) == [
        f"container.image.revision: {'cd' * 20} | none",
        "container.image.version: 0.1.0 | 0.2.0",
    ]


def test_a_difference_is_said_in_a_line() -> None:
    there = replace(
        HERE,
        cpu=replace(HERE.cpu, features=("avx", "fma", "sse2")),
        gpus=(),
        memory=2**30,
        packages=HERE.packages | {"numpy": "2.5.1"},
        numpy=None,
        source=Source(commit="cd" * 20, clean=False),
    )
    assert describe(difference(HERE, there)) == [
        "cpu.features: avx2 avx512f | fma sse2",
        "gpus.0: name NVIDIA H100, memory 85899345920, compute_capability 9.0, driver 580.65 | none",
        "memory: 8589934592 | 1073741824",
        "numpy: none | none",
        "packages.numpy: 2.4.6 | 2.5.1",
        "source.clean: True | False",
    ]


def test_a_long_difference_is_cut_short() -> None:
    there = replace(HERE, variables=HERE.variables | {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2 " * 20})
    (line,) = describe(difference(HERE, there))
    assert line.startswith("variables.GLIBC_TUNABLES: none | glibc.cpu.hwcaps=-AVX2")
    assert line.endswith(" ...")
    assert len(line) < 120


# The text


def test_an_environment_is_said_in_lines() -> None:
    assert dict(lines(HERE)) == {
        "python": "CPython 3.11.7, GCC 12.2.0",
        "system": "Linux 6.1.0, glibc 2.36, x86_64",
        "container": "docker, sha256:0123",
        "cpu": "AMD EPYC, AuthenticAMD, 3 of 4 logical cores usable, avx avx2 avx512f",
        "memory": "8.0 GiB",
        "gpu": "NVIDIA H100, 80 GiB, compute capability 9.0, driver 580.65",
        "lock": "requirements-cuda.lock (sha256 abababababab), as installed",
        "packages": "numpy 2.4.6, torch 2.13.0",
        "numpy/openblas": "0.3.31, SkylakeX, pthreads, threads: 2",
        "numpy": "kernels: X86_V3 baseline",
        "torch": "2.13.0, CUDA 13.0, cuDNN 91002, MKL 2024.2",
        "variables": "OMP_NUM_THREADS=2",
        "source": "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd, clean",
    }


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "cuda image of commit cdcdcdcdcdcd on python:3.11.7-slim-bookworm@sha256:89ab, contents 0123456789ab"),
        (
            {"revision": f"{'cd' * 20}-dirty", "base_digest": None, "variant": "cpu"},
            "cpu image of commit cdcdcdcdcdcd-dirty on python:3.11.7-slim-bookworm, contents 0123456789ab",
        ),
        (
            {"revision": None},
            "cuda image of no known commit on python:3.11.7-slim-bookworm@sha256:89ab, contents 0123456789ab",
        ),
    ],
)
def test_an_image_is_said_in_a_line(changed: dict[str, Any], expected: str) -> None:
    there = replace(HERE, container=replace(HERE.container, image=replace(IMAGE, **changed)))
    assert dict(lines(there))["container"] == f"docker, sha256:0123, {expected}"
    unknown = replace(there, container=replace(there.container, image_digest=None))
    assert dict(lines(unknown))["container"] == f"docker, {expected}"


def test_what_is_missing_or_wrong_is_said() -> None:
    there = replace(
        HERE,
        python=replace(HERE.python, pinned="3.12.1"),
        cpu=replace(HERE.cpu, model="", vendor="", features=()),
        gpus=(Gpu(name=None, memory=None, compute_capability=None, driver=None),),
        lock=Lock(file="requirements.lock", sha256="ab" * 32, broken={"a": ("1", "2"), "b": ("1", None)}),
        numpy=None,
        torch=None,
        variables={},
        source=Source(commit="cd", clean=False),
    )
    said = dict(lines(there))
    assert said["python"] == "CPython 3.11.7, GCC 12.2.0, .python-version asks for 3.12.1"
    assert said["cpu"] == "unknown, 3 of 4 logical cores usable"
    assert said["gpu"] == "does not answer"
    assert said["lock"] == (
        "requirements.lock (sha256 abababababab), not as installed: a 1 (installed: 2), b 1 (installed: none)"
    )
    assert (said["numpy"], said["torch"], said["variables"]) == ("not loaded", "not installed", "none")
    assert said["source"] == "cd, not clean"


def test_no_lock_and_no_commit_are_said() -> None:
    said = dict(lines(replace(HERE, lock=None, source=None, torch=replace(CPU_BUILD, debug=True))))
    assert (said["lock"], said["source"], said["torch"]) == ("none", "none", "2.13.0+cpu, a debug build")
    unknown = replace(HERE, source=Source(commit="cd", clean=None))
    assert dict(lines(unknown))["source"] == "cd, state unknown"


def test_all_that_is_public_is_there() -> None:
    assert [name for name in environment.__all__ if not hasattr(environment, name)] == []
