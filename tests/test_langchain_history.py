"""A history is what LangChain's chains and memories expect of one, on one object from any thread and event loop."""

import asyncio
import gc
import inspect
import logging
import sqlite3
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import backends
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.language_models import FakeListLLM, SimpleChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import ConfigurableFieldSpec, Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from message_strategies import histories
from provider_rules import assert_accepted

from session_sqlite import (
    ANY,
    Event,
    InvalidInputError,
    NotSerializableError,
    ReadOnlyStoreError,
    SessionNotFoundError,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    StoreClosedError,
    ToolCall,
)
from session_sqlite.langchain import history as history_module
from session_sqlite.operations.windows import LOOK_BACK_EVENTS
from session_sqlite.testing.chat_histories import ChatHistoryContracts

PROMPT = ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{input}")])
TOOL_CALL = {"name": "Read", "args": {"path": "main.go"}, "id": "call-1", "type": "tool_call"}


class Listener(SimpleChatModel):
    """Answers with everything that people said in its prompt, word by word when it streams."""

    @property
    def _llm_type(self) -> str:
        return "listener"

    def _call(self, messages: list[BaseMessage], **kwargs: Any) -> str:
        return "heard " + " | ".join(message.text for message in messages if message.type == "human")

    def _stream(self, messages: list[BaseMessage], **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for word in self._call(messages).split(" "):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word + " "))

    async def _astream(self, messages: list[BaseMessage], **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            yield chunk

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Any = None) -> int:
        return letters(messages)


def letters(messages: list[BaseMessage]) -> int:
    return sum(len(message.text) for message in messages)


def remembering(factory: Callable[..., BaseChatMessageHistory], **options: Any) -> RunnableWithMessageHistory:
    keys = {"input_messages_key": "input", "history_messages_key": "history", **options}
    return RunnableWithMessageHistory(PROMPT | Listener(), factory, **keys)


def session(session_id: str = "s", **fields: str) -> RunnableConfig:
    return {"configurable": {"session_id": session_id, **fields}}


def texts(history: BaseChatMessageHistory) -> list[str]:
    return [message.text.strip() for message in history.messages]


def kinds(messages: list[BaseMessage]) -> list[str]:
    return [message.type for message in messages]


def in_new_process(code: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code, *arguments], capture_output=True, text=True, encoding="utf-8"
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# ---------------------------------------------------------------- what every history does


class TestContracts(ChatHistoryContracts):
    @pytest.fixture(params=["path", "service", "postgresql", "mariadb"])
    def open_history(
        self, request: pytest.FixtureRequest, path: Path
    ) -> Iterator[Callable[[str], SQLiteChatMessageHistory]]:
        if request.param == "path":
            yield lambda session_id: SQLiteChatMessageHistory(session_id, path)
            return
        with backends.opened("file" if request.param == "service" else request.param, path) as service:
            yield lambda session_id: SQLiteChatMessageHistory(session_id, service=service)


# ---------------------------------------------------------------- chains


def _invoke(chain: Runnable[Any, Any], line: str) -> str:
    return chain.invoke({"input": line}, session()).text


def _ainvoke(chain: Runnable[Any, Any], line: str) -> str:
    return asyncio.run(chain.ainvoke({"input": line}, session())).text


def _stream(chain: Runnable[Any, Any], line: str) -> str:
    return "".join(chunk.text for chunk in chain.stream({"input": line}, session()))


def _astream(chain: Runnable[Any, Any], line: str) -> str:
    async def text() -> str:
        return "".join([chunk.text async for chunk in chain.astream({"input": line}, session())])

    return asyncio.run(text())


def _batch(chain: Runnable[Any, Any], line: str) -> str:
    mine, other = chain.batch([{"input": line}, {"input": "I am Bob."}], [session(), session("other")])
    assert "Ada" not in other.text
    return mine.text


def _abatch(chain: Runnable[Any, Any], line: str) -> str:
    mine, other = asyncio.run(chain.abatch([{"input": line}, {"input": "I am Bob."}], [session(), session("other")]))
    assert "Ada" not in other.text
    return mine.text


@pytest.mark.parametrize(
    "say", [_invoke, _ainvoke, _stream, _astream, _batch, _abatch], ids=lambda say: say.__name__[1:]
)
def test_a_chain_remembers_in_every_way_it_is_called(say: Callable[..., str], path: Path) -> None:
    chain = remembering(SQLiteChatMessageHistory.factory(path))
    assert say(chain, "I am Ada.").strip() == "heard I am Ada."
    assert say(chain, "Who am I?").strip() == "heard I am Ada. | Who am I?"
    history = SQLiteChatMessageHistory("s", path)
    assert texts(history) == ["I am Ada.", "heard I am Ada.", "Who am I?", "heard I am Ada. | Who am I?"]
    assert [isinstance(message, HumanMessage) for message in history.messages] == [True, False, True, False]
    assert isinstance(history.messages[1], AIMessageChunk if "stream" in say.__name__ else AIMessage)


def test_a_bare_chat_model_remembers(path: Path) -> None:
    model = RunnableWithMessageHistory(Listener(), SQLiteChatMessageHistory.factory(path))
    assert model.invoke([HumanMessage("I am Ada.")], session()).text == "heard I am Ada."
    assert model.invoke([HumanMessage("Who am I?")], session()).text == "heard I am Ada. | Who am I?"
    answer = asyncio.run(model.ainvoke([SystemMessage("be brief"), HumanMessage("Who?")], session()))
    assert answer.text == "heard I am Ada. | Who am I? | Who?"
    found = kinds(SQLiteChatMessageHistory("s", path).messages)
    assert found == ["human", "ai", "human", "ai", "system", "human", "ai"]


