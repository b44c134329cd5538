"""How fast does it spread? Random walkers on a plane: their mean squared distance grows by 4 D a unit of time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from seedbed import Streams

WALKERS, STEPS = 2000, 400
DIFFUSION = 0.5  # D, squared length a unit of time: what the walk is made with, and what the estimate should find


def run(*, seed: int) -> dict[str, Any]:
    """Walk, and estimate D: all that is random follows from `seed`, by streams that are named after their use."""
    streams = Streams(seed)
    distances = squared_distances(walk(streams.numpy("steps")))
    estimate, error = diffusion(distances, streams.numpy("bootstrap"))
    return {"mean_squared_distance": distances.mean(axis=0), "diffusion": estimate, "standard_error": error}


def walk(rng: np.random.Generator) -> NDArray[np.float64]:
    """Let all walkers go from the origin: their positions, an array of walkers x steps x 2."""
    return rng.normal(scale=np.sqrt(2 * DIFFUSION), size=(WALKERS, STEPS, 2)).cumsum(axis=1)


def squared_distances(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each walker is from the origin after each step, squared: walkers x steps."""
    return positions[..., 0] ** 2 + positions[..., 1] ** 2


def diffusion(distances: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    """Estimate D by least squares, and its standard error by resampling the walkers."""
    times = np.arange(1, STEPS + 1)
    slopes = (distances * times).sum(axis=1) / (times**2).sum() / 4  # of each walker; the estimate is their mean
    resampled = [rng.choice(slopes, size=WALKERS).mean() for _ in range(200)]
    return float(slopes.mean()), float(np.std(resampled))
