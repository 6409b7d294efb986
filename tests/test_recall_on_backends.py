"""Recall has the same answers on a file with an index, on one without, and on the servers."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from backends import SERVERS, empty_store
from benchmarks import corpus, memory_questions
from benchmarks.recalling import fill
from test_server_search import NOON, questions, said

from session_sqlite import ANY, SQLAlchemySessionService, SQLiteSessionService
from session_sqlite.service import SessionService

OTHERS = ["file without an index", *sorted(SERVERS)]
Answer = list[tuple[tuple[str, str, int], float]]


def written(service: SessionService) -> SessionService:
    """Writes two conversations with their times, events of every kind of text, and what is said at work."""
    for language, conversation in memory_questions.conversations().items():
        with_user = service.scope(user_id=language)
        fill(with_user, conversation, times=True)  # type: ignore[arg-type]  # any service will do
    for number, events in enumerate(said()):
        service.create_session(session_id=f"s{number}").add_events(events)
    generator = corpus.Generator()
    for number in range(8):
        session = service.create_session(session_id=f"work-{number}", user_id="worker")
        session.add_events(list(generator.events(40, "zh" if number % 2 else "en")))
        if number == 3:
            session.fork(at=20, session_id="fork")
    return service


@functools.cache
def asked() -> list[tuple[str, dict[str, Any]]]:
    """Some hundred questions with their filters."""
    chance = random.Random(11)
    generator = corpus.Generator()
    everywhere = {"user_id": ANY}
    found: list[tuple[str, dict[str, Any]]] = []
    for language, conversation in memory_questions.conversations().items():
        for question, _ in conversation.questions:
            found += [(question, {"user_id": language}), (question, everywhere)]
    found += [(query, {}) for query in questions()[::3]]
    for number in range(120):
        text = generator.english(chance.randint(2, 8)) if number % 2 else generator.chinese(chance.randint(2, 8))
        filters: list[dict[str, Any]] = [
            everywhere, {"user_id": "worker"}, {"user_id": "worker", "author": "assistant"},
            {"user_id": "worker", "session": "work-2"}, {"user_id": "worker", "exclude_session": "work-3"},
            {**everywhere, "since": NOON}, {**everywhere, "limit": 40},
        ]  # fmt: skip
        found.append((text, chance.choice(filters)))
    return found


def answers(service: SessionService) -> list[Answer]:
    return [
        [((hit.session.user_id, hit.session.id, hit.event.seq), hit.score) for hit in service.recall(text, **filters)]
        for text, filters in asked()
    ]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    path = tmp_path_factory.mktemp("indexed") / "sessions.db"
    with SQLiteSessionService(path, durability="fast") as service:
        return answers(written(service))


@pytest.fixture(scope="module", params=OTHERS)
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionService]:
    with ExitStack() as stack:
        if request.param in SERVERS:
            service: SessionService = stack.enter_context(SQLAlchemySessionService(empty_store(request.param)))
        else:
            path = tmp_path_factory.mktemp("scanned") / "sessions.db"
            service = stack.enter_context(SQLiteSessionService(path, search=False, durability="fast"))
        yield written(service)


def test_the_first_answers_are_the_same_on_every_backend(other: SessionService, expected: list[Answer]) -> None:
    assert len(expected) > 250
    assert sum(map(bool, expected)) > 200
    same = 0
    for (question, _), here, there in zip(asked(), answers(other), expected, strict=True):
        assert len(here) == len(there), question
        scores = [score for _, score in here] == pytest.approx([score for _, score in there], rel=0.01)
        same += scores and [place for place, _ in here] == [place for place, _ in there]
    assert same >= 0.99 * len(expected)  # to SQLite a text with a NUL is shorter, so that it scores a little higher


def test_what_is_not_indexed_yet_is_recalled_all_the_same(tmp_path: Path, expected: list[Answer]) -> None:
    """A reader that cannot write scans what no index has."""
    path = tmp_path / "sessions.db"
    with SQLiteSessionService(path, durability="fast") as service:
        written(service)
    with SQLiteSessionService(path, read_only=True) as reader:
        assert answers(reader) == expected
