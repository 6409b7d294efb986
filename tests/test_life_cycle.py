"""What becomes of a conversation: forks, rewinds and summaries never part a call from its result, nor lose state."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backends import SERVERS, empty_store
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableLambda

from session_sqlite import (
    REMOVE,
    AsyncSessionService,
    Event,
    InvalidInputError,
    Session,
    SessionNotFoundError,
    SessionService,
    SQLAlchemySessionService,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    StaleSessionError,
    ToolCall,
)
from session_sqlite.messages.langchain import message_to_event, messages_of


@pytest.fixture(params=["file", "memory", *SERVERS])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionService]:
    if request.param in SERVERS:
        with SQLAlchemySessionService(empty_store(request.param)) as on_server:
            yield on_server
        return
    where = ":memory:" if request.param == "memory" else tmp_path / "sessions.db"
    with SQLiteSessionService(where) as service:
        yield service


@pytest.fixture
def on_file(path: Path) -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(path) as service:
        yield service


def dump(service: SQLiteSessionService) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of ours."""
    return {
        table: service.query(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in ("sessions", "events", "state")
    }


def rows_of(service: SQLiteSessionService, session: Session) -> dict[str, list[dict[str, Any]]]:
    mine = (session.app_name, session.user_id, session.id)
    key = "app_name = ? AND user_id = ?"
    return {
        "session": service.query(f"SELECT * FROM sessions WHERE {key} AND id = ?", mine),
        "events": service.query(f"SELECT * FROM events WHERE {key} AND session_id = ? ORDER BY seq", mine),
        "state": service.query('SELECT * FROM state WHERE session_id = ? ORDER BY "key"', [session.id]),
    }


def contents(events: list[Event]) -> list[str]:
    return [event.content for event in events]


def talk(session: Session, *lines: str) -> list[Event]:
    """``"u hello"`` is said by the user, ``"a hello"`` by the assistant, ``"s hello"`` by the system."""
    authors = {"u": "user", "a": "assistant", "s": "system"}
    return session.add_events([Event(authors[line[0]], line[2:]) for line in lines])


def ai(*calls: str, text: str = "") -> Event:
    tool_calls = [{"name": "Read", "args": {"path": id}, "id": id} for id in calls]
    return message_to_event(AIMessage(text, tool_calls=tool_calls))


def result(id: str) -> Event:
    return message_to_event(ToolMessage(f"result of {id}", tool_call_id=id))


def calls_and_results(messages: list[BaseMessage]) -> tuple[list[str], list[str]]:
    calls = [call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    return calls, [message.tool_call_id for message in messages if isinstance(message, ToolMessage)]


def open_calls(messages: list[BaseMessage]) -> list[str]:
    """The ids of calls without a result, each as often as it was called; fails for a result without its call."""
    waiting: list[str] = []
    for message in messages:
        if isinstance(message, AIMessage):
            waiting += [call["id"] for call in message.tool_calls]
        elif isinstance(message, ToolMessage):
            assert message.tool_call_id in waiting, "a result without its call"
            waiting.remove(message.tool_call_id)
    return sorted(waiting)


# ---------------------------------------------------------------- forks


def test_everything_of_an_event_comes_along(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_events(
        [
            Event("user", "看", metadata={"a": 1}, branch="b", invocation_id="i", agent_id="x", state={"k": REMOVE}),
            message_to_event(AIMessage("", id="m1", tool_calls=[{"name": "f", "args": {"x": 1.5}, "id": "c"}])),
            message_to_event(ToolMessage("7", tool_call_id="c", artifact={"bytes": b"\0", "t": (1, 2)})),
        ]
    )
    fork = session.fork()
    own = {"row_id", "session_id", "copied_from"}  # which names the session that it is from
    theirs, ours = rows_of(service, session)["events"], rows_of(service, fork)["events"]
    assert [{k: v for k, v in row.items() if k not in own} for row in ours] == [
        {k: v for k, v in row.items() if k not in own} for row in theirs
    ]
    assert messages_of(fork.events()) == messages_of(session.events())


def appending(path: Path, session_id: str, running: Any) -> None:
    with SQLiteSessionService(path, durability="fast") as service:
        for number in itertools.count(1):
            call = f"c{number}"
            events = [Event("user", str(number), state={"turn": number}), ai(call), result(call)]
            service.append_events(session_id, events)
            running.set()


def test_a_fork_while_another_process_appends_is_of_one_moment(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        session = service.create_session()
        context = multiprocessing.get_context("spawn")
        running = context.Event()
        writer = context.Process(target=appending, args=(path, session.id, running), daemon=True)
        writer.start()
        try:
            assert running.wait(30)
            forks = [session.fork()]
            deadline = time.monotonic() + 20
            while len({fork.last_seq for fork in forks}) < 5 and time.monotonic() < deadline:
                forks.append(session.fork())
            middle = session.fork(at=2)
        finally:
            writer.kill()
            writer.join()
        for fork in forks:
            events = fork.events()
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert fork.last_seq == fork.parent_seq == len(events)
            assert fork.state["turn"] == len(events) / 3
            assert open_calls(messages_of(events)) == []
        assert len(middle.events()) == 3
        assert len({fork.last_seq for fork in forks}) == 5


# ---------------------------------------------------------------- calls and their results


def test_the_results_of_parallel_calls_come_along(service: SQLiteSessionService) -> None:
    session = service.create_session()
    events = session.add_events([Event("user", "go"), ai("1", "2", "3"), result("2"), result("1"), result("3"), ai()])
    for at in range(2, 6):
        fork = session.fork(at=events[at - 1])
        assert calls_and_results(messages_of(fork.events())) == (["1", "2", "3"], ["2", "1", "3"])
        assert fork.parent_seq == 5
    assert len(session.fork(at=1).events()) == 1


def test_native_calls_with_outputs_stand_alone(service: SQLiteSessionService) -> None:
    session = service.create_session()
    call = ToolCall("Read", {"path": "x"}, output="text")
    talk(session, "u go")
    session.add_event("assistant", "reading", actions=[call, ToolCall("Write", error="no")])
    talk(session, "a done")
    fork = session.fork(at=2)
    assert [len(fork.events()), len(messages_of(fork.events()))] == [2, 4]


def test_a_call_that_still_waits_comes_alone(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_events([Event("user", "go"), ai("lost"), Event("user", "again"), ai("1"), result("1")])
    assert len(session.fork(at=2).events()) == 2
    assert len(session.fork(at=4).events()) == 5
    assert len(session.rewind(to=2)) == 3


def test_an_id_that_is_used_again_belongs_to_the_latest_call(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_events([Event("user", "go"), ai("0"), Event("user", "again"), ai("0"), result("0"), ai()])
    assert len(session.fork(at=2).events()) == 2
    assert len(session.fork(at=4).events()) == 5


def test_a_call_without_an_id_is_joined_by_the_one_its_message_had(service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s")
    history = SQLiteChatMessageHistory("s", service=service)
    talk(session, "u go")
    session.add_event("assistant", actions=[ToolCall("Read", {"path": "x"})])
    id = history.messages[-1].tool_calls[0]["id"]
    history.add_messages([ToolMessage("text", tool_call_id=id), AIMessage("done")])
    assert len(session.fork(at=2).events()) == 3
    assert len(session.rewind(to=2)) == 1


def test_a_result_that_comes_after_the_user_spoke_again_comes_along(service: SQLiteSessionService) -> None:
    session = service.create_session()
    events = [Event("user", "go"), ai("slow"), Event("user", "and?"), ai(text="wait"), result("slow"), ai(text="done")]
    session.add_events([Event("user", "before"), ai(text="yes"), *events])
    for at in range(4, 8):
        assert len(session.fork(at=at).events()) == 7
    assert [event.seq for event in session.rewind()] == [3, 4, 5, 6, 7, 8]
    assert contents(session.events()) == ["before", "yes"]


@st.composite
def conversations(draw: st.DrawFn) -> list[Event]:
    """Turns with tools in every form; results may be late, missing, or under an id that was used before."""
    events: list[Event] = []
    waiting: list[str] = []
    fresh = itertools.count()
    for kind in draw(st.lists(st.sampled_from("uaaccrrrnps"), max_size=16)):
        if kind == "u":
            events.append(draw(st.sampled_from([Event("user", "u"), message_to_event(HumanMessage("u"))])))
        elif kind == "s":
            events.append(Event("system", "", state={"k": len(events)}))
        elif kind == "a":
            events.append(Event("assistant", "a"))
        elif kind == "r" and waiting:
            id = waiting.pop(draw(st.integers(0, len(waiting) - 1)))
            native = Event("tool", "out", actions=[ToolCall("f", id=id)])
            events.append(draw(st.sampled_from([native, result(id)])))
        elif kind == "n":
            events.append(Event("assistant", actions=[ToolCall("f", output=1), ToolCall("g", error="no")]))
        elif kind in "cp":
            names = [f"c{next(fresh)}" for _ in range(draw(st.integers(1, 3)))]
            if draw(st.booleans()) and "again" not in waiting:
                names.append("again")
            waiting += names
            native = Event("assistant", actions=[ToolCall("f", id=id) for id in names])
            events.append(native if kind == "p" else ai(*names))
    return events


def waiting_at(events: list[Event], seq: int) -> list[str]:
    return open_calls(messages_of([event for event in events if event.seq <= seq]))


@given(conversations(), st.data())
def test_neither_a_call_nor_a_result_is_ever_left_alone(events: list[Event], data: st.DataObject) -> None:
    with SQLiteSessionService(":memory:", search=False) as service:
        source = service.create_session()
        source.add_events(events)
        stored = source.events()
        # What waits at the end waits for ever; any other call has its result in every copy.
        for event in stored:
            fork = source.fork(at=event)
            copied = messages_of(fork.events())
            assert event.id in {copy.id for copy in fork.events()}
            assert fork.events()[-1].id == stored[fork.parent_seq - 1].id
            calls, results = calls_and_results(copied)
            kept_calls = open_calls(copied)
            lost = [id for id in kept_calls if id not in open_calls(messages_of(stored)) and id != "again"]
            assert lost == [], f"calls {calls} with results {results}"
        if stored:
            end = data.draw(st.integers(1, len(stored)))
            copy = source.fork()
            gone = copy.rewind(to=end)
            assert contents([*copy.events(), *gone]) == contents(stored)
            assert [event.id for event in copy.events()] == [event.id for event in source.fork(at=end).events()]
            assert set(open_calls(messages_of(copy.events()))) <= {*open_calls(messages_of(stored)), "again"}
        turns = data.draw(st.integers(1, 3))
        copy = source.fork()
        gone = copy.rewind(turns=turns)
        users = sum(event.author == "user" for event in stored)
        assert sum(event.author == "user" for event in gone) >= min(turns, users)
        left = copy.events()
        assert set(open_calls(messages_of(left))) <= {*open_calls(messages_of(stored)), "again"}


# ---------------------------------------------------------------- damage and replays


def test_damaged_rows_stop_neither_a_fork_nor_a_rewind(on_file: SQLiteSessionService, path: Path) -> None:
    session = on_file.create_session(state={"step": 0})
    session.add_events([Event("user", str(n), state={"step": n}) for n in range(1, 6)])
    on_file.search("1")
    raw = sqlite3.connect(path)
    raw.execute("UPDATE events SET actions = '{broken', state = '[broken' WHERE seq = 2")
    raw.execute("UPDATE events SET content = CAST(x'ff' AS TEXT) WHERE seq = 4")
    raw.commit()
    raw.close()
    fork = session.fork(at=3)
    assert ([event.unreadable for event in fork.events()], fork.state["step"]) == ([False, True, False], 3)
    assert [event.unreadable for event in session.rewind(turns=2)] == [True, False]
    assert session.state["step"] == 3


state_deltas = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3) | st.just(REMOVE), max_size=3)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(), max_size=4), st.lists(state_deltas, max_size=6), st.data()
)
def test_the_state_of_a_fork_is_a_replay(initial: Any, deltas: list[Any], data: st.DataObject) -> None:
    with SQLiteSessionService(":memory:", search=False) as service:
        session = service.create_session(state=initial)
        events = session.add_events([Event("user", "x", state=delta) for delta in deltas])
        if not events:
            return
        at = data.draw(st.integers(1, len(events)))
        replay = dict(initial)
        for delta in deltas[:at]:
            replay.update(delta)
        replay = {key: value for key, value in replay.items() if value is not REMOVE}
        fork = session.fork(at=at)
        twice = fork.fork()
        session.rewind(to=at)
        assert dict(fork.state) == dict(twice.state) == dict(session.state) == replay
        twice.rewind(turns=at)
        assert dict(twice.state) == initial


# ---------------------------------------------------------------- summaries


def turns(session: Session, count: int, start: int = 1) -> list[Event]:
    return talk(session, *(f"{who} {n}{who}" for n in range(start, start + count) for who in "ua"))


def shout(messages: list[BaseMessage]) -> str:
    return "summary of " + ",".join(str(message.text) for message in messages)


@pytest.mark.parametrize(
    "summarizer",
    [
        shout,
        lambda messages: AIMessage(shout(messages)),
        lambda messages: AIMessage([{"type": "text", "text": shout(messages)}]),
        RunnableLambda(shout),
        RunnableLambda(lambda messages: AIMessage(shout(messages))),
    ],
)
def test_a_summary_stands_for_older_events_and_deletes_nothing(summarizer: Any, service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s")
    events = turns(session, 4)
    summary = session.summarize(summarizer, keep_last=4)
    assert summary is not None
    assert (summary.author, summary.content, summary.supersedes) == ("system", "summary of 1u,1a,2u,2a", 4)
    assert session.events() == [*events, summary]
    assert session.last_events(5) == [summary, *events[4:]]
    assert session.last_events(3) == [summary, *events[6:]]
    assert session.last_events(1) == [summary, *events[6:]]
    history = SQLiteChatMessageHistory("s", service=service)
    assert [message.text for message in history.messages] == [*contents(events), summary.content]
    for window in ({"limit": 3}, {"max_tokens": 2, "token_counter": len}):
        shown = SQLiteChatMessageHistory("s", service=service, **window).messages
        assert [message.text for message in shown] == [summary.content, "4u", "4a"]
        assert isinstance(shown[0], SystemMessage)
    wide = SQLiteChatMessageHistory("s", service=service, max_tokens=10**6, token_counter=len).messages
    assert [message.text for message in wide] == [summary.content, *contents(events[4:])]


def test_a_summary_begins_with_the_one_before(service: SQLiteSessionService) -> None:
    session = service.create_session()
    turns(session, 3)
    first = session.summarize(shout, keep_last=2)
    assert session.summarize(shout, keep_last=2) is None  # running again is harmless
    turns(session, 2, start=4)
    second = session.summarize(shout, keep_last=2)
    assert first is not None
    assert second is not None
    assert second.content == f"summary of {first.content},3u,3a,4u,4a"
    assert contents(session.last_events(9)) == [second.content, "5u", "5a"]
    everything = session.summarize(shout, keep_last=0)
    assert everything is not None
    assert session.last_events(9) == [everything]
    assert session.summarize(shout, keep_last=0) is None
    after = session.add_event("user", "6u")
    assert session.last_events(9) == [everything, after]


def test_a_summary_keeps_whole_turns(service: SQLiteSessionService) -> None:
    session = service.create_session()
    turns(session, 1)
    session.add_events([Event("user", "go"), ai("1", "2"), result("1"), result("2"), ai(text="done")])
    summary = session.summarize(shout, keep_last=2)
    assert summary is not None
    assert summary.supersedes == 2
    window = session.last_events(3)
    assert open_calls(messages_of(window)) == []
    assert contents(window)[:2] == [summary.content, "go"]


def test_a_summary_never_parts_a_call_from_its_result(service: SQLiteSessionService) -> None:
    session = service.create_session()
    turns(session, 1)
    session.add_events([Event("user", "go"), ai("slow")])
    summary = session.summarize(shout, keep_last=0)  # the turn that waits for its tool is not over
    assert summary is not None
    assert summary.content == "summary of 1u,1a"
    session.add_events([Event("user", "and?"), result("slow"), ai(text="done")])
    assert session.summarize(shout, keep_last=3) is None
    assert open_calls(messages_of(session.last_events(99))) == []
    everything = session.summarize(shout, keep_last=0)
    assert everything is not None
    assert session.last_events(99) == [everything]


def test_a_call_that_is_lost_does_not_stop_summaries(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_events([Event("user", "go"), ai("lost")])
    turns(session, 2)
    summary = session.summarize(shout, keep_last=2)
    assert summary is not None
    assert summary.supersedes == 4


def test_there_may_be_nothing_to_summarize(service: SQLiteSessionService) -> None:
    def never(messages: list[BaseMessage]) -> str:
        raise AssertionError("it has nothing to do")

    session = service.create_session()
    assert session.summarize(never, keep_last=0) is None
    session.add_event("system", state={"only": "state"})
    assert session.summarize(never, keep_last=0) is None
    turns(session, 1)
    assert session.summarize(never, keep_last=3) is None
    with pytest.raises(SessionNotFoundError):
        service.summarize_session("nowhere", never, keep_last=0)


async def later(messages: list[BaseMessage]) -> str:
    await asyncio.sleep(0)
    return shout(messages)


@pytest.mark.parametrize(
    ("summarizer", "error"),
    [
        (lambda messages: "", InvalidInputError),
        (lambda messages: " \n", InvalidInputError),
        (lambda messages: None, InvalidInputError),
        (lambda messages: {"text": "x"}, InvalidInputError),
        (lambda messages: AIMessage(""), InvalidInputError),
        (lambda messages: "half a \ud83d", InvalidInputError),
        (lambda messages: 1 / 0, ZeroDivisionError),
        (RunnableLambda(lambda messages: 1 / 0), ZeroDivisionError),
        (later, InvalidInputError),
        ("no function", InvalidInputError),
        (None, InvalidInputError),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_summarizer_that_fails_stores_nothing(summarizer: Any, error: type[Exception], on_file: Any) -> None:
    session = on_file.create_session()
    turns(session, 2)
    before = dump(on_file)
    with pytest.raises(error):
        session.summarize(summarizer, keep_last=2)
    assert dump(on_file) == before


@pytest.mark.parametrize("keep_last", [-1, True, "1", 1.0, None])
def test_a_bad_keep_last_is_refused(keep_last: Any, service: SQLiteSessionService) -> None:
    with pytest.raises(InvalidInputError):
        service.create_session().summarize(shout, keep_last=keep_last)


async def test_a_summarizer_may_be_awaited_by_the_async_service(path: Path) -> None:
    async with AsyncSessionService(SQLiteSessionService(path)) as service:
        session = await service.create_session()
        await session.add_events([Event("user", "one"), Event("user", "two")])
        summary = await session.summarize(later, keep_last=1)
        assert summary is not None
        assert summary.content == "summary of one"
        summary = await session.summarize(RunnableLambda(later).ainvoke, keep_last=0)
        assert summary is not None
        assert summary.content == "summary of summary of one,two"


def test_what_is_said_meanwhile_is_not_superseded(service: SQLiteSessionService) -> None:
    session = service.create_session()
    turns(session, 2)

    def slow(messages: list[BaseMessage]) -> str:
        turns(session, 1, start=3)
        return shout(messages)

    summary = session.summarize(slow, keep_last=0)
    assert summary is not None
    assert (summary.supersedes, summary.content) == (4, "summary of 1u,1a,2u,2a")
    assert contents(session.last_events(9)) == [summary.content, "3u", "3a"]


def test_two_summaries_of_the_same_events_are_one(service: SQLiteSessionService) -> None:
    session = service.create_session()
    turns(session, 3)
    together = threading.Barrier(2)

    def slow(messages: list[BaseMessage]) -> str:
        together.wait(10)
        return f"by {threading.current_thread().name}"

    made: list[Event | None] = []
    threads = [
        threading.Thread(target=lambda: made.append(session.summarize(slow, keep_last=2)), name=name) for name in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] == made[1]
    assert len([event for event in session.events() if event.supersedes]) == 1


@pytest.mark.parametrize("how", ["clear", "replace", "rewind", "delete", "again"])
def test_what_was_taken_back_meanwhile_does_not_return_in_a_summary(how: str, service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s")
    turns(session, 3)

    def slow(messages: list[BaseMessage]) -> str:
        if how == "clear":
            session.clear()
        elif how == "replace":
            service.replace_events(session, [Event("user", str(n)) for n in range(9)])
        elif how == "rewind":
            session.rewind(turns=2)
        else:
            session.delete()
            if how == "again":
                turns(service.create_session(session_id="s"), 5)
        return "the secret that went"

    with pytest.raises(SessionNotFoundError if how == "delete" else StaleSessionError):
        session.summarize(slow, keep_last=2)
    assert not service.search("secret")


def test_an_application_may_have_events_with_any_id(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_events([Event("user", str(n), id=f"summary-{n}") for n in range(1, 7)])
    summary = session.summarize(shout, keep_last=2)
    assert summary is not None
    assert summary.content == "summary of 1,2,3,4"


CHILD = """
import os, sys
from session_sqlite import SQLiteSessionService
service = SQLiteSessionService(sys.argv[1])
def summarizer(messages):
    print("asked", flush=True)
    if sys.argv[2] == "before":
        sys.stdin.readline()
    return "the answer"
work = service.summarize_session("s", summarizer, keep_last=2)
"""


def test_a_process_that_ends_before_its_summary_is_written_loses_nothing(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        session = service.create_session(session_id="s")
        turns(session, 3)
        before = dump(service)
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), "before"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"asked\n"
        talk(session, "u meanwhile")  # no lock is held
        child.kill()
        child.communicate()
        session.rewind()
        after = dump(service)
        for table in (before, after):
            table["sessions"] = [{**row, "updated_at": "", "last_seq": 0, "revision": 0} for row in table["sessions"]]
        assert after == before
        subprocess.run([sys.executable, "-c", CHILD, str(path), "after"], check=True, stdout=subprocess.DEVNULL)
        assert contents(session.last_events(3)) == ["the answer", "3u", "3a"]


def test_a_fork_has_the_summary_if_it_comes_before_its_end(service: SQLiteSessionService) -> None:
    session = service.create_session()
    events = turns(session, 3)
    session.rewind()  # the fork's numbers are others
    events = [*events[:4], *turns(session, 2, start=3)]
    summary = session.summarize(shout, keep_last=4)
    assert summary is not None
    turns(session, 1, start=5)
    fork = session.fork()
    assert contents(fork.last_events(99)) == [summary.content, "3u", "3a", "4u", "4a", "5u", "5a"]
    assert contents(session.fork(at=events[-1]).last_events(99)) == contents(events)  # made before the summary was
    again = fork.summarize(shout, keep_last=2)
    assert again is not None
    assert again.content == f"summary of {summary.content},3u,3a,4u,4a"
    assert contents(fork.last_events(99)) == [again.content, "5u", "5a"]
    assert contents(session.last_events(99))[0] == summary.content


def test_a_fork_has_the_summary_of_what_was_pruned(service: SQLiteSessionService) -> None:
    session = service.create_session()
    turns(session, 4)
    summary = session.summarize(shout, keep_last=4)
    assert summary is not None
    service.prune(keep_last=5)
    assert contents(session.events()) == ["3u", "3a", "4u", "4a", summary.content]
    fork = session.fork()
    assert contents(fork.last_events(99)) == [summary.content, "3u", "3a", "4u", "4a"]
    assert contents(fork.last_events(3)) == [summary.content, "4u", "4a"]
    assert fork.refresh().last_seq == fork.events()[-1].seq
    again = fork.summarize(shout, keep_last=2)
    assert again is not None
    assert again.content == f"summary of {summary.content},3u,3a"
    assert fork.add_event("user", "5u").seq == again.seq + 1
    assert contents(fork.fork().last_events(99)) == [again.content, "4u", "4a", "5u"]


def test_a_summary_that_was_taken_back_stands_for_nothing(service: SQLiteSessionService) -> None:
    session = service.create_session()
    events = turns(session, 2)
    session.summarize(shout, keep_last=2)
    turns(session, 1, start=3)
    session.rewind(to=2)
    assert session.last_events(9) == events[:2]
    turns(session, 1, start=4)
    summary = session.summarize(shout, keep_last=2)
    assert summary is not None
    assert contents(session.last_events(9)) == ["summary of 1u,1a", "4u", "4a"]


def test_a_rewind_after_a_summary_keeps_the_window_sane(service: SQLiteSessionService) -> None:
    session = service.create_session()
    turns(session, 3)
    session.summarize(shout, keep_last=2)
    turns(session, 1, start=4)
    session.rewind()
    assert contents(session.last_events(9)) == ["summary of 1u,1a,2u,2a", "3u", "3a"]


def test_the_numbers_of_a_window_are_those_of_a_history(service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s")
    turns(session, 6)
    session.summarize(shout, keep_last=6)
    for limit in range(1, 12):
        shown = SQLiteChatMessageHistory("s", service=service, limit=limit).messages
        assert contents(session.last_events(limit)) == [message.text for message in shown]
        budget = SQLiteChatMessageHistory("s", service=service, max_tokens=limit, token_counter=len).messages
        assert budget == shown
        assert shown[0].text.startswith("summary")
        assert len(shown) <= max(3, limit)


def test_a_fork_keeps_every_result_of_calls_that_have_one_id(service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s")
    session.add_event("user", "go")
    session.add_event("assistant", actions=[ToolCall("Read", {"n": 1}, id="x"), ToolCall("Read", {"n": 2}, id="x")])
    first = session.add_event("tool", "one", actions=[ToolCall("Read", id="x")])
    session.add_event("tool", "two", actions=[ToolCall("Read", id="x")])
    session.add_event("tool", "alone", actions=[ToolCall("Read", id="x")])
    assert [event.content for event in session.fork(at=first).events()] == ["go", "", "one", "two"]
