"""The things a store holds, as values.

A *session* is one conversation of one user of one app. It holds *events* in the order of their ``seq``: what the
user, the assistant, the system and the tools said. An event may carry *tool calls* (its actions), a change of
*state*, and the tokens that a model used. All are frozen dataclasses that compare by value, and know neither the
service that reads them nor the renderer that shows them.

Two marks stand where a value could: `ANY`, every app or user, and `REMOVE`, no value any more.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar, final


@functools.singledispatch
def as_html(value: object) -> str | None:  # noqa: ARG001  # what is registered takes it
    """Returns a value as HTML for a notebook, or None: `session_sqlite.transcript.html` registers how each looks."""
    return None


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
"""As ``app_name`` or ``user_id`` of a call that reads: every app, every user."""

REMOVE: Final = Removal()
"""As a value in a state delta or in the metadata of an update: delete the key."""


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool, with its result once there is one.

    Attributes:
        name: The tool's name.
        args: The arguments as the model gave them: a JSON object. In a message, a call whose arguments are no JSON
            object (LangChain's ``invalid_tool_calls``) has them as the text that the model wrote.
        id: The id that joins the call to its result, as the model's provider gave it; may be empty.
        output: What the tool returned: any JSON value; None while there is nothing.
        error: What went wrong, as text; None if nothing did.

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
        copied_from: Of an event in a fork that its source has too: the session where it was first said; otherwise
            empty. It takes no part in equality. Figures (`SessionService.usage` and the others) count it only if that
            session does not have it any more.
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
        """The name of what ended the run here without a (whole) reply, like ``"CancelledError"``; empty if none did."""
        reason = self.metadata.get("interrupted")
        return reason if isinstance(reason, str) else ""

    def _repr_html_(self) -> str | None:
        return as_html(self)


@dataclass(frozen=True, eq=True)
class SessionRecord:
    """One conversation of one user of one app, as a row of the store says it.

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

    def __hash__(self) -> int:
        return hash((self.app_name, self.user_id, self.id))


S = TypeVar("S", bound=SessionRecord)


@dataclass(frozen=True)
class SearchHit(Generic[S]):
    """An event that a search found.

    Attributes:
        event: The event.
        session: The session it is in.
        snippet: A piece of the text that matched, cut between words.
        spans: Where in the snippet the query's terms are: pairs of character offsets, the ends exclusive.
        score: How well it fits; higher is better, comparable within one search only.
    """

    event: Event
    session: S
    snippet: str
    spans: tuple[tuple[int, int], ...]
    score: float

    def __hash__(self) -> int:
        return hash(self.event)

    def _repr_html_(self) -> str | None:
        return as_html(self)


@dataclass(frozen=True)
class SessionOverview(Generic[S]):
    """What a list of conversations shows of one.

    Attributes:
        session: The session.
        first_message: The first thing the user said in it; None if the user said nothing yet.
        event_count: How many events it has.
        interrupted: What ended its last run without a (whole) reply; empty if it has one (see `Event.interrupted`).
    """

    session: S
    first_message: str | None
    event_count: int
    interrupted: str = ""

    def __hash__(self) -> int:
        return hash(self.session)
