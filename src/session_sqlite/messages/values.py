"""Exact values: JSON text that gives back what JSON cannot hold.

A value that JSON holds stands for itself. Any other becomes a *tag*, an object with the key ``"$"`` that says its kind:
``{"$": "bytes", "value": "AAE="}``. A dict of the caller's that has such a key is stored as a tag too, so a tag is
never the caller's own. A text that a column of the event holds already is not stored again: the tag
``{"$": "content", "from": 0, "to": 20}`` names the column and the place in it.

`Writer` makes tags, `read` takes them apart. Reading imports nothing: a class that is not loaded degrades to what it
was made of. The objects of a framework are its own affair: it extends the writer, and reads with readers of its own.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import logging
import math
import numbers
import operator
import pathlib
import sys
import zoneinfo
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Any, ClassVar, Final
from uuid import UUID

from session_sqlite.codec import is_plain_text, plain_json
from session_sqlite.errors import NotSerializableError

logger = logging.getLogger("session_sqlite")

MAX_DEPTH: Final = 200
SHARED_TEXT: Final = 16  # characters: a shorter text is no longer than the tag that would replace it
MAX_BITS: Final = 2000  # of an integer that is stored in decimal; Python's limit on reading may be set to 640 digits

# Writing a value finds its cycles, so that the encoder need not look for them again.
encode = plain_json
_raw_decode = json.JSONDecoder().raw_decode


def decode(stored: str) -> Any:
    """Returns what the JSON text holds, its tags included; text of `encode` alone, which has no white space around it.

    That takes two thirds of the time of `json.loads`.
    """
    value, end = _raw_decode(stored)
    if end != len(stored):
        raise ValueError("more than one JSON value")
    return value


Tag = Mapping[str, Any]
Reader = Callable[[Tag], Any]
UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a damaged stored text may raise when it is read."""

_warned: set[str] = set()


def loaded_class(name: str, accepts: Callable[[type], bool]) -> Any:
    """Returns the class of that name if it is loaded and of the right kind, otherwise None, with one warning.

    It never imports: a stored name is only data.
    """
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        # Not getattr(found, part): a module can define what that does, and some import then.
        found = getattr(found, "__dict__", {}).get(part)
    if isinstance(found, type) and accepts(found):
        return found
    if name not in _warned:
        _warned.add(name)
        logger.warning("%s, the class of a stored value, is not loaded: such values come back in a plainer form", name)
    return None


# ---------------------------------------------------------------- what JSON cannot hold, as tags


def _clock_tag(value: datetime | time) -> dict[str, Any]:
    tag: dict[str, Any] = {"value": value.isoformat()}
    if value.fold:
        tag["fold"] = value.fold
    if isinstance(value.tzinfo, zoneinfo.ZoneInfo) and value.tzinfo.key:
        tag["zone"] = value.tzinfo.key
    return tag


def _clock(cls: Any, tag: Mapping[str, Any]) -> Any:
    value = cls.fromisoformat(tag["value"]).replace(fold=tag.get("fold", 0))
    if "zone" in tag:
        with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            return value.replace(tzinfo=zoneinfo.ZoneInfo(tag["zone"]))
    return value  # if this system does not know the zone, the offset still gives the right moment


_PATHS: Final = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")


def _path_tag(value: pathlib.PurePath) -> dict[str, Any]:
    kinds = (cls.__name__ for cls in type(value).__mro__ if cls.__name__ in _PATHS)
    return {"kind": next(kinds), "value": exact_text(str(value))}


def _path(tag: Mapping[str, Any]) -> pathlib.PurePath:
    kind = tag["kind"]
    if kind not in _PATHS:
        raise ValueError("not a kind of path")
    try:
        made: pathlib.PurePath = getattr(pathlib, kind)(tag["value"])
    except NotImplementedError:  # a path of Windows on another system, or the other way round
        made = getattr(pathlib, f"Pure{kind}")(tag["value"])
    return made


def _base64(value: bytes | bytearray) -> dict[str, Any]:
    return {"value": base64.b64encode(value).decode()}


_Scalar = tuple[type, str, Callable[[Any], dict[str, Any]], Reader]  # its class, its kind; makes its tag, reads it
# Subclasses come before their bases: a datetime is a date as well.
_SCALARS: Final[tuple[_Scalar, ...]] = (
    (bytes, "bytes", _base64, lambda tag: base64.b64decode(tag["value"], validate=True)),
    (bytearray, "bytearray", _base64, lambda tag: bytearray(base64.b64decode(tag["value"], validate=True))),
    (datetime, "datetime", _clock_tag, lambda tag: _clock(datetime, tag)),
    (date, "date", lambda v: {"value": v.isoformat()}, lambda tag: date.fromisoformat(tag["value"])),
    (time, "time", _clock_tag, lambda tag: _clock(time, tag)),
    (
        timedelta,
        "timedelta",
        lambda v: {"value": [v.days, v.seconds, v.microseconds]},
        lambda tag: timedelta(*tag["value"]),
    ),
    (Decimal, "decimal", lambda v: {"value": str(v)}, lambda tag: Decimal(tag["value"])),
    (UUID, "uuid", lambda v: {"value": str(v)}, lambda tag: UUID(tag["value"])),
    (pathlib.PurePath, "path", _path_tag, _path),
)
_SCALAR_OF: Final = {kind: (name, tag) for kind, name, tag, _ in _SCALARS}


