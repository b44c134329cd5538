"""The project start's template: one set of rules for copier and cookiecutter, and the same pins as Seedbed's own."""

import json
import keyword
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import seedbed
from tests.refused_answers import DEFAULTS, ORCID, REFUSED
from tests.scaffolding import ROOT, TREE

HOOK = (ROOT / "hooks/pre_gen_project.py").read_text(encoding="utf-8")
ACCEPTED = {
    "project_name": "Waves",
    "package_name": "waves",
    "description": "Über: 50 % {of} 'them'",
    "author": "Zoë",
    "orcid": ORCID,
    "project_slug": "waves",
    "_taken": json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["_taken"],
}


# One set of rules


def hook(answers: Mapping[str, object]) -> tuple[int, str]:
    """Run the hook as cookiecutter does, and return its exit status and what it says."""
    code = jinja2.Environment(autoescape=False).from_string(HOOK).render(cookiecutter=answers)  # noqa: S701
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-"]
    done = subprocess.run(command, input=code.encode(), capture_output=True, check=False)
    return done.returncode, done.stderr.decode()


def test_the_hook_lets_good_answers_pass() -> None:
    assert hook(ACCEPTED) == (0, "")
    assert hook({**ACCEPTED, "orcid": ""}) == (0, "")


@pytest.mark.parametrize(("question", "answer", "reason"), REFUSED)
def test_the_hook_refuses_what_copier_refuses(question: str, answer: str, reason: str) -> None:
    status, said = hook({**ACCEPTED, question: answer})
    assert status == 1
    assert said == f"{question}: {reason}\nNothing was made. The same command asks again.\n"


@pytest.mark.parametrize("slug", ["", "My", "../x", "a b", "1a", "a_b", "a-"])
def test_the_hook_refuses_a_folder_that_is_no_name(slug: str) -> None:
    assert hook({**ACCEPTED, "project_slug": slug})[0] == 1


def test_the_hook_says_all_that_it_refuses() -> None:
    _, said = hook({**ACCEPTED, "package_name": "numpy", "author": ""})
    assert said.splitlines()[1:] == ["author: it is empty", "Nothing was made. The same command asks again."]
    assert said.startswith("package_name: ")


def taken() -> list[str]:
    return (ROOT / "templates/taken").read_text(encoding="utf-8").split()


def test_both_have_the_same_names_taken() -> None:
    assert taken() == sorted(set(taken()))
    assert " ".join(cookiecutter()["_taken"]).split() == taken()


def test_taken_has_every_module_and_word_and_what_a_project_has() -> None:
    words = {*sys.stdlib_module_names, *keyword.kwlist, *keyword.softkwlist}
    assert {word for word in words if re.fullmatch("[a-z][a-z0-9_]*", word)} - set(taken()) == set()
    assert {"numpy", "torch", "seedbed", "src", "tests", "records", "vendor"} <= set(taken())


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-cuda.lock"])
def test_taken_has_what_the_locks_install(lock: str) -> None:
    """A project is installed under its package's name, and would take the place of a requirement of that name."""
    names = {canonicalize_name(name).replace("-", "_") for name in pins(lock, of=TREE)}
    assert {"scikit_learn", "seedbed"} < names
    assert names - set(taken()) == set()


def test_taken_has_what_seedbed_requires() -> None:
    requirements = tomllib.loads(file("pyproject.toml"))["project"]["dependencies"]
    required = {canonicalize_name(Requirement(text).name) for text in requirements}
    imported = {
        module
        for module, packages in packages_distributions().items()
        if any(canonicalize_name(package) in required for package in packages)
    }
    assert {"sklearn", "typer"} < imported
    unused = {"example"}  # nvidia-ml-py installs it, and nothing imports it
    assert {module for module in imported - unused if re.fullmatch("[a-z][a-z0-9_]*", module)} - set(taken()) == set()


# The same questions


def copier() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def cookiecutter() -> dict[str, Any]:
    found = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def questions() -> dict[str, Any]:
    """What copier asks."""
    return {name: item for name, item in copier().items() if not name.startswith("_") and name != "cookiecutter"}


def test_copier_and_cookiecutter_ask_the_same_in_the_same_order() -> None:
    other = cookiecutter()
    assert ["_taken", *questions(), "project_slug", "__seedbed", "__prompts__"] == list(other)
    asked = {name: question["help"] for name, question in questions().items()}
    assert other["__prompts__"] == {**asked, "project_slug": "In which new folder?"}


def test_copier_and_cookiecutter_have_the_same_choices_and_defaults() -> None:
    for name, question in questions().items():
        other = cookiecutter()[name]
        if "choices" in question:
            choices = question["choices"]
            assert other == list(choices.values() if isinstance(choices, dict) else choices)
            assert other[0] == question["default"]
        elif name == "package_name":  # what is taken they read each in its own way
            start = "{%- set letters -%}"
            ours = str(other).replace("cookiecutter.", "").replace("'", '"')
            assert ours.partition(start)[1:] == question["default"].partition(start)[1:]
            assert start in ours
        elif name != "project_name":  # the folder's name is what cookiecutter cannot know
            assert str(other).replace("cookiecutter.", "") == question["default"]
            assert question["validator"]
    assert cookiecutter()["project_name"] == "my-study"
    assert questions()["project_name"]["default"] == "{{ _copier_conf.dst_path.name }}"


