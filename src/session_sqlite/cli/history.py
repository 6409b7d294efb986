"""The commands that search a history and sum it up: search, query, tools, usage, stats, tail.

None of them writes. Rows are printed as a table, as JSON or as CSV.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import click

from session_sqlite.cli.console import (
    BOLD,
    DIM,
    THERE_ARE_MORE,
    check_format,
    counted,
    csv_option,
    full_option,
    has_colours,
    in_one_line,
    json_option,
    json_text,
    limit_option,
    named,
    painted,
    print_csv,
    print_json,
    print_rows,
    print_text,
    say_nothing_found,
    session_of,
    session_option,
    since_option,
    table,
    terminal_width,
    titled,
    until_option,
    with_store,
)
from session_sqlite.codec import SessionKey
from session_sqlite.errors import SessionNotFoundError
from session_sqlite.filters import SearchField, ToolStatus, UsageGroup
from session_sqlite.models import Event, SearchHit
from session_sqlite.operations.analytics import TOOL_STATUSES, USAGE_SUMS
from session_sqlite.search import FIELDS
from session_sqlite.service import DEFAULT_QUERY_TIMEOUT, DEFAULT_SEARCH_LIMIT, SessionService
from session_sqlite.session import Session
from session_sqlite.transcript import terminal_text, time_shown, visible

DEFAULT_CALLS: Final = 50
DEFAULT_LAST: Final = 10
MOST_LAST: Final = 1000
DEFAULT_INTERVAL: Final = 0.5
LEAST_INTERVAL: Final = 0.05
MOST_INTERVAL: Final = 3600.0
RESTS_PER_LOOK: Final = 10  # `tail` waits ten times as long as its last look took, so that it never keeps a CPU busy
TOOLS_IN_STATS: Final = 10
INTERRUPTED: Final = 130  # the exit code by which a shell knows that Ctrl-C ended a program

HIT_COLUMNS: Final = (
    "app_name", "user_id", "session_id", "title", "seq", "event_id", "created_at", "author", "snippet", "score",
)  # fmt: skip

USAGE_HEADERS: Final = {
    "replies": "replies", "input_tokens": "input", "output_tokens": "output", "cache_read_tokens": "from cache",
    "cache_write_tokens": "to cache", "reasoning_tokens": "reasoning",
}  # fmt: skip

# ---------------------------------------------------------------- search


@click.command()
@click.argument("query")
@session_option
@click.option("--author", metavar="NAME", help="Only by this author: user, assistant, system, tool, an agent's name.")
@click.option("--field", "fields", type=click.Choice(FIELDS), multiple=True, help="Only in this field; repeatable.")
@since_option
@until_option
@limit_option(DEFAULT_SEARCH_LIMIT)
@click.option("--newest", is_flag=True, help="The latest appended first, not the best match.")
@json_option
@csv_option
@with_store()
def search(
    service: SessionService,
    query: str,
    session: str | None,
    author: str | None,
    fields: Sequence[SearchField],
    since: datetime | None,
    until: datetime | None,
    limit: int,
    newest: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Find events by their words, in any language.

    An event is found if it has all the words: in its content, in its reasoning, or in names, arguments and outputs of
    tools. "quoted words" must follow each other, word* finds all words that begin so, and 代码 is also found inside
    longer text. Case, width and accents make no difference.
    """
    check_format(as_json, as_csv)
    hits = service.search(
        query,
        session=session_of(service, session),
        author=author,
        fields=fields or FIELDS,
        since=since,
        until=until,
        limit=limit,
        newest_first=newest,
    )
    if as_json:
        print_json("[", (hit.to_dict() for hit in hits), "]")
    elif as_csv:
        print_csv(HIT_COLUMNS, map(_hit_row, hits))
    elif hits:
        print_text("\n\n".join(map(_hit_text, hits)))
    _say_if_empty(service, hits, "Nothing found.", as_json or as_csv)
    if hits.next_cursor is not None:
        click.echo(THERE_ARE_MORE, err=True)


def _hit_row(hit: SearchHit[Session]) -> tuple[object, ...]:
    session, event = hit.session, hit.event
    return (
        session.app_name, session.user_id, session.id, session.title, event.seq, event.id, event.created_at,
        event.author, hit.snippet, hit.score,
    )  # fmt: skip


