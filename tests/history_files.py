"""Small files of every format, written by the program itself where it is light, otherwise in its published form.

Each text of a file has a mark (`mk001`, `mk002`…) in it, so that what was read can be counted without reading the file:
the marks in its bytes are those in the store and those of the records that the report says were left out.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage, messages_to_dict

from session_sqlite import ANY, Event, SQLiteChatMessageHistory, SQLiteSessionService, ToolCall, Usage

MARK = re.compile(r"mk\d{3}")


@dataclass(frozen=True)
class HistoryFile:
    """A file of a format.

    Attributes:
        format: What an import says that it is.
        name: The name of the file.
        write: Writes it to a path.
        sessions: How many sessions it has.
        events: How many events.
        left_out: What is not stored, by its mark, and words with which the report says so.
    """

    format: str
    name: str
    write: Callable[[Path], None]
    sessions: int
    events: int
    left_out: Mapping[str, str] = field(default_factory=dict)

    def made(self, folder: Path) -> Path:
        """Writes the file into a folder and gives its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        self.write(path)
        return path


def marks_of_file(path: Path) -> set[str]:
    """The marks in the bytes of a file, or of all files of a folder."""
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    files += [Path(f"{path}-wal")] if Path(f"{path}-wal").exists() else []
    return {mark for file in files for mark in MARK.findall(file.read_bytes().decode("latin-1"))}


def marks_of_store(service: SQLiteSessionService) -> set[str]:
    """The marks in what a store holds."""
    found = set()
    for table in ("sessions", "events", "state"):
        for row in service.scope(app_name=ANY, user_id=ANY).db[table].rows:
            found.update(MARK.findall(json.dumps(row, default=str)))
    return found


FILES: dict[str, HistoryFile] = {}


def history_file(
    format: str, name: str, sessions: int, events: int, left_out: Mapping[str, str] | None = None
) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Adds a function that writes a file to the files."""

    def added(write: Callable[[Path], None]) -> Callable[[Path], None]:
        FILES[write.__name__] = HistoryFile(format, name, write, sessions, events, left_out or {})
        return write

    return added


def as_lines(path: Path, records: list[Any]) -> None:
    """Writes JSON Lines."""
    path.write_text("".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records), "utf-8")


def as_json(path: Path, value: Any) -> None:
    """Writes one JSON document."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")


# ---------------------------------------------------------------- LangChain

