"""The trial of tenancy opens each door for the owner, and fails where a door is open to others, or new."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from session_sqlite import AsyncSessionService, Session, SessionService, SQLiteSessionService
from session_sqlite.models import ANY

from . import tenancy
from .tenancy import ID, NOBODYS, TENANCY, filled, outcome, uncovered
from .trials import QUICK, Length

FILE = TENANCY[0]
# They say nothing, find nothing, or name no session.
ANSWER_THE_SAME = {
    "recall without words", "search without words", "clear", "aclear", "history_tools: list_sessions",
    "mcp: list_sessions",
}  # fmt: skip


def test_each_door_answers_the_owner_otherwise(tmp_path: Path) -> None:
    with SQLiteSessionService(tmp_path / "full.db", app_name="app", user_id="owner") as service:
        filled(service)
    tenancy.LOOP[:] = [asyncio.new_event_loop()]
    closed = []
    for name, door in tenancy._reading():
        if name == "command tail":  # it goes on until it is interrupted
            continue
        path = tmp_path / "store.db"
        shutil.copy(tmp_path / "full.db", path)
        with SQLiteSessionService(path, app_name="app", user_id="owner", durability="fast") as service:
            of_nobody = outcome(partial(door, service, NOBODYS))
            of_owner = outcome(partial(door, service, ID))
        if of_owner == tuple(part.replace(NOBODYS, ID) for part in of_nobody):
            closed.append(name)
    tenancy.LOOP[0].close()
    assert {name.split(".")[-1] for name in closed} <= ANSWER_THE_SAME


def test_it_fails_with_a_verb_that_looks_at_the_id_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last_events = SessionService.last_events

    def of_anybody(self: SessionService, session: Any, n: int) -> object:
        id = session.id if isinstance(session, Session) else session
        return last_events(self, self.get_session(id, app_name=ANY, user_id=ANY), n)

    monkeypatch.setattr(SessionService, "last_events", of_anybody)
    with pytest.raises(AssertionError, match="last_events tells another user what is another's"):
        FILE.run(tmp_path, Length(QUICK))


def test_it_fails_with_a_verb_that_changes_anothers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delete = SessionService.delete_session

    def of_anybody(self: SessionService, session: Any) -> bool:
        delete(self, Session(ID, "app", "owner"))
        return delete(self, session)

    monkeypatch.setattr(SessionService, "delete_session", of_anybody)
    with pytest.raises(AssertionError, match="delete_session lets another user change"):
        FILE.run(tmp_path, Length(QUICK))


@pytest.mark.parametrize("kind", [SessionService, AsyncSessionService])
def test_it_fails_with_a_new_verb_that_takes_a_session(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    assert uncovered() == []
    monkeypatch.setattr(kind, "star_session", lambda self, session: None, raising=False)
    assert uncovered() == [f"{kind.__name__}.star_session"]


def test_a_new_method_of_a_session_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "star", lambda self: None, raising=False)
    assert "Session.star" in dict(tenancy._reading())
