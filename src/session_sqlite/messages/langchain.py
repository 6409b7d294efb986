"""A LangChain message as an event, and back: pure functions, exact in both directions.

A message becomes one event. Its author, text, reasoning, tool calls, usage and id are *columns*, in the same plain
form whatever the provider; everything else is the event's ``message``, a JSON object ``{"type": "ai", field: value}``
that leaves out what a column holds verbatim and what is at its default. A column that is not verbatim was derived from
the message and is never read back.

Two marks make the JSON exact. ``"$meta"`` says what a plain object cannot: the class of a subclass, attributes that are
no fields, how ``model_fields_set`` differs from the fields that are stored, and which actions are the ``tool_calls`` of
a reply that has other calls too. An object with the key ``"$"`` is a
*tag*: a value that JSON cannot hold (``{"$": "bytes", "value": "AAE="}``) or a text that a column holds already
(``{"$": "content"}``). A dict that has such a key itself is stored as a tag too, so a tag is never the user's.

Reading fills the fields in without validators, as they were, also if LangChain would refuse them. It imports nothing:
a class that is not loaded degrades to what it was made of. An event that was never a message reads as the messages that
say the same (a tool call with its result is two).
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
import re
import sys
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Any, Final
from uuid import UUID

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from session_sqlite.codec import encode_json, is_identifier, storable
from session_sqlite.errors import InvalidInputError, NotSerializableError
from session_sqlite.messages.calls import calls_of, may_call, placed
from session_sqlite.messages.tokens import usage_of_message
from session_sqlite.models import Event, ToolCall, Usage

logger = logging.getLogger("session_sqlite")

MAX_DEPTH: Final = 200
SHARED_TEXT: Final = 16  # characters: a shorter text is no longer than the tag that would replace it
MAX_BITS: Final = 2000  # of an integer in decimal; Python's limit on reading may be set as low as 640 digits
ROLES: Final = frozenset({"user", "assistant", "system", "tool"})

_AUTHORS: Final = {
    "human": "user", "ai": "assistant", "system": "system", "tool": "tool", "chat": "assistant", "function": "tool",
    "remove": "system",
}  # fmt: skip
_CORE: Final[dict[str, type[BaseMessage]]] = {
    "human": HumanMessage,
    "ai": AIMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
    "chat": ChatMessage,
    "function": FunctionMessage,
    "remove": RemoveMessage,
    "HumanMessageChunk": HumanMessageChunk,
    "AIMessageChunk": AIMessageChunk,
    "SystemMessageChunk": SystemMessageChunk,
    "ToolMessageChunk": ToolMessageChunk,
    "ChatMessageChunk": ChatMessageChunk,
    "FunctionMessageChunk": FunctionMessageChunk,
    "BaseMessageChunk": BaseMessageChunk,
    "BaseMessage": BaseMessage,
}
_TYPES: Final = {cls: name for name, cls in _CORE.items()}

# Messages and what is in them were checked for cycles by then.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode
_raw_decode = json.JSONDecoder().raw_decode


def _decode(stored: str) -> Any:
    """As `json.loads`, in two thirds of the time: what `_encode` made has no white space around it."""
    value, end = _raw_decode(stored)
    if end != len(stored):
        raise ValueError("more than one JSON value")
    return value


_set = object.__setattr__  # past pydantic's own, which validates
_SURROGATES = re.compile("[\ud800-\udfff]")
_UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

# ---------------------------------------------------------------- the fields of a class, looked at once

_NO_DEFAULT: Final = object()
_EMPTY: Final[dict[type, object]] = {dict: object(), list: object()}


def _default(field: FieldInfo) -> object:
    """What a value is compared with to be left out: only plain defaults and empty containers are."""
    factory = field.default_factory
    kind = factory if factory is not None else type(field.default)
    if kind in (dict, list) and (factory is not None or not field.default):
        return _EMPTY[kind]
    if factory is None and (field.default is None or kind in (str, int, bool)):
        return field.default
    return _NO_DEFAULT


class _Plan:
    """How the instances of one model class are taken apart and put together."""

    __slots__ = (
        "allows_extra", "always", "bare", "blank", "cls", "defaults", "fresh", "kind", "name", "names", "private",
        "type",
    )  # fmt: skip

    def __init__(self, cls: type[BaseModel]) -> None:
        core = next((base for base in cls.__mro__ if base in _TYPES), None)
        self.cls = cls
        self.type = "" if core is None else _TYPES[core]  # its class in langchain_core, or the nearest above it
        self.name = "" if core is cls else f"{cls.__module__}:{cls.__qualname__}"
        self.kind = next((kind for kind in _AUTHORS if issubclass(cls, _CORE[kind])), "")
        self.defaults = {name: _default(field) for name, field in cls.model_fields.items()}
        self.names = list(self.defaults)
        self.blank = dict(self.defaults)
        self.fresh = [(name, kind) for kind, mark in _EMPTY.items() for name in self.names if self.blank[name] is mark]
        self.always = [name for name in self.names if self.blank[name] is _NO_DEFAULT]
        self.allows_extra = cls.model_config.get("extra") == "allow"
        self.private = bool(cls.__private_attributes__)
        self.bare = _encode({"type": self.type}) if core is cls else ""


_plans: dict[type, _Plan] = {}
_bare: dict[str, _Plan] = {}  # by the stored form of a message whose columns say it all


def _plan(cls: type[BaseModel]) -> _Plan:
    plan = _plans.get(cls)
    if plan is None:
        plan = _plans[cls] = _Plan(cls)
        if plan.bare:
            _bare[plan.bare] = plan
    return plan


_warned: set[str] = set()


def _loaded(name: str, accepts: Callable[[type], bool]) -> Any:
    """The class of that name if it is loaded and of the right kind. Never imports: a stored name is only data."""
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)  # getattr(found, part) may import: modules can define it
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
    return value  # this system does not know the zone: the offset still gives the right moment


_PATHS: Final = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")


def _path_tag(value: pathlib.PurePath) -> dict[str, Any]:
    kinds = (cls.__name__ for cls in type(value).__mro__ if cls.__name__ in _PATHS)
    return {"kind": next(kinds), "value": _text(str(value))}


def _path(tag: Mapping[str, Any]) -> pathlib.PurePath:
    kind = tag["kind"]
    if kind not in _PATHS:
        raise ValueError("not a kind of path")
    try:
        made: pathlib.PurePath = getattr(pathlib, kind)(tag["value"])
    except NotImplementedError:  # the other system's
        made = getattr(pathlib, f"Pure{kind}")(tag["value"])
    return made


def _base64(value: bytes | bytearray) -> dict[str, Any]:
    return {"value": base64.b64encode(value).decode()}


_Tag = Mapping[str, Any]
_Scalar = tuple[type, str, Callable[[Any], dict[str, Any]], Callable[[_Tag], Any]]
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


def _text(value: str) -> Any:
    if storable(value):
        return value
    return {"$": "str", "value": value.encode("unicode_escape").decode("ascii")}


def _lost(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


_MISSING: Final = object()
_CONTAINERS: Final = (dict, list, tuple, set, frozenset, BaseModel)
_Path = tuple[Any, Any]  # (path of the container, key), down to (None, field)


def _path_text(path: _Path) -> str:
    parts: list[str] = []
    while path[0] is not None:
        path, key = path
        parts.append(f"[{key!r:.60}]" if type(key) in (str, int) else f"[{type(key).__name__}]")
    text = "".join(reversed([*parts, str(path[1])]))
    return text if len(text) <= 120 else f"{text[:80]}…{text[-20:]}"


class _Writer:
    """Makes one message's values JSON; a value that JSON holds as it is comes back as the same object.

    Attributes:
        shared: The texts that columns hold, each with the tag that stands for it.
        lost: What could not be kept: where it was and what.
    """

    __slots__ = ("_open", "lost", "shared")

    def __init__(self) -> None:
        self.shared: dict[str, dict[str, Any]] = {}
        self.lost: list[str] = []
        self._open: set[int] = set()  # ids of the containers around the value: a cycle comes back to one of them

    def value(self, value: Any, path: _Path, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            if len(value) >= SHARED_TEXT and value in self.shared:
                return self.shared[value]
            return value if value.isascii() else _text(value)
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
            if isinstance(value, _CONTAINERS) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
                return self._container(value, path, depth)
            return self._rare(value, path, depth)
        except (NotSerializableError, RecursionError):
            raise
        except Exception:  # noqa: BLE001  # a class of the caller's: whatever it raises, the turn must be kept
            self._open.discard(id(value))
            return self._lose(path, _lost(kind))

    def _container(self, value: Any, path: _Path, depth: int) -> Any:
        if id(value) in self._open:
            return self._lose(path, "a cycle")
        if depth >= MAX_DEPTH:
            raise NotSerializableError(f"{_path_text(path)} is nested more than {MAX_DEPTH} levels deep")
        self._open.add(id(value))
        made: Any
        if isinstance(value, dict):
            made = self._dict(value if type(value) is dict else dict(dict.items(value)), path, depth + 1)
        elif isinstance(value, list):
            made = self._list(value if type(value) is list else [*list.__iter__(value)], path, depth + 1)
        elif isinstance(value, tuple):
            made = {"$": "tuple", "value": self._list([*tuple.__iter__(value)], path, depth + 1)}
        elif isinstance(value, (set, frozenset)):
            items = [self.value(item, (path, type(value)), depth + 1) for item in value]
            kind = "frozenset" if isinstance(value, frozenset) else "set"
            made = {"$": kind, "value": sorted(items, key=_encode)}  # a set's own order differs from run to run
        elif isinstance(value, BaseModel):
            plan = _plan(type(value))
            body, meta = self.model(value, plan, set(), path, depth + 1)
            named = {"class": plan.name, "type": plan.type}
            made = {"$": "model", **{key: name for key, name in named.items() if name}, "value": body, **meta}
        else:
            names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
            fields = {name: self.value(getattr(value, name), (path, name), depth + 1) for name in names}
            made = {"$": "dataclass", "class": f"{type(value).__module__}:{type(value).__qualname__}", "value": fields}
        self._open.discard(id(value))
        return made

    def _dict(self, value: dict[Any, Any], path: _Path, depth: int) -> Any:
        changed: dict[Any, Any] = {}
        for key, item in value.items():
            if type(key) is not str or key == "$" or not (key.isascii() or storable(key)):
                break
            if item is None or (type(item) is str and len(item) < SHARED_TEXT and item.isascii()):
                continue  # most of what there is
            made = self.value(item, (path, key), depth)
            if made is not item:
                changed[key] = made
        else:
            return {**value, **changed} if changed else value
        flat: list[Any] = []
        for key, item in value.items():
            flat += (self.value(key, (path, type(key)), depth), self.value(item, (path, key), depth))
        return {"$": "dict", "value": flat}

    def _list(self, value: list[Any], path: _Path, depth: int) -> list[Any]:
        made = [self.value(item, (path, index), depth) for index, item in enumerate(value)]
        return value if all(map(operator.is_, made, value)) else made

    def _enum(self, value: Enum, path: _Path, depth: int) -> Any:
        name = f"{type(value).__module__}:{type(value).__qualname__}"
        return {"$": "enum", "class": name, "name": value.name, "value": self.value(value.value, path, depth)}

    def _rare(self, value: Any, path: _Path, depth: int) -> Any:
        """Subclasses of plain types and other kinds of numbers, as their plain equal; what remains is lost."""
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
                if bool(_untagged(_encode(made)) == value):  # a subclass may hold more, like pandas.Timestamp
                    return made
                break
        return self._lose(path, _lost(type(value)))

    def _lose(self, path: _Path, what: str) -> str:
        self.lost.append(f"{_path_text(path)} ({what})")
        return f"<lost: {what}>"

    def model(
        self, model: BaseModel, plan: _Plan, held: set[str], path: _Path | None, depth: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fields to store but for those that columns hold, and what a plain object of them cannot say."""
        defaults, values = plan.defaults, model.__dict__
        body = {}
        for name, value in values.items():
            if name in held:
                continue
            default = defaults.get(name, _MISSING)
            if value is default or default is _MISSING:  # the latter: a cached property
                continue
            kind = type(value)
            if kind in _EMPTY:
                if not value and default is _EMPTY[kind]:
                    continue
            elif kind is str and type(default) is str and value == default:
                continue
            body[name] = self.value(value, (path, name), depth)
        meta: dict[str, Any] = {}
        if list(values) != plan.names and (order := [name for name in values if name in defaults]) != plan.names:
            meta["order"] = order
        extra = model.__pydantic_extra__
        if extra:
            meta["extra"] = self._dict(extra, (path, "extra"), depth)
        private = model.__pydantic_private__
        if private:
            meta["private"] = self._dict(private, (path, "private"), depth)
        expected = {*held, *body, *(extra or ())}  # what reading takes for set
        if expected != model.__pydantic_fields_set__:
            meta["set"] = [_text(name) for name in sorted(expected ^ model.__pydantic_fields_set__)]
        return body, meta


