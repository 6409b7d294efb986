"""Sessions in one SQLite file: opening it, its connections, and waiting for other writers.

A file has one writer connection, which calls use in turns, since SQLite has one writer at a time anyway, and as many
read-only connections as there are calls that read: they wait for nobody (WAL). A transaction begins IMMEDIATE, so
that it never has to be given up half way; a lock that another process holds is waited for in short steps up to a
deadline, which is fair to all writers (SQLite's own busy handler starved some of them) and can be interrupted.
Connections do not cross a fork.

Whatever is held is held by a `Call`. Each verb gives it back twice, in two functions, so that an interrupt in the way
of the first is followed by the second; what two interrupts left behind is taken back at the next call of any thread.
"""

from __future__ import annotations

import math
import os
import random
import sqlite3
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Params, Row, Told, Transaction, check_seconds
from session_sqlite.errors import (
    CorruptStoreError,
    InvalidInputError,
    QueryError,
    ReadOnlyStoreError,
    SessionError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
)
from session_sqlite.pages import CheckReport, Rows, distinct
from session_sqlite.sqlite import schema, statements
from session_sqlite.sqlite.calls import Call, SharedConnection, Turns
from session_sqlite.sqlite.driver import (
    BUSY,
    MAKE_WRITABLE,
    Connection,
    damaged_text_as_bytes,
    is_damaged_text,
    primary_code,
    read_damaged_text,
    store_error,
)
from session_sqlite.sqlite.maintenance import backup, check, purge
from session_sqlite.sqlite.opening import (
    ChangedMeanwhile,
    ConnectionWithoutLocks,
    SharedConnectionWithoutLocks,
    StoreFile,
    has_log,
    has_no_locks,
    is_out_of_date,
    unless_changed,
)
from session_sqlite.sqlite.owner_queries import Guard, has_long_values, is_too_long
from session_sqlite.sqlite.paths import MEMORY, path_text
from session_sqlite.sqlite.search_index import SQLiteSearchIndex

if TYPE_CHECKING:
    import sqlite_utils

T = TypeVar("T")

MINIMUM_SQLITE: Final = (3, 35, 0)
STEP_SECONDS: Final = 0.02  # SQLite itself waits so long for a lock before Python checks the deadline
IDLE_READERS: Final = 4  # connections that are kept open for the next reads
FORK_PATIENCE: Final = 1.0  # seconds
_SYNCHRONOUS: Final = {"full": "FULL", "fast": "NORMAL"}


_in_order: Final = itemgetter(*codec.EVENT_COLUMNS)


