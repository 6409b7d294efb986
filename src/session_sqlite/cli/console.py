"""What the verbs of the command have in common: naming the store, asking, printing for people and for programs.

People get lines and tables in which no character can drive their terminal. Programs get JSON, or CSV where rows come
out, both in UTF-8 whatever the terminal has.
"""

from __future__ import annotations

import csv
import dataclasses
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
from session_sqlite.models import ANY, REMOVE, Event, ToolCall, Usage
from session_sqlite.service import others_said
from session_sqlite.session import Session
from session_sqlite.sqlite import MEMORY, database_file, path_text
from session_sqlite.sqlite_service import SQLiteSessionService
from session_sqlite.transcript import display_width, fitted, terminal_text, visible

LEAVE_OUT: Final = "leave out --app and --user to see them"
DEFAULT_FILE: Final = "Default: what `session-sqlite path` prints."
COLUMNS_UNLESS_TERMINAL: Final = 120
LONGEST_TITLE: Final = 60
GAP: Final = 2  # columns between two of a table
LEAST_CELL: Final = 12  # columns to which a cell may be cut so that a table fits

BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"

# What JSON allows in a string and a terminal obeys all the same.
_UNSAFE_IN_JSON = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# How a formula begins, for a spreadsheet that opens a CSV file.
_RUNS_IN_A_SPREADSHEET: Final = ("=", "+", "-", "@", "\t", "\r")
_AGE = re.compile(r"([0-9]{1,9})([hdw])")
_AGE_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

# ---------------------------------------------------------------- arguments


def time_given(text: str) -> datetime:
    """A time or an age that an option says, as an aware datetime: 2025-01-31, 2025-01-31T08:00, 90d ago."""
    try:
        if age := _AGE.fullmatch(text):
            return datetime.now(UTC) - int(age[1]) * _AGE_UNITS[age[2]]
        when = datetime.fromisoformat(text)
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"'{visible(text)}' is no time such as 2025-01-31 or 2025-01-31T08:00, and no age such as 90d"
        ) from None


def db_option(default_said: str) -> Decorator:
    """The option that names the store."""
    return click.option("--db", type=click.Path(), metavar="PATH", help=f"The store's file. {default_said}")


app_option = click.option("--app", metavar="NAME", help="Only of this app.")
user_option = click.option("--user", metavar="ID", help="Only of this user.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON (UTF-8).")
csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print CSV (UTF-8), with formulas defused.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
session_option = click.option("--session", metavar="ID", help="Only in this session.")
since_option = click.option(
    "--since", type=time_given, metavar="TIME", help="From this time on (UTC), or from so long ago: 7d, 12h, 2w."
)
until_option = click.option("--until", type=time_given, metavar="TIME", help="Before this time (UTC).")


def limit_option(default: int) -> Decorator:
    """The option that says how much to print."""
    return click.option(
        "--limit", type=click.IntRange(min=0), metavar="N", default=default, show_default=True, help="At most so many."
    )


def with_store(*, writes: bool = False, writes_if: str = "", writes_unless: str = "") -> Decorator:
    """Adds the options that name a store, an app and a user, and gives the verb the open store in their place.

    It is open for reading only, unless the verb ``writes``, or does so with the option ``writes_if`` or without the
    option ``writes_unless``.
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
    """The store that was named after the verb, or else before it."""
    return group_db if db is None else db


def absolute(path: str) -> str:
    """The path that an option gives, from the root on; ":memory:" as it is."""
    name = path_text(path)
    return name if name == MEMORY else os.path.abspath(name)


@contextmanager
def opened(
    path: str | None, app: str | None, user: str | None, *, read_only: bool = True
) -> Iterator[SQLiteSessionService]:
    """Opens the store of a verb; a file that is not there is an error, also for one that writes."""
    file = str(database_file()) if path is None else absolute(path)
    if file != MEMORY and not os.path.exists(file):
        raise click.ClickException(
            f"there is no store at {visible(file)}: name another with --db, or see `session-sqlite demo`"
        )
    with SQLiteSessionService(
        file,
        app_name=ANY if app is None else app,
        user_id=ANY if user is None else user,
        read_only=read_only,
    ) as service:
        try:
            yield service
        except SessionNotFoundError as error:
            if said := others_said(service, advice=LEAVE_OUT):
                raise SessionNotFoundError(f"{error}. {said}") from error
            raise


def say_nothing_found(service: SQLiteSessionService, text: str = "", *, for_programs: bool = False) -> None:
    """Says on the error output that there is nothing (to people), and whether an --app or a --user hides sessions."""
    if text and not for_programs:
        click.echo(text, err=True)
    if said := others_said(service, advice=LEAVE_OUT):
        click.echo(said, err=True)


def check_format(as_json: bool, as_csv: bool) -> None:
    """Refuses two formats at once."""
    if as_json and as_csv:
        raise click.UsageError("--json or --csv, not both")


def session_of(service: SQLiteSessionService, session_id: str | None) -> Session | None:
    """The session that an option names, in whatever app and user of the service it is; None for none."""
    return None if session_id is None else service.get_session(session_id)


def confirm(question: str, *, yes: bool) -> None:
    """Asks on the terminal, unless told not to; ends the command if the answer is no."""
    if not yes:
        click.confirm(question, abort=True, err=True)


# ---------------------------------------------------------------- for people


def print_text(text: str) -> None:
    """Prints lines."""
    # Click would make a stream of its own over one that is ASCII; this one has been told what to do.
    click.echo(text, file=sys.stdout)


def print_conversation(session: Session, events: Iterable[Event], *, full: bool = False) -> None:
    """Prints a session's head and its events."""
    for block in terminal_text(session, events, width=terminal_width(), full=full, colour=has_colours()):
        print_text(block)


