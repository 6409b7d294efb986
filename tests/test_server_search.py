# ruff: noqa: RUF001  # characters that look like others are what these tests are about
"""A search has the same answers on every backend, and they are those of the model of `test_search`."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from backends import SERVERS, empty_store
from test_search import FRAGMENTS, found, pieces, texts_of

from session_sqlite import Event, SearchHit, Session, SQLAlchemySessionService, SQLiteSessionService, ToolCall, search
from session_sqlite.service import SessionService

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ALL_OF_THEM = 10_000
LONG = "w" * 60
KINDS = ["file", "file without an index", *sorted(SERVERS)]
TEXTS = [
    "请帮我分析这段代码，谢谢",
    "代，码 is not 代码",
    "The Café said: don't use C++ or foo-bar!",
    "cafe CAFÉ Cafés coding code",
    "ภาษาไทยง่าย ไท ย",
    "👍🏽 ok👍fine 😀",
    "don’t \"quote\" 'single' a:b x/y user@example.org 3.14",
    "Łódź Øresund Straße ŒUVRE",
    "nul\0in the\0text",
    "private \ue000 use \ue000\ue001 \ue000\ue002 text",
    f"{LONG} {LONG[:-1]}x {LONG}tail",
    "한국어 가방",
    "مُحَـمَّد שָׁלוֹם Ναί ёлка",
    "the a to of 42 hi x",
    "ＦＵＬＬ ｗｉｄｔｈ ﾃｽﾄ",
    "x61 x62 xe4bba3",
    "words & bars | ! ( ) <-> :*",
    '+plus -minus ~tilde "phrase here" @4 >less',
    "tool user assistant app content",
    "zero\u200bwidth soft\u00adhyphen",
    "a_b%c under_score 100%",
    "back\\slash \\0 \\u0000",
    "line\nbreaks\tand\rtabs",
    "一二三四五六七八九十",
    "１２３ ² ½ Ⅳ",
]


@functools.cache
def said() -> list[list[Event]]:
    """The events of three sessions: each text, and mixtures of fragments of every kind."""
    chance = random.Random(7)
    events = [Event("user", text) for text in TEXTS]
    for number in range(150):
        mixed = ["".join(chance.choices(FRAGMENTS, k=chance.randint(1, 14))) for _ in range(4)]
        call = ToolCall(f"t{mixed[2]}", {mixed[3]: mixed[0]}, id=f"c{number}", output=mixed[1])
        events.append(
            Event(
                ("user", "assistant", "tool", "agent")[number % 4],
                mixed[0],
                reasoning=mixed[1] if number % 3 == 0 else "",
                actions=[call] if number % 5 == 0 else (),
            )
        )
    chance.shuffle(events)
    timed = [
        Event(
            one.author, one.content, reasoning=one.reasoning, actions=one.actions, created_at=NOON + timedelta(hours=n)
        )
        for n, one in enumerate(events)
    ]
    return [timed[start::3] for start in range(3)]


@functools.cache
def questions() -> list[str]:
    """Some hundred queries: what people type, and pieces of what was said, as words, phrases and prefixes."""
    chance = random.Random(8)
    asked = [
        "代码",
        "代 码",
        "分析代码",
        '"the café"',
        "CAFE the",
        "cod*",
        "cod",
        "C++",
        "don't",
        "foo-bar",
        "a:b",
        '"x',
        "*",
        "a*",
        "ไทย",
        "ไท*",
        "👍",
        "😀 ok",
        "lodz oresund strasse oeuvre",
        "nul",
        "nul in",
        '"nul in"',
        "private text",
        "\ue000",
        "한국",
        "가*",
        "محمد שלום",
        "the",
        "hi",
        "42",
        "ﾃｽﾄ",
        "full*",
        "x61",
        "x6*",
        "xe4bba3",
        "tool",
        "user*",
        "zerowidth softhyphen",
        "under_score",
        "100%",
        "back\\slash",
        "AND",
        "OR NOT",
        "NEAR(a b)",
        "& | !",
        "plus minus",
        LONG,
        LONG[:45],
        f"{LONG[:45]}*",
        f"{LONG}*",
        LONG[:41] + "*",
        f"{LONG[:-1]}x",
        "w*",
        "一二",
        "二四",
        "123 iv",
        "a b",
        "",
        "\0",
        "nul\0in",
        "'; DROP TABLE events; --",
        "%s %(x)s :name ?",
    ]
    texts = [text for events in said() for event in events for text in texts_of(event, search.FIELDS) if text]
    for _ in range(200):
        terms = []
        for _ in range(chance.randint(1, 2)):
            text = chance.choice(texts)
            begin = chance.randrange(len(text))
            piece = text[begin : begin + chance.randint(1, 6)]
            quote = chance.choice(["", "", '"'])
            terms.append(f"{quote}{piece}{quote}{chance.choice(['', '', '*'])}")
        asked.append(" ".join(terms))
    return asked


@pytest.fixture(scope="module", params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionService]:
    with ExitStack() as stack:
        if request.param in SERVERS:
            service: SessionService = stack.enter_context(SQLAlchemySessionService(empty_store(request.param)))
        else:
            path = tmp_path_factory.mktemp("store") / "sessions.db"
            service = stack.enter_context(SQLiteSessionService(path, search=request.param == "file", durability="fast"))
        for number, events in enumerate(said()):
            service.create_session(session_id=f"s{number}").add_events(events)
        service.create_session(user_id="another").add_event("user", "\n".join(TEXTS))
        yield service


def sessions_of(service: SessionService) -> list[Session]:
    return [service.get_session(f"s{number}") for number in range(3)]


def places(hits: list[SearchHit[Session]]) -> list[tuple[str, int]]:
    return [(hit.session.id, hit.event.seq) for hit in hits]


def pages(service: SessionService, query: str, limit: int, **filters: Any) -> list[tuple[str, int]]:
    page = service.search(query, limit=limit, **filters)
    collected = places(page)
    while page.next_cursor:
        page = service.search(query, limit=limit, cursor=page.next_cursor, **filters)
        collected += places(page)
    return collected


FILTERS: list[dict[str, Any]] = [
    {}, {"fields": ["content"]}, {"fields": ["tools"]}, {"fields": ["reasoning", "tools"]}, {"author": "assistant"},
    {"session": "s1"}, {"since": NOON + timedelta(hours=90)}, {"until": NOON + timedelta(hours=90, seconds=1)},
    {"session": "s2", "author": "user", "since": NOON + timedelta(hours=20), "fields": ["content", "tools"]},
]  # fmt: skip


def expected(query: str, **filters: Any) -> list[tuple[str, int]]:
    """The hits of the model, the last appended first."""
    return list(_expected(query, tuple((name, _hashable(value)) for name, value in filters.items())))


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@functools.cache
def _expected(query: str, given: tuple[tuple[str, Any], ...]) -> list[tuple[str, int]]:
    filters = dict(given)
    fields = filters.pop("fields", search.FIELDS)
    hits = []
    for number, events in enumerate(said()):
        for seq, event in enumerate(events, 1):
            assert event.created_at is not None
            if (
                filters.get("session", f"s{number}") == f"s{number}"
                and filters.get("author", event.author) == event.author
                and filters.get("since", event.created_at) <= event.created_at
                and ("until" not in filters or event.created_at < filters["until"])
                and found(texts_of(event, fields), query)
            ):
                hits.append((f"s{number}", seq))
    return hits[::-1]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_every_backend_answers_as_the_model_does(store: SessionService, filters: dict[str, Any]) -> None:
    some = questions() if not filters else questions()[FILTERS.index(filters) :: 10]
    hits = 0
    for query in some:
        right = expected(query, **filters)
        newest = places(store.search(query, newest_first=True, limit=ALL_OF_THEM, **filters))
        assert newest == right, query
        ranked = places(store.search(query, limit=ALL_OF_THEM, **filters))
        assert len(ranked) == len(right), query
        assert set(ranked) == set(right), query
        hits += len(right)
    assert hits > len(some) // 8


@pytest.mark.parametrize("newest_first", [True, False])
def test_all_pages_together_are_all_hits_on_every_backend(store: SessionService, newest_first: bool) -> None:
    for query in ["a", "the", "代", "w*", "ok*", "user*"]:
        collected = pages(store, query, 3, newest_first=newest_first)
        assert sorted(collected) == sorted(expected(query)), query
        assert len(collected) == len(set(collected))
        if newest_first:
            assert collected == expected(query)


def test_an_event_of_three_megabytes_is_found_by_its_words(store: SessionService) -> None:
    chance = random.Random(9)
    words = [f"{chance.getrandbits(60):x}" for _ in range(180_000)]
    text = " ".join(words)
    assert len(text) > 2_500_000
    session = store.create_session(user_id="large")
    session.add_events([Event("user", "before"), Event("user", text), Event("user", "代码 " * 200_000 + "the end")])
    for word in (words[0], words[90_000], words[-1], f"{words[77_777]}*", f'"{words[5]} {words[6]}"'):
        assert [hit.event.seq for hit in store.search(word, user_id="large")] == [2]
    assert [hit.event.seq for hit in store.search(f'"{words[5]} {words[7]}"', user_id="large")] == []
    assert [hit.event.seq for hit in store.search("代码 end", user_id="large")] == [3]
    assert [hit.event.seq for hit in store.search("before", user_id="large")] == [1]
    session.delete()


def test_texts_come_back_with_every_character(store: SessionService) -> None:
    texts = sorted(event.content for session in sessions_of(store) for event in session.iter_events())
    assert texts == sorted(event.content for events in said() for event in events)


def test_the_queries_are_of_every_kind() -> None:
    asked = questions()
    assert len(set(asked)) > 240
    assert sum(bool(expected(query)) for query in asked) > 100
    assert any(not pieces(query) for query in asked)
