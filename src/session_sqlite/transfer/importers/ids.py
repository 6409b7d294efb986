"""Ids that a source has, or that are derived from what it says, so that a second import finds them again."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from session_sqlite import codec

_NAMESPACE: Final = uuid.UUID("6f1d3c9a-5b0e-5c7e-9a43-0f5d4b7f2c11").bytes
MILLISECONDS_FROM: Final = 1e11  # as seconds that is the year 5138


def derived_id(*parts: object) -> str:
    """A UUID that stands for the parts: the same parts give the same id."""
    text = json.dumps(parts, ensure_ascii=True, sort_keys=True, default=str)
    return str(uuid.UUID(bytes=hashlib.sha256(_NAMESPACE + text.encode()).digest()[:16], version=5))


def kept_id(value: object, *else_from: object) -> str:
    """The source's own id where it can be one here; otherwise one derived from it."""
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return text if codec.is_identifier(text) else derived_id(text, *else_from)


def name_or_empty(value: object) -> str:
    """A name where it can be an identifier here, otherwise nothing."""
    return value if codec.is_identifier(value) else ""  # type: ignore[return-value]  # an identifier is a str


def time_of(value: object) -> datetime | None:
    """A time as other programs write it: seconds or milliseconds since 1970, or ISO text; without a zone it is UTC."""
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            seconds = value / 1000 if abs(value) >= MILLISECONDS_FROM else value
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        if isinstance(value, str):
            when = datetime.fromisoformat(value.strip().split(" m=")[0])
            return (when.replace(tzinfo=UTC) if when.tzinfo is None else when).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    return None


def json_or_none(text: object) -> Any:
    """The JSON value in a text; None if it is none."""
    if not isinstance(text, (str, bytes)):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
