"""Values come back exactly, belong to the caller alone, and have the methods of their service."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from types import MappingProxyType
from typing import Any

import pytest

from session_sqlite import (
    ANY,
    REMOVE,
    Event,
    InvalidInputError,
    NotSerializableError,
    Page,
    Session,
    SessionNotFoundError,
    StoreClosedError,
    StoreError,
    ToolCall,
    Usage,
)
from session_sqlite.testing.contract import (
    NOON,
    Contracts,
    contents,
    full_event,
    skip_if_awaited,
)


class ValueContracts(Contracts):
    """Values come back exactly, belong to the caller alone, and have the methods of their service."""

    def test_the_methods_of_a_session_are_the_verbs_of_its_service(self, service: Any) -> None:
        """The methods of a session do what the service's verbs do, and its fields stay as they were read."""
        session = service.create_session(session_id="s", title="old")
        added = session.add_event(
            "user", "1", state={"k": 1}, metadata={"m": 1}, id="e", created_at=NOON, expected_seq=0
        )
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

    def test_a_closed_service_refuses_every_verb(self, service: Any, session: Any) -> None:
        """After `close` every verb of the service, of its views and of its sessions is a `StoreClosedError`."""
        view = service.scope(user_id="other")
        stream = service.iter_events("s")
        verbs: list[Callable[[Any], object]] = [
            lambda one: one.create_session(),
            lambda one: one.get_session("s"),
            lambda one: one.list_sessions(),
            lambda one: one.list_sessions(limit=0),
            lambda one: one.update_session("s"),
            lambda one: one.delete_session("s"),
            lambda one: one.clear_session("s"),
            lambda one: one.append_event("s", Event("user")),
            lambda one: one.append_events("s", []),
            lambda one: one.replace_events("s", []),
            lambda one: one.list_events("s"),
            lambda one: one.list_events("s", limit=0),
            lambda one: list(one.iter_events("s")),
            lambda one: list(one.iter_events("s", limit=0)),
            lambda one: one.last_events("s", 2),
            lambda one: one.last_events("s", 0),
            lambda one: one.get_state("s"),
            lambda one: one.get_state_value("s", "k"),
            lambda one: one.get_state_value("s", "temp:k"),
            lambda one: one.update_state("s", {"k": 1}),
            lambda one: one.update_state("s", {}),
        ]
        calls: list[Callable[[], object]] = [partial(verb, one) for one in (service, view) for verb in verbs]
        calls += [session.refresh, session.delete, session.events, session.clear, lambda: session.add_event("user")]
        service.close()
        service.close()
        for call in calls:
            with pytest.raises(StoreClosedError):
                call()
        with pytest.raises(StoreClosedError):
            list(stream)

    def test_the_verbs_for_the_files_owner_are_closed_too(self, service: Any) -> None:
        """`db`, `query` and `search` of a closed service are a `StoreClosedError`."""
        skip_if_awaited(service, "the asynchronous service has no db")
        service.close()
        calls: list[Callable[[], object]] = [
            lambda: service.db,
            lambda: service.query("SELECT 1"),
            lambda: service.search("x"),
        ]
        for call in calls:
            with pytest.raises(StoreClosedError):
                call()

    def test_what_the_caller_gives_is_never_changed_and_never_shared(self, service: Any) -> None:
        """The caller's objects stay as they are, and what is returned is shared with nobody."""
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

    def test_any_mapping_and_any_sequence_will_do(self, service: Any) -> None:
        """Metadata, state, actions and arguments may be any mapping or sequence."""
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

    def test_what_an_append_returns_is_what_a_read_returns(self, service: Any, session: Any) -> None:
        """The event that an append returns equals the one that is read, to the types of its fields."""

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

    def test_sessions_and_events_compare_by_value_and_hash_by_their_key(self, service: Any) -> None:
        """Sessions and events are equal by value, hash by their key, and can be pickled and copied."""
        skip_if_awaited(service, "values are the same on both")
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

    def test_a_session_that_was_made_by_hand_names_one_and_has_no_service(self, service: Any, session: Any) -> None:
        """A `Session` made by hand names a session for every verb; its own methods say that it has no service."""
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

    def test_a_notebook_shows_pages_and_sessions_escaped(self, service: Any) -> None:
        """The HTML of pages and sessions escapes every text, and stays short."""
        skip_if_awaited(service, "values are the same on both")
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

    def test_times_are_kept_to_the_microsecond_and_returned_in_utc(self, service: Any, session: Any) -> None:
        """A time of any zone and year comes back as the same moment in UTC; a naive one is refused."""
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

    def test_numbers_are_exact(self, service: Any) -> None:
        """Numbers come back with their type and every digit, integers of 4,300 digits too."""
        for number in (0, -0.0, 1e308, 5e-324, 0.1, 2**63, -(2**63) - 1, 10**4299, 10**4300 - 1, True):
            session = service.create_session()
            service.append_event(session, Event("user", metadata={"n": number}, state={"n": [number]}))
            event = service.list_events(session)[0]
            for read in (event.metadata["n"], event.state["n"][0], service.get_state(session)["n"][0]):
                assert read == number
                assert type(read) is type(number)
                assert str(read) == str(number)

    def test_a_hundred_levels_are_kept_and_one_more_is_refused(self, service: Any, session: Any) -> None:
        """JSON of a hundred levels is stored, and one more is a `NotSerializableError`."""

        def nested(levels: int) -> Any:
            value: Any = "x"
            for _ in range(levels):
                value = {"k": value}
            return value

        stored = service.append_event("s", Event("user", metadata=nested(100)))
        assert stored.metadata == service.list_events("s")[0].metadata == nested(100)
        with pytest.raises(NotSerializableError):
            service.append_event("s", Event("user", metadata=nested(101)))