# ---------------------------------------------------------------- and back


def _untag_set(tag: _Tag, kind: Callable[[Any], Any]) -> Any:
    try:
        return kind(tag["value"])
    except TypeError:  # a value in it came back in a plainer form, which has no hash
        return tag["value"]


def _untag_dict(tag: _Tag) -> Any:
    flat = tag["value"]
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    try:
        return dict(pairs)
    except TypeError:
        return pairs


def _untag_enum(tag: _Tag) -> Any:
    cls = _loaded(tag["class"], lambda cls: issubclass(cls, Enum))
    if cls is not None and tag["name"] in cls.__members__:
        return cls[tag["name"]]
    if cls is not None and issubclass(cls, Flag):
        with contextlib.suppress(ValueError, TypeError):  # flags of another release
            return cls(tag["value"])
    return tag["value"]


def _untag_dataclass(tag: _Tag) -> Any:
    cls, values = _loaded(tag["class"], dataclasses.is_dataclass), tag["value"]
    if cls is None:
        return values
    made = object.__new__(cls)
    for field in dataclasses.fields(cls):
        if field.name in values:
            _set(made, field.name, values[field.name])
    return made


def _untag_model(tag: _Tag) -> Any:
    core = _CORE.get(tag.get("type", ""))
    base = BaseModel if core is None else BaseMessage
    cls = _loaded(tag["class"], lambda cls: issubclass(cls, base)) if "class" in tag else core
    cls = core if cls is None else cls
    if cls is None:
        return {**tag["value"], **tag.get("extra", {})}
    plan = _plan(cls)
    return _assemble(plan, _blank(plan), tag["value"], set(), tag)


