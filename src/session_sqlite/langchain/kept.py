"""Messages of sessions that a process reads again and again, kept from one read to the next.

A chain reads its whole history at each turn, and little of it is new. Each read asks the store whether what is kept
still holds, and for the events that came after it, in one statement: whoever changes a session, in this process or in
another, a read shows it. Where the store takes no note of changes, as on a server, nothing is kept.

What is kept are no messages but the values of their fields, in the bytes of `marshal`, which never leave the process.
Each read makes messages of them that are the caller's own, in a quarter of the time that it takes to make them of rows.
An event of which `read_columns` makes no message is kept as its row.
"""

from __future__ import annotations

import marshal
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from langchain_core.messages import BaseMessage

from session_sqlite import codec
from session_sqlite.messages.langchain import Shape, gathered, put_together, read_columns, read_event, taken_apart
from session_sqlite.models import Event
from session_sqlite.operations.reading import Seen
from session_sqlite.service import SessionService, rows_since, store_of
from session_sqlite.session import Session

MOST_SESSIONS: Final = 256  # of one store; those that were read last
MOST_BYTES: Final = 64 * 2**20  # of all of them together


class _Part(NamedTuple):
    """A run of messages of one session.

    Attributes:
        shapes: The shape of each; None for a row.
        values: The fields of each, or the row.
    """

    shapes: tuple[Shape | None, ...]
    values: bytes

    @classmethod
    def of_rows(cls, rows: Iterable[Sequence[Any]]) -> _Part:
        """Returns the part for the messages of some rows."""
        shapes: list[Shape | None] = []
        values: list[Any] = []
        for row in rows:
            message = read_columns(row)
            shape, value = (None, row) if message is None else taken_apart(message)
            shapes.append(shape)
            values.append(value)
        return cls(tuple(shapes), marshal.dumps(values))

    def joined(self, other: _Part) -> _Part:
        """Returns this part and the next one as one."""
        return _Part(self.shapes + other.shapes, marshal.dumps(self._loaded() + other._loaded()))

    def read(self) -> Iterator[Any]:
        """Yields what `gathered` takes."""
        for shape, value in zip(self.shapes, self._loaded(), strict=True):
            yield read_event(codec.decode_for_message(value)) if shape is None else put_together(shape, value)

    def _loaded(self) -> list[Any]:
        return marshal.loads(self.values)  # type: ignore[no-any-return]  # noqa: S302  # this process made the bytes


class _Kept(NamedTuple):
    """A session's messages, and how far it was read.

    Attributes:
        seen: How far it was read.
        parts: Its messages, so that a part is longer than the next one: appending joins the short ones alone.
    """

    seen: Seen
    parts: tuple[_Part, ...]

    @property
    def size(self) -> int:
        """Returns about how many bytes of memory this takes."""
        return sum(len(part.values) + 8 * len(part.shapes) for part in self.parts)


_Key = tuple[str, str, str, bool]
_Sessions = dict[_Key, _Kept | None]
_stores: weakref.WeakKeyDictionary[Any, _Sessions] = weakref.WeakKeyDictionary()


def all_messages(service: SessionService, session: Session, *, needs_ids: bool = False) -> list[BaseMessage]:
    """Returns all messages of a session; one that does not exist has none.

    A session that is read for the second time is kept from then on, so that reading many once costs nothing.

    Args:
        service: The store.
        session: The session.
        needs_ids: Every message gets an id: that of its event, if it came without one.
    """
    # Threads share this without a lock: each step on it is one step of Python's, and the worst that two of them can do
    # to each other is that one reads more than it has to.
    sessions = _stores.setdefault(store_of(service), {})
    key = (session.app_name, session.user_id, session.id, needs_ids)
    if key not in sessions:
        _keep(sessions, key, None)
        return _read(service, session, needs_ids)
    kept = sessions.get(key)
    found = None if kept is None else rows_since(service, session, kept.seen)
    if found is None:
        kept, found = None, rows_since(service, session, None)
    if found is None:
        sessions.pop(key, None)
        return _read(service, session, needs_ids)
    rows, seen = found
    parts = [] if kept is None else [*kept.parts]
    if rows:
        parts.append(_Part.of_rows(map(_with_id, rows) if needs_ids else rows))
        while len(parts) > 1 and len(parts[-2].shapes) <= 2 * len(parts[-1].shapes):
            last = parts.pop()
            parts[-1] = parts[-1].joined(last)
    _keep(sessions, key, _Kept(seen, tuple(parts)))
    return gathered(message for part in parts for message in part.read())


def _read(service: SessionService, session: Session, needs_ids: bool) -> list[BaseMessage]:
    """Returns all messages without keeping them."""
    if not needs_ids:
        return gathered(service.convert_events(session, read_event, convert_columns=read_columns))
    return gathered(
        service.convert_events(
            session, lambda event: read_event(with_id(event)), convert_columns=lambda row: read_columns(_with_id(row))
        )
    )


def with_id(event: Event) -> Event:
    """Returns the event with an id for its message: its own id, if the message came without one.

    In an agent's state every message needs an id, and the same one at each run.
    """
    if event.message is None or event.message_id is not None or event.unreadable:
        return event
    return replace(event, message_id=event.id)


def _with_id(row: Sequence[Any]) -> Sequence[Any]:
    """Returns the row of an event as `with_id` returns the event."""
    if row[_MESSAGE_ID] is not None or row[_MESSAGE] is None:
        return row
    return (*row[:_MESSAGE_ID], row[_ID], *row[_MESSAGE_ID + 1 :])


# Places of columns in `queries.EVENTS_FOR_MESSAGES`.
_ID: Final = 0
_MESSAGE_ID: Final = 9
_MESSAGE: Final = 10


def _keep(sessions: _Sessions, key: _Key, kept: _Kept | None) -> None:
    """Keeps a session as the one that was read last, and forgets others, or itself if it is too long."""
    sessions.pop(key, None)
    if kept is not None and kept.size > MOST_BYTES:
        return
    sessions[key] = kept
    size = sum(one.size for one in list(sessions.values()) if one is not None)
    for oldest in list(sessions):
        if len(sessions) <= MOST_SESSIONS and size <= MOST_BYTES:
            return
        one = sessions.pop(oldest, None)
        size -= 0 if one is None else one.size
