"""State: which keys are stored, who owns the row of a key, and the JSON of the changes that an event made."""

from __future__ import annotations

import enum
import logging
import re
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from session_sqlite.codec.arguments import SessionKey, text
from session_sqlite.codec.json import MAX_DEPTH, check_json, decode_json, decode_object, encode_json
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import REMOVE

logger = logging.getLogger("session_sqlite")


MAX_STATE_KEY: Final = 256
# In an event's stored state a removed key has the value {"$remove": true}; a value that looks like that gets
# another "$", so that it is not taken for a removal; reading takes it off again.
_REMOVED: Final = {"$remove": True}
_LIKE_REMOVED = re.compile(r"\$+remove")


def split_state(delta: object, path: str = "state") -> dict[str, Any]:
    """Returns the keys to store with their values: without ``temp:`` keys and the ``session:`` prefix.

    Raises `InvalidInputError` for anything but a mapping of text keys to JSON values or `REMOVE`.
    """
    if not isinstance(delta, Mapping):
        raise InvalidInputError(f"{path} must be a mapping, not {type(delta).__name__}")
    stored: dict[str, Any] = {}
    for key, value in delta.items():
        name = state_key(key)
        if name is not None:
            stored[name] = value
        if value is not REMOVE:
            check_json(value, place := f"{path}[{key!r}]", 1, MAX_DEPTH)
            if name is not None:
                encode_json(value, place)
    return stored


def state_key(key: object) -> str | None:
    """Returns the stored spelling of a key; None for a ``temp:`` key, which is never stored."""
    if not isinstance(key, str) or isinstance(key, enum.Enum):
        raise InvalidInputError(f"a state key must be text, not {type(key).__name__}")
    name = text(key, "a state key")
    if len(name) > MAX_STATE_KEY:
        raise InvalidInputError(f"a state key has {len(name)} characters, at most {MAX_STATE_KEY} are allowed")
    if name.startswith("temp:"):
        return None
    own = name.removeprefix("session:")
    if own is not name and own.startswith(("app:", "user:", "temp:", "session:")):
        raise InvalidInputError(f"the state key {name!r} names two scopes")
    return own


def state_owner(key: SessionKey, name: str) -> dict[str, str]:
    """Returns the key of a state row: shared keys belong to no session (and ``app:`` keys to no user)."""
    shared = name.startswith(("app:", "user:"))
    return {
        "app_name": key.app_name,
        "user_id": "" if name.startswith("app:") else key.user_id,
        "session_id": "" if shared else key.session_id,
        "key": name,
    }


def encode_state(delta: Mapping[str, Any]) -> str:
    """Returns the state column of an event, or a session's state at creation: JSON in which removals are marked."""
    if not delta:
        return "{}"
    marked = {}
    for key, value in delta.items():
        if value is REMOVE:
            value = _REMOVED
        elif isinstance(value, dict) and len(value) == 1 and _LIKE_REMOVED.fullmatch(next(iter(value))):
            value = {f"${next(iter(value))}": next(iter(value.values()))}
        marked[key] = value
    return encode_json(marked, "state", max_depth=MAX_DEPTH + 1)


def decode_state(column: object) -> dict[str, Any]:
    """Returns the state in a column that `encode_state` made. Raises `ValueError` for anything else."""
    decoded = decode_object(column, MAX_DEPTH + 1)
    for key, value in decoded.items():
        if type(value) is dict and len(value) == 1 and _LIKE_REMOVED.fullmatch(name := next(iter(value))):
            decoded[key] = REMOVE if name == "$remove" else {name[1:]: value[name]}
    return decoded


def decode_state_or_empty(column: object) -> dict[str, Any]:
    """Like `decode_state`, but reads a damaged column as empty, so that it cannot block a fork or a rewind."""
    try:
        return decode_state(column)
    except (ValueError, TypeError, RecursionError):
        return {}


def is_state_key(name: object) -> TypeGuard[str]:
    """Returns True for a state key in the spelling in which it is stored."""
    try:
        return state_key(name) == name
    except InvalidInputError:
        return False


def is_state(column: object) -> bool:
    """Returns True for a column that `decode_state` can read."""
    try:
        decode_state(column)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def is_state_row(name: object, column: object) -> bool:
    """Returns True for a row of the state table that `decode_state_value` can read."""
    try:
        decode_json(column)  # type: ignore[arg-type]  # what is no text raises TypeError
    except (ValueError, TypeError, RecursionError):
        return False
    return is_state_key(name)


def decode_state_value(name: object, column: object) -> Any:
    """Returns the value in a row of the state table; for a damaged row `REMOVE`, with a warning in the log."""
    try:
        if not is_state_key(name):
            raise ValueError("not a key")
        return decode_json(column)  # type: ignore[arg-type]  # what is no text raises TypeError
    except (ValueError, TypeError, RecursionError):
        logger.warning("the state value %r cannot be read: it is left out", name)
        return REMOVE
