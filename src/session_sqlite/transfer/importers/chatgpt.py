"""ChatGPT's export: ``conversations.json``, or the zip that it comes in.

A conversation is a tree of messages: each edit and each new answer is a branch. The path to ``current_node`` is what
the person saw last, and becomes the session; every other path to a leaf becomes a fork of it, with the events that both
have in common, as `SessionService.fork_session` would have made it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event, ToolCall, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, Note
from session_sqlite.transfer.importers.chat_json import ATTACHMENTS_ARE_NOTED, AUTHORS, noted
from session_sqlite.transfer.importers.ids import derived_id, json_or_none, kept_id, time_of
from session_sqlite.transfer.importers.json_files import JsonFile

_ABOUT: Final = ("default_model_slug", "gizmo_id", "is_archived", "is_starred", "conversation_template_id")
_MALFORMED: Final = (ValueError, TypeError, KeyError, AttributeError, IndexError)


def is_chatgpt(file: JsonFile) -> bool:
    """True for a ``conversations.json``, or one conversation of it."""
    first = file.first()
    return isinstance(first, dict) and isinstance(first.get("mapping"), dict)


def read(file: JsonFile) -> Iterator[Arrival | Fault | Note]:
    """The conversations, each followed by its forks."""
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
            continue
        try:
            yield from _conversation(value)
        except _MALFORMED:
            yield Fault(where, "not a conversation of a form that is known")


def _conversation(conversation: Mapping[str, Any]) -> Iterator[Arrival]:
    mapping: Mapping[str, Any] = conversation["mapping"]
    id = kept_id(conversation.get("conversation_id") or conversation.get("id") or derived_id("chatgpt", conversation))
    parents: dict[str, str] = {name: node["parent"] for name, node in mapping.items() if node.get("parent") in mapping}
    inner = set(parents.values())
    leaves = [name for name in mapping if name not in inner]
    main = _path(parents, conversation["current_node"] if conversation.get("current_node") in mapping else leaves[-1])
    arrival = Arrival(
        id,
        _events(mapping, main),
        title=conversation["title"] if codec.storable(conversation.get("title")) else "",
        metadata={name: conversation[name] for name in _ABOUT if conversation.get(name) not in (None, False)},
        created_at=time_of(conversation.get("create_time")),
        updated_at=time_of(conversation.get("update_time")),
    )
    yield arrival
    on_main = set(main)
    origins = dict.fromkeys(main, id)  # of each message: the session that has it first
    for leaf in leaves:
        path = _path(parents, leaf)
        common = [name for name in path if name in on_main]
        if not _says_something(mapping, path[len(common) :]):  # the main path itself, or an empty branch
            continue
        branch = kept_id(f"{id}:{leaf}")
        for name in path:
            origins.setdefault(name, branch)
        yield replace(
            arrival,
            id=branch,
            events=_events(mapping, path, origins),
            updated_at=None,
            parent_id=id,
            parent_seq=sum(isinstance(event, Event) for event in _events(mapping, common)),
        )


def _says_something(mapping: Mapping[str, Any], path: Sequence[str]) -> bool:
    return any(isinstance(event, Event) for event in _events(mapping, path))


def _path(parents: Mapping[str, str], leaf: str) -> list[str]:
    path = [leaf]
    seen = {leaf}
    while (parent := parents.get(path[-1])) is not None and parent not in seen:
        path.append(parent)
        seen.add(parent)
    return path[::-1]


def _events(
    mapping: Mapping[str, Any], path: Sequence[str], origins: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Event | Fault | Note]:
    for name in path:
        message = mapping[name].get("message")
        if not message:
            continue
        try:
            event = _event(message, kept_id(message.get("id") or name))
        except _MALFORMED:
            yield Fault(f"message {name!r:.140}", "not a message of a form that is known")
            continue
        if event is None:
            continue
        if "attachments" in event.metadata:
            yield ATTACHMENTS_ARE_NOTED
        yield replace(event, copied_from=origins.get(name, ""))


def _event(message: Mapping[str, Any], id: str) -> Event | None:
    """The event of a message; None for one that says nothing, as the first of each conversation does."""
    role = message["author"]["role"]
    author = AUTHORS.get(role) or (role if codec.is_identifier(role) else "assistant")
    about = message.get("metadata") or {}
    metadata: dict[str, Any] = {}
    attachments = [noted(one) for one in about.get("attachments") or () if isinstance(one, dict)]
    content, reasoning = _content(message.get("content") or {}, attachments)
    if attachments:
        metadata["attachments"] = attachments
    if about.get("is_visually_hidden_from_conversation"):
        metadata["hidden"] = True
    if author != role:
        metadata["role"] = role
    actions: tuple[ToolCall, ...] = ()
    recipient = message.get("recipient") or "all"
    if author == "tool":
        actions = (ToolCall(_text(message["author"].get("name"))),)
    elif author == "assistant" and recipient != "all":
        args = json_or_none(content)
        actions = (ToolCall(_text(recipient), args if isinstance(args, dict) else {"input": content}),)
        content = ""
    if not (content or reasoning or attachments or (actions and author != "tool")):
        return None
    model = about.get("model_slug")
    return Event(
        author,
        content,
        reasoning=reasoning,
        actions=actions,
        metadata=metadata,
        usage=Usage(model) if author == "assistant" and codec.storable(model) and model else None,
        id=id,
        created_at=time_of(message.get("create_time")),
    )


def _content(content: Mapping[str, Any], attachments: list[dict[str, Any]]) -> tuple[str, str]:
    """The text and the reasoning of a content; what is no text is put with the attachments."""
    match content.get("content_type"):
        case "thoughts":
            thoughts = [one for one in content.get("thoughts") or () if isinstance(one, dict)]
            texts = [_text(one.get("content")) or _text(one.get("summary")) for one in thoughts]
            return "", "\n\n".join(filter(None, texts))
        case "reasoning_recap":  # "Thought for 4 seconds"
            return "", _text(content.get("content"))
        case "user_editable_context":
            return "\n\n".join(filter(None, map(_text, map(content.get, ("user_profile", "user_instructions"))))), ""
    texts = []
    for part in content.get("parts") or ():
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict):
            attachments.append(noted(part))
    for name in ("title", "url", "text", "result", "content"):
        if isinstance(content.get(name), str):
            texts.append(content[name])
    return "\n".join(filter(None, texts)), ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
