"""Claude.ai's export: ``conversations.json``, the zip that it comes in, or one conversation.

A conversation has its messages in the order in which they were made; where they name the message before them they are
a tree. A message is a list of content blocks, and in older exports a text alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of, noted
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, kept_id, time_of
from session_sqlite.transfer.importers.json_files import JsonFile
from session_sqlite.transfer.importers.trees import sessions_of_tree

_READ: Final = frozenset({"uuid", "name", "chat_messages", "created_at", "updated_at"})
_READ_OF_MESSAGE: Final = frozenset(
    {"uuid", "text", "content", "sender", "created_at", "updated_at", "attachments", "files", "files_v2",
     "sync_sources", "parent_message_uuid", "index", "model"}
)  # fmt: skip
_NO_WORDS: Final = frozenset({"start_timestamp", "stop_timestamp", "flags"})
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {}, False)
_NOT_SHOWN: Final = "This block is not supported on your current device yet."


def is_claude_ai(file: JsonFile) -> bool:
    """True for an export, or one conversation of it."""
    first = file.first()
    return isinstance(first, dict) and isinstance(first.get("chat_messages"), list) and "uuid" in first


def read(file: JsonFile) -> Iterator[Arrival | Fault | Note | LeftOut]:
    """The conversations, each followed by its branches."""
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
            continue
        try:
            yield from _conversation(value)
        except MALFORMED:
            yield Fault(where, "not a conversation of a form that is known")


def _conversation(conversation: Mapping[str, Any]) -> Iterator[Arrival | Fault | Note | LeftOut]:
    id = kept_id(conversation["uuid"])
    messages: dict[str, Any] = {}
    parents: dict[str, str | None] = {}
    before: str | None = None
    for position, message in enumerate(conversation["chat_messages"]):
        own = message.get("uuid") if isinstance(message, dict) else None
        name = own if isinstance(own, str) and own and own not in messages else derived_id(id, position, message)
        parent = message.get("parent_message_uuid") if isinstance(message, dict) else None
        messages[name] = message
        parents[name] = parent if isinstance(parent, str) else before
        before = name
    title = conversation.get("name")
    model = conversation.get("model")

    def events_of(name: str, calls: Calls) -> Iterator[Event | Fault | Note]:
        try:
            yield from _events(messages[name], kept_id(name), calls, model)
        except MALFORMED:
            yield Fault(f"message {name!r:.140} of {id!r:.140}", "not a message of a form that is known")

    yield from sessions_of_tree(
        Arrival(
            id,
            (),
            title=title if codec.is_plain_text(title) else "",
            metadata=_besides(conversation, _READ),
            created_at=time_of(conversation.get("created_at")),
            updated_at=time_of(conversation.get("updated_at")),
        ),
        parents,
        conversation.get("current_leaf_message_uuid"),
        events_of,
    )


def _events(message: Mapping[str, Any], id: str, calls: Calls, model: object) -> Iterator[Event | Note]:
    said = Said()
    said.add(list(_blocks(message.get("content") or [], id)))
    text = message.get("text")
    if isinstance(text, str) and text.strip():
        if not said.text.strip() and not (said.calls or said.results):
            said.add_text(text)
        elif not _is_repeated(text, said):
            said.metadata["text"] = text
    for name in ("attachments", "files", "files_v2", "sync_sources"):
        said.attachments += [noted(one) for one in message.get(name) or ()]
    author = author_of(message["sender"])
    own_model = message.get("model") or model
    yield from said.events(
        author,
        id,
        calls,
        created_at=time_of(message.get("created_at")),
        metadata=_besides(message, _READ_OF_MESSAGE),
        usage=Usage(own_model) if author == "assistant" and own_model and codec.is_plain_text(own_model) else None,
    )


def _besides(value: Mapping[str, Any], read: frozenset[str]) -> dict[str, Any]:
    return {name: noted(one) for name, one in value.items() if name not in read and one not in _NOTHING}


def _blocks(content: Any, id: str) -> Iterator[Any]:
    """The blocks of a message; calls and results without ids, as older exports have them, get the same."""
    waiting: dict[str, list[str]] = {}
    for number, block in enumerate([content] if isinstance(content, (str, dict)) else content):
        if not isinstance(block, dict):
            yield block
            continue
        shown = {name: value for name, value in block.items() if name not in _NO_WORDS and value not in (None, False)}
        tool = str(block.get("name"))
        if block.get("type") == "tool_use" and not block.get("id"):
            shown["id"] = f"{id}:{number}"
            waiting.setdefault(tool, []).append(shown["id"])
        elif block.get("type") == "tool_result" and not block.get("tool_use_id") and waiting.get(tool):
            shown["tool_use_id"] = waiting[tool].pop(0)
        yield shown


def _is_repeated(text: str, said: Said) -> bool:
    """True if the text, in which each block that is none was replaced by a remark, says what the blocks say."""
    words = "".join(text.replace(_NOT_SHOWN, "").replace("```", "").split())
    return words in "".join((said.text + said.reasoning).replace("```", "").split())
