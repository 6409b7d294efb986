"""A message of every kind, and a value of every kind that JSON cannot hold: what a file has to give back for ever."""

from __future__ import annotations

import math
import pathlib
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from message_strategies import Finish, Level, NotedAIMessage, Point, Rights, Slotted

LONG = "请帮我分析这段代码 and say where it is wrong"

CALL = {"name": "Read", "args": {"path": "main.go", "a": [1, {"b": None}]}, "id": "c1", "type": "tool_call"}

MESSAGES: dict[str, BaseMessage] = {
    "human": HumanMessage("hi"),
    "human long": HumanMessage(LONG, name="Ann", id="m1"),
    "human chunk": HumanMessageChunk("hi"),
    "system": SystemMessage("be brief"),
    "system chunk": SystemMessageChunk("be brief", id="x"),
    "ai": AIMessage("hello"),
    "ai named": AIMessage("hello", name="planner"),
    "ai named like a role": AIMessage("hello", name="user"),
    "ai named with a blank": AIMessage("hello", name=" x "),
    "ai with calls": AIMessage("", tool_calls=[CALL, {**CALL, "id": "c2"}]),
    "ai with a call without id": AIMessage("", tool_calls=[{**CALL, "id": None}]),
    "ai with a call with an empty id": AIMessage("", tool_calls=[{**CALL, "id": ""}]),
    "ai with awkward args": AIMessage("", tool_calls=[{**CALL, "args": {"when": date(2026, 1, 2), "v": {3: (1, 2)}}}]),
    "ai with args in another order": AIMessage("", tool_calls=[{**CALL, "args": {"b": 1, "a": 2}}]),
    "ai with args like a tag": AIMessage("", tool_calls=[{**CALL, "args": {"$": "content"}}]),
    "ai with invalid calls": AIMessage(
        "", invalid_tool_calls=[{"name": "f", "args": "{", "id": "1", "error": "bad", "type": "invalid_tool_call"}]
    ),
    "ai with usage": AIMessage(
        "x",
        usage_metadata={
            "total_tokens": 5,
            "output_tokens": 2,
            "input_tokens": 3,
            "input_token_details": {"cache_read": 1, "cache_creation": 2},
            "output_token_details": {"reasoning": 1},
        },
        response_metadata={"model_name": "gpt-x", "finish_reason": Finish.STOP, "logprobs": None},
    ),
    "ai chunk": AIMessageChunk("he", tool_call_chunks=[{"name": "f", "args": '{"a":', "id": "1", "index": 0}]),
    "ai chunk with calls": AIMessageChunk("", tool_calls=[CALL], chunk_position="last"),
    "tool": ToolMessage(LONG, tool_call_id="c1"),
    "tool error": ToolMessage(LONG, tool_call_id="c1", status="error", name="Read"),
    "tool with an empty name": ToolMessage("x", tool_call_id="c1", name=""),
    "tool with an artifact": ToolMessage(LONG, tool_call_id="c1", artifact={"text": LONG, "raw": b"\0\xff"}),
    "tool with blocks": ToolMessage([{"type": "text", "text": LONG}, LONG], tool_call_id=""),
    "tool chunk": ToolMessageChunk("x", tool_call_id="c1"),
    "function": FunctionMessage("x", name="f"),
    "function without a name": FunctionMessage("x", name=""),
    "function chunk": FunctionMessageChunk("x", name="f"),
    "chat": ChatMessage("x", role="critic"),
    "chat as a role": ChatMessage("x", role="user"),
    "chat with an odd role": ChatMessage("x", role="\n"),
    "chat chunk": ChatMessageChunk("x", role="critic"),
    "remove": RemoveMessage(id="m1"),
    "base": BaseMessage("x", type="mine"),
    "base chunk": BaseMessageChunk("x", type="user"),
    "subclass": NotedAIMessage("x", note={1, 2}, tags=["a"], mood="good"),
    "extra": HumanMessage("x", mood="good", example=False, **{"$": 1, "$meta": 2, "type_": (1,)}),
    "blocks": AIMessage([{"type": "text", "text": LONG}, {"type": "text", "text": LONG + "!"}, "tail"]),
    "no text": AIMessage([{"type": "image_url", "image_url": {"url": "data:"}}]),
    "surrogates": HumanMessage("a\ud800b" + "\ud83d" + "\ude00" + "代"),
    "surrogates in blocks": AIMessage([{"type": "text", "text": LONG + "\udc00"}, {"type": "text", "text": LONG}]),
    "surrogates elsewhere": AIMessage("x", id="\ud800", name="\udfff", additional_kwargs={"\ud800": "\udc00"}),
    "nul": HumanMessage("a\x00b", id="\x00"),
    "lc is data": AIMessage("x", additional_kwargs={"lc": 1, "type": "constructor", "id": ["os", "system"]}),
    "like our own form": AIMessage("x", additional_kwargs={"$": "content", "$meta": {"class": "os:system"}}),
    "a dollar text": AIMessage("x", additional_kwargs={"a": "$", "b": '"$"'}),
    "null and false": AIMessage("x", additional_kwargs={"a": None, "b": False, "c": 0, "d": 0.0, "e": ""}),
    "set to defaults": AIMessage("x", tool_calls=[], name=None, additional_kwargs={}, response_metadata={}),
}

