"""The hooks and fixtures: what pytest calls, and when."""

import argparse
import contextlib
import functools
import random
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from seedbed.errors import SeedbedError, SeedError
from seedbed.pytest_plugin.seeder import Seeder
from seedbed.seeding import DEFAULT_SEED, check_seed

if TYPE_CHECKING:
    import numpy as np

    from seedbed.pytest_plugin.child import Child
    from seedbed.pytest_plugin.mark import Question
    from seedbed.streams import Streams

_DRAWN = "random"
_ROOT = pytest.StashKey[int]()
_CHILD = pytest.StashKey["Child | None"]()
_NODE_ID = pytest.StashKey[str]()
_QUESTION = pytest.StashKey["Question"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("seedbed", "seedbed")
    group.addoption(
        "--seedbed-seed",
        type=_seed,
        default=DEFAULT_SEED,
        metavar="SEED",
        help=f"the root seed that every test's own is derived from: 0..2**32-1, or '{_DRAWN}' to draw one (default: "
        f"{DEFAULT_SEED}); switch it off with -p no:seedbed",
    )
    group.addoption("--seedbed-rerun", help=argparse.SUPPRESS)  # what `child` is told


def _seed(text: str) -> int | str:
    if text == _DRAWN:
        return text
    try:
        return check_seed(int(text))
    except SeedError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"a seed is an integer in 0..2**32-1, or {_DRAWN!r}; not {text!r}") from None


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """In a rerun: tie this process to its parent before anything of the user's is loaded."""
    _child(early_config, early_config.known_args_namespace)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Begin to seed."""
    config.addinivalue_line(
        "markers",
        'reproducible(*, vary=("rerun",), level="deterministic", rtol=None, atol=None, time_limit=600): rerun the test '
        "in fresh processes under these conditions, and fail it unless it returns the same",
    )
    config.stash[_ROOT] = _root(config)
    child = _child(config, config.option)
    if child is not None:
        child.prepare(config)
        config.pluginmanager.register(child, "seedbed-rerun")
    if child is None or child.level != "none":
        seeder = Seeder(config.stash[_ROOT], deterministic=child is not None and child.level != "seeded")
        config.pluginmanager.register(_Seeding(seeder), "seedbed-seeding")


def _child(config: pytest.Config, options: argparse.Namespace) -> "Child | None":
    if _CHILD not in config.stash:
        text = getattr(options, "seedbed_rerun", None)
        if text is not None:
            from seedbed.pytest_plugin.child import Child
        config.stash[_CHILD] = None if text is None else Child(text)
    return config.stash[_CHILD]


def _root(config: pytest.Config) -> int:
    given: int | str = config.option.seedbed_seed
    if isinstance(given, int):
        return given
    worker: dict[str, int] | None = getattr(config, "workerinput", None)
    return random.SystemRandom().getrandbits(32) if worker is None else worker["seedbed_seed"]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell xdist's worker the root seed, which it would else draw anew."""
    node.workerinput["seedbed_seed"] = node.config.stash[_ROOT]


def pytest_report_header(config: pytest.Config) -> str:
    """Say the seed."""
    return f"seedbed: {_told(config)}"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say a seed that was drawn where the header is not shown: nobody else knows it."""
    hidden = config.get_verbosity() < 0 or config.option.no_header
    if hidden and config.option.seedbed_seed == _DRAWN:
        terminalreporter.write_line(f"seedbed: {_told(config)}")


def _told(config: pytest.Config) -> str:
    return f"--seedbed-seed={config.stash[_ROOT]}"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep a test's node id as it is now: ``--dist loadgroup`` adds its group to it."""
    item.stash[_NODE_ID] = item.nodeid


def _node_id(item: pytest.Item) -> str:
    return item.stash.get(_NODE_ID, item.nodeid)


class _Seeding:
    """Seeds whatever runs the user's code, each from the root seed and its own name."""

    def __init__(self, seeder: Seeder) -> None:
        self._seeder = seeder
        seeder.start()

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        self._seeder.stop()

    @pytest.hookimpl(tryfirst=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> None:
        self._seeder.seed("collect", collector.nodeid)

    # First, and so before pytest-randomly, which then calls `reseed`.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._seeder.seed("setup", _node_id(item))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        self._seeder.seed("call", _node_id(item))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        self._seeder.seed("teardown", _node_id(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        if fixturedef.scope == "function":
            return (yield)
        # Which test comes first and so has it made must not matter, to it and to that test.
        place = (request.node.nodeid, fixturedef.baseid, fixturedef.argname)
        with self._seeder.aside("fixture", *place, _parameter(request)):
            return (yield)


def _parameter(request: Any) -> str:
    parameter = getattr(request, "param", None)
    plain = parameter is None or isinstance(parameter, str | int | float)
    return repr(parameter) if plain else f"#{request.param_index}"  # its text might hold its address


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Read the mark, before fixtures are made in vain."""
    if (mark := item.get_closest_marker("reproducible")) is None:
        return
    from seedbed.pytest_plugin.mark import read

    with _failing():
        item.stash[_QUESTION] = read(mark, item)


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    """Let an error of Seedbed's be the test's whole message."""
    try:
        yield
    except SeedbedError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Take what a marked test returns, and rerun it: pytest itself would warn of it."""
    if (question := pyfuncitem.stash.get(_QUESTION, None)) is None:
        return (yield)
    function, returned = pyfuncitem.obj, [None]

    @functools.wraps(function)
    def keep(*args: Any, **keywords: Any) -> None:
        returned.append(function(*args, **keywords))

    pyfuncitem.obj = keep
    try:
        outcome = yield
    finally:
        pyfuncitem.obj = function
    with _failing():
        _answer(pyfuncitem, question, returned[-1])
    return outcome


def _answer(item: pytest.Function, question: "Question", value: object) -> None:
    child = item.config.stash[_CHILD]
    if child is not None:
        child.done(value)
        return
    from seedbed.pytest_plugin.mark import results_of
    from seedbed.pytest_plugin.reruns import check

    results_of(value)
    check(item, question, _node_id(item), item.config.stash[_ROOT])


@pytest.fixture
def seedbed_streams(request: pytest.FixtureRequest) -> "Streams":
    """Give this test's own `seedbed.streams.Streams`: generators by name."""
    from seedbed.streams import Streams

    return Streams(request.config.stash[_ROOT]).child("pytest", _node_id(request.node))


@pytest.fixture
def rng(seedbed_streams: "Streams") -> "np.random.Generator":
    """Give a NumPy generator of this test's own."""
    return seedbed_streams.numpy("rng")


@pytest.fixture
def seedbed_device(request: pytest.FixtureRequest) -> str:
    """Give the device to compute on: ``cuda`` in the rerun of the condition `device`, else ``cpu``."""
    child = request.config.stash[_CHILD]
    return "cpu" if child is None else child.device
