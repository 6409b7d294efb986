"""No statement of daily use reads a whole table: the plans of what the service really ran."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from session_sqlite import ANY, Event, SQLiteChatMessageHistory, SQLiteSessionService, ToolCall
from session_sqlite.operations import session_search
from session_sqlite.sqlite import search_index

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
STATEMENT = re.compile(r"\s*(SELECT|WITH|UPDATE|DELETE|INSERT|REPLACE)\b")
TABLES = ("sessions", "events", "state")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough of everything that a scan would be a choice, and no statistics, as in every real file."""
    path = tmp_path_factory.mktemp("plans") / "sessions.db"
    with SQLiteSessionService(path, durability="fast") as service:
        for user in ("default", "other"):
            for number in range(20):
                session = service.create_session(session_id=str(number), user_id=user, agent_id="a")
                session.add_events([
                    Event("user" if step % 2 else "assistant", f"word {step}", invocation_id=f"i{step}",
                          id=f"{user}{number}e{step}", created_at=NOON + timedelta(minutes=step),
                          state={"key": step, "user:lang": "zh"}, actions=[] if step % 2 else [ToolCall("Read",
                          id=f"c{step}")])
                    for step in range(20)
                ])  # fmt: skip
        service.search("word")
    return path


@pytest.fixture
def filled(path: Path, file: Path) -> Iterator[SQLiteSessionService]:
    shutil.copy(file, path)
    with SQLiteSessionService(path, durability="fast") as service:
        yield service


@contextmanager
def statements(service: SQLiteSessionService) -> Iterator[list[str]]:
    """What SQLite is asked to run in the block, with its values, on every connection that the service has or makes."""
    ran: list[str] = []
    database = service._database
    connect = database._connect

    def traced(mode: str) -> sqlite3.Connection:
        connection = connect(mode)
        connection.set_trace_callback(ran.append)
        return connection

    database._connect = traced
    for connection in database._connections():
        connection.set_trace_callback(ran.append)
    try:
        yield ran
    finally:
        for connection in database._connections():
            connection.set_trace_callback(None)
        database._connect = connect


def plans(path: Path, ran: list[str]) -> dict[str, list[str]]:
    """The plan of each statement, as lines."""
    with closing(sqlite3.connect(path)) as connection:
        return {
            sql: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
            for sql in ran
            if STATEMENT.match(sql)
        }


def scans(plan: list[str], sql: str) -> list[str]:
    """The lines that read a whole table: not those over a subquery, a function or the search index by a match."""
    names = {alias: table for table, alias in re.findall(rf"\b({'|'.join(TABLES)})\s+AS\s+(\w+)", sql)}
    found = []
    for line in plan:
        match = re.match(r"SCAN (?:TABLE )?(\w+)(.*)", line)
        if match and names.get(match[1], match[1]) in TABLES:
            found.append(line)
        elif match and match[1] == "search_index" and not re.search(r"VIRTUAL TABLE INDEX \d+:\S*M", line):
            found.append(line)  # without a MATCH
    return found


def assert_no_scan(service: SQLiteSessionService, call: Any, *, sorts: bool = True) -> list[str]:
    with statements(service) as ran:
        call()
    found = plans(service.path, ran)  # type: ignore[arg-type]
    assert found, "nothing was traced"
    for sql, plan in found.items():
        assert not scans(plan, sql), (sql, plan)
        if not sorts:
            assert not any("USE TEMP B-TREE" in line for line in plan), (sql, plan)
    return [line for plan in found.values() for line in plan]


def test_the_check_itself_sees_a_scan(filled: SQLiteSessionService, path: Path) -> None:
    for sql in (
        "SELECT * FROM events WHERE content = 'x'", "SELECT * FROM events AS e WHERE e.content = 'x'",
        "SELECT * FROM sessions ORDER BY title",
        "SELECT rowid FROM search_index", "DELETE FROM state WHERE value = ''",
    ):  # fmt: skip
        [[*plan]] = plans(path, [sql]).values()
        assert scans(plan, sql), plan
    sql = "SELECT rowid FROM search_index WHERE search_index MATCH 'word'"
    [[*plan]] = plans(path, [sql]).values()
    assert not scans(plan, sql), plan


