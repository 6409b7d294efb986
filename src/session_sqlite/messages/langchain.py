"""LangChain's messages as events, and back: pure functions, exact in both directions.

A message becomes one event. Its author, text, reasoning, tool calls, usage and id are *columns*, in the same plain
form whatever the provider; everything else is the event's ``message``, a JSON object ``{"type": "ai", field: value}``
that leaves out what a column holds verbatim and what is at its default. A column that is not verbatim was derived from
the message and is never read back.

The values in it are those of `values`: what JSON cannot hold, or a column holds already, is a tag. ``"$meta"`` says
what a plain object cannot: the class of a subclass, attributes that are no fields, how ``model_fields_set`` differs
from the fields that are stored, and which actions are the ``tool_calls`` of a reply that has other calls too.

Reading fills the fields in without validators, as they were, also if LangChain would refuse them. It imports nothing:
a class that is not loaded degrades to what it was made of. An event that was never a message of LangChain's reads as
the messages that say the same (a tool call with its result is two).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

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
    messages_from_dict,
)
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from session_sqlite.codec import decode_json, encode_json, is_identifier, is_plain_text, is_seq
from session_sqlite.errors import InvalidInputError, NotSerializableError
from session_sqlite.messages.calls import calls_of, may_call, placed
from session_sqlite.messages.form import MARK
from session_sqlite.messages.text import content_parts, joined, reasoning_parts
from session_sqlite.messages.tokens import usage_of_message
from session_sqlite.messages.values import (
    READERS,
    SHARED_TEXT,
    UNREADABLE,
    Path,
    Tag,
    Writer,
    decode,
    encode,
    exact_text,
    loaded_class,
    read,
)
from session_sqlite.models import Event, ToolCall, Usage

logger = logging.getLogger("session_sqlite")

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


# ---------------------------------------------------------------- models, taken apart and put together

_set = object.__setattr__  # pydantic's own would validate
_MISSING: Final = object()
_NO_DEFAULT: Final = object()
_EMPTY: Final[dict[type, object]] = {dict: object(), list: object()}


def _default(field: FieldInfo) -> object:
    """Returns what a value is compared with to be left out; only plain defaults and empty containers can be."""
    factory = field.default_factory
    kind = factory if factory is not None else type(field.default)
    if kind in (dict, list) and (factory is not None or not field.default):
        return _EMPTY[kind]
    if factory is None and (field.default is None or kind in (str, int, bool)):
        return field.default
    return _NO_DEFAULT


class _Plan:
    """A note of how the instances of one model class are taken apart and put together, made once for each class."""

    __slots__ = (
        "allows_extra", "always", "bare", "blank", "cls", "defaults", "fresh", "is_filled", "kind", "name", "names",
        "private", "type",
    )  # fmt: skip

    def __init__(self, cls: type[BaseModel]) -> None:
        core = next((base for base in cls.__mro__ if base in _TYPES), None)
        self.cls = cls
        self.type = "" if core is None else _TYPES[core]  # of its class in langchain_core, or of the nearest base there
        self.name = "" if core is cls else f"{cls.__module__}:{cls.__qualname__}"
        self.kind = next((kind for kind in _AUTHORS if issubclass(cls, _CORE[kind])), "")
        self.defaults = {name: _default(field) for name, field in cls.model_fields.items()}
        self.names = list(self.defaults)
        self.blank = dict(self.defaults)
        self.fresh = [(name, kind) for kind, mark in _EMPTY.items() for name in self.names if self.blank[name] is mark]
        self.always = [name for name in self.names if self.blank[name] is _NO_DEFAULT]
        self.is_filled = {*self.always} <= {"content", "tool_call_id"}  # these columns hold always, see `read_columns`
        self.allows_extra = cls.model_config.get("extra") == "allow"
        self.private = bool(cls.__private_attributes__)
        self.bare = encode({"type": self.type}) if core is cls else ""


_plans: dict[type, _Plan] = {}
_bare: dict[str, _Plan] = {}  # plans by what is stored of a message that its columns say completely


LONGEST_BARE: Final = 40  # characters; longer texts are not looked up among them


def _plan(cls: type[BaseModel]) -> _Plan:
    plan = _plans.get(cls)
    if plan is None:
        plan = _plans[cls] = _Plan(cls)
        if plan.bare:
            _bare[plan.bare] = plan
    return plan


class _Writer(Writer):
    """A writer that keeps pydantic models too: messages within messages, documents, whatever a tool returned."""

    own_classes = (BaseModel,)

    __slots__ = ()

    def own_tag(self, value: Any, path: Path, depth: int) -> dict[str, Any]:
        """Returns the tag of a model."""
        plan = _plan(type(value))
        body, meta = self.model(value, plan, set(), path, depth)
        named = {"class": plan.name, "type": plan.type}
        return {"$": "model", **{key: name for key, name in named.items() if name}, "value": body, **meta}

    def model(
        self, model: BaseModel, plan: _Plan, held: set[str], path: Path | None, depth: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the fields to store, without those that columns hold, and what a plain object of them cannot say."""
        defaults, values = plan.defaults, model.__dict__
        body = {}
        for name, value in values.items():
            if name in held:
                continue
            default = defaults.get(name, _MISSING)
            if value is default or default is _MISSING:  # what is no field is a cached property
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
            meta["extra"] = self.mapping(extra, (path, "extra"), depth)
        private = model.__pydantic_private__
        if private:
            meta["private"] = self.mapping(private, (path, "private"), depth)
        expected = {
            *held,
            *body,
            *(extra or ()),
        }  # the fields that reading marks as set unless ``"set"`` says otherwise
        if expected != model.__pydantic_fields_set__:
            meta["set"] = [exact_text(name) for name in sorted(expected ^ model.__pydantic_fields_set__)]
        return body, meta


