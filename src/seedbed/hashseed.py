"""The hash seed, which orders sets of text: which one is in force, measured, and Python re-executed where it is not."""

import builtins
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, SupportsIndex

from seedbed.errors import HashSeedError, warn
from seedbed.seeding import DEFAULT_SEED, check_seed

_VARIABLE = "PYTHONHASHSEED"
_MARK = "SEEDBED_REEXECUTED"
"""In the environment from `os.execve` until the next call of `ensure_hashseed`: never twice."""

_PROBE = "hash seed"
"""The text whose hash is measured: ASCII, so its bytes are known; 8 or more, since builds may hash less differently."""

_ROUNDS = {"siphash13": (1, 3), "siphash24": (2, 4)}

_PROCESS = os.getpid()
"""The process that imported this module; `os.fork` leaves it in the child as it was."""


def in_force() -> int | None:
    """Measure which hash seed is in force in this process; None where it is random.

    Neither ``PYTHONHASHSEED`` nor ``sys.flags`` can say: the variable may have been set after the start or be ignored
    (``-I``, ``-E``, ``-R``), and ``sys.flags.hash_randomization`` is 1 for any seed but 0. So the hash that each seed
    in question would give a text is computed, and compared with the one that it has. In question are the value of the
    variable now and at the start (off Linux only now), and 0. An interpreter embedded in another program can have
    been given a seed in no variable: None, unless it is 0.

    Where text is hashed by something else than SipHash (`sys.hash_info`; no build of CPython by default), nothing is
    measured: the value at the start counts, unless the flags contradict it.
    """
    texts = (os.environ.get(_VARIABLE, ""), _at_start(), "0")
    return next((seed for text in texts if (seed := _number(text)) is not None and _is_in_force(seed)), None)


def ensure_hashseed(seed: SupportsIndex = DEFAULT_SEED) -> None:
    """Have this program run under the hash seed `seed`: re-execute Python with ``PYTHONHASHSEED`` where it does not.

    Call it first thing, before heavy imports::

        from seedbed import ensure_hashseed

        ensure_hashseed(1337)

        import torch

    Where the seed is in force already it returns at once. Otherwise the process starts over with the same arguments,
    whatever they were (a script, ``-m``, ``-c``, a command in ``bin``, torchrun's worker), as the same process, and
    the call does not return. Whatever ran before the call runs again, and nothing is cleaned up: files, sockets and
    threads just end, as in `os.execve`; no ``finally``, no `atexit`. What was read from standard input or changed
    (the current folder, `os.environ`) stays so. Children inherit the variable.

    A hash seed of the user's own (``PYTHONHASHSEED`` set before the start) is kept.

    Parameters
    ----------
    seed
        An integer in 0..2**32-1. 0 switches the randomization off.

    Raises
    ------
    SeedError
        If `seed` is anything else.
    HashSeedError
        If the seed is not in force and cannot be made so from here, with what to do instead: under ``-I`` and ``-E``;
        in pytest, IPython, Jupyter and at a prompt; in a program read from standard input; in multiprocessing's
        children, another thread, an initialised process group, an embedded interpreter; if `os.execve` fails; and if
        Python was re-executed once already.

    Warns
    -----
    SeedbedWarning
        If the user's own hash seed is another.
    """
    number = check_seed(seed)
    marked = os.environ.pop(_MARK, None)
    if _is_in_force(number):
        return
    own = _number(os.environ.get(_VARIABLE, ""))
    if own is not None and _is_in_force(own):
        warn(
            f"{_VARIABLE}={own} was set before Python started and is kept: the hash seed asked for, {number}, is "
            f"not in force; unset {_VARIABLE}, or ask for {own}"
        )
    elif marked is not None:
        _refuse(
            number,
            f"Python was re-executed with it once, in vain; something takes it away (python -R, or {sys.executable!r} "
            f"is a script): start Python itself with {_VARIABLE}={number}",
        )
    else:
        _reexecute(number)


