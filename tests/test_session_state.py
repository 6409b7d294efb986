"""The live state of a session is a mapping like any other, and copying it is one read."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from typing import Any

import pytest

from session_sqlite import Session, SessionNotFoundError, SQLiteSessionService, StoreClosedError
from session_sqlite.session import SessionState

pytestmark = pytest.mark.every_backend

STORED = {"step": 1, "app:theme": "dark", "user:lang": "zh-CN", "none": None, "列表": [1, {"a": 2}]}


class Colour(enum.StrEnum):
    RED = "step"


ODD_KEYS = {
    "too long": "x" * 300, "empty": "", "half a surrogate pair": "\ud800", "NUL": "a\0b", "control": "\x1b[2J",
    "two scopes": "session:app:theme", "temporary": "temp:step", "only a scope": "app:", "number": 1, "None": None,
    "bytes": b"step", "list": ["step"], "dict": {}, "tuple": ("step",), "object": object(), "float": float("nan"),
    "enum": Colour.RED,
}  # fmt: skip


@pytest.fixture
def session(service: SQLiteSessionService) -> Session:
    return service.create_session(session_id="s", state=STORED)


@pytest.fixture
def reads(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that the store has run since the test began."""
    made: list[str] = []
    database = session._store()._database
    read = database.read

    def counted(sql: str, *args: Any) -> Any:
        made.append(sql)
        return read(sql, *args)

    monkeypatch.setattr(database, "read", counted)
    return made


@pytest.mark.parametrize("key", ODD_KEYS.values(), ids=ODD_KEYS)
def test_a_key_that_cannot_be_stored_is_in_no_state(session: Session, key: Any) -> None:
    state = session.state
    assert key not in state
    assert state.get(key, "default") == "default"
    assert state.pop(key, "default") == "default"
    with pytest.raises(KeyError):
        state[key]
    with pytest.raises(KeyError):
        del state[key]
    assert dict(state) == STORED


@pytest.mark.parametrize("key", ["step", *ODD_KEYS.values()], ids=["good", *ODD_KEYS])
def test_a_question_to_a_session_that_is_gone_is_an_error_whatever_the_key(session: Session, key: Any) -> None:
    session.delete()
    with pytest.raises(SessionNotFoundError):
        key in session.state  # noqa: B015
    session._store().close()
    with pytest.raises(StoreClosedError):
        key in session.state  # noqa: B015


def as_keywords(**items: Any) -> dict[str, Any]:
    return items


COPIES: dict[str, Callable[[SessionState], Any]] = {
    "dict": dict,
    "dict with more": lambda state: dict(state, more=1),
    "display": lambda state: {**state},
    "display with more": lambda state: {"more": 1, **state, "last": 2},
    "call": lambda state: as_keywords(**state),
    "update": lambda state: {}.update(state),
    "iteration": lambda state: [key for key in state],  # noqa: C416  # list() asks for the length too
    "items": lambda state: list(state.items()),
    "keys": lambda state: list(state.keys()),
    "values": lambda state: list(state.values()),
    "len": len,
    "truth": bool,
    "equal": lambda state: state == STORED,
    "unequal": lambda state: state != STORED,
    "repr": repr,
    "in": lambda state: "step" in state,
    "item": lambda state: state["step"],
    "get": lambda state: state.get("nothing"),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_is_one_read(session: Session, reads: list[str], copy: Callable[[SessionState], Any]) -> None:
    state = session.state
    for count in (1, 2, 3):
        copy(state)
        assert len(reads) == count


def test_every_copy_has_what_is_stored(session: Session) -> None:
    state = session.state
    assert dict(state) == {**state} == as_keywords(**state) == dict(state.items()) == STORED == state
    assert sorted(state) == sorted(STORED)
    assert {type(key) for key in dict(state)} == {str}


def test_a_copy_is_of_one_moment(session: Session, service: SQLiteSessionService) -> None:
    """Two keys that are always written together are never seen apart, however often they are copied."""
    session.state.update({"one": 0, "two": 0})
    done = threading.Event()

    def write() -> None:
        count = 0
        while not done.is_set():
            count += 1
            session.state.update({"one": count, "two": count})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        state = session.state
        for _ in range(300):
            for found in (dict(state), {**state}, as_keywords(**state)):
                assert found["one"] == found["two"]
    finally:
        done.set()
        writer.join()


def test_keys_that_are_asked_one_by_one_are_read_as_they_are_now(session: Session) -> None:
    state, elsewhere = session.state, session.refresh().state
    found = []
    for number, key in enumerate(state.keys()):
        elsewhere[key] = number
        found.append(state[key])
    assert found == [0, 1, 2, 3, 4]
    keys = state.keys()
    elsewhere["step"] = "new"
    assert {key: state[key] for key in keys}["step"] == "new"
    keys = state.keys()
    elsewhere["step"] = "newest"
    assert dict(zip(keys, map(state.__getitem__, keys), strict=True))["step"] == "newest"
    dict(state)
    elsewhere["step"] = "newer"
    assert state["step"] == "newer"
    for ask in (dict, lambda state: state["step"]):
        before = ask(state)
        elsewhere["step"] = repr(before)
        assert state["step"] == repr(before)
