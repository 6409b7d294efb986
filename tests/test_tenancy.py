"""Another user's session behaves exactly as one that does not exist, for every verb, and nothing of it changes."""

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
    Session,
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


VERBS: dict[str, Callable[[Any, Any], Any]] = {
    "get_session": lambda one, s: one.get_session(s),
    "update_session": lambda one, s: one.update_session(s, title="x", agent_id="x", metadata={"a": 1}),
    "update_session of nothing": lambda one, s: one.update_session(s),
    "delete_session": lambda one, s: one.delete_session(s),
    "clear_session": lambda one, s: one.clear_session(s),
    "append_event": lambda one, s: one.append_event(s, Event("user", "x", state={"own": 1, "user:u": 1, "app:a": 2})),
    "append_event again": lambda one, s: one.append_event(s, Event("user", SECRET, id="event-1")),
    "append_event expecting": lambda one, s: one.append_event(s, Event("user"), expected_seq=3),
    "append_events": lambda one, s: one.append_events(s, [Event("user", id="event-1"), Event("user")]),
    "append_events of none": lambda one, s: one.append_events(s, []),
    "append_messages": lambda one, s: one.append_messages(s, [Event("user", message="{}", message_id="m")]),
    "find_messages": lambda one, s: one.find_messages(s, ["m"]),
    "mark_interrupted": lambda one, s: one.mark_interrupted(s, ["m"], "CancelledError"),
    "list_events": lambda one, s: one.list_events(s),
    "list_events of none": lambda one, s: one.list_events(s, limit=0),
    "list_events filtered": lambda one, s: one.list_events(s, author="user", tool="tool", newest_first=True),
    "iter_events": lambda one, s: list(one.iter_events(s)),
    "last_events": lambda one, s: one.last_events(s, 2),
    "last_events of none": lambda one, s: one.last_events(s, 0),
    "get_state": lambda one, s: one.get_state(s),
    "get_state_value": lambda one, s: one.get_state_value(s, "own"),
    "get_state_value of a user": lambda one, s: one.get_state_value(s, "user:u"),
    "update_state": lambda one, s: one.update_state(s, {"own": 1, "user:u": 1, "app:a": 2}),
    "update_state of nothing": lambda one, s: one.update_state(s, {}),
    "convert_events": lambda one, s: one.convert_events(s, lambda event: event),
    "search": lambda one, s: one.search(SECRET, session=s),
    "search without words": lambda one, s: one.search("", session=s),
    "recall": lambda one, s: one.recall(SECRET, session=s),
    "recall outside": lambda one, s: one.recall(SECRET, exclude_session=s),
    "recall without words": lambda one, s: one.recall("", session=s),
    "tool_calls": lambda one, s: one.tool_calls(session=s),
    "tool_counts": lambda one, s: one.tool_counts(session=s),
    "activity": lambda one, s: one.activity(session=s),
    "reply_times": lambda one, s: one.reply_times(session=s),
    "export": lambda one, s: _exported(one, s),
    "usage": lambda one, s: one.usage(session=s),
    "fork_session": lambda one, s: one.fork_session(s, session_id="fork"),
    "fork_session at": lambda one, s: one.fork_session(s, at="event-2", session_id="fork"),
    "rewind_session": lambda one, s: one.rewind_session(s),
    "rewind_session to": lambda one, s: one.rewind_session(s, to="event-1"),
    "summarize_session": lambda one, s: one.summarize_session(s, lambda messages: "summary", keep_last=1),
    "erase": lambda one, s: one.erase(s),
    "redact": lambda one, s: one.redact(SECRET, session=s),
    "history.messages": lambda one, s: _history(one, s).messages,
    "history.messages limited": lambda one, s: _history(one, s, limit=2).messages,
    "history.messages by tokens": lambda one, s: _history(one, s, max_tokens=10).messages,
    "history.clear": lambda one, s: _history(one, s).clear(),
}
# What makes a session if there is none makes one of the caller's own.
NOT_ABOUT_ONE_SESSION = {
    "create_session", "list_sessions", "replace_events", "search_sessions", "session_overviews", "stats", "query",
    "close", "scope", "iter_event_chunks", "prune", "backup", "check", "last_seqs", "import_",
}  # fmt: skip
STRANGERS = {"another user": ("app", "stranger"), "another app": ("other", "owner"), "both": ("other", "stranger")}


def _history(service: Any, session: Any, **window: int) -> SQLiteChatMessageHistory:
    id = session.id if isinstance(session, Session) else session
    return SQLiteChatMessageHistory(id, service=service, **window)


def _exported(service: Any, session: Any) -> str:
    target = io.StringIO()
    service.export(target, session=session)
    return target.getvalue()


def outcome(call: Callable[[], Any]) -> tuple[Any, ...]:
    """What a call answers: its value, or the class and words of its error."""
    try:
        return ("value", call())
    except Exception as error:  # noqa: BLE001  # whatever it is, it has to be the same
        return (type(error), str(error))


def renamed(answer: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part.replace("absent-id", ID) if isinstance(part, str) else part for part in answer)


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("verb", VERBS)
def test_anothers_session_is_as_one_that_does_not_exist(service: Any, verb: str, stranger: str) -> None:
    app, user = STRANGERS[stranger]
    view = service.scope(app_name=app, user_id=user)
    before = backends.dump(service)
    for make in (lambda id: id, lambda id: Session(id, app, user)):
        of_another = outcome(lambda make=make: VERBS[verb](view, make(ID)))
        of_nobody = outcome(lambda make=make: VERBS[verb](view, make("absent-id")))
        assert of_another == renamed(of_nobody)
        assert SECRET not in repr(of_another)
    assert backends.dump(service) == before


def test_every_verb_about_a_session_is_tried() -> None:
    public = {name for name in dir(SQLiteSessionService) if not name.startswith("_")}
    verbs = {name for name in public if callable(getattr(SQLiteSessionService, name))}
    assert verbs - NOT_ABOUT_ONE_SESSION - {name.split()[0] for name in VERBS} == set()


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


def test_the_asynchronous_verbs_know_whose_a_session_is(service: Any) -> None:
    before = backends.dump(service)

    async def main() -> None:
        view = AsyncSessionService(service).scope(user_id="stranger")
        for verb in (view.get_session, view.list_events, view.clear_session, view.get_state, view.update_session):
            with pytest.raises(Exception, match=f"there is no session '{ID}'"):
                await verb(ID)
        assert await view.delete_session(ID) is False

    asyncio.run(main())
    assert backends.dump(service) == before


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
