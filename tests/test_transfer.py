"""Export and import: what comes out goes in again, equal, whole, once, and in memory that does not grow."""

from __future__ import annotations

import gzip
import io
import json
import os
import sqlite3
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import backends
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from message_strategies import json_values, messages

from session_sqlite import (
    ANY,
    REMOVE,
    AsyncSessionService,
    Event,
    InvalidInputError,
    NewerSchemaError,
    Session,
    SessionNotFoundError,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    StoreClosedError,
    StoreError,
    ToolCall,
    Usage,
)
from session_sqlite.cli import main

pytestmark = pytest.mark.every_backend("full")

TABLES = {
    "sessions": "app_name, user_id, id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id,"
    " parent_seq, initial_state",
    "events": "app_name, user_id, session_id, seq, id, author, content, reasoning, actions, metadata, created_at,"
    " agent_id, branch, invocation_id, state, usage, tool_call_id, message_id, message, supersedes,"
    " copied_from",
    "state": "app_name, user_id, session_id, key, value",
}


def memory(**options: Any) -> SQLiteSessionService:
    return SQLiteSessionService(":memory:", app_name=ANY, user_id=ANY, **options)


def rows(service: SQLiteSessionService) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is stored, as it is stored, except when a value of the state was written."""
    connection = service.db.conn
    connection.text_factory = bytes
    try:
        return {
            table: connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3, 4").fetchall()
            for table, columns in TABLES.items()
        }
    finally:
        connection.text_factory = str


def exported(service: SQLiteSessionService, **options: Any) -> str:
    text = io.StringIO()
    service.export(text, **options)
    return text.getvalue()


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A store with everything that there is to take along."""
    file = tmp_path / "full" / "sessions.db"
    with backends.opened(getattr(request, "param", "file"), file, app_name="app", user_id="user") as s:
        session = s.create_session(
            session_id="one", title="代码 😀", metadata={"k": [1, None]}, state={"a": 1, "user:lang": "zh", "app:v": 2}
        )
        session.add_event("user", "请帮我", metadata={"x": 1.5}, branch="b", invocation_id="i", id="mine")
        session.add_event(
            "assistant",
            "",
            reasoning="想",
            actions=[ToolCall("Read", {"p": 1}, id="c", output={"o": [1]}), ToolCall("x", error="no")],
            state={"a": REMOVE, "b": {"$remove": True}, "user:lang": "de"},
            usage=Usage("m", 1, 2, 3, 4, 5),
        )
        SQLiteChatMessageHistory("one", service=s).add_messages(
            [HumanMessage("hi", id="h"), AIMessage("yo", name="bot")]
        )
        session.fork(at=2, session_id="fork")
        session.summarize(lambda _: "what was said", keep_last=1)
        session.add_event("user", "gone")
        session.rewind()
        session.state["later"] = 10**30
        s.scope(user_id="other").create_session(session_id="one").add_event("user", "theirs", state={"user:k": 1})
        s.scope(app_name="zz").create_session(session_id="empty")
        s.create_session(session_id="cleared").add_event("user", "x", state={"s": 1})
        s.clear_session("cleared")
        yield s


# ---------------------------------------------------------------- there and back


@pytest.mark.file_only
def test_an_export_makes_an_equal_store_of_an_empty_one(full: SQLiteSessionService) -> None:
    everything = full.scope(app_name=ANY, user_id=ANY)
    text = exported(everything)
    with memory() as copy:
        report = copy.import_(io.StringIO(text))
        assert (report.format, report.sessions, report.skipped_count, report.warnings) == ("jsonl", 5, 0, ())
        assert rows(copy) == rows(full)
        assert copy.list_sessions() == everything.list_sessions()
        for session in everything.list_sessions():
            twin = copy.get_session(session)
            assert twin.events() == session.events()
            assert dict(twin.state) == dict(session.state)
            assert twin.last_events(3) == session.last_events(3)
            scoped = [one.scope(app_name=session.app_name, user_id=session.user_id) for one in (full, copy)]
            assert (
                SQLiteChatMessageHistory(session.id, service=scoped[0]).messages
                == SQLiteChatMessageHistory(session.id, service=scoped[1]).messages
            )
        assert records(exported(copy))[1:] == records(text)[1:]
        assert {hit.event for hit in copy.search("请帮我")} == {hit.event for hit in everything.search("请帮我")}


