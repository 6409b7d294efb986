"""The port: what a backend provides, and nothing of sessions.

A `Database` runs one query, or one transaction that holds the write lock from its start. It may have a `SearchIndex`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from session_sqlite import codec
from session_sqlite.codec import SessionKey
from session_sqlite.models import Event
from session_sqlite.search import Request

T = TypeVar("T")
Row = tuple[Any, ...]
Params = Mapping[str, Any]


class Reading(Protocol):
    """Something that runs queries: a transaction, or `Reads` outside of any."""

    def rows(self, sql: str, params: Params) -> list[Row]:
        """Runs a query and returns all of its rows."""


class Transaction(Reading, Protocol):
    """A write transaction that is under way."""

    def run(self, sql: str, params: Params) -> int:
        """Runs a statement and returns the number of rows that it changed."""

    def run_many(self, sql: str, params: Sequence[Params]) -> None:
        """Runs a statement once for each set of parameters."""


class Database(Protocol):
    """What a backend provides. Every method raises errors of `session_sqlite.errors`, never the driver's."""

    def read(self, sql: str, params: Params, make: Callable[[Row], T]) -> list[T]:
        """Runs one query and returns what ``make`` makes of each row; ``make`` does not touch the database."""

    def write(self, work: Callable[[Transaction], T], *, patience: float | None = None) -> T:
        """Runs ``work`` in one transaction that holds the write lock from its start: all of it or nothing.

        ``work`` may be run again from its beginning after a conflict, so it changes nothing but the database.
        ``patience`` is how many seconds to wait for other writers, if not as long as the database usually does.
        """

    @property
    def index(self) -> SearchIndex | None:
        """The search index; None if there is none, and searches scan."""

    def purge(self) -> list[str]:
        """Makes text that was deleted unrecoverable; returns what may still hold it, in words."""

    def close(self) -> None:
        """Releases everything; later calls raise `StoreClosedError`. Closing twice is harmless."""


@dataclass(frozen=True)
class Reads:
    """The queries of a transaction, outside of any: each is a read of its own and takes no lock."""

    database: Database

    def rows(self, sql: str, params: Params) -> list[Row]:
        """See `Reading.rows`."""
        return self.database.read(sql, params, tuple)


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

    def appended(self, tx: Transaction, count: int) -> None:
        """Is told, in the same transaction, that events were appended."""
