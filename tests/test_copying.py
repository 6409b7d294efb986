"""Copying a store into another: what arrives is what was there, whatever keeps it, and a difference is found."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import backends
import pytest
from click.testing import CliRunner, Result
from langchain_core.messages import AIMessage, HumanMessage

from session_sqlite import (
    ANY,
    REMOVE,
    Event,
    SessionService,
    SQLAlchemySessionService,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    ToolCall,
    Usage,
)
from session_sqlite.cli import main
from session_sqlite.operations import whole_sessions

COLUMNS = {
    "sessions": "app_name, user_id, id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id,"
    " parent_seq, initial_state",
    "events": "app_name, user_id, session_id, seq, id, author, content, reasoning, actions, metadata, created_at,"
    ' agent_id, branch, invocation_id, state, "usage", tool_call_id, message_id, message, supersedes, copied_from',
    "state": 'app_name, user_id, session_id, "key", value',
}
SERVERS = ["postgresql", "mariadb"]


@contextmanager
def opened(location: str) -> Iterator[SessionService]:
    """The store at a path or URL, for all apps and users."""
    make: Any = SQLAlchemySessionService if "://" in location else SQLiteSessionService
    with make(location, app_name=ANY, user_id=ANY) as service:
        yield service


def rows(location: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is stored, as it is stored, except when a value of the state was written."""
    with opened(location) as service:
        return {
            table: sorted((tuple(row.values()) for row in service.query(f"SELECT {names} FROM {table}")), key=repr)
            for table, names in COLUMNS.items()
        }


def fill(path: str) -> None:
    """Everything that there is to take along."""
    with SQLiteSessionService(path, app_name="app", user_id="user", durability="fast") as s:
        session = s.create_session(
            session_id="one", title="代码 😀", metadata={"k": [1, None]}, state={"a": 1, "user:lang": "zh", "app:v": 2}
        )
        session.add_event("user", "请帮我\0 \ue000", metadata={"x": 1.5}, branch="b", invocation_id="i", id="mine")
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
        session.fork(at=2, session_id="fork").fork(session_id="Fork")
        session.summarize(lambda _: "what was said", keep_last=1)
        session.add_event("user", "gone")
        session.rewind()
        session.state["later"] = 10**30
        s.scope(user_id="User").create_session(session_id="one").add_event("user", "theirs", state={"user:k": 1})
        s.scope(app_name="zz").create_session(session_id="empty")
        s.create_session(session_id="cleared").add_event("user", "x", state={"s": 1})
        s.clear_session("cleared")
        s.scope(user_id="gone").create_session(session_id="x", state={"user:stays": True}).delete()
        s.create_session(session_id="long").add_events([Event("user", f"line {n}") for n in range(1_200)])
        s.create_session(session_id="damaged").add_events([Event("user", f"d{n}", id=f"d{n}") for n in range(4)])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET actions = '[{' WHERE id = 'd1'")
        connection.execute("UPDATE events SET metadata = 'no JSON', created_at = 'once' WHERE id = 'd2'")
        connection.execute("UPDATE sessions SET metadata = '[1' WHERE id = 'damaged'")
    connection.close()


def copied(*args: str) -> Result:
    return CliRunner().invoke(main, ["copy", *args], prog_name="session-sqlite")


def assert_copies(source: str, target: str, *options: str) -> str:
    result = copied(source, target, *options)
    assert result.exit_code == 0, result.output
    return result.stdout


def assert_differs(source: str, target: str, *named: str) -> None:
    result = copied(source, target)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    for words in named:
        assert words in result.stderr


@pytest.fixture
def full(tmp_path: Path) -> str:
    path = str(tmp_path / "full.db")
    fill(path)
    return path


@pytest.fixture(params=["file", *SERVERS])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "target.db") if request.param == "file" else backends.empty_store(request.param)


def test_a_copy_is_equal_row_by_row_and_so_is_a_copy_of_the_copy(full: str, target: str, tmp_path: Path) -> None:
    said = assert_copies(full, target)
    assert "Copied 8 sessions" in said
    assert rows(target) == rows(full)
    back = str(tmp_path / "back" / "sessions.db")
    assert_copies(target, back)
    assert rows(back) == rows(full)
    with opened(full) as one, opened(back) as other:
        assert [hit.event.id for hit in one.search("line 7")] == [hit.event.id for hit in other.search("line 7")] != []
        assert [e.unreadable for e in one.get_session("damaged").events()] == [False, True, True, False]
        assert one.get_session("damaged").events() == other.get_session("damaged").events()


