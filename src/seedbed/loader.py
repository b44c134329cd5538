"""A DataLoader whose workers draw what they should: each its own numbers, every epoch others, and all again."""

import contextlib
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from multiprocessing.context import get_spawning_popen
from pathlib import Path, PurePath
from types import BuiltinMethodType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, SupportsIndex, TypedDict

from seedbed.determinism import Flags, in_force, set_flags
from seedbed.rng_state.generators import find_kind
from seedbed.seeding import DEFAULT_SEED
from seedbed.streams import Streams, as_streams

if TYPE_CHECKING:
    import torch


class LoaderKwargs(TypedDict):
    """The two arguments of a DataLoader that decide what it draws."""

    generator: "torch.Generator"
    worker_init_fn: "SeedWorker"


def loader_kwargs(seed: SupportsIndex | Streams = DEFAULT_SEED, *, rank: int | None = None) -> LoaderKwargs:
    """Make the arguments with which a DataLoader is reproducible: ``DataLoader(data, **loader_kwargs(1337))``.

    The order of the samples, and what workers draw from Python's, NumPy's legacy and torch's global generators and
    from generators that the dataset holds, then follow from `seed`. They differ from worker to worker, from epoch to
    epoch and from rank to rank. Iterating no longer moves the global generator of the main process. Determinism flags
    that are in force when a worker is started are so in the worker, spawned ones too.

    Generators that the dataset holds are those that its attributes and its class's lead to: through objects, lists,
    tuples, dicts, ``functools.partial``, methods and closures; not through sets, arrays of objects, what a function
    finds in global variables, and objects that raise when they are looked into. Each is put into a state of its own, in
    place.

    What it cannot do: what workers draw depends on how many there are. With ``persistent_workers=True`` torch starts
    and seeds them once, and they draw on from epoch to epoch, so that an epoch cannot be repeated without those before
    it. An epoch that is broken off leaves the order of the next to how far the workers had looked ahead. A sampler of
    your own needs a generator of its own. Without workers the dataset's generators are left as they are: seed those
    where they are made.

    Parameters
    ----------
    seed
        The root seed, an integer in 0..2**32-1, or streams of your own: two loaders of one program need two
        (``streams.child("train")``), or both draw the same.
    rank
        Which process this is among several; if None, what `seedbed.ranks.current_rank` says now.

    Returns
    -------
    LoaderKwargs
        ``generator`` and ``worker_init_fn``. To do more in a worker, call the latter within a function of your own.

    Raises
    ------
    SeedError
        If `seed` is anything else.
    """
    own = as_streams(seed).child("loader").per_rank(rank)
    return {"generator": own.torch("order"), "worker_init_fn": SeedWorker(own.child("worker"))}


@dataclass(slots=True)
class SeedWorker:
    """Called in each worker when it starts, with its number: seeds what torch does not, and sets the flags."""

    streams: Streams
    flags: Flags | None = None
    """Those in force where the worker was spawned; None in a forked one, which has them anyway."""

    def __call__(self, worker_id: int) -> None:
        from torch.utils.data import get_worker_info

        info: Any = get_worker_info()
        epoch = info.seed - worker_id  # torch draws it from the loader's generator, every time that workers start
        streams = self.streams.child(epoch, worker_id)
        for path, generator in find_generators(info.dataset, "dataset"):
            reseed(generator, streams.child(path))
        if self.flags is not None and self.flags != in_force():
            set_flags(self.flags)

    def __getstate__(self) -> tuple[Streams, Flags | None]:
        return self.streams, in_force() if get_spawning_popen() else self.flags  # a copy is no worker

    def __setstate__(self, state: tuple[Streams, Flags | None]) -> None:
        self.streams, self.flags = state


_PLAIN = {str, bytes, int, float, bool, complex, type(None)}


def find_generators(root: object, name: str) -> Iterator[tuple[str, Any]]:
    """Find the generators that an object's attributes lead to, each once, with the shortest path to it.

    A path is written as Python would, ``dataset.transforms[0].rng``, so that two are never the same.
    """
    atoms, seen = _PLAIN | _atoms(), {id(root)}
    queue: deque[tuple[str, object]] = deque([(name, root)])
    while queue:
        path, value = queue.popleft()
        if (inside := _looked_into(value, seen)) is None:
            yield path, value
            continue
        for step, inner in inside:
            if type(inner) not in atoms and id(inner) not in seen:
                seen.add(id(inner))
                queue.append((f"{path}{step}", inner))


