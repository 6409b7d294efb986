"""JSON files of any size, a value at a time: JSON Lines, one document, or one list of which each element is a value.

Gzipped files and the JSON members of a zip are read through; UTF-16 is read as what it is. A list is cut into its
elements by their brackets before any is decoded, so that one that is malformed stays alone. What is damaged, is cut
off, or follows where nothing should is a `Fault`: nothing that has text is passed over in silence.

A file may be hostile. One value has at most `MAX_VALUE_BYTES` of text, `MAX_TOKENS` marks and `MAX_DEPTH` levels, and
a packed file unpacks to at most `MAX_RATIO` times its size (a small one to `SMALL_BYTES`): reading any file takes less
than 512 MiB of memory, and a time that grows with its size.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import json
import os
import re
import select
import stat
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, Any, Final

from session_sqlite.errors import InvalidInputError, StoreError
from session_sqlite.operations.whole_sessions import Fault
from session_sqlite.sqlite import file_text
from session_sqlite.transfer.importers.ids import whole_characters

MAX_VALUE_BYTES: Final = 32 * 1024 * 1024
MAX_TOKENS: Final = 2_000_000
MAX_DEPTH: Final = 200
MAX_RATIO: Final = 100
SMALL_BYTES: Final = 64 * 1024 * 1024
SAMPLE: Final = 20  # values that are looked at to find out what a file is
MAX_PEEKED: Final = 1024 * 1024
SAMPLE_BYTES: Final = 8 * 1024 * 1024
PIPE_SECONDS: Final = 5.0
PEEKED: Final = 64 * 1024
PACKED: Final = 16 * 1024  # that are unpacked at once
BLOCK: Final = 1024 * 1024
SPOOLED: Final = 1024 * 1024
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_BOM: Final = codecs.BOM_UTF8
_CHATGPT = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.json")
_JSON_MEMBER = re.compile(r".*\.(?:json|jsonl|ndjson)", re.IGNORECASE)
_DAMAGE: Final = "it is cut off or damaged"
_DAMAGED: Final = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)

# A whole string, the beginning of one, or what changes the depth or ends an element. Nothing here tracks back.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)  # a string up to its end, or to that of the block
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")  # escaped, or as bytes that are no UTF-8
_ADJACENT = re.compile(rb"[\x80-\xff]{2}")

Value = tuple[str, Any]  # where it is, and the value or a Fault


class _RepeatedNameError(ValueError):
    """An object has two values of one name."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _RepeatedNameError
    return made


# Python writes NaN and infinities, which JSON cannot hold: they are kept as text.
_STRICT: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=str)
_LENIENT: Final = json.JSONDecoder(parse_constant=str)


