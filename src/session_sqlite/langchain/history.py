"""`SQLiteChatMessageHistory`: the memory of LangChain chains.

A history is a name and a window: it names a session, and says how much of it a model is shown. It holds no data and no
connection. Each access goes to a service, which histories of one path share in a process. The session is made with the
first message.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Never, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, get_buffer_string

from session_sqlite.errors import InvalidInputError, SessionError, SessionNotFoundError, StaleSessionError
from session_sqlite.langchain.overlap import stored_again
from session_sqlite.langchain.sessions import SessionNames, log_failure, not_written
from session_sqlite.langchain.window import TokenCounter, Window
from session_sqlite.messages.langchain import message_to_event
from session_sqlite.models import AnyOf, Event
from session_sqlite.service import SessionService, others_said
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

T = TypeVar("T")

# Arguments of LangChain's SQLChatMessageHistory that people bring along, and what to write here instead.
_OLD_NAMES: Final = dict.fromkeys(
    ("connection", "connection_string", "engine"),
    'give the path of a file, SQLiteChatMessageHistory(session_id, "chat.db"), or for a server '
    "service=SQLAlchemySessionService(url)",
) | {
    "table_name": "leave it out: a store has tables of its own (`session-sqlite import OLD_FILE` reads your table, "
    "whatever its name)",
    "session_id_field_name": "leave it out: a store has tables of its own (`session-sqlite import OLD_FILE` reads "
    "those of SQLChatMessageHistory)",
    "custom_message_converter": "leave it out: every message comes back as it was added, its additional fields too",
    "engine_args": 'make the store yourself, SQLiteSessionService("chat.db", busy_timeout=…), and pass it as service=',
    "async_mode": "leave it out: the same object has aget_messages, aadd_messages and aclear",
}


class SQLiteChatMessageHistory(BaseChatMessageHistory):  # type: ignore[misc,unused-ignore]  # see the import above
    """A list of the messages of one session, as LangChain's chains and memories want them.

    Every message comes back as it was added: same class, equal fields, same order of keys. Adding several messages
    is one transaction. Usable from any thread and event loop; the constructor does no I/O. Of a session in a file that
    is read again and again the process keeps the messages, up to 64 MiB a store; each read still shows every change, by
    whomever, and gives messages of its own.

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
        **unknown: Never,
    ) -> None:
        _refuse(unknown)
        self._window = Window(limit, max_tokens, token_counter)
        if service is not None and path is not None:
            raise InvalidInputError("give a path or a service, not both")
        self._session = SessionNames(session_id, app_name, user_id).session(service, "a history")
        self._given = service
        self._path = None if service is not None else _shared_path(path, self._session.app_name)

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
            return html.session_part(
                self._session, note="Nothing was said yet."
            )  # shown without opening the path, which would make the file
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
        **unknown: Never,
    ) -> Callable[..., SQLiteChatMessageHistory]:
        """Returns what ``RunnableWithMessageHistory`` asks for: a function from a session id to its history.

        The function takes ``session_id`` and, if the chain has a second configurable field of that name,
        ``user_id``. The other arguments are those of the constructor.
        """
        _refuse(unknown)
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
        """Returns the service that the history reads and writes with, which is opened at the first use."""
        return self._given if self._given is not None else _shared_service(self._path or MEMORY)

    @property
    def session_id(self) -> str:
        """Returns the id of the session."""
        return self._session.id

    # ------------------------------------------------------------ reading

    @property
    def messages(self) -> list[BaseMessage]:
        """Returns the messages, oldest first: all of them, or the window. Each access makes a new list.

        Assigning a list replaces all stored messages in one transaction.
        """
        return self.get_messages()

    @messages.setter
    def messages(self, messages: Sequence[BaseMessage]) -> None:
        self._log_failure(lambda: self.service.replace_events(self._session, _events(messages)))

    def get_messages(self) -> list[BaseMessage]:
        """Returns the messages, as `messages` does."""
        try:
            return self._window.messages(self.service, self._session)
        except SessionNotFoundError:
            return []  # nothing was said yet

    async def aget_messages(self) -> list[BaseMessage]:
        """Returns what `messages` does, awaited."""
        # The caller's token counter may itself wait for a worker, so it does not run in one.
        return await (in_own_thread if self._window.counts_tokens else in_thread)(self.get_messages)

    # ------------------------------------------------------------ writing

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Adds messages in one transaction: all of them or none."""

        def work() -> None:
            if events := _events(messages):
                self.service.append_events(self._session, events, create=True)

        self._log_failure(work)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Does what `add_messages` does, awaited."""
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
                    continue  # another writer was faster, perhaps with the same messages: compare again
                return list(messages[known:])

        return self._log_failure(work)

    async def aadd_new_messages(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """Does what `add_new_messages` does, awaited."""
        return await in_thread(self.add_new_messages, messages)

    def add_message(self, message: BaseMessage) -> None:
        """Adds one message."""
        self.add_messages([message])

    async def aadd_message(self, message: BaseMessage) -> None:
        """Adds one message, awaited."""
        await in_thread(self.add_messages, [message])

    def add_user_message(self, message: HumanMessage | str) -> None:
        """Adds a message of the user."""
        self.add_message(HumanMessage(message) if isinstance(message, str) else message)

    def add_ai_message(self, message: AIMessage | str) -> None:
        """Adds a message of the model."""
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
        """Does what `clear` does, awaited."""
        await in_thread(self.clear)

    def _log_failure(self, write: Callable[[], T]) -> T:
        """Writes, and logs a failure before it raises it: a chain swallows what its history raises, and goes on."""
        try:
            return write()
        except Exception as error:
            log_failure(not_written(self._session), error)
            raise


def _refuse(unknown: Mapping[str, object]) -> None:
    """Raises for arguments that there are not; for those of ``SQLChatMessageHistory`` it says what to write instead."""
    for name in unknown:
        if name in _OLD_NAMES:
            raise InvalidInputError(f"SQLiteChatMessageHistory has no {name}=: {_OLD_NAMES[name]}")
        raise TypeError(f"SQLiteChatMessageHistory got an unexpected keyword argument {name!r}")


def _events(messages: object) -> list[Event]:
    if not isinstance(messages, Iterable) or isinstance(messages, BaseMessage):
        raise InvalidInputError(f"messages must be a list of LangChain messages, not {type(messages).__name__}")
    events = []
    for index, message in enumerate(messages):
        if not isinstance(message, BaseMessage):
            raise InvalidInputError(f"messages[{index}] must be a LangChain message, not {type(message).__name__}")
        events.append(message_to_event(message))
    return events


# ---------------------------------------------------------------- one service a path

KEPT_OPEN: Final = 32  # files; a program may have one for each of its users

# A service lives while somebody has it; the latest ones also between two histories, since a chain makes one a turn.
_services: weakref.WeakValueDictionary[str, SQLiteSessionService] = weakref.WeakValueDictionary()
_latest: dict[str, SQLiteSessionService] = {}
_services_lock = threading.Lock()


def _shared_path(path: object, app_name: str) -> str:
    if path is None:
        return str(database_file(app_name=app_name))
    name = path_text(path)
    return name if name == MEMORY else os.path.abspath(name)


def _shared_service(path: str) -> SQLiteSessionService:
    service = _usable(path)
    if service is None:
        with _services_lock:
            service = _usable(path)
            if service is None:
                service = _services[path] = SQLiteSessionService(path)
    _latest.pop(path, None)
    _latest[path] = service  # now the last one
    while len(_latest) > KEPT_OPEN and _drop_oldest_file():
        pass
    return service


def _usable(path: str) -> SQLiteSessionService | None:
    """Returns the open service of a path; none if another file is there now, or none, as after a person removed it."""
    service = _services.get(path)
    if service is not None and not service.closed and service._is_displaced:
        service.close()
    return None if service is None or service.closed else service


def _drop_oldest_file() -> bool:
    """Lets go the service that was not used for longest, which closes its file unless somebody has it.

    One in memory stays, since its sessions would be gone.
    """
    path = next((path for path in list(_latest) if path != MEMORY), None)
    return path is not None and _latest.pop(path, None) is not None


def _close_shared() -> None:
    for service in list(_services.values()):
        service.close()


def _forget_lock() -> None:
    global _services_lock  # a thread of the parent may have held it at the fork, and nobody would release it here
    _services_lock = threading.Lock()


atexit.register(_close_shared)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_lock)
