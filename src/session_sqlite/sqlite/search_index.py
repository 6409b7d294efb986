"""The search index of a SQLite file: FTS5 over the words of `search`, without a copy of the text.

The index is fed in the order of ``row_id``, behind a mark: appending does not wait for it, a search catches up first.
Events that a search may not or cannot index (in a read-only store, or while another process is in a long transaction)
are scanned instead, so an event is found as soon as its append has returned. Removing events removes their words in the
same transaction.

The words of titles are in a table of their own, from the transaction that writes the title.

The file says which version of words its index has. An index of another version is not used: the next
writer empties it, searches fill it again, and until then they scan.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from session_sqlite import codec, queries, search
from session_sqlite.codec import EVENT_COLUMNS, SessionKey
from session_sqlite.database import LAST_ROW, Database, Found, Having, Params, Postings, Request, Row, Term, Transaction
from session_sqlite.errors import (
    CorruptStoreError,
    StoreClosedError,
    StoreError,
    StoreFullError,
)
from session_sqlite.search import in_order, of_tenant, scan
from session_sqlite.sqlite import statements
from session_sqlite.where import Where, with_ids

T = TypeVar("T")

CHUNK_EVENTS: Final = 1000  # events that one transaction indexes, in some 50 ms
CATCH_UP_PATIENCE: Final = 0.05  # seconds; a search that waits longer for other writers scans instead
CHECK_EVERY: Final = 500  # appended events
SCANNED_SESSION: Final = 100  # events: reading such a session takes less time than the index
SCANNED_SESSION_WITH_PREFIX: Final = 2000  # for a prefix FTS5 first collects the events of every word with it
RANKED_IN_SESSION: Final = 40  # hits: two pages
READ_AT_ONCE: Final = 20  # events of a session that may match
FEW_ROWS: Final = 1000  # events that have a term of a recall
CHUNK_TEXTS: Final = 150  # events of a session whose texts are read at once
BEYOND_SEQ: Final = 2**63 - 1
LONGEST_TAIL: Final = 20_000  # events behind the mark; with more of them appending indexes as well
FEW_TITLES: Final = 300  # sessions; of a word that more titles have, the sessions are met on the way through the list
LAST_CHARACTER: Final = "\U0010ffff"  # sorts after all characters of words
OUR_WORDS: Final = {"words": search.WORDS_VERSION}


class SQLiteSearchIndex:
    """The index of one file; see `SearchIndex` of the port."""

    def __init__(self, database: Database) -> None:
        self._database: Database = weakref.proxy(database)  # in no circle, so that a dropped one closes at once
        self._until_check = 1

    def find(self, request: Request, limit: int) -> list[Found]:
        """See `SearchIndex.find`."""
        # Writing to a damaged file may damage more of it: `check(repair=True)` builds a damaged index again. And SQLite
        # sorts large answers in a temporary file, for which there may be no room.
        with contextlib.suppress(CorruptStoreError, StoreFullError):
            return self._find(request, limit)
        return in_order(scan(self._database, request), request, limit)

    def _find(self, request: Request, limit: int) -> list[Found]:
        if request.session_id is not None:
            stored = self._database.read(queries.LAST_SEQ, request.params, tuple)
            last_seq = stored[0][0] if stored else 0  # another process may have deleted the session
            prefixes = any(term.prefix for term in request.terms)
            # With a damaged last_seq the length is unknown, so the index is asked, which gives the same answers.
            if codec.is_last_seq(last_seq) and last_seq <= (
                SCANNED_SESSION_WITH_PREFIX if prefixes else SCANNED_SESSION
            ):
                return self._in_short_session(request, limit)
        mark, last = self._catch_up()
        found = in_order(scan(self._database, request, mark), request, limit) if last > mark else []
        if mark and len(found) < limit:
            # Events behind the mark were scanned: they must not be found twice if another process indexes them now.
            indexed = replace(request, until_row=min(request.until_row, mark))
            found += self._indexed(indexed, limit - len(found))
        return found

    def with_postings(self, request: Request, use: Callable[[Postings], T]) -> T:
        """See `SearchIndex.with_postings`."""
        with contextlib.suppress(CorruptStoreError, StoreFullError):  # as in `find`
            return use(_Postings(self._database, request, *self._catch_up()))
        return use(search.ScannedPostings.of_all(self._database, request))

    def titled(self, term: Term, where: Where) -> frozenset[SessionKey] | None:
        """See `SearchIndex.titled`."""
        if not self._has_title_words():
            return None
        scope = Where(tuple(one for one in where.conditions if one in (queries.OF_APP, queries.OF_USER)), where.params)
        unknown = self._with_word(search.MANY_WORDS, search.MANY_WORDS, scope)
        if unknown is None:
            return None
        words = [word for word in dict.fromkeys(term.words) if word != search.GAP]
        for word in sorted(words, key=len, reverse=True):
            since = word[: search.LONGEST_TITLE_WORD]
            is_prefix = since != word or (term.prefix and word == term.words[-1])
            found = self._with_word(since, f"{since}{LAST_CHARACTER}" if is_prefix else since, scope)
            if found is not None:
                return found | unknown
        return None

    def _with_word(self, since: str, until: str, scope: Where) -> frozenset[SessionKey] | None:
        """Returns the sessions that have a word between two in their titles; None if they are many."""
        where = scope.also(statements.WORD_BETWEEN, since=since, until=until).with_values(limit=FEW_TITLES + 1)
        sql = where.statement(statements.SESSIONS_WITH_WORD, queries.LIMITED)
        found = self._database.read(sql, where.params, SessionKey._make)
        return frozenset(found) if len(found) <= FEW_TITLES else None

    def _has_title_words(self) -> bool:
        return progress(self._database.read(statements.INDEXED, OUR_WORDS, tuple))[2]

    def may_have(self, having: Mapping[Term, Having], where: Where) -> Where:
        """See `SearchIndex.may_have`: only characters that fold to others make LIKE miss a word in a title."""
        narrowed = Where(params={"unusual": f"*[^{search.USUAL}]*"})
        for number, (term, events) in enumerate(having.items()):
            titled = self.titled(term, where)
            values: dict[str, Any] = {f"rows_{number}": json.dumps(list(events.rows)), f"since_{number}": events.since}
            if titled is None:
                values[f"title_{number}"] = f"%{'%'.join(word for word in term.words if word != search.GAP)}%"
            else:
                values[f"titled_{number}"] = json.dumps([str(key.session_id) for key in titled])
            statement = statements.MAY_HAVE_IN_TITLE if titled is None else statements.MAY_BE_TITLED
            narrowed = narrowed.also(statement.format(number), **values)
        return narrowed

    def retitled(self, tx: Transaction, key: SessionKey, before: object, after: object) -> None:
        """See `SearchIndex.retitled`."""
        old, new = search.title_words(before), search.title_words(after)
        if old != new:
            tx.run_many(statements.DELETE_TITLE_WORD, [{**key.params(), "word": word} for word in sorted(old - new)])
            _write_title(tx, key, new - old)

    def _in_short_session(self, request: Request, limit: int) -> list[Found]:
        """Reads the texts of a session, and whole events only where they may match; in the order of `_indexed`."""
        where = of_tenant(request).also(queries.ROW_UP_TO) & Where(request.clauses)
        texts = where.also(queries.EVENT_BEFORE).statement(queries.SEARCHED_TEXTS, queries.LAST_EVENTS_FIRST)
        events = where.also(queries.ROWS).statement(queries.EVENTS_WITH_SESSIONS, queries.NEWEST_ROWS_FIRST)
        may_match = search.quick_test(request.terms)

        def test(row: Row) -> tuple[int, int | None]:
            try:
                return row[0], row[1] if may_match(*row[2:]) else None
            except (AttributeError, TypeError):  # a damaged row holds no text; it is decoded and searched as a whole
                return row[0], row[1]

        wanted = limit if request.newest_first else max(RANKED_IN_SESSION, limit + len(request.seen))
        bound = {**request.params, "until_row": request.until_row}
        params = {**bound, "before_seq": BEYOND_SEQ, "limit": CHUNK_TEXTS}
        found: list[Found] = []
        while len(found) < wanted and (tested := self._database.read(texts, params, test)):
            params["before_seq"] = tested[-1][0]
            rows = [row_id for _, row_id in tested if row_id is not None]
            for begin in range(0, len(rows), READ_AT_ONCE):
                sql, ids = with_ids(events, rows[begin : begin + READ_AT_ONCE])
                for row in self._database.read(sql, {**bound, **ids}, tuple):
                    hit = Found.from_row(row, 0.0)
                    if fits := search.score(hit.event, request):
                        found.append(Found(hit.row_id, hit.event, hit.session_row, fits))
                if len(found) >= wanted:
                    break
        ranked = in_order(found[:RANKED_IN_SESSION], request, RANKED_IN_SESSION)
        return _unseen([*ranked, *found[RANKED_IN_SESSION:]], request)[:limit]

    def _indexed(self, request: Request, limit: int) -> list[Found]:
        if request.session_id is None or request.newest_first:
            return self._hits(request, limit, newest_first=request.newest_first)
        # In one session the latest hits are ranked among themselves, and those before them follow in their order.
        latest = self._hits(replace(request, seen=frozenset()), RANKED_IN_SESSION, newest_first=True)
        found = _unseen(in_order(latest, request, RANKED_IN_SESSION), request)[:limit]
        if len(latest) == RANKED_IN_SESSION and len(found) < limit:
            earlier = replace(request, until_row=latest[-1].row_id - 1)
            found += self._hits(earlier, limit - len(found), newest_first=True)
        return found

    def _hits(self, request: Request, limit: int, *, newest_first: bool) -> list[Found]:
        tenants = ("app_name" in request.params, "user_id" in request.params)
        scoped = bool(_scope(self._database, request))
        where = of_tenant(request).with_values(
            match=match_expression(request, scoped=scoped),
            limit=limit,
            until_row=request.until_row,
            limit_with_seen=min(limit + len(request.seen), LAST_ROW),
        )
        if request.seen:
            where = where.also(statements.UNSEEN, seen=json.dumps(sorted(request.seen)))
        if request.clauses or tenants in ((True, False), (False, True)):
            statement = statements.ALL_HITS_UNRANKED if newest_first else statements.ALL_HITS
        else:
            statement = statements.HITS_NEWEST_FIRST if newest_first else statements.HITS_BY_RANK
        order = statements.BY_ROW if newest_first else statements.BY_RANK
        sql = (where & Where(request.clauses)).statement(statement, order)
        return self._database.read(sql, where.params, lambda row: _hit(row, request))

    def forget(self, tx: Transaction, key: SessionKey, after_seq: int, until_seq: int) -> None:
        """See `SearchIndex.forget`."""
        _mark(tx)
        params = {**key.params(), "after": after_seq, "until_seq": until_seq}
        rows = tx.rows(statements.INDEXED_EVENTS_OF_SESSION, params)
        _unindex(tx, rows)

    def changed(self, tx: Transaction, before: Row, after: Row) -> None:
        """See `SearchIndex.changed`."""
        if before[0] <= _mark(tx):
            _unindex(tx, [before])
            if before[0] <= _mark(tx):
                tx.run(statements.INDEX_EVENT, _params(after))

    def removed(self, tx: Transaction) -> None:
        """See `SearchIndex.removed`."""
        tx.run(statements.LOWER_INDEXED, {})

    def appended(self, tx: Transaction, count: int) -> None:
        """Takes note of new events: makes the words of some, if too many have none."""
        self._until_check -= count
        if self._until_check <= 0:
            self._until_check = CHECK_EVERY
            mark, last, is_ours = progress(tx.rows(statements.INDEXED, OUR_WORDS))
            if is_ours and mark is not None and last - mark > LONGEST_TAIL:
                _index_chunk(tx, mark)

    def copied(self, tx: Transaction, key: SessionKey) -> None:
        """See `SearchIndex.copied`: copies lie behind the mark, so the next search indexes them."""

    def _catch_up(self) -> tuple[int, int]:
        """Indexes as many events as it can; returns the mark and the last row, which are equal if all are indexed."""
        while True:
            mark, last, _ = progress(self._database.read(statements.INDEXED, OUR_WORDS, tuple))
            if mark is not None and last <= mark:
                return mark, mark
            if mark is None and last:  # damaged: see `find`
                return 0, last
            try:
                self._database.write(lambda tx: _index_chunk(tx, None), patience=CATCH_UP_PATIENCE)
            except (CorruptStoreError, StoreClosedError):
                raise
            except StoreError:  # whatever keeps it from writing (read-only, busy, a full disk), scanning still works
                return mark or 0, last

    def rebuild(self) -> None:
        """Empties the index and fills it again, in one transaction."""

        def work(tx: Transaction) -> None:
            _start_over(tx)
            while _index_chunk(tx, None):
                pass

        self._database.write(work)


class _Postings:
    """The postings of a request's terms in the index; see `Postings`. Events behind the mark are scanned."""

    def __init__(self, database: Database, request: Request, mark: int, last: int) -> None:
        self._database = database
        self._mark = mark
        self._tail = search.ScannedPostings.of_all(database, request, mark) if last > mark else None
        self._scope = _scope(database, request)
        # The index knows a user of an app, and neither alone: then all rows are read, so that others' hide none.
        self._is_of_part = (request.app_name is None) != (request.user_id is None)
        self._known: dict[Term, list[int]] = {}

    @property
    def events(self) -> int:
        """See `Postings.events`."""
        return self._number(statements.COUNT_INDEXED, {}) + (0 if self._tail is None else self._tail.events)

    def count(self, term: Term) -> int:
        """See `Postings.count`."""
        behind = 0 if self._tail is None else self._tail.count(term)
        if not self._scope:  # counting is reading the rows, unless they are many
            rows = self._rows(term, (), FEW_ROWS)
            if len(rows) < FEW_ROWS:
                self._known[term] = rows
                return len(rows) + behind
        params = {"match": f"{_ANY_TEXT} : {_phrase(term)}", "until_row": self._mark}
        return self._number(statements.COUNT_HITS, params) + behind

    def rows(self, term: Term, among: Sequence[Term], most: int) -> list[int]:
        """See `Postings.rows`."""
        most = LAST_ROW if self._is_of_part else most
        found = [] if self._tail is None else self._tail.rows(term, among, most)
        if not among and term in self._known:
            return (found + self._known[term])[:most]
        return found + self._rows(term, among, most - len(found))

    def _rows(self, term: Term, among: Sequence[Term], most: int) -> list[int]:
        conditions = [self._scope, f"{_ANY_TEXT} : {_phrase(term)}"]
        if among:
            conditions.append(f"{_ANY_TEXT} : ({' OR '.join(map(_phrase, among))})")
        params = {"match": " AND ".join(filter(None, conditions)), "until_row": self._mark, "limit": most}
        return self._database.read(statements.ROWS_OF_HITS, params, lambda row: int(row[0]))

    def _number(self, sql: str, params: Params) -> int:
        return self._database.read(sql, params, lambda row: int(row[0]))[0]


