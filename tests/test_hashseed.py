"""The hash seed: which one is in force, and Python re-executed where it is another, once, or an error that says why."""

import io
import os
import subprocess
import sys
import zipapp
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seedbed import hashseed
from seedbed.errors import HashSeedError, SeedbedWarning, SeedError
from seedbed.hashseed import ensure_hashseed, in_force, siphash

MARK = "SEEDBED_REEXECUTED"
SEEDS = (0, 1, 1337, 2**32 - 1)

# hash("x") under PYTHONHASHSEED=1337, from CPython 3.11.7, 3.12.1 and 3.13.0 on x86_64.
UNDER_1337 = "-8341119327961211930"
siphash13 = pytest.mark.skipif(sys.hash_info[:1] + sys.hash_info[5:6] != (64, "siphash13"), reason="another hash")

STARTS = """
    import os
    with open("starts", "a") as file:
        print(os.getpid(), file=file)
"""

PROGRAM = """
    import os, sys
    from seedbed import ensure_hashseed
    print("before", flush=False)
    ensure_hashseed(1337)
    print(hash("x"), sys.argv[1:], os.environ["PYTHONHASHSEED"], os.environ.get("SEEDBED_REEXECUTED"))
"""
PRINTED = f"{UNDER_1337} {{}} 1337 None\n"


def python(
    *arguments: str | Path, environ: Mapping[str, str] | None = None, **how: Any
) -> subprocess.CompletedProcess[str]:
    """Run Python without a hash seed but that of `environ`; its output is buffered, as it usually is."""
    without = ("PYTHONHASHSEED", "PYTHONUNBUFFERED", MARK)
    kept = {name: value for name, value in os.environ.items() if name not in without}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        **{"capture_output": True, "text": True, "check": False, "timeout": 120, "stdin": None} | how,
        env=kept | dict(environ or {}),
    )


def code(*parts: str) -> str:
    return "".join(map(dedent, parts))


def starts() -> list[str]:
    return Path("starts").read_text().split()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in an empty folder, with the program in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program.py").write_text(code(STARTS, PROGRAM))
    return tmp_path


# Which is in force

SAY = "from seedbed.hashseed import in_force; print(in_force())"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_seed_of_the_environment_is_in_force(seed: int) -> None:
    assert python("-c", SAY, environ={"PYTHONHASHSEED": str(seed)}).stdout == f"{seed}\n"


@pytest.mark.parametrize("value", [None, "", "random"])
def test_without_one_it_is_random(value: str | None) -> None:
    assert python("-c", SAY, environ={} if value is None else {"PYTHONHASHSEED": value}).stdout == "None\n"


@pytest.mark.parametrize("flag", ["-I", "-E", "-R"])
def test_a_variable_that_is_ignored_is_not_in_force(flag: str) -> None:
    assert python(flag, "-c", SAY, environ={"PYTHONHASHSEED": "42"}).stdout == "None\n"


@pytest.mark.parametrize("value", ["0", "42"])
def test_a_variable_set_after_the_start_is_not_in_force(value: str) -> None:
    assert python("-c", f"import os; os.environ['PYTHONHASHSEED'] = '{value}'; {SAY}").stdout == "None\n"


@pytest.mark.parametrize("late", ["os.environ['PYTHONHASHSEED'] = '7'", "del os.environ['PYTHONHASHSEED']"])
@pytest.mark.parametrize("seed", ["0", "42"])
def test_the_seed_of_the_start_stays_in_force(late: str, seed: str) -> None:
    assert python("-c", f"import os; {late}; {SAY}", environ={"PYTHONHASHSEED": seed}).stdout == f"{seed}\n"


def test_without_proc_the_start_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_path: Path) -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_bytes", missing)
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setattr(hashseed, "_is_in_force", lambda seed: seed == 7)
    assert in_force() == 7
    monkeypatch.setenv("PYTHONHASHSEED", "8")
    assert in_force() is None


