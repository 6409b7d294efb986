"""The parts that all commands use: options, opening the store, asking, printing for people and for programs.

People get lines and tables in which no character can control their terminal. Programs get JSON, or CSV for rows, both
in UTF-8 whatever encoding the terminal has.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import update_wrapper
from itertools import chain
from typing import Any, Final

import click

from session_sqlite.errors import SessionNotFoundError
from session_sqlite.models import ANY, Event
from session_sqlite.service import SessionService, others_said
from session_sqlite.session import Session
from session_sqlite.sqlite import MEMORY, database_file, path_text
from session_sqlite.sqlite.paths import PATH_VARIABLE
from session_sqlite.sqlite_service import SQLiteSessionService
from session_sqlite.transcript import display_width, fitted, terminal_text, visible

FAILED: Final = 1  # the exit code of a command that could not do all it was asked to do
LEAVE_OUT: Final = "leave out --app and --user to see them"
THERE_ARE_MORE: Final = "There are more: see --limit."
DEFAULT_FILE: Final = "Default: SESSION_SQLITE_URL, or the path that `session-sqlite path` prints."
URL_VARIABLE: Final = "SESSION_SQLITE_URL"
COLUMNS_UNLESS_TERMINAL: Final = 120
LONGEST_TITLE: Final = 60
GAP: Final = 2  # blanks between two columns of a table
LEAST_CELL: Final = 12  # the width below which no column of a table is cut

BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"

# Characters that JSON allows in a string, and that can control a terminal.
_UNSAFE_IN_JSON = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# A spreadsheet that opens a CSV file takes a cell that begins so for a formula, and runs it.
_RUNS_IN_A_SPREADSHEET: Final = ("=", "+", "-", "@", "\t", "\r")
_SERVER = re.compile(r"\s*(?!(?:file|jdbc|sqlite)\b)[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=:)[^@/]*(?=@)|(?<=password=)[^&]*")
_AGE = re.compile(r"([0-9]{1,9})([hdw])")
_AGE_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

# ---------------------------------------------------------------- arguments


def time_given(text: str) -> datetime:
    """Returns the time (aware, UTC) that an option gives as 2025-01-31, as 2025-01-31T08:00, or as an age like 90d."""
    try:
        if age := _AGE.fullmatch(text):
            return datetime.now(UTC) - int(age[1]) * _AGE_UNITS[age[2]]
        when = datetime.fromisoformat(text)
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"'{visible(text)}' is neither a time, such as 2025-01-31 or 2025-01-31T08:00, nor an age, such as 90d"
        ) from None


def db_option(default: str) -> Decorator:
    """Returns the option that names the store; its help ends with a sentence on the default."""
    about = f"The store's file, or the URL of a server. {default}"
    return click.option("--db", type=click.Path(), metavar="PATH|URL", help=about)


app_option = click.option("--app", metavar="NAME", help="Only sessions of this app.")
user_option = click.option("--user", metavar="ID", help="Only sessions of this user.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON (UTF-8).")
csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print CSV (UTF-8); formulas are made harmless.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
full_option = click.option("--full", is_flag=True, help="Do not shorten the arguments and results of tools.")
session_option = click.option("--session", metavar="ID", help="Only in this session.")
since_option = click.option(
    "--since", type=time_given, metavar="TIME", help="Only from this time on (UTC), or at most this old: 7d, 12h, 2w."
)
until_option = click.option("--until", type=time_given, metavar="TIME", help="Only before this time (UTC).")


def limit_option(default: int) -> Decorator:
    """Returns the option that says how many rows to print at most."""
    return click.option("--limit", type=click.IntRange(min=0), metavar="N", default=default, show_default=True,
                        help="At most this many.")  # fmt: skip


def with_store(*, writes: bool = False, writes_if: str = "", writes_unless: str = "") -> Decorator:
    """Adds the options for a store, an app and a user to a command, and passes the open store to it in their place.

    The store is opened read-only, unless the command ``writes``, or it is called with the option ``writes_if`` or
    without the option ``writes_unless``.
    """

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        def run(group_db: str | None, *, db: str | None, app: str | None, user: str | None, **options: Any) -> None:
            read_only = options[writes_unless] if writes_unless else not writes and not options.get(writes_if)
            with opened(chosen(db, group_db), app, user, read_only=read_only) as service:
                verb(service, **options)

        command: Callable[..., Any] = update_wrapper(run, verb)
        for decorator in (click.pass_obj, db_option(DEFAULT_FILE), user_option, app_option):
            command = decorator(command)
        return command

    return decorate


def chosen(db: str | None, group_db: str | None) -> str | None:
    """Returns the store that was named after the command, before it, or in the environment; None for the default."""
    named_store = group_db if db is None else db
    if named_store is None and (url := os.environ.get(URL_VARIABLE)):
        if not is_server(url):
            raise click.ClickException(
                f"{URL_VARIABLE} must be the URL of a server, such as postgresql+psycopg://user@host/database: a file "
                f"is named by --db or {PATH_VARIABLE}"
            )
        return url
    return named_store


def is_server(store: str) -> bool:
    """Returns True for the URL of a server, and False for a path."""
    return _SERVER.match(store) is not None


def absolute(path: str) -> str:
    """Returns the absolute path for an option; ":memory:" is returned unchanged."""
    name = path_text(path)
    return name if name == MEMORY else os.path.abspath(name)


def without_password(text: str) -> str:
    """Returns a text with whatever could be the password of a URL hidden."""
    return _PASSWORD.sub("***", text)


def service_of(
    store: str, app: str | None, user: str | None, *, read_only: bool, may_make: bool = False
) -> SessionService:
    """Opens a store, given its path or URL, for all apps and users unless one is named.

    A file that does not exist is an error unless ``may_make``, even for a command that writes.
    """
    scope: dict[str, Any] = {"app_name": ANY if app is None else app, "user_id": ANY if user is None else user}
    if is_server(store):
        try:
            from session_sqlite.server_service import SQLAlchemySessionService
        except ModuleNotFoundError as error:
            package = visible(error.name or "a package")
            raise click.ClickException(
                f"a server needs {package}, which is not installed: pip install 'session-sqlite[server]'"
            ) from error
        return SQLAlchemySessionService(store.strip(), read_only=read_only, **scope)
    file = absolute(store)
    if file != MEMORY and not may_make and not os.path.exists(file):
        raise click.ClickException(
            f"there is no store at {visible(without_password(file))}: name another with --db, or try "
            "`session-sqlite demo`"
        )
    return SQLiteSessionService(file, read_only=read_only, **scope)


@contextmanager
def opened(store: str | None, app: str | None, user: str | None, *, read_only: bool = True) -> Iterator[SessionService]:
    """Opens the store for a command. A file that does not exist is an error, even for a command that writes."""
    with service_of(str(database_file()) if store is None else store, app, user, read_only=read_only) as service:
        try:
            yield service
        except SessionNotFoundError as error:
            if others := others_said(service, advice=LEAVE_OUT):
                raise SessionNotFoundError(f"{error}. {others}") from error
            raise


def say_nothing_found(service: SessionService, text: str = "", *, for_programs: bool = False) -> None:
    """Prints to the error output that nothing was found, and whether --app or --user hides sessions of others.

    A program gets an empty result, and needs no text for it.
    """
    if text and not for_programs:
        click.echo(text, err=True)
    if others := others_said(service, advice=LEAVE_OUT):
        click.echo(others, err=True)


def check_format(as_json: bool, as_csv: bool) -> None:
    """Raises `click.UsageError` if two formats are asked for at once."""
    if as_json and as_csv:
        raise click.UsageError("give --json or --csv, not both")


def session_of(service: SessionService, session_id: str | None) -> Session | None:
    """Returns the session that an option names; None if the option is not given."""
    return None if session_id is None else service.get_session(session_id)


def confirm(question: str, *, yes: bool) -> None:
    """Asks a question on the terminal, and ends the command if the answer is no; ``yes`` answers it."""
    if not yes:
        click.confirm(question, abort=True, err=True)


# ---------------------------------------------------------------- for people


def print_text(text: str) -> None:
    """Prints lines."""
    # Without `file`, click replaces an ASCII stream by its own, and loses the error handler that `main` has set.
    click.echo(text, file=sys.stdout)


def print_conversation(session: Session, events: Iterable[Event], *, full: bool = False) -> None:
    """Prints a session's head and its events."""
    for block in terminal_text(session, events, width=terminal_width(), full=full, colour=has_colours()):
        print_text(block)


