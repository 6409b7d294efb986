"""The tables on a server: those of the file, with a server's types and indexes, and the steps that make them.

A step is a function from a dialect to statements, each of which can be run again: on MySQL every one of them commits
by itself, so a migration may die halfway. ``session_schema`` says how many steps a store has seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from session_sqlite.errors import NewerSchemaError, StoreError
from session_sqlite.queries import EVENT_ROW
from session_sqlite.server.dialects import ORDER_CONSTRAINT, Dialect, Fault

# The columns of the file's tables, by kind: a dialect says which type a kind has.
SESSIONS: Final = {
    "id": "identifier not null",
    "app_name": "identifier not null",
    "user_id": "identifier not null",
    "agent_id": "identifier not null",
    "title": "long_text not null",
    "metadata": "long_text not null",
    "created_at": "long_text not null",
    "updated_at": "short_text not null",
    "last_seq": "bigint not null",
    "parent_id": "identifier",
    "initial_state": "long_text not null",
    "parent_seq": "bigint",
}
EVENTS: Final = {
    "row_id": "row_id not null",
    "id": "identifier not null",
    "session_id": "identifier not null",
    "author": "identifier not null",
    "content": "long_text not null",
    "reasoning": "long_text not null",
    "actions": "long_text not null",
    "metadata": "long_text not null",
    "created_at": "long_text not null",
    "app_name": "identifier not null",
    "user_id": "identifier not null",
    "seq": "bigint not null",
    "agent_id": "identifier not null",
    "branch": "identifier not null",
    "invocation_id": "identifier not null",
    "state": "long_text not null",
    '"usage"': "long_text",
    "tool_call_id": "long_text",
    "message_id": "long_text",
    "message": "long_text",
    "supersedes": "bigint",
    "copied_from": "identifier",
}
STATE: Final = {
    "app_name": "identifier not null",
    "user_id": "identifier not null",
    "session_id": "identifier not null",
    '"key"': "short_text not null",
    "value": "long_text not null",
    "updated_at": "short_text not null",
}


def create_sessions_events_and_state(dialect: Dialect) -> Iterator[str]:
    """Makes the three tables of the file."""
    yield _table(dialect, "sessions", SESSIONS, "PRIMARY KEY (app_name, user_id, id)")
    yield _table(
        dialect,
        "events",
        EVENTS,
        "PRIMARY KEY (row_id)",
        f"CONSTRAINT {ORDER_CONSTRAINT} UNIQUE (app_name, user_id, session_id, seq)",
        "FOREIGN KEY (app_name, user_id, session_id) REFERENCES sessions (app_name, user_id, id) ON DELETE CASCADE",
    )
    yield _table(dialect, "state", STATE, 'PRIMARY KEY (app_name, user_id, session_id, "key")')
    yield dialect.index("sessions_latest", "sessions", "app_name, user_id, updated_at, id")
    yield dialect.index("events_id", "events", "id")
    yield dialect.index_of_long_text("events_tool_call", "events", "tool_call_id")
    yield dialect.index_of_long_text("events_message", "events", "message_id")


def create_words(dialect: Dialect) -> Iterator[str]:
    """Makes the table of the words of events, with the server's index over them; see `search_index`."""
    yield _table(
        dialect,
        "event_words",
        {"row_id": "bigint not null", "version": "integer not null", "words": dialect.words_type},
        "PRIMARY KEY (row_id)",
        "FOREIGN KEY (row_id) REFERENCES events (row_id) ON DELETE CASCADE",
    )
    yield dialect.index_of_words()
    yield dialect.index("event_words_version", "event_words", "version")


