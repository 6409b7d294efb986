"""What differs between the servers: their types, how a connection is set up, and what their errors mean.

A statement of `queries` runs as it stands on each of them. A `Dialect` says the rest, as data where that is possible.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from session_sqlite import queries
from session_sqlite.errors import InvalidInputError, StoreBusyError

DUPLICATE_KEY_NAME: Final = 1061  # of MySQL
DUPLICATE_ENTRY: Final = 1062
ORDER_CONSTRAINT: Final = "events_in_order"  # no two events of a session have one seq


class Fault(enum.Enum):
    """The meanings that a driver's error can have for the operation that met it."""

    CONFLICT = "another transaction came between: run the operation again"
    RACE = "the INSERT or DELETE of another was first; if it stays so, rows contradict each other"
    DISORDER = "a session has events beyond its last_seq"
    DISCONNECTED = "the server or the way to it is gone: connect again and run the operation again"
    BUSY = "another transaction held a lock for too long"
    FULL = "the server's disk is full"
    READ_ONLY = "the server may not write"
    STANDBY = "the server may not write now: it follows another, which may be back in a moment"
    TOO_LARGE = "the server takes no value of that size"
    MISSING = "a table or column is not there"
    TIMED_OUT = "a statement took longer than it may"
    DENIED = "the server lets the account not in: a wrong password, or no such database"
    FORBIDDEN = "the account has no right to do that"
    OTHER = "anything else"


def plain_number(text: str) -> int | float:
    """Returns a decimal number as SQLite would give it."""
    return int(text) if text.lstrip("-").isdigit() else float(text)


NO_WORDS: Final[Mapping[str, bool]] = {}


