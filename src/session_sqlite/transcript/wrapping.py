"""Lines that are broken where a reader would break them: between words, and between Chinese characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from session_sqlite.transcript.text import TAB_COLUMNS, display_width

LEAST_WIDTH: Final = 8  # columns of text beside the indentation, however narrow the terminal is

_INDENT = re.compile(r"[ \t\u3000]*(?:(?:[-*+•]|\d{1,4}[.)])[ \t]+|(?:>[ \t]?)+)?")
# Punctuation does not begin a line, and brackets do not end one (W3C, Requirements for Chinese Text Layout).
_NOT_FIRST: Final = frozenset({"Pe", "Pf", "Po", "Pd", "Lm"})  # categories; Lm has the long vowel mark and 々
_NOT_LAST: Final = frozenset({"Ps", "Pi"})
_JOINER: Final = "\u200d"


def wrapped(line: str, width: int, *, words: bool = True) -> list[str]:
    """Returns the lines that a line takes in so many columns, those after the first indented like it.

    Args:
        line: A line without newlines and control characters.
        width: The columns. A word that is wider than that is broken.
        words: Break between words; otherwise at any character, as in code.

    Example:
        >>> wrapped("- Which tea is it?", 13)
        ['- Which tea', '  is it?']
        >>> wrapped("请帮我分析（代码）。", 12)
        ['请帮我分析', '（代码）。']
    """
    line = line.expandtabs(TAB_COLUMNS)
    if display_width(line) <= width:
        return [line]
    indent = _INDENT.match(line)[0] if words else ""  # type: ignore[index]  # it matches the empty text, too
    if display_width(indent) > width - LEAST_WIDTH:
        indent = ""
    hanging = " " * display_width(indent)
    lines, current, is_empty = [], indent, True
    for piece in _pieces(line[len(indent) :]) if words else [line]:
        text = piece.rstrip(" ")  # the blanks at the end of a line take no room
        room = width - display_width(current)
        if not is_empty and display_width(text) > room:
            lines.append(current.rstrip())
            current, room = hanging, width - len(hanging)
        while display_width(text) > room:
            start = _start(text, room)
            lines.append(current + start)
            text, piece = text[len(start) :], piece[len(start) :]
            current, room = hanging, width - len(hanging)
        current, is_empty = current + piece, False
    return [*lines, current.rstrip()] if current.strip() else lines


def _pieces(text: str) -> Iterator[str]:
    """Yields the parts of a text between which a line can be broken; blanks stand at the end of a part."""
    start = 0
    for index in range(1, len(text)):
        if _can_break(text[index - 1], text[index]):
            yield text[start:index]
            start = index
    yield text[start:]


def _start(text: str, room: int) -> str:
    """Returns the longest beginning that fits, at least a character, with all marks that belong to its last one."""
    used = 0
    for index, character in enumerate(text):
        columns = display_width(character)
        if columns and index and text[index - 1] != _JOINER and used + columns > room:
            return text[:index]
        used += columns
    return text


def _can_break(before: str, after: str) -> bool:
    """Returns True if a line can end between two characters."""
    if after == " " or before == " ":
        return after != " "
    if not (_is_wide(before) or _is_wide(after)) or not display_width(after) or before == _JOINER:
        return False
    return unicodedata.category(after) not in _NOT_FIRST and unicodedata.category(before) not in _NOT_LAST


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
