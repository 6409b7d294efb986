"""The statements that SQLite alone runs: for its FTS5 index and for the maintenance of a file."""

from session_sqlite import queries
from session_sqlite.codec import EVENT_COLUMNS, MAX_SEQ
from session_sqlite.queries import (
    EVENT_ROW,
    EVENT_ROW_OF_EVENTS,
    MESSAGE_ROW_OF_EVENTS,
    OF_SESSION,
    SESSION_ROW,
    SESSION_ROW_OF_SESSIONS,
)

ADVANCE_SESSION = f"{queries.ADVANCE_SESSION} RETURNING last_seq"
INSERT_EVENT = f"INSERT INTO events ({EVENT_ROW}) VALUES ({', '.join('?' * len(EVENT_COLUMNS))})"

# ---------------------------------------------------------------- the search index

# These sort and limit in the subquery on the index, so that only the events of the hits are read.
_HIT_COLUMNS = f"""
SELECT events.row_id, {EVENT_ROW_OF_EVENTS},
       {SESSION_ROW_OF_SESSIONS},
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
"""
# No rank is computed here: for it bm25 first counts every phrase in the whole index, even to search one session.
HITS_NEWEST_FIRST = f"""
{_HIT_COLUMNS}
  FROM (SELECT rowid AS row_id, NULL AS rank
          FROM search_index
         WHERE search_index MATCH :match AND rowid <= :until_row
         ORDER BY rowid DESC
         LIMIT :limit_with_seen) AS hits
{_HIT_JOINS}
"""
# Conditions on the events themselves can only be tested after the join, so there is no limit in the subquery.
ALL_HITS = f"""
{_HIT_COLUMNS}
  FROM (SELECT rowid AS row_id, rank
          FROM search_index
         WHERE search_index MATCH :match AND rowid <= :until_row) AS hits
{_HIT_JOINS}
"""
ALL_HITS_UNRANKED = f"""
{_HIT_COLUMNS}
  FROM (SELECT rowid AS row_id, NULL AS rank
          FROM search_index
         WHERE search_index MATCH :match AND rowid <= :until_row) AS hits
{_HIT_JOINS}
"""
# The numbers of events alone, for recalling.
ROWS_OF_HITS = """
SELECT rowid
  FROM search_index
 WHERE search_index MATCH :match AND rowid <= :until_row
 ORDER BY rowid DESC
 LIMIT :limit
"""
COUNT_HITS = """
SELECT count(*)
  FROM search_index
 WHERE search_index MATCH :match AND rowid <= :until_row
"""
# FTS5's own table has a short row for each event; counting in `search_index` or in `events` takes ten times as long.
COUNT_INDEXED = "SELECT count(*) FROM search_index_docsize"
# LIKE ignores the case of ASCII letters, and ends at a NUL. The lengths differ unless a title is ASCII.
_HAS_EVENT = """
(EXISTS (SELECT 1
           FROM events
          WHERE events.app_name = sessions.app_name
            AND events.user_id = sessions.user_id
            AND events.session_id = sessions.id
            AND (events.row_id < :since_{0} OR events.row_id IN (SELECT value FROM json_each(:rows_{0}))))
"""
MAY_HAVE_IN_TITLE = f"""
{_HAS_EVENT}
 OR title LIKE :title_{{0}}
 OR (length(title) <> length(CAST(title AS BLOB))
     AND (title GLOB :unusual OR instr(CAST(title AS BLOB), x'00') > 0)))
"""
MAY_BE_TITLED = f"""
{_HAS_EVENT}
 OR id IN (SELECT value FROM json_each(:titled_{{0}})))
"""
WORD_BETWEEN = "word BETWEEN :since AND :until"
SESSIONS_WITH_WORD = "SELECT app_name, user_id, session_id FROM title_words"
INSERT_TITLE_WORD = """
INSERT OR IGNORE INTO title_words (app_name, user_id, word, session_id)
VALUES (:app_name, :user_id, :word, :session_id)
"""
DELETE_TITLE_WORD = f"""
DELETE FROM title_words
 WHERE {OF_SESSION} AND word = :word
"""
EMPTY_TITLE_WORDS = "DELETE FROM title_words"
ALL_TITLE_WORDS = "SELECT app_name, user_id, word, session_id FROM title_words"
UNSEEN = "hits.row_id NOT IN (SELECT value FROM json_each(:seen))"
BY_RANK = "ORDER BY hits.rank, hits.row_id LIMIT :limit"
BY_ROW = "ORDER BY hits.row_id DESC LIMIT :limit"
# Looks at four ranges of an index only, whatever the number of sessions.
HAS_OTHERS = """
SELECT EXISTS (SELECT 1 FROM sessions WHERE app_name < :app_name)
    OR EXISTS (SELECT 1 FROM sessions WHERE app_name > :app_name)
    OR EXISTS (SELECT 1 FROM sessions WHERE app_name = :app_name AND user_id < :user_id)
    OR EXISTS (SELECT 1 FROM sessions WHERE app_name = :app_name AND user_id > :user_id)
"""