def _hit_text(hit: SearchHit[Session]) -> str:
    session, event = hit.session, hit.event
    about = [
        f"#{event.seq} {visible(event.author)}", time_shown(event.created_at), f"session {visible(session.id)}",
        f"app {visible(session.app_name)}", f"user {visible(session.user_id)}",
    ]  # fmt: skip
    head = painted(visible(session.title or session.id), BOLD)
    return f"{head}\n{painted(' · '.join(filter(None, about)), DIM)}\n  {_marked(hit)}"


def _marked(hit: SearchHit[Session]) -> str:
    """Returns the snippet in one line, with the terms of the query in bold, or without colours between guillemets."""
    shown, position = [], 0
    for start, end in hit.spans:
        match = _in_line(hit.snippet[start:end])
        shown += [_in_line(hit.snippet[position:start]), painted(match, BOLD) if has_colours() else f"«{match}»"]
        position = end
    return "".join([*shown, _in_line(hit.snippet[position:])])


def _in_line(text: str) -> str:
    return visible(re.sub(r"\s+", " ", text))


# ---------------------------------------------------------------- query


@click.command()
@click.argument("sql")
@click.option("-p", "--param", "params", type=(str, str), multiple=True, metavar="NAME VALUE",
              help="The value (a text) of :NAME in the SQL; repeatable.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", default=DEFAULT_QUERY_TIMEOUT,
              show_default=True, help="How long the query may take.")  # fmt: skip
