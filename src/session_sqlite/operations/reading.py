"""Reading the events of one session: as a list, as a stream, or one event by its id or seq."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeVar

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Readable, Reading, Row
from session_sqlite.errors import CorruptStoreError, EventNotFoundError
from session_sqlite.models import Event
from session_sqlite.operations.lookup import of_session
from session_sqlite.where import Where

T = TypeVar("T")
Place = int | float | str | None
"""The place of an event: its seq, whatever a damaged row has there; None if no event follows (see `codec.beyond`)."""

Placed = tuple[Place, Event]

EVENTS_AT_ONCE: Final = 500  # how many rows a stream or a filtered list reads at a time


@dataclass(frozen=True)
class EventQuery:
    """A request for events of one session.

    Attributes:
        key: The session.
        where: The conditions that SQL checks.
        keep: A further condition that Python checks on the events that SQL found.
        newest_first: The highest seq first.
    """

    key: SessionKey
    where: Where
    keep: Callable[[Event], bool] | None = None
    newest_first: bool = False

    def placed(self, row: Row) -> Placed:
        """Returns the event of a row with its place, after which the next event is looked for."""
        return codec.beyond(row, self.newest_first), codec.decode_event(row)

    def beyond(self, seq: float | str) -> EventQuery:
        """Returns the request for the events that follow a place."""
        if self.newest_first:
            return replace(self, where=self.where.also(queries.BEFORE, before=seq))
        return replace(self, where=self.where.also(queries.AFTER, after=seq))

    def calling(self, tool: str) -> EventQuery:
        """Returns the request for those of its events that call the tool with exactly this name, or have its result."""
        where = self.where.also(queries.TOOL_LIKE, tool=codec.tool_pattern(tool))
        return replace(self, where=where, keep=lambda event: any(call.name == tool for call in event.actions))


def select(database: Readable, query: EventQuery, limit: int | None, make: Callable[[Row], T]) -> list[T]:
    """Returns what ``make`` makes of each row that SQL finds, in one read; ``query.keep`` is not applied."""
    where, order = query.where, queries.NEWEST_FIRST if query.newest_first else queries.OLDEST_FIRST
    if limit is not None:
        where, order = where.with_values(limit=limit), order + queries.LIMITED
    return database.read(where.statement(queries.EVENTS, order), where.params, make)


def events(database: Readable, query: EventQuery, limit: int | None) -> list[Placed]:
    """Returns the events of a request with their places."""
    if limit == 0:
        return []
    if query.keep is None:
        return select(database, query, limit, query.placed)
    return [placed for chunk in chunks(database, query, limit) for placed in chunk]


def chunks(database: Readable, query: EventQuery, limit: int | None) -> Iterator[list[Placed]]:
    """Yields the events of a request in lists; each list is one read, and no lock is held between two of them."""
    while limit is None or limit > 0:
        size = EVENTS_AT_ONCE if limit is None or query.keep is not None else min(EVENTS_AT_ONCE, limit)
        read = select(database, query, size, query.placed)
        kept = read if query.keep is None else [placed for placed in read if query.keep(placed[1])]
        if limit is not None:
            kept = kept[:limit]
            limit -= len(kept)
        if kept:
            yield kept
        if len(read) < size or (place := read[-1][0]) is None:
            return
        query = query.beyond(place)


def converted(
    database: Readable,
    key: SessionKey,
    convert: Callable[[Event], T],
    convert_columns: Callable[[Row], T | None] | None,
) -> list[T]:
    """Returns what a function makes of each event of a session, or another of its columns alone, where it can.

    All rows are read before a function is called: it may take long, and may itself use the store.
    """
    where = of_session(key)
    rows = database.read(where.statement(queries.EVENTS_FOR_MESSAGES, queries.OLDEST_FIRST), where.params, tuple)
    rows.reverse()
    results = []
    while rows:  # each row is freed once it is converted, so that rows and results are never all in memory
        row = rows.pop()
        result = None if convert_columns is None else convert_columns(row)
        results.append(convert(codec.decode_for_message(row)) if result is None else result)
    return results


class Seen(NamedTuple):
    """A note of how far a session was read, and of the state that it was in.

    Attributes:
        revision: The number that all changes but appends change.
        events: How many events the session had.
        seq: The place of the last one.
        id: Its id.
    """

    revision: int
    events: int
    seq: int
    id: str


def since(database: Database, key: SessionKey, seen: Seen | None) -> tuple[list[Row], Seen] | None:
    """Returns the rows of a session's messages that come after what was seen, and what was seen with them.

    Returns None if there is nothing to go on from: what was seen is not in the store any more as it was, or a damaged
    row has no place, or the store does not take note of changes.
    """
    rows = database.messages_since(key, -codec.LAST_POSSIBLE_SEQ if seen is None else seen.seq)
    if not rows:
        return None
    revision, count, *first = rows[0]
    before = 0
    if seen is not None:
        if (revision, first[_ID], first[_SEQ]) != (seen.revision, seen.id, seen.seq):
            return None
        del rows[0]
        before = seen.events
    elif first[_ID] is None:
        return None
    if type(revision) is not int or count != before + len(rows):
        return None
    if not rows:
        return [], seen  # type: ignore[return-value]  # without it there was a row
    last = rows[-1][2:]
    if not codec.is_seq(last[_SEQ]):
        return None
    return [row[2:] for row in rows], Seen(revision, count, last[_SEQ], last[_ID])


_ID: Final = 0  # among the columns of `queries.EVENTS_FOR_MESSAGES`
_SEQ: Final = 6


def seq_of(reading: Reading, key: SessionKey, event: Event | str | int) -> int:
    """Returns the seq of an event of the session. Raises `EventNotFoundError`."""
    if isinstance(event, Event) and event.session_id not in ("", key.session_id):
        raise EventNotFoundError(f"event {event.id!r} is in another session than {key}")
    if isinstance(event, int):
        rows = reading.rows(queries.EVENT_AT_SEQ, {**key.params(), "seq": event})
        name = f"event with seq {event}"
    else:
        id = event.id if isinstance(event, Event) else event
        rows = reading.rows(queries.EVENT_BY_ID, {**key.params(), "event_id": id})
        name = f"event {id!r}"
    if not rows:
        raise EventNotFoundError(f"{key} has no {name}")
    seq = codec.decode_event(rows[0]).seq
    if not seq:  # a seq of 0 would mean the beginning, and a rewind would remove everything
        raise CorruptStoreError(f"the place of {name} in {key} cannot be read: name another event")
    return seq


def seq_before(reading: Reading, sql: str, key: SessionKey, seq: float) -> int | None:
    """Returns the seq before another that a statement finds, or None."""
    rows = reading.rows(sql, {**key.params(), "before": seq})
    return rows[0][0] if rows else None
