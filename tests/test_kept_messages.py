"""What a process keeps of a session's messages is never shown stale, and what it shows is the caller's own."""

from __future__ import annotations

import contextlib
import gc
import random
import shutil
import sqlite3
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks import conversation
from hypothesis import HealthCheck, given, settings
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from message_strategies import histories

from session_sqlite import (
    Event,
    Session,
    SessionError,
    SessionNotFoundError,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    ToolCall,
)
from session_sqlite.langchain import kept
from session_sqlite.langchain.turns import paired
from session_sqlite.langchain.window import EVERYTHING, Window
from session_sqlite.messages.langchain import messages_of

SESSION = "s"


@pytest.fixture
def service(path: Path) -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(path, durability="fast") as service:
        yield service


@pytest.fixture
def history(service: SQLiteSessionService) -> SQLiteChatMessageHistory:
    """A history whose messages are kept: it was read twice."""
    history = SQLiteChatMessageHistory(SESSION, service=service)
    history.add_messages(
        [
            SystemMessage("Be brief."),
            *conversation.messages(6),
            HumanMessage([{"type": "text", "text": "看"}]),
            AIMessage("a", additional_kwargs={"t": (1, 2)}),
        ]
    )
    assert same(history.messages, history.messages)
    assert is_kept(history)
    return history


def is_kept(history: SQLiteChatMessageHistory) -> bool:
    """Whether the next read takes from memory what has not changed."""
    sessions = kept._stores.get(history.service._database, {})
    return sessions.get(("default", "default", history.session_id, False)) is not None


def same(found: list[BaseMessage], expected: list[BaseMessage]) -> bool:
    """Whether messages are the same, with the order of their keys and what was set."""
    conversation.require_same(found, expected)
    return True


def stored(service: SQLiteSessionService, session: str = SESSION) -> list[BaseMessage]:
    """The messages as they are in the file, read without anything that is kept."""
    return messages_of(service.list_events(session, limit=None))


