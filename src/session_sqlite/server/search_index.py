"""The search index of a server: the words of each event as ASCII in a column that the server indexes.

The servers' own full text search divides text in ways of its own, and finds no Chinese. Here the words are those of
`search`, each as ``x`` and its UTF-8 in hexadecimal, which every server takes for one plain word. The index only says
which events have all words of a query: whether these stand as the query says is tested on the event itself, so the
answers are those of the file. Words are written in the transaction that writes the event.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, Final, TypeVar

from session_sqlite import codec, queries, search
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Found, Having, Params, Postings, Request, Row, Term, Transaction
from session_sqlite.models import Event
from session_sqlite.operations.lookup import of_session
from session_sqlite.search import in_order, of_tenant
from session_sqlite.server.dialects import Dialect
from session_sqlite.where import Where, with_ids

T = TypeVar("T")

LONGEST_WORD: Final = 40  # bytes: MySQL indexes no word of more than 84 characters; a longer one is cut on both sides
MOST_WORDS: Final = 40_000  # of one event: PostgreSQL's vectors end at 1 MB; an event with more is always read
RANKED: Final = 2_000  # hits that are ranked among themselves, the latest; those before follow in their order
READ_AT_ONCE: Final = 200

_SEQ: Final = codec.EVENT_COLUMNS.index("seq")

INSERT_WORDS: Final = """
INSERT INTO event_words (row_id, version, words)
VALUES (:row_id, :version, {})
"""
INSERT_WORDS_OF_LAST: Final = """
INSERT INTO event_words (row_id, version, words)
VALUES (LAST_INSERT_ID(), :version, {})
"""
INSERT_EVENT_WITH_WORDS: Final = f"""
  WITH written AS ({queries.INSERT_EVENT} RETURNING row_id)
INSERT INTO event_words (row_id, version, words)
SELECT row_id, :version, {{}}
  FROM written
"""
DELETE_WORDS: Final = """
DELETE FROM event_words
 WHERE row_id = :row_id
"""
ROW_IDS: Final = "SELECT seq, row_id FROM events"
# An event with words of another version (0: it has too many) has to be read itself. Two ranges and a UNION, since with
# an OR no server uses the index of the words.
CANDIDATES: Final = """
SELECT events.row_id
  FROM events
  JOIN (SELECT row_id FROM event_words WHERE {}
         UNION
        SELECT row_id FROM event_words WHERE version < :version
         UNION
        SELECT row_id FROM event_words WHERE version > :version) AS candidates
    ON candidates.row_id = events.row_id
"""
COUNT_WITH_WORDS: Final = """
SELECT count(*)
  FROM event_words
 WHERE version = :version AND {}
"""
EVENTS_WITH_WORDS: Final = """
SELECT events.row_id
  FROM events
  JOIN event_words
    ON event_words.row_id = events.row_id
"""
HAS_WORDS_OF_VERSION: Final = "event_words.version = :version"
ROWS_OF_OTHER_VERSIONS: Final = """
SELECT row_id FROM event_words WHERE version < :version
 UNION
SELECT row_id FROM event_words WHERE version > :version
"""
NO_WORDS: Final = 0  # the version of an event that has too many
WITHOUT_WORDS: Final = """
SELECT events.row_id, {}
  FROM events
  LEFT JOIN event_words
    ON event_words.row_id = events.row_id
 WHERE event_words.row_id IS NULL OR event_words.version NOT IN (0, :version)
 ORDER BY events.row_id
 LIMIT :limit
