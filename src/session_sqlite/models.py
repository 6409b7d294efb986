"""The values that a store holds: sessions, events, tool calls, tokens.

A *session* is one conversation of one user of one app. It holds *events* in the order of their ``seq``: what the
user, the assistant, the system and the tools said. An event may carry *tool calls* (its actions), a change of
*state*, and the tokens that a model used. All are frozen dataclasses that compare by value. They import neither the
service that reads them nor the renderer that shows them.

Two marks can stand in place of a value: `ANY` means every app or user, and `REMOVE` deletes a key.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final, overload

from session_sqlite.attachments import Attachment, attachments_of

if TYPE_CHECKING:

    class Time:
        """The type of a time for type checkers: a datetime when it is read, and optional when it is set.

        Every stored event and session has its times. Only a value that was made by hand and never stored, or whose row
        is damaged, has None; requiring a check for that at each use would help nobody.
        """

        @overload
        def __get__(self, instance: None, owner: type[Any]) -> None: ...
        @overload
        def __get__(self, instance: object, owner: type[Any]) -> datetime: ...
        def __get__(self, instance: object, owner: type[Any]) -> datetime | None: ...
        def __set__(self, instance: object, value: datetime | None) -> None: ...


@functools.singledispatch
def as_html(value: object) -> str | None:  # noqa: ARG001  # the functions that are registered use it
    """Returns a value as HTML for a notebook, or None without a renderer.

    `session_sqlite.transcript.html` registers a function for each class, so that this module need not import it.
    """
    return None


def _time_text(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()


@final
class AnyOf:
    """The type of `ANY`."""

    def __repr__(self) -> str:
        return "ANY"

    def __reduce__(self) -> str:
        return "ANY"


@final
class Removal:
    """The type of `REMOVE`."""

    def __repr__(self) -> str:
        return "REMOVE"

    def __reduce__(self) -> str:
        return "REMOVE"


ANY: Final = AnyOf()
"""Stands for every app as ``app_name``, and for every user as ``user_id``."""

REMOVE: Final = Removal()
"""Deletes a key: stands in place of its value in a change of state, or in the metadata of an update."""


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool, with its result once there is one.

    Attributes:
        name: The tool's name.
        args: The arguments as the model gave them: a JSON object. If they are not a JSON object (LangChain's
            ``invalid_tool_calls``), they are the text that the model wrote.
        id: The id that joins the call to its result, as the model's provider gave it; may be empty.
        output: The result of the tool: any JSON value; None while there is none.
        error: The text of the error; None if there was none.

    Example:
        >>> ToolCall("Read", {"path": "main.go"}, output="package main").status
        'ok'
    """

    name: str
    args: Mapping[str, Any] | str = field(default_factory=dict)
    _: KW_ONLY
    id: str = ""
    output: Any = None
    error: str | None = None

    @property
    def status(self) -> str:
        """Returns ``"error"`` with an error, ``"ok"`` with an output, otherwise ``"pending"``."""
        if self.error is not None:
            return "error"
        return "pending" if self.output is None else "ok"

    def to_dict(self) -> dict[str, Any]:
        """Returns the call as a JSON object with the keys ``name``, ``args``, ``id``, ``output`` and ``error``.

        Example:
            >>> ToolCall("Read", {"path": "main.go"}).to_dict()
            {'name': 'Read', 'args': {'path': 'main.go'}, 'id': '', 'output': None, 'error': None}
        """
        args = self.args if isinstance(self.args, str) else dict(self.args)
        return {"name": self.name, "args": args, "id": self.id, "output": self.output, "error": self.error}


