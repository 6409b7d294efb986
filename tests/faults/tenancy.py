"""Every door to a session, tried by who it is not for: another user, another app, both.

The doors are found by reflection: what is public and takes a session, or is a method of one, on the services, the
sessions and their state, the history, what makes tools and recorders, the MCP server and the commands. A new one has to
be named here, or its arguments: until then the trial fails. A door has to answer as it does for a session that does
not exist, without a word of the owner's, and nothing stored may change. Some doors make a session where there is none:
that is then the caller's own.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import re
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import backends
import click
import pytest
from click.testing import CliRunner
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult

import session_sqlite
from session_sqlite import (
    AsyncSession,
    AsyncSessionService,
    Event,
    Session,
    SessionHistoryMiddleware,
    SessionRecord,
    SessionRecorder,
    SessionService,
    SessionState,
    SQLiteChatMessageHistory,
    ToolCall,
    history_tools,
)
from session_sqlite.cli import main
from session_sqlite.session import attached
from session_sqlite.testing import Driven
from session_sqlite.tools import TOOLS, HistoryTools

from .trials import Length, Trial, Tried, UnavailableError

ID: Final = "shared-id"
NOBODYS: Final = "absent-id"
ASKED: Final = "marzipan"
SECRET: Final = "marzipan of the owner"  # noqa: S105  # words to look for
STRANGERS: Final = {
    "another user": ("app", "stranger"),
    "another app": ("other", "owner"),
    "both": ("other", "stranger"),
}
TAKES_A_SESSION: Final = {"session", "session_id", "session_ids", "exclude_session"}
Call = Callable[[Any, Any], Any]


def filled(service: Any) -> None:
    """Gives the owner a session in which everything is filled."""
    session = service.create_session(session_id=ID, title=SECRET, metadata={"k": SECRET}, state={"own": SECRET})
    session.add_event("user", SECRET, id="event-1", state={"user:u": SECRET, "app:a": 1})
    session.add_event("assistant", SECRET, actions=[ToolCall("tool", id="c1")], id="event-2")
    session.add_event("tool", SECRET, actions=[ToolCall("tool", id="c1")], id="event-3")
    service.search(SECRET)  # the index has caught up


# ---------------------------------------------------------------- the verbs of the services

VERBS: Final[dict[str, Call]] = {
    "get_session": lambda one, s: one.get_session(s),
    "update_session": lambda one, s: one.update_session(s, title="x", agent_id="x", metadata={"a": 1}),
    "update_session of nothing": lambda one, s: one.update_session(s),
    "delete_session": lambda one, s: one.delete_session(s),
    "clear_session": lambda one, s: one.clear_session(s),
    "append_event": lambda one, s: one.append_event(s, Event("user", "x", state={"own": 1, "user:u": 1, "app:a": 2})),
    "append_event again": lambda one, s: one.append_event(s, Event("user", SECRET, id="event-1")),
    "append_event expecting": lambda one, s: one.append_event(s, Event("user"), expected_seq=3),
    "append_events": lambda one, s: one.append_events(s, [Event("user", id="event-1"), Event("user")]),
    "append_events of none": lambda one, s: one.append_events(s, []),
    "append_messages": lambda one, s: one.append_messages(s, [Event("user", message="{}", message_id="m")]),
    "find_messages": lambda one, s: one.find_messages(s, ["event-1"]),
    "mark_interrupted": lambda one, s: one.mark_interrupted(s, ["event-1"], "CancelledError"),
    "list_events": lambda one, s: one.list_events(s),
    "list_events of none": lambda one, s: one.list_events(s, limit=0),
    "list_events filtered": lambda one, s: one.list_events(s, author="user", tool="tool", newest_first=True),
    "iter_events": lambda one, s: list(one.iter_events(s)),
    "iter_event_chunks": lambda one, s: list(one.iter_event_chunks(s)),
    "last_events": lambda one, s: one.last_events(s, 2),
    "last_events of none": lambda one, s: one.last_events(s, 0),
    "get_state": lambda one, s: one.get_state(s),
    "get_state_value": lambda one, s: one.get_state_value(s, "own"),
    "get_state_value of a user": lambda one, s: one.get_state_value(s, "user:u"),
    "update_state": lambda one, s: one.update_state(s, {"own": 1, "user:u": 1, "app:a": 2}),
    "update_state of nothing": lambda one, s: one.update_state(s, {}),
    "convert_events": lambda one, s: one.convert_events(s, lambda event: event),
    "search": lambda one, s: one.search(ASKED, session=s),
    "search without words": lambda one, s: one.search("", session=s),
    "recall": lambda one, s: one.recall(ASKED, session=s),
    "recall outside": lambda one, s: one.recall(ASKED, exclude_session=s),
    "recall without words": lambda one, s: one.recall("", session=s),
    "tool_calls": lambda one, s: one.tool_calls(session=s),
    "tool_counts": lambda one, s: one.tool_counts(session=s),
    "activity": lambda one, s: one.activity(session=s),
    "reply_times": lambda one, s: one.reply_times(session=s),
    "export": lambda one, s: _exported(one, s),
    "usage": lambda one, s: one.usage(session=s),
    "fork_session": lambda one, s: one.fork_session(s, session_id="fork"),
    "fork_session at": lambda one, s: one.fork_session(s, at="event-2", session_id="fork"),
    "rewind_session": lambda one, s: one.rewind_session(s),
    "rewind_session to": lambda one, s: one.rewind_session(s, to="event-1"),
    "summarize_session": lambda one, s: one.summarize_session(s, lambda messages: "summary", keep_last=1),
    "erase": lambda one, s: one.erase(s),
    "redact": lambda one, s: one.redact(ASKED, session=s),
}
MAKE_A_SESSION: Final = {"replace_events", "create_session"}  # of the caller's own; see `test_tenancy`


def _exported(service: Any, session: Any) -> str:
    target = io.StringIO()
    service.export(target, session=session)
    return target.getvalue()


def _public(kind: type) -> Iterator[str]:
    return (name for name in dir(kind) if not name.startswith("_"))


def _verbs_of(kind: type) -> set[str]:
    """The public methods of a service that take a session."""
    return {
        name
        for name in _public(kind)
        if callable(getattr(kind, name)) and TAKES_A_SESSION & set(inspect.signature(getattr(kind, name)).parameters)
    }


# ---------------------------------------------------------------- methods, called with arguments by their names

ARGUMENTS: Final[Mapping[str, Callable[[], Any]]] = {
    "author": lambda: "user", "events": lambda: [Event("user", id="event-1")], "n": lambda: 2, "turns": lambda: 1,
    "query": lambda: ASKED, "question": lambda: ASKED, "target": io.StringIO, "title": lambda: "x",
    "summarizer": lambda: lambda messages: "summary", "keep_last": lambda: 1, "delta": lambda: {"own": 1},
    "key": lambda: "own", "default": lambda: None, "message": lambda: AIMessage("x"),
    "messages": lambda: [HumanMessage("x", id="m")],
}  # fmt: skip
GIVEN: Final = {"title", "turns"}  # though they have defaults
FIELDS: Final = {*SessionRecord.__dataclass_fields__, "to_dict", "session", "service"}  # read without the store
HISTORY_MAKES: Final = re.compile("a?add_|messages=")


def _with_arguments(method: Callable[..., Any]) -> Any:
    """Calls a method with an argument for each parameter that has no default."""
    given: dict[str, Any] = {}
    positional: list[Any] = []
    for name, parameter in inspect.signature(method).parameters.items():
        needed = parameter.default is parameter.empty or name in GIVEN
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not needed:
            continue
        assert name in ARGUMENTS, f"{method} needs {name}: say in ARGUMENTS what it may be"
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(ARGUMENTS[name]())
        else:
            given[name] = ARGUMENTS[name]()
    answer = method(*positional, **given)
    if inspect.isasyncgen(answer):
        answer = _listed(answer)
    if inspect.iscoroutine(answer):
        return LOOP[0].run_until_complete(answer)
    return list(answer) if isinstance(answer, Iterator) else answer


async def _listed(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


def _door(make: Call, name: str) -> Call:
    """Reads an attribute of what is made of a service and an id; a method is called."""

    def go(service: Any, id: Any) -> Any:
        value = getattr(make(service, id), name)
        return _with_arguments(value) if callable(value) else value

    return go


def _session(service: Any, id: str) -> Session:
    return attached(Session(id, service.app_name, service.user_id), service)


def _async_session(service: Any, id: str) -> AsyncSession:
    return AsyncSession(_session(service, id), AsyncSessionService(service))


LOOP: list[asyncio.AbstractEventLoop] = []


def _history(service: Any, id: str, **window: Any) -> SQLiteChatMessageHistory:
    return SQLiteChatMessageHistory(id, service=service, **window)


STATE_METHODS: Final = set(_public(SessionState)) - {"update", "setdefault"}  # they need arguments of their own
STATE: Final[dict[str, Call]] = {
    "[]": lambda state, _: state["own"],
    "[]=": lambda state, _: state.__setitem__("own", 1),
    "in": lambda state, _: "own" in state,
    "del": lambda state, _: state.__delitem__("own"),
    "iter": lambda state, _: list(state),
    "len": lambda state, _: len(state),
    "==": lambda state, _: state == {},
    "repr": lambda state, _: repr(state),
    "dict": lambda state, _: dict(state),
    "update": lambda state, _: state.update(own=1),
    "setdefault": lambda state, _: state.setdefault("own", 1),
    **{name: _door(lambda state, _: state, name) for name in STATE_METHODS},
}


def _on_state(call: Call, service: Any, id: str) -> Any:
    return call(_session(service, id).state, id)


def _awaited(call: Call, service: Any, id: Any) -> Any:
    return call(Driven(AsyncSessionService(service), LOOP[0]), id)


def _reading() -> Iterator[tuple[str, Call]]:
    """The doors that make nothing."""
    for name, call in VERBS.items():
        yield f"SessionService.{name}", call
        yield f"AsyncSessionService.{name}", partial(_awaited, call)
    for name in _public(Session):
        if name not in FIELDS | {"state"}:
            yield f"Session.{name}", _door(_session, name)
    for name in _public(AsyncSession):
        if name not in FIELDS:
            yield f"AsyncSession.{name}", _door(_async_session, name)
    for name, call in STATE.items():
        yield f"SessionState.{name}", partial(_on_state, call)
    for name in _public(SQLiteChatMessageHistory):
        if name not in FIELDS | {"session_id", "factory"} and not HISTORY_MAKES.match(name):
            yield f"SQLiteChatMessageHistory.{name}", _door(_history, name)
    yield "SQLiteChatMessageHistory.messages limited", lambda s, id: _history(s, id, limit=2).messages
    yield "SQLiteChatMessageHistory.messages by tokens", lambda s, id: _history(s, id, max_tokens=10).messages
    yield "SQLiteChatMessageHistory.factory", lambda s, id: SQLiteChatMessageHistory.factory(service=s)(id).messages
    for tool in TOOLS:
        yield f"history_tools: {tool.name}", partial(_tool_of_langchain, tool.name)
        yield f"mcp: {tool.name}", partial(_tool_of_mcp, tool.name)
    for name, command in _commands():
        yield f"command {name}", partial(_command, name, command)


def _making() -> Iterator[tuple[str, Call]]:
    """The doors that make a session of the caller's own if there is none."""
    for name in _public(SQLiteChatMessageHistory):
        if HISTORY_MAKES.match(name):
            yield f"SQLiteChatMessageHistory.{name}", _door(_history, name)
    yield "SQLiteChatMessageHistory.messages =", lambda s, id: setattr(_history(s, id), "messages", [HumanMessage("x")])
    yield "SessionService.create_session", lambda s, id: s.create_session(session_id=id)
    yield "SessionService.replace_events", lambda s, id: s.replace_events(id, [Event("user", "x", id="event-1")])
    yield (
        "SessionService.append_event create",
        lambda s, id: s.append_event(id, Event("user", id="event-1"), create=True),
    )
    yield "SessionHistoryMiddleware", _by_middleware
    yield "SessionRecorder", _by_recorder
    yield "history_tools", lambda s, id: [tool.invoke(_arguments_of(tool.name, id)) for tool in history_tools(s)]


