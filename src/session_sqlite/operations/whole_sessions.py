"""Reading whole sessions for an export, and writing those of an import.

A *stored session* is a session with its state, read in one statement, and its events as rows. An *arrival* is a session
from a source with a stream of its events. It is written in *pieces*, each of which has the session's row and some of
its events.

An import never changes what is stored, but for one thing. A session that exists keeps its title (unless it has none)
and metadata, and gets the events that it lacks, by their ids. So importing the same source again, or one whose import
was interrupted, adds only what is missing. Where another program was still writing its last message, that event is
completed in its place: importers make one event of all lines of a reply, and the lines come one after the other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Reading, Reads, Row, Transaction
from session_sqlite.errors import CorruptStoreError, InvalidInputError, StaleSessionError, StoreError
from session_sqlite.models import REMOVE, Event, SessionRecord, ToolCall
from session_sqlite.operations import state
from session_sqlite.operations.lookup import of_session
from session_sqlite.operations.sessions import retitled, title_of
from session_sqlite.where import IDS_AT_ONCE, Where, with_ids

logger = logging.getLogger("session_sqlite")

REDACTED: Final = "[redacted]"  # what stands in place of redacted text, unless the caller says otherwise
CHUNK: Final = 500  # rows that one read returns
_STORED_COLUMNS: Final = (*codec.SESSION_COLUMNS, "initial_state")
_TEXT_COLUMNS: Final = ("content", "reasoning", "actions", "metadata", "state", "message")
_NEEDED_COLUMNS: Final = {
    "author": "", "content": "", "reasoning": "", "actions": "[]", "metadata": "{}", "agent_id": "", "branch": "",
    "invocation_id": "", "state": "{}",
}  # fmt: skip


@dataclass(frozen=True)
class StoredSession:
    """A session as it was in the store at one moment.

    Attributes:
        key: Its key.
        columns: The columns of its row, with ``initial_state``.
        session: The row, decoded.
        state: The state that it sees: its own keys and those that it shares.
    """

    key: SessionKey
    columns: Mapping[str, Any]
    session: SessionRecord
    state: Mapping[str, Any]


@dataclass(frozen=True)
class StoredRow:
    """The columns of an event that could not be decoded when it was exported; they are stored as they are."""

    columns: Mapping[str, Any]


@dataclass(frozen=True)
class SharedValue:
    """A value of the state that belongs to no session, but to an app or (``user:`` keys) to a user of it.

    Attributes:
        owner: The app and user, with no session; no user for a value of the app.
        name: The key, with its prefix.
        value: The value.
        updated_at: The time at which it was written.
    """

    owner: SessionKey
    name: str
    value: Any
    updated_at: str


@dataclass(frozen=True)
class Fault:
    """A part of a source that cannot be imported.

    Attributes:
        where: The line, row or id.
        reason: The reason, without any text of the conversation.
    """

    where: str
    reason: str


@dataclass(frozen=True)
class Note:
    """A remark on a source, for the person who imports it."""

    text: str


@dataclass(frozen=True)
class LeftOut:
    """A record that is not imported, since it is not part of a conversation but bookkeeping of the program.

    Attributes:
        kind: The kind of the record, as the program names it.
    """

    kind: str


@dataclass(frozen=True)
class SharedState:
    """The state that sessions of an app share, or (``user:`` keys) sessions of a user in an app.

    Attributes:
        state: The keys with their prefixes.
        app_name: The app; empty if the source names none.
        user_id: The user; empty if the source names none.
    """

    state: Mapping[str, Any]
    app_name: str = ""
    user_id: str = ""


@dataclass
class Arrival:
    """A session from a source.

    Attributes:
        id: Its id.
        events: Its events in order, with faults and notes between them. An event with a ``seq`` gets that place if it
            is free, and otherwise the next place.
        app_name: Its app; empty if the source names none.
        user_id: Its user; empty if the source names none.
        agent_id: The agent that the user talks with.
        title: Its title.
        metadata: The application's notes; a text, which is stored as it is, if they were damaged in the source.
        created_at: The time at which it was made; the time of its first event if not given.
        updated_at: The time at which it last changed; the time of its latest event if not given.
        last_seq: The highest seq that was ever given in it.
        parent_id: The session it was forked from, if any.
        parent_seq: The last ``seq`` of that session that the fork copied.
        initial_state: Its own state at creation.
        state: Its own state now.
        tree: The session that it and its branches are the paths of; empty if there are no branches.
    """

    id: str
    events: Iterable[Event | StoredRow | Fault | Note | LeftOut]
    app_name: str = ""
    user_id: str = ""
    agent_id: str = ""
    title: str = ""
    metadata: Mapping[str, Any] | str = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_seq: int = 0
    parent_id: str | None = None
    parent_seq: int | None = None
    initial_state: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    tree: str = ""

    def is_path(self, session_id: str) -> bool:
        """Returns True if a session is another path of the same tree."""
        return bool(self.tree) and (session_id == self.tree or session_id.startswith(f"{self.tree}:"))


@dataclass(frozen=True)
class Piece:
    """Some events of a session, and the session's row in case it has to be made.

    Attributes:
        key: The session.
        session: Its row.
        state: Its own state.
        rows: The rows of events; one with seq 0 gets the next place.
        in_place: True if an event whose place is taken is an error; otherwise it gets the next place.
        is_first: True if it is the beginning of a session that must still be the one in the store.
        is_foreign: True if another program made the session: its title may have come late.
        may_grow: True if the last event that the store knows may have had only its beginning when it was stored.
    """

    key: SessionKey
    session: Mapping[str, Any]
    state: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    in_place: bool = False
    is_first: bool = False
    is_foreign: bool = False
    may_grow: bool = False

    def size(self) -> int:
        """Returns the number of characters in its events, approximately."""
        return sum(len(row[name] or "") for row in self.rows for name in _TEXT_COLUMNS)


@dataclass(frozen=True)
class Placed:
    """The result of writing a piece.

    Attributes:
        key: The session.
        is_new: True if the session was made for it.
        added: How many events were added.
        known: How many events the session had already.
        moved: How many of the added events got another seq than they had, since that one was taken.
        completed: How many of the known events had only their beginning.
        differing: How many of the known events say something else, and stay as they are.
        is_titled: True if the session had no title yet, and gets one.
    """

    key: SessionKey
    is_new: bool = False
    added: int = 0
    known: int = 0
    moved: int = 0
    completed: int = 0
    differing: int = 0
    is_titled: bool = False

    @property
    def is_lacking(self) -> bool:
        """Returns True if the store did not have all of the piece."""
        return self.is_new or self.is_titled or self.added > 0 or self.completed > 0


@dataclass(frozen=True)
class _Grown:
    """An event that has more now than is stored of it.

    Attributes:
        stored: Its row in the store, with the row id before the columns.
        row: The row that replaces it.
    """

    stored: Row
    row: Mapping[str, Any]


class WholeSessions:
    """The sessions of a database, read and written with their events and state."""

    def __init__(self, database: Database, max_event_bytes: int) -> None:
        self._database = database
        self._max_event_bytes = max_event_bytes

    # ------------------------------------------------------------ export

    def keys(self, where: Where) -> Iterator[SessionKey]:
        """Yields the keys of the sessions that match, by app, user and id; no lock is held between two of them."""
        where = where.with_values(limit=CHUNK)
        while True:
            sql = where.statement(queries.SESSION_KEYS, queries.SESSION_KEYS_IN_ORDER)
            keys = self._database.read(sql, where.params, SessionKey._make)
            for key in keys:
                if all(isinstance(name, str) for name in key):
                    yield key
                else:
                    logger.warning("a session whose id, app or user is not text is left out: see check()")
            if len(keys) < CHUNK:
                return
            app, user, id = keys[-1]
            where = where.also(queries.KEYS_BEYOND, at_app=app, at_user=user, at_id=id)

    def read(self, key: SessionKey) -> StoredSession | None:
        """Returns a session with its state, as of one moment; None if there is none."""
        rows = self._database.read(queries.SESSION_WITH_ALL_STATE, key.params(), tuple)
        if not rows:
            return None
        width = len(_STORED_COLUMNS)
        state = {}
        for row in rows:
            name, column = row[width:]
            if name is not None and (value := codec.decode_state_value(name, column)) is not REMOVE:
                state[name] = value
        columns = dict(zip(_STORED_COLUMNS, rows[0], strict=False))
        return StoredSession(key, columns, codec.decode_session(rows[0][: width - 1], SessionRecord), state)

    def event_rows(self, stored: StoredSession) -> Iterator[list[Row]]:
        """Yields the rows of a session's events in order, in lists; events that are appended meanwhile are left out."""
        # The end is read from the events, since a damaged `last_seq` of the session would hide some of them.
        end = self._database.read(queries.LAST_PLACE, stored.key.params(), tuple)[0][0]
        where = of_session(stored.key).also(queries.UP_TO, until_seq=end).with_values(limit=CHUNK)
        while True:
            sql = where.statement(queries.EVENTS, queries.OLDEST_FIRST + queries.LIMITED)
            rows = self._database.read(sql, where.params, tuple)
            if rows:
                yield rows
            if len(rows) < CHUNK or (place := codec.beyond(rows[-1], newest_first=False)) is None:
                return
            where = where.also(queries.AFTER, after=place)

    def highest_seq(self, stored: StoredSession) -> int:
        """Returns the last seq of a session, or that of its events if it is damaged or behind them."""
        highest: int | None = self._database.read(queries.HIGHEST_SEQ, stored.key.params(), tuple)[0][0]
        last_seq = stored.columns["last_seq"]
        return max(highest or 0, last_seq if codec.is_last_seq(last_seq) else 0)

    def count_events(self, where: Where) -> int:
        """Counts the events of the sessions that match."""
        count: int = self._database.read(where.statement(queries.COUNT_ALL_EVENTS), where.params, tuple)[0][0]
        return count

    def shared_values(self, where: Where) -> Iterator[SharedValue]:
        """Yields the shared state of the apps and users of the sessions that match, in order."""
        conditions = {queries.OF_APP: queries.OF_APP, queries.OF_USER: queries.OF_USER_OR_APP}
        where = Where(tuple(conditions[one] for one in where.conditions), where.params)
        where = where.also(queries.OF_NO_SESSION).with_values(limit=CHUNK)
        while True:
            sql = where.statement(queries.SHARED_STATE, queries.SHARED_STATE_IN_ORDER)
            rows = self._database.read(sql, where.params, tuple)
            for app, user, name, column, updated_at in rows:
                if (value := codec.decode_state_value(name, column)) is not REMOVE:
                    yield SharedValue(SessionKey(app, user, ""), name, value, str(updated_at))
            if len(rows) < CHUNK:
                return
            app, user, name = rows[-1][:3]
            where = where.also(queries.SHARED_STATE_BEYOND, at_app=app, at_user=user, at_key=name)

    # ------------------------------------------------------------ import

    def session_row(self, key: SessionKey, arrival: Arrival, now: str) -> dict[str, Any]:
        """Returns the row of a session that arrives. Raises `InvalidInputError`."""
        damaged = isinstance(arrival.metadata, str)
        row = codec.encode_session(
            key,
            agent_id=arrival.agent_id,
            title=arrival.title,
            metadata={} if damaged else arrival.metadata,
            state=codec.split_state(arrival.initial_state, "initial_state"),
            now=now,
        )
        if damaged:
            row["metadata"] = codec.text(arrival.metadata, "metadata")
        if arrival.created_at is not None:
            row["created_at"] = codec.time_text(codec.utc(arrival.created_at, "created_at"))
        if arrival.updated_at is not None:
            row["updated_at"] = codec.time_text(codec.utc(arrival.updated_at, "updated_at"))
        row["last_seq"] = codec.whole_number(arrival.last_seq, "last_seq")
        if arrival.parent_id is not None:
            row["parent_id"] = codec.identifier(arrival.parent_id, "parent_id")
        row["parent_seq"] = codec.optional_number(arrival.parent_seq, "parent_seq")
        return row

    def event_row(self, key: SessionKey, event: Event | StoredRow, now: str) -> dict[str, Any]:
        """Returns the row of an event that arrives. Raises `InvalidInputError`."""
        if isinstance(event, Event):
            row = codec.encode_event(event, key, now, self._max_event_bytes)
            row["seq"] = codec.whole_number(event.seq, "seq")
            return row
        row = {name: event.columns.get(name) for name in codec.EVENT_COLUMNS}
        for name, default in _NEEDED_COLUMNS.items():
            if row[name] is None:
                row[name] = default
        if any(not isinstance(value, (str, bytes, int, float, type(None))) for value in row.values()):
            raise InvalidInputError("a column of the row has a value that SQLite cannot store")
        row.update(key.params(), id=codec.identifier(row["id"], "the event id"))
        if row["copied_from"] == key.session_id:
            row["copied_from"] = None
        row["seq"] = row["seq"] if codec.is_seq(row["seq"]) else 0  # a damaged seq is replaced by the next one
        if not isinstance(row["created_at"], (str, bytes)):
            row["created_at"] = now
        return row

    def is_same(self, key: SessionKey, rows: Sequence[Mapping[str, Any]]) -> bool | None:
        """Returns True if the store has the session that the rows are of, False if another one has its key.

        If it has no session of the key, or an empty one, it returns None.

        Args:
            key: The session.
            rows: The first events of a session that arrives.
        """
        return _is_same(Reads(self._database), key, rows)

    def on_other_paths(self, key: SessionKey, arrival: Arrival, rows: Sequence[Mapping[str, Any]]) -> set[str]:
        """Returns the ids of the events that the store has in another session of the tree.

        Where the person went back since the last import, the path that was the session is a branch now.
        """
        found: set[str] = set()
        for start in range(0, len(rows), IDS_AT_ONCE):
            sql, names = with_ids(queries.EVENTS_ELSEWHERE, [row["id"] for row in rows[start : start + IDS_AT_ONCE]])
            elsewhere = self._database.read(sql, {**key.params(), **names}, tuple)
            found.update(id for id, session_id in elsewhere if arrival.is_path(str(session_id)))
        return found

    def add(self, pieces: Sequence[Piece | SharedState], now: str) -> list[Placed]:
        """Writes the parts of the pieces that the store lacks, in one transaction, and returns the results.

        If the store lacks nothing, it starts no transaction.
        """
        placed = self.look_at(pieces)
        lacking = [piece for piece, place in zip(pieces, placed, strict=True) if place is None or place.is_lacking]
        if not lacking:
            return [place for place in placed if place is not None]

        def work(tx: Transaction) -> list[Placed | None]:
            tx.lock(*(piece.key for piece in lacking if isinstance(piece, Piece)))
            return [self._add_one(tx, piece, now) for piece in lacking]

        written = iter(self._database.write(work))
        final = [next(written) if place is None or place.is_lacking else place for place in placed]
        return [place for place in final if place is not None]

    def catch_up(self, key: SessionKey, session: Mapping[str, Any], own: Mapping[str, Any], now: str) -> None:
        """Gives a session the columns and the own state of another that is later, or as late; else leaves it."""

        def lacks(reading: Reading) -> bool:
            rows = reading.rows(queries.SESSION_WITH_ALL_STATE, key.params())
            columns = dict(zip(_STORED_COLUMNS, rows[0], strict=False)) if rows else dict(session)
            is_earlier = str(columns["updated_at"]) <= str(session["updated_at"])
            differs = any(columns[name] != session[name] for name in _STORED_COLUMNS if name != "last_seq")
            behind = columns["last_seq"] < session["last_seq"]
            return is_earlier and (differs or behind or state.present(reading, key) != own)

        def work(tx: Transaction) -> None:
            tx.lock(key)
            if lacks(tx):
                before = title_of(tx, key)
                tx.run(queries.REPLACE_SESSION, {**key.params(), **session})
                retitled(tx, key, before)
                state.go_back(tx, key, own, now)

        if lacks(Reads(self._database)):
            self._database.write(work)

    def share(self, shared: SharedValue, now: str) -> None:
        """Writes a value of shared state, unless this store has it, or a later one."""
        params = {**shared.owner.params(), "key": shared.name}

        def lacks(reading: Reading) -> bool:
            rows = reading.rows(queries.SHARED_VALUE, params)
            return not rows or (str(rows[0][1]) < shared.updated_at and not self.has_shared(shared))

        def work(tx: Transaction) -> None:
            if lacks(tx):
                state.put(tx, {**params, "value": codec.encode_json(shared.value, shared.name), "updated_at": now})

        if lacks(Reads(self._database)):
            self._database.write(work)

    def has_shared(self, shared: SharedValue) -> bool:
        """Returns True if this store has the very value."""
        rows = self._database.read(queries.SHARED_VALUE, {**shared.owner.params(), "key": shared.name}, tuple)
        here = codec.decode_state_value(shared.name, rows[0][0]) if rows else REMOVE
        return here is not REMOVE and codec.encode_json(here, "") == codec.encode_json(shared.value, "")

    def look_at(self, pieces: Sequence[Piece | SharedState]) -> list[Placed | None]:
        """Returns the result that `add` would have for each piece; None for shared state that is not complete."""
        reading = Reads(self._database)
        placed: list[Placed | None] = []
        for piece in pieces:
            if isinstance(piece, Piece):
                session = reading.rows(queries.SESSION, piece.key.params())
                placed.append(_place(reading, piece, session[0] if session else None)[0])
            else:
                key = SessionKey(piece.app_name, piece.user_id, "")
                placed.append(None if _lacking_state(reading, piece) else Placed(key))
        return placed

    def _add_one(self, tx: Transaction, piece: Piece | SharedState, now: str) -> Placed | None:
        if isinstance(piece, SharedState):
            state.add(tx, SessionKey(piece.app_name, piece.user_id, ""), _lacking_state(tx, piece), now)
            return None
        params = piece.key.params()
        existing = tx.rows(queries.SESSION, params)
        if not existing:
            tx.run(queries.INSERT_SESSION, piece.session)
            retitled(tx, piece.key, "")
            state.write(tx, piece.key, piece.state, now)
        elif piece.is_first and _is_same(tx, piece.key, piece.rows) is False:
            raise StaleSessionError(f"another session came as {piece.key} while it was imported: import it again")
        placed, rows, last_seq, grown = _place(tx, piece, existing[0] if existing else None)
        for one in grown:
            _complete(tx, piece.key, one)
        if placed.is_titled:
            tx.run(queries.SET_TITLE, {**params, "title": piece.session["title"]})
        if not rows:
            return placed
        tx.insert_events(rows)
        if existing:
            stored = dict(zip(codec.SESSION_COLUMNS, existing[0], strict=True))
            has_grown = last_seq > stored["last_seq"]
            is_later = (
                codec.decode_time(stored["updated_at"]) is None or piece.session["updated_at"] > stored["updated_at"]
            )
            if has_grown and is_later:  # the source is newer than the store, and so is its state
                state.write(tx, piece.key, piece.state, now)
        tx.run(queries.ADVANCE_SESSION_TO, {**params, "last_seq": last_seq, "now": piece.session["updated_at"]})
        return placed


