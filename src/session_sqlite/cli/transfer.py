"""The commands export, import and copy.

An export is written to a file or to the output. The report of an export, and the progress of both, go to the error
output.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from typing import Any, Final, Literal

import click

from session_sqlite.cli.console import (
    DEFAULT_FILE,
    SESSION_ID,
    Place,
    absolute,
    app_option,
    db_option,
    is_server,
    print_text,
    service_of,
    user_markdown_option,
    user_option,
    with_store,
)
from session_sqlite.cli.finding import find_session, say_nothing_found
from session_sqlite.cli.rows import Form, form_options, json_text
from session_sqlite.cli.verbs import INCOMPLETE, INTERRUPTED, Verb
from session_sqlite.filters import ExportFormat, ImportFormat
from session_sqlite.service import SessionService, copy_sessions
from session_sqlite.sqlite import MEMORY, database_file
from session_sqlite.transcript import visible
from session_sqlite.transfer import EXPORT_FORMATS, importers
from session_sqlite.transfer.reports import ImportReport, Progress

OUTPUT: Final = "-"
_SIZES: Final = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))


@click.command(
    cls=Verb,
    short_help="Write conversations to a file.",
    examples=["export -o history.jsonl", "export latest -o trip.html", "export -o pages/"],
)
@click.argument("session_ids", metavar="[SESSION_ID]...", type=SESSION_ID, nargs=-1)
@click.option("-o", "--output", metavar="FILE", default=OUTPUT,
              help="The file to write, or a folder with a slash at its end.  [default: standard output]")  # fmt: skip
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", *EXPORT_FORMATS]),
    default="auto",
    help="The format of FILE.  [default: by the ending of its name]",
)
@user_markdown_option
@with_store()
def export(
    service: SessionService, session_ids: tuple[str, ...], output: str, format_: ExportFormat, user_markdown: bool
) -> None:
    """Write conversations to a file, for another store or for people.

    Exports all of them, or those whose ids are given. A FILE whose name ends with .html or .md is for people. The
    format "jsonl" holds everything: `session-sqlite import` makes equal sessions from it.

    With `-o FOLDER/` each conversation gets a web page of its own, and index.html lists them by month. Run it again to
    replace the pages; other files in the folder stay.
    """
    target: Any = sys.stdout if output == OUTPUT else output
    wanted = [find_session(service, session_id) for session_id in session_ids] or None
    if output == OUTPUT and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # the same bytes as in a file
    with _bar("Exporting", "events", shown=output != OUTPUT) as progress:
        report = service.export(target, session=wanted, format=format_, user_markdown=user_markdown, progress=progress)
    # If nothing was found, the command says it in its own words.
    click.echo(str(report if report.sessions else dataclasses.replace(report, note="")), err=True)
    if report.sessions == 0:
        say_nothing_found(service)


def _list_formats(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        width = max(map(len, importers.FORMATS))
        for name, known in importers.FORMATS.items():
            click.echo(f"{name:{width}}  {known.about}")
        ctx.exit()


@click.command(
    "import",
    cls=Verb,
    short_help="Import conversations of this or another program.",
    examples=[
        "import chatgpt-export.zip --dry-run",
        "import ~/.claude/projects --app claude-code",
        "import --list-formats",
    ],
)
@click.argument("source", metavar="FILE", type=click.Path())
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", *importers.FORMATS]),
    metavar="FORMAT",
    default="auto",
    show_default=True,
    help="The format of FILE; --list-formats lists them.",
)
@click.option(
    "--list-formats",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_formats,
    help="List the formats that FILE can have.",
)
@click.option("--dry-run", is_flag=True, help="Change nothing, and only say what would be imported.")
@click.option("--app", metavar="NAME", help="Assign the sessions to this app.")
@click.option("--user", metavar="ID", help="Assign the sessions to this user.")
@form_options("json")
@db_option(DEFAULT_FILE)
@click.pass_obj
def import_(
    front: Place,
    db: str | None,
    source: str,
    format_: ImportFormat,
    dry_run: bool,
    app: str | None,
    user: str | None,
    form: Form | None,
) -> None:
    """Import conversations from an export or from another program's file.

    FILE may be an export or a store of this program, or a file of another program: `--list-formats` lists them. JSON
    may be gzipped. FILE may be a folder, or "-" for standard input.

    Importing a file again creates no duplicates, and nothing that is stored changes. If FILE does not name an app and
    a user, the sessions get the app and user "default". The exit code is 3 if something could not be imported.
    """
    place = Place(db, app, user).or_(front)
    store = place.store()
    if store is None:
        store = str(database_file())
    # A dry run must not make the store: one that does not exist is replaced by an empty one in memory.
    if dry_run and not is_server(store) and not os.path.exists(absolute(store)):
        store = MEMORY
    with service_of(store, "default", "default", read_only=dry_run and store != MEMORY, may_make=True) as service:
        with _ended_by_ctrl_c(), _bar("Importing", "bytes", shown=form is None) as progress:
            report = service.import_(
                sys.stdin.buffer if source == "-" else source,
                format=format_,
                dry_run=dry_run,
                app_name=place.app,
                user_id=place.user,
                progress=progress,
            )
        if form is not None:
            print_text(json_text(dataclasses.asdict(report)))
        else:
            _print_report(report)
    if report.skipped_count:
        click.get_current_context().exit(INCOMPLETE)


def _print_report(report: ImportReport) -> None:
    print_text(visible(str(report), lines=True))


@contextlib.contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Prints how much was imported if Ctrl-C ends an import."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        for note in getattr(interrupt, "__notes__", ()):
            print_text(visible(note, lines=True))
        click.echo("Interrupted: run it again to complete it.", err=True)
        click.get_current_context().exit(INTERRUPTED)


@contextlib.contextmanager
def _bar(label: str, unit: Literal["events", "bytes", "rows"], *, shown: bool) -> Iterator[Progress | None]:
    """Shows a progress bar on the error output if that is a terminal; otherwise yields None, and nothing is counted."""
    if not shown or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=0, label=label, file=sys.stderr, show_pos=True) as bar:
        bar.format_pos = lambda: _amounts(bar.pos, bar.length, unit)  # type: ignore[method-assign]  # click has no option

        def progress(done: int, total: int | None) -> None:
            nonlocal unit
            if total is None:  # of a database
                unit = "rows"
            bar.length = max(total or 0, done)
            bar.update(done - bar.pos)

        yield progress


def _amounts(done: int, total: int | None, unit: str) -> str:
    """Returns how much is done and how much there is, with the unit.

    Example:
        >>> _amounts(12_400_000, 300_000_000, "bytes")
        '12.4 of 300.0 MB'
    """
    if unit != "bytes":
        return f"{done:,} of {total:,} {unit}" if total and total > done else f"{done:,} {unit}"
    size, name = next(((size, name) for size, name in _SIZES if max(done, total or 0) >= size), (1, "bytes"))
    digits = 0 if size == 1 else 1
    return f"{done / size:,.{digits}f} of {(total or done) / size:,.{digits}f} {name}"


@click.command(
    "copy",
    cls=Verb,
    short_help="Copy all conversations to another store.",
    examples=["copy sessions.db postgresql+psycopg://user@host/db", "copy old.db new.db --app shop"],
)
@click.argument("source", metavar="SOURCE", type=click.Path())
@click.argument("target", metavar="TARGET", type=click.Path())
@app_option
@user_option
@form_options("json")
@click.pass_obj
def copy_(front: Place, source: str, target: str, app: str | None, user: str | None, form: Form | None) -> None:
    """Copy all conversations from one store to another: a file, or the URL of a server.

    State, forks and summaries are copied too. Then the two stores are compared, and a difference is an error that names
    the session. If it was interrupted, run it again: nothing is copied twice. Run it again also to copy what is new.

    TARGET is made if it does not exist. Other conversations in it stay. SOURCE is only read.
    """
    place = Place(None, app, user).or_(front)
    if _same_store(source, target):
        raise click.UsageError("SOURCE and TARGET are the same store")
    with (
        service_of(source, place.app, place.user, read_only=True) as old,
        service_of(target, place.app, place.user, read_only=False, may_make=True) as new,
        _bar("Copying and comparing", "events", shown=form is None) as progress,
    ):
        report = copy_sessions(old, new, progress=progress)
        if not report.sessions:
            say_nothing_found(old)
    if form is not None:
        print_text(json_text(dataclasses.asdict(report)))
    else:
        print_text(str(report))


def _same_store(source: str, target: str) -> bool:
    if is_server(source) or is_server(target):
        return source.strip() == target.strip()
    return source != MEMORY and os.path.realpath(absolute(source)) == os.path.realpath(absolute(target))


COMMANDS: Final[tuple[click.Command, ...]] = (export, import_, copy_)