@json_option
@csv_option
@with_store()
def query(
    service: SessionService,
    sql: str,
    params: Sequence[tuple[str, str]],
    timeout: float,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Run one SQL statement that reads.

    There are the tables sessions, events and state, and the views tool_calls, usage_by_day, session_overview and
    transcript. SQLite refuses a statement that would write. --app and --user make no difference: SQL sees the rows of
    all apps and users.
    """
    check_format(as_json, as_csv)
    rows = service.query(sql, dict(params), timeout=timeout)
    numbers = [name for name in rows.columns if all(isinstance(row[name], (int, float, type(None))) for row in rows)]
    print_rows(rows, rows.columns, as_json=as_json, as_csv=as_csv, right=numbers)
    if not rows and not as_json and not as_csv:
        click.echo("No rows.", err=True)


# ---------------------------------------------------------------- tools


@click.command()
@click.argument("name", required=False)
@click.option("--calls", is_flag=True, help="List the calls of all tools instead of counting them.")
@click.option("--status", type=click.Choice(TOOL_STATUSES), help="Only calls with this status.")
@session_option
@since_option
@until_option
@click.option("--limit", type=click.IntRange(min=0), metavar="N", default=DEFAULT_CALLS, show_default=True,
              help="At most this many calls.")  # fmt: skip
@json_option
@csv_option
@with_store()
def tools(
    service: SessionService,
    name: str | None,
    calls: bool,
    status: ToolStatus | None,
    session: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Count the calls of each tool, or list the calls of one.

    With a NAME or --calls it lists calls, the latest first. A call is pending while it has no result. Times are UTC.
    """
    check_format(as_json, as_csv)
    where = session_of(service, session)
    if name is None and not calls:
        counts = service.tool_counts(session=where, status=status, since=since, until=until)
        rows = [{"tool": tool or "", **count} for tool, count in counts.items()]
        print_rows(rows, ("tool", "calls", "errors", "pending"), as_json=as_json, as_csv=as_csv,
                   right=("calls", "errors", "pending"), shown=_number)  # fmt: skip
        _say_if_empty(service, rows, "No tool calls.", as_json or as_csv)
        return
    records = service.tool_calls(
        name, session=where, status=status, since=since, until=until, limit=limit + 1, newest_first=True
    )
    listed = records[:limit]
    if as_json or as_csv:
        print_rows(listed, records.columns, as_json=as_json, as_csv=as_csv)
    elif listed:
        print_text(_calls_table(listed, with_names=name is None))
    _say_if_empty(service, records, "No tool calls.", as_json or as_csv)
    if len(records) > len(listed):
        click.echo(THERE_ARE_MORE, err=True)


def _calls_table(calls: Sequence[dict[str, Any]], *, with_names: bool) -> str:
    columns = {
        "time": [time_shown(call["created_at"], "minutes") for call in calls],
        "session": [in_one_line(call["session_id"]) for call in calls],
        "#": [in_one_line(call["seq"]) for call in calls],
        "tool": [in_one_line(call["name"]) for call in calls],
        "status": [call["status"] for call in calls],
        "arguments": [in_one_line(call["args"]) for call in calls],
        "result": [in_one_line(call["output"] if call["error"] is None else call["error"]) for call in calls],
    }
    if not with_names:
        del columns["tool"]
    return table(columns, right="#", whole=("time", "session", "#", "status"))


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else in_one_line(value)


def _say_if_empty(service: SessionService, rows: Sequence[object], text: str, for_programs: bool) -> None:
    if not rows:
        say_nothing_found(service, text, for_programs=for_programs)


# ---------------------------------------------------------------- usage, stats


@click.command()
@click.option("--by", metavar="GROUPS", default="day,model", show_default=True,
              help="The groups, separated by commas: day, month, model, app_name, user_id, session_id, agent_id; "
                   'an empty text ("") for one sum of all.')  # fmt: skip
@session_option
@since_option
@until_option
@json_option
@csv_option
@with_store()
def usage(
    service: SessionService,
    by: str,
    session: str | None,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Sum up the tokens that models used, by day and model.

    The input includes cached tokens, and the output includes reasoning. Days are UTC.
    """
    check_format(as_json, as_csv)
    groups = list(dict.fromkeys(group for part in by.split(",") if (group := part.strip())))
    rows = service.usage(
        cast("list[UsageGroup]", groups), session=session_of(service, session), since=since, until=until
    )
    names = (*groups, "replies", *USAGE_SUMS)
    if as_json or as_csv:
        print_rows(rows, names, as_json=as_json, as_csv=as_csv)
    elif rows:
        shown = [name for name in names if name in groups or any(row[name] for row in rows)]
        columns = {USAGE_HEADERS.get(name, name): [_number(row[name]) for row in rows] for name in shown}
        print_text(table(columns, right=USAGE_HEADERS.values()))
    _say_if_empty(service, rows, "No usage.", as_json or as_csv)


@click.command()
@json_option
@with_store()
def stats(service: SessionService, as_json: bool) -> None:
    """Count the sessions, events, tool calls and tokens."""
    counts = service.stats()
    if counts["sessions"] == 0:
        say_nothing_found(service)
    if as_json:
        print_json("", [counts], "")
        return
    lines = [
        f"{counted(counts['sessions'], 'session')} of {counted(counts['users'], 'user')} "
        f"in {counted(counts['apps'], 'app')}",
        counted(counts["events"], "event") + "".join(
            f"{word}{time_shown(counts[name])} UTC"
            for word, name in ((", from ", "first_event"), (" to ", "last_event"))
            if counts[name] is not None
        ),
    ]  # fmt: skip
    if counts["authors"]:
        lines.append("  by " + ", ".join(f"{visible(name)} {count:,}" for name, count in counts["authors"].items()))
    if any(counts["tokens"].values()):
        sums = {USAGE_HEADERS[name]: counts["tokens"][name] for name in USAGE_SUMS}
        lines.append("tokens: " + ", ".join(f"{count:,} {name}" for name, count in sums.items() if count))
    tools_used = list(counts["tools"].items())
    if tools_used:
        shown = tools_used[:TOOLS_IN_STATS]
        columns = {name: [f"{count[name]:,}" for _, count in shown] for name in ("calls", "errors", "pending")}
        lines += ["", table({"tool": [in_one_line(name) for name, _ in shown], **columns}, right=columns)]
        if len(tools_used) > len(shown):
            lines.append(f"and {counted(len(tools_used) - len(shown), 'more tool')}: see `session-sqlite tools`")
    print_text("\n".join(lines))


# ---------------------------------------------------------------- tail


@click.command()
@click.argument("session_id", required=False)
@click.option("--last", type=click.IntRange(0, MOST_LAST), metavar="N", default=DEFAULT_LAST, show_default=True,
              help="Show the last N stored events first.")  # fmt: skip
@click.option("--count", type=click.IntRange(min=0), metavar="N", help="Stop after N new events.")
@click.option("--interval", type=click.FloatRange(LEAST_INTERVAL, MOST_INTERVAL), metavar="SECONDS",
              default=DEFAULT_INTERVAL, show_default=True, help="The time between two looks.")  # fmt: skip
@full_option
@json_option
@with_store()
def tail(
    service: SessionService,
    session_id: str | None,
    last: int,
    count: int | None,
    interval: float,
    full: bool,
    as_json: bool,
) -> None:
    """Show events as they are appended to a conversation, or to all.

    It shows those of every process, until Ctrl-C. With --json it prints one event on each line.
    """
    try:
        session = session_of(service, session_id)
        show = _Shown(session, full, as_json)
        seen = {_key(session): session.last_seq} if session else service.last_seqs()
        if not seen:
            say_nothing_found(service)
        for event in _latest(service, session, seen, last):
            show(*event)
        left = count
        while left is None or left > 0:
            began = time.monotonic()
            for event in _appended(service, session, seen):
                show(*event)
                left = None if left is None else left - 1
                if left == 0:
                    return
            time.sleep(max(RESTS_PER_LOOK * (time.monotonic() - began), interval))
    except KeyboardInterrupt:
        click.get_current_context().exit(INTERRUPTED)


def _key(session: Session) -> SessionKey:
    return SessionKey(session.app_name, session.user_id, session.id)


def _latest(
    service: SessionService, session: Session | None, seen: dict[SessionKey, int], count: int
) -> list[tuple[Session, Event]]:
    """Returns the last events up to those seen, the oldest first."""
    latest = []
    for followed in [session] if session else service.list_sessions(limit=count):
        before = seen.get(_key(followed), 0) + 1
        events = followed.events(newest_first=True, limit=count, before=before)
        latest += [(followed, event) for event in reversed(events)]
    # The sort is stable: events of one session that have the same time stay in their order.
    latest.sort(key=lambda pair: _or_first(pair[1].created_at))
    return latest[-count:] if count else []


def _or_first(when: datetime | None) -> datetime:
    """Returns a time to sort by; a damaged row has no time, and comes first."""
    return datetime.min.replace(tzinfo=UTC) if when is None else when


def _appended(
    service: SessionService, session: Session | None, seen: dict[SessionKey, int]
) -> Iterator[tuple[Session, Event]]:
    """Yields the events that were appended since the last look, and keeps in ``seen`` the last seq of each session."""
    now = {_key(session): service.get_session(session).last_seq} if session else service.last_seqs()
    for deleted in seen.keys() - now.keys():
        del seen[deleted]
    changed = []
    for key, last_seq in now.items():
        if last_seq < seen.get(key, 0):  # the session was deleted and made again
            seen[key] = 0
        if last_seq > seen.get(key, 0):
            try:
                changed.append(service.get_session(Session(key.session_id, key.app_name, key.user_id)))
            except SessionNotFoundError:  # it was deleted meanwhile
                continue
    changed.sort(key=lambda followed: _or_first(followed.updated_at))
    for followed in changed:
        key = _key(followed)
        try:
            for event in followed.iter_events(after=seen.get(key, 0)):
                seen[key] = event.seq
                yield followed, event
        except SessionNotFoundError:
            continue
        seen[key] = max(seen.get(key, 0), now[key])


class _Shown:
    """A printer of events, which prints a line with the session whenever an event is of another session."""

    def __init__(self, session: Session | None, full: bool, as_json: bool) -> None:
        self.full = full
        self.as_json = as_json
        self.session = session
        if session and not as_json:
            print_text(next(iter(self.blocks(session, []))))

    def __call__(self, session: Session, event: Event) -> None:
        if self.as_json:
            document = {"app_name": session.app_name, "user_id": session.user_id} | event.to_dict()
            click.echo(json_text(document).encode())
            return
        if session != self.session and (self.session is None or _key(session) != _key(self.session)):
            print_text(("" if self.session is None else "\n") + painted(f"── {named(session)}{titled(session)}", BOLD))
        self.session = session
        print_text(list(self.blocks(session, [event]))[-1])

    def blocks(self, session: Session, events: Sequence[Event]) -> Iterator[str]:
        return terminal_text(session, events, width=terminal_width(), full=self.full, colour=has_colours())


COMMANDS: Final[tuple[click.Command, ...]] = (search, query, tools, usage, stats, tail)