@dataclass(frozen=True)
class Usage:
    """The tokens of one model reply, as its provider counted them.

    Attributes:
        model: The model's name.
        input_tokens: All tokens of the prompt, including cached ones.
        output_tokens: All tokens of the reply, including reasoning.
        cache_read_tokens: Tokens of the prompt that were read from the provider's cache.
        cache_write_tokens: Tokens of the prompt that were written to the provider's cache.
        reasoning_tokens: Tokens of the reply that were reasoning.
    """

    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Returns the tokens as a JSON object, whose keys are the attributes.

        Example:
            >>> Usage("model-x", input_tokens=812).to_dict()["input_tokens"]
            812
        """
        return dict(self.__dict__)


@dataclass(frozen=True, eq=True)
class Event:
    """One thing that was said or done in a session.

    An event that is made by hand needs an author. When it is appended, the store fills in ``id``, ``created_at``,
    ``seq`` and ``session_id``, and returns the event as stored.

    Attributes:
        author: ``user``, ``assistant``, ``system``, ``tool``, or an agent's own name.
        content: The text, as plain text.
        reasoning: The model's reasoning, as plain text.
        actions: The tools that were called, in order.
        state: The change of state that goes with the event (see `SessionService.update_state`), without its
            ``temp:`` keys.
        metadata: The application's own notes: a JSON object.
        agent_id: The agent that spoke.
        branch: The path of sub-agents or runs that led here.
        invocation_id: The run that the event belongs to.
        usage: The tokens of the model's reply.
        id: The id, unique in its session: a UUIDv7, or the caller's own, which makes a repeated append harmless.
        created_at: The time at which it happened (aware, UTC, microseconds); the time of the append if not given.
        seq: Its place in the session: 1, 2, 3…; 0 before it is stored.
        session_id: The session it is in; empty before it is stored.
        message: The LangChain message that it was made from, in its stored form; None for an event that was never a
            message.
        message_id: The id of that message.
        supersedes: For a summary, the ``seq`` of the last event that it stands for; 0 for any other event.
        copied_from: For an event that a fork copied, the session where it was first said; otherwise empty. It takes no
            part in equality. Figures such as `SessionService.usage` count a copy only if the original is gone.
        unreadable: True if the stored row is damaged; the event then has what could be read of it.
        raw: The stored row as JSON text, for an unreadable event only.

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
    if TYPE_CHECKING:
        created_at: Time = Time()
    else:
        created_at: datetime | None = None
    seq: int = 0
    session_id: str = ""
    message: str | None = field(default=None, repr=False)
    message_id: str | None = field(default=None, repr=False)
    supersedes: int = 0
    copied_from: str = field(default="", compare=False)
    unreadable: bool = False
    raw: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.actions, list):
            object.__setattr__(self, "actions", tuple(self.actions))

    def __hash__(self) -> int:
        return hash((self.session_id, self.id))

    @property
    def interrupted(self) -> str:
        """Returns what ended the run here without a complete reply: ``"CancelledError"``, say; empty if nothing did."""
        reason = self.metadata.get("interrupted")
        return reason if isinstance(reason, str) else ""

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """Returns the images, files, audio and video of its message, whichever provider's blocks they are in."""
        return attachments_of(self.message, self.metadata)

    def to_dict(self) -> dict[str, Any]:
        """Returns the event as a JSON object: the form that the command line prints with ``--json``.

        The keys are always the same: ``seq``, ``id``, ``session_id``, ``created_at`` (ISO 8601, or None), ``author``,
        ``content``, ``attachments`` (see `Attachment`; with their bytes in base64), ``reasoning``, ``actions`` (see
        `ToolCall.to_dict`), ``state`` (a deleted key has the value ``{"$remove": true}``), ``metadata``, ``agent_id``,
        ``branch``, ``invocation_id``, ``usage`` (see `Usage.to_dict`; None if there is none), ``supersedes``,
        ``copied_from``, ``message_id`` and ``unreadable``. The stored form of the message and the row are left out.

        Example:
            >>> Event("user", "Which tea?", seq=1).to_dict()["content"]
            'Which tea?'
        """
        return {
            "seq": self.seq,
            "id": self.id,
            "session_id": self.session_id,
            "created_at": _time_text(self.created_at),
            "author": self.author,
            "content": self.content,
            "attachments": [attachment.to_dict() for attachment in self.attachments],
            "reasoning": self.reasoning,
            "actions": [action.to_dict() for action in self.actions],
            "state": {key: {"$remove": True} if value is REMOVE else value for key, value in self.state.items()},
            "metadata": dict(self.metadata),
            "agent_id": self.agent_id,
            "branch": self.branch,
            "invocation_id": self.invocation_id,
            "usage": None if self.usage is None else self.usage.to_dict(),
            "supersedes": self.supersedes,
            "copied_from": self.copied_from,
            "message_id": self.message_id,
            "unreadable": self.unreadable,
        }

    def _repr_html_(self) -> str | None:
        return as_html(self)


