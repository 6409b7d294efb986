"""Which sessions a call is about: the conditions for them, and the error for one that is not there."""

from __future__ import annotations

from session_sqlite import queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Reading, Row
from session_sqlite.errors import SessionNotFoundError
from session_sqlite.models import ANY, AnyOf
from session_sqlite.where import Where


def missing(key: SessionKey) -> SessionNotFoundError:
    """Returns the error for a session that is not there, or not this user's."""
    return SessionNotFoundError(f"there is no {key}")


def require(reading: Reading, key: SessionKey) -> None:
    """Raises `SessionNotFoundError` unless the session is there."""
    if not reading.rows(queries.LAST_SEQ, key.params()):
        raise missing(key)


def of_scope(app: str | AnyOf, user: str | AnyOf) -> Where:
    """Returns the conditions for an app and a user; none for `ANY`."""
    where = Where()
    if app is not ANY:
        where = where.also(queries.OF_APP, app_name=app)
    if user is not ANY:
        where = where.also(queries.OF_USER, user_id=user)
    return where


def with_id(reading: Reading, where: Where, session_id: str) -> list[Row]:
    """Returns the rows of at most two sessions with an id, among those that fit."""
    where = where.also(queries.WITH_ID, session_id=session_id).with_values(limit=2)
    return reading.rows(where.statement(queries.SESSIONS, queries.LATEST_FIRST + queries.LIMITED), where.params)


def count(reading: Reading, where: Where) -> int:
    """Counts the sessions that fit."""
    found: int = reading.rows(where.statement(queries.COUNT_SESSIONS), where.params)[0][0]
    return found


def of_session(key: SessionKey) -> Where:
    """Returns the condition for the rows of one session, other than its own."""
    return Where((queries.OF_SESSION,), key.params())
