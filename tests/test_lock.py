"""The port's lock: whatever writes to a session takes it before it reads anything of it.

SQLite has one writer at a time, so a verb that reads first is right there by luck. A server runs two transactions at
once, and so does `TwoAtOnce`: it gives the other one its turn between two steps of the first, wherever the first does
not hold the session.
"""

from __future__ import annotations

import inspect
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from session_sqlite import Event, SessionError, SessionService, SQLiteSessionService, ToolCall, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Params, Row, SearchIndex, Transaction

T = TypeVar("T")

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LATER = datetime(2021, 1, 1, tzinfo=UTC)
TAKING = ("UPDATE sessions", "DELETE FROM sessions", "INSERT INTO sessions")


def session_of(sql: str, params: Params) -> SessionKey | None:
    """The one session that a statement is about; None for the rows that sessions share, and for lists of sessions."""
    id = params.get("id" if "INSERT INTO sessions" in sql else "session_id")
    if not id or not {"app_name", "user_id"} <= params.keys():
        return None
    return SessionKey(params["app_name"], params["user_id"], id)


@dataclass
class TwoAtOnce:
    """A database in which another caller gets its turn before one step of the first, unless that holds the session.

    Attributes:
        database: Where both read and write.
        key: The session that both are about.
        other: What the other one does; it gets its turn once.
        turn: Before which step of those at which the first does not hold the session.
        steps: How many of these there were.
        faults: The statements that read, before the session was taken, in a transaction that then wrote to it.
    """

    database: Database
    key: SessionKey
    other: Callable[[], object] | None = None
    turn: int = -1
    steps: int = 0
    faults: list[str] = field(default_factory=list)
    current: Transaction | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)

    def step(self, tx: Transaction | None = None) -> None:
        """Gives the other one its turn, if it has come: within the transaction of the first, which holds nothing."""
        if self.other is None or self.current is not None:
            return
        self.steps += 1
        if self.steps - 1 == self.turn:
            other, self.other = self.other, None
            self.current = tx
            try:
                other()
            finally:
                self.current = None

    def read(self, sql: str, params: Params, make: Callable[[Row], T]) -> list[T]:
        """See `Database.read`."""
        if self.current is not None:
            return [make(row) for row in self.current.rows(sql, params)]
        self.step()
        return self.database.read(sql, params, make)

    def write(self, work: Callable[[Transaction], T], **how: Any) -> T:
        """See `Database.write`; a refusal of the first, which wrote nothing, does not take back what the other did."""
        if self.current is not None:
            return work(self.current)

        def watched(tx: Transaction) -> T | SessionError:
            observed = Observed(tx, self)
            try:
                return work(observed)
            except SessionError as error:
                if observed.has_written:
                    raise
                return error

        result = self.database.write(watched, **how)
        if isinstance(result, SessionError):
            raise result
        return result


class Observed:
    """A transaction that says at each step which sessions it has taken, and what it read before that."""

    def __init__(self, tx: Transaction, store: TwoAtOnce) -> None:
        self.tx = tx
        self.store = store
        self.taken: set[SessionKey] = set()
        self.read_untaken: dict[SessionKey, str] = {}
        self.has_written = False

    @property
    def index(self) -> SearchIndex | None:
        return self.tx.index

    @property
    def may_be_done(self) -> bool:
        return self.tx.may_be_done

    def lock(self, *keys: SessionKey) -> set[SessionKey]:
        self._step()
        self.taken.update(keys)
        return self.tx.lock(*keys)

    def rows(self, sql: str, params: Params) -> list[Row]:
        self._step()
        key = session_of(sql, params)
        if key is not None and key not in self.taken:
            self.read_untaken[key] = " ".join(sql.split())
        return self.tx.rows(sql, params)

    def advance(self, key: SessionKey, count: int, now: str) -> object:
        self._step()
        self._write("UPDATE sessions, and return its last_seq", key)
        last_seq = self.tx.advance(key, count, now)
        self.has_written |= last_seq is not None
        return last_seq

    def insert_events(self, rows: Sequence[Params]) -> None:
        for row in rows:
            self._write(queries.INSERT_EVENT, SessionKey(row["app_name"], row["user_id"], row["session_id"]))
        self.has_written = True
        self.tx.insert_events(rows)

    def run(self, sql: str, params: Params) -> int:
        self._step()
        key = session_of(sql, params)
        if key is not None:
            self._write(sql, key)
        changed = self.tx.run(sql, params)
        self.has_written |= changed > 0
        return changed

    def run_many(self, sql: str, params: Sequence[Params]) -> None:
        for each in params:
            key = session_of(sql, each)
            if key is not None:
                self._write(sql, key)
        self.has_written = True
        self.tx.run_many(sql, params)

    def _step(self) -> None:
        if self.store.key not in self.taken:
            self.store.step(self.tx)

    def _write(self, sql: str, key: SessionKey) -> None:
        if key not in self.taken and sql.lstrip().startswith(TAKING):
            self.taken.add(key)
        if key not in self.taken:
            self.store.faults.append(f"writes before it has taken {key}: {' '.join(sql.split())}")
        if key in self.read_untaken:
            self.store.faults.append(f"read {key} before it took it: {self.read_untaken.pop(key)}")


