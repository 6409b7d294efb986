"""The formats that are known, and finding out which one a source has.

What a format is about stands here once: `session-sqlite import --list-formats` and the README show it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

from session_sqlite.errors import InvalidInputError
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note, SharedState
from session_sqlite.sqlite import file_text
from session_sqlite.transfer.importers import (
    agno,
    ai_studio,
    aster,
    chat_json,
    chatgpt,
    claude_ai,
    claude_code,
    codex,
    exports,
    gemini_cli,
    gemini_takeout,
    google_adk,
    langchain_histories,
    langchain_messages,
    langgraph,
    librechat,
    llm_logs,
    open_webui,
    openai_agents,
    openai_batch,
    sharegpt,
)
from session_sqlite.transfer.importers.databases import Database, open_database
from session_sqlite.transfer.importers.json_files import JsonFile, open_json

Arrivals = Iterator[Arrival | SharedState | Fault | Note | LeftOut]


@dataclass(frozen=True)
class DatabaseFormat:
    """A format that a SQLite file can have."""

    about: str
    is_one: Callable[[Database], bool]
    read: Callable[[Database], Arrivals]
    keeps_empty: bool = False  # its sessions are ours, also those without an event
    is_in_use: bool = False  # its program writes a reply piece by piece: the last one may be unfinished


@dataclass(frozen=True)
class JsonFormat:
    """A format that a JSON file can have."""

    about: str
    is_one: Callable[[JsonFile], bool]
    read: Callable[[JsonFile], Arrivals]
    keeps_empty: bool = False  # its sessions are ours, also those without an event
    is_in_use: bool = False  # its program writes a reply piece by piece: the last one may be unfinished


# In the order of looking: the first that knows the source for its own.
FORMATS: Final[dict[str, DatabaseFormat | JsonFormat]] = {
    "jsonl": JsonFormat(
        "an export of this package: readable and lossless", exports.is_export, exports.read_export, keeps_empty=True
    ),
    "chatgpt": JsonFormat(
        "ChatGPT: `conversations.json`, or the zip that it comes in", chatgpt.is_chatgpt, chatgpt.read
    ),
    "claude-ai": JsonFormat(
        "Claude.ai: `conversations.json`, or the zip that it comes in", claude_ai.is_claude_ai, claude_ai.read
    ),
    "claude-code": JsonFormat(
        "Claude Code: a session's JSON Lines, with its branches and sub-agents",
        claude_code.is_claude_code,
        claude_code.read,
        is_in_use=True,
    ),
    "codex": JsonFormat(
        "Codex CLI: a session's rollout, of every generation", codex.is_codex, codex.read, is_in_use=True
    ),
    "gemini-cli": JsonFormat(
        "Gemini CLI: a session, and the histories of `/chat save`",
        gemini_cli.is_gemini_cli,
        gemini_cli.read,
        is_in_use=True,
    ),
    "ai-studio": JsonFormat(
        "Google AI Studio: a prompt as Drive keeps it", ai_studio.is_ai_studio, ai_studio.read, is_in_use=True
    ),
    "gemini-takeout": JsonFormat(
        "Gemini in Google Takeout: `My Activity.json`, each prompt with its answer a session",
        gemini_takeout.is_takeout,
        gemini_takeout.read,
    ),
    "open-webui-json": JsonFormat("Open WebUI: exported chats", open_webui.is_export, open_webui.read_export),
    "librechat": JsonFormat("LibreChat: an exported conversation", librechat.is_librechat, librechat.read),
    "google-adk-json": JsonFormat(
        "Google ADK: saved sessions and eval sets", google_adk.is_adk_file, google_adk.read_file
    ),
    "sharegpt": JsonFormat("ShareGPT: JSON or JSON Lines of `conversations`", sharegpt.is_sharegpt, sharegpt.read),
    "openai-batch": JsonFormat(
        "OpenAI's Batch API: JSON Lines of requests, or of answers", openai_batch.is_batch, openai_batch.read
    ),
    "langchain-file": JsonFormat(
        "LangChain: `FileChatMessageHistory`",
        langchain_histories.is_file_history,
        langchain_histories.read_file_history,
    ),
    "langchain-messages": JsonFormat(
        "LangChain: files of `messages_to_dict` and of `dumps`", langchain_messages.is_messages, langchain_messages.read
    ),
    "openai-chat": JsonFormat(
        'OpenAI: JSON or JSON Lines of `{"messages": […]}`, or a list of messages', chat_json.is_chat, chat_json.read
    ),
    "store": DatabaseFormat("another store of this package", exports.is_store, exports.read_store, keeps_empty=True),
    "llm": DatabaseFormat("the tool llm: its `logs.db`, of every generation", llm_logs.is_llm, llm_logs.read),
    "openai-agents": DatabaseFormat(
        "OpenAI Agents SDK: `SQLiteSession`", openai_agents.is_agents, openai_agents.read, is_in_use=True
    ),
    "aster": DatabaseFormat("the Go package session-sqlite", aster.is_aster, aster.read),
    "open-webui": DatabaseFormat(
        "Open WebUI: `webui.db`", open_webui.is_webui, open_webui.read_database, is_in_use=True
    ),
    "agno": DatabaseFormat("agno: `agno.db`, of every generation", agno.is_agno, agno.read, is_in_use=True),
    "google-adk": DatabaseFormat(
        "Google ADK: a session database of any schema", google_adk.is_adk, google_adk.read_database
    ),
    "langgraph": DatabaseFormat(
        "LangGraph: `SqliteSaver`, the latest messages of each thread (extra `langgraph-files`)",
        langgraph.is_langgraph,
        langgraph.read,
    ),
    "langchain-sql": DatabaseFormat(
        "LangChain: `SQLChatMessageHistory` on SQLite, whatever its table is called",
        langchain_histories.is_message_store,
        langchain_histories.read_message_store,
    ),
}


@dataclass(frozen=True)
class Found:
    """A source and what it is."""

    format: str
    source: Database | JsonFile
    shown: str

    @property
    def is_in_use(self) -> bool:
        """True if its program may be in the middle of writing a reply."""
        return FORMATS[self.format].is_in_use

    @property
    def keeps_empty(self) -> bool:
        """True if its sessions are kept also if they have no event."""
        return FORMATS[self.format].keeps_empty

    def read(self) -> Arrivals:
        """Yields what is in the source."""
        return FORMATS[self.format].read(self.source)  # type: ignore[arg-type]  # `_kind_of` matched the two

    def left_out(self) -> list[LeftOut]:
        """Returns the parts of the file that are not conversations, and are not read."""
        return [LeftOut(name) for name in self.source.left_out] if isinstance(self.source, JsonFile) else []

    def progress(self) -> tuple[int, int | None]:
        """Returns how much of it is read, and how much there is."""
        return self.source.progress()

    def changed(self) -> str | None:
        """Returns what to say if another program changed it while it was read."""
        return self.source.changed()


@contextlib.contextmanager
def opened(source: str | os.PathLike[str] | IO[Any], format: str) -> Iterator[Found]:
    """Opens a source for reading and finds out what it is. Raises `InvalidInputError`, `StoreError`."""
    if format != "auto" and format not in FORMATS:
        raise InvalidInputError(f"format must be auto or one of {', '.join(FORMATS)}")
    if hasattr(source, "read"):
        with open_json(source) as file:
            yield Found(_kind_of(file, format, "the file"), file, "the file")
        return
    path = file_text(source, "source")
    shown = repr(os.path.abspath(path))
    with open_database(path) as database:
        if database is not None:
            yield Found(_kind_of(database, format, shown), database, shown)
            return
    with open_json(path) as file:
        yield Found(_kind_of(file, format, shown), file, shown)


def _kind_of(source: Database | JsonFile, format: str, shown: str) -> str:
    if isinstance(source, JsonFile) and (trouble := source.trouble()):
        raise InvalidInputError(f"{shown} cannot be imported: {trouble}")
    kind = DatabaseFormat if isinstance(source, Database) else JsonFormat
    for looked_at in source.looked_at() if isinstance(source, JsonFile) else (source,):
        names = [
            name
            for name, known in FORMATS.items()
            if isinstance(known, kind) and known.is_one(looked_at)  # type: ignore[arg-type]  # `kind` matches the two
        ]
        if format in names or (names and format == "auto"):
            return names[0] if format == "auto" else format
        if names:
            break
    if isinstance(source, JsonFile) and source.take_lists_apart():
        return _kind_of(source, format, shown)
    if format != "auto":
        raise InvalidInputError(f"{shown} is not of the format {format}")
    raise InvalidInputError(f"{shown} is not of a format that is known ({', '.join(FORMATS)})")
