"""A conversation as text for a terminal: a head with the session's fields, then a block for each event.

Every line that users, models and tools wrote is indented, so that no text can look like the head of an event, which
begins at the margin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from session_sqlite.attachments import without_bytes
from session_sqlite.models import REMOVE, Event, SessionRecord, ToolCall
from session_sqlite.transcript.text import (
    arguments_text,
    display_width,
    fitted,
    interruption_text,
    json_text,
    lines_of,
    origin_text,
    time_shown,
    usage_text,
    visible,
)
from session_sqlite.transcript.wrapping import wrapped

DEFAULT_WIDTH: Final = 100
OUTPUT_LINES: Final = 10  # lines of a tool's output that are shown, unless all are asked for
LEAST_COLUMNS: Final = 20  # columns of an argument that are shown even in a narrow terminal

Zoned = Callable[[datetime | None], datetime | None]

_SGR = re.compile(r"\x1b\[[0-9;]*m")
_BOLD: Final = "1"
_DIM: Final = "2"
_RED: Final = "31"
_YELLOW: Final = "33"
_CYAN: Final = "36"
_COLOUR_OF: Final = {"user": "1;32", "assistant": "1;34", "system": "1;35", "tool": "1;36"}


def terminal_text(
    session: SessionRecord,
    events: Iterable[Event],
    *,
    width: int = DEFAULT_WIDTH,
    full: bool = False,
    colour: bool = False,
    wrap: bool = False,
    zoned: Zoned = lambda when: when,
) -> Iterator[str]:
    """Yields a conversation in blocks of lines: the session's head, then each event.

    Args:
        session: The session.
        events: Its events, or some of them; a stream is read as it is rendered.
        width: The columns that a line of a tool's arguments or output may take; a note says how much was cut.
        full: Cut nothing.
        colour: Use the terminal's colours.
        wrap: Break lines that are wider than the terminal, between words, and indent them like the first.
        zoned: Returns a time in the zone to show it in; UTC if not given.

    Yields:
        Blocks of lines, without the newline at their end.

    Example:
        >>> from session_sqlite import Event, Session
        >>> for block in terminal_text(Session("s-1", title="Tea"), [Event("user", "Which tea?", seq=1)]):
        ...     print(block)
        Tea
        session s-1
        app default · user default
        <BLANKLINE>
        #1 user
          Which tea?
    """
    terminal = _Terminal(width, full, colour, wrap, zoned)
    yield "\n".join(terminal.head(session))
    for event in events:
        yield "\n".join(["", *terminal.event(event)])


def time_and_zone(when: datetime | None) -> str:
    """Returns a time with its zone, such as "2026-03-01 09:00:00 +01:00"; empty for None."""
    if when is None:
        return ""
    return f"{time_shown(when)} {when.isoformat()[-6:] if when.utcoffset() else 'UTC'}"


@dataclass(frozen=True)
class _Terminal:
    """The terminal that the text is for; the methods yield lines.

    Attributes:
        width: Its columns.
        full: Cut nothing.
        colour: Use its colours.
        wrap: Break long lines between words.
        zoned: Returns a time in the zone to show it in.
    """

    width: int
    full: bool
    colour: bool
    wrap: bool
    zoned: Zoned

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text

    def head(self, session: SessionRecord) -> Iterator[str]:
        if session.title:
            yield from self.fact(visible(session.title), _BOLD)
        yield from self.fact(f"session {visible(session.id)}")
        named = {
            "app": session.app_name, "user": session.user_id, "agent": session.agent_id,
            "forked from": origin_text(session),
        }  # fmt: skip
        yield from self.fact(" · ".join(f"{name} {visible(value)}" for name, value in named.items() if value))
        times: dict[str, datetime | None] = {"created": session.created_at, "last change": session.updated_at}
        if known := [f"{name} {time_and_zone(self.zoned(when))}" for name, when in times.items() if when]:
            yield from self.fact(" · ".join(known), _DIM)

    def event(self, event: Event) -> Iterator[str]:
        yield self.event_head(event)
        if event.unreadable:
            yield self.paint("  [unreadable: this row cannot be decoded; as it is stored:]", _RED)
            yield from self.cut_text(event.raw, "  ")
            return
        for line in self.prose(event.reasoning, "  ┆ "):
            yield self.paint(line, _DIM)
        if event.author == "tool":
            for action in event.actions:
                yield f"  ← {self.tool(action)}"
            yield from self.cut_text(event.content, "    ")
            yield from (f"    {visible(attachment)}" for attachment in event.attachments)
        else:
            yield from self.prose(event.content, "  ")
            yield from (f"  {visible(attachment)}" for attachment in event.attachments)
        for action in event.actions:
            if event.author != "tool":
                yield from self.cut_line(f"  → {self.tool(action)} ", arguments_text(action))
            yield from self.result(action, event.content)
        for key, value in event.state.items():
            change = "removed" if value is REMOVE else f"= {json_text(value)}"
            yield from self.cut_line(f"  {self.paint('state', _CYAN)} {visible(key)} ", change)
        if event.usage is not None and (tokens := usage_text(event.usage)):
            yield from self.fact(f"  {tokens}", _DIM)
        if event.interrupted:
            yield from self.fact(f"  [{interruption_text(event)}]", _YELLOW)

    def event_head(self, event: Event) -> str:
        author = self.paint(visible(event.author), _COLOUR_OF.get(event.author, _COLOUR_OF["assistant"]))
        agent = "" if event.agent_id == event.author else event.agent_id
        named = {"agent": agent, "branch": event.branch}
        about = [
            time_shown(self.zoned(event.created_at)),
            *(f"{name} {visible(value)}" for name, value in named.items() if value),
        ]
        number = self.paint(f"#{visible(event.seq)}", _DIM)
        return f"{number} {author} {self.paint(' · '.join(filter(None, about)), _DIM)}".rstrip()

    def tool(self, action: ToolCall) -> str:
        failed = "" if action.error is None else f" {self.paint('failed', _RED)}"
        return f"{self.paint(visible(action.name), _CYAN)}{failed}"

    def result(self, action: ToolCall, content: str) -> Iterator[str]:
        """Yields the result of a call; an error that is also the content of the event is left out."""
        if action.output is not None:
            yield from self.cut_text(
                action.output if isinstance(action.output, str) else json_text(without_bytes(action.output)), "    "
            )
        if action.error is not None and action.error != content:
            yield from self.cut_text(f"error: {action.error}", "    ")

    def fact(self, line: str, code: str = "") -> Iterator[str]:
        """Yields a line of our own in a colour."""
        broken = wrapped(line, self.width) if self.wrap else [line]
        yield from (self.paint(one, code) if code else one for one in broken)

    def prose(self, text: str, indent: str) -> Iterator[str]:
        """Yields what people and models wrote; blocks of code are not broken between words."""
        is_code = False
        for line in lines_of(text):
            is_fence = line.lstrip().startswith(("```", "~~~"))
            is_code ^= is_fence
            yield from self.lines(line, indent, words=not is_code and not is_fence)

    def lines(self, line: str, indent: str, *, words: bool) -> Iterator[str]:
        broken = wrapped(line, self.width - display_width(indent), words=words) if self.wrap else [line]
        yield from (f"{indent}{one}".rstrip() for one in broken)

    def cut_text(self, text: str, indent: str) -> Iterator[str]:
        lines = lines_of(text)
        shown = lines if self.full else [fitted(line, self.width - len(indent)) for line in lines[:OUTPUT_LINES]]
        for line in shown:
            yield from self.lines(line, indent, words=False)
        yield from self.cut_note(lines, shown)

    def cut_line(self, start: str, text: str) -> Iterator[str]:
        text = visible(text)
        room = max(self.width - display_width(_SGR.sub("", start)), LEAST_COLUMNS)
        shown = text if self.full else fitted(text, room)
        first, *rest = wrapped(shown, room, words=False) if self.wrap else [shown]
        yield f"{start}{first}".rstrip()
        yield from (f"    {line}" for one in rest for line in wrapped(one, self.width - 4, words=False))
        yield from self.cut_note([text], [shown])

    def cut_note(self, lines: Sequence[str], shown: Sequence[str]) -> Iterator[str]:
        """Yields a note on how much was cut: characters of the lines that are shown, and whole lines."""
        # A line that was cut ends in an ellipsis, which is not a character of the line.
        characters = sum(len(line) - (len(kept) - 1) for line, kept in zip(lines, shown, strict=False) if line != kept)
        counts = {"character": characters, "line": len(lines) - len(shown)}
        notes = [f"{count:,} more {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count]
        if notes:
            yield self.paint(f"    [{' and '.join(notes)}]", _YELLOW)
