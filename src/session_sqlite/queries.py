"""Every SQL statement that the service runs.

Portable SQL with ``:named`` parameters, which SQLite and the servers read alike. A statement that ends in WHERE
takes clauses; `joined` puts constant clauses together with AND. Values are always bound.
"""

from collections.abc import Iterable


def joined(statement: str, clauses: Iterable[str], tail: str = "") -> str:
    """The statement, its clauses joined with AND, and what follows them (ORDER BY, LIMIT)."""
    condition = " AND ".join(clauses)
    return f"{statement} {f'WHERE {condition}' if condition else ''} {tail}"


# ---------------------------------------------------------------- sessions

SESSIONS = """
SELECT id, app_name, user_id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id
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
LATEST_FIRST = "ORDER BY updated_at DESC, id DESC LIMIT :limit"
BEYOND = "(updated_at, id) < (:at_updated, :at_id)"
LATEST_FIRST_OF_ANY = "ORDER BY updated_at DESC, id DESC, app_name DESC, user_id DESC LIMIT :limit"
BEYOND_OF_ANY = "(updated_at, id, app_name, user_id) < (:at_updated, :at_id, :at_app, :at_user)"

SESSION = """
SELECT id, app_name, user_id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id
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
       (id, app_name, user_id, agent_id, title, metadata, created_at, updated_at, last_seq, parent_id, initial_state)
VALUES (:id, :app_name, :user_id, :agent_id, :title, :metadata, :created_at, :updated_at, :last_seq, :parent_id,
        :initial_state)
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
       branch, invocation_id, state, usage, tool_call_id, message_id, message
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

OLDEST_FIRST = "ORDER BY seq"
NEWEST_FIRST = "ORDER BY seq DESC"
LIMITED = " LIMIT :limit"

# An event by its id. CROSS JOIN keeps SQLite from reading the whole session by the wider index on its order instead.
EVENT_BY_ID = """
SELECT events.id, events.session_id, events.author, events.content, events.reasoning, events.actions, events.metadata,
       events.created_at, events.app_name, events.user_id, events.seq, events.agent_id, events.branch,
       events.invocation_id, events.state, events.usage, events.tool_call_id, events.message_id, events.message
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
   AND author = 'user' AND seq < :before
 ORDER BY seq DESC
 LIMIT 1
"""
LAST_SEQ_BEFORE_NOT_A_RESULT = """
SELECT seq
  FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
   AND author <> 'tool' AND seq < :before
 ORDER BY seq DESC
 LIMIT 1
"""
INSERT_EVENT = """
INSERT INTO events
       (id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
        branch, invocation_id, state, usage, tool_call_id, message_id, message)
VALUES (:id, :session_id, :author, :content, :reasoning, :actions, :metadata, :created_at, :app_name, :user_id, :seq,
        :agent_id, :branch, :invocation_id, :state, :usage, :tool_call_id, :message_id, :message)
"""
DELETE_EVENTS = """
DELETE FROM events
 WHERE app_name = :app_name AND user_id = :user_id AND session_id = :session_id
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
