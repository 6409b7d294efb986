"""Names are compared exactly, on every backend: `a`, `A` and `á` in each of its forms are names of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import backends
import pytest
import sqlalchemy

from session_sqlite import Event, InvalidInputError, ToolCall

NAMES = ["a", "A", "\u00e1", "a\u0301", "\uff41", "a%", "a_", "ß", "ss", "\u200da", "a\u00ad"]
KEYS = [*NAMES, "a ", " a", "a\u00a0"]


@pytest.fixture(params=["file", "postgresql", "mariadb"])
def service(request: pytest.FixtureRequest, path: Path) -> Iterator[Any]:
    with backends.opened(request.param, path, app_name="app", user_id="user") as service:
        yield service


def test_apps_users_and_sessions_with_names_alike_never_meet(service: Any) -> None:
    for scope in ("app_name", "user_id"):
        for name in NAMES:
            view = service.scope(**{scope: name})
            view.create_session(session_id="s", title=name).add_event("user", name, state={"user:k": name})
        for name in NAMES:
            view = service.scope(**{scope: name})
            assert [session.title for session in view.list_sessions()] == [name]
            assert [event.content for event in view.list_events("s")] == [name]
            assert view.get_state("s")["user:k"] == name
    for name in NAMES:
        service.create_session(session_id=name).add_event("user", name)
    for name in NAMES:
        assert [event.content for event in service.list_events(name)] == [name]
    service.delete_session("a")
    assert sorted(session.id for session in service.list_sessions(limit=None)) == sorted(NAMES[1:])


FILTERS: dict[str, tuple[Callable[[str], Event], str]] = {
    "author": (lambda name: Event(name, name), "author"),
    "agent": (lambda name: Event("user", name, agent_id=name), "agent_id"),
    "branch": (lambda name: Event("user", name, branch=name), "branch"),
    "invocation": (lambda name: Event("user", name, invocation_id=name), "invocation_id"),
    "tool": (lambda name: Event("assistant", name, actions=[ToolCall(name)]), "tool"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILTERS)
def test_a_filter_finds_the_very_name(service: Any, kind: str) -> None:
    make, field = FILTERS[kind]
    session = service.create_session()
    session.add_events([make(name) for name in NAMES])
    for name in NAMES:
        assert [event.content for event in session.events(**{field: name})] == [name]


def test_events_and_keys_with_names_alike_are_different_ones(service: Any) -> None:
    session = service.create_session(metadata={key: key for key in KEYS}, state={key: key for key in KEYS})
    session.add_events([Event("user", name, id=name) for name in NAMES])
    assert [event.id for event in session.events()] == NAMES
    for name in NAMES:
        assert session.add_event("user", name, id=name).seq == NAMES.index(name) + 1  # a retry, of this one
    for key in KEYS:
        assert session.state[key] == key
        assert session.refresh().metadata[key] == key
        assert [found.id for found in service.list_sessions(metadata={key: key})] == [session.id]
    del session.state["a"]
    assert sorted(session.state) == sorted(KEYS[1:])
    for scope in ("user:", "app:"):
        session.state.update({f"{scope}{key}": key for key in KEYS})
        assert [session.state[f"{scope}{key}"] for key in KEYS] == KEYS


@pytest.mark.parametrize("name", ["a ", " a", "a\u00a0", "a\n", "\ta"])
def test_a_name_with_a_blank_at_an_end_is_refused_everywhere(service: Any, name: str) -> None:
    refused: list[Callable[[], Any]] = [
        lambda: service.create_session(session_id=name),
        lambda: service.scope(user_id=name).create_session(),
        lambda: service.scope(app_name=name).create_session(),
    ]
    for make in refused:
        with pytest.raises(InvalidInputError):
            make()


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_every_column_of_text_of_a_server_compares_bytes(kind: str) -> None:
    engine = sqlalchemy.create_engine(backends.empty_store(kind), poolclass=sqlalchemy.NullPool)
    own = "current_schema()" if kind == "postgresql" else "database()"
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns "
            f"WHERE table_schema = {own} AND table_name IN ('sessions', 'events', 'state') "
            "AND data_type NOT IN ('bigint', 'integer')"
        ).fetchall()
    assert len(rows) > 30
    exact = "C" if kind == "postgresql" else "utf8mb4_nopad_bin"
    assert {tuple(row) for row in rows if row[2] != exact} == set()
