"""Sessions, their events and their state: the verbs that make, read, extend and delete them.

The part of `SessionService` that applications use all day. Each verb checks its arguments, encodes what is to be
written, and then runs one transaction; each read is one statement.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Reading, Row, Transaction
from session_sqlite.errors import (
    CorruptStoreError,
    DuplicateEventError,
    InvalidInputError,
    SessionExistsError,
    StaleSessionError,
)
from session_sqlite.models import REMOVE, AnyOf, Event
from session_sqlite.pages import Page
from session_sqlite.service.history_queries import HistoryQueries
from session_sqlite.service.scoped import SessionListing, as_is, missing
from session_sqlite.session import Session

T = TypeVar("T")
_Place = int | float | str | None  # see `codec.beyond`

DEFAULT_LIST_LIMIT: Final = 50
MAX_METADATA_CLAUSES: Final = 20
IDS_AT_ONCE: Final = 400  # how many ids one statement looks up: SQLite and the servers limit its parameters
LOOK_BACK_EVENTS: Final = 200  # how far before a window the calls of its results are looked for
CHUNK_EVENTS: Final = 500  # how many rows a stream or a filtered list reads at a time


@dataclass(frozen=True)
class _EventQuery:
    """A checked request for events of one session: what SQL can say, and what Python has to decide."""

    key: SessionKey
    clauses: tuple[str, ...]
    params: dict[str, Any]
    newest_first: bool = False
    keep: Callable[[Event], bool] | None = None

    def placed(self, row: Row) -> tuple[_Place, Event]:
        """An event, with the place behind which the next one follows."""
        return codec.beyond(row, self.newest_first), codec.decode_event(row)

    def beyond(self, seq: int | float | str) -> _EventQuery:
        """The same request for what follows an event."""
        name, clause = ("before", queries.BEFORE) if self.newest_first else ("after", queries.AFTER)
        clauses = self.clauses if clause in self.clauses else (*self.clauses, clause)
        return _EventQuery(self.key, clauses, {**self.params, name: seq}, self.newest_first, self.keep)


@dataclass
class Append:
    """Events on their way into a session: encoded, not yet placed."""

    events: list[Event]
    rows: list[dict[str, Any]]
    now: str
    expected_seq: int | None = None
    create: bool = False
    replace: bool = False
    named: bool = field(init=False)

    def __post_init__(self) -> None:
        self.named = any(event.id != "" for event in self.events)


class Conversations(HistoryQueries):
    """Sessions, their events and their state."""

    # ------------------------------------------------------------ sessions

    def create_session(
        self,
        *,
        agent_id: str = "",
        session_id: str | None = None,
        title: str = "",
        metadata: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        exist_ok: bool = False,
        app_name: str | None = None,
        user_id: str | None = None,
    ) -> Session:
        """Makes a session and returns it.

        Args:
            agent_id: The agent that the user talks with.
            session_id: Its id for this app and user; a UUIDv7 if not given.
            title: What a list of conversations shows.
            metadata: A JSON object of the application's own.
            state: The state it starts with; ``app:`` and ``user:`` keys go to what its app and user share.
            exist_ok: With an id that this user already has: return that session as it is.
            app_name: The app, if not the service's.
            user_id: The user, if not the service's.

        Raises:
            SessionExistsError: The user already has a session with this id (and ``exist_ok`` is false).
            InvalidInputError: An argument is malformed, or the app or user is `ANY`.
        """
        key = self._exact_key(codec.new_id() if session_id is None else session_id, app_name, user_id)
        codec.flag(exist_ok, "exist_ok")
        delta = codec.split_state({} if state is None else state)
        now = codec.now_text()
        row = codec.encode_session(key, agent_id=agent_id, title=title, metadata=metadata, state=delta, now=now)

        def work(tx: Transaction) -> Row:
            if found := tx.rows(queries.SESSION, key.params()):
                if exist_ok:
                    return found[0]
                raise SessionExistsError(f"{key} exists already: give another id, or exist_ok=True")
            tx.run(queries.INSERT_SESSION, row)
            write_state(tx, key, delta, now)
            return tx.rows(queries.SESSION, key.params())[0]

        return self._session(self._database.write(work))

    def list_sessions(
        self,
        *,
        agent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        updated_after: datetime | None = None,
        updated_before: datetime | None = None,
        limit: int | None = DEFAULT_LIST_LIMIT,
        cursor: str | None = None,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Page[Session]:
        """Lists sessions, the latest change first; of equal times the higher id first.

        Args:
            agent_id: Only of this agent.
            metadata: Only with each of these keys at its top level, with an equal JSON value.
            updated_after: Only changed after this time (exclusive).
            updated_before: Only changed before this time (exclusive).
            limit: At most so many; None for all, 0 for none.
            cursor: The ``next_cursor`` of the page before.
            app_name: The app, if not the service's; `ANY` for all.
            user_id: The user, if not the service's; `ANY` for all.

        Returns:
            A page; its ``next_cursor`` is None on the last one.
        """
        limit = codec.optional_number(limit, "limit")
        listing = SessionListing(*self._scope(app_name, user_id), cursor)
        clauses, params = listing.clauses, listing.params
        if agent_id is not None:
            clauses.append(queries.OF_AGENT)
            params["agent_id"] = codec.identifier(agent_id, "agent_id", optional=True)
        if updated_after is not None:
            clauses.append(queries.UPDATED_AFTER)
            params["updated_after"] = codec.time_text(codec.utc(updated_after, "updated_after"))
        if updated_before is not None:
            clauses.append(queries.UPDATED_BEFORE)
            params["updated_before"] = codec.time_text(codec.utc(updated_before, "updated_before"))
        wanted = _metadata_filter(metadata, clauses, params)

        found: list[tuple[Row, Session]] = []
        sought = None if limit is None else limit + 1
        batch = CHUNK_EVENTS if wanted else sought
        while True:
            rows = listing.read(self._database, queries.SESSIONS, batch)
            pairs = [(row, self._session(row)) for row in rows]
            found += [pair for pair in pairs if _has_metadata(pair[1], wanted)] if wanted else pairs
            if batch is None or len(rows) < batch or (sought is not None and len(found) >= sought):
                break
        page = [session for _, session in found[:limit]]
        more = bool(page) and len(found) > len(page)
        return Page(
            page,
            listing.cursor_after(found[len(page) - 1][0]) if more else None,
            of=Session,
            why_empty=self._why_empty(None, app_name, user_id),
        )

    def update_session(
        self,
        session: Session | str,
        *,
        title: str | None = None,
        agent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Session:
        """Changes what is given and returns the new session.

        Metadata is merged key by key; the value `REMOVE` deletes a key, None is a value like any other.

        Raises:
            SessionNotFoundError: There is no such session.
            CorruptStoreError: The stored metadata cannot be read, so nothing can be merged into it.
        """
        key = self._key(session)
        now = codec.now_text()
        changes: list[tuple[str, dict[str, Any]]] = []
        if title is not None:
            changes.append((queries.SET_TITLE, {"title": codec.text(title, "title")}))
        if agent_id is not None:
            changes.append((queries.SET_AGENT, {"agent_id": codec.identifier(agent_id, "agent_id", optional=True)}))
        if metadata is not None:
            codec.merge_metadata("{}", metadata)  # refused before anything is written
            metadata = dict(metadata)  # a mapping may be code of the caller's, which has no place in the transaction

        def work(tx: Transaction) -> Row:
            params = key.params()
            stored = tx.rows(queries.SESSION_METADATA, params)
            if not stored:
                raise missing(key)
            for sql, change in changes:
                tx.run(sql, {**params, **change})
            if metadata is not None:
                try:
                    merged = codec.merge_metadata(stored[0][0], metadata)
                except InvalidInputError:
                    raise
                except (ValueError, TypeError, RecursionError) as error:
                    raise CorruptStoreError(f"the stored metadata of {key} is not a JSON object") from error
                tx.run(queries.SET_METADATA, {**params, "metadata": merged})
            if changes or metadata is not None:
                tx.run(queries.TOUCH_SESSION, {**params, "now": now})
            return tx.rows(queries.SESSION, params)[0]

        return self._session(self._database.write(work))

    def delete_session(self, session: Session | str) -> bool:
        """Deletes a session with its events and its own state; False if there was none.

        State that the session shares with others (``app:`` and ``user:`` keys) stays.
        """
        key = self._key(session)

        def work(tx: Transaction) -> bool:
            self._remove_events(tx, key)
            tx.run(queries.DELETE_STATE_OF_SESSION, key.params())
            return tx.run(queries.DELETE_SESSION, key.params()) > 0

        return self._database.write(work)

    def clear_session(self, session: Session | str) -> int:
        """Removes the events, keeps the session and its state; returns how many events there were.

        The next event continues the numbering: a ``seq`` is never given twice.
        """
        key = self._key(session)
        now = codec.now_text()

        def work(tx: Transaction) -> int:
            if not tx.run(queries.TOUCH_SESSION, {**key.params(), "now": now}):
                raise missing(key)
            self._start_from_present_state(tx, key)
            return self._remove_events(tx, key)

        return self._database.write(work)

    # ------------------------------------------------------------ events

    def append_event(
        self, session: Session | str, event: Event, *, expected_seq: int | None = None, create: bool = False
    ) -> Event:
        """Appends one event and returns it as stored; see `append_events`."""
        return self.append_events(session, [event], expected_seq=expected_seq, create=create)[0]

    def append_events(
        self,
        session: Session | str,
        events: Iterable[Event],
        *,
        expected_seq: int | None = None,
        create: bool = False,
    ) -> list[Event]:
        """Appends events in their order, in one transaction: with their state and ``updated_at``, or nothing.

        An append that returned survives the end of the process and, unless the store was opened with
        ``durability="fast"``, a power cut. An event with an ``id`` may be appended again: if the session has the
        same event already, nothing changes and the stored one is returned.

        Args:
            session: The session.
            events: What to append. ``seq`` and ``session_id`` are given by the store; ``created_at`` is kept if set.
            expected_seq: The ``last_seq`` that the caller knows; refused if the session has moved on since.
            create: Make the session, in the same transaction, if there is none.

        Returns:
            The events as stored, one for each given.

        Raises:
            SessionNotFoundError: There is no such session; also for an empty batch.
            DuplicateEventError: An id is taken by an event with other content.
            StaleSessionError: ``expected_seq`` is not the session's ``last_seq``.
            InvalidInputError: An event is malformed; `NotSerializableError` and `EventTooLargeError` below it.
        """
        key = self._key(session)
        batch = self._encode(key, events)
        batch.expected_seq = codec.optional_number(expected_seq, "expected_seq")
        batch.create = codec.flag(create, "create")
        return self._write_batch(key, batch)

    def replace_events(self, session: Session | str, events: Iterable[Event]) -> list[Event]:
        """Removes all events and appends these instead, in one transaction; makes the session if there is none."""
        key = self._key(session)
        batch = self._encode(key, events)
        batch.create = batch.replace = True
        return self._write_batch(key, batch)

    def list_events(
        self,
        session: Session | str,
        *,
        author: str | None = None,
        agent_id: str | None = None,
        branch: str | None = None,
        invocation_id: str | None = None,
        tool: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int | str | None = None,
        before: int | str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Page[Event]:
        """Lists a session's events in their order, those that every given filter fits.

        Args:
            session: The session.
            author: Only by this author.
            agent_id: Only of this agent.
            branch: Only of exactly this branch.
            invocation_id: Only of this run.
            tool: Only events that call, or bring the result of, the tool with exactly this name.
            since: Only from this time on (inclusive).
            until: Only before this time (exclusive).
            after: Only after this ``seq``, or after a page's ``next_cursor``.
            before: Only before this ``seq``, or before a page's ``next_cursor``.
            limit: At most so many; None for all, 0 for none.
            newest_first: The highest ``seq`` first.

        Returns:
            A page. Its ``next_cursor`` is None on the last one; give it as ``after``, with ``newest_first`` as
            ``before``.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        query = self._event_query(
            session,
            author=author,
            agent_id=agent_id,
            branch=branch,
            invocation_id=invocation_id,
            tool=tool,
            since=since,
            until=until,
            after=after,
            before=before,
            newest_first=newest_first,
        )
        limit = codec.optional_number(limit, "limit")
        if limit is None and query.keep is None:
            events = self._select(query, None, codec.decode_event)
            if not events:
                self._require(query.key)
            return Page(events, of=Event)
        found = [] if limit == 0 else self._read_events(query, None if limit is None else limit + 1)
        if not found:
            self._require(query.key)
        page = [event for _, event in found[:limit]]
        if limit is None or len(found) <= limit or (place := found[limit - 1][0]) is None:
            return Page(page, of=Event)
        return Page(page, codec.encode_cursor(("events", *query.key), [codec.encode_place(place)]), of=Event)

    def iter_events(self, session: Session | str, *, limit: int | None = None, **filters: Any) -> Iterator[Event]:
        """A stream of what `list_events` lists, with the same filters, in memory that does not grow.

        No lock or cursor is held between items: the caller may write, and sees events that were appended meanwhile.
        """
        chunks = self.iter_event_chunks(session, limit=limit, **filters)
        return (event for chunk in chunks for event in chunk)

    def iter_event_chunks(
        self, session: Session | str, *, limit: int | None = None, **filters: Any
    ) -> Iterator[list[Event]]:
        """What `iter_events` gives, in lists of up to 500: each is one read, with nothing held between them."""
        query = self._event_query(session, **filters)
        limit = codec.optional_number(limit, "limit")
        self._require(query.key)
        return ([event for _, event in chunk] for chunk in self._chunks(query, limit))

    def last_events(self, session: Session | str, n: int) -> list[Event]:
        """The latest events, at most ``n``, oldest first, beginning at a turn (an event of the user).

        So a tool's result is never without its call. If the last turn alone is longer than ``n`` it comes whole. A
        session in which the user never spoke has no turns: then the window begins at an event that is no result.
        After `summarize_session` the newest summary comes first, in place of the events that it supersedes.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        return self._window(self._key_to_read(session), n)

    def convert_events(self, session: Session | str, convert: Callable[[Event], T]) -> list[T]:
        """All events in order, each given to ``convert``: one read. A session that does not exist has no events."""
        key = self._key_to_read(session)
        sql = queries.joined(queries.EVENTS_AS_SAID, (queries.OF_SESSION,), queries.OLDEST_FIRST)
        rows = self._database.read(sql, key.params(), as_is)
        rows.reverse()
        converted = []
        while rows:  # each row is let go as it is converted
            converted.append(convert(codec.decode_said(rows.pop())))
        return converted

    # ------------------------------------------------------------ state

    def get_state(self, session: Session | str) -> dict[str, Any]:
        """The state that a session sees: its app's, its user's and its own keys, sorted.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        key = self._key_to_read(session)
        rows = self._database.read(queries.STATE, key.params(), as_is)
        if not rows:
            raise missing(key)
        state = {}
        for name, value in rows:
            if name is not None and (decoded := codec.decode_state_value(name, value)) is not REMOVE:
                state[name] = decoded
        return state

    def get_state_value(self, session: Session | str, key: str, *, default: Any = None) -> Any:
        """One value of the state, or the default if there is no such key.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        owner = self._key_to_read(session)
        name = codec.state_key(key)
        row = codec.state_owner(owner, "" if name is None else name)
        params = {
            **owner.params(), "owner_user": row["user_id"], "owner_session": row["session_id"], "key": row["key"],
        }  # fmt: skip
        rows = self._database.read(queries.STATE_VALUE, params, as_is)
        if not rows:
            raise missing(owner)
        stored, value = rows[0]
        if stored is None or name is None:
            return default
        decoded = codec.decode_state_value(name, value)
        return default if decoded is REMOVE else decoded

    def update_state(self, session: Session | str, delta: Mapping[str, Any]) -> dict[str, Any]:
        """Sets and (with `REMOVE`) deletes keys in one transaction; returns the new state.

        The prefix of a key says whose it is: ``app:`` shared by all sessions of the app, ``user:`` by the user's
        sessions in the app, ``temp:`` never stored, none (or ``session:``) the session's own.

        Raises:
            SessionNotFoundError: There is no such session.
            NotSerializableError: JSON cannot hold a value.
        """
        key = self._key(session)
        changes = codec.split_state(delta)
        codec.encode_state(changes)
        now = codec.now_text()

        def work(tx: Transaction) -> None:
            touched = tx.run(queries.TOUCH_SESSION, {**key.params(), "now": now}) if changes else 0
            if not touched and not tx.rows(queries.LAST_SEQ, key.params()):
                raise missing(key)
            write_state(tx, key, changes, now)

        self._database.write(work)
        return self.get_state(Session(key.session_id, key.app_name, key.user_id))

    # ------------------------------------------------------------ reading events

    def _event_query(
        self,
        session: object,
        *,
        author: str | None = None,
        agent_id: str | None = None,
        branch: str | None = None,
        invocation_id: str | None = None,
        tool: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int | str | None = None,
        before: int | str | None = None,
        newest_first: bool = False,
    ) -> _EventQuery:
        key = self._key_to_read(session)
        clauses = [queries.OF_SESSION]
        params = key.params()
        for name, value, clause in (
            ("author", author, queries.BY_AUTHOR),
            ("agent_id", agent_id, queries.BY_AGENT),
            ("branch", branch, queries.IN_BRANCH),
            ("invocation_id", invocation_id, queries.IN_INVOCATION),
        ):
            if value is not None:
                clauses.append(clause)
                params[name] = codec.identifier(value, name, optional=name != "author")
        for name, when, clause in (("since", since, queries.SINCE), ("until", until, queries.UNTIL)):
            if when is not None:
                clauses.append(clause)
                params[name] = codec.time_text(codec.utc(when, name))
        for name, place, clause in (("after", after, queries.AFTER), ("before", before, queries.BEFORE)):
            if place is not None:
                clauses.append(clause)
                params[name] = _position(place, name, key)
        keep = None
        if tool is not None:
            clauses.append(queries.TOOL_LIKE)
            params["tool"] = codec.tool_pattern(codec.text(tool, "tool"))
            keep = _uses_tool(tool)
        return _EventQuery(key, tuple(clauses), params, codec.flag(newest_first, "newest_first"), keep)

    def _read_events(self, query: _EventQuery, limit: int | None) -> list[tuple[_Place, Event]]:
        if query.keep is None:
            return self._select(query, limit, query.placed)
        return [pair for chunk in self._chunks(query, limit) for pair in chunk]

    def _select(self, query: _EventQuery, limit: int | None, make: Callable[[Row], T]) -> list[T]:
        order = queries.NEWEST_FIRST if query.newest_first else queries.OLDEST_FIRST
        if limit is None:
            return self._database.read(queries.joined(queries.EVENTS, query.clauses, order), query.params, make)
        sql = queries.joined(queries.EVENTS, query.clauses, order + queries.LIMITED)
        return self._database.read(sql, {**query.params, "limit": limit}, make)

    def _chunks(self, query: _EventQuery, limit: int | None) -> Iterator[list[tuple[_Place, Event]]]:
        """What a query finds, with its place, a list at a time; each is one read, with nothing held between them."""
        while limit is None or limit > 0:
            size = CHUNK_EVENTS if limit is None or query.keep is not None else min(CHUNK_EVENTS, limit)
            found = self._select(query, size, query.placed)
            kept = found if query.keep is None else [pair for pair in found if query.keep(pair[1])]
            if limit is not None:
                kept = kept[:limit]
                limit -= len(kept)
            if kept:
                yield kept
            if len(found) < size or (place := found[-1][0]) is None:
                return
            query = query.beyond(place)

    def _window(self, key: SessionKey, n: int) -> list[Event]:
        codec.whole_number(n, "n")
        if n == 0:
            self._require(key)
            return []
        summary = self._newest_summary(key)
        if summary is None:
            return self._latest_turns(key, n)
        return [summary, *self._latest_turns(key, max(1, n - 1), after=summary.supersedes)]

    def _newest_summary(self, key: SessionKey) -> Event | None:
        query = _EventQuery(key, (queries.OF_SESSION, queries.A_SUMMARY), key.params(), newest_first=True)
        summaries = self._select(query, 1, codec.decode_event)
        if summaries and summaries[0].unreadable:  # it stands for nothing; one before it may
            summaries = [event for event in self._select(query, None, codec.decode_event) if not event.unreadable]
        return summaries[0] if summaries else None

    def _latest_turns(self, key: SessionKey, n: int, after: int | None = None) -> list[Event]:
        """The window without a summary: of all events, or of those after one, which are then without summaries."""
        clauses: tuple[str, ...] = (queries.OF_SESSION,)
        params = key.params()
        if after is not None:
            clauses = (*clauses, queries.NOT_A_SUMMARY, queries.AFTER)
            params["after"] = after
        latest = _EventQuery(key, clauses, params, newest_first=True)
        # One more than asked for tells whether the window has everything, which is never cut.
        placed = self._select(latest, n + 1, lambda row: (codec.seq_of(row), codec.decode_event(row)))
        if not placed:
            self._require(key)
        placed.reverse()
        found = [event for _, event in placed]
        if len(found) <= n:
            return found
        window = found[1:]
        begin = placed[1][0]
        for index, event in enumerate(window):
            if event.author == "user":
                return self._with_calls(latest, window[index:])
        oldest = after or 0
        start = self._last_seq_before(queries.LAST_USER_SEQ_BEFORE, key, begin)
        if start is None or start <= oldest:  # nobody's turn: begin at an event that is not a result
            for index, event in enumerate(window):
                if event.author != "tool":
                    return window[index:]
            start = self._last_seq_before(queries.LAST_SEQ_BEFORE_NOT_A_RESULT, key, begin)
        start = oldest if start is None else max(oldest, math.ceil(start) - 1)
        clauses = tuple(dict.fromkeys((*latest.clauses, queries.AFTER, queries.BEFORE)))
        params = {**latest.params, "after": start, "before": begin}
        window = self._select(_EventQuery(key, clauses, params), None, codec.decode_event) + window
        return self._with_calls(latest, window)

    def _with_calls(self, latest: _EventQuery, window: list[Event]) -> list[Event]:
        """The window from further back, if it has results of tools whose calls stand not far before it.

        That is so where the user spoke while a tool was at work. A result whose call is nowhere, since it was stored
        alone, moves nothing.
        """
        waiting: Counter[str] = Counter()
        for event in reversed(window):
            wait_for_calls(event, waiting)
        if not waiting or not window[0].seq:
            return window
        clauses = tuple(dict.fromkeys((*latest.clauses, queries.BEFORE)))
        query = _EventQuery(latest.key, clauses, {**latest.params, "before": window[0].seq}, newest_first=True)
        earlier = self._select(query, LOOK_BACK_EVENTS, codec.decode_event)
        if not (waiting := within_reach(waiting, earlier)):
            return window
        for index, event in enumerate(earlier):
            wait_for_calls(event, waiting)
            if event.author == "user" and not (waiting := within_reach(waiting, earlier[index + 1 :])):
                return [*reversed(earlier[: index + 1]), *window]
        # Then the calls stand at the very beginning of the session, before its first turn; or the turn is too long.
        return [*reversed(earlier), *window] if len(earlier) < LOOK_BACK_EVENTS else window

    def _last_seq_before(self, sql: str, key: SessionKey, seq: float) -> int | None:
        rows = self._database.read(sql, {**key.params(), "before": seq}, as_is)
        return rows[0][0] if rows else None

    # ------------------------------------------------------------ writing events

    def _encode(self, key: SessionKey, events: object) -> Append:
        if isinstance(events, (Event, str, bytes, Mapping)) or not isinstance(events, Iterable):
            raise InvalidInputError(f"events must be a list of Event, not {type(events).__name__}")
        batch = list(events)
        now = codec.now_text()
        return Append(batch, [codec.encode_event(event, key, now, self._max_event_bytes) for event in batch], now)

    def _write_batch(self, key: SessionKey, batch: Append) -> list[Event]:
        return self._database.write(lambda tx: self._append(tx, key, batch))

    def _append(self, tx: Transaction, key: SessionKey, batch: Append) -> list[Event]:
        """Places a batch in its session. The first statement takes the session's lock."""
        params = key.params()
        now = batch.now
        if batch.replace:
            self._start_from_present_state(tx, key)
            self._remove_events(tx, key)
        rows = batch.rows
        already: dict[str, Event] = {}
        known: list[Row] = []
        if batch.named or batch.expected_seq is not None or not rows:
            known = tx.rows(queries.LAST_SEQ, params)
            if not known and not batch.create:
                raise missing(key)
            rows, already = self._not_yet_stored(tx, key, batch)
            if (rows or not batch.rows) and batch.expected_seq is not None:
                last_seq = _last_seq(known[0], key) if known else 0
                if last_seq != batch.expected_seq:
                    raise StaleSessionError(
                        f"{key} is at seq {last_seq}, not at {batch.expected_seq}: it was changed since; read it again"
                    )
        if rows or batch.replace or not (batch.rows or known):
            advance = {**params, "now": now, "count": len(rows)}
            if not tx.run(queries.ADVANCE_SESSION, advance):
                if not batch.create:
                    raise missing(key)
                tx.run(
                    queries.INSERT_SESSION,
                    codec.encode_session(key, agent_id="", title="", metadata=None, state={}, now=now),
                )
                tx.run(queries.ADVANCE_SESSION, advance)
        if rows:
            seq = _last_seq(tx.rows(queries.LAST_SEQ, params)[0], key) - len(rows)
            delta: dict[str, Any] = {}
            for row in rows:
                seq += 1
                row["seq"] = seq
                if row["state"] != "{}":
                    delta.update(codec.decode_state(row["state"]))
            if len(rows) == 1:
                tx.run(queries.INSERT_EVENT, rows[0])
            else:
                tx.run_many(queries.INSERT_EVENT, rows)
            write_state(tx, key, delta, now)
            if self._database.index is not None:
                self._database.index.appended(tx, len(rows))
        if len(rows) < len(batch.rows):  # some were stored already, or are in the batch twice
            placed = {row["id"]: row for row in rows}
            return [
                codec.stored_event(event, placed[row["id"]]) if row["id"] in placed else already[row["id"]]
                for event, row in zip(batch.events, batch.rows, strict=True)
            ]
        return [codec.stored_event(event, row) for event, row in zip(batch.events, batch.rows, strict=True)]

    def _start_from_present_state(self, tx: Transaction, key: SessionKey) -> None:
        """Without the events that led to it, the present state is what a later rewind goes back to."""
        tx.run(queries.SET_INITIAL_STATE, {**key.params(), "state": codec.encode_state(present_state(tx, key))})

    def _remove_events(
        self, tx: Transaction, key: SessionKey, after_seq: int = 0, until_seq: int = codec.LAST_POSSIBLE_SEQ
    ) -> int:
        """Removes a session's events after a seq and up to one, and their words in the index; returns how many."""
        index = self._database.index
        if index is not None:
            index.forget(tx, key, after_seq, until_seq)
        everything = (after_seq, until_seq) == (0, codec.LAST_POSSIBLE_SEQ)  # damaged rows too, which have no place
        statement = queries.DELETE_ALL_EVENTS if everything else queries.DELETE_EVENTS
        removed = tx.run(statement, {**key.params(), "after": after_seq, "until_seq": until_seq})
        if index is not None:
            index.removed(tx)
        return removed

    def _not_yet_stored(
        self, tx: Transaction, key: SessionKey, batch: Append
    ) -> tuple[list[dict[str, Any]], dict[str, Event]]:
        """The rows of a batch that the session does not have, and the events that it has, by id."""
        fresh: dict[str, tuple[dict[str, Any], Event]] = {}
        already: dict[str, Event] = {}
        for event, row in zip(batch.events, batch.rows, strict=True):
            id = row["id"]
            if event.id != "" and id not in already and id not in fresh:
                stored = tx.rows(queries.EVENT_BY_ID, {**key.params(), "event_id": id})
                if stored:
                    already[id] = codec.decode_event(stored[0])
            if id in already:
                known = already[id]
            elif id in fresh:
                first, twin = fresh[id]
                known = codec.stored_event(twin, first)
            else:
                fresh[id] = (row, event)
                continue
            if not codec.same_content(known, row, event):
                raise DuplicateEventError(f"{key} has an event {id!r} with other content: give the new one another id")
        return [row for row, _ in fresh.values()], already


