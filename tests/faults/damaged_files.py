"""Files that are damaged, foreign, newer, moved or replaced: each gives an error of ours or its true content.

Damage is judged by answers. Every verb that reads is asked about the whole store, and then about the damaged one. An
answer that differs is a wrong one, unless it is an error that says what is wrong with the file, or `check` finds
something. SQLite keeps no checksum of what is in a table: a bit that turns one letter of a value into another is
counted apart, where no word in the search index tells it either. A WAL that was cut off is one that ended earlier.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import test_damage

from session_sqlite import (
    Event,
    NewerSchemaError,
    NotAStoreError,
    ReadOnlyStoreError,
    SessionError,
    SQLiteSessionService,
    StoreError,
)

from .trials import Length, Trial, Tried

DAMAGED: Final = 1_200
PAGE: Final = 4_096
COMMITS: Final = 5  # in the WAL
WRITES: Final = {"backup", "check", "mark_interrupted", "query", "db"}  # or no answers of their own
Calls = list[test_damage.Verb]


def _calls() -> Calls:
    calls = [call for name, some in test_damage.READS.items() if name not in WRITES for call in some]
    return [
        *calls,
        lambda service, _: service.list_events("long"),
        lambda service, _: service.search("camellia", session="long", limit=5),
        lambda service, _: service.get_state("long"),
    ]


@dataclasses.dataclass
class _Store:
    """The bytes of a store, and what it answers; one with a WAL has had several right answers, after each commit."""

    file: bytes
    wal: bytes
    answers: list[set[str]]


def _answers(service: SQLiteSessionService, path: Path, calls: Calls) -> list[Any]:
    """What each call answers, as text, or the error of ours that it raised; any other error is raised."""
    answers: list[Any] = []
    for number, call in enumerate(calls):
        try:
            answers.append(repr(call(service, path)))
        except SessionError as error:
            answers.append(error if isinstance(error, StoreError) else repr(error))
        except BaseException as error:
            error.add_note(f"call {number}")
            raise
    return answers


def _whole(folder: Path, calls: Calls) -> tuple[_Store, _Store]:
    """A store that was closed, and the same with commits that are still in its WAL."""
    path = folder / "store.db"
    path.write_bytes(test_damage.a_store())
    with SQLiteSessionService(path, durability="fast") as service:
        long = service.create_session(session_id="long", state={"step": 1})
        long.add_events([Event("user", f"camellia {n} " * n * 40, metadata={"n": "x" * n * 100}) for n in range(1, 20)])
        service.search("camellia")
    closed = path.read_bytes()
    with SQLiteSessionService(path, durability="fast") as service:
        seen = [_answers(service, path, calls)]
        again = _answers(service, path, calls)
        for number in range(COMMITS):
            service.append_event(("s", "long")[number % 2], Event("user", f"tea {number} " + "camellia " * 300))
            with SQLiteSessionService(path, read_only=True) as looking:  # it scans what is not indexed, and ranks less
                seen.append(_answers(looking, path, calls))
            service.search("camellia")
            seen.append(_answers(service, path, calls))
        # Nobody else has the file open whose locks this would drop.
        live, wal = path.read_bytes(), path.with_name("store.db-wal").read_bytes()
    steady = [first == second for first, second in zip(seen[0], again, strict=True)]  # some say how long ago
    right = [set(answers) if same else set() for answers, same in zip(zip(*seen, strict=True), steady, strict=True)]
    only = [{answer} if same else set() for answer, same in zip(seen[0], steady, strict=True)]
    return _Store(closed, b"", only), _Store(live, wal, right)


# ---------------------------------------------------------------- damage


def _cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def _cut_at_a_page(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data) // PAGE) * PAGE :]


def _zero_a_page(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(max(1, len(data) // PAGE)) * PAGE
    data[at : at + PAGE] = bytes(len(data[at : at + PAGE]))


def _zero_a_sector(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data) // 512) * 512
    data[at : at + 512] = bytes(512)


def _scramble_a_page(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data) // PAGE) * PAGE
    data[at : at + PAGE] = dice.randbytes(len(data[at : at + PAGE]))


def _swap_pages(data: bytearray, dice: random.Random) -> None:
    one, other = (dice.randrange(len(data) // PAGE) * PAGE for _ in range(2))
    data[one : one + PAGE], data[other : other + PAGE] = data[other : other + PAGE], data[one : one + PAGE]


def _flip_a_bit(data: bytearray, dice: random.Random) -> None:
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _flip_in_a_head(data: bytearray, dice: random.Random) -> None:
    """Flips a bit of the head of the file or of a page, where most bits mean something."""
    data[dice.randrange(len(data) // PAGE) * PAGE + dice.randrange(100)] ^= 1 << dice.randrange(8)


DAMAGES: Final[dict[str, Callable[[bytearray, random.Random], None]]] = {
    "cut off": _cut,
    "cut off at a page": _cut_at_a_page,
    "a page zeroed": _zero_a_page,
    "a sector zeroed": _zero_a_sector,
    "a page scrambled": _scramble_a_page,
    "two pages exchanged": _swap_pages,
    "a bit flipped": _flip_a_bit,
    "a bit of a head flipped": _flip_in_a_head,
}
REFUSED, ERROR, REPORTED = "refused", "with an error at a question", "found by `check`"
NOTHING, WRONG = "without effect", "with a wrong answer"
HAS_NEW_EVENTS: Final = "SELECT row_id FROM events WHERE row_id > (SELECT max(indexed) FROM search_progress)"
ONE_LETTER: Final = {"a bit flipped", "a bit of a head flipped"}


def _try_damage(path: Path, store: _Store, kind: str, dice: random.Random, calls: Calls) -> str:
    """Damages a copy of a store, asks it everything, and returns how it took it."""
    file, wal = bytearray(store.file), bytearray(store.wal)
    DAMAGES[kind](wal if wal and dice.random() < 0.6 else file, dice)
    beside = path.with_name(f"{path.name}-wal")
    for old in (beside, path.with_name(f"{path.name}-shm")):
        old.unlink(missing_ok=True)
    path.write_bytes(file)
    if store.wal:
        beside.write_bytes(wal)
    read_only = dice.random() < 0.5
    found, said, may_write = _judged(path, store, calls, read_only=read_only)
    if not may_write:
        assert path.read_bytes() == file, f"{kind}: looking changed the file"
        assert not beside.exists() or beside.read_bytes() in (wal, b""), f"{kind}: looking changed the WAL"
    assert found != WRONG or kind in ONE_LETTER, f"{kind}, and check says ok: {said}"
    return found


def _judged(path: Path, store: _Store, calls: Calls, *, read_only: bool) -> tuple[str, str, bool]:
    """Returns how a damaged store took it, the first wrong answer, and whether reading it may have written.

    The last to close a store moves its WAL into the file, and a search indexes events that it thinks are new.
    """
    may_write = bool(store.wal) and not read_only
    try:
        service = SQLiteSessionService(path, durability="fast", read_only=read_only)
    except StoreError:
        return REFUSED, "", may_write
    with service:
        if not read_only:
            with contextlib.suppress(StoreError):
                may_write |= bool(service.query(HAS_NEW_EVENTS))
        answers = _answers(service, path, calls)
        wrong = [
            f"call {number}: {answer[:300]} instead of {min(right)[:300]}"
            for number, (answer, right) in enumerate(zip(answers, store.answers, strict=True))
            if right and isinstance(answer, str) and answer not in right
        ]
        try:
            reported = not service.check().ok
        except StoreError:
            reported = True
        if wrong and not reported:
            return WRONG, wrong[0], may_write
        if reported:
            return REPORTED, "", may_write
        refused = [answer for answer in answers if not isinstance(answer, str)]
        return ERROR if refused else NOTHING, "", may_write


# ---------------------------------------------------------------- files that are not what they were, or should be


def _foreign_files(folder: Path) -> Iterator[tuple[Path, type[StoreError]]]:
    contents: dict[str, bytes] = {
        "one.txt": b"x",
        "notes.md": b"# Notes\n" * 200,
        "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(5_000),
        "nearly.db": b"SQLite format 3\x00",
        "zeros.db": bytes(8_192),
        "chat.json": b'[{"role": "user"}]' * 100,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        yield folder / name, StoreError
    for name, statement in (
        ("tables.db", "CREATE TABLE events (id)"), ("id.db", "PRAGMA application_id = 7"),
        ("version.db", "PRAGMA user_version = 3"), ("wal.db", "PRAGMA journal_mode = WAL"),
    ):  # fmt: skip
        with contextlib.closing(sqlite3.connect(folder / name)) as other:
            other.execute(statement)
            if name == "wal.db":
                other.execute("CREATE TABLE t (x)")
        yield folder / name, NotAStoreError
    (folder / "folder").mkdir()
    yield folder / "folder", NotAStoreError


def _refuse_foreign(folder: Path, tried: Counter[str]) -> None:
    for path, kind in _foreign_files(folder):
        before = None if path.is_dir() else path.read_bytes()
        for read_only in (False, True):
            _expect(kind, partial(SQLiteSessionService, path, read_only=read_only))
        assert before is None or path.read_bytes() == before, f"{path.name}: a foreign file was changed"
        tried["foreign"] += 1


def _refuse_newer(folder: Path, store: _Store, tried: Counter[str]) -> None:
    for version in (1_000, 2**31 - 1):
        path = folder / f"newer-{version}.db"
        path.write_bytes(store.file)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        before = path.read_bytes()
        for read_only in (False, True):
            _expect(NewerSchemaError, partial(SQLiteSessionService, path, read_only=read_only))
        assert path.read_bytes() == before, "a file of a newer release was changed"
        tried["newer"] += 1


def _refuse_writes_to_read_only(folder: Path, store: _Store, tried: Counter[str]) -> None:
    path = folder / "read-only.db"
    path.write_bytes(store.file)
    with SQLiteSessionService(path, read_only=True) as service:
        for verbs in test_damage.WRITES:
            for name, call in verbs:
                if name not in ("last_events", "import_", "check", "prune", "erase"):
                    with contextlib.suppress(ReadOnlyStoreError):
                        call(service, path)
    assert path.read_bytes() == store.file, "a file that is only read was changed"
    tried["read-only"] += 1


def _displace(folder: Path, store: _Store, tried: Counter[str]) -> None:
    """Moves, replaces or deletes a file while it is open: nothing is acknowledged that the path does not have."""

    def move(path: Path) -> None:
        path.rename(path.with_name("elsewhere.db"))

    def replace(path: Path) -> None:
        other = path.with_name("other.db")
        other.write_bytes(store.file)
        other.replace(path)

    def move_with_its_folder(path: Path) -> None:
        path.parent.rename(path.parent.with_name("moved-folder"))

    ways: list[Callable[[Path], object]] = [move, replace, Path.unlink, move_with_its_folder]
    for number, displace in enumerate(ways):
        path = folder / f"displaced-{number}" / "store.db"
        path.parent.mkdir()
        path.write_bytes(store.file)
        with SQLiteSessionService(path) as service:
            service.list_events("s")
            displace(path)
            _expect(StoreError, partial(service.append_event, "s", Event("user", "lost?")))
            _expect(StoreError, partial(service.list_events, "s"))
        shutil.rmtree(path.parent, ignore_errors=True)
        tried["moved or replaced"] += 1


ODD_NAMES: Final = ["a?mode=memory", "a#b", "a%20b", "with blank ", "100%", "名字", "é", "-wal", "a;b", "a'b\"c",
                    "x" * 200, "a&cache=shared", "&", "~", "a\\b", ":memory:x", "nul.db"]  # fmt: skip


def _open_odd_paths(folder: Path, tried: Counter[str]) -> None:
    for name in ODD_NAMES:
        path = folder / "odd" / f"d {name}"[:200] / name
        with SQLiteSessionService(path) as service:
            service.create_session(session_id="s").add_event("user", name)
        assert path.exists(), f"{name!r}: the store was made elsewhere"
        with SQLiteSessionService(path, read_only=True) as service:
            assert [event.content for event in service.list_events("s")] == [name]
        tried["odd paths"] += 1


def _expect(kind: type[StoreError], call: Callable[[], Any]) -> None:
    try:
        answer = call()
    except kind:
        return
    with contextlib.suppress(AttributeError):
        answer.close()
    raise AssertionError(f"no {kind.__name__}, but {answer!r}")


# ---------------------------------------------------------------- the trial


def _run(folder: Path, length: Length) -> Tried:
    dice = random.Random(16)
    calls = _calls()
    stores = _whole(folder, calls)
    tried: Counter[str] = Counter()
    _refuse_foreign(folder, tried)
    _refuse_newer(folder, stores[0], tried)
    _refuse_writes_to_read_only(folder, stores[0], tried)
    if os.name == "posix":  # Windows does not let go of an open file, and has fewer names
        _displace(folder, stores[0], tried)
        _open_odd_paths(folder, tried)
    kinds = list(DAMAGES)
    found: Counter[str] = Counter()
    count = length.of(DAMAGED, at_least=2 * len(kinds))
    for number in range(count):
        kind = kinds[number % len(kinds)]
        found[_try_damage(folder / "damaged.db", stores[dice.random() < 0.4], kind, dice, calls)] += 1
    others = ", ".join(f"{count} {name}" for name, count in tried.items())
    what = (
        f"{count:,} damaged files (cut off, zeroed, scrambled or exchanged pages, flipped bits; also in the WAL), each "
        f"asked {len(calls)} questions; {others}"
    )
    taken = ", ".join(f"{found[name]:,} {name}" for name in (REFUSED, ERROR, REPORTED, NOTHING))
    return Tried(
        what,
        f"{taken}; 0 bytes changed by reading; {found[WRONG]} flipped bits changed a letter or digit that no word of "
        "the index tells, since SQLite keeps no checksums",
    )


DAMAGED_FILES: Final = Trial(
    "damaged-files", "A file that is damaged or not ours gives an error, a marked event or a finding of `check`", _run
)
