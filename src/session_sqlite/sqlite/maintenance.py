"""Looking after a SQLite file: backing it up, checking it, making deleted text unrecoverable.

Functions of a `File`. None of them opens the file with ordinary I/O: closing it would drop the locks that
SQLite holds on it in this process.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from session_sqlite import codec, queries, search
from session_sqlite.database import Transaction
from session_sqlite.errors import CorruptStoreError, InvalidInputError, StoreError
from session_sqlite.pages import CheckReport, Finding
from session_sqlite.sqlite import schema, statements
from session_sqlite.sqlite.driver import BUSY, Connection, damaged_text_as_bytes, primary_code
from session_sqlite.sqlite.paths import file_text
from session_sqlite.sqlite.search_index import OUR_WORDS, SQLiteSearchIndex, progress, words_of_row

T = TypeVar("T")

READERS_PATIENCE: Final = 1.0  # seconds: how long a purge waits for others to finish reading
CHECKPOINT_PAUSE: Final = 0.02  # seconds
LARGE_WAL_BYTES: Final = 64 * 1024 * 1024
# The WAL-reset bug: when the checkpoints of two processes meet, the file is corrupted, which is very rare.
WAL_RESET_FIXED_IN: Final = (3, 51, 3)
WAL_RESET_BACKPORTS: Final = frozenset({(3, 44, 6), (3, 50, 7)})
REMOTE_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "fuse.sshfs", "afs", "ceph", "glusterfs", "lustre",
     "vboxsf", "prl_fs", "fuse.s3fs", "davfs", "fuse.rclone"}
)  # fmt: skip


class File(Protocol):
    """The part of a `SQLiteDatabase` that these functions use."""

    @property
    def path(self) -> Path | None:
        """Returns the file's absolute path; None for a store in memory."""

    @property
    def index(self) -> SQLiteSearchIndex | None:
        """Returns the search index, if the file has one."""

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Runs a function in a write transaction."""

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Repeats an attempt until no other process holds a lock, or the deadline has passed."""

    def connection_to_read(self) -> AbstractContextManager[sqlite3.Connection]:
        """Returns a connection that only reads, for long work."""

    def connection_to_write(self) -> AbstractContextManager[sqlite3.Connection]:
        """Returns the writer connection, outside of any transaction."""


# ---------------------------------------------------------------- backup


def backup(database: File, target: object, *, overwrite: bool) -> Path:
    """Copies the whole store, as of one moment, into a new file that its owner alone can read."""
    path = Path(os.path.abspath(file_text(target, "the target of a backup")))
    # `mkstemp` would choose the name: after an interrupt before it returns, nobody could remove its file.
    partial = path.with_name(f".{path.name[:50]}.{uuid.uuid4().hex}.partial")
    try:
        _check_target(database, path, overwrite=overwrite)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            _copy(database, partial)
            if overwrite:
                os.replace(partial, path)
            else:
                _move_to_a_new_name(partial, path)
        finally:
            _remove(partial)  # once more, in case an interrupt cut the first one off
    except OSError as error:
        raise StoreError(f"the backup {str(path)!r} cannot be written: {error.strerror}") from error
    return path


def _copy(database: File, partial: Path) -> None:
    copied = False
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with (
            database.connection_to_read() as source,
            contextlib.closing(sqlite3.connect(partial, isolation_level=None, factory=Connection)) as copy,
        ):
            # All pages in one step: with smaller ones a backup may never end while others write.
            source.backup(copy, pages=-1)
            # Without WAL the copy is a single file, which can be moved; opening it as a store switches to WAL again.
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
        copied = True
    finally:
        if not copied:
            _remove(partial)


def _remove(partial: Path) -> None:
    """Removes an unfinished copy, and the journal that an interrupt may have left beside it."""
    for file in (partial, *_companions(partial)):
        file.unlink(missing_ok=True)