class SQLiteTransaction:
    """A write transaction on the writer connection."""

    __slots__ = ("_connection", "index")
    may_be_done = False

    def __init__(self, connection: sqlite3.Connection, index: SQLiteSearchIndex | None) -> None:
        self._connection = connection
        self.index = index

    def lock(self, *keys: SessionKey) -> set[SessionKey]:
        """See `Transaction.lock`: an IMMEDIATE transaction holds the lock already, so this only reads."""
        return {key for key in keys if self.rows(queries.LAST_SEQ, key.params())}

    def rows(self, sql: str, params: Params) -> list[Row]:
        """Runs a query and returns all of its rows."""
        try:
            return self._connection.execute(sql, params).fetchall()
        except sqlite3.OperationalError as error:
            if not is_damaged_text(error):
                raise
        return read_damaged_text(self._connection, sql, params, tuple)

    def advance(self, key: SessionKey, count: int, now: str) -> object:
        """See `Transaction.advance`."""
        found = self.rows(statements.ADVANCE_SESSION, {**key.params(), "count": count, "now": now})
        last_seq: object = found[0][0] if found else None
        return last_seq

    def insert_events(self, rows: Sequence[Params]) -> None:
        """See `Transaction.insert_events`."""
        # By position: looking up each name takes a seventh of the time of an append of many.
        self._connection.executemany(statements.INSERT_EVENT, map(_in_order, rows))
        if self.index is not None:
            self.index.appended(self, len(rows))

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
            # With a shared cache sqlite-utils and long reads can have connections of their own to the store in memory.
            self._uri = f"file:session-sqlite-{uuid.uuid4().hex}?mode=memory&cache=shared"
        else:
            self._file = StoreFile(Path(os.path.abspath(name)))
            self._uri = self._file.uri
        self._number: int | None = None  # of the file
        self._life = _Life()
        self._lost_by_fork = False
        self._is_locked_by_fork = False
        self._turns = Turns()
        self._calls: set[Call] = set()
        self._write_connection: Connection | None = None
        self._idle_readers: list[Connection] = []
        self._made: set[Connection] = set()  # all open connections but those of `db`, which follow
        self._for_sqlite_utils: _OfThreads = weakref.WeakKeyDictionary()
        self._of_ended_threads: weakref.WeakSet[Connection] = weakref.WeakSet()  # a caller may still use these
        # A method would keep the database alive, and so would the frame of a call that an interrupt left behind. It
        # runs at the end of the process too, beside daemon threads.
        self._at_the_end = weakref.finalize(
            self, _end_of_life, self._life, self._made, self._for_sqlite_utils, weakref.ref(self._calls)
        )
        self._opening: Call | None = Call(sys._getframe())  # a fork waits for it, above all for making the tables
        self._calls.add(self._opening)
        _LIVE.add(self)
        try:
            try:
                self._open()
                if self._file is not None and os.name != "nt":  # Windows does not let go of an open file
                    self._number = self._file.number()
                self._index = self._find_index()
            finally:
                self._end(self._opening)
                self._opening = None
        except BaseException:
            _LIVE.discard(self)
            self._close_connections()
            raise

    def __str__(self) -> str:
        return repr(MEMORY if self.path is None else str(self.path))

    # ------------------------------------------------------------ the Database protocol

    def read(self, sql: str, params: Params, make: Callable[[Row], T]) -> list[T]:
        """See `Database.read`."""
        call = Call(sys._getframe())
        try:
            with self._translated():  # a read is busy while another process recovers or resets the WAL
                return self.patiently(lambda: self._read(call, sql, params, make))
        finally:
            self._end(call)

    def _read(self, call: Call, sql: str, params: Params, make: Callable[[Row], T]) -> list[T]:
        try:
            connection = self._reader(call)
            with unless_changed(connection):
                try:
                    call.cursor = connection.execute(sql, params)
                    rows = [make(row) for row in call.cursor]
                except sqlite3.OperationalError as error:
                    if not is_damaged_text(error):
                        raise
                    rows = read_damaged_text(connection, sql, params, make)
            self._keep_reader(call)
            return rows
        finally:
            self._give_back(call)

    def messages_since(self, key: SessionKey, seq: int) -> list[Row]:
        """See `Database.messages_since`."""
        return self.read(statements.MESSAGES_SINCE, {**key.params(), "seq": seq}, tuple)

    @property
    def path(self) -> Path | None:
        """Returns the file's absolute path; None for a store in memory."""
        return None if self._file is None else self._file.path

    @property
    def closed(self) -> bool:
        """Returns True after `close`."""
        return self._life.ended

    @property
    def index(self) -> SQLiteSearchIndex | None:
        """See `Database.index`."""
        return self._index

    def write(
        self,
        work: Callable[[Transaction], T],
        *,
        patience: float | None = None,
        repeatable: bool = True,  # noqa: ARG002  # here it is always known whether a commit has happened
    ) -> T:
        """See `Database.write`."""
        if self.read_only:
            self._check_open()
            raise ReadOnlyStoreError(f"the store {self} is open read-only: open it without read_only to write")
        call = Call(sys._getframe())
        try:
            with self._translated():
                return self._write(call, work, patience)
        finally:
            self._end(call)

    def _write(self, call: Call, work: Callable[[Transaction], T], patience: float | None) -> T:
        try:
            connection = self._writer(call, patience)
            self._begin(connection, patience)
            result = work(SQLiteTransaction(connection, self._index))
            connection.commit_now()
            return result
        finally:
            self._give_back(call)

    def close(self) -> None:
        """See `Database.close`."""
        self._life.ended = True  # no new call may enter
        _LIVE.discard(self)
        self._wait_for_calls(self._busy_timeout)
        self._close_connections()
        if not self._calls:
            self._at_the_end.detach()  # garbage may be collected where the stack has no room for it

    def purge(self) -> list[str]:
        """See `Database.purge`."""
        return purge(self)

    # ------------------------------------------------------------ for the file's owner

    def connection_to_read(self) -> _Lease:
        """Returns a connection of its own that only reads, for long work; it is closed at the end."""
        return _Lease(self, self._reader_of_its_own)

    def connection_to_write(self) -> _Lease:
        """Returns the writer connection outside of any transaction, for statements that cannot be in one."""
        if self.read_only:
            self._check_open()
            raise ReadOnlyStoreError(f"the store {self} is open read-only: open it without read_only to write")
        return _Lease(self, self._writer)

    def backup(self, target: object, *, overwrite: bool) -> Path:
        """See `Database.backup`."""
        return backup(self, target, overwrite=overwrite)

    def check(self, *, repair: bool) -> CheckReport:
        """See `Database.check`."""
        return check(self, repair=repair)

    def db(self) -> sqlite_utils.Database:
        """Returns a read-only sqlite-utils Database on a connection of this thread, made at the thread's first call."""
        from sqlite_utils import Database

        self._check_open()
        self._check_place()
        thread = threading.current_thread()
        connection = self._for_sqlite_utils.get(thread)
        if connection is None or is_out_of_date(connection):
            # Connections of threads that have ended are kept apart: a caller may still have their Database.
            for other in [other for other in list(self._for_sqlite_utils) if not other.is_alive()]:
                self._of_ended_threads.add(self._for_sqlite_utils.pop(other))
            with self._translated():
                connection = self.patiently(lambda: self._connect_reader(shared=True))
                self._made.discard(connection)  # it lives as long as its thread
                # In the shared cache of an in-memory store the table locks of a reader would stop the writer.
                connection.execute("PRAGMA read_uncommitted = ON")
                connection.execute("PRAGMA query_only = ON")
            self._for_sqlite_utils[thread] = connection
        return Database(connection, execute_plugins=False)

    def query(
        self, sql: str, params: Sequence[Any] | Params, timeout: float, largest_event: int, told: Told | None = None
    ) -> Rows:
        """See `SQLiteSessionService.query`."""
        guard = Guard(timeout, largest_event)
        call = Call(sys._getframe())
        try:
            with self._translated():
                return self._query(call, sql, params, guard, told)
        finally:
            self._end(call)

    def _query(self, call: Call, sql: str, params: Sequence[Any] | Params, guard: Guard, told: Told | None) -> Rows:
        try:
            connection = self._reader_of_its_own(call)
            with unless_changed(connection):
                connection.execute("PRAGMA query_only = ON")
                # Virtual tables register at their first use, which the authorizer would refuse.
                for touch in schema.TOUCH_TABLE_FUNCTIONS:
                    connection.execute(touch).fetchall()
                if self._index is not None:
                    connection.execute(schema.TOUCH_SEARCH_INDEX).fetchall()
                if told is not None:
                    connection.execute("BEGIN")  # if it has to begin again, the rows must be the same
                long = has_long_values(params)
                try:
                    return _rows(call, connection, sql, params, guard, told, long=long)
                except sqlite3.Error as error:
                    if long or not is_too_long(error):
                        raise
                return _rows(call, connection, sql, params, guard, told, long=True)
        except (sqlite3.Error, sqlite3.Warning) as error:
            if isinstance(error, ChangedMeanwhile):
                raise
            raise guard.error(error) from error
        except (OverflowError, ValueError) as error:
            if isinstance(error, SessionError):
                raise
            raise QueryError("a parameter is not a value that SQLite has") from error
        finally:
            self._give_back(call)

    # ------------------------------------------------------------ connections

    def _connections(self) -> list[Connection]:
        return [*self._made, *self._for_sqlite_utils.values(), *self._of_ended_threads]

    def _close_connections(self) -> None:
        """Closes what no call uses; a call that is still running closes its own."""
        if self._number is not None and self._file is not None and self._file.number() is None:
            self._take_along_wal()
        for connection in list(self._of_ended_threads):
            connection.close()
        _close_unused(self._made, self._for_sqlite_utils, self._calls)
        self._idle_readers.clear()

    def _take_along_wal(self) -> None:
        """Brings the WAL into a file that was moved away from it, which SQLite does not do as it closes."""
        connection = self._write_connection
        with suppress(sqlite3.Error):  # also where the connection was closed before
            if connection is not None and not connection.in_transaction:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _check_open(self) -> None:
        if self._life.ended or (
            self._life.gate_opens == math.inf and threading.current_thread() is threading.main_thread()
        ):
            raise StoreClosedError(f"the store {self} was closed: open it again")
        if self._lost_by_fork:
            raise StoreClosedError("an in-memory store does not cross a fork: open one in each process")

    def _enter(self, call: Call) -> None:
        """Counts a call among the running ones; closing and forking wait for it."""
        self._heal(call)
        self._calls.add(call)
        while time.monotonic() < self._life.gate_opens and self._opening is None:
            self._check_open()  # what the main thread does at the end of the process does not wait
            self._calls.discard(call)
            time.sleep(0.001)
            self._calls.add(call)
        self._check_open()

    @property
    def is_displaced(self) -> bool:
        """Returns True if the path has another file than the open one, which nobody else would find any more."""
        return self._number is not None and self._file is not None and self._file.number() != self._number

    def _check_place(self) -> None:
        if self._file is not None and self.is_displaced:
            raise self._file.displaced()

    def _heal(self, call: Call) -> None:
        """Takes back what is still held by calls that interrupts have ended."""
        left = [other for other in tuple(self._calls) if other.ended()]
        for other in left:
            other.release()
            self._turns.leave(other)
            self._calls.discard(other)
        if left and self._turns.take(call, 0):
            self._roll_back()
            self._turns.leave(call)

    def _roll_back(self) -> None:
        """Ends the open transaction of the writer connection, if there is one. The caller must have the turn."""
        connection = self._write_connection
        if connection is None or not connection.in_transaction:
            return  # after a full disk or an I/O error SQLite has rolled back by itself
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            if self.path is None:
                raise
            self._write_connection = None
            connection.close()

    def _writer(self, call: Call, patience: float | None = None) -> Connection:
        """Waits for the call's turn and returns the writer connection."""
        self._enter(call)
        if self._is_locked_by_fork:
            raise StoreBusyError(
                f"the store {self} can only be read here: the process was forked in the middle of a write; fork when "
                "none is running, or start processes with spawn"
            )
        if not self._turns.take(call, self._busy_timeout + 1 if patience is None else patience):
            raise self._busy()
        self._check_open()
        self._roll_back()
        if self._write_connection is None:  # the child of a fork has none yet
            self._write_connection = self._connect_writer()
        self._write_connection.text_factory = str
        self._check_place()
        return self._write_connection

    def _reader(self, call: Call) -> Connection:
        """Returns a connection that reads; no other call uses it meanwhile."""
        if self.path is None:
            return self._writer(call)
        self._enter(call)
        self._check_place()
        try:
            connection = self._idle_readers.pop()
        except IndexError:
            connection = self._connect_reader()
        call.connection = connection
        return connection

    def _reader_of_its_own(self, call: Call) -> Connection:
        """Returns a new connection that reads, for long work."""
        self._enter(call)
        self._check_place()
        call.connection = connection = self.patiently(self._connect_reader)
        if self.path is None:
            # In the shared cache of an in-memory store the table locks of a reader would stop the writer.
            connection.execute("PRAGMA read_uncommitted = ON")
        return connection

    def _keep_reader(self, call: Call) -> None:
        """Keeps the connection of a read that went well; after an interrupt it is closed, with its snapshot."""
        connection = call.connection
        if connection is None or self._life.ended or len(self._idle_readers) >= IDLE_READERS:
            return
        if isinstance(connection, ConnectionWithoutLocks):  # it caches pages that another process may change
            return
        if call.cursor is not None:
            call.cursor.close()
            call.cursor = None
        call.connection = None
        self._idle_readers.append(connection)

    def _give_back(self, call: Call) -> None:
        """Takes back everything that a call holds; if an interrupt cuts it off, calling it again completes it."""
        call.release()
        if self._turns.has(call):
            self._roll_back()
        self._turns.leave(call)
        self._calls.discard(call)
        if self._life.ended and all(other.ended() for other in tuple(self._calls)):  # `close` has waited in vain
            self._close_connections()

    def _end(self, call: Call) -> None:
        """Ends a call: takes back what it holds, once more in case an interrupt came, and forgets its frame."""
        self._give_back(call)
        call.finish()

    def _wait_for_calls(self, timeout: float) -> None:
        """Waits until no other thread is in a call, but not longer than the timeout."""
        me = threading.get_ident()
        deadline = time.monotonic() + timeout
        while any(call.thread != me and not call.ended() for call in tuple(self._calls)):
            if time.monotonic() > deadline:
                return
            time.sleep(0.001)

    def _connect(self, mode: str, factory: type[Connection] = Connection) -> Connection:
        connection = sqlite3.connect(
            self._uri if self.path is None else f"{self._uri}?mode={mode}", uri=True, timeout=STEP_SECONDS,
            isolation_level=None, check_same_thread=False, cached_statements=256, factory=factory,
        )  # fmt: skip
        connection.opened_in(self._made, writes=mode == "rw")
        return connection

    def _connect_reader(self, mode: str = "ro", *, shared: bool = False) -> Connection:
        """Returns a connection to read with; one without locks where SQLite cannot make the files for them."""
        file = self._file
        factory = SharedConnection if shared else Connection
        if file is None:
            return self._connect(mode, factory)
        mark = file.mark()
        connection = self._connect(mode, factory)
        try:
            connection.execute("PRAGMA user_version").fetchone()  # SQLite opens the file and its WAL only now
        except BaseException as error:
            connection.close()
            if not isinstance(error, sqlite3.Error) or not has_no_locks(error):
                raise
            if file.mark() != mark:
                raise ChangedMeanwhile from error
            if has_log(mark):
                raise
            without_locks = file.connect_without_locks(
                mark, SharedConnectionWithoutLocks if shared else ConnectionWithoutLocks
            )
            without_locks.opened_in(self._made, writes=False)
            return without_locks
        return connection

    def _connect_writer(self) -> Connection:
        connection = self._connect("rw")
        try:
            # Overwrites deleted text with zeros, so that it cannot be found in the file.
            connection.execute("PRAGMA secure_delete = ON").fetchall()
            # This pragma reads the schema, so it is busy while another process makes it.
            self.patiently(lambda: connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[self._durability]}"))
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin(self, connection: sqlite3.Connection, patience: float | None = None) -> None:
        self.patiently(lambda: connection.execute("BEGIN IMMEDIATE"), patience)

    def patiently(self, attempt: Callable[[], T], patience: float | None = None) -> T:
        """Repeats an attempt until it works or the deadline has passed, in short steps that Ctrl-C can interrupt."""
        deadline = time.monotonic() + (self._busy_timeout if patience is None else patience)
        while True:
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if primary_code(error) not in BUSY:
                    raise
                if time.monotonic() >= deadline:
                    raise self._busy() from error
            time.sleep(random.uniform(0, 0.002))  # noqa: S311  # keeps writers from trying at the same moments; not a secret

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
        except sqlite3.ProgrammingError as error:
            self._check_open()  # the connection of `db` was closed as it was made
            raise store_error(error, str(self)) from error
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
            if not file.may_be_written():  # SQLite would silently open it read-only
                raise ReadOnlyStoreError(f"the store {self} may not be written: {MAKE_WRITABLE}")
        try:
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
        except UnicodeDecodeError as error:  # of SQLite's words about a table whose name is damaged
            raise CorruptStoreError(f"the store {self} is damaged: restore it from a backup") from error

    def _look(self, file: StoreFile) -> None:
        """Raises for a file that is not a store, or one that cannot be read, and leaves it as it was.

        A connection that may write moves what is in the WAL into the file as it closes, another program's too. One
        that only reads leaves an empty WAL behind where there was none.
        """
        is_whole = not has_log(file.mark())
        if is_whole and not self.read_only:
            return  # the writer connection will check the file
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

    def _prepare(self, file: StoreFile, connection: Connection) -> None:
        version = self.patiently(lambda: file.version(connection))  # another process may have replaced the file
        # The switch to WAL ignores SQLite's own busy timeout.
        journal = self.patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        if journal.lower() != "wal":
            raise StoreError(f"the store {self} cannot use WAL: is it on a local disk?")
        if version < schema.SCHEMA_VERSION:
            self._migrate(connection)
        self._probe(connection)

    def _probe(self, connection: sqlite3.Connection) -> None:
        """Reads a little of each table, so that a damaged file is found now and not at the first message."""
        for probe in schema.PROBES:
            self.patiently(lambda probe=probe: connection.execute(probe).fetchall())  # type: ignore[misc]  # the default binds the probe now

    def _migrate(self, connection: Connection) -> None:
        # With foreign keys on, a step that rebuilds a table would cascade. They can only change outside a transaction.
        connection.execute("PRAGMA foreign_keys = OFF")
        self._begin(connection)
        try:
            # sqlite-utils reads before it writes, which is safe in our IMMEDIATE transaction. Before the transaction
            # another process may have migrated the file, or another program may have taken it.
            if self._file is None or self._file.version(connection) < schema.SCHEMA_VERSION:
                if self._new_files_have_index and not connection.execute(schema.HAS_FTS5).fetchone():
                    raise StoreError(
                        "this SQLite has no FTS5: use another build of it, or make the store with search=False"
                    )
                schema.migrate(connection, search=self._new_files_have_index)
            connection.commit_now()
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        connection.execute("PRAGMA foreign_keys = ON")

    # ------------------------------------------------------------ forks

    def _before_fork(self) -> None:
        # The child would inherit, and never release, a lock that some thread holds, ours or one inside SQLite (its
        # allocator has one): no write and no read may be running. One second is enough: a thread that waits longer, for
        # another process, holds nothing inside SQLite. The gate opens by itself if an interrupt ends this half way.
        # An open transaction is waited for longer: SQLite in the child would take its lock for one that the child
        # holds itself, and nobody there could give it up.
        deadline = time.monotonic() + self._busy_timeout
        while True:
            for database in list(_LIVE):
                database._life.gate_opens = time.monotonic() + 2 * FORK_PATIENCE  # no new call may enter
            self._wait_for_calls(FORK_PATIENCE)
            if not self._is_in_a_transaction_elsewhere() or time.monotonic() > deadline:
                return

    def _is_in_a_transaction(self) -> bool:
        return any(connection.writes and connection.holds_the_lock() for connection in list(self._made))

    def _is_in_a_transaction_elsewhere(self) -> bool:
        """Returns True if another thread is in a transaction; that of this thread does not end by waiting."""
        holder = self._turns.holder()
        return self._is_in_a_transaction() and (holder is None or holder.thread != threading.get_ident())

    def _after_fork_in_parent(self) -> None:
        self._life.gate_opens = 0.0

    def _after_fork_in_child(self) -> None:
        self._is_locked_by_fork = self._is_in_a_transaction()
        # Inherited connections are kept and never closed: closing the file here would drop the locks of the process.
        _INHERITED.extend(self._connections())
        for call in self._calls:
            call.connection = call.cursor = None
        self._made.clear()
        self._for_sqlite_utils.clear()
        self._of_ended_threads.clear()
        self._calls.clear()
        self._idle_readers.clear()
        self._write_connection = None
        self._turns = Turns()
        self._life.gate_opens = 0.0
        self._lost_by_fork = self.path is None


