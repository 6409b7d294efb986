"""`SessionHistoryMiddleware` adds what is recalled for a question to the requests of a run, and to nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from scripted import ScriptedModel, calls

from session_sqlite import (
    Event,
    InvalidInputError,
    SessionHistoryMiddleware,
    SessionService,
    SQLiteSessionService,
    StoreBusyError,
)

QUESTION = "What did we decide about the blue teapot?"
RECALLED = "[Recalled from the stored history"
Run = Callable[[Any, Any, Any], Any]


def run_sync(agent: Any, given: Any, config: Any) -> Any:
    return agent.invoke({"messages": given}, config)


def run_async(agent: Any, given: Any, config: Any) -> Any:
    return asyncio.run(agent.ainvoke({"messages": given}, config))


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Any:
    return request.param


@tool
def price(of: str) -> str:
    """The price of a thing."""
    return f"{of}: 30"


@pytest.fixture
def shop(service: SQLiteSessionService) -> SQLiteSessionService:
    mine = service.scope(app_name="shop", user_id="ada")
    mine.create_session(session_id="october").add_events([
        Event("user", "And the blue teapot?", created_at=datetime(2026, 10, 27, tzinfo=UTC)),
        Event("assistant", "It leaves the catalogue at Christmas.", created_at=datetime(2026, 10, 27, tzinfo=UTC)),
    ])  # fmt: skip
    theirs = service.scope(app_name="shop", user_id="bob").create_session(session_id="bobs")
    theirs.add_event("user", "SECRET blue teapot, as we did decide")
    return mine


def agent_of(service: SessionService, replies: list[Any], **more: Any) -> tuple[Any, ScriptedModel]:
    model = ScriptedModel(replies=replies)
    saver = more.pop("checkpointer", None)
    middleware = SessionHistoryMiddleware(service, **{"recall_tokens": 1000, **more})
    agent = create_agent(model, [price], middleware=[middleware], checkpointer=saver, system_prompt="Be kind.")
    return agent, model


def in_thread(name: str, **more: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name, **more}}


def last_question(messages: list[BaseMessage]) -> str:
    return next(message for message in reversed(messages) if isinstance(message, HumanMessage)).text


@pytest.mark.parametrize("mode", ["memory", "record"])
def test_each_request_of_a_run_has_what_is_recalled_once_and_the_same(
    shop: SQLiteSessionService, run: Run, mode: str
) -> None:
    replies = [
        calls(("price", {"of": "teapot"}, "c1")),
        calls(("price", {"of": "cup"}, "c2")),
        AIMessage("At Christmas."),
    ]
    saver = InMemorySaver() if mode == "record" else None
    agent, model = agent_of(shop, replies, mode=mode, checkpointer=saver)
    state = run(agent, [HumanMessage(QUESTION)], in_thread("now"))
    assert len(model.seen) == 3
    added = [last_question(request) for request in model.seen]
    assert added[0] == added[1] == added[2]
    assert added[0].startswith(RECALLED)
    assert added[0].endswith(f"The question:]\n\n{QUESTION}")
    assert added[0].count("> It leaves the catalogue at Christmas.") == 1
    assert 'session "october", events 1 to 2, 2026-10-27' in added[0]
    assert "SECRET" not in added[0]
    assert 'session "now"' not in added[0], "its own question is not recalled"
    assert [type(request[0]) for request in model.seen] == [SystemMessage] * 3
    assert [len(request) for request in model.seen] == [2, 4, 6], "no message is added"
    # Neither the state nor the session nor a checkpoint has it.
    assert state["messages"][0].text == QUESTION
    assert not any(RECALLED in message.text for message in state["messages"])
    assert not any(RECALLED in event.content for event in shop.list_events("now"))
    if mode == "record":
        assert RECALLED not in str(agent.get_state(in_thread("now")).values)


def test_the_past_is_searched_once_for_a_question_however_often_the_model_is_asked(
    shop: SQLiteSessionService, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    recall = SessionService.recall

    def noted(self: SessionService, question: str, **more: Any) -> Any:
        asked.append(question)
        return recall(self, question, **more)

    monkeypatch.setattr(SessionService, "recall", noted)
    replies = [calls(("price", {"of": "teapot"}, "c1")), AIMessage("At Christmas."), AIMessage("As I said.")]
    agent, _ = agent_of(shop, replies)
    for question in (QUESTION, f"{QUESTION} Tell me."):
        run(agent, [HumanMessage(question)], in_thread("now"))
    assert asked == [QUESTION, f"{QUESTION} Tell me."]


def test_a_later_run_recalls_for_its_own_question_and_shows_the_earlier_one_plain(
    shop: SQLiteSessionService, run: Run
) -> None:
    shop.create_session(session_id="cups").add_event("user", "The cups are painted by hand.")
    agent, model = agent_of(shop, [AIMessage("At Christmas."), AIMessage("By hand.")])
    run(agent, [HumanMessage(QUESTION)], in_thread("now"))
    run(agent, [HumanMessage("How are the cups painted?")], in_thread("now"))
    texts = [message.text for message in model.seen[1]]
    assert texts[1:3] == [QUESTION, "At Christmas."]
    assert "> The cups are painted by hand." in texts[3]


def test_of_the_running_session_only_what_its_window_cut_off_is_recalled(shop: SQLiteSessionService, run: Run) -> None:
    session = shop.create_session(session_id="long")
    session.add_events([Event("user", "The samovar is in the attic."), Event("assistant", "Good to know.")])
    for number in range(8):
        session.add_events([Event("user", f"Question {number}?"), Event("assistant", f"Answer {number}.")])
    asked = "Where is the samovar?"
    windowed, model = agent_of(shop, [AIMessage("In the attic.")], limit=4)
    run(windowed, [HumanMessage(asked)], in_thread("long"))
    assert "> The samovar is in the attic." in last_question(model.seen[0])
    session.rewind()
    whole, model = agent_of(shop, [AIMessage("In the attic.")])
    run(whole, [HumanMessage(asked)], in_thread("long"))
    assert "samovar is in the attic" not in last_question(model.seen[0])
    assert "The samovar is in the attic." in [message.text for message in model.seen[0]]


def test_of_a_very_long_request_its_session_is_left_out(shop: SQLiteSessionService) -> None:
    session = shop.create_session(session_id="long")
    session.add_events([Event("user" if n % 2 else "assistant", f"blue teapot {n}") for n in range(1, 301)])
    agent, model = agent_of(shop, [AIMessage("At Christmas.")])
    agent.invoke({"messages": [HumanMessage(QUESTION)]}, in_thread("long"))
    added = last_question(model.seen[0])
    assert 'session "october"' in added
    assert 'session "long"' not in added


@pytest.mark.parametrize("budget", [60, 120, 250, 1000])
@pytest.mark.parametrize("counter", [None, lambda messages: sum(len(message.text) for message in messages) // 2])
def test_what_is_added_is_within_its_budget(shop: SQLiteSessionService, budget: int, counter: Any) -> None:
    for number in range(8):
        shop.create_session().add_event(
            "user", f"The blue teapot, decision {number}: " + "it was long discussed. " * 60
        )
    agent, model = agent_of(shop, [AIMessage("At Christmas.")], recall_tokens=budget, token_counter=counter)
    agent.invoke({"messages": [HumanMessage(QUESTION)]}, in_thread("now"))
    asked = last_question(model.seen[0])
    added = asked.removesuffix(QUESTION).rstrip()
    count = counter or count_tokens_approximately
    assert asked.endswith(QUESTION)
    assert not added or count([HumanMessage(added)]) <= budget
    assert bool(added) == (RECALLED in asked)
    if budget == 1000:
        assert added


@pytest.mark.parametrize(
    "question",
    [
        HumanMessage([{"type": "text", "text": QUESTION}, {"type": "text", "text": "Tell me."}]),
        HumanMessage([QUESTION]),
        HumanMessage(QUESTION, name="ada"),
    ],
)
def test_a_question_in_blocks_keeps_them(shop: SQLiteSessionService, question: HumanMessage) -> None:
    agent, model = agent_of(shop, [AIMessage("At Christmas.")])
    agent.invoke({"messages": [question]}, in_thread("now"))
    asked = model.seen[0][-1]
    assert "> It leaves the catalogue" in asked.text
    assert asked.name == question.name
    if isinstance(question.content, list):
        assert asked.content[1:] == question.content


@pytest.mark.parametrize("given", ["…?", "", "xyzzy plugh"])
def test_a_question_for_which_nothing_is_recalled_stays_as_it_is(shop: SQLiteSessionService, given: str) -> None:
    agent, model = agent_of(shop, [AIMessage("Hm.")])
    agent.invoke({"messages": [HumanMessage(given)]}, in_thread("now"))
    assert model.seen[0][-1].content == given


def test_nothing_is_recalled_unless_it_is_asked_for(shop: SQLiteSessionService) -> None:
    for budget in (None, 0):
        agent, model = agent_of(shop, [AIMessage("Hm.")], recall_tokens=budget)
        agent.invoke({"messages": [HumanMessage(QUESTION)]}, in_thread(f"now {budget}"))
        assert model.seen[0][-1].content == QUESTION


def test_each_user_of_one_agent_gets_what_is_theirs(shop: SQLiteSessionService, run: Run) -> None:
    agent, model = agent_of(shop, [AIMessage("A."), AIMessage("B."), AIMessage("C.")])
    for user in ("ada", "bob", "eve"):
        run(agent, [HumanMessage(QUESTION)], in_thread("now", user_id=user))
    ada, bob, eve = (last_question(request) for request in model.seen)
    assert "Christmas" in ada
    assert "SECRET" not in ada
    assert "SECRET" in bob
    assert "Christmas" not in bob
    assert eve == QUESTION


@pytest.mark.parametrize("on_error", ["raise", "log"])
def test_a_recall_that_fails_is_as_a_write_that_fails(
    shop: SQLiteSessionService, on_error: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise StoreBusyError("the store is busy")

    monkeypatch.setattr(SessionService, "recall", fails)
    agent, model = agent_of(shop, [AIMessage("Hm.")], on_error=on_error)
    if on_error == "raise":
        with pytest.raises(StoreBusyError):
            agent.invoke({"messages": [HumanMessage(QUESTION)]}, in_thread("now"))
    else:
        agent.invoke({"messages": [HumanMessage(QUESTION)]}, in_thread("now"))
        assert model.seen[0][-1].content == QUESTION
        assert "nothing was recalled for session 'now'" in caplog.text


@pytest.mark.parametrize("wrong", [-1, 1.5, "many", True])
def test_a_budget_that_is_no_number_is_refused(service: SQLiteSessionService, wrong: Any) -> None:
    with pytest.raises(InvalidInputError):
        SessionHistoryMiddleware(service, recall_tokens=wrong)
