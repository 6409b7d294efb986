"""The asynchronous service has the same verbs, and whoever is cancelled leaves nothing half done."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import io
import random
import sqlite3
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

from session_sqlite import (
    ANY,
    AsyncSession,
    AsyncSessionService,
    Event,
    InvalidInputError,
    Page,
    Session,
    SessionNotFoundError,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    StoreClosedError,
)
from session_sqlite.threads import WORKERS


@pytest.fixture
async def store(path: Path) -> AsyncIterator[AsyncSessionService]:
    async with AsyncSessionService(SQLiteSessionService(path)) as service:
        yield service


# What has no twin, and why.
SYNC_ONLY = {
    "SessionService": {
        "db",  # sqlite-utils is blocking throughout
    },
    "Session": {"state"},  # a mapping cannot be awaited: get_state, update_state
}
ASYNC_ONLY = {"Session": {"session", "get_state", "update_state"}, "SessionService": set()}


def public_names(cls: type) -> set[str]:
    fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    return {name for name in dir(cls) if not name.startswith("_")} | fields


PAIRS = {"SessionService": (SQLiteSessionService, AsyncSessionService), "Session": (Session, AsyncSession)}


@pytest.mark.parametrize("kind", PAIRS)
def test_every_public_name_has_its_twin(kind: str) -> None:
    sync, asynchronous = PAIRS[kind]
    assert public_names(sync) - public_names(asynchronous) <= SYNC_ONLY[kind]
    assert public_names(asynchronous) - public_names(sync) <= ASYNC_ONLY[kind]


VERBS = [
    (kind, name)
    for kind, (sync, asynchronous) in PAIRS.items()
    for name in sorted(public_names(sync) & public_names(asynchronous))
    if inspect.isfunction(getattr(sync, name, None))
]


@pytest.mark.parametrize(("kind", "name"), VERBS)
def test_a_verb_takes_the_same_arguments_in_the_same_order_and_is_awaited(kind: str, name: str) -> None:
    sync, asynchronous = (getattr(cls, name) for cls in PAIRS[kind])
    ours, theirs = (list(inspect.signature(function).parameters.values()) for function in (sync, asynchronous))
    assert [(one.name, one.kind, one.default) for one in ours] == [(one.name, one.kind, one.default) for one in theirs]
    if name.startswith("iter_"):
        assert inspect.isasyncgenfunction(asynchronous) or kind == "Session"
    elif name not in {"scope", "to_dict"}:  # which do no I/O
        assert inspect.iscoroutinefunction(asynchronous)
    assert inspect.getdoc(asynchronous)


async def test_a_session_has_the_fields_of_the_one_it_wraps(store: AsyncSessionService) -> None:
    parent = await store.create_session(session_id="p", title="Tea", agent_id="waiter", metadata={"k": 1})
    await parent.add_event("user", "one")
    fork = await parent.fork()
    for field in dataclasses.fields(Session):
        assert getattr(fork, field.name) == getattr(fork.session, field.name)
    assert (fork.parent_id, fork.parent_seq) == ("p", 1)
    assert fork == await store.get_session(fork) == await fork.refresh()
    assert len({fork, await fork.refresh(), parent}) == 2


async def test_the_verbs_do_what_their_twins_do(store: AsyncSessionService, path: Path) -> None:
    session = await store.create_session(session_id="s", state={"step": 0, "user:u": 1})
    first = await session.add_event("user", "请帮我分析代码", state={"step": 1})
    await session.add_events([Event("assistant", "好的"), Event("user", "two", state={"step": 2})])
    assert await store.append_event("s", Event("assistant", "four"), expected_seq=3) == (await session.events())[3]
    assert [event.seq for event in await session.last_events(2)] == [3, 4]
    assert await session.get_state() == {"step": 2, "user:u": 1}
    assert await session.update_state({"own": 1}) == {"own": 1, "step": 2, "user:u": 1}
    assert await store.get_state_value(session, "step") == 2
    assert [hit.event for hit in await session.search("代码")] == [first]
    assert (await session.update(title="T")).title == "T"
    fork = await session.fork(at=first, session_id="f")
    assert (await fork.get_state())["step"] == 1
    assert [event.seq for event in await session.rewind()] == [3, 4]
    summary = await session.summarize(lambda messages: "short", keep_last=0)
    assert summary is not None
    page = await store.list_sessions(limit=1)
    assert isinstance(page, Page)
    assert isinstance(page[0], AsyncSession)
    assert [one.id for one in await store.list_sessions(cursor=page.next_cursor)] == ["f"]
    assert (await store.redact("好", dry_run=True)).events == 1
    assert (await store.prune(keep_last=0, dry_run=True)).events == 4
    assert (await store.backup(path.with_name("copy.db"))).exists()
    assert (await store.check()).ok
    assert (await store.query("SELECT count(*) AS n FROM sessions"))[0]["n"] == 2
    assert (await store.erase(fork)).sessions == 1
    assert await session.clear() == 3
    assert await session.delete()
    with pytest.raises(SessionNotFoundError):
        await session.refresh()
    assert store.path == path


async def test_a_scope_is_made_without_waiting_and_keeps_to_its_user(store: AsyncSessionService) -> None:
    mine = store.scope(user_id="li")
    assert (mine.user_id, mine.app_name, store.user_id) == ("li", "default", "default")
    session = await mine.create_session(session_id="1")
    assert session.user_id == "li"
    with pytest.raises(SessionNotFoundError):
        await store.get_session("1")
    assert [one.id for one in await store.scope(user_id=ANY).list_sessions()] == ["1"]
    with pytest.raises(InvalidInputError):
        await store.scope(user_id=ANY).append_event("1", Event("user"))
    async with mine:
        pass  # a view leaves the store open
    assert (await session.add_event("user", "still open")).seq == 1
    with pytest.raises(InvalidInputError):
        store.scope(user_id="")


async def test_a_closed_store_stays_closed(path: Path) -> None:
    async with AsyncSessionService(SQLiteSessionService(path)) as store:
        session = await store.create_session()
    with pytest.raises(StoreClosedError):
        await session.add_event("user", "x")
    await store.close()


async def test_a_stream_holds_nothing_between_its_items(store: AsyncSessionService) -> None:
    session = await store.create_session()
    await session.add_events([Event("user", str(number)) for number in range(1200)])
    seen = 0
    async for event in session.iter_events():
        seen += 1
        if event.seq in (1, 500, 501):
            await session.add_event("assistant", "meanwhile")
    assert seen == 1203
    newest = [event.content async for event in store.iter_events(session, newest_first=True, limit=2, author="user")]
    assert newest == ["1199", "1198"]
    with pytest.raises(SessionNotFoundError):
        async for _ in store.iter_events("nowhere"):
            pass
    with pytest.raises(InvalidInputError):
        async for _ in session.iter_events(limit=-1):
            pass
    async for _ in session.iter_events():  # left half-way
        break
    assert (await session.add_event("user", "on")).seq == 1204


async def test_many_at_once_are_in_order(store: AsyncSessionService) -> None:
    session = await store.create_session()
    stored = await asyncio.gather(*(session.add_event("user", str(number)) for number in range(100)))
    assert sorted(event.seq for event in stored) == list(range(1, 101))


async def test_whoever_is_cancelled_leaves_nothing_half_done(store: AsyncSessionService) -> None:
    session = await store.create_session()
    rng = random.Random(7)

    async def append(number: int) -> None:
        batch = [Event("user", f"{number}", state={f"k{number}": part}) for part in range(5)]
        await session.add_events(batch)

    tasks = [asyncio.create_task(append(number)) for number in range(60)]
    for task in rng.sample(tasks, 40):
        await asyncio.sleep(rng.random() * 0.002)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    events = await session.events()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    batches = [event.content for event in events]
    state = await session.get_state()
    for number, result in enumerate(results):
        assert result is None or isinstance(result, asyncio.CancelledError)
        count = batches.count(str(number))
        assert count in ((5,) if result is None else (0, 5))
        assert state.get(f"k{number}") == (4 if count else None)
    assert {type(result) for result in results} == {type(None), asyncio.CancelledError}
    assert (await session.add_event("user", "on")).seq == len(events) + 1


async def test_a_cancelled_wait_for_another_writer_holds_no_lock(store: AsyncSessionService, path: Path) -> None:
    session = await store.create_session()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    first = asyncio.create_task(session.add_event("user", "first"))
    await asyncio.sleep(0.05)
    first.cancel()
    timer = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    timer.start()
    with pytest.raises(asyncio.CancelledError):
        await first
    timer.join()
    other.close()
    # Its work was under way, so it has been done as a whole; and the next one finds no lock.
    assert [event.content for event in await session.events()] == ["first"]
    assert (await asyncio.wait_for(session.add_event("user", "second"), 5)).seq == 2


async def test_a_cancelled_fork_erase_or_redaction_is_whole(store: AsyncSessionService) -> None:
    session = await store.create_session(session_id="s")
    await session.add_events([Event("user", f"secret {number}") for number in range(1500)])
    for work in (store.redact("secret"), session.fork(session_id="f"), store.erase(session), session.rewind(turns=9)):
        task = asyncio.create_task(work)
        await asyncio.sleep(0.003)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, SessionNotFoundError)):
            await task
    for left in await store.list_sessions():
        assert len(await left.events()) in (1500, 1491)
    assert (await store.check()).ok
    assert (await (await store.create_session()).add_event("user", "on")).seq == 1


MANY = WORKERS + 4  # more than there are workers


@pytest.mark.parametrize("kind", ["an asynchronous function", "a function that returns an awaitable", "a Runnable"])
async def test_more_summarizers_than_workers_may_await_the_store(store: AsyncSessionService, kind: str) -> None:
    sessions = [await store.create_session() for _ in range(MANY)]
    for session in sessions:
        await session.add_events([Event("user", "one"), Event("user", "two")])
    all_there = asyncio.Barrier(MANY)

    async def ask(messages: list[Any]) -> str:
        await all_there.wait()
        return f"{len(messages)} of {len(await store.list_sessions())}"

    summarizer: Any = {
        "an asynchronous function": ask,
        "a function that returns an awaitable": lambda messages: ask(messages),
        "a Runnable": RunnableLambda(ask),
    }[kind]
    made = await asyncio.wait_for(
        asyncio.gather(*(session.summarize(summarizer, keep_last=1) for session in sessions)), 60
    )
    assert [summary.content for summary in made if summary] == [f"1 of {MANY}"] * MANY


async def test_no_worker_waits_for_a_function_of_the_caller(store: AsyncSessionService, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    session = await store.create_session()
    await session.add_events([Event("user", "one"), Event("user", "two")])
    source = tmp_path / "source.jsonl"
    await store.export(source)

    def waits(*args: Any) -> str:
        all_there.wait(60)
        asyncio.run_coroutine_threadsafe(store.get_session(session), loop).result(60)
        return "waited"

    def generated() -> Iterator[Event]:
        yield Event("user", waits(), message_id=str(uuid.uuid4()))

    history = SQLiteChatMessageHistory(
        session.id, service=store._blocking, max_tokens=100, token_counter=lambda messages: len(waits())
    )
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "summarize": lambda: session.summarize(waits, keep_last=1),
        "redact": lambda: store.redact(lambda text: text if waits() else "", dry_run=True),
        "export": lambda: store.export(io.StringIO(), progress=lambda *done: waits() and None),
        "import": lambda: store.import_(source, dry_run=True, progress=lambda *done: waits() and None),
        "append": lambda: session.add_events(generated()),
        "append messages": lambda: store.append_messages(session, generated()),
        "find messages": lambda: store.find_messages(session, (event.id for event in generated())),
        "replace": lambda: store.replace_events(session, generated()),
        "count tokens": history.aget_messages,
    }
    for name, call in calls.items():
        await store.replace_events(session, [Event("user", "one"), Event("user", "two")])
        all_there = threading.Barrier(MANY)
        done = asyncio.gather(*(call() for _ in range(MANY)), return_exceptions=True)
        for result in await asyncio.wait_for(done, 60):
            assert not isinstance(result, BaseException), name
