"""The file: its tables and indexes, as sqlite-utils migrations.

``sessions`` holds conversations, ``events`` what was said in them, ``state`` what they remember. A step is a function
that changes the schema once; steps are only ever added. ``PRAGMA user_version`` is the number of steps that a file
has seen, and decides what is older, current and newer; ``PRAGMA application_id`` says that the file is ours.

sqlite-utils is imported when a file is made or changed, not before: it loads pandas where that is installed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlite_utils import Database

APPLICATION_ID: Final = 0x5353514C  # "SSQL"
MIGRATION_SET: Final = "session_sqlite"


def create_sessions_events_and_state(db: Database) -> None:
    """The three tables. Times are UTC text that sorts; JSON is text, as SQLite's json functions read it."""
    from sqlite_utils.db import ForeignKey

    db.table("sessions").create(
        {
            "id": str,
            "app_name": str,
            "user_id": str,
            "agent_id": str,
            "title": str,
            "metadata": str,
            "created_at": str,
            "updated_at": str,
            "last_seq": int,
            "parent_id": str,
            "initial_state": str,
        },
        pk=("app_name", "user_id", "id"),
        not_null={"id", "app_name", "user_id", "agent_id", "title", "metadata", "created_at", "updated_at", "last_seq",
                  "initial_state"},
        defaults={"agent_id": "", "title": "", "metadata": "{}", "last_seq": 0, "initial_state": "{}"},
    )  # fmt: skip
    # The latest sessions of a user, in order.
    db.table("sessions").create_index(["app_name", "user_id", "updated_at", "id"], "sessions_latest")

    db.table("events").create(
        {
            "row_id": int,
            "id": str,
            "session_id": str,
            "author": str,
            "content": str,
            "reasoning": str,
            "actions": str,
            "metadata": str,
            "created_at": str,
            "app_name": str,
            "user_id": str,
            "seq": int,
            "agent_id": str,
            "branch": str,
            "invocation_id": str,
            "state": str,
            "usage": str,
            "tool_call_id": str,
            "message_id": str,
            "message": str,
        },
        pk="row_id",
        not_null={"id", "session_id", "author", "content", "reasoning", "actions", "metadata", "created_at",
                  "app_name", "user_id", "seq", "agent_id", "branch", "invocation_id", "state"},
        defaults={"content": "", "reasoning": "", "actions": "[]", "metadata": "{}", "agent_id": "", "branch": "",
                  "invocation_id": "", "state": "{}"},
        foreign_keys=[
            ForeignKey("events", None, "sessions", None, columns=("app_name", "user_id", "session_id"),
                       other_columns=("app_name", "user_id", "id"), is_compound=True, on_delete="CASCADE"),
        ],
    )  # fmt: skip
    # The order of a session, what the foreign key's cascade follows, and the guard of a dense seq.
    db.table("events").create_index(["app_name", "user_id", "session_id", "seq"], "events_in_order", unique=True)
    # An event by its id, for appends that are tried again.
    db.table("events").create_index(["id"], "events_id")

    db.table("state").create(
        {"app_name": str, "user_id": str, "session_id": str, "key": str, "value": str, "updated_at": str},
        pk=("app_name", "user_id", "session_id", "key"),
        not_null={"app_name", "user_id", "session_id", "key", "value", "updated_at"},
    )


STEPS: Final[tuple[Callable[[Database], None], ...]] = (create_sessions_events_and_state,)
SCHEMA_VERSION: Final = len(STEPS)


def create_search_index(db: Database) -> None:
    """The index of `sqlite_search`, and how far it has got.

    Not one of the steps: whether a file has an index is fixed when it is made. sqlite-utils can only index a table's own text. This index has words of our own (the ``ascii`` tokenizer takes them
    as they are) and no copy of the text; what is in ``scope`` counts nothing in a rank.
    """
    db.conn.execute(
        "CREATE VIRTUAL TABLE search_index USING fts5"
        " (content, reasoning, tools, scope, content = '', tokenize = 'ascii')"
    )
    db.conn.execute("INSERT INTO search_index (search_index, rank) VALUES ('rank', 'bm25(1.0, 1.0, 1.0, 0.0)')")
    db.table("search_progress").insert({"id": 1, "indexed": 0}, pk="id")


def migrate(connection: sqlite3.Connection, *, search: bool) -> None:
    """Applies the steps that the file has not seen; ``search`` says whether a new file gets a search index.

    The caller holds the write transaction that all of it becomes part of.
    """
    from sqlite_utils import Database, Migrations

    db = Database(connection, execute_plugins=False)
    is_new = not db.table("sessions").exists()
    migrations = Migrations(MIGRATION_SET)
    for step in STEPS:
        migrations()(step)
    migrations.apply(db)
    if is_new and search:
        create_search_index(db)
    # sqlite-utils has no verb for these two; inside the transaction they commit with the tables.
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


HAS_FTS5: Final = "SELECT 1 FROM pragma_module_list WHERE name = 'fts5'"
HAS_SEARCH_INDEX: Final = "SELECT 1 FROM sqlite_master WHERE name = 'search_index'"
COUNT_TABLES: Final = "SELECT count(*) FROM sqlite_master"
# One row from each end of each table.
PROBES: Final = (
    "SELECT max(row_id), min(row_id) FROM events",
    "SELECT id, metadata FROM sessions ORDER BY app_name DESC, user_id DESC, id DESC LIMIT 1",
    "SELECT content, message FROM events ORDER BY row_id DESC LIMIT 1",
    "SELECT value FROM state LIMIT 1",
)
