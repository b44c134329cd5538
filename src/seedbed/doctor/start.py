"""What the environment was when this process started: what was set later is late for whoever reads it once."""

import os
from pathlib import Path

_ENVIRON = Path("/proc/self/environ")  # as it was given to exec: os.environ and putenv do not change it


def is_late(name: str) -> bool | None:
    """Whether the variable was set or changed after the process had started; None where that cannot be known."""
    before = _at_start()
    return None if before is None else os.environ.get(name) != before.get(name)


def _at_start() -> dict[str, str] | None:
    try:
        data = _ENVIRON.read_bytes()
    except OSError:  # no Linux, or a process that may not be looked at
        return None
    pairs = (os.fsdecode(item).partition("=") for item in data.split(b"\0") if item)
    before = {name: value for name, _, value in pairs}
    # setproctitle writes the title over it: then there is nothing to recognise.
    return before if before.items() & os.environ.items() else None
