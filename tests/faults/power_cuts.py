"""Cuts of power: the changes and syncs of a process are recorded, and the disk is rebuilt as a cut may leave it.

A process calls every verb and acknowledges each by a digest of the whole store. At each cut three disks are rebuilt:
with all changes until then, with those alone that a sync made sure, and with any part of the others (also half a
write). On each the store must open, be sound, and be as it was after one of the verbs: with ``full`` after the last
acknowledged one or the one that was running, with ``fast`` after any earlier one.

It would be broken by a weaker `synchronous`, by an answer before the COMMIT, by a folder or file whose name is not
synced, and by a verb of several transactions of which the first alone leaves what nobody asked for.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from session_sqlite import Event, SessionError, SQLiteSessionService

from .disk import LOSSES, Disk, library, recorded
from .processes import run, says
from .trials import Length, Trial, Tried
from .verbs import content, export_to_import, file_of, verbs

CUTS: Final = 150  # of a record, with each of the losses
ENOUGH: Final = 10  # cuts, to see that `fast` has a price
ROUNDS: Final = 8  # of the verbs, in one record


def record(recorder: Path, folder: Path, durability: str, rounds: int) -> list[str]:
    """Records the verbs in a folder; returns the digest of the empty store and of it after each verb."""
    environment = {"LD_PRELOAD": recorder, "DISK_FOLDER": folder / "disk", "DISK_RECORD": folder / "record"}
    (folder / "disk").mkdir(parents=True)
    digests: list[str] = run("power_cuts", folder, durability, rounds, environment=environment)
    return digests


def cut(recorder: Path, folder: Path, durability: str, rounds: int, cuts: int) -> Counter[str]:
    """Records, cuts and looks; returns how many verbs were tried, and lost by each loss at worst."""
    digests = record(recorder, folder, durability, rounds)
    changes = list(recorded(folder / "record"))
    chance = random.Random(durability)
    moments = set(chance.sample(range(1, len(changes) + 1), cuts - 1)) | {len(changes)}
    found = Counter(verbs=len(digests) - 1, changes=len(changes), cuts=len(moments))
    disk, acknowledged = Disk(folder / "disk"), 0
    for moment, change in enumerate(changes, start=1):
        if change.path.name == "acknowledged":
            acknowledged += change.kind == "W"
        else:
            disk.apply(change)
        if moment in moments:
            for loss in LOSSES:
                where = folder / f"{moment} {loss}"
                survived = look(where, disk.after(loss, chance), folder / "disk", digests[: acknowledged + 2])
                lost = acknowledged - survived
                may_lose = durability == "fast" and loss != "nothing"
                assert lost <= 0 or may_lose, f"{where}: the last {lost} of {acknowledged} acknowledged verbs are lost"
                found[f"lost {loss}"] = max(found[f"lost {loss}"], lost)
    return found


def look(where: Path, files: dict[Path, bytes], folder: Path, digests: list[str]) -> int:
    """Opens the store on a rebuilt disk; returns after how many of the verbs until then it was as it is now."""
    for path, file in files.items():
        copy = where / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file)
    try:
        with SQLiteSessionService(where / "made" / "here" / "sessions.db", durability="fast") as service:
            digest = content(service)
            report = service.check()
            assert report.ok, f"{where}: {report}"
            service.search("question")
            service.append_event("after the cut", Event("user", "goes on"), create=True)
    except (SessionError, sqlite3.Error) as error:
        raise AssertionError(f"{where}: {error}") from error
    assert digest in digests, f"{where}: the store is as it never was"
    return len(digests) - 1 - digests[::-1].index(digest)


def try_it(folder: Path, length: Length) -> Tried:
    cuts = length.of(CUTS, at_least=4)
    rounds = min(ROUNDS, length.of(2 * ROUNDS))
    recorder = library(folder)
    full = cut(recorder, folder / "full", "full", rounds, cuts)
    fast = cut(recorder, folder / "fast", "fast", rounds, cuts)
    lost = max(fast[f"lost {loss}"] for loss in LOSSES)
    assert lost > 0 or cuts < ENOUGH, "the syncs that `fast` leaves out change nothing: the disks are not rebuilt well"
    return Tried(
        f"{full['verbs']} calls of the verbs that write; their {full['changes']:,} writes and syncs cut off at {cuts} "
        f"moments, with {len(LOSSES)} losses at each, for each durability",
        f"{2 * len(LOSSES) * cuts} disks, none damaged; `full`: 0 acknowledged calls lost; `fast`: the latest {lost} "
        "at most",
    )


def main(folder: str, durability: str, rounds: str) -> None:
    """Calls the verbs, under the recorder; with ``off`` SQLite syncs nothing, which the trial must find."""
    imported = export_to_import(Path(folder, "to import.jsonl"))
    acknowledged = os.open(Path(folder, "disk", "acknowledged"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    path = Path(folder, "disk", "made", "here", "sessions.db")
    digests: list[str] = []
    works = list(verbs(int(rounds), imported))
    half = len(works) // 2
    # Opened again and again, and moved into the file after a few pages, as long as it takes to cut that off as well;
    # then as it is used: with `fast` SQLite syncs nothing until a thousand pages are in the WAL.
    for begin, end in [*((begin, min(begin + 20, half)) for begin in range(0, half, 20)), (half, len(works))]:
        with SQLiteSessionService(path, durability="full" if durability == "full" else "fast") as service:
            with file_of(service).connection_to_write() as connection:
                if begin < half:
                    connection.execute("PRAGMA wal_autocheckpoint = 40")
                if durability == "off":
                    connection.execute("PRAGMA synchronous = OFF")
            digests = digests or [content(service)]
            for verb in works[begin:end]:
                if begin < half or verb.name != "checkpoint":
                    verb.call(service)
                digests.append(content(service))
                os.write(acknowledged, b".")
    says(digests)


TRIAL = Trial(
    "power-cuts",
    "A power cut takes nothing that was acknowledged with `full`, only the latest with `fast`, and damages nothing",
    try_it,
)

if __name__ == "__main__":
    main(*sys.argv[1:])
