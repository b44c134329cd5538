# ruff: noqa: FBT001, FBT002 - aten's arguments go by position
"""The random operations of aten: `draws`, given the distributions, shapes and types that they ask for.

Names are those of the functional forms, which take the tensor to be filled and give another; ``normal_`` and
``bernoulli_`` take other arguments than their functional forms, and have entries of their own.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from seedbed.portable.draws import digits, filled, inner, integers, standard_normal, unit
from seedbed.portable.elementary import exp, log, log1p, tan
from seedbed.portable.fixed_point import bits_for, exponent, power
from seedbed.portable.scratch import constant
from seedbed.portable.table import replaces


@replaces("uniform", as_given=True)
def uniform(
    x: Tensor, low: float = 0.0, high: float = 1.0, *, generator: Generator | None = None, **bounds: float
) -> Tensor:
    """``low + (high - low) * u``, below `high` unless both are the same; the type of `x`.

    Raises
    ------
    RuntimeError
        For bounds in the wrong order, or too far from each other for the type; as PyTorch.
    """
    if x.is_complex():
        return torch.view_as_complex(uniform(torch.view_as_real(x), low, high, generator=generator, **bounds))
    digits(x.dtype)
    given = bounds.get("from", low), bounds.get("to", high)
    first, last = (float(torch.tensor(bound, dtype=x.dtype, device="cpu")) for bound in given)
    if not 0 <= last - first <= torch.finfo(x.dtype).max:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={given[0]} > to={given[1]}")
    drawn = unit(x, generator)
    if (first, last) != (0.0, 1.0):
        drawn.mul_(last - first).add_(first)
    return drawn.to(x.dtype).clamp_max_(_below(last, x.dtype) if first < last else last)


_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def _below(value: float, dtype: torch.dtype) -> float:
    """Give the next smaller number of the type: `torch.nextafter` does not know float16."""
    bits = torch.tensor(value or -0.0, dtype=dtype, device="cpu").view(_INTEGERS[dtype.itemsize])
    return float((bits - 1 if value > 0 else bits + 1).view(dtype))


@replaces("normal_", "normal_functional", as_given=True)
def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """``mean + std * z``; the type of `x`, where that is complex with half the variance in each part."""
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    if x.is_complex():
        parts = standard_normal(torch.view_as_real(x), generator).mul_(std * math.sqrt(0.5))
        parts[..., 0].add_(mean)
        return torch.view_as_complex(parts)
    return standard_normal(x, generator).mul_(std).add_(mean).to(x.dtype)


@replaces("normal", as_given=True)
def normal(
    mean: Any, std: Any = 1.0, size: Sequence[int] | None = None, *, generator: Generator | None = None, **options: Any
) -> Tensor:
    """``mean + std * z``; either may be a tensor, or neither with a `size`, or `mean` the one to replace."""
    if size is not None:
        return normal_(_made(size, options), mean, std, generator=generator)
    if not isinstance(std, Tensor):
        like, shape = mean, mean.shape
        if not std >= 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    else:
        torch._assert_async((std >= 0).all(), "normal expects all elements of std >= 0.0")
        like = mean if isinstance(mean, Tensor) else std
        shape = torch.broadcast_shapes(std.shape, like.shape)
    drawn = standard_normal(like.new_empty(shape), generator)
    return drawn.mul_(_as(drawn, std)).add_(_as(drawn, mean)).to(like.dtype)


def _as(like: Tensor, value: Any) -> Any:
    return value.to(like.device, like.dtype) if isinstance(value, Tensor) else value


@replaces("bernoulli_", as_given=True)
def bernoulli_(x: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """1 with probability `p`, a number or a tensor, rounded up to a multiple of ``2**-32``, else 0; the type of `x`.

    Raises
    ------
    RuntimeError
        For what is no probability; as PyTorch, on a GPU when the result is asked for.
    """
    if not isinstance(p, Tensor):
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        least = math.ceil(p * 2**32)
        return filled(x, generator, 2, lambda *words: tuple(word < least for word in words))
    p = p.to(x.device, torch.float64)
    torch._assert_async(((p >= 0) & (p <= 1)).all(), "bernoulli_ expects all elements of p to be in [0, 1]")
    drawn = filled(x.new_empty(x.shape, dtype=torch.float64), generator, 2, lambda *words: words)
    return torch.lt(drawn, p * 2**32).to(x.dtype)


@replaces("bernoulli", as_given=True)
def bernoulli(x: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """1 with probability `p`, else with that of each element of `x`; the type of `x`."""
    return bernoulli_(x, x if p is None else p, generator=generator)


@replaces("native_dropout", as_given=True)
def native_dropout(x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """Zero elements with probability `p` and divide the others by ``1 - p``, as `F.dropout` does it on a CPU."""
    if train is False:
        return x.clone(), torch.ones_like(x, dtype=torch.bool)
    kept = bernoulli_(torch.empty_like(x, dtype=torch.bool), 1 - p)
    return _dropped(x, kept, 1 - p), kept


@replaces("native_dropout_backward", as_given=True)
def native_dropout_backward(grad: Tensor, mask: Tensor, scale: float) -> Tensor:
    """The gradient of what was kept, divided by ``1 - p``; `scale` is ``1 / (1 - p)``, or 0 where nothing was kept."""
    share = 1 / scale if scale else 0.0
    short = round(share * 2**40) / 2**40
    return _dropped(grad, mask, short if short and 1 / short == scale else share)


def _dropped(x: Tensor, kept: Tensor, share: float) -> Tensor:
    """Multiply with 0 or ``1 / share``, rounded to the type of `x`, as PyTorch's ``bernoulli_(share).div_(share)``."""
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    one = torch.ones((), dtype=wide, device=x.device)
    factor = (one / torch.full_like(one, share or 1.0)).to(x.dtype).to(wide)
    return (x.to(wide) * (kept * factor)).to(x.dtype)


