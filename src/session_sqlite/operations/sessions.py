"""Making, listing, changing and deleting sessions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Row, Transaction
from session_sqlite.errors import CorruptStoreError, InvalidInputError, SessionExistsError
from session_sqlite.models import ANY, AnyOf, SessionRecord
from session_sqlite.operations import appending, state
from session_sqlite.operations.lookup import missing, of_scope
from session_sqlite.where import IDS_AT_ONCE, with_ids

S = TypeVar("S", bound=SessionRecord)

MAX_METADATA_CONDITIONS: Final = 20  # checked by SQL, which limits the parameters of a statement; Python checks all
FILTERED_AT_ONCE: Final = 500  # rows that are read at a time if Python checks a condition


# ---------------------------------------------------------------- lists


class Listing:
    """A list of sessions, the latest change first: its conditions, its order, and how far it was read.

    Within one app and user the index on (app_name, user_id, updated_at, id) gives the order; across them, SQL sorts.
    """

    def __init__(self, app: str | AnyOf, user: str | AnyOf, cursor: str | None = None) -> None:
        self.where = of_scope(app, user)
        self._scope = ("sessions", repr(app), repr(user))
        is_across = app is ANY or user is ANY
        self._order = queries.LATEST_FIRST_OF_ANY if is_across else queries.LATEST_FIRST
        self._beyond = queries.BEYOND_OF_ANY if is_across else queries.BEYOND
        self._position: Sequence[str] | None = None
        if cursor is not None:
            self._position = codec.decode_cursor(cursor, self._scope, [str, str, str, str])

    def narrow(self, condition: str, **values: Any) -> None:
        """Adds a condition and its values."""
        self.where = self.where.also(condition, **values)

    def read(self, database: Database, select: str, limit: int | None) -> list[Row]:
        """Returns the next rows, which begin with the columns of a session; the next call continues after them."""
        where, order = self.where, self._order
        if self._position is not None:
            updated, id, app, user = self._position
            where = where.also(self._beyond, at_updated=updated, at_id=id, at_app=app, at_user=user)
        if limit is not None:
            where, order = where.with_values(limit=limit), order + queries.LIMITED
        rows = database.read(where.statement(select, order), where.params, tuple)
        if rows:
            self._position = position_of(rows[-1])
        return rows

    @property
    def position(self) -> Sequence[str] | None:
        """Returns the place of the last session that was read (see `position_of`); None if none was."""
        return self._position

    def start_after(self, position: Sequence[str] | None) -> None:
        """Continues after the place of a session; from the beginning if it is None."""
        self._position = position

    def is_beyond(self, row: Row) -> bool:
        """Returns True if a session's row has not been read yet."""
        return self._position is None or position_of(row) < tuple(self._position)

    def cursor_after(self, row: Row) -> str:
        """Returns the cursor for the sessions after a row."""
        return codec.encode_cursor(self._scope, position_of(row))


def position_of(row: Row) -> tuple[str, str, str, str]:
    """Returns the place of a session's row in a list, as a cursor holds it."""
    columns = dict(zip(codec.SESSION_COLUMNS, row, strict=False))
    updated_at = columns["updated_at"]
    if not isinstance(updated_at, str):
        updated_at = codec.AFTER_ALL_TIMES  # where SQLite sorts a damaged time
    id, app, user = (columns[name] if isinstance(columns[name], str) else "" for name in ("id", "app_name", "user_id"))
    return updated_at, id, app, user


def page(
    database: Database,
    listing: Listing,
    metadata: Mapping[str, Any],
    limit: int | None,
    make: Callable[[Row], S],
) -> tuple[list[S], str | None]:
    """Returns a page of sessions that have all of the metadata, and the cursor of the next page."""
    narrow_by_metadata(listing, metadata)
    matches: list[tuple[Row, S]] = []
    sought = None if limit is None else limit + 1
    at_once = FILTERED_AT_ONCE if metadata else sought
    while True:
        rows = listing.read(database, queries.SESSIONS, at_once)
        sessions = [(row, make(row)) for row in rows]
        matches += [one for one in sessions if has_metadata(one[1], metadata)] if metadata else sessions
        if at_once is None or len(rows) < at_once or (sought is not None and len(matches) >= sought):
            break
    kept = matches[:limit]
    has_more = bool(kept) and len(matches) > len(kept)
    return [session for _, session in kept], listing.cursor_after(kept[-1][0]) if has_more else None


def narrow_by_metadata(listing: Listing, metadata: Mapping[str, Any]) -> None:
    """Adds the conditions by which SQL leaves out most sessions without the metadata; see `has_metadata`."""
    for index, (name, value) in enumerate(list(metadata.items())[:MAX_METADATA_CONDITIONS]):
        pattern = {f"metadata_{index}": codec.metadata_pattern(name, value)}
        listing.narrow(queries.METADATA_LIKE.format(index), **pattern)


def has_metadata(session: SessionRecord, wanted: Mapping[str, Any]) -> bool:
    """Returns True if the metadata of a session has each of the keys, with an equal value."""
    return all(
        name in session.metadata and codec.same_json(session.metadata[name], value) for name, value in wanted.items()
    )


