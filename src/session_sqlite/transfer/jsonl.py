r"""The JSON Lines of an export: every session, event and state, without loss, and readable for people.

The file is UTF-8, with one JSON object on each line, whose kind is under ``type``. A field that is missing is empty.
Version 1 has these kinds:

``header``: the first line: ``format`` (``"session-sqlite"``), ``version``, ``exported_at``, ``by``, and ``copies``,
    which is ``"named"`` if the events of forks say in ``copied_from`` where they were first said.
``state``: state that sessions share, before the first session that sees it: ``app_name``, ``user_id`` (for ``user:``
    keys), and ``state``.
``session``: ``app_name user_id id agent_id title metadata created_at updated_at last_seq parent_id parent_seq``, its
    own ``state``, and ``initial_state``, the state at its creation. Its events follow.
``event``: ``session_id seq id author content created_at``, and those of ``reasoning actions state metadata agent_id
    branch invocation_id usage message_id message supersedes copied_from`` that are not empty, in the form of the
    columns of the store's file. ``message`` is an object, or a text if the object would not become exactly that text
    again. An event that cannot be decoded has ``unreadable`` and the columns of its ``row`` instead; bytes in them are
    ``{"base64": …}``.
``end``: the last line: ``sessions`` and ``events`` count those that were written. A file without it was cut off.

In ``state``, the value ``{"$remove": true}`` means that a key was removed; a value that looks so has one ``$`` more.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.errors import InvalidInputError, NewerSchemaError
from session_sqlite.messages.form import form_of
from session_sqlite.models import Event
from session_sqlite.operations.whole_sessions import Arrival, Fault, Note, SharedState, StoredRow, StoredSession

FORMAT: Final = "session-sqlite"
VERSION: Final = 1

_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_JSON_COLUMNS: Final = ("actions", "state", "metadata", "usage")
_EMPTY: Final = {
    "reasoning": "", "actions": "[]", "state": "{}", "metadata": "{}", "agent_id": "", "branch": "",
    "invocation_id": "", "usage": None, "message_id": None, "message": None, "supersedes": None,
    "copied_from": None,
}  # fmt: skip
_EVENT_FIELDS: Final = ("session_id", "seq", "id", "author", "content", "created_at", *_EMPTY)
_SHARED: Final = ("app:", "user:")
_OF_A_SESSION: Final = ("app_name", "last_seq")  # fields that a session, or the state before it, has, and an event not


# ---------------------------------------------------------------- export


class Writer:
    """A maker of the lines of one export."""

    def __init__(self, version: str) -> None:
        self._by = f"session-sqlite {version}"
        self._app: str | None = None
        self._user: tuple[str, str] | None = None

    def begin(self) -> Iterator[str]:
        """Yields the first line."""
        header = {
            "type": "header", "format": FORMAT, "version": VERSION, "exported_at": codec.now_text(), "by": self._by,
            "copies": "named",
        }  # fmt: skip
        yield _dumps(header) + "\n"

    def session(self, stored: StoredSession) -> Iterator[str]:
        """Yields the line of a session, and before it those of shared state that is new."""
        app, user, _ = stored.key
        if app != self._app:
            self._app = app
            yield from _shared_state(stored, {"app_name": app}, "app:")
        if (app, user) != self._user:
            self._user = (app, user)
            yield from _shared_state(stored, {"app_name": app, "user_id": user}, "user:")
        yield _dumps(_session_record(stored)) + "\n"

    def events(self, rows: Iterable[Any]) -> Iterator[str]:
        """Yields the lines of events."""
        return map(event_line, rows)

    def end(self, sessions: int, events: int, /) -> Iterator[str]:
        """Yields the last line."""
        yield _dumps({"type": "end", "sessions": sessions, "events": events}) + "\n"


def _shared_state(stored: StoredSession, whose: Mapping[str, str], scope: str) -> Iterator[str]:
    state = {name: value for name, value in stored.state.items() if name.startswith(scope)}
    if state:
        yield _dumps({"type": "state", **whose, "state": json.loads(codec.encode_state(state))}) + "\n"


def _session_record(stored: StoredSession) -> dict[str, Any]:
    columns = dict(stored.columns)
    record: dict[str, Any] = {"type": "session", "app_name": stored.key.app_name, "user_id": stored.key.user_id}
    record["id"] = stored.key.session_id
    for name in ("agent_id", "title"):
        record[name] = _text_of(columns[name])
    record["metadata"] = _json_or_text(columns["metadata"])
    for name in ("created_at", "updated_at"):
        record[name] = _text_of(columns[name])
    # These come from the decoded session, where a damaged value is empty.
    for name in ("last_seq", "parent_id", "parent_seq"):
        if (value := getattr(stored.session, name)) is not None:
            record[name] = value
    own = {name: value for name, value in stored.state.items() if not name.startswith(_SHARED)}
    if own:
        record["state"] = json.loads(codec.encode_state(own))
    if columns["initial_state"] != "{}":
        record["initial_state"] = json.loads(codec.encode_state(codec.decode_state_or_empty(columns["initial_state"])))
    return record


def event_line(row: Any) -> str:
    """Returns the line of an event, from its row."""
    columns = dict(zip(codec.EVENT_COLUMNS, row, strict=True))
    if not codec.decode_event(row).unreadable:
        try:
            return _dumps(_event_record(columns)) + "\n"
        except (ValueError, TypeError, RecursionError):  # another program wrote JSON that is not strict
            pass
    raw = {name: _raw(value) for name, value in columns.items() if name not in ("app_name", "user_id", "session_id")}
    head = {"type": "event", "session_id": columns["session_id"], "seq": _raw(columns["seq"]), "unreadable": True}
    return _dumps({**head, "row": raw}) + "\n"


def _event_record(columns: Mapping[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {"type": "event"}
    for name in _EVENT_FIELDS:
        value = columns[name]
        if name in _EMPTY and value == _EMPTY[name]:
            continue
        if name in _JSON_COLUMNS:
            value = json.loads(value)
            _dumps(value).encode()  # raises for half of a surrogate pair, which JSON can escape and UTF-8 cannot hold
        elif name == "message":
            value = _json_or_text(value)
        record[name] = value
    return record


def _json_or_text(column: Any) -> Any:
    """Returns the JSON object in a column, or the column's text if the object would not become exactly that text."""
    try:
        value = json.loads(column)
        if isinstance(value, dict) and _dumps(value) == column:
            return value
    except (ValueError, TypeError, RecursionError):
        pass
    return _text_of(column)


