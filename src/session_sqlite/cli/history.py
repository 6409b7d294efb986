"""The commands that search a history and sum it up: search, query, tools, usage, stats, tail.

None of them writes. Rows are printed as a table, as JSON or as CSV.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import click

from session_sqlite.cli.console import (
    BOLD,
    DIM,
    SESSION_ID,
    THERE_ARE_MORE,
    broken,
    conversation,
    counted,
    full_option,
    has_colours,
    in_one_line,
    limit_option,
    named,
    painted,
    print_table,
    print_text,
    session_option,
    short_ids,
    table,
    titled,
    with_store,
)
from session_sqlite.cli.finding import say_nothing_found, say_unknown, session_of
from session_sqlite.cli.rows import (
    ROW_FORMS,
    Form,
    Limited,
    RowPrinter,
    form_options,
    json_text,
    print_json,
    print_json_lines,
    print_rows,
    print_separated,
)
from session_sqlite.cli.times import ago, full_time, shown_in_zone, since_option, until_option, utc_option
from session_sqlite.cli.verbs import INTERRUPTED, Verb
from session_sqlite.codec import TOOL_CALL_COLUMNS, SessionKey
from session_sqlite.errors import SessionNotFoundError
from session_sqlite.filters import SearchField, ToolStatus, UsageGroup
from session_sqlite.models import Event, SearchHit
from session_sqlite.operations.analytics import TOOL_STATUSES, USAGE_SUMS
from session_sqlite.search import FIELDS
from session_sqlite.service import DEFAULT_QUERY_TIMEOUT, DEFAULT_SEARCH_LIMIT, SessionService
from session_sqlite.session import Session
from session_sqlite.transcript import time_shown, visible

DEFAULT_CALLS: Final = 50
DEFAULT_LAST: Final = 10
MOST_LAST: Final = 1000
DEFAULT_INTERVAL: Final = 0.5
LEAST_INTERVAL: Final = 0.05
MOST_INTERVAL: Final = 3600.0
RESTS_PER_LOOK: Final = 10  # `tail` waits ten times as long as its last look took, so that it never keeps a CPU busy
TOOLS_IN_STATS: Final = 10
# Stand for the sequences that begin and end bold text, while a line is broken: they take no room.
BEGINS: Final = "\u206a"
ENDS: Final = "\u206b"
HITS_AT_ONCE: Final = 200  # that are in memory
CALLS_AT_ONCE: Final = 10_000  # each time the whole view is read

HIT_COLUMNS: Final = (
    "app_name", "user_id", "session_id", "title", "seq", "event_id", "created_at", "author", "snippet", "score",
)  # fmt: skip

USAGE_HEADERS: Final = {
    "replies": "replies", "input_tokens": "input", "output_tokens": "output", "cache_read_tokens": "from cache",
    "cache_write_tokens": "to cache", "reasoning_tokens": "reasoning",
}  # fmt: skip

# ---------------------------------------------------------------- search


@click.command(
    cls=Verb,
    examples=["search 代码", "search '\"exact words\" begin*' --since 30d", "search refund --author user -n 5"],
)
@click.argument("query")
@session_option
@click.option("--author", metavar="NAME", help="Only by this author: user, assistant, system, tool, an agent's name.")
@click.option("--field", "fields", type=click.Choice(FIELDS), multiple=True, help="Only in this field; repeatable.")
@since_option
@until_option
@limit_option(DEFAULT_SEARCH_LIMIT)
@click.option("--newest", is_flag=True, help="The latest appended first, not the best match.")
@form_options(*ROW_FORMS)
@utc_option
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
    form: Form | None,
) -> None:
    """Find what was said by its words, in any language.

    An event is found if it has all the words: in its content, in its reasoning, or in names, arguments and outputs of
    tools. "quoted words" must follow each other, word* finds all words that begin so, and 代码 is also found inside
    longer text. Case, width and accents make no difference.
    """
    where = session_of(service, session)
    found = _hits(
        service,
        query,
        limit,
        session=where,
        author=author,
        fields=fields or FIELDS,
        since=since,
        until=until,
        newest_first=newest,
    )
    hits = Limited(found, limit)
    if form == "json":
        print_json("[", (hit.to_dict() for hit in hits), "]")
    elif form == "jsonl":
        print_json_lines(hit.to_dict() for hit in hits)
    elif form is not None:
        print_separated(form, HIT_COLUMNS, map(_hit_row, hits))
    elif listed := list(hits):
        print_text("\n\n".join(map(_hit_text, listed)))
    if not hits.count and not hits.more:
        say_nothing_found(service, "Nothing found.", for_programs=form is not None)
        say_unknown("event by", "author", author, lambda: _authors(service, where))
    if hits.more:
        click.echo(THERE_ARE_MORE, err=True)


def _hits(service: SessionService, query: str, limit: int, **filters: Any) -> Iterator[SearchHit[Session]]:
    """Yields up to one hit more than the limit, a page of them in memory at a time."""
    left, cursor = limit + 1, None
    while left > 0:
        page = service.search(query, limit=min(left, HITS_AT_ONCE), cursor=cursor, **filters)
        yield from page
        left, cursor = left - len(page), page.next_cursor
        if cursor is None:
            return


def _authors(service: SessionService, session: Session | None) -> list[str]:
    return [row["author"] for row in service.activity("author", session=session)]


def _hit_row(hit: SearchHit[Session]) -> tuple[object, ...]:
    session, event = hit.session, hit.event
    return (
        session.app_name, session.user_id, session.id, session.title, event.seq, event.id, event.created_at,
        event.author, hit.snippet, hit.score,
    )  # fmt: skip


def _hit_text(hit: SearchHit[Session]) -> str:
    session, event = hit.session, hit.event
    about = [
        f"#{event.seq} {visible(event.author)}", ago(event.created_at), f"session {visible(session.id)}",
        f"app {visible(session.app_name)}", f"user {visible(session.user_id)}",
    ]  # fmt: skip
    head = painted(broken(visible(session.title or "(no title)")), BOLD)
    where = painted(broken(" · ".join(filter(None, about))), DIM)
    return f"{head}\n{where}\n{marked(hit.snippet, hit.spans, '  ')}"


def marked(text: str, spans: Iterable[tuple[int, int]], margin: str = "") -> str:
    """Returns a text behind a margin, with the terms of a query in bold, or without colours between guillemets."""
    begin, end = (BEGINS, ENDS) if has_colours() else ("«", "»")
    shown, position = [], 0
    for start, stop in spans:
        shown += [_in_line(text[position:start]), begin, _in_line(text[start:stop]), end]
        position = stop
    lines = broken("".join([*shown, _in_line(text[position:])]), margin)
    return lines.replace(BEGINS, f"\x1b[{BOLD}m").replace(ENDS, "\x1b[0m")


def _in_line(text: str) -> str:
    return visible(re.sub(r"\s+", " ", text.replace(BEGINS, "").replace(ENDS, "")))


# ---------------------------------------------------------------- query


@click.command(
    cls=Verb,
    examples=[
        "query 'SELECT * FROM usage_by_day'",
        "query 'SELECT * FROM events WHERE id = :id' -p id e1 --jsonl",
        "query - < report.sql",
    ],
)
@click.argument("sql")
@click.option("-p", "--param", "params", type=(str, str), multiple=True, metavar="NAME VALUE",
              help="The value (a text) of :NAME in the SQL; repeatable.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", default=DEFAULT_QUERY_TIMEOUT,
              show_default=True, help="How long the query may take.")  # fmt: skip
@form_options(*ROW_FORMS)
@with_store()
def query(
    service: SessionService, sql: str, params: Sequence[tuple[str, str]], timeout: float, form: Form | None
) -> None:
    """Run one SQL statement that reads.

    SQL can be "-", for a statement from standard input. There are the tables sessions, events and state, and the views
    tool_calls, usage_by_day, session_overview and transcript. A statement that would write is refused. --app and
    --user make no difference: SQL sees the rows of all apps and users. Times are UTC.
    """
    sql, values = _sql_of_input() if sql == "-" else sql, dict(params)
    if form is not None:
        printer = RowPrinter(form)
        rows = service.query(sql, values, timeout=timeout, each=printer.add)
        printer.end(rows.columns)
        return
    rows = service.query(sql, values, timeout=timeout)
    if rows:
        number = (int, float, type(None))
        numbers = [name for name in rows.columns if all(isinstance(row[name], number) for row in rows)]
        print_table(rows, rows.columns, right=numbers)
    else:
        click.echo("No rows.", err=True)


def _sql_of_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.ClickException("the SQL of the input is not UTF-8 text") from None


# ---------------------------------------------------------------- tools


@click.command(cls=Verb, examples=["tools", "tools Read --status error", "tools --calls --since 1d --jsonl"])
@click.argument("name", required=False)
@click.option("--calls", is_flag=True, help="List the calls of all tools instead of counting them.")
@click.option("--status", type=click.Choice(TOOL_STATUSES), help="Only calls with this status.")
@session_option
@since_option
@until_option
@click.option("-n", "--limit", type=click.IntRange(min=0), metavar="N", default=DEFAULT_CALLS, show_default=True,
              help="At most this many calls.")  # fmt: skip
@form_options(*ROW_FORMS)
@utc_option
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
    form: Form | None,
) -> None:
    """Count the calls of each tool, or list the calls of one.

    With a NAME or --calls it lists calls, the latest first. A call is pending while it has no result.
    """
    where = session_of(service, session)
    if name is None and not calls:
        counts = service.tool_counts(session=where, status=status, since=since, until=until)
        rows = [{"tool": tool or "", **count} for tool, count in counts.items()]
        if form is not None:
            print_rows(form, rows, ("tool", "calls", "errors", "pending"))
        elif rows:
            counted_as = ("calls", "errors", "pending")
            print_table(rows, ("tool", *counted_as), right=counted_as, shown=_number)
        else:
            say_nothing_found(service, "No tool calls.")
        return
    found = _calls(service, name, limit, until, session=where, status=status, since=since)
    listed = Limited(found, limit)
    if form is not None:
        print_rows(form, listed, TOOL_CALL_COLUMNS)
    elif shown := list(listed):
        print_text(_calls_table(shown, with_names=name is None))
    if not listed.count and not listed.more:
        say_nothing_found(service, "No tool calls.", for_programs=form is not None)
        say_unknown("call of", "tool", name, lambda: service.tool_counts(session=where))
    if listed.more:
        click.echo(THERE_ARE_MORE, err=True)


def _calls(
    service: SessionService, name: str | None, limit: int, until: datetime | None, **filters: Any
) -> Iterator[dict[str, Any]]:
    """Yields up to one call more than the limit, the latest first, some of them in memory at a time.

    The next calls are those before the time of the last ones. So the calls of one time must not be parted: those of
    the last time that was read are read again, unless there were no others.
    """
    left, at_once = limit + 1, CALLS_AT_ONCE
    while left > 0:
        count = min(left, at_once)
        calls = service.tool_calls(name, limit=count, until=until, newest_first=True, **filters)
        if len(calls) < count or count == left:
            yield from calls
            return
        whole = [call for call in calls if call["created_at"] != calls[-1]["created_at"]]
        if not whole or whole[-1]["created_at"] is None:
            at_once *= 2
            continue
        yield from whole
        left, until = left - len(whole), whole[-1]["created_at"]


def _calls_table(calls: Sequence[dict[str, Any]], *, with_names: bool) -> str:
    columns = {
        "time": [time_shown(shown_in_zone(call["created_at"]), "minutes") for call in calls],
        "session": short_ids([in_one_line(call["session_id"]) for call in calls]),
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


# ---------------------------------------------------------------- usage, stats


@click.command(cls=Verb, examples=["usage", "usage --by month,model --since 90d", "usage --by user_id --csv"])
@click.option("--by", metavar="GROUPS", default="day,model", show_default=True,
              help="The groups, separated by commas: day, month, model, app_name, user_id, session_id, agent_id; "
                   'an empty text ("") for one sum of all.')  # fmt: skip
@session_option
@since_option
@until_option
@form_options(*ROW_FORMS)
@utc_option
@with_store()
def usage(
    service: SessionService,
    by: str,
    session: str | None,
    since: datetime | None,
    until: datetime | None,
    form: Form | None,
) -> None:
    """Sum up the tokens that models used, by day and model.

    The input includes cached tokens, and the output includes reasoning. Days are UTC.
    """
    groups = list(dict.fromkeys(group for part in by.split(",") if (group := part.strip())))
    rows = service.usage(
        cast("list[UsageGroup]", groups), session=session_of(service, session), since=since, until=until
    )
    names = (*groups, "replies", *USAGE_SUMS)
    if form is not None:
        print_rows(form, rows, names)
    elif rows:
        shown = [name for name in names if name in groups or any(row[name] for row in rows)]
        columns = {USAGE_HEADERS.get(name, name): [_number(row[name]) for row in rows] for name in shown}
        print_text(table(columns, right=USAGE_HEADERS.values()))
    if not rows:
        say_nothing_found(service, "No usage.", for_programs=form is not None)


@click.command(cls=Verb, examples=["stats", "stats --app my-app --json"])
@form_options("json")
@utc_option
@with_store()
def stats(service: SessionService, form: Form | None) -> None:
    """Count the sessions, events, tool calls and tokens."""
    counts = service.stats()
    if counts["sessions"] == 0:
        say_nothing_found(service)
    if form is not None:
        print_json("", [counts], "")
        return
    lines = [
        f"{counted(counts['sessions'], 'session')} of {counted(counts['users'], 'user')} "
        f"in {counted(counts['apps'], 'app')}",
        counted(counts["events"], "event") + "".join(
            f"{word}{full_time(counts[name])}"
            for word, name in ((", from ", "first_event"), (" to ", "last_event"))
            if counts[name] is not None
        ),
    ]  # fmt: skip
    if counts["authors"]:
        lines.append("  by " + ", ".join(f"{visible(name)} {count:,}" for name, count in counts["authors"].items()))
    sums = {USAGE_HEADERS[name]: counts["tokens"][name] for name in USAGE_SUMS}
    if any(sums.values()):
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


@click.command(cls=Verb, examples=["tail", "tail latest -n 3", "tail --json --app my-app"])
@click.argument("session_id", type=SESSION_ID, required=False)
@click.option("-n", "--last", type=click.IntRange(0, MOST_LAST), metavar="N", default=DEFAULT_LAST, show_default=True,
              help="Show the last N stored events first.")  # fmt: skip
@click.option("--count", type=click.IntRange(min=0), metavar="N", help="Stop after N new events.")
@click.option("--interval", type=click.FloatRange(LEAST_INTERVAL, MOST_INTERVAL), metavar="SECONDS",
              default=DEFAULT_INTERVAL, show_default=True, help="The time between two looks.")  # fmt: skip
@full_option
@click.option("--json", "--jsonl", "as_json", is_flag=True, help="Print JSON Lines: one event on each line.")
@utc_option
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

    Shows those of every program that writes to the store, until you press Ctrl-C.
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
        return conversation(session, events, full=self.full)


COMMANDS: Final[tuple[click.Command, ...]] = (search, query, tools, usage, stats, tail)