CONVERSATION: list[BaseMessage] = [
    SystemMessage("mk001 简短回答"),
    HumanMessage("mk002 请帮我分析代码", id="human-1", additional_kwargs={"source": "mk003"}),
    AIMessage(
        [{"type": "thinking", "thinking": "mk004", "signature": "c2ln"}, {"type": "text", "text": "mk005 好的"}],
        tool_calls=[{"name": "Read", "args": {"path": "mk006"}, "id": "call-1"}],
        usage_metadata={"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
        response_metadata={"model_name": "model-1"},
        id="ai-1",
    ),
    ToolMessage("mk007 package main", tool_call_id="call-1", name="Read", id="tool-1"),
    AIMessage("mk008", id="ai-2"),
]


@history_file("langchain-messages", "dumped.json", sessions=1, events=5)
def dumped_messages(path: Path) -> None:
    path.write_text(dumps(CONVERSATION), "utf-8")


@history_file("langchain-messages", "dumped.jsonl", sessions=2, events=6)
def dumped_conversations(path: Path) -> None:
    path.write_text(dumps(CONVERSATION) + "\n" + dumps([HumanMessage("mk009")]) + "\n", "utf-8")


@history_file(
    "langchain-messages", "chats.json", sessions=2, events=7, left_out={"mk012": "not a message of LangChain"}
)
def conversations_of_dicts(path: Path) -> None:
    others = [*messages_to_dict([HumanMessage("mk009"), AIMessage("mk010")]), {"text": "mk012"}]
    chats = [{"id": "a", "title": "mk011", "messages": messages_to_dict(CONVERSATION)}, {"id": "b", "messages": others}]
    as_json(path, chats)


# ---------------------------------------------------------------- LangGraph


class Plan:
    """A type of the program that wrote the file, which nobody else has."""

    def __init__(self, step: str) -> None:
        self.step = step

    def model_dump(self) -> dict[str, Any]:
        return {"step": self.step}


def write_checkpoints(path: Path, checkpoints: list[tuple[str, str, str, str | None, Any]], writes: Any = ()) -> None:
    """Writes a file in the form of ``SqliteSaver``, with LangGraph's own serializer."""
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    serde = JsonPlusSerializer()
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE checkpoints (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '',"
        " checkpoint_id TEXT NOT NULL, parent_checkpoint_id TEXT, type TEXT, checkpoint BLOB, metadata BLOB,"
        " PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id));"
        "CREATE TABLE writes (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '',"
        " checkpoint_id TEXT NOT NULL, task_id TEXT NOT NULL, idx INTEGER NOT NULL, channel TEXT NOT NULL, type TEXT,"
        " value BLOB, PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx));"
    )
    for thread, namespace, id, parent, channels in checkpoints:
        if isinstance(channels, tuple):
            stored = channels
        else:
            stored = serde.dumps_typed(
                {"v": 4, "id": id, "ts": "2025-06-01T10:00:09+00:00", "channel_values": channels}
            )
        about = json.dumps({"source": "loop", "step": 3}).encode()
        row = (thread, namespace, id, parent, *stored, about)
        connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    for number, (thread, namespace, id, channel, value) in enumerate(writes):
        row = (thread, namespace, id, f"task-{number}", 0, channel, *serde.dumps_typed(value))
        connection.execute("INSERT INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.commit()
    connection.close()


# Ids of checkpoints are UUIDs of version 6; these are of 2025-06-01, 10:00:00 and the seconds after.
STEPS = ["1f03ecf2-e095-6000-8000-000000000000", "1f03ecf2-ea1e-6680-8000-000000000001",
         "1f03ecf2-f3a7-6d00-8000-000000000002"]  # fmt: skip


@history_file(
    "langgraph", "checkpoints.sqlite", sessions=3, events=12,
    left_out={"mk020": "wait for its next step", "mk021": "it was pickled", "mk022": "the channel 'raw'"},
)  # fmt: skip
def checkpoints(path: Path) -> None:
    state = {"messages": CONVERSATION, "plan": Plan("mk010"), "branch:to:model": None, "raw": b"mk022"}
    sub = {"messages": [CONVERSATION[1], AIMessage("mk011", id="sub-1")]}
    write_checkpoints(
        path,
        [
            ("thread-1", "", STEPS[0], None, {"messages": CONVERSATION[:2]}),
            ("thread-1", "", STEPS[1], STEPS[0], {"messages": CONVERSATION[:4]}),
            ("thread-1", "", STEPS[2], STEPS[1], state),
            ("thread-1", "research:1", STEPS[2], None, sub),
            ("thread-2", "", STEPS[0], None, ("pickle", b"\x80\x04\x95 mk021")),
            ("thread-3", "", STEPS[0], None, {"history": CONVERSATION}),
        ],
        [
            ("thread-1", "", STEPS[0], "messages", CONVERSATION[2:4]),
            ("thread-1", "", STEPS[1], "messages", CONVERSATION[4:]),
            ("thread-1", "", STEPS[2], "messages", [HumanMessage("mk020")]),
        ],
    )


# ---------------------------------------------------------------- Claude Code

CLAUDE = "0b6f2a1e-5a3c-4f0e-9d63-3a2f1c9b7e55"


class Records:
    """Makes records of Claude Code, each after the one before it."""

    def __init__(self, session_id: str = CLAUDE, **always: Any) -> None:
        self.made: list[dict[str, Any]] = []
        self._always = {
            "sessionId": session_id,
            "cwd": "/home/u/mk001",
            "version": "2.1.12",
            "gitBranch": "main",
        } | always
        self._number = 0

    def add(self, type: str, *, after: str | None = "", **fields: Any) -> str:
        """Adds a record and gives its uuid."""
        self._number += 1
        uuid = f"{self._always.get('agentId', 'main')}-{self._number:04}"
        before = next((one["uuid"] for one in reversed(self.made) if "uuid" in one), None) if after == "" else after
        time = f"2026-02-01T10:00:{self._number:02}.000Z"
        record = {"parentUuid": before, "isSidechain": False, "type": type, "uuid": uuid, "timestamp": time}
        self.made.append(record | self._always | fields)
        return uuid

    def user(self, content: Any, **fields: Any) -> str:
        """Adds what the user says, or the results of tools."""
        return self.add("user", message={"role": "user", "content": content}, **fields)

    def reply(self, id: str, *blocks: dict[str, Any], output: int = 5, **fields: Any) -> str:
        """Adds a reply: a line for each block, whose tokens grow."""
        for number, block in enumerate(blocks, start=1):
            usage = {"input_tokens": 3, "cache_read_input_tokens": 40, "output_tokens": output * number // len(blocks)}
            message = {"id": id, "type": "message", "role": "assistant", "model": "claude-1", "content": [block],
                       "stop_reason": None, "usage": usage}  # fmt: skip
            uuid = self.add("assistant", message=message, requestId=f"req-{id}", **fields)
        return uuid


def result(id: str, content: Any, **fields: Any) -> list[dict[str, Any]]:
    """The content of a message that brings a tool's result."""
    return [{"type": "tool_result", "tool_use_id": id, "content": content, **fields}]


@history_file(
    "claude-code", f"{CLAUDE}.jsonl", sessions=3, events=15,
    left_out={"mk030": "'file-history-snapshot'", "mk031": "'progress'", "mk032": "'queue-operation'"},
)  # fmt: skip
def claude_code_session(path: Path) -> None:
    made = Records()
    made.made += [
        {"type": "summary", "summary": "mk002", "leafUuid": "main-0003"},
        {"type": "file-history-snapshot", "messageId": "main-0001", "snapshot": {"trackedFileBackups": {"a": "mk030"}}},
    ]
    made.user("mk003 caveat", isMeta=True)
    asked = made.user([{"type": "text", "text": "mk004 read it"}, {"type": "image", "source": {"type": "base64",
                       "media_type": "image/png", "data": "iVBORw0KGgo="}}])  # fmt: skip
    left = made.user("mk005 a prompt that was taken back", after=asked)
    made.reply("msg-0", {"type": "text", "text": "mk006"}, after=left)
    made.reply(
        "msg-1",
        {"type": "thinking", "thinking": "mk007", "signature": "c2ln"},
        {"type": "text", "text": "mk008"},
        {"type": "tool_use", "id": "toolu-1", "name": "Read", "input": {"file_path": "mk009"}},
        after=asked,
        output=30,
    )
    made.user(result("toolu-1", "mk010"), toolUseResult={"type": "text", "file": {"content": "mk011"}})
    made.add("progress", data={"type": "hook_progress", "hookName": "mk031"}, toolUseID="toolu-1")
    made.made.append({"type": "queue-operation", "operation": "enqueue", "content": "mk032", "sessionId": CLAUDE})
    made.reply("msg-2", {"type": "tool_use", "id": "toolu-2", "name": "Task", "input": {"prompt": "mk012"}})
    call = made.made[-1]["uuid"]
    made.user("mk012 mk013", after=None, isSidechain=True)
    made.reply("msg-s", {"type": "text", "text": "mk014"}, isSidechain=True)
    made.user(result("toolu-2", [{"type": "text", "text": "mk015"}]), after=call)
    made.add("system", subtype="local_command", content="mk016", level="info")
    made.add("attachment", attachment={"type": "nested_memory", "path": "mk017", "content": "mk018"})
    made.add("invented-later", words="mk019")
    made.user(result("toolu-9", "mk020", is_error=True))
    made.reply("msg-3", {"type": "text", "text": "mk021"}, {"type": "block_of_tomorrow", "words": "mk022"})
    as_lines(path, made.made)


@history_file("claude-code", "agent-a1b2c3d4.jsonl", sessions=1, events=4)
def claude_code_agent(path: Path) -> None:
    made = Records(agentId="a1b2c3d4", isSidechain=True)
    made.user("mk002 look for it", after=None)
    made.reply("msg-1", {"type": "text", "text": "mk003"}, {"type": "tool_use", "id": "toolu-5", "name": "Grep",
               "input": {"pattern": "mk004"}})  # fmt: skip
    made.user(result("toolu-5", "mk005"))
    made.reply("msg-2", {"type": "text", "text": "mk006"})
    as_lines(path, made.made)


# ---------------------------------------------------------------- Claude.ai


def claude_ai_message(number: int, sender: str, before: int | None, **fields: Any) -> dict[str, Any]:
    """A message of Claude.ai, after another one."""
    time = f"2026-02-01T10:00:{number:02}.123456Z"
    parent = "00000000-0000-4000-8000-000000000000" if before is None else f"message-{before}"
    return {"uuid": f"message-{number}", "text": "", "content": [], "sender": sender, "created_at": time,
            "updated_at": time, "attachments": [], "files": [], "parent_message_uuid": parent} | fields  # fmt: skip


def shown_text(text: str) -> dict[str, Any]:
    """A block of text of Claude.ai."""
    return {"start_timestamp": "2026-02-01T10:00:00Z", "stop_timestamp": None, "flags": None, "type": "text",
            "text": text, "citations": []}  # fmt: skip


@history_file("claude-ai", "conversations.json", sessions=3, events=9)
def claude_ai_export(path: Path) -> None:
    not_shown = "```\nThis block is not supported on your current device yet.\n```"
    attachment = {"file_name": "mk002", "file_size": 9, "file_type": "txt", "extracted_content": "mk003 pasted"}
    messages = [
        claude_ai_message(1, "human", None, text="mk001 hi", content=[shown_text("mk001 hi")],
                          attachments=[attachment], files=[{"file_name": "mk004"}]),
        claude_ai_message(2, "assistant", 1, text="mk005", content=[shown_text("mk005")]),
        claude_ai_message(
            3, "assistant", 1, text=f"mk006\n\n{not_shown}\n\nmk010",
            content=[
                {"type": "thinking", "thinking": "mk007", "summaries": [{"summary": "mk008"}], "cut_off": False},
                shown_text("mk006"),
                {"type": "tool_use", "id": None, "name": "web_search", "input": {"query": "mk009"}},
                {"type": "tool_result", "tool_use_id": None, "name": "web_search",
                 "content": [{"type": "text", "text": "mk011"}], "is_error": False},
                shown_text("mk010"),
                {"type": "invented_later", "words": "mk012"},
            ],
        ),
        claude_ai_message(4, "human", 3, text="mk013 of an older export"),
        claude_ai_message(5, "assistant", 4, content=[shown_text("mk014")], text="mk014 mk015 said otherwise"),
    ]  # fmt: skip
    senders = ("human", "assistant") * 2
    older = [claude_ai_message(n, sender, None, text=f"mk0{15 + n}") for n, sender in enumerate(senders, start=1)]
    for message in older:
        del message["parent_message_uuid"], message["content"]
    about = {"created_at": "2026-02-01T09:00:00Z", "updated_at": "2026-02-02T09:00:00Z", "account": {"uuid": "acc-1"}}
    first = {"uuid": "conversation-1", "name": "mk020", "summary": "mk021", **about, "chat_messages": messages}
    as_json(path, [first, {"uuid": "conversation-2", "name": "", **about, "chat_messages": older}])


# ---------------------------------------------------------------- Codex CLI

CODEX = "0199c1a2-7b3c-7d4e-8f50-617283940a1b"
ROLLOUT = f"rollout-2025-10-08T12-00-00-{CODEX}"


def rollout(*lines: tuple[str, dict[str, Any]], id: str = CODEX, **meta: Any) -> list[dict[str, Any]]:
    """The lines of a rollout, a second between them."""
    about = {"id": id, "timestamp": "2025-10-08T12:00:00.000Z", "cwd": "/home/u", "originator": "codex_cli_rs",
             "cli_version": "0.46.0", "source": "cli", **meta}  # fmt: skip
    return [
        {"timestamp": f"2025-10-08T12:00:{second:02}.000Z", "type": kind, "payload": payload}
        for second, (kind, payload) in enumerate([("session_meta", about), *lines])
    ]


def codex_message(role: str, *texts: str) -> tuple[str, dict[str, Any]]:
    """A message among the items."""
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": text} for text in texts]
    return "response_item", {"type": "message", "role": role, "content": content}


def codex_event(kind: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    """An event of the program."""
    return "event_msg", {"type": kind, **fields}


def codex_tokens(total: int, last: int) -> tuple[str, dict[str, Any]]:
    """The event with the tokens of the last reply, and of all."""
    counts = {"cached_input_tokens": 1, "reasoning_output_tokens": 2, "total_tokens": 9}
    return codex_event("token_count", rate_limits=None, info={
        "total_token_usage": {"input_tokens": total, "output_tokens": total, **counts},
        "last_token_usage": {"input_tokens": last, "output_tokens": last, **counts},
    })  # fmt: skip


def codex_item(kind: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    """Another item."""
    return "response_item", {"type": kind, **fields}


@history_file(
    "codex", f"{ROLLOUT}.jsonl", sessions=1, events=14,
    left_out={"mk030": "'event_msg, exec_command_end'", "mk031": "'turn_context'", "mk032": "'ghost_snapshot'"},
)  # fmt: skip
def codex_rollout(path: Path) -> None:
    output = '{"output": "mk008", "metadata": {"exit_code": 0}}'
    lines = rollout(
        codex_message("developer", "mk001 permissions"),
        codex_message("user", "<environment_context>mk002</environment_context>"),
        codex_message("user", "mk003 read it"),
        codex_event("user_message", message="mk003 read it", images=[]),
        ("turn_context", {"cwd": "mk031", "model": "gpt-5-codex", "effort": "high", "user_instructions": "mk004"}),
        codex_event("agent_reasoning", text="mk005"),
        codex_item("reasoning", summary=[{"type": "summary_text", "text": "mk005"}], encrypted_content="gAAA"),
        codex_message("assistant", "mk006"),
        codex_event("agent_message", message="mk006"),
        codex_item("function_call", name="shell", arguments='{"command": ["mk007"]}', call_id="call-1"),
        codex_tokens(10, 10),
        codex_event("exec_command_end", call_id="call-1", stdout="mk030"),
        codex_item("function_call_output", call_id="call-1", output=output),
        codex_item("custom_tool_call", name="apply_patch", input="mk009", call_id="call-2", status="completed"),
        codex_item("custom_tool_call_output", call_id="call-2", output="mk010"),
        codex_tokens(30, 20),
        codex_tokens(30, 20),
        codex_item("ghost_snapshot", ghost_commit={"id": "mk032"}),
        codex_item("web_search_call", status="completed", action={"type": "search", "query": "mk011"}),
        codex_event("agent_message", message="mk012 said only here"),
        codex_tokens(31, 1),
        codex_event("error", message="mk013"),
        ("compacted", {"message": "mk014", "replacement_history": []}),
        codex_item("of_tomorrow", words="mk015"),
        ("kind_of_tomorrow", {"words": "mk016"}),
        base_instructions={"text": "mk017"},
    )
    as_lines(path, lines)


@history_file("codex", f"{ROLLOUT}-old.jsonl", sessions=1, events=5, left_out={"mk030": "'state'"})
def codex_old_rollout(path: Path) -> None:
    thought = {"type": "summary_text", "text": "mk002"}
    items = [codex_message("user", "mk001"), codex_item("reasoning", summary=[thought]),
             codex_item("local_shell_call", call_id="call-1", status="completed", action={"command": ["mk003"]}),
             codex_item("function_call_output", call_id="call-1", output="mk004"),
             codex_message("assistant", "mk005")]  # fmt: skip
    header = {"id": CODEX, "timestamp": "2025-07-08T12:00:00.000Z", "instructions": "mk006", "git": {"branch": "main"}}
    as_lines(path, [header, {"record_type": "state", "note": "mk030"}, *(payload for _, payload in items)])


@history_file("codex", f"{ROLLOUT}.json", sessions=1, events=4)
def codex_first_rollout(path: Path) -> None:
    items = [codex_message("user", "mk001"),
             codex_item("function_call", name="shell", arguments='{"cmd": "mk002"}', call_id="call-1"),
             codex_item("function_call_output", call_id="call-1", output="mk003"),
             codex_message("assistant", "mk004", "mk005 mk006")]  # fmt: skip
    session = {"id": CODEX, "timestamp": "2025-05-08T12:00:00.000Z", "instructions": ""}
    as_json(path, {"session": session, "items": [payload for _, payload in items]})


# ---------------------------------------------------------------- Gemini

GEMINI: dict[str, Any] = {
    "sessionId": "5d1f6c2e-9a7b-4c3d-8e0f-1a2b3c4d5e6f", "projectHash": "abc", "startTime": "2026-03-01T10:00:00.000Z",
    "lastUpdated": "2026-03-01T10:05:00.000Z", "kind": "main",
}  # fmt: skip


def gemini_messages() -> list[dict[str, Any]]:
    """The messages of a session."""
    answer = {"functionResponse": {"id": "call-1", "name": "read_file", "response": {"output": "mk006"}}}
    failed = {"functionResponse": {"id": "call-2", "name": "run", "response": {"error": "mk009"}}}
    calls = [
        {"id": "call-1", "name": "read_file", "args": {"path": "mk005"}, "result": [answer], "status": "success",
         "timestamp": "2026-03-01T10:00:02.000Z", "displayName": "ReadFile", "resultDisplay": "mk007"},
        {"id": "call-2", "name": "run", "args": {"command": "mk008"}, "result": [failed], "status": "error"},
    ]  # fmt: skip
    tokens = {"input": 100, "output": 20, "cached": 30, "thoughts": 5, "tool": 0, "total": 125}
    thought = {"subject": "mk003", "description": "mk004", "timestamp": "2026-03-01T10:00:02.000Z"}
    return [
        {"id": "m1", "timestamp": "2026-03-01T10:00:01.000Z", "type": "user", "content": [{"text": "mk001 read"}],
         "displayContent": "mk012 shown"},
        {"id": "m2", "timestamp": "2026-03-01T10:00:02.000Z", "type": "gemini", "content": "mk002", "model": "gemini-3",
         "thoughts": [thought], "tokens": tokens, "toolCalls": calls},
        {"id": "m3", "timestamp": "2026-03-01T10:00:03.000Z", "type": "error", "content": "mk010"},
        {"id": "m4", "timestamp": "2026-03-01T10:00:04.000Z", "type": "user", "content": [{"text": "mk011"}, {
            "inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]},
    ]  # fmt: skip


@history_file("gemini-cli", "session-2026-03-01T10-00-5d1f6c2e.json", sessions=1, events=4)
def gemini_cli_session(path: Path) -> None:
    as_json(path, {**GEMINI, "summary": "mk013", "messages": gemini_messages()})


@history_file("gemini-cli", "session-2026-03-01T10-00-5d1f6c2e.jsonl", sessions=2, events=6)
def gemini_cli_lines(path: Path) -> None:
    messages = gemini_messages()
    early = {**messages[1], "toolCalls": [], "tokens": None}
    taken_back = [{"id": "m8", "type": "user", "content": "mk014"}, {"id": "m9", "type": "gemini", "content": "mk015"}]
    changed = {"$set": {"summary": "mk013", "messages": messages[:2]}}
    as_lines(path, [{**GEMINI, "messages": []}, messages[0], early, messages[1], *taken_back, {"$rewindTo": "m8"},
                    changed, *messages[2:]])  # fmt: skip


@history_file("gemini-cli", "checkpoint-mine.json", sessions=1, events=4)
def gemini_saved_history(path: Path) -> None:
    call = {"functionCall": {"name": "read_file", "args": {"path": "mk003"}}}
    answer = {"functionResponse": {"name": "read_file", "response": {"output": "mk004"}}}
    thought = {"text": "mk002", "thought": True}
    contents = [
        ("user", {"text": "mk001"}),
        ("model", thought, call),
        ("user", answer),
        ("model", {"text": "mk005 mk006"}),
    ]
    as_json(path, [{"role": role, "parts": parts} for role, *parts in contents])


@history_file("ai-studio", "My prompt", sessions=1, events=4)
def ai_studio_prompt(path: Path) -> None:
    chunks = [
        {"text": "mk002", "role": "user", "tokenCount": 7, "createTime": "2026-03-01T10:00:00Z"},
        {"driveDocument": {"id": "mk003"}, "role": "user", "tokenCount": 9},
        {"text": "mk004", "role": "model", "isThought": True, "tokenCount": 5,
         "parts": [{"text": "mk004", "thought": True}], "thinkingBudget": -1},
        {"text": "mk005 mk006", "role": "model", "tokenCount": 3, "finishReason": "STOP",
         "parts": [{"text": "mk005 "}, {"text": "mk006"}]},
        {"executableCode": {"language": "PYTHON", "code": "mk007"}, "role": "model"},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "mk008"}, "role": "model"},
    ]  # fmt: skip
    pending = [{"text": "mk010", "role": "user"}]
    as_json(path, {
        "runSettings": {"temperature": 1.0, "model": "models/gemini-2.5-pro"}, "systemInstruction": {"text": "mk009"},
        "chunkedPrompt": {"chunks": chunks, "pendingInputs": pending},
    })  # fmt: skip


@history_file("gemini-takeout", "My Activity.json", sessions=3, events=5, left_out={"mk020": "'Search'"})
def gemini_takeout(path: Path) -> None:
    about = {"header": "Gemini Apps", "products": ["Gemini Apps"], "activityControls": ["Gemini Apps Activity"]}
    answer = "<p>mk002 <b>mk003</b></p><ul><li>mk004</li></ul><pre><code>mk005\n  mk006</code></pre>"
    as_json(path, [
        {**about, "title": "Prompted mk001 which tea?", "time": "2026-03-01T10:00:00.123Z",
         "safeHtmlItem": [{"html": answer}], "subtitles": [{"name": "mk007"}], "attachedFiles": ["mk008.png"]},
        {**about, "title": "Prompted mk009", "time": "2026-03-01T11:00:00.123Z",
         "safeHtmlItem": [{"html": "mk010 &lt; 3"}]},
        {**about, "title": "Gave feedback: mk011", "time": "2026-03-01T12:00:00.123Z"},
        {"header": "Search", "title": "Searched for mk020", "time": "2026-03-01T12:00:00.123Z", "products": ["Search"]},
    ])  # fmt: skip


# ---------------------------------------------------------------- Open WebUI


def webui_chat() -> dict[str, Any]:
    """A chat with a branch, and with what stands in the text of its messages."""
    call = (
        '<details type="tool_calls" done="true" id="call-1" name="search"'
        ""
        ' arguments="{&quot;q&quot;: &quot;mk005&quot;}" result="&quot;mk006 &lt;b&gt;&quot;" files="">'
        "\n<summary>Tool Executed</summary>\n</details>"
    )
    thought = (
        '<details type="reasoning" done="true" duration="5">\n<summary>Thought for 5 seconds</summary>\n'
        "&gt; mk003\n&gt; mk004\n</details>"
    )
    ran = (
        '<details type="code_interpreter" done="true" output="{&quot;stdout&quot;: &quot;mk008&quot;}">\n'
        "<summary>Analyzed</summary>\n```python\nprint(mk007)\n```\n</details>"
    )
    other = "<details><summary>mk010</summary>mk011</details>"
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    messages = {
        "u1": {
            "id": "u1",
            "parentId": None,
            "childrenIds": ["a1", "a2"],
            "role": "user",
            "content": "mk001 hi",
            "timestamp": 1767261600,
            "models": ["m-1"],
            "files": [{"type": "file", "name": "mk002"}],
        },
        "a1": {
            "id": "a1",
            "parentId": "u1",
            "childrenIds": [],
            "role": "assistant",
            "content": "mk012 the first answer",
            "model": "m-1",
            "timestamp": 1767261601,
        },
        "a2": {
            "id": "a2",
            "parentId": "u1",
            "childrenIds": ["u2"],
            "role": "assistant",
            "model": "m-1",
            "usage": usage,
            "content": f"{thought}\nmk009 so\n{call}\n{ran}\n{other}\nmk013 <details> open",
            "timestamp": 1767261602,
            "sources": [{"source": {"name": "mk014"}, "document": ["mk015"]}],
        },
        "u2": {
            "id": "u2",
            "parentId": "a2",
            "childrenIds": ["a3"],
            "role": "user",
            "content": "mk016",
            "timestamp": 1767261603,
        },
        "a3": {
            "id": "a3",
            "parentId": "u2",
            "childrenIds": [],
            "role": "assistant",
            "content": "",
            "model": "m-1",
            "error": {"content": "mk017"},
            "timestamp": 1767261604,
        },
    }
    return {
        "id": "",
        "title": "mk018",
        "models": ["m-1"],
        "params": {"system": "mk019"},
        "tags": ["mk020"],
        "history": {"messages": messages, "currentId": "a3"},
        "messages": [messages["u1"]],
        "timestamp": 1767261600000,
        "files": [],
    }


def webui_row(id: str, user: str, chat: Any) -> dict[str, Any]:
    """A chat as it stands in a table, and in an export."""
    return {
        "id": id,
        "user_id": user,
        "title": chat["title"],
        "chat": chat,
        "created_at": 1767261600,
        "updated_at": 1767261700,
        "share_id": None,
        "archived": 0,
        "pinned": 0,
        "meta": {"tags": ["mk021"]},
        "folder_id": None,
    }


@history_file("open-webui-json", "chat-export-1767261600000.json", sessions=3, events=8)
def webui_export(path: Path) -> None:
    old = [{"role": "user", "content": "mk022", "timestamp": 1700000000}, {"role": "assistant", "content": "mk023"}]
    as_json(
        path,
        [webui_row("chat-1", "user-1", webui_chat()), webui_row("chat-2", "user-2", {"title": "old", "messages": old})],
    )


@history_file(
    "open-webui",
    "webui.db",
    sessions=3,
    events=8,
    left_out={"mk030": "'shared copy of a chat'", "mk031": "1 rows of the table 'message'"},
)
def webui_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    names = "id, user_id, title, chat, created_at, updated_at, share_id, archived, pinned, meta, folder_id"
    connection.execute(f"CREATE TABLE chat ({names}, PRIMARY KEY (id))")
    connection.execute("CREATE TABLE message (id, user_id, channel_id, content, created_at)")
    connection.execute(
        "CREATE TABLE chat_message (id, chat_id, user_id, role, parent_id, content, output, model_id, files,"
        " sources, usage, created_at, updated_at)"
    )
    rows = [
        webui_row("chat-1", "user-1", webui_chat()),
        webui_row("chat-3", "shared-chat-1", {"title": "mk030", "messages": []}),
        webui_row("chat-2", "user-2", {"title": "new", "history": {"messages": {}, "currentId": "a"}}),
    ]
    for row in rows:
        values = [json.dumps(one) if isinstance(one, dict) else one for one in row.values()]
        connection.execute("INSERT INTO chat VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    connection.execute("INSERT INTO message VALUES ('1', 'user-1', 'general', 'mk031', 1767261600)")
    for id, role, parent, content in (("u", "user", None, '"mk022"'), ("a", "assistant", "chat-2-u", '"mk023"')):
        values = [
            f"chat-2-{id}",
            "chat-2",
            "user-2",
            role,
            parent,
            content,
            None,
            "m-1",
            None,
            None,
            None,
            1767261600,
            0,
        ]
        connection.execute("INSERT INTO chat_message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    connection.commit()
    connection.close()


# ---------------------------------------------------------------- LibreChat


def librechat_messages() -> list[dict[str, Any]]:
    """The messages of a conversation in which one answer was made anew."""
    root = "00000000-0000-0000-0000-000000000000"
    content = [
        {"type": "think", "think": "mk003"},
        {"type": "text", "text": {"value": "mk004"}},
        {
            "type": "tool_call",
            "tool_call": {
                "id": "call-1",
                "name": "search",
                "args": '{"q": "mk005"}',
                "output": "mk006",
                "type": "tool_call",
                "progress": 1,
            },
        },
        {"type": "text", "text": "mk007"},
    ]
    made = [
        ("m1", root, True, {"text": "mk001", "files": [{"filename": "mk002"}], "tokenCount": 4}),
        ("m2", "m1", False, {"text": "mk008 the first answer", "model": "gpt-4o", "sender": "GPT-4o"}),
        ("m3", "m1", False, {"text": "", "content": content, "model": "gpt-4o", "tokenCount": 21}),
        ("m4", "m3", True, {"text": "mk009"}),
        ("m5", "m4", False, {"text": "mk010", "error": True, "model": "gpt-4o"}),
    ]
    return [
        {
            "messageId": id,
            "parentMessageId": parent,
            "conversationId": "convo-1",
            "isCreatedByUser": by_user,
            "createdAt": f"2026-01-05T10:00:0{second}.000Z",
            **fields,
        }
        for second, (id, parent, by_user, fields) in enumerate(made)
    ]


LIBRECHAT: dict[str, Any] = {
    "conversationId": "convo-1", "endpoint": "openAI", "title": "mk011", "exportAt": "10:00:00",
    "options": {"promptPrefix": "mk012"},
}  # fmt: skip


@history_file("librechat", "flat.json", sessions=2, events=5)
def librechat_list(path: Path) -> None:
    as_json(path, {**LIBRECHAT, "branches": True, "recursive": False, "messages": librechat_messages()})


@history_file("librechat", "tree.json", sessions=2, events=5)
def librechat_tree(path: Path) -> None:
    messages = {message["messageId"]: {**message, "children": []} for message in librechat_messages()}
    for message in messages.values():
        if message["parentMessageId"] in messages:
            messages[message["parentMessageId"]]["children"].append(message)
    as_json(path, {**LIBRECHAT, "branches": True, "recursive": True, "messages": [messages["m1"]]})


# ---------------------------------------------------------------- agno


def agno_runs() -> list[dict[str, Any]]:
    """The runs of a session: two of its agent, and one of a member."""
    system = {"id": "s", "role": "system", "content": "mk001", "from_history": False, "created_at": 1767261600}
    function = {"name": "look", "arguments": '{"q": "mk005"}'}
    first = [
        system,
        {"id": "m1", "role": "user", "content": "mk002", "created_at": 1767261601},
        {
            "id": "m2",
            "role": "assistant",
            "content": "mk003",
            "reasoning_content": "mk004",
            "tool_calls": [{"id": "call-1", "type": "function", "function": function}],
            "metrics": {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
            "created_at": 1767261602,
        },
        {
            "id": "m3",
            "role": "tool",
            "content": "mk006",
            "tool_call_id": "call-1",
            "tool_name": "look",
            "tool_args": {"q": "mk005"},
            "tool_call_error": True,
            "created_at": 1767261603,
        },
        {
            "id": "m4",
            "role": "assistant",
            "content": "mk007",
            "metrics": {"input_tokens": 1, "output_tokens": 1},
            "created_at": 1767261604,
        },
    ]
    second = [
        {**system, "id": "s2"},
        {**first[1], "from_history": True},
        {"id": "m5", "role": "user", "content": [{"type": "text", "text": "mk008"}], "images": [{"url": "mk009"}]},
        {"id": "m6", "role": "assistant", "content": "mk010"},
    ]
    tools = [{"tool_call_id": "call-1", "tool_name": "look", "tool_args": {"q": "mk005"}, "result": "mk006"}]
    return [
        {
            "run_id": "run-1",
            "agent_id": "agent-1",
            "model": "m-1",
            "messages": first,
            "tools": tools,
            "content": "mk007",
            "input": {"input_content": "mk002"},
            "created_at": 1767261600,
            "status": "COMPLETED",
        },
        {
            "run_id": "run-3",
            "agent_id": "member",
            "parent_run_id": "run-1",
            "content": {"answer": "mk012"},
            "input": {"input_content": "mk011"},
            "created_at": 1767261605,
        },
        {
            "run_id": "run-2",
            "agent_id": "agent-1",
            "model": "m-1",
            "messages": second,
            "content": "mk010",
            "created_at": 1767261610,
            "reasoning_steps": [{"title": "mk013"}],
            "status": "CANCELLED",
        },
    ]


AGNO_COLUMNS = ("session_id, session_type, agent_id, team_id, workflow_id, user_id, session_data, agent_data,"
                " team_data, workflow_data, metadata, summary, created_at, updated_at")  # fmt: skip


def agno_row() -> list[Any]:
    """The row of a session."""
    data = {"session_name": "mk014", "session_state": {"mk015": 1}, "session_metrics": {}}
    summary = {"summary": "mk016"}
    return ["session-1", "agent", "agent-1", None, None, "user-1", json.dumps(data), json.dumps({"name": "mk017"}),
            None, None, "null", json.dumps(summary), 1767261600, 1767261700]  # fmt: skip


@history_file("agno", "agno.db", sessions=2, events=9)
def agno_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE agno_sessions ({AGNO_COLUMNS}, PRIMARY KEY (session_id))")
    connection.execute("CREATE TABLE agno_runs (run_id, session_id, run_type, run_index, run_data, created_at)")
    connection.execute(f"INSERT INTO agno_sessions VALUES ({', '.join('?' * 14)})", agno_row())
    for index, run in enumerate(agno_runs()):
        values = [run["run_id"], "session-1", "agent", index, json.dumps(run), run["created_at"]]
        connection.execute("INSERT INTO agno_runs VALUES (?, ?, ?, ?, ?, ?)", values)
    connection.commit()
    connection.close()


@history_file("agno", "agno_of_last_year.db", sessions=2, events=9)
def agno_second_generation(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE my_sessions ({AGNO_COLUMNS}, runs, PRIMARY KEY (session_id))")
    runs = json.dumps(json.dumps(agno_runs()))  # encoded twice, as some releases did
    connection.execute(f"INSERT INTO my_sessions VALUES ({', '.join('?' * 15)})", [*agno_row(), runs])
    connection.commit()
    connection.close()


@history_file("agno", "phidata.db", sessions=1, events=7)
def agno_first_generation(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE agent_sessions (session_id, user_id, memory, session_data, extra_data, created_at,"
                       " updated_at, agent_id, agent_data)")  # fmt: skip
    first, _, second = agno_runs()
    memory = {"runs": [{"message": first["messages"][1], "response": first}, {"response": second}]}
    row = agno_row()
    values = [row[0], row[5], json.dumps(memory), row[6], row[11], row[12], row[13], "agent-1", row[7]]
    connection.execute("INSERT INTO agent_sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    connection.commit()
    connection.close()


# ---------------------------------------------------------------- Google ADK


def adk_events() -> list[dict[str, Any]]:
    """The events of a session, as the program dumps them."""
    usage = {"prompt_token_count": 9, "candidates_token_count": 3, "thoughts_token_count": 2, "total_token_count": 14}
    call = {"function_call": {"id": "call-1", "name": "look", "args": {"q": "mk004"}}}
    answer = {"function_response": {"id": "call-1", "name": "look", "response": {"result": "mk005"}}}
    made: list[tuple[str, str, list[Any], dict[str, Any]]] = [
        ("user", "user", [{"text": "mk001"}], {}),
        ("scout", "model", [{"text": "mk002", "thought": True}, {"text": "mk003"}, call],
         {"usage_metadata": usage, "model_version": "gemini-3", "branch": "root.scout"}),
        ("scout", "user", [answer], {"actions": {"state_delta": {"mk006": 1, "temp:x": 2}, "escalate": True}}),
        ("scout", "model", [{"text": "mk007"}], {"grounding_metadata": {"web_search_queries": ["mk008"]}}),
        ("scout", "model", [], {"error_code": "500", "error_message": "mk009"}),
    ]  # fmt: skip
    return [
        {"id": f"event-{number}", "invocation_id": "run-1", "author": author, "timestamp": 1767261600.5 + number,
         "content": {"role": role, "parts": parts}, **fields}
        for number, (author, role, parts, fields) in enumerate(made)
    ]  # fmt: skip


def adk_tables(path: Path, events: str, time: str) -> sqlite3.Connection:
    """A database with a session, its states, and an empty table of events."""
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE sessions (app_name, user_id, id, state, create_time {time}, update_time {time})")
    connection.execute("CREATE TABLE app_states (app_name, state, update_time)")
    connection.execute("CREATE TABLE user_states (app_name, user_id, state, update_time)")
    connection.execute(f"CREATE TABLE events (id, app_name, user_id, session_id, invocation_id, {events})")
    connection.execute("INSERT INTO app_states VALUES ('shop', '{\"mk010\": 1}', 0)")
    connection.execute("INSERT INTO user_states VALUES ('shop', 'user-1', '{\"mk011\": 1}', 0)")
    state = json.dumps({"mk012": 1})
    values = ["shop", "user-1", "session-1", state, 1767261600.5, 1767261700.5]
    connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)", values)
    return connection


@history_file("google-adk", "sessions.db", sessions=1, events=5)
def adk_database(path: Path) -> None:
    connection = adk_tables(path, "timestamp REAL, event_data TEXT", "REAL")
    for event in adk_events():
        values = [event["id"], "shop", "user-1", "session-1", "run-1", event["timestamp"], json.dumps(event)]
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    connection.commit()
    connection.close()


@history_file(
    "google-adk", "sessions_of_last_year.db", sessions=1, events=5,
    left_out={"mk006": "'actions of an event, pickled'", "mk020": "5 records of the kind 'actions of an event"},
)  # fmt: skip
def adk_first_database(path: Path) -> None:
    columns = ("author", "actions", "long_running_tool_ids_json", "branch", "timestamp", "content",
               "grounding_metadata", "usage_metadata", "error_code", "error_message")  # fmt: skip
    connection = adk_tables(path, ", ".join(columns), "TEXT")
    for event in adk_events():
        event["actions"] = b"\x80\x04mk006 mk020"
        event["timestamp"] = f"2026-01-01 10:00:0{event['id'][-1]}.500000"
        values = [event["id"], "shop", "user-1", "session-1", "run-1"]
        values += [json.dumps(one) if isinstance(one := event.get(name), dict) else one for name in columns]
        connection.execute(f"INSERT INTO events VALUES ({', '.join('?' * len(values))})", values)
    connection.commit()
    connection.close()


@history_file("google-adk-json", "session-1.session.json", sessions=1, events=5, left_out={"mk022": "temporary state"})
def adk_saved_session(path: Path) -> None:
    state = {"mk012": 1, "app:mk010": 1, "user:mk011": 1, "temp:mk022": 1}
    as_json(path, {"id": "session-1", "appName": "shop", "userId": "user-1", "state": state,
                   "events": adk_events(), "lastUpdateTime": 1767261700.5})  # fmt: skip


@history_file("google-adk-json", "shop.evalset.json", sessions=1, events=5)
def adk_eval_set(path: Path) -> None:
    data = {
        "tool_uses": [{"id": "call-1", "name": "look", "args": {"q": "mk003"}}],
        "tool_responses": [{"id": "call-1", "name": "look", "response": {"result": "mk004"}}],
        "intermediate_responses": [["scout", [{"text": "mk002"}]]],
    }
    turn = {"invocation_id": "run-1", "user_content": {"role": "user", "parts": [{"text": "mk001"}]},
            "final_response": {"role": "model", "parts": [{"text": "mk005"}]}, "intermediate_data": data,
            "creation_timestamp": 1767261600.5}  # fmt: skip
    session = {"app_name": "shop", "user_id": "user-1", "state": {"mk006": 1}}
    case = {"eval_id": "mk007", "conversation": [turn], "session_input": session, "creation_timestamp": 1767261600.5}
    as_json(path, {"eval_set_id": "set-1", "name": "set", "eval_cases": [case], "creation_timestamp": 1767261600.5})


@history_file("google-adk-json", "shop.test.json", sessions=1, events=2)
def adk_old_eval_set(path: Path) -> None:
    turn = {"query": "mk001", "expected_tool_use": [{"tool_name": "look", "tool_input": {"q": "mk002"}}],
            "expected_intermediate_agent_responses": [{"author": "scout", "text": "mk004"}],
            "reference": "mk003"}  # fmt: skip
    session = {"state": {"mk005": "mk006"}, "app_name": "shop", "user_id": "user-1"}
    as_json(path, [{"name": "case-1", "data": [turn], "initial_session": session}])


# ---------------------------------------------------------------- ShareGPT and OpenAI's batches


@history_file("sharegpt", "sharegpt.json", sessions=3, events=9)
def sharegpt_data(path: Path) -> None:
    called = '{"name": "look", "arguments": {"q": "mk005"}}'
    turns = [
        ("human", "mk003"),
        ("gpt", "mk004"),
        ("function_call", called),
        ("observation", "mk006"),
        ("gpt", "mk007"),
    ]
    as_json(path, [
        {"id": "identity_0", "system": "mk001", "tools": "mk002", "source": "mk008",
         "conversations": [{"from": role, "value": value} for role, value in turns]},
        {"id": 0, "conversations": [{"from": "human", "value": "mk009"}, {"from": "gpt", "value": "mk010"}]},
        {"id": 0, "items": [{"from": "human", "value": "mk011", "weight": "mk012"}]},
    ])  # fmt: skip


@history_file("openai-batch", "requests.jsonl", sessions=2, events=5)
def batch_requests(path: Path) -> None:
    function = {"name": "look", "arguments": '{"q": "mk004"}'}
    messages = [
        {"role": "system", "content": "mk001"},
        {"role": "user", "content": [{"type": "text", "text": "mk002"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c", "content": "mk005"},
    ]
    as_lines(
        path,
        [
            {
                "custom_id": "mk003",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {
                    "model": "gpt-4o",
                    "messages": messages,
                    "tools": [{"function": {"name": "look", "description": "mk006"}}],
                },
            },
            {
                "custom_id": "mk007",
                "method": "POST",
                "url": "/v1/responses",
                "body": {"model": "gpt-4o", "input": "mk008"},
            },
        ],
    )


@history_file("openai-batch", "answers.jsonl", sessions=3, events=4)
def batch_answers(path: Path) -> None:
    message = {"role": "assistant", "content": "mk001", "refusal": None, "annotations": []}
    second = {"role": "assistant", "content": "mk002", "reasoning_content": "mk003"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}, {"index": 1, "message": second}]
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "mk007"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "mk008"}]},
    ]

    def answer(number: int, body: Any, error: Any = None) -> dict[str, Any]:
        response = None if body is None else {"status_code": 200, "request_id": f"mk00{3 + number}", "body": body}
        return {"id": f"batch_req_{number}", "custom_id": f"mk01{number}", "response": response, "error": error}

    as_lines(
        path,
        [
            answer(
                1, {"id": "chatcmpl-1", "created": 1767261600, "model": "gpt-4o", "choices": choices, "usage": usage}
            ),
            answer(2, {"id": "resp-1", "created_at": 1767261600, "model": "gpt-4o", "output": output}),
            answer(3, None, {"code": "batch_expired", "message": "mk006"}),
        ],
    )


# ---------------------------------------------------------------- ChatGPT, chats, and the tables of older programs


@history_file("chatgpt", "conversations.json", sessions=2, events=8, left_out={"mk020": "not a message of a form"})
def chatgpt_export(path: Path) -> None:
    def node(name: str, parent: str | None, role: str, content: Any, **more: Any) -> dict[str, Any]:
        content = {"content_type": "text", "parts": [content]} if isinstance(content, str) else content
        message = {"id": name, "author": {"role": role}, "content": content, "create_time": 1.7e9, **more}
        return {"id": name, "parent": parent, "message": message}

    context = {"content_type": "user_editable_context", "user_profile": "mk001", "user_instructions": "mk002"}
    nodes = [
        node("n1", None, "user", context),
        node("n2", "n1", "user", "mk003", metadata={"attachments": [{"name": "mk004"}]}),
        node("n3", "n2", "assistant", {
            "content_type": "thoughts", "thoughts": [{"summary": "mk005", "content": "mk006"}],
        }),
        node("n4", "n3", "assistant", "mk007", recipient="browser"),
        node("n5", "n4", "tool", {"content_type": "tether_quote", "title": "mk008", "text": "mk009"}),
        node("n6", "n5", "assistant", "mk010", metadata={"_cite_metadata": {"metadata_list": [{"title": "mk011"}]}}),
        node("n7", "n6", "assistant", {"content_type": "hologram", "scene": {"caption": "mk012"}}),
        node("n8", "n5", "assistant", "mk013"),
        {"id": "n9", "parent": "n7", "message": "mk020"},
    ]  # fmt: skip
    conversation = {
        "id": "c", "title": "mk014", "mapping": {one["id"]: one for one in nodes}, "current_node": "n7",
        "create_time": 1.7e9,
    }  # fmt: skip
    path.write_text(json.dumps([conversation]), "utf-8")


@history_file(
    "openai-chat", "chats.jsonl", sessions=2, events=6,
    left_out={"mk020": "not a chat", "mk021": "not a message"},
)  # fmt: skip
def chats_as_lines(path: Path) -> None:
    messages = [
        {"role": "system", "content": "mk001"},
        {"role": "user", "content": [{"type": "text", "text": "mk002"}, {"type": "hologram", "scene": "mk003"}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "mk004"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "mk005"}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "mk006"}]},
        {"role": "assistant", "content": None, "refusal": "mk007", "note": "mk008"},
    ]  # fmt: skip
    lines = [
        json.dumps({"id": "a", "title": "mk009", "messages": messages}),
        json.dumps({"messages": [{"type": "user", "text": "mk020"}]}),
        json.dumps({"id": "b", "messages": [{"role": "Human", "text": "mk010"}, {"who": "mk021"}]}),
    ]
    path.write_text("\n".join(lines), "utf-8")


@history_file("langchain-sql", "chats.db", sessions=1, events=6, left_out={"mk020": "not a message of LangChain"})
def message_store(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT)")
    texts = [json.dumps({"type": "human", "data": {"content": f"mk{number:03}"}}) for number in range(1, 7)]
    for text in (*texts, '{"content": "mk020"}'):
        connection.execute("INSERT INTO message_store (session_id, message) VALUES ('s', ?)", [text])
    connection.commit()
    connection.close()


def with_tables(path: Path, schema: str, rows: Mapping[str, list[dict[str, Any]]]) -> None:
    """Makes a SQLite file with these tables and rows."""
    connection = sqlite3.connect(path)
    connection.executescript(schema)
    for table, records in rows.items():
        for record in records:
            columns = ", ".join(f'"{name}"' for name in record)
            places = ", ".join("?" for _ in record)
            connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", list(record.values()))
    connection.commit()
    connection.close()


# ---------------------------------------------------------------- this package


def write_store(path: Path) -> None:
    """Makes a store with two users' sessions, state of each scope, a fork, a message and a damaged event."""
    with SQLiteSessionService(path, app_name="shop", user_id="u-1", durability="fast") as service:
        session = service.create_session(
            session_id="a", title="mk001", agent_id="mk002", metadata={"k": "mk003"}, state={"s": "mk004"}
        )
        session.add_event("user", "mk005", metadata={"k": "mk006"}, invocation_id="mk007", branch="mk008")
        call = ToolCall("mk009", {"path": "mk010"}, output="mk011")
        state = {"own": "mk012", "user:lang": "mk013", "app:v": "mk014"}
        session.add_event("assistant", "mk015", reasoning="mk016", actions=[call], state=state, usage=Usage("mk017", 1))
        session.fork(at=1, session_id="b", title="mk018").add_event("user", "mk019")
        service.create_session(session_id="empty", title="mk021")
        theirs = service.scope(user_id="u-2")
        SQLiteChatMessageHistory("a", service=theirs).add_messages(
            [HumanMessage("mk022", additional_kwargs={"k": "mk023"}), AIMessage("mk024")]
        )
        theirs.append_event("a", Event("user", "mk025", id="damaged"))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET metadata = '{mk026' WHERE id = 'damaged'")
        connection.commit()


@functools.cache
def bytes_of_a_store() -> bytes:
    """The bytes of one store: a copy of it has the same ids."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sessions.db")
        write_store(path)
        return path.read_bytes()


@history_file("store", "other.db", sessions=4, events=7)
def another_store(path: Path) -> None:
    path.write_bytes(bytes_of_a_store())


@history_file("jsonl", "export.jsonl", sessions=4, events=7, left_out={"mk030": "not a kind of record"})
def export_of_a_store(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sessions.db").write_bytes(bytes_of_a_store())
        with SQLiteSessionService(Path(folder, "sessions.db"), app_name=ANY, user_id=ANY) as service:
            service.export(path)
    header, *lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([header, '{"type": "advice", "text": "mk030"}', *lines]) + "\n", "utf-8")


# ---------------------------------------------------------------- LangChain's files


@history_file("langchain-file", "file.json", sessions=1, events=6, left_out={"mk020": "not a message of LangChain"})
def file_history(path: Path) -> None:
    refused = {"type": "tool", "data": {"content": "mk009"}}
    as_json(path, [*messages_to_dict(CONVERSATION), refused, {"text": "mk020"}])


# ---------------------------------------------------------------- llm

LLM_RESPONSES = """
CREATE TABLE _llm_migrations (name TEXT PRIMARY KEY, applied_at TEXT);
CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT);
CREATE TABLE attachments (id TEXT PRIMARY KEY, type TEXT, path TEXT, url TEXT, content BLOB);
CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT, options_json TEXT,
    response TEXT, response_json TEXT, conversation_id TEXT, duration_ms INTEGER, datetime_utc TEXT,
    input_tokens INTEGER, output_tokens INTEGER, token_details TEXT, schema_id TEXT, resolved_model TEXT);
CREATE TABLE prompt_attachments (response_id TEXT, attachment_id TEXT, "order" INTEGER);
CREATE TABLE fragments (id INTEGER PRIMARY KEY, hash TEXT, content TEXT, datetime_utc TEXT, source TEXT);
CREATE TABLE prompt_fragments (response_id TEXT, fragment_id INTEGER, "order" INTEGER);
CREATE TABLE system_fragments (response_id TEXT, fragment_id INTEGER, "order" INTEGER);
CREATE TABLE tool_calls (id INTEGER PRIMARY KEY, response_id TEXT, tool_id INTEGER, name TEXT, arguments TEXT,
    tool_call_id TEXT);
CREATE TABLE tool_results (id INTEGER PRIMARY KEY, response_id TEXT, tool_id INTEGER, name TEXT, output TEXT,
    tool_call_id TEXT, instance_id INTEGER, exception TEXT);
"""
LLM_THREADS = """
CREATE TABLE messages (hash TEXT PRIMARY KEY, parent_hash TEXT, role TEXT, provider_metadata TEXT);
CREATE TABLE parts (id INTEGER PRIMARY KEY, message_hash TEXT, position INTEGER, type TEXT, tool_name TEXT, text TEXT,
    payload TEXT);
CREATE TABLE threads (id TEXT PRIMARY KEY, name TEXT, tip_message_hash TEXT, forked_from TEXT, datetime_utc TEXT);
CREATE TABLE turns (id TEXT PRIMARY KEY, thread_id TEXT, parent_message_hash TEXT, tip_message_hash TEXT, model TEXT,
    resolved_model TEXT, options_json TEXT, schema_id TEXT, input_tokens INTEGER, output_tokens INTEGER,
    token_details TEXT, duration_ms INTEGER, datetime_utc TEXT, response_json TEXT);
"""


@history_file("llm", "logs-of-2025.db", sessions=2, events=8)
def llm_responses(path: Path) -> None:
    path.unlink(missing_ok=True)
    at = "2025-06-01T10:00:0{}+00:00"
    responses = [
        {"id": "r1", "prompt": "mk001", "system": "mk002", "response": "mk003", "conversation_id": "c1",
         "model": "mk004", "options_json": '{"seed": "mk005"}', "datetime_utc": at.format(1)},
        {"id": "r2", "prompt": "", "response": "mk006", "conversation_id": "c1", "model": "mk004",
         "datetime_utc": at.format(2), "input_tokens": 3, "output_tokens": 4},
        {"id": "r3", "prompt": "mk007", "response": "mk008", "conversation_id": None, "model": "mk004",
         "datetime_utc": at.format(3)},
    ]  # fmt: skip
    call = {"id": 1, "response_id": "r1", "name": "look", "arguments": '{"q": "mk009"}', "tool_call_id": "call-1"}
    outcome = {"id": 1, "response_id": "r2", "name": "look", "output": "mk010", "tool_call_id": "call-1"}
    failed = {"id": 2, "response_id": "r2", "name": "mk011", "output": "", "exception": "mk012", "tool_call_id": ""}
    rows = {
        "conversations": [{"id": "c1", "name": "mk013", "model": "mk004"}],
        "responses": responses,
        "fragments": [{"id": 1, "content": "mk014"}, {"id": 2, "content": "mk015"}],
        "prompt_fragments": [{"response_id": "r1", "fragment_id": 1, "order": 0}],
        "system_fragments": [{"response_id": "r1", "fragment_id": 2, "order": 0}],
        "attachments": [{"id": "a1", "type": "image/png", "url": "mk016"}],
        "prompt_attachments": [{"response_id": "r1", "attachment_id": "a1", "order": 0}],
        "tool_calls": [call],
        "tool_results": [outcome, failed],
    }
    with_tables(path, LLM_RESPONSES, rows)


@history_file("llm", "logs.db", sessions=2, events=7, left_out={"mk020": "turns that it was taken back from"})
def llm_threads(path: Path) -> None:
    path.unlink(missing_ok=True)

    def part(hash: str, position: int, kind: str, text: str | None = None, **payload: Any) -> dict[str, Any]:
        held = json.dumps(payload) if payload else None
        return {"message_hash": hash, "position": position, "type": kind, "text": text, "payload": held}

    chain = [("h1", None, "system"), ("h2", "h1", "user"), ("h3", "h2", "assistant"), ("h4", "h3", "tool"),
             ("h5", "h4", "assistant"), ("h6", "h1", "user"), ("h7", "h4", "assistant")]  # fmt: skip
    rows = {
        "threads": [
            {"id": "th1", "name": "mk001", "tip_message_hash": "h5", "datetime_utc": "2026-06-01T10:00:00+00:00"},
            {"id": "th2", "name": "mk002", "tip_message_hash": "h6", "forked_from": "th1"},
        ],
        "messages": [{"hash": hash, "parent_hash": before, "role": role} for hash, before, role in chain],
        "parts": [
            part("h1", 0, "text", "mk003"),
            part("h2", 0, "text", text_ref=[{"literal": "mk004"}, {"fragment": 1}]),
            part("h2", 1, "attachment", attachment={"id": "a1"}),
            part("h3", 0, "reasoning", "mk006"),
            part("h3", 1, "tool_call", name="look", arguments={"q": "mk007"}, tool_call_id="call-1"),
            part("h4", 0, "tool_result", name="look", output="mk008", tool_call_id="call-1"),
            part("h5", 0, "text", "mk009", provider_metadata={"id": "mk010"}),
            part("h6", 0, "text", "mk011"),
            part("h7", 0, "text", "mk020"),
        ],
        "fragments": [{"id": 1, "content": "mk005"}],
        "attachments": [{"id": "a1", "type": "image/png", "path": "mk012"}],
        "turns": [
            {"id": id, "thread_id": "th1", "tip_message_hash": tip, "model": "mk013", "options_json": '{"a": "mk014"}',
             "datetime_utc": f"2026-06-01T10:00:0{id[1]}+00:00"}
            for id, tip in (("t1", "h3"), ("t2", "h5"), ("t3", "h7"))
        ],
    }  # fmt: skip
    with_tables(path, LLM_RESPONSES + LLM_THREADS, rows)


@history_file("llm", "logs-of-2023.db", sessions=1, events=5)
def llm_first_logs(path: Path) -> None:
    path.unlink(missing_ok=True)
    schema = """
        CREATE TABLE _llm_migrations (name TEXT PRIMARY KEY, applied_at TEXT);
        CREATE TABLE logs (id INTEGER PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT,
            options_json TEXT, response TEXT, response_json TEXT, reply_to_id INTEGER, chat_id INTEGER,
            duration_ms INTEGER, datetime_utc TEXT);
        """
    first = {"id": 1, "model": "mk001", "system": "mk002", "datetime_utc": "2023-06-15T08:00:00.123456"}
    rows = [{**first, "prompt": "mk003", "response": "mk004"},
            {**first, "id": 2, "chat_id": 1, "prompt": "mk005", "response": "mk006"}]  # fmt: skip
    with_tables(path, schema, {"logs": rows})


# ---------------------------------------------------------------- the OpenAI Agents SDK


@history_file("openai-agents", "agents.db", sessions=2, events=8, left_out={"mk030": "not an item of a form"})
def agents_sessions(path: Path) -> None:
    path.unlink(missing_ok=True)
    schema = """
        CREATE TABLE agent_sessions (session_id TEXT PRIMARY KEY, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
            updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
        CREATE TABLE agent_messages (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL,
            message_data TEXT NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
        """
    summary = [{"type": "summary_text", "text": "mk003"}]
    call = {"type": "function_call", "id": "fc-1", "call_id": "call-1", "name": "look", "arguments": '{"q": "mk005"}'}
    search = {"type": "web_search_call", "id": "ws-1", "status": "completed", "action": {"query": "mk008"}}
    cited = {"type": "output_text", "text": "mk009", "annotations": [{"type": "url_citation", "url": "mk010"}]}
    items: list[Any] = [
        {"role": "user", "content": "mk001"},
        {"role": "user", "content": [{"type": "input_text", "text": "mk002"}]},
        {"type": "reasoning", "id": "rs-1", "summary": summary, "encrypted_content": "mk004"},
        call,
        {"type": "function_call_output", "call_id": "call-1", "output": "mk006"},
        {"type": "item_reference", "id": "mk007"},
        search,
        {"type": "message", "id": "m-1", "role": "assistant", "content": [cited]},
        ["mk030"],
        {"role": "developer", "content": "mk011"},
    ]
    messages = [{"session_id": "s-1", "message_data": json.dumps(item)} for item in items]
    messages.append({"session_id": "s-2", "message_data": json.dumps({"role": "user", "content": "mk012"})})
    with_tables(path, schema, {"agent_sessions": [{"session_id": "s-1"}], "agent_messages": messages})


# ---------------------------------------------------------------- the Go package

GO_SCHEMA = """
CREATE TABLE sessions (id TEXT PRIMARY KEY, app_name TEXT NOT NULL, user_id TEXT NOT NULL, agent_id TEXT NOT NULL,
    metadata TEXT, created_at DATETIME DEFAULT CURRENT_TIMESTAMP, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE events (id TEXT PRIMARY KEY, session_id TEXT NOT NULL, invocation_id TEXT, agent_id TEXT, branch TEXT,
    author TEXT, content TEXT, reasoning TEXT, actions TEXT, long_running_tool_ids TEXT, metadata TEXT,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (session_id) REFERENCES sessions(id) ON DELETE CASCADE);
CREATE TABLE session_state (session_id TEXT NOT NULL, key TEXT NOT NULL, value TEXT,
    updated_at DATETIME DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (session_id, key));
"""


@history_file(
    "aster", "go.db", sessions=2, events=5,
    left_out={"mk030": "state", "mk031": "sessions that were deleted", "mk032": "not an event of a form",
              "mk033": "temporary state"},
)  # fmt: skip
def aster_sessions(path: Path) -> None:
    path.unlink(missing_ok=True)
    at = "2025-12-01 08:00:0{}.123456789+08:00"
    session = {"id": "s-1", "app_name": "desktop", "user_id": "u-1", "agent_id": "mk001", "metadata": '{"k": "mk002"}',
               "created_at": at.format(0), "updated_at": at.format(9)}  # fmt: skip
    call = {"id": "c1", "name": "Read", "arguments": {"path": "mk006"}}
    outcome = {"type": "tool_result", "tool_use_id": "c1", "content": "mk007"}
    did = {"StateDelta": {"step": "mk008", "temp:x": 1}, "TransferToAgent": "mk009", "Escalate": False}
    said: list[tuple[str, Any, dict[str, Any]]] = [
        ("user", {"role": "user", "content": "mk003"}, {"branch": "mk004", "invocation_id": "mk005"}),
        ("agent", {"role": "assistant", "tool_calls": [call]}, {
            "reasoning": "mk010", "actions": json.dumps(did), "long_running_tool_ids": '["mk011"]',
            "metadata": '{"k": "mk012"}',
        }),
        ("user", {"role": "user", "content_blocks": [outcome]}, {}),
        ("agent", {"role": "assistant", "tool_calls": ["mk032"]}, {}),
        ("scout", {"role": "assistant", "content": "mk013"}, {}),
    ]  # fmt: skip
    events = [
        {"id": f"e-{number}", "session_id": "s-1", "author": author, "content": json.dumps(content),
         "created_at": at.format(number), **more}
        for number, (author, content, more) in enumerate(said)
    ]  # fmt: skip
    events.append({"id": "e-7", "session_id": "s-2", "author": "user", "content": "mk014", "created_at": at.format(7)})
    events.append({"id": "e-8", "session_id": "gone", "author": "user", "content": "mk031", "created_at": at.format(8)})
    states = {"step": '"mk008"', "user:lang": '"mk015"', "app:v": '"mk016"', "temp:x": '"mk033"', "bad": '{"mk030'}
    rows = {
        "sessions": [session, {**session, "id": "s-2", "metadata": "mk017"}],
        "events": events,
        "session_state": [{"session_id": "s-1", "key": key, "value": value} for key, value in states.items()],
    }
    with_tables(path, GO_SCHEMA, rows)
