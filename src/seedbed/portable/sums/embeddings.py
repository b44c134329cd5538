# ruff: noqa: FBT001, FBT002 - aten's arguments go by position
"""The backward pass of embeddings, and bags of embeddings: rows added to rows, on a grid (`accumulate`)."""

import torch
from torch import Tensor

from seedbed.errors import NotPortableError
from seedbed.portable.scratch import constant
from seedbed.portable.sums.accumulate import sum_rows
from seedbed.portable.sums.norms import vector_norm
from seedbed.portable.sums.tree import total
from seedbed.portable.table import replaces

SUM, MEAN, MAX = 0, 1, 2
"""The modes of `torch.nn.EmbeddingBag`, as aten numbers them."""


@replaces("embedding_dense_backward")
def embedding_dense_backward(
    grad: Tensor, indices: Tensor, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Tensor:
    """Add up the gradients of each row of the weight, but those of `padding_idx`; ``(num_weights, d)``."""
    index = indices.reshape(-1).to(torch.int64)
    rows = grad.reshape(index.shape[0], grad.shape[-1])
    return sum_rows(index, _weighted(rows, index, num_weights, padding_idx, by_count=scale_grad_by_freq), num_weights)


def _weighted(rows: Tensor, index: Tensor, number: int, padding_idx: int, *, by_count: bool) -> Tensor:
    """Divide each row by how often its index occurs, if `by_count`, and put 0 in those of the padding."""
    if by_count:
        counts = torch.zeros(number, dtype=torch.int64, device=index.device).index_add_(
            0, index, torch.ones_like(index)
        )
        rows = rows / counts.index_select(0, index).unsqueeze(1).to(rows.dtype)
    return rows if padding_idx < 0 else rows.masked_fill((index == padding_idx).unsqueeze(1), 0.0)


@replaces("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = SUM,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Add up, average or take the largest of the rows in each bag; ``(bags, d)``.

    Returns as well, for the backward pass: the bag of each index, how many count in each bag, and for the largest the
    row that each element came from (-1: the bag is empty).
    """
    del scale_grad_by_freq, sparse
    index, starts = indices.to(torch.int64), offsets.to(torch.int64)
    bags = starts.shape[0] - 1 if include_last_offset else starts.shape[0]
    places = torch.arange(index.shape[0], device=index.device)
    bag = torch.searchsorted(starts[:bags].contiguous(), places, right=True) - 1
    counted = index != padding_idx
    sizes = torch.zeros(bags, dtype=torch.int64, device=index.device).index_add_(0, bag, counted.to(torch.int64))
    rows = weight.index_select(0, index)
    if mode == MAX:
        output, largest = _largest(rows, index, bag, counted, bags)
        return output, bag, sizes, largest
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
    output = sum_rows(bag, rows.masked_fill(~counted.unsqueeze(1), 0.0), bags)
    if mode == MEAN:
        output = output / sizes.clamp(min=1).unsqueeze(1).to(output.dtype)
    return output, bag, sizes, starts


def _largest(rows: Tensor, index: Tensor, bag: Tensor, counted: Tensor, bags: int) -> tuple[Tensor, Tensor]:
    """Give the largest of each bag, and the index of the first row that has it; 0 and -1 for an empty bag."""
    whole = bag.unsqueeze(1).expand(rows.shape)
    masked = rows.masked_fill(~counted.unsqueeze(1), -torch.inf)
    lowest = torch.full((bags, rows.shape[1]), -torch.inf, dtype=rows.dtype, device=rows.device)
    largest = lowest.scatter_reduce(0, whole, masked, "amax")
    at_largest = ((masked == largest.gather(0, whole)) | masked.isnan()) & counted.unsqueeze(1)
    places = torch.arange(index.shape[0], device=index.device).unsqueeze(1)
    none = index.shape[0]
    first = torch.full(largest.shape, none, device=index.device)
    first.scatter_reduce_(0, whole, torch.where(at_largest, places, none), "amin")
    found = torch.cat([index, index.new_full((1,), -1)])[first]
    return largest.masked_fill(first == none, 0.0) + 0.0, found


@replaces("_embedding_bag_backward")
def embedding_bag_backward(
    grad: Tensor,
    indices: Tensor,
    offsets: Tensor,
    offset2bag: Tensor,
    bag_size: Tensor,
    maximum_indices: Tensor,
    num_weights: int,
    scale_grad_by_freq: bool,
    mode: int,
    sparse: bool,
    per_sample_weights: Tensor | None,
    padding_idx: int = -1,
) -> Tensor:
    """Give the gradient of the weight, ``(num_weights, d)``.

    Raises
    ------
    NotPortableError
        For a sparse gradient.
    """
    del offsets
    if sparse:
        raise NotPortableError("its gradient is sparse: make the module with sparse=False")
    return embedding_bag_dense_backward(
        grad,
        indices,
        offset2bag,
        bag_size,
        maximum_indices,
        num_weights,
        scale_grad_by_freq,
        mode,
        per_sample_weights,
        padding_idx,
    )


@replaces("_embedding_bag_dense_backward")
def embedding_bag_dense_backward(
    grad: Tensor,
    indices: Tensor,
    offset2bag: Tensor,
    bag_size: Tensor,
    maximum_indices: Tensor,
    num_weights: int,
    scale_grad_by_freq: bool,
    mode: int,
    per_sample_weights: Tensor | None,
    padding_idx: int = -1,
) -> Tensor:
    """Give the gradient of the weight, ``(num_weights, d)``."""
    if mode == MAX:
        return _sum_to_largest(grad, maximum_indices, num_weights)
    index, bag = indices.to(torch.int64), offset2bag.to(torch.int64)
    if mode == MEAN:
        grad = grad / bag_size.clamp(min=1).unsqueeze(1).to(grad.dtype)
    rows = grad.index_select(0, bag)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
    return sum_rows(index, _weighted(rows, index, num_weights, padding_idx, by_count=scale_grad_by_freq), num_weights)


def _sum_to_largest(grad: Tensor, largest: Tensor, number: int) -> Tensor:
    """Add each element of `grad` to the row that it came from; where that is none, to one more, which is dropped."""
    width = grad.shape[1]
    columns = torch.arange(width, device=grad.device)
    places = torch.where(largest < 0, number, largest.to(torch.int64)) * width + columns
    added = sum_rows(places.reshape(-1), grad.reshape(-1, 1), (number + 1) * width, most=grad.shape[0])
    return added.view(number + 1, width)[:number].contiguous()


@replaces("_embedding_bag_per_sample_weights_backward")
def embedding_bag_per_sample_weights_backward(
    grad: Tensor,
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    offset2bag: Tensor,
    mode: int,
    padding_idx: int = -1,
) -> Tensor:
    """Give the gradient of the weight of each sample: its row times the gradient of its bag, added up."""
    del offsets, mode
    rows = weight.index_select(0, indices).to(torch.float64)
    products = rows.mul_(grad.index_select(0, offset2bag.to(indices.dtype)).to(torch.float64))
    summed = total(products, 1).to(grad.dtype)
    return summed.masked_fill(indices == padding_idx, 0.0)


@replaces("embedding_renorm")
def embedding_renorm(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """Scale down the rows that `indices` name to a norm of `max_norm`, where theirs is larger; a new tensor."""
    index = indices.reshape(-1).to(torch.int64)
    rows = weight.index_select(0, index).to(torch.float64)
    norms = vector_norm(rows, norm_type, [1], keepdim=True)
    factors = torch.where(norms > max_norm, constant(max_norm, weight) / (norms + 1e-7), constant(1.0, weight))
    return weight.clone().index_copy_(0, index, (rows * factors).to(weight.dtype))


@replaces("bincount")
def bincount(x: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Count how often each integer occurs, or add up its weights: float32 as float32, all others as float64."""
    if weights is None:
        return torch.ops.aten.bincount(x, None, minlength)  # type: ignore[no-any-return]
    size = torch.ops.aten.bincount(x, None, minlength).shape[0]
    weights = weights if weights.dtype == torch.float32 else weights.to(torch.float64)
    return sum_rows(x.to(torch.int64), weights.unsqueeze(1), size).squeeze(1)