@pytest.mark.parametrize("text", ["", "random", "-1", "4294967296", "1.0", "1" * 5000])
def test_what_is_no_hash_seed_is_none_in_force(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(hashseed, "_at_start", lambda: text)
    monkeypatch.setattr(hashseed, "_is_in_force", lambda seed: seed != 0)
    monkeypatch.setenv("PYTHONHASHSEED", text)
    assert in_force() is None
    monkeypatch.setenv("PYTHONHASHSEED", "4294967295")
    assert in_force() == 2**32 - 1


# (rounds, length, hash) of the bytes 0, 1, 2, ... under the key 0, 1, ... 15. 2-4: https://github.com/veorq/SipHash,
# vectors.h; the last is the paper's own. 1-3: https://github.com/rust-lang/rust, test_siphash_1_3.
@pytest.mark.parametrize(
    ("rounds", "length", "expected"),
    [
        ((2, 4), 0, 0x726FDB47DD0E0E31),
        ((2, 4), 7, 0xAB0200F58B01D137),
        ((2, 4), 8, 0x93F5F5799A932462),
        ((2, 4), 15, 0xA129CA6149BE45E5),
        ((1, 3), 0, 0xABAC0158050FC4DC),
        ((1, 3), 1, 0xC9F49BF37D57CA93),
    ],
)
def test_siphash_is_that_of_its_authors(rounds: tuple[int, int], length: int, expected: int) -> None:
    assert siphash(bytes(range(length)), bytes(range(16)), *rounds) == expected


@pytest.mark.parametrize(
    ("unsigned", "width", "expected"),
    [
        (2**63 - 1, 64, 2**63 - 1),
        (2**63, 64, -(2**63)),
        (2**64 - 1, 64, -2),
        (5 * 2**32 + 7, 32, 7),
        (2**64 - 3, 32, -3),
    ],
)
def test_a_hash_is_signed_and_as_wide_as_the_build(
    monkeypatch: pytest.MonkeyPatch, unsigned: int, width: int, expected: int
) -> None:
    monkeypatch.setattr(hashseed, "siphash", lambda *_: unsigned)
    monkeypatch.setattr(hashseed, "sys", SimpleNamespace(hash_info=SimpleNamespace(width=width)))
    assert hashseed._expected_hash(1, 1, 3) == expected


@pytest.mark.parametrize(
    ("start", "randomized", "ignored", "expected"),
    [
        ("42", 1, 0, 42),
        ("0", 0, 0, 0),
        ("0", 1, 0, None),
        ("42", 0, 0, None),
        ("42", 1, 1, None),
        ("random", 1, 0, None),
    ],
)
def test_under_another_algorithm_the_start_counts(
    monkeypatch: pytest.MonkeyPatch, start: str, randomized: int, ignored: int, expected: int | None
) -> None:
    flags = SimpleNamespace(hash_randomization=randomized, ignore_environment=ignored)
    fake = SimpleNamespace(hash_info=SimpleNamespace(algorithm="fnv"), flags=flags)
    monkeypatch.setattr(hashseed, "sys", fake)
    monkeypatch.setattr(hashseed, "_at_start", lambda: start)
    monkeypatch.setenv("PYTHONHASHSEED", "7")  # too late
    assert in_force() == expected


# Re-executed


def as_command(folder: Path) -> list[str | Path]:
    """A command as pip writes it into ``bin``, started by its own first line; `env` stands in for a shell."""
    command = folder / "command"
    command.write_text(f"#!{sys.executable}\nimport program\n")
    command.chmod(0o755)
    return ["-c", "import os, sys; os.execv(sys.argv[1], sys.argv[1:])", command]


def as_zip(folder: Path) -> list[str | Path]:
    source = folder / "source"
    source.mkdir()
    (source / "__main__.py").write_text((folder / "program.py").read_text())
    zipapp.create_archive(source, folder / "program.pyz")
    return [folder / "program.pyz"]


def as_folder(folder: Path) -> list[str | Path]:
    package = folder / "study"
    package.mkdir()
    (package / "__main__.py").write_text("from . import program")
    (package / "program.py").write_text((folder / "program.py").read_text())
    return ["-m", "study"]


WAYS: dict[str, Callable[[Path], list[str | Path]]] = {
    "script": lambda folder: [folder / "program.py"],
    "script without a path": lambda _: ["program.py"],
    "-m": lambda _: ["-m", "program"],
    "-m package": as_folder,
    "-c": lambda folder: ["-c", (folder / "program.py").read_text()],
    "zip": as_zip,
    "command": as_command,
    "-u": lambda _: ["-u", "program.py"],
}


@siphash13
@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_starting_works(folder: Path, way: str) -> None:
    arguments = ["two words", "é", "", "-m", os.fsdecode(b"\xff")]
    ran = python(*WAYS[way](folder), *arguments)
    assert ran.stdout == "before\nbefore\n" + PRINTED.format(arguments), ran.stderr
    assert (ran.returncode, ran.stderr) == (0, "")
    first, second = starts()  # twice, not once more
    assert first == second  # the same process


@siphash13
def test_the_options_of_python_are_kept() -> None:
    more = "print(sys.flags.dev_mode, sys.flags.optimize, sys.warnoptions, sys._xoptions)"
    Path("program.py").write_text(code(PROGRAM, more))
    options = ("-X", "dev", "-OO", "-W", "error::FutureWarning", "-X", "one=two")
    ran = python(*options, "program.py", "-W", "-I")
    kept = "True 2 ['default', 'error::FutureWarning'] {'dev': True, 'one': 'two'}\n"
    assert ran.stdout == "before\nbefore\n" + PRINTED.format(["-W", "-I"]) + kept, ran.stderr


@siphash13
def test_after_the_script_a_prompt_may_follow() -> None:
    ran = python("-i", "program.py", stdin=subprocess.DEVNULL)
    assert ran.stdout == "before\nbefore\n" + PRINTED.format([]), ran.stderr


def test_standard_input_that_was_not_read_and_the_exit_status_are_passed_on() -> None:
    Path("program.py").write_text(code(PROGRAM, "sys.exit(int(sys.stdin.read()))"))
    ran = python("program.py", stdin=None, input="7")
    assert (ran.returncode, len(ran.stdout.splitlines())) == (7, 3), ran.stderr


@pytest.mark.parametrize("environ", [{}, {"PYTHONHASHSEED": "random"}, {"PYTHONHASHSEED": ""}])
def test_no_seed_in_force_is_no_seed_of_the_user_s(environ: dict[str, str]) -> None:
    assert python("program.py", environ=environ).returncode == 0
    assert len(starts()) == 2


def test_a_variable_set_too_late_is_set_again() -> None:
    Path("program.py").write_text(code(STARTS, "os.environ['PYTHONHASHSEED'] = '1337'", PROGRAM, f"\n{SAY}"))
    ran = python("program.py")
    assert ran.stdout.endswith("\n1337\n"), ran.stderr
    assert len(starts()) == 2


def test_where_it_is_in_force_nothing_starts_over() -> None:
    ran = python("program.py", environ={"PYTHONHASHSEED": "1337"})
    assert (ran.returncode, len(starts()), ran.stdout.count("before")) == (0, 1, 1), ran.stderr


def test_the_user_s_own_seed_is_kept_and_said() -> None:
    Path("program.py").write_text(code(STARTS, PROGRAM, f"\n{SAY}"))
    ran = python("program.py", environ={"PYTHONHASHSEED": "42"})
    assert (ran.stdout.splitlines()[-1], len(starts())) == ("42", 1)
    line, source = ran.stderr.splitlines()
    assert "SeedbedWarning: PYTHONHASHSEED=42 was set before Python started and is kept" in line
    assert source.strip() == "ensure_hashseed(1337)"
    assert line.endswith("the hash seed asked for, 1337, is not in force; unset PYTHONHASHSEED, or ask for 42")


def test_children_inherit_it(folder: Path) -> None:
    more = f"import subprocess; subprocess.run([sys.executable, '-c', {SAY!r}])"
    Path("program.py").write_text(code(PROGRAM, more))
    assert "1337" in python("program.py").stdout.splitlines()


def test_never_twice() -> None:
    ran = python("-R", "program.py")
    assert ran.returncode == 1
    assert "HashSeedError: the hash seed 1337 is not in force" in ran.stderr
    assert f"re-executed with it once, in vain; something takes it away (python -R, or '{sys.executable}'" in ran.stderr
    assert len(starts()) == 2


def test_the_mark_is_taken_away_even_where_the_seed_is_in_force() -> None:
    ran = python("program.py", environ={"PYTHONHASHSEED": "1337", MARK: "1337"})
    assert ran.stdout.endswith("1337 None\n"), ran.stderr


@pytest.mark.parametrize("seed", [-1, 2**32, True, "1337", None])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    with pytest.raises(SeedError, match=r"0\.\.2\*\*32-1"):
        ensure_hashseed(seed)


# In this process: what `os.execve` would be given


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """As if the hash seed were random and nothing stood in the way; what would be executed."""
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    monkeypatch.delenv(MARK, raising=False)
    monkeypatch.setattr(hashseed, "_is_in_force", lambda _seed: False)
    monkeypatch.setattr(hashseed, "_OBSTACLES", ())
    done: list[Any] = []

    def execve(*given: Any) -> None:
        done.append(given)

    monkeypatch.setattr(os, "execve", execve)
    return done


def test_python_is_executed_with_the_same_arguments(executed: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "study", "--name", "a b"])
    ensure_hashseed(np.int64(7))
    ((executable, arguments, environ),) = executed
    assert executable == sys.executable
    assert arguments == [sys.executable, "-m", "study", "--name", "a b"]
    assert environ == os.environ | {"PYTHONHASHSEED": "7", MARK: "7"}
    assert not {"PYTHONHASHSEED", MARK} & os.environ.keys()


