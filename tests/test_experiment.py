"""Loading and running experiments."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from seedbed.errors import ExperimentError
from seedbed.experiment import load

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
    yield
    import sys

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
