"""The one reader of what a message of a model consists of: text, or a list of blocks.

Anthropic, OpenAI (chat completions and the items of the Responses API), Gemini and those who follow them write a
content as blocks: text, reasoning, calls of tools, their results, images and files. `Said` takes contents in any of
these shapes, sorts what they say, and makes the events of a message from it. `Calls` goes along with a conversation: it
names results after their calls, and joins calls and results that have no ids by the tool's name.

Whatever is not understood is kept as text, and a note names its kind.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from session_sqlite import codec
from session_sqlite.models import Event, ToolCall, Usage
from session_sqlite.operations.whole_sessions import Note
from session_sqlite.transfer.importers.ids import json_or_none, kept_id

ATTACHMENTS_ARE_NOTED: Final = Note(
    "attachments are named in the metadata of their events; their bytes do not come along"
)
AUTHORS: Final = {
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "ai": "assistant", "model": "assistant", "bot": "assistant", "gpt": "assistant",
    "chatgpt": "assistant", "chatbot": "assistant",
    "system": "system", "developer": "system",
    "tool": "tool", "function": "tool", "ipython": "tool", "observation": "tool",
}  # fmt: skip
MAX_DEPTH: Final = 20  # of contents within contents
LONG: Final = 2_000

_TEXTS: Final = frozenset({"text", "input_text", "output_text", "summary_text", "refusal"})
_REASONING: Final = frozenset({"thinking", "think", "reasoning", "reasoning_content", "reasoning_text", "thought"})
_REASONING_KEYS: Final = ("thinking", "think", "reasoning", "reasoning_content", "text", "summary", "content")
_CALLS: Final = frozenset(
    {"tool_use", "server_tool_use", "mcp_tool_use", "tool_call", "server_tool_call", "invalid_tool_call", "function",
     "function_call", "custom_tool_call", "mcp_call", "tool_invocation"}
)  # fmt: skip
_RESULT: Final = re.compile(r"(?:.*_)?tool_result|.*_call_output|server_tool_result|tool_response|tool_output")
_ATTACHMENTS: Final = frozenset(
    {"image", "image_url", "input_image", "image_file", "file", "input_file", "document", "audio", "input_audio",
     "output_audio", "audio_url", "video", "video_url", "video_file", "media", "container_upload", "file_id",
     "text_plain", "image_asset_pointer", "audio_asset_pointer", "inline_data", "file_data"}
)  # fmt: skip
_BEYOND: Final = frozenset({"redacted_thinking", "thought_signature"})  # nobody can read them
_ENCRYPTED: Final = ("signature", "encrypted_content", "data", "format")
_BOOKKEEPING: Final = frozenset({"type", "id", "index", "status", "cache_control", "caller", "call_id", "signature"})
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {})
_WRAPPERS: Final = ("tool_call", "function", "toolInvocation", "custom")
_NAMES: Final = ("name", "tool_name", "toolName")
_ARGUMENTS: Final = ("input", "args", "arguments", "parameters")
_CALL_IDS: Final = ("call_id", "tool_use_id", "tool_call_id", "toolCallId", "id")
_OUTPUTS: Final = ("output", "result", "outputs")
_KIND: Final = re.compile(r"[A-Za-z][\w.-]{0,63}")
_CODE: Final = "code_execution"  # the tool that Gemini's own code runs in
_DATA_URL: Final = re.compile(r"data:[\w.+-]*/?[\w.+-]*(?:;[\w=.-]+)*;base64,", re.IGNORECASE)
_BYTES: Final = re.compile(r"[A-Za-z0-9+/_=\r\n-]*")


class Result(NamedTuple):
    """The result of a tool.

    Attributes:
        id: The id of the call; may be empty.
        name: The tool's name; may be empty.
        text: What it returned, as text.
        error: What went wrong; None if nothing did.
        attachments: What it returned besides.
    """

    id: str
    name: str
    text: str
    error: str | None
    attachments: list[dict[str, Any]]


class Calls:
    """The calls of a conversation up to now."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._open: dict[str, deque[str]] = {}  # ids that this class gave, by the tool's name

    def made(self, call: ToolCall, id: str) -> ToolCall:
        """Remembers a call; one that waits for its result gets the id if it has none."""
        if not call.id and call.status == "pending":
            call = ToolCall(call.name, call.args, id=id)
            self._open.setdefault(call.name, deque()).append(id)
        self._names.setdefault(call.id, call.name)
        return call

    def answered(self, result: Result) -> Result:
        """The result with the name and the id of its call, as far as they are known."""
        id, name = result.id, result.name
        if not id and (waiting := self._open.get(name) or self._only_open(name)):
            id = waiting.popleft()
        return result._replace(id=id, name=name or self._names.get(id, ""))

    def _only_open(self, name: str) -> deque[str] | None:
        waiting = [ids for ids in self._open.values() if ids]
        return waiting[0] if not name and len(waiting) == 1 else None


