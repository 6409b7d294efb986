"""The commands that change and maintain a store: fork, rewind, clear, prune, erase, redact, backup, check.

A command that removes something first counts it and asks; ``--yes`` answers, and ``--dry-run`` only counts.
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
    RED,
    SESSION_ID,
    YELLOW,
    confirm,
    counted,
    dry_run_option,
    event_count,
    named,
    painted,
    print_text,
    session_argument,
    session_option,
    titled,
    with_store,
    yes_option,
)
from session_sqlite.cli.finding import LEAVE_OUT, find_session, say_nothing_found, session_of
from session_sqlite.cli.rows import Form, form_options, json_text, print_json
from session_sqlite.cli.times import Time, utc_option
from session_sqlite.cli.verbs import Verb
from session_sqlite.errors import StaleSessionError
from session_sqlite.models import ANY, AnyOf, Event
from session_sqlite.operations.retention import EraseReport
from session_sqlite.pages import CheckReport
from session_sqlite.service import SEE_OTHERS, SessionService
from session_sqlite.sqlite import file_text
from session_sqlite.transcript import visible

_LEVEL_COLOURS: Final = {"ok": GREEN, "repaired": GREEN, "warning": YELLOW, "error": RED}

_EVENT_HELP: Final = "its number in the session (its seq), or its id."


@click.command(cls=Verb, examples=["fork latest", "fork 019a2b --at 6 --title 'Another way'"])
@session_argument
@click.option("--at", metavar="SEQ|ID", help=f"The last event to copy: {_EVENT_HELP} Default: the latest event.")
@click.option("--id", "new_id", metavar="ID", help="The id of the copy. Default: a new id.")
@click.option("--title", default="", help="The title of the copy. Default: the title of the source.")
@form_options("json")
@with_store(writes=True)
def fork(
    service: SessionService, session_id: str, at: str | None, new_id: str | None, title: str, form: Form | None
) -> None:
    """Copy a conversation, up to and including an event.

    If this or an earlier event calls tools, their results are copied too.
    """
    source = find_session(service, session_id)
    copy = service.fork_session(source, at=_event(at), session_id=new_id, title=title)
    if form == "json":
        print_json("", [copy.to_dict()], "")
    else:
        print_text(f"Forked {named(source)} after #{copy.parent_seq}: the copy is session {visible(copy.id)}.")


@click.command(cls=Verb, examples=["rewind latest", "rewind 019a2b --turns 2 --dry-run", "rewind 019a2b --to 6"])
@session_argument
@click.option("--turns", type=click.IntRange(min=1), metavar="N", help="Remove the last N turns. Default: 1.")
@click.option("--to", metavar="SEQ|ID", help=f"Remove all events after this one: {_EVENT_HELP}")
@dry_run_option
@form_options("json")
@yes_option
@with_store(writes_unless="dry_run")
def rewind(
    service: SessionService,
    session_id: str,
    turns: int | None,
    to: str | None,
    dry_run: bool,
    form: Form | None,
    yes: bool,
) -> None:
    """Remove the last turns of a conversation, after asking.

    A turn is a message of the user and all that follows it. The conversation's own state becomes what it was before the
    removed turns. With --yes, give the whole id.
    """
    if turns is not None and to is not None:
        raise click.UsageError("give --turns or --to, not both")
    session = find_session(service, session_id, whole=yes and not dry_run)
    removed = service.rewind_session(session, turns=turns, to=_event(to), dry_run=True)
    if removed and not dry_run:
        confirm(f"Remove {_span(removed)} of {named(session)}{titled(session)}?", yes=yes)
        if not yes and service.get_session(session).last_seq != session.last_seq:
            raise StaleSessionError(f"{named(session)} has new events meanwhile: nothing was removed, look at it again")
        removed = service.rewind_session(session, turns=turns, to=_event(to))
    if form == "json":
        print_json(f'{{"session": {json_text(session.refresh().to_dict())},\n "dry_run": {json_text(dry_run)},'
                   '\n "removed": [', (event.to_dict() for event in removed), "]}")  # fmt: skip
    elif removed:
        print_text(f"{'Would remove' if dry_run else 'Removed'} {_span(removed)} of {named(session)}.")
    else:
        print_text("There is nothing to remove.")


@click.command(cls=Verb, examples=["clear latest", "clear 019a2b --dry-run"])
@session_argument
@dry_run_option
@form_options("json")
@yes_option
@with_store(writes_unless="dry_run")
def clear(service: SessionService, session_id: str, dry_run: bool, form: Form | None, yes: bool) -> None:
    """Remove all events of a conversation, after asking.

    The conversation itself stays, with its title, its metadata and its state. With --yes, give the whole id.
    """
    session = find_session(service, session_id, whole=yes and not dry_run)
    events = event_count(session)
    if not dry_run:
        confirm(f"Remove {_all(events)} of {named(session)}{titled(session)}?", yes=yes)
        events = session.clear()
    if form == "json":
        print_json("", [{"session": session.refresh().to_dict(), "events": events, "dry_run": dry_run}], "")
    else:
        print_text(f"{'Would remove' if dry_run else 'Removed'} {_all(events)} of {named(session)}.")


def _all(events: int) -> str:
    return "the only event" if events == 1 else f"all {counted(events, 'event')}"


def _event(place: str | None) -> str | int | None:
    return int(place) if place is not None and place.isascii() and place.isdigit() and len(place) < 19 else place


def _span(events: list[Event]) -> str:
    first, last = events[0].seq, events[-1].seq
    return f"{counted(len(events), 'event')} (#{first}{f'–#{last}' if last > first else ''})"


@click.command(
    cls=Verb, examples=["prune --older-than 90d --dry-run", "prune --older-than 1w --keep-last 20 --app my-app"]
)
@click.option("--older-than", type=Time(), metavar="AGE|TIME",
              help="Remove turns that are older than this: 90d, 12w, or a time such as 2025-01-01.")  # fmt: skip
@click.option("--keep-last", type=click.IntRange(min=0), metavar="N",
              help="Keep the latest N events of each conversation, whatever their age.")  # fmt: skip
@dry_run_option
@form_options("json")
@utc_option
@yes_option
@with_store(writes_unless="dry_run")
def prune(
    service: SessionService,
    older_than: datetime | None,
    keep_last: int | None,
    dry_run: bool,
    form: Form | None,
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
    if form is not None:
        _print_report({"events": report.events, "sessions": report.sessions, "dry_run": dry_run})
    else:
        did = "Would remove" if dry_run else "Removed"
        print_text(f"{did} {_events_and_sessions(report.events, report.sessions)}.")
    if not report.events and not report.sessions:
        say_nothing_found(service)


def _events_and_sessions(events: int, sessions: int) -> str:
    return counted(events, "event") + (f" and {counted(sessions, 'whole session')}" if sessions else "")


@click.command(cls=Verb, examples=["erase 019a2b", "erase 019a2b --dry-run", "erase --user ada"])
@click.argument("session_id", type=SESSION_ID, required=False)
@dry_run_option
@form_options("json")
@yes_option
@with_store(writes_unless="dry_run")
def erase(service: SessionService, session_id: str | None, dry_run: bool, form: Form | None, yes: bool) -> None:
    """Erase a conversation, or everything of a user, after asking.

    With --user and no SESSION_ID it erases all sessions and the state of this user. Nothing of them stays in the file
    or its WAL, not even in free space: the whole file is rewritten. Copies elsewhere (backups, exports) are not erased.
    With --yes, give the whole id. The exit code is 1 if something in the store still holds the erased text.
    """
    erased: dict[str, Any]
    if session_id is not None:
        session = find_session(service, session_id, whole=yes and not dry_run)
        erased, sessions, events = {"session": session}, 1, event_count(session)
        question = f"Erase {named(session)}{titled(session)}, with {counted(events, 'event')}, forever?"
    elif isinstance(service.user_id, AnyOf):
        raise click.UsageError("give a SESSION_ID or --user")
    else:
        overviews = service.session_overviews(limit=None)
        erased, sessions = {"user_id": service.user_id}, len(overviews)
        events = sum(overview.event_count for overview in overviews)
        amount = f"{counted(sessions, 'session')} with {counted(events, 'event')}"
        question = f"Erase {amount}, and the state, of {_scope(service)}, forever?"
    if dry_run:
        report = EraseReport(sessions, events, ())
    else:
        confirm(question, yes=yes)
        report = service.erase(**erased)
    if form == "json":
        _print_report({
            "sessions": report.sessions, "events": report.events, "remaining": report.remaining,
            "complete": report.complete and not dry_run, "dry_run": dry_run,
        })  # fmt: skip
    elif dry_run:
        print_text(f"Would {question[0].lower()}{question[1:-1]}.")
    else:
        print_text(f"Erased {counted(report.sessions, 'session')} with {counted(report.events, 'event')}.")
    if not report.sessions:
        say_nothing_found(service)
    _say_what_remains(report.remaining, as_json=form is not None)


@click.command(
    cls=Verb, examples=["redact 'sk-[A-Za-z0-9]{20,}' --dry-run", "redact '(?i)ada lovelace' --session latest"]
)
@click.argument("pattern")
@click.option("--replacement", default="[redacted]", show_default=True, help="The text in place of a match.")
@session_option
@dry_run_option
@form_options("json")
@yes_option
@with_store(writes_unless="dry_run")
def redact(
    service: SessionService,
    pattern: str,
    replacement: str,
    session: str | None,
    dry_run: bool,
    form: Form | None,
    yes: bool,
) -> None:
    r"""Replace text in stored events, after asking.

    PATTERN is a Python regular expression, such as 'sk-\w+' or '(?i)my name'. It is searched for in the content,
    reasoning, tool calls, metadata and state of events. The exit code is 1 if something in the store still holds the
    text.
    """
    where = session_of(service, session, whole=yes and not dry_run)
    report = service.redact(pattern, replacement=replacement, session=where, dry_run=True)
    if not dry_run:
        scope = named(where) if where else _scope(service)
        confirm(f"Redact {counted(report.events, 'event')}, of {scope}, forever?", yes=yes)
        report = service.redact(pattern, replacement=replacement, session=where)
    if form is not None:
        _print_report({
            "events": report.events, "skipped": report.skipped, "remaining": report.remaining, "dry_run": dry_run,
        })  # fmt: skip
    else:
        print_text(f"{'Would redact' if dry_run else 'Redacted'} {counted(report.events, 'event')}.")
    if not report.events:
        say_nothing_found(service)
    if report.skipped:
        click.echo(f"{counted(report.skipped, 'event')} cannot be read and may hold the text.", err=True)
    _say_what_remains(report.remaining, as_json=form is not None)


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


@click.command(cls=Verb, examples=["backup copy.db", "backup copy.db --overwrite"])
@click.argument("file", type=click.Path())
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@form_options("json")
@with_store()
def backup(service: SessionService, file: str, overwrite: bool, form: Form | None) -> None:
    """Copy the store into a FILE; others may write meanwhile.

    The copy is as of one moment, is a single file, and can be opened as a store. It is of the whole store: for the
    conversations of one app or user, use `session-sqlite copy`.
    """
    if service.app_name is not ANY or service.user_id is not ANY:
        raise click.UsageError(
            "a backup is of the whole store, without --app and --user: use `session-sqlite copy` for some of it"
        )
    target = os.path.abspath(file_text(file, "the target of a backup"))
    if not overwrite and os.path.lexists(target):
        raise click.ClickException(f"{visible(target)} exists already: name another file, or give --overwrite")
    path: Path = service.backup(target, overwrite=overwrite)
    size = path.stat().st_size
    if form is not None:
        _print_report({"path": str(path), "bytes": size})
    else:
        print_text(f"Backed up to {visible(path)} ({counted(size, 'byte')}).")


@click.command(cls=Verb, examples=["check", "check --repair"])
@click.option("--repair", is_flag=True, help="Rebuild what can be rebuilt, after asking.")
@form_options("json")
@yes_option
@with_store(writes_if="repair")
def check(service: SessionService, repair: bool, form: Form | None, yes: bool) -> None:
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
    if form is not None:
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


COMMANDS: Final[tuple[click.Command, ...]] = (fork, rewind, clear, prune, erase, redact, backup, check)
