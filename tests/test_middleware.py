"""`SessionHistoryMiddleware` with the agents of LangChain as they are."""

import asyncio
import contextlib
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
)
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command
from message_strategies import histories
from provider_rules import assert_accepted
from scripted import ScriptedModel, StoppedModel, StreamingModel, calls

from session_sqlite import (
    ANY,
    Event,
    InvalidInputError,
    SessionHistoryMiddleware,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    StoreClosedError,
    StoreError,
    ToolCall,
)
from session_sqlite.langchain.overlap import overlap
from session_sqlite.langchain.turns import NO_RESULT, NOT_RUN
from session_sqlite.messages.langchain import message_to_event
from session_sqlite.transcript import terminal_text

S = {"configurable": {"session_id": "s"}}
T = {"configurable": {"thread_id": "s"}}
ROOT = Path(__file__).resolve().parents[1]


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool
def crash() -> str:
    """Fails."""
    raise RuntimeError("the tool broke")


def said(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [HumanMessage(text, **fields)]}


def shown(service: SQLiteSessionService, session: str = "s") -> list[tuple[str, str]]:
    return [(event.author, event.content) for event in service.list_events(session)]


def agent_of(
    model: ScriptedModel, *middleware: AgentMiddleware[Any, Any], tools: Any = (add, crash), **more: Any
) -> Any:
    return create_agent(model, list(tools), middleware=list(middleware), **more)


def texts(messages: list[BaseMessage]) -> list[str]:
    return [str(message.content) for message in messages]


Run = Callable[[Any, Any, Any], Any]


def run_sync(agent: Any, given: Any, config: Any, **more: Any) -> Any:
    return agent.invoke(given, config, **more)


def run_async(agent: Any, given: Any, config: Any, **more: Any) -> Any:
    return asyncio.run(agent.ainvoke(given, config, **more))


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Any:
    return request.param


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("saver", [None, InMemorySaver], ids=["alone", "with a checkpointer"])
def test_the_next_run_knows_what_was_said(service: SQLiteSessionService, run: Run, saver: Any) -> None:
    model = ScriptedModel(
        replies=[calls(("add", {"a": 1, "b": 2}, "c1")), AIMessage("It is 3."), AIMessage("3, as I said.")]
    )
    config = {"configurable": {"session_id": "s", "thread_id": "t"}}
    for question in ("1 + 2?", "Again?"):
        agent = agent_of(model, SessionHistoryMiddleware(service), checkpointer=saver and saver())
        state = run(agent, said(question), config)
    assert texts(model.seen[-1]) == ["1 + 2?", "", "3", "It is 3.", "Again?"]
    assert texts(state["messages"]) == [*texts(model.seen[-1]), "3, as I said."]
    authors = ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert [event.author for event in service.list_events("s")] == authors
    assert SQLiteChatMessageHistory("s", service=service).messages == state["messages"]


def test_with_one_checkpointer_nothing_is_there_twice(service: SQLiteSessionService, run: Run) -> None:
    model = ScriptedModel(replies=[AIMessage("One."), AIMessage("Two."), AIMessage("Three.")])
    agent = agent_of(model, SessionHistoryMiddleware(service), checkpointer=InMemorySaver())
    for number in range(3):
        state = run(agent, said(f"{number}?"), T)
    assert texts(state["messages"]) == ["0?", "One.", "1?", "Two.", "2?", "Three."]
    assert [text for _, text in shown(service)] == texts(state["messages"])


def test_messages_come_back_as_they_were(service: SQLiteSessionService) -> None:
    reply = AIMessage(
        [{"type": "thinking", "thinking": "hm", "signature": "sig"}, {"type": "text", "text": "Yes."}],
        usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
        response_metadata={"model_name": "m"},
    )
    model = ScriptedModel(replies=[reply, AIMessage("Done.")])
    agent = agent_of(model, SessionHistoryMiddleware(service))
    first = agent.invoke(said("?"), S)["messages"]
    agent.invoke(said("!"), S)
    assert model.seen[-1][:2] == first
    assert model.seen[-1][1].model_dump_json() == first[1].model_dump_json()
    assert service.list_events("s")[1].reasoning == "hm"


