"""What this package wrote itself: an export, or another store, which is read as if it had been exported."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from session_sqlite.operations.whole_sessions import Arrival, Fault, Note, SharedState, WholeSessions
from session_sqlite.sqlite import SQLiteDatabase, schema
from session_sqlite.transfer import jsonl
from session_sqlite.transfer.importers.databases import BUSY_SECONDS, Database
from session_sqlite.transfer.importers.json_files import JsonFile
from session_sqlite.where import Where


def is_export(file: JsonFile) -> bool:
    """True for the JSON Lines of an export."""
    first = file.first()
    return isinstance(first, dict) and first.get("format") == jsonl.FORMAT


def read_export(file: JsonFile) -> Iterator[Arrival | SharedState | Fault | Note]:
    """The sessions of an export."""
    return jsonl.read(file.lines())


def is_store(database: Database) -> bool:
    """True for a store of this package."""
    return database.application_id() == schema.APPLICATION_ID


def read_store(database: Database) -> Iterator[Arrival | SharedState | Fault | Note]:
    """The sessions of another store."""
    other = SQLiteDatabase(database.path, durability="full", read_only=True, busy_timeout=BUSY_SECONDS, search=None)
    try:
        yield from jsonl.read(enumerate(_exported(WholeSessions(other, 0)), start=1))
    finally:
        other.close()


def _exported(sessions: WholeSessions) -> Iterator[bytes]:
    writer = jsonl.Writer("")
    yield from (line.encode() for line in writer.begin())
    for key in sessions.keys(Where()):
        stored = sessions.read(key)
        if stored is not None:
            events = chain.from_iterable(map(writer.events, sessions.event_rows(stored)))
            yield from (line.encode() for line in chain(writer.session(stored), events))
    yield from (line.encode() for line in writer.end(0, 0))
