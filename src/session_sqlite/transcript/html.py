"""A conversation and lists of conversations as HTML: a part for a notebook's output, or a whole page.

Everything that a user, a model or a tool wrote is treated as hostile. It enters HTML in one place only
(`markup.escaped`), as text: it never becomes an element, a style or a script. Markdown of models is rendered by
`markdown`, whose elements and links can do no harm; a user's text is shown as it was written. An image is shown if the
conversation itself holds it, as a PNG, JPEG, GIF or WebP; it is encoded again from its bytes. A page has no script,
loads nothing, and forbids the browser both; only the list of a folder has a script (see `index`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from session_sqlite.attachments import Attachment, attachments_in, without_bytes
from session_sqlite.models import (
    REMOVE,
    Event,
    SearchHit,
    SessionHit,
    SessionOverview,
    SessionRecord,
    ToolCall,
    as_html,
)
from session_sqlite.transcript import style
from session_sqlite.transcript.colours import coloured
from session_sqlite.transcript.markdown import Renderer, link_start
from session_sqlite.transcript.markup import Markup, cut, escaped, isolated, lang
from session_sqlite.transcript.text import (
    Entries,
    Entry,
    Gap,
    arguments_text,
    content_text,
    counted,
    entries,
    first_and_last,
    interruption_text,
    json_text,
    origin_text,
    time_shown,
    total_usage,
    usage_text,
)

EVENTS_IN_NOTEBOOK: Final = 20  # of one session
FIRST_IN_NOTEBOOK: Final = 4  # the first events among these; the others are the last
CHARACTERS_IN_NOTEBOOK: Final = 4_000  # of one text
IMAGE_CHARACTERS_IN_NOTEBOOK: Final = 1_500_000  # of one image, in base64
ROWS_SHOWN: Final = 50
CELL_CHARACTERS: Final = 200
SHORT_CELL: Final = 24
SHORT_ID: Final = 13  # characters of an id that are shown at least: a UUIDv7 has its time in them
LONG_ID: Final = 23  # and at most
LONG_CELL: Final = 40
SUMMARY_CHARACTERS: Final = 120
LONG_PROMPT: Final = 400  # characters of a system prompt that are not folded
LINES_OF_LONG_PROMPT: Final = 6
CALLS_SHOWN: Final = 5  # of one turn; more are folded
PROMPTS_WORTH_A_LIST: Final = 3
PROMPTS_LISTED: Final = 1_000
PROMPT_CHARACTERS: Final = 80
PROMPT_READ: Final = 1_000  # characters of a text of which one line is made
LANGUAGE_CHARACTERS: Final = 40
STATE_CHARACTERS: Final = 300

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
)


# ---------------------------------------------------------------- a whole page


def html_page(
    session: SessionRecord, events: Iterable[Event], *, limit: int | None = None, user_markdown: bool = False
) -> Iterator[str]:
    """Yields the pieces of a whole HTML page, which has no script and loads nothing.

    Args:
        session: The session.
        events: Its events, or some of them; a stream is rendered as it is read.
        limit: At most this many events: some of the first, the number of those left out, and the last; None for all.
        user_markdown: Show the user's texts as Markdown, too; otherwise as they were written.

    Example:
        >>> from session_sqlite import Event, Session
        >>> page = "".join(html_page(Session("s-1", title="Tea"), [Event("user", "<b>Which</b> tea?", seq=1)]))
        >>> "<script" in page, "&lt;b&gt;Which&lt;/b&gt; tea?" in page
        (False, True)
    """
    section = Section(session, user_markdown=user_markdown)
    yield page_start(session.title or session.id)
    yield section.start()
    for event in first_and_last(events, limit):
        yield from section.add(event)
    yield from section.end()
    yield page_end()


def page_start(title: str, sheet: str = style.TRANSCRIPT, *, mark: str = "session-sqlite", script: str = "") -> str:
    """Returns the beginning of a page, up to its first session.

    Args:
        title: The title of the page.
        sheet: Its style sheet, besides those of all pages.
        mark: What made it.
        script: The one script that the browser may run, which the end of the page has; none may if not given.
    """
    policy = CONTENT_SECURITY_POLICY
    if script:
        policy += f"; script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="generator" content="{mark}">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta http-equiv="x-dns-prefetch-control" content="off">\n'
        f"<title>{escaped(cut(title, CELL_CHARACTERS))}</title>\n"
        f"<style>{style.BASE}{sheet}{style.PAGE}</style>\n</head>\n<body>\n"
        f'<main class="{style.ROOT}">\n'
    )


def page_end(script: str = "") -> str:
    """Returns the end of a page, with its script if it has one."""
    return f"</main>\n{script and f'<script>{script}</script>'}</body>\n</html>\n"


@dataclass
class Counts:
    """The figures of a session, counted as its entries are written."""

    events: int = 0
    prompts: int = 0
    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, entry: Entry | Gap) -> None:
        """Counts an entry with the events in it."""
        if isinstance(entry, Gap):
            self.events += entry.count
            return
        self.prompts += entry.event.author == "user"
        for step in entry.steps():
            event = step.event
            self.events += 1 + len(step.results)
            if event.author != "tool":
                self.calls += len(event.actions)
            self.failed += sum(call.error is not None for call in event.actions)
            self.failed += sum(action.error is not None for one in step.results.values() for action in one.actions)
            if event.usage is not None:
                self.input_tokens += event.usage.input_tokens
                self.output_tokens += event.usage.output_tokens

    def __str__(self) -> str:
        calls = counted(self.calls, "tool call") if self.calls else ""
        tokens = f"{self.input_tokens:,} tokens in, {self.output_tokens:,} out"
        parts = [
            counted(self.events, "event"),
            counted(self.prompts, "prompt") if self.prompts else "",
            f"{calls} ({self.failed:,} failed)" if calls and self.failed else calls,
            tokens if self.input_tokens or self.output_tokens else "",
        ]
        return " · ".join(filter(None, parts))


class Section:
    """A session on a page, which is written as its events come.

    What is known only after the last event, the figures and the list of prompts, is written last; the style sheet puts
    it above the events, or beside them.
    """

    def __init__(
        self, session: SessionRecord, number: int = 1, *, user_markdown: bool = False, links: str = ""
    ) -> None:
        """Begins a section.

        Args:
            session: The session.
            number: Its place on the page. The anchors of the first are the places of its events (``#37``).
            user_markdown: Show the user's texts as Markdown, too.
            links: Links to other pages, as HTML.
        """
        self.counts = Counts()
        self.first_prompt = ""
        self._session = session
        self._number = number
        self._links = links
        self._form = replace(PAGE_FORM, anchors="" if number == 1 else f"{number}-", user_markdown=user_markdown)
        self._entries = Entries()
        self._before: datetime | None = None
        self._prompts: list[str] = []

    def start(self) -> str:
        """Returns the beginning, up to the first event."""
        links = self._links and f'<nav class="pages" aria-label="Conversations">{self._links}</nav>\n'
        head = self._form.head(self._session, self._number)
        return f'<section aria-labelledby="session-{self._number}">\n{links}{head}<ol class="events">\n'

    def add(self, event: Event | Gap) -> Iterator[str]:
        """Takes the next event, and yields what can be written now."""
        yield from map(self._shown, self._entries.add(event))

    def end(self) -> Iterator[str]:
        """Yields the end."""
        yield from map(self._shown, self._entries.rest())
        yield f'</ol>\n<p class="counts">{self.counts}</p>\n'
        if self.counts.prompts >= PROMPTS_WORTH_A_LIST:
            name = "Prompts" if self._number == 1 else f"Prompts of session {self._number}"
            more = self.counts.prompts - len(self._prompts)
            rest = f"<li>… and {more:,} more</li>" if more else ""
            number = counted(self.counts.prompts, "prompt")
            yield f'<nav class="prompts" aria-label="{name}" tabindex="0"><details><summary>{number}</summary>\n<ol>'
            yield from self._prompts
            yield f"{rest}</ol></details></nav>\n"
        yield self._links and f'<nav class="pages last" aria-label="More conversations">{self._links}</nav>\n'
        yield "</section>\n"

    def _shown(self, entry: Entry | Gap) -> str:
        self.counts.add(entry)
        shown = self._form.entry(entry, self._before)
        if isinstance(entry, Entry):
            event = entry.event
            self._before = event.created_at
            if event.author == "user":
                said = " ".join(content_text(event)[:PROMPT_READ].split())
                self.first_prompt = self.first_prompt or said
                if len(self._prompts) < PROMPTS_LISTED:
                    text = f"<bdi{lang(said)}>{escaped(cut(said, PROMPT_CHARACTERS))}</bdi>"
                    anchor = self._form.anchor(event)
                    self._prompts.append(f'<li><a href="#{anchor}">{text}</a></li>\n' if anchor else f"<li>{text}</li>")
        return shown


# ---------------------------------------------------------------- parts of a notebook


def session_part(session: SessionRecord, events: Iterable[Event | Gap] = (), note: str = "") -> str:
    """Returns a session as a notebook shows it: its fields, a note, and its events."""
    counts, before, shown, is_whole = Counts(), None, [], True
    for entry in entries(events):
        counts.add(entry)
        shown.append(NOTEBOOK_FORM.entry(entry, before))
        before = entry.event.created_at if isinstance(entry, Entry) else before
        is_whole = is_whole and isinstance(entry, Entry)
    figures = str(counts) if is_whole else counted(counts.events, "event")
    list_of_events = f'<p class="counts">{figures}</p><ol class="events">\n{"".join(shown)}</ol>' if shown else ""
    return _part(f"{NOTEBOOK_FORM.head(session)}{_note(note)}{list_of_events}", transcript=True)


@as_html.register(Event)
def event_part(event: Event) -> str:
    """Returns an event as a notebook shows it."""
    shown = "".join(map(NOTEBOOK_FORM.entry, entries([event])))
    return _part(f'<ol class="events">\n{shown}</ol>', transcript=True)


@as_html.register(SearchHit)
def hit_part(hit: SearchHit[SessionRecord]) -> str:
    """Returns a hit as a notebook shows it: where it is, and its snippet with the terms marked."""
    name = isolated(hit.session.title or hit.session.id)
    where = f"{name} · #{escaped(hit.event.seq)} {escaped(hit.event.author)} {_time(hit.event.created_at)}"
    return _part(f'<p class="soft">{where}</p><p dir="auto">{marked(hit.snippet, hit.spans)}</p>')


def sessions_table(sessions: Sequence[SessionRecord], note: str = "") -> str:
    """Returns sessions as a table."""
    return _sessions_table([(session, "", session.last_seq) for session in sessions], note)


def overviews_table(overviews: Sequence[SessionOverview[SessionRecord]], note: str = "") -> str:
    """Returns sessions as a table, with their first messages as titles and their numbers of events."""
    rows = [(overview.session, overview.first_message or "", overview.event_count) for overview in overviews]
    return _sessions_table(rows, note, [overview.interrupted for overview in overviews[:ROWS_SHOWN]])


def _sessions_table(
    sessions: Sequence[tuple[SessionRecord, str, int]], note: str, interrupted: Sequence[str] = ()
) -> str:
    """Returns the table of sessions, without columns that are empty or the same in all rows.

    A session is given with its first message and its number of events.
    """
    shown = sessions[:ROWS_SHOWN]
    columns: dict[str, list[object]] = {
        "session": [session.title or first_message or "(no title)" for session, first_message, _ in shown],
        "id": short_ids([session.id for session, _, _ in shown]),
        "app": [session.app_name for session, _, _ in shown],
        "user": [session.user_id for session, _, _ in shown],
        "agent": [session.agent_id for session, _, _ in shown],
        "events": [events for _, _, events in shown],
        "last change": [_time(session.updated_at, "minutes") for session, _, _ in shown],
    }
    if any(session.parent_id for session, _, _ in shown):
        columns["forked from"] = [origin_text(session) for session, _, _ in shown]
    if any(interrupted):
        columns["interrupted"] = list(interrupted)
    if shown and not any(columns["agent"]):
        del columns["agent"]
    for name in ("app", "user"):
        if len(set(columns[name])) == 1:
            del columns[name]
    return table(tuple(columns), zip(*columns.values(), strict=True), of=len(sessions), note=note)


def hits_table(hits: Sequence[SearchHit[SessionRecord]], note: str = "") -> str:
    """Returns the hits of a search as a table, with the terms marked."""
    head = ("session", "author", "found", "time")
    ids = short_ids([hit.session.id for hit in hits[:ROWS_SHOWN]])
    rows = [(hit.session.title or id, hit.event.author, marked(hit.snippet, hit.spans),
             _time(hit.event.created_at, "minutes")) for id, hit in zip(ids, hits, strict=False)]  # fmt: skip
    return table(head, rows, of=len(hits), note=note)


def session_hits_table(hits: Sequence[SessionHit[SessionRecord]], note: str = "") -> str:
    """Returns the hits of a search of sessions as a table, with the terms marked in titles and snippets."""
    head = ("session", "found", "events", "last change")
    rows = [(_title_cell(hit), "" if hit.hit is None else marked(hit.hit.snippet, hit.hit.spans), hit.event_count,
             _time(hit.last_activity, "minutes")) for hit in hits[:ROWS_SHOWN]]  # fmt: skip
    return table(head, rows, of=len(hits), note=note)


def _title_cell(hit: SessionHit[SessionRecord]) -> object:
    """Returns the title of a session, else its first message or its id, for a table."""
    session = hit.session
    return (
        marked(session.title, hit.title_spans) if hit.title_spans else session.title or hit.first_message or session.id
    )


def events_table(events: Sequence[Event], note: str = "") -> str:
    """Returns events as a table."""
    head = ("seq", "author", "content", "tools", "time")
    rows = [(event.seq, event.author, event.raw if event.unreadable else _content_cell(event),
             ", ".join(action.name for action in event.actions), _time(event.created_at))
            for event in events[:ROWS_SHOWN]]  # fmt: skip
    return table(head, rows, of=len(events), note=note)


def _content_cell(event: Event) -> str:
    """Returns the content of an event for a table; an interruption comes first, since a long text is cut."""
    content = content_text(event)
    return f"[{interruption_text(event)}] {content}".rstrip() if event.interrupted else content


def records_table(columns: Sequence[str], records: Sequence[Mapping[str, Any]], note: str = "") -> str:
    """Returns the rows of a query as a table."""
    rows = [[_cell_value(record.get(column)) for column in columns] for record in records[:ROWS_SHOWN]]
    return table(columns, rows, of=len(records), note=note)


def items_table(items: Sequence[Any], note: str = "") -> str:
    """Returns any items as a table of one column."""
    return table(("item",), [(str(item),) for item in items[:ROWS_SHOWN]], of=len(items), note=note)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, of: int = 0, note: str = "") -> str:
    """Returns a table whose cells are escaped and cut; ``of`` is the number of rows, if not all are shown."""
    shown = list(rows)
    heads = "".join(
        f'<th scope="col" dir="auto"{_align(shown, column)}>{escaped(name)}</th>' for column, name in enumerate(head)
    )
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in shown)
    rest = f'<p class="soft">… and {of - len(shown):,} more</p>' if of > len(shown) else ""
    top = f"<thead><tr>{heads}</tr></thead>" if head else ""
    return _part(
        f'<div class="scroll" tabindex="0"><table>{top}<tbody>\n{body}</tbody></table></div>{rest}{_note(note)}'
    )


def short_ids(ids: Sequence[str]) -> list[object]:
    """Returns ids for a table: long ones are cut, where that can be behind their first difference.

    The whole id is the tooltip.
    """
    different = len(set(ids))
    lengths = (length for length in range(SHORT_ID, LONG_ID) if len({id[:length] for id in ids}) == different)
    short = next(lengths, LONG_ID)
    return [id if len(id) <= short + 1 else _short(id, id[:short]) for id in ids]


def _short(whole: str, shown: str) -> Markup:
    return Markup(f'<abbr title="{escaped(whole)}">{escaped(shown)}…</abbr>')


def _note(note: str) -> str:
    return f'<p class="soft">{escaped(note)}</p>' if note else ""


def marked(text: str, spans: Iterable[tuple[int, int]]) -> Markup:
    """Returns a text as HTML with parts of it marked."""
    pieces, position = [], 0
    for begin, end in spans:
        pieces += [escaped(text[position:begin]), f"<mark>{escaped(text[begin:end])}</mark>"]
        position = end
    return Markup("".join([*pieces, escaped(text[position:])]))


def _part(body: str, *, transcript: bool = False) -> str:
    sheet = style.BASE + (style.TRANSCRIPT if transcript else "")
    return f'<div class="{style.ROOT}"><style>{sheet}</style>\n{body}</div>'


def _align(rows: Sequence[Sequence[object]], column: int) -> str:
    numbers = rows and all(isinstance(row[column], (int, float)) for row in rows)
    return ' class="n"' if numbers else ""


def _cell(value: object) -> str:
    if isinstance(value, Markup):
        kind = "t" if value.startswith(("<time", "<abbr")) else "long"
        return f'<td dir="auto" class="{kind}">{value}</td>'
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'<td class="n">{escaped(value if isinstance(value, float) else f"{value:,}")}</td>'
    text = cut(str(value), CELL_CHARACTERS)
    # A short cell, such as a date or a name, stays in one line. A long text gets a wide column, and may break anywhere.
    kind = ' class="t"' if len(text) <= SHORT_CELL else ' class="long"' if len(text) > LONG_CELL else ""
    return f'<td dir="auto"{kind}{lang(text)}>{escaped(text)}</td>'


def _cell_value(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return _time(value)
    return value if isinstance(value, (str, int, float)) else json_text(value)


# ---------------------------------------------------------------- sessions and events


@dataclass(frozen=True)
class _Form:
    """A form of HTML for sessions and events: its tags, and how much of a text or an image is shown.

    Attributes:
        title: The tag of a session's title.
        who: The tag of the line that names an event's author.
        most: At most this many characters of a text; None for all.
        most_of_image: At most this many characters of an image's base64 text; None for all.
        heading: The level of the headings of events; 0 if they are no headings.
        anchors: The beginning of the events' anchors; None if they have none.
        user_markdown: Show the user's texts as Markdown, too.
    """

    title: str
    who: str
    most: int | None = None
    most_of_image: int | None = None
    heading: int = 0
    anchors: str | None = None
    user_markdown: bool = False

    def head(self, session: SessionRecord, number: int | None = None) -> str:
        facts = {
            "session": session.id if session.title else "",
            "app": session.app_name,
            "user": session.user_id,
            "agent": session.agent_id,
            "forked from": origin_text(session),
        }
        shown = [f"<div><dt>{name}</dt><dd>{isolated(value)}</dd></div>" for name, value in facts.items() if value]
        times: dict[str, datetime | None] = {"created": session.created_at, "last change": session.updated_at}
        shown += [
            f"<div><dt>{name}</dt><dd>{_time(when, 'minutes')} UTC</dd></div>" for name, when in times.items() if when
        ]
        title = session.title or session.id
        agent = f"agent {isolated(session.agent_id)}" if session.agent_id else ""
        summary = " · ".join(filter(None, [_span(session), agent])) or "Details"
        anchor = "" if number is None else f' id="session-{number}"'
        return (
            f'<{self.title} class="title"{anchor} dir="auto"{lang(title)}>{escaped(title)}</{self.title}>\n'
            f'<details class="facts"><summary>{summary}</summary><dl>{"".join(shown)}</dl></details>\n'
        )

    def entry(self, entry: Entry | Gap, before: datetime | None = None) -> str:
        """Returns an entry, given the time that the entry before it shows."""
        if isinstance(entry, Gap):
            return f'<li class="gap">… {counted(entry.count, "more event")} …</li>\n'
        event = entry.event
        kind = event.author if event.author in {"user", "system", "tool"} else "model"
        who = self.who_line(event, before)
        return f'<li class="{kind}"{self.id_of(event)}>{who}{"".join(self.body(entry))}</li>\n'

    def anchor(self, event: Event) -> str:
        """Returns the name by which a link reaches an event; empty where there are no links."""
        is_stored = str(event.seq).isdecimal() and event.seq != 0
        return f"{self.anchors}{event.seq}" if self.anchors is not None and is_stored else ""

    def id_of(self, event: Event) -> str:
        """Returns the attribute for `anchor`."""
        anchor = self.anchor(event)
        return f' id="{anchor}"' if anchor else ""

    def who_line(self, event: Event, before: datetime | None) -> str:
        """Returns the line that says who spoke, and when if that is another minute than before; else on hover."""
        named = {"agent": "" if event.agent_id == event.author else event.agent_id, "branch": event.branch}
        about = [f"<span>{name} {isolated(value)}</span>" for name, value in named.items() if value]
        anchor, seq = self.anchor(event), f"#{escaped(event.seq)}"
        place = f'<a class="seq" href="#{anchor}">{seq}</a>' if anchor else f'<span class="seq">{seq}</span>'
        return (
            f'<{self.who} class="who"><b>{isolated(event.author)}</b> {" ".join(about)} '
            f"{_clock(event.created_at, before)} {place}</{self.who}>"
        )

    def body(self, entry: Entry) -> Iterator[str]:
        """Yields what an entry says and does."""
        event = entry.event
        if event.unreadable:
            yield '<p class="error">Unreadable: this row cannot be decoded.</p>'
            yield f"<details><summary>As it is stored</summary>{self.code(event.raw)}</details>"
            return
        if event.supersedes:
            yield f'<p class="soft">A summary of the events up to #{event.supersedes}.</p>'
        yield self.reasoning(event)
        if event.author == "tool":
            yield from self.result(event)
        else:
            yield from self.said(event)
            yield self.calls(entry)
        for step in entry.steps():
            changes = "".join(map(_change, step.event.state.items()))
            yield f'<ul class="state" aria-label="Changes of state">{changes}</ul>' if changes else ""
        usage = total_usage(step.event.usage for step in entry.steps())
        if usage is not None and (tokens := usage_text(usage)):
            yield f'<p class="foot">{escaped(tokens)}</p>'
        for step in entry.steps():
            for shown in (step.event, *step.results.values()):
                if shown.interrupted:
                    yield f'<p class="soft">{escaped(interruption_text(shown))}</p>'

    def reasoning(self, event: Event) -> str:
        """Returns the reasoning of an event, folded."""
        if not event.reasoning:
            return ""
        reasoning = "".join(self.prose(event.reasoning, is_markdown=True))
        return f"<details><summary>Reasoning</summary>{reasoning}</details>"

    def said(self, event: Event) -> Iterator[str]:
        """Yields the content of an event; a long one of the system is folded."""
        content = event.content
        shown = self.prose(content, is_markdown=self.user_markdown or event.author != "user")
        if event.author == "system" and (len(content) > LONG_PROMPT or content.count("\n") > LINES_OF_LONG_PROMPT):
            start = escaped(cut(" ".join(content[:PROMPT_READ].split()), SUMMARY_CHARACTERS))
            yield f"<details><summary>{start}</summary>{''.join(shown)}</details>"
        else:
            yield from shown
        yield from self.attachments(event.attachments, event)

    def calls(self, entry: Entry) -> str:
        """Returns the calls of a turn together; many of them are folded."""
        rows, names, failed = [], Counter[str](), 0
        for step in entry.steps():
            calls = [
                self.call(call, step.results.get(place), is_cut=entry.is_cut)
                for place, call in enumerate(step.event.actions)
            ]
            names.update(call.name for call in step.event.actions)
            failed += sum('<span class="error">' in call for call in calls)
            if step is entry:
                rows += calls
            else:
                rows.append(f"<div{self.id_of(step.event)}>{self.reasoning(step.event)}{''.join(calls)}</div>")
        if not names:
            return ""
        if names.total() <= CALLS_SHOWN:
            return f'<div class="calls">{"".join(rows)}</div>'
        shown = [f"{isolated(name)}{f' × {count:,}' if count > 1 else ''}" for name, count in names.most_common(6)]
        more = [f"{len(names) - 6:,} more"] if len(names) > 6 else []
        of = f' <span class="error">{failed:,} failed</span>' if failed else ""
        summary = f'{names.total():,} tool calls{of} <span class="soft">{", ".join([*shown, *more])}</span>'
        return f'<details class="calls"><summary>{summary}</summary>{"".join(rows)}</details>'

    def call(self, call: ToolCall, result: Event | None, *, is_cut: bool = False) -> str:
        """Returns a call with its result, which is its own output or the event that answered it, if that is shown."""
        error = result.actions[0].error if result is not None else call.error
        status = "error" if error is not None else "ok" if result is not None else call.status
        arguments = arguments_text(call)
        shown_status = {"ok": "ok", "error": "failed", "pending": "no result yet"}[status]
        kind = status
        if status == "pending" and is_cut:
            shown_status, kind = "result not shown", "soft"
        parts = []
        if call.args:
            shown = arguments if isinstance(call.args, str) else _pretty(call.args)
            parts.append(f'<p class="label">Arguments</p>{self.code(shown)}')
        if result is not None:
            at = f" of #{escaped(result.seq)} {_time(result.created_at)}"
            parts += [
                f'<p class="label"{self.id_of(result)}>Result{at}</p>',
                *self.output(result.content),
                *self.attachments(result.attachments, result),
            ]
            if error is not None and error != result.content:
                parts += ['<p class="label">Error</p>', self.code(error)]
        else:
            if call.output is not None:
                parts += ['<p class="label">Result</p>', *self.output(call.output)]
            if error is not None:
                parts += ['<p class="label">Error</p>', self.code(error)]
        summary = (
            f'<code>{isolated(call.name)}</code> <span class="{kind}">{shown_status}</span> '
            f'<span class="soft">{escaped(cut(arguments, SUMMARY_CHARACTERS))}</span>'
        )
        return f'<details class="call"><summary>{summary}</summary>{"".join(parts)}</details>'

    def result(self, event: Event) -> Iterator[str]:
        """Yields a ``tool`` event that belongs to no call before it."""
        errors = [action.error for action in event.actions if action.error is not None]
        names = ", ".join(isolated(action.name) for action in event.actions if action.name)
        status = '<span class="error">failed</span>' if errors else ""
        body = [*self.output(event.content), *self.attachments(event.attachments, event)]
        for action in event.actions:
            body += self.output(action.output) if action.output is not None else []
        body += [self.code(error) for error in errors if error != event.content]
        summary = f"<summary>Result of <code>{names}</code> {status}</summary>"
        yield f'<details class="call">{summary}{"".join(body)}</details>'

    def output(self, value: object) -> Iterator[str]:
        if value is None or value == "":
            yield '<p class="soft">Nothing.</p>'
        elif isinstance(value, str):
            yield self.code(value)
        else:
            yield self.code(_pretty(without_bytes(value)))
            yield from self.attachments(attachments_in(value))

    # ------------------------------------------------------------ text

    def prose(self, text: str, *, is_markdown: bool) -> Iterator[str]:
        """Yields a text: one of Markdown as what it means, any other as it was written."""
        text = text.replace("\r\n", "\n")
        shown = Renderer(self.block_of_code, self.image, self.remote_image, self.heading)
        yield from shown.blocks(text, self.most) if is_markdown else shown.plain(text, self.most)
        yield _rest(shown.left_out)

    def block_of_code(self, text: str, language: str) -> str:
        """Returns a block of code of a Markdown text."""
        label = escaped(cut(language, LANGUAGE_CHARACTERS))
        code = coloured(text, language) or escaped(text)
        return f'<div class="code" data-language="{label}"><pre tabindex="0"><code>{code}</code></pre></div>'

    def code(self, text: str) -> str:
        """Returns a text as a block of code whose lines are wrapped: arguments, results, what is damaged."""
        text = text.replace("\r\n", "\n")
        left_out = 0 if self.most is None else max(len(text) - self.most, 0)
        # The tabindex lets a reader without a mouse reach a block that scrolls.
        return f'<pre tabindex="0" class="wrap"><code>{escaped(text[: self.most])}</code></pre>{_rest(left_out)}'

    # ------------------------------------------------------------ attachments

    def attachments(self, attachments: Iterable[Attachment], event: Event | None = None) -> Iterator[str]:
        """Yields a mark for each attachment, and the image itself if it is one that the message holds."""
        number = 0
        for attachment in attachments:
            number += attachment.kind == "image"
            of = "" if event is None else f" of event {event.seq}"
            image = self.shown_image(attachment, attachment.name or f"image {number}{of}")
            mark = escaped(attachment)
            opening = link_start(attachment.url)
            yield f'{image}<p class="soft">{opening}{mark}{"</a>" if opening else ""}</p>'

    def shown_image(self, image: Attachment, description: str) -> str:
        """Returns an image, or nothing if it cannot be shown, or is too large for this form."""
        if image.kind != "image" or (self.most_of_image is not None and len(image.data) > self.most_of_image):
            return ""
        url = _data_url(image.media_type, image.data)
        return "" if url is None else f'<img src="{url}" alt="{escaped(cut(description, CELL_CHARACTERS))}">'

    def image(self, media_type: str, data: str, description: str) -> str:
        """Returns an image that stands in a text: itself, or a mark for it."""
        image = Attachment("image", media_type, description, len(data.rstrip("=")) * 3 // 4, data=data)
        return self.shown_image(image, description) or f'<span class="soft">{escaped(image)}</span>'

    def remote_image(self, url: str, description: str) -> str:
        """Returns a link to an image that is elsewhere, which nothing loads."""
        mark, opening = escaped(Attachment("image", name=description, url=url)), link_start(url)
        return f"{opening}{mark}</a>" if opening else mark


PAGE_FORM: Final = _Form("h1", "h2", heading=2, anchors="")
NOTEBOOK_FORM: Final = _Form("p", "p", CHARACTERS_IN_NOTEBOOK, IMAGE_CHARACTERS_IN_NOTEBOOK)


def _rest(left_out: int) -> str:
    return f'<p class="soft">… {left_out:,} more characters</p>' if left_out else ""


def _time(when: datetime | None, timespec: str = "seconds") -> Markup:
    if when is None:
        return Markup("")
    return Markup(f'<time datetime="{when.isoformat()}">{time_shown(when, timespec)}</time>')


def _span(session: SessionRecord) -> str:
    """Returns the time of a session's last change, or the days between which it went on; empty if that is not known."""
    first, last = session.created_at, session.updated_at
    if first is not None and last is not None and first.date() != last.date():  # type: ignore[redundant-expr]  # a damaged one is None
        return f"{first.date()} to {last.date()}"
    return f"{_time(last, 'minutes')} UTC" if last is not None else ""  # type: ignore[redundant-expr]


def _clock(when: datetime | None, before: datetime | None) -> str:
    """Returns the time of an event: with its date on another day than before, and on hover only in the same minute."""
    if when is None:
        return ""
    whole = time_shown(when)
    if before is None or when.date() != before.date():
        shown, kind = whole[:16], ""
    else:
        is_same = (when.hour, when.minute) == (before.hour, before.minute)
        shown, kind = (whole[11:], ' class="again"') if is_same else (whole[11:16], "")
    return f'<time{kind} datetime="{when.isoformat()}" title="{whole} UTC">{shown}</time>'


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def _change(change: tuple[str, Any]) -> str:
    name, value = change
    if value is REMOVE:
        return f"<li><code>{isolated(name)}</code> removed</li>"
    text = json_text(value)
    return f"<li><code>{isolated(name)}</code> = <code{lang(text)}>{escaped(cut(text, STATE_CHARACTERS))}</code></li>"


# ---------------------------------------------------------------- images

_IMAGE_STARTS: Final = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}


def _data_url(kind: str, data: str) -> str | None:
    """Returns an image as a data URL that is made from its bytes; None if it is not of a kind that is shown."""
    start = _IMAGE_STARTS.get("image/jpeg" if kind == "image/jpg" else kind)
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    if start is None or not start.match(content):
        return None
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