"""


class ServerSearchIndex:
    """The index of one store; see `SearchIndex`."""

    def __init__(self, database: Database, dialect: Dialect) -> None:
        self._database: Database = weakref.proxy(database)  # in no circle, so that a dropped one closes at once
        self._dialect = dialect
        self._insert_words = INSERT_WORDS.format(dialect.words_value)
        self._insert_words_of_last = INSERT_WORDS_OF_LAST.format(dialect.words_value)
        self._insert_event_with_words = INSERT_EVENT_WITH_WORDS.format(dialect.words_value)

    def find(self, request: Request, limit: int) -> list[Found]:
        """See `SearchIndex.find`."""
        matches = self._matches(replace(request, seen=frozenset()))
        if not request.newest_first:
            latest = list(islice(matches, RANKED))
            matches = chain(in_order(latest, request, len(latest)), matches)
        return list(islice((found for found in matches if found.row_id not in request.seen), limit))

    def with_postings(self, request: Request, use: Callable[[Postings], T]) -> T:
        """See `SearchIndex.with_postings`."""
        return use(_Postings(self._database, self._dialect, request))

    def titled(self, term: Term, where: Where) -> frozenset[SessionKey] | None:
        """See `SearchIndex.titled`."""
        return search.titled(self._database, term, where)

    def may_have(self, having: Mapping[Term, Having], where: Where) -> Where:  # noqa: ARG002  # sessions are read
        """See `SearchIndex.may_have`."""
        return Where()

    def retitled(self, tx: Transaction, key: SessionKey, before: object, after: object) -> None:
        """See `SearchIndex.retitled`: all titles are read."""

    def _matches(self, request: Request) -> Iterator[Found]:
        """Yields the hits, the last appended first."""
        tenant = of_tenant(request)
        wanted = tenant & Where(request.clauses, request.params)
        events = wanted.also(queries.ROWS).statement(queries.EVENTS_WITH_SESSIONS, queries.NEWEST_ROWS_FIRST)
        candidates = CANDIDATES.format(self._dialect.words_match)
        match = self._dialect.words_query(_tokens_of(request.terms))
        where = wanted.with_values(version=search.WORDS_VERSION, match=match, limit=READ_AT_ONCE)
        until_row = request.until_row
        while True:
            where = where.also(queries.ROW_UP_TO, until_row=until_row)
            sql = where.statement(candidates, queries.NEWEST_ROWS_FIRST + queries.LIMITED)
            rows = self._database.read(sql, where.params, lambda row: int(row[0]))
            if rows:
                statement, ids = with_ids(events, rows)
                for row in self._database.read(statement, {**wanted.params, **ids}, tuple):
                    found = Found.from_row(row, 0.0)
                    if fits := search.score(found.event, request):
                        yield replace(found, score=fits)
            if len(rows) < READ_AT_ONCE:
                return
            until_row = rows[-1] - 1

    def forget(self, tx: Transaction, key: SessionKey, after_seq: int, until_seq: int) -> None:
        """See `SearchIndex.forget`: the words go with their events, by their foreign key."""

    def removed(self, tx: Transaction) -> None:
        """See `SearchIndex.removed`."""

    def insert(self, tx: Transaction, rows: Sequence[Params]) -> None:
        """Writes the rows of new events with their words, in as few statements as the server allows."""
        words = [_words_row(_event_of(row)) for row in rows]
        if self._dialect.has_returning:
            run(tx, self._insert_event_with_words, [{**row, **more} for row, more in zip(rows, words, strict=True)])
            return
        run(tx, queries.INSERT_EVENT, rows)
        if len(rows) == 1:
            tx.run(self._insert_words_of_last, words[0])
            return
        first = rows[0]
        key = SessionKey(first["app_name"], first["user_id"], first["session_id"])
        seqs = [row["seq"] for row in rows]
        where = of_session(key).also("seq BETWEEN :first_seq AND :until_seq", first_seq=min(seqs), until_seq=max(seqs))
        row_ids: dict[int, int] = dict(tx.rows(where.statement(ROW_IDS), where.params))
        run(tx, self._insert_words, [{"row_id": row_ids[seq], **more} for seq, more in zip(seqs, words, strict=True)])

    def changed(self, tx: Transaction, before: Row, after: Row) -> None:
        """See `SearchIndex.changed`."""
        tx.run(DELETE_WORDS, {"row_id": before[0]})
        self._insert(tx, [(after[0], codec.decode_event(after[1:]))])

    def copied(self, tx: Transaction, key: SessionKey) -> None:
        """See `SearchIndex.copied`."""
        where = of_session(key).with_values(limit=READ_AT_ONCE)
        while True:
            sql = where.statement(queries.EVENTS_WITH_ROW_ID, queries.OLDEST_FIRST + queries.LIMITED)
            rows = tx.rows(sql, where.params)
            self._insert(tx, [(row[0], codec.decode_event(row[1:])) for row in rows])
            if len(rows) < READ_AT_ONCE:
                return
            where = where.also(queries.AFTER, after=rows[-1][1 + _SEQ])

    def complete(self) -> int:
        """Gives each event its words that has none, or those of another version; returns how many these were."""
        sql = WITHOUT_WORDS.format(queries.EVENT_ROW_OF_EVENTS)
        params = {"version": search.WORDS_VERSION, "limit": READ_AT_ONCE}

        def work(tx: Transaction) -> int:
            rows = tx.rows(sql, params)
            for row in rows:
                tx.run(DELETE_WORDS, {"row_id": row[0]})
            self._insert(tx, [(row[0], codec.decode_event(row[1:])) for row in rows])
            return len(rows)

        total = 0
        while count := self._database.write(work):
            total += count
        return total

    def _insert(self, tx: Transaction, events: Sequence[tuple[int, Event]]) -> None:
        tx.run_many(self._insert_words, [{"row_id": row_id, **_words_row(event)} for row_id, event in events])


def run(tx: Transaction, sql: str, params: Sequence[Params]) -> None:
    """Runs a statement once for each set of parameters; one alone takes no batch of the driver's."""
    if len(params) == 1:
        tx.run(sql, params[0])
    else:
        tx.run_many(sql, params)


