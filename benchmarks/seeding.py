"""How long it takes to set all seeds, in a scope and without, against Lightning's, and to make a stream."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from importlib import import_module

import numpy as np
import torch

from benchmarks.timing import Call, Row, has_lightning, in_turns, process
from seedbed import DEFAULT_SEED, Streams, seeded, set_all_seeds

CALLS = 20  # at a time, as one takes tenths of a millisecond or less

STREAMS: dict[str, Callable[[Streams], object]] = {
    "numpy": lambda streams: streams.numpy("a", 1),
    "sklearn": lambda streams: streams.sklearn("a", 1),
    "sklearn, instance": lambda streams: streams.sklearn("a", 1, instance=True),
    "torch": lambda streams: streams.torch("a", 1),
    "python": lambda streams: streams.python("a", 1),
}


def measure(rounds: int) -> Iterator[Row]:
    """Time calls, scopes and streams, and a process that does nothing but a call."""
    calls: dict[str, Call] = {"ours": partial(set_all_seeds, DEFAULT_SEED), "bare": bare}
    processes = {"ours": process("-c", "from seedbed import set_all_seeds; set_all_seeds(1337)")}
    if has_lightning():  # without the line that it logs
        calls["peer"] = partial(import_module("lightning").seed_everything, DEFAULT_SEED, verbose=False)
        source = "from lightning import seed_everything; seed_everything(1337, verbose=False)"
        processes["peer"] = process("-c", source)
    call, whole = in_turns(calls, 10 * rounds, CALLS), in_turns(processes, rounds)

    name, floor, peer = "set_all_seeds", "the three bare calls", "Lightning's seed_everything"
    yield Row(name=name, ours=call["ours"], peer=floor, theirs=call["bare"])
    yield Row(name=name, ours=call["ours"], peer=peer, theirs=call.get("peer"), no_slower=True)
    name = "import it and call it once, whole process"
    yield Row(name=name, ours=whole["ours"], peer=peer, theirs=whole.get("peer"), no_slower=True)
    yield from scopes(rounds)
    yield from streams(rounds)


def scopes(rounds: int) -> Iterator[Row]:
    """Time entering and leaving a scope that seeds everything."""
    calls: dict[str, Call] = {"ours": enter, "deterministic": partial(enter, deterministic=True)}
    if has_lightning():
        seed_everything = import_module("lightning").seed_everything
        calls["peer"] = partial(isolate, import_module("lightning.pytorch.utilities.seed").isolate_rng, seed_everything)
    times = in_turns(calls, 10 * rounds, CALLS)
    peer = "Lightning's isolate_rng + seed_everything"
    yield Row(name="seeded, in and out", ours=times["ours"], peer=peer, theirs=times.get("peer"), no_slower=True)
    name = "seeded, deterministic, in and out"
    yield Row(name=name, ours=times["deterministic"], peer=peer, theirs=times.get("peer"))


def enter(*, deterministic: bool = False) -> None:
    """Enter the scope, and leave it."""
    with seeded(DEFAULT_SEED, deterministic=deterministic):
        pass


def isolate(isolate_rng: Callable[[], AbstractContextManager[None]], seed_everything: Callable[..., object]) -> None:
    """Do what comes nearest with Lightning; it leaves the flags alone."""
    with isolate_rng():
        seed_everything(DEFAULT_SEED, verbose=False)


def streams(rounds: int) -> Iterator[Row]:
    """Time making a generator of each kind, beside NumPy's own from a seed."""
    calls = {kind: partial(make, Streams(DEFAULT_SEED)) for kind, make in STREAMS.items()}
    times = in_turns({**calls, "peer": partial(np.random.default_rng, DEFAULT_SEED)}, 10 * rounds, CALLS)
    for kind in STREAMS:
        yield Row(
            name=f"a stream: {kind}", ours=times[kind], peer="default_rng(seed)", theirs=times["peer"], under=5e-5
        )


def bare() -> None:
    """Seed what both must seed, and do nothing else."""
    random.seed(DEFAULT_SEED)
    np.random.seed(DEFAULT_SEED)
    torch.manual_seed(DEFAULT_SEED)