def terminal_width() -> int:
    """How many columns there are."""
    return shutil.get_terminal_size((COLUMNS_UNLESS_TERMINAL, 24)).columns


def has_colours() -> bool:
    """True if the output is a terminal whose owner does not refuse colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def painted(text: str, code: str) -> str:
    """The text in a colour, where there are any."""
    return f"\x1b[{code}m{text}\x1b[0m" if text and has_colours() else text


def named(session: Session) -> str:
    """A session in words, and whose it is."""
    return f"session {visible(session.id)} of app {visible(session.app_name)}, user {visible(session.user_id)}"


def titled(session: Session) -> str:
    """A session's title in brackets, in front of which is a blank; nothing if it has none."""
    title = fitted(visible(session.title), LONGEST_TITLE)
    return f" ({title})" if title else ""


def counted(count: int, name: str) -> str:
    """A number of things: 1 event, 2,000 events."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def in_one_line(value: object) -> str:
    """A value of a row as a person reads it: white space is one blank, what is not text is JSON."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ", "seconds")
    return visible(" ".join((value if isinstance(value, str) else json_text(value)).split()))


def table(columns: Mapping[str, Sequence[str]], *, right: Iterable[str] = (), whole: Iterable[str] = ()) -> str:
    """A table no wider than the terminal, of cells that are safe to show, those on the ``right`` set against it.

    What is too wide is cut, the widest columns first, those that are ``whole`` never; where that is not enough, each
    row takes lines of its own.
    """
    # Not tabulate's: without the package wcwidth it takes a Chinese character for one column wide.
    room, right, whole = terminal_width(), set(right), set(whole)
    headers = {name: visible(name) for name in columns}
    # A cell can be a book; no more of it is looked at than could be shown.
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
    """Prints one document, a line for each of its items, as they are read: in UTF-8, whatever the terminal has."""
    gap = ""
    click.echo(start.encode(), nl=False)
    for item in items:
        click.echo(f"{gap}{json_text(item)}".encode(), nl=False)
        gap = ",\n  "
    click.echo(end.encode())


def json_text(value: object) -> str:
    """JSON in one line, whose strings cannot drive a terminal."""
    text = json.dumps(value, ensure_ascii=False, default=_for_json)
    # Every one of these stands inside a string.
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _for_json(value: object) -> object:
    if isinstance(value, (Session, Event, ToolCall, Usage)):
        return event_for_json(value) if isinstance(value, Event) else fields_of(value)
    if value is REMOVE:
        return {"$remove": True}  # as in the file
    if isinstance(value, bytes):
        return {"$base64": True, "encoded": b64encode(value).decode()}  # as sqlite-utils does
    return value.isoformat() if isinstance(value, datetime) else str(value)


def fields_of(value: Session | Event | ToolCall | Usage) -> dict[str, Any]:
    """What `dataclasses.asdict` gives, without copying and without its limit on depth."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def event_for_json(event: Event) -> dict[str, Any]:
    """An event's fields, without its LangChain message."""
    return {name: value for name, value in fields_of(event).items() if name != "message"}


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    *,
    as_json: bool,
    as_csv: bool,
    right: Iterable[str] = (),
    shown: Callable[[object], str] | None = None,
) -> None:
    """Prints rows, which have these columns, as JSON, as CSV or as a table; ``shown`` makes the cells of the table."""
    if as_json:
        print_json("[", map(row_for_json, rows), "]")
    elif as_csv:
        print_csv(names, ([row[name] for name in names] for row in rows))
    elif rows:
        cell = in_one_line if shown is None else shown
        print_text(table({name: [cell(row[name]) for row in rows] for name in names}, right=right))


def row_for_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of SQLite; an infinity, which JSON has not, as text."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def print_csv(names: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Prints a header and rows as RFC 4180 has it, in UTF-8.

    Text that a spreadsheet would run gets an apostrophe in front; control characters are shown as their escapes.
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
