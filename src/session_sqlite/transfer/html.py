"""The HTML page of an export, which has a section for each session; `transcript.html` renders it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from session_sqlite import codec
from session_sqlite.operations.whole_sessions import StoredSession
from session_sqlite.transcript import html


class Writer:
    """A maker of the pieces of one page."""

    def __init__(self, *, user_markdown: bool = False) -> None:
        self._user_markdown = user_markdown
        self._number = 0
        self._section: html.Section | None = None

    def begin(self) -> Iterator[str]:
        """Yields nothing: the page begins with its first session, whose title it takes."""
        yield from ()

    def session(self, stored: StoredSession) -> Iterator[str]:
        """Yields the beginning of a session's section, up to its events."""
        if self._section is None:
            yield html.page_start(stored.session.title or stored.session.id)
        else:
            yield from self._section.end()
        self._number += 1
        self._section = html.Section(stored.session, self._number, user_markdown=self._user_markdown)
        yield self._section.start()

    def events(self, rows: Iterable[Any]) -> Iterator[str]:
        """Yields events, each with the results of its calls."""
        if self._section is not None:
            for row in rows:
                yield from self._section.add(codec.decode_event(row))

    def end(self, _sessions: int, _events: int, /) -> Iterator[str]:
        """Yields the end of the page."""
        if self._section is None:
            yield f"{html.page_start('No conversations')}<h1>No conversations.</h1>\n"
        else:
            yield from self._section.end()
        yield html.page_end()
