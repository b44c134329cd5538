# ruff: noqa: FBT001, FBT002 - aten's arguments go by position
"""Connectionist temporal classification, as PyTorch computes it: logarithms, one time step after another.

A. Graves, S. Fernández, F. Gomez, J. Schmidhuber: Connectionist temporal classification: labelling unsegmented
sequence data with recurrent neural networks. ICML (2006). Between, before and after the labels of a target there may
be blanks: of ``l`` labels, ``s = 2 * l + 1`` symbols.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seedbed.portable.elementary import exp, log
from seedbed.portable.sums.scatter import scatter_add
from seedbed.portable.table import replaces

Lengths = Sequence[int] | Tensor


@replaces("_use_cudnn_ctc_loss", as_given=True)
def use_cudnn(*_: Any, **__: Any) -> bool:
    """Whether cuDNN computes the loss: it never does here."""
    return False


@dataclass(frozen=True, slots=True)
class _Paths:
    """The symbols of each target, ``(n, s)``, padded with blanks.

    Attributes
    ----------
    inputs, ends
        How many time steps each sample has, and the number of its last symbol, ``(n, 1)``.
    exists
        Which symbols are not padding.
    skips
        From which symbol the next but one may follow directly: labels, if they are not the same.
    """

    symbols: Tensor
    inputs: Tensor
    ends: Tensor
    exists: Tensor
    skips: Tensor

    @classmethod
    def of(cls, targets: Tensor, inputs: Lengths, labels: Lengths, blank: int) -> "_Paths":
        lengths = _listed(labels)
        padded = _padded(targets, lengths, blank)
        between = torch.full_like(padded, blank)
        last = between.new_full((len(lengths), 1), blank)
        symbols = torch.cat([torch.stack([between, padded], 2).flatten(1), last], 1)
        ends = torch.tensor(lengths, device=targets.device).unsqueeze(1) * 2
        skips = torch.zeros(symbols.shape, dtype=torch.bool, device=targets.device)
        skips[:, 1:-2:2] = padded[:, :-1] != padded[:, 1:]
        exists = torch.arange(symbols.shape[1], device=targets.device) <= ends
        return cls(symbols, torch.tensor(_listed(inputs), device=targets.device).unsqueeze(1), ends, exists, skips)

    def emitted(self, log_probs: Tensor) -> Tensor:
        """The symbols' logarithms, ``(t, n, s)``; -inf for padding."""
        found = log_probs.gather(2, self.symbols.expand(len(log_probs), -1, -1))
        return found.masked_fill_(~self.exists, -math.inf)


def _listed(lengths: Lengths) -> list[int]:
    return [int(each) for each in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]


def _padded(targets: Tensor, lengths: list[int], blank: int) -> Tensor:
    """Give ``(n, l)`` labels, int64, from as many rows or from all labels one after another."""
    targets, most = targets.to(torch.int64), max(lengths, default=0)
    if targets.ndim == 1:
        rows = torch.split(targets[: sum(lengths)], lengths)
        return torch.stack([torch.nn.functional.pad(row, (0, most - len(row)), value=blank) for row in rows])
    places = torch.arange(most, device=targets.device)
    return torch.where(places < torch.tensor(lengths, device=targets.device).unsqueeze(1), targets[:, :most], blank)


def _log_sum(*terms: Tensor) -> Tensor:
    """``log(exp(a) + exp(b) + ...)``."""
    together = torch.stack(terms)
    largest = together.amax(0)
    largest = torch.where(largest == -math.inf, 0.0, largest)
    first, *others = exp(together - largest)
    for other in others:
        first = first + other
    return log(first) + largest


def _shifted(x: Tensor, by: int, beyond: float = -math.inf) -> Tensor:
    """Give for each symbol what the one `by` before it has, at most 2; `beyond` where there is none."""
    return torch.constant_pad_nd(x, [2, 2], beyond).narrow(1, 2 - by, x.shape[1])


