"""`SessionHistoryMiddleware`: the memory of agents made with ``create_agent``.

An agent's *state* is a list of messages that grows during a run and, without a checkpointer, is gone after it. The
middleware stands between the state and a *session*: at each point where a message may have come into the state (the
run begins, the model answered, a tool returned, the run ends) it stores what the session does not have yet, which the
messages' own ids tell. In mode ``"memory"`` the state begins with the session's messages, or with the window of them;
in mode ``"record"`` the state is a checkpointer's affair, and the session is its readable copy.

Needs LangChain 1 (the extra ``agent``).
"""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, ToolMessage

from session_sqlite import codec
from session_sqlite.errors import InvalidInputError, SessionError, SessionNotFoundError
from session_sqlite.langchain.interrupted import Streamed, is_partial, partial_reply, reason_of
from session_sqlite.langchain.overlap import stored_again
from session_sqlite.langchain.recalling import Recall
from session_sqlite.langchain.seen import SeenMessages
from session_sqlite.langchain.sessions import (
    ToolRun,
    checked_service,
    failures,
    field_of,
    given_names,
    log_failure,
    names_of_run,
    not_written,
    raises_on_error,
    tool_runs,
)
from session_sqlite.langchain.turns import calls_to_answer, is_placeholder, no_result, paired, result_id
from session_sqlite.langchain.window import TokenCounter, Window, checked_token_counter
from session_sqlite.messages.langchain import event_to_messages, message_to_event
from session_sqlite.models import Event
from session_sqlite.service import SessionService
from session_sqlite.session import Session
from session_sqlite.threads import in_own_thread, in_thread, to_the_end

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState
    from langgraph.config import get_config
    from langgraph.errors import GraphBubbleUp
    from langgraph.graph.message import REMOVE_ALL_MESSAGES
    from langgraph.types import Command
except ImportError as error:
    raise ImportError(
        "SessionHistoryMiddleware needs LangChain 1 or newer: pip install 'session-sqlite[agent]'"
    ) from error

if TYPE_CHECKING:
    from langchain.agents.middleware import ModelRequest, ModelResponse
    from langchain.tools.tool_node import ToolCallRequest
    from langchain_core.language_models import BaseLanguageModel
    from langgraph.runtime import Runtime

UNSEEN: Final = "unknown"  # the reason of an interruption that was found by the next run only
_RESULT_IDS: Final = uuid.UUID("6f1a0f4e-6d0c-5f9b-9a6e-3d1f0f6c2b7a")


class SessionHistoryMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Keeps the messages of an agent in a session, and gives them back to its next run.

    Each message is stored once, as soon as it exists: a tool that crashes loses nothing that came before it, and a run
    that is tried again with the same message doubles nothing. A message that changed in the state (a person edited a
    tool call, ``agent.update_state``) changes in the session, however old it is, if it is another object or a field of
    it has another value; one that was removed from the state stays in the session, and so does a redaction of what a
    checkpointer still has. Put it first in ``middleware=[…]``: then it sees what the others make of a reply, and none
    of them takes a failed write for a failed model or tool. Of a session in a file whose runs begin with all of it the
    process keeps the messages, as for `SQLiteChatMessageHistory`.

    Args:
        service: The store, of any backend.
        session_id: The session. If not given, it is looked for at each run: ``session_id`` of the runtime context,
            then ``configurable["session_id"]``, then ``configurable["thread_id"]``. It is made with the first message.
        mode: ``"memory"`` puts the session's messages before those that the run is given, with or without a
            checkpointer; ``"record"`` only stores, beside a checkpointer.
        app_name: The app; likewise from the context or ``configurable``, and at last the service's.
        user_id: The user; likewise.
        limit: Begin a run with at most so many of the latest messages (see `SQLiteChatMessageHistory`).
        max_tokens: Begin a run with at most so many tokens of them.
        token_counter: Counts the tokens; LangChain's approximation if not given.
        recall_tokens: Add what is recalled for the user's last question to each request, in at most so many tokens.
        keep_interrupted: Store what had been streamed of a reply that was stopped, and begin the next run with it.
        on_error: What follows a failed write or recall: ``"raise"`` ends the run, ``"log"`` writes an error to the log.

    A run that ends without a reply (its task is cancelled, its client goes away, its model or a tool fails) leaves a
    note at its last message: `Event.interrupted` says what ended it, and transcripts and lists show it. With
    ``keep_interrupted`` the text that had been streamed is stored as the reply, with the same note; when the question
    is tried again, the new reply takes its place. In mode ``"record"`` it is in the session only.

    A client may send its whole conversation with each question, also if its messages have no ids: what the run is given
    and the session ends with already (same kinds, same contents, in order) is not added again, if there is a reply in
    it or if it is a question without a reply, which is tried again. The client need not send tool calls and results
    again. Otherwise what is said twice stands twice.

    With ``recall_tokens`` a request has, in front of the user's last question and in the same message, what
    `SessionService.recall` finds for it in the user's sessions: marked as recalled, quoted as the answers of
    `history_tools` are, and looked for once a question, so that all requests of a run have the same. No state and no
    session gets it. What the request shows anyway is left out; of the session that is going on only what the window
    (or a summary) has cut off is recalled. If more than 200 messages are shown, that session is left out altogether.

    What ``SummarizationMiddleware`` writes is stored as a summary: later runs begin with it, as they do with that of
    `SessionService.summarize_session`, and nothing is deleted. A tool call that never got a result (the process ended,
    a person did not answer) reads as failed, since providers refuse a call without one.

    An agent that runs in a tool of another and would by the rules above have its session gets one of its own,
    ``"{session}/{tool call id}"``, so nothing of it comes into the conversation around it. With ``session_id`` its
    messages go where that says.

    Example:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import FakeListChatModel
        >>> from session_sqlite import SQLiteSessionService
        >>> service = SQLiteSessionService(":memory:")
        >>> history = SessionHistoryMiddleware(service)
        >>> agent = create_agent(FakeListChatModel(responses=["Hello."]), middleware=[history])
        >>> config = {"configurable": {"session_id": "tea"}}
        >>> state = agent.invoke({"messages": [{"role": "user", "content": "Hi."}]}, config)
        >>> [(event.author, event.content) for event in service.list_events("tea")]
        [('user', 'Hi.'), ('assistant', 'Hello.')]
        >>> service.close()
    """

    def __init__(
        self,
        service: SessionService,
        *,
        session_id: str | None = None,
        mode: Literal["memory", "record"] = "memory",
        app_name: str | None = None,
        user_id: str | None = None,
        limit: int | None = None,
        max_tokens: int | None = None,
        token_counter: TokenCounter | BaseLanguageModel[Any] | None = None,
        recall_tokens: int | None = None,
        keep_interrupted: bool = False,
        on_error: Literal["raise", "log"] = "raise",
    ) -> None:
        super().__init__()
        if mode not in ("memory", "record"):
            raise InvalidInputError("mode must be 'memory' or 'record'")
        self._service = checked_service(service)
        self._given = given_names(session_id, app_name, user_id)
        self._mode = mode
        self._keeps = codec.flag(keep_interrupted, "keep_interrupted")
        self._raises = raises_on_error(on_error)
        self._window = Window(limit, max_tokens, token_counter, needs_ids=True)
        budget = codec.optional_number(recall_tokens, "recall_tokens")
        self._recall = Recall(self._service, budget, checked_token_counter(token_counter)) if budget else None
        self._counts_for_recall = token_counter is not None
        self._seen = SeenMessages()
        # Of replies with several calls of one id, until the next reply: the results that are not stored yet, by place.
        self._twins: dict[tuple[Session, str | None, str], dict[int, list[BaseMessage] | None]] = {}
        self._lock = threading.RLock()

    # ------------------------------------------------------------ hooks

    def before_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Stores what the run is given and, in mode ``"memory"``, puts the session's messages before it."""
        return self._begin(self._session(runtime), state["messages"])

    async def abefore_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Does what `before_agent` does, awaited."""
        # The caller's token counter may itself wait for a worker, so it does not run in one.
        run = in_own_thread if self._window.counts_tokens else in_thread
        return await run(self._begin, self._session(runtime), state["messages"])

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Stores what came into the state since (a summary, an answer to an interrupt), then the model's reply."""
        session = self._session(request.runtime)
        request, before = self._acceptable(session, request)
        self._save(session, before)
        self._goes_on(session, before)
        request = self._with_recalled(session, request)
        streamed = Streamed() if self._keeps else None
        try:
            with streamed.listening() if streamed else nullcontext():
                response = handler(request)
        except BaseException as error:
            self._stopped(session, before, error, streamed)
            raise
        self._replied(session, before, response.result)
        return response

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Does what `wrap_model_call` does, awaited."""
        session = self._session(request.runtime)
        request, before = self._acceptable(session, request)
        await in_thread(self._save, session, before)
        await in_thread(self._goes_on, session, before)
        if self._recall is not None:
            run = in_own_thread if self._counts_for_recall else in_thread
            request = await run(self._with_recalled, session, request)
        streamed = Streamed() if self._keeps else None
        try:
            with streamed.listening() if streamed else nullcontext():
                response = await handler(request)
        except GeneratorExit as error:  # a coroutine that is being closed cannot await
            self._stopped(session, before, error, streamed)
            raise
        except BaseException as error:
            await to_the_end(self._stopped, session, before, error, streamed)
            raise
        await in_thread(self._replied, session, before, response.result)
        return response

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Stores what came into the state since (a call that a person edited), then the tool's result."""
        session = self._session(request.runtime)
        before = _messages_in(request.state)
        twin = self._before_tool(session, request, before)
        try:
            with _in_tool(session, request):
                result = handler(request)
        except BaseException as error:
            self._tool_stopped(session, before, error, twin)
            raise
        self._after_tool(session, _with_ids(_messages_of_result(result), before, twin), twin)
        return result

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Does what `wrap_tool_call` does, awaited."""
        session = self._session(request.runtime)
        before = _messages_in(request.state)
        twin = await in_thread(self._before_tool, session, request, before)
        try:
            with _in_tool(session, request):
                result = await handler(request)
        except GeneratorExit as error:
            self._tool_stopped(session, before, error, twin)
            raise
        except BaseException as error:
            await to_the_end(self._tool_stopped, session, before, error, twin)
            raise
        await in_thread(self._after_tool, session, _with_ids(_messages_of_result(result), before, twin), twin)
        return result

    def after_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:
        """Stores what other middleware put into the state at last."""
        self._end(self._session(runtime), state["messages"])

    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:
        """Does what `after_agent` does, awaited."""
        await in_thread(self._end, self._session(runtime), state["messages"])

    def _end(self, session: Session, messages: Sequence[BaseMessage]) -> None:
        if self._recall is not None:
            self._recall.forget(session)
        self._save(session, messages)

    def _with_recalled(self, session: Session, request: ModelRequest[Any]) -> ModelRequest[Any]:
        if self._recall is None:
            return request
        messages = None
        with failures(f"nothing was recalled for session {session.id!r}", raises=self._raises):
            messages = self._recall.added(session, request.messages)
        return request if messages is None else request.override(messages=cast("Any", messages))

    # ------------------------------------------------------------ runs that are stopped

    def _stopped(
        self, session: Session, before: Sequence[BaseMessage], error: BaseException, streamed: Streamed | None = None
    ) -> None:
        """Notes that the run ended here without a reply; keeps what had been streamed, if the caller wants it."""
        if isinstance(error, GraphBubbleUp) or not before:  # LangGraph pauses a run by such an error, to ask a person
            return
        reason, last = reason_of(error), cast("str", before[-1].id)
        try:
            kept = partial_reply(streamed.so_far(), reason, _partial_id(last)) if streamed else None
            if kept is not None:
                event = dataclasses.replace(message_to_event(kept), metadata={"interrupted": reason})
                self._service.append_messages(session, [event], create=True)
            self._service.mark_interrupted(session, [last if kept is None else cast("str", kept.id)], reason)
        except SessionError as failure:  # not raised: the caller has to see the error that ended the run
            log_failure(not_written(session), failure)

    def _goes_on(self, session: Session, before: Sequence[BaseMessage]) -> None:
        """Removes the note that a run ended in this turn: it is being retried, or was only slow."""
        users = [index for index, message in enumerate(before) if isinstance(message, HumanMessage)]
        with self._failures(session):
            self._service.mark_interrupted(session, _ids(before[(users or [0])[-1] :]), "")

    def _replied(self, session: Session, before: Sequence[BaseMessage], reply: list[BaseMessage]) -> None:
        """Stores a reply, in the place of what had been streamed of it before."""
        partial = {reply[0].id or "": _partial_id(before[-1].id)} if _with_ids(reply, before) and before else {}
        self._save(session, reply, instead_of=partial)
        self._goes_on(session, before)

    # ------------------------------------------------------------ calls and their results

    def _acceptable(
        self, session: Session, request: ModelRequest[Any]
    ) -> tuple[ModelRequest[Any], Sequence[BaseMessage]]:
        """Returns a request with one result for each call, right behind its reply, and the state with these results.

        LangChain itself answers a call whose arguments are malformed, in the request, and in the state once the model
        has replied: without an id, which we give the answer now.
        """
        before = _messages_in(request.state)
        state = {message.id: message for message in before}
        answers = [message for message in request.messages if isinstance(message, ToolMessage) and message.id is None]
        if answers:
            asked = _with_ids(list(request.messages), (), only=answers)
            state |= {message.id: message for message in answers}
            before = [state[message.id] for message in asked if message.id in state]
        with self._lock:
            for key in [key for key in self._twins if key[0] == session and key[1] in state]:
                del self._twins[key]
        whole = paired(request.messages, no_result)
        if whole != list(request.messages):
            asked_ids = {message.id for message in request.messages}
            before = [*before, *(message for message in whole if message.id not in asked_ids)]
            request = request.override(messages=cast("Any", whole))
        return request, before

    def _before_tool(self, session: Session, request: ToolCallRequest, before: Sequence[BaseMessage]) -> _Twin | None:
        """Stores what has come into the state; returns which call this is, if the reply has several with its id."""
        self._save(session, before)
        asked, id = request.tool_call, request.tool_call["id"] or ""
        caller = _caller(id, before)
        calls = [] if caller is None else [call for call in calls_to_answer(caller) if call.id == id]
        if caller is None or len(calls) < 2:
            return None
        ids = [result_id(caller, id, place) for place in range(len(calls))]
        with self._lock:
            stored: Mapping[str, int] = {}
            with self._failures(session):
                stored = self._service.find_messages(session, ids)
            others = {place for place, call in enumerate(calls) if isinstance(call.args, str) or ids[place] in stored}
            group = self._twins.setdefault((session, caller.id, id), {})
            what = (asked["name"], asked["args"])
            same = [place for place, call in enumerate(calls) if (call.name, call.args) == what]
            place = _place_of_task(request, caller, before, same)
            if place is None:  # of calls that are equal in everything each run takes another one
                place = min(same or range(len(calls)), key=lambda one: _was_run(one, group, ids[one] in stored))
            group.pop(place, None)  # the latest last
            group[place] = None
            return _Twin(id, ids[place], place, len(calls), others, group)

    def _tool_stopped(
        self, session: Session, before: Sequence[BaseMessage], error: BaseException, twin: _Twin | None
    ) -> None:
        self._stopped(session, before, error)
        self._after_tool(session, [], twin)

    def _after_tool(self, session: Session, messages: list[BaseMessage], twin: _Twin | None) -> None:
        """Stores a result, in the order of the calls: of calls with one id, a later one's waits for those before it."""
        if twin is None:
            self._save(session, messages)
            return
        with self._lock:
            twin.group[twin.place] = messages
            ready: list[BaseMessage] = []
            for place in range(twin.of):
                held = twin.group.get(place, [] if place in twin.others else None)
                if held is None:  # the call still runs, or has not begun
                    break
                ready += held
                if held:
                    twin.group[place] = []
            self._save(session, ready)

    # ------------------------------------------------------------ which session

    def _session(self, runtime: Any) -> Session:
        """Returns the session of the run that the caller is in. Raises `InvalidInputError` if nothing names one."""
        config: Mapping[str, Any] = getattr(runtime, "config", None) or get_config()  # a tool's runtime has its own
        configurable = config.get("configurable") or {}
        context = getattr(runtime, "context", None)
        names = self._given.or_else(names_of_run(context, configurable))
        if names.session_id is None:
            raise InvalidInputError(
                "there is no session for this run: give SessionHistoryMiddleware a session_id, or the run a context or "
                'a config with one, like {"configurable": {"session_id": "…"}}'
            )
        session = names.session(self._service, "an agent's session")
        runs = tool_runs.get()
        if self._given.session_id is None and any(run.session == session for run in runs):
            return _session_within(runs[-1])
        return session

    # ------------------------------------------------------------ reading and writing

    def _begin(self, session: Session, messages: Sequence[BaseMessage]) -> dict[str, Any] | None:
        self._make_if_within(session)
        given = messages
        self._note_what_was_left(session, messages)
        messages = self._without_what_was_sent_again(session, messages)
        if self._mode == "record":
            # What has no result by now gets none, and the model is told so once it is asked: then the user's next
            # message would be stored already.
            whole = paired(messages, no_result)
            shown = {message.id for message in whole}
            self._save(session, [*whole, *(message for message in messages if message.id not in shown)], anew=True)
            return None if messages is given else _instead(messages)
        known = self._service.find_messages(session, _ids(messages))
        # Changes in the state (a thread may have been edited in its checkpointer) are stored before the window is read.
        self._save(session, [message for message in messages if message.id in known], anew=True)
        stored = self._load(session)
        self._seen.note(session, stored)
        have = {message.id for message in stored}
        new = [message for message in messages if message.id not in known]
        if not new and stored and is_partial(stored[-1]):  # the model is asked again for the reply that was stopped
            stored.pop()
        whole = paired([*stored, *new], no_result)
        # A result whose call is not in the window, or not stored at all, is kept but not shown to the model.
        unseen = {message.id for message in new} - {message.id for message in whole}
        self._save(session, [message for message in whole if message.id not in have])
        self._save(session, [message for message in new if message.id in unseen])
        return None if whole == list(given) else _instead(whole)

    def _with_results_in_place(
        self, session: Session, messages: Sequence[BaseMessage], known: Mapping[str, int]
    ) -> Sequence[BaseMessage]:
        """Returns the state; a new result that replaces a stored one of the same call gets its id."""
        ids = set(_ids(messages))
        olds: dict[str, str] = {}
        for message in messages:
            if isinstance(message, ToolMessage) and message.id is not None and message.id not in known:
                caller = _caller(message.tool_call_id, messages)
                old = None if caller is None else result_id(caller, message.tool_call_id, 0)
                if old is not None and old not in ids:
                    olds[message.id] = old
        stored = self._service.find_messages(session, olds.values()) if olds else {}
        if not stored:
            return messages
        return [
            message.model_copy(update={"id": old}) if (old := olds.get(message.id or "")) in stored else message
            for message in messages
        ]

    def _note_what_was_left(self, session: Session, messages: Sequence[BaseMessage]) -> None:
        """Notes that a run before this one, which nobody saw ending (its process was killed), has left no reply.

        Whether it is still at work cannot be known: then its reply takes the note away.
        """
        with self._failures(session):
            try:
                last = self._service.list_events(session, newest_first=True, limit=1)[:1]
            except SessionNotFoundError:
                return
            goes_on = {message.id for message in messages[-1:]}
            for event in last:
                waits = event.author == "user" or any(
                    not isinstance(call.args, str)  # a malformed call is not run, so nothing is awaited
                    for message in event_to_messages(event)
                    for call in calls_to_answer(message)
                )
                if waits and event.message_id and event.message_id not in goes_on and not event.interrupted:
                    self._service.mark_interrupted(session, [event.message_id], UNSEEN)

    def _without_what_was_sent_again(self, session: Session, messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
        """Returns the state, in which stored messages stand for those that a client sent again without their ids."""
        with self._failures(session):
            known = self._service.find_messages(session, _ids(messages))
            messages = self._with_results_in_place(session, messages, known)
            unknown = [message for message in messages if message.id not in known]
            again = stored_again(
                self._service, session, unknown, needs_ids=True, in_order=paired, may_lack=_is_ours,
                may_lack_tools=not known,  # a state that has the question has what it led to
            )  # fmt: skip
            if again:
                stored = {message.id: old for message, old in zip(unknown, again, strict=False)}
                whole = [stored.get(message.id, message) for message in messages]
                return list({cast("str", message.id): message for message in reversed(whole)}.values())[::-1]
        return messages

    def _load(self, session: Session) -> list[BaseMessage]:
        try:
            return self._window.messages(self._service, session)
        except SessionNotFoundError:
            return []  # nothing was said yet

    def _save(
        self,
        session: Session,
        messages: Sequence[BaseMessage],
        *,
        anew: bool = False,
        instead_of: Mapping[str, str] | None = None,
    ) -> None:
        """Stores the messages that the session does not have, and those that changed since they were last seen.

        With ``anew``, at the beginning of a run, nothing was seen: the session itself may have changed since.
        """
        with self._failures(session):
            changeable = _latest(messages)
            events, looked_at = [], []
            for index, message in enumerate(messages):
                if not anew and index not in changeable and self._seen.has(session, message):
                    continue
                event = message_to_event(message)
                if message.additional_kwargs.get("lc_source") == "summarization":
                    event = self._as_summary(session, event, messages[index + 1 :])
                events.append(event)
                looked_at.append(message)
            if events:
                self._service.append_messages(session, events, create=True, instead_of=instead_of)
            self._seen.note(session, looked_at)

    def _as_summary(self, session: Session, event: Event, after: Sequence[BaseMessage]) -> Event:
        """Returns the event as a summary of all that comes before the first message that was kept beside it.

        If none was kept, it is of everything so far.
        """
        id = cast("str", event.message_id)
        seqs = self._service.find_messages(session, [id, *_ids(after)])
        if id in seqs:  # it was stored before, as a summary
            return event
        kept = [seqs[id] for id in _ids(after) if id in seqs]
        if kept:
            upto = min(kept) - 1
        else:
            try:
                upto = self._service.get_session(session).last_seq
            except SessionNotFoundError:
                upto = 0
        return dataclasses.replace(event, author="system", supersedes=upto) if upto else event

    def _make_if_within(self, session: Session) -> None:
        """Makes the session of a sub-agent, with a note of the session and the call that it belongs to."""
        runs = tool_runs.get()
        if runs and session == _session_within(runs[-1]):
            run = runs[-1]
            with self._failures(session):
                self._service.create_session(
                    session_id=session.id,
                    agent_id=run.tool if codec.is_identifier(run.tool) else "",
                    metadata={"parent_session": run.session.id, "tool_call_id": run.call_id},
                    exist_ok=True,
                    app_name=session.app_name,
                    user_id=session.user_id,
                )

    def _failures(self, session: Session) -> AbstractContextManager[None]:
        return failures(not_written(session), raises=self._raises)


# ---------------------------------------------------------------- sub-agents


@contextmanager
def _in_tool(session: Session, request: ToolCallRequest) -> Iterator[None]:
    call = request.tool_call
    token = tool_runs.set((*tool_runs.get(), ToolRun(session, call["id"] or "", call["name"])))
    try:
        yield
    finally:
        tool_runs.reset(token)


def _session_within(run: ToolRun) -> Session:
    parent = run.session
    id = f"{parent.id}/{run.call_id}"
    if not codec.is_identifier(id):  # too long
        id = str(uuid.uuid5(_RESULT_IDS, id))
    return Session(id, parent.app_name, parent.user_id)


# ---------------------------------------------------------------- messages


class _Twin(NamedTuple):
    """A call among several of one reply that have the same id.

    Attributes:
        call_id: That id.
        result_id: The id of its result.
        place: Which of them it is, from 0.
        of: How many there are.
        others: The places of those that are not run, since they are malformed, or have a stored result.
        group: Their results that are not stored yet, by place; None while a call runs.
    """

    call_id: str
    result_id: str
    place: int
    of: int
    others: set[int]
    group: dict[int, list[BaseMessage] | None]


def _was_run(place: int, group: Mapping[int, object], stored: bool) -> tuple[bool, bool, int, int]:
    """Returns the least for the place that most likely has to be run: one that does not run now, and has no result."""
    taken = [*group].index(place) + 1 if place in group else 0
    return (taken > 0 and group[place] is None, stored, taken, place)


def _place_of_task(
    request: ToolCallRequest, caller: AIMessage, before: Sequence[BaseMessage], equal: Sequence[int]
) -> int | None:
    """Returns which of equal calls runs, the same one if the run is resumed; None where LangGraph does not say.

    LangChain sends each call that has no result to a task of its own, in order, and LangGraph numbers these tasks.
    """
    config: Mapping[str, Any] = getattr(request.runtime, "config", None) or {}
    path = (config.get("metadata") or {}).get("langgraph_path")
    if not isinstance(path, (tuple, list)) or len(path) < 2 or path[0] != "__pregel_push":
        return None
    answered = {message.tool_call_id for message in before if isinstance(message, ToolMessage)}
    sent = [(call["name"], call["args"], call["id"]) for call in caller.tool_calls if call["id"] not in answered]
    asked = (request.tool_call["name"], request.tool_call["args"], request.tool_call["id"])
    number = path[1]
    if not isinstance(number, int) or not 0 <= number < len(sent) or sent[number] != asked:
        return None
    earlier = sent[:number].count(asked)
    return equal[earlier] if earlier < len(equal) else None


def _messages_in(state: Any) -> list[BaseMessage]:
    """Returns the messages of a state, which is a dict, a model, or a list of messages itself."""
    found = state if isinstance(state, list) else field_of(state, "messages")
    return [message for message in found or () if isinstance(message, BaseMessage)]


def _messages_of_result(result: Any) -> list[BaseMessage]:
    """Returns the messages in what a tool returned: a message, the update of a `Command`, or a list of those."""
    if isinstance(result, BaseMessage):
        return [] if isinstance(result, RemoveMessage) else [result]
    if isinstance(result, list):
        return [message for item in result for message in _messages_of_result(item)]
    if isinstance(result, Command):
        update = dict(result.update) if isinstance(result.update, (Mapping, list, tuple)) else {}
        return _messages_of_result(update.get("messages"))
    return []


def _ids(messages: Sequence[BaseMessage]) -> list[str]:
    return [message.id for message in messages if message.id is not None]


def _with_ids(
    messages: list[BaseMessage],
    before: Sequence[BaseMessage],
    twin: _Twin | None = None,
    only: Sequence[BaseMessage] | None = None,
) -> list[BaseMessage]:
    """Gives an id to each message that has none; the state would give one too, but only after they are stored."""
    for index, message in enumerate(messages):
        if only is not None and not any(message is one for one in only):
            continue
        if twin is not None and message.id is None and getattr(message, "tool_call_id", None) == twin.call_id:
            message.id = twin.result_id
        if message.id is None and isinstance(message, ToolMessage):
            earlier = [*before, *messages[:index]]
            caller = _caller(message.tool_call_id, earlier)
            if caller is not None:
                place = _free_place(caller, message.tool_call_id, earlier)
                message.id = result_id(caller, message.tool_call_id, place)
        if message.id is None:
            message.id = str(uuid.uuid4())
    return messages


def _caller(call_id: str | None, messages: Sequence[BaseMessage]) -> AIMessage | None:
    for message in reversed(messages):
        if isinstance(message, AIMessage) and any(call.id == call_id for call in calls_to_answer(message)):
            return message
    return None


def _free_place(caller: AIMessage, call_id: str, messages: Sequence[BaseMessage]) -> int:
    """Returns to which of a reply's calls with this id the next result belongs, judged by the results so far."""
    ids = {message.id for message in messages}
    places = range(sum(call.id == call_id for call in calls_to_answer(caller)))
    return next((place for place in places if result_id(caller, call_id, place) not in ids), 0)


def _latest(messages: Sequence[BaseMessage]) -> set[int]:
    """Returns the places of the messages that may still change: the user's last, and all from the last reply on."""
    users = [index for index, message in enumerate(messages) if isinstance(message, HumanMessage)]
    replies = [index for index, message in enumerate(messages) if isinstance(message, AIMessage)]
    return {*users[-1:], *range(replies[-1] if replies else 0, len(messages))}


def _is_ours(message: BaseMessage) -> bool:
    """Returns whether a message was made by this package, so that a client may not know of it."""
    return is_placeholder(message) or is_partial(message)


def _instead(messages: Sequence[BaseMessage]) -> dict[str, Any]:
    return {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES), *messages]}


def _partial_id(last: str | None) -> str:
    """Returns the id for what is kept of a stopped reply to this message; a second one takes the place of the first."""
    return str(uuid.uuid5(_RESULT_IDS, f"{last}/interrupted"))
