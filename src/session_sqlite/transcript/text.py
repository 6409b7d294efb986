"""The parts that all transcripts share: formats of text, times, values and tokens, and entries of events.

Text that users, models and tools wrote is never trusted: a character that could control a terminal or turn the
direction of writing is shown as an escape (`visible`). Widths are in columns of a terminal; a Chinese character takes
two.

An *entry* is an event together with the results of its tool calls, if these are among the ``tool`` events that directly
follow it, and with the further calls of the same turn: of events that say nothing and only call tools.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from session_sqlite.models import Event, SessionRecord, ToolCall, Usage

TAB_COLUMNS: Final = 8
STEPS_TOGETHER: Final = 200  # events that are held and shown as one entry

# Control characters except tab and newline, line separators, marks of the direction of writing, half surrogates.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_LINE = re.compile(rf"[\t\n]|{_UNSAFE.pattern}")
# People use marks of direction in Arabic and Hebrew, and in HTML a mark has no effect outside of its block.
_UNSAFE_IN_BLOCK = re.compile(_UNSAFE.pattern.replace(r"\u061c\u200e\u200f", ""))


def visible(text: object, *, lines: bool = False, block: bool = False) -> str:
    r"""Returns a text with an escape for every character that could control a terminal.

    Args:
        text: The text; any other value is shown as `str` shows it.
        lines: Keep newlines and tabs.
        block: Keep newlines, tabs and marks of direction, for text in a block of HTML.

    Example:
        >>> print(visible("red \x1b[31m"))
        red \x1b[31m
    """
    unsafe = _UNSAFE_IN_BLOCK if block else _UNSAFE if lines else _UNSAFE_IN_LINE
    return unsafe.sub(_escape, str(text))


def display_width(text: str) -> int:
    """Returns the number of columns that a line takes.

    Example:
        >>> display_width("代码 ok")
        7
    """
    return len(text) if text.isascii() and "\t" not in text else sum(map(_columns, text))


def fitted(text: str, width: int) -> str:
    """Returns a line cut to a width, with an ellipsis at the cut.

    Example:
        >>> fitted("请帮我分析代码", 7)
        '请帮我…'
    """
    if display_width(text) <= width:
        return text
    taken = 0
    for index, character in enumerate(text):
        taken += _columns(character)
        if taken >= width:
            return text[:index] + "…"
    return text


def origin_text(session: SessionRecord) -> str:
    """Returns where a session left the one that it is a fork or a branch of; empty for a session of its own."""
    if not session.parent_id:
        return ""
    if session.parent_seq is None:
        return session.parent_id
    return f"{session.parent_id}, {f'after #{session.parent_seq}' if session.parent_seq else 'before its first event'}"


def time_shown(when: datetime | None, timespec: str = "seconds") -> str:
    """Returns a time for people, without its zone (all are UTC); empty for None."""
    return "" if when is None else when.replace(tzinfo=None).isoformat(" ", timespec)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"


def _columns(character: str) -> int:
    if character == "\t":
        return TAB_COLUMNS
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def usage_text(usage: Usage) -> str:
    """Returns the tokens of one reply in a line."""
    cached = {"from cache": usage.cache_read_tokens, "to cache": usage.cache_write_tokens}
    of_input = ", ".join(f"{count:,} {name}" for name, count in cached.items() if count)
    of_output = f"{usage.reasoning_tokens:,} reasoning" if usage.reasoning_tokens else ""
    counts = [(usage.input_tokens, "in", of_input), (usage.output_tokens, "out", of_output)]
    if not any(getattr(usage, name) for name in _COUNTS):
        return visible(usage.model)  # an import knows the model and no counts
    tokens = ", ".join(f"{count:,} {way}{f' ({of})' if of else ''}" for count, way, of in counts)
    return f"{visible(usage.model)} tokens: {tokens}".lstrip()


def total_usage(usages: Iterable[Usage | None]) -> Usage | None:
    """Returns the tokens of several replies together, with the model of the first; None if there are none."""
    total: Usage | None = None
    for usage in usages:
        if usage is not None and total is not None:
            counts = {name: getattr(total, name) + getattr(usage, name) for name in _COUNTS}
            total = Usage(total.model, **counts)
        elif usage is not None:
            total = usage
    return total


_COUNTS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def counted(count: int, name: str) -> str:
    """Returns a number of things.

    Example:
        >>> counted(1, "event"), counted(1200, "tool call")
        ('1 event', '1,200 tool calls')
    """
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def interruption_text(event: Event) -> str:
    """Returns a sentence on a run that ended at this event without a complete reply; empty if none did."""
    if not event.interrupted:
        return ""
    is_part = bool(event.content) and not event.actions and event.author not in {"user", "system", "tool"}
    sentence = "This reply was interrupted" if is_part else "The run ended here without a reply"
    return f"{sentence} ({visible(event.interrupted)})."


def json_text(value: Any) -> str:
    """Returns a value as JSON in one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def arguments_text(call: ToolCall) -> str:
    """Returns the arguments of a call: JSON in one line, or the model's text if that is not JSON; empty for none."""
    if isinstance(call.args, str):
        return call.args
    return json_text(call.args) if call.args else ""


def content_text(event: Event) -> str:
    """Returns the content of an event for a view that is all text: with a mark for each attachment, below it."""
    return "\n".join(filter(None, [event.content, *map(str, event.attachments)]))


def lines_of(text: str) -> list[str]:
    """Returns the lines of a text, with escapes for unsafe characters (see `visible`)."""
    return visible(text.replace("\r\n", "\n"), lines=True).rstrip("\n").split("\n") if text else []


# ---------------------------------------------------------------- entries


@dataclass(frozen=True)
class Gap:
    """A number of events that are not shown.

    Attributes:
        count: How many events.
    """

    count: int


@dataclass(frozen=True)
class Entry:
    """An event with the results of its calls, and with the further calls of its turn.

    Attributes:
        event: The event.
        results: The ``tool`` events that have the results, by the position of the call in ``event.actions``.
        further: Entries of events that follow it and only call tools.
        is_cut: True if events that are not shown follow it; they may have the results that it lacks.
    """

    event: Event
    results: dict[int, Event] = field(default_factory=dict)
    further: list[Entry] = field(default_factory=list)
    is_cut: bool = False

    def steps(self) -> list[Entry]:
        """Returns the entry and the further ones."""
        return [self, *self.further]


class Entries:
    """A maker of entries from a stream of events; it holds one entry at a time."""

    def __init__(self) -> None:
        self._held: Entry | None = None

    def add(self, event: Event | Gap) -> Iterator[Entry | Gap]:
        """Takes the next event, and yields the entries that are complete now."""
        if isinstance(event, Gap):
            yield from (replace(entry, is_cut=True) for entry in self.rest())
            yield event
        elif self._held is not None and (answered := _answered(self._held, event)) is not None:
            step, position = answered
            step.results[position] = event
        elif self._held is not None and _only_calls_on(self._held, event):
            self._held.further.append(Entry(event))
        else:
            yield from self.rest()
            self._held = Entry(event)

    def rest(self) -> Iterator[Entry]:
        """Yields the last entry, after the last event."""
        if self._held is not None:
            yield self._held
        self._held = None


def entries(events: Iterable[Event | Gap]) -> Iterator[Entry | Gap]:
    """Yields the entries of a stream of events."""
    maker = Entries()
    for event in events:
        yield from maker.add(event)
    yield from maker.rest()


def _answered(entry: Entry, event: Event) -> tuple[Entry, int] | None:
    """Returns the call that the event is the result of: the step and the position in it, if it has no result yet."""
    if event.author != "tool" or entry.event.author == "tool" or event.unreadable or len(event.actions) != 1:
        return None
    id = event.actions[0].id
    for step in entry.steps():
        for position, call in enumerate(step.event.actions):
            if id and call.id == id and call.status == "pending" and position not in step.results:
                return step, position
    return None


def _only_calls_on(entry: Entry, event: Event) -> bool:
    """Returns True if an event says nothing, and its calls go on with those of the entry."""
    first = entry.event
    is_of_same = (event.author, event.agent_id, event.branch) == (first.author, first.agent_id, first.branch)
    is_silent = not (event.content or event.supersedes or event.unreadable or event.attachments)
    has_calls = bool(first.actions and event.actions) and first.author not in {"user", "system", "tool"}
    return is_of_same and is_silent and has_calls and len(entry.further) < STEPS_TOGETHER


def first_and_last(events: Iterable[Event], limit: int | None) -> Iterator[Event | Gap]:
    """Yields the events; if there are more than the limit, some of the first, a gap, and the last."""
    if limit is None:
        yield from events
        return
    stream = iter(events)
    first = max(limit // 4, min(limit, 1))
    yield from islice(stream, first)
    count = 0
    last: deque[Event] = deque(maxlen=limit - first)
    for event in stream:
        count += 1
        last.append(event)
    if count > len(last):
        yield Gap(count - len(last))
    yield from last
