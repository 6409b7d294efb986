"""Figures of a history, read from the views: tool calls, tokens, activity, reply times. A copied event counts once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Reads, Row
from session_sqlite.errors import InvalidInputError
from session_sqlite.where import Where

Records = tuple[list[dict[str, Any]], tuple[str, ...]]
"""Rows as dicts, and the names of their columns."""

TOOL_STATUSES: Final = ("pending", "ok", "error")
USAGE_SUMS: Final = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip
REPLY_COLUMNS: Final = (
    "app_name", "user_id", "session_id", "seq", "author", "agent_id", "asked_at", "replied_at", "seconds",
)  # fmt: skip


def with_status(where: Where, status: object) -> Where:
    """Returns the conditions with one for the status, if one is given. Raises `InvalidInputError`."""
    if status is None:
        return where
    if status not in TOOL_STATUSES:
        raise InvalidInputError(f"status must be one of {', '.join(TOOL_STATUSES)}")
    return where.also(queries.TOOL_STATUS, status=status)


def groups_of(by: object, known: Iterable[str]) -> list[str]:
    """Returns the groups that the argument ``by`` names, each once. Raises `InvalidInputError`."""
    groups = [by] if isinstance(by, str) else list(by) if isinstance(by, Iterable) else [by]
    if not all(isinstance(group, str) and group in known for group in groups):
        raise InvalidInputError(f"by must be some of {', '.join(known)}")
    return list(dict.fromkeys(groups))


def tool_calls(database: Database, where: Where, limit: int | None, *, newest_first: bool) -> Records:
    """Returns the calls that match, in the order of time."""
    tail = queries.TOOL_CALLS_NEWEST_FIRST if newest_first else queries.TOOL_CALLS_IN_ORDER
    if limit is not None:
        where, tail = where.with_values(limit=limit), tail + queries.LIMITED
    calls = database.read(where.statement(queries.TOOL_CALLS, tail), where.params, codec.decode_tool_call)
    return calls, codec.TOOL_CALL_COLUMNS


def tool_counts(database: Database, where: Where) -> dict[str, dict[str, int]]:
    """Returns how often each tool was called, the most used first."""
    rows = database.read(where.statement(queries.COUNT_TOOL_CALLS, queries.BY_TOOLS), where.params, tuple)
    return {name: {"calls": calls, "errors": errors, "pending": pending} for name, calls, errors, pending in rows}


def usage(database: Database, where: Where, groups: Sequence[str]) -> Records:
    """Returns the sums of tokens for each group."""
    return _records(database, queries.usage_by(groups, where), where, (*groups, "replies", *USAGE_SUMS))


def activity(database: Database, where: Where, groups: Sequence[str]) -> Records:
    """Returns the number of events in each group, and the number of sessions that have them."""
    return _records(database, queries.activity_by(groups, where), where, (*groups, "events", "sessions"))


def _records(database: Database, sql: str, where: Where, names: tuple[str, ...]) -> Records:
    return database.read(sql, where.params, lambda row: dict(zip(names, row, strict=True))), names


def reply_times(database: Database, where: Where) -> Records:
    """Returns each reply that directly follows an event of the user, and how long it took."""
    where = where.also(queries.IS_A_REPLY).also(queries.COUNTS)
    rows = database.read(where.statement(queries.REPLY_TIMES, queries.REPLIES_IN_ORDER), where.params, tuple)
    return [record for row in rows if (record := _reply(row))], REPLY_COLUMNS


def _reply(row: Row) -> dict[str, Any] | None:
    *about, asked_at, replied_at = row
    asked, replied = codec.decode_time(asked_at), codec.decode_time(replied_at)
    if asked is None or replied is None:
        return None
    values = (*about, asked, replied, (replied - asked).total_seconds())
    return dict(zip(REPLY_COLUMNS, values, strict=True))


def stats(database: Database, where: Where) -> dict[str, Any]:
    """Returns the numbers of sessions, events, tool calls and tokens; see `SessionService.stats`."""
    reading = Reads(database)
    sessions, apps = reading.rows(where.statement(queries.COUNT_SESSIONS), where.params)[0]
    users = reading.rows(queries.count_users(where), where.params)[0][0]
    authors = reading.rows(where.statement(queries.COUNT_EVENTS, queries.BY_AUTHORS), where.params)
    return {
        "sessions": sessions,
        "apps": apps,
        "users": users,
        "events": sum(row[1] for row in authors),
        "first_event": min((when for row in authors if (when := codec.decode_time(row[2]))), default=None),
        "last_event": max((when for row in authors if (when := codec.decode_time(row[3]))), default=None),
        "authors": {row[0]: row[1] for row in authors},
        "tools": tool_counts(database, where),
        "tokens": usage(database, where, ())[0][0],
    }


def last_seqs(database: Database, where: Where) -> dict[SessionKey, int]:
    """Returns the ``last_seq`` of every session that matches, by its key."""
    rows = database.read(where.statement(queries.LAST_SEQS), where.params, tuple)
    return {SessionKey(*row[:3]): row[3] for row in rows}
