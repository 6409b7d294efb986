"""A LangChain message comes back from its event exactly as it went in, and the event's columns say what it says."""

from __future__ import annotations

import copy
import json
import logging
import sys
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from kinds_of_messages import CALL, LONG, MESSAGES, REPLIES, VALUES
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    ToolMessage,
)
from message_strategies import Finish, Level, NotedAIMessage, Point, Rights, Slotted, messages
from pydantic import BaseModel

from session_sqlite import SQLiteChatMessageHistory, SQLiteSessionService, codec
from session_sqlite.errors import InvalidInputError, NotSerializableError
from session_sqlite.messages import values
from session_sqlite.messages.calls import derived
from session_sqlite.messages.langchain import (
    event_of_dict,
    event_to_messages,
    message_to_event,
    messages_of,
    read_columns,
    read_event,
)
from session_sqlite.models import Event, ToolCall, Usage

KEY = codec.SessionKey("app", "user", "session")


def stored(event: Event) -> Event:
    """The event after the way through its row."""
    row = codec.encode_event(event, KEY, codec.now_text(), codec.DEFAULT_MAX_EVENT_BYTES)
    row["seq"] = 1
    back = codec.decode_event(tuple(row[name] for name in codec.EVENT_COLUMNS))
    assert not back.unreadable
    return back


def round_trip(message: BaseMessage) -> BaseMessage:
    (back,) = event_to_messages(stored(message_to_event(message)))
    return back


def exact(value: Any) -> Any:
    """A value as nested tuples that also show types and the order of keys, which ``==`` overlooks."""
    kind = type(value)
    if isinstance(value, BaseModel):
        return (
            kind.__qualname__,
            exact(value.__dict__),
            sorted(value.model_fields_set),
            exact(value.__pydantic_extra__),
            exact(value.__pydantic_private__),
        )
    if isinstance(value, dict):
        return (kind.__name__, [(exact(key), exact(item)) for key, item in value.items()])
    if isinstance(value, (list, tuple)):
        return (kind.__name__, [exact(item) for item in value])
    if isinstance(value, (set, frozenset)):
        return (kind.__name__, sorted((exact(item) for item in value), key=repr))
    if isinstance(value, Point):
        return (kind.__name__, exact(value.x), exact(value.y))
    if isinstance(value, Slotted):
        return (kind.__name__, exact(value.x))
    if isinstance(value, int) and abs(value) > 10**600:
        return (kind.__name__, hex(value))
    return (kind.__name__, repr(value))


def assert_same(back: BaseMessage, message: BaseMessage) -> None:
    assert type(back) is type(message)
    assert exact(back) == exact(message)
    assert exact(back.model_dump(warnings=False)) == exact(message.model_dump(warnings=False))


def columns(event: Event) -> list[Any]:
    """The columns of an event that messages are made of, as `queries.EVENTS_FOR_MESSAGES` has them."""
    row = codec.encode_event(event, KEY, codec.now_text(), codec.DEFAULT_MAX_EVENT_BYTES)
    return [row["id"], row["session_id"], row["author"], row["content"], row["reasoning"], row["actions"], 1,
            row["state"], None if event.message else row["usage"], row["message_id"], row["message"],
            row["metadata"]]  # fmt: skip


def assert_read_like_the_event(row: list[Any]) -> bool:
    """Returns whether a message was made of the columns; then it is that of the event, and no other."""
    try:
        quick = read_columns(row)
    except Exception as error:  # whatever is wrong with a row, the event says it
        raise AssertionError(f"{row!r}") from error
    if quick is not None:
        slow = read_event(codec.decode_for_message(row))
        assert isinstance(slow, BaseMessage), row
        assert exact(quick) == exact(slow)
    return quick is not None


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_a_message_made_of_columns_is_the_one_made_of_the_event(message: BaseMessage) -> None:
    assert_read_like_the_event(columns(message_to_event(message)))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(messages())
def test_any_message_made_of_columns_is_the_one_made_of_the_event(message: BaseMessage) -> None:
    assert_read_like_the_event(columns(message_to_event(message)))


PLAIN = {
    "a question": HumanMessage("hello"),
    "a question with an id": HumanMessage("hello", id="m1"),
    "an answer": AIMessage("hi", id="m2", response_metadata={"model_name": "m"}),
    "an answer of an agent": AIMessage("hi", name="planner"),
    "calls": AIMessage("", tool_calls=[CALL, {**CALL, "id": "c2", "args": {}}]),
    "a result": ToolMessage("done", name="Read", tool_call_id="c1"),
    "a result without a name": ToolMessage("done", tool_call_id="c1"),
    "a reply whose empty fields were set": AIMessage("hi", additional_kwargs={}, response_metadata={}, tool_calls=[]),
}
DAMAGED = (
    None, 7, 1.5, b"x", "", "x", "[", "[]", "[7]", "[{}]", "{}", '{"type":"ai"}', '{"type":7}', '{"type":"none"}',
    '{"type":"human","more":1}', '{"type":"ai","tool_calls":[]}', '{"type":"ai"}{}', '[{"id":"c1","name":7}]',
    '[{"id":7,"name":"Read"}]', '[{"id":"c1","name":"Read","args":"x"}]', '[{"id":"","name":"Read"}]',
    '[{"id":"c1","name":"Read","output":1}]', '[{"id":"c1","name":"Read","error":"no"}]', '{"$form":"adk"}',
    '[{"id":"c1","name":"Read","args":{"a":"\\ud800"}}]', "[" * 300 + "]" * 300, 0, -1, 2**63 - 1, "1", True,
    '{"type":"tool","tool_call_id":"c2"}', '{"type":"chat"}', '{"type":"BaseMessage"}', '{"type":"remove"}',
    *(f'{{"type":"ai","$meta":{meta}}}' for meta in (
        '{"set":["id"]}', '{"set":["id","id","content"]}', '{"set":["none"]}', '{"set":"id"}', '{"set":{"id":1}}',
        '{"set":7}', '{"set":[["id"]]}', '{"set":[]}', '{"set":null}', '{"set":["id"],"order":["content"]}',
        '{"order":["content"]}', '{"extra":{"a":1}}', '{"private":{"a":1}}', '{"calls":[0]}', '{"type":"x"}',
        '{"class":"none:None"}', "{}", "7", "[]", '{"set":[{"$":"x"}]}',
    )),
    '{"type":"ai","additional_kwargs":{"a":"\\"$"}}', '{"type":"ai","additional_kwargs":{"a":{"$":"tuple"}}}',
    '{"type":"ai","additional_kwargs":{"$meta":{"set":["id"]}}}', '{"type":"ai","more":1,"$meta":{"set":["more"]}}',
)  # fmt: skip


