"""Calls: whatever a reply of a model asks a tool for, in the forms of all providers.

A reply names its calls in up to four places: ``tool_calls``; ``invalid_tool_calls``, whose arguments are no JSON
object; blocks of its content (``tool_use``, ``server_tool_call``, ``web_search_call``…); and ``additional_kwargs``.
One call may stand in several of them and is one call all the same, and two calls may have one id. Most calls wait for a
result of the application. The others were run by the provider, and their results stand in the same reply.

The functions take the parts of a message as LangChain holds them, or as the store does: as JSON in which a tag stands
for a text that a column has already. They do not import LangChain, so that a migration can use them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from session_sqlite.codec import encode_json, is_plain_text
from session_sqlite.errors import NotSerializableError
from session_sqlite.models import ToolCall

# Types of content blocks that ask the application; any other "…_call" or "…_tool_use" is run by the provider.
_NAMED: Final = frozenset({"tool_use", "tool_call", "invalid_tool_call", "function_call", "custom_tool_call"})
_ASKED: Final = _NAMED | {"computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
_PROVIDED: Final = frozenset({"server_tool_call_chunk", "executable_code", "mcp_list_tools"})
_RESULTS: Final = frozenset({"code_execution_result", "tool_search_output", "web_search_result"})
_KWARGS: Final = ("tool_calls", "function_call", "tool_outputs", "executed_tools")

_IDS: Final = ("call_id", "id")
_IDS_OF_RESULTS: Final = ("tool_use_id", "tool_call_id", "call_id", "id")
_ARGUMENTS: Final = ("args", "arguments", "input", "partial_json", "action", "operation")
# Arguments that some blocks have as fields of their own, with the names that they get in an action.
_LOOSE_ARGUMENTS: Final = {
    "code": "code", "executable_code": "code", "language": "language", "queries": "queries", "query": "query",
    "revised_prompt": "prompt",
}  # fmt: skip
_OUTPUTS: Final = ("output", "outputs", "results", "code_execution_result", "tools")
_FAILED: Final = frozenset({"error", "failed", "incomplete"})
_OUTCOMES_THAT_ARE_NO_ERROR: Final = (None, 1, "1", "OUTCOME_OK")
_DATA_URL: Final = re.compile(r"data:[\w.+/;=-]{0,100},")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


# A stored message without any of these texts has no calls but its ``tool_calls``, and need not be parsed.
PARTS_WITH_CALLS: Final = ('"invalid_tool_calls":', '"content":[', '"additional_kwargs":')


class Call(NamedTuple):
    """A call of a reply.

    Attributes:
        action: The call, with its result if the provider ran it.
        place: Where it stands in the reply's ``tool_calls``; None if it stands elsewhere only.
        by_provider: True if the provider ran it, so that the application owes no result.
    """

    action: ToolCall
    place: int | None
    by_provider: bool


def calls_of(
    tool_calls: object, invalid: object, content: object, kwargs: object, columns: Mapping[str, str] | None = None
) -> list[Call]:
    """Returns every call of a reply once: in the order of its content, then those that do not stand there.

    Args:
        tool_calls: The reply's ``tool_calls``.
        invalid: Its ``invalid_tool_calls``; the arguments of these stay the text that the model wrote.
        content: Its content.
        kwargs: Its ``additional_kwargs``.
        columns: The texts that tags in a stored form stand for, by the names of their columns.

    Example:
        >>> block = {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}
        >>> [call.action for call in calls_of([], [], [block], {})]
        [ToolCall(name='add', args={'a': 1}, id='c1', output=None, error=None)]
    """
    reader = _Reader(columns or {})
    listed = [
        *(Call(reader.valid(call), place, False) for place, call in enumerate(_list(tool_calls))),
        *(Call(reader.invalid(call), None, False) for call in _dicts(invalid)),
    ]
    calls: list[Call] = []
    for block in _blocks(content):
        reader.add_block(block, listed, calls)
    calls += listed
    if isinstance(kwargs, dict):
        reader.add_kwargs(kwargs, calls)
    return calls


def may_call(invalid: object, content: object, kwargs: object) -> bool:
    """Returns False if a reply surely has no calls but its ``tool_calls``; takes less time than to look for them."""
    return bool(
        invalid
        or (isinstance(content, list) and any(map(_kind, _blocks(content))))
        or (isinstance(kwargs, dict) and any(kwargs.get(name) for name in _KWARGS))
    )


def derived(message: str, content: str, reasoning: str, actions: Sequence[ToolCall]) -> tuple[list[ToolCall], str]:
    """Returns the actions of a stored message, derived anew, and the message with what reading needs to know of them.

    Args:
        message: The message in its stored form.
        content: The text of its column.
        reasoning: Likewise.
        actions: The actions that are stored; the message's ``tool_calls`` if the message does not hold them itself.

    Raises:
        ValueError: The message is damaged.
    """
    if not any(part in message for part in PARTS_WITH_CALLS):  # most messages need not be parsed
        return list(actions), message
    stored = json.loads(message)
    if not isinstance(stored, dict) or stored.get("type") not in ("ai", "AIMessageChunk"):
        return list(actions), message
    meta = stored.get("$meta")
    meta = meta if isinstance(meta, dict) else {}
    held: list[Any] = []
    if "tool_calls" not in stored:
        places = meta.get("calls", range(len(actions)))
        held = [actions[place] for place in places]
    listed = stored.get("tool_calls", [{"name": call.name, "args": call.args, "id": call.id} for call in held])
    text = stored.get("content", content)
    calls = calls_of(
        listed, stored.get("invalid_tool_calls"), text, stored.get("additional_kwargs"),
        {"content": content, "reasoning": reasoning},
    )  # fmt: skip
    made, places = placed(calls, held)
    if "tool_calls" not in stored and places != meta.get("calls"):
        meta = {name: value for name, value in meta.items() if name != "calls"}
        if places is not None:
            meta["calls"] = places
        stored.pop("$meta", None)
        if meta:
            stored["$meta"] = meta
        message = json.dumps(stored, ensure_ascii=False, separators=(",", ":"))
    return made, message


def placed(calls: Sequence[Call], held: Sequence[ToolCall]) -> tuple[list[ToolCall], list[int] | None]:
    """Returns the actions of calls, and which of them are the ``tool_calls`` in ``held``; None if all are, in order."""
    actions = [call.action if call.place is None or not held else held[call.place] for call in calls]
    where = {call.place: position for position, call in enumerate(calls) if call.place is not None}
    places = [where[place] for place in range(len(held))]
    return actions, None if places == list(range(len(actions))) else places


# ---------------------------------------------------------------- the forms of the providers


def _list(values: object) -> list[Any]:
    return values if isinstance(values, list) else []


def _dicts(values: object) -> list[dict[str, Any]]:
    return [value for value in _list(values) if isinstance(value, dict)]


def _blocks(content: object) -> Iterator[dict[str, Any]]:
    for block in _dicts(content):
        inner = block.get("value") if block.get("type") == "non_standard" else None
        yield inner if isinstance(inner, dict) else block


def _kind(block: Mapping[str, Any]) -> str:
    """Returns ``"asked"``, ``"provided"``, ``"result"``, or nothing for a block that is no call and no result."""
    kind = block.get("type")
    if not isinstance(kind, str):
        return ""
    if kind in _ASKED:
        return "asked"
    if kind in _PROVIDED or kind.endswith(("_call", "_tool_use")):
        return "provided"
    return "result" if kind in _RESULTS or kind.endswith(("_tool_result", "_call_output")) else ""


class _Reader:
    """A maker of calls from what providers write; ``columns`` has the texts that tags stand for."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns = columns

    def valid(self, call: Any) -> ToolCall:
        """Returns a call of ``tool_calls``."""
        call = call if isinstance(call, dict) else {}
        args = call.get("args")
        return self._call(call, self._exact(args) if isinstance(args, dict) else {})

    def invalid(self, call: dict[str, Any]) -> ToolCall:
        """Returns a call of ``invalid_tool_calls``, whose arguments stay as they are, even if they could be read."""
        args = self._plain(call.get("args"))
        return self._call(call, args if isinstance(args, str) else self._arguments([args]))

    def add_block(self, block: dict[str, Any], listed: list[Call], calls: list[Call]) -> None:
        """Adds the call in a block, moving it here if it is listed already; gives a result to its call."""
        kind = _kind(block)
        if kind == "asked":
            id = self._id(block, _IDS)
            same = next((call for call in listed if call.action.id == id), None)
            if same is not None:
                listed.remove(same)
            calls.append(same or Call(self._asked(block), None, False))
        elif kind == "provided":
            calls.append(Call(self._provided(block), None, True))
        elif kind == "result":
            self._add_result(block, calls)

    def add_kwargs(self, kwargs: dict[str, Any], calls: list[Call]) -> None:
        """Adds the calls that stand in ``additional_kwargs`` only."""
        known = Counter(call.action.id for call in calls)
        for one in _dicts(kwargs.get("tool_calls")):
            id = self._id(one, _IDS)
            known[id] -= 1
            if known[id] < 0:
                inner = one.get("function") or one.get("custom")
                named = {**(inner if isinstance(inner, dict) else one), "id": id}
                calls.append(Call(self._asked(named), None, False))
        known = Counter(call.action.id for call in calls)
        for item in _dicts(kwargs.get("tool_outputs")):
            if not known[self._id(item, _IDS)]:
                self.add_block(item, [], calls)
        calls += [Call(self._provided(tool), None, True) for tool in _dicts(kwargs.get("executed_tools"))]
        function = kwargs.get("function_call")
        if isinstance(function, dict) and not any(call.action.name == self._name(function) for call in calls):
            calls.append(Call(self._asked(function), None, False))

    # ------------------------------------------------------------ one call

    def _call(self, named: dict[str, Any], args: Any) -> ToolCall:
        return ToolCall(self._name(named), args, id=self._id(named, ("id",)))

    def _asked(self, block: dict[str, Any]) -> ToolCall:
        args = self._arguments([block[name] for name in _ARGUMENTS if name in block])
        if isinstance(args, str) and block.get("type") == "custom_tool_call":  # this kind of tool takes text
            args = {"input": args}
        return ToolCall(self._name(block), args, id=self._id(block, _IDS))

    def _provided(self, block: dict[str, Any]) -> ToolCall:
        args = self._arguments([block[name] for name in _ARGUMENTS if name in block])
        output = self._output(block)
        if isinstance(args, dict):
            found = args.get("sources") if "action" in block else None
            args = {name: value for name, value in args.items() if value is not found or name != "sources"}
            output = found if output is None else output
            if not args:
                loose = {new: block[name] for name, new in _LOOSE_ARGUMENTS.items() if block.get(name)}
                args = self._exact(loose)
        call = ToolCall(self._name(block), args, id=self._id(block, _IDS))
        status, error = block.get("status"), self._plain(block.get("error"))
        if error or status in _FAILED:
            return replace(call, error=_as_text(error or output or status))
        return replace(call, output="" if output is None and status == "completed" else output)

    def _add_result(self, block: dict[str, Any], calls: list[Call]) -> None:
        id = self._id(block, _IDS_OF_RESULTS)
        waiting = [place for place, call in enumerate(calls) if call.by_provider and call.action.status == "pending"]
        # Gemini's blocks have no ids: such a result belongs to the first call without one, or else to the last call.
        fitting = [place for place in waiting if calls[place].action.id == id] or ([] if id else waiting[-1:])
        if not fitting:
            return
        place = fitting[0]
        output = self._output(block, "content")
        failed = (
            block.get("is_error") is True
            or block.get("status") in _FAILED
            or self._plain(block.get("outcome")) not in _OUTCOMES_THAT_ARE_NO_ERROR
            or (isinstance(output, dict) and "error_code" in output)
        )
        output = "" if output is None else output
        result: dict[str, Any] = {"error": _as_text(output)} if failed else {"output": output}
        calls[place] = calls[place]._replace(action=replace(calls[place].action, **result))

    def _id(self, block: dict[str, Any], names: Sequence[str]) -> str:
        return next((id for name in names if (id := self._plain(block.get(name))) and is_plain_text(id)), "")

    def _name(self, block: dict[str, Any]) -> str:
        extras = block.get("extras")  # has the tool's own name: LangChain's is always "remote_mcp"
        name = self._plain((isinstance(extras, dict) and extras.get("tool_name")) or block.get("name"))
        if is_plain_text(name):
            return name
        kind = block.get("type")
        kind = kind if is_plain_text(kind) and kind not in _NAMED else ""
        return "code_interpreter" if kind == "executable_code" else kind.removesuffix("_call")

    def _arguments(self, given: Sequence[Any]) -> Any:
        """Returns the first arguments that are not empty: an object, JSON text of one, or the text itself."""
        for value in map(self._plain, given):
            if isinstance(value, dict) and value:
                return self._exact(value)
            if isinstance(value, str) and value.strip():
                try:
                    read = json.loads(value)
                except (ValueError, RecursionError):
                    return value
                return self._exact(read) if isinstance(read, dict) else value
        return {}

    def _output(self, block: dict[str, Any], *more: str) -> Any:
        found = next((block[name] for name in (*_OUTPUTS, *more) if block.get(name)), None)
        return None if found is None else _shown(_without_data(self._plain(found)))

    # ------------------------------------------------------------ values

    def _exact(self, args: dict[str, Any]) -> dict[str, Any]:
        shown = _shown(self._plain(args))
        return shown if isinstance(shown, dict) else {}

    def _plain(self, value: Any) -> Any:
        """Returns a value with the texts that tags stand for."""
        if isinstance(value, str):
            return value if is_plain_text(value) else _SURROGATES.sub("\ufffd", value)
        if isinstance(value, list):
            return [self._plain(item) for item in value]
        if not isinstance(value, dict):
            return value
        tag = value.get("$")
        if isinstance(tag, str) and tag in self._columns:
            return self._columns[tag][value.get("from") : value.get("to")]
        if tag == "enum":
            return self._plain(value.get("value"))
        if tag == "str" and isinstance(value.get("value"), str):
            text = value["value"].encode("ascii", "replace").decode("unicode_escape", "replace")
            return _SURROGATES.sub("\ufffd", text)
        return {name: self._plain(item) for name, item in value.items()}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(value: Any) -> Any:
    """Returns a value if JSON holds it exactly, otherwise an empty text."""
    try:
        encode_json(value, "value")
    except (NotSerializableError, RecursionError):
        return ""
    return value


def _without_data(value: Any) -> Any:
    """Returns an output without pictures and encrypted texts, which nobody reads and the message still has."""
    if isinstance(value, str):
        found = _DATA_URL.match(value)
        return found[0] if found else value
    if isinstance(value, list):
        return [_without_data(item) for item in value]
    if not isinstance(value, dict):
        return value
    hidden = {"data"} if value.get("type") == "base64" else {"b64_json", "value"} if "$" in value else {"b64_json"}
    return {
        name: _without_data(item)
        for name, item in value.items()
        if name not in hidden and not (isinstance(name, str) and name.startswith("encrypted_"))
    }
