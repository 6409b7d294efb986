"""What exports and imports report."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from session_sqlite.operations.whole_sessions import Fault

Progress = Callable[[int, int | None], None]
"""Is told how much is done, and how much there is if that is known: events of an export, bytes or rows of an import."""


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        format: Its format.
        sessions: How many sessions.
        events: How many events.
        note: Why there may be nothing in it; empty if there is something.
    """

    format: str
    sessions: int
    events: int
    note: str = ""

    def __str__(self) -> str:
        wrote = f"Exported {_count(self.sessions, 'session')} with {_count(self.events, 'event')} ({self.format})."
        return f"{wrote} {self.note}".strip()


@dataclass(frozen=True)
class ImportReport:
    """What an import brought, or would bring.

    Attributes:
        format: What the source is; a name that ``import_(format=…)`` takes.
        sessions: How many sessions were made.
        events: How many events were added.
        extended: How many sessions were there and got events that they lacked.
        known: How many events were there already.
        skipped: What could not be imported: where it is and why; the first 100.
        skipped_count: How much could not be imported.
        warnings: What else to know.
        left_out: How many records of each kind are no part of a conversation, but the program's own bookkeeping.
        dry_run: True if nothing was written.
    """

    format: str
    sessions: int = 0
    events: int = 0
    extended: int = 0
    known: int = 0
    skipped: tuple[Fault, ...] = ()
    skipped_count: int = 0
    warnings: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    dry_run: bool = False

    def __str__(self) -> str:
        did = "Would import" if self.dry_run else "Imported"
        parts = [f"{did} {_count(self.sessions, 'session')} with {_count(self.events, 'event')} ({self.format})"]
        if self.extended:
            parts.append(f"{_count(self.extended, 'session')} that {'was' if self.extended == 1 else 'were'} there got "
                         "what was new")  # fmt: skip
        if self.known:
            parts.append(f"{_count(self.known, 'event')} {'was' if self.known == 1 else 'were'} there already")
        if self.skipped_count:
            parts.append(f"{self.skipped_count:,} skipped")
        lines = ["; ".join(parts) + "."]
        lines += [f"  skipped {fault.where}: {fault.reason}" for fault in self.skipped]
        if self.skipped_count > len(self.skipped):
            lines.append(f"  … and {self.skipped_count - len(self.skipped):,} more")
        lines += [f"  note: {warning}" for warning in self.warnings]
        lines += [f"  left out, as no part of a conversation: {_count(count, 'record')} of the kind {kind!r}"
                  for kind, count in self.left_out.items()]  # fmt: skip
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f'<pre dir="auto">{html.escape(str(self))}</pre>'


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