def create_views(dialect: Dialect) -> Iterator[str]:
    """Makes the views of the file. JSON is taken apart in ``event_actions`` and ``tokens`` alone."""
    yield from dialect.extra_statements
    yield f"CREATE OR REPLACE VIEW event_actions AS {dialect.event_actions}"
    names = ("model", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    expressions = {name: dialect.usage_value(name) for name in names}
    expressions |= {"call_key": dialect.key_of("action.call_id"), "result_key": dialect.key_of("tool_call_id")}
    for name, view in VIEWS.items():
        sql = view.format(**expressions, event_row=EVENT_ROW, tools=dialect.tools_of_event, has_usage=dialect.has_usage)
        yield f"CREATE OR REPLACE VIEW {name} AS {sql}"


VIEWS: Final = {
    "counted_events": """
SELECT row_id, {event_row}
  FROM events
 WHERE copied_from IS NULL
    OR NOT EXISTS (SELECT 1
                     FROM events AS same
                    WHERE same.id = events.id
                      AND same.app_name = events.app_name
                      AND same.user_id = events.user_id
                      AND same.created_at = events.created_at
                      AND (same.session_id = events.copied_from
                           OR (same.copied_from = events.copied_from AND same.row_id < events.row_id)))
""",
    "tokens": """
SELECT app_name, user_id, session_id, seq, created_at, agent_id, id AS event_id,
       coalesce({model}, '') AS model,
       coalesce({input_tokens}, 0) AS input_tokens,
       coalesce({output_tokens}, 0) AS output_tokens,
       coalesce({cache_read_tokens}, 0) AS cache_read_tokens,
       coalesce({cache_write_tokens}, 0) AS cache_write_tokens,
       coalesce({reasoning_tokens}, 0) AS reasoning_tokens
  FROM counted_events
 WHERE {has_usage}
""",
    "usage_by_day": """
SELECT app_name,
       user_id,
       substr(created_at, 1, 10) AS day,
       model,
       count(*) AS replies,
       sum(input_tokens) AS input_tokens,
       sum(output_tokens) AS output_tokens,
       sum(cache_read_tokens) AS cache_read_tokens,
       sum(cache_write_tokens) AS cache_write_tokens,
       sum(reasoning_tokens) AS reasoning_tokens
  FROM tokens
 GROUP BY app_name, user_id, substr(created_at, 1, 10), model
""",
    "session_overview": """
SELECT sessions.app_name,
       sessions.user_id,
       sessions.id,
       sessions.agent_id,
       sessions.title,
       (SELECT opening.content
          FROM events AS opening
         WHERE opening.app_name = sessions.app_name
           AND opening.user_id = sessions.user_id
           AND opening.session_id = sessions.id
           AND opening.author = 'user'
         ORDER BY opening.seq
         LIMIT 1) AS first_message,
       (SELECT count(*)
          FROM events
         WHERE events.app_name = sessions.app_name
           AND events.user_id = sessions.user_id
           AND events.session_id = sessions.id) AS event_count,
       sessions.created_at,
       sessions.updated_at AS last_activity
  FROM sessions
""",
    # As in the file: the n-th call of an event with an id has the n-th later result with that id, unless another event
    # has used the id again in between; a tool's event whose call was never stored is a row too. Calls and results are
    # put in order by their id, once: `asked_at` is the latest event before a result that has used its id. To look for
    # the result of each call takes a time that grows with the square of the calls.
    "tool_calls": """
SELECT pairs.app_name,
       pairs.user_id,
       pairs.session_id,
       events.seq,
       events.created_at,
       events.agent_id,
       events.invocation_id,
       events.id AS event_id,
       CASE WHEN pairs.is_result = 0 THEN action.call_id ELSE coalesce(events.tool_call_id, '') END AS call_id,
       action.name,
       action.args,
       CASE
         WHEN pairs.is_result = 0 THEN coalesce(action.output, results.content)
         WHEN events.content <> '' THEN events.content
         ELSE action.output
       END AS output,
       coalesce(action.error, answer.error) AS error,
       CASE
         WHEN coalesce(action.error, answer.error) IS NOT NULL THEN 'error'
         WHEN action.output IS NOT NULL OR results.seq IS NOT NULL THEN 'ok'
         ELSE 'pending'
       END AS status,
       results.seq AS result_seq,
       coalesce(results.created_at, CASE WHEN action.output IS NOT NULL THEN events.created_at END) AS result_at,
       pairs.position
  FROM (SELECT app_name, user_id, session_id, row_id, position, is_result, asked_at,
               CASE
                 WHEN asked_at IS NOT NULL
                 THEN max(CASE WHEN is_result = 1 THEN row_id END)
                        OVER (PARTITION BY app_name, user_id, session_id, call_key, asked_at, place)
                 WHEN is_result = 1 THEN row_id
               END AS result_row
          FROM (SELECT app_name, user_id, session_id, row_id, position, is_result, call_key, asked_at,
                       row_number() OVER (PARTITION BY app_name, user_id, session_id, call_key, asked_at, is_result
                                              ORDER BY seq, position) AS place
                  FROM (SELECT app_name, user_id, session_id, row_id, position, is_result, call_key, seq,
                               max(CASE WHEN is_result = 0 AND call_key IS NOT NULL THEN seq END)
                                 OVER (PARTITION BY app_name, user_id, session_id, call_key ORDER BY seq) AS asked_at
                          FROM (SELECT events.app_name, events.user_id, events.session_id, events.row_id,
                                       action.position, 0 AS is_result, {call_key} AS call_key, events.seq
                                  FROM events
                                  JOIN event_actions AS action
                                    ON action.row_id = events.row_id
                                 WHERE events.author <> 'tool'
                                 UNION ALL
                                SELECT app_name, user_id, session_id, row_id, 0, 1, {result_key}, seq
                                  FROM events
                                 WHERE author = 'tool') AS every_one) AS in_order) AS in_place) AS pairs
  JOIN counted_events AS events
    ON events.row_id = pairs.row_id
  JOIN event_actions AS action
    ON action.row_id = pairs.row_id AND action.position = pairs.position
  LEFT JOIN events AS results
    ON results.row_id = pairs.result_row
  LEFT JOIN event_actions AS answer
    ON answer.row_id = pairs.result_row AND answer.position = 0
 WHERE pairs.is_result = 0
    OR pairs.asked_at IS NULL
""",
    "transcript": """
SELECT app_name,
       user_id,
       session_id,
       seq,
       created_at,
       author,
       content,
       reasoning,
       (SELECT {tools}
          FROM event_actions AS action
         WHERE action.row_id = events.row_id) AS tools
  FROM events
""",
}

Step = Callable[[Dialect], Iterator[str]]
STEPS: Final[tuple[Step, ...]] = (
    create_sessions_events_and_state,
    create_words,
    create_views,
    create_views,  # again: damaged usage had a row in "tokens", or hid every other
    create_views,  # again: for each result "tool_calls" read all events before it
    create_views,  # again: for each call it read all results that have its id
)
SCHEMA_VERSION: Final = len(STEPS)

_MADE = re.compile(r"(?:VIEW|INDEX)(?: +IF NOT EXISTS)? +(\w+)")


def made_by_steps(dialect: Dialect) -> set[str]:
    """Returns the names of all views and indexes of a store."""
    heads = (statement.lstrip()[:100] for step in STEPS for statement in step(dialect))
    return {name[1] for head in heads if not head.startswith("CREATE TABLE") and (name := _MADE.search(head))}


SERVER_VERSION: Final = "SELECT version()"
CREATE_VERSION: Final = "CREATE TABLE IF NOT EXISTS session_schema (version integer NOT NULL)"
VERSION: Final = "SELECT max(version) FROM session_schema"


def needs_migration(connection: Connection, dialect: Dialect, store: str, *, read_only: bool) -> bool:
    """Returns True if there are steps that the store has not seen.

    Raises:
        NewerSchemaError: A newer release has changed the store.
        StoreError: There are such steps, and the store is ``read_only``; or the server is too old.
    """
    if fault := dialect.too_old(str(connection.exec_driver_sql(SERVER_VERSION).scalar())):
        raise StoreError(f"the server of {store} cannot keep a store: {fault}")
    version = _version(connection, dialect)
    if version > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"the store {store} was written by a newer release (schema {version}, this one knows {SCHEMA_VERSION}): "
            "upgrade session-sqlite"
        )
    if version < SCHEMA_VERSION and read_only:
        if version:
            raise StoreError(f"the store {store} has an older schema: open it once without read_only to update it")
        raise StoreError(f"there is no store in {store}: without read_only it would be made")
    return version < SCHEMA_VERSION