def test_a_run_takes_apart_what_is_new_alone(
    service: SQLiteSessionService, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        SQLiteChatMessageHistory("s", service=service).add_messages([HumanMessage(f"q{number}"), AIMessage("a")])
    taken_apart: list[BaseMessage] = []

    def counted(message: BaseMessage) -> Event:
        taken_apart.append(message)
        return message_to_event(message)

    monkeypatch.setattr("session_sqlite.langchain.middleware.message_to_event", counted)
    model = ScriptedModel(replies=[calls(("add", {"a": 1, "b": 2}, "c1")), AIMessage("It is 3.")])
    run(agent_of(model, SessionHistoryMiddleware(service)), said("1 + 2?"), S)
    assert len(model.seen[-1]) == 203
    old = {f"q{number}" for number in range(99)}
    assert [message for message in taken_apart if message.content in old] == []
    assert len(taken_apart) < 30


@pytest.mark.parametrize("at", [1, 2])
def test_an_old_message_that_another_middleware_changes_in_place_changes_in_the_session(
    service: SQLiteSessionService, at: int
) -> None:
    SQLiteChatMessageHistory("s", service=service).add_messages(
        [HumanMessage("My PIN is 1234."), AIMessage("Noted."), HumanMessage("And?"), AIMessage("Nothing.")]
    )
    requests: list[int] = []

    class Cleans(AgentMiddleware[Any, Any]):
        def before_model(self, state: Any, runtime: Any) -> None:
            requests.append(len(requests) + 1)
            if requests[-1] == at:
                state["messages"][0].content = "My PIN is ****."

    model = ScriptedModel(replies=[calls(("add", {"a": 1, "b": 2}, "c1")), AIMessage("It is 3.")])
    agent_of(model, SessionHistoryMiddleware(service), Cleans()).invoke(said("1 + 2?"), S)
    assert requests == [1, 2]
    assert shown(service)[0] == ("user", "My PIN is ****.")


def test_a_session_made_by_a_history_or_by_hand_is_remembered_and_not_stored_again(
    service: SQLiteSessionService,
) -> None:
    SQLiteChatMessageHistory("s", service=service).add_messages([HumanMessage("a"), AIMessage("b")])
    service.append_events(
        "s", [Event("user", "c"), Event("assistant", "d", actions=[ToolCall("add", {"a": 1}, output=2)])]
    )
    model = ScriptedModel(replies=[AIMessage("f"), AIMessage("h")])
    agent = agent_of(model, SessionHistoryMiddleware(service), checkpointer=InMemorySaver())
    agent.invoke(said("e"), T)
    agent.invoke(said("g"), T)
    assert texts(model.seen[-1]) == ["a", "b", "c", "d", "2", "e", "f", "g"]
    assert [text for _, text in shown(service)] == ["a", "b", "c", "d", "e", "f", "g", "h"]


def test_a_window_begins_at_a_turn_and_deletes_nothing(service: SQLiteSessionService, run: Run) -> None:
    for number in range(10):
        SQLiteChatMessageHistory("s", service=service).add_messages(
            [HumanMessage(f"q{number}"), AIMessage(f"a{number}")]
        )
    for window, expected in (
        ({"limit": 3}, ["q9", "a9"]),
        ({"max_tokens": 20}, ["q8", "a8", "q9", "a9"]),
        ({"limit": 0}, []),
    ):
        model = ScriptedModel(replies=[AIMessage("ok")])
        counted = {"token_counter": lambda messages: 5 * len(messages)} if "max_tokens" in window else {}
        agent = agent_of(model, SessionHistoryMiddleware(service, **window, **counted))
        run(agent, said("new"), S)
        assert texts(model.seen[-1]) == [*expected, "new"]
        service.rewind_session("s")
    assert len(service.list_events("s")) == 20


def test_a_summary_of_the_store_comes_in_place_of_what_it_supersedes(service: SQLiteSessionService) -> None:
    SQLiteChatMessageHistory("s", service=service).add_messages(
        [HumanMessage("q1"), AIMessage("a1"), HumanMessage("q2"), AIMessage("a2")]
    )
    service.summarize_session("s", lambda messages: "q1 was answered", keep_last=2)
    model = ScriptedModel(replies=[AIMessage("ok")])
    agent_of(model, SessionHistoryMiddleware(service)).invoke(said("q3"), S)
    assert texts(model.seen[-1]) == ["q1 was answered", "q2", "a2", "q3"]


# ---------------------------------------------------------------- record


def test_recording_leaves_the_state_to_the_checkpointer(service: SQLiteSessionService, run: Run) -> None:
    saver = InMemorySaver()
    model = ScriptedModel(replies=[AIMessage("before"), AIMessage("one"), AIMessage("two")])
    run(agent_of(model, checkpointer=saver), said("unrecorded"), T)
    agent = agent_of(model, SessionHistoryMiddleware(service, mode="record"), checkpointer=saver)
    run(agent, said("first"), T)
    service.append_event("s", Event("user", "a note of the application's"))
    state = run(agent, said("second"), T)
    assert texts(state["messages"]) == ["unrecorded", "before", "first", "one", "second", "two"]
    assert [text for _, text in shown(service)] == [
        "unrecorded", "before", "first", "one", "a note of the application's", "second", "two",
    ]  # fmt: skip


def test_recording_without_a_checkpointer_remembers_nothing(service: SQLiteSessionService) -> None:
    model = ScriptedModel(replies=[AIMessage("one"), AIMessage("two")])
    agent = agent_of(model, SessionHistoryMiddleware(service, mode="record"))
    agent.invoke(said("first"), S)
    agent.invoke(said("second"), S)
    assert texts(model.seen[-1]) == ["second"]
    assert len(shown(service)) == 4


# ---------------------------------------------------------------- which session


@dataclass
class Who:
    session_id: str = ""
    user_id: str = ""
    app_name: str = ""


def test_the_session_is_that_of_the_argument_the_context_the_config_or_the_thread(
    service: SQLiteSessionService,
) -> None:
    def stored_in(middleware: SessionHistoryMiddleware, config: Any, context: Any = None) -> str:
        agent = agent_of(ScriptedModel(replies=[AIMessage("ok")]), middleware, context_schema=Who)
        agent.invoke(said("?"), config, context=context)
        (session,) = service.list_sessions(app_name=ANY, user_id=ANY)
        session.delete()
        return f"{session.app_name}/{session.user_id}/{session.id}"

    both = {"configurable": {"session_id": "of config", "thread_id": "of thread", "user_id": "ada"}}
    plain = SessionHistoryMiddleware(service)
    context = Who("of context", "bob", "shop")
    assert stored_in(SessionHistoryMiddleware(service, session_id="given"), both, context) == "shop/bob/given"
    given = SessionHistoryMiddleware(service, session_id="given", user_id="eve", app_name="desk")
    assert stored_in(given, both, context) == "desk/eve/given"
    assert stored_in(plain, both, context) == "shop/bob/of context"
    assert stored_in(plain, both, Who()) == "default/ada/of config"
    assert stored_in(plain, both) == "default/ada/of config"
    assert stored_in(plain, {"configurable": {"thread_id": "of thread"}}) == "default/default/of thread"
    assert stored_in(plain, {"configurable": {"thread_id": 7}}) == "default/default/7"


def test_a_context_may_be_a_dict(service: SQLiteSessionService, run: Run) -> None:
    agent = agent_of(ScriptedModel(replies=[AIMessage("ok")]), SessionHistoryMiddleware(service), context_schema=dict)
    run(agent, said("?"), {}, context={"session_id": "of context"})  # type: ignore[call-arg]
    assert len(service.list_events("of context")) == 2


def test_without_a_session_a_run_says_what_to_do(service: SQLiteSessionService) -> None:
    agent = agent_of(ScriptedModel(replies=[AIMessage("ok")]), SessionHistoryMiddleware(service, on_error="log"))
    with pytest.raises(InvalidInputError, match="session_id"):
        agent.invoke(said("?"))
    across = agent_of(ScriptedModel(replies=[AIMessage("ok")]), SessionHistoryMiddleware(service.scope(user_id=ANY)))
    with pytest.raises(InvalidInputError, match="ANY"):
        across.invoke(said("?"), S)


def test_users_with_the_same_session_id_never_meet(service: SQLiteSessionService) -> None:
    model = ScriptedModel(replies=[AIMessage(f"r{number}") for number in range(4)])
    agent = agent_of(model, SessionHistoryMiddleware(service))
    for user in ("ada", "bob", "ada", "bob"):
        agent.invoke(said(f"I am {user}"), {"configurable": {"session_id": "s", "user_id": user}})
    assert texts(model.seen[-1]) == ["I am bob", "r1", "I am bob"]
    assert len(service.scope(user_id="ada").list_events("s")) == 4


def test_one_agent_serves_many_sessions_at_once(service: SQLiteSessionService) -> None:
    model = ScriptedModel(replies=[lambda messages: AIMessage(f"re: {messages[-1].content}")] * 60)
    agent = agent_of(model, SessionHistoryMiddleware(service))

    async def main() -> None:
        for turn in range(3):
            await asyncio.gather(
                *(agent.ainvoke(said(f"{n}-{turn}"), {"configurable": {"session_id": f"s{n}"}}) for n in range(20))
            )

    asyncio.run(main())
    for number in range(20):
        assert [text for _, text in shown(service, f"s{number}")] == [
            text for turn in range(3) for text in (f"{number}-{turn}", f"re: {number}-{turn}")
        ]


# ---------------------------------------------------------------- tools, crashes, retries


def test_a_tool_that_crashes_loses_nothing_before_it(service: SQLiteSessionService, run: Run) -> None:
    model = ScriptedModel(replies=[calls(("crash", {}, "c1"), text="Let me see."), AIMessage("I am back.")])
    agent = agent_of(model, SessionHistoryMiddleware(service))
    with pytest.raises(RuntimeError, match="the tool broke"):
        run(agent, said("Go."), S)
    assert shown(service) == [("user", "Go."), ("assistant", "Let me see.")]
    assert [call["status"] for call in service.tool_calls("crash")] == ["pending"]
    run(agent, said("Are you there?"), S)
    assert texts(model.seen[-1]) == ["Go.", "Let me see.", NO_RESULT, "Are you there?"]
    assert [call["status"] for call in service.tool_calls("crash")] == ["error"]
    assert shown(service)[2:] == [("tool", NO_RESULT), ("user", "Are you there?"), ("assistant", "I am back.")]


def test_a_killed_process_loses_nothing_before_it(path: Path) -> None:
    code = textwrap.dedent(f"""
        import os
        from langchain.agents import create_agent
        from langchain_core.tools import tool
        from session_sqlite import SessionHistoryMiddleware, SQLiteSessionService
        from scripted import ScriptedModel, StoppedModel, StreamingModel, calls

        @tool
        def vanish() -> str:
            "Ends the process."
            os._exit(7)

        service = SQLiteSessionService({str(path)!r})
        agent = create_agent(ScriptedModel(replies=[calls(("vanish", {{}}, "c1"), text="Now.")]), [vanish],
                             middleware=[SessionHistoryMiddleware(service)])
        agent.invoke({{"messages": [("user", "Go.")]}}, {S!r})
    """)
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests").returncode == 7
    with SQLiteSessionService(path) as service:
        assert shown(service) == [("user", "Go."), ("assistant", "Now.")]


def test_parallel_tool_calls_are_each_stored_and_read_back_in_order(service: SQLiteSessionService, run: Run) -> None:
    late = threading.Event()

    @tool
    def slow() -> str:
        """Waits for the fast one."""
        late.wait(10)
        return "slow"

    @tool
    def fast() -> str:
        """Does not wait."""
        late.set()
        return "fast"

    model = ScriptedModel(replies=[calls(("slow", {}, "c1"), ("fast", {}, "c2")), AIMessage("Both."), AIMessage("ok")])
    agent = agent_of(model, SessionHistoryMiddleware(service), tools=[slow, fast])
    run(agent, said("Go."), S)
    assert sorted(text for author, text in shown(service) if author == "tool") == ["fast", "slow"]
    run(agent, said("And?"), S)
    assert texts(model.seen[-1]) == ["Go.", "", "slow", "fast", "Both.", "And?"]


def test_the_results_of_parallel_tools_survive_the_crash_of_one(service: SQLiteSessionService) -> None:
    done = threading.Event()

    class Signal(AgentMiddleware[Any, Any]):
        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            try:
                return handler(request)
            finally:
                if request.tool_call["name"] == "add":
                    done.set()

    @tool
    def crash_last() -> str:
        """Fails after the other tool."""
        done.wait(10)
        threading.Event().wait(0.3)
        raise RuntimeError("broke")

    model = ScriptedModel(replies=[calls(("add", {"a": 1, "b": 1}, "c1"), ("crash_last", {}, "c2")), AIMessage("ok")])
    agent = agent_of(model, SessionHistoryMiddleware(service), Signal(), tools=[add, crash_last])
    with pytest.raises(RuntimeError):
        agent.invoke(said("Go."), S)
    assert [(call["name"], call["status"]) for call in service.tool_calls()] == [
        ("add", "ok"),
        ("crash_last", "pending"),
    ]


def test_a_run_that_is_tried_again_doubles_nothing(service: SQLiteSessionService, run: Run) -> None:
    model = ScriptedModel(replies=[ConnectionError("no line"), AIMessage("Hello.")])
    agent = agent_of(model, SessionHistoryMiddleware(service))
    with pytest.raises(ConnectionError):
        run(agent, said("Hi.", id="m1"), S)
    run(agent, said("Hi.", id="m1"), S)
    assert shown(service) == [("user", "Hi."), ("assistant", "Hello.")]


def test_a_run_that_a_checkpointer_resumes_doubles_nothing(service: SQLiteSessionService, run: Run) -> None:
    fails = [True]

    @tool
    def flaky() -> str:
        """Fails the first time."""
        if fails.pop() if fails else False:
            raise RuntimeError("once")
        return "fine"

    for mode in ("memory", "record"):
        fails[:] = [True]
        model = ScriptedModel(
            replies=[calls(("add", {"a": 1, "b": 1}, "c1"), ("flaky", {}, "c2"), text="Both."), AIMessage("Done.")]
        )
        config = {"configurable": {"thread_id": mode}}
        agent = agent_of(
            model,
            SessionHistoryMiddleware(service, mode=mode),
            tools=[add, flaky],
            checkpointer=InMemorySaver(),
        )
        with pytest.raises(RuntimeError):
            run(agent, said("Go."), config)
        run(agent, None, config)
        assert sorted(shown(service, mode)) == sorted(
            [("user", "Go."), ("assistant", "Both."), ("tool", "2"), ("tool", "fine"), ("assistant", "Done.")]
        )


def broken(id: str, name: str = "add") -> dict[str, Any]:
    return {"name": name, "args": '{"a": ', "id": id, "error": "not JSON", "type": "invalid_tool_call"}


def block(id: str, name: str = "add") -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": {"a": 1, "b": 1}}


ADD = {"name": "add", "args": {"a": 1, "b": 1}, "id": "c1", "type": "tool_call"}
SEARCHED = [
    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}},
    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
]
REPLIES = {
    "a malformed call": AIMessage("", invalid_tool_calls=[broken("c1")]),
    "two malformed calls": AIMessage("", invalid_tool_calls=[broken("c1"), broken("c2")]),
    "two malformed calls with one id": AIMessage("", invalid_tool_calls=[broken("c1"), broken("c1")]),
    "a malformed call beside a good one": AIMessage("", tool_calls=[ADD], invalid_tool_calls=[broken("c2")]),
    "a malformed call with the id of a good one": AIMessage("", tool_calls=[ADD], invalid_tool_calls=[broken("c1")]),
    "a call in the content": AIMessage([block("c1")]),
    "two calls in the content with one id": AIMessage([block("c1"), block("c1")]),
    "a call in the content beside a good one": AIMessage([block("c1"), block("c2")], tool_calls=[ADD]),
    "a call in both places": AIMessage([block("c1")], tool_calls=[ADD]),
    "a tool that the provider ran": AIMessage([*SEARCHED, block("c1")], tool_calls=[ADD]),
}


