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
from typing import IO, TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack, get_args

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Found, Reads, Request, Row, Term, Told, check_seconds
from session_sqlite.errors import InvalidInputError, SessionNotFoundError, StoreError
from session_sqlite.filters import (
    ActivityGroup,
    EventFilters,
    ExportFormat,
    ImportFormat,
    SearchField,
    SessionArgument,
    SessionOrder,
    ToolStatus,
    UsageGroup,
)
from session_sqlite.models import ANY, AnyOf, Event, SearchHit, SessionHit, SessionOverview, SessionRecord
from session_sqlite.operations import (
    agent_messages,
    analytics,
    appending,
    forks,
    lookup,
    reading,
    recalling,
    retention,
    searching,
    session_search,
    sessions,
    summaries,
    windows,
)
from session_sqlite.operations import state as states
from session_sqlite.operations.retention import EraseReport, PruneReport, RedactReport
from session_sqlite.operations.summaries import OlderPart, Summarizer
from session_sqlite.pages import CheckReport, Finding, Page, Rows, WhyEmpty
from session_sqlite.search import FIELDS, asked, locate, parse, snippet, terms_typed
from session_sqlite.session import Session, attached
from session_sqlite.where import Where

if TYPE_CHECKING:
    import sqlite_utils

    from session_sqlite.operations.whole_sessions import WholeSessions
    from session_sqlite.transfer.reports import CopyReport, ExportReport, ImportReport, Progress

T = TypeVar("T")

DEFAULT_LIST_LIMIT: Final = 50
DEFAULT_SEARCH_LIMIT: Final = 20
DEFAULT_RECALL_LIMIT: Final = 10
DEFAULT_QUERY_TIMEOUT: Final = 30.0
SEE_OTHERS: Final = "service.scope(app_name=ANY, user_id=ANY) sees them"


