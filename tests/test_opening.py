"""Opening: what is a store and what is not, what it looks like on the disk, older files, and damaged rows."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import pickle
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from sqlite_utils import Migrations

from session_sqlite import (
    CorruptStoreError,
    Event,
    InvalidInputError,
    NewerSchemaError,
    NotAStoreError,
    ReadOnlyStoreError,
    SessionError,
    SessionNotFoundError,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    StoreBusyError,
    StoreError,
    database_file,
)
from session_sqlite.sqlite import SQLiteDatabase, database, schema

POSIX = os.name == "posix"
SECRET = "secret-chat-text"  # noqa: S105  # a word to look for
FORKING = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def everything_in(folder: Path) -> dict[str, Any]:
    """Each file of a folder with its mode and what is in it."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
        if path.is_file()
        else path.stat().st_mode
        for path in sorted(folder.rglob("*"))
    }


def refuses(path: Path, error: type[StoreError], *, read_only: tuple[bool, ...] = (False, True)) -> None:
    """Opening raises exactly this error, names the path, and leaves all as it was but for a WAL's index."""

    def kept() -> dict[str, Any]:
        return {name: what for name, what in everything_in(path.parent).items() if not name.endswith("-shm")}

    before = kept()
    for mode in read_only:
        with pytest.raises(error) as caught:
            SQLiteSessionService(path, read_only=mode)
        assert type(caught.value) is error
        assert str(path) in str(caught.value)
        assert kept() == before


def fill(path: Path, events: int = 50) -> None:
    with SQLiteSessionService(path) as service:
        session = service.create_session(session_id="s", metadata={"a": 1}, state={"k": 1})
        session.add_events([Event("user", f"{SECRET} {n} " + "x" * 1000) for n in range(events)])


# ---------------------------------------------------------------- what is not a store


@pytest.mark.parametrize(
    "content", [b"x", b"x" * 100, b"x" * 5000, b"\0" * 600, b"\n", b"SQLite format 3\0", b"\0" * 512]
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    refuses(path, NotAStoreError)


def test_a_database_header_with_garbage_behind_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"SQLite format 3\0" + b"\xab" * 8000)
    before = everything_in(tmp_path)
    with pytest.raises((NotAStoreError, CorruptStoreError)):
        SQLiteSessionService(path)
    assert everything_in(tmp_path) == before


def other_database(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE theirs (x)", "INSERT INTO theirs VALUES (1)"],
        ["PRAGMA journal_mode = WAL", "CREATE TABLE theirs (x)"],
        ["CREATE VIEW theirs AS SELECT 1"],
        ["PRAGMA application_id = 1196444487"],
        ["PRAGMA application_id = 1", "CREATE TABLE sessions (id)", "CREATE TABLE events (id)"],
        ["CREATE TABLE sessions (id, app_name, user_id)", "CREATE TABLE events (id)", "PRAGMA user_version = 1"],
        ["PRAGMA user_version = 3"],
        ["PRAGMA user_version = 1"],
        ["PRAGMA user_version = 99", "CREATE TABLE theirs (x)"],
    ],
    ids=lambda statements: statements[0],
)
def test_another_programs_database_is_refused(tmp_path: Path, statements: list[str]) -> None:
    path = tmp_path / "theirs.db"
    other_database(path, *statements)
    refuses(path, NotAStoreError)


def test_another_programs_database_is_refused_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    for mode in ("DELETE", "WAL"):
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as theirs:
            theirs.execute(f"PRAGMA journal_mode = {mode}").fetchall()
            theirs.execute("CREATE TABLE IF NOT EXISTS theirs (x)")
            theirs.execute("BEGIN IMMEDIATE")
            theirs.execute("INSERT INTO theirs VALUES (1)")
            for _ in range(2):
                with pytest.raises(NotAStoreError):
                    SQLiteSessionService(path)
            theirs.execute("COMMIT")
        with contextlib.closing(sqlite3.connect(path)) as theirs:
            assert theirs.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


KILLED = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL").fetchall()
{before}
db.execute("CREATE TABLE theirs (x)")
db.execute("INSERT INTO theirs VALUES (1)")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not POSIX, reason="kill -9")
@pytest.mark.parametrize("before", ["", "db.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()"])
@pytest.mark.parametrize("with_shm", [True, False], ids=["with -shm", "without -shm"])
def test_another_programs_log_that_was_never_checkpointed_is_refused(
    tmp_path: Path, before: str, with_shm: bool
) -> None:
    path = tmp_path / "theirs.db"
    subprocess.run([sys.executable, "-c", KILLED.format(before=before), str(path)], check=False)
    assert path.with_name("theirs.db-wal").stat().st_size > 0
    if not with_shm:
        path.with_name("theirs.db-shm").unlink()
    refuses(path, NotAStoreError)
    with contextlib.closing(sqlite3.connect(path)) as theirs:
        assert theirs.execute("SELECT x FROM theirs").fetchall() == [(1,)]


def test_a_store_of_a_newer_release_is_refused(path: Path) -> None:
    fill(path)
    other_database(path, f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}", "PRAGMA wal_checkpoint(TRUNCATE)")
    refuses(path, NewerSchemaError)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    refuses(tmp_path / "folder", NotAStoreError)


@pytest.mark.skipif(not POSIX, reason="POSIX only")
def test_a_pipe_and_a_device_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        for read_only in (False, True):
            with pytest.raises(NotAStoreError):
                SQLiteSessionService(path, read_only=read_only)


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "x.db", tmp_path / "file" / "deeper" / "x.db"):
        for read_only in (False, True):
            with pytest.raises(StoreError, match=r"x\.db"):
                SQLiteSessionService(path, read_only=read_only)
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.skipif(not POSIX, reason="POSIX only")
def test_paths_that_lead_nowhere_are_errors_of_ours(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / ("x" * 300), tmp_path / "loop", tmp_path / "loop" / "x.db", Path("/proc/none/x.db")):
        for read_only in (False, True):
            with pytest.raises(StoreError):
                SQLiteSessionService(path, read_only=read_only)


# ---------------------------------------------------------------- damaged files


def damaged(path: Path, damage: Callable[[bytearray], bytearray]) -> None:
    fill(path)
    path.write_bytes(damage(bytearray(path.read_bytes())))
    assert sorted(file.name for file in path.parent.iterdir() if file.is_file()) == [path.name]


def garbage(begin: float, end: float) -> Callable[[bytearray], bytearray]:
    def damage(data: bytearray) -> bytearray:
        first, last = int(len(data) * begin), int(len(data) * end)
        data[first:last] = b"\xa5" * (last - first)
        return data

    return damage


