"""The verbs for what becomes of conversations: fork, rewind, prune, erase, redact, backup, check.

Those that destroy something first count what would go, and ask; ``--yes`` answers.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from session_sqlite.cli.console import (
    DIM,
    GREEN,
    LEAVE_OUT,
    RED,
    YELLOW,
    confirm,
    counted,
    event_for_json,
    fields_of,
    json_option,
    json_text,
    named,
    painted,
    print_json,
    print_text,
    say_nothing_found,
    session_of,
    session_option,
    time_given,
    titled,
    with_store,
    yes_option,
)
from session_sqlite.errors import StaleSessionError
from session_sqlite.models import ANY, AnyOf, Event
from session_sqlite.pages import CheckReport
from session_sqlite.service import SEE_OTHERS
from session_sqlite.sqlite import file_text
from session_sqlite.sqlite_service import SQLiteSessionService
from session_sqlite.transcript import visible

FAILED: Final = 1
_LEVEL_COLOURS: Final = {"ok": GREEN, "repaired": GREEN, "warning": YELLOW, "error": RED}

_at_option_help: Final = "an event's number in its session (its seq), or its id."
_dry_run_option = click.option("--dry-run", is_flag=True, help="Only count.")


@click.command()
@click.argument("session_id")
@click.option("--at", metavar="SEQ|ID", help=f"The last event to copy: {_at_option_help}")
@click.option("--id", "new_id", metavar="ID", help="The id of the copy. Default: a new one.")
@click.option("--title", default="", help="The title of the copy. Default: that of the source.")
@json_option
@with_store(writes=True)
def fork(
    service: SQLiteSessionService, session_id: str, at: str | None, new_id: str | None, title: str, as_json: bool
) -> None:
    """Copy a conversation, up to and including an event.

    If that or an earlier event calls tools, their results come along.
    """
    source = service.get_session(session_id)
    copy = service.fork_session(source, at=_event(at), session_id=new_id, title=title)
    if as_json:
        print_json("", [fields_of(copy)], "")
    else:
        print_text(f"Forked {named(source)} after #{copy.parent_seq}: the copy is session {visible(copy.id)}.")


@click.command()
@click.argument("session_id")
@click.option("--turns", type=click.IntRange(min=1), metavar="N", help="Take back the last N turns. Default: 1.")
@click.option("--to", metavar="SEQ|ID", help=f"Take back all after an event: {_at_option_help}")
@json_option
@yes_option
@with_store(writes=True)
def rewind(
    service: SQLiteSessionService, session_id: str, turns: int | None, to: str | None, as_json: bool, yes: bool
) -> None:
    """Take back the last turns of a conversation, after asking.

    A turn is what the user said and all that followed. The conversation's own state becomes what it was before.
    """
    if turns is not None and to is not None:
        raise click.UsageError("--turns or --to, not both")
    session = service.get_session(session_id)
    would_go = service.rewind_session(session, turns=turns, to=_event(to), dry_run=True)
    if would_go:
        confirm(f"Take back {_span(would_go)} of {named(session)}{titled(session)}?", yes=yes)
        if not yes and service.get_session(session).last_seq != session.last_seq:
            raise StaleSessionError(f"{named(session)} went on meanwhile: nothing was taken back, look at it again")
    gone = service.rewind_session(session, turns=turns, to=_event(to)) if would_go else []
    if as_json:
        print_json(f'{{"session": {json_text(fields_of(session.refresh()))},\n "removed": [',
                   map(event_for_json, gone), "]}")  # fmt: skip
    elif gone:
        print_text(f"Took back {_span(gone)} of {named(session)}.")
    else:
        print_text("There is nothing to take back.")


def _event(place: str | None) -> str | int | None:
    return int(place) if place is not None and place.isascii() and place.isdigit() and len(place) < 19 else place


def _span(events: list[Event]) -> str:
    first, last = events[0].seq, events[-1].seq
    return f"{counted(len(events), 'event')} (#{first}{f'–#{last}' if last > first else ''})"


@click.command()
@click.option("--older-than", type=time_given, metavar="AGE|TIME",
              help="Turns that are older than this: 90d, 12w, or a time such as 2025-01-01 (UTC).")  # fmt: skip
@click.option("--keep-last", type=click.IntRange(min=0), metavar="N",
              help="Keep the latest N events of each conversation, whatever their age.")  # fmt: skip
@_dry_run_option
@json_option
@yes_option
@with_store(writes_unless="dry_run")
def prune(
    service: SQLiteSessionService,
    older_than: datetime | None,
    keep_last: int | None,
    dry_run: bool,
    as_json: bool,
    yes: bool,
) -> None:
    """Remove old turns from all conversations, after asking.

    Of all apps and users, unless --app or --user is given. Whole turns go, from the beginning; with --older-than a
    conversation of which nothing is left, and that did not change since, goes altogether. State is kept.
    """
    if older_than is None and keep_last is None:
        raise click.UsageError("say what to prune: --older-than, --keep-last or both")
    report = service.prune(older_than=older_than, keep_last=keep_last, dry_run=True)
    if not dry_run and (report.events or report.sessions):
        what = _events_and_sessions(report.events, report.sessions)
        confirm(f"Remove {what}, of {_whose(service)}?", yes=yes)
        report = service.prune(older_than=older_than, keep_last=keep_last)
    if as_json:
        _print_report({"events": report.events, "sessions": report.sessions, "dry_run": dry_run})
    else:
        what = _events_and_sessions(report.events, report.sessions)
        print_text(f"Would remove {what}." if dry_run else f"Removed {what}.")
    if not report.events and not report.sessions:
        say_nothing_found(service)


def _events_and_sessions(events: int, sessions: int) -> str:
    return counted(events, "event") + (f" and {counted(sessions, 'whole session')}" if sessions else "")


@click.command()
@click.argument("session_id", required=False)
@json_option
@yes_option
@with_store(writes=True)
def erase(service: SQLiteSessionService, session_id: str | None, as_json: bool, yes: bool) -> None:
    """Erase a conversation, or all of a user, without a trace.

    After asking. With --user and no SESSION_ID, all sessions and the state of that user. Rows, search words, free
    space and the WAL: the whole file is rewritten. Copies elsewhere (backups, exports) are not touched. The exit code
    is 1 if something still holds what was to be erased.
    """
    if session_id is not None:
        session = service.get_session(session_id)
        events = sum(1 for _ in session.iter_events())
        confirm(f"Erase {named(session)}{titled(session)}, with {counted(events, 'event')}, for good?", yes=yes)
        report = service.erase(session)
    elif isinstance(service.user_id, AnyOf):
        raise click.UsageError("say what to erase: a SESSION_ID, or a --user")
    else:
        overviews = service.session_overviews(limit=None)
        events = sum(overview.event_count for overview in overviews)
        what = f"{counted(len(overviews), 'session')} with {counted(events, 'event')}, and the state"
        confirm(f"Erase {what}, of {_whose(service)}, for good?", yes=yes)
        report = service.erase(user_id=service.user_id)
    if as_json:
        _print_report({
            "sessions": report.sessions, "events": report.events, "remaining": report.remaining,
            "complete": report.complete,
        })  # fmt: skip
    else:
        print_text(f"Erased {counted(report.sessions, 'session')} with {counted(report.events, 'event')}.")
    if not report.sessions:
        say_nothing_found(service)
    _say_what_remains(report.remaining, as_json=as_json)


@click.command()
@click.argument("pattern")
@click.option("--replacement", default="[redacted]", show_default=True, help="What stands in place of a match.")
@session_option
@_dry_run_option
@json_option
@yes_option
@with_store(writes_unless="dry_run")
def redact(
    service: SQLiteSessionService,
    pattern: str,
    replacement: str,
    session: str | None,
    dry_run: bool,
    as_json: bool,
    yes: bool,
) -> None:
    r"""Replace a text in stored events, after asking.

    PATTERN is a regular expression of Python's: 'sk-\w+', '(?i)my name'. It is looked for in what was said, in the
    reasoning, tool calls, metadata and state of events. The exit code is 1 if something still holds the text.
    """
    where = session_of(service, session)
    report = service.redact(pattern, replacement=replacement, session=where, dry_run=True)
    if not dry_run:
        scope = named(where) if where else _whose(service)
        confirm(f"Redact {counted(report.events, 'event')}, of {scope}, for good?", yes=yes)
        report = service.redact(pattern, replacement=replacement, session=where)
    if as_json:
        _print_report({
            "events": report.events, "skipped": report.skipped, "remaining": report.remaining, "dry_run": dry_run,
        })  # fmt: skip
    else:
        print_text(f"{'Would redact' if dry_run else 'Redacted'} {counted(report.events, 'event')}.")
    if not report.events:
        say_nothing_found(service)
    if report.skipped:
        click.echo(f"{counted(report.skipped, 'event')} cannot be read and may hold it.", err=True)
    _say_what_remains(report.remaining, as_json=as_json)


def _whose(service: SQLiteSessionService) -> str:
    """Whose sessions a verb means, in words."""
    app, user = service.app_name, service.user_id
    return (
        f"{'all users' if user is ANY else f'user {visible(user)}'} "
        f"in {'all apps' if app is ANY else f'app {visible(app)}'}"
    )


def _print_report(report: dict[str, Any]) -> None:
    print_json("", [report], "")


def _say_what_remains(remaining: tuple[str, ...], *, as_json: bool) -> None:
    if remaining:
        for what in () if as_json else remaining:
            click.echo(f"Still there: {visible(what)}", err=True)
        click.get_current_context().exit(FAILED)


@click.command()
@click.argument("file", type=click.Path())
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@json_option
@with_store()
def backup(service: SQLiteSessionService, file: str, overwrite: bool, as_json: bool) -> None:
    """Copy the store into a FILE while others go on writing.

    The copy is of one moment, a single file, and can be opened as a store.
    """
    target = os.path.abspath(file_text(file, "the target of a backup"))
    if not overwrite and os.path.lexists(target):
        raise click.ClickException(f"there is a file at {visible(target)}: name another, or give --overwrite")
    path: Path = service.backup(target, overwrite=overwrite)
    size = path.stat().st_size
    if as_json:
        _print_report({"path": str(path), "bytes": size})
    else:
        print_text(f"Backed up to {visible(path)} ({counted(size, 'byte')}).")


@click.command()
@click.option("--repair", is_flag=True, help="Rebuild what can be rebuilt, after asking.")
@json_option
@yes_option
@with_store(writes_if="repair")
def check(service: SQLiteSessionService, repair: bool, as_json: bool, yes: bool) -> None:
    """Look at everything that can go wrong with the file.

    Its pages, order, search index, permissions and disk. Changes nothing without --repair. The exit code is 1 if
    something is wrong; a warning alone is not.
    """
    report = service.check()
    if repair and not report.ok:
        if not yes:
            click.echo(_findings(report), err=True)
        confirm("Build indexes and numbers anew, and delete state that belongs to no session?", yes=yes)
        report = service.check(repair=True)
    if as_json:
        findings = [{"name": one.name, "level": one.level, "message": one.message, "advice": one.advice,
                     "repaired": one.repaired} for one in report]  # fmt: skip
        _print_report({"ok": report.ok, "findings": findings})
    else:
        print_text(_findings(report))
    if not report.ok:
        click.get_current_context().exit(FAILED)


def _findings(report: CheckReport) -> str:
    lines = []
    for one in report:
        level = "repaired" if one.repaired else one.level
        lines.append(f"{painted(f'{level:8}', _LEVEL_COLOURS[level])}  {visible(one.name)}: {visible(one.message)}")
        if one.advice and not one.repaired:
            # Its advice is to who calls check() in Python.
            advice = one.advice.replace("check(repair=True)", "`session-sqlite check --repair`")
            advice = advice.replace(SEE_OTHERS, LEAVE_OUT)
            lines.append(f"{'':10}{painted(visible(advice), DIM)}")
    return "\n".join(lines)


COMMANDS: Final[tuple[click.Command, ...]] = (fork, rewind, prune, erase, redact, backup, check)