@dataclass
class Said:
    """The contents of a message, sorted.

    Attributes:
        calls: Calls of tools.
        results: Results of calls that are not in the same message.
        attachments: What can be said of images and files.
        metadata: What else is kept: arguments that are no JSON, citations, and what nobody can read.
        unknown: The kinds of blocks that were not understood.
    """

    calls: list[ToolCall] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    _texts: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, content: object) -> Said:
        """Reads one content."""
        said = cls()
        said.add(content)
        return said

    @property
    def text(self) -> str:
        """The text of all contents."""
        return "".join(self._texts)

    @property
    def reasoning(self) -> str:
        """The reasoning of all contents; what is said twice is there once."""
        return "\n\n".join(dict.fromkeys(self._reasoning))

    def __bool__(self) -> bool:
        return any((self._texts, self._reasoning, self.calls, self.results, self.attachments, self.metadata))

    # ------------------------------------------------------------ in

    def add(self, content: object, depth: int = 0) -> None:
        """Takes a content: a text, a block, or a list of them; None says nothing."""
        if isinstance(content, str):
            self.add_text(content)
        elif depth > MAX_DEPTH:
            self._add_unknown(content, "nested too deep")
        elif isinstance(content, list):
            for block in content:
                self.add(block, depth + 1)
        elif isinstance(content, dict):
            if isinstance(content.get("parts"), list):
                self.add(content["parts"], depth + 1)
            else:
                self._add_block(content, depth)
        elif content is not None:
            self._add_unknown(content, type(content).__name__)

    def add_text(self, text: object, *, separator: str = "\n") -> None:
        """Takes more text."""
        if isinstance(text, str) and text:
            if self._texts and separator:
                self._texts.append(separator)
            self._texts.append(text)

    def add_reasoning(self, reasoning: object) -> None:
        """Takes reasoning, whatever its shape: text, blocks, or summaries."""
        self._reasoning.extend(filter(None, _reasoning_texts(reasoning)))

    def add_call(self, name: object, arguments: object, id: object = "", **done: Any) -> None:
        """Takes a call of a tool, with its ``output`` and ``error`` if they are known."""
        call = made_call(name, arguments, id, self.metadata)
        if any(value is not None for value in done.values()):
            call = ToolCall(call.name, call.args, id=call.id, **done)
        self.calls.append(call)

    def add_result(
        self, id: object, output: object, *, name: object = "", is_error: object = False, error: object = None
    ) -> None:
        """Takes what a tool returned: text, blocks, or any JSON value."""
        if isinstance(output, dict) and _is_blocks(output.get("content")):  # MCP
            is_error = is_error or output.get("isError")
            output = output["content"]
        if isinstance(output, str) or output is None or _is_blocks(output):
            said = Said.of(output)
            self.unknown += said.unknown
            text, attachments = said.text, said.attachments
        else:
            text, attachments = json_text(noted(output)), []
        failed = text_or_json(error) if error else text if is_error else None
        result = Result(_text(id), _text(name), text, failed, attachments)
        for position, call in enumerate(self.calls):
            if result.id and call.id == result.id and call.status == "pending":  # the provider ran it
                self.calls[position] = ToolCall(call.name, call.args, id=call.id, output=text, error=failed)
                self.attachments += attachments
                return
        self.results.append(result)

    def _add_block(self, block: Mapping[str, Any], depth: int) -> None:
        kind = block.get("type")
        if not isinstance(kind, str):
            self._add_part(block, depth)
            return
        read = self._read_block(block, kind.replace("-", "_"), depth)
        rest = {name: value for name, value in block.items() if name not in read and value not in _NOTHING}
        if rest.keys() - _BOOKKEEPING:
            self.metadata.setdefault("blocks", []).append({"type": kind, **noted(rest)})

    def _read_block(self, block: Mapping[str, Any], kind: str, depth: int) -> Collection[str]:
        """Takes a block of a kind, and says which of its keys that took."""
        if kind in _TEXTS:
            return self._add_text_block(block, kind)
        if kind in _REASONING or kind.startswith("reasoning."):
            return self._add_reasoning_block(block)
        if kind in _CALLS:
            return self._add_call_block(block)
        if _RESULT.fullmatch(kind):
            return self._add_result_block(block)
        if kind in _ATTACHMENTS:
            self.attachments.append(noted(block))
        elif kind in _BEYOND:
            self.metadata.setdefault(kind, []).append(noted(block))
        elif kind.endswith("_call"):
            self._add_provider_call(block, kind)
        elif kind in ("message", "non_standard"):  # an item; LangChain's wrapping of what it does not know
            name = "content" if kind == "message" else "value"
            self.add(block.get(name), depth + 1)
            return (name, "role")
        elif kind in ("web_search_result", "search_result"):
            self.add_text(f"[{_text(block.get('title'))}]({_text(block.get('url') or block.get('source'))})")
            self.add(block.get("content"), depth + 1)
            return ("title", "url", "source", "content", "encrypted_content")
        elif kind == "tool_reference":
            self.add_text(_text(block.get("tool_name")))
            return ("tool_name",)
        elif any(value not in _NOTHING for name, value in block.items() if name != "type"):
            self._add_unknown(block, kind)
        return block.keys()

    def _add_text_block(self, block: Mapping[str, Any], kind: str) -> Collection[str]:
        name = next((name for name in (kind, "text", "refusal", "content") if block.get(name)), "text")
        sources = block.get("citations") or block.get("annotations")
        text = block.get(name)
        if isinstance(text, dict) and isinstance(text.get("value"), str):  # the Assistants API
            sources = sources or text.get("annotations")
            text = text["value"]
        if isinstance(text, str):
            # A sentence with a citation is a block of its own, in the middle of a text.
            self.add_text(text, separator="" if sources or "citations" in self.metadata else "\n")
        elif text is not None:
            self._add_unknown(text, kind)
        if sources:
            self.metadata.setdefault("citations", []).extend(sources if isinstance(sources, list) else [sources])
        return (name, "citations", "annotations")

    def _add_reasoning_block(self, block: Mapping[str, Any]) -> Collection[str]:
        read = [name for name in _REASONING_KEYS if list(_reasoning_texts(block.get(name)))]
        self.add_reasoning({name: block[name] for name in read})
        beyond = {name: block[name] for name in _ENCRYPTED if block.get(name)}
        if beyond and not read:
            self.metadata.setdefault("encrypted_reasoning", []).append(noted(beyond))
        return (*read, *_ENCRYPTED)

    def _add_call_block(self, block: Mapping[str, Any]) -> Collection[str]:
        wrapped = next((name for name in _WRAPPERS if isinstance(block.get(name), dict)), "")
        inner: Mapping[str, Any] = block[wrapped] if wrapped else block
        done: dict[str, Any] = {}
        if output := _key_of(inner, _OUTPUTS):
            done["output"] = noted(inner[output])
        if error := inner.get("error"):
            done["error"] = text_or_json(error)
        arguments = _key_of(inner, _ARGUMENTS)
        id = _first(inner, _CALL_IDS) or _first(block, _CALL_IDS)
        self.add_call(_first(inner, _NAMES), inner.get(arguments), id, **done)
        read = (*_NAMES, *_CALL_IDS, arguments, output, "error", *_BOOKKEEPING)
        if wrapped and (rest := {name: value for name, value in inner.items() if name not in read}):
            self.metadata.setdefault("blocks", []).append({"type": block["type"], **noted(rest)})
        return (*read, wrapped)

    def _add_result_block(self, block: Mapping[str, Any]) -> Collection[str]:
        output = _key_of(block, ("content", *_OUTPUTS))
        failed = block.get("is_error") or block.get("isError") or block.get("status") == "error"
        self.add_result(
            _first(block, _CALL_IDS), block.get(output), name=_first(block, _NAMES), is_error=failed,
            error=block.get("error"),
        )  # fmt: skip
        return (*_NAMES, *_CALL_IDS, output, "error", "is_error", "isError")

    def _add_provider_call(self, block: Mapping[str, Any], kind: str) -> None:
        """Takes a call of a tool that the provider runs: its arguments are the rest of the block."""
        output = _key_of(block, _OUTPUTS)
        besides = {"type", "id", "call_id", "status", output}
        args = {name: noted(value) for name, value in block.items() if name not in besides}
        waits = bool(block.get("call_id"))  # the application runs it, and another item has the result
        done = {} if waits and not output else {"output": noted(block[output]) if output else block.get("status")}
        self.add_call(kind.removesuffix("_call"), args, _first(block, _CALL_IDS), **done)

    def _add_part(self, block: Mapping[str, Any], depth: int) -> None:
        """Takes a part of Gemini's, whose keys say what it is."""
        part = {_snake(name): value for name, value in block.items() if value not in _NOTHING}
        text, call, code = (part.get(name) for name in ("text", "function_call", "executable_code"))
        answer, result = part.get("function_response"), part.get("code_execution_result")
        rest = part.keys() - {"thought", "thought_signature"}
        if isinstance(text, str):
            rest.discard("text")
            if part.get("thought"):
                self.add_reasoning(text)
            else:
                self.add_text(text, separator="")
        elif isinstance(call, dict):
            rest.discard("function_call")
            self.add_call(call.get("name"), call.get("args"), call.get("id"))
        elif isinstance(code, dict):
            rest.discard("executable_code")
            self.add_call(_CODE, code, code.get("id"))
        elif isinstance(answer, dict):
            rest.discard("function_response")
            self._add_function_response(answer)
        elif isinstance(result, dict):
            rest.discard("code_execution_result")
            failed = str(result.get("outcome", "OUTCOME_OK")) not in ("OUTCOME_OK", "1")
            self._add_code_result(_text(result.get("output")), failed)
        elif "inline_data" in part or "file_data" in part:
            rest.clear()
            self.attachments.append(noted(part))
        elif isinstance(part.get("parts"), list):
            rest.discard("parts")
            self.add(part["parts"], depth + 1)
        elif rest:
            self._add_unknown(part, min(rest))
            return
        if rest:
            self.metadata.setdefault("blocks", []).append(noted({name: part[name] for name in sorted(rest)}))

    def _add_function_response(self, answer: Mapping[str, Any]) -> None:
        response = answer.get("response")
        if isinstance(response, dict) and len(response) == 1:  # the API takes objects only
            (name, value), *_ = response.items()
            if name in ("output", "result", "content", "error"):
                failed = value if name == "error" else None
                self.add_result(answer.get("id"), value, name=answer.get("name"), error=failed)
                return
        self.add_result(answer.get("id"), response, name=answer.get("name"))

    def _add_code_result(self, output: str, failed: bool) -> None:
        for position, call in enumerate(self.calls):
            if call.name == _CODE and call.status == "pending":
                error = output if failed else None
                self.calls[position] = ToolCall(call.name, call.args, id=call.id, output=output, error=error)
                return
        self.add_result("", output, name=_CODE, is_error=failed)

    def _add_unknown(self, value: object, kind: str) -> None:
        self.unknown.append(kind if _KIND.fullmatch(kind) else "(without a name)")
        if isinstance(value, dict) and isinstance(value.get("text"), str) and value.keys() <= {"type", "text"}:
            self.add_text(value["text"])
        else:
            self.add_text(json_text(noted(value)))

    # ------------------------------------------------------------ out

    def notes(self) -> Iterator[Note]:
        """Returns what a person who imports should know of it."""
        if self.attachments or any(result.attachments for result in self.results):
            yield ATTACHMENTS_ARE_NOTED
        for kind in dict.fromkeys(self.unknown):
            yield not_understood(kind)

    def events(
        self,
        author: str,
        id: str,
        calls: Calls,
        *,
        created_at: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        usage: Usage | None = None,
        agent_id: str = "",
        branch: str = "",
        invocation_id: str = "",
    ) -> Iterator[Event | Note]:
        """The events of a message: one for each result that it brings, then one for what it says itself.

        Args:
            author: Who says it.
            id: The id of the event; a result that is not alone has it with its number.
            calls: The calls of the conversation before it.
            created_at: When it was said.
            metadata: What else the message says of itself; with this of the blocks it goes to the last event.
            usage: The tokens that it took.
            agent_id: The agent that says it.
            branch: The branch of all the events.
            invocation_id: The run of all the events.
        """
        yield from self.notes()
        everything = {**(metadata or {}), **self.metadata}
        is_said = bool(self._texts or self._reasoning or self.calls or self.attachments or usage) or not self.results
        results = [calls.answered(result) for result in self.results]
        is_alone = not is_said and len(results) == 1
        for number, result in enumerate(results, start=1):
            about = dict(everything) if not is_said and number == len(results) else {}
            if result.attachments:
                about["attachments"] = result.attachments
            yield Event(
                "tool",
                result.text,
                actions=(ToolCall(result.name, id=result.id, error=result.error),),
                metadata=about,
                id=id if is_alone else kept_id(f"{id}:result:{number}"),
                created_at=created_at,
                branch=branch,
                invocation_id=invocation_id,
            )
        if not is_said:
            return
        if self.attachments:
            everything["attachments"] = self.attachments
        yield Event(
            author,
            self.text,
            reasoning=self.reasoning,
            actions=tuple(calls.made(call, f"{id}:{number}") for number, call in enumerate(self.calls)),
            metadata=everything,
            usage=usage,
            id=id,
            created_at=created_at,
            agent_id=agent_id,
            branch=branch,
            invocation_id=invocation_id,
        )


