"""Processes that are killed: at random moments, and by themselves in the middle of a transaction.

Three writers work on one file with everything that a store has, and note each append that returned in a file of their
own. After each round the store must be sound, with every noted append as it was returned, no gap in a session, no half
of a batch, and the newest must be found.

It would be broken by an answer before the COMMIT, by a batch or a fork of two transactions, by words that are indexed
apart from the mark, and by anything but the operating system that holds what was written.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from session_sqlite import REMOVE, Event, EventNotFoundError, SessionNotFoundError, SQLiteSessionService

from .processes import ended, forked, run, says
from .trials import Length, Trial, Tried, UnavailableError
from .verbs import file_of, turn

WRITERS: Final = 3
ROUNDS: Final = 60
ROUNDS_OF_A_FILE: Final = 6  # then a new one, whose first opening is killed as well
APPENDS: Final = 405  # of a round, so that all have 20,000
SHARED: Final = [f"shared {number}" for number in range(4)]


class Writer:
    """One of the processes: it writes until it is killed."""

    def __init__(self, path: Path, round: int, worker: int, *, early: bool) -> None:
        self._chance = random.Random(f"{round} {worker}")
        self._early = early
        self._name = f"{round}x{worker}"
        self._own = f"own {worker}"
        self._notes = os.open(path.with_suffix(f".{worker}.notes"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._service = SQLiteSessionService(path, durability="fast" if round % 2 else "full")
        self._service.create_session(session_id=self._own, exist_ok=True)
        with file_of(self._service).connection_to_write() as connection:
            connection.execute("PRAGMA cache_size = 10")  # transactions reach the WAL before they are committed
            if worker == 0:
                left = iter(range(self._chance.randint(1, 600), 0, -1))

                def step(statement: str) -> None:
                    if connection.in_transaction and next(left) == 1:
                        os.kill(os.getpid(), signal.SIGKILL)

                connection.set_trace_callback(step)

    def work(self) -> None:
        """Appends, and now and then does something else."""
        for number in range(100_000):  # if nobody kills it
            self._append(number)
            if self._chance.random() < 0.2:
                self._chance.choice([self._fork, self._state, self._own_session, self._search])(number)

    def _append(self, number: int) -> None:
        session = self._chance.choice(SHARED)
        if self._chance.random() < 0.2:
            question, answer = turn(number, self._chance)
            events = [question, answer]
        else:
            events = [Event("user", f"one of {number}", state={"last": number, "app:last": self._name})]
        named = [
            replace(
                event,
                id=f"{self._name}x{number}x{place}of{len(events)}",
                content=f"{event.content} {self._word(number)}",
            )
            for place, event in enumerate(events, start=1)
        ]
        if self._early:
            self._note(session, named)
        stored = self._service.append_events(session, named, create=True)
        if not self._early:
            self._note(session, stored)

    def _word(self, number: int) -> str:
        return f"w{self._name}x{number}"

    def _note(self, session: str, events: list[Event]) -> None:
        line = [session, [[event.id, event.seq, event.content] for event in events]]
        os.write(self._notes, json.dumps(line).encode() + b"\n")

    def _fork(self, number: int) -> None:
        session = self._chance.choice(SHARED)
        with suppress(SessionNotFoundError, EventNotFoundError):
            self._service.fork_session(session, at=2, session_id=f"fork {self._word(number)}")

    def _state(self, number: int) -> None:
        self._service.update_state(self._own, {"n": number, f"user:{self._name}": number, "gone": REMOVE})

    def _own_session(self, number: int) -> None:
        service, own = self._service, self._own
        verbs: list[Callable[[], object]] = [
            lambda: service.append_events(own, turn(number, self._chance)),
            lambda: service.rewind_session(own),
            lambda: service.clear_session(own),
            lambda: service.summarize_session(own, lambda older: "short", keep_last=1),
            lambda: service.redact("question", session=own),
            lambda: service.delete_session(own) if number % 10 else service.erase(own),  # which writes all anew
        ]
        self._chance.choice(verbs)()
        service.create_session(session_id=own, exist_ok=True)

    def _search(self, number: int) -> None:
        self._service.search(self._word(max(0, number - 1)))


def write(path: Path, round: int, worker: int, early: bool) -> None:
    Writer(path, round, worker, early=early).work()


def noted(path: Path) -> list[tuple[str, list[tuple[str, int, str]]]]:
    """What the writers of a file have noted; a note that a kill has cut off was not finished, so nobody knows of it."""
    notes = []
    for file in path.parent.glob(f"{path.stem}.*.notes"):
        notes += [json.loads(line) for line in file.read_text("utf-8").split("\n")[:-1]]
    return notes


def look(path: Path) -> None:
    """Demands what must hold after a kill."""
    notes = noted(path)
    with SQLiteSessionService(path) as service:
        report = service.check()
        assert report.ok, str(report)
        stored: dict[str, dict[str, tuple[int, str]]] = {}
        for session in service.list_sessions(limit=None):
            events = session.events()
            if session.id in SHARED:
                assert [event.seq for event in events] == list(range(1, session.last_seq + 1)), f"a gap in {session.id}"
            if session.id.startswith("fork "):
                assert len(events) == 2, f"a part of {session.id}"
            stored[session.id] = {event.id: (event.seq, event.content) for event in events}
            batches = Counter(id.rpartition("x")[0] for id in stored[session.id] if session.id in SHARED)
            for id in stored[session.id] if session.id in SHARED else ():
                name, _, place = id.rpartition("x")
                assert batches[name] == int(place.partition("of")[2]), f"a part of the batch {name}"
        for session_id, noted_events in notes:
            for id, seq, content in noted_events:
                found = stored[session_id].get(id)
                assert found is not None, f"{id} was acknowledged and is lost"
                assert found == (seq or found[0], content), f"{id} is not as it was returned"
        for _, noted_events in notes[-1:]:
            word = noted_events[0][2].rpartition(" ")[2]
            found_ids = {hit.event.id for hit in service.search(word)}
            assert {id for id, *_ in noted_events} <= found_ids, f"{word} is not found"
        service.append_event(SHARED[0], Event("user", "goes on", id=f"after {len(notes)}xgoes on x1of1"), create=True)


def count(path: Path) -> int:
    """How many appends the writers of a file have noted."""
    return sum(file.read_bytes().count(b"\n") for file in path.parent.glob(f"{path.stem}.*.notes"))


def one_round(path: Path, round: int, appends: int, *, early: bool) -> int:
    """Starts the writers of a file and kills them; returns how many killed themselves, in a transaction."""
    chance = random.Random(round)
    enough = count(path) + appends
    writers = [forked(write, path, round, worker, early) for worker in range(WRITERS)]
    # The first opening of a file makes its tables: this round ends within it.
    is_new = round % ROUNDS_OF_A_FILE == 0
    deadline = time.monotonic() + (chance.uniform(0, 0.1) if is_new else 300)
    inside = 0
    try:
        while time.monotonic() < deadline and count(path) < enough:
            time.sleep(0.01)
            died, status = os.waitpid(-1, os.WNOHANG)
            if died:
                writers.remove(died)
                assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "a writer ended with an error"
                inside += 1
    finally:
        left = []
        for writer in writers:
            time.sleep(chance.uniform(0, 0.03))
            os.kill(writer, signal.SIGKILL)
            left.append(ended(writer))
    assert set(left) <= {-signal.SIGKILL}, "a writer ended with an error"
    assert is_new or count(path) >= enough, "the writers hang"
    return inside


def try_it(folder: Path, length: Length) -> Tried:
    if not hasattr(os, "fork"):
        raise UnavailableError("it needs a system with fork and signals")
    rounds = length.of(ROUNDS, at_least=2)
    acknowledged, inside = run("kills", folder, rounds)
    return Tried(
        f"{rounds} rounds of {WRITERS} writers with all that a store has, killed with -9, {inside} of "
        f"{rounds * WRITERS} in a transaction and the others at any moment; {acknowledged:,} appends returned",
        "0 lost or changed, no gap, no half of a batch or a fork, file and search index sound after each round",
    )


def main(folder: str, rounds: str, early: str = "") -> None:
    """Runs the rounds; with ``early`` the writers note an append before it is made, which the trial must find."""
    inside = 0
    for round in range(1, int(rounds) + 1):
        path = Path(folder, f"{round // ROUNDS_OF_A_FILE}.db")
        inside += one_round(path, round, APPENDS, early=bool(early))
        look(path)
    says((sum(count(path) for path in Path(folder).glob("*.db")), inside))


TRIAL = Trial("kills", "A kill takes nothing that was acknowledged", try_it)

if __name__ == "__main__":
    main(*sys.argv[1:])
