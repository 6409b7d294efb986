"""Whose, and which: the app and user that a service's calls mean, and the session that an argument names.

The bottom of `SessionService`. Every statement carries an app and a user; here is where they come from.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final, Self

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Row
from session_sqlite.errors import InvalidInputError, SessionNotFoundError, StoreError
from session_sqlite.models import ANY, AnyOf
from session_sqlite.pages import WhyEmpty
from session_sqlite.session import Session, attached

SEE_OTHERS: Final = "service.scope(app_name=ANY, user_id=ANY) sees them"


class ScopedService:
    """A database and the app and user that calls mean by default."""

    def __init__(
        self,
        database: Database,
        *,
        app_name: str | AnyOf = "default",
        user_id: str | AnyOf = "default",
        max_event_bytes: int = codec.DEFAULT_MAX_EVENT_BYTES,
    ) -> None:
        self._app_name, self._user_id = checked_scope(app_name, user_id)
        self._max_event_bytes = codec.whole_number(max_event_bytes, "max_event_bytes")
        self._database = database
        self._is_view = False

    @property
    def app_name(self) -> str | AnyOf:
        """The app of calls that name none; `ANY` for a view across apps."""
        return self._app_name

    @property
    def user_id(self) -> str | AnyOf:
        """The user of calls that name none; `ANY` for a view across users."""
        return self._user_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._database}, app_name={self._app_name!r}, user_id={self._user_id!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the store; later calls raise `StoreClosedError`. A view made by `scope` leaves the store open."""
        if not self._is_view:
            self._database.close()

    def scope(self, *, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None) -> Self:
        """A view of the same store with another app or user as the default, made without I/O.

        A web server scopes once a request: ``service.scope(user_id=request.user.id)``. `ANY` reads across. A view for
        one app and one user never says that others have sessions, and has neither ``query`` nor ``db``.
        """
        view = copy.copy(self)
        view._app_name, view._user_id = self._scope(app_name, user_id)
        view._is_view = True
        return view

    def get_session(
        self,
        session_id: Session | str,
        *,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Session:
        """Reads a session.

        With `ANY` as the app or user, the one session with this id; `InvalidInputError` if several have it.

        Raises:
            SessionNotFoundError: This app and user have no such session.
        """
        if isinstance(session_id, Session):
            key = key_of(session_id)
            found = self._database.read(queries.SESSION, key.params(), self._session)
            name = str(key)
        else:
            id = codec.identifier(session_id, "session_id")
            clauses, params = self._scope_clauses(app_name, user_id)
            sql = queries.joined(queries.SESSIONS, [*clauses, queries.WITH_ID], queries.LATEST_FIRST + queries.LIMITED)
            found = self._database.read(sql, {**params, "session_id": id, "limit": 2}, self._session)
            name = f"session {id!r}"
        if not found:
            raise SessionNotFoundError(f"there is no {name}")
        if len(found) > 1:
            raise InvalidInputError(f"several apps or users have a {name}: name the app_name and user_id")
        return found[0]

    def _why_empty(self, session: object, app_name: str | AnyOf | None, user_id: str | AnyOf | None) -> WhyEmpty | None:
        """Returns what an empty list asks when it is shown: whether it is empty because others have the sessions."""
        if self._is_view or session is not None:
            return None
        app, user = self._scope(app_name, user_id)
        return lambda: others_said(self, app, user)

    def _scope(self, app_name: str | AnyOf | None, user_id: str | AnyOf | None) -> tuple[str | AnyOf, str | AnyOf]:
        return checked_scope(
            self._app_name if app_name is None else app_name, self._user_id if user_id is None else user_id
        )

    def _scope_clauses(
        self, app_name: str | AnyOf | None, user_id: str | AnyOf | None
    ) -> tuple[list[str], dict[str, Any]]:
        return _clauses_of(*self._scope(app_name, user_id))

    def _exact_key(self, session_id: object, app_name: str | None = None, user_id: str | None = None) -> SessionKey:
        app, user = self._scope(app_name, user_id)
        if isinstance(app, AnyOf) or isinstance(user, AnyOf):
            raise InvalidInputError(
                "this needs one app and one user, not ANY: name them, use service.scope(…), or give a Session"
            )
        return SessionKey(app, user, codec.identifier(session_id, "session_id"))

    def _key(self, session: object) -> SessionKey:
        """The session that a call writes to. Raises `InvalidInputError`."""
        if isinstance(session, Session):
            return key_of(session)
        return self._exact_key(session)

    def _key_to_read(self, session: object) -> SessionKey:
        """The session that a call reads: under `ANY`, an id is looked up across."""
        if isinstance(session, Session):
            return key_of(session)
        if self._app_name is ANY or self._user_id is ANY:
            return key_of(self.get_session(session))  # type: ignore[arg-type]  # it checks its argument
        return self._exact_key(session)

    def _session(self, row: Row) -> Session:
        session = codec.decode_session(row, Session)
        return attached(session, self)  # type: ignore[arg-type]  # a base of SessionService, never used alone

    def _require(self, key: SessionKey) -> None:
        if not self._database.read(queries.LAST_SEQ, key.params(), as_is):
            raise missing(key)


def count_of_others(
    service: ScopedService, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None
) -> int:
    """Counts the sessions of other apps and users than a call means, for the owner of the file.

    A view made by `ScopedService.scope` may belong to one user of many: of it the answer is always 0.
    """
    clauses, params = service._scope_clauses(app_name, user_id)
    if service._is_view or not clauses:
        return 0

    def count(conditions: list[str], bound: dict[str, Any]) -> int:
        found: int = service._database.read(queries.joined(queries.COUNT_SESSIONS, conditions), bound, as_is)[0][0]
        return found

    return max(count([], {}) - count(clauses, params), 0)


def others_said(
    service: ScopedService,
    app_name: str | AnyOf | None = None,
    user_id: str | AnyOf | None = None,
    *,
    advice: str = SEE_OTHERS,
) -> str:
    """Says how many sessions others have and how to see them; nothing if there are none, or if it cannot be read."""
    try:
        count = count_of_others(service, app_name, user_id)
    except StoreError:
        return ""
    return f"Other apps or users have {count:,} session{'' if count == 1 else 's'}: {advice}." if count else ""


class SessionListing:
    """One list of sessions, the latest first: its condition, its order and its cursors.

    Within one app and user the index on (app_name, user_id, updated_at, id) gives the order; across, it is sorted.
    """

    def __init__(self, app: str | AnyOf, user: str | AnyOf, cursor: str | None) -> None:
        self.clauses, self.params = _clauses_of(app, user)
        self._scope = ("sessions", repr(app), repr(user))
        across = len(self.clauses) < 2
        self._order = queries.LATEST_FIRST_OF_ANY if across else queries.LATEST_FIRST
        self._beyond = queries.BEYOND_OF_ANY if across else queries.BEYOND
        self._position: Sequence[str] | None = None
        if cursor is not None:
            self._position = codec.decode_cursor(cursor, self._scope, [str, str, str, str])

    def read(self, database: Database, statement: str, limit: int | None) -> list[Row]:
        """The next rows, which begin with the columns of a session; the listing moves on behind them."""
        clauses, params, order = self.clauses, dict(self.params), self._order
        if self._position is not None:
            clauses = [*clauses, self._beyond]
            params.update(zip(("at_updated", "at_id", "at_app", "at_user"), self._position, strict=True))
        if limit is not None:
            order += queries.LIMITED
            params["limit"] = limit
        rows = database.read(queries.joined(statement, clauses, order), params, as_is)
        if rows:
            self._position = self._position_of(rows[-1])
        return rows

    def cursor_after(self, row: Row) -> str:
        """The cursor for what follows a row."""
        return codec.encode_cursor(self._scope, self._position_of(row))

    @staticmethod
    def _position_of(row: Row) -> tuple[str, str, str, str]:
        columns = dict(zip(codec.SESSION_COLUMNS, row, strict=False))
        updated_at = columns["updated_at"]
        if not isinstance(updated_at, str):
            updated_at = codec.AFTER_ALL_TIMES  # as SQLite sorts what is damaged
        id, app, user = (
            columns[name] if isinstance(columns[name], str) else "" for name in ("id", "app_name", "user_id")
        )
        return updated_at, id, app, user


def _clauses_of(app: str | AnyOf, user: str | AnyOf) -> tuple[list[str], dict[str, Any]]:
    """The conditions for an app and a user, and what they bind; none for `ANY`."""
    clauses: list[str] = []
    params: dict[str, Any] = {}
    if app is not ANY:
        clauses.append(queries.OF_APP)
        params["app_name"] = app
    if user is not ANY:
        clauses.append(queries.OF_USER)
        params["user_id"] = user
    return clauses, params


def checked_scope(app_name: object, user_id: object) -> tuple[str | AnyOf, str | AnyOf]:
    """The app and user that a call means: identifiers or `ANY`. Raises `InvalidInputError`."""
    return (
        app_name if isinstance(app_name, AnyOf) else codec.identifier(app_name, "app_name"),
        user_id if isinstance(user_id, AnyOf) else codec.identifier(user_id, "user_id"),
    )


def as_is(row: Row) -> Row:
    """The row itself, for reads that need nothing made of it."""
    return row


def key_of(session: Session) -> SessionKey:
    """What names a session. Raises `InvalidInputError` for one that was made by hand and is malformed."""
    return SessionKey(
        codec.identifier(session.app_name, "app_name"),
        codec.identifier(session.user_id, "user_id"),
        codec.identifier(session.id, "session_id"),
    )


def missing(key: SessionKey) -> SessionNotFoundError:
    """The error for a session that is not there, or not this user's."""
    return SessionNotFoundError(f"there is no {key}")
