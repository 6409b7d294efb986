"""`Contracts`: the base of all contracts of a service, and what they share.

A contract is a test method: its name says what must hold, its docstring says it in a sentence. It knows the service
by its public interface alone.
"""

from __future__ import annotations

import dataclasses
import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import pytest

from session_sqlite import ANY, Event, InvalidInputError, ToolCall, Usage
from session_sqlite.testing.driven import Driven

Dump = dict[str, list[tuple[Any, ...]]]
"""Everything in a store: rows by table, ``"sessions"``, ``"events"`` and ``"state"`` among them."""

NOON: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
NASTY_KEYS: Final = [
    'a"b', "%", "_", "$.x", "'", "a.b", "[0]", "a[0]", "$", "", " ", "\\", '\\"', "!", "!%", "键", "é", "😀", "a\nb",
    "a\x00b", '"}', "a:b", "--", "; DROP TABLE sessions",
]  # fmt: skip


class Contracts:
    """The fixtures of every class of contracts but `service`, which the author of a backend provides."""

    @pytest.fixture
    def dump(self, service: Any) -> Callable[[], Dump]:
        """A function that returns everything in the store, to see that a call changed nothing or left nothing.

        This one reads an export. Override it to look at the very tables, search words included.
        """
        return lambda: exported_rows(service)

    @pytest.fixture
    def session(self, service: Any) -> Any:
        """An empty session with the id "s"."""
        return service.create_session(session_id="s")


def exported_rows(service: Any) -> Dump:
    """Returns what an export of all apps and users has, by the kind of its lines."""
    text = io.StringIO()
    service.scope(app_name=ANY, user_id=ANY).export(text)
    tables: Dump = {"sessions": [], "events": [], "state": []}
    for line in text.getvalue().splitlines():
        kind = json.loads(line)["type"]
        table = {"session": "sessions", "event": "events"}.get(kind, kind)
        if table in tables:
            tables[table].append((line,))
    return {table: sorted(rows) for table, rows in tables.items()}


def rows_about(dump: Dump, *words: str) -> list[tuple[str, tuple[Any, ...]]]:
    """Returns the rows in which one of the words stands, with their tables."""
    found = []
    for table, rows in dump.items():
        for row in rows:
            text = " ".join(
                value.decode("utf-8", "replace") if isinstance(value, bytes) else repr(value) for value in row
            )
            if any(word in text for word in words):
                found.append((table, row))
    return found


def skip_if_awaited(service: Any, reason: str) -> None:
    """Skips a contract of what an asynchronous service does not have."""
    if isinstance(service, Driven):
        pytest.skip(reason)


def is_refused(call: Callable[[], object]) -> bool:
    """Returns True if a call raises `InvalidInputError`, False if it returns."""
    try:
        call()
    except InvalidInputError:
        return True
    return False


def ids(sessions: Any) -> list[str]:
    """Returns the ids of sessions or events."""
    return [one.id for one in sessions]


def contents(events: Any) -> list[str]:
    """Returns what events say."""
    return [event.content for event in events]


def seqs(events: Any) -> list[int]:
    """Returns the places of events in their session."""
    return [event.seq for event in events]


def fill(service: Any, session: Any, *authors: str) -> Any:
    """Appends one event by each author; its content is its number."""
    return service.append_events(session, [Event(author, str(n)) for n, author in enumerate(authors, 1)])


def later() -> None:
    """Lets the clock move on, so that two changes have two times."""
    now = datetime.now(UTC)
    while datetime.now(UTC) <= now:
        time.sleep(0.0005)


def full_event(**changes: Any) -> Event:
    """Returns an event that has something in every field."""
    return dataclasses.replace(
        Event(
            "assistant",
            "好的 😀\x00\r\n",
            reasoning="先看入口",
            actions=[
                ToolCall("Read", {"path": "main.go", "n": [1, 2.5, None, True]}, id="c1", output="package main"),
                ToolCall("Run", id="c2", error="no"),
                ToolCall("Wait"),
            ],
            state={"step": 1, "user:lang": "zh-CN"},
            metadata={"z": 1, "a": {"b": 10**40}},
            agent_id="agent",
            branch="root.sub",
            invocation_id="run-1",
            usage=Usage("m", 1, 2, 3, 4, 5),
            id="e1",
            created_at=datetime(2020, 2, 29, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-5))),
        ),
        **changes,
    )