@pytest.mark.parametrize("keep", [0.1, 0.3, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_refused(path: Path, keep: float) -> None:
    damaged(path, lambda data: data[: int(len(data) * keep) // 4096 * 4096])
    refuses(path, CorruptStoreError)


@pytest.mark.parametrize(("begin", "end"), [(0.05, 0.95), (0.05, 1.0), (0.1, 0.6)])
def test_a_file_with_garbage_in_the_middle_is_refused(path: Path, begin: float, end: float) -> None:
    damaged(path, garbage(begin, end))
    refuses(path, CorruptStoreError, read_only=(False,))
    before = path.read_bytes()
    with pytest.raises(CorruptStoreError):
        SQLiteSessionService(path, read_only=True)
    assert path.read_bytes() == before


def test_a_file_with_a_garbage_header_is_refused(path: Path) -> None:
    damaged(path, lambda data: bytearray(b"\xa5" * 100) + data[100:])
    refuses(path, NotAStoreError)


def outcome(use: Callable[[], Any]) -> type[Exception] | None:
    """The class of the error, which must be ours and without chat text; None if it worked."""
    try:
        use()
    except SessionError as error:
        if SECRET in str(error):
            raise AssertionError("chat text in an error") from error
        return type(error)
    return None


def test_damage_that_opening_does_not_see_is_an_error_of_ours_later(path: Path) -> None:
    fill(path, events=200)
    whole = path.read_bytes()
    pages = len(whole) // 4096
    outcomes = set()
    for page in range(2, pages, 5):
        data = bytearray(whole)
        data[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
        path.write_bytes(data)
        with contextlib.suppress(StoreError), SQLiteSessionService(path) as service:
            for use in (
                lambda service=service: service.get_session("s").events(),
                lambda service=service: service.get_state("s"),
                lambda service=service: service.append_event("s", Event("user")),
                lambda service=service: service.search("x"),
                lambda service=service: service.delete_session("s"),
            ):
                outcomes.add(outcome(use))
        for name in ("sessions.db-wal", "sessions.db-shm"):
            path.with_name(name).unlink(missing_ok=True)
    assert CorruptStoreError in outcomes
    assert outcomes <= {None, CorruptStoreError, SessionNotFoundError}


# ---------------------------------------------------------------- beside others

# It checkpoints all the time, and the file grows: its first page counts pages that are still in the WAL.
CHECKPOINTING = """
import sys
from session_sqlite import Event, SQLiteSessionService
with SQLiteSessionService(sys.argv[1]) as service:
    service._database._write_connection.execute("PRAGMA wal_autocheckpoint = 3")
    service.create_session(session_id="s", exist_ok=True)
    print("ready", flush=True)
    while True:
        service.append_event("s", Event("user", "x" * 20_000))
"""


def start(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def checkpointing(path: Path) -> Iterator[None]:
    """While another process appends large events and moves them into the file after each."""
    with start(CHECKPOINTING, path) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            yield
            assert writer.poll() is None, "the writer must go on"
        finally:
            writer.kill()


def rows_by_sqlite(path: Path) -> list[tuple[Any, ...]]:
    """What SQLite itself reads from a copy of the file and its WAL."""
    with tempfile.TemporaryDirectory() as folder:
        for file in path.parent.glob(f"{path.name}*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, folder)
        with contextlib.closing(sqlite3.connect(Path(folder) / path.name)) as connection:
            if not connection.execute("PRAGMA user_version").fetchone()[0]:
                return []
            return connection.execute("SELECT id, content FROM events ORDER BY row_id").fetchall()


def opens_whole(path: Path, *, read_only: bool) -> int:
    """The store opens, and has what SQLite itself reads; returns how many events that are."""
    expected = rows_by_sqlite(path)
    with SQLiteSessionService(path, read_only=read_only) as service:
        assert [tuple(row.values()) for row in service.query("SELECT id, content FROM events")] == expected
        if not read_only:
            service.append_event("s", Event("user", "goes on"), create=True)
    return len(expected)


@pytest.mark.skipif(not POSIX, reason="kill -9")
def test_a_store_opens_after_a_kill_in_the_middle_of_a_checkpoint(path: Path) -> None:
    for number in range(8):
        with checkpointing(path):
            time.sleep(0.02 * number)  # somewhere else each time
        opens_whole(path, read_only=number % 2 == 1)


KILLED_WRITER = """
import os, signal, sys
from session_sqlite import Event, SQLiteSessionService
service = SQLiteSessionService(sys.argv[1])
service._database._write_connection.execute("PRAGMA wal_autocheckpoint = 0")
if int(sys.argv[2]):
    for number in range(int(sys.argv[2])):
        service.append_event("s", Event("user", str(number) * 20_000), create=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(path: Path) -> Callable[[int], list[tuple[int, int, int]]]:
    """A store of a process that was killed; gives the frames of its WAL: place of the page, number, commit mark."""

    def kill(events: int) -> list[tuple[int, int, int]]:
        with start(KILLED_WRITER, path, events) as writer:
            pass
        assert writer.returncode == -signal.SIGKILL
        path.with_name("sessions.db-shm").unlink()
        log = path.with_name("sessions.db-wal").read_bytes()
        return [
            (at + 24, int.from_bytes(log[at : at + 4], "big"), int.from_bytes(log[at + 4 : at + 8], "big"))
            for at in range(32, len(log) - 4119, 4120)
        ]

    return kill


@pytest.mark.skipif(not POSIX, reason="kill -9")
@pytest.mark.parametrize("read_only", [False, True], ids=["writing", "reading"])
@pytest.mark.parametrize("pages", [1, 2, 5])
def test_a_store_opens_whose_first_pages_are_ahead_of_the_rest(
    path: Path, killed: Any, pages: int, read_only: bool
) -> None:
    """A checkpoint that a kill or a full disk has ended has moved some pages of the WAL, and the others not."""
    frames = killed(20)
    log = path.with_name("sessions.db-wal").read_bytes()
    with path.open("r+b") as file:
        for at, number, _ in frames:
            if number <= pages:
                file.seek((number - 1) * 4096)
                file.write(log[at : at + 4096])
    assert opens_whole(path, read_only=read_only) == 20


@pytest.mark.skipif(not POSIX, reason="kill -9")
@pytest.mark.parametrize("events", [0, 2])
def test_a_store_opens_whose_log_was_torn_before_its_first_checkpoint(path: Path, killed: Any, events: int) -> None:
    """A power cut leaves the last frames of the WAL in any state; SQLite goes by salt, checksum and commit mark."""
    frames = killed(events)
    file, log = path.read_bytes(), path.with_name("sessions.db-wal").read_bytes()
    first_page = next(at for at, number, _ in reversed(frames) if number == 1)
    commits = [at + 4096 for at, _, commit in frames if commit]
    torn = [log[:end] + tail for end in (*commits, len(log) - 2000) for tail in (b"", b"\0" * 8240, b"\xa5" * 9000)]
    # Page 1 of another time behind the last commit, as it stands in a WAL that is written from its start again.
    stale = bytearray(log[first_page - 24 : first_page + 4096])
    stale[24 + 68 : 24 + 72] = b"\0\0\0\7"
    torn += [log[:end] + stale for end in commits]
    torn += [log[:first_page] + b"\xa5" * 4096 + log[first_page + 4096 :], log[:32], log[:31], b""]
    for number, tail in enumerate(torn):
        for companion in path.parent.iterdir():
            companion.unlink()
        path.write_bytes(file)
        path.with_name("sessions.db-wal").write_bytes(tail)
        read_only = number % 2 == 1 and rows_by_sqlite(path) != []
        assert opens_whole(path, read_only=read_only) <= events


def hot_journal(path: Path, statements: str) -> None:
    """What a process leaves that is killed while it commits with a rollback journal."""
    code = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA journal_mode = DELETE').fetchall()\n"
        "db.execute('PRAGMA cache_size = 1')\n"
        f"for sql in {statements.split(';')!r}: db.execute(sql)\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert path.with_name(f"{path.name}-journal").stat().st_size > 0


SPILL = "INSERT INTO {0} SELECT randomblob(90000); INSERT INTO {0} SELECT randomblob(90000)"


def test_a_store_opens_after_a_write_that_was_cut_off_in_a_rollback_journal(path: Path) -> None:
    fill(path)
    hot_journal(path, f"CREATE TABLE mine (x); BEGIN; {SPILL.format('mine')}; DELETE FROM events")
    with pytest.raises(StoreError, match="cut off") as caught:
        SQLiteSessionService(path, read_only=True)
    assert type(caught.value) is StoreError
    with SQLiteSessionService(path) as service:
        assert len(service.list_events("s")) == 50


def test_another_programs_write_that_was_cut_off_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    other_database(path, "CREATE TABLE theirs (x)")
    hot_journal(path, f"BEGIN; {SPILL.format('theirs')}")
    refuses(path, NotAStoreError)
    with contextlib.closing(sqlite3.connect(path)) as theirs:
        assert theirs.execute("SELECT count(*) FROM theirs").fetchone() == (0,)


def test_a_program_that_was_faster_keeps_its_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at an empty file and our first table another program makes its own."""
    begin = SQLiteDatabase._begin

    def too_late(self: Any, connection: Any, patience: float | None = None) -> None:
        other_database(path, "CREATE TABLE theirs (x)")
        begin(self, connection, patience)

    monkeypatch.setattr(SQLiteDatabase, "_begin", too_late)
    with pytest.raises(NotAStoreError):
        SQLiteSessionService(path)
    with contextlib.closing(sqlite3.connect(path)) as theirs:
        assert theirs.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


# ---------------------------------------------------------------- files that may not be written


def as_ordinary_user(work: Callable[[], Any]) -> Any:
    """Runs in a child process that is not root, for whom the modes of files count; returns or raises what it did."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            try:
                answer: tuple[bool, Any] = (True, work())
            except BaseException as error:  # noqa: BLE001  # it crosses to the parent
                answer = (False, error)
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(answer, pipe)
            status = 0
        except BaseException:  # noqa: BLE001  # the child must never run on into pytest
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    fine, result = pickle.loads(data)  # noqa: S301  # from our own child
    if not fine:
        raise result
    return result


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach, as pytest's are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)


def protect(folder: Path, path: Path, folder_mode: int, file_mode: int) -> None:
    for file in folder.iterdir():
        file.chmod(file_mode)
        if os.geteuid() == 0:
            os.chown(file, 65534, 65534)
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    folder.chmod(folder_mode)


def contents(path: Path, *, read_only: bool) -> list[str]:
    with SQLiteSessionService(path, read_only=read_only) as service:
        return [event.content for event in service.list_events("s")]


@FORKING
@pytest.mark.skipif(not POSIX, reason="modes of files")
@pytest.mark.parametrize(
    ("folder_mode", "file_mode"), [(0o755, 0o444), (0o555, 0o444), (0o555, 0o644)],
    ids=["file", "folder and file", "folder"],
)  # fmt: skip
def test_a_store_that_may_not_be_written_is_refused_unless_read_only(
    open_folder: Path, folder_mode: int, file_mode: int
) -> None:
    path = open_folder / "sessions.db"
    fill(path, events=3)
    protect(open_folder, path, folder_mode, file_mode)
    before = everything_in(open_folder)
    with pytest.raises(ReadOnlyStoreError, match="read_only=True"):
        as_ordinary_user(lambda: contents(path, read_only=False))
    assert everything_in(open_folder) == before
    assert len(as_ordinary_user(lambda: contents(path, read_only=True))) == 3
    assert everything_in(open_folder)["sessions.db"] == before["sessions.db"]


REOPENING = """
import sys, time
from session_sqlite import Event, SQLiteSessionService
number = 0
while True:
    with SQLiteSessionService(sys.argv[1]) as service:
        for _ in range(3):
            number += 1
            service.append_event("s", Event("user", str(number) + " x" * 10_000, state={"number": number}))
    print(number, flush=True)
    time.sleep(0.01)
"""


@FORKING
@pytest.mark.skipif(not POSIX or os.geteuid() != 0, reason="needs a writer whom the modes do not stop")
def test_a_reader_that_may_not_write_the_folder_sees_what_others_write(open_folder: Path) -> None:
    """While nobody has the store open it is read without locks: what changes meanwhile is read again."""
    path = open_folder / "sessions.db"
    fill(path, events=0)
    protect(open_folder, path, 0o555, 0o644)

    def read() -> list[tuple[int, int]]:
        seen = []
        end = time.monotonic() + 2
        while time.monotonic() < end:
            with SQLiteSessionService(path, read_only=True) as service:
                for _ in range(3):
                    number = service.get_state_value("s", "number", default=0)
                    seen.append((number, len(service.list_events("s"))))
                    with contextlib.suppress(StoreBusyError):  # a long read is not begun again on its own
                        assert service.query("SELECT count(*) AS n FROM events")[0]["n"] >= number
        return seen

    with start(REOPENING, path) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline()
            seen = as_ordinary_user(read)
        finally:
            writer.kill()
    assert seen == sorted(seen)
    assert all(count >= number for number, count in seen)
    assert seen[-1] > seen[0]


APPENDING = """
import sys
from session_sqlite import Event, SQLiteSessionService
for line in sys.stdin:
    with SQLiteSessionService(sys.argv[1]) as service:
        service.append_event("s", Event("user", line))
    print("done", flush=True)
"""


@FORKING
@pytest.mark.skipif(not POSIX or os.geteuid() != 0, reason="needs a writer whom the modes do not stop")
def test_a_service_that_may_not_write_the_folder_sees_what_was_written_since_it_opened(open_folder: Path) -> None:
    path = open_folder / "sessions.db"
    fill(path, events=3)
    protect(open_folder, path, 0o555, 0o644)
    with subprocess.Popen(
        [sys.executable, "-c", APPENDING, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:

        def read() -> list[tuple[int, ...]]:
            assert writer.stdin is not None
            assert writer.stdout is not None
            seen = []
            with SQLiteSessionService(path, read_only=True) as service:
                for _ in range(3):
                    count = service.query("SELECT count(*) AS n FROM events")[0]["n"]
                    seen.append((service.db["events"].count, len(service.list_events("s")), count))
                    writer.stdin.write(b"x" * 20_000 + b"\n")
                    writer.stdin.flush()
                    assert writer.stdout.readline() == b"done\n"
            return seen

        assert as_ordinary_user(read) == [(3, 3, 3), (4, 4, 4), (5, 5, 5)]
        assert writer.stdin is not None
        writer.stdin.close()


@FORKING
@pytest.mark.skipif(not POSIX, reason="modes of files")
def test_a_path_that_may_not_be_reached_is_an_error_of_ours(open_folder: Path) -> None:
    (open_folder / "private").mkdir(mode=0o700)
    (open_folder / "unreadable.db").write_bytes(b"")
    (open_folder / "unreadable.db").chmod(0)
    (open_folder / "full.db").write_bytes(b"x" * 5000)
    (open_folder / "full.db").chmod(0)
    if os.geteuid() != 0:
        (open_folder / "private").chmod(0)
    for name in ("private/x.db", "private/deeper/x.db", "unreadable.db", "full.db", "new/x.db", "new.db"):
        if os.geteuid() != 0 and name.startswith("new"):
            continue
        for read_only in (False, True):
            with pytest.raises(StoreError, match=r"\.db"):
                as_ordinary_user(lambda name=name, mode=read_only: contents(open_folder / name, read_only=mode))
    assert sorted(path.name for path in open_folder.iterdir()) == ["full.db", "private", "unreadable.db"]


def test_read_only_opens_what_is_there_and_refuses_every_write(path: Path) -> None:
    with pytest.raises(StoreError, match="no store"):
        SQLiteSessionService(path / "deeper" / "x.db", read_only=True)
    with pytest.raises(StoreError, match="no store"):
        SQLiteSessionService(path, read_only=True)
    assert list(path.parent.iterdir()) == []
    fill(path)
    before = path.read_bytes()
    with SQLiteSessionService(path, read_only=True) as service:
        session = service.get_session("s")
        assert len(session.events()) == 50
        assert session.state["k"] == 1
        assert service.db["events"].count == 50
        assert len(service.search(SECRET, limit=100)) == 50
        for write in (
            lambda: service.create_session(),
            lambda: session.add_event("user"),
            lambda: session.delete(),
            lambda: session.clear(),
            lambda: session.update(title="x"),
            lambda: service.update_state("s", {"k": 2}),
            lambda: service.replace_events("s", []),
            lambda: session.fork(),
            lambda: session.rewind(),
        ):
            with pytest.raises(ReadOnlyStoreError):
                write()
        with pytest.raises(sqlite3.OperationalError):
            service.db["events"].insert({"id": "x"})
    assert path.read_bytes() == before


def test_read_only_sees_what_another_writes(path: Path) -> None:
    fill(path, events=1)
    with SQLiteSessionService(path, read_only=True) as reader, SQLiteSessionService(path) as writer:
        writer.append_event("s", Event("user", "new"))
        assert [event.content for event in reader.list_events("s", after=1)] == ["new"]
        assert len(reader.search("new")) == 1


def test_read_only_refuses_an_older_and_an_empty_file(path: Path) -> None:
    path.write_bytes(b"")
    refuses(path, StoreError, read_only=(True,))
    build_older(path, schema.SCHEMA_VERSION - 1)
    refuses(path, StoreError, read_only=(True,))


def test_db_is_read_only(path: Path) -> None:
    fill(path)
    with SQLiteSessionService(path) as service:
        for write in (
            lambda: service.db["events"].insert({"id": "x"}),
            lambda: service.db["new"].insert({"id": "x"}),
            lambda: service.db["events"].drop(),
            lambda: service.db.execute("PRAGMA user_version = 9"),
        ):
            with pytest.raises(sqlite3.OperationalError):
                write()


# ---------------------------------------------------------------- what a new file is


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.write_bytes(b"")
    fill(path, events=2)
    assert len(contents(path, read_only=False)) == 2


@pytest.mark.skipif(not POSIX, reason="modes of files")
def test_a_new_file_and_its_folders_are_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = tmp_path / "a" / "b" / "sessions.db"
        with SQLiteSessionService(path) as service:
            service.create_session()
            service.search("x")
            files = sorted(path.parent.iterdir())
            assert [file.name for file in files] == ["sessions.db", "sessions.db-shm", "sessions.db-wal"]
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700
    finally:
        os.umask(old)


@pytest.mark.parametrize("name", ["a?b.db", "a#b.db", "a%20b.db", "a b.db", "会话.db", "a&mode=ro.db", "é😀.db",
                                  "file:x.db", "x.db?mode=memory", " ", "-", "a;b.db", "a'b\".db"])  # fmt: skip
@pytest.mark.skipif(not POSIX, reason="names that Windows does not allow")
def test_a_file_has_exactly_the_name_that_was_given(tmp_path: Path, name: str) -> None:
    folder = tmp_path / f"folder of {name}"
    for _ in range(2):
        with SQLiteSessionService(folder / name) as service:
            service.create_session(session_id="s", exist_ok=True)
            assert service.path == folder / name
            assert service.db["sessions"].count == 1
            assert service.query("SELECT count(*) AS n FROM sessions") == [{"n": 1}]
    assert [file.name for file in folder.iterdir()] == [name]
    with SQLiteSessionService(os.fsencode(folder / name), read_only=True) as service:
        assert service.get_session("s").id == "s"
    assert {file.name for file in folder.iterdir()} <= {name, f"{name}-wal", f"{name}-shm"}


def test_a_relative_path_is_made_absolute_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with SQLiteSessionService("relative.db") as service:
        session = service.create_session()
        history = SQLiteChatMessageHistory("h", "relative.db")
        monkeypatch.chdir(tmp_path / "elsewhere")
        session.add_event("user", "hi")
        history.add_user_message("hello")
        assert len(session.events()) == 1
        assert service.db["sessions"].count == 2
        assert service.path == tmp_path / "relative.db"
        history.service.close()
    assert list((tmp_path / "elsewhere").iterdir()) == []


# What people write who know other libraries, and what our error tells them to write.
URLS = {
    "sqlite:///x.db": "'x.db'",
    "sqlite:////tmp/x.db": "'/tmp/x.db'",
    "sqlite+aiosqlite:///data/x.db": "'data/x.db'",
    "SQLite:///x.db": "'x.db'",
    "sqlite:x.db": "'x.db'",
    "sqlite:///:memory:": "':memory:'",
    "sqlite://": "':memory:'",
    "sqlite://x.db": "'x.db'",
    "sqlite://data/x.db": "'data/x.db'",
    "file:x.db?mode=ro": "'x.db' and read_only=True",
    "file:x.db": "'x.db'",
    "file:///tmp/a%20b.db?immutable=1": "'/tmp/a b.db' and read_only=True",
    "file://localhost/tmp/x.db": "'/tmp/x.db'",
    "file://x.db": "'x.db'",
    "file://data/x.db?mode=ro": "'data/x.db' and read_only=True",
    "file::memory:?cache=shared": "':memory:'",
    "file:x?mode=memory&cache=shared": "':memory:'",
    "postgresql://ada:hunter2@host/db": "a local file",
    "mysql+pymysql://ada:hunter2@host:3306/db?charset=utf8mb4": "a local file",
    "https://ada:hunter2@host/x.db": "a local file",
    "s3://bucket/x.db": "a local file",
    "jdbc:sqlite:x.db": "a local file",
}
Use = Callable[[Any], Any]


def _through_the_environment(path: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SESSION_SQLITE_PATH", os.fsdecode(path))
        database_file()


def _factory(path: Any) -> SQLiteChatMessageHistory:
    return SQLiteChatMessageHistory.factory(path)("s")


USES_OF_A_STORE: dict[str, Use] = {
    "service": SQLiteSessionService,
    "service to read": lambda path: SQLiteSessionService(path, read_only=True),
    "history": lambda path: SQLiteChatMessageHistory("s", path).messages,
    "factory": lambda path: _factory(path).messages,
}
USES_OF_A_FILE: dict[str, Use] = {
    "environment": _through_the_environment,
    "backup": lambda path: memory_service().backup(path, overwrite=True),
    "export": lambda path: memory_service().export(path),
    "export of a session": lambda path: memory_service().create_session().export(path, format="markdown"),
    "import": lambda path: memory_service().import_(path),
}
USES = {**USES_OF_A_STORE, **USES_OF_A_FILE}


def memory_service() -> SQLiteSessionService:
    return SQLiteSessionService(":memory:")


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("url", URLS)
def test_a_url_is_refused_and_the_error_says_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, use: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match="not a URL") as caught:
        USES[use](url)
    assert f"write {URLS[url]}" in str(caught.value).replace("write that of", "write")
    assert "hunter2" not in str(caught.value)
    for same in (Path(url), os.fsencode(url)):
        with pytest.raises(InvalidInputError, match="not a URL"):
            USES[use](same)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", ["$HOME/x.db", "${XDG_DATA_HOME}/chats/x.db", "%APPDATA%\\x.db", "$SESSIONS"])
def test_a_variable_that_no_shell_has_replaced_is_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, use: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for same in (name, Path(name), os.fsencode(name)):
        with pytest.raises(InvalidInputError, match="expandvars"):
            USES[use](same)
    assert list(tmp_path.iterdir()) == []


def test_odd_names_that_somebody_may_mean_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "$money").mkdir()
    names = ["./$HOME", "why?.db", "a$b.db", "100%.db", "x.db?mode=ro", "$money/x.db"]
    for name in names:
        SQLiteSessionService(name).close()
        assert (tmp_path / name).is_file()


@pytest.mark.parametrize("use", USES)
def test_the_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    SQLiteSessionService(home / "x.db").close()
    for path in ("~/x.db", Path("~/x.db"), b"~/x.db", "~/./x.db"):
        used = USES[use](path)
        if isinstance(used, SQLiteSessionService):
            assert used.path == home / "x.db"
            used.close()
        elif isinstance(used, Path):
            assert used == home / "x.db"
    assert list(here.iterdir()) == []
    assert {file.name for file in home.iterdir()} <= {"x.db", "x.db-wal", "x.db-shm"}


@pytest.mark.parametrize("use", USES)
def test_a_home_folder_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("~no-such-user-here/x.db", "~no-such-user-here.db"):
        with pytest.raises(InvalidInputError, match="home folder"):
            USES[use](path)
    assert list(tmp_path.iterdir()) == []


def test_the_default_file_may_be_named_by_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("SESSION_SQLITE_PATH", "~/data/x.db")
    assert database_file() == tmp_path / "data" / "x.db"
    with SQLiteSessionService() as service:
        assert service.path == tmp_path / "data" / "x.db"


@pytest.mark.parametrize("use", [use for use in USES if use != "export"])
def test_a_path_with_a_slash_at_its_end_never_makes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("conversations/", "a/b/", b"conversations/"):
        with pytest.raises(InvalidInputError, match="ends with a slash"):
            USES[use](path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("use", USES_OF_A_FILE)
def test_what_is_no_store_cannot_be_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match="not ':memory:'"):
        USES[use](":memory:")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not POSIX, reason="names that Windows does not allow")
@pytest.mark.parametrize("name", ["notes:2025.db", "a.b:c", "x~.db", "./file:x.db", "./~x.db", "sqlite"])
def test_a_name_that_only_resembles_a_url_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with SQLiteSessionService(name) as service:
        assert service.path == Path(os.path.abspath(name))
        assert service.path.exists()


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("fast", 1)])
def test_durability_is_what_was_asked_for(path: Path, durability: Any, synchronous: int) -> None:
    with SQLiteSessionService(path, durability=durability) as service:
        service.create_session()
        assert service._database._write_connection is not None
        connection = service._database._write_connection
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)


def test_a_closed_store_is_one_file(path: Path) -> None:
    fill(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_header_says_what_the_file_is(path: Path) -> None:
    fill(path)
    with SQLiteSessionService(path) as service:
        applied = service.query(
            "SELECT name FROM _sqlite_migrations WHERE migration_set = 'session_sqlite' ORDER BY id"
        )
        assert [row["name"] for row in applied] == [step.__name__ for step in schema.STEPS]
        version = service.db.execute("PRAGMA user_version").fetchone()[0]
        assert version == len(applied) == schema.SCHEMA_VERSION
        assert service.db.execute("PRAGMA application_id").fetchone()[0] == int.from_bytes(b"SSQL", "big")


@pytest.mark.skipif(os.name == "nt", reason="Windows does not let go of an open file")
@pytest.mark.parametrize("way", ["moved", "replaced", "deleted"])
def test_a_file_that_is_moved_replaced_or_deleted_while_it_is_open_takes_and_gives_nothing(
    way: str, path: Path
) -> None:
    with SQLiteSessionService(path.with_name("other.db")) as other:
        other.create_session(session_id="s").add_event("user", "of another")
    with SQLiteSessionService(path) as service:
        session = service.create_session(session_id="s")
        session.add_event("user", "hello")
        if way == "replaced":
            path.with_name("other.db").replace(path)
        elif way == "moved":
            path.rename(path.with_name("elsewhere.db"))
        else:
            path.unlink()
        for call in (lambda: session.add_event("user", "lost?"), session.events, service.check, lambda: service.db):
            with pytest.raises(StoreError, match="moved, replaced or deleted while it was open"):
                call()
        service.close()
    if way == "moved":
        with SQLiteSessionService(path.with_name("elsewhere.db")) as moved:
            assert [event.content for event in moved.list_events("s")] == ["hello"]


def test_a_damaged_name_of_a_table_is_an_error_of_ours(path: Path) -> None:
    SQLiteSessionService(path).close()
    data = path.read_bytes()
    at = data.index(b'CREATE TABLE "events"') + len('CREATE TABLE "')
    path.write_bytes(data[:at] + b"\xa0" + data[at + 1 :])
    for read_only in (False, True):
        with pytest.raises(StoreError, match="damaged"):
            SQLiteSessionService(path, read_only=read_only)


def test_deleted_text_is_overwritten_in_the_file(path: Path) -> None:
    fill(path)
    assert SECRET.encode() in path.read_bytes()
    with SQLiteSessionService(path) as service:
        service.delete_session("s")
    assert SECRET.encode() not in path.read_bytes()


# ---------------------------------------------------------------- older files

BASE_ROWS = (
    "INSERT INTO sessions (id, app_name, user_id, title, created_at, updated_at, last_seq, metadata, initial_state)"
    " VALUES ('s', 'default', 'default', '茶壶', '2026-01-01T00:00:00.000000Z', '2026-01-02T00:00:00.000000Z', 2,"
    """ '{"a":1}', '{"k":1}')""",
    "INSERT INTO events (id, session_id, author, content, created_at, app_name, user_id, seq)"
    " VALUES ('e1', 's', 'user', '你好', '2026-01-01T00:00:00.000000Z', 'default', 'default', 1)",
    "INSERT INTO events (id, session_id, author, content, actions, created_at, app_name, user_id, seq)"
    " VALUES ('e2', 's', 'assistant', 'hello', '[{\"id\":\"c\",\"name\":\"t\",\"output\":1}]',"
    " '2026-01-02T00:00:00.000000Z', 'default', 'default', 2)",
    "INSERT INTO state (app_name, user_id, session_id, key, value, updated_at)"
    " VALUES ('default', 'default', 's', 'k', '1', '2026-01-01T00:00:00.000000Z')",
)


def build_older(path: Path, steps: int, *, search: bool = False) -> None:
    """A file as a release with the first so many steps left it, with rows in it."""
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        db = sqlite_utils.Database(connection, execute_plugins=False)
        migrations = Migrations(schema.MIGRATION_SET)
        for step in schema.STEPS[:steps]:
            migrations()(step)
        migrations.apply(db)
        if search:
            schema.create_search_index(db)
            if schema.add_version_of_search_words not in schema.STEPS[:steps]:
                db.table("search_progress").transform(drop={"words"})
            if schema.index_titles not in schema.STEPS[:steps]:
                db.table("title_words").drop()
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {steps}")
        for row in BASE_ROWS:
            connection.execute(row)


def schema_of(path: Path) -> set[tuple[str, str, str]]:
    """What is in a file; of a table its columns, since their order depends on how old the file is."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = set()
        for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master"):
            if kind == "table" and not name.startswith("search_index"):
                columns = connection.execute(
                    f"SELECT name, type, [notnull], dflt_value, pk FROM pragma_table_info('{name}')"
                )
                keys = connection.execute(f"SELECT * FROM pragma_foreign_key_list('{name}')").fetchall()
                sql = repr((sorted(columns.fetchall(), key=repr), keys))
            found.add((kind, name, sql or ""))
        return found


@pytest.mark.parametrize("search", [False, True], ids=["without index", "with index"])
@pytest.mark.parametrize("steps", range(1, schema.SCHEMA_VERSION + 1))
def test_a_file_of_every_earlier_schema_is_brought_up_to_date(path: Path, steps: int, search: bool) -> None:
    build_older(path, steps, search=search)
    with SQLiteSessionService(path) as service:
        session = service.get_session("s")
        assert (session.last_seq, session.metadata, session.title, session.parent_id) == (2, {"a": 1}, "茶壶", None)
        assert session.created_at == datetime(2026, 1, 1, tzinfo=UTC)
        first, second = session.events()
        assert (first.id, first.content, first.author, first.unreadable) == ("e1", "你好", "user", False)
        assert (second.actions[0].name, second.actions[0].output, second.unreadable) == ("t", 1, False)
        assert service.get_state("s") == {"k": 1}
        assert session.add_event("user", "new", state={"k": 2}).seq == 3
        assert [hit.event.content for hit in service.search("你好")] == ["你好"]
        assert [hit.event.content for hit in service.search("new")] == ["new"]
        assert [hit.title_spans for hit in service.search_sessions("壶")] == [((1, 2),)]
        assert session.fork().last_seq == 3
        assert service.query("SELECT name, status FROM tool_calls WHERE session_id = 's'") == [
            {"name": "t", "status": "ok"}
        ]
        assert service.delete_session("s") is True
        assert service.db.execute("PRAGMA user_version").fetchone()[0] == schema.SCHEMA_VERSION
    with SQLiteSessionService(path) as service:
        assert service.db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert service.db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    new = path.with_name("new.db")
    SQLiteSessionService(new, search=search).close()
    assert schema_of(path) == schema_of(new)


def add_session(path: Path, id: str, made: int, events: dict[str, int], parent: str | None = None,
                parent_seq: int | None = None) -> None:  # fmt: skip
    """A session as an older release left it: its events, each said at a minute and with as many tokens."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        owner = ("default", "default")
        when = "2026-01-01T00:{:02}:00.000000Z".format
        connection.execute(
            "INSERT INTO sessions (id, app_name, user_id, created_at, updated_at, last_seq, parent_id, parent_seq)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (id, *owner, when(made), when(made), 9, parent, parent_seq),
        )
        connection.executemany(
            "INSERT INTO events (id, session_id, author, created_at, app_name, user_id, seq, usage)"
            " VALUES (?, ?, 'assistant', ?, ?, ?, ?, ?)",
            [(event, id, when(minute), *owner, seq, json.dumps({"input_tokens": minute}))
             for seq, (event, minute) in enumerate(events.items(), start=1)],
        )  # fmt: skip
        connection.commit()


def test_the_forks_of_an_older_file_know_their_copies(path: Path) -> None:
    build_older(path, 3)
    add_session(path, "parent", 0, {"a": 1, "b": 2, "c": 3})
    add_session(path, "fork of fork", 11, {"a": 1, "b": 2, "x": 10, "z": 12}, "fork", 3)  # not in the order of making
    add_session(path, "fork", 5, {"a": 1, "b": 2, "x": 10}, "parent", 2)
    add_session(path, "before there was a parent_seq", 5, {"a": 1, "b": 2, "y": 20}, "parent")
    add_session(path, "orphan", 5, {"d": 4, "e": 30}, "gone", 1)
    add_session(path, "its fork", 31, {"d": 4, "e": 30}, "orphan", 2)
    add_session(path, "its sister", 6, {"d": 4, "f": 40}, "gone", 1)
    add_session(path, "of a pruned one", 5, {"b": 2, "own": 50}, "parent", 2)
    add_session(path, "same ids, no fork", 5, {"a": 55})
    with SQLiteSessionService(path) as service:
        found = {
            one.id: [event.copied_from for event in one.events()]
            for one in service.list_sessions()
            if one.id != "s"
        }  # fmt: skip
        assert found == {
            "parent": ["", "", ""],
            "fork": ["parent", "parent", ""],
            "fork of fork": ["parent", "parent", "fork", ""],
            "before there was a parent_seq": ["parent", "parent", ""],
            "orphan": ["gone", ""],
            "its fork": ["gone", "orphan"],
            "its sister": ["gone", ""],
            "of a pruned one": ["parent", ""],
            "same ids, no fork": [""],
        }
        said_once = 1 + 2 + 3 + 4 + 10 + 12 + 20 + 30 + 40 + 50 + 55
        assert service.usage(())[0]["input_tokens"] == said_once
        service.delete_session("parent")
        assert service.usage(())[0]["input_tokens"] == said_once - 3
        service.delete_session("orphan")
        assert service.usage(())[0]["input_tokens"] == said_once - 3


def test_damaged_forks_of_an_older_file_keep_it_from_nothing(path: Path) -> None:
    build_older(path, 3)
    add_session(path, "a", 5, {"a": 1}, "b", 1)
    add_session(path, "b", 5, {"a": 1}, "a", 1)
    for parent_id, parent_seq in (("x'ff'", "1"), ("5", "1"), ("'p'", "'x'"), ("'p'", "x'00'"), (BAD_TEXT, "1")):
        add_session(path, f"{parent_id} {parent_seq}", 5, {"d": 1})
        other_database(path, f"UPDATE sessions SET parent_id = {parent_id}, parent_seq = {parent_seq}"
                             f" WHERE id = '{parent_id.replace(chr(39), chr(39) * 2)} "
                             f"{parent_seq.replace(chr(39), chr(39) * 2)}'")  # fmt: skip
    with SQLiteSessionService(path) as service:
        assert len(service.list_sessions()) == 8
        service.delete_session("s")
        assert service.usage("session_id", until=datetime(2026, 1, 2, tzinfo=UTC))
        counted = service.query("SELECT count(*) AS n FROM counted_events WHERE session_id IN ('a', 'b')")
        assert counted == [{"n": 1}]


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(db: sqlite_utils.Database) -> None:
        db["half"].insert({"a": 1})
        raise sqlite3.OperationalError("disk I/O error")

    build_older(path, 1)
    before = schema_of(path)
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, fails))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", len(schema.STEPS))
    with pytest.raises(StoreError):
        SQLiteSessionService(path)
    assert schema_of(path) == before
    monkeypatch.undo()
    with SQLiteSessionService(path) as service:
        assert len(service.list_events("s")) == 2


# ---------------------------------------------------------------- damaged rows

BAD_TEXT = "CAST(x'ff41' AS TEXT)"
DAMAGE = {
    f"{column} is {name}": (column, value)
    for name, value in {
        "no JSON": "'{not json'",
        "another kind of JSON": "'17'",
        "a list of numbers": "'[1]'",
        "nothing": "''",
        "a number": "5",
        "a blob": "x'ff00'",
        "no UTF-8": BAD_TEXT,
        "deep": f"'{'[' * 5000}'",
        "NaN": "'[NaN]'",
    }.items()
    for column in ("actions", "state", "metadata", "usage")
}
DAMAGE |= {
    f"{column} is {name}": (column, value)
    for name, value in {"a blob": "x'ff00'", "no UTF-8": BAD_TEXT}.items()
    for column in ("id", "author", "content", "reasoning", "agent_id", "branch", "invocation_id", "message",
                   "message_id", "created_at")
}  # fmt: skip
DAMAGE |= {
    "actions without a name": ("actions", '\'[{"id":"x"}]\''),
    "actions with a number as name": ("actions", "'[{\"name\":5}]'"),
    "actions with a number as error": ("actions", '\'[{"name":"t","error":5}]\''),
    "actions is an object": ("actions", "'{}'"),
    "usage with an unknown field": ("usage", "'{\"x\":1}'"),
    "usage with text as number": ("usage", '\'{"input_tokens":"1"}\''),
    "created_at is no time": ("created_at", "'yesterday'"),
    "created_at has no zone": ("created_at", "'2026-01-01 00:00:00'"),
    "created_at is a number": ("created_at", "1767225600"),
    "seq is text": ("seq", "'abc'"),
    "seq is a blob": ("seq", "x'00'"),
    "seq is infinite": ("seq", "9e999"),
    "seq is a fraction": ("seq", "2.5"),
}


@pytest.fixture
def broken(path: Path) -> Iterator[Callable[..., SQLiteSessionService]]:
    """A store with a session of three events, opened again after some SQL."""
    with contextlib.ExitStack() as stack:

        def after(*statements: str) -> SQLiteSessionService:
            with SQLiteSessionService(path) as service:
                session = service.create_session(session_id="s", metadata={"m": 1}, state={"a": 1, "b": 2})
                for id in ("e1", "e2", "e3"):
                    session.add_event("user", f"{SECRET} {id}", id=id)
                service.create_session(session_id="t", metadata={"m": 2})
            other_database(path, *statements)
            return stack.enter_context(SQLiteSessionService(path))

        yield after


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_event_comes_back_unreadable_and_hides_no_other(broken: Any, name: str) -> None:
    column, value = DAMAGE[name]
    service = broken(f"UPDATE events SET {column} = {value} WHERE id = 'e2'")
    events = service.list_events("s")
    assert sorted(event.unreadable for event in events) == [False, False, True]
    assert [event.content for event in events if not event.unreadable] == [f"{SECRET} e1", f"{SECRET} e3"]
    bad = next(event for event in events if event.unreadable)
    raw = json.loads(bad.raw)
    assert raw["session_id"] == "s"
    assert type(bad.seq) is int
    for field in ("author", "content", "reasoning", "agent_id", "branch", "invocation_id", "id", "session_id"):
        assert type(getattr(bad, field)) is str
    assert bad.created_at is None or bad.created_at.tzinfo is UTC
    # Everything else goes on.
    assert len(list(service.iter_events("s"))) == 3
    assert len(service.list_events("s", newest_first=True)) == 3
    assert len(service.last_events("s", 3)) == 3
    for limit in (1, 2):
        service.list_events("s", limit=limit)
        service.list_events("s", limit=limit, newest_first=True)
    events._repr_html_()
    assert service.append_event("s", Event("user", "new", id="new")).seq == 4
    assert service.append_event("s", Event("user", f"{SECRET} e3", id="e3")).content == f"{SECRET} e3"
    service.search(SECRET)
    service.list_events("s", tool="t")
    SQLiteChatMessageHistory("s", service=service).messages  # noqa: B018  # it must not raise
    service.get_session("s").fork(session_id="fork")
    assert len(service.list_events("fork")) == 4
    if column != "seq":  # without a place it is not part of any turn
        assert service.rewind_session("s", turns=1) != []
    assert service.clear_session("s") >= 2
    assert [event for event in service.list_events("s") if event.seq] == []
    service.delete_session("s")
    service.delete_session("fork")
    assert service.db["events"].count == 0


SESSION_DAMAGE = {
    f"{column} is {name}": (column, value)
    for column in ("metadata", "title", "agent_id", "created_at", "updated_at", "last_seq", "parent_id")
    for name, value in {"garbage": "'{x'", "a blob": "x'ff00'", "no UTF-8": BAD_TEXT, "a number": "5"}.items()
}


@pytest.mark.parametrize("name", SESSION_DAMAGE)
def test_a_damaged_session_hides_no_other(broken: Any, name: str) -> None:
    column, value = SESSION_DAMAGE[name]
    service = broken(f"UPDATE sessions SET {column} = {value} WHERE id = 's'")
    for _ in range(2):
        sessions = service.list_sessions()
        assert sorted(session.id for session in sessions) == ["s", "t"]
        sessions._repr_html_()
        seen: list[str] = []
        cursor = None
        for _page in range(5):
            page = service.list_sessions(limit=1, cursor=cursor)
            seen += [session.id for session in page]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert sorted(seen) == ["s", "t"]
        session = service.get_session("s")
        assert isinstance(session.metadata, dict)
        assert type(session.title) is type(session.agent_id) is str
        assert type(session.last_seq) is int
        session._repr_html_()
        service.session_overviews()
        assert [one.id for one in service.list_sessions(metadata={"m": 2})] == ["t"]
        assert len(session.events()) >= 3
        if column == "metadata":
            with pytest.raises(CorruptStoreError):
                service.update_session("s", metadata={"x": 1})
        assert service.update_session("s", title="new").title == "new"
    assert service.delete_session("s") is True


@pytest.mark.parametrize("value", ["'{not json'", "''", "x'ff'", BAD_TEXT, f"'{'[' * 5000}'"])
def test_a_damaged_value_of_state_is_left_out(broken: Any, value: str) -> None:
    service = broken(f"UPDATE state SET value = {value} WHERE key = 'a'")
    session = service.get_session("s")
    assert service.get_state("s") == {"b": 2}
    assert session.state == {"b": 2}
    assert "a" not in session.state
    assert service.get_state_value("s", "a", default="default") == "default"
    assert service.update_state("s", {"c": 3}) == {"b": 2, "c": 3}
    assert session.fork().state == {"b": 2, "c": 3}
    assert service.update_state("s", {"a": 4}) == {"a": 4, "b": 2, "c": 3}


def test_a_damaged_initial_state_does_not_stop_a_rewind(broken: Any) -> None:
    service = broken("UPDATE sessions SET initial_state = '{x' WHERE id = 's'")
    assert [event.id for event in service.rewind_session("s")] == ["e3"]
    assert service.get_state("s") == {"a": 1, "b": 2}


# ---------------------------------------------------------------- where the file is


def test_the_default_file_is_in_the_data_directory_of_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_SQLITE_PATH")
    path = database_file()
    assert path.is_absolute()
    assert path.name == "sessions.db"
    assert "session-sqlite" in str(path)
    assert database_file("other.db").parent == path.parent
    assert database_file(app_name="second").parent != path.parent
    assert not path.exists()


@pytest.mark.parametrize("app_name", [".", "..", "...", "a/b", "../../x", "a\\b", "C:", "a:b", "x" * 128, "应" * 128,
                                      "😀" * 128, "%", "%2E", "a?b#c", "a b", "-", "~", "a*", "|", "é" * 128, "a.",
                                      "NUL"])  # fmt: skip
def test_any_app_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, app_name: str) -> None:
    monkeypatch.delenv("SESSION_SQLITE_PATH")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    root = database_file().parent.parent
    path = database_file(app_name=app_name)
    assert path.parent.parent == root
    assert path.parent.name not in {".", "..", ""}
    assert not set('<>:"/\\|?*') & set(path.parent.name)
    if sys.platform == "linux":  # elsewhere the real data directory is not so easily moved
        with SQLiteSessionService(app_name=app_name) as service:
            assert service.path == path
            service.create_session()


def test_two_apps_never_share_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_SQLITE_PATH")
    apps = [
        ".",
        "..",
        "%2E",
        "%2E%2E",
        "%252E",
        "a/b",
        "a%2Fb",
        "应" * 128,
        "应" * 127,
        "应" * 127 + "用",
        "x" * 128,
        "a",
        "a "[:1] + ".",
    ]
    assert len({database_file(app_name=app) for app in apps}) == len(apps)


def test_the_environment_overrides_where_the_file_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSION_SQLITE_PATH", "here.db")
    assert database_file("x.db", app_name="app") == tmp_path / "here.db"
    with SQLiteSessionService(app_name="app") as service:
        assert service.path == tmp_path / "here.db"
    monkeypatch.setenv("SESSION_SQLITE_PATH", "")
    assert database_file("x.db").name == "x.db"


def test_an_error_about_the_file_carries_no_chat_text(broken: Any) -> None:
    service = broken()
    other_database(service.path, "ALTER TABLE events RENAME TO gone")
    with pytest.raises(StoreError) as caught:
        service.append_event("s", Event("user", SECRET))
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.__cause__)


def test_path_may_be_anything_that_names_a_file(tmp_path: Path) -> None:
    for path in (str(tmp_path / "a.db"), tmp_path / "b.db", os.fsencode(tmp_path / "c.db")):
        SQLiteSessionService(path).close()  # type: ignore[arg-type]  # bytes are a convenience
    with pytest.raises(InvalidInputError):
        SQLiteSessionService(5)  # type: ignore[arg-type]  # on purpose


def test_a_file_that_is_refused_leaves_no_connection_open(path: Path) -> None:
    fill(path)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    code = (
        "import gc, sys, warnings\n"
        "warnings.simplefilter('always')\n"
        "from session_sqlite import SQLiteSessionService, StoreError\n"
        "for read_only in (False, True):\n"
        "    try: SQLiteSessionService(sys.argv[1], read_only=read_only)\n"
        "    except StoreError as error: print(type(error).__name__)\n"
        "gc.collect()\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["CorruptStoreError", "CorruptStoreError"]
    assert "unclosed database" not in result.stderr  # what Python 3.13 and newer say


def test_a_closed_store_does_nothing_when_it_is_collected(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector may run where the stack has no room for a call, as in the middle of a deep JSON text."""
    ran: list[object] = []
    monkeypatch.setattr(database, "_end_of_life", lambda *args: ran.append(args))
    closed, abandoned = SQLiteSessionService(path), SQLiteSessionService(path)
    closed.close()
    del closed
    gc.collect()
    assert ran == []
    del abandoned
    gc.collect()
    assert len(ran) == 1
