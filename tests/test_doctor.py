"""What would break a rerun: each status of each line, and what to do. Late settings are real ones, in a new process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace as replaced
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from rich.console import Console

from seedbed import environment
from seedbed.determinism import Flags, deterministic, in_force, set_flags
from seedbed.doctor import Finding, cpu, cuda, examine, finding, process, project, render, start, summarise
from seedbed.environment import Container, Environment, Gpu, InForce, Library, Source, TorchBuild, whole
from seedbed.image import Image

replace = msgspec.structs.replace

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
NONE_SAID = ("PYTHONHASHSEED", CUBLAS, "NVIDIA_TF32_OVERRIDE", "OMP_DYNAMIC")


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine's own that a test would see."""
    for name in {*NONE_SAID, *environment.read_variables()}:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def here() -> Environment:
    return environment.read()


def line(found: Finding) -> tuple[str, str, str]:
    """A finding without its name."""
    assert bool(found.do) == (found.status != "ok"), "what to do stands with all that is not ok, and with nothing else"
    return found.status, found.found, found.do


def fresh(code: str, *flags: str, then: str = "", **environ: str) -> dict[str, Finding]:
    """Run code in a new process with no variable set that can change bits but `environ`, and examine it there."""
    kept = {name: value for name, value in os.environ.items() if name not in environment.read_variables()}
    ending = "import msgspec, seedbed.doctor; print(msgspec.json.encode(seedbed.doctor.examine()).decode())"
    done = subprocess.run(
        [sys.executable, *flags, "-c", f"{dedent(code)}\n{ending}\n{then}"],
        env=kept | environ,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return {found.name: found for found in msgspec.json.decode(done.stdout, type=list[Finding])}


# The whole


def test_an_examination_is_json_and_comes_back() -> None:
    findings = examine()
    assert msgspec.json.decode(msgspec.json.encode(findings), type=list[Finding]) == findings
    assert [line(found) for found in findings]
    assert len({found.name for found in findings}) == len(findings)


def test_a_field_that_nobody_knows_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="hostname"):
        msgspec.convert(msgspec.to_builtins(finding.ok("x", "y")) | {"hostname": "x"}, Finding)


def test_a_program_that_loaded_nothing_is_examined_without_loading_more() -> None:
    found = fresh("import sys", then="assert not {'numpy', 'torch'} & sys.modules.keys()")
    assert found["threads"].found == "no library with threads is loaded"
    assert found["blas"].found == "none is loaded"
    assert found["flags"].found == "torch is not loaded: there is none to set"
    assert found["instruction sets"].found == "each library chose by this CPU: none loaded"


def test_with_load_the_libraries_speak_and_nothing_is_left_changed() -> None:
    before = in_force()
    found = {found.name: found for found in examine(load=True, try_flags=True)}
    assert "numpy/openblas" in found["blas"].found or "mkl" in found["blas"].found
    assert found["flags"].status == "ok"
    assert in_force() == before


def test_the_worst_is_last_and_named_in_the_summary() -> None:
    findings = [
        finding.broken("a", "is [bad]", "mend it"),
        finding.ok("b", "is good"),
        finding.note("c", "is so", "know it"),
        finding.ok("d", "is good too"),
    ]
    console = Console(width=60, color_system=None)
    with console.capture() as capture:
        console.print(render(findings))
    assert [text.split() for text in capture.get().splitlines()] == [
        ["ok", "b", "is", "good"],
        ["ok", "d", "is", "good", "too"],
        ["note", "c", "is", "so"],
        ["->", "know", "it"],
        ["broken", "a", "is", "[bad]"],
        ["->", "mend", "it"],
    ]
    assert summarise(findings) == "would break a promise: a; 1 to note; 2 of 4 ok"
    assert summarise(findings[1:2]) == "nothing breaks a promise; 1 of 1 ok"


# The project


@pytest.mark.parametrize(
    ("pinned", "expected"),
    [
        ("3.11.7", ("ok", "CPython 3.11.7, as .python-version asks", "")),
        (
            "3.12.1",
            (
                "broken",
                "CPython 3.11.7, but .python-version asks for 3.12.1",
                "make the environment with 3.12.1 (pyenv install 3.12.1)",
            ),
        ),
        (
            "3.1",
            (
                "broken",
                "CPython 3.11.7, but .python-version asks for 3.1",
                "make the environment with 3.1 (pyenv install 3.1)",
            ),
        ),
        (
            "3.11",
            (
                "note",
                "CPython 3.11.7; .python-version leaves the release open: 3.11",
                "write 3.11.7 into .python-version",
            ),
        ),
        (
            "mine",
            (
                "note",
                "CPython 3.11.7; .python-version says 'mine', which is no version",
                "write 3.11.7 into .python-version",
            ),
        ),
        (None, ("note", "CPython 3.11.7; no .python-version here pins it", "write 3.11.7 into .python-version")),
    ],
)
def test_the_interpreter(here: Environment, pinned: str | None, expected: tuple[str, str, str]) -> None:
    python = replace(here.python, version="3.11.7", implementation="CPython", pinned=pinned)
    assert line(project.python(replace(here, python=python))) == expected


