"""Files of OpenAI's Batch API: JSON Lines of requests, and of what came back.

A request is ``{"custom_id", "method", "url", "body"}``, an answer ``{"id", "custom_id", "response", "error"}``. Each
line is a session; which answer is of which request the ``custom_id`` says in the metadata of both, as people use the
same ones in every batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.messages.tokens import usage_of
from session_sqlite.models import Event, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of, json_text, noted
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, kept_id, time_of
from session_sqlite.transfer.importers.json_files import JsonFile

_READ: Final = frozenset({"role", "content", "reasoning_content", "reasoning", "tool_calls", "function_call",
                          "tool_call_id", "refusal", "name"})  # fmt: skip
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {}, False)


def is_batch(file: JsonFile) -> bool:
    """True for requests or answers of a batch."""
    first = file.first()
    if not isinstance(first, dict) or not isinstance(first.get("custom_id"), str):
        return False
    return isinstance(first.get("body"), dict) or "response" in first


def read(file: JsonFile) -> Iterator[Arrival | Fault | LeftOut]:
    """The requests and the answers."""
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
            continue
        try:
            yield _session(value)
        except MALFORMED:
            yield Fault(where, "neither a request nor an answer of a form that is known")


def _session(line: Mapping[str, Any]) -> Arrival:
    about: dict[str, Any] = {name: noted(one) for name, one in line.items()
                             if name not in ("body", "response", "id", "error") and one not in _NOTHING}  # fmt: skip
    if isinstance(body := line.get("body"), dict):
        id = derived_id("openai-batch", line["custom_id"], body)
        about["request"] = {
            name: noted(one) for name, one in body.items() if name not in ("messages", "input", "instructions")
        }
        return Arrival(id, _events(_asked(body), id, None, None), metadata={"openai_batch": about})
    response = line.get("response") or {}
    body = response.get("body") or {}
    id = kept_id(line.get("id") or None, line)
    error = line.get("error") or body.get("error")
    read = ("body", "choices", "output", "usage", "error")
    besides = {name: noted(one) for name, one in {**response, **body}.items() if name not in read}
    about["response"] = {name: one for name, one in besides.items() if one not in _NOTHING}
    model = body.get("model")
    name = model if codec.is_plain_text(model) else ""
    usage = usage_of(body.get("usage"), name) or (Usage(name) if name else None)
    when = time_of(body.get("created", body.get("created_at")))
    messages = list(_answered(body))
    if error not in _NOTHING:
        text = error.get("message") if isinstance(error, dict) else error
        messages.append({"role": "system", "content": text if isinstance(text, str) else json_text(error)})
        about["error"] = noted(error)
    return Arrival(id, _events(messages, id, usage, when), metadata={"openai_batch": about}, created_at=when)


def _asked(body: Mapping[str, Any]) -> Iterator[Any]:
    if isinstance(body.get("instructions"), str):
        yield {"role": "system", "content": body["instructions"]}
    given = body.get("messages", body.get("input"))
    if isinstance(given, list) and all(isinstance(one, dict) for one in given):
        yield from given
    elif given is not None:  # a text, or texts to embed
        yield from ({"role": "user", "content": one} for one in (given if isinstance(given, list) else [given]))


def _answered(body: Mapping[str, Any]) -> Iterator[Any]:
    for choice in body.get("choices") or ():
        besides = {name: one for name, one in choice.items() if name not in ("message", "text") and one not in _NOTHING}
        message = choice.get("message") or {"content": choice.get("text")}
        yield {"role": "assistant", **message, "choice": besides}
    if isinstance(body.get("output"), list):
        yield {"role": "assistant", "content": body["output"]}
    for number, one in enumerate(body.get("data") or ()):
        if isinstance(one, dict) and isinstance(one.get("embedding"), list):
            yield {"role": "assistant", "content": None, "embedding": f"{number}: {len(one['embedding']):,} numbers"}


def _events(messages: Any, id: str, usage: Usage | None, when: datetime | None) -> Iterator[Event | Fault | Note]:
    calls = Calls()
    for position, message in enumerate(messages):
        try:
            said = Said()
            author = author_of(message["role"]) if "role" in message else "assistant"
            if "role" not in message:
                said.add(dict(message))  # an item of the Responses API
            elif author == "tool":
                said.add_result(message.get("tool_call_id"), message.get("content"), name=message.get("name"))
            else:
                said.add(message.get("content"))
                said.add_text(message.get("refusal"))
                said.add_reasoning(message.get("reasoning_content") or message.get("reasoning"))
                for call in message.get("tool_calls") or ():
                    said.add({"type": "function", **call})
                if isinstance(message.get("function_call"), dict):
                    said.add({"type": "function_call", **message["function_call"]})
            besides = {name: noted(one) for name, one in message.items() if name not in _READ and one not in _NOTHING}
            counted, usage = (usage, None) if author == "assistant" else (None, usage)
            yield from said.events(
                author, derived_id("openai-batch", id, position), calls, created_at=when, usage=counted,
                metadata=besides if "role" in message else {},
            )  # fmt: skip
        except MALFORMED:
            yield Fault(f"message {position} of {id!r:.140}", "not a message of a form that is known")
