"""The views are for people: they read as documented with `sqlite3`, sqlite-utils, pandas and Datasette."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from session_sqlite import Event, Session, SQLiteChatMessageHistory, SQLiteSessionService, ToolCall, Usage
from session_sqlite.sqlite import schema

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
VIEWS = {
    "tool_calls": ["app_name", "user_id", "session_id", "seq", "created_at", "agent_id", "invocation_id", "event_id",
    "call_id",
                   "name", "args", "output", "error", "status", "result_seq", "result_at",
                   "position"],
    "usage_by_day": ["app_name", "user_id", "day", "model", "replies", "input_tokens", "output_tokens",
    "cache_read_tokens",
                     "cache_write_tokens", "reasoning_tokens"],
    "session_overview": ["app_name", "user_id", "id", "agent_id", "title", "first_message", "event_count", "created_at",
                         "last_activity"],
    "counted_events": ["row_id", "id", "session_id", "author", "content", "reasoning", "actions", "metadata",
                       "created_at", "app_name", "user_id", "seq", "agent_id", "branch", "invocation_id", "state",
                       "usage", "tool_call_id", "message_id", "message", "supersedes", "copied_from"],
    "tokens": ["app_name", "user_id", "session_id", "seq", "created_at", "agent_id", "event_id", "model",
               "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"],
    "transcript": ["app_name", "user_id", "session_id", "seq", "created_at", "author", "content", "reasoning", "tools"],
}  # fmt: skip


@pytest.fixture
def session(service: SQLiteSessionService) -> Session:
    return service.create_session(session_id="s")


def rows(path: Path, view: str) -> list[dict[str, Any]]:
    """What any SQLite tool sees."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {view}")]


def calls(path: Path) -> list[tuple[Any, ...]]:
    """(seq, call id, name, output, error, status, seq of the result) of each call."""
    found = [
        (row["seq"], row["call_id"], row["name"], row["output"], row["error"], row["status"], row["result_seq"])
        for row in rows(path, "tool_calls")
    ]
    return sorted(found, key=lambda call: (call[0], call[1]))