def test_shared_state_of_several_reads_is_copied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_sessions, "CHUNK", 2)
    source, target = str(tmp_path / "source.db"), str(tmp_path / "target.db")
    with SQLiteSessionService(source) as service:
        for app, user in (("a", "one"), ("a", "two"), ("b", "one")):
            session = service.create_session(app_name=app, user_id=user, session_id="s")
            session.add_event("user", state={f"{scope}:{key}": [key] for scope in ("app", "user") for key in "klm"})
    assert_copies(source, target)
    assert rows(target) == rows(source)


def test_one_server_can_be_copied_to_another(full: str, tmp_path: Path) -> None:
    postgresql, mariadb = (backends.empty_store(kind) for kind in SERVERS)
    assert_copies(full, postgresql)
    assert_copies(postgresql, mariadb)
    assert rows(mariadb) == rows(full)


def test_a_copy_that_is_run_again_changes_nothing(full: str, target: str) -> None:
    assert_copies(full, target)
    before = rows(target)
    report = json.loads(assert_copies(full, target, "--json"))
    assert (report["new_sessions"], report["new_events"]) == (0, 0)
    assert (report["sessions"], report["events"]) == (8, len(before["events"]))
    assert rows(target) == before


def test_a_copy_that_is_run_again_brings_what_has_changed_since(full: str, target: str) -> None:
    assert_copies(full, target)
    with SQLiteSessionService(full, app_name="app", user_id="user") as service:
        session = service.get_session("one").update(title="new", metadata={"k": REMOVE, "z": 1})
        session.add_event("user", "later", state={"user:lang": "fr", "app:new": 1})
        del session.state["later"]
        service.create_session(session_id="new")
        service.get_session("cleared").add_event("user", "taken back")
        service.rewind_session("cleared")
    report = json.loads(assert_copies(full, target, "--json"))
    assert (report["new_sessions"], report["new_events"]) == (1, 1)
    assert rows(target) == rows(full)


def test_only_an_app_or_a_user_is_copied_if_named(full: str, target: str) -> None:
    assert_copies(full, target, "--app", "app", "--user", "User")
    found = rows(target)
    assert {row[:3] for row in found["sessions"]} == {("app", "User", "one")}
    assert {row[:4] for row in found["state"]} == {("app", "", "", "app:v"), ("app", "User", "", "user:k")}


@pytest.mark.parametrize(
    ("session", "change"),
    [
        ("one", "UPDATE events SET content = 'other' WHERE session_id = 'one' AND seq = 1"),
        ("one", "UPDATE events SET metadata = '{}' WHERE session_id = 'one' AND id = 'mine'"),
        ("fork", "UPDATE events SET copied_from = NULL WHERE session_id = 'fork' AND seq = 1"),
        ("one", "UPDATE sessions SET title = 'other', updated_at = '9' WHERE id = 'one' AND user_id = 'user'"),
        ("fork", "UPDATE sessions SET parent_seq = 1, updated_at = '9' WHERE id = 'fork'"),
        ("cleared", "UPDATE sessions SET last_seq = 77, updated_at = '9' WHERE id = 'cleared'"),
        ("one", "UPDATE state SET value = '2', updated_at = '9' WHERE session_id = '' AND value = '\"de\"'"),
        ("long", "UPDATE events SET seq = 5000 WHERE session_id = 'long' AND seq = 700"),
    ],
)
def test_a_difference_is_an_error_that_names_the_session(full: str, target: str, session: str, change: str) -> None:
    assert_copies(full, target)
    if "://" in target:
        with backends._administration(target).connect() as server:
            server.exec_driver_sql(change)
    else:
        with sqlite3.connect(target) as file:
            file.execute(change)
        file.close()
    before = rows(target)
    assert_differs(full, target, "'user:lang'" if "state SET" in change else f"'{session}'")
    if "state SET" not in change:
        assert rows(target) == before, "a session that went its own way was written to"