@pytest.mark.parametrize("saver", [None, InMemorySaver], ids=["alone", "with a checkpointer"])
@pytest.mark.parametrize("mode", ["memory", "record"])
@pytest.mark.parametrize("name", REPLIES)
def test_every_call_of_a_reply_has_its_result_behind_it(
    service: SQLiteSessionService, run: Run, name: str, saver: Any, mode: Any
) -> None:
    """The model refuses what a provider would refuse."""
    given = REPLIES[name].model_copy(deep=True)
    model = ScriptedModel(replies=[given, *(AIMessage(f"reply {number}") for number in range(4))])
    agent = agent_of(model, SessionHistoryMiddleware(service, mode=mode), checkpointer=saver and saver())
    config = {"configurable": {"session_id": "s", "thread_id": "t"}}
    for number in range(3):
        run(agent, said(f"{number}?"), config)
    stored = [event for event in service.list_events("s") if event.author == "tool"]
    if mode == "memory" or saver:
        # Each once, and directly behind the reply.
        count = sum(call.status == "pending" for call in service.list_events("s")[1].actions)
        assert [event.seq for event in stored] == list(range(3, 3 + count))
        assert {call["status"] for call in service.tool_calls()} <= {"ok", "error"}
        window = SQLiteChatMessageHistory("s", service=service, max_tokens=100000).messages
        assert_accepted(window)
        assert len(window) == service.get_session("s").last_seq


def test_a_call_that_was_not_run_says_why(service: SQLiteSessionService) -> None:
    model = ScriptedModel(replies=[AIMessage("", invalid_tool_calls=[broken("c1")]), AIMessage("ok")])
    agent = agent_of(model, SessionHistoryMiddleware(service))
    for number in range(2):
        agent.invoke(said(f"{number}?"), S)
    assert texts(model.seen[-1]) == ["0?", "", NOT_RUN, "1?"]


@pytest.mark.parametrize("window", [{}, {"limit": 20}, {"max_tokens": 10000}], ids=str)
def test_a_result_without_its_call_is_kept_and_never_sent(
    service: SQLiteSessionService, run: Run, window: dict[str, Any]
) -> None:
    history = SQLiteChatMessageHistory("s", service=service)
    history.add_messages([HumanMessage("a"), ToolMessage("alone", tool_call_id="gone"), AIMessage("b")])
    model = ScriptedModel(replies=[AIMessage("1"), AIMessage("2"), AIMessage("3")])
    agent = agent_of(model, SessionHistoryMiddleware(service, **window))
    for number in range(2):
        run(agent, said(f"{number}?"), S)
    run(agent, {"messages": [ToolMessage("alone too", tool_call_id="gone too"), HumanMessage("2?")]}, S)
    assert texts(model.seen[-1]) == ["a", "b", "0?", "1", "1?", "2", "2?"]
    assert sorted(text for author, text in shown(service) if author == "tool") == ["alone", "alone too"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.none() | st.integers(1, 40), st.none() | st.integers(1, 600))
def test_whatever_a_session_holds_a_model_is_asked_what_providers_accept(
    messages: list[BaseMessage], limit: int | None, budget: int | None
) -> None:
    with SQLiteSessionService(":memory:") as service:
        SQLiteChatMessageHistory("s", service=service).messages = messages
        twice = calls(("add", {"a": 1, "b": 1}, "c1"), ("add", {"a": 2, "b": 1}, "c1"))
        model = ScriptedModel(replies=[twice, AIMessage("A"), AIMessage("B")])
        agent = agent_of(model, SessionHistoryMiddleware(service, limit=limit, max_tokens=budget))
        for number in range(2):
            agent.invoke(said(f"{number}?"), S)
        assert model.replies == []
        stored = [event.message_id for event in service.list_events("s") if event.message_id]
        assert len(stored) == len(set(stored))


@pytest.mark.parametrize("saver", [None, InMemorySaver], ids=["alone", "with a checkpointer"])
@pytest.mark.parametrize("equal", [False, True], ids=["two calls", "the same call twice"])
def test_two_calls_with_one_id_have_two_results(
    service: SQLiteSessionService, run: Run, saver: Any, equal: bool
) -> None:
    second = {"a": 1, "b": 1} if equal else {"a": 2, "b": 2}
    model = ScriptedModel(
        replies=[calls(("add", {"a": 1, "b": 1}, "x"), ("add", second, "x")), AIMessage("A"), AIMessage("B")]
    )
    agent = agent_of(model, SessionHistoryMiddleware(service), checkpointer=saver and saver())
    state = run(agent, said("Go."), {"configurable": {"session_id": "s", "thread_id": "t"}})
    results = ["2", "2" if equal else "4"]
    assert texts(state["messages"]) == ["Go.", "", *results, "A"]
    assert [text for _, text in shown(service)] == texts(state["messages"])
    run(agent, said("And?"), {"configurable": {"session_id": "s", "thread_id": "t"}})
    assert texts(model.seen[-1]) == ["Go.", "", *results, "A", "And?"]
    assert [text for _, text in shown(service)] == [*texts(model.seen[-1]), "B"]
    assert [(call["args"], call["output"]) for call in reversed(service.tool_calls())] in (
        [({"a": 1, "b": 1}, results[0]), (second, results[1])],
        [(second, results[1]), ({"a": 1, "b": 1}, results[0])],
    )


def test_results_of_one_id_are_stored_in_the_order_of_their_calls(service: SQLiteSessionService, run: Run) -> None:
    late = threading.Event()

    @tool
    def wait(number: int) -> str:
        """The first waits for the last."""
        if number == 0:
            late.wait(10)
        if number == 2:
            late.set()
        return str(number)

    made = calls(*(("wait", {"number": number}, "x") for number in range(3)))
    model = ScriptedModel(replies=[made, AIMessage("A"), AIMessage("B")])
    agent = agent_of(model, SessionHistoryMiddleware(service), tools=[wait])
    run(agent, said("Go."), S)
    run(agent, said("And?"), S)
    assert texts(model.seen[-1]) == ["Go.", "", "0", "1", "2", "A", "And?"]
    assert [text for author, text in shown(service) if author == "tool"] == ["0", "1", "2"]


def resumed(
    service: SQLiteSessionService, run: Run, called: Any, equal: bool, *middleware: AgentMiddleware[Any, Any]
) -> list[BaseMessage]:
    """Resumes a run that failed in two calls with one id; both results must be there. Returns its messages."""
    numbers = [0, 0] if equal else [0, 1]
    made = calls(*((called.name, {"number": number}, "x") for number in numbers))
    model = ScriptedModel(replies=[made, AIMessage("Done.")])
    agent = agent_of(model, *middleware, tools=[called], checkpointer=InMemorySaver())
    with pytest.raises(RuntimeError):
        run(agent, said("Go."), T)
    messages: list[BaseMessage] = run(agent, None, T)["messages"]
    results = [f"fine {number}" for number in numbers]
    assert texts(messages) == ["Go.", "", *results, "Done."]
    assert sorted(text for author, text in shown(service) if author == "tool") == results
    return messages


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("equal", [False, True], ids=["two calls", "the same call twice"])
@pytest.mark.parametrize("mode", ["memory", "record"])
def test_a_run_that_is_resumed_keeps_both_results_of_one_id(
    service: SQLiteSessionService, run: Run, mode: Any, equal: bool, failing: int
) -> None:
    attempts: list[int] = []
    done = threading.Event()

    @tool
    def flaky(number: int) -> str:
        """One of its first two calls fails."""
        attempts.append(number)
        if len(attempts) == 2 if equal else number == failing and attempts.count(number) == 1:
            done.wait(10)
            raise RuntimeError("once")
        return f"fine {number}"

    class Signal(AgentMiddleware[Any, Any]):
        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            result = handler(request)
            done.set()
            return result

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            result = await handler(request)
            done.set()
            return result

    resumed(service, run, flaky, equal, SessionHistoryMiddleware(service, mode=mode), Signal())
    assert_accepted(SQLiteChatMessageHistory("s", service=service, limit=100).messages)


