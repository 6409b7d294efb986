"""Accounts, rights and versions of servers: what an account may not do is said clearly, and reading needs no more."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import backends
import pytest
import sqlalchemy
from click.testing import CliRunner
from test_server_faults import whole_text

from session_sqlite import (
    NewerSchemaError,
    ReadOnlyStoreError,
    SQLAlchemySessionService,
    SQLiteSessionService,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    ToolCall,
    Usage,
)
from session_sqlite.cli import main
from session_sqlite.server.dialects import MySQL, PostgreSQL

SECRET = "marzipan-secret"  # noqa: S105  # it is looked for in errors
WORD = "oolong-secret"
KINDS = ["postgresql", "mariadb"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    backends.server(request.param)
    return str(request.param)


@pytest.fixture
def url(kind: str) -> str:
    """A store with one session of everything."""
    url = backends.empty_store(kind)
    with SQLAlchemySessionService(url, app_name="app", user_id="user") as service:
        fill(service)
    return url


def fill(service: Any) -> None:
    session = service.create_session(session_id="s", title="Tea", metadata={"k": WORD}, state={"step": 1})
    session.add_event("user", f"which tea? {WORD}", state={"user:lang": "en"})
    call = ToolCall("Read", {"p": 1}, id="c", output="ok")
    session.add_event("assistant", "oolong", actions=[call], usage=Usage("m", input_tokens=3))
    session.add_event("user", "why?")


def by_hand(url: str, *statements: str) -> None:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


GRANTS = {
    ("postgresql", "reads"): ["GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}"],
    ("mariadb", "reads"): ["GRANT SELECT, SHOW VIEW ON {database}.* TO {name}"],
    ("postgresql", "nothing"): [],
    ("mariadb", "nothing"): ["GRANT SELECT ON {database}.state TO {name}"],
}


@pytest.fixture
def account(kind: str) -> Iterator[Callable[[str, str], str]]:
    """Makes an account that may do no more than ``rights`` says, and returns the URL of a store with it."""
    made = []

    def make(url: str, rights: str) -> str:
        whole = sqlalchemy.make_url(url)
        name = f"u{uuid.uuid4().hex[:12]}"
        made.append((url, name))
        create = f"CREATE ROLE {name} LOGIN" if kind == "postgresql" else f"CREATE USER {name} IDENTIFIED BY '{SECRET}'"
        grants = [grant.format(name=name, database=whole.database) for grant in GRANTS[kind, rights]]
        by_hand(url, create, *grants)
        return whole.set(username=name, password=SECRET).render_as_string(hide_password=False)

    yield make
    for url, name in made:
        by_hand(
            url, *([f"DROP OWNED BY {name}", f"DROP ROLE {name}"] if kind == "postgresql" else [f"DROP USER {name}"])
        )


@pytest.fixture
def empty(kind: str) -> Iterator[str]:
    """A database without tables."""
    own = backends.server(kind)
    url = own.new_database()
    yield url
    own.drop_database(url)


# ---------------------------------------------------------------- reading alone

READS: dict[str, Callable[[Any], Any]] = {
    "get_session": lambda service: service.get_session("s"),
    "list_sessions": lambda service: service.list_sessions(metadata={"k": WORD}),
    "list_events": lambda service: service.list_events("s", tool="Read"),
    "iter_events": lambda service: list(service.iter_events("s")),
    "last_events": lambda service: service.last_events("s", 1),
    "get_state": lambda service: service.get_state("s"),
    "state": lambda service: dict(service.get_session("s").state),
    "search": lambda service: [hit.event for hit in service.search("oolong")],
    "query": lambda service: service.query("SELECT id FROM sessions"),
    "tool_calls": lambda service: list(service.tool_calls()),
    "usage": lambda service: list(service.usage()),
    "activity": lambda service: list(service.activity()),
    "stats": lambda service: service.stats(),
    "session_overviews": lambda service: list(service.session_overviews()),
    "export": lambda service: service.export(io.StringIO()).events,
    "prune, dry": lambda service: service.prune(keep_last=0, dry_run=True).sessions,
    "redact, dry": lambda service: service.redact("oolong", dry_run=True).events,
    "check": lambda service: service.check().ok,
}  # fmt: skip

WRITES: dict[str, Callable[[Any], Any]] = {
    "create_session": lambda service: service.create_session(session_id="new"),
    "create_session that is there": lambda service: service.create_session(session_id="s", exist_ok=True),
    "update_session": lambda service: service.update_session("s", title=WORD),
    "delete_session": lambda service: service.delete_session("s"),
    "append_event": lambda service: service.get_session("s").add_event("user", WORD),
    "append_event expecting": lambda service: service.get_session("s").add_event("user", WORD, expected_seq=3),
    "update_state": lambda service: service.update_state("s", {"step": 2}),
    "clear_session": lambda service: service.clear_session("s"),
    "fork_session": lambda service: service.fork_session("s"),
    "rewind_session": lambda service: service.rewind_session("s"),
    "summarize_session": lambda service: service.summarize_session("s", lambda _: WORD, keep_last=1),
    "prune": lambda service: service.prune(keep_last=0),
    "erase": lambda service: service.erase("s"),
    "redact": lambda service: service.redact("oolong"),
}  # fmt: skip


def test_every_reading_verb_works_with_an_account_that_may_only_read(
    url: str, account: Callable[[str, str], str]
) -> None:
    reader = account(url, "reads")
    with (
        SQLAlchemySessionService(url, app_name="app", user_id="user") as owner,
        SQLAlchemySessionService(reader, app_name="app", user_id="user", read_only=True) as service,
    ):
        for name, read in READS.items():
            assert read(service) == read(owner), name
        owner.get_session("s").add_event("user", "later")
        assert service.get_session("s").last_seq == 4


@pytest.mark.parametrize("verb", WRITES)
def test_a_write_of_an_account_that_may_only_read_is_refused(
    verb: str, url: str, account: Callable[[str, str], str]
) -> None:
    before = backends.server_dump(url)
    reader = account(url, "reads")
    for read_only in (True, False):
        if verb == "create_session that is there" and not read_only:
            continue  # it has nothing to write, and some servers let it look
        with SQLAlchemySessionService(reader, app_name="app", user_id="user", read_only=read_only) as service:
            with pytest.raises(ReadOnlyStoreError) as caught:
                WRITES[verb](service)
            assert "read_only" in str(caught.value)
            assert WORD not in whole_text(caught.value)
            assert SECRET not in whole_text(caught.value)
    with (
        SQLAlchemySessionService(url, app_name="app", user_id="user", read_only=True) as service,
        pytest.raises(ReadOnlyStoreError, match="open read-only: open it without read_only"),
    ):
        WRITES[verb](service)
    assert backends.server_dump(url) == before
    with pytest.raises(StoreClosedError):
        WRITES[verb](service)


def test_read_only_refuses_what_a_file_refuses_and_in_the_same_words(url: str, path: Path) -> None:
    with SQLiteSessionService(path, app_name="app", user_id="user") as file:
        fill(file)
    for verb, write in WRITES.items():
        said = []
        for service in (
            SQLAlchemySessionService(url, app_name="app", user_id="user", read_only=True),
            SQLiteSessionService(path, app_name="app", user_id="user", read_only=True),
        ):
            with service, pytest.raises(ReadOnlyStoreError) as caught:
                write(service)
            said.append(str(caught.value).replace(str(service._database), "…"))
        assert said[0] == said[1], verb


def test_the_connection_of_a_read_only_store_cannot_write(kind: str, url: str) -> None:
    # A connection that cannot write may be one to a standby, after a failover: it is tried again, here for a second.
    with SQLAlchemySessionService(url, read_only=True, busy_timeout=1) as service:
        with pytest.raises(StoreError):
            service._database.read("UPDATE sessions SET title = 'x'", {}, tuple)
        with pytest.raises(ReadOnlyStoreError):
            service.check(repair=True) if _spoil(url) else None
    with SQLAlchemySessionService(url) as service:
        assert service.query("SELECT count(*) AS n FROM sessions WHERE title = 'x'")[0]["n"] == 0
        assert service.check(repair=True)
        assert service.check().ok


def _spoil(url: str) -> bool:
    by_hand(url, "UPDATE sessions SET last_seq = 0")
    return True


def tables(url: str) -> list[str]:
    with sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool).connect() as connection:
        return sqlalchemy.inspect(connection).get_table_names()


def test_read_only_makes_and_changes_no_tables(empty: str) -> None:
    with pytest.raises(StoreError, match=r"there is no store in .* without read_only it would be made"):
        SQLAlchemySessionService(empty, read_only=True)
    assert tables(empty) == []
    SQLAlchemySessionService(empty).close()
    by_hand(empty, "DELETE FROM session_schema WHERE version > 2")
    with pytest.raises(StoreError, match="older schema: open it once without read_only"):
        SQLAlchemySessionService(empty, read_only=True)
    SQLAlchemySessionService(empty).close()
    SQLAlchemySessionService(empty, read_only=True).close()
    by_hand(empty, "INSERT INTO session_schema (version) VALUES (99)")
    for read_only in (True, False):
        with pytest.raises(NewerSchemaError):
            SQLAlchemySessionService(empty, read_only=read_only)


COMMANDS = [
    ("list",), ("show", "s"), ("search", "oolong"), ("tools",), ("usage",), ("stats",), ("export", "s"), ("check",),
    ("query", "SELECT count(*) AS n FROM events"), ("export", "--format", "markdown"),
]  # fmt: skip


def test_the_reading_commands_need_no_right_to_write(url: str, account: Callable[[str, str], str]) -> None:
    reader = account(url, "reads")
    before = backends.server_dump(url)
    for command in COMMANDS:
        done = CliRunner().invoke(main, [command[0], "--db", reader, *command[1:]], prog_name="session-sqlite")
        assert done.exit_code == 0, (command, done.output)
        assert SECRET not in done.output
    for command in (("delete", "s", "--yes"), ("rewind", "s", "--yes"), ("prune", "--keep-last", "0", "--yes")):
        done = CliRunner().invoke(main, [command[0], "--db", reader, *command[1:]], prog_name="session-sqlite")
        assert done.exit_code == 1
        assert "may not write" in done.stderr
        assert SECRET not in done.output
    assert backends.server_dump(url) == before


def test_a_store_that_may_only_be_read_can_be_copied(
    url: str, account: Callable[[str, str], str], tmp_path: Path
) -> None:
    reader = account(url, "reads")
    target = str(tmp_path / "copy.db")
    done = CliRunner().invoke(main, ["copy", reader, target], prog_name="session-sqlite")
    assert done.exit_code == 0, done.output
    with SQLiteSessionService(target, app_name="app", user_id="user", read_only=True) as copy:
        assert [event.content for event in copy.list_events("s")][1] == "oolong"


# ---------------------------------------------------------------- accounts and databases that will not do


def test_an_account_without_rights_is_said_so_and_makes_nothing(
    kind: str, url: str, account: Callable[[str, str], str]
) -> None:
    stranger = account(url, "nothing")
    for read_only in (True, False):
        with pytest.raises(StoreError, match="account may not") as caught:
            SQLAlchemySessionService(stranger, read_only=read_only, busy_timeout=5)
        assert SECRET not in whole_text(caught.value)


def test_an_account_that_may_make_no_tables_is_said_so(empty: str, account: Callable[[str, str], str]) -> None:
    with pytest.raises(ReadOnlyStoreError, match="account may not write") as caught:
        SQLAlchemySessionService(account(empty, "reads"), busy_timeout=5)
    assert SECRET not in whole_text(caught.value)
    assert tables(empty) == []


def test_a_database_that_is_not_there_is_said_so(kind: str, url: str) -> None:
    absent = sqlalchemy.make_url(url).set(database="no_such_database")
    for read_only in (True, False):
        with pytest.raises(StoreError, match="account or the database"):
            SQLAlchemySessionService(absent.render_as_string(hide_password=False), read_only=read_only)


def test_a_host_that_is_not_there_is_said_so_without_the_password(kind: str, url: str) -> None:
    absent = sqlalchemy.make_url(url).set(host="no-such-host.invalid", password=SECRET)
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        SQLAlchemySessionService(absent.render_as_string(hide_password=False), busy_timeout=0.3)
    assert SECRET not in whole_text(caught.value)


@pytest.mark.parametrize("password", ["wrong", None])
def test_a_password_that_postgresql_does_not_take_is_said_at_once(password: str | None) -> None:
    url = backends.empty_store("postgresql")
    own = backends.server("postgresql")
    rules: Path = own.data / "pg_hba.conf"  # type: ignore[attr-defined]  # it is a PostgreSQL
    rule = "host all guarded 127.0.0.1/32 scram-sha-256\n"
    if rule not in rules.read_text():
        rules.write_text(rule + rules.read_text())
        by_hand(url, "SELECT pg_reload_conf()", f"CREATE ROLE guarded LOGIN PASSWORD '{SECRET}'")
    good = sqlalchemy.make_url(url).set(username="guarded", password=SECRET)
    with pytest.raises(StoreError, match="account may not"):  # it is let in, and has no rights
        SQLAlchemySessionService(good.render_as_string(hide_password=False), busy_timeout=10, read_only=True)
    bad = sqlalchemy.URL.create(good.drivername, "guarded", password, good.host, good.port, good.database)
    with pytest.raises(StoreError, match="refuses the account") as caught:
        SQLAlchemySessionService(bad.render_as_string(hide_password=False), busy_timeout=120)
    assert "wrong" not in whole_text(caught.value).replace("wrong password", "")


def test_a_table_of_versions_that_is_locked_is_a_busy_store(kind: str, url: str) -> None:
    lock = (
        "LOCK TABLE session_schema IN ACCESS EXCLUSIVE MODE" if kind == "postgresql"
        else "LOCK TABLES session_schema WRITE"
    )  # fmt: skip
    with sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool).connect() as other:
        other.exec_driver_sql(lock)
        for read_only in (True, False):
            with pytest.raises(StoreBusyError):
                SQLAlchemySessionService(url, busy_timeout=1, read_only=read_only)
    SQLAlchemySessionService(url, read_only=True).close()


def test_a_migration_that_never_ends_elsewhere_is_a_busy_store(kind: str, empty: str) -> None:
    take = (
        "SELECT pg_advisory_lock(1397969228)" if kind == "postgresql" else "SELECT GET_LOCK('session_sqlite_schema', 1)"
    )
    with sqlalchemy.create_engine(empty, poolclass=sqlalchemy.NullPool).connect() as other:
        other.exec_driver_sql(take)
        with pytest.raises(StoreBusyError):
            SQLAlchemySessionService(empty, busy_timeout=1)
    SQLAlchemySessionService(empty).close()


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize(
    ("dialect", "version", "said"),
    [
        (PostgreSQL(), "PostgreSQL 18.1 on x86_64-pc-linux-musl, compiled by gcc", ""),
        (PostgreSQL(), "PostgreSQL 19beta1 on aarch64", ""),
        (PostgreSQL(), "PostgreSQL 12.0 (Debian 12.0-1) on x86_64", ""),
        (PostgreSQL(), "PostgreSQL 9.6.24 on x86_64", "PostgreSQL 9.6.24 is too old: 12 or newer"),
        (PostgreSQL(), "PostgreSQL 11.22 on x86_64", "PostgreSQL 11.22 is too old: 12 or newer"),
        (MySQL(is_mariadb=True), "11.8.3-MariaDB-0+deb13u1 from Debian", ""),
        (MySQL(is_mariadb=True), "10.6.0-MariaDB", ""),
        (MySQL(is_mariadb=True), "5.5.5-10.11.6-MariaDB-1:10.11.6+maria~ubu2204", ""),
        (MySQL(is_mariadb=True), "10.5.28-MariaDB", "MariaDB 10.5.28 is too old: 10.6 or newer"),
        (MySQL(is_mariadb=True), "5.5.68-MariaDB", "MariaDB 5.5.68 is too old"),
        (MySQL(is_mariadb=False), "8.0.21", ""),
        (MySQL(is_mariadb=False), "9.4.0-commercial", ""),
        (MySQL(is_mariadb=False), "8.0.20-log", "MySQL 8.0.20 is too old: 8.0.21 or newer"),
        (MySQL(is_mariadb=False), "5.7.44", "MySQL 5.7.44 is too old"),
        (PostgreSQL(), "something else", ""),
    ],
)
def test_a_version_is_too_old_or_will_do(dialect: PostgreSQL | MySQL, version: str, said: str) -> None:
    assert dialect.too_old(version).startswith(said)
    assert bool(dialect.too_old(version)) == bool(said)


def test_a_server_that_is_too_old_is_refused_before_anything_is_made(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgreSQL, "oldest", {"PostgreSQL": (99,)})
    monkeypatch.setattr(MySQL, "oldest", {"MariaDB": (99, 1), "MySQL": (99,)})
    with pytest.raises(StoreError, match=r"is too old: 99(\.1)? or newer is needed"):
        SQLAlchemySessionService(empty)
    assert tables(empty) == []


# ---------------------------------------------------------------- the passwords of MySQL 8


PUBLIC_KEY = b"""-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAkRLVaz8IvEZa8CjyQKxm
4pwlW6pV/IOgrISvGNvBZNALPOB4UKyeyHNsHe5T5d3kowwaRSiOXo4YU/ZaZ/z5
72m/Kyb10UrDxhDIxO//aiLIeyySOUohjQbKXorqgdbbTsDOgHXFD7PSykYJqyP5
AN09qZScZpXRNl2eIleu81JPKpGHcby+mCzZAm0Lu8XvTfDUorF9Rn6DEUERNa8J
3sW/ZyDvuo/Jh9qbraoqWd04sHlVR5EjV3Y9AVbIg+AVd8dCToz9rQmiU7b3jOcF
dekRbAri6sUnv7Gy6h8mTKFY/X60HyjPx5BXXN6zO9uOzZcizJQDx+mI5WTO/aUF
AwIDAQAB
-----END PUBLIC KEY-----
"""


def packet(number: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


def greet_as_mysql(listener: socket.socket) -> None:
    """Answers as a MySQL does that wants the whole password, without TLS, until the client goes."""
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            with client:
                greeting = b"\x0a8.4.0\0" + struct.pack("<I", 1) + b"A" * 8 + b"\0" + struct.pack("<H", 0xF7FF)
                greeting += b"\xff" + struct.pack("<HH", 2, 0xDFFF) + bytes([21]) + b"\0" * 10 + b"B" * 12 + b"\0"
                client.sendall(packet(0, greeting + b"caching_sha2_password\0"))
                client.recv(65536)
                client.sendall(packet(2, b"\x01\x04"))  # the whole password, please
                client.recv(65536)  # the client asks for a key
                client.sendall(packet(4, b"\x01" + PUBLIC_KEY))
                client.recv(65536)
                client.sendall(packet(6, b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied"))


@pytest.fixture
def mysql() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=greet_as_mysql, args=(listener,), daemon=True).start()
        yield f"mysql+pymysql://ada:{SECRET}@127.0.0.1:{listener.getsockname()[1]}/d"
        listener.shutdown(socket.SHUT_RDWR)


def test_the_way_in_which_mysql_asks_for_a_password_needs_no_package_more(mysql: str) -> None:
    with pytest.raises(StoreError) as caught:
        SQLAlchemySessionService(mysql, busy_timeout=0.5)
    assert "refuses the account" in str(caught.value)
    assert SECRET not in whole_text(caught.value)


def test_a_package_that_a_password_needs_is_named(mysql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pymysql._auth._have_cryptography", False)
    with pytest.raises(StoreError, match="pip install cryptography") as caught:
        SQLAlchemySessionService(mysql, busy_timeout=0.5)
    assert SECRET not in whole_text(caught.value)