# Returns the row_id up to which all events are indexed; 0 if the words of the index are of another version.
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
# SQLite reuses the highest row_id after its row is deleted: the mark must not lie above the last row.
LOWER_INDEXED = """
UPDATE search_progress
   SET indexed = (SELECT coalesce(max(row_id), 0) FROM events)
 WHERE indexed > (SELECT coalesce(max(row_id), 0) FROM events)
"""
EVENTS_TO_INDEX = f"""
SELECT row_id, {EVENT_ROW}
  FROM events
 WHERE row_id > :after_row
 ORDER BY row_id
 LIMIT :limit
"""
INDEXED_EVENTS_OF_SESSION = f"""
SELECT row_id, {EVENT_ROW}
  FROM events
 WHERE {OF_SESSION} AND seq > :after
   AND seq <= :until_seq
   AND row_id <= (SELECT indexed FROM search_progress)
"""
INDEX_EVENT = """
INSERT INTO search_index (rowid, content, reasoning, tools, scope)
VALUES (:row_id, :content, :reasoning, :tools, :scope)
"""
# A contentless index removes words only if it is given exactly the words that were indexed.
UNINDEX_EVENT = """
INSERT INTO search_index (search_index, rowid, content, reasoning, tools, scope)
VALUES ('delete', :row_id, :content, :reasoning, :tools, :scope)
"""
EMPTY_INDEX = "INSERT INTO search_index (search_index) VALUES ('delete-all')"

# ---------------------------------------------------------------- what has changed

# Returns a row even if there are no such events, unless there is no such session. Its number of events shows what was
# inserted, and its revision every other change: there is none if somebody dropped the triggers that change it.
MESSAGES_SINCE = f"""
SELECT CASE WHEN (SELECT count(*)
                    FROM sqlite_master
                   WHERE type = 'trigger'
                     AND name IN ('sessions_made', 'events_changed', 'events_deleted')) = 3
            THEN sessions.revision
       END,
       (SELECT count(*)
          FROM events
         WHERE {OF_SESSION}),
       {MESSAGE_ROW_OF_EVENTS}
  FROM sessions
  LEFT JOIN events
    ON events.app_name = sessions.app_name AND events.user_id = sessions.user_id AND events.session_id = sessions.id
   AND events.seq >= :seq
 WHERE sessions.app_name = :app_name AND sessions.user_id = :user_id AND sessions.id = :session_id
 ORDER BY events.seq
"""
CHANGE_REVISIONS = "UPDATE sessions SET revision = random()"

# ---------------------------------------------------------------- maintenance of a SQLite file

OPTIMIZE_INDEX = "INSERT INTO search_index (search_index) VALUES ('optimize')"
EVENTS_UP_TO = f"""
SELECT row_id, {EVENT_ROW}
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
_HIGHEST_PLACE = f"""
(SELECT coalesce(max(seq), 0)
                     FROM events
                    WHERE events.app_name = sessions.app_name
                      AND events.user_id = sessions.user_id
                      AND events.session_id = sessions.id
                      AND typeof(events.seq) = 'integer'
                      AND events.seq BETWEEN 1 AND {MAX_SEQ})
"""
_HAS_A_WRONG_LAST_SEQ = f"""
 WHERE typeof(last_seq) <> 'integer'
    OR last_seq >= 4611686018427387904
    OR last_seq < {_HIGHEST_PLACE}
"""
COUNT_WRONG_LAST_SEQS = f"SELECT count(*) FROM sessions {_HAS_A_WRONG_LAST_SEQ}"
CORRECT_LAST_SEQ = f"UPDATE sessions SET last_seq = {_HIGHEST_PLACE} {_HAS_A_WRONG_LAST_SEQ}"
SESSIONS_TO_CHECK = f"""
SELECT {SESSION_ROW},
       initial_state
  FROM sessions
"""
# Parts that SQLite makes by itself (the index of a UNIQUE) have no sql.
PARTS = "SELECT name, sql FROM sqlite_master WHERE type = :kind AND sql IS NOT NULL"