def _check_target(database: File, path: Path, *, overwrite: bool) -> None:
    if database.path is not None and path.exists() and path.samefile(database.path):
        raise InvalidInputError("a store cannot be backed up onto itself")
    if path.exists() and not overwrite:
        raise _is_there(path)
    if path.is_dir():
        raise InvalidInputError(f"{str(path)!r} is a directory: name a file in it")
    if database.path is not None and path in _companions(database.path):
        raise InvalidInputError("that file is a part of the store itself: name another")
    for companion in _companions(path):
        # SQLite would take the file for a part of the copy. A store that was closed leaves none behind.
        found = _status(companion)
        if found is not None and (found.st_size or _is_open(path)):
            raise InvalidInputError(
                f"beside {str(path)!r} is {companion.name!r} of a store that is open, or that was not closed: name "
                "another file"
            )


def _is_there(path: Path) -> InvalidInputError:
    return InvalidInputError(f"there is a file at {str(path)!r}: name another, or say overwrite=True")


def _move_to_a_new_name(partial: Path, path: Path) -> None:
    """Gives the finished copy its name, unless another process has made a file of that name meanwhile."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise _is_there(path) from None
    except OSError:  # the file system has no hard links
        os.replace(partial, path)


def _is_open(path: Path) -> bool:
    """Returns True if some process has the database open: then SQLite does not let it leave WAL mode."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=1)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.DatabaseError as error:
        return primary_code(error) in BUSY
    return False


