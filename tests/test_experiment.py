"""Loading and running experiments."""

import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from textwrap import dedent

import pytest

from seedbed.errors import ExperimentError
from seedbed.experiment import load, source_digest
from seedbed.record import read

SOURCE = """
    import helper_that_is_there

    def both(*, seed, device):
        return {"seed": seed, "device": {"is_cpu": device == "cpu"}}

    def cpu_only(*, seed):
        return {"x": [seed, seed + 1]}

    def anything(**options):
        return {"count": len(options)}

    def positional(seed, device="cpu"):
        return {"seed": seed}

    def needs_more(*, seed, device, epochs):
        return {}

    def no_mapping(*, seed):
        return [1.0]

    def empty(*, seed):
        return {}

    def text(*, seed):
        return {"model": {"name": "mlp"}}

    def _private(*, seed):
        return {"x": 1}

    constant = 3
"""


@pytest.fixture(autouse=True)
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_study.py").write_text(dedent(SOURCE))
    (tmp_path / "helper_that_is_there.py").touch()
    (tmp_path / "broken_study.py").write_text("import helper_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "path", sys.path[:])  # `load` may add to it
    yield
    for name in ("my_study", "broken_study", "helper_that_is_there"):
        sys.modules.pop(name, None)


def test_a_function_of_seed_and_device_is_run_with_both() -> None:
    experiment = load("my_study:both")
    results = experiment.run(7, "cpu")
    assert experiment.takes_device
    assert {key: result.array.item() for key, result in results.items()} == {"seed": 7, "device/is_cpu": True}


def test_a_function_without_device_is_for_the_cpu() -> None:
    experiment = load("my_study:cpu_only")
    assert not experiment.takes_device
    assert experiment.run(7, "cpu")["x"].array.tolist() == [7, 8]


@pytest.mark.parametrize("name", ["anything", "positional"])
def test_any_function_that_takes_the_keywords_will_do(name: str) -> None:
    assert load(f"my_study:{name}").takes_device


@pytest.mark.parametrize("name", ["my_study", "my_study:", ":f", "my-study:f", "my_study:a.b", "my study:f", ""])
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(ExperimentError, match=r"is named package\.module:function, not"):
        load(name)


@pytest.mark.parametrize("name", ["nowhere:f", "my_study.inner:f"])
def test_a_module_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ExperimentError, match=r"no module named .* for the experiment .*run from the folder"):
        load(name)


def test_a_module_that_needs_one_that_is_not_there_says_which() -> None:
    with pytest.raises(ModuleNotFoundError, match="helper_that_is_not_there"):
        load("broken_study:f")


@pytest.mark.parametrize("name", ["both_", "constant"])
def test_a_function_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(ExperimentError, match=f"has no function '{name}'; it has anything, both, cpu_only, .*text$"):
        load(f"my_study:{name}")


def test_a_module_without_functions_names_none() -> None:
    with pytest.raises(ExperimentError, match="module 'helper_that_is_there' has no function 'f'$"):
        load("helper_that_is_there:f")


def test_a_function_that_needs_more_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"needs_more\(\*, seed, device, epochs\) cannot be called"):
        load("my_study:needs_more")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_mapping", "returned list; an experiment returns a mapping"),
        ("empty", "an empty mapping"),
        ("text", "'model/name': .*not str: 'mlp'"),
    ],
)
def test_a_result_that_cannot_be_compared_is_refused(name: str, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        load(f"my_study:{name}").run(1, "cpu")


# The src layout


def write(path: Path, value: int) -> str:
    """Write a module with an experiment that returns `value`."""
    source = f"def train(*, seed):\n    return {{'x': {value}}}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return sha256(source.encode()).hexdigest()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a project, which is the current one."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "src_study"]:
        del sys.modules[name]


def test_a_module_in_src_is_found_without_being_installed(project: Path) -> None:
    write(project / "src/src_study/__init__.py", 0)
    write(project / "src/src_study/experiment.py", 1)
    assert load("src_study.experiment:train").run(0, "cpu")["x"].array.item() == 1
    assert load("src_study:train").run(0, "cpu")["x"].array.item() == 0
    assert sys.path.count(str(project / "src")) == 1


def test_what_is_on_the_path_already_comes_before_src(project: Path) -> None:
    write(project / "src/my_study.py", 1)
    assert source_digest("my_study:train") == sha256(dedent(SOURCE).encode()).hexdigest()
    with pytest.raises(ExperimentError, match="module 'my_study' has no function 'train'; it has anything"):
        load("my_study:train")


def test_without_src_nothing_is_added_to_the_path(project: Path) -> None:
    before = sys.path[:]
    with pytest.raises(ExperimentError, match=r"run from the folder that holds it, or that holds src .*or install"):
        load("src_study:train")
    (project / "src").touch()
    with pytest.raises(ExperimentError, match="no module named 'src_study'"):
        load("src_study:train")
    assert sys.path == before


def test_a_module_that_is_in_src_of_another_folder_only_is_not_found(project: Path) -> None:
    write(project / "inner/src/src_study.py", 1)
    with pytest.raises(ExperimentError, match="no module named 'src_study'"):
        load("src_study:train")


def test_the_digest_is_that_of_the_file_that_is_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_src = write(project / "src/src_study.py", 1)
    before = sys.path[:]
    assert source_digest("src_study:train") == in_src
    here = write(project / "src_study.py", 2)
    assert source_digest("src_study:train") == here
    assert source_digest("src_nothing:train") is None
    assert source_digest("src_nothing.inner:train") is None
    assert sys.path == before
    other = project / "other"
    elsewhere = write(other / "src/src_study.py", 3)
    monkeypatch.chdir(other)
    assert source_digest("src_study:train") == elsewhere


@pytest.mark.parametrize(("here", "expected"), [(False, 1), (True, 2)], ids=["src alone", "the current folder too"])
def test_a_worker_finds_what_the_command_does(project: Path, here: bool, expected: int) -> None:
    digests = {1: write(project / "src/src_study/experiment.py", 1)}
    if here:
        digests[2] = write(project / "src_study/experiment.py", 2)
    command = [sys.executable, "-P", "-m", "seedbed.entrypoint", "repro", "src_study.experiment:train"]
    options = ["--level=none", "--vary=", "--out=out"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (cell,) = read(project / "out").record.baselines()
    assert read(project / "out").results(cell)["x"].array.item() == expected
    assert source_digest("src_study.experiment:train") == digests[expected]
