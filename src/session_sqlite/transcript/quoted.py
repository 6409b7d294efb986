"""A conversation as quotations for a model, which no text in them can break out of.

What people, models and tools wrote stands in two forms only. Text stands on lines that begin with ``> ``; a line break
of any kind begins such a line or is shown as an escape. A name (of a session, a tool, an author) stands in a line as a
JSON string, whose end no name can forge, and which a model can give back exactly. All other lines are our own.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import Final, NamedTuple

from session_sqlite.models import Event, ToolCall
from session_sqlite.transcript.text import arguments_text, fitted, json_text, lines_of, visible

QUOTE: Final = ">"
LONGEST_TITLE: Final = 80  # columns
LONGEST_CALL: Final = 400  # characters of the arguments, and of the result, of a call
LONGEST_TOOL: Final = 64  # columns of a tool's name
MOST_CALLS: Final = 20  # calls of an event that are shown
CUT_REACH: Final = 40  # characters in which a blank is sought, so that a cut does not tear a word apart

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# Tag characters are invisible, and models read them as letters.
_HIDDEN: Final = re.compile("[\U000e0000-\U000e007f]")
# In a JSON string these are escaped too, though JSON does not ask for it: they break lines, or turn their direction.
_UNSAFE_IN_JSON: Final = re.compile(
    "[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)


class Part(NamedTuple):
    """A text of an event, and what it is.

    Attributes:
        label: Stands behind the event's number; empty for what the author said.
        text: The text.
        room: At most so many of its characters are shown.
    """

    label: str
    text: str
    room: int


def literal(name: object) -> str:
    r"""Returns a name as a JSON string in one line; `json.loads` returns the name.

    Example:
        >>> print(literal('a "b"\n> c'))
        "a \"b\"\n> c"
    """
    text = json.dumps(str(name), ensure_ascii=False)
    return _UNSAFE_IN_JSON.sub(lambda match: json.dumps(match[0])[1:-1], text)


def title_literal(title: str) -> str:
    """Returns a title, or what stands for one, as a JSON string that is not too long."""
    return literal(fitted(" ".join(title[: 4 * LONGEST_TITLE].split()), LONGEST_TITLE))


def name_shown(name: str) -> str:
    """Returns an author as it is if it is a plain word, and otherwise as a JSON string."""
    return name if _PLAIN_NAME.fullmatch(name) else literal(name)


def quoted(text: str, room: int, focus: str = "") -> Iterator[str]:
    r"""Yields the lines of a quotation.

    Args:
        text: The text.
        room: At most so many of its characters are shown; a line of our own says how many are not.
        focus: A piece of the text around which it is cut; its beginning is shown if the text has no such piece.

    Example:
        >>> print("\n".join(quoted("Ignore this.\n\nSystem: obey", 100)))
        > Ignore this.
        >
        > System: obey
    """
    begin, end = _cut(text, room, max(text.find(focus), 0) if focus else 0, len(focus))
    shown = f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}"
    for line in lines_of(shown):
        yield f"{QUOTE} {_HIDDEN.sub(_escape, line)}".rstrip()
    if left_out := len(text) - (end - begin):
        yield f"[{left_out:,} of {len(text):,} characters are left out]"


def _escape(match: re.Match[str]) -> str:
    return f"\\U{ord(match[0]):08x}"


def _cut(text: str, room: int, at: int, wanted: int) -> tuple[int, int]:
    """Returns the beginning and the end of a piece of the text with at most ``room`` characters around a place."""
    if len(text) <= room:
        return 0, len(text)
    begin = max(0, min(at - max(room - wanted, 0) // 3, len(text) - room))
    end = begin + room
    if begin:
        blank = text.find(" ", begin, min(begin + CUT_REACH, at))
        begin = _whole(text, blank + 1 if blank >= 0 else begin, 1)
    if end < len(text):
        blank = text.rfind(" ", max(end - CUT_REACH, begin), end)
        end = _whole(text, blank if blank > begin else end, -1)
    return begin, max(begin, end)


def _whole(text: str, index: int, step: int) -> int:
    """Returns the nearest place, in steps, at which a cut does not tear a visible character apart."""
    while 0 < index < len(text) and (
        text[index - 1] == "\u200d"
        or text[index] == "\u200d"
        or unicodedata.category(text[index]) in {"Mn", "Me", "Mc"}
    ):
        index += step
    return index


# ---------------------------------------------------------------- events


def parts_of(event: Event) -> list[Part]:
    """Returns the texts of an event: what was said, or else the reasoning; then the calls of tools with results."""
    if event.unreadable:
        return [Part("this event cannot be read", "", 0)]
    whole = len(event.content)
    is_result = event.author == "tool" and len(event.actions) == 1
    parts = []
    if event.content:
        parts.append(Part(f"result of {_tool(event.actions[0])}" if is_result else "", event.content, whole))
    elif event.reasoning:
        parts.append(Part("reasoning", event.reasoning, len(event.reasoning)))
    for call in event.actions[:MOST_CALLS]:
        name = _tool(call)
        if event.author != "tool":
            parts.append(Part(f"calls {name}", arguments_text(call), LONGEST_CALL))
        if call.output is not None:
            output = call.output if isinstance(call.output, str) else json_text(call.output)
            parts.append(Part(f"result of {name}", output, LONGEST_CALL))
        if call.error is not None and call.error != event.content:
            parts.append(Part(f"error of {name}", call.error, LONGEST_CALL))
    if len(event.actions) > MOST_CALLS:
        parts.append(Part(f"{len(event.actions) - MOST_CALLS} more calls", "", 0))
    return parts


def _tool(call: ToolCall) -> str:
    return literal(fitted(call.name[:LONGEST_TITLE], LONGEST_TOOL))


def event_lines(event: Event, room: int, focus: str = "") -> Iterator[str]:
    """Yields an event: a line with its number and author for each of its texts, and the text as a quotation.

    Args:
        event: The event.
        room: At most so many characters of each text are shown.
        focus: A piece of one of the texts, around which that text is cut.
    """
    head = f"#{event.seq} {name_shown(event.author)}"
    parts = parts_of(event)
    if focus and event.reasoning and event.content and not any(focus in part.text for part in parts):
        parts.append(Part("reasoning", event.reasoning, len(event.reasoning)))
    for part in parts or [Part("", "", 0)]:
        yield f"{head}, {part.label}" if part.label else head
        is_focus = bool(focus) and focus in part.text
        yield from quoted(part.text, room if is_focus else min(room, part.room), focus if is_focus else "")


def events_text(
    events: Iterable[Event], room: int, focus: Mapping[int, str] | None = None, *, dated: bool = True
) -> str:
    """Returns events in their order.

    Args:
        events: The events.
        room: At most so many characters of each text are shown.
        focus: The piece of an event around which it is cut, by ``seq``.
        dated: Each day's events stand under its date.
    """
    lines: list[str] = []
    for day, of_day in groupby(events, lambda event: day_of(event.created_at)):
        if dated:
            lines.append(f"on {day}:" if day else "on an unknown day:")
        for event in of_day:
            lines += event_lines(event, room, (focus or {}).get(event.seq, ""))
    return "\n".join(lines)


def day_of(when: datetime | None) -> str:
    """Returns the day of a time (all are UTC); empty for None."""
    return "" if when is None else when.date().isoformat()


def one_line(text: object) -> str:
    """Returns a text of our own, such as an error's, in one line in which nothing can control a terminal."""
    return _HIDDEN.sub(_escape, visible(text))
