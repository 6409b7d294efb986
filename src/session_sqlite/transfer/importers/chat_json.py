"""Chats in the form of OpenAI's chat completions, as people save them: JSON or JSON Lines.

A chat is ``{"messages": [{"role": …, "content": …}, …]}`` or such a list itself; a file holds one or many. What else a
chat says about itself becomes the session's metadata. A chat without an id gets one that stands for all that it says,
so the same chat is the same session wherever it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event, ToolCall
from session_sqlite.operations.whole_sessions import Arrival, Fault, Note
from session_sqlite.transfer.importers.ids import derived_id, json_or_none, kept_id, name_or_empty, time_of
from session_sqlite.transfer.importers.json_files import JsonFile

AUTHORS: Final = {
    "user": "user", "human": "user", "assistant": "assistant", "ai": "assistant", "system": "system",
    "developer": "system", "tool": "tool", "function": "tool",
}  # fmt: skip
_IDS: Final = ("id", "conversation_id", "session_id", "thread_id")
_TEXTS: Final = {"text": "text", "input_text": "text", "output_text": "text", "summary_text": "text",
                 "reasoning_text": "text", "refusal": "refusal"}  # fmt: skip
_READ: Final = frozenset(
    {"role", "content", "name", "tool_calls", "function_call", "tool_call_id", "reasoning_content", "reasoning",
     "refusal", "id"}
)  # fmt: skip
ATTACHMENTS_ARE_NOTED: Final = Note(
    "attachments are named in the metadata of their events; their bytes do not come along"
)


def is_chat(file: JsonFile) -> bool:
    """True for a chat, or a file of chats."""
    first = file.first()
    if isinstance(first, list) and first:
        first = first[0]
    return isinstance(first, dict) and (_is_message(first) or _messages_of(first) is not None)


def read(file: JsonFile) -> Iterator[Arrival | Fault | Note]:
    """The chats of a file."""
    loose: list[Any] = []
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
        elif isinstance(value, dict) and _messages_of(value) is not None:
            yield _chat(value, _messages_of(value) or [])
        elif isinstance(value, list) and value:
            yield _chat({}, value)
        elif isinstance(value, dict) and _is_message(value):
            loose.append(value)  # the file is the list of messages of one chat
        elif value != []:
            yield Fault(where, "neither a chat nor a message")
    if loose:
        yield _chat({}, loose)


def _is_message(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("role"), str)


def _messages_of(value: Mapping[str, Any]) -> list[Any] | None:
    messages = value.get("messages")
    return messages if isinstance(messages, list) else None


def _chat(about: Mapping[str, Any], messages: Sequence[Any]) -> Arrival:
    metadata = {name: value for name, value in about.items() if name != "messages"}
    own_id = next((about[name] for name in _IDS if isinstance(about.get(name), (str, int)) and about[name] != ""), None)
    id = derived_id("chat", about or list(messages)) if own_id is None else kept_id(own_id)
    title = about.get("title")
    times = {name: time_of(about.get(name)) for name in ("created_at", "updated_at", "created", "create_time")}
    return Arrival(
        id,
        _events(id, messages),
        title=title if codec.storable(title) else "",
        metadata=metadata,
        created_at=times["created_at"] or times["created"] or times["create_time"],
        updated_at=times["updated_at"],
    )


def _events(session_id: str, messages: Sequence[Any]) -> Iterator[Event | Fault | Note]:
    names: dict[str, str] = {}  # of the tools, by the ids of their calls
    for position, message in enumerate(messages, start=1):
        try:
            event, is_noted = _event(message, names, derived_id(session_id, position))
        except (ValueError, TypeError, KeyError, AttributeError):
            yield Fault(f"session {session_id}, message {position}", "not a message of a form that is known")
            continue
        if is_noted:
            yield ATTACHMENTS_ARE_NOTED
        yield event


def _event(message: Any, names: dict[str, str], id: str) -> tuple[Event, bool]:
    role = message["role"]
    author = AUTHORS.get(role) or (role if codec.is_identifier(role) else "assistant")
    content, attachments = text_and_attachments(message.get("content"))
    content = content or _text(message.get("refusal"))
    metadata = {name: value for name, value in message.items() if name not in _READ and value is not None}
    if attachments:
        metadata["attachments"] = attachments
    if author != role:
        metadata["role"] = role
    actions: tuple[ToolCall, ...] = ()
    if author == "tool":
        call_id = _text(message.get("tool_call_id"))
        actions = (ToolCall(_text(message.get("name")) or names.get(call_id, ""), id=call_id),)
    else:
        actions = tuple(_calls(message, metadata))
        names.update((call.id, call.name) for call in actions)
        if name := message.get("name"):
            metadata["name"] = name
    reasoning = _text(message.get("reasoning_content")) or _text(message.get("reasoning"))
    when = time_of(message.get("created_at", message.get("timestamp")))
    event = Event(
        author, content, reasoning=reasoning, actions=actions, metadata=metadata, id=id, created_at=when,
        agent_id=name_or_empty(message.get("name")) if author == "assistant" else "",
    )  # fmt: skip
    return event, bool(attachments)


def _calls(message: Mapping[str, Any], metadata: dict[str, Any]) -> Iterator[ToolCall]:
    for call in message.get("tool_calls") or ():
        function = call.get("function") or call.get("custom") or call
        yield made_call(
            function.get("name"), function.get("arguments", function.get("input")), call.get("id"), metadata
        )
    if old := message.get("function_call"):
        yield made_call(old.get("name"), old.get("arguments"), "", metadata)


def made_call(name: object, arguments: object, id: object, metadata: dict[str, Any]) -> ToolCall:
    """A call; arguments that are no JSON object are kept as text in the metadata."""
    args = json_or_none(arguments) if isinstance(arguments, str) else arguments
    if not isinstance(args, dict):
        if arguments not in (None, ""):
            metadata.setdefault("invalid_arguments", []).append({"id": _text(id), "arguments": arguments})
        args = {}
    return ToolCall(_text(name), args, id=_text(id))


def text_and_attachments(content: object) -> tuple[str, list[dict[str, Any]]]:
    """The text of a content, which is a text or a list of parts, and what it has besides."""
    if content is None or isinstance(content, str):
        return content or "", []
    if not isinstance(content, list):
        raise TypeError("neither text nor parts")
    texts: list[str] = []
    attachments: list[dict[str, Any]] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(text := part.get(_TEXTS.get(str(part.get("type")), "")), str):
            texts.append(text)
        elif isinstance(part, dict):
            attachments.append(noted(part))
    return "\n".join(texts), attachments


def noted(part: Mapping[str, Any]) -> dict[str, Any]:
    """What can be said of an attachment in a few words: long values (bytes as text) become their size."""
    shown: dict[str, Any] = {}
    for name, value in part.items():
        if isinstance(value, dict):
            shown[name] = noted(value)
        elif isinstance(value, str) and (len(value) > 2_000 or value.startswith("data:")):
            shown[name] = f"({len(value):,} characters)"
        else:
            shown[name] = value
    return shown


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
