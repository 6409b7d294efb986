"""What the trials of disks do to a store: every verb that writes, again and again, always in the same order.

All names are given, so that a store that was cut off or that failed can be compared with one to which the same was done
in peace: `content` is what they have in common.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from session_sqlite import REMOVE, Event, SQLiteSessionService, ToolCall, Usage
from session_sqlite.sqlite.database import SQLiteDatabase

STATEMENTS: Final = (
    """
    SELECT app_name, user_id, id, agent_id, title, metadata, last_seq, initial_state, parent_id, parent_seq
    FROM sessions
    ORDER BY app_name, user_id, id
    """,
    """
    SELECT app_name, user_id, session_id, seq, author, content, reasoning, actions, metadata, agent_id, branch,
           invocation_id, state, usage, tool_call_id, message_id, message, supersedes, copied_from
    FROM events
    ORDER BY app_name, user_id, session_id, seq
    """,
    "SELECT app_name, user_id, session_id, key, value FROM state ORDER BY app_name, user_id, session_id, key",
)


class Verb:
    """A call of the service; ``repeats`` tells that calling it twice does what calling it once does."""

    def __init__(self, name: str, *args: Any, repeats: bool = True, **keywords: Any) -> None:
        self.name = name
        self.repeats = repeats
        self._args, self._keywords = args, keywords

    def __str__(self) -> str:
        return self.name

    def call(self, service: SQLiteSessionService) -> None:
        """Calls it."""
        if self.name == "checkpoint":
            with file_of(service).connection_to_write() as connection:
                connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        else:
            getattr(service, self.name)(*self._args, **self._keywords)


def file_of(service: SQLiteSessionService) -> SQLiteDatabase:
    """Returns what is behind a service: the trials set its SQLite."""
    assert isinstance(service._database, SQLiteDatabase)
    return service._database


def content(service: SQLiteSessionService) -> str:
    """A digest of everything in a store but times and the ids that it chose itself."""
    digest = hashlib.sha256()
    for statement in STATEMENTS:
        for row in service.query(statement):
            digest.update(repr(tuple(row.values())).encode())
    return digest.hexdigest()


def turn(number: int, chance: random.Random) -> list[Event]:
    """A question and an answer, with all that an event can have."""
    words = " ".join(f"word{chance.randrange(500)}" for _ in range(chance.choice((3, 30, 300))))
    return [
        Event("user", f"question {number} {words}", id=f"q{number}", metadata={"n": 1}, state={"user:last": number}),
        Event(
            "assistant", f"答案 {number} {words[:40]}", id=f"a{number}", reasoning=f"because {number}",
            actions=[ToolCall("Read", {"path": f"{number}.go"}, id=f"c{number}", output=words)],
            state={"step": number, "app:last": number}, usage=Usage("model", 10, 20), branch="main", invocation_id="i",
        ),
    ]  # fmt: skip


def verbs(rounds: int, imported: Path, *, turns: int = 6) -> Iterator[Verb]:
    """Yields the verbs, some thirty a round; `export_to_import` has made the file to import."""
    chance = random.Random(1)
    numbers = itertools.count(1)

    def append(session: str) -> Verb:
        return Verb("append_events", session, turn(next(numbers), chance), create=True)

    def one(session: str, event: Event) -> Verb:
        return Verb("append_event", session, event, create=True)

    for round in range(rounds):
        main, other, copy, gone = (f"{name} {round}" for name in ("main", "other", "copy", "gone"))
        state = {"step": 0, "user:u": round}
        yield Verb("create_session", session_id=main, title="T", metadata={"k": 1}, state=state, exist_ok=True)
        yield from (append(main) for _ in range(turns))
        yield Verb("search", "question")
        yield append(other)
        yield one(other, Event("user", "long " + "x" * 5_000 * turns, id=f"long {round}"))
        yield Verb("update_state", main, {"step": REMOVE, "kept": [1], "app:a": round})
        yield Verb("update_session", main, title="New", metadata={"k": REMOVE})
        yield Verb("fork_session", main, at=2, session_id=copy, repeats=False)
        yield append(copy)
        yield Verb("rewind_session", copy, to=2)
        yield Verb("search", "word1*")
        yield append(main)
        yield Verb("summarize_session", main, lambda older: "short", keep_last=2, repeats=False)
        yield Verb("redact", "question", replacement="q", session=copy)
        yield Verb("import_", imported)
        yield Verb("clear_session", other)
        yield append(other)
        yield Verb("delete_session", copy)
        yield Verb("checkpoint")
        yield append(main)
        yield append(gone)
        yield Verb("erase", gone, repeats=False)
        yield Verb("prune", keep_last=5)


def export_to_import(path: Path) -> Path:
    """Makes a file with sessions to import."""
    with SQLiteSessionService(":memory:") as service:
        service.create_session(session_id="imported", metadata={"from": "elsewhere"})
        service.append_events("imported", turn(0, random.Random(0)))
        service.export(path)
    return path