# ---------------------------------------------------------------- tools, agents, commands


def _arguments_of(tool: str, id: Any) -> dict[str, Any]:
    """Every argument of text of a tool: those that name a session name this one, the others look for the secret."""
    parameters = next(each for each in TOOLS if each.name == tool).parameters
    texts = [parameter.name for parameter in parameters if parameter.kind == "text"]
    values = {"session_id": id, "author": None, "page": None}
    return {name: value for name in texts if (value := values.get(name, ASKED)) is not None}


def _tool_of_langchain(name: str, service: Any, id: str) -> Any:
    tool = next(tool for tool in history_tools(service) if tool.name == name)
    return tool.invoke(_arguments_of(name, id))


def _tool_of_mcp(name: str, service: Any, id: str) -> Any:
    from session_sqlite.mcp import server_of

    mcp = pytest.importorskip("mcp")

    async def ask() -> Any:
        async with mcp.Client(server_of(HistoryTools(service))) as client:
            answer = await client.call_tool(name, _arguments_of(name, id))
            return answer.is_error, [part.text for part in answer.content]

    return asyncio.run(ask())


def _by_middleware(service: Any, id: str) -> Any:
    middleware = SessionHistoryMiddleware(service, recall_tokens=500)
    runtime: Any = SimpleNamespace(context={"session_id": id}, config={"configurable": {}})
    begun = middleware.before_agent({"messages": [HumanMessage(ASKED, id="asked")]}, runtime)
    shown = [message.text for message in (begun or {}).get("messages", []) if message.id != "asked"]
    middleware.after_agent({"messages": [HumanMessage("x", id="asked"), AIMessage("y", id="said")]}, runtime)
    return [text for text in shown if text]


