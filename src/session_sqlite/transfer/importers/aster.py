"""The file of the Go package session-sqlite (of the aster agent framework), whose schema this package's follows.

An event's content is a message as JSON, its actions are what the event did; only a change of state is one here. Its
times are when it was appended, and its sessions name their app and user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event, ToolCall
from session_sqlite.operations.whole_sessions import Arrival, Fault, Note, SharedState
from session_sqlite.transfer.importers.chat_json import AUTHORS
from session_sqlite.transfer.importers.databases import (
    ASTER_EVENTS,
    ASTER_SESSIONS,
    ASTER_STATE,
    ASTER_STRAYS,
    Database,
)
from session_sqlite.transfer.importers.ids import json_or_none, kept_id, name_or_empty, time_of

_EMPTY: Final[tuple[object, ...]] = (None, "", False, [], {})


def is_aster(database: Database) -> bool:
    """True for a file of the Go package."""
    return database.has("sessions", "id", "app_name", "user_id", "agent_id") and database.has(
        "events", "session_id", "author", "content", "reasoning", "actions", "long_running_tool_ids"
    )


def read(database: Database) -> Iterator[Arrival | SharedState | Fault | Note]:
    """The sessions, with the state that they have now."""
    for row in list(database.records(ASTER_SESSIONS)):
        state: dict[str, Any] = {}
        shared: dict[str, Any] = {}
        if database.has("session_state", "session_id", "key", "value"):
            for key, text in database.rows(ASTER_STATE, session_id=row["id"]):
                value = json_or_none(text)
                if value is None and text != "null":
                    yield Fault(f"state {key!r:.140} of session {row['id']!r:.140}", "not valid JSON")
                elif not str(key).startswith("temp:"):
                    (shared if str(key).startswith(("app:", "user:")) else state)[str(key)] = value
        app, user = kept_id(row["app_name"]), kept_id(row["user_id"])
        if shared:
            yield SharedState(shared, app, user)
        metadata = json_or_none(row["metadata"])
        yield Arrival(
            kept_id(row["id"]),
            _events(database, row["id"]),
            app_name=app,
            user_id=user,
            agent_id=name_or_empty(row["agent_id"]),
            metadata=metadata if isinstance(metadata, dict) else {},
            created_at=time_of(row["created_at"]),
            updated_at=time_of(row["updated_at"]),
            state=state,
        )
    if strays := next(database.rows(ASTER_STRAYS))[0]:
        yield Note(f"{strays:,} events of sessions that were deleted stay behind")


def _events(database: Database, session_id: str) -> Iterator[Event | Fault]:
    names: dict[str, str] = {}
    for row in database.records(ASTER_EVENTS, session_id=session_id):
        try:
            yield _event(row, names)
        except (ValueError, TypeError, KeyError, AttributeError):
            yield Fault(f"event {row['id']!r:.140}", "not an event of a form that is known")


def _event(row: Mapping[str, Any], names: dict[str, str]) -> Event:
    message = json_or_none(row["content"]) if row["content"] else {}
    if not isinstance(message, dict):
        message = {"content": str(row["content"])}
    role = AUTHORS.get(str(message.get("role")), "")
    author = row["author"] or role
    if author in ("agent", "model", ""):
        author = role or "assistant"
    if role == "tool":
        author = "tool"
    content = str(message.get("content") or "")
    actions: list[ToolCall] = []
    texts: list[str] = []
    for block in message.get("content_blocks") or ():
        kind = block.get("type")
        if kind == "text":
            texts.append(block.get("text", ""))
        elif kind == "tool_use":
            actions.append(ToolCall(block.get("name", ""), block.get("input") or {}, id=block.get("id", "")))
        elif kind == "tool_result":
            call_id = block.get("tool_use_id", "")
            result = str(block.get("content", ""))
            texts.append(result)
            actions.append(
                ToolCall(names.get(call_id, ""), id=call_id, error=result if block.get("is_error") else None)
            )
            author = "tool"
    content = content or "\n".join(texts)
    actions += [
        ToolCall(call["name"], call.get("arguments") or {}, id=call.get("id", ""))
        for call in message.get("tool_calls") or ()
    ]
    if author == "tool" and not actions:
        call_id = str(message.get("tool_call_id") or "")
        actions.append(ToolCall(str(message.get("name") or "") or names.get(call_id, ""), id=call_id))
    elif author != "tool":
        names.update((call.id, call.name) for call in actions)
    did = json_or_none(row["actions"]) or {}
    delta = did.pop("StateDelta", None) or {}
    metadata = json_or_none(row["metadata"]) or {}
    notes: dict[str, Any] = {name: value for name, value in did.items() if value not in _EMPTY}
    if waiting := json_or_none(row["long_running_tool_ids"]):
        notes["LongRunningToolIDs"] = waiting
    if notes:
        metadata["aster"] = notes
    return Event(
        author if codec.is_identifier(author) else "assistant",
        content,
        reasoning=row["reasoning"] or "",
        actions=actions,
        state={name: value for name, value in delta.items() if not name.startswith("temp:")},
        metadata=metadata,
        agent_id=name_or_empty(row["agent_id"]),
        branch=name_or_empty(row["branch"]),
        invocation_id=name_or_empty(row["invocation_id"]),
        id=kept_id(row["id"]),
        created_at=time_of(row["created_at"]),
    )
