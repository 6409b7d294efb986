"""History, middleware and recorder find their session by the same rules, and say the same if a write fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage

from session_sqlite import (
    ANY,
    InvalidInputError,
    SessionHistoryMiddleware,
    SessionRecorder,
    SessionService,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    StoreClosedError,
)
from session_sqlite.langchain.sessions import SessionNames, names_in


@pytest.fixture
def service() -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(":memory:", app_name="shop", user_id="ann") as service:
        yield service


def say_to_history(service: SessionService, **names: Any) -> None:
    names.setdefault("session_id", "tea")
    SQLiteChatMessageHistory(service=service, **names).add_messages([HumanMessage("a secret")])


def say_to_agent(service: SessionService, **names: Any) -> None:
    names.setdefault("session_id", "tea")
    agent: Any = create_agent(
        FakeListChatModel(responses=["ok"]), middleware=[SessionHistoryMiddleware(service, **names)]
    )
    agent.invoke({"messages": [{"role": "user", "content": "a secret"}]})


def say_to_recorded_model(service: SessionService, **names: Any) -> None:
    names.setdefault("session_id", "tea")
    recorder = SessionRecorder(service, on_error="raise", **names)
    FakeListChatModel(responses=["ok"]).invoke("a secret", {"callbacks": [recorder]})


ADAPTERS = pytest.mark.parametrize("say", [say_to_history, say_to_agent, say_to_recorded_model])
Say = Callable[..., None]


@ADAPTERS
def test_an_adapter_writes_to_the_app_and_user_of_its_service_unless_it_is_told_another(
    say: Say, service: SQLiteSessionService
) -> None:
    say(service)
    say(service, user_id="bob")
    say(service, app_name="cafe", user_id="ann")
    found = [(one.app_name, one.user_id) for one in service.list_sessions(app_name=ANY, user_id=ANY)]
    assert sorted(found) == [("cafe", "ann"), ("shop", "ann"), ("shop", "bob")]


@ADAPTERS
@pytest.mark.parametrize("names", [{}, {"app_name": "shop"}, {"user_id": "ann"}])
def test_an_adapter_writes_to_one_app_and_one_user(
    say: Say, names: dict[str, str], service: SQLiteSessionService
) -> None:
    everyone = service.scope(app_name=ANY, user_id=ANY)
    with pytest.raises(InvalidInputError, match="belongs to one app and one user, not ANY: give app_name and user_id"):
        say(everyone, **names)
    say(everyone, app_name="shop", user_id="ann")
    assert service.get_session("tea").last_seq > 0


@ADAPTERS
@pytest.mark.parametrize("name", ["session_id", "app_name", "user_id"])
def test_an_adapter_refuses_a_malformed_name(say: Say, name: str, service: SQLiteSessionService) -> None:
    with pytest.raises(InvalidInputError, match=name):
        say(service, **{name: " x\n"})
    assert service.list_sessions(app_name=ANY, user_id=ANY) == []


@pytest.mark.parametrize(
    ("adapter", "line"),
    [
        (lambda service: say_to_history(service), "session 'tea' was not written: StoreClosedError"),
        (
            lambda service: create_agent(
                FakeListChatModel(responses=["ok"]),
                middleware=[SessionHistoryMiddleware(service, session_id="tea", mode="record", on_error="log")],
            ).invoke({"messages": [{"role": "user", "content": "a secret"}]}),
            "session 'tea' was not written: StoreClosedError",
        ),
        (
            lambda service: FakeListChatModel(responses=["ok"]).invoke(
                "a secret", {"callbacks": [SessionRecorder(service, "tea")]}
            ),
            "a run was not recorded: StoreClosedError",
        ),
    ],
    ids=["history", "middleware", "recorder"],
)
def test_a_failed_write_is_one_line_in_the_log_without_what_was_said(
    adapter: Callable[[SessionService], Any], line: str, service: SQLiteSessionService, caplog: pytest.LogCaptureFixture
) -> None:
    service.close()
    with caplog.at_level(logging.ERROR, "session_sqlite"), suppress(StoreClosedError):
        adapter(service)  # a history raises what it has logged
    assert line in caplog.text
    assert "secret" not in caplog.text
    assert "Traceback" not in caplog.text


def test_a_session_that_a_run_names_is_taken_from_the_first_place_that_says_it() -> None:
    def is_name(value: object) -> bool:
        return isinstance(value, str)

    assert names_in({}, {}, is_name=is_name) == SessionNames()
    assert names_in({"session_id": None}, {"thread_id": 7}, is_name=is_name) == SessionNames("7")
    assert names_in({"thread_id": "t"}, {"session_id": "s"}, is_name=is_name).session_id == "s"
    found = names_in({"user_id": "ann"}, {"user_id": "bob", "app_name": "shop"}, is_name=is_name)
    assert found == SessionNames(None, "shop", "ann")
    assert SessionNames(app_name="cafe").or_else(found) == SessionNames(None, "cafe", "ann")


def test_a_token_counter_that_cannot_count_is_refused_before_a_run(service: SQLiteSessionService) -> None:
    with pytest.raises(InvalidInputError, match="token_counter"):
        SessionHistoryMiddleware(service, max_tokens=10, token_counter=7)  # type: ignore[arg-type]