@pytest.mark.parametrize("window", [{"limit": 2}, {"max_tokens": 30, "token_counter": letters}])
def test_a_bare_chat_model_with_a_window_stores_each_message_once(window: dict[str, Any], path: Path) -> None:
    model = RunnableWithMessageHistory(Listener(), SQLiteChatMessageHistory.factory(path, **window))
    for number in range(5):
        model.invoke([HumanMessage(f"line {number}")], session())
    stored = SQLiteChatMessageHistory("s", path)
    assert [text for text in texts(stored) if text.startswith("line")] == [f"line {number}" for number in range(5)]
    assert texts(stored)[-1] == "heard line 3 | line 4"


def test_a_dict_goes_in_and_out_by_its_keys(path: Path) -> None:
    def answer(value: dict[str, Any]) -> dict[str, Any]:
        assert isinstance(value["past"], list)
        return {"reply": f"{len(value['past'])} before", "debug": "not kept"}

    chain = RunnableWithMessageHistory(
        RunnableLambda(answer),
        SQLiteChatMessageHistory.factory(path),
        input_messages_key="question",
        output_messages_key="reply",
        history_messages_key="past",
    )
    assert chain.invoke({"question": "one", "other": 1}, session())["reply"] == "0 before"
    assert chain.invoke({"question": [HumanMessage("two")], "other": 1}, session())["reply"] == "2 before"
    assert texts(SQLiteChatMessageHistory("s", path)) == ["one", "0 before", "two", "2 before"]


def test_one_conversation_id_under_two_users_stays_apart(path: Path) -> None:
    fields = [
        ConfigurableFieldSpec(id=name, annotation=str, name=name, default="", is_shared=True)
        for name in ("session_id", "user_id")
    ]
    chain = remembering(SQLiteChatMessageHistory.factory(path, app_name="app"), history_factory_config=fields)
    chain.invoke({"input": "I am Ada."}, session("1", user_id="ada"))
    assert chain.invoke({"input": "Who am I?"}, session("1", user_id="bob")).text == "heard Who am I?"
    assert chain.invoke({"input": "Who am I?"}, session("1", user_id="ada")).text == "heard I am Ada. | Who am I?"
    assert len(SQLiteChatMessageHistory("1", path, app_name="app", user_id="ada").messages) == 4
    assert len(SQLiteChatMessageHistory("1", path, app_name="app", user_id="bob").messages) == 2
    assert SQLiteChatMessageHistory("1", path, app_name="app").messages == []


def test_the_one_field_of_a_chain_may_have_any_name(path: Path) -> None:
    field = ConfigurableFieldSpec(id="thread", annotation=str, name="Thread", default="", is_shared=True)
    chain = remembering(SQLiteChatMessageHistory.factory(path), history_factory_config=[field])
    chain.invoke({"input": "I am Ada."}, {"configurable": {"thread": "t"}})
    assert texts(SQLiteChatMessageHistory("t", path))[0] == "I am Ada."


def test_a_factory_takes_the_defaults_of_its_service(path: Path) -> None:
    with SQLiteSessionService(path, app_name="app", user_id="ada") as service:
        make = SQLiteChatMessageHistory.factory(service=service)
        make("1").add_user_message("hers")
        make("1", "bob").add_user_message("his")
        make(session_id="2", user_id="bob").add_user_message("his other")
        assert [event.content for event in service.list_events("1")] == ["hers"]
        assert [one.id for one in service.list_sessions(user_id="bob")] == ["2", "1"]
        across = SQLiteChatMessageHistory.factory(service=service.scope(user_id=ANY))
        assert texts(across("1", user_id="bob")) == ["his"]


# ---------------------------------------------------------------- threads, event loops, processes


def test_a_second_process_reads_what_the_first_wrote(path: Path) -> None:
    history = SQLiteChatMessageHistory("s", path)
    history.add_messages([HumanMessage("请帮我分析代码"), AIMessage("", tool_calls=[TOOL_CALL])])
    code = """
import sys
from langchain_core.messages import ToolMessage
from session_sqlite import SQLiteChatMessageHistory
history = SQLiteChatMessageHistory("s", sys.argv[1])
print(history.messages[0].text, history.messages[1].tool_calls[0]["args"])
history.add_message(ToolMessage("package main", tool_call_id="call-1"))
"""
    assert in_new_process(code, str(path)).strip() == "请帮我分析代码 {'path': 'main.go'}"
    assert kinds(history.messages) == ["human", "ai", "tool"]


def test_it_works_where_langchain_has_no_chat_history_any_more(path: Path) -> None:
    code = """
import asyncio, sys
sys.modules["langchain_core.chat_history"] = None
from langchain_core.messages import AIMessage
from session_sqlite import SQLiteChatMessageHistory
history = SQLiteChatMessageHistory("s", sys.argv[1], limit=10)
history.add_user_message("hello")
asyncio.run(history.aadd_messages([AIMessage("hi")]))
print(SQLiteChatMessageHistory.__mro__[1].__name__, str(history).split("\\n"))
history.clear()
print(history.messages)
"""
    assert in_new_process(code, str(path)).splitlines() == ["object ['Human: hello', 'AI: hi']", "[]"]