def _looked_into(value: object, seen: set[int]) -> list[tuple[str, object]] | None:
    """List what an object and its class hold, the class once; None for a generator."""
    try:
        if find_kind(value) is not None:
            return None
        inside = list(_inside(value))
    except Exception:  # noqa: BLE001 - a proxy, an object that answers every question in its own way
        return []
    if id(type(value)) not in seen:
        seen.add(id(type(value)))
        inside += _of_class(type(value))
    return inside


def _of_class(kind: type) -> Iterator[tuple[str, object]]:
    for place, each in enumerate(kind.__mro__):
        if each.__module__ != "builtins":
            for step, inner in _attributes(each.__dict__):
                if not isinstance(inner, type) and not hasattr(type(inner), "__get__"):  # no methods, no slots
                    yield f".__class__.__mro__[{place}]{step}", inner


def _atoms() -> set[type]:
    """What holds no generator and may be there a million times."""
    import numpy as np
    import torch

    arrays: set[type] = {np.ndarray, torch.Tensor, torch.nn.Parameter}
    return (
        arrays | {type(Path()), type(PurePath())} | {kind for kind in np.sctypeDict.values() if kind is not np.object_}
    )


def _inside(value: Any) -> Iterator[tuple[str, object]]:
    """List what an object holds, each with a step that is the same in every process."""
    if isinstance(value, type | ModuleType):
        return
    if isinstance(value, dict):
        for place, (key, inner) in enumerate(value.items()):
            yield (f"[{key!r}]" if type(key) in (str, int) else f"[#{place}]"), inner
    elif isinstance(value, list | tuple | deque) and not _are_plain(value):
        yield from ((f"[{place}]", inner) for place, inner in enumerate(value))
    elif isinstance(value, FunctionType):
        yield from _of_function(value)
    elif isinstance(value, MethodType | BuiltinMethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, partial):
        yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
    yield from _attributes(getattr(value, "__dict__", {}))
    yield from _slots(value)


def _are_plain(values: Collection[Any]) -> bool:
    """Whether they are nothing but text and numbers, or tuples or dicts of such: a million samples take 0.1 s."""
    types = set(map(type, values))
    if types and types <= {list, tuple}:
        types = set(map(type, chain.from_iterable(values)))
    elif types == {dict}:
        types = set(map(type, chain.from_iterable(map(dict.values, values))))
    return types <= _PLAIN


def _attributes(attributes: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, inner in attributes.items():
        yield (f".{name}" if name.isidentifier() else f".{name!r}"), inner


def _of_function(function: FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a name that has no value yet
            yield f".__closure__.{name}", cell.cell_contents
    yield from ((f".__defaults__[{place}]", inner) for place, inner in enumerate(function.__defaults__ or ()))
    yield from ((f".__kwdefaults__[{name!r}]", inner) for name, inner in (function.__kwdefaults__ or {}).items())


def _slots(value: object) -> Iterator[tuple[str, object]]:
    for each in type(value).__mro__:
        members = each.__dict__.items() if "__slots__" in each.__dict__ else ()
        for name, member in members:
            if isinstance(member, MemberDescriptorType):
                with contextlib.suppress(AttributeError):  # a slot that has no value
                    yield f".{name}", member.__get__(value)


def reseed(generator: Any, streams: Streams) -> None:
    """Put a generator, in place, into a state of its own that follows from `streams`."""
    import numpy as np

    kind = find_kind(generator)
    if kind == "random.Random":
        generator.setstate(streams.python("state").getstate())
    elif kind == "torch.Generator":
        generator.set_state(streams.torch("state", device=generator.device).get_state())
    elif kind == "numpy.Generator":
        bits = generator.bit_generator
        bits.state = type(bits)(streams.sequence("state")).state
    else:
        bits = getattr(np.random, generator.get_state(legacy=False)["bit_generator"])(streams.sequence("state"))
        generator.set_state({**bits.state, "has_gauss": 0, "gauss": 0.0})