def _status(path: Path) -> os.stat_result | None:
    """Returns the state of a file; None if it is not there: the last process that had it may have just removed it."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _companions(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-journal")]


# ---------------------------------------------------------------- purge


def purge(database: File) -> list[str]:
    """Rewrites the file without deleted text, and empties the WAL; returns the places that may still hold such text."""
    remaining: list[str] = []
    with database.connection_to_write() as connection:
        try:
            if database.index is not None:
                # Removed words stay in older segments of the index until those are merged.
                database.patiently(lambda: connection.execute(statements.OPTIMIZE_INDEX))
            # Freed pages are zeroed (secure_delete), but cells that were moved within the file may have left copies.
            database.patiently(lambda: connection.execute("VACUUM"))
        except (StoreError, sqlite3.OperationalError) as error:
            name = getattr(error, "sqlite_errorname", "another writer holds the store")
            remaining.append(f"free space in the file: it could not be rewritten now ({name}); erase again")
        if database.path is not None and not _empty_wal(connection):
            remaining.append("the WAL: another connection is reading; erase again when it has finished")
    return remaining


def _empty_wal(connection: sqlite3.Connection) -> bool:
    deadline = time.monotonic() + READERS_PATIENCE
    while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline:
            return False
        time.sleep(CHECKPOINT_PAUSE)
    return True


# ---------------------------------------------------------------- check


def check(database: File, *, repair: bool) -> CheckReport:
    """Checks everything that can go wrong with a file, and repairs what can be rebuilt if ``repair`` is set."""
    report = CheckReport()
    with database.connection_to_read() as connection:
        report.append(_sqlite_version())
        report += _file(database)
        for name, look in _LOOKS:
            try:
                report.append(look(connection))
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # SQLite's words may have a damaged name
                code = getattr(error, "sqlite_errorname", type(error).__name__)
                report.append(Finding(name, "error", f"a part of the file cannot be read ({code})", _RESTORE))
        if database.index is not None:
            report.append(_search_index(connection))
    damaged = any(finding.level == "error" and finding.advice == _RESTORE for finding in report)
    if repair and not damaged:  # writing to a damaged file may damage more of it
        for place, finding in enumerate(report):
            mend = _REPAIRS.get(finding.name)
            if finding.level == "error" and mend is not None:
                try:
                    mend(database)
                except CorruptStoreError:  # the rows do not allow it: another finding says so
                    continue
                report[place] = Finding(finding.name, finding.level, finding.message, finding.advice, repaired=True)
    return report


_RESTORE: Final = "restore the file from a backup"


def _sqlite_version() -> Finding:
    version = sqlite3.sqlite_version_info
    name = f"SQLite {sqlite3.sqlite_version}"
    if version >= WAL_RESET_FIXED_IN or version in WAL_RESET_BACKPORTS:
        return Finding("SQLite", "ok", name)
    return Finding(
        "SQLite", "warning",
        f"{name} has the WAL-reset bug: very rarely, two processes that write can damage the file",
        "use a Python with SQLite 3.51.3 or newer if several processes write, and keep backups",
    )  # fmt: skip


def _file(database: File) -> Iterator[Finding]:
    path = database.path
    if path is None:
        return
    if os.name == "posix":
        files = (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"))
        open_files = [
            file.name
            for file, found in ((file, _status(file)) for file in files)
            if found is not None and stat.S_IMODE(found.st_mode) & 0o077
        ]
        if open_files:
            yield Finding(
                "permissions", "warning", f"others on this machine can read {', '.join(open_files)}",
                f"chmod 600 {path}*",
            )  # fmt: skip
        else:
            yield Finding("permissions", "ok", "only the owner can read the file")
    kind = _file_system(path)
    if kind in REMOTE_FILE_SYSTEMS:
        yield Finding(
            "file system", "error", f"the file is on {kind}, where SQLite's WAL is not safe",
            "move it to a local disk, or use one of the servers",
        )  # fmt: skip
    else:
        yield Finding("file system", "ok", kind or "not known here")
    wal = _status(path.with_name(f"{path.name}-wal"))
    size = 0 if wal is None else wal.st_size
    if size > LARGE_WAL_BYTES:
        yield Finding(
            "WAL", "warning", f"the WAL has {size:,} bytes: some process reads without end, or ended without closing",
            "close what keeps reading; the last to close the store empties the WAL",
        )  # fmt: skip
    else:
        yield Finding("WAL", "ok", f"{size:,} bytes")


def _file_system(path: Path) -> str:
    """Returns the type of the file system that a path is on; empty if it is unknown."""
    if not sys.platform.startswith("linux"):
        return ""
    best, kind = "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                _, point, name, *_ = line.split(" ")
                point = point.replace("\\040", " ")
                inside = str(path) == point or str(path).startswith(f"{point.rstrip('/')}/")
                if inside and len(point) >= len(best):
                    best, kind = point, name
    except (OSError, ValueError):
        return ""
    return kind


def _integrity(connection: sqlite3.Connection) -> Finding:
    try:
        faults = [row[0] for row in connection.execute("PRAGMA integrity_check(20)").fetchall()]
    except sqlite3.DatabaseError as error:
        faults = [getattr(error, "sqlite_errorname", type(error).__name__)]
    if faults == ["ok"]:
        return Finding("integrity", "ok", "every page and index is sound")
    only_indexes = all(" index " in f" {fault} " and "FTS5" not in fault for fault in faults)
    name = "indexes" if only_indexes else "integrity"
    advice = "check(repair=True) builds the indexes again" if only_indexes else _RESTORE
    return Finding(name, "error", f"{len(faults)} faults, the first: {faults[0]}", advice)


def _foreign_keys(connection: sqlite3.Connection) -> Finding:
    count = len(connection.execute("PRAGMA foreign_key_check").fetchall())
    if count:
        return Finding(
            "foreign keys", "error", f"{count:,} events belong to no session",
            "another program deleted sessions without foreign keys; look with service.db, and delete them with it",
        )  # fmt: skip
    return Finding("foreign keys", "ok", "every event belongs to a session")


def _order(connection: sqlite3.Connection) -> Finding:
    wrong = connection.execute(statements.COUNT_WRONG_LAST_SEQS).fetchone()[0]
    if wrong:
        return Finding(
            "order", "error",
            f"{wrong:,} sessions have a last_seq that is no number, or events beyond it: they take no events",
            "check(repair=True) sets last_seq to the highest seq",
        )  # fmt: skip
    return Finding("order", "ok", "no session has an event beyond its last_seq")


def _sessions(connection: sqlite3.Connection) -> Finding:
    bad: Counter[str] = Counter()
    with damaged_text_as_bytes(connection):
        for row in connection.execute(statements.SESSIONS_TO_CHECK):
            *columns, initial_state = row
            bad.update(codec.unreadable_columns(columns))
            bad["initial_state"] += not codec.is_state(initial_state)
    del bad["last_seq"]  # `_order` reports these
    faults = [f"{name} of {count:,}" for name, count in bad.items() if count]
    if faults:
        return Finding(
            "sessions", "error", f"columns of sessions that cannot be read and are shown as empty: {', '.join(faults)}",
            "give those sessions new values with update_session, or restore the file from a backup",
        )  # fmt: skip
    return Finding("sessions", "ok", "every session can be read")


def _readable(connection: sqlite3.Connection) -> Finding:
    with damaged_text_as_bytes(connection):
        bad = sum(codec.decode_event(row).unreadable for row in connection.execute(queries.EVENTS))
    if bad:
        return Finding(
            "events", "error", f"{bad:,} events cannot be read; they come back marked unreadable",
            "export them with their raw text, or restore the file from a backup",
        )  # fmt: skip
    return Finding("events", "ok", "every event can be read")


def _stray_state(connection: sqlite3.Connection) -> Finding:
    count = connection.execute(queries.COUNT_STRAY_STATE).fetchone()[0]
    if count:
        return Finding("state", "error", f"{count:,} values belong to no session", "check(repair=True) deletes them")
    return Finding("state", "ok", "every value belongs to a session, a user or an app")


def _readable_state(connection: sqlite3.Connection) -> Finding:
    with damaged_text_as_bytes(connection):
        bad = sum(not codec.is_state_row(*row) for row in connection.execute(queries.STATE_TO_CHECK))
    if bad:
        return Finding(
            "values of state", "error", f"{bad:,} cannot be read and are left out",
            "set those keys again with update_state, or restore the file from a backup",
        )  # fmt: skip
    return Finding("values of state", "ok", "every value can be read")


def _search_index(connection: sqlite3.Connection) -> Finding:
    """Compares the index with the words that it should have; counts by word and column show superfluous words too."""
    advice = "check(repair=True) builds the index again"
    try:
        with damaged_text_as_bytes(connection):
            connection.execute("BEGIN")
            try:
                indexed, _, is_ours = progress(connection.execute(statements.INDEXED, OUR_WORDS).fetchall())
                if indexed is None:
                    return Finding("search index", "error", "how far it has got cannot be read", advice)
                waiting = connection.execute(statements.COUNT_NOT_INDEXED, {"indexed": indexed}).fetchone()[0]
                expected: Counter[tuple[object, ...]] = Counter()
                for row in connection.execute(statements.EVENTS_UP_TO, {"until_row": indexed}):
                    for column, words in words_of_row(row).items():
                        for word in words.split(" "):
                            if word:
                                expected[(word, column)] += 1
                connection.execute(schema.OPEN_VOCABULARY)
                with contextlib.closing(connection.execute(statements.VOCABULARY)) as rows:
                    found: Counter[tuple[object, ...]] = Counter(
                        {
                            (word if isinstance(word, str) else repr(word), column): count
                            for word, column, count in rows
                        }
                    )  # fmt: skip
                for app, user, id, title in connection.execute(queries.TITLES):
                    expected.update((app, user, word, id) for word in search.title_words(title))
                found.update(connection.execute(statements.ALL_TITLE_WORDS))
            finally:
                connection.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return Finding("search index", "error", f"it cannot be read ({name})", advice)
    if not is_ours:
        message = "its words are of another release: searches read every event until one of them may make it anew"
        return Finding("search index", "ok", message)
    if found != expected:
        missing, ghosts = sum((expected - found).values()), sum((found - expected).values())
        message = f"{missing:,} words are missing, {ghosts:,} are in no event or title"
        return Finding("search index", "error", message, advice)
    words = f"{sum(expected.values()):,} words"
    if waiting:
        events = "1 event is" if waiting == 1 else f"{waiting:,} events are"
        return Finding("search index", "ok", f"{words}; {events} not indexed yet: a search does that first")
    return Finding("search index", "ok", f"{words}, all where they should be")


def _ids(connection: sqlite3.Connection) -> Finding:
    twice = connection.execute(queries.COUNT_IDS_OF_SEVERAL).fetchone()[0]
    if twice:
        return Finding(
            "ids", "error", f"{twice:,} ids belong to several events of one session: a call by id means the first",
            "another program wrote them; look with service.db, and delete or rename them with it",
        )  # fmt: skip
    return Finding("ids", "ok", "no two events of a session have one id")


def _views(connection: sqlite3.Connection) -> Finding:
    return _parts(connection, "view", "check(repair=True) creates them again")


def _indexes(connection: sqlite3.Connection) -> Finding:
    return _parts(connection, "index", "check(repair=True) creates them again")


def _parts(connection: sqlite3.Connection, kind: str, advice: str) -> Finding:
    """Compares the views or indexes of the file with those of a store that is new."""
    there = dict(connection.execute(statements.PARTS, {"kind": kind}).fetchall())
    expected = schema.parts(kind)
    missing = [name for name in expected if name not in there]
    changed = [name for name, sql in expected.items() if name in there and not schema.is_same(there[name], sql)]
    plural = _PARTS[kind]
    if not missing and not changed:
        return Finding(plural, "ok", f"every {kind} is there")
    faults = [f"{', '.join(names)} {what}" for names, what in ((missing, "missing"), (changed, "changed")) if names]
    return Finding(plural, "error", "; ".join(faults), advice)


_PARTS: Final = {"view": "views", "index": "indexes of the tables", "trigger": "triggers"}


def _triggers(connection: sqlite3.Connection) -> Finding:
    finding = _parts(connection, "trigger", "check(repair=True) creates them again")
    names = {name for name, _ in connection.execute(statements.PARTS, {"kind": "trigger"}).fetchall()}
    if finding.level == "ok" and (others := sorted(names - schema.TRIGGERS.keys())):
        return Finding(
            "triggers", "warning", f"another program runs statements of its own with ours: {', '.join(others)}",
            "drop those that you do not know",
        )  # fmt: skip
    return finding


def _create_again(kind: str) -> Callable[[File], None]:
    def create(database: File) -> None:
        def work(tx: Transaction) -> None:
            there: dict[str, str] = dict(tx.rows(statements.PARTS, {"kind": kind}))
            for name, sql in schema.parts(kind).items():
                if name not in there or not schema.is_same(there[name], sql):
                    tx.run(f'DROP {kind} IF EXISTS "{name}"', {})
                    tx.run(sql, {})
            if kind == "trigger":
                tx.run(statements.CHANGE_REVISIONS, {})  # without them nobody took note of what was changed

        database.write(work)

    return create


def _rebuild_index(database: File) -> None:
    if database.index is not None:
        database.index.rebuild()


def _reindex(database: File) -> None:
    with database.connection_to_write() as connection:
        connection.execute("REINDEX")


_LOOKS: Final[tuple[tuple[str, Callable[[sqlite3.Connection], Finding]], ...]] = (
    ("integrity", _integrity),
    ("foreign keys", _foreign_keys),
    ("order", _order),
    ("sessions", _sessions),
    ("events", _readable),
    ("state", _stray_state),
    ("values of state", _readable_state),
    ("ids", _ids),
    ("views", _views),
    ("indexes of the tables", _indexes),
    ("triggers", _triggers),
)
_REPAIRS: Final[dict[str, Callable[[File], Any]]] = {
    "indexes": _reindex,
    "order": lambda database: database.write(lambda tx: tx.run(statements.CORRECT_LAST_SEQ, {})),
    "state": lambda database: database.write(lambda tx: tx.run(queries.DELETE_STRAY_STATE, {})),
    "views": _create_again("view"),
    "indexes of the tables": _create_again("index"),
    "triggers": _create_again("trigger"),
    "search index": _rebuild_index,
}
