"""What is not kept: pruning what is old, erasing what must be gone, redacting what should not have been said.

*Pruning* removes old turns. *Erasing* removes a session or a user so that the bytes are nowhere in the file.
*Redacting* changes the text of stored events, in every place where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Reading, Reads, Row, Transaction
from session_sqlite.errors import InvalidInputError
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
    """What a prune removed, or would remove.

    Attributes:
        events: How many events.
        sessions: How many sessions went altogether.
        dry_run: True if nothing was removed.
    """

    events: int
    sessions: int
    dry_run: bool


@dataclass(frozen=True)
class EraseReport:
    """What was erased, and whether anything still holds it.

    Attributes:
        sessions: How many sessions.
        events: How many events.
        remaining: What may still hold the text, in words; empty if nothing in the store does.
    """

    sessions: int
    events: int
    remaining: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """True if the bytes are nowhere in the file or its WAL."""
        return not self.remaining


@dataclass(frozen=True)
class RedactReport:
    """What was redacted.

    Attributes:
        events: How many events were changed, or would be.
        skipped: How many events could not be read, and were left as they are.
        remaining: What may still hold the old text, in words; empty if nothing in the store does.
        dry_run: True if nothing was changed.
    """

    events: int
    skipped: int
    remaining: tuple[str, ...]
    dry_run: bool


def keys(reading: Reading, where: Where) -> list[SessionKey]:
    """Returns the keys of the sessions that fit."""
    return [SessionKey._make(row) for row in reading.rows(where.statement(queries.SESSION_KEYS), where.params)]


# ---------------------------------------------------------------- pruning


def past(older_than: datetime | timedelta) -> str:
    """Returns the time up to which an age or a time reaches back, as it is stored.

    Raises:
        InvalidInputError: It is yet to come.
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
    """Removes old turns from the sessions that fit, each in a transaction of its own."""
    events = gone = 0
    for key in keys(Reads(database), where):
        latest = _may_go_until(database, key, before, keep_last)
        if dry_run:
            _, some, altogether = _look(Reads(database), key, latest, before)
        else:
            some, altogether = database.write(
                lambda tx, key=key, latest=latest: _prune_one(tx, key, latest, before)  # type: ignore[misc]  # bound now
            )
        events += some
        gone += altogether
    return PruneReport(events, gone, dry_run)


def _may_go_until(database: Database, key: SessionKey, before: str | None, keep_last: int | None) -> int:
    """Returns the seq up to which events may go: at most what is old enough, and only whole turns."""
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


def _look(reading: Reading, key: SessionKey, latest: int, before: str | None) -> tuple[int, int, bool]:
    """Returns up to which seq events go, how many these are, and whether the session goes with them."""
    stored = reading.rows(queries.SESSION_AGE, key.params())
    if not stored:
        return 0, 0, False
    cut = uncut(reading, key, latest)
    gone: int = reading.rows(queries.COUNT_EVENTS_UNTIL, {**key.params(), "until_seq": cut})[0][0]
    left = reading.rows(queries.HIGHEST_SEQ, key.params())[0][0]
    is_old = before is not None and codec.decode_time(stored[0][0]) is not None and stored[0][0] < before
    altogether = is_old and (left is None or left <= cut)
    return cut, gone, altogether


def _prune_one(tx: Transaction, key: SessionKey, latest: int, before: str | None) -> tuple[int, bool]:
    tx.lock(key)
    cut, gone, altogether = _look(tx, key, latest, before)
    if altogether:
        sessions.delete(tx, key)
    elif gone:
        # What the events did to the state is then part of where it starts.
        column = codec.encode_state(state.after(tx, key, cut))
        tx.run(queries.SET_INITIAL_STATE, {**key.params(), "state": column})
        appending.remove_events(tx, key, until_seq=cut)
    return gone, altogether


# ---------------------------------------------------------------- erasing


def erase_session(tx: Transaction, key: SessionKey) -> tuple[int, list[str]]:
    """Removes a session; returns how many events it had, and which sessions have copies of them, in words."""
    if not tx.lock(key):
        raise missing(key)
    copied = copies(tx, key)
    return sessions.delete(tx, key)[1], copied


def erase_user(tx: Transaction, where: Where) -> tuple[int, int]:
    """Removes the sessions that fit with the state that they share; returns how many sessions and events."""
    found = keys(tx, where)
    tx.lock(*found)
    events = sum([sessions.delete(tx, key)[1] for key in found])
    tx.run(where.statement(queries.DELETE_STATE), where.params)
    return len(found), events


