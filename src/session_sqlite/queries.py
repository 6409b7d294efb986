"""Every SQL statement that the operations run, as it stands, on every backend.

Portable SQL with ``:named`` parameters. A SELECT or DELETE without WHERE takes the conditions of a `Where`. JSON is
taken apart in views alone, which each backend defines in its own dialect: `tool_calls`, `tokens`, `counted_events`.
Names that a server reserves (``key``, ``usage``) are quoted. Statements are composed of constants; values are
always bound.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from session_sqlite import codec
from session_sqlite.codec import MAX_SEQ
from session_sqlite.where import Where

LONGEST_PLACE: Final = 2_000  # characters of a text that say how long it is
RESERVED: Final = frozenset({"key", "usage"})


def columns(names: Iterable[str], table: str = "") -> str:
    """Returns names of columns as a list, of a table if it is named."""
    prefix = f"{table}." if table else ""
    return ", ".join(f'{prefix}"{name}"' if name in RESERVED else f"{prefix}{name}" for name in names)


EVENT_ROW: Final = columns(codec.EVENT_COLUMNS)
EVENT_ROW_OF_EVENTS: Final = columns(codec.EVENT_COLUMNS, "events")
SESSION_ROW: Final = columns(codec.SESSION_COLUMNS)
SESSION_ROW_OF_SESSIONS: Final = columns(codec.SESSION_COLUMNS, "sessions")

# The key conditions of a session's row, and of the rows that belong to a session.
IS_SESSION: Final = "app_name = :app_name AND user_id = :user_id AND id = :session_id"
OF_SESSION: Final = "app_name = :app_name AND user_id = :user_id AND session_id = :session_id"

PING: Final = "SELECT 1"

# ---------------------------------------------------------------- sessions

SESSIONS = f"""
SELECT {SESSION_ROW}
  FROM sessions
"""
OF_APP = "app_name = :app_name"
OF_USER = "user_id = :user_id"
WITH_ID = "id = :session_id"
OF_AGENT = "agent_id = :agent_id"
UPDATED_AFTER = "updated_at > :updated_after"
ID_BEGINS = "substr(id, 1, :prefix_length) = :id_prefix"
UPDATED_BEFORE = "updated_at < :updated_before"
# Finds rows that may match; the service compares the values. Each key has a pattern: metadata_0, metadata_1…
METADATA_LIKE = "metadata LIKE :metadata_{} ESCAPE '!'"

# The latest first. Within one app and user the index on (app_name, user_id, updated_at, id) gives this order.
LATEST_FIRST = "ORDER BY updated_at DESC, id DESC"
BEYOND = "(updated_at, id) < (:at_updated, :at_id)"
LATEST_FIRST_OF_ANY = "ORDER BY updated_at DESC, id DESC, app_name DESC, user_id DESC"
BEYOND_OF_ANY = "(updated_at, id, app_name, user_id) < (:at_updated, :at_id, :at_app, :at_user)"

SESSION = f"""
SELECT {SESSION_ROW}
  FROM sessions
 WHERE {IS_SESSION}
"""
SESSION_METADATA = f"""
SELECT metadata
  FROM sessions
 WHERE {IS_SESSION}
"""
LAST_SEQ = f"""
SELECT last_seq
  FROM sessions
 WHERE {IS_SESSION}
"""
TITLE = f"""
SELECT title
  FROM sessions
 WHERE {IS_SESSION}
"""
INSERT_SESSION = f"""
INSERT INTO sessions ({SESSION_ROW}, initial_state)
VALUES ({", ".join(f":{name}" for name in codec.SESSION_COLUMNS)}, :initial_state)
"""
# The clock may be set back; updated_at must not follow it.
TOUCH_SESSION = f"""
UPDATE sessions
   SET updated_at = CASE WHEN :now > updated_at THEN :now ELSE updated_at END
 WHERE {IS_SESSION}
"""
ADVANCE_SESSION = f"""
UPDATE sessions
   SET last_seq = last_seq + :count,
       updated_at = CASE WHEN :now > updated_at THEN :now ELSE updated_at END
 WHERE {IS_SESSION}
"""
SET_TITLE = f"""
UPDATE sessions
   SET title = :title
 WHERE {IS_SESSION}