def _is_in_force(seed: int) -> bool:
    rounds = _ROUNDS.get(sys.hash_info.algorithm)
    if rounds is None:
        said = seed == _number(_at_start()) and bool(sys.flags.hash_randomization) is (seed != 0)
        return said and not sys.flags.ignore_environment
    return hash(_PROBE) == _expected_hash(seed, *rounds)


def _at_start() -> str:
    """Read the variable as it was when the process started: `os.environ` may have changed since."""
    try:
        block = Path("/proc/self/environ").read_bytes()
    except OSError:  # not Linux
        return os.environ.get(_VARIABLE, "")
    pairs = (entry.partition(b"=") for entry in block.split(b"\0"))
    return next((os.fsdecode(value) for name, _, value in pairs if name == _VARIABLE.encode()), "")


def _number(text: str) -> int | None:
    try:
        seed = int(text)
    except ValueError:  # unset, or "random"
        return None
    return seed if 0 <= seed < 2**32 else None  # Python does not start with any other


def _expected_hash(seed: int, compression: int, finalization: int) -> int:
    """Give the hash that `_PROBE` has under a seed: https://github.com/python/cpython/blob/3.11/Python/pyhash.c."""
    unsigned = siphash(_PROBE.encode(), _key(seed), compression, finalization) % 2**sys.hash_info.width
    signed = unsigned - 2**sys.hash_info.width if unsigned >> (sys.hash_info.width - 1) else unsigned
    return -2 if signed == -1 else signed  # -1 stands for an error in C


def _key(seed: int) -> bytes:
    """Derive SipHash's key as ``lcg_urandom`` does: github.com/python/cpython/blob/3.11/Python/bootstrap_hash.c."""
    return bytes(16) if seed == 0 else bytes(_linear_congruential(seed, 16))


def _linear_congruential(state: int, count: int) -> Iterator[int]:
    for _ in range(count):
        state = (state * 214013 + 2531011) % 2**32
        yield (state >> 16) & 0xFF


def siphash(data: bytes, key: bytes, compression: int, finalization: int) -> int:
    """Compute SipHash-c-d: Aumasson and Bernstein, https://www.aumasson.jp/siphash/siphash.pdf."""
    k0, k1 = struct.unpack("<QQ", key)
    v0, v1, v2, v3 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for (word,) in struct.iter_unpack("<Q", padded):
        v0, v1, v2, v3 = _sipround(v0, v1, v2, v3 ^ word, compression)
        v0 ^= word
    v0, v1, v2, v3 = _sipround(v0, v1, v2 ^ 0xFF, v3, finalization)
    return v0 ^ v1 ^ v2 ^ v3


def _sipround(v0: int, v1: int, v2: int, v3: int, times: int) -> tuple[int, int, int, int]:
    for _ in range(times):
        v0, v2 = (v0 + v1) % 2**64, (v2 + v3) % 2**64
        v1, v3 = _rotate(v1, 13) ^ v0, _rotate(v3, 16) ^ v2
        v0, v2 = (_rotate(v0, 32) + v3) % 2**64, (v2 + v1) % 2**64
        v1, v3 = _rotate(v1, 17) ^ v2, _rotate(v3, 21) ^ v0
        v2 = _rotate(v2, 32)
    return v0, v1, v2, v3


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) % 2**64


def _reexecute(seed: int) -> NoReturn:
    for stands_in_the_way, why in _OBSTACLES:
        if stands_in_the_way():
            _refuse(seed, why.format(seed=seed))
    _flush()
    environ = os.environ | {_VARIABLE: str(seed), _MARK: str(seed)}
    try:
        # Its full path as its own name too: by a bare "python" it would look for its libraries along PATH.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)  # noqa: S606 - no shell is meant
    except OSError as error:
        why = f"Python could not be re-executed ({error}): start it with {_VARIABLE}={seed}"
        _refuse(seed, why, error)


