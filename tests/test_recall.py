# Chinese punctuation
"""Recall of a file: how well it answers our own questions, and what it reads to do so."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from benchmarks import memory_questions
from benchmarks.recalling import by_fts5, by_recall, quality

from session_sqlite import (
    ANY,
    Event,
    SQLiteSessionService,
)
from session_sqlite.database import Term
from session_sqlite.search import recall
from session_sqlite.sqlite import search_index
from session_sqlite.testing.recall import texts

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)


def test_our_own_questions_find_what_answers_them_where_plain_full_text_search_does_not() -> None:
    for conversation in memory_questions.conversations().values():
        ours = quality([conversation], partial(by_recall, times=False))
        floor = quality([conversation], by_fts5)
        assert ours.recall >= 0.85
        assert ours.recall >= floor.recall + 0.2
        assert ours.mrr >= 1.3 * floor.mrr


def test_words_that_many_events_have_tell_among_those_that_have_the_rare_ones(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "MOST_ROWS", 12)
    with SQLiteSessionService(path) as service:
        session = service.create_session()
        session.add_events([Event("user", f"house number {number}") for number in range(10)])
        session.add_events([Event("user", f"roof of house {number}") for number in range(20, 26)])
        session.add_events([Event("user", f"nothing {number}") for number in range(100)])
        best, *_ = service.recall("Which roof has house 23?")
        assert best.event.content == "roof of house 23"
        assert {hit.event.content.split()[0] for hit in service.recall("roof house", limit=6)} == {"roof"}


def test_other_forms_of_a_word_begin_with_its_stem() -> None:
    forms = {
        "talk": "talk talks talked talking", "runn": "running", "stop": "stop stopped stopping",
        "cook": "cooked cooking",
        "movi": "movie movies", "wish": "wishes wished", "fall": "fall falls falling", "miss": "miss missed",
        "use": "use",
        "used": "used", "sing": "sing", "seed": "seed seeds", "bees": "bees", "dres": "dres",
    }  # fmt: skip
    for stemmed, words in forms.items():
        assert {recall.stem(word) for word in words.split()} == {stemmed}, words


def test_of_events_that_weigh_the_same_the_latest_come_first() -> None:
    tea, pot = Term(("tea",), prefix=False), Term(("pot",), prefix=False)
    gathered = recall.Gathered({tea: 1.0, pot: 2.0}, {tea: frozenset({3, 9, 5}), pot: frozenset({4, 5, 8})})
    assert [*gathered.best_first()] == [5, 8, 4, 9, 3]


def statements_of(service: SQLiteSessionService, question: str, **filters: Any) -> list[tuple[str, Any, int]]:
    """The statements of a recall, with their parameters and how many rows they read."""
    found: list[tuple[str, Any, int]] = []
    read = service._database.read

    def noted(sql: str, params: Any, make: Any) -> Any:
        rows = read(sql, params, make)
        found.append((sql, params, len(rows)))
        return rows

    service._database.read = noted  # type: ignore[method-assign]
    try:
        assert service.recall(question, **filters)
    finally:
        service._database.read = read  # type: ignore[method-assign]
    return found


@pytest.mark.parametrize("user_id", ["user", ANY])
def test_the_events_that_are_read_do_not_grow_with_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user_id: Any
) -> None:
    monkeypatch.setattr(search_index, "CATCH_UP_PATIENCE", 30)  # events that are not indexed yet are read
    with SQLiteSessionService(tmp_path / "long.db", user_id="user", durability="fast") as service:
        for number in range(4):
            session = service.create_session(session_id=f"s{number}")
            session.add_events([Event("user", f"the {'blue ' * (n % 3)}teapot number {n}") for n in range(1_500)])
        service.create_session(user_id="another").add_event("user", "the teapot")
        service.search("teapot")
        statements = statements_of(service, "the blue teapot", user_id=user_id)
        assert 10 < sum(rows for sql, _, rows in statements if "content" in sql and "search_index" not in sql) < 500
        assert max(rows for _, _, rows in statements) <= 5_000


def test_a_recall_looks_its_events_up_and_reads_no_table(tmp_path: Path) -> None:
    with SQLiteSessionService(tmp_path / "plans.db", user_id="user") as service:
        session = service.create_session()
        session.add_events([Event("user", f"the teapot {n}") for n in range(50)])
        service.search("teapot")
        statements = statements_of(service, "the teapot on May 3rd", exclude_session="another", author="user")
        with closing(sqlite3.connect(tmp_path / "plans.db")) as connection:
            for sql, params, _ in statements:
                bound = {name: value for name, value in params.items() if f":{name}" in sql}
                plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", bound)]
                assert not [line for line in plan if line.startswith("SCAN events")], sql
                assert not [line for line in plan if "events_in_order (app_name=? AND user_id=?)" in line], sql
        assert any("substr" in sql for sql, _, _ in statements)


@pytest.mark.parametrize("scope", [{"app_name": "small", "user_id": ANY}, {"app_name": ANY, "user_id": "small"}])
def test_many_events_of_others_hide_none(tmp_path: Path, scope: dict[str, Any]) -> None:
    with SQLiteSessionService(tmp_path / "many.db", durability="fast") as service:
        mine = service.create_session(app_name="small", user_id="small")
        mine.add_event("user", "the teapot is mine")
        theirs = service.create_session(app_name="large", user_id="large")
        theirs.add_events([Event("user", "the teapot") for _ in range(recall.MOST_ROWS + 500)])
        service.search("teapot", user_id=ANY, app_name=ANY)
        assert texts(service.recall("teapot", **scope)) == ["the teapot is mine"]
        assert texts(service.recall("teapot", app_name="small", user_id="small")) == ["the teapot is mine"]
