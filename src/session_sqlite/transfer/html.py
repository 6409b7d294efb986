"""The HTML page of an export, which has a section for each session; `transcript.html` renders it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from session_sqlite import codec
from session_sqlite.operations.whole_sessions import StoredSession
from session_sqlite.transcript import html
from session_sqlite.transcript.text import Entries


class Writer:
    """A maker of the pieces of one page."""

    def __init__(self) -> None:
        self._sessions = 0
        self._entries = Entries()

    def begin(self) -> Iterator[str]:
        """Yields nothing: the page begins with its first session, whose title it takes."""
        yield from ()

    def session(self, stored: StoredSession) -> Iterator[str]:
        """Yields the beginning of a session's section, up to its events."""
        session = stored.session
        yield html.page_start(session.title or session.id) if not self._sessions else "".join(self._close())
        self._sessions += 1
        yield html.session_start(session, self._sessions)

    def events(self, rows: Iterable[Any]) -> Iterator[str]:
        """Yields events, each with the results of its calls."""
        for row in rows:
            yield from map(html.PAGE_FORM.entry, self._entries.add(codec.decode_event(row)))

    def end(self, _sessions: int, _events: int, /) -> Iterator[str]:
        """Yields the end of the page."""
        yield "".join(self._close()) if self._sessions else html.page_start("No conversations")
        yield html.page_end() if self._sessions else f"<p>No conversations.</p>{html.page_end()}"

    def _close(self) -> Iterator[str]:
        yield from map(html.PAGE_FORM.entry, self._entries.rest())
        yield html.session_end()
