"""SQL for the file's owner reads and never writes; the analytics count what there is, and keep to their user."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from backends import dump_of

from session_sqlite import (
    ANY,
    Event,
    InvalidInputError,
    QueryError,
    SessionNotFoundError,
    SQLiteSessionService,
    StoreClosedError,
    ToolCall,
    Usage,
)
from session_sqlite.sqlite import schema

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(params=["file", "memory", "read only", "no index"])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[SQLiteSessionService]:
    """A store in which something was said, in each way that one can be open."""
    name = ":memory:" if request.param == "memory" else path
    with SQLiteSessionService(name, search=request.param != "no index") as service:
        session = service.create_session(session_id="s", title="Tea")
        session.add_events(
            [Event("user", "请帮我分析代码"), Event("assistant", "word", actions=[ToolCall("Read", output="x")])]
        )
        session.state["key"] = 1
        service.search("word", user_id=ANY)
        if request.param != "read only":
            yield service
            return
    with SQLiteSessionService(path, read_only=True) as reader:
        yield reader


# ---------------------------------------------------------------- query()


READS = [
    ("SELECT count(*) AS n FROM events", (), [{"n": 2}]),
    ("select title from sessions where id = ?", ["s"], [{"title": "Tea"}]),
    ("SELECT title FROM sessions WHERE id = ?", ("s",), [{"title": "Tea"}]),
    ("SELECT title FROM sessions WHERE id = :id", {"id": "s"}, [{"title": "Tea"}]),
    ("SELECT title FROM sessions WHERE id = $id AND title <> @other", {"id": "s", "other": "x", "spare": 1},
    [{"title": "Tea"}]),
    ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n", (), [{"i": 1},
    {"i": 2}, {"i": 3}]),
    ("VALUES (1, 'a')", (), [{"column1": 1, "column2": "a"}]),
    ("SELECT 1 AS id, 2 AS id, 3 AS id, 4 AS id_2", (), [{"id": 1, "id_3": 2, "id_4": 3, "id_2": 4}]),
    ("SELECT json_extract(value, '$.name') AS name FROM events, json_each(events.actions)", (), [{"name": "Read"}]),
    ("SELECT name FROM tool_calls", (), [{"name": "Read"}]),
    ("SELECT key, atom FROM json_tree('{\"a\": 1}') WHERE atom IS NOT NULL", (), [{"key": "a", "atom": 1}]),
    ("SELECT row_number() OVER (ORDER BY seq) AS n FROM events", (), [{"n": 1}, {"n": 2}]),
    ("SELECT title FROM sessions WHERE 0", (), []),
    ("SELECT 1 AS one;", (), [{"one": 1}]),
    ("SELECT 1 AS one; -- a remark", (), [{"one": 1}]),
    ("/* a remark */ SELECT 'a;b' AS text", (), [{"text": "a;b"}]),
    ("SELECT ? AS a, ? AS b, ? AS c, ? AS d", [None, 1.5, "文", b"\x00"], [{"a": None, "b": 1.5, "c": "文",
    "d": b"\x00"}]),
    ("SELECT name FROM sqlite_master WHERE name = 'events'", (), [{"name": "events"}]),
    ("SELECT name FROM pragma_table_info('state') WHERE pk = 1", (), [{"name": "app_name"}]),
    ("PRAGMA user_version", (), [{"user_version": schema.SCHEMA_VERSION}]),
]  # fmt: skip


def test_what_reads_is_answered(store: SQLiteSessionService) -> None:
    for sql, params, expected in READS:
        assert store.query(sql, params) == expected, sql


LOOKING = ["EXPLAIN QUERY PLAN SELECT * FROM events", "EXPLAIN SELECT * FROM events", "PRAGMA table_info(events)",
"PRAGMA table_xinfo(events)",
     "PRAGMA index_list(events)", "PRAGMA foreign_key_list(events)", "PRAGMA database_list", "PRAGMA compile_options",
     "PRAGMA page_count",
     "PRAGMA journal_mode", "PRAGMA main.table_info(sessions)", "SELECT * FROM pragma_index_list('events')",
     "SELECT sqlite_version()"]  # fmt: skip


def test_looking_at_the_schema_and_at_plans_is_reading(store: SQLiteSessionService) -> None:
    for sql in LOOKING:
        assert store.query(sql), sql


def test_the_search_index_can_be_queried(service: SQLiteSessionService) -> None:
    service.create_session().add_event("user", "请帮我分析代码")
    service.search("代码")
    assert service.query(
        "SELECT events.content, rank < 0 AS ranked FROM search_index JOIN events ON events.row_id = search_index.rowid"
        " WHERE search_index MATCH ?",
        ['"代 码"'],
    ) == [{"content": "请帮我分析代码", "ranked": 1}]
    assert service.query("SELECT bm25(search_index) < 0 AS b FROM search_index('代')") == [{"b": 1}]


NOT_READING = [
    "INSERT INTO sessions (id) VALUES ('x')", "UPDATE sessions SET title = 'x'", "DELETE FROM events",
    "REPLACE INTO state VALUES (1,2,3,4,5,6)",
    "UPDATE sessions SET title = 'x' RETURNING title", "DELETE FROM events RETURNING id",
    "WITH x AS (SELECT 1) DELETE FROM events",
    "INSERT INTO events SELECT * FROM events", "DROP TABLE events", "DROP VIEW transcript", "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t (a)",
    "CREATE TABLE t AS SELECT 1", "CREATE VIEW v AS SELECT 1", "CREATE TEMP VIEW v AS SELECT 1",
    "CREATE INDEX i ON events (content)",
    "CREATE TRIGGER t AFTER INSERT ON events BEGIN SELECT 1; END",
    "CREATE TEMP TRIGGER t AFTER INSERT ON events BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE t USING fts5(a)", "CREATE VIRTUAL TABLE temp.t USING fts5vocab(main, search_index, row)",
    "ALTER TABLE events ADD COLUMN x",
    "ALTER TABLE events RENAME TO e", "REINDEX", "ANALYZE", "VACUUM", "VACUUM INTO '/tmp/stolen.db'",
    "ATTACH ':memory:' AS other",
    "ATTACH '/tmp/other.db' AS other", "DETACH main", "BEGIN", "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", "SAVEPOINT a",
    "RELEASE a", "END",
    "PRAGMA user_version = 7", "PRAGMA user_version(7)", "PRAGMA application_id = 7", "PRAGMA journal_mode = DELETE",
    "PRAGMA journal_mode(delete)",
    "PRAGMA query_only = OFF", "PRAGMA query_only(0)", "PRAGMA writable_schema = ON", "PRAGMA wal_checkpoint",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA foreign_keys = OFF", "PRAGMA synchronous = OFF", "PRAGMA optimize", "PRAGMA incremental_vacuum",
    "PRAGMA temp_store_directory = '/tmp'",
    "PRAGMA secure_delete = OFF", "PRAGMA encoding = 'UTF-16'", "PRAGMA schema_version = 1", "PRAGMA mmap_size = 1",
    "PRAGMA cache_size = 1",
    "PRAGMA busy_timeout = 1000000", "PRAGMA locking_mode = EXCLUSIVE", "PRAGMA read_uncommitted = 1",
    "PRAGMA trusted_schema = ON", "PRAGMA shrink_memory",
    "SELECT load_extension('x')", "SELECT load_extension('x', 'y')", "SELECT fts3_tokenizer('x')",
    "INSERT INTO search_index (search_index) VALUES ('delete-all')",
    "INSERT INTO search_index (search_index) VALUES ('rebuild')",
    "EXPLAIN DELETE FROM events", "EXPLAIN QUERY PLAN DROP TABLE events",
    "SELECT 1; SELECT 2", "SELECT 1; DELETE FROM events", "SELECT 1;; DROP TABLE events",
    "DELETE FROM events; SELECT 1", "COMMIT; DELETE FROM events",
    "", " ", ";", "-- nothing", "SELEC 1", "SELECT nothing", "SELECT * FROM missing",
    "SELECT abs(-9223372036854775808)", "SELECT 'a", "\x00", "SELECT 1 \x00; DROP",
]  # fmt: skip


def test_whatever_does_more_than_read_is_an_error_and_changes_nothing(
    store: SQLiteSessionService, tmp_path: Path
) -> None:
    told = ("user_version", "application_id", "journal_mode")
    before, settings = dump_of(store.db), [store.query(f"PRAGMA {name}") for name in told]
    files = {file.name for file in tmp_path.iterdir()}
    for statement in NOT_READING:
        sql = statement.replace("/tmp", str(tmp_path))
        try:
            store.query(sql)
        except QueryError as error:
            assert "请帮我" not in str(error)  # noqa: PT017  # which statement it was is told below
        else:
            pytest.fail(f"{sql} was run")
        assert dump_of(store.db) == before, sql
    assert [store.query(f"PRAGMA {name}") for name in told] == settings
    assert store.query("SELECT name FROM sqlite_temp_master") == []
    assert len(store.query("PRAGMA database_list")) == 1
    assert {file.name for file in tmp_path.iterdir()} == files


@pytest.mark.parametrize(
    ("sql", "params"),
    [("SELECT ?", ()), ("SELECT ?", [1, 2]), ("SELECT :a", {}), ("SELECT :a", {"b": 1}), ("SELECT ?", [object()]),
    ("SELECT ?", [2**63]),
     ("SELECT ?", [[1]]), ("SELECT ?", ["\ud800"]), ("SELECT ?", [{"a": 1}])],
)  # fmt: skip
def test_parameters_that_do_not_fit_are_an_error(service: SQLiteSessionService, sql: str, params: Any) -> None:
    with pytest.raises(QueryError):
        service.query(sql, params)


def test_arguments_of_a_query_are_checked(service: SQLiteSessionService) -> None:
    for sql, params, timeout in [(3, (), 1), (None, (), 1), ("SELECT 1", "x", 1), ("SELECT 1", 3, 1), ("SELECT 1",
    {1}, 1),
                                 ("SELECT 1", (), -1), ("SELECT 1", (), "1"), ("SELECT 1", (), float("nan")),
                                 ("\ud800", (), 1)]:  # fmt: skip
        with pytest.raises(InvalidInputError):
            service.query(sql, params, timeout=timeout)  # type: ignore[arg-type]


def test_a_query_ends_at_its_time_limit_and_the_store_goes_on(store: SQLiteSessionService) -> None:
    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    began = time.monotonic()
    with pytest.raises(QueryError, match=r"took more than 0\.2 s"):
        store.query(forever, timeout=0.2)
    assert time.monotonic() - began < 3
    assert store.query("SELECT 1 AS one") == [{"one": 1}]
    if not store._database.read_only:
        store.get_session("s").add_event("user", "on")


def test_a_query_sees_what_was_just_appended_and_no_half_transaction(path: Path, service: SQLiteSessionService) -> None:
    session = service.create_session()
    for number in range(1, 4):
        session.add_event("user", "x")
        assert service.query("SELECT count(*) AS n FROM events") == [{"n": number}]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM events")
        assert service.query("SELECT count(*) AS n FROM events") == [{"n": 3}]
        other.execute("ROLLBACK")


def test_a_closed_service_answers_no_query(path: Path) -> None:
    service = SQLiteSessionService(path)
    service.close()
    for call in (
        lambda: service.query("SELECT 1"), lambda: service.db, service.stats, service.usage, service.tool_calls,
        service.session_overviews,
        lambda: service.usage([]), lambda: service.tool_calls(limit=0), lambda: service.session_overviews(limit=0),
    ):  # fmt: skip
        with pytest.raises(StoreClosedError):
            call()


def test_db_is_a_read_only_sqlite_utils_database(store: SQLiteSessionService) -> None:
    assert store.db["events"].count == 2
    assert [row["title"] for row in store.db["sessions"].rows] == ["Tea"]
    assert store.db.view_names() != []
    before = dump_of(store.db)
    for write in (
        lambda: store.db["sessions"].insert({"id": "x"}), lambda: store.db["t"].create({"a": int}),
        lambda: store.db["events"].drop(),
        lambda: store.db.execute("DELETE FROM events"), lambda: store.db.execute("UPDATE sessions SET title = ''"),
    ):  # fmt: skip
        with pytest.raises(sqlite3.OperationalError, match=r"readonly|read-only"):
            write()
    assert dump_of(store.db) == before
    if not store._database.read_only:
        store.get_session("s").add_event("user", "three")
        assert store.db["events"].count == 3


# ---------------------------------------------------------------- what a query may take


def long_text(size: int, of: str = "a") -> str:
    """SQL for a long text."""
    return f"replace(hex(zeroblob({size // len(of)})), '00', '{of}')"


NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
GREEDY = {
    "random bytes": "SELECT length(randomblob(1e9))",
    "zeros": "SELECT zeroblob(1e9)",
    "a precision": "SELECT length(printf('%.*c', 900000000, 'x'))",
    "a precision as a text": "SELECT length(printf('%.*c', '900000000', 'x'))",
    "a width": "SELECT length(format('%900000000d', 1))",
    "a replacement that grows": f"SELECT length(replace({long_text(1_000_000)}, 'a', {long_text(1_000_000)}))",
    "a pattern": f"SELECT {long_text(10_000_000)} LIKE {long_text(20_000)} || 'b'",
    "characters to trim": f"SELECT length(trim({long_text(10_000_000)}, {long_text(100_000, 'x')} || 'a'))",
    "many long values in a row": "SELECT " + ", ".join("hex(zeroblob(30000000))" for _ in range(40)),
    "many zeros in a row": "SELECT " + ", ".join("zeroblob(60000000)" for _ in range(40)),
    "many copies in a row": f"SELECT {', '.join('x' for _ in range(100))} FROM (SELECT {long_text(9_000_000)} AS x)",
    "many columns": "SELECT " + ", ".join("1" for _ in range(500)),
    "many long rows": f"{NUMBERS} SELECT zeroblob(60000000) FROM n LIMIT 10000",
    "many rows of middling length": f"{NUMBERS} SELECT hex(zeroblob(30000)) FROM n",
    "a text that doubles": "WITH RECURSIVE n(x) AS (SELECT 'aaaa' UNION ALL SELECT x || x FROM n) SELECT x FROM n",
    "an array": f"SELECT json_array_length('[' || {long_text(60_000_000, '1,')} || '1]')",
    "an array as a table": f"SELECT count(*) FROM json_each('[' || {long_text(60_000_000, '1,')} || '1]')",
    "a format of times": f"SELECT length(strftime({long_text(60_000_000, '%f')}))",
    "a search": f"SELECT 1 FROM search_index WHERE search_index MATCH ({long_text(8_000_000, 'word ')} || 'x')",
}
TAKE = """
import resource, sys, time
from session_sqlite import QueryError, SQLiteSessionService
with SQLiteSessionService(sys.argv[1], read_only=True) as service:
    service.query("SELECT 1")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for sql in sys.argv[2:]:
        began = time.monotonic()
        try:
            service.query(sql, timeout=1)
            print("answered", sql[:200])
        except QueryError as error:
            assert "user-defined" not in str(error)
        if time.monotonic() - began > 10:  # alone it takes 3 s at most
            print("took", time.monotonic() - began, sql[:200])
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    if taken > 500:
        print("took", taken, "MB")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="memory is measured where POSIX is")
