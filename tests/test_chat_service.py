"""The example of a chat service, by a real HTTP client, on a file and on servers."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import backends
import httpx
import pytest

from session_sqlite import ANY, Event, SessionService, SQLAlchemySessionService, SQLiteSessionService

EXAMPLE = Path(__file__).parents[1] / "examples" / "chat_service.py"


def example() -> Any:
    spec = importlib.util.spec_from_file_location("chat_service", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


chat_service = example()


@pytest.fixture(params=["file", "postgresql", "mariadb"])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[SessionService]:
    if request.param == "file":
        made: SessionService = SQLiteSessionService(path, app_name=chat_service.APP)
    else:
        made = SQLAlchemySessionService(backends.empty_store(request.param), app_name=chat_service.APP)
    with made as service:
        yield service


@pytest.fixture
def address(store: SessionService) -> Iterator[str]:
    with chat_service.serving(chat_service.create_app(store)) as address:
        yield address


def client(address: str, token: str = "ada-token") -> httpx.Client:  # noqa: S107  # the example's
    return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def stored_by(store: SessionService, user: str, session: str) -> list[Event]:
    return store.scope(user_id=user).list_events(session)


def texts(lines: list[str]) -> str:
    found = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    return "".join(one.get("text", "") for one in found)


def new_session(user: httpx.Client, title: str = "") -> str:
    response = user.post("/sessions", json={"title": title})
    assert response.status_code == 201
    return str(response.json()["id"])


def say(user: httpx.Client, session: str, text: str) -> str:
    with user.stream("POST", f"/sessions/{session}/messages", json={"text": text}) as reply:
        assert reply.status_code == 200
        lines = list(reply.iter_lines())
    assert "event: done" in lines
    return texts(lines).rstrip()


def test_a_conversation_is_streamed_stored_and_remembered(address: str) -> None:
    with client(address) as ada:
        session = new_session(ada, "茶 Tea")
        first = say(ada, session, "我喜欢乌龙")
        assert first == "You said '我喜欢乌龙', which is message 1 that I remember."
        assert "message 2" in say(ada, session, "Why?")
        stored = ada.get(f"/sessions/{session}/messages").json()
        assert [(one["seq"], one["author"]) for one in stored] == [
            (1, "user"), (2, "assistant"), (3, "user"), (4, "assistant")
        ]  # fmt: skip
        assert stored[1]["text"] == first
        assert [one["seq"] for one in ada.get(f"/sessions/{session}/messages", params={"after": 3}).json()] == [4]
        assert [one["title"] for one in ada.get("/sessions").json()["sessions"]] == ["茶 Tea"]
        assert ada.get("/search", params={"q": "乌龙"}).json()[0]["session"] == session


def test_a_reply_arrives_while_it_is_made(address: str, store: SessionService) -> None:
    with client(address) as ada:
        session = new_session(ada)
        with ada.stream("POST", f"/sessions/{session}/messages", json={"text": "x"}) as reply:
            lines = reply.iter_lines()
            assert next(lines).startswith("data: ")
            stored = stored_by(store, "ada", session)
            assert [event.author for event in stored] == ["user"], "the reply came as a whole"
            assert "event: done" in list(lines)
        assert len(stored_by(store, "ada", session)) == 2


def test_what_there_is_of_a_reply_is_stored_when_the_client_goes_away(
    address: str, store: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(events: Any) -> Any:
        for number in range(100_000):
            await chat_service.asyncio.sleep(0.005)
            yield f"w{number} "

    monkeypatch.setattr(chat_service, "reply_to", endless)
    with client(address) as ada:
        session = new_session(ada)
        with ada.stream("POST", f"/sessions/{session}/messages", json={"text": "x"}) as reply:
            next(reply.iter_lines())
        deadline = time.monotonic() + 60
        while len(stored := stored_by(store, "ada", session)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [event.author for event in stored] == ["user", "assistant"]
        assert stored[1].interrupted == "the client went away"
        assert stored[1].content.startswith("w0")


def test_nobody_sees_or_touches_what_another_user_has(address: str, store: SessionService) -> None:
    with client(address) as ada, client(address, "bob-token") as bob:
        session = new_session(ada, "secret")
        say(ada, session, "oolong")
        before = stored_by(store, "ada", session)
        missing = "no-such-session"
        for theirs, none in (
            (bob.get(f"/sessions/{session}/messages"), bob.get(f"/sessions/{missing}/messages")),
            (bob.post(f"/sessions/{session}/messages", json={"text": "x"}),
             bob.post(f"/sessions/{missing}/messages", json={"text": "x"})),
            (bob.delete(f"/sessions/{session}"), bob.delete(f"/sessions/{missing}")),
        ):  # fmt: skip
            assert theirs.status_code == none.status_code == 404
            said = theirs.text.replace(session, missing)
            assert said == none.text, "what belongs to another is told apart from what is not there"
        assert bob.get("/search", params={"q": "oolong"}).json() == []
        assert bob.get("/sessions").json()["sessions"] == []
        assert stored_by(store, "ada", session) == before
        assert ada.delete(f"/sessions/{session}").status_code == 204
        assert store.list_sessions(app_name=ANY, user_id=ANY) == []


@pytest.mark.parametrize("token", ["nobody", "Bearer ada-token", "ada"])
def test_who_is_nobody_gets_nothing(address: str, token: str) -> None:
    with client(address, token) as nobody:
        assert nobody.get("/sessions").status_code == 401
        assert nobody.post("/sessions", json={}).status_code == 401


def test_a_wrong_request_is_an_error_of_the_client(address: str, store: SessionService) -> None:
    with client(address) as ada:
        session = new_session(ada)
        assert ada.get("/sessions/%20/messages").status_code == 422
        assert ada.get("/sessions", params={"cursor": "nonsense"}).status_code == 422
        assert ada.post(f"/sessions/{session}/messages", json={}).status_code == 422
        assert stored_by(store, "ada", session) == []


def test_many_requests_at_once_lose_and_mix_nothing(address: str, store: SessionService) -> None:
    def talk(number: int) -> tuple[str, str]:
        user = ("ada", "bob")[number % 2]
        with client(address, f"{user}-token") as one:
            session = new_session(one)
            for turn in range(3):
                say(one, session, f"{user} {number} {turn}")
            return user, session

    with ThreadPoolExecutor(8) as pool:
        talked = list(pool.map(talk, range(8)))
    for number, (user, session) in enumerate(talked):
        events = stored_by(store, user, session)
        assert [event.seq for event in events] == list(range(1, 7))
        assert [event.content for event in events[::2]] == [f"{user} {number} {turn}" for turn in range(3)]
