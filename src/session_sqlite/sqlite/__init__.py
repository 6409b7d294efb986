"""The SQLite backend: a `Database` in one file. It knows nothing of the service's verbs.

`paths` says where it is, `opening` whether it is a store, `schema` makes its tables, `database` runs statements and
transactions in it (with `driver`, `statements`, `owner_queries` and `search_index`), and `maintenance` looks after it.
"""

from session_sqlite.sqlite.database import SQLiteDatabase
from session_sqlite.sqlite.paths import MEMORY, database_file, file_text, path_text

__all__ = ["MEMORY", "SQLiteDatabase", "database_file", "file_text", "path_text"]