names = st.sampled_from(["one", "two", "三", "app:x"])
states = st.dictionaries(
    st.sampled_from(["a", "user:a", "app:a", "temp:a", "session:b", "键"]), json_values | st.just(REMOVE), max_size=3
)
times = st.none() | st.datetimes(timezones=st.just(UTC))
events = st.builds(
    Event,
    st.sampled_from(["user", "assistant", "tool", "system", "planner"]),
    st.text(st.characters(codec="utf-8"), max_size=20),
    reasoning=st.text(st.characters(codec="utf-8"), max_size=5),
    actions=st.lists(
        st.builds(
            ToolCall,
            st.text(st.characters(codec="utf-8"), max_size=5),
            st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), json_values, max_size=2),
            id=st.sampled_from(["", "c1"]),
            output=json_values,
            error=st.none() | st.just("错"),
        ),
        max_size=2,
    ),
    state=states,
    metadata=st.dictionaries(st.sampled_from(["k", "$"]), json_values, max_size=2),
    usage=st.none() | st.builds(Usage, st.sampled_from(["", "m"]), st.integers(0, 9)),
    created_at=times,
)
steps = st.lists(
    st.tuples(st.just("events"), names, st.lists(events, max_size=3))
    | st.tuples(st.just("messages"), names, st.lists(messages(), max_size=2))
    | st.tuples(st.sampled_from(["fork", "rewind", "summarize", "clear"]), names, st.none())
    | st.tuples(st.just("state"), names, states),
    max_size=8,
)


@settings(max_examples=40)
@given(steps, st.booleans())
def test_any_store_comes_back_equal(what: list[tuple[str, str, Any]], through_a_file: bool) -> None:
    with memory() as store, memory() as copy:
        scope = store.scope(app_name="app", user_id="user")
        for verb, name, value in what:
            session = scope.create_session(session_id=name, state={"a": name, "user:n": 1}, exist_ok=True)
            if verb == "events":
                session.add_events(value)
            elif verb == "messages":
                SQLiteChatMessageHistory(name, service=scope).add_messages(value)
            elif verb == "state":
                session.state.update(value)
            elif verb == "summarize":
                session.summarize(lambda _: "sum", keep_last=1)
            else:
                getattr(session, verb)()
        text = exported(store)
        report = copy.import_(io.BytesIO(text.encode()) if through_a_file else io.StringIO(text))
        assert report.skipped == ()
        assert rows(copy) == rows(store)
        again = copy.import_(io.StringIO(text))
        assert (again.sessions, again.events, again.extended, again.known) == (0, 0, 0, report.events)
        assert rows(copy) == rows(store)


@pytest.mark.file_only
def test_rows_that_cannot_be_read_come_along_as_they_are(full: SQLiteSessionService, tmp_path: Path) -> None:
    assert full.path is not None
    connection = sqlite3.connect(full.path)
    damage = {
        1: ("actions", "{broken"), 2: ("content", b"\xff\x00bad"), 3: ("created_at", "yesterday"), 4: ("state", "[]"),
    }  # fmt: skip
    for seq, (column, value) in damage.items():
        connection.execute(f"UPDATE events SET {column} = ? WHERE user_id = 'user' AND session_id = 'one' AND seq = ?",
                           [value, seq])  # fmt: skip
    # What another program wrote: valid for SQLite, but not strict JSON, or not in our spelling.
    connection.execute("UPDATE events SET metadata = '{\"n\": NaN}' WHERE user_id = 'other'")
    connection.execute("UPDATE sessions SET metadata = 'oops' WHERE id = 'cleared'")
    connection.commit()
    connection.close()
    with memory() as copy:
        report = copy.import_(io.StringIO(exported(full.scope(app_name=ANY, user_id=ANY))))
        assert report.skipped == ()
        twin = copy.get_session("one", app_name="app", user_id="user")
        assert twin.events() == full.list_events("one")
        assert [event.unreadable for event in twin.events(limit=4)] == [True] * 4
        assert rows(copy)["sessions"] == rows(full)["sessions"]


