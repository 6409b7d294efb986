"""Writes and syncs that fail: each one of a scenario in turn, by an error of the disk or because it is full.

A process opens a new store and calls every verb; one write or sync fails, once or until the disk is mended. The verb
must raise an error of ours or do without what failed; meanwhile the store reads as before that verb or after it. On
the mended disk the same service calls the same verb again, and in the end has what it would have in peace, also for
who opens it anew, and `check` finds nothing.

It would be broken by a driver's error that gets through, by an error that is taken for success, by a service that does
not go on after one, and by half of a verb.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

from session_sqlite import Event, SessionError, SQLiteSessionService

from .disk import CHANGES, SYNCS, BrokenDisk, library
from .processes import run, says
from .trials import Length, Trial, Tried
from .verbs import Verb, content, export_to_import, verbs


class Fault(NamedTuple):
    """How a change or a sync fails."""

    name: str
    error: int
    kind: int
    stays: bool


FAULTS: Final = (
    Fault("a write fails", errno.EIO, CHANGES, stays=False),
    Fault("the disk is full from a write on", errno.ENOSPC, CHANGES, stays=True),
    Fault("a sync fails", errno.EIO, SYNCS, stays=False),
    Fault("all syncs fail from one on", errno.EIO, SYNCS, stays=True),
)


class Scenario:
    """The verbs, and what a store has after each of them in peace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._verbs = list(verbs(1, export_to_import(folder.with_name("to import.jsonl")), turns=2))
        self._disk = BrokenDisk()
        self.seen: Counter[str] = Counter()
        self._digests: list[str] = []
        with self._opened() as service:
            self._digests.append(content(service))
            for verb in self._verbs:
                verb.call(service)
                self._digests.append(content(service))

    def _opened(self) -> SQLiteSessionService:
        return SQLiteSessionService(self._folder / "made" / "sessions.db")

    def fails(self, fault: Fault, at: int) -> bool:
        """Calls the verbs while one change or sync fails; returns False if there are not so many."""
        shutil.rmtree(self._folder / "made")
        self._failures = 0
        self._disk.breaks(at, fault.error, fault.kind, stays=fault.stays)
        service = self._open_new()
        for number, verb in enumerate(self._verbs):
            try:
                verb.call(service)
            except SessionError as error:
                self.seen[type(error).__name__] += 1
                assert content(service) in self._digests[number : number + 2], f"half of {verb}"
                service = self._again(service, verb, number, closes=bool(at % 2))
        self._mend()
        self._agrees(service)
        service.close()
        with self._opened() as service:
            self._agrees(service)
            service.append_event("main 0", Event("user", "goes on"))
        return self._failures > 0

    def _open_new(self) -> SQLiteSessionService:
        try:
            return self._opened()
        except SessionError as error:
            self.seen[type(error).__name__] += 1
        self._mend()
        return self._opened()

    def _mend(self) -> None:
        self._failures += self._disk.mended()

    def _again(self, service: SQLiteSessionService, verb: Verb, number: int, *, closes: bool) -> SQLiteSessionService:
        """Calls the verb that failed once more, on the disk as it is and on the mended one."""
        if self._is_missing(service, verb, number):
            with contextlib.suppress(SessionError):
                verb.call(service)
        if closes:
            service.close()
        self._mend()
        if closes:
            service = self._opened()
        if self._is_missing(service, verb, number):
            verb.call(service)
        assert content(service) == self._digests[number + 1], f"{verb} does not do on the mended disk what it does"
        return service

    def _is_missing(self, service: SQLiteSessionService, verb: Verb, number: int) -> bool:
        return verb.repeats or content(service) == self._digests[number]

    def _agrees(self, service: SQLiteSessionService) -> None:
        assert content(service) == self._digests[-1], "the store has not what it has in peace"
        report = service.check()
        assert report.ok, str(report)


def try_it(folder: Path, length: Length) -> Tried:
    (folder / "disk").mkdir()
    step = max(1, round(1 / length.share))
    environment = {"LD_PRELOAD": library(folder), "DISK_FOLDER": folder / "disk"}
    tried, errors = run("failing_writes", folder / "disk", step, environment=environment)
    assert all(tried.values()), tried
    return Tried(
        "; ".join(f"{name}: {count:,} times" for name, count in tried.items())
        + f", {'each' if step == 1 else f'one in {step}'} of a scenario with every verb that writes",
        f"{sum(errors.values()):,} errors, all ours; nothing acknowledged lost or half done, every service went on",
    )


def main(folder: str, step: str) -> None:
    """Breaks every ``step``-th change and sync, on the broken disk."""
    scenario = Scenario(Path(folder))
    tried: Counter[str] = Counter()
    for fault in FAULTS:
        for at in itertools.count(1 + int(step) // 3, int(step)):
            try:
                if not scenario.fails(fault, at):
                    break
            except BaseException as error:
                raise AssertionError(f"{fault.name}, number {at}: {error!r}") from error
            tried[fault.name] += 1
    says((tried, scenario.seen))


TRIAL = Trial(
    "failing-writes",
    "A write or a sync that fails is an error of ours, takes nothing that was acknowledged, and stops nothing",
    try_it,
)

if __name__ == "__main__":
    main(*sys.argv[1:])
