"""Sessions on a database server: its connections, transactions with locks, and running an operation again.

Every connection is in the driver's autocommit mode and transactions are begun and ended by statements of ours, so that
a read is one round trip. A write runs as a whole, and as a whole again when another transaction came between, or when
the server or the way to it was lost: events have their ids before the first try, so nothing is stored twice.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar

import sqlalchemy
from sqlalchemy import URL, CursorResult, TextClause, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, ResourceClosedError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from session_sqlite import queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Params, Row, Told, Transaction
from session_sqlite.errors import (
    CorruptStoreError,
    EventTooLargeError,
    InvalidInputError,
    QueryError,
    ReadOnlyStoreError,
    SessionError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    StoreFullError,
)
from session_sqlite.pages import CheckReport, Rows, distinct
from session_sqlite.server.checking import check
from session_sqlite.server.dialects import Dialect, Fault, dialect_of
from session_sqlite.server.hosts import Hosts
from session_sqlite.server.schema import STEPS, make, migrate, needs_migration
from session_sqlite.server.search_index import ServerSearchIndex

T = TypeVar("T")

FIRST_PAUSE: Final = 0.005  # seconds before an operation runs again; the pause grows, and is drawn by chance
LONGEST_PAUSE: Final = 0.5
RECONNECT_PAUSE: Final = 0.1
CONFLICTS_WITHOUT_PAUSE: Final = 1
LOOKED_AT_ONCE: Final = 200  # rows whose texts are looked at together, since most need no change
MOST_RACES: Final = 12  # that an operation may lose; what loses more contradicts rows that are there
LONGEST_CODE: Final = 5  # of an error, in characters; anything longer may be a text
_SHOWN_OPTIONS: Final = frozenset({"host", "port"})  # of a URL; the others may have a password
_QUESTION_MARKS = re.compile(r"""('(?:[^']|'')*'|"[^"]*"|\?)""")
_READS = re.compile(
    r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*(?![!M]).*?\*/)*(SELECT|WITH|VALUES|TABLE|SHOW|DESCRIBE|DESC|EXPLAIN)\b",
    re.IGNORECASE | re.DOTALL,
)
_STREAMING: Final = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})  # PostgreSQL has no cursor for the others
STREAMED: Final = {"stream_results": True, "max_row_buffer": 200}
_NAMES = re.compile(r"(?<![:\w]):([a-z_][a-z_0-9]*)")


@functools.lru_cache(maxsize=1024)
def driver_sql(sql: str) -> str:
    """Returns a statement with the drivers' ``%(name)s`` in place of ``:name``."""
    return _NAMES.sub(r"%(\1)s", sql.replace("%", "%%"))


class Statements:
    """The statements of one connection, run on the driver's own cursor.

    SQLAlchemy takes as long to run a statement as the driver does, so an append would take twice its time. It still
    says what an error means: each driver's error becomes the `DBAPIError` that SQLAlchemy would have raised.
    """

    __slots__ = ("_connection", "_cursor", "_dialect", "_errors")

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self._cursor: Any = connection.connection.cursor()
        self._errors: type[Exception] = connection.dialect.loaded_dbapi.Error

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> Any:
        """Runs one statement in the driver's own form and returns the cursor."""
        try:
            self._cursor.execute(sql, params)
        except self._errors as error:
            self._fail(error)
        return self._cursor

    def rows(self, sql: str, params: Params) -> list[Row]:
        """See `Reading.rows`; texts are as they were before they were stored."""
        rows: list[Row] = list(self.execute(driver_sql(sql), stored(self._dialect, params)).fetchall())
        dialect = self._dialect
        for begin in range(0, len(rows) if dialect.changes_text else 0, LOOKED_AT_ONCE):
            part = rows[begin : begin + LOOKED_AT_ONCE]
            if not dialect.keeps("".join([value for row in part for value in row if isinstance(value, str)])):
                rows[begin : begin + LOOKED_AT_ONCE] = [tuple(map(dialect.value_read, row)) for row in part]
        return rows

    def run(self, sql: str, params: Params) -> int:
        """See `Transaction.run`."""
        return int(self.execute(driver_sql(sql), stored(self._dialect, params)).rowcount)

    def run_many(self, sql: str, params: Sequence[Params]) -> None:
        """See `Transaction.run_many`."""
        if not params:
            return
        try:
            self._cursor.executemany(driver_sql(sql), [stored(self._dialect, one) for one in params])
        except self._errors as error:
            self._fail(error)
        except (AssertionError, TypeError) as error:  # which psycopg puts in the place of an interrupt in its pipeline
            if (interrupt := _interrupt_behind(error)) is None:
                raise
            self._connection.invalidate()
            raise interrupt from None

    def _fail(self, error: Exception) -> NoReturn:
        """Raises SQLAlchemy's error; a connection that is lost leaves the pool, with all that are older."""
        self._connection._handle_dbapi_exception(error, None, None, self._cursor, None)


