"""`Driven`: an asynchronous service, called as its synchronous twin is, so that the same contracts run on both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

from session_sqlite import AsyncSession, AsyncSessionService, Page


class Driven:
    """An `AsyncSessionService` or an `AsyncSession` whose verbs are called without ``await``.

    Args:
        target: The asynchronous service.
        loop: The event loop on which its verbs run; the caller closes it.
    """

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            result = value(*map(_bare, args), **{key: _bare(item) for key, item in kwargs.items()})
            if inspect.iscoroutine(result):
                result = self._loop.run_until_complete(result)
            elif hasattr(result, "__anext__"):
                return self._stream(result)
            return self._driven(result)

        return call

    def _stream(self, stream: Any) -> Iterator[Any]:
        while True:
            try:
                yield self._loop.run_until_complete(anext(stream))
            except StopAsyncIteration:
                return

    def _driven(self, result: Any) -> Any:
        if isinstance(result, (AsyncSession, AsyncSessionService)):
            return Driven(result, self._loop)
        if isinstance(result, Page):
            return Page(map(self._driven, result), result.next_cursor)
        return result

    def __eq__(self, other: object) -> bool:
        return bool(self._target == _bare(other))

    def __hash__(self) -> int:
        return hash(self._target)

    def __repr__(self) -> str:
        return repr(self._target)


def _bare(value: Any) -> Any:
    return value._target if isinstance(value, Driven) else value
