"""The export of many conversations into a folder: a page for each, and an index of them.

::

    FOLDER/index.html                the list, by month
    FOLDER/sessions/NAME.html        a session; its name depends on nothing but its app, user and id

The pages are made in a folder of their own inside of it and then put in place one by one, the index last, so that an
export which is interrupted before that leaves the one before as it was. Then pages of sessions that are no longer there
are removed. A page of an export says in its head that it is one; no other file is ever replaced or removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from session_sqlite import codec
from session_sqlite.codec import SessionKey
from session_sqlite.errors import InvalidInputError, StoreError
from session_sqlite.models import SessionRecord
from session_sqlite.operations.whole_sessions import StoredSession, WholeSessions
from session_sqlite.sqlite import file_text
from session_sqlite.transcript import html
from session_sqlite.transcript.index import Listed, index_page
from session_sqlite.transcript.markup import cut, escaped
from session_sqlite.transfer.reports import Progress

MARK: Final = "session-sqlite, a folder of pages"
INDEX: Final = "index.html"
SESSIONS: Final = "sessions"
UNFINISHED: Final = ".session-sqlite-export"
NAME_CHARACTERS: Final = 60
TITLE_KEPT: Final = 120
HEAD_READ: Final = 300  # bytes in which a page says what made it

_NAME: Final = re.compile(r"[a-z0-9-]+-[0-9a-f]{12}\.html")


def is_folder(target: Any) -> bool:
    """Returns True if a target of an export is the path of a folder: one that is there, or a path with a slash."""
    if hasattr(target, "write") or not isinstance(target, (str, os.PathLike)):
        return False
    return is_folder_name(target) or os.path.isdir(os.fsdecode(target))


def is_folder_name(target: Any) -> bool:
    """Returns True if a path has a slash at its end."""
    return isinstance(target, (str, os.PathLike)) and os.fsdecode(target).endswith(("/", os.sep))


def folder_path(target: str | os.PathLike[str]) -> Path:
    """Returns the path of a folder, with or without a slash at its end."""
    text = os.fsdecode(target)
    return Path(file_text(text.rstrip(f"/{os.sep}") or text[:1] + ".", "target"))


def page_name(key: SessionKey) -> str:
    """Returns the name of a session's page, which is safe in every file system and different for every session.

    Example:
        >>> page_name(SessionKey("my-app", "alice", "../Tea & 茶"))
        'tea-f0ec4e910ca3.html'
    """
    words = "-".join(re.findall(r"[a-z0-9]+", key.session_id.lower()))[:NAME_CHARACTERS].strip("-")
    mark = hashlib.sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{words or 'session'}-{mark}.html"


def export_folder(
    sessions: WholeSessions,
    path: Path,
    keys: Iterator[SessionKey],
    *,
    user_markdown: bool,
    progress: Progress | None,
    total: int | None,
) -> tuple[int, int]:
    """Writes the pages and the index, and returns how many sessions and events they have."""
    heads = _heads(sessions, keys)
    owners = {(head.key.app_name, head.key.user_id) for head in heads}
    listed: list[Listed] = []
    events = 0
    with _Folder(path) as folder:
        for place, head in enumerate(heads):
            stored = sessions.read(head.key)
            if stored is None:  # the session was deleted meanwhile
                continue
            section = html.Section(stored.session, user_markdown=user_markdown, links=_links(heads, place))
            with folder.page(f"{SESSIONS}/{head.page}") as file:
                for count in _write_page(file, sessions, stored, section):
                    events += count
                    if progress is not None:
                        progress(events, total)
            listed.append(_listed(stored.session, head, section, with_owner=len(owners) > 1))
        with folder.page(INDEX) as file:
            for piece in index_page(listed, mark=MARK):
                file.write(piece)
        folder.complete()
    return len(listed), events


class _Head:
    """A session as it is known before its page is written."""

    __slots__ = ("changed_at", "key", "page", "title")

    def __init__(self, key: SessionKey, session: SessionRecord) -> None:
        self.key = key
        self.page = page_name(key)
        self.title = cut(session.title or session.id, TITLE_KEPT)
        self.changed_at = session.updated_at


def _heads(sessions: WholeSessions, keys: Iterator[SessionKey]) -> list[_Head]:
    stored = ((key, sessions.read(key)) for key in keys)
    heads = [_Head(key, one.session) for key, one in stored if one is not None]
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(heads, key=lambda head: head.changed_at or oldest, reverse=True)  # type: ignore[truthy-bool]  # a damaged one is None


def _links(heads: Sequence[_Head], place: int) -> str:
    links = [f'<a href="../{INDEX}">All conversations</a>']
    for at, name, arrow in ((place - 1, "prev", "← "), (place + 1, "next", "→ ")):
        if 0 <= at < len(heads):
            title = escaped(cut(heads[at].title, 40))
            links.append(f'<a rel="{name}" href="{heads[at].page}">{arrow}<bdi>{title}</bdi></a>')
    return " ".join(links)


def _write_page(file: _Page, sessions: WholeSessions, stored: StoredSession, section: html.Section) -> Iterator[int]:
    """Writes a session's page; yields the number of events after each piece of them."""
    file.write(html.page_start(stored.session.title or stored.session.id, mark=MARK))
    file.write(section.start())
    for rows in sessions.event_rows(stored):
        for row in rows:
            for piece in section.add(codec.decode_event(row)):
                file.write(piece)
        yield len(rows)
    for piece in section.end():
        file.write(piece)
    file.write(html.page_end())