def damage(path: Path, column: str, value: object, seq: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE events SET {column} = ? WHERE seq = ?", [value, seq])
        connection.commit()


# ---------------------------------------------------------------- tool_calls


def test_a_native_event_tells_its_calls_and_their_results(path: Path, session: Session) -> None:
    session.add_event("user", "go")
    event = session.add_event(
        "assistant",
        agent_id="coder",
        invocation_id="i1",
        created_at=NOON,
        actions=[
            ToolCall("Read", {"path": "main.go", "deep": {"a": [1, None]}}, id="c1", output="package main"),
            ToolCall("Run", id="c2", error="exit 1"),
            ToolCall("Wait", id="c3"),
            ToolCall("Count", id="c4", output={"n": 1}),
            ToolCall("Is", id="c5", output=True),
            ToolCall("Not", id="c6", output=False),
            ToolCall("Empty", id="c7", output=""),
            ToolCall("Number", id="c8", output=1.5),
            ToolCall("List", output=[1, "二"]),
        ],
    )
    assert calls(path) == sorted([
        (2, "c1", "Read", "package main", None, "ok", None),
        (2, "c2", "Run", None, "exit 1", "error", None),
        (2, "c3", "Wait", None, None, "pending", None),
        (2, "c4", "Count", '{"n":1}', None, "ok", None),
        (2, "c5", "Is", "true", None, "ok", None),
        (2, "c6", "Not", "false", None, "ok", None),
        (2, "c7", "Empty", "", None, "ok", None),
        (2, "c8", "Number", "1.5", None, "ok", None),
        (2, "", "List", '[1,"二"]', None, "ok", None),
    ], key=lambda call: (call[0], call[1]))  # fmt: skip
    read = next(row for row in rows(path, "tool_calls") if row["name"] == "Read")
    assert json.loads(read["args"]) == {"path": "main.go", "deep": {"a": [1, None]}}
    assert (read["event_id"], read["agent_id"], read["invocation_id"]) == (event.id, "coder", "i1")
    assert (
        read["created_at"] == read["result_at"] == "2026-01-31T12:00:00.000000Z"
        or read["created_at"] == read["result_at"]
    )
    assert next(row for row in rows(path, "tool_calls") if row["name"] == "Wait")["result_at"] is None


def test_messages_tell_their_calls_joined_with_their_results(path: Path, service: SQLiteSessionService) -> None:
    history = SQLiteChatMessageHistory("s", service=service)
    history.add_messages([
        HumanMessage("go"),
        AIMessage("", tool_calls=[{"name": "Read", "args": {"p": 1}, "id": "a"}, {"name": "Run", "args": {}, "id": "b"},
                                  {"name": "Wait", "args": {}, "id": "c"}]),
        ToolMessage("failed", tool_call_id="b", status="error", name="Run"),
        ToolMessage("package main", tool_call_id="a", name="Read"),
    ])  # fmt: skip
    found = {call[1]: call for call in calls(path)}
    assert found["a"] == (2, "a", "Read", "package main", None, "ok", 4)
    assert found["b"][:3] == (2, "b", "Run")
    assert found["b"][4] is not None
    assert found["b"][5:] == ("error", 3)
    assert found["c"] == (2, "c", "Wait", None, None, "pending", None)
    assert len(calls(path)) == 3


def test_a_result_that_comes_later_belongs_to_its_call(path: Path, session: Session) -> None:
    session.add_event("assistant", actions=[ToolCall("Read", id="a"), ToolCall("Run", id="b")])
    assert [call[5] for call in calls(path)] == ["pending", "pending"]
    session.add_event("tool", "late", actions=[ToolCall("Run", id="b")], created_at=NOON)
    assert calls(path) == [(1, "a", "Read", None, None, "pending", None), (1, "b", "Run", "late", None, "ok", 2)]
    session.add_event("tool", actions=[ToolCall("Read", id="a", error="no such file")])
    assert calls(path)[0] == (1, "a", "Read", "", "no such file", "error", 3)


def test_an_id_that_is_used_again_joins_each_call_with_its_own_result(path: Path, session: Session) -> None:
    for turn in range(3):
        session.add_event("user", "again")
        session.add_event("assistant", actions=[ToolCall("Read", {"turn": turn}, id="call_0")])
        session.add_event("tool", f"result {turn}", actions=[ToolCall("Read", id="call_0")])
    assert calls(path) == [
        (2, "call_0", "Read", "result 0", None, "ok", 3),
        (5, "call_0", "Read", "result 1", None, "ok", 6),
        (8, "call_0", "Read", "result 2", None, "ok", 9),
    ]


def test_a_call_that_was_given_up_is_pending_though_its_id_is_used_again(path: Path, session: Session) -> None:
    session.add_event("user", "one")
    session.add_event("assistant", actions=[ToolCall("Read", id="call_0")])
    session.add_event("user", "never mind; two")
    session.add_event("assistant", actions=[ToolCall("Read", id="call_0")])
    session.add_event("tool", "result", actions=[ToolCall("Read", id="call_0")])
    assert calls(path) == [
        (2, "call_0", "Read", None, None, "pending", None),
        (4, "call_0", "Read", "result", None, "ok", 5),
    ]


def test_a_result_without_its_call_is_a_row_of_its_own(path: Path, session: Session) -> None:
    session.add_event("tool", "orphan", actions=[ToolCall("Read", {"a": 1}, id="lost")])
    session.add_event("tool", "", actions=[ToolCall("Run", id="lost2", error="no")])
    session.add_event("tool", "from nowhere", actions=[ToolCall("Anonymous")])
    session.add_event("tool", "of no tool")
    assert calls(path) == [
        (1, "lost", "Read", "orphan", None, "ok", 1),
        (2, "lost2", "Run", None, "no", "error", 2),
        (3, "", "Anonymous", "from nowhere", None, "ok", 3),
    ]


def test_calls_of_one_event_with_one_id_have_its_results_in_order(path: Path, session: Session) -> None:
    for turn in range(2):
        session.add_event(
            "assistant", actions=[ToolCall("Read", id="x"), ToolCall("Run", id="y"), ToolCall("Go", id="x")]
        )
        session.add_event("tool", f"first {turn}", actions=[ToolCall("Read", id="x")])
        if turn:
            session.add_event("tool", "between", actions=[ToolCall("Run", id="y")])
            session.add_event("tool", "no", actions=[ToolCall("Go", id="x", error="no")])
    found = {(row["seq"], row["name"]): (row["output"], row["status"]) for row in rows(path, "tool_calls")}
    assert found == {
        (1, "Read"): ("first 0", "ok"), (1, "Run"): (None, "pending"), (1, "Go"): (None, "pending"),
        (3, "Read"): ("first 1", "ok"), (3, "Run"): ("between", "ok"), (3, "Go"): ("no", "error"),
    }  # fmt: skip


def reply_with_other_calls() -> AIMessage:
    """A reply with a call that is invalid, one that the provider ran, and one that stands in the content only."""
    return AIMessage(
        [
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "zeppelins"}},
            {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"title": "Ships, Friedrichshafen"}]},
            {"type": "tool_use", "id": "c1", "name": "Read", "input": {"path": "hangar.go"}},
        ],
        tool_calls=[{"name": "Run", "args": {"n": 1}, "id": "c3"}],
        invalid_tool_calls=[{"name": "Write", "args": '{"path": "ballast', "id": "c2", "error": "no JSON"}],
    )  # fmt: skip


