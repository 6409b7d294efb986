"""Sessions in one SQLite file: opening it, its connections, and waiting for other writers.

A file has one writer connection behind a lock, since SQLite has one writer at a time anyway, and a few read-only
connections that never wait for it (WAL). A transaction begins IMMEDIATE, so that it never has to be given up half
way; a lock that another process holds is waited for in short steps up to a deadline, which is fair to all writers
(SQLite's own busy handler starved some of them) and can be interrupted. Connections do not cross a fork.
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import stat
import threading
import time
import urllib.parse
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import platformdirs

from session_sqlite import codec, schema
from session_sqlite.database import Params, Row, Transaction
from session_sqlite.errors import (
    CorruptStoreError,
    InvalidInputError,
    NewerSchemaError,
    NotAStoreError,
    QueryError,
    ReadOnlyStoreError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    StoreFullError,
)
from session_sqlite.models import AnyOf, Rows
from session_sqlite.scoped import checked_scope
from session_sqlite.service import SessionService
from session_sqlite.sqlite_maintenance import CheckReport, backup, check, purge
from session_sqlite.sqlite_search import SQLiteSearchIndex

if TYPE_CHECKING:
    import sqlite_utils

T = TypeVar("T")

MEMORY: Final = ":memory:"
PATH_VARIABLE: Final = "SESSION_SQLITE_PATH"
MINIMUM_SQLITE: Final = (3, 35, 0)
MINIMUM_FILE_BYTES: Final = 512  # the smallest page: a shorter file that is not empty is no database
LONGEST_FOLDER: Final = 150  # file systems take names of 255 bytes
STEP_SECONDS: Final = 0.02  # how long SQLite itself waits for a lock before Python looks at the deadline
READERS: Final = 4
FORK_PATIENCE: Final = 1.0  # seconds
DEFAULT_BUSY_TIMEOUT: Final = 30.0
DEFAULT_QUERY_TIMEOUT: Final = 30.0

_APPLICATION_ID: Final = "PRAGMA application_id"
_USER_VERSION: Final = "PRAGMA user_version"
_LOG_HEADER: Final = 32  # bytes before the first frame of a WAL
_FRAME_HEADER: Final = 24  # bytes before the page in a frame

Durability = Literal["full", "fast"]
_SYNCHRONOUS: Final = {"full": "FULL", "fast": "NORMAL"}


def database_file(name: str = "sessions.db", *, app_name: str = "default") -> Path:
    """Where an app's sessions are kept on this platform: one folder an app, in the user's data directory.

    Args:
        name: The name of the file.
        app_name: The app; its folder has this name, with what a file name cannot hold percent-encoded,
            and cut if it is too long for one.

    Returns:
        An absolute path; nothing is created. The environment variable ``SESSION_SQLITE_PATH`` overrides all of it.
    """
    if override := os.environ.get(PATH_VARIABLE):
        return Path(os.path.abspath(override))
    codec.text(name, "name")
    if not name or name in {".", ".."} or any(mark in name for mark in "/\\\0"):
        raise InvalidInputError("name must be a plain file name, without folders")
    folder = urllib.parse.quote(codec.identifier(app_name, "app_name"), safe=" ")
    if folder.strip(".") == "":
        folder = folder.replace(".", "%2E")
    if len(folder) > LONGEST_FOLDER:
        folder = f"{folder[:LONGEST_FOLDER]}-{hashlib.sha256(app_name.encode()).hexdigest()[:16]}"
    return platformdirs.user_data_path("session-sqlite", appauthor=False) / folder / name


def path_text(path: object) -> str:
    """The path as given, as text. Raises `InvalidInputError` for what names no file."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise InvalidInputError(f"path must be the path of a file, or ':memory:', not {type(path).__name__}")
    name = os.fsdecode(path)
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise InvalidInputError("path must be valid text") from None
    if not name or "\0" in name:
        raise InvalidInputError("path must be the path of a file, or ':memory:'")
    return name


