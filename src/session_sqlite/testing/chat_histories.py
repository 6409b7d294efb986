"""`ChatHistoryContracts`: what a chat history of LangChain promises, whatever store it keeps its messages in.

It is imported by its own name, since it needs LangChain: ``from session_sqlite.testing.chat_histories import …``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

CALL: Any = {"name": "Read", "args": {"path": "main.go", "a": [1, {"b": None}]}, "id": "c1", "type": "tool_call"}
USAGE: Any = {
    "total_tokens": 5,
    "output_tokens": 2,
    "input_tokens": 3,
    "input_token_details": {"cache_read": 1},
    "output_token_details": {"reasoning": 1},
}
MESSAGES: dict[str, BaseMessage] = {
    "human": HumanMessage("请帮我分析代码 😀", name="Ann", id="m1"),
    "human with an image": HumanMessage([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]),
    "system": SystemMessage("be brief"),
    "ai": AIMessage("hello\r\n", name="planner"),
    "ai with calls": AIMessage("", tool_calls=[CALL, {**CALL, "id": "c2"}]),
    "ai with a call that is no JSON": AIMessage(
        "", invalid_tool_calls=[{"name": "f", "args": "{", "id": "1", "error": "bad", "type": "invalid_tool_call"}]
    ),
    "ai with usage": AIMessage("x", usage_metadata=USAGE, response_metadata={"model_name": "m", "logprobs": None}),
    "ai with reasoning": AIMessage("x", additional_kwargs={"reasoning_content": "先看入口"}),
    "ai with signed thinking": AIMessage(
        [
            {"type": "thinking", "thinking": "first the entry", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "Es8C"},
            {"type": "text", "text": "hello"},
            {"type": "tool_use", "id": "c1", "name": "Read", "input": {"path": "main.go"}},
        ],
        tool_calls=[{**CALL, "args": {"path": "main.go"}}],
    ),
    "ai chunk": AIMessageChunk(content="he", tool_call_chunks=[{"name": "f", "args": '{"a":', "id": "1", "index": 0}]),
    "tool": ToolMessage("package main", tool_call_id="c1", name="Read"),
    "tool error": ToolMessage("no such file", tool_call_id="c1", status="error"),
    "tool with an artifact": ToolMessage("x", tool_call_id="c1", artifact={"rows": [1, 2.5, None]}),
    "function": FunctionMessage(content="x", name="f"),
    "a role of its own": ChatMessage(content="x", role="critic"),
    "empty": AIMessage(""),
    "of a later LangChain": HumanMessage("x", mood="good"),
}


def texts(history: Any) -> list[str]:
    """Returns what the messages of a history say."""
    return [str(message.content) for message in history.messages]


class ChatHistoryContracts:
    """A chat history gives back what it was given: each message exactly, in order, to every reader.

    Subclass it in a test module, as a class whose name begins with ``Test``, and give it the fixture ``open_history``:
    a function that takes the id of a session and returns its history. Called again with the same id it returns another
    history of the same messages; the store is empty at the beginning of each test.
    """

    @pytest.mark.parametrize("kind", MESSAGES)
    def test_a_message_comes_back_exactly_as_it_went_in(self, open_history: Callable[[str], Any], kind: str) -> None:
        """A message comes back with its class and every field, to the order of keys, whatever kind it is."""
        message = MESSAGES[kind]
        open_history("s").add_messages([HumanMessage("before"), message, HumanMessage("after")])
        before, found, after = open_history("s").messages
        assert (before, after) == (HumanMessage("before"), HumanMessage("after"))
        assert type(found) is type(message)
        assert found == message
        assert repr(found) == repr(message)
        assert found.model_dump_json() == message.model_dump_json()

    def test_the_ways_to_add_and_remove_messages(self, open_history: Callable[[str], Any]) -> None:
        """Each way to add a message puts it at the end, and clearing removes them all."""
        history = open_history("s")
        assert history.messages == []
        history.add_user_message("one")
        history.add_user_message(HumanMessage("two", name="Ann"))
        history.add_ai_message("three")
        history.add_ai_message(AIMessage("four", id="m4"))
        history.add_message(SystemMessage("five"))
        history.add_messages([])
        assert history.messages == [
            HumanMessage("one"),
            HumanMessage("two", name="Ann"),
            AIMessage("three"),
            AIMessage("four", id="m4"),
            SystemMessage("five"),
        ]
        assert str(history) == "Human: one\nHuman: two\nAI: three\nAI: four\nSystem: five"
        history.clear()
        assert history.messages == []
        history.add_user_message("six")
        assert texts(history) == ["six"]

    def test_add_messages_adds_everything_it_is_given(self, open_history: Callable[[str], Any]) -> None:
        """A message that was added twice stands twice, with an id too: a history drops nothing."""
        history = open_history("s")
        for _ in range(2):
            history.add_messages([HumanMessage("a"), AIMessage("b")])
        assert texts(history) == ["a", "b", "a", "b"]

    def test_every_reader_of_a_session_has_what_was_added(self, open_history: Callable[[str], Any]) -> None:
        """A second history of a session has at once what the first one added or removed."""
        first, second = open_history("s"), open_history("s")
        first.add_user_message("one")
        assert texts(second) == ["one"]
        second.add_ai_message("two")
        assert texts(first) == ["one", "two"]
        second.clear()
        assert texts(first) == []

    def test_histories_of_two_sessions_never_meet(self, open_history: Callable[[str], Any]) -> None:
        """A message that is added to one session, or removed from it, changes no other one."""
        names = ["s", "S", "s%", "s_", "会话"]
        for name in names:
            open_history(name).add_user_message(f"to {name}")
        open_history("s").clear()
        assert [texts(open_history(name)) for name in names] == [[], *([f"to {name}"] for name in names[1:])]

    def test_a_list_of_messages_is_a_copy(self, open_history: Callable[[str], Any]) -> None:
        """Whoever changes the list that a history gave, or a message in it, changes nothing in the history."""
        history = open_history("s")
        history.add_user_message("one")
        history.messages.append(HumanMessage("two"))
        history.messages[0].content = "changed"
        assert texts(history) == ["one"]

    def test_every_method_can_be_awaited(self, open_history: Callable[[str], Any]) -> None:
        """The awaited methods do what the others do."""

        async def use() -> None:
            history = open_history("s")
            assert await history.aget_messages() == []
            await history.aadd_messages([HumanMessage("one"), AIMessage("two")])
            await history.aadd_messages([HumanMessage("three")])
            assert [message.text for message in await history.aget_messages()] == ["one", "two", "three"]
            assert await history.aget_messages() == history.messages
            await history.aclear()
            assert await history.aget_messages() == []

        asyncio.run(use())

    def test_messages_that_are_added_together_stay_together(self, open_history: Callable[[str], Any]) -> None:
        """Messages of one call stand side by side, whatever threads and event loops add at the same moment."""
        history = open_history("s")

        def work(name: int) -> None:
            async def several() -> None:
                await asyncio.gather(
                    *(
                        history.aadd_messages([HumanMessage(f"{name}.{n}"), AIMessage(f"re {name}.{n}")])
                        for n in range(10)
                    )
                )

            asyncio.run(several())
            history.add_user_message(f"{name}.10")
            assert f"{name}.10" in texts(history)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(6)))
        found = texts(history)
        assert sorted(text for text in found if not text.startswith("re ")) == sorted(
            f"{name}.{n}" for name, n in product(range(6), range(11))
        )
        answered = [index for index, text in enumerate(found) if text.startswith("re ")]
        assert len(answered) == 60
        assert all(found[index] == f"re {found[index - 1]}" for index in answered), "a pair was torn apart"
