"""A change of process state in three uses: a call, a ``with`` block, a decorator; always put back.

Functions that are suspended half-way (generator and async functions) are no exception: what a decorated one changed is
in force while its own code runs, and put back whenever it is suspended.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from functools import partial, wraps
from inspect import isasyncgen, isasyncgenfunction, iscoroutine, iscoroutinefunction, isgenerator, isgeneratorfunction
from types import coroutine
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from seedbed.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")


class State(Protocol):
    """What a scope changes, as it was at one moment."""

    def restore(self) -> None:
        """Put it back."""


class Scope(ABC):
    """One change of process state; it is made when the object is, as of a call.

    ::

        switch = change()       # a call: stays, until switch.restore()

        with change():          # until the end of the block, on an exception too
            ...

        @change()               # during each call of the function
        def function(): ...

    Blocks nest, and one object may be entered again.
    """

    def __init__(self) -> None:
        self._before: list[State] = []
        self._set()
        self._awaits_enter = True

    @abstractmethod
    def _now(self) -> State:
        """Take everything that `_change` changes as it is now."""

    @abstractmethod
    def _change(self, before: Any) -> None:
        """Make the change; `before` is what `_now` gave. Where it raises, `before` is restored."""

    def _renew(self) -> None:  # noqa: B027 - most changes do not wear off
        """Make what wears off again, where a block is entered some time after the object was made."""

    def restore(self) -> None:
        """Put back what was in force before this object last made its change; nothing where it has already."""
        self._awaits_enter = False
        if self._before:
            self._before.pop().restore()

    def __enter__(self) -> Self:
        if self._awaits_enter:
            self._renew()
        else:
            self._set()
        self._awaits_enter = False
        return self

    def __exit__(self, *exception: object) -> None:
        self.restore()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function: plain, generator, async or async generator.

        Raises
        ------
        ConfigError
            If it is a class, a static or class method, or no function at all; and, when it is called, if it is a plain
        function that gives something which runs only later, such as one made by ``contextlib.contextmanager``.
        """
        if self._awaits_enter:
            self.restore()  # what construction changed: from now on, during calls only
        if isinstance(function, type | staticmethod | classmethod) or not callable(function):
            raise ConfigError(
                f"{type(self).__name__} decorates functions, not {function!r}: of a class decorate the methods, "
                "beneath @staticmethod and @classmethod"
            )
        wrapper: Any
        if isasyncgenfunction(function):
            wrapper = self._around_async_generator(function)
        elif iscoroutinefunction(function):
            wrapper = self._around_coroutine(function)
        elif isgeneratorfunction(function):
            wrapper = self._around_generator(function)
        else:
            wrapper = self._around_call(function)
        decorated: Callable[P, R] = wraps(function)(wrapper)
        return decorated

    def _set(self) -> None:
        self._before.append(self._made())

    def _made(self) -> State:
        """Make the change, all or nothing, and give what was before."""
        before = self._now()
        try:
            self._change(before)
        except BaseException:
            before.restore()
            raise
        return before

    def _around_call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return _refuse_what_runs_later(function, function(*args, **kwargs))

        return call

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            return (yield from _Episode(self).run(function(*args, **kwargs)))

        return generate

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> Any:
            return await _Episode(self).awaited(function(*args, **kwargs))

        return run

    def _around_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def generate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            episode, inner = _Episode(self), function(*args, **kwargs)
            step = inner.__anext__()
            while True:
                try:
                    value = await episode.awaited(step)
                except StopAsyncIteration:
                    return
                try:
                    step = inner.asend((yield value))
                except GeneratorExit:
                    await episode.awaited(inner.aclose())
                    raise
                except BaseException as error:  # noqa: BLE001 - whatever it is goes where it was thrown
                    step = inner.athrow(error)

        return generate


def _refuse_what_runs_later(function: object, result: Any) -> Any:
    later = result.gen if isinstance(result, AbstractContextManager) and hasattr(result, "gen") else result
    if iscoroutine(later) or isgenerator(later) or isasyncgen(later):
        if not isasyncgen(later):
            later.close()
        raise ConfigError(
            f"{function!r} returned {type(later).__name__} whose body runs only now, after the call: decorate the "
            "generator or async function itself, beneath any other decorator"
        )
    return result


class _Episode:
    """One call of a suspended function: the change is made when it first runs, and comes and goes with it after."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.within: State | None = None

    def run(self, inner: Any) -> Generator[Any, Any, Any]:
        """Run a generator, or whatever an ``await`` drives, to its end, and pass everything through."""
        resume: Callable[[], Any] = partial(inner.send, None)
        if self.within is None:
            try:
                self._begin()
            except BaseException:
                inner.close()  # it has never run, and would warn of it
                raise
        while True:
            try:
                yielded = self._within(resume)
            except StopIteration as stop:
                return stop.value
            try:
                resume = partial(inner.send, (yield yielded))
            except GeneratorExit:
                self._within(inner.close)
                raise
            except BaseException as error:  # noqa: BLE001 - whatever it is goes where it was thrown
                resume = partial(inner.throw, error)

    awaited = coroutine(run)

    def _begin(self) -> None:
        before = self.scope._made()
        self.within = self.scope._now()
        before.restore()

    def _within(self, resume: Callable[[], Any]) -> Any:
        before = self.scope._now()
        if self.within is not None:
            self.within.restore()
        try:
            return resume()
        finally:
            self.within = self.scope._now()
            before.restore()
