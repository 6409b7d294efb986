"""The messages of runs as they were last stored, so that not every step compares an agent's state with its session.

A state hands on the same objects from step to step; what a person edits, or a checkpointer reads, are other objects.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Iterable
from typing import Any

from langchain_core.messages import BaseMessage

from session_sqlite.session import Session

_Key = tuple[Session, str]


class _Note(weakref.ref[BaseMessage]):
    """A reference to a message that does not keep it, with the values of its fields."""

    __slots__ = ("fields", "key")

    key: _Key
    fields: dict[str, Any]


class SeenMessages:
    """Messages that were stored or read, each for as long as somebody else has it."""

    def __init__(self) -> None:
        self._notes: dict[_Key, _Note] = {}

    def note(self, session: Session, messages: Iterable[BaseMessage]) -> None:
        """Notes that a session has these messages as they are."""
        notes = self._notes

        def forget(note: _Note) -> None:
            if notes.get(note.key) is note:
                notes.pop(note.key, None)

        for message in messages:
            note = _Note(message, forget)
            note.key = (session, message.id or "")
            note.fields = message.__dict__.copy()
            notes[note.key] = note

    def has(self, session: Session, message: BaseMessage) -> bool:
        """Returns whether this very message was noted, and no field of it has another value since.

        A list or a dict in which something was changed is the same value.
        """
        note = self._notes.get((session, message.id or ""))
        if note is None or note() is not message:
            return False
        now = message.__dict__
        return len(now) == len(note.fields) and all(map(operator.is_, now.values(), note.fields.values()))
