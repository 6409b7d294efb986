"""LangGraph's ``SqliteSaver`` files: of each thread the messages that its latest checkpoint holds.

A checkpoint is the whole state of a graph after a step. Its channels are msgpack in which objects are named by module
and class: here such an object is its fields and nothing else, so no type that a file names is imported, and a channel
that was pickled is reported, not read. The messages come in as the messages that they are, so that they read back
equal; what else the state has becomes the session's state. A subgraph, whose checkpoints stand under a namespace of
the thread, is a child session.

A message has no time of its own: it is that of the first checkpoint that was written after it.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from session_sqlite import extras
from session_sqlite.errors import InvalidInputError
from session_sqlite.models import Event
from session_sqlite.operations.whole_sessions import Arrival, Fault, Note
from session_sqlite.transfer.importers.databases import (
    LANGGRAPH_LATEST,
    LANGGRAPH_STEPS,
    LANGGRAPH_THREADS,
    LANGGRAPH_WAITING,
    LANGGRAPH_WRITES,
    Database,
)
from session_sqlite.transfer.importers.ids import derived_id, json_or_none, kept_id, time_of
from session_sqlite.transfer.importers.langchain_histories import events_of
from session_sqlite.transfer.importers.langchain_messages import dict_form_of
from session_sqlite.transfer.importers.states import kept_state

_MAX_DEPTH: Final = 100
# The kinds of objects in LangGraph's msgpack: each is a tuple of module, name and arguments, but the last two.
_OBJECTS: Final = range(6)
_DELTA: Final = 7


class _UnreadableError(Exception):
    """A value that is not read, and why."""


@dataclass(frozen=True)
class _Object:
    """An object of a file: the name of its class, and the fields or arguments it was made of."""

    name: str
    fields: Any


def is_langgraph(database: Database) -> bool:
    """True for a file of checkpoints."""
    return database.has("checkpoints", "thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id",
                        "type", "checkpoint", "metadata")  # fmt: skip


def read(database: Database) -> Iterator[Arrival | Fault | Note]:
    """The threads, each followed by its subgraphs."""
    said: dict[str, str] = {}  # in which session of the thread each message was said
    of_thread: Any = None
    for thread, namespace, checkpoint_id in list(database.rows(LANGGRAPH_THREADS)):
        if thread != of_thread:
            said, of_thread = {}, thread
        where = f"thread {thread!r:.140}" + (f", subgraph {namespace!r:.140}" if namespace else "")
        row = next(database.records(LANGGRAPH_LATEST, thread=thread, namespace=namespace, checkpoint=checkpoint_id))
        try:
            checkpoint = _value(row["type"], row["checkpoint"])
        except _UnreadableError as error:
            yield Fault(where, str(error))
            continue
        channels = checkpoint.get("channel_values") if isinstance(checkpoint, dict) else None
        if not isinstance(channels, dict):
            yield Fault(where, "not a checkpoint of a form that is known")
            continue
        yield from _thread(database, row, dict(channels), time_of(checkpoint.get("ts")), where, said)


def _thread(
    database: Database,
    row: Mapping[str, Any],
    channels: dict[str, Any],
    when: datetime | None,
    where: str,
    said: dict[str, str],
) -> Iterator[Arrival | Fault | Note]:
    thread, namespace = row["thread_id"], row["checkpoint_ns"]
    about = _json(row["metadata"])
    about.pop("writes", None)  # of old releases: the messages once more
    parent = kept_id(thread)
    id = kept_id(f"{thread}:{namespace}") if namespace else parent
    for name in about.get("counters_since_delta_snapshot") or ():
        if channels.get(name) is None:  # its checkpoints hold changes
            channels[name] = _replayed(database, row, name)
    lists = {name: value for name, value in channels.items() if _are_messages(value)}
    main = next((name for name in ("messages", "__root__", *lists) if name in lists), None)
    state, left_out = _state({name: value for name, value in channels.items() if name not in lists})
    for name in left_out:
        yield Note(f"{where}: the channel {name!r:.140} has no JSON value: it was not imported")
    if namespace and main is None:
        if state:
            yield Note(f"{where}: it holds no messages: it was not imported")
        return
    times = _Times(database, thread, namespace, when) if lists else None
    arrival = Arrival(
        id,
        _events(lists[main], id, where, times, said) if main else (),
        metadata={"langgraph": {"checkpoint_id": row["checkpoint_id"], **about}},
        updated_at=when,
        parent_id=parent if namespace else None,
        state=state,
    )
    yield arrival
    for name in lists:
        if name != main:
            child = kept_id(f"{id}:{name}")
            events = _events(lists[name], child, f"{where}, channel {name!r:.140}", times, said)
            yield replace(arrival, id=child, events=events, parent_id=id, state={})
    latest = {"thread": thread, "namespace": namespace, "checkpoint": row["checkpoint_id"]}
    if _has_writes(database) and (waiting := next(database.rows(LANGGRAPH_WAITING, **latest))[0]):
        yield Note(f"{where}: {waiting:,} values that wait for its next step were not imported")


def _replayed(database: Database, row: Mapping[str, Any], name: str) -> list[Any] | None:
    """The messages of a channel whose checkpoints hold only what changed; None if it holds none."""
    of_thread = {"thread": row["thread_id"], "namespace": row["checkpoint_ns"]}
    parents = dict(database.rows(LANGGRAPH_STEPS, **of_thread))
    path: list[Any] = []
    value: Any = None
    at = parents.get(row["checkpoint_id"])
    while at is not None and at not in path and value is None:
        path.append(at)
        before = next(database.records(LANGGRAPH_LATEST, **of_thread, checkpoint=at), None)
        with contextlib.suppress(_UnreadableError, TypeError, KeyError):
            value = None if before is None else _value(before["type"], before["checkpoint"])["channel_values"].get(name)
        at = parents.get(at)
    messages = {_key(one, position): one for position, one in enumerate(value if isinstance(value, list) else ())}
    written: defaultdict[Any, list[Any]] = defaultdict(list)
    if _has_writes(database):
        for write in database.records(LANGGRAPH_WRITES, **of_thread):
            if write["channel"] == name and write["checkpoint_id"] in path:
                with contextlib.suppress(_UnreadableError):
                    written[write["checkpoint_id"]].append(_value(write["type"], write["value"]))
    for change in (one for step in reversed(path) for one in written[step]):
        if isinstance(change, _Object) and change.name == "Overwrite":
            messages.clear()
            change = change.fields.get("value") if isinstance(change.fields, dict) else None
        for one in change if isinstance(change, list) else [change]:
            key = _key(one, len(messages))
            if (message := _message(one)) is None or message["type"] != "remove":
                messages[key] = one
            elif key == "__remove_all__":
                messages.clear()
            else:
                messages.pop(key, None)
    return list(messages.values()) or None


def _key(value: Any, position: int) -> object:
    message = _message(value)
    return (message and message["data"].get("id")) or position


def _events(
    messages: Sequence[Any], session_id: str, where: str, times: _Times | None, said: dict[str, str]
) -> Iterator[Event | Fault | Note]:
    """The events of a channel's messages; those that another session of the thread has too are copies of its."""
    values = [_message(one) for one in messages]
    whens = times.of_all(values) if times is not None else [None] * len(values)
    seen: Counter[str] = Counter()
    for position, (message, value, when) in enumerate(zip(messages, values, whens, strict=True), start=1):
        own = value["data"].get("id") if value else None
        id = kept_id(own) if own else derived_id(session_id, position, _plain(message))
        seen[id] += 1
        if seen[id] > 1:
            id = derived_id(id, seen[id])
        for event in events_of(value, id, f"{where}, message {position}"):
            if isinstance(event, Event):
                origin = said.setdefault(id, session_id)
                event.__dict__.update(created_at=when, copied_from="" if origin == session_id else origin)
            yield event


