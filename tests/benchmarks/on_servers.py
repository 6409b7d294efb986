"""The cases on PostgreSQL and MariaDB: real servers, made for the run, that flush every commit to the disk."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import servers

from session_sqlite import Event, SQLAlchemySessionService, SQLiteChatMessageHistory

from . import conversation, peers, server_by_hand
from .conversation import require_same
from .measuring import Figure, medians, missing, rounds_of, seconds_of

if TYPE_CHECKING:
    from .cases import Sizes

DURABLE = {
    "PostgreSQL": (servers.postgresql, "SELECT name || ' = ' || setting FROM pg_settings WHERE name IN ('fsync', "
                                       "'synchronous_commit', 'full_page_writes', 'wal_sync_method') ORDER BY 1"),
    "MariaDB": (servers.mariadb, "SELECT CONCAT('innodb_flush_log_at_trx_commit = ', @@innodb_flush_log_at_trx_commit) "
                                 "UNION SELECT CONCAT('innodb_flush_method = ', @@innodb_flush_method)"),
}  # fmt: skip
WORKERS = 16
SESSION = "measured"


@contextmanager
def started(name: str) -> Iterator[servers.Server | None]:
    """A server that flushes each commit to the disk; None where there is none."""
    start, settings = DURABLE[name]
    with ExitStack() as stack:
        try:
            server = stack.enter_context(start(durable=True))
        except servers.MissingServerError as error:
            missing(f"the cases on {name}: {error}")
            yield None
            return
        version = server.administer("SELECT version()")[0][0].split(" on ")[0]
        print(f"{version}: {', '.join(str(row[0]) for row in server.administer(settings))}")
        yield server


def on_servers(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """Appends, a batch, a long read and sixteen workers, beside the same statements by hand on the same server."""
    for name in DURABLE:
        with started(name) as server:
            if server is None:
                continue
            url = server.new_database()
            with SQLAlchemySessionService(url, pool_size=WORKERS) as service, ExitStack() as stack:
                by_hand = [stack.enter_context(closing(server_by_hand.Connection(url))) for _ in range(WORKERS)]
                yield from _appends(name, service, by_hand[0], sizes)
                yield _read(name, service, by_hand[0], sizes)
                yield _workers(name, service, by_hand, sizes)


def _appends(
    name: str, service: SQLAlchemySessionService, by_hand: server_by_hand.Connection, sizes: Sizes
) -> Iterator[Figure]:
    for ours in ("ours", "by hand"):
        service.create_session(session_id=ours)
    mine = itertools.cycle(conversation.events(4))
    its = itertools.cycle(server_by_hand.with_words(conversation.events(4)))
    figures = medians(
        sizes.rounds * 2,
        calls=8,
        ours=lambda: service.append_event("ours", next(mine)),
        floor=lambda: by_hand.append("by hand", [next(its)]),
    )
    yield Figure(f"{name}: append 1 event, durable", figures["ours"], figures["floor"], 1.4)
    events = conversation.events(sizes.batch)
    worded = server_by_hand.with_words(events)
    figures = medians(
        max(3, sizes.rounds // 2),
        ours=partial(service.append_events, "ours", events),
        floor=partial(by_hand.append, "by hand", worded),
    )
    yield Figure(f"{name}: append {sizes.batch:,} events in one call", figures["ours"], figures["floor"], 2)


def _read(name: str, service: SQLAlchemySessionService, by_hand: server_by_hand.Connection, sizes: Sizes) -> Figure:
    history = SQLiteChatMessageHistory(SESSION, service=service)
    messages = conversation.messages(sizes.messages)
    history.add_messages(messages)
    require_same(history.messages, messages)
    require_same(by_hand.read_messages(SESSION), messages)
    figures = medians(
        max(3, sizes.rounds // 2), ours=lambda: history.messages, floor=partial(by_hand.read_messages, SESSION)
    )
    return Figure(f"{name}: read {sizes.messages:,} messages", figures["ours"], figures["floor"], 1.4)


def _workers(
    name: str, service: SQLAlchemySessionService, by_hand: Sequence[server_by_hand.Connection], sizes: Sizes
) -> Figure:
    """Threads that append durably, each to a session of its own: the wall time for one event."""
    for number in range(WORKERS):
        service.create_session(session_id=f"ours {number}")
        service.create_session(session_id=f"by hand {number}")
    events = conversation.events(4)
    worded = server_by_hand.with_words(events)
    appends = [partial(_append, service, f"ours {number}", itertools.cycle(events)) for number in range(WORKERS)]
    floors = [
        partial(_append_by_hand, connection, f"by hand {number}", itertools.cycle(worded))
        for number, connection in enumerate(by_hand)
    ]
    count = sizes.appends // 40
    figures = rounds_of(
        max(3, sizes.rounds // 3),
        ours=partial(side_by_side, appends, count),
        floor=partial(side_by_side, floors, count),
    )
    return Figure(f"{name}: {WORKERS} workers, each event", figures["ours"], figures["floor"], 1 / 0.7)


def _append(service: SQLAlchemySessionService, session: str, events: Iterator[Event]) -> None:
    service.append_event(session, next(events))


def _append_by_hand(
    connection: server_by_hand.Connection, session: str, events: Iterator[server_by_hand.Worded]
) -> None:
    connection.append(session, [next(events)])


def side_by_side(works: Sequence[Callable[[], object]], count: int) -> float:
    """Runs each function so many times in a thread of its own, all at once; returns the wall seconds for one run."""
    start = threading.Barrier(len(works) + 1)

    def run(work: Callable[[], object]) -> None:
        start.wait()
        for _ in range(count):
            work()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - begin) / count / len(works)


PEERS = {"adk": "ADK's DatabaseSessionService", "openai": "OpenAI's SQLAlchemySession"}


def beside_peers(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """The same on PostgreSQL beside what other libraries keep there: each has a process and a database of its own."""
    python = peers.python_of(sizes.peers or peers.FOLDER, may_make=not sizes.is_quick)
    if python is None:
        return
    messages = conversation.messages(sizes.messages)
    events = peers.written(peers.neutral(messages), folder)
    with started("PostgreSQL") as server, ExitStack() as stack:
        if server is None:
            return
        processes = {
            name: stack.enter_context(peers.Process(python, name, server.new_database(), events)) for name in PEERS
        }
        service = stack.enter_context(SQLAlchemySessionService(server.new_database(), pool_size=WORKERS))
        for number in range(WORKERS):
            service.create_session(session_id=f"ours {number}")
        history = SQLiteChatMessageHistory(SESSION, service=service)
        history.add_messages(messages)
        require_same(history.messages, messages)
        own = conversation.events(4)
        works = [partial(_append, service, f"ours {number}", itertools.cycle(own)) for number in range(WORKERS)]
        count = sizes.appends // 40
        for case, command, ours in (
            ("append 1 event, durable", "append 8", partial(side_by_side, works[:1], 8)),
            (f"read {sizes.messages:,} messages", "read", partial(seconds_of, history.get_messages)),
            (f"{WORKERS} workers, each event", f"workers {WORKERS} {count}", partial(side_by_side, works, count)),
        ):
            theirs = {name: partial(process.ask, command) for name, process in processes.items()}
            figures = rounds_of(max(3, sizes.rounds // 2), ours=ours, **theirs)
            for name, shown in PEERS.items():
                yield Figure(f"PostgreSQL: {case}, floor: {shown}", figures["ours"], figures[name], 1)
