"""The project start as people use it: each engine, each example, and all that a project has, run in it.

`nox -s template` runs these, where copier and cookiecutter are; a round of one example takes three to four minutes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ("digits", "simulation", "empty")
ANSWERS = {
    "digits": {},
    "simulation": {"license": "BSD-3-Clause", "orcid": "0000-0002-1825-0097", "author": "Josiah S. Carberry"},
    "empty": {"license": "Apache-2.0", "device": "cuda", "project_name": "Étude d'été", "package_name": "etude"},
}
"""What each project is made with, beside the example; between them they have every licence and device."""

CHOSEN = os.environ.get("SEEDBED_EXAMPLES")

pytestmark = pytest.mark.skipif(CHOSEN is None, reason="`nox -s template` runs it")


@pytest.fixture(scope="module", params=(CHOSEN or "").split() or EXAMPLES)
def example(request: pytest.FixtureRequest) -> str:
    """The examples that were asked for, or all."""
    return str(request.param)


def run(*command: str | Path, cwd: Path, environ: Mapping[str, str] | None = None) -> str:
    """Run a program, and return what it says; where it fails, so does the test, with that."""
    whole = {**os.environ, **(environ or {})}
    done = subprocess.run(command, cwd=cwd, env=whole, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done.stdout + done.stderr


def tool(name: str) -> str:
    """A program of the session's own environment."""
    return str(Path(sys.executable).with_name(name))


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository, with what is not committed yet."""
    folder = tmp_path_factory.mktemp("template") / "seedbed"
    run("git", "clone", "--quiet", "--no-local", ROOT, folder, cwd=ROOT)
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT).split("\0")
    for name in filter(None, names):
        (folder / name).unlink(missing_ok=True)
        if (ROOT / name).is_symlink() or (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    commit(folder, "What is to be tried")
    return folder


def commit(folder: Path, message: str) -> None:
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@localhost")
    run("git", "add", "--all", cwd=folder)
    run(
        "git",
        *who,
        "commit",
        "--quiet",
        "--allow-empty",
        "--no-verify",
        "--no-gpg-sign",
        f"--message={message}",
        cwd=folder,
    )


def by_seedbed(folder: Path, clone: Path, answers: Mapping[str, str]) -> None:
    options = [word for name, answer in answers.items() for word in (f"--{name.replace('_', '-')}", answer)]
    run(tool("seedbed"), "new", folder, "--defaults", *options, cwd=folder.parent)


def by_copier(folder: Path, clone: Path, answers: Mapping[str, str]) -> None:
    data = [word for name, answer in answers.items() for word in ("--data", f"{name}={answer}")]
    run(tool("copier"), "copy", "--quiet", "--defaults", "--vcs-ref=HEAD", *data, clone, folder, cwd=folder.parent)


def by_cookiecutter(folder: Path, clone: Path, answers: Mapping[str, str]) -> None:
    words = [f"{name}={answer}" for name, answer in {**answers, "project_slug": folder.name}.items()]
    home = {"COOKIECUTTER_CONFIG": str(folder.parent / "none.yml")}
    (folder.parent / "none.yml").write_text("{}\n", encoding="utf-8")
    run(
        tool("cookiecutter"),
        "--no-input",
        "--output-dir",
        folder.parent,
        clone,
        *words,
        cwd=folder.parent,
        environ=home,
    )


ENGINES = {"seedbed": by_seedbed, "copier": by_copier, "cookiecutter": by_cookiecutter}


def files(folder: Path) -> dict[str, bytes]:
    """What is in a project, without what copier alone knows: from which commit of which repository it came."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith(".git/"):
            found[name] = path.read_bytes()
    answers = found[".copier-answers.yml"]
    found[".copier-answers.yml"] = re.sub(rb"(?m)^_(commit|src_path): .*\n", b"", answers)
    return found


def test_each_engine_gives_the_same_bytes_and_gives_them_again(example: str, clone: Path, tmp_path: Path) -> None:
    answers = {"project_name": "my-study", **ANSWERS[example], "example": example}
    slug = answers.get("package_name", "my-study")
    trees = {}
    for name, engine in ENGINES.items():
        for time in ("once", "again"):
            (tmp_path / name / time).mkdir(parents=True)
            engine(tmp_path / name / time / slug, clone, answers)
            trees[name, time] = files(tmp_path / name / time / slug)
    expected = trees["seedbed", "once"]
    assert len(expected) > 18
    for key, tree in trees.items():
        assert tree.keys() == expected.keys(), key
        assert [name for name in tree if tree[name] != expected[name]] == [], key