VALUES: dict[str, Any] = {
    "bytes": b"\0\1\xff",
    "bytearray": bytearray(b"ab"),
    "tuple": (1, (2, [3])),
    "set": {1, "a", (2, 3)},
    "frozenset": frozenset({1, 2}),
    "datetime": datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001  # a naive time is what is tested
    "aware": datetime(2026, 1, 2, tzinfo=UTC),
    "zoned": datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    "date": date(2026, 1, 2),
    "time": time(1, 2, 3, fold=1),
    "zoned time": time(1, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    "timedelta": timedelta(days=-1, microseconds=3),
    "decimal": [Decimal("1.10"), Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), Decimal("-0")],
    "uuid": UUID(int=5),
    "paths": [pathlib.Path("a"), pathlib.PurePosixPath("b"), pathlib.PureWindowsPath("c:\\d"), pathlib.Path("\udcff")],
    "floats": [math.nan, math.inf, -math.inf, -0.0, 1e300, 5e-324],
    "big ints": [10**4299, 10**4300, -(10**5000), 2**2000, 2**64],
    "keys": {1: "a", None: "b", (1, 2): "c", "d": 1, 2.5: "e", Finish.STOP: 1, b"x": 2},
    "own tags": [{"$": "bytes", "value": "AA=="}, {"$": {"$": 1}}, {"$$": 1}, {"$meta": 1}],
    "surrogate key": {"\ud800": 1, "a": 2},
    "enums": [Finish.STOP, Level.HIGH, Rights.READ, Rights.READ | Rights.WRITE, Rights(0), {Level.LOW: Finish.LENGTH}],
    "documents": [Document(LONG, id="1", metadata={"a": (1,)}), Document("x")],
    "messages": [HumanMessage("x", mood=1), AIMessage("", tool_calls=[CALL]), NotedAIMessage("x", note=b"1")],
    "dataclasses": [Point(1), Point((1,), Point(2, {3})), Slotted({"a": b"1"})],
    "mixed": {"a": [{"b": (b"1", {"c": {1: None}})}]},
    "booleans": [True, 1, 1.0, False, 0, None],
}

REPLIES: dict[str, BaseMessage] = {
    "anthropic": AIMessage(
        [
            {"type": "thinking", "thinking": LONG, "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "Es8C"},
            {"type": "text", "text": LONG + "."},
            {"type": "tool_use", "id": "c1", "name": "Read", "input": {"path": "main.go"}},
        ],
        tool_calls=[{**CALL, "args": {"path": "main.go"}}],
    ),
    "anthropic with a search": AIMessage(
        [
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": LONG}},
            {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"title": LONG, "url": "https://a.b"}]},
            {"type": "text", "text": LONG, "citations": [{"url": "https://a.b"}]},
        ]
    ),
    "openai": AIMessage(
        [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": LONG}]},
            {"type": "text", "text": LONG, "annotations": []},
            {
                "type": "function_call",
                "call_id": "c1",
                "name": "Read",
                "arguments": '{"path": "main.go"}',
                "id": "fc_1",
            },
        ],
        tool_calls=[{**CALL, "args": {}}],
        id="resp_1",
    ),
    "deepseek": AIMessage(LONG, additional_kwargs={"reasoning_content": LONG + "?"}),
    "gemini": AIMessage(
        [{"type": "thinking", "thinking": LONG}, {"type": "executable_code", "executable_code": "1", "language": 1}],
        response_metadata={"finish_reason": Finish.STOP, "audio": b"\0\1"},
    ),
}
