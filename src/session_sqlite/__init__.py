"""session-sqlite: the place where an AI application keeps its conversations.

One local SQLite file holds sessions and the events in them. `SQLiteSessionService` is the service, and
`SQLAlchemySessionService` has the same interface for a database server. For LangChain, `SQLiteChatMessageHistory` is
the memory of a chain, `SessionHistoryMiddleware` that of an agent, `SessionRecorder` records any run, and with
`history_tools` an agent searches its user's past. All but the first are imported at their first use, so that importing
this package loads neither SQLAlchemy nor LangChain; so are `AsyncSessionService`, and what imports and exports need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from session_sqlite.attachments import Attachment, AttachmentKind
from session_sqlite.codec import SessionKey
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
from session_sqlite.filters import (
    ActivityGroup,
    EventFilters,
    ExportFormat,
    ImportFormat,
    LimitedEventFilters,
    RecallFilters,
    SearchField,
    SearchFilters,
    SessionArgument,
    SessionOrder,
    ToolStatus,
    UsageGroup,
)
from session_sqlite.models import (
    ANY,
    REMOVE,
    AnyOf,
    Event,
    Removal,
    SearchHit,
    SessionHit,
    SessionOverview,
    SessionRecord,
    ToolCall,
    Usage,
)
from session_sqlite.operations.retention import EraseReport, PruneReport, RedactReport
from session_sqlite.operations.summaries import Summarizer
from session_sqlite.pages import CheckReport, Finding, Page, Rows
from session_sqlite.service import SessionService
from session_sqlite.session import Session, SessionState
from session_sqlite.sqlite import database_file
from session_sqlite.sqlite_service import Durability, SQLiteSessionService
from session_sqlite.version import __version__ as __version__

if TYPE_CHECKING:
    from session_sqlite.async_service import AsyncSession, AsyncSessionService
    from session_sqlite.langchain.history import SQLiteChatMessageHistory
    from session_sqlite.langchain.middleware import SessionHistoryMiddleware
    from session_sqlite.langchain.recorder import SessionRecorder
    from session_sqlite.langchain.tools import history_tools
    from session_sqlite.operations.whole_sessions import Fault
    from session_sqlite.server_service import SQLAlchemySessionService
    from session_sqlite.transfer.reports import ExportReport, ImportReport, Progress

__all__ = [
    "ANY",
    "REMOVE",
    "ActivityGroup",
    "AnyOf",
    "AsyncSession",
    "AsyncSessionService",
    "Attachment",
    "AttachmentKind",
    "CheckReport",
    "CorruptStoreError",
    "DuplicateEventError",
    "Durability",
    "EraseReport",
    "Event",
    "EventFilters",
    "EventNotFoundError",
    "EventTooLargeError",
    "ExportFormat",
    "ExportReport",
    "Fault",
    "Finding",
    "ImportFormat",
    "ImportReport",
    "InvalidInputError",
    "LimitedEventFilters",
    "NewerSchemaError",
    "NotAStoreError",
    "NotSerializableError",
    "Page",
    "Progress",
    "PruneReport",
    "QueryError",
    "ReadOnlyStoreError",
    "RecallFilters",
    "RedactReport",
    "Removal",
    "Rows",
    "SQLAlchemySessionService",
    "SQLiteChatMessageHistory",
    "SQLiteSessionService",
    "SearchField",
    "SearchFilters",
    "SearchHit",
    "Session",
    "SessionArgument",
    "SessionError",
    "SessionExistsError",
    "SessionHistoryMiddleware",
    "SessionHit",
    "SessionKey",
    "SessionNotFoundError",
    "SessionOrder",
    "SessionOverview",
    "SessionRecord",
    "SessionRecorder",
    "SessionService",
    "SessionState",
    "StaleSessionError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreError",
    "StoreFullError",
    "Summarizer",
    "ToolCall",
    "ToolStatus",
    "Usage",
    "UsageGroup",
    "database_file",
    "history_tools",
]

_LAZY = {
    "AsyncSession": "session_sqlite.async_service",
    "AsyncSessionService": "session_sqlite.async_service",
    "ExportReport": "session_sqlite.transfer.reports",
    "Fault": "session_sqlite.operations.whole_sessions",
    "ImportReport": "session_sqlite.transfer.reports",
    "Progress": "session_sqlite.transfer.reports",
    "SQLAlchemySessionService": "session_sqlite.server_service",
    "SQLiteChatMessageHistory": "session_sqlite.langchain.history",
    "SessionHistoryMiddleware": "session_sqlite.langchain.middleware",
    "SessionRecorder": "session_sqlite.langchain.recorder",
    "history_tools": "session_sqlite.langchain.tools",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
