"""Searching for sessions: each word in the title or in any event, one match a session.

Sessions are read with the latest change first, and tested until a page is full. A search by rank does the same, and
ranks the latest matches among themselves: so a page costs no more in a store of a hundred thousand sessions.
"""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, islice, takewhile
from typing import Any, Final, TypeVar

from session_sqlite import codec, queries, search
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Found, Postings, Request, Row, Term
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import Event, SessionRecord
from session_sqlite.operations.sessions import Listing, has_metadata, narrow_by_metadata, position_of
from session_sqlite.search import GAP
from session_sqlite.where import IDS_AT_ONCE, Where, with_ids

RANKED: Final = 100  # matches that are ranked among themselves, the latest; those before follow in their order
SESSIONS_READ_FIRST: Final = (40, 80, 160)  # sessions whose words are read before the index is asked
SESSIONS_AT_ONCE: Final = 320  # sessions that are tested together later
MANY_ROWS: Final = 20_000  # events; the index names so many of a word at most
FEW_ROWS: Final = 600  # events; so few are looked up one by one, more of them are met on the way through the sessions
SHORT_SESSION: Final = 50  # events; a longer session is read by itself, from its end
TEXTS_AT_ONCE: Final = 150  # events of a long session
_HASH_BYTES: Final = 8