def _check_seconds(value: object, name: str) -> None:
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
            if not _is_damaged_text(error):
                raise
        return _read_damaged_text(self._connection, sql, params, tuple)

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
        _check_seconds(busy_timeout, "busy_timeout")
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
        self.path: Path | None = None
        name = path_text(path)
        if name == MEMORY:
            if read_only:
                raise InvalidInputError("an in-memory store cannot be read-only: it would always be empty")
            # A shared cache, so that `sqlite_utils` can have a connection of its own; ours is one connection.
            self._uri = f"file:session-sqlite-{uuid.uuid4().hex}?mode=memory&cache=shared"
        else:
            self.path = Path(os.path.abspath(name))
            self._uri = self.path.as_uri()
        self._immutable = False
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
        self._open()
        if self.read(schema.HAS_SEARCH_INDEX, {}, tuple):
            self._index = SQLiteSearchIndex(self)
        _LIVE.add(self)

    def __str__(self) -> str:
        return repr(MEMORY if self.path is None else str(self.path))

    # ------------------------------------------------------------ the Database protocol

    def read(self, sql: str, params: Params, make: Callable[[Row], T]) -> list[T]:
        """See `Database.read`."""
        with self._reader() as connection, self._translated():
            deadline = time.monotonic() + self._busy_timeout
            while True:
                try:
                    return [make(row) for row in connection.execute(sql, params)]
                except sqlite3.OperationalError as error:
                    if _primary_code(error) in _BUSY and time.monotonic() < deadline:
                        continue  # another process recovers or resets the WAL
                    if not _is_damaged_text(error):
                        raise
                return _read_damaged_text(connection, sql, params, make)

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
            connection = self._connect("ro")
            try:
                if self.path is None:
                    # The cache of an in-memory store is shared: a reader's table locks would stop the writer.
                    connection.execute("PRAGMA read_uncommitted = ON")
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
                    connection = self._connect("ro")
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
            connection.set_authorizer(_allow_reading)
            connection.set_progress_handler(lambda: time.monotonic() > deadline, PROGRESS_STEPS)
            try:
                cursor = connection.execute(sql, params)
                if cursor.description is None:
                    raise QueryError("the query returns no rows: query() takes one SELECT")
                names = _distinct([column[0] for column in cursor.description])
                try:
                    return Rows((dict(zip(names, row, strict=True)) for row in cursor), names)
                except sqlite3.OperationalError as error:
                    if "decode to UTF-8" not in str(error):  # which shows the text
                        raise
                return Rows(
                    _read_damaged_text(connection, sql, params, lambda row: dict(zip(names, row, strict=True))), names
                )
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise _query_error(error, timeout) from error
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
                with self._translated():
                    connection = self._connect("ro")
            try:
                yield connection
            finally:
                self._idle_readers.append(connection)

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = self._uri
        if self.path is not None:
            uri += f"?mode={mode}" + ("&immutable=1" if self._immutable else "")
        return sqlite3.connect(
            uri, uri=True, timeout=STEP_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )

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
                if _primary_code(error) not in _BUSY:
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
            raise _store_error(error, str(self)) from error

    # ------------------------------------------------------------ opening

    def _open(self) -> None:
        if self.path is None:
            with self._translated():
                self._write_connection = self._connect_writer()
                self._migrate(self._write_connection)
            return
        exists = self._look_before_opening()
        if self.read_only:
            self._open_read_only()
            return
        if not exists:
            self._create_file()
        if not os.access(self.path, os.W_OK):  # SQLite opens a file that it may not write read-only, silently
            raise ReadOnlyStoreError(f"the store {self} may not be written: {_MAKE_WRITABLE}")
        with self._translated():
            connection = self._connect_writer()
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._write_connection = connection

    def _look_before_opening(self) -> bool:
        """Says whether the file is there; raises for one that is not a store, without changing a byte of it.

        Opening another program's database for writing could recover or checkpoint it. ``immutable`` reads the main
        file alone, without locks, and through SQLite: reading it with `open` would drop this process's locks on it.
        """
        path = self.path
        assert path is not None  # noqa: S101  # in-memory stores are not looked at
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(f"the path {self} cannot be used: {error.strerror}") from error
        if stat.S_ISDIR(found.st_mode):
            raise NotAStoreError(f"{self} is a directory: give the path of a file in it")
        if not stat.S_ISREG(found.st_mode):
            raise NotAStoreError(f"{self} is not a regular file")
        if found.st_size == 0:
            return True
        if found.st_size < MINIMUM_FILE_BYTES:
            raise self._not_a_store()
        id, version, tables, id_afterwards = self._look()
        if schema.APPLICATION_ID in (id, id_afterwards):
            if version > schema.SCHEMA_VERSION:
                raise self._newer(version)
            if self.read_only and version < schema.SCHEMA_VERSION and not self._log_size():
                raise self._older()
        # Our tables and our id are written in one transaction: other tables, or another id, are not ours.
        elif id or tables or version or self._id_in_log() not in (None, schema.APPLICATION_ID):
            raise self._not_a_store()
        return True

    def _look(self) -> tuple[int, int, int, int]:
        """What the main file says it is: its application id, its version, how many tables, and its id once more.

        Another process may be moving its first tables into the file, so the id counts as it is after them.
        """
        look = (_APPLICATION_ID, _USER_VERSION, schema.COUNT_TABLES, _APPLICATION_ID)
        connection = None
        try:
            connection = sqlite3.connect(f"{self._uri}?mode=ro&immutable=1", uri=True, isolation_level=None)
            id = connection.execute(_APPLICATION_ID).fetchone()[0]
            if id == schema.APPLICATION_ID:  # its tables may be those of a newer release, or damaged
                look = (_APPLICATION_ID, _USER_VERSION, _APPLICATION_ID, _APPLICATION_ID)
            id, version, tables, id_afterwards = (connection.execute(sql).fetchone()[0] for sql in look)
            return id, version, tables, id_afterwards
        except sqlite3.Error as error:
            raise _store_error(error, str(self)) from error
        finally:
            if connection is not None:
                connection.close()

    def _log(self) -> Path:
        assert self.path is not None  # noqa: S101  # in-memory stores have no log
        return self.path.with_name(f"{self.path.name}-wal")

    def _log_size(self) -> int:
        try:
            return self._log().stat().st_size
        except OSError:  # the last process that had the store open has just removed it
            return 0

    def _id_in_log(self) -> int | None:
        """The application id of a file whose tables are still in its WAL; None if the WAL has no first page.

        Through SQLite this would write an index of the WAL beside what may be another program's file. Reading the WAL
        as a file drops no locks: they are on the other two.
        """
        id = None
        try:
            with self._log().open("rb") as log:
                page_size = int.from_bytes(log.read(_LOG_HEADER)[8:12], "big")
                while len(frame := log.read(_FRAME_HEADER + page_size)) == _FRAME_HEADER + page_size > _FRAME_HEADER:
                    if int.from_bytes(frame[:4], "big") == 1:
                        id = int.from_bytes(frame[_FRAME_HEADER + 68 : _FRAME_HEADER + 72], "big")
        except OSError:
            return None
        return id

    def _newer(self, version: int) -> NewerSchemaError:
        return NewerSchemaError(
            f"the store {self} was written by a newer release (schema {version}, this one knows "
            f"{schema.SCHEMA_VERSION}): upgrade session-sqlite"
        )

    def _older(self) -> StoreError:
        return StoreError(f"the store {self} has an older schema: open it once without read_only to update it")

    def _not_a_store(self) -> NotAStoreError:
        return NotAStoreError(f"{self} is not a session store: it belongs to something else and was left as it is")

    def _create_file(self) -> None:
        assert self.path is not None  # noqa: S101  # in-memory stores have no file
        try:
            # One by one: `parents=True` gives the mode to the last folder only.
            for folder in reversed([folder for folder in self.path.parents if not folder.exists()]):
                folder.mkdir(mode=0o700, exist_ok=True)
            # Private from its first moment; SQLite gives the -wal and -shm files the same mode.
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            if not self.path.exists():  # a parent is a file
                raise StoreError(f"the folder of {self} cannot be made: a part of it is a file") from None
        except OSError as error:
            raise StoreError(f"the store {self} cannot be made: {error.strerror}") from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = self._version(connection)
        if version > schema.SCHEMA_VERSION:
            raise self._newer(version)
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
            # sqlite-utils reads before it writes: in our IMMEDIATE transaction nobody can have come between.
            if self._version(connection) < schema.SCHEMA_VERSION:
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

    def _version(self, connection: sqlite3.Connection) -> int:
        version: int = self.patiently(lambda: connection.execute(_USER_VERSION).fetchone()[0])
        return version

    def _open_read_only(self) -> None:
        assert self.path is not None  # noqa: S101  # in-memory stores are not read-only
        if not self.path.exists():
            raise StoreError(f"there is no store at {self}: without read_only it would be made")
        with self._translated():
            try:
                connection = self._connect("ro")
                version = self._version(connection)
            except sqlite3.OperationalError:
                # A read-only folder has no room for the WAL's index; without a WAL the file can be read all the same.
                if self._log_size():
                    raise
                self._immutable = True
                connection = self._connect("ro")
                version = self._version(connection)
            self._idle_readers.append(connection)
        if version > schema.SCHEMA_VERSION:
            raise self._newer(version)
        if version < schema.SCHEMA_VERSION:
            raise self._older()
        with self._translated():
            self._probe(connection)

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


