"""The reports of exports and imports."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from session_sqlite.operations.whole_sessions import Fault

Progress = Callable[[int, int | None], None]
"""A function that is called with how much is done, and how much there is in all (None if that is not known).

It counts the events of an export, and the bytes or rows of an import.
"""


@dataclass(frozen=True)
class ExportReport:
    """The report of an export.

    Attributes:
        format: The format of the file.
        sessions: How many sessions were written.
        events: How many events were written.
        note: If nothing was written, a sentence on sessions of other apps and users; if one page has hundreds of
            sessions, a sentence that a folder is better; otherwise empty.
    """

    format: str
    sessions: int
    events: int
    note: str = ""

    def __str__(self) -> str:
        wrote = f"Exported {_count(self.sessions, 'session')} with {_count(self.events, 'event')} ({self.format})."
        return f"{wrote} {self.note}".strip()


@dataclass(frozen=True)
class CopyReport:
    """A report of what a copy found to be equal in both stores.

    Attributes:
        sessions: How many sessions were compared.
        events: How many events they have.
        new_sessions: How many of the sessions the target lacked.
        new_events: How many of the events the target lacked.
    """

    sessions: int
    events: int
    new_sessions: int
    new_events: int

    def __str__(self) -> str:
        copied = f"Copied {_count(self.new_sessions, 'session')} and {_count(self.new_events, 'event')}"
        return f"{copied}; {_count(self.sessions, 'session')} with {_count(self.events, 'event')} are equal in both."


@dataclass(frozen=True)
class ImportReport:
    """The report of an import. After a dry run the numbers say what an import would do.

    Attributes:
        format: The format of the source; a name that ``import_(format=…)`` takes.
        sessions: How many sessions were made.
        events: How many events were added.
        extended: How many existing sessions got events.
        known: How many events were stored already.
        completed: How many of those had only their beginning, since their program was still writing, and have the rest
            now.
        skipped: The parts that could not be imported, each with its place and the reason; the first 100.
        skipped_count: How many parts could not be imported.
        warnings: Remarks for the person who imports.
        left_out: By kind, how many records were left out that are not part of a conversation, but bookkeeping of the
            program.
        dry_run: True if nothing was written.
    """

    format: str
    sessions: int = 0
    events: int = 0
    extended: int = 0
    known: int = 0
    completed: int = 0
    skipped: tuple[Fault, ...] = ()
    skipped_count: int = 0
    warnings: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    dry_run: bool = False

    def __str__(self) -> str:
        did = "Would import" if self.dry_run else "Imported"
        parts = [f"{did} {_count(self.sessions, 'session')} with {_count(self.events, 'event')} ({self.format})"]
        if self.extended:
            parts.append(f"{_count(self.extended, 'existing session')} got new events")
        if self.known:
            parts.append(f"{_count(self.known, 'event')} {'was' if self.known == 1 else 'were'} stored already")
        if self.completed:
            parts.append(f"{self.completed:,} of them {'was' if self.completed == 1 else 'were'} completed")
        if self.skipped_count:
            parts.append(f"{self.skipped_count:,} skipped")
        lines = ["; ".join(parts) + "."]
        lines += [f"  skipped {fault.where}: {fault.reason}" for fault in self.skipped]
        if self.skipped_count > len(self.skipped):
            lines.append(f"  … and {self.skipped_count - len(self.skipped):,} more")
        lines += [f"  note: {warning}" for warning in self.warnings]
        lines += [f"  left out, not part of a conversation: {_count(count, 'record')} of the kind {kind!r}"
                  for kind, count in self.left_out.items()]  # fmt: skip
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f'<pre dir="auto">{html.escape(str(self))}</pre>'


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
