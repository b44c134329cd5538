"""Floating point turned into integers: what C++ leaves undefined is defined."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from seedbed.errors import NotPortableError
from seedbed.portable import PortableMode

INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
NAN, INF = float("nan"), float("inf")
VALUES = [0.0, -0.0, 1.9, -1.9, 127.0, 300.0, -129.0, 65504.0, 2.0**31, -(2.0**31), 3e9, 2.0**63, -(2.0**63), 1e30]
ODD = [*VALUES, NAN, INF, -INF]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("given", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_integers_are_those_of_a_cpu(given: torch.dtype, dtype: torch.dtype) -> None:
    x = torch.tensor(ODD, dtype=given)
    target = torch.zeros(len(x), dtype=dtype)
    with PortableMode():
        found = x.to(dtype), target.copy_(x), torch.ops.aten.copy(target, x), x[2].to(dtype)
    expected = x.to(dtype)
    for each in found[:3]:
        assert (each.dtype, each.tolist()) == (dtype, expected.tolist())
    assert found[1] is target
    assert found[3].item() == 1


def test_no_kernel_is_asked_for_the_integer_of_what_has_none() -> None:
    class Watch(TorchDispatchMode):
        """Notes what is converted: the trap is that CUDA would answer otherwise."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            into = func is torch.ops.aten.copy_.default
            given = [args[0].dtype] if into else [*args, *(kwargs or {}).values()]
            source = args[1] if into else args[0]
            integer = any(isinstance(each, torch.dtype) and not each.is_floating_point for each in given)
            if integer and isinstance(source, Tensor) and source.is_floating_point():
                converted.append(source.clone())
            return func(*args, **(kwargs or {}))

    watch = Watch()  # type: ignore[no-untyped-call]
    converted: list[Tensor] = []
    x = torch.tensor(ODD)
    with watch:
        x.to(torch.int32)
    assert not torch.cat(converted).isfinite().all()
    converted.clear()
    with watch, PortableMode():
        x.to(torch.int32)
        torch.zeros(len(x), dtype=torch.int8).copy_(x)
    assert converted
    assert (torch.cat(converted).abs() <= 2.0**31).all()


def test_bools_complex_and_unsigned_numbers() -> None:
    with PortableMode():
        assert torch.tensor([0.0, NAN, INF, -0.5]).bool().tolist() == [False, True, True, True]
        assert torch.tensor([3e9, -1.0]).to(torch.uint32).tolist() == [3_000_000_000, 2**32 - 1]
        with pytest.raises(NotPortableError, match="float32 that becomes torch.uint64 is undefined"):
            torch.tensor([1.0]).to(torch.uint64)
        with pytest.raises(NotPortableError, match="complex64 that becomes torch.int64"):
            torch.tensor([1j]).to(torch.int64)


def test_strides_are_kept() -> None:
    x = torch.arange(24.0).reshape(2, 3, 2, 2).to(memory_format=torch.channels_last)
    with PortableMode():
        assert x.long().stride() == x.stride()


def test_out_of_another_kind_is_refused_as_pytorch_does() -> None:
    with PortableMode(), pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
        torch.exp(torch.ones(2), out=torch.ones(2, dtype=torch.int64))


@pytest.mark.parametrize("name", ["sum", "nansum", "prod", "cumsum", "cumprod"])
def test_sums_and_products_into_integers_are_exact_and_of_the_same_integers_everywhere(name: str) -> None:
    def integers(*values: float) -> list[Any]:
        x, dim = torch.tensor(values, dtype=torch.float64), (0,) if "cum" in name else ()
        found: Tensor = getattr(torch, name)(x, *dim, dtype=torch.int64)
        return found.reshape(-1).tolist()

    least = -(2**63)
    with PortableMode():
        one, odd, far = integers(2.0**60, 1.7), integers(NAN), integers(INF)
    assert one[-1] == (2**60 if "prod" in name else 2**60 + 1)
    assert (odd, far) == ([0 if name == "nansum" else least], [least])


def test_a_mean_of_integers_is_refused_as_pytorch_does() -> None:
    with PortableMode(), pytest.raises(RuntimeError, match="must be either a floating point or complex dtype"):
        torch.ones(2).mean(dtype=torch.int64)
