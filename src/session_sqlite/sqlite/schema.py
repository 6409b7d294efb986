"""The file: its tables and indexes, as sqlite-utils migrations.

``sessions`` holds conversations, ``events`` what was said in them, ``state`` what they remember. A step is a function
that changes the schema once; steps are only ever added. ``PRAGMA user_version`` is the number of steps that a file
has seen, and decides what is older, current and newer; ``PRAGMA application_id`` says that the file is ours.

sqlite-utils is imported when a file is made or changed, not before: it loads pandas where that is installed.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Final

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.messages import calls, tokens
from session_sqlite.search import WORDS_VERSION, title_words
from session_sqlite.sqlite import statements
from session_sqlite.sqlite.driver import damaged_text_as_bytes

if TYPE_CHECKING:
    from sqlite_utils import Database

APPLICATION_ID: Final = 0x5353514C  # "SSQL"
MIGRATION_SET: Final = "session_sqlite"


def create_sessions_events_and_state(db: Database) -> None:
    """Creates the three tables. Times are UTC text that sorts; JSON is text, as SQLite's json functions read it."""
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
    # Lists the sessions of a user, the latest first, without sorting.
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
    # Reads a session in order, serves the cascade of the foreign key, and keeps a seq from being used twice.
    db.table("events").create_index(["app_name", "user_id", "session_id", "seq"], "events_in_order", unique=True)
    # Finds an event by its id, for retries of an append.
    db.table("events").create_index(["id"], "events_id")

    db.table("state").create(
        {"app_name": str, "user_id": str, "session_id": str, "key": str, "value": str, "updated_at": str},
        pk=("app_name", "user_id", "session_id", "key"),
        not_null={"app_name", "user_id", "session_id", "key", "value", "updated_at"},
    )


def create_views(db: Database) -> None:
    """Creates the views for people: tool calls with their results, tokens by day, sessions at a glance, transcripts."""
    # sqlite-utils has no verb for partial indexes, which cost nothing for rows without the column. The first finds the
    # result of a call by the id that joins them, the second a message by its own id.
    db.conn.execute(
        "CREATE INDEX events_tool_call ON events (app_name, user_id, session_id, tool_call_id)"
        " WHERE tool_call_id IS NOT NULL"
    )
    db.conn.execute(
        "CREATE INDEX events_message ON events (app_name, user_id, session_id, message_id) WHERE message_id IS NOT NULL"
    )
    make_views(db)


def make_views(db: Database) -> None:
    """Replaces the views of the file by those of this release."""
    for name in db.view_names():
        if name in VIEWS:
            db.view(name).drop()
    for name, sql in VIEWS.items():
        db.create_view(name, sql)


def add_summaries_and_fork_points(db: Database) -> None:
    """Adds the seq up to which a summary replaces events, and the seq at which a fork left its source."""
    db.table("events").add_column("supersedes", int)
    db.table("sessions").add_column("parent_seq", int)
    # Finds the newest summary of a session. It is partial, so that other events cost nothing.
    db.conn.execute(
        "CREATE INDEX events_summary ON events (app_name, user_id, session_id, seq) WHERE supersedes IS NOT NULL"
    )


def add_version_of_search_words(db: Database) -> None:
    """Adds the `search.WORDS_VERSION` of the words in the index, which was 1 in earlier releases."""
    if db.table("search_progress").exists():
        db.table("search_progress").add_column("words", int, not_null_default=1)


def derive_the_calls_of_messages(db: Database) -> None:
    """Adds all calls of a message to its actions: invalid ones too, and those that are only in its content."""
    changed = False
    last = 0
    while rows := db.conn.execute(MESSAGES_WITH_CALLS, {"last": last}).fetchall():
        last = rows[-1][0]
        updates = [update for row in rows if (update := _with_all_calls(*row)) is not None]
        db.conn.executemany("UPDATE events SET actions = ?, message = ? WHERE row_id = ?", updates)
        changed = changed or bool(updates)
    if changed and db.table("search_index").exists():
        # The index has other words for these rows than they have now, so the next search must fill it anew.
        db.conn.execute("INSERT INTO search_index (search_index) VALUES ('delete-all')")
        db.conn.execute("UPDATE search_progress SET indexed = 0")
    db.create_view("tool_calls", VIEWS["tool_calls"], replace=True)


