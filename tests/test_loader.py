"""Loaders: what workers draw differs by worker, epoch and rank, comes again, and leaves the main process alone."""

import copy
import functools
import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from seedbed.determinism import Flags, deterministic, in_force, set_flags
from seedbed.errors import SeedError
from seedbed.loader import SeedWorker, find_generators, loader_kwargs, reseed
from seedbed.streams import Streams

SAMPLES, WORKERS, EPOCHS = 8, 2, 2


class Draws(Dataset[Any]):
    """Each sample is what was drawn for it, from everything there is to draw from."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)
        self.state = np.random.RandomState(0)
        self.transform = Transform()

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> Any:
        own = [self.generator.random(), self.state.random_sample(), self.transform.python.random()]
        shared = [random.random(), np.random.random_sample(), torch.rand(1, dtype=torch.float64).item()]
        return torch.tensor([index, *own, *shared], dtype=torch.float64)


class Transform:
    """Holds a generator one level down, in a slot."""

    __slots__ = ("python",)

    def __init__(self) -> None:
        self.python = random.Random(0)


class Endless(IterableDataset[Any]):
    """Draws as many samples as it is told, in every worker."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __iter__(self) -> Iterator[float]:
        return (self.rng.random() for _ in range(SAMPLES))


class FlagsThere(Dataset[Any]):
    """Each sample is what is in force in its worker."""

    def __len__(self) -> int:
        return WORKERS

    def __getitem__(self, index: int) -> Flags:
        return in_force()


def epochs(loader: DataLoader[Any]) -> torch.Tensor:
    """All draws: epochs x samples x sources."""
    return torch.stack([torch.cat(list(loader)) for _ in range(EPOCHS)])


def run(seed: Any = 1337, *, rank: int | None = None, **options: Any) -> torch.Tensor:
    options = {"num_workers": WORKERS, "shuffle": True, **options}
    return epochs(DataLoader(Draws(), **options, **loader_kwargs(seed, rank=rank)))


METHODS = pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
PERSISTENT = pytest.mark.parametrize("persistent", [False, True])


@METHODS
@PERSISTENT
def test_every_worker_and_epoch_draws_numbers_of_its_own_and_the_same_again(method: str, persistent: bool) -> None:
    options: dict[str, Any] = {"multiprocessing_context": method, "persistent_workers": persistent}
    drawn = run(**options)
    for source in range(1, drawn.shape[2]):
        assert drawn[:, :, source].unique().numel() == EPOCHS * SAMPLES
    assert [sorted(epoch[:, 0].tolist()) for epoch in drawn] == [list(range(SAMPLES))] * EPOCHS
    assert not torch.equal(drawn[0, :, 0], drawn[1, :, 0])
    assert torch.equal(run(**options), drawn)


def test_without_it_a_datasets_generators_repeat_in_every_worker_and_epoch() -> None:
    drawn = epochs(DataLoader(Draws(), num_workers=WORKERS, multiprocessing_context="fork"))
    for source in (1, 2, 3):
        assert drawn[:, :, source].unique().numel() == SAMPLES // WORKERS


def test_seeds_streams_and_ranks_make_the_difference() -> None:
    seeds = [1337, 1338, Streams(1337).child("train"), Streams(1337).child("test")]
    drawn = [run(seed) for seed in seeds] + [run(rank=1), run(rank=2)]
    for source in range(drawn[0].shape[2]):
        assert len({tuple(each[:, :, source].flatten().tolist()) for each in drawn}) == len(drawn)
    assert torch.equal(run(Streams(1337), rank=0), drawn[0])


def test_the_order_is_the_same_for_any_number_of_workers() -> None:
    orders = {tuple(run(num_workers=workers)[:, :, 0].flatten().tolist()) for workers in (0, 1, 2)}
    assert len(orders) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_iterating_does_not_move_the_global_generators(workers: int) -> None:
    def states() -> Any:
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state(legacy=False)["state"]["pos"]

    before = states()
    list(DataLoader(range(SAMPLES), num_workers=workers, shuffle=True, **loader_kwargs(1)))  # type: ignore[arg-type]
    assert states() == before
    list(DataLoader(range(SAMPLES), num_workers=workers))  # type: ignore[arg-type]
    assert states() != before  # as it would without


