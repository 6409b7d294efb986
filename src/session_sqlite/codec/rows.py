"""Model <-> row: how events and sessions become the columns of their tables, and rows become values again.

A row is a dict of column values on its way in (the named parameters of `queries`) and a tuple in the order of
`EVENT_COLUMNS` or `SESSION_COLUMNS` on its way out. Text is exact, and times are fixed-width UTC text that sorts.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeGuard

from session_sqlite.codec.arguments import SessionKey, identifier, new_id, text, utc, utf8_size, whole_number
from session_sqlite.codec.json import (
    MAX_DEPTH,
    check_json,
    decode_json,
    decode_object,
    encode_json,
    encode_object,
    half_pair,
    half_pair_path,
    is_unicode,
    plain_json,
    same_json,
)
from session_sqlite.codec.state import decode_state, encode_state, split_state
from session_sqlite.errors import EventTooLargeError, InvalidInputError
from session_sqlite.models import REMOVE, Event, S, ToolCall, Usage

logger = logging.getLogger("session_sqlite")


DEFAULT_MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
NO_LIMIT: Final = 2**63
LAST_POSSIBLE_SEQ: Final = 2**63 - 1
MAX_SEQ: Final = 2**62  # the highest number of an event; columns hold twice as much, so that sums still fit
SESSION_COLUMNS: Final = (
    "id", "app_name", "user_id", "agent_id", "title", "metadata", "created_at", "updated_at", "last_seq", "parent_id",
    "parent_seq",
)  # fmt: skip
EVENT_COLUMNS: Final = (
    "id", "session_id", "author", "content", "reasoning", "actions", "metadata", "created_at", "app_name", "user_id",
    "seq", "agent_id", "branch", "invocation_id", "state", "usage", "tool_call_id", "message_id", "message",
    "supersedes", "copied_from",
)  # fmt: skip
TOOL_CALL_COLUMNS: Final = (  # as people read them: when, what, and how it went
    "created_at", "name", "status", "args", "output", "error", "app_name", "user_id", "session_id", "seq", "agent_id",
    "invocation_id", "event_id", "call_id", "result_seq", "result_at", "position",
)  # fmt: skip


def time_text(value: datetime) -> str:
    """Returns a time in UTC as ``2026-01-31T08:15:00.000000Z``: 27 characters, so that the text sorts as time does."""
    return f"{value.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


AFTER_ALL_TIMES: Final = "\U0010ffff"


def now_text() -> str:
    """Returns the current time as it is stored."""
    return time_text(datetime.now(UTC))


def decode_interrupted(metadata: object) -> str:
    """Returns `Event.interrupted` from the metadata column; empty text for a damaged column."""
    if not isinstance(metadata, str) or '"interrupted"' not in metadata:
        return ""
    try:
        reason = decode_object(metadata).get("interrupted")
    except (ValueError, TypeError, RecursionError):
        return ""
    return reason if isinstance(reason, str) else ""


def encode_actions(actions: object, *, of_message: bool) -> str:
    """Returns the column of actions. Raises `InvalidInputError`.

    Arguments that are text are allowed in the invalid calls of a message (``of_message``); in an event of the
    caller's own they are a mistake.
    """
    if actions == ():
        return "[]"
    if not isinstance(actions, Sequence) or isinstance(actions, (str, bytes)):
        raise InvalidInputError(f"actions must be a sequence of ToolCall, not {type(actions).__name__}")
    encoded: list[dict[str, Any]] = []
    for index, action in enumerate(actions):
        path = f"actions[{index}]"
        if not isinstance(action, ToolCall):
            raise InvalidInputError(f"{path} must be a ToolCall, not {type(action).__name__}")
        call: dict[str, Any] = {}
        if action.id != "":
            call["id"] = text(action.id, f"{path}.id")
        call["name"] = text(action.name, f"{path}.name")
        if isinstance(action.args, str) and of_message:
            call["args"] = text(action.args, f"{path}.args")
        elif not isinstance(action.args, Mapping):
            raise InvalidInputError(f"{path}.args must be a mapping, not {type(action.args).__name__}")
        elif action.args:
            call["args"] = args = dict(action.args)
            check_json(args, f"{path}.args", 0, MAX_DEPTH)
        if action.output is not None:
            check_json(action.output, f"{path}.output", 0, MAX_DEPTH)
            call["output"] = action.output
        if action.error is not None:
            call["error"] = text(action.error, f"{path}.error")
        encoded.append(call)
    result = plain_json(encoded)
    if not is_unicode(result):
        places = ((name, index) for index in range(len(encoded)) for name in ("args", "output"))
        paths = (half_pair_path(encoded[index].get(name), f"actions[{index}].{name}") for name, index in places)
        raise half_pair(next(filter(None, paths), "actions"))
    return result


def decode_actions(column: object) -> tuple[ToolCall, ...]:
    """Returns the tool calls in a column. Raises one of the errors by which `decode_event` knows a damaged row."""
    actions = []
    decoded = decode_json(column, MAX_DEPTH + 2)  # type: ignore[arg-type]  # what is no text raises TypeError, which the caller expects
    if type(decoded) is not list:
        raise ValueError("not a list of tool calls")
    for stored in decoded:
        call = object.__new__(ToolCall)  # as in `decode_event`
        fields = call.__dict__
        fields["name"] = name = stored["name"]
        fields["args"] = args = stored.get("args", {})
        fields["id"] = id = stored.get("id", "")
        fields["output"] = stored.get("output")
        fields["error"] = error = stored.get("error")
        if not (type(name) is type(id) is str and type(args) in (dict, str) and (error is None or type(error) is str)):
            raise ValueError("not a list of tool calls")
        actions.append(call)
    return tuple(actions)


def decode_actions_or_empty(column: object) -> tuple[ToolCall, ...]:
    """Like `decode_actions`, but reads a damaged column as empty, so that it cannot block a fork or a rewind."""
    try:
        return decode_actions(column)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ()


_USAGE_FIELDS: Final = tuple(field.name for field in dataclasses.fields(Usage))


def encode_usage(usage: object) -> str:
    """Returns the usage column. Raises `InvalidInputError` for anything but a `Usage` of counts."""
    if not isinstance(usage, Usage):
        raise InvalidInputError(f"usage must be a Usage, not {type(usage).__name__}")
    columns: dict[str, Any] = {"model": text(usage.model, "usage.model")}
    for name in _USAGE_FIELDS[1:]:
        columns[name] = count = getattr(usage, name)
        # Tested before `whole_number` tests it again: putting its argument together would cost time at each append.
        if type(count) is not int or not 0 <= count < 2**63:
            whole_number(count, f"usage.{name}")
    return plain_json({name: value for name, value in columns.items() if value})


def decode_usage(column: object) -> Usage:
    """Returns the usage in a column. Raises `ValueError` or `TypeError` for anything else."""
    usage = object.__new__(Usage)  # as in `decode_event`
    fields = usage.__dict__
    fields.update(_NO_USAGE)
    fields.update(decode_object(column))
    if list(map(type, fields.values())) != _USAGE_TYPES:  # an unknown key makes this list longer
        raise ValueError("not a usage")
    return usage


_NO_USAGE: Final = Usage().__dict__
_USAGE_TYPES: Final = list(map(type, _NO_USAGE.values()))


def encode_event(event: object, key: SessionKey, now: str, max_bytes: int) -> dict[str, Any]:
    """Returns the row of an event that is about to be appended, still without its ``seq``.

    Raises `InvalidInputError` for a field of the wrong type or form, `NotSerializableError` for a value that JSON
    cannot hold, `EventTooLargeError` for more than ``max_bytes`` of UTF-8.
    """
    if not isinstance(event, Event):
        raise InvalidInputError(f"an event must be an Event, not {type(event).__name__}")
    if event.unreadable:
        raise InvalidInputError(f"event {event.id!r} is unreadable: it cannot be appended again without loss")
    content, reasoning, message, message_id = event.content, event.reasoning, event.message, event.message_id
    if type(content) is not str:
        content = text(content, "content")
    if type(reasoning) is not str:
        reasoning = text(reasoning, "reasoning")
    if message is not None and not (type(message) is str and message.isascii()):
        message = text(message, "message")
    if message_id is not None and not (type(message_id) is str and message_id.isascii()):
        message_id = text(message_id, "message_id")
    actions = encode_actions(event.actions, of_message=message is not None)
    state = event.state
    state_text = "{}" if type(state) is dict and not state else encode_state(split_state(state))
    metadata = encode_object(event.metadata, "metadata")
    usage = None if event.usage is None else encode_usage(event.usage)
    # What is ASCII is measured here: a call for each column would take longer than what it does.
    size = (
        (len(content) if content.isascii() else utf8_size(content, "content"))
        + (len(reasoning) if reasoning.isascii() else utf8_size(reasoning, "reasoning"))
        + (len(actions) if actions.isascii() else utf8_size(actions, "actions"))
        + (len(state_text) if state_text.isascii() else utf8_size(state_text, "state"))
        + (len(metadata) if metadata.isascii() else utf8_size(metadata, "metadata"))
        + (utf8_size(message, "message") if message else 0)
    )
    if size > max_bytes:
        raise EventTooLargeError(
            f"the event is too large: {size:,} bytes of text, the store takes {max_bytes:,} (max_event_bytes)"
        )
    author = identifier(event.author, "author")
    tool_call_id = None
    if author == "tool" and event.actions:
        tool_call_id = str.__str__(event.actions[0].id)
    return {
        "id": identifier(event.id, "the event id") if event.id != "" else new_id(),
        "session_id": key.session_id,
        "author": author,
        "content": content,
        "reasoning": reasoning,
        "actions": actions,
        "metadata": metadata,
        "created_at": now if (when := _time_of(event)) is None else time_text(utc(when, "created_at")),
        "app_name": key.app_name,
        "user_id": key.user_id,
        "seq": 0,
        "agent_id": "" if event.agent_id == "" else identifier(event.agent_id, "agent_id"),
        "branch": "" if event.branch == "" else identifier(event.branch, "branch"),
        "invocation_id": "" if event.invocation_id == "" else identifier(event.invocation_id, "invocation_id"),
        "state": state_text,
        "usage": usage,
        "tool_call_id": tool_call_id,
        "message_id": message_id,
        "message": message,
        "supersedes": whole_number(event.supersedes, "supersedes") or None if event.supersedes != 0 else None,
        "copied_from": _origin(event, key),
    }


def encode_texts(event: Event) -> dict[str, Any]:
    """Returns the columns of an event that hold text, to replace those of a stored row. Raises `InvalidInputError`."""
    named = dataclasses.replace(event, id="id", author="author", agent_id="", branch="", invocation_id="", usage=None,
                                message_id=None, supersedes=0, created_at=None, session_id="",
                                copied_from="")  # fmt: skip
    columns = encode_event(named, SessionKey("", "", ""), "", NO_LIMIT)
    return {name: columns[name] for name in ("content", "reasoning", "actions", "metadata", "state", "message")}


def _origin(event: Event, key: SessionKey) -> str | None:
    """Returns the session that the event was copied from; None if it was first said in this one.

    An event that was read from another session and is appended to this one is a copy, like the events of a fork.
    """
    origin = event.copied_from if event.copied_from != "" else event.session_id
    if origin == "" or origin == key.session_id:
        return None
    return identifier(origin, "copied_from" if event.copied_from != "" else "session_id")


def decode_event(row: Sequence[Any]) -> Event:
    """Returns the event in a row; one that cannot be decoded comes back marked unreadable, with its raw text."""
    (id, session_id, author, content, reasoning, actions, metadata, created_at, _app_name, _user_id, seq, agent_id,
     branch, invocation_id, state, usage, _tool_call_id, message_id, message, supersedes,
     copied_from) = row  # fmt: skip
    # A frozen dataclass's __init__ sets each field through object.__setattr__: filling __dict__ is three times
    # faster.
    event = object.__new__(Event)
    fields = event.__dict__
    try:
        fields["author"] = author
        fields["content"] = content
        fields["reasoning"] = reasoning
        fields["actions"] = () if actions == "[]" else decode_actions(actions)
        fields["state"] = {} if state == "{}" else decode_state(state)
        fields["metadata"] = {} if metadata == "{}" else decode_object(metadata)
        fields["agent_id"] = agent_id
        fields["branch"] = branch
        fields["invocation_id"] = invocation_id
        fields["usage"] = None if usage is None else decode_usage(usage)
        fields["id"] = id
        fields["created_at"] = when = datetime.fromisoformat(created_at)
        fields["seq"] = seq
        fields["session_id"] = session_id
        fields["message"] = message
        fields["message_id"] = message_id
        fields["supersedes"] = supersedes or 0
        fields["copied_from"] = copied_from or ""
        fields["unreadable"] = False
        fields["raw"] = ""
        if not (
            type(author) is type(content) is type(reasoning) is type(id) is type(session_id) is type(agent_id)
            is type(branch) is type(invocation_id) is str
            and type(seq) is int and 0 < seq <= MAX_SEQ  # the test of `is_seq` in place: calls cost time here
            and (supersedes is None or is_seq(supersedes))
            and when.tzinfo is UTC
            and (message is None or type(message) is str)
            and (message_id is None or type(message_id) is str)
            and (copied_from is None or type(copied_from) is str)
        ):  # fmt: skip
            raise ValueError("a column holds another kind of value")
        return event
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return _unreadable_event(row)


def is_seq(value: object) -> TypeGuard[int]:
    """Returns True for a number that an event can have in its session."""
    return type(value) is int and 0 < value <= MAX_SEQ


def seq_of(row: Sequence[Any]) -> int | float:
    """Returns the place of an event's row in its session, in SQLite's order: one without a number is the last."""
    seq = row[_SEQ]
    return seq if isinstance(seq, (int, float)) else LAST_POSSIBLE_SEQ


def beyond(row: Sequence[Any], newest_first: bool) -> int | float | str | None:
    """Returns the value that the events after a row lie beyond; None if only damaged events could follow."""
    seq = row[_SEQ]
    if isinstance(seq, (int, float, str)):
        return seq
    return LAST_POSSIBLE_SEQ if newest_first else None


_SEQ: Final = EVENT_COLUMNS.index("seq")


def decode_for_message(row: Sequence[Any]) -> Event:
    """Returns an event with what messages are made of, from a row of `queries.EVENTS_FOR_MESSAGES`.

    The columns that no message shows are not read: with them a long conversation takes twice the time.
    """
    id, session_id, author, content, reasoning, actions, seq, state, usage, message_id, message, metadata = row
    event = object.__new__(Event)
    fields = event.__dict__
    fields.update(_BLANK_EVENT)
    fields["author"] = author
    fields["content"] = content
    fields["reasoning"] = reasoning
    fields["id"] = id
    fields["seq"] = seq
    fields["session_id"] = session_id
    fields["message"] = message
    fields["message_id"] = message_id
    fields["metadata"] = {}
    try:
        fields["actions"] = () if actions == "[]" else decode_actions(actions)
        fields["state"] = {} if state == "{}" else decode_state(state)
        if usage is not None:
            fields["usage"] = decode_usage(usage)
        if metadata != "{}":
            fields["metadata"] = decode_object(metadata)
        if not (is_seq(seq) and type(author) is type(content) is type(reasoning) is type(id) is str):
            raise ValueError("a column holds something else")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        fields["unreadable"] = True
    return event


_BLANK_EVENT: Final = Event("").__dict__


def _unreadable_event(row: Sequence[Any]) -> Event:
    columns = dict(zip(EVENT_COLUMNS, map(_shown, row), strict=True))
    seq = columns["seq"]
    return Event(
        str(columns["author"]),
        str(columns["content"]),
        reasoning=str(columns["reasoning"]),
        agent_id=str(columns["agent_id"]),
        branch=str(columns["branch"]),
        invocation_id=str(columns["invocation_id"]),
        id=str(columns["id"]),
        created_at=decode_time(columns["created_at"]),
        seq=seq if is_seq(seq) else 0,
        session_id=str(columns["session_id"]),
        unreadable=True,
        raw=plain_json(columns),
    )


def _shown(value: object) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return repr(value) if isinstance(value, float) else value


_VERBATIM: Final = (
    "author", "content", "reasoning", "id", "seq", "session_id", "agent_id", "branch", "invocation_id", "message",
    "message_id",
)  # fmt: skip


def stored_event(event: Event, row: Mapping[str, Any]) -> Event:
    """Returns the event as `decode_event` would read it from ``row``, which was made from ``event``."""
    stored = object.__new__(Event)
    fields = stored.__dict__
    fields.update(event.__dict__)
    for name in _VERBATIM:
        fields[name] = row[name]
    fields["created_at"] = datetime.fromisoformat(row["created_at"])
    fields["copied_from"] = row["copied_from"] or ""
    fields["raw"] = ""
    # These are decoded from the stored text, so that the result shares no lists and dicts with the caller's event.
    fields["actions"] = () if row["actions"] == "[]" else decode_actions(row["actions"])
    fields["state"] = {} if row["state"] == "{}" else decode_state(row["state"])
    fields["metadata"] = {} if row["metadata"] == "{}" else decode_object(row["metadata"])
    return stored


def same_content(stored: Event, row: Mapping[str, Any], event: Event) -> bool:
    """Returns True if appending ``event`` (encoded as ``row``) again would store what ``stored`` already is."""
    again = dataclasses.replace(
        stored_event(event, {**row, "seq": stored.seq}),
        created_at=stored.created_at if _time_of(event) is None else datetime.fromisoformat(row["created_at"]),
    )
    return again == stored and same_json(_json_of(again), _json_of(stored))


def _json_of(event: Event) -> list[Any]:
    """Returns the JSON values of an event, which ``==`` compares too loosely: to Python true is 1."""
    return [event.state, event.metadata, *([action.args, action.output] for action in event.actions)]


def encode_session(
    key: SessionKey, *, agent_id: object, title: object, metadata: object, state: Mapping[str, Any], now: str
) -> dict[str, Any]:
    """Returns the row of a new session. Raises `InvalidInputError`."""
    return {
        "id": key.session_id,
        "app_name": key.app_name,
        "user_id": key.user_id,
        "agent_id": identifier(agent_id, "agent_id", optional=True),
        "title": text(title, "title"),
        "metadata": encode_object({} if metadata is None else metadata, "metadata"),
        "created_at": now,
        "updated_at": now,
        "last_seq": 0,
        "parent_id": None,
        "parent_seq": None,
        "initial_state": encode_state(
            {name: value for name, value in state.items() if not name.startswith(("app:", "user:"))}
        ),
    }


def decode_session(row: Sequence[Any], kind: type[S]) -> S:
    """Returns the session in a row, as this kind of record. What is damaged reads as empty, with a logged warning."""
    id, app_name, user_id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id, parent_seq = row
    session = object.__new__(kind)  # as in `decode_event`
    fields = session.__dict__
    try:
        fields["id"] = id
        fields["app_name"] = app_name
        fields["user_id"] = user_id
        fields["agent_id"] = agent_id
        fields["title"] = title
        fields["metadata"] = decode_object(metadata)
        fields["created_at"] = created = datetime.fromisoformat(created_at)
        fields["updated_at"] = updated = datetime.fromisoformat(updated_at)
        fields["last_seq"] = last_seq
        fields["parent_id"] = parent_id
        fields["parent_seq"] = parent_seq
    except (ValueError, TypeError, RecursionError):
        return _damaged_session(row, kind)
    is_sound = (
        type(id) is type(app_name) is type(user_id) is type(agent_id) is type(title) is str
        and is_last_seq(last_seq)
        and (parent_id is None or type(parent_id) is str)
        and (parent_seq is None or is_last_seq(parent_seq))
    )
    return session if is_sound and created.tzinfo is updated.tzinfo is UTC else _damaged_session(row, kind)


def is_last_seq(value: object) -> TypeGuard[int]:
    """Returns True for a number that a session can be at."""
    return type(value) is int and 0 <= value < MAX_SEQ


def _damaged_session(row: Sequence[Any], kind: type[S]) -> S:
    session = object.__new__(kind)
    fields = session.__dict__
    fields.update(zip(SESSION_COLUMNS, row, strict=True))
    unreadable = unreadable_columns(row)
    for name in unreadable:
        fields[name] = str(_shown(fields[name])) if name in _NAMES else copy.copy(_UNKNOWN[name])
    if "metadata" not in unreadable:
        fields["metadata"] = decode_object(fields["metadata"])
    for name in ("created_at", "updated_at"):
        if name not in unreadable:
            fields[name] = decode_time(fields[name])
    logger.warning(
        "of session %r cannot be read, and is shown as empty or as it is: %s", fields["id"], ", ".join(unreadable)
    )
    return session


_NAMES: Final = ("id", "app_name", "user_id")
_UNKNOWN: Final[dict[str, Any]] = {
    "agent_id": "", "title": "", "metadata": {}, "created_at": None, "updated_at": None, "last_seq": 0,
    "parent_id": None, "parent_seq": None,
}  # fmt: skip


def unreadable_columns(row: Sequence[Any]) -> list[str]:
    """Returns the names of the damaged columns of a session's row."""

    def is_object(value: object) -> bool:
        try:
            decode_object(value)
        except (ValueError, TypeError, RecursionError):
            return False
        return True

    tests: tuple[Callable[[object], bool], ...] = (
        *[lambda value: type(value) is str] * 5,
        is_object,
        *[lambda value: decode_time(value) is not None] * 2,
        is_last_seq,
        lambda value: value is None or type(value) is str,
        lambda value: value is None or is_last_seq(value),
    )
    return [name for name, test, value in zip(SESSION_COLUMNS, tests, row, strict=True) if not test(value)]