def overviews(database: Database, listing: Listing, limit: int | None) -> tuple[list[Row], str | None]:
    """Returns a page of rows of `queries.OVERVIEWS`, and the cursor of the next page."""
    rows = listing.read(database, queries.OVERVIEWS, None if limit is None else limit + 1)
    kept = [_marked(database, row) for row in (rows if limit is None else rows[:limit])]
    return kept, listing.cursor_after(kept[-1]) if len(kept) < len(rows) and kept else None


def overviews_of(database: Database, keys: Iterable[SessionKey]) -> dict[SessionKey, Row]:
    """Returns the rows of `queries.OVERVIEWS` of some sessions, those that still exist, by their keys."""
    by_owner: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key in keys:
        by_owner[key.app_name, key.user_id].append(key.session_id)
    found: dict[SessionKey, Row] = {}
    for (app, user), ids in by_owner.items():
        where = of_scope(app, user).also(queries.WITH_IDS)
        for start in range(0, len(ids), IDS_AT_ONCE):
            sql, names = with_ids(where.statement(queries.OVERVIEWS), ids[start : start + IDS_AT_ONCE])
            for row in database.read(sql, {**where.params, **names}, tuple):
                found[SessionKey(app, user, row[_ID])] = _marked(database, row)
    return found


def _marked(database: Database, row: Row) -> Row:
    """Returns a row of `queries.OVERVIEWS`; the marks of its attachments stand for a first message without words."""
    if row[_FIRST_MESSAGE] != "":
        return row
    _, id, app, user = position_of(row)
    first = database.read(queries.FIRST_OF_USER, SessionKey(app, user, id).params(), tuple)
    marks = " ".join(str(attachment) for one in first for attachment in codec.decode_event(one).attachments)
    return (*row[:_FIRST_MESSAGE], marks, *row[_FIRST_MESSAGE + 1 :])


_ID: Final = codec.SESSION_COLUMNS.index("id")
_FIRST_MESSAGE: Final = len(codec.SESSION_COLUMNS)

# ---------------------------------------------------------------- changes


def create(tx: Transaction, row: Mapping[str, Any], delta: Mapping[str, Any], *, exist_ok: bool) -> Row:
    """Makes a session from its encoded row, with its state, and returns the row as stored."""
    key = SessionKey(row["app_name"], row["user_id"], row["id"])
    if tx.lock(key):
        stored = tx.rows(queries.SESSION, key.params())[0]
        if exist_ok or is_same(stored, row):
            return stored
        raise SessionExistsError(f"{key} exists already: give another id, or exist_ok=True")
    tx.run(queries.INSERT_SESSION, row)
    retitled(tx, key, "")
    state.write(tx, key, delta, row["created_at"])
    return tx.rows(queries.SESSION, key.params())[0]


def is_same(stored: Row, row: Mapping[str, Any]) -> bool:
    """Returns True if a stored session is the one that this same row has made.

    If the connection to a server is lost during a commit, the operation runs again and may find its own result.
    """
    return all(row[name] == value for name, value in zip(codec.SESSION_COLUMNS, stored, strict=True))


def update(
    tx: Transaction,
    key: SessionKey,
    changes: Sequence[tuple[str, Mapping[str, Any]]],
    metadata: Mapping[str, Any] | None,
    now: str,
) -> Row:
    """Changes columns of a session, merges metadata into it, and returns its new row."""
    if not tx.lock(key):
        raise missing(key)
    params = key.params()
    before = title_of(tx, key)
    for sql, change in changes:
        tx.run(sql, {**params, **change})
    retitled(tx, key, before)
    if metadata is not None:
        tx.run(queries.SET_METADATA, {**params, "metadata": _merged(tx, key, metadata)})
    if changes or metadata is not None:
        tx.run(queries.TOUCH_SESSION, {**params, "now": now})
    return tx.rows(queries.SESSION, params)[0]


def title_of(tx: Transaction, key: SessionKey) -> object:
    """Returns the title of a session as its column has it, if an index has its words; empty if there is no session."""
    rows = tx.rows(queries.TITLE, key.params()) if tx.index is not None else []
    return rows[0][0] if rows else ""


def retitled(tx: Transaction, key: SessionKey, before: object) -> None:
    """Gives the index the words of a title that was written or deleted, in place of those that it had before."""
    if tx.index is not None:
        tx.index.retitled(tx, key, before, title_of(tx, key))


def _merged(tx: Transaction, key: SessionKey, changes: Mapping[str, Any]) -> str:
    stored = tx.rows(queries.SESSION_METADATA, key.params())[0][0]
    try:
        return codec.merge_metadata(stored, changes)
    except InvalidInputError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptStoreError(f"the stored metadata of {key} is not a JSON object") from error


def delete(tx: Transaction, key: SessionKey) -> tuple[bool, int]:
    """Deletes a session with its events and its own state; returns whether it existed, and how many events it had."""
    tx.lock(key)
    events = appending.remove_events(tx, key)
    tx.run(queries.DELETE_STATE_OF_SESSION, key.params())
    title = title_of(tx, key)
    existed = tx.run(queries.DELETE_SESSION, key.params()) > 0
    retitled(tx, key, title)
    return existed, events


def clear(tx: Transaction, key: SessionKey, now: str) -> int:
    """Removes all events of a session and returns how many there were."""
    if not tx.run(queries.TOUCH_SESSION, {**key.params(), "now": now}):
        raise missing(key)
    state.start_from_present(tx, key)
    return appending.remove_events(tx, key)
