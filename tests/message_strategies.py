"""Hypothesis strategies for LangChain messages: every class, with values that JSON cannot hold anywhere in them."""

from __future__ import annotations

import pathlib
import zoneinfo
from dataclasses import dataclass, field
from datetime import UTC, timedelta, timezone
from enum import Enum, IntEnum, IntFlag
from typing import Any

from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
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
from pydantic import PrivateAttr


class Finish(str, Enum):  # noqa: UP042  # what providers define
    """A ``str`` enum, as every Gemini reply has one."""

    STOP = "STOP"
    LENGTH = "a reason that is long enough to be shared"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Rights(IntFlag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Point:
    x: Any
    y: Any = field(default_factory=list)


@dataclass(slots=True)
class Slotted:
    x: Any


class NotedAIMessage(AIMessage):
    """A subclass with fields of its own and a private attribute."""

    note: Any = None
    tags: list[Any] = []  # noqa: RUF012  # pydantic copies it
    _seen: int = PrivateAttr(default=0)


surrogates = st.text(st.characters(), max_size=20) | st.text(st.sampled_from("a代\ud83d\ude00\udc00😀"), max_size=8)
texts = st.text(max_size=40) | st.sampled_from(
    ["", "$", "content", "a text of more than sixteen characters", "好" * 20]
)
zones = st.sampled_from([None, UTC, timezone(timedelta(hours=-3, minutes=-30)), zoneinfo.ZoneInfo("Europe/Berlin")])
hashables = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | texts
    | surrogates
    | st.binary(max_size=8)
    | st.datetimes(timezones=zones, allow_imaginary=False)
    | st.dates()
    | st.times(timezones=st.none() | st.just(UTC))
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.sampled_from([*Finish, *Level, Rights.READ, Rights.READ | Rights.WRITE])
    | st.sampled_from([pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("c:\\d"), pathlib.Path("e")])
)
scalars = (
    hashables
    | st.sampled_from([float("inf"), float("-inf"), float("nan")])
    | st.sampled_from([700, 5000]).map(lambda digits: -(10**digits))
)
keys = st.text(max_size=8) | st.sampled_from(["$", "$$", "$meta", "lc", "type", "value"])


def _nested(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(children, max_size=4)
        | st.dictionaries(keys, children, max_size=4)
        | st.dictionaries(hashables, children, max_size=3)
        | st.lists(children, max_size=3).map(tuple)
        | st.sets(hashables, max_size=3)
        | st.frozensets(hashables, max_size=3)
        | st.builds(Point, children, children)
        | st.builds(Slotted, children)
        | st.builds(Document, page_content=st.text(max_size=20), metadata=st.dictionaries(keys, children, max_size=2))
        | st.builds(HumanMessage, content=st.text(max_size=20), name=st.none() | st.text(max_size=5))
        | st.builds(bytearray, st.binary(max_size=4))
    )


values = st.recursive(scalars, _nested, max_leaves=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(keys, children, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=4)
ids = st.none() | st.text(max_size=10) | st.sampled_from(["lc_run--1", "msg_1"])
names = st.none() | st.sampled_from(["", "user", "assistant", "planner", "规划", " x", "tool"]) | texts
blocks = (
    st.text(max_size=30)
    | st.fixed_dictionaries({"type": st.just("text"), "text": texts}, optional={"index": st.integers()})
    | st.fixed_dictionaries({"type": st.just("thinking"), "thinking": texts, "signature": texts})
    | st.fixed_dictionaries(
        {"type": st.just("reasoning")},
        optional={"reasoning": texts, "summary": st.lists(st.fixed_dictionaries({"text": texts}), max_size=3)},
    )
    | st.fixed_dictionaries({"type": st.just("image"), "data": st.binary(max_size=8)}, optional={"extras": objects})
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["tool_use", "function_call", "server_tool_use", "web_search_call", "mcp_call"])},
        optional={"id": ids, "name": texts, "input": objects, "arguments": texts, "action": objects, "status": texts},
    )
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["server_tool_result", "mcp_tool_result", "code_execution_result"])},
        optional={"tool_use_id": ids, "content": texts | objects, "output": values, "is_error": st.booleans()},
    )
)
contents = texts | surrogates | st.lists(blocks, max_size=4)
reasoning_kwargs = st.fixed_dictionaries({"reasoning_content": texts})
tool_calls = st.lists(
    st.fixed_dictionaries(
        {"name": texts, "args": st.dictionaries(keys, json_values, max_size=3) | objects, "id": ids},
        optional={"type": st.just("tool_call")},
    ),
    max_size=3,
)
invalid_tool_calls = st.lists(
    st.fixed_dictionaries({"name": texts, "args": texts, "id": ids, "error": st.none() | texts}), max_size=2
)
usages = st.none() | st.fixed_dictionaries(
    {"output_tokens": st.integers(-1, 10**6), "input_tokens": st.integers(0, 10**6), "total_tokens": st.integers()},
    optional={"input_token_details": st.dictionaries(st.sampled_from(["cache_read", "audio"]), st.integers(0, 9))},
)

