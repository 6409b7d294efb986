"""Recall answers questions with what was said: the rules, on every backend, by the public interface alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from backends import BACKENDS

from session_sqlite import ANY, Event, InvalidInputError, SessionNotFoundError

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)


@pytest.fixture(params=BACKENDS)
def service(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Any]:
    with BACKENDS[request.param](tmp_path) as store:
        yield store.service


def say(service: Any, *texts: str, session: str = "s", **fields: Any) -> Any:
    """Appends the texts to a session, by the user and the assistant in turn."""
    events = [Event("assistant" if number % 2 else "user", text, **fields) for number, text in enumerate(texts)]
    session = service.create_session(session_id=session, exist_ok=True)
    service.append_events(session, events)
    return session


def texts(hits: Any) -> list[str]:
    return [hit.event.content for hit in hits]


def test_a_question_finds_what_has_any_of_its_words(service: Any) -> None:
    say(service, "My sister is called Ingrid.", "A lovely name.", "The weather is fine.", "Yes.", "Good night.")
    assert texts(service.recall("How is my sister called who lives in the north?"))[:1] == [
        "My sister is called Ingrid."
    ]


def test_a_chinese_question_finds_what_has_its_characters(service: Any) -> None:
    say(service, "我妹妹叫英格丽德。", "真好听。", "今天天气很好。", "是的。", "晚安。")
    assert texts(service.recall("我的妹妹叫什么名字？"))[:1] == ["我妹妹叫英格丽德。"]


def test_a_question_without_words_finds_nothing(service: Any) -> None:
    say(service, "What is that?")
    for question in ("", "  ", "?!", "What is that?", "这是什么？"):
        assert service.recall(question) == []


def test_recall_takes_the_filters(service: Any) -> None:
    first = say(service, "the teapot is blue", "a blue teapot", session="one", created_at=NOON)
    second = say(service, "the teapot is red", "a red teapot", session="two", created_at=NOON + timedelta(days=1))
    assert set(texts(service.recall("teapot", session=first))) == {"the teapot is blue", "a blue teapot"}
    assert set(texts(second.recall("teapot"))) == {"the teapot is red", "a red teapot"}
    assert set(texts(service.recall("teapot", exclude_session="one"))) == {"the teapot is red", "a red teapot"}
    assert set(texts(service.recall("teapot", exclude_session=second))) == {"the teapot is blue", "a blue teapot"}
    assert len(service.recall("teapot", exclude_session="no such session")) == 4
    assert set(texts(service.recall("teapot", author="user"))) == {"the teapot is blue", "the teapot is red"}
    assert set(texts(service.recall("teapot", since=NOON + timedelta(days=1)))) == set(texts(second.recall("teapot")))
    assert set(texts(service.recall("teapot", until=NOON + timedelta(days=1)))) == set(texts(first.recall("teapot")))
    assert len(service.recall("teapot", limit=3)) == 3
    assert service.recall("teapot", limit=0) == []


def test_recall_sees_one_user_of_one_app_unless_told_otherwise(service: Any) -> None:
    say(service, "the teapot is mine")
    other = service.create_session(user_id="another", session_id="s")
    other.add_event("user", "the teapot is another's")
    assert texts(service.recall("teapot")) == ["the teapot is mine"]
    assert texts(service.recall("teapot", user_id="another")) == ["the teapot is another's"]
    assert len(service.recall("teapot", user_id=ANY)) == 2
    assert len(service.recall("teapot", user_id=ANY, app_name=ANY)) == 2
    assert service.recall("teapot", app_name="another") == []
    assert texts(service.recall("teapot", user_id=ANY, exclude_session=other)) == ["the teapot is mine"]
    assert service.recall("teapot", user_id=ANY, exclude_session="s") == []


def test_the_parts_of_a_score_add_up_to_it_and_a_search_has_none(service: Any) -> None:
    say(service, "the blue teapot", "It leaks.", "the red kettle", "So it does.")
    hits = service.recall("Where is the teapot?")
    assert hits
    for hit in hits:
        assert hit.parts
        assert sum(hit.parts.values()) == pytest.approx(hit.score)
    assert [hit.parts for hit in service.search("teapot")] == [{}]


@pytest.mark.parametrize(
    "arguments",
    [
        {"question": None}, {"question": b"x"}, {"question": "\ud800"}, {"question": "x", "limit": -1},
        {"question": "x", "limit": True}, {"question": "x", "limit": 1.5}, {"question": "x", "author": 5},
        {"question": "x", "since": "today"}, {"question": "x", "until": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"question": "x", "exclude_session": 7}, {"question": "x", "exclude_session": ""},
        {"question": "x", "exclude_session": 7, "user_id": ANY}, {"question": "x", "app_name": ""},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_argument_is_an_error_of_ours(service: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        service.recall(**arguments)


def test_a_session_that_is_not_there_is_an_error(service: Any) -> None:
    with pytest.raises(SessionNotFoundError):
        service.recall("teapot", session="nowhere")
