"""The text of LangChain's messages in their stored form: what columns show, what a redaction changes, what is equal.

A stored message is a JSON object ``{"type": "ai", field: value}`` with the tags of `values` in it; what a plain object
cannot say stands under ``"$meta"``. To redact a message or to compare two of them is work on this object, so it needs
no LangChain, and nothing here imports it: a service may redact what a LangChain application has stored.

The functions below `TYPES` are what `form.Form` asks of a form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from session_sqlite.codec import is_plain_text
from session_sqlite.messages.calls import derived as calls_derived
from session_sqlite.messages.tokens import derived_anew
from session_sqlite.messages.values import (
    SHARED_TEXT,
    UNREADABLE,
    decode,
    encode,
    exact_text,
    piece_of_column,
    read_text,
)
from session_sqlite.models import Event

Change = Callable[[str], str]

# ---------------------------------------------------------------- the texts that the columns show

_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def joined(parts: list[str], separator: str, column: str, shared: dict[str, dict[str, Any]]) -> str:
    """Returns the text of a column; notes where each part is in it, so that the message need not hold it again.

    Args:
        parts: The texts that it consists of.
        separator: Stands between them.
        column: The name of the column.
        shared: Takes the tag of each part that is long enough (see `values.Writer`).
    """
    position = 0
    shown = []
    for part in parts:
        exact = str.__str__(part)
        text = exact if is_plain_text(exact) else _SURROGATES.sub("\ufffd", exact)
        shown.append(text)
        if text is exact and len(text) >= SHARED_TEXT and text not in shared:
            shared[text] = {"$": column, "from": position, "to": position + len(text)}
        position += len(text) + len(separator)
    if len(parts) == 1 and shown[0] in shared:
        shared[shown[0]] = {"$": column}
    return separator.join(shown)


def content_parts(content: object) -> list[str]:
    """Returns the texts in the content of a message."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    texts = [block.get("text") if _has_type(block, _TEXT_BLOCKS) else block for block in content]
    return [text for text in texts if isinstance(text, str)]


def _has_type(block: object, types: frozenset[str]) -> bool:
    return isinstance(block, dict) and isinstance(kind := block.get("type"), str) and kind in types


_REASONING_KEYS: Final = ("thinking", "reasoning", "reasoning_content", "text", "summary", "content")
_TEXT_BLOCKS: Final = frozenset({"text"})
_REASONING_BLOCKS: Final = frozenset({"thinking", "reasoning", "reasoning_content"})
_REASONING_KWARGS: Final = ("reasoning_content", "reasoning", "reasoning_details", "thinking")


def _reasoning_texts(value: object, depth: int = 0) -> Iterator[str]:
    """Yields the texts in any provider's form: text, a list, or an object that has them under a known key."""
    if isinstance(value, str):
        if value:
            yield value
    elif depth < 8 and isinstance(value, list):
        for item in value:
            yield from _reasoning_texts(item, depth + 1)
    elif depth < 8 and isinstance(value, dict):
        for key in _REASONING_KEYS:
            found = value.get(key)
            if isinstance(found, (str, list, dict)) and found:
                yield from _reasoning_texts(found, depth + 1)
                return


def reasoning_parts(kwargs: object, content: object) -> list[str]:
    """Returns the texts of a reply's reasoning, each once, from its ``additional_kwargs`` and its content."""
    sources: list[object] = []
    if isinstance(kwargs, dict) and kwargs:
        sources += [kwargs[key] for key in _REASONING_KWARGS if key in kwargs]
    if isinstance(content, list):
        sources += [block for block in content if _has_type(block, _REASONING_BLOCKS)]
    return list(dict.fromkeys(text for source in sources for text in _reasoning_texts(source)))


# ---------------------------------------------------------------- what the store asks of a form

