"""Writers that never rest: several processes append to one file as fast as they can, each append synced to the disk.

It would be broken by a writer that does not wait for its turn, by a wait that starves some of them (as SQLite's own
busy handler does), and by a lock that is held while nobody writes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Final

from session_sqlite import Event, SQLiteSessionService

from .processes import ended, forked, run, says
from .trials import Length, Trial, Tried, UnavailableError

WRITERS: Final = (8, 16)
SECONDS: Final = 20
LONGEST_WAIT: Final = 5.0  # seconds
SHARES: Final = 5.0  # how many times more appends than another a writer may have
FAIR_AFTER: Final = 10.0  # seconds of writing; in less a writer that starts late has less


def write(path: Path, begin: float, end: float) -> None:
    """Appends until the end; leaves the number of appends and the longest one."""
    count, longest = 0, 0.0
    with SQLiteSessionService(path) as service:
        time.sleep(max(0.0, begin - time.time()))
        while (start := time.time()) < end or not count:
            service.append_event("s", Event("user", f"hello {count}", metadata={"writer": os.getpid()}))
            longest = max(longest, time.time() - start)
            count += 1
    path.with_name(f"{os.getpid()}.json").write_text(json.dumps((count, longest)))


def contend(folder: Path, writers: int, seconds: float) -> tuple[int, float, float]:
    """Lets writers contend; returns how many appends there were, the longest, and most appends by fewest."""
    folder.mkdir()
    path = folder / "sessions.db"
    with SQLiteSessionService(path) as service:
        service.create_session(session_id="s")
    begin = time.time() + 0.05 * writers
    for child in [forked(write, path, begin, begin + seconds) for _ in range(writers)]:
        assert ended(child) == 0, "a writer had an error"
    counts, waits = zip(*(json.loads(file.read_text()) for file in folder.glob("*.json")), strict=True)
    with SQLiteSessionService(path) as service:
        events = service.list_events("s")
        assert [event.seq for event in events] == list(range(1, sum(counts) + 1)), "an append is lost, or a gap"
        assert service.check().ok
    return sum(counts), max(waits), max(counts) / min(counts)


def try_it(folder: Path, length: Length) -> Tried:
    if not hasattr(os, "fork"):
        raise UnavailableError("it needs a system with fork")
    seconds = max(1.0, SECONDS * length.share)
    writers = WRITERS if length.share > 0.05 else WRITERS[:1]
    tried = run("contention", folder, seconds, *writers)
    wait, share = (max(one[place] for one in tried) for place in (1, 2))
    if seconds >= FAIR_AFTER:
        assert wait < LONGEST_WAIT, f"an append took {wait:.1f} s"
        assert share < SHARES, f"a writer had {share:.1f} times the appends of another"
    names = " and ".join(map(str, writers))
    return Tried(
        f"{names} processes, each writing without a pause for {seconds:g} s with `full`",
        f"{sum(one[0] for one in tried):,} appends, 0 errors; the longest took {wait:.2f} s; the "
        f"busiest had {share:.1f} times the appends of the least busy",
    )


def main(folder: str, seconds: str, *writers: str) -> None:
    """Contends with each number of writers."""
    says([contend(Path(folder, number), int(number), float(seconds)) for number in writers])


TRIAL = Trial("contention", "Writers that never rest all get their turn, without an error", try_it)

if __name__ == "__main__":
    main(*sys.argv[1:])
