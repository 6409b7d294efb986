"""Bad arguments of any kind are refused with an error of ours, before anything is written, and without chat text."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections import UserDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from backends import dump_of

from session_sqlite import (
    ANY,
    REMOVE,
    Event,
    EventTooLargeError,
    InvalidInputError,
    NotSerializableError,
    Session,
    SessionError,
    SQLiteSessionService,
    ToolCall,
    Usage,
    database_file,
)

SECRET = "secret-chat-text"  # noqa: S105  # a word to look for
NAIVE = datetime(2026, 1, 31, 12)  # noqa: DTZ001  # on purpose
LATE = datetime.max.replace(tzinfo=UTC)


class Colour(enum.Enum):
    RED = "red"


class Name(str, enum.Enum):  # noqa: UP042  # what providers define
    X = "x"


class Number(enum.IntEnum):
    ONE = 1


NOT_TEXT: list[Any] = [5, b"x", ["x"], object(), True, 1.5]
NOT_AN_ID: list[Any] = [*NOT_TEXT, "", " x", "x ", "x\n", "\tx", "\u3000x", "x" * 129, "a\nb", "a\x00b", "\x7f", "\x85",
                        "\ud800", "a\udfff"]  # fmt: skip
NOT_AN_OPTIONAL_ID = [value for value in NOT_AN_ID if value != ""]
NOT_A_NUMBER: list[Any] = [-1, True, False, 1.0, "1", 2**63, 10**30, Decimal(1), math.nan, b"1"]
NOT_A_TIME: list[Any] = [NAIVE, date(2026, 1, 31), "2026-01-31T12:00:00Z", 0, 1.5, True]
NOT_A_MAPPING: list[Any] = [[("a", 1)], "a", 5, {1, 2}, True, b"a"]
NOT_A_PLACE: list[Any] = [-1, True, 1.5, b"x", "", "garbage", "W10", "é", 2**63, [1]]
NOT_A_SCOPE = NOT_AN_ID
NOT_A_STATE: list[Any] = [*NOT_A_MAPPING, {1: 1}, {None: 1}, {b"k": 1}, {Name.X: 1}, {"\ud800": 1}, {"x" * 257: 1},
                          {"session:app:x": 1}, {"session:temp:x": 1}, {"session:session:x": 1}]  # fmt: skip
NOT_EVENTS: list[Any] = [None, 5, "user", b"user", Event("user"), {"author": "user"}, [5], [Event("user"), None],
                         [{"author": "user"}], [["user"]]]  # fmt: skip
NOT_A_SESSION: list[Any] = [*NOT_AN_ID, None, ANY, Event("user"), Session(""), Session("s", ""),
                            Session("s", "app", " "),
                            Session(5)]  # type: ignore[arg-type]  # fmt: skip

Verb = Callable[..., Any]

# verb: what to call it with, and the wrong values of each argument
ABOUT_SESSIONS: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
    "create_session": (
        {},
        {
            "agent_id": [*NOT_AN_OPTIONAL_ID, None],
            "session_id": [*NOT_AN_ID, ANY, Session("s")],
            "title": [*NOT_TEXT, None, "\ud800"],
            "metadata": [*NOT_A_MAPPING, {1: 1}, {"a": REMOVE}, {"a": b"x"}],
            "state": [*NOT_A_STATE, {"a": b"x"}, {"temp:a": b"x"}],
            "app_name": [*NOT_A_SCOPE, ANY],
            "user_id": [*NOT_A_SCOPE, ANY],
        },
    ),
    "get_session": (
        {"session_id": "s"},
        {"session_id": NOT_A_SESSION, "app_name": NOT_A_SCOPE, "user_id": NOT_A_SCOPE},
    ),
    "list_sessions": (
        {},
        {
            "agent_id": NOT_AN_OPTIONAL_ID,
            "metadata": [*NOT_A_MAPPING, {1: 1}, {"a": b"x"}, {"a": REMOVE}, {"a": math.nan}, {"\ud800": 1}],
            "updated_after": NOT_A_TIME,
            "updated_before": NOT_A_TIME,
            "limit": NOT_A_NUMBER,
            "cursor": [*NOT_TEXT, "", "garbage", "W10", "é", "\ud800"],
            "app_name": NOT_A_SCOPE,
            "user_id": NOT_A_SCOPE,
        },
    ),
    "update_session": (
        {"session": "s"},
        {
            "session": NOT_A_SESSION,
            "title": [*NOT_TEXT, "\ud800"],
            "agent_id": NOT_AN_OPTIONAL_ID,
            "metadata": [*NOT_A_MAPPING, {1: 1}, {1: REMOVE}, {Name.X: REMOVE}, {"a": b"x"}, {"a": "\ud800"},
                         {"a": {"b": REMOVE}}],
        },
    ),
    "delete_session": ({"session": "s"}, {"session": NOT_A_SESSION}),
    "clear_session": ({"session": "s"}, {"session": NOT_A_SESSION}),
    "append_event": (
        {"session": "s", "event": Event("user", SECRET)},
        {
            "session": NOT_A_SESSION,
            "event": [None, 5, "user", {"author": "user"}, [Event("user")], Session("s")],
            "expected_seq": NOT_A_NUMBER,
        },
    ),
    "append_events": (
        {"session": "s", "events": [Event("user", SECRET)]},
        {"session": NOT_A_SESSION, "events": NOT_EVENTS, "expected_seq": NOT_A_NUMBER},
    ),
    "replace_events": (
        {"session": "s", "events": [Event("user", SECRET)]},
        {"session": NOT_A_SESSION, "events": NOT_EVENTS},
    ),
    "list_events": (
        {"session": "s"},
        {
            "session": NOT_A_SESSION,
            "author": NOT_AN_ID,
            "agent_id": NOT_AN_OPTIONAL_ID,
            "branch": NOT_AN_OPTIONAL_ID,
            "invocation_id": NOT_AN_OPTIONAL_ID,
            "tool": [*NOT_TEXT, "\ud800"],
            "since": NOT_A_TIME,
            "until": NOT_A_TIME,
            "after": NOT_A_PLACE,
            "before": NOT_A_PLACE,
            "limit": NOT_A_NUMBER,
        },
    ),
    "iter_events": (
        {"session": "s"},
        {"session": NOT_A_SESSION, "author": NOT_AN_ID, "since": NOT_A_TIME, "after": NOT_A_PLACE,
         "limit": NOT_A_NUMBER},
    ),
    "last_events": ({"session": "s", "n": 1}, {"session": NOT_A_SESSION, "n": [*NOT_A_NUMBER, None]}),
    "get_state": ({"session": "s"}, {"session": NOT_A_SESSION}),
    "get_state_value": (
        {"session": "s", "key": "k"},
        {"session": NOT_A_SESSION, "key": [*NOT_TEXT, None, "\ud800", "x" * 257, "session:user:x", Name.X]},
    ),
    "update_state": (
        {"session": "s", "delta": {"k": 1}},
        {"session": NOT_A_SESSION, "delta": [*NOT_A_STATE, None, {"a": b"x"}, {"a": {"b": REMOVE}}, {"temp:a": b"x"}]},
    ),
    "scope": ({}, {"app_name": NOT_A_SCOPE, "user_id": NOT_A_SCOPE}),
    "search": (
        {"query": "x"},
        {
            "query": [*NOT_TEXT, None],
            "session": [value for value in NOT_A_SESSION if value is not None],
            "author": NOT_AN_ID,
            "fields": ["words", [], ["content", "words"], 5, [5], None],
            "since": NOT_A_TIME,
            "until": NOT_A_TIME,
            "limit": [*NOT_A_NUMBER, None],
            "cursor": [5, "", "garbage", "W10", "é"],
            "app_name": NOT_A_SCOPE,
            "user_id": NOT_A_SCOPE,
        },
    ),
    "search_sessions": (
        {"query": "x"},
        {
            "query": [*NOT_TEXT, None, "\ud800"],
            "order": ["", "oldest", "NEWEST", 5, None, True, ["newest"], b"best"],
            "agent_id": NOT_AN_OPTIONAL_ID,
            "metadata": [*NOT_A_MAPPING, {1: 1}, {"a": b"x"}, {"a": REMOVE}, {"a": math.nan}, {"\ud800": 1}],
            "updated_after": NOT_A_TIME,
            "updated_before": NOT_A_TIME,
            "limit": NOT_A_NUMBER,
            "cursor": [*NOT_TEXT, "", "garbage", "W10", "é", "\ud800"],
            "app_name": NOT_A_SCOPE,
            "user_id": NOT_A_SCOPE,
        },
    ),
}  # fmt: skip
CASES = [(verb, name) for verb, (_, wrong) in ABOUT_SESSIONS.items() for name in wrong]

FIELDS_OF_EVENTS: dict[str, list[Any]] = {
    "author": [*NOT_AN_ID, None],
    "content": [*NOT_TEXT, None, "\ud800", SECRET + "\udfff"],
    "reasoning": [*NOT_TEXT, None, "\ud800"],
    "actions": [None, 5, "x", [5], [("t", {})], {"a": 1}, ToolCall("t"), [ToolCall("t"), None], b"x",
                [ToolCall(5)], [ToolCall(None)], [ToolCall("t", None)], [ToolCall("t", [1])], [ToolCall("t", "x")],
                [ToolCall("t", id=None)], [ToolCall("t", id=5)], [ToolCall("t", error=5)], [ToolCall("t", error=b"x")],
                [ToolCall("t", {1: 1})], [ToolCall("t", output=object())], [ToolCall("\ud800")],
                [ToolCall("t", error="\ud800")]],
    "state": [*NOT_A_STATE, None, {"a": b"x"}, {"temp:a": b"x"}, {"a": [REMOVE]}],
    "metadata": [*NOT_A_MAPPING, None, {1: 1}, {"a": REMOVE}],
    "agent_id": [*NOT_AN_OPTIONAL_ID, None],
    "branch": [*NOT_AN_OPTIONAL_ID, None],
    "invocation_id": [*NOT_AN_OPTIONAL_ID, None],
    "usage": [5, {"model": "m"}, "m", Usage(5), Usage("\ud800"), Usage("m", -1), Usage("m", True), Usage("m", 1.0),
              Usage("m", 2**63), Usage("m", None)],
    "id": [*NOT_AN_OPTIONAL_ID, None],
    "created_at": NOT_A_TIME,
    "message": [5, b"x", {"type": "human"}, "\ud800"],
    "message_id": [5, b"x", "\ud800"],
    "supersedes": [-1, True, "1", None],
    "copied_from": [5, b"x", " x", "x" * 129, "a\nb"],
    "unreadable": [True],
}  # fmt: skip


@pytest.fixture
def service(path: Path) -> Iterator[SQLiteSessionService]:
    """A store with one session in it."""
    with SQLiteSessionService(path, app_name="app", user_id="user", durability="fast") as service:
        session = service.create_session(session_id="s", title=SECRET, metadata={"m": SECRET}, state={"k": SECRET})
        session.add_event("user", SECRET, id="e")
        service.search(SECRET)
        yield service


def refusal(call: Callable[[], Any]) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        call()
    message = str(caught.value)
    assert message
    assert SECRET not in message
    assert SECRET not in repr(caught.value.__cause__)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, SessionError)
    return caught.value


@pytest.mark.parametrize(("verb", "name"), CASES, ids=[f"{verb} {name}" for verb, name in CASES])
def test_a_wrong_argument_is_refused_and_nothing_written(service: SQLiteSessionService, verb: str, name: str) -> None:
    good, wrong = ABOUT_SESSIONS[verb]
    before = dump_of(service.db)
    for value in wrong[name]:
        refusal(lambda value=value: getattr(service, verb)(**{**good, name: value}))
    assert dump_of(service.db) == before


@pytest.mark.parametrize("name", FIELDS_OF_EVENTS)
def test_a_wrong_field_of_an_event_is_refused_and_nothing_written(service: SQLiteSessionService, name: str) -> None:
    before = dump_of(service.db)
    good = Event("assistant", SECRET, state={"k": 1})
    session = service.get_session("s")
    methods = {field.name for field in dataclasses.fields(Event)} - {
        "message",
        "message_id",
        "supersedes",
        "copied_from",
        "unreadable",
    }
    for value in FIELDS_OF_EVENTS[name]:
        event = replace(good, **{name: value})
        refusal(lambda event=event: service.append_event("s", event))
        refusal(lambda event=event: service.append_events("s", [good, event, good]))
        refusal(lambda event=event: service.append_events("new", [event], create=True))
        refusal(lambda event=event: service.replace_events("s", [event]))
        if name in methods and not (value is None and name in {"state", "metadata"}):
            wrong = {"author": "assistant", "content": SECRET, name: value}
            refusal(lambda wrong=wrong: session.add_event(**wrong))
    assert dump_of(service.db) == before


def nested(levels: int, value: Any = "x") -> Any:
    for level in range(levels):
        value = {"k": value} if level % 2 else [value]
    return value


def cycle() -> Any:
    value: dict[str, Any] = {}
    value["again"] = [value]
    return value


# name: the value, and what of its own path it adds
UNSERIALISABLE: dict[str, tuple[Any, str]] = {
    "bytes": (SECRET.encode(), ""),
    "bytearray": (bytearray(b"x"), ""),
    "tuple": ((1, SECRET), ""),
    "set": ({SECRET}, ""),
    "nan": (math.nan, ""),
    "infinity": (math.inf, ""),
    "minus infinity": (-math.inf, ""),
    "enum": (Colour.RED, ""),
    "text enum": (Name.X, ""),
    "number enum": (Number.ONE, ""),
    "number as a key": ({1: SECRET}, ""),
    "none as a key": ({None: SECRET}, ""),
    "enum as a key": ({Name.X: SECRET}, ""),
    "big number": (10**4300, ""),
    "big negative number": (-(10**4300), ""),
    "object": (object(), ""),
    "class": (dict, ""),
    "function": (print, ""),
    "decimal": (Decimal(1), ""),
    "datetime": (datetime.now(UTC), ""),
    "complex": (1j, ""),
    "mapping that is no dict": (MappingProxyType({"a": 1}), ""),
    "user dict": (UserDict(a=1), ""),
    "ellipsis": (..., ""),
    "half a surrogate pair": ("\ud800", ""),
    "half a pair in a key": ({"\udfff": 1}, ""),
    "half a pair inside": ({"z": ["ok", SECRET + "\ud800"]}, "['z'][1]"),
    "deeper": ({"z": [1, (2,)]}, "['z'][1]"),
}
PLACES: dict[str, tuple[Callable[[SQLiteSessionService, Any], Any], str]] = {
    "event metadata": (
        lambda s, v: s.append_event("s", Event("user", SECRET, metadata={"a": [0, v]})),
        "metadata['a'][1]",
    ),
    "event state": (lambda s, v: s.append_event("s", Event("user", SECRET, state={"a": [0, v]})), "state['a'][1]"),
    "temporary state": (
        lambda s, v: s.append_event("s", Event("user", SECRET, state={"temp:a": [0, v]})),
        "state['temp:a'][1]",
    ),
    "arguments": (
        lambda s, v: s.append_event("s", Event("user", SECRET, actions=[ToolCall("u"), ToolCall("t", {"a": v})])),
        "actions[1].args['a']",
    ),
    "output": (
        lambda s, v: s.append_event("s", Event("user", SECRET, actions=[ToolCall("t", output={"a": v})])),
        "actions[0].output['a']",
    ),
    "session metadata": (lambda s, v: s.create_session(metadata={"a": {"b": v}}), "metadata['a']['b']"),
    "session state": (lambda s, v: s.create_session(state={"user:a": {"b": v}}), "state['user:a']['b']"),
    "update": (lambda s, v: s.update_session("s", metadata={"ok": 1, "a": {"b": v}}), "metadata['a']['b']"),
    "update_state": (lambda s, v: s.update_state("s", {"ok": 1, "a": {"b": v}}), "state['a']['b']"),
    "filter": (lambda s, v: s.list_sessions(metadata={"a": {"b": v}}), "metadata['a']['b']"),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_json_cannot_hold_is_refused_with_its_path(service: SQLiteSessionService, place: str) -> None:
    call, path = PLACES[place]
    before = dump_of(service.db)
    for name, (value, rest) in UNSERIALISABLE.items():
        if place == "temporary state" and name.startswith("half"):
            continue  # it is never stored
        error = refusal(lambda value=value: call(service, value))
        assert isinstance(error, NotSerializableError), name
        assert str(error).startswith(f"{path}{rest} "), (name, str(error))
    for value in (cycle(), nested(101), nested(5000)):
        error = refusal(lambda value=value: call(service, value))
        assert isinstance(error, NotSerializableError)
        assert path.partition("[")[0] in str(error)
        assert len(str(error)) < 500
    assert dump_of(service.db) == before


def test_a_hundred_levels_are_fine_anywhere(service: SQLiteSessionService) -> None:
    deep = {"k": nested(99)}
    service.create_session(session_id="deep", metadata=deep, state=deep)
    event = Event("user", metadata=deep, state=deep, actions=[ToolCall("t", deep, output=deep)])
    assert service.append_event("deep", event) == service.list_events("deep")[0]
    assert service.update_session("s", metadata=deep).metadata["k"] == deep["k"]
    assert service.update_state("s", deep)["k"] == deep["k"]
    assert [session.id for session in service.list_sessions(metadata=deep)] == ["s", "deep"]
    deeper = {"k": nested(100)}
    for refused in (
        lambda: service.create_session(metadata=deeper),
        lambda: service.create_session(state=deeper),
        lambda: service.append_event("deep", Event("user", metadata=deeper)),
        lambda: service.append_event("deep", Event("user", state=deeper)),
        lambda: service.append_event("deep", Event("user", actions=[ToolCall("t", deeper)])),
        lambda: service.append_event("deep", Event("user", actions=[ToolCall("t", output=deeper)])),
        lambda: service.update_session("s", metadata=deeper),
        lambda: service.update_state("s", deeper),
    ):
        refusal(refused)


@pytest.mark.parametrize(
    "event",
    [
        Event("user", "x" * 1001),
        Event("user", "长" * 334),
        Event("user", reasoning="x" * 1001),
        Event("user", metadata={"a": "x" * 1001}),
        Event("user", state={"a": "x" * 1001}),
        Event("user", actions=[ToolCall("t", output="x" * 1001)]),
        Event("user", message="x" * 1001),
        Event("user", "x" * 500, reasoning="x" * 501),
        *(
            Event("user", **{field: value})
            for value in ("é" * 501, "码" * 334)
            for field in ("content", "reasoning", "message")
        ),
        *(Event("user", **{field: {"a": "é" * 500}}) for field in ("metadata", "state")),
        Event("user", actions=[ToolCall("t", output="é" * 500)]),
    ],
)
def test_an_event_over_the_limit_is_refused(path: Path, event: Event) -> None:
    with SQLiteSessionService(path, max_event_bytes=1000) as service:
        service.create_session(session_id="s")
        before = dump_of(service.db)
        for batch in ([event], [Event("user", "fits"), event]):
            with pytest.raises(EventTooLargeError, match="max_event_bytes") as caught:
                service.append_events("s", batch)
            assert "xx" not in str(caught.value)
        assert dump_of(service.db) == before
        service.append_event("s", Event("user", "x" * 950))
    with SQLiteSessionService(path, max_event_bytes=10_000) as service:
        service.append_event("s", event)


def test_the_limit_is_of_all_texts_of_an_event_to_the_byte(path: Path) -> None:
    empty = len("[]") + len("{}") + len("{}")  # its calls, its state, its metadata
    with SQLiteSessionService(path, max_event_bytes=1000) as service:
        service.create_session(session_id="s")
        service.append_event("s", Event("user", "x" * (1000 - empty)))
        service.append_event("s", Event("user", "x" * (990 - empty), message="m" * 10))
        for event in (Event("user", "x" * (1001 - empty)), Event("user", "x" * (990 - empty), message="m" * 11)):
            with pytest.raises(EventTooLargeError, match="1,001 bytes"):
                service.append_event("s", event)


def test_eight_mebibytes_are_the_limit_unless_told(service: SQLiteSessionService) -> None:
    service.append_event("s", Event("user", "x" * (8 * 1024 * 1024 - 100)))
    with pytest.raises(EventTooLargeError, match="8,388,608"):
        service.append_event("s", Event("user", "x" * (8 * 1024 * 1024 + 1)))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("path", [5, "", "a\0b", 1.5, ["x"], object(), b"", "\ud800.db"]),
        ("app_name", [*NOT_A_SCOPE]),
        ("user_id", [*NOT_A_SCOPE]),
        ("durability", ["FULL", "off", None, 5, ["full"], ""]),
        ("search", [1, "yes"]),
        ("max_event_bytes", [*NOT_A_NUMBER, None]),
        ("busy_timeout", [-1, True, "1", None, math.nan, math.inf]),
    ],
)
def test_a_wrong_argument_of_the_constructor_is_refused_and_no_file_made(
    tmp_path: Path, name: str, values: list[Any]
) -> None:
    for value in values:
        refusal(lambda value=value: SQLiteSessionService(**{"path": tmp_path / "new" / "x.db", name: value}))
    assert list(tmp_path.iterdir()) == []


def test_an_in_memory_store_cannot_be_read_only() -> None:
    refusal(lambda: SQLiteSessionService(":memory:", read_only=True))


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.query(5),
        lambda s: s.query("SELECT 1", "params"),
        lambda s: s.query("SELECT 1", 5),
        lambda s: s.query("SELECT 1", timeout=-1),
        lambda s: s.query("SELECT 1", timeout="1"),
        lambda s: s.fork_session("s", at=-1),
        lambda s: s.fork_session("s", at=1.5),
        lambda s: s.fork_session("s", session_id=" x"),
        lambda s: s.fork_session("s", title=5),
        lambda s: s.rewind_session("s", turns=-1),
        lambda s: s.rewind_session("s", turns=1, to=1),
        lambda s: s.rewind_session("s", to=True),
        lambda s: s.summarize_session("s", "not callable", keep_last=0),
        lambda s: s.summarize_session("s", str, keep_last=-1),
        lambda s: s.tool_calls(5),
        lambda s: s.tool_calls(status="done"),
        lambda s: s.tool_calls(status=["ok"]),
        lambda s: s.usage(by="week"),
        lambda s: s.usage(by=[["day"]]),
        lambda s: s.usage(by=5),
        lambda s: s.stats(app_name=""),
        lambda s: s.session_overviews(limit=-1),
        lambda s: s.session_overviews(cursor="x"),
    ],
)  # fmt: skip
def test_other_verbs_refuse_wrong_arguments_too(service: SQLiteSessionService, call: Verb) -> None:
    before = dump_of(service.db)
    refusal(lambda: call(service))
    assert dump_of(service.db) == before


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0b", 5, None, b"x", "\ud800"])
def test_the_name_of_the_default_file_is_a_plain_one(monkeypatch: pytest.MonkeyPatch, name: Any) -> None:
    monkeypatch.delenv("SESSION_SQLITE_PATH")
    refusal(lambda: database_file(name))


@pytest.mark.parametrize("app_name", [app for app in NOT_AN_ID if app is not None])
def test_the_app_of_the_default_file_is_an_identifier(monkeypatch: pytest.MonkeyPatch, app_name: Any) -> None:
    monkeypatch.delenv("SESSION_SQLITE_PATH")
    refusal(lambda: database_file(app_name=app_name))


@pytest.mark.parametrize("value", ["no", 1, None, [True]])
def test_a_flag_that_is_no_boolean_is_refused(service: SQLiteSessionService, path: Path, value: Any) -> None:
    session = service.create_session()
    before = dump_of(service.db)
    for call in (
        lambda: service.create_session(exist_ok=value),
        lambda: service.append_events(session, [Event("user")], create=value),
        lambda: service.list_events(session, newest_first=value),
        lambda: service.search("x", newest_first=value),
        lambda: service.prune(keep_last=1, dry_run=value),
        lambda: service.redact("x", dry_run=value),
        lambda: SQLiteSessionService(path, read_only=value),
    ):
        with pytest.raises(InvalidInputError):
            call()
    assert dump_of(service.db) == before
