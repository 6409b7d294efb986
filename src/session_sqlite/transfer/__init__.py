"""Exports and imports: conversations written to files and read from files, as streams.

An *export* passes stored sessions to a writer: `jsonl` for another store, `markdown` and `html` for people. An *import*
takes arrivals (`whole_sessions`) from a reader (`importers`), and writes them in several transactions. Neither has more
than some hundred events in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final, Protocol

from session_sqlite import codec
from session_sqlite.codec import SessionKey
from session_sqlite.errors import InvalidInputError, StoreError
from session_sqlite.models import AnyOf, Event
from session_sqlite.operations.whole_sessions import (
    Arrival,
    Fault,
    LeftOut,
    Note,
    Piece,
    Placed,
    SharedState,
    StoredRow,
    StoredSession,
    WholeSessions,
    are_of_one_session,
)
from session_sqlite.sqlite import file_text
from session_sqlite.transfer import folder, html, importers, jsonl, markdown
from session_sqlite.transfer.batches import BATCH_CHARACTERS, BATCH_EVENTS, Batch
from session_sqlite.transfer.reports import ExportReport, ImportReport, Progress
from session_sqlite.version import __version__
from session_sqlite.where import Where

SESSIONS_IN_A_PAGE: Final = 200
FOLDER_IS_BETTER: Final = (
    "So many conversations in one page are slow to open. A folder (a path that ends with a slash) is better: each gets "
    "a page of its own, and an index lists them."
)

FAULTS_KEPT: Final = 100  # faults that a report shows; the others are only counted
MAX_FAULTS: Final = 100_000  # faults after which an import gives up, if there is hardly anything else
EVENTS_SEEN: Final = 20
NOTES_KEPT: Final = 20
MAX_KIND: Final = 80  # characters of the name of a kind; a longer text is not a name

# ---------------------------------------------------------------- export


class Target(Protocol):
    """A file that an export is written to."""

    def write(self, text: str, /) -> int:
        """Writes a text."""

    def writelines(self, texts: Iterable[str], /) -> None:
        """Writes several texts."""


class Writer(Protocol):
    """A maker of the text of an export, in pieces."""

    def begin(self) -> Iterator[str]:
        """Yields the text before all sessions."""

    def session(self, stored: StoredSession) -> Iterator[str]:
        """Yields the text of a session, before its events."""

    def events(self, rows: Iterable[Any]) -> Iterator[str]:
        """Yields the text of some events, in order."""

    def end(self, sessions: int, events: int, /) -> Iterator[str]:
        """Yields the text after all sessions, given the numbers of sessions and events."""


EXPORT_FORMATS: Final[dict[str, Callable[[], Writer]]] = {
    "jsonl": lambda: jsonl.Writer(__version__),
    "markdown": markdown.Writer,
    "html": html.Writer,
}
"""The formats of an export, each with its writer."""

_ENDINGS: Final = {".html": "html", ".htm": "html", ".md": "markdown", ".markdown": "markdown"}
# If a folder is imported, a file with such an ending that cannot be imported is reported; other files are ignored.
_HISTORIES: Final = frozenset({".json", ".jsonl", ".ndjson", ".gz", ".zip", ".db", ".sqlite", ".sqlite3", ".db3"})


def export(
    sessions: WholeSessions,
    target: str | os.PathLike[str] | IO[str],
    *,
    keys: Sequence[SessionKey] | None,
    where: Where,
    format: str,
    progress: Progress | None,
    store: Path | None,
    user_markdown: bool = False,
) -> ExportReport:
    """Writes the sessions with these keys, or without keys all that match; see `SessionService.export`."""
    if format == "auto":
        format = _format_of(target)
    if format not in EXPORT_FORMATS:
        raise InvalidInputError(f"format must be auto or one of {', '.join(EXPORT_FORMATS)}")
    total = None
    if progress is not None and keys is None:
        total = sessions.count_events(where)
    if format == "html" and folder.is_folder(target):
        wanted = sessions.keys(where) if keys is None else iter(keys)
        path = folder.folder_path(target)  # type: ignore[arg-type]  # it is no open file
        done = folder.export_folder(sessions, path, wanted, user_markdown=user_markdown, progress=progress, total=total)
        return ExportReport(format, *done)
    writer = html.Writer(user_markdown=user_markdown) if format == "html" else EXPORT_FORMATS[format]()
    done_sessions = done_events = 0
    with open_target(target, store) as file:
        _write(file, writer.begin())
        for key in sessions.keys(where) if keys is None else keys:
            stored = sessions.read(key)
            if stored is None:  # the session was deleted meanwhile
                continue
            done_sessions += 1
            _write(file, writer.session(stored))
            for rows in sessions.event_rows(stored):
                _write(file, writer.events(rows))
                done_events += len(rows)
                if progress is not None:
                    progress(done_events, total)
        _write(file, writer.end(done_sessions, done_events))
    note = FOLDER_IS_BETTER if format == "html" and done_sessions > SESSIONS_IN_A_PAGE else ""
    return ExportReport(format, done_sessions, done_events, note)


def _format_of(target: Any) -> str:
    """Returns the format that the name of a target asks for: an open file has none."""
    if hasattr(target, "write"):
        return "jsonl"
    if folder.is_folder_name(target):
        return "html"
    return _ENDINGS.get(Path(file_text(target, "target")).suffix.lower(), "jsonl")


def _write(file: Target, texts: Iterator[str]) -> None:
    for text in texts:
        file.write(text)


@contextlib.contextmanager
def open_target(target: Any, store: Path | None) -> Iterator[Target]:
    """Yields a file to write text to, given the file or its path; a file at a path appears when it is complete."""
    if hasattr(target, "write"):
        try:
            target.write("")
        except TypeError as error:
            raise InvalidInputError("the file must be open for text, not for bytes") from error
        yield target
        return
    is_folder = folder.is_folder(target)
    path = Path(os.path.realpath(file_text(target, "target")))
    if store is not None and path.parent == Path(os.path.realpath(store)).parent and path.name in _files_of(store):
        raise InvalidInputError(f"{str(path)!r} is the store itself: export to another file")
    if is_folder:
        raise InvalidInputError(
            f'{str(path)!r} is a directory: give the path of a file in it, or the format "html" for a page each'
        )
    with _Named(path) as file:
        yield file


def _files_of(store: Path) -> list[str]:
    name = os.path.basename(os.path.realpath(store))
    return [f"{name}{end}" for end in ("", "-wal", "-shm", "-journal")]


class _Named:
    """A file at a path; an OSError of it becomes a `StoreError` that names the path.

    Only errors of this file are translated. An OSError of other code that runs meanwhile, such as the caller's progress
    function, passes through unchanged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> _Named:
        with self._translated():
            if self._path.exists() and not self._path.is_file():
                device = self._path.open("w", encoding="utf-8", newline="\n")
                self._file: IO[str] = self._stack.enter_context(device)
            else:
                self._file = self._stack.enter_context(_replacing(self._path))
        return self

    def __exit__(self, *exception: Any) -> None:
        if exception[0] is not None:
            with contextlib.suppress(OSError):  # closing a file on a full disk raises the same error again
                self._stack.__exit__(*exception)
            return
        with self._translated():
            self._stack.__exit__(None, None, None)

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except OSError as error:
            raise self._unwritable(error) from error

    def writelines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.write(text)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(f"the file {str(self._path)!r} cannot be written: {error.strerror}")


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    """Yields a new file beside the path, readable by its owner only, and renames it to the path when it is complete."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.chmod(name, path.stat().st_mode & 0o777)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


# ---------------------------------------------------------------- import


def import_(
    sessions: WholeSessions,
    source: str | os.PathLike[str] | IO[Any],
    *,
    scope: tuple[str | AnyOf, str | AnyOf],
    app_name: str | None,
    user_id: str | None,
    format: str,
    dry_run: bool,
    progress: Progress | None,
) -> ImportReport:
    """Reads a source and writes its sessions; see `SessionService.import_`.

    ``scope`` is the app and user of sessions for which neither the caller nor the source names any.
    """
    for name, value in (("app_name", app_name), ("user_id", user_id)):
        if value is not None:
            codec.identifier(value, name)
    work = _Import(sessions, scope, app_name, user_id, dry_run)
    try:
        if isinstance(source, (str, os.PathLike)) and os.path.isdir(folder := file_text(source, "source")):
            formats = _import_folder(work, Path(folder), format, progress)
        else:
            formats = [_import_one(work, source, format, progress)]
    except KeyboardInterrupt as interrupt:  # what was written stays: tell the person how much it is
        interrupt.add_note(str(work.report(format)))
        raise
    return work.report(", ".join(dict.fromkeys(formats)))


def _import_one(work: _Import, source: str | os.PathLike[str] | IO[Any], format: str, progress: Progress | None) -> str:
    """Imports a file, and returns its format."""
    with importers.opened(source, format) as reader:
        work.keeps_empty = reader.keeps_empty
        work.is_in_use = reader.is_in_use
        before = work.taken
        if progress is not None:
            work.flushed = lambda: progress(*reader.progress())
        for arrival in reader.read():
            work.take(arrival)
            if work.is_hopeless():
                work.fault(Fault("the rest", f"more than {MAX_FAULTS:,} records are not understood: it was not read"))
                break
        work.flush()
        for part in reader.left_out():
            work.take(part)
        if not reader.keeps_empty and work.taken == before:
            raise InvalidInputError(f"{reader.shown} has no conversation with a message in it{work.first_fault()}")
        if (changed := reader.changed()) is not None:
            work.note(changed)
    return reader.format


def _import_folder(work: _Import, folder: Path, format: str, progress: Progress | None) -> list[str]:
    """Imports the files of a folder, and returns their formats; a file that cannot be imported is a fault."""
    files = sorted(path for path in _files_in(folder) if not _is_beside_a_database(path))
    if not files:
        raise InvalidInputError(f"there is no file in the folder {str(folder)!r}")
    formats: list[str] = []
    sizes = [path.stat().st_size for path in files]
    for number, path in enumerate(files):
        in_all = sum(sizes)
        before = sum(sizes[:number])

        def of_folder(done: int, total: int | None, before: int = before, in_all: int = in_all) -> None:
            if progress is not None:  # a database counts rows, not bytes: it is done when all rows are
                progress(before + done if total is not None else before, in_all)

        try:
            formats.append(_import_one(work, path, format, of_folder))
        except _NoOwnerError:
            raise
        except (InvalidInputError, StoreError) as error:
            if path.suffix.lower() in _HISTORIES:
                work.fault(Fault(str(path.relative_to(folder)), str(error)))
            else:
                work.take(LeftOut(f"{path.suffix} file" if path.suffix else "file"))
    if not formats:
        raise InvalidInputError(f"nothing in the folder {str(folder)!r} can be imported{work.first_fault()}")
    return formats


def _files_in(folder: Path) -> Iterator[Path]:
    for inside, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        for name in names:
            path = Path(inside, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _is_beside_a_database(path: Path) -> bool:
    return path.name.endswith(("-wal", "-shm", "-journal"))


class _Import:
    """A running import, which collects arrivals and writes them in transactions."""

    def __init__(
        self,
        sessions: WholeSessions,
        scope: tuple[str | AnyOf, str | AnyOf],
        app_name: str | None,
        user_id: str | None,
        dry_run: bool,
    ) -> None:
        self._sessions = sessions
        self._scope = scope
        self._app_name = app_name
        self._user_id = user_id
        self._dry_run = dry_run
        self._batch: Batch[Piece | SharedState] = Batch()
        # One time for all events that have none: a copy of an event must have the same time as the event.
        self._now = codec.now_text()
        self._made: set[SessionKey] = set()  # counted here, since a dry run does not make them in the store
        self._extended: set[SessionKey] = set()
        self._events = self._known = self._moved = self._completed = self._differing = 0
        self._faults: list[Fault] = []
        self._fault_count = 0
        self._notes: dict[str, None] = {}
        self._left_out: Counter[str] = Counter()
        self.flushed: Callable[[], None] = lambda: None  # called after each transaction
        self.keeps_empty = True
        self.is_in_use = False
        self._waiting: set[SessionKey] = set()  # sessions of the pieces that are not written yet
        self._seen: dict[SessionKey, dict[str, int]] = {}  # of a dry run: first events, by their contents' hashes
        self._moved_sessions: dict[tuple[str, str, str], str] = {}  # the ids of those whose id another one had

    def take(self, arrival: Arrival | SharedState | Fault | Note | LeftOut) -> None:
        """Takes the next item of a source."""
        if isinstance(arrival, Fault):
            self.fault(arrival)
        elif isinstance(arrival, Note):
            self.note(arrival.text)
        elif isinstance(arrival, LeftOut):
            self._left_out[_kind_named(arrival.kind)] += 1
        elif isinstance(arrival, SharedState):
            self._take_state(arrival)
        else:
            self._take_session(arrival)

    def fault(self, fault: Fault) -> None:
        """Counts a part of the source that cannot be imported."""
        self._fault_count += 1
        if len(self._faults) < FAULTS_KEPT:
            self._faults.append(fault)

    def is_hopeless(self) -> bool:
        """Returns True if nearly all of a source is faults: it has another format, or was made to waste time."""
        return self._fault_count > MAX_FAULTS and self._fault_count > 10 * (self._events + self._known)

    @property
    def taken(self) -> int:
        """Returns how many events of the source are in the store now."""
        return self._events + self._known

    def first_fault(self) -> str:
        """Returns the first fault in words, in brackets; empty if there is none."""
        return f" (first {self._faults[0].where}: {self._faults[0].reason})" if self._faults else ""

    def note(self, text: str) -> None:
        """Keeps a note for the report, once."""
        if len(self._notes) < NOTES_KEPT:
            self._notes[text] = None

    def report(self, format: str) -> ImportReport:
        """Returns the report of the import."""
        if self._moved:
            self.note(f"{self._moved:,} of the events are at the end of their session: other events have their places")
        if self._differing:
            self.note(
                f"{self._differing:,} of the events that are stored already say something else in the source now: they "
                "stay as they are"
            )
        return ImportReport(
            format,
            sessions=len(self._made),
            events=self._events,
            extended=len(self._extended - self._made),
            known=self._known,
            completed=self._completed,
            skipped=tuple(self._faults),
            skipped_count=self._fault_count,
            warnings=tuple(self._notes),
            left_out=dict(sorted(self._left_out.items())),
            dry_run=self._dry_run,
        )

    def _owner(self, app_name: str, user_id: str) -> tuple[str, str]:
        app = self._app_name or app_name or self._scope[0]
        user = self._user_id or user_id or self._scope[1]
        if isinstance(app, AnyOf) or isinstance(user, AnyOf):
            raise _NoOwnerError(
                "the source does not name an app and a user for its sessions, and those of the service are ANY: pass "
                "app_name and user_id"
            )
        return codec.identifier(app, "app_name"), codec.identifier(user, "user_id")

    def _take_state(self, shared: SharedState) -> None:
        try:
            app, user = self._owner(shared.app_name, shared.user_id or self._user_of_app_state())
            state = codec.split_state(shared.state)
            codec.encode_state(state)
        except _NoOwnerError:
            raise
        except InvalidInputError as error:
            self.fault(Fault("shared state", str(error)))
            return
        self._batch.add(SharedState(state, app, user))

    def _user_of_app_state(self) -> str:
        # The state of an app belongs to no user: any name will do.
        return "default" if isinstance(self._scope[1], AnyOf) else ""

    def _take_session(self, arrival: Arrival) -> None:
        now = self._now
        stream = iter(arrival.events)
        try:
            app, user = self._owner(arrival.app_name, arrival.user_id)
            key = SessionKey(app, user, codec.identifier(arrival.id, "session_id"))
            head = self._sessions.session_row(key, arrival, now)
            state = codec.split_state(arrival.state)
            codec.encode_state(state)
        except _NoOwnerError:
            raise
        except InvalidInputError as error:
            self.fault(Fault(_named(arrival.id), str(error)))
            for item in stream:  # read the events to their end: only then does the reader reach the next session
                if isinstance(item, (Fault, Note, LeftOut)):
                    self.take(item)
            return
        rows: list[dict[str, Any]] = []
        characters = 0
        is_first = True
        has_events = False
        faults = self._fault_count
        place: SessionKey | None = None
        times = _Times(arrival.created_at, now)
        for event in stream:
            if isinstance(event, (Fault, Note, LeftOut)):
                self.take(event)
                continue
            try:
                row = self._sessions.event_row(key, event, times.before)
            except InvalidInputError as error:
                self.fault(Fault(f"{_named(arrival.id)}, {_event_named(event)}", str(error)))
                continue
            times.take(event, row)
            rows.append(row)
            characters += len(row["content"] or "") + len(row["message"] or "") + len(row["actions"] or "")
            if len(rows) >= BATCH_EVENTS or characters >= BATCH_CHARACTERS:
                some, rows, characters, has_events = self._new_on_path(key, arrival, rows), [], 0, True
                times.forget()
                if some:
                    place = place or self._place_of(key, arrival, some)
                    self._add_piece(place, arrival, head, state, some, is_first)
                    is_first = False
        has_events = has_events or bool(rows)
        rows = self._new_on_path(key, arrival, rows)
        if rows or (is_first and not has_events and (self.keeps_empty or state)):
            self._add_piece(place or self._place_of(key, arrival, rows), arrival, head, state, rows, is_first)
        elif is_first and not has_events and faults == self._fault_count:
            self._left_out["empty conversation"] += 1

    def _new_on_path(self, key: SessionKey, arrival: Arrival, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The events of a path but for those that the store has in another path of the same tree."""
        if not arrival.tree or not (elsewhere := self._sessions.on_other_paths(key, arrival, rows)):
            return rows
        left = [row for row in rows if row["id"] not in elsewhere or row["copied_from"] is not None]
        self._known += len(rows) - len(left)
        return left

    def _place_of(self, key: SessionKey, arrival: Arrival, rows: Sequence[Mapping[str, Any]]) -> SessionKey:
        """The key that a session gets: its own, or the next one if the store has another session of that id.

        The same session gets the same key at every import, also if its own has become free since the first one.
        """
        if key in self._waiting:
            self.flush()
        place, number = key, 0
        free: SessionKey | None = None
        while rows and not (is_same := self._is_same(place, rows)):
            free = free or (place if is_same is None else None)
            if free and number:
                place = free
                break
            number += 1
            place = key._replace(session_id=_another_id(key.session_id, rows[0], number))
        if self._dry_run and rows and place not in self._seen:
            self._seen[place] = {row["id"]: hash(row["content"]) for row in rows[:EVENTS_SEEN]}
        if place != key:
            self._moved_sessions[arrival.app_name, arrival.user_id, arrival.id] = place.session_id
            self.note(
                f"{_named(key.session_id)} is another one than that of this id which was there: it came as "
                f"{place.session_id!r:.140}"
            )
        return place

    def _is_same(self, key: SessionKey, rows: Sequence[Mapping[str, Any]]) -> bool | None:
        if self._dry_run and (seen := self._seen.get(key)):
            return are_of_one_session({**seen}, [{**row, "content": hash(row["content"])} for row in rows])
        return self._sessions.is_same(key, rows)

    def _add_piece(
        self,
        key: SessionKey,
        arrival: Arrival,
        head: Mapping[str, Any],
        state: Mapping[str, Any],
        rows: list[dict[str, Any]],
        is_first: bool,
    ) -> None:
        session = {**head, "id": key.session_id}
        if key.session_id != arrival.id:
            rows = [{**row, "session_id": key.session_id} for row in rows]
        if self._moved_sessions:
            self._follow_moved(arrival, session, rows)
        times = [row["created_at"] for row in rows if isinstance(row["created_at"], str)]
        if times and arrival.created_at is None:
            session["created_at"] = min(times)
        if times and arrival.updated_at is None:
            session["updated_at"] = max(times)
        self._waiting.add(key)
        piece = Piece(
            key, session, state, rows, is_first=is_first, is_foreign=not self.keeps_empty, may_grow=self.is_in_use
        )
        self._batch.add(piece)
        if self._batch.is_full:
            self.flush()

    def _follow_moved(self, arrival: Arrival, session: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
        """Lets a session point to where the one came that it is a fork or a branch of."""
        for record in (session, *rows):
            for name in ("parent_id", "copied_from"):
                origin = (arrival.app_name, arrival.user_id, record.get(name))
                if record.get(name) and origin in self._moved_sessions:
                    record[name] = self._moved_sessions[origin]

    def flush(self) -> None:
        """Writes the pieces that were collected."""
        pieces, self._batch = self._batch.pieces, Batch()
        self._waiting.clear()
        if not pieces:
            self.flushed()
            return
        if self._dry_run:
            placed = [place for place in self._sessions.look_at(pieces) if place is not None]
        else:
            placed = self._sessions.add(pieces, codec.now_text())
        for place in placed:
            self._took_place(place)
        self.flushed()

    def _took_place(self, place: Placed) -> None:
        if place.key.session_id == "":
            return
        if place.is_new:
            self._made.add(place.key)
        elif place.added:
            self._extended.add(place.key)
        self._events += place.added
        self._known += place.known
        self._completed += place.completed
        self._differing += place.differing
        self._moved += place.moved


class _Times:
    """The times of a session's events: one that has none was said when its neighbour was.

    Attributes:
        before: The time of the event before the next one, or of the session; that of the import if neither is known.
    """

    def __init__(self, made: datetime | None, now: str) -> None:
        self.before = now if made is None else codec.time_text(codec.utc(made, "created_at"))
        self._waiting: list[dict[str, Any]] | None = [] if made is None else None

    def take(self, event: Event | StoredRow, row: dict[str, Any]) -> None:
        """Takes the next event; if it is the first that has a time, those before it get that too."""
        if isinstance(event, StoredRow) or event.__dict__["created_at"] is not None:
            self.before = row["created_at"]
            for earlier in self._waiting or ():
                earlier["created_at"] = self.before
            self._waiting = None
        elif self._waiting is not None:
            self._waiting.append(row)

    def forget(self) -> None:
        """Lets go of the events up to now, which are written."""
        if self._waiting is not None:
            self._waiting = []


class _NoOwnerError(InvalidInputError):
    """Neither the caller nor the source names an app and a user, so that the import cannot go on."""


def _kind_named(kind: str) -> str:
    return kind if kind.isprintable() and 0 < len(kind) <= MAX_KIND else "(without a name)"


def _another_id(session_id: str, first: Mapping[str, Any], number: int) -> str:
    """The id of a session whose own another one has; it depends on its first event."""
    said = json.dumps([session_id, first["id"], str(first["content"]), number])
    mark = hashlib.sha256(said.encode()).hexdigest()[:8]
    return f"{session_id[:100].rstrip()}~{mark}"


def _named(session_id: object) -> str:
    return f"session {session_id!r:.140}"


def _event_named(event: Event | StoredRow) -> str:
    if isinstance(event, StoredRow):
        return f"event {event.columns.get('id')!r:.140}"
    return f"event {event.id!r:.140}"
