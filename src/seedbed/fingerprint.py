"""Digests of results: of one array's exact bits, dtype and shape, and of all results of an experiment together.

Two arrays have the same fingerprint where they are `identical`, and only there: 0.0 and -0.0 differ, and so do two NaNs
of different payloads, a float32 and a float64 of the same value, a row and a column of the same numbers.

The definition, for whoever computes one without Seedbed:

- of an array: ``sha256:`` and, in hexadecimal, the SHA-256 of the ASCII text ``seedbed-1|DTYPE|SHAPE|`` followed by
  the elements, little-endian and in C order. DTYPE is the name that NumPy and PyTorch share (``float32``,
  ``bfloat16``, ``bool`` of one byte an element); SHAPE is the lengths joined by commas, nothing for a single number.
- of all together: ``sha256:`` and the SHA-256 of ``seedbed-1|all|`` followed by the JSON object of the fingerprints by
  key, the keys in the order of their code points, no spaces, every character beyond ASCII as ``\\uXXXX``.
"""

import hashlib
import json
from collections.abc import Mapping

import numpy as np

from seedbed.bits import bits, flatten

# The fastest in hashlib (1.7 GB/s, BLAKE2b 0.8): OpenSSL uses the SHA instructions that CPUs have had since 2017.
_ALGORITHM = "sha256"
_VERSION = "seedbed-1"


def fingerprint(value: object) -> str:
    """Digest the exact bits, dtype and shape of an array, a tensor on any device, a number, or `Bits`.

    Nothing is copied that is contiguous, little-endian and in main memory already.

    Raises:
        ExperimentError: for anything that has no exact bits; see `seedbed.bits.bits`.
    """
    taken = bits(value)
    shape = ",".join(map(str, taken.shape))
    return _digest(f"{_VERSION}|{taken.dtype}|{shape}|", taken.array.reshape(-1).view(np.uint8).data)


def fingerprints(tree: object) -> dict[str, str]:
    """Fingerprint every leaf of a nested mapping, by its key: ``{"a": {"b": x}}`` gives ``{"a/b": fingerprint(x)}``.

    Raises:
        ExperimentError: naming the key; see `seedbed.bits.flatten`.
    """
    return {key: fingerprint(leaf) for key, leaf in flatten(tree).items()}


def combined(fingerprints: Mapping[str, str]) -> str:
    """Digest all fingerprints and their keys as one, in whichever order they come."""
    text = json.dumps(dict(fingerprints), sort_keys=True, separators=(",", ":"))
    return _digest(f"{_VERSION}|all|", text.encode("ascii"))


def _digest(header: str, content: bytes | memoryview) -> str:
    digest = hashlib.new(_ALGORITHM, header.encode("ascii"))
    digest.update(content)
    return f"{_ALGORITHM}:{digest.hexdigest()}"
