"""The command `session-sqlite`, with the commands that list, show and delete conversations.

Each command opens the store, does one thing and closes it. Commands that only read never make a file. People get text
whose control characters are made visible; programs get JSON with ``--json``. A failure is one line and exit code 1. The
commands for search and figures are in `history`, those that change conversations in `life_cycle`, export and import in
`transfer`, and the server for assistants in `assistant`.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from io import TextIOWrapper
from itertools import islice
from typing import Any, Final

import click
from tabulate import tabulate

from session_sqlite.cli import assistant, history, life_cycle, transfer
from session_sqlite.cli.console import (
    DEFAULT_FILE,
    GAP,
    LONGEST_TITLE,
    THERE_ARE_MORE,
    URL_VARIABLE,
    absolute,
    app_option,
    check_format,
    chosen,
    confirm,
    csv_option,
    db_option,
    full_option,
    is_server,
    json_option,
    json_text,
    limit_option,
    named,
    opened,
    print_conversation,
    print_csv,
    print_json,
    print_text,
    say_nothing_found,
    service_of,
    terminal_width,
    titled,
    user_option,
    yes_option,
)
from session_sqlite.errors import SessionError, SessionNotFoundError
from session_sqlite.models import REMOVE, Event, SessionOverview, ToolCall, Usage
from session_sqlite.service import SessionService
from session_sqlite.session import Session
from session_sqlite.sqlite import database_file
from session_sqlite.transcript import display_width, fitted, html_page, origin_text, time_shown, visible
from session_sqlite.transfer import open_target
from session_sqlite.version import __version__

DEFAULT_LIMIT: Final = 50
LEAST_TITLE: Final = 12  # columns
HEADER_PADDING: Final = 2  # columns that tabulate adds to a header
FIRST_MESSAGE_READ: Final = 1000  # characters of the first message that a title is made from
CSV_COLUMNS: Final = (
    "id", "app_name", "user_id", "agent_id", "title", "first_message", "event_count", "created_at", "updated_at",
)  # fmt: skip
LONGEST_NAME: Final = 12  # columns for an app, user or agent if the terminal is narrow
LONGEST_REASON: Final = 20  # columns for the reason why a run was interrupted


class _Commands(click.Group):
    """A group of commands whose errors are printed as one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SessionError as error:
            raise click.ClickException(visible(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@db_option(DEFAULT_FILE)
@click.version_option(__version__, prog_name="session-sqlite")
@click.pass_context
def main(ctx: click.Context, db: str | None) -> None:
    """Show and manage the conversations that AI applications keep in a local SQLite file or on a server."""
    ctx.obj = db
    if isinstance(sys.stdout, TextIOWrapper):  # print an escape for a character that the output cannot show
        sys.stdout.reconfigure(errors="backslashreplace")


@main.command()
@db_option("Default: a new temporary file.")
@click.pass_obj
def demo(group_db: str | None, db: str | None) -> None:
    """Write a short example conversation and show it.

    It is in Chinese and English, and has reasoning, tool calls and state. Running this again on the same file changes
    nothing.
    """
    store = group_db if db is None else db
    if store is None:
        store = os.path.join(tempfile.mkdtemp(prefix="session-sqlite-"), "demo.db")
    with service_of(store, "demo", "you", read_only=False, may_make=True) as service:
        session = service.create_session(
            session_id="demo", agent_id="reviewer", title="代码审查 · Code review", exist_ok=True
        )
        session.add_events(_demo_events())
        print_conversation(session.refresh(), session.events())
        if service.path is not None:
            command = f"session-sqlite --db {_quoted(str(service.path))}"
            print_text(f"\nIt is now stored in a file. Try:\n  {command} list\n  {command} show demo --last 3")


@main.command()
@click.option("--app", metavar="NAME", default="default", show_default=True, help="The app whose file it is.")
@db_option(DEFAULT_FILE)
@click.pass_obj
def path(group_db: str | None, db: str | None, app: str) -> None:
    """Print the path of the store's file.

    Without --db this is SESSION_SQLITE_PATH, or else the app's file in the platform's data directory. The file need
    not exist. A store on a server has no file.
    """
    store = chosen(db, group_db)
    if store is not None and is_server(store):
        raise click.ClickException(
            "the store is on a server and has no file: `session-sqlite copy URL FILE` makes one, and its URL is what "
            f"--db or {URL_VARIABLE} says"
        )
    print_text(str(database_file(app_name=app)) if store is None else absolute(store))


@main.command("list")
@app_option
@user_option
@click.option("--agent", metavar="ID", help="Only sessions of this agent.")
@limit_option(DEFAULT_LIMIT)
@json_option
@csv_option
@db_option(DEFAULT_FILE)
@click.pass_obj
def list_sessions(
    group_db: str | None,
    db: str | None,
    app: str | None,
    user: str | None,
    agent: str | None,
    limit: int,
    as_json: bool,
    as_csv: bool,
) -> None:
    """List the conversations, the latest change first.

    Lists those of all apps and users, unless --app or --user is given. A conversation without a title is shown with the
    user's first message. If the last run ended without a reply, a column says what interrupted it. Times are UTC.
    """
    check_format(as_json, as_csv)
    with opened(chosen(db, group_db), app, user) as service:
        overviews = list(islice(_overviews(service, agent), limit + 1))
        if not overviews:
            say_nothing_found(service, "No sessions.", for_programs=as_json or as_csv)
    listed = overviews[:limit]
    if as_json:
        print_json("[", (overview.to_dict() for overview in listed), "]")
        return
    if as_csv:
        rows = (overview.to_dict() for overview in listed)
        print_csv(CSV_COLUMNS, ([row[name] for name in CSV_COLUMNS] for row in rows))
    elif listed:
        print_text(_table(listed, terminal_width()))
    if len(overviews) > len(listed):
        click.echo(THERE_ARE_MORE, err=True)


@main.command()
@click.argument("session_id")
@app_option
@user_option
@click.option(
    "--last", type=click.IntRange(min=0), metavar="N", help="Show at most the last N events, from the start of a turn."
)
@full_option
@click.option("--html", "page", metavar="FILE", type=click.Path(), help='Write a web page to FILE; "-" prints it.')
@json_option
@db_option(DEFAULT_FILE)
@click.pass_obj
def show(
    group_db: str | None,
    db: str | None,
    session_id: str,
    app: str | None,
    user: str | None,
    last: int | None,
    full: bool,
    page: str | None,
    as_json: bool,
) -> None:
    r"""Show a conversation.

    If several apps or users have a session with this id, give --app and --user. Write "--" before an id that begins
    with "-". Control characters are shown as escapes such as \x1b. Times are UTC.
    """
    with opened(chosen(db, group_db), app, user) as service:
        session = service.get_session(session_id)
        events = session.iter_events() if last is None else session.last_events(last)
        if page is not None:
            if page == "-":
                # The page declares UTF-8.
                sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]  # a text stream
            with open_target(sys.stdout if page == "-" else page, service.path) as file:
                file.writelines(html_page(session, events))
        elif as_json:
            head = f'{{"session": {json_text(session.to_dict())},\n "events": ['
            print_json(head, (event.to_dict() for event in events), "]}")
        else:
            print_conversation(session, events, full=full)


@main.command()
@click.argument("session_id")
@app_option
@user_option
@yes_option
@db_option(DEFAULT_FILE)
@click.pass_obj
def delete(group_db: str | None, db: str | None, session_id: str, app: str | None, user: str | None, yes: bool) -> None:
    """Delete a conversation, after asking.

    Its events and its own state are deleted too. If several apps or users have a session with this id, give --app and
    --user. Write "--" before an id that begins with "-".
    """
    with opened(chosen(db, group_db), app, user, read_only=False) as service:
        session = service.get_session(session_id)
        name = named(session)
        confirm(f"Delete {name}{titled(session)}?", yes=yes)
        if not session.delete():
            raise SessionNotFoundError(f"there is no {name}: it was deleted meanwhile")
        print_text(f"Deleted {name}.")


for command in (*history.COMMANDS, *life_cycle.COMMANDS, *transfer.COMMANDS, *assistant.COMMANDS):
    main.add_command(command)


def _overviews(service: SessionService, agent: str | None) -> Iterator[SessionOverview[Session]]:
    """Yields the sessions, the latest change first; reads a page at a time."""
    cursor = None
    while True:
        page = service.session_overviews(limit=DEFAULT_LIMIT, cursor=cursor)
        yield from (overview for overview in page if agent is None or overview.session.agent_id == agent)
        cursor = page.next_cursor
        if cursor is None:
            return


def _title(overview: SessionOverview[Session]) -> str:
    """Returns the session's title, or else the user's first message, in one line."""
    first_message = str(overview.first_message or "")[:FIRST_MESSAGE_READ]
    return fitted(visible(overview.session.title or " ".join(first_message.split())), LONGEST_TITLE)


def _table(overviews: list[SessionOverview[Session]], width: int) -> str:
    """Returns a table of sessions, with the title in the last column, which gets the rest of the width.

    If the table is too wide, an app, user or agent that all rows share moves into a line below the table. If that is
    not enough, names and titles are cut. If no room is left for titles, each session takes several lines. Ids are never
    cut.
    """
    sessions = [overview.session for overview in overviews]
    columns = {
        "id": [visible(session.id) for session in sessions],
        "app": [visible(session.app_name) for session in sessions],
        "user": [visible(session.user_id) for session in sessions],
        "agent": [visible(session.agent_id) for session in sessions],
        "events": [f"{overview.event_count:,}" for overview in overviews],
        "last change": [time_shown(session.updated_at, "minutes") for session in sessions],
        "forked from": [visible(origin_text(session)) for session in sessions],
        "interrupted": [fitted(visible(overview.interrupted), LONGEST_REASON) for overview in overviews],
        "title": [_title(overview) for overview in overviews],
    }
    for name in ("agent", "forked from", "interrupted"):
        if not any(columns[name]):
            del columns[name]
    all_columns = dict(columns)
    names = [name for name in ("app", "user", "agent") if name in columns]
    shared: dict[str, str] = {}
    if _title_room(columns, width) < LEAST_TITLE:
        shared = {name: columns.pop(name)[0] for name in names if len(set(columns[name])) == 1}
    if _title_room(columns, width) < LEAST_TITLE:
        columns |= {name: [fitted(cell, LONGEST_NAME) for cell in columns[name]] for name in names if name in columns}
    if (room := _title_room(columns, width)) < LEAST_TITLE:
        return _blocks(all_columns, width)
    columns["title"] = [fitted(title, room) for title in columns["title"]]
    text = tabulate(
        columns,
        headers="keys",
        disable_numparse=True,
        colalign=["right" if name == "events" else "left" for name in columns],
    )
    # Without the package wcwidth, tabulate pads wide characters with too many blanks, beyond the width of the terminal.
    lines = [line.rstrip() for line in text.splitlines()]
    if shared:
        lines += ["", "All: " + " · ".join(f"{name} {value}" for name, value in shared.items())]
    return "\n".join(lines)


def _title_room(columns: dict[str, list[str]], width: int) -> int:
    widths = {name: max(len(name) + HEADER_PADDING, *map(display_width, cells)) for name, cells in columns.items()}
    return width - sum(widths[name] + GAP for name in columns if name != "title")


def _blocks(columns: dict[str, list[str]], width: int) -> str:
    blocks = []
    for cells in zip(*columns.values(), strict=True):
        row = dict(zip(columns, cells, strict=True))
        about = [f"{name} {row[name]}" for name in ("app", "user", "agent", "forked from") if row.get(name)]
        lines = [row["title"], " · ".join([row["last change"], f"{row['events']} events", *about])]
        blocks.append("\n".join([row["id"], *(f"  {fitted(line, width - 2)}" for line in lines if line)]))
    return "\n".join(blocks)


def _quoted(path: str) -> str:
    return f'"{path}"' if os.name == "nt" else shlex.quote(path)


# ---------------------------------------------------------------- the demo


def _demo_events() -> list[Event]:
    """Returns the events of the demo.

    If you change one, give it a new id: a file that has the old event would refuse one with the same id.
    """
    code = "package main\n\nfunc main() {\n\tgo worker()\n}\n"
    model = "demo-model"
    return [
        Event("user", "请帮我分析这段代码：main.go 为什么没有输出？", id="demo-1"),
        Event(
            "assistant",
            "好的，我先读一下入口文件。",
            reasoning="没有输出，可能是 main 提前返回了。先看入口。",
            actions=[ToolCall("Read", {"path": "main.go"}, id="call-1", output=code)],
            state={"step": 1, "user:language": "zh-CN"},
            usage=Usage(model, input_tokens=812, output_tokens=64, reasoning_tokens=22),
            id="demo-2",
        ),
        Event(
            "assistant",
            "原因是 main 启动 goroutine 之后马上返回，程序就结束了。\n用 sync.WaitGroup 等待 worker 完成即可。",
            usage=Usage(model, input_tokens=1_034, output_tokens=118, cache_read_tokens=768),
            id="demo-3",
        ),
        Event("user", "Thanks! Please fix it and run the tests.", id="demo-4"),
        Event(
            "assistant",
            reasoning="Add a WaitGroup, then run the tests.",
            actions=[
                ToolCall("Edit", {"path": "main.go", "insert": "var wg sync.WaitGroup"}, id="call-2", output="saved"),
                ToolCall("Bash", {"command": "go test ./..."}, id="call-3", error="go: command not found"),
            ],
            state={"step": 2},
            usage=Usage(model, input_tokens=1_310, output_tokens=140, cache_read_tokens=1_024, reasoning_tokens=16),
            id="demo-5",
        ),
        Event(
            "assistant",
            "main.go now waits for its worker. I could not run the tests: Go is not installed here.",
            state={"step": REMOVE},
            usage=Usage(model, input_tokens=1_489, output_tokens=41, cache_read_tokens=1_280),
            id="demo-6",
        ),
    ]
