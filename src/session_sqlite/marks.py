"""Two marks that stand where a value could: `ANY`, every app or user, and `REMOVE`, no value any more."""

from __future__ import annotations

from typing import Final, final


@final
class AnyOf:
    """The type of `ANY`."""

    def __repr__(self) -> str:
        return "ANY"

    def __reduce__(self) -> str:
        return "ANY"


@final
class Removal:
    """The type of `REMOVE`."""

    def __repr__(self) -> str:
        return "REMOVE"

    def __reduce__(self) -> str:
        return "REMOVE"


ANY: Final = AnyOf()
"""As ``app_name`` or ``user_id`` of a call that reads: every app, every user."""

REMOVE: Final = Removal()
"""As a value in a state delta or in the metadata of an update: delete the key."""
