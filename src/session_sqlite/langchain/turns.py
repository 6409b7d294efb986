"""The order that providers demand: the results of a reply's calls right behind the reply, and one for each call.

A session keeps messages in the order in which they were stored, and some of them alone: a result that came late, a call
that never had a result, a result whose call was never stored. Before a model sees messages they are *paired*.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from session_sqlite.messages.calls import calls_of, may_call
from session_sqlite.models import ToolCall

NO_RESULT: Final = "There is no result: the run ended before this tool call did."
NOT_RUN: Final = "There is no result: the arguments of this tool call are not valid JSON, so it was not run."
_RESULT_IDS: Final = uuid.UUID("6f1a0f4e-6d0c-5f9b-9a6e-3d1f0f6c2b7a")

NoResult = Callable[[BaseMessage, ToolCall, int], ToolMessage]


def calls_to_answer(message: BaseMessage) -> list[ToolCall]:
    """Returns the calls of a message that a result has to follow, in order; two of them may have one id."""
    if not isinstance(message, AIMessage):
        return []
    invalid, content, kwargs = message.invalid_tool_calls, message.content, message.additional_kwargs
    if not message.tool_calls and not may_call(invalid, content, kwargs):
        return []
    calls = calls_of(message.tool_calls, invalid, content, kwargs)
    return [call.action for call in calls if call.action.id and not call.by_provider]


def answers_in_content(message: BaseMessage) -> list[str]:
    """Returns the ids of the calls that a user's message answers, in the form of Anthropic's own interface."""
    if not isinstance(message, HumanMessage) or not isinstance(message.content, list):
        return []
    blocks = [block for block in message.content if isinstance(block, dict) and block.get("type") == "tool_result"]
    return [id for block in blocks if isinstance(id := block.get("tool_use_id"), str)]


def result_id(caller: BaseMessage, call_id: str, place: int) -> str:
    """Returns the id of a call's result: the same whenever the call is run, so a second result replaces the first.

    Args:
        caller: The reply.
        call_id: The id of the call.
        place: Which of the reply's calls with this id it is, from 0.
    """
    return str(uuid.uuid5(_RESULT_IDS, f"{caller.id}/{call_id}" + (f"/{place}" if place else "")))


def no_result(caller: BaseMessage, call: ToolCall, place: int) -> ToolMessage:
    """Returns the result that tells a model that a call has none."""
    text = NOT_RUN if isinstance(call.args, str) else NO_RESULT
    id = result_id(caller, call.id, place)
    return ToolMessage(text, tool_call_id=call.id, name=call.name, status="error", id=id)


def paired(messages: Sequence[BaseMessage], missing: NoResult | None = None) -> list[BaseMessage]:
    """Returns messages with the results of each reply's calls right behind it, in the order of the calls.

    Results whose call is not among the messages are left out.

    Args:
        messages: The messages, in order.
        missing: Makes the result of a call that has none.
    """
    calls = {index: made for index, message in enumerate(messages) if (made := calls_to_answer(message))}
    callers: dict[str, int] = {}  # the last reply, so far, that made each call
    results: dict[tuple[int, str], list[ToolMessage]] = {}
    late: dict[tuple[int, str], list[ToolMessage]] = {}
    elsewhere: set[tuple[int, str]] = set()  # what a message of the user answers
    reply = -1  # the place of the reply that only results separate from this message
    for index, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            caller = callers.get(message.tool_call_id)
            if caller is not None:
                kept = results if caller == reply and not is_placeholder(message) else late
                kept.setdefault((caller, message.tool_call_id), []).append(message)
            continue
        reply = index
        callers.update((call.id, index) for call in calls.get(index, ()))
        for id in answers_in_content(message):
            if id in callers:
                elsewhere.add((callers[id], id))
    whole: list[BaseMessage] = []
    for index, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            continue
        whole.append(message)
        if index not in calls:
            continue
        made = calls[index]
        placed = {
            id: _placed(message, id, count, results.get((index, id), []), late.get((index, id), []))
            for id, count in Counter(call.id for call in made).items()
        }
        for call in made:
            place, result = placed[call.id].pop(0)
            if result is None and missing is not None and (index, call.id) not in elsewhere:
                result = missing(message, call, place)
            if result is not None:
                whole.append(result)
    return whole


def _placed(
    caller: BaseMessage, call_id: str, count: int, results: list[ToolMessage], late: list[ToolMessage]
) -> list[tuple[int, ToolMessage | None]]:
    """Returns the results of a reply's calls with one id, each with its place.

    Results that say by their ids which call they belong to go there, the others in order into what is free. If there
    are too many, those right behind the reply go before those that came later, and the latest before the others.
    """
    real = [message for message in late if not is_placeholder(message)]
    for more in (real, [message for message in late if is_placeholder(message)]):
        missing = count - len(results)
        results = [*results, *(more[-missing:] if missing > 0 else [])]
    chosen = results[-count:]
    found: list[ToolMessage | None] = [None] * count
    ids = [result_id(caller, call_id, place) for place in range(count)]
    rest = []
    for message in chosen:
        place = ids.index(message.id) if message.id in ids else -1
        if place >= 0 and found[place] is None:
            found[place] = message
        else:
            rest.append(message)
    return [(place, rest.pop(0) if message is None and rest else message) for place, message in enumerate(found)]


def is_placeholder(message: BaseMessage) -> bool:
    """Returns whether a message was made by `no_result`, so that a client may not know of it."""
    if not isinstance(message, ToolMessage):
        return False
    return message.status == "error" and message.content in (NO_RESULT, NOT_RUN)
