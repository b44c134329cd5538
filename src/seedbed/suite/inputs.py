"""What the experiments work on: the same bits on every machine, so that a difference is the operation's.

Either it ships with scikit-learn, or it is a generator's integers scaled by a power of two, which rounds nothing.
Normal draws, say, would go through the C library's logarithm, which differs from machine to machine.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TEST_EVERY = 6
"""One in so many of the 1797 digits is kept for testing: 300 of them."""


def uniform(rng: np.random.Generator, *shape: int, dtype: type[np.floating[Any]] = np.float32) -> NDArray[Any]:
    """Draw values from [-1, 1) that use the whole precision of `dtype`: their products and sums must be rounded."""
    scale = 2 ** int(np.finfo(dtype).nmant)
    values: NDArray[Any] = (rng.integers(-scale, scale, size=shape) / scale).astype(dtype)
    return values


@cache
def digits() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Return scikit-learn's handwritten digits, read-only: images and labels to train on, images and labels to test.

    An image is a row of 64 pixels from 0 to 1, in sixteenths, which float32 holds exactly.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images, labels = (images / 16).astype(np.float32), labels.astype(np.int64)
    test = np.arange(len(images)) % _TEST_EVERY == 0
    split = images[~test], labels[~test], images[test], labels[test]
    for array in split:
        array.flags.writeable = False
    return split
