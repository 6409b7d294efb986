"""The types of filters and choices, for the service, a session and their asynchronous twins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypedDict

from session_sqlite.models import AnyOf, SessionRecord

SessionArgument = SessionRecord | str
"""A session or its id."""

ExportFormat = Literal["auto", "jsonl", "markdown", "html"]
ImportFormat = Literal[
    "auto", "jsonl", "store", "chatgpt", "openai-chat", "langchain-sql", "langchain-file", "langchain-messages",
    "langgraph", "claude-ai", "claude-code", "codex", "gemini-cli",
    "gemini-takeout", "ai-studio", "open-webui", "open-webui-json", "librechat", "openai-agents", "llm", "aster",
    "agno", "google-adk", "google-adk-json", "openai-batch", "sharegpt",
]  # fmt: skip
SearchField = Literal["content", "reasoning", "tools"]
SessionOrder = Literal["newest", "best"]
ToolStatus = Literal["pending", "ok", "error"]
UsageGroup = Literal["day", "month", "model", "app_name", "user_id", "session_id", "agent_id"]
ActivityGroup = Literal["day", "month", "author", "app_name", "user_id", "session_id", "agent_id"]


class EventFilters(TypedDict, total=False):
    """The arguments of `SessionService.list_events` other than the session and the limit."""

    author: str | None
    agent_id: str | None
    branch: str | None
    invocation_id: str | None
    tool: str | None
    since: datetime | None
    until: datetime | None
    after: int | str | None
    before: int | str | None
    newest_first: bool


class LimitedEventFilters(EventFilters, total=False):
    """The arguments of `SessionService.list_events` other than the session."""

    limit: int | None


class SearchFilters(TypedDict, total=False):
    """The arguments of `SessionService.search` other than the query and the session."""

    author: str | None
    fields: SearchField | Sequence[SearchField]
    since: datetime | None
    until: datetime | None
    limit: int
    cursor: str | None
    newest_first: bool


class RecallFilters(TypedDict, total=False):
    """The arguments of `SessionService.recall` other than the question and the session."""

    exclude_session: SessionArgument | None
    author: str | None
    since: datetime | None
    until: datetime | None
    limit: int


class Scope(TypedDict, total=False):
    """The app and the user of a call, if they are not the service's."""

    app_name: str | AnyOf | None
    user_id: str | AnyOf | None
