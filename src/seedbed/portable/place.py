"""Where in the user's program an operation was called from: the line, and the path of the module."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

from seedbed.errors import NotPortableError

_NOT_THE_USERS = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


def refused(func: Any, error: NotPortableError) -> NotPortableError:
    """Say of a refusal which operation it was and where it was called; one that says so already stays as it is."""
    if error.operation:
        return error
    name = str(func)
    reason = f": {error}" if str(error) else ""
    message = (
        f"{name} has no portable form{reason}; called {_place()}. Write it with operations that docs/portable.md "
        "lists, or leave the mode for it and accept that its bits depend on the machine"
    )
    return NotPortableError(message, operation=name)


def _place() -> str:
    frames = list(_frames())
    line = next((each for each in frames if not each.f_code.co_filename.startswith(_NOT_THE_USERS)), None)
    where = (
        f"at {line.f_code.co_filename}:{line.f_lineno}, in {line.f_code.co_name}" if line else "by no line of Python"
    )
    modules = [frame.f_locals["self"] for frame in frames if frame.f_code is _CALL and "self" in frame.f_locals]
    return f"{where}, in the module {_path(modules[-1], modules[0])}" if modules else where


_CALL = nn.Module._call_impl.__code__


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(3)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _path(root: nn.Module, module: nn.Module) -> str:
    """Give the module's name within the outermost one that is running: ``encoder.layers.0 (Linear)``."""
    name = next((name for name, each in root.named_modules() if each is module), "")
    return f"{name} ({type(module).__name__}) of {type(root).__name__}" if name else type(module).__name__
