"""The messages of agents, each of which is stored once, by its id.

Every message in the state of an agent has an id, and the same messages arrive again and again: at each step, when a run
is retried, when another process resumes a thread. A message is appended only if the session has no event with its
``message_id``. An event that was stored without one is found by its own id: for an agent, its message has that id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Reading, Row, Transaction
from session_sqlite.messages.form import Form, form_of
from session_sqlite.messages.form import name_of as form_name
from session_sqlite.models import Event, ToolCall
from session_sqlite.operations import appending
from session_sqlite.operations.appending import Batch
from session_sqlite.operations.lookup import missing
from session_sqlite.where import IDS_AT_ONCE, with_ids

# Positions of columns in a row that has its row_id in front.
_ID: Final = 1 + codec.EVENT_COLUMNS.index("id")
_SEQ: Final = 1 + codec.EVENT_COLUMNS.index("seq")
_METADATA: Final = 1 + codec.EVENT_COLUMNS.index("metadata")
_MESSAGE_ID: Final = 1 + codec.EVENT_COLUMNS.index("message_id")
_CONTENT_COLUMNS: Final = tuple(  # columns that make the content of a message, with their positions
    (name, 1 + codec.EVENT_COLUMNS.index(name))
    for name in ("author", "content", "reasoning", "actions", "usage", "tool_call_id", "message")
)
_JSON: Final = frozenset({"actions", "usage", "message"})
_DERIVED: Final = frozenset({"usage", "message"})


def find(reading: Reading, key: SessionKey, ids: Sequence[str]) -> dict[str, int]:
    """Returns the seq of each of these messages that the session has, by message id."""
    seqs: dict[str, int] = {}
    for start in range(0, len(ids), IDS_AT_ONCE):
        sql, params = with_ids(queries.MESSAGE_SEQS, ids[start : start + IDS_AT_ONCE])
        seqs.update(dict(reading.rows(sql, {**key.params(), **params})))
    others = _without_message_id(reading, key, [id for id in ids if id not in seqs])
    return seqs | {id: row[_SEQ] for id, row in others.items()}


def unchanged(reading: Reading, key: SessionKey, batch: Batch, places: Mapping[str, str]) -> list[Event] | None:
    """Returns the stored events of a batch if the session has all of them unchanged; otherwise None."""
    stored = _stored(reading, key, [*_ids(batch), *places.values()])
    if _taken(places, stored):
        return None
    for event, row in zip(batch.events, batch.rows, strict=True):
        before = stored.get(row["message_id"])
        if before is None or _changed(before, event, row):
            return None
    return _as_stored(stored, batch)


def append(tx: Transaction, key: SessionKey, batch: Batch, places: Mapping[str, str], max_bytes: int) -> list[Event]:
    """Appends the messages that the session lacks, changes those that differ, and returns all as stored.

    ``places`` maps the id of a new message to the id of the stored one that it replaces.
    """
    touched = tx.run(queries.TOUCH_SESSION, {**key.params(), "now": batch.now})
    if not touched and not batch.create:
        raise missing(key)
    stored = _stored(tx, key, [*_ids(batch), *places.values()])
    for id, taken in _taken(places, stored).items():
        about = {**key.params(), "row_id": taken[0]}
        tx.run(queries.SET_MESSAGE_ID, {**about, "message_id": id})
        if (metadata := _with_note(taken, "")) is not None:
            tx.run(queries.SET_METADATA_OF_EVENT, {**about, "metadata": metadata})
        stored[id] = tx.rows(queries.EVENT_OF_ROW, about)[0]
    fresh: dict[str, tuple[Event, dict[str, Any]]] = {}
    for event, row in zip(batch.events, batch.rows, strict=True):
        before = stored.get(row["message_id"])
        if before is None:
            fresh[row["message_id"]] = (event, row)
        elif changed := _changed(before, event, row):
            after = _change(tx, key, before, codec.encode_event(changed, key, "", max_bytes))
            # One event may be several messages, and each changes a part of it: the next one starts from this change.
            stored.update((id, after) for id, other in list(stored.items()) if other[0] == after[0])
    if fresh:
        pairs = list(fresh.values())
        new = replace(batch, events=[event for event, _ in pairs], rows=[row for _, row in pairs])
        appending.append(tx, key, new)
    return _as_stored(_stored(tx, key, _ids(batch)), batch)


def needs_note(reading: Reading, key: SessionKey, ids: Sequence[str], reason: str) -> bool:
    """Returns True if marking these messages as interrupted would change at least one event."""
    return any(_with_note(row, reason) for row in _stored(reading, key, ids).values())


def mark_interrupted(tx: Transaction, key: SessionKey, ids: Sequence[str], reason: str, now: str) -> int:
    """Marks messages at which a run ended, or removes the mark; returns how many events changed."""
    tx.run(queries.TOUCH_SESSION, {**key.params(), "now": now})
    changed = {row[0]: _with_note(row, reason) for row in _stored(tx, key, ids).values()}
    return sum(
        tx.run(queries.SET_METADATA_OF_EVENT, {**key.params(), "row_id": row_id, "metadata": metadata})
        for row_id, metadata in changed.items()
        if metadata is not None
    )


def _ids(batch: Batch) -> list[str]:
    return [row["message_id"] for row in batch.rows]


def _as_stored(stored: Mapping[str, Row], batch: Batch) -> list[Event]:
    return [codec.decode_event(stored[row["message_id"]][1:]) for row in batch.rows]


def _change(tx: Transaction, key: SessionKey, before: Row, columns: Mapping[str, Any]) -> Row:
    tx.run(queries.UPDATE_MESSAGE, {**columns, "row_id": before[0]})
    after = tx.rows(queries.EVENT_OF_ROW, {**key.params(), "row_id": before[0]})[0]
    if tx.index is not None:
        tx.index.changed(tx, before, after)
    return after


def _taken(places: Mapping[str, str], stored: Mapping[str, Row]) -> dict[str, Row]:
    """Returns the stored rows that new messages replace, by the ids of the new messages."""
    return {id: stored[old] for id, old in places.items() if id not in stored and old in stored}


def _with_note(row: Row, reason: str) -> str | None:
    """Returns the event's metadata with the mark of an interrupted run, or without; None if nothing changes."""
    try:
        metadata = codec.decode_object(row[_METADATA])
    except (ValueError, TypeError, RecursionError):
        return None
    noted = {name: value for name, value in metadata.items() if name != "interrupted"}
    if reason:
        noted["interrupted"] = reason
    return None if noted == metadata else codec.encode_json(noted, "metadata")


