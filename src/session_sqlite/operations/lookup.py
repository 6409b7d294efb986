"""The conditions for the sessions that a call means, and the error for a session that does not exist."""

from __future__ import annotations

from session_sqlite import queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Reading, Row
from session_sqlite.errors import SessionNotFoundError
from session_sqlite.models import ANY, AnyOf
from session_sqlite.where import Where


def missing(key: SessionKey) -> SessionNotFoundError:
    """Returns the error for a session that does not exist, or belongs to another app or user."""
    return SessionNotFoundError(f"there is no {key}")


def require(reading: Reading, key: SessionKey) -> None:
    """Raises `SessionNotFoundError` if the session does not exist."""
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
    """Returns the rows of the sessions with an id that match, at most two: enough to tell that an id is not unique."""
    where = where.also(queries.WITH_ID, session_id=session_id).with_values(limit=2)
    return reading.rows(where.statement(queries.SESSIONS, queries.LATEST_FIRST + queries.LIMITED), where.params)


def count(reading: Reading, where: Where) -> int:
    """Counts the sessions that match."""
    count: int = reading.rows(where.statement(queries.COUNT_SESSIONS), where.params)[0][0]
    return count


def of_session(key: SessionKey) -> Where:
    """Returns the conditions for the rows of one session in the tables of events and of state."""
    return Where((queries.OF_SESSION,), key.params())