def _rows(
    call: Call,
    connection: Connection,
    sql: str,
    params: Sequence[Any] | Params,
    guard: Guard,
    told: Told | None,
    *,
    long: bool,
) -> Rows:
    """Returns the rows of a query of the caller's, as dicts, or tells them and returns the names of their columns."""
    with closing(guard.watch(connection, long=long)):
        if long:
            guard.measure(connection, sql, params)
        call.cursor = cursor = connection.execute(sql, params)
        if cursor.description is None:
            raise QueryError("the query returns no rows: query() takes one SELECT")
        names = distinct([column[0] for column in cursor.description])

        def row_of(row: Row) -> dict[str, Any]:
            return guard.count(row, dict(zip(names, row, strict=True)), kept=told is None)

        def made(rows: Iterable[dict[str, Any]]) -> Rows:
            if told is None:
                return Rows(rows, names)
            told.all(rows)
            return Rows((), names)

        try:
            return made(map(row_of, cursor))
        except sqlite3.OperationalError as error:
            if not is_damaged_text(error):
                raise
        with damaged_text_as_bytes(connection), closing(connection.execute(sql, params)) as again:
            return made(map(row_of, again))


_OfThreads = weakref.WeakKeyDictionary[threading.Thread, Connection]


class _Life:
    """Holds what stops new calls of a database; apart from it, for what runs after it was collected."""

    ended = False  # it was closed
    gate_opens = 0.0  # until this moment calls wait, since the process is about to fork, or ends