def _lenient_text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data  # the codec marks what it belongs to as unreadable


def _is_damaged_text(error: sqlite3.OperationalError) -> bool:
    return "decode to UTF-8" in str(error)


def _read_damaged_text(
    connection: sqlite3.Connection, sql: str, params: Sequence[Any] | Params, make: Callable[[Row], T]
) -> list[T]:
    """Reads again where a column is not UTF-8; slower, so only then."""
    connection.text_factory = _lenient_text
    try:
        return [make(row) for row in connection.execute(sql, params)]
    finally:
        connection.text_factory = str


# ---------------------------------------------------------------- queries of the file's owner

PROGRESS_STEPS: Final = 10_000  # SQLite's virtual instructions between two looks at the clock: well under 1 ms
_READING: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_INNOCENT_PRAGMAS: Final = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
     "database_list", "collation_list", "function_list", "module_list", "pragma_list", "compile_options",
     "data_version"}
)  # fmt: skip
# These tell without a value and change with one.
_PRAGMAS_THAT_TELL: Final = frozenset(
    {"user_version", "application_id", "schema_version", "page_count", "page_size", "freelist_count", "encoding",
     "journal_mode", "synchronous", "foreign_keys", "query_only"}
)  # fmt: skip
_DANGEROUS_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer"})