def _interrupt_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error


class ServerTransaction(Statements):
    """A write transaction on one connection."""

    __slots__ = ("index", "may_be_done")

    def __init__(
        self, connection: Connection, dialect: Dialect, index: ServerSearchIndex, *, may_be_done: bool
    ) -> None:
        super().__init__(connection, dialect)
        self.index = index
        self.may_be_done = may_be_done

    def begin(self) -> None:
        """Begins the transaction."""
        try:
            self._dialect.begin(self._connection.connection.driver_connection)
        except self._errors as error:
            self._fail(error)

    def commit(self) -> None:
        """Commits the transaction."""
        try:
            self._dialect.commit(self._connection.connection.driver_connection)
        except self._errors as error:
            self._fail(error)

    def insert_events(self, rows: Sequence[Params]) -> None:
        """See `Transaction.insert_events`."""
        self.index.insert(self, rows)

    def lock(self, *keys: SessionKey) -> set[SessionKey]:
        """See `Transaction.lock`."""
        sql = f"{queries.LAST_SEQ} {self._dialect.for_update}"
        return {key for key in sorted(set(keys)) if self.rows(sql, key.params())}

    def advance(self, key: SessionKey, count: int, now: str) -> object:
        """See `Transaction.advance`."""
        params = {**key.params(), "count": count, "now": now}
        return self._dialect.advanced(self.execute(driver_sql(self._dialect.advance), stored(self._dialect, params)))


def stored(dialect: Dialect, params: Params) -> Params:
    """Returns parameters as the server can keep them: bytes, which only damage leaves in a file, as text."""
    if bytes in map(type, params.values()):
        params = {
            name: value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
            for name, value in params.items()
        }
    if not dialect.changes_text or dialect.keeps("".join([one for one in params.values() if isinstance(one, str)])):
        return params
    return {name: dialect.stored(value) if isinstance(value, str) else value for name, value in params.items()}


