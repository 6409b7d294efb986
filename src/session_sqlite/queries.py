"""Every SQL statement that the service runs.

Portable SQL with ``:named`` parameters, which SQLite and the servers read alike. A statement that ends in WHERE
takes clauses; `joined` puts constant clauses together with AND. Values are always bound.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

Id = TypeVar("Id", str, int)


def joined(statement: str, clauses: Iterable[str], tail: str = "") -> str:
    """The statement, its clauses joined with AND, and what follows them (ORDER BY, LIMIT)."""
    condition = " AND ".join(clauses)
    return f"{statement} {f'WHERE {condition}' if condition else ''} {tail}"


def with_ids(statement: str, ids: Sequence[Id]) -> tuple[str, dict[str, Id]]:
    """A statement that takes a list of ids, with a name for each, and the parameters of those names."""
    params = {f"id_{index}": id for index, id in enumerate(ids)}
    return statement.format(", ".join(f":{name}" for name in params)), params


# ---------------------------------------------------------------- sessions

SESSIONS = """
SELECT id, app_name, user_id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id,
       parent_seq
  FROM sessions
"""
OF_APP = "app_name = :app_name"
OF_USER = "user_id = :user_id"
WITH_ID = "id = :session_id"
OF_AGENT = "agent_id = :agent_id"
UPDATED_AFTER = "updated_at > :updated_after"
UPDATED_BEFORE = "updated_at < :updated_before"
# Narrows to what may match; the service compares the values themselves. One pattern a key: metadata_0, metadata_1…
METADATA_LIKE = "metadata LIKE :metadata_{} ESCAPE '!'"

# The latest first. Within one app and user the index on (app_name, user_id, updated_at, id) gives this order.
LATEST_FIRST = "ORDER BY updated_at DESC, id DESC"
BEYOND = "(updated_at, id) < (:at_updated, :at_id)"
LATEST_FIRST_OF_ANY = "ORDER BY updated_at DESC, id DESC, app_name DESC, user_id DESC"
BEYOND_OF_ANY = "(updated_at, id, app_name, user_id) < (:at_updated, :at_id, :at_app, :at_user)"

SESSION = """
SELECT id, app_name, user_id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id,
       parent_seq
  FROM sessions
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""
SESSION_METADATA = """
SELECT metadata
  FROM sessions
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""
LAST_SEQ = """
SELECT last_seq
  FROM sessions
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""
INSERT_SESSION = """
INSERT INTO sessions
       (id, app_name, user_id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id, parent_seq,
        initial_state)
VALUES (:id, :app_name, :user_id, :agent_id, :title, :metadata, :created_at, :updated_at, :last_seq, :parent_id,
        :parent_seq, :initial_state)
"""
# updated_at never goes back, whatever the clock does.
TOUCH_SESSION = """
UPDATE sessions
   SET updated_at = CASE WHEN :now > updated_at THEN :now ELSE updated_at END
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""
ADVANCE_SESSION = """
UPDATE sessions
   SET last_seq = last_seq + :count,
       updated_at = CASE WHEN :now > updated_at THEN :now ELSE updated_at END
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""
SET_TITLE = """
UPDATE sessions
   SET title = :title
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""
SET_AGENT = """
UPDATE sessions
   SET agent_id = :agent_id
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""
SET_METADATA = """
UPDATE sessions
   SET metadata = :metadata
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""
# The events go with it, by their foreign key.
DELETE_SESSION = """
DELETE FROM sessions
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""

# ---------------------------------------------------------------- events

