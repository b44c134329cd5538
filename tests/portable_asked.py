"""What a program asks portable mode for on a GPU, without a GPU: which operations, of which types and shapes.

PyTorch's `FakeTensor` has a device, a type and a shape, and no numbers. With one of the device ``cuda``, the parts of
PyTorch above a dispatch mode (composite operations, autocast, autograd's formulas) decide as they do on a GPU.
``python -m tests.portable_asked`` compares both devices on PyTorch's own samples of its operations.
"""

import argparse
import ctypes
import heapq
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from seedbed.portable import PortableMode
from seedbed.portable.autocast import lists
from tests.portable_sweep import operations

FREE = {torch.ops.aten._to_copy.default, torch.ops.aten.constant_pad_nd.default, torch.ops.prim.device.default}
"""Casts and padding come in another order by autocast, and neither rounds what the other has made."""
WITHOUT_NUMBERS = FakeTensorMode()


class Asked(TorchDispatchMode):
    """Writes down what is asked for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [kind(each) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor | torch.dtype)]
        if func not in FREE:
            self.operations.append(f"{func} {given}")
        return func(*args, **(kwargs or {}))


def kind(x: Tensor | torch.dtype) -> Any:
    """Give the type and shape of a tensor."""
    return (str(x.dtype), tuple(x.shape)) if isinstance(x, Tensor) else str(x)


@contextmanager
def cuda() -> Iterator[None]:
    """Let a PyTorch without CUDA take its device.

    It looks for what guards a device in a table, by the number of its type; what guards a CPU (0) does nothing.
    """
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib/libc10.so"))
    guards = (ctypes.c_void_p * 2).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    before = guards[1]
    guards[1] = guards[0]
    try:
        yield
    finally:
        guards[1] = before


@contextmanager
def autocast(device: str, dtype: torch.dtype | None) -> Iterator[None]:
    """Cast to `dtype`, as `torch.autocast` does it where there is the device."""
    if dtype is None:
        yield
        return
    before = torch.get_autocast_dtype(device)
    torch.set_autocast_enabled(device, True)
    torch.set_autocast_dtype(device, dtype)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        torch.set_autocast_enabled(device, False)
        torch.set_autocast_dtype(device, before)
        torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()


def answers(program: Callable[[], Any], device: str, dtype: torch.dtype | None = None) -> tuple[list[str], list[Any]]:
    """Run a program that makes its tensors on `device`: give what it asks for, and of what kind its results are.

    With `dtype` below autocast.
    """
    asked = Asked()
    with WITHOUT_NUMBERS, autocast(device, dtype), asked:
        results = [each for each in tree_leaves(program()) if isinstance(each, Tensor)]
    return asked.operations, [kind(each) for each in results]


def _backward(results: list[Tensor]) -> list[Tensor]:
    """Call the functions of autograd's graph, the later ones first, as its engine, which wants a GPU, would.

    Give the gradients of the leaves, which have a graph of their own.
    """
    gradients: dict[Any, dict[int, Tensor]] = {}
    waiting: list[tuple[int, int, Any]] = []

    def give(function: Any, index: int, gradient: Tensor | None) -> None:
        if function is None:
            return
        if function not in gradients:
            heapq.heappush(waiting, (-function._sequence_nr(), len(gradients), function))
        given = gradients.setdefault(function, {})
        if gradient is not None:
            wanted = function._input_metadata[index]
            gradient = gradient.sum_to_size(tuple(wanted.shape)).to(wanted.dtype)
            given[index] = given[index] + gradient if index in given else gradient

    of_leaves: list[Tensor] = []
    for each in results:
        give(each.grad_fn, each.output_nr, torch.ones_like(each))
    while waiting:
        function = heapq.heappop(waiting)[-1]
        if "AccumulateGrad" in function.name():
            of_leaves += gradients[function].values()
            continue
        found = function(*(gradients[function].get(index) for index in range(len(function._input_metadata))))
        for (following, index), each in zip(
            function.next_functions, found if isinstance(found, tuple) else (found,), strict=False
        ):
            give(following, index, each)
    return of_leaves


def differing(limit: int, dtype: torch.dtype | None = None) -> tuple[dict[str, tuple[str, str]], int]:
    """Ask with up to `limit` samples of each operation: what a GPU first asks for otherwise, and how many asked."""
    found: dict[str, tuple[str, str]] = {}
    count = 0
    for operation in operations():
        if torch.float32 not in operation.dtypes or operation.name.startswith("masked."):  # sparse tensors among them
            continue
        torch.manual_seed(1337)
        grad = operation.supports_autograd
        samples = islice(operation.sample_inputs("cpu", torch.float32, requires_grad=grad), limit)
        given = [each for each in ((one.input, one.args, one.kwargs) for one in samples) if _strided(each)]
        with PortableMode():
            lists.switch(True)  # as the mode does where there is a GPU
            for each in given:
                one, other = (_asked(operation.op, each, device, dtype, grad=grad) for device in ("cpu", "cuda"))
                pairs = zip([*one, "nothing"], [*other, "nothing"], strict=False)
                count += 1
                if one != other:
                    found.setdefault(operation.name, next(pair for pair in pairs if pair[0] != pair[1]))
    return found, count


def _strided(given: Any) -> bool:
    return all(each.layout == torch.strided for each in tree_leaves(given) if isinstance(each, Tensor))


def _asked(function: Any, given: Any, device: str, dtype: torch.dtype | None, *, grad: bool) -> list[str]:
    def program() -> Any:
        first, args, kwargs = tree_map_only(Tensor, there, given)
        return function(first, *args, **(kwargs | ({"device": device} if "device" in kwargs else {})))

    def there(x: Tensor) -> Tensor:
        made = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=device)
        return made.requires_grad_(grad and x.requires_grad)  # not all: of running means nobody asks it

    asked = Asked()
    with WITHOUT_NUMBERS, autocast(device, dtype), asked:
        try:
            results = [each for each in tree_leaves(program()) if isinstance(each, Tensor)]
            if grad:
                with torch.no_grad():
                    _backward(results)
                _backward(_backward(results))  # formulas may have another way where their own gradient is wanted
        except Exception as error:  # noqa: BLE001 - what depends on numbers has none
            asked.operations.append(type(error).__name__)
    return asked.operations


def main(argv: list[str]) -> None:
    """Print where they differ, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=3, help="how many samples of each operation")
    parser.add_argument("--autocast", action="store_true", help="below autocast to bfloat16")
    options = parser.parse_args(argv)
    with cuda():
        found, count = differing(options.limit, torch.bfloat16 if options.autocast else None)
    print(json.dumps({"samples": count, "differing": found}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
