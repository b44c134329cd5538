"""A training that can be killed at any moment and goes on as if it had not been.

``python -m tests.end_to_end.training FOLDER WORKERS AMP KILL``: WORKERS processes load the data; AMP is 0 or 1; at step
KILL (0: never) the process kills itself. It goes on from the checkpoint in FOLDER, if there is one, and prints a digest
of the final weights and of every loss.
"""

import json
import os
import random
import signal
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

from seedbed import Streams, loader_kwargs, rng_state, set_all_seeds

EPOCHS, EVERY = 3, 3  # a checkpoint every third step
STREAMS = Streams(1337)


class Noisy(Dataset[Any]):
    """Digits with noise from four generators: one of its own, and the three global ones."""

    def __init__(self) -> None:
        images, labels = load_digits(return_X_y=True)
        self.images, self.labels = images[:300].astype(np.float32) / 16, labels[:300]
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        noise = self.rng.random() + random.random() + np.random.random_sample() + torch.rand(1).item()
        return self.images[index] + np.float32(noise / 10), self.labels[index]


class Training:
    """Everything that a checkpoint must bring back."""

    def __init__(self, folder: Path, workers: int, *, amp: bool) -> None:
        set_all_seeds(STREAMS.sklearn("model"), deterministic=True)
        self.amp = amp
        self.folder = folder
        self.model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-2)
        self.scaler = torch.amp.GradScaler("cpu", enabled=amp)
        kwargs = loader_kwargs(STREAMS)
        self.own = {"loader": kwargs["generator"]}
        self.dataset = Noisy()
        if workers == 0:
            self.own |= {"dataset": self.dataset.rng}  # type: ignore[dict-item]
        method = "fork" if workers else None
        self.loader: DataLoader[Any] = DataLoader(
            self.dataset, batch_size=32, shuffle=True, num_workers=workers, multiprocessing_context=method, **kwargs
        )
        self.epoch, self.batch, self.losses = 0, 0, list[float]()
        self.at_epoch = rng_state.capture(self.own)

    def run(self, kill: int) -> None:
        """Train from where it stands to the end."""
        while self.epoch < EPOCHS:
            skip, now = self.batch, rng_state.capture(self.own)
            if skip:
                rng_state.restore(self.at_epoch, self.own)  # the epoch's order and its workers come from there ...
            else:
                self.at_epoch = now
            batches = iter(self.loader)
            for _ in range(skip):
                next(batches)
            if skip:
                rng_state.restore(now, self.own)  # ... and what the main process draws next from here
            for images, labels in batches:
                self.step(images, labels)
                self.batch += 1
                if len(self.losses) % EVERY == 0:
                    self.save()
                if len(self.losses) == kill:
                    os.kill(os.getpid(), signal.SIGKILL)
            self.epoch, self.batch = self.epoch + 1, 0

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.amp):
            loss = nn.functional.cross_entropy(self.model(images), labels)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.losses.append(loss.item())

    def save(self) -> None:
        """Write a checkpoint, whole or not at all: a folder that gets its name last."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=self.folder))
        optimizer = self.optimizer.state_dict()["state"]
        tensors = {f"{number}.{name}": each for number, state in optimizer.items() for name, each in state.items()}
        save_file(self.model.state_dict(), part / "model.safetensors")
        save_file(tensors, part / "optimizer.safetensors")
        rng_state.save(part / "epoch.rng", self.at_epoch)
        rng_state.save(part / "now.rng", rng_state.capture(self.own))
        place = {"epoch": self.epoch, "batch": self.batch, "losses": self.losses, "scaler": self.scaler.state_dict()}
        (part / "place.json").write_text(json.dumps(place))
        part.rename(self.folder / f"{len(self.losses):06}")

    def resume(self) -> None:
        """Read the last checkpoint, if there is one."""
        if not (checkpoints := sorted(self.folder.glob("[0-9]*"))):
            return
        folder = checkpoints[-1]
        self.model.load_state_dict(load_file(folder / "model.safetensors"))
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in load_file(folder / "optimizer.safetensors").items():
            number, _, name = key.partition(".")
            state.setdefault(int(number), {})[name] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        place = json.loads((folder / "place.json").read_text())
        self.epoch, self.batch, self.losses = place["epoch"], place["batch"], place["losses"]
        self.scaler.load_state_dict(place["scaler"])
        self.at_epoch = rng_state.load(folder / "epoch.rng")
        rng_state.restore(rng_state.load(folder / "now.rng"), self.own)

    def digest(self) -> str:
        parts = [each.numpy().tobytes() for each in self.model.state_dict().values()]
        return sha256(b"".join([*parts, np.array(self.losses).tobytes()])).hexdigest()


def main(folder: str, workers: str, amp: str, kill: str) -> None:
    """Train, or go on training, and print the digest."""
    training = Training(Path(folder), int(workers), amp=amp == "1")
    training.resume()
    training.run(int(kill))
    print(len(training.losses), training.digest())


if __name__ == "__main__":
    main(*sys.argv[1:])