def _allow_reading(action: int, first: str | None, second: str | None, *_: object) -> int:
    """SQLite's authorizer: what is not known to be reading is not allowed."""
    if action in _READING:
        dangerous = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _DANGEROUS_FUNCTIONS
        return sqlite3.SQLITE_DENY if dangerous else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA:
        name = (first or "").lower()
        innocent = name in _INNOCENT_PRAGMAS or (name in _PRAGMAS_THAT_TELL and second is None)
        return sqlite3.SQLITE_OK if innocent else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_DENY


def _distinct(names: Sequence[str]) -> list[str]:
    """The names of columns, numbered where they repeat: id, id_2."""
    taken = set(names)
    distinct: list[str] = []
    for name in names:
        number, free = 1, name
        while free in distinct or (number > 1 and free in taken):
            number += 1
            free = f"{name}_{number}"
        distinct.append(free)
    return distinct


def _query_error(error: Exception, timeout: float) -> QueryError:
    code = _primary_code(error)
    if code == sqlite3.SQLITE_INTERRUPT:
        return QueryError(f"the query took more than {timeout:g} s: narrow it, or give a longer timeout")
    if code in {sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY}:
        return QueryError("query() only reads: use the verbs of the service to write")
    # What SQLite says here is about the caller's own SQL, and of use to its author.
    return QueryError(f"the query failed: {error}")


# ---------------------------------------------------------------- errors

_MAKE_WRITABLE: Final = "change its permissions, or use read_only=True"
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def _primary_code(error: Exception) -> int:
    # The driver's own complaints (ProgrammingError, InterfaceError) have no code.
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


