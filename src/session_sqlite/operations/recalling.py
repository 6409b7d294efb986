"""Recalling: the events that bear on a question, the best first.

The postings say which events have the question's terms. The most promising of these are read, without their whole
texts, and scored together with the events beside them (see `search.recall`); the best are then read whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from session_sqlite import codec, queries
from session_sqlite.database import Database, Found, Request, Row
from session_sqlite.search import ScannedPostings, of_tenant, recall
from session_sqlite.search.dates import Days, Period
from session_sqlite.search.recall import Gathered, Place, Scores
from session_sqlite.where import Where, with_ids

READ_AT_ONCE: Final = 200
MOST_UNKNOWN: Final = 30  # events beside the hits, of the best by what is known of them

Recalled = tuple[Found, dict[str, float]]


def find(database: Database, request: Request, others: Where, period: Period | None, limit: int) -> list[Recalled]:
    """Returns the first answers to a question, each with the parts of its score.

    Args:
        database: The store.
        request: The terms, the scope, and the conditions on an answer.
        others: The condition that leaves out a session.
        period: The time that the question names.
        limit: How many at most.
    """
    gathered = _gathered(database, request)
    tenant = of_tenant(request) & others
    places = _places(database, gathered, tenant, period, max(recall.MOST_PLACES, 2 * limit))
    scores = recall.scored(places, gathered)
    places += _beside(database, places, scores, max(MOST_UNKNOWN, 3 * limit))
    parts_of = ((place, scores.parts_of(place, period)) for place in places)
    ranked = [(sum(parts.values()), place, parts) for place, parts in parts_of if parts]
    ranked.sort(key=lambda one: (-one[0], -one[1].row_id))
    answers: dict[tuple[str, ...], Recalled] = {}
    for found, parts in _read(database, request, others, ranked, limit):
        # A fork has copies of events under their ids: each is one answer.
        event = found.event
        key_of_event = (found.session_row[1], found.session_row[2], event.copied_from or event.session_id, event.id)
        answers.setdefault(key_of_event, (found, parts))
        if len(answers) == limit:
            break
    return list(answers.values())


def _gathered(database: Database, request: Request) -> Gathered:
    if database.index is None:
        return recall.gather(request.terms, ScannedPostings.of_all(database, request))
    return database.index.with_postings(request, lambda postings: recall.gather(request.terms, postings))


def _places(database: Database, gathered: Gathered, where: Where, period: Period | None, most: int) -> list[Place]:
    """Returns the places of the first events that meet the conditions, and of the first in the period."""
    places = list(_first(database, gathered.best_first(), where, most))
    for days in () if period is None else period.days:
        known = {place.row_id for place in places}
        others = (row for row in gathered.best_first() if row not in known)
        places += _first(database, others, where & _in(days), most // 2)
    return places


def _in(days: Days) -> Where:
    if days.any_year:
        return Where((queries.EVENT_IN_ANY_YEAR,), {"days": f"____{days.any_year}%"})
    return Where((queries.EVENT_IN_DAYS,), {"first_day": days.since, "day_after": days.until})


def _first(database: Database, rows: Iterator[int], where: Where, most: int) -> Iterator[Place]:
    statement = where.also(queries.NAMED_ROWS).statement(queries.PLACES)
    left = most
    while left > 0 and (some := list(islice(rows, min(left, READ_AT_ONCE)))):
        sql, ids = with_ids(statement, some)
        read = {place.row_id: place for place in database.read(sql, {**where.params, **ids}, _place) if place}
        yield from (read[row] for row in some if row in read)
        left -= len(read)


def _beside(database: Database, places: Sequence[Place], scores: Scores, most: int) -> list[Place]:
    """Returns the places of the best that are not known yet, by reading what is beside the known ones."""
    rows = {scores.key(place.session, place.seq): place.row_id for place in places}
    wanted = {key for key in scores.best(most) if key not in rows}
    steps = sorted(recall.BESIDE, key=abs)
    hits = sorted({next(rows[key + step] for step in steps if key + step in rows) for key in wanted})
    found: dict[int, Place] = {}
    for begin in range(0, len(hits), READ_AT_ONCE):
        sql, ids = with_ids(Where((queries.ROWS,)).statement(queries.PLACES_BESIDE), hits[begin : begin + READ_AT_ONCE])
        for place in database.read(sql, {**ids, "reach": recall.REACH}, _place):
            if place and (key := scores.key(place.session, place.seq)) in wanted:
                found[key] = place
    return list(found.values())


def _place(row: Row) -> Place | None:
    """Returns what a row of `queries.PLACES` holds; None if it is too damaged to have a place."""
    row_id, app, user, session, seq, time, *texts = row
    if not codec.is_seq(seq) or type(time) is not str:
        return None
    length = sum(map(len, texts))
    content = texts[0]
    return Place(row_id, (app, user, session), seq, time, length, type(content) is str and recall.asks(content))


def _read(
    database: Database,
    request: Request,
    others: Where,
    ranked: Sequence[tuple[float, Place, dict[str, float]]],
    limit: int,
) -> Iterator[Recalled]:
    """Yields those events that meet all conditions, in order, with their scores."""
    wanted = of_tenant(request) & Where(request.clauses, request.params) & others
    statement = wanted.also(queries.NAMED_ROWS).statement(queries.NAMED_EVENTS_WITH_SESSIONS)
    at_once = max(1, min(limit, READ_AT_ONCE))
    begin = 0
    while begin < len(ranked):
        chunk = ranked[begin : begin + at_once]
        sql, ids = with_ids(statement, [place.row_id for _, place, _ in chunk])
        read = {
            found.row_id: found
            for found in database.read(sql, {**wanted.params, **ids}, lambda row: Found.from_row(row, 0.0))
        }
        for score, place, parts in chunk:
            if place.row_id in read:
                yield replace(read[place.row_id], score=score), parts
        begin += at_once
        at_once = READ_AT_ONCE