def _by_recorder(service: Any, id: str) -> Any:
    recorder = SessionRecorder(service, id, on_error="raise")
    run = uuid.UUID(int=1)
    recorder.on_chat_model_start({}, [[HumanMessage("x")]], run_id=run)
    recorder.on_llm_end(LLMResult(generations=[[ChatGeneration(message=AIMessage("y"))]]), run_id=run)
    return None


NEEDED: Final = {"title": "x", "query": ASKED, "pattern": ASKED, "sql": "SELECT 1"}


def _commands() -> Iterator[tuple[str, click.Command]]:
    """The commands that take the id of a session."""
    for name, command in main.commands.items():
        if TAKES_A_SESSION & {str(parameter.name) for parameter in command.params}:
            yield name, command


def _command(name: str, command: click.Command, service: Any, id: Any) -> Any:
    words: list[str] = ["--db", backends.place(service), name, "--app", service.app_name, "--user", service.user_id]
    for parameter in command.params:
        names_session = parameter.name in TAKES_A_SESSION
        if isinstance(parameter, click.Option) and (names_session or parameter.name == "yes"):
            words += [parameter.opts[0], *([id] if names_session else [])]
        elif isinstance(parameter, click.Argument) and (names_session or parameter.required):
            assert names_session or parameter.name in NEEDED, f"say in NEEDED what {parameter.name} of {name} may be"
            words += [id if names_session else NEEDED[str(parameter.name)]]
    done = CliRunner().invoke(main, words)
    return done.exit_code, re.sub(r"[0-9]{4}-[0-9]{2}-[0-9T:.Z+-]*", "TIME", done.output)