EVENTS = """
SELECT id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
       branch, invocation_id, state, usage, tool_call_id, message_id, message,
       supersedes, copied_from
  FROM events
"""
# What messages are made of. A stored message has its usage itself; of metadata that are damaged there are none.
EVENTS_AS_SAID = """
SELECT id, session_id, author, content, reasoning, actions, seq, state,
       CASE WHEN message IS NULL THEN usage END AS usage, message_id, message,
       CASE WHEN metadata = '{}' THEN '{}'
            WHEN json_valid(metadata) THEN CASE WHEN message IS NULL AND content = '' THEN metadata ELSE '{}' END
        END AS metadata
  FROM events
"""
OF_SESSION = "app_name = :app_name AND user_id = :user_id AND session_id = :session_id"
AFTER = "seq > :after"
BEFORE = "seq < :before"
BY_AUTHOR = "author = :author"
BY_AGENT = "agent_id = :agent_id"
IN_BRANCH = "branch = :branch"
IN_INVOCATION = "invocation_id = :invocation_id"
SINCE = "created_at >= :since"
UNTIL = "created_at < :until"
# Narrows to what may match; the service compares the tools' names themselves.
TOOL_LIKE = "actions LIKE :tool ESCAPE '!'"

NOT_A_SUMMARY = "supersedes IS NULL"
A_SUMMARY = "supersedes IS NOT NULL"

OLDEST_FIRST = "ORDER BY seq"
NEWEST_FIRST = "ORDER BY seq DESC"
LIMITED = " LIMIT :limit"

# Whoever reckons with a seq reads only those that number an event (see `codec.is_seq`): a damaged one may be a text.

# An event by its id. CROSS JOIN keeps SQLite from reading the whole session by the wider index on its order instead.
EVENT_BY_ID = """
SELECT events.id, events.session_id, events.author, events.content, events.reasoning, events.actions, events.metadata,
       events.created_at, events.app_name, events.user_id, events.seq, events.agent_id, events.branch,
       events.invocation_id, events.state, events.usage, events.tool_call_id, events.message_id, events.message,
       events.supersedes, events.copied_from
  FROM events AS named
 CROSS JOIN events
 WHERE named.id = :event_id
   AND events.row_id = named.row_id
   AND events.app_name = :app_name AND events.user_id = :user_id AND events.session_id = :session_id
"""
LAST_USER_SEQ_BEFORE = """
SELECT seq
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
   AND author = 'user' AND seq > 0 AND seq < :before
 ORDER BY seq DESC
 LIMIT 1
"""
LAST_SEQ_BEFORE_NOT_A_RESULT = """
SELECT seq
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
   AND author <> 'tool' AND seq > 0 AND seq < :before
 ORDER BY seq DESC
 LIMIT 1
"""
INSERT_EVENT = """
INSERT INTO events
       (id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
        branch, invocation_id, state, usage, tool_call_id, message_id, message, supersedes, copied_from)
VALUES (:id, :session_id, :author, :content, :reasoning, :actions, :metadata, :created_at, :app_name, :user_id, :seq,
        :agent_id, :branch, :invocation_id, :state, :usage, :tool_call_id, :message_id, :message,
        :supersedes, :copied_from)
"""
DELETE_ALL_EVENTS = """
DELETE FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
"""
DELETE_EVENTS = """
DELETE FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
   AND seq > :after AND seq <= :until_seq
"""

# Messages by their own ids. One name an id: id_0, id_1…; see `with_ids`.
MESSAGES = """
SELECT row_id,
       id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
       branch, invocation_id, state, usage, tool_call_id, message_id, message,
       supersedes, copied_from
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
   AND message_id IN ({})
"""
MESSAGE_SEQS = """
SELECT message_id, seq
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
   AND message_id IN ({})
"""
# Events whose message has no id, or that never were one: as messages they have the event's. CROSS JOIN as above.
EVENTS_WITHOUT_MESSAGE_ID = """
SELECT events.row_id,
       events.id, events.session_id, events.author, events.content, events.reasoning, events.actions, events.metadata,
       events.created_at, events.app_name, events.user_id, events.seq, events.agent_id, events.branch,
       events.invocation_id, events.state, events.usage, events.tool_call_id, events.message_id, events.message,
       events.supersedes, events.copied_from
  FROM events AS named
 CROSS JOIN events
 WHERE named.id IN ({})
   AND events.row_id = named.row_id
   AND events.app_name = :app_name AND events.user_id = :user_id AND events.session_id = :session_id
   AND events.message_id IS NULL
"""
SET_METADATA_OF_EVENT = """
UPDATE events
   SET metadata = :metadata
 WHERE row_id = :row_id AND app_name = :app_name AND user_id = :user_id AND session_id = :session_id
"""
SET_MESSAGE_ID = """
UPDATE events
   SET message_id = :message_id
 WHERE row_id = :row_id AND app_name = :app_name AND user_id = :user_id AND session_id = :session_id
"""
UPDATE_MESSAGE = """
UPDATE events
   SET author = :author,
       content = :content,
       reasoning = :reasoning,
       actions = :actions,
       usage = :usage,
       tool_call_id = :tool_call_id,
       message = :message
 WHERE row_id = :row_id AND app_name = :app_name AND user_id = :user_id AND session_id = :session_id
"""

