"""The service for asyncio: the verbs of `SessionService`, each run as a whole in a worker thread.

SQLite has no asynchronous interface, and threads over a blocking driver were as fast as the asynchronous drivers that
we measured. A whole operation runs in one thread, so that a transaction never spans an await. A caller that is
cancelled while its operation runs waits for its end: the operation has then either happened or not, and holds no lock.

The verbs are made from those of `SessionService` and `Session`, so that parameters, types and documentation cannot
differ: `awaited` turns a verb into a coroutine function, and the sessions in its answer into `AsyncSession`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from session_sqlite.filters import EventFilters, LimitedEventFilters, SessionArgument
from session_sqlite.models import AnyOf, Event, SearchHit, SessionHit, SessionOverview, SessionRecord
from session_sqlite.operations.summaries import Summarizer, ask
from session_sqlite.pages import Page
from session_sqlite.service import SessionService
from session_sqlite.session import Session, attached
from session_sqlite.threads import in_own_thread, in_thread

P = ParamSpec("P")
T = TypeVar("T")

_DATA = (str, bytes, list, tuple, dict, set, frozenset)  # reading these runs no code of the caller


def _runs_callers_code(argument: object) -> bool:
    """Returns True for a function, a stream or a file: it may wait for a verb that needs a worker (`in_own_thread`)."""
    return (
        callable(argument)
        or hasattr(argument, "write")
        or (hasattr(argument, "__iter__") and not isinstance(argument, _DATA))
    )


@overload
def awaited(
    verb: Callable[Concatenate[Any, P], Session], /
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, AsyncSession]]: ...
@overload
def awaited(
    verb: Callable[Concatenate[Any, P], Page[Session]], /
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, Page[AsyncSession]]]: ...
@overload
def awaited(
    verb: Callable[Concatenate[Any, P], Page[SearchHit[Session]]], /
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, Page[SearchHit[AsyncSession]]]]: ...
@overload
def awaited(
    verb: Callable[Concatenate[Any, P], Page[SessionHit[Session]]], /
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, Page[SessionHit[AsyncSession]]]]: ...
@overload
def awaited(
    verb: Callable[Concatenate[Any, P], Page[SessionOverview[Session]]], /
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, Page[SessionOverview[AsyncSession]]]]: ...
@overload
def awaited(verb: Callable[Concatenate[Any, P], T], /) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]: ...
def awaited(verb: Callable[..., Any], /) -> Callable[..., Any]:
    """Returns the awaited twin of a verb of `SessionService` or of a method of `Session`."""
    name = verb.__name__

    @functools.wraps(verb)
    async def twin(self: Any, *args: Any, **kwargs: Any) -> Any:
        has_callers_code = any(map(_runs_callers_code, (*args, *kwargs.values())))
        run = in_own_thread if has_callers_code else in_thread
        return _as_async(await run(getattr(self._blocking, name), *args, **kwargs), self._awaiting)

    return twin


def _as_async(answer: Any, service: AsyncSessionService) -> Any:
    """Returns an answer with each session in it as an `AsyncSession`."""
    if isinstance(answer, Session):
        return AsyncSession(answer, service)
    if isinstance(answer, (SearchHit, SessionOverview)):
        return replace(answer, session=_as_async(answer.session, service))
    if isinstance(answer, SessionHit):
        return replace(answer, session=_as_async(answer.session, service), hit=_as_async(answer.hit, service))
    if isinstance(answer, Page):
        answer[:] = [_as_async(item, service) for item in answer]
    return answer


class AsyncSession(SessionRecord):
    """A session of an `AsyncSessionService`: a `Session` whose methods are awaited.

    The fields (see `SessionRecord`) are as they were read; the methods go to the store at each call.
    """

    _awaiting: AsyncSessionService  # not a field, as in `Session`

    def __init__(self, session: Session, service: AsyncSessionService) -> None:
        self.__dict__.update(session.__getstate__(), _awaiting=service)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_awaiting"}

    @property
    def session(self) -> Session:
        """Returns the session as a `Session` of the blocking service."""
        return attached(Session(**self.__getstate__()), self._awaiting._blocking)

    @property
    def _blocking(self) -> Session:
        return self.session

    def _repr_html_(self) -> str:
        return self.session._repr_html_()

    refresh = awaited(Session.refresh)
    update = awaited(Session.update)
    delete = awaited(Session.delete)
    add_event = awaited(Session.add_event)
    add_events = awaited(Session.add_events)
    events = awaited(Session.events)
    last_events = awaited(Session.last_events)
    clear = awaited(Session.clear)
    fork = awaited(Session.fork)
    rewind = awaited(Session.rewind)
    search = awaited(Session.search)
    recall = awaited(Session.recall)
    export = awaited(Session.export)

    def iter_events(self, **filters: Unpack[LimitedEventFilters]) -> AsyncIterator[Event]:
        """See `SessionService.iter_events`; returns an asynchronous iterator, and is not awaited."""
        return self._awaiting.iter_events(self, **filters)

    async def summarize(self, summarizer: Summarizer, *, keep_last: int) -> Event | None:
        """See `AsyncSessionService.summarize_session`."""
        return await self._awaiting.summarize_session(self, summarizer, keep_last=keep_last)

    async def get_state(self) -> dict[str, Any]:
        """See `SessionService.get_state`."""
        return await self._awaiting.get_state(self)

    async def update_state(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        """See `SessionService.update_state`."""
        return await self._awaiting.update_state(self, delta)


class AsyncSessionService:
    """A `SessionService` whose verbs are awaited.

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
        self._blocking = service

    @property
    def _awaiting(self) -> Self:
        return self

    def __repr__(self) -> str:
        return f"AsyncSessionService({self._blocking!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    @property
    def app_name(self) -> str | AnyOf:
        """See `SessionService.app_name`."""
        return self._blocking.app_name

    @property
    def user_id(self) -> str | AnyOf:
        """See `SessionService.user_id`."""
        return self._blocking.user_id

    @property
    def closed(self) -> bool:
        """See `SessionService.closed`."""
        return self._blocking.closed

    @property
    def path(self) -> Path | None:
        """See `SessionService.path`."""
        return self._blocking.path

    def scope(self, *, app_name: str | AnyOf | None = None, user_id: str | AnyOf | None = None) -> AsyncSessionService:
        """See `SessionService.scope`; it is not awaited, since it does no I/O."""
        return AsyncSessionService(self._blocking.scope(app_name=app_name, user_id=user_id))

    close = awaited(SessionService.close)

    create_session = awaited(SessionService.create_session)
    get_session = awaited(SessionService.get_session)
    list_sessions = awaited(SessionService.list_sessions)
    session_overviews = awaited(SessionService.session_overviews)
    update_session = awaited(SessionService.update_session)
    delete_session = awaited(SessionService.delete_session)
    clear_session = awaited(SessionService.clear_session)

    append_event = awaited(SessionService.append_event)
    append_events = awaited(SessionService.append_events)
    append_messages = awaited(SessionService.append_messages)
    replace_events = awaited(SessionService.replace_events)
    mark_interrupted = awaited(SessionService.mark_interrupted)
    find_messages = awaited(SessionService.find_messages)
    list_events = awaited(SessionService.list_events)
    last_events = awaited(SessionService.last_events)

    async def iter_event_chunks(
        self, session: SessionArgument, *, limit: int | None = None, **filters: Unpack[EventFilters]
    ) -> AsyncIterator[list[Event]]:
        """See `SessionService.iter_event_chunks`; returns an asynchronous iterator, and is not awaited."""
        chunks = await in_thread(self._blocking.iter_event_chunks, session, limit=limit, **filters)
        while (chunk := await in_thread(next, chunks, None)) is not None:
            yield chunk

    async def iter_events(
        self, session: SessionArgument, *, limit: int | None = None, **filters: Unpack[EventFilters]
    ) -> AsyncIterator[Event]:
        """See `SessionService.iter_events`; returns an asynchronous iterator, and is not awaited."""
        async for chunk in self.iter_event_chunks(session, limit=limit, **filters):
            for event in chunk:
                yield event

    async def convert_events(
        self,
        session: SessionArgument,
        convert: Callable[[Event], T],
        *,
        convert_columns: Callable[[Sequence[Any]], T | None] | None = None,
    ) -> list[T]:
        """See `SessionService.convert_events`."""
        return await in_own_thread(self._blocking.convert_events, session, convert, convert_columns=convert_columns)

    get_state = awaited(SessionService.get_state)
    get_state_value = awaited(SessionService.get_state_value)
    update_state = awaited(SessionService.update_state)

    fork_session = awaited(SessionService.fork_session)
    rewind_session = awaited(SessionService.rewind_session)
    prune = awaited(SessionService.prune)
    erase = awaited(SessionService.erase)
    redact = awaited(SessionService.redact)

    async def summarize_session(
        self, session: SessionArgument, summarizer: Summarizer, *, keep_last: int
    ) -> Event | None:
        """See `SessionService.summarize_session`.

        The summarizer keeps no worker busy: an asynchronous function, or the ``ainvoke`` of a Runnable, runs in this
        loop, and any other function in a thread of its own.
        """
        older = await in_thread(self._blocking._older_part, session, keep_last)
        if older is None:
            return None
        answer = await _answer(summarizer, older.messages)
        return await in_thread(self._blocking._store_summary, older, answer)

    search = awaited(SessionService.search)
    recall = awaited(SessionService.recall)
    search_sessions = awaited(SessionService.search_sessions)
    tool_calls = awaited(SessionService.tool_calls)
    tool_counts = awaited(SessionService.tool_counts)
    last_seqs = awaited(SessionService.last_seqs)
    usage = awaited(SessionService.usage)
    activity = awaited(SessionService.activity)
    reply_times = awaited(SessionService.reply_times)
    stats = awaited(SessionService.stats)

    export = awaited(SessionService.export)
    import_ = awaited(SessionService.import_)
    query = awaited(SessionService.query)
    backup = awaited(SessionService.backup)
    check = awaited(SessionService.check)


async def _answer(summarizer: Any, messages: list[Any]) -> Any:
    asynchronous = getattr(summarizer, "ainvoke", summarizer)
    if inspect.iscoroutinefunction(asynchronous):
        return await asynchronous(messages)
    answer = await in_own_thread(ask, summarizer, messages)
    return await answer if inspect.isawaitable(answer) else answer
