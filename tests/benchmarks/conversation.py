"""A long conversation to measure with, as messages and as events: questions, tool calls, results, answers.

The messages are what a provider's integration gives a chain: ids, usage, metadata of the response. A turn is four.
"""

from __future__ import annotations

import json
import uuid

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from session_sqlite import Event, ToolCall, Usage

QUESTION = "请帮我分析代码 number {}: why does the build of package {} stop after the second step, and what can I do?"
ANSWER = (
    "In package {} the second step reads a file that the first one has not written yet. 先检查 main.go 第 {} 行：the"
    " channel is closed before the last value was sent, so the reader sees an empty list. Move the close() behind the"
    " loop, and wait for the group. Then run the tests again; they should all pass."
)
RESULT = {"exit_code": 1, "stderr": "panic: send on closed channel", "stdout": "ok   pkg/a 0.01s\nok   pkg/b 0.02s\n"}


def _response(number: int, reason: str) -> dict[str, object]:
    return {
        "model_name": "gpt-4o-mini-2024-07-18",
        "model_provider": "openai",
        "system_fingerprint": "fp_560af6e559",
        "id": f"chatcmpl-{number:09}",
        "finish_reason": reason,
        "logprobs": None,
    }


def _usage(number: int) -> dict[str, object]:
    return {
        "input_tokens": 800 + number % 100,
        "output_tokens": 60,
        "total_tokens": 860 + number % 100,
        "input_token_details": {"cache_read": 512},
        "output_token_details": {"reasoning": 0},
    }


def messages(count: int) -> list[BaseMessage]:
    """So many messages, in turns of four."""
    made: list[BaseMessage] = []
    for number in range((count + 3) // 4):
        call = f"call_{uuid.uuid4().hex[:24]}"
        made += (
            HumanMessage(QUESTION.format(number, number % 7)),
            AIMessage(
                "",
                id=f"run--{uuid.uuid4()}",
                tool_calls=[{"name": "run_build", "args": {"package": number % 7, "verbose": True}, "id": call}],
                usage_metadata=_usage(number),
                response_metadata=_response(number, "tool_calls"),
            ),
            ToolMessage(json.dumps(RESULT), name="run_build", tool_call_id=call),
            AIMessage(
                ANSWER.format(number % 7, number),
                id=f"run--{uuid.uuid4()}",
                usage_metadata=_usage(number),
                response_metadata=_response(number, "stop"),
            ),
        )
    return made[:count]


def events(count: int) -> list[Event]:
    """So many events that say the same and were never messages."""
    made: list[Event] = []
    for number in range((count + 3) // 4):
        call = f"call_{uuid.uuid4().hex[:24]}"
        usage = Usage("gpt-4o-mini-2024-07-18", 800 + number % 100, 60, 512)
        args = {"package": number % 7, "verbose": True}
        made += (
            Event("user", QUESTION.format(number, number % 7), metadata={"source": "desktop"}),
            Event("assistant", actions=(ToolCall("run_build", args, id=call),), usage=usage),
            Event("tool", json.dumps(RESULT), actions=(ToolCall("run_build", id=call),)),
            Event("assistant", ANSWER.format(number % 7, number), reasoning="先看入口。", usage=usage),
        )
    return made[:count]


def require_same(found: list[BaseMessage], expected: list[BaseMessage]) -> None:
    """Raises `AssertionError` unless messages are the same: a floor that did less than the work would be none."""
    for one, other in zip(found, expected, strict=True):
        if (
            type(one) is not type(other)
            or list(one.__dict__.items()) != list(other.__dict__.items())
            or one.model_fields_set != other.model_fields_set
        ):
            raise AssertionError(f"{one!r} is not {other!r}")