# ---------------------------------------------------------------- state

# What a session sees: the app's rows (of no user), the user's (of no session) and its own. One row without a key
# says that the session exists and has no state; no row at all that there is no such session.
STATE = """
SELECT state.key, state.value
  FROM sessions
  LEFT JOIN state
    ON state.app_name = sessions.app_name
   AND state.user_id IN ('', sessions.user_id)
   AND state.session_id IN ('', sessions.id)
   AND (state.session_id = '') = (substr(state.key, 1, 4) = 'app:' OR substr(state.key, 1, 5) = 'user:')
   AND (state.user_id = '') = (substr(state.key, 1, 4) = 'app:')
 WHERE sessions.app_name = :app_name AND sessions.user_id = :user_id AND sessions.id = :session_id
 ORDER BY state.key
"""
STATE_VALUE = """
SELECT state.key, state.value
  FROM sessions
  LEFT JOIN state
    ON state.app_name = sessions.app_name
   AND state.user_id = :owner_user
   AND state.session_id = :owner_session
   AND state.key = :key
 WHERE sessions.app_name = :app_name AND sessions.user_id = :user_id AND sessions.id = :session_id
"""
INSERT_STATE = """
INSERT INTO state (app_name, user_id, session_id, key, value, updated_at)
VALUES (:app_name, :user_id, :session_id, :key, :value, :updated_at)
"""
DELETE_STATE_VALUE = """
DELETE FROM state
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id AND key = :key
"""
DELETE_STATE_OF_SESSION = """
DELETE FROM state
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
"""

# ---------------------------------------------------------------- search

# Events with the sessions they are in. `row_id` is the order of appending in the whole store.
EVENTS_WITH_SESSIONS = """
SELECT events.row_id,
       events.id, events.session_id, events.author, events.content, events.reasoning, events.actions, events.metadata,
       events.created_at, events.app_name, events.user_id, events.seq, events.agent_id, events.branch,
       events.invocation_id, events.state, events.usage, events.tool_call_id, events.message_id, events.message,
       events.supersedes, events.copied_from,
       sessions.id, sessions.app_name, sessions.user_id, sessions.agent_id, sessions.title, sessions.metadata,
       sessions.created_at, sessions.updated_at, sessions.last_seq, sessions.parent_id,
       sessions.parent_seq
  FROM events
  JOIN sessions
    ON sessions.app_name = events.app_name AND sessions.user_id = events.user_id AND sessions.id = events.session_id
"""
EVENT_OF_APP = "events.app_name = :app_name"
EVENT_OF_USER = "events.user_id = :user_id"
EVENT_IN_SESSION = "events.session_id = :session_id"
EVENT_BY_AUTHOR = "events.author = :author"
EVENT_SINCE = "events.created_at >= :since"
EVENT_UNTIL = "events.created_at < :until"
EVENT_ROWS = "SELECT events.row_id FROM events"
ROW_AFTER = "events.row_id > :after_row"
ROW_UP_TO = "events.row_id <= :until_row"
NEWEST_ROW = "SELECT coalesce(max(row_id), 0) FROM events"
ROWS = "events.row_id IN ({})"
NEWEST_ROWS_FIRST = "ORDER BY events.row_id DESC"

# What is searched of a session's events, before any of them is read whole.
SEARCHED_TEXTS = """
SELECT events.seq, events.row_id, events.content, events.reasoning, events.actions
  FROM events
"""
EVENT_BEFORE = "events.seq < :before_seq"
LAST_EVENTS_FIRST = "ORDER BY events.seq DESC LIMIT :limit"

