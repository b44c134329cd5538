"""How long it takes to set all seeds, against Lightning's `seed_everything`."""

import random
from collections.abc import Iterator
from functools import partial
from importlib import import_module

import numpy as np
import torch

from benchmarks.timing import Call, Row, has_lightning, in_turns, process
from seedbed import DEFAULT_SEED, set_all_seeds

CALLS = 20  # at a time, as one takes tenths of a millisecond


def measure(rounds: int) -> Iterator[Row]:
    """Time the call, and a process that does nothing else."""
    calls: dict[str, Call] = {"ours": partial(set_all_seeds, DEFAULT_SEED), "bare": bare}
    processes = {"ours": process("-c", "from seedbed import set_all_seeds; set_all_seeds(1337)")}
    if has_lightning():  # without the line that it logs
        calls["peer"] = partial(import_module("lightning").seed_everything, DEFAULT_SEED, verbose=False)
        source = "from lightning import seed_everything; seed_everything(1337, verbose=False)"
        processes["peer"] = process("-c", source)
    call, whole = in_turns(calls, 10 * rounds, CALLS), in_turns(processes, rounds)

    name, floor, peer = "set_all_seeds", "the three bare calls (floor)", "Lightning's seed_everything"
    yield Row(name=name, ours=call["ours"], peer=floor, theirs=call["bare"])
    yield Row(name=name, ours=call["ours"], peer=peer, theirs=call.get("peer"), no_slower=True)
    name = "import it and call it once, whole process"
    yield Row(name=name, ours=whole["ours"], peer=peer, theirs=whole.get("peer"), no_slower=True)


def bare() -> None:
    """Seed what both must seed, and do nothing else."""
    random.seed(DEFAULT_SEED)
    np.random.seed(DEFAULT_SEED)
    torch.manual_seed(DEFAULT_SEED)
