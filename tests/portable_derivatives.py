"""First and second derivatives of PyTorch's own samples in portable mode: ``python -m tests.portable_derivatives OUT``.

One line of JSON for each sample: digests of its inputs, its results, their gradients, and the gradients of these. Each
tensor is used elsewhere, too, so that the order in which autograd adds up decides bits. With ``--compare OTHER``, a
file of another machine, this says which derivatives are not the same there.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from seedbed.portable import PortableMode
from tests.portable_sweep import _samples, digest, operations

STAGES = ("results", "first", "second")


def lines(limit: int, only: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Go through up to `limit` samples of each operation that has gradients of float32."""
    for operation in operations():
        name = f"{operation.name}.{operation.variant_test_name}".rstrip(".")
        wanted = not only or name in only
        if not (wanted and operation.supports_autograd and torch.float32 in operation.supported_backward_dtypes("cpu")):
            continue
        samples = _samples(operation, torch.float32)
        for index, sample in enumerate(samples[:: max(len(samples) // limit, 1)][:limit]):
            given = (sample.input, sample.args, sample.kwargs)
            if all(each.layout == torch.strided for each in tree_leaves(given) if isinstance(each, Tensor)):
                line = {"operation": name, "sample": index, "inputs": digest(given)}
                yield line | dict(zip(STAGES, _stages(operation.op, given), strict=False))


def _stages(function: Any, given: Any) -> Iterator[str]:
    """Give a digest of each stage, up to the one that is refused, or that PyTorch has no formula for."""
    try:
        with PortableMode():
            torch.manual_seed(7)
            first, args, kwargs = tree_map_only(Tensor, _leaf, given)
            leaves = [each for each in tree_leaves((first, args, kwargs)) if _wants(each)]
            results = [each for each in tree_leaves(function(first, *args, **kwargs)) if isinstance(each, Tensor)]
            yield digest(results)
            results = [each for each in results if each.requires_grad]
            weights = [_numbers(each, 1).requires_grad_() for each in results]
            gradients = _gradients(results, leaves, weights, create_graph=True)
            yield digest(gradients)
            yield digest(_gradients([each for each in gradients if each.requires_grad], leaves))
    except Exception:  # noqa: BLE001 - refused, or natively so: no finding
        return


def _leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_(x.is_floating_point() or x.is_complex())


def _wants(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _gradients(
    results: list[Tensor], leaves: list[Tensor], weights: list[Tensor] | None = None, *, create_graph: bool = False
) -> list[Tensor]:
    """Give the gradients of `results`, and of two other uses of each leaf and of each result."""
    others = [each * _numbers(each, seed) for seed in (2, 3) for each in (*leaves, *results)]
    given = [_numbers(each, 4) for each in results] if weights is None else weights
    factors = [*given, *(_numbers(each, 5) for each in others)]
    return list(torch.autograd.grad([*results, *others], leaves, factors, create_graph=create_graph))


def _numbers(like: Tensor, seed: int) -> Tensor:
    """Uniform numbers, the same on every machine: NumPy's generator, in a fixed order of its integers."""
    numbers = np.random.default_rng(seed).random((2, like.numel())) * 2 - 1
    values = torch.from_numpy(numbers[0] + 1j * numbers[1] if like.is_complex() else numbers[0])
    return values.reshape(like.shape).to(like.dtype)


def read(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Read a file of lines, by operation and sample."""
    found = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {(line["operation"], line["sample"]): line for line in found}


def comparison(one: Path, other: Path) -> dict[str, Any]:
    """Count what both files have with the same inputs, and name what differs."""
    ones, others = read(one), read(other)
    shared = [key for key in ones if key in others and ones[key]["inputs"] == others[key]["inputs"]]
    found: dict[str, Any] = {}
    for stage in STAGES:
        found_by_one = [key for key in shared if stage in ones[key] or stage in others[key]]
        found[stage] = {
            "samples": len(found_by_one),
            "operations": len({name for name, _ in found_by_one}),
            "differing": [key for key in found_by_one if ones[key].get(stage) != others[key].get(stage)],
        }
    return found


def main(argv: list[str]) -> None:
    """Write the lines, and compare them with another machine's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int, default=2, help="how many samples of each operation")
    parser.add_argument("--only", nargs="*", default=(), help="names of operations")
    parser.add_argument("--compare", type=Path, help="a file of another machine")
    options = parser.parse_args(argv)
    with options.out.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines(options.limit, options.only))
    if options.compare:
        print(json.dumps(comparison(options.out, options.compare), indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
