"""The rules that hold for every format that can be imported, and what is special about some (see `history_files`)."""

from __future__ import annotations

import contextlib
import html
import importlib
import json
import random
import sqlite3
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from click.testing import CliRunner
from history_files import (
    CLAUDE,
    CODEX,
    CONVERSATION,
    FILES,
    GEMINI,
    MARK,
    STEPS,
    Records,
    as_json,
    as_lines,
    codex_message,
    codex_tokens,
    marks_of_file,
    marks_of_store,
    result,
    rollout,
    write_checkpoints,
)
from langchain_core.messages import AIMessage, HumanMessage

from session_sqlite import (
    ANY,
    Event,
    InvalidInputError,
    SessionError,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    ToolCall,
    Usage,
)
from session_sqlite.cli import main
from session_sqlite.transfer.importers import FORMATS
from session_sqlite.transfer.importers.formats import DatabaseFormat, JsonFormat

FILES_BY_NAME = sorted(FILES)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(tmp_path / "store" / "sessions.db", durability="fast") as service:
        yield service


def imported(service: SQLiteSessionService, name: str, folder: Path) -> Any:
    return service.import_(FILES[name].made(folder))


# ---------------------------------------------------------------- every format


@pytest.mark.parametrize("name", FILES_BY_NAME)
def test_what_was_read_and_what_was_reported_is_everything_in_the_file(
    service: SQLiteSessionService, tmp_path: Path, name: str
) -> None:
    sample = FILES[name]
    path = sample.made(tmp_path / "source")
    report = service.import_(path)
    stored = marks_of_store(service)
    in_file = marks_of_file(path)
    assert len(in_file) > 5, "a sample that says nothing proves nothing"
    assert stored | set(sample.left_out) == in_file
    assert not stored & set(sample.left_out)
    said = str(report)
    assert not [(mark, words) for mark, words in sample.left_out.items() if words not in said]
    assert not sample.left_out.keys() & set(said.split()), "a report tells no text of a conversation"
    assert (report.sessions, report.events) == (sample.sessions, sample.events)
    everyone = service.scope(app_name=ANY, user_id=ANY)
    assert len(everyone.list_sessions(limit=None)) == sample.sessions


def test_every_format_that_is_listed_has_a_file_that_is_counted() -> None:
    assert {sample.format for sample in FILES.values()} == set(FORMATS)


@pytest.mark.parametrize("name", FILES_BY_NAME)
def test_a_file_never_comes_twice(service: SQLiteSessionService, tmp_path: Path, name: str) -> None:
    sample = FILES[name]
    path = sample.made(tmp_path / "source")
    dry = service.import_(path, dry_run=True)
    assert service.db["events"].count == 0
    first = service.import_(path)
    assert (dry.sessions, dry.events, dry.skipped, dry.warnings) == (
        first.sessions, first.events, first.skipped, first.warnings
    )  # fmt: skip
    again = service.import_(path)
    assert (again.sessions, again.events, again.extended, again.known) == (0, 0, 0, first.events)
    elsewhere = sample.made(tmp_path / "a copy elsewhere")
    assert service.import_(elsewhere).events == 0


def texts_of(service: SQLiteSessionService) -> Counter[Any]:
    """What is said first in the store, and how often: each event that is no copy, whatever session it is in."""
    rows = service.scope(app_name=ANY, user_id=ANY).query(
        "SELECT author, content, reasoning, actions, usage FROM events WHERE copied_from IS NULL"
    )
    return Counter(tuple(row.values()) for row in rows)


LINES = ["claude_code_agent", "claude_code_session", "codex_old_rollout", "codex_rollout", "gemini_cli_lines"]


