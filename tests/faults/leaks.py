"""Opening and closing for ever: what a long-lived program keeps of services, histories, event loops and dead threads.

A process of its own does each kind of use a few times, so that all is loaded and each cache is full, and then many
times more. It may then have no more descriptors and threads than before, and hardly more memory. A service that keeps
a connection, a thread or an entry in a table for each use breaks this.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from session_sqlite import AsyncSessionService, SQLiteChatMessageHistory, SQLiteSessionService
from session_sqlite.threads import WORKERS

from .trials import Length, Trial, Tried, UnavailableError

STATM: Final = Path("/proc/self/statm")
GROWTH: Final = 16 << 20  # bytes of memory that the allocator may have taken for itself
SPARE: Final = 24  # descriptors that SQLite may keep to use again, while another connection to the file is open


class Held(NamedTuple):
    """What a process holds now."""

    descriptors: int
    threads: int
    memory: int  # bytes that are resident


def held() -> Held:
    gc.collect()
    pages = int(STATM.read_text().split()[1])
    return Held(len(os.listdir("/proc/self/fd")), threading.active_count(), pages * os.sysconf("SC_PAGE_SIZE"))


def a_service(folder: Path, number: int) -> None:
    """Opens one of twenty files, writes, reads and closes it; every third is not closed, but forgotten."""
    service = SQLiteSessionService(folder / f"service-{number % 20}.db", durability="fast")
    session = service.create_session(session_id="s", exist_ok=True)
    if number < 60:
        session.add_event("user", "hello")
    assert session.events(limit=1)
    if number % 3:
        service.close()


def a_history(folder: Path, number: int) -> None:
    """Reads a history of one of a hundred files: more than are kept open."""
    history = SQLiteChatMessageHistory("s", folder / f"history-{number % 100}.db")
    if number < 100:
        history.add_user_message("hello")
    assert history.messages


def an_event_loop(folder: Path, number: int) -> None:
    """Awaits a service in an event loop that ends, with one of three calls cancelled."""

    async def use() -> None:
        async with AsyncSessionService(SQLiteSessionService(folder / "loops.db", durability="fast")) as service:
            await service.create_session(session_id="s", exist_ok=True)
            call = asyncio.ensure_future(service.list_sessions())
            if number % 3 == 0:
                await asyncio.sleep(0)
                call.cancel()
            await asyncio.wait([call])

    asyncio.run(use())


def _threads_of(service: SQLiteSessionService) -> Callable[[Path, int], None]:
    def a_thread_that_dies(folder: Path, number: int) -> None:
        """Leaves a half-read iterator, and the end of its thread, to the service that others go on using."""

        def work() -> None:
            next(service.iter_events("s"))
            service.query("SELECT count(*) FROM sessions")
            assert service.db["sessions"].count == 1

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    return a_thread_that_dies


def measured(folder: Path, counts: dict[str, int]) -> dict[str, tuple[Held, Held]]:
    """What this process holds after the first uses of each kind, and after as many more as ``counts`` says."""
    service = SQLiteSessionService(folder / "threads.db", durability="fast")
    service.create_session(session_id="s").add_event("user", "hello")
    uses = {"services": a_service, "histories": a_history, "loops": an_event_loop, "threads": _threads_of(service)}
    return {kind: _before_and_after(uses[kind], folder, times) for kind, times in counts.items()}


def _before_and_after(use: Callable[[Path, int], None], folder: Path, times: int) -> tuple[Held, Held]:
    first = min(times, 200)
    for number in range(first):
        use(folder, number)
    before = held()
    for number in range(first, first + times):
        use(folder, number)
    return before, held()


def in_a_process(function: Callable[..., Any], *args: object) -> Any:
    """What the function returns in a new process, which has nothing of this one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *args).result()


def run(folder: Path, length: Length) -> Tried:
    if not STATM.exists():
        raise UnavailableError("/proc says what a process holds; this system has none")
    counts = {"services": length.of(10_000), "histories": length.of(10_000)}
    counts |= {kind: length.of(1_000, at_least=2 * SPARE) for kind in ("loops", "threads")}
    descriptors = threads = memory = 0
    for kind, (before, after) in in_a_process(measured, folder, counts).items():
        told = f"{counts[kind]} {kind}: {before} became {after}"
        assert after.descriptors <= before.descriptors + SPARE, told
        assert after.threads <= before.threads + WORKERS, told  # the pool makes a thread where none is idle
        assert after.memory <= before.memory + GROWTH, told
        descriptors = max(descriptors, after.descriptors - before.descriptors)
        threads = max(threads, after.threads - before.threads)
        memory = max(memory, after.memory - before.memory)
    return Tried(
        f"{counts['services']:,} services and {counts['histories']:,} histories opened, {counts['loops']:,} event "
        f"loops, {counts['threads']:,} threads that died",
        f"{descriptors} descriptors, {threads} threads and {memory / (1 << 20):.1f} MiB more than after the first 200",
    )


LEAKS: Final = Trial("leaks", "A long-lived program keeps nothing of what it closed or forgot", run)
