"""A conversation and lists of conversations as HTML: a part for a notebook's output, or a whole page.

Everything that a user, a model or a tool wrote is treated as hostile. It enters HTML in one place only
(`markup.escaped`), as text: it never becomes an element, a style or a script. Markdown of models is rendered by
`markdown`, whose elements and links can do no harm; a user's text is shown as it was written. An image is shown if the
conversation itself holds it, as a PNG, JPEG, GIF or WebP; it is encoded again from its bytes. A page has no script,
loads nothing, and forbids the browser both.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    Entry,
    Gap,
    arguments_text,
    content_text,
    entries,
    first_and_last,
    interruption_text,
    json_text,
    origin_text,
    time_shown,
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
LANGUAGE_CHARACTERS: Final = 40
STATE_CHARACTERS: Final = 300

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
)


# ---------------------------------------------------------------- a whole page


def html_page(session: SessionRecord, events: Iterable[Event], *, limit: int | None = None) -> Iterator[str]:
    """Yields the pieces of a whole HTML page, which has no script and loads nothing.

    Args:
        session: The session.
        events: Its events, or some of them; a stream is rendered as it is read.
        limit: At most this many events: some of the first, the number of those left out, and the last; None for all.

    Example:
        >>> from session_sqlite import Event, Session
        >>> page = "".join(html_page(Session("s-1", title="Tea"), [Event("user", "<b>Which</b> tea?", seq=1)]))
        >>> "<script" in page, "&lt;b&gt;Which&lt;/b&gt; tea?" in page
        (False, True)
    """
    yield page_start(session.title or session.id)
    yield session_start(session, 1)
    for entry in entries(first_and_last(events, limit)):
        yield PAGE_FORM.entry(entry)
    yield session_end()
    yield page_end()


def page_start(title: str) -> str:
    """Returns the beginning of a page, up to its first session."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(CONTENT_SECURITY_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escaped(cut(title, CELL_CHARACTERS))}</title>\n"
        f"<style>{style.BASE}{style.TRANSCRIPT}{style.PAGE}</style>\n</head>\n<body>\n"
        f'<main class="{style.ROOT}">\n'
    )


def page_end() -> str:
    """Returns the end of a page."""
    return "</main>\n</body>\n</html>\n"


def session_start(session: SessionRecord, number: int) -> str:
    """Returns the beginning of a session on a page, up to its first event; the number is its place on the page."""
    return f'<section aria-labelledby="session-{number}">\n{PAGE_FORM.head(session, number)}<ol class="events">\n'


def session_end() -> str:
    """Returns the end of a session on a page."""
    return "</ol>\n</section>\n"


# ---------------------------------------------------------------- parts of a notebook


def session_part(session: SessionRecord, events: Iterable[Event | Gap] = (), note: str = "") -> str:
    """Returns a session as a notebook shows it: its fields, a note, and its events."""
    shown = "\n".join(map(NOTEBOOK_FORM.entry, entries(events)))
    list_of_events = f'<ol class="events">\n{shown}</ol>' if shown else ""
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
    rows = [(hit.session.title or hit.session.id, hit.event.author, marked(hit.snippet, hit.spans),
             _time(hit.event.created_at, "minutes")) for hit in hits[:ROWS_SHOWN]]  # fmt: skip
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
    heads = "".join(f'<th scope="col"{_align(shown, column)}>{escaped(name)}</th>' for column, name in enumerate(head))
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
    """

    title: str
    who: str
    most: int | None = None
    most_of_image: int | None = None
    heading: int = 0

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
        anchor = "" if number is None else f' id="session-{number}"'
        return (
            f'<{self.title} class="title"{anchor} dir="auto"{lang(title)}>{escaped(title)}</{self.title}>\n'
            f'<dl class="facts">{"".join(shown)}</dl>\n'
        )

    def entry(self, entry: Entry | Gap) -> str:
        if isinstance(entry, Gap):
            return f'<li class="gap">… {entry.count:,} more event{"" if entry.count == 1 else "s"} …</li>\n'
        event = entry.event
        kind = event.author if event.author in {"user", "system", "tool"} else "model"
        return f'<li class="{kind}">{self.who_line(event)}{"".join(self.body(entry))}</li>\n'

    def who_line(self, event: Event) -> str:
        named = {"agent": "" if event.agent_id == event.author else event.agent_id, "branch": event.branch}
        about = [f"<span>{name} {isolated(value)}</span>" for name, value in named.items() if value]
        return (
            f'<{self.who} class="who"><span>#{escaped(event.seq)}</span> <b>{isolated(event.author)}</b> '
            f"{_time(event.created_at)} {' '.join(about)}</{self.who}>"
        )

    def body(self, entry: Entry) -> Iterator[str]:
        event = entry.event
        if event.unreadable:
            yield '<p class="error">Unreadable: this row cannot be decoded.</p>'
            yield f"<details><summary>As it is stored</summary>{self.code(event.raw)}</details>"
            return
        if event.supersedes:
            yield f'<p class="soft">A summary of the events up to #{event.supersedes}.</p>'
        if event.reasoning:
            reasoning = "".join(self.prose(event.reasoning, is_markdown=True))
            yield f"<details><summary>Reasoning</summary>{reasoning}</details>"
        if event.author == "tool":
            yield from self.result(event)
        else:
            yield from self.prose(event.content, is_markdown=event.author != "user")
            yield from self.attachments(event.attachments, event)
            for position, call in enumerate(event.actions):
                yield self.call(call, entry.results.get(position))
        if event.state:
            yield f'<ul class="state" aria-label="Changes of state">{"".join(map(_change, event.state.items()))}</ul>'
        if event.usage is not None:
            yield f'<p class="foot">{escaped(usage_text(event.usage))}</p>'
        for shown in (event, *entry.results.values()):
            if shown.interrupted:
                yield f'<p class="soft">{escaped(interruption_text(shown))}</p>'

    def call(self, call: ToolCall, result: Event | None) -> str:
        """Returns a call with its result, which is its own output or the event that answered it."""
        error = result.actions[0].error if result is not None else call.error
        status = "error" if error is not None else "ok" if result is not None else call.status
        arguments = arguments_text(call)
        shown_status = {"ok": "ok", "error": "failed", "pending": "no result yet"}[status]
        parts = []
        if call.args:
            shown = arguments if isinstance(call.args, str) else _pretty(call.args)
            parts.append(f'<p class="label">Arguments</p>{self.code(shown)}')
        if result is not None:
            at = f" of #{escaped(result.seq)} {_time(result.created_at)}"
            parts += [
                f'<p class="label">Result{at}</p>',
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
            f'<code>{isolated(call.name)}</code> <span class="{status}">{shown_status}</span> '
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
        label = f'<p class="lang">{escaped(cut(language, LANGUAGE_CHARACTERS))}</p>' if language else ""
        code = coloured(text, language) or escaped(text)
        return f'{label}<pre tabindex="0"><code>{code}</code></pre>'

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


PAGE_FORM: Final = _Form("h1", "h2", heading=2)
NOTEBOOK_FORM: Final = _Form("p", "p", CHARACTERS_IN_NOTEBOOK, IMAGE_CHARACTERS_IN_NOTEBOOK)


def _rest(left_out: int) -> str:
    return f'<p class="soft">… {left_out:,} more characters</p>' if left_out else ""


def _time(when: datetime | None, timespec: str = "seconds") -> Markup:
    if when is None:
        return Markup("")
    return Markup(f'<time datetime="{when.isoformat()}">{time_shown(when, timespec)}</time>')


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
