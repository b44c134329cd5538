# ruff: noqa: FBT001, FBT002 - aten's arguments go by position
"""Writing and adding to elements whose indices are data: scatter, index_add, index_put and their relatives.

What is added is added on a grid (`accumulate`). Where several are written to one element, the last of them stays, on
every device; PyTorch leaves open which.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seedbed.errors import NotPortableError
from seedbed.portable.exact import linspace
from seedbed.portable.sums.accumulate import add_rows
from seedbed.portable.table import replaces

aten = torch.ops.aten


@replaces("scatter_add")
def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Add ``src[i][j]`` to ``x[index[i][j]][j]``, for `dim` 0; the shape and dtype of `x`."""
    if not x.is_floating_point() or not index.numel():
        return aten.scatter_add(x, dim, index, src)  # type: ignore[no-any-return]
    if not x.ndim:
        return scatter_add(x.reshape(1), 0, index.reshape(-1), src.reshape(-1)).reshape(())
    src = src[tuple(slice(size) for size in index.shape)]
    along = _row_index(x, dim, index)
    if along is not None:
        return _add_along(x, dim, along, src)
    added = add_rows(x.reshape(-1, 1), _positions(x, dim, index), src.reshape(-1, 1), most=index.shape[dim])
    return added.view(x.shape)


@replaces("index_add")
def index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """Add `alpha` times the slices of `source` along `dim` to those of `x` that `index` names."""
    if not x.is_floating_point() or not x.numel() or not source.numel():
        return aten.index_add(x, dim, index, source, alpha=alpha)  # type: ignore[no-any-return]
    if not x.ndim:
        return index_add(x.reshape(1), 0, index.reshape(-1), source.reshape(-1), alpha=alpha).reshape(())
    source = source if alpha == 1 else source.to(torch.float64) * float(alpha)
    return _add_along(x, dim, _in_range(index.reshape(-1), x.shape[dim]), source.reshape(_slices(x, dim, index)))


def _slices(x: Tensor, dim: int, index: Tensor) -> list[int]:
    return [index.numel() if number == dim % x.ndim else size for number, size in enumerate(x.shape)]


