"""How one overload of an operation is run: as it is, replaced, element by element, taken apart, or not at all."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seedbed.errors import NotPortableError
from seedbed.portable import operations as operations
from seedbed.portable.dispatcher import is_composite
from seedbed.portable.precision import by_type, in_wide_types
from seedbed.portable.table import COMPLEX, OPERATIONS

Plan = Callable[..., Any]
aten = torch.ops.aten


def plan(func: Any, mode: AbstractContextManager[Any]) -> Plan:
    """Find out how `func`, an overload of aten's, is run; `mode` is entered again around what is taken apart.

    Raises
    ------
    NotPortableError
        Where there is no way; the reason alone, without the place.
    """
    found = _in_table(func) or _taken_apart(func, mode) or _of_each(func, mode) or _of_functional(func, mode)
    if found is None:
        raise NotPortableError("it is in no list of portable mode")
    return found


def functional_name(func: Any) -> str:
    """Give the name of an operation in the table: ``add`` for ``aten.add_.Tensor`` and ``aten.add.out``."""
    name: str = func._schema.name.partition("::")[2]
    in_place = name.endswith("_") and not name.startswith("__") and name not in OPERATIONS
    return name.removesuffix("_") if in_place else name


def _in_table(func: Any) -> Plan | None:
    if func.namespace == "profiler":
        return func  # type: ignore[no-any-return]
    operation = OPERATIONS.get(functional_name(func)) if func.namespace == "aten" else None
    if operation is None or operation.kind == "decomposed":
        return None
    of_complex = COMPLEX.get(operation.name)
    if operation.run is None:
        return func if of_complex is None else by_type(func, _writing(func, of_complex))
    if operation.as_given:
        return _writing(func, operation.run if of_complex is None else by_type(operation.run, of_complex))
    run = in_wide_types(_functional(func) or func, operation.run, integers=operation.integers, of_complex=of_complex)
    return _writing(func, run)


def _taken_apart(func: Any, mode: AbstractContextManager[Any]) -> Plan | None:
    if func.namespace == "prims":
        return _inside(mode, func.impl_aten)
    if is_composite(func):
        return _inside(mode, func.decompose)
    operation = OPERATIONS.get(functional_name(func))
    if operation is None or operation.kind != "decomposed":
        return None
    from torch._decomp import decomposition_table  # takes a second to import: only where it is needed

    decomposition = decomposition_table.get(func)
    if decomposition is None:
        return None
    return _inside(mode, decomposition)


def _inside(mode: AbstractContextManager[Any], function: Plan) -> Plan:
    running: set[int] = set()  # threads: autograd has one for each GPU

    def run(*args: Any, **kwargs: Any) -> Any:
        thread = threading.get_ident()
        if thread in running:
            raise NotPortableError("what it is taken apart into comes back to itself")
        running.add(thread)
        try:
            with mode:
                return function(*args, **kwargs)
        finally:
            running.remove(thread)

    return run


def _of_each(func: Any, mode: AbstractContextManager[Any]) -> Plan | None:
    """Run ``_foreach_add_`` and its like for one tensor after another."""
    name = func._schema.name.partition("::")[2]
    if func.namespace != "aten" or not name.startswith("_foreach_"):
        return None
    lists = [argument.name for argument in func._schema.arguments if isinstance(argument.type, torch.ListType)]
    single = getattr(aten, _OF_ONE.get(name[9:], name[9:]))
    return _inside(mode, partial(_each, func, single, lists))


_OF_ONE = {
    "norm": "linalg_vector_norm",
    "maximum": "clamp_min",  # which takes numbers too
    "maximum_": "clamp_min_",
    "minimum": "clamp_max",
    "minimum_": "clamp_max_",
}
_BY_NAME = ("alpha", "value", "dtype")


def _each(func: Any, single: Any, lists: list[str], *args: Any, **kwargs: Any) -> Any:
    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    if isinstance(given.get("scalars"), Tensor):
        given["scalars"], lists = given["scalars"].tolist(), [*lists, "scalars"]
    count = len(next(value for value in given.values() if isinstance(value, list | tuple)))
    results = []
    for index in range(count):
        each = {name: value[index] if name in lists else value for name, value in given.items()}
        if "scalars" in each and "addc" in str(single):
            each["value"] = each.pop("scalars")
        positional = [each.pop(name) for name in names if name in each and name not in _BY_NAME]
        results.append(single(*positional, **each))
    return None if not func._schema.returns else results


def _of_functional(func: Any, mode: AbstractContextManager[Any]) -> Plan | None:
    """Run an in-place operation, or one with ``out``, by its functional form."""
    functional = _functional(func) if func.namespace == "aten" else None
    return None if functional is None else _writing(func, plan(functional, mode))


def _functional(func: Any) -> Any:
    """Find the overload that takes the same arguments and writes into none of them."""
    outs = set(_outs(func))
    if not outs and not _in_place(func):
        return None
    wanted = [str(argument.type) for argument in func._schema.arguments if argument.name not in outs]
    name = functional_name(func)
    packet = getattr(aten, name.removesuffix("_") if _in_place(func) else name, None)
    for name in packet.overloads() if packet is not None else ():
        candidate = getattr(packet, name)
        schema = candidate._schema
        if not schema.is_mutable and [str(argument.type) for argument in schema.arguments] == wanted:
            return candidate
    return None


def _outs(func: Any) -> list[str]:
    return [argument.name for argument in func._schema.arguments if argument.is_out]


def _in_place(func: Any) -> bool:
    first = next(iter(func._schema.arguments), None)
    if first is None or first.alias_info is None or not isinstance(first.type, torch.TensorType):
        return False
    name: str = func._schema.name
    return name.endswith("_") and bool(first.alias_info.is_write)


def _writing(func: Any, run: Plan) -> Plan:
    """Give what runs a functional form and writes its results where `func` writes them."""
    if _in_place(func):
        return partial(_into_first, run)
    outs = _outs(func)
    return partial(_into_outs, run, outs) if outs else run


def _into_first(run: Plan, target: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    result: Tensor = run(target, *args, **kwargs)
    _check_cast(result, target)
    return target if result is target else target.copy_(result)


def _check_cast(result: Tensor, target: Tensor) -> None:
    if not torch.can_cast(result.dtype, target.dtype):
        raise RuntimeError(f"result type {result.dtype} can't be cast to the desired output type {target.dtype}")


def _into_outs(run: Plan, names: list[str], *args: Any, **kwargs: Any) -> Any:
    targets = [kwargs.pop(name) for name in names]
    results = run(*args, **kwargs)
    for target, result in zip(targets, results if len(names) > 1 else [results], strict=True):
        _check_cast(result, target)
        if target.shape != result.shape:
            target.resize_(result.shape)
        target.copy_(result)
    return targets[0] if len(names) == 1 else tuple(targets)