class Dialect:
    """One kind of server.

    Attributes:
        name: SQLAlchemy's name for it.
        oldest: The names of the products, each with the first version that has all that is needed.
        identifier: The column type of an identifier: at most 128 characters, compared byte by byte.
        short_text: The type of other text that an index has.
        long_text: The type of text of any length.
        row_id: The type of a number that the server gives to each row.
        table_options: What follows a table's columns.
        for_update: What makes a SELECT lock its rows.
        if_not_exists: What makes CREATE INDEX do nothing where the index is there; empty if nothing does.
        advance: `queries.ADVANCE_SESSION`, so that `advanced` knows the new ``last_seq`` without another statement.
        begin_read_only: The statements that begin a transaction which cannot write, nor any after it.
        words_type: The type of the words of an event, which the server indexes.
        words_value: What makes a value of that type of the text ``:words``.
        words_match: The condition that an event has the words of the query ``:match``.
        event_actions: The view that has the calls of tools as rows: the one place where JSON is taken apart.
        tools_of_event: The names of an event's tools, joined.
        has_usage: The condition that the column of the usage can be read.
        extra_statements: What else the views need, before they are made.
        has_returning: True if an INSERT can give its new rows to the statement around it.
        changes_text: True if the server cannot keep every text as it is.
        backup_command: The server's own program for backups.
        settings_at_risk: The query for settings with which the server may lose what it has acknowledged.
        parts: The query for the names of all views and indexes.
    """

    name: str
    oldest: Mapping[str, tuple[int, ...]]
    identifier: str
    short_text: str
    long_text: str
    row_id: str
    table_options: str = ""
    for_update: str = "FOR UPDATE"
    if_not_exists: str = "IF NOT EXISTS"
    advance: str
    begin_read_only: tuple[str, ...]
    words_type: str
    words_value: str
    words_match: str
    event_actions: str
    tools_of_event: str
    has_usage: str
    extra_statements: tuple[str, ...] = ()
    has_returning: bool = False
    changes_text: bool = False
    backup_command: str
    settings_at_risk: str
    parts: str

    def advanced(self, cursor: Any) -> int | None:
        """Returns the ``last_seq`` that a cursor's `advance` has set; None if there is no such session."""
        raise NotImplementedError

    def too_old(self, version: str) -> str:
        """Returns what is wrong with a version, given what the server says of itself; empty if it will do."""
        product = next((name for name in self.oldest if name in version), list(self.oldest)[-1])
        numbers = re.search(r"\d+(\.\d+)*", version.removeprefix("5.5.5-"))  # which MariaDB once put in front
        if numbers is None or tuple(map(int, numbers[0].split("."))) >= self.oldest[product]:
            return ""
        return f"{product} {numbers[0]} is too old: {'.'.join(map(str, self.oldest[product]))} or newer is needed"

    def words_query(self, tokens: Mapping[str, bool], any_of: Mapping[str, bool] = NO_WORDS) -> str:
        """Returns the query for all of some words, and for any of others; those that are true are prefixes."""
        raise NotImplementedError

    def index_of_words(self) -> str:
        """Returns the statement that makes the index of the words, if it is not there."""
        raise NotImplementedError

    def usage_value(self, name: str) -> str:
        """Returns the expression for a value of the JSON in the column of the usage, NULL where there is none."""
        raise NotImplementedError

    def key_of(self, call_id: str) -> str:
        """Returns the expression for a value to sort ids of calls by, equal if they are; NULL for an empty id."""
        return f"nullif({call_id}, '')"

    def value_read(self, value: Any) -> Any:
        """Returns a value of a row as it was before `stored`."""
        return self.read(value) if isinstance(value, str) else value

    def keeps(self, text: str) -> bool:  # noqa: ARG002  # a server that keeps every text need not look at it
        """Returns True for a text that `stored` would not change."""
        return True

    def stored(self, text: str) -> str:
        """Returns a text as the server can keep it."""
        return text

    def read(self, text: str) -> str:
        """Returns a text as it was before `stored`."""
        return text

    def column(self, kind: str) -> str:
        """Returns the type of a column, given its kind (the name of an attribute, or a type) and what follows it."""
        name, _, rest = kind.partition(" ")
        return f"{getattr(self, name, name)} {rest}".rstrip()

    def index(self, name: str, table: str, columns: str) -> str:
        """Returns the statement that makes an index if it is not there."""
        return f"CREATE INDEX {self.if_not_exists} {name} ON {table} ({columns})"

    def is_made_already(self, error: DBAPIError) -> bool:  # noqa: ARG002  # of servers that know IF NOT EXISTS
        """True if a step failed because what it makes is there."""
        return False

    def index_of_long_text(self, name: str, table: str, column: str) -> str:
        """Returns the statement that makes an index on a column without a limit of its length, for equality."""
        raise NotImplementedError

    def set_up(self, execute: Any, lock_seconds: float) -> None:
        """Sets up a new connection, given the driver's way to run a statement and return its rows."""
        raise NotImplementedError

    def set_up_driver(self, connection: Any) -> None:
        """Has a new connection of the driver's give sums as the int or float that SQLite gives, and no Decimal."""
        raise NotImplementedError

    def begin(self, connection: Any) -> None:
        """Begins a transaction on a connection of the driver's."""
        raise NotImplementedError

    def commit(self, connection: Any) -> None:
        """Commits it."""
        connection.commit()

    def roll_back(self, connection: Any) -> None:
        """Rolls back whatever transaction there is."""
        connection.rollback()

    def fault(self, error: DBAPIError) -> Fault:
        """Returns what an error means."""
        raise NotImplementedError

    def refuses_writing(self, error: Exception) -> bool:
        """Returns True for the error of a statement that would write in a transaction which may not."""
        raise NotImplementedError

    def is_about_sql(self, error: DBAPIError) -> bool:
        """Returns True if the server's message is about the SQL, so that it quotes nothing that is stored."""
        raise NotImplementedError

    def take_migration_lock(self, connection: Connection) -> None:
        """Waits until no other process changes the schema; the end of the connection gives it up.

        Raises:
            StoreBusyError: Another process has it for longer than the store waits for locks.
        """
        raise NotImplementedError

    def limit_statements(self, connection: Connection, seconds: float) -> None:
        """Ends each statement of the transaction that takes longer."""
        raise NotImplementedError

    def take_one_statement(self, connection: Any) -> None:
        """Has a connection of the driver's refuse a text that is several statements."""

    def leave_unread(self, connection: Any) -> None:
        """Prepares a connection of the driver's for its end before all rows of a query were read."""

    def _is_lost(self, error: DBAPIError) -> bool:
        return bool(error.connection_invalidated)