@pytest.mark.parametrize(
    ("arrived", "is_told"), [(0, True), (1, True), (0, False)], ids=["none arrived", "one arrived", "no numbers"]
)
@pytest.mark.parametrize("equal", [False, True], ids=["two calls", "the same call twice"])
@pytest.mark.parametrize("mode", ["memory", "record"])
def test_results_of_one_id_that_were_stored_and_never_arrived_are_both_there_when_the_run_is_resumed(
    service: SQLiteSessionService, run: Run, mode: Any, equal: bool, arrived: int, is_told: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The run ends after a result is stored and before the state has it, as a failure of another call can end it."""
    if not is_told:  # as if LangGraph did not number its tasks
        monkeypatch.setattr("session_sqlite.langchain.middleware._place_of_task", lambda *_: None)
    left = threading.Semaphore(2)
    done = threading.Barrier(2)

    @tool
    def fine(number: int) -> str:
        """Works."""
        return f"fine {number}"

    class Loses(AgentMiddleware[Any, Any]):
        def after(self, result: Any) -> Any:
            if left.acquire(blocking=False):
                if done.wait(10) or not arrived:
                    raise RuntimeError("once")
                time.sleep(0.2)  # the other's failure ends the run meanwhile, or not
            return result

        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            return self.after(handler(request))

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            return await asyncio.to_thread(self.after, await handler(request))

    messages = resumed(service, run, fine, equal, Loses(), SessionHistoryMiddleware(service, mode=mode))
    assert len({message.id for message in messages}) == 5


def test_a_late_result_takes_the_place_of_the_one_that_was_missing(service: SQLiteSessionService) -> None:
    """One run is still in its tool while another of the same session begins."""
    inside, go_on = threading.Event(), threading.Event()

    @tool
    def wait() -> str:
        """Waits."""
        inside.set()
        go_on.wait(20)
        return "the result"

    first = agent_of(
        ScriptedModel(replies=[calls(("wait", {}, "c1")), AIMessage("A")]),
        SessionHistoryMiddleware(service),
        tools=[wait],
    )
    thread = threading.Thread(target=first.invoke, args=(said("slow"), S))
    thread.start()
    assert inside.wait(20)
    agent_of(ScriptedModel(replies=[AIMessage("B")]), SessionHistoryMiddleware(service)).invoke(said("quick"), S)
    go_on.set()
    thread.join()
    assert shown(service) == [
        ("user", "slow"), ("assistant", ""), ("tool", "the result"), ("user", "quick"), ("assistant", "B"),
        ("assistant", "A"),
    ]  # fmt: skip
    assert service.tool_calls()[0]["status"] == "ok"


def test_what_a_command_brings_is_stored(service: SQLiteSessionService, run: Run) -> None:
    @tool
    def hand_over() -> Any:
        """Returns a Command."""
        return Command(update={"messages": [ToolMessage("handed over", tool_call_id="c1")]})

    model = ScriptedModel(replies=[calls(("hand_over", {}, "c1")), AIMessage("ok")])
    run(agent_of(model, SessionHistoryMiddleware(service), tools=[hand_over]), said("Go."), S)
    assert [text for _, text in shown(service)] == ["Go.", "", "handed over", "ok"]


def test_the_last_word_of_another_middleware_is_stored(service: SQLiteSessionService, run: Run) -> None:
    model = ScriptedModel(replies=[calls(("add", {"a": 1, "b": 1}, "c1"))] * 3)
    limit = ModelCallLimitMiddleware(run_limit=1)
    state = run(agent_of(model, SessionHistoryMiddleware(service), limit), said("Go."), S)
    assert [text for _, text in shown(service)] == texts(state["messages"])
    assert "limit" in shown(service)[-1][1]


def test_structured_output_is_stored_as_the_state_has_it(service: SQLiteSessionService, run: Run) -> None:
    @dataclass
    class Answer:
        """The answer."""

        number: int

    from langchain.agents.structured_output import ToolStrategy

    model = ScriptedModel(replies=[calls(("Answer", {"number": 3}, "c1"))])
    agent = agent_of(model, SessionHistoryMiddleware(service), response_format=ToolStrategy(Answer))
    state = run(agent, said("1 + 2?"), S)
    assert state["structured_response"] == Answer(3)
    assert SQLiteChatMessageHistory("s", service=service).messages == state["messages"]


# ---------------------------------------------------------------- people in between


@pytest.mark.parametrize("mode", ["memory", "record"])
@pytest.mark.parametrize("decision", ["approve", "edit", "reject"])
def test_a_person_decides_in_between(service: SQLiteSessionService, run: Run, mode: Any, decision: str) -> None:
    made = {
        "approve": {"type": "approve"},
        "edit": {"type": "edit", "edited_action": {"name": "add", "args": {"a": 40, "b": 2}}},
        "reject": {"type": "reject", "message": "Do not."},
    }[decision]
    model = ScriptedModel(
        replies=[calls(("add", {"a": 1, "b": 2}, "c1"), text="May I?"), AIMessage("Done."), AIMessage("ok")]
    )
    agent = agent_of(
        model,
        SessionHistoryMiddleware(service, mode=mode),
        HumanInTheLoopMiddleware(interrupt_on={"add": True}),
        checkpointer=InMemorySaver(),
    )
    run(agent, said("Go."), T)
    assert shown(service) == [("user", "Go."), ("assistant", "May I?")]
    state = run(agent, Command(resume={"decisions": [made]}), T)
    assert [text for _, text in shown(service)] == texts(state["messages"])
    assert SQLiteChatMessageHistory("s", service=service).messages == state["messages"]
    (call,) = service.tool_calls()
    assert call["status"] == ("error" if decision == "reject" else "ok")
    run(agent, said("And?"), T)
    assert len(service.list_events("s")) == len(model.seen[-1]) + 1 == 6


def test_a_tool_that_asks_a_person_is_stored_once_it_has_its_answer(service: SQLiteSessionService, run: Run) -> None:
    from langgraph.types import interrupt

    @tool
    def ask() -> str:
        """Asks."""
        return f"They said {interrupt('Well?')}."

    model = ScriptedModel(replies=[calls(("ask", {}, "c1")), AIMessage("Done.")])
    agent = agent_of(model, SessionHistoryMiddleware(service), tools=[ask], checkpointer=InMemorySaver())
    run(agent, said("Go."), T)
    assert [text for _, text in shown(service)] == ["Go.", ""]
    run(agent, Command(resume="yes"), T)
    assert [text for _, text in shown(service)] == ["Go.", "", "They said yes.", "Done."]


def test_a_secret_that_another_middleware_takes_out_leaves_the_store_too(
    service: SQLiteSessionService, run: Run
) -> None:
    model = ScriptedModel(replies=[AIMessage("Noted.")])
    agent = agent_of(model, SessionHistoryMiddleware(service), PIIMiddleware("email", strategy="redact"))
    state = run(agent, said("I am ada@example.org"), S)
    assert "ada@" not in texts(state["messages"])[0]
    assert [text for _, text in shown(service)] == texts(state["messages"])
    assert not service.search("ada")


# ---------------------------------------------------------------- edits of what was said before


def edited_thread(service: SQLiteSessionService, mode: Any = "memory", **more: Any) -> tuple[Any, ScriptedModel, Any]:
    """An agent with a checkpointer after two turns, its model, and the messages of its state."""
    replies = [calls(("add", {"a": 1, "b": 2}, "c1"), text="Let me see."), AIMessage("It is 3."), AIMessage("Fine.")]
    model = ScriptedModel(replies=[*replies, AIMessage("ok"), AIMessage("ok again")])
    agent = agent_of(model, SessionHistoryMiddleware(service, mode=mode, **more), checkpointer=InMemorySaver())
    agent.invoke(said("1 + 2?", id="q1"), T)
    state = agent.invoke(said("How are you?"), T)
    return agent, model, state["messages"]


@pytest.mark.parametrize("mode", ["memory", "record"])
@pytest.mark.parametrize("position", range(6))
@pytest.mark.parametrize("way", ["update_state", "sent again", "removed and put back"])
def test_what_the_state_says_of_a_message_is_what_is_stored_and_shown(
    service: SQLiteSessionService, run: Run, mode: Any, position: int, way: str
) -> None:
    agent, model, messages = edited_thread(service, mode)
    edited = messages[position].model_copy(update={"content": "edited"})
    before = service.list_events("s")
    if way == "sent again":
        run(agent, {"messages": [edited, HumanMessage("And?")]}, T)
    else:
        update = [edited] if way == "update_state" else [RemoveMessage(edited.id), edited]
        agent.update_state(T, {"messages": update})
        run(agent, said("And?"), T)
    expected = ["1 + 2?", "Let me see.", "3", "It is 3.", "How are you?", "Fine."]
    expected[position] = "edited"
    assert [text for _, text in shown(service)] == [*expected, "And?", "ok"]
    if way != "removed and put back" or mode == "memory":
        assert texts(model.seen[-1]) == [*expected, "And?"]
    after = service.list_events("s")
    assert [(event.id, event.seq, event.created_at) for event in after[:6]] == [
        (event.id, event.seq, event.created_at) for event in before
    ]
    assert [hit.event.seq for hit in service.search("edited")] == [position + 1]
    assert service.check().ok


@pytest.mark.parametrize("mode", ["memory", "record"])
def test_a_result_that_another_takes_the_place_of_is_stored_and_shown_once(
    service: SQLiteSessionService, run: Run, mode: Any
) -> None:
    agent, model, messages = edited_thread(service, mode)
    result = ToolMessage("edited", tool_call_id="c1")
    update = [RemoveMessage(REMOVE_ALL_MESSAGES), *messages[:2], result, *messages[3:]]
    agent.update_state(T, {"messages": update})
    run(agent, said("And?"), T)
    expected = ["1 + 2?", "Let me see.", "edited", "It is 3.", "How are you?", "Fine.", "And?"]
    assert texts(model.seen[-1]) == expected
    assert [text for _, text in shown(service)] == [*expected, "ok"]


@pytest.mark.parametrize("mode", ["memory", "record"])
def test_an_edited_call_of_an_older_reply_is_edited_in_the_session(service: SQLiteSessionService, mode: Any) -> None:
    agent, _, messages = edited_thread(service, mode)
    call = {"name": "add", "args": {"a": 40, "b": 2}, "id": "c1", "type": "tool_call"}
    agent.update_state(T, {"messages": [messages[1].model_copy(update={"tool_calls": [call]})]})
    agent.invoke(said("And?"), T)
    assert service.list_events("s")[1].actions[0].args == {"a": 40, "b": 2}
    assert [row["args"] for row in service.tool_calls()] == [{"a": 40, "b": 2}]


def test_an_edit_outside_of_the_window_is_stored(service: SQLiteSessionService) -> None:
    agent, model, messages = edited_thread(service, limit=2)
    agent.update_state(T, {"messages": [messages[0].model_copy(update={"content": "edited"})]})
    agent.invoke(said("And?"), T)
    assert shown(service)[0] == ("user", "edited" if messages[0].id == "q1" else "1 + 2?")
    assert texts(model.seen[-1]) == ["How are you?", "Fine.", "And?"]


@pytest.mark.parametrize("mode", ["memory", "record"])
def test_an_edit_while_a_run_waits_for_a_person_is_stored(service: SQLiteSessionService, run: Run, mode: Any) -> None:
    model = ScriptedModel(
        replies=[AIMessage("a0"), calls(("add", {"a": 1, "b": 2}, "c1"), text="May I?"), AIMessage("x")]
    )
    agent = agent_of(
        model,
        SessionHistoryMiddleware(service, mode=mode),
        HumanInTheLoopMiddleware(interrupt_on={"add": True}),
        checkpointer=InMemorySaver(),
    )
    run(agent, said("q0", id="q0"), T)
    run(agent, said("Go."), T)
    agent.update_state(T, {"messages": [HumanMessage("edited", id="q0")]})
    run(agent, Command(resume={"decisions": [{"type": "approve"}]}), T)
    assert [text for _, text in shown(service)] == ["edited", "a0", "Go.", "May I?", "3", "x"]
    assert texts(model.seen[-1])[0] == "edited"


@pytest.mark.parametrize("mode", ["memory", "record"])
def test_an_edited_summary_stays_a_summary(service: SQLiteSessionService, mode: Any) -> None:
    model = ScriptedModel(replies=[AIMessage(f"a{number}") for number in range(6)])
    agent = agent_of(
        model,
        SessionHistoryMiddleware(service, mode=mode),
        SummarizationMiddleware(
            ScriptedModel(replies=[AIMessage("They counted.")]), trigger=("messages", 6), keep=("messages", 2)
        ),
        checkpointer=InMemorySaver(),
    )
    for number in range(4):
        state = agent.invoke(said(f"q{number}"), T)
    agent.update_state(T, {"messages": [state["messages"][0].model_copy(update={"content": "They sang."})]})
    agent.invoke(said("q4"), T)
    (summary,) = [event for event in service.list_events("s") if event.supersedes]
    assert (summary.author, summary.content, summary.supersedes) == ("system", "They sang.", 5)
    assert texts(model.seen[-1])[0] == "They sang."


def test_edits_of_messages_that_others_wrote_are_stored(service: SQLiteSessionService) -> None:
    SQLiteChatMessageHistory("s", service=service).add_messages([HumanMessage("a"), AIMessage("b")])
    looked = [ToolCall("look", {"at": at}, output=[at]) for at in ("left", "right")]
    service.append_events("s", [Event("user", "c"), Event("assistant", "d"), Event("user", "Look."),
                                Event("assistant", "I look.", actions=looked)])  # fmt: skip
    model = ScriptedModel(replies=[AIMessage("r1"), AIMessage("r2")])
    agent = agent_of(model, SessionHistoryMiddleware(service), checkpointer=InMemorySaver())
    stored = service.list_events("s")
    messages = agent.invoke(said("e"), T)["messages"]
    assert service.list_events("s")[:6] == stored, "nothing was edited"
    agent.update_state(
        T, {"messages": [message.model_copy(update={"content": f"{message.content}!"}) for message in messages]}
    )
    agent.invoke(said("f"), T)
    said_now = ["a!", "b!", "c!", "d!", "Look.!", "I look.!", '["left"]!', '["right"]!', "e!", "r1!", "f"]
    assert texts(model.seen[-1]) == said_now
    assert [call.output for call in service.list_events("s")[5].actions] == ['["left"]!', '["right"]!']
    assert texts(SQLiteChatMessageHistory("s", service=service).messages) == [*said_now, "r2"]


def test_what_a_checkpointer_makes_of_a_message_is_no_edit(service: SQLiteSessionService) -> None:
    @tool(response_format="content_and_artifact")
    def look() -> Any:
        """Looks."""
        return "seen", {"at": (1, 2), "set": {3}}

    model = ScriptedModel(replies=[calls(("look", {}, "c1")), AIMessage("r1"), AIMessage("r2"), AIMessage("r3")])
    for mode in ("memory", "record"):
        model.replies[:] = [calls(("look", {}, "c1")), AIMessage("r1"), AIMessage("r2")]
        config = {"configurable": {"thread_id": mode}}
        agent = agent_of(
            model,
            SessionHistoryMiddleware(service, mode=mode),
            tools=[look],
            checkpointer=InMemorySaver(),
        )
        agent.invoke(said("Go."), config)
        first = [(event, event.message) for event in service.list_events(mode)]
        agent.invoke(said("And?"), config)
        assert [(event, event.message) for event in service.list_events(mode)][:4] == first


@pytest.mark.parametrize("mode", ["memory", "record"])
def test_a_redaction_is_not_undone_by_a_checkpointer_that_has_the_text(
    service: SQLiteSessionService, run: Run, mode: Any
) -> None:
    agent, model, _ = edited_thread(service, mode)
    service.redact("1 \\+ 2|It is 3", session="s")
    run(agent, said("And?"), T)
    assert [text for _, text in shown(service)][:4] == ["[redacted]?", "Let me see.", "3", "[redacted]."]
    if mode == "memory":
        assert texts(model.seen[-1])[:4] == ["[redacted]?", "Let me see.", "3", "[redacted]."]


def test_a_message_that_the_state_lost_stays_in_the_session(service: SQLiteSessionService) -> None:
    agent, _, messages = edited_thread(service)
    agent.update_state(T, {"messages": [RemoveMessage(message.id) for message in messages[:2]]})
    agent.invoke(said("And?"), T)
    assert [text for _, text in shown(service)][:2] == ["1 + 2?", "Let me see."]


# ---------------------------------------------------------------- clients that send everything again


def spoken(messages: list[BaseMessage], form: str) -> list[Any]:
    """The messages as a client sends them that keeps no ids."""
    if form == "dicts":
        assert not any(message.tool_calls for message in messages if isinstance(message, AIMessage))
        return [{"role": {"human": "user", "ai": "assistant"}[m.type], "content": m.content} for m in messages]
    if form == "blocks":
        return [m.model_copy(update={"id": None, "content": [{"type": "text", "text": m.text}]}) for m in messages]
    return [m.model_copy(update={"id": None}) for m in messages]


def everything_each_turn(run: Run, agent: Any, config: Any, form: str, *questions: str) -> list[BaseMessage]:
    """What a client has after asking; it sends what it has at each turn."""
    messages: list[BaseMessage] = []
    for question in questions:
        state = run(agent, {"messages": [*spoken(messages, form), ("user", question)]}, config)
        messages = state["messages"]
    return messages


@pytest.mark.parametrize("mode", ["memory", "record"])
@pytest.mark.parametrize("saver", [None, InMemorySaver])
@pytest.mark.parametrize("form", ["dicts", "strings", "blocks"])
def test_a_client_that_sends_everything_at_each_turn_doubles_nothing(
    service: SQLiteSessionService, run: Run, mode: Any, saver: Any, form: str
) -> None:
    model = ScriptedModel(replies=[AIMessage(f"a{number}") for number in range(4)])
    agent = agent_of(model, SessionHistoryMiddleware(service, mode=mode), checkpointer=saver and saver())
    config = {"configurable": {"session_id": "s", "thread_id": "t"}}
    messages = everything_each_turn(run, agent, config, form, "q0", "q1", "q1", "q3")
    expected = ["q0", "a0", "q1", "a1", "q1", "a2", "q3", "a3"]
    assert [text for _, text in shown(service)] == texts(messages) == expected
    assert texts(model.seen[-1]) == expected[:-1]
    assert [message.id for message in messages] == [event.message_id for event in service.list_events("s")]


@pytest.mark.parametrize("mode", ["memory", "record"])
@pytest.mark.parametrize("form", ["strings", "blocks"])
def test_tool_calls_and_results_that_are_sent_again_are_not_doubled(
    service: SQLiteSessionService, run: Run, mode: Any, form: str
) -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    thinking = [{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "It is 3."}]
    both = calls(("add", {"a": 1, "b": 2}, "c1"), ("add", {"a": 3, "b": 4}, "c2"), text="Let me see.")
    replies = [both, AIMessage(thinking, usage_metadata=usage), AIMessage("a1"), AIMessage("a2")]  # type: ignore[arg-type]
    model = ScriptedModel(replies=replies)
    agent = agent_of(model, SessionHistoryMiddleware(service, mode=mode))
    everything_each_turn(run, agent, S, form, "1 + 2, 3 + 4?", "q1", "q2")
    events = service.list_events("s")
    assert [event.author for event in events] == ["user", "assistant", "tool", "tool", "assistant"] + [
        "user", "assistant"] * 2  # fmt: skip
    assert events[4].reasoning == "hm", "the stored message stays as it came"
    assert [row["status"] for row in service.tool_calls()] == ["ok", "ok"]
    assert len(model.seen[-1]) == 8


def test_results_of_parallel_calls_are_known_again_in_the_order_in_which_they_arrived(
    service: SQLiteSessionService,
) -> None:
    """The client has read the conversation from the store, where the quicker tool's result stands first."""
    history = SQLiteChatMessageHistory("s", service=service)
    both = calls(("add", {"a": 1}, "slow"), ("add", {"a": 2}, "quick"))
    results = [ToolMessage("2", tool_call_id="quick"), ToolMessage("1", tool_call_id="slow")]
    history.add_messages([HumanMessage("q0"), both, *results, AIMessage("a0")])
    model = ScriptedModel(replies=[AIMessage("a1")])
    agent = agent_of(model, SessionHistoryMiddleware(service))
    agent.invoke({"messages": [*spoken(history.messages, "strings"), ("user", "q1")]}, S)
    assert [text for _, text in shown(service)] == ["q0", "", "2", "1", "a0", "q1", "a1"]
    assert texts(model.seen[-1]) == ["q0", "", "1", "2", "a0", "q1"]


def test_a_part_of_the_conversation_that_is_sent_again_is_known_whatever_the_window(
    service: SQLiteSessionService,
) -> None:
    """The client keeps less than the session has, and the window shows less than the client sends."""
    for number in range(6):
        SQLiteChatMessageHistory("s", service=service).add_messages(
            [HumanMessage(f"q{number}"), AIMessage(f"a{number}")]
        )
    model = ScriptedModel(replies=[AIMessage("a6"), AIMessage("a7")])
    agent = agent_of(model, SessionHistoryMiddleware(service, limit=2))
    kept = [("user", "q4"), ("assistant", "a4"), ("user", "q5"), ("assistant", "a5")]
    agent.invoke({"messages": [*kept, ("user", "q6")]}, S)
    assert texts(model.seen[-1]) == ["q5", "a5", "q6"]
    agent.invoke({"messages": [("assistant", "a6"), ("user", "q7")]}, S)
    assert [text for _, text in shown(service)] == [text for n in range(8) for text in (f"q{n}", f"a{n}")]


def test_a_summary_does_not_hide_what_is_sent_again(service: SQLiteSessionService) -> None:
    history = SQLiteChatMessageHistory("s", service=service)
    history.add_messages([HumanMessage("q0"), AIMessage("a0"), HumanMessage("q1"), AIMessage("a1")])
    service.summarize_session("s", lambda messages: "so far", keep_last=2)
    model = ScriptedModel(replies=[AIMessage("a2")])
    agent = agent_of(model, SessionHistoryMiddleware(service))
    sent = [("user", "q0"), ("assistant", "a0"), ("user", "q1"), ("assistant", "a1"), ("user", "q2")]
    agent.invoke({"messages": sent}, S)
    assert texts(model.seen[-1]) == ["so far", "q1", "a1", "q2"]
    assert [text for author, text in shown(service) if author != "system"] == ["q0", "a0", "q1", "a1", "q2", "a2"]


@pytest.mark.parametrize("mode", ["memory", "record"])
def test_a_question_that_is_tried_again_without_an_id_is_there_once(
    service: SQLiteSessionService, run: Run, mode: Any
) -> None:
    model = ScriptedModel(replies=[AIMessage("a0"), ConnectionError("no line"), ConnectionError(), AIMessage("a1")])
    agent = agent_of(model, SessionHistoryMiddleware(service, mode=mode))
    run(agent, said("q0"), S)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            run(agent, said("q1"), S)
    run(agent, said("q1"), S)
    assert [text for _, text in shown(service)] == ["q0", "a0", "q1", "a1"]


@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.parametrize("whole", [True, False], ids=["whole conversation", "question alone"])
@pytest.mark.parametrize("mode", ["memory", "record"])
def test_a_client_that_keeps_no_tool_calls_doubles_nothing_also_when_a_run_ended_in_a_tool(
    service: SQLiteSessionService, run: Run, mode: Any, whole: bool, steps: int
) -> None:
    @tool
    def flaky() -> str:
        """Fails."""
        raise RuntimeError("no line")

    model = ScriptedModel(
        replies=[
            AIMessage("a0"),
            *(calls(("add", {"a": number, "b": 1}, f"c{number}"), text=f"{number}.") for number in range(steps)),
            calls(("flaky", {}, "c"), text="Then."),
            AIMessage("a1"),
            AIMessage("a2"),
        ]
    )
    agent = agent_of(model, SessionHistoryMiddleware(service, mode=mode), tools=[add, flaky])
    before = [("user", "q0"), ("assistant", "a0")] if whole else []
    run(agent, said("q0"), S)
    with pytest.raises(RuntimeError):
        run(agent, {"messages": [*before, ("user", "q1")]}, S)
    run(agent, {"messages": [*before, ("user", "q1")]}, S)
    run(agent, {"messages": [*before, ("user", "q1"), ("assistant", "a1"), ("user", "q1")]}, S)
    said_by_both = [text for author, text in shown(service) if author != "tool"]
    made = [f"{number}." for number in range(steps)]
    assert said_by_both == ["q0", "a0", "q1", *made, "Then.", "a1", "q1", "a2"]
    assert_accepted(model.seen[-1])


@pytest.mark.parametrize("mode", ["memory", "record"])
def test_equal_questions_stay_two(service: SQLiteSessionService, run: Run, mode: Any) -> None:
    model = ScriptedModel(replies=[AIMessage("ok") for _ in range(5)])
    agent = agent_of(model, SessionHistoryMiddleware(service, mode=mode))
    run(agent, said("go on"), S)
    run(agent, said("go on"), S)
    run(agent, {"messages": [("user", "once"), ("user", "once")]}, S)
    run(agent, {"messages": [("system", "Be brief."), ("user", "go on")]}, S)
    run(agent, {"messages": [("system", "Be brief."), ("user", "go on")]}, S)
    assert [text for _, text in shown(service)] == [
        "go on", "ok", "go on", "ok", "once", "once", "ok", "Be brief.", "go on", "ok", "Be brief.", "go on", "ok",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "stored", "count"),
    [
        ([HumanMessage("a"), AIMessage("b"), HumanMessage("c")], [HumanMessage("a"), AIMessage("b")], 2),
        ([HumanMessage("a"), HumanMessage("c")], [HumanMessage("a")], 1),
        ([HumanMessage("a"), HumanMessage("a")], [HumanMessage("a")], 1),
        ([HumanMessage("a")], [HumanMessage("a"), AIMessage("b")], 0),
        ([AIMessage("a")], [HumanMessage("a")], 0),
        ([SystemMessage("s"), HumanMessage("a")], [SystemMessage("s")], 0),
        ([SystemMessage("s"), HumanMessage("a")], [SystemMessage("s"), HumanMessage("a")], 2),
        ([HumanMessage("a"), AIMessage("b")], [HumanMessage("x"), HumanMessage("a"), AIMessage("b")], 2),
        ([HumanMessage("x"), AIMessage("b")], [HumanMessage("a"), AIMessage("b")], 0),
        ([calls(("f", {"a": 1}, "c"))], [calls(("f", {"a": 2}, "c"))], 0),
        ([ToolMessage("r", tool_call_id="c")], [ToolMessage("r", tool_call_id="c")], 0),
        (
            [HumanMessage([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:x"}}])],
            [HumanMessage([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:y"}}])],
            0,
        ),
        ([HumanMessage([{"type": "text", "text": "a"}])], [HumanMessage("a")], 1),
        ([HumanMessage(["a"])], [HumanMessage("a")], 1),
        ([], [HumanMessage("a")], 0),
        ([HumanMessage("a")], [], 0),
    ],
)
def test_an_overlap_is_the_longest_that_has_a_reply_or_an_unanswered_question(
    given: list[BaseMessage], stored: list[BaseMessage], count: int
) -> None:
    assert overlap(given, stored) == count


# ---------------------------------------------------------------- runs that are stopped


def astream_until_stopped(agent: Any, question: str, model: StoppedModel, how: str, config: Any = S) -> None:
    """Streams a run, and stops it when the model has said what it says before WAIT."""

    async def main() -> None:
        reached = asyncio.Event()
        model.reached = reached.set

        async def read() -> None:
            async for _ in agent.astream(said(question), config, stream_mode="messages"):
                pass

        if how == "cancelled":
            task = asyncio.create_task(read())
            await asyncio.wait_for(reached.wait(), 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        elif how == "cancelled again and again":  # as anyio does, which web servers run on
            task = asyncio.create_task(read())
            await asyncio.wait_for(reached.wait(), 30)
            while not task.done():
                task.cancel()
                await asyncio.sleep(0)
        elif how == "timed out":
            task = asyncio.create_task(read())
            await asyncio.wait_for(reached.wait(), 30)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(task, 0.01)
        else:  # the client goes away
            stream = agent.astream(said(question), config, stream_mode="messages")
            async for _ in stream:
                if reached.is_set() or how == "closed at once":
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reached.wait(), 0.2)
            await stream.aclose()

    asyncio.run(main())


HOW = ["cancelled", "cancelled again and again", "timed out", "closed"]


@pytest.mark.parametrize("mode", ["memory", "record"])
@pytest.mark.parametrize("how", HOW)
def test_a_session_says_that_a_run_ended_without_a_reply(service: SQLiteSessionService, mode: Any, how: str) -> None:
    model = StoppedModel(replies=[AIMessage("one two WAIT")])
    astream_until_stopped(agent_of(model, SessionHistoryMiddleware(service, mode=mode)), "Count.", model, how)
    (event,) = service.list_events("s")
    assert (event.author, event.content, event.interrupted) == ("user", "Count.", "CancelledError")
    assert texts(SQLiteChatMessageHistory("s", service=service).messages) == ["Count."], "no message is invented"
    shown_as_text = "\n".join(terminal_text(service.get_session("s"), service.list_events("s")))
    assert "The run ended here without a reply (CancelledError)." in shown_as_text
    assert "The run ended here without a reply (CancelledError)." in service.get_session("s")._repr_html_()
    assert "The run ended here without a reply" in service.list_events("s")._repr_html_()
    assert [overview.interrupted for overview in service.session_overviews()] == ["CancelledError"]
    assert service.search("Count")
    assert not service.search("CancelledError")
    assert service.usage() == []


@pytest.mark.parametrize("how", HOW)
def test_what_had_been_streamed_is_kept_where_that_is_wanted(service: SQLiteSessionService, how: str) -> None:
    model = StoppedModel(replies=[AIMessage("one two WAIT"), AIMessage("Five.")])
    agent = agent_of(model, SessionHistoryMiddleware(service, keep_interrupted=True))
    astream_until_stopped(agent, "Count.", model, how)
    question, reply = service.list_events("s")
    assert (reply.author, reply.content, reply.interrupted) == ("assistant", "one two", "CancelledError")
    assert question.interrupted == ""
    assert "This reply was interrupted (CancelledError)." in reply._repr_html_()
    asyncio.run(agent.ainvoke(said("Go on."), S))
    assert texts(model.seen[-1]) == ["Count.", "one two", "Go on."]
    assert model.seen[-1][1].response_metadata["interrupted"] == "CancelledError"
    assert [text for _, text in shown(service)] == ["Count.", "one two", "Go on.", "Five."]
    assert [hit.event.seq for hit in service.search("two")] == [2]


@pytest.mark.parametrize("id", ["m1", None])
@pytest.mark.parametrize("mode", ["memory", "record"])
@pytest.mark.parametrize("keep", [True, False])
def test_a_run_that_is_tried_again_after_a_stop_has_its_reply_in_place(
    service: SQLiteSessionService, id: str | None, mode: Any, keep: bool
) -> None:
    model = StoppedModel(replies=[AIMessage("one two WAIT"), AIMessage("one WAIT"), AIMessage("One two three.")])
    agent = agent_of(model, SessionHistoryMiddleware(service, mode=mode, keep_interrupted=keep))
    for _ in range(2):
        astream_until_stopped(agent, "Count.", model, "cancelled")
    state = asyncio.run(agent.ainvoke(said("Count.", id=id), S))
    assert texts(model.seen[-1]) == ["Count."]
    assert texts(state["messages"]) == ["Count.", "One two three."]
    if id is None:
        assert shown(service) == [("user", "Count."), ("assistant", "One two three.")]
        assert [event.interrupted for event in service.list_events("s")] == ["", ""]
        assert not service.search("interrupted")
        assert service.list_events("s")[1].message_id == state["messages"][-1].id
    assert service.check().ok


@pytest.mark.parametrize(
    "reply",
    [
        calls(("add", {"a": 1, "b": 2}, "c1"), text="Let me see."),
        AIMessage([{"type": "thinking", "thinking": "hm", "index": 0}, {"type": "text", "text": "Yes", "index": 1}]),
    ],
    ids=["in the middle of a call", "after reasoning without a signature"],
)
def test_of_a_stopped_reply_only_what_a_provider_accepts_is_sent_again(
    service: SQLiteSessionService, reply: AIMessage
) -> None:
    model = StoppedModel(replies=[reply, AIMessage("ok")])
    agent = agent_of(model, SessionHistoryMiddleware(service, keep_interrupted=True))
    astream_until_stopped(agent, "Go.", model, "cancelled")
    asyncio.run(agent.ainvoke(said("Well?"), S))
    kept = model.seen[-1][1]
    assert isinstance(kept, AIMessage)
    assert kept.content == ("Yes" if isinstance(reply.content, list) else "Let me see.")
    assert kept.tool_calls == kept.invalid_tool_calls == []
    assert [message.type for message in model.seen[-1]] == ["human", "ai", "human"]


@pytest.mark.parametrize("reply", ["WAIT", " WAIT", [{"type": "thinking", "thinking": "hm", "index": 0}]])
def test_a_stopped_reply_without_text_is_no_message(service: SQLiteSessionService, reply: Any) -> None:
    model = StoppedModel(replies=[AIMessage(reply)])
    agent = agent_of(model, SessionHistoryMiddleware(service, keep_interrupted=True))
    astream_until_stopped(agent, "Go.", model, "cancelled")
    assert [(event.content, event.interrupted) for event in service.list_events("s")] == [("Go.", "CancelledError")]


@pytest.mark.parametrize("keep", [True, False])
def test_a_model_that_fails_in_the_middle_of_a_reply_ends_the_run_without_one(
    service: SQLiteSessionService, keep: bool
) -> None:
    agent = agent_of(
        StreamingModel(replies=[AIMessage("one two BREAK three"), AIMessage("a1")]),
        SessionHistoryMiddleware(service, keep_interrupted=keep),
    )
    with pytest.raises(ConnectionError):
        list(agent.stream(said("Count."), S, stream_mode="messages"))
    kept = [("user", "Count.", ""), ("assistant", "one two", "ConnectionError")]
    marked = [("user", "Count.", "ConnectionError")]
    found = [(event.author, event.content, event.interrupted) for event in service.list_events("s")]
    assert found == (kept if keep else marked)


def test_a_run_that_is_stopped_in_a_tool_is_known_as_one_until_it_goes_on(service: SQLiteSessionService) -> None:
    started: list[asyncio.Event] = []

    @tool
    async def wait() -> str:
        """Waits."""
        started[0].set()
        await asyncio.sleep(3600)
        return "never"

    model = ScriptedModel(replies=[calls(("wait", {}, "c1")), AIMessage("I am back.")])
    agent = agent_of(model, SessionHistoryMiddleware(service), tools=[wait])

    async def main() -> None:
        started.append(asyncio.Event())
        task = asyncio.create_task(agent.ainvoke(said("Go."), S))
        await asyncio.wait_for(started[0].wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [event.interrupted for event in service.list_events("s")] == ["", "CancelledError"]
        await agent.ainvoke(said("Are you there?"), S)

    asyncio.run(main())
    assert texts(model.seen[-1]) == ["Go.", "", NO_RESULT, "Are you there?"]
    assert service.list_events("s")[1].interrupted == "CancelledError", "so it was"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whatever_ends_a_run_is_noted(service: SQLiteSessionService, stop: type[BaseException]) -> None:
    def ends(_: Any) -> AIMessage:
        raise stop

    agent = agent_of(ScriptedModel(replies=[ends]), SessionHistoryMiddleware(service))
    with pytest.raises(stop):
        agent.invoke(said("Go."), S)
    assert [event.interrupted for event in service.list_events("s")] == [stop.__name__]


def test_a_person_who_is_asked_interrupts_nothing(service: SQLiteSessionService, run: Run) -> None:
    from langgraph.types import interrupt

    @tool
    def ask() -> str:
        """Asks."""
        return str(interrupt("Well?"))

    model = ScriptedModel(replies=[calls(("ask", {}, "c1")), AIMessage("Done.")])
    agent = agent_of(model, SessionHistoryMiddleware(service), tools=[ask], checkpointer=InMemorySaver())
    run(agent, said("Go."), T)
    run(agent, Command(resume="yes"), T)
    assert not any(event.interrupted for event in service.list_events("s"))


def test_a_run_that_was_killed_is_noted_when_the_next_one_begins(service: SQLiteSessionService, run: Run) -> None:
    service.append_messages("s", [Event("user", "Go.", message='{"type":"human"}', message_id="m1")], create=True)
    model = ScriptedModel(replies=[AIMessage("ok")])
    run(agent_of(model, SessionHistoryMiddleware(service)), said("Well?"), S)
    assert [event.interrupted for event in service.list_events("s")] == ["unknown", "", ""]


def test_a_slow_run_takes_the_note_away_that_a_quick_one_made(service: SQLiteSessionService) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(_: Any) -> AIMessage:
        inside.set()
        go_on.wait(30)
        return AIMessage("A")

    first = agent_of(ScriptedModel(replies=[slow]), SessionHistoryMiddleware(service))
    thread = threading.Thread(target=first.invoke, args=(said("slow"), S))
    thread.start()
    assert inside.wait(30)
    agent_of(ScriptedModel(replies=[AIMessage("B")]), SessionHistoryMiddleware(service)).invoke(said("quick"), S)
    assert [event.interrupted for event in service.list_events("s")] == ["unknown", "", ""]
    go_on.set()
    thread.join()
    assert [event.interrupted for event in service.list_events("s")] == ["", "", "", ""]


def test_a_stop_is_seen_by_the_caller_also_where_it_cannot_be_noted(
    service: SQLiteSessionService, caplog: pytest.LogCaptureFixture
) -> None:
    def ends(_: Any) -> AIMessage:
        service.close()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        agent_of(ScriptedModel(replies=[ends]), SessionHistoryMiddleware(service)).invoke(said("secret"), S)
    assert "was not written" in caplog.text
    assert "secret" not in caplog.text


def test_a_note_stays_in_a_fork_an_export_and_a_copy(service: SQLiteSessionService, tmp_path: Path) -> None:
    model = StoppedModel(replies=[AIMessage("one two WAIT")])
    agent = agent_of(model, SessionHistoryMiddleware(service, keep_interrupted=True))
    astream_until_stopped(agent, "Count.", model, "cancelled")
    fork = service.fork_session("s")
    service.export(tmp_path / "all.jsonl")
    with SQLiteSessionService(":memory:") as other:
        other.import_(tmp_path / "all.jsonl")
        for store, session in ((service, fork.id), (other, "s")):
            assert [event.interrupted for event in store.list_events(session)] == ["", "CancelledError"]
    service.export(tmp_path / "all.md", format="markdown")
    assert "This reply was interrupted" in (tmp_path / "all.md").read_text("utf-8")


def test_a_sub_agent_that_is_stopped_is_noted_in_its_own_session(service: SQLiteSessionService) -> None:
    sub = agent_of(ScriptedModel(replies=[ConnectionError()]), SessionHistoryMiddleware(service), tools=[])

    @tool
    def research() -> str:
        """Delegates."""
        return str(sub.invoke(said("2 + 2?"))["messages"][-1].content)

    agent = agent_of(
        ScriptedModel(replies=[calls(("research", {}, "c1"))]), SessionHistoryMiddleware(service), tools=[research]
    )
    with pytest.raises(ConnectionError):
        agent.invoke(said("?"), S)
    assert [event.interrupted for event in service.list_events("s")] == ["", "ConnectionError"]
    assert [event.interrupted for event in service.list_events("s/c1")] == ["ConnectionError"]


# ---------------------------------------------------------------- summaries


@pytest.mark.parametrize("mode", ["memory", "record"])
@pytest.mark.parametrize("history_first", [True, False])
def test_a_summary_is_stored_as_one_and_not_made_again(
    service: SQLiteSessionService, run: Run, mode: Any, history_first: bool
) -> None:
    summarizer = ScriptedModel(replies=[AIMessage("They counted.")])
    model = ScriptedModel(replies=[AIMessage(f"a{number}") for number in range(6)])
    saver = InMemorySaver()

    def agent() -> Any:
        both = [
            SessionHistoryMiddleware(service, mode=mode),
            SummarizationMiddleware(summarizer, trigger=("messages", 6), keep=("messages", 2)),
        ]
        return agent_of(
            model, *(both if history_first else both[::-1]), checkpointer=saver if mode == "record" else None
        )

    for number in range(4):
        run(agent(), said(f"q{number}"), T)
    assert len(summarizer.seen) == 1
    assert model.seen[-1][0].additional_kwargs == {"lc_source": "summarization"}
    assert texts(model.seen[-1])[1:] == ["a2", "q3"]
    (summary,) = [event for event in service.list_events("s") if event.supersedes]
    assert (summary.author, summary.supersedes) == ("system", 5)
    assert [text for author, text in shown(service) if author != "system"] == [
        text for number in range(4) for text in (f"q{number}", f"a{number}")
    ]
    run(agent(), said("q4"), T)
    assert len(summarizer.seen) == 1, "it was made again"
    assert texts(model.seen[-1])[1:] == ["a2", "q3", "a3", "q4"]
    assert isinstance(model.seen[-1][0], HumanMessage)
    assert "They counted." in str(model.seen[-1][0].content)
    window = SQLiteChatMessageHistory("s", service=service, limit=100).messages
    assert texts(window) == [*texts(model.seen[-1]), "a4"]


def test_a_second_summary_takes_the_place_of_the_first(service: SQLiteSessionService) -> None:
    summarizer = ScriptedModel(replies=[AIMessage("first"), AIMessage("second")])
    model = ScriptedModel(replies=[AIMessage(f"a{number}") for number in range(9)])
    for number in range(6):
        agent = agent_of(
            model,
            SessionHistoryMiddleware(service),
            SummarizationMiddleware(summarizer, trigger=("messages", 6), keep=("messages", 2)),
        )
        agent.invoke(said(f"q{number}"), S)
    assert len(summarizer.seen) == 2
    assert "first" in texts(summarizer.seen[1])[0]
    window = texts(SQLiteChatMessageHistory("s", service=service, limit=100).messages)
    assert "second" in window[0]
    assert len(window) == 4


# ---------------------------------------------------------------- failures


def test_a_write_that_fails_ends_the_run_or_is_logged(
    service: SQLiteSessionService, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    small = SQLiteSessionService(":memory:", max_event_bytes=60)
    for on_error in ("raise", "log"):
        model = ScriptedModel(replies=[AIMessage("x" * 100), AIMessage("fine")])
        agent = agent_of(model, SessionHistoryMiddleware(small, on_error=on_error))
        if on_error == "raise":
            with pytest.raises(InvalidInputError, match="too large"):
                run(agent, said("?"), S)
            continue
        small.clear_session("s")
        state = run(agent, said("?"), S)
        assert len(state["messages"]) == 2
        assert [text for _, text in shown(small)] == ["?"]
        assert "session 's' was not written" in caplog.text
        assert "xxx" not in caplog.text


def test_a_closed_store_ends_the_run(service: SQLiteSessionService, run: Run) -> None:
    service.close()
    with pytest.raises(StoreClosedError):
        run(agent_of(ScriptedModel(replies=[AIMessage("ok")]), SessionHistoryMiddleware(service)), said("?"), S)


def test_a_tool_is_not_run_again_because_its_result_could_not_be_written(service: SQLiteSessionService) -> None:
    from langchain.agents.middleware import ToolRetryMiddleware

    ran = []

    @tool
    def close_store() -> str:
        """Closes the store."""
        ran.append(1)
        service.close()
        return "closed"

    model = ScriptedModel(replies=[calls(("close_store", {}, "c1")), AIMessage("ok")])
    agent = agent_of(
        model,
        SessionHistoryMiddleware(service),
        ToolRetryMiddleware(max_retries=2, initial_delay=0),
        tools=[close_store],
    )
    with pytest.raises(StoreError):
        agent.invoke(said("?"), S)
    assert ran == [1]


@pytest.mark.parametrize(
    "wrong", [{"mode": "both"}, {"on_error": "ignore"}, {"limit": -1}, {"session_id": ""}, {"user_id": 3}]
)
def test_wrong_arguments_are_refused_at_once(service: SQLiteSessionService, wrong: Any) -> None:
    with pytest.raises(InvalidInputError):
        SessionHistoryMiddleware(service, **wrong)
    with pytest.raises(InvalidInputError):
        SessionHistoryMiddleware("sessions.db")  # type: ignore[arg-type]


# ---------------------------------------------------------------- sub-agents


@pytest.mark.parametrize("mode", ["memory", "record"])
@pytest.mark.parametrize("saver", [None, InMemorySaver])
def test_a_sub_agent_has_a_session_of_its_own(service: SQLiteSessionService, run: Run, mode: Any, saver: Any) -> None:
    sub_model = ScriptedModel(replies=[calls(("add", {"a": 2, "b": 2}, "x1")), AIMessage("4 it is.")])
    sub = agent_of(sub_model, SessionHistoryMiddleware(service, mode=mode), tools=[add])

    @tool
    def researcher(question: str) -> str:
        """Delegates."""
        return str(sub.invoke(said(question))["messages"][-1].content)

    model = ScriptedModel(replies=[calls(("researcher", {"question": "2 + 2?"}, "c1")), AIMessage("Four.")])
    config = {"configurable": {"session_id": "s", "thread_id": "t"}}
    agent = agent_of(
        model, SessionHistoryMiddleware(service, mode=mode), tools=[researcher], checkpointer=saver and saver()
    )
    run(agent, said("What is 2 + 2?"), config)
    assert [text for _, text in shown(service)] == ["What is 2 + 2?", "", "4 it is.", "Four."]
    assert [text for _, text in shown(service, "s/c1")] == ["2 + 2?", "", "4", "4 it is."]
    within = service.get_session("s/c1")
    assert within.agent_id == "researcher"
    assert within.metadata == {"parent_session": "s", "tool_call_id": "c1"}


def test_sub_agents_of_sub_agents_do_not_meet(service: SQLiteSessionService) -> None:
    inner = agent_of(ScriptedModel(replies=[AIMessage("deep")]), SessionHistoryMiddleware(service), tools=[])

    @tool
    def deeper() -> str:
        """Delegates."""
        return str(inner.invoke(said("inner?"))["messages"][-1].content)

    middle = agent_of(
        ScriptedModel(replies=[calls(("deeper", {}, "c2")), AIMessage("middle")]),
        SessionHistoryMiddleware(service),
        tools=[deeper],
    )

    @tool
    def deep() -> str:
        """Delegates."""
        return str(middle.invoke(said("middle?"))["messages"][-1].content)

    outer = agent_of(
        ScriptedModel(replies=[calls(("deep", {}, "c1")), AIMessage("outer")]),
        SessionHistoryMiddleware(service),
        tools=[deep],
    )
    outer.invoke(said("outer?"), S)
    assert [text for _, text in shown(service)] == ["outer?", "", "middle", "outer"]
    assert [text for _, text in shown(service, "s/c1")] == ["middle?", "", "deep", "middle"]
    assert [text for _, text in shown(service, "s/c1/c2")] == ["inner?", "deep"]


def test_a_sub_agent_writes_where_it_is_told_to(service: SQLiteSessionService) -> None:
    sub_model = ScriptedModel(replies=[AIMessage("noted"), AIMessage("noted again")])
    sub = agent_of(sub_model, SessionHistoryMiddleware(service, session_id="notebook"))

    @tool
    def note() -> str:
        """Delegates."""
        return str(sub.invoke(said("note this"))["messages"][-1].content)

    model = ScriptedModel(replies=[calls(("note", {}, "c1")), calls(("note", {}, "c2")), AIMessage("ok")])
    agent_of(model, SessionHistoryMiddleware(service), tools=[note]).invoke(said("?"), S)
    assert texts(sub_model.seen[-1]) == ["note this", "noted", "note this"]
    assert [session.id for session in service.list_sessions()] == ["s", "notebook"]


# ---------------------------------------------------------------- the store's part


def test_a_message_is_looked_up_by_an_index_however_many_there_are(service: SQLiteSessionService) -> None:
    from session_sqlite import queries
    from session_sqlite.where import with_ids

    for statement in (queries.MESSAGE_SEQS, queries.MESSAGES, queries.EVENTS_WITHOUT_MESSAGE_ID):
        sql, params = with_ids(statement, [f"m{number}" for number in range(300)])
        params |= {"app_name": "default", "user_id": "default", "session_id": "s"}
        plan = [row["detail"] for row in service.query(f"EXPLAIN QUERY PLAN {sql}", params)]
        assert all(line.startswith("SEARCH") for line in plan), plan
        assert "events_message" in plan[0] or "events_id" in plan[0]


def test_what_no_column_holds_of_a_message_without_an_id_changes_in_place(service: SQLiteSessionService) -> None:
    history = SQLiteChatMessageHistory("s", service=service)
    history.add_messages([HumanMessage("a"), AIMessage("b")])
    _, reply = service.list_events("s")
    edited = AIMessage("b", id=reply.id, additional_kwargs={"note": 1})  # as an agent's state has it
    service.append_messages("s", [message_to_event(edited)])
    assert [message.additional_kwargs for message in history.messages] == [{}, {"note": 1}]


def test_messages_are_appended_once_and_changed_in_place(service: SQLiteSessionService) -> None:
    events = [Event("user", "one", message_id="m1"), Event("assistant", "two", message_id="m2")]
    first = service.append_messages("s", events, create=True)
    updated_at = service.get_session("s").updated_at
    assert service.append_messages("s", events) == first
    assert service.get_session("s").updated_at == updated_at
    again = service.append_messages(
        "s", [Event("user", "uno", message_id="m1"), Event("user", "three", message_id="m3")]
    )
    assert [(event.seq, event.content) for event in service.list_events("s")] == [(1, "uno"), (2, "two"), (3, "three")]
    assert again[0].id == first[0].id
    assert service.find_messages("s", ["m1", "m3", "m9"]) == {"m1": 1, "m3": 3}
    assert [hit.event.seq for hit in service.search("uno")] == [1]
    assert not service.search("one")
    service.check()
    with pytest.raises(InvalidInputError):
        service.append_messages("s", [Event("user", "no id")])


def test_many_writers_of_the_same_messages_store_each_once(service: SQLiteSessionService) -> None:
    events = [Event("user", str(number), message_id=f"m{number}") for number in range(20)]
    threads = [
        threading.Thread(target=service.append_messages, args=("s", events), kwargs={"create": True}) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.content for event in service.list_events("s")] == [str(number) for number in range(20)]


def test_where_langchain_has_no_chat_history_any_more_all_of_it_still_works() -> None:
    """As it is announced for langchain-core 2.0: `BaseChatMessageHistory` is deprecated."""
    code = """
import sys
sys.modules["langchain_core.chat_history"] = sys.modules["langchain_core.runnables.history"] = None
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from scripted import ScriptedModel
from session_sqlite import SessionHistoryMiddleware, SessionRecorder, SQLiteSessionService
service = SQLiteSessionService(":memory:")
agent = create_agent(ScriptedModel(replies=[AIMessage("a")]), middleware=[SessionHistoryMiddleware(service)])
config = {"configurable": {"session_id": "s"}, "callbacks": [SessionRecorder(service, "r")]}
agent.invoke({"messages": [("user", "?")]}, config)
print([len(service.list_events(session)) for session in ("s", "r")])
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests", capture_output=True, text=True)
    assert result.stdout == "[2, 2]\n", result.stderr


def test_the_deprecated_base_is_imported_in_one_place_and_its_methods_are_our_own() -> None:
    sources = [
        path for path in (ROOT / "src").rglob("*.py") if "langchain_core.chat_history" in path.read_text("utf-8")
    ]
    assert [path.name for path in sources] == ["history.py"]
    inherited = {name for name in vars(BaseChatMessageHistory) if not name.startswith("_")}
    assert inherited - set(vars(SQLiteChatMessageHistory)) == set()


def test_without_langchain_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['langchain'] = None\nfrom session_sqlite import SessionHistoryMiddleware"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'session-sqlite[agent]'" in result.stderr
    assert (
        subprocess.run([sys.executable, "-c", code.replace("SessionHistoryMiddleware", "SessionRecorder")]).returncode
        == 0
    )


def test_a_window_over_a_summary_without_a_later_question_has_it_once(service: SQLiteSessionService) -> None:
    """What `SummarizationMiddleware` wrote is a message of the user, but no turn of a window."""
    summary = HumanMessage("so far", additional_kwargs={"lc_source": "summarization"})
    looked = [ToolCall("look", {"at": at}, output="seen") for at in ("left", "right")]
    service.append_events(
        "s",
        [
            Event("user", "Look."),
            Event("assistant", "I looked.", actions=looked),
            replace(message_to_event(summary), author="system", supersedes=1),
        ],
        create=True,
    )
    window = SQLiteChatMessageHistory("s", service=service, limit=2).messages
    assert texts(window) == ["so far", "I looked.", "seen", "seen"]