CALLS_OF_THAT_REPLY = [
    ("Read", '{"path":"hangar.go"}', "package hangar", "ok"),
    ("Run", '{"n":1}', None, "pending"),
    ("Write", '{"path": "ballast', "malformed", "error"),
    ("web_search", '{"query":"zeppelins"}', '[{"title":"Ships, Friedrichshafen"}]', "ok"),
]


def named_calls(path: Path) -> list[tuple[str, str, Any, str]]:
    found = [(row["name"], row["args"], row["output"], row["status"]) for row in rows(path, "tool_calls")]
    return sorted(found, key=lambda call: call[0])


def test_calls_that_are_invalid_or_stand_in_the_content_are_calls(path: Path, service: SQLiteSessionService) -> None:
    SQLiteChatMessageHistory("s", service=service).add_messages([
        reply_with_other_calls(),
        ToolMessage("malformed", tool_call_id="c2", status="error"),
        ToolMessage("package hangar", tool_call_id="c1"),
    ])  # fmt: skip
    assert named_calls(path) == CALLS_OF_THAT_REPLY
    args = {call["name"]: call["args"] for call in service.tool_calls()}
    assert args == {
        "Read": {"path": "hangar.go"}, "Run": {"n": 1}, "Write": '{"path": "ballast',
        "web_search": {"query": "zeppelins"},
    }  # fmt: skip
    for word in ("zeppelins", "Friedrichshafen", "hangar.go", "ballast"):
        assert [hit.event.seq for hit in service.search(word, fields="tools")][-1:] == [1], word


