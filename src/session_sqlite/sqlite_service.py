"""`SQLiteSessionService`: all verbs over one file.

It stands above the service, and not in `sqlite`: that package lies below, where importers open the files of other
programs with it.
"""

from __future__ import annotations

import os
from typing import Final, Literal

from session_sqlite import codec
from session_sqlite.models import AnyOf
from session_sqlite.service import SessionService, checked_scope
from session_sqlite.sqlite.database import SQLiteDatabase
from session_sqlite.sqlite.paths import database_file

DEFAULT_BUSY_TIMEOUT: Final = 30.0

Durability = Literal["full", "fast"]


class SQLiteSessionService(SessionService):
    """Sessions in one local SQLite file.

    Any number of threads and processes may use one file. A service may be shared by threads, and is usable in a
    child process after a fork, which waits for writes of other threads.

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

    @property
    def _is_displaced(self) -> bool:
        return isinstance(self._database, SQLiteDatabase) and self._database.is_displaced
