"""Chats in the form of OpenAI's chat completions, as people save them: JSON or JSON Lines.

A chat is ``{"messages": [{"role": …, "content": …}, …]}`` or such a list itself; a file holds one or many. What else a
chat says about itself becomes the session's metadata. A chat without an id gets one that stands for all that it says,
so the same chat is the same session wherever it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.messages.tokens import usage_of_provider
from session_sqlite.models import Event, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, Note
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, kept_id, name_or_empty, time_of
from session_sqlite.transfer.importers.json_files import JsonFile

_IDS: Final = ("id", "conversation_id", "session_id", "thread_id", "conversationId", "sessionId", "chat_id", "uuid")
_LISTS: Final = ("messages", "conversations")  # some data sets in ShareGPT's form have roles and contents
_MADE: Final = ("created_at", "create_time", "createdAt", "created", "timestamp", "date", "time")
_CHANGED: Final = ("updated_at", "update_time", "updatedAt", "updated")
_CONTENTS: Final = ("content", "parts", "text", "refusal")
_REASONING: Final = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
_READ: Final = frozenset(
    {*_CONTENTS, *_REASONING, "role", "name", "tool_calls", "function_call", "tool_call_id", "id"}
)  # fmt: skip


def is_chat(file: JsonFile) -> bool:
    """True for a chat, or a file of chats."""
    first = file.first()
    return _is_chat(first) or _is_message(first) or (isinstance(first, list) and any(map(_is_chat, first)))


def read(file: JsonFile) -> Iterator[Arrival | Fault | Note]:
    """The chats of a file."""
    loose: list[Any] = []
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
        elif _is_message(value):
            loose.append(value)  # the file is the list of messages of one chat
        elif isinstance(value, list) and any(map(_is_chat, value)):
            for number, chat in enumerate(value):
                yield from _chat(chat, f"{where}, chat {number}")
        else:
            yield from _chat(value, where)
    if loose:
        yield from _chat(loose, "the file")


def _is_message(value: object) -> bool:
    """True for a message, which has a role and a content: a role alone is no sign of a chat."""
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        return False
    return any(isinstance(value.get(name), (str, list, dict)) for name in (*_CONTENTS, "tool_calls", "function_call"))


def _is_chat(value: object) -> bool:
    messages = _messages_of(value)
    return messages is not None and any(map(_is_message, messages))


def _messages_of(value: object) -> list[Any] | None:
    if isinstance(value, dict):
        return next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
    return value if isinstance(value, list) else None


def _chat(value: Any, where: str) -> Iterator[Arrival | Fault]:
    messages = _messages_of(value)
    if messages is None:
        yield Fault(where, "neither a chat nor a message")
        return
    if messages and not _is_chat(value):
        yield Fault(where, "not a chat: none of its messages has a role and a content")
        return
    about: Mapping[str, Any] = value if isinstance(value, dict) else {}
    try:
        yield _arrival(about, messages)
    except MALFORMED:
        yield Fault(where, "not a chat of a form that is known")


def _arrival(about: Mapping[str, Any], messages: Sequence[Any]) -> Arrival:
    messages_in = next((name for name in _LISTS if isinstance(about.get(name), list)), "")
    metadata = {name: value for name, value in about.items() if name != messages_in}
    own_id = next((about[name] for name in _IDS if isinstance(about.get(name), (str, int)) and about[name] != ""), None)
    id = derived_id("chat", about or list(messages)) if own_id is None else kept_id(own_id)
    title = about.get("title")
    return Arrival(
        id,
        _events(id, messages),
        title=title if codec.is_plain_text(title) else "",
        metadata=metadata,
        created_at=_first_time(about, _MADE)[0],
        updated_at=_first_time(about, _CHANGED)[0],
    )


def _first_time(record: Mapping[str, Any], names: Sequence[str]) -> tuple[datetime | None, str]:
    """The first of the times that can be read, and its name."""
    for name in names:
        if (when := time_of(record.get(name))) is not None:
            return when, name
    return None, ""


def _events(session_id: str, messages: Sequence[Any]) -> Iterator[Event | Fault | Note]:
    calls = Calls()
    for position, message in enumerate(messages, start=1):
        try:
            yield from list(_message(message, calls, derived_id(session_id, position)))
        except MALFORMED:
            yield Fault(f"session {session_id}, message {position}", "not a message of a form that is known")


def _message(message: Mapping[str, Any], calls: Calls, id: str) -> Iterator[Event | Note]:
    role = message["role"]
    if not isinstance(role, str) or not (_is_message(message) or "content" in message):
        raise TypeError("a message has a role and a content")
    author = author_of(role)
    said = Said()
    for name in _REASONING:
        said.add_reasoning(message.get(name))
    if author == "tool":
        output = next((message[name] for name in _CONTENTS if message.get(name)), "")
        said.add_result(message.get("tool_call_id"), output, name=message.get("name"))
    else:
        for name in _CONTENTS:
            said.add(message.get(name))
        for call in message.get("tool_calls") or ():
            said.add({**call, "type": "function"})
        if old := message.get("function_call"):
            said.add({**old, "type": "function_call"})
    when, time_name = _first_time(message, _MADE)
    metadata = {
        name: value for name, value in message.items() if name not in _READ and name != time_name and value is not None
    }
    if author != role:
        metadata["role"] = role
    if author != "tool" and (own_name := message.get("name")):
        metadata["name"] = own_name
    yield from said.events(
        author,
        id,
        calls,
        created_at=when,
        metadata=metadata,
        usage=_usage(message) if author == "assistant" else None,
        agent_id=name_or_empty(message.get("name")) if author == "assistant" else "",
    )


def _usage(message: Mapping[str, Any]) -> Usage | None:
    """The model and the tokens that stand beside a message."""
    named = message.get("model")
    model: str = named if codec.is_plain_text(named) else ""
    return usage_of_provider(message.get("usage"), model) or (Usage(model) if model else None)
