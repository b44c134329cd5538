"""The one recipe: people and CI run these sessions (`nox -l` lists them).

What runs Seedbed runs in the environment of a lock, exactly: `requirements.lock`, or `requirements-cuda.lock` where the
session says ``(cuda)``. It is made once and kept until the lock changes.
"""

import itertools
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).with_name("src")))

from seedbed.sessions import (
    CPU_LOCK,
    CUDA_LOCK,
    EACH_LOCK,
    add,
    build,
    build_command,
    build_twice,
    environment,
    find_engine,
    group,
    write_locks,
)
from seedbed.sessions.installation import as_it_is
from seedbed.sessions.locks import EXCLUDE_NEWER, compiled, renewed

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"  # uv where it is there: seconds, for pip's minute
nox.options.reuse_venv = "yes"

TREE = "{{cookiecutter.project_slug}}"
VERSION_MARK = "{{ cookiecutter.__seedbed }}"
DIGEST_MARK = '{% include ["seedbed.sha256", "templates/seedbed.sha256"] %}'
PIN = re.compile(r"^([a-z0-9-]+==\S+ \\\n)((?:    --hash=.*\n)+)", re.MULTILINE)  # a package, and its hashes

OCTAVE_PACKAGES = ("octave", "gcc", "libc6-dev")  # with what puts Octave on SciPy's own OpenBLAS
OCTAVE_TESTS = "tests/end_to_end/test_octave*.py"
IMAGE_TESTS = ("tests/end_to_end/test_image.py", "tests/test_image_difference.py")


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format (ruff), and the Dockerfile (hadolint); `-- --fix` mends what it can."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if session.posargs else ["--check"]))
    session.run("hadolint", "Dockerfile")


@nox.session
def types(session: nox.Session) -> None:
    """Types (mypy, strict), against the locked libraries."""
    python = environment(session, CPU_LOCK)
    session.install(*group("types"))
    # Not the script `mypy`, whose first line names the folder that the project was in when it was installed.
    session.run("python", "-m", "mypy", f"--python-executable={python}", *session.posargs)


@nox.session
def layers(session: nox.Session) -> None:
    """Imports only ever go down a floor (import-linter)."""
    session.install(*group("layers"))
    session.run("lint-imports", env={"PYTHONPATH": "src"})


@nox.session(venv_backend="none")
@EACH_LOCK
def tests(session: nox.Session, lock: str) -> None:
    """The tests, with the coverage of branches; arguments go to pytest (`-- tests/test_bits.py -k nan`)."""
    coverage = (environment(session, lock), "-m", "coverage")
    session.run(*coverage, "erase")
    session.run(*coverage, "run", "-m", "pytest", *session.posargs)
    session.run(*coverage, "combine", "--quiet")
    session.run(*coverage, "report", *(["--fail-under=0"] if session.posargs else []))  # a part covers a part


@nox.session(default=False, venv_backend="none")
@EACH_LOCK
def repro(session: nox.Session, lock: str) -> None:
    """Whether this machine reproduces itself, and where not; arguments go to `seedbed repro` (`-- --help`)."""
    session.run(environment(session, lock), "-m", "seedbed", "repro", *session.posargs)


@nox.session(default=False, venv_backend="none")
def image(session: nox.Session) -> None:
    """Build the CPU image, and try it: doctor, users, signals, the tests, a check. More: docs/container.md.

    `-- --twice` builds it twice without cache instead, and says in which files the two differ. Other arguments go to
    the engine's `build`.
    """
    build_and_try(session, "cpu")


@nox.session(default=False, name="image(cuda)", venv_backend="none")
def image_cuda(session: nox.Session) -> None:
    """The same of the CUDA image (5 GB), as far as it goes without a GPU."""
    build_and_try(session, "cuda")


@nox.session(default=False, venv_backend="none")
def octave(session: nox.Session) -> None:
    """The tests beside a real Octave; root installs Debian's where it is missing. Arguments go to pytest."""
    install_octave(session)
    if shutil.which("octave-cli") is None:
        session.skip(f"no octave-cli on the PATH: as root, `apt-get install {' '.join(OCTAVE_PACKAGES)}`")
    tests = map(str, sorted(Path().glob(OCTAVE_TESTS)))
    session.run(environment(session, CPU_LOCK), "-m", "pytest", *tests, *session.posargs)


@nox.session(default=False)
def template(session: nox.Session) -> None:
    """Start projects in each way, and run all that they have (`-- digits` only that example); docs/template.md.

    Further arguments, from the first that begins with a dash on, go to the engine's `build`.
    """
    chosen = list(itertools.takewhile(lambda argument: not argument.startswith("-"), session.posargs))
    session.install(*group("template"))
    session.install("--no-deps", "--force-reinstall", *map(str, Path(TREE, "vendor").glob("*.whl")))
    environ = {"SEEDBED_EXAMPLES": " ".join(chosen), "SEEDBED_BUILD": json.dumps(session.posargs[len(chosen) :])}
    alone = ["--noconftest", "-p", "no:cacheprovider", "--override-ini=addopts=-ra"]  # as what these need is not here
    shown = ["--durations=0", "--durations-min=1"]
    session.run("python", "-m", "pytest", *alone, *shown, "tests/end_to_end/test_template.py", env=environ)