@pytest.mark.parametrize("message", PLAIN.values(), ids=PLAIN)
def test_a_plain_message_needs_no_event_in_between_and_a_damaged_row_is_left_to_it(message: BaseMessage) -> None:
    row = columns(message_to_event(message))
    assert assert_read_like_the_event(row)
    for place in range(len(row)):
        for value in DAMAGED:
            assert_read_like_the_event([*row[:place], value, *row[place + 1 :]])


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_a_message_comes_back_exactly_as_it_went_in(message: BaseMessage) -> None:
    before = exact(message)
    back = round_trip(message)
    assert_same(back, message)
    assert back == message
    assert exact(message) == before, "the caller's message was changed"


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_that_json_cannot_hold_comes_back_from_everywhere(value: Any) -> None:
    for message in (
        ToolMessage("x", tool_call_id="1", artifact=value),
        AIMessage("x", additional_kwargs={"v": value}, mood=value),
        AIMessage([{"type": "x", "v": value}], response_metadata={"v": value}),
        AIMessage("x", tool_calls=[{**CALL, "args": {"v": value}}]),
        NotedAIMessage("x", note=value),
    ):
        assert_same(round_trip(message), message)


def test_plain_subclasses_come_back_as_their_plain_equal() -> None:
    numpy = pytest.importorskip("numpy")

    class Name(str):
        pass

    class Items(list[Any]):
        pass

    numbers = [numpy.int64(3), numpy.float32(0.5), numpy.float64("nan")]
    values = [OrderedDict(a=1), Name("a"), *numbers, Items([1])]
    back = round_trip(ToolMessage("x", tool_call_id="1", artifact=values)).artifact  # type: ignore[attr-defined]
    assert [type(value) for value in back] == [dict, str, int, float, float, list]
    assert back[:4] == values[:4]
    assert back[5] == [1]


def test_what_fails_validation_comes_back_as_it_was() -> None:
    none = AIMessage("x")
    none.content = None  # type: ignore[assignment]
    partial = AIMessage.model_construct(content="x")
    del partial.__dict__["usage_metadata"]
    reordered = HumanMessage("x", id="1")
    reordered.__dict__["content"] = reordered.__dict__.pop("content")
    odd = [
        none,
        partial,
        reordered,
        AIMessage.model_construct(),
        ToolMessage.model_construct(content=5, tool_call_id=None, status=7),
        ToolMessage.model_construct(),
        ChatMessage.model_construct(role=None),
        FunctionMessage.model_construct(content=["x"]),
        AIMessage.model_construct(content="x", tool_calls=[{"name": "f"}, 3, {"args": None}]),
        AIMessage.model_construct(content="x", tool_calls=({"name": "f"},), additional_kwargs=None, id=5, name=7),
        AIMessage.model_construct(content=[None, {"type": "text"}, {"type": ["x"], "text": 3}], usage_metadata=[1]),
        HumanMessage.model_construct(content=Finish.STOP, type="robot"),
        HumanMessage.model_construct({"content"}, content="x", additional_kwargs={"a": 1}),
    ]
    for message in odd:
        back = round_trip(message)
        assert type(back) is type(message)
        assert exact(back) == exact(message)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(messages())
def test_any_message_comes_back_exactly(message: BaseMessage) -> None:
    before = exact(message)
    back = round_trip(message)
    assert type(back) is type(message)
    assert exact(back) == before
    assert exact(message) == before


def test_the_message_of_an_event_does_not_change_from_one_writing_to_the_next() -> None:
    for message in MESSAGES.values():
        event = stored(message_to_event(message))
        again = message_to_event(event_to_messages(event)[0])
        assert (again.message, again.author, again.content, again.actions, again.usage, again.message_id) == (
            event.message, event.author, event.content, event.actions, event.usage, event.message_id,
        )  # fmt: skip


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("name", "author"),
    [
        ("human", "user"), ("human chunk", "user"), ("system", "system"), ("ai", "assistant"),
        ("ai chunk", "assistant"), ("ai named", "planner"), ("ai named like a role", "assistant"),
        ("ai named with a blank", "assistant"),
        ("tool", "tool"), ("function", "tool"), ("remove", "system"), ("chat", "critic"), ("chat as a role", "user"),
        ("chat with an odd role", "assistant"), ("subclass", "assistant"), ("base", "assistant"),
    ],
)  # fmt: skip
def test_the_author_is_who_spoke(name: str, author: str) -> None:
    assert message_to_event(MESSAGES[name]).author == author


