"""SQL functions for values that may be long, in place of SQLite's own: none of them takes long in one step.

SQLite looks at the clock between the steps of a statement. One call of `instr`, `replace`, `trim`, `LIKE` or `GLOB`
is one step, and takes the product of two lengths; `printf` writes as many characters as a width asks for. These
take a time in proportion to the text, look at the clock meanwhile, or refuse. Short values go to SQLite's own
functions, on a connection of their own, so that the answers are the same.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from session_sqlite.sqlite.driver import Connection

T = TypeVar("T")

SHORT: Final = 4096  # bytes, or characters
MOST_CHARACTERS_TO_TRIM: Final = 100
WIDEST: Final = 1000  # characters: a width or a precision of `printf`
LONGEST_FORMAT: Final = 10_000  # characters
WINDOW: Final = 20_000  # characters that are searched between two looks at the clock
_FORMAT: Final = re.compile(r"%[-+ #0!,]*(\*|\d+)?(?:\.(\*|\d+))?(?:ll|l)?(.)", re.DOTALL)


class TooLong(OverflowError):  # noqa: N818  # sqlite3 turns an OverflowError into SQLITE_TOOBIG
    """A value is longer than SQLite may make it."""


class LongValues:
    """The functions of one connection.

    Args:
        limit: The most bytes that a value may have.
        check: Raises if the time is over.
    """

    def __init__(self, limit: int, check: Callable[[], None]) -> None:
        self._limit = limit
        self._check = check
        self._own = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=Connection)
        self._own.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limit)

    def close(self) -> None:
        """Closes the connection on which SQLite's own functions run."""
        self._own.close()

    def always(self) -> Iterator[tuple[str, int, Callable[..., Any]]]:
        """Yields the functions that are dangerous with short values too."""
        yield from (("printf", -1, self._printf), ("format", -1, self._printf))
        for name in ("trim", "ltrim", "rtrim"):
            yield name, 2, self._trim(name)

    def for_long_values(self) -> Iterator[tuple[str, int, Callable[..., Any]]]:
        """Yields the functions that are dangerous with long values only."""
        yield "instr", 2, self._instr
        yield "replace", 3, self._replace
        yield "like", 2, self._like
        yield "like", 3, self._like
        yield "glob", 2, self._glob
        yield "zeroblob", 1, self._zeroblob
        yield "randomblob", 1, self._randomblob
        for name in ("strftime", "date", "time", "datetime", "julianday", "unixepoch"):
            yield name, -1, self._time(name)

    def _sqlites(self, sql: str, *args: Any) -> Any:
        try:
            return self._own.execute(sql, args).fetchone()[0]
        except sqlite3.DataError as error:
            raise TooLong from error

    def _printf(self, *args: Any) -> Any:
        if args and isinstance(args[0], str):
            if len(args[0]) > LONGEST_FORMAT:
                raise TooLong
            widths = [part for match in _FORMAT.finditer(args[0]) for part in match.groups()[:2] if part]
            numbers = [int(width[:9]) for width in widths if width != "*"]
            if "*" in widths:  # any argument may be a width
                numbers += [abs(arg) for arg in args[1:] if isinstance(arg, int)]
                numbers += [WIDEST + 1 for arg in args[1:] if isinstance(arg, (str, bytes, float)) and _is_wide(arg)]
            if any(number > WIDEST for number in numbers):
                raise TooLong
        return self._sqlites(f"SELECT printf({','.join('?' * len(args))})", *args)

    def _trim(self, name: str) -> Callable[[Any, Any], Any]:
        def trim(text: Any, characters: Any) -> Any:
            if isinstance(characters, (str, bytes)) and len(characters) > MOST_CHARACTERS_TO_TRIM:
                raise TooLong
            return self._sqlites(f"SELECT {name}(?, ?)", text, characters)

        return trim

    def _time(self, name: str) -> Callable[..., Any]:
        def time(*args: Any) -> Any:
            if any(isinstance(arg, (str, bytes)) and len(arg) > SHORT for arg in args):
                raise TooLong
            return self._sqlites(f"SELECT {name}({','.join('?' * len(args))})", *args)

        return time

    def _zeroblob(self, size: Any) -> Any:
        if isinstance(size, int) and size > self._limit:
            raise TooLong
        return bytes(size) if isinstance(size, int) and size > 0 else self._sqlites("SELECT zeroblob(?)", size)

    def _randomblob(self, size: Any) -> Any:
        if isinstance(size, int) and size > self._limit:
            raise TooLong
        return self._sqlites("SELECT randomblob(?)", size)

    def _instr(self, text: Any, part: Any) -> Any:
        if text is None or part is None:
            return None
        if _are_short(text, part):
            return self._sqlites("SELECT instr(?, ?)", text, part)
        if isinstance(text, bytes) and isinstance(part, bytes):
            return text.find(part) + 1
        return _text(text).find(_text(part)) + 1

    def _replace(self, text: Any, old: Any, new: Any) -> Any:
        if text is None or old is None or new is None:
            return None
        if _are_short(text, old, new):
            return self._sqlites("SELECT replace(?, ?, ?)", text, old, new)
        text, old, new = _text(text), _text(old), _text(new)
        if old == "":
            return text
        if len(text) + text.count(old) * (len(new) - len(old)) > self._limit:
            raise TooLong
        return text.replace(old, new)

    def _like(self, pattern: Any, text: Any, escape: Any = None) -> Any:
        if pattern is None or text is None:
            return None
        if _are_short(pattern, text) or (escape is not None and len(_text(escape)) != 1):
            if escape is None:
                return self._sqlites("SELECT ? LIKE ?", text, pattern)
            return self._sqlites("SELECT ? LIKE ? ESCAPE ?", text, pattern, escape)
        pieces = _like_pieces(_ascii_lower(_pattern(pattern)), None if escape is None else _ascii_lower(_text(escape)))
        return self._fits(pieces, _ascii_lower(_text(text)))

    def _glob(self, pattern: Any, text: Any) -> Any:
        if pattern is None or text is None:
            return None
        if _are_short(pattern, text):
            return self._sqlites("SELECT ? GLOB ?", text, pattern)
        return self._fits(_glob_pieces(_pattern(pattern)), _text(text))

    def _fits(self, pieces: list[list[str]], text: str) -> bool:
        """Returns True if the pieces of a pattern stand in a text in order, the first and the last at its ends."""
        text = text.partition("\0")[0]  # SQLite ends a text there too
        first, last = pieces[0], pieces[-1]
        if len(pieces) == 1:
            return len(text) == len(first) and _compiled(first).match(text) is not None
        if len(first) + len(last) > len(text) or not _compiled(first).match(text):
            return False
        begin, end = len(first), len(text) - len(last)
        if not _compiled(last).match(text, end):
            return False
        for piece in pieces[1:-1]:
            found = self._find(piece, text, begin, end)
            if found < 0:
                return False
            begin = found + len(piece)
        return True

    def _find(self, piece: list[str], text: str, begin: int, end: int) -> int:
        if all(len(character) == 1 for character in piece):
            return text.find("".join(piece), begin, end)
        compiled = _compiled(piece)
        while begin + len(piece) <= end:
            self._check()
            found = compiled.search(text, begin, min(end, begin + WINDOW + len(piece)))
            if found:
                return found.start()
            begin += WINDOW
        return -1