def migrate(connection: Connection, dialect: Dialect) -> None:
    """Runs the steps that the store has not seen; any number of processes may do so at once."""
    dialect.take_migration_lock(connection)
    try:
        connection.exec_driver_sql(CREATE_VERSION)
        for number in range(_version(connection, dialect), SCHEMA_VERSION):
            make(connection, dialect, STEPS[number])
            connection.exec_driver_sql(f"INSERT INTO session_schema (version) VALUES ({number + 1})")
    finally:
        connection.invalidate()  # which gives up the lock


def make(connection: Connection, dialect: Dialect, step: Step) -> None:
    """Runs one step; what it makes may be there already."""
    for statement in step(dialect):
        try:
            connection.exec_driver_sql(statement)
        except DBAPIError as error:
            if not dialect.is_made_already(error):
                raise


def _version(connection: Connection, dialect: Dialect) -> int:
    try:
        version = connection.exec_driver_sql(VERSION).scalar()
    except DBAPIError as error:
        if dialect.fault(error) is not Fault.MISSING:
            raise
        return 0  # no table: nothing was made yet
    return int(version or 0)


def _table(dialect: Dialect, name: str, columns: Mapping[str, str], *constraints: str) -> str:
    """Returns the statement that makes a table if it is not there."""
    lines = [f"{column} {dialect.column(kind)}" for column, kind in columns.items()]
    body = ",\n       ".join([*lines, *constraints])
    return f"CREATE TABLE IF NOT EXISTS {name} (\n       {body}\n) {dialect.table_options}"
