"""LangChain's messages in files: what ``messages_to_dict`` and ``langchain_core.load.dumps`` make, as people save it.

``messages_to_dict`` gives ``{"type": "human", "data": {…}}``, ``dumps`` gives ``{"lc": 1, "type": "constructor", "id":
[…], "kwargs": {…}}``. A file is one conversation or several: a list of messages, a list of such lists, JSON Lines of
either, or objects that have them as ``messages`` (a prompt value is one). The name of a class is compared and never
imported.

A file of one conversation has the file's name as its id; of several, each has its own or one that stands for what it
says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event
from session_sqlite.operations.whole_sessions import Arrival, Fault, Note
from session_sqlite.transfer.importers.ids import derived_id, kept_id, time_of
from session_sqlite.transfer.importers.json_files import JsonFile
from session_sqlite.transfer.importers.langchain_histories import events_of, is_message

_KINDS: Final = {
    "HumanMessage": "human", "AIMessage": "ai", "SystemMessage": "system", "ToolMessage": "tool",
    "FunctionMessage": "function", "ChatMessage": "chat", "RemoveMessage": "remove",
}  # fmt: skip
_TYPES: Final = frozenset({*_KINDS.values(), *(f"{name}Chunk" for name in _KINDS)})
_IDS: Final = ("id", "session_id", "thread_id", "conversation_id")
_DEEP: Final = 20


def is_messages(file: JsonFile) -> bool:
    """True for a file of messages, or of conversations that have some."""
    return _is_one(file.first(), 0)


def read(file: JsonFile) -> Iterator[Arrival | Fault | Note]:
    """The conversations."""
    loose: list[tuple[str, Any]] = []
    several: list[tuple[str, Any]] = []
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
        elif _message_of(value) is not None or not isinstance(value, (list, dict)):
            loose.append((where, value))
        else:
            several.append((where, value))
    name = PurePath(file.name).stem
    if loose:
        yield _conversation({}, [value for _, value in loose], "" if several else name, "the file")
    for where, value in several:
        messages = _messages_of(value)
        if messages is None:
            yield Fault(where, "neither a message of LangChain nor a conversation of them")
        else:
            about = value if isinstance(value, dict) and "lc" not in value else {}
            yield _conversation(about, messages, name if len(several) == 1 and not loose else "", where)


def dict_form_of(class_name: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """The dict form of a message that is known by its class's name and its fields; None for anything else.

    Example:
        >>> dict_form_of("HumanMessage", {"content": "hi"})
        {'type': 'human', 'data': {'content': 'hi'}}
    """
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        kind = _KINDS.get(class_name) or (class_name if class_name in _TYPES else None)
    if kind is None or "content" not in fields or not class_name.endswith(("Message", "MessageChunk")):
        return None
    return {"type": kind, "data": dict(fields)}


def _conversation(about: Mapping[str, Any], messages: Sequence[Any], name: str, where: str) -> Arrival:
    own = next((about[one] for one in _IDS if isinstance(about.get(one), (str, int)) and about[one] != ""), None)
    id = kept_id(own) if own is not None else kept_id(name, "langchain-messages", about, list(messages))
    title = about.get("title")
    return Arrival(
        id,
        _events(messages, id, where),
        title=title if codec.is_plain_text(title) else "",
        metadata={key: value for key, value in about.items() if key != "messages"},
        created_at=time_of(about.get("created_at")),
        updated_at=time_of(about.get("updated_at")),
    )


def _events(messages: Sequence[Any], session_id: str, where: str) -> Iterator[Event | Fault | Note]:
    for position, message in enumerate(messages, start=1):
        value = _message_of(message)
        yield from events_of(value, derived_id(session_id, position, message), f"{where}, message {position}")


def _is_one(value: Any, depth: int) -> bool:
    if _message_of(value) is not None:
        return True
    messages = _messages_of(value)
    return messages is not None and bool(messages) and depth < 2 and _is_one(messages[0], depth + 1)


def _messages_of(value: Any) -> list[Any] | None:
    """The messages of a list, of a prompt value or of an object that has them."""
    if isinstance(value, dict) and _is_constructed(value):
        value = value.get("kwargs")
    if isinstance(value, dict):
        value = value.get("messages")
    return value if isinstance(value, list) else None


def _message_of(value: Any) -> dict[str, Any] | None:
    """The dict form of a value of either kind; None for what is no message."""
    if is_message(value):
        return dict(value)
    if not isinstance(value, dict) or not _is_constructed(value):
        return None
    fields = plain(value.get("kwargs"))
    return dict_form_of(str(value["id"][-1]), fields) if isinstance(fields, dict) else None


def _is_constructed(value: Mapping[str, Any]) -> bool:
    return (
        value.get("lc") in (1, 2)
        and value.get("type") == "constructor"
        and bool(value.get("id"))
        and isinstance(value["id"], list)
    )


def plain(value: Any, depth: int = 0) -> Any:
    """A value of ``dumps`` without its classes: an object is the fields that it was made of."""
    if depth > _DEEP:
        return value
    if isinstance(value, list):
        return [plain(one, depth + 1) for one in value]
    if not isinstance(value, dict):
        return value
    if _is_constructed(value):
        return plain(value.get("kwargs") or {}, depth + 1)
    return {name: plain(one, depth + 1) for name, one in value.items()}
