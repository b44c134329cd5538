"""The types of a replaced operation: float16 and bfloat16 are computed as float32 and rounded once.

The type of the result is PyTorch's own: its rules of promotion are asked, on tensors that have no memory.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from seedbed.errors import NotPortableError

_WIDE = (torch.float32, torch.float64)
_HALF = (torch.float16, torch.bfloat16)
_COMPLEX = (torch.complex64, torch.complex128)


def in_wide_types(
    func: Any, run: Callable[..., Any], *, integers: bool, of_complex: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Give what calls `run` with float32 or float64, whatever types aten's `func` was given.

    With `integers`, a call without any floating point goes to `func` itself; one with complex numbers to `of_complex`.

    Raises
    ------
    NotPortableError
        When it is called with complex or other types; the reason alone, without the place.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        if of_complex is not None and any(type(value) is complex for value in args):
            return of_complex(*args, **kwargs)
        dtypes = {tensor.dtype for tensor in tensors((*args, *kwargs.values()))}
        if len(dtypes) == 1 and not dtypes.isdisjoint(_WIDE):
            return run(*args, **kwargs)
        floats = {dtype for dtype in dtypes if dtype.is_floating_point or dtype.is_complex}
        if len(floats) == 1 and floats <= set(_WIDE):
            return run(*args, **kwargs)
        if not dtypes and any(map(_stands_for_tensor, func._schema.arguments, args)):
            return call(*map(_as_tensor, func._schema.arguments, args), **kwargs)
        if of_complex is not None and floats & set(_COMPLEX):
            return of_complex(*args, **kwargs)
        if integers and not floats and not _asks_for_float((*args, *kwargs.values())):
            return func(*args, **kwargs)
        if not floats <= {*_WIDE, *_HALF}:
            odd = next(dtype for dtype in floats if dtype not in (*_WIDE, *_HALF))
            raise NotPortableError(f"it is portable for float16, bfloat16, float32 and float64, not for {odd}")
        return _converted(func, run, args, kwargs) if dtypes else run(*args, **kwargs)

    return call


def _stands_for_tensor(argument: Any, value: Any) -> bool:
    """Whether a number was given where aten takes a tensor, as ``torch.div(7, 2)`` does."""
    return isinstance(argument.type, torch.TensorType) and isinstance(value, int | float | complex)


def _as_tensor(argument: Any, value: Any) -> Any:
    return torch.tensor(value) if _stands_for_tensor(argument, value) else value


def by_type(func: Any, of_complex: Callable[..., Any]) -> Callable[..., Any]:
    """Give what calls `of_complex` where there are complex numbers, and else aten's `func`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        run = of_complex if any(_is_complex(value) for value in args) else func
        return run(*args, **kwargs)

    return call


def _is_complex(value: Any) -> bool:
    return value.is_complex() if isinstance(value, Tensor) else isinstance(value, complex)


def tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    """Go through the tensors among an operation's arguments, and in the lists among them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors(value)


def _asks_for_float(values: Sequence[Any]) -> bool:
    return any(
        isinstance(value, float) or (isinstance(value, torch.dtype) and value.is_floating_point) for value in values
    )


def _converted(func: Any, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    results = _result_dtypes(func, args, kwargs)
    wide = torch.float64 if torch.float64 in results else torch.float32
    if not any(dtype.is_floating_point for dtype in results):
        result = run(*args, **kwargs)
        return _cast_back(result, results) if results else result
    promote = not any(tensor.is_floating_point() for tensor in tensors((*args, *kwargs.values())))

    def widen(tensor: Tensor) -> Tensor:
        return tensor.to(wide) if promote or tensor.is_floating_point() else tensor

    wide_args, wide_kwargs = tree_map_only(Tensor, widen, (args, kwargs))
    result = run(*wide_args, **wide_kwargs)
    _write_back(func, (args, kwargs), (wide_args, wide_kwargs))
    return _cast_back(result, results)


_found: dict[tuple[Any, ...], list[torch.dtype]] = {}
_MOST_FOUND = 4096


def _result_dtypes(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.dtype]:
    """Give the types of the results; none where PyTorch cannot say and nothing given is of floating point."""
    key = (func, torch.get_default_dtype(), _kinds(args), tuple(kwargs), _kinds(tuple(kwargs.values())))
    found = _found.get(key)
    if found is None:
        try:
            found = _asked(func, args, kwargs)
        except (NotImplementedError, RuntimeError) as error:
            floats = [each.dtype for each in tensors((*args, *kwargs.values())) if each.is_floating_point()]
            if not floats and not isinstance(error, NotImplementedError):
                raise  # PyTorch's own refusal, as of the mean of integers
            return floats[:1]  # no kernel for types alone: the rule that nearly all operations follow
        if len(_found) >= _MOST_FOUND:
            _found.clear()
        _found[key] = found
    return found


def _kinds(values: Sequence[Any]) -> tuple[Any, ...]:
    """Give all that the types of results depend on: of a number its type, of a tensor also whether it is a number."""
    return tuple(map(_kind, values))


def _kind(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.dtype, value.ndim == 0
    if isinstance(value, list | tuple):
        return _kinds(value)
    is_number = isinstance(value, int | float | complex) and not isinstance(value, bool)
    return type(value) if is_number else value


def _asked(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.dtype]:
    meta_args, meta_kwargs = tree_map_only(
        Tensor, lambda tensor: torch.empty_like(tensor, device="meta"), (args, kwargs)
    )
    return [tensor.dtype for tensor in tensors((func(*meta_args, **meta_kwargs),))]


def _cast_back(result: Any, dtypes: list[torch.dtype]) -> Any:
    if isinstance(result, Tensor):
        return result.to(dtypes[0])
    if isinstance(result, bool):
        return result
    wanted = dtypes if len(dtypes) == len(result) else dtypes[:1] * len(result)
    return type(result)(_cast(each, dtype) for each, dtype in zip(result, wanted, strict=True))


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


_WRITTEN = ("running_mean", "running_var")
"""What ``native_batch_norm`` writes without its schema saying so."""


def _write_back(func: Any, narrow: Any, wide: Any) -> None:
    """Copy back what the operation wrote into its arguments, such as a batch norm's running mean."""
    for index, argument in enumerate(func._schema.arguments):
        marked = argument.alias_info is not None and argument.alias_info.is_write
        if not marked and argument.name not in _WRITTEN:
            continue
        before, after = (_argument(given, index, argument.name) for given in (narrow, wide))
        if before is not None and before is not after:
            before.copy_(after)


def _argument(given: Any, index: int, name: str) -> Any:
    args, kwargs = given
    return args[index] if index < len(args) else kwargs.get(name)