_UNTAG: Final[dict[Any, Callable[[_Tag], Any]]] = {
    **{name: untag for _, name, _, untag in _SCALARS},
    "str": lambda tag: tag["value"].encode("ascii").decode("unicode_escape"),
    "int": lambda tag: int(tag["value"], 16),
    "float": lambda tag: float(tag["value"]),
    "tuple": lambda tag: tuple(tag["value"]),
    "set": lambda tag: _untag_set(tag, set),
    "frozenset": lambda tag: _untag_set(tag, frozenset),
    "dict": _untag_dict,
    "enum": _untag_enum,
    "dataclass": _untag_dataclass,
    "model": _untag_model,
}


def _untagged(stored: str, content: str = "", reasoning: str = "") -> Any:
    """What the JSON text holds, given the columns that it may refer to."""

    def untag(decoded: dict[str, Any]) -> Any:  # the decoder calls it for each object, innermost first
        kind = decoded.get("$", _MISSING)
        if kind is _MISSING:
            return decoded
        if kind == "content":
            return content[decoded.get("from") : decoded.get("to")]
        if kind == "reasoning":
            return reasoning[decoded.get("from") : decoded.get("to")]
        return _UNTAG[kind](decoded)

    return json.loads(stored, object_hook=untag)


def _blank(plan: _Plan) -> dict[str, Any]:
    fields = plan.blank.copy()
    for name, kind in plan.fresh:
        fields[name] = kind()
    return fields


