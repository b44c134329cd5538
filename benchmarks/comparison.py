"""How fast results are compared, against NumPy's `assert_allclose` and torch's `assert_close`."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from benchmarks.timing import Row, in_turns
from seedbed.comparison import compare

MEGABYTES = 64
RTOL, ATOL = 1.3e-6, 1e-5  # what compare and assert_close take for float32


def measure(rounds: int) -> Iterator[Row]:
    """Compare float32 arrays of the same bits, with one element in a thousand off by 1 ULP, and with all off."""
    expected = np.random.default_rng(1337).standard_normal(MEGABYTES * 250_000, np.float32)
    off = np.nextafter(expected, np.float32(np.inf))
    few = np.where(np.arange(expected.size) % 1000, expected, off)
    cases = {"the same bits": expected.copy(), "1 in 1000 off by 1 ULP": few, "all off by 1 ULP": off}
    for what, actual in cases.items():
        tensors = torch.from_numpy(actual), torch.from_numpy(expected)
        peers = {
            "numpy.testing.assert_allclose": partial(np.testing.assert_allclose, actual, expected, RTOL, ATOL),
            "torch.testing.assert_close": partial(torch.testing.assert_close, *tensors),
        }
        times = in_turns({"ours": partial(compare, {"x": actual}, {"x": expected}), **peers}, rounds)
        for peer in peers:
            size = expected.nbytes
            yield Row(name=f"compare, {what}", ours=times["ours"], peer=peer, theirs=times[peer], size=size)
