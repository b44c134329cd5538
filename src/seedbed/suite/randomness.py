# ruff: noqa: ARG001 - an experiment is handed its seed; those that draw globally leave it, as people do
"""The generators themselves: Python's, both of NumPy's, and the order of a set."""

import random

import numpy as np
from numpy.typing import NDArray

_TEXT = """
when in the course of a study one result cannot be grown again from the seed that it was planted with then a decent
respect for the reader requires that the authors should declare the cause which moved it be that a thread a kernel
an instruction or only the order in which some set of words happened to be walked
"""


def python_generator(*, seed: int) -> dict[str, object]:
    """Draw from the `random` module, globally.

    Gaussian and gamma draws go through the C library's log, exp, sin and cos, which round one result in a thousand
    otherwise where the processor has no fused multiply-add.
    """
    deck = list(range(52))
    random.shuffle(deck)
    return {
        "random": [random.random() for _ in range(256)],
        "gauss": [random.gauss(0, 1) for _ in range(2048)],
        "gammavariate": [random.gammavariate(2.5, 1) for _ in range(2048)],
        "shuffle": deck,
        "sample": random.sample(range(10_000), 64),
    }


def numpy_legacy(*, seed: int) -> dict[str, NDArray[np.generic]]:
    """Draw from `numpy.random`, globally."""
    return {
        "rand": np.random.rand(256),
        "randn": np.random.randn(256),
        "randint": np.random.randint(0, 10_000, 64),
        "permutation": np.random.permutation(64),
        "beta": np.random.beta(0.5, 0.7, size=2048),
        "lognormal": np.random.lognormal(size=2048),
    }


def numpy_generator(*, seed: int) -> dict[str, NDArray[np.generic]]:
    """Draw from `numpy.random.default_rng(seed)`."""
    rng = np.random.default_rng(seed)
    return {
        "random": rng.random(256),
        "standard_normal": rng.standard_normal(256),
        "integers": rng.integers(0, 10_000, 64),
        "permutation": rng.permutation(64),
        "beta": rng.beta(0.5, 0.7, size=2048),
        "lognormal": rng.lognormal(size=2048),
    }


def set_order(*, seed: int) -> dict[str, list[int]]:
    """Number the words of a text as ``enumerate(set(words))`` does: random with the hash seed, whatever `seed` is."""
    words = _TEXT.split()
    vocabulary = {word: number for number, word in enumerate(set(words))}
    return {"encoded": [vocabulary[word] for word in words]}
