"""What an argument may be: each function returns its argument in one exact form, or raises `InvalidInputError`."""

from __future__ import annotations

import functools
import os
import re
import time
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeGuard

from session_sqlite.errors import InvalidInputError, NotSerializableError

MAX_IDENTIFIER: Final = 128


class SessionKey(NamedTuple):
    """The key of one session: the session id is unique for its app and user."""

    app_name: str
    user_id: str
    session_id: str

    def params(self) -> dict[str, Any]:
        """Returns the named parameters that every statement about one session binds."""
        return {"app_name": self.app_name, "user_id": self.user_id, "session_id": self.session_id}

    def __str__(self) -> str:
        return f"session {self.session_id!r} of app {self.app_name!r} and user {self.user_id!r}"


_NOT_IN_IDENTIFIERS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@functools.lru_cache(maxsize=4096)
def _identifier_fault(text: str) -> str:
    if not text:
        return "it is empty"
    if len(text) > MAX_IDENTIFIER:
        return f"it has {len(text)} characters, at most {MAX_IDENTIFIER} are allowed"
    if text != text.strip():
        return "it begins or ends with white space"
    if _NOT_IN_IDENTIFIERS.search(text):
        return "it contains a control character or half a surrogate pair"
    return ""


def identifier(value: object, name: str, *, optional: bool = False) -> str:
    """Returns the identifier as exact text; ``optional`` allows the empty one. Raises `InvalidInputError`."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} must be text, not {type(value).__name__}")
    if optional and not value:
        return ""
    if fault := _identifier_fault(value):
        raise InvalidInputError(f"{name} is not a valid identifier: {fault}")
    return str.__str__(value)


def is_identifier(value: object) -> bool:
    """Returns True for what `identifier` would accept."""
    return isinstance(value, str) and not _identifier_fault(value)


def new_id() -> str:
    """Returns a new UUIDv7 (RFC 9562), which sorts by time, to a quarter of a microsecond."""
    now = time.time_ns()
    millis, rest = divmod(now, 1_000_000)
    number = (millis << 80) | (0x7 << 76) | ((rest * 4096 // 1_000_000) << 64)
    number |= (0b10 << 62) | (int.from_bytes(os.urandom(8), "big") >> 2)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def whole_number(value: object, name: str) -> int:
    """Returns a number ≥ 0 that a column can hold. Raises `InvalidInputError`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidInputError(f"{name} must be a whole number of 0 or more")
    # A page asks for one more than its limit, and positions are added: the results have to fit a column as well.
    return min(value, 2**62)


def flag(value: object, name: str) -> bool:
    """Returns True or False. Raises `InvalidInputError` for anything else, which is likely to be a mistake."""
    if not isinstance(value, bool):
        raise InvalidInputError(f"{name} must be True or False, not {type(value).__name__}")
    return value


def optional_number(value: object, name: str) -> int | None:
    """Returns a number ≥ 0, or None. Raises `InvalidInputError`."""
    return None if value is None else whole_number(value, name)


def text(value: object, name: str) -> str:
    """Returns exact text that can be stored. Raises `InvalidInputError`, or `NotSerializableError` for surrogates."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} must be text, not {type(value).__name__}")
    exact = str.__str__(value)
    utf8_size(exact, name)
    return exact


def is_plain_text(value: object) -> TypeGuard[str]:
    """Returns True for exact text that a text column holds verbatim: a plain `str` without lone surrogates."""
    if type(value) is not str:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def utf8_size(value: str, path: str) -> int:
    """Returns how many bytes of UTF-8 the text takes. Raises `NotSerializableError` for lone surrogates."""
    if value.isascii():
        return len(value)
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:
        raise NotSerializableError(
            f"{path} has half of a surrogate pair at character {error.start}: it is not valid Unicode text"
        ) from None  # the original error carries the text itself, which must not appear in logs


def utc(value: object, name: str) -> datetime:
    """Returns the time in UTC. Raises `InvalidInputError` for anything but an aware datetime."""
    if not isinstance(value, datetime):
        raise InvalidInputError(f"{name} must be a datetime, not {type(value).__name__}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidInputError(f"{name} has no time zone: give an aware datetime, for example datetime.now(UTC)")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInputError(f"{name} is out of the range of dates") from error
