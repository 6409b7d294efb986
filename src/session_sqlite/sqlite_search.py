"""The search index of a SQLite file: FTS5 over the words of `search`, without a copy of the text.

The index is fed in the order of ``row_id``, behind a mark: appending does not wait for it, a search catches up first.
What a search may not or cannot write (a read-only store, another process in a long transaction) it scans instead, so
an event is found as soon as its append has returned. Removing events takes their words out in the same transaction.
"""

from __future__ import annotations

from typing import Any, Final

from session_sqlite import codec, queries, search
from session_sqlite.codec import EVENT_COLUMNS, SessionKey
from session_sqlite.database import Database, Found, Row, Transaction
from session_sqlite.errors import ReadOnlyStoreError, StoreBusyError
from session_sqlite.history_queries import scan, tenant_clauses

CHUNK_EVENTS: Final = 1000  # how many events one transaction indexes: some 50 ms
CATCH_UP_PATIENCE: Final = 0.05  # seconds that a search waits for other writers before it scans instead
CHECK_EVERY: Final = 500  # appended events
LONGEST_TAIL: Final = 20_000  # events behind the mark from which on appending helps to index


class SQLiteSearchIndex:
    """The index of one file; see `SearchIndex` of the service."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._until_check = 1

    def find(self, request: search.Request, limit: int, offset: int) -> list[Found]:
        """See `SearchIndex.find`."""
        mark, last = self._catch_up()
        recent = []
        if last > mark:
            recent = list(scan(self._database, request, queries.ROW_AFTER, {"after_row": mark}))
            recent.sort(key=lambda found: found.row_id if request.newest_first else found.score, reverse=True)
        found = recent[offset : offset + limit]
        if len(found) < limit:
            # What is both in the tail and in the index was indexed by another process in between.
            known = {one.row_id for one in recent}
            rest = self._indexed(request, limit - len(found), max(0, offset - len(recent)))
            found += [one for one in rest if one.row_id not in known]
        return found

    def _indexed(self, request: search.Request, limit: int, offset: int) -> list[Found]:
        params: dict[str, Any] = {
            **request.params, "match": request.match_expression(), "limit": limit, "offset": offset,
        }  # fmt: skip
        tenant = tenant_clauses(request)
        if request.clauses or (request.user_id is not None and request.app_name is None):
            tail = queries.BY_ROW_LIMITED if request.newest_first else queries.BY_RANK_LIMITED
            sql = queries.joined(queries.ALL_HITS, [*tenant, *request.clauses], tail)
        elif request.newest_first:
            sql = queries.joined(queries.HITS_NEWEST_FIRST, tenant, queries.BY_ROW)
        else:
            sql = queries.joined(queries.HITS_BY_RANK, tenant, queries.BY_RANK)
        return self._database.read(sql, params, _found)

    def forget(self, tx: Transaction, key: SessionKey, after_seq: int, until_seq: int) -> None:
        """See `SearchIndex.forget`."""
        params = {**key.params(), "after": after_seq, "until_seq": until_seq}
        rows = tx.rows(queries.INDEXED_EVENTS_OF_SESSION, params)
        tx.run_many(queries.UNINDEX_EVENT, [_params(row) for row in rows])

    def changed(self, tx: Transaction, before: Row, after: Row) -> None:
        """See `SearchIndex.changed`."""
        if before[0] <= tx.rows(queries.INDEXED, {})[0][0]:
            tx.run(queries.UNINDEX_EVENT, _params(before))
            tx.run(queries.INDEX_EVENT, _params(after))

    def removed(self, tx: Transaction) -> None:
        """See `SearchIndex.removed`."""
        tx.run(queries.LOWER_INDEXED, {})

    def appended(self, tx: Transaction, count: int) -> None:
        """See `SearchIndex.appended`."""
        self._until_check -= count
        if self._until_check <= 0:
            self._until_check = CHECK_EVERY
            mark, last = tx.rows(queries.INDEXED, {})[0]
            if (last or 0) - mark > LONGEST_TAIL:
                _index_chunk(tx, mark)

    def _catch_up(self) -> tuple[int, int]:
        """Indexes what it can; returns the mark and the last row, which are equal if that was everything."""
        while True:
            mark, last = self._database.read(queries.INDEXED, {}, tuple)[0]
            if (last or 0) <= mark:
                return mark, mark
            try:
                self._database.write(lambda tx: _index_chunk(tx, None), patience=CATCH_UP_PATIENCE)
            except (ReadOnlyStoreError, StoreBusyError):
                return mark, last

    def rebuild(self) -> None:
        """Empties the index and fills it again, in one transaction."""

        def work(tx: Transaction) -> None:
            tx.run(queries.EMPTY_INDEX, {})
            tx.run(queries.SET_INDEXED, {"indexed": 0})
            while _index_chunk(tx, None):
                pass

        self._database.write(work)


def _index_chunk(tx: Transaction, mark: int | None) -> int:
    """Indexes the next events behind the mark; returns how many there were."""
    if mark is None:
        mark = tx.rows(queries.INDEXED, {})[0][0]
    rows = tx.rows(queries.EVENTS_TO_INDEX, {"after_row": mark, "limit": CHUNK_EVENTS})
    if rows:
        tx.run_many(queries.INDEX_EVENT, [_params(row) for row in rows])
        tx.run(queries.SET_INDEXED, {"indexed": rows[-1][0]})
    return len(rows)


_APP: Final = EVENT_COLUMNS.index("app_name") + 1
_USER: Final = EVENT_COLUMNS.index("user_id") + 1


def words_of_row(row: Row) -> dict[str, str]:
    """The words of each column of the index, of an event's row that begins with its row_id."""
    event = codec.decode_event(row[1:])
    return {**search.index_columns(event), "scope": search.scope_words(event, row[_APP], row[_USER])}


def _params(row: Row) -> dict[str, Any]:
    return {"row_id": row[0], **words_of_row(row)}


def _found(row: Row) -> Found:
    return Found.from_row(row[:-1], -row[-1])