def are_of_one_session(stored: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Returns True if events that are stored, as contents by their ids, are of the session that the rows are of.

    They are if an event is the same, by its id and content. Ids that importers count out are equal by chance, and so
    may be instructions at the beginning: there must be no more events of one id and different contents, and what the
    system says is asked only if nobody else says anything that is stored. An event that was redacted is the same event,
    and so is one that has grown; one whose text has not come yet tells nothing.
    """
    for said in ([row for row in rows if row["author"] != "system"], rows):
        pairs = [(stored[row["id"]], row["content"]) for row in said if row["id"] in stored]
        if pairs := [(one, other) for one, other in pairs if one == other or one != ""]:
            break
    same = sum(_begins(one, other) or (isinstance(one, str) and REDACTED in one) for one, other in pairs)
    return 0 < same >= len(pairs) - same


def _is_same(reading: Reading, key: SessionKey, rows: Sequence[Mapping[str, Any]]) -> bool | None:
    if not rows or not reading.rows(queries.SESSION, key.params()):
        return None
    for start in range(0, len(rows), IDS_AT_ONCE):
        some = rows[start : start + IDS_AT_ONCE]
        sql, names = with_ids(queries.CONTENTS_OF_EVENTS, [row["id"] for row in some])
        stored: dict[str, Any] = dict(reading.rows(sql, {**key.params(), **names}))
        if stored:
            return are_of_one_session(stored, some)
    return False if reading.rows(queries.LAST_PLACE, key.params())[0][0] else None


def _begins(one: object, whole: object) -> bool:
    """Returns True if a text is the other, or whole lines at its beginning."""
    return one == whole or (isinstance(one, str) and isinstance(whole, str) and whole.startswith(f"{one}\n"))


def _place(
    reading: Reading, piece: Piece, session: Row | None
) -> tuple[Placed, list[dict[str, Any]], int, list[_Grown]]:
    """Returns the result of writing a piece, and what that takes.

    That is the rows that the session lacks with their places, its last seq, and the events that have grown.
    """
    params = piece.key.params()
    known: dict[str, int] = {}
    grown: list[_Grown] = []
    differing = 0
    is_titled = False
    taken: set[int] = set()
    last_seq: int = piece.session["last_seq"]
    is_sound = True
    if session is not None:
        last_seq = session[codec.SESSION_COLUMNS.index("last_seq")]
        if not (is_sound := codec.is_last_seq(last_seq)):
            last_seq = 0
        ids = [row["id"] for row in piece.rows]
        for start in range(0, len(ids), IDS_AT_ONCE):
            sql, names = with_ids(queries.IDS_OF_EVENTS, ids[start : start + IDS_AT_ONCE])
            known.update(reading.rows(sql, {**params, **names}))
        if piece.may_grow:
            grown, differing = _grown(reading, params, piece.rows, known)
        if piece.is_foreign:
            is_titled = session[codec.SESSION_COLUMNS.index("title")] == "" != piece.session["title"]
        seqs = [row["seq"] for row in piece.rows if row["seq"] and row["id"] not in known]
        if seqs:
            between = {**params, "first_seq": min(seqs), "until_seq": max(seqs)}
            taken.update(row[0] for row in reading.rows(queries.SEQS_BETWEEN, between))
    rows: list[dict[str, Any]] = []
    repeated = moved = 0
    for row in piece.rows:
        if row["id"] in known:
            repeated += 1
            continue
        known[row["id"]] = 0
        seq = row["seq"]
        if piece.in_place and seq in taken:
            raise StoreError(
                f"{piece.key} has another event at #{seq} in the target: it went its own way, and nothing of it was "
                "copied. Delete it there, or copy to another store"
            )
        if not seq or seq in taken:
            moved += bool(seq)
            seq = last_seq + 1
        taken.add(seq)
        last_seq = max(last_seq, seq)
        rows.append({**row, "seq": seq})
    if rows and not is_sound:
        raise CorruptStoreError(f"the last_seq of {piece.key} is damaged: check(repair=True) corrects it")
    placed = Placed(
        piece.key, is_new=session is None, added=len(rows), known=repeated, moved=moved,
        completed=len(grown), differing=differing, is_titled=is_titled,
    )  # fmt: skip
    return placed, rows, last_seq, grown


def _grown(
    reading: Reading, params: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], known: Mapping[str, int]
) -> tuple[list[_Grown], int]:
    """Returns which of the last known events have grown, and how many of them say something else.

    The last are the last reply that is known and the results after it: what is behind them had not come.
    """
    grown: list[_Grown] = []
    differing = 0
    for row in reversed(rows):
        if row["id"] not in known:
            continue
        stored = reading.rows(queries.EVENT_OF_ROW, {**params, "row_id": known[row["id"]]})
        if stored and _says_more_or_else(stored[0], row):
            if _is_beginning(stored[0], row):
                grown.append(_Grown(stored[0], row))
            else:
                differing += REDACTED not in str(stored[0])
        if row["author"] != "tool":
            break
    return grown, differing


def _said(stored: Row) -> dict[str, Any]:
    return dict(zip(codec.EVENT_COLUMNS, stored[1:], strict=True))


def _says_more_or_else(stored: Row, row: Mapping[str, Any]) -> bool:
    """Returns True if an event says something that the stored one does not say."""
    before = _said(stored)
    names = ("content", "reasoning", "actions", "usage")
    return any(row[name] not in (before[name], "", "[]", None) for name in names)


def _is_beginning(stored: Row, row: Mapping[str, Any]) -> bool:
    """Returns True if what is stored of an event is its beginning: whole lines of its texts, and its first calls.

    A redacted event is none, and neither is a message of LangChain, which is complete when it is saved. A call without
    an id got one while it waited for its result.
    """
    before = _said(stored)
    if before["message"] is not None or row["message"] is not None or before["author"] != row["author"]:
        return False
    if any(REDACTED in str(before[name]) for name in _TEXT_COLUMNS):
        return False
    if (before["content"], before["reasoning"], before["actions"]) == ("", "", "[]"):  # emptied by a redaction
        return False
    for name in ("content", "reasoning"):
        if before[name] and not _begins(before[name], row[name]):
            return False
    calls, more = (codec.decode_actions_or_empty(one["actions"]) for one in (before, row))
    return len(calls) <= len(more) and all(
        call == other or (call.status == "pending" and _is_same_call(call, other))
        for call, other in zip(calls, more, strict=False)
    )


def _is_same_call(call: ToolCall, other: ToolCall) -> bool:
    return (call.name, call.args) == (other.name, other.args) and other.id in (call.id, "")


def _complete(tx: Transaction, key: SessionKey, grown: _Grown) -> None:
    """Writes the rest of an event that has grown."""
    params = {**key.params(), "row_id": grown.stored[0]}
    tx.run(queries.COMPLETE_EVENT, {**params, **{name: grown.row[name] for name in (*_TEXT_COLUMNS, "usage")}})
    if tx.index is not None:
        tx.index.changed(tx, grown.stored, tx.rows(queries.EVENT_OF_ROW, params)[0])


def _lacking_state(reading: Reading, shared: SharedState) -> dict[str, Any]:
    lacking: dict[str, Any] = {}
    for scope, user in (("app:", ""), ("user:", shared.user_id)):
        keys = {name: value for name, value in shared.state.items() if name.startswith(scope)}
        if keys:
            owner = {"app_name": shared.app_name, "user_id": user, "session_id": ""}
            there = {name for name, _ in reading.rows(queries.OWN_STATE, owner)}
            lacking.update((name, value) for name, value in keys.items() if name not in there)
    return lacking
