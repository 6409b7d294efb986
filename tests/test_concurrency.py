"""Many processes, threads, forks and event loops on one file: nothing is lost, nothing hangs, no lock stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import multiprocessing
import os
import queue
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import backends
import pytest

from session_sqlite import (
    AsyncSessionService,
    Event,
    QueryError,
    SQLAlchemySessionService,
    SQLiteSessionService,
    StoreBusyError,
    StoreClosedError,
)
from session_sqlite.sqlite.calls import Call, Turns

PROCESSES = 8
APPENDS = 300
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def open_at(where: str, **options: Any) -> Any:
    """The store at a path or at a server's URL."""
    if "://" in where:
        return SQLAlchemySessionService(where)
    return SQLiteSessionService(where, **options)


@pytest.fixture
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store is, or may be made: a path, or a server's URL."""
    kind = getattr(request, "param", "file")
    return str(tmp_path / "sessions.db") if kind == "file" else backends.empty_store(kind)


@pytest.fixture
def appends(where: str) -> int:
    """How many appends a process makes: a server's wait for each other at every one."""
    return APPENDS // 6 if "://" in where else APPENDS


EVERY_BACKEND = pytest.mark.every_backend("where")

# ---------------------------------------------------------------- processes
# The workers import this module: they are made once, and take one task after the other.


def append_many(path: str, worker: int, sessions: list[str], count: int) -> None:
    with open_at(path, durability="fast") as service:
        for number in range(count):
            service.append_event(sessions[number % len(sessions)], Event("user", f"{worker}:{number}"))


def open_and_close(path: str, worker: int, barrier: Any) -> None:
    barrier.wait(60)
    for number in range(30):
        with SQLiteSessionService(path, read_only=worker % 4 == 3) as service:
            if worker % 4 != 3:
                service.append_event("s", Event("user", f"{worker}:{number}"))
            assert service.get_session("s").id == "s"


def retry_same(path: str, worker: int, barrier: Any) -> None:
    barrier.wait(60)
    with open_at(path) as service:
        for number in range(20):
            service.append_events("s", [Event("user", f"{number} {part}", id=f"{number}-{part}") for part in "ab"])


def read_modify_write(path: str, worker: int, barrier: Any) -> None:
    """Counts in the state with `expected_seq`: the losers of each race read again."""
    from session_sqlite import StaleSessionError

    barrier.wait(60)
    with open_at(path, durability="fast") as service:
        for _ in range(15):
            while True:
                seen = service.get_session("s").last_seq
                count = service.get_state_value("s", "count", default=0)
                try:
                    service.append_event("s", Event("user", state={"count": count + 1}), expected_seq=seen)
                    break
                except StaleSessionError:
                    continue


def _work(tasks: Any, results: Any, barrier: Any, worker: int) -> None:
    for name, args in iter(tasks.get, None):
        try:
            function: Callable[..., None] = globals()[name]
            function(*(barrier if arg == "barrier" else worker if arg == "worker" else arg for arg in args))
            results.put("")
        except BaseException as error:  # noqa: BLE001  # the test says what it was
            results.put(f"{type(error).__name__}: {error}")


class Workers:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._barrier = context.Barrier(PROCESSES)  # kept: a semaphore must outlive the start of its processes
        self._results = context.Queue()
        self._tasks = [context.Queue() for _ in range(PROCESSES)]
        self._processes = [
            context.Process(target=_work, args=(tasks, self._results, self._barrier, worker), daemon=True)
            for worker, tasks in enumerate(self._tasks)
        ]
        for process in self._processes:
            process.start()

    def all_run(self, function: Callable[..., None], *args: Any) -> None:
        """Runs a function in all processes at once; fails with what went wrong in any."""
        for tasks in self._tasks:
            tasks.put((function.__name__, args))
        failures: list[str] = []
        deadline = time.monotonic() + 90
        while len(failures) < PROCESSES:
            with contextlib.suppress(queue.Empty):
                failures.append(self._results.get(timeout=1))
            assert all(process.is_alive() for process in self._processes), "a process died"
            assert time.monotonic() < deadline, "a process hangs"
        assert [failure for failure in failures if failure] == []

    def close(self) -> None:
        for tasks in self._tasks:
            tasks.put(None)
        for process in self._processes:
            process.join(20)
            if process.is_alive():
                process.kill()


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    workers = Workers()
    yield workers
    workers.close()