MESSAGES_WITH_CALLS: Final = """
SELECT row_id, content, reasoning, actions, message
  FROM events
 WHERE row_id > :last
   AND (message LIKE '%"invalid_tool_calls":%' OR message LIKE '%"content":[%' OR message LIKE '%"additional_kwargs":%')
 ORDER BY row_id
 LIMIT 500
"""


def _with_all_calls(
    row_id: int, content: object, reasoning: object, actions: object, message: object
) -> tuple[str, str, int] | None:
    """Returns the columns of a message that has more calls than its actions; None if there is nothing to change."""
    if not (isinstance(content, str) and isinstance(reasoning, str) and isinstance(message, str)):
        return None  # the row is damaged
    try:
        stored = codec.decode_actions(actions)
        made, text = calls.derived(message, content, reasoning, stored)
        column = codec.encode_actions(made, of_message=True)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None  # the row is damaged
    return None if column == actions and text == message else (column, text, row_id)


def know_copies(db: Database) -> None:
    """Adds to each copied event the session in which it was first said, so that figures count it once."""
    db.table("events").add_column("copied_from", str)
    name_origins(db.conn)
    make_views(db)


def derive_the_usage_of_messages(db: Database) -> None:
    """Counts the tokens of messages anew, by all names that providers give them: cache writes of Claude, tiers."""
    last = 0
    while rows := db.conn.execute(MESSAGES_WITH_USAGE, {"last": last}).fetchall():
        last = rows[-1][0]
        changes = [(column, row_id) for row_id, *columns in rows if (column := _usage_anew(*columns)) is not None]
        db.conn.executemany("UPDATE events SET usage = ? WHERE row_id = ?", changes)


MESSAGES_WITH_USAGE: Final = """
SELECT row_id, usage, message
  FROM events
 WHERE row_id > :last
   AND usage IS NOT NULL
   AND message LIKE '%"usage_metadata":%'
 ORDER BY row_id
 LIMIT 500
"""


def _usage_anew(column: object, message: object) -> str | None:
    """Returns the new usage column of a message whose tokens were counted short; None if there is nothing to change."""
    try:
        usage = codec.decode_usage(column)
        derived = tokens.derived_anew(usage, codec.decode_object(message))
    except (ValueError, TypeError, RecursionError):  # the row is damaged
        return None
    return None if derived == usage else codec.encode_usage(derived)


_PARENTS: Final = """
SELECT app_name, user_id, id, parent_id
  FROM sessions
 WHERE typeof(parent_id) = 'text'
"""
# In a fork that was made before `parent_seq` was recorded, events that are older than the fork are its copies.
_IS_COPY: Final = """
CASE WHEN sessions.parent_id IS NULL THEN 0
     WHEN sessions.parent_seq IS NULL THEN events.created_at <= sessions.created_at
     ELSE events.seq <= sessions.parent_seq
END
"""
_COPIES: Final = f"""
SELECT events.row_id, events.app_name, events.user_id, events.created_at > sessions.created_at AS is_younger
  FROM sessions
  JOIN events
    ON events.app_name = sessions.app_name AND events.user_id = sessions.user_id AND events.session_id = sessions.id
 WHERE typeof(sessions.parent_id) = 'text'
   AND {_IS_COPY}
"""  # composed of the constant above
# Sorts the session that has the event and did not copy it to the front. CROSS JOIN makes SQLite use the index on ids;
# otherwise it reads all events of the user.
_SESSIONS_WITH_EVENT: Final = f"""
SELECT events.session_id, {_IS_COPY} AS is_copy
  FROM events AS one
 CROSS JOIN events AS named
 CROSS JOIN events
 CROSS JOIN sessions
 WHERE one.row_id = ?
   AND named.id = one.id
   AND events.row_id = named.row_id
   AND events.app_name = one.app_name AND events.user_id = one.user_id AND events.created_at = one.created_at
   AND sessions.app_name = events.app_name AND sessions.user_id = events.user_id AND sessions.id = events.session_id
 ORDER BY is_copy, events.row_id
"""  # composed of the constant above


