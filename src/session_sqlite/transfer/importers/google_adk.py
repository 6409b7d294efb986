"""Sessions of Google's Agent Development Kit: its session databases, saved sessions, and eval sets.

A database has sessions and events, in three schemas: up to 2025 an event's columns with pickled actions (which are not
read: that would run them), since then the event as JSON. An eval set is a list of cases, each a conversation with
what the agent is expected to do; a case comes in as the session that it describes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note, SharedState
from session_sqlite.transfer.importers import databases as db
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of, noted
from session_sqlite.transfer.importers.databases import Database
from session_sqlite.transfer.importers.ids import (
    MALFORMED,
    derived_id,
    json_or_none,
    json_or_text,
    kept_id,
    name_or_empty,
    time_of,
)
from session_sqlite.transfer.importers.json_files import JsonFile
from session_sqlite.transfer.importers.states import TEMPORARY, kept_state

_JSON_COLUMNS: Final = ("content", "grounding_metadata", "custom_metadata", "usage_metadata", "citation_metadata",
                        "input_transcription", "output_transcription")  # fmt: skip
_READ: Final = frozenset(
    {"id", "invocation_id", "author", "content", "actions", "timestamp", "branch", "usage_metadata", "app_name",
     "user_id", "session_id", "model_version", "state_delta"}
)  # fmt: skip
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {}, False)
_READ_OF_SESSION: Final = frozenset(
    {"id", "app_name", "user_id", "events", "state", "create_time", "update_time", "last_update_time"}
)  # fmt: skip
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")


def is_adk(database: Database) -> bool:
    """True for a session database of any of the schemas."""
    return database.has("sessions", "app_name", "user_id", "id", "state", "create_time", "update_time") and (
        database.has("events", "id", "app_name", "user_id", "session_id", "invocation_id", "timestamp", "event_data")
        or database.has("events", "id", "app_name", "user_id", "session_id", "invocation_id", "author", "content")
    )


def read_database(database: Database) -> Iterator[Arrival | SharedState | Fault | Note | LeftOut]:
    """The sessions of all apps and users, with the state that they share."""
    for table, sql in (("app_states", db.ADK_APP_STATES), ("user_states", db.ADK_USER_STATES)):
        if database.has(table, "app_name", "state"):
            for app, user, text in list(database.rows(sql)):
                scope = "user" if table == "user_states" else "app"
                values, faults = _state(text, f"the state of {scope} {user or app!r:.140}")
                yield from faults
                if values:
                    shared = {f"{scope}:{name}": value for name, value in values.items()}
                    yield SharedState(shared, name_or_empty(app), name_or_empty(user))
    for row in list(database.records(db.ADK_SESSIONS)):
        values, faults = _state(row["state"], f"the state of session {row['id']!r:.140}")
        yield from faults
        yield from _session(row, _stored(database, row), values)


def is_adk_file(file: JsonFile) -> bool:
    """True for a saved session or an eval set."""
    first = file.first()
    if not isinstance(first, dict):
        return False
    value = _snaked(first)
    return _is_saved(value) or isinstance(value.get("eval_cases"), list) or _is_old_case(value) or _is_turn(value)


def read_file(file: JsonFile) -> Iterator[Arrival | SharedState | Fault | Note | LeftOut]:
    """The saved sessions, or the cases of an eval set; the turns of the oldest test files are one case."""
    turns: list[Any] = []
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
            continue
        found = _snaked(value) if isinstance(value, dict) else {}
        try:
            if _is_turn(found):
                turns.append(value)
            elif _is_saved(found):
                state = found.get("state")
                yield from _session(found, found["events"], state if isinstance(state, dict) else {})
            elif _is_old_case(found):
                yield _old_case(found)
            else:
                for case in found["eval_cases"]:
                    yield _case(str(found.get("eval_set_id") or ""), _snaked(case))
        except MALFORMED:
            yield Fault(where, "neither a session nor an eval set of a form that is known")
    if turns:
        yield _old_case({"name": PurePath(file.name).stem, "data": turns})


def _is_saved(value: Mapping[str, Any]) -> bool:
    """True for a session with its events; the first releases named no app and no user."""
    events = value.get("events")
    if not isinstance(events, list) or "id" not in value:
        return False
    first = _snaked(events[0]) if events and isinstance(events[0], dict) else {}
    return {"app_name", "user_id"} <= value.keys() or {"invocation_id", "author", "content"} <= first.keys()


def _is_turn(value: Mapping[str, Any]) -> bool:
    return {"query", "reference"} <= value.keys() and "expected_tool_use" in value


def _is_old_case(value: Mapping[str, Any]) -> bool:
    data = value.get("data")
    return (
        isinstance(data, list) and bool(data) and isinstance(data[0], dict) and {"query", "reference"} <= data[0].keys()
    )


# ---------------------------------------------------------------- sessions


def _session(
    row: Mapping[str, Any], events: Any, values: Mapping[str, Any]
) -> Iterator[Arrival | SharedState | Fault | Note | LeftOut]:
    own = {name: value for name, value in values.items() if not name.startswith(("app:", "user:", "temp:"))}
    state, left_out = kept_state(own)
    id = kept_id(row["id"])
    for name in left_out:
        yield Note(f"session {id!r:.140}: the state {name!r:.140} was not imported")
    if any(name.startswith("temp:") for name in values):
        yield TEMPORARY
    app, user = name_or_empty(row.get("app_name")), name_or_empty(row.get("user_id"))
    if shared := {name: value for name, value in values.items() if name.startswith(("app:", "user:"))}:
        yield SharedState(shared, app, user)
    about = {key: noted(one) for key, one in row.items() if key not in _READ_OF_SESSION and one not in _NOTHING}
    yield Arrival(
        id,
        _events(events, id),
        app_name=app,
        user_id=user,
        metadata={"adk": about} if about else {},
        created_at=time_of(row.get("create_time")),
        updated_at=time_of(row.get("update_time", row.get("last_update_time"))),
        state=state,
    )


def _stored(database: Database, row: Mapping[str, Any]) -> Iterator[Any]:
    """The events of a session as JSON objects; what was pickled of one is left out."""
    key = {"app": row["app_name"], "user": row["user_id"], "id": row["id"]}
    for stored in database.records(db.ADK_EVENTS, **key):
        if "event_data" in stored:
            data = json_or_none(stored["event_data"])
            if not isinstance(data, dict):
                yield Fault(f"event {stored['id']!r:.140}", "not an event of a form that is known")
                continue
            yield {
                "timestamp": stored["timestamp"],
                **data,
                "id": stored["id"],
                "invocation_id": stored["invocation_id"],
            }
            continue
        if stored.pop("actions", None) is not None:
            yield LeftOut("actions of an event, pickled")
        waiting = json_or_text(stored.pop("long_running_tool_ids_json", None))
        read = {name: json_or_text(stored[name]) for name in _JSON_COLUMNS if stored.get(name)}
        yield {**stored, **read, **({"long_running_tool_ids": waiting} if waiting else {})}


def _events(events: Any, session_id: str) -> Iterator[Event | Fault | Note | LeftOut]:
    calls = Calls()
    for position, event in enumerate(events):
        if isinstance(event, (Fault, LeftOut)):
            yield event
            continue
        try:
            yield from _event(_snaked(event), derived_id("adk", session_id, position), calls)
        except MALFORMED:
            yield Fault(f"event {position} of {session_id!r:.140}", "not an event of a form that is known")


def _event(event: Mapping[str, Any], id: str, calls: Calls) -> Iterator[Event | Note | LeftOut]:
    content = event.get("content") or {}
    said = Said.of(content.get("parts") or None)
    for name in ("input_transcription", "output_transcription"):
        spoken = event.get(name)
        if isinstance(spoken, dict) and isinstance(spoken.get("text"), str) and not said.text:
            said.add_text(spoken["text"])
    if event.get("error_message") and not said.text:
        said.add_text(event["error_message"])
    speaker = event.get("author") or content.get("role")
    author = author_of(speaker)
    actions = event.get("actions")
    did = _snaked(actions) if isinstance(actions, dict) else {}
    delta = did.pop("state_delta", None) or {}
    about = {key: noted(one) for key, one in event.items() if key not in _READ and one not in _NOTHING}
    if did := {key: one for key, one in did.items() if one not in _NOTHING}:
        about["actions"] = noted(did)
    own = event.get("id")
    for one in said.events(
        author,
        kept_id(own) if isinstance(own, str) and own else id,
        calls,
        created_at=time_of(event.get("timestamp")),
        metadata={"adk": about} if about else {},
        usage=_usage(event) if author != "user" else None,
        agent_id=name_or_empty(speaker) if author not in ("user", "system", "tool", "assistant") else "",
        branch=name_or_empty(event.get("branch")),
        invocation_id=name_or_empty(event.get("invocation_id")),
    ):
        if isinstance(one, Event) and delta:
            one.__dict__["state"] = {key: value for key, value in delta.items() if not key.startswith("temp:")}
            if len(one.state) < len(delta):
                yield TEMPORARY
            delta = {}
        yield one


def _usage(event: Mapping[str, Any]) -> Usage | None:
    model = event.get("model_version")
    name = model if codec.is_plain_text(model) else ""
    counts = event.get("usage_metadata")
    if not isinstance(counts, dict):
        return Usage(name) if name else None
    numbers = {key: one for key, one in _snaked(counts).items() if isinstance(one, int) and not isinstance(one, bool)}
    thoughts = numbers.get("thoughts_token_count", 0)
    return Usage(
        name,
        numbers.get("prompt_token_count", 0) + numbers.get("tool_use_prompt_token_count", 0),
        numbers.get("candidates_token_count", 0) + thoughts,
        cache_read_tokens=numbers.get("cached_content_token_count", 0),
        reasoning_tokens=thoughts,
    )


# ---------------------------------------------------------------- eval sets


def _case(set_id: str, case: Mapping[str, Any]) -> Arrival:
    given = case.get("session_input")
    session = _snaked(given) if isinstance(given, dict) else {}
    name = str(case.get("eval_id") or "")
    id = kept_id(f"{set_id}:{name}" if set_id else name, case)
    state = kept_state(session.get("state") or {})[0]
    read = ("eval_id", "conversation", "session_input", "creation_timestamp")
    return Arrival(
        id,
        _turns(case.get("conversation") or (), id),
        app_name=name_or_empty(session.get("app_name")),
        user_id=name_or_empty(session.get("user_id")),
        title=name if codec.is_plain_text(name) else "",
        metadata={"adk": {key: noted(one) for key, one in case.items() if key not in read and one not in _NOTHING}},
        created_at=time_of(case.get("creation_timestamp") or None),
        initial_state=state,
        state=state,
    )


def _turns(conversation: Any, session_id: str) -> Iterator[Event | Fault | Note]:
    calls = Calls()
    if not isinstance(conversation, (list, tuple)):
        yield Fault(f"the conversation of {session_id!r:.140}", "not a list of invocations")
        return
    for position, turn in enumerate(conversation):
        try:
            yield from _turn(_snaked(turn), f"{session_id}:{position}", calls)
        except MALFORMED:
            yield Fault(f"invocation {position} of {session_id!r:.140}", "not an invocation of a form that is known")


def _turn(turn: Mapping[str, Any], name: str, calls: Calls) -> Iterator[Event | Note]:
    read = ("user_content", "intermediate_data", "final_response", "creation_timestamp", "invocation_id")
    about = {key: noted(one) for key, one in turn.items() if key not in read and one not in _NOTHING}
    between = turn.get("intermediate_data")
    data = _snaked(between) if isinstance(between, dict) else {}
    contents: list[tuple[str, Any]] = [("user", turn["user_content"]["parts"])]
    contents += [(one[0], one[1]) for one in data.get("intermediate_responses") or ()]
    used = [{"function_call": one} for one in data.get("tool_uses") or ()]
    answered = [{"function_response": one} for one in data.get("tool_responses") or ()]
    contents += [("assistant", parts) for parts in (used, answered) if parts]
    for event in data.get("invocation_events") or ():
        contents.append((event["author"], (event.get("content") or {}).get("parts") or []))
    if final := turn.get("final_response"):
        contents.append(("assistant", final.get("parts") or []))
    for number, (author, parts) in enumerate(contents):
        yield from Said.of(parts).events(
            author_of(author),
            derived_id("adk", name, number),
            calls,
            created_at=time_of(turn.get("creation_timestamp") or None),
            metadata={"adk": about} if about and number == 0 else {},
            invocation_id=name_or_empty(turn.get("invocation_id")),
        )


def _old_case(case: Mapping[str, Any]) -> Arrival:
    given = case.get("initial_session")
    session = _snaked(given) if isinstance(given, dict) else {}
    id = kept_id(case.get("name"), case)
    state = kept_state(session.get("state") or {})[0]

    def events() -> Iterator[Event | Fault | Note]:
        calls = Calls()
        for position, turn in enumerate(case["data"]):
            try:
                said = Said.of(turn["reference"])
                for one in turn.get("expected_tool_use") or ():
                    said.add_call(one.get("tool_name"), one.get("tool_input"), output=one.get("mock_tool_output"))
                rest = {key: noted(one) for key, one in turn.items()
                        if key not in ("query", "reference", "expected_tool_use") and one not in _NOTHING}  # fmt: skip
                yield from Said.of(turn["query"]).events("user", derived_id(id, position, "query"), calls)
                yield from said.events("assistant", derived_id(id, position, "reference"), calls,
                                       metadata={"adk": rest} if rest else {})  # fmt: skip
            except MALFORMED:
                yield Fault(f"turn {position} of {id!r:.140}", "not a turn of a form that is known")

    return Arrival(
        id, events(), app_name=name_or_empty(session.get("app_name")), user_id=name_or_empty(session.get("user_id")),
        initial_state=state, state=state,
    )  # fmt: skip


def _snaked(value: Mapping[str, Any]) -> dict[str, Any]:
    """The names of an object as Python has them: both ways of writing them are used."""
    return {_CAPITAL.sub(lambda letter: f"_{letter[1].lower()}", name): one for name, one in value.items()}


def _state(text: object, where: str) -> tuple[dict[str, Any], list[Fault]]:
    """The state in a column, or the fault of one that is no JSON object."""
    value = json_or_text(text)
    if isinstance(value, dict):
        return value, []
    return {}, [] if value in _NOTHING else [Fault(where, "not valid JSON")]