def test_the_python_version_file_is_that_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".python-version").write_text("2.7.18\n")
    assert {found.name: found.status for found in examine(tmp_path)}["python"] == "broken"
    (tmp_path / ".python-version").write_text("{}.{}.{}\n".format(*sys.version_info))
    assert {found.name: found.status for found in examine(tmp_path)}["python"] == "ok"


def locked(tmp_path: Path, *lines: str) -> tuple[str, str, str]:
    (tmp_path / "requirements.lock").write_text("".join(f"{line}\n" for line in lines))
    return line(project.lock(environment.read(tmp_path)))


def test_a_lock_that_is_installed(tmp_path: Path) -> None:
    found = locked(tmp_path, f"numpy=={np.__version__}", f"msgspec=={msgspec.__version__}")
    assert found == ("ok", "all 2 packages are as requirements.lock says", "")


def test_a_lock_that_is_stale(tmp_path: Path) -> None:
    status, found, do = locked(tmp_path, "numpy==0.1", "not-there==1.2", "a==1", "b==1", "c==1")
    assert status == "broken"
    assert found == (
        f"requirements.lock is not what is installed: numpy 0.1 (installed: {np.__version__}), not-there 1.2 "
        "(installed: none), a 1 (installed: none), b 1 (installed: none), and 1 more"
    )
    assert do == "make the environment again from it (nox does; or python -m pip install -r requirements.lock)"


def test_no_lock_and_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "_IMAGE", tmp_path / "no image")  # these tests run in an image too
    assert line(project.lock(environment.read(tmp_path))) == (
        "note",
        "no requirements.lock here",
        "lock the requirements: nothing says which versions ran",
    )
    assert locked(tmp_path, "# nothing") == (
        "note",
        "requirements.lock pins no package",
        "write it again, with name==version on each line",
    )


NO_CONTAINER = Container(kind="none", image_digest=None)
IMAGE = Image(
    variant="cpu",
    base="python:3.11.7-slim-bookworm",
    base_digest=None,
    lock="requirements.lock",
    lock_sha256="ab" * 32,
    version="0.1.0",
    revision="0123456789abcdef",
    contents="sha256:4567",
)


@pytest.mark.parametrize(
    ("source", "kind", "expected"),
    [
        (Source(commit="0123456789abcdef", clean=True), "none", ("ok", "commit 0123456789ab, nothing changed", "")),
        (
            Source(commit="0123456789abcdef", clean=False),
            "none",
            (
                "note",
                "commit 0123456789ab, and changes that are in no commit",
                "commit them before a run counts",
            ),
        ),
        (
            Source(commit="0123456789abcdef", clean=None),
            "none",
            ("note", "commit 0123456789ab; git did not say in time what has changed", "run git status"),
        ),
        (
            None,
            "none",
            ("note", "no git repository here", "git init, and commit: nothing says which code ran"),
        ),
        (None, "docker", ("ok", "no git repository: the image says which code this is", "")),
    ],
)
def test_the_commit(here: Environment, source: Source | None, kind: Any, expected: tuple[str, str, str]) -> None:
    there = replace(here, source=source, container=Container(kind=kind, image_digest=None))
    assert line(project.source(there)) == expected


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        ("0123456789abcdef", ("ok", "the image is of commit 0123456789ab", "")),
        (
            "0123456789abcdef-dirty",
            (
                "note",
                "the image is of commit 0123456789ab, and changes that are in no commit",
                "commit them, and build it again, before a run counts",
            ),
        ),
        (
            "0123-dirty",
            (
                "note",
                "the image is of commit 0123, and changes that are in no commit",
                "commit them, and build it again, before a run counts",
            ),
        ),
        (
            None,
            (
                "note",
                "no git repository, and the image does not say of which commit it is",
                'build it with --build-arg REVISION="$(git rev-parse HEAD)"; `nox -s image` does',
            ),
        ),
    ],
)
def test_the_commit_of_an_image(
    here: Environment, monkeypatch: pytest.MonkeyPatch, revision: str | None, expected: tuple[str, str, str]
) -> None:
    monkeypatch.setattr("os.path.ismount", lambda _: False)  # these tests run in an image too, from a folder mounted
    container = Container(kind="docker", image_digest=None, image=replace(IMAGE, revision=revision))
    assert line(project.source(replace(here, source=None, container=container))) == expected
    mounted = Source(commit="fedcba9876543210", clean=True)
    found = project.source(replace(here, source=mounted, container=container))
    assert line(found) == ("ok", "commit fedcba987654, nothing changed", "")


