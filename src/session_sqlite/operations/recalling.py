"""Recalling: the events that bear on a question, the best first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from session_sqlite import queries
from session_sqlite.database import Database, Found, Request
from session_sqlite.search import of_tenant
from session_sqlite.search.matching import field_texts
from session_sqlite.search.recall import Place, ranked, weight
from session_sqlite.search.words import words
from session_sqlite.where import Where, with_ids

READ_AT_ONCE: Final = 400

Recalled = tuple[Found, Mapping[str, float]]


def recall(database: Database, request: Request, limit: int) -> list[Recalled]:
    """Returns the first answers to a question, each with the parts of its score."""
    rows = database.read(queries.EVENT_ROWS, {}, lambda row: int(row[0]))
    tenant = of_tenant(request)
    wanted = tenant & Where(request.clauses, request.params)
    fitting = set(database.read(wanted.statement(queries.EVENT_ROWS), wanted.params, lambda row: int(row[0])))
    stems = [term.words[0] for term in request.terms]
    held: dict[int, tuple[Found, set[str], int]] = {}
    frequency = dict.fromkeys(stems, 0)
    for begin in range(0, len(rows), READ_AT_ONCE):
        sql, ids = with_ids(Where((queries.ROWS,)).statement(queries.EVENTS_WITH_SESSIONS), rows[begin:][:READ_AT_ONCE])
        for row in database.read(sql, ids, tuple):
            found = Found.from_row(row, 0.0)
            text = " ".join(field_texts(found.event).values())
            said = f" {' '.join(words(text))}"
            having = {stem for stem, term in zip(stems, request.terms, strict=True)
                      if f" {stem}" in said and (term.prefix or f" {stem} " in f"{said} ")}  # fmt: skip
            for stem in having:
                frequency[stem] += 1
            if found.row_id in fitting:
                held[found.row_id] = (found, having, len(text))
    weights = {stem: weight(count, len(rows)) for stem, count in frequency.items()}
    places = [
        Place(
            found.row_id,
            (found.session_row[1], found.session_row[2], found.session_row[0]),
            found.event.seq,
            length,
            sum(weights[stem] for stem in having) * 2.2 / (1 + 1.2 * (0.25 + 0.75 * length / 150)),
        )
        for found, having, length in held.values()
    ]
    answers: list[Recalled] = []
    for place, parts in ranked(places):
        if not {"words", "neighbours"} & set(parts) or len(answers) == limit:
            break
        answers.append((replace(held[place.row_id][0], score=sum(parts.values())), parts))
    return answers
