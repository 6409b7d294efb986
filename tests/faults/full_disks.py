"""Disks that are full: a small file system, a limit on the size of files, a limit on the pages of the database.

A process appends until there is no room. Then every append that returned must still be read, by the service, by a
search, and by whoever opens the file now; what cannot be done is an error of ours. With room again the same service
writes on, or the next one that opens the file, which is sound.

It would be broken by a driver's error that gets through, by a transaction that a full disk leaves open, by a search
that needs room, and by a file that can be read only where it can be written.
"""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from session_sqlite import Event, SessionError, SQLiteSessionService, StoreFullError

from .processes import run, says
from .trials import Length, Trial, Tried, UnavailableError
from .verbs import content, file_of

MOUNTS, FILES, PAGES = "small file systems", "limits on the size of files", "limits on pages"
ROUNDS: Final = 40  # of each kind of limit
BYTES: Final = 2_000_000  # of a disk
BALLAST: Final = 600_000  # bytes that are removed to make room
# A mount in a namespace of its own goes with its process, in whatever way that ends.
MOUNTED: Final = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o "size=$0" tmpfs "$1" && shift && exec "$@"')


class Disk:
    """A folder with little room, which the limit of its kind takes and gives back."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.path = folder / "sessions.db"
        self._ballast = folder / "ballast"
        self._junk = folder / "junk"

    def shrink(self, service: SQLiteSessionService) -> None:
        """Takes the room away."""
        if self.kind == MOUNTS:
            self._ballast.write_bytes(bytes(BALLAST))
        elif self.kind == FILES:
            resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES // 3, resource.RLIM_INFINITY))
        else:
            self._limit_pages(service, BYTES // 2 // 4096)

    def fill_up(self) -> None:
        """Takes the very last of it."""
        if self.kind == MOUNTS:
            with suppress(OSError), self._junk.open("ab", buffering=0) as junk:
                while junk.write(bytes(4096)):
                    pass

    def grow(self, service: SQLiteSessionService) -> None:
        """Gives it back."""
        self._ballast.unlink(missing_ok=True)
        self._junk.unlink(missing_ok=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if not service.closed and self.kind == PAGES:
            self._limit_pages(service, 2**30)

    def _limit_pages(self, service: SQLiteSessionService, pages: int) -> None:
        with file_of(service).connection_to_write() as connection:
            connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()


def fill(disk: Disk, round: int) -> Counter[str]:
    """Fills a disk with appends and gives it room again; returns how many appends and errors there were."""
    chance = random.Random(f"{disk.kind} {round}")
    stored: dict[str, str] = {}
    seen: Counter[str] = Counter()
    size = chance.choice((300, 5_000, 60_000))

    def append(service: SQLiteSessionService) -> None:
        number = len(stored)
        text = f"word{number} " + "".join(chance.choices("abcdefgh ", k=chance.randint(1, size)))
        service.append_events("s", [Event("user", text, id=str(number), state={"last": number})], create=True)
        stored[str(number)] = text

    service = SQLiteSessionService(disk.path)
    append(service)
    disk.shrink(service)
    while not seen:
        try:
            append(service)
            if chance.random() < 0.1:
                service.search(f"word{len(stored) - 1}")
        except SessionError as error:
            seen[type(error).__name__] += 1
            if not isinstance(error, StoreFullError) and disk.kind != FILES:  # SQLite has one code for that and others
                raise
    reads(service, stored)
    for verb in verbs(disk, service):
        before = content(service)
        try:
            verb()
        except SessionError as error:
            seen[type(error).__name__] += 1
            assert content(service) == before, "half of a verb"
        reads(service, stored)
    others_read(disk, stored)
    if round % 2:
        service.close()
        disk.fill_up()
        others_read(disk, stored)
    disk.grow(service)
    if service.closed:
        service = SQLiteSessionService(disk.path)
    append(service)
    reads(service, stored)
    service.close()
    with SQLiteSessionService(disk.path) as service:
        reads(service, stored)
        report = service.check()
        assert report.ok, str(report)
    disk.fill_up()
    with SQLiteSessionService(disk.path, read_only=True) as service:  # where not even its locks have room
        reads(service, stored)
    seen["appends"] = len(stored)
    return seen


def reads(service: SQLiteSessionService, stored: dict[str, str]) -> None:
    """Demands that a service reads and finds all that was acknowledged."""
    events = service.list_events("s")
    assert {event.id: event.content for event in events} == stored
    assert [event.seq for event in events] == list(range(1, len(stored) + 1))
    last = str(len(stored) - 1)
    assert [hit.event.id for hit in service.search(f"word{last}")] == [last]
    assert service.get_state("s")["last"] == int(last)


def others_read(disk: Disk, stored: dict[str, str]) -> None:
    """Demands that one who opens the file to read can do so, and that one who opens it to write can, or is told why."""
    with SQLiteSessionService(disk.path, read_only=True) as reader:
        reads(reader, stored)
    with suppress(SessionError), SQLiteSessionService(disk.path) as writer:
        reads(writer, stored)


def verbs(disk: Disk, service: SQLiteSessionService) -> list[Callable[[], object]]:
    """Verbs that a full disk may refuse, and which take nothing away."""
    return [
        lambda: service.update_session("s", title="T" * 100_000),
        lambda: service.update_state("s", {"more": "x" * 100_000}),
        lambda: service.create_session(metadata={"m": "x" * 500_000}),
        lambda: service.fork_session("s", at=1),
        lambda: service.redact("word", replacement="word", session="s"),
        lambda: service.export(disk.path.with_name("exported.jsonl")),
        lambda: service.backup(disk.path.with_name("backup.db"), overwrite=True),
    ]


def try_it(folder: Path, length: Length) -> Tried:
    if not sys.platform.startswith("linux"):
        raise UnavailableError("it needs Linux")
    rounds = length.of(ROUNDS, at_least=2)
    kinds = [FILES, PAGES]
    seen = Counter(run("full_disks", folder, rounds, *kinds))
    before = (*MOUNTED, str(BYTES), str(folder))
    if subprocess.run([*before, "true"], capture_output=True, check=False).returncode == 0:
        kinds.append(MOUNTS)
        seen += Counter(run("full_disks", folder, rounds, MOUNTS, before=before))
    appends = seen.pop("appends")
    return Tried(
        f"{', '.join(f'{rounds} {kind}' for kind in kinds)} filled with {appends:,} appends",
        f"{seen.total():,} errors, all ours; 0 acknowledged events lost or unreadable, all found by a search; each "
        "service wrote on with room again",
    )


def main(folder: str, rounds: str, *kinds: str) -> None:
    """Fills disks of each kind."""
    seen: Counter[str] = Counter()
    for kind in kinds:
        for round in range(int(rounds)):
            place = Path(folder, "disk")
            place.mkdir()
            try:
                seen += fill(Disk(kind, place), round)
            except BaseException as error:
                raise AssertionError(f"{kind}, round {round}: {error!r}") from error
            shutil.rmtree(place)
    says(seen)


TRIAL = Trial(
    "full-disks", "A full disk takes nothing that was acknowledged, and with room again a service goes on", try_it
)

if __name__ == "__main__":
    main(*sys.argv[1:])
