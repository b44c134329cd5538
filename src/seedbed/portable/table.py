"""The table of portable mode: every aten operation that it knows, and how its bits come about.

One registry serves the mode, which looks operations up, and the documentation, whose table a command prints. Names are
those of aten's functional form: ``add`` stands for ``add.Tensor``, ``add_.Tensor`` and ``add.out`` alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

Kind = Literal["exact", "single", "replaced", "decomposed"]
"""How the bits of an operation come about.

exact
    It moves, compares or selects, or works on integers: PyTorch's own kernel, whose bits depend on no order or width.
single
    One IEEE operation for each element: PyTorch's own kernel.
replaced
    Seedbed's own, written in this package.
decomposed
    PyTorch's own decomposition into other operations of this table (`torch._decomp`, or a composite kernel).
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table.

    Attributes
    ----------
    run
        What computes it where it is replaced: takes aten's arguments, gives aten's result. Its tensors are float32 or
        float64; float16 and bfloat16 come in as float32, and the result is rounded once.
    integers
        Whether it is exact, and so run as it is, where none of its tensors is of floating point.
    as_given
        Whether `run` takes its tensors as they are given, of whatever type.
    """

    name: str
    kind: Kind
    run: Callable[..., Any] | None = None
    integers: bool = False
    as_given: bool = False


OPERATIONS: dict[str, Operation] = {}

COMPLEX: dict[str, Callable[..., Any]] = {}
"""What computes an operation of `OPERATIONS` where one of its tensors is complex; others refuse these."""


def add(*names: str, kind: Kind, run: Callable[..., Any] | None = None, **choices: bool) -> None:
    """Enter operations; each may be entered once. `choices` are attributes of `Operation`."""
    for name in names:
        if name in OPERATIONS:
            raise ValueError(f"the operation {name!r} is in the table already, as {OPERATIONS[name].kind}")
        OPERATIONS[name] = Operation(name, kind, run, **choices)


def replaces(
    *names: str, kind: Kind = "replaced", integers: bool = False, as_given: bool = False
) -> Callable[[Function], Function]:
    """Enter the decorated function as what computes these operations of aten."""

    def enter(function: Function) -> Function:
        add(*names, kind=kind, run=function, integers=integers, as_given=as_given)
        return function

    return enter


def of_complex(*names: str) -> Callable[[Function], Function]:
    """Enter the decorated function as what computes these operations where one of their tensors is complex."""

    def enter(function: Function) -> Function:
        COMPLEX.update(dict.fromkeys(names, function))
        return function

    return enter
