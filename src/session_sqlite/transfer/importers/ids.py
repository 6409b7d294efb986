"""Ids that a source has, or that are derived from what it says, so that a second import finds them again."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from session_sqlite import codec

_NAMESPACE: Final = uuid.UUID("6f1d3c9a-5b0e-5c7e-9a43-0f5d4b7f2c11").bytes
MALFORMED: Final = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)
"""What a reader of a record raises that has another form than it expects."""
MILLISECONDS_FROM: Final = 1e11  # as seconds that is the year 5138
MOST_NANOSECONDS: Final = 1e20
_NUMBER: Final = re.compile(r"\d{9,20}(?:\.\d+)?")
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_DECODER: Final = json.JSONDecoder(parse_constant=str)  # Python writes NaN, which JSON cannot hold
_HALF: Final = re.compile("[\ud800-\udfff]")


def derived_id(*parts: object) -> str:
    """A UUID that stands for the parts: the same parts give the same id."""
    text = json.dumps(parts, ensure_ascii=True, sort_keys=True, default=str)
    return str(uuid.UUID(bytes=hashlib.sha256(_NAMESPACE + text.encode()).digest()[:16], version=5))


def kept_id(value: object, *else_from: object) -> str:
    """The source's own id where it can be one here; otherwise one derived from it."""
    if isinstance(value, bytes):  # a blob in a database
        shown = value.decode("utf-8", "replace")
        value = shown if shown.isprintable() and "\ufffd" not in shown else value.hex()
    text = str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
    return text if codec.is_identifier(text) else derived_id(text, *else_from)


def name_or_empty(value: object) -> str:
    """A name where it can be an identifier here, otherwise nothing."""
    return value if codec.is_identifier(value) else ""  # type: ignore[return-value]  # an identifier is a str


def time_of(value: object) -> datetime | None:
    """A time as other programs write it: since 1970, in seconds or less, or ISO text; without a zone UTC."""
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            seconds = float(value)
            while MILLISECONDS_FROM <= abs(seconds) < MOST_NANOSECONDS:  # milliseconds, microseconds, nanoseconds
                seconds /= 1000
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return time_of(float(value))
        if isinstance(value, str):
            when = datetime.fromisoformat(value.strip().split(" m=")[0])
            return (when.replace(tzinfo=UTC) if when.tzinfo is None else when).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    return None


def json_or_none(text: object) -> Any:
    """The JSON value in a text; None if it is none. Half surrogate pairs become U+FFFD."""
    if not isinstance(text, (str, bytes)):
        return None
    try:
        value = _DECODER.decode(text if isinstance(text, str) else text.decode())
        return whole_characters(value) if _SURROGATE.search(str(text)) else value
    except (ValueError, RecursionError):
        return None


def json_or_text(text: object) -> Any:
    """The JSON value in a text; a text that is none stays as it is, so that nothing of a damaged column is lost.

    Example:
        >>> json_or_text('{"a": 1}'), json_or_text('{"a": '), json_or_text(None)
        ({'a': 1}, '{"a": ', None)
    """
    value = json_or_none(text)
    return text if value is None and text not in ("null", b"null") else value


def whole_characters(value: Any) -> Any:
    """A JSON value in which half a surrogate pair, which no store can hold, is the replacement character."""
    if isinstance(value, str):
        paired = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), value)
        return _HALF.sub("\ufffd", paired)
    if isinstance(value, list):
        return [whole_characters(one) for one in value]
    if isinstance(value, dict):
        return {whole_characters(name): whole_characters(one) for name, one in value.items()}
    return value