"""
SET_AGENT = f"""
UPDATE sessions
   SET agent_id = :agent_id
 WHERE {IS_SESSION}
"""
SET_METADATA = f"""
UPDATE sessions
   SET metadata = :metadata
 WHERE {IS_SESSION}
"""
# The foreign key of events deletes them with their session.
DELETE_SESSION = f"""
DELETE FROM sessions
 WHERE {IS_SESSION}
"""

# ---------------------------------------------------------------- events

EVENTS = f"""
SELECT {EVENT_ROW}
  FROM events
"""
# The columns that messages are made of. A stored message includes its usage, so the column is read for others only.
MESSAGE_ROW_OF_EVENTS: Final = """events.id, events.session_id, events.author, events.content, events.reasoning,
       events.actions, events.seq, events.state, CASE WHEN events.message IS NULL THEN events."usage" END,
       events.message_id, events.message, events.metadata"""
EVENTS_FOR_MESSAGES = f"""
SELECT {MESSAGE_ROW_OF_EVENTS}
  FROM events
"""
AFTER = "seq > :after"
BEFORE = "seq < :before"
BY_AUTHOR = "author = :author"
BY_AGENT = "agent_id = :agent_id"
IN_BRANCH = "branch = :branch"
IN_INVOCATION = "invocation_id = :invocation_id"
SINCE = "created_at >= :since"
UNTIL = "created_at < :until"
# Finds rows that may match; the service compares the names of the tools.
TOOL_LIKE = "actions LIKE :tool ESCAPE '!'"

NOT_A_SUMMARY = "supersedes IS NULL"
A_SUMMARY = "supersedes IS NOT NULL"

OLDEST_FIRST = "ORDER BY seq"
NEWEST_FIRST = "ORDER BY seq DESC"
LIMITED = " LIMIT :limit"

# Statements that compute with a seq take only those that `codec.is_seq` allows: a damaged row may hold a text.

# Finds an event by its id. CROSS JOIN makes SQLite use the index on ids; otherwise it reads the whole session by the
# index on its order.
EVENT_BY_ID = f"""
SELECT {EVENT_ROW_OF_EVENTS}
  FROM events AS named
 CROSS JOIN events
 WHERE named.id = :event_id
   AND events.row_id = named.row_id
   AND events.app_name = :app_name AND events.user_id = :user_id AND events.session_id = :session_id
"""
LAST_USER_SEQ_BEFORE = f"""
SELECT seq
  FROM events
 WHERE {OF_SESSION}
   AND author = 'user' AND seq > 0 AND seq < :before
 ORDER BY seq DESC
 LIMIT 1
"""
LAST_SEQ_BEFORE_NOT_A_RESULT = f"""
SELECT seq
  FROM events
 WHERE {OF_SESSION}
   AND author <> 'tool' AND seq > 0 AND seq < :before
 ORDER BY seq DESC
 LIMIT 1
"""
INSERT_EVENT = f"""
INSERT INTO events ({EVENT_ROW})
VALUES ({", ".join(f":{name}" for name in codec.EVENT_COLUMNS)})
"""
DELETE_ALL_EVENTS = f"""
DELETE FROM events
 WHERE {OF_SESSION}
"""
DELETE_EVENTS = f"""
DELETE FROM events
 WHERE {OF_SESSION}
   AND seq > :after AND seq <= :until_seq
"""

# Finds messages by their own ids. Each id has a parameter: id_0, id_1…; see `with_ids`.
MESSAGES = f"""
SELECT row_id, {EVENT_ROW}
  FROM events
 WHERE {OF_SESSION}
   AND message_id IN ({{}})
"""
MESSAGE_SEQS = f"""
SELECT message_id, seq
  FROM events
 WHERE {OF_SESSION}
   AND message_id IN ({{}})
"""
# Finds the events that are shown as messages under their event ids, since their message has no id or they never were a
# message. CROSS JOIN as in `EVENT_BY_ID`.
EVENTS_WITHOUT_MESSAGE_ID = f"""
SELECT events.row_id, {EVENT_ROW_OF_EVENTS}
  FROM events AS named
 CROSS JOIN events
 WHERE named.id IN ({{}})
   AND events.row_id = named.row_id
   AND events.app_name = :app_name AND events.user_id = :user_id AND events.session_id = :session_id
   AND events.message_id IS NULL