def test_a_folder_that_is_mounted_into_an_image_is_not_of_its_commit(
    here: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.path.ismount", lambda path: path == Path.cwd())
    there = replace(here, source=None, container=Container(kind="docker", image_digest=None, image=IMAGE))
    status, found, do = line(project.source(there))
    assert (status, found) == (
        "note",
        "this folder is mounted from outside, and the image has no git to say its commit",
    )
    assert "sha256" in do


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (
            Container(kind="podman", image_digest="sha256:01", image=IMAGE),
            ("ok", "podman, image sha256:01", ""),
        ),
        (
            Container(kind="other", image_digest=None, image=IMAGE),
            ("ok", "other, image with contents sha256:4567", ""),
        ),
        (NO_CONTAINER, ("ok", "none: glibc 2.36 is this machine's own", "")),
        (Container(kind="podman", image_digest="sha256:01"), ("ok", "podman, image sha256:01", "")),
        (
            Container(kind="docker", image_digest=None),
            (
                "note",
                "docker; of which image, nobody said",
                "start it with -e SEEDBED_IMAGE_DIGEST=sha256:..., which cannot be known from the inside",
            ),
        ),
    ],
)
def test_the_container(here: Environment, container: Container, expected: tuple[str, str, str]) -> None:
    there = replace(here, container=container, system=replace(here.system, libc="glibc 2.36"))
    assert line(project.container(there)) == expected


def test_where_the_c_library_is_unknown(here: Environment) -> None:
    there = replace(here, container=NO_CONTAINER, system=replace(here.system, libc=""))
    assert line(project.container(there)) == ("ok", "none: the C library is this machine's own", "")


# The hash seed

RANDOM = (
    "note",
    "random: the order of a set of strings changes from run to run",
    "export PYTHONHASHSEED=0 before Python starts; seedbed repro sets it by itself",
)


@pytest.mark.parametrize("environ", [{}, {"PYTHONHASHSEED": ""}, {"PYTHONHASHSEED": "random"}])
def test_a_random_hash_seed_is_worth_a_note(environ: dict[str, str]) -> None:
    assert line(fresh("", **environ)["hash seed"]) == RANDOM


@pytest.mark.parametrize("seed", ["0", "5", "007"])
def test_a_hash_seed_that_was_there_in_time(seed: str) -> None:
    status, found, _ = line(fresh("", PYTHONHASHSEED=seed)["hash seed"])
    assert status == "ok"
    assert found.endswith("as PYTHONHASHSEED asks")


def test_a_hash_seed_is_a_number_however_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "007")
    assert process.hash_seed(InForce(threads={}, isa={}, hashseed="7")).status == "ok"
    assert process.hash_seed(InForce(threads={}, isa={}, hashseed="70")).status == "broken"


@pytest.mark.parametrize("flag", ["-E", "-I"])
def test_a_hash_seed_that_python_was_told_to_ignore(flag: str) -> None:
    assert line(fresh("", flag, PYTHONHASHSEED="5")["hash seed"]) == (
        "broken",
        "PYTHONHASHSEED=5 asks for it, in force: random (Python was started with -E or -I)",
        "start Python without -E and -I",
    )


@pytest.mark.parametrize(("before", "after"), [(None, "0"), (None, "5"), ("5", "6")])
def test_a_hash_seed_that_came_too_late(before: str | None, after: str) -> None:
    environ = {} if before is None else {"PYTHONHASHSEED": before}
    found = fresh(f"import os; os.environ['PYTHONHASHSEED'] = {after!r}", **environ)["hash seed"]
    assert line(found) == (
        "broken",
        f"PYTHONHASHSEED={after} asks for it, in force: {before or 'random'} (it was set after Python had started)",
        f"export PYTHONHASHSEED={after} before Python starts",
    )


def test_a_hash_seed_that_children_will_not_have() -> None:
    assert line(process.hash_seed(InForce(threads={}, isa={}, hashseed="5"))) == (
        "note",
        "5, but PYTHONHASHSEED has gone since",
        "leave PYTHONHASHSEED=5 in the environment: a process started from here has a random one",
    )


# The flags


@pytest.fixture
def before() -> Iterator[Flags]:
    flags = in_force()
    yield flags
    assert in_force() == flags


def test_flags_can_be_in_force(before: Flags) -> None:
    status, found, _ = line(process.flags("no GPU", attempt=True))
    assert status == "ok"
    assert found.startswith("all 11 can be in force here; until then off: deterministic_algorithms; False: ")
    with set_flags(deterministic()):
        assert line(process.flags("no GPU", attempt=True)) == ("ok", "all 11 can be in force here and are", "")