# Each is called with the service and one of its sessions.
IN_ORDER = {
    "last events": lambda service, session: session.last_events(5),
    "events": lambda service, session: session.events(),
    "newest events": lambda service, session: session.events(limit=3, newest_first=True),
    "events after": lambda service, session: session.events(after=3, before=9),
    "a page of events": lambda service, session: session.events(limit=3),
    "events of an invocation": lambda service, session: session.events(invocation_id="i3"),
    "events in a time": lambda service, session: session.events(since=NOON, until=NOON + timedelta(minutes=4)),
    "events by an author": lambda service, session: session.events(author="user", branch="b", agent_id="a"),
    "events with a tool": lambda service, session: session.events(tool="Read"),
    "a stream of events": lambda service, session: list(session.iter_events()),
    "a session": lambda service, session: service.get_session("3"),
    "a list of sessions": lambda service, session: service.list_sessions(limit=5),
    "the next sessions": lambda service, session: service.list_sessions(limit=5,
    cursor=service.list_sessions(limit=5).next_cursor),
    "sessions of a time": lambda service, session: service.list_sessions(updated_after=NOON, updated_before=NOON),
    "sessions of an agent": lambda service, session: service.list_sessions(agent_id="a", metadata={"k": 1}),
    "the sidebar": lambda service, session: service.session_overviews(limit=20),
    "the sidebar's next page": lambda service, session: service.session_overviews(
        limit=5, cursor=service.session_overviews(limit=5).next_cursor
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_ORDER)
def test_reading_follows_an_index_and_sorts_nothing(filled: SQLiteSessionService, name: str) -> None:
    assert_no_scan(filled, lambda: IN_ORDER[name](filled, filled.get_session("3")), sorts=False)


OTHERS = {
    "an append": lambda service, session: session.add_event("user", "x"),
    "appends": lambda service, session: session.add_events([Event("user", "x")] * 3),
    "an append with state": lambda service, session: session.add_event("user", "x", state={"key": 1, "app:a": 2,
    "user:b": 3}),
    "an append with an id": lambda service, session: session.add_event("user", "x", id="mine"),
    "an append again": lambda service, session: session.add_events(
        [Event("user", "x", id="again", created_at=NOON), Event("user", "x", id="again", created_at=NOON)]
    ),
    "an append that expects": lambda service, session: session.add_event("user", "x",
    expected_seq=session.refresh().last_seq),
    "the state": lambda service, session: dict(session.state),
    "a key of the state": lambda service, session: session.state["key"],
    "a change of the state": lambda service, session: session.state.update({"key": 2, "user:lang": "en", "app:x": 1}),
    "an update": lambda service, session: session.update(title="x", metadata={"a": 1}),
    "a new session": lambda service, session: service.create_session(),
    "a session that is there": lambda service, session: service.create_session(session_id="3", exist_ok=True),
    "the end of a session": lambda service, session: session.delete(),
    "a clear": lambda service, session: session.clear(),
    "a rewind": lambda service, session: session.rewind(turns=2),
    "a fork": lambda service, session: session.fork(at=7),
    "a fork at an id": lambda service, session: session.fork(at="default3e7"),
    "calls in a session": lambda service, session: service.tool_calls(session=session),
    "usage in a session": lambda service, session: service.usage(session=session),
    "a search": lambda service, session: service.search("word"),
    "a newest search": lambda service, session: service.search("word", newest_first=True),
    "a search in a session": lambda service, session: session.search("word"),
    "a newest search in a session": lambda service, session: session.search("word", newest_first=True),
    "a search for a prefix": lambda service, session: service.search("wo*"),
    "a search by author and time": lambda service, session: service.search("word", author="user", since=NOON),
    "a newest search by author": lambda service, session: service.search("word", author="user", newest_first=True),
    "a search of everything": lambda service, session: service.search("word", app_name=ANY, user_id=ANY),
    "a search of a user in all apps": lambda service, session: service.search("word", app_name=ANY),
    "a search of tools": lambda service, session: service.search("read", fields=["tools"]),
    "a search of sessions": lambda service, session: service.search_sessions("wor"),
    "a search of sessions by rank": lambda service, session: service.search_sessions("wor 3", order="best"),
    "a search of sessions for nothing": lambda service, session: service.search_sessions("nothing"),
    "a search of sessions for one letter": lambda service, session: service.search_sessions("w"),
    "a search behind appends": lambda service, session: (session.add_event("user", "word"), service.search("word")),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("short", [True, False])
def test_nothing_of_daily_use_reads_a_whole_table(
    filled: SQLiteSessionService, name: str, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not short:  # what is done in a long session
        if "search" not in name:
            return
        monkeypatch.setattr(search_index, "SCANNED_SESSION", 0)
        monkeypatch.setattr(search_index, "SCANNED_SESSION_WITH_PREFIX", 0)
    session = filled.get_session("3")
    assert_no_scan(filled, lambda: OTHERS[name](filled, session))


SESSION_SEARCHES = [name for name in OTHERS if "search of sessions" in name]


@pytest.mark.parametrize("name", SESSION_SEARCHES)
@pytest.mark.parametrize("few", [0, 1000])
def test_a_search_of_sessions_beyond_the_latest_follows_indexes(
    filled: SQLiteSessionService, name: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_search, "SESSIONS_READ_FIRST", (1,))
    monkeypatch.setattr(session_search, "FEW_ROWS", few)
    lines = assert_no_scan(filled, lambda: OTHERS[name](filled, filled.get_session("3")))
    if "letter" not in name:
        assert any("VIRTUAL TABLE INDEX" in line for line in lines), "the index of words was not asked"
    every_event_of_a_user = r"SEARCH events USING (COVERING )?INDEX events_in_order \(app_name=\? AND user_id=\?\)$"
    assert not [line for line in lines if re.match(every_event_of_a_user, line)]


def test_a_search_uses_the_index_of_words(filled: SQLiteSessionService) -> None:
    lines = assert_no_scan(filled, lambda: filled.search("word"))
    assert any("VIRTUAL TABLE INDEX" in line for line in lines)


def test_a_page_of_the_newest_is_not_sorted(filled: SQLiteSessionService) -> None:
    with statements(filled) as ran:
        filled.search("word", newest_first=True)
    [[*plan]] = [plan for sql, plan in plans(filled.path, ran).items() if "MATCH" in sql]  # type: ignore[arg-type]
    inside = [line for line in plan if "search_index" in line]
    assert inside  # SQLite reads it by rowid, downwards, and stops at the limit
    assert len([line for line in plan if "USE TEMP B-TREE" in line]) <= 1  # of the few hits alone


def test_an_event_is_looked_up_by_its_id(filled: SQLiteSessionService) -> None:
    lines = assert_no_scan(filled, lambda: OTHERS["an append with an id"](filled, filled.get_session("3")))
    assert any("events_id (id=?)" in line for line in lines), lines


def test_the_next_events_are_found_from_a_cursor(filled: SQLiteSessionService) -> None:
    session = filled.get_session("3")
    cursor = session.events(limit=3).next_cursor
    assert_no_scan(filled, lambda: session.events(limit=3, after=cursor), sorts=False)


def test_a_figure_looks_each_copy_up_by_its_id(filled: SQLiteSessionService) -> None:
    filled.get_session("3").fork()
    for figure in (filled.usage, filled.activity, filled.tool_calls, filled.tool_counts, filled.stats,
                   filled.reply_times):  # fmt: skip
        with statements(filled) as ran:
            figure()
        for sql, plan in plans(filled.path, ran).items():  # type: ignore[arg-type]
            if "sessions" in sql or "USAGE" in sql:
                continue
            lines = [line for line in plan if "named" in line or "same" in line]
            assert any(" named USING COVERING INDEX events_id (id=?)" in line for line in lines), plan
            assert all("named" in line or "INTEGER PRIMARY KEY (rowid=?)" in line for line in lines), plan


def test_a_message_is_looked_up_by_its_id(filled: SQLiteSessionService, path: Path) -> None:
    history = SQLiteChatMessageHistory("h", service=filled)
    history.add_messages([HumanMessage("hi", id="m1"), AIMessage("ho", id="m2")])
    sql = (
        "SELECT seq FROM events WHERE app_name = 'default' AND user_id = 'default'"
        " AND session_id = 'h' AND message_id = 'm2'"
    )
    [[line]] = plans(path, [sql]).values()
    assert "USING" in line
    assert "INDEX events_message (app_name=? AND user_id=? AND session_id=? AND message_id=?)" in line


def test_a_history_reads_and_writes_by_index(filled: SQLiteSessionService) -> None:
    history = SQLiteChatMessageHistory("3", service=filled, limit=4)
    assert_no_scan(filled, lambda: history.messages)
    assert_no_scan(filled, lambda: history.add_messages([HumanMessage("hi", id="m1"), HumanMessage("hi", id="m1")]))


def test_a_sidebar_reads_no_text_but_the_first_messages(filled: SQLiteSessionService) -> None:
    with statements(filled) as ran:
        filled.session_overviews(limit=5)
    selects = [sql for sql in ran if STATEMENT.match(sql)]
    assert len(selects) == 1
    [plan] = plans(filled.path, ran).values()  # type: ignore[arg-type]
    assert any("COVERING INDEX" in line and "events" in line for line in plan), plan  # what is counted