def _refuse(seed: int, why: str, cause: OSError | None = None) -> NoReturn:
    raise HashSeedError(f"the hash seed {seed} is not in force and cannot be set from here: {why}") from cause


def _flush() -> None:
    """Write out what was printed: `os.execve` drops what is still in memory."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None and not stream.closed:
            stream.flush()


def _variable_is_ignored() -> bool:
    return bool(sys.flags.ignore_environment)


def _in_pytest() -> bool:
    """Look for pytest among the callers: its variables are set in its children too, and anything may import it."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if str(frame.f_globals.get("__name__")).partition(".")[0] == "_pytest":
            return True
    return False


def _in_ipython() -> bool:
    return hasattr(builtins, "__IPYTHON__")  # IPython's own mark; a kernel has it too


def _at_a_prompt() -> bool:
    return hasattr(sys, "ps1")  # python -i has it only after its script


def _program_cannot_be_read_again() -> bool:
    file = getattr(sys.modules["__main__"], "__file__", None) or ""
    return file == "<stdin>" or Path(file).is_fifo()  # python <(...) is a pipe


def _in_a_child() -> bool:
    """Look for a fork, or a parent; what has not imported multiprocessing is no child of its (nor of joblib's loky)."""
    process = sys.modules.get("multiprocessing.process")
    return os.getpid() != _PROCESS or (process is not None and process.parent_process() is not None)


def _in_another_thread() -> bool:
    return threading.current_thread() is not threading.main_thread()


def _in_a_process_group() -> bool:
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def _embedded() -> bool:
    return not (sys.executable and sys.orig_argv)


# What happens if Python is re-executed all the same was tried with CPython 3.11.7, pytest 9, ipykernel 7, torch 2.13.
_OBSTACLES: tuple[tuple[Callable[[], bool], str], ...] = (
    (
        _variable_is_ignored,
        "python -I and -E ignore PYTHONHASHSEED: start without them, PYTHONHASHSEED={seed} python ...",
    ),
    (  # Under its capture the tests run and the exit status is right, but not a word is seen; xdist's workers crash.
        _in_pytest,
        "pytest has redirected the output, which would be lost, failures and all: start it as "
        "PYTHONHASHSEED={seed} python -m pytest",
    ),
    (  # The kernel starts over on the same ports: its variables are gone, and the cell runs until its time is up.
        _in_ipython,
        "a Jupyter kernel or IPython would lose its variables, and the running cell would never end: start it as "
        'PYTHONHASHSEED={seed} jupyter lab (or ipython), or write "PYTHONHASHSEED": "{seed}" under "env" in the '
        "kernel's kernel.json (jupyter kernelspec list)",
    ),
    (
        _at_a_prompt,
        "what was typed at the prompt would be lost: start it as PYTHONHASHSEED={seed} python",
    ),
    (  # It ends at once, having done nothing, with exit status 0.
        _program_cannot_be_read_again,
        "the program came from standard input or a pipe and cannot be read again: write it into a file, or start it "
        "as PYTHONHASHSEED={seed} python -",
    ),
    (  # spawn, forkserver, loky: it dies of a closed pipe. fork: the main program runs once more, in the child.
        _in_a_child,
        "a forked process, or a child of multiprocessing (a worker of a DataLoader or of joblib), cannot start over: "
        "call ensure_hashseed({seed}) first thing in the main program; what it starts inherits the hash seed",
    ),
    (  # It works, but the main thread may be in the middle of anything.
        _in_another_thread,
        "this is not the main thread, which would be cut off: call ensure_hashseed({seed}) there, first thing, or "
        "start Python with PYTHONHASHSEED={seed}",
    ),
    (  # The other ranks fail when their time is up; where all start over they hang.
        _in_a_process_group,
        "torch.distributed is initialised, and the other ranks would wait for this one: call ensure_hashseed({seed}) "
        "before init_process_group",
    ),
    (
        _embedded,
        "this interpreter is embedded in another program, and the command that started it is not known: start that "
        "program with PYTHONHASHSEED={seed}",
    ),
)
