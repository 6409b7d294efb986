"""Uses of the public interface that a type checker accepts; `tests/test_typing.py` checks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import assert_type

from typing_extensions import Unpack

from session_sqlite import (
    ANY,
    REMOVE,
    AnyOf,
    AsyncSession,
    AsyncSessionService,
    CheckReport,
    EraseReport,
    Event,
    EventFilters,
    ExportReport,
    ImportReport,
    LimitedEventFilters,
    Page,
    PruneReport,
    RedactReport,
    SearchField,
    SearchFilters,
    SearchHit,
    Session,
    SessionArgument,
    SessionHit,
    SessionKey,
    SessionOverview,
    SessionRecord,
    SessionService,
    SQLiteSessionService,
    ToolCall,
    ToolStatus,
    UsageGroup,
)


def times(session: Session, event: Event, when: datetime | None) -> None:
    """What is stored has its times; what is made by hand may have none."""
    assert_type(session.created_at, datetime)
    assert_type(session.updated_at, datetime)
    assert_type(event.created_at, datetime)
    print(session.created_at.isoformat(), session.updated_at.isoformat(), event.created_at.isoformat())
    Event("user", "x", created_at=when)
    Event("user", "x", created_at=None)
    Event("user")
    SessionRecord("s", created_at=when, updated_at=None)
    SessionRecord("s")


def listing(service: SessionService, session: Session, whose: SessionArgument) -> None:
    assert_type(service.list_events(whose, author="user", limit=3, newest_first=True), Page[Event])
    assert_type(service.iter_events("s", author="user", after=3, limit=None), Iterator[Event])
    assert_type(session.events(author="user", before="cursor", limit=3), Page[Event])
    assert_type(service.search("tea", fields="content", session=session), Page[SearchHit[Session]])
    assert_type(session.search("tea", fields=["content", "tools"], limit=3), Page[SearchHit[Session]])
    assert_type(service.recall("Which tea?", exclude_session=session), Page[SearchHit[Session]])
    assert_type(session.recall("Which tea?", limit=3), Page[SearchHit[Session]])
    assert_type(service.list_sessions(app_name=ANY, limit=None), Page[Session])
    assert_type(service.session_overviews()[0], SessionOverview[Session])
    assert_type(service.session_overviews()[0].last_activity, datetime)
    assert_type(service.search_sessions("tea", order="best", limit=None), Page[SessionHit[Session]])
    assert_type(service.search_sessions("tea")[0].hit, SearchHit[Session] | None)
    assert_type(service.get_session("s").add_event("user", "hello", actions=[ToolCall("find")]), Event)
    assert_type(service.last_seqs(), dict[SessionKey, int])
    service.tool_calls("find", status="error")
    service.usage(by=["day", "model"])
    service.usage(by="month")
    service.activity(by=())
    session.update(metadata={"old": REMOVE})


def passed_on(session: Session, **filters: Unpack[LimitedEventFilters]) -> list[Event]:
    """A function of a user's own that hands filters on is as exactly typed."""
    return session.events(**filters)


def passed_on_to_a_stream(service: SessionService, **filters: Unpack[EventFilters]) -> Iterator[Event]:
    return service.iter_events("s", **filters)


def searched(session: Session, **filters: Unpack[SearchFilters]) -> list[str]:
    return [hit.snippet for hit in session.search("tea", **filters)]


def chosen(
    service: SessionService, fields: list[SearchField], status: ToolStatus, by: UsageGroup, app: str | AnyOf
) -> None:
    service.search("tea", fields=fields, app_name=app)
    service.tool_counts(status=status)
    service.usage(by)


def reports(service: SQLiteSessionService) -> None:
    assert_type(service.export("x.jsonl", format="jsonl"), ExportReport)
    assert_type(service.import_("x.jsonl", format="auto"), ImportReport)
    assert_type(service.prune(keep_last=3), PruneReport)
    assert_type(service.erase("s"), EraseReport)
    assert_type(service.redact("secret"), RedactReport)
    assert_type(service.check(), CheckReport)
    assert_type(service.check()[0].message, str)
    assert_type(service.scope(user_id="u"), SQLiteSessionService)


async def awaited(service: AsyncSessionService, convert: Callable[[Event], int]) -> None:
    session = await service.get_session("s")
    assert_type(session, AsyncSession)
    assert_type(session.created_at, datetime)
    assert_type(await service.create_session(title="t"), AsyncSession)
    assert_type(await service.list_sessions(), Page[AsyncSession])
    assert_type(await service.search("tea"), Page[SearchHit[AsyncSession]])
    assert_type(await service.recall("Which tea?"), Page[SearchHit[AsyncSession]])
    assert_type((await service.search("tea"))[0].session, AsyncSession)
    assert_type(await service.session_overviews(), Page[SessionOverview[AsyncSession]])
    assert_type(await service.search_sessions("tea"), Page[SessionHit[AsyncSession]])
    assert_type((await service.search_sessions("tea"))[0].hit, SearchHit[AsyncSession] | None)
    assert_type(await service.fork_session(session, at=3), AsyncSession)
    assert_type(await service.append_event(session, Event("user", "hello")), Event)
    assert_type(await service.list_events("s", author="user", limit=3), Page[Event])
    assert_type(await service.convert_events("s", convert), list[int])
    assert_type(await session.add_event("user", "hello"), Event)
    assert_type(await session.events(author="user"), Page[Event])
    assert_type(await session.search("tea"), Page[SearchHit[AsyncSession]])
    assert_type(await session.fork(), AsyncSession)
    assert_type(await session.rewind(turns=1, dry_run=True), list[Event])
    async for event in session.iter_events(author="user", limit=3):
        print(event.created_at.isoformat())
    async for event in service.iter_events(session, author="user"):
        print(event.seq)
