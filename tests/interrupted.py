"""A program that interrupts every verb of a service, and looks after each interrupt at what it left.

    python tests/interrupted.py FOLDER ROUNDS [VERB ...]

By signals at random moments of a verb (an interval timer, so a real interrupt of the main thread), or with ROUNDS
`steps` once at every step of Python that the verb takes in the SQLite backend.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from session_sqlite import Event, SQLiteSessionService, ToolCall

BACKEND = str(Path("session_sqlite", "sqlite"))
SECONDS = 10.0
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT max(i) FROM n"


def fill(service: SQLiteSessionService) -> None:
    for number in range(4):
        session = service.create_session(session_id=f"s{number}", exist_ok=True)
        for turn in range(6):
            batch(service, session.id, f"{number} {turn}")


def batch(service: SQLiteSessionService, id: str, text: str) -> None:
    """Appends two events and a state that belong together."""
    service.append_events(
        id,
        [
            Event("user", f"question {text}", state={"last": text, "user:last": text}),
            Event("assistant", f"answer {text}", actions=[ToolCall("Read", output="x")], state={"second": text}),
        ],
        create=True,
    )


class Trial:
    """A store, the verbs that are interrupted on it, and what must hold afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "sessions.db"
        self.service = SQLiteSessionService(self.path, durability="fast", busy_timeout=SECONDS)
        fill(self.service)
        self.exported = folder / "exported.jsonl"
        self.service.export(self.exported)
        self.number = 0
        self.other = sqlite3.connect(self.path, isolation_level=None, timeout=0)
        service = self.service
        self.verbs: dict[str, Callable[[], Any]] = {
            "append": lambda: service.append_event("s0", Event("user", "one", state={"last": "o", "second": "o"})),
            "batch": lambda: batch(service, "s1", str(self.number)),
            "create": lambda: service.create_session(session_id=f"made {self.number}", state={"k": 1}),
            "delete": lambda: service.delete_session(f"new {self.number - 1}"),
            "update": lambda: service.update_session("s0", title=str(self.number)),
            "state": lambda: service.update_state("s2", {"last": "x", "second": "x"}),
            "get state": lambda: service.get_state("s1"),
            "fork": lambda: service.fork_session("s1", session_id=f"fork {self.number}"),
            "rewind": lambda: service.rewind_session("s1", turns=1),
            "clear": lambda: service.clear_session("s3"),
            "prune": lambda: service.prune(older_than=timedelta(0), keep_last=2),
            "erase": lambda: service.erase(service.create_session(session_id=f"gone {self.number}")),
            "redact": lambda: service.redact("question", replacement="q"),
            "search": lambda: service.search("answer"),
            "list": service.list_sessions,
            "events": lambda: service.list_events("s1"),
            "last events": lambda: service.last_events("s1", 3),
            "query": lambda: service.query(COUNT, [20_000]),
            "db": lambda: service.db["events"].count,
            "stats": service.stats,
            "check": service.check,
            "backup": lambda: service.backup(folder / "copies" / "copy.db", overwrite=True),
            "export": lambda: service.export(folder / "again.jsonl"),
            "import": lambda: service.import_(self.exported),
            "summarize": lambda: service.summarize_session("s1", lambda messages: "short", keep_last=1),
            "open": lambda: SQLiteSessionService(self.path, durability="fast").close(),
        }

    def prepare(self, verb: str) -> None:
        self.number += 1
        if verb in {"rewind", "prune", "redact", "fork", "search", "summarize"}:
            batch(self.service, "s1", str(self.number))
        if verb == "delete":
            self.service.create_session(session_id=f"new {self.number - 1}", exist_ok=True)

    def clean(self) -> None:
        """Keeps the store small."""
        for session in self.service.list_sessions(limit=None):
            if not session.id.startswith("s") or session.last_seq > 400:
                session.delete()
        fill(self.service)

    def look(self, verb: str) -> None:
        """What must hold, whatever was interrupted."""
        self.other.execute("BEGIN IMMEDIATE")  # another process can write, at once
        self.other.execute("ROLLBACK")
        begin = time.monotonic()
        stored = self.service.append_event("after", Event("user", f"after {verb} {self.number}"), create=True)
        assert self.service.list_events("after", limit=1, newest_first=True)[0] == stored, "a read is stale"
        assert time.monotonic() - begin < SECONDS / 2, "a wait for a lock that nobody holds"
        one, two, last, second = self.other.execute(
            "SELECT (SELECT count(*) FROM events WHERE session_id = 's1' AND author = 'user'),"
            " (SELECT count(*) FROM events WHERE session_id = 's1' AND author = 'assistant'),"
            " (SELECT value FROM state WHERE session_id = 's1' AND key = 'last'),"
            " (SELECT value FROM state WHERE session_id = 's1' AND key = 'second')"
        ).fetchone()
        assert (one, last) == (two, second), f"half a batch: {one} {two} {last} {second}"
        gaps = self.other.execute(
            "SELECT id FROM sessions WHERE last_seq < (SELECT max(seq) FROM events WHERE session_id = sessions.id)"
        ).fetchall()
        assert gaps == []
        assert not list(self.folder.glob("**/.*.partial")), "half a backup"


