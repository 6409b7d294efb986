"""Conversations that LibreChat exports as JSON: a list of messages, or a tree in which each has its children."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note
from session_sqlite.transfer.importers.blocks import Calls, Said, noted
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, kept_id, time_of
from session_sqlite.transfer.importers.json_files import JsonFile
from session_sqlite.transfer.importers.trees import sessions_of_tree

_READ: Final = frozenset(
    {"messageId", "parentMessageId", "conversationId", "text", "content", "isCreatedByUser", "model", "createdAt",
     "updatedAt", "tokenCount", "children", "files", "attachments", "depth", "siblingIndex", "_id", "__v", "user"}
)  # fmt: skip
_READ_OF_CHAT: Final = frozenset({"conversationId", "title", "messages", "messagesTree", "exportAt", "exportedAt"})
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {}, False)


def is_librechat(file: JsonFile) -> bool:
    """True for an exported conversation, or a list of them."""
    first = file.first()
    messages = _messages_of(first)
    return bool(messages) and isinstance(messages[0], dict) and "messageId" in messages[0]


def read(file: JsonFile) -> Iterator[Arrival | Fault | Note | LeftOut]:
    """The conversations, each followed by its branches."""
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
        elif not _messages_of(value):
            yield Fault(where, "not a conversation of a form that is known")
        else:
            yield from _conversation(value)


def _messages_of(value: Any) -> list[Any]:
    if not isinstance(value, dict) or not isinstance(value.get("conversationId"), str):
        return []
    found = value.get("messagesTree") or value.get("messages")
    return found if isinstance(found, list) else []


def _conversation(value: Mapping[str, Any]) -> Iterator[Arrival | Fault | Note | LeftOut]:
    id = kept_id(value["conversationId"])
    messages: dict[str, Mapping[str, Any]] = {}
    parents: dict[str, str | None] = {}
    waiting: list[tuple[Any, str | None]] = [(one, None) for one in reversed(_messages_of(value))]
    while waiting:
        message, above = waiting.pop()
        if not isinstance(message, dict):
            yield Fault(f"a message of {id!r:.140}", "not a message of a form that is known")
            continue
        own = message.get("messageId")
        name = own if isinstance(own, str) and own and own not in messages else derived_id(id, len(messages), message)
        parent = message.get("parentMessageId")
        messages[name] = message
        parents[name] = parent if isinstance(parent, str) else above
        children = message.get("children")
        waiting += [(one, name) for one in reversed(children if isinstance(children, list) else [])]
    times = {name: time_of(message.get("createdAt")) for name, message in messages.items()}
    if all(times.values()):
        parents = {name: parents[name] for name in sorted(parents, key=lambda name: str(times[name]))}

    def events_of(name: str, calls: Calls) -> Iterator[Event | Fault | Note]:
        try:
            yield from _events(messages[name], kept_id(name), calls)
        except MALFORMED:
            yield Fault(f"message {name!r:.140} of {id!r:.140}", "not a message of a form that is known")

    title = value.get("title")
    about = {key: noted(one) for key, one in value.items() if key not in _READ_OF_CHAT and one not in _NOTHING}
    yield from sessions_of_tree(
        Arrival(
            id,
            (),
            title=title if codec.is_plain_text(title) else "",
            metadata={"librechat": about} if about else {},
            created_at=time_of(value.get("createdAt")),
        ),
        parents,
        None,
        events_of,
    )


def _events(message: Mapping[str, Any], id: str, calls: Calls) -> Iterator[Event | Note]:
    said = Said.of(message.get("content"))
    text = message.get("text")
    if isinstance(text, str) and "".join(text.split()) not in "".join((said.text + said.reasoning).split()):
        said.add_text(text)
    for name in ("files", "attachments"):
        said.attachments += [noted(one) for one in message.get(name) or ()]
    by_user = message["isCreatedByUser"] if "isCreatedByUser" in message else message.get("sender") == "User"
    model, count = message.get("model"), message.get("tokenCount")
    tokens = count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0
    usage = None
    if not by_user and (tokens or model):
        usage = Usage(model if codec.is_plain_text(model) else "", output_tokens=tokens)
    about = {key: noted(one) for key, one in message.items() if key not in _READ and one not in _NOTHING}
    yield from said.events(
        "user" if by_user else "assistant",
        id,
        calls,
        created_at=time_of(message.get("createdAt")),
        metadata={"librechat": about} if about else {},
        usage=usage,
    )
