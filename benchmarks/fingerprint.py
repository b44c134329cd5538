"""How fast results in main memory are fingerprinted, against hashlib alone (the floor) and `joblib.hash`."""

import hashlib
from collections.abc import Iterator
from functools import partial

import joblib
import numpy as np
import torch

from benchmarks.timing import Row, in_turns
from seedbed.fingerprint import fingerprint, fingerprints

MEGABYTES = 64
RATE = 1e9
"""The bar, in bytes a second."""


def measure(rounds: int) -> Iterator[Row]:
    """Fingerprint one large array, as NumPy's, torch's, and transposed, and the same bytes in small arrays."""
    array = np.random.default_rng(1337).standard_normal((MEGABYTES * 250, 1000), np.float32)
    tensor = torch.from_numpy(array)
    small = list(array.reshape(-1, 250))
    times = in_turns(
        {
            "array": partial(fingerprint, array),
            "tensor": partial(fingerprint, tensor),
            "transposed": partial(fingerprint, array.T),
            "small": partial(fingerprints, {"small": small}),
            "hashlib": lambda: hashlib.sha256(array.data).hexdigest(),
            "joblib": partial(joblib.hash, array),
            "joblib transposed": partial(joblib.hash, array.T),
            "joblib small": lambda: [joblib.hash(each) for each in small],
        },
        rounds,
    )
    floor, joblib_hash = "SHA-256 of hashlib alone (floor)", "joblib.hash (MD5)"
    for name, ours, peer, theirs in (
        ("fingerprint of a float32 array", "array", floor, "hashlib"),
        ("fingerprint of a float32 array", "array", joblib_hash, "joblib"),
        ("fingerprint of a float32 tensor", "tensor", floor, "hashlib"),
        ("fingerprint of a transposed array", "transposed", joblib_hash, "joblib transposed"),
        ("fingerprints of arrays of 1 kB", "small", joblib_hash, "joblib small"),
    ):
        under = None if ours == "small" else array.nbytes / RATE
        yield Row(name=name, ours=times[ours], peer=peer, theirs=times[theirs], size=array.nbytes, under=under)
