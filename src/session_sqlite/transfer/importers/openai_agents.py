"""Sessions of the OpenAI Agents SDK: its ``SQLiteSession``, whatever its two tables are called.

An item of a session is what the Responses API takes. What a model did in one go (reasoning, text, calls of tools) is
one event; what an item says beyond that (encrypted reasoning, ids, annotations) is kept in the event's metadata under
``openai``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from session_sqlite.models import Event
from session_sqlite.operations.whole_sessions import Arrival, Fault, Note
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of
from session_sqlite.transfer.importers.databases import (
    AGENT_MESSAGES,
    AGENT_SESSIONS,
    AGENT_STRAYS,
    Database,
    quoted,
)
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, json_or_none, kept_id, time_of

_MESSAGES: Final = frozenset({"id", "session_id", "message_data", "created_at"})
_SESSIONS: Final = frozenset({"session_id", "created_at", "updated_at"})
_CALLS: Final = ("function_call", "custom_tool_call", "mcp_call")


def is_agents(database: Database) -> bool:
    """True for a file with the tables of a ``SQLiteSession``."""
    return bool(_tables(database))


def read(database: Database) -> Iterator[Arrival | Fault]:
    """The sessions."""
    for sessions, messages in _tables(database):
        rows = list(database.rows(AGENT_SESSIONS.format(quoted(sessions))))
        rows += database.rows(AGENT_STRAYS.format(quoted(messages), quoted(sessions)))
        for session_id, created_at, updated_at in rows:
            yield Arrival(
                kept_id(session_id),
                _events(database, messages, session_id),
                created_at=time_of(created_at),
                updated_at=time_of(updated_at),
            )


def _tables(database: Database) -> list[tuple[str, str]]:
    """The pairs of tables: where there are several, those whose names are most alike belong together."""
    messages = [name for name, columns in database.tables.items() if columns >= _MESSAGES]
    sessions = [name for name, columns in database.tables.items() if columns >= _SESSIONS and name not in messages]
    if not sessions:
        return []
    return [(max(sessions, key=lambda name: _alike(name, table)), table) for table in messages]


def _alike(one: str, other: str) -> int:
    same = [left == right for left, right in zip(one, other, strict=False)]
    return same.index(False) if False in same else len(same)


@dataclass
class _Reply:
    """The answers of a model in one go, as far as they were read."""

    rows: list[int] = field(default_factory=list)
    when: datetime | None = None
    said: Said = field(default_factory=Said)
    beyond: list[dict[str, Any]] = field(default_factory=list)
    has_message: bool = False

    def events(self, session_id: str, calls: Calls) -> Iterator[Event | Note]:
        metadata = {"openai": self.beyond} if self.beyond else {}
        id = derived_id("openai-agents", session_id, self.rows[0])  # further rows may come
        yield from self.said.events("assistant", id, calls, created_at=self.when, metadata=metadata)


def _events(database: Database, table: str, session_id: str) -> Iterator[Event | Fault | Note]:
    reply = _Reply()
    calls = Calls()
    for row_id, data, created_at in database.rows(AGENT_MESSAGES.format(quoted(table)), session_id=session_id):
        item = json_or_none(data)
        said = Said()
        try:
            kind = item.get("type") or "message"
            author = author_of(item.get("role") or "assistant") if kind == "message" else ""
            is_result = kind.endswith("_output")
            if author == "assistant" or not (author or is_result):
                if kind == "message" and (reply.has_message or reply.said.calls):
                    yield from reply.events(session_id, calls)
                    reply = _Reply()
                _add(reply, kind, item)
                reply.rows.append(row_id)
                reply.when = reply.when or time_of(created_at)
                continue
            said.add(item if is_result else item.get("content"))
        except MALFORMED:
            yield Fault(f"row {row_id} of {table!r:.140}", "not an item of a form that is known")
            continue
        if reply.rows:
            yield from reply.events(session_id, calls)
            reply = _Reply()
        id = derived_id("openai-agents", session_id, row_id)
        yield from said.events(author or "tool", id, calls, created_at=time_of(created_at))
    if reply.rows:
        yield from reply.events(session_id, calls)


def _add(reply: _Reply, kind: str, item: Mapping[str, Any]) -> None:
    if kind == "message":
        content = item.get("content")
        reply.said.add(content)
        reply.has_message = True
        beyond = {name: item[name] for name in ("id", "phase") if item.get(name)}
    elif kind == "reasoning":
        reply.said.add_reasoning({name: item[name] for name in ("summary", "content") if item.get(name)})
        beyond = {name: value for name, value in item.items() if name not in ("summary", "content", "status") and value}
    else:
        reply.said.add(dict(item))
        beyond = {name: item[name] for name in ("id", "namespace", "server_label") if item.get(name)}
        if kind not in _CALLS:
            beyond = {}
    if set(beyond) - {"type"}:
        reply.beyond.append({"type": kind, **beyond})
