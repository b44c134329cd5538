"""What a project promises, and whether it is kept."""

from pathlib import Path

import pytest

from seedbed.comparison import Comparison, Relation
from seedbed.errors import ConfigError
from seedbed.promise import Promise, Promises, parse, settings

PROJECT = """
[project]
name = "my-study"

[tool.seedbed]
experiments = ["my_study:train"]

[tool.seedbed.promises]
rerun = "identical"
threads = "rtol 1e-4"
machine = "rtol 1e-3 atol 1e-6"

[tool.seedbed.promises.seeded]
rerun = "close"

[tool.seedbed.promises."my_study:train"]
threads = "any"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pyproject.toml"
    path.write_text(text)
    return path


def related(relation: Relation) -> Comparison:
    return Comparison(relation=relation, compared=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("identical", Promise("identical", Relation.IDENTICAL)),
        ("equal", Promise("equal", Relation.EQUAL)),
        ("close", Promise("close", Relation.CLOSE)),
        ("any", Promise("any", Relation.DIFFERENT)),
        ("rtol 1e-4", Promise("rtol 1e-4", Relation.CLOSE, 1e-4, 0.0)),
        ("atol 0.5", Promise("atol 0.5", Relation.CLOSE, 0.0, 0.5)),
        ("rtol 1e-4 atol 1e-6", Promise("rtol 1e-4 atol 1e-6", Relation.CLOSE, 1e-4, 1e-6)),
    ],
)
def test_a_promise_is_read(text: str, expected: Promise) -> None:
    assert parse(text, "here") == expected


@pytest.mark.parametrize(
    "text",
    ["", "same", "rtol", "rtol x", "rtol -1", "rtol nan", "rtol inf", "rtol 1 rtol 2", "atol 1 rtol 1", "ulp 4", 1e-4],
)
def test_what_is_no_promise_is_refused(text: object) -> None:
    with pytest.raises(ConfigError, match="^here = .* is no promise: write identical, equal, close, any"):
        parse(text, "here")


@pytest.mark.parametrize(
    ("promised", "kept"),
    [("identical", [1, 0, 0, 0]), ("equal", [1, 1, 0, 0]), ("close", [1, 1, 1, 0]), ("any", [1, 1, 1, 1])],
)
def test_a_promise_is_kept_by_its_relation_and_stricter_ones(promised: str, kept: list[int]) -> None:
    assert [parse(promised, "here").kept(related(relation)) for relation in Relation] == [bool(k) for k in kept]


def test_promises_speak_of_deterministic_and_above_unless_they_name_a_level(tmp_path: Path) -> None:
    promises = settings(written(tmp_path, PROJECT)).promises
    assert promises.of("a:b", "deterministic", "rerun") == parse("identical", "")
    assert promises.of("a:b", "seeded", "rerun") == parse("close", "")
    assert promises.of("a:b", "none", "rerun") is None
    assert promises.of("a:b", "deterministic", "isa") is None


def test_an_experiments_own_promise_comes_first(tmp_path: Path) -> None:
    promises = settings(written(tmp_path, PROJECT)).promises
    assert promises.of("my_study:train", "deterministic", "threads") == parse("any", "")
    assert promises.of("a:b", "deterministic", "threads") == parse("rtol 1e-4", "")
    assert promises.of("my_study:train", "seeded", "threads") is None
    assert promises.of("my_study:train", "deterministic", "machine") == parse("rtol 1e-3 atol 1e-6", "")


def test_the_experiments_of_a_project_are_read(tmp_path: Path) -> None:
    assert settings(written(tmp_path, PROJECT)).experiments == ("my_study:train",)


def test_no_project_file_says_nothing(tmp_path: Path) -> None:
    assert settings(tmp_path / "pyproject.toml").experiments == ()
    assert settings(written(tmp_path, "")).promises == Promises()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.seedbed\n", "cannot be read as TOML"),
        ("[tool.seedbed]\nexperiment = []", "has no key 'experiment'"),
        ("[tool]\nseedbed = 5", "tool.seedbed = 5 is no table"),
        ("[tool.seedbed]\nexperiments = 'a:b'", "experiments = 'a:b' is no list"),
        ("[tool.seedbed]\npromises = 'identical'", "promises = 'identical' is no table"),
        ("[tool.seedbed.promises]\nreruns = 'identical'", "promises.reruns: no such condition; there are rerun"),
        ("[tool.seedbed.promises]\nrerun = 'sometimes'", "promises.rerun = 'sometimes' is no promise"),
        ("[tool.seedbed.promises.seedy]\nrerun = 'close'", "seedy. is neither a level .none, seeded"),
    ],
)
def test_a_bad_table_names_its_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/pyproject.toml: .*{message}"):
        settings(written(tmp_path, text))
