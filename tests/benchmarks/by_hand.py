"""The floors: what the cases do, by hand in raw `sqlite3`, with no check that could be left out.

They work on a file that `SQLiteSessionService` made, with the settings of its connections, so that tables, indexes and
durability are the same. Each writes every column that ours writes, and reads the columns that it needs.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from session_sqlite import Event

APP, USER = "default", "default"

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps makes one at each call
_from_json = json.JSONDecoder().decode

INSERT = """
INSERT INTO events
       (id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
        branch, invocation_id, state, usage, tool_call_id, message_id, message, supersedes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
ADVANCE = """
UPDATE sessions
   SET last_seq = last_seq + ?, updated_at = ?
 WHERE app_name = ? AND user_id = ? AND id = ?
"""
LAST_SEQ = "SELECT last_seq FROM sessions WHERE app_name = ? AND user_id = ? AND id = ?"
MESSAGES = """
SELECT author, content, actions, message_id, message
  FROM events
 WHERE app_name = ? AND user_id = ? AND session_id = ?
 ORDER BY seq
"""
LAST_EVENTS = """
SELECT id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
       branch, invocation_id, state, usage, tool_call_id, message_id, message, supersedes
  FROM events
 WHERE app_name = ? AND user_id = ? AND session_id = ?
 ORDER BY seq DESC
 LIMIT ?
"""
LATEST_SESSIONS = """
SELECT id, app_name, user_id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id, parent_seq
  FROM sessions
 WHERE app_name = ? AND user_id = ?
 ORDER BY updated_at DESC, id DESC
 LIMIT ?
"""
SEARCH = """
SELECT events.id, events.session_id, events.author, events.content, events.reasoning, events.actions, events.metadata,
       events.created_at, events.app_name, events.user_id, events.seq, events.agent_id, events.branch,
       events.invocation_id, events.state, events.usage, events.tool_call_id, events.message_id, events.message,
       events.supersedes,
       hits.rank
  FROM (SELECT rowid AS row_id, rank
          FROM search_index
         WHERE search_index MATCH ?
         ORDER BY rank
         LIMIT ?) AS hits
  JOIN events
    ON events.row_id = hits.row_id
 ORDER BY hits.rank, hits.row_id
"""
ROWS_LIKE = """
SELECT row_id
  FROM events
 WHERE content LIKE ? OR reasoning LIKE ? OR actions LIKE ?
"""
INDEX_BYTES = """
SELECT sum(pgsize)
  FROM dbstat
 WHERE name LIKE 'search!_index!_%' ESCAPE '!'
    OR name = 'search_progress'
"""
SIDEBAR = """
SELECT id, app_name, user_id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id, parent_seq,
       (SELECT content
          FROM events AS first
         WHERE first.app_name = sessions.app_name AND first.user_id = sessions.user_id
           AND first.session_id = sessions.id AND first.author = 'user'
         ORDER BY first.seq
         LIMIT 1),
       (SELECT count(*)
          FROM events
         WHERE events.app_name = sessions.app_name AND events.user_id = sessions.user_id
           AND events.session_id = sessions.id)
  FROM sessions
 WHERE app_name = ? AND user_id = ?
 ORDER BY updated_at DESC, id DESC
 LIMIT ?
"""

Row = tuple[Any, ...]


def connect(path: Path) -> sqlite3.Connection:
    """A connection with the settings of ours."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    return connection


def _id() -> str:
    """36 characters that sort by time, as ours do: random ones would be slower to index."""
    return f"{time.time_ns():016x}{os.urandom(10).hex()}"


def now() -> str:
    """Returns the time as it is stored."""
    return f"{datetime.now(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _action(call: Any) -> dict[str, Any]:
    action = {"id": call.id, "name": call.name}
    if call.args:
        action["args"] = call.args
    return action


def event_row(event: Event, session: str, seq: int, now: str) -> Row:
    """Returns the columns of an event."""
    actions = event.actions
    usage = event.usage
    return (
        _id(),
        session,
        event.author,
        event.content,
        event.reasoning,
        _to_json([_action(call) for call in actions]) if actions else "[]",
        _to_json(event.metadata) if event.metadata else "{}",
        now,
        APP,
        USER,
        seq,
        event.agent_id,
        event.branch,
        event.invocation_id,
        "{}",
        None if usage is None else _to_json({name: value for name, value in usage.__dict__.items() if value}),
        actions[0].id if event.author == "tool" else None,
        None,
        None,
        None,
    )


_AUTHORS = {"human": "user", "ai": "assistant", "tool": "tool"}


def _message_row(message: Any, session: str, seq: int, now: str) -> Row:
    kind = message.type
    stored: dict[str, Any] = {"type": kind}
    actions, usage, call_id = "[]", None, None
    if kind == "ai":
        if message.tool_calls:
            calls = message.tool_calls
            actions = _to_json([{"id": call["id"], "name": call["name"], "args": call["args"]} for call in calls])
        if message.response_metadata:
            stored["response_metadata"] = message.response_metadata
        if message.usage_metadata:
            counts = message.usage_metadata
            usage = _to_json(
                {
                    "model": message.response_metadata.get("model_name", ""),
                    "input_tokens": counts["input_tokens"],
                    "output_tokens": counts["output_tokens"],
                    "cache_read_tokens": counts["input_token_details"]["cache_read"],
                }
            )
            stored["usage_metadata"] = counts
    elif kind == "tool":
        call_id = message.tool_call_id
        actions = _to_json([{"id": call_id, "name": message.name}])
    return (
        _id(), session, _AUTHORS[kind], message.content, "", actions, "{}", now, APP, USER, seq, "", "", "", "{}",
        usage, call_id, message.id, _to_json(stored), None,
    )  # fmt: skip


def _append(connection: sqlite3.Connection, session: str, things: Sequence[Any], make_row: Any) -> None:
    connection.execute("BEGIN IMMEDIATE")
    at = now()
    connection.execute(ADVANCE, (len(things), at, APP, USER, session))
    seq = connection.execute(LAST_SEQ, (APP, USER, session)).fetchone()[0] - len(things)
    if len(things) == 1:
        connection.execute(INSERT, make_row(things[0], session, seq + 1, at))
    else:
        connection.executemany(
            INSERT, [make_row(thing, session, place, at) for place, thing in enumerate(things, seq + 1)]
        )
    connection.execute("COMMIT")


def append_events(connection: sqlite3.Connection, session: str, events: Sequence[Event]) -> None:
    """Appends events in one transaction."""
    _append(connection, session, events, event_row)


def append_messages(connection: sqlite3.Connection, session: str, messages: Sequence[BaseMessage]) -> None:
    """Appends messages in one transaction."""
    _append(connection, session, messages, _message_row)


_set = object.__setattr__  # pydantic's own validates


def _human(content: str, id: str | None, stored: dict[str, Any]) -> BaseMessage:
    made = HumanMessage.__new__(HumanMessage)
    fields = {
        "content": content, "additional_kwargs": {}, "response_metadata": {}, "type": "human", "name": None, "id": id,
    }  # fmt: skip
    return _finished(made, fields, stored, {"content"})


def _ai(content: str, id: str | None, stored: dict[str, Any], actions: str) -> BaseMessage:
    made = AIMessage.__new__(AIMessage)
    fields = {
        "content": content, "additional_kwargs": {}, "response_metadata": {}, "type": "ai", "name": None, "id": id,
        "tool_calls": [], "invalid_tool_calls": [], "usage_metadata": None,
    }  # fmt: skip
    given = {"content", "id"}
    if actions != "[]":
        fields["tool_calls"] = [
            {"name": call["name"], "args": call["args"], "id": call["id"], "type": "tool_call"}
            for call in _from_json(actions)
        ]
        given.add("tool_calls")
    return _finished(made, fields, stored, given)


def _tool(content: str, id: str | None, stored: dict[str, Any], actions: str) -> BaseMessage:
    made = ToolMessage.__new__(ToolMessage)
    call = _from_json(actions)[0]
    fields = {
        "content": content, "additional_kwargs": {}, "response_metadata": {}, "type": "tool", "name": call["name"],
        "id": id, "tool_call_id": call["id"], "artifact": None, "status": "success",
    }  # fmt: skip
    return _finished(made, fields, stored, {"content", "name", "tool_call_id"})


def _finished(made: Any, fields: dict[str, Any], stored: dict[str, Any], given: set[str]) -> BaseMessage:
    fields.update(stored)
    given.update(stored)
    given.discard("type")
    _set(made, "__dict__", fields)
    _set(made, "__pydantic_fields_set__", given)
    _set(made, "__pydantic_extra__", {})
    _set(made, "__pydantic_private__", None)
    return made  # type: ignore[no-any-return]


def read_messages(connection: sqlite3.Connection, session: str) -> list[BaseMessage]:
    """Fetch, parse and bare construction of the messages of `conversation`."""
    return messages_of(connection.execute(MESSAGES, (APP, USER, session)))


def messages_of(rows: Iterable[Row]) -> list[BaseMessage]:
    """Parse and bare construction, given the rows of `MESSAGES`."""
    made = []
    for author, content, actions, id, message in rows:
        stored = _from_json(message)
        if author == "user":
            made.append(_human(content, id, stored))
        elif author == "assistant":
            made.append(_ai(content, id, stored, actions))
        else:
            made.append(_tool(content, id, stored, actions))
    return made


def last_events(connection: sqlite3.Connection, session: str, count: int) -> list[Row]:
    """The rows of the latest events."""
    return connection.execute(LAST_EVENTS, (APP, USER, session, count)).fetchall()


def latest_sessions(connection: sqlite3.Connection, user: str, count: int) -> list[Row]:
    """The rows of a user's latest sessions."""
    return connection.execute(LATEST_SESSIONS, (APP, user, count)).fetchall()


def search(connection: sqlite3.Connection, expression: str, count: int) -> list[Row]:
    """The rows of the best events for an expression of FTS5."""
    return connection.execute(SEARCH, (expression, count)).fetchall()


def rows_like(connection: sqlite3.Connection, word: str) -> list[Row]:
    """All events that have a word, without an index: only which they are."""
    return connection.execute(ROWS_LIKE, (f"%{word}%",) * 3).fetchall()


def index_bytes(connection: sqlite3.Connection) -> int:
    """The pages that the search index takes."""
    return int(connection.execute(INDEX_BYTES).fetchone()[0])


def sidebar(connection: sqlite3.Connection, user: str, count: int) -> list[Row]:
    """The rows of a user's latest sessions, with the first message and the number of events."""
    return connection.execute(SIDEBAR, (APP, user, count)).fetchall()
