"""Searching without an index: every event in a search's scope is read and tested."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from session_sqlite import queries
from session_sqlite.database import Database, Found, Request
from session_sqlite.search.matching import score
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