def author_of(role: object) -> str:
    """The author that a role stands for; a role of its own name stays, and what can be no name is the assistant."""
    if not isinstance(role, str):
        return "assistant"
    return AUTHORS.get(role.strip().lower()) or (role if codec.is_identifier(role) else "assistant")


def not_understood(kind: str) -> Note:
    """The note about a kind of content that nobody here knows."""
    return Note(f"content of the kind {kind!r} is not understood: it was kept as text")


def made_call(name: object, arguments: object, id: object, metadata: dict[str, Any]) -> ToolCall:
    """A call; arguments that are no JSON object are kept as they are in the metadata."""
    args = json_or_none(arguments) if isinstance(arguments, str) else arguments
    if not isinstance(args, dict):
        if arguments not in (None, ""):
            metadata.setdefault("invalid_arguments", []).append({"id": _text(id), "arguments": arguments})
        args = {}
    return ToolCall(_text(name), args, id=_text(id))


def noted(value: Any) -> Any:
    """A value without bytes that stand in it as text: of those only the size is said. Text is kept, however long."""
    if isinstance(value, dict):
        return {name: noted(one) for name, one in value.items()}
    if isinstance(value, list):
        return [noted(one) for one in value]
    if isinstance(value, str) and (_DATA_URL.match(value) or (len(value) > LONG and _BYTES.fullmatch(value))):
        return f"({len(value):,} characters)"
    return value


