"""Gemini's part of Google Takeout: ``My Activity.json``, a list of what was done.

A record is a prompt, with the answer as HTML. Nothing says which prompts were one conversation: each record is a
session of its own. Records that are no prompts (feedback, a chosen draft) come with their line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note
from session_sqlite.transfer.importers.blocks import Calls, Said, noted
from session_sqlite.transfer.importers.ids import derived_id, time_of
from session_sqlite.transfer.importers.json_files import JsonFile

_PROMPTED: Final = re.compile(r"(Prompted|Asked|Said|Eingegebener Prompt:|Prompt:)\s")  # what stands before a prompt
_OURS: Final = re.compile(r"Gemini|Bard")
_FILES: Final = ("imageFile", "attachedFiles", "audioFiles", "videoFiles", "documentFiles")
_READ: Final = frozenset({"title", "time", "safeHtmlItem", "header", "products", "activityControls", *_FILES})
_TITLE: Final = 100
_BLOCKS: Final = frozenset(
    {"p", "div", "ul", "ol", "pre", "table", "tr", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6"}
)


def is_takeout(file: JsonFile) -> bool:
    """True for activity of which the first is Gemini's."""
    first = file.first()
    return isinstance(first, dict) and {"header", "title", "time", "products"} <= first.keys() and _is_ours(first)


def read(file: JsonFile) -> Iterator[Arrival | Fault | LeftOut]:
    """The records of Gemini; those of other products are left out."""
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
        elif not isinstance(value, dict) or not isinstance(value.get("title"), str):
            yield Fault(where, "not a record of a form that is known")
        elif not _is_ours(value):
            yield LeftOut(str(value.get("header")))
        else:
            yield _session(value)


def _is_ours(record: Mapping[str, Any]) -> bool:
    return any(_OURS.search(str(name)) for name in (record.get("header"), record.get("products")))


def _session(record: Mapping[str, Any]) -> Arrival:
    title = record["title"]
    answers = [one["html"] for one in record.get("safeHtmlItem") or () if isinstance(one, dict) and "html" in one]
    begin = _PROMPTED.match(title)
    prompt = title[begin.end() :] if begin else title
    id = derived_id("gemini-takeout", record.get("time"), title)
    shown = " ".join(prompt.split())[:_TITLE]
    return Arrival(
        id,
        _events(record, prompt, "user" if begin or answers else "system", answers, id),
        title=shown if codec.is_plain_text(shown) else "",
        created_at=time_of(record.get("time")),
    )


def _events(
    record: Mapping[str, Any], prompt: str, author: str, answers: list[Any], id: str
) -> Iterator[Event | Fault | Note]:
    calls = Calls()
    when = time_of(record.get("time"))
    said = Said.of(prompt)
    for name in _FILES:
        files = record.get(name)
        for one in files if isinstance(files, list) else [files] if files else []:
            said.attachments.append({"type": name, "name": noted(one)})
    besides = {name: noted(one) for name, one in record.items() if name not in _READ and one}
    yield from said.events(
        author, f"{id}:prompt", calls, created_at=when, metadata={"gemini": besides} if besides else {}
    )
    if answers:
        text = "\n\n".join(text_of_html(one) for one in answers if isinstance(one, str))
        yield from Said.of(text).events("assistant", f"{id}:answer", calls, created_at=when)


class _Text(HTMLParser):
    """Collects the text of HTML, with the marks of Markdown for what structure it has."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._link = ""
        self._is_verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.pieces.append("\n\n" if tag != "tr" else "\n")
        if tag == "pre":
            self._is_verbatim += 1
            self.pieces.append("```\n")
        elif tag == "br":
            self.pieces.append("\n")
        elif tag == "li":
            self.pieces.append("\n- ")
        elif tag in ("td", "th"):
            self.pieces.append(" | ")
        elif tag in ("b", "strong"):
            self.pieces.append("**")
        elif tag == "code" and not self._is_verbatim:
            self.pieces.append("`")
        elif tag == "a":
            self._link = dict(attrs).get("href") or ""
            self.pieces.append("[")
        elif tag == "img":
            named = dict(attrs)
            self.pieces.append(f"![{named.get('alt') or ''}]({noted(named.get('src') or '')})")
        elif re.fullmatch("h[1-6]", tag):
            self.pieces.append("#" * int(tag[1]) + " ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._is_verbatim = max(self._is_verbatim - 1, 0)
            self.pieces.append("\n```\n\n")
        elif tag in _BLOCKS:
            self.pieces.append("\n\n" if tag != "tr" else "")
        elif tag in ("b", "strong"):
            self.pieces.append("**")
        elif tag == "code" and not self._is_verbatim:
            self.pieces.append("`")
        elif tag == "a":
            self.pieces.append(f"]({self._link})")

    def handle_data(self, data: str) -> None:
        self.pieces.append(data if self._is_verbatim else re.sub(r"\s+", " ", data))


def text_of_html(html: str) -> str:
    r"""The text of an answer.

    Example:
        >>> text_of_html("<p>See <b>this</b>:</p><ul><li>one</li><li>two</li></ul>")
        'See **this**:\n\n- one\n- two'
    """
    parser = _Text()
    parser.feed(html)
    parser.close()
    return re.sub(r"[ \t]*\n(?:[ \t]*\n)+", "\n\n", "".join(parser.pieces)).strip()