def name_origins(connection: sqlite3.Connection) -> None:
    """Fills ``copied_from`` in the forks that a file has.

    A fork has copies of what its parent had up to ``parent_seq``, under the same ids and times. All copies of an event
    get one name: the session that has the event and did not copy it, or, where that is gone, the oldest ancestor that
    is known. A pruned parent gave fewer events than ``parent_seq`` says: one that is younger than the fork, and that no
    other session has, is the fork's own.
    """
    parents = {(app, user, id): parent for app, user, id, parent in connection.execute(_PARENTS).fetchall()}
    named = []
    for row_id, app, user, is_younger in connection.execute(_COPIES).fetchall():
        found = connection.execute(_SESSIONS_WITH_EVENT, (row_id,)).fetchall()
        if is_younger and len(found) == 1:
            continue
        origin, is_copy = found[0]
        seen = set()
        while is_copy and origin not in seen and (parent := parents.get((app, user, origin))) is not None:
            seen.add(origin)
            origin = parent
        named.append((origin, row_id, origin))
    connection.executemany("UPDATE events SET copied_from = ? WHERE row_id = ? AND session_id <> ?", named)


def _text_of(json: str, path: str) -> str:
    """Returns the expression for a value in JSON as text: a text as it is, anything else as it is written there.

    For two values `json_extract` writes a list, with a number as it stands; for a number alone it gives one of 64 bits.
    Nothing is inside a number, so the second value is null.
    """
    return f"""CASE
                 WHEN json_type({json}, '{path}') IN ('true', 'false', 'integer', 'real')
                 THEN replace(ltrim(json_extract({json}, '{path}', '{path}.none'), '['), ',null]', '')
                 ELSE json_extract({json}, '{path}')
               END"""