def json_text(value: object) -> str:
    """A value as JSON that people can read."""
    return json.dumps(value, ensure_ascii=False)


def text_or_json(value: object) -> str:
    """A text as it is, any other value as JSON."""
    return value if isinstance(value, str) else json_text(value)


def _is_blocks(value: object) -> bool:
    """True for blocks, and not for a JSON value that a tool returned."""
    blocks = value if isinstance(value, list) else [value]
    return bool(blocks) and all(
        isinstance(block, dict)
        and isinstance(kind := block.get("type"), str)
        and (kind in _TEXTS or kind in _ATTACHMENTS or kind in ("web_search_result", "search_result", "tool_reference"))
        for block in blocks
    )


def _reasoning_texts(value: object, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth > MAX_DEPTH:
        return
    elif isinstance(value, list):
        for one in value:
            yield from _reasoning_texts(one, depth + 1)
    elif isinstance(value, dict):
        for name in _REASONING_KEYS:
            if value.get(name):
                yield from _reasoning_texts(value[name], depth + 1)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda letter: f"_{letter[1].lower()}", name)


def _key_of(block: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of the keys that has something; the empty text if none has."""
    return next((name for name in names if block.get(name) not in _NOTHING), "")


def _first(block: Mapping[str, Any], names: tuple[str, ...]) -> object:
    return next((block[name] for name in names if block.get(name)), "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