class PostgreSQL(Dialect):
    """PostgreSQL, by psycopg 3."""

    name = "postgresql"
    oldest = MappingProxyType({"PostgreSQL": (12,)})
    identifier = 'varchar(128) COLLATE "C"'
    short_text = 'varchar(256) COLLATE "C"'
    long_text = 'text COLLATE "C"'
    row_id = "bigint GENERATED BY DEFAULT AS IDENTITY"
    advance = f"{queries.ADVANCE_SESSION} RETURNING last_seq"
    begin_read_only = (
        "SET default_transaction_read_only = on",
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    )
    has_returning = True
    changes_text = True
    backup_command = "pg_dump"
    settings_at_risk = """
SELECT name, setting
  FROM pg_settings
 WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
"""
    parts = """
SELECT viewname
  FROM pg_views
 WHERE schemaname = current_schema()
 UNION ALL
SELECT indexname
  FROM pg_indexes
 WHERE schemaname = current_schema()
"""
    words_type = "tsvector"
    words_value = "array_to_tsvector(string_to_array(CAST(:words AS text), ' '))"
    words_match = "event_words.words @@ CAST(:match AS tsquery)"
    # A row that was damaged must not make a whole view fail, and PostgreSQL's text cannot hold the NUL that JSON can.
    extra_statements = (
        """
CREATE OR REPLACE FUNCTION readable_json(stored text) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN replace(stored, '\\u0000', '\\ufffd')::json;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END
$$
""",
    )
    event_actions = """
SELECT events.row_id,
       action.place - 1 AS position,
       coalesce(action.value ->> 'id', '') AS call_id,
       action.value ->> 'name' AS name,
       coalesce(action.value ->> 'args', '{}') AS args,
       action.value ->> 'output' AS output,
       action.value ->> 'error' AS error
  FROM events
 CROSS JOIN LATERAL json_array_elements(
       CASE WHEN json_typeof(readable_json(events.actions)) = 'array' THEN readable_json(events.actions) END
     ) WITH ORDINALITY AS action (value, place)
 WHERE events.actions <> '[]'
   AND json_typeof(action.value) = 'object'
"""
    has_usage = 'readable_json("usage") IS NOT NULL'
    tools_of_event = "string_agg(action.name, ', ' ORDER BY action.position)"

    # U+E000 begins an escape: U+E000 U+E001 is a NUL, U+E000 U+E002 is U+E000 itself.
    _ESCAPE: Final = "\ue000"

    _FAULTS: Final[Mapping[str, Fault]] = {
        "40001": Fault.CONFLICT,  # serialization_failure
        "40P01": Fault.CONFLICT,  # deadlock_detected
        "23505": Fault.RACE,  # unique_violation
        "23503": Fault.RACE,  # foreign_key_violation: the session went in between
        "55P03": Fault.BUSY,  # lock_not_available
        "25006": Fault.STANDBY,  # read_only_sql_transaction
        "53100": Fault.FULL,  # disk_full
        "53300": Fault.DISCONNECTED,  # too_many_connections: there may be room in a moment
        "54000": Fault.TOO_LARGE,  # program_limit_exceeded
        "42P01": Fault.MISSING,  # undefined_table
        "42703": Fault.MISSING,  # undefined_column
        "42501": Fault.FORBIDDEN,  # insufficient_privilege
        "57014": Fault.TIMED_OUT,  # query_canceled
        "28P01": Fault.DENIED,  # invalid_password
        "28000": Fault.DENIED,  # invalid_authorization_specification
        "3D000": Fault.DENIED,  # invalid_catalog_name: there is no such database
    }

    # What a server says that refuses a connection: such an error has no code.
    _DENIALS: Final = ("authentication failed", "no pg_hba.conf entry", "does not exist", "is not permitted to log in",
                       "no password supplied", "permission denied for database", "rejects connection")  # fmt: skip

    def keeps(self, text: str) -> bool:
        """See `Dialect.keeps`."""
        return "\0" not in text and self._ESCAPE not in text

    def stored(self, text: str) -> str:
        """See `Dialect.stored`: the server's text cannot hold a NUL."""
        if not self.keeps(text):
            return text.replace(self._ESCAPE, f"{self._ESCAPE}\ue002").replace("\0", f"{self._ESCAPE}\ue001")
        return text

    def read(self, text: str) -> str:
        """See `Dialect.read`."""
        if self._ESCAPE in text:
            return text.replace(f"{self._ESCAPE}\ue001", "\0").replace(f"{self._ESCAPE}\ue002", self._ESCAPE)
        return text

    def advanced(self, cursor: Any) -> int | None:
        """See `Dialect.advanced`."""
        row = cursor.fetchone()
        return None if row is None else row[0]

    def words_query(self, tokens: Mapping[str, bool], any_of: Mapping[str, bool] = NO_WORDS) -> str:
        """See `Dialect.words_query`."""
        alternatives = " | ".join(f"{token}:*" if is_prefix else token for token, is_prefix in any_of.items())
        words = [f"{token}:*" if is_prefix else token for token, is_prefix in tokens.items()]
        return " & ".join([*words, f"({alternatives})"] if alternatives else words)

    def index_of_words(self) -> str:
        """See `Dialect.index_of_words`."""
        return "CREATE INDEX IF NOT EXISTS event_words_index ON event_words USING gin (words)"

    def usage_value(self, name: str) -> str:
        """See `Dialect.usage_value`."""
        value = f"readable_json(\"usage\") ->> '{name}'"
        # A CAST of what is no number would make the whole view fail.
        return value if name == "model" else f"CASE WHEN {value} ~ '^[0-9]{{1,18}}$' THEN CAST({value} AS bigint) END"

    def set_up(self, execute: Any, lock_seconds: float) -> None:
        """See `Dialect.set_up`."""
        execute(f"SET lock_timeout = {max(1, round(lock_seconds * 1000))}")
        execute("SET timezone = 'UTC'")
        execute("SET client_encoding = 'UTF8'")

    def set_up_driver(self, connection: Any) -> None:
        """See `Dialect.set_up_driver`."""
        from psycopg import IsolationLevel
        from psycopg.adapt import Loader

        connection.isolation_level, connection.read_only = IsolationLevel.READ_COMMITTED, False

        class PlainNumber(Loader):
            def load(self, data: Any) -> int | float:
                return plain_number(bytes(data).decode())

        connection.adapters.register_loader("numeric", PlainNumber)

    def begin(self, connection: Any) -> None:
        """See `Dialect.begin`: the driver sends a BEGIN before the next statement."""
        connection.autocommit = False

    def take_one_statement(self, connection: Any) -> None:
        """See `Dialect.take_one_statement`: of several none can be prepared. Otherwise the server runs them all.

        The first may then read, the second end the transaction that may only read, and the third write.
        """
        connection.prepare_threshold = 0

    def commit(self, connection: Any) -> None:
        """See `Dialect.commit`."""
        connection.commit()
        connection.autocommit = True

    def roll_back(self, connection: Any) -> None:
        """See `Dialect.roll_back`."""
        connection.rollback()
        connection.autocommit = True

    def fault(self, error: DBAPIError) -> Fault:
        """See `Dialect.fault`."""
        state: str | None = getattr(error.orig, "sqlstate", None)
        if state == "23505" and error.orig.diag.constraint_name == ORDER_CONSTRAINT:  # type: ignore[union-attr]  # psycopg's
            return Fault.DISORDER
        if state == "0A000" and "read-write mode during recovery" in str(error.orig):  # BEGIN READ WRITE on a standby
            return Fault.STANDBY
        if state is not None and state in self._FAULTS:
            return self._FAULTS[state]
        if state is None and any(words in str(error.orig) for words in self._DENIALS):
            return Fault.DENIED
        # 08: connection exceptions; 57P: the server shuts down or starts. Errors of connecting carry no code.
        is_down = state is not None and state.startswith(("08", "57P"))
        is_unreached = state is None and type(error.orig).__name__ in {"OperationalError", "ConnectionTimeout"}
        if self._is_lost(error) or is_down or is_unreached:
            return Fault.DISCONNECTED
        return Fault.OTHER

    def refuses_writing(self, error: Exception) -> bool:
        """See `Dialect.refuses_writing`."""
        cause = getattr(error, "orig", None)
        state = getattr(cause, "sqlstate", None)
        return state == "25006" or (state == "0A000" and "data-modifying" in str(cause))  # which no cursor may be for

    def is_about_sql(self, error: DBAPIError) -> bool:
        """See `Dialect.is_about_sql`. Class 42 is of syntax errors and of names that are not there."""
        return str(getattr(error.orig, "sqlstate", None)).startswith("42")

    def index_of_long_text(self, name: str, table: str, column: str) -> str:
        """See `Dialect.index_of_long_text`. A btree refuses values of more than 2,700 bytes."""
        return f"CREATE INDEX IF NOT EXISTS {name} ON {table} USING hash ({column}) WHERE {column} IS NOT NULL"

    def take_migration_lock(self, connection: Connection) -> None:
        """See `Dialect.take_migration_lock`. The number is "SSQL" in ASCII."""
        connection.exec_driver_sql("SELECT pg_advisory_lock(1397969228)")

    def limit_statements(self, connection: Connection, seconds: float) -> None:
        """See `Dialect.limit_statements`."""
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, round(seconds * 1000))}")


