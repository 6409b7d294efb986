"""What stands above the service works on a server as it does on a file: LangChain, transcripts, plots, notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import backends
import kinds_of_messages
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool
from scripted import ScriptedModel

from session_sqlite import (
    AsyncSessionService,
    Event,
    SessionHistoryMiddleware,
    SessionRecorder,
    SessionService,
    SQLAlchemySessionService,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    ToolCall,
    Usage,
    history_tools,
    plots,
)
from session_sqlite.service import copy_sessions
from session_sqlite.transcript import html_page


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[SQLAlchemySessionService]:
    with SQLAlchemySessionService(backends.empty_store(request.param), app_name="app", user_id="user") as service:
        yield service


@tool
def price_of(tea: str) -> str:
    """The price of a tea."""
    return f"{tea}: 15 €"


def called(tea: str, id: str) -> AIMessage:
    call = {"name": "price_of", "args": {"tea": tea}, "id": id, "type": "tool_call"}
    usage: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    return AIMessage("Let me look.", tool_calls=[call], usage_metadata=usage, response_metadata={"model_name": "m"})


def test_every_kind_of_message_comes_back_as_from_a_file(server: SQLAlchemySessionService, path: Path) -> None:
    with SQLiteSessionService(path) as file:
        for name, message in kinds_of_messages.MESSAGES.items():
            for service in (file, server):
                SQLiteChatMessageHistory(name, service=service).add_message(message)
            there, here = (SQLiteChatMessageHistory(name, service=service).messages for service in (server, file))
            assert list(map(type, there)) == list(map(type, here)), name
            assert repr(there) == repr(here), name


async def test_a_history_is_added_to_read_windowed_and_cleared(server: SQLAlchemySessionService) -> None:
    history = SQLiteChatMessageHistory("s", service=server, limit=2)
    await history.aadd_messages([HumanMessage(f"q{n}") if n % 2 == 0 else AIMessage(f"a{n}") for n in range(6)])
    assert [message.content for message in await history.aget_messages()] == ["q4", "a5"]
    assert len(SQLiteChatMessageHistory("s", service=server).messages) == 6
    await history.aclear()
    assert history.messages == []
    assert server.get_session("s").last_seq == 6


async def test_the_tools_of_a_history_find_and_read_as_on_a_file(server: SQLAlchemySessionService, path: Path) -> None:
    answers: list[list[str]] = []
    with SQLiteSessionService(path, app_name="app", user_id="user") as file:
        for service in (file, server):
            session = service.create_session(session_id="tea", title="Tea")
            session.add_events([Event("user", "Which teapot?"), Event("assistant", "The blue one.")])
            others = service.scope(user_id="other").create_session(session_id="theirs")
            others.add_event("user", "Which teapot? SECRET")
            search, listing, read = history_tools(service)
            answers.append(
                [
                    await search.ainvoke({"question": "Which teapot did we take?"}),
                    listing.invoke({}),
                    await read.ainvoke({"session_id": "tea", "around": 2}),
                    read.invoke({"session_id": "theirs"}),
                ]
            )
    assert answers[0] == answers[1]
    assert "> The blue one." in answers[0][0]
    assert "SECRET" not in str(answers)


def test_a_chain_remembers(server: SQLAlchemySessionService) -> None:
    model = ScriptedModel(replies=[AIMessage("Hello Ada."), AIMessage("You are Ada.")])
    prompt = ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{input}")])
    chain = RunnableWithMessageHistory(
        prompt | model,
        SQLiteChatMessageHistory.factory(service=server),
        input_messages_key="input",
        history_messages_key="history",
    )
    config: Any = {"configurable": {"session_id": "s"}}
    chain.invoke({"input": "I am Ada."}, config)
    chain.invoke({"input": "Who am I?"}, config)
    assert [message.content for message in model.seen[-1]] == ["I am Ada.", "Hello Ada.", "Who am I?"]


def test_an_agent_remembers_and_nothing_is_doubled(server: SQLAlchemySessionService) -> None:
    model = ScriptedModel(replies=[called("oolong", "c1"), AIMessage("15 €."), AIMessage("You asked for oolong.")])
    agent = create_agent(model, [price_of], middleware=[SessionHistoryMiddleware(server)])
    config: Any = {"configurable": {"session_id": "s"}}
    agent.invoke({"messages": [HumanMessage("How much is oolong?")]}, config)
    agent.invoke({"messages": [HumanMessage("What did I ask?")]}, config)
    messages = SQLiteChatMessageHistory("s", service=server).messages
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai", "human", "ai"]
    assert [event.seq for event in server.list_events("s")] == [1, 2, 3, 4, 5, 6]
    calls = server.tool_calls()
    assert [(call["name"], call["args"], call["output"], call["status"]) for call in calls] == [
        ("price_of", {"tea": "oolong"}, "oolong: 15 €", "ok")
    ]
    assert [(row["model"], row["input_tokens"]) for row in server.usage("model")] == [("m", 3)]


def test_a_recorder_records(server: SQLAlchemySessionService) -> None:
    recorder = SessionRecorder(server, "runs")
    ScriptedModel(replies=[AIMessage("A poem.")]).invoke("A poem, please.", {"callbacks": [recorder]})
    events = server.list_events("runs")
    assert [event.content for event in events] == ["A poem, please.", "A poem."]
    assert events[1].metadata["duration_ms"] >= 0


@pytest.fixture
def talk(server: SQLAlchemySessionService) -> Any:
    session = server.create_session(session_id="talk", title="<b>茶</b>")
    session.add_events([
        Event("user", "请帮我 <script>"),
        Event("assistant", "好的", actions=[ToolCall("Read", {"p": 1}, output="x")], usage=Usage("m", 3)),
    ])  # fmt: skip
    SQLiteChatMessageHistory(session.id, service=server).add_messages(
        [HumanMessage("and now?"), called("oolong", "c"), ToolMessage("15", tool_call_id="c"), AIMessage("Done.")]
    )
    return session.refresh()


def test_a_notebook_shows_what_it_shows_of_a_file(talk: Any, server: SQLAlchemySessionService, path: Path) -> None:
    def shown(service: SessionService) -> list[str]:
        session = service.get_session("talk")
        return [
            session._repr_html_(), "".join(html_page(session, session.iter_events())),
            service.list_sessions()._repr_html_(), session.events()._repr_html_(),
            service.search("帮我")._repr_html_(), session.search("oolong")._repr_html_(),
            service.session_overviews()._repr_html_(), str(session.events().to_dataframe()["content"].tolist()),
        ]  # fmt: skip

    with SQLiteSessionService(path, app_name="app", user_id="user") as file:
        copy_sessions(server, file)
        assert shown(server) == shown(file)
    assert "<script>" not in "".join(shown(server)[:1])


def test_plots_draw_the_same_as_of_a_file(
    talk: Any, server: SQLAlchemySessionService, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")

    def drawn(service: SessionService) -> list[Any]:
        axes = [plot(service) for plot in (plots.activity_by_day, plots.tokens_by_model, plots.tool_use,
                                           plots.reply_latency)]  # fmt: skip
        return [
            (ax.get_title(), [label.get_text() for label in ax.get_xticklabels()],
             [tuple(round(edge, 6) for edge in patch.get_extents().bounds) for patch in ax.patches])
            for ax in axes
        ]  # fmt: skip

    with SQLiteSessionService(path, app_name="app", user_id="user") as file:
        copy_sessions(server, file)
        assert drawn(server) == drawn(file)


@pytest.mark.parametrize("format", ["jsonl", "markdown", "html"])
def test_an_export_is_that_of_a_file(talk: Any, server: SQLAlchemySessionService, tmp_path: Path, format: Any) -> None:
    with SQLiteSessionService(tmp_path / "file.db", app_name="app", user_id="user") as file:
        server.export(tmp_path / "there.jsonl")
        file.import_(tmp_path / "there.jsonl")
        for name, service in (("there", server), ("here", file)):
            service.export(tmp_path / name, format=format)
        there, here = ((tmp_path / name).read_text("utf-8").splitlines() for name in ("there", "here"))
        start = int(format == "jsonl")  # the first line says when
        assert there[start:] == here[start:]
        assert server.import_(tmp_path / "there.jsonl").events == 0


def test_figures_are_of_the_types_that_a_file_gives(talk: Any, server: SQLAlchemySessionService, path: Path) -> None:
    def types(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: types(one) for key, one in value.items()}
        return [types(one) for one in value] if isinstance(value, list) else (type(value), value)

    def figures(service: SessionService) -> list[Any]:
        sums = "SELECT sum(seq) AS a, sum(seq) * 1.5 AS b, count(*) AS c, avg(seq) AS d FROM events"
        found = [service.stats(), list(service.usage("model")), list(service.usage(())), list(service.tool_calls()),
                 list(service.activity("author")), list(service.query(sums)), list(service.reply_times())]  # fmt: skip
        return [types(one) for one in found]

    with SQLiteSessionService(path, app_name="app", user_id="user") as file:
        copy_sessions(server, file)
        for there, here in zip(figures(server), figures(file), strict=True):
            assert there == here


async def test_the_awaited_service_works_over_a_server(talk: Any, server: SQLAlchemySessionService) -> None:
    awaiting = AsyncSessionService(server)
    session = await awaiting.get_session("talk")
    await session.add_event("user", "later", state={"step": 1})
    assert [event.content async for event in session.iter_events(author="user")] == [
        "请帮我 <script>", "and now?", "later"
    ]  # fmt: skip
    assert (await session.get_state())["step"] == 1
