"""The first thing that a container runs: what is Seedbed's own, and what is another program."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from seedbed import cli, entrypoint

COMMAND = [sys.executable, "-P", "-m", "seedbed.entrypoint"]
"""As the Dockerfile has it."""


def start(*arguments: str, folder: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=os.environ | environ,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def test_the_commands_are_those_that_the_command_line_has() -> None:
    group = typer.main.get_command(cli.app)
    assert entrypoint.commands() == list(getattr(group, "commands"))  # noqa: B009  (click's own class is not public)
    assert {"repro", "doctor"} <= set(entrypoint.commands())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["repro", "--help"], ["doctor", "--json"], ["--nope"]])
def test_seedbed_s_own_words_are_for_seedbed_in_this_process(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    seen: list[tuple[str | None, list[str]]] = []
    monkeypatch.setattr(cli, "main", lambda name=None: seen.append((name, sys.argv[1:])))
    monkeypatch.setattr(os, "execvp", lambda *_: pytest.fail("another program was started"))
    monkeypatch.setattr(sys, "argv", ["entrypoint.py", *arguments])
    entrypoint.main()
    assert seen == [("seedbed", arguments)]


@pytest.mark.parametrize("arguments", [["python", "-c", "pass"], ["rpro"], ["./repro"], ["Repro", "--help"], [""]])
def test_any_other_word_is_a_program(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    seen: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(cli, "main", lambda *_: pytest.fail("it is not Seedbed's"))
    monkeypatch.setattr(os, "execvp", lambda file, all_of_it: seen.append((file, all_of_it)))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["entrypoint.py", *arguments])
    entrypoint.main()
    assert seen == [(arguments[0], arguments)]


def test_seedbed_s_usage_calls_it_seedbed() -> None:
    assert start("--help").stdout.startswith("Usage: seedbed [OPTIONS] COMMAND")
    refused = start("repro", "--nope")
    assert refused.returncode == 2
    assert refused.stderr.startswith("Usage: seedbed repro ")


def test_what_seedbed_refuses_is_its_exit_status() -> None:
    done = start("repro", "--level=high")
    assert done.returncode == cli.EXIT_UNREADABLE
    assert done.stderr.startswith("seedbed: there is no level 'high'")


def test_a_program_takes_the_place_of_the_process_with_its_arguments_and_exit_status(tmp_path: Path) -> None:
    script = 'echo "$$|$1|$2|$MARK|$PWD"; exit 7'
    process = subprocess.Popen(
        [*COMMAND, "sh", "-c", script, "sh", "a b", "--help"],
        cwd=tmp_path,
        env=os.environ | {"MARK": "here"},
        stdout=subprocess.PIPE,
        text=True,
    )
    printed, _ = process.communicate(timeout=60)
    assert printed == f"{process.pid}|a b|--help|here|{tmp_path}\n"
    assert process.returncode == 7


def test_a_program_that_is_not_there_is_one_line() -> None:
    done = start("rpro", "--device=cuda")
    assert (done.returncode, done.stdout) == (127, "")
    said = "Seedbed's own are repro, compare, show, new, update, env, doctor; or a program that the image has"
    assert done.stderr == f"seedbed: no command 'rpro': {said}\n"


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_a_program_that_cannot_be_run_is_one_line(tmp_path: Path, mode: int) -> None:
    (tmp_path / "program").write_bytes(b"\x7fELF and nothing more")
    (tmp_path / "program").chmod(mode)
    done = start("./program", folder=tmp_path)
    assert done.returncode == 126
    why = "Exec format error" if mode == 0o755 else "Permission denied"
    assert done.stderr == f"seedbed: ./program: {why}\n"


def test_the_current_folder_is_not_imported_from(tmp_path: Path) -> None:
    for name in ("typer", "signal", "seedbed"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    assert start("echo", "fine", folder=tmp_path).stdout == "fine\n"


def test_neither_numpy_nor_torch_is_loaded_before_a_program_starts() -> None:
    program = """
        import os, sys
        from seedbed import entrypoint
        os.execvp = lambda *_: print({"numpy", "torch", "msgspec", "rich.table"} & sys.modules.keys())
        sys.argv = ["entrypoint.py", "true"]
        entrypoint.main()
    """
    code = "\n".join(line.strip() for line in program.splitlines())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says which signals are ignored")
def test_a_program_ignores_no_signal_that_python_does() -> None:
    done = start("grep", "^SigIgn", "/proc/self/status")
    assert int(done.stdout.split()[1], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0
    assert start("sh", "-c", "yes | head -n 1").stderr == ""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_program(how: signal.Signals) -> None:
    process = subprocess.Popen([*COMMAND, "sh", "-c", "echo started; exec sleep 60"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    began = time.monotonic()
    process.send_signal(how)
    process.communicate(timeout=40)
    assert process.returncode == -how
    assert time.monotonic() - began < 20  # of the 60 that it would have slept


def test_sigterm_ends_a_command_that_has_not_begun_its_work(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "record.json")  # nobody writes to it: reading it waits
    process = subprocess.Popen([*COMMAND, "show", "."], cwd=tmp_path, stderr=subprocess.PIPE)
    with (tmp_path / "record.json").open("wb"):  # opened once it reads
        process.terminate()
        process.communicate(timeout=40)
    assert process.returncode == -signal.SIGTERM