def _untag_model(tag: Tag) -> Any:
    core = _CORE.get(tag.get("type", ""))
    base = BaseModel if core is None else BaseMessage
    cls = loaded_class(tag["class"], lambda cls: issubclass(cls, base)) if "class" in tag else core
    cls = core if cls is None else cls
    if cls is None:
        return {**tag["value"], **tag.get("extra", {})}
    plan = _plan(cls)
    return _assemble(plan, _blank(plan), tag["value"], set(), tag)


_READERS: Final = {**READERS, "model": _untag_model}


def _blank(plan: _Plan) -> dict[str, Any]:
    fields = plan.blank.copy()
    for name, kind in plan.fresh:
        fields[name] = kind()
    return fields


def _assemble(plan: _Plan, fields: dict[str, Any], body: Tag, given: set[str], meta: Tag) -> Any:
    """Returns an instance without validation.

    Args:
        plan: The plan of its class.
        fields: The values of all its fields, in their order; changed.
        body: The stored fields, which go over these.
        given: The names of the fields that are set so far; changed.
        meta: What stands under ``$meta``, or in a tag.
    """
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


_CALL_KEYS: Final = ["name", "args", "id", "type"]


def _exact_calls(calls: list[Any]) -> tuple[ToolCall, ...] | None:
    """Returns the calls as actions; None unless the actions column holds every one of them verbatim."""
    actions = []
    for call in calls:
        if not (
            type(call) is dict
            and list(call) == _CALL_KEYS
            and type(call["type"]) is str
            and call["type"] == "tool_call"
            and type(call["args"]) is dict
            and is_plain_text(call["name"])
            and is_plain_text(call["id"])
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
    """Returns the actions of a reply with more calls than its exact ``tool_calls``, and where these are in them."""
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


def event_of_dict(message: Mapping[str, Any]) -> Event | None:
    """Returns the event of a message as other histories store it: as ``message_to_dict`` of langchain-core makes it.

    It reads back equal. For one that langchain-core refuses there is None.

    Example:
        >>> event_of_dict({"type": "human", "data": {"content": "你好"}}).content
        '你好'
    """
    try:
        return message_to_event(messages_from_dict([dict(message)])[0])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _event(message: BaseMessage) -> Event:
    plan = _plan(type(message))
    kind, values = plan.kind, message.__dict__
    writer = _Writer()
    held = set()
    author = _AUTHORS.get(kind, "assistant")
    actions: tuple[ToolCall, ...] = ()
    places: list[int] | None = None  # which actions are the tool_calls, if there are other calls
    reasoning = ""
    usage = None

    content = values.get("content")
    if is_plain_text(content):
        held.add("content")
        if len(content) >= SHARED_TEXT:
            writer.shared[content] = {"$": "content"}
    else:
        content = joined(content_parts(content), "", "content", writer.shared)
    name, message_id = values.get("name"), values.get("id")
    if is_plain_text(message_id):
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
        if is_plain_text(call_id):
            held.add("tool_call_id")
        if is_plain_text(name) and name:
            held.add("name")
        status = values.get("status")
        error = content if isinstance(status, str) and status == "error" else None
        actions = (
            ToolCall(name if is_plain_text(name) else "", id=call_id if is_plain_text(call_id) else "", error=error),
        )
    elif kind == "chat":
        role = values.get("role")
        if type(role) is str and is_identifier(role):
            author = role
            held.add("role")
    if kind == "ai" or kind == "chat":
        parts = reasoning_parts(values.get("additional_kwargs"), values.get("content"))
        if parts:
            reasoning = joined(parts, "\n\n", "reasoning", writer.shared)

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
        text = encode(stored)
    if writer.lost:
        logger.warning(
            "%d value(s) of a %s cannot be stored and will read as a short text: %s",
            len(writer.lost),
            type(message).__name__,
            ", ".join(writer.lost[:3]),
        )
    # Past __init__, as in `codec.decode_event`: that of a frozen dataclass takes as long as all of the above.
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

    One message comes without a list around it: 10,000 more lists would make the garbage collector go over everything.
    """
    try:
        if event.unreadable:
            return event
        stored = event.message
        # Another framework's message reads as what its columns say.
        return _native(event) if stored is None or stored.startswith(MARK) else _message(event, stored)
    except UNREADABLE:
        return event


def read_columns(row: Sequence[Any]) -> BaseMessage | None:
    """Returns what `read_event` makes of the event in a row of `queries.EVENTS_FOR_MESSAGES`; None if it takes that.

    A message that needs nothing but its own columns is made without an event in between, in two thirds of the time.
    """
    id, _, author, content, reasoning, actions, seq, state, usage, message_id, stored, metadata = row
    if not (
        type(stored) is type(author) is type(content) is type(reasoning) is type(id) is str
        and state == metadata == "{}"
        and usage is None
        and is_seq(seq)
        and (tags := stored.count('"$')) <= 1
    ):
        return None
    try:
        flipped: Iterable[str] = ()
        plan = _bare.get(stored) if len(stored) <= LONGEST_BARE else None
        if plan is None:
            body = decode(stored)
            if tags:  # of a model's reply this one is frequent: fields that were set to what they are by default
                [(name, flipped)] = body.pop("$meta").items()
                if name != "set":
                    return None
            plan = _plan(_CORE[body.pop("type")])
        else:
            body = _NOTHING
        if not plan.is_filled:
            return None
        fields = _blank(plan)
        fields["content"] = content
        given = {"content"}
        if message_id is not None:
            fields["id"] = message_id
            given.add("id")
        calls = [] if actions == "[]" else list(map(_plain_call, _as_list(decode_json(actions))))
        kind = plan.kind
        if kind == "ai":
            if author not in ROLES:
                fields["name"] = author
                given.add("name")
            if calls and "tool_calls" not in body:
                fields["tool_calls"] = calls
                given.add("tool_calls")
        elif kind == "tool":
            call = calls[0]
            if call["name"]:
                fields["name"] = call["name"]
                given.add("name")
            fields["tool_call_id"] = call["id"]
            given.add("tool_call_id")
        fields.update(body)
        given.update(body)
        given.symmetric_difference_update(flipped)
        if len(fields) != len(plan.blank):
            return None  # it has a field of another release
        made: BaseMessage = object.__new__(plan.cls)  # type: ignore[assignment]  # the plan is a message's
        _set(made, "__dict__", fields)
        _set(made, "__pydantic_fields_set__", given)
        _set(made, "__pydantic_extra__", {} if plan.allows_extra else None)
        _set(made, "__pydantic_private__", {} if plan.private else None)
        return made
    except UNREADABLE:
        return None


Shape = tuple[type[BaseMessage], frozenset[str], bool, bool]
"""What a message that `read_columns` made is besides the values of its fields."""

_shapes: dict[Shape, Shape] = {}  # messages of one shape share it


def taken_apart(message: BaseMessage) -> tuple[Shape, dict[str, Any]]:
    """Returns the shape and the fields of a message that `read_columns` made; the fields are the message's own."""
    plan = _plan(type(message))
    shape = (type(message), frozenset(message.__pydantic_fields_set__), plan.allows_extra, plan.private)
    return _shapes.setdefault(shape, shape), message.__dict__


def put_together(shape: Shape, fields: dict[str, Any]) -> BaseMessage:
    """Returns the message that has these fields, which become its own."""
    cls, given, allows_extra, has_private = shape
    made = object.__new__(cls)
    _set_fields(made, fields)
    _set_given(made, set(given))
    _set_extra(made, {} if allows_extra else None)
    _set_private(made, {} if has_private else None)
    return made


# What `_set` does with these names, in half the time.
_set_fields: Final = BaseModel.__dict__["__dict__"].__set__
_set_given: Final = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra: Final = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private: Final = BaseModel.__dict__["__pydantic_private__"].__set__


def _as_list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise ValueError("not a list of tool calls")
    return value


def _plain_call(call: dict[str, Any]) -> dict[str, Any]:
    """Returns an action that has nothing but what a message's call has. Raises `ValueError` for any other."""
    name, id, args = call["name"], call["id"], call.get("args", {})
    if not (type(name) is type(id) is str and id and type(args) is dict and len(call) == 2 + ("args" in call)):
        raise ValueError("not a plain call")
    return {"name": name, "args": args, "id": id, "type": "tool_call"}


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
        body = read(stored, event.content, event.reasoning, _READERS) if '"$"' in stored else decode(stored)
        # A text that is no JSON object raises what `read_event` expects.
        core = _CORE[body.pop("type")]  # type: ignore[attr-defined]
        meta = body.pop("$meta", _NOTHING)  # type: ignore[attr-defined]
        if meta:
            if "type" in meta:
                body["type"] = meta["type"]  # type: ignore[index]
            if "class" in meta:
                core = loaded_class(meta["class"], lambda cls: issubclass(cls, BaseMessage)) or core
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


# ---------------------------------------------------------------- events that were never messages of LangChain's


_NO_REPLY: Final = frozenset({"interrupted", "error"})


def _native(event: Event) -> list[BaseMessage]:
    if event.state and not (event.content or event.reasoning or event.actions):
        return []
    id = event.message_id or event.id or None
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
        return []  # it notes that there was no reply; providers refuse an empty one
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