"""
SET_METADATA_OF_EVENT = f"""
UPDATE events
   SET metadata = :metadata
 WHERE row_id = :row_id AND {OF_SESSION}
"""
SET_MESSAGE_ID = f"""
UPDATE events
   SET message_id = :message_id
 WHERE row_id = :row_id AND {OF_SESSION}
"""
UPDATE_MESSAGE = f"""
UPDATE events
   SET author = :author,
       content = :content,
       reasoning = :reasoning,
       actions = :actions,
       "usage" = :usage,
       tool_call_id = :tool_call_id,
       message = :message
 WHERE row_id = :row_id AND {OF_SESSION}
"""

# ---------------------------------------------------------------- state

# Returns the state that a session sees: the app's rows (of no user), the user's (of no session) and its own. One row
# without a key means that the session exists and has no state; no row at all means that there is no such session.
STATE = """
SELECT state."key", state.value
  FROM sessions
  LEFT JOIN state
    ON state.app_name = sessions.app_name
   AND state.user_id IN ('', sessions.user_id)
   AND state.session_id IN ('', sessions.id)
   AND (state.session_id = '') = (substr(state."key", 1, 4) = 'app:' OR substr(state."key", 1, 5) = 'user:')
   AND (state.user_id = '') = (substr(state."key", 1, 4) = 'app:')
 WHERE sessions.app_name = :app_name AND sessions.user_id = :user_id AND sessions.id = :session_id
 ORDER BY state."key"
"""
STATE_VALUE = """
SELECT state."key", state.value
  FROM sessions
  LEFT JOIN state
    ON state.app_name = sessions.app_name
   AND state.user_id = :owner_user
   AND state.session_id = :owner_session
   AND state."key" = :key
 WHERE sessions.app_name = :app_name AND sessions.user_id = :user_id AND sessions.id = :session_id
"""
INSERT_STATE = """
INSERT INTO state (app_name, user_id, session_id, "key", value, updated_at)
VALUES (:app_name, :user_id, :session_id, :key, :value, :updated_at)
"""
UPDATE_STATE = f"""
UPDATE state
   SET value = :value,
       updated_at = :updated_at
 WHERE {OF_SESSION} AND "key" = :key
"""
DELETE_STATE_VALUE = f"""
DELETE FROM state
 WHERE {OF_SESSION} AND "key" = :key
"""
DELETE_STATE_OF_SESSION = f"""
DELETE FROM state
 WHERE {OF_SESSION}
"""

# ---------------------------------------------------------------- search

# `row_id` is the order of appending in the whole store.
EVENTS_WITH_SESSIONS = f"""
SELECT events.row_id, {EVENT_ROW_OF_EVENTS},
       {SESSION_ROW_OF_SESSIONS}
  FROM events
  JOIN sessions
    ON sessions.app_name = events.app_name AND sessions.user_id = events.user_id AND sessions.id = events.session_id
"""
EVENT_OF_APP = "events.app_name = :app_name"
EVENT_OF_USER = "events.user_id = :user_id"
EVENT_IN_SESSION = "events.session_id = :session_id"
EVENT_BY_AUTHOR = "events.author = :author"
NOT_IN_SESSION = (
    "NOT (events.app_name = :other_app AND events.user_id = :other_user AND events.session_id = :other_session)"
)
NOT_IN_SESSIONS_CALLED = "events.session_id <> :other_session"
EVENT_SINCE = "events.created_at >= :since"
EVENT_UNTIL = "events.created_at < :until"
EVENT_ROWS = "SELECT events.row_id FROM events"
ROW_AFTER = "events.row_id > :after_row"
ROW_UP_TO = "events.row_id <= :until_row"
NEWEST_ROW = "SELECT coalesce(max(row_id), 0) FROM events"
ROWS = "events.row_id IN ({})"
NEWEST_ROWS_FIRST = "ORDER BY events.row_id DESC"

# Reads a part of the store by its place: CROSS JOIN as in `PLACES`.
AUTHORS_OF_ROWS = """
SELECT events.row_id, events.author
  FROM events AS named
 CROSS JOIN events