def _assemble(plan: _Plan, fields: dict[str, Any], body: _Tag, given: set[str], meta: _Tag) -> Any:
    """An instance without validation: ``fields`` in their order, overlaid with ``body``; ``given`` are set so far."""
    extra: dict[str, Any] = {}
    for name, value in body.items():
        if name in fields:
            fields[name] = value
        else:
            extra[name] = value  # a field of another release, or of a class that is not loaded
        given.add(name)
    private = None
    if meta:
        for name, value in meta.get("extra", {}).items():
            if name in fields:
                fields[name] = value
            else:
                extra[name] = value
            given.add(name)
        if "order" in meta:
            fields = {name: fields[name] for name in meta["order"] if name in fields}
            given &= {*fields, *extra}
        given ^= set(meta.get("set", ()))
        private = meta.get("private")
    for name in plan.always:
        if fields.get(name) is _NO_DEFAULT:
            field = plan.cls.model_fields[name]
            if field.is_required():
                del fields[name]
            else:
                fields[name] = field.get_default(call_default_factory=True, validated_data=fields)
    made = object.__new__(plan.cls)
    _set(made, "__dict__", fields)
    _set(made, "__pydantic_fields_set__", given)
    _set(made, "__pydantic_extra__", extra if plan.allows_extra else None)
    _set(made, "__pydantic_private__", (private or {}) if plan.private else None)
    return made


# ---------------------------------------------------------------- columns that are derived from a message


def _joined(parts: list[str], separator: str, column: str, shared: dict[str, dict[str, Any]]) -> str:
    """The text of a column; notes where each part is in it, so that the message need not hold it again."""
    position = 0
    shown = []
    for part in parts:
        exact = str.__str__(part)
        text = exact if storable(exact) else _SURROGATES.sub("\ufffd", exact)
        shown.append(text)
        if text is exact and len(text) >= SHARED_TEXT and text not in shared:
            shared[text] = {"$": column, "from": position, "to": position + len(text)}
        position += len(text) + len(separator)
    if len(parts) == 1 and shown[0] in shared:
        shared[shown[0]] = {"$": column}
    return separator.join(shown)


def _content_parts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    texts = [block.get("text") if _has_type(block, _TEXT_BLOCKS) else block for block in content]
    return [text for text in texts if isinstance(text, str)]


def _has_type(block: object, types: frozenset[str]) -> bool:
    return isinstance(block, dict) and isinstance(kind := block.get("type"), str) and kind in types


_REASONING_KEYS: Final = ("thinking", "reasoning", "reasoning_content", "text", "summary", "content")
_TEXT_BLOCKS: Final = frozenset({"text"})
_REASONING_BLOCKS: Final = frozenset({"thinking", "reasoning", "reasoning_content"})
_REASONING_KWARGS: Final = ("reasoning_content", "reasoning", "reasoning_details", "thinking")


