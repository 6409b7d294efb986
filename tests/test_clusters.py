"""Real clusters: what was acknowledged is there, once, in order, whatever happens to a node.

``pytest -m cluster`` runs these (some minutes); ``--long`` runs each failure six times and prints the figures.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import clusters
import pytest
import servers

from session_sqlite import Event, SessionError, SessionService, SQLAlchemySessionService

pytestmark = pytest.mark.cluster

WRITERS = 4
SETTLE_SECONDS = 4.0  # how long the writers go on after each turn of events
BUSY_SECONDS = 60.0


@pytest.fixture(scope="module")
def galera() -> Iterator[clusters.Galera]:
    with _started(clusters.galera) as cluster:
        yield cluster


@contextlib.contextmanager
def _started(start: Callable[[], Any]) -> Iterator[Any]:
    try:
        started = start()
        cluster = started.__enter__()
    except servers.MissingServerError as error:
        pytest.skip(str(error))
    try:
        yield cluster
    finally:
        started.__exit__(None, None, None)


@dataclass
class Writers:
    """Threads that append to a session of all and to one of their own, and note what was acknowledged and when."""

    urls: list[str]
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    longest_gap: float = 0.0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(len(self.urls))]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        time.sleep(1.0)
        return self

    def __exit__(self, *exception: object) -> None:
        time.sleep(SETTLE_SECONDS)
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        with SQLAlchemySessionService(self.urls[number], user_id="u", busy_timeout=BUSY_SECONDS) as service:
            last = time.monotonic()
            count = 0
            while not self._stop.is_set():
                for session in ("all", f"own-{number}"):
                    id = f"{number}-{count}"
                    try:
                        service.append_event(session, Event("user", f"text {id}", id=id), create=True)
                    except SessionError as error:
                        self.errors.append(f"{type(error).__name__}: {error}")
                        continue
                    self.acknowledged.setdefault(session, []).append(id)
                    now = time.monotonic()
                    self.longest_gap = max(self.longest_gap, now - last)
                    last = now
                count += 1

    def lost_and_doubled(self, service: SessionService) -> tuple[int, int]:
        """How many acknowledged events are gone, and how many stand twice; checks that the order is dense."""
        lost = doubled = 0
        for session, ids in self.acknowledged.items():
            events = service.list_events(session)
            stored = [event.id for event in events]
            assert [event.seq for event in events] == list(range(1, len(events) + 1)), f"gaps in {session}"
            lost += len(set(ids) - set(stored))
            doubled += len(stored) - len(set(stored))
        return lost, doubled


def report(capsys: pytest.CaptureFixture[str], what: str, writers: Writers) -> None:
    count = sum(map(len, writers.acknowledged.values()))
    with capsys.disabled():
        print(f"\n{what}: {count:,} acknowledged, 0 lost, 0 doubled, longest gap {writers.longest_gap:.1f} s")


def test_a_read_on_another_node_sees_what_was_acknowledged(galera: clusters.Galera) -> None:
    database = clusters.new_database(galera.nodes[0])
    with contextlib.ExitStack() as stack:
        nodes = [
            stack.enter_context(SQLAlchemySessionService(galera.url(database, number)))
            for number in range(clusters.NODES)
        ]
        session = nodes[0].create_session(session_id="s")
        for number in range(150):
            event = nodes[number % 3].append_event("s", Event("user", f"text {number}"))
            seen = nodes[(number + 1) % 3].list_events("s", newest_first=True, limit=1)[0]
            assert (seen.id, seen.seq) == (event.id, number + 1)
        assert nodes[2].search("text 149")[0].event.seq == 150
        session.state["k"] = 1
        assert nodes[1].get_state("s") == {"k": 1}


def killed(cluster: clusters.Galera, number: int) -> None:
    cluster.nodes[number].kill()
    time.sleep(SETTLE_SECONDS)
    cluster.restart(number)


def cut_off(cluster: clusters.Galera, number: int) -> None:
    cluster.isolate(number)
    time.sleep(SETTLE_SECONDS + 4)
    cluster.isolate(number, cut=False)
    cluster.nodes[number].wait_for(clusters.NODES)


@pytest.mark.parametrize("happening", [killed, cut_off])
def test_a_galera_node_that_fails_takes_nothing_that_was_acknowledged(
    galera: clusters.Galera,
    happening: Callable[[clusters.Galera, int], None],
    rounds: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for turn in range(rounds):
        database = clusters.new_database(galera.nodes[0])
        with SQLAlchemySessionService(galera.url(database), user_id="u") as service:
            service.create_session(session_id="all")
        # Each writer prefers another node, and has the others to go to.
        urls = [galera.url(database, *((number + step) % 3 for step in range(3))) for number in range(WRITERS)]
        with Writers(urls) as writers:
            happening(galera, turn % clusters.NODES)
        assert writers.errors == []
        for number in range(clusters.NODES):
            with SQLAlchemySessionService(galera.url(database, number), user_id="u") as service:
                assert writers.lost_and_doubled(service) == (0, 0)
        report(capsys, f"Galera, a node {happening.__name__.replace('_', ' ')}", writers)


@functools.cache
def _failover(synchronous: bool) -> tuple[Writers, tuple[int, int]]:
    with _started(functools.partial(clusters.postgresql_pair, synchronous=synchronous)) as pair:
        database = clusters.new_database(pair.nodes[0])
        url = pair.url(database)
        with SQLAlchemySessionService(url, user_id="u") as service:
            service.create_session(session_id="all")
        with Writers([url] * WRITERS) as writers:
            if not synchronous:
                pair.stop_sending()
                time.sleep(1.0)
            pair.kill_primary()
            pair.promote()
        with SQLAlchemySessionService(url, user_id="u") as service:
            if not synchronous:
                return writers, (_lost(writers, service), 0)
            result = writers.lost_and_doubled(service)
        pair.rejoin()
        return writers, result


def _lost(writers: Writers, service: SessionService) -> int:
    lost = 0
    for session, ids in writers.acknowledged.items():
        with contextlib.suppress(SessionError):
            lost += len(set(ids) - {event.id for event in service.list_events(session)})
    return lost


def test_a_standby_that_is_waited_for_has_all_that_was_acknowledged(
    rounds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(rounds):
        _failover.cache_clear()
        writers, result = _failover(True)
        assert writers.errors == []
        assert result == (0, 0)
        report(capsys, "PostgreSQL, the primary killed and the standby promoted", writers)


def test_a_standby_that_nobody_waits_for_loses_events_or_the_test_above_proves_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, (lost, _) = _failover(False)
    with capsys.disabled():
        print(f"\nPostgreSQL, a standby that nobody waits for: {lost:,} acknowledged events lost (the control)")
    assert lost > 0


def test_a_controller_that_promotes_the_standby_takes_nothing_that_was_acknowledged(
    rounds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with _started(clusters.auto_failover) as cluster:
        for _ in range(rounds):
            url = cluster.url(cluster.new_database())
            with SQLAlchemySessionService(url, user_id="u") as service:
                service.create_session(session_id="all")
            with Writers([url] * WRITERS) as writers:
                dead = cluster.kill_primary()
                cluster.wait_for("primary", "wait_primary")  # the monitor still has the last word of the dead one
                dead.restart()
                cluster.wait_for("primary", "secondary")
            assert writers.errors == []
            with SQLAlchemySessionService(url, user_id="u") as service:
                assert writers.lost_and_doubled(service) == (0, 0)
            report(capsys, "PostgreSQL under pg_auto_failover, the primary killed", writers)
