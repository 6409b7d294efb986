"""The tables and views of a server are those of the file: the same columns, keys and rows, but for what is said."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import backends
import kinds_of_messages
import pytest
import sqlalchemy

from session_sqlite import (
    ANY,
    REMOVE,
    Event,
    SQLAlchemySessionService,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    ToolCall,
    Usage,
)
from session_sqlite.server.dialects import Dialect, MySQL, PostgreSQL
from session_sqlite.server.schema import STEPS
from session_sqlite.service import copy_sessions

SERVERS = ["postgresql", "mariadb"]
TABLES = ("sessions", "events", "state")
VIEWS = ("counted_events", "session_overview", "tokens", "tool_calls", "transcript", "usage_by_day")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

# What differs. A server's index of long text has that column alone, since PostgreSQL's is a hash; summaries are few,
# and on a server they are found by the index of the order.
INDEXES_OF_THE_FILE_ALONE = {"events_summary"}
COLUMNS_OF_THE_FILE_ALONE = {"revision"}  # its triggers change it
INDEXES_OF_ONE_COLUMN = {"events_message": ["message_id"], "events_tool_call": ["tool_call_id"]}
VIEWS_OF_SERVERS_ALONE = {"event_actions"}  # what a file's views do with json_each
NUMBERS_OF_ROWS = {"row_id"}  # each store counts its own


def kind_of(column: sqlalchemy.types.TypeEngine[Any]) -> str:
    """The type of a column: text or a number. Sums are DECIMAL on servers, and read as whole numbers."""
    name = str(column).upper()
    if name.startswith(("BIGINT", "INTEGER", "DECIMAL", "NUMERIC")):
        return "number"
    assert name.startswith(("VARCHAR", "TEXT", "LONGTEXT", "MEDIUMTEXT")), name
    return "text"


@pytest.fixture
def file(path: Path) -> Iterator[sqlalchemy.Inspector]:
    SQLiteSessionService(path).close()
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        yield sqlalchemy.inspect(connection)


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> str:
    return backends.empty_store(request.param)


@pytest.fixture
def server(url: str) -> Iterator[sqlalchemy.Inspector]:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        yield sqlalchemy.inspect(connection)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_has_the_columns_keys_and_indexes_of_the_file(
    table: str, file: sqlalchemy.Inspector, server: sqlalchemy.Inspector
) -> None:
    def columns(store: sqlalchemy.Inspector) -> list[tuple[str, str, bool]]:
        return [
            (column["name"], kind_of(column["type"]), column["nullable"] and column["name"] != "row_id")
            for column in store.get_columns(table)
            if column["name"] not in COLUMNS_OF_THE_FILE_ALONE
        ]

    def indexes(store: sqlalchemy.Inspector) -> dict[str | None, tuple[list[str | None], bool]]:
        return {
            index["name"]: (list(index["column_names"]), bool(index["unique"]))
            for index in store.get_indexes(table)
            if index["name"] not in INDEXES_OF_THE_FILE_ALONE
        }

    def relations(store: sqlalchemy.Inspector) -> list[tuple[Any, ...]]:
        return [
            (key["constrained_columns"], key["referred_table"], key["referred_columns"], key["options"]["ondelete"])
            for key in store.get_foreign_keys(table)
        ]

    assert columns(server) == columns(file)
    for store in (server, file):
        assert (
            store.get_pk_constraint(table)["constrained_columns"]
            == {
                "sessions": ["app_name", "user_id", "id"],
                "events": ["row_id"],
                "state": ["app_name", "user_id", "session_id", "key"],
            }[table]
        )
    assert relations(server) == relations(file)
    expected = indexes(file)
    for name, names in INDEXES_OF_ONE_COLUMN.items():
        if name in expected:
            assert expected[name][0][-1:] == names
            expected[name] = (list(names), False)
    assert indexes(server) == expected


def test_there_are_no_other_tables_and_views_than_those_of_the_file(
    file: sqlalchemy.Inspector, server: sqlalchemy.Inspector
) -> None:
    def of_the_search(name: str) -> bool:
        return name.startswith(("search_", "event_words", "title_words"))

    def tables(store: sqlalchemy.Inspector) -> set[str]:
        return {name for name in store.get_table_names() if not of_the_search(name)}

    assert tables(server) - {"session_schema"} == tables(file) - {"_sqlite_migrations"} == set(TABLES)
    assert set(server.get_view_names()) - VIEWS_OF_SERVERS_ALONE == set(file.get_view_names()) == set(VIEWS)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_the_columns_of_the_file_in_order(
    view: str, path: Path, file: sqlalchemy.Inspector, server: sqlalchemy.Inspector
) -> None:
    there = [column["name"] for column in server.get_columns(view)]
    assert there == [column["name"] for column in file.get_columns(view)]


# ---------------------------------------------------------------- the same rows


def fill(path: Path) -> None:
    """A store in which there is one of everything that a view looks at."""
    with SQLiteSessionService(path, app_name="app", user_id="user") as service:
        one = service.create_session(
            session_id="one", agent_id="coder", title="代码 😀", metadata={"k": [1, None]}, state={"a": 1, "app:v": "é"}
        )
        one.add_event(
            "user", "请帮我分析代码 🙂 \u0001 \ue000\ue001 nul:\0", created_at=NOON, state={"user:lang": "zh"}
        )
        one.add_event(
            "assistant", "x" * 70_000, reasoning="先看", agent_id="coder", branch="a.b", invocation_id="i1",
            usage=Usage("m-1", 10, 5, 3, 2, 1),
            actions=[
                ToolCall("Read", {"path": "main.go", "deep": {"a": [1, None, "\0"]}}, id="c1", output="package main"),
                ToolCall("Run", id="c2", error="exit 1"), ToolCall("Wait", id="c3"), ToolCall("Is", output=True),
                ToolCall("Count", id="c4", output={"n": 1, "ü": "“"}), ToolCall("Not", id="c5", output=False),
                ToolCall("Empty", id="c6", output=""), ToolCall("Number", id="c7", output=1.5),
                ToolCall("Whole", id="c8", output=-12), ToolCall("List", output=[1, "二"]), ToolCall("Null", id="c3"),
                ToolCall("Exact", output=10**40), ToolCall("Small", output=1e-300), ToolCall("Text", output="12"),
            ],
        )  # fmt: skip
        one.add_event("tool", "late", actions=[ToolCall("Wait", id="c3")])
        one.add_event("tool", "again", actions=[ToolCall("Null", id="c3", error="no")])
        one.add_event("tool", "of nobody", actions=[ToolCall("Stray", id="unknown")])
        one.add_event("assistant", "no model", usage=Usage("", output_tokens=7))
        one.add_event("planner", "by an agent", usage=Usage("m-2", 1), metadata={"x": {"y": "z"}})
        one.add_event("assistant", usage=Usage("m-1", 2**40))
        one.add_event("user", "state only", state={"a": REMOVE, "b": [1.5, "é"]})
        one.summarize(lambda _: "so far", keep_last=1)
        one.add_event("tool", "without an id", actions=[ToolCall("Read")])
        for id in ("long" * 1_000 + "a", "long" * 1_000 + "b"):  # as those of some providers, which have a signature
            one.add_event("assistant", actions=[ToolCall("Long", id=id)])
        for id in ("long" * 1_000 + "b", "long" * 1_000 + "a"):
            one.add_event("tool", f"of {id[-1]}", actions=[ToolCall("Long", id=id)])
        for turn in range(3):
            one.add_event("assistant", actions=[ToolCall("Read", {"turn": turn}, id="call_0")])
            one.add_event("tool", f"result {turn}", actions=[ToolCall("Read", id="call_0")])
        fork = one.fork(session_id="fork")
        fork.add_event("user", "in the fork")
        fork.fork(at=3, session_id="fork of the fork", title="f")
        gone = service.create_session(session_id="gone")
        gone.add_event("assistant", "kept in a copy", usage=Usage("m-3", 4))
        gone.fork(session_id="copy 1")
        gone.fork(session_id="copy 2")
        gone.delete()
        service.create_session(session_id="empty")
        for name, message in kinds_of_messages.MESSAGES.items():
            SQLiteChatMessageHistory(f"kind {name}", service=service).add_message(message)
        other = service.scope(user_id="User").create_session(session_id="one")
        other.add_event("user", "of another")
        other.add_event("assistant", "damaged", actions=[ToolCall("Lost", id="d")], usage=Usage("m", 1), id="damaged")
        other.add_event("assistant", "damaged too", actions=[ToolCall("Odd", id="e")], id="odd")
        other.add_event("assistant", "no number", usage=Usage("m", 1), id="no number")
    with closing(sqlite3.connect(path)) as connection:
        usage = json.dumps({"model": "m", "input_tokens": None, "output_tokens": 3})
        connection.execute("UPDATE events SET usage = ? WHERE id = 'no number'", [usage])
        connection.execute("""UPDATE events SET actions = '[{"name": ', "usage" = 'no JSON' WHERE id = 'damaged'""")
        connection.execute("""UPDATE events SET actions = '[1, null, {"id": "e"}]', metadata = '[]' WHERE id = 'odd'""")
        connection.commit()


def as_values(value: object) -> object:
    """The value that a JSON text stands for; of a text that is no JSON, the text.

    MariaDB puts blanks into JSON, and PostgreSQL's JSON has no NUL.
    """
    if isinstance(value, str):
        value = value.replace("\\u0000", "\\ufffd").replace("\0", "\ufffd")
        with contextlib.suppress(ValueError):  # most texts are no JSON
            return json.dumps(json.loads(value))
    return value


@pytest.fixture
def both(path: Path, url: str) -> Iterator[Callable[[str], tuple[Any, Any]]]:
    fill(path)
    with (
        SQLiteSessionService(path, app_name=ANY, user_id=ANY) as on_file,
        SQLAlchemySessionService(url, app_name=ANY, user_id=ANY) as on_server,
    ):
        report = copy_sessions(on_file, on_server)
        assert report.sessions > 10

        def rows(view: str) -> tuple[Any, Any]:
            answers = []
            for service in (on_file, on_server):
                found = []
                for row in service.query(f"SELECT * FROM {view}"):
                    kept = {name: value for name, value in row.items() if name not in NUMBERS_OF_ROWS}
                    if view == "tool_calls":
                        assert isinstance(kept["output"], str | None), kept
                        kept |= {name: as_values(kept[name]) for name in ("args", "output", "error")}
                    found.append(kept)
                answers.append(sorted(found, key=lambda row: [str(value) for value in row.values()]))
            return answers[0], answers[1]

        yield rows


def test_the_views_have_the_rows_of_the_file(both: Callable[[str], tuple[Any, Any]]) -> None:
    for view in VIEWS:
        there, here = both(view)
        assert len(there) == len(here), view
        for mine, theirs in zip(here, there, strict=True):
            differing = {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}
            assert not differing, view
            for name, value in mine.items():
                assert type(value) is type(theirs[name]), (view, name)
                assert not isinstance(value, float) or math.isfinite(value)
    calls, _ = both("tool_calls")
    assert [row for row in both("tokens")[1] if row["output_tokens"] == 3]
    assert {call["status"] for call in calls} == {"ok", "error", "pending"}
    assert len(both("counted_events")[0]) > 30


# ---------------------------------------------------------------- MySQL, which no machine of ours has


def statements(dialect: Dialect) -> list[str]:
    return [statement for step in STEPS for statement in step(dialect)]


def test_mysql_gets_the_statements_of_mariadb_but_for_what_it_has_another_name_for() -> None:
    mysql, mariadb = statements(MySQL(is_mariadb=False)), statements(MySQL(is_mariadb=True))
    renamed = [
        statement.replace("utf8mb4_nopad_bin", "utf8mb4_0900_bin").replace("INDEX IF NOT EXISTS", "INDEX ")
        for statement in mariadb
    ]
    assert [" ".join(one.split()) for one in mysql] == [" ".join(one.split()) for one in renamed]
    assert not any("nopad" in statement or "INDEX IF NOT EXISTS" in statement for statement in mysql)
    assert not any("RETURNING" in statement for statement in mysql)  # which MariaDB has alone


@pytest.mark.parametrize("is_mariadb", [True, False])
def test_each_table_says_its_collation_and_no_text_ends_at_64_kilobytes(is_mariadb: bool) -> None:
    exact = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
    for statement in statements(MySQL(is_mariadb=is_mariadb)):
        assert not statement.rstrip().endswith("INDEX")
        if statement.startswith("CREATE TABLE"):
            assert f"COLLATE {exact}" in statement
            assert "ENGINE=InnoDB" in statement
            assert not [word for word in statement.replace(",", " ").split() if word.upper() in {"TEXT", "JSON"}]


@pytest.mark.parametrize("dialect", [PostgreSQL(), MySQL(is_mariadb=True), MySQL(is_mariadb=False)])
def test_a_migration_can_be_run_again_statement_by_statement(dialect: Dialect) -> None:
    for statement in statements(dialect):
        is_index_of_mysql = "INDEX" in statement and not dialect.if_not_exists
        head = " ".join(statement.split()[:6])
        assert "IF NOT EXISTS" in head or "OR REPLACE" in head or is_index_of_mysql, head


def limits(dialect: Dialect, seconds: float) -> list[str]:
    said: list[str] = []

    class Connection:
        def exec_driver_sql(self, sql: str) -> None:
            said.append(sql)

    dialect.limit_statements(Connection(), seconds)  # type: ignore[arg-type]  # it is told the statement alone
    return said


def test_the_time_of_a_query_is_limited_by_the_name_that_each_server_has_for_it() -> None:
    assert limits(MySQL(is_mariadb=False), 1.5) == ["SET SESSION max_execution_time = 1500"]
    assert limits(MySQL(is_mariadb=True), 1.5) == ["SET SESSION max_statement_time = 1.500"]
    assert limits(PostgreSQL(), 1.5) == ["SET LOCAL statement_timeout = 1500"]


def test_a_usage_that_is_damaged_hides_no_other(url: str) -> None:
    with SQLAlchemySessionService(url) as service:
        session = service.create_session()
        for id in "abcdef":
            session.add_event("assistant", usage=Usage("m", 1, 2), id=id)
        damaged = {"a": "no JSON", "b": '{"model": "m", "input_tokens": "x"}', "c": "[1]", "d": "5",
                   "e": '{"model": "m", "input_tokens": 123456789012345678901234567890}'}  # fmt: skip
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        with engine.begin() as connection:
            quote = "`" if "mysql" in url else '"'
            for id, usage in damaged.items():
                sql = f"UPDATE events SET {quote}usage{quote} = :usage WHERE id = :id"
                connection.execute(sqlalchemy.text(sql), {"usage": usage, "id": id})
        found = {row["event_id"]: row["output_tokens"] for row in service.query("SELECT * FROM tokens")}
        assert found["f"] == 2
        assert "a" not in found
        assert service.usage()
        assert service.stats()


def random_calls(service: Any, seed: int) -> None:
    """Sessions in which calls and results come in any order, several with one id."""
    random = Random(seed)  # a test's
    ids = ["", "a", "A", "b ", "b", "é", "c" * 2_000 + "1", "c" * 2_000 + "2"]
    for number in range(4):
        session = service.create_session(session_id=f"{seed} {number}")
        for _ in range(60):
            if random.random() < 0.5:
                calls = [
                    ToolCall(f"t{place}", id=random.choice(ids), output=random.choice([None, None, None, 3, "x", ""]))
                    for place in range(random.randint(0, 12))
                ]
                session.add_event("assistant", "said", actions=calls)
            else:
                error = random.choice([None, None, "failed"])
                session.add_event("tool", "r", actions=[ToolCall("t", id=random.choice(ids), error=error)])
        session.fork(session_id=f"fork {seed} {number}", at=random.randint(1, 60))


def test_calls_meet_their_results_as_in_the_file_in_whatever_order_they_came(path: Path, url: str) -> None:
    with SQLiteSessionService(path) as on_file, SQLAlchemySessionService(url) as on_server:
        random_calls(on_file, 12)
        copy_sessions(on_file, on_server)
        there, here = on_file.tool_calls(), on_server.tool_calls()
        assert len(there) > 500
        assert list(here) == list(there)
        assert list(on_server.tool_calls(newest_first=True)) == list(on_file.tool_calls(newest_first=True))
        assert {call["result_seq"] is None for call in there} == {True, False}


def test_the_calls_of_a_long_session_are_read_once_also_when_all_have_one_id(url: str) -> None:
    with SQLAlchemySessionService(url, busy_timeout=60) as service:
        for ids in ("one", "each"):
            session = service.create_session(session_id=ids)
            events = []
            for number in range(1_000):
                call = ToolCall("Read", id="call_0" if ids == "one" else f"call_{number}")
                events += [Event("assistant", actions=[call]), Event("tool", f"r{number}", actions=[call])]
            session.add_events(events)
            rows = service.query(
                "SELECT count(*) AS calls, count(result_seq) AS results FROM tool_calls WHERE session_id = ?",
                [ids], timeout=20,  # to look for each result takes minutes
            )  # fmt: skip
            assert rows == [{"calls": 1_000, "results": 1_000}]


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_every_column_of_text_of_a_server_compares_bytes(kind: str) -> None:
    engine = sqlalchemy.create_engine(backends.empty_store(kind), poolclass=sqlalchemy.NullPool)
    own = "current_schema()" if kind == "postgresql" else "database()"
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns "
            f"WHERE table_schema = {own} AND table_name IN ('sessions', 'events', 'state') "
            "AND data_type NOT IN ('bigint', 'integer')"
        ).fetchall()
    assert len(rows) > 30
    exact = "C" if kind == "postgresql" else "utf8mb4_nopad_bin"
    assert {tuple(row) for row in rows if row[2] != exact} == set()
