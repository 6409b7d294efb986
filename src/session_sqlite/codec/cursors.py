"""Cursors: where a page of a list ended, as opaque text."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from typing import Any

from session_sqlite.codec.json import plain_json
from session_sqlite.errors import InvalidInputError


def encode_place(place: int | float | str) -> int | str:
    """Returns a place as a cursor holds it: SQLite may have stored a float or a text in a damaged ``seq``."""
    if isinstance(place, float):
        return f"float {place.hex()}"
    return f"text {place}" if isinstance(place, str) else place


def decode_place(place: object) -> int | float | str:
    """Returns the place that `encode_place` was given. Raises `ValueError` for anything else."""
    if type(place) is int and -(2**63) <= place < 2**63:
        return place
    kind, _, value = place.partition(" ") if isinstance(place, str) else ("", "", "")
    if kind == "float":
        return float.fromhex(value)
    if kind != "text":
        raise ValueError("not a place")
    return value


def encode_cursor(scope: Iterable[str], position: Sequence[Any]) -> str:
    """Returns an opaque text that stands for a position in one list."""
    return base64.urlsafe_b64encode(plain_json([*scope, *position]).encode()).decode().rstrip("=")


def decode_cursor(cursor: object, scope: Sequence[str], kinds: Sequence[type | tuple[type, ...]]) -> list[Any]:
    """Returns the position in a cursor. Raises `InvalidInputError` if it is not one of this very list."""
    fault = InvalidInputError("the cursor is not one that this list returned")
    if not isinstance(cursor, str):
        raise InvalidInputError(f"a cursor must be text, not {type(cursor).__name__}")
    try:
        decoded = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise fault from None
    if not isinstance(decoded, list) or decoded[: len(scope)] != list(scope):
        raise fault
    position = decoded[len(scope) :]
    allowed = [kind if isinstance(kind, tuple) else (kind,) for kind in kinds]
    if len(position) != len(allowed) or any(
        type(part) not in kind for part, kind in zip(position, allowed, strict=True)
    ):
        raise fault
    return position