def _end_of_life(life: _Life, made: set[Connection], of_threads: _OfThreads, calls: weakref.ref[set[Call]]) -> None:
    """Closes the connections of a database that was collected, or whose process ends, beside daemon threads."""
    life.gate_opens = math.inf
    _close_unused(made, of_threads, calls() or set())  # no call is running where the database is gone


def _close_unused(made: set[Connection], of_threads: _OfThreads, calls: set[Call]) -> None:
    """Closes connections, except those of running calls; no new call may enter any more.

    A running call takes one connection; until it says which, it may be any of those that are there already. At its
    end it closes what is left.
    """
    for connection in list(of_threads.values()):
        connection.close()
    of_threads.clear()
    there = list(made)
    running = [call for call in tuple(calls) if not call.ended()]
    used = {call.connection for call in running}
    if None in used:
        return
    # The writer is closed last, since it alone can move the rest of the WAL into the file.
    for connection in sorted(there, key=lambda connection: connection.writes):
        if connection not in used:
            connection.close()


class _Lease:
    """A connection for as long as a `with` block lasts; the function with that block is the call."""

    def __init__(self, database: SQLiteDatabase, take: Callable[[Call], Connection]) -> None:
        self._database = database
        self._take = take

    def __enter__(self) -> Connection:
        self._call = Call(sys._getframe(1))
        try:
            with self._database._translated():
                self._connection = self._take(self._call)
            return self._connection
        except BaseException:
            self._database._end(self._call)
            raise

    def __exit__(self, kind: object, error: BaseException | None, where: TracebackType | None) -> None:
        try:
            with self._database._translated(), unless_changed(self._connection):
                if error is not None:
                    raise error
        finally:
            self._database._end(self._call)


_LIVE: weakref.WeakSet[SQLiteDatabase] = weakref.WeakSet()
_INHERITED: list[Connection] = []


_forks = threading.Lock()  # forks happen one at a time


def _before_fork() -> None:
    _forks.acquire(timeout=2 * FORK_PATIENCE)
    for database in list(_LIVE):
        database._before_fork()


def _after_fork_in_parent() -> None:
    for database in list(_LIVE):
        database._after_fork_in_parent()
    with suppress(RuntimeError):  # if an interrupt came first, it was never taken
        _forks.release()


def _after_fork_in_child() -> None:
    global _forks
    _forks = threading.Lock()
    for database in list(_LIVE):
        database._after_fork_in_child()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
