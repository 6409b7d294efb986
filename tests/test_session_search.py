# ruff: noqa: RUF001  # characters that look like others are what these tests are about
"""A search for sessions finds what its model says, one hit a session, on every backend.

The model is `expected`: plain Python over the model of `test_search`, which says whether a text has a term.
"""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from backends import BACKENDS, Store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_search import events, has, pieces, terms_of, texts, texts_of

from session_sqlite import (
    ANY,
    AsyncSessionService,
    Event,
    InvalidInputError,
    Page,
    SessionHit,
    SQLiteSessionService,
    StoreClosedError,
    ToolCall,
    search,
)
from session_sqlite.operations import session_search

# ---------------------------------------------------------------- the model


@dataclass
class Said:
    """A session as it was made: its title and its events."""

    title: str
    events: list[Event]


def typed(query: str) -> list[tuple[str, bool]]:
    """The terms of a query, each once; the last word is a prefix unless something follows it.

    No word begins with a character that is a word of its own.
    """
    query = query.rstrip()
    terms: dict[Any, tuple[str, bool]] = {}
    for term, starred in terms_of(query if query[-1:] in ('"', "*", "") else f"{query}*"):
        *_, (word, cjk, _) = there = pieces(term)
        prefix = starred and not cjk and unicodedata.category(word[0]) != "So"
        words = [one if not apart or at_once else f" {one}" for one, apart, at_once in there]
        terms.setdefault((words[0].strip(), *words[1:], prefix), (term, prefix))
    return list(terms.values())


def is_one_letter(terms: list[tuple[str, bool]]) -> bool:
    """True if one letter or digit is all there is: no character that is a word of its own, and no whole word."""
    if len(terms) != 1 or not terms[0][1]:
        return False
    [(word, cjk, _), *more] = pieces(terms[0][0])
    return not more and len(word) == 1 and not cjk


def terms_in(texts: list[str], terms: list[tuple[str, bool]]) -> set[int]:
    return {index for index, term in enumerate(terms) if any(has(text, *term) for text in texts)}


@dataclass
class Expected:
    """The terms in its title, and the place of its best event."""

    in_title: set[int]
    best: int | None


def expected(said: Said, query: str) -> Expected | None:
    """The finding of a search in a session; None if it does not find the session."""
    terms = typed(query)
    in_title = terms_in([said.title], terms)
    in_events = [
        set() if is_one_letter(terms) else terms_in(texts_of(one, search.FIELDS), terms) for one in said.events
    ]
    if not terms or len(in_title.union(*in_events)) < len(terms):
        return None
    best = max(range(len(in_events)), key=lambda index: (len(in_events[index]), index), default=None)
    return Expected(in_title, None if best is None or not in_events[best] else best)


def test_the_model_itself_says_what_the_design_says() -> None:
    tea = Said("Blue teapot", [Event("user", "Where is it?"), Event("assistant", "On its way, in 代码")])
    assert expected(tea, "te") == Expected({0}, None)
    assert expected(tea, "teapot wa") == Expected({0}, 1)
    assert expected(tea, "t") == Expected({0}, None)
    assert expected(tea, "w") is None
    assert expected(tea, "代") == Expected(set(), 1)
    assert expected(tea, "teapo wa") is None
    assert expected(tea, "") is None
    assert expected(tea, "…") is None


# ---------------------------------------------------------------- every backend is the model


@contextmanager
def without_an_index(folder: Path) -> Iterator[Store]:
    with SQLiteSessionService(folder / "plain.db", app_name="app", durability="fast", search=False) as service:
        yield Store(service, dict)


ALL = {**BACKENDS, "file without an index": without_an_index}


@pytest.fixture(scope="module", params=ALL)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with ExitStack() as stack:
        store = stack.enter_context(ALL[request.param](tmp_path_factory.mktemp("sessions")))
        yield store.service