"""
NAMED_ROWS_BETWEEN = "named.row_id > :after_row AND named.row_id <= :until_row AND events.row_id = named.row_id"
SAID_SOMETHING = "events.content <> '' AND events.author <> 'tool'"
EVENT_IN_DAYS = "events.created_at >= :first_day AND events.created_at < :day_after"
EVENT_IN_ANY_YEAR = "events.created_at LIKE :days"
# The columns that `recall.Place` is made of.
_PLACE = f"""
SELECT {{place}}.row_id, {{place}}.app_name, {{place}}.user_id, {{place}}.session_id, {{place}}.seq,
       {{place}}.created_at,
       substr({{place}}.content, 1, {LONGEST_PLACE}), substr({{place}}.reasoning, 1, {LONGEST_PLACE}),
       substr({{place}}.actions, 1, {LONGEST_PLACE})
"""
# CROSS JOIN makes SQLite look the rows up; with a condition on their owner it would read all events of that owner.
PLACES = f"""
{_PLACE.format(place="events")}
  FROM events AS named
 CROSS JOIN events
"""
NAMED_EVENTS_WITH_SESSIONS = f"""
SELECT events.row_id, {EVENT_ROW_OF_EVENTS},
       {SESSION_ROW_OF_SESSIONS}
  FROM events AS named
 CROSS JOIN events
  JOIN sessions
    ON sessions.app_name = events.app_name AND sessions.user_id = events.user_id AND sessions.id = events.session_id
"""
NAMED_ROWS = "named.row_id IN ({}) AND events.row_id = named.row_id"
PLACES_BESIDE = f"""
{_PLACE.format(place="near")}
  FROM events
  JOIN events AS near
    ON near.app_name = events.app_name AND near.user_id = events.user_id AND near.session_id = events.session_id
   AND near.seq BETWEEN events.seq - :reach AND events.seq + :reach
"""

# The columns that `search.quick_test` reads, so that only events that may match are read whole.
SEARCHED_TEXTS = """
SELECT events.seq, events.row_id, events.content, events.reasoning, events.actions
  FROM events
"""
# The same of several sessions, for a search that says which sessions have its words.
TEXTS_OF_SESSIONS = """
SELECT events.session_id, events.seq, events.row_id, events.author, events.content, events.reasoning, events.actions
  FROM events
"""
# CROSS JOIN as in `PLACES`.
TEXTS_OF_NAMED = """
SELECT events.session_id, events.seq, events.row_id, events.author, events.content, events.reasoning, events.actions
  FROM events AS named
 CROSS JOIN events
"""
ROWS_OF_SESSIONS = "SELECT events.session_id, events.row_id FROM events"
# CROSS JOIN as in `PLACES`.
SESSIONS_OF_EVENTS = """
SELECT DISTINCT events.app_name, events.user_id, events.session_id
  FROM events AS named
 CROSS JOIN events
"""
TITLES = "SELECT app_name, user_id, id, title FROM sessions"
EVENT_IN_SESSIONS = "events.session_id IN ({})"
EVENT_BEFORE = "events.seq < :before_seq"
LAST_EVENTS_FIRST = "ORDER BY events.seq DESC LIMIT :limit"

# ---------------------------------------------------------------- over the views

WITH_IDS = "id IN ({})"
OVERVIEWS = f"""
SELECT {SESSION_ROW},
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
# The event whose content is the first message of `OVERVIEWS`.
FIRST_OF_USER = f"""
SELECT {EVENT_ROW}
  FROM events
 WHERE {OF_SESSION} AND author = 'user'
 ORDER BY seq
 LIMIT 1
"""
TOOL_CALLS = """
SELECT created_at, name, status, args, output, error, app_name, user_id, session_id, seq, agent_id, invocation_id,
       event_id, call_id, result_seq, result_at, position
  FROM tool_calls
"""
TOOL_NAME = "name = :name"
TOOL_STATUS = "status = :status"
TOOL_CALLS_IN_ORDER = "ORDER BY created_at, app_name, user_id, session_id, seq, position"
TOOL_CALLS_NEWEST_FIRST = (
    "ORDER BY created_at DESC, app_name DESC, user_id DESC, session_id DESC, seq DESC, position DESC"
)

