"""Operations whose bits cannot depend on order, width or device: PyTorch's own kernels, run as they are.

They move elements, compare or select among them, change one at a time, or work on integers. What looks exact and is
not, is below: an extreme of 0.0 and -0.0 is whichever the kernel meets first, a sort that is not stable orders equal
keys as it likes, and a range of floating point is computed with a fused multiply-add on some devices.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seedbed.errors import NotPortableError
from seedbed.portable.table import add, replaces

aten = torch.ops.aten

VIEWS = """
    _conj _neg_view _reshape_alias alias as_strided detach diagonal expand lift_fresh permute select slice split
    split_with_sizes squeeze t transpose unbind unfold unsqueeze view view_as_complex view_as_real
""".split()  # noqa: SIM905 - names, not strings
"""The same memory, looked at in another way; those with ``_copy`` in their names are entered beside them."""

COPIES = """
    _chunk_cat _conj_physical _pack_padded_sequence _pack_padded_sequence_backward _pin_memory _resize_output
    _unsafe_view as_strided_scatter block_diag cat clone conj_physical constant_pad_nd diag_embed diagonal_backward
    diagonal_scatter flip im2col lift lu_unpack repeat resize resize_as rot90 select_backward select_scatter set
    slice_backward slice_scatter tril triu unsafe_split unsafe_split_with_sizes
""".split()  # noqa: SIM905 - names, not strings
"""Elements moved."""

CONSTANTS = """
    _efficientzerotensor empty empty_like empty_permuted empty_strided eye fill full full_like new_empty
    new_empty_strided new_full new_ones new_zeros ones ones_like scalar_tensor tril_indices triu_indices zero zeros
    zeros_like
""".split()  # noqa: SIM905 - names, not strings

CHOICES = """
    _unsafe_index argmax argmin bucketize count_nonzero embedding gather index index_fill index_select isin masked_fill
    masked_scatter masked_scatter_backward masked_select nan_to_num searchsorted take where
""".split()  # noqa: SIM905 - names, not strings
"""One of the elements given, or a constant."""

OTHERWISE_LAID_OUT = """
    adaptive_max_pool2d adaptive_max_pool3d channel_shuffle max_pool2d_with_indices max_pool3d_with_indices
    native_channel_shuffle nonzero nonzero_static pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d
    reflection_pad3d replication_pad1d replication_pad2d replication_pad3d roll stack
""".split()  # noqa: SIM905 - names, not strings
"""Copies and choices whose strides differ by device, of channels-last images for one.

By strides PyTorch decides, above the mode, how it multiplies matrices: `linear` adds the bias in one operation or in
another, a gradient is a product or that of the transposed. So what these give is contiguous everywhere.
"""

BOUNDED = """
    fractional_max_pool2d fractional_max_pool3d hardshrink hardtanh_backward threshold threshold_backward
""".split()  # noqa: SIM905 - names, not strings
"""PyTorch's own of float32 and float64: of the narrower types, some kernels round the bounds and some do not."""

COMPARISONS = """
    all any eq equal ge gt is_nonzero is_same_size isinf isnan isneginf isposinf le
    logical_and logical_not logical_or logical_xor lt ne
""".split()  # noqa: SIM905 - names, not strings

ONE_BY_ONE = """
    ceil floor frac heaviside neg nextafter sign trunc
""".split()  # noqa: SIM905 - names, not strings
"""Exact for each element: ``frac`` subtracts numbers of which one is the other's integer part."""

INTEGERS = """
    __and__ __iand__ __ilshift__ __ior__ __irshift__ __ixor__ __lshift__ __or__ __rshift__ __xor__ bitwise_and
    bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor gcd lcm
""".split()  # noqa: SIM905 - names, not strings

NO_ARITHMETIC = """
    _assert_async _assert_tensor_metadata _functional_assert_async _has_compatible_shallow_copy_type _is_all_true
    _is_any_true _linalg_check_errors _local_scalar_dense
    _nested_tensor_size _version dense_dim is_coalesced is_pinned is_set_to record_stream repeat_interleave
    sym_is_contiguous sym_numel sym_size sym_storage_offset sym_stride
""".split()  # noqa: SIM905 - names, not strings

