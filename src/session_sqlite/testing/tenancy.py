"""Users and apps never meet, unless `ANY` reads across them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from session_sqlite import (
    ANY,
    REMOVE,
    Event,
    InvalidInputError,
    SessionNotFoundError,
    ToolCall,
)
from session_sqlite.testing.contract import (
    Contracts,
    contents,
    is_refused,
    later,
)

NAMES = ["a", "A", "\u00e1", "a\u0301", "\uff41", "a%", "a_", "ß", "ss", "\u200da", "a\u00ad"]
KEYS = [*NAMES, "a ", " a", "a\u00a0"]
NAMED: dict[str, Callable[[str], Event]] = {
    "author": lambda name: Event(name, name),
    "agent_id": lambda name: Event("user", name, agent_id=name),
    "branch": lambda name: Event("user", name, branch=name),
    "invocation_id": lambda name: Event("user", name, invocation_id=name),
    "tool": lambda name: Event("assistant", name, actions=[ToolCall(name)]),
}


class TenancyContracts(Contracts):
    """Users and apps never meet, unless `ANY` reads across them."""

    def test_a_scope_is_a_view_with_other_defaults(self, service: Any, session: Any) -> None:
        """`scope` is the same store with another app or user as the default; closing it closes nothing."""
        other = service.scope(user_id="other")
        assert (other.app_name, other.user_id) == ("app", "other")
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

    def test_any_reads_across(self, service: Any) -> None:
        """`ANY` as app or user reads all of them; an id that several have is an error that says so."""
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

    def test_any_writes_nothing(self, service: Any, dump: Any, session: Any) -> None:
        """Every write under `ANY` is an `InvalidInputError`, and changes nothing."""
        before = dump()
        writes: list[Callable[[Any], object]] = [
            lambda every: every.create_session(),
            lambda every: every.create_session(session_id="s", exist_ok=True),
            lambda every: every.update_session("s", title="x"),
            lambda every: every.delete_session("s"),
            lambda every: every.clear_session("s"),
            lambda every: every.append_event("s", Event("user")),
            lambda every: every.append_events("s", [], create=True),
            lambda every: every.replace_events("s", []),
            lambda every: every.update_state("s", {"k": 1}),
        ]
        for every in (service.scope(app_name=ANY), service.scope(user_id=ANY)):
            for write in writes:
                with pytest.raises(InvalidInputError, match="ANY"):
                    write(every)
        assert dump() == before

    def test_a_session_says_whose_it_is_under_any(self, service: Any) -> None:
        """A `Session` carries its app and user, so that its own methods also work when it was found under `ANY`."""
        service.create_session(session_id="s", app_name="second", user_id="other")
        every = service.scope(app_name=ANY, user_id=ANY)
        found = every.get_session("s")
        every.append_event(found, Event("user", "hi"))
        assert contents(found.events()) == ["hi"]
        assert contents(service.list_events(found)) == ["hi"]
        assert found.delete() is True

    def test_apps_users_and_sessions_with_names_alike_never_meet(self, service: Any) -> None:
        """Apps, users and sessions whose names differ in case, accents, width or an invisible character never meet."""
        for scope in ("app_name", "user_id"):
            for name in NAMES:
                view = service.scope(**{scope: name})
                view.create_session(session_id="s", title=name).add_event("user", name, state={"user:k": name})
            for name in NAMES:
                view = service.scope(**{scope: name})
                assert [session.title for session in view.list_sessions()] == [name]
                assert [event.content for event in view.list_events("s")] == [name]
                assert view.get_state("s")["user:k"] == name
        for name in NAMES:
            service.create_session(session_id=name).add_event("user", name)
        for name in NAMES:
            assert [event.content for event in service.list_events(name)] == [name]
        service.delete_session("a")
        assert sorted(session.id for session in service.list_sessions(limit=None)) == sorted(NAMES[1:])

    def test_a_filter_finds_the_very_name(self, service: Any) -> None:
        """A filter compares names by every character: case, accents, width, wildcards."""
        for field, make in NAMED.items():
            session = service.create_session()
            session.add_events([make(name) for name in NAMES])
            for name in NAMES:
                assert [event.content for event in session.events(**{field: name})] == [name], field

    def test_events_and_keys_with_names_alike_are_different_ones(self, service: Any) -> None:
        """Event ids, and keys of state and metadata, are compared by every character."""
        session = service.create_session(metadata={key: key for key in KEYS}, state={key: key for key in KEYS})
        session.add_events([Event("user", name, id=name) for name in NAMES])
        assert [event.id for event in session.events()] == NAMES
        for name in NAMES:
            assert session.add_event("user", name, id=name).seq == NAMES.index(name) + 1  # a retry, of this one
        for key in KEYS:
            assert service.get_state_value(session, key) == key
            assert session.refresh().metadata[key] == key
            assert [found.id for found in service.list_sessions(metadata={key: key})] == [session.id]
        service.update_state(session, {"a": REMOVE})
        assert sorted(service.get_state(session)) == sorted(KEYS[1:])
        for scope in ("user:", "app:"):
            service.update_state(session, {f"{scope}{key}": key for key in KEYS})
            assert [service.get_state_value(session, f"{scope}{key}") for key in KEYS] == KEYS

    def test_a_name_with_a_blank_at_an_end_is_refused_everywhere(self, service: Any) -> None:
        """A name that begins or ends with a blank is an `InvalidInputError`, since servers compare those as equal."""
        for name in ("a ", " a", "a\u00a0", "a\n", "\ta"):
            assert is_refused(partial(service.create_session, session_id=name)), repr(name)
            assert is_refused(partial(service.scope, user_id=name)), repr(name)
            assert is_refused(partial(service.scope, app_name=name)), repr(name)