@nox.session(default=False, venv_backend="none")
def wheel(session: nox.Session) -> None:
    """Put Seedbed's wheel where the project start has it; `-- --check` only says whether it is stale."""
    session.run(environment(session, CPU_LOCK), "-m", "seedbed.scaffold", *session.posargs)


@nox.session(default=False)
def sbom(session: nox.Session) -> None:
    """Write what each lock brings as a CycloneDX list of parts, dist/sbom-*.json: the same bytes from the same lock."""
    session.install(*group("sbom"))
    Path("dist").mkdir(exist_ok=True)
    for name, lock in {"cpu": CPU_LOCK, "cuda": CUDA_LOCK}.items():
        options = ["--output-reproducible", "--mc-type=application", "--pyproject=pyproject.toml"]
        output = f"--output-file=dist/sbom-{name}.cdx.json"
        session.run("cyclonedx-py", "requirements", *options, output, lock)


@nox.session(default=False, venv_backend="none")
def bench(session: nox.Session) -> None:
    """What the performance claims are made from, against the peers; arguments go to `python -m benchmarks`."""
    python = environment(session, CPU_LOCK, "bench-cpu")
    add(session, python, *group("bench"))
    session.run(python, "-m", "benchmarks", *session.posargs)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Write both locks from requirements.in; `-- --check` only says whether they are stale, `-- --upgrade` renews."""
    write_locks(session)
    write_template_locks(session)


def write_template_locks(session: nox.Session) -> None:
    """The same for the projects that Seedbed starts: of the same date, and with the hashes that our own locks have."""
    tree, ours = Path(TREE).absolute(), {name: Path(name).read_text(encoding="utf-8") for name in (CPU_LOCK, CUDA_LOCK)}
    date = EXCLUDE_NEWER.findall(Path("requirements.in").read_text(encoding="utf-8"))[0]
    wanted = renewed((tree / "requirements.in").read_text(encoding="utf-8"), date)
    version = next(tree.glob("vendor/*.whl")).name.split("-")[1]
    with tempfile.TemporaryDirectory() as folder, session.chdir(folder):
        for name in (".python-version", "vendor"):
            Path(name).symlink_to(tree / name)
        filled_in = wanted.replace(VERSION_MARK, version)
        fresh = {name: blank(aligned(compiled(session, filled_in, name), ours[name])) for name in ours}
    fresh["requirements.in"] = wanted
    changed = [name for name, text in fresh.items() if (tree / name).read_text(encoding="utf-8") != text]
    if changed and "--check" in session.posargs:
        session.error(f"stale in {TREE}: {', '.join(changed)}: `nox -s lock` writes them again")
    for name in changed:
        (tree / name).write_text(fresh[name], encoding="utf-8")


def aligned(lock: str, ours: str) -> str:
    """A lock with the hashes that our own has for the same package, whose list depends on where it was looked for."""
    found = {match[1]: match[2] for match in PIN.finditer(ours)}
    return PIN.sub(lambda match: match[1] + found.get(match[1], match[2]), lock)


def blank(lock: str) -> str:
    """A lock with Seedbed's own pin left to be filled in."""
    return re.sub(
        r"^seedbed==.*\n.*sha256:\w+",
        f"seedbed=={VERSION_MARK} \\\\\n    --hash=sha256:{DIGEST_MARK}",
        lock,
        flags=re.M,
    )


def install_octave(session: nox.Session) -> None:
    """Install Debian's Octave if it is missing and this user may; where that fails, apt-get has said why."""
    if shutil.which("octave-cli") or os.geteuid() or not shutil.which("apt-get") or as_it_is(session):
        return
    environ = {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *OCTAVE_PACKAGES]):
        session.run("apt-get", "-qq", *arguments, env=environ, external=True, success_codes=range(256))


def build_and_try(session: nox.Session, kind: str) -> None:
    """Build the image of a variant with what `session.posargs` adds, and try it (tests/end_to_end/test_image.py)."""
    engine, reason = find_engine(os.environ.get("DOCKER"))
    if reason:
        session.skip(reason)
    tag = "seedbed" if kind == "cpu" else f"seedbed:{kind}"
    twice = "--twice" in session.posargs
    arguments = [argument for argument in session.posargs if argument != "--twice"]
    python = environment(session, CPU_LOCK)
    with tempfile.TemporaryDirectory() as folder:
        command = build_command(engine, kind, Path(folder), arguments)
        if twice:
            build_twice(session, engine, command, Path(folder), python)
            return
        build(session, [*command, f"--tag={tag}", "."])
        environ = {"DOCKER": engine, "SEEDBED_IMAGE": tag, "SEEDBED_BUILD": json.dumps(command)}
        session.run(python, "-m", "pytest", *IMAGE_TESTS, env=environ)
