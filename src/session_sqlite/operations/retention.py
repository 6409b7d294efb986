"""Pruning, erasing and redacting.

*Pruning* removes old turns. *Erasing* removes a session or a user so that their bytes are nowhere in the file.
*Redacting* replaces text in stored events, in every place where they hold it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Readable, Reading, Reads, Row, Transaction, Within
from session_sqlite.errors import InvalidInputError
from session_sqlite.messages.form import form_of
from session_sqlite.models import REMOVE, Event, SessionRecord
from session_sqlite.operations import appending, sessions, state
from session_sqlite.operations.forks import uncut
from session_sqlite.operations.lookup import missing, of_session
from session_sqlite.operations.reading import seq_before
from session_sqlite.operations.windows import latest_turns
from session_sqlite.where import Where

EVENTS_AT_ONCE: Final = 500  # how many events one transaction redacts

Change = Callable[[str], str]


@dataclass(frozen=True)
class PruneReport:
    """The report of a prune.

    Attributes:
        events: How many events were removed, or would be.
        sessions: How many sessions were deleted, or would be.
        dry_run: True if nothing was changed.
    """

    events: int
    sessions: int
    dry_run: bool


@dataclass(frozen=True)
class EraseReport:
    """The report of an erasure.

    Attributes:
        sessions: How many sessions were erased.
        events: How many events were erased.
        remaining: The places that may still hold the text, in words; empty if none in the store does.
    """

    sessions: int
    events: int
    remaining: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Returns True if the bytes are nowhere in the file or its WAL."""
        return not self.remaining


@dataclass(frozen=True)
class RedactReport:
    """The report of a redaction.

    Attributes:
        events: How many events were changed, or would be.
        skipped: How many events could not be read, and were not changed.
        remaining: The places that may still hold the old text, in words; empty if none in the store does.
        dry_run: True if nothing was changed.
    """

    events: int
    skipped: int
    remaining: tuple[str, ...]
    dry_run: bool


def keys(reading: Reading, where: Where) -> list[SessionKey]:
    """Returns the keys of the sessions that match."""
    return [SessionKey._make(row) for row in reading.rows(where.statement(queries.SESSION_KEYS), where.params)]


# ---------------------------------------------------------------- pruning


def past(older_than: datetime | timedelta) -> str:
    """Returns a time, or the time that an age means, as text as it is stored.

    Raises:
        InvalidInputError: The time is in the future.
    """
    now = datetime.now(UTC)
    if isinstance(older_than, timedelta):
        try:
            older_than = now - older_than
        except OverflowError:
            raise InvalidInputError("older_than is out of the range of dates") from None
    if (when := codec.utc(older_than, "older_than")) > now:
        raise InvalidInputError("older_than is a negative age or in the future: everything would be removed")
    return codec.time_text(when)


def prune(database: Database, where: Where, before: str | None, keep_last: int | None, *, dry_run: bool) -> PruneReport:
    """Removes old turns from the sessions that match, each session in a transaction of its own."""
    events = sessions_deleted = 0
    for key in keys(Reads(database), where):
        if dry_run:
            _, count, is_deleted = _to_prune(database, key, before, keep_last)
        else:
            count, is_deleted = database.write(
                lambda tx, key=key: _prune_one(tx, key, before, keep_last)  # type: ignore[misc]  # bound now
            )
        events += count
        sessions_deleted += is_deleted
    return PruneReport(events, sessions_deleted, dry_run)


def _latest_to_prune(database: Readable, key: SessionKey, before: str | None, keep_last: int | None) -> int:
    """Returns the seq up to which events are old enough to be removed, in whole turns."""
    reading, params = Reads(database), key.params()
    last: int = (reading.rows(queries.HIGHEST_SEQ, params) or [(0,)])[0][0] or 0
    cut = last
    if before is not None:
        first_young = reading.rows(queries.FIRST_SEQ_SINCE, {**params, "since": before})[0][0]
        cut = last if first_young is None else first_young - 1
    if keep_last:
        kept = [event.seq for event in latest_turns(database, key, keep_last) if event.seq] if last else []
        cut = min(cut, kept[0] - 1 if kept else last)
    if cut < last:
        begin = seq_before(reading, queries.LAST_USER_SEQ_BEFORE, key, cut + 2)
        cut = 0 if begin is None else begin - 1
    return cut


