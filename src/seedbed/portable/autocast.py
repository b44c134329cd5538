"""Autocast on a GPU by the lists that it goes by on a CPU.

`torch.autocast` casts the arguments of the operations on its lists above autograd, where a dispatch mode sees nothing
of it, and PyTorch has other lists for CUDA than for a CPU: softmax, sums and layer norm, of bfloat16 on a CPU, are
float32 there. What the lists are, PyTorch's dispatcher is asked; ``aten/src/ATen/autocast_mode.cpp`` has their rules.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import _cast
from torch.library import Library, fallthrough_kernel
from torch.nn.functional import pad
from torch.utils._pytree import tree_leaves

from seedbed.errors import NotPortableError
from seedbed.portable.dispatcher import find, inside
from seedbed.portable.place import refused

LOWER = {
    "_convolution.deprecated",
    "addbmm",
    "addmm",
    "baddbmm",
    "bmm",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d.input",
    "conv_transpose3d.input",
    "linalg_vecdot",
    "linear",
    "matmul",
    "mm",
    "prelu",
    "scaled_dot_product_attention",
}
"""On both devices these are run in bfloat16 or float16; PyTorch's own kernels do it, and share what they cast."""
REFUSED = {"_addmm_activation", "_native_multi_head_attention", "mkldnn_rnn_layer"}
"""On a CPU in lower precision too; portable mode refuses them, or they are for a CPU alone."""
PADDED = {"conv1d.padding": torch.conv1d, "conv2d.padding": torch.conv2d, "conv3d.padding": torch.conv3d}
"""With padding that has a name; on CUDA not on the list, but the convolution is that they call."""
WIDEST = {"cat", "stack", "index_copy"}
"""On a CPU these are run in the widest type among their arguments; what else is on its list, in float32."""

_CAST_TWICE = (
    "below autocast, padding='same' for a kernel of even size casts an input of which a gradient is wanted, and which "
    "nothing has computed, once for all that take it on a CPU, and again on a GPU: pad it by torch.nn.functional.pad"
)
_KEY = "AutocastCUDA"
_OFF = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCUDA)


def _names(key: str) -> set[str]:
    """Give PyTorch's own; what others register for autocast, such as torchvision, they wrote for each device."""
    names = torch._C._dispatch_get_registrations_for_dispatch_key(key)
    return {name.removeprefix("aten::") for name in names if name.startswith("aten::")}


def kernels() -> dict[str, Callable[..., Any]]:
    """Give what is put in place of CUDA's autocast: a kernel, or one that lets an operation through uncast."""
    of_cpu = _names("AutocastCPU") - LOWER - REFUSED
    found: dict[str, Callable[..., Any]] = dict.fromkeys(_names(_KEY) - LOWER - of_cpu, fallthrough_kernel)
    for name in of_cpu:
        operation = find(name)
        if name in PADDED:
            found[name] = partial(_padded, operation, PADDED[name])
        else:
            found[name] = partial(_in_widest if name in WIDEST else _in_float32, operation)
    return found


def _in_float32(operation: Any, *args: Any, **kwargs: Any) -> Any:
    return _run(operation, torch.float32, args, kwargs)


def _in_widest(operation: Any, *args: Any, **kwargs: Any) -> Any:
    widest = lower = torch.get_autocast_dtype("cuda")
    for each in tree_leaves((args, kwargs)):
        if not isinstance(each, Tensor) or not each.is_floating_point() or each.dtype == torch.float64:
            continue
        if torch.float32 in (widest, each.dtype):
            widest = torch.float32
        elif each.dtype != lower:
            raise RuntimeError(f"autocast to {lower} would cast {each.dtype}: PyTorch refuses it on a CPU, too")
    return _run(operation, widest, args, kwargs)


def _run(operation: Any, dtype: torch.dtype, args: Any, kwargs: Any) -> Any:
    with torch._C._ExcludeDispatchKeyGuard(_OFF):
        return operation(*_cast(args, "cuda", dtype), **_cast(kwargs, "cuda", dtype))


def _padded(
    operation: Callable[..., Tensor],
    convolve: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: str = "valid",
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Tensor:
    """Pad by numbers: where "same" takes an odd one, first by the one that is more at the end of a dimension."""
    sizes = weight.shape[2:]
    fits = sizes and {len(stride), len(dilation)} <= {1, len(sizes)}
    if not fits or padding not in ("same", "valid") or (padding == "same" and any(step != 1 for step in stride)):
        with torch._C._ExcludeDispatchKeyGuard(_OFF):
            return operation(x, weight, bias, stride, padding, dilation, groups)  # PyTorch says what is wrong
    steps, dilations = (list(each) * len(sizes) if len(each) == 1 else each for each in (stride, dilation))
    if padding == "valid":
        return convolve(x, weight, bias, steps, 0, dilations, groups)
    totals = [each * (size - 1) for each, size in zip(dilations, sizes, strict=True)]
    if any(total % 2 for total in totals):
        if inside() and x.is_leaf and x.requires_grad and x.dtype == torch.float32:
            raise refused(operation, NotPortableError(_CAST_TWICE))
        x = pad(x, [each for total in reversed(totals) for each in (0, total % 2)])
    return convolve(x, weight, bias, 1, [total // 2 for total in totals], dilations, groups)


class _Switch:
    """Puts `kernels` in force, for the process."""

    library: Library | None = None

    @property
    def on(self) -> bool:
        return self.library is not None

    def switch(self, on: bool) -> None:  # noqa: FBT001 - a switch
        if on and not self.on:
            self.library = Library("aten", "IMPL")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that there was a kernel: it comes back when the library goes
                for name, kernel in kernels().items():
                    self.library.impl(name, kernel, _KEY)
        elif not on:
            self.library = None


lists = _Switch()
