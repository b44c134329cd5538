"""A device that is not the CPU, for want of a GPU: the CPU's kernels under another name, each looked at before it runs.

What runs there goes the ways that a GPU goes: PyTorch asks for the device in many places, and so does
`seedbed.portable`. ``python -m tests.portable_elsewhere tests.test_x:PROGRAMS`` runs each function of a dictionary
here and there, and prints what it asks of kernels that another device may answer otherwise, and where bits differ.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import _disable_current_modes, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from seedbed.fingerprint import fingerprints
from seedbed.portable.exact import OTHERWISE_LAID_OUT
from seedbed.portable.mode import _modes
from tests.portable_kernels import EXTREMES, name_of, objection

NAME = "elsewhere"
objections: set[str] = set()


class Elsewhere(Tensor):
    """A tensor on that device."""

    here: Tensor

    @staticmethod
    def __new__(cls: type[Self], here: Tensor) -> Self:
        made: Self = Tensor._make_wrapper_subclass(
            cls,
            here.shape,
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=torch.device(NAME, 0),
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        if modes := _modes():  # portable mode leaves to a subclass what has one; this one stands for plain tensors
            with _disable_current_modes():
                return modes[-1].__torch_dispatch__(func, (), args, kwargs)
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            return func.decompose(*args, **(kwargs or {}))
        return _run(func, *args, **(kwargs or {}))

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Elsewhere({self.here})"

    def tolist(self) -> Any:
        return self.here.tolist()


def _run(func: Any, *args: Any, **kwargs: Any) -> Any:
    given, named = tree_map_only(Elsewhere, lambda each: each.here, (args, dict(kwargs)))
    to = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else NAME
    if "device" in named:
        named["device"] = "cpu"
    found = _of_devices(func, args) or objection(func, given, named)
    if found:
        objections.add(f"{func} {found}")
    root = _other_root(given[0]) if name_of(func) == "sqrt" and given[0].dtype == torch.float64 else None
    result = func(*given, **named)
    for each in tree_leaves((args, kwargs)):
        assert not isinstance(each, Elsewhere) or each.shape == each.here.shape, f"{func} resizes"
    if name_of(func) in OTHERWISE_LAID_OUT:
        result = tree_map_only(Tensor, Tensor.contiguous, result)
    if name_of(func) in EXTREMES:
        _other_zeros(result)
    if root is not None:
        result.copy_(root)
    if to != NAME:
        return result
    return return_and_correct_aliasing(func, args, kwargs, tree_map_only(Tensor, Elsewhere, result))


def _of_devices(func: Any, args: Any) -> str:
    """CUDA divides by a number, or by a tensor of no dimensions on the CPU, by multiplying with the reciprocal."""
    strange = [each for each in args if isinstance(each, Tensor) and not isinstance(each, Elsewhere)]
    if not strange or name_of(func) == "copy":
        return ""
    if any(each.ndim for each in strange):
        return "is given tensors of two devices"
    return "multiplies by the reciprocal of a number" if name_of(func) == "div" else ""


def _other_zeros(result: Any) -> None:
    """Give each zero of an extreme the other sign: which one it has, devices answer as they like."""
    for each in result if isinstance(result, tuple) else (result,):
        if each.is_floating_point():
            each.mul_(torch.where(each == 0, -1.0, 1.0))


def _other_root(x: Tensor) -> Tensor:
    """Give the square root, or the number above it: devices are right within one unit in the last place."""
    root = torch.from_numpy(np.asarray(np.sqrt(x.numpy())))
    above = torch.nextafter(root, torch.full_like(root, torch.inf))
    return torch.where((root > 0) & (root.view(torch.int64) & 4 != 0), above, root)


def _set_up() -> list[torch.library.Library]:
    """Make the device known; the libraries undo it where nobody holds them."""
    _setup_privateuseone_for_python_backend(NAME)
    every, few = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    every.fallback(_run, "PrivateUse1")
    aten = torch.ops.aten
    ranges = aten.arange.default, aten.arange.start, aten.arange.start_step  # which would resize what `empty` made
    for func in (*ranges, aten.copy_.default, aten.silu_backward.default, aten.mish_backward.default):  # CUDA has these
        few.impl(func, lambda *args, func=func, **kwargs: _run(func, *args, **kwargs), "PrivateUse1")
    return [every, few]


class _There(DeviceContext):
    """Makes new tensors on the device; `torch.tensor` cannot, below a mode, where kernels are written in Python."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.tensor and (kwargs or {}).get("device") is None:
            return torch.tensor(*args, **(kwargs or {}) | {"device": "cpu"}).to(NAME)
        return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]


def findings(run: Callable[[], Mapping[str, Tensor]]) -> list[str]:
    """Say what `run` asks of the device that another may answer otherwise, and which of its results have other bits."""
    here = run()
    expected = fingerprints(here)
    objections.clear()
    with _There(NAME):
        results = run()
    strides = [f"{key} has other strides" for key, each in results.items() if _strides(each) != _strides(here[key])]
    stayed = [f"{key} is not on the device" for key, each in results.items() if not isinstance(each, Elsewhere)]
    found = fingerprints({key: each.here for key, each in results.items() if isinstance(each, Elsewhere)})
    return sorted(objections) + stayed + strides + [f"{key} differs" for key in found if found[key] != expected[key]]


def _strides(x: Tensor) -> list[int]:
    return [stride for stride, size in zip(x.stride(), x.shape, strict=True) if size > 1]


def main(name: str) -> None:
    """Print the `findings` of each function of a dictionary (``tests.test_x:NAME``)."""
    libraries = _set_up()
    module, _, attribute = name.partition(":")
    programs = getattr(import_module(module), attribute)
    print(json.dumps({key: findings(program) for key, program in programs.items()}), flush=True)
    assert libraries
    os._exit(0)  # a thread that autograd keeps for the device would end this with an abort


if __name__ == "__main__":
    main(sys.argv[1])
