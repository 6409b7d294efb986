"""`SessionRecorder` on runs of LangChain as they are."""

import asyncio
import logging
import subprocess
import sys
import time
from importlib.metadata import version
from typing import Any

import pytest
from langchain_core.callbacks import adispatch_custom_event
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool
from packaging.version import Version
from scripted import ScriptedModel, StoppedModel, StreamingModel, calls

from session_sqlite import (
    ANY,
    Event,
    InvalidInputError,
    SessionRecorder,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    StoreClosedError,
)

pytestmark = pytest.mark.every_backend

PROMPT = ChatPromptTemplate([("system", "You are brief."), ("human", "{input}")])


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    time.sleep(0.02)
    return a + b


@tool
def crash(reason: str) -> str:
    """Fails."""
    raise RuntimeError(reason)


def shown(service: SQLiteSessionService, session: str = "s") -> list[tuple[str, str]]:
    return [(event.author, event.content) for event in service.list_events(session)]


def run_sync(runnable: Any, given: Any, config: Any) -> Any:
    return runnable.invoke(given, config)


def run_async(runnable: Any, given: Any, config: Any) -> Any:
    return asyncio.run(runnable.ainvoke(given, config))


def run_stream(runnable: Any, given: Any, config: Any) -> Any:
    return list(runnable.stream(given, config))


def run_astream(runnable: Any, given: Any, config: Any) -> Any:
    async def main() -> list[Any]:
        return [chunk async for chunk in runnable.astream(given, config)]

    return asyncio.run(main())


