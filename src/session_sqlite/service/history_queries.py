"""What can be asked of a history: search in every language, and (for the file's owner) any SQL.

The part of `SessionService` that reads across sessions and writes nothing.
"""

from __future__ import annotations

import base64
import heapq
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import accumulate, islice
from typing import Any, Final

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Found, Params, Row
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import ANY, AnyOf, SearchHit, SessionOverview
from session_sqlite.pages import Page, Rows, WhyEmpty
from session_sqlite.search import FIELDS, LAST_ROW, Request, parse, score, snippet
from session_sqlite.service.scoped import ScopedService, SessionListing, as_is
from session_sqlite.session import Session

DEFAULT_SEARCH_LIMIT: Final = 20
CHUNK_EVENTS: Final = 1000
TOOL_STATUSES: Final = ("pending", "ok", "error")
USAGE_SUMS: Final = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip
REPLY_COLUMNS: Final = (
    "app_name", "user_id", "session_id", "seq", "author", "agent_id", "asked_at", "replied_at", "seconds",
)  # fmt: skip


class HistoryQueries(ScopedService):
    """Reading across sessions."""

    def search(
        self,
        query: str,
        *,
        session: Session | str | None = None,
        author: str | None = None,
        fields: Sequence[str] = FIELDS,
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
            request = _after_page(request, codec.decode_cursor(cursor, scope, [int, str]))
        if session is not None:
            self._require(self._key_to_read(session))
        if not request.terms or limit == 0:
            self._database.read(queries.NOTHING, {}, as_is)  # a closed store is an error, whatever is asked
            return Page()
        index = self._database.index
        if index is not None:
            found = index.find(request, limit + 1)
        else:
            found = in_order(scan(self._database, request), request, limit + 1)
        page = found[:limit]
        hits = [self._hit(one, request) for one in page]
        return Page(hits, codec.encode_cursor(scope, self._position(page, request)) if len(found) > limit else None)

    def _position(self, page: Sequence[Found], request: Request) -> list[Any]:
        """Where a page ended. The newest first, that is a row. By rank it is which rows were shown.

        A score depends on what else is in the store, so it cannot tell where a page ended once something is appended.
        What is appended after the first page is not in those that follow.
        """
        if request.newest_first:
            return [page[-1].row_id - 1, ""]
        until_row = request.until_row
        if until_row == LAST_ROW:
            until_row = self._database.read(queries.NEWEST_ROW, {}, as_is)[0][0]
        return [until_row, _packed(request.seen.union(one.row_id for one in page))]

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
        listing = SessionListing(*self._scope(app_name, user_id), cursor)
        rows = listing.read(self._database, queries.OVERVIEWS, None if limit is None else limit + 1)
        page = rows if limit is None else rows[:limit]
        columns = len(codec.SESSION_COLUMNS)
        overviews = [
            SessionOverview(self._session(row[:columns]), row[-3], row[-2], codec.decode_interrupted(row[-1]))
            for row in page
        ]
        cursor = listing.cursor_after(page[-1]) if len(page) < len(rows) and page else None
        return Page(overviews, cursor, of=SessionOverview, why_empty=self._why_empty(None, app_name, user_id))

    def tool_calls(
        self,
        name: str | None = None,
        session: Session | str | None = None,
        *,
        status: str | None = None,
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
        clauses, params = self._history_clauses(session, since, until, app_name, user_id)
        if name is not None:
            clauses.append(queries.TOOL_NAME)
            params["name"] = codec.text(name, "name")
        _filter_status(status, clauses, params)
        tail = queries.TOOL_CALLS_NEWEST_FIRST if newest_first else queries.TOOL_CALLS_IN_ORDER
        if limit is not None:
            params["limit"] = codec.whole_number(limit, "limit")
            tail += queries.LIMITED
        calls = self._database.read(queries.joined(queries.TOOL_CALLS, clauses, tail), params, codec.decode_tool_call)
        return Rows(calls, codec.TOOL_CALL_COLUMNS, why_empty=self._why_empty(session, app_name, user_id))

    def tool_counts(
        self,
        *,
        session: Session | str | None = None,
        status: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> dict[str, dict[str, int]]:
        """How often each tool was called, the most used first: ``calls``, ``errors`` and ``pending`` by its name.

        Takes the filters of `tool_calls`; only the calls that they fit are counted.
        """
        clauses, params = self._history_clauses(session, since, until, app_name, user_id)
        _filter_status(status, clauses, params)
        sql = queries.joined(queries.COUNT_TOOL_CALLS, clauses, queries.BY_TOOLS)
        return {
            name: {"calls": calls, "errors": errors, "pending": pending}
            for name, calls, errors, pending in self._database.read(sql, params, as_is)
        }

    def last_seqs(
        self, *, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None
    ) -> dict[SessionKey, int]:
        """The ``last_seq`` of every session, by (app_name, user_id, session_id): what is appended later is above it."""
        clauses, params = self._scope_clauses(app_name, user_id)
        rows = self._database.read(queries.joined(queries.LAST_SEQS, clauses), params, as_is)
        return {SessionKey(*row[:3]): row[3] for row in rows}

    def usage(
        self,
        by: str | Sequence[str] = ("day", "model"),
        *,
        session: Session | str | None = None,
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
        groups = _groups(by, queries.USAGE_GROUPS)
        clauses, params = self._history_clauses(session, since, until, app_name, user_id)
        why_empty = self._why_empty(session, app_name, user_id)
        return self._records(queries.usage_by(groups, clauses), params, (*groups, "replies", *USAGE_SUMS), why_empty)

    def activity(
        self,
        by: str | Sequence[str] = ("day", "author"),
        *,
        session: Session | str | None = None,
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
        groups = _groups(by, queries.ACTIVITY_GROUPS)
        clauses, params = self._history_clauses(session, since, until, app_name, user_id)
        why_empty = self._why_empty(session, app_name, user_id)
        return self._records(queries.activity_by(groups, clauses), params, (*groups, "events", "sessions"), why_empty)

    def reply_times(
        self,
        *,
        session: Session | str | None = None,
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
        clauses, params = self._history_clauses(session, since, until, app_name, user_id)
        found = self._database.read(
            queries.joined(
                queries.REPLY_TIMES, [queries.IS_A_REPLY, *clauses, queries.COUNTS], queries.REPLIES_IN_ORDER
            ),
            params,
            as_is,
        )
        why_empty = self._why_empty(session, app_name, user_id)
        return Rows((record for row in found if (record := _reply(row))), REPLY_COLUMNS, why_empty=why_empty)

    def stats(self, *, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None) -> dict[str, Any]:
        """What there is, in numbers: sessions, events by author, tools, tokens, and from when to when.

        Copies are counted as in `usage`.

        Returns:
            A dict with ``sessions``, ``apps``, ``users``, ``events``, ``first_event``, ``last_event`` (datetimes, or
            None), ``authors`` (events by author), ``tools`` (by name: ``calls``, ``errors``, ``pending``; the most
            used first) and ``tokens`` (the sums of `usage`).
        """
        clauses, params = self._scope_clauses(app_name, user_id)

        def rows(sql: str, tail: str = "") -> list[Row]:
            return self._database.read(queries.joined(sql, clauses, tail), params, as_is)

        sessions, apps, users = rows(queries.COUNT_SESSIONS)[0]
        authors = rows(queries.COUNT_EVENTS, queries.BY_AUTHORS)
        return {
            "sessions": sessions,
            "apps": apps,
            "users": users,
            "events": sum(row[1] for row in authors),
            "first_event": min((when for row in authors if (when := codec.decode_time(row[2]))), default=None),
            "last_event": max((when for row in authors if (when := codec.decode_time(row[3]))), default=None),
            "authors": {row[0]: row[1] for row in authors},
            "tools": self.tool_counts(app_name=app_name, user_id=user_id),
            "tokens": self.usage((), app_name=app_name, user_id=user_id)[0],
        }

    def _records(self, sql: str, params: Params, names: Sequence[str], why_empty: WhyEmpty | None) -> Rows:
        rows = self._database.read(sql, params, lambda row: dict(zip(names, row, strict=True)))
        return Rows(rows, names, why_empty=why_empty)

    def _history_clauses(
        self,
        session: Session | str | None,
        since: datetime | None,
        until: datetime | None,
        app_name: str | AnyOf | None,
        user_id: str | AnyOf | None,
    ) -> tuple[list[str], dict[str, Any]]:
        """The conditions that all of these share. Raises `SessionNotFoundError` for a session that is not there."""
        if session is None:
            clauses, params = self._scope_clauses(app_name, user_id)
        elif app_name is not None or user_id is not None:
            raise InvalidInputError("a session belongs to one app and user: give a session or these, not both")
        else:
            key = self._key_to_read(session)
            self._require(key)
            clauses, params = [queries.OF_SESSION], key.params()
        for name, when, clause in (("since", since, queries.SINCE), ("until", until, queries.UNTIL)):
            if when is not None:
                clauses.append(clause)
                params[name] = codec.time_text(codec.utc(when, name))
        return clauses, params

    def _search_request(
        self,
        query: str,
        session: Session | str | None,
        author: str | None,
        fields: Sequence[str],
        since: datetime | None,
        until: datetime | None,
        newest_first: bool,
        app_name: str | AnyOf | None,
        user_id: str | AnyOf | None,
    ) -> Request:
        app, user = self._scope(app_name, user_id)
        params: dict[str, Any] = {}
        if session is not None:
            if app_name is not None or user_id is not None:
                raise InvalidInputError("a session belongs to one app and user: give a session or these, not both")
            params = self._key_to_read(session).params()
        else:
            if app is not ANY:
                params["app_name"] = app
            if user is not ANY:
                params["user_id"] = user
        names = _fields(fields)
        clauses: list[str] = []
        if author is not None:
            clauses.append(queries.EVENT_BY_AUTHOR)
            params["author"] = codec.identifier(author, "author")
        for name, when, clause in (("since", since, queries.EVENT_SINCE), ("until", until, queries.EVENT_UNTIL)):
            if when is not None:
                clauses.append(clause)
                params[name] = codec.time_text(codec.utc(when, name))
        return Request(
            terms=parse(query),
            fields=names,
            app_name=params.get("app_name"),
            user_id=params.get("user_id"),
            session_id=params.get("session_id"),
            clauses=tuple(clauses),
            params=params,
            newest_first=codec.flag(newest_first, "newest_first"),
        )

    def _hit(self, found: Found, request: Request) -> SearchHit[Session]:
        text, spans = snippet(found.event, request)
        return SearchHit(found.event, self._session(found.session_row), text, spans, found.score)


def scan(database: Database, request: Request, after_row: int = 0) -> Iterator[Found]:
    """What a search finds by reading every event in its scope, the last appended first.

    The rows are named before they are read: sorting events carries all of their text along.
    """
    tenant = tenant_clauses(request)
    # Of a part of the file by its place, of all of it by its owner.
    where = [queries.ROW_AFTER] if after_row else tenant
    params = {**request.params, "after_row": after_row, "until_row": request.until_row}
    statement = queries.joined(queries.EVENT_ROWS, [*where, queries.ROW_UP_TO])
    rows = [row for row in database.read(statement, params, lambda row: int(row[0])) if row not in request.seen]
    rows.sort(reverse=True)
    events = queries.joined(queries.EVENTS_WITH_SESSIONS, [queries.ROWS, *tenant, *request.clauses],
                            queries.NEWEST_ROWS_FIRST)  # fmt: skip
    for begin in range(0, len(rows), CHUNK_EVENTS):
        sql, ids = queries.with_ids(events, rows[begin : begin + CHUNK_EVENTS])
        for row in database.read(sql, {**request.params, **ids}, as_is):
            found = Found.from_row(row, 0.0)
            if fits := score(found.event, request):
                yield replace(found, score=fits)


def in_order(found: Iterable[Found], request: Request, limit: int) -> list[Found]:
    """The first of what was found (the last appended first), in the request's order."""
    if request.newest_first:
        return list(islice(found, limit))
    return heapq.nlargest(limit, found, key=lambda one: one.score)


def _packed(rows: Iterable[int]) -> str:
    """Rows as short text: the distance of each to the one before."""
    steps, before = [], 0
    for row in sorted(rows):
        steps.append(f"{row - before:x}")
        before = row
    return base64.b85encode(zlib.compress(" ".join(steps).encode())).decode()


def _after_page(request: Request, position: Sequence[Any]) -> Request:
    """The request for what follows a page; see `HistoryQueries._position`."""
    until_row, packed = position
    try:
        steps = zlib.decompress(base64.b85decode(packed)).split() if packed else []
        seen = frozenset(accumulate(int(step, 16) for step in steps))
    except (ValueError, zlib.error):
        raise InvalidInputError("the cursor is not one that this list returned") from None
    if not all(0 <= row <= LAST_ROW for row in (until_row, *seen)):
        raise InvalidInputError("the cursor is not one that this list returned")
    return replace(request, until_row=until_row, seen=seen)


def tenant_clauses(request: Request) -> list[str]:
    """The conditions on events for a search's app, user and session."""
    return [
        clause
        for clause, name in (
            (queries.EVENT_OF_APP, request.app_name),
            (queries.EVENT_OF_USER, request.user_id),
            (queries.EVENT_IN_SESSION, request.session_id),
        )
        if name is not None
    ]


def _filter_status(status: str | None, clauses: list[str], params: dict[str, Any]) -> None:
    if status is None:
        return
    if status not in TOOL_STATUSES:
        raise InvalidInputError(f"status must be one of {', '.join(TOOL_STATUSES)}")
    clauses.append(queries.TOOL_STATUS)
    params["status"] = status


def _groups(by: object, known: Iterable[str]) -> list[str]:
    groups = [by] if isinstance(by, str) else list(by) if isinstance(by, Iterable) else [by]
    if not all(isinstance(group, str) and group in known for group in groups):
        raise InvalidInputError(f"by must be some of {', '.join(known)}")
    return list(dict.fromkeys(groups))


def _reply(row: Row) -> dict[str, Any] | None:
    *about, asked_at, replied_at = row
    asked, replied = codec.decode_time(asked_at), codec.decode_time(replied_at)
    if asked is None or replied is None:
        return None
    values = (*about, asked, replied, (replied - asked).total_seconds())
    return dict(zip(REPLY_COLUMNS, values, strict=True))


def _fields(fields: object) -> tuple[str, ...]:
    names = [fields] if isinstance(fields, str) else list(fields) if isinstance(fields, Iterable) else []
    if not names or not all(name in FIELDS for name in names):
        raise InvalidInputError(f"fields must be some of {', '.join(FIELDS)}")
    return tuple(name for name in FIELDS if name in names)
