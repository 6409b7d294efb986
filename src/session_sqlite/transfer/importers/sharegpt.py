"""ShareGPT's conversations: data sets of chats, as JSON or JSON Lines.

A conversation is ``{"conversations": [{"from": "human", "value": …}, …]}`` (or ``items``), with a ``system`` prompt and
``tools`` beside it. Calls of tools are messages of their own (``function_call``), and so are results (``observation``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event
from session_sqlite.operations.whole_sessions import Arrival, Fault, Note
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of, noted
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, json_or_none, kept_id, time_of
from session_sqlite.transfer.importers.json_files import JsonFile

_LISTS: Final = ("conversations", "conversation", "items")
_READ: Final = frozenset({"from", "value", "text", "markdown", "timestamp"})
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {}, False)


def is_sharegpt(file: JsonFile) -> bool:
    """True for a data set, or one conversation."""
    turns = _turns_of(file.first())
    return bool(turns) and isinstance(turns[0], dict) and isinstance(turns[0].get("from"), str)


def read(file: JsonFile) -> Iterator[Arrival | Fault]:
    """The conversations."""
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
        elif not _turns_of(value):
            yield Fault(where, "not a conversation of a form that is known")
        else:
            yield _conversation(value, _turns_of(value))


def _turns_of(value: Any) -> list[Any]:
    if not isinstance(value, dict):
        return []
    return next((value[name] for name in _LISTS if isinstance(value.get(name), list)), [])


def _conversation(value: Mapping[str, Any], turns: list[Any]) -> Arrival:
    own = value.get("id")
    # Data sets number their conversations, each from 0: the number alone would make one of two.
    id = derived_id("sharegpt", own, turns) if own is None or len(str(own)) < 8 else kept_id(own)
    title = value.get("title")
    read = (*_LISTS, "system", "title")
    return Arrival(
        id,
        _events(value.get("system"), turns, id),
        title=title if codec.is_plain_text(title) else "",
        metadata={name: noted(one) for name, one in value.items() if name not in read and one not in _NOTHING},
        created_at=time_of(value.get("created_at") or value.get("create_time")),
    )


def _events(system: object, turns: list[Any], id: str) -> Iterator[Event | Fault | Note]:
    calls = Calls()
    if isinstance(system, str) and system:
        yield from Said.of(system).events("system", derived_id("sharegpt", id, "system"), calls)
    for position, turn in enumerate(turns):
        try:
            yield from _event(turn, derived_id("sharegpt", id, position), calls)
        except MALFORMED:
            yield Fault(f"turn {position} of {id!r:.140}", "not a turn of a form that is known")


def _event(turn: Mapping[str, Any], id: str, calls: Calls) -> Iterator[Event | Note]:
    role = turn["from"]
    value = turn.get("value", turn.get("text", turn.get("markdown")))
    said = Said()
    author = author_of(role)
    if role in ("function_call", "tool_call", "function-call"):
        author = "assistant"
        _add_calls(said, value)
    elif author == "tool" or role in ("function_response", "tool_response", "function-response"):
        said.add_result("", value if isinstance(value, str) or value is None else noted(value))
    else:
        said.add(value)
    about = {name: noted(one) for name, one in turn.items() if name not in _READ and one not in _NOTHING}
    yield from said.events(author, id, calls, created_at=time_of(turn.get("timestamp")), metadata=about)


def _add_calls(said: Said, value: object) -> None:
    """Takes the calls in a text; what is none is text."""
    found = json_or_none(value) if isinstance(value, str) else value
    several: list[Any] = found if isinstance(found, list) else [found]
    if all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in several):
        for one in several:
            said.add_call(one["name"], one.get("arguments", one.get("parameters", {})), one.get("id"))
    else:
        said.add(value)
