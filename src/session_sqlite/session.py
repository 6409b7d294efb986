"""A session with methods: each calls the verb of the service for this session.

`Session` is a `SessionRecord` that remembers the service that read it. `SessionState` is its live state.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import (
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    Sequence,
    ValuesView,
)
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Unpack

from session_sqlite.errors import InvalidInputError, SessionError, StoreError
from session_sqlite.filters import ExportFormat, LimitedEventFilters, RecallFilters, SearchFilters
from session_sqlite.models import REMOVE, Event, SearchHit, SessionRecord, ToolCall, Usage
from session_sqlite.pages import Page
from session_sqlite.transcript import html
from session_sqlite.transcript.text import Gap

if TYPE_CHECKING:
    from session_sqlite.operations.summaries import Summarizer
    from session_sqlite.service import SessionService
    from session_sqlite.transfer.reports import ExportReport, Progress


class Session(SessionRecord):
    """One conversation of one user of one app.

    The fields (see `SessionRecord`) are as they were read; the methods and `state` go to the store at each call.
    """

    # It has no place in equality, repr, `dataclasses.asdict` or a pickle, and is therefore not a dataclass field.
    _service: SessionService | None = None

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
        """Returns the session as it is now. Raises `SessionNotFoundError` if it was deleted."""
        return self._store().get_session(self)

    def update(
        self, *, title: str | None = None, agent_id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Session:
        """Changes the fields that are given and returns the new session; see `SessionService.update_session`."""
        return self._store().update_session(self, title=title, agent_id=agent_id, metadata=metadata)

    def delete(self) -> bool:
        """Deletes the session with its events and its own state; returns False if there was none."""
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

    def events(self, **filters: Unpack[LimitedEventFilters]) -> Page[Event]:
        """Lists the events in order; takes the filters of `SessionService.list_events`."""
        return self._store().list_events(self, **filters)

    def iter_events(self, **filters: Unpack[LimitedEventFilters]) -> Iterator[Event]:
        """Yields the events in order; takes the filters of `SessionService.list_events`."""
        return self._store().iter_events(self, **filters)

    def last_events(self, n: int) -> list[Event]:
        """Returns the latest events, at most ``n``, beginning at a turn; see `SessionService.last_events`."""
        return self._store().last_events(self, n)

    def fork(self, *, at: Event | str | int | None = None, session_id: str | None = None, title: str = "") -> Session:
        """Copies the session up to and including an event; see `SessionService.fork_session`."""
        return self._store().fork_session(self, at=at, session_id=session_id, title=title)

    def rewind(
        self, *, turns: int | None = None, to: Event | str | int | None = None, dry_run: bool = False
    ) -> list[Event]:
        """Removes the last turns, or all events after one; see `SessionService.rewind_session`."""
        return self._store().rewind_session(self, turns=turns, to=to, dry_run=dry_run)

    def summarize(self, summarizer: Summarizer, *, keep_last: int) -> Event | None:
        """Appends a summary of all but the latest events; see `SessionService.summarize_session`."""
        return self._store().summarize_session(self, summarizer, keep_last=keep_last)

    def clear(self) -> int:
        """Removes all events and keeps the session; returns how many events there were."""
        return self._store().clear_session(self)

    def search(self, query: str, **filters: Unpack[SearchFilters]) -> Page[SearchHit[Session]]:
        """Searches this session; takes the filters of `SessionService.search`."""
        return self._store().search(query, session=self, **filters)

    def recall(self, question: str, **filters: Unpack[RecallFilters]) -> Page[SearchHit[Session]]:
        """Recalls what was said in this session; takes the filters of `SessionService.recall`."""
        return self._store().recall(question, session=self, **filters)

    def export(
        self,
        target: str | os.PathLike[str] | IO[str],
        *,
        format: ExportFormat = "auto",
        user_markdown: bool = False,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Writes the session with its events and state to a file; see `SessionService.export`."""
        return self._store().export(target, session=self, format=format, user_markdown=user_markdown, progress=progress)

    @property
    def state(self) -> SessionState:
        """Returns the live state: a mapping that reads and writes the store at each access."""
        return SessionState(self)

    def _repr_html_(self) -> str:
        if self._service is None:
            return html.session_part(self)
        try:
            return html.session_part(self, list(self._first_and_last_events()))
        except SessionError as error:  # a closed or busy store, a deleted session: show the fields, and the reason
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


def attached(session: Session, service: SessionService) -> Session:
    """Attaches a session to the service that read it, and returns it."""
    session.__dict__["_service"] = service  # the dataclass is frozen, and refuses an assignment
    return session


def _step_of_caller() -> object:
    """Returns what identifies the instruction that is being executed in the caller of the calling method."""
    frame = sys._getframe(2)  # 0 is this function, 1 the method, 2 the code that called the method
    return threading.get_ident(), id(frame), frame.f_code, frame.f_lasti


class SessionState(MutableMapping[str, Any]):
    """A live mapping of the state that a session sees: ``app:`` and ``user:`` keys are shared, others are its own.

    Every access goes to the store. A key that is missing, or that could not be stored, is a `KeyError`; None is a
    value like any other. ``dict(state)`` is one read, and `update` one transaction.

    ``dict(state)`` and ``{**state}`` call `keys`, and then ``state[key]`` for each key. Read one by one, the values
    would be of as many moments, and as many reads. So `keys` remembers what it read, together with the instruction of
    the caller that it was called from. Python calls both methods from within one instruction, in which no other code
    of the caller can run: ``state[key]`` from the same instruction takes the remembered value. From any other
    instruction, such as the next step of a loop over the keys, it reads the store.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        # The instruction that called `keys`, and the values that it has not taken yet.
        self._copied: tuple[object, dict[str, Any]] | None = None

    def _all(self) -> dict[str, Any]:
        return self._session._store().get_state(self._session)

    def _find(self, key: object) -> Any:
        """Returns a value; `REMOVE` if there is none."""
        try:
            return self._session._store().get_state_value(self._session, key, default=REMOVE)  # type: ignore[arg-type]
        except InvalidInputError:  # a key that cannot be stored
            self._all()  # raises if there is no such session
            return REMOVE

    def __getitem__(self, key: str) -> Any:
        if self._copied is not None:
            step, values = self._copied
            if step == _step_of_caller() and key in values:  # the caller is copying: see the class
                return values.pop(key)
            self._copied = None
        value = self._find(key)
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
        return self._find(key) is not REMOVE

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def keys(self) -> KeysView[str]:
        """Returns the keys as of one read; a copy, not a live view."""
        state = self._all()
        self._copied = (_step_of_caller(), dict(state))
        return state.keys()

    def values(self) -> ValuesView[Any]:
        """Returns the values as of one read; a copy, not a live view."""
        return self._all().values()

    def items(self) -> ItemsView[str, Any]:
        """Returns keys and values as of one read; a copy, not a live view."""
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