def copies(reading: Reading, key: SessionKey) -> list[str]:
    """Returns which other sessions have a copy of something of this one, in words: its forks, and their source."""
    found: dict[str, None] = {}
    unseen = [key]
    while unseen:  # forks of forks
        for (fork,) in reading.rows(queries.FORKS, unseen.pop().params()):
            if fork != key.session_id and fork not in found:
                found[fork] = None
                unseen.append(key._replace(session_id=fork))
    found |= dict.fromkeys(row[0] for row in reading.rows(queries.SESSIONS_WITH_SAME_EVENTS, key.params()))
    return [f"session {copy!r} has a copy: one was forked from the other" for copy in found]


# ---------------------------------------------------------------- redacting


def change_of(pattern: object, replacement: object) -> Change:
    """Returns the function that a pattern and its replacement mean. Raises `InvalidInputError`."""
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
    """Redacts sessions; returns how many events changed and were unreadable, and whether anything at all changed."""
    changed = unread = states = 0
    for key in wanted:
        some, skipped = _redact_events(database, key, change, dry_run=dry_run)
        changed += some
        unread += skipped
    if not dry_run:
        states = sum([_redact_initial_state(database, key, change) for key in wanted])
    return changed, unread, changed + states > 0


def _redact_events(database: Database, key: SessionKey, change: Change, *, dry_run: bool) -> tuple[int, int]:
    """Redacts the events of a session, some at a time; returns how many changed and how many it cannot read."""
    place = codec.EVENT_COLUMNS.index("seq") + 1
    where = of_session(key).with_values(limit=EVENTS_AT_ONCE)
    changed = unread = 0
    while True:
        sql = where.statement(queries.EVENTS_WITH_ROW_ID, queries.OLDEST_FIRST + queries.LIMITED)
        rows = database.read(sql, where.params, tuple)
        some, skipped = _redact_rows(database, key, rows, change, dry_run=dry_run)
        changed += some
        unread += skipped
        if len(rows) < EVENTS_AT_ONCE:
            return changed, unread
        where = where.also(queries.AFTER, after=rows[-1][place])


def _redact_rows(
    database: Database, key: SessionKey, rows: list[Row], change: Change, *, dry_run: bool
) -> tuple[int, int]:
    """Redacts some events.

    The caller's function is called outside of the transaction, which other writers wait for. An event that was
    changed by then is done again.
    """
    changed = unread = 0
    while rows:
        redacted: list[tuple[Row, dict[str, Any]]] = []
        for row in rows:
            event = codec.decode_event(row[1:])
            new = None if event.unreadable else _redacted(event, change)
            if new is None:
                unread += 1
            elif new != event:
                redacted.append((row, codec.encode_texts(new)))
        if dry_run or not redacted:
            return changed + len(redacted), unread
        stored, rows = database.write(lambda tx, some=redacted: _store_texts(tx, key, some))  # type: ignore[misc]  # bound now
        changed += stored
    return changed, unread


def _store_texts(tx: Transaction, key: SessionKey, redacted: list[tuple[Row, dict[str, Any]]]) -> tuple[int, list[Row]]:
    """Stores the new texts of events; returns how many, and the present rows of those that changed meanwhile."""
    tx.lock(key)
    stored = 0
    others: list[Row] = []
    for row, columns in redacted:
        named = {**key.params(), "row_id": row[0]}
        present = tx.rows(queries.EVENT_OF_ROW, named)
        if present != [row]:
            others += present
            continue
        stored += 1
        tx.run(queries.UPDATE_EVENT_TEXT, {**named, **columns})
        if tx.index is not None:
            tx.index.changed(tx, row, tx.rows(queries.EVENT_OF_ROW, named)[0])
    return stored, others


def _redact_initial_state(database: Database, key: SessionKey, change: Change) -> bool:
    """Redacts the state at creation as well: a rewind restores it, and no other verb can change it."""

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
    """Returns which titles, metadata and own state have text that a redaction would change, in words."""
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
    """Returns which keys that sessions share have text that a redaction would change, in words."""
    shared = tuple(queries.OF_USER_OR_APP if one is queries.OF_USER else one for one in where.conditions)
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
    """True for a damaged column in which a redaction would change something."""
    text = column.decode("utf-8", "backslashreplace") if isinstance(column, bytes) else str(column)
    return change(text) != text


def _redacted(event: Event, change: Change) -> Event | None:
    """Returns the event with its texts changed; None if its message cannot be read."""
    content, message = change(event.content), event.message
    if message is not None:
        from session_sqlite.messages.langchain import redacted as redacted_message

        message = redacted_message(event, change)
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
    return replace(redacted, message=_marked(message))


def _marked(message: str) -> str:
    """Returns the message with the mark that keeps an agent, whose checkpointer has the old text, from undoing this."""
    stored = codec.decode_object(message)
    marked = {**stored, "$meta": {**stored.get("$meta", {}), "redacted": True}}
    return codec.plain_json(marked)


def walked(value: Any, change: Change) -> Any:
    """Returns a JSON value with each text in it changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: walked(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [walked(item, change) for item in value]
    return value