@EVERY_BACKEND
@pytest.mark.parametrize("count", [1, 5], ids=["one session", "several sessions"])
def test_eight_processes_append_without_an_error_and_without_a_gap(
    where: str, workers: Workers, count: int, appends: int
) -> None:
    sessions = [f"s{number}" for number in range(count)]
    with open_at(where) as service:
        for id in sessions:
            service.create_session(session_id=id)
        workers.all_run(append_many, where, "worker", sessions, appends)
        seen = []
        for id in sessions:
            events = service.list_events(id)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert service.get_session(id).last_seq == len(events) == PROCESSES * appends // count
            seen += [event.content for event in events]
            for worker in range(PROCESSES):
                own = [int(event.content.split(":")[1]) for event in events if event.content.startswith(f"{worker}:")]
                assert own == sorted(own), "each writer's events are in its own order"
        assert sorted(seen) == sorted(f"{worker}:{n}" for worker in range(PROCESSES) for n in range(appends))
        assert service.check().ok


def test_opening_and_closing_at_once_loses_nothing(path: Path, workers: Workers) -> None:
    with SQLiteSessionService(path) as service:
        service.create_session(session_id="s")
    workers.all_run(open_and_close, str(path), "worker", "barrier")
    with SQLiteSessionService(path) as service:
        assert len(service.list_events("s")) == 6 * 30


@EVERY_BACKEND
def test_the_same_retries_from_all_processes_are_stored_once(where: str, workers: Workers) -> None:
    with open_at(where) as service:
        service.create_session(session_id="s")
        workers.all_run(retry_same, where, "worker", "barrier")
        events = service.list_events("s")
        assert [event.seq for event in events] == list(range(1, 41))
        assert {event.id for event in events} == {f"{number}-{part}" for number in range(20) for part in "ab"}


@EVERY_BACKEND
def test_expected_seq_makes_reading_and_writing_one_step(where: str, workers: Workers) -> None:
    with open_at(where) as service:
        service.create_session(session_id="s")
        workers.all_run(read_modify_write, where, "worker", "barrier")
        assert service.get_state("s") == {"count": PROCESSES * 15}


def run(code: str, *args: object, timeout: float = 60) -> str:
    """What a Python program prints; it must end well, and in time."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *map(str, args)],
        capture_output=True, text=True, encoding="utf-8", timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            with contextlib.suppress(BrokenPipeError):
                holder.communicate("\n", timeout=20)


def test_a_lock_that_is_held_too_long_is_an_error_and_nothing_is_written(path: Path) -> None:
    with SQLiteSessionService(path, busy_timeout=0.3) as service:
        session = service.create_session(session_id="s", state={"k": 1})
        session.add_event("user", "before")
        writes: list[Callable[[], Any]] = [
            lambda: session.add_event("user", "never", state={"k": 2}),
            lambda: session.clear(),
            lambda: session.delete(),
            lambda: session.update(title="never"),
            lambda: service.update_state(session, {"k": 2}),
            lambda: service.create_session(session_id="never"),
        ]
        with locked_by_another_process(path):
            for write in writes:
                begin = time.monotonic()
                with pytest.raises(StoreBusyError, match="try again"):
                    write()
                assert 0.25 < time.monotonic() - begin < 3
            # Readers never wait for a writer.
            assert [event.content for event in session.events()] == ["before"]
            assert len(service.search("before")) == 1
            with SQLiteSessionService(path, busy_timeout=0.3) as another:
                assert another.get_session("s").last_seq == 1
        assert service.get_state("s") == {"k": 1}
        assert [one.id for one in service.list_sessions()] == ["s"]
        assert session.add_event("user", "after").seq == 2


def test_a_lock_that_is_given_up_in_time_is_waited_for(path: Path) -> None:
    with SQLiteSessionService(path, busy_timeout=20) as service:
        session = service.create_session()
        with ThreadPoolExecutor(1) as pool:
            with locked_by_another_process(path):
                waiting = pool.submit(session.add_event, "user", "waited")
                time.sleep(0.3)
                assert not waiting.done()
            assert waiting.result(20).seq == 1


# ---------------------------------------------------------------- threads


def test_threads_share_an_in_memory_service() -> None:
    with SQLiteSessionService(":memory:") as service:
        session = service.create_session()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: (session.add_event("user", str(n)), session.events(), service.db["events"].count),
                          range(200)))  # fmt: skip
        assert [event.seq for event in session.events()] == list(range(1, 201))


@EVERY_BACKEND
def test_closing_while_threads_work_is_an_error_of_ours_for_them(where: str) -> None:
    for _ in range(5):
        service = open_at(where, durability="fast")
        session = service.create_session()
        outcomes: list[BaseException] = []

        def work(session: Any = session, outcomes: list[BaseException] = outcomes) -> None:
            try:
                while True:
                    session.add_event("user")
                    session.events()
            except BaseException as error:  # noqa: BLE001  # looked at below
                outcomes.append(error)  # noqa: B023  # it is bound: by its own default

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        service.close()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert {type(error) for error in outcomes} == {StoreClosedError}


CLOSED_BENEATH = """
import sys, threading, time
from pathlib import Path
from session_sqlite import SQLiteSessionService, StoreClosedError

