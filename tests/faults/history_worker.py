"""One process of a history: it writes to sessions and reads them, and logs each call before and each answer after it.

``python history_worker.py FILE_OR_URL PROCESS LOG`` reads one line of JSON for each round and says "done" after it. A
line of the log is ``["call", number, time, kind, session, asked]`` or ``["answer", number, time, answer]``.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from session_sqlite import (
    Event,
    SessionNotFoundError,
    SessionService,
    SQLAlchemySessionService,
    SQLiteSessionService,
    StoreError,
)

WORD: Final = "kettle"  # in each event, for the searches
SESSIONS: Final = 3  # of a round; events are taken back in the first alone
KINDS: Final = {"append": 50, "list": 9, "tail": 9, "after": 9, "state": 8, "last_seq": 7, "search": 5}
UNKNOWN: Final = object()
PATIENCE: Final = 60.0  # seconds that an append is tried again


def opened(place: str) -> SessionService:
    """The store at a path or a URL."""
    kind: Any = SQLAlchemySessionService if "://" in place else SQLiteSessionService
    service: SessionService = kind(place, app_name="app", user_id="user")
    return service


class Worker:
    """What one process does, and its log."""

    def __init__(self, service: SessionService, process: str, log: Path) -> None:
        self._service = service
        self._process = process
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._number = 0
        self._events = 0

    def run(self, order: dict[str, Any]) -> None:
        """Does one round: ``count`` operations, the append that a killed process left behind first."""
        random_ = random.Random(order["seed"])
        if order["again"]:
            session, ids = order["again"]
            self._append(session, ids)
        kinds = KINDS | ({"rewind": 8} if order["rewinds"] else {})
        for _ in range(order["count"]):
            kind = random_.choices(list(kinds), list(kinds.values()))[0]
            session = f"{order['round']}-{0 if kind == 'rewind' else random_.randrange(SESSIONS)}"
            if kind == "append":
                ids = [self._new_id() for _ in range(random_.choice((1, 1, 1, 2, 3)))]
                self._append(session, ids)
            else:
                few = random_.choice((1, 2, 5))
                asked = {"tail": few, "search": few, "rewind": few, "after": random_.randrange(1, 60)}.get(kind)
                self._ask("tail" if kind == "search" else kind, session, asked, _CALLS[kind])

    def _new_id(self) -> str:
        self._events += 1
        return f"{self._process}:{self._events}"

    def _append(self, session: str, ids: list[str]) -> None:
        """Appends events, and tries again with the same ids until the store has them."""
        events = [Event("user", f"{WORD} {id}", id=id, state={"last": id}) for id in ids]
        deadline = time.monotonic() + PATIENCE
        number = self._call("append", session, ids)
        while True:
            try:
                stored = self._service.append_events(session, events, create=True)
            except StoreError:
                if time.monotonic() > deadline:
                    raise
                continue
            self._answer(number, [event.seq for event in stored])
            return

    def _ask(self, kind: str, session: str, asked: Any, ask: Callable[[SessionService, str, Any], Any]) -> None:
        number = self._call(kind, session, asked)
        try:
            self._answer(number, ask(self._service, session, asked))
        except SessionNotFoundError:
            self._answer(number, {"state": None, "last_seq": 0}.get(kind, []))
        except StoreError:  # the server is gone: no answer
            return

    def _call(self, kind: str, session: str, asked: Any) -> int:
        self._number += 1
        self._write(["call", self._number, time.monotonic_ns(), kind, session, asked])
        return self._number

    def _answer(self, number: int, answer: Any) -> None:
        self._write(["answer", number, time.monotonic_ns(), answer])

    def _write(self, line: list[Any]) -> None:
        os.write(self._log, (json.dumps(line) + "\n").encode())


def _placed(events: list[Event]) -> list[tuple[int, str]]:
    """The events with their ids, as their texts say them too."""
    return [(event.seq, event.id if event.content == f"{WORD} {event.id}" else repr(event)) for event in events]


_CALLS: Final[dict[str, Callable[[SessionService, str, Any], Any]]] = {
    "list": lambda service, session, _: _placed(service.list_events(session)),
    "tail": lambda service, session, n: _placed(service.last_events(session, n)),
    "after": lambda service, session, seq: _placed(service.list_events(session, after=seq)),
    "search": lambda service, session, n: _placed(
        [hit.event for hit in service.search(WORD, session=session, newest_first=True, limit=n)][::-1]
    ),
    "rewind": lambda service, session, turns: _placed(service.rewind_session(session, turns=turns)),
    "state": lambda service, session, _: service.get_state(session).get("last"),
    "last_seq": lambda service, session, _: service.get_session(session).last_seq,
}


def main() -> None:
    """Does a round for each line of the standard input."""
    place, process, log = sys.argv[1:]
    with opened(place) as service:
        worker = Worker(service, process, Path(log))
        print("ready", flush=True)
        for line in sys.stdin:
            worker.run(json.loads(line))
            print("done", flush=True)


if __name__ == "__main__":
    main()