def test_the_text_of_an_export_is_readable(full: SQLiteSessionService) -> None:
    lines = records(exported(full))
    assert lines[0].items() >= {"type": "header", "format": "session-sqlite", "version": 1}.items()
    assert lines[-1] == {"type": "end", "sessions": 3, "events": 7}
    text = exported(full, session="one")
    assert "代码 😀" in text
    assert [line["type"] for line in records(text)] == ["header", "state", "state", "session", *["event"] * 5, "end"]
    first = records(text)[4]
    assert first == {
        "type": "event", "session_id": "one", "seq": 1, "id": "mine", "author": "user", "content": "请帮我",
        "created_at": first["created_at"], "metadata": {"x": 1.5}, "branch": "b", "invocation_id": "i",
    }  # fmt: skip
    assert records(text)[3]["initial_state"] == {"a": 1}
    assert records(text)[3]["state"] == {"b": {"$$remove": True}, "later": 10**30}


# ---------------------------------------------------------------- what is there stays


def test_a_dry_run_writes_nothing_at_all(full: SQLiteSessionService, tmp_path: Path) -> None:
    path = tmp_path / "copy.db"
    SQLiteSessionService(path).close()
    before = path.read_bytes()
    source = tmp_path / "x.jsonl"
    full.export(source)
    with SQLiteSessionService(path, read_only=True) as copy:
        report = copy.import_(source, dry_run=True)
        assert (report.dry_run, report.sessions, report.events) == (True, 3, 7)
    assert path.read_bytes() == before
    assert str(report).startswith("Would import 3 sessions with 7 events (jsonl)")
    assert "<pre" in report._repr_html_()


# ---------------------------------------------------------------- what is broken


def test_a_bad_line_never_stops_the_rest_and_never_goes_to_another_session(full: SQLiteSessionService) -> None:
    lines = exported(full.scope(app_name=ANY, user_id=ANY)).splitlines()
    sessions = [number for number, line in enumerate(lines) if line.startswith('{"type":"session"')]
    kinds = {json.loads(lines[number])["user_id"]: number for number in sessions}
    lines[kinds["other"]] = lines[kinds["other"]][:40]  # the session's record: its event belongs to nobody
    broken = next(number for number, line in enumerate(lines) if '"seq":2' in line)
    lines[broken] = lines[broken][:-20]
    lines.insert(3, '{"type":"poem"}')
    lines.insert(3, "[1]")
    with memory() as copy:
        report = copy.import_(io.StringIO("\n".join(lines)))
        assert report.skipped_count == 5
        assert {fault.where.split()[0] for fault in report.skipped} == {"line"}
        assert not copy.list_sessions(user_id="other")
        assert "theirs" not in repr([session.events() for session in copy.list_sessions()])
        assert "theirs" not in str(report)


FOREIGN_LINES = {
    "object": '{"some": "thing else"}', "empty object": "{}", "list": "[1, 2]", "null": "null", "number": "42",
    "text": '"hello"', "unknown type": '{"type":"poem"}', "type of no text": '{"type":["event"]}',
    "type of nothing": '{"type":null}', "no JSON": "# a note by hand", "half a line": '{"some": "th',
    "half an event": '{"type":"event","session_id":"one","seq":', "merge mark": "<<<<<<< HEAD", "NUL": "\0\0\0",
    "deep": "[" * 100_000, "text about a session": '{"a":"\\"app_name\\""}',
    "a chat": '{"messages": [{"role": "user", "content": "hi"}]}', "end of another": '{"type":"end","reason":"stop"}',
    "state of another": '{"type":"state","key":"x"}', "header of another": '{"type":"header","version":3,"cwd":"/"}',
}  # fmt: skip


@pytest.mark.parametrize("line", FOREIGN_LINES.values(), ids=FOREIGN_LINES)
@pytest.mark.parametrize("times", [1, 3])
def test_a_foreign_line_is_skipped_and_no_other(line: str, times: int) -> None:
    with SQLiteSessionService(":memory:") as store:
        for name in ("one", "two"):
            session = store.create_session(session_id=name)
            session.add_events([Event("user", f"{name} {number}") for number in range(5)])
        lines = exported(store).splitlines()
        for place in range(1, len(lines) + 1):
            with memory() as copy:
                report = copy.import_(io.StringIO("\n".join([*lines[:place], *[line] * times, *lines[place:]])))
                assert (report.sessions, report.events, report.skipped_count) == (2, 10, times)
                assert report.warnings == ()
                assert rows(copy) == rows(store)


