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
from session_sqlite.search import recall
from session_sqlite.search.dates import without_dates
from session_sqlite.sqlite import search_index
from session_sqlite.testing.recall import texts

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)


SPANS = {
    "last month": ("2026-05-01", "2026-06-01"), "two months ago": ("2026-04-01", "2026-05-01"),
    "last year": ("2025-01-01", "2026-01-01"), "3 years ago": ("2023-01-01", "2024-01-01"),
    "上个月": ("2026-05-01", "2026-06-01"), "去年": ("2025-01-01", "2026-01-01"),
    "十天前": ("2026-05-24", "2026-05-25"), "十二天前": ("2026-05-22", "2026-05-23"),
    "二十天前": ("2026-05-14", "2026-05-15"), "in 2024": ("2024-01-01", "2025-01-01"),
    "in March 2024": ("2024-03-01", "2024-04-01"), "2026年12月31日": ("2026-12-31", "2027-01-01"),
}  # fmt: skip


@pytest.mark.parametrize("phrase", SPANS)
def test_a_question_names_a_span_of_days(phrase: str) -> None:
    rest, period = without_dates(phrase, "2026-06-03")
    assert (rest.strip(), period and [day[:2] for day in period.days]) == ("", [SPANS[phrase]])


@pytest.mark.parametrize(
    "phrase", ["2026-02-30", "May 45", "9999 years ago", "900000 days ago", "9999-12-31", "一二天前"]
)
def test_what_is_no_day_is_left_in_the_question(phrase: str) -> None:
    assert without_dates(phrase, "2026-06-03") == (phrase.lower(), None)


@pytest.mark.parametrize("phrase", ["every Monday", "next Friday", "每周一", "一周三次", "下周二", "两周"])
def test_a_weekday_of_every_week_or_of_the_next_names_no_time(phrase: str) -> None:
    assert without_dates(phrase, "2026-06-03")[1] is None


def test_our_own_questions_find_what_answers_them_where_plain_full_text_search_does_not() -> None:
    for conversation in memory_questions.conversations().values():
        ours = quality([conversation], partial(by_recall, times=False))
        floor = quality([conversation], by_fts5)
        assert ours.recall >= 0.85
        assert ours.recall >= floor.recall + 0.2
        assert ours.mrr >= 1.3 * floor.mrr


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
