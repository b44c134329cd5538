"""Streams: what each name gives, that it depends on nothing else, and that no two meet."""

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from enum import Enum
from hashlib import blake2b
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedbed.errors import ConfigError, SeedError, shown
from seedbed.ranks import LAUNCHERS
from seedbed.streams import Streams

NAMES = st.lists(st.text(max_size=8) | st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=3)
S = Streams(1337)

FIRST: dict[str, Callable[[Streams, Any], bytes]] = {
    "numpy": lambda streams, name: streams.numpy(name).bytes(8),
    "random_state": lambda streams, name: streams.sklearn(name, instance=True).bytes(8),
    "torch": lambda streams, name: (
        torch.randint(-(2**63), 2**63 - 1, (1,), generator=streams.torch(name)).numpy().tobytes()
    ),
    "python": lambda streams, name: streams.python(name).randbytes(8),
}
"""The first 64 bits of a stream, by what makes it."""


def test_golden() -> None:
    """As first seen with version 1 of the derivation: CPython 3.11.7, NumPy 2.4.6, torch 2.13.0+cpu."""
    assert S.numpy("augment").integers(0, 2**63, 3).tolist() == [
        3174581093300175565,
        6006061764702869475,
        1649164246041509127,
    ]
    assert S.numpy("fold", 3, "init").random(2).tolist() == [0.990660021067588, 0.4242197714245608]
    assert S.sklearn("split") == 1442617316
    assert S.sklearn("split", instance=True).randint(0, 2**31, 3).tolist() == [564125359, 1504893305, 2091507415]
    assert S.torch("init").initial_seed() == 10630297056806268767
    assert torch.randint(0, 2**31, (3,), generator=S.torch("init")).tolist() == [1137812638, 966117748, 971273772]
    assert S.python("names").getrandbits(64) == 15723429858764790787
    assert S.per_rank(2).numpy("dropout").random(2).tolist() == [0.11088993764146471, 0.45741848342552105]
    assert S.sequence("other").generate_state(2).tolist() == [1602423608, 4180309713]
    assert Streams(0).numpy("ä", -1).random(1).tolist() == [0.581688860965905]
    assert Streams(2**32 - 1).numpy(0).random(1).tolist() == [0.5181418815704393]


def test_the_derivation_is_what_its_documentation_says() -> None:
    text = '["numpy","fold",3,["rank",2],"\\u00e4"]'
    digest = blake2b(text.encode(), digest_size=16, person=b"seedbed-1").digest()
    key = [int.from_bytes(digest[place : place + 4], "little") for place in range(0, 16, 4)]
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence(1337, spawn_key=key)))
    assert S.child("fold", 3).per_rank(2).numpy("ä").bytes(64) == expected.bytes(64)


@pytest.mark.parametrize("kind", FIRST)
def test_ten_thousand_names_do_not_share_their_first_64_bits(kind: str) -> None:
    assert len({FIRST[kind](S, name) for name in range(10_000)}) == 10_000


def test_torch_tells_streams_apart_beyond_32_bits_of_a_seed() -> None:
    # Two seeds that torch's CPU generator itself cannot tell apart:
    assert torch.equal(*(torch.rand(3, generator=torch.Generator().manual_seed(s)) for s in (5, 5 + 2**32)))
    states = {S.torch("a", n).get_state()[24:].numpy().tobytes() for n in range(100)}
    assert len(states) == 100
    words = S.torch("a").get_state().numpy()[24 : 24 + 624 * 8].view(np.uint64)
    assert words[0] == 2**31
    assert words.max() < 2**32
    assert len(set(words.tolist())) > 620  # 624 words that a seed of 32 bits would have made one from another


@given(names=NAMES, other=NAMES, seed=st.integers(0, 2**32 - 1))
def test_a_stream_is_its_seed_and_name_and_nothing_else(names: list[Any], other: list[Any], seed: int) -> None:
    streams = Streams(seed)
    drawn = streams.numpy(*names).bytes(16)
    streams.numpy(*other).bytes(16)
    assert streams.child(*names[:1]).numpy(*names).bytes(16) != drawn
    assert Streams(seed).numpy(*names).bytes(16) == drawn
    assert (streams.numpy(*other).bytes(16) == drawn) == (names == other)
    assert Streams(seed ^ 1).numpy(*names).bytes(16) != drawn


@given(names=NAMES, more=NAMES)
def test_a_childs_stream_is_the_longer_names(names: list[Any], more: list[Any]) -> None:
    child = S.child(*names)
    assert child.python(*more).random() == S.python(*names, *more).random()
    assert child.sklearn(*more) == S.sklearn(*names, *more)