def test_the_seed_is_1337_where_none_is_given(executed: list[Any]) -> None:
    ensure_hashseed()
    assert executed[0][2]["PYTHONHASHSEED"] == "1337"


def test_the_mark_of_this_process_is_an_error(executed: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, "1337")
    with pytest.raises(HashSeedError, match="once, in vain"):
        ensure_hashseed()
    assert MARK not in os.environ
    assert executed == []


def test_the_user_s_own_seed_is_not_overwritten(executed: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "42")
    monkeypatch.setattr(hashseed, "_is_in_force", lambda seed: seed == 42)
    with pytest.warns(SeedbedWarning, match="PYTHONHASHSEED=42 was set .* 1337, is not in force"):
        ensure_hashseed()
    assert executed == []
    ensure_hashseed(42)
    assert executed == []


@pytest.mark.parametrize("state", ["open", "closed", "none"])
def test_what_was_printed_is_written_before(executed: list[Any], monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    written: list[str] = []
    stream = io.StringIO()
    monkeypatch.setattr(stream, "flush", lambda: written.append("flushed"))
    if state == "closed":
        stream.close()
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        monkeypatch.setattr(sys, name, None if state == "none" else stream)
    ensure_hashseed()
    assert (len(written), len(executed)) == (4 if state == "open" else 0, 1)


@pytest.mark.parametrize(
    ("before", "error"),
    [
        ("os.environ['LARGE'] = 'x' * 2**22", "[Errno 7] Argument list too long"),
        ("sys.executable = '/nowhere/python'", "[Errno 2] No such file or directory"),
    ],
)
def test_an_execution_that_fails_is_an_error(before: str, error: str) -> None:
    Path("program.py").write_text(code("import os, sys\n", before, PROGRAM))
    ran = python("program.py")
    assert (ran.returncode, ran.stdout) == (1, "before\n")
    assert refused(ran, f"Python could not be re-executed ({error}"), ran.stderr
    assert ran.stderr.endswith("start it with PYTHONHASHSEED=1337\n")


def test_an_execution_that_fails_names_its_cause(executed: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def execve(*_given: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "execve", execve)
    with pytest.raises(HashSeedError, match=r"re-executed \(\[Errno 13\] Permission denied\): start it") as caught:
        ensure_hashseed()
    assert isinstance(caught.value.__cause__, PermissionError)
    assert MARK not in os.environ


# Refused


def refused(ran: subprocess.CompletedProcess[str], why: str) -> bool:
    return f"HashSeedError: the hash seed 1337 is not in force and cannot be set from here: {why}" in ran.stderr


@pytest.mark.parametrize("flag", ["-I", "-E"])
def test_where_the_variable_is_ignored(flag: str) -> None:
    ran = python(flag, "program.py")
    assert refused(ran, "python -I and -E ignore PYTHONHASHSEED: start without them, PYTHONHASHSEED=1337 python"), ran
    assert len(starts()) == 1


def from_a_file(text: str) -> subprocess.CompletedProcess[str]:
    Path("input.py").write_text(text)
    with Path("input.py").open() as file:
        return python(stdin=file)


def from_a_pipe(text: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of ``python <(...)``."""
    read, write = os.pipe()
    with os.fdopen(write, "w") as file:
        file.write(text)
    try:
        return python(f"/dev/fd/{read}", pass_fds=[read])
    finally:
        os.close(read)


FROM: dict[str, Callable[[str], subprocess.CompletedProcess[str]]] = {
    "python < file": from_a_file,
    "python -": lambda text: python("-", stdin=None, input=text),
    "python /dev/stdin": lambda text: python("/dev/stdin", stdin=None, input=text),
    "python <(...)": from_a_pipe,
}


@pytest.mark.parametrize("way", FROM)
def test_a_program_that_cannot_be_read_again(way: str) -> None:
    ran = FROM[way](code(STARTS, PROGRAM))
    assert refused(ran, "the program came from standard input or a pipe"), ran
    assert "or start it as PYTHONHASHSEED=1337 python -\n" in ran.stderr
    assert (ran.returncode, len(starts())) == (1, 1)


def test_at_a_prompt() -> None:
    lines = "from seedbed import ensure_hashseed\nx = 41\nensure_hashseed()\nprint(x)\n"
    ran = python("-i", stdin=None, input=lines)
    assert refused(ran, "what was typed at the prompt would be lost: start it as PYTHONHASHSEED=1337 python"), ran
    assert "41" in ran.stdout


def test_in_ipython() -> None:
    Path("program.py").write_text(code("import builtins; builtins.__IPYTHON__ = True\n", STARTS, PROGRAM))
    ran = python("program.py")
    assert refused(ran, "a Jupyter kernel or IPython would lose its variables"), ran
    assert 'start it as PYTHONHASHSEED=1337 jupyter lab (or ipython), or write "PYTHONHASHSEED": "1337"' in ran.stderr
    assert len(starts()) == 1


def test_in_a_kernel_of_jupyter(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipykernel", reason="a real kernel needs ipykernel and jupyter_client")
    manager = pytest.importorskip("jupyter_client.manager")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    told: list[Any] = []
    with manager.run_kernel() as client:
        for line in ("x = 41", "from seedbed import ensure_hashseed; ensure_hashseed()", "print(x)"):
            client.execute_interactive(line, timeout=60, output_hook=told.append)
    said = [message["content"] for message in told if message["msg_type"] in ("error", "stream")]
    assert said[0]["ename"] == "HashSeedError"
    assert "a Jupyter kernel or IPython would lose its variables" in said[0]["evalue"]
    assert said[1]["text"] == "41\n"


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_in_a_child_of_multiprocessing(method: str) -> None:
    Path("parent.py").write_text(
        code(f"""
            import multiprocessing
            from seedbed import ensure_hashseed
            from program import STARTED
            if __name__ == "__main__":
                child = multiprocessing.get_context("{method}").Process(target=ensure_hashseed)
                child.start()
                child.join(60)
                print(child.exitcode)
        """)
    )
    Path("program.py").write_text("STARTED = True")
    ran = python("parent.py")
    assert refused(ran, "a forked process, or a child of multiprocessing"), ran
    assert ran.stdout == "1\n"


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_a_child_inherits_what_its_parent_made_sure_of(method: str) -> None:
    Path("parent.py").write_text(
        code(f"""
            import multiprocessing
            from seedbed.hashseed import ensure_hashseed, in_force
            ensure_hashseed(7)
            if __name__ == "__main__":
                with multiprocessing.get_context("{method}").Pool(1) as pool:
                    print(pool.apply(in_force))
        """)
    )
    assert python("parent.py").stdout == "7\n"


def test_in_a_worker_of_joblib() -> None:
    Path("parent.py").write_text(
        code("""
            from joblib import Parallel, delayed
            from seedbed import ensure_hashseed
            if __name__ == "__main__":
                Parallel(2)(delayed(ensure_hashseed)() for _ in range(2))
        """)
    )
    assert refused(python("parent.py"), "a forked process, or a child of multiprocessing")


def test_in_a_forked_process() -> None:
    Path("program.py").write_text(
        code(STARTS, "from seedbed import hashseed\n", "if os.fork():\n    os.wait(); os._exit(0)\n", PROGRAM)
    )
    assert refused(python("program.py"), "a forked process, or a child of multiprocessing")
    assert len(starts()) == 1


def test_in_another_thread() -> None:
    threaded = """
        import threading
        from seedbed import ensure_hashseed
        thread = threading.Thread(target=ensure_hashseed)
        thread.start()
        thread.join()
    """
    Path("program.py").write_text(code(STARTS, threaded))
    assert refused(python("program.py"), "this is not the main thread")
    assert len(starts()) == 1


@pytest.mark.parametrize(("available", "initialised", "expected"), [(1, 1, True), (1, 0, False), (0, 1, False)])
def test_in_a_process_group(
    monkeypatch: pytest.MonkeyPatch, available: bool, initialised: bool, expected: bool
) -> None:
    fake = SimpleNamespace(is_available=lambda: available, is_initialized=lambda: initialised)
    monkeypatch.setitem(sys.modules, "torch.distributed", fake)
    assert bool(hashseed._in_a_process_group()) is expected
    monkeypatch.delitem(sys.modules, "torch.distributed")
    assert not hashseed._in_a_process_group()


@pytest.mark.parametrize(
    ("executable", "arguments", "expected"),
    [("/bin/python", ["python"], False), ("", ["python"], True), (None, ["python"], True), ("/bin/python", [], True)],
)
def test_in_an_embedded_interpreter(
    monkeypatch: pytest.MonkeyPatch, executable: str | None, arguments: list[str], expected: bool
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "orig_argv", arguments)
    assert hashseed._embedded() is expected


def test_every_reason_says_what_to_do() -> None:
    for _, why in hashseed._OBSTACLES:
        assert "PYTHONHASHSEED=7" in why.format(seed=7) or "ensure_hashseed(7)" in why.format(seed=7)


# pytest


def test_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    monkeypatch.setattr(hashseed, "_is_in_force", lambda _seed: False)
    with pytest.raises(HashSeedError, match="pytest has redirected the output, which would be lost, failures and all"):
        ensure_hashseed()


CALL = "from seedbed import ensure_hashseed; ensure_hashseed()\n"
SUITES = {
    "conftest": {"conftest.py": CALL, "test_a.py": "def test_a(): pass"},
    "test": {"test_a.py": f"def test_a():\n    {CALL}"},
}


@pytest.mark.parametrize("options", [(), ("-s",), ("-n", "1")], ids=["captured", "-s", "xdist"])
@pytest.mark.parametrize("suite", SUITES)
def test_in_pytest(suite: str, options: tuple[str, ...]) -> None:
    for name, text in SUITES[suite].items():
        Path(name).write_text(text)
    command = ("-m", "pytest", "-p", "no:cacheprovider", *options, "test_a.py")
    without, under = python(*command), python(*command, environ={"PYTHONHASHSEED": "1337"})
    assert "start it as PYTHONHASHSEED=1337 python -m pytest" in without.stdout + without.stderr
    assert without.returncode != 0
    assert (under.returncode, "1 passed" in under.stdout) == (0, True), under.stdout


def test_a_program_that_pytest_starts_is_not_in_pytest() -> None:
    Path("program.py").write_text(code("import pytest", PROGRAM))
    assert "PYTEST_VERSION" in os.environ
    assert python("program.py").returncode == 0


# torchrun


@siphash13
def test_each_of_torchrun_s_workers_starts_over() -> None:
    said = """
        import os, sys
        from seedbed import ensure_hashseed
        ensure_hashseed()
        import torch.distributed
        torch.distributed.init_process_group("gloo")
        ranks = [None, None]
        torch.distributed.all_gather_object(ranks, (torch.distributed.get_rank(), hash("x")))
        with open(os.environ["RANK"], "w") as file:  # both print at once, without a buffer: lines would mix
            print(os.environ["RANK"], os.environ["WORLD_SIZE"], ranks, sys.argv[1:], file=file)
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()  # without it gloo's threads may abort at exit
    """
    Path("program.py").write_text(code(STARTS, said))
    ran = python("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "program.py", "a b")
    assert ran.returncode == 0, ran.stderr
    for rank in ("0", "1"):
        assert Path(rank).read_text() == f"{rank} 2 [(0, {UNDER_1337}), (1, {UNDER_1337})] ['a b']\n"
    assert sorted(starts().count(process) for process in set(starts())) == [2, 2]


def test_in_torchrun_s_workers_too_a_group_is_too_early() -> None:
    Path("program.py").write_text(
        code(STARTS, "import torch.distributed; torch.distributed.init_process_group('gloo')\n", PROGRAM)
    )
    ran = python("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "program.py")
    assert refused(ran, "torch.distributed is initialised, and the other ranks would wait for this one"), ran.stderr
    assert (ran.returncode, len(starts())) == (1, 1)


# What it costs


def test_it_imports_neither_numpy_nor_torch() -> None:
    heavy = """
        import sys
        before = set(sys.modules)
        import seedbed.hashseed
        print({"numpy", "torch", "msgspec", "multiprocessing", "asyncio"} & (sys.modules.keys() - before))
    """
    assert python("-c", code(heavy)).stdout == "set()\n"
