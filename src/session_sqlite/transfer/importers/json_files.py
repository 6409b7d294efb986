"""JSON files of any size, a value at a time: JSON Lines, one document, or one list of which each element is a value.

Gzipped files and, for ChatGPT's exports, the member of a zip are read through. A list is cut into its elements by
their brackets before any is decoded, so that one that is malformed stays alone.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from session_sqlite.errors import InvalidInputError, StoreError
from session_sqlite.operations.whole_sessions import Fault
from session_sqlite.sqlite import file_text

MAX_VALUE_BYTES: Final = 256 * 1024 * 1024
PEEKED: Final = 64 * 1024
BLOCK: Final = 1024 * 1024
SPOOLED: Final = 1024 * 1024
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_BOM: Final = b"\xef\xbb\xbf"
_MEMBER = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.json")

# A whole string, the beginning of one, or what changes the depth or ends an element.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},]', re.DOTALL)

Value = tuple[str, Any]  # where it is, and the value or a Fault


class JsonFile:
    """A JSON file that can be read from its beginning again and again."""

    def __init__(self, name: str, open_raw: Callable[[], IO[bytes]], size: int | None) -> None:
        self.name = name
        self._open_raw = open_raw
        self._size = size
        self._raw: IO[bytes] | None = None
        self._done = 0

    def lines(self) -> Iterator[tuple[int, bytes | None]]:
        """The lines with their numbers; None for one that is too long."""
        with self._opened() as file:
            yield from enumerate(_lines(file), start=1)

    def values(self) -> Iterator[Value]:
        """The values, whatever form the file has."""
        with self._opened() as file:
            yield from _values(file)

    def first(self) -> Any:
        """The first value that can be read; None if there is none."""
        return next((value for _, value in self.values() if not isinstance(value, Fault)), None)

    def is_list(self) -> bool:
        """True if the file is one list, whose elements are the values."""
        with self._opened() as file:
            return _form(file)[0] == "list"

    def progress(self) -> tuple[int, int | None]:
        """How many bytes were read, and how many there are."""
        with contextlib.suppress(OSError, ValueError):
            if self._raw is not None:
                self._done = self._raw.tell()
        return self._done, self._size

    def changed(self) -> str | None:
        """Nothing: who changes such a file replaces it."""

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        try:
            with self._open_raw() as raw:
                self._raw = raw
                start = raw.read(4)
                raw.seek(0)
                if start.startswith(_GZIP):
                    with gzip.open(raw) as unpacked:
                        yield unpacked  # type: ignore[misc]  # a GzipFile reads bytes
                elif start.startswith(_ZIP):
                    yield from _members(raw)
                else:
                    yield raw
                self.progress()
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            what = getattr(error, "strerror", None) or "it is cut off or damaged"
            raise StoreError(f"the file {self.name!r} cannot be read: {what}") from error
        finally:
            self._raw = None


def _members(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(raw) as archive:
        names = [name for name in archive.namelist() if _MEMBER.fullmatch(name)]
        if not names:
            raise InvalidInputError("there is no conversations.json in the zip")
        with contextlib.ExitStack() as stack:
            members = [stack.enter_context(archive.open(name)) for name in sorted(names)]
            yield members[0] if len(members) == 1 else io.BufferedReader(_Joined(members))


class _Joined(io.RawIOBase):
    """Several lists of JSON, one after the other, as one."""

    def __init__(self, members: list[IO[bytes]]) -> None:
        self._parts = self._elements(members)
        self._rest = b""

    @staticmethod
    def _elements(members: list[IO[bytes]]) -> Iterator[bytes]:
        yield b"["
        is_first = True
        for member in members:
            for element in _elements(member):
                if element is not None:
                    yield element if is_first else b"," + element
                    is_first = False
        yield b"]"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._parts, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


@contextlib.contextmanager
def open_json(source: Any) -> Iterator[JsonFile]:
    """Opens a path, or a file that is open: of that a copy is kept while it is read, as it may be a pipe."""
    if hasattr(source, "read"):
        with tempfile.SpooledTemporaryFile(max_size=SPOOLED) as copy:
            while block := source.read(BLOCK):
                copy.write(block.encode("utf-8", "surrogateescape") if isinstance(block, str) else block)
            size = copy.tell()

            @contextlib.contextmanager
            def again() -> Iterator[IO[bytes]]:
                copy.seek(0)
                yield copy

            name = getattr(source, "name", "")
            is_path = isinstance(name, str) and not name.startswith("<")  # "<stdin>"
            yield JsonFile(os.path.basename(name) if is_path else "", again, size)  # type: ignore[arg-type]  # all that is asked of it is `with`
        return
    path = Path(file_text(source, "source"))
    if path.is_dir():
        raise InvalidInputError(f"{str(path)!r} is a directory: give the path of a file in it")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StoreError(f"the file {os.path.abspath(path)!r} cannot be read: {error.strerror}") from error
    yield JsonFile(path.name, lambda: path.open("rb"), size)


# ---------------------------------------------------------------- the forms


def _form(file: IO[bytes]) -> tuple[str, bytes]:
    """What the file is ("lines", "list" or "document"), and what was read of it to find out."""
    start = file.read(PEEKED)
    text = start.removeprefix(_BOM).lstrip()
    if text.startswith(b"[") and not _first_line_stands_alone(text):
        return "list", start
    if text.startswith(b"{"):
        while b"\n" not in text.rstrip() and len(text) < MAX_VALUE_BYTES:
            block = file.read(max(BLOCK, len(text)))
            if not block:
                break
            start += block
            text += block
        if not _is_json(text.split(b"\n", 1)[0]) and b"\n{" not in text.rstrip():
            return "document", start
    return "lines", start


def _first_line_stands_alone(text: bytes) -> bool:
    line, _, rest = text.partition(b"\n")
    return bool(rest.strip()) and _is_json(line)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _values(file: IO[bytes]) -> Iterator[Value]:
    form, start = _form(file)
    rest = io.BufferedReader(_After(start, file))
    if form == "lines":
        for number, line in enumerate(_lines(rest), start=1):
            if line is None or line.strip():
                yield _decoded(f"line {number}", line)
    elif form == "list":
        for position, element in enumerate(_elements(rest)):
            yield _decoded(f"element {position}", element)
    else:
        yield _decoded("the file", rest.read(MAX_VALUE_BYTES))


def _decoded(where: str, text: bytes | None) -> Value:
    if text is None:
        return where, Fault(where, "it is too long, or the file was cut off in it")
    try:
        return where, json.loads(text.removeprefix(_BOM))
    except (ValueError, RecursionError):
        return where, Fault(where, "not valid JSON")


class _After(io.RawIOBase):
    """What was read already, and then the rest of the file."""

    def __init__(self, start: bytes, file: IO[bytes]) -> None:
        self._start = memoryview(start)
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._start[: len(buffer)] if self._start else self._file.read(len(buffer))
        self._start = self._start[len(block) :] if self._start else self._start
        buffer[: len(block)] = block
        return len(block)


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    is_first = True
    while line := file.readline(MAX_VALUE_BYTES):
        if len(line) == MAX_VALUE_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_VALUE_BYTES)
            yield None
        else:
            yield line.removeprefix(_BOM) if is_first else line
        is_first = False


def _elements(file: IO[bytes]) -> Iterator[bytes | None]:
    """The elements of a list as text; None for one that is too long or has no end."""
    data = file.read(BLOCK).removeprefix(_BOM)
    at = data.index(b"[") + 1
    begin, depth, size, too_long = at, 0, BLOCK, False
    while True:
        for token in _TOKEN.finditer(data, at):
            mark = token[0]
            if mark == b'"':  # a string whose end is not read yet
                at = token.start()
                break
            at = token.end()
            if mark in (b"[", b"{"):
                depth += 1
            elif mark in (b"]", b"}"):
                depth -= 1
            if depth < 0 or (mark == b"," and depth == 0):
                element = data[begin : token.start()]
                if too_long:
                    yield None
                elif element.strip():
                    yield element
                begin, size, too_long = at, BLOCK, False
                if depth < 0:
                    return
        else:
            at = len(data)
        block = file.read(size)
        if not block:
            if data[begin:].strip():
                yield None
            return
        size = max(size, len(data) - begin)  # a long element is searched again a few times only
        if len(data) - begin > MAX_VALUE_BYTES:
            too_long = True
            begin = at
        data, at, begin = data[begin:] + block, at - begin, 0
