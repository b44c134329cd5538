"""One thing that was looked at, what was found, and what to do."""

from typing import Literal, get_args

import msgspec

Status = Literal["ok", "note", "broken"]
"""``broken`` would break a promise; a ``note`` is worth knowing and breaks none by itself; ``ok`` needs nothing."""

STATUSES: tuple[Status, ...] = get_args(Status)


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the examination; it is JSON as it stands, and holds no path and no name of the machine."""

    name: str
    status: Status
    found: str
    do: str = ""
    """What to do about it; empty where `status` is ``ok``."""


def ok(name: str, found: str) -> Finding:
    """Say that all is well."""
    return Finding(name=name, status="ok", found=found)


def note(name: str, found: str, do: str) -> Finding:
    """Say what is worth knowing."""
    return Finding(name=name, status="note", found=found, do=do)


def broken(name: str, found: str, do: str) -> Finding:
    """Say what would break a promise."""
    return Finding(name=name, status="broken", found=found, do=do)
