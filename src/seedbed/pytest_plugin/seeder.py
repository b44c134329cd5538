"""Seeds for the generators that a test draws from without saying so, derived from a root seed and a name."""

import contextlib
import json
import random
import sys
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from seedbed.rng_state import capture
from seedbed.rng_state.generators import loaded
from seedbed.seeding import set_torch

LIBRARIES = ("numpy.random", "torch")
"""The modules that have a generator of their own, seeded as soon as they are loaded."""

_active: list["Seeder"] = []
"""More than one where a test runs pytest in its own process (`pytester`)."""


def derive(root: int, *names: str) -> int:
    """Derive a seed of 32 bits: no generator that is seeded with it takes more.

    Not from `Streams`, which needs NumPy: the first 4 bytes of BLAKE2b, personalised with ``seedbed-1``, over the JSON
    of the root seed and the names.
    """
    text = json.dumps([root, *names], separators=(",", ":"))
    return int.from_bytes(blake2b(text.encode("ascii"), digest_size=4, person=b"seedbed-1").digest(), "little")


class Seeder:
    """Seeds Python's, NumPy's legacy and torch's default generators by name.

    A library that is not loaded is not loaded for it: it is seeded when something else loads it, so that a test that
    does so by itself draws what it would draw after another one that did.

    With `deterministic`, torch's flags are set too, once, when torch is first seen.
    """

    def __init__(self, root: int, *, deterministic: bool = False) -> None:
        self.root = root
        self._deterministic = deterministic
        self._finder = _Finder(self)
        self._number = derive(root, "session")

    def start(self) -> None:
        """Seed from now on what is loaded later."""
        self._before = capture()
        sys.meta_path.insert(0, self._finder)
        _active.append(self)
        self.again()

    def stop(self) -> None:
        """Put the generators back into the state that they had at the start, those that were loaded then."""
        _active.remove(self)
        with contextlib.suppress(ValueError):  # a test may have put sys.meta_path back
            sys.meta_path.remove(self._finder)
        self._before.write({})

    def seed(self, *names: str) -> None:
        """Seed everything that is loaded for what `names` say."""
        self._number = derive(self.root, *names)
        self.again()

    def again(self) -> None:
        """Seed everything that is loaded as it was last: somebody else may have seeded it since."""
        random.seed(self._number)
        for name in filter(loaded, LIBRARIES):
            self.seed_library(name)

    def seed_library(self, name: str) -> None:
        """Seed one of `LIBRARIES`."""
        if name == "torch":
            set_torch(self._number, deterministic=self._deterministic)
            self._deterministic = False  # a test may choose others later
        else:  # not through the attribute of numpy, which is set after this module is loaded
            sys.modules[name].seed(self._number)

    @contextlib.contextmanager
    def aside(self, *names: str) -> Iterator[None]:
        """Seed for what `names` say, and afterwards go on as if nothing had been drawn in between."""
        before, number = capture(), self._number
        self.seed(*names)
        try:
            yield
        finally:
            self._number = number
            self.again()  # for a library that was loaded in between
            before.write({})


class _Finder(MetaPathFinder):
    """Finds modules as the other finders do, and has those of `LIBRARIES` seeded once they are loaded."""

    def __init__(self, seeder: Seeder) -> None:
        self._seeder = seeder

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in LIBRARIES:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                return self._then_seeded(spec)
        return None

    def _then_seeded(self, spec: ModuleSpec) -> ModuleSpec:
        loader = spec.loader
        if loader is not None:
            # On the loader itself, not on one around it: others ask a module's loader for its source and its files.
            execute = loader.exec_module

            def execute_and_seed(module: ModuleType) -> None:
                execute(module)
                self._seeder.seed_library(spec.name)

            loader.exec_module = execute_and_seed  # type: ignore[method-assign]
        return spec


def reseed(seed: int) -> None:
    """Seed torch, as pytest-randomly asks of every entry point ``pytest_randomly.random_seeder``.

    It does so before every phase of every test, after it has seeded `random` and NumPy. While this plugin seeds the
    tests, its own seed counts, for all three. Otherwise (``-p no:seedbed``), torch is given the low 32 bits of `seed`,
    which may have more.
    """
    if _active:
        _active[-1].again()
    elif loaded("torch"):
        set_torch(seed % 2**32)
