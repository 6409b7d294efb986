"""Searching and recalling without an index: every event in the scope is read and tested."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Found, Request, Row, Term
from session_sqlite.models import Event
from session_sqlite.search.indexing import index_columns
from session_sqlite.search.matching import score
from session_sqlite.search.narrowing import present
from session_sqlite.where import Where, with_ids

EVENTS_AT_ONCE: Final = 1000


def scan(database: Database, request: Request, after_row: int = 0) -> Iterator[Found]:
    """Yields what a search finds by reading every event in its scope, the last appended first.

    Row ids are read and sorted first, and the events by id: sorting whole events would carry all of their text along.
    """
    tenant = of_tenant(request)
    # A part of the file is read by its place in the file, all of it by the index on its owner.
    where = Where((queries.ROW_AFTER,), {"after_row": after_row}) if after_row else tenant
    where = where.also(queries.ROW_UP_TO, until_row=request.until_row)
    named = database.read(where.statement(queries.EVENT_ROWS), where.params, lambda row: int(row[0]))
    rows = sorted((row for row in named if row not in request.seen), reverse=True)
    wanted = tenant & Where(request.clauses, request.params)
    events = wanted.also(queries.ROWS).statement(queries.EVENTS_WITH_SESSIONS, queries.NEWEST_ROWS_FIRST)
    for begin in range(0, len(rows), EVENTS_AT_ONCE):
        sql, ids = with_ids(events, rows[begin : begin + EVENTS_AT_ONCE])
        for row in database.read(sql, {**wanted.params, **ids}, tuple):
            found = Found.from_row(row, 0.0)
            if fits := score(found.event, request):
                yield replace(found, score=fits)


def in_order(found: Iterable[Found], request: Request, limit: int) -> list[Found]:
    """Returns the first of what was found (the last appended first), in the request's order."""
    if request.newest_first:
        return list(islice(found, limit))
    return heapq.nlargest(limit, found, key=lambda hit: hit.score)


def of_tenant(request: Request) -> Where:
    """Returns the conditions on events for a search's app, user and session."""
    where = Where(params=request.params)
    for condition, name in (
        (queries.EVENT_OF_APP, request.app_name),
        (queries.EVENT_OF_USER, request.user_id),
        (queries.EVENT_IN_SESSION, request.session_id),
    ):
        if name is not None:
            where = where.also(condition)
    return where


def titled(database: Database, term: Term, where: Where) -> frozenset[SessionKey]:
    """Returns the sessions that have a term in their titles: all titles are read, and nothing else."""
    word = max(term.words, key=len)

    def test(row: Row) -> SessionKey | None:
        title = row[3]
        if not isinstance(title, str) or (title.isascii() and word not in title.lower()):
            return None
        return SessionKey(*row[:3]) if present([title], (term,)) else None

    found = database.read(where.statement(queries.TITLES), where.params, test)
    return frozenset(key for key in found if key is not None)


class ScannedPostings:
    """The postings of a request's terms, from reading events; see `Postings`."""

    def __init__(self, database: Database, request: Request, rows: Sequence[int]) -> None:
        self.events = len(rows)
        self._counts = dict.fromkeys(request.terms, 0)
        self._rows: dict[Term, list[int]] = {term: [] for term in request.terms}
        scope = [(_COLUMN[name], value) for name, value in (
            ("app_name", request.app_name), ("user_id", request.user_id), ("session_id", request.session_id),
        ) if value is not None]  # fmt: skip
        events = Where((queries.ROWS,)).statement(queries.EVENTS_WITH_ROW_ID, queries.NEWEST_ROWS_FIRST)
        newest = sorted(rows, reverse=True)
        for begin in range(0, len(newest), EVENTS_AT_ONCE):
            sql, ids = with_ids(events, newest[begin : begin + EVENTS_AT_ONCE])
            for row in database.read(sql, ids, tuple):
                is_own = all(row[column] == value for column, value in scope)
                for term in terms_in(codec.decode_event(row[1:]), request.terms):
                    self._counts[term] += 1
                    if is_own:
                        self._rows[term].append(row[0])

    @classmethod
    def of_all(cls, database: Database, request: Request, after_row: int = 0) -> ScannedPostings:
        """Returns the postings from reading all events of the store, or those after a row."""
        where = Where((queries.ROW_AFTER,), {"after_row": after_row})
        return cls(database, request, database.read(where.statement(queries.EVENT_ROWS), where.params, _row_id))

    def count(self, term: Term) -> int:
        """See `Postings.count`."""
        return self._counts[term]

    def rows(self, term: Term, among: Sequence[Term], most: int) -> list[int]:
        """See `Postings.rows`."""
        wanted = {row for one in among for row in self._rows[one]}
        return list(islice((row for row in self._rows[term] if not among or row in wanted), most))


_COLUMN: Final = {name: 1 + place for place, name in enumerate(codec.EVENT_COLUMNS)}


def _row_id(row: Row) -> int:
    return int(row[0])


def terms_in(event: Event, terms: Sequence[Term]) -> list[Term]:
    """Returns the terms whose words stand side by side in the texts of an event; it may be where two texts meet."""
    said = f" {' '.join(index_columns(event).values())} "
    return [term for term in terms if f" {' '.join(term.words)}{'' if term.prefix else ' '}" in said]