# SQLite's FTS5 only. Orders and limits inside, so that the rows of events are read for the hits alone. The S608
# exceptions: what is put together are the constants here.
_HIT_COLUMNS = """
SELECT events.row_id,
       events.id, events.session_id, events.author, events.content, events.reasoning, events.actions, events.metadata,
       events.created_at, events.app_name, events.user_id, events.seq, events.agent_id, events.branch,
       events.invocation_id, events.state, events.usage, events.tool_call_id, events.message_id, events.message,
       events.supersedes, events.copied_from,
       sessions.id, sessions.app_name, sessions.user_id, sessions.agent_id, sessions.title, sessions.metadata,
       sessions.created_at, sessions.updated_at, sessions.last_seq, sessions.parent_id,
       sessions.parent_seq,
       hits.rank
"""
_HIT_JOINS = """
  JOIN events
    ON events.row_id = hits.row_id
  JOIN sessions
    ON sessions.app_name = events.app_name AND sessions.user_id = events.user_id AND sessions.id = events.session_id
"""
HITS_BY_RANK = f"""
{_HIT_COLUMNS}
  FROM (SELECT rowid AS row_id, rank
          FROM search_index
         WHERE search_index MATCH :match AND rowid <= :until_row
         ORDER BY rank
         LIMIT :limit_with_seen) AS hits
{_HIT_JOINS}
"""  # noqa: S608
# Without a rank: bm25 first counts every phrase in the whole index, also for a search in one session.
HITS_NEWEST_FIRST = f"""
{_HIT_COLUMNS}
  FROM (SELECT rowid AS row_id, NULL AS rank
          FROM search_index
         WHERE search_index MATCH :match AND rowid <= :until_row
         ORDER BY rowid DESC
         LIMIT :limit_with_seen) AS hits
{_HIT_JOINS}
"""  # noqa: S608
# With conditions on the events themselves every match has to be looked at.
ALL_HITS = f"""
{_HIT_COLUMNS}
  FROM (SELECT rowid AS row_id, rank
          FROM search_index
         WHERE search_index MATCH :match AND rowid <= :until_row) AS hits
{_HIT_JOINS}
"""  # noqa: S608
ALL_HITS_UNRANKED = f"""
{_HIT_COLUMNS}
  FROM (SELECT rowid AS row_id, NULL AS rank
          FROM search_index
         WHERE search_index MATCH :match AND rowid <= :until_row) AS hits
{_HIT_JOINS}
"""  # noqa: S608
UNSEEN = "hits.row_id NOT IN (SELECT value FROM json_each(:seen))"
BY_RANK = "ORDER BY hits.rank, hits.row_id LIMIT :limit"
BY_ROW = "ORDER BY hits.row_id DESC LIMIT :limit"
# Four ranges of an index, whatever the number of sessions.
HAS_OTHERS = """
SELECT EXISTS (SELECT 1 FROM sessions WHERE app_name < :app_name)
    OR EXISTS (SELECT 1 FROM sessions WHERE app_name > :app_name)
    OR EXISTS (SELECT 1 FROM sessions WHERE app_name = :app_name AND user_id < :user_id)
    OR EXISTS (SELECT 1 FROM sessions WHERE app_name = :app_name AND user_id > :user_id)
"""