class JsonFile:
    """A JSON file that can be read from its beginning again and again.

    Attributes:
        name: The file's name; empty if it has none.
        folder: The name of the folder that it is in; empty if it is not known.
        left_out: The JSON members of a zip that are not read, since others have the conversations.
    """

    def __init__(self, name: str, open_raw: Callable[[], IO[bytes]], size: int | None, folder: str = "") -> None:
        self.name = name
        self.folder = folder
        self.left_out: list[str] = []
        self._open_raw = open_raw
        self._size = size
        self._raw: IO[bytes] | None = None
        self._done = 0
        self._sample: list[Any] | None = None
        self._trouble = ""
        self._damage = ""
        self._form = ""
        self._at = 0
        self._lists_are_parts = False

    def lines(self) -> Iterator[tuple[int, bytes | None]]:
        """The lines with their numbers; None for one that is too long. Raises `StoreError` behind them for damage."""
        number = 0
        with contextlib.closing(self._parts()) as parts:
            for _, packed in parts:
                for line in _lines(_as_utf8(packed)):
                    number += 1
                    yield number, line
                if packed.damage:
                    raise StoreError(f"the file {self.name!r} cannot be read: {packed.damage}")

    def values(self) -> Generator[Value, None, None]:
        """The values, whatever form the file has."""
        with contextlib.closing(self._parts()) as parts:
            for name, packed in parts:
                file = _as_utf8(packed)
                form, start = _form(file)
                self._form = self._form or form
                is_empty = True
                with contextlib.closing(_values(form, io.BufferedReader(_After(start, file)))) as values:
                    for where, value in values:
                        is_empty = False
                        if self._lists_are_parts and isinstance(value, list):
                            for position, element in enumerate(value):
                                yield _placed(name, f"{where}, element {position}", element)
                            continue
                        yield _placed(name, where, value)
                where = name or "the file"
                if packed.damage:
                    self._damage = packed.damage
                    yield where, Fault(where, f"{packed.damage}: what follows in it could not be read")
                elif is_empty and not start.strip():
                    yield where, Fault(where, "it is empty")

    def first(self) -> Any:
        """The value by which the file is looked at, usually the first that can be read; None if there is none."""
        sample = self.sample()
        return sample[self._at] if self._at < len(sample) else None

    def sample(self) -> list[Any]:
        """The first values that can be read."""
        if self._sample is None:
            self._sample = []
            # Closed here: an interrupt that meets a generator as it is thrown away is lost, and the import goes on.
            with contextlib.closing(self.values()) as values:
                for number, (_, value) in enumerate(values, start=1):
                    if isinstance(value, Fault):
                        self._trouble = self._trouble or value.reason
                    else:
                        self._sample.append(value)
                    done, _ = self.progress()
                    if len(self._sample) >= SAMPLE or number >= 10 * SAMPLE or (self._sample and done > SAMPLE_BYTES):
                        break
        return self._sample

    def looked_at(self) -> Iterator[JsonFile]:
        """The file, once for each of the first values: any of them may say the format, the first may be malformed."""
        for position in range(len(self.sample()) or 1):
            self._at = position
            yield self

    def take_lists_apart(self) -> bool:
        """Makes the elements of each line's list the values, if lines are lists: somebody put several files into one.

        Returns False if they are not.
        """
        if self._lists_are_parts or not any(isinstance(value, list) for value in self.sample()):
            return False
        self._lists_are_parts = True
        self._sample = None
        return True

    def trouble(self) -> str:
        """Returns what is wrong with a file of which nothing can be read; empty if something can."""
        if self.sample():
            return ""
        return self._damage or self._trouble or "it is empty"

    def is_list(self) -> bool:
        """True if the file is one list, whose elements are the values."""
        self.sample()
        return self._form == "list"

    def progress(self) -> tuple[int, int | None]:
        """Returns how many bytes were read, and how many there are."""
        with contextlib.suppress(OSError, ValueError):
            if self._raw is not None:
                self._done = self._raw.tell()
        return self._done, self._size

    def changed(self) -> str | None:
        """Nothing: who changes such a file replaces it."""

    def _parts(self) -> Generator[tuple[str, _Unpacked], None, None]:
        """The texts in the file: one, or those of a zip with their names."""
        try:
            raw = self._open_raw()
        except OSError as error:
            raise StoreError(f"the file {self.name!r} cannot be read: {error.strerror}") from error
        with raw:
            self._raw = raw
            self._done = 0
            try:
                start = raw.read(4)
                raw.seek(0)
                if start.startswith(_ZIP):
                    self.left_out.clear()
                    yield from _members(raw, self.left_out)
                elif start.startswith(_GZIP):
                    with gzip.open(raw) as unpacked:
                        yield "", _Unpacked(unpacked, _most(self._size or 0))
                else:
                    yield "", _Unpacked(raw)
                self.progress()
            finally:
                self._raw = None


def _placed(name: str, where: str, value: Any) -> Value:
    if not name:
        return where, value
    where = f"{name}, {where}"
    return where, Fault(where, value.reason) if isinstance(value, Fault) else value


def _most(packed: int) -> int:
    return max(SMALL_BYTES, MAX_RATIO * packed)


def _members(raw: IO[bytes], left_out: list[str]) -> Iterator[tuple[str, _Unpacked]]:
    """The members of a zip that have conversations: ChatGPT's, or else all that are JSON; names those left out."""
    try:
        archive = zipfile.ZipFile(raw)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise StoreError("the zip is cut off or damaged: its list of contents cannot be read") from error
    with archive:
        infos = [info for info in archive.infolist() if not info.is_dir() and not _is_of_a_mac(info.filename)]
        wanted = [info for info in infos if _CHATGPT.fullmatch(info.filename)]
        every = [info for info in infos if _JSON_MEMBER.fullmatch(info.filename)]
        left_out += [info.filename for info in every if wanted and info not in wanted]
        wanted = wanted or every
        if not wanted:
            raise InvalidInputError("there is no conversations.json in the zip, and no other JSON")
        if any(info.flag_bits & 0x1 for info in wanted):
            raise InvalidInputError("the zip is encrypted: unpack it with its password and import what is in it")
        for info in sorted(wanted, key=lambda info: info.filename):
            name = info.filename if len(wanted) > 1 else ""
            try:
                member = archive.open(info)
            except NotImplementedError as error:
                raise InvalidInputError(
                    "the zip is packed in a way that is not supported: unpack it and import what is in it"
                ) from error
            except (*_DAMAGED, ValueError):
                yield name, _Unpacked(None)
                continue
            with member:
                yield name, _Unpacked(member, _most(info.compress_size))