@PERSISTENT
def test_an_iterable_dataset(persistent: bool) -> None:
    def drawn() -> list[list[float]]:
        loader = DataLoader(
            Endless(), batch_size=None, num_workers=WORKERS, persistent_workers=persistent, **loader_kwargs(1)
        )
        return [list(loader) for _ in range(EPOCHS)]

    first = drawn()
    assert len({*first[0], *first[1]}) == EPOCHS * WORKERS * SAMPLES
    assert drawn() == first


@METHODS
def test_flags_reach_the_workers(method: str) -> None:
    def there() -> list[Flags]:
        options: dict[str, Any] = {"batch_size": None, "num_workers": WORKERS, "multiprocessing_context": method}
        return list(DataLoader(FlagsThere(), **options, **loader_kwargs(1)))

    with set_flags(deterministic()):
        assert there() == [in_force()] * WORKERS
    assert there() == [in_force()] * WORKERS


def test_flags_do_not_reach_a_spawned_worker_by_themselves() -> None:
    with set_flags(deterministic()):
        (there, _) = DataLoader(FlagsThere(), batch_size=None, num_workers=1, multiprocessing_context="spawn")
        assert not there.cudnn_deterministic
        assert there.deterministic_algorithms == "off"


def test_more_can_be_done_in_a_worker() -> None:
    kwargs = loader_kwargs(1)

    def init(worker_id: int) -> None:
        kwargs["worker_init_fn"](worker_id)
        random.seed(5)

    def first(function: Callable[[int], None]) -> Any:
        options: Any = {**kwargs, "worker_init_fn": function, "multiprocessing_context": "fork"}
        return next(iter(DataLoader(Draws(), num_workers=1, **options)))[0]

    assert first(init)[4] == random.Random(5).random() != first(kwargs["worker_init_fn"])[4]


def test_a_seed_that_is_none_is_refused() -> None:
    with pytest.raises(SeedError):
        loader_kwargs(-1)


def test_a_copy_of_the_init_function_does_not_freeze_the_flags() -> None:
    init = loader_kwargs(1)["worker_init_fn"]
    assert copy.deepcopy(init) == init
    with set_flags(deterministic()):
        loader = DataLoader(
            FlagsThere(),
            batch_size=None,
            num_workers=1,
            multiprocessing_context="fork",
            worker_init_fn=copy.deepcopy(init),
        )
        assert list(loader) == [in_force()] * WORKERS


def test_the_rank_is_read_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert loader_kwargs(1)["worker_init_fn"] == loader_kwargs(1, rank=3)["worker_init_fn"]


def test_the_init_function_is_a_value_that_can_be_read() -> None:
    init = loader_kwargs(1, rank=3)["worker_init_fn"]
    assert init == SeedWorker(Streams(1).child("loader").per_rank(3).child("worker"))


# what is found


class Holder:
    """Anything that holds something."""

    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)

    def method(self) -> None:
        """Have a method."""


class Slots:
    __slots__ = "one"

    def __init__(self, one: object) -> None:
        self.one = one


RNG = random.Random(0)


def closure(rng: random.Random) -> Callable[[], float]:
    return lambda: rng.random()


def unfinished() -> Callable[[], object]:
    """Give a function with a cell that has nothing in it."""

    def function() -> object:
        return later  # noqa: F821 - what is tried

    later = 1
    del later
    return function


def with_defaults(_x: object = RNG, *, _y: object = None) -> None:
    """Hold a generator as a default."""