# Invalid JSON would make a whole view fail, so a damaged row is tested before it is read.
VIEWS: Final = {
    # Has each event once: events that are no copies, and the first copy of those whose original is not in the store any
    # more. CROSS JOIN makes SQLite look events up by id, and not among all events of the user.
    "counted_events": """
SELECT row_id, id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq,
       agent_id, branch, invocation_id, state, usage, tool_call_id, message_id, message, supersedes, copied_from
  FROM events
 WHERE copied_from IS NULL
    OR NOT EXISTS (SELECT 1
                     FROM events AS named
                    CROSS JOIN events AS same
                    WHERE named.id = events.id
                      AND same.row_id = named.row_id
                      AND same.app_name = events.app_name
                      AND same.user_id = events.user_id
                      AND same.created_at = events.created_at
                      AND (same.session_id = events.copied_from
                           OR (same.copied_from = events.copied_from AND same.row_id < events.row_id)))
""",
    # Has a row for each reply whose tokens are known.
    "tokens": """
SELECT app_name,
       user_id,
       session_id,
       seq,
       created_at,
       agent_id,
       id AS event_id,
       coalesce(json_extract(usage, '$.model'), '') AS model,
       coalesce(json_extract(usage, '$.input_tokens'), 0) AS input_tokens,
       coalesce(json_extract(usage, '$.output_tokens'), 0) AS output_tokens,
       coalesce(json_extract(usage, '$.cache_read_tokens'), 0) AS cache_read_tokens,
       coalesce(json_extract(usage, '$.cache_write_tokens'), 0) AS cache_write_tokens,
       coalesce(json_extract(usage, '$.reasoning_tokens'), 0) AS reasoning_tokens
  FROM counted_events
 WHERE usage IS NOT NULL
   AND json_valid(usage)
""",
    # Has a row for each call, at its position in the event. The result is the action's own (an event that was never a
    # message, or a tool that the provider ran) or the first later event of the tool with the call's id, unless another
    # event has used that id again in between; several calls of one event with one id have its results in their order.
    # A tool's event whose call was never stored is a row too.
    "tool_calls": f"""
SELECT calls.app_name,
       calls.user_id,
       calls.session_id,
       calls.seq,
       calls.created_at,
       calls.agent_id,
       calls.invocation_id,
       calls.event_id,
       calls.call_id,
       calls.name,
       calls.args,
       coalesce(calls.output, results.content) AS output,
       coalesce(calls.error, results.error) AS error,
       CASE
         WHEN coalesce(calls.error, results.error) IS NOT NULL THEN 'error'
         WHEN calls.output IS NOT NULL OR results.seq IS NOT NULL THEN 'ok'
         ELSE 'pending'
       END AS status,
       results.seq AS result_seq,
       coalesce(results.created_at, CASE WHEN calls.output IS NOT NULL THEN calls.created_at END) AS result_at,
       calls.position
  FROM (SELECT events.app_name, events.user_id, events.session_id, events.seq, events.created_at, events.agent_id,
               events.invocation_id, events.id AS event_id,
               coalesce(json_extract(action.value, '$.id'), '') AS call_id,
               json_extract(action.value, '$.name') AS name,
               coalesce(json_extract(action.value, '$.args'), '{{}}') AS args,
               {_text_of("action.value", "$.output")} AS output,
               json_extract(action.value, '$.error') AS error, action.key AS position,
               (SELECT count(*)
                  FROM json_each(events.actions) AS twin
                 WHERE twin.key <= action.key
                   AND CASE WHEN twin.type = 'object' THEN json_extract(twin.value, '$.id') END
                       = json_extract(action.value, '$.id')) AS place
          FROM counted_events AS events
          JOIN json_each(CASE WHEN json_valid(events.actions) THEN events.actions ELSE '[]' END) AS action
         WHERE events.actions <> '[]'
           AND events.author <> 'tool'
           AND action.type = 'object') AS calls
  LEFT JOIN (SELECT app_name, user_id, session_id, tool_call_id, seq, created_at, content,
                    CASE WHEN json_valid(actions) THEN json_extract(actions, '$[0].error') END AS error
               FROM events
              WHERE tool_call_id IS NOT NULL
                AND author = 'tool') AS results
    ON results.app_name = calls.app_name
   AND results.user_id = calls.user_id
   AND results.session_id = calls.session_id
   AND results.tool_call_id = calls.call_id
   AND results.seq = (SELECT next.seq
                        FROM (SELECT events.seq, row_number() OVER (ORDER BY +events.seq) AS place
                                FROM events
                               WHERE events.app_name = calls.app_name
                                 AND events.user_id = calls.user_id
                                 AND events.session_id = calls.session_id
                                 AND events.tool_call_id = calls.call_id
                                 AND events.author = 'tool'
                                 AND +events.seq > calls.seq) AS next
                       WHERE next.place = calls.place)
   AND calls.call_id <> ''
   AND NOT EXISTS (SELECT 1
                     FROM events AS again
                     JOIN json_each(CASE WHEN json_valid(again.actions) THEN again.actions ELSE '[]' END) AS action
                    WHERE again.app_name = calls.app_name
                      AND again.user_id = calls.user_id
                      AND again.session_id = calls.session_id
                      AND again.seq > calls.seq
                      AND again.seq < results.seq
                      AND again.author <> 'tool'
                      AND again.actions <> '[]'
                      AND CASE WHEN action.type = 'object' THEN json_extract(action.value, '$.id') END = calls.call_id)
 UNION ALL
SELECT events.app_name,
       events.user_id,
       events.session_id,
       events.seq,
       events.created_at,
       events.agent_id,
       events.invocation_id,
       events.id,
       coalesce(events.tool_call_id, ''),
       json_extract(events.actions, '$[0].name'),
       coalesce(json_extract(events.actions, '$[0].args'), '{{}}'),
       CASE WHEN events.content <> '' THEN events.content ELSE {_text_of("events.actions", "$[0].output")} END,
       json_extract(events.actions, '$[0].error'),
       CASE WHEN json_extract(events.actions, '$[0].error') IS NULL THEN 'ok' ELSE 'error' END,
       events.seq,
       events.created_at,
       0
  FROM counted_events AS events
 WHERE events.author = 'tool'
   AND events.actions <> '[]'
   AND json_valid(events.actions)
   AND (SELECT caller.seq
          FROM events AS caller
         CROSS JOIN json_each(CASE WHEN json_valid(caller.actions) THEN caller.actions ELSE '[]' END) AS action
         WHERE caller.app_name = events.app_name
           AND caller.user_id = events.user_id
           AND caller.session_id = events.session_id
           AND caller.seq < events.seq
           AND caller.author <> 'tool'
           AND caller.actions <> '[]'
           AND CASE WHEN action.type = 'object' THEN json_extract(action.value, '$.id') END = events.tool_call_id
         ORDER BY caller.seq DESC
         LIMIT 1) IS NULL
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
 GROUP BY app_name, user_id, day, model
""",
    "session_overview": """
SELECT sessions.app_name,
       sessions.user_id,
       sessions.id,
       sessions.agent_id,
       sessions.title,
       (SELECT first.content
          FROM events AS first
         WHERE first.app_name = sessions.app_name
           AND first.user_id = sessions.user_id
           AND first.session_id = sessions.id
           AND first.author = 'user'
         ORDER BY first.seq
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
    "transcript": """
SELECT app_name,
       user_id,
       session_id,
       seq,
       created_at,
       author,
       content,
       reasoning,
       (SELECT group_concat(CASE WHEN action.type = 'object' THEN json_extract(action.value, '$.name') END, ', ')
          FROM json_each(CASE WHEN json_valid(events.actions) THEN events.actions ELSE '[]' END) AS action) AS tools
  FROM events
 ORDER BY app_name, user_id, session_id, seq
""",
}


def find_results_by_their_calls(db: Database) -> None:
    """Replaces the view of tool calls by one that does not read a whole session for each call."""
    make_views(db)  # all of them: people see them in the order in which they were made


def know_changes_of_events(db: Database) -> None:
    """Adds to each session a number that is another one after every change of its events but an append.

    Triggers change it, so that it holds whoever changes the file: another release, or a person with a shell. Whoever
    keeps what was read of a session sees by it whether that still holds. The numbers are random: a session that is
    made again under an old name, or a file that is replaced by its backup, has none that was seen before.
    """
    db.table("sessions").add_column("revision", int, not_null_default=0)
    db.conn.execute("UPDATE sessions SET revision = random()")
    # sqlite-utils has no verb for triggers.
    for sql in TRIGGERS.values():
        db.conn.execute(sql)


# A changed event that now belongs to another session, or an inserted one, shows in the number of that one's events.
_CHANGED_SESSION: Final = """
       UPDATE sessions
          SET revision = random()
        WHERE app_name = old.app_name AND user_id = old.user_id AND id = old.session_id;
"""
TRIGGERS: Final = {
    "sessions_made": """
CREATE TRIGGER sessions_made AFTER INSERT ON sessions
 BEGIN UPDATE sessions SET revision = random() WHERE rowid = new.rowid;
   END
""",
    "events_changed": f"""
CREATE TRIGGER events_changed AFTER UPDATE ON events
 BEGIN {_CHANGED_SESSION}
   END
""",
    "events_deleted": f"""
CREATE TRIGGER events_deleted AFTER DELETE ON events
 BEGIN {_CHANGED_SESSION}
   END
""",
}


def index_titles(db: Database) -> None:
    """Creates the table of the words of titles in a file with a search index, and fills it."""
    if db.table("search_progress").exists():
        create_title_words(db)
        for *key, title in db.conn.execute(queries.TITLES).fetchall():
            rows = [{**SessionKey(*key).params(), "word": word} for word in title_words(title)]
            db.conn.executemany(statements.INSERT_TITLE_WORD, rows)


def number_the_calls_of_an_event(db: Database) -> None:
    """Adds the position of a call in its event to the view of tool calls, in which every output now is a text."""
    make_views(db)


STEPS: Final[tuple[Callable[[Database], None], ...]] = (
    create_sessions_events_and_state,
    create_views,
    add_summaries_and_fork_points,
    add_version_of_search_words,
    derive_the_calls_of_messages,
    know_copies,
    derive_the_usage_of_messages,
    find_results_by_their_calls,
    know_changes_of_events,
    index_titles,
    number_the_calls_of_an_event,
)
SCHEMA_VERSION: Final = len(STEPS)


def create_search_index(db: Database) -> None:
    """Creates the index of `sqlite.search_index`, and the row that says how far it has got.

    Not one of the steps: whether a file has an index is fixed when it is made. sqlite-utils can only index a table's
    own text. This index has words of our own (the ``ascii`` tokenizer takes them as they are) and no copy of the text;
    the column ``scope`` has weight 0 in a rank.
    """
    db.conn.execute(
        "CREATE VIRTUAL TABLE search_index USING fts5"
        " (content, reasoning, tools, scope, content = '', tokenize = 'ascii')"
    )
    db.conn.execute("INSERT INTO search_index (search_index, rank) VALUES ('rank', 'bm25(1.0, 1.0, 1.0, 0.0)')")
    db.table("search_progress").insert(
        {"id": 1, "indexed": 0, "words": WORDS_VERSION}, pk="id", not_null={"words"}, defaults={"words": 1}
    )
    create_title_words(db)


def create_title_words(db: Database) -> None:
    """Creates the table of the words of titles: a row for each word of each title.

    sqlite-utils can only create tables with row ids; one of these would hold each word twice, in its index as well.
    """
    db.conn.execute(
        "CREATE TABLE title_words (app_name TEXT NOT NULL, user_id TEXT NOT NULL, word TEXT NOT NULL,"
        " session_id TEXT NOT NULL, PRIMARY KEY (app_name, user_id, word, session_id)) WITHOUT ROWID"
    )


def migrate(connection: sqlite3.Connection, *, search: bool) -> None:
    """Applies the steps that the file has not seen; ``search`` says whether a new file gets a search index.

    It becomes part of the write transaction that the caller holds.
    """
    from sqlite_utils import Database, Migrations

    db = Database(connection, execute_plugins=False)
    is_new = not db.table("sessions").exists()
    migrations = Migrations(MIGRATION_SET)
    for step in STEPS:
        migrations()(step)
    with damaged_text_as_bytes(connection):
        migrations.apply(db)
    if is_new and search:
        create_search_index(db)
    # sqlite-utils has no verb for these two. They are part of the transaction, and are committed with the tables.
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@functools.cache
def parts(kind: str) -> dict[str, str]:
    """Returns the statement of each view, or index, that a store has, by its name; ``kind`` as SQLite names it."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, search=False)
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL", (kind,))
        return dict(found.fetchall())


def is_same(sql: str, other: str) -> bool:
    """Returns True if two statements create the same thing: releases of sqlite-utils quote names in their own ways."""
    return sql.translate(_WITHOUT_QUOTES).split() == other.translate(_WITHOUT_QUOTES).split()


_WITHOUT_QUOTES: Final = str.maketrans("", "", '[]"`')


HAS_FTS5: Final = "SELECT 1 FROM pragma_module_list WHERE name = 'fts5'"
HAS_SEARCH_INDEX: Final = "SELECT 1 FROM sqlite_master WHERE name = 'search_index'"
OPEN_VOCABULARY: Final = "CREATE VIRTUAL TABLE temp.search_vocabulary USING fts5vocab (main, search_index, col)"
TOUCH_SEARCH_INDEX: Final = "SELECT rowid FROM search_index LIMIT 0"
TOUCH_TABLE_FUNCTIONS: Final = (
    "SELECT 1 FROM json_each('[]')",
    "SELECT 1 FROM json_tree('[]')",
    "SELECT 1 FROM pragma_table_info('events') LIMIT 0",
    "SELECT 1 FROM pragma_index_list('events') LIMIT 0",
    "SELECT 1 FROM pragma_index_info('events_id') LIMIT 0",
    "SELECT 1 FROM pragma_foreign_key_list('events') LIMIT 0",
)
COUNT_TABLES: Final = "SELECT count(*) FROM sqlite_master"
# These read a row from each end of each table. Text is not decoded: a damaged row must not keep a file closed.
PROBES: Final = (
    # One SELECT of both max and min would read the whole table.
    "SELECT (SELECT max(row_id) FROM events), (SELECT min(row_id) FROM events)",
    "SELECT length(id), length(metadata) FROM sessions ORDER BY app_name DESC, user_id DESC, id DESC LIMIT 1",
    "SELECT length(content), length(message) FROM events ORDER BY row_id DESC LIMIT 1",
    "SELECT length(value) FROM state LIMIT 1",
)