TYPES: Final = frozenset({
    "human", "ai", "system", "tool", "chat", "function", "remove", "HumanMessageChunk", "AIMessageChunk",
    "SystemMessageChunk", "ToolMessageChunk", "ChatMessageChunk", "FunctionMessageChunk", "BaseMessageChunk",
    "BaseMessage",
})  # fmt: skip
"""The types of stored messages, one for each class of langchain-core."""


def redacted(event: Event, change: Change) -> str | None:
    """Returns the stored message of an event with each text in it changed; None if it cannot be read.

    Types, ids and names of tools stay where they say what the message is, and so do values that are no text (bytes,
    times); in arguments and artifacts every text is data. A text that a column holds changes with the column; a piece
    of one is written out, since the places in it would no longer be right.
    """
    failed = []

    def guarded(text: str) -> str:
        try:
            return change(text)
        except BaseException as error:
            failed.append(error)
            raise

    try:
        stored = decode(event.message or "")
        if stored["type"] not in TYPES:
            return None
        made = _Redaction(event, guarded).message(stored)
        return event.message if made == stored else encode(made)
    except UNREADABLE:
        if failed:  # the caller's function raised: the message is not to blame
            raise
        return None


def marked_redacted(message: str) -> str:
    """Returns the message with the mark that `is_redacted` looks for."""
    stored = decode(message)
    return encode({**stored, "$meta": {**stored.get("$meta", {}), "redacted": True}})


def is_redacted(message: str) -> bool:
    """Returns whether a redaction changed this message or its event."""
    if '"redacted":true' not in message:
        return False
    return bool(json.loads(message).get("$meta", {}).get("redacted") is True)


def says_the_same(one: str, other: str) -> bool:
    """Returns whether two stored texts differ in nothing but what gets lost on the way through a checkpointer.

    That is what tags are for: a tuple comes back as a list, an enum as its value.
    """
    return bool(_without_tags(json.loads(one)) == _without_tags(json.loads(other)))


def derived(event: Event) -> Event:
    """Returns the event with its calls and tokens as they are derived from its message now.

    Earlier releases took only ``tool_calls`` for calls, and knew fewer names of tokens.
    """
    message = event.message
    if message is None:
        return event
    with suppress(*UNREADABLE):  # a damaged message is carried as it is
        actions, text = calls_derived(message, event.content, event.reasoning, event.actions)
        event = replace(event, actions=tuple(actions), message=text)
    if event.usage is not None:
        with suppress(*UNREADABLE):
            stored = decode(message)
            event = replace(event, usage=derived_anew(event.usage, stored)) if isinstance(stored, dict) else event
    return event


