"""The stores that the conformance tests run on. A new backend joins by a line in `BACKENDS`.

A backend is a function from a folder to an open `Store`: a service, and how to see everything that it has stored.
The asynchronous service is one more backend: `Driven` calls it from synchronous code, on one event loop.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlite_utils

from session_sqlite import AsyncSession, AsyncSessionService, Page, SQLiteSessionService

Dump = dict[str, list[tuple[Any, ...]]]


@dataclass
class Store:
    """An open, empty store of the app "app" and the user "user"."""

    service: Any
    dump: Callable[[], Dump]
    is_async: bool = False


def dump_of(db: sqlite_utils.Database) -> Dump:
    """Every row of every table, those of the search index and of the migrations too."""
    return {
        table: sorted(map(tuple, db.conn.execute(f"SELECT * FROM [{table}]").fetchall()), key=repr)
        for table in db.table_names()
    }


def rows_about(dump: Dump, *words: str) -> list[tuple[str, tuple[Any, ...]]]:
    """The rows in which one of the words stands, with their tables."""
    found = []
    for table, rows in dump.items():
        for row in rows:
            text = " ".join(
                value.decode("utf-8", "replace") if isinstance(value, bytes) else repr(value) for value in row
            )
            if any(word in text for word in words):
                found.append((table, row))
    return found


@functools.cache
def _empty_file() -> bytes:
    """An empty store, made once: opening a copy takes a third of the time of making one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "empty.db")
        SQLiteSessionService(path).close()
        return path.read_bytes()


@contextmanager
def sqlite_file(folder: Path) -> Iterator[Store]:
    (folder / "conformance.db").write_bytes(_empty_file())
    with SQLiteSessionService(folder / "conformance.db", app_name="app", user_id="user", durability="fast") as service:
        yield Store(service, lambda: dump_of(service.db))


@contextmanager
def sqlite_memory(folder: Path) -> Iterator[Store]:
    with SQLiteSessionService(":memory:", app_name="app", user_id="user") as service:
        yield Store(service, lambda: dump_of(service.db))


@contextmanager
def asynchronous(folder: Path) -> Iterator[Store]:
    loop = asyncio.new_event_loop()
    try:
        with sqlite_file(folder) as store:
            yield Store(Driven(AsyncSessionService(store.service), loop), store.dump, is_async=True)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


BACKENDS: dict[str, Callable[[Path], AbstractContextManager[Store]]] = {
    "file": sqlite_file,
    "memory": sqlite_memory,
    "async": asynchronous,
}


class Driven:
    """An `AsyncSessionService` or an `AsyncSession`, called as its synchronous twin is."""

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
        return self._target == _bare(other)

    def __hash__(self) -> int:
        return hash(self._target)

    def __repr__(self) -> str:
        return repr(self._target)


def _bare(value: Any) -> Any:
    return value._target if isinstance(value, Driven) else value