def test_a_flag_that_cannot_be_set(before: Flags, monkeypatch: pytest.MonkeyPatch) -> None:
    backends: Any = torch.backends
    monkeypatch.setattr(backends.m, "__allow_nonbracketed_mutation_flag", True)
    backends.disable_global_flags()
    status, found, do = line(process.flags("no GPU", attempt=True))
    assert status == "broken"
    assert "could not set cudnn_deterministic: wanted True, in force False (not allowed to set" in found
    assert do == "remove what holds them; without them a rerun may give other bits"


def test_a_flag_that_is_refused_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = replaced(deterministic(), cudnn_conv_fp32_precision="tf32")
    monkeypatch.setattr(process, "in_force", lambda: stuck)
    assert process.flags("no GPU", attempt=True).found == "not in force when set: cudnn_conv"


CALL = "call seedbed.set_all_seeds(seed, deterministic=True)"


def running(monkeypatch: pytest.MonkeyPatch, no_cuda: str | None = "no GPU", **flags: Any) -> tuple[str, str, str]:
    monkeypatch.setattr(process, "in_force", lambda: replaced(deterministic(), **flags))
    return line(process.flags(no_cuda, attempt=False))


def test_a_program_s_flags_are_in_force(before: Flags) -> None:
    with set_flags(deterministic()):
        assert line(process.flags("no GPU", attempt=False)) == ("ok", "all 11 are in force", "")
    status, found, do = line(process.flags("no GPU", attempt=False))
    assert (status, do) == ("note", CALL)
    assert found.startswith("deterministic mode is off; off: deterministic_algorithms; False: ")


def test_a_child_process_is_told_that_it_inherits_no_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "parent_process", lambda: object())
    _, _, do = running(monkeypatch, deterministic_algorithms="off")
    assert do == f"{CALL} in this process too: a spawned one inherits none"


def test_a_mode_that_only_warns_or_does_not_fill_is_worth_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    assert running(monkeypatch, deterministic_algorithms="warn", fill_uninitialized_memory=False) == (
        "note",
        "deterministic mode is on, but warn: deterministic_algorithms; False: fill_uninitialized_memory",
        f"{CALL} to have them all",
    )


def test_benchmarking_defeats_deterministic_mode_on_a_gpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert running(monkeypatch, None, cudnn_benchmark=True, cudnn_conv_fp32_precision="tf32") == (
        "broken",
        "deterministic mode is on, and defeated by True: cudnn_benchmark",
        f"{CALL}, and set none of them afterwards",
    )
    assert running(monkeypatch, "no GPU", cudnn_benchmark=True)[0] == "note"
    assert running(monkeypatch, None, cudnn_benchmark=True, deterministic_algorithms="off")[0] == "note"


def test_inductor_defeats_deterministic_mode_once_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch._inductor.config", raising=False)
    assert running(monkeypatch, inductor_deterministic=False)[0] == "note"
    monkeypatch.setitem(sys.modules, "torch._inductor.config", SimpleNamespace())
    status, found, _ = running(monkeypatch, inductor_deterministic=False)
    assert (status, found) == ("broken", "deterministic mode is on, and defeated by False: inductor_deterministic")


# Threads

LATE = """
    import os, numpy, scipy.linalg, torch
    os.environ["{name}"] = "{count}"
"""


@pytest.mark.parametrize(
    ("name", "pools"),
    [
        ("OMP_NUM_THREADS", "torch, mkl"),
        ("MKL_NUM_THREADS", "torch, mkl"),
        ("OPENBLAS_NUM_THREADS", "numpy/openblas, scipy/openblas"),
    ],
)
def test_threads_that_were_set_after_the_pools_had_started(name: str, pools: str) -> None:
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    assert line(fresh(LATE.format(name=name, count=3), **threads)["threads"]) == (
        "broken",
        f"{name}=3, but in force: 1 ({pools}); it was set too late",
        f"export {name}=3 before Python starts",
    )


def test_threads_that_were_set_in_time() -> None:
    load = "import numpy, scipy.linalg, torch"
    expected = ("ok", "1 (numpy/openblas, scipy/openblas, torch, mkl), as the variables ask", "")
    assert line(fresh(load, OMP_NUM_THREADS="1,2")["threads"]) == expected
    assert line(fresh(f"import os; os.environ['OMP_NUM_THREADS'] = '1'; {load}")["threads"]) == expected


def test_threads_that_the_program_chose() -> None:
    found = fresh("import torch; torch.set_num_threads(3)", OMP_NUM_THREADS="1")["threads"]
    assert line(found) == (
        "note",
        "OMP_NUM_THREADS=1, but in force: 3 (torch, mkl); the program chose it",
        "let one place say it: the program or the variable",
    )