def by_signals(trial: Trial, verb: str, rounds: int) -> int:
    """Interrupts a verb at random moments; returns how often it was not over by then."""
    chance = random.Random(verb)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    trial.prepare(verb)
    begin = time.perf_counter()
    trial.verbs[verb]()
    longest = max(time.perf_counter() - begin, 0.0005)
    interrupted = 0
    held = None
    for number in range(rounds):
        trial.prepare(verb)
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00002, longest * 1.1))
            trial.verbs[verb]()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt as error:
            held = error  # as a notebook does, with its traceback
            interrupted += 1
        finally:
            with contextlib.suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 0)
        trial.look(verb)
        if number % 50 == 49:
            trial.clean()
    del held
    return interrupted


class Stepper:
    """Raises `KeyboardInterrupt` at one step that Python takes in the backend."""

    def __init__(self, step: int) -> None:
        self.left = step

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        # Python 3.11 crashes when a trace function raises in a generator that is just being closed, or in `__del__`,
        # whose exceptions nobody would see.
        if (
            BACKEND not in frame.f_code.co_filename
            or frame.f_code.co_flags & inspect.CO_GENERATOR
            or frame.f_code.co_name == "__del__"
        ):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.trace


def apart(verb: Callable[[], Any]) -> Iterator[Any]:
    """Runs a verb where the exception that is being handled is forgotten with the generator.

    One that a trace function raises as an `except` is left stays the current one, with its traceback; signals do not
    come there.
    """
    yield verb()


def at_every_step(trial: Trial, verb: str) -> int:
    """Interrupts a verb once at each of its steps; returns how many there are."""
    step = 0
    held = None
    while True:
        step += 1
        trial.prepare(verb)
        stepper = Stepper(step)
        sys.settrace(stepper.trace)
        try:
            next(apart(trial.verbs[verb]))
        except KeyboardInterrupt as error:
            held = error
        finally:
            sys.settrace(None)
        trial.look(verb)
        if step % 50 == 49:
            trial.clean()
        if stepper.left > 0:
            del held
            return step


def main(folder: str, rounds: str, *verbs: str) -> None:
    trial = Trial(Path(folder))
    for verb in verbs or trial.verbs:
        begin = time.monotonic()
        count = at_every_step(trial, verb) if rounds == "steps" else by_signals(trial, verb, int(rounds))
        print(f"{verb}: {count} interrupts, {time.monotonic() - begin:.1f} s", flush=True)
    report = trial.service.check()
    assert report.ok, str(report)
    gc.collect()  # services whose opening was interrupted
    trial.service.close()
    trial.other.close()
    assert not trial.path.with_name("sessions.db-wal").exists()


if __name__ == "__main__":
    main(*sys.argv[1:])
