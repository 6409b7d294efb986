"""Whatever a conversation says, it is shown as text: it makes no element, drives no terminal, runs in no spreadsheet.

Each input is a session of three events with signs of HTML, Markdown, terminals and formulas in every field. It is shown
in every way there is, and what comes out may have nothing but elements and attributes of ours (`our_markup`), colours
of ours, headings of ours, and cells that a spreadsheet takes for text. Each input follows from its number.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from markdown_it import MarkdownIt
from our_markup import assert_only_our_elements, without_its_script

from session_sqlite import REMOVE, Event, Page, Rows, SearchHit, SQLiteSessionService, ToolCall, Usage
from session_sqlite.cli.rows import ROW_FORMS, print_rows
from session_sqlite.transcript import html_page, terminal_text

from .hostile_input import PIECES, Input
from .trials import Length, Trial, Tried

MARKUP: Final = [
    "<", ">", "&", '"', "'", "`", "```", "~~~", "/", "=", "<!--", "-->", "<![CDATA[", "]]>", "<?", "</", "\n\n", "\n# ",
    "\n## 9. ", "\n---\n", "\n> ", "\n- ", "\n1. ", "    ", "\n| a | b |\n|---|---|\n| ", " | ", "[x](", "![x](", ")",
    "[x]: ", "javascript:", "data:text/html,", "data:image/svg+xml;base64,", "data:image/png;base64,iVBORw0KGgo=",
    "http://127.0.0.1:9/", "//127.0.0.1:9", "mailto:a@b?body=", "vbscript:", "java\tscript:", " onerror=x() ",
    " style=x ", "<b>", "<img src=x onerror=x()>", "<a href='javascript:x()'>", "<svg/onload=x()>", "<iframe srcdoc=",
    "<style>", "</style>", "</title>", "</script>", "<meta http-equiv=refresh content=0>", "<base href=//x>", "&#60;",
    "&lt;", "**", "__", "~~", "==", "$", "$$", "\x1b]8;;http://x\x07", "\x1b[2J", "\x9b31m", "\x07", "\x08", "\r",
    "\x85", "\u2028", "\u2066", "\u202e", "=", "+", "-", "@", "\t=", "=cmd|' /C calc'!A0", "\uff1d1+1", ",", ";",
]  # fmt: skip
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
DRIVES_A_TERMINAL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
RUNS_IN_A_SPREADSHEET: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class Shown(Input):
    """Random texts that try to be more than text."""

    def text(self, most: int = 5) -> str:
        """A text of up to so many pieces, of which most mean something where texts are shown."""
        pieces = (self.choice(MARKUP if self.random() < 0.8 else PIECES) for _ in range(self.randint(0, most)))
        return "".join(pieces).encode("utf-8", "replace").decode()

    def identifier(self) -> str:
        """Such a text as far as an identifier takes it."""
        return re.sub(r"[\x00-\x1f\x7f-\x9f]", "", self.text()).strip()[:100].strip()

    def call(self) -> ToolCall:
        """A call with such texts, with or without an answer."""
        answers: list[dict[str, Any]] = [{}, {"output": self.text()}, {"output": self.json()}, {"error": self.text()}]
        answer = self.choice(answers)
        return ToolCall(self.text(), {self.text(): self.json()}, id=self.choice(["c", self.text()]), **answer)

    def event(self, author: str) -> Event:
        """An event with such texts in every field."""
        return Event(
            author, self.text(9), reasoning=self.text(), agent_id=self.identifier(), branch=self.identifier(),
            actions=[self.call() for _ in range(self.randint(0, 2))], metadata={self.text(): self.json()},
            state={f"k{self.identifier()}": self.choice([self.json(), REMOVE])}, usage=Usage(self.text(), 1, 2),
        )  # fmt: skip


def in_html(service: SQLiteSessionService, id: str) -> Iterator[str]:
    """The pages and the outputs of a notebook."""
    session = service.get_session(id)
    events = service.list_events(id)
    hits = Page([SearchHit(event, session, event.content, ((0, 2),), 1.0) for event in events], session.title)
    rows = service.query("SELECT * FROM events")
    for user_markdown in (False, True):
        yield "".join(html_page(session, events, user_markdown=user_markdown))
    parts: tuple[Any, ...] = (
        session,
        events,
        hits,
        rows,
        service.list_sessions(),
        service.tool_calls(),
        *events,
        *hits,
    )
    for shown in parts:
        yield shown._repr_html_()
    yield service.search_sessions("fox")._repr_html_()
    yield Rows([{session.title: session.title}])._repr_html_()


def in_a_terminal(service: SQLiteSessionService, id: str) -> Iterator[str]:
    """The transcripts, in colours or not, short and whole."""
    session, events = service.get_session(id), service.list_events(id)
    for colour, full, width in ((False, True, 100), (True, False, 40), (True, True, 80)):
        yield "\n".join(terminal_text(session, events, colour=colour, full=full, width=width))


def in_cells(service: SQLiteSessionService) -> Iterator[tuple[str, str]]:
    """What a program or a spreadsheet reads, with its form."""
    rows = service.query("SELECT title, author, content, actions, state FROM events JOIN sessions")
    for form in ROW_FORMS:
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="")
        with contextlib.redirect_stdout(out):
            print_rows(form, rows, ["title", "author", "content", "actions", "state"])
        out.flush()
        yield form, out.buffer.getvalue().decode()


def check_html(service: SQLiteSessionService, id: str) -> int:
    count = 0
    for count, markup in enumerate(in_html(service, id), start=1):  # noqa: B007
        assert_only_our_elements(markup)
    return count


def check_terminal(service: SQLiteSessionService, id: str) -> int:
    count = 0
    for count, text in enumerate(in_a_terminal(service, id), start=1):  # noqa: B007
        assert DRIVES_A_TERMINAL.search(COLOUR.sub("", text)) is None, "a character drives the terminal"
        below_the_title = COLOUR.sub("", text).partition("\n")[2]
        heads = re.findall(r"^#\d", below_the_title, re.MULTILINE)
        assert len(heads) == len(service.list_events(id)), "a text makes a head of an event"
    return count


def check_cells(service: SQLiteSessionService, id: str) -> int:  # like the others
    count = 0
    for count, (form, text) in enumerate(in_cells(service), start=1):  # noqa: B007
        assert DRIVES_A_TERMINAL.search(text.replace("\r\n", "\n")) is None, f"a character of {form} drives a terminal"
        if form in {"csv", "tsv"}:
            read = csv.reader(io.StringIO(text, newline=""), "excel" if form == "csv" else "excel-tab")
            runs = [cell for row in read for cell in row if cell.startswith(RUNS_IN_A_SPREADSHEET)]
            assert runs == [], f"a cell of {form} is a formula"
    return count


def check_markdown(service: SQLiteSessionService, id: str) -> int:
    out = io.StringIO()
    service.export(out, session=id, format="markdown")
    text = out.getvalue()
    assert DRIVES_A_TERMINAL.search(text) is None, "a character of the Markdown drives a terminal"
    headings = [
        (token.tag, inline.content)
        for token, inline in zip(*(MarkdownIt("commonmark").parse(text)[start:] for start in (0, 1)), strict=False)
        if token.type == "heading_open" and token.level == 0
    ]
    assert [tag for tag, _ in headings] == ["h1", *["h2"] * len(service.list_events(id))], "a text makes a heading"
    return 1


def check_folder(service: SQLiteSessionService, id: str) -> int:  # like the others
    with tempfile.TemporaryDirectory() as folder:
        service.export(f"{folder}/pages/", format="html")
        index, *pages = sorted(Path(folder, "pages").rglob("*.html"), key=lambda path: path.name != "index.html")
        assert_only_our_elements(without_its_script(index.read_text("utf-8")))
        for page in pages:
            assert_only_our_elements(page.read_text("utf-8"))
    return 1 + len(pages)


CHECKS: Final[dict[str, Callable[[SQLiteSessionService, str], int]]] = {
    "HTML": check_html,
    "terminal": check_terminal,
    "cells": check_cells,
    "Markdown": check_markdown,
    "folder of pages": check_folder,
}


def run(folder: Path, length: Length) -> Tried:  # it writes to memory and to folders of its own
    shown = dict.fromkeys(CHECKS, 0)
    conversations = length.of(10_000, at_least=50)
    for number in range(conversations):
        made = Shown(number)
        with SQLiteSessionService(":memory:", search=False) as service:
            session = service.create_session(title=f"{made.text()}fox", agent_id=made.identifier())
            session.add_events([made.event(author) for author in ("user", "assistant", "tool")])
            for name, check in CHECKS.items():
                try:
                    shown[name] += check(service, session.id)
                except AssertionError as error:
                    raise AssertionError(f"conversation {number} as {name}: {error}") from error
    by_kind = ", ".join(f"{name} {count:,}" for name, count in shown.items())
    return Tried(
        f"{conversations:,} conversations with signs of HTML, Markdown, terminals and formulas in every field, each "
        f"shown in every way ({by_kind})",
        "0 elements, attributes, escapes, headings or formulas that are not ours",
    )


RENDERING: Final = Trial("rendering", "A conversation is shown as text, whatever it says", run)