def _last_seq(row: Row, key: SessionKey) -> int:
    if not codec.is_last_seq(row[0]):
        raise CorruptStoreError(f"the last_seq of {key} is damaged: check(repair=True) corrects it")
    return row[0]


def _position(place: object, name: str, key: SessionKey) -> int | float | str:
    if isinstance(place, str):
        try:
            return codec.decode_place(codec.decode_cursor(place, ("events", *key), [(int, str)])[0])
        except (ValueError, OverflowError):
            raise InvalidInputError("the cursor is not one that this list returned") from None
    return codec.whole_number(place, name)


def _uses_tool(name: str) -> Callable[[Event], bool]:
    return lambda event: any(action.name == name for action in event.actions)


def wait_for_calls(event: Event, waiting: Counter[str]) -> None:
    """Reads events backwards: counts the results whose calls were not met yet, by the ids of the calls."""
    if event.author == "tool":
        waiting.update(action.id for action in event.actions if action.id)
        return
    for position, action in enumerate(event.actions):
        id = action.id or f"{event.id}:{position}"
        if id in waiting and action.status == "pending":
            waiting[id] -= 1
            if not waiting[id]:
                del waiting[id]


def within_reach(waiting: Counter[str], earlier: Iterable[Event]) -> Counter[str]:
    """What remains of results that wait, without those whose calls are not among the events before them."""
    missing = waiting.copy()
    for event in earlier:
        if not missing:
            break
        wait_for_calls(event, missing)
    return waiting - missing