def _event_of(row: Params) -> Event:
    return codec.decode_event([row[name] for name in codec.EVENT_COLUMNS])


def _words_row(event: Event) -> dict[str, Any]:
    words = words_text(event)
    return {"version": NO_WORDS if words is None else search.WORDS_VERSION, "words": words}


def words_text(event: Event) -> str | None:
    """Returns the words of an event as they are stored; None if they are too many."""
    tokens = {_token(word): None for text in search.field_texts(event).values() if text for word in search.words(text)}
    tokens.pop(_token(search.GAP), None)
    return " ".join(tokens) if len(tokens) <= MOST_WORDS else None


class _Postings:
    """The postings of a request's terms in the index; see `Postings`.

    Events with words of another version, or with too many, are read; they are few.
    """

    def __init__(self, database: Database, dialect: Dialect, request: Request) -> None:
        self._database = database
        self._dialect = dialect
        self._tenant = of_tenant(request)
        unusual = database.read(ROWS_OF_OTHER_VERSIONS, {"version": search.WORDS_VERSION}, lambda row: int(row[0]))
        self._read = search.ScannedPostings(database, request, unusual)
        self.events = self._number(queries.COUNT_ALL_EVENTS, {})

    def count(self, term: Term) -> int:
        """See `Postings.count`."""
        params = {"version": search.WORDS_VERSION, "match": self._dialect.words_query(*_alternatives(term, ()))}
        return self._number(COUNT_WITH_WORDS.format(self._dialect.words_match), params) + self._read.count(term)

    def rows(self, term: Term, among: Sequence[Term], most: int) -> list[int]:
        """See `Postings.rows`."""
        where = self._tenant.also(HAS_WORDS_OF_VERSION, version=search.WORDS_VERSION).also(
            self._dialect.words_match, match=self._dialect.words_query(*_alternatives(term, among))
        )
        sql = where.statement(EVENTS_WITH_WORDS, queries.NEWEST_ROWS_FIRST + queries.LIMITED)
        found = self._database.read(sql, {**where.params, "limit": most}, lambda row: int(row[0]))
        return sorted([*found, *self._read.rows(term, among, most)], reverse=True)[:most]

    def _number(self, sql: str, params: Params) -> int:
        return self._database.read(sql, params, lambda row: int(row[0]))[0]


def _alternatives(term: Term, among: Sequence[Term]) -> tuple[dict[str, bool], dict[str, bool]]:
    """Returns the tokens of a term, and those of which an event must have any, as `Dialect.words_query` takes them."""
    return _tokens_of([term]), {token: is_prefix for one in among for token, is_prefix in _tokens_of([one]).items()}


@functools.lru_cache(maxsize=10_000)  # most words of a conversation were in it before
def _token(word: str) -> str:
    """Returns a word as ASCII that a server takes for one word."""
    return f"x{word.encode()[:LONGEST_WORD].hex()}"


def _tokens_of(terms: Sequence[Term]) -> dict[str, bool]:
    """Returns the tokens that an event must have, and whether each is a prefix."""
    tokens: dict[str, bool] = {}
    for term in terms:
        last = len(term.words) - 1
        for position, word in enumerate(term.words):
            if word != search.GAP:
                is_prefix = term.prefix and position == last and len(word.encode()) <= LONGEST_WORD
                token = _token(word)
                tokens[token] = tokens.get(token, True) and is_prefix
    return tokens
