"""The pytest plugin, in pytest runs of its own."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from seedbed import condition
from seedbed.environment import InForce
from seedbed.promise import IDENTICAL
from seedbed.pytest_plugin import hooks, reruns, reseed
from seedbed.pytest_plugin.mark import Question
from seedbed.pytest_plugin.reruns import Outcome
from seedbed.pytest_plugin.seeder import derive
from seedbed.rerun.messages import Finished
from seedbed.rng_state import capture
from seedbed.streams import Streams

OTHERS = ("randomly", "xdist", "cov", "hypothesispytest")


def alone(*but: str) -> list[str]:
    """Options that leave the other plugins out, `but` those."""
    return [word for name in OTHERS if name not in but for word in ("-p", f"no:{name}")]


# seeds

NOTE = """
    import json, random
    import numpy as np
    import pytest

    def drawn():
        return [random.random(), np.random.rand()]

    @pytest.fixture
    def note(request):
        def note(*values):
            with open("draws.jsonl", "a") as file:
                print(json.dumps([request.node.nodeid.partition("@")[0], values]), file=file)
        return note
"""

Draws = dict[str, Any]


def draws(pytester: pytest.Pytester, *args: str, apart: bool = False, passed: int | None = None) -> Draws:
    """Run the tests, and give what each noted; `apart`: in a process of its own."""
    path = pytester.path / "draws.jsonl"
    path.unlink(missing_ok=True)
    run = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
    result = run(*args)
    noted = dict(json.loads(line) for line in path.read_text().splitlines())
    result.assert_outcomes(passed=passed or len(noted))
    return noted


SUITE = """
    import random
    import numpy as np
    import pytest
    import torch

    @pytest.fixture
    def data():
        return [random.random(), np.random.rand(), torch.rand(1).item()]

    @pytest.fixture
    def more():
        return random.random()

    @pytest.mark.parametrize("n", [1, 2])
    def test_first(n, data, note):
        note(data, random.random(), np.random.rand(), torch.rand(1).item())

    def test_second(note):
        note(random.random(), np.random.rand(), torch.rand(1).item())

    def test_third(data, more, note):
        note(random.random(), np.random.rand(), torch.rand(1).item())
