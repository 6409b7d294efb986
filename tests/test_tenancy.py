"""Nothing of another user's is in any list or changes; `faults/tenancy.py` tries each door to a session."""

from __future__ import annotations

import asyncio
import io
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import backends
import pytest

from session_sqlite import (
    ANY,
    AsyncSessionService,
    Event,
    InvalidInputError,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    ToolCall,
)

ID = "shared-id"
SECRET = "secret-words"  # noqa: S105  # a word to look for


pytestmark = pytest.mark.every_backend


@pytest.fixture
def service(request: pytest.FixtureRequest, path: Path) -> Iterator[Any]:
    """The store of "owner" in the app "app", with one session in which everything is filled."""
    with backends.opened(getattr(request, "param", "file"), path, app_name="app", user_id="owner") as service:
        session = service.create_session(session_id=ID, title=SECRET, metadata={"k": SECRET}, state={"own": SECRET})
        session.add_event("user", SECRET, id="event-1", state={"user:u": SECRET, "app:a": 1})
        session.add_event("assistant", SECRET, actions=[ToolCall("tool", id="c1")], id="event-2")
        session.add_event("tool", SECRET, actions=[ToolCall("tool", id="c1")], id="event-3")
        service.search(SECRET)  # the index has caught up
        yield service


STRANGERS = {"another user": ("app", "stranger"), "another app": ("other", "owner"), "both": ("other", "stranger")}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_makes_a_session_makes_one_of_the_callers_own(service: Any, stranger: str) -> None:
    app, user = STRANGERS[stranger]
    view = service.scope(app_name=app, user_id=user)
    mine = service.get_session(ID)
    mine_events, own_state = service.list_events(ID), {"own": SECRET, "user:u": SECRET}
    made = view.create_session(session_id=ID, exist_ok=True)
    assert (made.app_name, made.user_id, made.title, made.metadata, made.last_seq) == (app, user, "", {}, 0)
    assert view.append_event(ID, Event("user", "other content", id="event-1"), create=True).seq == 1
    view.replace_events(ID, [Event("user", "replaced", id="event-2")])
    view.update_state(ID, {"own": "theirs", "user:u": "theirs"})
    view.rewind_session(ID)
    view.clear_session(ID)
    view.delete_session(ID)
    assert service.get_session(ID) == mine
    assert service.list_events(ID) == mine_events
    assert own_state.items() <= service.get_state(ID).items()
    assert [hit.event for hit in service.search(SECRET)] != []


@pytest.mark.parametrize("stranger", STRANGERS)
def test_nothing_of_anothers_is_in_any_list(service: Any, stranger: str) -> None:
    app, user = STRANGERS[stranger]
    view = service.scope(app_name=app, user_id=user)
    assert view.list_sessions() == []
    assert view.list_sessions(metadata={"k": SECRET}) == []
    assert view.session_overviews() == []
    assert view.search(SECRET) == []
    assert view.search_sessions(SECRET) == []
    assert view.recall(SECRET) == []
    assert view.tool_calls() == []
    assert view.usage() == []
    assert view.activity() == []
    assert view.tool_counts() == {}
    assert view.reply_times() == []
    assert view.last_seqs() == {}
    assert view.stats()["events"] == 0
    state = view.get_state(view.create_session())
    assert SECRET not in repr(state)
    assert state == ({"app:a": 1} if app == "app" else {})


@pytest.mark.parametrize("stranger", STRANGERS)
def test_pruning_redacting_and_erasing_keep_to_their_scope(service: Any, stranger: str) -> None:
    app, user = STRANGERS[stranger]
    view = service.scope(app_name=app, user_id=user)
    before = backends.dump(service)
    view.prune(keep_last=0)
    view.prune(older_than=datetime.now(UTC))
    view.redact(SECRET)
    view.erase(user_id="nobody")
    assert backends.dump(service) == before


def test_a_session_object_of_another_is_what_it_names(service: Any) -> None:
    """A `Session` carries its own app and user: who holds it has been given it."""
    view = service.scope(user_id="stranger")
    session = service.get_session(ID)
    assert [event.id for event in view.list_events(session)] == ["event-1", "event-2", "event-3"]


@pytest.mark.parametrize("kind", ["wildcard", "like", "case", "prefix"])
def test_names_are_compared_exactly(service: Any, kind: str) -> None:
    user = {"wildcard": "%", "like": "owne_", "case": "OWNER", "prefix": "owner2"}[kind]
    view = service.scope(user_id=user)
    assert view.list_sessions() == []
    assert view.search(SECRET) == []
    assert view.search_sessions(SECRET) == []
    assert view.delete_session(ID) is False


# ---------------------------------------------------------------- the owner of the file

OTHERS = "Other apps or users have 1 session"
EMPTY_LISTS: dict[str, Callable[[Any], Any]] = {
    "list_sessions": lambda one: one.list_sessions(),
    "list_sessions of an agent": lambda one: one.list_sessions(agent_id="nobody"),
    "session_overviews": lambda one: one.session_overviews(),
    "search": lambda one: one.search(SECRET),
    "search_sessions": lambda one: one.search_sessions(SECRET),
    "tool_calls": lambda one: one.tool_calls(),
    "usage": lambda one: one.usage(),
    "activity": lambda one: one.activity(),
    "reply_times": lambda one: one.reply_times(),
    "history": lambda one: SQLiteChatMessageHistory(ID, service=one),
}


