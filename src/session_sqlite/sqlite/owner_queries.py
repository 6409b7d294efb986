"""SQL of the file's owner: what of it is allowed, and what its rows and errors look like."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from session_sqlite.errors import QueryError
from session_sqlite.sqlite.driver import primary_code

PROGRESS_STEPS: Final = 10_000  # SQLite's virtual instructions between two looks at the clock: well under 1 ms
_READING: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_INNOCENT_PRAGMAS: Final = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
     "database_list", "collation_list", "function_list", "module_list", "pragma_list", "compile_options",
     "data_version"}
)  # fmt: skip
# These tell without a value and change with one.
_PRAGMAS_THAT_TELL: Final = frozenset(
    {"user_version", "application_id", "schema_version", "page_count", "page_size", "freelist_count", "encoding",
     "journal_mode", "synchronous", "foreign_keys", "query_only"}
)  # fmt: skip
_DANGEROUS_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer"})


def allow_reading(action: int, first: str | None, second: str | None) -> int:
    """The authorizer's verdict: what is not known to be reading is not allowed."""
    if action in _READING:
        dangerous = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _DANGEROUS_FUNCTIONS
        return sqlite3.SQLITE_DENY if dangerous else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA:
        name = (first or "").lower()
        innocent = name in _INNOCENT_PRAGMAS or (name in _PRAGMAS_THAT_TELL and second is None)
        return sqlite3.SQLITE_OK if innocent else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_DENY


class Guard:
    """Watches over one query: what it may do, and how long. Its methods are for SQLite to call.

    sqlite3 swallows what its callbacks raise, an interrupt too, and then says that the query was not allowed or was
    interrupted. A generator stands inside its `try` when it goes on, so that `tick` catches the interrupt itself.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._came: BaseException | None = None
        self._refused = False
        ticks = self._ticks()
        next(ticks)
        self.tick: Callable[[], bool] = ticks.__next__

    def _ticks(self) -> Iterator[bool]:
        while True:
            try:
                yield self._came is not None or time.monotonic() > self._deadline
            except GeneratorExit:
                return
            except BaseException as error:  # noqa: BLE001  # it is raised where the query is
                self._came = error

    def allows(self, action: int, first: str | None, second: str | None, *_: object) -> int:
        """SQLite's authorizer."""
        verdict = allow_reading(action, first, second)
        self._refused = self._refused or verdict == sqlite3.SQLITE_DENY
        return verdict

    def raise_what_came(self, error: Exception) -> None:
        """Raises the interrupt that SQLite's error comes from, if it comes from one."""
        if self._came is not None:
            raise self._came
        code = primary_code(error)
        if code == sqlite3.SQLITE_INTERRUPT:
            lost = time.monotonic() <= self._deadline
        else:  # for a function that is not allowed SQLite's code is the general one
            lost = not self._refused and (code == sqlite3.SQLITE_AUTH or str(error).startswith("not authorized"))
        if lost:
            raise KeyboardInterrupt from error


def distinct(names: Sequence[str]) -> list[str]:
    """The names of columns, numbered where they repeat: id, id_2."""
    taken = set(names)
    distinct: list[str] = []
    for name in names:
        number, free = 1, name
        while free in distinct or (number > 1 and free in taken):
            number += 1
            free = f"{name}_{number}"
        distinct.append(free)
    return distinct


def query_error(error: Exception, timeout: float) -> QueryError:
    """Our error for what SQLite says of a query of the caller's."""
    code = primary_code(error)
    if code == sqlite3.SQLITE_INTERRUPT:
        return QueryError(f"the query took more than {timeout:g} s: narrow it, or give a longer timeout")
    if code in {sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY}:
        return QueryError("query() only reads: use the verbs of the service to write")
    # What SQLite says here is about the caller's own SQL, and of use to its author.
    return QueryError(f"the query failed: {error}")