# The index is fed in the order of `row_id`, and has everything up to this one; nothing if its words are of another
# version.
INDEXED = """
SELECT CASE WHEN words = :words THEN indexed ELSE 0 END, (SELECT max(row_id) FROM events), words = :words
  FROM search_progress
 LIMIT 1
"""
SET_INDEXED = """
UPDATE search_progress
   SET indexed = :indexed,
       words = :words
"""
FORGET_INDEXED = "DELETE FROM search_progress"
BEGIN_INDEXED = "INSERT INTO search_progress (id, indexed, words) VALUES (1, 0, :words)"
# SQLite gives the highest row_id again when its row is gone.
LOWER_INDEXED = """
UPDATE search_progress
   SET indexed = (SELECT coalesce(max(row_id), 0) FROM events)
 WHERE indexed > (SELECT coalesce(max(row_id), 0) FROM events)
"""
EVENTS_TO_INDEX = """
SELECT row_id,
       id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
       branch, invocation_id, state, usage, tool_call_id, message_id, message,
       supersedes, copied_from
  FROM events
 WHERE row_id > :after_row
 ORDER BY row_id
 LIMIT :limit
"""
INDEXED_EVENTS_OF_SESSION = """
SELECT row_id,
       id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
       branch, invocation_id, state, usage, tool_call_id, message_id, message,
       supersedes, copied_from
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id AND seq > :after
   AND seq <= :until_seq
   AND row_id <= (SELECT indexed FROM search_progress)
"""
INDEX_EVENT = """
INSERT INTO search_index (rowid, content, reasoning, tools, scope)
VALUES (:row_id, :content, :reasoning, :tools, :scope)
"""
# A contentless index takes words out if it is given the very words that were put in.
UNINDEX_EVENT = """
INSERT INTO search_index (search_index, rowid, content, reasoning, tools, scope)
VALUES ('delete', :row_id, :content, :reasoning, :tools, :scope)
"""
EMPTY_INDEX = "INSERT INTO search_index (search_index) VALUES ('delete-all')"

NOTHING = "SELECT 1"

# ---------------------------------------------------------------- over the views

OVERVIEWS = """
SELECT id, app_name, user_id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id,
       parent_seq,
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
       (SELECT latest.metadata
          FROM events AS latest
         WHERE latest.app_name = sessions.app_name
           AND latest.user_id = sessions.user_id
           AND latest.session_id = sessions.id
         ORDER BY latest.seq DESC
         LIMIT 1) AS latest_metadata
  FROM sessions
"""
TOOL_CALLS = """
SELECT app_name, user_id, session_id, seq, created_at, agent_id, invocation_id, event_id, call_id, name, args, output,
       error, status, result_seq, result_at
  FROM tool_calls
"""
TOOL_NAME = "name = :name"
TOOL_STATUS = "status = :status"
TOOL_CALLS_IN_ORDER = "ORDER BY created_at, app_name, user_id, session_id, seq"
TOOL_CALLS_NEWEST_FIRST = "ORDER BY created_at DESC, app_name DESC, user_id DESC, session_id DESC, seq DESC"

# The groups that usage can be counted by; the name is the column of the answer.
USAGE_GROUPS = {
    "day": "substr(created_at, 1, 10) AS day",
    "month": "substr(created_at, 1, 7) AS month",
    "model": "model",
    "app_name": "app_name",
    "user_id": "user_id",
    "session_id": "session_id",
    "agent_id": "agent_id",
}
USAGE_SUMS = """
       count(*) AS replies,
       coalesce(sum(input_tokens), 0) AS input_tokens,
       coalesce(sum(output_tokens), 0) AS output_tokens,
       coalesce(sum(cache_read_tokens), 0) AS cache_read_tokens,
       coalesce(sum(cache_write_tokens), 0) AS cache_write_tokens,
       coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens
  FROM tokens
"""


def usage_by(groups: Sequence[str], clauses: Iterable[str]) -> str:
    """Sums of tokens for each of the groups, which are names of `USAGE_GROUPS`; of everything if there are none."""
    columns = ", ".join(USAGE_GROUPS[group] for group in groups)
    names = ", ".join(groups)
    tail = f"GROUP BY {names} ORDER BY {names}" if groups else ""
    return joined(f"SELECT {f'{columns},' if columns else ''} {USAGE_SUMS}", clauses, tail)


LAST_SEQS = """
SELECT app_name, user_id, id, last_seq
  FROM sessions
"""
# The groups that events can be counted by; the name is the column of the answer.
ACTIVITY_GROUPS = {
    "day": "substr(created_at, 1, 10) AS day",
    "month": "substr(created_at, 1, 7) AS month",
    "author": "author",
    "app_name": "app_name",
    "user_id": "user_id",
    "session_id": "session_id",
    "agent_id": "agent_id",
}
# The events of each session in each group, then of each group.
EVENTS_IN_SESSIONS = "count(*) AS events FROM counted_events"


