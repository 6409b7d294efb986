"""The file of the Go package session-sqlite (of the aster agent framework), whose schema this package's follows.

An event's content is a message as JSON, its actions are what the event did; only a change of state is one here. Its
times are when it was appended, and its sessions name their app and user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note, SharedState
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of
from session_sqlite.transfer.importers.databases import (
    ASTER_EVENTS,
    ASTER_SESSIONS,
    ASTER_STATE,
    ASTER_STRAYS,
    Database,
)
from session_sqlite.transfer.importers.ids import MALFORMED, json_or_none, json_or_text, kept_id, name_or_empty, time_of
from session_sqlite.transfer.importers.states import TEMPORARY

_EMPTY: Final[tuple[object, ...]] = (None, "", False, [], {})


def is_aster(database: Database) -> bool:
    """True for a file of the Go package."""
    return database.has("sessions", "id", "app_name", "user_id", "agent_id") and database.has(
        "events", "session_id", "author", "content", "reasoning", "actions", "long_running_tool_ids"
    )


def read(database: Database) -> Iterator[Arrival | SharedState | Fault | Note | LeftOut]:
    """The sessions, with the state that they have now."""
    for row in list(database.records(ASTER_SESSIONS)):
        state: dict[str, Any] = {}
        shared: dict[str, Any] = {}
        if database.has("session_state", "session_id", "key", "value"):
            for key, text in database.rows(ASTER_STATE, session_id=row["id"]):
                value = json_or_none(text)
                if value is None and text != "null":
                    yield Fault(f"state {key!r:.140} of session {row['id']!r:.140}", "not valid JSON")
                elif str(key).startswith("temp:"):
                    yield TEMPORARY
                else:
                    (shared if str(key).startswith(("app:", "user:")) else state)[str(key)] = value
        app, user = kept_id(row["app_name"]), kept_id(row["user_id"])
        if shared:
            yield SharedState(shared, app, user)
        metadata = json_or_text(row["metadata"])
        yield Arrival(
            kept_id(row["id"]),
            _events(database, row["id"]),
            app_name=app,
            user_id=user,
            agent_id=name_or_empty(row["agent_id"]),
            metadata=_object(metadata, "metadata"),
            created_at=time_of(row["created_at"]),
            updated_at=time_of(row["updated_at"]),
            state=state,
        )
    if strays := next(database.rows(ASTER_STRAYS))[0]:
        yield Note(f"{strays:,} events of sessions that were deleted stay behind")


def _events(database: Database, session_id: str) -> Iterator[Event | Fault | Note | LeftOut]:
    calls = Calls()
    for row in database.records(ASTER_EVENTS, session_id=session_id):
        try:
            yield from list(_event(row, calls))
        except MALFORMED:
            yield Fault(f"event {row['id']!r:.140}", "not an event of a form that is known")


def _event(row: Mapping[str, Any], calls: Calls) -> Iterator[Event | Note | LeftOut]:
    message = json_or_none(row["content"]) if row["content"] else {}
    if not isinstance(message, dict):
        message = {"content": str(row["content"])}
    role = author_of(message["role"]) if isinstance(message.get("role"), str) else ""
    author = row["author"] or role
    if author in ("agent", "model", ""):
        author = role or "assistant"
    content, blocks = message.get("content"), message.get("content_blocks")
    said = Said.of(blocks)
    if role == "tool" and not said.results:
        said.add_result(message.get("tool_call_id"), content, name=message.get("name"))
    elif isinstance(content, str) and said.text not in content:
        said.add_text(content)
    elif not blocks or not isinstance(content, str):
        said.add(content)
    said.add_reasoning(row["reasoning"])
    for call in message.get("tool_calls") or ():
        said.add_call(call["name"], call.get("arguments"), call.get("id"))
    did = _object(json_or_text(row["actions"]), "actions")
    delta = did.pop("StateDelta", None) or {}
    metadata = _object(json_or_text(row["metadata"]), "metadata")
    notes: dict[str, Any] = {name: value for name, value in did.items() if value not in _EMPTY}
    if waiting := json_or_text(row["long_running_tool_ids"]):
        notes["LongRunningToolIDs"] = waiting
    if notes:
        metadata["aster"] = notes
    *before, last = said.events(
        author if codec.is_identifier(author) else "assistant",
        kept_id(row["id"]),
        calls,
        created_at=time_of(row["created_at"]),
        metadata=metadata,
        branch=name_or_empty(row["branch"]),
        invocation_id=name_or_empty(row["invocation_id"]),
    )
    yield from before
    if isinstance(last, Event):
        state = {name: value for name, value in delta.items() if not name.startswith("temp:")}
        if len(state) < len(delta):
            yield TEMPORARY
        yield replace(last, state=state, agent_id=name_or_empty(row["agent_id"]))


def _object(value: Any, name: str) -> dict[str, Any]:
    """A value that should be an object, as one; another value stands in it by the name."""
    if isinstance(value, dict):
        return value
    return {} if value in _EMPTY else {name: value}