# ---------------------------------------------------------------- the trial


def uncovered() -> list[str]:
    """What is public, takes a session, and is no door of this trial."""
    doors = {name.split(" ")[0] for name, _ in (*_reading(), *_making())}
    wanted = {f"{kind.__name__}.{name}" for kind in (SessionService, AsyncSessionService) for name in _verbs_of(kind)}
    wanted |= {f"SessionState.{name}" for name in _public(SessionState)}
    taking = {"session_id", "service"}
    makers = {name for name in session_sqlite.__all__ if taking & _parameters(getattr(session_sqlite, name))}
    kinds = {door.split(".")[0].removesuffix(":") for door in doors}
    made = {f"AsyncSessionService.{name}" for name in MAKE_A_SESSION}  # by the blocking ones
    return sorted((wanted - doors - made) | (makers - kinds - {"SessionKey", "Event"}))


def _parameters(thing: Any) -> set[str]:
    try:
        return set(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return set()


def outcome(call: Callable[[], Any]) -> tuple[Any, ...]:
    """What a call answers: its value, or the class and words of its error."""
    try:
        return ("value", repr(call()))
    except (AssertionError, TypeError, AttributeError):  # the trial calls it wrongly
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, it has to be the same
        return (type(error).__name__, str(error))


def _rows_of_owner(service: Any) -> Any:
    dump = backends.dump(service)
    return [row for name in ("sessions", "events", "state") for row in dump[name] if SECRET in repr(row)]


def tried(service: Any, doors: Iterable[tuple[str, Call]], making: Iterable[tuple[str, Call]]) -> Counter[str]:
    """Tries each door as each stranger, and counts what they answered. Raises `AssertionError` if one is open."""
    answers: Counter[str] = Counter()
    before, of_owner = backends.dump(service), _rows_of_owner(service)
    for who, (app, user) in STRANGERS.items():
        view = service.scope(app_name=app, user_id=user)
        for name, door in doors:
            of_another = outcome(partial(door, view, ID))
            of_nobody = outcome(partial(door, view, NOBODYS))
            assert SECRET not in str(of_another), f"{name} tells {who} what is another's: {of_another}"
            same = tuple(part.replace(NOBODYS, ID) for part in of_nobody)
            assert of_another == same, f"{name} answers {who} {of_another}, and of nobody's session {same}"
            assert backends.dump(service) == before, f"{name} lets {who} change what is another's"
            answers[of_another[0]] += 1
        for name, door in making:
            answer = outcome(partial(door, view, ID))
            assert SECRET not in str(answer), f"{name} tells {who} what is another's: {answer}"
            assert _rows_of_owner(service) == of_owner, f"{name} lets {who} change what is another's"
            answers[answer[0]] += 1
            view.delete_session(ID)
        before = backends.dump(service)  # the index and the numbers of rows go on
    return answers


def _run(folder: Path, _: Length, *, kind: str) -> Tried:
    missing = uncovered()
    assert not missing, f"doors that nobody tries: {missing}"
    if kind != "file":
        try:
            backends.server(kind)
        except pytest.skip.Exception as reason:
            raise UnavailableError(str(reason)) from None
    LOOP[:] = [asyncio.new_event_loop()]
    try:
        with backends.opened(kind, folder / "tenancy.db", app_name="app", user_id="owner") as service:
            filled(service)
            doors, making = list(_reading()), list(_making())
            answers = tried(service, doors, making)
    finally:
        LOOP[0].close()
    errors = answers["SessionNotFoundError"]
    return Tried(
        f"{len(doors) + len(making)} doors, found by reflection, × {len(STRANGERS)} strangers, each with an id that is "
        f"another's: {answers.total()} calls",
        f"0 rows and 0 words of others, nothing changed; {errors} times SessionNotFoundError, "
        f"{answers.total() - errors} times what a session that does not exist answers, or one of the caller's own",
    )


TENANCY: Final = [
    Trial(f"tenancy-{kind}", f"Nobody reads or changes another's session in {place}", partial(_run, kind=kind))
    for kind, place in (
        ("file", "a file"), ("postgresql", "a PostgreSQL database"), ("mariadb", "a MariaDB database"),
    )
]  # fmt: skip