def activity_by(groups: Sequence[str], clauses: Iterable[str]) -> str:
    """Counts of events for each of the groups, which are names of `ACTIVITY_GROUPS`; of all if there are none."""
    columns = "".join(f"{ACTIVITY_GROUPS[group]}, " for group in groups)
    names = ", ".join(groups)
    keys = ", ".join(dict.fromkeys((*groups, "app_name", "user_id", "session_id")))
    inside = joined(f"SELECT {columns}{EVENTS_IN_SESSIONS}", clauses, f"GROUP BY {keys}")
    tail = f"GROUP BY {names} ORDER BY {names}" if groups else ""
    listed = f"{names}, " if names else ""
    return f"SELECT {listed}coalesce(sum(events), 0), count(*) FROM ({inside}) AS counted {tail}"  # noqa: S608


# The event before each is found in its whole session, and only then is chosen.
REPLY_TIMES = """
SELECT app_name, user_id, session_id, seq, author, agent_id, asked_at, created_at
  FROM (SELECT row_id, app_name, user_id, session_id, seq, author, agent_id, created_at,
               lag(author) OVER turns AS asked_by,
               lag(created_at) OVER turns AS asked_at
          FROM events
        WINDOW turns AS (PARTITION BY app_name, user_id, session_id ORDER BY seq)) AS replies
"""
IS_A_REPLY = "asked_by = 'user' AND author NOT IN ('user', 'system', 'tool')"
COUNTS = "EXISTS (SELECT 1 FROM counted_events WHERE counted_events.row_id = replies.row_id)"
REPLIES_IN_ORDER = "ORDER BY created_at, app_name, user_id, session_id, seq"

COUNT_SESSIONS = """
SELECT count(*), count(DISTINCT app_name), count(DISTINCT app_name || char(0) || user_id)
  FROM sessions
"""
COUNT_EVENTS = """
SELECT author, count(*), min(created_at), max(created_at)
  FROM counted_events
"""
BY_AUTHORS = "GROUP BY author ORDER BY count(*) DESC, author"
COUNT_TOOL_CALLS = """
SELECT name,
       count(*),
       sum(CASE WHEN status = 'error' THEN 1 ELSE 0 END),
       sum(CASE WHEN status = 'pending' THEN 1 ELSE 0 END)
  FROM tool_calls
"""
BY_TOOLS = "GROUP BY name ORDER BY count(*) DESC, name"

# ---------------------------------------------------------------- life cycle

EVENT_AT_SEQ = """
SELECT id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
       branch, invocation_id, state, usage, tool_call_id, message_id, message,
       supersedes, copied_from
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id AND seq = :seq
"""
SESSION_WITH_STATE = """
SELECT agent_id, title, metadata, initial_state
  FROM sessions
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""
OWN_STATE = """
SELECT key, value
  FROM state
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
"""
STATE_CHANGES = """
SELECT seq, state
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
   AND seq BETWEEN 1 AND 4611686018427387904 AND state <> '{}'
 ORDER BY seq
"""
USER_SEQS_NEWEST_FIRST = """
SELECT seq
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
   AND seq BETWEEN 1 AND 4611686018427387904 AND author = 'user'
 ORDER BY seq DESC
 LIMIT :limit
"""
EVENTS_WITH_TOOLS = """
SELECT seq, id, author, actions
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
   AND seq BETWEEN 1 AND 4611686018427387904 AND actions <> '[]'
 ORDER BY seq
"""
COUNT_LONELY_SUMMARIES = """
SELECT count(*)
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id AND seq <= :until_seq
   AND supersedes IS NOT NULL
   AND NOT EXISTS (SELECT 1
                     FROM events AS earlier
                    WHERE earlier.app_name = events.app_name
                      AND earlier.user_id = events.user_id
                      AND earlier.session_id = events.session_id
                      AND earlier.seq <= events.supersedes)
"""
# Numbered anew: the order of a session has no gaps. A copy of a copy names the session where the event was first said;
# one that comes back there is no copy.
COPY_EVENTS = """
INSERT INTO events
       (id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
        branch, invocation_id, state, usage, tool_call_id, message_id, message, supersedes, copied_from)
