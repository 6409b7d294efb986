"""State has scopes, changes with events, and is a live mapping."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from session_sqlite import (
    REMOVE,
    Event,
    SessionNotFoundError,
)
from session_sqlite.testing.contract import (
    NASTY_KEYS,
    Contracts,
    later,
    rows_about,
    skip_if_awaited,
)

LIKE_A_REMOVAL: list[Any] = [
    {"$remove": True}, {"$$remove": True}, {"$remove": None}, {"$remove": 1, "x": 2}, {"x": {"$remove": True}},
]  # fmt: skip


class StateContracts(Contracts):
    """State has scopes, changes with events, and is a live mapping."""

    def test_each_scope_of_state_is_seen_by_whom_it_is_for(self, service: Any) -> None:
        """``app:`` is the whole app's, ``user:`` is its user's, ``temp:`` is nobody's, the rest is the session's."""
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

    def test_temporary_state_is_stored_nowhere(self, service: Any, dump: Any) -> None:
        """A ``temp:`` key is in no row, also not in that of the event that had it."""
        service.create_session(session_id="s", state={"temp:x": "temporary-1", "k": 1})
        stored = service.append_event("s", Event("user", state={"temp:x": "temporary-2", "k": 2}))
        service.update_state("s", {"temp:x": "temporary-3"})
        assert stored.state == {"k": 2}
        assert service.list_events("s")[0].state == {"k": 2}
        assert rows_about(dump(), "temp") == []

    def test_none_is_a_value_and_remove_deletes(self, service: Any, session: Any) -> None:
        """``None`` is a value like others; `REMOVE` deletes a key, also one that is not there."""
        service.update_state("s", {"none": None, "gone": 1})
        assert service.update_state("s", {"gone": REMOVE, "never": REMOVE}) == {"none": None}
        assert service.get_state_value("s", "none", default="default") is None
        assert service.get_state_value("s", "gone", default="default") == "default"

    def test_a_value_that_looks_like_a_removal_is_a_value(self, service: Any) -> None:
        """A value is never mistaken for the stored form of `REMOVE`."""
        for value in LIKE_A_REMOVAL:
            assert service.get_state(service.create_session(state={"k": value})) == {"k": value}
            session = service.create_session()
            stored = service.append_event(session, Event("user", state={"k": value}))
            assert stored.state == {"k": value}
            assert service.list_events(session)[0].state == {"k": value}
            assert service.get_state(session) == {"k": value}

    def test_an_event_changes_the_state_with_it(self, service: Any, session: Any) -> None:
        """The state of an event is applied with its append, in order, and stays in the event as history."""
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

    def test_a_change_of_state_is_a_change_of_the_session(self, service: Any, session: Any) -> None:
        """A change of state moves ``updated_at``; a change of nothing does not."""
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

    def test_a_state_key_is_exact_text(self, service: Any) -> None:
        """Any text is a key of the state: quotes, paths, wildcards, NUL."""
        for number, key in enumerate(NASTY_KEYS):
            own = service.scope(user_id=f"user {number}")
            own.create_session(session_id="s")
            own.update_state("s", {key: 1, f"user:{key}": 2})
            assert own.get_state("s") == {key: 1, f"user:{key}": 2}
            assert own.get_state_value("s", key) == 1
            assert own.update_state("s", {key: REMOVE}) == {f"user:{key}": 2}

    def test_the_state_of_a_session_is_a_live_mutable_mapping(self, service: Any) -> None:
        """``session.state`` is a `MutableMapping` that reads and writes the store at each access."""
        skip_if_awaited(service, "an AsyncSession has get_state and update_state instead")
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

    def test_changing_the_state_while_looping_over_it_is_fine(self, service: Any) -> None:
        """A loop over ``session.state`` goes over the keys that were there at its beginning."""
        skip_if_awaited(service, "an AsyncSession has get_state and update_state instead")
        state = service.create_session(state={"a": 1, "b": 2}).state
        for key in state:
            del state[key]
        assert not state