# ---------------------------------------------------------------- writing


async def test_one_message_can_be_added_and_all_be_read_awaited(path: Path) -> None:
    history = SQLiteChatMessageHistory("s", path)
    await history.aadd_message(HumanMessage("three"))
    assert await history.aget_messages() == history.get_messages() == history.messages == [HumanMessage("three")]


def test_a_cleared_history_keeps_its_session_and_its_numbering(path: Path) -> None:
    history = SQLiteChatMessageHistory("s", path)
    history.add_messages([HumanMessage("one"), AIMessage("two")])
    history.clear()
    assert history.service.get_session("s").last_seq == 2


def test_assigning_messages_replaces_them(path: Path) -> None:
    history = SQLiteChatMessageHistory("s", path)
    history.messages = [HumanMessage("one"), AIMessage("two")]
    history.messages = [*history.messages[1:], HumanMessage("three")]
    assert texts(history) == ["two", "three"]
    with pytest.raises(InvalidInputError):
        history.messages = [HumanMessage("four"), "five"]  # type: ignore[list-item]
    assert texts(history) == ["two", "three"]
    history.messages = []
    assert history.messages == []


def too_deep() -> AIMessage:
    nested: Any = []
    for _ in range(201):
        nested = [nested]
    return AIMessage("secret words", additional_kwargs={"deep": nested})


@pytest.mark.parametrize("bad", [too_deep(), "a text", None], ids=["too deep", "str", "None"])
def test_a_bad_message_among_others_writes_nothing(bad: Any, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    history = SQLiteChatMessageHistory("s", path)
    for attempt in (
        lambda: history.add_messages([HumanMessage("one"), bad, HumanMessage("three")]),
        lambda: asyncio.run(history.aadd_messages([HumanMessage("one"), bad])),
        lambda: setattr(history, "messages", [HumanMessage("one"), bad]),
    ):
        caplog.clear()
        with pytest.raises(InvalidInputError):
            attempt()
        assert [record.levelno for record in caplog.records] == [logging.ERROR], "a chain swallows it: the log says it"
    with pytest.raises(SessionNotFoundError):
        history.service.get_session("s")
    history.add_user_message("kept")
    with pytest.raises(InvalidInputError):
        history.messages = [bad]
    assert texts(history) == ["kept"]


@pytest.mark.parametrize("messages", ["text", HumanMessage("one"), None, 7])
def test_what_is_no_list_of_messages_is_refused(messages: Any, path: Path) -> None:
    with pytest.raises(InvalidInputError):
        SQLiteChatMessageHistory("s", path).add_messages(messages)


def test_a_failed_write_is_raised_and_logged_without_chat_text(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    SQLiteChatMessageHistory("s", path).add_user_message("before")
    with SQLiteSessionService(path, read_only=True) as service:
        history = SQLiteChatMessageHistory("s", service=service)
        for attempt in (
            lambda: history.add_user_message("secret words"),
            lambda: asyncio.run(history.aadd_messages([AIMessage("secret words")])),
            lambda: setattr(history, "messages", [HumanMessage("secret words")]),
            history.clear,
        ):
            caplog.clear()
            with pytest.raises(ReadOnlyStoreError):
                attempt()
            (record,) = caplog.records
            assert (record.name, record.levelname) == ("session_sqlite", "ERROR")
            assert "'s'" in caplog.text
            assert "secret" not in caplog.text
        assert texts(history) == ["before"]


def test_a_chain_whose_history_cannot_be_written_logs_an_error(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    SQLiteChatMessageHistory("s", path).add_user_message("before")
    with SQLiteSessionService(path, read_only=True) as service:
        chain = remembering(SQLiteChatMessageHistory.factory(service=service))
        assert chain.invoke({"input": "after"}, session()).text == "heard before | after"
    assert [record.levelname for record in caplog.records if record.name == "session_sqlite"] == ["ERROR"]


def test_an_answer_that_cannot_be_stored_is_logged_by_the_chain_s_history(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    factory = SQLiteChatMessageHistory.factory(path)
    chain = RunnableWithMessageHistory(RunnableLambda(lambda _: [too_deep()]), factory)
    chain.invoke([HumanMessage("one")], session())
    (record,) = [record for record in caplog.records if record.name == "session_sqlite"]
    assert (record.levelname, "secret" in record.getMessage()) == ("ERROR", False)
    assert NotSerializableError.__name__ in record.getMessage()


def test_a_closed_service_is_an_error(path: Path) -> None:
    service = SQLiteSessionService(path)
    history = SQLiteChatMessageHistory("s", service=service)
    history.add_user_message("one")
    service.close()
    for attempt in (history.get_messages, history.clear, lambda: history.add_user_message("two")):
        with pytest.raises(StoreClosedError):
            attempt()


# ---------------------------------------------------------------- what an object is


def test_nothing_is_made_before_the_first_use(path: Path) -> None:
    make = SQLiteChatMessageHistory.factory(path)
    history = make("s")
    assert repr(history).startswith("SQLiteChatMessageHistory('s', ")
    assert history.session_id == "s"
    assert not path.exists()
    assert history.messages == []
    history.clear()
    assert path.exists()
    assert history.service.list_sessions() == [], "a session appears at its first write"
    history.add_user_message("one")
    assert [one.id for one in history.service.list_sessions()] == ["s"]


def test_histories_of_one_path_share_one_service(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    make = SQLiteChatMessageHistory.factory(path)
    others = [SQLiteChatMessageHistory("t", str(path)), SQLiteChatMessageHistory("t", path.name), make("s", "ada")]
    assert len({id(history.service) for history in [make("s"), *others]}) == 1
    assert SQLiteChatMessageHistory("s", path.with_name("other.db")).service is not make("s").service


def test_files_that_were_not_used_for_longest_are_closed_unless_somebody_has_them(tmp_path: Path) -> None:
    kept = SQLiteChatMessageHistory("s", tmp_path / "kept.db").service
    in_memory = SQLiteChatMessageHistory("s", ":memory:")
    in_memory.add_user_message("in memory")
    files = [tmp_path / f"{number}.db" for number in range(history_module.KEPT_OPEN + 10)]
    first = weakref.ref(SQLiteChatMessageHistory("s", files[0]).service)
    for file in files:
        SQLiteChatMessageHistory("s", file).add_user_message(file.name)
    gc.collect()
    assert first() is None
    assert not kept.closed
    assert SQLiteChatMessageHistory("s", tmp_path / "kept.db").service is kept
    assert [message.text for message in in_memory.messages] == ["in memory"]
    for file in files:
        assert [message.text for message in SQLiteChatMessageHistory("s", file).messages] == [file.name]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let go of an open file")
@pytest.mark.parametrize("way", ["deleted", "moved"])
def test_histories_begin_anew_where_their_file_was_deleted_or_moved(path: Path, way: str) -> None:
    history = SQLiteChatMessageHistory("s", path)
    history.add_user_message("one")
    if way == "moved":
        path.rename(path.with_name("elsewhere.db"))
        assert [message.text for message in SQLiteChatMessageHistory("s", path).messages] == []
    else:
        path.unlink()
    history.add_user_message("two")
    assert [message.text for message in history.messages] == ["two"]
    if way == "moved":
        elsewhere = SQLiteChatMessageHistory("s", path.with_name("elsewhere.db"))
        assert [message.text for message in elsewhere.messages] == ["one"]


def test_a_service_that_was_dropped_closes_its_file_at_once(path: Path) -> None:
    service = SQLiteSessionService(path)
    history = SQLiteChatMessageHistory("s", service=service)
    history.add_user_message("one")
    assert history.messages
    assert service.search("one")
    assert service.recall("one")
    assert next(service.iter_events("s"))
    assert service.db["sessions"].count == 1
    gc.disable()  # files would add up until the next collection, and a process may have a thousand open
    try:
        database = weakref.ref(service._database)
        del service, history
        assert database() is None
    finally:
        gc.enable()
    assert not path.with_name("sessions.db-wal").exists()


def test_threads_that_are_first_at_once_share_one_service(path: Path) -> None:
    start = threading.Barrier(8)

    def first(number: int) -> int:
        start.wait()
        history = SQLiteChatMessageHistory(str(number), path)
        history.add_user_message("hello")
        return id(history.service)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(first, range(8)))) == 1
    assert len(SQLiteChatMessageHistory("0", path).service.list_sessions()) == 8


def test_a_relative_path_stays_where_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    history = SQLiteChatMessageHistory("s", "relative.db")
    make = SQLiteChatMessageHistory.factory("relative.db")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    history.add_user_message("one")
    assert texts(make("s")) == ["one"]
    assert (tmp_path / "relative.db").exists()
    assert list(elsewhere.iterdir()) == []


def test_without_a_path_it_is_the_app_s_file(tmp_path: Path) -> None:
    SQLiteChatMessageHistory("s", app_name="app").add_user_message("one")
    assert (tmp_path / "default" / "sessions.db").exists()
    assert texts(SQLiteChatMessageHistory.factory(app_name="app")("s")) == ["one"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"session_id": ""},
        {"session_id": " padded "},
        {"session_id": "x" * 129},
        {"session_id": 1},
        {"user_id": ""},
        {"app_name": ANY},
        {"limit": -1},
        {"limit": 1.5},
        {"max_tokens": -1},
        {"max_tokens": True},
        {"token_counter": 3},
        {"path": ""},
        {"path": 7},
    ],
    ids=str,
)
def test_bad_arguments_are_refused_before_a_file_is_made(
    arguments: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError):
        SQLiteChatMessageHistory(**{"session_id": "s", "path": "new.db", **arguments})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "advice"),
    [
        ({"connection": "sqlite:///chat.db"}, r'SQLiteChatMessageHistory\(session_id, "chat.db"\)'),
        ({"connection_string": "postgresql://u@h/d"}, r"service=SQLAlchemySessionService\(url\)"),
        ({"table_name": "messages"}, "session-sqlite import"),
        ({"session_id_field_name": "thread"}, "session-sqlite import"),
        ({"custom_message_converter": object()}, "comes back as it was added"),
        ({"engine_args": {"echo": True}}, "pass it as service="),
        ({"async_mode": True}, "aget_messages"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_argument_of_sql_chat_message_history_is_refused_with_what_to_write_instead(
    old: dict[str, Any], advice: str
) -> None:
    with pytest.raises(InvalidInputError, match=advice) as caught:
        SQLiteChatMessageHistory("s", **old)
    assert f"has no {next(iter(old))}=" in str(caught.value)
    with pytest.raises(InvalidInputError, match=advice):
        SQLiteChatMessageHistory.factory(**old)


def test_every_argument_of_sql_chat_message_history_is_one_here_or_says_what_to_write_instead() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("langchain_community.chat_message_histories.sql")
    theirs = inspect.signature(module.SQLChatMessageHistory.__init__).parameters.keys() - {"self"}
    assert len(theirs) > 5
    for name in theirs - inspect.signature(SQLiteChatMessageHistory).parameters.keys():
        with pytest.raises(InvalidInputError, match=f"has no {name}="):
            SQLiteChatMessageHistory("s", **{name: None})  # type: ignore[arg-type]  # what is not there takes nothing


def test_an_unknown_argument_is_the_error_that_python_has_for_it() -> None:
    for make in (lambda **names: SQLiteChatMessageHistory("s", **names), SQLiteChatMessageHistory.factory):
        with pytest.raises(TypeError, match="unexpected keyword argument 'sesion'"):
            make(sesion=1)


@pytest.mark.parametrize("url", ["sqlite:///chat.db", "postgresql://user:secret@host/db"])
def test_a_url_in_place_of_a_path_says_what_to_write_instead(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        SQLiteChatMessageHistory("s", url)
    assert ("chat.db" if "sqlite" in url else "SQLAlchemySessionService") in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_path_and_a_service_together_are_refused(service: SQLiteSessionService, path: Path) -> None:
    with pytest.raises(InvalidInputError):
        SQLiteChatMessageHistory("s", path, service=service)
    with pytest.raises(InvalidInputError):
        SQLiteChatMessageHistory("s", service=service.scope(user_id=ANY))


# ---------------------------------------------------------------- windows


def conversation(service: SQLiteSessionService) -> list[BaseMessage]:
    """A greeting, four turns with tool calls in both forms and a reply in two parts; the messages of all of it."""
    service.create_session(session_id="s")
    history = SQLiteChatMessageHistory("s", service=service)
    history.add_messages([SystemMessage("be brief"), AIMessage("Welcome.")])
    history.add_messages([HumanMessage("one"), AIMessage("", tool_calls=[TOOL_CALL, {**TOOL_CALL, "id": "call-2"}])])
    history.add_message(ToolMessage("package main", tool_call_id="call-1"))
    history.add_messages([ToolMessage("package other", tool_call_id="call-2"), AIMessage("Both are fine.")])
    actions = [ToolCall("Read", {"n": 1}, output="a"), ToolCall("Read", {"n": 2}, error="gone"), ToolCall("Wait")]
    service.append_events(
        "s",
        [
            Event("user", "two"),
            Event("assistant", "I look.", actions=actions),
            Event("assistant", "One of them is gone.", state={"step": 1}),
            Event("user", "three"),
            Event("assistant", "", actions=[ToolCall("Read", {}, output={"n": [1, 2]})]),
        ],
    )
    history.add_messages([ChatMessage(role="planner", content="Next."), HumanMessage("four"), AIMessage("Bye.")])
    return history.messages


def turns_of(messages: list[BaseMessage]) -> list[list[BaseMessage]]:
    starts = [index for index, message in enumerate(messages) if message.type == "human"]
    return [messages[begin:end] for begin, end in zip([0, *starts], [*starts, len(messages)], strict=True)]


def expected_window(messages: list[BaseMessage], limit: int | None, max_tokens: int | None) -> list[BaseMessage]:
    """The most whole turns from the end that fit, at least the last one; nothing if nothing is wanted."""
    if limit == 0 or max_tokens == 0:
        return []
    turns = turns_of(messages)
    for first in range(len(turns)):
        window = [message for turn in turns[first:] for message in turn]
        if (limit is None or len(window) <= limit) and (max_tokens is None or letters(window) <= max_tokens):
            return window
    return turns[-1]


def test_the_conversation_of_these_tests_has_what_they_need(service: SQLiteSessionService) -> None:
    found = [kinds(turn) for turn in turns_of(conversation(service))]
    assert found == [
        ["system", "ai"],
        ["human", "ai", "tool", "tool", "ai"],
        ["human", "ai", "tool", "tool", "ai"],
        ["human", "ai", "tool", "chat"],
        ["human", "ai"],
    ]


BUDGETS = [0, 1, 7, 8, 22, 23, 24, 40, 50, 55, 90, 120, 1000]


@pytest.mark.parametrize(
    ("limits", "budgets"),
    [(range(22), [None]), ([None], range(140)), ([0, 1, 2, 5, 6, 7, 11, 12, 16, 18, 30], BUDGETS)],
    ids=["limit", "max_tokens", "both"],
)
def test_a_window_is_the_latest_whole_turns_that_fit(limits: Any, budgets: Any, service: SQLiteSessionService) -> None:
    messages = conversation(service)
    for limit, budget in product(limits, budgets):
        history = SQLiteChatMessageHistory("s", service=service, limit=limit, max_tokens=budget, token_counter=letters)
        window = history.messages
        assert kinds(window) == kinds(expected_window(messages, limit, budget)), (limit, budget)
        assert window == messages[len(messages) - len(window) :]
        called: set[str | None] = set()
        for message in window:
            if isinstance(message, AIMessage):
                called.update(call["id"] for call in message.tool_calls)
            assert not isinstance(message, ToolMessage) or message.tool_call_id in called, (limit, budget)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(histories(), st.none() | st.integers(1, 40), st.none() | st.integers(1, 600))
def test_a_window_is_one_that_providers_accept_and_keeps_to_its_limits(
    service: SQLiteSessionService, messages: list[BaseMessage], limit: int | None, budget: int | None
) -> None:
    whole = SQLiteChatMessageHistory("s", service=service)
    whole.messages = messages
    assert whole.messages == messages
    history = SQLiteChatMessageHistory(
        "s", service=service, limit=limit, max_tokens=budget, token_counter=count_tokens_approximately
    )
    window = history.messages
    if limit is None and budget is None:
        return
    assert_accepted(window, each_answered=False)
    turns = [message for message in window if isinstance(message, HumanMessage)]
    assert turns == [message for message in messages if isinstance(message, HumanMessage)][-len(turns) :]
    assert window[-1] == messages[-1]
    assert all(message in messages for message in window)
    results = {id(message) for message in window if isinstance(message, ToolMessage)}
    assert len(results) == sum(isinstance(message, ToolMessage) for message in window)
    too_large = (limit is not None and len(window) > limit) or (
        budget is not None and count_tokens_approximately(window) > budget
    )
    if too_large:  # then it is the last turn, or what a late result joins
        longer = SQLiteChatMessageHistory("s", service=service, limit=1).messages
        assert window == longer


def test_a_result_joins_the_turn_of_its_call_whatever_else_has_results_and_no_call(
    service: SQLiteSessionService,
) -> None:
    call = {"name": "f", "args": {}, "id": "c1"}
    result = ToolMessage("r", tool_call_id="c1")
    first = [HumanMessage("0"), AIMessage("", tool_calls=[call]), result, result, AIMessage("", tool_calls=[call])]
    second = [HumanMessage("1"), ToolMessage("late", tool_call_id="c1"), ToolMessage("?", tool_call_id="gone")]
    last = [AIMessage("so"), HumanMessage("2"), AIMessage("yes")]
    SQLiteChatMessageHistory("s", service=service).messages = [*first, *second, *last]
    for limit in range(1, 12):
        window = SQLiteChatMessageHistory("s", service=service, limit=limit).messages
        assert [message.content for message in window] == (
            ["2", "yes"] if limit < 9 else ["0", "", "r", "", "late", "1", "so", "2", "yes"]
        ), limit
        found = service.last_events("s", limit)
        assert len(found) == (2 if limit < 6 else 11), limit  # whole turns, also those of the late result


ORPHANS: dict[str, list[BaseMessage]] = {
    "a result without a call": [ToolMessage("r", tool_call_id="gone")],
    "a malformed call": [
        AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "c1", "error": None}]),
        ToolMessage("r", tool_call_id="c1"),
    ],
    "a call in the content": [
        AIMessage([{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]),
        ToolMessage("r", tool_call_id="c1"),
    ],
    "a result too many": [
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "c1"}]),
        ToolMessage("r", tool_call_id="c1"),
        ToolMessage("again", tool_call_id="c1"),
    ],
}


@pytest.mark.parametrize("limit", [None, 150])
@pytest.mark.parametrize("name", ORPHANS)
@pytest.mark.parametrize("where", ["everywhere", "in the last turn", "in the first turn"])
def test_a_budget_of_tokens_is_kept_and_used(
    service: SQLiteSessionService, where: str, name: str, limit: int | None
) -> None:
    whole = SQLiteChatMessageHistory("s", service=service)
    for turn in range(60):
        has_it = where == "everywhere" or turn == (59 if where == "in the last turn" else 0)
        odd = ORPHANS[name] if has_it else []
        whole.add_messages([HumanMessage(f"question {turn}, please"), *odd, AIMessage(f"the reply {turn}")])
    history = SQLiteChatMessageHistory("s", service=service, limit=limit, max_tokens=300)
    window = history.messages
    assert_accepted(window)
    assert 300 - 50 <= count_tokens_approximately(window) <= 300
    events = service.last_events("s", 30)
    assert 24 <= len(events) <= 30
    assert events[0].author == "user"


@pytest.mark.parametrize("more", [-3, 3], ids=["less for a list", "more for a list"])
def test_a_counter_may_count_a_list_as_more_or_less_than_its_messages(service: SQLiteSessionService, more: int) -> None:
    def count(messages: list[BaseMessage]) -> int:
        return max(0, sum(10 + (more if position else 0) for position, _ in enumerate(messages)))

    whole = SQLiteChatMessageHistory("s", service=service)
    for turn in range(20):
        whole.add_messages([HumanMessage(f"q{turn}"), AIMessage(f"r{turn}")])
    window = SQLiteChatMessageHistory("s", service=service, max_tokens=120, token_counter=count).messages
    assert count(window) <= 120 < count(whole.messages[-len(window) - 2 :])


def test_a_late_result_stands_behind_its_reply(service: SQLiteSessionService) -> None:
    """The user spoke while a tool was at work."""
    late: list[BaseMessage] = [
        HumanMessage("one"), AIMessage("", tool_calls=[TOOL_CALL]), HumanMessage("two"), AIMessage("yes"),
        ToolMessage("late", tool_call_id="call-1"),
    ]  # fmt: skip
    SQLiteChatMessageHistory("s", service=service).messages = [HumanMessage("zero"), AIMessage("yes"), *late]
    for window in ({"limit": 2}, {"limit": 5}, {"max_tokens": 1}, {"max_tokens": 40}):
        history = SQLiteChatMessageHistory("s", service=service, **window)  # type: ignore[arg-type]
        assert texts(history) == ["one", "", "late", "two", "yes"]
        assert_accepted(history.messages)


def test_results_in_the_content_of_a_user_s_message_begin_no_turn(service: SQLiteSessionService) -> None:
    answer = HumanMessage([{"type": "tool_result", "tool_use_id": "call-1", "content": "4"}])
    SQLiteChatMessageHistory("s", service=service).messages = [
        HumanMessage("zero"), AIMessage("yes"), HumanMessage("one"), AIMessage("", tool_calls=[TOOL_CALL]), answer,
        AIMessage("four"),
    ]  # fmt: skip
    for window in ({"limit": 2}, {"limit": 5}, {"max_tokens": 1}):
        history = SQLiteChatMessageHistory("s", service=service, **window)  # type: ignore[arg-type]
        assert [message.type for message in history.messages] == ["human", "ai", "human", "ai"]


@pytest.mark.parametrize("counter", [letters, Listener()], ids=["function", "model"])
def test_a_function_or_a_model_counts_the_tokens(counter: Any, path: Path) -> None:
    history = SQLiteChatMessageHistory("s", path, max_tokens=20, token_counter=counter)
    for number in range(4):
        history.add_messages([HumanMessage(f"{number}2345"), AIMessage("67890")])
    assert texts(history) == ["22345", "67890", "32345", "67890"]


def test_without_a_counter_langchain_s_approximation_counts(path: Path) -> None:
    history = SQLiteChatMessageHistory("s", path, max_tokens=100)
    history.messages = [message for n in range(50) for message in (HumanMessage(f"line {n}"), AIMessage("yes"))]
    assert 2 <= len(history.messages) < 40
    assert texts(history)[-2:] == ["line 49", "yes"]


@pytest.mark.parametrize(
    "window", [{"limit": 3}, {"max_tokens": 22, "token_counter": letters}], ids=["limit", "tokens"]
)
def test_a_window_begins_with_the_summary_of_what_it_leaves_out(
    window: dict[str, Any], service: SQLiteSessionService
) -> None:
    whole = SQLiteChatMessageHistory("s", service=service)
    for number in range(5):
        whole.add_messages([HumanMessage(f"line {number}"), AIMessage("yes")])
    service.summarize_session("s", lambda messages: f"{len(messages)} lines", keep_last=4)
    history = SQLiteChatMessageHistory("s", service=service, **window)
    assert texts(history) == ["6 lines", "line 4", "yes"]
    whole.add_messages([HumanMessage("line 5"), AIMessage("yes")])
    assert texts(history) == ["6 lines", "line 5", "yes"]
    service.append_event("s", Event("user", "line 6"))
    service.append_event("s", Event("assistant", "", actions=[ToolCall("Read", output=1), ToolCall("Read", output=2)]))
    assert texts(history) == ["6 lines", "line 6", "", "1", "2"]


def test_a_system_message_before_the_first_turn_comes_with_the_whole_conversation(path: Path) -> None:
    history = SQLiteChatMessageHistory("s", path, max_tokens=10, token_counter=letters)
    history.add_messages([SystemMessage("rules"), HumanMessage("hi"), AIMessage("yes")])
    assert texts(history) == ["rules", "hi", "yes"]
    history.add_user_message("no")
    assert texts(history) == ["hi", "yes", "no"]


@pytest.mark.parametrize("window", [{"limit": 1}, {"limit": 3}, {"max_tokens": 5, "token_counter": letters}], ids=str)
def test_a_user_s_event_that_says_nothing_begins_no_window(window: dict[str, Any], path: Path) -> None:
    whole = SQLiteChatMessageHistory("s", path)
    whole.add_messages(
        [HumanMessage("zero"), AIMessage("yes"), HumanMessage("one"), AIMessage("", tool_calls=[TOOL_CALL])]
    )
    whole.service.append_event("s", Event("user", state={"window": "open"}))
    whole.add_message(ToolMessage("package main", tool_call_id="call-1"))
    history = SQLiteChatMessageHistory("s", path, **window)
    assert texts(history) == ["one", "", "package main"]
    whole.service.append_event("s", Event("user", state={"window": "closed"}))
    assert texts(history) == ["one", "", "package main"]


# ---------------------------------------------------------------- rows that nobody can read


def damaged(path: Path) -> SQLiteChatMessageHistory:
    history = SQLiteChatMessageHistory("s", path)
    history.add_messages([HumanMessage("one"), AIMessage("two"), HumanMessage("three"), AIMessage("four")])
    history.add_messages([HumanMessage("five"), AIMessage("six", tool_calls=[TOOL_CALL])])
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE events SET actions = 'no JSON', message = '{' WHERE seq IN (2, 4)")
    connection.close()
    return history


@pytest.mark.parametrize("window", [{}, {"limit": 6}, {"max_tokens": 1000}, {"limit": 6, "max_tokens": 1000}], ids=str)
def test_events_that_cannot_be_read_are_left_out_with_one_warning(
    window: dict[str, Any], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged(path)
    history = SQLiteChatMessageHistory("s", path, **window)
    assert texts(history) == ["one", "three", "five", "six"]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("session_sqlite", "WARNING")
    assert "2 event(s)" in record.getMessage()
    assert "no JSON" not in caplog.text


def test_events_that_only_change_state_are_no_messages(service: SQLiteSessionService) -> None:
    history = SQLiteChatMessageHistory("s", service=service)
    history.add_user_message("one")
    service.append_event("s", Event("system", state={"step": 1}))
    history.add_ai_message("two")
    assert texts(history) == ["one", "two"]


# ---------------------------------------------------------------- langchain-classic


@pytest.fixture
def classic() -> Any:
    with warnings.catch_warnings():  # all of its memories are deprecated; people have them
        warnings.simplefilter("ignore", DeprecationWarning)
        yield pytest.importorskip("langchain_classic.memory")


def test_a_buffer_memory_keeps_its_messages_in_a_history(classic: Any, path: Path) -> None:
    memory = classic.ConversationBufferMemory(chat_memory=SQLiteChatMessageHistory("s", path), return_messages=True)
    memory.save_context({"input": "I am Ada."}, {"output": "Hello."})
    again = classic.ConversationBufferMemory(chat_memory=SQLiteChatMessageHistory("s", path))
    assert again.load_memory_variables({}) == {"history": "Human: I am Ada.\nAI: Hello."}
    assert memory.load_memory_variables({})["history"] == [HumanMessage("I am Ada."), AIMessage("Hello.")]
    asyncio.run(again.asave_context({"input": "And you?"}, {"output": "A memory."}))
    assert len(asyncio.run(memory.aload_memory_variables({}))["history"]) == 4
    memory.clear()
    assert again.load_memory_variables({}) == {"history": ""}


def test_a_window_memory_keeps_its_messages_in_a_history(classic: Any, path: Path) -> None:
    history = SQLiteChatMessageHistory("s", path)
    memory = classic.ConversationBufferWindowMemory(chat_memory=history, k=1)
    for number in range(3):
        memory.save_context({"input": f"in {number}"}, {"output": f"out {number}"})
    assert memory.load_memory_variables({}) == {"history": "Human: in 2\nAI: out 2"}
    assert len(history.messages) == 6


def test_a_summary_memory_keeps_its_messages_in_a_history(classic: Any, path: Path) -> None:
    class Summarizer(FakeListLLM):
        def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Any = None) -> int:
            return letters(messages)

    history = SQLiteChatMessageHistory("s", path)
    memory = classic.ConversationSummaryBufferMemory(
        llm=Summarizer(responses=["They said hello."]), chat_memory=history, max_token_limit=12
    )
    memory.save_context({"input": "hello"}, {"output": "hello"})
    assert memory.load_memory_variables({}) == {"history": "Human: hello\nAI: hello"}
    memory.save_context({"input": "more"}, {"output": "words"})
    assert memory.load_memory_variables({})["history"].startswith("System: They said hello.")
    assert texts(history) == ["hello", "hello", "more", "words"], "a summary takes nothing from the store"
    asyncio.run(memory.asave_context({"input": "and"}, {"output": "more"}))
    assert len(history.messages) == 6


# ---------------------------------------------------------------- clients that send everything again


def test_of_a_conversation_that_is_sent_whole_only_what_is_new_is_added(path: Path) -> None:
    history = SQLiteChatMessageHistory("s", path)
    replied = AIMessage("", tool_calls=[TOOL_CALL])
    conversation: list[BaseMessage] = [HumanMessage("a"), replied, ToolMessage("code", tool_call_id="call-1")]
    assert history.add_new_messages(conversation) == conversation
    assert history.add_new_messages(conversation) == []
    again = [HumanMessage([{"type": "text", "text": "a"}]), *conversation[1:], AIMessage("b"), HumanMessage("a")]
    assert asyncio.run(history.aadd_new_messages(again)) == again[3:]
    assert history.messages == [*conversation, *again[3:]]
    assert history.add_new_messages([HumanMessage("a")]) == [], "it has no reply yet"
    history.add_ai_message("c")
    assert history.add_new_messages([HumanMessage("a")]) == [HumanMessage("a")]
    assert history.add_new_messages([]) == []


def test_clients_that_send_the_same_at_once_double_nothing(path: Path) -> None:
    conversation = [HumanMessage("a"), AIMessage("b"), HumanMessage("c")]
    histories = [SQLiteChatMessageHistory("s", path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda history: history.add_new_messages(conversation), histories))
    assert texts(histories[0]) == ["a", "b", "c"]


def test_a_note_that_there_was_no_reply_is_no_message(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        service.append_events("s", [Event("user", "a"), Event("assistant", metadata={"error": "no line"})], create=True)
        assert texts(SQLiteChatMessageHistory("s", service=service)) == ["a"]
        assert texts(SQLiteChatMessageHistory("s", service=service, limit=5)) == ["a"]


def test_a_window_has_the_calls_of_its_results_also_where_no_turn_begins_before_them(
    service: SQLiteSessionService,
) -> None:
    call = {"name": "add", "args": {}, "id": "c1", "type": "tool_call"}
    messages = [
        AIMessage("I look.", tool_calls=[call]), HumanMessage("And?"), ToolMessage("3", tool_call_id="c1", name="add"),
        AIMessage("It is 3."),
    ]  # fmt: skip
    SQLiteChatMessageHistory("s", service=service).add_messages(messages)
    assert [event.seq for event in service.last_events("s", 3)] == [1, 2, 3, 4]
    far = [AIMessage("", tool_calls=[call]), *(AIMessage(f"a{number}") for number in range(2 * LOOK_BACK_EVENTS))]
    SQLiteChatMessageHistory("far", service=service).add_messages([*far, *messages[1:]])
    assert [event.author for event in service.last_events("far", 3)] == ["user", "tool", "assistant"]