class Nested(torch.nn.Module):
    """A module: torch keeps what it holds in dicts of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Identity())
        self.inner[0].rng = RNG  # type: ignore[assignment]


class InClass:
    """Holds a generator in its class."""

    rng = RNG


class Inherits(InClass):
    """Inherits it."""


class Private:
    """Holds a generator in a slot whose name is mangled."""

    __slots__ = ("__rng",)

    def __init__(self) -> None:
        self.__rng = RNG


class Dict(dict[str, object]):
    """A dict with attributes."""


def with_attribute() -> Dict:
    holder = Dict(x=1)
    holder.x = RNG  # type: ignore[attr-defined]
    return holder


class Wild:
    """Answers every question in its own way."""

    __slots__ = ("one",)

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


FOUND: list[tuple[object, str]] = [
    (RNG, "d"),
    (Holder(rng=RNG), "d.rng"),
    (Holder(a=Holder(b=[1, (2, RNG)])), "d.a.b[1][1]"),
    (Holder(a={"x": 1, "y": {3: RNG}}), "d.a['y'][3]"),
    (Holder(a={(1, 2): RNG}), "d.a[#0]"),
    (Holder(a=deque([None, RNG])), "d.a[1]"),
    (Holder(**{"a b": RNG}), "d.'a b'"),
    (with_attribute(), "d.x"),
    (Slots(RNG), "d.one"),
    (Private(), "d._Private__rng"),
    (InClass(), "d.__class__.__mro__[0].rng"),
    (Inherits(), "d.__class__.__mro__[1].rng"),
    (closure(RNG), "d.__closure__.rng"),
    (with_defaults, "d.__defaults__[0]"),
    (functools.partial(print, RNG), "d.args[0]"),
    (functools.partial(print, end=RNG), "d.keywords['end']"),
    (Holder(rng=RNG).method, "d.__self__.rng"),
    (RNG.random, "d.__self__"),
    (Nested(), "d._modules['inner']._modules['0'].rng"),
    (Subset(Holder(rng=RNG), [0, 1]), "d.dataset.rng"),  # type: ignore[arg-type]
    (Holder(far=Holder(rng=RNG), rng=RNG), "d.rng"),
    (Holder(wild=Wild(), rng=RNG), "d.rng"),
]


@pytest.mark.parametrize(("root", "path"), FOUND, ids=[path for _, path in FOUND])
def test_a_generator_is_found_once_by_its_shortest_path(root: object, path: str) -> None:
    assert list(find_generators(root, "d")) == [(path, RNG)]


def test_paths_that_look_alike_are_different() -> None:
    root = {1: random.Random(1), "1": random.Random(2), "a.b": random.Random(3), "a": {"b": random.Random(4)}}
    paths = [path for path, _ in find_generators(root, "d")]
    assert sorted(paths) == ["d['1']", "d['a']['b']", "d['a.b']", "d[1]"]


def test_a_circle_is_walked_once() -> None:
    holder = Holder(rng=RNG)
    vars(holder)["self"] = [holder, {"again": holder}]
    assert list(find_generators(holder, "d")) == [("d.rng", RNG)]


@pytest.mark.parametrize(
    "root",
    [
        3,
        random,
        random.Random,
        Holder(a="x", b=None, module=random, kind=random.Random, system=random.SystemRandom()),
        Holder(samples=[("a", 1)] * 1000, more=[{"a": 1}] * 1000, names=["a"] * 1000, none=[], rows=[[1, 2]]),
        Holder(array=np.zeros(3), tensor=torch.zeros(3), texts=np.array(["a", None], dtype=object)),
        Slots.__new__(Slots),
        unfinished(),
    ],
)
def test_where_there_is_none_none_is_found(root: object) -> None:
    assert list(find_generators(root, "d")) == []


def test_one_among_plain_tuples_is_found() -> None:
    assert [path for path, _ in find_generators([("a", 1), ("b", RNG)], "d")] == ["d[1][1]"]
    assert [path for path, _ in find_generators([{"a": 1}, {"b": RNG}], "d")] == ["d[1]['b']"]
    assert [path for path, _ in find_generators([("a", 1), RNG], "d")] == ["d[1]"]


MAKE: list[Callable[[], Any]] = [
    lambda: random.Random(0),
    lambda: np.random.RandomState(0),
    lambda: np.random.RandomState(np.random.PCG64(0)),
    lambda: np.random.default_rng(0),
    lambda: np.random.Generator(np.random.Philox(0)),
    lambda: torch.Generator().manual_seed(0),
]


def first_draw(generator: Any) -> float:
    if isinstance(generator, torch.Generator):
        return torch.randn((), generator=generator, dtype=torch.float64).item()
    drawn: float = generator.gauss(0, 1) if isinstance(generator, random.Random) else generator.normal()
    return drawn


@pytest.mark.parametrize("make", MAKE)
def test_a_generator_is_reseeded_in_place_whatever_it_drew_before(make: Callable[[], Any]) -> None:
    used, fresh, other = make(), make(), make()
    first_draw(used)  # a second Gaussian is cached now
    for generator, name in ((used, "a"), (fresh, "a"), (other, "b")):
        reseed(generator, Streams(1).child(name))
    assert first_draw(used) == first_draw(fresh)
    assert len({first_draw(used), first_draw(other), first_draw(make())}) == 3
