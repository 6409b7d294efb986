"""The commands that change and maintain a store: fork, rewind, prune, erase, redact, backup, check.

A command that destroys something first counts it and asks; ``--yes`` answers.
"""

from __future__ import annotations

import dataclasses
import os
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from session_sqlite.cli.console import (
    DIM,
    FAILED,
    GREEN,
    LEAVE_OUT,
    RED,
    YELLOW,
    confirm,
    counted,
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
from session_sqlite.service import SEE_OTHERS, SessionService
from session_sqlite.sqlite import file_text
from session_sqlite.transcript import visible

_LEVEL_COLOURS: Final = {"ok": GREEN, "repaired": GREEN, "warning": YELLOW, "error": RED}

_EVENT_HELP: Final = "its number in the session (its seq), or its id."
_dry_run_option = click.option("--dry-run", is_flag=True, help="Change nothing, and only count.")


@click.command()
@click.argument("session_id")
@click.option("--at", metavar="SEQ|ID", help=f"The last event to copy: {_EVENT_HELP} Default: the latest event.")
@click.option("--id", "new_id", metavar="ID", help="The id of the copy. Default: a new id.")
@click.option("--title", default="", help="The title of the copy. Default: the title of the source.")
@json_option
@with_store(writes=True)
def fork(
    service: SessionService, session_id: str, at: str | None, new_id: str | None, title: str, as_json: bool
) -> None:
    """Copy a conversation, up to and including an event.

    If this or an earlier event calls tools, their results are copied too.
    """
    source = service.get_session(session_id)
    copy = service.fork_session(source, at=_event(at), session_id=new_id, title=title)
    if as_json:
        print_json("", [copy.to_dict()], "")
    else:
        print_text(f"Forked {named(source)} after #{copy.parent_seq}: the copy is session {visible(copy.id)}.")


@click.command()
@click.argument("session_id")
@click.option("--turns", type=click.IntRange(min=1), metavar="N", help="Remove the last N turns. Default: 1.")
@click.option("--to", metavar="SEQ|ID", help=f"Remove all events after this one: {_EVENT_HELP}")
@json_option
@yes_option
@with_store(writes=True)
def rewind(
    service: SessionService, session_id: str, turns: int | None, to: str | None, as_json: bool, yes: bool
) -> None:
    """Remove the last turns of a conversation, after asking.

    A turn is a message of the user and all that follows it. The conversation's own state becomes what it was before the
    removed turns.
    """
    if turns is not None and to is not None:
        raise click.UsageError("give --turns or --to, not both")
    session = service.get_session(session_id)
    to_remove = service.rewind_session(session, turns=turns, to=_event(to), dry_run=True)
    if to_remove:
        confirm(f"Remove {_span(to_remove)} of {named(session)}{titled(session)}?", yes=yes)
        if not yes and service.get_session(session).last_seq != session.last_seq:
            raise StaleSessionError(f"{named(session)} has new events meanwhile: nothing was removed, look at it again")
    removed = service.rewind_session(session, turns=turns, to=_event(to)) if to_remove else []
    if as_json:
        print_json(f'{{"session": {json_text(session.refresh().to_dict())},\n "removed": [',
                   (event.to_dict() for event in removed), "]}")  # fmt: skip
    elif removed:
        print_text(f"Removed {_span(removed)} of {named(session)}.")
    else:
        print_text("There is nothing to remove.")


def _event(place: str | None) -> str | int | None:
    return int(place) if place is not None and place.isascii() and place.isdigit() and len(place) < 19 else place


def _span(events: list[Event]) -> str:
    first, last = events[0].seq, events[-1].seq
    return f"{counted(len(events), 'event')} (#{first}{f'–#{last}' if last > first else ''})"


@click.command()
@click.option("--older-than", type=time_given, metavar="AGE|TIME",
              help="Remove turns that are older than this: 90d, 12w, or a time such as 2025-01-01 (UTC).")  # fmt: skip
@click.option("--keep-last", type=click.IntRange(min=0), metavar="N",
              help="Keep the latest N events of each conversation, whatever their age.")  # fmt: skip
@_dry_run_option
@json_option
@yes_option
@with_store(writes_unless="dry_run")
def prune(
    service: SessionService,
    older_than: datetime | None,
    keep_last: int | None,
    dry_run: bool,
    as_json: bool,
    yes: bool,
) -> None:
    """Remove old turns from all conversations, after asking.

    Prunes those of all apps and users, unless --app or --user is given. Whole turns are removed, from the beginning of
    a conversation. With --older-than, a conversation that has no events left and did not change since is deleted.
    Other conversations keep their state.
    """
    if older_than is None and keep_last is None:
        raise click.UsageError("give --older-than, --keep-last or both")
    report = service.prune(older_than=older_than, keep_last=keep_last, dry_run=True)
    if not dry_run and (report.events or report.sessions):
        confirm(f"Remove {_events_and_sessions(report.events, report.sessions)}, of {_scope(service)}?", yes=yes)
        report = service.prune(older_than=older_than, keep_last=keep_last)
    if as_json:
        _print_report({"events": report.events, "sessions": report.sessions, "dry_run": dry_run})
    else:
        did = "Would remove" if dry_run else "Removed"
        print_text(f"{did} {_events_and_sessions(report.events, report.sessions)}.")
    if not report.events and not report.sessions:
        say_nothing_found(service)


def _events_and_sessions(events: int, sessions: int) -> str:
    return counted(events, "event") + (f" and {counted(sessions, 'whole session')}" if sessions else "")


@click.command()
@click.argument("session_id", required=False)
@json_option
@yes_option
@with_store(writes=True)
def erase(service: SessionService, session_id: str | None, as_json: bool, yes: bool) -> None:
    """Erase a conversation, or everything of a user, after asking.

    With --user and no SESSION_ID it erases all sessions and the state of this user. Nothing of them stays in the file
    or its WAL, not even in free space: the whole file is rewritten. Copies elsewhere (backups, exports) are not erased.
    The exit code is 1 if something in the store still holds the erased text.
    """
    if session_id is not None:
        session = service.get_session(session_id)
        events = sum(1 for _ in session.iter_events())
        confirm(f"Erase {named(session)}{titled(session)}, with {counted(events, 'event')}, forever?", yes=yes)
        report = service.erase(session)
    elif isinstance(service.user_id, AnyOf):
        raise click.UsageError("give a SESSION_ID or --user")
    else:
        overviews = service.session_overviews(limit=None)
        events = sum(overview.event_count for overview in overviews)
        amount = f"{counted(len(overviews), 'session')} with {counted(events, 'event')}"
        confirm(f"Erase {amount}, and the state, of {_scope(service)}, forever?", yes=yes)
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
@click.option("--replacement", default="[redacted]", show_default=True, help="The text in place of a match.")
@session_option
@_dry_run_option
@json_option
@yes_option
@with_store(writes_unless="dry_run")
def redact(
    service: SessionService,
    pattern: str,
    replacement: str,
    session: str | None,
    dry_run: bool,
    as_json: bool,
    yes: bool,
) -> None:
    r"""Replace text in stored events, after asking.

    PATTERN is a Python regular expression, such as 'sk-\w+' or '(?i)my name'. It is searched for in the content,
    reasoning, tool calls, metadata and state of events. The exit code is 1 if something in the store still holds the
    text.
    """
    where = session_of(service, session)
    report = service.redact(pattern, replacement=replacement, session=where, dry_run=True)
    if not dry_run:
        scope = named(where) if where else _scope(service)
        confirm(f"Redact {counted(report.events, 'event')}, of {scope}, forever?", yes=yes)
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
        click.echo(f"{counted(report.skipped, 'event')} cannot be read and may hold the text.", err=True)
    _say_what_remains(report.remaining, as_json=as_json)


def _scope(service: SessionService) -> str:
    """Returns in words whose sessions a command means."""
    app, user = service.app_name, service.user_id
    return (
        f"{'all users' if user is ANY else f'user {visible(user)}'} "
        f"in {'all apps' if app is ANY else f'app {visible(app)}'}"
    )


def _print_report(report: dict[str, Any]) -> None:
    print_json("", [report], "")


def _say_what_remains(remaining: tuple[str, ...], *, as_json: bool) -> None:
    if remaining:
        for place in () if as_json else remaining:
            click.echo(f"Still there: {visible(place)}", err=True)
        click.get_current_context().exit(FAILED)


@click.command()
@click.argument("file", type=click.Path())
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@json_option
@with_store()
def backup(service: SessionService, file: str, overwrite: bool, as_json: bool) -> None:
    """Copy the store into a FILE; others may write meanwhile.

    The copy is as of one moment, is a single file, and can be opened as a store.
    """
    target = os.path.abspath(file_text(file, "the target of a backup"))
    if not overwrite and os.path.lexists(target):
        raise click.ClickException(f"{visible(target)} exists already: name another file, or give --overwrite")
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
def check(service: SessionService, repair: bool, as_json: bool, yes: bool) -> None:
    """Check the whole file for damage and risks.

    It checks the pages, the order of events, the search index, permissions and the disk. Nothing changes without
    --repair. The exit code is 1 if there is an error; a warning alone is none.
    """
    report = service.check()
    if repair and not report.ok:
        if not yes:
            click.echo(_findings(report), err=True)
        confirm("Rebuild indexes and numbers, and delete state that belongs to no session?", yes=yes)
        report = service.check(repair=True)
    if as_json:
        _print_report({"ok": report.ok, "findings": [dataclasses.asdict(finding) for finding in report]})
    else:
        print_text(_findings(report))
    if not report.ok:
        click.get_current_context().exit(FAILED)


def _findings(report: CheckReport) -> str:
    lines = []
    for finding in report:
        level = "repaired" if finding.repaired else finding.level
        painted_level = painted(f"{level:8}", _LEVEL_COLOURS[level])
        lines.append(f"{painted_level}  {visible(finding.name)}: {visible(finding.message)}")
        if finding.advice and not finding.repaired:
            # The advice is for Python code: translate it for the command line.
            advice = finding.advice.replace("check(repair=True)", "`session-sqlite check --repair`")
            advice = advice.replace(SEE_OTHERS, LEAVE_OUT)
            lines.append(f"{'':10}{painted(visible(advice), DIM)}")
    return "\n".join(lines)


COMMANDS: Final[tuple[click.Command, ...]] = (fork, rewind, prune, erase, redact, backup, check)