def _store_error(error: sqlite3.Error, store: str) -> StoreError:
    """Our error for the driver's: what happened and what to do, and none of the statement's values."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    code = _primary_code(error)
    if code in _BUSY:
        return StoreBusyError(f"the store {store} is locked by another writer: try again ({name})")
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError(f"there is no room for the store {store}: nothing was written, free some disk ({name})")
    if code == sqlite3.SQLITE_CORRUPT:
        return CorruptStoreError(f"the store {store} is damaged: restore it from a backup ({name})")
    if code == sqlite3.SQLITE_NOTADB:
        return NotAStoreError(f"{store} is not a SQLite database and was left as it is ({name})")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return ReadOnlyStoreError(f"the store {store} may not be written: {_MAKE_WRITABLE} ({name})")
    if code == sqlite3.SQLITE_ERROR and isinstance(error, sqlite3.OperationalError):
        return CorruptStoreError(f"the store {store} lacks a table or column of its own: restore it from a backup")
    return StoreError(f"the store {store} failed: {name}")


# ---------------------------------------------------------------- the service


class SQLiteSessionService(SessionService):
    """Sessions in one local SQLite file.

    Any number of threads and processes may use one file. A service may be shared by threads, and is usable in a
    child process after a fork.

    Args:
        path: The file; made, with its folders, if it is not there (readable by its owner only). A relative path is
            made absolute at once. ``":memory:"`` keeps everything in this process. None: `database_file` of the app.
        app_name: The app of calls that name none; `ANY` to read across apps.
        user_id: The user of calls that name none; `ANY` to read across users.
        durability: ``"full"``: an append that returned survives a power cut. ``"fast"``: it survives the end of the
            process, but a power cut or a crash of the system can take the latest appends (never damage the file);
            in return an append does not wait for the disk.
        search: Whether a new file gets a search index; without one, searches read every event. It stays as the file
            was made. None: a new file has one.
        read_only: Open an existing store for reading only; a write is a `ReadOnlyStoreError`.
        max_event_bytes: The most text that one event may have, in bytes of UTF-8.
        busy_timeout: How many seconds a write waits for other writers before `StoreBusyError`.

    Raises:
        NotAStoreError: The path is a directory, another program's database or another kind of file.
        NewerSchemaError: The file was written by a newer release.
        CorruptStoreError: The file is damaged.
        ReadOnlyStoreError: The file may not be written, and ``read_only`` is false.
        StoreError: The file cannot be made or opened.

    Example:
        >>> with SQLiteSessionService(":memory:") as service:
        ...     session = service.create_session(title="Tea")
        ...     _ = session.add_event("user", "Which tea keeps me awake?")
        ...     [event.content for event in session.events()]
        ['Which tea keeps me awake?']
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        app_name: str | AnyOf = "default",
        user_id: str | AnyOf = "default",
        durability: Durability = "full",
        search: bool | None = None,
        read_only: bool = False,
        max_event_bytes: int = codec.DEFAULT_MAX_EVENT_BYTES,
        busy_timeout: float = DEFAULT_BUSY_TIMEOUT,
    ) -> None:
        checked_scope(app_name, user_id)  # before a file is made
        codec.whole_number(max_event_bytes, "max_event_bytes")
        if path is None:
            path = database_file(app_name="default" if isinstance(app_name, AnyOf) else app_name)
        database = SQLiteDatabase(
            path, durability=durability, read_only=read_only, busy_timeout=busy_timeout, search=search
        )
        super().__init__(database, app_name=app_name, user_id=user_id, max_event_bytes=max_event_bytes)
        self._sqlite = database

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._sqlite.closed

    @property
    def path(self) -> Path | None:
        """The file's absolute path; None for an in-memory store."""
        return self._sqlite.path

    @property
    def db(self) -> sqlite_utils.Database:
        """The file as a read-only sqlite-utils Database, for its owner: it knows no tenants.

        Example:
            >>> with SQLiteSessionService(":memory:") as service:
            ...     service.db["events"].count
            0
        """
        return self._sqlite.sqlite_utils()

    def query(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] = (), *, timeout: float = DEFAULT_QUERY_TIMEOUT
    ) -> Rows:
        """Runs one reading SQL statement and returns its rows as dicts, for the file's owner: it knows no tenants.

        Args:
            sql: One statement over the tables and views of the file. SQLite itself refuses whatever would write,
                attach another file or change a setting.
            params: Values for ``?`` (a sequence) or ``:name`` (a mapping).
            timeout: How many seconds it may take.

        Raises:
            QueryError: It does more than read, is more than one statement, is wrong, or took too long.

        Example:
            >>> with SQLiteSessionService(":memory:") as service:
            ...     service.query("SELECT count(*) AS sessions FROM sessions")
            [{'sessions': 0}]
        """
        codec.text(sql, "sql")
        if isinstance(params, str) or not isinstance(params, (Sequence, Mapping)):
            raise InvalidInputError("params must be a sequence or a mapping of values")
        _check_seconds(timeout, "timeout")
        return self._sqlite.query(sql, params, timeout)

    def backup(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Copies the store, as of one moment, into one new file while others go on writing; returns its path.

        The copy can be opened as a store; only its owner can read it.

        Args:
            path: The new file; its folders are made.
            overwrite: Replace a file that is there.
        """
        return backup(self._sqlite, path, overwrite=overwrite)

    def check(self, *, repair: bool = False) -> CheckReport:
        """Looks at everything that can go wrong with the file: its pages, order, search index, permissions, disk.

        It reads all of it, and changes nothing unless ``repair`` is true: then it rebuilds what can be rebuilt from
        the rest (indexes, the search index, ``last_seq``) and deletes state that belongs to no session.

        Returns:
            The findings, each with advice; ``.ok`` sums them up.
        """
        return check(self._sqlite, repair=repair)