# The groups by which usage can be summed, under the names of their columns in the result.
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


def usage_by(groups: Sequence[str], where: Where) -> str:
    """Returns the sums of tokens for each of the groups (names of `USAGE_GROUPS`), or of everything."""
    listed = ", ".join(USAGE_GROUPS[group] for group in groups)
    names = ", ".join(groups)
    tail = f"GROUP BY {names} ORDER BY {names}" if groups else ""
    return where.statement(f"SELECT {f'{listed},' if listed else ''} {USAGE_SUMS}", tail)


LAST_SEQS = """
SELECT app_name, user_id, id, last_seq
  FROM sessions
"""
# The groups by which events can be counted, under the names of their columns in the result.
ACTIVITY_GROUPS = {
    "day": "substr(created_at, 1, 10) AS day",
    "month": "substr(created_at, 1, 7) AS month",
    "author": "author",
    "app_name": "app_name",
    "user_id": "user_id",
    "session_id": "session_id",
    "agent_id": "agent_id",
}
# Events are counted in each session of a group first, so that the sessions of the group can be counted as well.
EVENTS_IN_SESSIONS = "count(*) AS events FROM counted_events"


def activity_by(groups: Sequence[str], where: Where) -> str:
    """Returns the counts of events for each of the groups (names of `ACTIVITY_GROUPS`), or of all."""
    grouped = "".join(f"{ACTIVITY_GROUPS[group]}, " for group in groups)
    names = ", ".join(groups)
    keys = ", ".join(dict.fromkeys((*groups, "app_name", "user_id", "session_id")))
    inside = where.statement(f"SELECT {grouped}{EVENTS_IN_SESSIONS}", f"GROUP BY {keys}")
    tail = f"GROUP BY {names} ORDER BY {names}" if groups else ""
    listed = f"{names}, " if names else ""
    return f"SELECT {listed}coalesce(sum(events), 0), count(*) FROM ({inside}) AS counted {tail}"


# `lag` sees the whole session: filters apply outside, or they would hide the question that a reply follows.
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
SELECT count(*), count(DISTINCT app_name)
  FROM sessions
"""


def count_users(where: Where) -> str:
    """Returns the statement that counts users: the same user id in another app is another user."""
    users = where.statement("SELECT DISTINCT app_name, user_id FROM sessions")
    return f"SELECT count(*) FROM ({users}) AS users"


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

EVENT_AT_SEQ = f"""
SELECT {EVENT_ROW}
  FROM events
 WHERE {OF_SESSION} AND seq = :seq
"""
SESSION_WITH_STATE = f"""
SELECT agent_id, title, metadata, initial_state
  FROM sessions
 WHERE {IS_SESSION}
"""
OWN_STATE = f"""
SELECT "key", value
  FROM state
 WHERE {OF_SESSION}
"""
STATE_CHANGES = f"""
SELECT seq, state
  FROM events
 WHERE {OF_SESSION}
   AND seq BETWEEN 1 AND {MAX_SEQ} AND state <> '{{}}'
 ORDER BY seq
"""
USER_SEQS_NEWEST_FIRST = f"""
SELECT seq
  FROM events
 WHERE {OF_SESSION}
   AND seq BETWEEN 1 AND {MAX_SEQ} AND author = 'user'
 ORDER BY seq DESC
 LIMIT :limit
"""
EVENTS_WITH_TOOLS = f"""
SELECT seq, id, author, actions
  FROM events
 WHERE {OF_SESSION}
   AND seq BETWEEN 1 AND {MAX_SEQ} AND actions <> '[]'
 ORDER BY seq
"""
COUNT_LONELY_SUMMARIES = f"""
SELECT count(*)
  FROM events
 WHERE {OF_SESSION} AND seq <= :until_seq
   AND supersedes IS NOT NULL
   AND NOT EXISTS (SELECT 1
                     FROM events AS earlier
                    WHERE earlier.app_name = events.app_name
                      AND earlier.user_id = events.user_id
                      AND earlier.session_id = events.session_id
                      AND earlier.seq <= events.supersedes)
