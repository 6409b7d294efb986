"""Other programs' SQLite files, opened so that not a byte of them changes, and the statements that read them.

Whose tables have names of their own choice (LangChain's and the Agents SDK's can) is asked by quoted name.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.errors import StoreError
from session_sqlite.sqlite.driver import BUSY, primary_code
from session_sqlite.sqlite.opening import (
    ChangedMeanwhile,
    StoreFile,
    has_log,
    has_no_locks,
)

BUSY_SECONDS: Final = 10.0

TABLES: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"
COLUMNS: Final = "SELECT name FROM pragma_table_xinfo(:table)"

# LangChain: one table, whose name is the user's choice.
HISTORY_SESSIONS: Final = "SELECT session_id FROM {} GROUP BY session_id ORDER BY min(id)"
HISTORY_MESSAGES: Final = "SELECT id, message FROM {} WHERE session_id IS :session_id ORDER BY id"
HISTORY_SAMPLE: Final = "SELECT message FROM {} ORDER BY id LIMIT 20"

# The OpenAI Agents SDK: two tables, whose names are the user's choice.
AGENT_SESSIONS: Final = "SELECT session_id, created_at, updated_at FROM {} ORDER BY created_at, rowid"
AGENT_STRAYS: Final = """
SELECT DISTINCT session_id, NULL, NULL
  FROM {} AS said
 WHERE NOT EXISTS (SELECT 1 FROM {} AS known WHERE known.session_id IS said.session_id)
"""
AGENT_MESSAGES: Final = "SELECT id, message_data, created_at FROM {} WHERE session_id IS :session_id ORDER BY id"

# The Go package session-sqlite.
ASTER_SESSIONS: Final = """
SELECT id, app_name, user_id, agent_id, metadata, created_at, updated_at
  FROM sessions
 ORDER BY created_at, rowid
"""
ASTER_EVENTS: Final = """
SELECT id, invocation_id, agent_id, branch, author, content, reasoning, actions, long_running_tool_ids, metadata,
       created_at
  FROM events
 WHERE session_id = :session_id
 ORDER BY created_at, rowid
"""
ASTER_STATE: Final = "SELECT key, value FROM session_state WHERE session_id = :session_id ORDER BY key"
ASTER_STRAYS: Final = "SELECT count(*) FROM events WHERE session_id NOT IN (SELECT id FROM sessions)"

# The tool llm: `logs` in its first months, `responses` up to 0.35, `turns` since. Columns that a release did not have
# yet are missing: all are read.
LLM_LOGS: Final = "SELECT * FROM logs ORDER BY id"
LLM_CONVERSATIONS: Final = """
SELECT conversations.id, conversations.name, conversations.model
  FROM conversations
 ORDER BY (SELECT min(responses.id) FROM responses WHERE responses.conversation_id = conversations.id)
"""
LLM_LOOSE_RESPONSES: Final = """
SELECT *
  FROM responses
 WHERE conversation_id IS NULL OR conversation_id NOT IN (SELECT id FROM conversations)
 ORDER BY datetime_utc, id
"""
LLM_RESPONSES: Final = "SELECT * FROM responses WHERE conversation_id = :id ORDER BY datetime_utc, id"
LLM_TOOL_CALLS: Final = "SELECT * FROM tool_calls WHERE response_id = :id ORDER BY id"
LLM_TOOL_RESULTS: Final = "SELECT * FROM tool_results WHERE response_id = :id ORDER BY id"
LLM_FRAGMENTS: Final = """
SELECT fragments.content
  FROM {} AS used
  JOIN fragments ON fragments.id = used.fragment_id
 WHERE used.response_id = :id
 ORDER BY used."order"
"""
LLM_ATTACHMENTS: Final = """
SELECT attachments.id, attachments.type, attachments.path, attachments.url, length(attachments.content) AS bytes
  FROM prompt_attachments
  JOIN attachments ON attachments.id = prompt_attachments.attachment_id
 WHERE prompt_attachments.response_id = :id
 ORDER BY prompt_attachments."order"
