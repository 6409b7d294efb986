"""The things a store holds, as values.

A *session* is one conversation of one user of one app. It holds *events* in the order of their ``seq``: what the
user, the assistant, the system and the tools said. An event may carry *tool calls* (its actions), a change of
*state*, and the tokens that a model used. All are frozen dataclasses that compare by value; a `Session` also
remembers the service it came from, and its methods are a second door to the service's verbs.
"""

from __future__ import annotations

import os
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    Sequence,
    ValuesView,
)
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from session_sqlite import extras
from session_sqlite.errors import SessionError, StoreError
from session_sqlite.marks import ANY as ANY
from session_sqlite.marks import REMOVE as REMOVE
from session_sqlite.marks import AnyOf as AnyOf
from session_sqlite.marks import Removal as Removal
from session_sqlite.transcript import html
from session_sqlite.transcript.text import Gap

if TYPE_CHECKING:
    import pandas as pd

    from session_sqlite.service import SessionService
    from session_sqlite.service.exchange import ExportReport

T = TypeVar("T")


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool, with its result once there is one.

    Attributes:
        name: The tool's name.
        args: The arguments as the model gave them: a JSON object.
        id: The id that joins the call to its result, as the model's provider gave it; may be empty.
        output: What the tool returned: any JSON value; None while there is nothing.
        error: What went wrong, as text; None if nothing did.

    Example:
        >>> ToolCall("Read", {"path": "main.go"}, output="package main").status
        'ok'
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    _: KW_ONLY
    id: str = ""
    output: Any = None
    error: str | None = None

    @property
    def status(self) -> str:
        """``"error"`` with an error, ``"ok"`` with an output, otherwise ``"pending"``."""
        if self.error is not None:
            return "error"
        return "pending" if self.output is None else "ok"


@dataclass(frozen=True)
class Usage:
    """The tokens that one model reply took, as its provider counted them.

    Attributes:
        model: The model's name.
        input_tokens: All tokens of the prompt, cached ones included.
        output_tokens: All tokens of the reply, reasoning included.
        cache_read_tokens: Tokens of the prompt that came from the provider's cache.
        cache_write_tokens: Tokens of the prompt that were written to it.
        reasoning_tokens: Tokens of the reply that were reasoning.
    """

    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, eq=True)
class Event:
    """One thing that was said or done in a session.

    An event that is made by hand needs an author; the store fills in ``id``, ``created_at``, ``seq`` and
    ``session_id`` when it is appended, and returns the event as stored.

    Attributes:
        author: ``user``, ``assistant``, ``system``, ``tool``, or an agent's own name.
        content: What was said, as plain text.
        reasoning: The model's reasoning, as plain text.
        actions: The tools that were called, in order.
        state: The change of state that goes with the event (see `SessionService.update_state`), without the
            ``temp:`` keys.
        metadata: The application's own notes: a JSON object.
        agent_id: The agent that spoke.
        branch: The path of sub-agents or runs that led here.
        invocation_id: The run that the event belongs to.
        usage: The tokens it took.
        id: Unique in its session: a UUIDv7, or the caller's own, which makes a repeated append harmless.
        created_at: When it happened (aware, UTC, microseconds); the time of the append unless given.
        seq: Its place in the session: 1, 2, 3…; 0 before it is stored.
        session_id: The session it is in; empty before it is stored.
        message: The LangChain message it came from, in the stored form of ``session_sqlite.langchain``; None for
            an event that was never a message.
        message_id: That message's own id.
        supersedes: Of a summary: the ``seq`` up to which it stands for the events before it; 0 for any other event.
        unreadable: True if the stored row could not be decoded; such an event has what could be read.
        raw: The stored row as JSON text, of an unreadable event only.

    Example:
        >>> Event("user", "请帮我分析代码").content
        '请帮我分析代码'
    """

    author: str
    content: str = ""
    _: KW_ONLY
    reasoning: str = ""
    actions: Sequence[ToolCall] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    agent_id: str = ""
    branch: str = ""
    invocation_id: str = ""
    usage: Usage | None = None
    id: str = ""
    created_at: datetime | None = None
    seq: int = 0
    session_id: str = ""
    message: str | None = field(default=None, repr=False)
    message_id: str | None = field(default=None, repr=False)
    supersedes: int = 0
    unreadable: bool = False
    raw: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.actions, list):
            object.__setattr__(self, "actions", tuple(self.actions))

    def __hash__(self) -> int:
        return hash((self.session_id, self.id))

    def _repr_html_(self) -> str:
        return html.event_part(self)