"""
# The copy's id has two names, since PostgreSQL takes the type of each from its place, and those of the two differ.
# Copies are numbered anew, since the order of a session has no gaps. A copy of a copy names the session in which the
# event was first said; an event that is copied back into that session is no copy. The id of the new session has two
# names, since PostgreSQL takes the type of each from its place, and those of the two differ.
_COPIED: Final = {
    "session_id": ":new_id",
    "seq": "row_number() OVER (ORDER BY seq) + :first",
    "supersedes": """
       CASE WHEN supersedes IS NOT NULL
            THEN (SELECT count(*)
                    FROM events AS earlier
                   WHERE earlier.app_name = events.app_name
                     AND earlier.user_id = events.user_id
                     AND earlier.session_id = events.session_id
                     AND earlier.seq <= events.supersedes) + :first
       END""",
    "copied_from": """
       CASE WHEN copied_from IS NULL THEN session_id
            WHEN copied_from <> :copied_to THEN copied_from
       END""",
}
COPY_EVENTS = f"""
INSERT INTO events ({EVENT_ROW})
SELECT {", ".join(_COPIED.get(name) or columns([name]) for name in codec.EVENT_COLUMNS)}
  FROM events
 WHERE {OF_SESSION} AND seq <= :until_seq
"""
COUNT_EVENTS_UNTIL = f"""
SELECT count(*)
  FROM events
 WHERE {OF_SESSION} AND seq <= :until_seq
"""
SET_INITIAL_STATE = f"""
UPDATE sessions
   SET initial_state = :state
 WHERE {IS_SESSION}
"""

# ---------------------------------------------------------------- transfer

SESSION_KEYS_IN_ORDER = "ORDER BY app_name, user_id, id LIMIT :limit"
KEYS_BEYOND = "(app_name, user_id, id) > (:at_app, :at_user, :at_id)"
# Returns a session with the state that it sees, of one moment: a row for each key, and at least one row.
SESSION_WITH_ALL_STATE = f"""
SELECT {SESSION_ROW_OF_SESSIONS},
       sessions.initial_state,
       state."key", state.value
  FROM sessions
  LEFT JOIN state
    ON state.app_name = sessions.app_name
   AND state.user_id IN ('', sessions.user_id)
   AND state.session_id IN ('', sessions.id)
   AND (state.session_id = '') = (substr(state."key", 1, 4) = 'app:' OR substr(state."key", 1, 5) = 'user:')
   AND (state.user_id = '') = (substr(state."key", 1, 4) = 'app:')
 WHERE sessions.app_name = :app_name AND sessions.user_id = :user_id AND sessions.id = :session_id
 ORDER BY state."key"
"""
UP_TO = "seq <= :until_seq"
COUNT_ALL_EVENTS = """
SELECT count(*)
  FROM events
"""
# Each id has a parameter: id_0, id_1…; see `with_ids`. CROSS JOIN as in `EVENT_BY_ID`.
_OF_IDS: Final = """
  FROM events AS named
 CROSS JOIN events
 WHERE named.id IN ({})
   AND events.row_id = named.row_id
   AND events.app_name = :app_name AND events.user_id = :user_id"""
IDS_OF_EVENTS = f"""
SELECT events.id, events.row_id{_OF_IDS} AND events.session_id = :session_id
"""
# The contents of events that were first said in a session, by their ids: its own, and those that only copies have kept.
CONTENTS_OF_EVENTS = f"""
SELECT events.id, events.content{_OF_IDS}
   AND (events.session_id = :session_id OR events.copied_from = :session_id)
 ORDER BY events.copied_from IS NULL
"""
# Events of these ids that other sessions of the same owner have, and that are no copies.
EVENTS_ELSEWHERE = f"""
SELECT events.id, events.session_id{_OF_IDS} AND events.session_id <> :session_id
   AND events.copied_from IS NULL
"""
SEQS_BETWEEN = f"""
SELECT seq
  FROM events
 WHERE {OF_SESSION}
   AND seq >= :first_seq AND seq <= :until_seq
"""
ADVANCE_SESSION_TO = f"""
UPDATE sessions
   SET last_seq = CASE WHEN :last_seq > last_seq THEN :last_seq ELSE last_seq END,
       updated_at = CASE WHEN :now > updated_at THEN :now ELSE updated_at END
 WHERE {IS_SESSION}