"""
LLM_THREADS: Final = "SELECT * FROM threads ORDER BY datetime_utc, id"
LLM_TURNS: Final = "SELECT * FROM turns WHERE thread_id = :id ORDER BY datetime_utc, id"
LLM_LOOSE_TURNS: Final = (
    "SELECT count(*) FROM turns WHERE thread_id IS NULL OR thread_id NOT IN (SELECT id FROM threads)"
)
LLM_MESSAGE: Final = "SELECT hash, parent_hash, role FROM messages WHERE hash = :hash"
LLM_PARTS: Final = "SELECT * FROM parts WHERE message_hash = :hash ORDER BY position"
LLM_FRAGMENT: Final = "SELECT content FROM fragments WHERE id = :id"
LLM_ATTACHMENT: Final = "SELECT id, type, path, url, length(content) AS bytes FROM attachments WHERE id = :id"

# LangGraph: a checkpoint's id tells its time, so the greatest is the latest.
LANGGRAPH_THREADS: Final = """
SELECT thread_id, checkpoint_ns, max(checkpoint_id)
  FROM checkpoints
 GROUP BY thread_id, checkpoint_ns
 ORDER BY thread_id, checkpoint_ns
"""
LANGGRAPH_LATEST: Final = """
SELECT thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, metadata
  FROM checkpoints
 WHERE thread_id IS :thread AND checkpoint_ns IS :namespace AND checkpoint_id IS :checkpoint
"""
LANGGRAPH_STEPS: Final = """
SELECT checkpoint_id, parent_checkpoint_id
  FROM checkpoints
 WHERE thread_id IS :thread AND checkpoint_ns IS :namespace
 ORDER BY checkpoint_id DESC
"""
LANGGRAPH_WRITES: Final = """
SELECT checkpoint_id, channel, type, value
  FROM writes
 WHERE thread_id IS :thread AND checkpoint_ns IS :namespace
 ORDER BY checkpoint_id, task_id, idx
"""
LANGGRAPH_WAITING: Final = """
SELECT count(*)
  FROM writes
 WHERE thread_id IS :thread AND checkpoint_ns IS :namespace AND checkpoint_id IS :checkpoint
   AND channel NOT IN ('__error__', '__no_writes__', '__interrupt__', '__resume__')
"""

# Open WebUI.
WEBUI_CHAT_IDS: Final = "SELECT id FROM chat"
WEBUI_CHATS: Final = "SELECT * FROM chat ORDER BY created_at, id"
WEBUI_MESSAGES: Final = "SELECT * FROM chat_message WHERE chat_id = :id ORDER BY created_at, id"
COUNT_ROWS: Final = "SELECT count(*) FROM {}"

# Google's Agent Development Kit.
ADK_SESSIONS: Final = "SELECT * FROM sessions ORDER BY create_time, id"
ADK_EVENTS: Final = """
SELECT *
  FROM events
 WHERE app_name = :app AND user_id = :user AND session_id = :id
 ORDER BY timestamp, rowid