def _to_prune(database: Readable, key: SessionKey, before: str | None, keep_last: int | None) -> tuple[int, int, bool]:
    """Returns the seq up to which to remove events, how many these are, and whether to delete the session."""
    reading = Reads(database)
    stored = reading.rows(queries.SESSION_AGE, key.params())
    if not stored:
        return 0, 0, False
    cut = uncut(reading, key, _latest_to_prune(database, key, before, keep_last))
    count: int = reading.rows(queries.COUNT_EVENTS_UNTIL, {**key.params(), "until_seq": cut})[0][0]
    highest = reading.rows(queries.HIGHEST_SEQ, key.params())[0][0]
    is_old = before is not None and codec.decode_time(stored[0][0]) is not None and stored[0][0] < before
    return cut, count, is_old and (highest is None or highest <= cut)


def _prune_one(tx: Transaction, key: SessionKey, before: str | None, keep_last: int | None) -> tuple[int, bool]:
    tx.lock(key)
    cut, count, is_deleted = _to_prune(Within(tx), key, before, keep_last)
    if is_deleted:
        sessions.delete(tx, key)
    elif count:
        # The initial state takes over the changes that the removed events made: a rewind rebuilds the state from it.
        column = codec.encode_state(state.after(tx, key, cut))
        tx.run(queries.SET_INITIAL_STATE, {**key.params(), "state": column})
        appending.remove_events(tx, key, until_seq=cut)
    return count, is_deleted


# ---------------------------------------------------------------- erasing


def erase_session(tx: Transaction, key: SessionKey) -> tuple[int, list[str]]:
    """Deletes a session; returns how many events it had, and in words which sessions have copies of them."""
    if not tx.lock(key):
        if tx.may_be_done:
            return 0, []  # the run before has deleted it
        raise missing(key)
    remaining = copies(tx, key)
    return sessions.delete(tx, key)[1], remaining


def erase_user(tx: Transaction, where: Where) -> tuple[int, int]:
    """Deletes the sessions that match and the state that they share; returns how many sessions and events."""
    owned = keys(tx, where)
    tx.lock(*owned)
    events = sum([sessions.delete(tx, key)[1] for key in owned])
    tx.run(where.statement(queries.DELETE_STATE), where.params)
    return len(owned), events


def copies(reading: Reading, key: SessionKey) -> list[str]:
    """Returns in words which other sessions have copies of a session's events: its forks, and its source."""
    others: dict[str, None] = {}
    unseen = [key]
    while unseen:  # forks have forks
        for (fork,) in reading.rows(queries.FORKS, unseen.pop().params()):
            if fork != key.session_id and fork not in others:
                others[fork] = None
                unseen.append(key._replace(session_id=fork))
    others |= dict.fromkeys(row[0] for row in reading.rows(queries.SESSIONS_WITH_SAME_EVENTS, key.params()))
    return [f"session {other!r} has a copy: one was forked from the other" for other in others]


# ---------------------------------------------------------------- redacting


def change_of(pattern: object, replacement: object) -> Change:
    """Returns the function that replaces a pattern in a text. Raises `InvalidInputError`."""
    if callable(pattern):
        function = pattern

        def checked(text: str) -> str:
            changed = function(text) if text else text
            if not isinstance(changed, str):
                raise InvalidInputError(f"the function must return text, not {type(changed).__name__}")
            return str.__str__(changed)

        return checked
    if not isinstance(pattern, (str, re.Pattern)):
        raise InvalidInputError("pattern must be a regular expression or a function of a text")
    substitute = codec.text(replacement, "replacement")
    try:
        expression: re.Pattern[str] = re.compile(pattern)
        expression.sub(substitute, "")
    except (re.error, TypeError, IndexError) as error:
        raise InvalidInputError(f"pattern or replacement is not a valid regular expression: {error}") from None
    return lambda text: expression.sub(substitute, text)