def _reasoning_texts(value: object, depth: int = 0) -> Iterator[str]:
    """The texts in one provider's form: text, a list, or an object that has them under one of the known keys."""
    if isinstance(value, str):
        if value:
            yield value
    elif depth < 8 and isinstance(value, list):
        for item in value:
            yield from _reasoning_texts(item, depth + 1)
    elif depth < 8 and isinstance(value, dict):
        for key in _REASONING_KEYS:
            found = value.get(key)
            if isinstance(found, (str, list, dict)) and found:
                yield from _reasoning_texts(found, depth + 1)
                return


def _reasoning_parts(kwargs: object, content: object) -> list[str]:
    sources: list[object] = []
    if isinstance(kwargs, dict) and kwargs:
        sources += [kwargs[key] for key in _REASONING_KWARGS if key in kwargs]
    if isinstance(content, list):
        sources += [block for block in content if _has_type(block, _REASONING_BLOCKS)]
    return list(dict.fromkeys(text for source in sources for text in _reasoning_texts(source)))


_CALL_KEYS: Final = ["name", "args", "id", "type"]


def _exact_calls(calls: list[Any]) -> tuple[ToolCall, ...] | None:
    """The calls as actions, if the actions column holds every one of them verbatim."""
    actions = []
    for call in calls:
        if not (
            type(call) is dict
            and list(call) == _CALL_KEYS
            and type(call["type"]) is str
            and call["type"] == "tool_call"
            and type(call["args"]) is dict
            and storable(call["name"])
            and storable(call["id"])
            and call["id"]
            and _is_exact(call["args"])
        ):
            return None
        actions.append(ToolCall(call["name"], call["args"], id=call["id"]))
    return tuple(actions)


def _is_exact(args: dict[str, Any]) -> bool:
    try:
        return not args or encode_json(args, "args") is not None
    except NotSerializableError:
        return False


def _calls(values: Mapping[str, Any], exact: tuple[ToolCall, ...]) -> tuple[tuple[ToolCall, ...], list[int] | None]:
    """The actions of a reply with more calls than its exact ``tool_calls``, and where these are among them."""
    writer = _Writer()
    found = calls_of(*(writer.value(values.get(name), (None, name), 0) for name in _PARTS_WITH_CALLS))
    actions, places = placed(found, exact)
    return tuple(actions), places


_PARTS_WITH_CALLS: Final = ("tool_calls", "invalid_tool_calls", "content", "additional_kwargs")


# ---------------------------------------------------------------- the two directions


def message_to_event(message: BaseMessage) -> Event:
    """Returns the event that says what the message says and from which `event_to_messages` makes it again.

    The message is not changed. What cannot be kept at all (a data frame in an artifact, a live connection) is replaced
    by a short text, with one warning in the log. Raises `InvalidInputError` for what is not a message and
    `NotSerializableError` for more than 200 nested levels.

    Example:
        >>> event = message_to_event(AIMessage("好的", name="planner"))
        >>> event.author, event.content
        ('planner', '好的')
    """
    if not isinstance(message, BaseMessage):
        raise InvalidInputError(f"a message must be a LangChain message, not {type(message).__name__}")
    try:
        return _event(message)
    except RecursionError:
        raise NotSerializableError(f"the {type(message).__name__} is nested too deeply to be stored") from None


