"""Searching for sessions: each word in the title or in any event, one match a session.

Sessions are read with the latest change first, and tested until a page is full. A search by rank does the same, and
ranks the latest matches among themselves: so a page costs no more in a store of a hundred thousand sessions.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, islice, takewhile
from typing import Any, Final, NamedTuple, TypeVar

from session_sqlite import codec, queries, search
from session_sqlite.codec import SessionKey
from session_sqlite.database import LAST_ROW, Database, Found, Having, Postings, Request, Row, Term
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import Event, SessionRecord
from session_sqlite.operations.sessions import Listing, has_metadata, narrow_by_metadata, position_of
from session_sqlite.where import IDS_AT_ONCE, Where, with_ids

RANKED: Final = 100  # matches that are ranked among themselves, the latest; those before follow in their order
SESSIONS_READ_FIRST: Final = (24, 48, 96)  # sessions whose words are read before the index is asked
COMMON: Final = 8  # a word is common if one of so many sessions has it: asking the index would take longer than reading
SESSIONS_AT_ONCE: Final = 320  # sessions that are tested together later
LATEST_ROWS: Final = 2_000  # events; the index names so many of a word, the latest, and all only if that is too few
READ_FOR_A_PAGE: Final = 640  # sessions that are read before the index is asked for all events of a word
FEW_ROWS: Final = 300  # events; so few are looked up one by one, more of them are met on the way through the sessions
SHORT_SESSION: Final = 10  # events; a longer session is read by itself, from its end
TEXTS_AT_THE_END: Final = 8  # events of a long session that are read first
TEXTS_AT_ONCE: Final = 100  # events of a long session
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
    def all_terms(self) -> frozenset[int]:
        """Returns the places of all terms."""
        return frozenset(range(len(self.terms)))

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
        read_from: The first event of a long session that was read, as long as those before it have to be read too.
    """

    row: Row
    in_title: frozenset[int]
    in_events: frozenset[int] = frozenset()
    in_best: frozenset[int] = frozenset()
    best: tuple[float, int] = (0, 0)
    hit: Found | None = None
    read_from: Any = None

    def has_all(self, terms: Sequence[Term]) -> bool:
        """Returns True if each of the terms is in its title or in its events."""
        return len(self.in_title | self.in_events) == len(terms)

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

    Words that are common are in the latest sessions: these are read first, as long as many of them match. Then the
    index says which sessions may have the words that are not common, and only those are read.
    """
    sample = _Sample()
    for size in SESSIONS_READ_FIRST:
        before = listing.position
        rows = listing.read(database, queries.SESSIONS, size)
        tested = _tested(request, rows)
        if not request.in_titles_alone:
            undecided = _read_ends(database, request.terms, tested, request.all_terms)
            if database.index is not None and len(undecided) * COMMON > len(tested):
                sample.add(tested)
                listing.start_after(before)
                break
            _read_words(database, request.terms, undecided, request.all_terms)
        sample.add(tested)
        found = [match for match in tested if match.has_all(request.terms)]
        yield from found
        if len(rows) < size:
            return
        if len(found) * COMMON < size:
            break
    yield from _beyond(database, request, listing, sample)


class _Sample:
    """The sessions that were read first, and how many of them have each term."""

    def __init__(self) -> None:
        self._sessions = 0
        self._having: Counter[int] = Counter()

    def add(self, tested: Sequence[SessionMatch]) -> None:
        self._sessions += len(tested)
        for match in tested:
            self._having.update(match.in_title | match.in_events)

    def uncommon(self, terms: Sequence[Term]) -> list[int]:
        """Returns the places of the terms that few of the sessions have, the rarest first; of all terms if none is."""
        in_order = sorted(range(len(terms)), key=lambda term: self._having[term])
        return [term for term in in_order if self._having[term] * COMMON < self._sessions] or in_order


def _beyond(database: Database, request: SessionRequest, listing: Listing, sample: _Sample) -> Iterator[SessionMatch]:
    """Yields the rest of the sessions that match, in order, as far as possible without reading the others."""
    if request.in_titles_alone:
        titled = _titled(database, request.terms[0], listing.where)
        if titled is not None:
            yield from _among_few(database, request, listing, titled, ())
            return
    places = sample.uncommon(request.terms)
    known = _known(database, request, listing.where, places, LATEST_ROWS)
    for one in known:
        is_few = one.events.since == 0 and len(one.events.rows) <= FEW_ROWS
        titled = _titled(database, request.terms[one.term], listing.where) if is_few else None
        if titled is not None:
            keys = titled | _keys_of_events(database, listing.where, one.events.rows)
            yield from _among_few(database, request, listing, keys, known)
            return
    if any(one.events.since for one in known):  # the latest events are enough for most pages
        yield from _on_the_way(database, request, listing, known, READ_FOR_A_PAGE)
        known = _known(database, request, listing.where, places, LAST_ROW)
    yield from _on_the_way(database, request, listing, known)


def _on_the_way(
    database: Database, request: SessionRequest, listing: Listing, known: Sequence[Known], most: int = LAST_ROW
) -> Iterator[SessionMatch]:
    """Yields the next sessions that match, from reading those that may, in their order, at most so many."""
    where = listing.where
    having = {request.terms[one.term]: one.events for one in known}
    if request.in_titles_alone:
        having = {request.terms[0]: Having(frozenset())}
    narrowed = Where() if database.index is None else database.index.may_have(having, where)
    listing.where = where & narrowed
    size = SESSIONS_READ_FIRST[0] * (1 + len(request.terms) - len(known))
    while most > 0 and (rows := listing.read(database, queries.SESSIONS, size)):
        tested = _tested(request, rows)
        if known and not narrowed.conditions:
            tested = _with_events(database, tested, known[0])
        yield from _matching(database, request, tested, known)
        most -= len(rows)
        size = min(2 * size, SESSIONS_AT_ONCE)
    listing.where = where


def _tested(request: SessionRequest, rows: Iterable[Row]) -> list[SessionMatch]:
    return [_with_title(row, request.terms) for row in rows if _has_metadata(row, request)]


def _matching(
    database: Database, request: SessionRequest, tested: Sequence[SessionMatch], known: Sequence[Known]
) -> Iterator[SessionMatch]:
    """Yields those of some sessions that match."""
    if not request.in_titles_alone:
        others = request.all_terms - {one.term for one in known}
        if known:
            _read_events(database, request.terms, tested, [one.events for one in known])
            tested = [match for match in tested if match.in_title | match.in_events | others == request.all_terms]
        if others:
            _read_words(database, request.terms, _read_ends(database, request.terms, tested, others), others)
    yield from (match for match in tested if match.has_all(request.terms))


# ---------------------------------------------------------------- what the index knows


class Known(NamedTuple):
    """The events that may have a term, which is named by its place in the request."""

    term: int
    events: Having


def _known(database: Database, request: SessionRequest, where: Where, places: Sequence[int], most: int) -> list[Known]:
    """Returns what the index knows of terms, the rarest first: at least of the latest events, so many of each."""
    if database.index is None or request.in_titles_alone:
        return []
    terms = {place: request.terms[place] for place in places}
    scope = {name: where.params[name] for name in ("app_name", "user_id") if name in where.params}
    about = Request(
        tuple(terms.values()), search.FIELDS, scope.get("app_name"), scope.get("user_id"), None, (), scope, True
    )

    def known(postings: Postings) -> list[Known]:
        found = []
        for place, term in terms.items():
            rows = postings.rows(term, (), most)
            found.append(Known(place, Having(frozenset(rows), rows[-1] if len(rows) == most else 0)))
            if not rows:
                break
        return sorted(found, key=lambda one: len(one.events.rows))

    return database.index.with_postings(about, known)


def _with_events(database: Database, tested: Sequence[SessionMatch], known: Known) -> list[SessionMatch]:
    """Returns the sessions that have a term in the title, or one of the events that may have it."""
    there = set(_events_of(database, tested, [known.events]).values())
    return [match for match in tested if known.term in match.in_title or match.key in there]


def _events_of(database: Database, tested: Iterable[SessionMatch], having: Sequence[Having]) -> dict[int, SessionKey]:
    """Returns the events of sessions that may have at least one of some terms; no text is read."""
    since = max(one.since for one in having)
    rows = frozenset().union(*(one.rows for one in having))
    found: dict[int, SessionKey] = {}
    for where, ids in _by_owner((match, match.row[_ID]) for match in tested):
        statement = where.also(queries.EVENT_IN_SESSIONS).statement(queries.ROWS_OF_SESSIONS)
        app, user = where.params["app_name"], where.params["user_id"]
        for start in range(0, len(ids), IDS_AT_ONCE):
            sql, names = with_ids(statement, ids[start : start + IDS_AT_ONCE])
            for session_id, row_id in database.read(sql, {**where.params, **names}, tuple):
                if row_id < since or row_id in rows:
                    found[row_id] = SessionKey(app, user, session_id)
    return found


def _among_few(
    database: Database, request: SessionRequest, listing: Listing, keys: Iterable[SessionKey], known: Sequence[Known]
) -> Iterator[SessionMatch]:
    """Yields the rest of the sessions that match, all of which are among a few."""
    rows = [row for row in _rows_of(database, listing.where, keys) if listing.is_beyond(row)]
    rows.sort(key=position_of, reverse=True)
    for start in range(0, len(rows), SESSIONS_READ_FIRST[0]):
        tested = _tested(request, rows[start : start + SESSIONS_READ_FIRST[0]])
        yield from _matching(database, request, tested, known)


def _keys_of_events(database: Database, where: Where, rows: frozenset[int]) -> set[SessionKey]:
    """Returns the keys of the sessions of some events."""
    conditions = {queries.OF_APP: queries.EVENT_OF_APP, queries.OF_USER: queries.EVENT_OF_USER}
    scope = Where(tuple(conditions[one] for one in where.conditions if one in conditions), where.params)
    statement = scope.also(queries.NAMED_ROWS).statement(queries.SESSIONS_OF_EVENTS)
    listed = list(rows)
    found: set[SessionKey] = set()
    for start in range(0, len(listed), IDS_AT_ONCE):
        sql, ids = with_ids(statement, listed[start : start + IDS_AT_ONCE])
        found.update(database.read(sql, {**scope.params, **ids}, SessionKey._make))
    return found


def _titled(database: Database, term: Term, where: Where) -> frozenset[SessionKey] | None:
    """Returns the sessions that may have a term in their titles; None if they are many."""
    if database.index is None:
        return search.titled(database, term, where)
    return database.index.titled(term, where)


def _rows_of(database: Database, where: Where, keys: Iterable[SessionKey]) -> Iterator[Row]:
    """Yields the rows of those sessions that meet the conditions."""
    owned: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key in keys:
        owned[key.app_name, key.user_id].append(key.session_id)
    for (app, user), ids in owned.items():
        own = where.also(queries.OF_APP, app_name=app).also(queries.OF_USER, user_id=user).also(queries.WITH_IDS)
        for start in range(0, len(ids), IDS_AT_ONCE):
            sql, names = with_ids(own.statement(queries.SESSIONS), ids[start : start + IDS_AT_ONCE])
            yield from database.read(sql, {**own.params, **names}, tuple)


def _has_metadata(row: Row, request: SessionRequest) -> bool:
    return not request.metadata or has_metadata(codec.decode_session(row, SessionRecord), request.metadata)


def _with_title(row: Row, terms: Sequence[Term]) -> SessionMatch:
    title = row[_TITLE]
    return SessionMatch(row, search.present([title], terms) if isinstance(title, str) else frozenset())


def _read_ends(
    database: Database, terms: Sequence[Term], tested: Sequence[SessionMatch], sought: frozenset[int]
) -> list[SessionMatch]:
    """Notes which of the terms are in short sessions, and at the end of long ones; returns those not read enough.

    It is enough if one event has all that is sought: those before it can have no more, unless they have been read.
    """
    short: list[SessionMatch] = []
    undecided: list[SessionMatch] = []
    for match in tested:
        last_seq = match.row[_LAST_SEQ]
        if codec.is_last_seq(last_seq) and last_seq <= SHORT_SESSION:
            short.append(match)
        elif _read_from_end(database, terms, match, sought, TEXTS_AT_THE_END) is not None:
            undecided.append(match)
    test = _tester(terms)
    for where, some in _by_owner((match, match) for match in short):
        by_id = {match.row[_ID]: match for match in some}
        where = where.also(queries.EVENT_IN_SESSIONS)
        sql, ids = with_ids(where.statement(queries.TEXTS_OF_SESSIONS), list(by_id))
        for session_id, seq, row_id, found in database.read(sql, {**where.params, **ids}, test):
            by_id[session_id].note(seq, row_id, found)
    return undecided


def _read_words(
    database: Database, terms: Sequence[Term], tested: Iterable[SessionMatch], sought: frozenset[int]
) -> None:
    """Notes which of the terms are in the other events of sessions whose ends were read; see `_read_ends`."""
    for match in tested:
        while _read_from_end(database, terms, match, sought, TEXTS_AT_ONCE) is not None:
            pass


def _read_from_end(
    database: Database, terms: Sequence[Term], match: SessionMatch, sought: frozenset[int], count: int
) -> object:
    """Notes which of the terms are in the last events not read yet; returns where it stopped, None if it is enough."""
    where = Where(
        (queries.EVENT_OF_APP, queries.EVENT_OF_USER, queries.EVENT_IN_SESSION),
        {"app_name": match.row[_APP], "user_id": match.row[_USER], "session_id": match.row[_ID], "limit": count},
    )
    if match.read_from is not None:
        where = where.also(queries.EVENT_BEFORE, before_seq=match.read_from)
    read = database.read(where.statement(queries.TEXTS_OF_SESSIONS, queries.LAST_EVENTS_FIRST), where.params,
                         _tester(terms))  # fmt: skip
    for _, seq, row_id, found in read:
        match.note(seq, row_id, found)
    is_enough = len(read) < count or any(sought <= found for *_, found in read)
    match.read_from = None if is_enough else read[-1][1]
    return match.read_from


def _read_events(
    database: Database, terms: Sequence[Term], tested: Sequence[SessionMatch], having: Sequence[Having]
) -> None:
    """Notes which of the terms are in those events of sessions that may have them."""
    by_row = _events_of(database, tested, having)
    by_key = {match.key: match for match in tested}
    statement = Where((queries.NAMED_ROWS,)).statement(queries.TEXTS_OF_NAMED)
    listed, test = list(by_row), _tester(terms)
    for start in range(0, len(listed), IDS_AT_ONCE):
        sql, ids = with_ids(statement, listed[start : start + IDS_AT_ONCE])
        for _, seq, row_id, found in database.read(sql, ids, test):
            by_key[by_row[row_id]].note(seq, row_id, found)


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
        events = where.also(queries.NAMED_ROWS).statement(queries.NAMED_EVENTS_WITH_SESSIONS)
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