def now(**threads: int) -> InForce:
    return InForce(threads={name.replace("_", "/"): count for name, count in threads.items()}, isa={})


def test_threads_that_nobody_gave(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    assert line(cpu.threads(here, now(numpy_openblas=8, torch=4, mkl=4, torch_openmp=4, tbb=3))) == (
        "note",
        "8 (numpy/openblas), 4 (torch, mkl), 3 (tbb), which follows the cores: no variable says it",
        "export OMP_NUM_THREADS=8, here and on each machine that shall give the same bits",
    )
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "8")
    assert cpu.threads(here, now(numpy_openblas=8, torch=4, mkl=4)).found.startswith("4 (torch, mkl), which")


@pytest.mark.parametrize("value", ["0", "-1", "many", ""])
def test_a_number_that_asks_for_nothing(here: Environment, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert cpu.threads(here, now(torch=4)).status == "note"


def with_cores(here: Environment, usable: int, physical: int | None) -> Environment:
    return replace(here, cpu=replace(here.cpu, usable=usable, physical=physical))


def test_more_threads_than_cores(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    monkeypatch.setattr(cpu, "is_late", lambda _name: False)
    there = with_cores(here, 8, 4)
    assert line(cpu.threads(there, now(numpy_openblas=8, torch=4, mkl=4))) == (
        "broken",
        "OMP_NUM_THREADS=16, but in force: 8 (numpy/openblas), 4 (torch, mkl); there are no more cores",
        "ask for 8; torch alone takes more, with MKL_DYNAMIC=FALSE",
    )
    assert cpu.threads(there, now(numpy_openblas=8, torch=16, mkl=16)).do == "ask for 8"


def test_where_the_start_is_not_known_the_variable_counts_as_late(
    here: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(cpu, "is_late", lambda _name: None)
    assert cpu.threads(with_cores(here, 8, 4), now(torch=1)).status == "broken"
    monkeypatch.setattr(cpu, "is_late", lambda _name: False)
    assert cpu.threads(with_cores(here, 8, 4), now(torch=1)).status == "note"


def test_dynamic_threads(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setenv("OMP_DYNAMIC", "true")
    assert line(cpu.threads(here, now(torch=4))) == (
        "broken",
        "OMP_DYNAMIC=true lets OpenMP choose anew each time, by the load",
        "unset OMP_DYNAMIC",
    )
    monkeypatch.setenv("OMP_DYNAMIC", "FALSE")
    assert cpu.threads(here, now(torch=4)).status == "ok"


# What was there at the start


def test_what_was_set_at_the_start_and_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "environ"
    monkeypatch.setattr(start, "_ENVIRON", path)
    monkeypatch.setenv("A", "1")
    assert start.is_late("A") is None
    for text, late in [(b"A=1\0", False), (b"A=2\0PATH=%s\0", True), (b"PATH=%s\0", True), (b"a title", None)]:
        path.write_bytes(text.replace(b"%s", os.fsencode(os.environ["PATH"])))
        assert start.is_late("A") is late


# BLAS and instruction sets


def library(api: str, version: str | None, architecture: str | None) -> Library:
    return Library(
        user_api=api,
        internal_api="openblas",
        version=version,
        architecture=architecture,
        threading_layer=None,
        threads=2,
    )


def test_every_blas_is_named(here: Environment) -> None:
    libraries = {
        "numpy/openblas": library("blas", "0.3.31", "Zen"),
        "openblas": library("blas", None, None),
        "torch/openmp": library("openmp", None, None),
    }
    build = TorchBuild(version="2.13.0", cuda=None, rocm=None, debug=False, commit=None, mkl="2024.2")
    there = replace(here, libraries=libraries, torch=build)
    assert line(cpu.blas(there)) == ("ok", "numpy/openblas 0.3.31 Zen, openblas, torch/mkl 2024.2", "")
    assert line(cpu.blas(replace(there, libraries={}, torch=None))) == ("ok", "none is loaded", "")


USED = InForce(threads={}, isa={"numpy/openblas": "Zen", "aten": "AVX2", "numpy": "X86_V3", "numpy kernels": "X86_V3"})
IN_USE = "numpy/openblas Zen, aten AVX2, numpy kernels X86_V3"
FEATURES = environment.NumpyFeatures(baseline=(), dispatch=("X86_V3", "X86_V4"), enabled=("X86_V3",), kernels=())


def pinned(
    here: Environment, monkeypatch: pytest.MonkeyPatch, *, late: bool = False, **variables: str
) -> tuple[str, str, str]:
    monkeypatch.setattr(cpu, "is_late", lambda _name: late)
    return line(cpu.isa(replace(here, variables=variables, numpy=FEATURES), USED))


def test_instruction_sets_that_nobody_pinned(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ("ok", f"each library chose by this CPU: {IN_USE}", "")
    assert pinned(here, monkeypatch) == expected
    assert pinned(here, monkeypatch, GLIBC_TUNABLES="glibc.malloc.tcache_count=0", late=True) == expected


def test_instruction_sets_that_are_pinned(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pinned(
        here, monkeypatch, ATEN_CPU_CAPABILITY="avx2", OPENBLAS_CORETYPE="Excavator", NPY_DISABLE_CPU_FEATURES="X86_V4"
    ) == (
        "note",
        "pinned by ATEN_CPU_CAPABILITY=avx2, NPY_DISABLE_CPU_FEATURES=X86_V4, OPENBLAS_CORETYPE=Excavator; "
        f"in use: {IN_USE}",
        "set the same wherever the same bits are wanted; unset it for the CPU's own speed",
    )
    assert pinned(here, monkeypatch, GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX2")[0] == "note"


def test_instruction_sets_that_came_after_the_start(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pinned(here, monkeypatch, late=True, MKL_CBWR="AVX2", OPENBLAS_CORETYPE="Haswell") == (
        "note",
        f"MKL_CBWR, OPENBLAS_CORETYPE came after the start, in time or not; in use: {IN_USE}",
        "export it before Python starts",
    )


@pytest.mark.parametrize(
    ("variables", "late", "found"),
    [
        ({"ATEN_CPU_CAPABILITY": "default"}, False, "ATEN_CPU_CAPABILITY=default, but ATen uses AVX2"),
        (
            {"NPY_DISABLE_CPU_FEATURES": "X86_V4, X86_V3"},
            False,
            "NPY_DISABLE_CPU_FEATURES disables X86_V3, but NumPy uses it",
        ),
        (
            {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2"},
            True,
            "GLIBC_TUNABLES came after the start, when glibc no longer reads it",
        ),
    ],
)
def test_instruction_sets_that_are_not_in_force(
    here: Environment, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], late: bool, found: str
) -> None:
    do = "export it before Python starts, with a value that the library knows"
    assert pinned(here, monkeypatch, late=late, **variables) == ("broken", found, do)


def test_an_instruction_set_that_came_too_late_for_numpy() -> None:
    name = environment.numpy_features().enabled[-1:]
    if not name:
        pytest.skip("this CPU has no feature that NumPy could do without")
    code = f"import os, numpy; os.environ['NPY_DISABLE_CPU_FEATURES'] = {name[0]!r}"
    found = fresh(code)["instruction sets"]
    assert (found.status, found.found) == (
        "broken",
        f"NPY_DISABLE_CPU_FEATURES disables {name[0]}, but NumPy uses it",
    )


# The GPU

CPU_BUILD = TorchBuild(version="2.13.0+cpu", cuda=None, rocm=None, debug=False, commit=None)
CUDA_BUILD = replace(CPU_BUILD, version="2.13.0", cuda="13.0")
H100 = Gpu(name="NVIDIA H100", memory=80 * 2**30, compute_capability="9.0", driver="580.65.06")
V100 = replace(H100, name="Tesla V100", compute_capability="7.0")
LOST = Gpu(name=None, memory=None, compute_capability=None, driver="580.65.06")
WHEEL = "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120 compute_120"


def gpu(
    here: Environment,
    monkeypatch: pytest.MonkeyPatch,
    *gpus: Gpu,
    build: TorchBuild | None = CUDA_BUILD,
    no_cuda: str | None = None,
    started: bool = False,
    forked: bool = False,
    compiled: str | None = WHEEL,
) -> tuple[str, str, str]:
    """The line of a machine with these GPUs and this build of torch."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: started)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: forked)
    monkeypatch.setattr(torch._C, "_cuda_getArchFlags", lambda: compiled, raising=False)
    return line(cuda.gpu(replace(here, gpus=gpus, torch=build), no_cuda))


def test_no_gpu_breaks_nothing(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    without = "torch 2.13.0+cpu is built without CUDA"
    assert gpu(here, monkeypatch, build=CPU_BUILD, no_cuda=without) == ("ok", f"none, and {without}", "")
    assert gpu(here, monkeypatch, build=None, no_cuda="torch is not installed")[0] == "ok"
    assert gpu(here, monkeypatch, H100, build=CPU_BUILD, no_cuda=without) == (
        "note",
        f"NVIDIA H100 is here, but {without}",
        "to use it, install a CUDA build of torch",
    )
    assert gpu(here, monkeypatch, no_cuda="there is no NVIDIA GPU, or no driver for it") == (
        "note",
        "torch 2.13.0 (CUDA 13.0) could use one, but there is no NVIDIA GPU, or no driver for it",
        "to use one, make nvidia-smi list one (in a container: --gpus all)",
    )
    assert gpu(here, monkeypatch, H100, no_cuda="CUDA_VISIBLE_DEVICES='' hides every GPU") == (
        "note",
        "torch 2.13.0 (CUDA 13.0) could use one, but CUDA_VISIBLE_DEVICES='' hides every GPU",
        "to use one, unset CUDA_VISIBLE_DEVICES",
    )


def test_a_gpu_that_torch_can_use(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = "NVIDIA H100 (9.0), driver 580.65.06; torch 2.13.0 (CUDA 13.0) needs 580 or newer"
    assert gpu(here, monkeypatch, H100) == ("ok", expected, "")
    assert gpu(here, monkeypatch, H100, compiled=None) == ("ok", expected, "")


@pytest.mark.parametrize(
    ("version", "driver", "status"),
    [
        ("13.0", "580.65.06", "ok"),
        ("13.2", "579.99", "broken"),
        ("12.8", "525.60.13", "ok"),
        ("12.8", "520.1", "broken"),
        ("11.8", "450.80.02", "ok"),
        ("11.8", "449", "broken"),
        ("12.8", "590.1", "ok"),
        ("14.0", "700.1", "note"),
        ("13.0", None, "note"),
    ],
)
def test_the_driver_that_cuda_needs(
    here: Environment, monkeypatch: pytest.MonkeyPatch, version: str, driver: str | None, status: str
) -> None:
    found = gpu(here, monkeypatch, replace(H100, driver=driver), build=replace(CUDA_BUILD, cuda=version))
    assert found[0] == status


def test_a_driver_that_is_too_old_says_which_is_needed(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    old = replace(H100, driver="550.54")
    assert gpu(here, monkeypatch, old) == (
        "broken",
        "driver 550.54, but torch 2.13.0 (CUDA 13.0) needs 580 or newer",
        "install driver 580 or newer",
    )
    # NVIDIA's package cuda-compat lets it serve all the same.
    assert gpu(here, monkeypatch, old, started=True) == (
        "ok",
        "NVIDIA H100 (9.0), driver 550.54: CUDA has started",
        "",
    )
    assert gpu(here, monkeypatch, replace(H100, driver=None)) == (
        "note",
        "NVIDIA H100 (9.0), driver None: whether torch 2.13.0 (CUDA 13.0) runs on it is not known here",
        "run a program on it: python -c 'import torch; torch.cuda.init()'",
    )


def test_a_driver_that_is_too_old_for_all_of_seedbed(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    old = replace(H100, driver="550.54")
    said = "driver 550.54, but torch 2.13.0 (CUDA 13.0) needs 580 or newer"
    assert gpu(here, monkeypatch, old, no_cuda=said) == ("broken", said, "install driver 580 or newer")
    # One that is hidden on purpose breaks nothing.
    assert gpu(here, monkeypatch, old, no_cuda="CUDA_VISIBLE_DEVICES='' hides every GPU") == (
        "note",
        "torch 2.13.0 (CUDA 13.0) could use one, but CUDA_VISIBLE_DEVICES='' hides every GPU",
        "to use one, unset CUDA_VISIBLE_DEVICES",
    )


def test_a_gpu_that_torch_has_no_code_for(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    do = "install a torch that is built for it, or hide it with CUDA_VISIBLE_DEVICES"
    without = "torch 2.13.0 (CUDA 13.0) has no code for"
    assert gpu(here, monkeypatch, V100) == ("broken", f"{without} Tesla V100 (7.0)", do)
    assert gpu(here, monkeypatch, H100, V100) == ("note", f"{without} Tesla V100 (7.0)", do)
    assert gpu(here, monkeypatch, LOST) == ("broken", f"{without} a GPU that does not answer (None)", do)


@pytest.mark.parametrize(
    ("capability", "compiled", "runs"),
    [
        ("8.9", WHEEL, True),  # by sm_86
        ("12.1", WHEEL, True),
        ("7.0", WHEEL, False),
        ("11.0", WHEEL, False),
        ("13.0", WHEEL, True),  # by compute_120
        ("13.0", "sm_120", False),
        ("9.0", "sm_90a", True),
        ("10.3", "sm_100a", False),
        ("10.3", "sm_100f", True),
    ],
)
def test_code_runs_on_its_major_version_and_ptx_on_all_that_is_newer(
    here: Environment, monkeypatch: pytest.MonkeyPatch, capability: str, compiled: str, runs: bool
) -> None:
    found = gpu(here, monkeypatch, replace(H100, compute_capability=capability), compiled=compiled)
    assert found[0] == ("ok" if runs else "broken")


def test_a_process_that_was_forked_after_cuda_started(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu(here, monkeypatch, H100, forked=True) == (
        "broken",
        "this process was forked after CUDA had started, so CUDA cannot be used in it",
        "start it by spawn (DataLoader: multiprocessing_context='spawn'), or start CUDA after the fork only",
    )


# cuBLAS

EXPORT = f"export {CUBLAS}=:4096:8 before Python starts"
Cublas = Callable[..., tuple[str, str, str]]


@pytest.fixture
def cublas(monkeypatch: pytest.MonkeyPatch) -> Cublas:
    """The line where there is a GPU, with CUDA started or not, and the bytes that torch says are in force."""

    def say(asked: str | None, *, started: bool = False, size: int | None = None, late: bool | None = None) -> Any:
        if asked is not None:
            monkeypatch.setenv(CUBLAS, asked)

        def cublas_workspace_size() -> int:
            assert started, "torch starts CUDA to answer"
            if size is None:
                raise AttributeError
            return size

        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: started)
        monkeypatch.setattr(torch.backends.cuda, "cublas_workspace_size", cublas_workspace_size, raising=False)
        monkeypatch.setattr(cuda, "is_late", lambda _name: late)
        return line(cuda.cublas(None))

    return say


def test_without_cuda_the_workspace_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CUBLAS, ":8:8")
    assert line(cuda.cublas("torch is not installed")) == ("ok", "no matter: torch is not installed", "")


def test_a_workspace_that_is_not_set(cublas: Cublas) -> None:
    assert cublas(None) == (
        "note",
        f"{CUBLAS} is not set; the flags set it, if CUDA has not started by then",
        EXPORT,
    )
    assert cublas(None, started=True) == ("note", f"{CUBLAS} is not set; CUDA has started without it", EXPORT)


def test_a_workspace_of_ones_own(cublas: Cublas) -> None:
    assert cublas(":8:8") == ("broken", f"{CUBLAS}=:8:8 is your own and is kept, but promises no same bits", EXPORT)
    assert os.environ[CUBLAS] == ":8:8"
    assert cublas(":16:8") == ("ok", f"{CUBLAS}=:16:8, in time: CUDA has not started", "")


@pytest.mark.parametrize(("asked", "size"), [(":4096:8", 32 * 2**20), (":16:8", 128 * 2**10)])
def test_a_workspace_that_is_in_force(cublas: Cublas, asked: str, size: int) -> None:
    assert cublas(asked, started=True, size=size) == ("ok", f"{CUBLAS}={asked}, in force", "")


def test_a_workspace_that_came_after_cuda_had_started(cublas: Cublas) -> None:
    assert cublas(":4096:8", started=True, size=8519680) == (  # the default before Hopper, :4096:2:16:8
        "broken",
        f"{CUBLAS}=:4096:8 came too late: in force are 8519680 bytes, not 33554432",
        EXPORT,
    )


def test_where_torch_does_not_say_the_start_decides(cublas: Cublas) -> None:
    unknown = f"{CUBLAS}=:4096:8; whether it came before CUDA started, this torch does not say"
    assert cublas(":4096:8", started=True, late=False) == ("ok", f"{CUBLAS}=:4096:8, in force", "")
    for late in (True, None):
        assert cublas(":4096:8", started=True, late=late) == ("note", unknown, EXPORT)


def test_tf32_that_overrules_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cuda.tf32(None) == []
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    assert cuda.tf32("no GPU") == []
    assert [line(found) for found in cuda.tf32(None)] == [
        (
            "broken",
            "NVIDIA_TF32_OVERRIDE=1 makes CUDA's libraries use TF32 whatever the flags say",
            "unset NVIDIA_TF32_OVERRIDE",
        )
    ]
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert cuda.tf32(None) == []


@pytest.mark.gpu
@pytest.mark.skipif(bool(environment.no_cuda()), reason=str(environment.no_cuda()))
@pytest.mark.parametrize(("when", "status"), [("before", "ok"), ("after", "broken")])
def test_on_a_gpu_the_workspace_is_measured(when: str, status: str) -> None:
    lines = [
        "import os, torch",
        f"os.environ['{CUBLAS}'] = ':16:8'",
        "torch.eye(2, device='cuda') @ torch.eye(2).cuda()",
    ]
    order = lines if when == "before" else [lines[0], lines[2], lines[1]]
    assert fresh("\n".join(order))["cublas"].status == status


@pytest.mark.gpu
@pytest.mark.skipif(bool(environment.no_cuda()), reason=str(environment.no_cuda()))
def test_on_a_gpu_an_examination_does_not_start_cuda() -> None:
    examine = "seedbed.doctor.examine(load=True, try_flags=True)"
    fresh("import torch", then=f"{examine}; assert not torch.cuda.is_initialized()")
