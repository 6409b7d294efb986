"""The command `session-sqlite`, with the commands that list, show, rename and delete conversations.

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
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from typing import Any, Final

import click
from click.shell_completion import get_completion_class
from tabulate import tabulate

from session_sqlite.cli import assistant, history, life_cycle, session_search, transfer
from session_sqlite.cli.console import (
    DEFAULT_FILE,
    GAP,
    LONGEST_TITLE,
    THERE_ARE_MORE,
    URL_VARIABLE,
    Place,
    absolute,
    confirm,
    conversation,
    counted,
    db_option,
    dry_run_option,
    event_count,
    full_option,
    is_server,
    limit_option,
    named,
    print_conversation,
    print_text,
    service_of,
    session_argument,
    short_ids,
    terminal_width,
    titled,
    user_markdown_option,
    with_store,
    yes_option,
)
from session_sqlite.cli.finding import find_session, say_nothing_found, say_unknown
from session_sqlite.cli.paging import pager_option, print_blocks
from session_sqlite.cli.rows import (
    ROW_FORMS,
    Form,
    Limited,
    form_options,
    json_text,
    print_json,
    print_json_lines,
    print_rows,
)
from session_sqlite.cli.times import Time, ago, utc_option
from session_sqlite.cli.verbs import Verbs
from session_sqlite.errors import SessionNotFoundError
from session_sqlite.models import REMOVE, Event, SessionOverview, ToolCall, Usage
from session_sqlite.service import SessionService
from session_sqlite.session import Session
from session_sqlite.sqlite import database_file
from session_sqlite.transcript import display_width, fitted, html_page, origin_text, visible
from session_sqlite.transfer import open_target
from session_sqlite.version import __version__

DEFAULT_LIMIT: Final = 50
FIRST_TIME: Final = datetime.min.replace(tzinfo=UTC)
LEAST_TITLE: Final = 12  # columns
GOOD_TITLE: Final = 40  # columns that a title should have, if other columns can be shorter
HEADER_PADDING: Final = 2  # columns that tabulate adds to a header
FIRST_MESSAGE_READ: Final = 1000  # characters of the first message that a title is made from
OVERVIEW_COLUMNS: Final = (
    "id", "app_name", "user_id", "agent_id", "title", "first_message", "event_count", "created_at", "updated_at",
)  # fmt: skip
LONGEST_NAME: Final = 12  # columns for an app, user or agent if the terminal is narrow
LONGEST_REASON: Final = 20  # columns for the reason why a run was interrupted


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="A SESSION_ID can be the whole id, a beginning of it that no other id has, or the word latest. "
    "`session-sqlite COMMAND --help` shows examples; `session-sqlite completion --help` says how your shell completes "
    "ids.",
)
@click.option("--app", metavar="NAME", help="Only sessions of this app. Default: all.")
@click.option("--user", metavar="ID", help="Only sessions of this user. Default: all.")
@utc_option
@db_option(DEFAULT_FILE)
@click.version_option(__version__, prog_name="session-sqlite")
@click.pass_context
def main(ctx: click.Context, db: str | None, app: str | None, user: str | None) -> None:
    """Look at, search and manage the conversations that AI applications keep in a SQLite file or on a server.

    --db, --app, --user and --utc can stand in front of the command or behind it.
    """
    ctx.obj = Place(db, app, user)
    if isinstance(sys.stdout, TextIOWrapper):  # print an escape for a character that the output cannot show
        sys.stdout.reconfigure(errors="backslashreplace")


@main.command(examples=["demo", "demo --db try.db"])
@db_option("Default: a new temporary file.")
@click.pass_obj
def demo(front: Place, db: str | None) -> None:
    """Write a short example conversation and show it.

    It is in Chinese and English, and has reasoning, tool calls and state. Running this again on the same file changes
    nothing.
    """
    store = front.db if db is None else db
    if store is None:
        store = os.path.join(tempfile.mkdtemp(prefix="session-sqlite-"), "demo.db")
    app, user = front.app or "demo", front.user or "you"
    with service_of(store, app, user, read_only=False, may_make=True) as service:
        session = service.create_session(
            session_id="demo", agent_id="reviewer", title="代码审查 · Code review", exist_ok=True
        )
        session.add_events(_demo_events())
        print_conversation(session.refresh(), session.events())
        if service.path is not None:
            command = f"session-sqlite --db {_quoted(str(service.path))}"
            print_text(f"\nIt is now stored in a file. Try:\n  {command} list\n  {command} show demo --last 3")


@main.command(examples=["path", "path --app my-app"])
@click.option("--app", metavar="NAME", help="The app whose file it is.  [default: default]")
@db_option(DEFAULT_FILE)
@click.pass_obj
def path(front: Place, db: str | None, app: str | None) -> None:
    """Print the path of the store's file.

    Without --db this is SESSION_SQLITE_PATH, or else the app's file in the platform's data directory. The file need
    not exist. A store on a server has no file.
    """
    place = Place(db, app).or_(front)
    store = place.store()
    if store is not None and is_server(store):
        raise click.ClickException(
            "the store is on a server and has no file: `session-sqlite copy URL FILE` makes one, and its URL is what "
            f"--db or {URL_VARIABLE} says"
        )
    file = database_file(app_name=place.app or "default") if store is None else absolute(store)
    print_text(str(file))


@main.command("list", examples=["list", "list --since 7d", "list --query 'kyoto trip'", "list -n 5 --json"])
@click.option("-q", "--query", metavar="WORDS",
              help="Only sessions that have each of these words, in the title or in what was said.")  # fmt: skip
@click.option("--agent", metavar="ID", help="Only sessions of this agent.")
@click.option("--since", type=Time(), metavar="TIME",
              help="Only sessions that changed from this time on, or at most so long ago: 7d, 12h, 2w.")  # fmt: skip
@click.option("--until", type=Time(), metavar="TIME", help="Only sessions that last changed before this time.")
@limit_option(DEFAULT_LIMIT)
@form_options(*ROW_FORMS)
@utc_option
@with_store()
def list_sessions(
    service: SessionService,
    query: str | None,
    agent: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    form: Form | None,
) -> None:
    """List the conversations, the latest change first.

    Lists those of all apps and users, unless --app or --user is given. A conversation without a title is shown with the
    user's first message. If the last run ended without a reply, a column says what interrupted it.
    """
    overviews = _overviews(
        service,
        query,
        agent_id=agent,
        # A time that was given counts as part of what it begins.
        updated_after=None if since in (None, FIRST_TIME) else since - timedelta(microseconds=1),
        updated_before=until,
    )
    listed = Limited(overviews, limit)
    if form is not None:
        print_rows(form, (overview.to_dict() for overview in listed), OVERVIEW_COLUMNS)
    elif rows := list(listed):
        print_text(_table(rows, terminal_width()))
    if not listed.count and not listed.more:
        say_nothing_found(service, "No sessions.", for_programs=form is not None)
        say_unknown("session of", "agent", agent, lambda: {one.agent_id for one in service.list_sessions(limit=None)})
    if listed.more:
        click.echo(THERE_ARE_MORE, err=True)


@main.command(examples=["show latest", "show 019a2b -n 10", "show latest --html page.html", "show latest --jsonl"])
@session_argument
@click.option("-n", "--last", type=click.IntRange(min=0), metavar="N",
              help="Show at most the last N events, from the start of a turn.")  # fmt: skip
@full_option
@click.option("--html", "page", metavar="FILE", type=click.Path(), help='Write a web page to FILE; "-" prints it.')
@user_markdown_option
@pager_option
@form_options("json", "jsonl")
@utc_option
@with_store()
def show(
    service: SessionService,
    session_id: str,
    last: int | None,
    full: bool,
    page: str | None,
    user_markdown: bool,
    pager: bool,
    form: Form | None,
) -> None:
    r"""Show a conversation.

    SESSION_ID can be a beginning of the id, or the word latest. If several apps or users have a session with this id,
    give --app and --user. Write "--" before an id that begins with "-". On a terminal, long conversations are shown by
    the pager that PAGER names. Control characters are shown as escapes such as \x1b.
    """
    if user_markdown and page is None:
        raise click.UsageError("--user-markdown is for the page of --html")
    session = find_session(service, session_id)
    events = session.iter_events() if last is None else session.last_events(last)
    if page is not None:
        if page == "-":
            # The page declares UTF-8.
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]  # a text stream
        with open_target(sys.stdout if page == "-" else page, service.path) as file:
            file.writelines(html_page(session, events, user_markdown=user_markdown))
    elif form == "json":
        head = f'{{"session": {json_text(session.to_dict())},\n "events": ['
        print_json(head, (event.to_dict() for event in events), "]}")
    elif form == "jsonl":
        print_json_lines(event.to_dict() for event in events)
    else:
        print_blocks(conversation(session, events, full=full), paged=pager)


@main.command(examples=["rename latest 'Trip to Kyoto'", "rename 019a2b ''"])
@session_argument
@click.argument("title")
@form_options("json")
@with_store(writes=True)
def rename(service: SessionService, session_id: str, title: str, form: Form | None) -> None:
    """Give a conversation another title.

    An empty TITLE ("") takes the title away.
    """
    session = find_session(service, session_id)
    renamed = service.update_session(session, title=title)
    if form == "json":
        print_json("", [renamed.to_dict()], "")
    elif title:
        print_text(f"Renamed {named(session)} to: {fitted(visible(title), LONGEST_TITLE)}")
    else:
        print_text(f"Took the title of {named(session)} away.")


@main.command(examples=["delete 019a2b", "delete latest --dry-run"])
@session_argument
@dry_run_option
@form_options("json")
@yes_option
@with_store(writes_unless="dry_run")
def delete(service: SessionService, session_id: str, dry_run: bool, form: Form | None, yes: bool) -> None:
    """Delete a conversation, after asking.

    Its events and its own state are deleted too. With --yes, give the whole id. If several apps or users have a session
    with this id, give --app and --user. Write "--" before an id that begins with "-".
    """
    session = find_session(service, session_id, whole=yes and not dry_run)
    name, events = named(session), event_count(session)
    if not dry_run:
        confirm(f"Delete {name}{titled(session)}, with {counted(events, 'event')}?", yes=yes)
        if not session.delete():
            raise SessionNotFoundError(f"there is no {name}: it was deleted meanwhile")
    if form == "json":
        print_json("", [{"session": session.to_dict(), "events": events, "dry_run": dry_run}], "")
    else:
        print_text(f"Would delete {name}, with {counted(events, 'event')}." if dry_run else f"Deleted {name}.")


SHELLS: Final = ("bash", "zsh", "fish")
# The line with \b keeps the lines below it as they are.
HOW_TO_COMPLETE: Final = """Print what makes a shell complete commands, options and session ids when you press Tab.

