"""State of other programs' sessions, as far as a session here can have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.errors import InvalidInputError
from session_sqlite.operations.whole_sessions import LeftOut

TEMPORARY: Final = LeftOut("temporary state")  # of the scope `temp:`, which is never stored


def kept_state(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The keys that can be a session's own state, and the names of those that cannot: their values are no JSON."""
    state: dict[str, Any] = {}
    left_out = []
    for name, value in values.items():
        try:
            if ":" in name:
                raise InvalidInputError("a scope of its own")
            codec.encode_state(codec.split_state({name: value}))
        except InvalidInputError:
            left_out.append(name)
        else:
            state[name] = value
    return state, left_out
