"""Random numbers that are the same on every device: a function of a key and of each element's index.

Each call draws one integer of 64 bits, the key, from torch's CPU generator or from the one that is given; integers are
drawn alike on every CPU. So `torch.manual_seed`, `torch.random.fork_rng` and saved states mean what they always mean.
Element ``i``, counted row by row whatever the strides, has word ``i % 4`` of Philox's counter ``i // 4``, or where it
needs 64 bits, words ``2 * (i % 2)`` and the next of counter ``i // 2``.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from seedbed.errors import NotPortableError
from seedbed.portable import philox
from seedbed.portable.elementary import cos, log, sin, sqrt

_BLOCK = 1 << 14
"""Counters that are worked on at a time on a CPU: what their words need stays in its cache."""

_ELSEWHERE = 1 << 22
"""As many on other devices, for the sake of their memory."""

_DIGITS = {torch.float16: 11, torch.bfloat16: 8, torch.float32: 24, torch.float64: 53}
"""Bits of each type's significand: uniform numbers are multiples of 2**-digits, as PyTorch's own are."""

Fill = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""Makes one or two elements of each pair of words, ``(2, n)``; may overwrite them."""


def key_from(generator: Generator | None) -> int:
    """Draw a key, 64 bits with a sign, from `generator`, else from torch's default one.

    Raises
    ------
    NotPortableError
        For a generator of another device: its draws are not those of a CPU generator with the same seed.
    """
    if generator is not None and generator.device.type != "cpu":
        raise NotPortableError(
            f"its generator is on {generator.device}, and draws other numbers than one on the CPU with the same seed: "
            "give torch.Generator(), which inside portable mode serves tensors on any device"
        )
    drawn = torch.empty((), dtype=torch.int64, device="cpu")  # whatever the default device
    return int(drawn.random_(-(2**63), None, generator=generator).item())


def filled(like: Tensor, generator: Generator | None, each: int, fill: Fill) -> Tensor:
    """Make a tensor of the shape, type and device of `like`: `each` elements of each pair of words, by `fill`."""
    key, count = key_from(generator), like.numel()
    counters = -(-count // (2 * each))
    step = _BLOCK if like.device.type == "cpu" else _ELSEWHERE
    result = torch.empty(counters, 2, each, dtype=like.dtype, device=like.device)
    for start in range(0, counters, step):
        rows = slice(start, min(start + step, counters))
        made = fill(*philox.words(rows.start, rows.stop, key, like.device))
        for pair, place in itertools.product(range(2), range(each)):
            result[rows, pair, place] = made[place][pair]
    flat = result.view(-1)
    return (flat if flat.shape[0] == count else flat[:count].clone()).view(like.shape)


def _words64(evens: Tensor, odds: Tensor) -> Tensor:
    """Join words to numbers of 64 bits, the first of which is the sign; in the memory of `evens`."""
    return evens.bitwise_left_shift_(32).bitwise_or_(odds)


def _high(numbers: Tensor, bits: int) -> Tensor:
    """Give the first `bits` of numbers of 64, at most 63; in place."""
    return numbers.bitwise_right_shift_(64 - bits).bitwise_and_((1 << bits) - 1)


def unit(x: Tensor, generator: Generator | None = None) -> Tensor:
    """Draw uniform numbers in [0, 1), multiples of ``2**-digits`` of the type of `x`.

    Shape and device of `x`; float32, or float64 where it is.
    """
    bits = digits(x.dtype)
    if x.dtype == torch.float64:
        return filled(x, generator, 1, lambda *words: (_high(_words64(*words), bits),)).mul_(2.0**-bits)
    like = x.new_empty(x.shape, dtype=torch.float32)
    drawn = filled(like, generator, 2, lambda *words: tuple(word.bitwise_right_shift_(32 - bits) for word in words))
    return drawn.mul_(2.0**-bits)


def digits(dtype: torch.dtype) -> int:
    """Give the bits of a type's significand.

    Raises
    ------
    NotPortableError
        For a type that is neither float16, bfloat16, float32 nor float64.
    """
    if dtype not in _DIGITS:
        raise NotPortableError(f"its numbers are of float16, bfloat16, float32 or float64, not of {dtype}")
    return _DIGITS[dtype]


def inner(shape: Sequence[int], device: torch.device, generator: Generator | None) -> Tensor:
    """Draw uniform numbers in (0, 1), odd multiples of ``2**-53``; float64."""
    like = torch.empty(shape, dtype=torch.float64, device=device)
    return filled(like, generator, 1, lambda *words: (_high(_words64(*words), 52),)).add_(0.5).mul_(2.0**-52)


def standard_normal(x: Tensor, generator: Generator | None = None) -> Tensor:
    """Draw normal numbers of mean 0 and deviation 1; shape and device of `x`; float32, or float64 where it is.

    G. E. P. Box, M. E. Muller: A Note on the Generation of Random Normal Deviates. Ann. Math. Stat. 29 (1958). Of
    float32, the largest is 6.7 deviations (PyTorch's own 5.8), of float64 8.5.
    """
    if x.dtype == torch.float64:
        return filled(x, generator, 1, _wide_normal)
    digits(x.dtype)
    return filled(x.new_empty(x.shape, dtype=torch.float32), generator, 2, _narrow_normal)


def _narrow_normal(evens: Tensor, odds: Tensor) -> tuple[Tensor, Tensor]:
    """Two numbers of each pair of words: one for the radius, odd multiples of ``2**-33``, one for the angle."""
    radius = evens.mul_(2).add_(1).to(torch.float32).mul_(2.0**-33)
    angle = odds.bitwise_right_shift_(8).to(torch.float32).mul_(2 * math.pi * 2.0**-24)
    radius = sqrt(log(radius).mul_(-2.0))
    return radius * cos(angle), radius * sin(angle)


def _wide_normal(evens: Tensor, odds: Tensor) -> tuple[Tensor]:
    """Two numbers of each counter, the first pair of its words for the radius, the second for the angle."""
    first, second = _words64(evens, odds)
    radius = _high(first, 52).to(torch.float64).add_(0.5).mul_(2.0**-52)
    angle = _high(second, 53).to(torch.float64).mul_(2 * math.pi * 2.0**-53)
    radius = sqrt(log(radius).mul_(-2.0))
    return (torch.stack([radius * cos(angle), radius * sin(angle)]),)


def integers(x: Tensor, low: int, high: int, generator: Generator | None = None) -> Tensor:
    """Draw integers from `low` up to, not including, `high`; shape, dtype and device of `x`.

    Up to 2**16 of them by 32 bits, else by 64: as in PyTorch, some are likelier than others, by a factor of at most
    ``1 + 2**-16``, or if there are more than 2**62, of 2.
    """
    count = high - low
    if count > 2**16:
        return filled(x, generator, 1, lambda *words: (_folded(_words64(*words), count).add_(low),))
    return filled(x, generator, 2, lambda *words: tuple(_scaled(word, count).add_(low) for word in words))


def _scaled(word: Tensor, count: int) -> Tensor:
    return word.mul_(count).bitwise_right_shift_(32)


def _folded(numbers: Tensor, count: int) -> Tensor:
    """Give the remainder by `count` of numbers of 63 bits; by one above 2**63, of 64."""
    if count > 2**63:
        beyond = (numbers < 0) & (numbers >= count - 2**64)  # without a sign, from `count` on
        return torch.where(beyond, numbers - (count - 2**64), numbers)
    numbers.bitwise_and_(2**63 - 1)
    return numbers if count == 2**63 else numbers.remainder_(count)