def _event(message: BaseMessage) -> Event:
    plan = _plan(type(message))
    kind, values = plan.kind, message.__dict__
    writer = _Writer()
    held = set()
    author = _AUTHORS.get(kind, "assistant")
    actions: tuple[ToolCall, ...] = ()
    places: list[int] | None = None  # of the tool_calls among the actions, if there are others
    reasoning = ""
    usage = None

    content = values.get("content")
    if storable(content):
        held.add("content")
        if len(content) >= SHARED_TEXT:
            writer.shared[content] = {"$": "content"}
    else:
        content = _joined(_content_parts(content), "", "content", writer.shared)
    name, message_id = values.get("name"), values.get("id")
    if storable(message_id):
        held.add("id")
    else:
        message_id = None
    if kind == "ai":
        if type(name) is str and name not in ROLES and is_identifier(name):
            author = name
            held.add("name")
        calls = values.get("tool_calls")
        exact = _exact_calls(calls) if type(calls) is list and calls else ()
        if exact:
            actions = exact
            held.add("tool_calls")
        if exact is None or may_call(*map(values.get, _PARTS_WITH_CALLS[1:])):
            actions, places = _calls(values, exact or ())
        usage = usage_of_message(values.get("usage_metadata"), values.get("response_metadata"))
    elif kind == "tool" or kind == "function":
        call_id = values.get("tool_call_id") if kind == "tool" else None
        if storable(call_id):
            held.add("tool_call_id")
        if storable(name) and name:
            held.add("name")
        status = values.get("status")
        error = content if isinstance(status, str) and status == "error" else None
        actions = (ToolCall(name if storable(name) else "", id=call_id if storable(call_id) else "", error=error),)
    elif kind == "chat":
        role = values.get("role")
        if type(role) is str and is_identifier(role):
            author = role
            held.add("role")
    if kind == "ai" or kind == "chat":
        parts = _reasoning_parts(values.get("additional_kwargs"), values.get("content"))
        if parts:
            reasoning = _joined(parts, "\n\n", "reasoning", writer.shared)

    body, meta = writer.model(message, plan, held, None, 0)
    says_where = places is not None and "tool_calls" not in body
    if not body and not meta and not says_where and plan.bare:
        text = plan.bare
    else:
        stored = {"type": plan.type}
        if plan.name:
            meta["class"] = plan.name
        if "type" in body:
            meta["type"] = body.pop("type")
        if says_where:
            meta["calls"] = places
        stored.update(body)
        if meta:
            stored["$meta"] = meta  # type: ignore[assignment]
        text = _encode(stored)
    if writer.lost:
        logger.warning(
            "%d value(s) of a %s cannot be stored and will read as a short text: %s",
            len(writer.lost),
            type(message).__name__,
            ", ".join(writer.lost[:3]),
        )
    # As in `codec.decode_event`: a frozen dataclass's own __init__ takes as long as all of the above.
    event = object.__new__(Event)
    event.__dict__.update(
        _EVENT,
        author=author,
        content=content,
        reasoning=reasoning,
        actions=actions,
        state={},
        metadata={},
        usage=usage,
        message=text,
        message_id=message_id,
    )
    return event


_EVENT: Final = dict(Event("").__dict__)


def event_to_messages(event: Event) -> list[BaseMessage]:
    """Returns the message that the event came from, or for a native event the messages that say the same.

    That is one message, and after an assistant's tool calls one `ToolMessage` for each that has a result. An event
    that is unreadable, or that only changes state, has none.

    Example:
        >>> event = Event("assistant", actions=[ToolCall("add", {"a": 1, "b": 2}, output=3)], id="e1")
        >>> [(message.type, message.id, message.content) for message in event_to_messages(event)]
        [('ai', 'e1', ''), ('tool', 'e1:0', '3')]
    """
    read = read_event(event)
    if isinstance(read, Event):
        return []
    return read if isinstance(read, list) else [read]


def read_event(event: Event) -> BaseMessage | list[BaseMessage] | Event:
    """Returns what `gathered` takes: the event's one message, its messages, or itself if it cannot be read.

    One message comes without a list around it: 10,000 lists more and the garbage collector looks at everything again.
    """
    try:
        if event.unreadable:
            return event
        return _native(event) if event.message is None else _message(event, event.message)
    except _UNREADABLE:
        return event


def gathered(read: Iterable[BaseMessage | list[BaseMessage] | Event]) -> list[BaseMessage]:
    """Returns what `read_event` made of events, in order; of those not readable, one warning goes to the log."""
    messages: list[BaseMessage] = []
    unreadable: list[Event] = []
    for one in read:
        if isinstance(one, Event):
            unreadable.append(one)
        elif isinstance(one, list):
            messages += one
        else:
            messages.append(one)
    if unreadable:
        logger.warning(
            "%d event(s) of session %r cannot be read and are left out of its messages; the first is event %r (seq %s)",
            len(unreadable),
            unreadable[0].session_id,
            unreadable[0].id,
            unreadable[0].seq,
        )
    return messages


def messages_of(events: Iterable[Event]) -> list[BaseMessage]:
    """Returns the messages of events in order; those that cannot be read are left out, with one warning in the log."""
    return gathered(map(read_event, events))


_NOTHING: Final[Mapping[str, Any]] = {}


def _message(event: Event, stored: str) -> BaseMessage:
    body: Mapping[str, Any] = _NOTHING
    meta: Mapping[str, Any] = _NOTHING
    plan = _bare.get(stored)
    if plan is None:
        body = _untagged(stored, event.content, event.reasoning) if '"$"' in stored else _decode(stored)
        core = _CORE[body.pop("type")]  # type: ignore[attr-defined]  # not an object: an error that callers expect
        meta = body.pop("$meta", _NOTHING)  # type: ignore[attr-defined]
        if meta:
            if "type" in meta:
                body["type"] = meta["type"]  # type: ignore[index]
            if "class" in meta:
                core = _loaded(meta["class"], lambda cls: issubclass(cls, BaseMessage)) or core
        plan = _plan(core)
    fields = _blank(plan)
    fields["content"] = event.content
    given = {"content"}
    if event.message_id is not None:
        fields["id"] = event.message_id
        given.add("id")
    kind = plan.kind
    if kind == "ai":
        if event.author not in ROLES:
            fields["name"] = event.author
            given.add("name")
        places = meta.get("calls", range(len(event.actions)))
        if places and "tool_calls" not in body:
            fields["tool_calls"] = _tool_calls(event, places)
            given.add("tool_calls")
    elif kind == "tool" or kind == "function":
        action = event.actions[0]
        if action.name:
            fields["name"] = action.name
            given.add("name")
        if kind == "tool":
            fields["tool_call_id"] = action.id
            given.add("tool_call_id")
    elif kind == "chat":
        fields["role"] = event.author
        given.add("role")
    made: BaseMessage = _assemble(plan, fields, body, given, meta)
    return made