@pytest.mark.parametrize("first", [0, 1, 3, 5])
@pytest.mark.parametrize("broken", ["{", "garbage", "\0\0", '{"some": "thing else"}', "[1]"])
def test_no_event_goes_to_another_users_session_whose_id_is_the_same(broken: str, first: int) -> None:
    """Whatever stands in place of the record of the second session: something foreign, or a part of it."""
    with SQLiteSessionService(":memory:") as store:
        for user, count in (("ada", first), ("bob", 4)):
            session = store.create_session(session_id="same", user_id=user)
            session.add_events([Event("user", f"of {user}") for _ in range(count)])
        lines = exported(store, app_name=ANY, user_id=ANY).splitlines()
    place = [number for number, text in enumerate(lines) if '"type":"session"' in text][1]
    head = lines[place]
    for changed in (broken, *(head[:end] for end in (20, 30, 40, 60, len(head) - 1)), head[30:]):
        with memory() as copy:
            report = copy.import_(io.StringIO("\n".join([*lines[:place], changed, *lines[place + 1 :]])))
            found = copy.scope(user_id=ANY).list_sessions()
            assert {session.user_id for session in found} == {"ada"}
            assert [event.content for event in found[0].events()] == ["of ada"] * first
            assert report.skipped_count == 5


@pytest.mark.parametrize(
    "change",
    [
        {"seq": -1}, {"seq": "1"}, {"id": ""}, {"id": 7}, {"author": None}, {"author": "a\n"}, {"content": 1},
        {"actions": [1]}, {"actions": {}}, {"state": []}, {"metadata": [1]}, {"usage": {"cost": 1}},
        {"created_at": "yesterday"}, {"created_at": "2025-01-01T00:00:00"}, {"created_at": None}, {"message": 7},
        {"supersedes": "all"}, {"unreadable": True}, {"unreadable": True, "row": {"id": [1]}},
        {"content": "\ud800"}, {"session_id": "another"},
    ],
)  # fmt: skip
def test_an_event_of_the_wrong_form_is_skipped_with_a_reason(
    full: SQLiteSessionService, change: dict[str, Any]
) -> None:
    lines = exported(full, session="fork").splitlines()
    lines[-3] = json.dumps({**json.loads(lines[-3]), **change})
    with memory() as copy:
        report = copy.import_(io.StringIO("\n".join(lines)))
        assert (report.sessions, report.events, report.skipped_count) == (1, 1, 1)
        assert report.skipped[0].reason
        assert "请帮我" not in report.skipped[0].reason


@pytest.mark.parametrize(
    "change",
    [
        {"id": "a\n"}, {"id": None}, {"app_name": 1}, {"title": 5}, {"metadata": [1]}, {"last_seq": -5},
        {"state": 3}, {"initial_state": [1]}, {"parent_id": ""}, {"parent_seq": "x"}, {"user_id": " x"},
    ],
)  # fmt: skip
def test_a_session_of_the_wrong_form_is_skipped_with_its_events(
    full: SQLiteSessionService, change: dict[str, Any]
) -> None:
    lines = exported(full).splitlines()
    number = next(number for number, line in enumerate(lines) if '"id":"fork"' in line)
    lines[number] = json.dumps({**json.loads(lines[number]), **change})
    with memory() as copy:
        report = copy.import_(io.StringIO("\n".join(lines)))
        assert report.sessions == 2
        assert report.skipped_count >= 1
        assert {session.id for session in copy.list_sessions()} == {"one", "cleared"}


@settings(max_examples=30)
@given(st.data())
def test_a_file_that_was_cut_off_gives_what_is_whole(data: st.DataObject) -> None:
    with memory() as store, memory() as copy:
        session = store.scope(app_name="a", user_id="u").create_session(session_id="s")
        session.add_events([Event("user", f"第{number}") for number in range(4)])
        text = exported(store).encode()
        end = data.draw(st.integers(text.index(b"\n") + 1, len(text) - 2))
        report = copy.import_(io.BytesIO(text[:end]))
        assert any("cut off" in fault.reason for fault in report.skipped)
        assert report.events <= 4
        if report.sessions:
            assert copy.list_events(copy.list_sessions()[0]) == session.events(limit=report.events)
        assert copy.import_(io.BytesIO(text)).skipped_count == 0
        assert rows(copy) == rows(store)