def test_the_calls_of_messages_that_were_stored_before_are_derived_anew(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        history = SQLiteChatMessageHistory("s", service=service)
        history.add_messages([
            reply_with_other_calls(),
            ToolMessage("malformed", tool_call_id="c2", status="error"),
            ToolMessage("package hangar", tool_call_id="c1"),
            AIMessage("", tool_calls=[{"name": "Run", "args": {}, "id": "c4"}]),
        ])  # fmt: skip
        messages = history.messages
        native = service.create_session(session_id="native").add_event("assistant", actions=[ToolCall("Go", {"a": 1})])
    with closing(sqlite3.connect(path)) as connection:
        # As earlier releases stored it: the actions are the tool_calls, and the message says nothing of others.
        run = '[{"id":"c3","name":"Run","args":{"n":1}}]'
        connection.execute("UPDATE events SET actions = ?, message = json_remove(message, '$.$meta') WHERE seq = 1"
                           " AND session_id = 's'", [run])  # fmt: skip
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'derive_the_calls_of_messages'")
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION - 1}")
        connection.execute("INSERT INTO search_index (search_index) VALUES ('delete-all')")
        connection.execute("UPDATE search_progress SET indexed = 0")
        connection.commit()
    with SQLiteSessionService(path) as service:
        more = [("Go", '{"a":1}', None, "pending"), ("Run", "{}", None, "pending")]
        assert sorted(map(repr, named_calls(path))) == sorted(map(repr, [*more, *CALLS_OF_THAT_REPLY]))
        assert SQLiteChatMessageHistory("s", service=service).messages == messages
        assert service.list_events("native") == [native]
        assert [hit.event.seq for hit in service.search("Friedrichshafen")] == [1]
        service.delete_session("s")
        assert service.search("Friedrichshafen") == []
        assert service.check().ok