add(*VIEWS, *(f"{name}_copy" for name in VIEWS), *COPIES, *CONSTANTS, *CHOICES, *COMPARISONS, kind="exact")
add(*ONE_BY_ONE, *INTEGERS, *NO_ARITHMETIC, kind="exact")


def _bounded(kernel: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    if x.dtype not in (torch.float16, torch.bfloat16):
        return kernel(x, *args, **kwargs)
    result = kernel(*(each.float() if isinstance(each, Tensor) else each for each in (x, *args)), **kwargs)
    return result.to(x.dtype) if isinstance(result, Tensor) else (result[0].to(x.dtype), *result[1:])


def _laid_out_alike(kernel: Any, *args: Any, **kwargs: Any) -> Any:
    result = kernel(*args, **kwargs)
    return _contiguous(result) if isinstance(result, Tensor) else tuple(map(_contiguous, result))


def _contiguous(x: Tensor) -> Tensor:
    """With the strides of a new tensor, of dimensions of one element, too: those `Tensor.contiguous` leaves."""
    return x.reshape(-1).view(x.shape)


for _name in OTHERWISE_LAID_OUT:
    replaces(_name, kind="exact", as_given=True)(partial(_laid_out_alike, getattr(aten, _name)))
for _name in BOUNDED:
    replaces(_name, as_given=True)(partial(_bounded, getattr(aten, _name)))


def one_zero(x: Tensor) -> Tensor:
    """Make every zero 0.0: which of 0.0 and -0.0 is the larger, kernels answer by the order in which they meet them."""
    return x + 0.0 if x.is_floating_point() else x


@replaces("copysign")
def copysign(x: Tensor, other: Any) -> Tensor:
    """PyTorch's own; NaN counts as positive, as its sign is the hardware's."""
    if isinstance(other, Tensor):
        other = other.masked_fill(other.isnan(), 0.0)
    return torch.copysign(x, other)


@replaces("signbit", integers=True)
def signbit(x: Tensor) -> Tensor:
    """PyTorch's own; NaN counts as positive, as its sign is the hardware's."""
    return torch.signbit(x) & ~x.isnan()


@replaces("frexp")
def frexp(x: Tensor) -> tuple[Tensor, Tensor]:
    """PyTorch's own; infinity and NaN have the exponent 0, which C leaves open."""
    mantissa, exponent = torch.frexp(x)
    return mantissa, exponent.masked_fill(~x.isfinite(), 0)


@replaces("abs", integers=True)
def abs_(x: Tensor) -> Tensor:
    """PyTorch's own, of real numbers: that of a complex number is a square root."""
    return torch.abs(x)


@replaces("sgn", integers=True)
def sgn(x: Tensor) -> Tensor:
    """PyTorch's own, of real numbers: that of a complex number is a division."""
    return torch.sgn(x)


@replaces("round", integers=True)
def round_(x: Tensor, *, decimals: int = 0) -> Tensor:
    """Round to the nearest integer, ties to even; with `decimals` it is a multiplication and a division."""
    if decimals:
        raise NotPortableError("with decimals it multiplies, rounds and divides, in an order that the device chooses")
    return torch.round(x)


@replaces("relu", integers=True)
def relu(x: Tensor) -> Tensor:
    """``max(x, 0)``; -0.0 gives 0.0, by a comparison, where `torch.relu` asks the device's ``max``."""
    return torch.threshold(x, 0.0, 0.0)


@replaces("maximum", integers=True)
def maximum(x: Tensor, other: Tensor) -> Tensor:
    return one_zero(aten.maximum(x, other))


@replaces("minimum", integers=True)
def minimum(x: Tensor, other: Tensor) -> Tensor:
    return one_zero(aten.minimum(x, other))


@replaces("fmax", integers=True)
def fmax(x: Tensor, other: Tensor) -> Tensor:
    return one_zero(aten.fmax(x, other))


@replaces("fmin", integers=True)
def fmin(x: Tensor, other: Tensor) -> Tensor:
    return one_zero(aten.fmin(x, other))


@replaces("clamp", integers=True)
def clamp(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return one_zero(aten.clamp(x, *args, **kwargs))


@replaces("clamp_min", integers=True)
def clamp_min(x: Tensor, least: Any) -> Tensor:
    return one_zero(aten.clamp_min(x, least))


@replaces("clamp_max", integers=True)
def clamp_max(x: Tensor, largest: Any) -> Tensor:
    return one_zero(aten.clamp_max(x, largest))


@replaces("hardtanh")
def hardtanh(x: Tensor, least: float = -1.0, largest: float = 1.0) -> Tensor:
    return one_zero(aten.hardtanh(x, least, largest))


@replaces("amax", integers=True)
def amax(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return one_zero(aten.amax(x, *args, **kwargs))


@replaces("amin", integers=True)
def amin(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return one_zero(aten.amin(x, *args, **kwargs))


@replaces("aminmax", integers=True)
def aminmax(x: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor]:
    least, largest = aten.aminmax(x, **kwargs)
    return one_zero(least), one_zero(largest)


@replaces("max", integers=True)
def largest_of(x: Tensor, *args: Any) -> Any:
    """``max.default`` gives a value, ``max.dim`` values and the indices of the first of them."""
    return _extreme(aten.max(x, *args), aten.argmax, x, args)


@replaces("min", integers=True)
def least_of(x: Tensor, *args: Any) -> Any:
    """``min.default`` gives a value, ``min.dim`` values and the indices of the first of them."""
    return _extreme(aten.min(x, *args), aten.argmin, x, args)


def _extreme(result: Any, position: Any, x: Tensor, args: tuple[Any, ...]) -> Any:
    if isinstance(result, Tensor):
        return one_zero(result)
    dim, keepdim = args[0], args[1] if len(args) > 1 else False
    return one_zero(result[0]), position(x, dim, keepdim)


@replaces("sort")
def sort(x: Tensor, *args: Any, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
    """Sort stably, whether asked to or not: the indices of equal elements keep their order on every device."""
    del stable
    dim, descending = (args + (dim, descending)[len(args) :]) if args else (dim, descending)
    return _sorted(x, dim, descending=descending)


def _sorted(x: Tensor, dim: int, *, descending: bool) -> Any:
    """Sort stably; a NaN is made positive, as some devices sort by bits, and put a negative one first."""
    if x.is_floating_point():
        x = torch.where(x.isnan(), torch.nan, x)
    return aten.sort.stable(x, stable=True, dim=dim, descending=descending)


@replaces("topk")
def topk(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]:  # noqa: A002, FBT001, FBT002
    """The first `k` of a stable sort: which of equal elements are taken does not depend on the device."""
    del sorted
    values, indices = _sorted(x, dim, descending=largest)
    if not x.ndim:
        return values, indices
    return values.narrow(dim, 0, k).contiguous(), indices.narrow(dim, 0, k).contiguous()


@replaces("kthvalue")
def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:  # noqa: FBT001, FBT002
    """The `k`-th of a stable sort."""
    values, indices = _sorted(x, dim, descending=False)
    if x.ndim:
        values, indices = values.narrow(dim, k - 1, 1), indices.narrow(dim, k - 1, 1)
    return (values, indices) if keepdim or not x.ndim else (values.squeeze(dim), indices.squeeze(dim))


@replaces("median")
def median(x: Tensor, *args: Any) -> Any:
    """The lower of the two in the middle of a stable sort, or the first NaN; with a `dim`, its index too."""
    return _middle(x, args, _of_all)


@replaces("nanmedian")
def nanmedian(x: Tensor, *args: Any) -> Any:
    """The lower of the two in the middle of what is not NaN, by a stable sort; with a `dim`, its index too."""
    return _middle(x, args, _of_numbers)


def _of_all(size: int, nans: Tensor) -> Tensor:
    return torch.where(nans > 0, size - nans, (size - 1) // 2)


def _of_numbers(size: int, nans: Tensor) -> Tensor:
    return ((size - nans - 1) // 2).clamp(min=0)


def _middle(x: Tensor, args: tuple[Any, ...], place: Callable[[int, Tensor], Tensor]) -> Any:
    if not args:
        if x.numel() == 0:
            return torch.median(x)
        return _middle(x.reshape(-1), (0, False), place)[0]
    dim, keepdim = args[0], args[1] if len(args) > 1 else False
    values, indices = _sorted(x, dim, descending=False)
    if not x.ndim:
        return values, indices
    at = place(x.shape[dim], x.isnan().sum(dim, keepdim=True))
    values, indices = values.gather(dim, at), indices.gather(dim, at)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


@replaces("cummax")
def cummax(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The largest so far, or NaN, and the last index that has it."""
    return _so_far(aten.cummax, x, dim)


@replaces("cummin")
def cummin(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The least so far, or NaN, and the last index that has it."""
    return _so_far(aten.cummin, x, dim)


def _so_far(kernel: Any, x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Run PyTorch's own on what is not NaN: after a NaN, some kernels go on without it."""
    nans = x.isnan()
    values, indices = kernel(one_zero(x.masked_fill(nans, 0)), dim)
    if not x.is_floating_point():
        return values, indices
    found, places = aten.cummax(nans.to(torch.int64), dim)
    return values.masked_fill(found > 0, torch.nan), torch.where(found > 0, places, indices)


def _keys(x: Tensor) -> Tensor:
    if x.isnan().any():
        raise NotPortableError("it is given NaN, which devices sort and compare in their own ways")
    return one_zero(x)


def _unique(kernel: Any, x: Tensor, *args: Any, sorted: bool = True, **kwargs: Any) -> Any:  # noqa: A002
    """PyTorch's own, sorted whether asked to or not."""
    del sorted
    return kernel(_keys(x), *(True, *args[1:]), **kwargs)


def _distinct(kernel: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    return kernel(_keys(x), *args, **kwargs)


for _name in ("_unique", "_unique2"):
    replaces(_name)(partial(_unique, getattr(aten, _name)))
for _name in ("unique_dim", "unique_consecutive", "unique_dim_consecutive"):
    replaces(_name)(partial(_distinct, getattr(aten, _name)))


@replaces("arange")
def arange(*args: Any, dtype: torch.dtype | None = None, device: Any = None, **_: Any) -> Tensor:
    """Count in int64, or by one multiplication and one addition in float64, which some devices would fuse."""
    start, end, step = (0, args[0], 1) if len(args) == 1 else (*args, 1)[:3]
    if dtype is None:
        whole = all(isinstance(value, int) for value in (start, end, step))
        dtype = torch.int64 if whole else torch.get_default_dtype()
    if not dtype.is_floating_point:
        return torch.arange(start, end, step, dtype=dtype, device=device)
    count = aten.arange.start_step(start, end, step, dtype=torch.float64, device="cpu").numel()
    return _steps(count, start, step, device).to(dtype)


def _steps(count: int, start: float, step: float, device: Any) -> Tensor:
    return torch.arange(count, device=device).to(torch.float64) * float(step) + float(start)


@replaces("linspace")
def linspace(
    start: Any, end: Any, steps: int, *, dtype: torch.dtype | None = None, device: Any = None, **_: Any
) -> Tensor:
    """From both ends, as `torch.linspace` does, in float64; a tensor's value is read."""
    start, end, dtype = float(start), float(end), dtype or torch.get_default_dtype()
    if steps < 2:
        return torch.full((steps,), start, dtype=dtype, device=device)
    step = (end - start) / (steps - 1)
    from_start, from_end = _steps(steps, start, step, device), _steps(steps, end, -step, device).flip(0)
    return torch.cat([from_start[: steps // 2], from_end[steps // 2 :]]).to(dtype)
