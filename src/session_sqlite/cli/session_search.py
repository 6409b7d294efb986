"""The command that finds conversations by words in their titles and in what was said: sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Final, get_args

import click

from session_sqlite.cli.console import (
    BOLD,
    DIM,
    THERE_ARE_MORE,
    broken,
    counted,
    limit_option,
    painted,
    print_text,
    with_store,
)
from session_sqlite.cli.finding import say_nothing_found
from session_sqlite.cli.history import marked
from session_sqlite.cli.rows import ROW_FORMS, Form, form_options, print_json, print_json_lines, print_separated
from session_sqlite.cli.times import ago, since_option, until_option, utc_option
from session_sqlite.cli.verbs import Verb
from session_sqlite.filters import SessionOrder
from session_sqlite.models import SessionHit
from session_sqlite.service import DEFAULT_SEARCH_LIMIT, SessionService
from session_sqlite.session import Session
from session_sqlite.transcript import visible

COLUMNS: Final = (
    "id", "app_name", "user_id", "agent_id", "title", "first_message", "event_count", "last_activity", "seq", "author",
    "snippet",
)  # fmt: skip


@click.command(cls=Verb, examples=["sessions 'teapot kyo'", "sessions 代码 --order best --since 30d"])
@click.argument("query")
@click.option("--order", type=click.Choice(get_args(SessionOrder)), default="newest", show_default=True,
              help="The latest change first, or the best match.")  # fmt: skip
@click.option("--agent", metavar="ID", help="Only sessions of this agent.")
@since_option
@until_option
@limit_option(DEFAULT_SEARCH_LIMIT)
@form_options(*ROW_FORMS)
@utc_option
@with_store()
def sessions(
    service: SessionService,
    query: str,
    order: SessionOrder,
    agent: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    form: Form | None,
) -> None:
    """Find conversations by words of titles and events.

    A conversation is found if each word is in its title or in any of its events. The last word may be the beginning of
    one: "tea" finds teapot too. A single letter is looked for in titles alone. Words are those of `search`.
    """
    hits = service.search_sessions(
        query, order=order, agent_id=agent, updated_after=since, updated_before=until, limit=limit
    )
    if form == "json":
        print_json("[", (hit.to_dict() for hit in hits), "]")
    elif form == "jsonl":
        print_json_lines(hit.to_dict() for hit in hits)
    elif form is not None:
        print_separated(form, COLUMNS, map(_row, hits))
    elif hits:
        print_text("\n\n".join(map(_text, hits)))
    if not hits:
        say_nothing_found(service, "No sessions found.", for_programs=form is not None)
    if hits.next_cursor is not None:
        click.echo(THERE_ARE_MORE, err=True)


def _row(found: SessionHit[Session]) -> tuple[object, ...]:
    session, hit = found.session, found.hit
    best = (None, None, None) if hit is None else (hit.event.seq, hit.event.author, hit.snippet)
    return (
        session.id, session.app_name, session.user_id, session.agent_id, session.title, found.first_message,
        found.event_count, found.last_activity, *best,
    )  # fmt: skip


def _text(found: SessionHit[Session]) -> str:
    session, hit = found.session, found.hit
    head = marked(session.title or " ".join((found.first_message or "(no title)").split())[:160], found.title_spans)
    about = [
        ago(found.last_activity), counted(found.event_count, "event"), f"session {visible(session.id)}",
        f"app {visible(session.app_name)}", f"user {visible(session.user_id)}",
    ]  # fmt: skip
    lines = [head if found.title_spans else painted(head, BOLD), painted(broken(" · ".join(filter(None, about))), DIM)]
    if hit is not None:
        who = f"#{hit.event.seq} {hit.event.author}: "
        spans = [(begin + len(who), end + len(who)) for begin, end in hit.spans]
        lines.append(marked(who + hit.snippet, spans, "  "))
    return "\n".join(lines)


COMMANDS: Final[tuple[click.Command, ...]] = (sessions,)