def test_the_calls_of_an_export_of_an_earlier_release_are_derived_anew(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "export.jsonl"
    with SQLiteSessionService(":memory:") as service:
        history = SQLiteChatMessageHistory("s", service=service)
        history.add_messages([reply_with_other_calls()])
        messages = history.messages
        service.export(target)
    lines = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    (event,) = (line for line in lines if line.get("author") == "assistant")
    event["actions"] = [call for call in event["actions"] if call["name"] == "Run"]
    del event["message"]["$meta"]
    target.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with SQLiteSessionService(path) as service:
        service.import_(target)
        assert sorted(name for name, *_ in named_calls(path)) == ["Read", "Run", "Write", "web_search"]
        assert SQLiteChatMessageHistory("s", service=service).messages == messages


def test_calls_of_two_sessions_and_two_users_never_meet(path: Path, service: SQLiteSessionService) -> None:
    for user in ("a", "b"):
        for name in ("s", "t"):
            session = service.create_session(session_id=name, user_id=user)
            session.add_event("assistant", actions=[ToolCall("Read", id="c")])
            if (user, name) != ("b", "t"):
                session.add_event("tool", f"{user}{name}", actions=[ToolCall("Read", id="c")])
    found = {(row["user_id"], row["session_id"]): (row["output"], row["status"]) for row in rows(path, "tool_calls")}
    assert found == {
        ("a", "s"): ("as", "ok"), ("a", "t"): ("at", "ok"), ("b", "s"): ("bs", "ok"), ("b", "t"): (None, "pending"),
    }  # fmt: skip
    assert len(rows(path, "tool_calls")) == 4


def test_a_call_by_an_agent_under_its_own_name_is_a_call(path: Path, session: Session) -> None:
    session.add_event("researcher", actions=[ToolCall("Look", id="c", output="found")])
    assert calls(path) == [(1, "c", "Look", "found", None, "ok", None)]


DAMAGES = [
    "{not json",
    "",
    "[",
    "[1]",
    "[null]",
    '"text"',
    "{}",
    "3",
    "null",
    '[{"name": 3}]',
    '[{"args": 1, "output": null}]',
    b"\xff",
]


@pytest.mark.parametrize("damaged", DAMAGES)
def test_a_damaged_row_hides_no_other(path: Path, service: SQLiteSessionService, damaged: object) -> None:
    session = service.create_session(session_id="s")
    session.add_events([
        Event("user", "go"),
        Event("assistant", actions=[ToolCall("Read", id="a")], usage=Usage("m", 1, 2)),
        Event("tool", "x", actions=[ToolCall("Read", id="a")]),
        Event("assistant", actions=[ToolCall("Run", id="b", output="fine")], usage=Usage("m", 10, 20)),
        Event("tool", "y", actions=[ToolCall("Gone", id="z")]),
    ])  # fmt: skip
    for seq in (2, 3, 5):
        for column in ("actions", "usage", "metadata", "state", "message"):
            damage(path, column, damaged, seq)
    assert (4, "b", "Run", "fine", None, "ok", None) in calls(path)
    assert sum(row["input_tokens"] for row in rows(path, "usage_by_day")) == 10
    assert [row["seq"] for row in rows(path, "transcript")] == [1, 2, 3, 4, 5]
    assert rows(path, "session_overview")[0]["event_count"] == 5
    # And the same by the service's own verbs.
    assert "Run" in [call["name"] for call in service.tool_calls()]
    assert service.usage("model")[-1]["input_tokens"] == 10
    assert service.stats()["events"] == 5


# ---------------------------------------------------------------- usage_by_day


def test_usage_is_summed_by_day_and_model_from_messages_and_native_events(
    path: Path, service: SQLiteSessionService
) -> None:
    session = service.create_session(session_id="s")
    session.add_events([
        Event("user", "not counted", created_at=NOON),
        Event("assistant", usage=Usage("m1", 1, 2, 3, 4, 5), created_at=NOON),
        Event("assistant", usage=Usage("m1", 10, 20, 30, 40, 50), created_at=NOON + timedelta(hours=11, minutes=59)),
        Event("assistant", usage=Usage("m2", 100), created_at=NOON),
        Event("assistant", usage=Usage(input_tokens=7), created_at=NOON + timedelta(hours=12)),
    ])  # fmt: skip
    history = SQLiteChatMessageHistory("h", service=service)
    history.add_messages([
        AIMessage("hi", response_metadata={"model_name": "m3"}, usage_metadata={
            "input_tokens": 11, "output_tokens": 12, "total_tokens": 23,
            "input_token_details": {"cache_read": 3, "cache_creation": 2}, "output_token_details": {"reasoning": 5}}),
        AIMessage("without"),
    ])  # fmt: skip
    today = datetime.now(UTC).date().isoformat()
    found = {(row["day"], row["model"]): list(row.values())[4:] for row in rows(path, "usage_by_day")}
    assert found == {
        ("2026-01-31", "m1"): [2, 11, 22, 33, 44, 55],
        ("2026-01-31", "m2"): [1, 100, 0, 0, 0, 0],
        ("2026-02-01", ""): [1, 7, 0, 0, 0, 0],
        (today, "m3"): [1, 11, 12, 3, 2, 5],
    }


# ---------------------------------------------------------------- session_overview and transcript


def test_an_overview_shows_each_session_at_a_glance(path: Path, service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s", title="Tea", agent_id="a1")
    service.create_session(session_id="empty", user_id="other")
    session.add_events(
        [Event("system", "be kind"), Event("user", "哪种茶？"), Event("user", "second"), Event("assistant", "green")]
    )
    empty, full = sorted(rows(path, "session_overview"), key=lambda row: row["event_count"])
    assert (full["title"], full["agent_id"], full["first_message"], full["event_count"]) == ("Tea", "a1", "哪种茶？", 4)
    assert (empty["user_id"], empty["first_message"], empty["event_count"]) == ("other", None, 0)
    assert full["last_activity"] > full["created_at"]


def test_a_transcript_reads_in_order(path: Path, service: SQLiteSessionService) -> None:
    for name in ("b", "a"):
        session = service.create_session(session_id=name)
        session.add_event("user", f"go {name}")
        session.add_event("assistant", "done", reasoning="why", actions=[ToolCall("Read"), ToolCall("Run", output=1)])
    found = rows(path, "transcript")
    assert [(row["session_id"], row["seq"]) for row in found] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert list(found[1].values())[5:] == ["assistant", "done", "why", "Read, Run"]
    assert found[0]["tools"] is None


# ---------------------------------------------------------------- with every tool


@pytest.fixture
def filled(path: Path) -> Iterator[Path]:
    with SQLiteSessionService(path) as service:
        session = service.create_session(session_id="s", title="Tea")
        session.add_event("user", "请帮我分析代码")
        session.add_event("assistant", actions=[ToolCall("Read", {"p": 1}, output="x")], usage=Usage("m", 3, 4))
        service.search("代码")
        yield path


def test_the_views_have_their_documented_columns(filled: Path) -> None:
    with closing(sqlite3.connect(filled)) as connection:
        for view, columns in VIEWS.items():
            assert [row[1] for row in connection.execute(f"PRAGMA table_info({view})")] == columns
        views = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")}
    assert views == VIEWS.keys()


def test_sqlite_utils_reads_the_views(filled: Path) -> None:
    db = sqlite_utils.Database(filled)
    try:
        assert set(db.view_names()) == VIEWS.keys()
        assert [row["name"] for row in db.view("tool_calls").rows] == ["Read"]
        assert db.view("usage_by_day").count == 1
        assert next(db.query("SELECT title, first_message FROM session_overview"))["first_message"] == "请帮我分析代码"
    finally:
        db.close()


def test_pandas_reads_the_views(filled: Path) -> None:
    pandas = pytest.importorskip("pandas")
    with closing(sqlite3.connect(filled)) as connection:
        usage = pandas.read_sql("SELECT * FROM usage_by_day", connection, parse_dates=["day"])
        assert usage["input_tokens"].sum() == 3
        overview = pandas.read_sql("SELECT * FROM session_overview", connection)
        assert not pandas.to_datetime(overview["last_activity"], utc=True).isna().any()
        assert list(pandas.read_sql("SELECT * FROM transcript", connection)["author"]) == ["user", "assistant"]
        assert list(pandas.read_sql("SELECT * FROM tool_calls", connection)["status"]) == ["ok"]


@pytest.mark.parametrize("page", ["session_overview", "tool_calls", "events"])
def test_datasette_opens_the_file_and_shows_its_pages(filled: Path, page: str, tmp_path: Path) -> None:
    pytest.importorskip("datasette")
    # In a process of its own: in ours it would leave a connection open.
    environment = {**os.environ, "PYTHONUTF8": "1", "DATASETTE_LOAD_PLUGINS": "", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "datasette", str(filled), "--get"]
    address = f"/{filled.stem}/{page}"
    got = subprocess.run(
        [*command, f"{address}.json?_shape=array"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    shown = json.loads(got.stdout)
    assert len(shown) == (2 if page == "events" else 1)
    if page == "session_overview":
        got = subprocess.run(
            [*command, address], env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        assert "<table" in got.stdout
        assert "Tea" in got.stdout


def test_finding_the_results_of_calls_does_not_read_a_session_for_each() -> None:
    def steps(turns: int) -> int:
        """The steps of SQLite's machine, in hundreds, for the view of a session with so many calls."""
        with SQLiteSessionService(":memory:") as service:
            calls = [
                message
                for number in range(turns)
                for message in (
                    AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": f"c{number}"}]),
                    ToolMessage("2", tool_call_id=f"c{number}"),
                )
            ]
            SQLiteChatMessageHistory("s", service=service).add_messages(calls)
            service.get_session("s").add_events(
                [Event("assistant", actions=[ToolCall("add", output="2")]) for _ in range(turns)]
            )
            taken = 0

            def step() -> None:
                nonlocal taken
                taken += 1

            connection = service.db.conn
            connection.set_progress_handler(step, 100)
            try:
                assert len(connection.execute("SELECT * FROM tool_calls").fetchall()) == 2 * turns
            finally:
                connection.set_progress_handler(None, 0)
            return taken

    assert steps(400) < 3 * steps(200)