def _is_of_a_mac(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1].startswith("._")


class _Unpacked(io.RawIOBase):
    """A file as far as it can be read: it ends where it is damaged, or where a packed one reaches its limit.

    Attributes:
        damage: Why it ended too early; empty if it did not.
    """

    def __init__(self, file: Any, limit: int | None = None) -> None:
        self._file = file
        self._left = limit
        self.damage = "" if file is not None else _DAMAGE

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.damage:
            return 0
        try:
            # What is read together with damage is lost with it.
            block = self._file.read(len(buffer)) if self._left is None else self._file.read1(min(len(buffer), PACKED))
        except _DAMAGED as error:
            self.damage = getattr(error, "strerror", None) or _DAMAGE
            return 0
        if self._left is not None:
            self._left -= len(block)
            if self._left < 0:
                self.damage = "it unpacks to far more than conversations do, as if it were made to fill the memory"
                return 0
        buffer[: len(block)] = block
        return len(block)


@contextlib.contextmanager
def open_json(source: Any) -> Iterator[JsonFile]:
    """Opens a path, or a file that is open: of that, and of a pipe, a copy is kept while it is read."""
    if hasattr(source, "read"):
        name = getattr(source, "name", "")
        is_path = isinstance(name, str) and not name.startswith("<")  # "<stdin>"
        with _copied(source, os.path.basename(name) if is_path else "") as file:
            yield file
        return
    path = Path(file_text(source, "source"))
    shown = os.path.abspath(path)
    if path.is_dir():
        raise InvalidInputError(f"{str(path)!r} is a directory: give the path of a file in it")
    try:
        status = path.stat()
        if stat.S_ISFIFO(status.st_mode):
            with _open_pipe(path) as pipe, _copied(pipe, "") as file:
                yield file
            return
    except OSError as error:
        raise StoreError(f"the file {shown!r} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInputError(f"{shown!r} is a device and no file: give the path of a file")
    yield JsonFile(path.name, lambda: path.open("rb"), status.st_size, Path(shown).parent.name)


@contextlib.contextmanager
def _copied(source: Any, name: str) -> Iterator[JsonFile]:
    with tempfile.SpooledTemporaryFile(max_size=SPOOLED) as copy:
        while block := source.read(BLOCK):
            copy.write(block.encode("utf-8", "surrogateescape") if isinstance(block, str) else block)
        size = copy.tell()
        yield JsonFile(name, lambda: _KeptOpen(copy), size)  # type: ignore[arg-type,return-value]  # it reads and seeks


class _KeptOpen(io.RawIOBase):
    """A file that is read from its beginning, and stays open when this is closed."""

    def __init__(self, file: Any) -> None:
        self._file = file
        file.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._file.seek(offset, whence)
        return self._file.tell()  # type: ignore[no-any-return]  # the file is of any kind

    def tell(self) -> int:
        return self._file.tell()  # type: ignore[no-any-return]  # the file is of any kind

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


def _open_pipe(path: Path) -> IO[bytes]:
    """Opens a named pipe. Raises `StoreError` if nobody opens it for writing in time, where `open` would wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    if not poll.poll(PIPE_SECONDS * 1000) and not _has_writer(path):
        os.close(descriptor)
        raise StoreError(f"nobody writes to the pipe {os.path.abspath(path)!r}: waited {PIPE_SECONDS:.0f} seconds")
    os.set_blocking(descriptor, True)
    return open(descriptor, "rb")


def _has_writer(path: Path) -> bool:
    """True if a pipe is open for writing; then, and only then, opening it for reading does not wait."""
    opened: list[int] = []
    thread = threading.Thread(target=lambda: opened.append(os.open(path, os.O_RDONLY)), daemon=True)
    thread.start()
    thread.join(0.5)
    has_writer = not thread.is_alive()
    if not has_writer:
        with contextlib.suppress(OSError):  # lets the thread go on
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        thread.join(0.5)
    for descriptor in opened:
        os.close(descriptor)
    return has_writer


# ---------------------------------------------------------------- the text


def _as_utf8(packed: _Unpacked) -> IO[bytes]:
    """The file as UTF-8 without its mark at the beginning; UTF-16 and UTF-32 are known by theirs, or by their zeros."""
    file = io.BufferedReader(packed)
    start = file.read(4)
    rest = io.BufferedReader(_After(start, file))
    if start.startswith(_BOM):
        rest.read(len(_BOM))
    elif encoding := _wide_encoding(start):
        return io.BufferedReader(_Transcoded(rest, encoding))
    return rest


def _wide_encoding(start: bytes) -> str:
    if start in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(start) == 4 and start[0:1] in (b"{", b"[") and start[1] == 0:
        return "utf-32-le" if start[2:] == b"\0\0" else "utf-16-le"
    if len(start) == 4 and start[0] == 0:
        return {b"\0\0\0[": "utf-32-be", b"\0\0\0{": "utf-32-be"}.get(
            start, "utf-16-be" if start[1:2] in (b"{", b"[") and start[2] == 0 else ""
        )
    return ""


class _Transcoded(io.RawIOBase):
    """A file of another encoding, as UTF-8."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._ready = b""
        self._is_done = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._is_done:
            block = self._file.read(PEEKED)
            self._is_done = not block
            self._ready = self._decoder.decode(block, final=self._is_done).encode("utf-8", "replace")
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


class _After(io.RawIOBase):
    """Yields what was read already, and then the rest of the file."""

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


# ---------------------------------------------------------------- the forms


def _form(file: IO[bytes]) -> tuple[str, bytes]:
    """Returns what the file is ("lines", "list" or "document"), and what was read of it to find out."""
    start = b""
    while not start and (block := file.read(PEEKED)):
        start = block.lstrip()
    while start.startswith(b"{") and b"\n" not in start and len(start) < MAX_VALUE_BYTES:
        if not (block := file.read(max(BLOCK, len(start)))):
            break
        start += block
    is_cut = len(start) >= PEEKED // 2
    lines = [line for line in start[:MAX_PEEKED].split(b"\n")[: -1 if is_cut else None] if line.strip()]
    if not lines and start.startswith(b"{") and (end := start.find(b"\n")) > 0:  # one long line
        lines = [start[:end]]
    if start.startswith(b"["):
        return ("lines" if len(lines) > 1 and all(map(_is_json, lines[:2])) else "list"), start
    if start.startswith(b"{"):
        # Each of JSON Lines stands alone. Of a document few do, however it is indented.
        alone = sum(line.lstrip().startswith(b"{") and _is_json(line) for line in lines[:SAMPLE])
        return ("lines" if lines and 2 * alone >= min(len(lines), SAMPLE) else "document"), start
    return "lines", start


def _is_json(text: bytes) -> bool:
    return not isinstance(next(_decoded("", text))[1], Fault)


def _values(form: str, file: IO[bytes]) -> Generator[Value, None, None]:
    if form == "lines":
        for number, line in enumerate(_lines(file), start=1):
            if line is None or line.strip():
                yield from _decoded(f"line {number}", line)
    elif form == "list":
        with contextlib.closing(_elements(file)) as elements:
            for position, element in enumerate(elements):
                where = f"element {position}"
                if isinstance(element, Fault):
                    yield where, Fault(element.where or where, element.reason)
                else:
                    yield from _decoded(where, element, depth_is_known=True)
    else:
        yield from _documents(file)


def _documents(file: IO[bytes]) -> Iterator[Value]:
    """The document of a file; further ones may follow it."""
    text = file.read(MAX_VALUE_BYTES + 1)
    if len(text) > MAX_VALUE_BYTES:
        yield "the file", Fault("the file", _too_long())
        return
    (_, value), *more = _decoded("the file", text)
    if not isinstance(value, Fault) or _marks(text) > MAX_TOKENS or not (ends := _ends(text)):
        yield from (("the file", value), *more)
        return
    begin = 0
    for number, end in enumerate(ends, start=1):
        yield from _decoded(f"document {number}", text[begin:end])
        begin = end
    if text[begin:].strip():
        yield "the file", Fault("the file", _follows(len(text[begin:].strip())))


def _ends(text: bytes) -> list[int]:
    """Returns where the objects in a text end that stand one after the other."""
    ends: list[int] = []
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in (b"{", b"["):
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                ends.append(token.end())
        if depth < 0:
            break
    return ends


def _decoded(where: str, text: bytes | None, *, depth_is_known: bool = False) -> Iterator[Value]:
    """The value in a text, or the `Fault` that says why there is none; another one for what is not in the value.

    Half surrogate pairs become U+FFFD. Who cut the text from a list has counted its brackets: to count them again took
    7 % of an import.
    """
    if text is None or len(text) > MAX_VALUE_BYTES or _marks(text) > MAX_TOKENS:
        yield where, Fault(where, _too_long())
        return
    if not depth_is_known and text.count(b"{") + text.count(b"[") > MAX_DEPTH and _is_deep(text):
        yield where, Fault(where, f"it is nested more than {MAX_DEPTH} levels deep")
        return
    is_repeated = False
    try:
        characters = text.removeprefix(_BOM).decode("utf-8", "surrogatepass")
        try:
            value = _STRICT.decode(characters)
        except _RepeatedNameError:
            is_repeated = True
            value = _LENIENT.decode(characters)
    except UnicodeDecodeError:
        value = Fault(where, f"it is not UTF-8{_looks_like(text)}: convert it to UTF-8 first")
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
        value = Fault(where, "it ends in the middle" if at_end and text.strip() else "not valid JSON")
    except (ValueError, RecursionError):
        value = Fault(where, "not valid JSON")
    if not isinstance(value, Fault) and _SURROGATE.search(text):
        value = whole_characters(value)
    yield where, value
    if is_repeated and not isinstance(value, Fault):
        yield where, Fault(where, "it gives two values of one name: the last was taken, the others are missing")


def _marks(text: bytes) -> int:
    return 0 if len(text) < MAX_TOKENS else text.count(b",") + text.count(b"[") + text.count(b"{")


def _is_deep(text: bytes) -> bool:
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in (b"{", b"["):
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif mark in (b"}", b"]"):
            depth -= 1
    return False


def _looks_like(text: bytes) -> str:
    if not _ADJACENT.search(text):  # what is written with more than one byte is rarely alone
        return ", it looks like Windows-1252 (Latin-1)"
    for encoding, name in (("gb18030", "GBK (GB 18030)"), ("big5", "Big5"), ("shift_jis", "Shift JIS")):
        with contextlib.suppress(UnicodeDecodeError):
            shown = text.decode(encoding)
            if any("\u4e00" <= character <= "\u9fff" for character in shown):
                return f", it looks like {name}"
    return ""


def _too_long() -> str:
    return f"it is longer than {MAX_VALUE_BYTES // 1024 // 1024} MiB, or has more than {MAX_TOKENS:,} parts"


def _follows(count: int) -> str:
    return f"something follows where the JSON ends ({count:,} bytes): it was not read"


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    while line := file.readline(MAX_VALUE_BYTES):
        if len(line) == MAX_VALUE_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(BLOCK)
            yield None
        else:
            yield line


def _elements(file: IO[bytes]) -> Generator[bytes | Fault, None, None]:
    """The elements of a list as text; a `Fault` for what is too long, has no end, or follows the list."""
    block = file.read(BLOCK)
    begin = at = block.index(b"[") + 1
    pieces: list[bytes] = []
    held = depth = marks = 0
    in_string = False
    while True:
        end = len(block)
        if in_string:
            at = _inside(block, at)
            if in_string := block[at : at + 1] != b'"':
                end, at = at, end
            else:
                at += 1
        for token in _TOKEN.finditer(block, at):
            mark = token[0]
            marks += 1
            if mark == b'"':  # a string whose end is not read yet
                in_string, end = True, _inside(block, token.end())
                break
            if mark in (b"[", b"{"):
                depth += 1
            elif mark in (b"]", b"}"):
                depth -= 1
            if depth < 0 or (depth == 0 and mark == b","):
                held += token.start() - begin
                if held > MAX_VALUE_BYTES:
                    yield Fault("", _too_long())
                elif (element := b"".join((*pieces, block[begin : token.start()]))).strip():
                    yield element
                pieces, held, marks, begin = [], 0, 0, token.end()
            if depth < 0:
                yield from _after_the_list(block[begin:], file)
                return
            if depth > MAX_DEPTH or marks > 4 * MAX_TOKENS:
                yield Fault("", f"{_too_long()}, or is nested more than {MAX_DEPTH} levels deep: the rest was not read")
                return
        held += end - begin
        if held > MAX_VALUE_BYTES:
            pieces.clear()
        else:
            pieces.append(block[begin:end])
        rest = block[end:]  # half of an escape
        if not (more := file.read(BLOCK)):
            break
        block, begin, at = rest + more, 0, 0
    left = b"".join(pieces)
    if depth == 0 and not in_string and held <= MAX_VALUE_BYTES and left.strip():
        yield left
    yield Fault("the end", "it ends in the middle: what followed is missing")


def _inside(block: bytes, at: int) -> int:
    """Returns where a string ends that is open at a place: at its quote, at half of an escape, or with the block."""
    found = _INSIDE.match(block, at)
    return found.end() if found else at


def _after_the_list(rest: bytes, file: IO[bytes]) -> Iterator[Fault]:
    """Returns what follows a list, if anything does. Packed files are checked as they are read to their end."""
    count = 0
    while rest:
        count += len(rest.strip())
        rest = file.read(BLOCK)
    if count:
        yield Fault("the end", _follows(count))
