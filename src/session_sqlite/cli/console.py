"""The parts that all commands use: options, opening the store, asking, and printing for people.

People get lines and tables in which no character can control their terminal. What programs get is in `rows`.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import datetime
from functools import update_wrapper
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from session_sqlite.cli import finding
from session_sqlite.cli.rows import json_text
from session_sqlite.cli.times import shown_in_zone
from session_sqlite.models import ANY, Event
from session_sqlite.service import SessionService
from session_sqlite.session import Session
from session_sqlite.sqlite import MEMORY, database_file, path_text
from session_sqlite.sqlite.paths import PATH_VARIABLE
from session_sqlite.sqlite_service import SQLiteSessionService
from session_sqlite.transcript import display_width, fitted, terminal_text, time_shown, visible, wrapped

FAILED: Final = 1  # the exit code of a command that failed, or could not do all it was asked to do
THERE_ARE_MORE: Final = "There are more: see --limit."
DEFAULT_FILE: Final = "Default: SESSION_SQLITE_URL, or the file that `session-sqlite path` prints."
URL_VARIABLE: Final = "SESSION_SQLITE_URL"
COLUMNS_UNLESS_TERMINAL: Final = 120
LONGEST_TITLE: Final = 60
LEAST_ID: Final = 13  # characters of an id that is cut: a UUIDv7 has its time in them, to the millisecond
GAP: Final = 2  # blanks between two columns of a table
LEAST_CELL: Final = 12  # the width below which no column of a table is cut

BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"

_SERVER = re.compile(r"\s*(?!(?:file|jdbc|sqlite)\b)[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=:)[^@/]*(?=@)|(?<=password=)[^&]*")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

# ---------------------------------------------------------------- arguments


def db_option(default: str) -> Decorator:
    """Returns the option that names the store; its help ends with a sentence on the default."""
    about = f"The store's file, or the URL of a server. {default}"
    return click.option("--db", type=click.Path(), metavar="PATH|URL", help=about)


app_option = click.option("--app", metavar="NAME", help="Only sessions of this app.")
user_option = click.option("--user", metavar="ID", help="Only sessions of this user.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Change nothing; only say what would be removed.")
user_markdown_option = click.option(
    "--user-markdown", is_flag=True, help="In HTML, show the users' texts as Markdown, too."
)
full_option = click.option("--full", is_flag=True, help="Do not shorten the arguments and results of tools.")


class SessionId(click.ParamType):  # type: ignore[type-arg]  # it is generic since click 8.4
    """The type of what names a session; a shell completes it with the ids of the store."""

    name = "session"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002  # click's signature
        """Returns the ids that begin so; none if the store cannot be read."""
        try:
            front, behind = (Place(*map(one.params.get, ("db", "app", "user"))) for one in (ctx.find_root(), ctx))
            with opened(behind.or_(front)) as service:
                return finding.completions(service, incomplete)
        except Exception:  # noqa: BLE001  # a person who presses Tab must not get a traceback into their command line
            return []


SESSION_ID: Final = SessionId()
session_argument = click.argument("session_id", type=SESSION_ID)
session_option = click.option("--session", type=SESSION_ID, metavar="ID", help="Only in this session.")


def limit_option(default: int) -> Decorator:
    """Returns the option that says how many rows to print at most."""
    return click.option("-n", "--limit", type=click.IntRange(min=0), metavar="N", default=default, show_default=True,
                        help="At most this many.")  # fmt: skip


def with_store(*, writes: bool = False, writes_if: str = "", writes_unless: str = "") -> Decorator:
    """Adds the options for a store, an app and a user to a command, and passes the open store to it in their place.

    The store is opened read-only, unless the command ``writes``, or it is called with the option ``writes_if`` or
    without the option ``writes_unless``.
    """

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        def run(front: Place, *, db: str | None, app: str | None, user: str | None, **options: Any) -> None:
            read_only = options[writes_unless] if writes_unless else not writes and not options.get(writes_if)
            with opened(Place(db, app, user).or_(front), read_only=read_only) as service:
                verb(service, **options)

        command: Callable[..., Any] = update_wrapper(run, verb)
        for decorator in (click.pass_obj, db_option(DEFAULT_FILE), user_option, app_option):
            command = decorator(command)
        return command

    return decorate


@dataclass(frozen=True)
class Place:
    """The store, the app and the user that a command is about.

    Attributes:
        db: The path or URL of the store.
        app: The app.
        user: The user.
    """

    db: str | None = None
    app: str | None = None
    user: str | None = None

    def or_(self, front: Place) -> Place:
        """Returns what was named behind the command, and for the rest what was named in front of it."""
        return Place(
            *(ahead if behind is None else behind for behind, ahead in zip(astuple(self), astuple(front), strict=True))
        )

    def store(self) -> str | None:
        """Returns the store that was named by an option or in the environment; None for the default."""
        if self.db is None and (url := os.environ.get(URL_VARIABLE)):
            if not is_server(url):
                raise click.ClickException(
                    f"{URL_VARIABLE} must be the URL of a server, such as postgresql+psycopg://user@host/database: a "
                    f"file is named by --db or {PATH_VARIABLE}"
                )
            return url
        return self.db


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
def opened(place: Place, *, read_only: bool = True) -> Iterator[SessionService]:
    """Opens the store for a command. A file that does not exist is an error, even for a command that writes."""
    store = place.store() or str(database_file()) if place.db is None else place.db
    with service_of(store, place.app, place.user, read_only=read_only) as service, finding.hidden_named(service):
        yield service


def confirm(question: str, *, yes: bool) -> None:
    """Asks a question on the terminal, and ends the command if the answer is no; ``yes`` answers it."""
    if yes:
        return
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort as abort:
        if isinstance(abort.__context__, KeyboardInterrupt):  # click takes Ctrl-C for a no
            raise KeyboardInterrupt from abort
        raise


# ---------------------------------------------------------------- for people


def print_text(text: str) -> None:
    """Prints lines."""
    # Without `file`, click replaces an ASCII stream by its own, and loses the error handler that `main` has set.
    click.echo(text, file=sys.stdout)


def conversation(session: Session, events: Iterable[Event], *, full: bool = False) -> Iterator[str]:
    """Yields a session's head and its events as text for the output; on a terminal lines are wrapped."""
    return terminal_text(
        session,
        events,
        width=terminal_width(),
        full=full,
        colour=has_colours(),
        wrap=sys.stdout.isatty(),
        zoned=shown_in_zone,
    )


