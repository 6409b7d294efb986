"""Histories of several processes on one store, on a file and on each server, while processes and servers are killed.

Each round has sessions of its own, so that lists stay short. In every other round the server is killed instead of a
process, and started again; no event is taken back then, since a rewind is not tried again by itself and nobody could
say whether it happened.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import servers

from session_sqlite import SQLAlchemySessionService, SQLiteSessionService

from .history import Operation, violations
from .trials import Length, Trial, Tried, UnavailableError

PROCESSES: Final = 6
FEW_PROCESSES: Final = 3  # in a short run, in which starting them would be all there is
OPERATIONS: Final = 24_000
IN_A_ROUND: Final = 800
WORKER: Final = Path(__file__).with_name("history_worker.py")
SERVERS: Final = {"postgresql": servers.postgresql, "mariadb": servers.mariadb}


@dataclass
class _Process:
    """A place among the processes, and the one that has it now: who is killed gets a successor."""

    number: int
    place: str
    folder: Path
    script: Path
    program: subprocess.Popen[str] | None = None
    logs: list[Path] = field(default_factory=list)

    def start(self) -> None:
        name = f"{self.number}.{len(self.logs)}"
        self.logs.append(self.folder / f"{name}.log")
        command = [sys.executable, str(self.script), self.place, name, str(self.logs[-1])]
        with self.logs[-1].with_suffix(".err").open("w") as errors:
            self.program = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def tell(self, **order: Any) -> None:
        assert self.program is not None
        assert self.program.stdin is not None
        print(json.dumps(order), file=self.program.stdin, flush=True)

    def wait_for(self, word: str) -> None:
        assert self.program is not None
        assert self.program.stdout is not None
        said = self.program.stdout.readline().strip()
        errors = self.logs[-1].with_suffix(".err").read_text()
        assert said == word, f"process {self.number} ended in a round: {errors[-2_000:]}"

    def kill(self) -> None:
        """Ends the process at once."""
        if self.program is not None:
            self.program.kill()
            self.program.wait()
            for pipe in (self.program.stdin, self.program.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            self.program = None

    def operations(self, log: Path) -> list[Operation]:
        calls: dict[int, Operation] = {}
        for line in log.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):  # killed while it wrote the line
                continue
            match json.loads(line):
                case ["call", number, invoked, kind, session, asked]:
                    calls[number] = Operation(self.number, kind, session, invoked, None, _frozen(asked))
                case ["answer", number, returned, answer]:
                    call = calls[number]
                    calls[number] = Operation(
                        call.process, call.kind, call.session, call.invoked, returned, call.asked, _frozen(answer)
                    )
        return list(calls.values())


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@dataclass
class _Killed:
    processes: int = 0
    within: int = 0  # an operation
    servers: int = 0


def history(
    place: str,
    folder: Path,
    length: Length,
    *,
    server: servers.Server | None = None,
    script: Path = WORKER,
    seed: int = 16,
) -> tuple[list[Operation], _Killed]:
    """Runs the processes on a store, kills what there is to kill, and returns what they did."""
    dice = random.Random(seed)
    count = PROCESSES if length.share >= 0.05 else FEW_PROCESSES
    operations = length.of(OPERATIONS, at_least=80 * count)
    rounds = max(1 if server is None else 2, operations // IN_A_ROUND)
    each = operations // rounds // count
    processes = [_Process(number, place, folder, script) for number in range(count)]
    killed = _Killed()
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.wait_for("ready")
        usual = 0.3
        for number in range(rounds):
            kills_server = server is not None and number % 2 == 1
            order = {"round": number, "count": each, "again": None}
            begin = time.monotonic()
            for process in processes:
                process.tell(**order, seed=dice.random(), rewinds=process.number == 0 and not kills_server)
            time.sleep(usual * dice.uniform(0.1, 0.8))
            if kills_server and server is not None:
                server.kill()
                server.start()
                killed.servers += 1
            else:
                _kill_one(dice.choice(processes[1:]), order, dice, killed)  # the first one takes events back
            for process in processes:
                process.wait_for("done")
            if not kills_server:
                usual = time.monotonic() - begin
        done = [one for process in processes for log in process.logs for one in process.operations(log)]
        return _with_the_end(done, place), killed
    finally:
        for process in processes:
            process.kill()


def _kill_one(process: _Process, order: dict[str, Any], dice: random.Random, killed: _Killed) -> None:
    """Kills a process; its successor does the rest of the round, and now and then the append that was left behind."""
    process.kill()
    killed.processes += 1
    done = process.operations(process.logs[-1])
    in_round = [one for one in done if one.session.startswith(f"{order['round']}-")]
    left = [one for one in in_round if one.returned is None]
    killed.within += len(left)
    again = None
    # Of a session in which events are taken back, the same event could rightly be appended twice.
    if left and left[-1].kind == "append" and not left[-1].session.endswith("-0") and dice.random() < 0.7:
        again = [left[-1].session, left[-1].asked]
    process.start()
    process.wait_for("ready")
    rest = {"count": order["count"] - len(in_round), "again": again}
    process.tell(**order | rest, seed=dice.random(), rewinds=False)


def _with_the_end(operations: list[Operation], place: str) -> list[Operation]:
    """The operations, and a last list of each session."""
    kind: Any = SQLAlchemySessionService if "://" in place else SQLiteSessionService
    with kind(place, app_name="app", user_id="user") as service:
        for session in sorted({one.session for one in operations if one.kind == "append"}):
            invoked = time.monotonic_ns()
            answer = tuple((event.seq, event.id) for event in service.list_events(session))
            operations.append(Operation(-1, "list", session, invoked, time.monotonic_ns(), None, answer))
        assert service.check().ok, str(service.check())
    return operations


@contextlib.contextmanager
def _server(kind: str) -> Iterator[servers.Server]:
    try:
        with SERVERS[kind](durable=True) as server:
            yield server
    except servers.MissingServerError as error:
        raise UnavailableError(str(error)) from None


def on_file(folder: Path, length: Length, *, script: Path = WORKER) -> Tried:
    """Histories on a file."""
    return _judged(*history(str(folder / "history.db"), folder, length, script=script))


def on_server(folder: Path, length: Length, *, kind: str) -> Tried:
    """Histories on a server that is killed and started again."""
    with _server(kind) as server:
        return _judged(*history(server.new_database(), folder, length, server=server))


def _judged(operations: list[Operation], killed: _Killed) -> Tried:
    found = violations(operations)
    assert not found, f"{len(found)} violations: {found[:3]}"
    processes = len({one.process for one in operations}) - 1
    appends = sum(one.kind == "append" and one.returned is not None for one in operations)
    rewinds = sum(one.kind == "rewind" for one in operations)
    reads = len(operations) - appends - rewinds
    what = (
        f"{len(operations):,} operations by {processes} processes ({appends:,} acknowledged appends, "
        f"{rewinds:,} rewinds, {reads:,} reads); {killed.processes} processes killed, {killed.within} of them within "
        "an operation"
    )
    if killed.servers:
        what += f"; the server killed and started again {killed.servers} times"
    return Tried(what, "0 violations: nothing lost, doubled, out of order, with a gap, torn or stale")


def _trial(name: str, place: str, run: Callable[[Path, Length], Tried]) -> Trial:
    return Trial(f"histories-{name}", f"Processes that share {place} see one history", run)


HISTORIES: Final = [
    _trial("file", "a file", on_file),
    _trial("postgresql", "a PostgreSQL server", partial(on_server, kind="postgresql")),
    _trial("mariadb", "a MariaDB server", partial(on_server, kind="mariadb")),
]
