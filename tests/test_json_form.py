"""The public JSON form of sessions, events and hits: `to_dict`, which the command line prints too."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langchain_core.messages import AIMessage, HumanMessage

from session_sqlite import (
    REMOVE,
    Event,
    Session,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    ToolCall,
    Usage,
)
from session_sqlite.cli import main

WHEN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
EVENT_KEYS = [
    "seq", "id", "session_id", "created_at", "author", "content", "attachments", "reasoning", "actions", "state",
    "metadata",
    "agent_id", "branch", "invocation_id", "usage", "supersedes", "copied_from", "message_id", "unreadable",
]  # fmt: skip
SESSION_KEYS = [
    "id", "app_name", "user_id", "agent_id", "title", "metadata", "created_at", "updated_at", "last_seq", "parent_id",
    "parent_seq",
]  # fmt: skip


@pytest.fixture
def session(service: SQLiteSessionService) -> Session:
    """A conversation with an event of each kind."""
    session = service.create_session(session_id="s", title="茶", metadata={"k": [1, "中"]})
    session.add_event("user", "Which tea?", created_at=WHEN, id="first")
    session.add_event(
        "assistant", "Oolong", reasoning="hm", actions=[ToolCall("Find", {"a": 1}, id="c", output={"n": [1, None]}),
                                                        ToolCall("Bad", error="no JSON")],
        state={"step": REMOVE, "user:lang": "zh"}, metadata={"m": 2}, usage=Usage("m", 3, 4),
    )  # fmt: skip
    SQLiteChatMessageHistory("s", service=service).add_messages([HumanMessage("more", id="m1"), AIMessage("yes")])
    session.summarize(lambda messages: "about tea", keep_last=1)
    return session.refresh()


def printed(service: SQLiteSessionService, *args: str) -> Any:
    result = CliRunner().invoke(main, ["--db", str(service.path), *args])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_event_has_always_the_same_keys_and_no_internals(session: Session) -> None:
    for event in [*session.events(), Event("user"), Event("x", message="{}", raw="secret")]:
        document = event.to_dict()
        assert list(document) == EVENT_KEYS
        assert not {"raw", "message", "row_id"} & set(document)
        assert json.loads(json.dumps(document)) == document, "it is JSON as it is"
    stored = {field.name for field in fields(Event)}
    assert set(EVENT_KEYS) | {"raw", "message"} == stored | {"attachments"}


def test_a_session_has_always_the_same_keys(session: Session) -> None:
    for one in (session, Session("by-hand"), session.fork(at=2)):
        document = one.to_dict()
        assert list(document) == SESSION_KEYS == [field.name for field in fields(Session)]
        assert json.loads(json.dumps(document)) == document
    assert (session.to_dict()["title"], session.to_dict()["metadata"]) == ("茶", {"k": [1, "中"]})
    assert session.to_dict()["created_at"] == session.created_at.isoformat()
    assert Session("by-hand").to_dict()["created_at"] is None


def test_the_values_are_those_of_the_event(session: Session) -> None:
    first, second = session.events(limit=2)
    document = first.to_dict()
    assert (document["seq"], document["id"], document["content"], document["session_id"]) == (
        1, "first", "Which tea?", "s",
    )  # fmt: skip
    assert document["created_at"] == "2026-01-02T03:04:05.000678+00:00"
    assert document["usage"] is None
    document = second.to_dict()
    assert document["state"] == {"step": {"$remove": True}, "user:lang": "zh"}
    assert document["actions"] == [
        {"name": "Find", "args": {"a": 1}, "id": "c", "output": {"n": [1, None]}, "error": None},
        {"name": "Bad", "args": {}, "id": "", "output": None, "error": "no JSON"},
    ]
    assert ToolCall("Bad", "{not json").to_dict()["args"] == "{not json"
    assert document["usage"] == {
        "model": "m", "input_tokens": 3, "output_tokens": 4, "cache_read_tokens": 0, "cache_write_tokens": 0,
        "reasoning_tokens": 0,
    }  # fmt: skip


def test_a_change_of_the_dict_does_not_change_the_value(session: Session) -> None:
    event = session.events()[1]
    document = event.to_dict()
    document["metadata"]["new"] = document["state"]["new"] = document["actions"][0]["args"]["new"] = 1
    document["usage"]["model"] = "other"
    assert event == session.events()[1]
    session.to_dict()["metadata"]["new"] = 1
    assert session.metadata == {"k": [1, "中"]}


def test_the_command_line_prints_the_same_form(session: Session, service: SQLiteSessionService) -> None:
    shown = printed(service, "show", "s", "--json")
    assert shown == {"session": session.to_dict(), "events": [event.to_dict() for event in session.events()]}
    (overview,) = service.session_overviews()
    assert printed(service, "list", "--json") == [overview.to_dict()]
    assert list(overview.to_dict()) == [*SESSION_KEYS, "first_message", "event_count", "interrupted", "last_activity"]
    hits = service.search("tea")
    assert printed(service, "search", "tea", "--json") == [hit.to_dict() for hit in hits]
    assert list(hits[0].to_dict()) == ["session", "event", "snippet", "spans", "score", "parts"]
    copy = printed(service, "fork", "s", "--id", "copy", "--json")
    assert copy == service.get_session("copy").to_dict()
    gone = [event.to_dict() for event in service.rewind_session("copy", dry_run=True)]
    assert printed(service, "rewind", "copy", "--yes", "--json")["removed"] == gone


def test_a_damaged_event_has_the_keys_too_and_not_what_is_stored(session: Session, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET actions = '[broken-text' WHERE seq = 1")
    connection.close()
    document = session.events()[0].to_dict()
    assert list(document) == EVENT_KEYS
    assert document["unreadable"]
    assert "broken-text" not in json.dumps(document)