class ServerDatabase:
    """A `Database` on a server, at a URL of SQLAlchemy's."""

    path = None

    def __init__(self, url: object, *, pool_size: int, busy_timeout: float, read_only: bool) -> None:
        self._busy_timeout = busy_timeout
        self.read_only = read_only
        self._closed = False
        self._closing = threading.Lock()
        self.url = _checked_url(url)
        self.dialect = dialect_of(self.url.get_backend_name(), is_mariadb=False)
        self._hosts = Hosts(self.url, is_used=self.dialect.name == "mysql")
        self.engine = self._new_engine(pool_size)
        try:
            self._open()
        except (TypeError, ValueError, LookupError):  # of PyMySQL
            self.engine.dispose()
            raise InvalidInputError("url has an option that the driver does not take") from None
        except BaseException:
            self.engine.dispose()
            raise
        self.index = ServerSearchIndex(self, self.dialect)
        _LIVE.add(self)

    def _open(self) -> None:
        def is_behind(connection: Connection) -> bool:
            return needs_migration(connection, self.dialect, str(self), read_only=self.read_only)

        if self._patiently(is_behind, self._busy_timeout):
            self._patiently(lambda connection: migrate(connection, self.dialect), self._busy_timeout, writes=True)

    def __str__(self) -> str:
        shown = {name: value for name, value in self.url.query.items() if name in _SHOWN_OPTIONS}
        return repr(self.url.set(query=shown).render_as_string(hide_password=True))

    # ------------------------------------------------------------ the Database protocol

    @property
    def closed(self) -> bool:
        """See `Database.closed`."""
        return self._closed

    def read(self, sql: str, params: Params, make: Callable[[Row], T]) -> list[T]:
        """See `Database.read`."""
        rows = self._patiently(
            lambda connection: Statements(connection, self.dialect).rows(sql, params), self._busy_timeout
        )
        return rows if make is tuple else [make(row) for row in rows]  # type: ignore[return-value]  # rows are tuples

    def messages_since(self, key: SessionKey, seq: int) -> None:
        """See `Database.messages_since`."""

    def write(self, work: Callable[[Transaction], T], *, patience: float | None = None, repeatable: bool = True) -> T:
        """See `Database.write`."""
        self._check_writable()
        unanswered: list[T] = []  # the results of runs whose commit got no answer

        def in_transaction(connection: Connection) -> T:
            tx = ServerTransaction(connection, self.dialect, self.index, may_be_done=bool(unanswered))
            tx.begin()
            result = work(tx)
            try:
                tx.commit()
            except DBAPIError as error:
                if self.dialect.fault(error) is Fault.DISCONNECTED:
                    if not repeatable:
                        raise _UnknownOutcomeError from None
                    unanswered.append(result)
                raise
            # A run finds nothing to remove if the one before was committed after all: that has the answer.
            return next((before for before in unanswered if _is_nothing(result) and not _is_nothing(before)), result)

        with contextlib.suppress(_UnknownOutcomeError):
            patience = self._busy_timeout if patience is None else patience
            return self._patiently(in_transaction, patience, writes=True)
        raise StoreError(
            f"the connection to {self} was lost while a change was committed: it may or may not have happened, so look "
            "before you try again"
        )

    def purge(self) -> list[str]:
        """See `Database.purge`."""
        self._check_open()
        return [f"the files of the server of {self}: how long they keep deleted text is a matter of its settings"]

    def close(self) -> None:
        """See `Database.close`."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        _LIVE.discard(self)
        self.engine.dispose()

    # ------------------------------------------------------------ for the owner of the store

    def db(self) -> NoReturn:
        """See `Database.db`: it is of SQLite files."""
        self._check_open()
        raise StoreError(f"db is for SQLite files, and {self} is on a server: use query(), or `session-sqlite copy`")

    def backup(self, target: object, *, overwrite: bool) -> NoReturn:  # noqa: ARG002  # there is no such file
        """See `Database.backup`: it is of SQLite files."""
        self._check_open()
        command = self.dialect.backup_command
        raise StoreError(f"{self} is on a server: back it up with {command}, or `session-sqlite copy` it to a file")

    def query(
        self,
        sql: str,
        params: Sequence[Any] | Params,
        timeout: float,
        largest_event: int,  # noqa: ARG002  # the server has its own limits
        told: Told | None = None,
    ) -> Rows:
        """See `Database.query`: on a connection of its own, whose settings the statement may change."""
        reads = _READS.match(sql)
        if reads is None:
            # Not left to the transaction: MariaDB ends a read-only one to run DROP VIEW.
            raise QueryError("query() only reads: it takes one SELECT, WITH, VALUES, TABLE, SHOW, DESCRIBE or EXPLAIN")

        options = STREAMED if told is not None and reads[1].upper() in _STREAMING else {}

        def work(connection: Connection) -> Rows | QueryError:
            try:
                for statement in self.dialect.begin_read_only:
                    connection.exec_driver_sql(statement)
                self.dialect.limit_statements(connection, timeout)
                self.dialect.take_one_statement(connection.connection.driver_connection)
                if told is not None and told.count:
                    raise QueryError("the connection was lost while the rows were read")
                deadline = time.monotonic() + timeout
                with self._unread(connection.execute(*_text(sql, params), execution_options=options)) as result:
                    if not result.returns_rows:
                        raise QueryError("the query returns no rows: query() takes one SELECT")
                    names = distinct(list(result.keys()))
                    rows = (dict(zip(names, map(self.dialect.value_read, row), strict=True)) for row in result)
                    if told is None:
                        return Rows(rows, names)
                    told.all(_until(deadline, rows, timeout))
                    return Rows((), names)
            except (StatementError, ResourceClosedError) as error:
                fault = self.dialect.fault(error) if isinstance(error, DBAPIError) else Fault.OTHER
                if fault is Fault.DISCONNECTED and not self.dialect.refuses_writing(error):
                    raise
                failure = self._query_error(error, fault, timeout, shows_values=bool(params))
            finally:
                connection.invalidate()
            return failure

        answer = self._patiently(work, self._busy_timeout)
        if isinstance(answer, QueryError):
            raise answer  # here, so that the driver's error, which may have texts of the store, is not its context
        return answer

    @contextlib.contextmanager
    def _unread(self, result: CursorResult[Any]) -> Iterator[CursorResult[Any]]:
        """Closes a result at the end, without reading what is left of it."""
        driver = result.connection.connection.driver_connection
        with contextlib.closing(result):
            try:
                yield result
            finally:
                self.dialect.leave_unread(driver)

    def _query_error(self, error: Exception, fault: Fault, timeout: float, *, shows_values: bool) -> QueryError:
        if fault is Fault.TIMED_OUT:
            return _took_too_long(timeout)
        if fault is Fault.READ_ONLY or self.dialect.refuses_writing(error):
            return QueryError("query() only reads: use the verbs of the service to write")
        if not isinstance(error, DBAPIError):
            return QueryError(f"the query failed: {getattr(error, 'orig', None) or error}")
        if self.dialect.is_about_sql(error) and not shows_values:
            return QueryError(f"the query failed: {error.orig}")  # this is about the caller's own SQL
        return QueryError(f"the query failed: {_kind_of(error)}")

    def make_again(self) -> None:
        """Makes the views and indexes that are missing, and the views that are there anew."""

        def work(connection: Connection) -> None:
            for step in STEPS:
                make(connection, self.dialect, step)

        self._check_writable()
        self._patiently(work, self._busy_timeout, writes=True)

    def check(self, *, repair: bool) -> CheckReport:
        """See `Database.check`."""
        return check(self, repair=repair)

    def _check_writable(self) -> None:
        self._check_open()
        if self.read_only:
            raise ReadOnlyStoreError(f"the store {self} is open read-only: open it without read_only to write")

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(f"the store {self} was closed: open it again")

    # ------------------------------------------------------------ running, and running again

    def _patiently(self, work: Callable[[Connection], T], patience: float, *, writes: bool = False) -> T:
        """Runs something on a connection until it works, fails for good, or the time is over."""
        deadline = time.monotonic() + patience
        pause = FIRST_PAUSE
        tries = 0
        while True:
            self._check_open()
            try:
                with self.connection() as connection:
                    return work(connection)
            except PoolTimeoutError:
                fault = Fault.BUSY
                failure: SessionError = StoreBusyError(
                    f"all connections to {self} are in use: try again, or give a larger pool_size"
                )
            except DBAPIError as error:
                fault = self.dialect.fault(error)
                failure = self.error(error, fault, writes=writes, is_lasting=tries >= MOST_RACES)
            except SQLAlchemyError as error:
                fault = Fault.OTHER
                failure = StoreError(f"the store {self} failed: {type(error).__name__}")
            # Raised outside of `except`: the driver's error quotes the values of a statement, and a context is printed.
            is_away = fault in {Fault.DISCONNECTED, Fault.STANDBY}
            # A lock is waited for until the time is over; an answer before that is a cluster's, while a node leaves it.
            is_conflict = fault in {Fault.CONFLICT, Fault.BUSY} or (fault is Fault.RACE and tries < MOST_RACES)
            if not (is_away or is_conflict) or time.monotonic() >= deadline:
                raise failure
            tries += 1
            if is_away:
                pause = max(pause, RECONNECT_PAUSE)
            if tries > CONFLICTS_WITHOUT_PAUSE or is_away:
                time.sleep(min(random.uniform(0, pause), max(0.0, deadline - time.monotonic())))  # noqa: S311  # spreads
                pause = min(2 * pause, LONGEST_PAUSE)

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection from the pool, which goes back to it without a transaction, or not at all."""
        pool = self.engine.pool
        try:
            connection = self._connect()
            try:
                yield connection
            except Exception as error:
                self._leave(connection, error)
                raise
            except BaseException:  # an interrupt: what the driver was about to read is unknown
                connection.invalidate()
                raise
            finally:
                if self._closed or self.engine.pool is not pool:
                    connection.invalidate()
                connection.close()
        except Exception:
            raise
        except BaseException:
            # An interrupt that strikes inside of the pool leaves a connection in its count that nobody has.
            self.engine.dispose()
            raise

    def _connect(self) -> Connection:
        try:
            return self.engine.connect()
        except DBAPIError:
            self._hosts.failed(None)  # a node of a cluster that was cut off takes connections, and nothing else
            raise
        except RuntimeError:  # of PyMySQL, at the passwords of MySQL 8
            raise StoreError(
                f"the server of {self} asks for the password in a way that needs a package: pip install cryptography"
            ) from None

    def _leave(self, connection: Connection, error: Exception) -> None:
        """Ends the transaction that failed; a connection that cannot is not used again."""
        if connection.invalidated or connection.closed:
            return
        if isinstance(error, DBAPIError) and self.dialect.fault(error) in {Fault.DISCONNECTED, Fault.STANDBY}:
            self._hosts.failed(connection)
            connection.invalidate()
            return
        try:
            self.dialect.roll_back(connection.connection.driver_connection)
        except Exception:  # noqa: BLE001  # the first error is the one to show
            connection.invalidate()

    def error(self, error: DBAPIError, fault: Fault, *, writes: bool, is_lasting: bool) -> SessionError:
        """Our error for the driver's: what happened and what to do, and none of the statement's values."""
        name = _kind_of(error)
        if fault is Fault.DISORDER or (fault is Fault.RACE and is_lasting):
            return CorruptStoreError(
                f"the rows of the store {self} contradict each other, and nothing was written: check(repair=True) "
                f"mends the numbers of events ({name})"
            )
        if fault in {Fault.CONFLICT, Fault.RACE, Fault.BUSY}:
            return StoreBusyError(f"the store {self} is locked by another writer: try again ({name})")
        if fault is Fault.DISCONNECTED:
            return StoreError(f"the server of {self} cannot be reached: check that it runs, and try again ({name})")
        if fault is Fault.FULL:
            return StoreFullError(f"there is no room on the server of {self}: nothing was written, free some ({name})")
        if fault in {Fault.READ_ONLY, Fault.STANDBY}:
            return ReadOnlyStoreError(
                f"the server of {self} takes no changes: connect to the one that does, or open the store with "
                f"read_only=True ({name})"
            )
        if fault is Fault.TOO_LARGE:
            return EventTooLargeError(f"the server of {self} takes no value of that size: raise its limit ({name})")
        if fault is Fault.MISSING:
            return CorruptStoreError(f"the store {self} lacks a table or column of its own: restore it from a backup")
        if fault is Fault.DENIED:
            return StoreError(f"the server of {self} refuses the account or the database: check the URL ({name})")
        if fault is Fault.FORBIDDEN and writes:
            return ReadOnlyStoreError(
                f"the account may not write the store {self}: grant it that, or use read_only=True ({name})"
            )
        if fault is Fault.FORBIDDEN:
            return StoreError(f"the account may not read the store {self}: grant it its tables and views ({name})")
        return StoreError(f"the store {self} failed: {name}")

    # ------------------------------------------------------------ connections

    def _new_engine(self, pool_size: int) -> Engine:
        engine = sqlalchemy.create_engine(
            self._hosts.url,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=self._busy_timeout,
            pool_recycle=1800,  # servers and proxies close connections that are idle for long
            pool_reset_on_return=None,  # every transaction is ended by `connection`
        )

        self._hosts.listen(engine)
        # Every transaction is ended by a statement. A ROLLBACK after it would cost a round trip, and one that fails,
        # since the connection was lost, would make a change that was committed run again.
        engine.dialect.do_rollback = _nothing  # type: ignore[assignment,method-assign]

        @event.listens_for(engine, "connect")
        def set_up(dbapi_connection: Any, _record: object) -> None:
            def execute(sql: str) -> Sequence[Any]:
                with contextlib.closing(dbapi_connection.cursor()) as cursor:
                    cursor.execute(sql)
                    return list(cursor.fetchall()) if cursor.description else []

            self._know_the_server(engine)
            self.dialect.set_up_driver(dbapi_connection)
            self.dialect.set_up(execute, self._busy_timeout)
            if self.read_only:
                execute(self.dialect.begin_read_only[0])

        return engine

    def _know_the_server(self, engine: Engine) -> None:
        if self.dialect.name == "mysql":
            self.dialect = dialect_of("mysql", is_mariadb=bool(getattr(engine.dialect, "is_mariadb", False)))


