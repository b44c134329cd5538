"""The one recipe: people and CI run these sessions (`nox -l` lists them).

What runs Seedbed runs in the environment of a lock, exactly: `requirements.lock`, or `requirements-cuda.lock` where the
session says ``(cuda)``. It is made once and kept until the lock changes.
"""

import ast
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"  # uv where it is there: seconds, for pip's minute
nox.options.reuse_venv = "yes"

CPU_LOCK, CUDA_LOCK = "requirements.lock", "requirements-cuda.lock"
PYTHON = Path(".python-version").read_text(encoding="utf-8").strip()
PYPROJECT = nox.project.load_toml("pyproject.toml")
STAMP = "seedbed-lock.sha256"  # in an environment: what was installed into it

PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
INDEX_VARIABLE = "SEEDBED_TORCH_INDEX"  # another address than PyTorch's; empty for none

UV_NAMES = {  # pip's settings that say where packages come from, as uv calls them, and what separates several
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_EXTRA_INDEX_URL", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
}

EACH_LOCK = nox.parametrize("lock", [nox.param(CPU_LOCK, id="cpu"), nox.param(CUDA_LOCK, id="cuda")])


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
    locked(session, CPU_LOCK)
    session.install(*group("types"))
    session.run("mypy", *session.posargs)


@nox.session
def layers(session: nox.Session) -> None:
    """Imports only ever go down a floor (import-linter)."""
    session.install(*group("layers"))
    session.run("lint-imports", env={"PYTHONPATH": "src"})


@nox.session
@EACH_LOCK
def tests(session: nox.Session, lock: str) -> None:
    """The tests, with the coverage of branches; arguments go to pytest (`-- tests/test_bits.py -k nan`)."""
    locked(session, lock)
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", *(["--fail-under=0"] if session.posargs else []))  # a part covers a part


@nox.session(default=False)
@EACH_LOCK
def repro(session: nox.Session, lock: str) -> None:
    """Whether this machine reproduces itself, and where not; arguments go to `seedbed repro` (`-- --help`)."""
    locked(session, lock)
    session.run("python", "-m", "seedbed", "repro", *session.posargs)


@nox.session(default=False)
def image(session: nox.Session) -> None:
    """Build the CPU image, and try it: doctor, users, signals, the tests, a check. More: docs/container.md.

    `-- --twice` builds it twice without cache instead, and says in which files the two differ. Other arguments go to
    the engine's `build`.
    """
    build_and_try(session, "cpu")


@nox.session(default=False, name="image(cuda)")
def image_cuda(session: nox.Session) -> None:
    """The same of the CUDA image (5 GB), as far as it goes without a GPU."""
    build_and_try(session, "cuda")