def _tool_calls(event: Event, places: Iterable[int]) -> list[dict[str, Any]]:
    made = []
    for position in places:
        call = event.actions[position]
        id = call.id or f"{event.id}:{position}"
        made.append({"name": call.name, "args": call.args, "id": id, "type": "tool_call"})
    return made


# ---------------------------------------------------------------- events that were never messages


_NO_REPLY: Final = frozenset({"interrupted", "error"})


def _native(event: Event) -> list[BaseMessage]:
    if event.state and not (event.content or event.reasoning or event.actions):
        return []
    id = event.id or None
    if event.author == "user":
        return [_new(HumanMessage, content=event.content, id=id)]
    if event.author == "system":
        return [_new(SystemMessage, content=event.content, id=id)]
    if event.author == "tool":
        first = event.actions[0] if event.actions else ToolCall("")
        answer = _result(event, 0, first, id)
        if event.content:
            answer.content = event.content
        return [answer, *_results(event, 1)]
    if not (event.content or event.reasoning or event.actions or _NO_REPLY.isdisjoint(event.metadata)):
        return []  # a note that there was no reply: providers refuse one that is empty
    fields: dict[str, Any] = {"content": event.content, "id": id}
    if event.author != "assistant":
        fields["name"] = event.author
    if event.reasoning:
        fields["additional_kwargs"] = {"reasoning_content": event.reasoning}
    if event.actions:
        fields["tool_calls"] = _tool_calls(event, range(len(event.actions)))
    if event.usage is not None:
        fields["usage_metadata"] = _usage_metadata(event.usage)
        if event.usage.model:
            fields["response_metadata"] = {"model_name": event.usage.model}
    return [_new(AIMessage, **fields), *_results(event, 0)]


def _results(event: Event, start: int) -> Iterator[BaseMessage]:
    for position, call in enumerate(event.actions):
        if position >= start and call.status != "pending":
            yield _result(event, position, call, f"{event.id}:{position}")


def _result(event: Event, position: int, call: ToolCall, id: str | None) -> BaseMessage:
    fields: dict[str, Any] = {"tool_call_id": call.id or f"{event.id}:{position}", "id": id}
    if call.name:
        fields["name"] = call.name
    if call.error is not None:
        return _new(ToolMessage, content=call.error, status="error", **fields)
    output = "" if call.output is None else call.output
    shown = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    return _new(ToolMessage, content=shown, **fields)


def _usage_metadata(usage: Usage) -> dict[str, Any]:
    made: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    cache = {"cache_creation": usage.cache_write_tokens, "cache_read": usage.cache_read_tokens}
    if any(cache.values()):
        made["input_token_details"] = {name: count for name, count in cache.items() if count}
    if usage.reasoning_tokens:
        made["output_token_details"] = {"reasoning": usage.reasoning_tokens}
    return made


def _new(cls: type[BaseMessage], **fields: Any) -> BaseMessage:
    plan = _plan(cls)
    made: BaseMessage = _assemble(plan, _blank(plan), fields, set(), _NOTHING)
    return made


# ---------------------------------------------------------------- redaction


def redacted(event: Event, change: Callable[[str], str]) -> str | None:
    """The stored message of an event with each text in it changed; None if it cannot be read.

    Types, ids and names of tools stay where they say what the message is, and so do values that are no text (bytes,
    times); in arguments and artifacts every text is data. A text that a column holds changes with the column; a piece
    of one is written out, since the places in it would no longer be right.
    """
    failed = []

    def guarded(text: str) -> str:
        try:
            return change(text)
        except BaseException as error:
            failed.append(error)
            raise

    try:
        stored = _decode(event.message or "")
        _CORE[stored["type"]]
        made = _Redaction(event, guarded).message(stored)
        return event.message if made == stored else _encode(made)
    except _UNREADABLE:
        if failed:  # not the message's fault
            raise
        return None


_STRUCTURE: Final = frozenset({"type", "id", "tool_call_id", "role", "status"})
_BLOCK_STRUCTURE: Final = frozenset({"type", "id", "tool_call_id", "tool_use_id", "call_id", "index"})
_CALL_STRUCTURE: Final = _BLOCK_STRUCTURE | {"name"}
_CALL_FIELDS: Final = frozenset({"tool_calls", "invalid_tool_calls", "tool_call_chunks", "function", "function_call"})
_BLOCK_FIELDS: Final = frozenset({"content", "additional_kwargs", "response_metadata", "usage_metadata"})
_ARGUMENTS: Final = frozenset({"args", "arguments", "input"})