REASONING: dict[str, tuple[AIMessage, str]] = {
    "deepseek, xai, groq, ollama": (AIMessage("x", additional_kwargs={"reasoning_content": LONG}), LONG),
    "anthropic": (
        AIMessage(
            [
                {"type": "thinking", "thinking": LONG, "signature": "s" * 30},
                {"type": "redacted_thinking", "data": "r" * 30},
                {"type": "thinking", "thinking": "two", "signature": "t"},
                {"type": "text", "text": "x"},
            ]
        ),
        f"{LONG}\n\ntwo",
    ),
    "openai": (
        AIMessage(
            [
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": LONG}, {"type": "summary_text", "text": "two"}],
                    "encrypted_content": "e" * 40,
                }
            ]
        ),
        f"{LONG}\n\ntwo",
    ),
    "openai, older": (
        AIMessage(
            "x", additional_kwargs={"reasoning": {"id": "rs", "summary": [{"type": "summary_text", "text": LONG}]}}
        ),
        LONG,
    ),
    "standard block": (AIMessage([{"type": "reasoning", "reasoning": LONG}]), LONG),
    "mistral": (
        AIMessage([{"type": "thinking", "thinking": [{"type": "text", "text": LONG}, {"type": "text", "text": "b"}]}]),
        f"{LONG}\n\nb",
    ),
    "bedrock": (
        AIMessage([{"type": "reasoning_content", "reasoning_content": {"text": LONG, "signature": "s"}}]),
        LONG,
    ),
    "empty": (AIMessage([{"type": "thinking", "thinking": ""}, {"type": "reasoning", "summary": []}]), ""),
    "half a surrogate pair": (AIMessage("x", additional_kwargs={"reasoning_content": "a\ud800"}), "a\ufffd"),
    "seven lists deep": (AIMessage("x", additional_kwargs={"reasoning": [[[[[[[LONG]]]]]]]}), LONG),
    "deeper than eight": (AIMessage("x", additional_kwargs={"reasoning": [[[[[[[[["why"]]]]]]]]]}), ""),
    "deeper than eight objects": (
        AIMessage("x", additional_kwargs={"reasoning": json.loads('{"content":' * 9 + '"why"' + "}" * 9)}),
        "",
    ),
    "of the wrong type": (AIMessage("x", additional_kwargs={"reasoning_content": 3, "reasoning": None}), ""),
}


@pytest.mark.parametrize(("message", "reasoning"), REASONING.values(), ids=REASONING)
def test_reasoning_of_every_shape_is_readable_and_stored_once(message: AIMessage, reasoning: str) -> None:
    event = message_to_event(message)
    assert event.reasoning == reasoning
    assert event.message is not None
    assert LONG not in event.message
    assert_same(round_trip(message), message)


def test_the_text_of_a_message_is_stored_once() -> None:
    text = LONG * 1000
    for message in (
        HumanMessage(text),
        AIMessage([{"type": "text", "text": text}, {"type": "text", "text": text + "."}]),
        AIMessage(text, additional_kwargs={"raw": {"content": text}, "reasoning_content": "why " + text}),
        ToolMessage(text, tool_call_id="1", artifact=[text], name="f"),
    ):
        event = message_to_event(message)
        assert event.message is not None
        assert len(event.message) < 400
        assert_same(round_trip(message), message)


def test_a_plain_message_needs_no_more_than_its_type() -> None:
    call = AIMessage("好的", tool_calls=[CALL], id="m1", name="planner")
    for message in (
        HumanMessage("hi"),
        call,
        ToolMessage("x", tool_call_id="c1", name="f"),
        ChatMessage("x", role="r"),
    ):
        assert json.loads(message_to_event(message).message or "") == {"type": message.type}


def test_the_columns_of_a_call_and_its_result() -> None:
    event = message_to_event(AIMessage("", tool_calls=[CALL]))
    assert event.actions == (ToolCall("Read", CALL["args"], id="c1"),)
    result = message_to_event(ToolMessage("no such file", tool_call_id="c1", name="Read", status="error"))
    assert (result.content, result.actions) == ("no such file", (ToolCall("Read", id="c1", error="no such file"),))
    awkward = message_to_event(AIMessage("", tool_calls=[{"name": "f", "args": {"b": b"\0"}, "id": None}]))
    assert awkward.actions == (ToolCall("f", {"b": {"$": "bytes", "value": "AA=="}}),)


def good(id: str, name: str = "add") -> dict[str, Any]:
    return {"name": name, "args": {"a": 1}, "id": id, "type": "tool_call"}


def bad(id: str | None, name: str | None = "add", args: str | None = '{"a": ') -> dict[str, Any]:
    return {"name": name, "args": args, "id": id, "error": "not JSON", "type": "invalid_tool_call"}


