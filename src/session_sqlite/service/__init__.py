"""The service: all verbs, over any `Database`.

A `SessionService` is a thin thing: a database, and the app and user that its calls mean by default (`scoped`). Its
verbs are divided by subject, and each part builds on the one before: `history_queries` reads across sessions,
`conversations` has sessions, events and state, `agent_messages` events that are stored once by their message,
`life_cycle` forks, rewinds and summaries, `retention` what is not kept, `exchange` exports and imports.
"""

from session_sqlite.database import Database
from session_sqlite.service.exchange import Exchange

__all__ = ["Database", "SessionService"]


class SessionService(Exchange):
    """Sessions, their events and their state, in any `Database`.

    Made by a backend (`SQLiteSessionService`); see `scope` for one with other defaults. Usable from any thread.
    """
