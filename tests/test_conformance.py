"""What every backend does, by its public interface alone: sessions, events, state, and what a user may rely on."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import time
from collections.abc import Callable, Iterator, MutableMapping
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from backends import BACKENDS, CLUSTERS, Store, rows_about

from session_sqlite import (
    ANY,
    REMOVE,
    DuplicateEventError,
    Event,
    InvalidInputError,
    NotSerializableError,
    Page,
    QueryError,
    Session,
    SessionExistsError,
    SessionNotFoundError,
    StaleSessionError,
    StoreClosedError,
    StoreError,
    ToolCall,
    Usage,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NASTY_KEYS = [
    'a"b', "%", "_", "$.x", "'", "a.b", "[0]", "a[0]", "$", "", " ", "\\", '\\"', "!", "!%", "键", "é", "😀", "a\nb",
    "a\x00b", '"}', "a:b", "--", "; DROP TABLE sessions",
]  # fmt: skip


@pytest.fixture(params=[*BACKENDS, *(pytest.param(name, marks=pytest.mark.cluster) for name in CLUSTERS)])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Store]:
    with (BACKENDS | CLUSTERS)[request.param](tmp_path) as store:
        yield store


@pytest.fixture
def service(store: Store) -> Any:
    return store.service


@pytest.fixture
def session(service: Any) -> Any:
    return service.create_session(session_id="s")


def ids(page: Any) -> list[str]:
    return [one.id for one in page]


def contents(events: Any) -> list[str]:
    return [event.content for event in events]


def seqs(events: Any) -> list[int]:
    return [event.seq for event in events]


def fill(service: Any, session: Any, *authors: str) -> list[Event]:
    """One event by each author, its content its number."""
    return service.append_events(session, [Event(author, str(n)) for n, author in enumerate(authors, 1)])


def later() -> None:
    """Lets the clock move on, so that two changes have two times."""
    now = datetime.now(UTC)
    while datetime.now(UTC) <= now:
        time.sleep(0.0005)


# ---------------------------------------------------------------- sessions


def test_a_session_comes_back_as_it_was_created(service: Any) -> None:
    before = datetime.now(UTC)
    made = service.create_session(agent_id="agent", title="请帮我", metadata={"b": 1, "a": [None, {"x": 1.5}]})
    assert made == service.get_session(made.id)
    assert (made.app_name, made.user_id, made.agent_id, made.title) == ("app", "user", "agent", "请帮我")
    assert list(made.metadata.items()) == [("b", 1), ("a", [None, {"x": 1.5}])]
    assert before <= made.created_at == made.updated_at <= datetime.now(UTC)
    assert made.created_at.utcoffset() == timedelta(0)
    assert (made.last_seq, made.parent_id) == (0, None)


def test_ids_that_are_not_given_are_version_7_uuids_and_sort_by_time(service: Any) -> None:
    made = []
    for _ in range(20):
        made.append(service.create_session().id)
        later()
    assert made == sorted(made)
    assert {(id[14], id[19] in "89ab", len(id)) for id in made} == {("7", True, 36)}


def test_an_id_that_the_user_has_already_is_refused(service: Any, session: Any) -> None:
    with pytest.raises(SessionExistsError):
        service.create_session(session_id="s")


def test_exist_ok_returns_the_stored_session_unchanged(service: Any) -> None:
    first = service.create_session(session_id="s", title="one", metadata={"a": 1}, state={"k": 1, "user:u": 1})
    later()
    again = service.create_session(
        session_id="s", title="two", metadata={"b": 2}, state={"k": 2, "user:u": 2}, exist_ok=True
    )
    assert again == first
    assert service.get_state("s") == {"k": 1, "user:u": 1}


def test_two_users_and_two_apps_may_use_the_same_id(service: Any) -> None:
    scopes = [("app", "user"), ("app", "other"), ("other", "user"), ("other", "other")]
    for app, user in scopes:
        service.create_session(session_id="s", title=f"{app}/{user}", app_name=app, user_id=user)
    for app, user in scopes:
        assert service.get_session("s", app_name=app, user_id=user).title == f"{app}/{user}"


@pytest.mark.parametrize(
    "id", ["a", "x" * 128, "Ä", "ä", "a b", "a%b", "a/b", "../..", "'; --", "会话", "😀", "a\u200bb"]
)
def test_an_id_is_exact_text(service: Any, id: str) -> None:
    service.create_session(session_id=id)
    assert service.get_session(id).id == id
    with pytest.raises(SessionNotFoundError):
        service.get_session(id.swapcase() if id.swapcase() != id else f"{id[:-1]}_")


def test_a_session_that_is_not_there_is_an_error(service: Any) -> None:
    with pytest.raises(SessionNotFoundError, match="nowhere"):
        service.get_session("nowhere")


def test_a_list_of_sessions_has_the_latest_change_first(service: Any) -> None:
    for id in "abc":
        service.create_session(session_id=id)
        later()
    assert ids(service.list_sessions()) == ["c", "b", "a"]
    service.append_event("a", Event("user"))
    assert ids(service.list_sessions()) == ["a", "c", "b"]


def test_pages_of_sessions_show_each_session_once(service: Any) -> None:
    for number in range(23):
        service.create_session(session_id=f"{number:02}")
    whole = ids(service.list_sessions())
    assert len(whole) == 23
    for size in (1, 5, 22, 23, 24):
        seen: list[str] = []
        cursor = None
        while True:
            page = service.list_sessions(limit=size, cursor=cursor)
            seen += ids(page)
            cursor = page.next_cursor
            if cursor is None:
                break
            assert len(page) == size
        assert seen == whole, size


def test_a_cursor_is_stable_while_sessions_are_added_and_changed(service: Any) -> None:
    for number in range(10):
        service.create_session(session_id=str(number))
        later()
    page = service.list_sessions(limit=4)
    service.create_session(session_id="new")
    service.update_session("9", title="moved to the front, where it was already seen")
    service.delete_session(page[-1].id)
    assert ids(service.list_sessions(cursor=page.next_cursor)) == ["5", "4", "3", "2", "1", "0"]


def test_a_list_of_sessions_has_fifty_unless_told(service: Any) -> None:
    for _ in range(51):
        service.create_session()
    page = service.list_sessions()
    assert (len(page), page.next_cursor is None) == (50, False)
    page = service.list_sessions(limit=None)
    assert (len(page), page.next_cursor) == (51, None)
    page = service.list_sessions(limit=0)
    assert (page, page.next_cursor) == ([], None)


def test_sessions_are_found_by_agent(service: Any) -> None:
    for id, agent in (("1", "a"), ("2", "A"), ("3", ""), ("4", "a")):
        service.create_session(session_id=id, agent_id=agent)
    assert set(ids(service.list_sessions(agent_id="a"))) == {"1", "4"}
    assert ids(service.list_sessions(agent_id="")) == ["3"]
    assert service.list_sessions(agent_id="%") == []


def test_sessions_are_found_by_time(service: Any) -> None:
    times = []
    for id in "abc":
        times.append(service.create_session(session_id=id).updated_at)
        later()
    assert ids(service.list_sessions(updated_after=times[0])) == ["c", "b"]
    assert ids(service.list_sessions(updated_before=times[2])) == ["b", "a"]
    assert ids(service.list_sessions(updated_after=times[0], updated_before=times[2])) == ["b"]
    east = times[0].astimezone(timezone(timedelta(hours=9)))
    assert ids(service.list_sessions(updated_after=east)) == ["c", "b"]
    assert service.list_sessions(updated_after=datetime.max.replace(tzinfo=UTC)) == []
    assert service.list_sessions(updated_before=datetime.min.replace(tzinfo=UTC)) == []
    overviews = service.session_overviews
    assert [one.session.id for one in overviews(updated_after=times[0], updated_before=times[2])] == ["b"]


def test_a_query_tells_each_row_as_it_is_read_and_keeps_none(service: Any) -> None:
    for number in range(20):
        service.create_session(session_id=f"s{number:02}")
    sql = "SELECT id, last_seq FROM sessions ORDER BY id"
    told: list[dict[str, Any]] = []
    rows = service.query(sql, each=told.append)
    assert told == list(service.query(sql))
    assert (list(rows), rows.columns, len(told)) == ([], ("id", "last_seq"), 20)
    assert service.query("SELECT id FROM sessions WHERE id = 'none'", each=told.append).columns == ("id",)

    class EnoughError(Exception):
        """The caller has seen enough."""

    def only_some(row: dict[str, Any]) -> None:
        if row["id"] == "s10":
            raise EnoughError

    with pytest.raises(EnoughError):
        service.query(sql, each=only_some)
    with pytest.raises(QueryError):
        service.query("SELECT nonsense", each=told.append)
    assert len(service.query(sql)) == len(told) == 20
    service.create_session(session_id="later")


def test_sessions_are_found_by_the_beginning_of_their_id(service: Any) -> None:
    for id in ("ab%c", "abd", "AB", "ab_", "代码-1", "代码-2", "😀x"):
        service.create_session(session_id=id, agent_id="x" if id == "abd" else "")
    for user in ("user-2", "user-3"):
        service.scope(user_id=user).create_session(session_id="ab-other")
    for prefix, found in {
        "ab": {"ab%c", "abd", "ab_"}, "ab%": {"ab%c"}, "ab_": {"ab_"}, "A": {"AB"}, "a": {"ab%c", "abd", "ab_"},
        "代码": {"代码-1", "代码-2"}, "代码-1": {"代码-1"}, "😀": {"😀x"}, "abd ": set(), "abde": set(), "%": set(),
        "": {"ab%c", "abd", "AB", "ab_", "代码-1", "代码-2", "😀x"},
    }.items():  # fmt: skip
        assert set(ids(service.list_sessions(id_prefix=prefix))) == found, prefix
        assert {one.session.id for one in service.session_overviews(id_prefix=prefix)} == found, prefix
    assert ids(service.list_sessions(id_prefix="ab", agent_id="x")) == ["abd"]
    assert [one.session.id for one in service.session_overviews(agent_id="x")] == ["abd"]
    assert len(service.list_sessions(id_prefix="ab-", user_id=ANY)) == 2
    assert len(service.list_sessions(id_prefix="ab", limit=1)) == 1
    for wrong in (1, b"a", "\ud800", "a\0"):
        with pytest.raises(InvalidInputError):
            service.list_sessions(id_prefix=wrong)


@pytest.mark.parametrize("key", NASTY_KEYS)
def test_sessions_are_found_by_any_metadata_key(service: Any, key: str) -> None:
    service.create_session(session_id="yes", metadata={"other": 1, key: "value"})
    service.create_session(session_id="case", metadata={key: "VALUE"})
    service.create_session(session_id="other value", metadata={key: "valu"})
    service.create_session(session_id="deeper", metadata={"x": {key: "value"}})
    service.create_session(session_id="swapped", metadata={"value": key})
    service.create_session(session_id="none")
    assert ids(service.list_sessions(metadata={key: "value"})) == ["yes"]


VALUES: list[Any] = [
    True, False, 1, 0, 2, None, "", "1", "true", "null", "a%", "a_", "ab", 'q"', [], {}, [1], [True], ["1"], {"a": 1},
    {"a": True}, {"a": {"b": None}}, [[]], 1.5, -1, 10**30, "é", "e\u0301", "A", "a", "\x00", "!", "x" * 60_000,
]  # fmt: skip


def test_metadata_values_are_found_by_json_equality(service: Any) -> None:
    for number, value in enumerate(VALUES):
        service.create_session(session_id=str(number), metadata={"k": value, "more": value})
    service.create_session(session_id="without")
    for number, value in enumerate(VALUES):
        assert ids(service.list_sessions(metadata={"k": value})) == [str(number)], repr(value)[:50]
    assert ids(service.list_sessions(metadata={"k": 1.0})) == [str([repr(value) for value in VALUES].index("1"))]


def test_all_metadata_that_is_asked_for_must_fit(service: Any) -> None:
    service.create_session(session_id="both", metadata={"a": 1, "b": {"x": 1, "y": 2}})
    service.create_session(session_id="one", metadata={"a": 1})
    assert ids(service.list_sessions(metadata={"b": {"y": 2, "x": 1}, "a": 1})) == ["both"]
    assert service.list_sessions(metadata={"b": {"x": 1}}) == []
    assert len(service.list_sessions(metadata={})) == 2
    many = {f"key{n}": n for n in range(1500)}
    service.create_session(session_id="many", metadata=many)
    assert ids(service.list_sessions(metadata=many)) == ["many"]


def test_a_filtered_list_has_full_pages(service: Any) -> None:
    for number in range(60):
        service.create_session(session_id=f"{number:02}", metadata={"k": number % 3, "K": 0})
    seen: list[str] = []
    cursor = None
    while True:
        page = service.list_sessions(metadata={"k": 0}, limit=6, cursor=cursor)
        seen += ids(page)
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page) == 6
    assert sorted(seen) == [f"{number:02}" for number in range(0, 60, 3)]


def test_an_update_changes_what_is_given(service: Any) -> None:
    service.create_session(session_id="s", title="old", agent_id="old", metadata={"a": 1, "b": {"x": 1}, "c": 3})
    later()
    changed = service.update_session("s", metadata={"b": {"y": 2}, "a": REMOVE, "d": None, "absent": REMOVE})
    assert list(changed.metadata.items()) == [("b", {"y": 2}), ("c", 3), ("d", None)]
    assert (changed.title, changed.agent_id) == ("old", "old")
    assert changed == service.get_session("s")
    assert changed.updated_at > changed.created_at
    changed = service.update_session("s", title="", agent_id="")
    assert (changed.title, changed.agent_id, changed.metadata) == ("", "", {"b": {"y": 2}, "c": 3, "d": None})


def test_an_update_of_nothing_changes_nothing(service: Any, session: Any) -> None:
    later()
    assert service.update_session("s") == session


def test_updating_a_session_that_is_not_there_is_an_error(service: Any) -> None:
    for change in ({}, {"title": "x"}, {"metadata": {"a": 1}}):
        with pytest.raises(SessionNotFoundError):
            service.update_session("nowhere", **change)


def test_deleting_a_session_leaves_nothing_of_it_in_any_table(store: Store) -> None:
    service = store.service
    service.create_session(session_id="kept", title="kept")
    service.append_event("kept", Event("user", "kept", state={"k": "kept"}))
    service.list_sessions()
    empty = store.dump()
    service.create_session(
        session_id="gone", title="gone-title", metadata={"m": "gone-metadata"}, state={"i": "gone-i"}
    )
    for number in range(5):
        service.append_event(
            "gone",
            Event(
                "assistant",
                f"gone-content {number}",
                reasoning="gone-reasoning",
                actions=[ToolCall("gone-tool", {"a": "gone-arg"}, output="gone-output")],
                state={"k": "gone-state"},
                id=f"gone-event-{number}",
            ),
        )
    assert rows_about(store.dump(), "gone")
    assert service.delete_session("gone") is True
    left = store.dump()
    assert rows_about(left, "gone") == []
    for table in ("sessions", "events", "state"):
        assert left[table] == empty[table]
    assert service.delete_session("gone") is False
    with pytest.raises(SessionNotFoundError):
        service.get_session("gone")
    assert service.create_session(session_id="gone").last_seq == 0
    assert service.get_state("gone") == {}
    assert service.append_event("gone", Event("user")).seq == 1


def test_deleting_a_session_keeps_what_its_user_and_app_share(service: Any, session: Any) -> None:
    service.update_state("s", {"own": 1, "user:u": 2, "app:a": 3})
    service.delete_session("s")
    assert service.get_state(service.create_session().id) == {"user:u": 2, "app:a": 3}


# ---------------------------------------------------------------- appending


def full_event(**changes: Any) -> Event:
    return dataclasses.replace(
        Event(
            "assistant",
            "好的 😀\x00\r\n",
            reasoning="先看入口",
            actions=[
                ToolCall("Read", {"path": "main.go", "n": [1, 2.5, None, True]}, id="c1", output="package main"),
                ToolCall("Run", id="c2", error="no"),
                ToolCall("Wait"),
            ],
            state={"step": 1, "user:lang": "zh-CN"},
            metadata={"z": 1, "a": {"b": 10**40}},
            agent_id="agent",
            branch="root.sub",
            invocation_id="run-1",
            usage=Usage("m", 1, 2, 3, 4, 5),
            id="e1",
            created_at=datetime(2020, 2, 29, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-5))),
        ),
        **changes,
    )


def test_an_event_comes_back_as_it_was_appended(service: Any, session: Any) -> None:
    given = full_event()
    stored = service.append_event("s", given)
    assert stored == dataclasses.replace(given, seq=1, session_id="s")
    assert service.list_events("s") == [stored]
    assert list(service.iter_events("s")) == [stored]
    assert service.last_events("s", 5) == [stored]
    assert stored.created_at.utcoffset() == timedelta(0)
    assert list(stored.metadata) == ["z", "a"]
    assert type(stored.actions) is tuple
    assert [action.status for action in stored.actions] == ["ok", "error", "pending"]


def test_the_store_names_and_dates_an_event(service: Any, session: Any) -> None:
    before = datetime.now(UTC)
    stored = service.append_event("s", Event("user"))
    assert len(stored.id) == 36
    assert before <= stored.created_at <= datetime.now(UTC)
    assert (stored.seq, stored.session_id) == (1, "s")


def test_the_order_is_dense_whatever_the_times_say(service: Any, session: Any) -> None:
    service.append_events("s", [Event("user", "1", created_at=NOON), Event("user", "2", created_at=NOON)])
    service.append_event("s", Event("user", "3", created_at=NOON - timedelta(days=9)))
    service.append_events("s", [])
    service.append_events("s", (Event("user", text) for text in "45"))
    events = service.list_events("s")
    assert seqs(events) == [1, 2, 3, 4, 5]
    assert contents(events) == list("12345")
    assert service.get_session("s").last_seq == 5


def test_a_batch_is_all_or_nothing(store: Store, session: Any) -> None:
    service = store.service
    service.append_event("s", Event("user", "first", id="taken"))
    before = store.dump()
    batch = [Event("user", "x", state={"k": 1}), Event("user", "other content", id="taken"), Event("user", "y")]
    with pytest.raises(DuplicateEventError):
        service.append_events("s", batch)
    with pytest.raises(InvalidInputError):
        service.append_events("s", [Event("user", "x"), Event("user", metadata={"a": object()})])
    assert store.dump() == before


def test_appending_to_a_session_that_is_not_there_is_an_error(store: Store) -> None:
    before = store.dump()
    for events in ([], [Event("user")], [Event("user", id="x")]):
        with pytest.raises(SessionNotFoundError):
            store.service.append_events("nowhere", events)
    with pytest.raises(SessionNotFoundError):
        store.service.append_events("nowhere", [], expected_seq=0)
    assert store.dump() == before


def test_an_append_changes_the_time_of_the_session_and_never_back(service: Any, session: Any) -> None:
    later()
    service.append_event("s", Event("user", created_at=NOON))
    changed = service.get_session("s")
    assert changed.updated_at > session.updated_at
    assert changed.created_at == session.created_at


def test_create_makes_the_session_with_its_first_events(service: Any) -> None:
    service.append_event("new", Event("user", "1", state={"k": 1}), create=True)
    service.append_events("new", [Event("user", "2", id="two")], create=True)
    assert contents(service.list_events("new")) == ["1", "2"]
    assert service.get_state("new") == {"k": 1}
    service.append_events("named", [Event("user", id="x")], create=True, expected_seq=0)
    assert service.get_session("named").last_seq == 1
    service.append_events("empty", [], create=True)
    assert service.get_session("empty").last_seq == 0


def test_expected_seq_refuses_a_writer_who_missed_something(store: Store, session: Any) -> None:
    service = store.service
    service.append_event("s", Event("user"), expected_seq=0)
    before = store.dump()
    for stale in (0, 2, 2**60):
        with pytest.raises(StaleSessionError):
            service.append_event("s", Event("user", state={"k": 1}), expected_seq=stale)
        with pytest.raises(StaleSessionError):
            service.append_events("s", [], expected_seq=stale)
    with pytest.raises(StaleSessionError):
        service.append_event("not there yet", Event("user"), expected_seq=1, create=True)
    assert store.dump() == before
    assert service.append_events("s", [], expected_seq=1) == []
    assert service.append_event("s", Event("user"), expected_seq=1).seq == 2


# ---------------------------------------------------------------- appending again


def test_a_retry_changes_nothing_and_returns_what_is_stored(store: Store, session: Any) -> None:
    service = store.service
    stored = service.append_event("s", full_event())
    bare = service.append_event("s", Event("user", "hi", id="e2"))
    before = store.dump()
    later()
    assert service.append_event("s", full_event()) == stored
    assert service.append_event("s", full_event(), expected_seq=0) == stored
    assert service.append_event("s", stored) == stored
    assert service.append_event("s", full_event(created_at=None)) == stored
    assert service.append_event("s", Event("user", "hi", id="e2")) == bare
    assert service.append_events("s", [full_event(), full_event(), bare]) == [stored, stored, bare]
    assert store.dump() == before


@pytest.mark.parametrize(
    "change",
    [
        {"content": "other"},
        {"author": "user"},
        {"reasoning": "other"},
        {"actions": ()},
        {"actions": [ToolCall("Read", {"path": "main.go", "n": [True, 2.5, None, True]}, id="c1",
                              output="package main"),
                     ToolCall("Run", id="c2", error="no"), ToolCall("Wait")]},
        {"state": {"step": 2, "user:lang": "zh-CN"}},
        {"state": {"step": True, "user:lang": "zh-CN"}},
        {"state": {"step": REMOVE, "user:lang": "zh-CN"}},
        {"metadata": {}},
        {"agent_id": ""},
        {"branch": ""},
        {"invocation_id": ""},
        {"usage": None},
        {"usage": Usage("m", 1, 2, 3, 4)},
        {"created_at": NOON},
    ],
)  # fmt: skip
def test_an_id_that_is_taken_by_other_content_is_refused(store: Store, session: Any, change: dict[str, Any]) -> None:
    store.service.append_event("s", full_event())
    before = store.dump()
    with pytest.raises(DuplicateEventError, match="e1"):
        store.service.append_event("s", full_event(**change))
    assert store.dump() == before


def test_true_is_not_one_in_a_retry(service: Any, session: Any) -> None:
    service.append_event("s", Event("user", metadata={"flag": 1}, id="x"))
    with pytest.raises(DuplicateEventError):
        service.append_event("s", Event("user", metadata={"flag": True}, id="x"))


def test_a_batch_that_is_stored_in_part_is_completed(service: Any, session: Any) -> None:
    first = service.append_event("s", Event("user", "b", id="b"))
    done = service.append_events("s", [Event("user", text, id=text) for text in "abc"], expected_seq=1)
    assert contents(done) == ["a", "b", "c"]
    assert seqs(done) == [2, 1, 3]
    assert done[1] == first
    assert contents(service.list_events("s")) == ["b", "a", "c"]
    assert service.get_session("s").last_seq == 3


def test_the_same_event_twice_in_a_batch_is_stored_once(service: Any, session: Any) -> None:
    twice = [Event("user", "a", id="a"), Event("user", "b"), Event("user", "a", id="a")]
    stored = service.append_events("s", twice)
    assert contents(stored) == ["a", "b", "a"]
    assert seqs(stored) == [1, 2, 1]
    assert stored[0] == stored[2]
    assert service.list_events("s") == stored[:2]
    with pytest.raises(DuplicateEventError):
        service.append_events("s", [Event("user", "1", id="x"), Event("user", "2", id="x")])
    assert len(service.list_events("s")) == 2


def test_an_event_id_is_unique_in_its_session_only(service: Any, session: Any) -> None:
    service.create_session(session_id="t")
    first = service.append_event("s", Event("user", "one", id="x"))
    second = service.append_event("t", Event("user", "two", id="x"))
    assert (first.session_id, second.session_id) == ("s", "t")
    assert contents(service.list_events("s")) == ["one"]
    assert service.append_event("t", dataclasses.replace(first, id="y")).session_id == "t"


# ---------------------------------------------------------------- reading events


@pytest.fixture
def filtered(service: Any, session: Any) -> Any:
    """Twelve events that differ in everything a filter looks at."""
    service.append_events(
        "s",
        [
            Event(
                ("user", "assistant", "planner")[n % 3],
                str(n),
                agent_id=("", "a", "A")[n % 3],
                branch=("", "root", "root.sub", "%")[n % 4],
                invocation_id=("", "r1")[n % 2],
                actions=[ToolCall(name) for name in ((), ("Read",), ("read", "100%"), ("Read", 'a"b'))[n % 4]],
                created_at=NOON + timedelta(seconds=n),
            )
            for n in range(1, 13)
        ],
    )
    return service


FILTERS: dict[str, tuple[dict[str, Any], Callable[[int], bool]]] = {
    "author": ({"author": "assistant"}, lambda n: n % 3 == 1),
    "agent": ({"agent_id": "A"}, lambda n: n % 3 == 2),
    "no agent": ({"agent_id": ""}, lambda n: n % 3 == 0),
    "branch": ({"branch": "root"}, lambda n: n % 4 == 1),
    "branch with a wildcard": ({"branch": "%"}, lambda n: n % 4 == 3),
    "no branch": ({"branch": ""}, lambda n: n % 4 == 0),
    "invocation": ({"invocation_id": "r1"}, lambda n: n % 2 == 1),
    "no invocation": ({"invocation_id": ""}, lambda n: n % 2 == 0),
    "tool": ({"tool": "Read"}, lambda n: n % 4 in (1, 3)),
    "tool in another case": ({"tool": "read"}, lambda n: n % 4 == 2),
    "tool with a wildcard": ({"tool": "%"}, lambda n: False),
    "tool with a percent sign": ({"tool": "100%"}, lambda n: n % 4 == 2),
    "tool with a quote": ({"tool": 'a"b'}, lambda n: n % 4 == 3),
    "no such tool": ({"tool": ""}, lambda n: False),
    "long tool": ({"tool": "x" * 60_000}, lambda n: False),
    "since": ({"since": NOON + timedelta(seconds=4)}, lambda n: n >= 4),
    "until": ({"until": NOON + timedelta(seconds=4)}, lambda n: n < 4),
    "after": ({"after": 4}, lambda n: n > 4),
    "before": ({"before": 4}, lambda n: n < 4),
    "after nothing": ({"after": 0}, lambda n: True),
    "before nothing": ({"before": 0}, lambda n: False),
    "after everything": ({"after": 2**60}, lambda n: False),
    "between": ({"after": 3, "before": 9}, lambda n: 3 < n < 9),
    "several": ({"tool": "Read", "invocation_id": "r1", "author": "user", "after": 1}, lambda n: n in (3, 9)),
    "none": ({}, lambda n: True),
}


@pytest.mark.parametrize("name", FILTERS)
def test_events_are_found_by_every_filter_in_both_directions(filtered: Any, name: str) -> None:
    filters, fits = FILTERS[name]
    expected = [n for n in range(1, 13) if fits(n)]
    assert seqs(filtered.list_events("s", **filters)) == expected
    assert seqs(filtered.list_events("s", **filters, newest_first=True)) == expected[::-1]
    assert seqs(filtered.iter_events("s", **filters)) == expected
    assert seqs(filtered.iter_events("s", **filters, newest_first=True)) == expected[::-1]
    assert seqs(filtered.iter_events("s", **filters, limit=2)) == expected[:2]
    for newest_first in (False, True):
        seen: list[int] = []
        place: dict[str, Any] = {}
        while True:
            page = filtered.list_events("s", **{**filters, **place}, limit=2, newest_first=newest_first)
            seen += seqs(page)
            if page.next_cursor is None:
                break
            assert len(page) == 2
            place = {"before" if newest_first else "after": page.next_cursor}
        assert seen == (expected[::-1] if newest_first else expected)


def test_a_limit_of_zero_gives_none_and_no_limit_gives_all(filtered: Any) -> None:
    for newest_first in (False, True):
        page = filtered.list_events("s", limit=0, newest_first=newest_first)
        assert (page, page.next_cursor) == ([], None)
        page = filtered.list_events("s", limit=None, newest_first=newest_first)
        assert (len(page), page.next_cursor) == (12, None)
    assert list(filtered.iter_events("s", limit=0)) == []
    page = filtered.list_events("s", limit=12)
    assert (len(page), page.next_cursor) == (12, None)
    assert isinstance(page, Page)


def test_a_cursor_is_of_one_list_only(filtered: Any) -> None:
    filtered.create_session(session_id="t")
    fill(filtered, "t", "user", "user", "user")
    cursor = filtered.list_events("t", limit=1).next_cursor
    sessions = filtered.list_sessions(limit=1).next_cursor
    for foreign in (
        cursor,
        sessions,
        "",
        "x",
        "!!!!",
        "=",
        "é",
        cursor[:-3],
        cursor + "A",
        cursor[::-1],
        "W10",
        "bnVsbA",
    ):
        for place in ("after", "before"):
            with pytest.raises(InvalidInputError):
                filtered.list_events("s", **{place: foreign})
    other_user = filtered.scope(user_id="other")
    for foreign in (cursor, "", "x", sessions[:-3], sessions[::-1]):
        with pytest.raises(InvalidInputError):
            filtered.list_sessions(cursor=foreign)
    with pytest.raises(InvalidInputError):
        other_user.list_sessions(cursor=sessions)
    with pytest.raises(InvalidInputError):
        filtered.list_sessions(cursor=sessions, app_name=ANY)
    assert seqs(filtered.list_events("t", after=cursor)) == [2, 3]


def test_writing_inside_a_loop_over_events_is_fine(service: Any, session: Any) -> None:
    fill(service, "s", *["user"] * 20)
    service.append_events("s", [Event("user") for _ in range(1000)])
    seen = 0
    for event in service.iter_events("s"):
        seen += 1
        if event.seq <= 20:
            service.append_event("s", Event("assistant", f"to {event.seq}"))
            service.update_state("s", {"last": event.seq})
    assert seen == 1040
    seen = 0
    for event in service.iter_events("s", newest_first=True):
        seen += 1
        if event.seq % 100 == 0:
            service.append_event("s", Event("assistant"))
    assert seen == 1040
    stream = service.iter_events("s")
    assert next(stream).seq == 1
    service.delete_session("s")
    assert len(list(stream)) <= 1100


def test_a_stream_reads_more_than_one_chunk_with_any_filter(service: Any, session: Any) -> None:
    service.append_events("s", [Event("user", actions=[ToolCall("t")] if n % 2 else ()) for n in range(1, 1203)])
    assert seqs(service.iter_events("s")) == list(range(1, 1203))
    assert seqs(service.iter_events("s", tool="t", newest_first=True)) == list(range(1201, 0, -2))
    assert seqs(service.iter_events("s", tool="t", limit=501)) == list(range(1, 1003, 2))
    assert len(service.list_events("s", tool="t")) == 601
    assert seqs(service.list_events("s", tool="t", limit=1)) == [1]


def test_the_verbs_that_read_events_know_a_missing_session(service: Any) -> None:
    for read in (
        lambda: service.list_events("nowhere"),
        lambda: service.list_events("nowhere", limit=0),
        lambda: service.list_events("nowhere", author="user"),
        lambda: list(service.iter_events("nowhere")),
        lambda: service.last_events("nowhere", 3),
        lambda: service.last_events("nowhere", 0),
        lambda: service.get_state("nowhere"),
        lambda: service.get_state_value("nowhere", "k"),
        lambda: service.get_state_value("nowhere", "temp:k"),
    ):
        with pytest.raises(SessionNotFoundError):
            read()


# ---------------------------------------------------------------- the latest events

LETTERS = {"u": "user", "a": "assistant", "t": "tool", "s": "system", "p": "planner"}


@pytest.mark.parametrize(
    ("authors", "n", "expected"),
    [
        ("", 3, ""),
        ("suaua", 9, "suaua"),
        ("suaua", 5, "suaua"),
        ("suaua", 4, "uaua"),
        ("suaua", 3, "ua"),
        ("suaua", 2, "ua"),
        ("suaua", 1, "ua"),
        ("suaua", 0, ""),
        ("uaatat", 3, "uaatat"),
        ("uauatat", 5, "uatat"),
        ("uauatat", 4, "uatat"),
        ("uauatat", 1, "uatat"),
        ("uauatatu", 2, "u"),
        ("uauatatu", 1, "u"),
        ("uu", 1, "u"),
        ("aaa", 2, "aa"),
        ("sattt", 2, "attt"),
        ("sattt", 4, "attt"),
        ("attat", 4, "at"),
        ("ttt", 2, "ttt"),
        ("ttt", 3, "ttt"),
        ("pppp", 3, "ppp"),
        ("tua", 3, "tua"),
        ("tua", 2, "ua"),
    ],
)
def test_the_latest_events_begin_at_a_turn(service: Any, session: Any, authors: str, n: int, expected: str) -> None:
    fill(service, "s", *[LETTERS[letter] for letter in authors])
    found = service.last_events("s", n)
    assert [event.author for event in found] == [LETTERS[letter] for letter in expected]
    assert contents(found) == contents(service.list_events("s"))[len(authors) - len(expected) :]
    assert session.last_events(n) == found


# ---------------------------------------------------------------- clearing and replacing


def test_clearing_removes_the_events_and_keeps_the_session(service: Any) -> None:
    service.create_session(session_id="s", title="kept", metadata={"a": 1}, state={"k": 1})
    fill(service, "s", "user", "user")
    before = service.get_session("s")
    later()
    assert service.clear_session("s") == 2
    after = service.get_session("s")
    assert service.list_events("s") == []
    assert (after.title, after.metadata, after.last_seq) == ("kept", {"a": 1}, 2)
    assert after.updated_at > before.updated_at
    assert service.get_state("s") == {"k": 1}
    assert service.append_event("s", Event("user")).seq == 3
    assert service.clear_session("s") == 1
    assert service.clear_session("s") == 0
    with pytest.raises(SessionNotFoundError):
        service.clear_session("nowhere")


def test_replacing_is_clearing_and_appending_at_once(service: Any, session: Any) -> None:
    old = fill(service, "s", "user", "user")
    new = service.replace_events("s", [Event("user", "new"), old[1]])
    assert contents(new) == ["new", "2"]
    assert seqs(new) == [3, 4]
    assert service.list_events("s") == new
    assert service.replace_events("s", []) == []
    assert service.list_events("s") == []
    assert service.append_event("s", Event("user")).seq == 5
    with pytest.raises(DuplicateEventError):
        service.replace_events("s", [Event("user", "1", id="x"), Event("user", "2", id="x")])
    assert len(service.list_events("s")) == 1
    service.replace_events("made", [Event("user", "first")])
    assert contents(service.list_events("made")) == ["first"]
    service.replace_events("empty", [])
    assert service.list_events("empty") == []


# ---------------------------------------------------------------- state


def test_each_scope_of_state_is_seen_by_whom_it_is_for(service: Any) -> None:
    people = [("app", "user", "a"), ("app", "user", "b"), ("app", "other", "a"), ("second", "user", "a")]
    sessions = [service.create_session(session_id=s, app_name=app, user_id=user) for app, user, s in people]
    delta = {"own": 1, "session:named": 2, "user:u": 3, "app:a": 4, "temp:t": 5}
    assert service.update_state(sessions[0], delta) == {"app:a": 4, "named": 2, "own": 1, "user:u": 3}
    assert [service.get_state(session) for session in sessions] == [
        {"app:a": 4, "named": 2, "own": 1, "user:u": 3},
        {"app:a": 4, "user:u": 3},
        {"app:a": 4},
        {},
    ]
    assert service.get_state_value(sessions[1], "user:u") == 3
    assert service.get_state_value(sessions[0], "session:named") == 2
    assert service.get_state_value(sessions[0], "named") == 2
    assert service.get_state_value(sessions[0], "temp:t", default="gone") == "gone"
    assert service.get_state_value(sessions[1], "own", default="none") == "none"
    assert service.update_state(sessions[1], {"user:u": REMOVE, "own": 9}) == {"app:a": 4, "own": 9}
    assert service.get_state(sessions[0]) == {"app:a": 4, "named": 2, "own": 1}


def test_temporary_state_is_stored_nowhere(store: Store) -> None:
    service = store.service
    service.create_session(session_id="s", state={"temp:x": "temporary-1", "k": 1})
    stored = service.append_event("s", Event("user", state={"temp:x": "temporary-2", "k": 2}))
    service.update_state("s", {"temp:x": "temporary-3"})
    assert stored.state == {"k": 2}
    assert service.list_events("s")[0].state == {"k": 2}
    assert rows_about(store.dump(), "temp") == []


def test_none_is_a_value_and_remove_deletes(service: Any, session: Any) -> None:
    service.update_state("s", {"none": None, "gone": 1})
    assert service.update_state("s", {"gone": REMOVE, "never": REMOVE}) == {"none": None}
    assert service.get_state_value("s", "none", default="default") is None
    assert service.get_state_value("s", "gone", default="default") == "default"


@pytest.mark.parametrize(
    "value",
    [{"$remove": True}, {"$$remove": True}, {"$remove": None}, {"$remove": 1, "x": 2}, {"x": {"$remove": True}}],
)
def test_a_value_that_looks_like_a_removal_is_a_value(service: Any, session: Any, value: Any) -> None:
    service.create_session(session_id="initial", state={"k": value})
    assert service.get_state("initial") == {"k": value}
    stored = service.append_event("s", Event("user", state={"k": value}))
    assert stored.state == {"k": value}
    assert service.list_events("s")[0].state == {"k": value}
    assert service.get_state("s") == {"k": value}


def test_an_event_changes_the_state_with_it(service: Any, session: Any) -> None:
    service.append_events(
        "s",
        [
            Event("user", state={"step": 1, "gone": 1, "user:u": 1}),
            Event("user", state={"step": 2, "gone": REMOVE, "app:a": [1]}),
            Event("user", state={"session:step": 3}),
        ],
    )
    assert service.get_state("s") == {"app:a": [1], "step": 3, "user:u": 1}
    states = [event.state for event in service.list_events("s")]
    assert states == [{"step": 1, "gone": 1, "user:u": 1}, {"step": 2, "gone": REMOVE, "app:a": [1]}, {"step": 3}]
    service.update_state("s", {"step": 4})
    assert [event.state for event in service.list_events("s")] == states
    service.clear_session("s")
    assert service.get_state("s") == {"app:a": [1], "step": 4, "user:u": 1}


def test_a_change_of_state_is_a_change_of_the_session(service: Any, session: Any) -> None:
    later()
    service.update_state("s", {"k": 1})
    changed = service.get_session("s")
    assert changed.updated_at > session.updated_at
    later()
    service.update_state("s", {})
    service.update_state("s", {"temp:x": 1})
    assert service.get_session("s") == changed
    for delta in ({}, {"k": 1}, {"temp:x": 1}):
        with pytest.raises(SessionNotFoundError):
            service.update_state("nowhere", delta)


@pytest.mark.parametrize("key", NASTY_KEYS)
def test_a_state_key_is_exact_text(service: Any, session: Any, key: str) -> None:
    service.update_state("s", {key: 1, f"user:{key}": 2})
    assert service.get_state("s") == {key: 1, f"user:{key}": 2}
    assert service.get_state_value("s", key) == 1
    assert service.update_state("s", {key: REMOVE}) == {f"user:{key}": 2}


def test_the_state_of_a_session_is_a_live_mutable_mapping(store: Store) -> None:
    if store.is_async:
        pytest.skip("an AsyncSession has get_state and update_state instead")
    service = store.service
    state = service.create_session(session_id="s", state={"a": 1, "user:u": 2}).state
    assert isinstance(state, MutableMapping)
    assert dict(state) == state == {"a": 1, "user:u": 2}
    assert len(state) == 2
    assert "a" in state
    assert "b" not in state
    assert 5 not in state
    with pytest.raises(KeyError):
        state["b"]
    with pytest.raises(KeyError):
        del state["b"]
    service.update_state("s", {"b": None})
    assert state["b"] is None
    state["c"] = {"x": [1]}
    state["c"]["x"].append(2)
    assert state["c"] == {"x": [1]}, "a value is a copy: only an assignment stores"
    del state["a"]
    assert service.get_state("s") == {"b": None, "c": {"x": [1]}, "user:u": 2}
    state.update({"d": 1}, e=2)
    state.update([("f", 3)])
    assert state.setdefault("d", 9) == 1
    assert state.setdefault("g", 4) == 4
    assert state.pop("d") == 1
    assert state.pop("d", "default") == "default"
    with pytest.raises(KeyError):
        state.pop("d")
    assert sorted(state) == ["b", "c", "e", "f", "g", "user:u"]
    assert list(state.items()) == list(service.get_state("s").items())
    assert list(state.values()) == list(service.get_state("s").values())
    state["temp:x"] = 1
    assert "temp:x" not in state
    assert state.get("temp:x", "default") == "default"
    state["x"] = REMOVE
    assert "x" not in state
    state.clear()
    assert dict(state) == {"user:u": 2}
    service.delete_session("s")
    with pytest.raises(SessionNotFoundError):
        state["a"]
    with pytest.raises(SessionNotFoundError):
        state["a"] = 1


def test_changing_the_state_while_looping_over_it_is_fine(store: Store) -> None:
    if store.is_async:
        pytest.skip("an AsyncSession has get_state and update_state instead")
    state = store.service.create_session(state={"a": 1, "b": 2}).state
    for key in state:
        del state[key]
    assert not state


# ---------------------------------------------------------------- whose


def test_a_scope_is_a_view_with_other_defaults(service: Any, session: Any) -> None:
    other = service.scope(user_id="other")
    assert (other.app_name if not hasattr(other, "_target") else "app") == "app"
    other.create_session(session_id="s", title="other's")
    assert service.get_session("s").title == ""
    assert other.get_session("s").title == "other's"
    again = other.scope(app_name="second")
    assert again.list_sessions() == []
    assert again.create_session(session_id="x").user_id == "other"
    other.append_event("s", Event("user", "mine"))
    assert service.list_events("s") == []
    other.close()
    assert contents(service.scope(user_id="other").list_events("s")) == ["mine"]


def test_any_reads_across(service: Any) -> None:
    for app, user, id in (("app", "user", "1"), ("app", "other", "1"), ("second", "user", "2")):
        made = service.create_session(session_id=id, app_name=app, user_id=user, title=f"{app}/{user}")
        service.append_event(made, Event("user", f"{app}/{user}"))
        later()
    titles = ["second/user", "app/other", "app/user"]
    assert [one.title for one in service.list_sessions(app_name=ANY, user_id=ANY)] == titles
    assert [one.title for one in service.list_sessions(user_id=ANY)] == titles[1:]
    assert [one.title for one in service.list_sessions(app_name=ANY)] == titles[::2]
    every = service.scope(app_name=ANY, user_id=ANY)
    page = every.list_sessions(limit=2)
    assert [one.title for one in [*page, *every.list_sessions(cursor=page.next_cursor)]] == titles
    assert every.get_session("2").app_name == "second"
    assert contents(every.list_events("2")) == ["second/user"]
    assert contents(every.iter_events("2")) == ["second/user"]
    assert contents(every.last_events("2", 1)) == ["second/user"]
    assert every.get_state("2") == {}
    with pytest.raises(InvalidInputError, match="1"):
        every.get_session("1")
    with pytest.raises(InvalidInputError):
        every.list_events("1")
    with pytest.raises(SessionNotFoundError):
        every.get_session("3")
    with pytest.raises(SessionNotFoundError):
        every.list_events("3")


def test_any_writes_nothing(store: Store, session: Any) -> None:
    before = store.dump()
    for every in (store.service.scope(app_name=ANY), store.service.scope(user_id=ANY)):
        for write in (
            lambda every=every: every.create_session(),
            lambda every=every: every.create_session(session_id="s", exist_ok=True),
            lambda every=every: every.update_session("s", title="x"),
            lambda every=every: every.delete_session("s"),
            lambda every=every: every.clear_session("s"),
            lambda every=every: every.append_event("s", Event("user")),
            lambda every=every: every.append_events("s", [], create=True),
            lambda every=every: every.replace_events("s", []),
            lambda every=every: every.update_state("s", {"k": 1}),
        ):
            with pytest.raises(InvalidInputError, match="ANY"):
                write()
    assert store.dump() == before


def test_a_session_says_whose_it_is_under_any(service: Any) -> None:
    service.create_session(session_id="s", app_name="second", user_id="other")
    every = service.scope(app_name=ANY, user_id=ANY)
    found = every.get_session("s")
    every.append_event(found, Event("user", "hi"))
    assert contents(found.events()) == ["hi"]
    assert contents(service.list_events(found)) == ["hi"]
    assert found.delete() is True


# ---------------------------------------------------------------- the methods of a session


def test_the_methods_of_a_session_are_the_verbs_of_its_service(service: Any) -> None:
    session = service.create_session(session_id="s", title="old")
    added = session.add_event("user", "1", state={"k": 1}, metadata={"m": 1}, id="e", created_at=NOON, expected_seq=0)
    assert session.add_event("user", "1", state={"k": 1}, metadata={"m": 1}, id="e") == added
    more = session.add_events([Event("assistant", "2")], expected_seq=1)
    assert session.events() == [added, *more] == service.list_events("s")
    assert session.events(author="user") == [added]
    assert list(session.iter_events(newest_first=True)) == [*more, added]
    assert session.last_events(1) == [added, *more]
    assert session.last_seq == 0, "fields are as read"
    assert session.refresh().last_seq == 2
    assert session.update(title="new", metadata={"a": 1}).title == "new"
    assert session.title == "old"
    assert session.clear() == 2
    assert session.delete() is True
    assert session.delete() is False
    with pytest.raises(SessionNotFoundError):
        session.refresh()
    with pytest.raises(SessionNotFoundError):
        session.add_event("user")


def test_a_closed_service_refuses_every_verb(service: Any, session: Any) -> None:
    view = service.scope(user_id="other")
    stream = service.iter_events("s")
    calls = [
        call
        for one in (service, view)
        for call in (
            lambda one=one: one.create_session(),
            lambda one=one: one.get_session("s"),
            lambda one=one: one.list_sessions(),
            lambda one=one: one.list_sessions(limit=0),
            lambda one=one: one.update_session("s"),
            lambda one=one: one.delete_session("s"),
            lambda one=one: one.clear_session("s"),
            lambda one=one: one.append_event("s", Event("user")),
            lambda one=one: one.append_events("s", []),
            lambda one=one: one.replace_events("s", []),
            lambda one=one: one.list_events("s"),
            lambda one=one: one.list_events("s", limit=0),
            lambda one=one: list(one.iter_events("s")),
            lambda one=one: list(one.iter_events("s", limit=0)),
            lambda one=one: one.last_events("s", 2),
            lambda one=one: one.last_events("s", 0),
            lambda one=one: one.get_state("s"),
            lambda one=one: one.get_state_value("s", "k"),
            lambda one=one: one.get_state_value("s", "temp:k"),
            lambda one=one: one.update_state("s", {"k": 1}),
            lambda one=one: one.update_state("s", {}),
        )
    ]
    calls += [session.refresh, session.delete, session.events, session.clear, lambda: session.add_event("user")]
    service.close()
    service.close()
    for call in calls:
        with pytest.raises(StoreClosedError):
            call()
    with pytest.raises(StoreClosedError):
        list(stream)


def test_the_verbs_for_the_files_owner_are_closed_too(store: Store) -> None:
    service = store.service
    if store.is_async:
        pytest.skip("the asynchronous service has no db")
    service.close()
    for call in (lambda: service.db, lambda: service.query("SELECT 1"), lambda: service.search("x")):
        with pytest.raises(StoreClosedError):
            call()


# ---------------------------------------------------------------- values


def test_what_the_caller_gives_is_never_changed_and_never_shared(service: Any) -> None:
    given: dict[str, Any] = {
        "metadata": {"list": [1], "dict": {"a": 1}},
        "state": {"session:list": [1], "temp:x": [2], "user:u": {"a": 1}, "gone": REMOVE},
    }
    event_args: dict[str, Any] = {
        **given,
        "actions": [ToolCall("t", {"list": [1]}, output={"deep": [1]})],
    }
    kept = copy.deepcopy((given, event_args))
    made = service.create_session(session_id="s", **given)
    event = Event("user", **event_args)
    stored = service.append_event("s", event)
    service.update_session("s", metadata=given["metadata"])
    service.update_state("s", given["state"])
    service.list_sessions(metadata=given["metadata"])
    assert (given, event_args) == kept
    assert event == Event("user", **kept[1])
    # What came back is nobody else's.
    stored.metadata["list"].append(2)
    stored.state["list"].append(2)
    stored.actions[0].args["list"].append(2)
    stored.actions[0].output["deep"].append(2)
    made.metadata["list"].append(2)
    service.get_state("s")["list"].append(2)
    assert (given, event_args) == kept
    again = service.list_events("s")[0]
    assert again.metadata == kept[0]["metadata"]
    assert again.actions == event.actions
    assert service.get_session("s").metadata == kept[0]["metadata"]
    assert service.get_state("s") == {"list": [1], "user:u": {"a": 1}}


def test_any_mapping_and_any_sequence_will_do(service: Any) -> None:
    service.create_session(session_id="s", metadata=MappingProxyType({"a": 1}), state=MappingProxyType({"k": 1}))
    stored = service.append_event(
        "s",
        Event("user", actions=(ToolCall("t", MappingProxyType({"x": 1})),), metadata=MappingProxyType({"m": 1}),
              state=MappingProxyType({"k": 2})),
    )  # fmt: skip
    assert stored == service.list_events("s")[0]
    assert stored.actions == (ToolCall("t", {"x": 1}),)
    assert service.update_state("s", MappingProxyType({"k": 3})) == {"k": 3}
    assert service.update_session("s", metadata=MappingProxyType({"b": REMOVE})).metadata == {"a": 1}


def test_what_an_append_returns_is_what_a_read_returns(service: Any, session: Any) -> None:
    class Text(str):
        __slots__ = ()

    odd = Event(
        Text("user"), Text("c"), reasoning=Text("r"), agent_id=Text("a"), branch=Text("b"), invocation_id=Text("i"),
        id=Text("id"), metadata={Text("k"): Text("v")},
        actions=[ToolCall(Text("n"), {}, id=Text("i"), error=Text("e"))],
        raw="not stored", seq=77, session_id="elsewhere",
    )  # fmt: skip
    stored = service.append_event("s", odd)
    read = service.list_events("s")[0]
    assert stored == read
    for field in dataclasses.fields(Event):
        assert type(getattr(stored, field.name)) is type(getattr(read, field.name)), field.name


def test_sessions_and_events_compare_by_value_and_hash_by_their_key(store: Store) -> None:
    if store.is_async:
        pytest.skip("values are the same on both")
    service = store.service
    session = service.create_session(session_id="s", metadata={"a": [1]})
    event = service.append_event("s", full_event())
    same, other = service.get_session("s"), service.update_session("s", title="x")
    assert session != same, "last_seq differs"
    assert service.get_session("s") == other
    assert len({session, same, other}) == 3
    assert hash(session) == hash(same) == hash(other)
    assert hash(event) == hash(dataclasses.replace(event, content="x"))
    assert event != dataclasses.replace(event, content="x")
    for one in (session, event, ToolCall("t", {"a": 1}), Usage("m", 1), Page([event], "cursor")):
        for copied in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):  # noqa: S301  # our own
            assert copied == one
            assert type(copied) is type(one)
    assert pickle.loads(pickle.dumps(Page([1], "cursor"))).next_cursor == "cursor"  # noqa: S301  # our own
    assert dataclasses.replace(session, title="new").title == "new"
    assert dataclasses.asdict(session)["id"] == "s"
    assert "_service" not in dataclasses.asdict(session)
    assert "service" not in repr(session).lower()
    for constant in (ANY, REMOVE):
        assert pickle.loads(pickle.dumps(constant)) is constant  # noqa: S301  # our own
        assert copy.deepcopy(constant) is constant
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.content = "x"


def test_a_session_that_was_made_by_hand_names_one_and_has_no_service(service: Any, session: Any) -> None:
    by_hand = Session("s", "app", "user")
    service.append_event(by_hand, Event("user", "hi"))
    assert contents(service.list_events(pickle.loads(pickle.dumps(by_hand)))) == ["hi"]  # noqa: S301  # our own
    for call in (by_hand.refresh, by_hand.events, lambda: by_hand.state["k"]):
        with pytest.raises(StoreError, match="get_session"):
            call()
    with pytest.raises(InvalidInputError):
        service.list_events(Session("", "app", "user"))
    with pytest.raises(InvalidInputError):
        service.append_event(Session("s", "app", 5), Event("user"))  # type: ignore[arg-type]  # on purpose


def test_a_notebook_shows_pages_and_sessions_escaped(store: Store) -> None:
    if store.is_async:
        pytest.skip("values are the same on both")
    service = store.service
    evil = '<script>alert("x")</script>&"'
    session = service.create_session(session_id="<x-id>id</x-id>", title=evil, agent_id="<x-agent>")
    service.append_event(session, Event("<x-user>", evil + "长" * 1000, actions=[ToolCall("<x-tool>")]))
    pages = [service.list_sessions(), service.list_events(session), Page(["<x-item>"]), Page([], "more"), Page()]
    shown = [session._repr_html_(), *(page._repr_html_() for page in pages)]
    for html in shown:
        assert "<script" not in html
        assert "<x-" not in html
    assert "&lt;script&gt;" in shown[0]
    assert "&lt;script&gt;" in shown[1]
    many = Page([Event("user", str(n)) for n in range(1000)])._repr_html_()
    assert "more" in many
    assert len(many) < 100_000


# ---------------------------------------------------------------- times and numbers


def test_times_are_kept_to_the_microsecond_and_returned_in_utc(service: Any, session: Any) -> None:
    times = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
        datetime(2026, 1, 31, 8, 15, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        datetime.max.replace(tzinfo=UTC),
    ]
    stored = service.append_events("s", [Event("user", created_at=when) for when in times])
    assert [event.created_at for event in stored] == times
    assert [event.created_at for event in service.list_events("s")] == times
    assert {event.created_at.tzinfo for event in service.list_events("s")} == {UTC}
    for naive in (datetime(2026, 1, 1), datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))):  # noqa: DTZ001
        with pytest.raises(InvalidInputError):
            service.append_event("s", Event("user", created_at=naive))
        with pytest.raises(InvalidInputError):
            service.list_events("s", since=naive)
        with pytest.raises(InvalidInputError):
            service.list_events("s", until=naive)
        with pytest.raises(InvalidInputError):
            service.list_sessions(updated_after=naive)
        with pytest.raises(InvalidInputError):
            service.list_sessions(updated_before=naive)


@pytest.mark.parametrize("number", [0, -0.0, 1e308, 5e-324, 0.1, 2**63, -(2**63) - 1, 10**4299, 10**4300 - 1, True])
def test_numbers_are_exact(service: Any, session: Any, number: Any) -> None:
    service.append_event("s", Event("user", metadata={"n": number}, state={"n": [number]}))
    event = service.list_events("s")[0]
    for read in (event.metadata["n"], event.state["n"][0], service.get_state("s")["n"][0]):
        assert read == number
        assert type(read) is type(number)
        assert str(read) == str(number)


def test_a_hundred_levels_are_kept_and_one_more_is_refused(service: Any, session: Any) -> None:
    def nested(levels: int) -> Any:
        value: Any = "x"
        for _ in range(levels):
            value = {"k": value}
        return value

    stored = service.append_event("s", Event("user", metadata=nested(100)))
    assert stored.metadata == service.list_events("s")[0].metadata == nested(100)
    with pytest.raises(NotSerializableError):
        service.append_event("s", Event("user", metadata=nested(101)))


def test_a_note_that_a_run_was_interrupted_stands_at_a_message_until_it_is_taken_away(
    service: Any, session: Any
) -> None:
    asked = Event("user", "Count.", message_id="m1", metadata={"mine": 1}, id="e1")
    service.append_events("s", [asked, Event("user", "native", id="e2")])
    assert service.mark_interrupted("s", ["m1", "e2", "no such"], "CancelledError") == 2
    assert service.mark_interrupted("s", ["m1", "e2"], "CancelledError") == 0
    first, second = service.list_events("s")
    assert first.metadata == {"mine": 1, "interrupted": "CancelledError"}
    assert second.interrupted == "CancelledError"
    assert [one.interrupted for one in service.session_overviews()] == ["CancelledError"]
    assert service.mark_interrupted("s", ["m1", "e2"], "") == 2
    assert service.list_events("s")[0].metadata == {"mine": 1}
    assert [one.interrupted for one in service.session_overviews()] == [""]
    assert service.mark_interrupted("missing", ["m1"], "CancelledError") == 0
    for wrong in (("s", ["m1"], 3), ("s", [3], "x"), ("", ["m1"], "x")):
        with pytest.raises(InvalidInputError):
            service.mark_interrupted(*wrong)


def test_a_message_takes_the_place_of_another(service: Any, session: Any) -> None:
    service.append_messages("s", [Event("user", "Count.", message_id="m1"), Event("assistant", "one", message_id="p")])
    service.mark_interrupted("s", ["p"], "CancelledError")
    whole = Event("assistant", "one two", message_id="m2")
    for _ in range(2):
        (stored,) = service.append_messages("s", [whole], instead_of={"m2": "p", "m3": "m1"})
    assert (stored.seq, stored.content, stored.message_id, stored.interrupted) == (2, "one two", "m2", "")
    assert service.find_messages("s", ["m1", "p", "m2"]) == {"m1": 1, "m2": 2}
    service.append_messages("s", [Event("user", "new", message_id="m4")], instead_of={"m4": "no such"})
    assert [event.content for event in service.list_events("s")] == ["Count.", "one two", "new"]
    assert [hit.event.seq for hit in service.search("two")] == [2]