def _text_of(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _raw(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


# ---------------------------------------------------------------- import


@dataclass
class _Reading:
    """The state of reading an export, up to the current line.

    Attributes:
        records: The lines: the number, the record, and why the line is not one of the known records. The record is
            empty for a line that is not a JSON object, and None for one that may have been a session.
        waiting: Lines that were read too far, and are read again.
        ended: True after the last line of an export.
        names_copies: True if the events of forks say where they were first said.
    """

    records: Iterator[tuple[int, dict[str, Any] | None, str]]
    waiting: list[tuple[int, dict[str, Any] | None, str]] = field(default_factory=list)
    ended: bool = False
    names_copies: bool = True

    def next(self) -> tuple[int, dict[str, Any] | None, str] | None:
        return self.waiting.pop() if self.waiting else next(self.records, None)


def read(lines: Iterable[tuple[int, bytes | None]]) -> Iterator[Arrival | SharedState | Fault | Note]:
    """Yields the sessions and the shared state in the numbered lines of an export; a line that is None was too long.

    Raises:
        InvalidInputError: The lines are not an export.
        NewerSchemaError: The export was made by a newer release.
    """
    reading = _Reading(_records(lines))
    first = reading.next()
    if first is None or first[1] is None or first[1].get("format") != FORMAT:
        raise InvalidInputError("this is not an export of session-sqlite: its first line is no header")
    _check_version(first[1])
    reading.names_copies = first[1].get("copies") == "named"
    while (current := reading.next()) is not None:
        number, record, reason = current
        where = f"line {number}"
        if record is None:
            yield Fault(where, reason)
            continue
        reading.ended = reading.ended and not _is_known(record)
        match record["type"] if _is_known(record) else None:
            case "session":
                yield from _session(reading, record, where)
            case "state":
                yield from _state(record, where)
            case "header":  # a file may be several exports, one after the other
                _check_version(record)
                reading.names_copies = record.get("copies") == "named"
            case "end":
                reading.ended = True
            case "event":
                yield Fault(where, "an event whose session could not be read")
            case _:
                yield Fault(where, reason)
    if not reading.ended:
        yield Fault("the end", "the file was cut off: its last line is missing")


def _check_version(header: Mapping[str, Any]) -> None:
    version = header.get("version")
    if not isinstance(version, int) or version > VERSION:
        shown = version if isinstance(version, int) else "unknown"
        raise NewerSchemaError(
            f"the export was made by a newer release (version {shown}, this one reads up to {VERSION}): upgrade "
            "session-sqlite"
        )


def _records(lines: Iterable[tuple[int, bytes | None]]) -> Iterator[tuple[int, dict[str, Any] | None, str]]:
    for number, line in lines:
        if line is None:
            yield number, {}, "the line is too long"
        elif line.strip():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                # A line that may have been a session ends the events of the session before it.
                is_event = line.startswith(b'{"type":"event"')
                was_session = not is_event and any(f'"{name}"'.encode() in line for name in ("session", *_OF_A_SESSION))
                yield number, None if was_session else {}, "not valid JSON"
            else:
                is_object = isinstance(record, dict)
                fault = "not a kind of record that is known" if is_object else "not a JSON object"
                yield number, record if is_object else {}, fault


def _is_known(record: Mapping[str, Any]) -> bool:
    """Returns whether a record is one of an export's: other programs have records of these types, too."""
    kind: object = record.get("type")
    if kind == "header":
        return record.get("format") == FORMAT
    if kind in ("state", "end"):
        return ("state" if kind == "state" else "events") in record
    return kind in ("session", "event")


def _ends_events(record: Mapping[str, Any] | None) -> bool:
    """Returns True if the events of a session end at a line.

    A line of an unknown kind does not end them, unless it may have been a session. Neither does one that was too long.
    """
    if record is None:
        return True
    if _is_known(record):
        return bool(record["type"] != "event")
    return not record.keys().isdisjoint(_OF_A_SESSION)


def _session(reading: _Reading, record: Mapping[str, Any], where: str) -> Iterator[Arrival | Fault | Note]:
    try:
        arrival = Arrival(
            _text(record, "id"),
            _events(reading, record),
            app_name=_text(record, "app_name"),
            user_id=_text(record, "user_id"),
            agent_id=_text(record, "agent_id"),
            title=_text(record, "title"),
            metadata=record.get("metadata", {}),
            created_at=_time(record, "created_at"),
            updated_at=_time(record, "updated_at"),
            last_seq=record.get("last_seq", 0),
            parent_id=record.get("parent_id"),
            parent_seq=record.get("parent_seq"),
            initial_state=_state_of(record, "initial_state"),
            state=_state_of(record, "state"),
        )
    except (ValueError, TypeError, RecursionError) as error:
        yield Fault(where, _reason(error, "session"))
        return
    yield arrival


def _state(record: Mapping[str, Any], where: str) -> Iterator[SharedState | Fault]:
    try:
        yield SharedState(_state_of(record, "state"), _text(record, "app_name"), _text(record, "user_id"))
    except (ValueError, TypeError, RecursionError) as error:
        yield Fault(where, _reason(error, "state"))


def _events(reading: _Reading, session: Mapping[str, Any]) -> Iterator[Event | StoredRow | Fault | Note]:
    last_seq = 0
    # An unknown line was read; after it, events were read that cannot be of this session.
    foreign = lost = False
    while (current := reading.next()) is not None:
        number, record, reason = current
        if record is None or _ends_events(record):
            reading.waiting.append(current)
            return
        where = f"line {number}"
        if not _is_known(record):
            foreign = True
            yield Fault(where, reason)
            continue
        seq = record.get("seq")
        if foreign and isinstance(seq, int) and not last_seq < seq <= _last_seq_of(session):
            lost = True  # the unknown line may have been the record of another user's session with the same id
        if lost or record.get("session_id") != session.get("id"):
            yield Fault(where, "an event whose session could not be read")
            continue
        last_seq = seq if isinstance(seq, int) else last_seq
        try:
            yield _event(record if reading.names_copies else _with_origin(record, session))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            yield Fault(where, _reason(error, "event"))


def _with_origin(record: dict[str, Any], session: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the record of a fork's event with ``copied_from``, which earlier releases did not export."""
    parent, last, seq = session.get("parent_id"), session.get("parent_seq"), record.get("seq")
    is_copy = isinstance(parent, str) and isinstance(last, int) and isinstance(seq, int) and 0 < seq <= last
    return {**record, "copied_from": parent} if is_copy else record


def _last_seq_of(session: Mapping[str, Any]) -> float:
    last_seq = session.get("last_seq")
    return last_seq if isinstance(last_seq, int) else math.inf


def _event(record: Mapping[str, Any]) -> Event | StoredRow:
    if record.get("unreadable"):
        raw = record["row"]
        return StoredRow({name: _unraw(value) for name, value in raw.items()} | {"seq": record["seq"]})
    columns = {**dict.fromkeys(codec.EVENT_COLUMNS), **_EMPTY, **record}
    for name in _JSON_COLUMNS:
        if name in record:
            columns[name] = _dumps(record[name])
    if isinstance(columns["message"], dict):
        columns["message"] = _dumps(columns["message"])
    if not all(isinstance(columns[name], str) and columns[name] for name in ("id", "author", "created_at")):
        raise InvalidInputError("the event has no id, no author or no time")
    columns["content"] = columns["content"] or ""
    event = codec.decode_event([columns[name] for name in codec.EVENT_COLUMNS])
    if event.unreadable:
        raise InvalidInputError("the fields of the event are not those of an event")
    form = form_of(event.message)
    return event if form is None else form.derived(event)


def _unraw(value: Any) -> Any:
    return base64.b64decode(value["base64"], validate=True) if isinstance(value, dict) else value


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name, "")
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} is not text")
    return value


def _time(record: Mapping[str, Any], name: str) -> datetime | None:
    when = codec.decode_time(record.get(name))
    return None if when is None else codec.utc(when, name)


def _state_of(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    return codec.decode_state(_dumps(record[name])) if name in record else {}


def _reason(error: Exception, kind: str) -> str:
    return str(error) if isinstance(error, InvalidInputError) else f"its fields are not those of a {kind}"
