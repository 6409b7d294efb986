"""The file before it is opened: whether it is a store at all, and making it if there is none."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from session_sqlite.errors import CorruptStoreError, NewerSchemaError, NotAStoreError, StoreError
from session_sqlite.sqlite import schema
from session_sqlite.sqlite.driver import Connection, primary_code

SMALLEST_PAGE: Final = 512  # bytes

_APPLICATION_ID: Final = "PRAGMA application_id"
_USER_VERSION: Final = "PRAGMA user_version"

# What SQLite says in a folder where it may not make the files beside a database that its locks are in.
NO_ROOM_FOR_LOCKS: Final = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})

Mark = tuple[tuple[int, int, int] | None, ...]  # of the file, its WAL and its journal


def has_log(mark: Mark) -> bool:
    """Says whether there was anything in the WAL or the journal: the file alone was not all of it then."""
    return any(found is not None and found[1] for found in mark[1:])


class ConnectionWithoutLocks(Connection):
    """A connection to a file that others may be writing: what it reads counts only while the mark is the same."""

    file: StoreFile
    mark: Mark


class ChangedMeanwhile(sqlite3.OperationalError):
    """Another process wrote while we read without locks: try again, as for a file that is busy."""

    sqlite_errorcode = sqlite3.SQLITE_BUSY
    sqlite_errorname = "SQLITE_BUSY"


def is_out_of_date(connection: sqlite3.Connection) -> bool:
    """Says whether a connection without locks was made before the file was last written."""
    return isinstance(connection, ConnectionWithoutLocks) and connection.file.mark() != connection.mark


@contextlib.contextmanager
def unless_changed(connection: sqlite3.Connection) -> Iterator[None]:
    """Believes nothing, no error either, that a connection without locks read while the file was written."""
    if not isinstance(connection, ConnectionWithoutLocks):
        yield
        return
    file = connection.file
    try:
        yield
    except (sqlite3.Error, StoreError) as error:
        if is_out_of_date(connection):
            raise ChangedMeanwhile from error
        if isinstance(error, sqlite3.DatabaseError) and primary_code(error) == sqlite3.SQLITE_CORRUPT:
            raise CorruptStoreError(
                f"the store {file} cannot be read here, where SQLite may not lock it: open it where its folder may be "
                "written, to see whether it is damaged"
            ) from error
        raise
    if is_out_of_date(connection):
        raise ChangedMeanwhile


class StoreFile:
    """A path at which there is a store, or is going to be one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = path.as_uri()  # quotes what a URI would misread, such as a "?"

    def __str__(self) -> str:
        return repr(str(self.path))

    def exists(self) -> bool:
        """Says whether there is a file at the path; raises for anything else that is there."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(f"the path {self} cannot be used: {error.strerror}") from error
        if stat.S_ISDIR(found.st_mode):
            raise NotAStoreError(f"{self} is a directory: give the path of a file in it")
        if not stat.S_ISREG(found.st_mode):
            raise NotAStoreError(f"{self} is not a regular file")
        if 0 < found.st_size < SMALLEST_PAGE:  # for SQLite an empty database; no database ever has such a size
            raise self._not_a_store()
        return True

    def version(self, connection: sqlite3.Connection) -> int:
        """Returns the store's schema version, 0 for a database with nothing in it; raises for any other file.

        SQLite reads it, with its locks and whatever is still in the WAL: a header that is read without them can be
        ahead of its file, or behind. One transaction is one moment, and our id and tables are committed together.
        """
        begun = not connection.in_transaction
        if begun:
            connection.execute("BEGIN")
        try:
            id, version = (connection.execute(sql).fetchone()[0] for sql in (_APPLICATION_ID, _USER_VERSION))
            # The tables of a newer release may be more than this SQLite can parse: they are not looked at.
            is_ours = id == schema.APPLICATION_ID
            if not is_ours and (id or version or connection.execute(schema.COUNT_TABLES).fetchone()[0]):
                raise self._not_a_store()
        finally:
            if begun and connection.in_transaction:
                connection.execute("ROLLBACK")
        if version > schema.SCHEMA_VERSION:
            raise NewerSchemaError(
                f"the store {self} was written by a newer release (schema {version}, this one knows "
                f"{schema.SCHEMA_VERSION}): upgrade session-sqlite"
            )
        found: int = version
        return found

    def make(self) -> None:
        """Makes the file, and its folders, readable by their owner only; leaves one that is there."""
        # One thread at a time: closing the new file drops the locks that another thread's SQLite has on it by then.
        with _making:
            if not self.exists():
                self._make()

    def _make(self) -> None:
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

    def may_be_written(self) -> bool:
        """Says whether this process may write the file."""
        return os.access(self.path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)

    def mark(self) -> Mark:
        """The inode, size and time of the file, its WAL and its journal: another one when they were written."""
        marks: list[tuple[int, int, int] | None] = []
        for suffix in ("", "-wal", "-journal"):
            try:
                found = self.path.with_name(self.path.name + suffix).stat()
            except OSError:  # the last process that had the store open has just removed it
                marks.append(None)
            else:
                marks.append((found.st_ino, found.st_size, found.st_mtime_ns))
        return tuple(marks)

    def connect_without_locks(self, mark: Mark) -> ConnectionWithoutLocks:
        """A connection to the file alone, without its WAL; the last resort where no other can be had."""
        connection = sqlite3.connect(
            f"{self.uri}?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False,
            factory=ConnectionWithoutLocks,
        )  # fmt: skip
        connection.file, connection.mark = self, mark
        return connection

    def refuse_another_programs(self) -> None:
        """Raises for another program's file in which a transaction was cut off, going by the file alone.

        A rollback journal is left of it, and to read the file SQLite would have to write it.
        """
        with contextlib.closing(self.connect_without_locks(self.mark())) as connection:
            # The header may be ahead of the file, which is no damage here.
            connection.execute("PRAGMA writable_schema = ON")
            self.version(connection)

    def _not_a_store(self) -> NotAStoreError:
        return NotAStoreError(f"{self} is not a session store: it belongs to something else and was left as it is")

    def older(self) -> StoreError:
        """The error for a file that has to be brought up to date first."""
        return StoreError(f"the store {self} has an older schema: open it once without read_only to update it")

    def interrupted(self) -> StoreError:
        """The error for a file that can only be read when what was half written to it has been taken back."""
        return StoreError(f"a write to the store {self} was cut off: open it once without read_only to put it right")

    def empty(self) -> StoreError:
        """The error for a file that has nothing to read yet."""
        return StoreError(f"there is nothing in {self} yet: without read_only it would be made a store")


def _allow_making() -> None:
    global _making
    _making = threading.Lock()


_making = threading.Lock()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_allow_making)
