"""First opens: several processes open one new path in the same moment, and each writes to it.

It would be broken by tables that are looked for before the lock is held, by a file or a folder that must not be there
yet, and by a busy answer at the opening that is not waited for.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

from session_sqlite import Event, SQLiteSessionService
from session_sqlite.sqlite import schema

from .processes import ended, forked, run, says
from .trials import Length, Trial, Tried, UnavailableError

PROCESSES: Final = 8
FILES: Final = 60


def open_new(path: Path, moment: float, worker: int) -> None:
    """Opens the file at a moment, appends, and reads it once more without writing."""
    while time.time() < moment:
        pass
    with SQLiteSessionService(path) as service:
        service.append_event("s", Event("user", str(worker)), create=True)
        assert len(service.search(str(worker))) == 1
    with SQLiteSessionService(path, read_only=True) as service:
        assert str(worker) in {event.content for event in service.list_events("s")}


def together(path: Path) -> None:
    """Opens one new path in several processes; each must do so without an error, and once is what all wrote there."""
    moment = time.time() + 0.02
    for child in [forked(open_new, path, moment, worker) for worker in range(PROCESSES)]:
        assert ended(child) == 0, "a process had an error"
    with SQLiteSessionService(path) as service:
        events = service.list_events("s")
        assert sorted(event.content for event in events) == [str(worker) for worker in range(PROCESSES)]
        assert [event.seq for event in events] == list(range(1, PROCESSES + 1))
        assert len(service.query("SELECT name FROM _sqlite_migrations")) == schema.SCHEMA_VERSION
        assert service.check().ok


def try_it(folder: Path, length: Length) -> Tried:
    if not hasattr(os, "fork"):
        raise UnavailableError("it needs a system with fork")
    files = length.of(FILES, at_least=8)
    opened: int = run("first_opens", folder, files)
    return Tried(
        f"{files} new files in new folders, each opened by {PROCESSES} processes at once, which write and read",
        f"{opened} first opens, 0 errors; every table made once, every append there",
    )


def main(folder: str, files: str) -> None:
    """Opens new files."""
    for number in range(int(files)):
        together(Path(folder, f"folder {number}", "sessions.db"))
    says(int(files) * PROCESSES)


TRIAL = Trial("first-opens", "Any number of processes may open a new file in the same moment", try_it)

if __name__ == "__main__":
    main(*sys.argv[1:])
