"""Random numbers of portable mode: PyTorch's meaning of seeds and generators, the distributions, the same bits."""

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from seedbed.errors import NotPortableError
from seedbed.portable import PortableMode
from seedbed.portable import random as portable_random
from seedbed.portable.draws import key_from
from tests.portable_runs import split_by_settings

N = 20_000


def seeded(draw: Callable[[], Tensor], seed: int = 5) -> Tensor:
    torch.manual_seed(seed)
    with PortableMode():
        return draw()


def empty() -> Tensor:
    return torch.empty(N)


def double() -> Tensor:
    return torch.empty(N, dtype=torch.float64)


CONTINUOUS = {
    "rand": (lambda: torch.rand(N), stats.uniform()),
    "rand double": (lambda: torch.rand(N, dtype=torch.float64), stats.uniform()),
    "uniform_": (lambda: empty().uniform_(-2, 3), stats.uniform(-2, 5)),
    "randn": (lambda: torch.randn(N), stats.norm()),
    "randn double": (lambda: torch.randn(N, dtype=torch.float64), stats.norm()),
    "normal_": (lambda: empty().normal_(1, 2), stats.norm(1, 2)),
    "normal": (lambda: torch.normal(torch.ones(N), 3.0), stats.norm(1, 3)),
    "normal of tensors": (lambda: torch.normal(torch.ones(N), torch.full((N,), 2.0)), stats.norm(1, 2)),
    "normal of a size": (lambda: torch.normal(0.0, 2.0, (N,), device=torch.get_default_device()), stats.norm(0, 2)),
    "exponential_": (lambda: double().exponential_(2.0), stats.expon(scale=0.5)),
    "cauchy_": (lambda: double().cauchy_(1.0, 2.0), stats.cauchy(1, 2)),
    "log_normal_": (lambda: double().log_normal_(0.5, 0.7), stats.lognorm(0.7, scale=math.exp(0.5))),
    "rand_like": (lambda: torch.rand_like(empty()), stats.uniform()),
    "randn_like": (lambda: torch.randn_like(empty()), stats.norm()),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_numbers_follow_their_distribution(name: str) -> None:
    draw, distribution = CONTINUOUS[name]
    assert stats.kstest(seeded(draw).double().numpy(), distribution.cdf).pvalue > 0.001


DISCRETE = {
    "randint": (lambda: torch.randint(10, (N,)), [0.1] * 10),
    "randint of a range": (lambda: torch.randint(3, 8, (N,)) - 3, [0.2] * 5),
    "randint_like": (lambda: torch.randint_like(torch.empty(N, dtype=torch.int64), 4), [0.25] * 4),
    "random_": (lambda: torch.empty(N, dtype=torch.int32).random_(5), [0.2] * 5),
    "random_ of bool": (lambda: torch.empty(N, dtype=torch.bool).random_(), [0.5] * 2),
    "bernoulli_": (lambda: empty().bernoulli_(0.3), [0.7, 0.3]),
    "bernoulli_ by a tensor": (lambda: empty().bernoulli_(torch.tensor(0.3)), [0.7, 0.3]),
    "bernoulli": (lambda: torch.bernoulli(torch.full((N,), 0.2)), [0.8, 0.2]),
    "geometric_": (lambda: empty().geometric_(0.5).clamp(max=4) - 1, [0.5, 0.25, 0.125, 0.125]),
    "multinomial": (
        lambda: torch.multinomial(torch.tensor([[1.0, 2, 0, 5]] * N), 1).flatten(),
        [0.125, 0.25, 0, 0.625],
    ),
    "multinomial again": (lambda: torch.multinomial(torch.tensor([1.0, 3]), N, replacement=True), [0.25, 0.75]),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_integers_come_as_often_as_they_should(name: str) -> None:
    draw, expected = DISCRETE[name]
    counts = torch.bincount(seeded(draw).long(), minlength=len(expected)).tolist()
    possible = [(count, share * N) for count, share in zip(counts, expected, strict=True) if share]
    assert sum(count for count, _ in possible) == N
    assert stats.chisquare(*zip(*possible, strict=True)).pvalue > 0.001


def test_a_permutation_has_every_number_once() -> None:
    first, second = seeded(lambda: torch.stack([torch.randperm(50), torch.randperm(50)]))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(50))
    assert first.tolist() != second.tolist()


def test_seeds_and_states_mean_what_they_mean() -> None:
    with PortableMode():
        torch.manual_seed(1)
        first = torch.randn(7)
        state = torch.get_rng_state()
        second = torch.randn(7)
        torch.set_rng_state(state)
        assert torch.equal(torch.randn(7), second)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            assert torch.equal(torch.randn(7), first)
        torch.manual_seed(1)
        assert torch.equal(torch.randn(7), first)
    assert not torch.equal(first, second)


def test_a_generator_is_drawn_from_and_the_default_left_alone() -> None:
    before = torch.get_rng_state()
    with PortableMode():
        draws = [torch.rand(3, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
        torch.empty(3).normal_(generator=torch.Generator().manual_seed(1))
        torch.randperm(3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_of_another_device_is_refused() -> None:
    class OnGpu:
        device = torch.device("cuda:0")

    with pytest.raises(NotPortableError, match=r"on cuda:0, .* give torch\.Generator\(\)"):
        key_from(OnGpu())  # type: ignore[arg-type]


def test_numbers_are_where_their_index_says_whatever_the_strides() -> None:
    rows = seeded(lambda: torch.empty(5, 7).normal_())
    columns = seeded(lambda: torch.empty(7, 5).t().normal_())
    assert torch.equal(rows, columns)


@pytest.mark.parametrize("draw", [torch.rand, torch.randn])
def test_the_first_numbers_do_not_depend_on_how_many_follow(draw: Callable[[int], Tensor]) -> None:
    assert torch.equal(seeded(lambda: draw(100_000))[:9], seeded(lambda: draw(9)))


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 24), (torch.float64, 53), (torch.bfloat16, 8)])
def test_uniform_numbers_are_on_the_grid_of_their_type_and_below_one(dtype: torch.dtype, digits: int) -> None:
    drawn = seeded(lambda: torch.rand(3000, dtype=dtype)).double() * 2.0**digits
    assert torch.equal(drawn, drawn.floor())
    assert drawn.max() < 2.0**digits


def test_the_upper_end_of_a_range_is_not_drawn() -> None:
    above = float(torch.nextafter(torch.tensor(1.0), torch.tensor(2.0)))
    drawn = seeded(lambda: torch.empty(1000).uniform_(1.0, above))
    assert drawn.unique().tolist() == [1.0]
    assert seeded(lambda: torch.empty(3).uniform_(2.0, 2.0)).tolist() == [2.0] * 3


def test_dropout_keeps_the_same_elements_whichever_operation_does_it() -> None:
    x = torch.arange(1.0, 1001.0)
    of_cpu = seeded(lambda: torch.nn.functional.dropout(x, 0.3))
    of_gpu = seeded(lambda: torch.ops.aten.native_dropout(x, 0.3, True)[0])
    assert torch.equal(of_cpu, of_gpu)
    assert 200 < (of_cpu == 0).sum() < 400
    kept = of_gpu != 0
    back = portable_random.native_dropout_backward(torch.ones(1000), kept, 1 / 0.7)
    assert torch.equal(back * x, of_gpu)
    whole, mask = portable_random.native_dropout(x, 0.3, False)
    assert torch.equal(whole, x)
    assert mask.all()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: empty().uniform_(1, 0), "found from=1"),
        (lambda: empty().uniform_(-math.inf, 0), "found from=-inf"),
        (lambda: empty().bernoulli_(torch.tensor(2.0)), "elements of p to be in"),
        (lambda: torch.empty(3, dtype=torch.uint8).random_(0, 300), "out of bounds for torch.uint8"),
        (lambda: torch.multinomial(torch.ones(2), 0), "n_sample <= 0"),
        (lambda: torch.multinomial(torch.ones(2, 2, 2), 1), "1 or 2 dim"),
        (lambda: empty().normal_(0, -1), "std >= 0.0, but found std -1"),
        (lambda: torch.normal(empty(), -1.0), "std >= 0.0"),
        (lambda: empty().bernoulli_(1.5), "but got p=1.5"),
        (lambda: empty().exponential_(0), "lambda"),
        (lambda: empty().geometric_(1.0), "but got p=1.0"),
        (lambda: empty().cauchy_(0, -1), "sigma"),
        (lambda: empty().log_normal_(0, -1), "std > 0.0"),
        (lambda: empty().random_(3, 3), "from=3 >= to=3"),
        (lambda: torch.randint(0, (3,)), "from=0 >= to=0"),
        (lambda: torch.multinomial(torch.ones(3), 4), "without replacement"),
    ],
)
def test_what_has_no_meaning_is_an_error(draw: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        seeded(draw)


def test_all_64_bits_may_be_asked_for() -> None:
    drawn = seeded(lambda: torch.empty(1000, dtype=torch.int64).random_(-(2**63), None))
    assert drawn.min() < -(2**61)
    assert drawn.max() > 2**61


@pytest.mark.parametrize("bounds", [(), (2**62, None), (0, 2**40), (-5, 2**17), (7, 2**63 - 1)])
def test_integers_lie_between_their_bounds(bounds: tuple[int | None, ...]) -> None:
    drawn = seeded(lambda: torch.empty(N, dtype=torch.int64).random_(*bounds))
    first, last = bounds or (0, None)
    low, high = first or 0, 2**63 if last is None else last
    shares = (drawn.double() - low) / (high - low)
    assert low <= int(drawn.min())
    assert int(drawn.max()) < high
    assert stats.kstest(shares.numpy(), stats.uniform().cdf).pvalue > 0.001


def test_a_range_of_more_than_half_of_all_integers_folds_as_pytorchs_does() -> None:
    drawn = seeded(lambda: torch.empty(N, dtype=torch.int64).random_(-(2**62), 2**63 - 1))
    native = torch.empty(N, dtype=torch.int64).random_(-(2**62), 2**63 - 1)
    assert int(drawn.min()) >= -(2**62)
    assert abs((drawn < 0).double().mean() - (native < 0).double().mean()) < 0.02


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dropout_is_the_same_in_every_type(dtype: torch.dtype) -> None:
    x = torch.arange(1.0, 101.0, dtype=dtype)
    of_cpu = seeded(lambda: torch.nn.functional.dropout(x, 0.1))
    of_gpu, mask = seeded(lambda: torch.stack([each.to(dtype) for each in torch.ops.aten.native_dropout(x, 0.1, True)]))
    assert torch.equal(of_cpu, of_gpu)
    leaf = x.clone().requires_grad_()
    seeded(lambda: torch.nn.functional.dropout(leaf, 0.1)).sum().backward()
    with PortableMode():
        back = torch.ops.aten.native_dropout_backward(torch.ones_like(x), mask.bool(), 1 / (1 - 0.1))
    assert leaf.grad is not None
    assert torch.equal(back, leaf.grad)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_dropout_of_nothing_and_of_all(p: float) -> None:
    x = torch.ones(10)
    kept, mask = seeded(lambda: torch.stack([each.float() for each in torch.ops.aten.native_dropout(x, p, True)]))
    assert kept.tolist() == mask.tolist() == [1 - p] * 10


def test_rrelu_multiplies_with_numbers_between_its_bounds() -> None:
    x = torch.tensor([-2.0, 3.0, 0.0, float("nan")] * 500, requires_grad=True)
    result = seeded(lambda: torch.nn.functional.rrelu(x, 0.2, 0.4, training=True))
    slopes = result[::4] / -2
    assert stats.kstest(slopes.detach().numpy(), stats.uniform(0.2, 0.2).cdf).pvalue > 0.001
    assert result[1::4].tolist() == [3.0] * 500
    assert result[3::4].isnan().all()
    with PortableMode():
        result[::4].sum().backward()
        assert x.grad is not None
        assert torch.equal(x.grad[::4], slopes)
        torch.testing.assert_close(torch.nn.functional.rrelu(x[:2], 0.2, 0.4), torch.tensor([-0.6, 3.0]))
        noise = torch.zeros(2000)
        given, kept = torch.ops.aten.rrelu_with_noise_functional(x.detach(), noise, 0.2, 0.4, True)
    assert not noise.any()
    assert torch.equal(given[::4], kept[::4] * -2)


def test_samples_without_replacement_are_distinct_and_of_positive_weight() -> None:
    weights = torch.tensor([[1.0, 0, 2, 3], [0, 1, 1, 5]])
    drawn = seeded(lambda: torch.multinomial(weights, 3))
    assert [sorted(row) for row in drawn.tolist()] == [[0, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_samples_with_replacement_from_many_weights(scale: float) -> None:
    weights = torch.arange(3000.0) * scale
    drawn = seeded(lambda: torch.multinomial(weights, N, replacement=True))
    counts = torch.bincount(drawn, minlength=3000).reshape(10, 300).sum(1)
    expected = weights.double().reshape(10, 300).sum(1) / weights.double().sum() * N
    assert stats.chisquare(counts.numpy(), expected.numpy()).pvalue > 0.001
    assert 0 not in drawn


@pytest.mark.parametrize("weights", [[1.0, -1.0], [1.0, float("nan")], [float("inf"), 1.0], [0.0, 0.0]])
def test_weights_that_are_none_are_an_error(weights: list[float]) -> None:
    with pytest.raises(RuntimeError, match="probability tensor contains|sum of probabilities"):
        seeded(lambda: torch.multinomial(torch.tensor(weights), 1))


def test_numbers_of_other_types_are_refused() -> None:
    with pytest.raises(NotPortableError, match="float64, not of torch.float8_e5m2"):
        seeded(lambda: torch.empty(3, dtype=torch.float8_e5m2).uniform_())


def test_the_default_device_does_not_choose_the_generator() -> None:
    before = torch.get_rng_state()
    with torch.device("meta"):
        key_from(torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_waiting_times_are_above_0() -> None:
    drawn = seeded(lambda: torch.empty(N).exponential_())
    assert drawn.min() > 0
    assert seeded(lambda: torch.empty(N, dtype=torch.uint8).geometric_(1e-4)).max() == 255


def test_means_and_deviations_that_are_tensors_are_broadcast() -> None:
    mean, std = torch.zeros(3, 1, dtype=torch.float16), torch.ones(4)
    with PortableMode():
        assert torch.normal(mean, std).dtype == torch.float16
        assert torch.normal(mean, std).shape == (3, 4)
        assert torch.normal(1.0, std.double()).dtype == torch.float64
        with pytest.raises(RuntimeError, match="elements of std >= 0"):
            torch.normal(mean, -std)


def everything() -> dict[str, Tensor]:
    names = {**CONTINUOUS, **DISCRETE}
    found = {name: seeded(names[name][0]) for name in names}
    return found | {"randperm": seeded(lambda: torch.randperm(1000))}


def test_bits_are_the_same_with_every_instruction_set() -> None:
    assert split_by_settings(everything)[1] == set()


def test_exponential_numbers_of_float16_are_above_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their logarithm is what `gumbel_softmax` takes; in float16, one of 30 million would be 0."""
    monkeypatch.setattr(portable_random, "_waits", lambda shape, *_: torch.full(shape, 1e-9, dtype=torch.float64))
    for dtype, least in ((torch.float16, 2.0**-24), (torch.bfloat16, 1e-9), (torch.float32, 1e-9)):
        with PortableMode():
            drawn = torch.empty(2, dtype=dtype).exponential_()
        torch.testing.assert_close(drawn.double(), torch.full((2,), least, dtype=torch.float64), rtol=1e-2, atol=0)
