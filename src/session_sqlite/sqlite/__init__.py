"""Sessions in one SQLite file.

`paths` says where it is, `opening` whether it is a store, `database` runs statements and transactions in it (with
`driver`, `owner_queries` and `search_index`), `maintenance` looks after it, and `service` puts the verbs on top.
"""

from session_sqlite.sqlite.database import SQLiteDatabase
from session_sqlite.sqlite.paths import MEMORY, database_file, file_text, path_text
from session_sqlite.sqlite.service import DEFAULT_QUERY_TIMEOUT, SQLiteSessionService

__all__ = [
    "DEFAULT_QUERY_TIMEOUT",
    "MEMORY",
    "SQLiteDatabase",
    "SQLiteSessionService",
    "database_file",
    "file_text",
    "path_text",
]
