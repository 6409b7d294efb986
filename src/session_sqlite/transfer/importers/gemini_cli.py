"""Sessions of Gemini CLI: one document, or JSON Lines since 2026; and the histories that ``/chat save`` writes.

A session is ``{"sessionId", "messages": […]}``. As lines its first says what it is, each message is a line (written
again when it changes: the last counts), ``$set`` changes what it says of itself, or lists its messages anew, and
``$rewindTo`` takes messages back: what is taken back becomes a branch. A sub-agent's file stands in a folder that is
named after its parent. A saved history is a list of ``{"role", "parts"}``, as the model's interface takes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.messages.tokens import usage_of
from session_sqlite.models import Event, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of, noted
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, kept_id, time_of
from session_sqlite.transfer.importers.json_files import JsonFile
from session_sqlite.transfer.importers.trees import sessions_of_tree

_AUTHORS: Final = {"user": "user", "gemini": "assistant", "info": "system", "error": "system", "warning": "system"}
_READ: Final = frozenset(
    {"id", "timestamp", "type", "content", "toolCalls", "thoughts", "tokens", "model", "displayContent"}
)
_READ_OF_CALL: Final = frozenset({"id", "name", "args", "result", "status", "timestamp"})
_READ_OF_SESSION: Final = frozenset({"sessionId", "summary", "startTime", "lastUpdated", "messages"})
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {}, False)
_LISTED: Final[Mapping[str, Any]] = {"$listed": True}  # stands before messages that are listed anew
_LISTED_END: Final[Mapping[str, Any]] = {"$listed": False}


def is_gemini_cli(file: JsonFile) -> bool:
    """True for a session or a saved history."""
    first = file.first()
    if not isinstance(first, dict):
        return False
    if _is_about(first):
        return True
    return _is_content(first) or (
        isinstance(first.get("history"), list) and bool(first["history"]) and _is_content(first["history"][0])
    )


def read(file: JsonFile) -> Iterator[Arrival | Fault | Note | LeftOut]:
    """The sessions of a file, each followed by what was taken back."""
    about: dict[str, Any] = {}
    messages: list[Any] = []
    is_history = False
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
        elif not isinstance(value, dict):
            yield Fault(where, "not a record of a form that is known")
        elif _is_about(value):
            about |= {name: one for name, one in value.items() if name != "messages"}
            messages += value["messages"] if isinstance(value.get("messages"), list) else []
        elif isinstance(value.get("$set"), dict):
            about |= {name: one for name, one in value["$set"].items() if name != "messages"}
            if isinstance(value["$set"].get("messages"), list):
                messages += [_LISTED, *value["$set"]["messages"], _LISTED_END]
        elif isinstance(value.get("history"), list):
            is_history = True
            messages += value["history"]
        else:
            is_history = is_history or _is_content(value)
            messages.append(value)
    if is_history:
        yield from _history(PurePath(file.name).stem, messages)
    else:
        parent = kept_id(file.folder) if about.get("kind") == "subagent" and file.folder else None
        yield from _session(about, messages, parent)


def _is_about(value: Mapping[str, Any]) -> bool:
    """True for what a session says of itself, with its messages or before them."""
    is_named = isinstance(value.get("sessionId"), str) and ("projectHash" in value or "startTime" in value)
    return is_named and "type" not in value


def _is_content(value: Any) -> bool:
    return isinstance(value, dict) and value.get("role") in ("user", "model") and isinstance(value.get("parts"), list)


def _history(name: str, contents: list[Any]) -> Iterator[Arrival]:
    id = kept_id(name, "gemini", contents)

    def events() -> Iterator[Event | Fault | Note]:
        calls = Calls()
        for position, content in enumerate(contents):
            if not isinstance(content, dict) or not isinstance(content.get("parts"), list):
                yield Fault(f"content {position}", "not a content of a form that is known")
                continue
            own = derived_id("gemini", id, position, content)
            yield from Said.of(content["parts"]).events(author_of(content.get("role")), own, calls)

    yield Arrival(id, events())


def _session(
    about: Mapping[str, Any], messages: list[Any], parent: str | None
) -> Iterator[Arrival | Fault | Note | LeftOut]:
    id = kept_id(about.get("sessionId"), about, messages)
    latest: dict[str, Mapping[str, Any]] = {}
    parents: dict[str, str | None] = {}
    last: str | None = None
    is_listed = False
    for position, message in enumerate(messages):
        if not isinstance(message, dict):
            yield Fault(f"message {position} of {id!r:.140}", "not a message of a form that is known")
            continue
        if message is _LISTED or message is _LISTED_END:
            is_listed = message is _LISTED
            last = None if is_listed else last
            continue
        if isinstance(rewound := message.get("$rewindTo"), str):
            last = parents.get(rewound)
            continue
        own = message.get("id")
        name = own if isinstance(own, str) and own else derived_id(id, position, message)
        if name not in parents:
            parents[name] = last
            last = name
        elif is_listed:
            last = name
        latest[name] = message

    def events_of(name: str, calls: Calls) -> Iterator[Event | Fault | Note]:
        try:
            yield from _events(latest[name], kept_id(name), calls)
        except MALFORMED:
            yield Fault(f"message {name!r:.140} of {id!r:.140}", "not a message of a form that is known")

    title = about.get("summary")
    yield from sessions_of_tree(
        Arrival(
            id,
            (),
            title=title if codec.is_plain_text(title) else "",
            metadata={
                "gemini": {name: noted(one) for name, one in about.items() if name not in _READ_OF_SESSION and one}
            },
            created_at=time_of(about.get("startTime")),
            updated_at=time_of(about.get("lastUpdated")),
            parent_id=parent,
        ),
        parents,
        last,
        events_of,
    )


def _events(message: Mapping[str, Any], id: str, calls: Calls) -> Iterator[Event | Note]:
    said = Said.of(message.get("content"))
    for thought in message.get("thoughts") or ():
        parts = (thought.get("subject"), thought.get("description"))
        said.add_reasoning("\n".join(part for part in parts if isinstance(part, str) and part))
    shown = []
    for call in message.get("toolCalls") or ():
        _add_call(said, call)
        besides = {name: noted(one) for name, one in call.items() if name not in _READ_OF_CALL and one not in _NOTHING}
        if besides:
            shown.append({"id": call.get("id"), **besides})
    metadata = {name: noted(one) for name, one in message.items() if name not in _READ and one not in _NOTHING}
    if shown:
        metadata["toolCalls"] = shown
    if message.get("displayContent") not in (None, message.get("content")):
        metadata["displayContent"] = noted(message["displayContent"])
    kind = message["type"]
    if kind not in ("user", "gemini"):
        metadata["type"] = kind
    yield from said.events(
        _AUTHORS.get(kind) or author_of(kind),
        id,
        calls,
        created_at=time_of(message.get("timestamp")),
        metadata={"gemini": metadata} if metadata else {},
        usage=_usage(message),
    )


def _add_call(said: Said, call: Mapping[str, Any]) -> None:
    """Takes a call with its result, which has the answer as the model got it."""
    answer = Said.of(call.get("result"))
    outputs = [result.text for result in answer.results]
    errors = [result.error for result in answer.results if result.error is not None]
    text = "\n".join(filter(None, [*outputs, answer.text]))
    failed = call.get("status") in ("error", "cancelled")
    said.attachments += answer.attachments
    said.add_call(
        call.get("name"),
        call.get("args"),
        call.get("id"),
        output=text if answer else None,
        error=(errors or [text or str(call["status"])])[0] if failed or errors else None,
    )


def _usage(message: Mapping[str, Any]) -> Usage | None:
    model = message.get("model")
    name = model if codec.is_plain_text(model) else ""
    tokens = message.get("tokens")
    if not isinstance(tokens, dict):
        return Usage(name) if name else None
    counts = {key: one for key, one in tokens.items() if isinstance(one, int) and not isinstance(one, bool)}
    thoughts = counts.get("thoughts", 0)
    return usage_of(
        {
            "input_tokens": counts.get("input", 0), "output_tokens": counts.get("output", 0) + thoughts,
            "cache_read": counts.get("cached", 0), "reasoning": thoughts,
        },
        name,
    )  # fmt: skip
