"""Copies all sessions of one store into another, exactly, and then compares the two.

Both ends may be files or servers. Sessions go in *pieces*, as an import's do: some hundred events a transaction. What
the target has is not written again, so a copy that was interrupted is completed by running it again, and one that was
made while the source was in use is brought up to date that way.

The comparison at the end reads both stores anew: a session's columns, its own state, and a *fingerprint* of its events,
which has every column of every event with its place. Shared state is compared key by key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.codec import SessionKey
from session_sqlite.database import Row
from session_sqlite.errors import StoreError
from session_sqlite.operations.whole_sessions import Piece, StoredSession, WholeSessions
from session_sqlite.transfer.batches import BATCH_CHARACTERS, Batch
from session_sqlite.transfer.reports import CopyReport, Progress
from session_sqlite.where import Where

_SHARED: Final = ("app:", "user:")


@dataclass
class _Fingerprint:
    """A number that two streams of events have in common only if they are the same events at the same places."""

    count: int = 0
    total: int = 0
    misplaced: set[str] = field(default_factory=set)  # ids of events whose place is damaged: a copy gives them another

    def add(self, rows: list[Row], misplaced: set[str]) -> None:
        """Adds events, whatever the place of those that are misplaced."""
        for row in rows:
            columns = {name: _text_form(value) for name, value in _to_write(row).items()}
            place = columns.pop("seq")
            if not codec.is_seq(place):
                self.misplaced.add(columns["id"])
            if not codec.is_seq(place) or columns["id"] in misplaced:
                place = None
            digest = hashlib.blake2b(repr((place, *columns.values())).encode("utf-8", "backslashreplace"))
            self.count += 1
            self.total = (self.total + int.from_bytes(digest.digest(), "big")) % 2**512


def copy(source: WholeSessions, target: WholeSessions, where: Where, progress: Progress | None) -> CopyReport:
    """Copies the sessions that match, with their events and state, and compares them.

    Args:
        source: The store to read.
        target: The store to write to.
        where: The sessions.
        progress: A function that is called with how much is done and how much there is: each event counts twice, since
            it is copied and compared.

    Raises:
        StoreError: A session or shared state of the target differs from the source's, and is not merely behind it.
    """
    events = source.count_events(where) if progress else 0
    work = _Copy(target, lambda done: progress and progress(done, 2 * events))
    for shared in source.shared_values(where):
        target.share(shared, codec.now_text())
    for session in _sessions(source, where):
        work.take(session, source.event_rows(session.stored))
    work.flush()
    return _compared(source, target, where, work)


@dataclass(frozen=True)
class _Whole:
    """A session of the source.

    Attributes:
        stored: The session.
        head: Its row, as the target gets it.
        own: Its own state.
    """

    stored: StoredSession
    head: Mapping[str, Any]
    own: Mapping[str, Any]

    @property
    def key(self) -> SessionKey:
        return self.stored.key


def _sessions(source: WholeSessions, where: Where) -> Iterator[_Whole]:
    for key in source.keys(where):
        stored = source.read(key)
        if stored is not None:  # it was deleted meanwhile
            # Behind the highest there is room for events whose own places are damaged.
            yield _Whole(stored, _head(stored) | {"last_seq": source.highest_seq(stored)}, _own(stored))


class _Copy:
    """One copy: sessions come in, transactions go out."""

    def __init__(self, target: WholeSessions, told: Callable[[int], object]) -> None:
        self._target = target
        self.told = told
        self._batch: Batch[Piece] = Batch()
        self._whole: list[_Whole] = []  # all of their pieces have come
        self._new: set[SessionKey] = set()
        self.done = 0
        self.sessions = self.events = 0  # that the target lacked

    def take(self, session: _Whole, batches: Iterator[list[Row]]) -> None:
        """Takes a session with its events."""
        has_events = False
        for rows in batches:
            start = 0
            while start < len(rows):
                end = _end_of_piece(rows, start)
                self._add(session, [_to_write(row) for row in rows[start:end]])
                start, has_events = end, True
        if not has_events:
            self._add(session, [])
        self._whole.append(session)

    def _add(self, session: _Whole, rows: list[dict[str, Any]]) -> None:
        self._batch.add(Piece(session.key, session.head, session.own, rows, in_place=True))
        if self._batch.is_full:
            self.flush()

    def flush(self) -> None:
        """Writes what has come."""
        now = codec.now_text()
        for placed in self._target.add(self._batch.pieces, now):
            self.sessions += placed.is_new
            self.events += placed.added
            if placed.is_new:
                self._new.add(placed.key)
        for session in self._whole:
            if session.key not in self._new:
                self._target.catch_up(session.key, session.head, session.own, now)
        self._new -= {session.key for session in self._whole}
        self.done += self._batch.events
        self._batch, self._whole = Batch(), []
        self.told(self.done)


def _end_of_piece(rows: list[Row], start: int) -> int:
    """Returns where a piece ends that begins at a row: before it is too large for one transaction."""
    characters = 0
    for end in range(start, len(rows)):
        characters += sum(len(value) for value in rows[end] if isinstance(value, (str, bytes)))
        if characters >= BATCH_CHARACTERS:
            return end + 1
    return len(rows)


def _head(stored: StoredSession) -> dict[str, Any]:
    """Returns the row of a session, with what a server cannot keep as text; damaged numbers read as none."""
    head = {name: _text_form(value) for name, value in stored.columns.items()}
    return head | {name: getattr(stored.session, name) for name in ("last_seq", "parent_seq")}


def _own(stored: StoredSession) -> dict[str, Any]:
    return {name: value for name, value in stored.state.items() if not name.startswith(_SHARED)}


def _to_write(row: Row) -> dict[str, Any]:
    columns = dict(zip(codec.EVENT_COLUMNS, row, strict=True))
    columns["id"] = _text_form(columns["id"])
    if not codec.is_seq(columns["seq"]):
        columns["seq"] = 0  # which gets the next place
    if type(columns["supersedes"]) is not int:
        columns["supersedes"] = None
    return columns


def _text_form(value: Any) -> Any:
    """Returns a column's value as every store can keep it: SQLite's bytes, which only damage leaves there, as text."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