@replaces("_ctc_loss")
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    zero_infinity: bool = False,
) -> tuple[Tensor, Tensor]:
    """Give the negative log likelihood, ``(n,)``, and the logarithm for each beginning, ``(n, t, s)``."""
    del zero_infinity  # it is for the gradient
    _check(log_probs, _listed(input_lengths), _listed(target_lengths), blank)
    paths = _Paths.of(targets, input_lengths, target_lengths, blank)
    emitted = paths.emitted(log_probs)
    skips = _shifted(paths.skips, 2, beyond=False)
    alphas = [emitted[0].masked_fill(torch.arange(emitted.shape[2], device=emitted.device) > 1, -math.inf)]
    for emission in emitted[1:]:
        before = alphas[-1]
        skipped = torch.where(skips, _shifted(before, 2), -math.inf)
        alphas.append(_log_sum(before, _shifted(before, 1), skipped) + emission)
    log_alpha = torch.stack(alphas, 1)
    return -_likelihood(log_alpha, paths), log_alpha


def _likelihood(log_alpha: Tensor, paths: _Paths) -> Tensor:
    """What the last symbol and the one before it have at the last step; of no steps, 0 for no labels, else -inf."""
    steps = (paths.inputs - 1).clamp_(min=0).unsqueeze(2)
    last = log_alpha.gather(1, steps.expand(-1, -1, log_alpha.shape[2])).squeeze(1)
    both = last.gather(1, paths.ends), last.gather(1, (paths.ends - 1).clamp_(min=0))
    found = torch.where(paths.ends == 0, both[0], _log_sum(*both))
    nothing = torch.where(paths.ends == 0, 0.0, -math.inf).to(found.dtype)
    return torch.where(paths.inputs == 0, nothing, found).squeeze(1)


@replaces("_ctc_loss_backward")
def ctc_loss_backward(
    grad: Tensor,
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    neg_log_likelihood: Tensor,
    log_alpha: Tensor,
    blank: int,
    zero_infinity: bool = False,
) -> Tensor:
    """Give the gradient of `log_probs` ``(t, n, c)``: the exponential minus how likely the symbol was."""
    paths = _Paths.of(targets, input_lengths, target_lengths, blank)
    emitted = paths.emitted(log_probs)
    loss = neg_log_likelihood.unsqueeze(1)
    exponent = log_alpha.transpose(0, 1) + _endings(emitted, paths) + (loss - emitted)
    likely = torch.where(paths.exists, exp(exponent), 0.0)
    symbols = paths.symbols.expand(likely.shape)
    slope = exp(log_probs) - scatter_add(torch.zeros_like(log_probs), 2, symbols, likely)
    unknown = (loss == math.inf) | (log_probs == -math.inf)
    result = torch.where(unknown, math.nan, slope) * grad.unsqueeze(1)
    nothing = torch.arange(len(log_probs), device=log_probs.device).view(-1, 1, 1) >= paths.inputs
    return result.masked_fill_(nothing | (loss == math.inf) if zero_infinity else nothing, 0.0)


def _endings(emitted: Tensor, paths: _Paths) -> Tensor:
    """The log likelihood of what follows each symbol at each step, itself included; ``(t, n, s)``."""
    number = torch.arange(emitted.shape[2], device=emitted.device)
    final = (number == paths.ends) | (number == paths.ends - 1)
    betas, after = [], torch.full_like(emitted[0], -math.inf)
    for step in range(len(emitted) - 1, -1, -1):
        skipped = torch.where(paths.skips, _shifted(after, -2), -math.inf)
        going_on = _log_sum(after, _shifted(after, -1), skipped) + emitted[step]
        ended = emitted[step].masked_fill(~final, -math.inf)
        after = torch.where(paths.inputs - 1 == step, ended, going_on)
        betas.append(after)
    return torch.stack(betas[::-1])


def _check(log_probs: Tensor, inputs: list[int], labels: list[int], blank: int) -> None:
    steps, count, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range, 0 to {classes - 1}, and is {blank}")
    if len(inputs) != count or len(labels) != count:
        raise RuntimeError(f"{count} samples have {len(inputs)} input_lengths and {len(labels)} target_lengths")
    if any(not 0 <= length <= steps for length in inputs):
        raise RuntimeError(f"Expected input_lengths to have values of 0 to {steps}, but got {inputs}")