def test_no_query_takes_much_longer_than_its_time_or_half_a_gigabyte(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        service.create_session().add_event("user", "word")
        service.search("word", user_id=ANY)
    done = subprocess.run(
        [sys.executable, "-c", TAKE, str(path), *GREEDY.values()], capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


LONG_ANSWERS = [
    (f"SELECT instr({long_text(200_000)}, {long_text(100_000)} || 'b')", 0),
    (f"SELECT instr({long_text(1_000_000)} || 'bc', 'bc')", 1_000_001),
    (f"SELECT length(replace({long_text(1_000_000)} || 'b', 'b', 'cc'))", 1_000_002),
    (f"SELECT {long_text(200_000)} || 'B' LIKE '%{'a' * 900}b'", 1),
    (f"SELECT {long_text(200_000)} LIKE '%{'_a' * 400}b'", 0),
    (f"SELECT {long_text(200_000)} LIKE 'a%_a%a'", 1),
    (f"SELECT {long_text(200_000)} || '100%' LIKE '%0!%' ESCAPE '!'", 1),
    (f"SELECT {long_text(200_000)} || 'É' LIKE '%aé'", 0),
    (f"SELECT {long_text(200_000)} || 'b]c' GLOB 'a*[^a]?[b-d]'", 1),
    (f"SELECT {long_text(200_000)} || 'b]c' GLOB '*[]]c'", 1),
    (f"SELECT {long_text(200_000)} GLOB 'A*'", 0),
    (f"SELECT length({long_text(20_000_000)} || 'b')", 20_000_001),
    (f"SELECT length(trim({long_text(1_000_000)} || 'b', 'a'))", 1),
    (f"SELECT length(group_concat({long_text(1_000_000)})) FROM (SELECT 1 UNION ALL SELECT 2)", 2_000_001),
    (f"SELECT json_array_length('[' || {long_text(1_000_000, '1,')} || '1]')", 500_001),
    ("SELECT printf('%05.1f|%-4s|%,d|%c', 2.5, 'ab', 1234567, 'xyz')", "002.5|ab  |1,234,567|x"),
    (f"SELECT {'format' if sqlite3.sqlite_version_info >= (3, 38) else 'printf'}('%.*f', 2, 1.5)", "1.50"),
    ("SELECT 'a' LIKE 'A', 1 LIKE 1, NULL LIKE 'a' IS NULL", 1),
]  # fmt: skip


def test_long_values_are_answered_as_sqlite_does(service: SQLiteSessionService) -> None:
    with closing(sqlite3.connect(":memory:")) as plain:
        for sql, expected in LONG_ANSWERS:
            [row] = service.query(sql)
            assert next(iter(row.values())) == expected, sql[:200]
            assert tuple(row.values()) == plain.execute(sql).fetchone(), sql[:200]


def test_the_largest_event_can_be_queried(service: SQLiteSessionService) -> None:
    text = "请 x" * 1_300_000  # 7.8 MB
    service.create_session().add_event("user", text, actions=[ToolCall("Read", {"path": "p"}, output="x")])
    service.search("missing")
    assert service.query("SELECT * FROM events")[0]["content"] == text
    assert service.query("SELECT content FROM events WHERE content LIKE '%请 x请%'") == [{"content": text}]
    assert service.query("SELECT count(*) AS n FROM events WHERE content LIKE ?", [f"%{text[:300]}%"]) == [{"n": 1}]
    assert service.query("SELECT name FROM tool_calls") == [{"name": "Read"}]
    assert service.query("SELECT length(content) AS n FROM events WHERE content = ?", [text]) == [{"n": len(text)}]
    assert len(service.query("SELECT * FROM transcript")) >= 1
    [row] = service.query("SELECT events.content FROM search_index('x') JOIN events ON row_id = search_index.rowid")
    assert row == {"content": text}


# ---------------------------------------------------------------- tool_calls()


@pytest.fixture
def busy(service: SQLiteSessionService) -> SQLiteSessionService:
    """Two users with calls and usage."""
    for user in ("default", "other"):
        for number, name in enumerate(["a", "b"]):
            session = service.create_session(session_id=name, user_id=user, agent_id=f"agent-{name}")
            when = NOON + timedelta(days=number)
            session.add_events([
                Event("user", f"hello {name}", created_at=when),
                Event("assistant", "ok", agent_id=f"agent-{name}", usage=Usage("m1", 1, 2, 3, 4, 5),
                created_at=when + timedelta(seconds=1),
                      actions=[ToolCall("Read", {"n": number}, id="1", output="x"), ToolCall("Run", id="2",
                      error="no"), ToolCall("Wait", id="3")]),
                Event("assistant", "ok", usage=Usage("m2", 10, 20), created_at=when + timedelta(seconds=2)),
            ])  # fmt: skip
    return service


def test_tool_calls_are_filtered(busy: SQLiteSessionService) -> None:
    def names(*args: Any, **filters: Any) -> list[str]:
        return [f"{call['session_id']}{call['name']}" for call in busy.tool_calls(*args, **filters)]

    assert sorted(names()) == ["aRead", "aRun", "aWait", "bRead", "bRun", "bWait"]
    assert names("Read") == ["aRead", "bRead"]
    assert names("read") == []
    assert names("") == []
    assert names(status="ok") == ["aRead", "bRead"]
    assert names(status="error") == ["aRun", "bRun"]
    assert names(status="pending") == ["aWait", "bWait"]
    assert sorted(names(session="a")) == ["aRead", "aRun", "aWait"]
    assert names("Run", session=busy.get_session("b")) == ["bRun"]
    assert names("Read", since=NOON + timedelta(days=1)) == ["bRead"]
    assert names("Read", until=NOON + timedelta(days=1)) == ["aRead"]
    assert len(names(limit=4)) == 4
    assert names(limit=0) == []
    assert len(names(user_id=ANY)) == 12
    assert names(user_id="nobody") == []
    with pytest.raises(SessionNotFoundError):
        busy.tool_calls(session="missing")
    with pytest.raises(SessionNotFoundError):
        busy.scope(user_id="nobody").tool_calls(session="a")
    for wrong in (
        {"status": "done"},
        {"status": 3},
        {"status": []},
        {"name": 3},
        {"limit": -1},
        {"since": "x"},
    ):
        with pytest.raises(InvalidInputError):
            busy.tool_calls(**wrong)


def test_the_latest_tool_calls_come_first_if_asked(busy: SQLiteSessionService) -> None:
    every = busy.tool_calls()
    assert [call["created_at"] for call in every] == sorted(call["created_at"] for call in every)
    latest = busy.tool_calls(newest_first=True, limit=3)
    assert {call["session_id"] for call in latest} == {"b"}


def test_tools_are_counted_with_the_filters_of_their_calls(busy: SQLiteSessionService) -> None:
    counts = busy.tool_counts()
    assert counts == busy.stats()["tools"]
    assert counts["Run"] == {"calls": 2, "errors": 2, "pending": 0}
    assert busy.tool_counts(status="pending") == {"Wait": {"calls": 2, "errors": 0, "pending": 2}}
    assert busy.tool_counts(session="a", until=NOON) == {}
    assert busy.tool_counts(user_id=ANY)["Read"]["calls"] == 4
    with pytest.raises(InvalidInputError):
        busy.tool_counts(status="done")


def test_the_last_seqs_tell_what_was_appended_since(busy: SQLiteSessionService) -> None:
    before = busy.last_seqs()
    session = busy.get_session("a")
    assert {key.session_id for key in before} == {"a", "b"}
    session.rewind()
    assert busy.last_seqs() == before, "a seq is never given twice"
    added = session.add_event("user", "new")
    assert busy.last_seqs() == {**before, (session.app_name, session.user_id, "a"): added.seq}
    assert len(busy.last_seqs(user_id=ANY)) == 4


def test_a_tool_call_is_a_dict_of_python_values(busy: SQLiteSessionService) -> None:
    [call] = busy.tool_calls("Read", session="b")
    assert call["args"] == {"n": 1}
    assert call["created_at"] == NOON + timedelta(days=1, seconds=1)
    assert call["result_at"] == call["created_at"]
    assert (call["output"], call["error"], call["status"], call["agent_id"]) == ("x", None, "ok", "agent-b")


# ---------------------------------------------------------------- usage()


def test_usage_is_grouped(busy: SQLiteSessionService) -> None:
    def groups(by: Any, **filters: Any) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in busy.usage(by, **filters)]

    assert busy.usage()[0] == {
        "day": "2026-01-31", "model": "m1", "replies": 1, "input_tokens": 1, "output_tokens": 2,
        "cache_read_tokens": 3, "cache_write_tokens": 4,
        "reasoning_tokens": 5,
    }  # fmt: skip
    assert [row[:3] for row in groups(("day", "model"))] == [
        ("2026-01-31", "m1", 1), ("2026-01-31", "m2", 1), ("2026-02-01", "m1", 1), ("2026-02-01", "m2", 1),
    ]  # fmt: skip
    assert groups("model") == [("m1", 2, 2, 4, 6, 8, 10), ("m2", 2, 20, 40, 0, 0, 0)]
    assert groups(["model", "day"])[1][:2] == ("m1", "2026-02-01")
    assert groups("month") == [("2026-01", 2, 11, 22, 3, 4, 5), ("2026-02", 2, 11, 22, 3, 4, 5)]
    assert groups([]) == groups(()) == [(4, 22, 44, 6, 8, 10)]
    assert groups([], user_id=ANY) == [(8, 44, 88, 12, 16, 20)]
    assert [row[0] for row in groups("user_id", user_id=ANY)] == ["default", "other"]
    assert [row[0] for row in groups("session_id")] == ["a", "b"]
    assert groups("app_name")[0][0] == "default"
    assert {row[0] for row in groups("agent_id")} == {"agent-a", "agent-b", ""}
    assert groups("model", session="a")[0][:2] == ("m1", 1)
    assert groups([], since=NOON + timedelta(days=1)) == [(2, 11, 22, 3, 4, 5)]
    assert groups([], until=NOON) == [(0, 0, 0, 0, 0, 0)]
    assert groups("model", until=NOON) == []
    assert groups(["model", "model"]) == groups("model")
    assert groups([], user_id="nobody") == [(0, 0, 0, 0, 0, 0)]
    for wrong in ("year", ["day", "x"], "content", [3], 3, None, "day, content", [["day"]]):
        with pytest.raises(InvalidInputError):
            busy.usage(wrong)  # type: ignore[arg-type]


def test_stats_tell_what_there_is(busy: SQLiteSessionService) -> None:
    stats = busy.stats()
    assert (stats["sessions"], stats["apps"], stats["users"], stats["events"]) == (2, 1, 1, 6)
    assert stats["authors"] == {"assistant": 4, "user": 2}
    assert (stats["first_event"], stats["last_event"]) == (NOON, NOON + timedelta(days=1, seconds=2))
    assert stats["tools"] == {
        "Read": {"calls": 2, "errors": 0, "pending": 0}, "Run": {"calls": 2, "errors": 2, "pending": 0},
        "Wait": {"calls": 2, "errors": 0, "pending": 2},
    }  # fmt: skip
    assert stats["tokens"]["input_tokens"] == 22
    every = busy.stats(app_name=ANY, user_id=ANY)
    assert (every["sessions"], every["users"], every["events"]) == (4, 2, 12)
    nobody = busy.stats(user_id="nobody")
    assert (nobody["sessions"], nobody["events"], nobody["first_event"], nobody["last_event"]) == (0, 0, None, None)
    assert nobody["authors"] == nobody["tools"] == {}
    assert nobody["tokens"]["replies"] == 0


def test_users_of_similar_names_are_counted_apart(service: SQLiteSessionService) -> None:
    for app, user in [("a", "bc"), ("ab", "c"), ("a", "c")]:
        service.create_session(app_name=app, user_id=user)
    stats = service.stats(app_name=ANY, user_id=ANY)
    assert (stats["apps"], stats["users"], stats["sessions"]) == (2, 3, 3)


def test_the_most_used_tool_comes_first(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_event(
        "assistant", actions=[ToolCall("a"), ToolCall("z"), ToolCall("z"), ToolCall("m"), ToolCall("m"), ToolCall("m")]
    )
    assert list(service.stats()["tools"]) == ["m", "z", "a"]


# ---------------------------------------------------------------- session_overviews()


def test_a_sidebar_shows_the_latest_sessions_first(service: SQLiteSessionService) -> None:
    for number in range(7):
        session = service.create_session(session_id=str(number), title=f"t{number}")
        if number != 3:
            session.add_events([Event("system", "s"), Event("user", f"first {number}"), Event("user", "second")])
    service.create_session(session_id="theirs", user_id="other").add_event("user", "secret")
    service.get_session("2").add_event("assistant", "newest")

    every = service.session_overviews()
    assert [one.session.id for one in every] == ["2", "6", "5", "4", "3", "1", "0"]
    assert [one.session for one in every] == list(service.list_sessions())
    assert every[0].first_message == "first 2"
    assert (every[4].first_message, every[4].event_count) == (None, 0)
    assert [one.event_count for one in every] == [4, 3, 3, 3, 0, 3, 3]
    assert every.next_cursor is None
    assert every[0].session.events()[-1].content == "newest"

    paged, cursor = [], None
    while True:
        page = service.session_overviews(limit=3, cursor=cursor)
        paged += page
        if (cursor := page.next_cursor) is None:
            break
    assert paged == list(every)
    assert service.session_overviews(limit=7).next_cursor is None
    assert service.session_overviews(limit=0) == []
    assert len(service.session_overviews(limit=None)) == 7
    assert [one.session.id for one in service.session_overviews(user_id="other")] == ["theirs"]
    assert len(service.session_overviews(user_id=ANY)) == 8
    assert service.session_overviews(user_id="nobody") == []
    assert len({every[0], service.session_overviews()[0]}) == 1
    assert "first 2" not in service.session_overviews(limit=1)._repr_html_()  # it has a title
    with pytest.raises(InvalidInputError):
        service.session_overviews(cursor="x")
    with pytest.raises(InvalidInputError):
        service.session_overviews(user_id="other", cursor=service.session_overviews(limit=1).next_cursor)


def test_a_session_that_was_cleared_shows_nothing_that_was_said(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_event("user", "secret")
    session.clear()
    [one] = service.session_overviews()
    assert (one.first_message, one.event_count) == (None, 0)
    session.add_event("user", "new")
    [one] = service.session_overviews()
    assert (one.first_message, one.event_count) == ("new", 1)
