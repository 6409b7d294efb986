"""The border to Python's sqlite3: its errors become ours, and text that it cannot decode is read as bytes."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Final, TypeVar

from session_sqlite.database import Params, Row
from session_sqlite.errors import (
    CorruptStoreError,
    NotAStoreError,
    ReadOnlyStoreError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)

T = TypeVar("T")

MAKE_WRITABLE: Final = "change its permissions, or use read_only=True"
BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


_LACKS: Final = re.compile("no such (table|column|index|view)|table [a-z_]+ has no column named")


class Connection(sqlite3.Connection):
    """A connection that closes itself when it is collected; Python 3.13 and later would warn of that.

    Nobody may close it while another thread executes a statement on it: after the statement Python's sqlite3 asks
    SQLite about a database that is gone, and the process crashes.
    """

    writes = False
    _commits = False
    _among: set[Connection] | None = None

    def opened_in(self, among: set[Connection], *, writes: bool) -> None:
        """Counts this connection among the open connections of a database, until it is closed."""
        self.writes = writes
        self._among = among
        among.add(self)

    def commit_now(self) -> None:
        """Ends the transaction; until this has returned, `holds_the_lock` is true."""
        self._commits = True
        try:
            self.execute("COMMIT")
        finally:
            self._commits = False

    def holds_the_lock(self) -> bool:
        """Returns True in a transaction to its very end: SQLite says that it is in none while it writes the commit."""
        try:
            return self._commits or self.in_transaction
        except sqlite3.ProgrammingError:  # it was closed meanwhile
            return False

    def close(self) -> None:
        """Closes the connection. Closing twice is harmless."""
        super().close()
        if self._among is not None:
            self._among.discard(self)

    def __del__(self) -> None:
        with suppress(sqlite3.Error):  # a connection that was never opened cannot be closed
            super().close()


def primary_code(error: Exception) -> int:
    """Returns SQLite's result code, without its extension."""
    # The driver's own complaints (ProgrammingError, InterfaceError) have no code.
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


def has_no_room_for_locks(error: sqlite3.Error) -> bool:
    """Returns True if a full disk does not even take the file that holds SQLite's locks."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_SHMSIZE


def store_error(error: sqlite3.Error, store: str) -> StoreError:
    """Returns our error for the driver's: what happened and what to do, without the values of the statement."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    code = primary_code(error)
    if code in BUSY:
        return StoreBusyError(f"the store {store} is locked by another writer: try again ({name})")
    if code == sqlite3.SQLITE_FULL or has_no_room_for_locks(error):
        return StoreFullError(f"there is no room for the store {store}: nothing was written, free some disk ({name})")
    if code == sqlite3.SQLITE_CORRUPT:
        return CorruptStoreError(f"the store {store} is damaged: restore it from a backup ({name})")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return CorruptStoreError(
            f"the rows of the store {store} contradict each other, and nothing was written: check(repair=True) mends "
            f"the numbers of events ({name})"
        )
    if code == sqlite3.SQLITE_NOTADB:
        return NotAStoreError(f"{store} is not a SQLite database and was left as it is ({name})")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return ReadOnlyStoreError(f"the store {store} may not be written: {MAKE_WRITABLE} ({name})")
    if code == sqlite3.SQLITE_ERROR and _LACKS.match(str(error)):
        return CorruptStoreError(f"the store {store} lacks a table or column of its own: restore it from a backup")
    return StoreError(f"the store {store} failed: {name}")


def lenient_text(data: bytes) -> str | bytes:
    """Returns a text of SQLite's; the bytes themselves if they are not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data  # the codec marks the event as unreadable


@contextmanager
def damaged_text_as_bytes(connection: sqlite3.Connection) -> Iterator[None]:
    """Reads text that is not UTF-8 as bytes: otherwise one damaged row would keep all others from being read."""
    connection.text_factory = lenient_text
    try:
        yield
    finally:
        connection.text_factory = str


def is_damaged_text(error: sqlite3.OperationalError) -> bool:
    """Returns True for the error about a column that is not UTF-8. It shows the text: never raise or log it."""
    return "decode to UTF-8" in str(error)


def read_damaged_text(
    connection: sqlite3.Connection, sql: str, params: Sequence[Any] | Params, make: Callable[[Row], T]
) -> list[T]:
    """Reads again, with columns that are not UTF-8 as bytes; this is slower, so it is done only where it is needed."""
    with damaged_text_as_bytes(connection), closing(connection.execute(sql, params)) as cursor:
        return [make(row) for row in cursor]