path, backups = Path(sys.argv[1]) / "a.db", Path(sys.argv[1]) / "backup.db"
end = time.monotonic() + 4
while time.monotonic() < end:
    service = SQLiteSessionService(path, durability="fast")
    session = service.create_session()
    verbs = [
        lambda: session.add_event("user", "tea"),
        lambda: session.events(limit=5),
        lambda: service.search("tea", limit=3),
        lambda: service.query("SELECT count(*) FROM events"),
        lambda: list(session.iter_events(limit=5)),
        lambda: service.db.execute("SELECT count(*) FROM events").fetchall(),
        lambda: service.backup(backups, overwrite=True),
        lambda: session.state.update(a=1),
    ]
    wrong = []

    def work(verb):
        try:
            while True:
                verb()
        except StoreClosedError:
            pass
        except BaseException as error:
            # The Database of `db` is sqlite-utils' own, so its error is the driver's.
            if not (type(error).__name__ == "ProgrammingError" and "closed database" in str(error)):
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(verb,)) for verb in verbs]
    for thread in threads:
        thread.start()
    time.sleep(0.02)
    service.close()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong, wrong
"""


def test_no_verb_of_another_thread_crashes_the_process_when_the_service_is_closed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLOSED_BENEATH, str(tmp_path)],
        capture_output=True, text=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


CLOSED_IN_A_STATEMENT = """
import sqlite3, sys, threading
from session_sqlite.sqlite.calls import SharedConnection

connection = sqlite3.connect(":memory:", check_same_thread=False, factory=SharedConnection)
inside, go_on, outcome, waited = threading.Event(), threading.Event(), [], []
connection.create_function("wait", 0, lambda: (inside.set(), waited.append(go_on.wait(5))) and None)
connection.execute("CREATE TABLE t(a)")
run = {"execute": lambda: connection.execute("SELECT wait()"),
       "executemany": lambda: connection.executemany("INSERT INTO t VALUES(wait())", [(), ()]),
       "executescript": lambda: connection.executescript("SELECT wait(); SELECT 1")}[sys.argv[1]]
thread = threading.Thread(target=lambda: outcome.append(run()))
thread.start()
inside.wait(30)
connection.close()
connection.close()
go_on.set()
thread.join(30)
assert len(outcome) == 1
assert all(waited), "close() waited for the statement"
try:
    connection.execute("SELECT 1")
except sqlite3.ProgrammingError as error:
    assert "closed database" in str(error)
else:
    raise AssertionError("the connection is still open")
