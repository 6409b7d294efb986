"""What one transaction of an import or a copy writes: other writers wait while it does, so it is bounded."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from session_sqlite.operations.whole_sessions import Piece, SharedState

BATCH_EVENTS: Final = 500
BATCH_PIECES: Final = 200
BATCH_CHARACTERS: Final = 4_000_000

P = TypeVar("P", bound=Piece | SharedState)


class Batch(Generic[P]):
    """Pieces that are collected until there are enough for a transaction.

    Attributes:
        pieces: The pieces.
        events: How many events they have.
    """

    def __init__(self) -> None:
        self.pieces: list[P] = []
        self.events = 0
        self._characters = 0

    def add(self, piece: P) -> None:
        """Adds a piece."""
        self.pieces.append(piece)
        if isinstance(piece, Piece):
            self.events += len(piece.rows)
            self._characters += piece.size()

    @property
    def is_full(self) -> bool:
        """True if the pieces are enough for a transaction."""
        return (
            self.events >= BATCH_EVENTS
            or self._characters >= BATCH_CHARACTERS
            or len(self.pieces) >= BATCH_PIECES
        )  # fmt: skip
