"""A backup is the store as of one moment; a check names every fault and changes nothing unless it is told to."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from session_sqlite import Event, InvalidInputError, SQLiteSessionService, StoreClosedError, ToolCall
from session_sqlite.errors import StoreError
from session_sqlite.messages.langchain import message_to_event
from session_sqlite.sqlite import maintenance

posix = pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
TABLES = ("sessions", "events", "state")


def dump(service: SQLiteSessionService) -> dict[str, list[dict[str, Any]]]:
    return {table: service.query(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in TABLES}


def fill(service: SQLiteSessionService) -> None:
    for number in range(3):
        session = service.create_session(session_id=f"s{number}", state={"k": number, "user:u": 1})
        session.add_events(
            [
                Event("user", f"请帮我分析代码 {number}", state={"step": number}),
                Event("assistant", "好的", reasoning="先看入口", actions=[ToolCall("Read", {"path": "x"}, output="y")]),
                message_to_event(AIMessage("done")),
            ]
        )
    service.search("代码")


def raw(path: Path, *statements: str) -> None:
    """What another program does to the file, without foreign keys."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


# ---------------------------------------------------------------- backup


def test_a_backup_is_an_equal_store(service: SQLiteSessionService, tmp_path: Path) -> None:
    fill(service)
    target = service.backup(tmp_path / "copies" / "of" / "it.db")
    assert target == tmp_path / "copies" / "of" / "it.db"
    assert [file.name for file in target.parent.iterdir()] == ["it.db"]
    with SQLiteSessionService(target) as copy:
        assert dump(copy) == dump(service)
        assert len(copy.search("代码")) == 3
        assert copy.check().ok
        copy.get_session("s0").add_event("user", "only in the copy")
    assert not service.search("only in the copy")
    with SQLiteSessionService(service.backup(str(tmp_path / "text.db")), read_only=True) as copy:
        assert dump(copy) == dump(service)
    assert service.backup(os.fsencode(tmp_path / "bytes?.db")).name == "bytes?.db"  # type: ignore[arg-type]


@posix
def test_a_backup_is_private_whatever_the_umask(service: SQLiteSessionService, tmp_path: Path) -> None:
    fill(service)
    before = os.umask(0)
    try:
        target = service.backup(tmp_path / "new" / "copy.db")
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700