_ANY_TEXT: Final = f"{{{' '.join(search.FIELDS)}}}"


def _start_over(tx: Transaction) -> None:
    tx.run(statements.EMPTY_INDEX, {})
    tx.run(statements.FORGET_INDEXED, {})
    tx.run(statements.BEGIN_INDEXED, OUR_WORDS)
    tx.run(statements.EMPTY_TITLE_WORDS, {})
    for *key, title in tx.rows(queries.TITLES, {}):
        _write_title(tx, SessionKey(*key), search.title_words(title))


def _write_title(tx: Transaction, key: SessionKey, words: Collection[str]) -> None:
    tx.run_many(statements.INSERT_TITLE_WORD, [{**key.params(), "word": word} for word in sorted(words)])


def progress(rows: Sequence[Row]) -> tuple[int | None, int, bool]:
    """Returns the last indexed row (None if damaged), the last row, and whether the words are of our version."""
    mark, last, is_ours = rows[0] if rows else (None, 0, False)
    return mark if type(mark) is int and 0 <= mark <= (last or 0) else None, last or 0, bool(is_ours)


def _mark(tx: Transaction) -> int:
    """Returns the last row that is indexed.

    An index with words of another version is emptied first, and so is one whose mark is damaged.
    """
    mark, _, is_ours = progress(tx.rows(statements.INDEXED, OUR_WORDS))
    if mark is None or not is_ours:
        _start_over(tx)
    return mark or 0


