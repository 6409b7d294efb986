"""Appending events to a session, all of a batch or none, and removing them.

A batch advances the session's ``last_seq`` by the number of events that it adds, so that an append leaves no gap. For a
plain batch (no ids of the caller, no condition) that UPDATE is the first statement: it takes the session's lock, and
nothing has to be read. For any other batch the lock is taken first, and events that are stored already are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Transaction
from session_sqlite.errors import CorruptStoreError, DuplicateEventError, InvalidInputError, StaleSessionError
from session_sqlite.models import Event
from session_sqlite.operations import state
from session_sqlite.operations.lookup import missing

Columns = dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """Encoded events that have no ``seq`` yet.

    Attributes:
        events: The events as they were given.
        rows: Their columns, without a ``seq``.
        now: The time of the append.
        expected_seq: The ``last_seq`` that the session has to have; None for any.
        create: Make the session if there is none.
        replace: Remove the session's events first.
    """

    events: Sequence[Event]
    rows: Sequence[Columns]
    now: str
    expected_seq: int | None = None
    create: bool = False
    replace: bool = False

    @property
    def is_plain(self) -> bool:
        """Returns True if the batch can be written without reading anything of the session first."""
        special = self.replace or self.expected_seq is not None or not self.rows
        return not special and not any(event.id for event in self.events)


def encode(key: SessionKey, events: object, max_bytes: int, **how: Any) -> Batch:
    """Returns the batch for some events. Raises `InvalidInputError` for an event that cannot be stored."""
    if isinstance(events, (Event, str, bytes, Mapping)) or not isinstance(events, Iterable):
        raise InvalidInputError(f"events must be a list of Event, not {type(events).__name__}")
    batch = list(events)
    now = codec.now_text()
    return Batch(batch, [codec.encode_event(event, key, now, max_bytes) for event in batch], now, **how)


def append(tx: Transaction, key: SessionKey, batch: Batch) -> list[Event]:
    """Appends a batch to its session and returns the events as stored, one for each given."""
    if batch.is_plain and not tx.may_be_done:
        _insert(tx, key, batch, batch.rows)
        return _as_stored(batch, batch.rows, {})
    exists = bool(tx.lock(key))
    if not exists and not batch.create:
        raise missing(key)
    if batch.replace:
        state.start_from_present(tx, key)
        remove_events(tx, key)
    rows, already = _split(tx, key, batch)
    if rows or not batch.rows:
        _check_expected(tx, key, batch)
    if rows or batch.replace or not exists:
        _insert(tx, key, batch, rows)
    return _as_stored(batch, rows, already)


def _insert(tx: Transaction, key: SessionKey, batch: Batch, rows: Sequence[Columns]) -> None:
    """Advances the session's ``last_seq``, and writes the events, their changes of state and their search words."""
    seq = _advance(tx, key, batch, len(rows)) - len(rows)
    delta: dict[str, Any] = {}
    for row in rows:
        seq += 1
        row["seq"] = seq
        if row["state"] != "{}":
            delta.update(codec.decode_state(row["state"]))
    if rows:
        tx.insert_events(rows)
    state.write(tx, key, delta, batch.now)


def _advance(tx: Transaction, key: SessionKey, batch: Batch, count: int) -> int:
    """Advances the session's ``last_seq`` and returns it; takes the session's lock, or makes the session."""
    last_seq = tx.advance(key, count, batch.now)
    if last_seq is None:
        if not batch.create:
            raise missing(key)
        row = codec.encode_session(key, agent_id="", title="", metadata=None, state={}, now=batch.now)
        tx.run(queries.INSERT_SESSION, row)
        last_seq = tx.advance(key, count, batch.now)
    return _checked(last_seq, key) if count else 0


def _checked(last_seq: object, key: SessionKey) -> int:
    if not codec.is_last_seq(last_seq):
        raise CorruptStoreError(f"the last_seq of {key} is damaged: check(repair=True) corrects it")
    return last_seq


def _split(tx: Transaction, key: SessionKey, batch: Batch) -> tuple[list[Columns], dict[str, Event]]:
    """Returns the rows of a batch that the session lacks, and the events that it has, by id.

    Raises:
        DuplicateEventError: An id is taken by an event with other content.
    """
    fresh: dict[str, tuple[Columns, Event]] = {}
    already: dict[str, Event] = {}
    for event, row in zip(batch.events, batch.rows, strict=True):
        id = row["id"]
        if (event.id != "" or tx.may_be_done) and id not in already and id not in fresh:
            stored = tx.rows(queries.EVENT_BY_ID, {**key.params(), "event_id": id})
            if stored:
                already[id] = codec.decode_event(stored[0])
        if id in already:
            known = already[id]
        elif id in fresh:
            first, twin = fresh[id]
            known = codec.stored_event(twin, first)
        else:
            fresh[id] = (row, event)
            continue
        if not codec.same_content(known, row, event):
            raise DuplicateEventError(f"{key} has an event {id!r} with other content: give the new one another id")
    return [row for row, _ in fresh.values()], already


def _check_expected(tx: Transaction, key: SessionKey, batch: Batch) -> None:
    if batch.expected_seq is None:
        return
    stored = tx.rows(queries.LAST_SEQ, key.params())
    last_seq = _checked(stored[0][0] if stored else 0, key)
    if last_seq != batch.expected_seq:
        raise StaleSessionError(
            f"{key} is at seq {last_seq}, not at {batch.expected_seq}: it was changed since; read it again"
        )


def _as_stored(batch: Batch, rows: Sequence[Columns], already: Mapping[str, Event]) -> list[Event]:
    if len(rows) == len(batch.rows):
        return [codec.stored_event(event, row) for event, row in zip(batch.events, batch.rows, strict=True)]
    placed = {row["id"]: row for row in rows}  # an event without a row was stored already, or is in the batch twice
    return [
        codec.stored_event(event, placed[row["id"]]) if row["id"] in placed else already[row["id"]]
        for event, row in zip(batch.events, batch.rows, strict=True)
    ]


def remove_events(
    tx: Transaction, key: SessionKey, after_seq: int = 0, until_seq: int = codec.LAST_POSSIBLE_SEQ
) -> int:
    """Removes the events after a seq up to another, and their search words; returns how many events it removed."""
    if tx.index is not None:
        tx.index.forget(tx, key, after_seq, until_seq)
    # A damaged row may have no seq, so that no range of seqs removes it.
    is_everything = (after_seq, until_seq) == (0, codec.LAST_POSSIBLE_SEQ)
    statement = queries.DELETE_ALL_EVENTS if is_everything else queries.DELETE_EVENTS
    removed = tx.run(statement, {**key.params(), "after": after_seq, "until_seq": until_seq})
    if tx.index is not None:
        tx.index.removed(tx)
    return removed
