"""`SessionRecorder`: any run of LangChain, written down as it happens.

LangChain tells its callback handlers of *runs*: a chain, a model or a tool begins and ends, inside of another run or as
the *root*. The recorder makes events of what people want to read of them: what a model was asked, its reply, and each
tool call. An event's ``invocation_id`` is its run, its ``branch`` the run around that one, and its metadata say how
long it took. The recorder only writes: it does not decide what a model is shown.
"""

from __future__ import annotations

import dataclasses
import logging
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage, message_chunk_to_message
from langchain_core.messages.base import BaseMessageChunk
from langchain_core.outputs import Generation, LLMResult
from langchain_core.runnables.config import ensure_config

from session_sqlite import codec
from session_sqlite.errors import InvalidInputError, NotSerializableError
from session_sqlite.langchain.interrupted import partial_reply, reason_of
from session_sqlite.langchain.overlap import stored_again
from session_sqlite.langchain.sessions import (
    SessionNames,
    checked_service,
    failures,
    given_names,
    names_in,
    raises_on_error,
)
from session_sqlite.messages.langchain import event_to_messages, message_to_event
from session_sqlite.messages.tokens import usage_of_provider
from session_sqlite.models import Event, ToolCall, Usage
from session_sqlite.service import SessionService

logger = logging.getLogger("session_sqlite")


@dataclasses.dataclass
class _Run:
    """A run that has begun."""

    parent: uuid.UUID | None
    root: uuid.UUID
    name: str
    excluded: bool
    agent: str
    names: SessionNames  # of the session, as far as they are given for the run
    args: dict[str, Any] = dataclasses.field(default_factory=dict)
    call_id: str = ""
    top: _Run | None = dataclasses.field(default=None, repr=False)  # the root of the run; None for a root
    is_model: bool = False
    over: str = ""  # for a root that has ended, "well" or "stopped"
    questions: list[Event] = dataclasses.field(
        default_factory=list
    )  # for a root, questions that are not written down yet
    stopped: Event | None = None  # for a root, its reply that was stopped
    asked: set[str] = dataclasses.field(default_factory=set)  # for a root, what users said in it
    began: float = dataclasses.field(default_factory=time.perf_counter)

    def took(self) -> float:
        """Returns the milliseconds since it began."""
        return round((time.perf_counter() - self.began) * 1000, 3)


