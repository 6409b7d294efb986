"""The library of `disk.c`, made where it is needed, and the disk that is left after a power cut."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import struct
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

from .trials import UnavailableError

Loss = Literal["nothing", "all that was not synced", "a part of what was not synced"]
LOSSES: Final[tuple[Loss, ...]] = get_args(Loss)
SECTOR: Final = 512  # bytes: a disk writes these whole
CHANGES, SYNCS = 1, 2  # of disk.c
_HEAD: Final = struct.Struct("<cHQI")


def library(folder: Path) -> Path:
    """Compiles the library into a folder."""
    compiler = shutil.which("cc")
    if not sys.platform.startswith("linux") or compiler is None:
        raise UnavailableError("it needs Linux and a C compiler")
    made = folder / "disk.so"
    source = Path(__file__).with_name("disk.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(made), str(source), "-ldl"], check=True)
    return made


class BrokenDisk:
    """The library in the process that was started with it: makes changes or syncs fail."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"])

    def breaks(self, at: int, error: int, kind: int, *, stays: bool) -> None:
        """Makes a change or a sync fail, counted from now, and with ``stays`` all that follow."""
        self._library.disk_breaks(ctypes.c_long(at), error, kind, int(stays))

    def mended(self) -> int:
        """Makes nothing fail any more; returns how many have failed."""
        failures: int = self._library.disk_failures()
        self._library.disk_breaks(ctypes.c_long(0), 0, 0, 0)
        return failures


class Change(NamedTuple):
    """A change of a file or folder, or a sync: W a write, T a size, S a sync, C a new file, D a new folder, U gone."""

    kind: str
    path: Path
    offset: int
    data: bytes


def recorded(record: Path) -> Iterator[Change]:
    """Yields what the library has recorded."""
    data = record.read_bytes()
    at = 0
    while at < len(data):
        kind, path, offset, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        yield Change(kind.decode(), Path(os.fsdecode(data[at : at + path])), offset, data[at + path :][:length])
        at += path + (length if kind == b"W" else 0)


class Disk:
    """What would be on a disk if its power was cut now.

    A write is there for sure after a sync of its file, and a name (of a file or folder that was made or removed) after
    a sync of the folder that it is in. Until then each of them may be there or not, and a write in part, by sectors.
    """

    def __init__(self, folder: Path) -> None:
        self._names: dict[Path, bytearray] = {}  # as the process sees them
        self._synced_names: dict[Path, bytearray | None] = {folder: None}  # None: a folder
        self._synced: dict[int, tuple[bytearray, bytearray]] = {}  # by the identity of what the process sees
        self._writes: dict[int, list[Change]] = defaultdict(list)
        self._made: dict[Path, list[tuple[Path, bytearray | None, bool]]] = defaultdict(list)

    def apply(self, change: Change) -> None:
        """Applies the next change."""
        path = change.path
        if change.kind == "D":
            self._made[path.parent].append((path, None, True))
        elif change.kind == "C":
            self._names[path] = file = bytearray()
            self._synced[id(file)] = file, bytearray()
            self._made[path.parent].append((path, file, True))
        elif change.kind == "U":
            self._made[path.parent].append((path, self._names.pop(path), False))
        elif change.kind != "S":
            file = self._names[path]
            _write(file, change)
            self._writes[id(file)].append(change)
        elif path in self._names:
            file = self._names[path]
            for write in self._writes.pop(id(file), []):
                _write(self._synced[id(file)][1], write)
        else:
            _rename(self._synced_names, self._made.pop(path, []))

    def after(self, loss: Loss, chance: random.Random) -> dict[Path, bytes]:
        """Returns the files that are there after a cut at this moment."""
        if loss == "nothing":
            return {path: bytes(file) for path, file in self._names.items()}
        names = dict(self._synced_names)
        lost = loss == "all that was not synced"
        if not lost:
            for made in self._made.values():
                _rename(names, made[: chance.randint(0, len(made))])
        found = {}
        for path, file in names.items():
            if file is not None and all(folder in names for folder in _folders(path, self._synced_names)):
                found[path] = bytes(self._synced[id(file)][1]) if lost else self._in_part(file, chance)
        return found

    def _in_part(self, file: bytearray, chance: random.Random) -> bytes:
        content = bytearray(self._synced[id(file)][1])
        for write in self._writes.get(id(file), []):
            if chance.random() < 0.5:
                kept = write.data
                if chance.random() < 0.3:
                    kept = kept[: SECTOR * chance.randint(0, len(kept) // SECTOR)]
                if kept or write.kind == "T":
                    _write(content, write._replace(data=kept))
        return bytes(content)


def _folders(path: Path, synced: dict[Path, bytearray | None]) -> Iterator[Path]:
    """Yields the folders that a file is in, below the one that was there from the start."""
    start = next(iter(synced))
    return (folder for folder in path.parents if start in folder.parents)


def _rename(names: dict[Path, bytearray | None], made: list[tuple[Path, bytearray | None, bool]]) -> None:
    for path, file, is_there in made:
        if is_there:
            names[path] = file
        else:
            names.pop(path, None)


def _write(file: bytearray, change: Change) -> None:
    end = change.offset + len(change.data)
    if len(file) < end:
        file.extend(bytes(end - len(file)))
    if change.kind == "T":
        del file[change.offset :]
    else:
        file[change.offset : end] = change.data