def _message(value: Any) -> dict[str, Any] | None:
    """A message in LangChain's dict form; None for what is no message."""
    if isinstance(value, _Object) and isinstance(value.fields, dict):
        return dict_form_of(value.name, _plain(value.fields))
    return None


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and any(_message(one) is not None for one in value)


def _state(channels: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Returns what can be state of a session, and the names of the channels that cannot."""
    return kept_state(
        {
            name: _plain(value)
            for name, value in channels.items()
            if not (value is None or name.startswith(("__", "branch:", "start:", "join:")) or _is_trigger(name, value))
        }  # those say how the graph goes on, not what it holds
    )


def _is_trigger(name: str, value: Any) -> bool:
    return bool(value == name)  # of releases before 0.3: a node's channel holds the node's name


def _plain(value: Any) -> Any:
    """A value as JSON has it: an object is its fields."""
    if isinstance(value, _Object):
        return _plain(value.fields)
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


class _Times:
    """When the messages of a thread were first in a checkpoint, from what the steps of the graph wrote."""

    def __init__(self, database: Database, thread: Any, namespace: Any, latest: datetime | None) -> None:
        self._latest = latest
        self._by_id: dict[str, datetime] = {}
        self._by_text: defaultdict[str, list[datetime]] = defaultdict(list)  # of messages that had no id yet
        if not _has_writes(database):
            return
        of_thread = {"thread": thread, "namespace": namespace}
        ends = {before: _time_in(step) for step, before in database.rows(LANGGRAPH_STEPS, **of_thread) if before}
        for row in database.records(LANGGRAPH_WRITES, **of_thread):
            when = ends.get(row["checkpoint_id"])
            if when is None:
                continue
            try:
                written = _value(row["type"], row["value"])
            except _UnreadableError:
                continue
            for one in written if isinstance(written, list) else [written]:
                if (value := _message(one)) is None:
                    continue
                if own := value["data"].get("id"):
                    self._by_id.setdefault(own, when)
                else:
                    self._by_text[_text_of(value)].append(when)

    def of_all(self, messages: Sequence[Mapping[str, Any] | None]) -> list[datetime | None]:
        """The times of messages: none is later than that of the next, as a subgraph writes what was there again."""
        whens = [self._of(message) for message in messages]
        following: datetime | None = None
        for place in range(len(whens) - 1, -1, -1):
            own = whens[place]
            following = whens[place] = following if own is None or (following and following < own) else own
        before = self._latest
        for place, when in enumerate(whens):
            before = whens[place] = when or before
        return whens

    def _of(self, message: Mapping[str, Any] | None) -> datetime | None:
        if message is None:
            return None
        if (when := self._by_id.get(message["data"].get("id") or "")) is not None:
            return when
        same = self._by_text.get(_text_of(message))
        return same.pop(0) if same else None


def _text_of(message: Mapping[str, Any]) -> str:
    data = message["data"]
    return json.dumps([message["type"], data.get("content"), data.get("tool_call_id")], sort_keys=True, default=str)


def _time_in(id: object) -> datetime | None:
    """The time in a UUID of version 6, which a checkpoint's id is: tenths of microseconds since 1582."""
    digits = str(id).replace("-", "")
    try:
        ticks = int(digits[:12], 16) << 12 | int(digits[13:16], 16)
    except ValueError:
        return None
    return time_of((ticks - 0x01B21DD213814000) / 1e7) if len(digits) == 32 and digits[12] == "6" else None


# ---------------------------------------------------------------- the stored form


def _value(kind: object, data: object) -> Any:
    """A stored value, made of nothing but JSON's types and `_Object`. Raises `_UnreadableError`."""
    if kind in (None, "", "null"):
        return None
    if not isinstance(data, (bytes, str)):
        raise _UnreadableError("not a value of a form that is known")
    if kind == "json":
        return _objects_in(json_or_none(data), 0)
    if kind != "msgpack":
        known = {"pickle": "it was pickled, and reading that would run it"}
        raise _UnreadableError(known.get(str(kind), f"it is {kind!r:.40}, which is not known (encrypted?)"))
    if not isinstance(data, bytes):
        raise _UnreadableError("not msgpack")
    return _unpacked(data, 0)


def _unpacked(data: bytes, depth: int) -> Any:
    try:
        ormsgpack = extras.load("ormsgpack", extra="langgraph-files")
    except ModuleNotFoundError as error:
        raise InvalidInputError(str(error)) from error
    if depth > _MAX_DEPTH:
        raise _UnreadableError("its values are in each other too deep")

    def hook(code: int, inner: bytes) -> Any:
        return _object(code, inner, depth + 1)

    try:
        return ormsgpack.unpackb(data, ext_hook=hook, option=ormsgpack.OPT_NON_STR_KEYS)
    except (ValueError, TypeError, RecursionError) as error:
        raise _UnreadableError("not msgpack, or damaged") from error


def _object(code: int, data: bytes, depth: int) -> Any:
    value = _unpacked(data, depth)
    if code == _DELTA:
        return value
    if code in _OBJECTS and isinstance(value, (list, tuple)) and len(value) >= 3:
        return _Object(str(value[1]), value[2])
    return _Object("", value)


def _objects_in(value: Any, depth: int) -> Any:
    """JSON of releases before msgpack, in which an object names its class and its arguments."""
    if depth > _MAX_DEPTH:
        raise _UnreadableError("its values are in each other too deep")
    if isinstance(value, list):
        return [_objects_in(one, depth + 1) for one in value]
    if not isinstance(value, dict):
        return value
    fields = {name: _objects_in(one, depth + 1) for name, one in value.items()}
    if value.get("lc") in (1, 2) and value.get("type") == "constructor" and isinstance(value.get("id"), list):
        return _Object(str(value["id"][-1]), fields.get("kwargs") or fields.get("args"))
    return fields


def _has_writes(database: Database) -> bool:
    return database.has("writes", "thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx", "channel", "type",
                        "value")  # fmt: skip


def _json(data: object) -> dict[str, Any]:
    value = json_or_none(data)
    return value if isinstance(value, dict) else {}