def sql(path: Path, *statements: str) -> list[int]:
    """Runs statements as a person with a shell does."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        return [connection.execute(statement).rowcount for statement in statements]


Change = Callable[[SQLiteSessionService, Path], Any]

CHANGES: dict[str, Change] = {
    "append": lambda s, _: s.append_event(SESSION, Event("user", "more")),
    "append many": lambda s, _: s.append_events(SESSION, conversation.events(40)),
    "append a call with its result": lambda s, _: s.append_event(
        SESSION, Event("assistant", actions=[ToolCall("Read", {"a": {"b": [1]}}, output={"c": None})])
    ),
    "rewind": lambda s, _: s.rewind_session(SESSION),
    "rewind and append as many": lambda s, _: s.append_events(
        SESSION, [Event("user", f"{event.seq}") for event in s.rewind_session(SESSION, to=3)]
    ),
    "clear": lambda s, _: s.clear_session(SESSION),
    "replace": lambda s, _: s.replace_events(SESSION, [Event("user", "other")] * 9),
    "redact": lambda s, _: s.redact("package", session=SESSION),
    "erase": lambda s, _: s.erase(SESSION),
    "delete": lambda s, _: s.delete_session(SESSION),
    "delete and make again": lambda s, _: (
        s.delete_session(SESSION), s.create_session(session_id=SESSION), s.append_events(SESSION, [Event("user")] * 9)
    ),
    "prune": lambda s, _: s.prune(keep_last=2),
    "summarize": lambda s, _: s.summarize_session(SESSION, lambda _: "in short", keep_last=2),
    "repair": lambda s, p: (
        sql(p, "PRAGMA foreign_keys = OFF", "UPDATE sessions SET last_seq = 2"), s.check(repair=True)
    ),
    "a changed text": lambda _, p: sql(p, "UPDATE events SET content = 'x' WHERE seq = 2"),
    "a changed text of the last": lambda _, p: sql(p, "UPDATE events SET content = 'x' WHERE seq = 9"),
    "a damaged row": lambda _, p: sql(p, "UPDATE events SET content = x'ff' WHERE seq = 3"),
    "a row without a place": lambda _, p: sql(p, "UPDATE events SET seq = 'x' WHERE seq = 9"),
    "a row less": lambda _, p: sql(p, "DELETE FROM events WHERE seq = 4"),
    "a row in another session": lambda s, p: (
        s.create_session(session_id="t"), sql(p, "UPDATE events SET session_id = 't' WHERE seq = 4")
    ),
    "a row between": lambda s, p: (
        sql(p, "DELETE FROM events WHERE seq = 4"), stored(s), SQLiteChatMessageHistory(SESSION, service=s).messages,
        sql(p, "INSERT INTO events (id, session_id, author, content, created_at, app_name, user_id, seq) VALUES"
               " ('new', 's', 'user', 'between', '2026-01-01T00:00:00.000000Z', 'default', 'default', 4)"),
    ),
    "no triggers": lambda _, p: sql(
        p, "DROP TRIGGER events_changed", "UPDATE events SET content = 'unseen' WHERE seq = 2"
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_by_another_process_shows_at_once(change: str, history: SQLiteChatMessageHistory, path: Path) -> None:
    with SQLiteSessionService(path, durability="fast") as other:
        CHANGES[change](other, path)
        for _ in range(3):  # as it is read again, as it is kept again
            with contextlib.suppress(Exception):
                assert same(history.messages, stored(other))
                continue
            assert history.messages == []  # the session is gone


@pytest.mark.parametrize("change", CHANGES)
def test_what_an_agent_begins_with_shows_each_change(
    change: str, service: SQLiteSessionService, history: SQLiteChatMessageHistory, path: Path
) -> None:
    window, session = Window(needs_ids=True), Session(SESSION, "default", "default")
    assert same(window.messages(service, session), window.messages(service, session))
    with SQLiteSessionService(path, durability="fast") as other:
        CHANGES[change](other, path)
        for _ in range(3):
            try:
                events = other.last_events(SESSION, EVERYTHING)
            except SessionNotFoundError:
                with pytest.raises(SessionNotFoundError):
                    window.messages(service, session)
                continue
            found = window.messages(service, session)
            assert same(found, paired(messages_of(map(kept.with_id, events))))
            assert all(message.id for message in found)


def test_changes_of_any_kind_and_order_show_at_once(
    service: SQLiteSessionService, history: SQLiteChatMessageHistory, path: Path
) -> None:
    chance = random.Random(7)
    gentle = [name for name in CHANGES if not name.startswith(("erase", "delete", "no triggers", "a ", "repair"))]
    with SQLiteSessionService(path, durability="fast") as other:
        for _ in range(40):
            change = chance.choice(gentle)
            with contextlib.suppress(SessionError):  # there is nothing to rewind to
                CHANGES[change](chance.choice([service, other]), path)
            assert same(history.messages, stored(other)), change
    history.add_message(HumanMessage("more"))
    assert same(history.messages, history.messages)
    assert is_kept(history)


def test_a_backup_that_takes_the_place_of_the_file_shows(path: Path, tmp_path: Path) -> None:
    with SQLiteSessionService(path) as service:
        history = SQLiteChatMessageHistory(SESSION, service=service)
        history.add_messages(conversation.messages(4))
        service.backup(tmp_path / "backup.db")
        history.add_messages(conversation.messages(4))
        assert len(history.messages) == len(history.messages) == 8
    store = kept._stores[service._database]
    shutil.copy(tmp_path / "backup.db", path)
    with SQLiteSessionService(path) as service:
        kept._stores[service._database] = store  # as if the service had seen the file change under it
        history = SQLiteChatMessageHistory(SESSION, service=service)
        history.add_messages(conversation.messages(4))
        assert same(history.messages, stored(service))


def test_an_import_into_a_gap_shows(service: SQLiteSessionService, path: Path, tmp_path: Path) -> None:
    history = SQLiteChatMessageHistory(SESSION, service=service)
    history.add_messages(conversation.messages(8))
    service.export(tmp_path / "all.jsonl")
    sql(path, "DELETE FROM events WHERE seq IN (2, 3)")
    assert len(history.messages) == len(history.messages) == 6
    service.import_(tmp_path / "all.jsonl")
    assert len(history.messages) == 8
    assert same(history.messages, stored(service))


def test_each_read_gives_messages_of_its_own(history: SQLiteChatMessageHistory) -> None:
    expected = history.messages

    def spoil(value: Any) -> None:
        if isinstance(value, dict):
            for inner in [*value.values()]:
                spoil(inner)
            value["spoiled"] = True
        elif isinstance(value, list):
            for inner in value:
                spoil(inner)
            value.append("spoiled")

    read = history.messages
    for message in read:
        for value in message.__dict__.values():
            spoil(value)
        message.content = "spoiled"
        message.__pydantic_fields_set__.add("spoiled")
        if message.__pydantic_extra__ is not None:
            message.__pydantic_extra__["spoiled"] = True
    read.clear()
    assert same(history.messages, expected)
    assert is_kept(history)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(messages=histories())
def test_every_message_comes_back_the_same_at_each_read(messages: list[BaseMessage]) -> None:
    with SQLiteSessionService(":memory:") as service:
        history = SQLiteChatMessageHistory(SESSION, service=service)
        for message in messages:
            history.add_message(message)
            first = stored(service)
            assert same(history.messages, first)
            assert same(history.messages, first)


def test_a_long_conversation_that_grows_is_read_right_at_each_turn(service: SQLiteSessionService) -> None:
    history = SQLiteChatMessageHistory(SESSION, service=service)
    messages = conversation.messages(80)
    for end in range(2, 81, 2):
        history.add_messages(messages[end - 2 : end])
        assert same(history.messages, messages[:end])
    entry = kept._stores[service._database]["default", "default", SESSION, False]
    assert entry is not None
    assert len(entry.parts) < 10


def test_a_session_that_is_read_once_is_not_kept(service: SQLiteSessionService) -> None:
    history = SQLiteChatMessageHistory(SESSION, service=service)
    history.add_message(HumanMessage("hello"))
    assert len(history.messages) == 1
    assert not is_kept(history)


def test_what_is_kept_has_an_end(service: SQLiteSessionService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_SESSIONS", 4)
    monkeypatch.setattr(kept, "MOST_BYTES", 10_000)
    histories = [SQLiteChatMessageHistory(str(number), service=service) for number in range(8)]
    for history in histories:
        history.add_messages(conversation.messages(4))
        assert same(history.messages, history.messages)
        sessions = kept._stores[service._database]
        assert len(sessions) <= 4
        assert sum(one.size for one in sessions.values() if one) <= 10_000
        assert is_kept(history)
    assert not is_kept(histories[0])
    histories[0].add_messages([HumanMessage("long" * 5_000)])
    assert same(histories[0].messages, histories[0].messages)
    assert not is_kept(histories[0])


def test_what_is_kept_goes_with_its_store(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        history = SQLiteChatMessageHistory(SESSION, service=service)
        history.add_message(HumanMessage("hello"))
        assert same(history.messages, history.messages)
        database = weakref.ref(service._database)
    del service, history
    gc.collect()
    assert database() is None
    assert all(store is not None for store in kept._stores)


def test_one_user_never_gets_what_was_kept_of_another(service: SQLiteSessionService) -> None:
    for user in ("a", "b"):
        history = SQLiteChatMessageHistory(SESSION, service=service.scope(user_id=user))
        history.add_message(HumanMessage(user))
        for _ in range(3):
            assert [message.content for message in history.messages] == [user]


def test_triggers_cost_an_append_nothing(service: SQLiteSessionService, history: SQLiteChatMessageHistory) -> None:
    def revision() -> int:
        return int(service.query("SELECT revision FROM sessions")[0]["revision"])

    before = revision()
    history.add_messages(conversation.messages(4))
    service.update_session(SESSION, title="t")
    assert revision() == before
    service.rewind_session(SESSION)
    assert revision() != before


def test_lost_triggers_are_found_and_made_again(
    service: SQLiteSessionService, history: SQLiteChatMessageHistory, path: Path
) -> None:
    expected = history.messages
    sql(path, "DROP TRIGGER events_changed", "UPDATE events SET content = 'unseen' WHERE seq = 2")
    (finding,) = [finding for finding in service.check() if finding.name == "triggers"]
    assert (finding.level, "events_changed" in finding.message) == ("error", True)
    assert [finding.name for finding in service.check(repair=True) if finding.repaired] == ["triggers"]
    assert history.messages[1].content == "unseen"
    assert len(history.messages) == len(expected)
    assert is_kept(history)


WRITER = """
import sys
from langchain_core.messages import HumanMessage, AIMessage
from session_sqlite import SQLiteChatMessageHistory, SQLiteSessionService
with SQLiteSessionService(sys.argv[1], durability="fast") as service:
    history = SQLiteChatMessageHistory("s", service=service)
    for line in sys.stdin:
        if line.startswith("rewind"):
            service.rewind_session("s")
        else:
            history.add_messages([HumanMessage(line), AIMessage(line)])
        print(len(service.list_events("s", limit=None)), flush=True)
"""


def test_a_chain_in_one_process_sees_each_change_of_another(history: SQLiteChatMessageHistory, path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        for step in range(12):
            writer.stdin.write("rewind\n" if step % 4 == 3 else f"{step}\n")
            writer.stdin.flush()
            count = int(writer.stdout.readline())
            assert len(history.messages) == count
            history.add_message(HumanMessage("mine"))
            assert history.messages[-1].content == "mine"
        writer.stdin.close()
