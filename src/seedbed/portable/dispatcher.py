"""Functions put before PyTorch's kernels, at keys of its dispatcher that lie above the mode; they answer inside it.

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
    """The base class of portable mode, by which it is recognised."""


def inside() -> bool:
    """Tell whether this thread is in portable mode, and not in what the mode itself runs."""
    return any(isinstance(mode, Portable) for mode in _get_current_dispatch_mode_stack())


def find(name: str) -> Any:
    """Look up the operation of aten that has this name and overload, such as ``"gradient.array"``."""
    base, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, base), overload or "default")


def is_composite(operation: Any) -> bool:
    """Tell whether PyTorch takes an operation apart before autograd sees it."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(operation.name(), "CompositeImplicitAutograd")


def put_before(library: Library, name: str, key: str, form: Form) -> None:
    """Run `form` inside the mode, where PyTorch has an operation at a `key` of the dispatcher; outside, PyTorch's own.

    That of an operation that is not composite holds the interpreter's lock for as long as it runs: such a `library` is
    to be dropped when the mode ends.
    """
    operation = find(name)
    kernel = None if is_composite(operation) else get_kernel(operation, key)

    def choose(keys: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        result = form(x, *args, **kwargs) if not x.is_meta and inside() else NotImplemented
        if result is not NotImplemented:
            return result
        return kernel.call_boxed(keys, x, *args, **kwargs) if kernel else operation.decompose(x, *args, **kwargs)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there was a kernel, or that vmap has one: it goes on running outside
        library.impl(name, choose, key, with_keyset=True)