def _nothing(_connection: object) -> None:
    """Does nothing."""


def _is_nothing(result: object) -> bool:
    """Returns True for the number 0, False, None, and a tuple of these."""
    return not any(result) if isinstance(result, tuple) else not result


class _UnknownOutcomeError(Exception):
    """The connection was lost during a commit that must not run twice."""


def _kind_of(error: DBAPIError) -> str:
    """Returns the class of a driver's error with its code, and nothing of its text, which may quote values."""
    code = getattr(error.orig, "sqlstate", None) or next(iter(getattr(error.orig, "args", ())), None)
    kind = type(error.orig).__name__
    return f"{kind} {code}" if isinstance(code, (int, str)) and len(str(code)) <= LONGEST_CODE else kind


def _checked_url(url: object) -> URL:
    """Returns a URL. Raises `InvalidInputError` for one that is malformed or names a file; never shows a password."""
    made: URL | None = None
    with contextlib.suppress(ArgumentError, AttributeError, ValueError):
        made = sqlalchemy.make_url(url)  # type: ignore[arg-type]  # anything else is an ArgumentError
    if made is None:  # not raised where the error is handled: it may quote the password, and would be the context
        raise InvalidInputError("url must be like postgresql+psycopg://user:password@host/database")
    if made.get_backend_name() == "sqlite":
        raise InvalidInputError("a SQLite file is opened by its path: SQLiteSessionService('sessions.db')")
    drivers = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql",
               "mariadb": "mariadb+pymysql"}  # fmt: skip
    made = made.set(drivername=drivers.get(made.drivername, made.drivername))
    dialect_of(made.get_backend_name(), is_mariadb=False)
    if made.drivername not in drivers.values():
        raise InvalidInputError(
            f"url names a driver that is not served: write {drivers[made.get_backend_name()]}://, also for async code"
        )
    hidden = {name: value for name, value in made.query.items() if name in {"password", "passwd"}}
    if hidden:  # a password among the options would be shown with them
        made = made.difference_update_query(hidden).set(password=str(next(iter(hidden.values()))))
    return made