def _unindex(tx: Transaction, rows: Sequence[Row]) -> None:
    """Removes the words of events from the index; starts over if they are not the words that were indexed."""
    try:
        tx.run_many(statements.UNINDEX_EVENT, [_params(row) for row in rows])
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        _start_over(tx)


def _index_chunk(tx: Transaction, mark: int | None) -> int:
    """Indexes the next events behind the mark; returns how many there were."""
    if mark is None:
        mark = _mark(tx)
    rows = tx.rows(statements.EVENTS_TO_INDEX, {"after_row": mark, "limit": CHUNK_EVENTS})
    if rows:
        tx.run_many(statements.INDEX_EVENT, [_params(row) for row in rows])
        tx.run(statements.SET_INDEXED, {"indexed": rows[-1][0], **OUR_WORDS})
    return len(rows)


_APP: Final = EVENT_COLUMNS.index("app_name") + 1
_USER: Final = EVENT_COLUMNS.index("user_id") + 1


def words_of_row(row: Row) -> dict[str, str]:
    """Returns the words of each column of the index, from an event's row that begins with its row_id."""
    event = codec.decode_event(row[1:])
    # A damaged row may hold names of another type.
    app, user = (name if isinstance(name, str) else repr(name) for name in (row[_APP], row[_USER]))
    return {**search.index_columns(event), "scope": search.scope_words(event, app, user)}