def _is_wide(value: str | bytes | float) -> bool:
    """Returns True for a width that is too wide to SQLite, or of which that cannot be told."""
    try:
        return abs(float(value)) > WIDEST
    except ValueError:
        return any(character in "123456789" for character in str(value)[:20])


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _pattern(value: Any) -> str:
    pattern = _text(value).partition("\0")[0]
    if len(pattern.encode("utf-8", "replace")) > WIDEST:
        raise TooLong
    return pattern


def _are_short(*values: Any) -> bool:
    return all(not isinstance(value, (str, bytes)) or len(value) <= SHORT for value in values)


def _ascii_lower(text: str) -> str:
    return text.lower() if text.isascii() else text.encode("utf-8", "replace").lower().decode()


def _compiled(piece: list[str]) -> re.Pattern[str]:
    return re.compile("".join(re.escape(one) if len(one) == 1 else one for one in piece), re.DOTALL)


_ANY: Final = "(?:.)"


def _like_pieces(pattern: str, escape: str | None) -> list[list[str]]:
    """Returns the pieces of a pattern between its `%`, as lists of characters and of expressions for one character."""
    pieces: list[list[str]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            pieces[-1].append(next(characters, "(?!)"))
        elif character == "%":
            pieces.append([])
        else:
            pieces[-1].append(_ANY if character == "_" else character)
    return pieces


def _glob_pieces(pattern: str) -> list[list[str]]:
    pieces: list[list[str]] = [[]]
    place = 0
    while place < len(pattern):
        character = pattern[place]
        place += 1
        if character == "*":
            pieces.append([])
        elif character == "?":
            pieces[-1].append(_ANY)
        elif character == "[":
            none = pattern[place : place + 1] == "^"
            begin = place + none
            close = pattern.find("]", begin + 1)
            if close < 0:
                pieces[-1].append("(?!)")  # a set without an end matches nothing
                break
            pieces[-1].append(_one_of(pattern[begin:close], none=none))
            place = close + 1
        else:
            pieces[-1].append(character)
    return pieces


def _one_of(characters: str, *, none: bool) -> str:
    """Returns an expression for one of some characters; `a-z` is a range."""
    parts = []
    place = 0
    while place < len(characters):
        if characters[place + 1 : place + 2] == "-" and place + 2 < len(characters):
            low, high = characters[place], characters[place + 2]
            if low <= high:
                parts.append(f"{re.escape(low)}-{re.escape(high)}")
            place += 3
        else:
            parts.append(re.escape(characters[place]))
            place += 1
    return f"[{'^' if none else ''}{''.join(parts)}]" if parts else (_ANY if none else "(?!)")
