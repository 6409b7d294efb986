"""Recalling: the events that bear on a question, the best first.

The postings say which events have the question's terms. The most promising of these are read, without their whole
texts, and scored together with the events beside them (see `search.recall`); the best are then read whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from session_sqlite import codec, queries
from session_sqlite.database import Database, Found, Request, Row
from session_sqlite.search import ScannedPostings, of_tenant, recall
from session_sqlite.search.dates import Days, Period
from session_sqlite.search.recall import Gathered, Place, Question, Scores
from session_sqlite.where import Where, with_ids

READ_AT_ONCE: Final = 200
TIMES_AT_ONCE: Final = 4_000  # events whose times are compared together
MOST_UNKNOWN: Final = 30  # events beside the hits, of the best by what is known of them

Recalled = tuple[Found, dict[str, float]]


def find(database: Database, request: Request, others: Where, question: Question, limit: int) -> list[Recalled]:
    """Returns the first answers to a question, each with the parts of its score.

    Args:
        database: The store.
        request: The terms, the scope, and the conditions on an answer.
        others: The condition that leaves out a session.
        question: The question, for the time that it names.
        limit: How many at most.
    """
    period = question.period
    if period is None:
        return _by_terms(database, request, others, period, limit)
    if question.is_of_time_alone and (of_time := _of_time(database, request, others, period, limit)):
        return of_time
    found = _by_terms(database, request, others, period, limit) if request.terms else []
    if question.is_of_time_alone or any("time" in parts for _, parts in found):
        return found
    return _distinct([*found, *_of_time(database, request, others, period, limit - len(found))], limit)


def _of_time(database: Database, request: Request, others: Where, period: Period, limit: int) -> list[Recalled]:
    """Returns the latest events of a period, those of users first, whatever was said."""
    wanted = of_tenant(request) & Where(request.clauses, request.params) & others
    where = wanted.also(queries.NAMED_ROWS_BETWEEN).also(queries.SAID_SOMETHING)
    ranked: list[tuple[float, int]] = []
    for days in period.days:
        by_user: list[int] = []
        by_others: list[int] = []
        statement = (where & _in(days)).statement(queries.AUTHORS_OF_ROWS, queries.NEWEST_ROWS_FIRST)
        until_row = database.read(queries.NEWEST_ROW, {}, tuple)[0][0]
        while until_row > 0 and len(by_user) < limit:
            after_row = max(until_row - TIMES_AT_ONCE, 0)
            params = {**where.params, **_in(days).params, "after_row": after_row, "until_row": until_row}
            rows = database.read(statement, params, tuple)
            if not rows and (by_user or by_others):
                break
            for row_id, author in rows:
                (by_user if author == "user" else by_others).append(row_id)
            until_row = after_row
        ranked += [(recall.OF_THE_PERIOD_ALONE, row) for row in by_user[:limit]]
        ranked += [(recall.OF_THE_PERIOD_ALONE / 2, row) for row in by_others[:limit]]
    ranked.sort(reverse=True)
    statement = wanted.also(queries.NAMED_ROWS).statement(queries.NAMED_EVENTS_WITH_SESSIONS)
    found: list[Recalled] = []
    for begin in range(0, len(ranked), READ_AT_ONCE):
        scores = {row: score for score, row in ranked[begin : begin + READ_AT_ONCE]}
        sql, ids = with_ids(statement, list(scores))
        read = database.read(sql, {**wanted.params, **ids}, lambda row: Found.from_row(row, 0.0))
        by_row = {one.row_id: one for one in read}
        found += [
            (replace(by_row[row], score=score), {"time": score}) for row, score in scores.items() if row in by_row
        ]
    return _distinct(found, limit)


def _by_terms(database: Database, request: Request, others: Where, period: Period | None, limit: int) -> list[Recalled]:
    gathered = _gathered(database, request)
    tenant = of_tenant(request) & others
    places = _places(database, gathered, tenant, period, max(recall.MOST_PLACES, 2 * limit))
    scores = recall.scored(places, gathered)
    places += _beside(database, places, scores, max(MOST_UNKNOWN, 3 * limit))
    parts_of = ((place, scores.parts_of(place, period)) for place in places)
    ranked = [(sum(parts.values()), place, parts) for place, parts in parts_of if parts]
    ranked.sort(key=lambda one: (-one[0], -one[1].row_id))
    return _distinct(_read(database, request, others, ranked, limit), limit)


def _distinct(recalled: Iterable[Recalled], limit: int) -> list[Recalled]:
    """Returns the first answers, each event once: a fork has copies of events under their ids."""
    answers: dict[tuple[str, ...], Recalled] = {}
    for found, parts in recalled:
        event = found.event
        key_of_event = (found.session_row[1], found.session_row[2], event.copied_from or event.session_id, event.id)
        answers.setdefault(key_of_event, (found, parts))
        if len(answers) >= limit:
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