SELECT id, :new_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id,
       row_number() OVER (ORDER BY seq) + :first, agent_id, branch, invocation_id, state, usage, tool_call_id,
       message_id, message,
       CASE WHEN supersedes IS NOT NULL
            THEN (SELECT count(*)
                    FROM events AS earlier
                   WHERE earlier.app_name = events.app_name
                     AND earlier.user_id = events.user_id
                     AND earlier.session_id = events.session_id
                     AND earlier.seq <= events.supersedes) + :first
       END,
       CASE WHEN copied_from IS NULL THEN session_id
            WHEN copied_from <> :new_id THEN copied_from
       END
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id AND seq <= :until_seq
"""
COUNT_EVENTS_UNTIL = """
SELECT count(*)
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id AND seq <= :until_seq
"""
SET_INITIAL_STATE = """
UPDATE sessions
   SET initial_state = :state
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""

# ---------------------------------------------------------------- transfer

SESSION_KEYS_IN_ORDER = "ORDER BY app_name, user_id, id LIMIT :limit"
KEYS_BEYOND = "(app_name, user_id, id) > (:at_app, :at_user, :at_id)"
# A session with the state it sees, as of one moment: a row for each key (at least one row), whose it is beside it.
SESSION_WITH_ALL_STATE = """
SELECT sessions.id, sessions.app_name, sessions.user_id, sessions.agent_id, sessions.title, sessions.metadata,
       sessions.created_at, sessions.updated_at, sessions.last_seq, sessions.parent_id, sessions.parent_seq,
       sessions.initial_state,
       state.key, state.value
  FROM sessions
  LEFT JOIN state
    ON state.app_name = sessions.app_name
   AND state.user_id IN ('', sessions.user_id)
   AND state.session_id IN ('', sessions.id)
   AND (state.session_id = '') = (substr(state.key, 1, 4) = 'app:' OR substr(state.key, 1, 5) = 'user:')
   AND (state.user_id = '') = (substr(state.key, 1, 4) = 'app:')
 WHERE sessions.app_name = :app_name AND sessions.user_id = :user_id AND sessions.id = :session_id
 ORDER BY state.key
"""
UP_TO = "seq <= :until_seq"
COUNT_ALL_EVENTS = """
SELECT count(*)
  FROM events
"""
# One name an id: id_0, id_1…; see `with_ids`. CROSS JOIN as above.
IDS_OF_EVENTS = """
SELECT events.id
  FROM events AS named
 CROSS JOIN events
 WHERE named.id IN ({})
   AND events.row_id = named.row_id
   AND events.app_name = :app_name AND events.user_id = :user_id AND events.session_id = :session_id
"""
SEQS_BETWEEN = """
SELECT seq
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
   AND seq >= :first_seq AND seq <= :until_seq
"""
ADVANCE_SESSION_TO = """
UPDATE sessions
   SET last_seq = CASE WHEN :last_seq > last_seq THEN :last_seq ELSE last_seq END,
       updated_at = CASE WHEN :now > updated_at THEN :now ELSE updated_at END
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""

# ---------------------------------------------------------------- retention

SESSION_KEYS = """
SELECT app_name, user_id, id
  FROM sessions
"""
SESSION_AGE = """
SELECT updated_at
  FROM sessions
 WHERE app_name = :app_name AND user_id = :user_id AND id = :session_id
"""
HIGHEST_SEQ = """
SELECT max(seq)
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
   AND seq BETWEEN 1 AND 4611686018427387904
"""
LAST_PLACE = """
SELECT max(seq)
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
"""
FIRST_SEQ_SINCE = """
SELECT min(seq)
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
   AND seq BETWEEN 1 AND 4611686018427387904 AND created_at >= :since
"""
FORKS = """
SELECT id
  FROM sessions
 WHERE app_name = :app_name AND user_id = :user_id AND parent_id = :session_id