class SessionRecorder(BaseCallbackHandler):
    """Writes a run's model calls and tool calls into a session, as they happen.

    Give it to any Runnable, chain, agent or graph: ``runnable.invoke(…, {"callbacks": [SessionRecorder(service)]})``;
    sync, async and streaming alike. An event is stored before the run goes on, so the order is that of the run.

    A model call is what users said since the model's last reply (each message once in a run, and a question without a
    reply once when it is tried again), and the reply with its reasoning, tool calls and usage. A tool call is an event
    of the tool with arguments, and output or error. A reply or tool that fails is an event too; what a person is asked
    in between (an interrupt) is not. ``metadata`` has the run's ``name`` and ``duration_ms``.

    Of a reply that was stopped (its task was cancelled, its client went away, its model failed) the text that had been
    streamed is stored, and `Event.interrupted` says what ended it; one without text is no message.

    To give a model its memory use `SQLiteChatMessageHistory` or `SessionHistoryMiddleware`, in another session: what
    both of them write would stand there twice. With ``interrupted_only`` the recorder adds to the session of a chain's
    history what that would lose, so that the next request has it.

    Args:
        service: The store, of any backend.
        session_id: The session. If not given: ``session_id`` or ``thread_id`` of the run's metadata or
            ``configurable``; else each root run makes a session of its own, with its run id as id.
        app_name: The app; likewise from the metadata or ``configurable``, and at last the service's.
        user_id: The user; likewise.
        exclude_names: Runs with these names are left out, and all within them: sub-agents, say.
        exclude_tags: The same, for runs with any of these tags.
        exclude_metadata: The same, for runs whose metadata have any of these values; for example
            ``{"lc_source": "summarization"}`` for the model calls of LangChain's ``SummarizationMiddleware``.
        interrupted_only: Write down only replies that were stopped, each with its question: for a chain whose history,
            in the same session, stores a run only when it has ended well.
        on_error: What follows a failed write: ``"log"`` writes an error to the log, ``"raise"`` ends the run.

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> from session_sqlite import SQLiteSessionService
        >>> service = SQLiteSessionService(":memory:")
        >>> model = FakeListChatModel(responses=["Green tea."])
        >>> reply = model.invoke("Which tea?", {"callbacks": [SessionRecorder(service, "tea")]})
        >>> [(event.author, event.content) for event in service.list_events("tea")]
        [('user', 'Which tea?'), ('assistant', 'Green tea.')]
        >>> service.close()
    """

    def __init__(
        self,
        service: SessionService,
        session_id: str | None = None,
        *,
        app_name: str | None = None,
        user_id: str | None = None,
        exclude_names: Collection[str] = (),
        exclude_tags: Collection[str] = (),
        exclude_metadata: Mapping[str, Any] | None = None,
        interrupted_only: bool = False,
        on_error: Literal["log", "raise"] = "log",
    ) -> None:
        for name, names in (("exclude_names", exclude_names), ("exclude_tags", exclude_tags)):
            if isinstance(names, str):
                raise InvalidInputError(f"{name} must be a list of texts, not one text")
        super().__init__()
        self._service = checked_service(service)
        self._given = given_names(session_id, app_name, user_id)
        self._interrupted_only = codec.flag(interrupted_only, "interrupted_only")
        self._exclude_names = frozenset(exclude_names)
        self._exclude_tags = frozenset(exclude_tags)
        self._exclude_metadata = dict(exclude_metadata or {})
        # LangChain catches what a handler raises unless it says this. In async runs it waits for a handler that is
        # not inline in a worker thread: the order is right, and the event loop does not wait for the disk.
        self.raise_error = raises_on_error(on_error)
        self._runs: dict[uuid.UUID, _Run] = {}

    # ------------------------------------------------------------ chains: what runs within what

    def on_chain_start(
        self, serialized: dict[str, Any] | None, inputs: dict[str, Any], *, run_id: uuid.UUID, **about: Any
    ) -> None:
        """Notes the run; no event."""
        self._begin(serialized, run_id, about)

    def on_chain_end(self, outputs: dict[str, Any], *, run_id: uuid.UUID, **about: Any) -> None:
        """Forgets the run; no event."""
        self._end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: uuid.UUID, **about: Any) -> None:
        """Forgets the run; no event, since what failed in it has one."""
        run = self._end(run_id, "stopped")
        if run is not None and run.root == run_id:
            self._write_stopped(run)

    # ------------------------------------------------------------ models

    def on_chat_model_start(
        self,
        serialized: dict[str, Any] | None,
        messages: list[list[BaseMessage]],
        *,
        run_id: uuid.UUID,
        **about: Any,
    ) -> None:
        """Writes down what users said since the model's last reply."""
        self._begin(serialized, run_id, about).is_model = True
        prompt = messages[0] if messages else []
        replies = [index for index, message in enumerate(prompt) if isinstance(message, AIMessage)]
        since = prompt[replies[-1] + 1 :] if replies else prompt
        self._asked(run_id, [message for message in since if isinstance(message, HumanMessage)])

    def on_llm_start(
        self, serialized: dict[str, Any] | None, prompts: list[str], *, run_id: uuid.UUID, **about: Any
    ) -> None:
        """Writes down the prompt of a model that completes text."""
        self._begin(serialized, run_id, about).is_model = True
        self._asked(run_id, [HumanMessage(prompt) for prompt in prompts])

    def on_llm_end(self, response: LLMResult, *, run_id: uuid.UUID, **about: Any) -> None:
        """Writes down the reply."""
        run = self._end(run_id)
        if run is None or self._interrupted_only:
            return
        with_usage = _usage_of(response)
        replies = [generation for candidates in response.generations for generation in candidates]
        events = []
        for event in map(_event_of, replies):
            usage = with_usage if event.usage is None and len(replies) == 1 else event.usage
            events.append(self._placed(event, run_id, run, usage=usage))
        self._write(run, events)

    def on_llm_error(self, error: BaseException, *, run_id: uuid.UUID, **about: Any) -> None:
        """Writes down that there was no reply, with what came of it before it failed."""
        run = self._end(run_id, "stopped")
        if run is None:
            return
        event = self._placed(_event_of_part(about.get("response"), error), run_id, run, error=error)
        if not self._interrupted_only:
            self._write(run, [event])
        elif event.content:
            root = run.top or run
            root.stopped = event
            # LangChain does not tell a streamed root its configuration, but it tells the runs in it.
            root.names = root.names.or_else(run.names)
            if root.over == "stopped":
                self._write_stopped(root)

    # ------------------------------------------------------------ tools

    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: uuid.UUID,
        inputs: dict[str, Any] | None = None,
        tool_call_id: str | None = None,
        **about: Any,
    ) -> None:
        """Notes the call; its event is written when it ends."""
        run = self._begin(serialized, run_id, about)
        run.args = _plain_args(inputs if isinstance(inputs, Mapping) else {"input": input_str})
        run.call_id = tool_call_id or ""

    def on_tool_end(self, output: Any, *, run_id: uuid.UUID, **about: Any) -> None:
        """Writes the call down, with its output."""
        run = self._end(run_id)
        if run is None or self._interrupted_only:
            return
        message = next(_tool_messages(output), None)
        if message is not None:
            event = message_to_event(message)
            action = dataclasses.replace(event.actions[0], args=run.args)
            event = dataclasses.replace(event, actions=(action,))
        else:
            shown = output.text if isinstance(output, BaseMessage) else output
            plain = "" if shown is None else _plain(shown)
            event = Event("tool", actions=[ToolCall(run.name, run.args, id=run.call_id, output=plain)])
        self._write(run, [self._placed(event, run_id, run)])

    def on_tool_error(self, error: BaseException, *, run_id: uuid.UUID, **about: Any) -> None:
        """Writes the call down, with its error."""
        run = self._end(run_id)
        if run is None or _is_interrupt(error) or self._interrupted_only:
            return
        text = _text_of(error)
        event = Event("tool", actions=[ToolCall(run.name, run.args, id=run.call_id, error=text)])
        self._write(run, [self._placed(event, run_id, run)])

    # ------------------------------------------------------------ runs

    def _begin(self, serialized: Mapping[str, Any] | None, run_id: uuid.UUID, about: Mapping[str, Any]) -> _Run:
        metadata: Mapping[str, Any] = about.get("metadata") or {}
        configurable: Mapping[str, Any] = ensure_config().get("configurable") or {}
        parent_id = about.get("parent_run_id")
        parent = self._runs.get(parent_id) if parent_id is not None else None
        name = (serialized or {}).get("name") or about.get("name") or ""
        names = {str(name), str(about.get("name") or "")}

        found = self._given.or_else(names_in(metadata, configurable, is_name=codec.is_identifier))
        run = _Run(
            parent=parent_id,
            root=run_id if parent is None else parent.root,
            name=str(name),
            excluded=(parent is not None and parent.excluded)
            or not self._exclude_names.isdisjoint(names)
            or not self._exclude_tags.isdisjoint(about.get("tags") or ())
            or any(key in metadata and metadata[key] == value for key, value in self._exclude_metadata.items()),
            top=None if parent is None else parent.top or parent,
            agent=str(metadata.get("lc_agent_name") or ""),
            names=found if parent is None else found.or_else(parent.names),
        )
        self._runs[run_id] = run
        return run

    def _end(self, run_id: uuid.UUID, how: str = "well") -> _Run | None:
        """Forgets a run; returns it if it is to be written down."""
        run = self._runs.get(run_id)
        if run is None:
            return None
        # Runs that were never reported as ended are forgotten with their root. Model calls are not: when a stream is
        # closed, the root ends first, and the model reports only then how far it got.
        if run.root == run_id:
            run.over = how
            for id in [id for id, other in list(self._runs.items()) if other.root == run_id and not other.is_model]:
                self._runs.pop(id, None)
        self._runs.pop(run_id, None)
        return None if run.excluded else run

    def _asked(self, run_id: uuid.UUID, messages: Sequence[HumanMessage]) -> None:
        run = self._runs[run_id]
        if run.excluded:
            return
        asked = (run.top or run).asked
        events: list[Event] = []
        for message in messages:
            event = message_to_event(message)
            key = event.message_id or f"{event.content}\n{event.message}"
            if key not in asked:
                asked.add(key)
                events.append(self._placed(event, run_id, run))
        if self._interrupted_only:
            (run.top or run).questions += events
        elif events:
            named = [event for event in events if event.message_id]
            self._write(run, [event for event in events if not event.message_id], again=True)
            self._write(run, named, once=True)

    def _write_stopped(self, root: _Run) -> None:
        """Writes down what a history does not have of a run that was stopped in the middle of a reply."""
        if root.stopped is not None:
            self._write(root, [*root.questions, root.stopped])

    def _placed(
        self,
        event: Event,
        run_id: uuid.UUID,
        run: _Run,
        *,
        usage: Usage | None = None,
        error: BaseException | None = None,
    ) -> Event:
        metadata: dict[str, Any] = {"name": run.name} if run.name else {}
        if event.author != "user":
            metadata["duration_ms"] = run.took()
        if error is not None:
            metadata["error"] = _text_of(error)
            if event.author != "tool":
                metadata["interrupted"] = reason_of(error)
        return dataclasses.replace(
            event,
            agent_id=run.agent if codec.is_identifier(run.agent) else "",
            invocation_id=str(run_id),
            branch="" if run.parent is None else str(run.parent),
            metadata=metadata,
            usage=event.usage if usage is None else usage,
        )

    def _write(self, run: _Run, events: Sequence[Event], *, once: bool = False, again: bool = False) -> None:
        """Appends events; with ``once`` each message once, with ``again`` without questions that are being retried."""
        if not events:
            return
        with failures("a run was not recorded", raises=self.raise_error):
            names = run.names.or_else(SessionNames(session_id=str(run.root)))
            session = names.session(self._service, "a recorded session")
            if again:
                asked = [message for event in events for message in event_to_messages(event)]
                events = events[len(stored_again(self._service, session, asked)) :]
            append = self._service.append_messages if once else self._service.append_events
            if events:
                append(session, events, create=True)