def terminal_width() -> int:
    """Returns the width of the terminal in columns."""
    return shutil.get_terminal_size((COLUMNS_UNLESS_TERMINAL, 24)).columns


def has_colours() -> bool:
    """Returns True if the output is a terminal, and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def painted(text: str, code: str) -> str:
    """Returns a text in a colour, or unchanged if the output has no colours."""
    return f"\x1b[{code}m{text}\x1b[0m" if text and has_colours() else text


def named(session: Session) -> str:
    """Returns a session in words, with its app and user."""
    return f"session {visible(session.id)} of app {visible(session.app_name)}, user {visible(session.user_id)}"


def titled(session: Session) -> str:
    """Returns a blank and the session's title in brackets; nothing if it has no title."""
    title = fitted(visible(session.title), LONGEST_TITLE)
    return f" ({title})" if title else ""


def counted(count: int, name: str) -> str:
    """Returns a number with a noun, such as "1 event" or "2,000 events"."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def in_one_line(value: object) -> str:
    """Returns a value of a row as one line of text: white space becomes one blank, and other values become JSON."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ", "seconds")
    return visible(" ".join((value if isinstance(value, str) else json_text(value)).split()))


def table(columns: Mapping[str, Sequence[str]], *, right: Iterable[str] = (), whole: Iterable[str] = ()) -> str:
    """Returns a table that is no wider than the terminal.

    Cells that are too long are cut, those of the widest columns first. If that is not enough, each cell of a row takes
    a line.

    Args:
        columns: The cells of each column, which must be safe to show.
        right: The columns whose cells are aligned to the right.
        whole: The columns that are never cut.
    """
    # tabulate is not used: without the package wcwidth it takes a Chinese character for one column wide.
    room, right, whole = terminal_width(), set(right), set(whole)
    headers = {name: visible(name) for name in columns}
    # A cell can be as long as a book: measure no more of it than can be shown.
    shown = {name: [fitted(cell[: room + 1], room) for cell in cells] for name, cells in columns.items()}
    wanted = {name: max(map(display_width, [headers[name], *cells])) for name, cells in shown.items()}
    least = {name: wanted[name] if name in whole else display_width(headers[name]) for name in columns}

    def widths_up_to(most: int) -> dict[str, int]:
        return {name: min(wide, max(most, least[name])) for name, wide in wanted.items()}

    most = room
    while sum(widths_up_to(most).values()) + GAP * (len(columns) - 1) > room:
        most -= 1
        if most < LEAST_CELL:
            return _rows_as_lines(headers, columns, room)
    widths = widths_up_to(most)

    def line(cells: Iterable[str]) -> str:
        padded = []
        for name, cell in zip(columns, cells, strict=True):
            blanks = " " * (widths[name] - display_width(cell))
            padded.append(blanks + cell if name in right else cell + blanks)
        return (" " * GAP).join(padded).rstrip()

    cut = [[fitted(cell, widths[name]) for cell in cells] for name, cells in shown.items()]
    rule = ["-" * width for width in widths.values()]
    return "\n".join(map(line, [list(headers.values()), rule, *zip(*cut, strict=True)]))