def redact(database: Database, wanted: list[SessionKey], change: Change, *, dry_run: bool) -> tuple[int, int, bool]:
    """Redacts sessions; returns how many events it changed, how many it cannot read, and whether the store changed."""
    changed = unreadable = states = 0
    for key in wanted:
        count, skipped = _redact_events(database, key, change, dry_run=dry_run)
        changed += count
        unreadable += skipped
    if not dry_run:
        states = sum([_redact_initial_state(database, key, change) for key in wanted])
    return changed, unreadable, changed + states > 0


def _redact_events(database: Database, key: SessionKey, change: Change, *, dry_run: bool) -> tuple[int, int]:
    """Redacts the events of a session, some at a time; returns how many changed and how many it cannot read."""
    seq = codec.EVENT_COLUMNS.index("seq") + 1  # a row has its row_id in front
    where = of_session(key).with_values(limit=EVENTS_AT_ONCE)
    changed = unreadable = 0
    while True:
        sql = where.statement(queries.EVENTS_WITH_ROW_ID, queries.OLDEST_FIRST + queries.LIMITED)
        rows = database.read(sql, where.params, tuple)
        count, skipped = _redact_rows(database, key, rows, change, dry_run=dry_run)
        changed += count
        unreadable += skipped
        if len(rows) < EVENTS_AT_ONCE:
            return changed, unreadable
        where = where.also(queries.AFTER, after=rows[-1][seq])


def _redact_rows(
    database: Database, key: SessionKey, rows: list[Row], change: Change, *, dry_run: bool
) -> tuple[int, int]:
    """Redacts some events; returns how many changed and how many it cannot read.

    The caller's function is called outside of the transaction, since other writers wait for a transaction. An event
    that another writer changed in between is redacted again.
    """
    changed = unreadable = 0
    while rows:
        redacted: list[tuple[Row, dict[str, Any]]] = []
        for row in rows:
            event = codec.decode_event(row[1:])
            new = None if event.unreadable else _redacted(event, change)
            if new is None:
                unreadable += 1
            elif new != event:
                redacted.append((row, codec.encode_texts(new)))
        if dry_run or not redacted:
            return changed + len(redacted), unreadable
        stored, rows = database.write(lambda tx, some=redacted: _store_texts(tx, key, some))  # type: ignore[misc]  # bound now
        changed += stored
    return changed, unreadable


def _store_texts(tx: Transaction, key: SessionKey, redacted: list[tuple[Row, dict[str, Any]]]) -> tuple[int, list[Row]]:
    """Stores the new texts of events; returns how many, and the present rows of those that others changed meanwhile."""
    tx.lock(key)
    stored = 0
    changed_meanwhile: list[Row] = []
    for row, columns in redacted:
        named = {**key.params(), "row_id": row[0]}
        present = tx.rows(queries.EVENT_OF_ROW, named)
        if tx.may_be_done and present and columns.items() <= _by_name(present[0]).items():
            stored += 1  # by the run before, whose commit got no answer
            continue
        if present != [row]:
            changed_meanwhile += present
            continue
        stored += 1
        tx.run(queries.UPDATE_EVENT_TEXT, {**named, **columns})
        if tx.index is not None:
            tx.index.changed(tx, row, tx.rows(queries.EVENT_OF_ROW, named)[0])
    return stored, changed_meanwhile


def _by_name(row: Row) -> dict[str, Any]:
    return dict(zip(codec.EVENT_COLUMNS, row[1:], strict=True))


