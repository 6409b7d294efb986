"""The port: what a backend provides, and the values that pass through it. It knows nothing of the verbs.

A `Database` runs one query, or one transaction that holds the write lock from its start. It may have a `SearchIndex`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from session_sqlite import codec
from session_sqlite.codec import SessionKey
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import Event
from session_sqlite.pages import CheckReport, Rows
from session_sqlite.where import Where

if TYPE_CHECKING:
    import sqlite_utils

T = TypeVar("T")
Row = tuple[Any, ...]
Params = Mapping[str, Any]

LAST_ROW: Final = 2**63 - 1


class Reading(Protocol):
    """Runs queries: a transaction, or `Reads` outside of any."""

    def rows(self, sql: str, params: Params) -> list[Row]:
        """Runs a query and returns all of its rows."""


class Readable(Protocol):
    """Something that answers one query at a time: a database, or a transaction as `Within` shows it."""

    def read(self, sql: str, params: Params, make: Callable[[Row], T]) -> list[T]:
        """Runs one query and returns what ``make`` makes of each row; ``make`` does not touch the database."""


class Transaction(Reading, Protocol):
    """An open write transaction."""

    @property
    def index(self) -> SearchIndex | None:
        """Returns the search index of the database; None if there is none."""

    @property
    def may_be_done(self) -> bool:
        """True if the work runs again and nobody knows whether its first run was committed: look before writing."""

    def lock(self, *keys: SessionKey) -> set[SessionKey]:
        """Takes sessions, so that no other transaction changes them or their rows; returns which of them exist.

        Several are taken in one order, so that two transactions never wait for each other. Where a session does not
        exist there is nothing to take: the INSERT decides. A transaction of SQLite has locked the whole file already.
        """

    def advance(self, key: SessionKey, count: int, now: str) -> object:
        """Advances the ``last_seq`` of a session and takes the session, as `lock` does; also moves its ``updated_at``.

        Returns the new ``last_seq``, or whatever a damaged column holds; None if there is no such session.
        """

    def insert_events(self, rows: Sequence[Params]) -> None:
        """Writes the rows of new events, and their search words or a note for the index to make them."""

    def run(self, sql: str, params: Params) -> int:
        """Runs a statement and returns the number of rows that it changed."""

    def run_many(self, sql: str, params: Sequence[Params]) -> None:
        """Runs a statement once for each set of parameters."""


class Database(Readable, Protocol):
    """The store of a backend. Its methods raise the errors of `session_sqlite.errors`, never the driver's."""

    @property
    def index(self) -> SearchIndex | None:
        """Returns the search index; None if there is none, so that searches scan."""

    @property
    def path(self) -> Path | None:
        """Returns the absolute path of the file; None for a store in memory or on a server."""

    @property
    def closed(self) -> bool:
        """Returns True after `close`."""

    def messages_since(self, key: SessionKey, seq: int) -> list[Row] | None:
        """Returns the rows of `queries.EVENTS_FOR_MESSAGES` from a seq on, as of one moment; None if it cannot tell.

        Before the columns of each stand a number that is another one after each change of the session's events that is
        no append (None if nobody takes note of these), and how many events the session has. Without such events there
        is one row with these two alone; without the session there is none.
        """

    def write(self, work: Callable[[Transaction], T], *, patience: float | None = None, repeatable: bool = True) -> T:
        """Runs ``work`` in one transaction: all of it or nothing.

        ``work`` may be run again from its beginning after a conflict, so it changes nothing but the database. It takes
        each session that it changes before it reads anything of it (`Transaction.lock`).

        Args:
            work: What to do.
            patience: How many seconds to wait for other writers, if not as long as the database usually does.
            repeatable: Whether ``work`` may also run again when nobody knows if it was committed, since the server
                went away at that moment; otherwise that is a `StoreError`. A second run that finds nothing to do
                has the result of the first.
        """

    def purge(self) -> list[str]:
        """Makes deleted text unrecoverable; returns, in words, the places that may still hold it."""

    def close(self) -> None:
        """Releases everything; later calls raise `StoreClosedError`. Closing twice is harmless."""

    # These verbs are for the owner of a store: they work on the whole store.

    def db(self) -> sqlite_utils.Database:
        """Returns the file as a read-only sqlite-utils Database."""

    def query(
        self, sql: str, params: Sequence[Any] | Params, timeout: float, largest_event: int, told: Told | None = None
    ) -> Rows:
        """Runs one reading statement of the owner's. Values may be at least as long as the largest event.

        If the rows are told to somebody, they are not in what is returned.
        """

    def backup(self, target: object, *, overwrite: bool) -> Path:
        """Copies the store into a new file, as it is at one moment."""

    def check(self, *, repair: bool) -> CheckReport:
        """Checks everything that can go wrong with the store, and repairs what can be rebuilt if ``repair`` is set."""