@pytest.mark.parametrize("name", ["Müller", "3d-study", "test", "numpy"])
def test_each_engine_gives_a_package_the_same_name(name: str, clone: Path, tmp_path: Path) -> None:
    """Of a folder's name that is no package's; what the name is, the unit tests say."""
    answers = {"project_name": name, "example": "empty"}
    made = set()
    for engine in ENGINES:
        (tmp_path / engine).mkdir()
        ENGINES[engine](tmp_path / engine / "study", clone, answers)
        made |= {path.name for path in (tmp_path / engine / "study/src").iterdir()}
    assert len(made) == 1, made


@pytest.fixture(scope="module")
def project(example: str, clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project. What its making and the next test take is "from generating to finished tests"."""
    folder = tmp_path_factory.mktemp(example) / "my-study"
    by_seedbed(folder, clone, {**ANSWERS[example], "example": example})
    return folder


def readme_commands(project: Path) -> list[str]:
    """The commands that the project's README starts with."""
    text = (project / "README.md").read_text(encoding="utf-8")
    found = [
        line.split("  #")[0].strip() for line in text.splitlines() if line.startswith("    python -m pip install nox")
    ]
    assert [command.split()[-1] for command in found] == ["repro", "tests"]
    return found


def shell(command: str, project: Path) -> str:
    """Run a line of a README as a reader would, with the session's Python and nox in front."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return run("bash", "-euo", "pipefail", "-c", command, cwd=project, environ={"PATH": path})


def test_the_tests_of_a_new_project_pass(project: Path) -> None:
    _, tests = readme_commands(project)
    assert " passed" in shell(tests, project)


def test_a_new_project_reproduces(project: Path) -> None:
    repro, _ = readme_commands(project)
    said = shell(repro, project)
    assert "record: records/local/" in said
    assert re.search(r"deterministic +│ 1 of 1 │ 1 of 1", said), said  # rerun and hashseed, which it promises


def test_a_new_project_passes_its_own_checks(project: Path) -> None:
    shell("nox -s lint types", project)
    assert run("git", "status", "--porcelain", cwd=project) == ""  # what the sessions write is ignored


def test_a_new_project_has_an_image(example: str, project: Path) -> None:
    arguments = json.loads(os.environ["SEEDBED_BUILD"])
    said = shell(" ".join(["nox -s image --", *arguments, "--build-arg=VARIANT=cpu"]), project)
    if "skipped" in said:
        pytest.skip(said.strip().splitlines()[-1])
    assert "nothing breaks a promise" in said
    name = re.search(r'^name = "(.*)"', (project / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert name is not None
    records = project / "records"
    records.chmod(0o777)
    engine = os.environ.get("DOCKER", "docker")
    options = ["run", "--rm", f"--user={os.getuid()}:{os.getgid()}", f"--volume={records}:/study/records", name[1]]
    before = set(records.glob("local/*/record.json"))  # by the tests before this one
    said = run(engine, *options, "repro", "--level=deterministic", "--vary=rerun", cwd=project)
    assert "1 of 1" in said
    assert len(set(records.glob("local/*/record.json")) - before) == 1


VERSIONS = run("git", "tag", cwd=ROOT).split()
NOW = re.findall(r'__version__ = "(.*)"', (ROOT / "src/seedbed/__init__.py").read_text(encoding="utf-8"))[0]
TODAY = f"v{NOW}.post1"


@pytest.fixture(scope="session")
def newer(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository whose last tag is of a version to come, with changes all over the template; and its wheel."""
    folder = tmp_path_factory.mktemp("newer") / "seedbed"
    run("git", "clone", "--quiet", clone, folder, cwd=clone)
    run("git", "tag", TODAY, cwd=folder)
    version(folder, "9.9.9")
    tree = folder / "{{cookiecutter.project_slug}}"
    replace(tree / "Dockerfile", "CMD [", "# A line of the newer template\nCMD [")
    replace(tree / "noxfile.py", "def lint(", "def style(")
    replace(
        folder / "templates/examples/digits/experiment.py", "EPOCHS = 10", "EPOCHS = 1"
    )  # not for those who have one
    (tree / "CONTRIBUTING.md").write_text("{{ cookiecutter.project_name }} is open.\n", encoding="utf-8")
    run(sys.executable, "-m", "seedbed.scaffold", cwd=folder, environ={"PYTHONPATH": str(folder / "src")})
    commit(folder, "A newer template")
    run("git", "tag", "v9.9.9", cwd=folder)
    yield folder
    shutil.rmtree(folder)


def version(clone: Path, new: str) -> None:
    """Make a clone of another version, in all the places that have it."""
    for name, old in {
        "src/seedbed/__init__.py": f'__version__ = "{NOW}"',
        "copier.yml": f"'__seedbed': '{NOW}'",
        "cookiecutter.json": f'"__seedbed": "{NOW}"',
    }.items():
        replace(clone / name, old, old.replace(NOW, new))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


def work_on(project: Path) -> None:
    """Change a project as a researcher would: an experiment of their own, a promise, a further requirement."""
    package = next((project / "src").glob("*/experiment.py")).parent
    own = '"""Mine."""\n\nimport tabulate\n\n\ndef run(*, seed: int) -> dict[str, object]:\n    """Count."""\n'
    own += "    return {'length': len(tabulate.tabulate([[seed]]))}\n"
    (package / "mine.py").write_text(own, encoding="utf-8")
    replace(project / "pyproject.toml", '.experiment:run"]', f'.experiment:run", "{package.name}.mine:run"]')
    replace(project / "pyproject.toml", 'rerun = "identical"', 'rerun = "identical"\norder = "identical"')
    replace(project / "requirements.in", "numpy\n", "numpy\ntabulate\n")
    shell("nox -s lock", project)
    assert "tabulate==" in (project / "requirements.lock").read_text(encoding="utf-8")
    commit(project, "Mine")


def check_updated(project: Path) -> None:
    """It has what is new, and what is the researcher's, and its two commands pass."""
    assert "A line of the newer template" in (project / "Dockerfile").read_text(encoding="utf-8")
    assert "def style(" in (project / "noxfile.py").read_text(encoding="utf-8")
    assert "my-study is open." in (project / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [path.name for path in project.glob("vendor/*.whl")] == ["seedbed-9.9.9-py3-none-any.whl"]
    assert "EPOCHS = 10" in (project / "src/my_study/experiment.py").read_text(encoding="utf-8")
    assert "tabulate\n" in (project / "requirements.in").read_text(encoding="utf-8")
    lock = (project / "requirements.lock").read_text(encoding="utf-8")
    assert "tabulate==" in lock
    assert "seedbed==9.9.9" in lock
    assert "<<<<<<<" not in lock
    shell("nox -s lock -- --check", project)
    repro, tests = readme_commands(project)
    assert " passed" in shell(tests, project)
    said = shell(repro, project)
    assert "my_study.mine:run" in said
    assert re.search(r"deterministic +│ 2 of 2 │ 2 of 2", said), said


updates = pytest.mark.skipif(bool(CHOSEN), reason="updates are tried when no example is chosen")


@updates
@pytest.mark.parametrize("tag", [*VERSIONS, TODAY])
def test_copier_updates_a_project_from_every_version(tag: str, newer: Path, tmp_path: Path) -> None:
    project = tmp_path / "my-study"
    run(tool("copier"), "copy", "--quiet", "--defaults", f"--vcs-ref={tag}", newer, project, cwd=tmp_path)
    run("git", "init", "--quiet", cwd=project)
    commit(project, "Start")
    work_on(project)
    run(tool("copier"), "update", "--quiet", "--defaults", cwd=project)
    check_updated(project)


@updates
def test_seedbed_updates_a_project(newer: Path, clone: Path, tmp_path: Path) -> None:
    project = tmp_path / "my-study"
    by_seedbed(project, clone, {})
    work_on(project)
    packages = tmp_path / "packages"
    wheel = next(newer.glob("*/vendor/*.whl"))
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages, wheel, cwd=tmp_path)
    run(sys.executable, "-m", "seedbed", "update", cwd=project, environ={"PYTHONPATH": str(packages)})
    commit(project, "Update")
    check_updated(project)
