"""The Markdown of an export, for people, with a heading for each session and each event.

Text that users, models and tools wrote is quoted, and arguments and results of tools are in code blocks, so that no
text can look like a heading of ours. Control characters are shown as escapes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from session_sqlite import codec
from session_sqlite.attachments import without_bytes
from session_sqlite.models import REMOVE, Event, ToolCall, Usage
from session_sqlite.operations.whole_sessions import StoredSession
from session_sqlite.transcript import origin_text, time_shown, visible
from session_sqlite.transcript.text import interruption_text

_MARKS = re.compile(r"([\\`*_\[\]<>#&|])")
_FENCES = re.compile(r"`{3,}")


class Writer:
    """A maker of the blocks of one export."""

    def __init__(self) -> None:
        self._first = True

    def begin(self) -> Iterator[str]:
        """Yields nothing: the text begins with the first session."""
        yield from ()

    def session(self, stored: StoredSession) -> Iterator[str]:
        """Yields the heading of a session and its fields."""
        session = stored.session
        if not self._first:
            yield "\n---\n\n"
        self._first = False
        yield f"# {_line(session.title or session.id)}\n\n"
        about = {
            "Session": session.id, "App": session.app_name, "User": session.user_id, "Agent": session.agent_id,
            "Forked from": origin_text(session), "Created": time_shown(session.created_at),
            "Last change": time_shown(session.updated_at),
        }  # fmt: skip
        yield "".join(f"- {name}: {_line(value)}\n" for name, value in about.items() if value)
        if stored.state:
            yield f"- State:\n\n{_code(_json(dict(stored.state)), 'json')}"

    def events(self, rows: Iterable[Any]) -> Iterator[str]:
        """Yields events, each under its heading."""
        return (_event(codec.decode_event(row)) for row in rows)

    def end(self, _sessions: int, _events: int, /) -> Iterator[str]:
        """Yields nothing."""
        yield from ()


def _event(event: Event) -> str:
    named = {"agent": "" if event.agent_id == event.author else event.agent_id, "branch": event.branch}
    about = [time_shown(event.created_at), *(f"{name} {_line(value)}" for name, value in named.items() if value)]
    parts = [f"\n## {_line(event.seq)}. {' · '.join([_line(event.author), *filter(None, about)])}\n\n"]
    if event.unreadable:
        return "".join([*parts, "This event cannot be decoded; as it is stored:\n\n", _code(event.raw, "json")])
    if event.supersedes:
        parts.append(f"*A summary of the events up to {event.supersedes}.*\n\n")
    if event.reasoning:
        parts.append(f"*Reasoning*\n\n{_quote(event.reasoning)}")
    if event.author == "tool":
        parts += [f"*Result of {_line(action.name)}*\n\n" for action in event.actions]
        parts.append(_code(event.content) if event.content else "")
    elif event.content:
        parts.append(_quote(event.content))
    parts += [f"*{_line(attachment)}*\n\n" for attachment in event.attachments]
    parts += [_tool(event, action) for action in event.actions]
    if event.state:
        changes = {name: "(removed)" if value is REMOVE else value for name, value in event.state.items()}
        parts.append(f"*State*\n\n{_code(_json(changes), 'json')}")
    if event.usage is not None:
        parts.append(f"*{_usage(event.usage)}*\n\n")
    if event.interrupted:
        parts.append(f"*{_line(interruption_text(event))}*\n\n")
    return "".join(parts)


def _tool(event: Event, action: ToolCall) -> str:
    parts = []
    if event.author != "tool":
        args = _code(action.args) if isinstance(action.args, str) else _code(_json(action.args), "json")
        parts.append(f"*Call of {_line(action.name)}*\n\n{args if action.args else ''}")
    if action.output is not None:
        output = action.output
        parts.append(
            f"*Output*\n\n{_code(output) if isinstance(output, str) else _code(_json(without_bytes(output)), 'json')}"
        )
    if action.error is not None and action.error != event.content:
        parts.append(f"*Error*\n\n{_code(action.error)}")
    return "".join(parts)


def _usage(usage: Usage) -> str:
    model = f"{_line(usage.model)}: " if usage.model else ""
    return f"{model}{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"


def _line(text: object) -> str:
    return _MARKS.sub(r"\\\1", visible(text))


def _shown(text: str) -> str:
    return visible(text.replace("\r\n", "\n"), lines=True)


def _quote(text: str) -> str:
    return "".join(f"> {line}".rstrip() + "\n" for line in _shown(text).split("\n")) + "\n"


def _code(text: str, language: str = "") -> str:
    longest = max((len(fence) for fence in _FENCES.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{_shown(text)}\n{fence}\n\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)