@pytest.fixture
def opened_as_another(service: Any) -> Iterator[Any]:
    """The owner's store, opened with the defaults of nobody in it."""
    with backends.reopened(service) as opened:
        yield opened


@pytest.mark.parametrize("empty", EMPTY_LISTS.values(), ids=EMPTY_LISTS)
def test_an_empty_list_says_to_the_owner_of_the_file_that_others_have_sessions(
    service: Any, opened_as_another: Any, empty: Callable[[Any], Any]
) -> None:
    shown = empty(opened_as_another)._repr_html_()
    assert OTHERS in shown
    assert "service.scope(app_name=ANY, user_id=ANY)" in shown
    assert SECRET not in shown
    for view in (
        service.scope(user_id="stranger"),
        opened_as_another.scope(),
        opened_as_another.scope(app_name="default"),
        AsyncSessionService(opened_as_another).scope()._blocking,
    ):
        assert "Other apps" not in empty(view)._repr_html_()


@pytest.mark.parametrize("empty", [EMPTY_LISTS[name] for name in EMPTY_LISTS if name != "history"])
def test_a_list_that_is_not_empty_says_nothing_of_others(service: Any, empty: Callable[[Any], Any]) -> None:
    service.create_session(user_id="other", app_name="third")
    shown = empty(service)
    assert ("Other apps" in shown._repr_html_()) == (len(shown) == 0)
    across = service.scope(app_name=ANY, user_id=ANY)
    assert "Other apps" not in empty(across)._repr_html_()


def test_what_an_empty_list_says_is_asked_when_it_is_shown(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        page = service.list_sessions()
        across = service.scope(app_name=ANY, user_id=ANY).list_sessions()
        assert "Other" not in page._repr_html_()
        service.create_session(user_id="other")
        assert OTHERS in page._repr_html_()
        assert "Other" not in across._repr_html_()
        assert "Other" not in pickle.loads(pickle.dumps(page))._repr_html_()  # noqa: S301  # our own
    page._repr_html_()  # closed: it is shown without


def test_an_empty_list_of_the_asynchronous_service_says_the_same(opened_as_another: Any) -> None:
    async def main() -> str:
        return (await AsyncSessionService(opened_as_another).list_sessions())._repr_html_()

    assert OTHERS in asyncio.run(main())


def test_an_empty_export_says_to_the_owner_that_others_have_sessions(service: Any, opened_as_another: Any) -> None:
    assert OTHERS in str(opened_as_another.export(io.StringIO()))
    assert "Other" not in str(opened_as_another.scope().export(io.StringIO()))
    assert "Other" not in str(service.export(io.StringIO()))
    assert "Other" not in str(opened_as_another.export(io.StringIO(), app_name=ANY, user_id=ANY))


def owners(report: Any) -> Any:
    return next((finding for finding in report if finding.name == "owners"), None)


def test_a_check_says_how_many_sessions_others_have_and_a_view_does_not(service: Any, opened_as_another: Any) -> None:
    service.create_session(user_id="second")
    finding = owners(opened_as_another.check())
    assert finding.message == "2 sessions of 2 users in 1 apps; 2 are not of app 'default' and user 'default'"
    assert "service.scope(app_name=ANY, user_id=ANY)" in finding.advice
    assert owners(service.check()).message.endswith("; 1 are not of app 'app' and user 'owner'")
    for report in (opened_as_another.check(), service.check(repair=True)):
        assert report.ok
    for view in (service.scope(), service.scope(user_id="stranger"), service.scope(app_name=ANY, user_id=ANY)):
        assert owners(view.check()) is None
    with backends.reopened(service, app_name=ANY, user_id=ANY) as across:
        assert owners(across.check()).message == "2 sessions of 2 users in 1 apps"
        assert owners(across.check()).advice == ""


@pytest.mark.file_only
@pytest.mark.parametrize("scope", [{}, {"user_id": "stranger"}, {"app_name": "other"}, {"user_id": "owner"}])
def test_a_view_for_one_app_and_one_user_has_no_sql(service: Any, scope: dict[str, Any]) -> None:
    view = service.scope(**scope)
    for ask in (lambda: view.query("SELECT * FROM events"), lambda: view.db, lambda: view.scope().db):
        with pytest.raises(InvalidInputError, match="the service that was opened on the file"):
            ask()
    with pytest.raises(InvalidInputError, match="the service that was opened on the file"):
        asyncio.run(AsyncSessionService(service).scope(**scope).query("SELECT * FROM events"))
    assert service.query("SELECT count(*) AS n FROM events") == [{"n": 3}]
    assert service.db["events"].count == 3
    for across in (service.scope(user_id=ANY), service.scope(app_name=ANY), view.scope(app_name=ANY, user_id=ANY)):
        assert across.query("SELECT count(*) AS n FROM events") == [{"n": 3}]
        assert across.db["events"].count == 3
