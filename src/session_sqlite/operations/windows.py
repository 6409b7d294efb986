"""The latest events of a conversation as a model needs them: whole turns, and no result without its call.

A *turn* is an event of the user and all that follows it. A *summary* stands for the events before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Readable, Reads
from session_sqlite.models import Event
from session_sqlite.operations.lookup import of_session, require
from session_sqlite.operations.reading import EventQuery, select, seq_before
from session_sqlite.where import Where

LOOK_BACK_EVENTS: Final = 200  # events before a window in which the calls of its results are looked for


def last_events(database: Readable, key: SessionKey, n: int) -> list[Event]:
    """Returns the latest events, at most n, oldest first, beginning at a turn; see `SessionService.last_events`."""
    if n == 0:
        require(Reads(database), key)
        return []
    summary = newest_summary(database, key)
    if summary is None:
        return latest_turns(database, key, n)
    return [summary, *latest_turns(database, key, max(1, n - 1), after=summary.supersedes)]


def newest_summary(database: Readable, key: SessionKey) -> Event | None:
    """Returns the newest summary of a session, if it has one."""
    query = EventQuery(key, of_session(key).also(queries.A_SUMMARY), newest_first=True)
    summaries = select(database, query, 1, codec.decode_event)
    if summaries and summaries[0].unreadable:  # a damaged summary cannot be used; an earlier one may be intact
        summaries = [event for event in select(database, query, None, codec.decode_event) if not event.unreadable]
    return summaries[0] if summaries else None


def latest_turns(database: Readable, key: SessionKey, n: int, after: int | None = None) -> list[Event]:
    """Returns the latest events in whole turns; if a seq is given, only events after it that are no summaries."""
    where = of_session(key)
    if after is not None:
        where = where.also(queries.NOT_A_SUMMARY).also(queries.AFTER, after=after)
    # One event more than asked for tells whether the window has all events: then it need not begin at a turn.
    query = EventQuery(key, where, newest_first=True)
    placed = select(database, query, n + 1, lambda row: (codec.seq_of(row), codec.decode_event(row)))
    if not placed:
        require(Reads(database), key)
    placed.reverse()
    latest = [event for _, event in placed]
    if len(latest) <= n:
        return latest
    window, begin = latest[1:], placed[1][0]
    for index, event in enumerate(window):
        if event.author == "user":
            return _with_calls(database, key, where, window[index:])
    reading, oldest = Reads(database), after or 0
    start = seq_before(reading, queries.LAST_USER_SEQ_BEFORE, key, begin)
    if start is None or start <= oldest:  # the user never spoke: begin at an event that is not a tool's result
        for index, event in enumerate(window):
            if event.author != "tool":
                return window[index:]
        start = seq_before(reading, queries.LAST_SEQ_BEFORE_NOT_A_RESULT, key, begin)
    start = oldest if start is None else max(oldest, math.ceil(start) - 1)
    turn = where.also(queries.AFTER, after=start).also(queries.BEFORE, before=begin)
    window = select(database, EventQuery(key, turn), None, codec.decode_event) + window
    return _with_calls(database, key, where, window)


def _with_calls(database: Readable, key: SessionKey, where: Where, window: list[Event]) -> list[Event]:
    """Returns the window with earlier turns in front, if it has results of tools whose calls are in these.

    This happens if the user spoke while a tool was at work. A result that was stored without its call changes nothing.
    """
    waiting: set[str] = set()
    for event in reversed(window):
        wait_for_calls(event, waiting)
    if not waiting or not window[0].seq:
        return window
    query = EventQuery(key, where.also(queries.BEFORE, before=window[0].seq), newest_first=True)
    earlier = select(database, query, LOOK_BACK_EVENTS, codec.decode_event)
    if not (waiting := within_reach(waiting, earlier)):
        return window
    for index, event in enumerate(earlier):
        wait_for_calls(event, waiting)
        if event.author == "user" and not (waiting := within_reach(waiting, earlier[index + 1 :])):
            return [*reversed(earlier[: index + 1]), *window]
    # The calls are before the first turn of the session, or else their turn is too long to be added.
    return [*reversed(earlier), *window] if len(earlier) < LOOK_BACK_EVENTS else window


def wait_for_calls(event: Event, waiting: set[str]) -> None:
    """Updates the ids of the calls that results wait for with the next event backwards.

    All results of an id belong to the last reply before them that made such a call, however many it made.
    """
    if event.author == "tool":
        waiting.update(action.id for action in event.actions if action.id)
    else:
        waiting -= _calls(event)


def within_reach(waiting: set[str], earlier: Iterable[Event]) -> set[str]:
    """Returns those of the ids whose calls are among the earlier events."""
    return waiting & set[str]().union(*map(_calls, earlier))


def _calls(event: Event) -> set[str]:
    """Returns the ids of the calls that an event makes."""
    if event.author == "tool":
        return set()
    return {
        action.id or f"{event.id}:{position}"
        for position, action in enumerate(event.actions)
        if action.status == "pending"
    }
