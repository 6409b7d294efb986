"""session-sqlite: the place where an AI application keeps its conversations.

One local SQLite file holds sessions and the events in them. `SQLiteSessionService` is the service. For LangChain,
`SQLiteChatMessageHistory` is the memory of a chain, `SessionHistoryMiddleware` that of an agent, and `SessionRecorder`
records any run. These three are imported at their first use, so that importing this package does not load LangChain.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from session_sqlite.async_service import AsyncSession, AsyncSessionService
from session_sqlite.errors import (
    CorruptStoreError,
    DuplicateEventError,
    EventNotFoundError,
    EventTooLargeError,
    InvalidInputError,
    NewerSchemaError,
    NotAStoreError,
    NotSerializableError,
    QueryError,
    ReadOnlyStoreError,
    SessionError,
    SessionExistsError,
    SessionNotFoundError,
    StaleSessionError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    StoreFullError,
)
from session_sqlite.models import ANY, REMOVE, Event, SearchHit, SessionOverview, ToolCall, Usage
from session_sqlite.pages import Page, Rows
from session_sqlite.service import SessionService
from session_sqlite.session import Session, SessionState
from session_sqlite.sqlite import database_file
from session_sqlite.sqlite_service import SQLiteSessionService
from session_sqlite.version import __version__ as __version__

if TYPE_CHECKING:
    from session_sqlite.langchain.history import SQLiteChatMessageHistory
    from session_sqlite.langchain.middleware import SessionHistoryMiddleware
    from session_sqlite.langchain.recorder import SessionRecorder
    from session_sqlite.server_service import SQLAlchemySessionService

__all__ = [
    "ANY",
    "REMOVE",
    "AsyncSession",
    "AsyncSessionService",
    "CorruptStoreError",
    "DuplicateEventError",
    "Event",
    "EventNotFoundError",
    "EventTooLargeError",
    "InvalidInputError",
    "NewerSchemaError",
    "NotAStoreError",
    "NotSerializableError",
    "Page",
    "QueryError",
    "ReadOnlyStoreError",
    "Rows",
    "SQLAlchemySessionService",
    "SQLiteChatMessageHistory",
    "SQLiteSessionService",
    "SearchHit",
    "Session",
    "SessionError",
    "SessionExistsError",
    "SessionHistoryMiddleware",
    "SessionNotFoundError",
    "SessionOverview",
    "SessionRecorder",
    "SessionService",
    "SessionState",
    "StaleSessionError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreError",
    "StoreFullError",
    "ToolCall",
    "Usage",
    "database_file",
]

_LAZY = {
    "SQLAlchemySessionService": "session_sqlite.server_service",
    "SQLiteChatMessageHistory": "session_sqlite.langchain.history",
    "SessionHistoryMiddleware": "session_sqlite.langchain.middleware",
    "SessionRecorder": "session_sqlite.langchain.recorder",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
