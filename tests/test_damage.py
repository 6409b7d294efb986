"""A damaged value stops no verb: what can be answered without it is answered, and a check finds and mends it."""

from __future__ import annotations

import functools
import io
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from session_sqlite import (
    ANY,
    CorruptStoreError,
    Event,
    EventNotFoundError,
    Session,
    SessionNotFoundError,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    ToolCall,
    Usage,
)

# Values as another program, a bad disk or a bad hand leaves them; as SQL, so that each has exactly its type.
ANYWHERE: Final = {
    "no UTF-8": "CAST(x'ff61fe' AS TEXT)",
    "a blob": "x'00ff80'",
    "a blob of text": "CAST('user' AS BLOB)",
    "empty": "''",
    "NUL": "char(97, 0, 98)",
    "NULL": "NULL",
    "deep JSON": f"'{'[' * 3000}{']' * 3000}'",
}
NUMBERS: Final = {
    "a word": "'abc'",
    "half a number": "'5x'",
    "a large integer": "9223372036854775807",
    "a small integer": "-9223372036854775808",
    "a negative integer": "-3",
    "zero": "0",
    "a fraction": "2.5",
    "a huge float": "1e300",
    "infinity": "9e999",
    "less than all": "-9e999",
}
JSON: Final = {
    "an integer": "7",
    "a word": "'abc'",
    "broken JSON": "'{\"a\": [1,'",
    "a list": "'[1, 2]'",
    "an object": '\'{"name": 5, "$remove": 1}\'',
    "a list of objects": '\'[{"name": null}, {"id": 5, "name": {}}]\'',
    "NaN": "'{\"a\": NaN}'",
    "a number without an end": "'{\"a\": 1e999}'",
    "half a surrogate": '\'{"a": "\\ud800"}\'',
    "a deep object": "'" + '{"a":' * 150 + "1" + "}" * 150 + "'",
    "a long number": '\'{"a": ' + "9" * 5000 + "}'",
}
NUMBER_COLUMNS: Final = {"last_seq", "parent_seq", "seq", "supersedes", "indexed", "words"}
JSON_COLUMNS: Final = {"metadata", "initial_state", "actions", "state", "usage", "message", "value"}


def damage_of(column: str) -> dict[str, str]:
    if column in NUMBER_COLUMNS:
        return ANYWHERE | NUMBERS
    return ANYWHERE | (JSON if column in JSON_COLUMNS else {"a word": "'abc'", "a long text": "'" + "x" * 5000 + "'"})


COLUMNS: Final = {
    "sessions": ("id", "app_name", "user_id", "agent_id", "title", "metadata", "created_at", "updated_at", "last_seq",
                 "parent_id", "parent_seq", "initial_state"),
    "events": ("id", "session_id", "author", "content", "reasoning", "actions", "metadata", "created_at", "app_name",
               "user_id", "seq", "agent_id", "branch", "invocation_id", "state", "usage", "tool_call_id",
               "message_id", "message", "supersedes", "copied_from"),
    "state": ("app_name", "user_id", "session_id", "key", "value", "updated_at"),
    "search_progress": ("indexed", "words"),
    "title_words": ("app_name", "user_id", "word", "session_id"),
}  # fmt: skip
ROW: Final = {
    "sessions": "id = 's' AND user_id = 'default'",
    "events": "session_id = 's' AND user_id = 'default' AND seq = 3",
    "state": "session_id = 's' AND user_id = 'default' AND key = 'k'",
    "search_progress": "1",
    "title_words": "session_id = 's' AND user_id = 'default'",
}


