"""What the normalizations share; all in float64."""

import torch
from torch import Tensor

from seedbed.portable.elementary import sqrt
from seedbed.portable.scratch import constant, part, scratch
from seedbed.portable.sums.tree import BLOCK, middle, partial_sums, piece_sums, product_sums


def row_total(x: Tensor) -> Tensor:
    """Add up each row of a piece ``(a, n)``; ``(a, 1)``, valid until the next sum."""
    return piece_sums(x.unsqueeze(2)).view(-1, 1)


def row_products(x: Tensor, other: Tensor) -> Tensor:
    """Add up the products in each row of a piece ``(a, n)``; ``(a, 1)``, valid until the next sum."""
    return product_sums(x.unsqueeze(2), other.unsqueeze(2)).view(-1, 1)


def product(x: Tensor, other: Tensor) -> Tensor:
    """``x * other``, in memory that the next call overwrites."""
    return torch.mul(x, other, out=scratch("product", x.shape, x.dtype, x.device))


def centered(x: Tensor) -> tuple[Tensor, Tensor]:
    """Subtract from each row of ``(a, n)`` its mean, in place; give the means and the variances, ``(a, 1)``."""
    count = constant(x.shape[1], x)
    mean = row_total(x) / count
    x.sub_(mean)
    return mean, row_products(x, x) / count


def inverse_root(variance: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """``1 / sqrt(variance + eps)`` in float64, to 48 bits for float32: of which one step of Newton's makes them.

    The root of a float32 in float64, rounded, is right (see `elementary.roots`), and its square is exact; it is nothing
    to be corrected where it is 0 or infinite.
    """
    if dtype == torch.float64:
        return constant(1.0, variance) / sqrt(variance + eps)
    memory = part("inverse root", (4, *variance.shape), torch.float64, variance.device)
    value, root, error, single = memory.views(_of_inverse_root)
    torch.add(variance, constant(eps, variance), out=value)
    root.copy_(single.copy_(value)).sqrt_()
    root.copy_(single.copy_(root))
    torch.sub(value, torch.mul(root, root, out=error), out=error)
    error.div_(torch.add(root, root, out=value)).nan_to_num_(0.0, 0.0, 0.0)
    return constant(1.0, variance) / root.add_(error)


def _of_inverse_root(memory: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give three tensors as they are, and one of float32."""
    value, root, error, rest = memory.unbind()
    return value, root, error, rest.view(-1).view(torch.float32)[: rest.numel()].view(rest.shape)


class Sums:
    """Adds up rows of `size` as they come: so many at a time as fit the cache, then what those came to."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.chunk = max(1, BLOCK // max(size, 1))
        self.partial: list[Tensor] = []

    def add(self, x: Tensor) -> None:
        """Take in more rows, ``(a, size)``: a chunk, or several, or the last, on whichever device."""
        self.partial.append(partial_sums(x.unsqueeze(0), self.chunk)[0])

    def total(self, like: Tensor) -> Tensor:
        """Give the sum of all, with the dtype of `like`; ``(size,)``."""
        nothing = torch.zeros(0, self.size, dtype=torch.float64, device=like.device)
        return middle(torch.cat([*self.partial, nothing]).unsqueeze(0))[0].to(like.dtype)


def channels(values: Tensor) -> Tensor:
    """Give ``(c,)`` as float64 ``(c, 1)``, which goes with ``(n, c, s)``."""
    return values.reshape(-1, 1).to(torch.float64)


def scaled(x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    """``x * scale + shift``, in place."""
    if scale is not None:
        x.mul_(scale)
    return x if shift is None else x.add_(shift)