def _text(sql: str, params: Sequence[Any] | Params) -> tuple[TextClause, dict[str, Any]]:
    """Returns an owner's statement with the values for its ``:name`` or ``?``."""
    if isinstance(params, Mapping):
        return sqlalchemy.text(sql), dict(params)
    pieces = _QUESTION_MARKS.split(sql)  # quoted texts and question marks stand at the odd places
    names = iter(range(len(pieces)))
    numbered = [f":p{next(names)}" if piece == "?" else piece.replace(":", "\\:") for piece in pieces]
    return sqlalchemy.text("".join(numbered)), {f"p{number}": value for number, value in enumerate(params)}


def _until(deadline: float, rows: Iterable[T], timeout: float) -> Iterator[T]:
    """Yields rows until a time: a server limits only each of the statements that fetch some of them."""
    for row in rows:
        if time.monotonic() > deadline:
            raise _took_too_long(timeout)
        yield row


def _took_too_long(timeout: float) -> QueryError:
    return QueryError(f"the query took more than {timeout:g} s: narrow it, or give a longer timeout")


_OF_PARENTS: list[object] = []
_LIVE: weakref.WeakSet[ServerDatabase] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for database in list(_LIVE):
        # The parent's connections are its own: they are kept, since to close or collect them would end its sessions.
        _OF_PARENTS.append(database.engine.pool)
        database.engine.dispose(close=False)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)
