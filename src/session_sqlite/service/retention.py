"""What is not kept: pruning what is old, erasing what must be gone, redacting what should not have been said.

*Pruning* removes old turns. *Erasing* removes a session or a user so that the bytes are nowhere in the file.
*Redacting* changes the text of stored events, in every place where it stands.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Reading, Reads, Row, Transaction
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import REMOVE, AnyOf, Event
from session_sqlite.service.life_cycle import LifeCycle, own_state, uncut
from session_sqlite.service.scoped import as_is, missing
from session_sqlite.session import Session

CHUNK_EVENTS: Final = 500


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


class Retention(LifeCycle):
    """Pruning, erasing, redacting."""

    def prune(
        self,
        *,
        older_than: datetime | timedelta | None = None,
        keep_last: int | None = None,
        dry_run: bool = False,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> PruneReport:
        """Removes old turns from the sessions of an app and user: whole turns, from the beginning.

        A session keeps its ``last_seq`` and its state. One that has no events left and did not change since
        ``older_than`` goes altogether. Each session is one transaction.

        Args:
            older_than: Remove what is older than this time, or than so long ago. A time in the future and a negative
                age, which would remove everything, are refused.
            keep_last: Keep the latest so many events of each session, whatever their age (see `last_events`).
            dry_run: Only count.
            app_name: The app, if not the service's; `ANY` for all.
            user_id: The user, if not the service's; `ANY` for all.
        """
        codec.flag(dry_run, "dry_run")
        if older_than is None and keep_last is None:
            raise InvalidInputError("say what to prune: older_than, keep_last or both")
        before = None if older_than is None else codec.time_text(_past(older_than))
        kept = codec.optional_number(keep_last, "keep_last")
        events = sessions = 0
        for key in self._session_keys(app_name, user_id):
            cut = self._prune_until(key, before, kept)
            gone, session_too = self._prune_one(key, cut, before, dry_run)
            events += gone
            sessions += session_too
        return PruneReport(events, sessions, dry_run)

    def erase(
        self,
        session: Session | str | None = None,
        *,
        user_id: str | None = None,
        app_name: str | AnyOf | None = None,
    ) -> EraseReport:
        """Erases a session, or all of a user: rows, state, search words, WAL and free pages.

        Afterwards the bytes are nowhere in the file or its WAL, or the report says what still holds them (another
        process that is reading, a fork of the session). It rewrites the whole file, which takes a while and, for that
        time, as much room again. Copies outside of the store (backups, exports, snapshots of the disk) are not its.

        Args:
            session: The session to erase.
            user_id: Instead of a session: the user whose sessions and state to erase.
            app_name: With ``user_id``: the app, if not the service's; `ANY` for all.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        if (session is None) == (user_id is None):
            raise InvalidInputError("say what to erase: a session or a user_id")
        if session is not None:
            if app_name is not None:
                raise InvalidInputError("app_name goes with user_id; a session has its own")
            one = self._key(session)
            clauses, params = [queries.OF_APP, queries.OF_USER, queries.WITH_ID], one.params()
        else:
            one = None
            clauses, params = self._scope_clauses(app_name, codec.identifier(user_id, "user_id"))

        def work(tx: Transaction) -> tuple[int, int, list[str]]:
            keys = [SessionKey._make(row) for row in tx.rows(queries.joined(queries.SESSION_KEYS, clauses), params)]
            if one is not None and not keys:
                raise missing(one)
            copies = _copies(tx, one) if one is not None else []  # those of a user are all erased
            events = 0
            for key in keys:
                events += self._remove_events(tx, key)
                tx.run(queries.DELETE_STATE_OF_SESSION, key.params())
                tx.run(queries.DELETE_SESSION, key.params())
            if one is None:
                tx.run(queries.joined(queries.DELETE_STATE, clauses), params)
            return len(keys), events, copies

        sessions, events, copies = self._database.write(work)
        return EraseReport(sessions, events, (*copies, *self._database.purge()))

    def redact(
        self,
        pattern: str | re.Pattern[str] | Callable[[str], str],
        *,
        replacement: str = "[redacted]",
        session: Session | str | None = None,
        dry_run: bool = False,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> RedactReport:
        """Changes the text of stored events: content, reasoning, tool calls, metadata, state, messages, search words.

        Ids, names of tools and keys of JSON objects stay. Afterwards the old text is nowhere in the file, or the report
        says what still holds it. Titles and metadata of sessions, and the present state, are not events, but the report
        names those that hold such text: change them with `update_session` and `update_state`.

        Args:
            pattern: A regular expression, or a function that returns the text as it is to be. It runs outside of any
                transaction, so that other writers need not wait for it; an event that they change meanwhile is done
                again. How long it takes is up to it: an expression such as ``(a+)+$`` may go on for years (Ctrl-C
                ends it), and other threads of this process wait for a regular expression.
            replacement: What stands in place of a match of the expression, as for `re.sub`.
            session: Only in this session.
            dry_run: Only count.
            app_name: The app, if not the service's; `ANY` for all.
            user_id: The user, if not the service's; `ANY` for all.

        Raises:
            SessionNotFoundError: ``session`` does not exist.
        """
        codec.flag(dry_run, "dry_run")
        change = _change(pattern, replacement)
        if session is not None:
            if app_name is not None or user_id is not None:
                raise InvalidInputError("a session belongs to one app and user: give a session or these, not both")
            key = self._key(session)
            self._require(key)
            keys = [key]
        else:
            keys = self._session_keys(app_name, user_id)
        changed = skipped = 0
        for key in keys:
            some, unread = self._redact_events(key, change, dry_run)
            changed += some
            skipped += unread
        if dry_run:
            return RedactReport(changed, skipped, (), True)
        states = sum([self._redact_initial_state(key, change) for key in keys])
        remaining = self._still_holding(keys, change)
        if session is not None:
            remaining += _copies(Reads(self._database), keys[0]) if changed else []
        elif keys:
            remaining += self._shared_state_holding(app_name, user_id, change)
        if changed or states:
            remaining += self._database.purge()
        return RedactReport(changed, skipped, tuple(remaining), False)

    # ------------------------------------------------------------ how

    def _session_keys(self, app_name: str | AnyOf | None, user_id: str | AnyOf | None) -> list[SessionKey]:
        clauses, params = self._scope_clauses(app_name, user_id)
        return self._database.read(queries.joined(queries.SESSION_KEYS, clauses), params, SessionKey._make)

    def _prune_until(self, key: SessionKey, before: str | None, keep_last: int | None) -> int:
        """The seq up to which events may go: at most what is old enough, and only whole turns."""
        params = key.params()
        last: int = (self._database.read(queries.HIGHEST_SEQ, params, as_is) or [(0,)])[0][0] or 0
        cut = last
        if before is not None:
            first_young = self._database.read(queries.FIRST_SEQ_SINCE, {**params, "since": before}, as_is)[0][0]
            cut = last if first_young is None else first_young - 1
        if keep_last:
            kept = [event.seq for event in self._latest_turns(key, keep_last) if event.seq] if last else []
            cut = min(cut, kept[0] - 1 if kept else last)
        if cut < last:
            begin = self._last_seq_before(queries.LAST_USER_SEQ_BEFORE, key, cut + 2)
            cut = 0 if begin is None else begin - 1
        return cut

    def _prune_one(self, key: SessionKey, latest: int, before: str | None, dry_run: bool) -> tuple[int, bool]:
        def look(reading: Reading) -> tuple[int, int, bool]:
            stored = reading.rows(queries.SESSION_AGE, key.params())
            if not stored:
                return 0, 0, False
            cut = uncut(reading, key, latest)
            gone: int = reading.rows(queries.COUNT_EVENTS_UNTIL, {**key.params(), "until_seq": cut})[0][0]
            left = reading.rows(queries.HIGHEST_SEQ, key.params())[0][0]
            is_old = before is not None and codec.decode_time(stored[0][0]) is not None and stored[0][0] < before
            altogether = is_old and (left is None or left <= cut)
            return cut, gone, altogether

        def work(tx: Transaction) -> tuple[int, bool]:
            cut, gone, altogether = look(tx)
            if gone:
                # What the events did to the state is then part of where it starts.
                tx.run(queries.SET_INITIAL_STATE, {**key.params(), "state": _state_column(tx, key, cut)})
                self._remove_events(tx, key, until_seq=cut)
            if altogether:
                tx.run(queries.DELETE_STATE_OF_SESSION, key.params())
                tx.run(queries.DELETE_SESSION, key.params())
            return gone, altogether

        return look(Reads(self._database))[1:] if dry_run else self._database.write(work)

    def _redact_events(self, key: SessionKey, change: Callable[[str], str], dry_run: bool) -> tuple[int, int]:
        """Redacts the events of a session, some at a time; returns how many changed and how many it cannot read."""
        place = codec.EVENT_COLUMNS.index("seq") + 1
        clauses: tuple[str, ...] = (queries.OF_SESSION,)
        params: dict[str, Any] = {**key.params(), "limit": CHUNK_EVENTS}
        changed = unread = 0
        while True:
            sql = queries.joined(queries.EVENTS_WITH_ROW_ID, clauses, queries.OLDEST_FIRST + queries.LIMITED)
            rows = self._database.read(sql, params, as_is)
            some, skipped = self._redact_rows(key, rows, change, dry_run)
            changed += some
            unread += skipped
            if len(rows) < CHUNK_EVENTS:
                return changed, unread
            clauses, params["after"] = (queries.OF_SESSION, queries.AFTER), rows[-1][place]

    def _redact_rows(
        self, key: SessionKey, rows: list[Row], change: Callable[[str], str], dry_run: bool
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
            stored, rows = self._database.write(lambda tx, some=redacted: self._store_texts(tx, key, some))  # type: ignore[misc]  # bound now
            changed += stored
        return changed, unread

    def _store_texts(
        self, tx: Transaction, key: SessionKey, redacted: list[tuple[Row, dict[str, Any]]]
    ) -> tuple[int, list[Row]]:
        """Stores the new texts of events; returns how many, and the present rows of those that changed meanwhile."""
        index = self._database.index
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
            if index is not None:
                index.changed(tx, row, tx.rows(queries.EVENT_OF_ROW, named)[0])
        return stored, others

    def _redact_initial_state(self, key: SessionKey, change: Callable[[str], str]) -> bool:
        """Redacts the state at creation as well: a rewind restores it, and no other verb can change it."""

        def initial_state(reading: Reading) -> Any:
            rows = reading.rows(queries.SESSION_WITH_STATE, key.params())
            return rows[0][3] if rows else None

        while True:
            column = initial_state(Reads(self._database))
            state = codec.decode_state_or_empty(column)
            redacted = _walk(state, change)
            if redacted == state:
                return False
            params = {**key.params(), "state": codec.encode_state(redacted)}

            def work(tx: Transaction, before: Any = column, params: dict[str, Any] = params) -> bool:
                return initial_state(tx) == before and tx.run(queries.SET_INITIAL_STATE, params) > 0

            if self._database.write(work):
                return True

    def _still_holding(self, keys: list[SessionKey], change: Callable[[str], str]) -> list[str]:
        """Sessions whose title, metadata or own state has text that a redaction would change."""
        holding = []
        for key in keys:
            for session in self._database.read(queries.SESSION, key.params(), self._session):
                if change(session.title) != session.title:
                    holding.append(f"the title of {key}")
                if _walk(session.metadata, change) != session.metadata:
                    holding.append(f"the metadata of {key}")
            for name, value in self._database.read(queries.OWN_STATE, key.params(), as_is):
                if _state_holds(name, value, change):
                    holding.append(f"the state {name!r} of {key}")
            for _, _, metadata, state in self._database.read(queries.SESSION_WITH_STATE, key.params(), as_is):
                for place, column in (("metadata", metadata), ("state at creation", state)):
                    if not codec.is_state(column) and _holds(column, change):
                        holding.append(f"the {place} of {key}, which cannot be read")
        return holding

    def _shared_state_holding(
        self, app_name: str | AnyOf | None, user_id: str | AnyOf | None, change: Callable[[str], str]
    ) -> list[str]:
        clauses, params = self._scope_clauses(app_name, user_id)
        clauses = [queries.OF_USER_OR_APP if clause is queries.OF_USER else clause for clause in clauses]
        sql = queries.joined(queries.STATE_ROWS, [*clauses, queries.SHARED])
        return [
            f"the state {name!r} of app {app!r}" + (f" and user {user!r}" if user else "")
            for app, user, name, value in self._database.read(sql, params, as_is)
            if _state_holds(name, value, change)
        ]


def _past(older_than: datetime | timedelta) -> datetime:
    """The time up to which an age or a time reaches back. Raises `InvalidInputError` for one that is yet to come."""
    now = datetime.now(UTC)
    if isinstance(older_than, timedelta):
        try:
            older_than = now - older_than
        except OverflowError:
            raise InvalidInputError("older_than is out of the range of dates") from None
    if (when := codec.utc(older_than, "older_than")) > now:
        raise InvalidInputError("older_than is a negative age or in the future: everything would be removed")
    return when


def _state_column(tx: Transaction, key: SessionKey, until: int) -> str:
    return codec.encode_state(own_state(tx, key, until))


def _change(pattern: object, replacement: object) -> Callable[[str], str]:
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


def _copies(tx: Reading, key: SessionKey) -> list[str]:
    """Other sessions that have a copy of something of this one, in words: what it was forked from, and its forks."""
    copies: dict[str, None] = {}
    unseen = [key]
    while unseen:  # forks of forks
        for (fork,) in tx.rows(queries.FORKS, unseen.pop().params()):
            if fork != key.session_id and fork not in copies:
                copies[fork] = None
                unseen.append(key._replace(session_id=fork))
    copies |= dict.fromkeys(row[0] for row in tx.rows(queries.SESSIONS_WITH_SAME_EVENTS, key.params()))
    return [f"session {copy!r} has a copy: one was forked from the other" for copy in copies]


def _state_holds(name: str, column: object, change: Callable[[str], str]) -> bool:
    value = codec.decode_state_value(name, column)
    return _holds(column, change) if value is REMOVE else _walk(value, change) != value


def _holds(column: object, change: Callable[[str], str]) -> bool:
    """True for a damaged column in which a redaction would change something."""
    text = column.decode("utf-8", "backslashreplace") if isinstance(column, bytes) else str(column)
    return change(text) != text


def _redacted(event: Event, change: Callable[[str], str]) -> Event | None:
    """The event with its texts changed; None if its message cannot be read."""
    content, message = change(event.content), event.message
    if message is not None:
        message = importlib.import_module("session_sqlite.langchain.messages").redacted(event, change)
        if message is None:
            return None
    redacted = replace(
        event,
        content=content,
        reasoning=change(event.reasoning),
        actions=tuple(
            replace(
                action,
                args=_walk(action.args, change),
                output=_walk(action.output, change),
                error=None if action.error is None else change(action.error),
            )
            for action in event.actions
        ),
        state=_walk(event.state, change),
        metadata=_walk(event.metadata, change),
        message=message,
    )
    if message is None or redacted == event:
        return redacted
    return replace(redacted, message=_marked(message))


def _marked(message: str) -> str:
    """The message with the mark that keeps an agent, whose checkpointer still has the old text, from undoing this."""
    stored = codec.decode_object(message)
    made = {**stored, "$meta": {**stored.get("$meta", {}), "redacted": True}}
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"))


def _walk(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _walk(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, change) for item in value]
    return value