# ---------------------------------------------------------------- the comparison


def _compared(source: WholeSessions, target: WholeSessions, where: Where, work: _Copy) -> CopyReport:
    for shared in source.shared_values(where):
        if not target.has_shared(shared):
            raise StoreError(
                f"after the copy the target has another value of the shared state {shared.name!r} (app "
                f"{shared.owner.app_name!r}, user {shared.owner.user_id!r}), and a later one: it stays. Either is in "
                "use, or went its own way"
            )
    sessions = events = 0
    for session in _sessions(source, where):
        difference, count = _difference(source, target, session)
        if difference:
            # The source may have been written to since: what was appended, or changed in a way that can be followed,
            # is copied and compared once more.
            work.take(session, source.event_rows(session.stored))
            work.flush()
            difference, count = _difference(source, target, session)
        if difference:
            raise StoreError(
                f"after the copy the target's {session.key} differs from the source's in {difference}. Either is in "
                "use, or went its own way: copy again when both are at rest, or delete the target's session"
            )
        sessions += 1
        events += count
        work.told(work.done + events)
    return CopyReport(sessions=sessions, events=events, new_sessions=work.sessions, new_events=work.events)


def _difference(source: WholeSessions, target: WholeSessions, session: _Whole) -> tuple[str, int]:
    """Returns in what a session of the target differs, in words (empty: in nothing), and how many events it has."""
    copied = target.read(session.key)
    if copied is None:
        return "everything: it is not there", 0
    found = _head(copied)
    for name, value in session.head.items():
        if name != "last_seq" and found[name] != value:
            return f"its {name}", 0
    if _encoded(session.own) != _encoded(_own(copied)):
        return "its state", 0
    ours, theirs = _Fingerprint(), _Fingerprint()
    for rows in source.event_rows(session.stored):
        ours.add(rows, set())
    for rows in target.event_rows(copied):
        theirs.add(rows, ours.misplaced)
    if ours.count != theirs.count:
        return f"its number of events ({ours.count:,} and {theirs.count:,})", 0
    if ours.total != theirs.total:
        return "the contents or places of its events", 0
    if found["last_seq"] != session.head["last_seq"] + len(ours.misplaced):
        return "its last_seq", 0
    return "", ours.count


def _encoded(state: Mapping[str, Any]) -> str:
    return codec.encode_state(dict(sorted(state.items())))