Switch it on with one line in the file that your shell reads at its start:

\b
  bash, in ~/.bashrc:
    eval "$(session-sqlite completion bash)"
  zsh, in ~/.zshrc, after compinit:
    eval "$(session-sqlite completion zsh)"
  fish, in ~/.config/fish/config.fish:
    session-sqlite completion fish | source

Then open a new terminal.
"""


@main.command(
    examples=[f"completion {shell}" for shell in SHELLS],
    help=HOW_TO_COMPLETE,
    short_help="Let your shell complete commands and session ids.",
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Prints the script for a shell; see the help."""
    complete = get_completion_class(shell)
    assert complete is not None  # noqa: S101  # click has all of SHELLS
    print_text(complete(main, {}, "session-sqlite", "_SESSION_SQLITE_COMPLETE").source())


for command in (
    *history.COMMANDS,
    *session_search.COMMANDS,
    *life_cycle.COMMANDS,
    *transfer.COMMANDS,
    *assistant.COMMANDS,
):
    main.add_command(command)


def _overviews(service: SessionService, query: str | None, **filters: Any) -> Iterator[SessionOverview[Session]]:
    """Yields the sessions, or those that have the words of a query, the latest change first; reads page by page."""
    cursor = None
    while True:
        if query is None:
            page = service.session_overviews(limit=DEFAULT_LIMIT, cursor=cursor, **filters)
            yield from page
            cursor = page.next_cursor
        else:
            hits = service.search_sessions(query, limit=DEFAULT_LIMIT, cursor=cursor, **filters)
            for hit in hits:
                yield SessionOverview(hit.session, hit.first_message, hit.event_count, last_activity=hit.last_activity)
            cursor = hits.next_cursor
        if cursor is None:
            return