def _metadata_filter(metadata: object, clauses: list[str], params: dict[str, Any]) -> Mapping[str, Any]:
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise InvalidInputError(f"metadata must be a mapping, not {type(metadata).__name__}")
    codec.encode_json(dict(metadata), "metadata")
    # A few patterns narrow enough, and a statement may have only so many conditions.
    for index, (name, value) in enumerate(itertools.islice(metadata.items(), MAX_METADATA_CLAUSES)):
        clauses.append(queries.METADATA_LIKE.format(index))
        params[f"metadata_{index}"] = codec.metadata_pattern(name, value)
    return metadata


def _has_metadata(session: Session, wanted: Mapping[str, Any]) -> bool:
    return all(
        name in session.metadata and codec.same_json(session.metadata[name], value) for name, value in wanted.items()
    )


def present_state(tx: Reading, key: SessionKey) -> dict[str, Any]:
    """The session's own state as it is; a damaged value is left out."""
    return {
        name: value
        for name, column in tx.rows(queries.OWN_STATE, key.params())
        if (value := codec.decode_state_value(name, column)) is not REMOVE
    }


def write_state(tx: Transaction, key: SessionKey, delta: Mapping[str, Any], now: str) -> None:
    """Writes a delta's rows. Deleting and inserting is the one upsert that every server has."""
    for name, value in delta.items():
        row: dict[str, Any] = dict(codec.state_owner(key, name))
        tx.run(queries.DELETE_STATE_VALUE, row)
        if value is not REMOVE:
            encoded = codec.encode_json(value, f"state[{name!r}]")
            tx.run(queries.INSERT_STATE, {**row, "value": encoded, "updated_at": now})
