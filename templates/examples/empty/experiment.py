"""The experiment: a plain function of a seed and a device that returns what shall be the same when it runs again."""

from typing import Any

from seedbed import Streams


def run(*, seed: int, device: str) -> dict[str, Any]:
    """Return results by name: arrays, tensors, numbers. All that is random shall follow from `seed`."""
    streams = Streams(seed)  # one stream for each use: what one draws does not change what another does
    numbers = streams.numpy("numbers").normal(size=100)
    return {"numbers": numbers, "mean": float(numbers.mean())}
