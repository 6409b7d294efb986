"""Events are appended in order, all or nothing, and once however often they are sent."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from session_sqlite import (
    REMOVE,
    DuplicateEventError,
    Event,
    InvalidInputError,
    SessionNotFoundError,
    StaleSessionError,
    ToolCall,
    Usage,
)
from session_sqlite.testing.contract import (
    NOON,
    Contracts,
    contents,
    full_event,
    later,
    seqs,
)

CHANGES: list[dict[str, Any]] = [
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
]  # fmt: skip


class AppendContracts(Contracts):
    """Events are appended in order, all or nothing, and once however often they are sent."""

    def test_an_event_comes_back_as_it_was_appended(self, service: Any, session: Any) -> None:
        """Every field of an event is read as it was given, by each of the ways to read it."""
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

    def test_the_store_names_and_dates_an_event(self, service: Any, session: Any) -> None:
        """An event without id and time gets both, and its place in its session."""
        before = datetime.now(UTC)
        stored = service.append_event("s", Event("user"))
        assert len(stored.id) == 36
        assert before <= stored.created_at <= datetime.now(UTC)
        assert (stored.seq, stored.session_id) == (1, "s")

    def test_the_order_is_dense_whatever_the_times_say(self, service: Any, session: Any) -> None:
        """The order is ``seq``: 1, 2, 3 and so on as events are appended, whatever their times are."""
        service.append_events("s", [Event("user", "1", created_at=NOON), Event("user", "2", created_at=NOON)])
        service.append_event("s", Event("user", "3", created_at=NOON - timedelta(days=9)))
        service.append_events("s", [])
        service.append_events("s", (Event("user", text) for text in "45"))
        events = service.list_events("s")
        assert seqs(events) == [1, 2, 3, 4, 5]
        assert contents(events) == list("12345")
        assert service.get_session("s").last_seq == 5

    def test_a_batch_is_all_or_nothing(self, service: Any, dump: Any, session: Any) -> None:
        """A batch with one event that is refused stores nothing: no event and no state."""
        service.append_event("s", Event("user", "first", id="taken"))
        before = dump()
        batch = [Event("user", "x", state={"k": 1}), Event("user", "other content", id="taken"), Event("user", "y")]
        with pytest.raises(DuplicateEventError):
            service.append_events("s", batch)
        with pytest.raises(InvalidInputError):
            service.append_events("s", [Event("user", "x"), Event("user", metadata={"a": object()})])
        assert dump() == before

    def test_appending_to_a_session_that_is_not_there_is_an_error(self, service: Any, dump: Any) -> None:
        """An append to a session that is not there is a `SessionNotFoundError`, and makes none."""
        before = dump()
        for events in ([], [Event("user")], [Event("user", id="x")]):
            with pytest.raises(SessionNotFoundError):
                service.append_events("nowhere", events)
        with pytest.raises(SessionNotFoundError):
            service.append_events("nowhere", [], expected_seq=0)
        assert dump() == before

    def test_an_append_changes_the_time_of_the_session_and_never_back(self, service: Any, session: Any) -> None:
        """An append moves ``updated_at``, by the clock and not by the time that the event has."""
        later()
        service.append_event("s", Event("user", created_at=NOON))
        changed = service.get_session("s")
        assert changed.updated_at > session.updated_at
        assert changed.created_at == session.created_at

    def test_create_makes_the_session_with_its_first_events(self, service: Any) -> None:
        """With ``create=True`` the first append makes the session, and the next ones find it."""
        service.append_event("new", Event("user", "1", state={"k": 1}), create=True)
        service.append_events("new", [Event("user", "2", id="two")], create=True)
        assert contents(service.list_events("new")) == ["1", "2"]
        assert service.get_state("new") == {"k": 1}
        service.append_events("named", [Event("user", id="x")], create=True, expected_seq=0)
        assert service.get_session("named").last_seq == 1
        service.append_events("empty", [], create=True)
        assert service.get_session("empty").last_seq == 0

    def test_expected_seq_refuses_a_writer_who_missed_something(self, service: Any, dump: Any, session: Any) -> None:
        """``expected_seq`` that is not the session's last one is a `StaleSessionError`, and nothing is stored."""
        service.append_event("s", Event("user"), expected_seq=0)
        before = dump()
        for stale in (0, 2, 2**60):
            with pytest.raises(StaleSessionError):
                service.append_event("s", Event("user", state={"k": 1}), expected_seq=stale)
            with pytest.raises(StaleSessionError):
                service.append_events("s", [], expected_seq=stale)
        with pytest.raises(StaleSessionError):
            service.append_event("not there yet", Event("user"), expected_seq=1, create=True)
        assert dump() == before
        assert service.append_events("s", [], expected_seq=1) == []
        assert service.append_event("s", Event("user"), expected_seq=1).seq == 2

    def test_a_retry_changes_nothing_and_returns_what_is_stored(self, service: Any, dump: Any, session: Any) -> None:
        """An event that is sent again under its id changes no row, and the stored one is returned."""
        stored = service.append_event("s", full_event())
        bare = service.append_event("s", Event("user", "hi", id="e2"))
        before = dump()
        later()
        assert service.append_event("s", full_event()) == stored
        assert service.append_event("s", full_event(), expected_seq=0) == stored
        assert service.append_event("s", stored) == stored
        assert service.append_event("s", full_event(created_at=None)) == stored
        assert service.append_event("s", Event("user", "hi", id="e2")) == bare
        assert service.append_events("s", [full_event(), full_event(), bare]) == [stored, stored, bare]
        assert dump() == before

    def test_an_id_that_is_taken_by_other_content_is_refused(self, service: Any, dump: Any, session: Any) -> None:
        """The id of a stored event with any other field is a `DuplicateEventError`, and nothing changes."""
        service.append_event("s", full_event())
        before = dump()
        for change in CHANGES:
            with pytest.raises(DuplicateEventError, match="e1"):
                service.append_event("s", full_event(**change))
            assert dump() == before, change

    def test_true_is_not_one_in_a_retry(self, service: Any, session: Any) -> None:
        """A retry compares JSON values exactly: ``True`` in place of ``1`` is other content."""
        service.append_event("s", Event("user", metadata={"flag": 1}, id="x"))
        with pytest.raises(DuplicateEventError):
            service.append_event("s", Event("user", metadata={"flag": True}, id="x"))

    def test_a_batch_that_is_stored_in_part_is_completed(self, service: Any, session: Any) -> None:
        """Of a batch that is sent again, what is missing is appended and what is there is returned."""
        first = service.append_event("s", Event("user", "b", id="b"))
        done = service.append_events("s", [Event("user", text, id=text) for text in "abc"], expected_seq=1)
        assert contents(done) == ["a", "b", "c"]
        assert seqs(done) == [2, 1, 3]
        assert done[1] == first
        assert contents(service.list_events("s")) == ["b", "a", "c"]
        assert service.get_session("s").last_seq == 3

    def test_the_same_event_twice_in_a_batch_is_stored_once(self, service: Any, session: Any) -> None:
        """An id that stands twice in a batch is stored once if the content is the same, and refused if it is not."""
        twice = [Event("user", "a", id="a"), Event("user", "b"), Event("user", "a", id="a")]
        stored = service.append_events("s", twice)
        assert contents(stored) == ["a", "b", "a"]
        assert seqs(stored) == [1, 2, 1]
        assert stored[0] == stored[2]
        assert service.list_events("s") == stored[:2]
        with pytest.raises(DuplicateEventError):
            service.append_events("s", [Event("user", "1", id="x"), Event("user", "2", id="x")])
        assert len(service.list_events("s")) == 2

    def test_an_event_id_is_unique_in_its_session_only(self, service: Any, session: Any) -> None:
        """Two sessions may have events of the same id."""
        service.create_session(session_id="t")
        first = service.append_event("s", Event("user", "one", id="x"))
        second = service.append_event("t", Event("user", "two", id="x"))
        assert (first.session_id, second.session_id) == ("s", "t")
        assert contents(service.list_events("s")) == ["one"]
        assert service.append_event("t", dataclasses.replace(first, id="y")).session_id == "t"
