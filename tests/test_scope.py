"""Scopes: a call, a block, a decorator; before == after, whatever kind of function it is and however it ends."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from seedbed.errors import ConfigError
from seedbed.scope import Scope

process: dict[str, int] = {"value": 0}
"""The process state of these tests."""


@dataclass
class Value:
    value: int

    def restore(self) -> None:
        process["value"] = self.value


class put(Scope):  # noqa: N801 - as seeded and set_flags
    """Put a value in; one below zero is refused, half-way."""

    def __init__(self, value: int) -> None:
        self.value = value
        super().__init__()

    def _now(self) -> Value:
        return Value(process["value"])

    def _renew(self) -> None:
        process["value"] = self.value

    def _change(self, before: Value) -> None:
        process["value"] = self.value
        if self.value < 0:
            raise ValueError(f"below zero, from {before.value}")


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    process["value"] = 0
    yield
    assert process == {"value": 0}


def bump(by: int = 1) -> int:
    """Change what is in force, as a draw moves a generator."""
    process["value"] += by
    return process["value"]


def test_a_call_stays_until_it_is_restored() -> None:
    switch = put(5)
    assert process["value"] == 5
    switch.restore()
    assert process["value"] == 0
    switch.restore()


def test_a_block_starts_from_the_change_whatever_happened_since_the_call() -> None:
    switch = put(5)
    bump()
    with switch as entered:
        assert (entered, process["value"]) == (switch, 5)


def test_a_block_ends_where_it_began_on_an_exception_too() -> None:
    with pytest.raises(KeyError), put(5):
        raise KeyError("mine")


def test_blocks_nest_and_one_object_is_entered_again() -> None:
    switch = put(5)
    with switch:
        bump()
        with switch:
            assert process["value"] == 5
        assert process["value"] == 6
        with put(7):
            assert process["value"] == 7
        assert process["value"] == 6
    with switch:
        assert process["value"] == 5


def test_a_change_that_fails_leaves_nothing() -> None:
    with pytest.raises(ValueError, match="below zero, from 0"):
        put(-1)


def test_a_function() -> None:
    @put(5)
    def function(depth: int) -> list[int]:
        """Recurse."""
        return [bump(), *(function(depth - 1) if depth else []), bump()]

    assert process["value"] == 0
    assert function(1) == [6, 6, 7, 7]
    assert function(0) == [6, 7]
    assert (function.__name__, function.__doc__) == ("function", "Recurse.")


def test_a_function_that_raises() -> None:
    @put(5)
    def function() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        function()


@put(5)
def counting() -> Generator[int, int | None, str]:
    """Yield what is in force, moved by what was sent."""
    try:
        while process["value"] < 100:
            try:
                sent = yield process["value"]
            except KeyError:
                sent = 50
            bump(sent or 1)
        return "over"
    finally:
        bump(1000)


def test_a_generator_function_runs_within_and_is_suspended_without() -> None:
    assert inspect.isgeneratorfunction(counting)
    generator = counting()
    seen = [next(generator)]
    for _ in range(2):
        bump(-1)  # outside: the generator does not see it, nor this what the generator does
        seen.append(next(generator))
    assert (seen, process["value"]) == ([5, 6, 7], -2)
    process["value"] = 0
    assert [generator.send(10), generator.throw(KeyError())] == [17, 67]
    with pytest.raises(StopIteration) as stop:
        generator.send(40)
    assert stop.value.value == "over"


def test_two_of_a_generator_function_take_turns() -> None:
    assert list(zip(counting(), counting(), strict=False))[:3] == [(5, 5), (6, 6), (7, 7)]


def test_a_generator_that_is_closed_cleans_up_within() -> None:
    generator = counting()
    next(generator)
    generator.close()
    assert process["value"] == 0
    with pytest.raises(StopIteration):
        next(generator)


def test_a_generator_that_raises() -> None:
    generator = counting()
    next(generator)
    with pytest.raises(OSError, match="mine"):
        generator.throw(OSError("mine"))


@put(5)
async def waiting(times: int) -> list[int]:
    seen = []
    for _ in range(times):
        seen.append(bump())
        await asyncio.sleep(0)
    return seen


def test_async_functions_take_turns_and_do_not_see_each_other() -> None:
    async def main() -> tuple[list[Any], int]:
        return list(await asyncio.gather(waiting(3), waiting(2))), process["value"]

    assert inspect.iscoroutinefunction(waiting)
    assert asyncio.run(main()) == ([[6, 7, 8], [6, 7]], 0)


def test_an_async_function_that_is_cancelled() -> None:
    async def main() -> None:
        task = asyncio.create_task(waiting(1000))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


@put(5)
async def ticking() -> AsyncIterator[int]:
    """Yield what is in force, and wait in between."""
    try:
        while process["value"] < 8:
            try:
                yield bump()
            except KeyError:
                yield -1
            await asyncio.sleep(0)
    finally:
        bump(1000)


def test_an_async_generator_function() -> None:
    async def main() -> list[list[int]]:
        async def collect() -> list[int]:
            return [value async for value in ticking()]

        return list(await asyncio.gather(collect(), collect()))

    assert inspect.isasyncgenfunction(ticking)
    assert asyncio.run(main()) == [[6, 7, 8], [6, 7, 8]]


def test_an_async_generator_that_is_thrown_into_and_closed() -> None:
    async def main() -> list[int]:
        generator: Any = ticking()
        seen = [await anext(generator), await generator.athrow(KeyError()), await generator.asend(None)]
        assert process["value"] == 0
        await generator.aclose()
        return seen

    assert asyncio.run(main()) == [6, -1, 7]


@pytest.mark.parametrize("target", [Value, 3, staticmethod(bump), classmethod(lambda _: None)])
def test_what_is_no_function_is_refused(target: Any) -> None:
    switch = put(5)
    with pytest.raises(ConfigError, match="put decorates functions, not .*: of a class decorate the methods"):
        switch(target)


def test_an_object_decorates_within_its_own_block_too() -> None:
    with put(5) as switch:

        @switch
        def function() -> int:
            return bump()

        assert (bump(), function(), bump()) == (6, 6, 7)


@contextlib.contextmanager
def managed() -> Iterator[int]:
    yield bump()


def wrapped() -> Iterator[int]:
    return (bump() for _ in range(2))


async def later() -> int:
    return bump()


def unwrapped() -> Any:
    return later()


def ticks() -> AsyncIterator[int]:
    return ticking()


@pytest.mark.parametrize("function", [managed, wrapped, unwrapped, ticks])
def test_what_would_run_only_after_the_call_is_refused(function: Any) -> None:
    with pytest.raises(ConfigError, match="whose body runs only now, after the call: decorate the generator or async"):
        put(5)(function)()


def test_beneath_contextmanager_it_is_the_generator_function_that_is_decorated() -> None:
    @contextlib.contextmanager
    @put(5)
    def manager() -> Iterator[int]:
        yield bump()

    with manager() as value:
        assert (value, process["value"]) == (6, 0)


class Interrupt(put):
    def _change(self, before: Value) -> None:
        super()._change(before)
        raise KeyboardInterrupt


def test_a_change_that_is_interrupted_leaves_nothing() -> None:
    with pytest.raises(KeyboardInterrupt):
        Interrupt(5)


class failing(put):  # noqa: N801
    """Fails from the second time on."""

    def _change(self, before: Value) -> None:
        super()._change(before)
        if self.__dict__.setdefault("times", []):
            raise ValueError("again")
        self.__dict__["times"].append(1)


def test_a_change_that_fails_within_an_async_call_leaves_nothing_to_warn_of() -> None:
    decorated = failing(5)(later)
    with pytest.raises(ValueError, match="again"):
        asyncio.run(decorated())


def test_what_is_thrown_in_is_the_functions_to_handle() -> None:
    @put(5)
    def patient() -> Generator[int, None, None]:
        try:
            yield bump()
        except KeyboardInterrupt:
            yield bump(10)

    generator = patient()
    assert (next(generator), generator.throw(KeyboardInterrupt())) == (6, 16)
    generator.close()