@pytest.fixture(params=[run_sync, run_async, run_stream, run_astream])
def run(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_a_chain_is_what_the_user_said_and_the_reply_with_its_usage(service: SQLiteSessionService, run: Any) -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    reply = AIMessage("Tea.", usage_metadata=usage, response_metadata={"model_name": "m"})
    run(PROMPT | ScriptedModel(replies=[reply]), {"input": "What?"}, {"callbacks": [SessionRecorder(service, "s")]})
    asked, replied = service.list_events("s")
    assert (asked.author, asked.content, replied.author, replied.content) == ("user", "What?", "assistant", "Tea.")
    assert replied.usage is not None
    assert (replied.usage.model, replied.usage.input_tokens, replied.usage.output_tokens) == ("m", 5, 2)
    assert replied.invocation_id == asked.invocation_id
    assert replied.branch
    assert replied.metadata["name"] == "ScriptedModel"
    assert replied.metadata["duration_ms"] >= 0
    assert [row["output_tokens"] for row in service.usage(by="model")] == [2]


def test_streamed_words_are_one_reply(service: SQLiteSessionService, run: Any) -> None:
    model = StreamingModel(replies=[AIMessage("one two three")])
    run(model, "count", {"callbacks": [SessionRecorder(service, "s")]})
    assert shown(service) == [("user", "count"), ("assistant", "one two three")]


def test_a_reply_that_breaks_off_keeps_what_came_of_it(service: SQLiteSessionService) -> None:
    model = StreamingModel(replies=[AIMessage("one two BREAK three")])
    with pytest.raises(ConnectionError):
        list(model.stream("count", {"callbacks": [SessionRecorder(service, "s")]}))
    failed = service.list_events("s")[-1]
    assert failed.content == "one two"
    assert failed.metadata["error"] == "ConnectionError: the line is dead"


def test_a_tool_has_its_arguments_output_and_duration(service: SQLiteSessionService, run: Any) -> None:
    run(add, {"a": 1, "b": 2}, {"callbacks": [SessionRecorder(service, "s")]})
    (event,) = service.list_events("s")
    (call,) = event.actions
    assert (event.author, call.name, call.args, call.output) == ("tool", "add", {"a": 1, "b": 2}, 3)
    assert event.metadata["duration_ms"] >= 20
    (row,) = service.tool_calls()
    assert (row["name"], row["args"], row["output"], row["status"]) == ("add", {"a": 1, "b": 2}, "3", "ok")


def test_a_tool_that_a_model_called_is_joined_with_its_call(service: SQLiteSessionService, run: Any) -> None:
    model = ScriptedModel(replies=[calls(("add", {"a": 1, "b": 2}, "c1"))])
    chain = model | RunnableLambda(lambda message: add.invoke(message.tool_calls[0]))
    run(chain, "1 + 2?", {"callbacks": [SessionRecorder(service, "s")]})
    assert shown(service) == [("user", "1 + 2?"), ("assistant", ""), ("tool", "3")]
    assert service.list_events("s")[-1].actions[0].args == {"a": 1, "b": 2}
    (row,) = service.tool_calls()
    assert (row["call_id"], row["status"], row["output"]) == ("c1", "ok", "3")


def test_a_tool_that_fails_has_its_error(service: SQLiteSessionService, run: Any) -> None:
    with pytest.raises(RuntimeError):
        run(crash, {"reason": "no"}, {"callbacks": [SessionRecorder(service, "s")]})
    (row,) = service.tool_calls()
    assert (row["name"], row["status"], row["error"]) == ("crash", "error", "RuntimeError: no")


def test_values_that_json_cannot_hold_are_shown_by_their_type(service: SQLiteSessionService) -> None:
    @tool
    def odd(value: Any) -> Any:
        """Returns something odd."""
        return {"kept": 1, "odd": object(), "list": [object(), 2]}

    odd.invoke({"value": {1, 2}}, {"callbacks": [SessionRecorder(service, "s", on_error="raise")]})
    (call,) = service.list_events("s")[0].actions
    assert call.args == {"value": "<set>"}
    assert call.output == {"kept": 1, "odd": "<object>", "list": ["<object>", 2]}


def test_a_model_of_texts_is_recorded_with_the_usage_beside_its_reply(service: SQLiteSessionService, run: Any) -> None:
    run(FakeListLLM(responses=["the reply"]), "the prompt", {"callbacks": [SessionRecorder(service, "s")]})
    assert shown(service) == [("user", "the prompt"), ("assistant", "the reply")]

    from langchain_core.outputs import Generation, LLMResult

    recorder = SessionRecorder(service, "t")
    import uuid

    id = uuid.uuid4()
    recorder.on_llm_start({}, ["p"], run_id=id)
    output = {"token_usage": {"prompt_tokens": 3, "completion_tokens": 4}, "model_name": "old"}
    recorder.on_llm_end(LLMResult(generations=[[Generation(text="r")]], llm_output=output), run_id=id)
    usage = service.list_events("t")[-1].usage
    assert usage is not None
    assert (usage.model, usage.input_tokens, usage.output_tokens) == ("old", 3, 4)


def test_an_agent_reads_as_the_conversation_that_it_was(service: SQLiteSessionService, run: Any) -> None:
    from langchain.agents import create_agent

    model = ScriptedModel(
        replies=[calls(("add", {"a": 1, "b": 2}, "c1"), ("add", {"a": 3, "b": 4}, "c2")), AIMessage("3 and 7.")]
    )
    agent = create_agent(model, [add], system_prompt="You add.", name="adder")
    run(agent, {"messages": [("user", "1 + 2, 3 + 4?")]}, {"callbacks": [SessionRecorder(service, "s")]})
    events = service.list_events("s")
    assert [event.author for event in events] == ["user", "assistant", "tool", "tool", "assistant"]
    assert {event.agent_id for event in events} == {"adder"}
    assert {row["status"] for row in service.tool_calls()} == {"ok"}
    assert len({event.invocation_id for event in events}) == 4
    assert all(event.branch for event in events)


def test_what_a_person_is_asked_is_no_error_of_the_tool(service: SQLiteSessionService) -> None:
    from langchain.agents import create_agent
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command, interrupt

    @tool
    def ask() -> str:
        """Asks."""
        return str(interrupt("Well?"))

    agent = create_agent(
        ScriptedModel(replies=[calls(("ask", {}, "c1")), AIMessage("ok")]), [ask], checkpointer=InMemorySaver()
    )
    config: Any = {"configurable": {"thread_id": "thread"}, "callbacks": [SessionRecorder(service)]}
    agent.invoke({"messages": [("user", "Go.")]}, config)
    assert shown(service, "thread") == [("user", "Go."), ("assistant", "")]
    agent.invoke(Command(resume="yes"), config)
    assert shown(service, "thread") == [("user", "Go."), ("assistant", ""), ("tool", "yes"), ("assistant", "ok")]


def test_what_a_user_said_stands_once_however_often_a_model_is_asked(service: SQLiteSessionService) -> None:
    model = ScriptedModel(replies=[ConnectionError("no"), AIMessage("a"), AIMessage("b")])
    both = RunnableParallel(one=model.with_retry(wait_exponential_jitter=False), two=model)
    with pytest.raises(ConnectionError):
        RunnableParallel(one=model, two=model).invoke(
            "?", {"callbacks": [SessionRecorder(service, "s")], "max_concurrency": 1}
        )
    model.replies[:] = [ConnectionError("no"), AIMessage("a"), AIMessage("b")]
    both.invoke("?", {"callbacks": [SessionRecorder(service, "t")], "max_concurrency": 1})
    assert [text for author, text in shown(service, "t") if author == "user"] == ["?"]
    assert sorted(text for author, text in shown(service, "t") if author == "assistant") == ["", "a", "b"]


def test_only_what_is_new_of_a_prompt_is_recorded(service: SQLiteSessionService) -> None:
    model = ScriptedModel(replies=[AIMessage("2")], is_strict=False)
    prompt = [
        SystemMessage("s"),
        HumanMessage("old"),
        AIMessage("1"),
        ToolMessage("t", tool_call_id="c"),
        HumanMessage("new"),
    ]
    model.invoke(prompt, {"callbacks": [SessionRecorder(service, "s")]})
    assert shown(service) == [("user", "new"), ("assistant", "2")]


def test_the_session_is_that_of_the_argument_the_metadata_the_config_or_the_run(service: SQLiteSessionService) -> None:
    def stored_in(recorder: SessionRecorder, runnable: Any = None, **config: Any) -> str:
        (runnable or ScriptedModel(replies=[AIMessage("ok")])).invoke("?", {"callbacks": [recorder], **config})
        (session,) = service.list_sessions(app_name=ANY, user_id=ANY)
        assert session.last_seq == 2
        session.delete()
        return f"{session.app_name}/{session.user_id}/{session.id}"

    metadata = {"session_id": "of metadata", "user_id": "ada"}
    assert stored_in(SessionRecorder(service, "given"), metadata=metadata) == "default/ada/given"
    given = SessionRecorder(service, "given", app_name="shop", user_id="eve")
    assert stored_in(given, metadata=metadata) == "shop/eve/given"
    assert stored_in(SessionRecorder(service), metadata=metadata) == "default/ada/of metadata"
    assert stored_in(SessionRecorder(service), metadata={"thread_id": "t"}) == "default/default/t"
    chain = RunnableLambda(lambda text: text) | ScriptedModel(replies=[AIMessage("ok")])
    assert stored_in(SessionRecorder(service), chain, configurable={"session_id": "of config"}).endswith("of config")
    import uuid

    run_id = uuid.uuid4()
    assert stored_in(SessionRecorder(service), run_id=run_id) == f"default/default/{run_id}"


def test_runs_within_one_run_share_its_session(service: SQLiteSessionService, run: Any) -> None:
    chain = RunnableLambda(lambda text: text) | ScriptedModel(replies=[AIMessage("a")]) | (lambda m: m.content)
    chain = chain | ScriptedModel(replies=[AIMessage("b")])
    run(chain, "?", {"callbacks": [SessionRecorder(service)]})
    (session,) = service.list_sessions()
    assert [event.content for event in session.events()] == ["?", "a", "a", "b"]


@pytest.mark.parametrize(
    "filters",
    [{"exclude_names": ["researcher"]}, {"exclude_tags": ["private"]}, {"exclude_metadata": {"team": "research"}}],
    ids=str,
)
def test_a_sub_agent_is_left_out_with_all_it_does(service: SQLiteSessionService, run: Any, filters: Any) -> None:
    from langchain.agents import create_agent

    sub_model = ScriptedModel(replies=[calls(("add", {"a": 2, "b": 2}, "x1")), AIMessage("4")])
    sub = create_agent(sub_model, [add], name="researcher").with_config(tags=["private"], metadata={"team": "research"})

    @tool
    def research(question: str) -> str:
        """Delegates."""
        return str(sub.invoke({"messages": [("user", question)]})["messages"][-1].content)

    model = ScriptedModel(replies=[calls(("research", {"question": "2 + 2?"}, "c1")), AIMessage("Four.")])
    agent = create_agent(model, [research])
    run(agent, {"messages": [("user", "?")]}, {"callbacks": [SessionRecorder(service, "all")]})
    assert len(shown(service, "all")) == 8
    sub_model.replies[:] = [calls(("add", {"a": 2, "b": 2}, "x1")), AIMessage("4")]
    model.replies[:] = [calls(("research", {"question": "2 + 2?"}, "c1")), AIMessage("Four.")]
    run(agent, {"messages": [("user", "?")]}, {"callbacks": [SessionRecorder(service, "s", **filters)]})
    assert [text for _, text in shown(service)] == ["?", "", "4", "Four."]


@pytest.mark.skipif(
    Version(version("langchain")) < Version("1.2.8"),
    reason="this release of langchain does not mark what it asks for a summary",
)
def test_a_summarizer_is_left_out(service: SQLiteSessionService) -> None:
    from langchain.agents import create_agent
    from langchain.agents.middleware import SummarizationMiddleware

    middleware = SummarizationMiddleware(
        ScriptedModel(replies=[AIMessage("summary")]), trigger=("messages", 3), keep=("messages", 1)
    )
    agent = create_agent(ScriptedModel(replies=[AIMessage("ok")]), [], middleware=[middleware])
    messages = [HumanMessage("a"), AIMessage("b"), HumanMessage("c")]
    recorder = SessionRecorder(service, "s", exclude_metadata={"lc_source": "summarization"})
    agent.invoke({"messages": messages}, {"callbacks": [recorder]})
    assert "summary" not in [text for _, text in shown(service)]
    assert shown(service)[-1] == ("assistant", "ok")


def test_a_batch_is_a_session_for_each(service: SQLiteSessionService) -> None:
    model = ScriptedModel(replies=[lambda messages: AIMessage(f"re: {messages[-1].content}")] * 5)
    model.batch([str(n) for n in range(5)], {"callbacks": [SessionRecorder(service)]})
    found = sorted([event.content for event in session.events()] for session in service.list_sessions())
    assert found == [[str(n), f"re: {n}"] for n in range(5)]


def test_a_failed_write_is_logged_or_ends_the_run(
    service: SQLiteSessionService, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.close()
    model = ScriptedModel(replies=[AIMessage("secret")] * 4)
    with caplog.at_level(logging.ERROR):
        run(model, "secret", {"callbacks": [SessionRecorder(service, "s")]})
    assert "was not recorded" in caplog.text
    assert "secret" not in caplog.text
    with pytest.raises(StoreClosedError):
        run(model, "?", {"callbacks": [SessionRecorder(service, "s", on_error="raise")]})


def test_nothing_is_remembered_of_runs_that_are_over(service: SQLiteSessionService) -> None:
    recorder = SessionRecorder(service, "s")
    chain = PROMPT | StreamingModel(replies=[AIMessage("one two")] * 2)
    chain.invoke({"input": "?"}, {"callbacks": [recorder]})
    stream = chain.stream({"input": "?"}, {"callbacks": [recorder]})
    next(stream)
    stream.close()
    assert recorder._runs == {}


def test_custom_events_are_none_of_its_business(service: SQLiteSessionService) -> None:
    async def work(text: str) -> str:
        await adispatch_custom_event("progress", {"done": 1})
        return text

    asyncio.run(RunnableLambda(work).ainvoke("?", {"callbacks": [SessionRecorder(service, "s", on_error="raise")]}))
    assert service.list_sessions() == []


@pytest.mark.parametrize("wrong", [{"on_error": "x"}, {"exclude_tags": "private"}, {"session_id": ""}, {"user_id": 3}])
def test_wrong_arguments_are_refused_at_once(service: SQLiteSessionService, wrong: Any) -> None:
    with pytest.raises(InvalidInputError):
        SessionRecorder(service, **wrong)


def test_it_needs_only_langchain_core() -> None:
    code = "import sys; sys.modules.update(langchain=None, langgraph=None, langchain_classic=None)\n"
    code += "from session_sqlite import SessionRecorder; print([m for m in sys.modules if m.startswith('langgraph.')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_events_are_found_by_run(service: SQLiteSessionService) -> None:
    chain = PROMPT | ScriptedModel(replies=[AIMessage("a")])
    chain.invoke({"input": "?"}, {"callbacks": [SessionRecorder(service, "s")]})
    event: Event = service.list_events("s")[-1]
    assert len(service.list_events("s", invocation_id=event.invocation_id)) == 2
    assert len(service.list_events("s", branch=event.branch)) == 2


def test_a_question_that_is_tried_again_stands_once_and_no_reply_is_invented(
    service: SQLiteSessionService, run: Any
) -> None:
    model = ScriptedModel(replies=[AIMessage("a0"), ConnectionError("no line"), ConnectionError(), AIMessage("a1")])
    config = {"callbacks": [SessionRecorder(service, "s")]}
    run(model, "q0", config)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            run(model, "q1", config)
    run(model, "q1", config)
    assert shown(service) == [
        ("user", "q0"), ("assistant", "a0"), ("user", "q1"), ("assistant", ""), ("assistant", ""), ("assistant", "a1"),
    ]  # fmt: skip
    messages = SQLiteChatMessageHistory("s", service=service).messages
    assert [message.content for message in messages] == ["q0", "a0", "q1", "a1"]


def test_a_question_that_was_answered_and_is_asked_again_stands_twice(service: SQLiteSessionService, run: Any) -> None:
    model = ScriptedModel(replies=[AIMessage("a0"), AIMessage("a1")])
    for _ in range(2):
        run(model, "go on", {"callbacks": [SessionRecorder(service, "s")]})
    assert [text for _, text in shown(service)] == ["go on", "a0", "go on", "a1"]


def test_a_client_that_sends_everything_at_each_turn_doubles_nothing(service: SQLiteSessionService, run: Any) -> None:
    model = ScriptedModel(replies=[AIMessage(f"a{number}") for number in range(3)])
    messages: list[BaseMessage] = []
    for number in range(3):
        messages.append(HumanMessage(f"q{number}"))
        run(model, messages, {"callbacks": [SessionRecorder(service, "s")]})
        messages.append(AIMessage(f"a{number}"))
    assert [text for _, text in shown(service)] == ["q0", "a0", "q1", "a1", "q2", "a2"]


# ---------------------------------------------------------------- replies that are stopped


def stopped_chain(history: Any, recorder: SessionRecorder, replies: list[AIMessage]) -> tuple[Any, StoppedModel, Any]:
    model = StoppedModel(replies=replies)
    prompt = ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{input}")])
    chain = RunnableWithMessageHistory(
        prompt | model, history, input_messages_key="input", history_messages_key="history"
    )
    return chain, model, {"configurable": {"session_id": "s"}, "callbacks": [recorder]}


def stop_when_reached(chain: Any, model: StoppedModel, given: Any, config: Any, how: str) -> None:
    async def main() -> None:
        reached = asyncio.Event()
        model.reached = reached.set

        async def read() -> None:
            async for _ in chain.astream(given, config):
                pass

        if how == "cancelled":
            task = asyncio.create_task(read())
            await asyncio.wait_for(reached.wait(), 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            stream = chain.astream(given, config)
            async for chunk in stream:
                if "two" in chunk.content:
                    break
            await stream.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_what_a_stopped_chain_had_said_is_kept_beside_its_history(service: SQLiteSessionService, how: str) -> None:
    recorder = SessionRecorder(service, interrupted_only=True)
    factory = SQLiteChatMessageHistory.factory(service=service)
    replies = [AIMessage("Ready."), AIMessage("one two WAIT"), AIMessage("Five.")]
    chain, model, config = stopped_chain(factory, recorder, replies)
    asyncio.run(chain.ainvoke({"input": "Hello."}, config))
    stop_when_reached(chain, model, {"input": "Count."}, config, how)
    *_, question, reply = service.list_events("s")
    assert (question.content, reply.content) == ("Count.", "one two")
    assert reply.interrupted in ("CancelledError", "GeneratorExit")
    asyncio.run(chain.ainvoke({"input": "Go on."}, config))
    assert [message.content for message in model.seen[-1]] == ["Hello.", "Ready.", "Count.", "one two", "Go on."]
    assert [text for _, text in shown(service)] == ["Hello.", "Ready.", "Count.", "one two", "Go on.", "Five."]


def test_a_run_that_ends_well_is_left_to_the_history(service: SQLiteSessionService, run: Any) -> None:
    model = StreamingModel(replies=[AIMessage("one BREAK"), AIMessage("one two")])
    retried = model.with_retry(wait_exponential_jitter=False)
    recorder = SessionRecorder(service, "s", interrupted_only=True)
    RunnableLambda(lambda text: retried.invoke(text)).invoke("Count.", {"callbacks": [recorder]})
    assert service.list_sessions() == []
    with pytest.raises(ConnectionError):
        StreamingModel(replies=[ConnectionError()]).invoke("Count.", {"callbacks": [recorder]})
    assert service.list_sessions() == [], "nothing was said"


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_a_recorded_reply_that_is_stopped_says_so(service: SQLiteSessionService, how: str) -> None:
    model = StoppedModel(replies=[AIMessage("one two WAIT")])
    stop_when_reached(model, model, "Count.", {"callbacks": [SessionRecorder(service, "s")]}, how)
    question, reply = service.list_events("s")
    assert (reply.content, bool(reply.interrupted), question.interrupted) == ("one two", True, "")
    assert [message.content for message in SQLiteChatMessageHistory("s", service=service).messages] == [
        "Count.", "one two"]  # fmt: skip


def test_a_stream_that_is_closed_says_so(service: SQLiteSessionService) -> None:
    model = StreamingModel(replies=[AIMessage("one two three")])
    stream = model.stream("Count.", {"callbacks": [SessionRecorder(service, "s")]})
    next(stream)
    stream.close()
    assert [(event.content, event.interrupted) for event in service.list_events("s")] == [
        ("Count.", ""), ("one", "GeneratorExit")]  # fmt: skip


def test_a_call_that_was_stopped_in_the_middle_is_not_sent_again(service: SQLiteSessionService) -> None:
    model = StoppedModel(replies=[calls(("add", {"a": 1, "b": 2}, "c1"), text="Let me see.")])
    stop_when_reached(model, model, "1 + 2?", {"callbacks": [SessionRecorder(service, "s")]}, "cancelled")
    reply = SQLiteChatMessageHistory("s", service=service).messages[-1]
    assert isinstance(reply, AIMessage)
    assert (reply.content, reply.tool_calls, reply.invalid_tool_calls) == ("Let me see.", [], [])
