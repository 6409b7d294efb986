"""Recalling: the events that bear on a question, the best first.

The postings say which events have the question's terms. The most promising of these are read, without their whole
texts, and scored together with the events beside them (see `search.recall`); the best are then read whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from session_sqlite import codec, queries
from session_sqlite.database import Database, Found, Request, Row
from session_sqlite.search import ScannedPostings, of_tenant, recall
from session_sqlite.search.dates import Days, Period
from session_sqlite.search.recall import Gathered, Place, Scores
from session_sqlite.where import Where, with_ids

READ_AT_ONCE: Final = 200
MOST_UNKNOWN: Final = 60  # events beside the hits, of the best by what is known of them

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
    places = _places(database, gathered.best_first(), tenant, period, max(recall.MOST_PLACES, 2 * limit))
    scores = recall.scored(places, gathered)
    places += _beside(database, places, scores, max(MOST_UNKNOWN, 3 * limit))
    parts_of = ((place, scores.parts_of(place, period)) for place in places)
    ranked = [(sum(parts.values()), place, parts) for place, parts in parts_of if parts]
    ranked.sort(key=lambda one: (-one[0], -one[1].row_id))
    answers: dict[tuple[str, ...], Recalled] = {}
    for found, parts in _read(database, request, others, ranked):
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


def _places(database: Database, rows: Sequence[int], where: Where, period: Period | None, most: int) -> list[Place]:
    """Returns the places of the first rows that meet the conditions, and of the first in the period."""
    places = list(_first(database, rows, where, most))
    for days in () if period is None else period.days:
        known = {place.row_id for place in places}
        places += _first(database, [row for row in rows if row not in known], where & _in(days), most // 2)
    return places


def _in(days: Days) -> Where:
    if days.any_year:
        return Where((queries.EVENT_IN_ANY_YEAR,), {"days": f"____{days.any_year}%"})
    return Where((queries.EVENT_IN_DAYS,), {"first_day": days.since, "day_after": days.until})


def _first(database: Database, rows: Sequence[int], where: Where, most: int) -> Iterator[Place]:
    statement = where.also(queries.ROWS).statement(queries.PLACES)
    count = 0
    for begin in range(0, len(rows), READ_AT_ONCE):
        sql, ids = with_ids(statement, rows[begin : begin + READ_AT_ONCE])
        read = {place.row_id: place for place in database.read(sql, {**where.params, **ids}, _place) if place}
        for row in rows[begin : begin + READ_AT_ONCE]:
            if row in read:
                yield read[row]
                count += 1
                if count == most:
                    return


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
    database: Database, request: Request, others: Where, ranked: Sequence[tuple[float, Place, dict[str, float]]]
) -> Iterator[Recalled]:
    """Yields those events that meet all conditions, in order, with their scores."""
    wanted = of_tenant(request) & Where(request.clauses, request.params) & others
    statement = wanted.also(queries.ROWS).statement(queries.EVENTS_WITH_SESSIONS)
    at_once = 20
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
