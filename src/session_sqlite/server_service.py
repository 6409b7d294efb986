"""`SQLAlchemySessionService`: all verbs over a database server."""

from __future__ import annotations

from typing import Final

from session_sqlite import codec
from session_sqlite.database import check_seconds
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import AnyOf
from session_sqlite.service import SessionService, checked_scope

try:
    from session_sqlite.server.database import ServerDatabase
except ModuleNotFoundError as error:
    if error.name != "sqlalchemy":
        raise
    raise ModuleNotFoundError(
        "SQLAlchemySessionService needs SQLAlchemy 2: pip install 'session-sqlite[server]'", name=error.name
    ) from error

DEFAULT_POOL_SIZE: Final = 10
DEFAULT_BUSY_TIMEOUT: Final = 30.0


class SQLAlchemySessionService(SessionService):
    """Sessions on a PostgreSQL, MySQL or MariaDB server: the interface of `SQLiteSessionService`.

    Any number of threads, processes and machines may use one store. A service may be shared by threads, and is usable
    in a child process after a fork. Needs the extra ``server``.

    Args:
        url: Where the server is, as SQLAlchemy writes it: ``postgresql+psycopg://user:password@host/database`` or
            ``mysql+pymysql://…``. The tables are made if they are not there. The password is in no error and no log.
        app_name: The app of calls that name none; `ANY` to read across apps.
        user_id: The user of calls that name none; `ANY` to read across users.
        read_only: Only read a store that is there, with an account that needs no more rights than that; a write is a
            `ReadOnlyStoreError`.
        max_event_bytes: The most text that one event may have, in bytes of UTF-8.
        pool_size: How many connections are open at the most; a call waits for one to be free.
        busy_timeout: How many seconds a call waits for other writers, for a connection, or for a server that is gone
            to come back, before it is an error.

    Raises:
        InvalidInputError: The URL is malformed, names a SQLite file, or a server that is not served.
        StoreError: The server cannot be reached, or refuses the account, or is too old.
        ReadOnlyStoreError: The tables are not there, and the account may not make them.
        NewerSchemaError: A newer release has changed the store.
    """

    def __init__(
        self,
        url: str,
        *,
        app_name: str | AnyOf = "default",
        user_id: str | AnyOf = "default",
        read_only: bool = False,
        max_event_bytes: int = codec.DEFAULT_MAX_EVENT_BYTES,
        pool_size: int = DEFAULT_POOL_SIZE,
        busy_timeout: float = DEFAULT_BUSY_TIMEOUT,
    ) -> None:
        checked_scope(app_name, user_id)  # before anything is connected
        codec.whole_number(max_event_bytes, "max_event_bytes")
        check_seconds(busy_timeout, "busy_timeout")
        if codec.whole_number(pool_size, "pool_size") < 1:
            raise InvalidInputError("pool_size must be 1 or more")
        codec.flag(read_only, "read_only")
        database = ServerDatabase(url, pool_size=pool_size, busy_timeout=busy_timeout, read_only=read_only)
        super().__init__(database, app_name=app_name, user_id=user_id, max_event_bytes=max_event_bytes)
