"""Backends with one fault each, to see that the contract which names the fault finds it, and no other contract does.

``python tests/wrong_backends.py`` runs on each the contracts of its subject, with their first case, and prints which
passed and which failed, as JSON. ``--all`` runs all contracts on each.
"""

from __future__ import annotations

import functools
import io
import json
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from session_sqlite import ANY, Event, Page, SQLiteChatMessageHistory, SQLiteSessionService, testing
from session_sqlite.testing.chat_histories import ChatHistoryContracts


class SkipsAPlace(SQLiteSessionService):
    """Gives the place after a batch to nobody if another thread appends at the same moment."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._inside = 0
        self._counting = threading.Lock()

    def append_events(self, session: Any, events: Iterable[Event], **options: Any) -> list[Event]:
        with self._counting:
            self._inside += 1
        try:
            stored: list[Event] = super().append_events(session, events, **options)
            if len(stored) > 1 and self._inside > 1:
                id = {"id": stored[0].session_id}
                skip = "UPDATE sessions SET last_seq = last_seq + 1 WHERE id = :id"
                self._database.write(lambda tx: tx.run(skip, id))
            return stored
        finally:
            with self._counting:
                self._inside -= 1


class SearchesAcrossUsers(SQLiteSessionService):
    """Forgets the user where a search names the app, too."""

    def search(self, query: str, *, app_name: Any = None, user_id: Any = None, **options: Any) -> Any:
        user_id = ANY if app_name is not None else user_id
        return super().search(query, app_name=app_name, user_id=user_id, **options)


class KeepsStateOfWhatIsRewound(SQLiteSessionService):
    """Takes the events after another one back, and leaves the state that they made."""

    def rewind_session(self, session: Any, *, to: Any = None, **options: Any) -> Any:
        before = self.get_state(session)
        gone = super().rewind_session(session, to=to, **options)
        if to is not None and gone and not options.get("dry_run"):
            self.update_state(session, before)
        return gone


class LosesMetadataInExports(SQLiteSessionService):
    """Writes a session to an export without its metadata."""

    def export(self, target: Any, **options: Any) -> Any:
        whole = io.StringIO()
        report = super().export(whole, **options)
        for line in whole.getvalue().splitlines():
            record = json.loads(line)
            if record["type"] == "session":
                record.pop("metadata", None)
            target.write(json.dumps(record, ensure_ascii=False) + "\n")
        return report


class EndsAPageTooEarly(SQLiteSessionService):
    """Filters the sessions of a page after it has read it, and takes a short page for the last one."""

    def list_sessions(self, *, metadata: Any = None, limit: int | None = 50, **options: Any) -> Any:
        if not metadata or limit is None:
            return super().list_sessions(metadata=metadata, limit=limit, **options)
        fitting = {session.id for session in super().list_sessions(metadata=metadata, limit=None)}
        page = super().list_sessions(limit=limit, **options)
        fits = [session for session in page if session.id in fitting]
        return Page(fits, page.next_cursor if len(fits) == limit else None)


class DropsWhatItKnows(SQLiteChatMessageHistory):
    """Leaves out a message that equals one that is there."""

    def add_messages(self, messages: Any) -> None:
        known = self.messages
        super().add_messages([message for message in messages if message not in known])


@dataclass(frozen=True)
class Fault:
    """A wrong class, the contracts of its subject, and the one that names what is wrong."""

    wrong: Any
    subject: type
    contract: str
    suite: type = field(default=testing.BackendContracts)


FAULTS = [
    Fault(SkipsAPlace, testing.ConcurrencyContracts, "test_threads_append_without_a_gap_and_lose_nothing"),
    Fault(SearchesAcrossUsers, testing.SearchContracts, "test_another_users_events_are_never_found"),
    Fault(
        KeepsStateOfWhatIsRewound,
        testing.CopyContracts,
        "test_a_fork_at_and_a_rewind_to_an_event_have_the_state_of_then",
    ),
    Fault(LosesMetadataInExports, testing.TransferContracts, "test_an_export_and_an_import_bring_back_every_field"),
    Fault(EndsAPageTooEarly, testing.SessionContracts, "test_a_filtered_list_has_full_pages"),
    Fault(
        DropsWhatItKnows, ChatHistoryContracts, "test_add_messages_adds_everything_it_is_given", ChatHistoryContracts
    ),
]
RIGHT = [
    Fault(SQLiteSessionService, testing.BackendContracts, ""),
    Fault(SQLiteChatMessageHistory, ChatHistoryContracts, "", ChatHistoryContracts),
]
NAMED = {fault.contract for fault in FAULTS}


@functools.cache
def empty_file() -> bytes:
    """An empty store: opening a copy is much quicker than making one."""
    with tempfile.TemporaryDirectory() as folder:
        SQLiteSessionService(Path(folder, "empty.db")).close()
        return Path(folder, "empty.db").read_bytes()


def runs(fault: Fault) -> type:
    """The contracts on a class, as an author of a backend or an adapter writes them."""

    class OnABackend(fault.suite):  # type: ignore[name-defined,misc]  # which suite is known at run time
        @pytest.fixture
        def service(self, path: Path) -> Iterator[Any]:
            path.write_bytes(empty_file())
            with fault.wrong(path, app_name="app", user_id="user", durability="fast") as service:
                yield service

        @pytest.fixture
        def open_history(self, path: Path) -> Any:
            return lambda session_id: fault.wrong(session_id, path)

    OnABackend.fault = fault  # type: ignore[attr-defined]  # read by `Chosen`
    return OnABackend


for _fault in [*FAULTS, *RIGHT]:
    globals()[f"Test{_fault.wrong.__name__}"] = runs(_fault)


class Chosen:
    """A plugin for pytest that leaves out what is not asked for, and notes what failed and what passed."""

    def __init__(self, everything: bool) -> None:
        self.everything = everything
        self.results: dict[str, dict[str, list[str]]] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keeps the first case of each contract of the subject, and on the right ones of those that name a fault."""
        first = {(item.cls, item.originalname): item for item in reversed(items)}
        if not self.everything:
            items[:] = [
                item
                for (cls, name), item in reversed(first.items())
                if (hasattr(cls.fault.subject, name) if cls.fault.contract else name in NAMED)
            ]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes a result under the class and the name of the contract."""
        if report.when == "call" or report.failed:
            cls, name = report.nodeid.split("::")[1:]
            of_class = self.results.setdefault(cls.removeprefix("Test"), {"passed": [], "failed": []})
            of_class["failed" if report.failed else "passed"].append(name.partition("[")[0])


if __name__ == "__main__":
    chosen = Chosen("--all" in sys.argv)
    # What is imported above may have a plugin of pytest, which then is not rewritten, and nothing of which is used.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    pytest.main([__file__, "-q", "-p", "no:cacheprovider", "--tb=line", *quiet], plugins=[chosen])
    print(json.dumps(chosen.results))