def _redact_initial_state(database: Database, key: SessionKey, change: Change) -> bool:
    """Redacts the initial state of a session: a rewind restores it, and no other verb can change it."""

    def initial_state(reading: Reading) -> Any:
        rows = reading.rows(queries.SESSION_WITH_STATE, key.params())
        return rows[0][3] if rows else None

    while True:
        column = initial_state(Reads(database))
        before = codec.decode_state_or_empty(column)
        redacted = walked(before, change)
        if redacted == before:
            return False
        params = {**key.params(), "state": codec.encode_state(redacted)}

        def work(tx: Transaction, column: Any = column, params: dict[str, Any] = params) -> bool:
            tx.lock(key)
            return initial_state(tx) == column and tx.run(queries.SET_INITIAL_STATE, params) > 0

        if database.write(work):
            return True


def still_holding(reading: Reading, wanted: list[SessionKey], change: Change) -> list[str]:
    """Returns in words which titles, metadata and own state of sessions hold text that a redaction would change."""
    holding = []
    for key in wanted:
        for row in reading.rows(queries.SESSION, key.params()):
            session = codec.decode_session(row, SessionRecord)
            if change(session.title) != session.title:
                holding.append(f"the title of {key}")
            if walked(session.metadata, change) != session.metadata:
                holding.append(f"the metadata of {key}")
        holding += [
            f"the state {name!r} of {key}"
            for name, column in reading.rows(queries.OWN_STATE, key.params())
            if _state_holds(name, column, change)
        ]
        holding += [
            f"the {place} of {key}, which cannot be read"
            for _, _, metadata, initial in reading.rows(queries.SESSION_WITH_STATE, key.params())
            for place, column in (("metadata", metadata), ("state at creation", initial))
            if not codec.is_state(column) and _holds(column, change)
        ]
    return holding


def shared_state_holding(reading: Reading, where: Where, change: Change) -> list[str]:
    """Returns in words which keys of shared state hold text that a redaction would change."""
    # The state of an app is shared by the user's sessions too, and belongs to no user.
    shared = tuple(
        queries.OF_USER_OR_APP if condition is queries.OF_USER else condition for condition in where.conditions
    )
    where = Where(shared, where.params).also(queries.SHARED)
    return [
        f"the state {name!r} of app {app!r}" + (f" and user {user!r}" if user else "")
        for app, user, name, column in reading.rows(where.statement(queries.STATE_ROWS), where.params)
        if _state_holds(name, column, change)
    ]


def _state_holds(name: str, column: object, change: Change) -> bool:
    value = codec.decode_state_value(name, column)
    return _holds(column, change) if value is REMOVE else walked(value, change) != value


def _holds(column: object, change: Change) -> bool:
    """Returns True for a damaged column that holds text which a redaction would change."""
    text = column.decode("utf-8", "backslashreplace") if isinstance(column, bytes) else str(column)
    return change(text) != text


def _redacted(event: Event, change: Change) -> Event | None:
    """Returns the event with its texts replaced; None if its message cannot be read."""
    content, message = change(event.content), event.message
    form = form_of(message)
    if form is None:
        return None
    if message is not None:
        message = form.redacted(event, change)
        if message is None:
            return None
    redacted = replace(
        event,
        content=content,
        reasoning=change(event.reasoning),
        actions=tuple(
            replace(
                action,
                args=walked(action.args, change),
                output=walked(action.output, change),
                error=None if action.error is None else change(action.error),
            )
            for action in event.actions
        ),
        state=walked(event.state, change),
        metadata=walked(event.metadata, change),
        message=message,
    )
    if message is None or redacted == event:
        return redacted
    return replace(redacted, message=form.marked_redacted(message))


def walked(value: Any, change: Change) -> Any:
    """Returns a JSON value with each text in it replaced; the keys of objects stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: walked(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [walked(item, change) for item in value]
    return value