def _time_of(event: Event) -> datetime | None:
    """Returns the time of an event, which one that was made by hand need not have."""
    return event.created_at


def decode_time(column: object) -> datetime | None:
    """Returns the time in a column; None if it holds none."""
    try:
        when = datetime.fromisoformat(column)  # type: ignore[arg-type]  # what is no text raises TypeError
    except (ValueError, TypeError):
        return None
    return when if when.tzinfo is UTC else None


def decode_tool_call(row: Sequence[Any]) -> dict[str, Any]:
    """Returns a row of the view ``tool_calls`` as a dict."""
    call = dict(zip(TOOL_CALL_COLUMNS, row, strict=True))
    try:
        call["args"] = decode_object(call["args"])
    except (TypeError, ValueError, RecursionError):
        if not isinstance(call["args"], str):  # the row is damaged; text would be the arguments of an invalid call
            call["args"] = {}
    call["created_at"] = decode_time(call["created_at"])
    call["result_at"] = decode_time(call["result_at"])
    return call


def merge_metadata(column: object, changes: object) -> str:
    """Returns the metadata column after an update by keys, in which `REMOVE` deletes.

    Raises `InvalidInputError` for bad changes and `ValueError` for a damaged column.
    """
    if not isinstance(changes, Mapping):
        raise InvalidInputError(f"metadata must be a mapping, not {type(changes).__name__}")
    check_json({name: None if value is REMOVE else value for name, value in changes.items()}, "metadata", 0, MAX_DEPTH)
    merged = {**decode_object(column), **changes}
    return encode_json({name: value for name, value in merged.items() if value is not REMOVE}, "metadata")
