"""Philox 4x32-10, a generator that is a function of a key and a counter: integers only, the same on every device.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: Parallel Random Numbers: As Easy as 1, 2, 3. SC11 (2011).
"""

import torch
from torch import Tensor

from seedbed.portable.scratch import scratch

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Encrypt counters: four int64 tensors ``(n,)``, each element 32 bits, under a key of two words of 32 bits.

    Gives four tensors of that shape, their elements uniform in 0..2**32-1.
    """
    (w0, w2), (w1, w3) = _encrypt(torch.stack(counter[::2]), torch.stack(counter[1::2]), key)
    return w0, w1, w2, w3


def words(start: int, stop: int, key: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Give the words of the counters `start` to `stop` (below 2**63) under a key of 64 bits, its sign among them.

    The first and the third word of each, ``(2, n)``, and the second and the fourth, ``(2, n)``; int64, in memory
    that the next call overwrites.
    """
    evens, odds = (scratch(use, (2, stop - start), torch.int64, device).zero_() for use in ("evens", "odds"))
    torch.arange(start, stop, out=evens[0])
    torch.bitwise_right_shift(evens[0], 32, out=odds[0])
    evens.bitwise_and_(_MASK)
    return _encrypt(evens, odds, (key & _MASK, (key >> 32) & _MASK))


def _encrypt(evens: Tensor, odds: Tensor, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Encrypt the words number 0 and 2, ``(2, n)``, and 1 and 3, in place.

    Products wrap round. The odd words are the low halves of products: what is above their 32 bits stays until it has
    been added to a high half, whose sign bits must be masked in any case.
    """
    products, (k0, k1) = scratch("products", evens.shape, torch.int64, evens.device), key
    w0, w2 = evens.unbind()
    for _ in range(10):
        torch.mul(w0, _MULTIPLIERS[0], out=products[1])
        torch.mul(w2, _MULTIPLIERS[1], out=products[0])
        torch.bitwise_right_shift(products, 32, out=evens).bitwise_xor_(odds).bitwise_and_(_MASK)
        w0.bitwise_xor_(k0)
        w2.bitwise_xor_(k1)
        odds, products = products, odds
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return evens, odds.bitwise_and_(_MASK)