def _add_along(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Add the slices of `source` along `dim`, which `x` has too, to those of `x`."""
    first = x.movedim(dim, 0)
    added = add_rows(_as_rows(first), index, _as_rows(source.movedim(dim, 0)))
    return added.view(first.shape).movedim(0, dim).contiguous()


def _as_rows(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _row_index(x: Tensor, dim: int, index: Tensor) -> Tensor | None:
    """Give the index of each slice along `dim`, where `index` holds one for a whole slice, expanded; else None."""
    dim = dim % x.ndim
    others = [number for number in range(x.ndim) if number != dim]
    if any(index.shape[number] != x.shape[number] for number in others):
        return None
    if any(index.shape[number] > 1 and index.stride(number) for number in others):
        return None
    return _in_range(index[tuple(slice(None) if number == dim else 0 for number in range(x.ndim))], x.shape[dim])


def _positions(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Give the place in ``x.reshape(-1)`` of each element that `index` names along `dim`."""
    dim = dim % x.ndim
    places = _in_range(index, x.shape[dim]) * math.prod(x.shape[dim + 1 :])
    for number, size in enumerate(index.shape):
        if number != dim:
            counted = torch.arange(size, device=index.device) * math.prod(x.shape[number + 1 :])
            places += counted.view([-1 if each == number else 1 for each in range(index.ndim)])
    return places.reshape(-1)


def _in_range(index: Tensor, size: int) -> Tensor:
    """Give `index` as int64; PyTorch's own error, or the device's, where one is out of range."""
    index = index.to(torch.int64)
    torch.zeros(1, device=index.device).expand(size).index_select(0, index.reshape(-1))
    return index


@replaces("scatter")
def scatter(x: Tensor, dim: int, index: Tensor, src: Any, *, reduce: str | None = None) -> Tensor:
    """Write ``src[i][j]`` to ``x[index[i][j]][j]``, for `dim` 0, the last where there are several; or add it.

    Raises
    ------
    NotPortableError
        For ``reduce="multiply"``, whose order would matter.
    """
    if reduce is not None:
        return _scatter_reducing(x, dim, index, src, reduce)
    if not isinstance(src, Tensor) or not index.numel() or not x.ndim:
        last = src if not isinstance(src, Tensor) or x.ndim else src.reshape(-1)[-1:].reshape(())
        return aten.scatter(x, dim, index, last)  # type: ignore[no-any-return]
    src = src[tuple(slice(size) for size in index.shape)]
    written = write_rows(x.reshape(-1, 1), _positions(x, dim, index), src.reshape(-1, 1))
    return written.view(x.shape)


def _scatter_reducing(x: Tensor, dim: int, index: Tensor, src: Any, reduce: str) -> Tensor:
    if reduce != "add":
        raise NotPortableError("it multiplies in an order that the device chooses")
    src = src if isinstance(src, Tensor) else torch.full(index.shape, src, dtype=x.dtype, device=x.device)
    return scatter_add(x, dim, index, src)


def write_rows(x: Tensor, index: Tensor, source: Tensor) -> Tensor:
    """Write each row of `source` to the row of `x` that `index` names: the last of several stays. A new tensor."""
    order = torch.arange(index.shape[0], device=index.device)
    last = torch.full((x.shape[0],), -1, device=index.device).scatter_reduce_(0, index, order, "amax")
    return x.clone().index_copy_(0, index, source.index_select(0, last.index_select(0, index)))


@replaces("index_copy")
def index_copy(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Write the slices of `source` along `dim` over those of `x` that `index` names; the last of several stays."""
    if not x.ndim or not source.numel():
        return aten.index_copy(x, dim, index, source)  # type: ignore[no-any-return]
    first = x.movedim(dim, 0)
    rows = _as_rows(source.reshape(_slices(x, dim, index)).movedim(dim, 0))
    written = write_rows(_as_rows(first), _in_range(index.reshape(-1), x.shape[dim]), rows)
    return written.view(first.shape).movedim(0, dim).contiguous()


@replaces("scatter_reduce")
def scatter_reduce(
    x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Add, multiply, average or choose the extreme of what goes to each element; `x` is one of it if `include_self`."""
    if not x.is_floating_point() or not index.numel():
        return aten.scatter_reduce(x, dim, index, src, reduce, include_self=include_self)  # type: ignore[no-any-return]
    if reduce in ("amax", "amin"):
        return aten.scatter_reduce(x, dim, index, src, reduce, include_self=include_self) + 0.0  # type: ignore[no-any-return]
    counts = torch.zeros(x.shape, dtype=torch.int64, device=x.device).scatter_add_(dim, index, torch.ones_like(index))
    if reduce == "prod":
        return _multiplied(x if include_self else x.masked_fill(counts > 0, 1.0), dim, index, src, counts)
    if not include_self:
        x = x.masked_fill(counts > 0, 0.0)
    summed = scatter_add(x, dim, index, src)
    return summed if reduce == "sum" else _averaged(summed, counts, include_self=include_self)


def _multiplied(x: Tensor, dim: int, index: Tensor, src: Tensor, counts: Tensor) -> Tensor:
    """Multiply in the order of `src`: first what comes first to each element, then what comes second, and so on."""
    if not x.ndim:
        return _multiplied(x.reshape(1), 0, index.reshape(-1), src.reshape(-1), counts).reshape(())
    order = _positions(x, dim, index).sort(stable=True).indices
    factors = src[tuple(slice(size) for size in index.shape)].reshape(-1)[order].to(torch.float64)
    starts = counts.reshape(-1).cumsum(0) - counts.reshape(-1)
    found = x.reshape(-1).to(torch.float64, copy=True)
    for turn in range(int(counts.max())):
        some = (counts.reshape(-1) > turn).nonzero().squeeze(1)
        found[some] = found[some] * factors[starts[some] + turn]
    return found.to(x.dtype).view(x.shape)


def _averaged(summed: Tensor, counts: Tensor, *, include_self: bool) -> Tensor:
    counts = counts + 1 if include_self else counts.clamp(min=1)
    return summed / counts.to(summed.dtype)


@replaces("index_reduce")
def index_reduce(
    x: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Give what `scatter_reduce` does, for whole slices along `dim`; its ``mean``, ``amax`` and ``amin``."""
    if not x.ndim:
        x1, source1 = x.reshape(1), source.reshape(-1)
        return index_reduce(x1, 0, index.reshape(-1), source1, reduce, include_self=include_self).reshape(())
    dim = dim % x.ndim
    source = source.reshape(_slices(x, dim, index))
    whole = index.reshape([-1 if number == dim else 1 for number in range(x.ndim)]).expand(source.shape)
    return scatter_reduce(x, dim, whole, source, reduce, include_self=include_self)


@replaces("histc", integers=True)
def histc(x: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:  # noqa: A002
    """Count what lies between `min` and `max`, or all if they are the same, in `bins` of equal width."""
    x = x.reshape(-1)
    low, high = float(min), float(max)
    if low == high and x.numel():
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (math.isfinite(low) and math.isfinite(high) and low < high and bins > 0):
        raise RuntimeError(f"torch.histc: range of [{low}, {high}] with {bins} bins: it is not finite, or has no width")
    edges = linspace(low, high, bins + 1, dtype=x.dtype, device=x.device)
    place = torch.searchsorted(edges, x, right=True) - 1
    place = torch.where(x == high, bins - 1, place)[(x >= low) & (x <= high)]
    return torch.bincount(place, minlength=bins).to(x.dtype)


@replaces("put")
def put(x: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Write or add to the elements of ``x.reshape(-1)`` that `index` names, negative ones from the end."""
    flat, index, source = x.reshape(-1), index.reshape(-1), source.reshape(-1)
    if not index.numel():
        return x.clone()
    return _put_rows(flat.unsqueeze(1), index, source.unsqueeze(1), accumulate=accumulate).view(x.shape)


def _put_rows(x: Tensor, index: Tensor, source: Tensor, *, accumulate: bool) -> Tensor:
    index = torch.where(index < 0, index + x.shape[0], index)
    if not accumulate:
        return write_rows(x, index, source)
    if not x.is_floating_point():
        return x.index_add(0, index, source)
    return add_rows(x, index, source)


@replaces("index_put", "_index_put_impl", "_unsafe_index_put")
def index_put(
    x: Tensor,
    indices: Sequence[Tensor | None],
    values: Tensor,
    accumulate: bool = False,
    unsafe: bool = False,
) -> Tensor:
    """Write or add `values` to the elements that `indices` name, one tensor for a dimension or None for all of it."""
    del unsafe
    if values.numel() == 1 and not accumulate:
        return aten.index_put(x, indices, values)  # type: ignore[no-any-return]
    given = _expanded(x, indices)
    indexed = [number for number, index in enumerate(given) if index is not None]
    shape = (
        torch.zeros((), device=x.device).expand(x.shape)[tuple(slice(None) if i is None else i for i in given)].shape
    )
    named = torch.broadcast_tensors(*(index for index in given if index is not None))
    values = _indexed_first(values.expand(shape), indexed, named[0].ndim)
    order = indexed + [number for number in range(x.ndim) if number not in indexed]
    first = x.permute(order)
    rows = first.reshape(math.prod(first.shape[: len(indexed)]), math.prod(first.shape[len(indexed) :]))
    if not values.numel():
        return x.clone()
    places = _row_places(first, named)
    put_ = _put_rows(rows, places, values.reshape(places.shape[0], -1), accumulate=accumulate)
    back = sorted(range(x.ndim), key=order.__getitem__)
    return put_.view(first.shape).permute(back).contiguous()


def _expanded(x: Tensor, indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Give one index for each dimension that has any: a mask stands for the indices of what it holds."""
    given: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype in (torch.bool, torch.uint8):
            given.extend(index.nonzero().unbind(1))
        else:
            given.append(None if index is None else index.to(x.device, torch.int64))
    return given


def _indexed_first(values: Tensor, indexed: list[int], ndim: int) -> Tensor:
    """Bring the `ndim` dimensions of the indices to the front, where they are if `indexed` do not follow each other."""
    if indexed[-1] - indexed[0] + 1 != len(indexed):
        return values
    return values.movedim(tuple(range(indexed[0], indexed[0] + ndim)), tuple(range(ndim)))


def _row_places(first: Tensor, named: Sequence[Tensor]) -> Tensor:
    places = torch.zeros_like(named[0])
    for number, index in enumerate(named):
        size = first.shape[number]
        places = places * size + torch.where(index < 0, index + size, index)
    return places.reshape(-1)
