"""Sessions in one SQLite file: opening it, its connections, and waiting for other writers.

A file has one writer connection behind a lock, since SQLite has one writer at a time anyway, and a few read-only
connections that never wait for it (WAL). A transaction begins IMMEDIATE, so that it never has to be given up half
way; a lock that another process holds is waited for in short steps up to a deadline, which is fair to all writers
(SQLite's own busy handler starved some of them) and can be interrupted. Connections do not cross a fork.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from session_sqlite import codec, schema
from session_sqlite.database import Params, Row, Transaction
from session_sqlite.errors import (
    InvalidInputError,
    QueryError,
    ReadOnlyStoreError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
)
from session_sqlite.pages import Rows
from session_sqlite.sqlite.driver import (
    BUSY,
    MAKE_WRITABLE,
    is_damaged_text,
    primary_code,
    read_damaged_text,
    store_error,
)
from session_sqlite.sqlite.maintenance import purge
from session_sqlite.sqlite.opening import (
    NO_ROOM_FOR_LOCKS,
    ChangedMeanwhile,
    ConnectionWithoutLocks,
    StoreFile,
    has_log,
    unless_changed,
)
from session_sqlite.sqlite.owner_queries import PROGRESS_STEPS, allow_reading, distinct, query_error
from session_sqlite.sqlite.paths import MEMORY, path_text
from session_sqlite.sqlite.search_index import SQLiteSearchIndex

if TYPE_CHECKING:
    import sqlite_utils

T = TypeVar("T")

MINIMUM_SQLITE: Final = (3, 35, 0)
STEP_SECONDS: Final = 0.02  # how long SQLite itself waits for a lock before Python looks at the deadline
READERS: Final = 4
FORK_PATIENCE: Final = 1.0  # seconds
_SYNCHRONOUS: Final = {"full": "FULL", "fast": "NORMAL"}


def check_seconds(value: object, name: str) -> None:
    """Raises `InvalidInputError` for anything but a number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise InvalidInputError(f"{name} must be a number of seconds, 0 or more")