"""


def test_a_test_draws_by_the_root_seed_and_its_own_name(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(NOTE)
    pytester.makepyfile(test_a=SUITE)
    whole = draws(pytester, *alone())
    assert len(whole) == len({json.dumps(values) for values in whole.values()}) == 4
    name = "test_a.py::test_second"
    assert draws(pytester, *alone(), "-k", "second") == {name: whole[name]}
    backwards = draws(pytester, *alone(), name, "test_a.py::test_first[2]", "test_a.py::test_first[1]")
    assert list(backwards) == [name, "test_a.py::test_first[2]", "test_a.py::test_first[1]"]
    assert backwards == {name: whole[name] for name in backwards}
    other = draws(pytester, *alone(), "--seedbed-seed=1338")
    assert other.keys() == whole.keys()
    assert not [name for name in whole if other[name] == whole[name]]


def test_what_fixtures_draw_does_not_move_what_the_test_draws(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(NOTE)
    pytester.makepyfile(test_a=SUITE)
    before = draws(pytester, *alone())
    pytester.makepyfile(test_a=SUITE.replace("return random.random()", "return random.random() + random.random()"))
    assert draws(pytester, *alone()) == before


def test_without_the_plugin_a_test_draws_something_else_every_time(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(NOTE)
    pytester.makepyfile(test_a=SUITE)
    run = [*alone(), "-p", "no:seedbed", "-k", "second"]
    assert draws(pytester, *run) != draws(pytester, *run)


def test_xdist_makes_no_difference(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(NOTE)
    pytester.makepyfile(
        test_a="""
            import pytest
            from conftest import drawn

            @pytest.mark.xdist_group("one")
            @pytest.mark.parametrize("n", range(3))
            def test_grouped(n, rng, note):
                note(drawn(), rng.random())

            @pytest.mark.parametrize("n", range(3))
            def test_free(n, rng, note):
                note(drawn(), rng.random())
        """
    )
    plain = draws(pytester, *alone("xdist"))
    assert draws(pytester, *alone("xdist"), "-n2", "--dist=loadgroup", apart=True) == plain


def test_the_group_that_xdist_adds_to_a_node_id_does_not_count() -> None:
    item: Any = SimpleNamespace(stash=pytest.Stash(), nodeid="test_a.py::test_it")
    assert hooks._node_id(item) == "test_a.py::test_it"
    hooks.pytest_itemcollected(item)
    item.nodeid += "@one"  # so it does in pytest 8; in pytest 9.2, xdist 3.8 tries and cannot
    assert hooks._node_id(item) == "test_a.py::test_it"


def test_a_wide_fixture_draws_by_its_own_name_whoever_comes_first(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        NOTE
        + """
    @pytest.fixture(scope="session")
    def base():
        return drawn()

    @pytest.fixture(scope="session", params=[3, (4,)])
    def data(base, request):
        return drawn()

    class Setup:
        @classmethod
        def setup_class(cls):
            cls.data = drawn()
    """
    )
    pytester.makepyfile(
        test_a="""
            from conftest import Setup, drawn

            def test_first(data, base, note):
                note(data, base, drawn())

            def test_late(request, note):
                before = drawn()
                note(before, request.getfixturevalue("base"), drawn())

            class TestOfAClass(Setup):
                def test_it(self, note):
                    note(self.data)
        """,
        test_b="from test_a import test_late",
    )
    whole = draws(pytester, *alone())
    assert len(whole) == 5
    assert len({json.dumps(values) for values in whole.values()}) == 5
    for name, noted in whole.items():
        assert draws(pytester, *alone(), name) == {name: noted}
    names = list(reversed(whole))
    assert draws(pytester, *alone(), *names) == whole


def test_what_a_module_draws_when_it_is_loaded_has_a_seed_too(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(NOTE)
    pytester.makepyfile(
        test_a="from conftest import drawn\nX = drawn()\ndef test_it(note): note(X)",
        test_b="from conftest import drawn\nX = drawn()\ndef test_it(note): note(X)",
    )
    whole = draws(pytester, *alone())
    assert whole["test_a.py::test_it"] != whole["test_b.py::test_it"]
    assert draws(pytester, *alone(), "test_b.py").items() <= whole.items()


def test_a_library_that_a_test_loads_itself_is_seeded_then(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import json
        import pytest

        @pytest.fixture
        def note(request):
            def note(*values):
                with open("draws.jsonl", "a") as file:
                    print(json.dumps([request.node.nodeid, values]), file=file)
            return note
        """
    )
    pytester.makepyfile(
        test_a="""
            import sys
            import pytest

            def test_nothing_is_loaded(note):
                note([name for name in ("numpy", "torch", "msgspec", "rich", "seedbed.streams") if name in sys.modules])

            def test_first(note):
                import numpy, torch
                note(numpy.random.rand(), torch.rand(1).item())

            def test_second(note):
                import numpy, torch
                note(numpy.random.rand(), torch.rand(1).item())

            @pytest.fixture(scope="session")
            def loaded():
                import numpy
                return numpy.random.rand()

            @pytest.fixture
            def after(loaded):
                import numpy
                return numpy.random.rand()

            def test_third(loaded, after, note):
                note(loaded, after)
        """
    )
    whole = draws(pytester, *alone(), apart=True)
    assert whole["test_a.py::test_nothing_is_loaded"] == [[]]
    assert whole["test_a.py::test_first"] != whole["test_a.py::test_second"]
    for name in ("test_a.py::test_second", "test_a.py::test_third"):
        assert draws(pytester, *alone(), name, apart=True) == {name: whole[name]}


