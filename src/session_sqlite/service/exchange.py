"""The verbs that take conversations out of a store and bring them in, and what they report.

How it is done is known to `transfer`, which is loaded at the first use.
"""

from __future__ import annotations

import html
import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Any

from session_sqlite import codec, queries
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import AnyOf
from session_sqlite.service.retention import Retention
from session_sqlite.service.scoped import as_is, key_of, others_said
from session_sqlite.service.whole_sessions import Fault, WholeSessions
from session_sqlite.session import Session

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


class Exchange(Retention):
    """Export and import."""

    def export(
        self,
        target: str | os.PathLike[str] | IO[str],
        *,
        session: Session | str | Iterable[Session | str] | None = None,
        format: str = "jsonl",
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Writes sessions with their events and state to a file, as a stream: memory does not grow with the store.

        Args:
            target: A path (written beside it first, and put in its place when it is whole; a new file is readable by
                its owner only) or a file that is open for text.
            session: One session or several; all of the app and user if not given.
            format: ``"jsonl"``: JSON Lines, from which `import_` makes equal sessions (see
                `session_sqlite.transfer.jsonl`);
                ``"markdown"`` and ``"html"`` (one page without script, which loads nothing): for people.
            app_name: The app, if not the service's; `ANY` for all.
            user_id: The user, if not the service's; `ANY` for all.
            progress: Is called with how many events are written and how many there are.

        Returns:
            What was written.

        Raises:
            SessionNotFoundError: There is no such session.
            InvalidInputError: There is no such format.
            StoreError: The file cannot be written.
        """
        if isinstance(session, (str, Session)):
            session = [session]
        elif session is not None and not isinstance(session, Iterable):
            raise InvalidInputError(f"session must be a session or several, not {type(session).__name__}")
        keys = None
        if session is not None:
            found = [
                one if isinstance(one, Session) else self.get_session(one, app_name=app_name, user_id=user_id)
                for one in session
            ]
            keys = list(dict.fromkeys(map(key_of, found)))
            for key in keys:
                self._require(key)
        clauses, params = self._scope_clauses(app_name, user_id)
        self._database.read(queries.NOTHING, {}, as_is)  # a closed service says so before a file is opened
        report: ExportReport = _transfer().export(
            WholeSessions(self._database, self._max_event_bytes),
            target,
            keys=keys,
            scope=(clauses, params),
            format=format,
            progress=progress,
            store=getattr(self, "path", None),
        )
        if report.sessions == 0 and session is None:
            return replace(report, note=others_said(self, app_name, user_id))
        return report

    def import_(
        self,
        source: str | os.PathLike[str] | IO[Any],
        *,
        format: str = "auto",
        dry_run: bool = False,
        app_name: str | None = None,
        user_id: str | None = None,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Brings in conversations from an export or from another program's file.

        What is there stays as it is, and nothing comes twice: ids are those of the source or derived from it. A
        record that cannot be read is skipped and reported. Sessions are written a transaction at a time, so that an
        import that was interrupted is completed by running it again. Files of other programs are opened for reading
        only.

        Args:
            source: A path, or an open file (of JSON).
            format: What it is; ``"auto"`` finds out. The README has a table of the formats, and so has
                ``session-sqlite import --list-formats``.
            dry_run: Write nothing, only report what would come.
            app_name: Whose app the sessions are. If not given the source says it, or else the service.
            user_id: Whose user; the same. Name both for a file that a user brings: it may say that it is another's.
            progress: Is called with how much of the source is done and how much there is, in bytes or rows.

        Returns:
            What came, and what did not and why.

        Raises:
            InvalidInputError: The file is nothing that is known, or names no app and user and the service's are `ANY`.
            NewerSchemaError: The export was made by a newer release.
            StoreError: The file cannot be read.
        """
        self._database.read(queries.NOTHING, {}, as_is)  # a closed service says so before a file is opened
        report: ImportReport = _transfer().import_(
            WholeSessions(self._database, self._max_event_bytes),
            source,
            scope=self._scope(app_name, user_id),
            app_name=app_name,
            user_id=user_id,
            format=format,
            dry_run=codec.flag(dry_run, "dry_run"),
            progress=progress,
        )
        return report


def _transfer() -> Any:
    # It is above the service: it opens stores itself.
    return importlib.import_module("session_sqlite.transfer")