"""
# State that sessions share, of whomever: the rows that belong to no session.
SHARED_STATE = """
SELECT app_name, user_id, "key", value, updated_at
  FROM state
"""
OF_NO_SESSION = "session_id = ''"
OF_USER_OR_APP = "user_id IN ('', :user_id)"
SHARED_STATE_IN_ORDER = 'ORDER BY app_name, user_id, "key" LIMIT :limit'
SHARED_STATE_BEYOND = '(app_name, user_id, "key") > (:at_app, :at_user, :at_key)'
SHARED_VALUE = f"""
SELECT value, updated_at
  FROM state
 WHERE {OF_SESSION} AND "key" = :key
"""
REPLACE_SESSION = f"""
UPDATE sessions
   SET agent_id = :agent_id,
       title = :title,
       metadata = :metadata,
       created_at = :created_at,
       updated_at = :updated_at,
       last_seq = CASE WHEN :last_seq > last_seq THEN :last_seq ELSE last_seq END,
       parent_id = :parent_id,
       parent_seq = :parent_seq,
       initial_state = :initial_state
 WHERE {IS_SESSION}
"""

# ---------------------------------------------------------------- retention

SESSION_KEYS = """
SELECT app_name, user_id, id
  FROM sessions
"""
SESSION_AGE = f"""
SELECT updated_at
  FROM sessions
 WHERE {IS_SESSION}
"""
HIGHEST_SEQ = f"""
SELECT max(seq)
  FROM events
 WHERE {OF_SESSION}
   AND seq BETWEEN 1 AND {MAX_SEQ}
"""
LAST_PLACE = f"""
SELECT max(seq)
  FROM events
 WHERE {OF_SESSION}
"""
FIRST_SEQ_SINCE = f"""
SELECT min(seq)
  FROM events
 WHERE {OF_SESSION}
   AND seq BETWEEN 1 AND {MAX_SEQ} AND created_at >= :since
"""
FORKS = """
SELECT id
  FROM sessions
 WHERE app_name = :app_name AND user_id = :user_id AND parent_id = :session_id
"""
# Finds the sessions that have copies of the same events: forks, or the session that was forked.
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
SELECT app_name, user_id, "key", value
  FROM state
"""
OF_USER_OR_APP = "user_id IN ('', :user_id)"
SHARED = "session_id = ''"
EVENTS_WITH_ROW_ID = f"""
SELECT row_id, {EVENT_ROW}
  FROM events
"""
EVENT_OF_ROW = f"""
SELECT row_id, {EVENT_ROW}
  FROM events
 WHERE row_id = :row_id AND {OF_SESSION}
"""
UPDATE_EVENT_TEXT = f"""
UPDATE events
   SET content = :content,
       reasoning = :reasoning,
       actions = :actions,
       metadata = :metadata,
       state = :state,
       message = :message
 WHERE row_id = :row_id AND {OF_SESSION}
"""
COMPLETE_EVENT = UPDATE_EVENT_TEXT.replace("message = :message\n", "message = :message,\n       usage = :usage\n")

# ---------------------------------------------------------------- check

# Finds state that no verb reaches: of no session, or with another owner than its key says (`codec.state_owner`).
_IS_STRAY = """
 WHERE (session_id <> ''
        AND NOT EXISTS (SELECT 1
                          FROM sessions
                         WHERE sessions.app_name = state.app_name
                           AND sessions.user_id = state.user_id
                           AND sessions.id = state.session_id))
    OR (session_id = '') <> (substr("key", 1, 4) = 'app:' OR substr("key", 1, 5) = 'user:')
    OR (user_id = '') <> (substr("key", 1, 4) = 'app:')
"""
COUNT_STRAY_STATE = f"SELECT count(*) FROM state {_IS_STRAY}"
DELETE_STRAY_STATE = f"DELETE FROM state {_IS_STRAY}"
STATE_TO_CHECK = 'SELECT "key", value FROM state'
COUNT_IDS_OF_SEVERAL = """
SELECT count(*)
  FROM (SELECT 1 AS one
          FROM events
         GROUP BY app_name, user_id, session_id, id
        HAVING count(*) > 1) AS twice
"""