def test_an_export_of_a_newer_release_is_refused(full: SQLiteSessionService) -> None:
    text = exported(full).replace('"version":1', '"version":2', 1)
    with memory() as copy:
        with pytest.raises(NewerSchemaError, match="upgrade session-sqlite"):
            copy.import_(io.StringIO(text))
        assert copy.list_sessions() == []


def test_an_import_that_was_killed_is_completed_by_running_it_again(tmp_path: Path) -> None:
    source, target = tmp_path / "x.jsonl", tmp_path / "copy.db"
    with SQLiteSessionService(tmp_path / "a.db", durability="fast") as store:
        for number in range(3):
            session = store.create_session(session_id=f"s{number}", state={"k": number})
            session.add_events([Event("user", "x", state={"step": step}) for step in range(1200)])
            session.state["step"] = "last"
        store.export(source)
        code = (
            "import os, sys\n"
            "from session_sqlite import SQLiteSessionService\n"
            "count = 0\n"
            "def stop(done, total):\n"
            "    global count\n"
            "    count += 1\n"
            "    if count == 5: os._exit(9)\n"
            f"SQLiteSessionService({str(target)!r}).import_({str(source)!r}, progress=stop)\n"
        )
        assert subprocess.run([sys.executable, "-c", code]).returncode == 9
        with SQLiteSessionService(target) as copy:
            assert 0 < copy.stats()["events"] < 3600
            copy.import_(source)
            assert rows(copy) == rows(store)


# ---------------------------------------------------------------- files