class _Redaction:
    """Changes the texts in the stored form of one event's message."""

    def __init__(self, event: Event, change: Callable[[str], str]) -> None:
        self._columns = {"content": event.content, "reasoning": event.reasoning}
        self._unchanged = {name for name, text in self._columns.items() if change(text) == text}
        self._change = change

    def message(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of a message: the event's own, or one inside of it."""
        kept = _STRUCTURE | {"name"} if fields.get("type") in ("tool", "function") else _STRUCTURE
        made = {}
        for name, value in fields.items():
            if name in kept:
                made[name] = self._kept(value)
            elif name == "$meta":
                made[name] = self._inside(value)
            elif name in _CALL_FIELDS:
                made[name] = self.block(value, _CALL_STRUCTURE)
            elif name in _BLOCK_FIELDS:
                made[name] = self.block(self._rejoined(value) if name == "content" else value, _BLOCK_STRUCTURE)
            else:
                made[name] = self.data(value)
        return made

    def block(self, value: Any, kept: frozenset[str]) -> Any:
        """What providers make: an object's type and ids say what it is."""
        if isinstance(value, list):
            return [self.block(item, kept) for item in value]
        if not isinstance(value, dict) or "$" in value:
            return self.data(value)
        kind = value.get("type")
        if isinstance(kind, str) and ("tool" in kind or "function" in kind):
            kept = _CALL_STRUCTURE
        made = {}
        for name, item in value.items():
            if name in kept:
                made[name] = self._kept(item)
            elif name in _ARGUMENTS:
                made[name] = self.data(item)
            else:
                made[name] = self.block(item, _CALL_STRUCTURE if name in _CALL_FIELDS else _BLOCK_STRUCTURE)
        return made

    def data(self, value: Any) -> Any:
        """What is the application's own: every text but the keys."""
        if isinstance(value, str):
            return self._change(value)
        if isinstance(value, list):
            return [self.data(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$" not in value:
            return {key: self.data(item) for key, item in value.items()}
        kind = value["$"]
        if kind in self._columns:
            if "from" not in value:
                return value
            piece = _untag_text(value, self._columns)
            made = self._change(piece)
            return value if kind in self._unchanged and made == piece else made
        if kind == "str":
            return _text(self._change(_UNTAG["str"](value)))
        if kind == "dict":
            flat = value["value"]
            return {**value, "value": [self.data(item) if place % 2 else item for place, item in enumerate(flat)]}
        if kind == "model" and "type" in value:
            fields = self.message({"type": value["type"], **value["value"]})
            if "type" not in value["value"]:
                del fields["type"]
            return self._inside({**value, "value": fields})
        if kind in ("tuple", "set", "frozenset", "dataclass", "model", "path"):
            return self._inside({**value, "value": self.data(value["value"])})
        return value

    def _inside(self, tag: dict[str, Any]) -> dict[str, Any]:
        """A tag, or what stands under ``$meta``, with the attributes in it that are no fields."""
        return {name: self.data(item) if name in ("extra", "private") else item for name, item in tag.items()}

    def _kept(self, value: Any) -> Any:
        """A value that stays, also where it is the text of a column that changes."""
        is_shared = isinstance(value, dict) and value.get("$") in self._columns
        return _untag_text(value, self._columns) if is_shared else value

    def _rejoined(self, content: Any) -> Any:
        """The blocks of a content as they are, unless what is to go goes across several: then the first has it all."""
        if not isinstance(content, list):
            return content
        places = [(place, "text") if _has_type(item, _TEXT_BLOCKS) else (place,) for place, item in enumerate(content)]
        texts = {}
        for place in places:
            item = content[place[0]] if len(place) == 1 else content[place[0]].get("text")
            if (text := _stored_text(item, self._columns)) is not None:
                texts[place] = text
        whole = "".join(texts.values())
        if len(texts) < 2 or self._change(whole) == "".join(map(self._change, texts.values())):
            return content
        made = list(content)
        for place in texts:
            made[place[0]] = _text(whole) if len(place) == 1 else {**content[place[0]], "text": _text(whole)}
            whole = ""
        return made


def _stored_text(value: Any, columns: Mapping[str, str]) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.get("$") in columns:
        return _untag_text(value, columns)
    if isinstance(value, dict) and value.get("$") == "str":
        return str(_UNTAG["str"](value))
    return None


def _untag_text(tag: _Tag, columns: Mapping[str, str]) -> str:
    return columns[tag["$"]][tag.get("from") : tag.get("to")]
