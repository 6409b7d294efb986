"""SQL of the file's owner: it may only read, for a limited time and with limited memory."""

from __future__ import annotations

import functools
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from session_sqlite.database import Params
from session_sqlite.errors import QueryError
from session_sqlite.sqlite.driver import Connection, lenient_text, primary_code
from session_sqlite.sqlite.long_values import WIDEST, LongValues, TooLong

SHORT: Final = 64 * 1024  # bytes: with values up to this no function of SQLite's takes longer than 0.2 s
LONG: Final = 64 * 1024 * 1024  # bytes: functions whose time grows with the length of a value take 0.5 s
ROOM: Final = 1024 * 1024  # bytes: the columns of an event beside its text
STEPS: Final = 50  # virtual instructions of SQLite between two ticks, which cost 15 % of a query's time
STEPS_WITH_LONG_VALUES: Final = 2  # a query takes six times as long, but each instruction may make 64 MB
SECONDS_BETWEEN_LOOKS: Final = 0.001  # at the memory in use
MOST_MEMORY: Final = 128 * 1024 * 1024  # bytes that SQLite may take for a query
MOST_ROW_BYTES: Final = 256 * 1024 * 1024  # bytes of Python's memory that the rows of a query may take
MOST_COLUMNS: Final = 200
MOST_ARGUMENTS: Final = 32
# Bytes that all values of a row may take together: SQLite calls back only between rows.
MOST_AT_ONCE: Final = 192 * 1024 * 1024
_MAKERS: Final = frozenset({"Function", "PureFunc", "Concat", "AggFinal", "AggValue", "Cast"})
# These return a number, or nothing longer than their arguments.
_HARMLESS: Final = frozenset(
    {"abs", "avg", "bm25", "coalesce", "count", "date", "datetime", "glob", "ifnull", "instr", "julianday", "length",
     "like", "match", "max", "min", "nullif", "round", "row_number", "snippet", "strftime", "substr", "substring",
     "sum", "time", "total", "typeof", "unicode", "unixepoch", "json_array_length", "json_extract", "json_type",
     "json_valid", "->", "->>"}
)  # fmt: skip
_NOT_CONSTANT: Final = frozenset({"randomblob", "strftime", "date", "time", "datetime", "julianday", "unixepoch"})
_READING: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_INNOCENT_PRAGMAS: Final = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
     "database_list", "collation_list", "function_list", "module_list", "pragma_list", "compile_options",
     "data_version"}
)  # fmt: skip
# These return a setting, and change it if they are given a value.
_PRAGMAS_THAT_TELL: Final = frozenset(
    {"user_version", "application_id", "schema_version", "page_count", "page_size", "freelist_count", "encoding",
     "journal_mode", "synchronous", "foreign_keys", "query_only"}
)  # fmt: skip
_DANGEROUS_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer"})


def allow_reading(action: int, first: str | None, second: str | None) -> int:
    """Returns the authorizer's verdict: everything that is not known to be reading is refused."""
    if action in _READING:
        dangerous = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _DANGEROUS_FUNCTIONS
        return sqlite3.SQLITE_DENY if dangerous else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA:
        name = (first or "").lower()
        innocent = name in _INNOCENT_PRAGMAS or (name in _PRAGMAS_THAT_TELL and second is None)
        return sqlite3.SQLITE_OK if innocent else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_DENY


@functools.cache
def _memory_counter() -> Callable[[], int]:
    """Returns SQLite's own counter of the bytes that it uses in this process; it is always 0 where SQLite has none."""
    import _sqlite3
    import ctypes

    try:
        count = ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used
    except (AttributeError, OSError):
        return lambda: 0
    count.restype = ctypes.c_int64
    return cast("Callable[[], int]", count)