def cookiecutters_package(project: str) -> str:
    """The package's name that cookiecutter gives a project by default: what it hands to Jinja is no more than this."""
    answers = {"_taken": cookiecutter()["_taken"], "project_name": project}
    template = jinja2.Environment(autoescape=False, undefined=jinja2.StrictUndefined)  # noqa: S701
    return template.from_string(cookiecutter()["package_name"]).render(cookiecutter=answers)


def copiers_package(project: str) -> str:
    """The one that copier gives it."""
    template = jinja2.Environment(autoescape=False, loader=jinja2.FileSystemLoader(ROOT))  # noqa: S701
    return template.from_string(questions()["package_name"]["default"]).render(project_name=project)


@pytest.mark.parametrize(("project", "package"), DEFAULTS.items())
def test_a_package_has_its_name_from_the_project(project: str, package: str) -> None:
    assert cookiecutters_package(project) == package
    assert copiers_package(project) == package


@given(st.text(min_size=1) | st.sampled_from(taken()))
def test_the_default_name_of_a_package_is_never_refused(project: str) -> None:
    package = cookiecutters_package(project)
    assert package == copiers_package(project)
    assert re.fullmatch("[a-z]([a-z0-9_]*[a-z0-9])?", package)
    assert package not in taken()


def test_copier_hands_on_every_answer_under_cookiecutters_name() -> None:
    filled = copier()["cookiecutter"]["default"]
    names = re.findall(r"'(\w+)':", filled)
    assert names == [name for name in cookiecutter() if name not in ("_taken", "__prompts__")]
    for name in questions():
        assert f"'{name}': {name}" in filled


def test_both_have_the_version_of_seedbed() -> None:
    assert cookiecutter()["__seedbed"] == seedbed.__version__
    assert f"'__seedbed': '{seedbed.__version__}'" in copier()["cookiecutter"]["default"]


# The same pins


def file(name: str, *, of: Any = ROOT) -> str:
    return str((of / name).read_text(encoding="utf-8"))


def test_the_python_is_ours() -> None:
    assert file(".python-version", of=TREE) == file(".python-version")


@pytest.mark.parametrize("noxfile", [ROOT / "noxfile.py", TREE / "noxfile.py"], ids=["ours", "a project's"])
def test_types_run_no_script_that_names_a_folder(noxfile: Path) -> None:
    """After a move of the project, `mypy` would start the Python of the folder that is gone."""
    text = noxfile.read_text(encoding="utf-8")
    assert 'session.run("python", "-m", "mypy", ' in text
    assert 'session.run("mypy"' not in text


def test_the_tools_are_ours() -> None:
    ours = tomllib.loads(file("pyproject.toml"))["dependency-groups"]
    theirs = tomllib.loads(file("pyproject.toml", of=TREE))["dependency-groups"]
    for group in theirs.values():
        for tool in group:
            assert tool in [*ours["lint"], *ours["types"]]
    assert {tool.split("==")[0] for group in theirs.values() for tool in group} == {"ruff", "mypy"}
    hooks = yaml.safe_load(file(".pre-commit-config.yaml", of=TREE))["repos"][0]["hooks"]
    assert {tool for entry in hooks for tool in entry["additional_dependencies"]} == set(theirs["lint"])


def test_the_workflow_runs_what_is_fixed() -> None:
    """Actions by commit, since a tag can be moved, and the nox of our own lock."""
    steps = yaml.safe_load(file(".github/workflows/ci.yml", of=TREE))["jobs"]["all"]["steps"]
    actions = [step["uses"] for step in steps if "uses" in step]
    assert [action.partition("@")[0] for action in actions] == ["actions/checkout", "actions/setup-python"]
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in actions)
    assert f"python -m pip install nox=={pins('requirements.lock')['nox'][0]}" in [step.get("run") for step in steps]


@pytest.mark.parametrize("name", ["BASE", "BASE_DIGEST"])
def test_the_base_image_is_ours(name: str) -> None:
    ours = re.findall(rf"^ARG {name}=.+$", file("Dockerfile"), re.MULTILINE)
    assert len(ours) == 1
    assert re.findall(rf"^ARG {name}=.+$", file("Dockerfile", of=TREE), re.MULTILINE) == ours


def pins(lock: str, *, of: Any = ROOT) -> dict[str, tuple[str, frozenset[str]]]:
    """The version and the hashes of each package in a lock."""
    entries = re.split(r"^(?=[A-Za-z0-9])", file(lock, of=of), flags=re.MULTILINE)
    found = {}
    for entry in entries:
        if match := re.match(r"([\w.-]+)==(.+?) \\$", entry, re.MULTILINE):
            found[match[1]] = match[2], frozenset(re.findall(r"--hash=(sha256:\S+)", entry))
    return found


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-cuda.lock"])
def test_the_locks_pin_what_ours_pin(lock: str) -> None:
    ours, theirs = pins(lock), pins(lock, of=TREE)
    version, hashes = theirs.pop("seedbed")
    assert version == "{{ cookiecutter.__seedbed }}"
    assert hashes == {"sha256:{%"}  # as it is when the wheel is there
    assert len(theirs) > 20
    assert all(hashes for _, hashes in theirs.values())
    assert {name: pin for name, pin in theirs.items() if ours.get(name) != pin} == {}


def test_the_date_of_the_locks_is_ours() -> None:
    date = r"^# exclude-newer: .+$"
    ours = re.findall(date, file("requirements.in"), re.MULTILINE)
    assert len(ours) == 1
    assert re.findall(date, file("requirements.in", of=TREE), re.MULTILINE) == ours