def _listed(session: SessionRecord, head: _Head, section: html.Section, *, with_owner: bool) -> Listed:
    first = cut(section.first_prompt, 2 * TITLE_KEPT)
    return Listed(
        f"{SESSIONS}/{head.page}",
        cut(session.title, TITLE_KEPT) or first or session.id,
        first if session.title else "",
        str(section.counts),
        session.updated_at,
        f"{session.app_name} / {session.user_id}" if with_owner else "",
    )


class _Page:
    """A page that is being written."""

    def __init__(self, file: IO[str], path: Path) -> None:
        self._file = file
        self._path = path

    def write(self, text: str) -> None:
        with _translated(self._path):
            self._file.write(text)


class _Folder:
    """A folder of pages; the new ones are in a folder of their own until all are there."""

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.realpath(path))
        self._new = self._path / UNFINISHED
        self._names: list[str] = []

    def __enter__(self) -> _Folder:
        if self._path.exists() and not self._path.is_dir():
            raise InvalidInputError(f"{str(self._path)!r} is a file: give the path of a folder")
        _check_ours(self._path / INDEX)
        with _translated(self._path):
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._remove_unfinished()  # of an export that was killed
            (self._new / SESSIONS).mkdir(mode=0o700, parents=True)
        return self

    def __exit__(self, *exception: Any) -> None:
        with contextlib.suppress(OSError):
            self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        if self._new.is_dir() and not self._new.is_symlink():
            shutil.rmtree(self._new)

    @contextlib.contextmanager
    def page(self, name: str) -> Iterator[_Page]:
        """Yields a new page to write to, readable by its owner only."""
        _check_ours(self._path / name)
        self._names.append(name)
        path = self._new / name
        with _translated(path):
            file = open(path, "x", encoding="utf-8", errors="backslashreplace", newline="\n", opener=_private)  # noqa: SIM115
        with contextlib.closing(file):
            yield _Page(file, path)
            with _translated(path):
                file.flush()

    def complete(self) -> None:
        """Puts the new pages in place, the index last, and removes pages of an export that this one has no more."""
        with _translated(self._path):
            (self._path / SESSIONS).mkdir(mode=0o700, exist_ok=True)
            for name in self._names:  # the index was made last
                os.replace(self._new / name, self._path / name)
            stay = {Path(name).name for name in self._names}
            with os.scandir(self._path / SESSIONS) as entries:
                gone = [one.path for one in entries if _NAME.fullmatch(one.name) and one.name not in stay]
            for path in gone:
                if _is_ours(Path(path)):
                    os.unlink(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _check_ours(path: Path) -> None:
    if os.path.lexists(path) and not _is_ours(path):
        raise InvalidInputError(f"{str(path)!r} is not a page of an export: choose another folder")


def _is_ours(path: Path) -> bool:
    try:
        if path.is_symlink() or not path.is_file():
            return False
        with open(path, "rb") as file:
            return f'content="{MARK}"'.encode() in file.read(HEAD_READ)
    except OSError:
        return False


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Raises an OSError of a file here as an error that names it."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{str(path)!r} cannot be written: {error.strerror}") from error
