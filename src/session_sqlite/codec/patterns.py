"""LIKE patterns over JSON columns: SQL narrows the rows with them, and Python compares the values."""

from typing import Final

from session_sqlite.codec.json import plain_json

MAX_PATTERN: Final = 1000  # SQLite refuses LIKE patterns of more than 50,000 bytes


def like_pattern(fragment: str) -> str:
    """Returns a LIKE pattern (escape character ``!``) for text with a fragment, or with the beginning of a long one."""
    escaped = fragment[:MAX_PATTERN].replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"


def metadata_pattern(name: str, value: object) -> str:
    """Returns a LIKE pattern that every metadata column with this key and value matches (others may match too)."""
    fragment = f"{plain_json(name)}:"
    if value is None or isinstance(value, (str, bool)):
        fragment += plain_json(value)
    return like_pattern(fragment)


def tool_pattern(name: str) -> str:
    """Returns a LIKE pattern that every actions column with a call of this tool matches (others may match too)."""
    return like_pattern(f'"name":{plain_json(name)}')
