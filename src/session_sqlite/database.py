"""The port: what a backend provides, and nothing of sessions.

A `Database` runs one query, or one transaction that holds the write lock from its start. It may have a `SearchIndex`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from session_sqlite import codec
from session_sqlite.codec import SessionKey
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import Event
from session_sqlite.pages import CheckReport, Rows

if TYPE_CHECKING:
    import sqlite_utils

T = TypeVar("T")
Row = tuple[Any, ...]
Params = Mapping[str, Any]

LAST_ROW: Final = 2**63 - 1


class Reading(Protocol):
    """Something that runs queries: a transaction, or `Reads` outside of any."""

    def rows(self, sql: str, params: Params) -> list[Row]:
        """Runs a query and returns all of its rows."""


class Readable(Protocol):
    """Something that answers one query at a time: a database, or a transaction as `Within` shows it."""

    def read(self, sql: str, params: Params, make: Callable[[Row], T]) -> list[T]:
        """Runs one query and returns what ``make`` makes of each row; ``make`` does not touch the database."""


class Transaction(Reading, Protocol):
    """A write transaction that is under way."""

    @property
    def index(self) -> SearchIndex | None:
        """The search index of the database; None if there is none."""

    def lock(self, *keys: SessionKey) -> set[SessionKey]:
        """Takes sessions, so that no other transaction changes them or their rows; returns which of them exist.

        Several are taken in one order, so that two transactions never wait for each other. Where a session does not
        exist there is nothing to take: the INSERT decides. A transaction of SQLite has taken everything already.
        """

    def run(self, sql: str, params: Params) -> int:
        """Runs a statement and returns the number of rows that it changed."""

    def run_many(self, sql: str, params: Sequence[Params]) -> None:
        """Runs a statement once for each set of parameters."""


class Database(Readable, Protocol):
    """What a backend provides. Every method raises errors of `session_sqlite.errors`, never the driver's."""

    @property
    def index(self) -> SearchIndex | None:
        """The search index; None if there is none, and searches scan."""

    @property
    def path(self) -> Path | None:
        """The absolute path of the file; None for a store in memory or on a server."""

    @property
    def closed(self) -> bool:
        """True after `close`."""

    def write(self, work: Callable[[Transaction], T], *, patience: float | None = None, repeatable: bool = True) -> T:
        """Runs ``work`` in one transaction: all of it or nothing.

        ``work`` may be run again from its beginning after a conflict, so it changes nothing but the database. It takes
        each session that it changes before it reads anything of it (`Transaction.lock`).

        Args:
            work: What to do.
            patience: How many seconds to wait for other writers, if not as long as the database usually does.
            repeatable: Whether ``work`` may also run again when nobody knows if it was committed, since the server
                went away at that moment; otherwise that is a `StoreError`.
        """

    def purge(self) -> list[str]:
        """Makes text that was deleted unrecoverable; returns what may still hold it, in words."""

    def close(self) -> None:
        """Releases everything; later calls raise `StoreClosedError`. Closing twice is harmless."""

    # What only the owner of a store may do.

    def db(self) -> sqlite_utils.Database:
        """Returns the file as a read-only sqlite-utils Database."""

    def query(self, sql: str, params: Sequence[Any] | Params, timeout: float, largest_event: int) -> Rows:
        """Runs one reading statement of the owner's, with values up to the size of the largest event at least."""

    def backup(self, target: object, *, overwrite: bool) -> Path:
        """Copies the store, as of one moment, into a new file."""

    def check(self, *, repair: bool) -> CheckReport:
        """Looks at everything that can go wrong with the store."""


@dataclass(frozen=True)
class Reads:
    """The queries of a transaction, outside of any: each is a read of its own and takes no lock."""

    database: Readable

    def rows(self, sql: str, params: Params) -> list[Row]:
        """See `Reading.rows`."""
        return self.database.read(sql, params, tuple)


@dataclass(frozen=True)
class Term:
    """Words that must stand side by side; the last one may be a prefix."""

    words: tuple[str, ...]
    prefix: bool = False


@dataclass(frozen=True)
class Request:
    """A checked search: what to find, where, and in which order.

    Attributes:
        terms: All of them must be in the event.
        fields: Where to look: some of `search.FIELDS`.
        app_name: Only of this app; None for all.
        user_id: Only of this user; None for all.
        session_id: Only in this session of that app and user; None for all.
        clauses: Further conditions on events, as constants of `queries`.
        params: What they bind.
        newest_first: By the order of appending instead of by rank.
        until_row: Only events up to this row, the order of appending in the whole store.
        seen: Rows that earlier pages had.
    """

    terms: tuple[Term, ...]
    fields: tuple[str, ...]
    app_name: str | None
    user_id: str | None
    session_id: str | None
    clauses: tuple[str, ...]
    params: Mapping[str, Any]
    newest_first: bool
    until_row: int = LAST_ROW
    seen: frozenset[int] = frozenset()

    @property
    def tools_alone(self) -> bool:
        """True for a search in tool calls that leaves out what was said."""
        return "tools" in self.fields and "content" not in self.fields


@dataclass(frozen=True)
class Within:
    """The reads of a database, within a transaction of it."""

    tx: Transaction

    def read(self, sql: str, params: Params, make: Callable[[Row], T]) -> list[T]:
        """See `Readable.read`."""
        return [make(row) for row in self.tx.rows(sql, params)]


@dataclass(frozen=True)
class Found:
    """An event that a search found, before it is shown."""

    row_id: int
    event: Event
    session_row: Row
    score: float

    @classmethod
    def from_row(cls, row: Row, score: float) -> Found:
        """From a row of `queries.EVENTS_WITH_SESSIONS`."""
        events = 1 + len(codec.EVENT_COLUMNS)
        return cls(row[0], codec.decode_event(row[1:events]), row[events:], score)


class SearchIndex(Protocol):
    """What finds words faster than a scan. It gives the same answers."""

    def find(self, request: Request, limit: int) -> list[Found]:
        """The first hits in the request's order; it sees every event whose append has returned."""

    def forget(self, tx: Transaction, key: SessionKey, after_seq: int, until_seq: int) -> None:
        """Takes out the words of a session's events after a seq and up to one, which are about to be removed."""

    def changed(self, tx: Transaction, before: Row, after: Row) -> None:
        """Is told, in the same transaction, what an event's row (with its row_id first) was and is."""

    def removed(self, tx: Transaction) -> None:
        """Is told, in the same transaction, that events were removed."""

    def appended(self, tx: Transaction, rows: Sequence[Params]) -> None:
        """Is told, in the same transaction, which rows of events were appended."""

    def copied(self, tx: Transaction, key: SessionKey) -> None:
        """Is told, in the same transaction, that a session was made of copies."""


def check_seconds(value: object, name: str) -> None:
    """Raises `InvalidInputError` for anything but a number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise InvalidInputError(f"{name} must be a number of seconds, 0 or more")