@replaces("random", as_given=True)
def random(x: Tensor, *bounds: int | None, generator: Generator | None = None, **named: int | None) -> Tensor:
    """Integers from the first bound, or 0, up to the last, or the largest that the type of `x` counts to."""
    given = [*bounds, *(named[name] for name in ("from", "to") if name in named)]
    low = (given[0] or 0) if len(given) == 2 else 0
    return _between(x, low, given[-1] if given and given[-1] is not None else _largest(x.dtype) + 1, generator)


def _between(x: Tensor, low: int, high: int, generator: Generator | None) -> Tensor:
    if not low < high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if low < _least(x.dtype) or (high - 1 > _largest(x.dtype) and not x.is_floating_point()):
        raise RuntimeError(f"random_ from={low} to={high} is out of bounds for {x.dtype}")
    return integers(x, low, high, generator)


def _largest(dtype: torch.dtype) -> int:
    """The largest integer up to which the type has all of them."""
    if dtype == torch.bool:
        return 1
    return int(2 ** digits(dtype)) if dtype.is_floating_point or dtype.is_complex else torch.iinfo(dtype).max


def _least(dtype: torch.dtype) -> int:
    if dtype == torch.bool:
        return 0
    return int(torch.finfo(dtype).min) if dtype.is_floating_point else torch.iinfo(dtype).min


