"""Named streams: generators that are derived from one root seed and a name, and from nothing else.

The derivation, version 1, is the same on every platform; golden values in the tests pin it:

1. The path of a stream is a list: its kind (``numpy``, ``sklearn``, ``torch``, ``python``, ``sequence``), then the
   names of the `Streams` it comes from and its own. A rank stands in it as ``["rank", 3]``.
2. It is written as JSON without spaces, ASCII only: ``["numpy","fold",3]``.
3. The key is that text's BLAKE2b digest of 16 bytes, personalised with ``seedbed-1``, as four little-endian uint32.
4. The stream is NumPy's ``SeedSequence(root_seed, spawn_key=key)``, which mixes the two into as many bits as are asked
   for (https://numpy.org/doc/stable/reference/random/bit_generators/generated/numpy.random.SeedSequence.html).
"""

import json
from dataclasses import dataclass
from hashlib import blake2b
from numbers import Integral
from operator import index
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsIndex, TypeAlias, overload

from seedbed.errors import ConfigError, shown
from seedbed.ranks import current_rank
from seedbed.seeding import DEFAULT_SEED, check_seed

if TYPE_CHECKING:
    import random

    import numpy as np
    import torch

Name: TypeAlias = str | SupportsIndex

_PERSON = b"seedbed-1"
_MT19937_WORDS = 624
_TORCH_STATE = slice(24, 24 + 8 * _MT19937_WORDS)
"""Where the words of the Mersenne Twister are in ``torch.Generator.get_state()``, each as uint64: after the initial
seed and two counters (CPUGeneratorImplStateLegacy in aten/src/ATen/CPUGeneratorImpl.cpp)."""


@dataclass(frozen=True, slots=True)
class Streams:
    """Generators by name, each independent of all others.

    ::

        streams = Streams(1337)
        rng = streams.numpy("augment")  # a np.random.Generator
        for epoch in range(10):
            noise = streams.numpy("noise", epoch)  # another one every epoch

    A stream depends on the root seed and its name alone: not on the order of calls, on other streams, on the process,
    the hash seed or the platform. Asking twice for one name therefore gives two generators that draw the same numbers:
    ask once and keep what you got, or put into the name what shall make the difference.

    `Streams` have no state: they are a value, equal to any other with the same seed and path, and can be handed to
    other processes. The generators that they give do have one; `seedbed.rng_state` saves it.

    Parameters
    ----------
    seed
        The root seed, an integer in 0..2**32-1.

    Raises
    ------
    SeedError
        If `seed` is anything else.
    """

    seed: int = DEFAULT_SEED
    path: tuple[object, ...] = ()
    """The names so far; `child` makes it longer."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "path", tuple(map(_checked_step, self.path)))

    def child(self, *names: Name) -> Self:
        """Give the streams under a name: ``child("fold", 3).numpy("init")`` is ``numpy("fold", 3, "init")``.

        A name is text or an integer within 64 bits, and ``3`` is another name than ``"3"``.

        Raises
        ------
        ConfigError
            If there is no name, or one is neither text nor an integer.
        """
        return type(self)(self.seed, (*self.path, *_checked(names)))

    def per_rank(self, rank: int | None = None) -> Self:
        """Give the streams of this process among several, which differ from rank to rank.

        `Streams` themselves are the same on all ranks: take initial weights and data splits from those, and what must
        differ (dropout, augmentation) from ``per_rank()``. How many ranks there are makes no difference.

        Parameters
        ----------
        rank
            Which process this is; if None, what `seedbed.ranks.current_rank` says now: call it after
            ``init_process_group``, or under a launcher.

        Raises
        ------
        ConfigError
            If `rank` is no integer from 0 up, or a launcher's variables contradict themselves.
        """
        number = current_rank().rank if rank is None else rank
        return type(self)(self.seed, (*self.path, ("rank", number)))

    def numpy(self, *names: Name) -> "np.random.Generator":
        """Make NumPy's ``Generator`` of this name, which draws from a PCG64."""
        import numpy as np

        return np.random.Generator(np.random.PCG64(self._sequence("numpy", names)))

    @overload
    def sklearn(self, *names: Name, instance: Literal[False] = False) -> int: ...

    @overload
    def sklearn(self, *names: Name, instance: Literal[True]) -> "np.random.RandomState": ...

    def sklearn(self, *names: Name, instance: bool = False) -> "int | np.random.RandomState":
        """Make a value for scikit-learn's ``random_state``: an integer, or with `instance` a ``RandomState``.

        A splitter of cross-validation needs the integer, so that it splits alike every time; so does an estimator that
        shall fit alike every time. An instance draws on from fit to fit
        (https://scikit-learn.org/stable/common_pitfalls.html#controlling-randomness). An integer has 32 bits only,
        which is all that scikit-learn takes: among 10 000 names two are equal with a chance of one in a hundred. The
        instance draws from a PCG64, whose state is not what ``get_state(legacy=True)`` is for.
        """
        import numpy as np

        sequence = self._sequence("sklearn", names)
        if instance:  # not MT19937: to fill its state from a sequence takes NumPy 90 microseconds
            return np.random.RandomState(np.random.PCG64(sequence))
        return int(sequence.generate_state(1)[0])

    def torch(self, *names: Name, device: "str | torch.device" = "cpu") -> "torch.Generator":
        """Make a ``torch.Generator`` of this name on a device; on CUDA, that starts CUDA.

        The CPU's would keep 32 bits of a seed. Here the whole of its state comes from the stream, so that two names
        do not meet; ``initial_seed()`` is another number of the stream. Draws on one kind of device are others than
        on another: torch uses another algorithm there.
        """
        import torch

        sequence = self._sequence("torch", names)
        generator = torch.Generator(device)
        generator.manual_seed(int(sequence.generate_state(1, "uint64")[0]))
        if generator.device.type == "cpu":
            _fill_state(generator, sequence)
        return generator

    def python(self, *names: Name) -> "random.Random":
        """Make Python's ``random.Random`` of this name, seeded with 128 bits."""
        import random

        return random.Random(int.from_bytes(self._sequence("python", names).generate_state(4).astype("<u4").tobytes()))

    def sequence(self, *names: Name) -> "np.random.SeedSequence":
        """Make NumPy's ``SeedSequence`` of this name, from which any of its bit generators can be made."""
        return self._sequence("sequence", names)

    def _sequence(self, kind: str, names: tuple[Name, ...]) -> "np.random.SeedSequence":
        import numpy as np

        path = json.dumps([kind, *self.path, *_checked(names)], separators=(",", ":"))
        digest = blake2b(path.encode("ascii"), digest_size=16, person=_PERSON).digest()
        return np.random.SeedSequence(self.seed, spawn_key=np.frombuffer(digest, "<u4").tolist())