class Guard:
    """A watch over one query: it limits its actions, its time and its memory.

    A query runs with short values first, where no function of SQLite's takes long. If one of its values is too long
    for that it runs again, slower: SQLite calls back at every other step, and `LongValues` replaces what is dangerous.

    sqlite3 swallows what its callbacks raise, an interrupt too, and then says that the query was not allowed or was
    interrupted. A generator stands inside its `try` when it goes on, so that `tick` catches the interrupt itself.
    """

    def __init__(self, timeout: float, largest_event: int) -> None:
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._longest = max(LONG, largest_event + ROOM)
        self._longest_json = min(self._longest, max(SHORT, largest_event + ROOM))
        self._left = MOST_ROW_BYTES
        self._row = 0
        self._came: BaseException | None = None
        self._refused = False
        self._searches = self._measured = False
        self._count_memory = _memory_counter()
        self._memory = self._count_memory()
        self._connection: Connection | None = None
        ticks = self._ticks()
        next(ticks)
        self._tick: Callable[[], bool] = ticks.__next__

    def watch(self, connection: Connection, *, long: bool) -> LongValues:
        """Sets limits and callbacks of a connection and replaces functions; the result must be closed at the end."""
        self._left, self._row = MOST_ROW_BYTES, 0
        self._connection = connection if long else None
        length = self._longest if long else SHORT
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, length)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, WIDEST)
        connection.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, MOST_COLUMNS)
        connection.setlimit(sqlite3.SQLITE_LIMIT_FUNCTION_ARG, MOST_ARGUMENTS)
        functions = LongValues(length, self._check_time)
        for name, arguments, function in functions.always():
            connection.create_function(name, arguments, self._caught(function), deterministic=True)
        if long:
            connection.text_factory = self._text
            for name, arguments, function in functions.for_long_values():
                constant = name not in _NOT_CONSTANT
                connection.create_function(name, arguments, self._caught(function), deterministic=constant)
        connection.set_authorizer(self._allows)
        connection.set_progress_handler(self._tick, STEPS_WITH_LONG_VALUES if long else STEPS)
        return functions

    def measure(self, connection: Connection, sql: str, params: Sequence[Any] | Params) -> None:
        """Lowers the limit of a value's length by the number of values that the query's program makes for a row."""
        if sql.lstrip()[:7].upper() in {"EXPLAIN", "PRAGMA "}:
            return
        program = connection.execute(f"EXPLAIN {sql}", params).fetchall()
        makers = [
            step for step in program if step[1] in _MAKERS and str(step[5]).partition("(")[0].lower() not in _HARMLESS
        ]
        read = len({(step[2], step[3]) for step in program if step[1] == "Column"})
        shown = max((step[3] for step in program if step[1] == "ResultRow"), default=1)
        if self._searches and (makers or has_long_values(params)):
            raise QueryError("a search expression may not be made of long values, nor beside functions that make some")
        at_once = max(1, len(makers), shown - read)
        limit = connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(limit, max(SHORT, MOST_AT_ONCE // at_once)))
        self._measured = True

    def count(self, row: tuple[Any, ...], made: dict[str, Any], *, kept: bool) -> dict[str, Any]:
        """Counts the memory of a row that was fetched, and returns its dict; one that is not kept counts alone."""
        left = self._left - sys.getsizeof(made) - sum(map(sys.getsizeof, row))
        self._row = 0
        if left < 0:
            raise _too_many_rows()
        if kept:
            self._left = left
        return made

    def _text(self, data: bytes) -> str | bytes:
        """Returns a text of the row that is being fetched, and counts up to four bytes for each of its own."""
        self._row += len(data) if data.isascii() else 4 * len(data)
        if self._row > self._left:
            raise _too_many_rows()
        return lenient_text(data)

    def _ticks(self) -> Iterator[bool]:
        looked = time.monotonic()
        while True:
            try:
                now = time.monotonic()
                if now - looked > SECONDS_BETWEEN_LOOKS:
                    looked = now
                    if self._count_memory() - self._memory > MOST_MEMORY:
                        raise _too_much_memory()
                yield self._came is not None or now > self._deadline
            except GeneratorExit:
                return
            except BaseException as error:  # noqa: BLE001  # `error` hands it to the query, which raises it
                self._came = error

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise self._took_too_long()

    def _took_too_long(self) -> QueryError:
        return QueryError(f"the query took more than {self._timeout:g} s: narrow it, or give a longer timeout")

    def _caught(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function whose errors are kept, since sqlite3 reports only that there was one."""

        def call(*args: Any) -> Any:
            try:
                return function(*args)
            except TooLong:
                raise
            except sqlite3.Error as error:  # SQLite complains about the arguments
                self._came = QueryError(f"the query failed: {error}")
                raise
            except BaseException as error:
                self._came = error
                raise

        return call

    def _allows(self, action: int, first: str | None, second: str | None, *_: object) -> int:
        """Decides about one action of a query, as SQLite's authorizer."""
        verdict = allow_reading(action, first, second)
        self._searches = self._searches or (action == sqlite3.SQLITE_READ and first == "search_index")
        if self._connection is not None and _is_json(action, first, second):
            if not self._measured:  # parsing an array of small numbers takes eight times its length
                self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._longest_json)
            if (second or "").lower() == "json_patch":  # its time is the product of two lengths
                verdict = sqlite3.SQLITE_DENY
        self._refused = self._refused or verdict == sqlite3.SQLITE_DENY
        return verdict

    def error(self, error: Exception) -> BaseException:
        """Returns our error for SQLite's about the query, or the interrupt that caused it."""
        if self._came is not None:
            return self._came
        code = primary_code(error)
        if code == sqlite3.SQLITE_INTERRUPT:
            return self._took_too_long() if time.monotonic() > self._deadline else KeyboardInterrupt()
        if code == sqlite3.SQLITE_TOOBIG:
            return QueryError(
                f"a value is longer than the {self._longest:,} bytes ({self._longest_json:,} with JSON, fewer where a "
                "row has many) that a query may make, or than a function takes: shorten it"
            )
        # For a function that is refused SQLite's code is only the general one, so the text is compared.
        if code == sqlite3.SQLITE_AUTH or str(error).startswith("not authorized"):
            return query_error(error) if self._refused else KeyboardInterrupt()
        return query_error(error)


def is_too_long(error: Exception) -> bool:
    """Returns True if a value was too long for the limits of a connection."""
    return isinstance(error, sqlite3.Error) and primary_code(error) == sqlite3.SQLITE_TOOBIG


def has_long_values(params: Sequence[Any] | Params) -> bool:
    """Returns True if a query's parameters are too long for the limits that it first runs with."""
    values = params.values() if isinstance(params, Mapping) else params
    return any(isinstance(value, (str, bytes, bytearray, memoryview)) and len(value) > SHORT // 4 for value in values)


def _is_json(action: int, first: str | None, second: str | None) -> bool:
    if action == sqlite3.SQLITE_FUNCTION:
        return (second or "").lower().startswith(("json", "->"))
    return action == sqlite3.SQLITE_READ and (first or "").lower() in {"json_each", "json_tree"}


def _too_many_rows() -> QueryError:
    return QueryError(f"the rows take more than {MOST_ROW_BYTES:,} bytes: narrow the query, or give a LIMIT")


def _too_much_memory() -> QueryError:
    return QueryError(f"the query took more than {MOST_MEMORY:,} bytes of memory: narrow it")


def query_error(error: Exception) -> QueryError:
    """Returns our error for SQLite's about a query of the caller's."""
    if primary_code(error) in {sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY}:
        return QueryError("query() only reads: use the verbs of the service to write")
    # SQLite's text may be shown here: it is about the caller's own SQL, and helps its author.
    return QueryError(f"the query failed: {error}")
