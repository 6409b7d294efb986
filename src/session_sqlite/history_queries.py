"""What can be asked of a history: search in every language, and (for the file's owner) any SQL.

The part of `SessionService` that reads across sessions and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from session_sqlite import codec, queries
from session_sqlite.database import Database, Found, Params
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import ANY, AnyOf, Page, SearchHit, Session
from session_sqlite.scoped import ScopedService, as_is
from session_sqlite.search import FIELDS, Request, parse, score, snippet

DEFAULT_SEARCH_LIMIT: Final = 20
CHUNK_EVENTS: Final = 1000


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
    ) -> Page[SearchHit]:
        """Finds events by their words, in any language; sees every event whose append has returned.

        All terms must be in the event. Case, width and the accents of Latin letters make no difference. A ``"quoted
        phrase"`` must stand as it is, ``word*`` finds words that begin so; a Chinese, Japanese or Korean term is
        found inside longer text. Any other punctuation only separates words; a query without words finds nothing.

        Args:
            query: What a person types.
            session: Only in this session.
            author: Only by this author.
            fields: Where to look: some of ``"content"``, ``"reasoning"``, ``"tools"`` (names, arguments and outputs
                of tool calls).
            since: Only from this time on (inclusive).
            until: Only before this time (exclusive).
            limit: At most so many hits.
            cursor: The ``next_cursor`` of the page before, of the same search.
            newest_first: The latest appended first; otherwise the best first.
            app_name: The app, if not the service's; `ANY` for all.
            user_id: The user, if not the service's; `ANY` for all.

        Raises:
            SessionNotFoundError: ``session`` does not exist.
        """
        text = codec.text(query, "query")
        limit = codec.whole_number(limit, "limit")
        request = self._search_request(text, session, author, fields, since, until, newest_first, app_name, user_id)
        scope = ("search", text, *map(repr, (request.app_name, request.user_id, request.session_id, request.fields)),
                 *map(repr, (sorted(request.params.items()), request.newest_first)))  # fmt: skip
        offset = 0 if cursor is None else codec.decode_cursor(cursor, scope, [int])[0]
        if session is not None:
            self._require(self._key_to_read(session))
        if not request.terms or limit == 0:
            self._database.read(queries.NOTHING, {}, as_is)  # a closed store is an error, whatever is asked
            return Page()
        index = self._database.index
        if index is not None:
            found = index.find(request, limit + 1, offset)
        else:
            every = list(scan(self._database, request))
            every.sort(key=lambda one: one.row_id if newest_first else one.score, reverse=True)
            found = every[offset : offset + limit + 1]
        hits = [self._hit(one, request) for one in found[:limit]]
        return Page(hits, codec.encode_cursor(scope, [offset + limit]) if len(found) > limit else None)

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
            newest_first=bool(newest_first),
        )

    def _hit(self, found: Found, request: Request) -> SearchHit:
        text, spans = snippet(found.event, request)
        return SearchHit(found.event, self._session(found.session_row), text, spans, found.score)


def scan(
    database: Database, request: Request, clause: str | None = None, params: Params | None = None
) -> Iterator[Found]:
    """What a search finds by reading every event in its scope, the last appended first."""
    clauses = [*tenant_clauses(request), *request.clauses]
    bound = {**request.params, **(params or {}), "limit": CHUNK_EVENTS}
    if clause is not None:
        clauses.append(clause)
    while True:
        rows = database.read(
            queries.joined(queries.EVENTS_WITH_SESSIONS, clauses, queries.LAST_ROWS_FIRST), bound, as_is
        )
        for row in rows:
            found = Found.from_row(row, 0.0)
            if fits := score(found.event, request):
                yield replace(found, score=fits)
        if len(rows) < CHUNK_EVENTS:
            return
        if queries.ROW_BEFORE not in clauses:
            clauses.append(queries.ROW_BEFORE)
        bound["before_row"] = rows[-1][0]


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


def _fields(fields: object) -> tuple[str, ...]:
    names = [fields] if isinstance(fields, str) else list(fields) if isinstance(fields, Iterable) else []
    if not names or not all(name in FIELDS for name in names):
        raise InvalidInputError(f"fields must be some of {', '.join(FIELDS)}")
    return tuple(name for name in FIELDS if name in names)
