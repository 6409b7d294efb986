"""Histories of langchain-community: ``SQLChatMessageHistory`` on SQLite, and ``FileChatMessageHistory``.

Both keep messages as ``{"type": …, "data": …}``. They come in as the messages that they are, so that they read back
equal from a `SQLiteChatMessageHistory`. A table keeps no times. A file is one conversation, whose id is the file's name
without its ending; without a name it stands for the first message.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event, ToolCall
from session_sqlite.operations.whole_sessions import Arrival, Fault, Note
from session_sqlite.transfer.importers.blocks import Said, author_of
from session_sqlite.transfer.importers.databases import (
    HISTORY_MESSAGES,
    HISTORY_SAMPLE,
    HISTORY_SESSIONS,
    Database,
    quoted,
)
from session_sqlite.transfer.importers.ids import derived_id, json_or_none, kept_id
from session_sqlite.transfer.importers.json_files import JsonFile

_COLUMNS: Final = frozenset({"id", "session_id", "message"})


def is_message_store(database: Database) -> bool:
    """True for a file with a table of messages, whatever its name."""
    return bool(_tables(database))


def read_message_store(database: Database) -> Iterator[Arrival | Fault | Note]:
    """The sessions of all such tables."""
    for table in _tables(database):
        for (session_id,) in list(database.rows(HISTORY_SESSIONS.format(quoted(table)))):
            yield Arrival(kept_id(session_id), _rows(database, table, session_id))


def _tables(database: Database) -> list[str]:
    """Tables of the right form; one of another name than ours also has to have a message in it."""
    return [
        table
        for table, columns in database.tables.items()
        if columns >= _COLUMNS
        and (
            table == "message_store"
            or any(is_message(json_or_none(text)) for (text,) in database.rows(HISTORY_SAMPLE.format(quoted(table))))
        )
    ]


def _rows(database: Database, table: str, session_id: Any) -> Iterator[Event | Fault | Note]:
    for row_id, text in database.rows(HISTORY_MESSAGES.format(quoted(table)), session_id=session_id):
        yield from events_of(
            json_or_none(text), derived_id("langchain", session_id, row_id, text), f"row {row_id} of {table!r:.140}"
        )


def is_file_history(file: JsonFile) -> bool:
    """True for a file of messages."""
    return is_message(file.first()) and file.is_list()


def read_file_history(file: JsonFile) -> Iterator[Arrival | Fault | Note]:
    """The one session of a file."""
    yield Arrival(kept_id(PurePath(file.name).stem, "langchain-file", file.first()), _elements(file))


def _elements(file: JsonFile) -> Iterator[Event | Fault | Note]:
    for position, (where, value) in enumerate(file.values()):
        if isinstance(value, Fault):
            yield value
        else:
            yield from events_of(value, derived_id("langchain-file", position, value), where)


def is_message(value: Any) -> bool:
    """True for a message in the form of ``message_to_dict``."""
    return isinstance(value, dict) and isinstance(value.get("type"), str) and isinstance(value.get("data"), dict)


def events_of(value: Any, id: str, where: str) -> Iterator[Event | Fault | Note]:
    """The event of a message, or what to say of one that cannot be read."""
    if not is_message(value):
        yield Fault(where, "not a message of LangChain")
        return
    # LangChain is loaded when there are messages of it, not before.
    from session_sqlite.messages.langchain import event_of_dict

    event = event_of_dict(value)
    if event is None:
        yield Note(f"{where}: LangChain cannot read this message any more; it came as an event with its text")
        event = _plain(value)
    event.__dict__["id"] = id
    yield event


def _plain(value: dict[str, Any]) -> Event:
    """Returns what can be said of a message that LangChain refuses."""
    data = value["data"]
    said = Said.of(data.get("content"))
    author = author_of(value["type"].removesuffix("MessageChunk"))
    call_id = data.get("tool_call_id")
    actions = [ToolCall("", id=call_id if codec.is_plain_text(call_id) else "")] if author == "tool" else []
    text = said.text or "\n".join(result.text for result in said.results)
    return Event(author, text, reasoning=said.reasoning, actions=actions, metadata={"langchain": value})