def test_a_path_is_replaced_when_all_is_written_and_is_private(full: SQLiteSessionService, tmp_path: Path) -> None:
    target = tmp_path / "out" / "x.jsonl"
    target.parent.mkdir()
    report = full.export(target)
    assert (report.format, report.sessions, report.events) == ("jsonl", 3, 7)
    assert str(report) == "Exported 3 sessions with 7 events (jsonl)."
    if os.name == "posix":
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    whole = target.read_bytes()

    def fail(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        full.export(target, progress=fail)
    assert target.read_bytes() == whole
    assert [path.name for path in target.parent.iterdir()] == ["x.jsonl"]


class OwnError(OSError):
    pass


@pytest.mark.file_only
@pytest.mark.parametrize("error", [OwnError(28, "theirs"), OSError(5, "theirs"), sqlite3.OperationalError("theirs"),
                                   EOFError(), StopIteration(), zipfile.BadZipFile(), ValueError()])  # fmt: skip
def test_an_error_of_the_callers_progress_comes_out_as_it_is(
    full: SQLiteSessionService, tmp_path: Path, error: Exception
) -> None:
    def fail(done: int, total: int | None) -> None:
        raise error

    full.export(tmp_path / "x.jsonl")
    chats = tmp_path / "chat.json"
    chats.write_text(json.dumps({"messages": [{"role": "user", "content": "hi"}]}), "utf-8")
    with gzip.open(tmp_path / "x.jsonl.gz", "wb") as packed:
        packed.write((tmp_path / "x.jsonl").read_bytes())
    before = sorted(tmp_path.iterdir())
    with SQLiteSessionService(":memory:", app_name="app", user_id="user") as copy:
        for act in (
            lambda: full.export(tmp_path / "y.jsonl", progress=fail),
            lambda: full.export(tmp_path / "y.html", format="html", progress=fail),
            lambda: full.export(io.StringIO(), progress=fail),
            lambda: full.get_session("one").export(tmp_path / "y", progress=fail),
            lambda: copy.import_(tmp_path / "x.jsonl", progress=fail),
            lambda: copy.import_(tmp_path / "x.jsonl.gz", progress=fail),
            lambda: copy.import_(io.BytesIO((tmp_path / "x.jsonl").read_bytes()), progress=fail),
            lambda: copy.import_(chats, progress=fail),
            lambda: copy.import_(full.path, progress=fail),
        ):
            with pytest.raises(type(error)) as caught:
                act()
            assert caught.value is error
    assert sorted(tmp_path.iterdir()) == before, "a part of an export was left behind"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
def test_a_full_disk_is_an_error_of_ours(full: SQLiteSessionService) -> None:
    with pytest.raises(StoreError, match="'/dev/full' cannot be written"):
        full.export("/dev/full")


@pytest.mark.file_only
def test_what_cannot_be_a_target_is_refused(full: SQLiteSessionService, tmp_path: Path) -> None:
    assert full.path is not None
    size = full.path.stat().st_size
    for target, error in (
        (full.path, InvalidInputError), (f"{full.path}-wal", InvalidInputError), (tmp_path, InvalidInputError),
        (tmp_path / "no" / "folder", StoreError), (io.BytesIO(), InvalidInputError), (7, InvalidInputError),
    ):  # fmt: skip
        with pytest.raises(error):
            full.export(target)  # type: ignore[arg-type]
    assert full.path.stat().st_size >= size
    with pytest.raises(InvalidInputError, match="jsonl"):
        full.export(tmp_path / "x", format="word")
    with pytest.raises(SessionNotFoundError):
        full.export(tmp_path / "x", session="nobody")
    with pytest.raises(InvalidInputError):
        full.export(tmp_path / "x", session=5)  # type: ignore[arg-type]
    with pytest.raises(SessionNotFoundError):
        full.export(tmp_path / "x", session=Session("one", "app", "nobody"))
    assert not (tmp_path / "x").exists()
    full.close()
    with pytest.raises(StoreClosedError):
        full.export(tmp_path / "x")
    with pytest.raises(StoreClosedError):
        full.import_(io.StringIO(""))


def test_one_session_several_or_all_are_exported(full: SQLiteSessionService, tmp_path: Path) -> None:
    def ids(text: str) -> list[str]:
        return [line["id"] for line in records(text) if line["type"] == "session"]

    assert ids(exported(full)) == ["cleared", "fork", "one"]
    assert ids(exported(full, user_id="other")) == ["one"]
    assert len(ids(exported(full, app_name=ANY, user_id=ANY))) == 5
    assert ids(exported(full, session=["one", full.get_session("fork"), "one"])) == ["one", "fork"]
    assert ids(exported(full, session=[])) == []
    full.get_session("one").export(tmp_path / "one.jsonl")
    assert ids((tmp_path / "one.jsonl").read_text("utf-8")) == ["one"]


@pytest.mark.file_only
def test_another_store_is_read_as_an_export_of_it_would_be(full: SQLiteSessionService) -> None:
    assert full.path is not None
    with memory() as copy:
        report = copy.import_(full.path)
        assert (report.format, report.sessions, report.skipped_count) == ("store", 5, 0)
        assert rows(copy) == rows(full)
        assert full.import_(full.path).events == 0


def test_memory_stays_flat_and_the_progress_is_told(tmp_path: Path) -> None:
    count, size = 4_000, 3_000
    told: list[tuple[int, int | None]] = []
    with SQLiteSessionService(tmp_path / "a.db", durability="fast", search=False) as store:
        session = store.create_session()
        for start in range(0, count, 1000):
            session.add_events([Event("user", "长" * size, id=str(start + number)) for number in range(1000)])
        tracemalloc.start()
        store.export(tmp_path / "x.jsonl", progress=lambda *how_much: told.append(how_much))
        assert told[-1] == (count, count)
        store.export(tmp_path / "x.md", format="markdown")
        with SQLiteSessionService(tmp_path / "b.db", durability="fast", search=False) as copy:
            told.clear()
            copy.import_(tmp_path / "x.jsonl", progress=lambda *how_much: told.append(how_much))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert copy.list_events(session.id, limit=0, after=0) == []
            assert copy.stats()["events"] == count
    length = (tmp_path / "x.jsonl").stat().st_size
    assert told[-1] == (length, length)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert length > 36_000_000
    assert peak < 18_000_000


def test_an_export_has_what_there_was_when_it_read_the_session(full: SQLiteSessionService) -> None:
    session = full.create_session(session_id="busy")
    session.add_events([Event("user", str(number)) for number in range(1500)])
    text = io.StringIO()

    def append(done: int, total: int | None) -> None:
        session.add_event("user", "later", state={"later": done})

    full.export(text, session=session, progress=append)
    with memory() as copy:
        copy.import_(io.StringIO(text.getvalue()))
        twin = copy.get_session("busy", app_name="app", user_id="user")
        assert (len(twin.events()), twin.last_seq, dict(twin.state).get("later")) == (1500, 1500, None)


# ---------------------------------------------------------------- for people


def test_markdown_has_everything_and_nothing_in_it_can_pose_as_a_heading(full: SQLiteSessionService) -> None:
    session = full.create_session(session_id="md", title="A *title*\n# no")
    session.add_event("user", "# not a heading\n\n```\ncode\n```\x1b[31m")
    session.add_event(
        "assistant", "ok", actions=[ToolCall("Read", {"p": "`" * 5}, output="```\nout\n```", error="bad")]
    )
    text = exported(full, session=session, format="markdown")
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings[0] == "# A \\*title\\*\\\\x0a\\# no"
    assert [heading.split(" · ")[0] for heading in headings[1:]] == ["## 1. user", "## 2. assistant"]
    assert "\x1b" not in text
    assert "> # not a heading" in text
    assert "````\n```\nout\n```\n````" in text
    everything = exported(full.scope(app_name=ANY, user_id=ANY), format="markdown")
    for part in ("请帮我", "想", "what was said", "A summary of the events up to", "theirs", "Forked from: one"):
        assert part in everything


# ---------------------------------------------------------------- asyncio and the command line


async def test_the_verbs_can_be_awaited(full: SQLiteSessionService, tmp_path: Path) -> None:
    service = AsyncSessionService(full)
    session = await service.get_session("one")
    assert (await session.export(tmp_path / "one.jsonl")).sessions == 1
    assert (await service.export(tmp_path / "two.jsonl", session=[session, "fork"])).sessions == 2
    assert (await service.export(tmp_path / "x.jsonl", app_name=ANY, user_id=ANY)).sessions == 5
    async with AsyncSessionService(memory()) as copy:
        assert (await copy.import_(tmp_path / "x.jsonl", dry_run=True)).sessions == 5
        assert (await copy.import_(tmp_path / "x.jsonl")).sessions == 5


def run(*args: Any, **options: Any) -> Any:
    return CliRunner().invoke(main, list(map(str, args)), **options)


@pytest.mark.file_only
def test_the_command_exports_and_imports(full: SQLiteSessionService, tmp_path: Path) -> None:
    target, copy = tmp_path / "x.jsonl", tmp_path / "new" / "copy.db"
    result = run("--db", full.path, "export", "-o", target)
    assert result.exit_code == 0, result.output
    assert "Exported 5 sessions" in result.stderr
    assert run("--db", copy, "import", target, "--dry-run").output.startswith("Would import 5 sessions")
    assert not copy.exists()
    assert run("--db", copy, "import", target).output.startswith("Imported 5 sessions")
    assert run("--db", copy, "import", target, "--dry-run").output.startswith("Would import 0 sessions")
    report = json.loads(run("--db", copy, "import", target, "--json").stdout)
    assert (report["format"], report["sessions"], report["known"]) == ("jsonl", 0, 8)
    out = run("--db", full.path, "export", "fork", "--app", "app", "--format", "markdown")
    assert out.stdout.startswith("# 代码 😀")
    piped = run("--db", tmp_path / "p.db", "import", "-", input=exported(full))
    assert piped.output.startswith("Imported 3 sessions")
    assert run("--db", full.path, "export", "nobody").exit_code == 1
    assert run("--db", copy, "import", tmp_path / "nothing").exit_code == 1
    with SQLiteSessionService(copy) as store:
        assert rows(store) == rows(full)
        chat = tmp_path / "chat.json"
        chat.write_text('[{"role": "user", "content": "hi"}]', "utf-8")
        assert run("--db", copy, "import", chat, "--app", "a", "--user", "u").exit_code == 0
        assert len(store.list_sessions(app_name="a", user_id="u")) == 1


def test_times_before_now_are_kept(full: SQLiteSessionService, tmp_path: Path) -> None:
    when = datetime.now(UTC) - timedelta(days=400)
    chat = {"id": "old", "created_at": when.isoformat(), "messages": [
        {"role": "user", "content": "hi", "created_at": (when + timedelta(hours=1)).timestamp()}]}  # fmt: skip
    (tmp_path / "chat.json").write_text(json.dumps(chat), "utf-8")
    full.import_(tmp_path / "chat.json")
    session = full.get_session("old")
    assert session.created_at == when
    assert session.updated_at == session.events()[0].created_at
    assert abs(session.updated_at - when - timedelta(hours=1)) < timedelta(milliseconds=1)
