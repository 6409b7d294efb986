"""Sessions of agno (formerly phidata): its SQLite file, of every generation, whatever its tables are called.

A session is a list of runs, each with the messages that the model got and gave. They stand in the session's row
(``runs``; in the first generation ``memory``), and since 2026 in a table of their own. A run repeats the history before
it and its system prompt: what was there already comes once. A run of a team's member or of a workflow's step is a child
session.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.messages.tokens import usage_of
from session_sqlite.models import Event, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note
from session_sqlite.transfer.importers import databases as db
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of, json_text, noted
from session_sqlite.transfer.importers.databases import Database, quoted
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, json_or_text, kept_id, name_or_empty, time_of
from session_sqlite.transfer.importers.states import kept_state

_SESSION: Final = frozenset({"session_id", "user_id", "session_data", "created_at", "updated_at"})
_RUN: Final = frozenset({"run_id", "session_id", "run_data", "run_index"})
_JSON: Final = ("session_data", "agent_data", "team_data", "workflow_data", "metadata", "summary", "extra_data")
_READ: Final = frozenset(
    {"id", "role", "content", "reasoning_content", "tool_calls", "tool_call_id", "tool_name", "tool_call_error",
     "metrics", "created_at", "from_history", "stop_after_tool_call", "images", "audio", "videos", "files",
     "add_to_agent_memory", "tool_args", "name"}
)  # fmt: skip
_READ_OF_RUN: Final = frozenset(
    {"run_id", "session_id", "user_id", "agent_id", "team_id", "workflow_id", "messages", "content", "content_type",
     "tools", "input", "model", "created_at", "session_state", "metrics", "parent_run_id", "step_executor_runs",
     "member_responses", "response", "message", "reasoning_content", "status"}
)  # fmt: skip
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {}, False)


def is_agno(database: Database) -> bool:
    """True for a file with tables of sessions."""
    return bool(_tables(database))


def read(database: Database) -> Iterator[Arrival | Fault | Note | LeftOut]:
    """The sessions of all users, each followed by those of its members."""
    runs = [table for table, columns in database.tables.items() if columns >= _RUN]
    for table in _tables(database):
        for row in list(database.records(db.AGNO_SESSIONS.format(quoted(table)))):
            stored = [
                _decoded(data)
                for one in runs
                for (data,) in database.rows(db.AGNO_RUNS.format(quoted(one)), id=row["session_id"])
            ]
            try:
                yield from _session(row, stored or _runs_of(row))
            except MALFORMED:
                yield Fault(f"session {row['session_id']!r:.140}", "not a session of a form that is known")


def _tables(database: Database) -> list[str]:
    return [
        table
        for table, columns in database.tables.items()
        if columns >= _SESSION and ("memory" in columns or "session_type" in columns)
    ]


def _decoded(value: object) -> Any:
    """A JSON column; some releases encoded it twice."""
    for _ in range(2):
        if isinstance(value, str):
            value = json_or_text(value)
    return value


def _runs_of(row: Mapping[str, Any]) -> list[Any]:
    runs = _decoded(row.get("runs"))
    if isinstance(runs, list):
        return runs
    memory = _decoded(row.get("memory"))
    if not isinstance(memory, dict):
        return [one for one in (runs, memory) if one not in _NOTHING]  # what is no run is reported as a fault
    runs = memory.get("runs")
    if isinstance(runs, dict):  # of a workflow
        runs = list(runs.values())
    if not runs and isinstance(memory.get("messages"), list):
        runs = [{"messages": memory["messages"]}]
    return [
        {**one["response"], "messages": one["response"].get("messages") or one.get("messages")}
        if isinstance(one, dict) and isinstance(one.get("response"), dict)
        else one
        for one in runs or []
    ]


def _session(row: Mapping[str, Any], runs: Sequence[Any]) -> Iterator[Arrival | Fault | Note | LeftOut]:
    id = kept_id(row["session_id"])
    about = {name: _decoded(row.get(name)) for name in _JSON}
    data = about["session_data"] if isinstance(about["session_data"], dict) else {}
    values = data.get("session_state")
    state, left_out = kept_state(values if isinstance(values, dict) else {})
    for name in left_out:
        yield Note(f"session {id!r:.140}: the state {name!r:.140} was not imported")
    if data:
        rest = {name: one for name, one in data.items() if name not in ("session_state", "session_name")}
        about["session_data"] = rest
    about |= {name: row.get(name) for name in ("session_type", "team_id", "workflow_id")}
    title = data.get("session_name")
    own: list[Any] = []
    others: list[Any] = []
    for run in runs:
        is_child = isinstance(run, dict) and run.get("parent_run_id")
        (others if is_child else own).append(run)
        if isinstance(run, dict):
            for name in ("step_executor_runs", "member_responses"):
                others += run.get(name) or ()
    arrival = Arrival(
        id,
        _events(own, id),
        user_id=name_or_empty(row["user_id"]),
        agent_id=name_or_empty(row.get("agent_id")),
        title=title if codec.is_plain_text(title) else "",
        metadata={"agno": {name: noted(one) for name, one in about.items() if one not in _NOTHING}},
        created_at=time_of(row["created_at"]),
        updated_at=time_of(row["updated_at"]),
        state=state,
    )
    yield arrival
    done: set[str] = set()
    for position, run in enumerate(others):
        own_id = run.get("run_id") if isinstance(run, dict) else None
        child = kept_id(f"{id}:{own_id or position}")
        if child not in done:
            done.add(child)
            agent = name_or_empty(run.get("agent_id")) if isinstance(run, dict) else ""
            yield Arrival(child, _events([run], child), user_id=arrival.user_id, agent_id=agent, parent_id=id)


def _events(runs: Sequence[Any], session_id: str) -> Iterator[Event | Fault | Note]:
    calls = Calls()
    told: set[str] = set()  # ids of messages, and the system prompts
    for position, run in enumerate(runs):
        try:
            yield from _run(run, derived_id("agno", session_id, position), calls, told)
        except MALFORMED:
            yield Fault(f"run {position} of {session_id!r:.140}", "not a run of a form that is known")


def _run(run: Mapping[str, Any], id: str, calls: Calls, told: set[str]) -> Iterator[Event | Fault | Note]:
    when = time_of(run.get("created_at"))
    run_id = name_or_empty(run.get("run_id"))
    about = {name: noted(one) for name, one in run.items() if name not in _READ_OF_RUN and one not in _NOTHING}
    if run.get("status") not in (None, "COMPLETED", "completed"):
        about["status"] = run["status"]
    made: list[Event | Fault | Note] = []
    for number, message in enumerate(_messages(run)):
        try:
            made += _message(message, f"{id}:{number}", calls, told, run)
        except MALFORMED:
            made.append(Fault(f"message {number} of run {run_id!r:.140}", "not a message of a form that is known"))
    events = [one for one in made if isinstance(one, Event)]
    thought = run.get("reasoning_content")
    if isinstance(thought, str) and thought and not any(_bare(thought) in _bare(event.reasoning) for event in events):
        if replies := [event for event in events if event.author == "assistant"]:
            replies[-1].__dict__["reasoning"] = "\n\n".join(filter(None, (thought, replies[-1].reasoning)))
        else:
            about["reasoning_content"] = thought
    for event in events:
        event.__dict__.update(
            invocation_id=run_id,
            created_at=event.__dict__["created_at"] or when,
            agent_id=name_or_empty(run.get("agent_id") or run.get("team_id")) if event.author == "assistant" else "",
        )
    if about and events:
        events[-1].__dict__["metadata"] = {**events[-1].metadata, "agno": about}
    yield from made


def _messages(run: Mapping[str, Any]) -> Iterator[Any]:
    """The messages of a run; where it keeps not all of them or ends otherwise, what was asked, called and answered."""
    messages = run.get("messages") or []
    given = run.get("input")
    asked = given.get("input_content") if isinstance(given, dict) else given or run.get("message")
    if asked and (not messages or (isinstance(asked, str) and not _is_in(asked, messages))):
        yield asked if isinstance(asked, dict) and "role" in asked else {"role": "user", "content": asked}
    yield from messages
    whole = [one for one in messages if isinstance(one, dict)]
    answered = {one.get("tool_call_id") for one in whole}
    called = {call.get("id") for one in whole for call in one.get("tool_calls") or () if isinstance(call, dict)}
    for tool in run.get("tools") or ():
        if isinstance(tool, dict) and (id := tool.get("tool_call_id")) not in answered:
            if id not in called:
                yield {"role": "assistant", "content": [_called(tool)]}
            elif tool.get("result") is not None:
                yield {"role": "tool", "tool_call_id": id, "tool_name": tool.get("tool_name"),
                       "content": tool["result"], "tool_call_error": tool.get("tool_call_error")}  # fmt: skip
    answer = run.get("content")
    if answer not in _NOTHING:
        text = answer if isinstance(answer, str) else json_text(answer)
        if not _is_in(text, messages):
            yield {"role": "assistant", "content": text}


def _called(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A call with its result, as a run lists it also where its messages were not kept."""
    block = {
        "type": "tool_call", "id": tool.get("tool_call_id"), "name": tool.get("tool_name"),
        "args": tool.get("tool_args"), "output": tool.get("result"),
    }  # fmt: skip
    if tool.get("tool_call_error"):
        block["error"] = tool.get("result") or "failed"
    return block


