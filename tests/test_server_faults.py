"""Servers fail: nothing acknowledged is lost, nothing is stored twice, and errors are ours and say no secrets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import servers
import sqlalchemy
from backends import SERVERS, empty_store, server
from wires import Wire

from session_sqlite import (
    REMOVE,
    AsyncSessionService,
    CorruptStoreError,
    Event,
    InvalidInputError,
    QueryError,
    ReadOnlyStoreError,
    Session,
    SessionError,
    SessionExistsError,
    SQLAlchemySessionService,
    SQLiteChatMessageHistory,
    StoreBusyError,
    StoreClosedError,
    StoreError,
)
from session_sqlite.server.database import ServerDatabase
from session_sqlite.server.schema import SCHEMA_VERSION

KINDS = sorted(SERVERS)
SECRET = "marzipan-secret"  # noqa: S105  # it is looked for in errors
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    server(request.param)
    return str(request.param)


@pytest.fixture
def url(kind: str) -> str:
    return empty_store(kind)


@pytest.fixture
def service(url: str) -> Iterator[SQLAlchemySessionService]:
    with SQLAlchemySessionService(url) as service:
        yield service


def by_hand(url: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)


def quoted(kind: str, sql: str) -> str:
    return sql.replace('"', "`") if kind == "mariadb" else sql


def engine_of(service: SQLAlchemySessionService) -> sqlalchemy.Engine:
    assert isinstance(service._database, ServerDatabase)
    return service._database.engine


def connections_in_use(service: SQLAlchemySessionService) -> int:
    pool = engine_of(service).pool
    assert isinstance(pool, sqlalchemy.QueuePool)
    return pool.checkedout()


def whole_text(error: BaseException) -> str:
    """Everything that an error, and each error behind it, says of itself, also what a traceback would not print."""
    said, seen, left = [], set(), [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        said += [str(one), repr(one), repr(one.__dict__), *traceback.format_exception(one)]
        left += [other for other in (one.__cause__, one.__context__) if other is not None]
    return "\n".join(said)


# ---------------------------------------------------------------- a way to the server that can be cut


@pytest.fixture
def wire(url: str) -> Iterator[Wire]:
    port = sqlalchemy.make_url(url).port
    assert port is not None
    wire = Wire(port)
    yield wire
    wire.close()


@pytest.fixture
def over_wire(url: str, wire: Wire) -> Iterator[SQLAlchemySessionService]:
    shown = sqlalchemy.make_url(url).set(port=wire.port).render_as_string(hide_password=False)
    with SQLAlchemySessionService(shown, pool_size=2) as service:
        engine = engine_of(service)
        engine.dispose()

        @sqlalchemy.event.listens_for(engine, "connect")
        def without_prepared_statements(connection: Any, _record: object) -> None:
            connection.prepare_threshold = None  # psycopg's, which would send the number of a COMMIT it has prepared

        yield service


def test_an_append_whose_commit_was_not_answered_is_stored_once(
    over_wire: SQLAlchemySessionService, wire: Wire
) -> None:
    session = over_wire.create_session(session_id="s")
    for number in range(3):
        wire.commits_to_cut = 1 + number
        stored = session.add_events([Event("user", f"{number} a"), Event("assistant", f"{number} b", state={"n": 1})])
        assert [event.seq for event in stored] == [2 * number + 1, 2 * number + 2]
    assert wire.commits_to_cut == 0
    assert [(event.seq, event.content) for event in session.events()] == [
        (1, "0 a"), (2, "0 b"), (3, "1 a"), (4, "1 b"), (5, "2 a"), (6, "2 b"),
    ]  # fmt: skip
    assert session.refresh().last_seq == 6
    assert len(over_wire.search("a")) == 3


def test_a_session_whose_commit_was_not_answered_is_the_callers_own(
    over_wire: SQLAlchemySessionService, wire: Wire
) -> None:
    wire.commits_to_cut = 1
    session = over_wire.create_session(session_id="s", state={"step": 1})
    assert session.state["step"] == 1
    with pytest.raises(SessionExistsError):
        over_wire.create_session(session_id="s")
    session.add_event("user", "hello")
    wire.commits_to_cut = 1
    assert [event.content for event in session.fork(session_id="f").events()] == ["hello"]
    wire.commits_to_cut = 1
    assert session.update(title="new").title == "new"
    assert wire.commits_to_cut == 0
    assert len(over_wire.list_sessions()) == 2


def test_a_rewind_whose_commit_was_not_answered_is_not_run_twice(
    over_wire: SQLAlchemySessionService, wire: Wire
) -> None:
    session = over_wire.create_session()
    session.add_events([Event("user", "one"), Event("user", "two"), Event("user", "three")])
    wire.commits_to_cut = 1
    with pytest.raises(StoreError, match="may or may not have happened"):
        session.rewind()
    assert wire.commits_to_cut == 0
    assert [event.content for event in session.events()] == ["one", "two"]


@pytest.mark.parametrize(
    ("verb", "most"),
    [
        (lambda session: session.add_event("user", "hello"), 5),  # begin, the session, the event, its words, commit
        (lambda session: session.add_events([Event("user", "hello"), Event("assistant", "hi")]), 7),
        (lambda session: session.events(), 1),
        (lambda session: SQLiteChatMessageHistory(session.id, service=session._service).messages, 1),
    ],
    ids=["add_event", "add_events", "events", "messages"],
)
def test_a_call_asks_the_server_only_so_often(
    verb: Callable[[Session], object], most: int, over_wire: SQLAlchemySessionService, wire: Wire
) -> None:
    session = over_wire.create_session()
    session.add_event("user", "first")
    wire.round_trips = 0
    verb(session)
    assert 1 <= wire.round_trips <= most


# ---------------------------------------------------------------- connections that end, and servers that do


def end_connections(kind: str, url: str) -> int:
    """Ends every connection to a database but its own, as an administrator may; returns how many."""
    name = sqlalchemy.make_url(url).database
    with by_hand(url).connect() as connection:
        if kind == "postgresql":
            sql = (
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                f"WHERE datname = '{name}' AND pid <> pg_backend_pid()"
            )
            return int(connection.exec_driver_sql(sql).scalar_one())
        sql = f"SELECT id FROM information_schema.processlist WHERE db = '{name}' AND id <> connection_id()"
        ids = list(connection.exec_driver_sql(sql).scalars())
        for id in ids:
            with contextlib.suppress(sqlalchemy.exc.DBAPIError):  # it may have ended itself
                connection.exec_driver_sql(f"KILL {id}")
        return len(ids)


def test_connections_that_are_ended_in_the_middle_lose_and_double_nothing(
    kind: str, url: str, service: SQLAlchemySessionService
) -> None:
    shared = service.create_session()
    acknowledged: list[str] = []
    over = threading.Event()

    def client(number: int) -> None:
        while not over.is_set():
            content = uuid.uuid4().hex
            shared.add_event(f"agent-{number}", content)
            acknowledged.append(content)

    with ThreadPoolExecutor(4) as threads:
        clients = [threads.submit(client, number) for number in range(4)]
        ended = 0
        deadline = time.monotonic() + 20
        try:
            while (ended < 20 or len(acknowledged) < 20) and time.monotonic() < deadline:
                ended += end_connections(kind, url)
                time.sleep(0.02)
        finally:
            over.set()
        for one in clients:
            one.result()
    assert ended >= 20
    check_order(service, acknowledged)


def check_order(service: SQLAlchemySessionService, acknowledged: list[str]) -> None:
    """Each acknowledged event is there, once, and each session numbers its events without a gap."""
    contents: list[str] = []
    for session in service.list_sessions(limit=None):
        events = list(session.iter_events())
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert session.refresh().last_seq == len(events)
        contents += [event.content for event in events]
    assert len(contents) == len(set(contents)), "stored twice"
    assert set(acknowledged) <= set(contents), "lost"


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_killed_six_times_loses_and_doubles_nothing(kind: str) -> None:
    server(kind)  # skips where there is none
    if os.environ.get("TEST_MARIADB_URL") and kind == "mariadb":
        pytest.skip("the server of TEST_MARIADB_URL is not ours to kill")
    with SERVERS[kind](durable=True) as own:
        url = own.new_database()
        acknowledged: list[str] = []
        over = threading.Event()
        services = [SQLAlchemySessionService(url, busy_timeout=60) for _ in range(4)]
        shared = services[0].create_session(session_id="shared")

        def client(number: int) -> None:
            mine = services[number].create_session()
            while not over.is_set():
                for session in (services[number].get_session(shared.id), mine):
                    content = uuid.uuid4().hex
                    session.add_event("user", content)
                    acknowledged.append(content)

        with ThreadPoolExecutor(4) as threads:
            clients = [threads.submit(client, number) for number in range(4)]
            try:
                for _ in range(6):
                    before = len(acknowledged)
                    deadline = time.monotonic() + 60
                    while len(acknowledged) < before + 8 and time.monotonic() < deadline:
                        time.sleep(0.01)
                    own.kill()
                    own.start()
            finally:
                over.set()
            for one in clients:
                one.result()
        check_order(services[0], acknowledged)
        assert services[0].check().ok
        for service in services:
            service.close()


def test_a_server_that_stays_away_is_an_error_of_ours(kind: str) -> None:
    port = servers.free_port()
    gone = sqlalchemy.make_url(empty_store(kind)).set(port=port, password=SECRET)
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        SQLAlchemySessionService(gone.render_as_string(hide_password=False), busy_timeout=0.5)
    assert SECRET not in whole_text(caught.value)


# ---------------------------------------------------------------- conflicts and locks


def test_a_lock_that_another_holds_too_long_is_a_busy_store(kind: str, url: str) -> None:
    with SQLAlchemySessionService(url, busy_timeout=1) as service, by_hand(url).connect() as other:
        session = service.create_session(session_id="s")
        other.exec_driver_sql("SELECT 1 FROM sessions WHERE id = 's' FOR UPDATE")
        for change in (
            lambda: session.add_event("user", SECRET),
            lambda: session.update(title=SECRET),
            lambda: session.state.update({SECRET: SECRET}),
            session.delete,
        ):
            with pytest.raises(StoreBusyError) as caught:
                change()
            assert SECRET not in whole_text(caught.value)
        other.rollback()
        assert session.add_event("user", "now").seq == 1


def test_a_table_that_another_has_locked_is_a_busy_store(kind: str, url: str) -> None:
    with SQLAlchemySessionService(url, busy_timeout=1) as service, by_hand(url).connect() as other:
        session = service.create_session()
        lock = "LOCK TABLES events WRITE" if kind == "mariadb" else "LOCK TABLE events IN ACCESS EXCLUSIVE MODE"
        other.exec_driver_sql(lock)
        with pytest.raises(StoreBusyError):
            session.add_event("user", "hello")
        with pytest.raises(StoreBusyError):
            session.events()


@pytest.mark.parametrize("fault", ["deadlock", "serialization", "lock not available"])
def test_an_operation_that_lost_to_another_runs_again(
    fault: str, kind: str, url: str, service: SQLAlchemySessionService
) -> None:
    session = service.create_session()
    session.add_event("user", "before")
    runs = 0
    sql = {
        ("postgresql", "deadlock"): "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$",
        ("postgresql", "serialization"): "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$",
        ("mariadb", "deadlock"): "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'x'",
        ("postgresql", "lock not available"): "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '55P03'; END $$",
        ("mariadb", "serialization"): "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1020, MESSAGE_TEXT = 'x'",
        # What a Galera node answers at once to what has to wait for the others while it is being cut off from them.
        ("mariadb", "lock not available"): "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1205, MESSAGE_TEXT = 'x'",
    }[kind, fault]

    def work(tx: Any) -> int:
        nonlocal runs
        runs += 1
        changed: int = tx.run("UPDATE sessions SET title = 'changed'", {})
        if runs < 4:
            tx.run(sql, {})
        return changed

    assert service._database.write(work) == 1
    assert runs == 4
    assert session.refresh().title == "changed"


def test_transactions_that_really_deadlock_both_succeed(url: str, service: SQLAlchemySessionService) -> None:
    first, second = (service.create_session() for _ in range(2))
    meeting = threading.Barrier(2)
    runs: list[str] = []

    def crossing(name: str, ids: tuple[str, str]) -> None:
        def work(tx: Any) -> None:
            runs.append(name)
            for index, id in enumerate(ids):
                tx.run("UPDATE sessions SET last_seq = last_seq + 1 WHERE id = :id", {"id": id})
                if index == 0 and runs.count(name) == 1:
                    with contextlib.suppress(threading.BrokenBarrierError):
                        meeting.wait(10)

        service._database.write(work)

    with ThreadPoolExecutor(2) as threads:
        for one in [
            threads.submit(crossing, "a", (first.id, second.id)),
            threads.submit(crossing, "b", (second.id, first.id)),
        ]:
            one.result()
    assert len(runs) >= 3
    assert [session.refresh().last_seq for session in (first, second)] == [2, 2]


# ---------------------------------------------------------------- what errors and logs say


def values_in_errors(kind: str, service: SQLAlchemySessionService) -> dict[str, Callable[[], object]]:
    """Calls that a server answers with an error in whose text the driver quotes values."""
    write = service._database.write
    session = service.create_session(session_id="s")
    insert = (
        "INSERT INTO state (app_name, user_id, session_id, {}key{}, value, updated_at) "
        "VALUES (:v, :v, 's', :v, :v, 'now')"
    )
    quote = '"'
    sql = insert.format(quote, quote)
    return {
        "null": lambda: write(lambda tx: tx.run(sql.replace("'s'", "NULL"), {"v": SECRET})),
        "foreign key": lambda: write(
            lambda tx: tx.run("UPDATE events SET session_id = :v WHERE seq = 1", {"v": SECRET}), patience=0
        ),
        "too long": lambda: write(lambda tx: tx.run("UPDATE sessions SET id = :v", {"v": SECRET * 100})),
        "no number": lambda: write(lambda tx: tx.run("UPDATE sessions SET last_seq = :v", {"v": SECRET})),
        "no table": lambda: write(lambda tx: tx.run("UPDATE nothing SET id = :v", {"v": SECRET})),
        "syntax": lambda: write(lambda tx: tx.run("UPDATE sessions SOT id = :v", {"v": SECRET})),
        "read": lambda: service._database.read("SELECT * FROM nothing WHERE id = :v", {"v": SECRET}, tuple),
        "many": lambda: write(
            lambda tx: tx.run_many("UPDATE sessions SET last_seq = :v", [{"v": SECRET}, {"v": SECRET}])
        ),
        "query": lambda: service.query(
            "SELECT CAST(content AS integer) FROM events" if kind == "postgresql"
            else "SELECT JSON_EXTRACT(content, concat('$[', content)), extractvalue('<a/>', content) FROM events"
        ),
        "query with values": lambda: service.query("SELECT count(*) FRM sessions WHERE id = ?", [SECRET]),
        "missing value": lambda: service.query("SELECT :a, :b", {"a": SECRET}),
        "session": lambda: session.add_event("user", "x" * 10, state={"k": object()}),
    }  # fmt: skip


def error_of(call: Callable[[], object]) -> SessionError | None:
    try:
        call()
    except SessionError as error:
        return error
    return None


def test_no_value_of_a_statement_is_in_any_error_or_log(
    kind: str, url: str, service: SQLAlchemySessionService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    calls = values_in_errors(kind, service)
    service.get_session("s").add_event("user", SECRET)
    raised = []
    for name, call in calls.items():
        if (error := error_of(call)) is not None:
            assert SECRET not in whole_text(error), name
            raised.append(name)
    assert set(calls) - set(raised) <= {"query"}, "these raised nothing"
    assert SECRET not in caplog.text
    for record in caplog.records:
        assert SECRET not in repr(record.__dict__)


PASSWORDS = {
    "postgresql": ["postgresql://u:{}@127.0.0.1:{}/d", "postgresql+psycopg://127.0.0.1:{1}/d?user=u&password={0}"],
    "mariadb": ["mysql://u:{}@127.0.0.1:{}/d", "mariadb+pymysql://u:{}@127.0.0.1:{}/d?connect_timeout=1",
                "mysql://127.0.0.1:{1}/d?user=u&password={0}"],
}  # fmt: skip


def test_a_password_is_in_no_error_log_or_repr(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    port = sqlalchemy.make_url(empty_store(kind)).port
    for pattern in PASSWORDS[kind]:
        for wrong in (pattern, pattern + ("&" if "?" in pattern else "?") + "no_such_option=1"):
            with pytest.raises(SessionError) as caught:
                SQLAlchemySessionService(wrong.format(SECRET, port), busy_timeout=5)
            assert SECRET not in whole_text(caught.value)
    url = sqlalchemy.make_url(empty_store(kind))
    name = f"u{uuid.uuid4().hex[:8]}"
    if kind == "postgresql":
        options = {"password": SECRET}
        own = url.update_query_dict(options).render_as_string(hide_password=False)
    else:
        with by_hand(empty_store(kind)).connect() as connection:
            connection.exec_driver_sql(f"CREATE USER {name}@'%%' IDENTIFIED BY '{SECRET}'")
            connection.exec_driver_sql(f"GRANT ALL ON {url.database}.* TO {name}@'%%'")
        own = url.set(username=name, password=SECRET).render_as_string(hide_password=False)
    with SQLAlchemySessionService(own) as service:
        said = [
            repr(service),
            str(service),
            repr(service.__dict__),
            repr(vars(service._database)),
            str(service.check()),
        ]
        session = service.create_session()
        said += [repr(session), repr(session.state)]
        with pytest.raises(StoreError) as caught:
            _ = service.db
    with pytest.raises(StoreClosedError) as closed:
        service.get_session(session.id)
    assert SECRET not in "\n".join([*said, whole_text(caught.value), whole_text(closed.value), caplog.text])


def test_a_wrong_password_is_said_at_once(kind: str) -> None:
    if kind == "postgresql":
        url = sqlalchemy.make_url(empty_store(kind)).set(username="nobody-knows-me")
    else:
        url = sqlalchemy.make_url(empty_store(kind)).set(username="nobody", password=SECRET)
    begin = time.monotonic()
    with pytest.raises(StoreError, match="refuses the account"):
        SQLAlchemySessionService(url.render_as_string(hide_password=False), busy_timeout=120)
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize(
    "url",
    ["postgresql+asyncpg://u:{}@h/d", "postgresql+psycopg2://u:{}@h/d", "mysql+aiomysql://u:{}@h/d", "oracle://u:{}@h/d",
     "mongodb://u:{}@h/d", "postgresql+psycopg://u:{}@h:port/d", "u:{}@h"],
)  # fmt: skip
def test_a_url_that_is_not_served_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        SQLAlchemySessionService(url.format(SECRET))
    assert SECRET not in whole_text(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM events",
        "UPDATE sessions SET title = 'x'",
        "CREATE TABLE mine (a integer)",
        "DROP VIEW tokens",
        "SELECT 1; COMMIT; DELETE FROM events",
        "COMMIT",
        "SELECT 1; DROP VIEW tokens",
        "SELECT 1; SELECT 2",
        "EXPLAIN SELECT 1; COMMIT; SET default_transaction_read_only = off; DELETE FROM events",
        "SELECT 1; COMMIT; SET SESSION TRANSACTION READ WRITE; START TRANSACTION; DELETE FROM events; COMMIT",
        "/* SELECT */ DROP VIEW tokens",
        "-- SELECT\nDROP VIEW tokens",
        "EXPLAIN DELETE FROM nothing",
        "/*!50000 DROP VIEW tokens */",
        "WITH gone AS (DELETE FROM events RETURNING id) SELECT id FROM gone",
        "EXPLAIN ANALYZE DELETE FROM events",
        "/*M! DROP VIEW */ SELECT 1",
        "ANALYZE DELETE FROM events",
    ],
)
def test_a_query_of_the_owner_cannot_write(sql: str, service: SQLAlchemySessionService) -> None:
    service.create_session().add_event("user", "hello")
    begin = time.monotonic()
    with pytest.raises(QueryError):
        service.query(sql)
    with pytest.raises(QueryError):
        service.query(sql.replace("'x'", "?") + " -- ?", ["x"])
    with pytest.raises(QueryError):
        service.query(sql, each=lambda row: None)
    assert time.monotonic() - begin < 20
    assert service.query("SELECT count(*) AS n FROM events")[0]["n"] == 1
    assert service.query("SELECT count(*) AS n FROM tokens")[0]["n"] == 0


def test_a_query_that_takes_too_long_ends(kind: str, service: SQLAlchemySessionService) -> None:
    sql = "SELECT pg_sleep(60)" if kind == "postgresql" else "SELECT sleep(60)"
    begin = time.monotonic()
    with contextlib.suppress(QueryError):  # MariaDB's sleep() ends early, and returns 1
        service.query(sql, timeout=0.5)
    assert time.monotonic() - begin < 30


ENDLESS = {
    "postgresql": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    "mariadb": "SELECT seq AS i FROM seq_1_to_1000000000000",
}


def test_the_rows_of_a_query_are_told_while_it_runs_and_it_ends_with_its_reader_or_its_time(
    kind: str, service: SQLAlchemySessionService, recwarn: pytest.WarningsRecorder
) -> None:
    class EnoughError(Exception):
        """The reader goes away."""

    told: list[int] = []

    def each(row: dict[str, Any]) -> None:
        told.append(row["i"])
        if len(told) == 1_000:
            raise EnoughError

    with pytest.raises(EnoughError):
        service.query(ENDLESS[kind], timeout=60, each=each)
    assert told == list(range(1, 1_001))
    begin = time.monotonic()
    with pytest.raises(QueryError, match=r"more than 0\.5 s"):
        service.query(ENDLESS[kind], timeout=0.5, each=lambda row: None)
    assert time.monotonic() - begin < 30
    gc.collect()
    assert not recwarn.list  # the driver does not read on from a connection that was closed
    for sql in ("EXPLAIN SELECT 1", "VALUES (1), (2)", "SHOW TABLES" if kind == "mariadb" else "SHOW timezone"):
        told_rows: list[dict[str, Any]] = []
        columns = service.query(sql, each=told_rows.append).columns
        assert told_rows == list(service.query(sql))
        assert columns == service.query(sql).columns
    assert connections_in_use(service) == 0


# ---------------------------------------------------------------- callers that go away, and many at once


def test_cancelled_callers_leave_no_lock_and_nothing_half(url: str) -> None:
    async def work() -> None:
        with SQLAlchemySessionService(url, pool_size=5) as plain:
            service = AsyncSessionService(plain)
            session = await service.create_session()

            async def one(number: int) -> None:
                await session.add_events([Event("user", f"{number} a"), Event("assistant", f"{number} b")])

            for start in range(0, 600, 50):
                tasks = [asyncio.create_task(one(number)) for number in range(start, start + 50)]
                for index, task in enumerate(tasks):
                    if index % 10 == 0:
                        await asyncio.sleep(0.001)
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            last = await session.add_event("user", "at last")
            events = await session.events()
            assert [event.seq for event in events] == list(range(1, last.seq + 1))
            contents = [event.content for event in events[:-1]]
            assert len(contents) == len(set(contents))
            assert all(
                f"{first.split()[0]} b" == second for first, second in zip(contents[::2], contents[1::2], strict=True)
            )
            assert connections_in_use(plain) == 0

    asyncio.run(work())


def test_a_pool_of_five_serves_sixty_four_threads(url: str) -> None:
    with SQLAlchemySessionService(url, pool_size=5) as service:
        shared = service.create_session()
        acknowledged: list[str] = []

        def client(number: int) -> None:
            for _ in range(5):
                content = uuid.uuid4().hex
                shared.add_event("user", content)
                acknowledged.append(content)
                assert shared.last_events(1)

        with ThreadPoolExecutor(64) as threads:
            list(threads.map(client, range(64)))
        assert len(acknowledged) == 320
        check_order(service, acknowledged)
        assert connections_in_use(service) == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers of this kind on Windows")
def test_an_interrupt_inside_a_call_leaves_the_pool_usable(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # it may strike in a callback, or in pytest's own hook

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        with SQLAlchemySessionService(url, pool_size=2, busy_timeout=20) as service:
            session = service.create_session()
            for number in range(60):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0002 + 0.0001 * number)
                    for _ in range(20):
                        session.add_events([Event("user", "a"), Event("assistant", "b")])
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except KeyboardInterrupt:
                    interrupted += 1
            last = session.add_event("user", "at last")
            assert interrupted
            events = list(session.iter_events())
            assert [event.seq for event in events] == list(range(1, last.seq + 1))
            assert last.seq % 2 == 1
        del service, session
        gc.collect()  # a connection that was interrupted while it was made: here, where its warning is expected
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_inside_the_pool_takes_no_connection_from_it(
    service: SQLAlchemySessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # the driver warns of the connection that was lost
    session = service.create_session()
    for _ in range(10):  # more often than the pool has connections
        with monkeypatch.context() as patched:

            def interrupted(*_: object, **__: object) -> None:
                raise KeyboardInterrupt

            patched.setattr(sqlalchemy.pool.base._ConnectionFairy, "__init__", interrupted)
            with pytest.raises(KeyboardInterrupt):
                session.events()
        assert connections_in_use(service) == 0
    assert session.add_event("user", "at last").seq == 1
    gc.collect()


def test_an_interrupt_of_one_thread_leaves_the_connections_of_another(service: SQLAlchemySessionService) -> None:
    database: Any = service._database
    with database.connection() as other:
        with pytest.raises(KeyboardInterrupt), database.connection():
            raise KeyboardInterrupt
        assert other.exec_driver_sql("SELECT 1").scalar() == 1
    assert other.closed
    assert connections_in_use(service) == 0
    assert service.create_session().add_event("user", "hello").seq == 1


@pytest.mark.parametrize("instead", [AssertionError, TypeError])
def test_what_psycopg_raises_in_the_place_of_an_interrupt_is_the_interrupt(
    kind: str, service: SQLAlchemySessionService, monkeypatch: pytest.MonkeyPatch, instead: type[Exception]
) -> None:
    if kind != "postgresql":
        pytest.skip("another driver")
    import psycopg

    session = service.create_session()

    def interrupted(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise instead("while the pipeline was left")  # noqa: B904  # as it is there

    def broken(*_: object, **__: object) -> None:
        raise instead("a fault of its own")

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Cursor, "executemany", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.add_events([Event("user", "a"), Event("assistant", "b")])
        patched.setattr(psycopg.Cursor, "executemany", broken)
        with pytest.raises(instead):
            session.add_events([Event("user", "a"), Event("assistant", "b")])
    assert connections_in_use(service) == 0
    assert session.add_event("user", "at last").seq == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_after_a_fork_has_connections_of_its_own(url: str, service: SQLAlchemySessionService) -> None:
    session = service.create_session()
    session.add_event("user", "parent")
    child = os.fork()
    if child == 0:
        try:
            for number in range(20):
                session.add_event("user", f"child {number}")
            service.close()
            os._exit(0)
        except BaseException:  # noqa: BLE001  # this is a child, which must not go on as pytest
            traceback.print_exc()
            os._exit(1)
    for number in range(20):
        session.add_event("user", f"parent {number}")
    assert os.waitpid(child, 0)[1] == 0
    events = session.events()
    assert [event.seq for event in events] == list(range(1, 42))
    assert len({event.content for event in events}) == 41


# ---------------------------------------------------------------- migrations


def open_and_append(url: str, number: int, start: Any, failures: Any) -> None:
    start.wait(60)
    try:
        with SQLAlchemySessionService(url, user_id=f"user-{number}") as service:
            service.create_session(session_id="s").add_event("user", f"hello {number}")
    except BaseException:  # noqa: BLE001  # the parent shows it
        failures.put(traceback.format_exc())


def open_from_processes(url: str, count: int) -> None:
    start, failures = SPAWN.Event(), SPAWN.Queue()
    processes = [SPAWN.Process(target=open_and_append, args=(url, number, start, failures)) for number in range(count)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(120)
    said = [failures.get() for _ in range(count) if not failures.empty()]
    assert not said, said[0]
    assert [process.exitcode for process in processes] == [0] * count


def test_many_processes_make_one_store_at_once(kind: str) -> None:
    own = server(kind)
    url = own.new_database()
    try:
        open_from_processes(url, 4)
        with SQLAlchemySessionService(url) as service:
            assert service.query("SELECT count(*) AS n FROM events")[0]["n"] == 4
            assert service.query("SELECT count(*) AS n FROM session_schema")[0]["n"] == SCHEMA_VERSION
            assert service.check().ok
    finally:
        own.drop_database(url)


DIED = {
    "before everything but the first table": [
        "DROP VIEW transcript", "DROP VIEW tool_calls", "DROP VIEW session_overview", "DROP VIEW usage_by_day",
        "DROP VIEW tokens", "DROP VIEW counted_events", "DROP VIEW event_actions", "DROP TABLE event_words",
        "DROP TABLE state", "DROP TABLE events", "DELETE FROM session_schema",
    ],
    "in the views": ["DROP VIEW transcript", "DROP VIEW tool_calls", "DELETE FROM session_schema WHERE version > 2"],
    "before the versions": ["DELETE FROM session_schema"],
    "before the table of versions": ["DROP TABLE session_schema"],
    "before the words": [
        "DROP VIEW transcript", "DROP TABLE event_words", "DELETE FROM session_schema WHERE version > 1",
    ],
}  # fmt: skip


def test_a_migration_that_died_halfway_is_completed(kind: str) -> None:
    own = server(kind)
    url = own.new_database()
    try:
        with SQLAlchemySessionService(url) as service:
            service.create_session(session_id="kept")
        for died, statements in DIED.items():
            with by_hand(url).begin() as connection:
                for statement in statements:
                    connection.exec_driver_sql(statement)
            with ThreadPoolExecutor(3) as threads:
                openings = [threads.submit(lambda: SQLAlchemySessionService(url).close()) for _ in range(3)]
                for opening in openings:
                    opening.result()
            with SQLAlchemySessionService(url) as service:
                service.create_session().add_event("user", "hello")
                assert service.search("hello"), died
                assert service.tool_calls() == []
                assert service.query("SELECT max(version) AS v FROM session_schema")[0]["v"] == SCHEMA_VERSION
                assert service.get_session("kept").id == "kept"
    finally:
        own.drop_database(url)


def test_a_store_that_lost_a_table_says_so(kind: str) -> None:
    own = server(kind)
    url = own.new_database()
    try:
        with SQLAlchemySessionService(url) as service:
            session = service.create_session()
            with by_hand(url).begin() as connection:
                connection.exec_driver_sql("DROP TABLE state")
            with pytest.raises(CorruptStoreError):
                session.state.update({"a": 1})
    finally:
        own.drop_database(url)


def test_a_damaged_order_is_said_and_repaired(kind: str, url: str) -> None:
    with SQLAlchemySessionService(url, busy_timeout=2) as service:
        session = service.create_session()
        session.add_events([Event("user", "a"), Event("user", "b")])
        with by_hand(url).begin() as connection:
            connection.exec_driver_sql("UPDATE sessions SET last_seq = 0")
        with pytest.raises(SessionError):
            session.add_event("user", "c")
        assert not service.check().ok
        service.check(repair=True)
        assert session.add_event("user", "c").seq == 3


def test_a_damaged_order_is_corruption_at_once_for_every_verb_that_adds(kind: str, url: str) -> None:
    with SQLAlchemySessionService(url, busy_timeout=300) as service:
        session = service.create_session(session_id="s")
        session.add_events([Event("user", SECRET), Event("user", "b")])
        with by_hand(url).begin() as connection:
            connection.exec_driver_sql("UPDATE sessions SET last_seq = 1")
        adds: list[Callable[[], object]] = [
            lambda: session.add_event("user", SECRET),
            lambda: session.add_events([Event("user", SECRET), Event("user", "d")]),
            lambda: session.add_event("user", SECRET, id="mine"),
            lambda: session.summarize(lambda _: SECRET, keep_last=1),
        ]
        begin = time.monotonic()
        for add in adds:
            with pytest.raises(CorruptStoreError, match=r"check\(repair=True\)") as caught:
                add()
            assert SECRET not in whole_text(caught.value)
        assert time.monotonic() - begin < 120
        assert [event.seq for event in session.events()] == [1, 2]


def test_rows_that_contradict_others_for_good_are_corruption_before_the_time_is_over(kind: str, url: str) -> None:
    with SQLAlchemySessionService(url, busy_timeout=600) as service:
        service.create_session(session_id="s").add_event("user", "hello")
        begin = time.monotonic()
        for sql in (
            "UPDATE events SET session_id = :v WHERE seq = 1",
            "INSERT INTO event_words (row_id, version) SELECT row_id, 1 FROM events",
        ):
            with pytest.raises(CorruptStoreError) as caught:
                service._database.write(lambda tx, sql=sql: tx.run(sql, {"v": SECRET}))  # type: ignore[misc]
            assert SECRET not in whole_text(caught.value)
        assert time.monotonic() - begin < 300


# ---------------------------------------------------------------- state that sessions share


def test_many_writers_to_one_key_of_an_app_or_a_user_all_succeed_without_a_deadlock(
    kind: str, url: str, service: SQLAlchemySessionService, caplog: pytest.LogCaptureFixture
) -> None:
    deadlocks: list[str] = []

    @sqlalchemy.event.listens_for(engine_of(service), "handle_error")
    def note(context: Any) -> None:
        fault = service._database.dialect.fault(context.sqlalchemy_exception)  # type: ignore[attr-defined]
        if fault.name == "CONFLICT":
            deadlocks.append(str(context.original_exception))

    with ThreadPoolExecutor(8) as threads:
        sessions = list(threads.map(lambda number: service.create_session(session_id=f"s{number}"), range(8)))
        keys = ["app:a", "user:b", "app:c", "user:d", "own"]
        sessions[0].state.update(dict.fromkeys(keys, 0))

        def client(number: int) -> None:
            for turn in range(12):
                mine = keys if (number + turn) % 2 else keys[::-1]
                value = f"{number}-{turn}"
                if turn % 3:
                    sessions[number].add_event("user", value, state=dict.fromkeys(mine, value))
                else:
                    sessions[number].state.update(dict.fromkeys(mine, value))

        list(threads.map(client, range(8)))
    assert deadlocks == []
    for number, session in enumerate(sessions):
        state = session.refresh().state
        assert state["own"] == f"{number}-11"
        assert state["app:a"] == sessions[0].state["app:a"]
        assert session.refresh().last_seq == 8
    assert service.query("SELECT count(*) AS n FROM state WHERE session_id = ''")[0]["n"] == 4
    for key in keys:
        del sessions[0].state[key]
        assert key not in sessions[1].state or key == "own"


def test_keys_that_many_make_and_remove_at_once_end_as_the_last_one_said(service: SQLAlchemySessionService) -> None:
    sessions = [service.create_session() for _ in range(6)]

    def client(number: int) -> None:
        for turn in range(15):
            if (number + turn) % 2:
                sessions[number].state["app:key"] = [number, turn]
            else:
                sessions[number].add_event("user", "x", state={"app:key": REMOVE})

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(client, range(6)))
    sessions[0].state["app:key"] = "last"
    sessions[0].state["app:key"] = "last"  # the same value again changes no row of MySQL's
    assert [session.state["app:key"] for session in sessions] == ["last"] * 6


# ---------------------------------------------------------------- a server that cannot write now


def refuses_changes(url: str) -> None:
    with SQLAlchemySessionService(url, busy_timeout=1) as service:
        for change in (service.create_session, lambda: service.get_session("s").add_event("user", SECRET)):
            with pytest.raises(ReadOnlyStoreError, match="takes no changes") as caught:
                change()
            assert SECRET not in whole_text(caught.value)
        assert service.get_session("s").last_seq == 1
        assert service.search("hello")
        assert service.check()
    with SQLAlchemySessionService(url, read_only=True) as service:
        assert len(service.list_events("s")) == 1
        assert service.query("SELECT count(*) AS n FROM events")[0]["n"] == 1


def test_a_standby_is_read_and_says_that_it_takes_no_changes() -> None:
    server("postgresql")  # skips where there is none
    with servers.postgresql() as own:
        url = own.new_database()
        with SQLAlchemySessionService(url) as service:
            service.create_session(session_id="s").add_event("user", "hello")
        own.stop()
        signal_file = own.data / "standby.signal"  # type: ignore[attr-defined]  # it is a PostgreSQL
        signal_file.touch()
        if own.account:
            os.chown(signal_file, own.account["user"], own.account["group"])
        own.start()
        refuses_changes(url)


def test_a_read_only_mariadb_is_read_and_says_that_it_takes_no_changes() -> None:
    own = server("mariadb")
    if not hasattr(own, "base"):
        pytest.skip("the server of TEST_MARIADB_URL is not ours to change")
    url = empty_store("mariadb")
    with SQLAlchemySessionService(url) as service:
        service.create_session(session_id="s").add_event("user", "hello")
    account = sqlalchemy.make_url(url).set(username="app", password=SECRET)
    own.administer(f"CREATE OR REPLACE USER app IDENTIFIED BY '{SECRET}'")
    own.administer(f"GRANT ALL ON {account.database}.* TO app")
    own.administer("SET GLOBAL read_only = 1")
    try:
        refuses_changes(account.render_as_string(hide_password=False))
    finally:
        own.administer("SET GLOBAL read_only = 0")
        own.administer("DROP USER app")


DAMAGE = {
    "order": ("UPDATE sessions SET last_seq = 0", True),
    "order, far too high": ("UPDATE sessions SET last_seq = 9000000000000000000", True),
    "state": ('INSERT INTO state (app_name, user_id, session_id, "key", value, updated_at) '
              "VALUES ('default', 'default', 'nobody', 'k', '1', 'now')", True),
    "state, of the wrong owner": ('INSERT INTO state (app_name, user_id, session_id, "key", value, updated_at) '
                                  "VALUES ('default', 'default', 's', 'app:k', '1', 'now')", True),
    "values of state": ("UPDATE state SET value = 'no JSON'", False),
    "sessions": ("UPDATE sessions SET metadata = 'no JSON'", False),
    "events": ("UPDATE events SET actions = 'no JSON' WHERE seq = 1", False),
    "ids": ("UPDATE events SET id = 'same'", False),
    "search index": ("DELETE FROM event_words", True),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_check_finds_what_is_wrong_and_mends_what_it_says(damage: str, kind: str, url: str) -> None:
    sql, is_mended = DAMAGE[damage]
    name = damage.partition(",")[0]
    with SQLAlchemySessionService(url) as service:
        session = service.create_session(session_id="s", state={"own": SECRET})
        session.add_events([Event("user", SECRET), Event("assistant", "b")])
        assert service.check().ok
        with by_hand(url).begin() as connection:
            connection.exec_driver_sql(quoted(kind, sql))
        report = service.check()
        found = {finding.name: finding for finding in report if finding.level == "error"}
        assert set(found) == {name}
        assert SECRET not in str(report)
        assert ("repair=True" in found[name].advice) == is_mended
        service.check(repair=True)
        assert service.check().ok == is_mended
        if is_mended:
            assert session.add_event("user", "after").seq == 3


def test_a_check_names_missing_views_and_indexes_and_makes_them_again(kind: str) -> None:
    own = server(kind)
    url = own.new_database()
    try:
        with SQLAlchemySessionService(url) as service:
            session = service.create_session()
            session.add_event("user", "hello")
            on_table = " ON {}" if kind == "mariadb" else ""
            gone = [
                "DROP VIEW transcript", "DROP VIEW tool_calls", f"DROP INDEX events_id{on_table.format('events')}",
                f"DROP INDEX event_words_index{on_table.format('event_words')}",
            ]  # fmt: skip
            with by_hand(url).begin() as connection:
                for statement in gone:
                    connection.exec_driver_sql(statement)
            (found,) = [finding for finding in service.check() if finding.level == "error"]
            assert found.name == "views and indexes"
            for name in ("transcript", "tool_calls", "events_id", "event_words_index"):
                assert name in found.message
            with SQLAlchemySessionService(url, read_only=True) as reader, pytest.raises(ReadOnlyStoreError):
                reader.check(repair=True)
            service.check(repair=True)
            assert service.check().ok
            assert service.tool_calls() == []
            assert service.search("hello")
    finally:
        own.drop_database(url)
