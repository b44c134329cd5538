"""How an overload is run: in place, into `out`, for each tensor of a list, taken apart, in other types."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from seedbed.portable import NotPortableError, PortableMode
from seedbed.portable.plan import _inside, functional_name

aten = torch.ops.aten


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4)).to(dtype)


@pytest.mark.parametrize(
    ("overload", "name"),
    [(aten.exp.default, "exp"), (aten.exp_.default, "exp"), (aten.exp.out, "exp"), (aten.__and__.Tensor, "__and__")],
)
def test_overloads_share_a_name(overload: Any, name: str) -> None:
    assert functional_name(overload) == name


def test_in_place_writes_where_it_should() -> None:
    x = numbers(4)
    with PortableMode():
        expected = x + 2
        view = x[1:]
        assert x.add_(2) is x
    assert torch.equal(x, expected)
    assert torch.equal(view, expected[1:])


def test_in_place_keeps_the_type_or_refuses_as_pytorch_does() -> None:
    whole = torch.tensor([1, 2])
    with PortableMode():
        whole.mul_(2)
        with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
            whole.add_(0.5)
    assert whole.tolist() == [2, 4]


def test_out_is_written_and_given_its_shape() -> None:
    x, out = numbers(3), torch.empty(0)
    values, indices = torch.empty(0), torch.empty(0, dtype=torch.int64)
    with PortableMode():
        assert torch.add(x, 1, out=out) is out
        torch.sort(x, out=(values, indices))
        assert torch.equal(out, x + 1)
    assert torch.equal(values, x.sort().values)
    assert torch.equal(indices, x.sort().indices)


def test_out_of_another_type_is_refused_as_pytorch_does() -> None:
    out = torch.zeros(2, dtype=torch.int64)
    with PortableMode(), pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
        torch.add(torch.ones(2), 0.5, out=out)
    assert out.tolist() == [0, 0]


def test_an_operation_may_be_taken_apart_in_two_threads_at_once() -> None:
    """As autograd does with two GPUs, whose threads share the mode."""
    barrier = threading.Barrier(2)
    run = _inside(nullcontext(), lambda: barrier.wait(10))
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(lambda _: run(), range(2))) == [0, 1]


def test_lists_are_gone_through() -> None:
    x, y = [numbers(3), numbers(2)], [numbers(3) * 2, numbers(2) * 3]
    with PortableMode():
        assert all(map(torch.equal, torch._foreach_add(x, y, alpha=2), [a + 2 * b for a, b in zip(x, y, strict=True)]))
        assert all(map(torch.equal, torch._foreach_mul(x, [2.0, 3.0]), [x[0] * 2, x[1] * 3]))
        assert all(map(torch.equal, torch._foreach_addcmul(x, y, y, 0.5), map(_half_square, x, y)))
        assert all(map(torch.equal, torch._foreach_addcdiv(x, y, y, [1.0, 2.0]), [x[0] + 1, x[1] + 2]))
        assert all(map(torch.equal, torch._foreach_neg(x), [-x[0], -x[1]]))
        norms = torch._foreach_norm(x, 2)
        assert all(map(torch.equal, norms, [torch.linalg.vector_norm(each) for each in x]))
        torch._foreach_maximum_(y, x)  # aten has no maximum_
        assert all((a >= b).all() for a, b in zip(y, x, strict=True))
        torch._foreach_minimum_(y, 0.5)
        assert all((each <= 0.5).all() for each in y)
        shares = torch.tensor([0.5, 2.0])
        assert all(
            map(
                torch.equal,
                torch._foreach_addcmul(x, x, x, shares),
                [x[0] + (0.5 * x[0]) * x[0], x[1] + (2.0 * x[1]) * x[1]],
            )
        )
        torch._foreach_zero_(x)
    assert [each.tolist() for each in x] == [[0.0] * 3, [0.0] * 2]


def _half_square(x: Tensor, y: Tensor) -> Tensor:
    return x + (0.5 * y) * y


def test_float16_and_bfloat16_are_computed_as_float32_and_rounded_once() -> None:
    x = numbers(100, 7)
    for dtype in (torch.float16, torch.bfloat16):
        with PortableMode():
            found = torch.softmax(x.to(dtype), 1)
            expected = torch.softmax(x.to(dtype).float(), 1).to(dtype)
        assert found.dtype == dtype
        assert torch.equal(found, expected)


def test_types_are_promoted_as_pytorch_does() -> None:
    with PortableMode():
        assert torch.exp(torch.tensor([0, 0])).tolist() == [1.0, 1.0]
        assert torch.mean(numbers(3, dtype=torch.float16), dtype=torch.float64).dtype == torch.float64
        assert torch.pow(numbers(3, dtype=torch.float16).abs(), numbers(3).double()).dtype == torch.float64
        assert torch.atan2(torch.tensor([1.0]), torch.tensor([1])).dtype == torch.float32


def test_what_pytorch_refuses_of_integers_is_refused() -> None:
    x = torch.tensor([3, -1])
    functions: list[Any] = [torch.mean, torch.norm, torch.std, torch.var]
    for function in functions:
        with PortableMode(), pytest.raises(RuntimeError):
            function(x)
    with PortableMode():
        assert torch.bincount(torch.tensor([1, 1]), weights=torch.tensor([2, 3])).dtype == torch.float64
        assert torch.addcmul(x, x, x, value=2).tolist() == [21, 1]
        assert torch.addcmul(x, x, x, value=0.5).tolist() == [3, -1]
        assert torch.median(x[:0]).item() == torch.iinfo(torch.int64).min


def test_statistics_that_are_kept_in_float16_are_written_back() -> None:
    x, mean, variance = numbers(8, 3), torch.zeros(3).half(), torch.ones(3).half()
    with PortableMode():
        nn.functional.batch_norm(x.half(), mean, variance, training=True)
    torch.testing.assert_close(mean, (x.mean(0) * 0.1).half(), rtol=1e-2, atol=1e-3)


def test_numbers_in_the_place_of_tensors_become_tensors() -> None:
    with PortableMode():
        assert torch.div(7, 2, rounding_mode="trunc").item() == 3
        assert torch.add(1.5, 2).item() == 3.5


def test_complex_numbers_are_refused_where_there_is_no_form_for_them() -> None:
    z = torch.complex(numbers(2), numbers(2))
    with PortableMode():
        assert torch.view_as_real(z).shape == (2, 2)
        with pytest.raises(NotPortableError, match="not for torch.complex64"):
            torch.tanh(z)


def test_what_autograd_would_take_apart_is_taken_apart_in_inference() -> None:
    x, layer = numbers(3, 4), nn.Linear(4, 2)
    with PortableMode():
        expected = layer(x).detach()
        with torch.inference_mode():
            assert torch.equal(layer(x), expected)


def test_a_decomposition_of_pytorchs_goes_through_the_table() -> None:
    x = numbers(5, 3)
    with PortableMode():
        found = nn.functional.huber_loss(x, x * 2)
    torch.testing.assert_close(found, nn.functional.huber_loss(x, x * 2))


def test_an_operation_within_another_is_the_one_that_is_named() -> None:
    with PortableMode(), pytest.raises(NotPortableError, match="no list of portable mode") as caught:
        torch.linalg.svd(torch.eye(2))
    assert caught.value.operation == "aten._linalg_svd.default"


def test_an_operation_of_somebody_elses_is_refused() -> None:
    library = torch.library.Library("seedbed_test", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CPU")
    library.define("exp_(Tensor(a!) x) -> Tensor(a!)")  # of aten's names, and something else
    library.impl("exp_", lambda x: x.fill_(7.0), "CPU")
    library.define("_foreach_exp(Tensor[] x) -> Tensor[]")
    library.impl("_foreach_exp", lambda xs: [x * 7 for x in xs], "CPU")
    for name, given in ("twice", torch.ones(2)), ("exp_", torch.ones(2)), ("_foreach_exp", [torch.ones(2)]):
        message = rf"seedbed_test\.{name}\.default has no portable form"
        with PortableMode(), pytest.raises(NotPortableError, match=message):
            getattr(torch.ops.seedbed_test, name)(given)


class Seen(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("foreach", [None, True])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop, torch.optim.Adagrad])
def test_optimizers_go_one_by_one_unless_told_otherwise(kind: Any, foreach: bool | None) -> None:
    weight = nn.Parameter(numbers(3))
    weight.grad = numbers(3)
    optimizer = kind([weight], lr=0.1, foreach=foreach)
    with PortableMode(), Seen() as seen:
        optimizer.step()
    assert any("_foreach_" in name for name in seen.names) == bool(foreach)


def test_a_fused_optimizer_is_refused() -> None:
    weight = nn.Parameter(numbers(3))
    weight.grad = numbers(3)
    with PortableMode(), pytest.raises(NotPortableError, match="_fused_adam_"):
        torch.optim.Adam([weight], fused=True).step()


def test_a_compiled_function_is_refused() -> None:
    def function(x: Tensor) -> Tensor:
        return (x * 2 + 1) / 10

    compiled = torch.compile(function, backend="eager")
    x = numbers(100)
    compiled(x)
    with PortableMode(), pytest.raises(NotPortableError, match=r"a function that torch\.compile made calls it"):
        compiled(x)
    with PortableMode(), pytest.raises(NotPortableError, match=r"in test_a_compiled|in function"):
        torch.compile(nn.Linear(2, 2), backend="eager")(torch.ones(1, 2))
    with PortableMode():
        assert torch.equal(function(x), function(x))


def test_an_operation_that_fails_leaves_no_type_behind() -> None:
    """What is known of the types is kept from call to call."""
    x, y = numbers(3).to(torch.bfloat16), numbers(4)
    with PortableMode():
        with pytest.raises(RuntimeError):
            x + y
        assert (x + y[:3]).dtype == torch.float32
        assert (x + x).dtype == torch.bfloat16
        assert (x + y[0]).dtype == torch.bfloat16
        assert (x * 2.0).dtype == torch.bfloat16
        assert (x[0] + y).dtype == torch.float32


def test_what_compiles_is_not_loaded() -> None:
    """PyTorch would load it, in a second or more, to keep it out of a mode."""
    code = """
import sys, torch
from seedbed.portable import PortableMode
with PortableMode():
    torch.ones(2) + 1
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
