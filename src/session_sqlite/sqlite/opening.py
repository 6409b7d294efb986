"""The file before it is opened: this tells whether it is a store at all, and makes it if there is none."""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from session_sqlite.errors import CorruptStoreError, NewerSchemaError, NotAStoreError, StoreError
from session_sqlite.sqlite import schema
from session_sqlite.sqlite.calls import Call, SharedConnection, Turns
from session_sqlite.sqlite.driver import Connection, has_no_room_for_locks, primary_code
from session_sqlite.sqlite.paths import sync_folder

SMALLEST_PAGE: Final = 512  # bytes

_APPLICATION_ID: Final = "PRAGMA application_id"
_USER_VERSION: Final = "PRAGMA user_version"

Mark = tuple[tuple[int, int, int] | None, ...]  # of the file, its WAL and its journal


def has_no_locks(error: sqlite3.Error) -> bool:
    """Returns True if SQLite may not make the files beside a database that hold its locks, or has no room for them."""
    return primary_code(error) in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY} or has_no_room_for_locks(error)


def has_log(mark: Mark) -> bool:
    """Returns True if there was anything in the WAL or the journal: then the file alone is not the whole database."""
    return any(found is not None and found[1] for found in mark[1:])


class ConnectionWithoutLocks(Connection):
    """A connection to a file that others may be writing: what it reads is valid only while the mark is the same."""

    file: StoreFile
    mark: Mark


class SharedConnectionWithoutLocks(SharedConnection, ConnectionWithoutLocks):
    """A `SharedConnection` that is one without locks."""


class ChangedMeanwhile(sqlite3.OperationalError):
    """Another process wrote while we read without locks: the read is repeated, as if the file were busy."""

    sqlite_errorcode = sqlite3.SQLITE_BUSY
    sqlite_errorname = "SQLITE_BUSY"


def is_out_of_date(connection: sqlite3.Connection) -> bool:
    """Returns True if a connection without locks was made before the file was last written."""
    return isinstance(connection, ConnectionWithoutLocks) and connection.file.mark() != connection.mark


@contextlib.contextmanager
def unless_changed(connection: sqlite3.Connection) -> Iterator[None]:
    """Raises `ChangedMeanwhile`, also in place of an error, if the file was written while it was read without locks."""
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
    """A path where a store is, or will be made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = str(path)
        self.uri = path.as_uri()  # `as_uri` quotes characters that have a meaning in a URI, such as "?"

    def __str__(self) -> str:
        return repr(str(self.path))

    def exists(self) -> bool:
        """Returns True if there is a file at the path; raises for anything else that is there."""
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
        if 0 < found.st_size < SMALLEST_PAGE:  # SQLite would take it for an empty database
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
            # The tables are not read where the id is ours: this SQLite may be unable to parse those of a newer release.
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
        # One thread at a time: closing the new file would drop the locks on it that SQLite holds in another thread.
        call = Call(sys._getframe())
        try:
            _making.take(call, math.inf)
            if not self.exists():
                self._make()
        finally:
            call.finish()
            _making.leave(call)

    def _make(self) -> None:
        try:
            # Folders are made one by one, since `parents=True` gives the mode to the last one only.
            for folder in reversed([folder for folder in self.path.parents if not folder.exists()]):
                folder.mkdir(mode=0o700, exist_ok=True)
                sync_folder(folder.parent)  # SQLite syncs the folder that the file is in, and none above it
            # The file is private from its first moment; SQLite gives the -wal and -shm files the same mode.
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            if not self.path.exists():  # then a parent is a file
                raise StoreError(f"the folder of {self} cannot be made: a part of it is a file") from None
        except OSError as error:
            raise StoreError(f"the store {self} cannot be made: {error.strerror}") from error

    def number(self) -> int | None:
        """Returns the number that the file has in its file system; None if no file is at the path any more.

        SQLite compares the same number before it makes a journal, but not with a WAL.
        """
        try:
            return os.stat(self._name).st_ino  # each call asks this: a Path takes four times as long
        except OSError:
            return None

    def displaced(self) -> StoreError:
        """Returns the error for a path at which another file is now, or none."""
        return StoreError(
            f"the store {self} was moved, replaced or deleted while it was open, and nothing was written: close it and "
            "open it again"
        )

    def may_be_written(self) -> bool:
        """Returns True if this process may write the file."""
        return os.access(self.path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)

    def mark(self) -> Mark:
        """Returns inode, size and time of the file, its WAL and its journal; they change when one is written."""
        marks: list[tuple[int, int, int] | None] = []
        for suffix in ("", "-wal", "-journal"):
            try:
                found = self.path.with_name(self.path.name + suffix).stat()
            except OSError:  # the last process that had the store open has just removed it
                marks.append(None)
            else:
                marks.append((found.st_ino, found.st_size, found.st_mtime_ns))
        return tuple(marks)

    def connect_without_locks(
        self, mark: Mark, factory: type[ConnectionWithoutLocks] = ConnectionWithoutLocks
    ) -> ConnectionWithoutLocks:
        """Returns a connection to the file alone, without its WAL: the last resort where no other is possible."""
        connection = sqlite3.connect(
            f"{self.uri}?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False,
            factory=factory,
        )  # fmt: skip
        connection.file, connection.mark = self, mark
        return connection

    def refuse_another_programs(self) -> None:
        """Raises for another program's file in which a transaction was cut off, going by the file alone.

        A rollback journal is left of it, and to read the file SQLite would have to write it.
        """
        with contextlib.closing(self.connect_without_locks(self.mark())) as connection:
            # Without this pragma SQLite reports a header that is ahead of its file as damage, which it is not here.
            connection.execute("PRAGMA writable_schema = ON")
            self.version(connection)

    def _not_a_store(self) -> NotAStoreError:
        return NotAStoreError(f"{self} is not a session store: it belongs to something else and was left as it is")

    def older(self) -> StoreError:
        """Returns the error for a file that has to be brought up to date first."""
        return StoreError(
            f"the store {self} has an older schema: open it once without read_only to update it, or run "
            "`session-sqlite check --repair`; an older release cannot open it then"
        )

    def interrupted(self) -> StoreError:
        """Returns the error for a file that can be read only after a write that was cut off is rolled back."""
        return StoreError(f"a write to the store {self} was cut off: open it once without read_only to put it right")

    def empty(self) -> StoreError:
        """Returns the error for a file that has nothing to read yet."""
        return StoreError(f"there is nothing in {self} yet: without read_only it would be made a store")


def _allow_making() -> None:
    global _making
    _making = Turns()


_making = Turns()
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_allow_making)
