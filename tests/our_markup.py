"""Every element and attribute that pages of ours may have, and nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from session_sqlite.transcript.index import SCRIPT


class Elements(HTMLParser):
    """Every element and attribute of a text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


ALLOWED: dict[str, set[str]] = {
    "html": {"lang"}, "head": set(), "meta": {"charset", "http-equiv", "content", "name"}, "title": set(),
    "style": set(), "body": set(), "main": {"class"}, "section": {"aria-labelledby"},
    "nav": {"class", "aria-label", "tabindex"},
    "div": {"class", "data-language", "dir", "id", "lang", "tabindex"},
    "h1": {"class", "id", "dir", "lang"}, "h2": {"class", "id"}, "p": {"class", "dir", "id", "lang"},
    "dl": {"class"}, "dt": set(),
    "dd": set(), "bdi": {"lang"}, "ol": {"class", "dir", "start"}, "ul": {"class", "aria-label", "dir"},
    "li": {"class", "id"}, "span": {"class"}, "b": set(), "abbr": {"title"}, "strong": set(), "code": {"lang"},
    "pre": {"class", "tabindex"}, "time": {"class", "datetime", "title"}, "details": {"class"}, "summary": set(),
    "img": {"src", "alt"}, "mark": set(), "table": set(), "thead": set(),
    "tbody": set(), "tr": set(), "th": {"scope", "class", "dir"}, "td": {"class", "dir", "lang"},
    "h3": {"dir"}, "h4": {"dir"}, "h5": {"dir"}, "h6": {"dir"}, "blockquote": {"dir"}, "hr": set(), "em": set(),
    "s": set(), "br": set(), "a": {"class", "dir", "href", "lang", "title", "rel", "referrerpolicy", "target"},
}  # fmt: skip


def assert_only_our_elements(markup: str) -> None:
    assert "<script" not in markup
    for tag, attributes in Elements(markup).found:
        assert tag in ALLOWED, tag
        assert set(attributes) <= ALLOWED[tag], (tag, attributes)
        assert tag != "a" or re.match(
            r"https?://|mailto:[^?]|#[a-z0-9-]+$|\.\./index\.html$|(sessions/)?[a-z0-9-]+\.html$",
            attributes["href"] or "",
        )
        assert tag != "img" or re.match(r"data:image/(png|jpeg|gif|webp);base64,", attributes["src"] or "")


def without_its_script(index: str) -> str:
    """The list of a folder without its box and the script of that."""
    box = re.compile(r'<input class="find" id="find" type="search" hidden [^<>]*>')
    assert len(box.findall(index)) == 1
    return box.sub("", index).replace(f"<script>{SCRIPT}</script>", "").replace(' id="count" role="status"', "")
