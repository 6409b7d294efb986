"""Reading the events of one session: lists, streams, and one event by what names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Reading, Row
from session_sqlite.errors import CorruptStoreError, EventNotFoundError
from session_sqlite.models import Event
from session_sqlite.operations.lookup import of_session
from session_sqlite.where import Where

T = TypeVar("T")
Place = int | float | str | None
"""Where an event stands, whatever its column holds; None if only damaged ones follow (see `codec.beyond`)."""

Placed = tuple[Place, Event]

EVENTS_AT_ONCE: Final = 500  # how many rows a stream or a filtered list reads at a time


@dataclass(frozen=True)
class EventQuery:
    """A request for events of one session.

    Attributes:
        key: The session.
        where: What SQL decides.
        keep: What Python decides, on what SQL let through.
        newest_first: The highest seq first.
    """

    key: SessionKey
    where: Where
    keep: Callable[[Event], bool] | None = None
    newest_first: bool = False

    def placed(self, row: Row) -> Placed:
        """Returns an event with the place behind which the next one follows."""
        return codec.beyond(row, self.newest_first), codec.decode_event(row)

    def beyond(self, seq: float | str) -> EventQuery:
        """Returns the same request for what follows an event."""
        if self.newest_first:
            return replace(self, where=self.where.also(queries.BEFORE, before=seq))
        return replace(self, where=self.where.also(queries.AFTER, after=seq))

    def calling(self, tool: str) -> EventQuery:
        """Returns the same request for events that call, or bring the result of, the tool with exactly this name."""
        where = self.where.also(queries.TOOL_LIKE, tool=codec.tool_pattern(tool))
        return replace(self, where=where, keep=lambda event: any(call.name == tool for call in event.actions))


def select(database: Database, query: EventQuery, limit: int | None, make: Callable[[Row], T]) -> list[T]:
    """Returns what ``make`` makes of the rows that SQL lets through, in one read."""
    where, order = query.where, queries.NEWEST_FIRST if query.newest_first else queries.OLDEST_FIRST
    if limit is not None:
        where, order = where.with_values(limit=limit), order + queries.LIMITED
    return database.read(where.statement(queries.EVENTS, order), where.params, make)


def events(database: Database, query: EventQuery, limit: int | None) -> list[Placed]:
    """Returns the events of a request with their places."""
    if limit == 0:
        return []
    if query.keep is None:
        return select(database, query, limit, query.placed)
    return [placed for chunk in chunks(database, query, limit) for placed in chunk]


def chunks(database: Database, query: EventQuery, limit: int | None) -> Iterator[list[Placed]]:
    """Yields the events of a request, a list at a time; each list is one read, with nothing held between them."""
    while limit is None or limit > 0:
        size = EVENTS_AT_ONCE if limit is None or query.keep is not None else min(EVENTS_AT_ONCE, limit)
        found = select(database, query, size, query.placed)
        kept = found if query.keep is None else [placed for placed in found if query.keep(placed[1])]
        if limit is not None:
            kept = kept[:limit]
            limit -= len(kept)
        if kept:
            yield kept
        if len(found) < size or (place := found[-1][0]) is None:
            return
        query = query.beyond(place)


def converted(database: Database, key: SessionKey, convert: Callable[[Event], T]) -> list[T]:
    """Returns what a function makes of each event of a session; it is called when all rows are read."""
    where = of_session(key)
    rows = database.read(where.statement(queries.EVENTS_FOR_MESSAGES, queries.OLDEST_FIRST), where.params, tuple)
    rows.reverse()
    made = []
    while rows:  # each row is let go as it is converted
        made.append(convert(codec.decode_for_message(rows.pop())))
    return made


def seq_of(reading: Reading, key: SessionKey, event: Event | str | int) -> int:
    """Returns the seq of an event of the session. Raises `EventNotFoundError`."""
    if isinstance(event, Event) and event.session_id not in ("", key.session_id):
        raise EventNotFoundError(f"event {event.id!r} is in another session than {key}")
    if isinstance(event, int):
        found = reading.rows(queries.EVENT_AT_SEQ, {**key.params(), "seq": event})
        name = f"event with seq {event}"
    else:
        id = event.id if isinstance(event, Event) else event
        found = reading.rows(queries.EVENT_BY_ID, {**key.params(), "event_id": id})
        name = f"event {id!r}"
    if not found:
        raise EventNotFoundError(f"{key} has no {name}")
    seq = codec.decode_event(found[0]).seq
    if not seq:  # to take it for the beginning would take back everything
        raise CorruptStoreError(f"the place of {name} in {key} cannot be read: name another event")
    return seq


def seq_before(reading: Reading, sql: str, key: SessionKey, seq: float) -> int | None:
    """Returns the seq that a statement finds before another, if there is one."""
    rows = reading.rows(sql, {**key.params(), "before": seq})
    return rows[0][0] if rows else None