_common = {
    "content": contents,
    "additional_kwargs": objects | reasoning_kwargs,
    "response_metadata": objects,
    "id": ids,
    "name": names,
    "extra": st.dictionaries(st.sampled_from(["mood", "lc_kwargs", "$meta", "$"]), values, max_size=2),
}
_ai = {
    **_common,
    "tool_calls": tool_calls,
    "invalid_tool_calls": invalid_tool_calls,
    "usage_metadata": usages,
}
_tool = {
    **_common,
    "tool_call_id": st.text(max_size=10),
    "artifact": values,
    "status": st.sampled_from(["success", "error"]),
}
FIELDS: dict[type[BaseMessage], dict[str, st.SearchStrategy[Any]]] = {
    HumanMessage: _common,
    HumanMessageChunk: _common,
    SystemMessage: _common,
    SystemMessageChunk: _common,
    AIMessage: _ai,
    AIMessageChunk: {**_ai, "chunk_position": st.sampled_from([None, "last"])},
    NotedAIMessage: {**_ai, "note": values, "tags": st.lists(values, max_size=2)},
    ToolMessage: _tool,
    ToolMessageChunk: _tool,
    FunctionMessage: {**_common, "name": texts},
    FunctionMessageChunk: {**_common, "name": texts},
    ChatMessage: {**_common, "role": texts},
    ChatMessageChunk: {**_common, "role": texts},
}
"""The fields of every class, each with a strategy; ``extra`` stands for attributes that are no fields."""

_REQUIRED = {"content", "tool_call_id", "role"}


@st.composite
def messages(draw: st.DrawFn) -> BaseMessage:
    """A message as code or a provider could have made it: validated, then given odd values past the validators."""
    cls = draw(st.sampled_from([*FIELDS, RemoveMessage]))
    if cls is RemoveMessage:
        return RemoveMessage(id=draw(st.text(max_size=10)))
    strategies = FIELDS[cls]
    required = _REQUIRED | ({"name"} if issubclass(cls, FunctionMessage) else set())
    chosen = draw(st.sets(st.sampled_from(sorted(strategies))))
    fields = {name: draw(strategies[name]) for name in strategies if name in required or name in chosen}
    extra = fields.pop("extra", {})
    message = cls.model_construct(**fields)
    message.__pydantic_extra__.update(extra)
    if draw(st.booleans()):
        message.__pydantic_fields_set__.update(extra)
    if draw(st.booleans()):
        message.__pydantic_fields_set__.symmetric_difference_update(
            draw(st.sets(st.sampled_from(sorted(cls.model_fields)), max_size=2))
        )
    return message


@st.composite
def histories(draw: st.DrawFn) -> list[BaseMessage]:
    """A conversation as agents leave it: calls of every kind, results late, twice, or without a call."""
    messages: list[BaseMessage] = []
    open_calls: list[str] = []
    for turn in range(draw(st.integers(1, 8))):
        messages.append(HumanMessage(f"question {turn} " + "x" * draw(st.integers(0, 40))))
        for _ in range(draw(st.integers(0, 3))):
            some_id = st.sampled_from(["c1", "c2", f"t{turn}"])
            made = draw(st.lists(st.tuples(st.sampled_from("vic"), some_id), max_size=3))  # valid, invalid, content
            content: list[Any] = [{"type": "text", "text": "so"}]
            content += [{"type": "tool_use", "id": id, "name": "f", "input": {}} for kind, id in made if kind == "c"]
            content += [{"type": "server_tool_use", "id": "s", "name": "f", "input": {}}] * draw(st.integers(0, 1))
            messages.append(
                AIMessage(
                    content,
                    tool_calls=[{"name": "f", "args": {}, "id": id} for kind, id in made if kind == "v"],
                    invalid_tool_calls=[
                        {"name": "f", "args": "{", "id": id, "error": None} for kind, id in made if kind == "i"
                    ],
                )
            )
            open_calls += [id for _, id in made]
            answered = draw(st.permutations(open_calls))[: draw(st.integers(0, len(open_calls)))]
            for id in answered:
                open_calls.remove(id)
                messages.append(ToolMessage("r" * draw(st.integers(0, 9)), tool_call_id=id))
        if draw(st.booleans()):
            messages.append(ToolMessage("alone", tool_call_id=draw(st.sampled_from(["gone", "c1"]))))
        messages.append(AIMessage(f"reply {turn}"))
    return messages
