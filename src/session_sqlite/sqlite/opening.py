"""The file before it is opened: whether it is a store at all, and making it if there is none."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from typing import Final

from session_sqlite import schema
from session_sqlite.errors import NewerSchemaError, NotAStoreError, StoreError
from session_sqlite.sqlite.driver import store_error

MINIMUM_FILE_BYTES: Final = 512  # the smallest page: a shorter file that is not empty is no database

_APPLICATION_ID: Final = "PRAGMA application_id"
USER_VERSION: Final = "PRAGMA user_version"
_LOG_HEADER: Final = 32  # bytes before the first frame of a WAL
_FRAME_HEADER: Final = 24  # bytes before the page in a frame


class StoreFile:
    """A path at which there is a store, or is going to be one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = path.as_uri()  # quotes what a URI would misread, such as a "?"

    def __str__(self) -> str:
        return repr(str(self.path))

    def look(self, *, read_only: bool) -> bool:
        """Says whether the file is there; raises for one that is not a store, without changing a byte of it.

        Opening another program's database for writing could recover or checkpoint it. ``immutable`` reads the main
        file alone, without locks, and through SQLite: reading it with `open` would drop this process's locks on it.
        """
        path = self.path
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
        id, version, tables, id_afterwards = self._identity()
        if schema.APPLICATION_ID in (id, id_afterwards):
            if version > schema.SCHEMA_VERSION:
                raise self.newer(version)
            if read_only and version < schema.SCHEMA_VERSION and not self.log_size():
                raise self.older()
        # Our tables and our id are written in one transaction: other tables, or another id, are not ours.
        elif id or tables or version or self._id_in_log() not in (None, schema.APPLICATION_ID):
            raise self._not_a_store()
        return True

    def _identity(self) -> tuple[int, int, int, int]:
        """What the main file says it is: its application id, its version, how many tables, and its id once more.

        Another process may be moving its first tables into the file, so the id counts as it is after them.
        """
        look = (_APPLICATION_ID, USER_VERSION, schema.COUNT_TABLES, _APPLICATION_ID)
        connection = None
        try:
            connection = sqlite3.connect(f"{self.uri}?mode=ro&immutable=1", uri=True, isolation_level=None)
            id = connection.execute(_APPLICATION_ID).fetchone()[0]
            if id == schema.APPLICATION_ID:  # its tables may be those of a newer release, or damaged
                look = (_APPLICATION_ID, USER_VERSION, _APPLICATION_ID, _APPLICATION_ID)
            id, version, tables, id_afterwards = (connection.execute(sql).fetchone()[0] for sql in look)
            return id, version, tables, id_afterwards
        except sqlite3.Error as error:
            raise store_error(error, str(self)) from error
        finally:
            if connection is not None:
                connection.close()

    def create(self) -> None:
        """Makes the file, and its folders, readable by their owner only; leaves one that is there."""
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

    def log_size(self) -> int:
        """The size of the WAL in bytes."""
        try:
            return self._log().stat().st_size
        except OSError:  # the last process that had the store open has just removed it
            return 0

    def _log(self) -> Path:
        return self.path.with_name(f"{self.path.name}-wal")

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

    def newer(self, version: int) -> NewerSchemaError:
        """The error for a file of a newer release."""
        return NewerSchemaError(
            f"the store {self} was written by a newer release (schema {version}, this one knows "
            f"{schema.SCHEMA_VERSION}): upgrade session-sqlite"
        )

    def older(self) -> StoreError:
        """The error for a file that has to be brought up to date first."""
        return StoreError(f"the store {self} has an older schema: open it once without read_only to update it")

    def _not_a_store(self) -> NotAStoreError:
        return NotAStoreError(f"{self} is not a session store: it belongs to something else and was left as it is")