def _without_tags(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_tags(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$" in value and "value" in value:  # a tuple, a set, an enum…
        return _without_tags(value["value"])
    made = {name: _without_tags(item) for name, item in value.items() if name != "$meta"}
    meta = value.get("$meta") or {}
    return made | {name: meta[name] for name in ("class", "extra") if name in meta}


# ---------------------------------------------------------------- redaction


_STRUCTURE: Final = frozenset({"type", "id", "tool_call_id", "role", "status"})
_BLOCK_STRUCTURE: Final = frozenset({"type", "id", "tool_call_id", "tool_use_id", "call_id", "index"})
_CALL_STRUCTURE: Final = _BLOCK_STRUCTURE | {"name"}
_CALL_FIELDS: Final = frozenset({"tool_calls", "invalid_tool_calls", "tool_call_chunks", "function", "function_call"})
_BLOCK_FIELDS: Final = frozenset({"content", "additional_kwargs", "response_metadata", "usage_metadata"})
_ARGUMENTS: Final = frozenset({"args", "arguments", "input"})


class _Redaction:
    """A pass over the stored form of one event's message that changes its texts."""

    def __init__(self, event: Event, change: Change) -> None:
        self._columns = {"content": event.content, "reasoning": event.reasoning}
        self._unchanged = {name for name, text in self._columns.items() if change(text) == text}
        self._change = change

    def message(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Changes the fields of a message: the event's own, or one inside of it."""
        kept = _STRUCTURE | {"name"} if fields.get("type") in ("tool", "function") else _STRUCTURE
        made = {}
        for name, value in fields.items():
            if name in kept:
                made[name] = self._kept(value)
            elif name == "$meta":
                made[name] = self._inside(value)
            elif name in _CALL_FIELDS:
                made[name] = self.block(value, _CALL_STRUCTURE)
            elif name in _BLOCK_FIELDS:
                made[name] = self.block(self._rejoined(value) if name == "content" else value, _BLOCK_STRUCTURE)
            else:
                made[name] = self.data(value)
        return made

    def block(self, value: Any, kept: frozenset[str]) -> Any:
        """Changes what a provider made; an object's type and ids stay, since they say what it is."""
        if isinstance(value, list):
            return [self.block(item, kept) for item in value]
        if not isinstance(value, dict) or "$" in value:
            return self.data(value)
        kind = value.get("type")
        if isinstance(kind, str) and ("tool" in kind or "function" in kind):
            kept = _CALL_STRUCTURE
        made = {}
        for name, item in value.items():
            if name in kept:
                made[name] = self._kept(item)
            elif name in _ARGUMENTS:
                made[name] = self.data(item)
            else:
                made[name] = self.block(item, _CALL_STRUCTURE if name in _CALL_FIELDS else _BLOCK_STRUCTURE)
        return made

    def data(self, value: Any) -> Any:
        """Changes what is the application's own: every text but the keys."""
        if isinstance(value, str):
            return self._change(value)
        if isinstance(value, list):
            return [self.data(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$" not in value:
            return {key: self.data(item) for key, item in value.items()}
        kind = value["$"]
        if kind in self._columns:
            if "from" not in value:
                return value
            piece = piece_of_column(value, self._columns)
            made = self._change(piece)
            return value if kind in self._unchanged and made == piece else made
        if kind == "str":
            return exact_text(self._change(read_text(value)))
        if kind == "dict":
            flat = value["value"]
            return {**value, "value": [self.data(item) if place % 2 else item for place, item in enumerate(flat)]}
        if kind == "model" and "type" in value:
            fields = self.message({"type": value["type"], **value["value"]})
            if "type" not in value["value"]:
                del fields["type"]
            return self._inside({**value, "value": fields})
        if kind in ("tuple", "set", "frozenset", "dataclass", "model", "path"):
            return self._inside({**value, "value": self.data(value["value"])})
        return value

    def _inside(self, tag: dict[str, Any]) -> dict[str, Any]:
        """Changes the attributes that are no fields, in a tag or in what stands under ``$meta``."""
        return {name: self.data(item) if name in ("extra", "private") else item for name, item in tag.items()}

    def _kept(self, value: Any) -> Any:
        """Returns a value that stays, in full where it stood for a text of a column: that may change."""
        is_shared = isinstance(value, dict) and value.get("$") in self._columns
        return piece_of_column(value, self._columns) if is_shared else value

    def _rejoined(self, content: Any) -> Any:
        """Returns the blocks of a content; with all text in the first if a text to be changed spans several blocks."""
        if not isinstance(content, list):
            return content
        places = [(place, "text") if _has_type(item, _TEXT_BLOCKS) else (place,) for place, item in enumerate(content)]
        texts = {}
        for place in places:
            item = content[place[0]] if len(place) == 1 else content[place[0]].get("text")
            if (text := _stored_text(item, self._columns)) is not None:
                texts[place] = text
        whole = "".join(texts.values())
        if len(texts) < 2 or self._change(whole) == "".join(map(self._change, texts.values())):
            return content
        made = list(content)
        for place in texts:
            made[place[0]] = exact_text(whole) if len(place) == 1 else {**content[place[0]], "text": exact_text(whole)}
            whole = ""
        return made


def _stored_text(value: Any, columns: Mapping[str, str]) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.get("$") in columns:
        return piece_of_column(value, columns)
    if isinstance(value, dict) and value.get("$") == "str":
        return str(read_text(value))
    return None