@replaces("exponential", as_given=True)
def exponential(x: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """``-log(u) / lambd``, in float64, above 0; the type of `x`."""
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    digits(x.dtype)
    info = torch.finfo(x.dtype)
    return _waits(x.shape, x.device, generator).div_(constant(lambd, x)).clamp_min_(info.tiny * info.eps).to(x.dtype)


def _waits(shape: Sequence[int], device: torch.device, generator: Generator | None) -> Tensor:
    return log(inner(shape, device, generator)).neg_()


@replaces("geometric", as_given=True)
def geometric(x: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """The number of trials, each of probability `p`, up to the first success, or the largest of the type of `x`."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    failure = log1p(constant(-p, x)).neg_()
    trials = _waits(x.shape, x.device, generator).div_(failure).ceil_()
    return (trials if x.is_floating_point() else trials.clamp_max_(min(_largest(x.dtype), 2**63 - 2**10))).to(x.dtype)


@replaces("log_normal")
def log_normal(x: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """``exp(mean + std * z)``; the type of `x`."""
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    return exp(standard_normal(x, generator).mul_(std).add_(mean))


@replaces("cauchy")
def cauchy(x: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """``median + sigma * tan(pi (u - 1/2))``, in float64; the type of `x`."""
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    angle = inner(x.shape, x.device, generator).sub_(0.5).mul_(math.pi)
    return tan(angle).mul_(sigma).add_(median).to(x.dtype)


def _made(size: Sequence[int], options: dict[str, Any], dtype: torch.dtype | None = None) -> Tensor:
    wanted = options.get("dtype") or dtype or torch.get_default_dtype()
    return torch.empty(list(size), dtype=wanted, device=options.get("device"))


def _like(x: Tensor, options: dict[str, Any]) -> Tensor:
    return torch.empty(x.shape, dtype=options.get("dtype") or x.dtype, device=options.get("device") or x.device)


@replaces("rand", as_given=True)
def rand(size: Sequence[int], *, generator: Generator | None = None, **options: Any) -> Tensor:
    """Uniform numbers in [0, 1)."""
    return uniform(_made(size, options), generator=generator)


@replaces("randn", as_given=True)
def randn(size: Sequence[int], *, generator: Generator | None = None, **options: Any) -> Tensor:
    """Normal numbers of mean 0 and deviation 1."""
    return normal_(_made(size, options), generator=generator)


@replaces("randint", as_given=True)
def randint(*bounds: Any, generator: Generator | None = None, **options: Any) -> Tensor:
    """Integers: ``(high, size)`` or ``(low, high, size)``."""
    *limits, size = bounds
    low, high = (0, *limits)[-2:]
    return _between(_made(size, options, torch.int64), low, high, generator)


@replaces("rand_like", as_given=True)
def rand_like(x: Tensor, *, generator: Generator | None = None, **options: Any) -> Tensor:
    """Uniform numbers in [0, 1)."""
    return uniform(_like(x, options), generator=generator)


@replaces("randn_like", as_given=True)
def randn_like(x: Tensor, *, generator: Generator | None = None, **options: Any) -> Tensor:
    """Normal numbers of mean 0 and deviation 1."""
    return normal_(_like(x, options), generator=generator)


@replaces("randint_like", as_given=True)
def randint_like(x: Tensor, *limits: Any, generator: Generator | None = None, **options: Any) -> Tensor:
    """Integers: ``(x, high)`` or ``(x, low, high)``; a tensor's value is read."""
    low, high = (0, *limits)[-2:]
    return _between(_like(x, options), int(low), int(high), generator)


@replaces("randperm", as_given=True)
def randperm(n: int, *, generator: Generator | None = None, **options: Any) -> Tensor:
    """The order of `n` draws of 64 bits, of which two are the same once in ``2**65 / n**2`` calls (then stably)."""
    drawn = integers(_made([n], {"device": options.get("device")}, torch.int64), -(2**63), 2**63, generator)
    order = torch.sort(drawn, stable=True).indices
    return order.to(options.get("dtype") or torch.int64)


@replaces("multinomial")
def multinomial(
    x: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Draw indices with probabilities proportional to `x`, ``(n,)`` or ``(m, n)``; int64.

    One by one from the sums of the weights, as integers; without replacement, by a race: weights divided by exponential
    numbers, the largest first (P. S. Efraimidis, P. G. Spirakis: Weighted random sampling with a reservoir. 2006).

    Raises
    ------
    RuntimeError
        For weights that are none, or for more samples than there are elements, without replacement; as PyTorch.
    """
    _check(x, num_samples, replacement=replacement)
    weights = x.to(torch.float64)
    if replacement or num_samples == 1:
        return _by_sums(weights, num_samples, generator)
    times = _waits(weights.shape, weights.device, generator)
    return torch.sort(weights / times, stable=True, descending=True, dim=-1).indices[..., :num_samples].contiguous()


def _check(x: Tensor, num_samples: int, *, replacement: bool) -> None:
    if x.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > x.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    valid = ((x >= 0) & (x < torch.inf)).all()
    torch._assert_async(valid, "probability tensor contains either `inf`, `nan` or element < 0")
    some = (x > 0).any(-1).all()
    torch._assert_async(some, "invalid multinomial distribution (sum of probabilities <= 0)")


def _by_sums(weights: Tensor, num_samples: int, generator: Generator | None) -> Tensor:
    """Look up fractions of the sum of the weights in the sums up to each; as integers, which add up exactly."""
    bits = 62 - bits_for(weights.shape[-1])
    scale = power((bits - exponent(weights.amax(-1, keepdim=True))).clamp_(max=1023))
    sums = (weights * scale).round_().to(torch.int64).cumsum(-1)
    fractions = unit(weights.new_empty((*weights.shape[:-1], num_samples)), generator)
    places = (fractions * sums[..., -1:].to(torch.float64)).to(torch.int64)
    return torch.searchsorted(sums, torch.minimum(places, sums[..., -1:] - 1), right=True)


@replaces("rrelu_with_noise")
def rrelu_with_noise(
    x: Tensor,
    noise: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Multiply what is not above 0 with numbers between `lower` and `upper`, kept in `noise`; or with their middle."""
    negative = x <= 0
    if not training:
        return torch.where(negative, x * ((lower + upper) / 2), x)
    noise.copy_(torch.where(negative, uniform(x, lower, upper, generator=generator), 1.0))
    return torch.where(negative, x * noise, x)


@replaces("rrelu_with_noise_functional")
def rrelu_with_noise_functional(x: Tensor, noise: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
    """As ``rrelu_with_noise``, which gives the noise besides."""
    noise = noise.clone()
    return rrelu_with_noise(x, noise, *args), noise


@replaces("rrelu_with_noise_backward")
def rrelu_with_noise_backward(
    grad: Tensor, x: Tensor, noise: Tensor, lower: float, upper: float, training: bool, self_is_result: bool
) -> Tensor:
    """The gradient times what `x` was multiplied with."""
    del self_is_result
    if training and upper - lower > 1e-6:  # as PyTorch
        return grad * noise
    return torch.where(x > 0, grad, grad * ((lower + upper) / 2))