@pytest.mark.parametrize("name", LINES)
def test_a_file_that_grows_line_by_line_ends_as_if_it_had_come_whole(
    service: SQLiteSessionService, tmp_path: Path, name: str
) -> None:
    sample = FILES[name]
    path = sample.made(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    with SQLiteSessionService(":memory:") as whole:
        whole.import_(path)
        expected = texts_of(whole)
    added = 0
    for end in range(1, len(lines) + 1):
        path.write_bytes(b"".join(lines[:end]))
        with contextlib.suppress(InvalidInputError):  # nothing is said yet
            added += service.import_(path, format=sample.format).events
    assert texts_of(service) == expected
    assert service.import_(path).events == 0
    assert marks_of_store(service) | set(sample.left_out) == marks_of_file(path)


# Where the list of messages is in documents of one conversation.
DOCUMENTS: dict[str, list[Any]] = {
    "ai_studio_prompt": ["chunkedPrompt", "chunks"], "claude_ai_export": [0, "chat_messages"],
    "gemini_cli_session": ["messages"], "librechat_list": ["messages"], "adk_saved_session": ["events"],
    "file_history": [], "dumped_messages": [],
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_grows_message_by_message_ends_as_if_it_had_come_whole(
    service: SQLiteSessionService, tmp_path: Path, name: str
) -> None:
    path = FILES[name].made(tmp_path)
    with SQLiteSessionService(":memory:") as whole:
        whole.import_(path)
        expected = texts_of(whole)
    document = messages = json.loads(path.read_text("utf-8"))
    for step in DOCUMENTS[name]:
        messages = messages[step]
    every = list(messages)
    for end in range(1, len(every) + 1):
        messages[:] = every[:end]
        as_json(path, document)
        with contextlib.suppress(InvalidInputError):  # nothing is said yet
            service.import_(path, format=FILES[name].format)
    assert texts_of(service) == expected


def chatgpt_with(answers: int, last: int) -> list[Any]:
    """An export of a prompt whose answer was made several times."""
    mapping: dict[str, Any] = {"ask": {"parent": None, "message": {"author": {"role": "user"}, "content": "ask"}}}
    for number in range(answers):
        said = {"author": {"role": "assistant"}, "content": f"answer {number}"}
        mapping[f"answer-{number}"] = {"parent": "ask", "message": said}
    return [{"id": "chat-1", "title": "t", "current_node": f"answer-{last}", "mapping": mapping}]


def test_what_was_left_since_the_last_import_is_not_stored_again(service: SQLiteSessionService, tmp_path: Path) -> None:
    added = []
    for answers, last in ((1, 0), (2, 1), (3, 0)):  # another answer, and one more before going back to the first
        as_json(tmp_path / "conversations.json", chatgpt_with(answers, last))
        report = service.import_(tmp_path / "conversations.json")
        assert service.import_(tmp_path / "conversations.json").events == 0
        added.append(report.events)
    assert added == [2, 1, 1]
    assert texts_of(service) == Counter(
        (author, text, "", "[]", None)
        for author, text in [("user", "ask"), *(("assistant", f"answer {number}") for number in range(3))]
    )


def test_a_reply_that_was_unfinished_is_completed_where_it_is(service: SQLiteSessionService, tmp_path: Path) -> None:
    made = Records()
    made.user("read it")
    made.reply("msg-1", {"type": "thinking", "thinking": "where is it?"})
    as_lines(tmp_path / f"{CLAUDE}.jsonl", made.made)
    service.import_(tmp_path / f"{CLAUDE}.jsonl")
    service.append_event(CLAUDE, Event("user", "said here meanwhile"))
    made.reply("msg-1", {"type": "text", "text": "here"})
    made.reply("msg-1", {"type": "tool_use", "id": "toolu-1", "name": "Read", "input": {"path": "x"}})
    made.user(result("toolu-1", "found"))
    as_lines(tmp_path / f"{CLAUDE}.jsonl", made.made)
    dry = service.import_(tmp_path / f"{CLAUDE}.jsonl", dry_run=True)
    report = service.import_(tmp_path / f"{CLAUDE}.jsonl")
    assert str(report) == str(dry).replace("Would import", "Imported")
    assert (report.events, report.known, report.completed) == (1, 2, 1)
    assert "2 events were stored already; 1 of them was completed" in str(report)
    reply = service.list_events(CLAUDE)[1]
    assert (reply.content, reply.reasoning, len(reply.actions), reply.seq) == ("here", "where is it?", 1, 2)
    assert [hit.event.id for hit in service.search("here", author="assistant")] == [reply.id]
    assert service.import_(tmp_path / f"{CLAUDE}.jsonl").completed == 0


def test_a_reply_gets_the_calls_that_came_later(service: SQLiteSessionService, tmp_path: Path) -> None:
    made = Records()
    made.user("read both")
    made.reply("msg-1", {"type": "tool_use", "id": "toolu-1", "name": "Read", "input": {"path": "x"}})
    as_lines(tmp_path / f"{CLAUDE}.jsonl", made.made)
    service.import_(tmp_path / f"{CLAUDE}.jsonl")
    made.reply("msg-1", {"type": "tool_use", "id": "toolu-2", "name": "Read", "input": {"path": "y"}})
    as_lines(tmp_path / f"{CLAUDE}.jsonl", made.made)
    assert service.import_(tmp_path / f"{CLAUDE}.jsonl").completed == 1
    assert [call.args["path"] for call in service.list_events(CLAUDE)[1].actions] == ["x", "y"]


@pytest.mark.parametrize("replacement", ["[redacted]", "", "x"])
def test_what_was_redacted_is_not_completed(service: SQLiteSessionService, tmp_path: Path, replacement: str) -> None:
    made = Records()
    made.user("who is it?")
    made.reply("msg-1", {"type": "text", "text": "It is"})
    made.reply("msg-1", {"type": "text", "text": "hunter2"})
    as_lines(tmp_path / "s.jsonl", made.made)
    service.import_(tmp_path / "s.jsonl")
    for pattern in ("hunter2", "It is\n"):
        service.redact(pattern, replacement=replacement)
        report = service.import_(tmp_path / "s.jsonl")
        assert (report.events, report.completed) == (0, 0)
        assert "hunter2" not in str(texts_of(service))


# What Gemini CLI saves has roles and parts, as a chat has; one file of LangChain is a list of messages.
BOTH = (("gemini_saved_history", "openai-chat"), ("file_history", "langchain-messages"))


@pytest.mark.parametrize("format", sorted(FORMATS))
@pytest.mark.parametrize("name", FILES_BY_NAME)
def test_a_file_of_one_format_is_not_taken_for_another(
    service: SQLiteSessionService, tmp_path: Path, name: str, format: str
) -> None:
    path = FILES[name].made(tmp_path / "source")
    if (name, format) in BOTH:
        pytest.skip("it is a file of both formats: who says which gets it")
    if format == FILES[name].format:
        assert service.import_(path).format == format
    else:
        with pytest.raises(InvalidInputError, match="is not of the format"):
            service.import_(path, format=format)
    assert (service.db["events"].count > 0) == (format == FILES[name].format)


@pytest.mark.parametrize("name", FILES_BY_NAME)
def test_what_came_from_another_program_is_exported_and_comes_back_equal(
    service: SQLiteSessionService, tmp_path: Path, name: str
) -> None:
    imported(service, name, tmp_path / "source")
    everyone = service.scope(app_name=ANY, user_id=ANY)
    everyone.export(tmp_path / "export.jsonl")
    with SQLiteSessionService(tmp_path / "copy.db", durability="fast") as other:
        other.import_(tmp_path / "export.jsonl")
        for session in everyone.list_sessions(limit=None):
            owner = {"app_name": session.app_name, "user_id": session.user_id}
            assert other.get_session(session.id, **owner) == session
            assert other.get_session(session.id, **owner).events(limit=None) == session.events(limit=None)
        assert marks_of_store(other) == marks_of_store(service)
        assert len(other.scope(app_name=ANY, user_id=ANY).list_sessions(limit=None)) == FILES[name].sessions


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places in a JSON value."""
    yield place
    if isinstance(value, (dict, list)):
        for name in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[name], (*place, name))


@pytest.mark.parametrize(
    "name", [name for name in FILES_BY_NAME if isinstance(FORMATS[FILES[name].format], JsonFormat)]
)
def test_a_value_of_another_kind_anywhere_in_a_file_is_kept_reported_or_refused(tmp_path: Path, name: str) -> None:
    path = FILES[name].made(tmp_path)
    text = path.read_text("utf-8")
    try:
        value, is_lines = json.loads(text), False
    except ValueError:
        value, is_lines = [json.loads(line) for line in text.splitlines()], True
    chosen = random.Random(name)  # the same places in each run
    every = [place for place in places(value) if place]
    for place in chosen.sample(every, min(12, len(every))):
        broken = json.loads(json.dumps(value))
        inside = broken
        for step in place[:-1]:
            inside = inside[step]
        inside[place[-1]] = chosen.choice([None, 1, "x", [], {}, True, [1], {"a": 1}, ""])
        (as_lines if is_lines else as_json)(path, broken)
        with SQLiteSessionService(":memory:") as service:
            try:
                service.import_(path, format=FILES[name].format)
            except SessionError:
                continue  # nothing of it is a conversation any more
            assert service.db["events"].count > 0


@pytest.mark.parametrize("name", ["chatgpt_export", "claude_ai_export"])
def test_exports_that_somebody_put_into_one_file_come_in_whole(
    service: SQLiteSessionService, tmp_path: Path, name: str
) -> None:
    sample = FILES[name]
    text = json.dumps(json.loads(sample.made(tmp_path).read_text("utf-8")))
    (tmp_path / "all.json").write_text("[]\n" + text + "\n\n" + text + "\n", "utf-8")
    report = service.import_(tmp_path / "all.json")
    assert (report.format, report.sessions, report.events) == (sample.format, sample.sessions, sample.events)
    assert marks_of_store(service) | set(sample.left_out) == marks_of_file(tmp_path / sample.name)
    assert report.skipped_count == 2 * len(sample.left_out)


def values_with_json(path: Path) -> list[tuple[str, str, str]]:
    """The table, column and text of each JSON object or list in a database."""
    found = []
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for column in [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]:
                for (value,) in connection.execute(f'SELECT DISTINCT "{column}" FROM {table}'):
                    if isinstance(value, str) and value[:1] in ("{", "[") and MARK.search(value):
                        found.append((table, column, value))
    return found


@pytest.mark.parametrize(
    "name", [name for name in FILES_BY_NAME if isinstance(FORMATS[FILES[name].format], DatabaseFormat)]
)
def test_json_that_was_cut_off_in_a_column_is_kept_or_reported(tmp_path: Path, name: str) -> None:
    sample = FILES[name]
    with SQLiteSessionService(":memory:") as service:
        before = service.import_(sample.made(tmp_path))
    for number, (table, column, text) in enumerate(values_with_json(tmp_path / sample.name)):
        path = sample.made(tmp_path / str(number))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(f'UPDATE {table} SET "{column}" = ? WHERE "{column}" = ?', [text[:-1], text])
            connection.commit()
        with SQLiteSessionService(":memory:") as service:
            try:
                report = service.import_(path)
            except SessionError:
                continue  # nothing of it is a conversation any more
            lost = marks_of_file(path) - marks_of_store(service) - set(sample.left_out)
        said_more = (len(report.skipped), len(report.warnings)) > (len(before.skipped), len(before.warnings))
        assert not lost or said_more or report.left_out != before.left_out, (table, column)


def test_the_formats_in_the_readme_and_in_the_command_are_those_that_there_are() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    table = readme.split("| `format` | what it is |\n|---|---|\n")[1].split("\n\n")[0]
    assert table.splitlines() == [f"| `{name}` | {known.about} |" for name, known in FORMATS.items()]
    listed = CliRunner().invoke(main, ["import", "--list-formats"])
    assert listed.exit_code == 0
    assert [line.split("  ", 1)[0] for line in listed.stdout.splitlines()] == list(FORMATS)
    assert all(known.about in listed.stdout for known in FORMATS.values())


def webui_with(*messages: dict[str, Any]) -> list[Any]:
    """An export of Open WebUI with these messages, one after the other."""
    named = {
        f"m{number}": {"id": f"m{number}", "parentId": f"m{number - 1}" if number else None, **message}
        for number, message in enumerate(messages)
    }
    history = {"currentId": list(named)[-1], "messages": named}
    return [{"id": "chat", "user_id": "u", "title": "t", "chat": {"history": history}}]


def details(kind: str, inner: str, **attributes: str) -> str:
    named = "".join(f' {name}="{html.escape(value)}"' for name, value in attributes.items())
    return f'<details type="{kind}" done="true"{named}>\n<summary>done</summary>\n{inner}\n</details>'


TURN = {
    "query": "turn it off",
    "expected_tool_use": [{"tool_name": "off", "tool_input": {"id": 1}}],
    "reference": "off",
}
GEMINI_HEAD = {"sessionId": "agent-1", "projectHash": "x", "startTime": "2026-01-01T10:00:00Z", "kind": "subagent"}
GEMINI_SAID = [{"id": f"g{number}", "type": "user", "content": f"prompt {number}"} for number in range(4)]
ADK_FIRST = {"id": "adk-1", "context": {"_time": "noon"}, "events": [
    {"invocation_id": "i", "author": "user", "content": {"parts": [{"text": "hello"}]}, "id": "e1"}]}  # fmt: skip

# Files that programs write besides those of `history_files`: what each session holds of texts, reasoning and calls.
SHAPES: dict[str, tuple[Any, dict[str, list[str]]]] = {
    "a result that stands within the details": (
        webui_with({"role": "assistant", "content": "before\n" + details(
            "tool_calls", "&quot;18 degrees&quot;", id="c", name="w", arguments='{"city": "Paris"}') + "\nafter"}),
        {"chat": ["before", "after", "Paris", "18 degrees"]}),
    "details of a call without a name": (
        webui_with({"role": "assistant", "content": details("tool_calls", "18 degrees") + "after"}),
        {"chat": ["18 degrees", "after"]}),
    "a text that says more than the items beside it": (
        webui_with({"role": "assistant", "content": details("reasoning", "&gt; in the text") + "said",
                    "output": [{"type": "reasoning", "content": [{"type": "output_text", "text": "in an item"}]},
                               {"type": "message", "content": [{"type": "output_text", "text": "said"}]}]}),
        {"chat": ["in an item", "in the text", "said"]}),
    "turns of the oldest test files of the ADK": ([TURN], {"file": ["turn it off", "off", "id"]}),
    "a saved session of the first releases of the ADK": (ADK_FIRST, {"adk-1": ["hello", "noon"]}),
    "messages of Gemini CLI that were listed anew": (
        [GEMINI_HEAD, *GEMINI_SAID[:3], {"$set": {"messages": GEMINI_SAID[:1]}}, GEMINI_SAID[3]],
        {"agent-1": ["prompt 0", "prompt 3"], "agent-1:g1": ["prompt 1", "prompt 2"]}),
    "a title of Claude Code in another form": (
        [{"type": "summary", "leafUuid": "x", "message": {"content": "a summary"}},
         {"type": "user", "uuid": "u1", "sessionId": "file", "message": {"content": "hello"}}],
        {"file": ["a summary", "hello"]}),
    "a history of Codex that was replaced by a short summary": (
        rollout(codex_message("user", "hello"), ("compacted", {"message": "", "replacement_history": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
            for text in ("hello", "go on")]})),
        {CODEX: ["hello", "go on"]}),
    "a data set in ShareGPT's form with roles": (
        {"id": "set-1", "conversations": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]},
        {"set-1": ["hi", "ho"]}),
    "a call that says more of itself": (
        [{"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f"}, "explained": "for the sum"}]}],
        {"": ["for the sum"]}),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_program_writes_in_some_release_is_kept(
    service: SQLiteSessionService, tmp_path: Path, shape: str
) -> None:
    value, expected = SHAPES[shape]
    path = tmp_path / "parent" / "file.jsonl"
    path.parent.mkdir()
    (as_lines if isinstance(value, list) and len(value) > 1 else as_json)(path, value)
    assert service.import_(path).skipped == ()
    sessions = {session.id: session for session in service.scope(user_id=ANY).list_sessions()}
    assert len(sessions) == len(expected)
    for (id, texts), session in zip(sorted(expected.items()), [sessions[id] for id in sorted(sessions)], strict=True):
        assert id in ("", session.id)
        stored = json.dumps([str(session.metadata), *map(repr, session.events())], ensure_ascii=False)
        assert [text for text in texts if text not in stored] == []
    if "Gemini" in shape:
        assert sessions["agent-1"].parent_id == "parent"


def test_a_run_of_agno_that_kept_not_all_of_its_messages_has_its_calls_and_reasoning(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    def called(id: str) -> dict[str, Any]:
        return {"tool_call_id": id, "tool_name": "look", "tool_args": {"q": f"asked {id}"}, "result": f"found {id}"}

    asked = [{"id": "c2", "type": "function", "function": {"name": "look", "arguments": '{"q": "asked c2"}'}}]
    run = {
        "run_id": "run-1", "messages": [{"role": "assistant", "content": None, "tool_calls": asked}],
        "input": {"input_content": "the question"}, "tools": [called("c1"), called("c2")], "content": "the answer",
        "reasoning_content": "the thought",
    }  # fmt: skip
    FILES["agno_second_generation"].made(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "agno_of_last_year.db")) as connection:
        connection.execute("UPDATE my_sessions SET runs = ?", [json.dumps([run])])
        connection.commit()
    service.import_(tmp_path / "agno_of_last_year.db")
    session = service.get_session("session-1", user_id="user-1")
    assert [(event.author, event.content) for event in session.events()] == [
        ("user", "the question"), ("assistant", ""), ("assistant", ""), ("tool", "found c2"),
        ("assistant", "the answer"),
    ]  # fmt: skip
    calls = {str(call["args"]): call["output"] for call in service.tool_calls(user_id="user-1")}
    assert sorted(calls.values()) == ["found c1", "found c2"]
    assert session.events()[-1].reasoning == "the thought"


# ---------------------------------------------------------------- LangChain and LangGraph


@pytest.mark.parametrize("name", ["dumped_messages", "checkpoints"])
def test_messages_of_langchain_come_back_equal(service: SQLiteSessionService, tmp_path: Path, name: str) -> None:
    imported(service, name, tmp_path / "source")
    session_id = {"dumped_messages": "dumped", "checkpoints": "thread-1"}[name]
    assert SQLiteChatMessageHistory(session_id, service=service).messages == CONVERSATION
    reply = service.list_events(session_id)[2]
    assert (reply.content, reply.reasoning, reply.usage) == ("mk005 好的", "mk004", Usage("model-1", 9, 3))
    assert reply.actions == (ToolCall("Read", {"path": "mk006"}, id="call-1"),)


def test_messages_of_a_checkpoint_have_the_times_of_their_steps_and_other_channels_are_state(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    imported(service, "checkpoints", tmp_path / "source")
    seconds = [event.created_at and event.created_at.second for event in service.list_events("thread-1")]
    assert seconds == [1, 1, 1, 1, 2]
    assert service.get_session("thread-1").updated_at == datetime(2025, 6, 1, 10, 0, 9, tzinfo=UTC)
    assert dict(service.get_state("thread-1")) == {"plan": {"step": "mk010"}}


def test_a_subgraph_is_a_child_session_whose_messages_count_once(service: SQLiteSessionService, tmp_path: Path) -> None:
    imported(service, "checkpoints", tmp_path / "source")
    child = service.get_session("thread-1:research:1")
    assert child.parent_id == "thread-1"
    assert [event.copied_from for event in child.events()] == ["thread-1", ""]


def test_a_thread_that_has_grown_brings_only_what_is_new(service: SQLiteSessionService, tmp_path: Path) -> None:
    path = tmp_path / "checkpoints.db"
    write_checkpoints(path, [("t", "", STEPS[0], None, {"messages": CONVERSATION[1:3]})])
    service.import_(path)
    path.unlink()
    write_checkpoints(path, [("t", "", STEPS[1], STEPS[0], {"messages": CONVERSATION[1:]})])
    report = service.import_(path)
    assert (report.sessions, report.extended, report.events, report.known) == (0, 1, 2, 2)
    assert SQLiteChatMessageHistory("t", service=service).messages == CONVERSATION[1:]


def test_no_type_that_a_checkpoint_names_is_imported_and_no_pickle_is_run(
    service: SQLiteSessionService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ormsgpack

    (tmp_path / "trap_of_a_file.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    objects = []
    for code, rest in enumerate([("argument",), (["argument"],), ({"argument": 1},), ("argument", "method"),
                                 ({"argument": 1},), ({"argument": 1}, "model_validate_json")]):  # fmt: skip
        objects.append(ormsgpack.Ext(code, ormsgpack.packb(["trap_of_a_file", "Trap", *rest])))
        objects.append(ormsgpack.Ext(code, ormsgpack.packb(["os", "system", *rest])))
    message = {"type": "human", "content": "hi", "id": "m-1"}
    objects.append(ormsgpack.Ext(5, ormsgpack.packb(["trap_of_a_file", "HumanMessage", message, "model_validate"])))
    checkpoint = ormsgpack.packb({"ts": "2025-06-01T10:00:00+00:00", "channel_values": {"messages": objects}})
    pickled = b"\x80\x04cos\nsystem\n(S'exit 1'\ntR."
    monkeypatch.setattr("pickle.loads", lambda *_: pytest.fail("a pickle was run"))
    path = tmp_path / "checkpoints.db"
    write_checkpoints(
        path, [("t", "", STEPS[0], None, ("msgpack", checkpoint)), ("p", "", STEPS[0], None, ("pickle", pickled))]
    )
    report = service.import_(path)
    assert "trap_of_a_file" not in sys.modules
    assert SQLiteChatMessageHistory("t", service=service).messages == [HumanMessage("hi", id="m-1")]
    assert (report.events, report.skipped_count) == (1, len(objects) - 1 + 1)


@pytest.mark.parametrize(
    "stored",
    [("msgpack", b"\xc1"), ("msgpack", b""), ("msgpack", "text"), ("json", b"["), ("aes", b"xx"), ("msgpack", None),
     ("json", b'{"channel_values": 1}'), ("null", b""), ("json", b"[" * 100_000), ("msgpack", b"\x91" * 100_000)],
)  # fmt: skip
def test_a_damaged_checkpoint_is_reported_and_the_other_threads_come(
    service: SQLiteSessionService, tmp_path: Path, stored: tuple[str, Any]
) -> None:
    path = tmp_path / "checkpoints.db"
    write_checkpoints(
        path, [("bad", "", STEPS[0], None, stored), ("good", "", STEPS[0], None, {"messages": CONVERSATION})]
    )
    report = service.import_(path)
    assert (report.sessions, report.events, report.skipped_count) == (1, 5, 1)
    assert report.skipped[0].where == "thread 'bad'"


def test_a_file_of_checkpoints_says_which_extra_it_needs(
    service: SQLiteSessionService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = FILES["checkpoints"].made(tmp_path)
    real = importlib.import_module

    def import_module(name: str, package: str | None = None) -> Any:
        if name == "ormsgpack":
            raise ModuleNotFoundError(name="ormsgpack")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(InvalidInputError, match=r"session-sqlite\[langgraph-files\]"):
        service.import_(path)


def test_what_a_real_graph_saved_comes_back_equal_also_from_a_channel_of_changes(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    sqlite_saver = pytest.importorskip("langgraph.checkpoint.sqlite")
    delta = pytest.importorskip("langgraph.channels.delta")
    from langgraph.graph import START, MessagesState, StateGraph, add_messages
    from typing_extensions import TypedDict

    def added(before: Any, writes: Any) -> Any:
        for written in writes:
            before = add_messages(before, written)
        return before

    changes = TypedDict("changes", {"messages": Annotated[list, delta.DeltaChannel(added)]})  # noqa: UP013 - no string
    path = tmp_path / "graph.db"
    expected = {}
    with sqlite_saver.SqliteSaver.from_conn_string(str(path)) as saver:
        for thread, state in (("whole", MessagesState), ("changes", changes)):
            graph = StateGraph(state)
            answers = iter([*CONVERSATION[2:], AIMessage("more"), AIMessage("last")])
            graph.add_node("model", lambda _, answers=answers: {"messages": [next(answers)]})
            graph.add_node("more", lambda _, answers=answers: {"messages": [next(answers)]})
            graph.add_edge(START, "model")
            graph.add_edge("model", "more")
            app = graph.compile(checkpointer=saver)
            for text in ("one", "two"):
                app.invoke({"messages": [HumanMessage(text, id=text)]}, {"configurable": {"thread_id": thread}})
            expected[thread] = app.get_state({"configurable": {"thread_id": thread}}).values["messages"]
    report = service.import_(path)
    assert (report.sessions, report.events, report.skipped_count) == (2, 12, 0)
    for thread, messages in expected.items():
        assert SQLiteChatMessageHistory(thread, service=service).messages == messages
        times = [event.created_at for event in service.list_events(thread)]
        assert times == sorted(times)
        assert len(set(times)) > 3


def test_checkpoints_in_json_of_old_releases_are_read(service: SQLiteSessionService, tmp_path: Path) -> None:
    id = ["langchain", "schema", "messages", "HumanMessage"]
    message = {"lc": 1, "type": "constructor", "id": id, "kwargs": {"content": "hi", "type": "human", "id": "m"}}
    value = {"v": 1, "ts": "2024-08-01T10:00:00+00:00", "channel_values": {"messages": [message]}}
    path = tmp_path / "checkpoints.db"
    write_checkpoints(path, [("t", "", STEPS[0], None, ("json", json.dumps(value).encode()))])
    service.import_(path)
    assert SQLiteChatMessageHistory("t", service=service).messages == [HumanMessage("hi", id="m")]


# ---------------------------------------------------------------- Claude Code


def said(session: Any) -> list[tuple[str, str]]:
    return [(event.author, event.content) for event in session.events(limit=None)]


def test_the_lines_of_a_reply_are_one_event_whose_tokens_count_once(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    imported(service, "claude_code_session", tmp_path / "source")
    session = service.get_session(CLAUDE)
    assert session.title == "mk002"
    assert session.metadata["claude_code"]["cwd"] == "/home/u/mk001"
    reply = session.events()[2]
    assert (reply.content, reply.reasoning, reply.id) == ("mk008", "mk007", "main-0005")
    assert reply.actions == (ToolCall("Read", {"file_path": "mk009"}, id="toolu-1"),)
    assert reply.usage == Usage("claude-1", 43, 30, cache_read_tokens=40)
    assert reply.created_at == datetime(2026, 2, 1, 10, 0, 5, tzinfo=UTC)
    assert service.usage(by="model")[0]["output_tokens"] == 5 + 30 + 5 + 5 + 5


def test_results_are_joined_to_calls_and_context_is_no_word_of_the_user(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    imported(service, "claude_code_session", tmp_path / "source")
    calls = {call["name"]: call for call in service.tool_calls()}
    assert calls["Read"]["output"] == "mk010"
    assert calls["Task"]["output"] == "mk015"
    assert said(service.get_session(CLAUDE))[:3] == [
        ("system", "mk003 caveat"), ("user", "mk004 read it"), ("assistant", "mk008")
    ]  # fmt: skip
    lost = next(event for event in service.get_session(CLAUDE).events() if "mk020" in event.content)
    assert (lost.author, lost.actions[0].id, lost.actions[0].error) == ("tool", "toolu-9", "mk020")


def test_a_prompt_that_was_taken_back_is_a_branch_and_a_sub_agent_is_a_child(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    imported(service, "claude_code_session", tmp_path / "source")
    branch = service.get_session(f"{CLAUDE}:main-0003")
    assert (branch.parent_id, branch.parent_seq) == (CLAUDE, 2)
    assert said(branch) == [("user", "mk005 a prompt that was taken back"), ("assistant", "mk006")]
    agent = next(session for session in service.list_sessions() if session.id not in (CLAUDE, branch.id))
    assert said(agent) == [("user", "mk012 mk013"), ("assistant", "mk014")]
    assert agent.parent_id == CLAUDE
    assert service.get_session(CLAUDE).events()[agent.parent_seq - 1].actions[0].name == "Task"


def test_a_sub_agent_with_a_file_of_its_own_is_a_child_of_its_session(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    imported(service, "claude_code_agent", tmp_path / "source")
    [agent] = service.list_sessions()
    assert (agent.id, agent.parent_id, agent.agent_id) == (f"{CLAUDE}:a1b2c3d4", CLAUDE, "a1b2c3d4")


def test_tools_that_run_at_the_same_time_make_no_branch(service: SQLiteSessionService, tmp_path: Path) -> None:
    made = Records()
    made.user("read both")
    first = made.reply("msg-1", {"type": "tool_use", "id": "t-1", "name": "Read", "input": {}})
    second = made.reply("msg-1", {"type": "tool_use", "id": "t-2", "name": "Read", "input": {}})
    made.user(result("t-1", "one"), after=first)
    made.user(result("t-2", "two"), after=second)
    made.reply("msg-2", {"type": "text", "text": "done"})
    as_lines(tmp_path / "s.jsonl", made.made)
    report = service.import_(tmp_path / "s.jsonl")
    assert (report.sessions, report.events) == (1, 5)
    assert [call["output"] for call in service.tool_calls()] == ["one", "two"]
    assert service.usage(by="model")[0]["output_tokens"] == 10


def test_a_session_that_goes_on_brings_only_what_is_new(service: SQLiteSessionService, tmp_path: Path) -> None:
    made = Records()
    made.user("one")
    made.reply("msg-1", {"type": "text", "text": "two"})
    as_lines(tmp_path / "s.jsonl", made.made)
    service.import_(tmp_path / "s.jsonl")
    made.user("three")
    as_lines(tmp_path / "s.jsonl", made.made)
    report = service.import_(tmp_path / "s.jsonl")
    assert (report.sessions, report.extended, report.events, report.known) == (0, 1, 1, 2)


@pytest.mark.parametrize(
    "record",
    [{"type": "user"}, {"type": "user", "message": None}, {"type": "assistant", "message": "x"}, {"type": 1}, [], "x",
     {"type": "assistant", "message": {"content": 1}, "uuid": 5}, {"type": "attachment", "attachment": 1}, {},
     {"type": "user", "message": {"content": "x"}, "uuid": "loop", "parentUuid": "loop", "isSidechain": True}],
)  # fmt: skip
def test_a_record_of_another_form_is_reported_or_kept_and_the_others_come(
    service: SQLiteSessionService, tmp_path: Path, record: Any
) -> None:
    made = Records()
    made.user("before")
    made.made.append(record)
    made.reply("msg-1", {"type": "text", "text": "after"}, after="main-0001")
    as_lines(tmp_path / "s.jsonl", made.made)
    report = service.import_(tmp_path / "s.jsonl")
    assert said(service.get_session(CLAUDE))[0] == ("user", "before")
    assert said(service.get_session(CLAUDE))[-1] == ("assistant", "after")
    assert report.events + report.skipped_count == 3


# ---------------------------------------------------------------- Claude.ai


def test_a_conversation_of_claude_ai_has_its_calls_with_results_and_another_answer_as_a_branch(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    imported(service, "claude_ai_export", tmp_path / "source")
    session = service.get_session("conversation-1")
    assert (session.title, session.created_at) == ("mk020", datetime(2026, 2, 1, 9, tzinfo=UTC))
    asked, answered, *_, last = session.events()
    assert answered.content.startswith("mk006\nmk010\n")
    assert answered.reasoning == "mk007"
    [call] = answered.actions
    assert (call.name, call.args, call.output) == ("web_search", {"query": "mk009"}, "mk011")
    assert asked.metadata["attachments"][0]["extracted_content"] == "mk003 pasted"
    assert (last.content, last.metadata["text"]) == ("mk014", "mk014 mk015 said otherwise")
    branch = service.get_session("conversation-1:message-2")
    assert (branch.parent_id, branch.parent_seq, said(branch)) == ("conversation-1", 1, [("assistant", "mk005")])
    assert [text for _, text in said(service.get_session("conversation-2"))] == ["mk016", "mk017", "mk018", "mk019"]


def test_a_zip_of_claude_ai_is_read(service: SQLiteSessionService, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.write(FILES["claude_ai_export"].made(tmp_path), "conversations.json")
    assert service.import_(tmp_path / "data.zip").format == "claude-ai"


# ---------------------------------------------------------------- Codex CLI


def test_a_rollout_is_a_conversation_and_what_the_program_repeats_comes_once(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    imported(service, "codex_rollout", tmp_path / "source")
    session = service.get_session(CODEX)
    context = "<environment_context>mk002</environment_context>"
    assert said(session)[:8] == [
        ("system", "mk017"), ("system", "mk001 permissions"), ("system", context), ("user", "mk003 read it"),
        ("system", "mk004"), ("assistant", "mk006"), ("tool", "mk008"), ("assistant", ""),
    ]  # fmt: skip
    reply, _, patched, *_ = session.events()[5:]
    assert (reply.reasoning, reply.created_at) == ("mk005", datetime(2025, 10, 8, 12, 0, 7, tzinfo=UTC))
    assert reply.usage == Usage("gpt-5-codex", 10, 10, cache_read_tokens=1, reasoning_tokens=2)
    assert (patched.actions[0].args, patched.usage and patched.usage.input_tokens) == ({"input": "mk009"}, 20)
    assert [(call["name"], call["output"]) for call in service.tool_calls()] == [
        ("shell", "mk008"), ("apply_patch", "mk010"), ("web_search", "completed")
    ]  # fmt: skip
    assert service.usage(by="model")[0]["input_tokens"] == 31


def test_old_rollouts_are_conversations_too(service: SQLiteSessionService, tmp_path: Path) -> None:
    imported(service, "codex_old_rollout", tmp_path / "old")
    assert said(service.get_session(CODEX)) == [
        ("system", "mk006"), ("user", "mk001"), ("assistant", ""), ("tool", "mk004"), ("assistant", "mk005")
    ]  # fmt: skip
    shell = service.get_session(CODEX).events()[2]
    assert (shell.reasoning, shell.actions[0].name, shell.actions[0].id) == ("mk002", "local_shell", "call-1")
    assert shell.created_at == datetime(2025, 7, 8, 12, tzinfo=UTC)


def test_a_rollout_that_repeats_the_session_it_came_from_counts_its_tokens_once(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    history = [codex_message("user", "one"), codex_message("assistant", "two"), codex_tokens(10, 10)]
    as_lines(tmp_path / "parent.jsonl", rollout(*history))
    spawned = {"subagent": {"thread_spawn": {"parent_thread_id": CODEX}}}
    own = [codex_message("user", "three"), codex_message("assistant", "four"), codex_tokens(15, 5)]
    again = ("session_meta", {"id": CODEX, "timestamp": "2025-10-08T12:00:00.000Z"})
    child = rollout(again, *history, *own, id="child", source=spawned, agent_nickname="Scout")
    for record in child[: 2 + len(history)]:
        record["timestamp"] = "2025-10-08T12:00:00.100Z"
    as_lines(tmp_path / "child.jsonl", child)
    service.import_(tmp_path / "parent.jsonl")
    service.import_(tmp_path / "child.jsonl")
    session = service.get_session("child")
    assert (session.parent_id, session.agent_id, len(session.events())) == (CODEX, "Scout", 4)
    assert [event.copied_from for event in session.events()] == [CODEX, CODEX, "", ""]
    assert sum(row["input_tokens"] for row in service.usage(by="model")) == 15


# ---------------------------------------------------------------- Gemini


@pytest.mark.parametrize("name", ["gemini_cli_session", "gemini_cli_lines"])
def test_a_session_of_gemini_cli_has_its_thoughts_calls_and_tokens(
    service: SQLiteSessionService, tmp_path: Path, name: str
) -> None:
    imported(service, name, tmp_path / "source")
    session = service.get_session(GEMINI["sessionId"])
    assert (session.title, session.created_at) == ("mk013", datetime(2026, 3, 1, 10, tzinfo=UTC))
    assert said(session) == [("user", "mk001 read"), ("assistant", "mk002"), ("system", "mk010"), ("user", "mk011")]
    reply = session.events()[1]
    assert (reply.reasoning, reply.usage) == (
        "mk003\nmk004", Usage("gemini-3", 100, 25, cache_read_tokens=30, reasoning_tokens=5)
    )  # fmt: skip
    assert [(call.id, call.output, call.error) for call in reply.actions] == [
        ("call-1", "mk006", None), ("call-2", "mk009", "mk009")
    ]  # fmt: skip


def test_messages_of_gemini_cli_that_were_taken_back_are_a_branch(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    imported(service, "gemini_cli_lines", tmp_path / "source")
    branch = service.get_session(f"{GEMINI['sessionId']}:m8")
    assert (branch.parent_seq, said(branch)) == (2, [("user", "mk014"), ("assistant", "mk015")])


def test_a_saved_history_joins_results_to_calls_without_ids(service: SQLiteSessionService, tmp_path: Path) -> None:
    imported(service, "gemini_saved_history", tmp_path / "source")
    [call] = service.tool_calls()
    assert (call["name"], call["args"], call["output"]) == ("read_file", {"path": "mk003"}, "mk004")


def test_a_prompt_of_ai_studio_is_a_conversation(service: SQLiteSessionService, tmp_path: Path) -> None:
    imported(service, "ai_studio_prompt", tmp_path / "source")
    [session] = service.list_sessions()
    assert session.title == "My prompt"
    assert [author for author, _ in said(session)] == ["system", "user", "user", "assistant"]
    reply = session.events()[-1]
    assert (reply.content, reply.reasoning) == ("mk005 mk006", "mk004")
    assert reply.usage == Usage("gemini-2.5-pro", output_tokens=8, reasoning_tokens=5)
    assert (reply.actions[0].args["code"], reply.actions[0].output) == ("mk007", "mk008")


def test_a_record_of_takeout_is_a_prompt_with_its_answer_as_text(service: SQLiteSessionService, tmp_path: Path) -> None:
    imported(service, "gemini_takeout", tmp_path / "source")
    sessions = {session.title: said(session) for session in service.list_sessions()}
    assert sessions["mk001 which tea?"] == [
        ("user", "mk001 which tea?"), ("assistant", "mk002 **mk003**\n\n- mk004\n\n```\nmk005\n  mk006\n```"),
    ]  # fmt: skip
    assert sessions["mk009"] == [("user", "mk009"), ("assistant", "mk010 < 3")]
    assert sessions["Gave feedback: mk011"] == [("system", "Gave feedback: mk011")]


# ---------------------------------------------------------------- Open WebUI and LibreChat


@pytest.mark.parametrize("name", ["webui_export", "webui_database"])
def test_a_chat_of_open_webui_is_its_owners_and_has_what_its_text_hides(
    service: SQLiteSessionService, tmp_path: Path, name: str
) -> None:
    imported(service, name, tmp_path / "source")
    mine = service.scope(user_id="user-1")
    session = mine.get_session("chat-1")
    assert (session.title, session.created_at) == ("mk018", datetime(2026, 1, 1, 10, tzinfo=UTC))
    assert [event.author for event in session.events()] == ["system", "user", "assistant", "user", "assistant"]
    reply, failed = session.events()[2], session.events()[-1]
    assert reply.reasoning == "mk003\nmk004"
    assert reply.content == "mk009 so\n<details><summary>mk010</summary>mk011</details>\nmk013 <details> open"
    assert [(call.name, call.args, call.output) for call in reply.actions] == [
        ("search", {"q": "mk005"}, "mk006 <b>"),
        ("code_interpreter", {"code": "print(mk007)\n"}, {"stdout": "mk008"}),
    ]
    assert reply.usage == Usage("m-1", 7, 5)
    assert failed.content == "mk017"
    branch = mine.get_session("chat-1:a1")
    assert (branch.parent_id, branch.parent_seq, said(branch)) == (
        "chat-1",
        2,
        [("assistant", "mk012 the first answer")],
    )
    theirs = service.scope(user_id="user-2").get_session("chat-2")
    assert said(theirs) == [("user", "mk022"), ("assistant", "mk023")]


@pytest.mark.parametrize("name", ["librechat_list", "librechat_tree"])
def test_a_conversation_of_librechat_is_a_session_and_another_answer_a_branch(
    service: SQLiteSessionService, tmp_path: Path, name: str
) -> None:
    imported(service, name, tmp_path / "source")
    session = service.get_session("convo-1")
    assert said(session) == [
        ("user", "mk001"),
        ("assistant", "mk004\nmk007"),
        ("user", "mk009"),
        ("assistant", "mk010"),
    ]
    reply = session.events()[1]
    assert (reply.reasoning, reply.usage) == ("mk003", Usage("gpt-4o", output_tokens=21))
    assert (reply.actions[0].args, reply.actions[0].output) == ({"q": "mk005"}, "mk006")
    branch = service.get_session("convo-1:m2")
    assert (branch.parent_seq, said(branch)) == (1, [("assistant", "mk008 the first answer")])


# ---------------------------------------------------------------- agno and Google ADK


@pytest.mark.parametrize("name", ["agno_database", "agno_second_generation", "agno_first_generation"])
def test_a_session_of_agno_has_each_message_once(service: SQLiteSessionService, tmp_path: Path, name: str) -> None:
    imported(service, name, tmp_path / "source")
    mine = service.scope(user_id="user-1")
    session = mine.get_session("session-1")
    assert (session.title, session.agent_id, dict(session.state)) == ("mk014", "agent-1", {"mk015": 1})
    assert said(session) == [
        ("system", "mk001"), ("user", "mk002"), ("assistant", "mk003"), ("tool", "mk006"), ("assistant", "mk007"),
        ("user", "mk008"), ("assistant", "mk010"),
    ]  # fmt: skip
    reply, failed = session.events()[2:4]
    assert (reply.reasoning, reply.usage, reply.invocation_id) == ("mk004", Usage("m-1", 9, 3), "run-1")
    assert reply.created_at == datetime(2026, 1, 1, 10, 0, 2, tzinfo=UTC)
    assert reply.actions == (ToolCall("look", {"q": "mk005"}, id="call-1"),)
    assert (failed.actions[0].name, failed.actions[0].error) == ("look", "mk006")
    if name != "agno_first_generation":
        member = mine.get_session("session-1:run-3")
        assert (member.parent_id, said(member)) == (
            "session-1", [("user", "mk011"), ("assistant", '{"answer": "mk012"}')]
        )  # fmt: skip


@pytest.mark.parametrize("name", ["adk_database", "adk_first_database", "adk_saved_session"])
def test_a_session_of_the_adk_keeps_its_owner_events_and_state(
    service: SQLiteSessionService, tmp_path: Path, name: str
) -> None:
    imported(service, name, tmp_path / "source")
    session = service.scope(app_name="shop", user_id="user-1").get_session("session-1")
    assert said(session) == [
        ("user", "mk001"), ("scout", "mk003"), ("tool", "mk005"), ("scout", "mk007"), ("scout", "mk009")
    ]  # fmt: skip
    asked, reply, result, *_ = session.events()
    assert asked.created_at == datetime(2026, 1, 1, 10, 0, 0, 500_000, tzinfo=UTC)
    assert (reply.reasoning, reply.invocation_id, reply.actions[0].args) == ("mk002", "run-1", {"q": "mk004"})
    assert (result.actions[0].name, result.actions[0].id) == ("look", "call-1")
    assert dict(session.state) == {"mk012": 1, "app:mk010": 1, "user:mk011": 1}
    if name != "adk_first_database":
        assert (reply.usage, reply.branch) == (Usage("gemini-3", 9, 5, reasoning_tokens=2), "root.scout")
        assert (dict(result.state), result.metadata["adk"]) == ({"mk006": 1}, {"actions": {"escalate": True}})


@pytest.mark.parametrize(("name", "id"), [("adk_eval_set", "set-1:mk007"), ("adk_old_eval_set", "case-1")])
def test_a_case_of_an_eval_set_is_the_session_that_it_describes(
    service: SQLiteSessionService, tmp_path: Path, name: str, id: str
) -> None:
    imported(service, name, tmp_path / "source")
    session = service.scope(app_name="shop", user_id="user-1").get_session(id)
    assert [event.author for event in session.events()][0::100] == ["user"]
    [call] = service.scope(app_name="shop", user_id="user-1").tool_calls()
    assert (call["name"], call["output"]) == ("look", "mk004" if name == "adk_eval_set" else None)


def test_what_agno_itself_saved_is_read(service: SQLiteSessionService, tmp_path: Path) -> None:
    pytest.importorskip("agno")
    from agno.db.sqlite import SqliteDb
    from agno.models.message import Message
    from agno.run.agent import RunOutput
    from agno.session.agent import AgentSession

    run = RunOutput(run_id="run-1", agent_id="a", session_id="s", messages=[
        Message(role="user", content="hi"), Message(role="assistant", content="hello")])  # fmt: skip
    session = AgentSession(session_id="s", agent_id="a", user_id="u", runs=[run], created_at=1767261600)
    SqliteDb(db_file=str(tmp_path / "agno.db")).upsert_session(session)
    report = service.import_(tmp_path / "agno.db")
    assert (report.format, report.events) == ("agno", 2)


# ---------------------------------------------------------------- ShareGPT and OpenAI's batches


def test_conversations_of_sharegpt_are_told_apart_and_their_calls_joined(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    imported(service, "sharegpt_data", tmp_path / "source")
    session = service.get_session("identity_0")
    assert [event.author for event in session.events()] == [
        "system", "user", "assistant", "assistant", "tool", "assistant"
    ]  # fmt: skip
    [call] = service.tool_calls()
    assert (call["name"], call["args"], call["output"]) == ("look", {"q": "mk005"}, "mk006")
    others = [said(one) for one in service.list_sessions() if one.id != "identity_0"]
    assert sorted(others) == [[("user", "mk009"), ("assistant", "mk010")], [("user", "mk011")]]


def test_an_answer_of_a_batch_counts_its_tokens_once(service: SQLiteSessionService, tmp_path: Path) -> None:
    imported(service, "batch_answers", tmp_path / "source")
    session = service.get_session("batch_req_1")
    assert said(session) == [("assistant", "mk001"), ("assistant", "mk002")]
    assert [event.usage for event in session.events()] == [Usage("gpt-4o", 9, 4), None]
    assert session.metadata["openai_batch"]["custom_id"] == "mk011"
    assert service.get_session("batch_req_2").events()[0].reasoning == "mk007"
    assert said(service.get_session("batch_req_3")) == [("system", "mk006")]


def test_a_request_of_a_batch_is_a_conversation(service: SQLiteSessionService, tmp_path: Path) -> None:
    imported(service, "batch_requests", tmp_path / "source")
    assert [call["output"] for call in service.tool_calls()] == ["mk005"]


# ---------------------------------------------------------------- folders


def test_a_folder_of_projects_of_claude_code_comes_in_with_one_report(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    project = tmp_path / "projects" / "-home-u-code"
    FILES["claude_code_session"].made(project)
    FILES["claude_code_agent"].made(project / CLAUDE / "subagents")
    (project / CLAUDE / "subagents" / "agent-a1b2c3d4.meta.json").write_text('{"agentType": "Explore"}', "utf-8")
    other = Records("a-session-of-another-project")
    other.user("hello")
    other.add("progress", data={})
    (tmp_path / "projects" / "-home-u-other").mkdir()
    as_lines(tmp_path / "projects" / "-home-u-other" / "a-session-of-another-project.jsonl", other.made)
    report = service.import_(tmp_path / "projects")
    assert (report.sessions, report.events) == (3 + 1 + 1, 15 + 4 + 1)
    assert report.left_out["progress"] == 2, "records of all files are counted together"
    assert [fault.where.rpartition("agent-")[2] for fault in report.skipped] == ["a1b2c3d4.meta.json"]
    assert service.get_session(f"{CLAUDE}:a1b2c3d4").parent_id == CLAUDE
    again = service.import_(tmp_path / "projects")
    assert (again.sessions, again.events, again.known) == (0, 0, report.events)
