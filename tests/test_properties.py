"""Whatever is put in comes out: round trips of events, and a store that behaves like plain dicts and lists."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from session_sqlite import (
    ANY,
    REMOVE,
    DuplicateEventError,
    Event,
    SessionExistsError,
    SessionNotFoundError,
    SQLiteSessionService,
    StaleSessionError,
    ToolCall,
    Usage,
)

LEAST_OPERATIONS = 2000

# ---------------------------------------------------------------- round trips

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
identifiers = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=128).filter(
    lambda text: text == text.strip()
)
optional_identifiers = st.just("") | identifiers
numbers = st.integers() | st.integers(-(10**40), 10**40)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
json_objects = st.dictionaries(texts, json_values, max_size=4)
# Prefixes say whose a key is; two spellings of one key would be one.
own_keys = texts.filter(lambda key: not key.startswith(("temp:", "session:")))
states = st.dictionaries(own_keys, json_values | st.just(REMOVE), max_size=4)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 30), timezones=offsets)  # noqa: DTZ001  # bounds are naive
tool_calls = st.builds(ToolCall, texts, json_objects, id=texts, output=json_values, error=st.none() | texts)
counts = st.integers(0, 2**53)
usages = st.builds(Usage, texts, counts, counts, counts, counts, counts)
events = st.builds(
    Event,
    st.sampled_from(["user", "assistant", "system", "tool"]) | identifiers,
    texts,
    reasoning=texts,
    actions=st.lists(tool_calls, max_size=3),
    state=states,
    metadata=json_objects,
    agent_id=optional_identifiers,
    branch=optional_identifiers,
    invocation_id=optional_identifiers,
    usage=st.none() | usages,
    id=optional_identifiers,
    created_at=st.none() | moments,
)


def alone(service: SQLiteSessionService) -> SQLiteSessionService:
    """An app of its own: examples share no state."""
    return service.scope(app_name=uuid4().hex)


@pytest.fixture(scope="module")
def memory() -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(":memory:") as service:
        yield service


def exactly(value: Any) -> str:
    """A text in which true is not 1, 1 not 1.0, and keys are in their order."""
    return repr(value)


def unplaced(event: Event) -> Event:
    return replace(event, id="", seq=0, session_id="", created_at=None)


@given(given_events=st.lists(events, max_size=4, unique_by=lambda event: event.id or id(event)))
def test_events_come_back_as_they_were_appended(memory: SQLiteSessionService, given_events: list[Event]) -> None:
    memory = alone(memory)
    session = memory.create_session()
    kept = exactly(given_events)
    stored = memory.append_events(session, given_events)
    read = memory.list_events(session)
    assert exactly(given_events) == kept
    assert stored == list(read)
    assert exactly(stored) == exactly(list(read))
    assert list(memory.iter_events(session)) == read
    assert exactly([unplaced(event) for event in read]) == exactly([unplaced(event) for event in given_events])
    for before, after in zip(given_events, read, strict=True):
        assert before.created_at in (None, after.created_at)
        assert before.id in ("", after.id)
    # Again: nothing to do. Elsewhere: the same events once more.
    last_seq = memory.get_session(session.id).last_seq
    assert memory.append_events(session, stored) == stored
    assert memory.get_session(session.id).last_seq == last_seq == len(given_events)
    other = memory.create_session()
    copied = memory.append_events(other, read)
    assert [replace(event, session_id="") for event in copied] == [replace(event, session_id="") for event in stored]
    memory.delete_session(session)
    memory.delete_session(other)


@given(state=states, metadata=json_objects, title=texts)
def test_sessions_come_back_as_they_were_created(
    memory: SQLiteSessionService, state: dict[str, Any], metadata: dict[str, Any], title: str
) -> None:
    memory = alone(memory)
    session = memory.create_session(title=title, metadata=metadata, state=state)
    read = memory.get_session(session.id)
    assert (read.title, exactly(read.metadata)) == (title, exactly(metadata))
    visible = {key: value for key, value in state.items() if value is not REMOVE}
    present = memory.get_state(session)
    assert exactly(sorted(visible.items())) == exactly([(key, present[key]) for key in sorted(visible)])
    for key, value in visible.items():
        assert exactly(memory.get_state_value(session, key)) == exactly(value)
    if metadata:
        key, value = next(iter(metadata.items()))
        assert session.id in {found.id for found in memory.list_sessions(metadata={key: value}, limit=None)}
    memory.update_state(session, dict.fromkeys(state, REMOVE))
    assert memory.get_state(session) == {}
    memory.delete_session(session)


@given(authors=st.text("uatsp", max_size=14), n=st.integers(0, 16))
def test_the_latest_events_are_those_of_the_model(memory: SQLiteSessionService, authors: str, n: int) -> None:
    names = {"u": "user", "a": "assistant", "t": "tool", "s": "system", "p": "planner"}
    session = memory.create_session()
    memory.append_events(session, [Event(names[letter]) for letter in authors])
    found = [event.seq for event in memory.last_events(session, n)]
    assert found == [index + 1 for index in latest(authors, n)]
    memory.delete_session(session)


def latest(authors: str, n: int) -> range:
    """The window of `last_events`, by its definition."""
    end = len(authors)
    if n == 0:
        return range(end, end)
    if end <= n:
        return range(end)
    window = range(end - n, end)
    turns = [index for index in window if authors[index] == "u"]
    if turns:
        return range(turns[0], end)
    earlier = [index for index in range(end - n) if authors[index] == "u"]
    if earlier:
        return range(earlier[-1], end)
    calls = [index for index in window if authors[index] != "t"]
    if calls:
        return range(calls[0], end)
    earlier = [index for index in range(end - n) if authors[index] != "t"]
    return range(earlier[-1] if earlier else 0, end)


# ---------------------------------------------------------------- a model


@dataclass
class Model:
    """A session, as a dict would hold it."""

    title: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[int, str, str, str, str]] = field(default_factory=list)  # seq, id, author, content, tool
    last_seq: int = 0
    state: dict[str, Any] = field(default_factory=dict)


OPERATIONS: Counter[str] = Counter()

apps = st.sampled_from(["app", "APP"])
users = st.sampled_from(["ann", "bob"])
names = st.sampled_from(["1", "2", "会话"])
keys = st.sampled_from(["a", "session:a", "b", "user:a", "user:b", "app:a", "temp:a"])
values = st.sampled_from([None, 0, True, "x", [1], {"$remove": True}, REMOVE])
deltas = st.dictionaries(keys, values, max_size=3).filter(lambda delta: not {"a", "session:a"} <= delta.keys())
event_ids = st.sampled_from(["", "", "e1", "e2", "e3"])
new_events = st.builds(
    Event,
    st.sampled_from(["user", "assistant", "tool"]),
    st.sampled_from(["hi", "你好", ""]),
    id=event_ids,
    state=deltas,
    actions=st.sampled_from([(), (ToolCall("t"),), (ToolCall("u"), ToolCall("%"))]),
)
Key = tuple[str, str, str]
session_keys = st.tuples(apps, users, names)


class StoreMachine(RuleBasedStateMachine):
    """Does the same things to a store and to dicts, and compares everything after each."""

    def __init__(self) -> None:
        super().__init__()
        self.service = SQLiteSessionService(":memory:", app_name="app", user_id="ann")
        self.sessions: dict[Key, Model] = {}
        self.shared: dict[tuple[str, str], dict[str, Any]] = {}  # (app, user), or (app, "") for the app's
        self.appended: dict[Key, dict[str, Event]] = {}  # by the caller's id, as given

    def teardown(self) -> None:
        self.service.close()

    @initialize(key=session_keys)
    def first(self, key: Key) -> None:
        self.create(key, "first", {}, {})

    def _count(self, name: str) -> None:
        OPERATIONS[name] += 1

    def _view(self, key: Key) -> SQLiteSessionService:
        return self.service.scope(app_name=key[0], user_id=key[1])

    def _change(self, key: Key, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            if name.startswith("temp:"):
                continue
            own = name.removeprefix("session:")
            if own.startswith("app:"):
                owner = self.shared.setdefault((key[0], ""), {})
            elif own.startswith("user:"):
                owner = self.shared.setdefault((key[0], key[1]), {})
            else:
                owner = self.sessions[key].state
            if value is REMOVE:
                owner.pop(own, None)
            else:
                owner[own] = value

    def _visible(self, key: Key) -> dict[str, Any]:
        shared = self.shared.get((key[0], ""), {}) | self.shared.get((key[0], key[1]), {})
        return shared | self.sessions[key].state

    def _missing(self, key: Key) -> bool:
        return key not in self.sessions

    @rule(key=session_keys, title=st.sampled_from(["", "x"]), metadata=st.sampled_from([{}, {"m": 1}]), state=deltas)
    def create(self, key: Key, title: str, metadata: dict[str, Any], state: dict[str, Any]) -> None:
        self._count("create")
        view = self._view(key)
        if key in self.sessions:
            with pytest.raises(SessionExistsError):
                view.create_session(session_id=key[2], title=title, metadata=metadata, state=state)
            assert view.create_session(session_id=key[2], exist_ok=True) == view.get_session(key[2])
            return
        view.create_session(session_id=key[2], title=title, metadata=metadata, state=state)
        self.sessions[key] = Model(title, dict(metadata))
        self.appended[key] = {}
        self._change(key, state)

    @rule(key=session_keys, metadata=st.dictionaries(st.sampled_from(["m", "n"]), st.sampled_from([1, True, REMOVE])))
    def update(self, key: Key, metadata: dict[str, Any]) -> None:
        self._count("update")
        if self._missing(key):
            with pytest.raises(SessionNotFoundError):
                self._view(key).update_session(key[2], metadata=metadata)
            return
        model = self.sessions[key]
        merged = {**model.metadata, **metadata}
        model.metadata = {name: value for name, value in merged.items() if value is not REMOVE}
        changed = self._view(key).update_session(key[2], metadata=metadata)
        assert exactly(changed.metadata) == exactly(model.metadata)

    @rule(key=session_keys)
    def delete(self, key: Key) -> None:
        self._count("delete")
        assert self._view(key).delete_session(key[2]) is (key in self.sessions)
        self.sessions.pop(key, None)
        self.appended.pop(key, None)

    @rule(key=session_keys)
    def clear(self, key: Key) -> None:
        self._count("clear")
        if self._missing(key):
            with pytest.raises(SessionNotFoundError):
                self._view(key).clear_session(key[2])
            return
        assert self._view(key).clear_session(key[2]) == len(self.sessions[key].events)
        self.sessions[key].events = []
        self.appended[key] = {}

    @rule(
        key=session_keys,
        batch=st.lists(new_events, max_size=4),
        create=st.booleans(),
        expect=st.sampled_from([None, 0, 1]),
    )
    def append(self, key: Key, batch: list[Event], create: bool, expect: int | None) -> None:
        self._count("append")
        view = self._view(key)
        before = self.sessions[key].last_seq if key in self.sessions else 0
        expected_seq = None if expect is None else before - 1 + expect if before + expect > 0 else 0

        def call() -> list[Event]:
            return view.append_events(key[2], batch, expected_seq=expected_seq, create=create)

        if self._missing(key) and not create:
            with pytest.raises(SessionNotFoundError):
                call()
            return
        known = dict(self.appended.get(key, {}))
        fresh: list[Event] = []
        for event in batch:
            if event.id and event.id in known:
                if not same(known[event.id], event):
                    with pytest.raises(DuplicateEventError):
                        call()
                    return
                continue
            if event.id:
                known[event.id] = event
            fresh.append(event)
        if expected_seq not in (None, before) and (fresh or not batch):
            with pytest.raises(StaleSessionError):
                call()
            return
        stored = call()
        model = self.sessions.setdefault(key, Model())
        self.appended[key] = known
        for event in fresh:
            model.last_seq += 1
            # The id is the caller's or what the store gave it: the one stored with this seq.
            given_id = event.id or next(one.id for one in stored if one.seq == model.last_seq)
            tools = ",".join(action.name for action in event.actions)
            model.events.append((model.last_seq, given_id, event.author, event.content, tools))
            self._change(key, dict(event.state))
        assert [event.content for event in stored] == [event.content for event in batch]
        assert {event.seq for event in stored} <= {one[0] for one in model.events}

    @rule(key=session_keys, batch=st.lists(new_events, max_size=3, unique_by=lambda event: event.id or id(event)))
    def replace_all(self, key: Key, batch: list[Event]) -> None:
        self._count("replace")
        stored = self._view(key).replace_events(key[2], batch)
        model = self.sessions.setdefault(key, Model())
        model.events = []
        self.appended[key] = {}
        for event, one in zip(batch, stored, strict=True):
            model.last_seq += 1
            tools = ",".join(action.name for action in event.actions)
            model.events.append((model.last_seq, one.id, event.author, event.content, tools))
            if event.id:
                self.appended[key][event.id] = event
            self._change(key, dict(event.state))

    @rule(key=session_keys, delta=deltas)
    def change_state(self, key: Key, delta: dict[str, Any]) -> None:
        self._count("state")
        if self._missing(key):
            with pytest.raises(SessionNotFoundError):
                self._view(key).update_state(key[2], delta)
            return
        self._change(key, delta)
        assert exactly(self._view(key).update_state(key[2], delta)) == exactly(dict(sorted(self._visible(key).items())))

    @rule(
        key=session_keys,
        author=st.sampled_from([None, "user", "tool"]),
        tool=st.sampled_from([None, "t", "%"]),
        after=st.sampled_from([None, 0, 1, 3]),
        before=st.sampled_from([None, 2, 5]),
        limit=st.sampled_from([None, 0, 1, 2]),
        newest_first=st.booleans(),
    )
    def read(self, key: Key, limit: int | None, newest_first: bool, **filters: Any) -> None:
        self._count("read")
        view = self._view(key)
        if self._missing(key):
            with pytest.raises(SessionNotFoundError):
                view.list_events(key[2], limit=limit, newest_first=newest_first, **filters)
            return
        fitting = [
            seq
            for seq, _, author, _, tools in self.sessions[key].events
            if filters["author"] in (None, author)
            and (filters["tool"] is None or filters["tool"] in tools.split(","))
            and (filters["after"] is None or seq > filters["after"])
            and (filters["before"] is None or seq < filters["before"])
        ]
        if newest_first:
            fitting.reverse()
        page = view.list_events(key[2], limit=limit, newest_first=newest_first, **filters)
        assert [event.seq for event in page] == (fitting if limit is None else fitting[:limit])
        assert (page.next_cursor is None) == (not page or len(page) == len(fitting))
        streamed = view.iter_events(key[2], limit=limit, newest_first=newest_first, **filters)
        assert [event.seq for event in streamed] == [event.seq for event in page]
        authors = "".join(author[0] for _, _, author, _, _ in self.sessions[key].events)
        window = [event.seq for event in view.last_events(key[2], limit or 0)]
        assert window == [self.sessions[key].events[index][0] for index in latest(authors, limit or 0)]

    @invariant()
    def everything_is_as_in_the_model(self) -> None:
        listed = self.service.list_sessions(app_name=ANY, user_id=ANY, limit=None)
        assert {(one.app_name, one.user_id, one.id) for one in listed} == self.sessions.keys()
        assert [one.updated_at for one in listed] == sorted((one.updated_at for one in listed), reverse=True)
        for session in listed:
            key = (session.app_name, session.user_id, session.id)
            model = self.sessions[key]
            assert (session.title, session.metadata, session.last_seq) == (model.title, model.metadata, model.last_seq)
            found = [
                (event.seq, event.id, event.author, event.content, ",".join(action.name for action in event.actions))
                for event in session.events()
            ]
            assert found == model.events
            assert exactly(self.service.get_state(session)) == exactly(dict(sorted(self._visible(key).items())))


def same(one: Event, other: Event) -> bool:
    """Equal, as the store keeps them: without temporary keys, and with one spelling of a key."""

    def kept(event: Event) -> str:
        state = {
            key.removeprefix("session:"): value for key, value in event.state.items() if not key.startswith("temp:")
        }
        return exactly(dataclasses.replace(event, state=dict(sorted(state.items()))))

    return kept(one) == kept(other)


def test_the_store_behaves_like_dicts_and_lists() -> None:
    OPERATIONS.clear()
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert OPERATIONS.total() >= LEAST_OPERATIONS, OPERATIONS
    assert min(OPERATIONS[name] for name in ("create", "update", "delete", "clear", "append", "state", "read")) >= 20
    print(f"{OPERATIONS.total():,} operations: {dict(OPERATIONS)}")


def test_utc_is_what_comes_back(memory: SQLiteSessionService) -> None:
    stored = memory.append_event(memory.create_session(), Event("user"))
    assert stored.created_at is not None
    assert stored.created_at.tzinfo is UTC