class SQLiteTransaction:
    """A write transaction on the writer connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, params: Params) -> list[Row]:
        """Runs a query and returns all of its rows."""
        try:
            return self._connection.execute(sql, params).fetchall()
        except sqlite3.OperationalError as error:
            if not is_damaged_text(error):
                raise
        return read_damaged_text(self._connection, sql, params, tuple)

    def run(self, sql: str, params: Params) -> int:
        """Runs a statement and returns the number of rows that it changed."""
        return self._connection.execute(sql, params).rowcount

    def run_many(self, sql: str, params: Sequence[Params]) -> None:
        """Runs a statement once for each set of parameters."""
        self._connection.executemany(sql, params)


class SQLiteDatabase:
    """A `Database` in one SQLite file, or in memory."""

    def __init__(
        self, path: object, *, durability: object, read_only: object, busy_timeout: float, search: object
    ) -> None:
        if not isinstance(durability, str) or durability not in _SYNCHRONOUS:
            raise InvalidInputError("durability must be 'full' or 'fast'")
        check_seconds(busy_timeout, "busy_timeout")
        if search is not None and not isinstance(search, bool):
            raise InvalidInputError("search must be True, False or None")
        self._new_files_have_index = search is not False
        self._index: SQLiteSearchIndex | None = None
        if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
            raise StoreError(f"SQLite {'.'.join(map(str, MINIMUM_SQLITE))} or newer is needed, this is "
                             f"{sqlite3.sqlite_version}")  # fmt: skip
        self._durability = durability
        self._busy_timeout = busy_timeout
        self.read_only = codec.flag(read_only, "read_only")
        self._file: StoreFile | None = None
        name = path_text(path)
        if name == MEMORY:
            if read_only:
                raise InvalidInputError("an in-memory store cannot be read-only: it would always be empty")
            # A shared cache, so that `sqlite_utils` can have a connection of its own; ours is one connection.
            self._uri = f"file:session-sqlite-{uuid.uuid4().hex}?mode=memory&cache=shared"
        else:
            self._file = StoreFile(Path(os.path.abspath(name)))
            self._uri = self._file.uri
        self._closed = False
        self._lost_by_fork = self._forking = False
        self._stopped_readers = 0
        self._gate: threading.Lock  # closed by a fork that is about to happen
        self._lock: threading.Lock
        self._free_readers: threading.BoundedSemaphore
        self._idle_readers: list[sqlite3.Connection]
        self._write_connection: sqlite3.Connection | None
        self._for_sqlite_utils: sqlite3.Connection | None
        self._start_without_connections()
        try:
            self._open()
            self._index = self._find_index()
        except BaseException:
            for connection in self._connections():
                connection.close()
            raise
        _LIVE.add(self)

    def __str__(self) -> str:
        return repr(MEMORY if self.path is None else str(self.path))

    # ------------------------------------------------------------ the Database protocol

    def read(self, sql: str, params: Params, make: Callable[[Row], T]) -> list[T]:
        """See `Database.read`."""
        with self._translated():  # busy: another process recovers or resets the WAL
            return self.patiently(lambda: self._read(sql, params, make))

    def _read(self, sql: str, params: Params, make: Callable[[Row], T]) -> list[T]:
        with self._reader() as connection:
            try:
                return [make(row) for row in connection.execute(sql, params)]
            except sqlite3.OperationalError as error:
                if not is_damaged_text(error):
                    raise
            return read_damaged_text(connection, sql, params, make)

    @property
    def path(self) -> Path | None:
        """The file's absolute path; None for a store in memory."""
        return None if self._file is None else self._file.path

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._closed

    @property
    def index(self) -> SQLiteSearchIndex | None:
        """See `Database.index`."""
        return self._index

    def write(self, work: Callable[[Transaction], T], *, patience: float | None = None) -> T:
        """See `Database.write`."""
        if self.read_only:
            self._check_open()
            raise ReadOnlyStoreError(f"the store {self} is open read-only: open it without read_only to write")
        with self._writer(patience) as connection, self._translated():
            self._begin(connection, patience)
            try:
                result = work(SQLiteTransaction(connection))
                connection.execute("COMMIT")
            except BaseException:
                # After a full disk or an I/O error SQLite has rolled back already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

    def close(self) -> None:
        """See `Database.close`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            _LIVE.discard(self)
            for _ in range(READERS):
                self._free_readers.acquire()
            # The writer last: it is the one that can move what is left in the WAL into the file.
            connections = self._connections()
            self._idle_readers, self._for_sqlite_utils, self._write_connection = [], None, None
            for _ in range(READERS):
                self._free_readers.release()
        for connection in connections:
            connection.close()

    def purge(self) -> list[str]:
        """See `Database.purge`."""
        return purge(self)

    # ------------------------------------------------------------ for the file's owner

    @contextmanager
    def connection_to_read(self) -> Iterator[sqlite3.Connection]:
        """A connection that only reads, of its own, for long work; closed at the end."""
        with self._gate:
            pass
        with self._free_readers, self._translated():  # counted as a reader: closing and forking wait for it
            self._check_open()
            connection = self.patiently(self._connect_reader)
            try:
                if self.path is None:
                    # The cache of an in-memory store is shared: a reader's table locks would stop the writer.
                    connection.execute("PRAGMA read_uncommitted = ON")
                with unless_changed(connection):
                    yield connection
            finally:
                connection.close()

    @contextmanager
    def connection_to_write(self) -> Iterator[sqlite3.Connection]:
        """The writer connection outside of any transaction, for statements that cannot be in one."""
        if self.read_only:
            self._check_open()
            raise ReadOnlyStoreError(f"the store {self} is open read-only: open it without read_only to write")
        with self._writer() as connection, self._translated():
            yield connection

    def sqlite_utils(self) -> sqlite_utils.Database:
        """A read-only sqlite-utils Database on a connection of its own, made at the first call."""
        from sqlite_utils import Database

        with self._lock:
            self._check_open()
            if self._for_sqlite_utils is None:
                with self._translated():
                    connection = self.patiently(self._connect_reader)
                    # The cache of an in-memory store is shared: a reader's table locks would stop the writer.
                    connection.execute("PRAGMA read_uncommitted = ON")
                    connection.execute("PRAGMA query_only = ON")
                self._for_sqlite_utils = connection
            return Database(self._for_sqlite_utils, execute_plugins=False)

    def query(self, sql: str, params: Sequence[Any] | Params, timeout: float) -> Rows:
        """See `SQLiteSessionService.query`."""
        deadline = time.monotonic() + timeout
        with self.connection_to_read() as connection:
            connection.execute("PRAGMA query_only = ON")
            # A virtual table cannot introduce itself to a connection under an authorizer.
            for touch in schema.TOUCH_TABLE_FUNCTIONS:
                connection.execute(touch).fetchall()
            if self._index is not None:
                connection.execute(schema.TOUCH_SEARCH_INDEX).fetchall()
            connection.set_authorizer(allow_reading)
            connection.set_progress_handler(lambda: time.monotonic() > deadline, PROGRESS_STEPS)
            try:
                cursor = connection.execute(sql, params)
                if cursor.description is None:
                    raise QueryError("the query returns no rows: query() takes one SELECT")
                names = distinct([column[0] for column in cursor.description])
                try:
                    return Rows((dict(zip(names, row, strict=True)) for row in cursor), names)
                except sqlite3.OperationalError as error:
                    if "decode to UTF-8" not in str(error):  # which shows the text
                        raise
                return Rows(
                    read_damaged_text(connection, sql, params, lambda row: dict(zip(names, row, strict=True))), names
                )
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise query_error(error, timeout) from error
            except (OverflowError, ValueError) as error:
                raise QueryError("a parameter is not a value that SQLite has") from error

    # ------------------------------------------------------------ connections

    def _start_without_connections(self) -> None:
        self._gate = threading.Lock()
        self._lock = threading.Lock()
        self._free_readers = threading.BoundedSemaphore(READERS)
        self._idle_readers = []
        self._write_connection = None
        self._for_sqlite_utils = None

    def _connections(self) -> list[sqlite3.Connection]:
        every = (*self._idle_readers, self._for_sqlite_utils, self._write_connection)
        return [connection for connection in every if connection is not None]

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(f"the store {self} was closed: open it again")
        if self._lost_by_fork:
            raise StoreClosedError("an in-memory store does not cross a fork: open one in each process")

    @contextmanager
    def _writer(self, patience: float | None = None) -> Iterator[sqlite3.Connection]:
        with self._gate:
            pass
        if not self._lock.acquire(timeout=self._busy_timeout + 1 if patience is None else patience):
            raise self._busy()
        try:
            self._check_open()
            if self._write_connection is None:  # after a fork
                with self._translated():
                    self._write_connection = self._connect_writer()
            yield self._write_connection
        finally:
            self._lock.release()

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        if self.path is None:
            with self._writer() as connection:
                yield connection
            return
        with self._gate:
            pass
        with self._free_readers:
            self._check_open()
            try:
                connection = self._idle_readers.pop()
            except IndexError:
                connection = self._connect_reader()
            try:
                with unless_changed(connection):
                    yield connection
            finally:
                if isinstance(connection, ConnectionWithoutLocks):  # it would go on with pages that are old by then
                    connection.close()
                else:
                    self._idle_readers.append(connection)

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            self._uri if self.path is None else f"{self._uri}?mode={mode}", uri=True, timeout=STEP_SECONDS,
            isolation_level=None, check_same_thread=False, cached_statements=256,
        )  # fmt: skip

    def _connect_reader(self, mode: str = "ro") -> sqlite3.Connection:
        """A connection to read with: one without locks where SQLite cannot make the files that they are kept in."""
        file = self._file
        if file is None:
            return self._connect(mode)
        mark = file.mark()
        connection = self._connect(mode)
        try:
            connection.execute("PRAGMA user_version").fetchone()  # opens the file and its WAL
        except BaseException as error:
            connection.close()
            if not isinstance(error, sqlite3.Error) or primary_code(error) not in NO_ROOM_FOR_LOCKS:
                raise
            if file.mark() != mark:
                raise ChangedMeanwhile from error
            if has_log(mark):
                raise
            return file.connect_without_locks(mark)
        return connection

    def _connect_writer(self) -> sqlite3.Connection:
        connection = self._connect("rw")
        try:
            # Deleted text is overwritten with zeros in the file.
            connection.execute("PRAGMA secure_delete = ON").fetchall()
            # This reads the schema, which another process may just be making.
            self.patiently(lambda: connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[self._durability]}"))
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin(self, connection: sqlite3.Connection, patience: float | None = None) -> None:
        self.patiently(lambda: connection.execute("BEGIN IMMEDIATE"), patience)

    def patiently(self, attempt: Callable[[], T], patience: float | None = None) -> T:
        """Tries until it works or the deadline has passed, in short steps that Ctrl-C can interrupt."""
        deadline = time.monotonic() + (self._busy_timeout if patience is None else patience)
        while True:
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if primary_code(error) not in BUSY:
                    raise
                if time.monotonic() >= deadline:
                    raise self._busy() from error
            time.sleep(random.uniform(0, 0.002))  # noqa: S311  # spreads writers out; nothing secret

    def _busy(self) -> StoreBusyError:
        return StoreBusyError(
            f"another writer held the store {self} for more than {self._busy_timeout:g} s: nothing was written, try "
            "again"
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turns the driver's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise store_error(error, str(self)) from error

    # ------------------------------------------------------------ opening

    def _find_index(self) -> SQLiteSearchIndex | None:
        if not self.read(schema.HAS_SEARCH_INDEX, {}, tuple):
            return None
        if not self.read(schema.HAS_FTS5, {}, tuple):
            raise StoreError(f"the store {self} has a search index, but this SQLite has no FTS5: use another")
        return SQLiteSearchIndex(self)

    def _open(self) -> None:
        file = self._file
        if file is None:
            with self._translated():
                self._write_connection = self._connect_writer()
                self._migrate(self._write_connection)
            return
        if self.read_only and not file.exists():
            raise StoreError(f"there is no store at {self}: without read_only it would be made")
        if not self.read_only:
            file.make()
            if not file.may_be_written():  # SQLite opens a file that it may not write read-only, silently
                raise ReadOnlyStoreError(f"the store {self} may not be written: {MAKE_WRITABLE}")
        with self._translated():
            self.patiently(lambda: self._look(file))
            if self.read_only:
                return
            connection = self._connect_writer()
            try:
                self._prepare(file, connection)
            except BaseException:
                connection.close()
                raise
            self._write_connection = connection

    def _look(self, file: StoreFile) -> None:
        """Raises for a file that is not a store, or one that cannot be read, and leaves it as it was.

        A connection that may write moves what is in the WAL into the file as it closes, another program's too. One
        that only reads leaves an empty WAL behind where there was none.
        """
        is_whole = not has_log(file.mark())
        if is_whole and not self.read_only:
            return  # the writer looks
        try:
            connection = self._connect_reader("rw" if is_whole else "ro")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
            file.refuse_another_programs()
            if self.read_only:
                raise file.interrupted() from error
            return
        with closing(connection), unless_changed(connection):
            version = file.version(connection)
            if self.read_only:
                if version < schema.SCHEMA_VERSION:
                    raise file.older() if version else file.empty()
                self._probe(connection)

    def _prepare(self, file: StoreFile, connection: sqlite3.Connection) -> None:
        version = self.patiently(lambda: file.version(connection))  # the file may be another one by now
        # Switching to WAL ignores SQLite's own busy timeout.
        journal = self.patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        if journal.lower() != "wal":
            raise StoreError(f"the store {self} cannot use WAL: is it on a local disk?")
        if version < schema.SCHEMA_VERSION:
            self._migrate(connection)
        self._probe(connection)

    def _probe(self, connection: sqlite3.Connection) -> None:
        """Finds a damaged file now rather than at the first message."""
        for probe in schema.PROBES:
            self.patiently(lambda probe=probe: connection.execute(probe).fetchall())  # type: ignore[misc]  # bound now

    def _migrate(self, connection: sqlite3.Connection) -> None:
        # With foreign keys on, a step that rebuilds a table would cascade. They can only change outside a transaction.
        connection.execute("PRAGMA foreign_keys = OFF")
        self._begin(connection)
        try:
            # sqlite-utils reads before it writes: in our IMMEDIATE transaction nobody can have come between. Before
            # it, another process of ours may have been faster, or another program.
            if self._file is None or self._file.version(connection) < schema.SCHEMA_VERSION:
                if self._new_files_have_index and not connection.execute(schema.HAS_FTS5).fetchone():
                    raise StoreError(
                        "this SQLite has no FTS5: use another build of it, or make the store with search=False"
                    )
                schema.migrate(connection, search=self._new_files_have_index)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        connection.execute("PRAGMA foreign_keys = ON")

    # ------------------------------------------------------------ forks

    def _before_fork(self) -> None:
        # A child must not inherit a lock, ours or one inside SQLite (its allocator has one), that some thread holds:
        # no write and no read may be under way. A second at most: a thread that waits for another process holds our
        # lock, but nothing inside SQLite.
        deadline = time.monotonic() + FORK_PATIENCE
        self._gate.acquire()  # nobody new
        self._forking = self._lock.acquire(timeout=FORK_PATIENCE)
        self._stopped_readers = sum(
            self._free_readers.acquire(timeout=max(0.0, deadline - time.monotonic())) for _ in range(READERS)
        )

    def _after_fork_in_parent(self) -> None:
        for _ in range(self._stopped_readers):
            self._free_readers.release()
        if self._forking:
            self._lock.release()
        self._gate.release()

    def _after_fork_in_child(self) -> None:
        # Closing an inherited connection would be this process's own close of the file: never, they are kept.
        _INHERITED.extend(self._connections())
        self._lost_by_fork = self.path is None
        self._start_without_connections()


_LIVE: weakref.WeakSet[SQLiteDatabase] = weakref.WeakSet()
_INHERITED: list[sqlite3.Connection] = []


_forks = threading.Lock()  # one at a time
_stopped: list[SQLiteDatabase] = []


def _before_fork() -> None:
    _forks.acquire()
    _stopped.extend(_LIVE)
    for database in _stopped:
        database._before_fork()


def _after_fork_in_parent() -> None:
    for database in _stopped:
        database._after_fork_in_parent()
    _stopped.clear()
    _forks.release()


def _after_fork_in_child() -> None:
    global _forks
    _forks = threading.Lock()
    _stopped.clear()
    for database in list(_LIVE):
        database._after_fork_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
