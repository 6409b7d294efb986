"""The part of a conversation that a client sends again.

Many clients keep the conversation themselves and send the whole of it with each question. If its messages have ids,
these tell what the session has already. If they have none (or others at each request), their contents have to tell: the
*overlap* is what the messages given begin with and the session ends with, of the same kinds, with the same contents,
in order.

It counts only if it has a reply of ours in it, or if it ends with a question that the session has no reply to: then the
client tries again after a failure. A client may keep the questions and the replies alone, without the tool calls
between them. Anything else that is said twice was said twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from session_sqlite.errors import SessionNotFoundError
from session_sqlite.langchain.kept import with_id
from session_sqlite.langchain.turns import calls_to_answer
from session_sqlite.messages.langchain import event_to_messages, message_to_event
from session_sqlite.models import Event
from session_sqlite.service import SessionService
from session_sqlite.session import Session

_KINDS: Final = (HumanMessage, AIMessage, SystemMessage, ToolMessage)
# How many of the latest events are read first. The last message is in them, and if it is not among those given, which
# is the usual case, nothing was sent again.
LATEST: Final = 8


def overlap(given: Sequence[BaseMessage], stored: Sequence[BaseMessage]) -> int:
    """Returns how many of the messages given are the last of those stored, sent again.

    Example:
        >>> stored = [HumanMessage("Tea?"), AIMessage("Green.")]
        >>> overlap([HumanMessage("Tea?"), AIMessage("Green."), HumanMessage("And now?")], stored)
        2
        >>> overlap([HumanMessage("Tea?")], stored)
        0
    """
    most = min(len(given), len(stored))
    sent = [_what_is_said(message) for message in given[:most]]
    had = [_what_is_said(message) for message in stored[len(stored) - most :]]
    unanswered = most > 0 and isinstance(stored[-1], HumanMessage)
    for count in range(most, 0, -1):
        if sent[:count] == had[most - count :] and (
            unanswered or any(isinstance(message, AIMessage) for message in given[:count])
        ):
            return count
    return 0


def stored_again(
    service: SessionService,
    session: Session,
    given: Sequence[BaseMessage],
    *,
    needs_ids: bool = False,
    in_order: Callable[[list[BaseMessage]], list[BaseMessage]] = list,
    may_lack: Callable[[BaseMessage], bool] = lambda _: False,
    may_lack_tools: bool = False,
) -> list[BaseMessage]:
    """Returns the stored messages that the given ones begin with again; empty if nothing was sent again.

    Args:
        service: The store.
        session: The session; it need not exist.
        given: What a client sends.
        needs_ids: Every message that is returned gets an id (see `with_id`).
        in_order: Puts the stored messages into the order in which a model was shown them.
        may_lack: Returns whether a client may not know of a message.
        may_lack_tools: Whether a client may not know of the tool calls and results between a question and its reply,
            or behind a question whose run ended in a tool.
    """
    try:
        latest = _messages(service.list_events(session, newest_first=True, limit=LATEST))
        ended_in_a_tool = may_lack_tools and bool(latest) and _is_of_a_tool(latest[0])
        if not ended_in_a_tool and set(map(_what_is_said, latest)).isdisjoint(map(_what_is_said, given)):
            return []
        newest_first: list[Event] = []
        count = 0
        for event in service.iter_events(session, newest_first=True):
            newest_first.append(with_id(event) if needs_ids else event)
            count += sum(not (may_lack_tools and _is_of_a_tool(message)) for message in _messages([event]))
            if count >= len(given) and event.author == "user":
                break
    except SessionNotFoundError:
        return []
    as_stored = _messages(reversed(newest_first))
    best: list[BaseMessage] = []
    stored = in_order(as_stored)
    # Results of parallel calls are stored as they arrive: a client has them in that order, or in that of the calls.
    orders = [stored] if stored == as_stored else [stored, as_stored]
    orders += [[message for message in order if not may_lack(message)] for order in orders]
    if may_lack_tools:
        orders.append([message for message in stored if not _is_of_a_tool(message)])
    for known in orders:
        count = overlap(given, known)
        if count > len(best):
            best = known[-count:]
    return best


def _is_of_a_tool(message: BaseMessage) -> bool:
    return isinstance(message, ToolMessage) or bool(calls_to_answer(message))


def _messages(events: Iterable[Event]) -> list[BaseMessage]:
    """Returns the messages of events, without summaries, which only stand for what was said."""
    return [message for event in events if not event.supersedes for message in event_to_messages(event)]


def _what_is_said(message: BaseMessage) -> tuple[Any, ...]:
    """Returns what two messages have in common if one is the other, sent again.

    A text is the same given as blocks.
    """
    kind = next((cls.__name__ for cls in _KINDS if isinstance(message, cls)), message.type)
    event = message_to_event(message)
    if isinstance(message, AIMessage):  # without its reasoning, which a client may not keep
        calls = [(call.id, call.name, json.dumps(call.args, sort_keys=True)) for call in event.actions]
        return (kind, event.content, *calls)
    role = message.role if isinstance(message, ChatMessage) else None
    call = message.tool_call_id if isinstance(message, ToolMessage) else None
    content = message.content if isinstance(message.content, list) else []
    others = [block for block in content if isinstance(block, dict) and block.get("type") != "text"]
    return (kind, role, call, event.content, json.dumps(others, sort_keys=True, default=repr))