def as_streams(seed: "SupportsIndex | Streams") -> Streams:
    """Give streams as they are, and those of a root seed.

    Raises
    ------
    SeedError
        If `seed` is neither streams nor a seed.
    """
    return seed if isinstance(seed, Streams) else Streams(check_seed(seed))


def _checked(names: tuple[Name, ...]) -> tuple[str | int, ...]:
    if not names:
        raise ConfigError('a stream needs a name: text, or an integer, or several: streams.numpy("augment", epoch)')
    return tuple(map(_checked_name, names))


def _checked_name(name: Any) -> str | int:
    if isinstance(name, str) and _is_unicode(name):
        return str.__str__(name)  # of a subclass too, whose own `str` may say something else
    if not isinstance(name, bool) and isinstance(name, Integral) and -(2**63) <= index(name) < 2**64:
        return index(name)
    raise ConfigError(
        f"a stream's name must be text (no lone surrogates) or an integer within 64 bits, not {shown(name)} "
        f"({type(name).__name__})"
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: two of them would be written as one character is
        return False
    return True


def _checked_step(step: object) -> object:
    """Check one step of a path: a name, or a rank."""
    if not (isinstance(step, tuple) and len(step) == 2 and step[0] == "rank"):
        return _checked_name(step)
    rank = step[1]
    if isinstance(rank, bool) or not isinstance(rank, Integral) or not 0 <= index(rank) < 2**63:
        raise ConfigError(f"a rank must be an integer from 0 up, not {shown(rank)} ({type(rank).__name__})")
    return "rank", index(rank)


def _fill_state(generator: "torch.Generator", sequence: "np.random.SeedSequence") -> None:
    """Fill torch's Mersenne Twister with the first 312 raw outputs of the sequence's PCG64, the low half of each first.

    The first of the 624 words is 2**31, as MT19937 uses no more than its highest bit, and may not be all zero.
    """
    import numpy as np

    words = np.random.PCG64(sequence).random_raw(_MT19937_WORDS // 2).astype("<u8").view("<u4").astype(np.uint64)
    words[0] = 2**31
    state: Any = generator.get_state()
    state.numpy()[_TORCH_STATE] = words.view(np.uint8)
    generator.set_state(state)