@dataclass(frozen=True, eq=True)
class Session:
    """One conversation of one user of one app.

    The fields are as they were read; the methods and `state` go to the store at each call.

    Attributes:
        id: Unique for its app and user.
        app_name: The application it belongs to.
        user_id: The user it belongs to.
        agent_id: The agent that the user talks with.
        title: What a list of conversations shows.
        metadata: The application's own notes: a JSON object.
        created_at: When it was made (aware, UTC).
        updated_at: When it last changed (aware, UTC); never goes back.
        last_seq: The highest ``seq`` that was ever given in it; also after events were removed.
        parent_id: The session it was forked from, if any.
        parent_seq: The last ``seq`` of that session that the fork has a copy of.
    """

    id: str
    app_name: str = "default"
    user_id: str = "default"
    agent_id: str = ""
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_seq: int = 0
    parent_id: str | None = None
    parent_seq: int | None = None

    # Not a field: it takes no part in equality, repr, dataclasses.asdict or pickling.
    _service: ClassVar[SessionService | None] = None

    def __hash__(self) -> int:
        return hash((self.app_name, self.user_id, self.id))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_service"}

    def _store(self) -> SessionService:
        if self._service is None:
            raise StoreError(
                f"Session {self.id!r} is not attached to a service (it was made by hand, copied or unpickled); "
                "get it with service.get_session()"
            )
        return self._service

    def refresh(self) -> Session:
        """Reads the session again. Raises `SessionNotFoundError` if it is gone."""
        return self._store().get_session(self)

    def update(
        self, *, title: str | None = None, agent_id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Session:
        """Changes what is given and returns the new session; see `SessionService.update_session`."""
        return self._store().update_session(self, title=title, agent_id=agent_id, metadata=metadata)

    def delete(self) -> bool:
        """Deletes the session with its events and state; False if it was gone already."""
        return self._store().delete_session(self)

    def add_event(
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
        """Appends one event, made from the arguments, and returns it as stored; see `SessionService.append_event`."""
        event = Event(
            author,
            content,
            reasoning=reasoning,
            actions=actions,
            state={} if state is None else state,
            metadata={} if metadata is None else metadata,
            agent_id=agent_id,
            branch=branch,
            invocation_id=invocation_id,
            usage=usage,
            id=id,
            created_at=created_at,
        )
        return self._store().append_event(self, event, expected_seq=expected_seq)

    def add_events(self, events: Iterable[Event], *, expected_seq: int | None = None) -> list[Event]:
        """Appends events in one transaction and returns them as stored; see `SessionService.append_events`."""
        return self._store().append_events(self, events, expected_seq=expected_seq)

    def events(self, **filters: Any) -> Page[Event]:
        """The events in order; takes the filters of `SessionService.list_events`."""
        return self._store().list_events(self, **filters)

    def iter_events(self, **filters: Any) -> Iterator[Event]:
        """A stream of the events; takes the filters of `SessionService.iter_events`."""
        return self._store().iter_events(self, **filters)

    def last_events(self, n: int) -> list[Event]:
        """The latest events, at most n, starting at a turn; see `SessionService.last_events`."""
        return self._store().last_events(self, n)

    def fork(self, *, at: Event | str | int | None = None, session_id: str | None = None, title: str = "") -> Session:
        """Copies the session up to and including an event; see `SessionService.fork_session`."""
        return self._store().fork_session(self, at=at, session_id=session_id, title=title)

    def rewind(self, *, turns: int | None = None, to: Event | str | int | None = None) -> list[Event]:
        """Takes back whole turns, or all after an event; see `SessionService.rewind_session`."""
        return self._store().rewind_session(self, turns=turns, to=to)

    def summarize(self, summarizer: Any, *, keep_last: int) -> Event | None:
        """Stores a summary of all but the latest events; see `SessionService.summarize_session`."""
        return self._store().summarize_session(self, summarizer, keep_last=keep_last)

    def clear(self) -> int:
        """Removes the events and keeps the session; returns how many there were."""
        return self._store().clear_session(self)

    def search(self, query: str, **filters: Any) -> Page[SearchHit]:
        """Searches this session; takes the filters of `SessionService.search`."""
        return self._store().search(query, session=self, **filters)

    def export(
        self,
        target: str | os.PathLike[str] | IO[str],
        *,
        format: str = "jsonl",
        progress: Callable[[int, int | None], None] | None = None,
    ) -> ExportReport:
        """Writes the session with its events and state to a file; see `SessionService.export`."""
        return self._store().export(target, session=self, format=format, progress=progress)

    @property
    def state(self) -> SessionState:
        """The live state: reads and writes go to the store at once."""
        return SessionState(self)

    def _repr_html_(self) -> str:
        if self._service is None:
            return html.session_part(self)
        try:
            return html.session_part(self, list(self._first_and_last_events()))
        except SessionError as error:  # closed, deleted, busy: what is known is shown all the same
            return html.session_part(self, note=str(error))

    def _first_and_last_events(self) -> Iterator[Event | Gap]:
        last = self.events(newest_first=True, limit=html.EVENTS_IN_NOTEBOOK)
        if last.next_cursor is not None:
            last = Page(last[: -html.FIRST_IN_NOTEBOOK])
            first = self.events(limit=html.FIRST_IN_NOTEBOOK)
            yield from first
            count = self._store().activity((), session=self)[0]["events"]
            yield Gap(max(count - len(first) - len(last), 1))
        yield from reversed(last)


@dataclass(frozen=True)
class SearchHit:
    """An event that a search found.

    Attributes:
        event: The event.
        session: The session it is in.
        snippet: A piece of the text that matched, cut between words.
        spans: Where in the snippet the query's terms are: pairs of character offsets, the ends exclusive.
        score: How well it fits; higher is better, comparable within one search only.
    """

    event: Event
    session: Session
    snippet: str
    spans: tuple[tuple[int, int], ...]
    score: float

    def __hash__(self) -> int:
        return hash(self.event)

    def _repr_html_(self) -> str:
        return html.hit_part(self)


@dataclass(frozen=True)
class SessionOverview:
    """What a list of conversations shows of one.

    Attributes:
        session: The session.
        first_message: The first thing the user said in it; None if the user said nothing yet.
        event_count: How many events it has.
    """

    session: Session
    first_message: str | None
    event_count: int

    def __hash__(self) -> int:
        return hash(self.session)


class SessionState(MutableMapping[str, Any]):
    """The state that a session sees, live: ``app:`` and ``user:`` keys are shared, others are the session's own.

    Every access goes to the store. A missing key is a `KeyError`; None is a value. `update` is one transaction.
    `clear` removes the session's own keys and leaves what is shared.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def _all(self) -> dict[str, Any]:
        return self._session._store().get_state(self._session)

    def __getitem__(self, key: str) -> Any:
        value = self._session._store().get_state_value(self._session, key, default=REMOVE)
        if value is REMOVE:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self._session._store().update_state(self._session, {key: value})

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self[key] = REMOVE

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        return self._session._store().get_state_value(self._session, key, default=REMOVE) is not REMOVE

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def keys(self) -> KeysView[str]:
        """The keys, as one read finds them; a copy, not a view."""
        return self._all().keys()

    def values(self) -> ValuesView[Any]:
        """The values, as one read finds them; a copy, not a view."""
        return self._all().values()

    def items(self) -> ItemsView[str, Any]:
        """Keys and values, as one read finds them; a copy, not a view."""
        return self._all().items()

    def __eq__(self, other: object) -> bool:
        return self._all() == (other._all() if isinstance(other, SessionState) else other)

    __hash__ = None  # type: ignore[assignment]  # a mutable mapping

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Sets several keys in one transaction, like `dict.update`."""
        self._session._store().update_state(self._session, dict(*args, **kwargs))

    def clear(self) -> None:
        """Removes the session's own keys; ``app:`` and ``user:`` keys stay."""
        own = {key: REMOVE for key in self._all() if not key.startswith(("app:", "user:"))}
        self._session._store().update_state(self._session, own)

    def __repr__(self) -> str:
        return f"SessionState({self._all()!r})"


class Page(list[T]):
    """A list that knows where the next one begins, and shows itself in a notebook.

    Attributes:
        next_cursor: Give it to the same call to get what follows; None when nothing does.
    """

    def __init__(self, items: Iterable[T] = (), next_cursor: str | None = None) -> None:
        super().__init__(items)
        self.next_cursor = next_cursor

    def to_dataframe(self) -> pd.DataFrame:
        """The items as a pandas DataFrame, one row each: their fields, and of an event its tools and tokens.

        Needs the extra ``notebook``.

        Example:
            >>> page = Page([Event("user", "Which tea?", seq=1), Event("assistant", "Black tea.", seq=2)])
            >>> page.to_dataframe()["author"].to_list()
            ['user', 'assistant']
        """
        columns, record = _RECORDS_OF.get(self._kind(), _ANY_RECORD)
        return _dataframe([dict(zip(columns, record(_plain(item)), strict=True)) for item in self], columns)

    def _repr_html_(self) -> str:
        note = "" if self.next_cursor is None else "There are more: next_cursor is set."
        return _TABLE_OF.get(self._kind(), html.items_table)([*map(_plain, self)], note)

    def _kind(self) -> type:
        return type(_plain(self[0])) if self else object


class Rows(list[dict[str, Any]]):
    """The answer of a query: a list of dicts that shows itself in a notebook.

    Attributes:
        columns: The names of the columns, also where there is no row.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = (), columns: Sequence[str] = ()) -> None:
        super().__init__(map(dict, rows))
        self.columns = tuple(columns) or tuple(self[0] if self else ())

    def to_dataframe(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame. Needs the extra ``notebook``.

        Example:
            >>> Rows([{"day": "2026-01-05", "events": 4}]).to_dataframe()["events"].sum().item()
            4
        """
        return _dataframe(self, self.columns)

    def _repr_html_(self) -> str:
        return html.records_table(self.columns, self)


def _dataframe(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    return extras.load("pandas", extra="notebook").DataFrame(list(records), columns=list(columns) or None)


def _plain(item: Any) -> Any:
    """What an item is for: an `AsyncSession` stands for its session."""
    if isinstance(item, (SearchHit, SessionOverview)):
        return item
    session = getattr(item, "session", None)
    return session if isinstance(session, Session) else item


_SESSION_COLUMNS: Final = (
    "id", "app_name", "user_id", "agent_id", "title", "metadata", "created_at", "updated_at", "last_seq", "parent_id",
)  # fmt: skip
_EVENT_COLUMNS: Final = (
    "session_id", "seq", "id", "created_at", "author", "content", "reasoning", "tools", "agent_id", "branch",
    "invocation_id", "state", "metadata", "model", "input_tokens", "output_tokens",
)  # fmt: skip


def _session_record(session: Session) -> tuple[Any, ...]:
    return tuple(getattr(session, name) for name in _SESSION_COLUMNS)


def _overview_record(overview: SessionOverview) -> tuple[Any, ...]:
    return (*_session_record(overview.session), overview.first_message, overview.event_count)


def _event_record(event: Event) -> tuple[Any, ...]:
    usage = event.usage
    tokens = (None, None, None) if usage is None else (usage.model, usage.input_tokens, usage.output_tokens)
    fields = {**event.__dict__, "tools": [action.name for action in event.actions]}
    return (*(fields[name] for name in _EVENT_COLUMNS[:-3]), *tokens)


def _hit_record(hit: SearchHit) -> tuple[Any, ...]:
    event = hit.event
    return (hit.session.title, event.session_id, event.seq, event.created_at, event.author, hit.snippet, hit.score)


_Record = tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]
_ANY_RECORD: Final[_Record] = (("item",), lambda item: (item,))
_RECORDS_OF: Final[dict[type, _Record]] = {
    Session: (_SESSION_COLUMNS, _session_record),
    SessionOverview: ((*_SESSION_COLUMNS, "first_message", "event_count"), _overview_record),
    SearchHit: (("title", "session_id", "seq", "created_at", "author", "snippet", "score"), _hit_record),
    Event: (_EVENT_COLUMNS, _event_record),
}
_TABLE_OF: Final[dict[type, Callable[[Sequence[Any], str], str]]] = {
    Session: html.sessions_table,
    SessionOverview: html.overviews_table,
    SearchHit: html.hits_table,
    Event: html.events_table,
}
