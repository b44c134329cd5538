"""Philox against the values that its authors published."""

import pytest
import torch

from seedbed.portable.philox import philox, words

# https://github.com/DEShawResearch/random123, tests/kat_vectors: philox4x32, 10 rounds
PUBLISHED = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), PUBLISHED)
def test_the_published_values(counter: list[int], key: list[int], expected: list[int]) -> None:
    c0, c1, c2, c3 = (torch.tensor([word]) for word in counter)
    found = philox((c0, c1, c2, c3), (key[0], key[1]))
    assert [word.item() for word in found] == expected


def test_counters_and_keys_are_split_into_words_of_32_bits() -> None:
    start, key = 2**40 + 5, -(2**63) + 12345
    found = words(start, start + 2, key, torch.device("cpu"))
    c0, c1, c2, c3 = (torch.tensor([word]) for word in (6, 2**8, 0, 0))
    expected = philox((c0, c1, c2, c3), (12345, 0x80000000))
    (w0, w2), (w1, w3) = (each[:, 1].tolist() for each in found)
    assert [w0, w1, w2, w3] == [word.item() for word in expected]