"""
ADK_APP_STATES: Final = "SELECT app_name, NULL, state FROM app_states"
ADK_USER_STATES: Final = "SELECT app_name, user_id, state FROM user_states"

# agno: tables whose names are the user's choice.
AGNO_SESSIONS: Final = "SELECT * FROM {} ORDER BY created_at, session_id"
AGNO_RUNS: Final = "SELECT run_data FROM {} WHERE session_id = :id ORDER BY run_index, created_at, rowid"


class Database:
    """Another program's SQLite file, read-only, as of one moment."""

    def __init__(self, connection: sqlite3.Connection, path: Path, mark: Any) -> None:
        self._connection = connection
        self._mark = mark
        self._rows = 0
        self.path = path
        self.tables: dict[str, frozenset[str]] = {}
        for name, *_ in self.rows(TABLES):
            self.tables[name] = frozenset(column for column, *_ in self.rows(COLUMNS, table=name))

    def has(self, table: str, *columns: str) -> bool:
        """True if there is such a table with these columns."""
        return table in self.tables and self.tables[table].issuperset(columns)

    def rows(self, sql: str, **params: Any) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement, as a stream."""
        for row in self._run(sql, params):
            self._rows += 1
            yield tuple(row)

    def records(self, sql: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yields the rows as dicts."""
        for row in self._run(sql, params):
            self._rows += 1
            yield dict(row)

    def progress(self) -> tuple[int, int | None]:
        """Returns how many rows were read; how many there are is not known."""
        return self._rows, None

    def changed(self) -> str | None:
        """Returns what to say if another program changed the file while it was read."""
        if _mark_of(self.path) == self._mark:
            return None
        return "the file was changed while it was read: import it again for what is new"

    def application_id(self) -> int:
        """Returns the application id that the file has."""
        id: int = next(self.rows("PRAGMA application_id"))[0]
        return id

    def _run(self, sql: str, params: Mapping[str, Any]) -> Iterator[sqlite3.Row]:
        try:
            yield from self._connection.execute(sql, params)
        except sqlite3.Error as error:
            raise _unreadable(self.path, error if self.changed() is None else ChangedMeanwhile()) from error


def quoted(table: str) -> str:
    """A table's name as it stands in a statement."""
    return '"' + table.replace('"', '""') + '"'


@contextlib.contextmanager
def open_database(path: str) -> Iterator[Database | None]:
    """Opens a file if it is a SQLite database; gives None if it is not.

    It is looked at through SQLite only: reading it as a file would drop the locks that this process may hold on it.
    """
    file = Path(os.path.abspath(path))
    try:
        if not file.is_file() or file.stat().st_size == 0:
            yield None
            return
    except OSError as error:
        raise StoreError(f"the file {str(file)!r} cannot be read: {error.strerror}") from error
    mark = _mark_of(file)
    try:
        connection = _connect(file)
    except sqlite3.DatabaseError as error:
        if primary_code(error) == sqlite3.SQLITE_NOTADB:
            yield None
            return
        raise _unreadable(file, error if _mark_of(file) == mark else ChangedMeanwhile()) from error
    with contextlib.closing(connection):
        yield Database(connection, file, mark)


def _connect(path: Path) -> sqlite3.Connection:
    """A connection on which a transaction has begun, and that changes nothing in the file.

    Where there is no log, one that may write does not, and leaves nothing beside the file as it closes; one that only
    reads would. Where SQLite cannot make the files for its locks, the file is read without them.
    """
    file = StoreFile(path)
    mark = file.mark()
    try:
        return _begun(
            sqlite3.connect(
                f"{file.uri}?mode={'ro' if has_log(mark) else 'rw'}", uri=True, timeout=BUSY_SECONDS,
                isolation_level=None, check_same_thread=False,
            )
        )  # fmt: skip
    except sqlite3.DatabaseError as error:
        if not has_no_locks(error) or has_log(mark):
            raise
    return _begun(file.connect_without_locks(mark))


def _begun(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.row_factory = sqlite3.Row
    connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _mark_of(path: Path) -> Any:
    marks: list[tuple[int, int] | None] = []
    for end in ("", "-wal"):
        try:
            status = path.with_name(path.name + end).stat()
        except OSError:
            marks.append(None)
        else:
            marks.append((status.st_size, status.st_mtime_ns) if status.st_size else None)
    return marks


def _unreadable(path: Path, error: sqlite3.Error) -> StoreError:
    code = primary_code(error)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    shown = codec.text(str(path), "path") if codec.is_plain_text(str(path)) else ascii(str(path))
    if code in BUSY:
        return StoreError(f"the file {shown!r} is being written by its program: try again ({name})")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return StoreError(
            f"the file {shown!r} cannot be read: was its program ended in the middle? Open it there ({name})"
        )
    return StoreError(f"the file {shown!r} is damaged or not what it seems to be ({name})")


def columns_of(record: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The columns of a record that have something in them."""
    return {name: record[name] for name in names if record.get(name) not in (None, "")}
