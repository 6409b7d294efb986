"""Forks in every state that a service can be in; the child works on, the parent too, and none waits for the other.

In each state the child reads, appends, searches and closes, and its own child does so once more; a child that hangs is
killed by its alarm. Then the parent goes on with what it was in the middle of.

It would be broken by a lock that another thread holds at the fork and the child keeps, by a connection that crosses it,
by a child that closes the parent's file (which drops the parent's locks), and by a service that was closed and revives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final
from unittest import mock

from session_sqlite import AsyncSessionService, Event, SQLiteSessionService, StoreBusyError, StoreClosedError
from session_sqlite.sqlite import schema
from session_sqlite.sqlite.database import FORK_PATIENCE

from .processes import ended, run, says
from .trials import Length, Trial, Tried, UnavailableError
from .verbs import file_of

ROUNDS: Final = 40  # of each state
SECONDS: Final = 60  # after which a child hangs

GoOn = Callable[[], object]  # what the child is in the middle of
LOCK: Final = """
import sqlite3, sys
lock = sqlite3.connect(sys.argv[1], isolation_level=None)
lock.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""

State = Callable[[SQLiteSessionService], AbstractContextManager[GoOn]]


def rest() -> None:
    """Does nothing: the child is in the middle of nothing that it could go on with."""


@contextmanager
def an_open_iterator(service: SQLiteSessionService) -> Iterator[GoOn]:
    """The parent and the child both go on reading a stream that was begun before."""
    events = service.iter_events("s", limit=300)
    assert [next(events).seq for _ in range(150)] == list(range(1, 151))

    def go_on() -> None:
        assert [event.seq for event in events] == list(range(151, 301))

    yield go_on
    go_on()


@contextmanager
def in_a_thread(work: Callable[[threading.Event, threading.Event], object]) -> Iterator[None]:
    """Runs a function in a thread, which says when it is where the fork shall meet it, and waits to be told on."""
    inside, go_on = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work, inside, go_on)
        assert inside.wait(SECONDS)
        yield
        go_on.set()
        working.result(SECONDS)


@contextmanager
def an_open_transaction(service: SQLiteSessionService) -> Iterator[GoOn]:
    """A thread is in a transaction that ends by itself, but later than a fork waits for other calls."""

    def work(inside: threading.Event, go_on: threading.Event) -> None:
        def write(tx: object) -> None:
            inside.set()
            time.sleep(FORK_PATIENCE + 0.3)

        file_of(service).write(write)

    with in_a_thread(work):
        yield rest


@contextmanager
def an_opening(service: SQLiteSessionService) -> Iterator[GoOn]:
    """A thread opens a file and makes its tables, which takes longer than a fork waits for other calls."""
    assert service.path is not None
    path = service.path.with_name(f"opened at {time.monotonic_ns()}.db")

    def work(inside: threading.Event, go_on: threading.Event) -> None:
        def migrate(connection: sqlite3.Connection, *, search: bool) -> None:
            made(connection, search=search)
            inside.set()
            time.sleep(FORK_PATIENCE + 0.3)

        made = schema.migrate
        with mock.patch.object(schema, "migrate", migrate), SQLiteSessionService(path, durability="fast") as opened:
            opened.append_event("s", Event("user"), create=True)

    def open_it_too() -> None:
        with SQLiteSessionService(path, durability="fast") as opened:
            opened.append_event("s", Event("user"), create=True)

    with in_a_thread(work):
        yield open_it_too


@contextmanager
def an_open_query(service: SQLiteSessionService) -> Iterator[GoOn]:
    """A thread is in the middle of the rows of a query."""

    def work(inside: threading.Event, go_on: threading.Event) -> None:
        def look(row: dict[str, object]) -> None:
            inside.set()
            go_on.wait(SECONDS)

        service.query("SELECT seq FROM events LIMIT 3", each=look)

    with in_a_thread(work):
        yield rest