def _stored(reading: Reading, key: SessionKey, message_ids: Iterable[str]) -> dict[str, Row]:
    """Returns the rows (the row_id in front) of those messages that the session has, by message id."""
    rows: dict[str, Row] = {}
    ids = list(dict.fromkeys(message_ids))
    for start in range(0, len(ids), IDS_AT_ONCE):
        sql, params = with_ids(queries.MESSAGES, ids[start : start + IDS_AT_ONCE])
        rows.update((row[_MESSAGE_ID], row) for row in reading.rows(sql, {**key.params(), **params}))
    return rows | _without_message_id(reading, key, [id for id in ids if id not in rows])


def _without_message_id(reading: Reading, key: SessionKey, ids: Iterable[str]) -> dict[str, Row]:
    """Returns the rows of events without a ``message_id``, by the ids that they have as messages.

    Such an event is the message ``"{event id}"``, and the result of each of its calls ``"{event id}:{position}"``.
    """
    rows: dict[str, Row] = {}
    names: dict[str, list[str]] = {}
    for id in ids:
        event_id, _, position = id.rpartition(":")
        for name in (id, event_id) if event_id and position.isdecimal() else (id,):
            names.setdefault(name, []).append(id)
    sought = list(names)
    for start in range(0, len(sought), IDS_AT_ONCE):
        sql, params = with_ids(queries.EVENTS_WITHOUT_MESSAGE_ID, sought[start : start + IDS_AT_ONCE])
        for row in reading.rows(sql, {**key.params(), **params}):
            rows.update(dict.fromkeys(names[row[_ID]], row))
    return rows


# ---------------------------------------------------------------- messages that were edited


def _changed(before: Row, event: Event, row: Mapping[str, Any]) -> Event | None:
    """Returns the event that replaces a stored one, now that its message has arrived again; None if nothing differs.

    ``row`` has the columns of the event that arrived.
    """
    if all(before[index] == row[name] for name, index in _CONTENT_COLUMNS):
        return None
    stored = codec.decode_event(before[1:])
    if stored.unreadable:
        return event
    if stored.message is None and stored.message_id is None:
        return _changed_native(stored, event)
    if stored.supersedes:  # a summary keeps its author, even if it is given to the model as a message of the user
        event, row = replace(event, author=stored.author), {**row, "author": stored.author}
    form = form_of(stored.message)
    if form is None or (stored.message is not None and form.is_redacted(stored.message)):
        return None
    # An agent of another framework gets a message made from the columns: only these tell whether it was edited.
    other = form_name(stored.message) != form_name(event.message)
    compared = [(name, index) for name, index in _CONTENT_COLUMNS if not (other and name in _DERIVED)]
    is_as_stored = all(
        before[index] == row[name] or (name in _JSON and _says_the_same(form, before[index], row[name]))
        for name, index in compared
    )
    return None if is_as_stored else event


def _says_the_same(form: Form, one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and form.says_the_same(one, other)


def _changed_native(stored: Event, event: Event) -> Event | None:
    """Returns what `_changed` does for an event that was never a message.

    Such an event may hold the results of its calls, which a message cannot: it then keeps its form.
    """
    if event.author == "tool":
        _, _, position = (event.message_id or "").rpartition(":")
        return _with_result(stored, 0 if event.message_id == stored.id else int(position), event)
    calls = {call.id or f"{stored.id}:{position}": call for position, call in enumerate(stored.actions)}
    asked = [(id, call.name, call.args) for id, call in calls.items()]
    if (stored.content, stored.reasoning, asked) == (
        event.content, event.reasoning, [(call.id, call.name, call.args) for call in event.actions]
    ):  # fmt: skip
        return None
    if all(call.status == "pending" for call in calls.values()):
        return event
    actions = [replace(calls.get(call.id, call), name=call.name, args=call.args) for call in event.actions]
    return replace(stored, content=event.content, reasoning=event.reasoning, actions=actions)


def _with_result(stored: Event, position: int, event: Event) -> Event | None:
    """Returns a stored event with the result of one of its calls changed; None if nothing differs."""
    in_content = position == 0 and stored.author == "tool" and bool(stored.content or not stored.actions)
    changed = replace(stored, content=event.content) if in_content else stored
    if position < len(stored.actions):
        call, error = stored.actions[position], event.actions[0].error
        shown = stored.content if in_content else _result_text(call)
        if event.content == shown and (error is None) == (call.error is None):
            return None
        call = replace(call, output=None if error is not None or in_content else event.content, error=error)
        changed = replace(changed, actions=[*stored.actions[:position], call, *stored.actions[position + 1 :]])
    return None if changed == stored else changed


def _result_text(call: ToolCall) -> str:
    if call.error is not None:
        return call.error
    output = "" if call.output is None else call.output
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
