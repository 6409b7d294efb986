"""Opens beside a writer that always moves its WAL into the file, so that the file's first pages are ahead of the rest.

Services to write and to read, and the command line, open the store again and again while another process appends large
events and removes them, with a checkpoint every few pages.

It would be broken by a header that is read without SQLite's locks, by a connection with `immutable` where others may
write, and by a busy answer at the opening that is not waited for.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Final

from click.testing import CliRunner

from session_sqlite import Event, SQLiteSessionService
from session_sqlite.cli import main as command_line

from .processes import ended, forked, run, says
from .trials import Length, Trial, Tried, UnavailableError
from .verbs import file_of

OPENS: Final = 5_000
OPENERS: Final = 2
KEPT: Final = 100  # large events


def write(path: Path, ready: int) -> None:
    """Appends and removes large events until it is killed."""
    with SQLiteSessionService(path) as service:
        with file_of(service).connection_to_write() as connection:
            connection.execute("PRAGMA wal_autocheckpoint = 3")
        service.create_session(session_id="s")
        os.write(ready, b".")
        for number in range(1_000_000):  # if nobody kills it
            if number % KEPT == KEPT - 1:
                service.clear_session("s")
            service.append_event("s", Event("user", f"{number} " + "x" * 20_000))


def open_often(path: Path, opens: int) -> None:
    """Opens the store in one way after the other."""
    for number in range(opens):
        if number % 20 == 19:
            result = CliRunner().invoke(command_line, ["list", "--db", str(path)])
            assert result.exit_code == 0, result.output
        else:
            with SQLiteSessionService(path, read_only=number % 2 == 1) as service:
                last = service.get_session("s").last_seq
                service.list_events("s", after=max(0, last - 2))


def try_it(folder: Path, length: Length) -> Tried:
    if not hasattr(os, "fork"):
        raise UnavailableError("it needs a system with fork")
    opens = length.of(OPENS, at_least=200)
    checkpoints: int = run("opens_beside_a_writer", folder / "sessions.db", opens)
    return Tried(
        f"{opens:,} opens, to write, to read and by the command line, beside a process that wrote {checkpoints:,} "
        "large events and moved each into the file at once",
        "0 errors, no file taken for a damaged one",
    )


def main(path: str, opens: str) -> None:
    """Opens beside a writer and kills it at the end."""
    ready, tells = os.pipe()
    writer = forked(write, Path(path), tells)
    assert os.read(ready, 1) == b"."
    openers = [forked(open_often, Path(path), int(opens) // OPENERS) for _ in range(OPENERS)]
    failed = [ended(opener) for opener in openers]
    assert os.waitpid(writer, os.WNOHANG) == (0, 0), "the writer must go on"
    os.kill(writer, signal.SIGKILL)
    assert ended(writer) == -signal.SIGKILL
    assert failed == [0] * OPENERS, "an open failed"
    with SQLiteSessionService(path) as service:
        assert service.check().ok
        says(service.get_session("s").last_seq)


TRIAL = Trial("opens-beside-a-writer", "A sound file opens while another process writes to it", try_it)

if __name__ == "__main__":
    main(*sys.argv[1:])