@dataclass(frozen=True, eq=True)
class SessionRecord:
    """One conversation of one user of one app, as its row in the store.

    Attributes:
        id: The id, unique for its app and user.
        app_name: The application it belongs to.
        user_id: The user it belongs to.
        agent_id: The agent that the user talks with.
        title: The title that a list of conversations shows.
        metadata: The application's own notes: a JSON object.
        created_at: The time at which it was made (aware, UTC).
        updated_at: The time at which it last changed (aware, UTC); it never goes back.
        last_seq: The highest ``seq`` that was ever given in it, even if that event was removed.
        parent_id: The session it was forked from, or is a branch of, if any.
        parent_seq: The last ``seq`` of that session before it left. A fork has copies of the events up to there; an
            imported branch and the session of a sub-agent have only their own.
    """

    id: str
    app_name: str = "default"
    user_id: str = "default"
    agent_id: str = ""
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    if TYPE_CHECKING:
        created_at: Time = Time()
        updated_at: Time = Time()
    else:
        created_at: datetime | None = None
        updated_at: datetime | None = None
    last_seq: int = 0
    parent_id: str | None = None
    parent_seq: int | None = None

    def __hash__(self) -> int:
        return hash((self.app_name, self.user_id, self.id))

    def to_dict(self) -> dict[str, Any]:
        """Returns the session as a JSON object: the form that the command line prints with ``--json``.

        The keys are the attributes, in their order; times are ISO 8601 texts.

        Example:
            >>> SessionRecord("s-1", title="Tea").to_dict()["title"]
            'Tea'
        """
        return {
            "id": self.id,
            "app_name": self.app_name,
            "user_id": self.user_id,
            "agent_id": self.agent_id,
            "title": self.title,
            "metadata": dict(self.metadata),
            "created_at": _time_text(self.created_at),
            "updated_at": _time_text(self.updated_at),
            "last_seq": self.last_seq,
            "parent_id": self.parent_id,
            "parent_seq": self.parent_seq,
        }


S = TypeVar("S", bound=SessionRecord)


@dataclass(frozen=True)
class SearchHit(Generic[S]):
    """An event that a search found.

    Attributes:
        event: The event.
        session: The session it is in.
        snippet: A part of the text that matched, cut between words.
        spans: The places of the query's terms in the snippet: pairs of character offsets, the ends exclusive.
        score: How well the event matches: higher is better. Scores of different searches cannot be compared.
        parts: The parts that the score is the sum of, by name: of a hit of `SessionService.recall` some of ``"words"``,
            ``"neighbours"``, ``"session"`` and ``"time"``; empty for a search.
    """

    event: Event
    session: S
    snippet: str
    spans: tuple[tuple[int, int], ...]
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.event)

    def to_dict(self) -> dict[str, Any]:
        """Returns the hit as a JSON object: ``session``, ``event``, ``snippet``, ``spans``, ``score`` and ``parts``.

        See `Event.to_dict`.
        """
        return {
            "session": self.session.to_dict(),
            "event": self.event.to_dict(),
            "snippet": self.snippet,
            "spans": [list(span) for span in self.spans],
            "score": self.score,
            "parts": dict(self.parts),
        }

    def _repr_html_(self) -> str | None:
        return as_html(self)


@dataclass(frozen=True)
class SessionOverview(Generic[S]):
    """A session as a list of conversations shows it.

    Attributes:
        session: The session.
        first_message: The text of the user's first event, or marks of its images and files if it has no text; None if
            there is no such event.
        event_count: The number of its events.
        interrupted: What ended its last run without a complete reply (see `Event.interrupted`); empty if nothing did.
        last_activity: The time at which it last changed, by which lists are ordered: its ``updated_at``.
    """

    session: S
    first_message: str | None
    event_count: int
    interrupted: str = ""
    if TYPE_CHECKING:
        last_activity: Time = Time()
    else:
        last_activity: datetime | None = None

    def __hash__(self) -> int:
        return hash(self.session)

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON object: the keys of the session, then those of its other attributes."""
        return self.session.to_dict() | {
            "first_message": self.first_message,
            "event_count": self.event_count,
            "interrupted": self.interrupted,
            "last_activity": _time_text(self.last_activity),
        }


@dataclass(frozen=True)
class SessionHit(Generic[S]):
    """A session that a search of sessions found, as a list of conversations shows it.

    Attributes:
        session: The session.
        first_message: The text of the user's first event, or marks of its images and files if it has no text; None if
            there is no such event.
        event_count: The number of its events.
        last_activity: The time at which it last changed: its ``updated_at``.
        hit: The event that has the most words of the query, the latest of several; None if only the title has any.
        title_spans: The places of the query's words in the title: pairs of character offsets, the ends exclusive.
    """

    session: S
    first_message: str | None
    event_count: int
    if TYPE_CHECKING:
        last_activity: Time = Time()
    else:
        last_activity: datetime | None = None
    hit: SearchHit[S] | None = None
    title_spans: tuple[tuple[int, int], ...] = ()

    def __hash__(self) -> int:
        return hash(self.session)

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON object: the keys of the session, then those of its other attributes."""
        return self.session.to_dict() | {
            "first_message": self.first_message,
            "event_count": self.event_count,
            "last_activity": _time_text(self.last_activity),
            "hit": None if self.hit is None else self.hit.to_dict(),
            "title_spans": [list(span) for span in self.title_spans],
        }