@pytest.mark.parametrize(
    "pair", [(("3",), (3,)), (("a", "b"), ("ab",)), (("a", "b"), ('a","b',)), (("é",), ("e\u0301",))]
)
def test_names_that_look_alike_are_different(pair: tuple[tuple[str | int, ...], tuple[str | int, ...]]) -> None:
    assert len({S.numpy(*names).bytes(8) for names in pair}) == 2


def test_kinds_of_one_name_are_independent() -> None:
    assert len({first(S, "a") for first in FIRST.values()}) == len(FIRST)


def test_a_member_of_an_enumeration_is_the_text_it_equals() -> None:
    class Split(str, Enum):  # noqa: UP042 - whose own text is another, unlike StrEnum's
        TRAIN = "train"

    assert S.numpy(Split.TRAIN).bytes(8) == S.numpy("train").bytes(8)


@pytest.mark.parametrize("path", [(1.5,), (True,), (("rank", -1),), (("rank", True),), (("rank",),), (None,)])
def test_a_path_is_made_of_names_and_ranks(path: Any) -> None:
    with pytest.raises(ConfigError, match="must be"):
        Streams(1, path)


def test_numbers_of_numpy_are_names_like_pythons() -> None:
    assert S.numpy(np.int64(3), np.str_("a")).bytes(8) == S.numpy(3, "a").bytes(8)
    assert Streams(np.uint32(7)) == Streams(7)  # type: ignore[arg-type]


def test_streams_are_a_value() -> None:
    assert S.child("a", 1) == Streams(1337).child("a").child(1)
    assert hash(S.child("a")) == hash(Streams(1337).child("a"))
    assert Streams(1338) != S
    assert Streams() == S


def test_a_fresh_generator_every_time() -> None:
    assert S.numpy("a") is not S.numpy("a")
    assert S.numpy("a").random() == S.numpy("a").random()


NO_NAMES: list[tuple[Any, ...]] = [(), (True,), (1.5,), (None,), ("a", b"b"), (("rank", 0),)]
NO_NAMES += [(2**64,), (10**5000,), ("\ud83d\ude00",)]


@pytest.mark.parametrize("names", NO_NAMES, ids=map(shown, NO_NAMES))
def test_what_is_no_name_is_refused(names: tuple[Any, ...]) -> None:
    refusal = "needs a name" if not names else "name must be text .* or an integer within 64 bits, not "
    for make in (S.child, S.numpy, S.sklearn, S.torch, S.python, S.sequence):
        with pytest.raises(ConfigError, match=refusal):
            make(*names)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "7", None, True])
def test_a_root_seed_is_a_seed(seed: Any) -> None:
    with pytest.raises(SeedError, match="a seed must be an integer"):
        Streams(seed)


def test_the_rank_makes_the_difference_where_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (name for pair in LAUNCHERS for name in pair):
        monkeypatch.delenv(name, raising=False)
    assert S.per_rank() == S.per_rank(0) != S.per_rank(1)
    for world_size in ("2", "8"):
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", world_size)
        assert S.per_rank() == S.per_rank(1)
        assert S.numpy("init").bytes(8) == Streams(1337).numpy("init").bytes(8)
    assert S.child("rank", 1) != S.per_rank(1)
    for wrong in (-1, True, 1.0, "1", 2**63):
        with pytest.raises(ConfigError, match=f"a rank must be an integer from 0 up, not {wrong!r}"):
            S.per_rank(wrong)  # type: ignore[arg-type]


PROGRAM = """
import json
from seedbed import Streams
s = Streams(1337)
print(json.dumps([s.numpy("a").random(), s.sklearn("a"), s.python("a").random(), s.torch("a").initial_seed()]))
"""


@pytest.mark.parametrize("hashseed", ["0", "1", "random"])
def test_every_process_and_hash_seed_gives_the_same(hashseed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", hashseed)
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        S.numpy("a").random(),
        S.sklearn("a"),
        S.python("a").random(),
        S.torch("a").initial_seed(),
    ]


def draw(streams: Streams) -> float:
    return streams.numpy("a").random()


def test_streams_can_be_handed_to_another_process() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(draw, [S.child("x")]) == [S.child("x").numpy("a").random()]


def test_a_generator_of_a_stream_is_private() -> None:
    state = torch.get_rng_state()
    torch.rand(3, generator=S.torch("a"))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_stream_on_a_gpu() -> None:
    a, again, b = (torch.rand(4, generator=S.torch(n, device="cuda"), device="cuda").cpu() for n in ("a", "a", "b"))
    assert torch.equal(a, again)
    assert not torch.equal(a, b)
    assert S.torch("a", device="cuda").initial_seed() == S.torch("a").initial_seed()