@contextmanager
def a_wait_for_a_lock(service: SQLiteSessionService) -> Iterator[GoOn]:
    """A thread waits for the lock that another process holds."""
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK, str(service.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder, ThreadPoolExecutor(1) as pool:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline()
        waiting = pool.submit(service.append_event, "s", Event("assistant", "waited"))
        yield rest
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        assert waiting.result(SECONDS).seq


@contextmanager
def a_pending_index(service: SQLiteSessionService) -> Iterator[GoOn]:
    """Events are not indexed yet; parent and child both index them at their next search."""
    service.append_events("s", [Event("assistant", f"pending {number}") for number in range(150)])
    yield rest
    assert len(service.search("pending", limit=200)) >= 150


@contextmanager
def a_search(service: SQLiteSessionService) -> Iterator[GoOn]:
    """Threads search and append without a pause."""
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            service.append_event("s", Event("assistant", "searched"))
            service.search("before")

    with ThreadPoolExecutor(2) as pool:
        searching = [pool.submit(search) for _ in range(2)]
        try:
            yield rest
        finally:
            stop.set()
        for one in searching:
            one.result(SECONDS)


@contextmanager
def an_open_database(service: SQLiteSessionService) -> Iterator[GoOn]:
    """The Database of sqlite-utils is in the middle of its rows."""
    rows = service.db.query("SELECT seq FROM events")
    next(iter(rows))
    yield rest
    assert len(list(rows)) >= 299


@contextmanager
def an_event_loop_that_has_run(service: SQLiteSessionService) -> Iterator[GoOn]:
    """The threads of the asynchronous service have worked."""
    asyncio.run(AsyncSessionService(service).list_events("s", limit=3))
    yield rest
    asyncio.run(AsyncSessionService(service).list_events("s", limit=3))


@contextmanager
def nothing(service: SQLiteSessionService) -> Iterator[GoOn]:
    """The service is at rest."""
    yield rest


STATES: Final[tuple[State, ...]] = (
    nothing, an_open_iterator, an_open_transaction, an_opening, an_open_query, an_open_database, a_wait_for_a_lock,
    a_pending_index, a_search, an_event_loop_that_has_run,
)  # fmt: skip


def work(service: SQLiteSessionService, name: str) -> None:
    """Does in a child what anybody does."""
    assert len(service.list_events("s", limit=5)) == 5
    service.append_event("s", Event("user", f"child {name}", id=name))
    assert name in {hit.event.id for hit in service.search(f'"child {name}"', limit=100)}
    assert service.db["events"].count > 300


def in_child(service: SQLiteSessionService, name: str, go_on: Callable[[], object]) -> None:
    """Works in a child, and in a child of it, and closes the service there."""
    signal.alarm(SECONDS)
    go_on()
    work(service, name)
    grandchild = os.fork()
    if not grandchild:
        ends(lambda: in_grandchild(service, name))
    assert ended(grandchild) == 0
    service.close()


def in_grandchild(service: SQLiteSessionService, name: str) -> None:
    """Works in the child of a child."""
    signal.alarm(SECONDS)
    work(service, f"{name} again")
    service.close()


def ends(function: Callable[[], object]) -> None:
    """Runs a function and ends the process."""
    status = 1
    try:
        function()
        status = 0
    except BaseException:  # noqa: BLE001  # the parent sees that it failed
        traceback.print_exc()
    finally:
        os._exit(status)


def fork(service: SQLiteSessionService, state: State, round: int) -> None:
    """Forks in a state; what the state holds is given up after the fork, and then the child must end well."""
    name = f"{state.__name__} {round}"
    with state(service) as go_on:
        child = os.fork()
        if not child:
            ends(lambda: in_child(service, name, go_on))
    assert ended(child) == 0, f"the child of {name}"
    assert {name, f"{name} again"} <= {event.id for event in service.list_events("s")}


def fork_without_a_store(path: Path) -> None:
    """Forks with a closed service, and closes one while the child works; a store in memory does not cross a fork."""
    closed, memory = SQLiteSessionService(path), SQLiteSessionService(":memory:")
    closed.close()
    for service in (closed, memory):
        child = os.fork()
        if not child:
            ends(lambda service=service: is_closed(service))  # type: ignore[misc]  # bound now
        assert ended(child) == 0, f"a child with {service}"
    memory.create_session()
    memory.close()
    with SQLiteSessionService(path) as service:
        child = os.fork()
        if not child:
            ends(lambda: service.append_event("s", Event("user", "the parent has closed it")))
    assert ended(child) == 0, "the child of a parent that closes"


def fork_in_a_transaction(path: Path) -> None:
    """Forks in a transaction that waits for the fork: its lock is for ever the child's, which reads, and hears why."""
    with SQLiteSessionService(path, durability="fast", busy_timeout=0.2) as service:

        def work(inside: threading.Event, go_on: threading.Event) -> None:
            def write(tx: object) -> None:
                inside.set()
                go_on.wait(SECONDS)

            file_of(service).write(write)

        with in_a_thread(work):
            child = os.fork()
            if not child:
                ends(lambda: only_reads(service))
            assert ended(child) == 0, "the child of an open transaction"
        service.append_event("s", Event("user", "the parent goes on"))


def only_reads(service: SQLiteSessionService) -> None:
    """Demands that a service reads, and says at once why it cannot write."""
    signal.alarm(SECONDS)
    assert len(service.list_events("s", limit=5)) == 5
    assert service.search("before")
    with contextlib.suppress(StoreBusyError):
        service.append_event("s", Event("user"))
        raise AssertionError("the transaction of the parent's thread is open")
    service.close()


def is_closed(service: SQLiteSessionService) -> None:
    """Demands that a service refuses to work."""
    for verb in (service.list_sessions, service.create_session, lambda: service.db):
        with contextlib.suppress(StoreClosedError):
            verb()
            raise AssertionError("a closed service works again in the child")


def try_it(folder: Path, length: Length) -> Tried:
    if not hasattr(os, "fork"):
        raise UnavailableError("it needs a system with fork")
    rounds = length.of(ROUNDS)
    events: int = run("forks", folder / "sessions.db", rounds)
    states = [state.__name__.replace("_", " ") for state in STATES]
    states += [
        "a closed service",
        "one that the parent closes",
        "one in memory",
        "a transaction that waits for the fork",
    ]
    return Tried(
        f"{rounds} forks in each of {len(states)} states ({', '.join(states)}), and one of the child in most",
        f"0 hang, 0 errors; {events:,} events of parents and children, no gap",
    )


def main(path: str, rounds: str) -> None:
    """Forks in every state."""
    with SQLiteSessionService(path, durability="fast") as service:
        service.create_session(session_id="s")
        service.append_events("s", [Event("user", "before " + "x" * 200) for _ in range(300)])
    for round in range(int(rounds)):
        with SQLiteSessionService(path, durability="fast") as service:
            for state in STATES:
                fork(service, state, round)
        fork_without_a_store(Path(path))
        fork_in_a_transaction(Path(path))
    with SQLiteSessionService(path) as service:
        events = service.list_events("s")
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert service.check().ok
        says(len(events))


TRIAL = Trial("forks", "A fork in any state leaves both processes a service that works", try_it)

if __name__ == "__main__":
    main(*sys.argv[1:])
