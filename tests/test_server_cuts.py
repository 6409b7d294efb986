"""A connection is cut at each request of each verb, before the server has it and before its answer comes back.

Whatever happens, the verb has done all or nothing, nothing twice, and its caller gets the answer or an error of ours;
the next call works.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy
from backends import SERVERS, empty_store, server
from langchain_core.messages import AIMessage, HumanMessage
from wires import Wire

from session_sqlite import (
    Event,
    Session,
    SessionService,
    SQLAlchemySessionService,
    SQLiteChatMessageHistory,
    StoreError,
    ToolCall,
    Usage,
)
from session_sqlite.server import database


def events(prefix: str = "e") -> list[Event]:
    return [Event("user", f"word {prefix}{n}", id=f"{prefix}{n}", state={"n": n, "user:n": n}) for n in range(3)]


@dataclass(frozen=True)
class Verb:
    """One call on a service; ``is_whole`` if it is one transaction, so that also an error leaves all or nothing."""

    name: str
    call: Callable[[SessionService], Any]
    is_whole: bool = True


MESSAGES = [HumanMessage("word"), AIMessage("an answer")]
WRITES = [
    Verb("create_session", lambda s: s.create_session(session_id="new", title="t", state={"a": 1, "app:b": 2}).id),
    Verb("create_session exist_ok", lambda s: s.create_session(session_id="s", exist_ok=True).id),
    Verb("append_event", lambda s: s.append_event("s", Event("user", "word new", state={"k": 1})).seq),
    Verb("append_events", lambda s: [one.seq for one in s.append_events("s", events("new"))]),
    Verb("append_events again", lambda s: [one.seq for one in s.append_events("s", [*events(), *events("new")])]),
    Verb("append_events expected", lambda s: [one.seq for one in s.append_events("s", events("new"), expected_seq=5)]),
    Verb("add_messages", lambda s: SQLiteChatMessageHistory("s", service=s).add_messages(MESSAGES)),
    Verb("add_messages to a new one", lambda s: SQLiteChatMessageHistory("new", service=s).add_messages(MESSAGES)),
    Verb("update_session", lambda s: s.update_session("s", title="other", metadata={"m": 1}).title),
    Verb("update_state", lambda s: s.update_state("s", {"a": 2, "user:x": 3, "app:y": 4})),
    Verb("clear_session", lambda s: s.clear_session("s")),
    Verb("delete_session", lambda s: s.delete_session("s")),
    Verb("fork_session", lambda s: s.fork_session("s", at=4, session_id="fork").last_seq),
    Verb("rewind_session", lambda s: len(s.rewind_session("s", turns=1))),
    Verb("summarize_session", lambda s: bool(s.summarize_session("s", lambda _: "short", keep_last=1)), is_whole=False),
    Verb("redact", lambda s: s.redact("word", session="s").events, is_whole=False),
    Verb("erase", lambda s: bool(s.erase("s")), is_whole=False),
    Verb("prune", lambda s: s.prune(keep_last=1).events, is_whole=False),
]
READS = [
    Verb("events", lambda s: [e.content for e in s.list_events("s")]),
    Verb("last_events", lambda s: [e.content for e in s.last_events("s", 2)]),
    Verb("iter_events", lambda s: [e.content for e in s.iter_events("s")]),
    Verb("get_state", lambda s: s.get_state("s")),
    Verb("list_sessions", lambda s: [one.id for one in s.list_sessions()]),
    Verb("overviews", lambda s: [one.event_count for one in s.session_overviews()]),
    Verb("search", lambda s: [hit.event.content for hit in s.search("word")]),
    Verb("recall", lambda s: [hit.event.content for hit in s.recall("which word was it?")]),
    Verb("tool_calls", lambda s: [call["name"] for call in s.tool_calls()]),
    Verb("usage", lambda s: list(s.usage(by="model"))),
    Verb("messages", lambda s: [m.content for m in SQLiteChatMessageHistory("s", service=s).messages]),
]


def filled(service: SessionService) -> Session:
    session = service.create_session(session_id="s", title="word", state={"given": True})
    session.add_events(events())
    session.add_event("assistant", "word", actions=[ToolCall("Read", id="c", output="x")], usage=Usage("m", 1, 2))
    session.add_event("user", "last")
    service.create_session(session_id="beside").add_event("user", "word beside")
    return session


def picture(service: SessionService) -> Any:
    """Everything that callers see, but for ids and times that are made anew at each run."""
    sessions = {
        one.id: (
            one.title, one.last_seq, one.metadata, service.get_state(one.id),
            [(e.seq, e.author, e.content, e.state, e.unreadable) for e in service.list_events(one.id)],
        )
        for one in service.list_sessions(limit=100)
    }  # fmt: skip
    return sessions, sorted((hit.session.id, hit.event.seq) for hit in service.search("word", limit=100))


@pytest.fixture(params=sorted(SERVERS))
def stores(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[SQLAlchemySessionService, SQLAlchemySessionService, Wire]]:
    """A store, the same over a wire, and the wire."""
    server(request.param)
    monkeypatch.setattr(database, "RECONNECT_PAUSE", 0.001)
    url = sqlalchemy.make_url(empty_store(request.param))
    assert url.port is not None
    wire = Wire(url.port)
    through = url.set(port=wire.port).render_as_string(hide_password=False)
    with (
        SQLAlchemySessionService(url.render_as_string(hide_password=False)) as direct,
        SQLAlchemySessionService(through, pool_size=1, busy_timeout=20) as over_wire,
    ):
        yield direct, over_wire, wire
    wire.close()


Stores = tuple[SQLAlchemySessionService, SQLAlchemySessionService, Wire]


def cut_requests(stores: Stores, *, every: int) -> tuple[int, int]:
    """Cuts at one of ``every`` so many requests of all verbs; returns how often, and how often that was an error."""
    direct, over_wire, wire = stores
    numbers = itertools.count()
    cases = itertools.count()
    cuts = errors = 0

    def new_app() -> str:
        name = f"app {next(numbers)}"
        filled(direct.scope(app_name=name, user_id="u"))
        return name

    of_reads = new_app()
    for verb in [*READS, *WRITES]:
        writes = verb in WRITES
        app = new_app() if writes else of_reads
        clean, before = over_wire.scope(app_name=app, user_id="u"), picture(direct.scope(app_name=app, user_id="u"))
        wire.round_trips = 0
        answer, requests = verb.call(clean), wire.round_trips
        after = picture(clean)
        for loses_answers, request in itertools.product((False, True), range(1, requests + 1)):
            if next(cases) % every:
                continue
            app = new_app() if writes else of_reads
            there = over_wire.scope(app_name=app, user_id="u")
            assert there.get_session("beside").last_seq == 1  # so that it is connected
            wire.round_trips, wire.cut_at, wire.loses_answers = 0, request, loses_answers
            case = (verb.name, request, loses_answers)
            allowed = [after]
            try:
                assert verb.call(there) == answer, case
            except StoreError:
                errors += 1
                assert writes, case
                allowed.append(before)
            cuts += wire.round_trips >= request  # a batch may be sent in fewer pieces than before
            wire.cut_at = 0
            if writes:
                seen = picture(direct.scope(app_name=app, user_id="u"))
                assert seen in allowed or not verb.is_whole, (case, seen, allowed)
            assert there.get_session("beside").last_seq == 1, case
    report = {finding.name: finding.level for finding in direct.check()}
    assert {report[name] for name in ("foreign keys", "order", "state", "ids", "search index", "events")} == {"ok"}
    print(f"{cuts} cuts, {errors} errors")
    return cuts, errors


def test_a_verb_whose_connection_is_cut_at_a_request_does_all_or_nothing(stores: Stores) -> None:
    cuts, errors = cut_requests(stores, every=11)
    assert cuts > 15
    assert errors < cuts / 4


@pytest.mark.faults
def test_a_verb_whose_connection_is_cut_at_any_of_its_requests_does_all_or_nothing(stores: Stores) -> None:
    cuts, errors = cut_requests(stores, every=1)
    assert cuts > 200
    assert errors < cuts / 10
