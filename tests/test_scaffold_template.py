"""The project start's template: one set of rules for copier and cookiecutter, and the same pins as Seedbed's own."""

import ast
import json
import keyword
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import Any

import jinja2
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import seedbed
from tests.refused_answers import ORCID, REFUSED
from tests.scaffolding import ROOT, TREE

HOOK = (ROOT / "hooks/pre_gen_project.py").read_text(encoding="utf-8")
ACCEPTED = {
    "project_name": "Waves",
    "package_name": "waves",
    "description": "Über: 50 % {of} 'them'",
    "author": "Zoë",
    "orcid": ORCID,
    "project_slug": "waves",
}


# One set of rules


def hook(answers: dict[str, str]) -> tuple[int, str]:
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


@pytest.mark.parametrize("slug", ["", "My", "../x", "a b", "1a", "a_b"])
def test_the_hook_refuses_a_folder_that_is_no_name(slug: str) -> None:
    assert hook({**ACCEPTED, "project_slug": slug})[0] == 1


def test_the_hook_says_all_that_it_refuses() -> None:
    _, said = hook({**ACCEPTED, "package_name": "numpy", "author": ""})
    assert said.splitlines()[1:] == ["author: it is empty", "Nothing was made. The same command asks again."]
    assert said.startswith("package_name: ")


def libraries() -> set[str]:
    """The names of libraries that the hook has."""
    tree = ast.parse(HOOK.replace("{{dict(cookiecutter) | pprint}}", "{}"))
    assigned = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return set(str(ast.literal_eval(assigned["LIBRARIES"])).split())


def test_taken_has_every_module_word_and_library() -> None:
    taken = (ROOT / "templates/taken").read_text(encoding="utf-8").split()
    assert taken == sorted(set(taken))
    words = {*sys.stdlib_module_names, *keyword.kwlist, *keyword.softkwlist, *libraries()}
    assert {word for word in words if re.fullmatch("[a-z][a-z0-9_]*", word)} - set(taken) == set()
    assert {"numpy", "torch", "seedbed", "src", "tests", "records", "vendor"} <= libraries()


def test_taken_has_what_seedbed_requires() -> None:
    taken = (ROOT / "templates/taken").read_text(encoding="utf-8").split()
    requirements = tomllib.loads(file("pyproject.toml"))["project"]["dependencies"]
    required = {canonicalize_name(Requirement(text).name) for text in requirements}
    imported = {
        module
        for module, packages in packages_distributions().items()
        if any(canonicalize_name(package) in required for package in packages)
    }
    assert {"sklearn", "typer"} < imported
    unused = {"example"}  # nvidia-ml-py installs it, and nothing imports it
    assert {module for module in imported - unused if re.fullmatch("[a-z][a-z0-9_]*", module)} - set(taken) == set()


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
    assert [*questions(), "project_slug", "__seedbed", "__prompts__"] == list(other)
    asked = {name: question["help"] for name, question in questions().items()}
    assert other["__prompts__"] == {**asked, "project_slug": "In which new folder?"}


def test_copier_and_cookiecutter_have_the_same_choices_and_defaults() -> None:
    for name, question in questions().items():
        other = cookiecutter()[name]
        if "choices" in question:
            choices = question["choices"]
            assert other == list(choices.values() if isinstance(choices, dict) else choices)
            assert other[0] == question["default"]
        elif name != "project_name":  # the folder's name is what cookiecutter cannot know
            assert str(other).replace("cookiecutter.", "") == question["default"]
            assert question["validator"]
    assert cookiecutter()["project_name"] == "my-study"
    assert questions()["project_name"]["default"] == "{{ _copier_conf.dst_path.name }}"


def test_copier_hands_on_every_answer_under_cookiecutters_name() -> None:
    filled = copier()["cookiecutter"]["default"]
    names = re.findall(r"'(\w+)':", filled)
    assert names == [name for name in cookiecutter() if name != "__prompts__"]
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


def test_the_tools_are_ours() -> None:
    ours = tomllib.loads(file("pyproject.toml"))["dependency-groups"]
    theirs = tomllib.loads(file("pyproject.toml", of=TREE))["dependency-groups"]
    for group in theirs.values():
        for tool in group:
            assert tool in [*ours["lint"], *ours["types"]]
    assert {tool.split("==")[0] for group in theirs.values() for tool in group} == {"ruff", "mypy"}
    hooks = yaml.safe_load(file(".pre-commit-config.yaml", of=TREE))["repos"][0]["hooks"]
    assert {tool for entry in hooks for tool in entry["additional_dependencies"]} == set(theirs["lint"])


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
