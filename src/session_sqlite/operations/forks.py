"""Forks and rewinds: copying a session up to an event, and removing its last turns.

Neither separates the result of a tool from its call: a cut that would do so is moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Reading, Row, Transaction
from session_sqlite.errors import SessionExistsError
from session_sqlite.models import Event
from session_sqlite.operations import appending, state
from session_sqlite.operations.lookup import missing, of_session, require
from session_sqlite.operations.reading import seq_before, seq_of
from session_sqlite.operations.sessions import retitled

Span = tuple[int, int]


def fork(
    tx: Transaction, source: SessionKey, copy: SessionKey, *, at: Event | str | int | None, title: str, now: str
) -> Row:
    """Copies a session up to and including an event; returns the row of the copy."""
    there = tx.lock(source, copy)
    if source not in there:
        raise missing(source)
    if copy in there:
        stored = tx.rows(queries.SESSION, copy.params())[0]
        if _is_this_fork(stored, source, now):
            return stored
        raise SessionExistsError(f"{copy} exists already: give another session_id")
    agent_id, old_title, metadata, _ = tx.rows(queries.SESSION_WITH_STATE, source.params())[0]
    if at is None:
        until = tx.rows(queries.HIGHEST_SEQ, source.params())[0][0] or 0
        # The seq of a damaged event may be a text, which sorts after all numbers; its copy gets a number again.
        end = tx.rows(queries.LAST_PLACE, source.params())[0][0] or 0
    else:
        until = end = after_results(spans(tx, source), seq_of(tx, source, at))
    events = {**source.params(), "until_seq": end}
    # A summary of events that were all removed needs a place to stand for: the numbers begin at 2, and it stands for 1.
    first = tx.rows(queries.COUNT_LONELY_SUMMARIES, events)[0][0] and 1
    row = codec.encode_session(copy, agent_id="", title=title, metadata=None, state={}, now=now)
    row.update(
        agent_id=agent_id,
        title=title or old_title,
        metadata=metadata,  # as it is stored, even if damaged
        initial_state=codec.encode_state(state.after(tx, source, 0)),
        last_seq=tx.rows(queries.COUNT_EVENTS_UNTIL, events)[0][0] + first,
        parent_id=source.session_id,
        parent_seq=int(until),
    )
    tx.run(queries.INSERT_SESSION, row)
    retitled(tx, copy, "")
    tx.run(queries.COPY_EVENTS, {**events, "new_id": copy.session_id, "copied_to": copy.session_id, "first": first})
    if tx.index is not None:
        tx.index.copied(tx, copy)
    state.write(tx, copy, state.after(tx, source, until), now)
    return tx.rows(queries.SESSION, copy.params())[0]


def _is_this_fork(stored: Row, source: SessionKey, now: str) -> bool:
    """Returns True for the fork that this same call made, when it runs again; see `sessions.is_same`."""
    columns = dict(zip(codec.SESSION_COLUMNS, stored, strict=True))
    return (columns["parent_id"], columns["created_at"]) == (source.session_id, now)


# ---------------------------------------------------------------- rewinds


def taken_back(
    reading: Reading, key: SessionKey, *, turns: int, to: Event | str | int | None
) -> tuple[int, list[Event]]:
    """Returns the last seq that would stay after a rewind, and the events that would be removed."""
    require(reading, key)
    if to is not None:
        until = after_results(spans(reading, key), seq_of(reading, key, to))
    else:
        begins = reading.rows(queries.USER_SEQS_NEWEST_FIRST, {**key.params(), "limit": turns})
        if not begins:
            return 0, []
        until = uncut(reading, key, math.ceil(begins[-1][0]) - 1)  # the seq of a damaged event may be a fraction
    where = of_session(key).also(queries.AFTER, after=until)
    rows = reading.rows(where.statement(queries.EVENTS, queries.OLDEST_FIRST), where.params)
    return until, [codec.decode_event(row) for row in rows]


def rewind(tx: Transaction, key: SessionKey, *, turns: int, to: Event | str | int | None, now: str) -> list[Event]:
    """Removes turns, or all events after one; returns the removed events."""
    tx.lock(key)
    until, removed = taken_back(tx, key, turns=turns, to=to)
    if removed:
        old = state.after(tx, key, until)
        appending.remove_events(tx, key, until)
        state.go_back(tx, key, old, now)
        tx.run(queries.TOUCH_SESSION, {**key.params(), "now": now})
    return removed


# ---------------------------------------------------------------- cuts between events


def tool_spans(rows: Iterable[Row]) -> tuple[list[Span], list[int]]:
    """Returns the seqs of each call of a tool and of its result, in the order of the calls; and calls without a result.

    It takes the rows of `queries.EVENTS_WITH_TOOLS`.
    """
    # By the id of the calls, the seqs of calls without a result. Providers repeat ids: only the last event with an id
    # counts, and it may have several calls with that id.
    waiting: dict[str, list[int]] = {}
    answered = []
    for seq, id, author, column in rows:
        called: dict[str, list[int]] = {}
        for position, action in enumerate(codec.decode_actions_or_empty(column)):
            name = action.id or f"{id}:{position}"
            if author != "tool":
                called.setdefault(name, []).extend([seq] if action.status == "pending" else [])
            elif waiting.get(name):
                answered.append((waiting[name].pop(), seq))
        waiting.update(called)
    return sorted(answered), [seq for calls in waiting.values() for seq in calls]


def spans(reading: Reading, key: SessionKey) -> list[Span]:
    """Returns the seqs of each call of a session and of its result; see `tool_spans`."""
    return tool_spans(reading.rows(queries.EVENTS_WITH_TOOLS, key.params()))[0]


def uncut(reading: Reading, key: SessionKey, cut: int) -> int:
    """Returns the nearest seq up to a cut that separates no call of the session from its result; see `before_calls`."""
    return before_calls(
        spans(reading, key), cut, lambda seq: seq_before(reading, queries.LAST_USER_SEQ_BEFORE, key, seq)
    )


def after_results(spans: list[Span], cut: int) -> int:
    """Returns the nearest seq from a cut on that separates no call from its result."""
    for call, result in spans:
        if call <= cut < result:
            cut = result
    return cut


def before_calls(spans: list[Span], cut: int, turn_of: Callable[[int], int | None]) -> int:
    """Returns the nearest seq up to a cut that separates no call from its result, and ends a turn.

    ``turn_of`` returns the seq at which the turn of an event begins, or None before the first turn. A call before the
    first turn counts as a turn of its own.
    """
    for call, result in reversed(spans):
        if call <= cut < result:
            cut = (turn_of(call) or call) - 1
    return cut
