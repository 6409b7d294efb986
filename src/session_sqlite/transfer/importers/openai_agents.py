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

from session_sqlite import codec
from session_sqlite.models import Event, ToolCall
from session_sqlite.operations.whole_sessions import Arrival, Fault
from session_sqlite.transfer.importers.chat_json import AUTHORS, made_call, text_and_attachments
from session_sqlite.transfer.importers.databases import (
    AGENT_MESSAGES,
    AGENT_SESSIONS,
    AGENT_STRAYS,
    Database,
    quoted,
)
from session_sqlite.transfer.importers.ids import derived_id, json_or_none, kept_id, time_of

_MESSAGES: Final = frozenset({"id", "session_id", "message_data", "created_at"})
_SESSIONS: Final = frozenset({"session_id", "created_at", "updated_at"})
_CALLS: Final = {"function_call": "arguments", "custom_tool_call": "input", "mcp_call": "arguments"}


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
    sessions = [name for name, columns in database.tables.items() if columns == _SESSIONS]
    messages = [name for name, columns in database.tables.items() if columns == _MESSAGES]
    if not sessions:
        return []
    return [(max(sessions, key=lambda name: _alike(name, table)), table) for table in messages]


def _alike(one: str, other: str) -> int:
    same = [left == right for left, right in zip(one, other, strict=False)]
    return same.index(False) if False in same else len(same)


@dataclass
class _Reply:
    """What a model did in one go, as far as it was read."""

    rows: list[int] = field(default_factory=list)
    when: datetime | None = None
    content: str = ""
    reasoning: list[str] = field(default_factory=list)
    actions: list[ToolCall] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    beyond: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    has_message: bool = False

    def event(self, session_id: str) -> Event:
        metadata = dict(self.metadata)
        if self.attachments:
            metadata["attachments"] = self.attachments
        if self.beyond:
            metadata["openai"] = self.beyond
        return Event(
            "assistant",
            self.content,
            reasoning="\n\n".join(self.reasoning),
            actions=self.actions,
            metadata=metadata,
            id=derived_id("openai-agents", session_id, *self.rows),
            created_at=self.when,
        )


def _events(database: Database, table: str, session_id: str) -> Iterator[Event | Fault]:
    reply = _Reply()
    names: dict[str, str] = {}
    for row_id, data, created_at in database.rows(AGENT_MESSAGES.format(quoted(table)), session_id=session_id):
        item = json_or_none(data)
        try:
            kind = item.get("type") or "message"
            author = AUTHORS.get(str(item.get("role")), "assistant") if kind == "message" else ""
            is_result = kind.endswith("_output")
            if author == "assistant" or not (author or is_result):
                if kind == "message" and (reply.has_message or reply.actions):
                    yield reply.event(session_id)
                    reply = _Reply()
                _add(reply, kind, item, names)
                reply.rows.append(row_id)
                reply.when = reply.when or time_of(created_at)
                continue
            if is_result:
                event = _result(item, names)
            else:
                content, attachments = text_and_attachments(item.get("content"))
                event = Event(author, content, metadata={"attachments": attachments} if attachments else {})
        except (ValueError, TypeError, KeyError, AttributeError):
            yield Fault(f"row {row_id} of {table!r:.140}", "not an item of a form that is known")
            continue
        if reply.rows:
            yield reply.event(session_id)
            reply = _Reply()
        event.__dict__.update(id=derived_id("openai-agents", session_id, row_id), created_at=time_of(created_at))
        yield event
    if reply.rows:
        yield reply.event(session_id)


def _add(reply: _Reply, kind: str, item: Mapping[str, Any], names: dict[str, str]) -> None:
    beyond = dict(item)
    if kind == "message":
        reply.content, attachments = text_and_attachments(item.get("content"))
        reply.attachments += attachments
        reply.has_message = True
        annotations = [
            part["annotations"]
            for part in item.get("content") or ()
            if isinstance(part, dict) and part.get("annotations")
        ]
        beyond = {name: beyond[name] for name in ("id", "phase") if beyond.get(name)}
        if annotations:
            beyond["annotations"] = annotations
    elif kind == "reasoning":
        for name in ("summary", "content"):
            text, _ = text_and_attachments(item.get(name))
            if text:
                reply.reasoning.append(text)
                break
        beyond.pop("summary", None)
    elif kind in _CALLS:
        call = made_call(item.get("name"), item.get(_CALLS[kind]), item.get("call_id", item.get("id")), reply.metadata)
        if kind == "mcp_call":
            error = item.get("error")
            call = ToolCall(
                call.name, call.args, id=call.id, output=item.get("output"),
                error=error if error is None or isinstance(error, str) else str(error),
            )  # fmt: skip
        reply.actions.append(call)
        names[call.id] = call.name
        beyond = {name: beyond[name] for name in ("id", "namespace", "server_label") if beyond.get(name)}
    else:  # a tool that the provider runs: web_search_call, code_interpreter_call…
        name = kind.removesuffix("_call")
        args = {key: value for key, value in item.items() if key not in ("type", "id", "call_id", "status", "result")}
        call_id = str(item.get("call_id") or item.get("id") or "")
        done = None if item.get("call_id") else item.get("status")
        reply.actions.append(ToolCall(name, args, id=call_id, output=done))
        names[call_id] = name
        beyond = {}
    beyond.pop("status", None)
    if set(beyond) - {"type"}:
        reply.beyond.append({"type": kind, **beyond})


def _result(item: Mapping[str, Any], names: Mapping[str, str]) -> Event:
    output = item.get("output")
    metadata: dict[str, Any] = {}
    if isinstance(output, dict):
        output = [output]
    content, attachments = text_and_attachments(output)
    if attachments:
        metadata["attachments"] = attachments
    call_id = str(item.get("call_id") or "")
    name = names.get(call_id, "")
    return Event(
        "tool", content, actions=[ToolCall(name if codec.storable(name) else "", id=call_id)], metadata=metadata
    )
