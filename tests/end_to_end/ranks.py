"""One of several processes: what must be the same on all ranks, and what must differ. Prints nothing, writes JSON.

``torchrun --nproc-per-node=N -m tests.end_to_end.ranks FOLDER``
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from seedbed import Streams, loader_kwargs, seeded, set_all_seeds
from seedbed.ranks import current_rank

STREAMS = Streams(1337)


class Noise(Dataset[Any]):
    """Each sample is its index and a draw of the dataset's own generator."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> Any:
        return index, self.rng.random()


def main(folder: str) -> None:
    """Draw everything, train a step, and write what came of it."""
    launched = current_rank()
    dist.init_process_group("gloo")
    here = current_rank()
    with seeded(STREAMS.sklearn("init")):  # the same on all ranks
        model = nn.Linear(4, 2)
    initial = [each.detach().clone() for each in model.parameters()]
    set_all_seeds(STREAMS.per_rank().sklearn("dropout"))  # different on every rank
    mask = nn.functional.dropout(torch.ones(32)).tolist()
    data = Noise()
    sampler: DistributedSampler[Any] = DistributedSampler(data, seed=STREAMS.sklearn("order"))
    loader = DataLoader(
        data, batch_size=None, sampler=sampler, num_workers=1, multiprocessing_context="fork", **loader_kwargs(STREAMS)
    )
    samples = [(int(index), float(noise)) for index, noise in loader]
    replica = nn.parallel.DistributedDataParallel(model)
    replica(torch.rand(8, 4)).sum().backward()
    gradient = model.weight.grad
    said = {
        "launched": [launched.rank, launched.world_size, launched.source],
        "here": [here.rank, here.world_size, here.source],
        "initial": [each.tolist() for each in initial],
        "mask": mask,
        "samples": samples,
        "gradient": gradient.tolist() if gradient is not None else None,
    }
    Path(folder, f"{here.rank}.json").write_text(json.dumps(said))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