class Told:
    """A receiver of the rows of a query: each is told once, also if the query has to begin again.

    Attributes:
        count: How many rows were told.
    """

    def __init__(self, each: Callable[[dict[str, Any]], object]) -> None:
        self._each = each
        self.count = 0

    def all(self, rows: Iterable[dict[str, Any]]) -> None:
        """Tells the rows of a query from its beginning, but for those that were told already."""
        for seen, row in enumerate(rows, start=1):
            if seen > self.count:
                self.count = seen
                self._each(row)


@dataclass(frozen=True)
class Reads:
    """A stand-in for a transaction that only reads: each query is a read of its own and takes no lock."""

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
    """A checked search: its terms, its scope and its order.

    Attributes:
        terms: All of them must be in the event.
        fields: Where to look: some of `search.FIELDS`.
        app_name: Only of this app; None for all.
        user_id: Only of this user; None for all.
        session_id: Only in this session of that app and user; None for all.
        clauses: Further conditions on events, as constants of `queries`.
        params: The values that the conditions bind.
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
        """Returns True for a search in tool calls that leaves out what was said."""
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
    """An event that a search found, with the row of its session and its score."""

    row_id: int
    event: Event
    session_row: Row
    score: float

    @classmethod
    def from_row(cls, row: Row, score: float) -> Found:
        """Returns what a row of `queries.EVENTS_WITH_SESSIONS` holds."""
        events = 1 + len(codec.EVENT_COLUMNS)
        return cls(row[0], codec.decode_event(row[1:events]), row[events:], score)


class Postings(Protocol):
    """Says which events may have the terms of a request in any of their texts; of terms of one word, which have."""

    @property
    def events(self) -> int:
        """Returns the number of events in the store."""

    def count(self, term: Term) -> int:
        """Returns how many events of the store have a term, whosever they are."""

    def rows(self, term: Term, among: Sequence[Term], most: int) -> list[int]:
        """Returns the events of a request's scope that may have a term, the last appended first, at most so many.

        Args:
            term: The term.
            among: Only of the events that have any of these; of all if there are none.
            most: How many at most.
        """


class Having(NamedTuple):
    """The events that may have a term, and the row from which on these are all; before it any may have it."""

    rows: frozenset[int]
    since: int = 0


class SearchIndex(Protocol):
    """An index that finds words faster than a scan, with the same answers.

    It is told of every change in the transaction that makes it.
    """

    def find(self, request: Request, limit: int) -> list[Found]:
        """Returns the first hits in the request's order; every event whose append has returned is found."""

    def with_postings(self, request: Request, use: Callable[[Postings], T]) -> T:
        """Returns what ``use`` makes of the postings of a request's terms; it may be called twice.

        Every event whose append has returned is in them.
        """

    def titled(self, term: Term, where: Where) -> frozenset[SessionKey] | None:
        """Returns the sessions whose titles may have a term, among them all that have it; None if they are many.

        Args:
            term: The term.
            where: Conditions on sessions, of which those on app and user are met.
        """

    def may_have(self, having: Mapping[Term, Having], where: Where) -> Where:
        """Returns a condition on sessions that leaves out most that lack a term, and none that has all of them.

        Without conditions, if that is not known.

        Args:
            having: The events that may have each term.
            where: The other conditions on the sessions.
        """

    def retitled(self, tx: Transaction, key: SessionKey, before: object, after: object) -> None:
        """Replaces the words of a session's title, as the columns say, empty for a new or a deleted session."""

    def forget(self, tx: Transaction, key: SessionKey, after_seq: int, until_seq: int) -> None:
        """Removes the words of a session's events in a range of seqs: the events are about to be deleted."""

    def changed(self, tx: Transaction, before: Row, after: Row) -> None:
        """Replaces the words of an event whose row has changed; both rows have their row_id first."""

    def removed(self, tx: Transaction) -> None:
        """Takes note that events were deleted."""

    def copied(self, tx: Transaction, key: SessionKey) -> None:
        """Takes note that a session was made by copying the events of another one."""


def check_seconds(value: object, name: str) -> None:
    """Raises `InvalidInputError` for anything but a number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise InvalidInputError(f"{name} must be a number of seconds, 0 or more")