def _member(name: str) -> str:
    """Returns MySQL's expression for a member of an action as text, NULL where there is none."""
    value = f"JSON_EXTRACT(events.actions, CONCAT('$[', action.place - 1, '].{name}'))"
    return f"CASE JSON_TYPE({value}) WHEN 'NULL' THEN NULL ELSE JSON_UNQUOTE({value}) END"


class MySQL(Dialect):
    """MySQL and MariaDB, by PyMySQL.

    Attributes:
        is_mariadb: True for MariaDB, whose names of some things differ.
    """

    name = "mysql"
    oldest = MappingProxyType({"MariaDB": (10, 6), "MySQL": (8, 0, 21)})  # the first with JSON_TABLE and JSON_VALUE
    row_id = "bigint AUTO_INCREMENT"
    # A value given to LAST_INSERT_ID comes back with the answer, as that of an AUTO_INCREMENT does.
    advance = queries.ADVANCE_SESSION.replace("last_seq + :count", "LAST_INSERT_ID(last_seq + :count)")
    begin_read_only = (
        "SET SESSION TRANSACTION READ ONLY",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    )
    backup_command = "mariadb-dump (or mysqldump)"
    settings_at_risk = """
SELECT 'innodb_flush_log_at_trx_commit', @@global.innodb_flush_log_at_trx_commit
 WHERE @@global.innodb_flush_log_at_trx_commit <> 1
"""
    parts = """
SELECT table_name
  FROM information_schema.views
 WHERE table_schema = database()
 UNION ALL
SELECT index_name
  FROM information_schema.statistics
 WHERE table_schema = database()
"""
    words_type = "longtext CHARACTER SET ascii COLLATE ascii_bin"
    words_value = ":words"
    words_match = "MATCH (event_words.words) AGAINST (:match IN BOOLEAN MODE)"
    event_actions = f"""
SELECT events.row_id,
       action.place - 1 AS position,
       coalesce({_member("id")}, '') AS call_id,
       {_member("name")} AS name,
       coalesce({_member("args")}, '{{}}') AS args,
       {_member("output")} AS output,
       {_member("error")} AS error
  FROM events
  JOIN JSON_TABLE(
         CASE WHEN JSON_VALID(events.actions) THEN events.actions ELSE '[]' END,
         '$[*]' COLUMNS (place FOR ORDINALITY)
       ) AS action
 WHERE events.actions <> '[]'
   AND JSON_TYPE(JSON_EXTRACT(events.actions, CONCAT('$[', action.place - 1, ']'))) = 'OBJECT'
"""
    has_usage = 'JSON_VALID("usage")'
    tools_of_event = "GROUP_CONCAT(action.name ORDER BY action.position SEPARATOR ', ')"

    _FAULTS: Final[Mapping[int, Fault]] = {
        1213: Fault.CONFLICT,  # deadlock; of a Galera cluster: another node was first
        1062: Fault.RACE,  # duplicate key
        1452: Fault.RACE,  # foreign key: the session went in between
        1020: Fault.CONFLICT,  # the record has changed since it was read
        1205: Fault.BUSY,  # lock wait timeout; of a Galera node that is being cut off: it cannot get in step
        1047: Fault.DISCONNECTED,  # a Galera node that was cut off answers this to everything, ROLLBACK included
        1040: Fault.DISCONNECTED,  # too many connections: there may be room in a moment
        1203: Fault.DISCONNECTED,  # the same of one account
        1226: Fault.DISCONNECTED,
        1053: Fault.DISCONNECTED,  # the server shuts down
        1180: Fault.DISCONNECTED,  # error during COMMIT: nobody knows whether it happened
        1927: Fault.DISCONNECTED,  # the connection was killed
        1290: Fault.READ_ONLY,  # --read-only
        1792: Fault.READ_ONLY,  # a transaction that cannot write
        1836: Fault.READ_ONLY,  # innodb_read_only
        1021: Fault.FULL,  # disk full
        1114: Fault.FULL,  # the table is full
        1153: Fault.TOO_LARGE,  # max_allowed_packet
        1301: Fault.TOO_LARGE,
        1406: Fault.TOO_LARGE,  # data too long for a column
        1146: Fault.MISSING,  # no such table
        1054: Fault.MISSING,  # unknown column
        1044: Fault.DENIED,  # no right to the database
        1045: Fault.DENIED,  # wrong password
        1049: Fault.DENIED,  # no such database
        1129: Fault.DENIED,  # the host is blocked
        1130: Fault.DENIED,  # the host may not connect
        1251: Fault.DENIED,  # a way to sign in that the driver does not know
        1698: Fault.DENIED,  # an account of MariaDB without a password, for the socket only
        1820: Fault.DENIED,  # the password has expired
        1862: Fault.DENIED,
        2059: Fault.DENIED,
        3118: Fault.DENIED,  # the account is locked; of MariaDB: 4151
        4151: Fault.DENIED,
        1142: Fault.FORBIDDEN,  # a table
        1143: Fault.FORBIDDEN,  # a column
        1227: Fault.FORBIDDEN,
        1345: Fault.FORBIDDEN,  # EXPLAIN of a view
        1370: Fault.FORBIDDEN,
        1317: Fault.TIMED_OUT,
        1969: Fault.TIMED_OUT,  # max_statement_time of MariaDB
        3024: Fault.TIMED_OUT,  # max_execution_time of MySQL
        2002: Fault.DISCONNECTED,
        2003: Fault.DISCONNECTED,
        2006: Fault.DISCONNECTED,
        2013: Fault.DISCONNECTED,
        2055: Fault.DISCONNECTED,
    }

    def __init__(self, *, is_mariadb: bool) -> None:
        self.is_mariadb = is_mariadb
        self.if_not_exists = "IF NOT EXISTS" if is_mariadb else ""
        # utf8mb4_bin pads with spaces: 'a' = 'a ', and one user would read what another wrote.
        collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        text = f"CHARACTER SET utf8mb4 COLLATE {collation}"
        self.identifier = f"varchar(128) {text}"
        self.short_text = f"varchar(256) {text}"
        object.__setattr__(self, "long_text", f"longtext {text}")  # TEXT ends at 64 KB
        self.table_options = f"ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT {text}"

    def set_up(self, execute: Any, lock_seconds: float) -> None:
        """See `Dialect.set_up`."""
        # "key" and "usage" are quoted as the standard says; a value that does not fit is an error, never cut.
        execute("SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES,NO_ENGINE_SUBSTITUTION,"
                "ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE'")  # fmt: skip
        execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        execute(f"SET SESSION innodb_lock_wait_timeout = {max(1, round(lock_seconds))}")
        execute(f"SET SESSION lock_wait_timeout = {max(1, round(lock_seconds))}")  # for a table: by default a day
        execute("SET SESSION time_zone = '+00:00'")
        execute("SET SESSION group_concat_max_len = 1048576")
        if execute("SHOW VARIABLES LIKE 'wsrep_sync_wait'"):
            execute("SET SESSION wsrep_sync_wait = 1")  # a Galera node reads what another has acknowledged

    def set_up_driver(self, connection: Any) -> None:
        """See `Dialect.set_up_driver`."""
        from pymysql.constants import FIELD_TYPE

        connection.decoders[FIELD_TYPE.NEWDECIMAL] = plain_number

    def leave_unread(self, connection: Any) -> None:
        """See `Dialect.leave_unread`: PyMySQL would read all that is left, from a socket that is closed."""
        if connection._result is not None:
            connection._result.unbuffered_active = False

    def begin(self, connection: Any) -> None:
        """See `Dialect.begin`."""
        connection.query("START TRANSACTION READ WRITE")

    def fault(self, error: DBAPIError) -> Fault:
        """See `Dialect.fault`."""
        number, text = (*getattr(error.orig, "args", ()), None, "")[:2]
        if number == DUPLICATE_ENTRY and str(text).rstrip("'").endswith(ORDER_CONSTRAINT):  # the index is named last
            return Fault.DISORDER
        if number is not None and number in self._FAULTS:
            return self._FAULTS[number]
        return Fault.DISCONNECTED if self._is_lost(error) else Fault.OTHER

    def refuses_writing(self, error: Exception) -> bool:
        """See `Dialect.refuses_writing`."""
        return isinstance(error, DBAPIError) and self.fault(error) is Fault.READ_ONLY

    def is_about_sql(self, error: DBAPIError) -> bool:
        """See `Dialect.is_about_sql`: a syntax error, or a table, column or function that is not there."""
        return next(iter(getattr(error.orig, "args", ())), None) in {1052, 1054, 1064, 1109, 1146, 1305}

    def is_made_already(self, error: DBAPIError) -> bool:
        """See `Dialect.is_made_already`: MySQL, unlike MariaDB, has no IF NOT EXISTS for indexes."""
        return next(iter(getattr(error.orig, "args", ())), None) == DUPLICATE_KEY_NAME

    def advanced(self, cursor: Any) -> int | None:
        """See `Dialect.advanced`."""
        return cursor.lastrowid if cursor.rowcount else None

    def words_query(self, tokens: Mapping[str, bool], any_of: Mapping[str, bool] = NO_WORDS) -> str:
        """See `Dialect.words_query`."""
        alternatives = " ".join(f"{token}*" if is_prefix else token for token, is_prefix in any_of.items())
        words = " ".join(f"+{token}*" if is_prefix else f"+{token}" for token, is_prefix in tokens.items())
        return f"{words} +({alternatives})" if alternatives else words

    def index_of_words(self) -> str:
        """See `Dialect.index_of_words`."""
        return f"CREATE FULLTEXT INDEX {self.if_not_exists} event_words_index ON event_words (words)"

    def usage_value(self, name: str) -> str:
        """See `Dialect.usage_value`."""
        value = f'JSON_VALUE(CASE WHEN JSON_VALID("usage") THEN "usage" END, \'$.{name}\')'
        return value if name == "model" else f"CAST({value} AS SIGNED)"

    def key_of(self, call_id: str) -> str:
        """See `Dialect.key_of`. The server sorts long texts by their beginnings alone."""
        return f"sha2({super().key_of(call_id)}, 256)"

    def index_of_long_text(self, name: str, table: str, column: str) -> str:
        """See `Dialect.index_of_long_text`."""
        return self.index(name, table, f"{column}(64)")

    def take_migration_lock(self, connection: Connection) -> None:
        """See `Dialect.take_migration_lock`. On a cluster it is one node's; each step may run twice at once."""
        sql = "SELECT GET_LOCK('session_sqlite_schema', @@SESSION.lock_wait_timeout)"
        if connection.exec_driver_sql(sql).scalar() != 1:
            raise StoreBusyError("another process changes the schema of the store: try again")

    def limit_statements(self, connection: Connection, seconds: float) -> None:
        """See `Dialect.limit_statements`."""
        if self.is_mariadb:
            connection.exec_driver_sql(f"SET SESSION max_statement_time = {seconds:.3f}")
        else:
            connection.exec_driver_sql(f"SET SESSION max_execution_time = {max(1, round(seconds * 1000))}")


def dialect_of(name: str, *, is_mariadb: bool) -> Dialect:
    """Returns the dialect with SQLAlchemy's name. Raises `InvalidInputError` for a server that is not served."""
    if name == "postgresql":
        return PostgreSQL()
    if name in {"mysql", "mariadb"}:
        return MySQL(is_mariadb=is_mariadb)
    raise InvalidInputError(f"a store can be on PostgreSQL, MySQL or MariaDB, not on {name}")