def told(service: Any, sessions: list[Said], **whose: Any) -> list[Any]:
    """The sessions, stored in their order, so that the last one has changed last."""
    made = []
    for said in sessions:
        session = service.create_session(title=said.title, **whose)
        if said.events:
            session.add_events(said.events)
        made.append(session)
    return made


def check_hit(hit: SessionHit[Any], said: Said, expected: Expected, query: str) -> None:
    terms = typed(query)
    assert hit.session.title == said.title
    assert hit.event_count == len(said.events)
    assert hit.first_message == next((one.content for one in said.events if one.author == "user"), None)
    assert hit.last_activity == hit.session.updated_at
    assert bool(hit.title_spans) == bool(expected.in_title)
    for begin, end in hit.title_spans:
        assert any(has(said.title[begin:end], *term) for term in terms)
    assert (hit.hit is None) == (expected.best is None)
    if hit.hit is not None and expected.best is not None:
        assert hit.hit.event.seq == expected.best + 1
        assert hit.hit.session.id == hit.session.id
        assert hit.hit.score > 0
        assert hit.hit.spans
        for begin, end in hit.hit.spans:
            assert any(has(hit.hit.snippet[begin:end], *term) for term in terms)


@st.composite
def queries(draw: st.DrawFn, sessions: list[Said]) -> str:
    """Mostly pieces of what was said and of titles, so that something is found."""
    terms = []
    for _ in range(draw(st.integers(1, 3))):
        said = draw(st.sampled_from(sessions))
        source = "".join([said.title, *(text for one in said.events for text in texts_of(one, search.FIELDS))])
        begin = draw(st.integers(0, len(source)))
        piece = source[begin : begin + draw(st.integers(1, 5))] if draw(st.integers(0, 3)) else draw(texts)
        quote = draw(st.sampled_from(["", "", "", '"']))
        terms.append(f"{quote}{piece}{quote}{draw(st.sampled_from(['', '', '', '*']))}")
    return " ".join(terms)


conversations = st.builds(Said, texts, st.lists(events, max_size=3))


WAYS: dict[str, dict[str, Any]] = {
    "the latest are read": {},
    "the index knows few": {"SESSIONS_READ_FIRST": (1,)},
    "the index knows many": {"SESSIONS_READ_FIRST": (1,), "SESSIONS_AT_ONCE": 2, "FEW_ROWS": 0},
    "the index knows the latest": {
        "SESSIONS_READ_FIRST": (1,),
        "SESSIONS_AT_ONCE": 1,
        "LATEST_ROWS": 1,
        "READ_FOR_A_PAGE": 2,
    },
    "all are long": {"SHORT_SESSION": 0, "TEXTS_AT_ONCE": 1, "TEXTS_AT_THE_END": 1, "SESSIONS_READ_FIRST": (2,)},
}


