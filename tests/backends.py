"""The stores that the conformance tests run on. A new backend joins by a line in `BACKENDS`.

Servers are started once for all tests, at the first test that needs one. A server that this machine does not have
skips its tests, and is named in red at the end of the run; under ``REQUIRE_SERVERS=1`` it is an error.

A backend is a function from a folder to an open `Store`: a service, and how to see everything that it has stored.
The asynchronous service is one more backend, called from synchronous code by `Driven`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clusters
import pytest
import servers
import sqlalchemy
import sqlite_utils

from session_sqlite import AsyncSessionService, SQLAlchemySessionService, SQLiteSessionService
from session_sqlite.testing import Driven, Dump


@dataclass
class Store:
    """An open, empty store of the app "app" and the user "user"."""

    service: Any
    dump: Callable[[], Dump]


def dump_of(db: sqlite_utils.Database) -> Dump:
    """Every row of every table, those of the search index and of the migrations too."""
    return {
        table: sorted(map(tuple, db.conn.execute(f"SELECT * FROM [{table}]").fetchall()), key=repr)
        for table in db.table_names()
    }


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
            yield Store(Driven(AsyncSessionService(store.service), loop), store.dump)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


# ---------------------------------------------------------------- servers

MISSING: dict[str, str] = {}
"""Why the servers are missing that could not be started, by name."""

_RUNNING = contextlib.ExitStack()
atexit.register(_RUNNING.close)
SERVERS = {"postgresql": servers.postgresql, "mariadb": servers.mariadb}
TABLES = ("event_words", "events", "state", "sessions")


@functools.cache
def server(kind: str) -> servers.Server:
    """The server of a kind that all tests share. Skips the test if this machine has none."""
    try:
        return _RUNNING.enter_context(SERVERS[kind]())
    except servers.MissingServerError as error:
        MISSING[kind] = str(error)
        if os.environ.get("REQUIRE_SERVERS") == "1":
            raise
        pytest.skip(str(error))


@functools.cache
def _store_of_all(kind: str) -> str:
    """The URL of the store that the tests on a server share; each begins by emptying it."""
    url = server(kind).new_database()
    SQLAlchemySessionService(url).close()
    return url


@functools.cache
def _administration(url: str) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)  # a test may end all
    _RUNNING.callback(engine.dispose)
    return engine


def empty_store(kind: str) -> str:
    """The URL of an empty store on a server."""
    url = _store_of_all(kind)
    _empty(url)
    return url


def _empty(url: str) -> None:
    with _administration(url).connect() as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"DELETE FROM {table}")


def server_dump(url: str) -> Dump:
    with _administration(url).connect() as connection:
        return {
            table: sorted(map(tuple, connection.exec_driver_sql(f"SELECT * FROM {table}")), key=repr)
            for table in TABLES
        }


@contextmanager
def opened(kind: str, path: Path, **options: Any) -> Iterator[Any]:
    """An empty store of a kind, with the service's options: a file at the path, or on a server."""
    on_file = kind == "file"
    with (
        SQLiteSessionService(path, **options)
        if on_file
        else SQLAlchemySessionService(empty_store(kind), **options) as service
    ):
        yield service


def reopened(service: Any, **options: Any) -> Any:
    """The same store, opened once more."""
    if service.path is not None:
        return SQLiteSessionService(service.path, **options)
    return SQLAlchemySessionService(_url_of(service), **options)


def dump(service: Any) -> Dump:
    """Every row of every table of a store, wherever it is."""
    return dump_of(service.db) if service.path is not None else server_dump(_url_of(service))


def place(service: Any) -> str:
    """The path or the URL of a store."""
    return str(service.path) if service.path is not None else _url_of(service)


def _url_of(service: Any) -> str:
    return str(service._database.url.render_as_string(hide_password=False))


def on_server(kind: str) -> Callable[[Path], AbstractContextManager[Store]]:
    @contextmanager
    def opened(folder: Path) -> Iterator[Store]:
        url = empty_store(kind)
        with SQLAlchemySessionService(url, app_name="app", user_id="user") as service:
            yield Store(service, lambda: server_dump(url))

    return opened


def awaited_on_server(kind: str) -> Callable[[Path], AbstractContextManager[Store]]:
    @contextmanager
    def opened(folder: Path) -> Iterator[Store]:
        loop = asyncio.new_event_loop()
        try:
            with on_server(kind)(folder) as store:
                yield Store(Driven(AsyncSessionService(store.service), loop), store.dump)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    return opened


@functools.cache
def _cluster(kind: str) -> tuple[str, str]:
    """The URL of a store on a cluster that all tests share, and that of the same on one node for administration."""
    cluster = _RUNNING.enter_context(clusters.galera() if kind == "galera" else clusters.postgresql_pair())
    database = clusters.new_database(cluster.nodes[0])
    url = cluster.url(database)
    SQLAlchemySessionService(url).close()
    return url, cluster.nodes[0].url(database)


def on_cluster(kind: str) -> Callable[[Path], AbstractContextManager[Store]]:
    @contextmanager
    def opened(folder: Path) -> Iterator[Store]:
        try:
            url, node = _cluster(kind)
        except servers.MissingServerError as error:
            pytest.skip(str(error))
        _empty(node)
        with SQLAlchemySessionService(url, app_name="app", user_id="user") as service:
            yield Store(service, lambda: server_dump(node))

    return opened


CLUSTERS = {"galera": on_cluster("galera"), "postgresql-pair": on_cluster("postgresql-pair")}
"""Run by ``pytest -m cluster``."""

BACKENDS: dict[str, Callable[[Path], AbstractContextManager[Store]]] = {
    "file": sqlite_file,
    "memory": sqlite_memory,
    "async": asynchronous,
    "postgresql": on_server("postgresql"),
    "postgresql-async": awaited_on_server("postgresql"),
    "mariadb": on_server("mariadb"),
}
