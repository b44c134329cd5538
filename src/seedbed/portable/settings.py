"""PyTorch's switches that decide which operations a program reaches: set alike everywhere, read back, restored.

Kernels that fuse many operations (oneDNN's and cuDNN's LSTM and batch norm, flash attention, the transformer's fast
path) and optimizers that default to another formula on a GPU (``foreach``) would be other operations on other devices.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from seedbed.portable import autocast, forms, recurrent


@dataclass(frozen=True, slots=True)
class Settings:
    """What is, or shall be, in force.

    Attributes
    ----------
    mkldnn, cudnn
        Whether oneDNN and cuDNN are used at all.
    flash, efficient, cudnn_attention, math
        Which forms of `scaled_dot_product_attention` may be chosen; the last is made of ordinary operations.
    fast_path
        The fused layer of `nn.TransformerEncoderLayer` in inference.
    deterministic
        What torch does with an operation that has no deterministic form, as its debug mode (0: it runs it). Those that
        portable mode runs add exact numbers, whose order does not matter, and some of them would be refused on a GPU.
    single_steps
        Optimizers and gradient clipping, where nobody chose, take their parameters one by one.
    einsum
        Whether `torch.einsum` asks the package opt_einsum, where that is installed, for the order of its products.
    recurrent
        Recurrent layers on a GPU, in this mode, take the steps that they take on a CPU.
    sinc
        The derivative of `torch.sinc`, in this mode, is made of other operations.
    autocast
        Autocast on a GPU goes by the lists of operations that it has on a CPU.
    flush
        Subnormal numbers are flushed to zero on the CPU, in this thread.
    """

    mkldnn: bool
    cudnn: bool
    flash: bool
    efficient: bool
    cudnn_attention: bool
    math: bool
    fast_path: bool
    einsum: bool
    flush: bool
    recurrent: bool
    sinc: bool
    autocast: bool
    deterministic: int
    single_steps: bool

    @classmethod
    def portable(cls) -> Self:
        """The settings of portable mode."""
        return cls(
            mkldnn=False,
            cudnn=False,
            flash=False,
            efficient=False,
            cudnn_attention=False,
            math=True,
            fast_path=False,
            einsum=False,
            flush=False,
            recurrent=True,
            sinc=True,
            autocast=torch.cuda.is_available(),  # elsewhere it has no use, and takes some milliseconds
            deterministic=0,
            single_steps=True,
        )

    @classmethod
    def in_force(cls) -> Self:
        """Read the settings back."""
        return cls(
            mkldnn=torch._C._get_mkldnn_enabled(),
            cudnn=torch._C._get_cudnn_enabled(),
            flash=torch.backends.cuda.flash_sdp_enabled(),
            efficient=torch.backends.cuda.mem_efficient_sdp_enabled(),
            cudnn_attention=torch.backends.cuda.cudnn_sdp_enabled(),
            math=torch.backends.cuda.math_sdp_enabled(),
            fast_path=torch.backends.mha.get_fastpath_enabled(),
            einsum=torch.backends.opt_einsum.enabled,
            flush=_flushes(),
            recurrent=recurrent.functions.on,
            sinc=forms.sinc.on,
            autocast=autocast.lists.on,
            deterministic=torch.get_deterministic_debug_mode(),
            single_steps=_steps.handle is not None,
        )

    def set(self) -> None:
        """Put every setting in force."""
        torch._C._set_mkldnn_enabled(self.mkldnn)
        torch._C._set_cudnn_enabled(self.cudnn)
        torch.backends.cuda.enable_flash_sdp(self.flash)
        torch.backends.cuda.enable_mem_efficient_sdp(self.efficient)
        torch.backends.cuda.enable_cudnn_sdp(self.cudnn_attention)
        torch.backends.cuda.enable_math_sdp(self.math)
        torch.backends.mha.set_fastpath_enabled(self.fast_path)
        torch.backends.opt_einsum.enabled = self.einsum
        if self.flush != _flushes():
            torch.set_flush_denormal(self.flush)
        recurrent.functions.switch(self.recurrent)
        forms.sinc.switch(self.sinc)
        autocast.lists.switch(self.autocast)
        torch.set_deterministic_debug_mode(self.deterministic)
        _steps.switch(self.single_steps)


def _flushes() -> bool:
    return bool(_halved(1)[0] == 0)


_PART = 1 << 15
"""Elements from which on each of PyTorch's threads gets some."""


def flushing_threads() -> int:
    """Count which of PyTorch's CPU threads flush subnormal numbers: its switch is for the calling thread alone.

    The others have what was in force in the thread that started them, when it first had work for them.
    """
    threads = torch.get_num_threads()
    return int((_halved(threads * _PART).view(threads, _PART) == 0).any(1).sum())


def _halved(count: int) -> Tensor:
    with torch.utils._python_dispatch._disable_current_modes():
        return torch.full((count,), 2.0**-1060, dtype=torch.float64, device="cpu") * 0.5


class _Steps:
    """Makes optimizers take their parameters one by one, by a hook before every step."""

    handle: Any = None

    def switch(self, on: bool) -> None:  # noqa: FBT001 - a switch
        if on and self.handle is None:
            self.handle = register_optimizer_step_pre_hook(one_by_one)
        elif not on and self.handle is not None:
            self.handle.remove()
            self.handle = None


def one_by_one(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    """Choose ``foreach=False`` for each group of parameters for which nobody chose a form."""
    del args, kwargs
    for group in optimizer.param_groups:
        if group.get("foreach", False) is None and not group.get("fused"):
            group["foreach"] = False


_steps = _Steps()