"""


@pytest.mark.parametrize("way", ["execute", "executemany", "executescript"])
def test_a_connection_is_closed_at_the_end_of_the_statement_of_another_thread(way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLOSED_IN_A_STATEMENT, way],
        capture_output=True, text=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- interrupts

ROUNDS = os.environ.get("SESSION_SQLITE_INTERRUPTS", "20")  # 500 for a long trial
POSIX = pytest.mark.skipif(os.name != "posix", reason="interval timers")


@POSIX
@pytest.mark.parametrize(
    "trial",
    [(ROUNDS,), ("steps", "open"), ("steps", "append"), ("steps", "get state"), ("steps", "query"), ("steps", "db")],
    ids=["every verb, at random moments", "open", "append", "read", "query", "db"],
)
def test_an_interrupt_at_any_moment_leaves_nothing_half_done_and_no_lock(tmp_path: Path, trial: tuple[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("interrupted.py")), str(tmp_path), *trial],
        capture_output=True, text=True, encoding="utf-8", timeout=3600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "interrupts" in done.stdout


class Stop(BaseException):
    """Another thread sends it."""


def test_an_interrupt_in_a_worker_thread_frees_what_it_held(path: Path) -> None:
    chance = random.Random(3)
    with SQLiteSessionService(path, durability="fast", busy_timeout=20) as service:
        session = service.create_session()
        for number in range(60):
            started = threading.Event()

            def work(started: threading.Event = started) -> None:
                with contextlib.suppress(Stop):
                    while True:
                        started.set()
                        session.add_events([Event("user", "a"), Event("assistant", "b")])
                        session.events(limit=3)

            thread = threading.Thread(target=work)
            thread.start()
            started.wait(20)
            time.sleep(chance.random() / 200)
            while thread.is_alive():  # one that comes inside a callback of SQLite is lost
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Stop))
                thread.join(0.5)
            with contextlib.closing(sqlite3.connect(path, timeout=0)) as another:
                another.execute("BEGIN IMMEDIATE")
            session.add_event("user", str(number))
            assert session.last_events(1)[0].content == str(number)
        assert sum(event.content == "a" for event in session.events()) == len(
            [event for event in session.events() if event.content == "b"]
        )


def test_a_call_that_was_left_by_an_interrupt_gives_up_its_turn() -> None:
    turns = Turns()

    def interrupted() -> None:
        call = Call(sys._getframe())
        assert turns.take(call, 0)
        raise KeyboardInterrupt

    def waiting() -> bool:
        call = Call(sys._getframe())
        try:
            return turns.take(call, 0.2)
        finally:
            turns.leave(call)

    with pytest.raises(KeyboardInterrupt):  # and its traceback is kept
        interrupted()
    assert waiting()
    mine = Call(sys._getframe())
    assert turns.take(mine, 0)
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(waiting).result(20), "this call is running"
        turns.leave(mine)
        assert pool.submit(waiting).result(20)


@pytest.mark.parametrize("kind", ["file", "memory"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_read_that_failed_half_way_makes_no_later_read_stale(
    path: Path, kind: str, error: type[BaseException]
) -> None:
    with SQLiteSessionService(path if kind == "file" else ":memory:") as service:
        session = service.create_session()
        session.add_events([Event("user", str(number)) for number in range(300)])
        database = service._database

        def fail(row: Any) -> Any:
            raise error

        held = []
        for number in range(1, 11):
            with pytest.raises(error) as caught:
                database.read("SELECT content FROM events", {}, fail)
            held.append(caught)  # with its traceback, as a notebook does
            session.add_event("user", "after")
            assert len(session.events()) == 300 + number
            assert service.db["events"].count == 300 + number
        if kind == "file":
            with contextlib.closing(sqlite3.connect(path)) as another:  # no snapshot is left
                assert another.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n, events"


def test_reads_and_writes_wait_for_no_query(path: Path) -> None:
    with SQLiteSessionService(path) as service, ThreadPoolExecutor(20) as pool:
        session = service.create_session()
        session.add_event("user", "first")

        def ask() -> str:
            with pytest.raises(QueryError) as caught:
                service.query(LONG, timeout=8)
            return str(caught.value)

        queries = [pool.submit(ask) for _ in range(12)]
        time.sleep(0.5)
        for number in range(3):
            session.add_event("user", str(number))
            assert session.last_events(1)[0].content == str(number)
            assert len(service.search("first")) == 1
        assert not any(query.done() for query in queries), "they did not wait for the queries"
        assert all("took more than 8 s" in query.result(60) for query in queries)


def test_more_readers_than_idle_connections_wait_for_nobody(path: Path) -> None:
    with SQLiteSessionService(path) as service, ThreadPoolExecutor(12) as pool:
        service.create_session().add_event("user", "x")
        together = threading.Barrier(12)

        def read() -> list[int]:
            return service._database.read("SELECT 1", {}, lambda row: together.wait(30) * 0 + 1)

        assert [task.result(60) for task in [pool.submit(read) for _ in range(12)]] == [[1]] * 12
        assert len(service._database._connections()) <= 5, "the writer, and a few that are kept"


# ---------------------------------------------------------------- services that are let go

LET_GO = """
import gc, os, sqlite3, sys, threading
from session_sqlite import AsyncSessionService, Event, SQLiteChatMessageHistory, SQLiteSessionService
path, kind = sys.argv[1], sys.argv[2]
if kind == "history":
    kept = SQLiteChatMessageHistory("s", path)
    kept.add_user_message("x")
