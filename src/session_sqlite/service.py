"""`SessionService`: every verb of a store on one page, whatever the backend.

Each verb is its signature, its promise, its checks, and one call of a function in `operations`. A backend gives the
service its `Database`, and adds nothing but a constructor.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack

from session_sqlite import codec, queries, transfer
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Found, Reads, Request, Row, check_seconds
from session_sqlite.errors import InvalidInputError, SessionNotFoundError, StoreError
from session_sqlite.filters import (
    ActivityGroup,
    EventFilters,
    ExportFormat,
    ImportFormat,
    SearchField,
    SessionArgument,
    ToolStatus,
    UsageGroup,
)
from session_sqlite.models import ANY, AnyOf, Event, SearchHit, SessionOverview, SessionRecord
from session_sqlite.operations import (
    agent_messages,
    analytics,
    appending,
    forks,
    lookup,
    reading,
    retention,
    searching,
    sessions,
    summaries,
    windows,
)
from session_sqlite.operations import state as states
from session_sqlite.operations.retention import EraseReport, PruneReport, RedactReport
from session_sqlite.operations.summaries import OlderPart, Summarizer
from session_sqlite.operations.whole_sessions import WholeSessions
from session_sqlite.pages import CheckReport, Finding, Page, Rows, WhyEmpty
from session_sqlite.search import FIELDS, parse, snippet
from session_sqlite.session import Session, attached
from session_sqlite.transfer.reports import ExportReport, ImportReport, Progress
from session_sqlite.where import Where

if TYPE_CHECKING:
    import sqlite_utils

T = TypeVar("T")

DEFAULT_LIST_LIMIT: Final = 50
DEFAULT_SEARCH_LIMIT: Final = 20
DEFAULT_QUERY_TIMEOUT: Final = 30.0
SEE_OTHERS: Final = "service.scope(app_name=ANY, user_id=ANY) sees them"


class SessionService:
    """Sessions, their events and their state, for one app and user by default."""

    def __init__(
        self,
        database: Database,
        *,
        app_name: str | AnyOf = "default",
        user_id: str | AnyOf = "default",
        max_event_bytes: int = codec.DEFAULT_MAX_EVENT_BYTES,
    ) -> None:
        self._app_name, self._user_id = checked_scope(app_name, user_id)
        self._max_event_bytes = codec.whole_number(max_event_bytes, "max_event_bytes")
        self._database = database
        self._is_view = False

    @property
    def app_name(self) -> str | AnyOf:
        """The app of calls that name none; `ANY` for a view across apps."""
        return self._app_name

    @property
    def user_id(self) -> str | AnyOf:
        """The user of calls that name none; `ANY` for a view across users."""
        return self._user_id

    @property
    def path(self) -> Path | None:
        """The absolute path of the store's file; None for a store in memory or on a server."""
        return self._database.path

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._database.closed

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._database}, app_name={self._app_name!r}, user_id={self._user_id!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the store; later calls raise `StoreClosedError`. A view made by `scope` leaves the store open."""
        if not self._is_view:
            self._database.close()

    def scope(self, *, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None) -> Self:
        """A view of the same store with another app or user as the default, made without I/O.

        A web server scopes once a request: ``service.scope(user_id=request.user.id)``. `ANY` reads across. A view for
        one app and one user never says that others have sessions, and has neither ``query`` nor ``db``.
        """
        view = copy.copy(self)
        view._app_name, view._user_id = self._scope(app_name, user_id)
        view._is_view = True
        return view

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
        return self._session(self._database.write(lambda tx: sessions.create(tx, row, delta, exist_ok=exist_ok)))

    def get_session(
        self,
        session_id: SessionArgument,
        *,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Session:
        """Reads a session.

        With `ANY` as the app or user, the one session with this id; `InvalidInputError` if several have it.

        Raises:
            SessionNotFoundError: This app and user have no such session.
        """
        if isinstance(session_id, SessionRecord):
            key = key_of(session_id)
            found, name = Reads(self._database).rows(queries.SESSION, key.params()), str(key)
        else:
            id = codec.identifier(session_id, "session_id")
            where = lookup.of_scope(*self._scope(app_name, user_id))
            found, name = lookup.with_id(Reads(self._database), where, id), f"session {id!r}"
        if not found:
            raise SessionNotFoundError(f"there is no {name}")
        if len(found) > 1:
            raise InvalidInputError(f"several apps or users have a {name}: name the app_name and user_id")
        return self._session(found[0])

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
        wanted = _metadata_of(metadata)
        listing = sessions.Listing(*self._scope(app_name, user_id), cursor)
        if agent_id is not None:
            listing.narrow(queries.OF_AGENT, agent_id=codec.identifier(agent_id, "agent_id", optional=True))
        for name, when, condition in (
            ("updated_after", updated_after, queries.UPDATED_AFTER),
            ("updated_before", updated_before, queries.UPDATED_BEFORE),
        ):
            if when is not None:
                listing.narrow(condition, **{name: codec.time_text(codec.utc(when, name))})
        found, next_cursor = sessions.page(self._database, listing, wanted, limit, self._session)
        return Page(found, next_cursor, of=Session, why_empty=self._why_empty(None, app_name, user_id))

    def session_overviews(
        self,
        *,
        limit: int | None = DEFAULT_SEARCH_LIMIT,
        cursor: str | None = None,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Page[SessionOverview[Session]]:
        """What a sidebar shows: the latest sessions with their first message and how many events they have.

        One statement that reads no event but the first message of each session. The order and the pages are those of
        `SessionService.list_sessions`.
        """
        limit = codec.optional_number(limit, "limit")
        listing = sessions.Listing(*self._scope(app_name, user_id), cursor)
        rows, next_cursor = sessions.overviews(self._database, listing, limit)
        width = len(codec.SESSION_COLUMNS)
        found = [
            SessionOverview(self._session(row[:width]), row[-3], row[-2], codec.decode_interrupted(row[-1]))
            for row in rows
        ]
        return Page(found, next_cursor, of=SessionOverview, why_empty=self._why_empty(None, app_name, user_id))

    def update_session(
        self,
        session: SessionArgument,
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
        changes: list[tuple[str, dict[str, Any]]] = []
        if title is not None:
            changes.append((queries.SET_TITLE, {"title": codec.text(title, "title")}))
        if agent_id is not None:
            changes.append((queries.SET_AGENT, {"agent_id": codec.identifier(agent_id, "agent_id", optional=True)}))
        if metadata is not None:
            codec.merge_metadata("{}", metadata)  # refused before anything is written
            metadata = dict(metadata)  # a mapping may be code of the caller's, which has no place in the transaction
        now = codec.now_text()
        return self._session(self._database.write(lambda tx: sessions.update(tx, key, changes, metadata, now)))

    def delete_session(self, session: SessionArgument) -> bool:
        """Deletes a session with its events and its own state; False if there was none.

        State that the session shares with others (``app:`` and ``user:`` keys) stays.
        """
        key = self._key(session)
        return self._database.write(lambda tx: sessions.delete(tx, key))[0]

    def clear_session(self, session: SessionArgument) -> int:
        """Removes the events, keeps the session and its state; returns how many events there were.

        The next event continues the numbering: a ``seq`` is never given twice.
        """
        key = self._key(session)
        now = codec.now_text()
        return self._database.write(lambda tx: sessions.clear(tx, key, now))

    # ------------------------------------------------------------ events

    def append_event(
        self, session: SessionArgument, event: Event, *, expected_seq: int | None = None, create: bool = False
    ) -> Event:
        """Appends one event and returns it as stored; see `append_events`."""
        return self.append_events(session, [event], expected_seq=expected_seq, create=create)[0]

    def append_events(
        self,
        session: SessionArgument,
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
        expected_seq = codec.optional_number(expected_seq, "expected_seq")
        codec.flag(create, "create")
        batch = appending.encode(key, events, self._max_event_bytes, expected_seq=expected_seq, create=create)
        return self._database.write(lambda tx: appending.append(tx, key, batch))

    def replace_events(self, session: SessionArgument, events: Iterable[Event]) -> list[Event]:
        """Removes all events and appends these instead, in one transaction; makes the session if there is none."""
        key = self._key(session)
        batch = appending.encode(key, events, self._max_event_bytes, create=True, replace=True)
        return self._database.write(lambda tx: appending.append(tx, key, batch))

    def append_messages(
        self,
        session: SessionArgument,
        events: Iterable[Event],
        *,
        create: bool = False,
        instead_of: Mapping[str, str] | None = None,
    ) -> list[Event]:
        """Appends events that are messages, each once, in one transaction: which is which their ``message_id`` says.

        An event whose message the session has already is not appended again. Where it says something else than the
        stored one (a person edited a tool call, a filter took a secret out), the stored event says that from then
        on, in its place: its id, ``seq``, time and metadata stay. So does an event whose message has no id of its own
        (see `find_messages`), also where the message is a part of it, like the result of a tool call. A difference
        that only a checkpointer made (a tuple comes back from it as a list) is no change, and a redacted event stays
        redacted. If nothing is new, nothing is written.

        Args:
            session: The session.
            events: What to append; each needs a ``message_id``.
            create: Make the session, in the same transaction, if there is none.
            instead_of: For ids of messages that are new, the id of a stored message whose place each takes, if it is
                there: a reply that was interrupted is given whole.

        Returns:
            The events as stored, one for each given.

        Raises:
            SessionNotFoundError: There is no such session.
            InvalidInputError: An event is malformed or has no ``message_id``.
        """
        key = self._key(session)
        batch = appending.encode(key, events, self._max_event_bytes, create=codec.flag(create, "create"))
        if any(row["message_id"] is None for row in batch.rows):
            raise InvalidInputError("each event needs a message_id: append_events takes those that have none")
        if not batch.rows:
            return self.append_events(session, [], create=create)
        ids = {row["message_id"] for row in batch.rows}
        places = {id: old for id, old in (instead_of or {}).items() if id in ids}
        stored = agent_messages.unchanged(Reads(self._database), key, batch, places)
        if stored is not None:
            return stored
        return self._database.write(lambda tx: agent_messages.append(tx, key, batch, places, self._max_event_bytes))

    def mark_interrupted(self, session: SessionArgument, message_ids: Iterable[str], reason: str) -> int:
        """Notes at messages that a run ended there without a (whole) reply; returns how many events changed.

        The note is ``interrupted`` in the metadata of the event: transcripts and lists show it, no message does.

        Args:
            session: The session; one that does not exist has no messages.
            message_ids: The messages' own ids (see `find_messages`).
            reason: What ended the run, ``"CancelledError"`` say; empty to take the note away.
        """
        key = self._key(session)
        reason = codec.text(reason, "reason")
        ids = list(dict.fromkeys(codec.text(id, "a message id") for id in message_ids))
        if not agent_messages.needs_note(Reads(self._database), key, ids, reason):
            return 0
        now = codec.now_text()
        return self._database.write(lambda tx: agent_messages.mark_interrupted(tx, key, ids, reason, now))

    def find_messages(self, session: SessionArgument, message_ids: Iterable[str]) -> dict[str, int]:
        """The ``seq`` of each of these messages that the session has.

        An indexed look-up: no conversation is read. A session that does not exist has no messages. An event that has
        no ``message_id`` has, as a message, its own id (the results of its tool calls ``"{event.id}:0"`` and so on),
        and is found by that.
        """
        key = self._key_to_read(session)
        ids = list(dict.fromkeys(codec.text(id, "a message id") for id in message_ids))
        return agent_messages.find(Reads(self._database), key, ids)

    def list_events(
        self,
        session: SessionArgument,
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
            events = reading.select(self._database, query, None, codec.decode_event)
            if not events:
                lookup.require(Reads(self._database), query.key)
            return Page(events, of=Event)
        found = reading.events(self._database, query, limit and limit + 1)
        if not found:
            lookup.require(Reads(self._database), query.key)
        page = [event for _, event in found[:limit]]
        if limit is None or len(found) <= limit or (place := found[limit - 1][0]) is None:
            return Page(page, of=Event)
        return Page(page, codec.encode_cursor(("events", *query.key), [codec.encode_place(place)]), of=Event)

    def iter_events(
        self, session: SessionArgument, *, limit: int | None = None, **filters: Unpack[EventFilters]
    ) -> Iterator[Event]:
        """A stream of what `list_events` lists, with the same filters, in memory that does not grow.

        No lock or cursor is held between items: the caller may write, and sees events that were appended meanwhile.
        """
        chunks = self.iter_event_chunks(session, limit=limit, **filters)
        return (event for chunk in chunks for event in chunk)

    def iter_event_chunks(
        self, session: SessionArgument, *, limit: int | None = None, **filters: Unpack[EventFilters]
    ) -> Iterator[list[Event]]:
        """What `iter_events` gives, in lists of up to 500: each is one read, with nothing held between them."""
        query = self._event_query(session, **filters)
        limit = codec.optional_number(limit, "limit")
        lookup.require(Reads(self._database), query.key)
        return ([event for _, event in chunk] for chunk in reading.chunks(self._database, query, limit))

    def last_events(self, session: SessionArgument, n: int) -> list[Event]:
        """The latest events, at most ``n``, oldest first, beginning at a turn (an event of the user).

        So a tool's result is never without its call. If the last turn alone is longer than ``n`` it comes whole. A
        session in which the user never spoke has no turns: then the window begins at an event that is no result.
        After `summarize_session` the newest summary comes first, in place of the events that it supersedes.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        key = self._key_to_read(session)
        return windows.last_events(self._database, key, codec.whole_number(n, "n"))

    def convert_events(self, session: SessionArgument, convert: Callable[[Event], T]) -> list[T]:
        """All events in order, each given to ``convert``: one read. A session that does not exist has no events."""
        return reading.converted(self._database, self._key_to_read(session), convert)

    # ------------------------------------------------------------ state

    def get_state(self, session: SessionArgument) -> dict[str, Any]:
        """The state that a session sees: its app's, its user's and its own keys, sorted.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        key = self._key_to_read(session)
        found = states.seen(Reads(self._database), key)
        if found is None:
            raise lookup.missing(key)
        return found

    def get_state_value(self, session: SessionArgument, key: str, *, default: Any = None) -> Any:
        """One value of the state, or the default if there is no such key.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        owner = self._key_to_read(session)
        found = states.value(Reads(self._database), owner, codec.state_key(key))
        if found is None:
            raise lookup.missing(owner)
        return found[0] if found else default

    def update_state(self, session: SessionArgument, delta: Mapping[str, Any]) -> dict[str, Any]:
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
        if not self._database.write(lambda tx: states.update(tx, key, changes, now)):
            raise lookup.missing(key)
        return self.get_state(SessionRecord(key.session_id, key.app_name, key.user_id))

    # ------------------------------------------------------------ what becomes of conversations

    def fork_session(
        self,
        session: SessionArgument,
        *,
        at: Event | str | int | None = None,
        session_id: str | None = None,
        title: str = "",
    ) -> Session:
        """Copies a session up to and including an event; the source is untouched.

        If the event, or one before it, calls tools, their results come along: neither a call nor a result is left
        alone. The events keep their ids and times and are numbered without gaps; the state is what it was after the
        last of them: rebuilt from the state at creation and the events' changes, while keys that no event ever changed
        have their present value. Each copied event says in ``copied_from`` where it was first said, so that figures
        count it once (see `usage`).

        Args:
            session: The source.
            at: The last event to copy: an `Event`, its id or its ``seq``; the latest if not given.
            session_id: The id of the copy; a UUIDv7 if not given.
            title: Its title; the source's if not given.

        Returns:
            The copy; its ``parent_id`` and ``parent_seq`` say where it came from.

        Raises:
            SessionNotFoundError: There is no such session.
            EventNotFoundError: The session has no such event.
            SessionExistsError: ``session_id`` is taken.
        """
        source = self._key(session)
        id = codec.new_id() if session_id is None else codec.identifier(session_id, "session_id")
        copy = source._replace(session_id=id)
        codec.text(title, "title")
        _check_event(at, "at")
        now = codec.now_text()
        return self._session(self._database.write(lambda tx: forks.fork(tx, source, copy, at=at, title=title, now=now)))

    def rewind_session(
        self,
        session: SessionArgument,
        *,
        turns: int | None = None,
        to: Event | str | int | None = None,
        dry_run: bool = False,
    ) -> list[Event]:
        """Takes back the last turns, or all after an event; returns what went, in order.

        A turn is an event of the user and all that follows it; one that waits for a tool while the user speaks again is
        one with the next. What came before the first turn stays. The session's own state is what it was before, as for
        `fork_session`; ``app:`` and ``user:`` keys are left alone. The next event continues the numbering: a ``seq`` is
        never given twice.

        Args:
            session: The session.
            turns: How many turns; one if neither this nor ``to`` is given.
            to: The event that is to be the last one: an `Event`, its id or its ``seq``. Results of tools that it
                calls stay with it.
            dry_run: Only return what would go.

        Raises:
            SessionNotFoundError: There is no such session.
            EventNotFoundError: The session has no such event.
        """
        key = self._key(session)
        if turns is not None and to is not None:
            raise InvalidInputError("give turns or to, not both")
        count = 1 if turns is None else codec.whole_number(turns, "turns")
        _check_event(to, "to")
        if codec.flag(dry_run, "dry_run"):
            return forks.taken_back(Reads(self._database), key, turns=count, to=to)[1]
        now = codec.now_text()
        # Run twice, it would take back two turns.
        return self._database.write(lambda tx: forks.rewind(tx, key, turns=count, to=to, now=now), repeatable=False)

    def summarize_session(self, session: SessionArgument, summarizer: Summarizer, *, keep_last: int) -> Event | None:
        """Has the older part of a session summarized, and stores the summary; nothing is deleted.

        `last_events` and the windows of a history begin with the newest summary from then on, in place of the events
        that it supersedes.

        Args:
            session: The session.
            summarizer: A function of a list of LangChain messages, or a Runnable, that returns a text or a message.
                It gets the summary before, if there is one, and what came after it. It runs outside of any
                transaction: if it fails, or the process ends, nothing has changed. (`AsyncSessionService` takes one
                that is awaited, too.)
            keep_last: The summary is of what comes before the latest ``keep_last`` events, which are those of
                `last_events`: whole turns.

        Returns:
            The summary, an event of the author ``system``; None if there is nothing to summarize.

        Raises:
            SessionNotFoundError: There is no such session.
            InvalidInputError: The summarizer returned no text.
            StaleSessionError: Meanwhile what was summarized was taken back or removed.
        """
        older = self._older_part(session, keep_last)
        return None if older is None else self._store_summary(older, summaries.ask(summarizer, older.messages))

    def _older_part(self, session: SessionArgument, keep_last: int) -> OlderPart | None:
        return summaries.older_part(self._database, self._key(session), codec.whole_number(keep_last, "keep_last"))

    def _store_summary(self, older: OlderPart, answer: Any) -> Event:
        summary = Event("system", summaries.text_of(answer), supersedes=older.last.seq)
        batch = appending.encode(older.key, [summary], self._max_event_bytes)
        return self._database.write(lambda tx: summaries.store(tx, older, batch))

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
        before = None if older_than is None else retention.past(older_than)
        kept = codec.optional_number(keep_last, "keep_last")
        where = lookup.of_scope(*self._scope(app_name, user_id))
        return retention.prune(self._database, where, before, kept, dry_run=dry_run)

    def erase(
        self,
        session: SessionArgument | None = None,
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
            key = self._key(session)
            events, copies = self._database.write(lambda tx: retention.erase_session(tx, key))
            return EraseReport(1, events, (*copies, *self._database.purge()))
        where = lookup.of_scope(*self._scope(app_name, codec.identifier(user_id, "user_id")))
        count, events = self._database.write(lambda tx: retention.erase_user(tx, where))
        return EraseReport(count, events, tuple(self._database.purge()))

    def redact(
        self,
        pattern: str | re.Pattern[str] | Callable[[str], str],
        *,
        replacement: str = "[redacted]",
        session: SessionArgument | None = None,
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
        change = retention.change_of(pattern, replacement)
        reads, where = Reads(self._database), lookup.of_scope(*self._scope(app_name, user_id))
        if session is not None:
            keys = [self._key(session, app_name, user_id)]
            lookup.require(reads, keys[0])
        else:
            keys = retention.keys(reads, where)
        changed, skipped, is_changed = retention.redact(self._database, keys, change, dry_run=dry_run)
        if dry_run:
            return RedactReport(changed, skipped, (), True)
        remaining = retention.still_holding(reads, keys, change)
        if session is not None:
            remaining += retention.copies(reads, keys[0]) if changed else []
        elif keys:
            remaining += retention.shared_state_holding(reads, where, change)
        remaining += self._database.purge() if is_changed else []
        return RedactReport(changed, skipped, tuple(remaining), False)

    # ------------------------------------------------------------ what can be asked of a history

    def search(
        self,
        query: str,
        *,
        session: SessionArgument | None = None,
        author: str | None = None,
        fields: SearchField | Sequence[SearchField] = FIELDS,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = DEFAULT_SEARCH_LIMIT,
        cursor: str | None = None,
        newest_first: bool = False,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Page[SearchHit[Session]]:
        """Finds events by their words, in any language; sees every event whose append has returned.

        All terms must be in the event. Case, width, accents, the vowel signs of Arabic and Hebrew and invisible
        characters make no difference. A ``"quoted phrase"`` must stand as it is, ``word*`` finds words that begin so;
        a Chinese, Japanese, Korean, Thai, Lao, Khmer or Burmese term is found inside longer text. Any other punctuation
        only separates words; a query without words finds nothing. Equal terms count once; a query may have 100,000
        characters, 100 words (each Chinese character is one) and 10 words with a star.

        Args:
            query: What a person types.
            session: Only in this session.
            author: Only by this author.
            fields: Where to look: some of ``"content"``, ``"reasoning"``, ``"tools"`` (names, arguments and outputs
                of tool calls).
            since: Only from this time on (inclusive).
            until: Only before this time (exclusive).
            limit: At most so many hits.
            cursor: The ``next_cursor`` of the page before, of the same search. Each hit is on one page, whatever is
                appended meanwhile: that is found by the next search that begins without a cursor.
            newest_first: The latest appended first; otherwise the best first.
            app_name: The app, if not the service's; `ANY` for all.
            user_id: The user, if not the service's; `ANY` for all.

        Raises:
            SessionNotFoundError: ``session`` does not exist.
            InvalidInputError: The query is longer than that.
        """
        text = codec.text(query, "query")
        limit = codec.whole_number(limit, "limit")
        request = self._search_request(text, session, author, fields, since, until, newest_first, app_name, user_id)
        scope = ("hits", text, *map(repr, (request.app_name, request.user_id, request.session_id, request.fields)),
                 *map(repr, (sorted(request.params.items()), request.newest_first)))  # fmt: skip
        if cursor is not None:
            request = searching.beyond(request, codec.decode_cursor(cursor, scope, [int, str]))
        why_empty = self._why_empty(session, app_name, user_id)
        if not request.terms or limit == 0:
            self._database.read(queries.PING, {}, tuple)  # a closed store is an error, whatever is asked
            return Page(of=SearchHit, why_empty=why_empty)
        found = searching.find(self._database, request, limit + 1)
        hits = [self._hit(one, request) for one in found[:limit]]
        next_cursor = None
        if len(found) > limit:
            position = searching.position_after(self._database, found[:limit], request)
            next_cursor = codec.encode_cursor(scope, position)
        return Page(hits, next_cursor, of=SearchHit, why_empty=why_empty)

    def tool_calls(
        self,
        name: str | None = None,
        session: SessionArgument | None = None,
        *,
        status: ToolStatus | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Rows:
        """The calls of tools with their results, in the order of time.

        A copy of a call, in a fork, is none of them while its original is there: see `usage`.

        Args:
            name: Only of the tool with exactly this name.
            session: Only in this session.
            status: ``"pending"`` (no result yet), ``"ok"`` or ``"error"``.
            since: Only called from this time on (inclusive).
            until: Only called before this time (exclusive).
            limit: At most so many; None for all.
            newest_first: The latest call first.
            app_name: The app, if not the service's; `ANY` for all.
            user_id: The user, if not the service's; `ANY` for all.

        Returns:
            A dict for each call with the columns of the view ``tool_calls``; ``args`` is a dict, ``created_at`` and
            ``result_at`` are datetimes.
        """
        where = analytics.with_status(self._history(session, since, until, app_name, user_id), status)
        if name is not None:
            where = where.also(queries.TOOL_NAME, name=codec.text(name, "name"))
        limit = codec.optional_number(limit, "limit")
        codec.flag(newest_first, "newest_first")
        calls, columns = analytics.tool_calls(self._database, where, limit, newest_first=newest_first)
        return Rows(calls, columns, why_empty=self._why_empty(session, app_name, user_id))

    def tool_counts(
        self,
        *,
        session: SessionArgument | None = None,
        status: ToolStatus | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> dict[str, dict[str, int]]:
        """How often each tool was called, the most used first: ``calls``, ``errors`` and ``pending`` by its name.

        Takes the filters of `tool_calls`; only the calls that they fit are counted.
        """
        where = self._history(session, since, until, app_name, user_id)
        return analytics.tool_counts(self._database, analytics.with_status(where, status))

    def last_seqs(
        self, *, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None
    ) -> dict[SessionKey, int]:
        """The ``last_seq`` of every session, by (app_name, user_id, session_id): what is appended later is above it."""
        return analytics.last_seqs(self._database, lookup.of_scope(*self._scope(app_name, user_id)))

    def usage(
        self,
        by: UsageGroup | Sequence[UsageGroup] = ("day", "model"),
        *,
        session: SessionArgument | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Rows:
        """The tokens that models used, summed up by group.

        What a fork has from its source is counted once, where it was first said: a figure of the fork is of what was
        said in it. When the original is gone, in whichever way, the first of its copies counts.

        Args:
            by: What to group by: some of ``day`` and ``month`` (UTC), ``model``, ``app_name``, ``user_id``,
                ``session_id``, ``agent_id``; an empty list for one sum.
            session: Only in this session.
            since: Only from this time on (inclusive).
            until: Only before this time (exclusive).
            app_name: The app, if not the service's; `ANY` for all.
            user_id: The user, if not the service's; `ANY` for all.

        Returns:
            A dict for each group, in order: the group, ``replies`` (events with a usage) and the sums of
            ``input_tokens``, ``output_tokens``, ``cache_read_tokens``, ``cache_write_tokens``, ``reasoning_tokens``.
        """
        groups = analytics.groups_of(by, queries.USAGE_GROUPS)
        records, columns = analytics.usage(
            self._database, self._history(session, since, until, app_name, user_id), groups
        )
        return Rows(records, columns, why_empty=self._why_empty(session, app_name, user_id))

    def activity(
        self,
        by: ActivityGroup | Sequence[ActivityGroup] = ("day", "author"),
        *,
        session: SessionArgument | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Rows:
        """How many events there are, by group; copies are counted as in `usage`.

        Args:
            by: What to group by: some of ``day`` and ``month`` (UTC), ``author``, ``app_name``, ``user_id``,
                ``session_id``, ``agent_id``; an empty list for one count.
            session: Only in this session.
            since: Only from this time on (inclusive).
            until: Only before this time (exclusive).
            app_name: The app, if not the service's; `ANY` for all.
            user_id: The user, if not the service's; `ANY` for all.

        Returns:
            A dict for each group, in order: the group, ``events``, and ``sessions`` that these are in.
        """
        groups = analytics.groups_of(by, queries.ACTIVITY_GROUPS)
        where = self._history(session, since, until, app_name, user_id)
        records, columns = analytics.activity(self._database, where, groups)
        return Rows(records, columns, why_empty=self._why_empty(session, app_name, user_id))

    def reply_times(
        self,
        *,
        session: SessionArgument | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Rows:
        """How long users waited: each reply that follows a user's event at once, in the order of time.

        Copies are counted as in `usage`.

        Args:
            session: Only in this session.
            since: Only replies from this time on (inclusive).
            until: Only replies before this time (exclusive).
            app_name: The app, if not the service's; `ANY` for all.
            user_id: The user, if not the service's; `ANY` for all.

        Returns:
            A dict for each reply: ``app_name``, ``user_id``, ``session_id``, ``seq``, ``author``, ``agent_id``,
            ``asked_at``, ``replied_at`` (datetimes) and ``seconds``. Events whose times cannot be read are left out.
        """
        where = self._history(session, since, until, app_name, user_id)
        records, columns = analytics.reply_times(self._database, where)
        return Rows(records, columns, why_empty=self._why_empty(session, app_name, user_id))

    def stats(self, *, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None) -> dict[str, Any]:
        """What there is, in numbers: sessions, events by author, tools, tokens, and from when to when.

        Copies are counted as in `usage`.

        Returns:
            A dict with ``sessions``, ``apps``, ``users``, ``events``, ``first_event``, ``last_event`` (datetimes, or
            None), ``authors`` (events by author), ``tools`` (by name: ``calls``, ``errors``, ``pending``; the most
            used first) and ``tokens`` (the sums of `usage`).
        """
        return analytics.stats(self._database, lookup.of_scope(*self._scope(app_name, user_id)))

    # ------------------------------------------------------------ out and in

    def export(
        self,
        target: str | os.PathLike[str] | IO[str],
        *,
        session: SessionArgument | Iterable[SessionArgument] | None = None,
        format: ExportFormat = "jsonl",
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Writes sessions with their events and state to a file, as a stream: memory does not grow with the store.

        Args:
            target: A path (written beside it first, and put in its place when it is whole; a new file is readable by
                its owner only) or a file that is open for text.
            session: One session or several; all of the app and user if not given.
            format: ``"jsonl"``: JSON Lines, from which `import_` makes equal sessions (see
                `session_sqlite.transfer.jsonl`);
                ``"markdown"`` and ``"html"`` (one page without script, which loads nothing): for people.
            app_name: The app, if not the service's; `ANY` for all.
            user_id: The user, if not the service's; `ANY` for all.
            progress: Is called with how many events are written and how many there are.

        Returns:
            What was written.

        Raises:
            SessionNotFoundError: There is no such session.
            InvalidInputError: There is no such format.
            StoreError: The file cannot be written.
        """
        if isinstance(session, (str, SessionRecord)):
            session = [session]
        elif session is not None and not isinstance(session, Iterable):
            raise InvalidInputError(f"session must be a session or several, not {type(session).__name__}")
        keys = None
        if session is not None:
            keys = list(dict.fromkeys(self._key_to_read(one, app_name, user_id) for one in session))
            for key in keys:
                lookup.require(Reads(self._database), key)
        self._database.read(queries.PING, {}, tuple)  # a closed service says so before a file is opened
        report = transfer.export(
            WholeSessions(self._database, self._max_event_bytes),
            target,
            keys=keys,
            where=lookup.of_scope(*self._scope(app_name, user_id)),
            format=format,
            progress=progress,
            store=self.path,
        )
        if report.sessions == 0 and session is None:
            return replace(report, note=others_said(self, app_name, user_id))
        return report

    def import_(
        self,
        source: str | os.PathLike[str] | IO[Any],
        *,
        format: ImportFormat = "auto",
        dry_run: bool = False,
        app_name: str | None = None,
        user_id: str | None = None,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Brings in conversations from an export or from another program's file.

        What is there stays as it is, and nothing comes twice: ids are those of the source or derived from it. A
        record that cannot be read is skipped and reported. Sessions are written a transaction at a time, so that an
        import that was interrupted is completed by running it again. Files of other programs are opened for reading
        only.

        Args:
            source: A path, or an open file (of JSON).
            format: What it is; ``"auto"`` finds out. The README has a table of the formats, and so has
                ``session-sqlite import --list-formats``.
            dry_run: Write nothing, only report what would come.
            app_name: Whose app the sessions are. If not given the source says it, or else the service.
            user_id: Whose user; the same. Name both for a file that a user brings: it may say that it is another's.
            progress: Is called with how much of the source is done and how much there is, in bytes or rows.

        Returns:
            What came, and what did not and why.

        Raises:
            InvalidInputError: The file is nothing that is known, or names no app and user and the service's are `ANY`.
            NewerSchemaError: The export was made by a newer release.
            StoreError: The file cannot be read.
        """
        self._database.read(queries.PING, {}, tuple)  # a closed service says so before a file is opened
        return transfer.import_(
            WholeSessions(self._database, self._max_event_bytes),
            source,
            scope=self._scope(app_name, user_id),
            app_name=app_name,
            user_id=user_id,
            format=format,
            dry_run=codec.flag(dry_run, "dry_run"),
            progress=progress,
        )

    # ------------------------------------------------------------ for the owner of the store

    @property
    def db(self) -> sqlite_utils.Database:
        """The file as a read-only sqlite-utils Database, for its owner: it knows no tenants.

        A view made by `scope` for one app and one user refuses it.

        Example:
            >>> from session_sqlite import SQLiteSessionService
            >>> with SQLiteSessionService(":memory:") as service:
            ...     service.db["events"].count
            0
        """
        self._refuse_to_a_tenant("db")
        return self._database.db()

    def query(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] = (), *, timeout: float = DEFAULT_QUERY_TIMEOUT
    ) -> Rows:
        """Runs one reading SQL statement and returns its rows as dicts, for the file's owner: it knows no tenants.

        A view made by `scope` for one app and one user refuses it.

        Args:
            sql: One statement over the tables and views of the file. SQLite itself refuses whatever would write,
                attach another file or change a setting.
            params: Values for ``?`` (a sequence) or ``:name`` (a mapping).
            timeout: How many seconds it may take.

        A value that the query makes may have 64 MB (or the largest event's size, if that is more; that size with JSON;
        fewer if a row has many), a pattern of LIKE or GLOB 1,000 bytes, a row 200 columns, and all rows together
        256 MB of memory.

        Raises:
            QueryError: It does more than read, is more than one statement, is wrong, or took too long or too much.

        Example:
            >>> from session_sqlite import SQLiteSessionService
            >>> with SQLiteSessionService(":memory:") as service:
            ...     service.query("SELECT count(*) AS sessions FROM sessions")
            [{'sessions': 0}]
        """
        self._refuse_to_a_tenant("query()")
        codec.text(sql, "sql")
        if isinstance(params, str) or not isinstance(params, (Sequence, Mapping)):
            raise InvalidInputError("params must be a sequence or a mapping of values")
        check_seconds(timeout, "timeout")
        return self._database.query(sql, params, timeout, self._max_event_bytes)

    def backup(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Copies the store, as of one moment, into one new file while others go on writing; returns its path.

        The copy can be opened as a store; only its owner can read it.

        Args:
            path: The new file; its folders are made.
            overwrite: Replace a file that is there.
        """
        return self._database.backup(path, overwrite=overwrite)

    def check(self, *, repair: bool = False) -> CheckReport:
        """Looks at everything that can go wrong with the file: its pages, order, search index, permissions, disk.

        It reads all of it, and changes nothing unless ``repair`` is true: then it rebuilds what can be rebuilt from
        the rest (indexes, the search index, ``last_seq``) and deletes state that belongs to no session.

        Returns:
            The findings, each with advice; ``.ok`` sums them up. One says how many sessions there are, and how many
            of other apps and users; not for a view made by `scope`.
        """
        report = self._database.check(repair=repair)
        if not self._is_view:
            with contextlib.suppress(StoreError):  # what is damaged is among the findings
                report.append(self._owners())
        return report

    def _owners(self) -> Finding:
        reads = Reads(self._database)
        sessions, apps = reads.rows(queries.COUNT_SESSIONS, {})[0]
        users = reads.rows(queries.count_users(Where()), {})[0][0]
        message = f"{sessions:,} sessions of {users:,} users in {apps:,} apps"
        others = count_of_others(self)
        if others:
            message += f"; {others:,} are not of app {self.app_name!r} and user {self.user_id!r}"
        return Finding("owners", "ok", message, SEE_OTHERS if others else "")

    def _refuse_to_a_tenant(self, what: str) -> None:
        if self._is_view and not isinstance(self.app_name, AnyOf) and not isinstance(self.user_id, AnyOf):
            raise InvalidInputError(
                f"{what} knows no tenants, and this is a view for one app and one user: ask the service that was "
                "opened on the file, or a view made with ANY"
            )

    def _why_empty(self, session: object, app_name: str | AnyOf | None, user_id: str | AnyOf | None) -> WhyEmpty | None:
        """Returns what an empty list asks when it is shown: whether it is empty because others have the sessions."""
        if self._is_view or session is not None:
            return None
        app, user = self._scope(app_name, user_id)
        return lambda: others_said(self, app, user)

    # ------------------------------------------------------------ whose, and which

    def _scope(self, app_name: str | AnyOf | None, user_id: str | AnyOf | None) -> tuple[str | AnyOf, str | AnyOf]:
        return checked_scope(
            self._app_name if app_name is None else app_name, self._user_id if user_id is None else user_id
        )

    def _exact_key(
        self, session_id: object, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None
    ) -> SessionKey:
        app, user = self._scope(app_name, user_id)
        if isinstance(app, AnyOf) or isinstance(user, AnyOf):
            raise InvalidInputError(
                "this needs one app and one user, not ANY: name them, use service.scope(…), or give a Session"
            )
        return SessionKey(app, user, codec.identifier(session_id, "session_id"))

    def _key(
        self, session: object, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None
    ) -> SessionKey:
        """Returns the session that a call writes to. Raises `InvalidInputError`."""
        if isinstance(session, SessionRecord):
            return _key_within(session, app_name, user_id)
        return self._exact_key(session, app_name, user_id)

    def _key_to_read(
        self, session: object, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None
    ) -> SessionKey:
        """Returns the session that a call reads: under `ANY`, an id is looked up across."""
        if isinstance(session, SessionRecord):
            return _key_within(session, app_name, user_id)
        if ANY in self._scope(app_name, user_id):
            return key_of(self.get_session(session, app_name=app_name, user_id=user_id))  # type: ignore[arg-type]  # checked
        return self._exact_key(session, app_name, user_id)

    def _session(self, row: Row) -> Session:
        return attached(codec.decode_session(row, Session), self)

    # ------------------------------------------------------------ what narrows

    def _event_query(
        self, session: object, *, tool: str | None = None, newest_first: bool = False, **filters: Any
    ) -> reading.EventQuery:
        key = self._key_to_read(session)
        where = lookup.of_session(key)
        for name, condition in (
            ("author", queries.BY_AUTHOR),
            ("agent_id", queries.BY_AGENT),
            ("branch", queries.IN_BRANCH),
            ("invocation_id", queries.IN_INVOCATION),
        ):
            if (value := filters.pop(name, None)) is not None:
                where = where.also(condition, **{name: codec.identifier(value, name, optional=name != "author")})
        where &= _within(filters.pop("since", None), filters.pop("until", None), queries.SINCE, queries.UNTIL)
        for name, condition in (("after", queries.AFTER), ("before", queries.BEFORE)):
            if (place := filters.pop(name, None)) is not None:
                where = where.also(condition, **{name: _position(place, name, key)})
        if filters:
            raise TypeError(f"there is no filter {next(iter(filters))!r}")
        query = reading.EventQuery(key, where, newest_first=codec.flag(newest_first, "newest_first"))
        return query if tool is None else query.calling(codec.text(tool, "tool"))

    def _history(
        self,
        session: SessionArgument | None,
        since: datetime | None,
        until: datetime | None,
        app_name: str | AnyOf | None,
        user_id: str | AnyOf | None,
    ) -> Where:
        """Returns the conditions that figures share. Raises `SessionNotFoundError` for a session that is not there."""
        if session is None:
            where = lookup.of_scope(*self._scope(app_name, user_id))
        else:
            key = self._key_to_read(session, app_name, user_id)
            lookup.require(Reads(self._database), key)
            where = lookup.of_session(key)
        return where & _within(since, until, queries.SINCE, queries.UNTIL)

    def _search_request(
        self,
        query: str,
        session: SessionArgument | None,
        author: str | None,
        fields: object,
        since: datetime | None,
        until: datetime | None,
        newest_first: bool,
        app_name: str | AnyOf | None,
        user_id: str | AnyOf | None,
    ) -> Request:
        if session is None:
            whose = lookup.of_scope(*self._scope(app_name, user_id)).params
        else:
            key = self._key_to_read(session, app_name, user_id)
            lookup.require(Reads(self._database), key)
            whose = key.params()
        where = Where(params=whose)
        if author is not None:
            where = where.also(queries.EVENT_BY_AUTHOR, author=codec.identifier(author, "author"))
        where &= _within(since, until, queries.EVENT_SINCE, queries.EVENT_UNTIL)
        return Request(
            terms=parse(query),
            fields=_fields(fields),
            app_name=whose.get("app_name"),
            user_id=whose.get("user_id"),
            session_id=whose.get("session_id"),
            clauses=where.conditions,
            params=where.params,
            newest_first=codec.flag(newest_first, "newest_first"),
        )

    def _hit(self, found: Found, request: Request) -> SearchHit[Session]:
        text, spans = snippet(found.event, request)
        return SearchHit(found.event, self._session(found.session_row), text, spans, found.score)


def _fields(fields: object) -> tuple[str, ...]:
    names = [fields] if isinstance(fields, str) else list(fields) if isinstance(fields, Iterable) else []
    if not names or not all(name in FIELDS for name in names):
        raise InvalidInputError(f"fields must be some of {', '.join(FIELDS)}")
    return tuple(name for name in FIELDS if name in names)


def count_of_others(
    service: SessionService, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None
) -> int:
    """Counts the sessions of other apps and users than a call means, for the owner of the store.

    A view made by `SessionService.scope` may belong to one user of many: of it the answer is always 0.
    """
    where = lookup.of_scope(*service._scope(app_name, user_id))
    if service._is_view or not where.conditions:
        return 0
    reads = Reads(service._database)
    return max(lookup.count(reads, Where()) - lookup.count(reads, where), 0)


def others_said(
    service: SessionService,
    app_name: str | AnyOf | None = None,
    user_id: str | AnyOf | None = None,
    *,
    advice: str = SEE_OTHERS,
) -> str:
    """Says how many sessions others have and how to see them; nothing if there are none, or if it cannot be read."""
    try:
        count = count_of_others(service, app_name, user_id)
    except StoreError:
        return ""
    return f"Other apps or users have {count:,} session{'' if count == 1 else 's'}: {advice}." if count else ""


def _within(since: datetime | None, until: datetime | None, from_then: str, before_then: str) -> Where:
    """Returns the conditions for a span of time, given those for its two ends."""
    where = Where()
    if since is not None:
        where = where.also(from_then, since=codec.time_text(codec.utc(since, "since")))
    if until is not None:
        where = where.also(before_then, until=codec.time_text(codec.utc(until, "until")))
    return where


def checked_scope(app_name: object, user_id: object) -> tuple[str | AnyOf, str | AnyOf]:
    """Returns the app and user that a call means: identifiers or `ANY`. Raises `InvalidInputError`."""
    return (
        app_name if isinstance(app_name, AnyOf) else codec.identifier(app_name, "app_name"),
        user_id if isinstance(user_id, AnyOf) else codec.identifier(user_id, "user_id"),
    )


def key_of(session: SessionRecord) -> SessionKey:
    """Returns what names a session. Raises `InvalidInputError` for one that was made by hand and is malformed."""
    return SessionKey(
        codec.identifier(session.app_name, "app_name"),
        codec.identifier(session.user_id, "user_id"),
        codec.identifier(session.id, "session_id"),
    )


def _key_within(session: SessionRecord, app_name: str | AnyOf | None, user_id: str | AnyOf | None) -> SessionKey:
    key = key_of(session)
    if app_name not in (None, ANY, key.app_name) or user_id not in (None, ANY, key.user_id):
        raise InvalidInputError(f"{key} is not of the app and user that are named beside it")
    return key


def _metadata_of(metadata: object) -> Mapping[str, Any]:
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise InvalidInputError(f"metadata must be a mapping, not {type(metadata).__name__}")
    codec.encode_json(dict(metadata), "metadata")
    return metadata


def _position(place: object, name: str, key: SessionKey) -> float | str:
    if isinstance(place, str):
        try:
            return codec.decode_place(codec.decode_cursor(place, ("events", *key), [(int, str)])[0])
        except (ValueError, OverflowError):
            raise InvalidInputError("the cursor is not one that this list returned") from None
    return codec.whole_number(place, name)


def _check_event(event: object, name: str) -> None:
    if event is None or isinstance(event, Event):
        return
    if isinstance(event, str):
        codec.identifier(event, name)
    else:
        codec.whole_number(event, name)
