"""Which session an imported one is: the same as one that is there, or another one of the same id."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session_sqlite import ANY, Event, SQLiteSessionService


@pytest.fixture
def service() -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(":memory:") as service:
        yield service


def sessions(service: SQLiteSessionService) -> dict[str, list[str]]:
    """What is said in each session, by its id."""
    everyone = service.scope(app_name=ANY, user_id=ANY)
    found = sorted(everyone.list_sessions(limit=None), key=lambda session: session.id)
    return {session.id: [event.content for event in session.events()] for session in found}


def export_of(*users: tuple[str, list[Event]], id: str = "1") -> str:
    text = io.StringIO()
    with SQLiteSessionService(":memory:") as source:
        for user, events in users:
            source.create_session(session_id=id, user_id=user).add_events(events)
        source.export(text, app_name=ANY, user_id=ANY)
    return text.getvalue()


def chat(*texts: str) -> str:
    messages = [{"role": "user" if number % 2 else "system", "content": text} for number, text in enumerate(texts)]
    return json.dumps({"id": 1, "messages": messages})


def test_sessions_of_two_users_stay_apart_when_one_user_gets_them(service: SQLiteSessionService) -> None:
    text = export_of(("ann", [Event("user", "from Ann")]), ("bob", [Event("user", "from Bob")]))
    dry = service.import_(io.StringIO(text), user_id="me", dry_run=True)
    report = service.import_(io.StringIO(text), user_id="me")
    assert (dry.sessions, dry.events, dry.warnings) == (report.sessions, report.events, report.warnings)
    assert (report.sessions, report.events) == (2, 2)
    first, second = sessions(service)
    assert sessions(service) == {"1": ["from Ann"], second: ["from Bob"]}
    assert second in report.warnings[0]
    assert "'1'" in report.warnings[0]
    again = service.import_(io.StringIO(text), user_id="me")
    assert (again.sessions, again.events, again.known) == (0, 0, 2)
    assert list(sessions(service)) == [first, second]


def test_two_users_sessions_may_have_events_of_the_same_ids(service: SQLiteSessionService) -> None:
    text = export_of(("ann", [Event("user", "from Ann", id="e1")]), ("bob", [Event("user", "from Bob", id="e1")]))
    assert service.import_(io.StringIO(text), user_id="me").sessions == 2
    assert sorted(sessions(service).values()) == [["from Ann"], ["from Bob"]]


@pytest.mark.parametrize(
    "other",
    [
        chat("Be brief", "And what is a dog?"),
        chat("Be brief", "And what is a dog?", "It barks", "Why?"),
        chat("Be long", "What is a dog?"),
    ],
)
def test_chats_whose_ids_are_equal_by_chance_stay_apart(service: SQLiteSessionService, other: str) -> None:
    service.import_(io.StringIO(chat("Be brief", "What is a cat?", "An animal", "Which?")))
    report = service.import_(io.StringIO(other))
    assert (report.sessions, report.extended) == (1, 0)
    assert len(sessions(service)) == 2
    before = sessions(service)
    for one in (other, chat("Be brief", "What is a cat?", "An animal", "Which?")):
        assert service.import_(io.StringIO(one)).events == 0
    assert sessions(service) == before


def test_the_other_id_is_the_same_in_every_store(service: SQLiteSessionService) -> None:
    texts = [chat("a", "one"), chat("b", "two"), chat("c", "three")]
    for text in texts:
        service.import_(io.StringIO(text))
    with SQLiteSessionService(":memory:") as other:
        for text in (*texts, *texts):
            other.import_(io.StringIO(text))
        assert sessions(other) == sessions(service)
    assert len(sessions(service)) == 3


def test_a_session_that_has_grown_is_the_same(service: SQLiteSessionService) -> None:
    service.import_(io.StringIO(chat("a", "one")))
    report = service.import_(io.StringIO(chat("a", "one", "b", "two")))
    assert (report.sessions, report.extended, report.events) == (0, 1, 2)
    assert sessions(service) == {"1": ["a", "one", "b", "two"]}


def test_an_empty_session_takes_what_comes(service: SQLiteSessionService) -> None:
    service.create_session(session_id="1")
    assert service.import_(io.StringIO(chat("a", "one"))).extended == 1
    assert list(sessions(service)) == ["1"]
    with SQLiteSessionService(":memory:") as other:
        other.create_session(session_id="1").add_event("user", "there before")
        other.import_(io.StringIO(export_of(("default", []))))
        assert sessions(other) == {"1": ["there before"]}


def test_one_event_that_is_the_same_makes_the_session_the_same(service: SQLiteSessionService) -> None:
    mine = [Event("user", "both", id="e1"), Event("user", "mine", id="e2")]
    theirs = [Event("user", "both", id="e1"), Event("user", "theirs", id="e3")]
    service.import_(io.StringIO(export_of(("default", mine))))
    service.import_(io.StringIO(export_of(("default", theirs))))
    assert sessions(service) == {"1": ["both", "mine", "theirs"]}


def test_what_was_redacted_does_not_come_again(service: SQLiteSessionService) -> None:
    text = export_of(("default", [Event("user", "the password is hunter2", id="e1")]))
    service.import_(io.StringIO(text))
    service.redact("hunter2")
    assert service.import_(io.StringIO(text)).events == 0
    assert sessions(service) == {"1": ["the password is [redacted]"]}


def test_a_long_session_is_another_one_as_a_whole(service: SQLiteSessionService) -> None:
    mine, theirs = ([Event("user", f"{name} {number}") for number in range(1300)] for name in ("mine", "theirs"))
    text = export_of(("ann", mine), ("bob", theirs))
    report = service.import_(io.StringIO(text), user_id="me")
    assert (report.sessions, report.events) == (2, 2600)
    assert sorted(map(len, sessions(service).values())) == [1300, 1300]
    assert service.import_(io.StringIO(text), user_id="me").known == 2600


def test_a_fork_follows_its_session_to_the_other_id(service: SQLiteSessionService, tmp_path: Path) -> None:
    text = io.StringIO()
    with SQLiteSessionService(":memory:") as source:
        source.create_session(session_id="1", user_id="ann").add_event("user", "from Ann")
        session = source.create_session(session_id="1", user_id="bob")
        session.add_event("user", "from Bob")
        session.fork(session_id="fork")
        source.export(text, app_name=ANY, user_id=ANY)
    service.import_(io.StringIO(text.getvalue()), user_id="me")
    mine = service.scope(user_id="me")
    parent = mine.get_session("fork").parent_id
    assert parent not in (None, "1")
    assert mine.get_session(str(parent)).events()[0].content == "from Bob"
    assert mine.list_events("fork")[0].copied_from == parent
    assert mine.stats()["events"] == 2


def as_lines(*records: Any) -> io.StringIO:
    return io.StringIO("\n".join(map(json.dumps, records)))


def test_two_chats_of_one_id_in_one_file_stay_apart(service: SQLiteSessionService) -> None:
    one, two = json.loads(chat("a", "one")), json.loads(chat("b", "two"))
    report = service.import_(as_lines(one, two, one))
    assert (report.sessions, report.events, report.known) == (2, 4, 2)
