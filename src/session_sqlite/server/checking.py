"""Looking after a store on a server: what of it can go wrong, and what can be put right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from session_sqlite import search
from session_sqlite.database import Params, Row, Transaction
from session_sqlite.pages import CheckReport, Finding
from session_sqlite.server.dialects import Dialect
from session_sqlite.server.schema import SCHEMA_VERSION, SERVER_VERSION
from session_sqlite.server.search_index import ServerSearchIndex

T = TypeVar("T")

_HIGHEST: Final = """(SELECT coalesce(max(events.seq), 0)
          FROM events
         WHERE events.app_name = sessions.app_name
           AND events.user_id = sessions.user_id
           AND events.session_id = sessions.id)"""
BEHIND: Final = f"SELECT count(*) FROM sessions WHERE last_seq < {_HIGHEST}"
RAISE_LAST_SEQ: Final = f"UPDATE sessions SET last_seq = {_HIGHEST} WHERE last_seq < {_HIGHEST}"
_IS_STRAY: Final = """
 WHERE session_id <> ''
   AND NOT EXISTS (SELECT 1
                     FROM sessions
                    WHERE sessions.app_name = state.app_name
                      AND sessions.user_id = state.user_id
                      AND sessions.id = state.session_id)
"""
COUNT_STRAY: Final = f"SELECT count(*) FROM state {_IS_STRAY}"
DELETE_STRAY: Final = f"DELETE FROM state {_IS_STRAY}"
WITHOUT_WORDS: Final = """
SELECT count(*)
  FROM events
  LEFT JOIN event_words
    ON event_words.row_id = events.row_id
 WHERE event_words.row_id IS NULL OR event_words.version NOT IN (0, :version)
"""
COUNT_EVENTS: Final = "SELECT count(*) FROM events"


class Store(Protocol):
    """The part of a `ServerDatabase` that a check uses."""

    @property
    def dialect(self) -> Dialect:
        """The kind of server."""

    @property
    def index(self) -> ServerSearchIndex:
        """The search index."""

    def read(self, sql: str, params: Params, make: Callable[[Row], T]) -> list[T]:
        """See `Database.read`."""

    def write(self, work: Callable[[Transaction], T]) -> T:
        """See `Database.write`."""


def check(store: Store, *, repair: bool) -> CheckReport:
    """Looks at what can go wrong with a store on a server, and repairs what the rest of it says."""

    def number(sql: str, params: Params | None = None) -> int:
        return int(store.read(sql, params or {}, tuple)[0][0])

    report = CheckReport()
    version = store.read(SERVER_VERSION, {}, tuple)[0][0]
    report.append(Finding("server", "ok", f"{store.dialect.name}: {version}"))
    report.append(Finding("schema", "ok", f"version {SCHEMA_VERSION}"))
    for name, value in store.read(store.dialect.settings_at_risk, {}, tuple):
        report.append(
            Finding("durability", "warning", f"{name} is {value}", "a crash of the server can lose what was appended")
        )
    report.append(
        _finding(
            "order", number(BEHIND), "sessions are behind their events", repair, lambda: _run(store, RAISE_LAST_SEQ)
        )
    )
    report.append(
        _finding("state", number(COUNT_STRAY), "values belong to no session", repair, lambda: _run(store, DELETE_STRAY))
    )
    lacking = number(WITHOUT_WORDS, {"version": search.WORDS_VERSION})
    report.append(_finding("search index", lacking, "events are not indexed", repair, store.index.complete))
    report.append(Finding("events", "ok", f"{number(COUNT_EVENTS):,} events"))
    return report


def _run(store: Store, sql: str) -> int:
    return store.write(lambda tx: tx.run(sql, {}))


def _finding(name: str, count: int, what: str, repair: bool, mend: Callable[[], object]) -> Finding:
    if not count:
        return Finding(name, "ok", f"no {what}".replace("no sessions are", "no session is"))
    if repair:
        mend()
    return Finding(name, "error", f"{count:,} {what}", "check(repair=True) puts it right", repaired=repair)
