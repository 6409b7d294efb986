"""What whole programs do: they start, write side by side, grow old, and run an agent for a long time."""

from __future__ import annotations

import os
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from session_sqlite import Event, SessionHistoryMiddleware, SQLiteSessionService

from . import by_hand, corpus
from .measuring import Figure, medians, missing, rounds_of, seconds_of

if TYPE_CHECKING:
    from .cases import Sizes

STARTED = """
from session_sqlite import SQLiteSessionService
with SQLiteSessionService({path!r}) as service:
    assert len(service.list_sessions(limit=20)) == 20
"""
THROUGHPUT = 0.85  # of the floor's, at least
SECONDS_OF_WRITING = 5.0
GROWN = 1.5  # a store that is ten times as large: the most that a verb may take, as a multiple of itself


def cold_start(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """A program that opens a store and lists 20 sessions, beside one that imports sqlite-utils and does nothing."""
    path = folder / "start.db"
    with SQLiteSessionService(path) as service:
        for number in range(20):
            service.create_session(title=f"Session {number}").add_event("user", "hello")

    def program(text: str) -> None:
        subprocess.run([sys.executable, "-c", text], check=True)

    figures = medians(
        max(3, sizes.rounds // 2),
        ours=partial(program, STARTED.format(path=str(path))),
        floor=partial(program, "import sqlite_utils"),
        python=partial(program, ""),
    )
    # What Python itself takes is no work of either.
    ours, floor = (figures[name] - figures["python"] for name in ("ours", "floor"))
    yield Figure("start, open, list 20, floor: import sqlite_utils", ours, floor, 0.6)


# ---------------------------------------------------------------- processes


def processes(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """Several processes that append durably to one session, without a pause: the seconds of all for each append."""
    seconds = SECONDS_OF_WRITING if sizes.rounds > 5 else 0.5
    for writers in (2,) if sizes.is_quick else (4, 8):
        for kind in ("ours", "floor"):
            with SQLiteSessionService(folder / f"{kind}-{writers}.db") as service:
                service.create_session(session_id="s")
        figures = rounds_of(
            max(2, sizes.rounds // 8),
            ours=partial(_seconds_of_each, folder / f"ours-{writers}.db", "ours", writers, seconds),
            floor=partial(_seconds_of_each, folder / f"floor-{writers}.db", "floor", writers, seconds),
        )
        yield Figure(
            f"{writers} processes, durable: each append", figures["ours"], figures["floor"], round(1 / THROUGHPUT, 2)
        )


def _seconds_of_each(path: Path, kind: str, writers: int, seconds: float) -> float:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", f"{__package__}.programs", str(path), kind, str(seconds)]
    programs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(writers)
    ]
    for program in programs:
        if program.stdout is None or program.stdout.readline() != "ready\n":
            raise AssertionError("a writer does not start")
    begin = time.time() + 0.2
    for program in programs:
        if program.stdin is not None:
            print(begin, file=program.stdin, flush=True)
    return seconds / sum(int(program.communicate()[0]) for program in programs)


def _write(path: Path, kind: str, seconds: float) -> None:
    """Appends for so long, from the time that it is told, and prints how many appends there were."""
    events = [Event("user", "x" * 500), Event("assistant", "y" * 500)]
    with SQLiteSessionService(path) as service, closing(by_hand.connect(path)) as floor:
        floor.execute("PRAGMA busy_timeout = 30000")
        ours = partial(service.append_event, "s")
        write: Callable[[Event], object] = (
            ours if kind == "ours" else lambda event: by_hand.append_events(floor, "s", [event])
        )
        print("ready", flush=True)
        begin = float(sys.stdin.readline())
        time.sleep(max(0.0, begin - time.time()))
        count = 0
        while time.time() < begin + seconds:
            write(events[count % 2])
            count += 1
    print(count, flush=True)


# ---------------------------------------------------------------- growth


EVENTS_A_SESSION = 1_000


def growth(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """The verbs of every day in a store that grows, beside themselves when it had a tenth."""
    generator = corpus.Generator()
    before: dict[str, float] = {}
    with SQLiteSessionService(folder / "growing.db") as service:
        made = 0
        for count in (sizes.stream // 100, sizes.stream // 10, sizes.stream):
            while made < count:
                session = service.create_session(title=f"Session {made}")
                session.add_events(list(generator.events(EVENTS_A_SESSION, "en")))
                made += EVENTS_A_SESSION
            service.search("quokka")  # catches up
            newest = service.list_sessions(limit=1)[0]
            verbs: dict[str, Callable[[], object]] = {
                "append 1 event": partial(service.append_event, newest, Event("user", "hello")),
                "last 20": partial(service.last_events, newest, 20),
                "list 20": partial(service.list_sessions, limit=20),
                "search in a session": partial(service.search, "channel", session=newest, limit=10),
            }
            now = medians(sizes.rounds, calls=5, **verbs)
            for verb, seconds in now.items():
                if before:
                    yield Figure(f"{verb}, {count:,} events, floor: {count // 10:,}", seconds, before[verb], GROWN)
            before = now


# ---------------------------------------------------------------- an agent


def agent(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """Turns of an agent whose memory is a session, beside one whose memory is LangGraph's `SqliteSaver`."""
    try:
        from langgraph.checkpoint.sqlite import SqliteSaver
    except ImportError:
        missing("LangGraph's SqliteSaver: it is not installed (pip install langgraph-checkpoint-sqlite)")
        return
    from langchain.agents import create_agent
    from langchain_core.language_models import FakeListChatModel

    turns = sizes.turns
    model = FakeListChatModel(responses=["In package 3 the second step reads a file that is not there yet. " * 4])
    theirs = sqlite3.connect(folder / "saver.db", check_same_thread=False)
    with SQLiteSessionService(folder / "agent.db") as service, closing(theirs):
        agents: dict[str, Any] = {
            "ours": create_agent(model, middleware=[SessionHistoryMiddleware(service)]),
            "floor": create_agent(model, checkpointer=SqliteSaver(theirs)),
        }
        config: Any = {"configurable": {"thread_id": "t", "user_id": "u"}}
        times: dict[str, list[float]] = {name: [] for name in agents}
        for number in range(turns):
            question = {"messages": [{"role": "user", "content": f"Why does step {number} fail? {'x' * 200}"}]}
            for name in random.sample(list(agents), 2):
                times[name].append(seconds_of(partial(agents[name].invoke, question, config)))
        for name in agents:
            state = agents[name].invoke({"messages": [{"role": "user", "content": "last"}]}, config)
            if len(state["messages"]) != 2 * (turns + 1):
                raise AssertionError(f"the agent of {name} does not know all turns")
    ours, floor = (statistics.median(times[name][-turns // 4 :]) for name in ("ours", "floor"))
    yield Figure(f"a turn of an agent at {turns} turns, floor: SqliteSaver", ours, floor, 1)
    bytes_of = {name: (folder / file).stat().st_size for name, file in (("ours", "agent.db"), ("floor", "saver.db"))}
    yield Figure(f"the file after {turns} turns, floor: SqliteSaver", bytes_of["ours"], bytes_of["floor"], 1 / 100, "B")


if __name__ == "__main__":
    _write(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