"""
# The same events under another session: copies, in a fork or in what it was forked from.
SESSIONS_WITH_SAME_EVENTS = """
SELECT DISTINCT other.session_id
  FROM events AS mine
 CROSS JOIN events AS other
 WHERE mine.app_name = :app_name AND mine.user_id = :user_id AND mine.session_id = :session_id
   AND other.id = mine.id
   AND other.created_at = mine.created_at
   AND other.app_name = mine.app_name
   AND other.user_id = mine.user_id
   AND other.session_id <> mine.session_id
"""
DELETE_STATE = """
DELETE FROM state
"""
STATE_ROWS = """
SELECT app_name, user_id, key, value
  FROM state
"""
OF_USER_OR_APP = "user_id IN ('', :user_id)"
SHARED = "session_id = ''"
EVENTS_WITH_ROW_ID = """
SELECT row_id,
       id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
       branch, invocation_id, state, usage, tool_call_id, message_id, message,
       supersedes, copied_from
  FROM events
"""
EVENT_OF_ROW = """
SELECT row_id,
       id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
       branch, invocation_id, state, usage, tool_call_id, message_id, message,
       supersedes, copied_from
  FROM events
 WHERE row_id = :row_id AND app_name = :app_name AND user_id = :user_id AND session_id = :session_id
"""
UPDATE_EVENT_TEXT = """
UPDATE events
   SET content = :content,
       reasoning = :reasoning,
       actions = :actions,
       metadata = :metadata,
       state = :state,
       message = :message
 WHERE row_id = :row_id AND app_name = :app_name AND user_id = :user_id AND session_id = :session_id
"""

# ---------------------------------------------------------------- maintenance of a SQLite file

OPTIMIZE_INDEX = "INSERT INTO search_index (search_index) VALUES ('optimize')"
EVENTS_UP_TO = """
SELECT row_id,
       id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
       branch, invocation_id, state, usage, tool_call_id, message_id, message,
       supersedes, copied_from
  FROM events
 WHERE row_id <= :until_row
"""
COUNT_NOT_INDEXED = """
SELECT count(*)
  FROM events
 WHERE row_id > :indexed
"""
VOCABULARY = """
SELECT term, col, cnt
  FROM temp.search_vocabulary
"""
# The S608 exceptions: what is put together are the constants here.
_HIGHEST_PLACE = """
(SELECT coalesce(max(seq), 0)
                     FROM events
                    WHERE events.app_name = sessions.app_name
                      AND events.user_id = sessions.user_id
                      AND events.session_id = sessions.id
                      AND typeof(events.seq) = 'integer'
                      AND events.seq BETWEEN 1 AND 4611686018427387904)
"""
_HAS_A_WRONG_LAST_SEQ = f"""
 WHERE typeof(last_seq) <> 'integer'
    OR last_seq >= 4611686018427387904
    OR last_seq < {_HIGHEST_PLACE}
"""
COUNT_WRONG_LAST_SEQS = f"SELECT count(*) FROM sessions {_HAS_A_WRONG_LAST_SEQ}"  # noqa: S608
CORRECT_LAST_SEQ = f"UPDATE sessions SET last_seq = {_HIGHEST_PLACE} {_HAS_A_WRONG_LAST_SEQ}"  # noqa: S608
# State of no session, or with another owner than its key says (see `codec.state_owner`): no verb reaches it.
_IS_STRAY = """
 WHERE (session_id <> ''
        AND NOT EXISTS (SELECT 1
                          FROM sessions
                         WHERE sessions.app_name = state.app_name
                           AND sessions.user_id = state.user_id
                           AND sessions.id = state.session_id))
    OR (session_id = '') <> (substr(key, 1, 4) = 'app:' OR substr(key, 1, 5) = 'user:')
    OR (user_id = '') <> (substr(key, 1, 4) = 'app:')
"""
COUNT_STRAY_STATE = f"SELECT count(*) FROM state {_IS_STRAY}"  # noqa: S608
DELETE_STRAY_STATE = f"DELETE FROM state {_IS_STRAY}"  # noqa: S608
SESSIONS_TO_CHECK = """
SELECT id, app_name, user_id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id, parent_seq,
       initial_state
  FROM sessions
"""
STATE_TO_CHECK = "SELECT key, value FROM state"
