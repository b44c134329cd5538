"""PyTorch's dispatcher, where it is still above the mode: functions put before its kernels that answer inside the mode.

A dispatch mode sees what arrives below autograd and autocast. What these decide by themselves, they are told here.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.library import Library, get_kernel
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

Form = Callable[..., Any]
"""Takes an operation's arguments and gives its result, or `NotImplemented` to leave them to PyTorch's own."""


class Portable(TorchDispatchMode):
    """What portable mode is, to know it by."""


def inside() -> bool:
    """Tell whether this thread is in portable mode, and not in what the mode itself runs."""
    return any(isinstance(mode, Portable) for mode in _get_current_dispatch_mode_stack())


def find(name: str) -> Any:
    """Give an operation of aten by its name and overload, such as ``"gradient.array"``."""
    base, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, base), overload or "default")


def is_composite(operation: Any) -> bool:
    """Tell whether PyTorch takes an operation apart before autograd sees it."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(operation.name(), "CompositeImplicitAutograd")


def put_before(library: Library, operation: Any, key: str, form: Form) -> None:
    """Run `form` inside the mode, where PyTorch has an `operation` at a `key` of the dispatcher; outside, PyTorch's."""
    apart = is_composite(operation) and not key.startswith("Autocast")
    kernel = None if apart else get_kernel(operation, key)

    def own(keys: Any, *args: Any, **kwargs: Any) -> Any:
        return kernel.call_boxed(keys, *args, **kwargs) if kernel else operation.decompose(*args, **kwargs)

    def choose(keys: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        result = form(x, *args, **kwargs) if not x.is_meta and inside() else NotImplemented
        return own(keys, x, *args, **kwargs) if result is NotImplemented else result

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there was a kernel, or that vmap has one: it goes on running outside
        library.impl(operation.name().removeprefix("aten::"), choose, key, with_keyset=True)
