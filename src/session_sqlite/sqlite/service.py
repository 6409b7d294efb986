"""`SQLiteSessionService`: all verbs over one file, and those that only a file has."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from session_sqlite import codec, queries
from session_sqlite.errors import InvalidInputError, StoreError
from session_sqlite.models import AnyOf
from session_sqlite.pages import Rows
from session_sqlite.service import SessionService
from session_sqlite.service.scoped import SEE_OTHERS, as_is, checked_scope, count_of_others
from session_sqlite.sqlite.database import SQLiteDatabase, check_seconds
from session_sqlite.sqlite.maintenance import CheckReport, Finding, backup, check
from session_sqlite.sqlite.paths import database_file

if TYPE_CHECKING:
    import sqlite_utils

DEFAULT_BUSY_TIMEOUT: Final = 30.0
DEFAULT_QUERY_TIMEOUT: Final = 30.0

Durability = Literal["full", "fast"]


class SQLiteSessionService(SessionService):
    """Sessions in one local SQLite file.

    Any number of threads and processes may use one file. A service may be shared by threads, and is usable in a
    child process after a fork.

    Args:
        path: The file; made, with its folders, if it is not there (readable by its owner only). A relative path is
            made absolute at once, ``~`` is the home folder, a URL is refused. ``":memory:"`` keeps everything in this
            process. None: `database_file` of the app.
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

        A view made by `scope` for one app and one user refuses it.

        Example:
            >>> with SQLiteSessionService(":memory:") as service:
            ...     service.db["events"].count
            0
        """
        self._refuse_to_a_tenant("db")
        return self._sqlite.sqlite_utils()

    def query(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] = (), *, timeout: float = DEFAULT_QUERY_TIMEOUT
    ) -> Rows:
        """Runs one reading SQL statement and returns its rows as dicts, for the file's owner: it knows no tenants.

        A view made by `scope` for one app and one user refuses it.

        Args:
            sql: One statement over the tables and views of the file. SQLite itself refuses whatever would write,
                attach another file or change a setting.
            params: Values for ``?`` (a sequence) or ``:name`` (a mapping).
            timeout: How many seconds it may take.

        A value that the query makes may have 64 MB (or the largest event's size, if that is more; that size with JSON;
        fewer if a row has many), a pattern of LIKE or GLOB 1,000 bytes, a row 200 columns, and all rows together
        256 MB of memory.

        Raises:
            QueryError: It does more than read, is more than one statement, is wrong, or took too long or too much.

        Example:
            >>> with SQLiteSessionService(":memory:") as service:
            ...     service.query("SELECT count(*) AS sessions FROM sessions")
            [{'sessions': 0}]
        """
        self._refuse_to_a_tenant("query()")
        codec.text(sql, "sql")
        if isinstance(params, str) or not isinstance(params, (Sequence, Mapping)):
            raise InvalidInputError("params must be a sequence or a mapping of values")
        check_seconds(timeout, "timeout")
        return self._sqlite.query(sql, params, timeout, self._max_event_bytes)

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
            The findings, each with advice; ``.ok`` sums them up. One says how many sessions there are, and how many
            of other apps and users; not for a view made by `scope`.
        """
        report = check(self._sqlite, repair=repair)
        if not self._is_view:
            with contextlib.suppress(StoreError):  # what is damaged is among the findings
                report.append(self._owners())
        return report

    def _owners(self) -> Finding:
        sessions, apps, users = self._database.read(queries.COUNT_SESSIONS, {}, as_is)[0]
        message = f"{sessions:,} sessions of {users:,} users in {apps:,} apps"
        others = count_of_others(self)
        if others:
            message += f"; {others:,} are not of app {self.app_name!r} and user {self.user_id!r}"
        return Finding("owners", "ok", message, SEE_OTHERS if others else "")

    def _refuse_to_a_tenant(self, what: str) -> None:
        if self._is_view and not isinstance(self.app_name, AnyOf) and not isinstance(self.user_id, AnyOf):
            raise InvalidInputError(
                f"{what} knows no tenants, and this is a view for one app and one user: ask the service that was "
                "opened on the file, or a view made with ANY"
            )
