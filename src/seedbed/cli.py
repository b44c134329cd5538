"""The command `seedbed`: prose and progress to stderr, tables and JSON to stdout.

Exit status: 0 all well; 1 a promise is broken, an experiment failed, or two records differ; 2 what was asked means
nothing or cannot be read or written; 130 interrupted.
"""

import io
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seedbed.errors import AnswerError, ScaffoldError, SeedbedError

if TYPE_CHECKING:
    from rich.console import Console

    from seedbed.promise import Promises
    from seedbed.record import Record, Stored
    from seedbed.rerun.plan import Plan

RECORDS = Path("records")
"""Where a project keeps the records of other machines."""

LOCAL = RECORDS / "local"
"""Where those of this one land."""

EXIT_BROKEN = 1
EXIT_UNREADABLE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="seedbed",
    help="Rerun experiments under changed conditions and record the differences, to the last bit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich takes a quarter of the start-up time
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]


def main(name: str | None = None) -> None:
    """Run the command, and turn what Seedbed refuses into one line and exit status 2.

    `name` is what its usage calls it, where that cannot be seen from how Python was started.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what it cannot show is written as an escape
    try:
        app(prog_name=name)
    except (SeedbedError, OSError) as error:
        print(f"seedbed: {error}", file=sys.stderr)
        sys.exit(EXIT_UNREADABLE)


@app.command()
def repro(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PACKAGE.MODULE:FUNCTION",
            help="What to run; else what pyproject.toml names, else the built-in experiments.",
            show_default=False,
        ),
    ] = None,
    level: Annotated[list[str], typer.Option(help="Levels, with commas between; there is portable, too.")] = [  # noqa: B006  (typer copies it)
        "none,seeded,deterministic"
    ],
    vary: Annotated[list[str], typer.Option(help="Conditions, with commas between.")] = [  # noqa: B006
        "rerun,hashseed,threads,isa,order,device"
    ],
    device: Annotated[
        Literal["cpu", "cuda", "auto"], typer.Option(help="auto: the CPU, and a CUDA GPU where there is one.")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Handed to every experiment; 0 to 2**32-1.")] = 1337,
    out: Annotated[
        Path | None, typer.Option(help="The record's folder, new.  [default: records/local/TIME]", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Finish a check that was interrupted.")] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes side by side.  [default: one a core]", show_default=False)
    ] = None,
    time_limit: Annotated[float, typer.Option(min=0.1, help="Seconds that one run of an experiment may take.")] = 600.0,
    json: Json = False,
) -> None:
    """Rerun experiments under changed conditions: what gives the same bits, and what does not?"""
    from seedbed.promise import settings
    from seedbed.rerun.partial import unfinished

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as `docker stop` ends a run: as Ctrl-C does
    project = settings(Path("pyproject.toml"))
    plan = _plan(tuple(experiments or ()) or project.experiments, level, vary, device, seed)
    folder = out or _default_out(resume)
    try:
        record = _check(plan, folder, resume, jobs, time_limit, project.promises)
    except KeyboardInterrupt:
        if unfinished(folder):
            print(f"seedbed: interrupted; to go on, give the same again with --resume --out {folder}", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    raise typer.Exit(_show(record, folder, project.promises, json))


def _plan(names: tuple[str, ...], level: list[str], vary: list[str], device: str, seed: int) -> "Plan":
    from seedbed import environment, suite
    from seedbed.condition import Cpu
    from seedbed.errors import ConfigError
    from seedbed.rerun.plan import make_plan
    from seedbed.seeding import check_seed

    no_gpu = environment.no_cuda()
    if device == "cuda" and no_gpu:
        raise ConfigError(f"--device cuda: {no_gpu}")
    here = environment.read()
    return make_plan(
        names or suite.EXPERIMENTS,
        levels=_words(level),
        conditions=_words(vary),
        device=device,
        no_gpu=no_gpu,
        seed=check_seed(seed),
        cpu=Cpu(
            cores=here.cpu.usable,
            features=frozenset(here.cpu.features),
            numpy_features=environment.numpy_features().dispatch,
            machine=here.system.machine,
        ),
    )


def _words(texts: list[str]) -> list[str]:
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


def _default_out(resume: bool) -> Path:
    from seedbed.rerun.partial import latest

    return latest(LOCAL) if resume else LOCAL / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def _check(
    plan: "Plan",
    out: Path,
    resume: bool,
    jobs: int | None,
    time_limit: float,
    promises: "Promises",
) -> "Record":
    from seedbed import environment
    from seedbed.errors import ExperimentError
    from seedbed.experiment import source_digest
    from seedbed.progress import progress
    from seedbed.rerun.check import make_record, run
    from seedbed.rerun.partial import Header, Partial

    here = environment.read(load=True)
    sources = {name: digest for name in plan.experiments if (digest := source_digest(name))}
    partial = (Partial.resume if resume else Partial.start)(out, Header(plan=plan, environment=here, sources=sources))
    try:
        with progress() as tick:
            run(partial, slots=jobs or here.cpu.usable, time_limit=time_limit, tick=tick)
    except ExperimentError:
        partial.remove()  # a name that cannot be loaded: there is nothing to resume
        raise
    return make_record(partial, out, promises)


def _show(record: "Record", folder: Path, promises: "Promises", json: bool) -> int:
    from seedbed import report
    from seedbed.errors import RecordError
    from seedbed.record import JSON_NAME, compare_records, read, to_json
    from seedbed.rerun.partial import is_lost

    if json:
        sys.stdout.buffer.write(to_json(record))
    else:
        _print_report(record)
    broken = report.failed(record)
    this = read(folder)
    for other in _others(folder):
        try:
            matches = compare_records(this, other, promises, default=None)
        except RecordError as error:
            print(f"seedbed: passed over: {error}", file=sys.stderr)
            continue
        print(report.summarise(matches, this.name, other.name), file=sys.stderr)
        broken |= any(match.kept is False for match in matches)
    if folder.parent == LOCAL and not any(RECORDS.glob(f"*/{JSON_NAME}")):
        out = f"--out {RECORDS}/NAME"
        make = f'the same with {out} (nox -s "repro(cpu)" -- {out}) makes one that can be committed'
        print(f"seedbed: {RECORDS} has no record to compare with yet: {make}", file=sys.stderr)
    print(f"record: {folder}", file=sys.stderr)
    if is_lost(folder):
        keep = f'start it with -v "$PWD/records:{RECORDS.resolve()}" to keep what is written there'
        print(f"seedbed: that is in the container, and goes with it: {keep}", file=sys.stderr)
    return EXIT_BROKEN if broken else 0


def _others(folder: Path) -> "list[Stored]":
    """The committed records of other machines; one that cannot be read is said, and passed over."""
    from seedbed.errors import RecordError
    from seedbed.record import JSON_NAME, read

    others = []
    for path in sorted(RECORDS.glob(f"*/{JSON_NAME}")):
        if path.parent.resolve() != folder.resolve():
            try:
                others.append(read(path.parent))
            except RecordError as error:
                print(f"seedbed: passed over: {error}", file=sys.stderr)
    return others


def _console() -> "Console":
    from rich.console import Console

    # A table in a pipe or a log is not cut to the 80 columns that a missing terminal is taken for.
    return Console(width=None if sys.stdout.isatty() else 160, emoji=False)


def _print_report(record: "Record") -> None:
    from seedbed import report

    _console().print(report.render(record))
    for line in report.remarks(record):
        print(line)


@app.command()
def compare(
    actual: Annotated[Path, typer.Argument(help="A record: its folder, or its record.json.")],
    expected: Annotated[Path, typer.Argument(help="The record to hold it against.")],
    json: Json = False,
) -> None:
    """Compare two records, across machines, devices or versions: exit status 0 where all promises hold, else 1."""
    import msgspec

    from seedbed import report
    from seedbed.promise import settings
    from seedbed.record import compare_records, read

    matches = compare_records(read(actual), read(expected), settings(Path("pyproject.toml")).promises)
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(matches) + b"\n")
    else:
        if table := report.render_matches(matches, str(actual), str(expected)):
            _console().print(table)
        print(report.summarise(matches, str(actual), str(expected)))
    raise typer.Exit(EXIT_BROKEN if not matches or any(match.kept is False for match in matches) else 0)


@app.command()
def show(
    record: Annotated[Path, typer.Argument(help="A record: its folder, or its record.json.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables in Markdown.")] = False,
    json: Json = False,
) -> None:
    """Show a record as its check did."""
    from seedbed import report
    from seedbed.record import read, to_json

    found = read(record).record
    if json:
        sys.stdout.buffer.write(to_json(found))
    elif markdown:
        print(report.markdown(found), report.markdown(found, detail=True), sep="\n", end="")
    else:
        _print_report(found)


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(help="A new folder for the project.")],
    project_name: Annotated[str | None, typer.Option(help="What it is called.  [default: as the folder]")] = None,
    package_name: Annotated[
        str | None, typer.Option(help="What its Python package is called.  [default: made from the project's name]")
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it is about, in one sentence.")] = None,
    author: Annotated[str | None, typer.Option(help='Who writes it.  [default: "The NAME authors"]')] = None,
    orcid: Annotated[str | None, typer.Option(help="The author's ORCID iD.  [default: none]")] = None,
    license: Annotated[  # noqa: A002  (what everybody calls it)
        Literal["MIT", "BSD-3-Clause", "Apache-2.0"] | None, typer.Option(help="Its licence.  [default: MIT]")
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"] | None, typer.Option(help="Where its results come from.  [default: cpu]")
    ] = None,
    example: Annotated[
        Literal["digits", "simulation", "empty"] | None,
        typer.Option(help="The experiment to start with: torch, NumPy, or next to none.  [default: digits]"),
    ] = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="Ask nothing: take the defaults.")] = False,
) -> None:
    """Start a project in which reproducibility already works; what is not given is asked."""
    from seedbed.scaffold.project import create

    questions = ("project_name", "package_name", "description", "author", "orcid", "license", "device", "example")
    given = (project_name, package_name, description, author, orcid, license, device, example)
    answers = {name: answer for name, answer in zip(questions, given, strict=True) if answer is not None}
    try:
        reason = create(folder, answers, defaults=defaults)
    except AnswerError as error:
        raise ScaffoldError(f"--{error.question.replace('_', '-')}: {error.reason}") from None
    except KeyboardInterrupt:
        print("seedbed: interrupted; nothing was made", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if reason:
        print(f"seedbed: no first commit was made: {reason}", file=sys.stderr)
    print(f"{folder} is there. In it: python -m pip install nox && nox -s tests")


@app.command()
def update(folder: Annotated[Path, typer.Argument(help="A project that Seedbed made.")] = Path()) -> None:
    """Bring a project up to the newer template: exit status 1 where that conflicts with what was changed in it."""
    from seedbed.scaffold.update import is_changed
    from seedbed.scaffold.update import update as bring_up

    conflicts = bring_up(folder)
    if not is_changed(folder):
        print("seedbed: it is up to date already; nothing was changed", file=sys.stderr)
        return
    for name in conflicts:
        print(f"conflict: {name}")
    print("seedbed: see `git diff HEAD`; then `nox -s lock`, `nox -s tests`, and commit", file=sys.stderr)
    raise typer.Exit(EXIT_BROKEN if conflicts else 0)


@app.command()
def env(json: Json = False) -> None:
    """Show what can change the bits of a result here: interpreter, lock, CPU, BLAS, torch, GPU, variables."""
    import msgspec

    from seedbed import environment

    here = environment.read(load=True)
    if json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(here), indent=1) + b"\n")
    else:
        from seedbed import report

        _console().print(report.render_environment(here))


@app.command()
def doctor(json: Json = False) -> None:
    """Say what would break a rerun here, and what to do about it: exit status 1 if something would break a promise."""
    import msgspec

    from seedbed.doctor import examine, render, summarise

    findings = examine(load=True, try_flags=True)
    if json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(findings), indent=1) + b"\n")
    else:
        _console().print(render(findings))
        print(summarise(findings))
    raise typer.Exit(EXIT_BROKEN if any(finding.status == "broken" for finding in findings) else 0)
