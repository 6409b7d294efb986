"""The service for asyncio: the same verbs, awaited, each one hop to a worker thread.

SQLite has no asynchronous interface, and threads over a blocking driver matched the asynchronous ones. A whole
operation is one hop, so a transaction never spans an await; what calls the caller's own functions hops to a thread
made for it, since these may wait for the service in turn. A caller that is cancelled while its operation runs
waits for it to end: what was asked has then either happened as a whole or not at all, and holds no lock.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Self

from session_sqlite.codec import SessionKey
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import AnyOf, Event, SearchHit, SessionOverview, SessionRecord, ToolCall, Usage
from session_sqlite.pages import Page, Rows
from session_sqlite.service import SessionService
from session_sqlite.service.conversations import DEFAULT_LIST_LIMIT
from session_sqlite.service.exchange import ExportReport, ImportReport, Progress
from session_sqlite.service.life_cycle import call_summarizer
from session_sqlite.service.retention import EraseReport, PruneReport, RedactReport
from session_sqlite.session import Session, attached
from session_sqlite.sqlite import DEFAULT_QUERY_TIMEOUT, SQLiteSessionService
from session_sqlite.sqlite.maintenance import CheckReport
from session_sqlite.threads import in_own_thread, in_thread, in_thread_with


class AsyncSession(SessionRecord):
    """A `Session` whose methods are awaited; its fields (see `SessionRecord`) are as they were read."""

    # Not a field, as in `Session`.
    _service: AsyncSessionService

    def __init__(self, session: Session, service: AsyncSessionService) -> None:
        self.__dict__.update(session.__getstate__(), _service=service)

    @property
    def session(self) -> Session:
        """The session as the blocking service gives it."""
        fields = {name: value for name, value in self.__dict__.items() if name != "_service"}
        return attached(Session(**fields), self._service._sync)

    def _repr_html_(self) -> str:
        return self.session._repr_html_()

    async def refresh(self) -> AsyncSession:
        """See `Session.refresh`."""
        return await self._service.get_session(self)

    async def update(
        self, *, title: str | None = None, agent_id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> AsyncSession:
        """See `Session.update`."""
        return await self._service.update_session(self, title=title, agent_id=agent_id, metadata=metadata)

    async def delete(self) -> bool:
        """See `Session.delete`."""
        return await self._service.delete_session(self)

    async def add_event(
        self,
        author: str,
        content: str = "",
        *,
        reasoning: str = "",
        actions: Sequence[ToolCall] = (),
        state: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        agent_id: str = "",
        branch: str = "",
        invocation_id: str = "",
        usage: Usage | None = None,
        id: str = "",
        created_at: datetime | None = None,
        expected_seq: int | None = None,
    ) -> Event:
        """See `Session.add_event`."""
        return await in_thread(
            self.session.add_event,
            author,
            content,
            reasoning=reasoning,
            actions=actions,
            state=state,
            metadata=metadata,
            agent_id=agent_id,
            branch=branch,
            invocation_id=invocation_id,
            usage=usage,
            id=id,
            created_at=created_at,
            expected_seq=expected_seq,
        )

    async def add_events(self, events: Iterable[Event], *, expected_seq: int | None = None) -> list[Event]:
        """See `Session.add_events`."""
        return await self._service.append_events(self, events, expected_seq=expected_seq)

    async def events(self, **filters: Any) -> Page[Event]:
        """See `Session.events`."""
        return await self._service.list_events(self, **filters)

    def iter_events(self, **filters: Any) -> AsyncIterator[Event]:
        """See `Session.iter_events`; an asynchronous iterator."""
        return self._service.iter_events(self, **filters)

    async def last_events(self, n: int) -> list[Event]:
        """See `Session.last_events`."""
        return await self._service.last_events(self, n)

    async def clear(self) -> int:
        """See `Session.clear`."""
        return await self._service.clear_session(self)

    async def search(self, query: str, **filters: Any) -> Page[SearchHit[Session]]:
        """See `Session.search`."""
        return await self._service.search(query, session=self, **filters)

    async def fork(
        self, *, at: Event | str | int | None = None, session_id: str | None = None, title: str = ""
    ) -> AsyncSession:
        """See `Session.fork`."""
        return await self._service.fork_session(self, at=at, session_id=session_id, title=title)

    async def rewind(self, *, turns: int | None = None, to: Event | str | int | None = None) -> list[Event]:
        """See `Session.rewind`."""
        return await self._service.rewind_session(self, turns=turns, to=to)

    async def summarize(self, summarizer: Any, *, keep_last: int) -> Event | None:
        """See `Session.summarize`."""
        return await self._service.summarize_session(self, summarizer, keep_last=keep_last)

    async def export(
        self, target: str | os.PathLike[str] | IO[str], *, format: str = "jsonl", progress: Progress | None = None
    ) -> ExportReport:
        """See `Session.export`."""
        return await self._service.export(target, session=self, format=format, progress=progress)

    async def get_state(self) -> dict[str, Any]:
        """See `SessionService.get_state`."""
        return await self._service.get_state(self)

    async def update_state(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        """See `SessionService.update_state`."""
        return await self._service.update_state(self, delta)


class AsyncSessionService:
    """The verbs of a `SessionService`, awaited.

    Example:
        >>> import asyncio
        >>> from session_sqlite import SQLiteSessionService
        >>> async def main():
        ...     async with AsyncSessionService(SQLiteSessionService(":memory:")) as service:
        ...         session = await service.create_session()
        ...         await session.add_event("user", "你好")
        ...         return [event.content async for event in session.iter_events()]
        >>> asyncio.run(main())
        ['你好']
    """

    def __init__(self, service: SessionService) -> None:
        self._sync = service

    def __repr__(self) -> str:
        return f"AsyncSessionService({self._sync!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    @property
    def app_name(self) -> str | AnyOf:
        """See `SessionService.app_name`."""
        return self._sync.app_name

    @property
    def user_id(self) -> str | AnyOf:
        """See `SessionService.user_id`."""
        return self._sync.user_id

    @property
    def closed(self) -> bool:
        """See `SQLiteSessionService.closed`."""
        return self._of_file().closed

    @property
    def path(self) -> Path | None:
        """See `SQLiteSessionService.path`."""
        return self._of_file().path

    async def close(self) -> None:
        """See `SessionService.close`."""
        await in_thread(self._sync.close)

    def scope(self, *, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None) -> AsyncSessionService:
        """See `SessionService.scope`; not awaited, since it does no I/O."""
        return AsyncSessionService(self._sync.scope(app_name=app_name, user_id=user_id))

    async def create_session(
        self,
        *,
        agent_id: str = "",
        session_id: str | None = None,
        title: str = "",
        metadata: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        exist_ok: bool = False,
        app_name: str | None = None,
        user_id: str | None = None,
    ) -> AsyncSession:
        """See `SessionService.create_session`."""
        session = await in_thread(
            self._sync.create_session,
            agent_id=agent_id,
            session_id=session_id,
            title=title,
            metadata=metadata,
            state=state,
            exist_ok=exist_ok,
            app_name=app_name,
            user_id=user_id,
        )
        return AsyncSession(session, self)

    async def get_session(
        self,
        session_id: AsyncSession | Session | str,
        *,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> AsyncSession:
        """See `SessionService.get_session`."""
        session = await in_thread(self._sync.get_session, _plain(session_id), app_name=app_name, user_id=user_id)
        return AsyncSession(session, self)

    async def list_sessions(
        self,
        *,
        agent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        updated_after: datetime | None = None,
        updated_before: datetime | None = None,
        limit: int | None = DEFAULT_LIST_LIMIT,
        cursor: str | None = None,
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
    ) -> Page[AsyncSession]:
        """See `SessionService.list_sessions`."""
        page = await in_thread(
            self._sync.list_sessions,
            agent_id=agent_id,
            metadata=metadata,
            updated_after=updated_after,
            updated_before=updated_before,
            limit=limit,
            cursor=cursor,
            app_name=app_name,
            user_id=user_id,
        )
        return page.with_items(AsyncSession(session, self) for session in page)

    async def update_session(
        self,
        session: AsyncSession | Session | str,
        *,
        title: str | None = None,
        agent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> AsyncSession:
        """See `SessionService.update_session`."""
        changed = await in_thread(
            self._sync.update_session, _plain(session), title=title, agent_id=agent_id, metadata=metadata
        )
        return AsyncSession(changed, self)

    async def delete_session(self, session: AsyncSession | Session | str) -> bool:
        """See `SessionService.delete_session`."""
        return await in_thread(self._sync.delete_session, _plain(session))

    async def clear_session(self, session: AsyncSession | Session | str) -> int:
        """See `SessionService.clear_session`."""
        return await in_thread(self._sync.clear_session, _plain(session))

    async def append_event(
        self,
        session: AsyncSession | Session | str,
        event: Event,
        *,
        expected_seq: int | None = None,
        create: bool = False,
    ) -> Event:
        """See `SessionService.append_event`."""
        return await in_thread(
            self._sync.append_event, _plain(session), event, expected_seq=expected_seq, create=create
        )

    async def append_events(
        self,
        session: AsyncSession | Session | str,
        events: Iterable[Event],
        *,
        expected_seq: int | None = None,
        create: bool = False,
    ) -> list[Event]:
        """See `SessionService.append_events`."""
        return await in_thread_with(
            events, self._sync.append_events, _plain(session), events, expected_seq=expected_seq, create=create
        )

    async def append_messages(
        self,
        session: AsyncSession | Session | str,
        events: Iterable[Event],
        *,
        create: bool = False,
        instead_of: Mapping[str, str] | None = None,
    ) -> list[Event]:
        """See `SessionService.append_messages`."""
        return await in_thread_with(
            events, self._sync.append_messages, _plain(session), events, create=create, instead_of=instead_of
        )

    async def mark_interrupted(
        self, session: AsyncSession | Session | str, message_ids: Iterable[str], reason: str
    ) -> int:
        """See `SessionService.mark_interrupted`."""
        return await in_thread_with(message_ids, self._sync.mark_interrupted, _plain(session), message_ids, reason)

    async def find_messages(self, session: AsyncSession | Session | str, message_ids: Iterable[str]) -> dict[str, int]:
        """See `SessionService.find_messages`."""
        return await in_thread_with(message_ids, self._sync.find_messages, _plain(session), message_ids)

    async def replace_events(self, session: AsyncSession | Session | str, events: Iterable[Event]) -> list[Event]:
        """See `SessionService.replace_events`."""
        return await in_thread_with(events, self._sync.replace_events, _plain(session), events)

    async def list_events(self, session: AsyncSession | Session | str, **filters: Any) -> Page[Event]:
        """See `SessionService.list_events`, whose filters it takes."""
        return await in_thread(self._sync.list_events, _plain(session), **filters)

    async def iter_events(self, session: AsyncSession | Session | str, **filters: Any) -> AsyncIterator[Event]:
        """See `SessionService.iter_events`, whose filters it takes; an asynchronous iterator, not awaited."""
        chunks = await in_thread(self._sync.iter_event_chunks, _plain(session), **filters)
        while (chunk := await in_thread(next, chunks, None)) is not None:
            for event in chunk:
                yield event

    async def last_events(self, session: AsyncSession | Session | str, n: int) -> list[Event]:
        """See `SessionService.last_events`."""
        return await in_thread(self._sync.last_events, _plain(session), n)

    async def get_state(self, session: AsyncSession | Session | str) -> dict[str, Any]:
        """See `SessionService.get_state`."""
        return await in_thread(self._sync.get_state, _plain(session))

    async def get_state_value(self, session: AsyncSession | Session | str, key: str, *, default: Any = None) -> Any:
        """See `SessionService.get_state_value`."""
        return await in_thread(self._sync.get_state_value, _plain(session), key, default=default)

    async def update_state(self, session: AsyncSession | Session | str, delta: Mapping[str, Any]) -> dict[str, Any]:
        """See `SessionService.update_state`."""
        return await in_thread(self._sync.update_state, _plain(session), delta)

    async def search(
        self, query: str, *, session: AsyncSession | Session | str | None = None, **filters: Any
    ) -> Page[SearchHit[Session]]:
        """See `SessionService.search`, whose filters it takes."""
        return await in_thread(self._sync.search, query, session=_plain_or_none(session), **filters)

    async def session_overviews(self, **filters: Any) -> Page[SessionOverview[Session]]:
        """See `SessionService.session_overviews`, whose filters it takes."""
        return await in_thread(self._sync.session_overviews, **filters)

    async def tool_calls(
        self, name: str | None = None, session: AsyncSession | Session | str | None = None, **filters: Any
    ) -> Rows:
        """See `SessionService.tool_calls`, whose filters it takes."""
        return await in_thread(self._sync.tool_calls, name, _plain_or_none(session), **filters)

    async def tool_counts(
        self, *, session: AsyncSession | Session | str | None = None, **filters: Any
    ) -> dict[str, dict[str, int]]:
        """See `SessionService.tool_counts`, whose filters it takes."""
        return await in_thread(self._sync.tool_counts, session=_plain_or_none(session), **filters)

    async def last_seqs(
        self, *, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None
    ) -> dict[SessionKey, int]:
        """See `SessionService.last_seqs`."""
        return await in_thread(self._sync.last_seqs, app_name=app_name, user_id=user_id)

    async def usage(
        self,
        by: str | Sequence[str] = ("day", "model"),
        *,
        session: AsyncSession | Session | str | None = None,
        **filters: Any,
    ) -> Rows:
        """See `SessionService.usage`, whose filters it takes."""
        return await in_thread(self._sync.usage, by, session=_plain_or_none(session), **filters)

    async def activity(
        self,
        by: str | Sequence[str] = ("day", "author"),
        *,
        session: AsyncSession | Session | str | None = None,
        **filters: Any,
    ) -> Rows:
        """See `SessionService.activity`, whose filters it takes."""
        return await in_thread(self._sync.activity, by, session=_plain_or_none(session), **filters)

    async def reply_times(self, *, session: AsyncSession | Session | str | None = None, **filters: Any) -> Rows:
        """See `SessionService.reply_times`, whose filters it takes."""
        return await in_thread(self._sync.reply_times, session=_plain_or_none(session), **filters)

    async def stats(self, *, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None) -> dict[str, Any]:
        """See `SessionService.stats`."""
        return await in_thread(self._sync.stats, app_name=app_name, user_id=user_id)

    async def fork_session(
        self,
        session: AsyncSession | Session | str,
        *,
        at: Event | str | int | None = None,
        session_id: str | None = None,
        title: str = "",
    ) -> AsyncSession:
        """See `SessionService.fork_session`."""
        copy = await in_thread(self._sync.fork_session, _plain(session), at=at, session_id=session_id, title=title)
        return AsyncSession(copy, self)

    async def rewind_session(
        self,
        session: AsyncSession | Session | str,
        *,
        turns: int | None = None,
        to: Event | str | int | None = None,
        dry_run: bool = False,
    ) -> list[Event]:
        """See `SessionService.rewind_session`."""
        return await in_thread(self._sync.rewind_session, _plain(session), turns=turns, to=to, dry_run=dry_run)

    async def summarize_session(
        self, session: AsyncSession | Session | str, summarizer: Any, *, keep_last: int
    ) -> Event | None:
        """See `SessionService.summarize_session`.

        No worker waits for the summarizer: one that is awaited (an asynchronous function, or a Runnable, by its
        ``ainvoke``) runs in this loop, any other in a thread of its own.
        """
        older = await in_thread(self._sync._older_part, _plain(session), keep_last)
        if older is None:
            return None
        answer = await _answer(summarizer, older.messages)
        return await in_thread(self._sync._store_summary, older, answer)

    async def query(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] = (),
        *,
        timeout: float = DEFAULT_QUERY_TIMEOUT,  # SQLite's own limit, not the caller's patience
    ) -> Rows:
        """See `SQLiteSessionService.query`."""
        return await in_thread(self._of_file().query, sql, params, timeout=timeout)

    async def backup(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """See `SQLiteSessionService.backup`."""
        return await in_thread(self._of_file().backup, path, overwrite=overwrite)

    async def check(self, *, repair: bool = False) -> CheckReport:
        """See `SQLiteSessionService.check`."""
        return await in_thread(self._of_file().check, repair=repair)

    def _of_file(self) -> SQLiteSessionService:
        if not isinstance(self._sync, SQLiteSessionService):
            raise InvalidInputError("this is for stores in a SQLite file")
        return self._sync

    async def export(
        self,
        target: str | os.PathLike[str] | IO[str],
        *,
        session: AsyncSession | Session | str | Iterable[AsyncSession | Session | str] | None = None,
        format: str = "jsonl",
        app_name: str | AnyOf | None = None,
        user_id: str | AnyOf | None = None,
        progress: Progress | None = None,
    ) -> ExportReport:
        """See `SessionService.export`; ``progress`` is called in the thread that exports."""
        wanted: Session | str | list[Session | str] | None
        if session is None or isinstance(session, (AsyncSession, Session, str)):
            wanted = _plain_or_none(session)
        else:
            wanted = [_plain(one) for one in session]
        return await in_own_thread(
            self._sync.export,
            target,
            session=wanted,
            format=format,
            app_name=app_name,
            user_id=user_id,
            progress=progress,
        )

    async def import_(
        self,
        source: str | os.PathLike[str] | IO[Any],
        *,
        format: str = "auto",
        dry_run: bool = False,
        app_name: str | None = None,
        user_id: str | None = None,
        progress: Progress | None = None,
    ) -> ImportReport:
        """See `SessionService.import_`; ``progress`` is called in the thread that imports."""
        return await in_own_thread(
            self._sync.import_,
            source,
            format=format,
            dry_run=dry_run,
            app_name=app_name,
            user_id=user_id,
            progress=progress,
        )

    async def prune(self, **what: Any) -> PruneReport:
        """See `SessionService.prune`, whose arguments it takes."""
        return await in_thread(self._sync.prune, **what)

    async def erase(
        self,
        session: AsyncSession | Session | str | None = None,
        *,
        user_id: str | None = None,
        app_name: str | AnyOf | None = None,
    ) -> EraseReport:
        """See `SessionService.erase`."""
        return await in_thread(self._sync.erase, _plain_or_none(session), user_id=user_id, app_name=app_name)

    async def redact(
        self, pattern: Any, *, session: AsyncSession | Session | str | None = None, **how: Any
    ) -> RedactReport:
        """See `SessionService.redact`, whose arguments it takes."""
        return await in_own_thread(self._sync.redact, pattern, session=_plain_or_none(session), **how)


async def _answer(summarizer: Any, messages: list[Any]) -> Any:
    awaited = getattr(summarizer, "ainvoke", summarizer)
    if inspect.iscoroutinefunction(awaited):
        return await awaited(messages)
    answer = await in_own_thread(call_summarizer, summarizer, messages)
    return await answer if inspect.isawaitable(answer) else answer


def _plain_or_none(session: AsyncSession | Session | str | None) -> Session | str | None:
    return None if session is None else _plain(session)


def _plain(session: AsyncSession | Session | str) -> Session | str:
    return session.session if isinstance(session, AsyncSession) else session