@functools.cache
def a_store() -> bytes:
    """Two sessions of one user, one of another and a fork, with every kind of event, all of it indexed but the last."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "store.db")
        with SQLiteSessionService(path, durability="fast") as service:
            for id, user in (("s", "default"), ("t", "default"), ("s", "other")):
                session = service.create_session(
                    session_id=id, user_id=user, title="tea", agent_id="a", metadata={"m": 1},
                    state={"k": 1, "j": 2, "app:x": 1, "user:y": 2},
                )  # fmt: skip
                session.add_events([
                    Event("user", "one tea", id="e1", state={"k": 2}),
                    Event("assistant", "two", actions=[ToolCall("f", {"a": 1}, id="c1")], usage=Usage("m", 1, 2)),
                    Event("tool", "three", id="e3", actions=[ToolCall("f", id="c1")], metadata={"n": 1}),
                    Event("assistant", "four tea", usage=Usage("m", 3, 4), message_id="m4"),
                    Event("user", "five", state={"k": 3}, id="e5"),
                    Event("assistant", "six", actions=[ToolCall("g", id="c2", output="out")]),
                ])  # fmt: skip
            service.fork_session("t", session_id="fork")
            service.search("tea")
            service.append_event("s", Event("user", "seven tea", id="e7"))
            service.append_event("t", Event("user", "seven tea", id="e7"))
        return path.read_bytes()


def damaged(path: Path, table: str, column: str, value: str) -> bool:
    """A store with one damaged value at the path; False if SQLite refuses the value there."""
    path.write_bytes(a_store())
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"UPDATE {table} SET {column} = {value} WHERE {ROW[table]}")
    except sqlite3.IntegrityError:
        return False
    finally:
        connection.close()
    return True


NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
S: Final = Session("s")
Verb = Callable[[SQLiteSessionService, Path], Any]
READS: Final[dict[str, list[Verb]]] = {
    "get_session": [lambda s, p: s.get_session("s"), lambda s, p: s.get_session(S, user_id=ANY)],
    "list_sessions": [
        lambda s, p: s.list_sessions(),
        lambda s, p: s.list_sessions(metadata={"m": 1}, agent_id="a", app_name=ANY, user_id=ANY),
        lambda s, p: paged(lambda c: s.list_sessions(limit=1, cursor=c, user_id=ANY)),
        lambda s, p: s.list_sessions()._repr_html_(),
    ],
    "session_overviews": [
        lambda s, p: s.session_overviews(),
        lambda s, p: s.session_overviews()._repr_html_(),
        lambda s, p: paged(lambda c: s.session_overviews(limit=1, cursor=c, user_id=ANY)),
    ],
    "list_events": [
        lambda s, p: s.list_events("s"),
        lambda s, p: s.list_events("s", newest_first=True, author="user", since=NOW - timedelta(days=1)),
        lambda s, p: s.list_events("s", tool="f", agent_id="", branch="", invocation_id=""),
        lambda s, p: paged(lambda c: s.list_events("s", limit=1, after=c)),
        lambda s, p: paged(lambda c: s.list_events("s", limit=1, before=c, newest_first=True)),
        lambda s, p: s.list_events("s")._repr_html_(),
    ],
    "iter_events": [lambda s, p: list(s.iter_events("s")), lambda s, p: list(s.iter_events("s", newest_first=True))],
    "iter_event_chunks": [lambda s, p: list(s.iter_event_chunks("s", limit=3))],
    "last_events": [lambda s, p, n=n: s.last_events("s", n) for n in (0, 1, 2, 3, 5, 50)],
    "convert_events": [lambda s, p: s.convert_events("s", lambda event: event.content)],
    "get_state": [lambda s, p: s.get_state("s"), lambda s, p: dict(s.get_session("s").state)],
    "get_state_value": [lambda s, p: s.get_state_value("s", "k")],
    "search": [
        lambda s, p: s.search("tea"),
        lambda s, p: s.search("tea", session="s"),
        lambda s, p: s.search("te*", session="s", author="user", newest_first=True),
        lambda s, p: s.search("tea", fields="content", since=NOW - timedelta(days=999), user_id=ANY),
        lambda s, p: s.search("tea")._repr_html_(),
    ],
    "recall": [
        lambda s, p: s.recall("Which tea?"),
        lambda s, p: s.recall("Which tea?", session="s", author="user", since=NOW - timedelta(days=999)),
        lambda s, p: s.recall("tea", exclude_session="t", user_id=ANY)._repr_html_(),
    ],
    "search_sessions": [
        lambda s, p: s.search_sessions("tea", order="best"),
        lambda s, p: s.search_sessions("te", metadata={"m": 1}, agent_id="a", app_name=ANY, user_id=ANY),
        lambda s, p: paged(lambda c: s.search_sessions("t te", limit=1, cursor=c, user_id=ANY)),
        lambda s, p: paged(lambda c: s.search_sessions("te", order="best", limit=1, cursor=c, user_id=ANY)),
        lambda s, p: s.search_sessions("tea")._repr_html_(),
        lambda s, p: s.search_sessions("tea").to_dataframe(),
    ],
    "tool_calls": [
        lambda s, p: s.tool_calls(),
        lambda s, p: s.tool_calls("f", session="s", newest_first=True, limit=5, status="ok"),
        lambda s, p: s.tool_calls()._repr_html_(),
    ],
    "tool_counts": [lambda s, p: s.tool_counts(), lambda s, p: s.tool_counts(session="s", status="ok")],
    "last_seqs": [lambda s, p: s.last_seqs()],
    "usage": [lambda s, p: s.usage(["day", "month", "model", "session_id", "agent_id"]), lambda s, p: s.usage(())],
    "activity": [lambda s, p: s.activity(["day", "author", "user_id", "session_id"], user_id=ANY)],
    "reply_times": [lambda s, p: s.reply_times(), lambda s, p: s.reply_times(session="s")],
    "stats": [lambda s, p: s.stats(), lambda s, p: s.stats(app_name=ANY, user_id=ANY)],
    "mark_interrupted": [
        lambda s, p: s.mark_interrupted("s", ["m4", "e3", "nothing"], "CancelledError"),
        lambda s, p: s.mark_interrupted("s", ["m4", "e3"], ""),
    ],
    "find_messages": [lambda s, p: s.find_messages("s", ["m4", "e3", "e3:0", "nothing"])],
    "query": [lambda s, p: [s.query(f"SELECT * FROM {name}") for name in (*COLUMNS, "transcript", "session_overview")]],
    "export": [
        lambda s, p, f=f, w=w: s.export(io.StringIO(), format=f, session=w)
        for f in ("jsonl", "markdown", "html") for w in (None, "s")
    ],
    "check": [lambda s, p: str(s.check())],
    "backup": [lambda s, p: s.backup(p.with_name("backup.db"), overwrite=True)],
    "prune": [
        *(lambda s, p, n=n: s.prune(keep_last=n, dry_run=True) for n in (0, 1, 3)),
        lambda s, p: s.prune(older_than=timedelta(0), dry_run=True),
    ],
    "redact": [lambda s, p: s.redact("tea", dry_run=True)],
    "rewind_session": [
        lambda s, p: s.rewind_session("s", turns=2, dry_run=True),
        lambda s, p: s.rewind_session("s", to=2, dry_run=True),
    ],
    "scope": [lambda s, p: s.scope(user_id="other").list_events("s")],
    "db": [lambda s, p: s.db["events"].count],
    "history": [
        lambda s, p: SQLiteChatMessageHistory("s", service=s).messages,
        lambda s, p: SQLiteChatMessageHistory("s", service=s, limit=2).messages,
        lambda s, p: SQLiteChatMessageHistory("s", service=s, max_tokens=10).messages,
    ],
}  # fmt: skip
# In this order on one store, as far as one leaves the next something to do.
WRITES: Final[list[list[tuple[str, Verb]]]] = [
    [
        ("create_session", lambda s, p: s.create_session(session_id="s", exist_ok=True)),
        ("create_session", lambda s, p: s.create_session(state={"app:x": 2})),
        ("append_event", lambda s, p: s.append_event("s", Event("user", "new"))),
        ("append_events", lambda s, p: s.append_events("s", [Event("user", "seven tea", id="e7"), Event("user", "8")])),
        ("append_messages", lambda s, p: s.append_messages(
            "s", [Event("user", "new", message_id=id) for id in ("m4", "e3", "m9")]
        )),
        ("append_events", lambda s, p: s.append_events(
            "s", [Event("user", "9")], expected_seq=s.get_session("s").last_seq
        )),
        ("update_session", lambda s, p: s.update_session("s", title="new", agent_id="b")),
        ("update_session", lambda s, p: s.update_session("s", metadata={"n": 2})),
        ("update_state", lambda s, p: s.update_state("s", {"j": 9, "app:x": 3, "user:y": 4})),
        ("fork_session", lambda s, p: s.fork_session("s").events()),
        ("fork_session", lambda s, p: s.fork_session("s", at=4).events()),
        ("fork_session", lambda s, p: s.fork_session("s", at="e3").events()),
        ("import_", lambda s, p: export_and_import(s, p)),
        ("summarize_session", lambda s, p: s.summarize_session("s", lambda messages: "short", keep_last=2)),
        ("last_events", lambda s, p: s.last_events("s", 2)),
        ("redact", lambda s, p: s.redact("five", session="s")),
        ("prune", lambda s, p: s.prune(keep_last=3)),
        ("rewind_session", lambda s, p: s.rewind_session("s")),
        ("erase", lambda s, p: s.erase("s")),
    ],
    [
        ("summarize_session", lambda s, p: s.summarize_session("s", lambda messages: "short", keep_last=0)),
        ("redact", lambda s, p: s.redact("tea")),
        ("rewind_session", lambda s, p: s.rewind_session("s", to="e3")),
        ("rewind_session", lambda s, p: s.rewind_session("s", to=2)),
        ("rewind_session", lambda s, p: s.rewind_session("s", turns=99)),
        ("replace_events", lambda s, p: s.replace_events("s", [Event("user", "new")])),
        ("clear_session", lambda s, p: s.clear_session("s")),
        ("delete_session", lambda s, p: s.delete_session("s")),
    ],
    [
        ("prune", lambda s, p: s.prune(older_than=timedelta(0), keep_last=1)),
        ("prune", lambda s, p: s.prune(older_than=timedelta(0))),
        ("erase", lambda s, p: s.erase(user_id="default")),
        ("check", lambda s, p: s.check(repair=True)),
    ],
]  # fmt: skip
NO_VERB: Final = {"app_name", "user_id", "path", "closed", "close"}


def paged(read: Callable[[Any], Any]) -> list[Any]:
    """All that the pages have; a listing that never ends fails."""
    found: list[Any] = []
    cursor = None
    for _ in range(30):
        page = read(cursor)
        found += page
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError("the pages have no end")


def export_and_import(service: SQLiteSessionService, path: Path) -> Any:
    service.export(path.with_name("export.jsonl"))
    return service.import_(path.with_name("export.jsonl"), user_id="new"), service.import_(
        path.with_name("export.jsonl")
    )


def test_every_verb_is_tried() -> None:
    tried = {*READS, *(name for verbs in WRITES for name, _ in verbs)}
    public = {name for name in dir(SQLiteSessionService) if not name.startswith("_")}
    assert public - tried <= NO_VERB


@functools.cache
def whole() -> dict[str, Any]:
    """What the store says while nothing is damaged."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "store.db")
        path.write_bytes(a_store())
        with SQLiteSessionService(path) as service:
            assert service.check().ok
            return {id: (service.list_events(id), service.get_state(id), service.get_session(id)) for id in "st"}


def names_a_session(table: str, column: str) -> bool:
    return table == "sessions" and column in ("id", "app_name", "user_id")


CASES: Final = [(table, column) for table, columns in COLUMNS.items() for column in columns]


@pytest.mark.parametrize(("table", "column"), CASES)
def test_what_can_be_read_without_a_damaged_value_is_read(table: str, column: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    for name, value in damage_of(column).items():
        if not damaged(path, table, column, value):
            continue
        with SQLiteSessionService(path, durability="fast") as service:
            for verb, calls in READS.items():
                for number, call in enumerate(calls):
                    try:
                        call(service, path)
                    except SessionNotFoundError:
                        assert names_a_session(table, column), (name, verb, number)
                    except BaseException as error:
                        error.add_note(f"{name}: {verb}, {number}")
                        raise
            # The other session has all it had.
            events, state, session = whole()["t"]
            assert service.list_events("t") == events, name
            assert service.get_session("t") == session, name
            assert {hit.event.seq for hit in service.search("tea", session="t")} == {1, 4, 7}, name
            if table != "state":  # a damaged row may have become the user's or the app's
                assert service.get_state("t") == state, name
            # And of the damaged one all else is there.
            if names_a_session(table, column):
                continue
            events, state, _ = whole()["s"]
            intact = [event for event in events if table != "events" or event.seq != 3]
            assert [event for event in service.list_events("s") if event in intact] == intact, name
            assert [
                event for event in service.last_events("s", 50) if event in intact
            ] == intact or column == "supersedes"
            assert {1, 4, 7} <= {hit.event.seq for hit in service.search("tea", session="s")}, name
            assert {1, 4, 7} <= {hit.event.seq for hit in service.search("tea") if hit.session.id == "s"}, name
            if table != "state":
                assert service.get_state("s") == state, name
            else:
                assert service.get_state("s")["j"] == 2
            if column not in ("session_id", "app_name", "user_id"):
                assert len(service.list_events("s")) == len(events), name


@pytest.mark.parametrize(("table", "column"), CASES)
def test_no_verb_that_writes_breaks_on_a_damaged_value(table: str, column: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    for name, value in damage_of(column).items():
        for verbs in WRITES:
            if not damaged(path, table, column, value):
                continue
            with SQLiteSessionService(path, durability="fast") as service:
                for number, (verb, call) in enumerate(verbs):
                    try:
                        call(service, path)
                    except CorruptStoreError:
                        may = MAY_SAY_SO | ({(verb, column) for verb in EXTENDS} if column in NO_NUMBER else set())
                        assert (verb, column) in may, (name, verb)
                    except (SessionNotFoundError, EventNotFoundError):
                        assert column in ("id", "app_name", "user_id", "session_id"), (name, verb)
                    except BaseException as error:
                        error.add_note(f"{name}: {verb}, {number}")
                        raise


# Without its row, or the number in it, a session's events have places that a new one would be given again.
NO_NUMBER: Final = {"last_seq", "id", "app_name", "user_id"}
EXTENDS: Final = {"append_event", "append_events", "append_messages", "summarize_session", "replace_events", "import_"}
MAY_SAY_SO: Final = {("update_session", "metadata"), ("fork_session", "seq"), ("rewind_session", "seq")}


@pytest.mark.parametrize(("table", "column"), CASES)
def test_a_check_is_ok_only_if_all_can_be_read_and_appended_to(table: str, column: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    for name, value in damage_of(column).items():
        if not damaged(path, table, column, value):
            continue
        with SQLiteSessionService(path, durability="fast") as service:
            report = service.check()
            repaired = service.check(repair=True)
            after = service.check()
            assert repaired.ok == after.ok, name
            events, state, _ = whole()["s"]
            if report.ok:
                assert not any(event.unreadable for event in service.list_events("s")), name
                assert len(service.list_events("s")) == len(events), name
                if table != "state":
                    assert service.get_state("s").keys() == state.keys(), name
            if names_a_session(table, column):
                assert not report.ok, name
                continue
            before = service.get_session("s").last_seq
            assert service.append_event("s", Event("user", "new")).seq == max(before, 7) + 1, name
            assert service.search("new", session="s"), name
            assert column not in ("last_seq", "indexed") or after.ok, name


def changed(service: SQLiteSessionService, sql: str, *values: str) -> None:
    """Changes the file of a store as another program does."""
    assert service.path is not None
    with closing(sqlite3.connect(service.path)) as connection, connection:
        connection.execute(sql, values)


def test_of_what_is_sound_nothing_is_said(service: SQLiteSessionService, caplog: pytest.LogCaptureFixture) -> None:
    session = service.create_session(title="Tea", metadata={"a": [1]}, state={"k": 1}, agent_id="main")
    session.add_event("user", "hello", state={"k": 2})
    fork = service.fork_session(session)
    assert {found.id for found in service.list_sessions()} == {session.id, fork.id}
    assert [overview.session.id for overview in service.session_overviews()] == [fork.id, session.id]
    assert service.get_session(fork.id).parent_id == session.id
    assert (session.state["k"], session.state.get("none"), "none" in fork.state) == (2, None, False)
    assert caplog.records == []


def test_an_event_without_a_place_is_shown_with_none(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_event("user", "hello")
    changed(service, "UPDATE events SET seq = 'x'")
    [event] = session.events()
    assert (event.unreadable, event.seq) == (True, 0)


def test_json_of_another_program_is_read_however_it_writes_it(service: SQLiteSessionService) -> None:
    session = service.create_session(metadata={"a": 1})
    for text, value in (
        ('{"a":"\\ud83d\\ude00"}', {"a": "😀"}), (' {"a" : [1, 2.50] }\n', {"a": [1, 2.5]}),
        ('{"a":"\\u00e9"}', {"a": "é"}),
    ):  # fmt: skip
        changed(service, "UPDATE sessions SET metadata = ?", text)
        assert service.get_session(session.id).metadata == value
    for text in ('{"a":"\\ud83d"}', '{"a":"\\ude00\\ud83d"}', '{"a":1e999}', '{"a":-1e999}', '{"a":Infinity}'):
        changed(service, "UPDATE sessions SET metadata = ?", text)
        assert service.get_session(session.id).metadata == {}


@pytest.mark.parametrize(
    "metadata", ['{"interrupted":', '["interrupted"]', '{"interrupted":5}', "interrupted", '{"interrupted":"\\ud83d"}']
)
def test_a_list_says_nothing_of_an_end_that_it_cannot_read(service: SQLiteSessionService, metadata: str) -> None:
    session = service.create_session()
    session.add_event("user", "hello", metadata={"interrupted": "CancelledError"})
    assert [overview.interrupted for overview in service.session_overviews()] == ["CancelledError"]
    changed(service, "UPDATE events SET metadata = ?", metadata)
    assert [overview.interrupted for overview in service.session_overviews()] == [""]


DAMAGED_EVENTS: Final = [
    ("actions", "'[7]'"), ("actions", "'[{\"name\":\"Read\",\"error\":5}]'"), ("actions", "'[{\"name\":5}]'"),
    ("actions", "'[{\"name\":\"Read\",\"args\":[]}]'"), ("actions", "'[{\"name\":\"Read\",\"id\":7}]'"),
    ("state", "'7'"),
    ("usage", "'7'"), ("metadata", "'[]'"), ("seq", "'x'"), ("seq", "4611686018427387905"), ("seq", "0"), ("seq", "-1"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), DAMAGED_EVENTS)
def test_an_event_with_a_damaged_column_is_marked_and_no_model_is_shown_it(
    service: SQLiteSessionService, column: str, value: str
) -> None:
    session = service.create_session()
    session.add_event("user", "damaged", usage=Usage("m", 1, 2))
    changed(service, f"UPDATE events SET {column} = {value}")
    [event] = session.events()
    assert event.unreadable
    assert "damaged" in event.raw
    assert SQLiteChatMessageHistory(session.id, service=service).messages == []