def _title(overview: SessionOverview[Session]) -> str:
    """Returns the session's title, or else the user's first message, in one line."""
    first_message = str(overview.first_message or "")[:FIRST_MESSAGE_READ]
    return fitted(visible(overview.session.title or " ".join(first_message.split())), LONGEST_TITLE)


def _table(overviews: list[SessionOverview[Session]], width: int) -> str:
    """Returns a table of sessions, with the title in the last column, which gets the rest of the width.

    If the table is too wide, an app, user or agent that all rows share moves into a line below the table. If that is
    not enough, ids are cut behind their first difference (which still names the session), then names and titles. If no
    room is left for titles, each session takes several lines, with its whole id.
    """
    sessions = [overview.session for overview in overviews]
    columns = {
        "id": [visible(session.id) for session in sessions],
        "app": [visible(session.app_name) for session in sessions],
        "user": [visible(session.user_id) for session in sessions],
        "agent": [visible(session.agent_id) for session in sessions],
        "events": [f"{overview.event_count:,}" for overview in overviews],
        "last change": [ago(session.updated_at) for session in sessions],
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
    if _title_room(columns, width) < GOOD_TITLE:
        shared = {name: columns.pop(name)[0] for name in names if len(set(columns[name])) == 1}
    if _title_room(columns, width) < GOOD_TITLE:
        columns["id"] = short_ids(columns["id"])
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