@nox.session(default=False)
def sbom(session: nox.Session) -> None:
    """Write what each lock brings as a CycloneDX list of parts, dist/sbom-*.json: the same bytes from the same lock."""
    session.install(*group("sbom"))
    Path("dist").mkdir(exist_ok=True)
    for name, lock in {"cpu": CPU_LOCK, "cuda": CUDA_LOCK}.items():
        options = ["--output-reproducible", "--mc-type=application", "--pyproject=pyproject.toml"]
        output = f"--output-file=dist/sbom-{name}.cdx.json"
        session.run("cyclonedx-py", "requirements", *options, output, lock)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """What the performance claims are made from, against the peers; arguments go to `python -m benchmarks`."""
    locked(session, CPU_LOCK)
    session.install(*group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Write both locks from requirements.in; `-- --check` only says whether they are stale, `-- --upgrade` renews."""
    if unknown := set(session.posargs) - {"--check", "--upgrade"}:
        session.error(f"lock takes --check or --upgrade, not {' '.join(sorted(unknown))}")
    wanted = Path("requirements.in").read_text(encoding="utf-8")
    if "--upgrade" in session.posargs:
        wanted = renewed(wanted, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    session.install(*group("lock"))
    fresh = {name: compiled(session, wanted, name) for name in (CPU_LOCK, CUDA_LOCK)}
    if "--check" in session.posargs:
        if found := [f"{name} ({', '.join(changed)})" for name in fresh if (changed := stale(name, fresh[name]))]:
            session.error(f"stale: {'; '.join(found)}: `nox -s lock` writes them again")
        return
    for name, text in {"requirements.in": wanted, **fresh}.items():
        Path(name).write_text(text, encoding="utf-8")


def group(name: str) -> tuple[str, ...]:
    """The requirements of one of pyproject.toml's dependency groups."""
    return nox.project.dependency_groups(PYPROJECT, name)


# The environment of a lock


def locked(session: nox.Session, lock: str) -> None:
    """Make the session's environment what `lock` says, with Seedbed itself in it, unless it is that already."""
    if lock == CUDA_LOCK and (reason := no_gpu()):
        session.skip(reason)
    python = python_of(session)
    if not python or session.venv_backend == "none":
        return  # `nox -R` and `nox --no-venv` mean: as it is
    environment, wanted = Path(session.virtualenv.location), digest(lock)
    found = stamp(environment)
    if (python, found) == (PYTHON, wanted):
        return
    if (
        python != PYTHON or found is not None
    ):  # made by another Python, for another lock, or cut short: not to be patched
        shutil.rmtree(environment)
        session.virtualenv.create()
    if reason := refusal(python_of(session), platform.system(), platform.machine()):
        session.error(reason)
    (environment / STAMP).write_text("unfinished", encoding="utf-8")
    install(session, lock)
    (environment / STAMP).write_text(wanted, encoding="utf-8")


def install(session: nox.Session, lock: str) -> None:
    """Install a lock, then Seedbed; with the hashes checked, from wheels only, and no build environment of its own."""
    session.log(f"installing {lock}: a minute or two, once")
    settings = pip_settings(os.environ)
    version, hashes = pins(Path(lock).read_text(encoding="utf-8"))["torch"]
    index = cpu_index(os.environ, at_hand=wheel_at_hand(version)) if lock == CPU_LOCK else ""
    if index:
        session.log(f"looking for torch {version} in {index} too ({INDEX_VARIABLE} names another address, or none)")
    options = ["--require-hashes", "--only-binary=:all:"]
    with tempfile.TemporaryDirectory() as folder:
        # Alone, so that no other package is looked for in that index; and `===`, because `torch==2.13.0` would let uv
        # take a 2.13.0+cpu that is at hand, whose hash then fails.
        torch = Path(folder, "torch.txt")
        torch.write_text(f"torch==={version} {' '.join(sorted(hashes))}\n", encoding="utf-8")
        environ = install_environ(settings, index, os.environ)
        session.install(*options, "--no-deps", "--requirement", str(torch), env=environ)
    environ = install_environ(settings, "", os.environ)
    session.install(*options, "--requirement", lock, env=environ)
    session.install("--no-deps", "--no-build-isolation", "--editable", ".", env=environ)


def python_of(session: nox.Session) -> str:
    """The version of the environment's Python; empty where nox was told to install nothing."""
    code = "import platform; print(platform.python_version())"
    return str(session.run_install("python", "-c", code, silent=True, log=False) or "").strip()


def refusal(python: str, system: str, machine: str) -> str | None:
    """Why a lock cannot be installed into this Python on this machine, or None.

    The patch release counts: the interpreter is the first thing that a record of the environment names, and the
    container image has the same one.
    """
    if python != PYTHON:
        return (
            f"the locks are for CPython {PYTHON} (.python-version) and this is {python}: "
            f"`pyenv install {PYTHON}`, then run that one's `python -m pip install nox && python -m nox`"
        )
    if (system, machine) != ("Linux", "x86_64"):
        return f"the locks are for Linux x86_64 and this is {system} {machine}: `python -m pip install .` takes no lock"
    return None


def no_gpu(devices: Path = Path("/dev")) -> str | None:
    """Why there is no NVIDIA GPU to be used here, or None: asked before gigabytes are installed for it."""
    if any(devices.glob("nvidia[0-9]*")):
        return None
    command = shutil.which("nvidia-smi")  # WSL has no such device files
    if command and subprocess.run([command, "-L"], capture_output=True, check=False).stdout.startswith(b"GPU "):
        return None
    return f"no NVIDIA GPU: no {devices}/nvidia0, and nvidia-smi {'lists none' if command else 'is not there'}"


def digest(lock: str) -> str:
    """What decides what an environment holds, in one number: the lock, and how Seedbed itself is installed."""
    project = [PYPROJECT[table] for table in ("build-system", "project")] + [PYPROJECT["tool"]["setuptools"]]
    return hashlib.sha256(Path(lock).read_bytes() + json.dumps(project).encode()).hexdigest()


def stamp(environment: Path) -> str | None:
    """The digest of what an environment holds, or None where nothing was installed yet."""
    path = environment / STAMP
    return path.read_text(encoding="utf-8") if path.exists() else None


# Where packages come from


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What pip was told about where packages come from: in its files, then in the environment, which wins."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # nothing, if there is no pip
    return settings_of(listed, environ)


def settings_of(listed: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The settings in the output of `pip config list`: a command's own win over global ones, a variable over both."""
    settings = {}
    for section in ("global", "install"):
        for name, value in re.findall(rf"^{section}\.([\w-]+)=(.*)$", listed, re.MULTILINE):
            settings[name] = str(ast.literal_eval(value))
    for name in UV_NAMES:
        if value := environ.get("PIP_" + name.upper().replace("-", "_")):
            settings[name] = value
    return {name: value for name, value in settings.items() if name in UV_NAMES}


def install_environ(settings: Mapping[str, str], index: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that make pip and uv alike follow pip's `settings`, and look in `index` (if any) as well.

    uv does not read pip's settings; where it has its own, those win.
    """
    handed = {
        variable: separator.join(os.path.expanduser(part) for part in settings[name].split())  # noqa: PTH111 (URLs too)
        for name, (variable, separator) in UV_NAMES.items()
        if name in settings and variable not in environ
    }
    # uv would look for a package only in the first index that has its name, whatever the version, as a guard against a
    # stranger's package of that name; the hashes guard too, and an extra index often has an old copy of NumPy.
    handed["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    # pip compiles by itself. Left to the first import, it would be done again by every process of a check where
    # PYTHONDONTWRITEBYTECODE is set, as it often is in containers: 13 s of CPU each instead of 5.
    handed["UV_COMPILE_BYTECODE"] = "1"
    if index:
        handed["UV_INDEX"] = f"{environ.get('UV_INDEX', '')} {index}".strip()
        handed["PIP_EXTRA_INDEX_URL"] = f"{settings.get('extra-index-url', '')} {index}".strip()
    return handed


def cpu_index(environ: Mapping[str, str], *, at_hand: bool) -> str:
    """The index to look in for torch's CPU wheel, which PyPI does not have; empty where none is needed."""
    return environ.get(INDEX_VARIABLE, "" if at_hand else PYTORCH_CPU_INDEX)


def wheel_at_hand(torch: str) -> bool:
    """Whether pip's own settings (a folder of wheels in `PIP_FIND_LINKS`, pip.conf) have it, asked without an index."""
    options = ["--dry-run", "--no-index", "--no-deps", "--ignore-installed", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options, f"torch=={torch}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


# The image

IMAGE_TESTS = ("tests/end_to_end/test_image.py", "tests/test_image_difference.py")


def build_and_try(session: nox.Session, kind: str) -> None:
    """Build the image of a variant with what `session.posargs` adds, and try it (tests/end_to_end/test_image.py)."""
    engine, reason = find_engine(os.environ.get("DOCKER"))
    if reason:
        session.skip(reason)
    tag = "seedbed" if kind == "cpu" else f"seedbed:{kind}"
    twice = "--twice" in session.posargs
    arguments = [argument for argument in session.posargs if argument != "--twice"]
    locked(session, CPU_LOCK)
    with tempfile.TemporaryDirectory() as folder:
        command = build_command(engine, kind, Path(folder), arguments)
        if twice:
            build_twice(session, engine, command, Path(folder))
            return
        build(session, [*command, f"--tag={tag}", "."])
        environ = {"DOCKER": engine, "SEEDBED_IMAGE": tag, "SEEDBED_BUILD": json.dumps(command)}
        session.run("python", "-m", "pytest", *IMAGE_TESTS, env=environ)


def find_engine(named: str | None) -> tuple[str, str | None]:
    """The client of an engine that answers (`named`, or docker, or podman), and why there is none."""
    for engine in [named] if named else ["docker", "podman"]:
        if shutil.which(engine) and subprocess.run([engine, "info"], capture_output=True, check=False).returncode == 0:
            return engine, None
    tried = named or "docker and podman"
    return "", (
        f"no container engine answers ({tried}): install Docker (https://docs.docker.com/engine/install) or Podman and "
        "start it; DOCKER names another client"
    )


def build_command(engine: str, kind: str, folder: Path, arguments: list[str]) -> list[str]:
    """`docker build` with all that an image can know of itself, and what pip was told here as secrets (in `folder`)."""
    settings = pip_settings(os.environ)
    lock = CPU_LOCK if kind == "cpu" else CUDA_LOCK
    values = {
        "VARIANT": kind,
        "REVISION": revision(),
        "SOURCE": public_address(git("config", "remote.origin.url")),
        "SOURCE_DATE_EPOCH": git("log", "-1", "--format=%ct"),
        "LOCK_SHA256": hashlib.sha256(Path(lock).read_bytes()).hexdigest(),
    }
    if address := os.environ.get(INDEX_VARIABLE):
        values["TORCH_INDEX"] = address
    pip = folder / "pip.conf"
    pip.write_text(pip_conf(settings), encoding="utf-8")
    secrets = {"pip": pip, **({"ca": settings["cert"]} if "cert" in settings else {})}
    return [
        *(engine, "build"),
        *(f"--build-arg={name}={value}" for name, value in values.items() if value),
        *(f"--secret=id={name},src={path}" for name, path in secrets.items()),
        *arguments,  # last, so that they win
    ]


def pip_conf(settings: Mapping[str, str]) -> str:
    """pip's settings for inside a build: indexes, but no folder of this machine, which is not there."""
    kept = {
        name: " ".join(part for part in settings[name].split() if "://" in part and not part.startswith("file:"))
        for name in ("index-url", "extra-index-url")
        if name in settings
    }
    if "trusted-host" in settings:
        kept["trusted-host"] = settings["trusted-host"]
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in kept.items() if value), ""])


def git(*arguments: str) -> str:
    """What git says; nothing outside a repository."""
    command = ["git", *arguments]
    if not shutil.which("git"):
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def public_address(url: str) -> str:
    """A remote's address as the public may read it: without a password, and nothing where it is a folder."""
    found = re.fullmatch(r"(https?|ssh|git)://(?:[^/@]*@)?(\S+)", url)
    return f"{found[1]}://{found[2]}" if found else ""


def revision() -> str:
    """The commit that is built, and whether it is more than that commit."""
    commit = git("rev-parse", "--verify", "--quiet", "HEAD")
    return f"{commit}-dirty" if commit and git("status", "--porcelain") else commit


def build(session: nox.Session, command: list[str]) -> None:
    """Build; with BuildKit where the engine is an older Docker."""
    session.run_install(*command, external=True, env={"DOCKER_BUILDKIT": "1"})


def build_twice(session: nox.Session, engine: str, command: list[str], folder: Path) -> None:
    """Build twice without a cache, and compare file by file."""
    tags, archives = [], []
    for number in ("one", "two"):
        tags.append(f"seedbed-twice:{number}")
        archives.append(str(folder / f"{number}.tar"))
        build(session, [*command, "--no-cache", f"--tag={tags[-1]}", "."])
        session.run(engine, "save", f"--output={archives[-1]}", tags[-1], external=True)
    session.run("python", "-m", "seedbed.image", "compare", *archives)
    session.run(engine, "rmi", *tags, external=True, silent=True)


# The locks

EXCLUDE_NEWER = re.compile(r"^# exclude-newer: (\S+)$", re.MULTILINE)


def renewed(requirements: str, date: str) -> str:
    """`requirements` that take no package newer than `date`, where it is now an older one."""
    return EXCLUDE_NEWER.sub(f"# exclude-newer: {date}", requirements)


def variant(requirements: str, lock: str) -> str:
    """`requirements` with the torch that belongs to a lock: ``2.13.0+cpu``, or exactly the ``2.13.0`` of PyPI."""
    return re.sub(r"^torch==(\S+)", r"torch==\1+cpu" if lock == CPU_LOCK else r"torch===\1", requirements, flags=re.M)


def compiled(session: nox.Session, requirements: str, lock: str) -> str:
    """The text of a lock, made from nothing but `requirements` and the releases up to the date in them."""
    requirements = variant(requirements, lock)
    torch = re.findall(r"^torch===?(\S+)", requirements, re.MULTILINE)[0]
    index = cpu_index(os.environ, at_hand=wheel_at_hand(torch)) if lock == CPU_LOCK else ""
    options = [
        "--generate-hashes",
        "--only-binary=:all:",
        f"--python-version={PYTHON}",
        "--python-platform=x86_64-manylinux_2_28",
        f"--exclude-newer={EXCLUDE_NEWER.findall(requirements)[0]}",
        "--exclude-newer-package=torch=false",  # PyTorch's index gives no dates; the version is fixed anyway
        "--custom-compile-command=nox -s lock",
    ]
    environ = install_environ(pip_settings(os.environ), index, os.environ)
    with tempfile.TemporaryDirectory() as folder, session.chdir(folder):  # so that no path gets into the lock
        Path("requirements.in").write_text(requirements, encoding="utf-8")
        command = ["python", "-m", "uv", "pip", "compile", "--quiet", *options, "--output-file", lock]
        session.run(*command, "requirements.in", env=environ)
        return Path(lock).read_text(encoding="utf-8")


def pins(lock: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Each package of a lock's text: its version, and the hashes of its files."""
    found = {}
    for line in lock.replace("\\\n", " ").splitlines():
        if line[:1].isalnum():
            requirement, *hashes = line.split()
            name, version = requirement.split("==")
            found[name] = version, frozenset(hashes)
    return found


def stale(lock: str, fresh: str) -> list[str]:
    """The packages in which a committed lock differs from `fresh`.

    Hashes differ where none is the same: another source of torch's CPU wheel lists it beside other platforms' wheels.
    """
    old = pins(Path(lock).read_text(encoding="utf-8")) if Path(lock).exists() else {}
    new = pins(fresh)
    return sorted(name for name in {*old, *new} if not agree(old.get(name), new.get(name)))


def agree(one: tuple[str, frozenset[str]] | None, other: tuple[str, frozenset[str]] | None) -> bool:
    """Whether two pins name the same version, and at least one file in common."""
    return bool(one and other and one[0] == other[0] and one[1] & other[1])
