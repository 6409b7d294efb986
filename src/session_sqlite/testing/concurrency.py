"""Threads share a service: nothing is lost, doubled or torn, and no place in a session is skipped."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from session_sqlite import Event, StaleSessionError
from session_sqlite.testing.contract import Contracts, seqs, skip_if_awaited

WRITERS: Final = 4


class ConcurrencyContracts(Contracts):
    """Threads share a service: nothing is lost, doubled or torn, and no place in a session is skipped."""

    def test_threads_append_without_a_gap_and_lose_nothing(self, service: Any) -> None:
        """Appends of many threads have the places 1, 2, 3 and so on, and readers see whole batches only."""
        skip_if_awaited(service, "its event loop is of one thread")
        session = service.create_session()
        stop = threading.Event()
        torn = []

        def write(worker: int) -> None:
            for number in range(25):
                session.add_events([Event("user", f"{worker}:{number}"), Event("assistant")])
                service.update_state(session, {f"w{worker}": number})

        def read() -> None:
            while not stop.wait(0.02):  # readers that never rest would have Python's lock most of the time
                events = session.events()
                if len(events) % 2 or seqs(events) != list(range(1, len(events) + 1)):
                    torn.append(len(events))
                session.last_events(3)
                service.list_sessions()
                service.search("1")

        with ThreadPoolExecutor(12) as pool:
            readers = [pool.submit(read) for _ in range(4)]
            writers = [pool.submit(write, worker) for worker in range(8)]
            try:
                for writer in writers:
                    writer.result(60)
            finally:
                stop.set()
            for reader in readers:
                reader.result(60)
        assert torn == []
        assert seqs(session.events()) == list(range(1, 401))
        assert session.refresh().last_seq == 400
        assert service.get_state(session) == {f"w{worker}": 24 for worker in range(8)}

    def test_a_stream_beside_writers_is_a_prefix_of_the_truth(self, service: Any) -> None:
        """A stream that is read while others write has all events up to its end, each once and in order."""
        skip_if_awaited(service, "its event loop is of one thread")
        session = service.create_session()
        session.add_events([Event("user", str(n)) for n in range(1, 2001)])
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                session.add_event("assistant")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(3):
                seen = seqs(session.iter_events(limit=3000))
                assert seen == list(range(1, len(seen) + 1))
                assert len(seen) >= 2000
        finally:
            stop.set()
            writer.join(30)

    def test_the_same_retries_of_all_threads_are_stored_once(self, service: Any) -> None:
        """An event that many threads send under one id is stored once, and each gets the stored one."""
        skip_if_awaited(service, "its event loop is of one thread")
        session = service.create_session(session_id="s")
        together = threading.Barrier(WRITERS)

        def send(worker: int) -> list[Any]:
            together.wait(30)
            return [session.add_event("user", str(number), id=f"e{number}") for number in range(5)]

        with ThreadPoolExecutor(WRITERS) as pool:
            returned = list(pool.map(send, range(WRITERS)))
        events = session.events()
        assert [event.id for event in events] == [f"e{number}" for number in range(5)]
        assert seqs(events) == [1, 2, 3, 4, 5]
        assert returned == [events] * WRITERS

    def test_expected_seq_makes_reading_and_writing_one_step(self, service: Any) -> None:
        """Of threads that read and write back with ``expected_seq``, none overwrites what another one wrote."""
        skip_if_awaited(service, "its event loop is of one thread")
        service.create_session(session_id="s", state={"count": 0})

        def count(worker: int) -> None:
            done = 0
            while done < 5:
                last = service.get_session("s").last_seq
                now = service.get_state("s")["count"]
                try:
                    service.append_event("s", Event("user", state={"count": now + 1}), expected_seq=last)
                except StaleSessionError:
                    continue
                done += 1

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(count, range(WRITERS)))
        assert service.get_state("s") == {"count": WRITERS * 5}
        assert seqs(service.list_events("s")) == list(range(1, WRITERS * 5 + 1))