FOUND = [{"type": "web_search_result", "title": "Hats", "url": "https://example.org", "encrypted_content": "EqgB"}]
SHOWN = [{"type": "web_search_result", "title": "Hats", "url": "https://example.org"}]
PIXEL = "data:image/png;base64," + "iVBORw0KGgo" * 30
CALLS: dict[str, tuple[AIMessage, list[ToolCall]]] = {
    "an invalid call": (AIMessage("", invalid_tool_calls=[bad("c1")]), [ToolCall("add", '{"a": ', id="c1")]),
    "an invalid call whose text could be read": (
        AIMessage("", invalid_tool_calls=[bad("c1", None, '{"a": 1}')]),
        [ToolCall("", '{"a": 1}', id="c1")],
    ),
    "an invalid call without text": (AIMessage("", invalid_tool_calls=[bad(None, args=None)]), [ToolCall("add")]),
    "an invalid call beside a good one": (
        AIMessage("", tool_calls=[good("c1")], invalid_tool_calls=[bad("c2")]),
        [ToolCall("add", {"a": 1}, id="c1"), ToolCall("add", '{"a": ', id="c2")],
    ),
    "two calls with one id": (
        AIMessage("", tool_calls=[good("c1"), {**good("c1"), "args": {"a": 2}}], invalid_tool_calls=[bad("c1")]),
        [ToolCall("add", {"a": 1}, id="c1"), ToolCall("add", {"a": 2}, id="c1"), ToolCall("add", '{"a": ', id="c1")],
    ),
    "tool_use in the content only": (
        AIMessage([{"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}]),
        [ToolCall("add", {"a": 1}, id="c1")],
    ),
    "tool_use that was streamed": (
        AIMessage([{"type": "tool_use", "id": "c1", "name": "add", "input": {}, "partial_json": '{"a": '}]),
        [ToolCall("add", '{"a": ', id="c1")],
    ),
    "tool_use in both places": (
        AIMessage(["x", {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}], tool_calls=[good("c1")]),
        [ToolCall("add", {"a": 1}, id="c1")],
    ),
    "one id twice, each in both places": (
        AIMessage(
            [{"type": "tool_use", "id": "c1", "name": "add", "input": {"a": n}} for n in (1, 2)],
            tool_calls=[good("c1"), {**good("c1"), "args": {"a": 2}}],
        ),
        [ToolCall("add", {"a": 1}, id="c1"), ToolCall("add", {"a": 2}, id="c1")],
    ),
    "the order of the content": (
        AIMessage(
            [
                {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "hats"}},
                {"type": "web_search_tool_result", "tool_use_id": "s1", "content": FOUND},
                {"type": "tool_use", "id": "c2", "name": "add", "input": {"a": 1}},
                {"type": "tool_use", "id": "c3", "name": "sub", "input": {}},
                {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}},
            ],
            tool_calls=[good("c1"), good("c2")],
        ),
        [
            ToolCall("web_search", {"query": "hats"}, id="s1", output=SHOWN),
            ToolCall("add", {"a": 1}, id="c2"),
            ToolCall("sub", id="c3"),
            ToolCall("add", {"a": 1}, id="c1"),
        ],
    ),
    "LangChain's own blocks": (
        AIMessage([
            {"type": "server_tool_call", "id": "s1", "name": "code_interpreter", "args": {"code": "6*7"}},
            {"type": "server_tool_result", "tool_call_id": "s1", "status": "success", "output": "42"},
            {"type": "tool_call", "id": "c1", "name": "add", "args": {"a": 1}},
            {"type": "server_tool_call", "id": "s2", "name": "remote_mcp", "args": {"at": Level.LOW},
             "extras": {"tool_name": "look"}},
        ]),
        [
            ToolCall("code_interpreter", {"code": "6*7"}, id="s1", output="42"),
            ToolCall("add", {"a": 1}, id="c1"),
            ToolCall("look", {"at": 1}, id="s2"),
        ],
    ),
    "a search and a remote tool of Anthropic that failed": (
        AIMessage([
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {},
             "partial_json": '{"query": "x"}'},
            {"type": "web_search_tool_result", "tool_use_id": "s1", "content": {
                "type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}},
            {"type": "mcp_tool_use", "id": "m1", "name": "look", "server_name": "docs", "input": {"q": 1}},
            {"type": "mcp_tool_result", "tool_use_id": "m1", "is_error": True, "content": "no such page"},
        ]),
        [
            ToolCall("web_search", {"query": "x"}, id="s1",
                     error='{"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}'),
            ToolCall("look", {"q": 1}, id="m1", error="no such page"),
        ],
    ),
    "items of OpenAI": (
        AIMessage([
            {"type": "web_search_call", "id": "ws", "status": "completed", "action": {
                "type": "search", "query": "hats", "sources": [{"url": "https://example.org"}]}},
            {"type": "web_search_call", "id": "ws2", "status": "completed", "action": {"type": "search", "query": "q"}},
            {"type": "web_search_call", "id": "ws3", "status": "failed", "action": {"type": "search", "query": "q"}},
            {"type": "file_search_call", "id": "fs", "status": "completed", "queries": ["hat"],
             "results": [{"text": "a"}]},
            {"type": "code_interpreter_call", "id": "ci", "status": "completed", "code": "6*7", "container_id": "c",
             "outputs": [{"type": "logs", "logs": "42"}, {"type": "image", "url": PIXEL}]},
            {"type": "mcp_call", "id": "mc", "name": "look", "server_label": "docs", "arguments": '{"q": 1}',
             "output": "found", "error": None},
            {"type": "mcp_call", "id": "mc2", "name": "look", "arguments": "{}", "output": None, "error": "no"},
            {"type": "image_generation_call", "id": "ig", "status": "completed", "result": "iVBORw0",
             "revised_prompt": "a hat"},
            {"type": "computer_call", "id": "cu", "call_id": "call_9", "action": {"type": "click", "x": 1}},
            {"type": "function_call", "id": "fc", "call_id": "call_1", "name": "add", "arguments": '{"a": 1}'},
            {"type": "custom_tool_call", "id": "ct", "call_id": "call_2", "name": "sql", "input": "SELECT 1"},
        ]),
        [
            ToolCall("web_search", {"type": "search", "query": "hats"}, id="ws", output=[{"url": "https://example.org"}]),
            ToolCall("web_search", {"type": "search", "query": "q"}, id="ws2", output=""),
            ToolCall("web_search", {"type": "search", "query": "q"}, id="ws3", error="failed"),
            ToolCall("file_search", {"queries": ["hat"]}, id="fs", output=[{"text": "a"}]),
            ToolCall("code_interpreter", {"code": "6*7"}, id="ci", output=[
                {"type": "logs", "logs": "42"}, {"type": "image", "url": "data:image/png;base64,"}]),
            ToolCall("look", {"q": 1}, id="mc", output="found"),
            ToolCall("look", {}, id="mc2", error="no"),
            ToolCall("image_generation", {"prompt": "a hat"}, id="ig", output=""),
            ToolCall("computer", {"type": "click", "x": 1}, id="call_9"),
            ToolCall("add", {"a": 1}, id="call_1"),
            ToolCall("sql", {"input": "SELECT 1"}, id="call_2"),
        ],
    ),
    "code that Gemini ran": (
        AIMessage([
            {"type": "executable_code", "executable_code": "6*7", "language": "PYTHON"},
            {"type": "code_execution_result", "code_execution_result": "42", "outcome": 1},
            {"type": "executable_code", "executable_code": "1/0", "language": "PYTHON", "id": "x"},
            {"type": "code_execution_result", "code_execution_result": "ZeroDivisionError", "outcome": 2},
        ]),
        [
            ToolCall("code_interpreter", {"code": "6*7", "language": "PYTHON"}, output="42"),
            ToolCall("code_interpreter", {"code": "1/0", "language": "PYTHON"}, id="x", error="ZeroDivisionError"),
        ],
    ),
    "results without an id": (
        AIMessage([
            {"type": "executable_code", "executable_code": "6*7", "id": "x"},
            {"type": "executable_code", "executable_code": "6*8"},
            {"type": "executable_code", "executable_code": "6*9"},
            {"type": "code_execution_result", "code_execution_result": "48", "outcome": 1},
            {"type": "code_execution_result", "code_execution_result": "54", "outcome": 1},
            {"type": "executable_code", "executable_code": "6*6", "id": "y"},
            {"type": "code_execution_result", "code_execution_result": "36", "outcome": 1},
        ]),
        [
            ToolCall("code_interpreter", {"code": "6*7"}, id="x"),
            ToolCall("code_interpreter", {"code": "6*8"}, output="48"),
            ToolCall("code_interpreter", {"code": "6*9"}, output="54"),
            ToolCall("code_interpreter", {"code": "6*6"}, id="y", output="36"),
        ],
    ),
    "a block that LangChain does not know": (
        AIMessage([{"type": "non_standard", "value": {"type": "mcp_call", "id": "m", "name": "look", "output": "x"}}]),
        [ToolCall("look", id="m", output="x")],
    ),
    "the older places": (
        AIMessage.model_construct(content="", additional_kwargs={
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
            "function_call": {"name": "sub", "arguments": "{"},
            "tool_outputs": [{"type": "web_search_call", "id": "ws", "status": "completed"}],
            "executed_tools": [{"type": "search", "arguments": '{"query": "x"}', "output": "found"}],
        }),
        [
            ToolCall("add", {"a": 1}, id="c1"),
            ToolCall("web_search", id="ws", output=""),
            ToolCall("search", {"query": "x"}, output="found"),
            ToolCall("sub", "{"),
        ],
    ),
    "the older places beside the newer": (
        AIMessage("", tool_calls=[good("c1")], additional_kwargs={
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
            "function_call": {"name": "add", "arguments": '{"a": 1}'},
        }),
        [ToolCall("add", {"a": 1}, id="c1")],
    ),
    "what is no call": (
        AIMessage([
            "text", {"type": "text", "text": "call"}, {"type": "image", "base64": "x"}, {"type": 3}, {},
            {"type": "server_tool_result", "tool_call_id": "gone", "output": "x"},
        ]),
        [],
    ),
    "odd values": (
        AIMessage([
            {"type": "tool_use", "id": None, "name": None, "input": None}, {"type": "mcp_call", "arguments": b"x"},
            {"type": "server_tool_use", "id": "s", "name": "t", "input": {"a": "x\ud800"}},
            {"type": "server_tool_result", "tool_call_id": "s", "output": [1, (2, 3), b"x"]},
        ]),
        [
            ToolCall(""), ToolCall("mcp", {"$": "bytes", "value": "eA=="}),
            ToolCall("t", {"a": "x\ufffd"}, id="s", output=[1, {"$": "tuple"}, {"$": "bytes"}]),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_every_call_of_a_reply_is_an_action_and_the_reply_comes_back(name: str) -> None:
    message, actions = CALLS[name]
    event = stored(message_to_event(message))
    assert list(event.actions) == actions
    assert exact(round_trip(message)) == exact(message)


def before_other_calls(event: Event) -> Event:
    """The event as it was stored while only ``tool_calls`` were actions."""
    body = json.loads(event.message or "")
    places = body.get("$meta", {}).pop("calls", None)
    if not body.get("$meta", True):
        del body["$meta"]
    actions = event.actions if places is None else tuple(event.actions[place] for place in places)
    return replace(event, actions=actions, message=json.dumps(body, ensure_ascii=False, separators=(",", ":")))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(messages())
def test_the_calls_of_a_stored_message_are_derived_as_they_are_when_it_is_stored(message: BaseMessage) -> None:
    event = stored(message_to_event(message))
    assert event.message is not None
    for one in (event, before_other_calls(event)):
        assert one.message is not None
        assert derived(one.message, one.content, one.reasoning, one.actions) == (list(event.actions), event.message)


def test_usage_takes_what_is_a_count_and_skips_the_rest() -> None:
    usage = message_to_event(MESSAGES["ai with usage"]).usage
    assert usage == Usage("gpt-x", 3, 2, cache_read_tokens=1, cache_write_tokens=2, reasoning_tokens=1)
    odd = AIMessage.model_construct(
        content="", usage_metadata={"input_tokens": -3, "output_tokens": 2.5, "input_token_details": None}
    )
    assert message_to_event(odd).usage == Usage()
    assert message_to_event(AIMessage("x")).usage is None


def test_half_surrogate_pairs_are_shown_as_replacement_characters() -> None:
    event = message_to_event(HumanMessage("a\ud800b"))
    assert event.content == "a\ufffdb"
    assert message_to_event(HumanMessage("x", id="\ud800")).message_id is None


def test_what_is_not_a_message_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="not dict"):
        message_to_event({"type": "human", "content": "x"})  # type: ignore[arg-type]


# ---------------------------------------------------------------- what cannot be kept


def test_an_artifact_that_cannot_be_kept_degrades_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2]})
    cycle: list[Any] = [1]
    cycle.append(cycle)
    artifact = {
        "frame": frame,
        "array": frame["a"].to_numpy(),
        "ok": 1,
        "gen": (i for i in ()),
        "cycle": cycle,
        "object": object(),
    }
    with caplog.at_level(logging.WARNING, "session_sqlite"):
        back = round_trip(ToolMessage("the secret text", tool_call_id="1", artifact=artifact))
    assert back.artifact == {  # type: ignore[attr-defined]
        "frame": f"<lost: {type(frame).__module__}.DataFrame>",
        "array": "<lost: numpy.ndarray>",
        "ok": 1,
        "gen": "<lost: generator>",
        "cycle": [1, "<lost: a cycle>"],
        "object": "<lost: object>",
    }
    (record,) = caplog.records
    assert "artifact['frame']" in record.getMessage()
    assert "secret" not in record.getMessage()
    whole = round_trip(ToolMessage("x", tool_call_id="1", artifact=frame))
    assert whole.artifact.startswith("<lost: pandas")  # type: ignore[attr-defined]


def test_a_class_that_raises_at_every_touch_loses_only_its_value() -> None:
    class Unruly:
        def __bool__(self) -> bool:
            raise RuntimeError("no")

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        __hash__ = None  # type: ignore[assignment]

    class Hostile(Unruly):
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("no")

    kwargs = {"a": 1, "reasoning": {"text": Unruly()}, "reasoning_content": Unruly()}
    back = round_trip(AIMessage("x", additional_kwargs=kwargs, handle=Hostile()))
    assert back.additional_kwargs["a"] == 1
    assert back.handle.startswith("<lost: ")  # type: ignore[attr-defined]


def test_nesting_over_200_levels_is_refused_by_path() -> None:
    def nested(levels: int, make: Any = lambda inner: [inner]) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = make(value)
        return value

    message = ToolMessage("x", tool_call_id="1", artifact=nested(200))
    assert round_trip(message) == message
    with pytest.raises(NotSerializableError, match=r"artifact\[0\].*200 levels"):
        message_to_event(ToolMessage("x", tool_call_id="1", artifact=nested(201)))
    with pytest.raises(NotSerializableError):
        message_to_event(AIMessage("x", tool_calls=[{**CALL, "args": {"a": nested(5000)}}]))
    deep = AIMessage("x", tool_calls=[{**CALL, "args": {"a": nested(150)}}])
    assert_same(round_trip(deep), deep)
    tagged = ToolMessage("x", tool_call_id="1", artifact=nested(199, lambda inner: (inner,)))
    assert exact(round_trip(tagged)) == exact(tagged)


def test_classes_that_are_not_loaded_degrade(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    other = NotedAIMessage("y", note=1)
    message = NotedAIMessage(
        "x",
        note=[Finish.STOP, Level.HIGH, Rights.READ | Rights.WRITE, Point(1, (2,)), other, {Point(1, 2)}],
        additional_kwargs={"finish": Finish.STOP, "key": {Level.LOW: 1}},
        mood="good",
    )
    event = stored(message_to_event(message))
    monkeypatch.delitem(sys.modules, "message_strategies")
    monkeypatch.setattr(values, "_warned", set())
    with caplog.at_level(logging.WARNING, "session_sqlite"):
        (back,) = event_to_messages(event)
        event_to_messages(event)
    assert type(back) is AIMessage
    assert back.content == "x"
    assert back.mood == "good"  # type: ignore[attr-defined]
    assert back.additional_kwargs == {"finish": "STOP", "key": {1: 1}}
    note = back.note  # type: ignore[attr-defined]
    assert note[:4] == ["STOP", 2, 3, {"x": 1, "y": (2,)}]
    assert (type(note[4]), note[4].note) == (AIMessage, 1)
    assert note[5] == [{"x": 1, "y": 2}]
    names = [record.args[0] for record in caplog.records]  # type: ignore[index]
    assert len(names) == len(set(names)) == 5


def test_reading_imports_nothing_and_makes_no_other_kind_of_object() -> None:
    for name in (
        "antigravity:x",
        "os:system",
        "builtins:dict",
        "subprocess:Popen",
        "x",
        ":",
        "message_strategies:Point.x",
    ):
        for kind in ("model", "enum", "dataclass"):
            tag = {"$": kind, "class": name, "name": "a", "value": {"args": 1}}
            event = Event("user", "x", message=json.dumps({"type": "human", "additional_kwargs": {"v": tag}}))
            (back,) = event_to_messages(event)
            assert back.additional_kwargs == {"v": {"args": 1}}
    assert "antigravity" not in sys.modules


def test_a_damaged_message_is_left_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    damaged = [
        "", "{", "[]", "3", '"x"', "{}", '{"type":"alien"}', '{"type":["human"]}', '{"type":"human","$meta":3}',
        '{"type":"human","v":{"$":"unknown"}}', '{"type":"human","v":{"$":"bytes","value":"!"}}',
        '{"type":"human","v":{"$":["list"]}}', '{"type":"human","v":{"$":"path","kind":"os","value":"x"}}',
        '{"type":"human","v":{"$":"decimal","value":"x"}}', '{"type":"tool"}', '{"type":"human","$meta":{"set":3}}',
        '{"type":"human","v":' + "[" * 100_000,
    ]  # fmt: skip
    events = [Event("user", "secret", message=text, id=str(i), seq=i) for i, text in enumerate(damaged)]
    for event in events:
        assert event_to_messages(event) == [], event.message
    good = Event("user", "hi")
    gone = Event("user", "x", unreadable=True)
    with caplog.at_level(logging.WARNING, "session_sqlite"):
        assert [message.content for message in messages_of([good, *events, gone, good])] == ["hi", "hi"]
    (record,) = caplog.records
    assert "secret" not in record.getMessage()
    assert str(len(damaged) + 1) in record.getMessage()


def test_a_field_of_another_release_is_kept_as_an_attribute_and_a_missing_one_gets_its_default() -> None:
    event = Event("assistant", "x", message='{"type":"ai","from_the_future":{"a":1},"$meta":{"extra":{"name":"n"}}}')
    (back,) = event_to_messages(event)
    assert (back.from_the_future, back.name, back.tool_calls) == ({"a": 1}, "n", [])  # type: ignore[attr-defined]


class SourcedAIMessage(AIMessage):
    """Has a field whose default is always stored, since it is neither plain nor empty."""

    sources: tuple[str, ...] = ("the web",)


def test_a_stored_message_that_lacks_a_field_that_is_always_stored_is_read_with_its_default() -> None:
    event = message_to_event(SourcedAIMessage("x"))
    older = json.loads(event.message or "")
    assert older.pop("sources")
    (back,) = event_to_messages(replace(event, message=json.dumps(older)))
    assert (type(back), back.sources) == (SourcedAIMessage, ("the web",))  # type: ignore[attr-defined]
    (chat,) = event_to_messages(Event("assistant", "x", message='{"type":"chat"}'))
    assert (type(chat), chat.content, chat.role) == (ChatMessage, "x", "assistant")  # type: ignore[attr-defined]


# ---------------------------------------------------------------- native events


def shown(event: Event) -> list[tuple[Any, ...]]:
    rows = []
    for message in event_to_messages(stored(event)):
        copy.deepcopy(message)
        assert type(message).model_validate(message.model_dump()) == message
        rows.append((message.type, message.id, message.content))
    return rows


def test_a_native_event_reads_as_the_messages_that_say_the_same() -> None:
    assert shown(Event("user", "hi", id="e")) == [("human", "e", "hi")]
    assert shown(Event("system", "hi", id="e")) == [("system", "e", "hi")]
    assert shown(Event("assistant", "hi", id="e", state={"a": 1})) == [("ai", "e", "hi")]
    assert shown(Event("assistant", state={"a": 1})) == []
    assert shown(Event("assistant", "", id="e")) == [("ai", "e", "")]
    actions = [
        ToolCall("Read", {"path": "x"}, id="c1", output="package main"),
        ToolCall("Count", output={"数": [1, None]}),
        ToolCall("Wait", id="c3"),
        ToolCall("Fail", error="no"),
    ]
    event = Event("planner", "ok", id="e", reasoning="why", actions=actions, usage=Usage("m", 5, 2, 1, 0, 1))
    ai, *results = event_to_messages(stored(event))
    assert isinstance(ai, AIMessage)
    assert (ai.name, ai.content, ai.additional_kwargs) == ("planner", "ok", {"reasoning_content": "why"})
    assert [(call["name"], call["id"]) for call in ai.tool_calls] == [
        ("Read", "c1"), ("Count", "e:1"), ("Wait", "c3"), ("Fail", "e:3"),
    ]  # fmt: skip
    assert ai.usage_metadata == {
        "input_tokens": 5, "output_tokens": 2, "total_tokens": 7, "input_token_details": {"cache_read": 1},
        "output_token_details": {"reasoning": 1},
    }  # fmt: skip
    assert ai.response_metadata == {"model_name": "m"}
    assert [(r.name, r.id, r.tool_call_id, r.content, r.status) for r in results if isinstance(r, ToolMessage)] == [
        ("Read", "e:0", "c1", "package main", "success"),
        ("Count", "e:1", "e:1", '{"数": [1, null]}', "success"),
        ("Fail", "e:3", "e:3", "no", "error"),
    ]
    assert len(shown(event)) == 4


@pytest.mark.parametrize(
    "said", [{"content": "yes"}, {"reasoning": "why"}, {"actions": [ToolCall("Read", {"a": 1}, id="c")]}], ids=str
)
def test_an_event_that_says_anything_is_a_message_whatever_it_says_beside(said: dict[str, Any]) -> None:
    for beside in ({"state": {"step": 1}}, {"metadata": {"interrupted": "stop"}}):
        message = event_to_messages(Event("assistant", **said, **beside))[0]
        assert message.type == "ai"
        assert (message.content, message.additional_kwargs.get("reasoning_content", "")) == (
            said.get("content", ""), said.get("reasoning", ""),
        )  # fmt: skip
    assert event_to_messages(Event("assistant", state={"step": 1})) == []
    assert event_to_messages(Event("assistant", metadata={"interrupted": "stop"})) == []


@pytest.mark.parametrize(
    "refused",
    [{"type": "human", "data": {}}, {"type": "human", "data": 5}, {"type": "nobody", "data": {"content": "x"}},
     {"data": {"content": "x"}}, {}, {"type": ["human"], "data": {"content": "x"}}],
    ids=str,
)  # fmt: skip
def test_what_langchain_takes_for_no_message_is_none_of_ours(refused: dict[str, Any]) -> None:
    assert event_of_dict(refused) is None


def test_a_native_tool_event_reads_as_a_tool_message() -> None:
    def one(event: Event) -> tuple[Any, ...]:
        (message,) = event_to_messages(stored(event))
        assert isinstance(message, ToolMessage)
        return (message.id, message.name, message.tool_call_id, message.content, message.status)

    assert one(Event("tool", "out", id="e", actions=[ToolCall("f", id="c")])) == ("e", "f", "c", "out", "success")
    assert one(Event("tool", "", id="e", actions=[ToolCall("f", output=[1])])) == ("e", "f", "e:0", "[1]", "success")
    assert one(Event("tool", "", id="e", actions=[ToolCall("f", error="no")])) == ("e", "f", "e:0", "no", "error")
    assert one(Event("tool", "out", id="e")) == ("e", None, "e:0", "out", "success")


def test_a_native_event_read_as_a_message_and_written_again_says_the_same() -> None:
    calls = [ToolCall("f", {"a": 1}, id="c")]
    event = Event("planner", "ok", id="e", reasoning="why", actions=calls, usage=Usage("m", 1, 2))
    (message,) = event_to_messages(event)
    again = message_to_event(message)
    assert (again.author, again.content, again.reasoning, again.actions, again.usage) == (
        event.author, event.content, event.reasoning, event.actions, event.usage,
    )  # fmt: skip


# ---------------------------------------------------------------- files of an earlier release


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[SQLiteSessionService]:
    """A copy of a file that an earlier release wrote, with a message of every kind.

    It was made with the code of commit 43be6fa, and is not to be made again::

        def write(session_id, messages):
            SQLiteChatMessageHistory(session_id, service=service).add_messages(messages)

        with SQLiteSessionService("messages_of_an_earlier_release.sqlite", search=False) as service:
            write("messages", [*MESSAGES.values(), *REPLIES.values()])
            write("values", [AIMessage("x", additional_kwargs={"value": value}) for value in VALUES.values()])
            write("artifacts", [ToolMessage("x", tool_call_id="c1", artifact=value) for value in VALUES.values()])
            native = service.create_session(session_id="native")
            native.add_event("user", "hi")
            call = ToolCall("add", {"a": 1}, id="c1", output=3)
            native.add_event("assistant", "yes", reasoning="why", actions=[call])
            write("redacted", [AIMessage("my secret is out", additional_kwargs={"note": ("secret", 1)})])
            service.redact("secret", replacement="[gone]", session="redacted")

    Then ``PRAGMA journal_mode=DELETE`` and ``VACUUM``. What is new in `kinds_of_messages` needs a file of its own.
    """
    path = tmp_path / "sessions.db"
    path.write_bytes((Path(__file__).parent / "data" / "messages_of_an_earlier_release.sqlite").read_bytes())
    with SQLiteSessionService(path) as service:
        yield service


WRITTEN: dict[str, list[BaseMessage]] = {
    "messages": [*MESSAGES.values(), *REPLIES.values()],
    "values": [AIMessage("x", additional_kwargs={"value": value}) for value in VALUES.values()],
    "artifacts": [ToolMessage("x", tool_call_id="c1", artifact=value) for value in VALUES.values()],
}
PATHS_OF_THIS_SYSTEM = sys.platform != "win32"  # the file has those of the system that it was written on


@pytest.mark.parametrize("name", WRITTEN)
def test_the_messages_that_an_earlier_release_wrote_come_back_as_they_went_in(
    name: str, earlier: SQLiteSessionService
) -> None:
    back = SQLiteChatMessageHistory(name, service=earlier).messages
    for number, (one, message) in enumerate(zip(back, WRITTEN[name], strict=True)):
        if PATHS_OF_THIS_SYSTEM or name == "messages" or list(VALUES)[number] != "paths":
            assert_same(one, message)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_message_is_stored_as_an_earlier_release_stored_it_byte_for_byte(
    name: str, earlier: SQLiteSessionService
) -> None:
    for event, message in zip(earlier.iter_events(name), WRITTEN[name], strict=True):
        if PATHS_OF_THIS_SYSTEM or '"$":"path"' not in (event.message or ""):
            now = message_to_event(message)
            assert (event.message, event.content, event.reasoning) == (now.message, now.content, now.reasoning)
            assert (event.actions, event.usage, event.message_id) == (now.actions, now.usage, now.message_id)


def test_native_and_redacted_events_of_an_earlier_release_read_as_messages(earlier: SQLiteSessionService) -> None:
    native = SQLiteChatMessageHistory("native", service=earlier).messages
    assert [(one.type, one.content) for one in native] == [("human", "hi"), ("ai", "yes"), ("tool", "3")]
    (redacted,) = SQLiteChatMessageHistory("redacted", service=earlier).messages
    assert redacted.content == "my [gone] is out"
    assert redacted.additional_kwargs == {"note": ("[gone]", 1)}