def print_conversation(session: Session, events: Iterable[Event], *, full: bool = False) -> None:
    """Prints a session's head and its events."""
    for block in conversation(session, events, full=full):
        print_text(block)


def broken(line: str, indent: str = "") -> str:
    """Returns a line for people, broken between words if it is wider than the terminal."""
    if not sys.stdout.isatty():
        return f"{indent}{line}"
    return "\n".join(f"{indent}{one}" for one in wrapped(line, terminal_width() - len(indent)))


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


def event_count(session: Session) -> int:
    """Returns the number of events that a session has."""
    overviews = session._store().session_overviews(
        id_prefix=session.id, limit=None, app_name=session.app_name, user_id=session.user_id
    )
    return next((overview.event_count for overview in overviews if overview.session.id == session.id), 0)


def counted(count: int, name: str) -> str:
    """Returns a number with a noun, such as "1 event" or "2,000 events"."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def short_ids(ids: Sequence[str]) -> list[str]:
    """Returns the beginnings of ids, all of one length, by which they differ from each other."""
    different = len(set(ids))
    lengths = range(LEAST_ID, max(map(len, ids), default=0))
    length = next((length for length in lengths if len({id[:length] for id in ids}) == different), None)
    return [id[:length] for id in ids]


def in_one_line(value: object) -> str:
    """Returns a value of a row as one line of text: white space becomes one blank, and other values become JSON."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return time_shown(shown_in_zone(value))
    return visible(" ".join((value if isinstance(value, str) else json_text(value)).split()))


def print_table(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    *,
    right: Iterable[str] = (),
    shown: Callable[[object], str] = in_one_line,
) -> None:
    """Prints rows as a table of the columns ``names``, whose cells ``shown`` makes."""
    print_text(table({name: [shown(row[name]) for row in rows] for name in names}, right=right))


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
