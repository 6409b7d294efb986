"""Chats as people save them: what is one, in whatever form, and what is none."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from imports import CHAT, imported, said

from session_sqlite import InvalidInputError, SQLiteSessionService, ToolCall, Usage


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(tmp_path / "store" / "sessions.db", durability="fast") as service:
        yield service


@pytest.mark.parametrize("form", ["lines", "one", "list", "messages", "pretty", "lines of lists", "gz"])
def test_chats_come_in_whatever_form_the_json_has(service: SQLiteSessionService, tmp_path: Path, form: str) -> None:
    path = tmp_path / "source" / "chats"
    path.parent.mkdir()
    other = {**CHAT, "task": 2}
    texts = {
        "lines": f"{json.dumps(CHAT)}\n\n{json.dumps(other)}\n",
        "one": json.dumps(CHAT),
        "list": json.dumps([CHAT, other]),
        "messages": json.dumps(CHAT["messages"]),
        "pretty": json.dumps(CHAT, indent=2),
        "lines of lists": f"{json.dumps(CHAT['messages'])}\n{json.dumps(CHAT['messages'][:4])}",  # type: ignore[index]
        "gz": f"{json.dumps(CHAT)}\n{json.dumps(other)}",
    }
    data = b"\xef\xbb\xbf" + texts[form].encode()
    path.write_bytes(gzip.compress(data) if form == "gz" else data)
    several = form in ("lines", "list", "lines of lists", "gz")
    imported(service, path, "openai-chat", sessions=1 + several, skipped_count=0)
    session = max(service.list_sessions(), key=lambda session: session.last_seq)
    events = session.events()
    assert [(event.author, event.content) for event in events] == [
        ("system", "Be brief"), ("user", "What is it?"), ("assistant", ""), ("tool", "a cat"), ("assistant", "A cat."),
    ]  # fmt: skip
    assert events[0].metadata == {"role": "developer"}
    assert events[1].metadata["attachments"][0]["type"] == "image_url"
    assert events[2].reasoning == "Look"
    assert events[2].actions == (ToolCall("look", {"深": 1}, id="c1"), ToolCall("look", id="c2"))
    assert events[2].metadata["invalid_arguments"] == [{"id": "c2", "arguments": "{broken"}]
    assert events[3].actions == (ToolCall("look", id="c1"),)
    if form in ("lines", "one", "list", "pretty", "gz"):
        assert session.metadata["task"] in (1, 2)


def test_a_bad_record_does_not_stop_the_rest(service: SQLiteSessionService, tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    good = [json.dumps({**CHAT, "task": number}) for number in range(3)]
    path.write_text(
        "\n".join([good[0], '{"messages": [', "7", '{"messages": [{"role": "user"}, 3]}', *good[1:]]), "utf-8"
    )
    report = service.import_(path)
    assert (report.sessions, report.events) == (3, 15)
    assert [fault.where for fault in report.skipped][:2] == ["line 2", "line 3"]
    assert report.skipped_count == 3
    path.write_text(f'[{good[0]}, {{"messages": [nope]}}, {good[1]}, {good[2][:50]}', "utf-8")
    report = service.import_(path)
    assert (report.sessions, report.known, report.skipped_count) == (0, 10, 2)


def test_every_airline_conversation_comes_in_with_its_calls(service: SQLiteSessionService) -> None:
    path = Path(os.environ.get("SESSION_SQLITE_REAL_DATA", "")) / "airline-conversations.jsonl.gz"
    if not path.is_file():
        pytest.skip("SESSION_SQLITE_REAL_DATA names no folder with real conversations (.ci/run does)")
    imported(service, path, "openai-chat", sessions=200, events=5308, skipped_count=0)
    assert len(service.tool_calls(limit=None)) == 1164
    assert {call["status"] for call in service.tool_calls(limit=None)} == {"ok"}


@pytest.mark.parametrize(
    "document",
    [
        {"messages": [{"id": "1", "type": "user", "content": "Hi"}]},
        {"messages": [{"id": "1", "role": "user", "type": "x"}]},
        {"name": "Anna", "type": "personal_chat", "id": 7, "messages": [{"id": 1, "type": "message", "text": "Hi"}]},
        {"messages": ["Hi", "there"]},
        {"messages": [{"sender": "user", "text": "Hi"}]},
        [{"role": "admin", "email": "a@example.com"}, {"role": "user", "email": "b@example.com"}],
        [{"role": "user"}],
        [[{"role": "user"}]],
        [{"name": "x", "role": {"id": 7}, "content": "y"}],
        {"role": "reader", "permissions": ["read"]},
    ],
)
@pytest.mark.parametrize("form", ["document", "lines"])
def test_a_list_called_messages_or_a_role_is_no_chat(service: SQLiteSessionService, document: Any, form: str) -> None:
    text = json.dumps(document)
    text = text if form == "document" else f"{text}\n{text}\n"
    for format in ("auto", "openai-chat"):
        with pytest.raises(InvalidInputError):
            service.import_(io.StringIO(text), format=format)
    assert service.stats()["sessions"] == 0


def test_what_is_no_chat_among_chats_is_reported(service: SQLiteSessionService) -> None:
    other = {"messages": [{"id": "1", "type": "user", "content": "Hi"}]}
    report = service.import_(io.StringIO("\n".join(map(json.dumps, [other, CHAT, other]))))
    assert (report.sessions, report.events, report.skipped_count) == (1, 5, 2)
    assert [fault.where for fault in report.skipped] == ["line 1", "line 3"]


def test_blocks_of_anthropic_become_calls_results_and_reasoning(service: SQLiteSessionService) -> None:
    long = "a line of the file\n" * 400
    messages = [
        {"role": "user", "content": "What is in it?"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "I have to read it", "signature": "c2ln"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "t1", "name": "Read", "input": {"path": "a", "note": long}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": long}]},
            {"type": "text", "text": "And now?"},
        ]},
    ]  # fmt: skip
    report = service.import_(io.StringIO(json.dumps({"id": "c", "messages": messages})))
    assert (report.events, report.warnings) == (4, ())
    asked, result, more = service.list_events("c")[1:]
    assert (asked.content, asked.reasoning) == ("I look.", "I have to read it")
    assert asked.actions == (ToolCall("Read", {"path": "a", "note": long}, id="t1"),)
    assert (result.author, result.content, result.actions) == ("tool", long, (ToolCall("Read", id="t1"),))
    assert (more.author, more.content) == ("user", "And now?")
    assert [call["status"] for call in service.tool_calls()] == ["ok"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "Assistant", "content": "a"}, ("assistant", "a")),
        ({"role": "model", "parts": [{"text": "a"}]}, ("assistant", "a")),
        ({"role": "bot", "content": "a"}, ("assistant", "a")),
        ({"role": "gpt", "text": "a"}, ("assistant", "a")),
        ({"role": "AI", "content": {"parts": ["a"]}}, ("assistant", "a")),
        ({"role": "Human", "content": [{"type": "input_text", "text": "a"}]}, ("user", "a")),
        ({"role": "reviewer", "content": "a"}, ("reviewer", "a")),
    ],
)
def test_roles_are_understood_however_they_are_written(
    service: SQLiteSessionService, message: dict[str, Any], expected: tuple[str, str]
) -> None:
    service.import_(io.StringIO(json.dumps({"id": "c", "messages": [message]})))
    assert said(service, "c") == [expected]


@pytest.mark.parametrize("name", ["create_time", "created_at", "createdAt", "created", "timestamp", "date"])
@pytest.mark.parametrize(
    "value",
    [1700000000, 1700000000.0, 1700000000000, 1700000000000000, "1700000000", "2023-11-14T22:13:20Z",
     "2023-11-14T23:13:20+01:00", "2023-11-14 22:13:20"],
)  # fmt: skip
def test_times_are_understood_in_messages_and_chats(service: SQLiteSessionService, name: str, value: Any) -> None:
    message = {"role": "user", "content": "a", name: value}
    service.import_(io.StringIO(json.dumps({"id": "c", "messages": [message], name: value})))
    when = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert service.list_events("c")[0].created_at == when
    assert service.get_session("c").created_at == when


def test_the_model_and_the_tokens_beside_a_reply_are_its_usage(service: SQLiteSessionService) -> None:
    messages = [
        {"role": "user", "content": "a", "model": "m-1"},
        {"role": "assistant", "content": "b", "model": "m-1", "usage": {"prompt_tokens": 9, "completion_tokens": 2}},
        {"role": "assistant", "content": "c", "model": "m-2"},
    ]
    service.import_(io.StringIO(json.dumps({"id": "c", "messages": messages})))
    assert [event.usage for event in service.list_events("c")] == [None, Usage("m-1", 9, 2), Usage("m-2")]


def test_old_function_calls_without_ids_are_joined_to_their_results(service: SQLiteSessionService) -> None:
    messages = [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"n": 1}'}},
        {"role": "function", "name": "f", "content": "one"},
    ]
    service.import_(io.StringIO(json.dumps({"id": "c", "messages": messages})))
    assert [(call["name"], call["output"], call["status"]) for call in service.tool_calls()] == [("f", "one", "ok")]
