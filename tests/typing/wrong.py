"""Uses of the public interface that a type checker refuses, on exactly the lines that say so."""

from __future__ import annotations

from session_sqlite import (
    AsyncSessionService,
    Event,
    Session,
    SessionRecord,
    SessionService,
    SQLiteChatMessageHistory,
    ToolCall,
)


def filters(service: SessionService, session: Session) -> None:
    session.events(autor="user")  # E:
    session.iter_events(autor="user")  # E:
    session.search("tea", autor="user")  # E:
    service.list_events("s", autor="user")  # E:
    service.iter_events("s", autor="user")  # E:
    service.iter_event_chunks("s", autor="user")  # E:
    service.search("tea", autor="user")  # E:
    session.events(limit="3")  # E:
    session.iter_events(limit="3")  # E:
    session.search("tea", limit="3")  # E:
    service.list_events("s", limit="3")  # E:
    service.iter_events("s", limit="3")  # E:
    service.iter_events("s", since="2020-01-01")  # E:
    service.list_sessions(limit="3")  # E:
    service.search("tea", limit=None)  # E:


def histories() -> None:
    SQLiteChatMessageHistory("s", connection="sqlite:///chat.db")  # E:
    SQLiteChatMessageHistory.factory(async_mode=True)  # E:


def choices(service: SessionService, session: Session) -> None:
    service.export("x", format="word")  # E:
    session.export("x", format="pdf")  # E:
    service.import_("x", format="word")  # E:
    service.search("tea", fields="contents")  # E:
    service.search("tea", fields=["content", "title"])  # E:
    session.search("tea", fields=["title"])  # E:
    service.usage(by="year")  # E:
    service.usage(by=["day", "author"])  # E:
    service.activity(by=["model"])  # E:
    service.tool_calls(status="done")  # E:
    service.tool_counts(status="done")  # E:


def values(service: SessionService, session: Session) -> None:
    Event()  # E:
    Event("user", created_at="2020-01-01")  # E:
    Event("user", "hello", "thinking")  # E:
    ToolCall("find", output=1, eror="x")  # E:
    SessionRecord("s", created_at=3)  # E:
    session.title = "another"  # E:
    session.created_at = session.updated_at  # E:
    service.append_event("s", "hello")  # E:
    service.get_session(3)  # E:
    session.rewind(turn=1)  # E:
    service.create_session(app_name=None, user=3)  # E:


async def awaited(service: AsyncSessionService) -> None:
    session = await service.get_session("s")
    session.id.isdecimal(3)  # E:
    await service.list_events("s", autor="user")  # E:
    await service.list_events("s", limit="3")  # E:
    await service.search("tea", fields="title")  # E:
    await service.usage(by="year")  # E:
    await service.export("x", format="word")  # E:
    await session.events(autor="user")  # E:
    await session.search("tea", autor="user")  # E:
    await session.rewind(turn=1)  # E:
    session.iter_events(autor="user")  # E:
    service.iter_events("s", limit="3")  # E:
    _ = service.get_session("s").title  # E:
    (await service.search("tea"))[0].session.delete().bit_length()  # E:
