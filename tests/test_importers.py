"""Each importer, on a file that the program itself wrote just now (ChatGPT's and the Go package's in their form)."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sqlite3
import subprocess
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from history_files import GO_SCHEMA
from imports import CHAT, hashes, imported, said
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from session_sqlite import (
    ANY,
    InvalidInputError,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    StoreError,
    ToolCall,
    Usage,
)

CALL = {"name": "Read", "args": {"path": "main.go"}, "id": "call-1"}
MESSAGES: list[BaseMessage] = [
    SystemMessage("简短回答"),
    HumanMessage("请帮我分析代码", id="h-1", additional_kwargs={"source": "desktop"}),
    AIMessage(
        [{"type": "thinking", "thinking": "先看入口", "signature": "c2ln"}, {"type": "text", "text": "好的"}],
        tool_calls=[CALL],
        usage_metadata={"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
        response_metadata={"model_name": "model-1"},
        id="lc_run--1",
    ),
    ToolMessage("package main", tool_call_id="call-1", name="Read", artifact={"lines": 1}),
    AIMessage("It has one line.", name="reviewer"),
]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(tmp_path / "store" / "sessions.db", durability="fast") as service:
        yield service


# ---------------------------------------------------------------- langchain-community


@pytest.fixture
def community() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("langchain_community.chat_message_histories")


def write_history(community: Any, path: Path, session_id: str, messages: list[BaseMessage], **options: Any) -> None:
    history = community.SQLChatMessageHistory(session_id, connection=f"sqlite:///{path}", **options)
    history.add_messages(messages)
    history.engine.dispose()


@pytest.mark.parametrize("table", ["message_store", "my chats"])
def test_messages_of_a_sql_chat_message_history_come_back_equal(
    service: SQLiteSessionService, community: Any, tmp_path: Path, table: str
) -> None:
    path = tmp_path / "source" / "chats.db"
    path.parent.mkdir()
    write_history(community, path, "support-42", MESSAGES, table_name=table)
    write_history(community, path, "另一个 session", MESSAGES[:2], table_name=table)
    theirs = community.SQLChatMessageHistory("support-42", connection=f"sqlite:///{path}", table_name=table)
    expected = theirs.messages
    theirs.engine.dispose()
    imported(service, path, "langchain-sql", sessions=2, events=7, skipped_count=0)
    assert SQLiteChatMessageHistory("support-42", service=service).messages == expected == MESSAGES
    assert service.list_events("support-42")[2].actions == (ToolCall("Read", {"path": "main.go"}, id="call-1"),)
    assert service.list_events("support-42")[2].usage == Usage("model-1", 9, 3)


def test_a_history_that_has_grown_brings_only_what_is_new(
    service: SQLiteSessionService, community: Any, tmp_path: Path
) -> None:
    path = tmp_path / "chats.db"
    write_history(community, path, "s", MESSAGES[:2])
    service.import_(path)
    write_history(community, path, "s", MESSAGES[2:])
    report = service.import_(path)
    assert (report.sessions, report.extended, report.events, report.known) == (0, 1, 3, 2)
    assert SQLiteChatMessageHistory("s", service=service).messages == MESSAGES


def test_messages_of_a_file_history_come_back_equal(
    service: SQLiteSessionService, community: Any, tmp_path: Path
) -> None:
    path = tmp_path / "source" / "support-42.json"
    path.parent.mkdir()
    community.FileChatMessageHistory(str(path)).add_messages(MESSAGES)
    imported(service, path, "langchain-file", sessions=1, events=5, skipped_count=0)
    assert SQLiteChatMessageHistory("support-42", service=service).messages == MESSAGES


def test_file_histories_without_a_name_are_told_apart(service: SQLiteSessionService, community: Any) -> None:
    for text in ("one", "two", "one"):
        service.import_(io.StringIO(json.dumps([{"type": "human", "data": {"content": text}}])))
    assert [session.last_seq for session in service.list_sessions()] == [1, 1]


def test_what_langchain_refuses_comes_as_an_event_and_what_is_no_message_is_skipped(
    service: SQLiteSessionService, community: Any, tmp_path: Path
) -> None:
    path = tmp_path / "chats.db"
    write_history(community, path, "s", MESSAGES[:1])
    connection = sqlite3.connect(path)
    refused = {"type": "tool", "data": {"content": "no call id"}}
    for text in ("{", json.dumps(refused), '"text"'):
        connection.execute("INSERT INTO message_store (session_id, message) VALUES ('s', ?)", [text])
    connection.commit()
    connection.close()
    write_history(community, path, "s", MESSAGES[1:2])
    report = service.import_(path)
    assert (report.events, report.skipped_count, len(report.warnings)) == (3, 2, 1)
    assert said(service, "s") == [("system", "简短回答"), ("tool", "no call id"), ("user", "请帮我分析代码")]
    assert service.list_events("s")[1].metadata["langchain"] == refused


# ---------------------------------------------------------------- the OpenAI Agents SDK


def run_agent(session: Any) -> None:
    """Runs a real agent, with a model that answers from a script."""
    from agents import Agent, ModelResponse, RunConfig, Runner, Usage, function_tool
    from agents.models.interface import Model
    from openai.types.responses import (
        ResponseFunctionToolCall,
        ResponseOutputMessage,
        ResponseOutputText,
        ResponseReasoningItem,
    )
    from openai.types.responses.response_reasoning_item import Summary

    answers: list[list[Any]] = [
        [
            ResponseReasoningItem(
                id="rs_1", type="reasoning", summary=[Summary(text="先看入口", type="summary_text")],
                encrypted_content="gAAA",
            ),
            ResponseFunctionToolCall(
                id="fc_1", call_id="call_1", name="read", arguments='{"path": "main.go"}', type="function_call"
            ),
            ResponseFunctionToolCall(
                id="fc_2", call_id="call_2", name="read", arguments='{"path": "go.mod"}', type="function_call"
            ),
        ],
        [
            ResponseOutputMessage(
                id="msg_1", role="assistant", status="completed", type="message",
                content=[ResponseOutputText(text="好的", type="output_text", annotations=[])],
            )
        ],
    ]  # fmt: skip

    class Scripted(Model):
        async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
            return ModelResponse(output=answers.pop(0), usage=Usage(), response_id=None)

        def stream_response(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

    @function_tool
    def read(path: str) -> str:
        return f"the text of {path}"

    agent = Agent("reviewer", model=Scripted(), tools=[read])
    config = RunConfig(tracing_disabled=True)
    asyncio.run(Runner.run(agent, "请帮我分析代码", session=session, run_config=config))


@pytest.mark.parametrize("tables", [{}, {"sessions_table": "my_sessions", "messages_table": "my_messages"}])
def test_sessions_of_the_agents_sdk_keep_their_calls_and_reasoning(
    service: SQLiteSessionService, tmp_path: Path, tables: dict[str, str]
) -> None:
    agents = pytest.importorskip("agents")
    path = tmp_path / "source" / "agents.db"
    path.parent.mkdir()
    session = agents.SQLiteSession("user-1", path, **tables)
    run_agent(session)
    session.close()
    other = agents.SQLiteSession("user-2", path, **tables)
    asyncio.run(other.add_items([{"role": "developer", "content": "Be brief"}, {"role": "user", "content": "Hi"}]))
    other.close()
    imported(service, path, "openai-agents", sessions=2, skipped_count=0)
    assert said(service, "user-1") == [
        ("user", "请帮我分析代码"),
        ("assistant", ""),
        ("tool", "the text of main.go"),
        ("tool", "the text of go.mod"),
        ("assistant", "好的"),
    ]
    asked = service.list_events("user-1")[1]
    assert asked.reasoning == "先看入口"
    assert asked.actions == (
        ToolCall("read", {"path": "main.go"}, id="call_1"),
        ToolCall("read", {"path": "go.mod"}, id="call_2"),
    )
    assert asked.metadata["openai"][0]["encrypted_content"] == "gAAA"
    calls = service.tool_calls("read", session="user-1")
    assert [(call["output"], call["status"]) for call in calls] == [
        ("the text of main.go", "ok"),
        ("the text of go.mod", "ok"),
    ]
    assert said(service, "user-2") == [("system", "Be brief"), ("user", "Hi")]
    created_at = service.get_session("user-1").created_at
    assert created_at is not None
    assert abs((created_at - datetime.now(UTC)).total_seconds()) < 60
    kinds = [message.type for message in SQLiteChatMessageHistory("user-1", service=service).messages]
    assert kinds == ["human", "ai", "tool", "tool", "ai"]


# ---------------------------------------------------------------- llm

ASK = """
import llm, sqlite_utils, sys
from llm.migrations import migrate

class Scripted(llm.Model):
    model_id = "scripted"
    supports_tools = True
    attachment_types = {"image/png"}

    def __init__(self):
        self.answers = []

    def execute(self, prompt, stream, response, conversation):
        answer = self.answers.pop(0)
        response.set_usage(input=11, output=5)
        if isinstance(answer, dict):
            response.add_tool_call(llm.ToolCall(name="upper", arguments=answer, tool_call_id="call-1"))
            yield ""
        else:
            yield answer

def upper(text: str) -> str:
    "Makes it upper case"
    return text.upper()

def write(path):
    db = sqlite_utils.Database(path)
    migrate(db)
    model = Scripted()
    conversation = llm.Conversation(model)
    model.answers = ["好的"]
    response = conversation.prompt(
        "请帮我分析代码", system="简短回答", fragments=["package main"],
        attachments=[llm.Attachment(type="image/png", content=b"\\x89PNG")],
    )
    response.text()
    response.log_to_db(db)
    model.answers = [{"text": "main"}, "It is MAIN."]
    chain = conversation.chain("Make main upper case", tools=[upper])
    chain.text()
    chain.log_to_db(db)
    alone = llm.Conversation(model)
    model.answers = ["Hello"]
    response = alone.prompt("Hi")
    response.text()
    response.log_to_db(db)
    db.conn.close()
    return conversation.id, alone.id
"""


def check_llm(service: SQLiteSessionService, path: Path, id: str, alone: str) -> None:
    imported(service, path, "llm", sessions=2, events=9, skipped_count=0)
    assert said(service, id) == [
        ("system", "简短回答"),
        ("user", "package main\n请帮我分析代码"),
        ("assistant", "好的"),
        ("user", "Make main upper case"),
        ("assistant", ""),
        ("tool", "MAIN"),
        ("assistant", "It is MAIN."),
    ]
    events = service.list_events(id)
    assert events[1].metadata["attachments"][0]["type"] == "image/png"
    assert events[2].usage == Usage("scripted", 11, 5)
    assert events[4].actions == (ToolCall("upper", {"text": "main"}, id="call-1"),)
    assert events[5].actions == (ToolCall("upper", id="call-1"),)
    assert service.tool_calls()[0]["status"] == "ok"
    assert said(service, alone) == [("user", "Hi"), ("assistant", "Hello")]
    times = [event.created_at for event in events]
    assert all(when is not None and abs((when - datetime.now(UTC)).total_seconds()) < 300 for when in times)
    assert times == sorted(times)
    assert service.get_session(id).title


def test_threads_of_llm_keep_calls_usage_and_fragments(service: SQLiteSessionService, tmp_path: Path) -> None:
    pytest.importorskip("llm")
    path = tmp_path / "source" / "logs.db"
    path.parent.mkdir()
    namespace: dict[str, Any] = {}
    exec(ASK, namespace)  # noqa: S102  # the code above, which an older release also runs
    check_llm(service, path, *namespace["write"](str(path)))


def test_responses_of_an_older_llm_keep_calls_usage_and_fragments(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    python = os.environ.get("OLD_LLM_PYTHON")
    if not python:
        pytest.skip("OLD_LLM_PYTHON names no Python with an llm before 0.36 (.ci/run makes one)")
    path = tmp_path / "source" / "logs.db"
    path.parent.mkdir()
    env = {**os.environ, "LLM_USER_PATH": str(tmp_path / "llm")}
    code = f"{ASK}\nprint(*write(sys.argv[1]))"
    result = subprocess.run([python, "-c", code, str(path)], capture_output=True, text=True, env=env)
    assert result.returncode == 0, result.stderr
    check_llm(service, path, *result.stdout.split())


def continue_with_this_llm(path: Path, id: str) -> None:
    import sqlite_utils
    from llm import cli
    from llm.migrations import migrate

    namespace: dict[str, Any] = {}
    exec(ASK, namespace)  # noqa: S102  # the code above
    model = namespace["Scripted"]()
    model.answers = ["And this."]
    db = sqlite_utils.Database(path)
    migrate(db)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "get_model", lambda *_, **__: model)
        patch.setattr("llm.get_model", lambda *_, **__: model)
        conversation = cli.load_conversation(id, database=str(path))
    response = conversation.prompt("What more?")
    response.text()
    response.log_to_db(db)
    db.conn.close()


def test_a_conversation_that_was_continued_after_an_upgrade_of_llm_does_not_come_twice(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    python = os.environ.get("OLD_LLM_PYTHON")
    if not python:
        pytest.skip("OLD_LLM_PYTHON names no Python with an llm before 0.36 (.ci/run makes one)")
    pytest.importorskip("llm")
    path = tmp_path / "logs.db"
    env = {**os.environ, "LLM_USER_PATH": str(tmp_path / "llm")}
    code = f"{ASK}\nprint(*write(sys.argv[1]))"
    result = subprocess.run([python, "-c", code, str(path)], capture_output=True, text=True, env=env)
    assert result.returncode == 0, result.stderr
    id = result.stdout.split()[0]
    service.import_(path)
    before = service.list_events(id)
    continue_with_this_llm(path, id)
    report = service.import_(path)
    assert (report.sessions, report.extended, report.events) == (0, 1, 2)
    assert service.list_events(id)[: len(before)] == before
    assert said(service, id)[-2:] == [("user", "What more?"), ("assistant", "And this.")]
    with SQLiteSessionService(":memory:") as other:
        assert other.import_(path).events == 11
        assert other.list_events(id) == service.list_events(id)


def test_the_first_logs_of_llm_are_read_too(service: SQLiteSessionService, tmp_path: Path) -> None:
    path = tmp_path / "source" / "logs.db"
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE _llm_migrations (name TEXT PRIMARY KEY, applied_at TEXT);
        CREATE TABLE logs (id INTEGER PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT,
            options_json TEXT, response TEXT, response_json TEXT, reply_to_id INTEGER, chat_id INTEGER,
            duration_ms INTEGER, datetime_utc TEXT);
        INSERT INTO logs (id, model, prompt, system, response, datetime_utc) VALUES
            (1, 'gpt', 'Hi', 'Be brief', 'Hello', '2023-06-15T08:00:00.123456');
        INSERT INTO logs (id, model, prompt, system, response, chat_id, datetime_utc) VALUES
            (2, 'gpt', 'And?', 'Be brief', 'Nothing', 1, '2023-06-15T08:01:00');
        """
    )
    connection.close()
    imported(service, path, "llm", sessions=1, events=5)
    assert said(service, "log-1") == [
        ("system", "Be brief"), ("user", "Hi"), ("assistant", "Hello"), ("user", "And?"), ("assistant", "Nothing"),
    ]  # fmt: skip
    assert service.list_events("log-1")[0].created_at == datetime(2023, 6, 15, 8, 0, 0, 123456, UTC)


# ---------------------------------------------------------------- the Go package


def test_the_file_of_the_go_package_comes_in_with_app_user_and_state(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    path = tmp_path / "source" / "go.db"
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.executescript(GO_SCHEMA)
    at = "2025-12-01 08:00:0{}.123456789+08:00"
    connection.execute(
        "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)",
        ["s-1", "desktop-app", "user-123", "agent-001", '{"source":"desktop"}', at.format(0), at.format(9)],
    )
    nothing = (
        '{"StateDelta":{},"ArtifactDelta":{},"SkipSummarization":false,"TransferToAgent":"","Escalate":false,'
        '"CustomActions":{}}'
    )
    delta = nothing.replace('"StateDelta":{}', '"StateDelta":{"step":1,"temp:x":2}').replace('Agent":""', 'Agent":"b"')
    calls = '{"role":"assistant","tool_calls":[{"id":"c1","name":"Read","arguments":{"path":"main.go"}}]}'
    blocks = (
        '{"role":"user","content_blocks":[{"type":"tool_result","tool_use_id":"c1","content":"nope","is_error":true}]}'
    )
    rows = [
        ("evt_1", "user", '{"role":"user","content":"请帮我分析代码"}', "", nothing, "null", "null"),
        ("evt_2", "agent", calls, "先看入口", delta, '["c1"]', '{"k":1}'),
        ("evt_3", "user", blocks, "", nothing, "null", "{}"),
        ("evt_4", "agent", '{"role":"assistant","content":"好的"}', "", nothing, "null", "{}"),
    ]
    for number, (id, author, content, reasoning, actions, ids, metadata) in enumerate(rows):
        connection.execute(
            "INSERT INTO events VALUES (?, 's-1', 'inv-1', 'agent-001', 'main', ?, ?, ?, ?, ?, ?, ?)",
            [id, author, content, reasoning, actions, ids, metadata, at.format(number)],
        )
    connection.execute("INSERT INTO events (id, session_id) VALUES ('evt_9', 'gone')")
    for key, value in {"step": "1", "user:lang": '"zh-CN"', "app:v": "2", "temp:x": "2", "bad": "{"}.items():
        connection.execute("INSERT INTO session_state (session_id, key, value) VALUES ('s-1', ?, ?)", [key, value])
    connection.commit()
    connection.close()
    imported(service, path, "aster", sessions=1, events=4, skipped_count=1)
    session = service.get_session("s-1", app_name="desktop-app", user_id="user-123")
    assert (session.agent_id, session.metadata) == ("agent-001", {"source": "desktop"})
    assert session.created_at == datetime(2025, 12, 1, 0, 0, 0, 123456, UTC)
    assert dict(session.state) == {"app:v": 2, "step": 1, "user:lang": "zh-CN"}
    events = session.events()
    assert [(event.author, event.content) for event in events] == [
        ("user", "请帮我分析代码"), ("assistant", ""), ("tool", "nope"), ("assistant", "好的"),
    ]  # fmt: skip
    assert events[1].actions == (ToolCall("Read", {"path": "main.go"}, id="c1"),)
    assert (events[1].reasoning, events[1].state) == ("先看入口", {"step": 1})
    assert events[1].metadata == {"k": 1, "aster": {"TransferToAgent": "b", "LongRunningToolIDs": ["c1"]}}
    assert events[2].actions == (ToolCall("Read", id="c1", error="nope"),)
    assert (events[3].invocation_id, events[3].branch, events[3].id) == ("inv-1", "main", "evt_4")


# ---------------------------------------------------------------- all of them


def test_a_source_without_users_needs_one(tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(CHAT), "utf-8")
    with SQLiteSessionService(tmp_path / "s.db", app_name=ANY, user_id=ANY) as service:
        with pytest.raises(InvalidInputError, match="app_name"):
            service.import_(path)
        assert service.import_(path, app_name="a", user_id="u").sessions == 1
        assert service.list_sessions()[0].user_id == "u"


@pytest.mark.parametrize(
    "data", [b"", b"no json", b"[]", b"{}", b"7", b'[{"a": 1}]', b"SQLite format 3\0", b"\0" * 5000]
)
def test_what_is_no_format_is_said_to_be_none(service: SQLiteSessionService, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "what"
    path.write_bytes(data)
    with pytest.raises((InvalidInputError, StoreError), match="what"):
        service.import_(path)
    assert service.stats()["sessions"] == 0


def test_a_database_of_something_else_is_refused(service: SQLiteSessionService, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE messages (id, session_id, message)")
    connection.execute("INSERT INTO messages VALUES (1, 's', 'just text')")
    connection.commit()
    connection.close()
    with pytest.raises(InvalidInputError, match=r"other\.db"):
        service.import_(path)
    with pytest.raises(InvalidInputError, match="is not of the format llm"):
        service.import_(path, format="llm")
    with pytest.raises(InvalidInputError, match="format must be"):
        service.import_(path, format="word")
    with pytest.raises(StoreError, match="cannot be read"):
        service.import_(tmp_path / "nothing.db")


def test_what_another_program_has_only_in_its_wal_comes_too(service: SQLiteSessionService, tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT)")
    text = json.dumps({"type": "human", "data": {"content": "in the WAL"}})
    connection.execute("INSERT INTO message_store (session_id, message) VALUES ('s', ?)", [text])
    connection.commit()
    assert service.import_(path).events == 1
    connection.execute("INSERT INTO message_store (session_id, message) VALUES ('s', ?)", [text])
    connection.commit()
    assert service.import_(path).events == 1
    connection.close()


def test_a_file_is_read_as_of_one_moment_while_its_program_writes(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    path = tmp_path / "chats.db"
    text = json.dumps({"type": "human", "data": {"content": "x" * 20_000}})

    def chat(*statements: str) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        for statement in statements:
            connection.execute(statement)
        connection.close()

    chat(
        "CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT)",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)"
        f" INSERT INTO message_store (session_id, message) SELECT 'session ' || (i / 40), '{text}' FROM n",
    )
    before = hashes(tmp_path)
    assert service.import_(path, dry_run=True).events == 400
    assert hashes(tmp_path) == before
    calls = []

    def meanwhile(*counts: object) -> None:
        if not calls:
            chat("DELETE FROM message_store WHERE id > 20", "VACUUM", "PRAGMA wal_checkpoint")
        calls.append(counts)

    assert service.import_(path, progress=meanwhile).events == 400
    assert len(calls) > 1


def test_events_are_not_confused_by_equal_ids_in_several_sources(service: SQLiteSessionService, tmp_path: Path) -> None:
    for name, text in (("a", "one"), ("b", "two")):
        connection = sqlite3.connect(tmp_path / name)
        connection.execute("CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT)")
        message = json.dumps({"type": "human", "data": {"content": text}})
        connection.execute("INSERT INTO message_store (session_id, message) VALUES ('s', ?)", [message])
        connection.commit()
        connection.close()
        service.import_(tmp_path / name)
    (other,) = {session.id for session in service.list_sessions()} - {"s"}
    assert (said(service, "s"), said(service, other)) == ([("user", "one")], [("user", "two")])


def test_a_file_in_which_no_conversation_has_a_message_fails(service: SQLiteSessionService, tmp_path: Path) -> None:
    path = tmp_path / "chats.json"
    path.write_text('[{"mapping": {}, "id": "a"}, {"mapping": {"r": {"message": null}}, "id": "b"}]', "utf-8")
    for dry_run in (True, False):
        with pytest.raises(InvalidInputError, match=r"chats\.json' has no conversation with a message"):
            service.import_(path, dry_run=dry_run)
    assert service.stats()["sessions"] == 0


def test_an_empty_conversation_among_others_is_left_out_and_counted(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    path = tmp_path / "chats.json"
    path.write_text(json.dumps([CHAT, {"messages": []}, {"id": "b", "messages": []}]), "utf-8")
    report = service.import_(path)
    assert (report.sessions, report.skipped_count, report.left_out) == (1, 0, {"empty conversation": 2})
    assert "2 records of the kind 'empty conversation'" in str(report)


def test_an_empty_session_of_an_export_is_kept(service: SQLiteSessionService, tmp_path: Path) -> None:
    service.create_session(session_id="empty")
    service.export(tmp_path / "export.jsonl")
    for source in (tmp_path / "export.jsonl", tmp_path / "store" / "sessions.db"):
        with SQLiteSessionService(":memory:") as other:
            assert other.import_(source).sessions == 1


@pytest.mark.parametrize("kind", ["langchain-sql", "openai-agents"])
def test_generated_columns_and_ids_that_are_null_or_blobs_lose_nothing(
    service: SQLiteSessionService, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "history.db"
    connection = sqlite3.connect(path)
    ids: list[Any] = [None, b"\x00\xff", b"chat", 7, 1.5, "s"]
    if kind == "langchain-sql":
        connection.execute("CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id, body TEXT, "
                           "message TEXT GENERATED ALWAYS AS (body) VIRTUAL)")  # fmt: skip
        for id in ids:
            text = json.dumps({"type": "human", "data": {"content": f"of {id!r}"}})
            connection.execute("INSERT INTO message_store (session_id, body) VALUES (?, ?)", [id, text])
    else:
        connection.execute("CREATE TABLE agent_sessions (session_id, created_at, "
                           "updated_at GENERATED ALWAYS AS (created_at) STORED)")  # fmt: skip
        connection.execute("CREATE TABLE agent_messages (id INTEGER PRIMARY KEY, session_id, message_data, created_at, "
                           "length GENERATED ALWAYS AS (length(message_data)) VIRTUAL)")  # fmt: skip
        connection.executemany("INSERT INTO agent_sessions (session_id) VALUES (?)", [[None], ["s"]])
        for id in ids:
            text = json.dumps({"role": "user", "content": f"of {id!r}"})
            connection.execute("INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)", [id, text])
    connection.commit()
    connection.close()
    report = service.import_(path)
    assert (report.format, report.sessions, report.events, report.skipped_count) == (kind, len(ids), len(ids), 0)
    found = {row["content"] for row in service.query("SELECT content FROM events")}
    assert found == {f"of {id!r}" for id in ids}
    assert {"s", "7", "chat"} < {session.id for session in service.list_sessions()}
    assert service.import_(path).events == 0


@pytest.mark.parametrize("times", [(5, None, 7, None), (None, 5, None, 7), (None, None, 5, 7)])
def test_an_event_without_a_time_has_that_of_its_neighbour(
    service: SQLiteSessionService, tmp_path: Path, times: tuple[int | None, ...]
) -> None:
    said = [{"role": "user", "content": "x", **({"timestamp": 10**9 + at} if at else {})} for at in times]
    (tmp_path / "chat.json").write_text(json.dumps({"id": "c", "messages": said}), "utf-8")
    service.import_(tmp_path / "chat.json")
    filled = [at or next(one for one in (*reversed(times[:place]), *times[place:]) if one)
              for place, at in enumerate(times)]  # fmt: skip
    assert [event.created_at.timestamp() - 10**9 for event in service.list_events("c")] == filled
    session = service.get_session("c")
    assert (session.created_at.timestamp() - 10**9, session.updated_at.timestamp() - 10**9) == (5, 7)


def test_events_without_times_have_that_of_their_session(service: SQLiteSessionService, tmp_path: Path) -> None:
    chat = {"id": "c", "created_at": 10**9, "messages": [{"role": "user", "content": "x"}]}
    (tmp_path / "chat.json").write_text(json.dumps(chat), "utf-8")
    service.import_(tmp_path / "chat.json")
    assert service.list_events("c")[0].created_at.timestamp() == 10**9
