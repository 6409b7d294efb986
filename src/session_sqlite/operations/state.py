"""The state of a session: reading it, changing it, and rebuilding it as it was after an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Reading, Row, Transaction
from session_sqlite.models import REMOVE


def seen(reading: Reading, key: SessionKey) -> dict[str, Any] | None:
    """Returns the state that a session sees, sorted: its app's, its user's and its own; None if there is no session."""
    rows = reading.rows(queries.STATE, key.params())
    return _decoded([row for row in rows if row[0] is not None]) if rows else None


def value(reading: Reading, key: SessionKey, name: str | None) -> list[Any] | None:
    """Returns a list of the one value of a key, empty if there is none; None if there is no session."""
    owner = codec.state_owner(key, "" if name is None else name)
    params = {**key.params(), "owner_user": owner["user_id"], "owner_session": owner["session_id"], "key": owner["key"]}
    rows = reading.rows(queries.STATE_VALUE, params)
    if not rows:
        return None
    stored, column = rows[0]
    if stored is None or name is None:
        return []
    decoded = codec.decode_state_value(name, column)
    return [] if decoded is REMOVE else [decoded]


def update(tx: Transaction, key: SessionKey, delta: Mapping[str, Any], now: str) -> bool:
    """Writes a change of state; returns False if there is no such session."""
    touched = tx.run(queries.TOUCH_SESSION, {**key.params(), "now": now}) if delta else len(tx.lock(key))
    if touched:
        write(tx, key, delta, now)
    return bool(touched)


def add(tx: Transaction, key: SessionKey, values: Mapping[str, Any], now: str) -> None:
    """Writes rows of keys that are not there.

    It deletes none: where another transaction has added the same key meanwhile, the INSERT fails, and the work is run
    again on what is there by then.
    """
    for name, new in values.items():
        row: dict[str, Any] = dict(codec.state_owner(key, name))
        encoded = codec.encode_json(new, f"state[{name!r}]")
        tx.run(queries.INSERT_STATE, {**row, "value": encoded, "updated_at": now})


def write(tx: Transaction, key: SessionKey, delta: Mapping[str, Any], now: str) -> None:
    """Writes the rows of a change of state.

    Sessions share the rows of a user and of an app: transactions take them in one order, so that none waits for one
    that waits for it.
    """
    for name, new in sorted(delta.items()):
        row: dict[str, Any] = dict(codec.state_owner(key, name))
        if new is REMOVE:
            tx.run(queries.DELETE_STATE_VALUE, row)
            continue
        put(tx, {**row, "value": codec.encode_json(new, f"state[{name!r}]"), "updated_at": now})


def put(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Writes one row, over the one of its key if there is one.

    The row is changed in its place: to delete it and insert it again makes the transactions of a server deadlock, and
    so does MySQL's upsert.
    """
    if not tx.run(queries.UPDATE_STATE, row):
        tx.run(queries.INSERT_STATE, row)


def present(reading: Reading, key: SessionKey) -> dict[str, Any]:
    """Returns the session's own state as it is now, without damaged values."""
    return _decoded(reading.rows(queries.OWN_STATE, key.params()))


def start_from_present(tx: Transaction, key: SessionKey) -> None:
    """Makes the present state the initial one, before all events are removed: a later rewind starts from it."""
    tx.run(queries.SET_INITIAL_STATE, {**key.params(), "state": codec.encode_state(present(tx, key))})


def after(reading: Reading, key: SessionKey, until: int) -> dict[str, Any]:
    """Returns the session's own state as it was after the event with a seq.

    It is rebuilt from the initial state and the events' changes. A key that no event ever changed keeps its value.
    """
    rebuilt = codec.decode_state_or_empty(reading.rows(queries.SESSION_WITH_STATE, key.params())[0][3])
    changed: set[str] = set()
    for seq, column in reading.rows(queries.STATE_CHANGES, key.params()):
        delta = _own(codec.decode_state_or_empty(column))
        changed |= delta.keys()
        if seq <= until:
            rebuilt.update(delta)
    unchanged = {name: new for name, new in present(reading, key).items() if name not in changed}
    return unchanged | {name: old for name, old in rebuilt.items() if name in changed and old is not REMOVE}


def go_back(tx: Transaction, key: SessionKey, old: Mapping[str, Any], now: str) -> None:
    """Replaces the session's own state by an earlier one."""
    names = {name for name, _ in tx.rows(queries.OWN_STATE, key.params()) if codec.is_state_key(name)}
    write(tx, key, {**dict.fromkeys(names - old.keys(), REMOVE), **old}, now)


def _own(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: new for name, new in state.items() if not name.startswith(("app:", "user:"))}


def _decoded(rows: list[Row]) -> dict[str, Any]:
    return {
        name: decoded
        for name, column in rows
        if (decoded := codec.decode_state_value(name, column)) is not REMOVE
    }  # fmt: skip
