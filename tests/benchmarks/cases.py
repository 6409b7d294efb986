"""The cases, in groups that ``--only`` names. Each makes its own files in a folder and returns its lines."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
import warnings
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from session_sqlite import SQLiteChatMessageHistory, SQLiteSessionService

from . import by_hand, conversation, on_servers, programs, recalling, searching
from .conversation import require_same
from .measuring import Figure, medians, missing


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything.

    Attributes:
        peers: The folder of the environment of other libraries; None for the usual one.
        is_quick: Leave out what is not installed and takes long to install.
    """

    batch: int = 1_000
    messages: int = 10_000
    events: int = 100_000
    few_events: int = 1_000
    sessions: int = 100_000
    stream: int = 1_000_000
    corpus: int = 200_000
    appends: int = 2_000
    rounds: int = 25
    turns: int = 400
    peers: Path | None = None
    is_quick: bool = False


QUICK = Sizes(
    batch=1_000, messages=2_000, events=5_000, sessions=4_000, stream=20_000, corpus=6_000, appends=400, rounds=3,
    turns=20, is_quick=True,
)  # fmt: skip
SESSION = "measured"


def one_append(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """One durable append: an event through the service, a message through the history."""
    for kind, things in (("event", conversation.events(4)), ("message", conversation.messages(4))):
        with (
            SQLiteSessionService(folder / f"{kind}-ours.db") as ours,
            SQLiteSessionService(folder / f"{kind}-floor.db") as other,
            closing(by_hand.connect(folder / f"{kind}-floor.db")) as floor,
        ):
            session = ours.create_session(session_id=SESSION)
            other.create_session(session_id=SESSION)
            history = SQLiteChatMessageHistory(SESSION, service=ours)
            mine, its = itertools.cycle(things), itertools.cycle(things)

            def append(session: Any = session, history: Any = history, mine: Any = mine, kind: str = kind) -> None:
                if kind == "event":
                    session._service.append_event(session, next(mine))
                else:
                    history.add_message(next(mine))

            def append_by_hand(floor: Any = floor, its: Any = its, kind: str = kind) -> None:
                write = by_hand.append_events if kind == "event" else by_hand.append_messages
                write(floor, SESSION, [next(its)])

            figures = medians(sizes.rounds * 4, calls=8, ours=append, floor=append_by_hand)
            yield Figure(f"append 1 {kind}, durable", figures["ours"], figures["floor"], 1.3)


ROUNDS_BEFORE_INDEXING = 18  # 1,000 events each: from 20,000 on that no search asked for, appending helps to index


def many_appends(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """A batch in one call: events through the service, messages through the history, and once the index is behind."""
    count = sizes.batch
    rounds = min(sizes.rounds, ROUNDS_BEFORE_INDEXING)
    events, messages = conversation.events(count), conversation.messages(count)
    for name, case, target, waiting in (
        ("events", f"append {count:,} events in one call", 2, 0),
        ("messages", f"add_messages with {count:,} messages", 2, 0),
        ("behind", f"append {count:,} events, 20,000 wait for the index", None, 21_000),
    ):
        with (
            SQLiteSessionService(folder / f"batch-{name}-ours.db") as ours,
            SQLiteSessionService(folder / f"batch-{name}-floor.db") as other,
            closing(by_hand.connect(folder / f"batch-{name}-floor.db")) as floor,
        ):
            session = ours.create_session(session_id=SESSION)
            other.create_session(session_id=SESSION)
            history = SQLiteChatMessageHistory(SESSION, service=ours)
            if waiting:
                ours.append_events(session, conversation.events(waiting))
                by_hand.append_events(floor, SESSION, conversation.events(waiting))
            if name == "messages":
                figures = medians(
                    rounds,
                    ours=partial(history.add_messages, messages),
                    floor=partial(by_hand.append_messages, floor, SESSION, messages),
                )
            else:
                figures = medians(
                    rounds,
                    ours=partial(ours.append_events, session, events),
                    floor=partial(by_hand.append_events, floor, SESSION, events),
                )
            yield Figure(case, figures["ours"], figures["floor"], target)


def read_messages(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """A long conversation as LangChain objects, beside bare construction and beside langchain-community."""
    count = sizes.messages
    messages = conversation.messages(count)
    with (
        SQLiteSessionService(folder / "read.db") as ours,
        closing(by_hand.connect(folder / "read.db")) as floor,
    ):
        history = SQLiteChatMessageHistory(SESSION, service=ours)
        history.add_messages(messages)
        require_same(history.messages, messages)
        require_same(by_hand.read_messages(floor, SESSION), messages)
        figures = medians(
            sizes.rounds, ours=lambda: history.messages, floor=lambda: by_hand.read_messages(floor, SESSION)
        )
        yield Figure(f"read {count:,} messages", figures["ours"], figures["floor"], 1.3)
        community = _community_history(folder / "community.db")
        if community is None:
            missing("langchain-community's history: it is not installed (pip install langchain-community)")
            return
        community.add_messages(messages)
        if len(community.messages) != count:
            raise AssertionError("langchain-community's history is not what was added")
        figures = medians(max(3, sizes.rounds // 3), ours=lambda: history.messages, floor=lambda: community.messages)
        yield Figure(f"read {count:,} messages, floor: langchain-community", figures["ours"], figures["floor"], 1 / 5)


def _community_history(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is about to be retired, and says so
        try:
            from langchain_community.chat_message_histories import SQLChatMessageHistory
        except ImportError:
            return None
        return SQLChatMessageHistory(SESSION, connection=f"sqlite:///{path}")


def last_events(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """The latest 20 of a long conversation, beside the raw rows and beside a short conversation."""
    with (
        SQLiteSessionService(folder / "last.db", durability="fast") as service,
        closing(by_hand.connect(folder / "last.db")) as floor,
    ):
        names = {"many": sizes.events, "few": sizes.few_events}
        for name, count in names.items():
            service.create_session(session_id=name)
            for part in range(0, count, 1_000):
                service.append_events(name, conversation.events(min(1_000, count - part)))
        figures = medians(
            sizes.rounds * 4,
            calls=20,
            ours=lambda: service.last_events("many", 20),
            few=lambda: service.last_events("few", 20),
            floor=lambda: by_hand.last_events(floor, "many", 20),
        )
        yield Figure(f"last 20 of {sizes.events:,} events", figures["ours"], figures["floor"], 5)
        yield Figure(
            f"last 20 of {sizes.events:,} events, floor: of {sizes.few_events:,}", figures["ours"], figures["few"], 1.1
        )
        service.clear_session("few")
        for name, count in names.items():
            history = SQLiteChatMessageHistory(f"{name} messages", service=service)
            for part in range(0, count, 1_000):
                history.add_messages(conversation.messages(min(1_000, count - part)))
        history = SQLiteChatMessageHistory("many messages", service=service, limit=20)
        figures = medians(
            sizes.rounds * 4,
            calls=20,
            ours=lambda: history.messages,
            floor=lambda: by_hand.last_events(floor, "many messages", 20),
        )
        yield Figure(f"history with limit=20 of {sizes.events:,} messages", figures["ours"], figures["floor"], 5)


_COPY_SESSIONS = """
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :count)
INSERT INTO sessions
       (id, app_name, user_id, agent_id, title, metadata, created_at, updated_at, last_seq, initial_state)
SELECT printf('session-%09d', n), app_name, printf('user-%d', n % 100), agent_id, title, metadata, created_at,
       strftime('%Y-%m-%dT%H:%M:%S.000000Z', '2026-01-01', printf('+%d seconds', n * 7919 % 20000000)), last_seq,
       initial_state
  FROM sessions, number
"""


def latest_sessions(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """The 20 latest sessions of one of 100 users."""
    with (
        SQLiteSessionService(folder / "sessions.db") as service,
        closing(by_hand.connect(folder / "sessions.db")) as floor,
    ):
        service.create_session(title="Build of package 7", metadata={"source": "desktop"}, agent_id="agent-001")
        floor.execute(_COPY_SESSIONS, {"count": sizes.sessions})
        ours = service.list_sessions(user_id="user-7", limit=20)
        if [session.id for session in ours] != [row[0] for row in by_hand.latest_sessions(floor, "user-7", 20)]:
            raise AssertionError("the two lists of sessions differ")
        figures = medians(
            sizes.rounds * 4,
            calls=20,
            ours=lambda: service.list_sessions(user_id="user-7", limit=20),
            floor=lambda: by_hand.latest_sessions(floor, "user-7", 20),
        )
        yield Figure(f"20 latest sessions of {sizes.sessions:,}", figures["ours"], figures["floor"], 2.5)


def memory_of_messages(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """The most memory that a read takes at any moment, beside the memory of the objects alone, built by hand."""
    with (
        SQLiteSessionService(folder / "memory.db") as service,
        closing(by_hand.connect(folder / "memory.db")) as floor,
    ):
        history = SQLiteChatMessageHistory(SESSION, service=service)
        history.add_messages(conversation.messages(sizes.messages))
        _, peak = _traced(lambda: history.messages)
        kept, _ = _traced(lambda: by_hand.read_messages(floor, SESSION))
        yield Figure(f"memory to read {sizes.messages:,} messages", peak, kept, 1.3, "B")


def memory_of_stream(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """The most memory that a stream over everything takes, beside the same over its beginning."""
    with SQLiteSessionService(folder / "stream.db", durability="fast") as service:
        session = service.create_session()
        for _ in range(0, sizes.stream, 10_000):
            session.add_events(conversation.events(10_000))
        few = max(sizes.stream // 100, 5_000)

        def count(limit: int) -> None:
            if sum(1 for _ in service.iter_events(session, limit=limit)) != limit:
                raise AssertionError("the stream is not what was appended")

        _, floor = _traced(lambda: count(few))
        _, ours = _traced(lambda: count(sizes.stream))
        yield Figure(f"memory of iter_events over {sizes.stream:,}, floor: {few:,}", ours, floor, 1.1, "B")
        figures = medians(3, all=lambda: count(sizes.stream), few=lambda: count(few))
        ours, floor = figures["all"] / sizes.stream, figures["few"] / few
        yield Figure("time of iter_events, an event", ours, floor, None)


def _traced(run: Callable[[], object]) -> tuple[int, int]:
    """How much memory a call's result has in the end, and the call had at its peak; after one call to warm up."""
    run()
    gc.collect()
    tracemalloc.start()
    try:
        begin, _ = tracemalloc.get_traced_memory()
        result = run()
        end, peak = tracemalloc.get_traced_memory()
        del result
        return end - begin, peak - begin
    finally:
        tracemalloc.stop()


GROUPS: dict[str, Callable[[Path, Sizes], Iterable[Figure]]] = {
    "append": one_append,
    "batch": many_appends,
    "read": read_messages,
    "last": last_events,
    "sessions": latest_sessions,
    "memory": memory_of_messages,
    "stream": memory_of_stream,
    "search": searching.search,
    "recall": recalling.recall,
    "session search": searching.session_search,
    "in-session": searching.search_in_session,
    "index-size": searching.index_size,
    "index-append": searching.append_with_index,
    "sidebar": searching.sidebar,
    "cold start": programs.cold_start,
    "processes": programs.processes,
    "growth": programs.growth,
    "agent": programs.agent,
    "servers": on_servers.on_servers,
    "server-peers": on_servers.beside_peers,
}