def _is_in(text: str, messages: Sequence[Any]) -> bool:
    return any(isinstance(one, dict) and _bare(text) in _bare(str(one.get("content"))) for one in messages)


def _bare(text: str) -> str:
    return "".join(text.split())


def _message(
    message: Mapping[str, Any], id: str, calls: Calls, told: set[str], run: Mapping[str, Any]
) -> Iterator[Event | Note]:
    own = message.get("id")
    author = author_of(message["role"])
    content = message.get("content")
    system = f"system:{content}" if author == "system" else ""
    if system in told or (own and own in told) or message.get("from_history"):
        return
    told.update(name for name in (system, own) if isinstance(name, str) and name)
    said = Said()
    about = {name: noted(one) for name, one in message.items() if name not in _READ and one not in _NOTHING}
    if author == "tool":
        failed = bool(message.get("tool_call_error"))
        said.add_result(message.get("tool_call_id"), content, name=message.get("tool_name"), is_error=failed)
    else:
        said.add(content if isinstance(content, (str, list, type(None))) else json_text(content))
        said.add_reasoning(message.get("reasoning_content"))
        for call in message.get("tool_calls") or ():
            said.add({"type": "function", **call})
    for name in ("images", "audio", "videos", "files"):
        some = message.get(name)
        said.attachments += [noted(one) for one in (some if isinstance(some, list) else [some] if some else [])]
    yield from said.events(
        author,
        kept_id(own) if isinstance(own, str) and own else id,
        calls,
        created_at=time_of(message.get("created_at")),
        metadata={"agno_message": about} if about else {},
        usage=_usage(message, run) if author == "assistant" else None,
    )


def _usage(message: Mapping[str, Any], run: Mapping[str, Any]) -> Usage | None:
    model = run.get("model")
    name = model if codec.is_plain_text(model) else ""
    metrics = message.get("metrics")
    if isinstance(metrics, dict):
        return usage_of(metrics, name)
    return Usage(name) if name else None