def exact_text(value: str) -> Any:
    """Returns the text, or a tag for one that a column cannot hold (it has half of a surrogate pair)."""
    if is_plain_text(value):
        return value
    return {"$": "str", "value": value.encode("unicode_escape").decode("ascii")}


def _lost(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


_MISSING: Final = object()
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
Path = tuple[Any, Any]
"""Where a value stands: the path of the container around it and its key there, down to ``(None, field)``."""


def _path_text(path: Path) -> str:
    parts: list[str] = []
    while path[0] is not None:
        path, key = path
        parts.append(f"[{key!r:.60}]" if type(key) in (str, int) else f"[{type(key).__name__}]")
    text = "".join(reversed([*parts, str(path[1])]))
    return text if len(text) <= 120 else f"{text[:80]}…{text[-20:]}"


class Writer:
    """A maker of JSON from the values of one message; a value that JSON holds as it is comes back as the same object.

    A framework whose objects are to be kept as well names their classes in ``own_classes`` and makes their tags in
    `own_tag`.

    Attributes:
        shared: The texts that columns hold, each with the tag that stands for it.
        lost: Says of each value that could not be kept where it was and what.
    """

    own_classes: ClassVar[tuple[type, ...]] = ()

    __slots__ = ("_open", "lost", "shared")

    def __init__(self) -> None:
        self.shared: dict[str, dict[str, Any]] = {}
        self.lost: list[str] = []
        self._open: set[int] = set()  # the containers around the value, by id(), to find cycles

    def own_tag(self, value: Any, path: Path, depth: int) -> dict[str, Any]:
        """Returns the tag of an object whose class is one of ``own_classes``."""
        raise NotImplementedError

    def value(self, value: Any, path: Path, depth: int) -> Any:
        """Returns the value as JSON.

        Args:
            value: The value.
            path: Where it stands.
            depth: How many containers are around it.

        Raises:
            NotSerializableError: Containers are nested more than 200 levels deep.
        """
        kind = type(value)
        if kind is str:
            if len(value) >= SHARED_TEXT and value in self.shared:
                return self.shared[value]
            return value if value.isascii() else exact_text(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if value.bit_length() <= MAX_BITS else {"$": "int", "value": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"$": "float", "value": repr(value)}
        if kind in _SCALAR_OF:
            name, tag = _SCALAR_OF[kind]
            return {"$": name, **tag(value)}
        if kind is dict or kind is list:
            return self._container(value, path, depth)
        try:
            if isinstance(value, Enum):
                return self._enum(value, path, depth)
            if isinstance(value, (_CONTAINERS, self.own_classes)) or (
                dataclasses.is_dataclass(value) and not isinstance(value, type)
            ):
                return self._container(value, path, depth)
            return self._rare(value, path, depth)
        except (NotSerializableError, RecursionError):
            raise
        except Exception:  # noqa: BLE001  # a class of the caller's: whatever it raises, the turn must be kept
            self._open.discard(id(value))
            return self._lose(path, _lost(kind))

    def _container(self, value: Any, path: Path, depth: int) -> Any:
        if id(value) in self._open:
            return self._lose(path, "a cycle")
        if depth >= MAX_DEPTH:
            raise NotSerializableError(f"{_path_text(path)} is nested more than {MAX_DEPTH} levels deep")
        self._open.add(id(value))
        made: Any
        if isinstance(value, dict):
            made = self.mapping(value if type(value) is dict else dict(dict.items(value)), path, depth + 1)
        elif isinstance(value, list):
            made = self._list(value if type(value) is list else [*list.__iter__(value)], path, depth + 1)
        elif isinstance(value, tuple):
            made = {"$": "tuple", "value": self._list([*tuple.__iter__(value)], path, depth + 1)}
        elif isinstance(value, (set, frozenset)):
            items = [self.value(item, (path, type(value)), depth + 1) for item in value]
            kind = "frozenset" if isinstance(value, frozenset) else "set"
            made = {"$": kind, "value": sorted(items, key=encode)}  # a set's own order differs from run to run
        elif isinstance(value, self.own_classes):
            made = self.own_tag(value, path, depth + 1)
        else:
            names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
            fields = {name: self.value(getattr(value, name), (path, name), depth + 1) for name in names}
            made = {"$": "dataclass", "class": f"{type(value).__module__}:{type(value).__qualname__}", "value": fields}
        self._open.discard(id(value))
        return made

    def mapping(self, value: dict[Any, Any], path: Path, depth: int) -> Any:
        """Returns a dict as JSON: an object, or a tag if it has keys that an object cannot have."""
        changed: dict[Any, Any] = {}
        for key, item in value.items():
            if type(key) is not str or key == "$" or not (key.isascii() or is_plain_text(key)):
                break
            if item is None or (type(item) is str and len(item) < SHARED_TEXT and item.isascii()):
                continue  # a short cut for most values
            made = self.value(item, (path, key), depth)
            if made is not item:
                changed[key] = made
        else:
            return {**value, **changed} if changed else value
        flat: list[Any] = []
        for key, item in value.items():
            flat += (self.value(key, (path, type(key)), depth), self.value(item, (path, key), depth))
        return {"$": "dict", "value": flat}

    def _list(self, value: list[Any], path: Path, depth: int) -> list[Any]:
        made = [self.value(item, (path, index), depth) for index, item in enumerate(value)]
        return value if all(map(operator.is_, made, value)) else made

    def _enum(self, value: Enum, path: Path, depth: int) -> Any:
        name = f"{type(value).__module__}:{type(value).__qualname__}"
        return {"$": "enum", "class": name, "name": value.name, "value": self.value(value.value, path, depth)}

    def _rare(self, value: Any, path: Path, depth: int) -> Any:
        """Returns a subclass of a plain type, or another kind of number, as its plain equal; loses what remains."""
        if isinstance(value, str):
            return self.value(str.__str__(value), path, depth)
        plain: Any = None
        if isinstance(value, numbers.Integral):
            plain = int(value)
        elif isinstance(value, numbers.Real):
            plain = float(value)
        if plain is not None and bool(plain == value or (plain != plain and value != value)):
            return self.value(plain, path, depth)
        for kind, name, tag, _ in _SCALARS:
            if isinstance(value, kind):
                made = {"$": name, **tag(value)}
                if bool(read(encode(made)) == value):  # a subclass like pandas.Timestamp may hold more
                    return made
                break
        return self._lose(path, _lost(type(value)))

    def _lose(self, path: Path, what: str) -> str:
        self.lost.append(f"{_path_text(path)} ({what})")
        return f"<lost: {what}>"


# ---------------------------------------------------------------- reading


def _untag_set(tag: Tag, kind: Callable[[Any], Any]) -> Any:
    try:
        return kind(tag["value"])
    except TypeError:  # a value degraded to a plainer form that cannot be hashed
        return tag["value"]


def _untag_dict(tag: Tag) -> Any:
    flat = tag["value"]
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    try:
        return dict(pairs)
    except TypeError:
        return pairs


def _untag_enum(tag: Tag) -> Any:
    cls = loaded_class(tag["class"], lambda cls: issubclass(cls, Enum))
    if cls is not None and tag["name"] in cls.__members__:
        return cls[tag["name"]]
    if cls is not None and issubclass(cls, Flag):
        with contextlib.suppress(ValueError, TypeError):  # a combination that has no name in this release
            return cls(tag["value"])
    return tag["value"]


def _untag_dataclass(tag: Tag) -> Any:
    cls, values = loaded_class(tag["class"], dataclasses.is_dataclass), tag["value"]
    if cls is None:
        return values
    made = object.__new__(cls)  # without its __init__, which may do anything
    for field in dataclasses.fields(cls):
        if field.name in values:
            object.__setattr__(made, field.name, values[field.name])
    return made


def read_text(tag: Tag) -> str:
    """Returns the text of a tag that `exact_text` made."""
    text: str = tag["value"].encode("ascii").decode("unicode_escape")
    return text


READERS: Final[Mapping[Any, Reader]] = {
    **{name: untag for _, name, _, untag in _SCALARS},
    "str": read_text,
    "int": lambda tag: int(tag["value"], 16),
    "float": lambda tag: float(tag["value"]),
    "tuple": lambda tag: tuple(tag["value"]),
    "set": lambda tag: _untag_set(tag, set),
    "frozenset": lambda tag: _untag_set(tag, frozenset),
    "dict": _untag_dict,
    "enum": _untag_enum,
    "dataclass": _untag_dataclass,
}
"""What makes a value of a tag of each kind."""


def read(stored: str, content: str = "", reasoning: str = "", readers: Mapping[Any, Reader] = READERS) -> Any:
    """Returns what the JSON text holds.

    Args:
        stored: The text.
        content: The column of this name, which tags may refer to.
        reasoning: Likewise.
        readers: Make values of tags, by their kinds.

    Example:
        >>> read('{"when": {"$": "date", "value": "2026-01-02"}, "what": {"$": "content", "to": 3}}', "tea?")
        {'when': datetime.date(2026, 1, 2), 'what': 'tea'}
    """

    def untag(decoded: dict[str, Any]) -> Any:  # the decoder calls it for each object, innermost first
        kind = decoded.get("$", _MISSING)
        if kind is _MISSING:
            return decoded
        if kind == "content":
            return content[decoded.get("from") : decoded.get("to")]
        if kind == "reasoning":
            return reasoning[decoded.get("from") : decoded.get("to")]
        return readers[kind](decoded)

    return json.loads(stored, object_hook=untag)


def piece_of_column(tag: Tag, columns: Mapping[str, str]) -> str:
    """Returns the text that a tag stands for, which is in a column."""
    return columns[tag["$"]][tag.get("from") : tag.get("to")]
