"""Looking after a store on a server: what of it can go wrong, and what can be put right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from session_sqlite import codec, queries, search
from session_sqlite.database import Params, Row, Transaction
from session_sqlite.pages import CheckReport, Finding
from session_sqlite.server.dialects import Dialect
from session_sqlite.server.schema import SCHEMA_VERSION, SERVER_VERSION, made_by_steps
from session_sqlite.server.search_index import ServerSearchIndex

T = TypeVar("T")

_HIGHEST: Final = f"""(SELECT coalesce(max(events.seq), 0)
          FROM events
         WHERE events.app_name = sessions.app_name
           AND events.user_id = sessions.user_id
           AND events.session_id = sessions.id
           AND events.seq BETWEEN 1 AND {codec.MAX_SEQ})"""
_HAS_A_WRONG_LAST_SEQ: Final = f"WHERE last_seq >= 4611686018427387904 OR last_seq < {_HIGHEST}"
COUNT_WRONG_LAST_SEQS: Final = f"SELECT count(*) FROM sessions {_HAS_A_WRONG_LAST_SEQ}"
CORRECT_LAST_SEQ: Final = f"UPDATE sessions SET last_seq = {_HIGHEST} {_HAS_A_WRONG_LAST_SEQ}"
COUNT_ORPHANS: Final = """
SELECT count(*)
  FROM events
 WHERE NOT EXISTS (SELECT 1
                     FROM sessions
                    WHERE sessions.app_name = events.app_name
                      AND sessions.user_id = events.user_id
                      AND sessions.id = events.session_id)
"""
SESSIONS_TO_CHECK: Final = f"SELECT {queries.SESSION_ROW}, initial_state FROM sessions"
EVENTS_TO_CHECK: Final = f"{queries.EVENTS_WITH_ROW_ID} WHERE row_id > :after_row ORDER BY row_id LIMIT :limit"
READ_AT_ONCE: Final = 500
WITHOUT_WORDS: Final = """
SELECT count(*)
  FROM events
  LEFT JOIN event_words
    ON event_words.row_id = events.row_id
 WHERE event_words.row_id IS NULL OR event_words.version NOT IN (0, :version)
"""


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

    def make_again(self) -> None:
        """Makes the views and indexes that are missing."""


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
    missing = sorted(made_by_steps(store.dialect) - set(store.read(store.dialect.parts, {}, lambda row: str(row[0]))))
    report.append(
        _finding(
            "views and indexes", len(missing), f"missing: {', '.join(missing)}", repair, lambda: _make_again(store)
        )
    )
    orphans = number(COUNT_ORPHANS)
    report.append(_finding("foreign keys", orphans, "events belong to no session", advice=_LOOK))
    wrong = number(COUNT_WRONG_LAST_SEQS)
    report.append(
        _finding("order", wrong, "sessions are behind their events", repair, lambda: _run(store, CORRECT_LAST_SEQ))
    )
    damaged = sum(map(bool, store.read(SESSIONS_TO_CHECK, {}, _is_damaged_session)))
    report.append(_finding("sessions", damaged, "sessions have columns that cannot be read", advice=_RESTORE))
    report.append(
        _finding(
            "state",
            number(queries.COUNT_STRAY_STATE),
            "values belong to no session",
            repair,
            lambda: _run(store, queries.DELETE_STRAY_STATE),
        )
    )
    bad = sum(store.read(queries.STATE_TO_CHECK, {}, lambda row: not codec.is_state_row(*row)))
    report.append(_finding("values of state", bad, "values cannot be read and are left out", advice=_RESTORE))
    report.append(_finding("ids", number(queries.COUNT_IDS_OF_SEVERAL), "ids belong to several events", advice=_LOOK))
    lacking = number(WITHOUT_WORDS, {"version": search.WORDS_VERSION})
    report.append(_finding("search index", lacking, "events are not indexed", repair, store.index.complete))
    events, unreadable = _events(store)
    if unreadable:
        what = f"of {events:,} events cannot be read; they come back marked unreadable"
        report.append(_finding("events", unreadable, what, advice=_RESTORE))
    else:
        report.append(Finding("events", "ok", f"{events:,} events, and every one can be read"))
    return report


_LOOK: Final = "another program wrote them; look with query(), and delete or change them with it"
_RESTORE: Final = "give them new values, or restore the store from a backup"


def _is_damaged_session(row: Row) -> bool:
    *columns, initial_state = row
    unreadable = set(codec.unreadable_columns(columns)) - {"last_seq"}  # which is a matter of the order
    return bool(unreadable) or not codec.is_state(initial_state)


def _events(store: Store) -> tuple[int, int]:
    """Returns how many events there are, and how many of them cannot be read."""
    after_row = events = unreadable = 0
    while True:
        rows = store.read(EVENTS_TO_CHECK, {"after_row": after_row, "limit": READ_AT_ONCE}, tuple)
        events += len(rows)
        unreadable += sum(codec.decode_event(row[1:]).unreadable for row in rows)
        if len(rows) < READ_AT_ONCE:
            return events, unreadable
        after_row = rows[-1][0]


def _make_again(store: Store) -> None:
    """Makes what is missing, and writes all words anew: MariaDB's new index does not find those that were there."""
    store.make_again()
    _run(store, "DELETE FROM event_words")
    store.index.complete()


def _run(store: Store, sql: str) -> int:
    return store.write(lambda tx: tx.run(sql, {}))


def _finding(
    name: str, count: int, what: str, repair: bool = False, mend: Callable[[], object] | None = None, advice: str = ""
) -> Finding:
    if not count:
        return Finding(name, "ok", f"no {what}".replace("no sessions are", "no session is").partition(":")[0])
    if repair and mend is not None:
        mend()
    advice = advice or "check(repair=True) puts it right"
    return Finding(name, "error", f"{count:,} {what}", advice, repaired=repair and mend is not None)