def match_expression(request: Request, *, scoped: bool) -> str:
    """Returns the request as an FTS5 query over the columns of `search.index_columns` and a column ``scope``.

    Without ``scoped`` the query ignores user and session: the conditions on events select them. A search in ``tools``
    alone also finds the content of a tool's own event, which is the output of the call.
    """
    parts = [_scope_part(request)] if scoped else []
    columns = "{" + " ".join(request.fields) + "}"
    for term in request.terms:
        phrase = _phrase(term)
        part = f"{columns} : {phrase}"
        if request.tools_alone:
            part = f'(({part}) OR (content : {phrase} AND scope : "{search.TOOL_SCOPE}"))'
        parts.append(part)
    return " AND ".join(filter(None, parts))


def _phrase(term: Term) -> str:
    return f'"{" ".join(term.words)}"{" *" if term.prefix else ""}'


def _scope_part(request: Request) -> str:
    """Returns the condition for a request's user or session; nothing under `ANY`."""
    if request.app_name is None or request.user_id is None:
        return ""
    return f'scope : "{search.scope_word(request.app_name, request.user_id, request.session_id)}"'


def _scope(database: Database, request: Request) -> str:
    """Returns the condition for a request's user or session, if anything else is in the store."""
    part = _scope_part(request)
    # With a single tenant the scope term matches every row and only costs time.
    if part and request.session_id is None and not database.read(statements.HAS_OTHERS, request.params, tuple)[0][0]:
        return ""
    return part


def _params(row: Row) -> dict[str, Any]:
    return {"row_id": row[0], **words_of_row(row)}


def _unseen(found: list[Found], request: Request) -> list[Found]:
    return [hit for hit in found if hit.row_id not in request.seen]


def _hit(row: Row, request: Request) -> Found:
    if row[-1] is not None:
        return Found.from_row(row[:-1], -row[-1])
    hit = Found.from_row(row[:-1], 0.0)
    return Found(hit.row_id, hit.event, hit.session_row, search.score(hit.event, request, is_hit=True))