# ---------------------------------------------------------------- the verbs

KEY = SessionKey("app", "user", "s")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that has the session "s", and an export of the same with one more event."""
    folder = tmp_path_factory.mktemp("lock")
    with SQLiteSessionService(folder / "filled.db", app_name="app", user_id="user") as service:
        fill(service)
    with SQLiteSessionService(":memory:", app_name="app", user_id="user") as service:
        fill(service)
        service.append_events("s", [Event("user", "from elsewhere", id="elsewhere")])
        service.export(folder / "export.jsonl")
    return folder


def fill(service: SessionService) -> None:
    """A session with three turns, a call with its result, state, and ids that everybody knows."""
    service.create_session(
        session_id="s", title="the first", metadata={"kept": 1}, state={"step": 0, "own": "secret", "user:l": "z"}
    )
    events = []
    for turn in range(3):
        calls = [ToolCall("find", {"turn": turn}, id=f"call-{turn}")]
        events += [
            Event("user", f"question {turn} secret", id=f"q{turn}", created_at=LONG_AGO),
            Event("assistant", actions=calls, state={"step": turn + 1}, id=f"a{turn}", created_at=LONG_AGO),
            Event("tool", "found", actions=[ToolCall("find", id=f"call-{turn}")], id=f"t{turn}", created_at=LONG_AGO),
            Event("assistant", f"answer {turn}", id=f"m{turn}", message_id=f"message-{turn}", created_at=LONG_AGO),
        ]
    service.append_events("s", events)


Verb = Callable[[SessionService, Path], object]

WRITES: dict[str, dict[str, Verb]] = {
    "create_session": {
        "of an id that is taken": lambda service, _: service.create_session(session_id="s", title="mine"),
        "unless it is there": lambda service, _: service.create_session(session_id="s", exist_ok=True, state={"a": 1}),
        "of a new id": lambda service, _: service.create_session(session_id="new", state={"a": 1}),
    },
    "update_session": {
        "title": lambda service, _: service.update_session("s", title="the second"),
        "metadata": lambda service, _: service.update_session("s", metadata={"more": 2}),
    },
    "delete_session": {"": lambda service, _: service.delete_session("s")},
    "clear_session": {"": lambda service, _: service.clear_session("s")},
    "append_event": {"": lambda service, _: service.append_event("s", Event("user", "one more", state={"step": 9}))},
    "append_events": {
        "plain": lambda service, _: service.append_events("s", [Event("user", "x"), Event("assistant", "y")]),
        "with an id": lambda service, _: service.append_events("s", [Event("user", "x", id="mine")]),
        "one of them again": lambda service, _: service.append_events(
            "s", [Event("user", "question 0 secret", id="q0", created_at=LONG_AGO), Event("user", "x")]
        ),
        "at a seq": lambda service, _: service.append_events("s", [Event("user", "x")], expected_seq=12),
        "to a new session": lambda service, _: service.append_events("new", [Event("user", "x")], create=True),
        "nothing": lambda service, _: service.append_events("s", []),
    },
    "replace_events": {"": lambda service, _: service.replace_events("s", [Event("user", "instead")])},
    "append_messages": {
        "a new one": lambda service, _: service.append_messages("s", [Event("user", "x", message_id="new")]),
        "an edited one": lambda service, _: service.append_messages(
            "s", [Event("assistant", "edited", message_id="message-1")]
        ),
        "in place of another": lambda service, _: service.append_messages(
            "s", [Event("assistant", "whole", message_id="new")], instead_of={"new": "message-1"}
        ),
        "to a new session": lambda service, _: service.append_messages(
            "new", [Event("user", "x", message_id="new")], create=True
        ),
    },
    "mark_interrupted": {"": lambda service, _: service.mark_interrupted("s", ["message-1"], "CancelledError")},
    "update_state": {
        "a key": lambda service, _: service.update_state("s", {"step": 7, "app:name": "a"}),
        "nothing": lambda service, _: service.update_state("s", {}),
    },
    "fork_session": {
        "whole": lambda service, _: service.fork_session("s", session_id="copy"),
        "at an event": lambda service, _: service.fork_session("s", at=6, session_id="copy"),
    },
    "rewind_session": {
        "a turn": lambda service, _: service.rewind_session("s"),
        "to an event": lambda service, _: service.rewind_session("s", to=6),
    },
    "summarize_session": {"": lambda service, _: service.summarize_session("s", lambda _: "in short", keep_last=4)},
    "prune": {
        "what is old": lambda service, _: service.prune(older_than=LATER),
        "all but the last": lambda service, _: service.prune(keep_last=4),
        "what is old but for the last": lambda service, _: service.prune(older_than=LATER, keep_last=4),
    },
    "erase": {
        "a session": lambda service, _: service.erase("s"),
        "a user": lambda service, _: service.erase(user_id="user"),
    },
    "redact": {"": lambda service, _: service.redact("secret", session="s")},
    "import_": {"": lambda service, files: service.import_(files / "export.jsonl")},
}
READS = {
    "activity", "backup", "check", "close", "convert_events", "export", "find_messages", "get_session", "get_state",
    "get_state_value", "iter_event_chunks", "iter_events", "last_events", "last_seqs", "list_events", "list_sessions",
    "query", "recall", "reply_times", "scope", "search", "search_sessions", "session_overviews", "stats",
    "tool_calls", "tool_counts", "usage",
}  # fmt: skip
CASES = [pytest.param(verb, id=f"{name} {what}".strip()) for name in WRITES for what, verb in WRITES[name].items()]
ANEW = [Event(author, "young secret") for author in ("user", "assistant") * 3]
OTHERS: dict[str, Callable[[SessionService], object]] = {
    "appends": lambda service: service.append_events("s", [Event("user", "the other's"), Event("assistant", "too")]),
    "rewinds": lambda service: service.rewind_session("s"),
    "deletes": lambda service: service.delete_session("s"),
    "makes it anew": lambda service: (service.delete_session("s"), service.replace_events("s", ANEW)),
    "updates": lambda service: (
        service.update_session("s", title="the other's", metadata={"other": 1}),
        service.update_state("s", {"step": "the other's", "other": 1}),
    ),
}


def public_verbs() -> set[str]:
    return {name for name, _ in inspect.getmembers(SessionService, inspect.isfunction) if not name.startswith("_")}


def test_every_verb_of_the_service_is_known_to_write_or_to_read() -> None:
    assert WRITES.keys() | READS == public_verbs()
    assert not WRITES.keys() & READS
    for name in READS:
        assert "_database.write" not in inspect.getsource(getattr(SessionService, name))


@pytest.fixture
def opened(files: Path, tmp_path: Path) -> Iterator[Callable[[], SQLiteSessionService]]:
    """A function that opens one more store with the session "s"."""
    services: list[SQLiteSessionService] = []

    def open_one() -> SQLiteSessionService:
        path = tmp_path / f"{len(services)}.db"
        shutil.copyfile(files / "filled.db", path)
        services.append(SQLiteSessionService(path, app_name="app", user_id="user", durability="fast"))
        return services[-1]

    yield open_one
    for service in services:
        service.close()


def attempt(act: Callable[[], object]) -> str:
    """Does something that may be refused; returns by which error."""
    try:
        act()
    except SessionError as error:
        return type(error).__name__
    return ""


def picture(service: SessionService) -> str:
    """All that is in a store, without ids and times that are new each time."""
    sessions = []
    for session in sorted(service.list_sessions(limit=None), key=lambda session: session.id):
        events = [
            (event.seq, event.author, event.content, event.actions, event.state, event.metadata, event.supersedes)
            for event in service.list_events(session)
        ]
        initial = service.query("SELECT initial_state FROM sessions WHERE id = ?", [session.id])
        found = (session.id, session.title, session.metadata, session.last_seq, service.get_state(session))
        sessions.append((*found, initial, events, len(service.search("secret", session=session))))
    state = service.query("SELECT session_id, key, value FROM state ORDER BY session_id, key")
    return json.dumps([sessions, state], indent=1, default=repr)


@pytest.mark.parametrize("verb", CASES)
def test_a_verb_takes_a_session_before_it_reads_what_it_then_changes(
    verb: Verb, opened: Callable[[], SQLiteSessionService], files: Path
) -> None:
    service = opened()
    service._database = store = TwoAtOnce(service._database, KEY)
    attempt(lambda: verb(service, files))
    assert store.faults == []


# Their callbacks run outside of any transaction; what was changed meanwhile is found out when they store something.
IN_STEPS = {"redact", "summarize_session"}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("verb", [case for case in CASES if str(case.id).partition(" ")[0] not in IN_STEPS])
def test_two_that_change_a_session_at_once_do_so_one_after_the_other(
    verb: Verb, other: str, opened: Callable[[], SQLiteSessionService], files: Path
) -> None:
    """Whenever the other one gets its turn, the store is as if one had come after the other."""
    before, after, alone = opened(), opened(), opened()
    attempt(lambda: OTHERS[other](before))
    attempt(lambda: verb(before, files))
    attempt(lambda: verb(after, files))
    attempt(lambda: OTHERS[other](after))
    attempt(lambda: OTHERS[other](alone))
    possible = {picture(before), picture(after)}
    for turn in itertools.count():
        service = opened()
        if not interleave(service, verb, OTHERS[other], turn, files, possible, picture(alone)):
            break  # the first holds the session from here on


def interleave(
    service: SQLiteSessionService,
    verb: Verb,
    other: Callable[[SessionService], object],
    turn: int,
    files: Path,
    possible: set[str],
    alone: str,
) -> bool:
    """Gives the other one its turn once, and compares what comes of both; False if it had to wait till the end."""
    real = service._database
    service._database = store = TwoAtOnce(real, KEY, lambda: attempt(lambda: other(service)), turn)
    refused = attempt(lambda: verb(service, files))
    service._database = real
    if store.other is not None:
        return False
    assert picture(service) in (possible | {alone} if refused else possible), f"in turn {turn}"
    return True