class SessionService:
    """The interface to a store: its sessions, their events and their state.

    A call names a session by a `Session` or by its id. An id is looked up under the ``app_name`` and ``user_id`` of the
    call, or else of the service. `ANY` stands for every app or user, where a verb takes it. A bad argument raises
    `InvalidInputError` before anything is written.
    """

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
        """Returns the app of calls that name none; `ANY` for every app."""
        return self._app_name

    @property
    def user_id(self) -> str | AnyOf:
        """Returns the user of calls that name none; `ANY` for every user."""
        return self._user_id

    @property
    def path(self) -> Path | None:
        """Returns the absolute path of the store's file; None for a store in memory or on a server."""
        return self._database.path

    @property
    def closed(self) -> bool:
        """Returns True after `close`."""
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
        """Returns a view of the same store with another app or user as the default; does no I/O.

        A web server makes one for each request: ``service.scope(user_id=request.user.id)``. A view for one app and one
        user reveals nothing of others: it does not count their sessions, and refuses `query` and `db`.
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
            session_id: The id, unique for this app and user; a new UUIDv7 if not given.
            title: The title that a list of conversations shows.
            metadata: The application's own notes: a JSON object.
            state: The initial state; ``app:`` and ``user:`` keys change what the app's and the user's sessions share.
            exist_ok: If the user already has a session with this id, return it unchanged.
            app_name: The app; the service's if not given.
            user_id: The user; the service's if not given.

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
        """Returns a session as it is now.

        Raises:
            SessionNotFoundError: This app and user have no such session.
            InvalidInputError: The app or user is `ANY`, and several sessions have this id.
        """
        if isinstance(session_id, SessionRecord):
            key = key_of(session_id)
            rows, name = Reads(self._database).rows(queries.SESSION, key.params()), str(key)
        else:
            id = codec.identifier(session_id, "session_id")
            where = lookup.of_scope(*self._scope(app_name, user_id))
            rows, name = lookup.with_id(Reads(self._database), where, id), f"session {id!r}"
        if not rows:
            raise SessionNotFoundError(f"there is no {name}")
        if len(rows) > 1:
            raise InvalidInputError(f"several apps or users have a {name}: name the app_name and user_id")
        return self._session(rows[0])

    def list_sessions(
        self,
        *,
        agent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        updated_after: datetime | None = None,
        updated_before: datetime | None = None,
        id_prefix: str | None = None,
        limit: int | None = DEFAULT_LIST_LIMIT,
        cursor: str | None = None,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Page[Session]:
        """Lists sessions, the latest change first; at equal times the higher id first.

        Args:
            agent_id: Only sessions of this agent.
            metadata: Only sessions whose metadata has each of these keys at its top level, with an equal JSON value.
            updated_after: Only sessions that changed after this time (exclusive).
            updated_before: Only sessions that last changed before this time (exclusive).
            id_prefix: Only sessions whose id begins with exactly this text.
            limit: At most this many; None for all.
            cursor: The ``next_cursor`` of the page before.
            app_name: The app; the service's if not given, `ANY` for every app.
            user_id: The user; the service's if not given, `ANY` for every user.

        Returns:
            A page. Its ``next_cursor`` is None on the last page.
        """
        limit = codec.optional_number(limit, "limit")
        wanted = _metadata_of(metadata)
        listing = sessions.Listing(*self._scope(app_name, user_id), cursor)
        _narrow(listing, agent_id, updated_after, updated_before, id_prefix)
        listed, next_cursor = sessions.page(self._database, listing, wanted, limit, self._session)
        return Page(listed, next_cursor, of=Session, why_empty=self._why_empty(None, app_name, user_id))

    def session_overviews(
        self,
        *,
        agent_id: str | None = None,
        updated_after: datetime | None = None,
        updated_before: datetime | None = None,
        id_prefix: str | None = None,
        limit: int | None = DEFAULT_SEARCH_LIMIT,
        cursor: str | None = None,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Page[SessionOverview[Session]]:
        """Lists sessions with their first message and their number of events, as a sidebar shows them.

        This is one statement, and reads no event but the first message of each session; a first message without words,
        such as a picture alone, is read once more for its marks (``[image: tea.png, PNG, 12 kB]``). The filters, the
        order and the pages are those of `list_sessions`.
        """
        limit = codec.optional_number(limit, "limit")
        listing = sessions.Listing(*self._scope(app_name, user_id), cursor)
        _narrow(listing, agent_id, updated_after, updated_before, id_prefix)
        rows, next_cursor = sessions.overviews(self._database, listing, limit)
        width = len(codec.SESSION_COLUMNS)
        listed = [
            SessionOverview(session, row[-3], row[-2], codec.decode_interrupted(row[-1]), session.updated_at)
            for row in rows
            for session in (self._session(row[:width]),)
        ]
        return Page(listed, next_cursor, of=SessionOverview, why_empty=self._why_empty(None, app_name, user_id))

    def update_session(
        self,
        session: SessionArgument,
        *,
        title: str | None = None,
        agent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Session:
        """Changes the fields that are given and returns the session as it is then.

        Metadata is merged key by key: the value `REMOVE` deletes a key, and None is stored like any other value.

        Raises:
            SessionNotFoundError: There is no such session.
            CorruptStoreError: The stored metadata is damaged, so that nothing can be merged into it.
        """
        key = self._key(session)
        changes: list[tuple[str, dict[str, Any]]] = []
        if title is not None:
            changes.append((queries.SET_TITLE, {"title": codec.text(title, "title")}))
        if agent_id is not None:
            changes.append((queries.SET_AGENT, {"agent_id": codec.identifier(agent_id, "agent_id", optional=True)}))
        if metadata is not None:
            codec.merge_metadata("{}", metadata)  # bad metadata is refused before anything is written
            metadata = dict(metadata)  # the caller's mapping may run code, and a transaction blocks other writers
        now = codec.now_text()
        return self._session(self._database.write(lambda tx: sessions.update(tx, key, changes, metadata, now)))

    def delete_session(self, session: SessionArgument) -> bool:
        """Deletes a session with its events and its own state; returns False if there was none.

        State that the session shares with others (``app:`` and ``user:`` keys) stays.
        """
        key = self._key(session)
        return self._database.write(lambda tx: sessions.delete(tx, key))[0]

    def clear_session(self, session: SessionArgument) -> int:
        """Removes all events of a session, keeps its state, and returns how many events there were.

        The next event continues the numbering: a ``seq`` is never given twice. Raises `SessionNotFoundError`.
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
        """Appends events in their order, with their changes of state, in one transaction: all of them or none.

        An append that returned survives the end of the process and, unless the store was opened with
        ``durability="fast"``, a power cut. An event that has an ``id`` may be appended again: if the session already
        has the same event, nothing changes and the stored event is returned.

        Args:
            session: The session.
            events: The events. The store sets ``seq`` and ``session_id``, and ``id`` and ``created_at`` if they are
                not set.
            expected_seq: The ``last_seq`` that the caller knows. The append is refused if the session has another.
            create: Make the session, in the same transaction, if there is none.

        Returns:
            The events as stored, one for each given.

        Raises:
            SessionNotFoundError: There is no such session; also for an empty batch.
            DuplicateEventError: The session has an event with the same id and other content.
            StaleSessionError: ``expected_seq`` is not the session's ``last_seq``.
            InvalidInputError: An event is malformed; `NotSerializableError` or `EventTooLargeError` say how.
        """
        key = self._key(session)
        expected_seq = codec.optional_number(expected_seq, "expected_seq")
        codec.flag(create, "create")
        batch = appending.encode(key, events, self._max_event_bytes, expected_seq=expected_seq, create=create)
        return self._database.write(lambda tx: appending.append(tx, key, batch))

    def replace_events(self, session: SessionArgument, events: Iterable[Event]) -> list[Event]:
        """Replaces all events of a session in one transaction, or makes the session; returns the events as stored."""
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
        """Appends messages as events, each ``message_id`` once, in one transaction.

        A message that the session already has is not appended again. If its text has changed since (a person edited a
        tool call, a filter took a secret out), the stored event is changed in place and keeps its id, ``seq``, time and
        metadata. The same holds for an event that was stored without a ``message_id`` (see `find_messages`), even if
        the message is only a part of it, such as the result of one of its tool calls. A difference that only a
        checkpointer makes (a tuple that comes back as a list) is no change, and a redacted event stays redacted. If
        nothing is new, nothing is written.

        Args:
            session: The session.
            events: The messages; each event needs a ``message_id``.
            create: Make the session, in the same transaction, if there is none.
            instead_of: Maps the id of a new message to the id of a stored one that it replaces, such as the part of a
                reply that was interrupted. An id that is not stored is ignored.

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
        """Marks messages at which a run ended without a complete reply; returns how many events changed.

        The mark is the key ``interrupted`` in the event's metadata. Transcripts and lists show it; it is no part of
        the message. A session that does not exist has no messages.

        Args:
            session: The session.
            message_ids: The messages' own ids (see `find_messages`).
            reason: What ended the run, such as ``"CancelledError"``; empty to remove the mark.
        """
        key = self._key(session)
        reason = codec.text(reason, "reason")
        ids = list(dict.fromkeys(codec.text(id, "a message id") for id in message_ids))
        if not agent_messages.needs_note(Reads(self._database), key, ids, reason):
            return 0
        now = codec.now_text()
        return self._database.write(lambda tx: agent_messages.mark_interrupted(tx, key, ids, reason, now))

    def find_messages(self, session: SessionArgument, message_ids: Iterable[str]) -> dict[str, int]:
        """Returns the ``seq`` of each of these messages that the session has, by message id.

        This is an indexed look-up that reads no conversation. A session that does not exist has no messages. An event
        without a ``message_id`` is found by its own id, and the results of its tool calls by ``"{event.id}:0"``,
        ``"{event.id}:1"`` and so on: these are the ids that they have as messages.
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
        """Lists the events of a session that match every given filter, in the order of their ``seq``.

        Args:
            session: The session.
            author: Only events by this author.
            agent_id: Only events of this agent.
            branch: Only events of exactly this branch.
            invocation_id: Only events of this run.
            tool: Only events that call the tool with exactly this name, or that have its result.
            since: Only from this time on (inclusive).
            until: Only before this time (exclusive).
            after: Only after this ``seq``, or after a page's ``next_cursor``.
            before: Only before this ``seq``, or before a page's ``next_cursor``.
            limit: At most this many; None for all.
            newest_first: The highest ``seq`` first.

        Returns:
            A page. Its ``next_cursor`` is None on the last page; pass it as ``after``, or with ``newest_first`` as
            ``before``, to get the next page.

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
        placed = reading.events(self._database, query, limit and limit + 1)
        if not placed:
            lookup.require(Reads(self._database), query.key)
        page = [event for _, event in placed[:limit]]
        if limit is None or len(placed) <= limit or (place := placed[limit - 1][0]) is None:
            return Page(page, of=Event)
        return Page(page, codec.encode_cursor(("events", *query.key), [codec.encode_place(place)]), of=Event)

    def iter_events(
        self, session: SessionArgument, *, limit: int | None = None, **filters: Unpack[EventFilters]
    ) -> Iterator[Event]:
        """Yields the events that `list_events` lists, a few hundred in memory at a time.

        No lock or cursor is held between two events: the caller may write, and sees what is appended meanwhile.
        """
        chunks = self.iter_event_chunks(session, limit=limit, **filters)
        return (event for chunk in chunks for event in chunk)

    def iter_event_chunks(
        self, session: SessionArgument, *, limit: int | None = None, **filters: Unpack[EventFilters]
    ) -> Iterator[list[Event]]:
        """Yields the events that `iter_events` yields, in lists of up to 500: one read for each list."""
        query = self._event_query(session, **filters)
        limit = codec.optional_number(limit, "limit")
        lookup.require(Reads(self._database), query.key)
        return ([event for _, event in chunk] for chunk in reading.chunks(self._database, query, limit))

    def last_events(self, session: SessionArgument, n: int) -> list[Event]:
        """Returns the latest events, at most ``n``, oldest first, beginning at a turn (an event of the user).

        A tool's result is therefore never without its call. If the last turn alone has more than ``n`` events, it is
        returned whole. A session in which the user never spoke has no turns: there, the window begins at an event that
        is not a tool's result. After `summarize_session` the newest summary comes first, in place of the events that
        it supersedes. Raises `SessionNotFoundError`.
        """
        key = self._key_to_read(session)
        return windows.last_events(self._database, key, codec.whole_number(n, "n"))

    def convert_events(
        self,
        session: SessionArgument,
        convert: Callable[[Event], T],
        *,
        convert_columns: Callable[[Sequence[Any]], T | None] | None = None,
    ) -> list[T]:
        """Returns what ``convert`` makes of each event, in order, from one read; a missing session has no events.

        Args:
            session: The session.
            convert: A function of an event.
            convert_columns: A function that makes the same of the columns that a message is made of, in less time, and
                returns None for those of which it cannot.
        """
        return reading.converted(self._database, self._key_to_read(session), convert, convert_columns)

    # ------------------------------------------------------------ state

    def get_state(self, session: SessionArgument) -> dict[str, Any]:
        """Returns the state that a session sees: the keys of its app, of its user and its own, sorted.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        key = self._key_to_read(session)
        state = states.seen(Reads(self._database), key)
        if state is None:
            raise lookup.missing(key)
        return state

    def get_state_value(self, session: SessionArgument, key: str, *, default: Any = None) -> Any:
        """Returns one value of the state that a session sees, or the default if there is no such key.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        owner = self._key_to_read(session)
        values = states.value(Reads(self._database), owner, codec.state_key(key))
        if values is None:
            raise lookup.missing(owner)
        return values[0] if values else default

    def update_state(self, session: SessionArgument, delta: Mapping[str, Any]) -> dict[str, Any]:
        """Sets keys of the state, deletes those with the value `REMOVE`, and returns the new state.

        The prefix of a key says who shares it: ``app:`` all sessions of the app, ``user:`` the user's sessions in the
        app. A key with no prefix, or with ``session:``, is the session's own. A key with ``temp:`` is not stored. This
        is one transaction.

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

    # ------------------------------------------------------------ fork, rewind, summarize, prune, erase, redact

    def fork_session(
        self,
        session: SessionArgument,
        *,
        at: Event | str | int | None = None,
        session_id: str | None = None,
        title: str = "",
    ) -> Session:
        """Copies a session up to and including an event; the source does not change.

        If tools that were called by then answered later, their results are copied too, so that every call keeps its
        result. The copied events keep their ids and times, are numbered without gaps, and name in ``copied_from`` the
        session where they were first said, so that figures count them once (see `usage`). The state is the one after
        the last copied event: it is rebuilt from the initial state and the events' changes, and keys that no event
        ever changed have their present value.

        Args:
            session: The source.
            at: The last event to copy: an `Event`, its id or its ``seq``; the latest if not given.
            session_id: The id of the copy; a new UUIDv7 if not given.
            title: The title of the copy; the source's if not given.

        Returns:
            The copy. Its ``parent_id`` and ``parent_seq`` say where it was forked.

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
        """Removes the last turns, or all events after one; returns the removed events in order.

        A turn is an event of the user and all that follows it. A turn that waits for a tool when the user speaks again
        counts as one with the next. Events before the first turn stay. The session's own state becomes the one after
        the last event that stays, as in `fork_session`; ``app:`` and ``user:`` keys stay as they are. The next event
        continues the numbering: a ``seq`` is never given twice.

        Args:
            session: The session.
            turns: How many turns to remove; one if neither this nor ``to`` is given.
            to: The last event that stays: an `Event`, its id or its ``seq``. Results of tools called by then stay too.
            dry_run: Change nothing, and return the events that would be removed.

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
        # Not repeatable: a second run, after a connection was lost during the commit, would remove two turns.
        return self._database.write(lambda tx: forks.rewind(tx, key, turns=count, to=to, now=now), repeatable=False)

    def summarize_session(self, session: SessionArgument, summarizer: Summarizer, *, keep_last: int) -> Event | None:
        """Lets a function summarize the older events of a session, and appends the summary; deletes nothing.

        From then on `last_events` and the windows of a history begin with the newest summary, in place of the events
        that it supersedes.

        Args:
            session: The session.
            summarizer: A function of a list of LangChain messages, or a Runnable, that returns a text or a message. It
                gets the previous summary, if there is one, and the messages since. It runs outside of any transaction:
                if it fails, or the process ends, nothing has changed. `AsyncSessionService` also accepts an
                asynchronous one.
            keep_last: The latest ``keep_last`` events, in whole turns as in `last_events`, are not summarized.

        Returns:
            The summary, an event of the author ``system``; None if there is nothing to summarize.

        Raises:
            SessionNotFoundError: There is no such session.
            InvalidInputError: The summarizer returned no text.
            StaleSessionError: The summarized events were removed while the summarizer ran.
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
        """Removes whole turns from the beginning of the sessions of an app and user.

        A session keeps its ``last_seq`` and its state. A session that has no events left and did not change since
        ``older_than`` is deleted. Each session is one transaction.

        Args:
            older_than: Remove events from before this time, or older than this age. A time in the future or a negative
                age is refused, since it would remove everything.
            keep_last: Keep the latest ``keep_last`` events of each session, whatever their age (see `last_events`).
            dry_run: Change nothing, and only count.
            app_name: The app; the service's if not given, `ANY` for every app.
            user_id: The user; the service's if not given, `ANY` for every user.
        """
        codec.flag(dry_run, "dry_run")
        if older_than is None and keep_last is None:
            raise InvalidInputError("prune needs older_than, keep_last or both")
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
        """Erases a session, or everything of a user, so that its bytes are nowhere in the file or its WAL.

        If something still holds them (another process that is reading, a fork of the session), the report says so.
        Erasing rewrites the whole file, which takes time and, meanwhile, as much disk space again. Copies outside of
        the store (backups, exports, snapshots of the disk) are not erased.

        Args:
            session: The session to erase.
            user_id: Instead of a session: the user whose sessions and state to erase.
            app_name: With ``user_id``: the app; the service's if not given, `ANY` for every app.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        if (session is None) == (user_id is None):
            raise InvalidInputError("erase needs a session or a user_id, and not both")
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
        """Replaces text in stored events: content, reasoning, tool calls, metadata, state, messages, search words.

        Ids, names of tools and keys of JSON objects stay. Afterwards the old text is nowhere in the file, or the report
        says what still holds it. The titles and metadata of sessions and the present state are not changed; the report
        names those that hold such text, to be changed with `update_session` and `update_state`.

        Args:
            pattern: A regular expression, or a function that returns the new text for a text. It runs outside of any
                transaction, so that other writers do not wait for it; an event that they change meanwhile is redacted
                again. It has no time limit: an expression such as ``(a+)+$`` may run for years (Ctrl-C ends it), and
                other threads of the process wait while a regular expression runs.
            replacement: The text in place of each match of the expression, as for `re.sub`.
            session: Only in this session.
            dry_run: Change nothing, and only count.
            app_name: The app; the service's if not given, `ANY` for every app.
            user_id: The user; the service's if not given, `ANY` for every user.

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

    # ------------------------------------------------------------ search and figures

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
        """Finds events by their words, in any language; finds every event whose append has returned.

        An event matches if it has all terms of the query. A term is a word, a ``"quoted phrase"``, or a ``prefix*`` of
        words. A Chinese, Japanese, Korean, Thai, Lao, Khmer or Burmese term is also found inside longer text. Other
        punctuation separates words, and a query without words finds nothing. Case, width, accents, the vowel signs of
        Arabic and Hebrew and invisible characters make no difference. A query may have 100,000 characters, 100
        different words (each Chinese character is one) and 10 prefixes.

        Args:
            query: The words, as a person types them.
            session: Only in this session.
            author: Only events by this author.
            fields: Where to look: some of ``"content"``, ``"reasoning"``, ``"tools"`` (names, arguments and outputs
                of tool calls).
            since: Only from this time on (inclusive).
            until: Only before this time (exclusive).
            limit: At most this many.
            cursor: The ``next_cursor`` of the page before, of the same search. Each hit is on exactly one page. Events
                that are appended after the first page are found by the next search without a cursor.
            newest_first: The latest appended first; otherwise the best match first.
            app_name: The app; the service's if not given, `ANY` for every app.
            user_id: The user; the service's if not given, `ANY` for every user.

        Raises:
            SessionNotFoundError: There is no such session.
            InvalidInputError: The query is too long.
        """
        text = codec.text(query, "query")
        limit = codec.whole_number(limit, "limit")
        request = self._search_request(
            parse(text), session, author, fields, since, until, newest_first, app_name, user_id
        )
        scope = ("hits", text, *map(repr, (request.app_name, request.user_id, request.session_id, request.fields)),
                 *map(repr, (sorted(request.params.items()), request.newest_first)))  # fmt: skip
        if cursor is not None:
            request = searching.beyond(request, codec.decode_cursor(cursor, scope, [int, str]))
        why_empty = self._why_empty(session, app_name, user_id)
        if not request.terms or limit == 0:
            self._database.read(queries.PING, {}, tuple)  # raises on a closed store, even if nothing is to be read
            return Page(of=SearchHit, why_empty=why_empty)
        matches = searching.find(self._database, request, limit + 1)
        hits = [self._hit(match, request) for match in matches[:limit]]
        next_cursor = None
        if len(matches) > limit:
            position = searching.position_after(self._database, matches[:limit], request)
            next_cursor = codec.encode_cursor(scope, position)
        return Page(hits, next_cursor, of=SearchHit, why_empty=why_empty)

    def recall(
        self,
        question: str,
        *,
        session: SessionArgument | None = None,
        exclude_session: SessionArgument | None = None,
        author: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = DEFAULT_RECALL_LIMIT,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Page[SearchHit[Session]]:
        """Finds what was said that bears on a question, the best first: for a model that asks in sentences.

        Words without a meaning of their own do not count; of the others any is enough, in any of its forms, and the
        rare ones count more. How rare a word is depends on all events of the store, whosever they are. An answer is
        often the turn after the one that has the question's words, so the events beside a hit and its session count,
        too. A question that names a time (*on May 3rd*, *last Monday*, *上周*) prefers what was said then, and asks for
        all of it if it names nothing else. A question without words finds nothing. `SearchHit.parts` says what a score
        is made of.

        Args:
            question: The question, in any language.
            session: Only in this session.
            exclude_session: Not in this session, which need not exist: the one that is going on, say.
            author: Only events by this author.
            since: Only from this time on (inclusive).
            until: Only before this time (exclusive).
            limit: At most this many.
            app_name: The app; the service's if not given, `ANY` for every app.
            user_id: The user; the service's if not given, `ANY` for every user.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        asked_for = asked(codec.text(question, "question"), codec.now_text()[:10])
        limit = codec.whole_number(limit, "limit")
        others = self._other_sessions(exclude_session, app_name, user_id)
        request = self._search_request(asked_for.terms, session, author, FIELDS, since, until, False, app_name, user_id)
        why_empty = self._why_empty(session, app_name, user_id)
        if limit == 0 or not (request.terms or asked_for.period):
            self._database.read(queries.PING, {}, tuple)  # raises on a closed store, even if nothing is to be read
            return Page(of=SearchHit, why_empty=why_empty)
        recalled = recalling.find(self._database, request, others, asked_for, limit)
        hits = [replace(self._hit(found, request), parts=parts) for found, parts in recalled]
        return Page(hits, of=SearchHit, why_empty=why_empty)

    def search_sessions(
        self,
        query: str,
        *,
        order: SessionOrder = "newest",
        agent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        updated_after: datetime | None = None,
        updated_before: datetime | None = None,
        limit: int | None = DEFAULT_SEARCH_LIMIT,
        cursor: str | None = None,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Page[SessionHit[Session]]:
        """Finds sessions by words in their titles and events, one hit a session: the search of a sidebar.

        Each word of the query is in the title or in any event of the session. Words and phrases are those of `search`,
        but the last word is a prefix, so that every letter that is typed narrows what is found; anything but white
        space behind it makes it whole. A single letter or digit is looked for in titles alone. A Chinese character is
        a word, and is looked for in events too, as is every character of a script that writes no spaces, and an emoji.
        A query without words finds nothing.

        Args:
            query: The words, as a person types them.
            order: ``"newest"``: the latest change first, as in `list_sessions`. ``"best"``: most words in the title
                first, then most words in one event, then that event's score; the latest 100 are ranked among
                themselves, and those before follow in their order.
            agent_id: Only sessions of this agent.
            metadata: Only sessions whose metadata has each of these keys at its top level, with an equal JSON value.
            updated_after: Only sessions that changed after this time (exclusive).
            updated_before: Only sessions that last changed before this time (exclusive).
            limit: At most this many; None for all.
            cursor: The ``next_cursor`` of the page before, of the same search. No session is on two pages; one that
                changes between two pages is before the first of them, and found by a new search.
            app_name: The app; the service's if not given, `ANY` for every app.
            user_id: The user; the service's if not given, `ANY` for every user.

        Raises:
            InvalidInputError: The query is too long.
        """
        text = codec.text(query, "query")
        limit = codec.optional_number(limit, "limit")
        if order not in get_args(SessionOrder):
            raise InvalidInputError(f"order must be one of {', '.join(get_args(SessionOrder))}")
        app, user = self._scope(app_name, user_id)
        listing = sessions.Listing(app, user)
        _narrow(listing, agent_id, updated_after, updated_before)
        request = session_search.SessionRequest(terms_typed(text), _metadata_of(metadata), order == "best")
        scope = ("session hits", text, order, repr(app), repr(user), repr(sorted(listing.where.params.items())),
                 codec.encode_json(dict(request.metadata), "metadata"))  # fmt: skip
        position = None if cursor is None else codec.decode_cursor(cursor, scope, request.position_types)
        why_empty = self._why_empty(None, app_name, user_id)
        if not request.terms or limit == 0:
            self._database.read(queries.PING, {}, tuple)  # raises on a closed store, even if nothing is to be read
            return Page(of=SessionHit, why_empty=why_empty)
        found, position = session_search.page(self._database, request, listing, position, limit)
        rows = sessions.overviews_of(self._database, (match.key for match in found))
        hits = [self._session_hit(match, rows[match.key], request) for match in found if match.key in rows]
        next_cursor = None if position is None else codec.encode_cursor(scope, position)
        return Page(hits, next_cursor, of=SessionHit, why_empty=why_empty)

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
        """Lists the calls of tools with their results, the earliest call first; copies are counted as in `usage`.

        Args:
            name: Only calls of the tool with exactly this name.
            session: Only in this session.
            status: ``"pending"`` (no result yet), ``"ok"`` or ``"error"``.
            since: Only from this time on (inclusive).
            until: Only before this time (exclusive).
            limit: At most this many; None for all.
            newest_first: The latest call first.
            app_name: The app; the service's if not given, `ANY` for every app.
            user_id: The user; the service's if not given, `ANY` for every user.

        Returns:
            A dict for each call with the columns of the view ``tool_calls``, first ``created_at``, ``name`` and
            ``status``; ``args`` is a dict, ``created_at`` and ``result_at`` are datetimes, and ``output`` is text: what
            was no text is its JSON. The calls of one event stand in their order.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        where = analytics.with_status(self._history(session, since, until, app_name, user_id), status)
        if name is not None:
            where = where.also(queries.TOOL_NAME, name=codec.text(name, "name"))
        limit = codec.optional_number(limit, "limit")
        codec.flag(newest_first, "newest_first")
        records = analytics.tool_calls(self._database, where, limit, newest_first=newest_first)
        return self._rows(records, "No tool calls.", session, app_name, user_id)

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
        """Counts the ``calls``, ``errors`` and ``pending`` calls of each tool, by its name, the most used first.

        It takes the filters of `tool_calls`, and counts the calls that `tool_calls` would list.
        """
        where = self._history(session, since, until, app_name, user_id)
        return analytics.tool_counts(self._database, analytics.with_status(where, status))

    def last_seqs(
        self, *, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None
    ) -> dict[SessionKey, int]:
        """Returns the ``last_seq`` of every session, by (app_name, user_id, session_id).

        Events that are appended later have a higher ``seq``.
        """
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
        """Sums up the tokens that models used, by group; takes the filters of `tool_calls`.

        ``by`` names the groups, some of ``day`` and ``month`` (UTC), ``model``, ``app_name``, ``user_id``,
        ``session_id`` and ``agent_id``; an empty list makes one sum of all.

        An event that a fork copied counts once, in the session where it was first said. When that event is gone, for
        whatever reason, the first of its copies counts instead.

        Returns:
            A dict for each group, in the order of the groups: their values, ``replies`` (the number of events with a
            usage) and the sums of ``input_tokens``, ``output_tokens``, ``cache_read_tokens``, ``cache_write_tokens``
            and ``reasoning_tokens``.
        """
        groups = analytics.groups_of(by, queries.USAGE_GROUPS)
        where = self._history(session, since, until, app_name, user_id)
        return self._rows(analytics.usage(self._database, where, groups), "No usage.", session, app_name, user_id)

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
        """Counts events by group; takes the filters of `tool_calls`, and counts copies as `usage` does.

        ``by`` names the groups, some of ``day`` and ``month`` (UTC), ``author``, ``app_name``, ``user_id``,
        ``session_id`` and ``agent_id``; an empty list makes one count of all.

        Returns:
            A dict for each group, in the order of the groups: their values, ``events`` (how many there are) and
            ``sessions`` (in how many sessions).
        """
        groups = analytics.groups_of(by, queries.ACTIVITY_GROUPS)
        where = self._history(session, since, until, app_name, user_id)
        return self._rows(analytics.activity(self._database, where, groups), "No events.", session, app_name, user_id)

    def reply_times(
        self,
        *,
        session: SessionArgument | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Rows:
        """Lists how long users waited for replies, the earliest reply first.

        A reply is an event that directly follows an event of the user. This takes the filters of `tool_calls`, of which
        ``since`` and ``until`` are for the time of the reply, and counts copies as `usage` does.

        Returns:
            A dict for each reply: ``app_name``, ``user_id``, ``session_id``, ``seq``, ``author``, ``agent_id``,
            ``asked_at``, ``replied_at`` (datetimes) and ``seconds``. Events whose times are damaged are left out.
        """
        where = self._history(session, since, until, app_name, user_id)
        return self._rows(analytics.reply_times(self._database, where), "No replies.", session, app_name, user_id)

    def stats(self, *, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None) -> dict[str, Any]:
        """Counts the sessions, events, tool calls and tokens of a store; copies are counted as in `usage`.

        Returns:
            A dict with ``sessions``, ``apps``, ``users``, ``events``, ``first_event``, ``last_event`` (datetimes, or
            None), ``authors`` (events by author), ``tools`` (by name: ``calls``, ``errors``, ``pending``; the most
            used first) and ``tokens`` (the sums of `usage`).
        """
        return analytics.stats(self._database, lookup.of_scope(*self._scope(app_name, user_id)))

    # ------------------------------------------------------------ export and import

    def export(
        self,
        target: str | os.PathLike[str] | IO[str],
        *,
        session: SessionArgument | Iterable[SessionArgument] | None = None,
        format: ExportFormat = "auto",
        user_markdown: bool = False,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Writes sessions with their events and state to a file, as a stream: memory does not grow with the store.

        Args:
            target: A path, or a file that is open for text. A file at a path appears when it is complete; a new one is
                readable by its owner only. A path that ends with a slash is a folder, and so is one that is there if
                the format is ``"html"``: it gets a page for each session, and an ``index.html`` with a list of them by
                month. An export into the same folder again replaces the pages of the one before, and touches no other
                file.
            session: One session or several; all of the app and user if not given.
            format: ``"auto"`` goes by the end of the path: ``.html``, ``.md`` and a slash are for people, anything else
                is ``"jsonl"``. ``"jsonl"`` is JSON Lines, from which `import_` makes equal sessions (see
                `session_sqlite.transfer.jsonl`); ``"markdown"`` and ``"html"`` (one page that has no script and loads
                nothing) are for people.
            user_markdown: Show the users' texts as Markdown in HTML, too; otherwise as they were written.
            app_name: The app; the service's if not given, `ANY` for every app.
            user_id: The user; the service's if not given, `ANY` for every user.
            progress: A function that is called with how many events are written, and how many there are in all (None
                if that is not known).

        Returns:
            How many sessions and events were written.

        Raises:
            SessionNotFoundError: There is no such session.
            InvalidInputError: There is no such format; or the folder has an ``index.html`` that is not an export's.
            StoreError: The file cannot be written.
        """
        from session_sqlite import transfer  # loaded now: most programs never export

        if isinstance(session, (str, SessionRecord)):
            session = [session]
        elif session is not None and not isinstance(session, Iterable):
            raise InvalidInputError(f"session must be a session or several, not {type(session).__name__}")
        keys = None
        if session is not None:
            keys = list(dict.fromkeys(self._key_to_read(named, app_name, user_id) for named in session))
            for key in keys:
                lookup.require(Reads(self._database), key)
        self._database.read(queries.PING, {}, tuple)  # raises on a closed store, before a file is opened
        report = transfer.export(
            _whole_sessions(self),
            target,
            keys=keys,
            where=lookup.of_scope(*self._scope(app_name, user_id)),
            format=format,
            user_markdown=user_markdown,
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
        """Adds conversations from an export or from another program's file.

        What is stored already does not change, and importing a file again creates no duplicates: ids are those of the
        source or derived from it. Only a reply that was unfinished when it was imported is completed in its place, and
        a session without a title gets one that came later. A record that cannot be read is skipped and reported.
        Sessions are written in several transactions: run an import that was interrupted again to complete it. Files of
        other programs are only read.

        Args:
            source: The path of a file, or of a folder of which all files are imported; or an open file (of JSON).
            format: The format of the source; ``"auto"`` detects it. The README and ``session-sqlite import
                --list-formats`` list the formats.
            dry_run: Change nothing, and only report what would be imported.
            app_name: The app to assign the sessions to; if not given, the one that the source names, or else the
                service's.
            user_id: The user to assign them to, likewise. Pass both for a file that a user uploads: it may name
                another user.
            progress: A function that is called with how much of the source is done, and how much there is in all
                (None if that is not known), in bytes or rows.

        Returns:
            How much was imported; what was not, and why.

        Raises:
            InvalidInputError: The format is not known; or the source names no app or user, and the service's is `ANY`.
            NewerSchemaError: The export was made by a newer release.
            StaleSessionError: Somebody else made a session of the same id meanwhile; import again.
            StoreError: The file cannot be read.
        """
        from session_sqlite import transfer

        self._database.read(queries.PING, {}, tuple)  # raises on a closed store, before a file is opened
        return transfer.import_(
            _whole_sessions(self),
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
        """Returns the file as a read-only sqlite-utils Database; it shows the rows of every app and user.

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
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] = (),
        *,
        timeout: float = DEFAULT_QUERY_TIMEOUT,
        each: Callable[[dict[str, Any]], object] | None = None,
    ) -> Rows:
        """Runs one SQL statement that reads, and returns its rows as dicts; it sees the rows of every app and user.

        A view made by `scope` for one app and one user refuses it.

        A value that the query makes may have 64 MB, or ``max_event_bytes`` if that is more (in a query with JSON only
        ``max_event_bytes``; less if a row has many values), a pattern of LIKE or GLOB 1,000 bytes, a row 200 columns,
        and all rows together 256 MB of memory.

        Args:
            sql: One statement over the tables and views of the file. SQLite itself refuses to write, to attach another
                file, or to change a setting.
            params: Values for ``?`` (a sequence) or ``:name`` (a mapping).
            timeout: How many seconds the query may take.
            each: A function that is called with each row as it is read. The rows are then not kept, so that memory does
                not grow with their number; what is returned has only the ``columns``. Until the last row was read the
                query holds a connection, and its time goes on: on a file its WAL grows meanwhile.

        Raises:
            QueryError: The statement is not valid, is not only one, does more than read, or exceeds a limit.

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
        return self._database.query(sql, params, timeout, self._max_event_bytes, None if each is None else Told(each))

    def backup(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Copies the store, as of one moment, into a new file, and returns the file's path.

        Others may write meanwhile. The copy is one file, can be opened as a store, and is readable by its owner only.

        Args:
            path: The new file; missing folders are made.
            overwrite: Replace an existing file.
        """
        return self._database.backup(path, overwrite=overwrite)

    def check(self, *, repair: bool = False) -> CheckReport:
        """Checks the whole file: its pages, the order of events, the search index, permissions and the disk.

        Args:
            repair: Rebuild what can be rebuilt from the rest (indexes, the search index, ``last_seq``), and delete
                state that belongs to no session. Without it nothing changes.

        Returns:
            The findings, each with advice; ``.ok`` sums them up. Unless this is a view made by `scope`, one finding
            counts the sessions, and those of other apps and users.
        """
        report = self._database.check(repair=repair)
        if not self._is_view:
            with contextlib.suppress(StoreError):  # the damage is among the findings already
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

    def _refuse_to_a_tenant(self, name: str) -> None:
        if self._is_view and not isinstance(self.app_name, AnyOf) and not isinstance(self.user_id, AnyOf):
            raise InvalidInputError(
                f"{name} shows the rows of every app and user, and this is a view for one app and one user: use the "
                "service that was opened on the file, or a view made with ANY"
            )

    def _why_empty(self, session: object, app_name: str | AnyOf | None, user_id: str | AnyOf | None) -> WhyEmpty | None:
        """Returns a function that says whether others have sessions; an empty list calls it when it is shown.

        A view gets none, since it must not reveal others, and neither does a list about one session.
        """
        if self._is_view or session is not None:
            return None
        app, user = self._scope(app_name, user_id)
        return lambda: others_said(self, app, user)

    def _rows(
        self,
        records: analytics.Records,
        if_empty: str,
        session: object,
        app_name: str | AnyOf | None,
        user_id: str | AnyOf | None,
    ) -> Rows:
        return Rows(*records, if_empty=if_empty, why_empty=self._why_empty(session, app_name, user_id))

    # ------------------------------------------------------------ the session that a call names

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
                "this needs one app and one user, not ANY: name them, use service.scope(…), or pass a Session"
            )
        return SessionKey(app, user, codec.identifier(session_id, "session_id"))

    def _key(
        self, session: object, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None
    ) -> SessionKey:
        """Returns the key of the session that a call writes to. Raises `InvalidInputError`."""
        if isinstance(session, SessionRecord):
            return _key_within(session, app_name, user_id)
        return self._exact_key(session, app_name, user_id)

    def _key_to_read(
        self, session: object, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None
    ) -> SessionKey:
        """Returns the key of the session that a call reads; an id under `ANY` is looked up in the store."""
        if isinstance(session, SessionRecord):
            return _key_within(session, app_name, user_id)
        if ANY in self._scope(app_name, user_id):
            return key_of(self.get_session(session, app_name=app_name, user_id=user_id))  # type: ignore[arg-type]  # checked
        return self._exact_key(session, app_name, user_id)

    def _of(self, session: object, app_name: str | AnyOf | None, user_id: str | AnyOf | None) -> Where:
        """Returns the conditions for a session, or without one for an app and user.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        if session is None:
            return lookup.of_scope(*self._scope(app_name, user_id))
        key = self._key_to_read(session, app_name, user_id)
        lookup.require(Reads(self._database), key)
        return lookup.of_session(key)

    def _session(self, row: Row) -> Session:
        return attached(codec.decode_session(row, Session), self)

    # ------------------------------------------------------------ filters

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
        """Returns the conditions that all figures take. Raises `SessionNotFoundError`."""
        where = self._of(session, app_name, user_id)
        return where & _within(since, until, queries.SINCE, queries.UNTIL)

    def _search_request(
        self,
        terms: tuple[Term, ...],
        session: SessionArgument | None,
        author: str | None,
        fields: object,
        since: datetime | None,
        until: datetime | None,
        newest_first: bool,
        app_name: str | AnyOf | None,
        user_id: str | AnyOf | None,
    ) -> Request:
        scope = self._of(session, app_name, user_id).params
        where = Where(params=scope)
        if author is not None:
            where = where.also(queries.EVENT_BY_AUTHOR, author=codec.identifier(author, "author"))
        where &= _within(since, until, queries.EVENT_SINCE, queries.EVENT_UNTIL)
        return Request(
            terms=terms,
            fields=_fields(fields),
            app_name=scope.get("app_name"),
            user_id=scope.get("user_id"),
            session_id=scope.get("session_id"),
            clauses=where.conditions,
            params=where.params,
            newest_first=codec.flag(newest_first, "newest_first"),
        )

    def _other_sessions(
        self, session: SessionArgument | None, app_name: str | AnyOf | None, user_id: str | AnyOf | None
    ) -> Where:
        """Returns the condition for all sessions but one; an id under `ANY` leaves out every session with it."""
        if session is None:
            return Where()
        if not isinstance(session, SessionRecord) and ANY in self._scope(app_name, user_id):
            return Where((queries.NOT_IN_SESSIONS_CALLED,), {"other_session": codec.identifier(session, "session_id")})
        key = self._key(session, app_name, user_id)
        return Where((queries.NOT_IN_SESSION,), {
            "other_app": key.app_name, "other_user": key.user_id, "other_session": key.session_id,
        })  # fmt: skip

    def _hit(self, found: Found, request: Request) -> SearchHit[Session]:
        text, spans = snippet(found.event, request)
        return SearchHit(found.event, self._session(found.session_row), text, spans, found.score)

    def _session_hit(
        self, match: session_search.SessionMatch, row: Row, request: session_search.SessionRequest
    ) -> SessionHit[Session]:
        session = self._session(match.row)
        hit = None if match.hit is None else self._hit(match.hit, request.in_event(match.in_best))
        spans = tuple(locate(session.title, request.terms)) if match.in_title else ()
        return SessionHit(session, row[-3], row[-2], session.updated_at, hit, spans)


def _narrow(
    listing: sessions.Listing,
    agent_id: str | None,
    updated_after: datetime | None,
    updated_before: datetime | None,
    id_prefix: str | None = None,
) -> None:
    """Adds the conditions of `SessionService.list_sessions`, but for the metadata."""
    if agent_id is not None:
        listing.narrow(queries.OF_AGENT, agent_id=codec.identifier(agent_id, "agent_id", optional=True))
    for name, when, condition in (
        ("updated_after", updated_after, queries.UPDATED_AFTER),
        ("updated_before", updated_before, queries.UPDATED_BEFORE),
    ):
        if when is not None:
            listing.narrow(condition, **{name: codec.time_text(codec.utc(when, name))})
    if id_prefix is not None:
        prefix = codec.text(id_prefix, "id_prefix")
        if "\0" in prefix:
            raise InvalidInputError("id_prefix contains a control character, which no id does")
        listing.narrow(queries.ID_BEGINS, id_prefix=prefix, prefix_length=len(prefix))


def _fields(fields: object) -> tuple[str, ...]:
    names = [fields] if isinstance(fields, str) else list(fields) if isinstance(fields, Iterable) else []
    if not names or not all(name in FIELDS for name in names):
        raise InvalidInputError(f"fields must be some of {', '.join(FIELDS)}")
    return tuple(name for name in FIELDS if name in names)


def count_of_others(
    service: SessionService, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None
) -> int:
    """Counts the sessions that are not of the app and user of a call.

    For a view made by `SessionService.scope` the answer is always 0: one user must not learn of others.
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
    """Returns a sentence on how many sessions others have and how to see them; empty if there are none to count."""
    try:
        count = count_of_others(service, app_name, user_id)
    except StoreError:
        return ""
    return f"Other apps or users have {count:,} session{'' if count == 1 else 's'}: {advice}." if count else ""


def rows_since(
    service: SessionService, session: SessionArgument, seen: reading.Seen | None
) -> tuple[list[Row], reading.Seen] | None:
    """Returns the rows of a session's messages that come after what was seen of it; see `reading.since`."""
    return reading.since(service._database, service._key_to_read(session), seen)


def store_of(service: SessionService) -> object:
    """Returns the store of a service, which is the same for all views of it."""
    return service._database


def _whole_sessions(service: SessionService) -> WholeSessions:
    from session_sqlite.operations.whole_sessions import WholeSessions

    return WholeSessions(service._database, service._max_event_bytes)


def copy_sessions(source: SessionService, target: SessionService, *, progress: Progress | None = None) -> CopyReport:
    """Copies all sessions of the source's app and user into another store, and compares the two; see `copying`."""
    from session_sqlite.transfer import copying

    return copying.copy(
        _whole_sessions(source),
        _whole_sessions(target),
        lookup.of_scope(*source._scope(None, None)),
        progress,
    )


def _within(since: datetime | None, until: datetime | None, from_then: str, before_then: str) -> Where:
    """Returns the conditions for a span of time, from the conditions for its beginning and its end."""
    where = Where()
    if since is not None:
        where = where.also(from_then, since=codec.time_text(codec.utc(since, "since")))
    if until is not None:
        where = where.also(before_then, until=codec.time_text(codec.utc(until, "until")))
    return where


def checked_scope(app_name: object, user_id: object) -> tuple[str | AnyOf, str | AnyOf]:
    """Returns an app and a user, each an identifier or `ANY`. Raises `InvalidInputError` for anything else."""
    return (
        app_name if isinstance(app_name, AnyOf) else codec.identifier(app_name, "app_name"),
        user_id if isinstance(user_id, AnyOf) else codec.identifier(user_id, "user_id"),
    )


def key_of(session: SessionRecord) -> SessionKey:
    """Returns the key of a session. Raises `InvalidInputError` if it was made by hand and is malformed."""
    return SessionKey(
        codec.identifier(session.app_name, "app_name"),
        codec.identifier(session.user_id, "user_id"),
        codec.identifier(session.id, "session_id"),
    )


def _key_within(session: SessionRecord, app_name: str | AnyOf | None, user_id: str | AnyOf | None) -> SessionKey:
    key = key_of(session)
    if app_name not in (None, ANY, key.app_name) or user_id not in (None, ANY, key.user_id):
        raise InvalidInputError(f"{key} belongs to another app or user than the call names")
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
