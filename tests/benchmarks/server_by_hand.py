"""The floors on servers: what the cases do, by hand through the same driver, with no check that could be left out.

They work on the tables of a store that `SQLAlchemySessionService` made, so that columns, indexes and durability are the
same, and so is each connection's level of isolation. The search words of an event are among what is written. Here they
were made beforehand: ours makes them in the time that is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import sqlalchemy
from langchain_core.messages import BaseMessage

from session_sqlite import Event
from session_sqlite.server.search_index import words_text

from . import by_hand

_MARKS = ", ".join(["%s"] * 20)
INSERT = f"""
INSERT INTO events
       (id, session_id, author, content, reasoning, actions, metadata, created_at, app_name, user_id, seq, agent_id,
        branch, invocation_id, state, "usage", tool_call_id, message_id, message, supersedes)
VALUES ({_MARKS})
"""
ADVANCE = by_hand.ADVANCE.replace("?", "%s")
LAST_SEQ = by_hand.LAST_SEQ.replace("?", "%s")
ROW_IDS = """
SELECT row_id
  FROM events
 WHERE app_name = %s AND user_id = %s AND session_id = %s AND seq > %s
 ORDER BY seq
"""
MESSAGES = by_hand.MESSAGES.replace("?", "%s")

Worded = tuple[Event, str]


def with_words(events: Sequence[Event]) -> list[Worded]:
    """Returns each event with the text of its search words."""
    return [(event, words_text(event) or "") for event in events]


class Connection:
    """One connection of a driver, in which transactions are begun and ended by statements."""

    _new_row_id: Callable[[Any], int]

    def __init__(self, url: str) -> None:
        parts = sqlalchemy.make_url(url)
        where: dict[str, Any] = {"host": parts.host, "port": parts.port, "user": parts.username}
        if parts.get_backend_name() == "postgresql":
            import psycopg

            self._raw: Any = psycopg.connect(**where, dbname=parts.database, autocommit=True)
            words = "array_to_tsvector(string_to_array(CAST(%s AS text), ' '))"
            returning, self._new_row_id = " RETURNING row_id", lambda cursor: cursor.fetchone()[0]
            self._advance = f"{ADVANCE} RETURNING last_seq"
        else:
            import pymysql

            self._raw = pymysql.connect(**where, database=parts.database, charset="utf8mb4", autocommit=True)
            words, returning, self._new_row_id = "%s", "", lambda cursor: cursor.lastrowid
            self._advance = ADVANCE
        self._cursor: Any = self._raw.cursor()
        if not returning:
            self._cursor.execute("SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES'")
            self._cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self._insert_one = INSERT + returning
        self._words = f"INSERT INTO event_words (row_id, version, words) VALUES (%s, 3, {words})"

    def close(self) -> None:
        """Closes the connection."""
        self._raw.close()

    def append(self, session: str, events: Sequence[Worded]) -> None:
        """Appends events, with their search words, in one transaction."""
        cursor, key = self._cursor, (by_hand.APP, by_hand.USER, session)
        cursor.execute("BEGIN")
        now = by_hand.now()
        cursor.execute(self._advance, (len(events), now, *key))
        if self._advance is ADVANCE:
            cursor.execute(LAST_SEQ, key)
        before: int = cursor.fetchone()[0] - len(events)
        rows = [by_hand.event_row(event, session, place, now) for place, (event, _) in enumerate(events, before + 1)]
        if len(events) == 1:
            cursor.execute(self._insert_one, rows[0])
            cursor.execute(self._words, (self._new_row_id(cursor), events[0][1]))
        else:
            cursor.executemany(INSERT, rows)
            cursor.execute(ROW_IDS, (*key, before))
            row_ids = [row[0] for row in cursor.fetchall()]
            cursor.executemany(self._words, [(id, words) for id, (_, words) in zip(row_ids, events, strict=True)])
        cursor.execute("COMMIT")

    def read_messages(self, session: str) -> list[BaseMessage]:
        """Fetch, parse and bare construction of the messages of `conversation`."""
        with closing(self._raw.cursor()) as cursor:
            cursor.execute(MESSAGES, (by_hand.APP, by_hand.USER, session))
            rows = list(cursor.fetchall())
        return by_hand.messages_of(_consumed(rows))


def _consumed(rows: list[by_hand.Row]) -> Iterator[by_hand.Row]:
    """Each row is freed once it is read: what stays in memory takes the garbage collector time."""
    rows.reverse()
    while rows:
        yield rows.pop()