def test_what_a_test_puts_in_a_librarys_place_is_not_seeded(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys
        from types import ModuleType, SimpleNamespace
        import pytest

        @pytest.mark.parametrize("fake", [SimpleNamespace(), ModuleType("torch"), None])
        @pytest.mark.parametrize("name", ["torch", "numpy.random", "numpy"])
        def test_fake(name, fake, monkeypatch):
            monkeypatch.setitem(sys.modules, name, fake)

        def test_after(): pass
        """
    )
    pytester.runpytest_inprocess(*alone()).assert_outcomes(passed=10)


def test_the_fixtures_give_generators_of_the_test_alone(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(NOTE)
    pytester.makepyfile(
        test_a="""
            def test_it(rng, seedbed_streams, seedbed_device, note):
                note(rng.random(), seedbed_streams.python("x").random(), seedbed_device)
        """
    )
    streams = Streams(7).child("pytest", "test_a.py::test_it")
    expected = [streams.numpy("rng").random(), streams.python("x").random(), "cpu"]
    assert draws(pytester, *alone(), "--seedbed-seed=7") == {"test_a.py::test_it": expected}


def test_a_derived_seed_is_the_same_everywhere() -> None:
    assert derive(1337, "call", "tests/test_a.py::test_b") == 2023127538  # made by derivation as it was first written
    assert derive(1337, "call", "tests/test_ä.py::test_b") != derive(1337, "call", "tests/test_a.py::test_b")
    assert derive(1338, "call", "tests/test_a.py::test_b") != derive(1337, "call", "tests/test_a.py::test_b")


def state() -> list[Any]:
    now = capture()
    assert now.numpy is not None
    key = now.numpy["state"]["key"].tolist()
    return [now.python, key, now.numpy["state"]["pos"], now.torch["cpu"].tolist(), list(sys.meta_path)]


def test_the_generators_are_put_back_afterwards(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE.replace("note(", "print(").replace(", note", "").replace("note", ""))
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    before = state()
    pytester.runpytest_inprocess(*alone()).assert_outcomes(passed=4)
    assert state() == before


# the option


def test_the_header_says_the_seed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    pytester.runpytest_inprocess(*alone()).stdout.fnmatch_lines(["seedbed: --seedbed-seed=1337"])
    pytester.runpytest_inprocess(*alone(), "-p", "no:seedbed").stdout.no_fnmatch_line("seedbed: *")


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        ("4294967296", "a seed must be an integer in 0..2**32-1, not 4294967296*"),
        ("-1", "a seed must be an integer in 0..2**32-1, not -1*"),
        ("today", "a seed is an integer in 0..2**32-1, or 'random'; not 'today'"),
    ],
)
def test_a_seed_that_is_none_is_a_usage_error(pytester: pytest.Pytester, seed: str, reason: str) -> None:
    result = pytester.runpytest_inprocess(*alone(), f"--seedbed-seed={seed}")
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*argument --seedbed-seed: {reason}"])


def told(result: pytest.RunResult) -> str:
    (line,) = [line for line in result.outlines if line.startswith("seedbed: ")]
    return line.removeprefix("seedbed: ")


@pytest.mark.parametrize("options", [(), ("-q",), ("-q", "-n1")])
def test_a_seed_that_was_drawn_is_said_and_can_be_given_again(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makeconftest(NOTE)
    pytester.makepyfile(test_a="from conftest import drawn\ndef test_it(note): note(drawn())")
    run = pytester.runpytest_subprocess if "-n1" in options else pytester.runpytest_inprocess
    option = told(run(*alone("xdist"), "--seedbed-seed=random", *options))
    noted = dict([json.loads((pytester.path / "draws.jsonl").read_text())])
    assert draws(pytester, *alone(), option) == noted
    assert draws(pytester, *alone(), "--seedbed-seed=random") != noted


# beside pytest-randomly


def test_pytest_randomly_finds_the_seeder() -> None:
    (found,) = [each for each in entry_points(group="pytest_randomly.random_seeder") if each.name == "seedbed"]
    assert found.load() is reseed


@pytest.mark.parametrize("first", ["randomly", "seedbed"])  # what is loaded first is called last
def test_pytest_randomly_orders_and_seedbed_seeds(pytester: pytest.Pytester, first: str) -> None:
    pytester.makeconftest(NOTE)
    pytester.makepyfile(test_a=SUITE)
    plain = draws(pytester, *alone())
    both = ["-p", first, *alone("randomly")]
    orders = {f"{2**33 + seed}": draws(pytester, *both, f"--randomly-seed={2**33 + seed}") for seed in range(4)}
    assert [noted for noted in orders.values() if noted != plain] == []
    assert len({tuple(noted) for noted in orders.values()}) > 1


def test_without_seedbeds_seeds_pytest_randomly_seeds_torch_too(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seedbed.pytest_plugin.seeder._active", [])  # the seeder of the run that this test is in
    pytester.makeconftest(NOTE)
    pytester.makepyfile(test_a="import torch\ndef test_it(note): note(torch.rand(2).tolist())")
    run = [*alone("randomly"), "-p", "no:seedbed"]
    noted = draws(pytester, *run, "--randomly-seed=5")
    assert draws(pytester, *run, "--randomly-seed=5") == noted
    assert draws(pytester, *run, "--randomly-seed=6") != noted


@pytest.mark.parametrize("seed", [7, 2**32 + 7, 2**40 + 7])
def test_torch_is_given_the_low_32_bits_of_a_seed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seedbed.pytest_plugin.seeder._active", [])
    with torch.random.fork_rng():
        reseed(seed)
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(7)))
    monkeypatch.delitem(sys.modules, "torch")
    reseed(seed)  # nothing to seed, and nothing loaded for it
    assert "torch" not in sys.modules


# reruns


def test_a_test_is_rerun_and_held_to_the_same_bits(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers")
    pytester.makeconftest(
        """
        import pytest

        def pytest_addoption(parser):
            parser.addoption("--size", type=int)

        @pytest.fixture
        def size(request):
            return request.config.getoption("--size")
        """
    )
    pytester.makepyfile(
        test_a="""
            import os, random, uuid
            import numpy as np
            import pytest

            @pytest.mark.reproducible
            class TestIt:
                @pytest.mark.parametrize("x", ["a b", "a::b[c-d]", "ä/%$'"])
                def test_same(self, x, size, rng, tmp_path):
                    (tmp_path / "x").write_text(x)
                    return {"x": rng.random(size), "y": [random.random(), np.random.rand()], "z": [{"d": size}, 1]}

            @pytest.mark.reproducible(vary="hashseed")
            def test_hash():
                return hash("a"), np.float32(1)

            @pytest.mark.reproducible(vary=["threads"])
            def test_other_bits():
                return {"x": np.float32([1, 2, 3]) + (os.environ.get("OMP_NUM_THREADS") == "1") * 2e-7}

            @pytest.mark.reproducible(rtol=1e-6, vary=["threads"])
            def test_close():
                return np.float32([1, 2, 3]) + (os.environ.get("OMP_NUM_THREADS") == "1") * 2e-7

            @pytest.mark.reproducible(atol=1.0)
            def test_not_close():
                return uuid.uuid4().int >> 65
        """
    )
    result = pytester.runpytest_inprocess(*alone(), "--size=3", "-rP")
    result.assert_outcomes(passed=4, failed=3)
    result.stdout.fnmatch_lines(
        [
            "*_ test_hash _*",
            "the test did not return the same bits (level deterministic, --seedbed-seed=1337):",
            "  hashseed=1338: different: 1 of 2 results, the worst result/0: 1 of 1 elements, *",
            "it did here:",
            "  rerun=process: same bits in all 2 results",
            "*_ test_other_bits _*",
            "the test did not return the same bits (level deterministic, --seedbed-seed=1337):",
            "  threads=1: close: 1 of 1 results, the worst x: 3 of 3 elements, at most 2 ulp, *",
            "it did here:",
            "  rerun=process: same bits in all 1 results",
            "*_ test_not_close _*",
            "the test did not return the same within atol 1.0 (level deterministic, --seedbed-seed=1337):",
            "  rerun=process: different: *",
            "*_ test_close _*",
            "*Captured seedbed call*",
            "  rerun=process: same bits in all 1 results",
            "  threads=1: close: *",
        ]
    )


def test_a_rerun_that_fails_is_shown(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_a="""
            import os
            import pytest

            THREADS = os.environ.get("OMP_NUM_THREADS")

            @pytest.mark.reproducible(vary="threads")
            def test_it():
                print("a clue")
                if THREADS == "1":
                    os.abort()
                assert THREADS != "2", "not with two"
                if THREADS == "4":
                    pytest.skip("no time")
                return 1

            @pytest.fixture(autouse=True)
            def teardown():
                yield
                assert THREADS is None, "too late to matter"
        """
    )
    result = pytester.runpytest_inprocess(*alone(), "--tb=short")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "the test did not return the same bits (level deterministic, --seedbed-seed=1337):",
            "  threads=1: failed: its process was killed by SIGABRT",
            "      Fatal Python error: Aborted",
            '        File "*test_a.py", line 10 in test_it',
            "  threads=2: failed: AssertionError: not with two",
            "      a clue",
            "      E   AssertionError: not with two",
            "it did here:",
            "  rerun=process: same bits in all 1 results",
            "not tried:",
            "  threads=4: no time",
        ]
    )
    result.stdout.no_fnmatch_line('  *File "*pluggy*')


def test_without_a_baseline_nothing_is_compared(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import os\nRERUN = 'OMP_WAIT_POLICY' in os.environ")
    pytester.makepyfile(
        test_a="""
            import pytest
            from conftest import RERUN

            @pytest.mark.reproducible
            def test_raises():
                assert not RERUN, "only in a rerun"
                return 1

            @pytest.mark.reproducible
            def test_skips():
                if RERUN:
                    pytest.skip("not in a rerun")
                return 1

            @pytest.mark.reproducible
            def test_text():
                return "text" if RERUN else 1
        """,
        test_b="""
            import pytest
            from conftest import RERUN
            assert not RERUN, "cannot be loaded"

            @pytest.mark.reproducible
            def test_it():
                return 1
        """,
        test_c="""
            import pytest
            from conftest import RERUN

            if not RERUN:
                @pytest.mark.reproducible
                def test_it():
                    return 1
        """,
    )
    result = pytester.runpytest_inprocess(*alone(), "-rs")
    result.assert_outcomes(failed=4, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*_ test_raises _*",
            "  baseline: failed: AssertionError: only in a rerun*",
            "*_ test_text _*",
            "  baseline: failed: *'result': a result must be a NumPy array, *, not str: 'text'",
            "*_ test_it _*",
            "  baseline: failed: *",
            "      E   AssertionError: cannot be loaded",
            "*_ test_it _*",
            "  baseline: failed: its process ended with exit status 4",
            "SKIPPED * baseline: not in a rerun",
        ]
    )


def test_what_cannot_be_asked_is_an_error_of_the_test_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_a="""
            import unittest
            import pytest

            def ask(*args, **keywords):
                return pytest.mark.reproducible(*args, **keywords)

            @ask(vary=("threads", "thread"))
            def test_condition(): return 1

            @ask("threads", "isa")
            def test_by_position(): return 1

            @ask(varry="threads")
            def test_argument(): return 1

            @ask(vary="order")
            def test_order(): return 1

            @ask(level="total")
            def test_level(): return 1

            @ask(rtol=-1)
            def test_rtol(): return 1

            @ask(time_limit=0)
            def test_time_limit(): return 1

            @ask(vary="device")
            def test_device(): return 1

            @ask()
            async def test_async(): return 1

            @ask()
            class TestOld(unittest.TestCase):
                def test_method(self): return 1

            def test_good(): pass
        """
    )
    result = pytester.runpytest_inprocess(*alone())
    result.assert_outcomes(errors=10, passed=1)
    result.stdout.fnmatch_lines(
        [
            f"@pytest.mark.reproducible: {reason}"
            for reason in (
                "there is no condition 'thread': there are rerun, *",
                "reproducible() takes 0 positional arguments but 2 were given; its arguments are vary, level, rtol, *",
                "reproducible() got an unexpected keyword argument 'varry'; its arguments are vary, *",
                "'order' needs several experiments, and a test is one: *",
                "there is no level 'total': there are none, *",
                "what the results must be = 'rtol -1' is no promise: *",
                "time_limit must be a number of seconds above 0, not 0",
                "'device' varies what the fixture seedbed_device gives: *",
                "an async function cannot be rerun: *",
                "a method of unittest.TestCase cannot return what shall be compared: *",
            )
        ]
    )
    result.stdout.no_fnmatch_line("During handling*")


def test_only_a_function_can_be_marked(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_itemcollected(item): item.add_marker('reproducible')")
    pytester.maketxtfile(test_a=">>> 1\n1")
    result = pytester.runpytest_inprocess(*alone())
    result.stdout.fnmatch_lines(["*: only a test function can be rerun, not a DoctestItem"])


def test_a_test_must_return_what_can_be_compared(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_a="""
            import pytest
            pytestmark = pytest.mark.reproducible

            def test_none(): pass
            def test_empty(): return {}
            def test_text(): return {"name": "mlp"}
            def test_reserved(): return {"__metadata__": 1}
            def test_raises(): assert False, "plainly"
        """
    )
    result = pytester.runpytest_inprocess(*alone())
    result.assert_outcomes(failed=5)
    result.stdout.fnmatch_lines(
        [
            "the test returned None: return what shall be compared (arrays, tensors, numbers)",
            "the test returned nothing to compare: {}",
            "'name': a result must be a NumPy array, a torch tensor or a number, not str: 'mlp'",
            "the key '__metadata__' is one that safetensors keeps to itself: rename the result",
            "E   AssertionError: plainly",
        ]
    )


def test_a_level_is_in_force_in_the_reruns(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "5")
    pytester.makepyfile(
        test_a="""
            import os, random
            import pytest
            import torch

            def flags():
                level = {"": "none", "1337": "seeded"}.get(os.environ.get("PYTHONHASHSEED", ""))
                if torch.are_deterministic_algorithms_enabled():
                    level = "deterministic"
                return level

            @pytest.mark.reproducible(level="none", rtol=0)
            def test_none(request):
                assert not request.config.option.seedbed_rerun or flags() == "none"
                return random.random(), torch.rand(1).item()

            @pytest.mark.reproducible(level="seeded")
            def test_seeded(request):
                assert not request.config.option.seedbed_rerun or flags() == "seeded"
                return random.random(), torch.rand(1)

            @pytest.mark.reproducible
            def test_deterministic(request):
                assert not request.config.option.seedbed_rerun or flags() == "deterministic"
                return random.random(), torch.rand(1)
        """
    )
    result = pytester.runpytest_inprocess(*alone("randomly"), "-p", "randomly", "--randomly-dont-reorganize")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*_ test_none _*", "*(level none, *", "  rerun=process: different: *the worst result: 2 of 2 elements*"]
    )


def test_a_condition_that_did_not_take_effect_is_none() -> None:
    question = Question(("threads",), "seeded", IDENTICAL, 60.0)
    made, _ = condition.variants(["threads"], device="cpu", seed=1, cpu=CPU)
    ran: tuple[Finished, dict[str, Any]] = (
        Finished(experiment="test", status="done", in_force=InForce(threads={"torch": 1}, isa={})),
        {},
    )
    outcomes = reruns._outcomes(question, made, {variant.label: ran for variant in made})
    assert outcomes == [
        Outcome("threads", "threads=1", "held", "same bits in all 0 results"),
        Outcome("threads", "threads=2", "skipped", "asked for 2 threads, torch has 1"),
        Outcome("threads", "threads=4", "skipped", "asked for 4 threads, torch has 1"),
    ]


CPU = condition.Cpu(cores=2, features=frozenset({"sse4_1"}), numpy_features=(), machine="arm64")


def test_where_nothing_could_be_tried_a_test_is_skipped(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reruns, "_cpu", lambda: CPU)
    monkeypatch.setattr(reruns, "no_cuda", lambda: "there is no GPU")
    pytester.makepyfile(
        test_a="""
            import pytest

            @pytest.mark.reproducible(vary=("isa", "device"))
            def test_nothing(seedbed_device):
                return 1

            @pytest.mark.reproducible(vary=("isa", "rerun"))
            def test_something():
                return 1
        """
    )
    result = pytester.runpytest_inprocess(*alone(), "-rsP")
    result.assert_outcomes(passed=1, skipped=1)
    isa = "the switches between instruction sets are for x86-64; this is arm64"
    result.stdout.fnmatch_lines(
        [
            "  rerun=process: same bits in all 1 results",
            f"  isa: {isa}",
            f"SKIPPED * isa: {isa}; device=cuda: there is no GPU",
        ]
    )


def test_on_another_device_the_test_is_told_so(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reruns, "no_cuda", lambda: None)
    pytester.makepyfile(
        test_a="""
            import pytest

            @pytest.mark.reproducible(vary="device")
            def test_it(seedbed_device):
                return {"gpu": seedbed_device == "cuda"}
        """
    )
    result = pytester.runpytest_inprocess(*alone())
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["  device=cuda: different: 1 of 1 results, the worst gpu: *(True for False)", "it did here:", "  rerun=*"]
    )


def left_behind(path: Path) -> list[list[str]]:
    """The processes that have something to do with a folder, once those that end have had the time."""
    deadline = time.monotonic() + 10
    while (found := _commands_in(path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _commands_in(path: Path) -> list[list[str]]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it may end between any two questions, the last one too
            if process.cwd() == str(path) and process.pid != os.getpid():
                found.append(process.cmdline())
    return found


HANGS = """
    import pathlib, subprocess, sys
    import pytest

    @pytest.mark.reproducible(time_limit={limit})
    def test_it(request):
        if request.config.option.seedbed_rerun:
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            pathlib.Path("started").touch()
            while True:
                pass
        return 1
"""


def test_a_rerun_that_hangs_is_ended(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_a=HANGS.format(limit=15))
    result = pytester.runpytest_inprocess(*alone())
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["  baseline: failed: stopped: it took longer than the time limit of 15 s *"])
    assert (pytester.path / "started").exists()
    assert left_behind(pytester.path) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 2), (signal.SIGKILL, -9)])
def test_no_rerun_is_left_behind(pytester: pytest.Pytester, number: signal.Signals, status: int) -> None:
    pytester.makepyfile(test_a=HANGS.format(limit=600))
    command = [sys.executable, "-m", "pytest", *alone()]
    with subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, start_new_session=True) as process:
        while not (pytester.path / "started").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == status
    assert left_behind(pytester.path) == []


def test_reruns_work_in_xdists_workers_under_coverage_and_in_random_order(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)  # of the run that this test is in
    pytester.makepyfile(
        **{
            "sub/test_a": """
                import random, uuid
                import numpy as np
                import pytest

                @pytest.mark.reproducible
                def test_same(worker_id, rng, pytestconfig):
                    return random.random(), rng.random(), np.random.rand(), pytestconfig.getoption("randomly_seed")

                @pytest.mark.reproducible
                def test_different(tmp_path):
                    return uuid.uuid4().int >> 65

                @pytest.mark.reproducible
                def test_changes_folder(monkeypatch, tmp_path):
                    monkeypatch.chdir(tmp_path)
                    return 1
            """
        }
    )
    pytester.makeini("[pytest]\naddopts = -n2 --cov=sub --junitxml=report.xml")
    result = pytester.runpytest_subprocess(*alone("xdist", "cov", "randomly"), "-x", "--maxfail=9", "--", "sub")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["  rerun=process: different: *", "sub?test_a.py * 100%"])
    assert [path.name for path in pytester.path.iterdir() if path.name.startswith(".coverage")] == [".coverage"]
    assert (pytester.path / "report.xml").read_text().count("<testcase ") == 3


def test_reruns_are_of_the_same_test_whatever_the_current_folder(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        **{"sub/test_a": "import pytest\n@pytest.mark.reproducible\ndef test_it(rng, cache): return rng.random()"}
    )
    monkeypatch.chdir(pytester.path / "sub")
    for options in ([], ["--import-mode=importlib", "test_a.py::test_it"], ["-v", "--pdb"]):
        result = pytester.runpytest_inprocess(*alone(), f"--rootdir={pytester.path}", "-c", os.devnull, *options)
        result.assert_outcomes(passed=1)


def test_a_rerun_neither_asks_which_tests_failed_last_nor_writes_a_report(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_a="""
            import pathlib, uuid
            import pytest

            @pytest.mark.reproducible
            def test_it():
                return uuid.uuid4().int >> 65

            def test_no_report_yet():
                assert not pathlib.Path("report.xml").exists()
        """
    )
    first = pytester.runpytest_inprocess(*alone(), "--junitxml=report.xml")
    again = pytester.runpytest_inprocess(*alone(), "--lf", "--lfnf=none")
    for result in (first, again):
        result.assert_outcomes(passed=int(result is first), failed=1)
        result.stdout.fnmatch_lines(["  rerun=process: different: *"])


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan", "--fixtures", "--help", "--markers"])
def test_where_no_test_runs_none_is_rerun(pytester: pytest.Pytester, option: str) -> None:
    pytester.makepyfile(test_a="import pytest\n@pytest.mark.reproducible\ndef test_it(rng): raise 1")
    result = pytester.runpytest_inprocess(*alone(), option)
    assert result.ret is pytest.ExitCode.OK


def test_options_come_before_names() -> None:
    assert reruns._before_names(["-x", "tests"], ["-n0"]) == ["-x", "tests", "-n0"]
    assert reruns._before_names(["-x", "--", "tests"], ["-n0"]) == ["-x", "-n0", "--", "tests"]


def test_the_example_of_the_docs_fails_as_they_say(pytester: pytest.Pytester) -> None:
    text = (Path(__file__).parents[1] / "docs" / "pytest.md").read_text()
    source = text.partition("```python\n# test_model.py\n")[2].partition("```")[0]
    message = [line for line in text.splitlines() if line.startswith("the test did not return")]
    assert 'vary=("threads", "isa")' in source
    pytester.makepyfile(test_model=source.replace('vary=("threads", "isa")', 'vary="threads"'))
    result = pytester.runpytest_subprocess(*alone())
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([*message, "  threads=*: close: 1 of 2 results, the worst *"])