# ---------------------------------------------------------------- what LangChain hands over


def _event_of_part(response: object, error: BaseException) -> Event:
    """Returns an event of what came of a reply before it was stopped, as far as a model may be shown it again."""
    parts = [part for parts in response.generations for part in parts] if isinstance(response, LLMResult) else []
    if not parts:
        return Event("assistant")
    message = getattr(parts[0], "message", None)
    if not isinstance(message, BaseMessage):
        return Event("assistant", parts[0].text)
    kept = partial_reply(message, reason_of(error))
    return Event("assistant") if kept is None else message_to_event(kept)


def _event_of(generation: Generation) -> Event:
    message = getattr(generation, "message", None)
    if isinstance(message, BaseMessageChunk):  # a streamed reply is stored like one that came whole
        message = message_chunk_to_message(message)
    return message_to_event(message) if isinstance(message, BaseMessage) else Event("assistant", generation.text)


def _usage_of(response: LLMResult) -> Usage | None:
    """Returns the usage that some models give beside their reply."""
    output = response.llm_output or {}
    counts = output.get("token_usage") or output.get("usage")
    model = output.get("model_name") or output.get("model") or ""
    return usage_of_provider(counts, model if codec.is_plain_text(model) else "")


def _tool_messages(output: Any) -> Iterator[ToolMessage]:
    """Yields the results in what a tool returned: a message, a list, or the update of LangGraph's ``Command``."""
    if isinstance(output, ToolMessage):
        yield output
    elif isinstance(output, list):
        for item in output:
            yield from _tool_messages(item)
    elif isinstance(update := getattr(output, "update", None), Mapping):
        yield from _tool_messages(update.get("messages"))


def _plain_args(args: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in args.items() if codec.is_plain_text(str(name))}


def _plain(value: Any) -> Any:
    """Returns the value if JSON can hold it; an object like an agent's state becomes the name of its type."""
    try:
        codec.encode_json(value, "value")
    except NotSerializableError:
        if isinstance(value, Mapping):
            return _plain_args(value)
        if isinstance(value, (list, tuple)):
            return [_plain(item) for item in value]
        return f"<{type(value).__name__}>" if not isinstance(value, str) else value.encode(errors="replace").decode()
    return value


def _text_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".encode(errors="replace").decode()


def _is_interrupt(error: BaseException) -> bool:
    """Returns whether LangGraph paused the run, for a person or another graph; LangGraph is not imported here."""
    return any(cls.__name__ == "GraphBubbleUp" for cls in type(error).__mro__)