@posix
def test_a_backup_over_an_open_file_is_private_too(service: SQLiteSessionService, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("something")
    target.chmod(0o644)
    assert stat.S_IMODE(service.backup(target, overwrite=True).stat().st_mode) == 0o600


def test_a_backup_is_never_made_over_a_file_unless_told(service: SQLiteSessionService, tmp_path: Path) -> None:
    fill(service)
    target = tmp_path / "copy.db"
    target.write_bytes(b"precious")
    with pytest.raises(InvalidInputError, match="overwrite"):
        service.backup(target)
    assert target.read_bytes() == b"precious"
    service.backup(target, overwrite=True)
    with SQLiteSessionService(target, read_only=True) as copy:
        assert dump(copy) == dump(service)
    service.get_session("s0").add_event("user", "more")
    service.backup(target, overwrite=True)
    with SQLiteSessionService(target) as copy:
        assert dump(copy) == dump(service)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_store_is_not_backed_up_onto_itself(overwrite: bool, service: SQLiteSessionService, path: Path) -> None:
    fill(service)
    before = dump(service)
    link = path.with_name("link.db")
    link.symlink_to(path)
    hard = path.with_name("hard.db")
    os.link(path, hard)
    names = [path, link, hard, path.parent / "." / path.name, f"{path}-wal", f"{path}-journal", path.parent]
    for name in names:
        with pytest.raises(InvalidInputError):
            service.backup(name, overwrite=overwrite)
    assert dump(service) == before
    assert service.check().ok


@pytest.mark.parametrize("target", ["", b"", None, 3, "a\0b"])
def test_what_names_no_file_is_refused(target: Any, service: SQLiteSessionService) -> None:
    with pytest.raises(InvalidInputError):
        service.backup(target)


KILLED = """
import os, sys
from session_sqlite import SQLiteSessionService
service = SQLiteSessionService(sys.argv[1])
session = service.create_session(session_id="of a store that was not closed")
for number in range(50):
    session.add_event("user", str(number))
os._exit(0)
"""


@pytest.mark.parametrize("main_file_is_there", [True, False])
def test_a_backup_does_not_get_another_store_s_wal(
    main_file_is_there: bool, service: SQLiteSessionService, tmp_path: Path
) -> None:
    """SQLite would take what a killed process left in the WAL for the newest state of the backup."""
    fill(service)
    target = tmp_path / "copy.db"
    subprocess.run([sys.executable, "-c", KILLED, str(target)], check=True)
    if not main_file_is_there:
        target.unlink()
    with pytest.raises(InvalidInputError, match="wal"):
        service.backup(target, overwrite=True)
    if main_file_is_there:
        with SQLiteSessionService(target) as other:  # nothing of it was lost
            assert len(other.get_session("of a store that was not closed").events()) == 50
        service.backup(target, overwrite=True)
        with SQLiteSessionService(target) as copy:
            assert dump(copy) == dump(service)


IDLE = """
import sys
from session_sqlite import SQLiteSessionService
with SQLiteSessionService(sys.argv[1]) as service:
    print("open", flush=True)
    sys.stdin.read()
    service.create_session(session_id="of the other process")
"""


def test_a_store_that_is_open_is_not_overwritten_by_a_backup(service: SQLiteSessionService, tmp_path: Path) -> None:
    """Its WAL is empty while nobody writes: only SQLite's locks tell that it is open."""
    fill(service)
    target = tmp_path / "copy.db"
    SQLiteSessionService(target).close()
    with subprocess.Popen(
        [sys.executable, "-c", IDLE, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(InvalidInputError, match="open"):
            service.backup(target, overwrite=True)
        other.communicate()
    assert other.returncode == 0
    with SQLiteSessionService(target, read_only=True) as store:  # it leaves an empty WAL of its own
        assert store.get_session("of the other process")
    service.backup(target, overwrite=True)
    with SQLiteSessionService(target) as copy:
        assert dump(copy) == dump(service)


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_backup_without_overwrite_keeps_a_file_that_was_made_meanwhile(
    service: SQLiteSessionService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    fill(service)
    target = tmp_path / "folder" / "copy.db"
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no hard links here")))
        service.backup(target)
        with SQLiteSessionService(target) as copy:
            assert dump(copy) == dump(service)
        return
    make = os.open

    def too_late(name: Any, *options: Any) -> int:
        target.write_bytes(b"precious")
        return make(name, *options)

    monkeypatch.setattr(os, "open", too_late)
    with pytest.raises(InvalidInputError, match="there is a file"):
        service.backup(target)
    assert target.read_bytes() == b"precious"
    assert list(target.parent.iterdir()) == [target]


WRITER = """
import sys
from session_sqlite import Event, SQLiteSessionService
with SQLiteSessionService(sys.argv[1], durability="fast") as service:
    session = service.create_session(session_id=sys.argv[2])
    number = 0
    while True:
        number += 1
        session.add_events([Event("user", f"q{number} " + "x" * 300, state={"n": number}), Event("assistant", "a")])
        if number == 20:
            print("writing", flush=True)
        if number % 50 == 0:
            session.rewind(turns=2)
"""


def test_a_backup_while_processes_write_is_of_one_moment(service: SQLiteSessionService, tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(service.path), name], stdout=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
        targets = [service.backup(tmp_path / f"{number}.db") for number in range(6)]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    sizes = []
    for target in targets:
        with SQLiteSessionService(target) as copy:
            assert copy.check().ok
            for session in copy.list_sessions():
                events = session.events()
                sizes.append(len(events))
                assert len(events) % 2 == 0
                assert session.last_seq >= events[-1].seq
                last = events[-2]
                assert (last.author, session.state["n"]) == ("user", last.state["n"])
                seqs = [event.seq for event in events]
                assert seqs == sorted(set(seqs))
                holes = [(a, b) for a, b in itertools.pairwise(seqs) if b != a + 1]
                assert all(b == a + 5 for a, b in holes)  # only where two turns were taken back
    assert len(set(sizes)) > 1


def test_a_store_in_memory_can_be_backed_up(tmp_path: Path) -> None:
    with SQLiteSessionService(":memory:") as service:
        fill(service)
        target = service.backup(tmp_path / "copy.db")
        with SQLiteSessionService(target) as copy:
            assert dump(copy) == dump(service)
            assert copy.check().ok


def test_a_read_only_store_can_be_backed_up(service: SQLiteSessionService, tmp_path: Path) -> None:
    fill(service)
    with SQLiteSessionService(service.path, read_only=True) as reader:
        target = reader.backup(tmp_path / "copy.db")
    with SQLiteSessionService(target) as copy:
        assert dump(copy) == dump(service)


@posix
def test_a_backup_that_fails_leaves_nothing(service: SQLiteSessionService, tmp_path: Path) -> None:
    fill(service)
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file" / "copy.db", tmp_path / ("x" * 300)):
        with pytest.raises(StoreError):
            service.backup(target)
    before = sorted(tmp_path.iterdir())
    service._database.path.with_name("elsewhere").mkdir()  # type: ignore[union-attr]
    service.close()
    with pytest.raises(StoreClosedError):
        service.backup(tmp_path / "elsewhere" / "copy.db")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert {file.name for file in before} >= {"file", "sessions.db"}


def test_what_a_killed_backup_left_does_not_stop_the_next(service: SQLiteSessionService, tmp_path: Path) -> None:
    (tmp_path / f".copy.db.{os.getpid()}.partial").write_text("half a backup; a container's process ids repeat")
    assert service.backup(tmp_path / "copy.db").exists()


# ---------------------------------------------------------------- check


def findings(service: SQLiteSessionService, **how: Any) -> dict[str, Any]:
    return {finding.name: finding for finding in service.check(**how)}


def faults(service: SQLiteSessionService, **how: Any) -> set[str]:
    return {finding.name for finding in service.check(**how) if finding.level == "error"}


def test_a_sound_store_has_no_faults(service: SQLiteSessionService) -> None:
    fill(service)
    report = service.check()
    assert report.ok
    assert [finding for finding in report if finding.level == "error"] == []
    assert {"permissions", "file system", "WAL", "integrity", "foreign keys", "order", "events", "state"} <= {
        finding.name for finding in report
    }
    assert findings(service)["search index"].level == "ok"
    assert "ok" in str(report)
    assert "<table" in report._repr_html_()
    with SQLiteSessionService(":memory:") as memory:
        fill(memory)
        assert memory.check().ok
        assert memory.check(repair=True).ok
    with SQLiteSessionService(service.path, read_only=True) as reader:
        assert reader.check().ok


def test_a_store_without_an_index_is_checked(tmp_path: Path) -> None:
    with SQLiteSessionService(tmp_path / "plain.db", search=False) as service:
        service.create_session().add_event("user", "x")
        assert service.check(repair=True).ok
        assert "search index" not in findings(service)


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 40, 1), "warning"), ((3, 51, 2), "warning"), ((3, 51, 3), "ok"), ((3, 52, 0), "ok"), ((3, 44, 6), "ok"),
     ((3, 50, 7), "ok"), ((3, 50, 6), "warning")],
)  # fmt: skip
def test_a_sqlite_with_a_known_fault_is_named(
    version: tuple[int, ...], level: str, service: SQLiteSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    assert findings(service)["SQLite"].level == level
    assert service.check().ok  # a warning does not count


def test_the_sqlite_that_runs_is_named(service: SQLiteSessionService) -> None:
    assert sqlite3.sqlite_version in findings(service)["SQLite"].message


Plant = Callable[[Path], None]


def planted(*statements: str) -> Plant:
    return lambda path: raw(path, *statements)


GHOST = (
    "INSERT INTO search_index (rowid, content, reasoning, tools, scope) VALUES (2, 'ghost', '', '', '')",
    "INSERT INTO search_index (rowid, content, reasoning, tools, scope) VALUES (1000, 'ghost', '', '', '')",
)
# The name of the finding, what plants the fault, and whether it can be mended from the rest.
FAULTS: dict[str, tuple[str, Plant, bool]] = {
    "a session deleted without foreign keys": (
        "foreign keys",
        planted("DELETE FROM sessions WHERE id = 's1'", "DELETE FROM state WHERE session_id = 's1'"),
        False,
    ),
    "a last_seq that is too low": ("order", planted("UPDATE sessions SET last_seq = 1 WHERE id = 's1'"), True),
    "state of no session": (
        "state",
        planted("INSERT INTO state SELECT app_name, user_id, 'nobody', key, value, updated_at FROM state LIMIT 1"),
        True,
    ),
    "actions that are no JSON": ("events", planted("UPDATE events SET actions = '[{' WHERE seq = 2"), False),
    "state that is no object": ("events", planted("UPDATE events SET state = '[]' WHERE seq = 1"), False),
    "a text that is not UTF-8": (
        "events", planted("UPDATE events SET metadata = CAST(x'7bff7d' AS TEXT) WHERE row_id = 1"), False,
    ),
    "a time that is none": ("events", planted("UPDATE events SET created_at = 'yesterday' WHERE row_id = 1"), False),
    "a ghost word of an event": ("search index", planted(GHOST[0]), True),
    "a word of no event": ("search index", planted(GHOST[1]), True),
    "a word of no title": (
        "search index",
        planted("INSERT INTO title_words VALUES ('default', 'default', 'x', 's')"),
        True,
    ),
    "a title without its words": ("search index", planted("UPDATE sessions SET title = 'blue tea'"), True),
    "an index without words": (
        "search index", planted("INSERT INTO search_index (search_index) VALUES ('delete-all')"), True,
    ),
    "an index whose table is damaged": (
        "search index", planted("UPDATE search_index_data SET block = x'00ff00ff' WHERE id > 10"), True,
    ),
    "a dropped view": ("views", planted("DROP VIEW tokens"), True),
    "a view that shows something else": (
        "views", planted("DROP VIEW tokens", "CREATE VIEW tokens AS SELECT 1 AS event_row"), True,
    ),
    "a dropped index": ("indexes of the tables", planted("DROP INDEX sessions_latest"), True),
    "an index of another column": (
        "indexes of the tables", planted("DROP INDEX events_id", "CREATE INDEX events_id ON events (author)"), True,
    ),
    "two events with one id": (
        "ids", planted("UPDATE events SET id = (SELECT id FROM events WHERE row_id = 1) WHERE row_id = 2"), False,
    ),
    "dropped views": ("views", planted("DROP VIEW tool_calls", "DROP VIEW counted_events"), True),
    "text changed behind the index": (
        "search index", planted("UPDATE events SET content = 'changed' WHERE row_id = 2"), True,
    ),
}  # fmt: skip


def state_of(path: Path) -> bytes:
    code = "import sys; [sys.stdout.buffer.write(open(name, 'rb').read()) for name in sys.argv[1:]]"
    names = [name for name in (str(path), f"{path}-wal") if Path(name).exists()]
    return subprocess.run([sys.executable, "-c", code, *names], check=True, capture_output=True).stdout


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_and_mended_if_it_can_be(fault: str, service: SQLiteSessionService, path: Path) -> None:
    fill(service)
    name, plant, can_be_mended = FAULTS[fault]
    plant(path)
    before = state_of(path), dump(service)
    report = service.check()
    named = {finding.name for finding in report if finding.level == "error"}
    assert name in named
    assert named <= {name, "search index"}  # whose words follow from the events
    assert not report.ok
    assert all(finding.advice for finding in report if finding.level == "error")
    assert (state_of(path), dump(service)) == before
    repaired = service.check(repair=True)
    assert {finding.name for finding in repaired if finding.repaired} >= ({name} if can_be_mended else set())
    assert repaired.ok == can_be_mended
    assert faults(service) == (set() if can_be_mended else {name})
    after = dump(service)
    assert after["events"] == before[1]["events"]
    if name != "state":
        assert after["state"] == before[1]["state"]
    if name != "order":
        assert after["sessions"] == before[1]["sessions"]


def test_a_trigger_of_another_program_is_named(service: SQLiteSessionService, path: Path) -> None:
    fill(service)
    assert findings(service)["triggers"].level == "ok"
    raw(path, "CREATE TRIGGER tidy AFTER INSERT ON events BEGIN DELETE FROM events WHERE row_id = new.row_id; END")
    finding = findings(service)["triggers"]
    assert (finding.level, finding.repaired) == ("warning", False)
    assert "tidy" in finding.message


def test_an_index_that_the_rows_do_not_allow_stays_a_fault(service: SQLiteSessionService, path: Path) -> None:
    fill(service)
    raw(path, "DROP INDEX events_in_order", "UPDATE events SET seq = 1 WHERE row_id = 2")
    report = service.check(repair=True)
    assert [finding.name for finding in report if finding.level == "error" and not finding.repaired] == [
        "indexes of the tables"
    ]


def test_a_repair_of_last_seq_raises_it_to_the_highest_seq_only(service: SQLiteSessionService, path: Path) -> None:
    fill(service)
    service.get_session("s0").rewind()  # a last_seq beyond the events is as it should be
    raw(path, "UPDATE sessions SET last_seq = 0 WHERE id = 's1'")
    service.check(repair=True)
    assert [service.get_session(f"s{n}").last_seq for n in range(3)] == [3, 3, 3]
    assert service.get_session("s1").add_event("user", "on").seq == 4


def test_a_repaired_index_finds_again(service: SQLiteSessionService, path: Path) -> None:
    fill(service)
    raw(path, "INSERT INTO search_index (search_index) VALUES ('delete-all')")
    assert not service.search("代码")
    service.check(repair=True)
    assert len(service.search("代码")) == 3
    service.get_session("s0").rewind()
    assert len(service.search("代码")) == 2
    assert service.check().ok


def test_an_index_behind_its_events_is_no_fault_and_said(service: SQLiteSessionService) -> None:
    fill(service)
    service.search("代码")
    assert "not indexed yet" not in findings(service)["search index"].message
    service.get_session("s0").add_events([Event("user", "later") for _ in range(1200)])
    report = service.check()
    assert report.ok
    finding = findings(service)["search index"]
    assert "1,200 events are not indexed yet" in finding.message
    service.search("later")
    assert "not indexed yet" not in findings(service)["search index"].message


def test_an_index_that_has_not_begun_does_not_claim_to_be_whole(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        service.create_session().add_event("user", "one")
    with SQLiteSessionService(path, read_only=True) as service:
        message = findings(service)["search index"].message
    assert "1 event is not indexed yet" in message
    assert "all where they should be" not in message


def leaves(connection: sqlite3.Connection, name: str) -> list[int]:
    """The pages that hold the rows of a table or an index."""
    try:
        rows = connection.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY 1", [name])
        return [row[0] for row in rows]
    except sqlite3.OperationalError:
        connection.close()
        pytest.skip("this SQLite has no dbstat")


def garbled(path: Path, table: str) -> None:
    """Overwrites a page of a table that opening the store does not look at."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    pages = leaves(connection, table)
    connection.close()
    page = pages[len(pages) // 2]
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


@pytest.mark.parametrize("table", ["events", "events_in_order", "events_id", "search_index_data"])
def test_a_garbled_page_is_named_and_nothing_is_written_into_a_damaged_file(table: str, path: Path) -> None:
    with SQLiteSessionService(path) as service:
        session = service.create_session(session_id="s")
        session.add_events([Event("user", f"{n} secret " + "x" * 100) for n in range(400)])
        service.search("secret")
    garbled(path, table)
    with SQLiteSessionService(path) as service:
        report = service.check()
        assert not report.ok
        assert "integrity" in {finding.name for finding in report if finding.level == "error"}
        assert "secret" not in str(report)
        before = state_of(path)
        assert not service.check(repair=True).ok
        assert state_of(path) == before


def test_an_index_that_lacks_rows_is_built_again(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        fill(service)
        service.get_session("s0").add_event("user", "last", id="named-by-hand")
        before = dump(service)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    pages = leaves(connection, "events_id")
    connection.close()
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            content = file.read(size)
            file.seek((page - 1) * size)
            file.write(content.replace(b"named-by-hand", b"named-by-hanD"))
    with SQLiteSessionService(path) as service:
        assert faults(service) == {"indexes"}
        repaired = findings(service, repair=True)["indexes"]
        assert repaired.repaired
        assert faults(service) == set()
        assert dump(service) == before
        assert service.get_session("s0").rewind(to="named-by-hand") == []


@posix
def test_a_file_that_others_can_read_is_a_warning(service: SQLiteSessionService, path: Path) -> None:
    fill(service)
    path.chmod(0o644)
    finding = findings(service)["permissions"]
    assert finding.level == "warning"
    assert "chmod 600" in finding.advice
    assert service.check(repair=True).ok
    assert stat.S_IMODE(path.stat().st_mode) == 0o644  # not ours to decide
    path.chmod(0o600)
    assert findings(service)["permissions"].level == "ok"


def test_a_large_wal_is_a_warning(service: SQLiteSessionService, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(service)
    monkeypatch.setattr(maintenance, "LARGE_WAL_BYTES", 1000)
    finding = findings(service)["WAL"]
    assert (finding.level, bool(finding.advice)) == ("warning", True)


def test_a_remote_file_system_is_an_error(service: SQLiteSessionService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "_file_system", lambda path: "nfs4")
    finding = findings(service)["file system"]
    assert (finding.level, "nfs4" in finding.message) == ("error", True)


def test_a_check_while_processes_write_finds_no_fault(service: SQLiteSessionService) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(service.path), "a"], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        for _ in range(5):
            service.search("q1")
            assert service.check(repair=True).ok
    finally:
        writer.kill()
        writer.communicate()


def test_a_report_never_carries_chat_text(service: SQLiteSessionService, path: Path) -> None:
    service.create_session(title="secret").add_event("user", "secret", metadata={"k": "secret"})
    service.search("secret")
    raw(path, "UPDATE events SET actions = '{secret', created_at = 'secret'", GHOST[0].replace("ghost", "secret"))
    report = service.check()
    assert "secret" not in str(report) + json.dumps([vars(finding) for finding in report])


def test_a_closed_store_is_not_checked(service: SQLiteSessionService) -> None:
    service.close()
    with pytest.raises(StoreClosedError):
        service.check()