else:
    kept = SQLiteSessionService(":memory:" if kind == "memory" else path)
    kept.append_event("s", Event("user", "x"), create=True)
    assert kept.db["events"].count == 1
    kept.list_events("s")
    threads = [threading.Thread(target=lambda: kept.db["events"].count) for _ in range(3)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    gc.collect()  # sqlite-utils makes cycles
    if kind == "asynchronous":
        import asyncio
        kept = AsyncSessionService(kept)
        asyncio.run(kept.list_events("s"))
if kind == "fork":
    child = os.fork()
    if child == 0:
        kept.append_event("s", Event("user", "y"))
        assert kept.db["events"].count == 2
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
if kind == "daemon":
    def read():
        while True:
            kept.list_events("s")
    for _ in range(3):
        threading.Thread(target=read, daemon=True).start()
if kind != "at exit" and kind != "daemon" and kind != "history":
    gc.collect()
    del kept
    gc.collect()
    if kind == "dropped":
        assert not os.path.exists(path + "-wal"), "it was closed"
"""


@pytest.mark.parametrize(
    "kind",
    ["dropped", "memory", "asynchronous", "at exit", "history", pytest.param("fork", marks=FORKS), "daemon"],
)
def test_a_service_that_is_let_go_closes_itself_without_a_word(path: Path, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-W", "ignore::DeprecationWarning", "-c", LET_GO, str(path), kind],
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    words = "\n".join(line for line in done.stderr.splitlines() if "LangChain" not in line)
    assert (done.returncode, words) == (0, "")
    if kind in {"at exit", "history"}:
        assert [file.name for file in path.parent.iterdir()] == [path.name], "the file is as one that was closed"


def test_a_call_after_the_service_closed_itself_at_the_end_of_the_process_is_an_error(path: Path) -> None:
    code = (
        "import atexit, sys, threading\n"
        "def late():\n"
        "    for verb in [lambda: service.create_session(), lambda: service.list_sessions(), lambda: service.db]:\n"
        "        try: verb()\n"
        "        except StoreClosedError: print('closed')\n"
        "atexit.register(late)\n"  # what was registered first runs last
        "from session_sqlite import SQLiteSessionService, StoreClosedError\n"
        "service = SQLiteSessionService(sys.argv[1])\n"
        "service.create_session()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout.split(), done.stderr) == (["closed"] * 3, "")


def test_each_thread_has_a_database_of_its_own_until_it_ends(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_events([Event("user", str(number)) for number in range(50)])

    def count() -> int:
        assert service.db.conn is service.db.conn
        return sum(len(list(service.db["events"].rows_where("seq > ?", [number]))) for number in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert {task.result(60) for task in [pool.submit(count) for _ in range(60)]} == {count()}
        assert len({pool.submit(lambda: id(service.db.conn)).result(60) for _ in range(30)} | {id(service.db.conn)}) > 1
    del pool
    gc.collect()
    assert len(service._database._for_sqlite_utils) == 1


# ---------------------------------------------------------------- forks

FORK = """
import os, signal, sys, threading, time
from session_sqlite import Event, SQLiteSessionService
from session_sqlite import SQLiteChatMessageHistory

kind, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
if kind == "history":
    history = SQLiteChatMessageHistory("s", path)
    history.add_user_message("before")
    service = history.service
else:
    service = SQLiteSessionService(path, durability="fast")
    service.create_session(session_id="s")
    service.append_events("s", [Event("user", "before " + "x" * 200) for _ in range(300)])
stop = threading.Event()

def busy(work):
    while not stop.is_set():
        work()

works = {
    "writer": [lambda: service.append_event("s", Event("assistant"))] * 2,
    "reader": [lambda: service.list_events("s", limit=200)] * 3 + [lambda: service.list_sessions()],
    "searcher": [lambda: service.search("before"), lambda: service.append_event("s", Event("user", "before"))],
    "sql": [lambda: service.query("SELECT count(*) FROM events"), lambda: service.query("SELECT * FROM events")],
    "history": [lambda: history.add_ai_message("x"), lambda: history.messages],
}
threads = [threading.Thread(target=busy, args=(work,), daemon=True) for work in works[kind]]
for thread in threads:
    thread.start()
for number in range(rounds):
    time.sleep(0.005)
    child = os.fork()
    if child == 0:
        signal.alarm(120)  # a child that hangs is killed, and seen; on a busy machine it may take long to get a turn
        try:
            if kind == "history":
                history.add_user_message(f"child {number}")
                assert history.messages[0].content == "before"
                assert history.messages[-1].content
            else:
                assert len(service.list_events("s", limit=5)) == 5
                service.append_event("s", Event("user", f"child {number}"))
                assert service.search("child").__len__() >= 1
                service.close()
        except BaseException as error:
            print("in the child:", repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status == 0, (number, status)
stop.set()
for thread in threads:
    thread.join(30)
    assert not thread.is_alive()
service.append_event("s", Event("user", "after"))
events = service.list_events("s")
assert [event.seq for event in events] == list(range(1, len(events) + 1))
children = {event.content for event in events if event.content.startswith("child ")}
assert len(children) == rounds, len(children)
assert events[-1].content == "after"
assert service.db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
service.close()
print("fine")
"""


@FORKS
@pytest.mark.parametrize("kind", ["writer", "reader", "searcher", "sql", "history"])
def test_a_fork_while_threads_work_leaves_both_processes_well(path: Path, kind: str) -> None:
    assert run(FORK, kind, path, 12, timeout=600).endswith("fine\n")


FORK_IN_A_COMMIT = """
import os, sys, threading, time
from session_sqlite import SQLiteSessionService
from session_sqlite.sqlite.driver import Connection
writing, written = threading.Event(), threading.Event()
def slow_commit(connection):
    connection._commits = True
    connection.execute("COMMIT")  # from here on SQLite says that it is in no transaction
    writing.set()
    time.sleep(1.5)  # a slow disk
    written.set()
    connection._commits = False
with SQLiteSessionService(sys.argv[1]) as service:
    service.create_session(session_id="s")
    Connection.commit_now = slow_commit
    thread = threading.Thread(target=service.get_session("s").add_event, args=("user", "x"))
    thread.start()
    assert writing.wait(60)
    child = os.fork()
    if child == 0:
        os._exit(0 if written.is_set() else 3)
    thread.join()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@FORKS
def test_a_fork_waits_for_a_commit_on_a_slow_disk(path: Path) -> None:
    """In the child the lock of a commit that was not at its end would be held for ever."""
    assert run(FORK_IN_A_COMMIT, path) == "0\n"


FORK_AND_EXIT = """
import os, sys
from session_sqlite import Event, SQLiteSessionService, SQLiteChatMessageHistory, StoreClosedError
path = sys.argv[1]
history = SQLiteChatMessageHistory("s", path)
history.add_user_message("parent")
memory = SQLiteSessionService(":memory:")
memory.create_session(session_id="m")
child = os.fork()
if child == 0:
    history.add_user_message("child")
    try:
        memory.get_session("m")
        sys.exit(3)
    except StoreClosedError:
        sys.exit(0)  # an ordinary end, with what is run at exit
assert os.waitpid(child, 0)[1] == 0
for number in range(20):
    history.add_user_message(str(number))
memory.get_session("m")
assert len(history.messages) == 22
grandchild = os.fork()
if grandchild == 0:
    if os.fork() == 0:
        history.add_user_message("grandchild")
        os._exit(0)
    os.wait()
    sys.exit(0)
assert os.waitpid(grandchild, 0)[1] == 0
assert [message.content for message in history.messages][-1] == "grandchild"
print(len(history.messages))
"""


@FORKS
def test_a_child_that_ends_in_the_ordinary_way_takes_nothing_with_it(path: Path) -> None:
    assert run(FORK_AND_EXIT, path) == "23\n"
    with SQLiteSessionService(path) as service:
        assert len(service.list_events("s")) == 23


ASYNC_AFTER_FORK = """
import asyncio, os, sys
from session_sqlite import AsyncSessionService, Event, SQLiteSessionService
service = SQLiteSessionService(sys.argv[1])

async def main(name):
    async with asyncio.timeout(20):
        one = AsyncSessionService(service)
        await asyncio.gather(*(one.append_event("s", Event("user", name), create=True) for _ in range(20)))

asyncio.run(main("parent"))
child = os.fork()
if child == 0:
    asyncio.run(main("child"))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
asyncio.run(main("parent"))
print(len(service.list_events("s")))
"""


@FORKS
def test_asynchronous_verbs_work_in_a_child(path: Path) -> None:
    assert run(ASYNC_AFTER_FORK, path) == "60\n"


# ---------------------------------------------------------------- cancelled callers


@EVERY_BACKEND
def test_a_cancelled_caller_leaves_no_half_transaction_and_no_lock(where: str) -> None:
    chance = random.Random(7)

    async def main(service: AsyncSessionService) -> None:
        await service.create_session(session_id="s")

        async def append(number: int) -> None:
            batch = [Event("user", f"{number} {part}", state={f"{number}{part}": 1}) for part in "abc"]
            await service.append_events("s", batch)

        tasks = [asyncio.create_task(append(number)) for number in range(150)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(chance.random() / 500)
            chance.choice(tasks).cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}
        assert any(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        events = await service.list_events("s")
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        stored = [event.content for event in events]
        whole = {text.split()[0] for text in stored}
        assert sorted(stored) == sorted(f"{number} {part}" for number in whole for part in "abc")
        assert len(await service.get_state("s")) == len(stored)
        assert {str(number) for number, outcome in enumerate(outcomes) if outcome is None} <= whole
        async with asyncio.timeout(20):
            await service.append_event("s", Event("user"))

    with open_at(where, durability="fast") as service:
        asyncio.run(main(AsyncSessionService(service)))
        if "://" not in where:
            with contextlib.closing(sqlite3.connect(where, timeout=0)) as another:
                another.execute("BEGIN IMMEDIATE")


def test_a_cancelled_caller_gets_away_when_its_operation_is_over(path: Path) -> None:
    async def main(service: AsyncSessionService) -> None:
        await service.create_session(session_id="s")
        with locked_by_another_process(path):
            running = asyncio.create_task(service.append_event("s", Event("user", "running")))
            await asyncio.sleep(0.3)
            running.cancel()
            await asyncio.sleep(0.1)
            running.cancel()
            await asyncio.sleep(0.1)
            assert not running.done(), "the write is still waiting for the lock"
            assert await service.list_events("s") == [], "the loop goes on meanwhile"
        with pytest.raises(asyncio.CancelledError):
            await running
        assert [event.content for event in await service.list_events("s")] == ["running"]

    with SQLiteSessionService(path) as service:
        asyncio.run(main(AsyncSessionService(service)))


def test_a_timeout_around_a_verb_leaves_the_store_usable(path: Path) -> None:
    async def main(service: AsyncSessionService) -> None:
        session = await service.create_session()
        with locked_by_another_process(path), pytest.raises((TimeoutError, StoreBusyError)):
            async with asyncio.timeout(0.1):
                await session.add_event("user", "maybe")
        assert (await session.add_event("user", "surely")).content == "surely"

    with SQLiteSessionService(path, busy_timeout=0.5) as service:
        asyncio.run(main(AsyncSessionService(service)))


@EVERY_BACKEND
def test_a_stream_that_is_left_half_way_holds_nothing(where: str) -> None:
    async def main(service: AsyncSessionService) -> None:
        session = await service.create_session()
        await session.add_events([Event("user") for _ in range(1200)])
        async for event in session.iter_events():
            if event.seq == 700:
                break
            if event.seq % 100 == 0:
                await session.add_event("assistant")
        await session.delete()

    with open_at(where, durability="fast") as service:
        asyncio.run(main(AsyncSessionService(service)))
        if "://" not in where:
            with contextlib.closing(sqlite3.connect(where, timeout=0)) as another:
                assert another.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


@EVERY_BACKEND
def test_an_asynchronous_service_serves_several_loops(where: str) -> None:
    with open_at(where, durability="fast") as service:
        shared = AsyncSessionService(service)

        async def main(worker: int) -> None:
            await asyncio.gather(
                *(shared.append_event("s", Event("user", str(worker)), create=True) for _ in range(25))
            )

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda worker: asyncio.run(main(worker)), range(4)))
        assert [event.seq for event in service.list_events("s")] == list(range(1, 101))
