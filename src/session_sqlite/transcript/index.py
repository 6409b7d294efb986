"""The page that lists conversations, each with a link to a page of its own, by the month of their last change.

It has a box that narrows the list to those whose title, first message or date has the words that are typed. That takes
a script: `SCRIPT`, the only one that the page's policy lets a browser run. Without scripts the box is not shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

from session_sqlite.transcript import style
from session_sqlite.transcript.html import page_end, page_start
from session_sqlite.transcript.markup import cut, escaped, isolated, lang
from session_sqlite.transcript.text import counted, time_shown

TITLE_CHARACTERS: Final = 120
FIRST_CHARACTERS: Final = 200

SCRIPT: Final = r"""
(() => {
  const box = document.getElementById("find"), count = document.getElementById("count"), all = count.textContent;
  const fold = text => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const shown = row => [...row.querySelectorAll("a, .first, time, bdi")].map(part => part.textContent).join(" ");
  let rows = [];
  const narrow = () => {
    const words = fold(box.value).split(/\s+/).filter(Boolean);
    if (!rows.length && words.length)
      rows = [...document.querySelectorAll(".index > li")].map(row => [row, fold(shown(row))]);
    let found = 0;
    for (const [row, text] of rows) {
      row.hidden = !words.every(word => text.includes(word));
      found += !row.hidden;
    }
    for (const month of document.querySelectorAll("section")) month.hidden = !month.querySelector("li:not([hidden])");
    for (const months of document.querySelectorAll(".months")) months.hidden = words.length > 0;
    count.textContent = words.length ? `${found.toLocaleString("en")} of ${all}` : all;
  };
  box.hidden = false;
  box.addEventListener("input", narrow);
  addEventListener("pageshow", narrow);  // a browser that goes back fills the box again
})();
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """A conversation as the list shows it.

    Attributes:
        page: The address of its page.
        title: Its title, or what else names it.
        first_prompt: The text of the user's first message; empty if the title says it, or there is none.
        figures: The numbers of its events, calls and tokens, in words.
        changed_at: The time of its last change.
        owner: Its app and user, if the list has several.
    """

    page: str
    title: str
    first_prompt: str
    figures: str
    changed_at: datetime | None
    owner: str = ""


def index_page(listed: Sequence[Listed], *, mark: str) -> Iterator[str]:
    """Yields the pieces of the page; the conversations are in order, the latest change first."""
    yield page_start("Conversations", style.INDEX, mark=mark, script=SCRIPT)
    yield (
        '<h1 class="title">Conversations</h1>\n'
        f'<p class="counts" id="count" role="status">{counted(len(listed), "conversation")}</p>\n'
        '<input class="find" id="find" type="search" hidden placeholder="Find by title, first message or date" '
        'aria-label="Find by title, first message or date">\n'
    )
    months = [(month, list(of_month)) for month, of_month in groupby(listed, _month)]
    if len(months) > 1:
        links = (f'<li><a href="#{_anchor(month)}">{month}</a> {len(one):,}</li>' for month, one in months)
        yield f'<nav class="months" aria-label="Months"><ul>{"".join(links)}</ul></nav>\n'
    for month, of_month in months:
        yield from _section(month, of_month)
    yield page_end(SCRIPT)


def _section(month: str, listed: Iterable[Listed]) -> Iterator[str]:
    yield f'<section aria-labelledby="{_anchor(month)}">\n<h2 id="{_anchor(month)}">{month}</h2>\n<ol class="index">\n'
    for one in listed:
        first = cut(one.first_prompt, FIRST_CHARACTERS)
        shown = f'<p class="first" dir="auto"{lang(first)}>{escaped(first)}</p>' if first else ""
        title = cut(one.title, TITLE_CHARACTERS)
        owner = f" · {isolated(one.owner)}" if one.owner else ""
        when = ""
        if one.changed_at is not None:
            when = f'<time datetime="{one.changed_at.isoformat()}">{time_shown(one.changed_at, "minutes")}</time> · '
        yield (
            f'<li><a href="{escaped(one.page)}" dir="auto"{lang(title)}>{escaped(title)}</a>{shown}'
            f'<p class="soft">{when}{one.figures}{owner}</p></li>\n'
        )
    yield "</ol>\n</section>\n"


def _month(one: Listed) -> str:
    return "Without a date" if one.changed_at is None else f"{_MONTHS[one.changed_at.month - 1]} {one.changed_at.year}"


def _anchor(month: str) -> str:
    return month.lower().replace(" ", "-")


_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