@pytest.fixture
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a search goes about it, which depends on sizes."""
    name: str = request.param
    for constant, value in WAYS[name].items():
        monkeypatch.setattr(session_search, constant, value)
    return name


@pytest.mark.parametrize("way", WAYS, indirect=True)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_search_for_sessions_is_its_model(service: Any, way: str, data: st.DataObject) -> None:
    sessions = data.draw(st.lists(conversations, min_size=1, max_size=5))
    user = uuid.uuid4().hex
    told(service, sessions, user_id=user)
    for query in data.draw(st.lists(queries(sessions), min_size=1, max_size=6)):
        found = [(said, one) for said in reversed(sessions) if (one := expected(said, query)) is not None]
        for order in ("newest", "best"):
            page = service.search_sessions(query, order=order, user_id=user)
            if order == "best":  # the order is tested elsewhere
                page.sort(key=lambda hit: (hit.session.updated_at, hit.session.id), reverse=True)
            assert [hit.session.title for hit in page] == [said.title for said, _ in found], (query, sessions)
            for hit, (said, one) in zip(page, found, strict=True):
                check_hit(hit, said, one, query)
        longest = len({hit.session.id for hit in page})
        assert longest == len(page)


TYPED = [
    "resolveTerminalPath", "blue teapot", "C++ and C#", "don't worry", "foo-bar_baz", "Café München", "代码审查",
    "茶壶 blue", "naïve 代", "3.14 rounds", "ภาษาไทย", "👍 ok", '"blue tea" now', "x/y", "Ελλάδα", "ёлка", "a b c",
    "Straße 12a", "кот й",
]  # fmt: skip


@pytest.mark.parametrize("way", ["the latest are read", "the index knows few"], indirect=True)
def test_every_letter_that_is_typed_narrows_what_is_found(service: Any, way: str) -> None:
    user = uuid.uuid4().hex
    parts = [whole[: len(whole) * tenth // 10] for whole in TYPED for tenth in (1, 3, 5, 7, 9, 10)]
    told(service, [Said(part, [Event("user", parts[-number]), Event("user", part.upper())])
                   for number, part in enumerate(parts)], user_id=user)  # fmt: skip
    for whole in TYPED:
        before: set[str] | None = None
        for end in range(1, len(whole) + 1):
            found = {hit.session.id for hit in service.search_sessions(whole[:end], limit=None, user_id=user)}
            assert before is None or found <= before, whole[:end]
            terms = typed(whole[:end])
            before = None if not terms or is_one_letter(terms) else found
        assert before, "the whole of it was said"


@pytest.mark.parametrize("way", ["the latest are read", "the index knows few"], indirect=True)
def test_one_letter_is_looked_for_in_titles_alone(service: Any, way: str) -> None:
    user = uuid.uuid4().hex
    told(service, [
        Said("zebra", [Event("user", "quiet")]), Said("plain", [Event("user", "zoo 4 茶 👍 z")]), Said("4 茶", []),
    ], user_id=user)  # fmt: skip

    def titles(query: str) -> list[str]:
        return [hit.session.title for hit in service.search_sessions(query, user_id=user)]

    assert titles("z") == ["zebra"]
    assert titles("Ｚ") == ["zebra"]
    assert titles("4") == ["4 茶"]
    assert titles("zo") == ["plain"]
    assert titles("茶") == ["4 茶", "plain"], "a Chinese character is a word"
    assert titles("👍") == ["plain"]
    assert titles("z q") == [], "the letter is not alone"
    assert titles('"z"') == ["plain"], "it is a whole word"
    assert titles("quiet z") == ["zebra"]


def test_titles_are_matched_by_the_words_of_a_search(service: Any) -> None:
    user = uuid.uuid4().hex
    told(service, [Said(title, []) for title in ("Café ＦＵＬＬ", "请帮我分析这段代码", "Łódź trip", "C++ <b>&", "مُحَمَّد",
                                                 "foo-bar")], user_id=user)  # fmt: skip
    for query, title, marked in (
        ("cafe fu", "Café ＦＵＬＬ", ["Café", "ＦＵ"]),
        ("代码", "请帮我分析这段代码", ["代码"]),
        ("lod", "Łódź trip", ["Łód"]),
        ("C++", "C++ <b>&", ["C"]),
        ("محمد", "مُحَمَّد", ["مُحَمَّد"]),
        ("foo-ba", "foo-bar", ["foo-ba"]),
    ):
        [hit] = service.search_sessions(query, user_id=user)
        assert hit.session.title == title
        assert [title[begin:end] for begin, end in hit.title_spans] == marked
        assert hit.hit is None
        assert (hit.first_message, hit.event_count) == (None, 0)
    assert service.search_sessions("分码", user_id=user) == []


def test_words_may_be_in_different_events_and_in_the_title(service: Any) -> None:
    user = uuid.uuid4().hex
    told(service, [
        Said("Order of Monday", [
            Event("user", "a teapot, please"),
            Event("assistant", reasoning="in blue", actions=[ToolCall("find_pot", {"kind": "iron"})]),
            Event("assistant", "blue teapot found"),
            Event("user", "teapot!"),
        ]),
    ], user_id=user)  # fmt: skip
    for query, seq in (("monday", None), ("teapot", 4), ("teapot blue", 3), ("order iron tea", 4), ("iron find_p", 2)):
        [hit] = service.search_sessions(query, user_id=user)
        assert (hit.hit.event.seq if hit.hit else None) == seq, query
        assert hit.first_message == "a teapot, please"
    assert service.search_sessions("monday green", user_id=user) == []
    assert service.search_sessions('"teapot blue"', user_id=user) == [], "a phrase is in one text"


def all_pages(service: Any, query: str, limit: int, **arguments: Any) -> list[Any]:
    paged, cursor = [], None
    while True:
        page = service.search_sessions(query, limit=limit, cursor=cursor, **arguments)
        assert len(page) == limit or page.next_cursor is None
        paged += page
        if (cursor := page.next_cursor) is None:
            return paged


@pytest.mark.parametrize("way", WAYS, indirect=True)
@pytest.mark.parametrize("order", ["newest", "best"])
def test_pages_have_every_session_once(service: Any, order: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_search, "RANKED", 7)
    user = uuid.uuid4().hex
    sessions = [Said("Tea for two" if number % 3 else "Coffee", [Event("user", "tea " * (number % 5))])
                for number in range(20)]  # fmt: skip
    told(service, sessions, user_id=user)
    whole = service.search_sessions("te", order=order, limit=None, user_id=user)
    assert whole.next_cursor is None
    assert len(whole) == sum(expected(said, "te") is not None for said in sessions)
    for limit in (1, 3, 7, 10, 50):
        assert [hit.session.id for hit in all_pages(service, "te", limit, order=order, user_id=user)] == [
            hit.session.id for hit in whole
        ]
    assert service.search_sessions("te", order=order, limit=0, user_id=user) == []
    assert service.search_sessions("te", order=order, limit=0, user_id=user).next_cursor is None
    first = service.search_sessions("te", order=order, limit=3, user_id=user)
    service.create_session(title="Tea, made between two pages", user_id=user)
    service.update_session(whole[4].session, title="Tea, changed")
    rest = service.search_sessions("te", order=order, limit=50, cursor=first.next_cursor, user_id=user)
    assert [hit.session.id for hit in (*first, *rest)] == [
        hit.session.id for hit in whole if hit.session.id != whole[4].session.id
    ]


def test_the_best_have_more_words_in_the_title_and_then_in_one_event(service: Any) -> None:
    user = uuid.uuid4().hex
    told(service, [
        Said("both blue tea", []), Said("blue", [Event("user", "tea")]),
        Said("both apart", [Event("user", "blue"), Event("user", "tea")]),
        Said("together", [Event("user", "blue tea")]), Said("often", [Event("user", "blue tea blue tea")]),
    ], user_id=user)  # fmt: skip
    best = service.search_sessions("blue tea", order="best", user_id=user)
    assert [hit.session.title for hit in best] == ["both blue tea", "blue", "often", "together", "both apart"]
    newest = service.search_sessions("blue tea", user_id=user)
    assert [hit.session.title for hit in newest] == ["often", "together", "both apart", "blue", "both blue tea"]


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_a_search_for_sessions_takes_the_filters_of_a_list(service: Any, way: str) -> None:
    user = uuid.uuid4().hex
    for number in range(4):
        service.create_session(
            title=f"tea {number}",
            agent_id=f"a{number % 2}",
            metadata={"n": number, "even": number % 2 == 0},
            user_id=user,
        )
    listed = service.list_sessions(user_id=user)
    moments = [one.updated_at for one in listed]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for filters in (
        {"agent_id": "a1"}, {"metadata": {"even": True}}, {"metadata": {"n": 2, "even": True}},
        {"metadata": {"n": 2.5}}, {"updated_after": moments[2]}, {"updated_before": moments[1]},
        {"agent_id": "a0", "updated_after": moments[3]}, {"updated_after": tomorrow},
    ):  # fmt: skip
        found = service.search_sessions("tea", user_id=user, **filters)
        assert [hit.session.id for hit in found] == [
            one.id for one in service.list_sessions(user_id=user, **filters)
        ], filters


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_a_search_for_sessions_keeps_to_its_app_and_user(service: Any, way: str) -> None:
    one, other = uuid.uuid4().hex, uuid.uuid4().hex
    for whose in ({"user_id": one}, {"user_id": other}, {"user_id": one, "app_name": other}):
        told(service, [Said("teapot", [Event("user", f"word{one}")])], **whose)

    def owners(query: str, **scope: Any) -> set[tuple[str, str]]:
        return {(hit.session.app_name, hit.session.user_id) for hit in service.search_sessions(query, **scope)}

    app = service.app_name
    for query in (f"word{one[:-1]}", f"teapot word{one[:5]}"):
        assert owners(query, user_id=one) == {(app, one)}
        assert owners(query, user_id=one, app_name=ANY) == {(app, one), (other, one)}
        assert owners(query, user_id=ANY) == {(app, one), (app, other)}
        assert owners(query, user_id=ANY, app_name=ANY) == {(app, one), (app, other), (other, one)}
        assert owners(query, user_id="nobody") == set()
    assert len(all_pages(service, f"word{one}", 1, user_id=ANY, app_name=ANY)) == 3
    assert len(all_pages(service, f"word{one}", 1, user_id=ANY, app_name=ANY, order="best")) == 3


def test_a_long_session_is_searched_to_its_beginning(service: Any) -> None:
    user = uuid.uuid4().hex
    [session] = told(service, [Said("Diary", [Event("user", "the needle")])], user_id=user)
    session.add_events([Event("user", f"hay {number}") for number in range(400)])
    [hit] = service.search_sessions("needl", user_id=user)
    assert hit.hit.event.seq == 1
    [hit] = service.search_sessions("hay needle", user_id=user)
    assert hit.hit.event.seq == 401
    [hit] = service.search_sessions("diary hay", user_id=user)
    assert hit.hit.event.seq == 401


def test_what_is_deleted_renamed_or_new_is_searched_as_it_is_now(service: Any) -> None:
    user = uuid.uuid4().hex
    session, gone, cleared = told(service, [Said("teapot", [Event("user", "kettle")]) for _ in range(3)], user_id=user)
    gone.delete()
    cleared.clear()
    assert [hit.session.id for hit in service.search_sessions("kett", user_id=user)] == [session.id]
    assert len(service.search_sessions("teap", user_id=user)) == 2
    session.update(title="samovar")
    assert [hit.session.id for hit in service.search_sessions("teapot", user_id=user)] == [cleared.id]
    assert [hit.session.id for hit in service.search_sessions("samovar ket", user_id=user)] == [session.id]
    fork = session.fork(title="fork of it")
    assert {hit.session.id for hit in service.search_sessions("kettle", user_id=user)} == {session.id, fork.id}
    assert [hit.session.id for hit in service.search_sessions("fork", user_id=user)] == [fork.id]
    session.rewind()
    assert [hit.session.id for hit in service.search_sessions("kettle", user_id=user)] == [fork.id]
    new = service.create_session(user_id=user)
    new.add_event("user", "kettle drum")
    assert [hit.session.id for hit in service.search_sessions("kettle dr", user_id=user)] == [new.id]


def test_the_words_of_titles_are_found_whatever_characters_they_are_written_with(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_search, "SESSIONS_READ_FIRST", (1,))
    user = uuid.uuid4().hex
    titles = [
        "ordinary teapot", "TEAPOT", "ｔｅａｐｏｔ", "Ｔeapot", "téapôt", "tea\u00adpot",
        "te\u200dapot", "茶，teapot。", "nul\0teapot", "nul\0 茶 téapot", "éteapot", "teapotté",
        "ŧeapoŧ", "茶壶", "茶\u200b壶", "\u2f8b壶", "茶　壶", "tea_pot", "tea%pot",
    ]  # fmt: skip
    told(service, [Said(title, []) for title in [*titles, "the latest"]], user_id=user)
    for query in ("teapot", "teap", "te", "茶", "茶壶", "壶", "tea", "pot", "t", "teapott", "tea_pot", "nul", "latest"):
        terms = typed(query)
        hits = service.search_sessions(query, limit=None, user_id=user)
        expected = [title for title in [*titles, "the latest"] if terms_in([title], terms) == set(range(len(terms)))]
        assert [hit.session.title for hit in hits] == expected[::-1], query


def words_of_titles(service: SQLiteSessionService) -> dict[str, set[str]]:
    """The words of titles that the file has, by the session."""
    found: dict[str, set[str]] = {}
    for row in service.query("SELECT word, user_id, session_id FROM title_words"):
        found.setdefault(f"{row['user_id']} {row['session_id']}", set()).add(row["word"])
    return found


def test_every_verb_that_writes_a_title_writes_its_words(path: Path, tmp_path: Path) -> None:
    with SQLiteSessionService(path, durability="fast") as service:

        def check(**expected: str) -> None:
            assert words_of_titles(service) == {f"default {id}": set(words.split()) for id, words in expected.items()}
            assert service.check().ok

        one = service.create_session(session_id="one", title="Blue Teapot, blue 茶壶")
        service.create_session(session_id="none").add_event("user", "kettle")
        check(one="blue teapot 茶 壶")
        service.create_session(session_id="one", title="another", exist_ok=True)
        one.update(metadata={"a": 1})
        one.update(title="Grüne Teapot")
        check(one="grune teapot")
        one.add_event("user", "kettle")
        one.clear()
        one.fork(session_id="fork")
        one.fork(session_id="named", title="named")
        check(one="grune teapot", fork="grune teapot", named="named")
        service.export(tmp_path / "all.jsonl")
        service.delete_session("fork")
        service.erase("named")
        check(one="grune teapot")
        service.import_(tmp_path / "all.jsonl")
        check(one="grune teapot", fork="grune teapot", named="named")
        one.update(title="")
        check(fork="grune teapot", named="named")
        service.prune(older_than=timedelta())
        check()


def test_a_title_is_found_by_every_word_however_many_and_long_they_are(service: Any) -> None:
    user = uuid.uuid4().hex
    long = "x" * 70
    many = " ".join(f"w{number}" for number in range(300))
    told(service, [Said(f"tea {long}a {many}", []), Said(f"tea {long}b", []), Said(f"pot {long}", [])], user_id=user)
    told(service, [Said("kettle", [])] * (session_search.SESSIONS_READ_FIRST[0] + 1), user_id=user)
    for query, count in (
        (f"{long}a", 1), (f"{long}b", 1), (long, 3), (f'"{long}"', 1), (f"{long}c", 0), ("w299", 1), ("w29", 1),
        ('"w29"', 1), ("w300", 0), ("tea x", 2), (f'"{"x" * 64}"', 0), ("x" * 64, 3),
    ):  # fmt: skip
        assert len(service.search_sessions(query, user_id=user)) == count, query


def test_a_word_of_very_many_titles_is_found_in_all(path: Path) -> None:
    with SQLiteSessionService(path, durability="fast", user_id="one") as service:
        for number in range(400):
            service.create_session(title=f"kettle {number}", user_id="one" if number % 4 else "other")
        for query, count in (("kettle", 300), ("k", 300), ("kettle 39", 9), ("39", 9), ("4", 7)):
            assert len(service.search_sessions(query, limit=None)) == count, query
            assert len(service.search_sessions(query, limit=3)) == 3


# ---------------------------------------------------------------- what it is given, and what it gives


def test_a_cursor_is_good_for_its_own_search_alone(service: Any) -> None:
    user = uuid.uuid4().hex
    told(service, [Said("tea", [])] * 3, user_id=user)
    arguments: dict[str, Any] = {"query": "tea", "order": "newest", "limit": 1, "user_id": user}
    cursor = service.search_sessions(**arguments).next_cursor
    assert cursor is not None
    for other in (
        {"query": "te"}, {"order": "best"}, {"agent_id": "x"}, {"metadata": {"a": 1}}, {"user_id": ANY},
        {"updated_after": datetime(2020, 1, 1, tzinfo=UTC)}, {"app_name": "other"},
    ):  # fmt: skip
        with pytest.raises(InvalidInputError):
            service.search_sessions(**{**arguments, "cursor": cursor, **other})
    best = service.search_sessions(**{**arguments, "order": "best"}).next_cursor
    with pytest.raises(InvalidInputError):
        service.search_sessions(**arguments, cursor=best)


def test_a_query_without_words_finds_nothing(service: Any) -> None:
    for query in ("", " ", "…", "*", '"', '""', "\u200b", "-"):
        page = service.search_sessions(query, app_name=ANY, user_id=ANY)
        assert page == []
        assert page.next_cursor is None


def test_a_query_that_is_too_long_is_refused(service: Any) -> None:
    for query in ("代" * (search.MOST_WORDS + 1), "x " * search.LONGEST_QUERY):
        with pytest.raises(InvalidInputError):
            service.search_sessions(query)
    assert service.search_sessions("代" * search.MOST_WORDS) == []


def test_hits_show_themselves_as_other_pages_do(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        session = service.create_session(title="<Tea> & more", agent_id="helper")
        session.add_event("user", "请帮我 <b>tea</b>")
        service.create_session(title="Teapot")
        page = service.search_sessions("te")
        shown = page._repr_html_()
        assert "&lt;<mark>Te</mark>a&gt; &amp; more" in shown
        assert "&lt;b&gt;<mark>te</mark>a&lt;/b&gt;" in shown
        frame = page.to_dataframe()
        assert frame["title"].to_list() == ["Teapot", "<Tea> & more"]
        assert frame["event_count"].to_list() == [0, 1]
        assert frame["snippet"].fillna("").to_list() == ["", "请帮我 <b>tea</b>"]
        assert frame["last_activity"].to_list() == frame["updated_at"].to_list()
        none = service.search_sessions("nothing like it")
        assert list(none.to_dataframe().columns) == list(frame.columns)
        assert none._repr_html_().count("<th") == shown.count("<th")
        assert {page[0], service.search_sessions("te")[0]} == {page[0]}
        assert isinstance(page, Page)
        assert isinstance(page[0], SessionHit)
        overviews = service.session_overviews()
        assert [one.last_activity for one in overviews] == [one.session.updated_at for one in overviews]
        assert overviews.to_dataframe()["last_activity"].to_list() == frame["last_activity"].to_list()


def test_the_sessions_of_an_asynchronous_search_are_asynchronous(path: Path) -> None:
    import asyncio

    async def main() -> None:
        async with AsyncSessionService(SQLiteSessionService(path)) as service:
            session = await service.create_session(title="tea")
            await session.add_event("user", "teapot")
            [hit] = await service.search_sessions("te")
            assert [one.content for one in await hit.session.events()] == ["teapot"]
            assert hit.hit is not None
            assert (await hit.hit.session.refresh()).title == "tea"

    asyncio.run(main())


def test_a_closed_store_searches_no_sessions(path: Path) -> None:
    service = SQLiteSessionService(path)
    service.close()
    for query in ("tea", ""):
        with pytest.raises(StoreClosedError):
            service.search_sessions(query)
