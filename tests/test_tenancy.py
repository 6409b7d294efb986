"""Another user's session behaves exactly as one that does not exist, for every verb, and nothing of it changes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from backends import dump_of

from session_sqlite import AsyncSessionService, Event, Session, SQLiteChatMessageHistory, SQLiteSessionService, ToolCall

ID = "shared-id"
SECRET = "secret-words"  # noqa: S105  # a word to look for


@pytest.fixture
def service(path: Path) -> Iterator[SQLiteSessionService]:
    """The store of "owner" in the app "app", with one session in which everything is filled."""
    with SQLiteSessionService(path, app_name="app", user_id="owner", durability="fast") as service:
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
    "create_session", "list_sessions", "replace_events", "session_overviews", "stats", "query", "close", "scope",
    "iter_event_chunks", "prune", "backup", "check", "last_seqs", "import_",
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
    before = dump_of(service.db)
    for make in (lambda id: id, lambda id: Session(id, app, user)):
        of_another = outcome(lambda make=make: VERBS[verb](view, make(ID)))
        of_nobody = outcome(lambda make=make: VERBS[verb](view, make("absent-id")))
        assert of_another == renamed(of_nobody)
        assert SECRET not in repr(of_another)
    assert dump_of(service.db) == before


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
    before = dump_of(service.db)
    view.prune(keep_last=0)
    view.prune(older_than=datetime.max.replace(tzinfo=UTC))
    view.redact(SECRET)
    view.erase(user_id="nobody")
    assert dump_of(service.db) == before


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
    assert view.delete_session(ID) is False


def test_the_asynchronous_verbs_know_whose_a_session_is(service: Any) -> None:
    before = dump_of(service.db)

    async def main() -> None:
        view = AsyncSessionService(service).scope(user_id="stranger")
        for verb in (view.get_session, view.list_events, view.clear_session, view.get_state, view.update_session):
            with pytest.raises(Exception, match=f"there is no session '{ID}'"):
                await verb(ID)
        assert await view.delete_session(ID) is False

    asyncio.run(main())
    assert dump_of(service.db) == before
