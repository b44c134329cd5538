"""Runs PyTorch's own samples of its operations (OpInfo) in portable mode: ``python -m tests.portable_sweep OUT``.

One line of JSON for each operation, type and sample: what became of it, a digest of its inputs and of its results and
gradients, and how far these are from float64. `differences` compares two such files; so a GPU is compared with the CPU
of its machine::

    python -m tests.portable_sweep cpu.jsonl
    python -m tests.portable_sweep cuda.jsonl --device cuda --against cpu.jsonl
"""

import argparse
import hashlib
import json
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import TestCase

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map_only

from seedbed.errors import NotPortableError
from seedbed.fingerprint import fingerprint
from seedbed.portable import PortableMode

UNINITIALISED = ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided")
"""Operations whose results nobody has computed."""

TYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def operations() -> list[Any]:
    """PyTorch's list of operations with samples; it needs a module that only PyTorch's own tests use."""
    if "expecttest" not in sys.modules:
        stand_in = types.ModuleType("expecttest")
        stand_in.TestCase = TestCase  # type: ignore[attr-defined]
        sys.modules["expecttest"] = stand_in
    from torch.testing._internal.common_methods_invocations import op_db

    return [operation for operation in op_db if operation.name not in UNINITIALISED]


def lines(operation: Any, dtype: torch.dtype, device: str, limit: int, *, accuracy: bool) -> Iterator[dict[str, Any]]:
    """Run up to `limit` samples of one operation."""
    name = f"{operation.name}.{operation.variant_test_name}".rstrip(".")
    grad = operation.supports_autograd and dtype in operation.supported_backward_dtypes(torch.device("cpu").type)
    samples = _samples(operation, dtype)
    step = max(len(samples) // limit, 1)
    for index, sample in enumerate(samples[::step][:limit]):
        given = (sample.input, sample.args, sample.kwargs)
        if any(each.layout != torch.strided for each in tree_flatten(given)[0] if isinstance(each, Tensor)):
            continue
        line: dict[str, Any] = {"operation": name, "dtype": str(dtype)[6:], "sample": index, "inputs": digest(given)}
        yield line | outcome(operation.op, _moved(given, device), grad=grad, accuracy=accuracy)


def _samples(operation: Any, dtype: torch.dtype) -> list[Any]:
    """The samples, drawn in portable mode, as PyTorch's own draws have other bits with other instruction sets."""
    torch.manual_seed(1337)
    try:
        with PortableMode():
            return list(operation.sample_inputs("cpu", dtype, requires_grad=False))
    except NotPortableError:
        return list(operation.sample_inputs("cpu", dtype, requires_grad=False))


def outcome(function: Callable[..., Any], given: Any, *, grad: bool, accuracy: bool) -> dict[str, Any]:
    """Run one sample in portable mode, as PyTorch does it, and as PyTorch does it in float64."""
    try:
        with PortableMode():
            results = _run(function, given, grad=grad)
    except NotPortableError as error:
        return {"outcome": "refused", "why": error.operation}
    except Exception as error:  # noqa: BLE001 - what the operation refuses natively, too, is no finding
        try:
            _run(function, given, grad=grad)
        except Exception:  # noqa: BLE001
            return {"outcome": "invalid"}
        return {"outcome": "error", "why": f"{type(error).__name__}: {error}"[:300]}
    found: dict[str, Any] = {"outcome": "ran", "results": digest(results)}
    return found | (_accuracy(function, given, results, grad=grad) if accuracy else {})


def _accuracy(function: Any, given: Any, results: list[Tensor], *, grad: bool) -> dict[str, Any]:
    """How far the results, and PyTorch's own, are from what PyTorch makes of the same numbers in float64."""
    native = _run(function, given, grad=grad)
    if [(each.shape, each.dtype) for each in results] != [(each.shape, each.dtype) for each in native]:
        return {"shapes": "differ"}
    try:
        exact = _run(function, tree_map_only(Tensor, _to_double, given), grad=grad)
    except Exception:  # noqa: BLE001
        exact = []
    if len(exact) != len(results):
        exact = native
    return {"error": _error(results, exact), "native_error": _error(native, exact), "apart": _error(results, native)}


def _to_double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _error(results: list[Tensor], exact: list[Tensor]) -> float:
    """The largest difference, relative to the largest value of its result; infinite where NaN or infinity differ."""
    worst = 0.0
    for each, other in zip(results, exact, strict=True):
        if not each.is_floating_point() or each.numel() == 0:
            worst = max(
                worst, 0.0 if each.is_floating_point() or torch.equal(each, other.to(each.dtype)) else float("inf")
            )
            continue
        one, two = each.double(), other.to(each.dtype).double()
        finite = one.isfinite() & two.isfinite()
        same = (one == two) | (one.isnan() & two.isnan())
        if not (finite | same).all():
            return float("inf")
        scale = two[finite].abs().max().item() if finite.any() else 0.0
        difference = (one - other.double())[finite].abs().max().item() if finite.any() else 0.0
        worst = max(worst, difference / scale if scale else difference)
    return worst


def _run(function: Callable[..., Any], given: Any, *, grad: bool) -> list[Tensor]:
    torch.manual_seed(7)

    def leaf(tensor: Tensor) -> Tensor:
        copied = tensor.detach().clone()
        return copied.requires_grad_(grad and (copied.is_floating_point() or copied.is_complex()))

    first, args, kwargs = tree_map_only(Tensor, leaf, given)
    leaves = [
        each for each in tree_flatten((first, args, kwargs))[0] if isinstance(each, Tensor) and each.requires_grad
    ]
    results = [each for each in tree_flatten(function(first, *args, **kwargs))[0] if isinstance(each, Tensor)]
    results = [each for each in results if each.layout == torch.strided]
    roots = [each for each in results if each.requires_grad]
    gradients: list[Tensor] = []
    if roots and leaves:
        cotangents = [_cotangent(each) for each in roots]
        grads: Sequence[Tensor | None] = torch.autograd.grad(roots, leaves, cotangents, allow_unused=True)
        gradients = [each for each in grads if each is not None]
    found = [each.detach().resolve_conj().resolve_neg() for each in (*results, *gradients)]
    return [torch.view_as_real(each) if each.is_complex() else each for each in found]


def _cotangent(result: Tensor) -> Tensor:
    values = (torch.arange(result.numel(), device=result.device) * 7919 % 2039 - 1019).to(torch.float64) / 512
    return values.reshape(result.shape).to(result.dtype)


def digest(values: Any) -> str:
    """A digest of the bits of every tensor, and of what else there is; NaNs count as one."""
    leaves = [_bits(each) if isinstance(each, Tensor) else repr(each) for each in tree_flatten(values)[0]]
    text = " ".join(leaves)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _bits(tensor: Tensor) -> str:
    return fingerprint(_one_nan(tensor.detach().cpu().resolve_conj().resolve_neg()))


def _one_nan(tensor: Tensor) -> Tensor:
    tensor = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    nan = torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else tensor
    return torch.where(tensor != tensor, nan, tensor) if tensor.is_floating_point() else tensor


def _moved(values: Any, device: str) -> Any:
    return tree_map_only(Tensor, lambda tensor: tensor.to(device), values)


def read(path: str) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Read the lines of a file, by operation, type and sample."""
    found = map(json.loads, Path(path).read_text(encoding="utf-8").splitlines())
    return {(line["operation"], line["dtype"], line["sample"]): line for line in found}


def differences(one: str, other: str) -> tuple[list[str], int]:
    """Say where two runs of the same samples had other results, and how many samples both had."""
    first, second = read(one), read(other)
    shared = [key for key in sorted(first.keys() & second.keys()) if first[key]["inputs"] == second[key]["inputs"]]
    found = [
        f"{key}: {first[key]} and {second[key]}"
        for key in shared
        if (first[key]["outcome"], first[key].get("results")) != (second[key]["outcome"], second[key].get("results"))
    ]
    return found, len(shared)


def main(argv: list[str]) -> None:
    """Write the lines of every operation that the arguments ask for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--types", default="float32")
    parser.add_argument("--limit", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--bits-alone", action="store_true", help="no comparison with PyTorch's own results")
    parser.add_argument("--against", help="a file of another run: say where the bits differ")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    if os.environ.get("PYTHONHASHSEED") != "0":
        parser.error("set PYTHONHASHSEED=0: the order of some samples is that of a set of strings")
    with Path(options.out).open("w", encoding="utf-8") as out:
        for operation in operations():
            if options.only and options.only not in operation.name:
                continue
            for dtype in (TYPES[name] for name in options.types.split(",")):
                if dtype in operation.supported_dtypes("cpu"):
                    for line in lines(operation, dtype, options.device, options.limit, accuracy=not options.bits_alone):
                        out.write(json.dumps(line) + "\n")
    if options.against:
        found, shared = differences(options.against, options.out)
        print(*found, f"{len(found)} of {shared} samples differ", sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