def _rows_as_lines(headers: Mapping[str, str], columns: Mapping[str, Sequence[str]], room: int) -> str:
    blocks = []
    for row in zip(*columns.values(), strict=True):
        cells = zip(headers.values(), row, strict=True)
        blocks.append("\n".join(fitted(f"{header}: {cell[:room]}", room) for header, cell in cells if cell))
    return "\n\n".join(blocks)


# ---------------------------------------------------------------- for programs


def print_json(start: str, items: Iterable[object], end: str) -> None:
    """Prints one JSON document, an item on each line, as the items are read: in UTF-8, whatever the terminal has."""
    gap = ""
    click.echo(start.encode(), nl=False)
    for item in items:
        click.echo(f"{gap}{json_text(item)}".encode(), nl=False)
        gap = ",\n  "
    click.echo(end.encode())


def json_text(value: object) -> str:
    """Returns a value as JSON in one line, whose strings cannot control a terminal."""
    text = json.dumps(value, ensure_ascii=False, default=_for_json)
    # All these characters are inside of strings, where JSON allows an escape.
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _for_json(value: object) -> object:
    if isinstance(value, bytes):
        return {"$base64": True, "encoded": b64encode(value).decode()}  # the form of sqlite-utils
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    *,
    as_json: bool,
    as_csv: bool,
    right: Iterable[str] = (),
    shown: Callable[[object], str] | None = None,
) -> None:
    """Prints rows that have the columns ``names`` as JSON, as CSV or as a table, whose cells ``shown`` makes."""
    if as_json:
        print_json("[", map(row_for_json, rows), "]")
    elif as_csv:
        print_csv(names, ([row[name] for name in names] for row in rows))
    elif rows:
        cell = in_one_line if shown is None else shown
        print_text(table({name: [cell(row[name]) for row in rows] for name in names}, right=right))


def row_for_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row with infinite numbers as text, since JSON has none."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def print_csv(names: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Prints a header and rows as CSV (RFC 4180), in UTF-8.

    Text that a spreadsheet would run as a formula gets an apostrophe in front. Control characters are shown as escapes.
    """
    for row in chain([names], rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow(map(_csv_cell, row))
        click.echo(line.getvalue().encode("utf-8", "backslashreplace"), nl=False)


def _csv_cell(value: object) -> object:
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    text = value if isinstance(value, str) else json_text(value)
    shown = visible(text.replace("\r\n", "\n"), lines=True)
    return f"'{shown}" if text.startswith(_RUNS_IN_A_SPREADSHEET) else shown