_ID, _APP, _USER, _TITLE, _LAST_SEQ = map(
    codec.SESSION_COLUMNS.index, ("id", "app_name", "user_id", "title", "last_seq")
)
Place = tuple[str, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class SessionRequest:
    """A checked search for sessions.

    Attributes:
        terms: Each must be in the title or in an event.
        metadata: The keys and values that the metadata of a session must have.
        by_rank: The best match first, instead of the latest change.
    """

    terms: tuple[Term, ...]
    metadata: Mapping[str, Any]
    by_rank: bool

    @property
    def in_titles_alone(self) -> bool:
        """Returns True if too little was typed to look for it in events."""
        return search.is_one_letter(self.terms)

    @property
    def position_types(self) -> list[type]:
        """Returns the types of the parts of a position in the list of matches."""
        return [str] * (9 if self.by_rank else 4)

    def in_event(self, terms: Iterable[int]) -> Request:
        """Returns the request for some of the terms in one event."""
        return Request(tuple(self.terms[term] for term in terms), search.FIELDS, None, None, None, (), {}, False)


@dataclass
class SessionMatch:
    """A session that is tested, and then one that matches.

    Attributes:
        row: Its row.
        in_title: The terms in its title, by their places in the request.
        in_events: The terms in its events, as far as these were read.
        in_best: The terms in the best event: the one with the most, the latest of several.
        best: The place of that event in the session, and its row_id.
        hit: That event, once it was read.
    """

    row: Row
    in_title: frozenset[int]
    in_events: frozenset[int] = frozenset()
    in_best: frozenset[int] = frozenset()
    best: tuple[float, int] = (0, 0)
    hit: Found | None = None

    @property
    def key(self) -> SessionKey:
        """Returns its key."""
        return SessionKey(self.row[_APP], self.row[_USER], self.row[_ID])

    @property
    def place(self) -> Place:
        """Returns its place in the list of sessions."""
        return position_of(self.row)

    @property
    def rank(self) -> tuple[int, int, float]:
        """Returns how well it fits: the words in its title, those in its best event, and the score of that event."""
        return len(self.in_title), len(self.in_best), self.hit.score if self.hit is not None else 0.0

    def note(self, seq: object, row_id: int, terms: frozenset[int]) -> None:
        """Takes note of the terms in one of its events."""
        self.in_events |= terms
        place = (seq if isinstance(seq, (int, float)) else codec.LAST_POSSIBLE_SEQ, row_id)
        if terms and (len(terms), place) > (len(self.in_best), self.best):
            self.in_best, self.best = terms, place


def page(
    database: Database, request: SessionRequest, listing: Listing, position: Sequence[Any] | None, limit: int | None
) -> tuple[list[SessionMatch], list[str] | None]:
    """Returns a page of matches, and the position of the next page: None if there is none.

    Raises:
        InvalidInputError: The position is not one that was returned.
    """
    narrow_by_metadata(listing, request.metadata)
    if request.by_rank:
        return _page_by_rank(database, request, listing, position, limit)
    if position is not None:
        listing.start_after(position)
    found, has_more = _first(matches(database, request, listing), limit)
    _read_hits(database, request, found)
    return found, list(found[-1].place) if has_more else None


def _first(found: Iterator[SessionMatch], limit: int | None) -> tuple[list[SessionMatch], bool]:
    """Returns the first matches, and whether there are more."""
    return list(islice(found, limit)), next(found, None) is not None


def _page_by_rank(
    database: Database, request: SessionRequest, listing: Listing, position: Sequence[Any] | None, limit: int | None
) -> tuple[list[SessionMatch], list[str] | None]:
    """Returns a page of the ranked matches and of those that follow them.

    A position says where the ranked part begins and ends, and what of it was shown; or, after it, where a page ended.
    """
    begin, end, seen = _decoded(position)
    found = matches(database, request, listing)
    ranked: list[SessionMatch] = []
    if position is None:
        ranked = list(islice(found, RANKED))
        if ranked:
            begin, end = ranked[0].place, ranked[-1].place
    else:
        if seen:  # a session that has changed since is before the ranked part now
            ranked = list(takewhile(lambda one: one.place >= end, dropwhile(lambda one: one.place > begin, found)))
        listing.start_after(end)
        found = matches(database, request, listing)
    left = [match for match in ranked if _hash_of(match) not in seen]
    _read_hits(database, request, left)
    left.sort(key=lambda match: match.rank, reverse=True)
    shown = left[:limit]
    if len(shown) < len(left):
        return shown, [*begin, *end, _encoded({*seen, *map(_hash_of, shown)})]
    rest, has_more = _first(found, None if limit is None else limit - len(shown))
    _read_hits(database, request, rest)
    last = rest[-1].place if rest else end
    return [*shown, *rest], [*last, *last, ""] if has_more else None


def _hash_of(match: SessionMatch) -> bytes:
    return hashlib.blake2b("\0".join(match.place[1:]).encode("utf-8", "replace"), digest_size=_HASH_BYTES).digest()


def _encoded(seen: Iterable[bytes]) -> str:
    return base64.b85encode(b"".join(sorted(seen))).decode()


def _decoded(position: Sequence[Any] | None) -> tuple[Place, Place, frozenset[bytes]]:
    if position is None:
        return (), (), frozenset()
    try:
        seen = base64.b85decode(position[8])
    except ValueError:
        raise InvalidInputError("the cursor is not one that this list returned") from None
    hashes = frozenset(seen[at : at + _HASH_BYTES] for at in range(0, len(seen), _HASH_BYTES))
    return tuple(position[:4]), tuple(position[4:8]), hashes


# ---------------------------------------------------------------- matches


def matches(database: Database, request: SessionRequest, listing: Listing) -> Iterator[SessionMatch]:
    """Yields the sessions of a list that match, in its order.

    Common words are in the latest sessions: a few of these are read. If that is not enough, the index says which events
    have the rarest word, and only sessions that may match are read.
    """
    for size in SESSIONS_READ_FIRST:
        rows = listing.read(database, queries.SESSIONS, size)
        yield from _matching(database, request, rows)
        if len(rows) < size:
            return
    if request.in_titles_alone:
        yield from _among_few(database, request, listing, request.terms[0], frozenset())
        return
    known = _rarest(database, request, listing)
    if known is not None and len(known.rows) <= FEW_ROWS:
        yield from _among_few(database, request, listing, request.terms[known.term], known.rows)
        return
    while rows := listing.read(database, queries.SESSIONS, SESSIONS_AT_ONCE):
        yield from _matching(database, request, rows, known)
        if len(rows) < SESSIONS_AT_ONCE:
            return


def _matching(
    database: Database, request: SessionRequest, rows: Sequence[Row], known: Known | None = None
) -> Iterator[SessionMatch]:
    """Yields those of some sessions that match."""
    tested = [_with_title(row, request.terms) for row in rows if _has_metadata(row, request)]
    if known is not None:
        there = _with_rows(database, tested, known.rows)
        tested = [match for match in tested if known.term in match.in_title or match.key in there]
    if not request.in_titles_alone:
        _read_words(database, request.terms, tested)
    yield from (match for match in tested if len(match.in_title | match.in_events) == len(request.terms))


# ---------------------------------------------------------------- the rarest word


@dataclass(frozen=True)
class Known:
    """The events that may have a term, as the index knows.

    Attributes:
        term: The term's place in the request.
        rows: The row_ids of the events.
    """

    term: int
    rows: frozenset[int]


def _rarest(database: Database, request: SessionRequest, listing: Listing) -> Known | None:
    """Returns what the index knows of the term that the fewest events have; None if it knows nothing that helps."""
    if database.index is None:
        return None
    words = [_longest_word(term) for term in request.terms]
    scope = {name: listing.where.params[name] for name in ("app_name", "user_id") if name in listing.where.params}
    about = Request(
        tuple(dict.fromkeys(words)), search.FIELDS, scope.get("app_name"), scope.get("user_id"), None, (), scope, True
    )

    def rarest(postings: Postings) -> Known | None:
        fewest: Known | None = None
        most = MANY_ROWS
        for place, word in enumerate(words):
            rows = postings.rows(word, (), most)
            if len(rows) < most:
                fewest, most = Known(place, frozenset(rows)), len(rows)
            if not rows:
                break
        return fewest

    return database.index.with_postings(about, rarest)


def _longest_word(term: Term) -> Term:
    """Returns a term of one word that every event with the term has."""
    *whole, last = term.words
    longest = max(whole, key=len, default="")
    return (
        Term((longest,))
        if longest not in ("", GAP) and (term.prefix or len(longest) > len(last))
        else Term((last,), term.prefix)
    )


def _with_rows(database: Database, tested: Sequence[SessionMatch], rows: frozenset[int]) -> set[SessionKey]:
    """Returns the keys of the sessions that have at least one of the events; no text is read."""
    found: set[SessionKey] = set()
    for where, ids in _by_owner((match, match.row[_ID]) for match in tested):
        statement = where.also(queries.EVENT_IN_SESSIONS).statement(queries.ROWS_OF_SESSIONS)
        for start in range(0, len(ids), IDS_AT_ONCE):
            sql, names = with_ids(statement, ids[start : start + IDS_AT_ONCE])
            app, user = where.params["app_name"], where.params["user_id"]
            for session_id, row_id in database.read(sql, {**where.params, **names}, tuple):
                if row_id in rows:
                    found.add(SessionKey(app, user, session_id))
    return found


def _among_few(
    database: Database, request: SessionRequest, listing: Listing, term: Term, events: frozenset[int]
) -> Iterator[SessionMatch]:
    """Yields the rest of the sessions that match, from those with one of a few events or a word in the title."""
    keys = _keys_of_events(database, listing.where, events) | _keys_of_titles(database, listing.where, term)
    rows = [row for row in _rows_of(database, listing.where, keys) if listing.is_beyond(row)]
    rows.sort(key=position_of, reverse=True)
    for start in range(0, len(rows), SESSIONS_READ_FIRST[0]):
        yield from _matching(database, request, rows[start : start + SESSIONS_READ_FIRST[0]])


def _keys_of_events(database: Database, where: Where, rows: frozenset[int]) -> set[SessionKey]:
    """Returns the keys of the sessions of some events."""
    conditions = {queries.OF_APP: queries.EVENT_OF_APP, queries.OF_USER: queries.EVENT_OF_USER}
    scope = Where(tuple(conditions[one] for one in where.conditions if one in conditions), where.params)
    statement = scope.also(queries.ROWS).statement(queries.SESSIONS_OF_EVENTS)
    listed = list(rows)
    found: set[SessionKey] = set()
    for start in range(0, len(listed), IDS_AT_ONCE):
        sql, ids = with_ids(statement, listed[start : start + IDS_AT_ONCE])
        found.update(database.read(sql, {**scope.params, **ids}, SessionKey._make))
    return found


def _keys_of_titles(database: Database, where: Where, term: Term) -> set[SessionKey]:
    """Returns the keys of the sessions that have a term in their titles: all titles are read, and nothing else."""
    word = max(term.words, key=len)
    if database.index is not None:
        where &= database.index.may_have_in_title(term)

    def test(row: Row) -> SessionKey | None:
        title = row[3]
        if not isinstance(title, str) or (title.isascii() and word not in title.lower()):
            return None
        return SessionKey(*row[:3]) if search.present([title], (term,)) else None

    found = database.read(where.statement(queries.TITLES), where.params, test)
    return {key for key in found if key is not None}


def _rows_of(database: Database, where: Where, keys: set[SessionKey]) -> Iterator[Row]:
    """Yields the rows of those sessions that meet the conditions."""
    statement = where.also(queries.WITH_IDS).statement(queries.SESSIONS)
    ids = list({key.session_id for key in keys})
    for start in range(0, len(ids), IDS_AT_ONCE):
        sql, names = with_ids(statement, ids[start : start + IDS_AT_ONCE])
        for row in database.read(sql, {**where.params, **names}, tuple):
            if SessionKey(row[_APP], row[_USER], row[_ID]) in keys:
                yield row


def _has_metadata(row: Row, request: SessionRequest) -> bool:
    return not request.metadata or has_metadata(codec.decode_session(row, SessionRecord), request.metadata)


def _with_title(row: Row, terms: Sequence[Term]) -> SessionMatch:
    title = row[_TITLE]
    return SessionMatch(row, search.present([title], terms) if isinstance(title, str) else frozenset())


def _read_words(database: Database, terms: Sequence[Term], tested: Sequence[SessionMatch]) -> None:
    """Notes which of the terms are in the events of sessions."""
    short: list[SessionMatch] = []
    for match in tested:
        last_seq = match.row[_LAST_SEQ]
        if codec.is_last_seq(last_seq) and last_seq <= SHORT_SESSION:
            short.append(match)
        else:
            _read_long_session(database, terms, match)
    test = _tester(terms)
    for where, some in _by_owner((match, match) for match in short):
        by_id = {match.row[_ID]: match for match in some}
        where = where.also(queries.EVENT_IN_SESSIONS)
        sql, ids = with_ids(where.statement(queries.TEXTS_OF_SESSIONS), list(by_id))
        for session_id, seq, row_id, found in database.read(sql, {**where.params, **ids}, test):
            by_id[session_id].note(seq, row_id, found)


def _read_long_session(database: Database, terms: Sequence[Term], match: SessionMatch) -> None:
    """Notes which of the terms are in the events of a session, from its end until one event has all of them."""
    where = Where(
        (queries.EVENT_OF_APP, queries.EVENT_OF_USER, queries.EVENT_IN_SESSION),
        {"app_name": match.row[_APP], "user_id": match.row[_USER], "session_id": match.row[_ID],
         "limit": TEXTS_AT_ONCE},
    )  # fmt: skip
    test = _tester(terms)
    while len(match.in_best) < len(terms):
        sql = where.statement(queries.TEXTS_OF_SESSIONS, queries.LAST_EVENTS_FIRST)
        read = database.read(sql, where.params, test)
        for _, seq, row_id, found in read:
            match.note(seq, row_id, found)
        if len(read) < TEXTS_AT_ONCE:
            return
        where = where.also(queries.EVENT_BEFORE, before_seq=read[-1][1])


def _tester(terms: Sequence[Term]) -> Callable[[Row], tuple[Any, Any, int, frozenset[int]]]:
    """Returns a function that says which of the terms are in a row of `queries.TEXTS_OF_SESSIONS`."""

    def test(row: Row) -> tuple[Any, Any, int, frozenset[int]]:
        session_id, seq, row_id, author, content, reasoning, actions = row
        texts: Iterable[object] = (content, reasoning)
        if actions != "[]":
            event = Event(str(author), str(content), actions=codec.decode_actions_or_empty(actions))
            texts = (content, reasoning, search.field_texts(event)["tools"])
        return session_id, seq, row_id, search.present([text for text in texts if isinstance(text, str)], terms)

    return test


def _read_hits(database: Database, request: SessionRequest, found: Sequence[SessionMatch]) -> None:
    """Reads the best events of matches."""
    by_row = {match.best[1]: match for match in found if match.in_best}
    for where, rows in _by_owner((match, match.best[1]) for match in by_row.values()):
        events = where.also(queries.ROWS).statement(queries.EVENTS_WITH_SESSIONS)
        for start in range(0, len(rows), IDS_AT_ONCE):
            sql, ids = with_ids(events, rows[start : start + IDS_AT_ONCE])
            for row in database.read(sql, {**where.params, **ids}, tuple):
                hit, match = Found.from_row(row, 0.0), by_row[row[0]]
                if hit.session_row[_ID] == match.row[_ID]:  # else the row was deleted meanwhile, and its number reused
                    fits = search.score(hit.event, request.in_event(match.in_best), is_hit=True)
                    match.hit = replace(hit, score=fits)


def _by_owner(items: Iterable[tuple[SessionMatch, T]]) -> Iterator[tuple[Where, list[T]]]:
    """Yields the things of matches by app and user, with the conditions for the events of these."""
    owned: dict[tuple[Any, Any], list[T]] = defaultdict(list)
    for match, item in items:
        owned[match.row[_APP], match.row[_USER]].append(item)
    for (app, user), some in owned.items():
        yield Where((queries.EVENT_OF_APP, queries.EVENT_OF_USER), {"app_name": app, "user_id": user}), some
