"""Messages that are stored once, by the ids they bring along.

In the state of an agent every message has an id, and the same messages are seen again and again: at each step, by a run
that is tried again, by a thread that another process resumes. Here an event is known by its ``message_id`` (or, if its
message has none, by its own id, which such a message has for an agent), and is appended only if the session lacks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Row, Transaction
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import Event
from session_sqlite.service.conversations import IDS_AT_ONCE, Append, Conversations
from session_sqlite.service.scoped import as_is, missing
from session_sqlite.session import Session

_Rows = Callable[[str, Mapping[str, Any]], list[Row]]  # of a transaction, or of a read outside of one

# In a row that begins with its row_id.
_ID: Final = 1 + codec.EVENT_COLUMNS.index("id")
_SEQ: Final = 1 + codec.EVENT_COLUMNS.index("seq")
_MESSAGE_ID: Final = 1 + codec.EVENT_COLUMNS.index("message_id")
_WHAT_A_MESSAGE_SAYS: Final = tuple(
    (name, 1 + codec.EVENT_COLUMNS.index(name))
    for name in ("author", "content", "reasoning", "actions", "usage", "tool_call_id", "message")
)


class AgentMessages(Conversations):
    """Finding and appending messages by their ids."""

    def find_messages(self, session: Session | str, message_ids: Iterable[str]) -> dict[str, int]:
        """The ``seq`` of each of these messages that the session has.

        An indexed look-up: no conversation is read. A session that does not exist has no messages. An event that has
        no ``message_id`` has, as a message, its own id (the results of its tool calls ``"{event.id}:0"`` and so on),
        and is found by that.
        """
        key = self._key_to_read(session)
        ids = list(dict.fromkeys(codec.text(id, "a message id") for id in message_ids))
        found: dict[str, int] = {}
        for start in range(0, len(ids), IDS_AT_ONCE):
            sql, params = queries.with_ids(queries.MESSAGE_SEQS, ids[start : start + IDS_AT_ONCE])
            found.update(self._rows(sql, {**key.params(), **params}))
        others = _without_message_id(self._rows, key, [id for id in ids if id not in found])
        return found | {id: row[_SEQ] for id, row in others.items()}

    def append_messages(self, session: Session | str, events: Iterable[Event], *, create: bool = False) -> list[Event]:
        """Appends events that are messages, each once, in one transaction: which is which their ``message_id`` says.

        An event whose message the session has already is not appended again. Where it says something else than the
        stored one (a person edited a tool call, a filter took a secret out), the stored event says that from then
        on, in its place: its id, ``seq``, time and metadata stay. An event that has no message id (see
        `find_messages`) stays as it is. If nothing is new, nothing is written.

        Args:
            session: The session.
            events: What to append; each needs a ``message_id``.
            create: Make the session, in the same transaction, if there is none.

        Returns:
            The events as stored, one for each given.

        Raises:
            SessionNotFoundError: There is no such session.
            InvalidInputError: An event is malformed or has no ``message_id``.
        """
        key = self._key(session)
        batch = self._encode(key, events)
        if any(row["message_id"] is None for row in batch.rows):
            raise InvalidInputError("each event needs a message_id: append_events takes those that have none")
        if not batch.rows:
            return self.append_events(session, [], create=create)

        def result(stored: Mapping[str, Row]) -> list[Event]:
            return [codec.decode_event(stored[row["message_id"]][1:]) for row in batch.rows]

        stored = _stored(self._rows, key, batch)
        if all(_says_the_same(stored.get(row["message_id"]), row) for row in batch.rows):
            return result(stored)

        def work(tx: Transaction) -> list[Event]:
            touched = tx.run(queries.TOUCH_SESSION, {**key.params(), "now": batch.now})
            if not touched and not create:
                raise missing(key)
            stored = _stored(tx.rows, key, batch)
            fresh: dict[str, tuple[Event, dict[str, Any]]] = {}
            for event, row in zip(batch.events, batch.rows, strict=True):
                before = stored.get(row["message_id"])
                if before is None:
                    fresh[row["message_id"]] = (event, row)
                elif not _says_the_same(before, row):
                    self._change(tx, key, before, row)
            if fresh:
                pairs = list(fresh.values())
                new = Append([event for event, _ in pairs], [row for _, row in pairs], batch.now, create=create)
                self._append(tx, key, new)
            return result(_stored(tx.rows, key, batch))

        return self._database.write(work)

    def _change(self, tx: Transaction, key: SessionKey, before: Row, row: Mapping[str, Any]) -> None:
        tx.run(queries.UPDATE_MESSAGE, {**row, "row_id": before[0]})
        if self._database.index is not None:
            after = tx.rows(queries.EVENT_OF_ROW, {**key.params(), "row_id": before[0]})[0]
            self._database.index.changed(tx, before, after)

    def _rows(self, sql: str, params: Mapping[str, Any]) -> list[Row]:
        return self._database.read(sql, params, as_is)


def _stored(rows: _Rows, key: SessionKey, batch: Append) -> dict[str, Row]:
    """The rows (with their row_id first) of a batch's messages that the session has, by the messages' ids."""
    found: dict[str, Row] = {}
    ids = list(dict.fromkeys(row["message_id"] for row in batch.rows))
    for start in range(0, len(ids), IDS_AT_ONCE):
        sql, params = queries.with_ids(queries.MESSAGES, ids[start : start + IDS_AT_ONCE])
        found.update((row[_MESSAGE_ID], row) for row in rows(sql, {**key.params(), **params}))
    return found | _without_message_id(rows, key, [id for id in ids if id not in found])


def _without_message_id(rows: _Rows, key: SessionKey, ids: Iterable[str]) -> dict[str, Row]:
    """Of messages that have the id of the event which they are made of: that event's row, row_id first."""
    found: dict[str, Row] = {}
    names: dict[str, list[str]] = {}
    for id in ids:
        event_id, _, position = id.rpartition(":")
        for name in (id, event_id) if event_id and position.isdecimal() else (id,):
            names.setdefault(name, []).append(id)
    sought = list(names)
    for start in range(0, len(sought), IDS_AT_ONCE):
        sql, params = queries.with_ids(queries.EVENTS_WITHOUT_MESSAGE_ID, sought[start : start + IDS_AT_ONCE])
        for row in rows(sql, {**key.params(), **params}):
            found.update(dict.fromkeys(names[row[_ID]], row))
    return found


def _says_the_same(stored: Row | None, row: Mapping[str, Any]) -> bool:
    """True if there is nothing to change; an event without a message id is not its message's to change."""
    if stored is None or stored[_MESSAGE_ID] is None:
        return stored is not None
    return all(stored[index] == row[name] for name, index in _WHAT_A_MESSAGE_SAYS)