def test_what_another_user_has_in_the_target_stays_as_it_is(full: str, target: str) -> None:
    with opened(target) as service:
        theirs = service.scope(app_name="app", user_id="their")
        theirs.create_session(session_id="one").add_event("user", "mine", state={"user:lang": "it"})
        before = theirs.get_session("one").events()
    assert_copies(full, target)
    with opened(target) as service:
        theirs = service.scope(app_name="app", user_id="their")
        assert theirs.get_session("one").events() == before
        assert theirs.get_session("one").state["user:lang"] == "it"


def test_a_session_that_went_another_way_in_the_target_is_not_written_to(full: str, target: str) -> None:
    with opened(target) as service:
        theirs = service.scope(app_name="app", user_id="user").create_session(session_id="long")
        theirs.add_event("user", "another beginning")
        before = theirs.events()
    assert_differs(full, target, "'long'", "#1")
    with opened(target) as service:
        assert service.get_session("long").events() == before


def test_values_that_only_damage_leaves_in_a_file_are_copied_as_text(tmp_path: Path, target: str) -> None:
    source = str(tmp_path / "source.db")
    with SQLiteSessionService(source) as service:
        service.create_session(session_id="s").add_events([Event("user", f"e{n}", id=f"e{n}") for n in range(8)])
    with sqlite3.connect(source) as file:
        for number, change in enumerate(
            ["content = x'ff00'", "reasoning = x'c328'", "id = x'616263ff'", "seq = -4", "metadata = x'7b7d'",
             "supersedes = 'x'", "author = x'ff'"]
        ):  # fmt: skip
            file.execute(f"UPDATE events SET {change} WHERE id = 'e{number}'")
        file.execute("UPDATE sessions SET title = x'ff61', last_seq = 'many'")
    file.close()
    assert_copies(source, target)
    assert_copies(source, target)
    found = rows(target)
    assert len(found["events"]) == 8
    assert sorted(row[3] for row in found["events"]) == [1, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("way", ["there", "back"])
def test_a_copy_that_was_killed_is_completed_by_running_it_again(kind: str, way: str, tmp_path: Path) -> None:
    file, url = str(tmp_path / "file.db"), backends.empty_store(kind)
    with SQLiteSessionService(file, durability="fast") as service:
        for number in range(3):
            session = service.create_session(session_id=f"s{number}", state={"k": number})
            session.add_events([Event("user", "x", state={"step": step}) for step in range(4_000)])
    source, target = file, url
    if way == "back":
        assert_copies(file, url)
        source, target = url, str(tmp_path / "target.db")
    code = "from session_sqlite.cli import main; main(prog_name='session-sqlite')"
    process = subprocess.Popen([sys.executable, "-c", code, "copy", source, target])
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if Path(target).exists() or "://" in target:
            with opened(target) as service:
                if service.stats()["events"] > 1_000:
                    break
        time.sleep(0.01)
    process.kill()
    assert process.wait() != 0, "the copy was complete before it could be killed"
    with opened(target) as service:
        assert 0 < service.stats()["events"] < 12_000
    assert_copies(source, target)
    assert rows(target) == rows(source)


def test_the_source_may_grow_while_it_is_copied(tmp_path: Path, target: str) -> None:
    source = str(tmp_path / "source.db")
    with SQLiteSessionService(source, durability="fast") as service:
        session = service.create_session(session_id="s")
        session.add_events([Event("user", "x") for _ in range(2_000)])
        with opened(source) as old, opened(target) as new:
            from session_sqlite.service import copy_sessions

            told = []

            def progress(done: int, total: int | None) -> None:
                told.append((done, total))
                if len(told) == 3:
                    session.add_event("user", "meanwhile", state={"k": 1})

            report = copy_sessions(old, new, progress=progress)
        assert report.events == 2_001
    assert rows(target) == rows(source)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[0][1] == 4_000


def test_a_store_is_not_copied_onto_itself(full: str, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(full)
    for target in (full, str(tmp_path / "link.db")):
        result = copied(full, target)
        assert result.exit_code == 2
        assert "same store" in result.stderr


def test_a_source_that_is_not_there_is_an_error_and_nothing_is_made(tmp_path: Path) -> None:
    assert_differs(str(tmp_path / "none.db"), str(tmp_path / "target.db"), "there is no store at")
    assert list(tmp_path.iterdir()) == []


def test_a_source_is_only_read(full: str, target: str) -> None:
    before = Path(full).read_bytes()
    assert_copies(full, target)
    assert Path(full).read_bytes() == before
