"""`SQLiteChatMessageHistory`: the memory of LangChain chains.

A history is a name and a window: the session it stands for, and how much of it a model is shown. It holds no data
and no connection. Each access goes to a service, which histories of one path share in a process; the session appears
with the first message.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, get_buffer_string
from langchain_core.messages.utils import count_tokens_approximately

from session_sqlite import codec
from session_sqlite.errors import InvalidInputError, SessionError, SessionNotFoundError, StaleSessionError
from session_sqlite.langchain.overlap import stored_again
from session_sqlite.langchain.turns import answers_in_content, paired
from session_sqlite.messages.langchain import (
    event_to_messages,
    gathered,
    message_to_event,
    messages_of,
    read_event,
)
from session_sqlite.models import AnyOf, Event
from session_sqlite.operations.windows import LOOK_BACK_EVENTS, wait_for_calls, within_reach
from session_sqlite.service import SessionService, checked_scope, others_said
from session_sqlite.session import Session
from session_sqlite.sqlite import MEMORY, database_file, path_text
from session_sqlite.sqlite_service import SQLiteSessionService
from session_sqlite.threads import in_own_thread, in_thread, in_thread_with
from session_sqlite.transcript import html

if TYPE_CHECKING:
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.language_models import BaseLanguageModel
else:
    try:  # deprecated since langchain-core 1.6.4, to go in 2.0; chains and memories check for it where it exists
        from langchain_core.chat_history import BaseChatMessageHistory
    except ImportError:
        BaseChatMessageHistory = object

logger = logging.getLogger("session_sqlite")

T = TypeVar("T")
TokenCounter = Callable[[list[BaseMessage]], int]


class SQLiteChatMessageHistory(BaseChatMessageHistory):  # type: ignore[misc,unused-ignore]  # see the import above
    """The messages of one session, as LangChain's chains and memories want them.

    Every message comes back as it was added: same class, equal fields, same order of keys. Adding several messages
    is one transaction. Usable from any thread and event loop; the constructor does no I/O.

    Args:
        session_id: The session; it appears with the first message.
        path: The file; None for `database_file` of the app. Histories of one path share one service.
        app_name: The app the session belongs to.
        user_id: The user it belongs to: two users may both have a session "1".
        service: A service to use instead of a path (any backend); its app and user are then the defaults.
        limit: Show at most so many of the latest messages (see below).
        max_tokens: Show at most so many tokens of the latest messages.
        token_counter: Counts the tokens of a list of messages, or a chat model that does; LangChain's approximation
            if not given.

    A window (``limit``, ``max_tokens``) begins at a turn of the user. In it the results of a reply's tool calls stand
    right behind the reply, as providers want them, and a result without its call is left out. If the last turn alone is
    larger than the window it comes whole; a window of 0 is empty. After
    `SessionService.summarize_session` the newest summary comes first, in place of what it supersedes. Nothing is
    deleted by a window.

    Example:
        >>> history = SQLiteChatMessageHistory("tea", ":memory:")
        >>> history.add_user_message("Which tea keeps me awake?")
        >>> [message.content for message in history.messages]
        ['Which tea keeps me awake?']
    """

    def __init__(
        self,
        session_id: str,
        path: str | os.PathLike[str] | None = None,
        *,
        app_name: str | None = None,
        user_id: str | None = None,
        service: SessionService | None = None,
        limit: int | None = None,
        max_tokens: int | None = None,
        token_counter: TokenCounter | BaseLanguageModel[Any] | None = None,
    ) -> None:
        self._limit = codec.optional_number(limit, "limit")
        self._max_tokens = codec.optional_number(max_tokens, "max_tokens")
        self._count_tokens = _token_counter(token_counter)
        if service is not None and path is not None:
            raise InvalidInputError("give a path or a service, not both")
        default_app, default_user = ("default", "default") if service is None else (service.app_name, service.user_id)
        app, user = checked_scope(
            default_app if app_name is None else app_name, default_user if user_id is None else user_id
        )
        if isinstance(app, AnyOf) or isinstance(user, AnyOf):
            raise InvalidInputError("a history belongs to one app and one user, not ANY: give app_name and user_id")
        self._session = Session(codec.identifier(session_id, "session_id"), app, user)
        self._given = service
        self._path = None if service is not None else _shared_path(path, app)

    def __repr__(self) -> str:
        session = self._session
        store = self._given if self._path is None else self._path
        return (
            f"SQLiteChatMessageHistory({session.id!r}, {str(store)!r}, app_name={session.app_name!r}, "
            f"user_id={session.user_id!r})"
        )

    def __str__(self) -> str:
        return get_buffer_string(self.messages)

    def _repr_html_(self) -> str:
        if self._path not in (None, MEMORY) and not os.path.exists(self._path):
            return html.session_part(self._session, note="Nothing was said yet.")  # and no file is made for that
        try:
            return self.service.get_session(self._session)._repr_html_()
        except SessionNotFoundError:
            others = others_said(self.service, self._session.app_name, self._session.user_id)
            return html.session_part(self._session, note=f"Nothing was said yet. {others}".strip())
        except SessionError as error:
            return html.session_part(self._session, note=str(error))

    @classmethod
    def factory(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        app_name: str | None = None,
        user_id: str | None = None,
        service: SessionService | None = None,
        limit: int | None = None,
        max_tokens: int | None = None,
        token_counter: TokenCounter | BaseLanguageModel[Any] | None = None,
    ) -> Callable[..., SQLiteChatMessageHistory]:
        """What ``RunnableWithMessageHistory`` asks for: a function from a session id to its history.

        The function takes ``session_id`` and, if the chain has a second configurable field of that name,
        ``user_id``. The other arguments are those of the constructor.
        """
        if service is None and path is not None and path != MEMORY:
            path = os.path.abspath(path_text(path))  # now: the process may change its directory before a call
        if user_id is None:
            user_id = "default" if service is None or isinstance(service.user_id, AnyOf) else service.user_id

        def history(session_id: str, user_id: str = user_id) -> SQLiteChatMessageHistory:
            return cls(
                session_id,
                path,
                app_name=app_name,
                user_id=user_id,
                service=service,
                limit=limit,
                max_tokens=max_tokens,
                token_counter=token_counter,
            )

        return history

    @property
    def service(self) -> SessionService:
        """The service that the history reads and writes with; opened at the first use."""
        return self._given if self._given is not None else _shared_service(self._path or MEMORY)

    @property
    def session_id(self) -> str:
        """The id of the session."""
        return self._session.id

    # ------------------------------------------------------------ reading

    @property
    def messages(self) -> list[BaseMessage]:
        """The messages, oldest first: all of them, or the window. A new list at each access.

        Assigning a list replaces all stored messages in one transaction.
        """
        return self.get_messages()

    @messages.setter
    def messages(self, messages: Sequence[BaseMessage]) -> None:
        self._log_failure(lambda: self.service.replace_events(self._session, _events(messages)))

    def get_messages(self) -> list[BaseMessage]:
        """The same as `messages`."""
        try:
            if self._limit == 0 or self._max_tokens == 0:
                return messages_of(self.service.last_events(self._session, 0))
            if self._max_tokens is None and self._limit is not None:
                window = self.service.last_events(self._session, self._limit)
                messages = messages_of(window)
                # A native event may be several messages. A user's event that says nothing, or only brings results, is
                # where the events' window may begin, but no turn of messages.
                if len(messages) <= self._limit and _begins_a_turn(window):
                    return paired(messages)
            if self._max_tokens is not None or self._limit is not None:
                return self._latest_turns()
            return gathered(self.service.convert_events(self._session, read_event))
        except SessionNotFoundError:
            return []  # nothing was said yet

    async def aget_messages(self) -> list[BaseMessage]:
        """The same as `messages`, awaited."""
        # The counter of tokens is the caller's.
        return await (in_thread if self._max_tokens is None else in_own_thread)(self.get_messages)

    # ------------------------------------------------------------ writing

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Adds messages in one transaction: all of them or none."""

        def work() -> None:
            if events := _events(messages):
                self.service.append_events(self._session, events, create=True)

        self._log_failure(work)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """The same as `add_messages`, awaited."""
        await in_thread_with(messages, self.add_messages, messages)

    def add_new_messages(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """Adds what is new of a conversation that a client sends whole at each turn; returns what was added.

        Messages that the session ends with already are not added again (same kinds, same contents, in order) if there
        is a reply among them, or if they end with a question that has no reply yet: then the client tries again.
        `add_messages` adds everything it is given.

        Example:
            >>> history = SQLiteChatMessageHistory("coffee", ":memory:")
            >>> history.add_messages([HumanMessage("Coffee?"), AIMessage("Yes.")])
            >>> sent = [HumanMessage("Coffee?"), AIMessage("Yes."), HumanMessage("How much?")]
            >>> [message.content for message in history.add_new_messages(sent)]
            ['How much?']
        """

        def work() -> list[BaseMessage]:
            events = _events(messages)
            while True:
                try:
                    last_seq = self.service.get_session(self._session).last_seq
                except SessionNotFoundError:
                    last_seq = 0
                known = len(stored_again(self.service, self._session, messages))
                if not events[known:]:
                    return []
                try:
                    self.service.append_events(self._session, events[known:], expected_seq=last_seq, create=True)
                except StaleSessionError:
                    continue  # somebody else wrote meanwhile, perhaps the same
                return list(messages[known:])

        return self._log_failure(work)

    async def aadd_new_messages(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """The same as `add_new_messages`, awaited."""
        return await in_thread(self.add_new_messages, messages)

    def add_message(self, message: BaseMessage) -> None:
        """Adds one message."""
        self.add_messages([message])

    async def aadd_message(self, message: BaseMessage) -> None:
        """Adds one message, awaited."""
        await in_thread(self.add_messages, [message])

    def add_user_message(self, message: HumanMessage | str) -> None:
        """Adds what the user said."""
        self.add_message(HumanMessage(message) if isinstance(message, str) else message)

    def add_ai_message(self, message: AIMessage | str) -> None:
        """Adds what the model said."""
        self.add_message(AIMessage(message) if isinstance(message, str) else message)

    def clear(self) -> None:
        """Removes all messages; the session stays."""

        def work() -> None:
            try:
                self.service.clear_session(self._session)
            except SessionNotFoundError:
                return  # nothing was said yet

        self._log_failure(work)

    async def aclear(self) -> None:
        """The same as `clear`, awaited."""
        await in_thread(self.clear)

    def _log_failure(self, write: Callable[[], T]) -> T:
        """A chain swallows what its history raises and goes on, so the log has to say it."""
        try:
            return write()
        except Exception as error:
            # Without the traceback: the driver's own error, its cause, may carry text of the conversation.
            logger.error(  # noqa: TRY400
                "session %r was not written: %s: %s", self._session.id, type(error).__name__, error
            )
            raise

    # ------------------------------------------------------------ windows

    def _latest_turns(self) -> list[BaseMessage]:
        """The latest turns that fit, read from the end; at least the last one."""
        limit, max_tokens = self._limit, self._max_tokens
        head = _summary(self.service.last_events(self._session, 1))
        events = self.service.iter_events(
            self._session, newest_first=True, after=head[0].supersedes if head else 0
        )  # fmt: skip
        chosen: list[_Turn] = []  # newest first
        shown = messages_of(head)
        count, tokens = len(shown), 0 if max_tokens is None else self._count_tokens(shown)
        for turn in _turns(event for event in events if not event.supersedes):
            # What came before the first turn (a system message, a greeting) belongs to the whole conversation only.
            count += len(turn.messages)
            if max_tokens is not None:
                tokens += self._count_tokens(turn.messages)
                if tokens > max_tokens and chosen:  # counters may count a list as less than its parts
                    tokens = self._count_tokens(_joined(shown, [*chosen, turn]))
            if ((max_tokens is not None and tokens > max_tokens) or (limit is not None and count > limit)) and chosen:
                break
            chosen.append(turn)
        if max_tokens is not None:  # or as more
            while len(chosen) > 1 and self._count_tokens(_joined(shown, chosen)) > max_tokens:
                chosen.pop()
        # Read again as one: what cannot be read is one line in the log.
        return paired(messages_of([*head, *(event for turn in reversed(chosen) for event in turn.events)]))


class _Turn(NamedTuple):
    """A turn of the conversation, or several that a tool's late result joins.

    Attributes:
        events: Its events, oldest first.
        messages: What a model is shown of it.
    """

    events: list[Event]
    messages: list[BaseMessage]


def _turns(newest_first: Iterable[Event]) -> Iterator[_Turn]:
    """The turns of a session, newest first; at last what stands before the first one, which is no turn."""
    stream = iter(newest_first)
    ahead: deque[Event] = deque()  # events that were read to look for calls in them
    turn: deque[Event] = deque()
    waiting: Counter[str] = Counter()  # the turn's results whose calls were not met yet
    while (event := ahead.popleft() if ahead else next(stream, None)) is not None:
        turn.appendleft(event)
        wait_for_calls(event, waiting)
        if not _is_said_by_the_user(event):
            continue
        if waiting:
            ahead.extend(islice(stream, LOOK_BACK_EVENTS - len(ahead)))
            waiting = within_reach(waiting, ahead)
        if not waiting:
            yield _Turn([*turn], _shown(turn))
            turn.clear()
    if turn:
        yield _Turn([*turn], _shown(turn))


def _shown(events: Iterable[Event]) -> list[BaseMessage]:
    return paired([message for event in events for message in event_to_messages(event)])


def _joined(head: list[BaseMessage], newest_first: list[_Turn]) -> list[BaseMessage]:
    return [*head, *(message for turn in reversed(newest_first) for message in turn.messages)]


def _events(messages: object) -> list[Event]:
    if not isinstance(messages, Iterable) or isinstance(messages, BaseMessage):
        raise InvalidInputError(f"messages must be a list of LangChain messages, not {type(messages).__name__}")
    events = []
    for index, message in enumerate(messages):
        if not isinstance(message, BaseMessage):
            raise InvalidInputError(f"messages[{index}] must be a LangChain message, not {type(message).__name__}")
        events.append(message_to_event(message))
    return events


def _summary(window: list[Event]) -> list[Event]:
    """The summary that a window begins with, if it does."""
    return [event for event in window[:1] if event.supersedes]


def _is_said_by_the_user(event: Event) -> bool:
    """Whether a turn begins here: not with an event that says nothing, or that only brings a tool's result."""
    if event.author != "user":
        return False
    messages = event_to_messages(event)
    return bool(messages) and not answers_in_content(messages[0])


def _begins_a_turn(window: list[Event]) -> bool:
    """Whether the first event, after a summary, is no user's event without a message (unreadable, or only state)."""
    first = window[len(_summary(window)) :][:1]
    return not first or first[0].author != "user" or _is_said_by_the_user(first[0])


def _token_counter(counter: object) -> TokenCounter:
    if counter is None or counter == "approximate":
        return count_tokens_approximately
    if count := getattr(counter, "get_num_tokens_from_messages", None):
        return count  # type: ignore[no-any-return]  # a chat model
    if callable(counter):
        return counter
    raise InvalidInputError("token_counter must be a function of a list of messages, or a chat model")


# ---------------------------------------------------------------- one service a path

_services: dict[str, SQLiteSessionService] = {}
_services_lock = threading.Lock()


def _shared_path(path: object, app_name: str) -> str:
    if path is None:
        return str(database_file(app_name=app_name))
    name = path_text(path)
    return name if name == MEMORY else os.path.abspath(name)


def _shared_service(path: str) -> SQLiteSessionService:
    service = _services.get(path)
    if service is None or service.closed:
        with _services_lock:
            service = _services.get(path)
            if service is None or service.closed:
                service = _services[path] = SQLiteSessionService(path)
    return service


def _close_shared() -> None:
    while _services:
        _services.popitem()[1].close()


def _forget_lock() -> None:
    global _services_lock  # a thread of the parent may have held it
    _services_lock = threading.Lock()


atexit.register(_close_shared)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_lock)
